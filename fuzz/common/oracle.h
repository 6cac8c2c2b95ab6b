/* oracle.h - the protocol's cryptography a second time, straight on OpenSSL and apart from the library, so that what
 * the library says can be held against somebody else's word, and mutants can be sealed without asking it.
 *
 * Keyed contexts of the keys used lately are kept: an execution costs microseconds. Not for secrets. */
#ifndef FUZZ_ORACLE_H
#define FUZZ_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t oracle_crc32(const uint8_t *data, size_t len);
void oracle_md5(uint8_t out[16], const uint8_t *data, size_t len);
void oracle_hmac(uint8_t out[32], const uint8_t key[16], const uint8_t *data, size_t len);

/** AES-128-ECB without padding, in place; len must be a multiple of 16. */
void oracle_ecb(bool encrypt, const uint8_t key[16], uint8_t *data, size_t len);

/** AES-128-GCM. out may be in. */
void oracle_gcm_seal(uint8_t *out, uint8_t tag[16], const uint8_t key[16], const uint8_t nonce[12],
                     const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len);
/** Decrypts whether the tag is right or not, and says which. */
bool oracle_gcm_open(uint8_t *out, const uint8_t tag[16], const uint8_t key[16], const uint8_t nonce[12],
                     const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len);

/** The session key of 3.4 and 3.5 from its ingredients (spec section 4.5). */
void oracle_session_key(uint8_t out[16], bool is_35, const uint8_t local_key[16], const uint8_t client_nonce[16],
                        const uint8_t device_nonce[16]);

/** base64, standard alphabet, padded. @return characters written: 4 for each 3 bytes begun */
size_t oracle_base64(uint8_t *out, const uint8_t *in, size_t len);
/** @return bytes written, at most len / 4 * 3; SIZE_MAX if in is not padded base64 */
size_t oracle_unbase64(uint8_t *out, const uint8_t *in, size_t len);

/** The 16 signature digits of 3.1 for this base64 text. */
void oracle_signature(uint8_t out[16], const uint8_t key[16], const uint8_t *b64, size_t len);

#endif
