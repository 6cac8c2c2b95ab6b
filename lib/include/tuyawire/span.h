/* tuyawire/span.h - a run of bytes that somebody else owns.
 *
 * Parsing hands out views, not copies. Whose bytes they are, and how long they live, stands at each function
 * that returns one. An empty span may have data == NULL. */
#ifndef TUYAWIRE_SPAN_H
#define TUYAWIRE_SPAN_H

#include <stddef.h>
#include <stdint.h>

struct tw_span {
    const uint8_t *data; /**< borrowed; may be NULL when len is 0 */
    size_t len;          /**< bytes */
};

#endif
