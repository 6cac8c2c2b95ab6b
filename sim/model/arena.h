/* arena.h - many small texts and lists that live and die together. */
#ifndef SIM_MODEL_ARENA_H
#define SIM_MODEL_ARENA_H

#include <stddef.h>
#include "tuyawire/span.h"

/** Zero it to begin. After a failed allocation `failed` stays set, so that a builder may ask once, at its end. */
struct arena {
    struct arena_block *blocks;
    size_t block; /**< bytes of the newest one, as it was when it was made: texts eat it from its end */
    int failed;
};

/** Zeroed bytes, aligned for anything; NULL: no memory. */
void *arena_alloc(struct arena *a, size_t size);

/** A copy with a NUL behind it. "" without a copy for an empty text; also "" when there is no memory. */
const char *arena_text(struct arena *a, const char *s);
const char *arena_span(struct arena *a, struct tw_span s);

void arena_free(struct arena *a);
size_t arena_bytes(const struct arena *a); /* allocated so far */

#endif
