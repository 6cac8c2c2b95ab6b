/* store.h - the data points of a device as last heard, each as the JSON text it came as. */
#ifndef CTL_STORE_H
#define CTL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/dps.h"

struct store_dp {
    uint32_t id;
    char *text; /* JSON, NUL-terminated */
    size_t len;
    uint64_t heard; /* store.clock when it came last */
};

/** Data points that are kept: devices have up to 255, but anybody can go on inventing them. Ours. */
enum { STORE_DPS_MAX = 1024 };

struct store {
    struct store_dp *dps; /* ascending by id */
    size_t n, cap;
    uint64_t clock; /* counts messages */
};

/** Take over what an object of data points says. @return 0; -1: out of memory, or more of them than are kept */
int store_merge(struct store *s, struct tw_span dps);

/** NULL: never heard of. */
const struct store_dp *store_find(const struct store *s, uint32_t id);

/** The value: its JSON text, and what it is. */
struct tw_span store_text(const struct store_dp *dp);
struct tw_value store_value(const struct store_dp *dp);

void store_free(struct store *s);

#endif
