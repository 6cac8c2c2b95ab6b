/* pcapng.c - see pcapng.h. Numbers are written little endian; the byte order magic says so. */
#include "pcapng.h"
#include <string.h>

enum { SECTION_HEADER = 0x0A0D0D0A, INTERFACE = 1, ENHANCED_PACKET = 6, BYTE_ORDER = 0x1A2B3C4D };
enum { OPT_END = 0, OPT_USER_APPLICATION = 4, OPT_RESOLUTION = 9, NANOSECONDS = 9 };

static void put16(struct out *out, uint16_t v)
{
    uint8_t b[2] = {(uint8_t)v, (uint8_t)(v >> 8)};
    out_bytes(out, b, sizeof b);
}

static void put32(struct out *out, uint32_t v)
{
    put16(out, (uint16_t)v);
    put16(out, (uint16_t)(v >> 16));
}

static size_t padded(size_t n)
{
    return (n + 3) & ~(size_t)3;
}

static void put_padded(struct out *out, const void *data, size_t n)
{
    static const uint8_t zeros[4];
    out_bytes(out, data, n);
    out_bytes(out, zeros, padded(n) - n);
}

void pcapng_begin(struct out *out, uint16_t link_type, const char *application)
{
    size_t n = strlen(application);
    uint32_t size = (uint32_t)(28 + 4 + padded(n) + 4);
    put32(out, SECTION_HEADER);
    put32(out, size);
    put32(out, BYTE_ORDER);
    put16(out, 1); /* version 1.0 */
    put16(out, 0);
    put32(out, 0xffffffff); /* section length: unknown, 64 bits */
    put32(out, 0xffffffff);
    put16(out, OPT_USER_APPLICATION);
    put16(out, (uint16_t)n);
    put_padded(out, application, n);
    put32(out, OPT_END);
    put32(out, size);

    static const uint8_t resolution = NANOSECONDS;
    put32(out, INTERFACE);
    put32(out, 32);
    put16(out, link_type);
    put16(out, 0);
    put32(out, 0); /* no snap length */
    put16(out, OPT_RESOLUTION);
    put16(out, 1);
    put_padded(out, &resolution, 1);
    put32(out, OPT_END);
    put32(out, 32);
}

void pcapng_packet(struct out *out, uint64_t time_ns, struct tw_span head, struct tw_span body)
{
    static const uint8_t zeros[4];
    size_t n = head.len + body.len;
    uint32_t size = (uint32_t)(32 + padded(n));
    put32(out, ENHANCED_PACKET);
    put32(out, size);
    put32(out, 0); /* interface */
    put32(out, (uint32_t)(time_ns >> 32));
    put32(out, (uint32_t)time_ns);
    put32(out, (uint32_t)n);
    put32(out, (uint32_t)n);
    out_span(out, head);
    out_span(out, body);
    out_bytes(out, zeros, padded(n) - n);
    put32(out, size);
}
