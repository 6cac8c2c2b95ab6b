/* tuyawire/session.h - agree on a session key (3.4 and 3.5), either role, as a pure state machine.
 *
 *     client                                             device
 *       START   client nonce 16                     -->
 *               device nonce 16, HMAC(local, client nonce)  <--   RESP
 *       FINISH  HMAC(local, device nonce)           -->           no answer; both switch keys
 *
 *   x = client nonce XOR device nonce
 *   3.4: session key = AES-ECB(local key, x)
 *   3.5: session key = ciphertext of AES-GCM(local key, iv = client nonce[0:12], no aad, x)
 *
 * It works on payloads of opened messages; framing and sealing are message.h's business, and every frame of the
 * handshake travels under the local key. Any error but TW_E_HS_SHORT (device role) and TW_E_HS_WRONG_CMD (where said
 * so) means: close the connection. Besides the codes named below, whatever computes may return TW_E_NOMEM or
 * TW_E_CRYPTO; outputs and state are untouched then.
 *
 * Source: TuyaOpen tuya_lan.c (3.5), tinytuya XenonDevice.py (both); spec section 4. */
#ifndef TUYAWIRE_SESSION_H
#define TUYAWIRE_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include "tuyawire/crypto.h"
#include "tuyawire/message.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TW_SESSION_NONCE_LEN = 16, TW_SESSION_RESP_LEN = 48, TW_SESSION_FINISH_LEN = 32 };

enum tw_session_state {
    TW_SESSION_IDLE,        /**< device: waits for START; client: has not sent it */
    TW_SESSION_WAIT_RESP,   /**< client */
    TW_SESSION_WAIT_FINISH, /**< device */
    TW_SESSION_ESTABLISHED,
};

/** A value: copy it, embed it, wipe it with tw_session_wipe(). 72 bytes, no pointers. */
struct tw_session {
    enum tw_version version; /**< TW_V34 or TW_V35 */
    enum tw_session_state state;
    uint8_t local_key[TW_KEY_LEN];
    uint8_t client_nonce[TW_SESSION_NONCE_LEN];
    uint8_t device_nonce[TW_SESSION_NONCE_LEN];
    uint8_t key[TW_KEY_LEN]; /**< valid when ESTABLISHED */
};

/** Idle, for this version and key; the key is copied. */
void tw_session_init(struct tw_session *s, enum tw_version v, const uint8_t local_key[TW_KEY_LEN]);

/** Overwrite keys and nonces; s is of no use then until tw_session_init(). */
void tw_session_wipe(struct tw_session *s);

/** The key of a connection from its ingredients. Also what an observer computes.
 * @param key  16 bytes, written on TW_OK
 * @return TW_OK; TW_E_ARGUMENT for a version without sessions */
int tw_session_derive(uint8_t key[TW_KEY_LEN], tw_crypto *c, enum tw_version v, const uint8_t local_key[TW_KEY_LEN],
                      const uint8_t client_nonce[TW_SESSION_NONCE_LEN],
                      const uint8_t device_nonce[TW_SESSION_NONCE_LEN]);

/** HMAC-SHA256(local key, nonce): the proof in RESP (of the client nonce) and FINISH (of the device nonce). TW_OK. */
int tw_session_proof(uint8_t proof[TW_HMAC_LEN], tw_crypto *c, const uint8_t local_key[TW_KEY_LEN],
                     const uint8_t nonce[TW_SESSION_NONCE_LEN]);

/** Client: remember the nonce that goes out in START (its payload is the nonce itself). -> WAIT_RESP
 * @return TW_OK; TW_E_STATE if it was called before */
int tw_session_start(struct tw_session *s, const uint8_t client_nonce[TW_SESSION_NONCE_LEN]);

/** Client: take any message that arrives while waiting for RESP.
 * @param finish  on TW_OK the 32 bytes to send as FINISH; state is ESTABLISHED then
 * @return TW_OK; TW_E_HS_WRONG_CMD: skip it and wait on (a push under the local key); TW_E_HS_RETCODE,
 *         TW_E_HS_SHORT, TW_E_HS_BAD_HMAC: close; TW_E_HS_KEY_ZERO: close without FINISH, reconnect with a new
 *         nonce (vendor devices take a session key that begins with 00 for "none", spec section 4.8); TW_E_STATE:
 *         START was not sent, or RESP was taken already */
int tw_session_on_resp(struct tw_session *s, tw_crypto *c, const struct tw_message *m, uint8_t finish[TW_HMAC_LEN]);

/** Device: take START, also when it is repeated before FINISH (a fresh device nonce is due then).
 * @param device_nonce  16 fresh random bytes; vendor firmware uses 16 lower-case hex characters
 * @param resp          on TW_OK the 48 bytes to send as RESP; state is WAIT_FINISH then
 * @return TW_OK; TW_E_HS_SHORT: ignore it; TW_E_HS_RENEGOTIATE: close (spec section 4.6) */
int tw_session_on_start(struct tw_session *s, tw_crypto *c, struct tw_span payload,
                        const uint8_t device_nonce[TW_SESSION_NONCE_LEN], uint8_t resp[TW_SESSION_RESP_LEN]);

/** Device: take FINISH.
 * @return TW_OK: ESTABLISHED; TW_E_HS_SHORT: ignore it; TW_E_HS_WRONG_CMD: no START before, close;
 *         TW_E_HS_RENEGOTIATE, TW_E_HS_BAD_HMAC: close */
int tw_session_on_finish(struct tw_session *s, tw_crypto *c, struct tw_span payload);

#ifdef __cplusplus
}
#endif
#endif
