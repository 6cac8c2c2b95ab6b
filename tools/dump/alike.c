/* alike.c - see alike.h. */
#include "alike.h"
#include <string.h>

enum {
    FRONT = 16, /* bytes of a block within which stands all that is looked at */
    BLOCK_MIN = 12,
    BLOCK_INTERFACE = 1,
    BLOCK_PACKET_OLD = 2,
    BLOCK_SIMPLE = 3,
    BLOCK_ENHANCED = 6,
};
static const uint32_t block_section = 0x0a0d0d0a, byte_order = 0x1a2b3c4d;

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t get32(const struct alike *a, const uint8_t *p)
{
    return a->big_endian ? be32(p) : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static uint16_t get16(const struct alike *a, const uint8_t *p)
{
    return (uint16_t)(a->big_endian ? p[0] << 8 | p[1] : p[1] << 8 | p[0]);
}

static void put(const struct alike *a, uint8_t *p, unsigned n_bytes, uint32_t n)
{
    for (unsigned i = 0; i < n_bytes; i++)
        p[i] = (uint8_t)(n >> 8 * (a->big_endian ? n_bytes - 1 - i : i));
}

static void take_section(struct alike *a, const uint8_t *front)
{
    bool big_endian = be32(front + 8) == byte_order;
    if (a->has_first && big_endian != a->big_endian)
        a->error = "here begins a section in the other byte order, which libpcap does not read; "
                   "editcap rewrites such a file";
    a->big_endian = big_endian;
    a->n_interfaces = 0;
    a->simple_max = 0;
}

/* Later interfaces get the link type of the first one, and all of them no limit: packets of another interface may be
 * longer than that of the first. */
static void take_interface(struct alike *a, uint8_t *front)
{
    uint16_t link_type = get16(a, front + 8);
    if (a->n_interfaces == 0)
        a->simple_max = get32(a, front + 12);
    if (a->n_interfaces < ALIKE_INTERFACES_MAX)
        a->link_types[a->n_interfaces++] = link_type;
    if (!a->has_first) {
        a->has_first = true;
        a->first_link_type = link_type;
    }
    put(a, front + 8, 2, a->first_link_type);
    put(a, front + 12, 4, 0);
}

/* A simple packet says only how long it was; how much of it is there says the limit of its interface. */
static void take_simple(const struct alike *a, uint8_t *front)
{
    if (a->simple_max != 0 && get32(a, front + 8) > a->simple_max)
        put(a, front + 8, 4, a->simple_max);
}

/* Of the packet in a block; that of the current run for a block without a packet. */
static uint16_t link_type_of(const struct alike *a, uint32_t type, const uint8_t *front)
{
    if (type != BLOCK_ENHANCED && type != BLOCK_PACKET_OLD && type != BLOCK_SIMPLE)
        return a->link_type;
    uint32_t n = type == BLOCK_SIMPLE ? 0 : type == BLOCK_ENHANCED ? get32(a, front + 8) : get16(a, front + 8);
    return n < a->n_interfaces ? a->link_types[n] : a->first_link_type;
}

/* Look at the front of a block, and make it what libpcap shall read.
 * @return the length of the block; 0: it does not belong to this run, or not to what libpcap reads at all */
static size_t take_front(struct alike *a, uint8_t *front, bool is_first_of_run)
{
    uint32_t type = get32(a, front);
    if (type == block_section)
        take_section(a, front);
    size_t size = get32(a, front + 4);
    if (size < BLOCK_MIN)
        return SIZE_MAX; /* damaged: nothing behind it can be told apart */
    if (a->error != NULL)
        return 0;
    uint16_t link_type = link_type_of(a, type, front);
    if (link_type != a->link_type && !is_first_of_run)
        return 0;
    a->link_type = link_type;
    if (type == BLOCK_INTERFACE && size >= FRONT)
        take_interface(a, front);
    if (type == BLOCK_SIMPLE && size >= FRONT)
        take_simple(a, front);
    return size;
}

bool alike_is_pcapng(const uint8_t first[4])
{
    return be32(first) == block_section;
}

size_t alike_pass(struct alike *a, uint8_t *out, size_t cap, const uint8_t *in, size_t len, bool at_end)
{
    size_t n = 0;
    while (n < len && n < cap) {
        uint8_t *front = out + n;
        size_t step = a->left;
        if (step == 0 && len - n < FRONT) {
            if (!at_end)
                break;
            step = a->left = len - n; /* the last block, without a body; or the file is cut off */
        } else if (step == 0) {
            if (cap - n < FRONT)
                break;
            memcpy(front, in + n, FRONT);
            a->left = take_front(a, front, n == 0);
            if (a->left == 0)
                break;
            step = a->left < FRONT ? a->left : FRONT;
            n += step;
            a->left -= step;
            continue;
        }
        step = step < len - n ? step : len - n;
        step = step < cap - n ? step : cap - n;
        memcpy(front, in + n, step);
        n += step;
        a->left -= step;
    }
    return n;
}
