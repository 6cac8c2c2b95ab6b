/* fleet_internal.h - what the files that make up a fleet share. */
#ifndef SIM_MODEL_FLEET_INTERNAL_H
#define SIM_MODEL_FLEET_INTERNAL_H

#include <string.h>
#include "fleet.h"

enum { DEVICE_ID_MAX = 64 };

static inline struct tw_span span_of(const char *s)
{
    return (struct tw_span){(const uint8_t *)s, strlen(s)};
}

/* Room for n more devices, no more than that: ten thousand are a megabyte. -1: no memory. */
int fleet_reserve(struct fleet *f, size_t n);

/* fleet_add() with what only a user's file knows. child_ids: of the sub-devices, "" where there is none; may be NULL. */
int fleet_add_device(struct fleet *f, const struct device *in, const char *const *child_ids, struct why *why);

/* Is this id taken, by a device or by a sub-device? */
bool fleet_has_id(const struct fleet *f, struct tw_span id);

/* Can it be an id: printable ASCII without blanks, not too long? */
bool fleet_id_is_good(const char *id);

uint64_t fleet_hash_text(struct tw_span s);

#endif
