/* capfile.c - see capfile.h. */
#include "capfile.h"
#include <string.h>

enum {
    PCAP_HEADER = 24,
    PCAP_PACKET_HEADER = 16,
    BLOCK_MIN = 12, /* bytes */
    BLOCK_INTERFACE = 1,
    BLOCK_PACKET_OLD = 2,
    BLOCK_SIMPLE = 3,
    BLOCK_ENHANCED = 6,
    OPTION_RESOLUTION = 9,
    OPTION_OFFSET = 14,
};
static const uint32_t magic_us = 0xa1b2c3d4, magic_ns = 0xa1b23c4d, magic_modified = 0xa1b2cd34,
                      block_section = 0x0a0d0d0a, byte_order = 0x1a2b3c4d;
static const uint64_t ns_per_s = 1000000000u;

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t get32(const struct capfile *c, const uint8_t *p)
{
    return c->big_endian ? be32(p) : le32(p);
}

static uint16_t get16(const struct capfile *c, const uint8_t *p)
{
    return (uint16_t)(c->big_endian ? p[0] << 8 | p[1] : p[1] << 8 | p[0]);
}

static enum capfile_result bad(struct capfile *c, const char *why)
{
    c->why = why;
    return CAPFILE_BAD;
}

static enum capfile_result need(struct capfile *c, size_t wanted)
{
    c->wanted = wanted;
    return CAPFILE_NEED_MORE;
}

/* Ticks of an interface in nanoseconds, without passing 64 bits on the way. */
static uint64_t to_ns(const struct capfile_interface *i, uint64_t ticks)
{
    if (i->ticks_per_s == ns_per_s && i->offset_s == 0)
        return ticks;
    uint64_t seconds = ticks / i->ticks_per_s, rest = ticks % i->ticks_per_s;
    uint64_t ns = i->ticks_per_s <= ns_per_s
                      ? rest * (ns_per_s / i->ticks_per_s) + rest * (ns_per_s % i->ticks_per_s) / i->ticks_per_s
                      : rest / (i->ticks_per_s / ns_per_s);
    return (seconds + (uint64_t)i->offset_s) * ns_per_s + ns;
}

/* ---- pcap ----------------------------------------------------------------------------------------------------------- */

static enum capfile_result begin_pcap(struct capfile *c, size_t *used, const uint8_t *p, size_t len)
{
    if (len < PCAP_HEADER)
        return need(c, PCAP_HEADER);
    uint32_t magic = get32(c, p);
    c->begun = true;
    c->n_interfaces = 1;
    c->interfaces[0] = (struct capfile_interface){
        .link_type = (int)(get32(c, p + 20) & 0x0fffffff), /* above: frame checksum length */
        .ticks_per_s = magic == magic_ns ? ns_per_s : 1000000,
        .snap_len = get32(c, p + 16),
    };
    *used = PCAP_HEADER;
    return CAPFILE_SKIPPED;
}

static enum capfile_result next_pcap(struct capfile *c, struct capfile_packet *out, size_t *used, const uint8_t *p,
                                     size_t len)
{
    const struct capfile_interface *i = &c->interfaces[0];
    if (len < PCAP_PACKET_HEADER)
        return need(c, PCAP_PACKET_HEADER);
    uint32_t captured = get32(c, p + 8);
    if (captured > CAPFILE_PACKET_MAX)
        return bad(c, "the captured length is absurd: the file is damaged");
    if (len - PCAP_PACKET_HEADER < captured)
        return need(c, PCAP_PACKET_HEADER + (size_t)captured);
    uint64_t fraction = get32(c, p + 4);
    *out = (struct capfile_packet){
        .link_type = i->link_type,
        .data = {p + PCAP_PACKET_HEADER, captured},
        .original_len = get32(c, p + 12),
        .time_ns = (uint64_t)get32(c, p) * ns_per_s + (i->ticks_per_s == ns_per_s ? fraction : fraction * 1000),
    };
    *used = PCAP_PACKET_HEADER + (size_t)captured;
    return CAPFILE_PACKET;
}

/* ---- pcapng --------------------------------------------------------------------------------------------------------- */

static void read_resolution(struct capfile_interface *i, uint8_t value)
{
    unsigned exponent = value & 0x7f;
    uint64_t ticks = 1;
    for (unsigned n = 0; n < exponent && ticks < UINT64_MAX / 20; n++)
        ticks *= (value & 0x80) != 0 ? 2 : 10;
    i->ticks_per_s = ticks;
}

static void read_options(struct capfile *c, struct capfile_interface *i, const uint8_t *p, size_t len)
{
    while (len >= 4) {
        unsigned code = get16(c, p);
        size_t size = get16(c, p + 2), room = (size + 3) & ~(size_t)3;
        if (code == 0 || room > len - 4)
            return;
        if (code == OPTION_RESOLUTION && size >= 1)
            read_resolution(i, p[4]);
        if (code == OPTION_OFFSET && size == 8) {
            uint32_t low = get32(c, p + (c->big_endian ? 8 : 4)), high = get32(c, p + (c->big_endian ? 4 : 8));
            i->offset_s = (int64_t)((uint64_t)high << 32 | low);
        }
        p += 4 + room;
        len -= 4 + room;
    }
}

static enum capfile_result read_interface(struct capfile *c, const uint8_t *body, size_t len)
{
    if (len < 8)
        return bad(c, "an interface block is too short: the file is damaged");
    struct capfile_interface i = {
        .link_type = get16(c, body), .ticks_per_s = 1000000, .snap_len = get32(c, body + 4)};
    read_options(c, &i, body + 8, len - 8);
    if (c->n_interfaces < CAPFILE_INTERFACES_MAX)
        c->n_interfaces++;
    c->interfaces[c->n_interfaces - 1] = i;
    return CAPFILE_SKIPPED;
}

static const struct capfile_interface *find_interface(const struct capfile *c, uint32_t n)
{
    if (c->n_interfaces == 0)
        return NULL;
    return &c->interfaces[n < c->n_interfaces ? n : c->n_interfaces - 1];
}

/* header: bytes of the body in front of the packet. */
static enum capfile_result give(struct capfile *c, struct capfile_packet *out, uint32_t interface, uint64_t ticks,
                                struct tw_span body, size_t header, uint32_t captured, uint32_t original)
{
    const struct capfile_interface *i = find_interface(c, interface);
    if (i == NULL)
        return bad(c, "a packet stands before the description of its interface: the file is damaged");
    if (captured > body.len - header || captured > CAPFILE_PACKET_MAX)
        return bad(c, "a packet is longer than its block: the file is damaged");
    *out = (struct capfile_packet){i->link_type, {body.data + header, captured}, original, to_ns(i, ticks)};
    return CAPFILE_PACKET;
}

static enum capfile_result read_packet(struct capfile *c, struct capfile_packet *out, uint32_t type, struct tw_span b)
{
    size_t header = type == BLOCK_SIMPLE ? 4 : 20;
    if (b.len < header)
        return bad(c, "a packet block is too short: the file is damaged");
    if (type == BLOCK_SIMPLE) { /* no time, no length of its own */
        uint32_t original = get32(c, b.data), captured = original;
        if (c->n_interfaces > 0 && c->interfaces[0].snap_len != 0 && captured > c->interfaces[0].snap_len)
            captured = c->interfaces[0].snap_len;
        if (captured > b.len - header)
            captured = (uint32_t)(b.len - header);
        return give(c, out, 0, 0, b, header, captured, original);
    }
    uint32_t interface = type == BLOCK_ENHANCED ? get32(c, b.data) : get16(c, b.data);
    uint64_t ticks = (uint64_t)get32(c, b.data + 4) << 32 | get32(c, b.data + 8);
    return give(c, out, interface, ticks, b, header, get32(c, b.data + 12), get32(c, b.data + 16));
}

/* A section header says anew in which byte order what follows is. */
static enum capfile_result begin_section(struct capfile *c, const uint8_t *p, size_t len)
{
    if (len < BLOCK_MIN)
        return need(c, BLOCK_MIN);
    c->big_endian = be32(p + 8) == byte_order;
    if (!c->big_endian && le32(p + 8) != byte_order)
        return bad(c, "the byte order of a section is unknown: the file is damaged");
    c->begun = c->is_pcapng = true;
    c->n_interfaces = 0;
    return CAPFILE_SKIPPED;
}

static enum capfile_result next_pcapng(struct capfile *c, struct capfile_packet *out, size_t *used, const uint8_t *p,
                                       size_t len)
{
    enum capfile_result r = CAPFILE_SKIPPED;
    if (len < 8)
        return need(c, 8);
    uint32_t type = get32(c, p);
    if (type == block_section && (r = begin_section(c, p, len)) != CAPFILE_SKIPPED)
        return r;
    size_t size = get32(c, p + 4);
    if (size < BLOCK_MIN || size > CAPFILE_BLOCK_MAX || size % 4 != 0)
        return bad(c, "the length of a block is absurd: the file is damaged");
    if (len < size)
        return need(c, size);
    struct tw_span body = {p + 8, size - BLOCK_MIN};
    switch (type) {
    case BLOCK_INTERFACE: r = read_interface(c, body.data, body.len); break;
    case BLOCK_ENHANCED:
    case BLOCK_PACKET_OLD:
    case BLOCK_SIMPLE: r = read_packet(c, out, type, body); break;
    default: break;
    }
    *used = r == CAPFILE_BAD ? 0 : size;
    return r;
}

/* ---- Either --------------------------------------------------------------------------------------------------------- */

static enum capfile_result begin(struct capfile *c, struct capfile_packet *out, size_t *used, const uint8_t *p,
                                 size_t len)
{
    if (len < 4)
        return need(c, 4);
    if (be32(p) == block_section)
        return next_pcapng(c, out, used, p, len);
    for (int big = 0; big < 2; big++) {
        c->big_endian = big != 0;
        uint32_t magic = get32(c, p);
        if (magic == magic_us || magic == magic_ns)
            return begin_pcap(c, used, p, len);
        if (magic == magic_modified)
            return bad(c, "a pcap of Kuznetzov's modified kind, which is not read; editcap converts it");
    }
    return bad(c, "it begins like neither pcap nor pcapng");
}

enum capfile_result capfile_next(struct capfile *c, struct capfile_packet *out, size_t *used, const uint8_t *buf,
                                 size_t len)
{
    *used = 0;
    if (!c->begun)
        return begin(c, out, used, buf, len);
    return c->is_pcapng ? next_pcapng(c, out, used, buf, len) : next_pcap(c, out, used, buf, len);
}
