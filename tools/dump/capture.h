/* capture.h - packets out of capture files, pipes and interfaces; the only room that knows libpcap, which serves live
 * capture and filters. Files are read by capfile.h.
 *
 * Reads pcap (micro- and nanoseconds, both byte orders) and pcapng, each plain or gzip'ed, from a file or stdin. */
#ifndef DUMP_CAPTURE_H
#define DUMP_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>
#include "capfile.h"
#include "common/say.h"
#include "tuyawire/span.h"

struct capture;

enum capture_result {
    CAPTURE_PACKET,
    CAPTURE_IDLE, /* live: nothing came for a moment */
    CAPTURE_END,
    CAPTURE_FAULT, /* unreadable or cut off from here on */
};

/* @param path    "-": stdin
 * @param filter  BPF, as tcpdump takes it; NULL: everything
 * @return 0; -1 and why; EXIT_CODE_USAGE and why if the filter is wrong */
int capture_open_file(struct capture **out, const char *path, const char *filter, struct why *why);

/* Open an interface ("any" too), then give up the privileges that took: root becomes the user behind sudo, or nobody. */
int capture_open_live(struct capture **out, const char *interface, const char *filter, struct why *why);

/* @param why  filled on CAPTURE_FAULT: names the packet */
enum capture_result capture_next(struct capture *c, struct capfile_packet *p, struct why *why);

/* Bytes of the file that were read, and its size; 0: unknown. */
uint64_t capture_position(const struct capture *c);
uint64_t capture_size(const struct capture *c);
/* Live: packets that the kernel dropped. */
uint64_t capture_dropped(const struct capture *c);
/* Live: make capture_next() return CAPTURE_END soon. May be called from a signal handler. */
void capture_stop(struct capture *c);
void capture_close(struct capture *c); /* NULL is fine */

#endif
