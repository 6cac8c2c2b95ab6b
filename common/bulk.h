/* common/bulk.h - take what is bulky out of a JSON text before a tree is made of it.
 *
 *   {"id":"a","mapping":{ .. 2000 bytes .. },"dps":{"1":true}}   becomes   {"id":"a","mapping":{"":0},"dps":{"":1}}
 *
 * A devices.json of 10,000 equal plugs is 23 MB, of which 20 are the same mapping ten thousand times over: a tree of
 * all of it costs half a second. Equal texts are kept once, and found by comparing bytes, so the copies are passed over
 * at the speed of memory. And the text of a value keeps every digit, where a tree of doubles does not. */
#ifndef COMMON_BULK_H
#define COMMON_BULK_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/span.h"

struct bulk_item {
    struct tw_span text; /* an object, borrowed from the whole text; not checked */
    uint64_t hash;
    const void *made; /* whatever was read from it, for all who have it; NULL at first */
    size_t n_made;
    bool is_made;
};

/* Zero it to begin. */
struct bulk {
    struct bulk_item *items; /* each text once */
    size_t n, cap;
    uint32_t *slots; /* positions + 1, by hash */
    size_t n_slots;
};

/** Copy a text, with the objects that members "mapping" and "dps" hold replaced by {"":N}, N their position in items.
 * Text that is not JSON is copied as it is from where that shows.
 * @param out  len bytes suffice and are there, plus one; *out_len of them are used, and a NUL behind
 * @return 0; -1: no memory */
int bulk_take(struct bulk *b, char *out, size_t *out_len, const char *text, size_t len);

/** The item that stands in the tree as {"":N}; NULL: it is none. */
struct bulk_item *bulk_item_of(const struct bulk *b, const cJSON *value);

void bulk_free(struct bulk *b);

#endif
