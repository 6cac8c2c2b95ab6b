/* tuyawire/crypto.h - a workbench for the few algorithms of the protocol.
 *
 * AES-128-ECB, AES-128-GCM, HMAC-SHA256 and MD5, with what is expensive kept ready: fetched algorithms, and keyed
 * contexts of the keys used lately. Keys stay what they are on the wire, 16 bytes, wherever they are stored; only
 * this bench turns them into key schedules. Ten thousand devices therefore cost 16 bytes each, and a connection that
 * talks pays for its schedule once.
 *
 * One bench serves one thread. It is not a secret store: tw_crypto_free() and tw_crypto_forget() wipe. */
#ifndef TUYAWIRE_CRYPTO_H
#define TUYAWIRE_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { TW_KEY_LEN = 16, TW_NONCE_LEN = 12, TW_TAG_LEN = 16, TW_HMAC_LEN = 32 };

typedef struct tw_crypto tw_crypto;

/** @param out     on TW_OK the bench; tw_crypto_free() it after everything that borrows it
 *  @param n_keys  how many keys are in use at the same time (rounded up; 0: 1). About 4 KB each once used. With more
 *                 than that (4096 at most) keys push each other out, which costs time and nothing else
 *  @return TW_OK; TW_E_NOMEM; TW_E_CRYPTO if the cryptographic library lacks an algorithm */
int tw_crypto_new(tw_crypto **out, size_t n_keys);

/** Wipes every key schedule. NULL is fine. */
void tw_crypto_free(tw_crypto *c);

/** Wipe what is kept for this key (a session that ended). Of a key that others have pushed out in the meantime, what is
 * left goes when its place is used again, or with the bench. */
void tw_crypto_forget(tw_crypto *c, const uint8_t key[TW_KEY_LEN]);

/** Fill len bytes of buf with randomness, or say that there is none. Handed in by the application, so that a run can
 * be repeated: real programs use the system generator, tests and simulators a seeded one.
 * @return 0 on success */
typedef int tw_random_fn(void *ctx, uint8_t *buf, size_t len);

#ifdef __cplusplus
}
#endif
#endif
