/* afl.c - the mutators as a library for AFL++: AFL_CUSTOM_MUTATOR_LIBRARY=libfuzz_afl.so.
 *
 * AFL++ cannot say which harness it runs: TUYAWIRE_FUZZ_HARNESS in the environment names it. What the harnesses say of
 * their inputs is in afl_table.h, which afl_table.py writes.
 * Interface: AFL++ docs/custom_mutators.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"

enum { OUT_MAX = 1 << 20 };

static const struct fuzz_harness known[] = {
#include "afl_table.h"
};
struct fuzz_harness fuzz_harness;

struct afl_mutator {
    struct fuzz_rng rng;
    uint8_t out[OUT_MAX];
};

void *afl_custom_init(void *afl, unsigned int seed);
size_t afl_custom_fuzz(struct afl_mutator *m, uint8_t *buf, size_t size, uint8_t **out, uint8_t *other,
                       size_t other_size, size_t max_size);
void afl_custom_deinit(struct afl_mutator *m);

/* see AFL++ docs/custom_mutators.md, here and below */
void *afl_custom_init(void *afl, unsigned int seed)
{
    (void)afl;
    const char *name = getenv("TUYAWIRE_FUZZ_HARNESS");
    for (size_t i = 0; name != NULL && i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            fuzz_harness = known[i];
    if (fuzz_harness.name == NULL) {
        fprintf(stderr, "tuyawire: set TUYAWIRE_FUZZ_HARNESS to the name of the harness (frame, open, ...)\n");
        return NULL;
    }
    struct afl_mutator *m = calloc(1, sizeof *m);
    if (m != NULL)
        m->rng.state = seed;
    fuzz_fallback_seed(seed);
    return m;
}

size_t afl_custom_fuzz(struct afl_mutator *m, uint8_t *buf, size_t size, uint8_t **out, uint8_t *other,
                       size_t other_size, size_t max_size)
{
    unsigned choice = (unsigned)fuzz_rng_next(&m->rng);
    size_t cap = max_size < OUT_MAX ? max_size : OUT_MAX;
    *out = m->out;
    if (other != NULL && choice % 4 == 0) {
        size = LLVMFuzzerCustomCrossOver(buf, size, other, other_size, m->out, cap, choice >> 2);
    } else {
        size = size < cap ? size : cap;
        memcpy(m->out, buf, size);
        size = LLVMFuzzerCustomMutator(m->out, size, cap, choice >> 2);
    }
    return size > 0 ? size : 1; /* AFL++ takes 0 for an error */
}

void afl_custom_deinit(struct afl_mutator *m)
{
    free(m);
}
