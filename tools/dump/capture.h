/* capture.h - packets out of capture files, pipes and interfaces; the only room that knows libpcap.
 *
 * Reads pcap (micro- and nanoseconds, both byte orders) and pcapng, each plain or gzip'ed, from a file or stdin. */
#ifndef DUMP_CAPTURE_H
#define DUMP_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>
#include "common/say.h"
#include "stream.h"
#include "tuyawire/span.h"

struct capture;

enum capture_result {
    CAPTURE_IDLE, /* live: what has come is handed on, go on waiting */
    CAPTURE_END,
    CAPTURE_FAULT, /* unreadable or cut off from here on */
};

struct capture_packet {
    int link_type;
    struct tw_span data; /* borrowed for the call */
    uint32_t original_len;
    uint64_t time_ns;
};

/* @param path    "-": stdin
 * @param filter  BPF, as tcpdump takes it; NULL: everything
 * @param wait    called before a read that may wait
 * @return 0; -1 and why; EXIT_CODE_USAGE and why if the filter is wrong */
int capture_open_file(struct capture **out, const char *path, const char *filter, const struct stream_wait *wait,
                      struct why *why);

/* Open an interface ("any" too), then give up the privileges that took: root becomes the user behind sudo, or nobody. */
int capture_open_live(struct capture **out, const char *interface, const char *filter, struct why *why);

/* Hands packets on until the input ends or, live, nothing comes for a moment.
 * @param why  filled on CAPTURE_FAULT: names the packet */
typedef void capture_fn(void *ctx, const struct capture_packet *p);
enum capture_result capture_run(struct capture *c, capture_fn *fn, void *ctx, struct why *why);

/* Bytes of the file that were read, and its size; 0: unknown. */
uint64_t capture_position(const struct capture *c);
uint64_t capture_size(const struct capture *c);
/* Live: packets that the kernel dropped. */
uint64_t capture_dropped(const struct capture *c);
/* Make capture_run() return CAPTURE_END soon. May be called from a signal handler, and from capture_fn. */
void capture_stop(struct capture *c);
void capture_close(struct capture *c); /* NULL is fine */

#endif
