/* profile_store.h - how profiles are put together; for the files that read them from somewhere. */
#ifndef SIM_MODEL_PROFILE_STORE_H
#define SIM_MODEL_PROFILE_STORE_H

#include "arena.h"
#include "profile.h"

struct profile_store {
    struct arena arena;
    unsigned n_users;
    struct profile profile;
};

/** A profile with one user and nothing in it; NULL: no memory. */
struct profile_store *profile_begin(void);

/** Complete a shape whose dps stand in ascending order in the arena: index, keys, pairs, initial values. */
void shape_finish(struct arena *a, struct shape *s, struct dp_spec *dps, size_t n);

/** Names of roles, in the order of enum dp_role. */
extern const char *const dp_role_names[];
extern const size_t n_dp_role_names;

/** The role that a standard code stands for: switch_1, countdown_usb1, cur_power, ..; and its channel. */
enum dp_role role_of_code(uint8_t *channel, const char *code);

/** The JSON text "..." of a string, in the arena. */
const char *store_json_string(struct arena *a, const char *utf8, size_t *len);

/** One more problem, as one line. */
void problem_add(struct problems *p, const char *format, ...) SAY_FORMAT(2, 3);

#endif
