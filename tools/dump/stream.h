/* stream.h - the bytes of a capture file as a FILE that libpcap reads: inflated when they are gzip'ed, and the interfaces
 * of a pcapng made alike (alike.h). */
#ifndef DUMP_STREAM_H
#define DUMP_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct stream;

/* Called before a read that may wait, of a pipe or terminal, and again when a signal ended the wait.
 * @return false: as if the input ended here */
struct stream_wait {
    bool (*fn)(void *ctx);
    void *ctx;
};

/* Takes the descriptor over. What is opened as *out is for pcap_fopen_offline(), and is closed before the stream.
 * @param wait  its fn may be NULL
 * @return NULL: out of memory; the descriptor is closed */
struct stream *stream_open(FILE **out, int fd, const struct stream_wait *wait);
void stream_close(struct stream *s); /* NULL is fine */

/* Bytes of the file that were read so far, and how many it has; 0: unknown. */
uint64_t stream_position(const struct stream *s);
uint64_t stream_size(const struct stream *s);

/* What is wrong with the file or its compression, beneath what libpcap sees; NULL: nothing. */
const char *stream_error(const struct stream *s);

/* Link type of the packet that libpcap read last, a number of https://www.tcpdump.org/linktypes.html; -1: the file is
 * no pcapng, libpcap knows it. */
int stream_link_type(const struct stream *s);

/* A pcapng that has ended without describing an interface, so that nothing was captured? libpcap refuses it. */
bool stream_is_empty(const struct stream *s);

#endif
