/* builtin.h - the profiles of sim/profiles as they were when the program was built (embed.py writes the table). */
#ifndef SIM_MODEL_BUILTIN_H
#define SIM_MODEL_BUILTIN_H

#include <stddef.h>

struct builtin {
    const char *name; /* file name without suffix */
    const char *text; /* JSON, len bytes */
    size_t len;
};

extern const struct builtin builtins[]; /* ascending by name */
extern const size_t n_builtins;

#endif
