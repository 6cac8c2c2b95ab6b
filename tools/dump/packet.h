/* packet.h - from captured bytes to a TCP segment or a UDP datagram: link layer, IP with fragments, transport.
 *
 *   packet --> link_open() --> ip_open() --> segment_open() | datagram_open()
 *
 * Pure functions over bytes; nothing of libpcap is in here. Bytes that a snap length has cut off are counted, not
 * invented: `missing` travels along. */
#ifndef DUMP_PACKET_H
#define DUMP_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/span.h"

/* Link types, numbers of https://www.tcpdump.org/linktypes.html. */
enum link_type {
    LINK_NULL = 0,
    LINK_ETHERNET = 1,
    LINK_RAW_DLT = 12, /* what libpcap calls raw IP on Linux */
    LINK_RAW = 101,
    LINK_80211 = 105,
    LINK_LOOP = 108,
    LINK_SLL = 113,
    LINK_RADIOTAP = 127,
    LINK_IPV4 = 228,
    LINK_IPV6 = 229,
    LINK_SLL2 = 276,
};

enum packet_result {
    PACKET_OK,
    PACKET_KEPT,      /* a fragment; the whole comes with a later one */
    PACKET_OTHER,     /* something else than TCP or UDP over IP: ARP, encrypted Wi-Fi, .. */
    PACKET_CUT,       /* the snap length, or the packet itself, ends inside a header */
    PACKET_MALFORMED, /* lengths that contradict each other */
};

/* Can link_open() read this link type? */
bool link_known(int type);

/* What stands behind the link header. ether_type: 0x0800 or 0x86dd on PACKET_OK. */
struct link_payload {
    uint16_t ether_type;
    struct tw_span data;
};
enum packet_result link_open(struct link_payload *out, int type, struct tw_span packet);

/* An address, comparable with memcmp(): IPv4 in the first four bytes, the rest 0. */
struct ip_address {
    uint8_t bytes[16];
    uint8_t version; /* 4 or 6 */
};

struct ip_packet {
    struct ip_address src, dst;
    uint8_t protocol; /* 6: TCP, 17: UDP */
    struct tw_span payload;
    size_t missing; /* bytes of the payload that were not captured */
};

/* Fragments on their way to a whole packet: at most IP_N_PARTIAL packets and 64 KiB each; the oldest makes room. */
struct ip_fragments;
struct ip_fragments *ip_fragments_new(void); /* NULL: out of memory */
void ip_fragments_free(struct ip_fragments *f);
size_t ip_fragments_memory(const struct ip_fragments *f);

/* @param fragments  NULL: fragments are PACKET_OTHER
 * The payload of a reassembled packet lives until the next call with these fragments. */
enum packet_result ip_open(struct ip_packet *out, struct ip_fragments *fragments, uint16_t ether_type,
                           struct tw_span data);

enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10 };

struct segment {
    uint16_t src_port, dst_port;
    uint32_t seq, ack;
    uint8_t flags;
    struct tw_span data;
    size_t missing; /* bytes behind data that were not captured */
};
enum packet_result segment_open(struct segment *out, const struct ip_packet *ip);

struct datagram {
    uint16_t src_port, dst_port;
    struct tw_span data;
    size_t missing;
};
enum packet_result datagram_open(struct datagram *out, const struct ip_packet *ip);

#endif
