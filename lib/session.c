/* session.c - the negotiation of tuyawire/session.h. */
#include "tuyawire/session.h"
#include <string.h>
#include "internal.h"

/* see tuyawire/session.h */
void tw_session_init(struct tw_session *s, enum tw_version v, const uint8_t local_key[TW_KEY_LEN])
{
    *s = (struct tw_session){.version = v};
    memcpy(s->local_key, local_key, TW_KEY_LEN);
}

/* see tuyawire/session.h */
void tw_session_wipe(struct tw_session *s)
{
    tw__wipe(s, sizeof *s);
}

/* see tuyawire/session.h */
int tw_session_derive(uint8_t key[TW_KEY_LEN], tw_crypto *c, enum tw_version v, const uint8_t local_key[TW_KEY_LEN],
                      const uint8_t client_nonce[TW_SESSION_NONCE_LEN],
                      const uint8_t device_nonce[TW_SESSION_NONCE_LEN])
{
    const struct tw_version_traits *t = tw_version_traits(v);
    if (t == NULL || !t->negotiates)
        return TW_E_ARGUMENT;

    uint8_t x[TW_KEY_LEN], derived[TW_KEY_LEN], unused_tag[TW_TAG_LEN];
    for (size_t i = 0; i < TW_KEY_LEN; i++)
        x[i] = client_nonce[i] ^ device_nonce[i];
    int rc = t->integrity == TW_INTEGRITY_GCM
                 ? tw__gcm_seal(c, local_key, client_nonce, (struct tw_span){0}, x, sizeof x, derived, unused_tag)
                 : tw__ecb_encrypt(c, local_key, x, sizeof x, derived);
    if (rc == TW_OK)
        memcpy(key, derived, TW_KEY_LEN);
    tw__wipe(derived, sizeof derived);
    return rc;
}

/* see tuyawire/session.h */
int tw_session_proof(uint8_t proof[TW_HMAC_LEN], tw_crypto *c, const uint8_t local_key[TW_KEY_LEN],
                     const uint8_t nonce[TW_SESSION_NONCE_LEN])
{
    return tw__hmac(c, local_key, nonce, TW_SESSION_NONCE_LEN, proof);
}

/* see tuyawire/session.h */
int tw_session_start(struct tw_session *s, const uint8_t client_nonce[TW_SESSION_NONCE_LEN])
{
    if (s->state != TW_SESSION_IDLE)
        return TW_E_STATE;
    memcpy(s->client_nonce, client_nonce, TW_SESSION_NONCE_LEN);
    s->state = TW_SESSION_WAIT_RESP;
    return TW_OK;
}

/* Does what the peer sent prove that it knows the local key? */
static int check_proof(struct tw_session *s, tw_crypto *c, const uint8_t *nonce, const uint8_t *proof)
{
    uint8_t expected[TW_HMAC_LEN];
    int rc = tw_session_proof(expected, c, s->local_key, nonce);
    if (rc == TW_OK && !tw__equal(expected, proof, TW_HMAC_LEN))
        rc = TW_E_HS_BAD_HMAC;
    tw__wipe(expected, sizeof expected);
    return rc;
}

/* see tuyawire/session.h */
int tw_session_on_resp(struct tw_session *s, tw_crypto *c, const struct tw_message *m, uint8_t finish[TW_HMAC_LEN])
{
    if (s->state != TW_SESSION_WAIT_RESP)
        return TW_E_STATE;
    if (m->command != TW_CMD_SESS_KEY_NEG_RESP)
        return TW_E_HS_WRONG_CMD;
    if (m->has_retcode && m->retcode != 0)
        return TW_E_HS_RETCODE;
    if (m->payload.len < TW_SESSION_RESP_LEN)
        return TW_E_HS_SHORT;

    const uint8_t *device_nonce = m->payload.data;
    uint8_t key[TW_KEY_LEN];
    int rc = check_proof(s, c, s->client_nonce, device_nonce + TW_SESSION_NONCE_LEN);
    if (rc == TW_OK)
        rc = tw_session_derive(key, c, s->version, s->local_key, s->client_nonce, device_nonce);
    if (rc != TW_OK)
        return rc;
    if (key[0] == 0)
        rc = TW_E_HS_KEY_ZERO;
    else
        rc = tw_session_proof(finish, c, s->local_key, device_nonce);
    if (rc == TW_OK) {
        memcpy(s->device_nonce, device_nonce, TW_SESSION_NONCE_LEN);
        memcpy(s->key, key, TW_KEY_LEN);
        s->state = TW_SESSION_ESTABLISHED;
    }
    tw__wipe(key, sizeof key);
    return rc;
}

/* see tuyawire/session.h */
int tw_session_on_start(struct tw_session *s, tw_crypto *c, struct tw_span payload,
                        const uint8_t device_nonce[TW_SESSION_NONCE_LEN], uint8_t resp[TW_SESSION_RESP_LEN])
{
    if (s->state == TW_SESSION_ESTABLISHED)
        return TW_E_HS_RENEGOTIATE;
    if (payload.len < TW_SESSION_NONCE_LEN)
        return TW_E_HS_SHORT;

    uint8_t proof[TW_HMAC_LEN];
    int rc = tw_session_proof(proof, c, s->local_key, payload.data);
    if (rc != TW_OK)
        return rc;
    memcpy(s->client_nonce, payload.data, TW_SESSION_NONCE_LEN);
    memcpy(s->device_nonce, device_nonce, TW_SESSION_NONCE_LEN);
    memcpy(resp, device_nonce, TW_SESSION_NONCE_LEN);
    memcpy(resp + TW_SESSION_NONCE_LEN, proof, TW_HMAC_LEN);
    s->state = TW_SESSION_WAIT_FINISH;
    return TW_OK;
}

/* see tuyawire/session.h */
int tw_session_on_finish(struct tw_session *s, tw_crypto *c, struct tw_span payload)
{
    if (s->state == TW_SESSION_ESTABLISHED)
        return TW_E_HS_RENEGOTIATE;
    if (s->state != TW_SESSION_WAIT_FINISH)
        return TW_E_HS_WRONG_CMD;
    if (payload.len < TW_SESSION_FINISH_LEN)
        return TW_E_HS_SHORT;

    int rc = check_proof(s, c, s->device_nonce, payload.data);
    if (rc == TW_OK)
        rc = tw_session_derive(s->key, c, s->version, s->local_key, s->client_nonce, s->device_nonce);
    if (rc == TW_OK)
        s->state = TW_SESSION_ESTABLISHED;
    return rc;
}
