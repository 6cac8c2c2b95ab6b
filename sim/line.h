/* line.h - a slow or bad line between a device and one client: bytes wait, are cut, glued or held back.
 *
 * Only connections with such a fault have one; all others write straight to their socket. Order is always kept. */
#ifndef SIM_LINE_H
#define SIM_LINE_H

#include "server_private.h"

/** What a line does to each segment; zero: nothing. */
struct line_traits {
    uint32_t latency_ms;
    uint32_t jitter_ms;       /**< up to so much more, from the seed */
    uint32_t bytes_per_s;     /**< 0: no limit */
    uint32_t slice, slice_ms; /**< segments of so many bytes, so far apart; 0: as they come */
    uint32_t glue_ms;         /**< all within this time in one segment */
};

/** Give a connection a line, or change it. @return 0; -1: out of memory */
int line_set(struct conn *c, const struct line_traits *t);

/** Send these bytes, extra_ms later than the line would. Bytes that do not fit into the line's memory close the
 * connection. */
void line_put(struct conn *c, const uint8_t *bytes, size_t n);
void line_put_later(struct conn *c, const uint8_t *bytes, size_t n, uint32_t extra_ms);

void line_free(struct conn *c);

#endif
