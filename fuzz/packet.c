/* packet.c - what stands in a packet is found inside of it, and what is put together of fragments is what they brought.
 *
 * Reaches: tools/dump/link.c and tools/dump/ip.c. Input: a tape whose context chooses the link type. TO holds a packet as
 * captured. FROM holds fragments of 6 bytes: whose (number of the packet 3 bits, who sent it, to whom, IPv6, and TCP in place of UDP), offset in
 * units of 8 bytes 2, length 2, flags (1: more follow). They may contradict each other in every way but one: which byte
 * stands at which place follows from the place, so each that comes out can be checked. */
#include "common/fuzz.h"
#include <stdlib.h>
#include <string.h>
#include "common/tape.h"
#include "packet.h"

const struct fuzz_harness fuzz_harness = {
    .name = "packet",
    .claim =
        "what stands in a packet is found inside of it, and what is put together of fragments is what they brought",
    .form = FUZZ_TAPE,
    .context_len = 1,
};

enum { FRAGMENT_LEN = 6, FRAGMENTS_MAX = 256, LEN_MAX = 2048, IPV4_LEN = 20, IPV6_LEN = 40 + 8, N_PACKETS = 128 };
enum { WHO_IPV6 = 0x20, WHO_TCP = 0x40, MORE = 1 };
static const int link_types[] = {LINK_ETHERNET, LINK_NULL, LINK_RAW_DLT,  LINK_RAW,  LINK_80211, LINK_LOOP,
                                 LINK_SLL,      LINK_SLL2, LINK_RADIOTAP, LINK_IPV4, LINK_IPV6,  147};

static uint8_t times[N_PACKETS]; /* that a packet of this number was whole */

static bool inside(struct tw_span s, struct tw_span whole)
{
    return s.data >= whole.data && s.len <= whole.len && (size_t)(s.data - whole.data) <= whole.len - s.len;
}

static void open_transport(const struct ip_packet *ip)
{
    struct segment s;
    struct datagram d;
    CHECK(ip->src.version == ip->dst.version && (ip->src.version == 4 || ip->src.version == 6));
    if (segment_open(&s, ip) == PACKET_OK)
        CHECK(ip->protocol == 6 && inside(s.data, ip->payload) && s.missing == ip->missing);
    if (datagram_open(&d, ip) == PACKET_OK)
        CHECK(ip->protocol == 17 && inside(d.data, ip->payload) && d.data.len + d.missing <= 65535);
}

static void open_captured(struct ip_fragments *fragments, int link_type, const uint8_t *data, size_t len)
{
    struct link_payload link;
    struct ip_packet ip;
    uint8_t *copy = malloc(len > 0 ? len : 1); /* nothing behind it */
    const struct tw_span whole = {copy, len};
    CHECK(copy != NULL);
    memcpy(copy, data, len);
    enum packet_result r = link_open(&link, link_type, whole);
    CHECK(link_known(link_type) || r == PACKET_OTHER);
    if (r == PACKET_OK) {
        CHECK(inside(link.data, whole) && (link.ether_type == 0x0800 || link.ether_type == 0x86dd));
        r = ip_open(&ip, NULL, link.ether_type, link.data);
        if (r == PACKET_OK) {
            CHECK(inside(ip.payload, link.data) && ip.payload.len + ip.missing <= 65535 + len);
            open_transport(&ip);
        }
        enum packet_result again = ip_open(&ip, fragments, link.ether_type, link.data);
        CHECK(again == r || r == PACKET_OTHER);
    }
    fuzz_gate(r == PACKET_OK);
    free(copy);
}

static uint8_t byte_at(size_t who, size_t place)
{
    return (uint8_t)(place * 167 + (place >> 8) * 31 + who * 59 + times[who] * 101u);
}

static void put_be16(uint8_t *p, size_t n)
{
    p[0] = (uint8_t)(n >> 8);
    p[1] = (uint8_t)n;
}

static void open_fragment(struct ip_fragments *fragments, const uint8_t *p)
{
    static uint8_t packet[IPV6_LEN + LEN_MAX];
    struct ip_packet ip;
    size_t who = p[0] & (N_PACKETS - 1), units = (size_t)(p[1] & 0x1f) << 8 | p[2];
    size_t len = ((size_t)p[3] << 8 | p[4]) % (LEN_MAX + 1);
    bool v6 = (who & WHO_IPV6) != 0, more = (p[5] & MORE) != 0;
    size_t head = v6 ? IPV6_LEN : IPV4_LEN;
    uint8_t protocol = who & WHO_TCP ? 6 : 17;
    memset(packet, 0, IPV6_LEN);
    if (v6) {
        packet[0] = 0x60;
        put_be16(packet + 4, 8 + len);
        packet[6] = 44;
        packet[40] = protocol;
        put_be16(packet + 42, units << 3 | more);
        packet[23] = who >> 3 & 1;
        packet[39] = who >> 4 & 1;
        packet[47] = who & 7;
    } else {
        packet[0] = 0x45;
        put_be16(packet + 2, IPV4_LEN + len);
        packet[5] = who & 7;
        put_be16(packet + 6, units | (more ? 0x2000u : 0));
        packet[9] = protocol;
        packet[15] = who >> 3 & 1;
        packet[19] = who >> 4 & 1;
    }
    for (size_t i = 0; i < len; i++)
        packet[head + i] = byte_at(who, units * 8 + i);
    enum packet_result r = ip_open(&ip, fragments, v6 ? 0x86dd : 0x0800, (struct tw_span){packet, head + len});
    fuzz_gate(r == PACKET_OK || r == PACKET_KEPT);
    if (r != PACKET_OK)
        return;
    CHECK(ip.missing == 0 && ip.protocol == protocol && ip.payload.len <= 65535);
    for (size_t i = 0; i < ip.payload.len; i++)
        CHECK(ip.payload.data[i] == byte_at(who, i));
    open_transport(&ip);
    if (units > 0 || more)
        times[who]++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    int link_type = link_types[data[0] % (sizeof link_types / sizeof *link_types)];
    struct tape tape = {data + 1, size - 1, 0};
    struct tape_record t;
    memset(times, 0, sizeof times);
    fuzz_fill((uint8_t)(fuzz_hash(data, size) | 1));
    struct ip_fragments *fragments = ip_fragments_new();
    CHECK(fragments != NULL);
    for (int n = 0; tape_next(&t, &tape);) {
        if (t.operation == TAPE_TO)
            open_captured(fragments, link_type, t.data, t.len);
        if (t.operation != TAPE_FROM)
            continue;
        for (size_t at = 0; at + FRAGMENT_LEN <= t.len && n < FRAGMENTS_MAX; at += FRAGMENT_LEN, n++)
            open_fragment(fragments, t.data + at);
    }
    fuzz_fill(0);
    CHECK(ip_fragments_memory(fragments) <= 17 * 80000u);
    ip_fragments_free(fragments);
    return 0;
}
