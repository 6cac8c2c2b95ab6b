/* fuzz.c - checks, keys, counting randomness; see fuzz.h. */
#include "fuzz.h"
#include <stdio.h>
#include <stdlib.h>

const uint8_t fuzz_local_key[16] = "0123456789abcdef";
const uint8_t fuzz_session_key_34[16] = {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
                                         0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
const uint8_t fuzz_session_key_35[16] = {0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7,
                                         0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf};
const uint8_t fuzz_udp_key[16] = {0x6c, 0x1e, 0xc8, 0xe2, 0xbb, 0x9b, 0xb5, 0x9a,
                                  0xb5, 0x0b, 0x0d, 0xaf, 0x64, 0x9b, 0x41, 0x0a};
const char fuzz_device_id[] = "fake0000000000000000id";

struct fuzz_gates fuzz_gates = {.version = FUZZ_NO_VERSION};
const struct fuzz_witness *fuzz_witness;

/* see fuzz.h */
void fuzz_gate(bool passed)
{
    fuzz_gates.tried[fuzz_gates.version]++;
    fuzz_gates.passed[fuzz_gates.version] += passed;
}

/* see fuzz.h */
_Noreturn void fuzz_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s: the property does not hold: %s (%s:%d)\n%s: it claims: %s\n", fuzz_harness.name, condition,
            file, line, fuzz_harness.name, fuzz_harness.claim);
    abort();
}

/* see fuzz.h */
unsigned fuzz_context_version(uint8_t context)
{
    return (context & 7u) % FUZZ_N_VERSIONS;
}

/* see fuzz.h */
int fuzz_random(void *ctx, uint8_t *buf, size_t len)
{
    uint64_t *counter = ctx;
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)((*counter)++);
    return 0;
}

/* see fuzz.h */
unsigned fuzz_json_levels(const uint8_t *json, size_t len)
{
    unsigned depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = json[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            deepest = ++depth > deepest ? depth : deepest;
        else if (!in_string && (c == '}' || c == ']'))
            depth--;
    }
    return deepest;
}

/* see fuzz.h. Eight bytes a step: the hash is taken of every input. */
uint64_t fuzz_hash(const uint8_t *data, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u ^ len;
    for (; len >= 8; data += 8, len -= 8) {
        uint64_t word = 0;
        for (int i = 0; i < 8; i++) /* the same number on either endianness; compilers make it one load */
            word |= (uint64_t)data[i] << (8 * i);
        h = (h ^ word) * 0x100000001b3u;
        h ^= h >> 29;
    }
    for (size_t i = 0; i < len; i++)
        h = (h ^ data[i]) * 0x100000001b3u;
    return fuzz_rng_next(&(struct fuzz_rng){h});
}
