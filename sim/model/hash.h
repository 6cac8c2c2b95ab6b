/* hash.h - chance without state: every random choice is a hash of what it is for.
 *
 * value = hash(seed, device, source, second): no generator is carried along, so it does not matter how often or in
 * which order anybody looks. The mixer is splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
 * generators, 2014). */
#ifndef SIM_MODEL_HASH_H
#define SIM_MODEL_HASH_H

#include <stdint.h>

static inline uint64_t hash_mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/** The key of one source of one device: hash_at() of it is one stream of chance. */
static inline uint64_t hash_key(uint64_t seed, uint64_t device, uint64_t source)
{
    return hash_mix(hash_mix(hash_mix(seed) ^ device) ^ source);
}

static inline uint64_t hash_at(uint64_t key, uint64_t n)
{
    return hash_mix(key ^ (n * 0xD1B54A32D192ED03u));
}

/** A whole number from lo to hi. */
static inline uint32_t hash_range(uint64_t h, uint32_t lo, uint32_t hi)
{
    return lo + (uint32_t)(((h >> 32) * ((uint64_t)hi - lo + 1)) >> 32);
}

enum { HASH_GAUSS_SIGMA = 37837 }; /* of hash_gauss(): 65536 / sqrt(3) */

/** Nearly Gaussian: the sum of four 16-bit pieces, centred. At most 3.46 sigma. */
static inline int32_t hash_gauss(uint64_t h)
{
    return (int32_t)((h & 0xffff) + ((h >> 16) & 0xffff) + ((h >> 32) & 0xffff) + (h >> 48)) - 131070;
}

/** The same with this sigma, in any unit. */
static inline int64_t hash_noise(uint64_t h, int64_t sigma)
{
    return sigma * hash_gauss(h) / HASH_GAUSS_SIGMA;
}

#endif
