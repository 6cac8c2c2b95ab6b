/* session.c - nobody is let in who does not know the local key, and honest ends always agree.
 *
 * Reaches: all of tuyawire/session.h. Input: a tape; CONNECT starts over, HANDSHAKE takes the next honest step, MESSAGE
 * delivers its command and payload to one end (connection 0: the device, 1: the client; DAMAGED: the honest message
 * with one byte changed). Both ends are held against a model of spec sections 4.5 and 4.6. */
#include "common/fuzz.h"
#include <string.h>
#include "common/oracle.h"
#include "common/tape.h"
#include "tuyawire/session.h"

const struct fuzz_harness fuzz_harness = {
    .name = "session",
    .claim = "an end is established only by the right proof, with the right key, and honest ends agree",
    .form = FUZZ_TAPE,
    .context_len = 1,
};

enum { STEPS_MAX = 64 };

static tw_crypto *crypto;

/* What the specification says of one end. */
struct model {
    enum tw_session_state state;
    uint8_t client_nonce[16], device_nonce[16];
};

struct world {
    enum tw_version version;
    struct tw_session device, client;
    struct model device_model, client_model;
    uint64_t random;
    uint8_t start[16], resp[48], finish[32]; /* the honest messages, as they were last made */
    uint8_t flip;                            /* this bit of a proof is turned over, on the side */
};

static void connect_ends(struct world *w)
{
    tw_session_init(&w->device, w->version, fuzz_local_key);
    tw_session_init(&w->client, w->version, fuzz_local_key);
    w->device_model = w->client_model = (struct model){TW_SESSION_IDLE, {0}, {0}};
}

static void check_key(const struct world *w, const struct tw_session *s, const struct model *m)
{
    uint8_t key[16];
    CHECK(s->state == m->state);
    if (m->state != TW_SESSION_ESTABLISHED)
        return;
    oracle_session_key(key, w->version == TW_V35, fuzz_local_key, m->client_nonce, m->device_nonce);
    CHECK(memcmp(key, s->key, 16) == 0);
}

/* The same proof but for one bit. */
static struct tw_span not_quite(const struct world *w, struct tw_span proof, size_t at, uint8_t *copy)
{
    memcpy(copy, proof.data, proof.len);
    copy[at + w->flip / 8] ^= (uint8_t)(1u << w->flip % 8);
    return (struct tw_span){copy, proof.len};
}

/* The device takes START. */
static void device_start(struct world *w, struct tw_span payload)
{
    uint8_t nonce[16], resp[48], proof[32];
    struct model *m = &w->device_model;
    fuzz_random(&w->random, nonce, sizeof nonce);
    int expected = m->state == TW_SESSION_ESTABLISHED ? TW_E_HS_RENEGOTIATE
                   : payload.len < 16                 ? TW_E_HS_SHORT
                                                      : TW_OK;
    CHECK(tw_session_on_start(&w->device, crypto, payload, nonce, resp) == expected);
    if (expected == TW_OK) {
        m->state = TW_SESSION_WAIT_FINISH;
        memcpy(m->client_nonce, payload.data, 16);
        memcpy(m->device_nonce, nonce, 16);
        oracle_hmac(proof, fuzz_local_key, payload.data, 16);
        CHECK(memcmp(resp, nonce, 16) == 0 && memcmp(resp + 16, proof, 32) == 0);
        memcpy(w->resp, resp, 48);
    }
    check_key(w, &w->device, m);
}

static void device_finish(struct world *w, struct tw_span payload)
{
    struct model *m = &w->device_model;
    uint8_t proof[32];
    oracle_hmac(proof, fuzz_local_key, m->device_nonce, 16);
    int expected = m->state == TW_SESSION_ESTABLISHED               ? TW_E_HS_RENEGOTIATE
                   : m->state != TW_SESSION_WAIT_FINISH             ? TW_E_HS_WRONG_CMD
                   : payload.len < 32                               ? TW_E_HS_SHORT
                   : memcmp(payload.data, proof, sizeof proof) != 0 ? TW_E_HS_BAD_HMAC
                                                                    : TW_OK;
    if (expected == TW_OK) {
        struct tw_session other = w->device;
        uint8_t copy[32];
        CHECK(tw_session_on_finish(&other, crypto, not_quite(w, (struct tw_span){payload.data, 32}, 0, copy)) ==
              TW_E_HS_BAD_HMAC);
    }
    CHECK(tw_session_on_finish(&w->device, crypto, payload) == expected);
    if (m->state == TW_SESSION_WAIT_FINISH)
        fuzz_gate(expected == TW_OK);
    if (expected == TW_OK)
        m->state = TW_SESSION_ESTABLISHED;
    check_key(w, &w->device, m);
}

static void client_start(struct world *w)
{
    uint8_t nonce[16];
    struct model *m = &w->client_model;
    fuzz_random(&w->random, nonce, sizeof nonce);
    int expected = m->state == TW_SESSION_IDLE ? TW_OK : TW_E_STATE;
    CHECK(tw_session_start(&w->client, nonce) == expected);
    if (expected == TW_OK) {
        m->state = TW_SESSION_WAIT_RESP;
        memcpy(m->client_nonce, nonce, 16);
        memcpy(w->start, nonce, 16);
    }
}

static int expected_of_resp(const struct model *m, const struct world *w, const struct tw_message *msg)
{
    uint8_t proof[32], key[16];
    if (m->state != TW_SESSION_WAIT_RESP)
        return TW_E_STATE;
    if (msg->command != TW_CMD_SESS_KEY_NEG_RESP)
        return TW_E_HS_WRONG_CMD;
    if (msg->has_retcode && msg->retcode != 0)
        return TW_E_HS_RETCODE;
    if (msg->payload.len < 48)
        return TW_E_HS_SHORT;
    oracle_hmac(proof, fuzz_local_key, m->client_nonce, 16);
    if (memcmp(proof, msg->payload.data + 16, 32) != 0)
        return TW_E_HS_BAD_HMAC;
    oracle_session_key(key, w->version == TW_V35, fuzz_local_key, m->client_nonce, msg->payload.data);
    return key[0] == 0 ? TW_E_HS_KEY_ZERO : TW_OK;
}

static void client_resp(struct world *w, uint32_t command, uint32_t retcode, struct tw_span payload)
{
    struct model *m = &w->client_model;
    uint8_t finish[32], proof[32];
    struct tw_message msg;
    tw_message_init(&msg, w->version, TW_FROM_DEVICE, 1, command);
    msg.retcode = retcode;
    msg.payload = payload;
    int expected = expected_of_resp(m, w, &msg);
    if (expected == TW_OK) {
        struct tw_session other = w->client;
        struct tw_message bad = msg;
        uint8_t copy[48];
        bad.payload = not_quite(w, (struct tw_span){payload.data, 48}, 16, copy);
        CHECK(tw_session_on_resp(&other, crypto, &bad, finish) == TW_E_HS_BAD_HMAC);
    }
    CHECK(tw_session_on_resp(&w->client, crypto, &msg, finish) == expected);
    if (m->state == TW_SESSION_WAIT_RESP)
        fuzz_gate(expected == TW_OK);
    if (expected == TW_OK) {
        m->state = TW_SESSION_ESTABLISHED;
        memcpy(m->device_nonce, payload.data, 16);
        oracle_hmac(proof, fuzz_local_key, payload.data, 16);
        CHECK(memcmp(finish, proof, sizeof proof) == 0);
        memcpy(w->finish, finish, 32);
    }
    check_key(w, &w->client, m);
}

/* What two honest ends would do now. */
static void honest_step(struct world *w)
{
    if (w->client_model.state == TW_SESSION_IDLE) {
        client_start(w);
        device_start(w, (struct tw_span){w->start, sizeof w->start});
    } else if (w->client_model.state == TW_SESSION_WAIT_RESP) {
        client_resp(w, TW_CMD_SESS_KEY_NEG_RESP, 0, (struct tw_span){w->resp, sizeof w->resp});
    } else {
        device_finish(w, (struct tw_span){w->finish, sizeof w->finish});
    }
}

/* The honest payload of a step with one byte changed, or the tape's own. */
static struct tw_span payload_of(const struct tape_record *t, const uint8_t *honest, size_t len, uint8_t *copy)
{
    struct tw_span own = {t->data + 2, t->len - 2};
    if (!(t->data[1] & TAPE_DAMAGED))
        return own;
    memcpy(copy, honest, len);
    if (own.len >= 2)
        copy[own.data[0] % len] ^= own.data[1];
    return (struct tw_span){copy, len};
}

static void deliver(struct world *w, const struct tape_record *t)
{
    uint8_t copy[48];
    if (t->len < 2)
        return;
    uint32_t command = t->data[0], retcode = t->data[1] & TAPE_RETCODE ? 1 : 0;
    if (t->connection % 2 == 1)
        client_resp(w, command, retcode, payload_of(t, w->resp, sizeof w->resp, copy));
    else if (command == TW_CMD_SESS_KEY_NEG_FINISH)
        device_finish(w, payload_of(t, w->finish, sizeof w->finish, copy));
    else
        device_start(w, payload_of(t, w->start, sizeof w->start, copy));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (crypto == NULL)
        CHECK(tw_crypto_new(&crypto, 4) == TW_OK);
    struct world w = {.version = data[0] & 1 ? TW_V35 : TW_V34,
                      .random = (uint64_t)(data[0] >> 1) * 16,
                      .flip = (uint8_t)fuzz_hash(data, size)};
    fuzz_gates.version = (unsigned)w.version;
    struct tape tape = {data + 1, size - 1, 0};
    struct tape_record t;
    connect_ends(&w);
    for (int n = 0; n < STEPS_MAX && tape_next(&t, &tape); n++) {
        switch (t.operation) {
        case TAPE_CONNECT: connect_ends(&w); break;
        case TAPE_HANDSHAKE: honest_step(&w); break;
        case TAPE_MESSAGE: deliver(&w, &t); break;
        case TAPE_ACT: client_start(&w); break;
        default: break;
        }
    }
    if (w.device_model.state == TW_SESSION_ESTABLISHED && w.client_model.state == TW_SESSION_ESTABLISHED &&
        memcmp(w.device_model.client_nonce, w.client_model.client_nonce, 16) == 0 &&
        memcmp(w.device_model.device_nonce, w.client_model.device_nonce, 16) == 0)
        CHECK(memcmp(w.device.key, w.client.key, 16) == 0);
    tw_session_wipe(&w.device);
    tw_session_wipe(&w.client);
    static const struct tw_session wiped;
    CHECK(memcmp(w.device.key, wiped.key, 16) == 0 && memcmp(w.client.local_key, wiped.local_key, 16) == 0);
    return 0;
}
