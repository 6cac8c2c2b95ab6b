/* ip.c - IPv4 (RFC 791) and IPv6 (RFC 8200) with fragments and extension headers, then TCP (RFC 9293), UDP (RFC 768).
 *
 * Checksums are not looked at: network cards compute them after the capture has been taken. */
#include "packet.h"
#include <stdlib.h>
#include <string.h>

enum {
    ETHER_IPV4 = 0x0800,
    PROTO_HOP = 0,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    PROTO_ROUTING = 43,
    PROTO_FRAGMENT = 44,
    PROTO_AH = 51,
    PROTO_DESTINATION = 60,
    MAX_EXTENSIONS = 8, /* IPv6 extension headers; our choice */
    PACKET_MAX = 65535,
    N_PARTIAL = 16, /* fragmented packets that are collected at the same time; our choice */
    UNIT = 8,       /* fragment offsets count in these */
    N_UNITS = (PACKET_MAX + UNIT) / UNIT,
};

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- Fragments ---------------------------------------------------------------------------------------------------- */

struct partial {
    bool used;
    struct ip_address src, dst;
    uint8_t protocol;
    uint32_t id;
    uint64_t age;          /* of the last fragment, in fragments */
    size_t total;          /* bytes of the whole; 0: its last fragment has not come */
    size_t reach;          /* bytes up to the end of the farthest fragment */
    size_t have;           /* units that have come */
    uint8_t seen[N_UNITS]; /* per unit: it has come */
    uint8_t data[PACKET_MAX + UNIT];
};

struct ip_fragments {
    uint64_t now;
    struct partial *slots[N_PARTIAL]; /* made when first needed */
};

struct ip_fragments *ip_fragments_new(void)
{
    return calloc(1, sizeof(struct ip_fragments));
}

void ip_fragments_free(struct ip_fragments *f)
{
    if (f == NULL)
        return;
    for (int i = 0; i < N_PARTIAL; i++)
        free(f->slots[i]);
    free(f);
}

size_t ip_fragments_memory(const struct ip_fragments *f)
{
    size_t n = sizeof *f;
    for (int i = 0; i < N_PARTIAL; i++)
        n += f->slots[i] != NULL ? sizeof *f->slots[i] : 0;
    return n;
}

static bool same_address(const struct ip_address *a, const struct ip_address *b)
{
    return a->version == b->version && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* The slot of this packet, or the free or oldest one, emptied. */
static struct partial *find_slot(struct ip_fragments *f, const struct ip_packet *p, uint32_t id)
{
    int best = 0;
    for (int i = 0; i < N_PARTIAL; i++) {
        struct partial *s = f->slots[i];
        if (s != NULL && s->used && s->id == id && s->protocol == p->protocol && same_address(&s->src, &p->src) &&
            same_address(&s->dst, &p->dst))
            return s;
        struct partial *b = f->slots[best];
        if (b != NULL && b->used && (s == NULL || !s->used || s->age < b->age))
            best = i;
    }
    if (f->slots[best] == NULL)
        f->slots[best] = malloc(sizeof *f->slots[best]);
    struct partial *s = f->slots[best];
    if (s == NULL)
        return NULL;
    s->used = true;
    s->src = p->src;
    s->dst = p->dst;
    s->protocol = p->protocol;
    s->id = id;
    s->total = s->reach = s->have = 0;
    memset(s->seen, 0, sizeof s->seen);
    return s;
}

/* Add one fragment; what came first stays where fragments overlap. Fragments that disagree about where the packet ends
 * are no packet: counted together they could pass for a whole one that was never filled. */
static enum packet_result add_fragment(struct ip_packet *p, struct ip_fragments *f, uint32_t id, size_t offset,
                                       bool more)
{
    if (f == NULL)
        return PACKET_OTHER;
    if (p->missing > 0)
        return PACKET_CUT;
    if (offset + p->payload.len > PACKET_MAX || (more && p->payload.len % UNIT != 0) || p->payload.len == 0)
        return PACKET_MALFORMED;
    struct partial *s = find_slot(f, p, id);
    if (s == NULL)
        return PACKET_OTHER;
    s->age = ++f->now;
    size_t end = offset + p->payload.len;
    s->reach = end > s->reach ? end : s->reach;
    if (!more && s->total == 0)
        s->total = end;
    if (s->total != 0 && (s->reach > s->total || (!more && s->total != end))) {
        s->used = false;
        return PACKET_MALFORMED;
    }
    for (size_t at = 0; at < p->payload.len; at += UNIT) {
        size_t unit = (offset + at) / UNIT, left = p->payload.len - at;
        if (s->seen[unit])
            continue;
        s->seen[unit] = 1;
        s->have++;
        memcpy(s->data + offset + at, p->payload.data + at, left < UNIT ? left : UNIT);
    }
    if (s->total == 0 || s->have < (s->total + UNIT - 1) / UNIT)
        return PACKET_KEPT;
    s->used = false;
    p->payload = (struct tw_span){s->data, s->total};
    return PACKET_OK;
}

/* ---- IP ----------------------------------------------------------------------------------------------------------- */

/* payload: total bytes from the start of s behind `header`, as far as captured. */
static void set_payload(struct ip_packet *p, struct tw_span s, size_t header, size_t total)
{
    size_t captured = s.len < total ? s.len : total;
    p->payload = (struct tw_span){s.data + header, captured - header};
    p->missing = total - captured;
}

static enum packet_result open_ipv4(struct ip_packet *out, struct ip_fragments *f, struct tw_span s)
{
    if (s.len < 20)
        return PACKET_CUT;
    size_t header = (size_t)(s.data[0] & 15) * 4, total = be16(s.data + 2);
    if (s.data[0] >> 4 != 4 || header < 20)
        return PACKET_MALFORMED;
    if (total == 0)
        total = s.len; /* segmentation offload: the card fills it in later */
    if (total < header)
        return PACKET_MALFORMED;
    if (s.len < header)
        return PACKET_CUT;
    memset(out, 0, sizeof *out);
    out->src.version = out->dst.version = 4;
    memcpy(out->src.bytes, s.data + 12, 4);
    memcpy(out->dst.bytes, s.data + 16, 4);
    out->protocol = s.data[9];
    set_payload(out, s, header, total);
    unsigned fragment = be16(s.data + 6);
    size_t offset = (size_t)(fragment & 0x1fff) * UNIT;
    bool more = (fragment & 0x2000) != 0;
    if (offset == 0 && !more)
        return PACKET_OK;
    return add_fragment(out, f, be16(s.data + 4), offset, more);
}

static enum packet_result open_ipv6(struct ip_packet *out, struct ip_fragments *f, struct tw_span s)
{
    if (s.len < 40)
        return PACKET_CUT;
    if (s.data[0] >> 4 != 6)
        return PACKET_MALFORMED;
    size_t total = 40 + (size_t)be16(s.data + 4), at = 40;
    if (total == 40)
        total = s.len; /* offload, or a jumbogram, which nothing here is */
    memset(out, 0, sizeof *out);
    out->src.version = out->dst.version = 6;
    memcpy(out->src.bytes, s.data + 8, 16);
    memcpy(out->dst.bytes, s.data + 24, 16);
    uint8_t next = s.data[6];
    for (int n = 0; n <= MAX_EXTENSIONS; n++) {
        if (next != PROTO_HOP && next != PROTO_ROUTING && next != PROTO_DESTINATION && next != PROTO_FRAGMENT &&
            next != PROTO_AH) {
            out->protocol = next;
            set_payload(out, s, at, total);
            return PACKET_OK;
        }
        if (s.len < at + 8)
            return PACKET_CUT;
        const uint8_t *h = s.data + at;
        size_t len = next == PROTO_FRAGMENT ? 8 : next == PROTO_AH ? ((size_t)h[1] + 2) * 4 : ((size_t)h[1] + 1) * 8;
        if (at + len > total)
            return PACKET_MALFORMED;
        if (at + len > s.len)
            return PACKET_CUT;
        bool is_fragment = next == PROTO_FRAGMENT && (be16(h + 2) & 0xfff9) != 0;
        next = h[0];
        at += len;
        if (is_fragment) {
            out->protocol = next;
            set_payload(out, s, at, total);
            return add_fragment(out, f, be32(h + 4), be16(h + 2) & 0xfff8, (h[3] & 1) != 0);
        }
    }
    return PACKET_MALFORMED;
}

enum packet_result ip_open(struct ip_packet *out, struct ip_fragments *fragments, uint16_t ether_type,
                           struct tw_span data)
{
    enum packet_result r =
        ether_type == ETHER_IPV4 ? open_ipv4(out, fragments, data) : open_ipv6(out, fragments, data);
    if (r == PACKET_OK && out->protocol != PROTO_TCP && out->protocol != PROTO_UDP)
        return PACKET_OTHER;
    return r;
}

/* ---- Transport ------------------------------------------------------------------------------------------------------ */

enum packet_result segment_open(struct segment *out, const struct ip_packet *ip)
{
    struct tw_span s = ip->payload;
    if (ip->protocol != PROTO_TCP)
        return PACKET_OTHER;
    if (s.len < 20)
        return PACKET_CUT;
    size_t header = (size_t)(s.data[12] >> 4) * 4;
    if (header < 20 || header > s.len + ip->missing)
        return PACKET_MALFORMED;
    if (header > s.len)
        return PACKET_CUT;
    *out = (struct segment){
        .src_port = be16(s.data),
        .dst_port = be16(s.data + 2),
        .seq = be32(s.data + 4),
        .ack = be32(s.data + 8),
        .flags = s.data[13],
        .data = {s.data + header, s.len - header},
        .missing = ip->missing,
    };
    return PACKET_OK;
}

enum packet_result datagram_open(struct datagram *out, const struct ip_packet *ip)
{
    struct tw_span s = ip->payload;
    if (ip->protocol != PROTO_UDP)
        return PACKET_OTHER;
    if (s.len < 8)
        return PACKET_CUT;
    size_t total = be16(s.data + 4);
    if (total == 0)
        total = s.len + ip->missing;
    if (total < 8)
        return PACKET_MALFORMED;
    size_t captured = s.len < total ? s.len : total;
    *out = (struct datagram){
        .src_port = be16(s.data),
        .dst_port = be16(s.data + 2),
        .data = {s.data + 8, captured - 8},
        .missing = total - captured,
    };
    return PACKET_OK;
}
