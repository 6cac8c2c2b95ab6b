/* bytes.h - the one door through which the bytes of a peer are read and the bytes of a frame written.
 *
 * A cursor never goes past its end: a read that is too long yields an empty span and sets ran_out for good. */
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

/* ASCII that can be printed, and nothing else. */
static inline bool is_printable(struct tw_span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < 0x20 || s.data[i] > 0x7E)
            return false;
    return true;
}

static inline uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void store_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

#endif
