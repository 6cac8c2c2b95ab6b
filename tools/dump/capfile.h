/* capfile.h - packets out of the bytes of a pcap or pcapng file, fed in order.
 *
 *   pcap    24 bytes: magic a1b2c3d4 (microseconds) or a1b23c4d (nanoseconds), version, .., snap length, link type;
 *           per packet 16 bytes: seconds, fraction, captured length, original length; then the bytes
 *   pcapng  blocks: type, total length, body, total length; padded to 4. Section header (byte order), interfaces
 *           (link type, resolution and offset of times), enhanced, simple and obsolete packets; others are passed over
 *
 * Both in either byte order. A pcapng may hold interfaces of different link types and several sections. Pure function
 * over bytes: no file, no libpcap.
 * Source: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng. */
#ifndef DUMP_CAPFILE_H
#define DUMP_CAPFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/span.h"

enum {
    CAPFILE_PACKET_MAX = 1 << 20, /* bytes of one packet; our choice, tcpdump's largest snap length is 262144 */
    CAPFILE_BLOCK_MAX = 16 << 20, /* bytes of one pcapng block */
    CAPFILE_INTERFACES_MAX = 256, /* per section; further ones are taken for the last */
};

enum capfile_result {
    CAPFILE_PACKET,
    CAPFILE_SKIPPED, /* a header or block without a packet; go on */
    CAPFILE_NEED_MORE,
    CAPFILE_BAD, /* see capfile.why; nothing behind it can be read */
};

struct capfile_interface {
    int link_type;
    uint64_t ticks_per_s; /* of its times */
    int64_t offset_s;
    uint32_t snap_len;
};

struct capfile {
    bool begun, is_pcapng, big_endian;
    unsigned n_interfaces;
    struct capfile_interface interfaces[CAPFILE_INTERFACES_MAX]; /* pcap: one */
    size_t wanted; /* after CAPFILE_NEED_MORE: bytes from the start of the buffer that are needed at least */
    const char *why;
};

struct capfile_packet {
    int link_type;
    struct tw_span data; /* borrowed from the buffer */
    uint32_t original_len;
    uint64_t time_ns;
};

/* Zero *c before the first call. Look at the bytes at the front of buf.
 * @param used  bytes to remove from the front before the next call (0 on CAPFILE_NEED_MORE and CAPFILE_BAD) */
enum capfile_result capfile_next(struct capfile *c, struct capfile_packet *out, size_t *used, const uint8_t *buf,
                                 size_t len);

#endif
