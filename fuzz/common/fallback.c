/* fallback.c - LLVMFuzzerMutate() where there is no libFuzzer: a small deterministic mutator, so that custom mutators
 * can be exercised, and their rate measured, with any compiler, and so that AFL++ can use them. */
#include <string.h>
#include "fuzz.h"

static struct fuzz_rng engine_rng = {1};

/* see fuzz.h */
void fuzz_fallback_seed(uint64_t seed)
{
    engine_rng.state = seed;
}

/* One of the changes that libFuzzer makes, too: flip, set, insert, erase, copy inside, number. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    struct fuzz_rng *r = &engine_rng;
    if (size == 0 && max_size > 0) {
        data[0] = (uint8_t)fuzz_rng_next(r);
        return 1;
    }
    if (size == 0)
        return 0;
    size_t at = fuzz_rng_below(r, size);
    switch (fuzz_rng_below(r, 6)) {
    case 0: data[at] ^= (uint8_t)(1u << fuzz_rng_below(r, 8)); return size;
    case 1: data[at] = (uint8_t)fuzz_rng_next(r); return size;
    case 2:
        if (size == max_size)
            return size;
        memmove(data + at + 1, data + at, size - at);
        data[at] = (uint8_t)fuzz_rng_next(r);
        return size + 1;
    case 3: {
        size_t n = 1 + fuzz_rng_below(r, size - at);
        memmove(data + at, data + at + n, size - at - n);
        return size - n > 0 ? size - n : 1;
    }
    case 4: {
        size_t from = fuzz_rng_below(r, size);
        size_t room = size - (at > from ? at : from);
        memmove(data + at, data + from, 1 + fuzz_rng_below(r, room));
        return size;
    }
    default: data[at] = (uint8_t) "\x00\xff\x7f\x80\x01\x10\x20\x40"[fuzz_rng_below(r, 8)]; return size;
    }
}
