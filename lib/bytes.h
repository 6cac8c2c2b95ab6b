/* bytes.h - the one door through which the bytes of a peer are read and the bytes of a frame written.
 *
 * A cursor never goes past its end: a read that is too long yields zero (or an empty span) and sets ran_out for good,
 * so a parser reads its whole layout and asks once. */
#ifndef TW_BYTES_H
#define TW_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/span.h"

struct cursor {
    const uint8_t *at;
    size_t left;
    bool ran_out;
};

static inline struct cursor cursor_on(struct tw_span s)
{
    return (struct cursor){s.data, s.len, false};
}

static inline struct tw_span cursor_take(struct cursor *c, size_t n)
{
    if (n > c->left) {
        c->ran_out = true;
        c->left = 0;
        return (struct tw_span){0};
    }
    struct tw_span s = {c->at, n};
    if (n > 0)
        c->at += n;
    c->left -= n;
    return s;
}

static inline uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t load_be64(const uint8_t *p)
{
    return (uint64_t)load_be32(p) << 32 | load_be32(p + 4);
}

static inline uint32_t cursor_be32(struct cursor *c)
{
    struct tw_span s = cursor_take(c, 4);
    return s.len == 4 ? load_be32(s.data) : 0;
}

static inline void store_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

#endif
