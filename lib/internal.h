/* internal.h - what the rooms of the library share and the shared object does not export.
 *
 * The cryptography behind tuyawire/crypto.h, as the rest of the library sees it: a handful of functions over 16-byte
 * keys. crypto_openssl.c is its only implementation; another (mbedTLS) would be a second file with these names. */
#ifndef TW_INTERNAL_H
#define TW_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/crypto.h"
#include "tuyawire/span.h"

/** A function that is seldom called: the compiler keeps it, and the way to it, out of the path of every message. */
#if defined(__GNUC__)
#define TW__COLD __attribute__((cold))
#pragma GCC visibility push(hidden)
#else
#define TW__COLD
#endif

enum { TW__BLOCK = 16, TW__MD5_LEN = 16 };

/** AES-128-ECB over whole blocks, no padding; len is a multiple of 16 (the caller has checked), in may be out.
 * TW_OK, TW_E_NOMEM, TW_E_CRYPTO. */
int tw__ecb_encrypt(tw_crypto *c, const uint8_t key[TW_KEY_LEN], const uint8_t *in, size_t len, uint8_t *out);
int tw__ecb_decrypt(tw_crypto *c, const uint8_t key[TW_KEY_LEN], const uint8_t *in, size_t len, uint8_t *out);

/** AES-128-GCM. open: TW_E_INTEGRITY when the tag is wrong, and out is wiped then. */
int tw__gcm_seal(tw_crypto *c, const uint8_t key[TW_KEY_LEN], const uint8_t nonce[TW_NONCE_LEN], struct tw_span aad,
                 const uint8_t *in, size_t len, uint8_t *out, uint8_t tag[TW_TAG_LEN]);
int tw__gcm_open(tw_crypto *c, const uint8_t key[TW_KEY_LEN], const uint8_t nonce[TW_NONCE_LEN], struct tw_span aad,
                 const uint8_t *in, size_t len, uint8_t *out, const uint8_t tag[TW_TAG_LEN]);

/** HMAC-SHA256 of len bytes. */
int tw__hmac(tw_crypto *c, const uint8_t key[TW_KEY_LEN], const uint8_t *in, size_t len, uint8_t out[TW_HMAC_LEN]);

/** MD5 over n spans one after the other. */
int tw__md5(tw_crypto *c, const struct tw_span *parts, size_t n, uint8_t out[TW__MD5_LEN]);

/** How many bytes of PKCS#7 padding end this plaintext, which is one whole block or more: 1 to 16; 0: the padding is
 * wrong, as it is 255 times of 256 under a wrong key. (message.c) */
size_t tw__padding(const uint8_t *plain, size_t len);

/** Constant time. */
bool tw__equal(const uint8_t *a, const uint8_t *b, size_t len);

/** Not optimised away. */
void tw__wipe(void *p, size_t len);

/** free() for memory of size bytes that has held keys or plaintext: wiped first. NULL is fine. (secret.c) */
void tw__secret_free(void *p, size_t size);

/** realloc() to a larger size for such memory: nothing stays behind where it was. What is new is not cleared.
 * NULL: no memory, and p as it was. (secret.c) */
void *tw__secret_grow(void *p, size_t size, size_t new_size);

/** CRC-32 as in zlib (reflected 0xEDB88320). */
uint32_t tw__crc32(const uint8_t *p, size_t len);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
