/* pcap.h - step through the packets of a pcap file of either byte order, which may be cut off or lie about lengths. */
#ifndef FUZZ_PCAP_H
#define FUZZ_PCAP_H

#include "fuzz.h"
#include "tuyawire/span.h"

enum { PCAP_FILE_HEADER = 24, PCAP_PACKET_HEADER = 16, PCAP_PACKETS_MAX = 400 };

struct pcap {
    const uint8_t *data;
    size_t size, at;
    int link_type, n; /* packets so far */
};

struct pcap_packet {
    struct tw_span data;
    uint64_t time_ns;
};

static inline uint32_t pcap_number(const struct pcap *p, size_t at)
{
    const uint8_t *b = p->data + at;
    if (p->data[0] == 0xa1)
        return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    return (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
}

/* size is at least PCAP_FILE_HEADER. */
static inline struct pcap pcap_open(const uint8_t *data, size_t size)
{
    struct pcap p = {data, size, PCAP_FILE_HEADER, 0, 0};
    p.link_type = (int)(pcap_number(&p, 20) & 0xffff);
    return p;
}

/* @return false: there are no more */
static inline bool pcap_next(struct pcap_packet *out, struct pcap *p)
{
    if (p->n == PCAP_PACKETS_MAX || p->size - p->at < PCAP_PACKET_HEADER)
        return false;
    size_t len = pcap_number(p, p->at + 8);
    out->time_ns = pcap_number(p, p->at) * 1000000000ull + pcap_number(p, p->at + 4) % 1000000 * 1000ull;
    p->at += PCAP_PACKET_HEADER;
    if (len > p->size - p->at)
        len = p->size - p->at;
    out->data = (struct tw_span){p->data + p->at, len};
    p->at += len;
    p->n++;
    return true;
}

#endif
