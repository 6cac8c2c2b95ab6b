/* mutator.c - libFuzzer's two hooks: which mutator fits the harness's form. AFL++ comes in through afl.c. */
#include "fuzz.h"
#include <string.h>
#include "mutate.h"

static bool to_device(uint8_t context)
{
    return (context & FUZZ_CONTEXT_FROM_DEVICE) == 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    struct fuzz_rng r = {seed};
    size_t context = fuzz_harness.context_len;
    if (fuzz_harness.form == FUZZ_TAPE)
        return mutate_tape(data, size, max_size, &r);
    if (fuzz_harness.form == FUZZ_CAPTURE)
        return mutate_capture(data, size, max_size, &r);
    if (size < context || max_size <= context)
        return LLVMFuzzerMutate(data, size, max_size);
    if (context > 0 && fuzz_rng_below(&r, 24) == 0)
        data[fuzz_rng_below(&r, context)] = (uint8_t)fuzz_rng_next(&r);
    uint8_t first = context > 0 ? data[0] : 0;
    data += context, size -= context, max_size -= context;
    size = fuzz_harness.form == FUZZ_TEXT ? mutate_json(data, size, max_size, &r)
                                          : mutate_stream(data, size, max_size, &r, fuzz_harness.keys,
                                                          fuzz_context_version(first), to_device(first));
    return size + context;
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out,
                                 size_t max_out, unsigned int seed)
{
    struct fuzz_rng r = {seed};
    size_t context = fuzz_harness.context_len;
    if (fuzz_harness.form == FUZZ_TAPE)
        return cross_tapes(data1, size1, data2, size2, out, max_out, &r);
    if (fuzz_harness.form == FUZZ_CAPTURE)
        return cross_captures(data1, size1, data2, size2, out, max_out, &r);
    if (size1 < context || size2 < context || max_out < context)
        return 0;
    uint8_t first = context > 0 ? data1[0] : 0;
    if (context > 0)
        memcpy(out, data1, context);
    data1 += context, size1 -= context, data2 += context, size2 -= context, out += context, max_out -= context;
    size_t size = fuzz_harness.form == FUZZ_TEXT
                      ? cross_json(data1, size1, data2, size2, out, max_out, &r)
                      : cross_streams(data1, size1, data2, size2, out, max_out, &r, fuzz_harness.keys,
                                      fuzz_context_version(first), to_device(first));
    return size + context;
}
