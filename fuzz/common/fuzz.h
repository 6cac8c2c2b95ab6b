/* fuzz.h - what every harness shares: the claim it makes, fixed keys, and randomness that counts.
 *
 * A harness is one file. It defines fuzz_harness (its name and the form of its inputs) and LLVMFuzzerTestOneInput(),
 * which CHECK()s a property. Linked with libFuzzer or AFL++ it is driven by them, linked with standalone.c it replays
 * files. Keys are fixed and randomness counts up, so an input means the same on every machine and in every build.
 *
 *   form       input
 *   STREAM     context bytes, then bytes as they come off a socket: frames back to back
 *   TAPE       one context byte, then records: operation 1, length 2 (big endian), that many bytes; see tape.h
 *   TEXT       context bytes, then text, most often JSON
 *   CAPTURE    a pcap file */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fuzz_form { FUZZ_STREAM, FUZZ_TAPE, FUZZ_TEXT, FUZZ_CAPTURE };

enum fuzz_keys {
    FUZZ_KEYS_CONNECTION, /**< local key for handshakes, session key for the rest of 3.4 and 3.5 */
    FUZZ_KEYS_DISCOVERY,  /**< the UDP key for everything */
};

struct fuzz_harness {
    const char *name;  /**< fuzz_<name> is the program, corpus/<name> its inputs */
    const char *claim; /**< the property, in one sentence */
    enum fuzz_form form;
    enum fuzz_keys keys;
    size_t context_len; /**< bytes before the stream or text */
};
#ifdef FUZZ_AFL_MUTATOR
extern struct fuzz_harness fuzz_harness; /* chosen when it is loaded: afl.c */
#else
extern const struct fuzz_harness fuzz_harness;
#endif

/** How many inputs reached the integrity check (or, for texts, the parser), and how many passed, by version. A harness says
 * which version is at work, and calls fuzz_gate() once per frame or text that it opened; the runner prints the rates. */
enum { FUZZ_N_VERSIONS = 5, FUZZ_NO_VERSION = FUZZ_N_VERSIONS };
struct fuzz_gates {
    unsigned version; /**< 0 for 3.1 .. 4 for 3.5, or FUZZ_NO_VERSION */
    uint64_t tried[FUZZ_N_VERSIONS + 1], passed[FUZZ_N_VERSIONS + 1];
};
extern struct fuzz_gates fuzz_gates;
void fuzz_gate(bool passed);

/* The golden vectors' invented world (tests/vectors/README.md), so that vectors are seeds as they are. */
extern const uint8_t fuzz_local_key[16];      /**< "0123456789abcdef" */
extern const uint8_t fuzz_session_key_34[16]; /**< a0 a1 .. af */
extern const uint8_t fuzz_session_key_35[16]; /**< b0 b1 .. bf */
extern const uint8_t fuzz_udp_key[16];        /**< MD5("yGAdlopoPVldABfn") */
extern const char fuzz_device_id[];           /**< "fake0000000000000000id" */

/** Stop here, loudly, when the property does not hold. */
#define CHECK(condition) ((condition) ? (void)0 : fuzz_failed(#condition, __FILE__, __LINE__))
_Noreturn void fuzz_failed(const char *condition, const char *file, int line);

/** Context bits of streams and texts: which version, which direction, and four free bits. */
enum { FUZZ_CONTEXT_FROM_DEVICE = 0x08 };
unsigned fuzz_context_version(uint8_t context); /**< 0 for 3.1 .. 4 for 3.5: the low three bits, modulo 5 */

/** A tw_random_fn whose bytes count up: ctx is a uint64_t that the harness sets before each input. Never fails. */
int fuzz_random(void *ctx, uint8_t *buf, size_t len);

/** Small, fast, repeatable. Any start is a good start. Splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom
 * number generators", 2014. In the header, because it is called more often than anything else. */
struct fuzz_rng {
    uint64_t state;
};
static inline uint64_t fuzz_rng_next(struct fuzz_rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/** 0 to n - 1; 0 when n is 0. n is below 2^32. */
static inline size_t fuzz_rng_below(struct fuzz_rng *r, size_t n)
{
    return (size_t)((fuzz_rng_next(r) >> 32) * n >> 32);
}

/** Levels of nesting of a text that is JSON. */
unsigned fuzz_json_levels(const uint8_t *json, size_t len);

/** A number that depends on every byte: harnesses take cuts and flips from it, so that inputs need no room for them. */
uint64_t fuzz_hash(const uint8_t *data, size_t len);

/** Who looks on while an input runs (fuzz_<name> --show): steps of a tape as they are taken, and bytes that travel. A
 * harness of an engine calls fuzz_connected() and fuzz_carried(); tape_next() tells the steps. */
struct tape_record;
struct fuzz_witness {
    void (*step)(const struct tape_record *t, bool first);
    void (*connected)(unsigned connection);
    void (*carried)(unsigned connection, bool to_device, const uint8_t *data, size_t len);
};
extern const struct fuzz_witness *fuzz_witness; /**< NULL: nobody */

static inline void fuzz_connected(unsigned connection)
{
    if (fuzz_witness != NULL)
        fuzz_witness->connected(connection);
}

/** data NULL: so many bytes were sent, and are missing. */
static inline void fuzz_carried(unsigned connection, bool to_device, const uint8_t *data, size_t len)
{
    if (fuzz_witness != NULL && len > 0)
        fuzz_witness->carried(connection, to_device, data, len);
}

/** Under AddressSanitizer: make bytes unreadable (and readable again), to see a parser look past its span. */
void fuzz_hide(const uint8_t *data, size_t len);
void fuzz_show(const uint8_t *data, size_t len);

/** Under AddressSanitizer: new memory is full of this byte, 0: of what it always is. Twice the same input with different
 * bytes shows what is read without having been written, even if nothing else differs. */
void fuzz_fill(uint8_t byte);

/** Under AddressSanitizer: from now on no memory that is given back may hold these 16 bytes; NULL: all may again. */
void fuzz_keep_secret(const uint8_t *key);

/* The interface of libFuzzer, which AFL++ and OSS-Fuzz speak too. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
void fuzz_fallback_seed(uint64_t seed); /**< of LLVMFuzzerMutate(), where fallback.c stands in for libFuzzer */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out,
                                 size_t max_out, unsigned int seed);

#endif
