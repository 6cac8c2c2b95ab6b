/* client.c - the client engine: bytes in, bytes out, events; its contract is in tuyawire/client.h.
 *
 * Received bytes become events at once: frames are taken off `rx`, opened into `plain`, judged, and queued. What a
 * message answers is the business of client_request.c. */
#include "client_internal.h" /* and tuyawire/client.h */
#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "internal.h"
#include "tuyawire/error.h"
#include "tuyawire/frame.h"

enum {
    HANDSHAKE_SKIP_MAX = 8,    /* messages passed over while waiting for RESP; spec section 4.5 */
    HEARTBEATS_UNANSWERED = 2, /* spec section 6.2 */
    NONCE_DRAWS = 16,          /* tries for a client nonce that cannot lead to a zero key; two are usual */
    UNDRAINED_MAX = 1 << 20,   /* bytes of events that the application has not taken */
};

static int reserve(struct buffer *b, size_t more)
{
    if (b->cap - b->len >= more)
        return TW_OK;
    size_t cap = b->cap < 1024 ? 1024 : b->cap;
    while (cap - b->len < more) {
        if (cap > SIZE_MAX / 2)
            return TW_E_NOMEM;
        cap *= 2;
    }
    uint8_t *data = tw__secret_grow(b->data, b->cap, cap);
    if (data == NULL)
        return TW_E_NOMEM;
    b->data = data;
    b->cap = cap;
    return TW_OK;
}

static int append(struct buffer *b, const uint8_t *p, size_t len)
{
    int rc = reserve(b, len);
    if (rc != TW_OK || len == 0)
        return rc;
    memcpy(b->data + b->len, p, len);
    b->len += len;
    return TW_OK;
}

static void forget(struct buffer *b)
{
    tw__secret_free(b->data, b->cap);
    *b = (struct buffer){0};
}

/* ---- events -------------------------------------------------------------------------------------------------- */

/* see client_internal.h */
int tw__client_queue(struct tw_client *c, const struct tw_client_event *ev)
{
    if (c->n_events == c->events_cap) {
        size_t cap = c->events_cap == 0 ? 16 : 2 * c->events_cap;
        struct queued *events = realloc(c->events, cap * sizeof *events);
        if (events == NULL)
            return TW_E_NOMEM;
        c->events = events;
        c->events_cap = cap;
    }
    struct queued q = {.event = *ev, .offset = c->plain.len};
    if (ev->payload.len > 0) {
        /* Opened in place, it lies behind what is committed: moving it to the front of that room keeps one rule. */
        uintptr_t at = (uintptr_t)ev->payload.data, room = (uintptr_t)c->plain.data;
        bool in_place = c->plain.data != NULL && at >= room && at < room + c->plain.cap;
        size_t from = in_place ? (size_t)(at - room) : 0;
        int rc = reserve(&c->plain, ev->payload.len);
        if (rc != TW_OK)
            return rc;
        memmove(c->plain.data + c->plain.len, in_place ? c->plain.data + from : ev->payload.data, ev->payload.len);
        c->plain.len += ev->payload.len;
    }
    c->events[c->n_events++] = q;
    if (c->plain.len + c->n_events * sizeof q > UNDRAINED_MAX)
        return TW_E_CAPACITY;
    return TW_OK;
}

/* The one place where an error becomes sticky. what: the message that caused it, or NULL. */
static int fail(struct tw_client *c, int error, const struct tw_frame *what)
{
    if (c->error != TW_OK)
        return c->error;
    c->error = error;
    struct tw_client_event ev = {.type = TW_CLIENT_FAILED, .error = error};
    if (what != NULL) {
        ev.command = what->command;
        ev.seq = what->seq;
        /* In clear in 55AA frames: tells a refusal that cannot be read from any other noise. */
        if (what->envelope == TW_ENVELOPE_55AA && what->body.len >= TW_RETCODE_LEN)
            ev.return_code = tw_retcode(load_be32(what->body.data));
    }
    /* Without memory even for this, the code that every call returns still says it. */
    (void)tw__client_queue(c, &ev);
    return error;
}

/* see client_internal.h */
int tw__client_fail(struct tw_client *c, int error)
{
    return fail(c, error, NULL);
}

/* see client_internal.h */
struct tw_client_event tw__client_event(enum tw_client_event_type type, const struct tw_message *m)
{
    return (struct tw_client_event){.type = type,
                                    .command = m->command,
                                    .seq = m->seq,
                                    .return_code = m->has_retcode ? tw_retcode(m->retcode) : 0,
                                    .payload = m->payload};
}

/* ---- sending ------------------------------------------------------------------------------------------------- */

static int draw(struct tw_client *c, uint8_t *out, size_t len)
{
    return c->cfg.random(c->cfg.random_ctx, out, len) == 0 ? TW_OK : TW_E_CRYPTO;
}

/* A nonce for one frame. Under the local key it must not be the one that the key derivation uses: that would give
 * away the keystream (spec section 9, rule 2). */
static int draw_frame_nonce(struct tw_client *c, uint8_t nonce[TW_NONCE_LEN])
{
    for (int i = 0; i < NONCE_DRAWS; i++) {
        int rc = draw(c, nonce, TW_NONCE_LEN);
        if (rc != TW_OK)
            return rc;
        if (memcmp(nonce, c->session.client_nonce, TW_NONCE_LEN) != 0)
            return TW_OK;
    }
    return TW_E_CRYPTO; /* a source that repeats itself sixteen times is none */
}

/* see client_internal.h */
int tw__client_emit(struct tw_client *c, uint32_t command, struct tw_span body, uint32_t *seq)
{
    if (c->seq == 0) /* wrapped: numbers must not repeat on a connection (spec section 6.1) */
        return TW_E_STATE;
    struct tw_message m;
    tw_message_init(&m, c->cfg.version, TW_TO_DEVICE, c->seq, command);
    m.payload = body;
    if (m.has_header && c->cfg.source != 0) {
        m.header.counter = c->counter++;
        m.header.source = c->cfg.source;
    }

    uint8_t nonce[TW_NONCE_LEN];
    int rc = reserve(&c->tx, tw_message_size_max(body.len));
    if (rc == TW_OK && c->traits->integrity == TW_INTEGRITY_GCM)
        rc = draw_frame_nonce(c, nonce);
    if (rc != TW_OK)
        return rc;
    const uint8_t *key = c->traits->negotiates && c->established ? c->session.key : c->cfg.local_key;
    uint8_t *at = c->tx.data + c->tx.len;
    size_t len;
    rc = tw_message_seal(at, c->tx.cap - c->tx.len, &len, c->cfg.crypto, &m, key,
                         c->traits->integrity == TW_INTEGRITY_GCM ? nonce : NULL);
    if (rc != TW_OK)
        return rc;
    c->tx.len += len;
    *seq = c->seq++;
    if (c->cfg.on_frame != NULL)
        c->cfg.on_frame(c->cfg.on_frame_ctx, TW_TO_DEVICE, (struct tw_span){at, len}, &m, TW_OK);
    return TW_OK;
}

/* Open f with this key into the room behind the events. */
static int open_with(struct tw_client *c, const struct tw_frame *f, const uint8_t *key, struct tw_message *m)
{
    int rc = reserve(&c->plain, f->body.len + 1);
    if (rc != TW_OK)
        return rc;
    return tw_message_open(m, c->cfg.crypto, f, c->cfg.version, TW_FROM_DEVICE, key, c->plain.data + c->plain.len,
                           c->plain.cap - c->plain.len, 0);
}

static void show(struct tw_client *c, const struct tw_frame *f, const struct tw_message *m, int rc)
{
    if (c->cfg.on_frame != NULL)
        c->cfg.on_frame(c->cfg.on_frame_ctx, TW_FROM_DEVICE, f->raw, rc == TW_OK ? m : NULL, rc);
}

static int on_frame_established(struct tw_client *c, const struct tw_frame *f)
{
    struct tw_message m;
    int rc = open_with(c, f, c->traits->negotiates ? c->session.key : c->cfg.local_key, &m);
    if (rc == TW_E_INTEGRITY && c->traits->negotiates && open_with(c, f, c->cfg.local_key, &m) == TW_OK) {
        /* Vendor devices send so to connections that have no session key in their eyes. Not to be acted on. */
        show(c, f, &m, TW_OK);
        return TW_OK;
    }
    show(c, f, &m, rc);
    if (rc == TW_E_PAYLOAD && tw_command_name(f->command) == NULL)
        return TW_OK;
    if (rc != TW_OK)
        return rc;
    if (c->unanswered > 0) {
        c->unanswered = 0;
        c->next_heartbeat = c->last_heartbeat + c->cfg.heartbeat_ms;
    }
    return tw__client_on_message(c, &m);
}

static int become_established(struct tw_client *c)
{
    c->established = true;
    c->last_heartbeat = c->now_ms;
    c->next_heartbeat = c->cfg.heartbeat_ms == 0 ? TW_CLIENT_NEVER : c->now_ms + c->cfg.heartbeat_ms;
    struct tw_client_event ev = {.type = TW_CLIENT_ESTABLISHED};
    return tw__client_queue(c, &ev);
}

/* A 55AA frame with a right CRC, where an HMAC was due: the device speaks 3.3 or older. */
static bool is_old_device(const struct tw_client *c, const struct tw_frame *f)
{
    struct tw_frame g = *f;
    return c->traits->integrity == TW_INTEGRITY_HMAC && tw_frame_reframe(&g, TW_INTEGRITY_CRC32) == TW_OK &&
           tw_frame_crc_matches(&g);
}

static int on_frame_handshake(struct tw_client *c, const struct tw_frame *f)
{
    struct tw_message m;
    int rc = open_with(c, f, c->cfg.local_key, &m);
    if (rc == TW_E_INTEGRITY && is_old_device(c, f))
        rc = TW_E_OLD_DEVICE;
    show(c, f, &m, rc);
    if (rc != TW_OK)
        return rc;

    uint8_t finish[TW_HMAC_LEN];
    uint32_t seq;
    rc = tw_session_on_resp(&c->session, c->cfg.crypto, &m, finish);
    if (rc == TW_E_HS_WRONG_CMD)
        return ++c->skipped > HANDSHAKE_SKIP_MAX ? rc : TW_OK;
    if (rc == TW_OK)
        rc = tw__client_emit(c, TW_CMD_SESS_KEY_NEG_FINISH, (struct tw_span){finish, sizeof finish}, &seq);
    tw__wipe(finish, sizeof finish);
    return rc != TW_OK ? rc : become_established(c);
}

static int on_frame(struct tw_client *c, const struct tw_frame *f)
{
    if (f->envelope != c->traits->envelope) {
        show(c, f, NULL, TW_E_ENVELOPE);
        return TW_E_ENVELOPE;
    }
    return c->established ? on_frame_established(c, f) : on_frame_handshake(c, f);
}

/* Frames of 3.3 devices can be too short to have an HMAC: look whether this refusal is one of those, once it is whole. */
static int explain_refusal(const struct tw_client *c, int rc, const uint8_t *at, size_t len)
{
    if (rc != TW_E_LENGTH || c->established || c->traits->integrity != TW_INTEGRITY_HMAC)
        return rc;
    struct tw_frame_rules crc = {.direction = TW_FROM_DEVICE, .max_length = c->cfg.max_length};
    struct tw_frame f;
    size_t consumed;
    int as_crc = tw_frame_parse(&f, &consumed, at, len, &crc);
    if (as_crc == TW_NEED_MORE)
        return TW_NEED_MORE;
    return as_crc == TW_OK && tw_frame_crc_matches(&f) ? TW_E_OLD_DEVICE : rc;
}

static int take_frames(struct tw_client *c)
{
    struct tw_frame_rules rules = {
        .integrity = c->traits->integrity, .direction = TW_FROM_DEVICE, .max_length = c->cfg.max_length};
    size_t at = 0;
    int rc = c->rx.len == 0 ? TW_NEED_MORE : TW_OK;
    while (rc == TW_OK) {
        struct tw_frame f;
        size_t consumed;
        rc = tw_frame_parse(&f, &consumed, c->rx.data + at, c->rx.len - at, &rules);
        if (rc != TW_OK)
            rc = explain_refusal(c, rc, c->rx.data + at, c->rx.len - at);
        if (rc == TW_NEED_MORE)
            break;
        if (rc != TW_OK) {
            rc = fail(c, rc, NULL);
            break;
        }
        rc = on_frame(c, &f);
        at += consumed;
        if (rc != TW_OK)
            rc = fail(c, rc, &f);
    }
    if (at > 0 && at < c->rx.len)
        memmove(c->rx.data, c->rx.data + at, c->rx.len - at);
    c->rx.len -= at;
    return rc == TW_NEED_MORE ? TW_OK : rc;
}

/* see client_internal.h */
void tw__client_set_now(struct tw_client *c, uint64_t now_ms)
{
    if (now_ms > c->now_ms)
        c->now_ms = now_ms;
}

/* see client_internal.h */
int tw__client_usable(const struct tw_client *c)
{
    if (c->error != TW_OK)
        return c->error;
    return c->started ? TW_OK : TW_E_STATE;
}

/* ---- public -------------------------------------------------------------------------------------------------- */

/* see tuyawire/client.h */
void tw_client_config_init(struct tw_client_config *cfg)
{
    *cfg = (struct tw_client_config){.version = TW_V33,
                                     .handshake_ms = TW_CLIENT_HANDSHAKE_MS,
                                     .query_ms = TW_CLIENT_QUERY_MS,
                                     .ack_ms = TW_CLIENT_ACK_MS,
                                     .heartbeat_ms = TW_CLIENT_HEARTBEAT_MS};
}

/* see tuyawire/client.h */
int tw_client_new(tw_client **out, const struct tw_client_config *cfg)
{
    const struct tw_version_traits *traits = tw_version_traits(cfg->version);
    if (traits == NULL || cfg->crypto == NULL || (traits->negotiates && cfg->random == NULL) ||
        cfg->device_id.len > TW_CLIENT_ID_MAX || cfg->cid.len > TW_CLIENT_ID_MAX)
        return TW_E_ARGUMENT;
    struct tw_client *c = calloc(1, sizeof *c);
    if (c == NULL)
        return TW_E_NOMEM;

    c->cfg = *cfg;
    c->traits = traits;
    if (cfg->device_id.len > 0)
        memcpy(c->device_id, cfg->device_id.data, cfg->device_id.len);
    if (cfg->cid.len > 0)
        memcpy(c->cid, cfg->cid.data, cfg->cid.len);
    c->cfg.device_id.data = c->device_id;
    c->cfg.cid.data = c->cid;
    c->form = cfg->null_map ? FORM_NULL_MAP : FORM_OF_VERSION;
    c->seq = 1;
    c->counter = cfg->counter;
    if (traits->negotiates)
        tw_session_init(&c->session, cfg->version, cfg->local_key);
    *out = c;
    return TW_OK;
}

/* see tuyawire/client.h */
void tw_client_free(tw_client *c)
{
    if (c == NULL)
        return;
    tw__client_drop_requests(c);
    tw_crypto_forget(c->cfg.crypto, c->cfg.local_key);
    if (c->established && c->traits->negotiates)
        tw_crypto_forget(c->cfg.crypto, c->session.key);
    forget(&c->rx);
    forget(&c->tx);
    forget(&c->plain);
    free(c->events);
    tw__wipe(c, sizeof *c);
    free(c);
}

/* A client nonce. On 3.5 one whose session key cannot begin with zero: the first key byte is the first byte of
 * GCM(client nonce) XOR the first byte of the device nonce, which is ASCII on vendor devices; so bit 7 is ours to
 * set (spec section 4.8). With another kind of device, or an unlucky source, TW_E_HS_KEY_ZERO is still there. */
static int draw_client_nonce(struct tw_client *c, uint8_t nonce[TW_SESSION_NONCE_LEN])
{
    static const uint8_t zero[TW_SESSION_NONCE_LEN];
    uint8_t key[TW_KEY_LEN] = {0};
    bool gcm = c->traits->integrity == TW_INTEGRITY_GCM;
    int rc, draws = 0;
    do {
        rc = draw(c, nonce, TW_SESSION_NONCE_LEN);
        if (rc == TW_OK && gcm)
            rc = tw_session_derive(key, c->cfg.crypto, c->cfg.version, c->cfg.local_key, nonce, zero);
    } while (rc == TW_OK && gcm && (key[0] & 0x80) == 0 && ++draws < NONCE_DRAWS);
    tw__wipe(key, sizeof key);
    return rc;
}

static int start_handshake(struct tw_client *c)
{
    uint8_t nonce[TW_SESSION_NONCE_LEN];
    uint32_t seq;
    int rc = draw_client_nonce(c, nonce);
    if (rc == TW_OK)
        rc = tw_session_start(&c->session, nonce);
    if (rc == TW_OK)
        rc = tw__client_emit(c, TW_CMD_SESS_KEY_NEG_START, (struct tw_span){nonce, sizeof nonce}, &seq);
    c->handshake_deadline = c->now_ms + c->cfg.handshake_ms;
    return rc;
}

/* see tuyawire/client.h */
int tw_client_start(tw_client *c, uint64_t now_ms)
{
    if (c->started)
        return c->error != TW_OK ? c->error : TW_E_STATE;
    c->started = true;
    c->start_ms = c->now_ms = now_ms;
    int rc = c->traits->negotiates ? start_handshake(c) : become_established(c);
    return rc == TW_OK ? TW_OK : fail(c, rc, NULL);
}

/* see tuyawire/client.h */
int tw_client_feed(tw_client *c, const uint8_t *buf, size_t len, uint64_t now_ms)
{
    int rc = tw__client_usable(c);
    if (rc != TW_OK)
        return rc;
    tw__client_set_now(c, now_ms);
    rc = append(&c->rx, buf, len);
    if (rc == TW_OK)
        rc = take_frames(c);
    if (rc == TW_OK)
        rc = tw__client_pump(c);
    return rc == TW_OK ? TW_OK : fail(c, rc, NULL);
}

/* see tuyawire/client.h */
int tw_client_peer_closed(tw_client *c)
{
    return fail(c, TW_E_CLOSED, NULL);
}

/* see tuyawire/client.h */
int tw_client_next_event(tw_client *c, struct tw_client_event *ev)
{
    if (c->next_event == c->n_events) {
        /* All handed out, and the borrowed payload of the last one ends with this call: start over. */
        c->next_event = c->n_events = 0;
        c->plain.len = 0;
        return 0;
    }
    const struct queued *q = &c->events[c->next_event++];
    *ev = q->event;
    if (ev->payload.len > 0)
        ev->payload.data = c->plain.data + q->offset;
    ev->body = (struct tw_body){.protocol = -1, .t = -1, .counter = -1};
    (void)tw_body_parse(&ev->body, ev->payload);
    return 1;
}

/* see tuyawire/client.h */
struct tw_span tw_client_output(const tw_client *c)
{
    if (c->tx.len == c->tx_sent)
        return (struct tw_span){0};
    return (struct tw_span){c->tx.data + c->tx_sent, c->tx.len - c->tx_sent};
}

/* see tuyawire/client.h */
void tw_client_sent(tw_client *c, size_t n)
{
    size_t left = c->tx.len - c->tx_sent;
    c->tx_sent += n < left ? n : left;
    if (c->tx_sent == c->tx.len)
        c->tx_sent = c->tx.len = 0;
}

/* see tuyawire/client.h */
uint64_t tw_client_deadline(const tw_client *c)
{
    if (!c->started || c->error != TW_OK)
        return TW_CLIENT_NEVER;
    uint64_t at = c->established ? c->next_heartbeat : c->handshake_deadline;
    uint64_t overdue = tw__client_next_overdue(c);
    return overdue < at ? overdue : at;
}

static int beat(struct tw_client *c)
{
    if (c->now_ms < c->next_heartbeat)
        return TW_OK;
    if (c->unanswered >= HEARTBEATS_UNANSWERED)
        return TW_E_TIMEOUT;
    uint32_t seq;
    int rc = tw__client_emit(c, TW_CMD_HEART_BEAT, (struct tw_span){0}, &seq);
    c->unanswered++;
    c->last_heartbeat = c->now_ms;
    c->next_heartbeat = c->now_ms + (c->unanswered < HEARTBEATS_UNANSWERED ? c->cfg.heartbeat_ms : c->cfg.ack_ms);
    return rc;
}

/* see tuyawire/client.h */
int tw_client_tick(tw_client *c, uint64_t now_ms)
{
    int rc = tw__client_usable(c);
    if (rc != TW_OK)
        return rc;
    tw__client_set_now(c, now_ms);
    if (!c->established)
        return c->now_ms < c->handshake_deadline ? TW_OK : fail(c, TW_E_TIMEOUT, NULL);
    rc = tw__client_end_overdue(c);
    if (rc == TW_OK)
        rc = tw__client_pump(c);
    if (rc == TW_OK)
        rc = beat(c);
    return rc == TW_OK ? TW_OK : fail(c, rc, NULL);
}

/* see tuyawire/client.h */
bool tw_client_is_established(const tw_client *c)
{
    return c->established && c->error == TW_OK;
}

/* see tuyawire/client.h */
const struct tw_session *tw_client_session(const tw_client *c)
{
    return c->established && c->traits->negotiates ? &c->session : NULL;
}

/* see tuyawire/client.h */
bool tw_client_null_map(const tw_client *c)
{
    return c->form == FORM_NULL_MAP;
}

/* see tuyawire/client.h */
uint32_t tw_client_counter(const tw_client *c)
{
    return c->counter;
}

/* see tuyawire/client.h */
int tw_client_error(const tw_client *c)
{
    return c->error;
}
