/* rng.h - the one source of chance of a run: everything follows from its seed.
 *
 * splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). It is no secret generator:
 * the keys it helps to negotiate guard simulated plugs. */
#ifndef SIM_RNG_H
#define SIM_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline uint64_t rng_next(struct rng *r)
{
    return rng_mix(r->state += 0x9E3779B97F4A7C15u);
}

/** A number that follows from these three and nothing else. */
static inline uint64_t rng_hash(uint64_t seed, uint64_t a, uint64_t b)
{
    return rng_mix(rng_mix(rng_mix(seed + 0x9E3779B97F4A7C15u) ^ a) + b);
}

/** A tw_random_fn over a struct rng. Device nonces (16 bytes) are lower-case hex characters, as TuyaOpen and logged
 * 3.4 devices send them. */
static inline int rng_fill(void *ctx, uint8_t *buf, size_t len)
{
    struct rng *r = ctx;
    uint64_t v = 0;
    for (size_t i = 0; i < len; i++, v >>= 8) {
        if (i % 8 == 0)
            v = rng_next(r);
        buf[i] = len == 16 ? (uint8_t) "0123456789abcdef"[v & 15] : (uint8_t)v;
    }
    return 0;
}

#endif
