/* probe.c - see probe.h. */
#include "probe.h"
#include <stdio.h>
#include <string.h>
#include "debug.h"
#include "session.h"
#include "tuyawire/dps.h"
#include "tuyawire/error.h"
#include "tuyawire/frame.h"
#include "tuyawire/message.h"

enum {
    NOTHING_MS = 250,    /* a device without a place closes at once (spec section 4.9) */
    HANDSHAKE_MS = 1200, /* real devices answer START within 216 ms, [V] closes up to a second later */
    OLD_MS = 2000,       /* query replies: 99 % within 0.6 s */
    PATIENT_HANDSHAKE_MS = 3300,
    PATIENT_OLD_MS = 3700,
    CLEAR_MS = 700,
    AGAIN_MS = 400,
};

/* Bytes to send, one frame after the other. */
struct bytes {
    uint8_t data[2048];
    size_t len;
};

static void put_frame(struct session *s, struct bytes *b, enum tw_version v, uint32_t seq, uint32_t command,
                      struct tw_span payload)
{
    struct tw_message m;
    uint8_t nonce[TW_NONCE_LEN];
    size_t len;
    tw_message_init(&m, v, TW_TO_DEVICE, seq, command);
    m.payload = payload;
    if (session_random(NULL, nonce, sizeof nonce) != 0)
        return;
    if (tw_message_seal(b->data + b->len, sizeof b->data - b->len, &len, s->crypto, &m, s->target.key, nonce) !=
        TW_OK)
        return;
    if (s->options.debug)
        debug_frame(NULL, TW_TO_DEVICE, (struct tw_span){b->data + b->len, len}, &m, TW_OK);
    b->len += len;
}

static struct tw_body_ids ids_of(const struct session *s)
{
    const char *id = s->target.id, *cid = s->target.cid;
    return (struct tw_body_ids){
        .id = {(const uint8_t *)id, strlen(id)}, .cid = {(const uint8_t *)cid, strlen(cid)}, .t = 1};
}

static void put_query(struct session *s, struct bytes *b, enum tw_version v, uint32_t seq)
{
    char room[512];
    struct tw_text body = {.data = room, .cap = sizeof room};
    struct tw_body_ids ids = ids_of(s);
    if (tw_body_query(&body, v, TW_CMD_DP_QUERY, &ids) == TW_OK)
        put_frame(s, b, v, seq, TW_CMD_DP_QUERY, (struct tw_span){(const uint8_t *)room, body.len});
}

/* A control that sets nothing: data point 1 to null. */
static void put_null_control(struct session *s, struct bytes *b, enum tw_version v, uint32_t seq)
{
    char room[512];
    struct tw_text body = {.data = room, .cap = sizeof room};
    struct tw_body_ids ids = ids_of(s);
    static const char nulls[] = "{\"1\":null}";
    if (tw_body_control(&body, v, TW_CMD_CONTROL_NEW, &ids,
                        (struct tw_span){(const uint8_t *)nulls, sizeof nulls - 1}) == TW_OK)
        put_frame(s, b, v, seq, TW_CMD_CONTROL_NEW, (struct tw_span){(const uint8_t *)room, body.len});
}

/* ---- looking at what came -------------------------------------------------------------------------------------- */

struct look {
    struct session *s;
    struct probe *p;
    const struct bytes *sent;
    enum tw_version wanted; /* old probes: how to read a reply */
    bool done;
};

static bool is_text(struct tw_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < 0x20 || s.data[i] > 0x7e)
            return false;
    }
    return s.len > 0;
}

/* Is what came out of ECB a message, or the noise of another key? */
static bool makes_sense(const struct tw_message *m)
{
    struct tw_body body;
    return m->payload.len == 0 || is_text(m->payload) || tw_body_parse(&body, m->payload) == TW_OK;
}

static bool opens(struct session *s, const struct tw_frame *f, enum tw_version v, const uint8_t *key,
                  struct tw_message *m, uint8_t *room, size_t cap)
{
    return tw_message_open(m, s->crypto, f, v, TW_FROM_DEVICE, key, room, cap, 0) == TW_OK && makes_sense(m);
}

/* A frame with a right CRC: 3.1 to 3.3. */
static void look_at_old(struct look *k, const struct tw_frame *f)
{
    struct probe *p = k->p;
    struct tw_message m;
    uint8_t room[8192];
    p->is_old = true;
    if (f->command == TW_CMD_HEART_BEAT || f->body.len < TW_RETCODE_LEN)
        return;
    struct tw_span body = {f->body.data + TW_RETCODE_LEN, f->body.len - TW_RETCODE_LEN};
    const uint8_t *code = f->body.data;
    p->refused = ((uint32_t)code[0] << 24 | (uint32_t)code[1] << 16 | (uint32_t)code[2] << 8 | code[3]) != 0;
    k->done = f->command != TW_CMD_STATUS;
    if (f->command == TW_CMD_STATUS && body.len > 3 && memcmp(body.data, "3.", 2) == 0) {
        p->has_version = tw_version_parse(&p->version, (const char *)body.data, 3) == TW_OK;
        return;
    }
    if (is_text(body) || (body.len > 0 && body.data[0] == '{')) {
        p->in_clear = true; /* 3.1 or 3.2; probe_clear() tells */
        return;
    }
    if (body.len == 0) /* the ACK of a control */
        return;
    p->has_version = true;
    p->version = TW_V33;
    if (!opens(k->s, f, TW_V33, k->s->target.key, &m, room, sizeof room)) {
        p->key = PROBE_KEY_WRONG;
        return;
    }
    p->key = PROBE_KEY_FITS;
}

/* An answer to the handshake: a CRC frame (older), or RESP, or a push under the local key. */
static void look_at_handshake(struct look *k, struct tw_frame *f)
{
    struct probe *p = k->p;
    struct tw_message m;
    uint8_t room[8192];
    k->done = f->command == TW_CMD_SESS_KEY_NEG_RESP;
    if (f->envelope == TW_ENVELOPE_6699) {
        p->has_version = true;
        p->version = TW_V35;
    } else if (tw_frame_reframe(f, TW_INTEGRITY_CRC32) == TW_OK && tw_frame_crc_matches(f)) {
        p->is_old = true;
        p->refused = true;
        k->done = true;
        return;
    } else if (f->command != TW_CMD_SESS_KEY_NEG_START && tw_frame_reframe(f, TW_INTEGRITY_HMAC) == TW_OK) {
        p->has_version = true;
        p->version = TW_V34;
    } else { /* the refusal of an older device, if its CRC were right */
        p->damaged = true;
        k->done = true;
        return;
    }
    const uint8_t *key = k->s->target.key;
    bool fits = tw_message_open(&m, k->s->crypto, f, p->version, TW_FROM_DEVICE, key, room, sizeof room, 0) == TW_OK;
    p->damaged = !fits && tw_message_key_fits(k->s->crypto, f, key);
    if (p->key != PROBE_KEY_FITS)
        p->key = fits ? PROBE_KEY_FITS : PROBE_KEY_WRONG;
    k->done = k->done || !fits;
}

static bool is_echo(const struct look *k)
{
    const struct link *l = &k->s->link;
    size_t n = l->bytes_in < 24 ? l->bytes_in : 24;
    return k->sent->len >= 24 && n == 24 && memcmp(l->first, k->sent->data, 24) == 0;
}

/* Called whenever something has come: read all frames so far, from the start. */
static bool look(void *ctx)
{
    struct look *k = ctx;
    const struct link *l = &k->s->link;
    struct tw_frame_rules rules = {.direction = TW_FROM_DEVICE};
    size_t len = l->bytes_in < sizeof l->first ? l->bytes_in : sizeof l->first, at = 0;
    if (len == 0 || k->done)
        return k->done;
    if (is_echo(k)) {
        k->p->outcome = PROBE_ECHO;
        return k->done = true;
    }
    while (at < len) {
        struct tw_frame f;
        size_t consumed;
        int rc = tw_frame_parse(&f, &consumed, l->first + at, len - at, &rules);
        if (rc == TW_NEED_MORE)
            return k->done;
        if (rc != TW_OK) {
            if (k->p->outcome != PROBE_ANSWERED)
                k->p->outcome = PROBE_JUNK;
            return k->done = true;
        }
        k->p->outcome = PROBE_ANSWERED;
        at += consumed;
        if (k->wanted == TW_V35)
            look_at_handshake(k, &f);
        else if (f.envelope == TW_ENVELOPE_55AA && tw_frame_crc_matches(&f))
            look_at_old(k, &f);
        else
            k->p->damaged = true;
        if (k->done)
            return true;
    }
    return false;
}

/* Connect, send, look. wanted: TW_V35 for the handshake, else the version in which was asked. again: a query with
 * this number is sent when half the time has passed; 0: none. */
static void exchange_once(struct session *s, const struct bytes *sent, uint32_t again, enum tw_version wanted,
                          uint64_t limit_ms, struct probe *p)
{
    struct look k = {.s = s, .p = p, .sent = sent, .wanted = wanted};
    memset(p, 0, sizeof *p);
    p->outcome = PROBE_SILENT;
    session_close(s);
    if (link_connect(&s->link, s->loop, s->target.host, s->target.port, s->options.timeout_ms, &p->trouble) != 0) {
        p->outcome = PROBE_NO_CONNECT;
        session_close(s);
        return;
    }
    s->was_reached = true;
    link_write(&s->link, sent->data, sent->len);
    link_run(&s->link, look, &k, again != 0 ? limit_ms / 2 : limit_ms);
    if (again != 0 && !k.done && !s->link.over) {
        struct bytes query = {.len = 0};
        put_query(s, &query, TW_V33, again);
        link_write(&s->link, query.data, query.len);
        link_run(&s->link, look, &k, limit_ms - limit_ms / 2);
    }
    look(&k); /* what came together with the end */
    if (s->options.debug)
        debug_bytes(s->link.first, s->link.bytes_in < sizeof s->link.first ? s->link.bytes_in : sizeof s->link.first);
    p->reply_len = s->link.bytes_in < sizeof p->reply ? s->link.bytes_in : sizeof p->reply;
    memcpy(p->reply, s->link.first, p->reply_len);
    if (p->outcome == PROBE_SILENT && s->link.over)
        p->outcome = s->link.uv_error == UV_EOF ? PROBE_CLOSED : PROBE_RESET;
    session_close(s);
}

/* Some devices need a moment after a client has left before they take the next one. */
static bool needs_a_moment(const struct probe *p)
{
    if (p->outcome == PROBE_NO_CONNECT)
        return p->trouble.kind == TROUBLE_RESETS || p->trouble.kind == TROUBLE_REFUSED;
    return p->outcome == PROBE_RESET;
}

static void exchange(struct session *s, const struct bytes *sent, uint32_t again, enum tw_version wanted,
                     uint64_t limit_ms, struct probe *p)
{
    bool was_reached = s->was_reached;
    exchange_once(s, sent, again, wanted, limit_ms, p);
    if (!was_reached || !needs_a_moment(p))
        return;
    session_pause(s, AGAIN_MS);
    exchange_once(s, sent, again, wanted, limit_ms, p);
}

/* ---- the probes ------------------------------------------------------------------------------------------------ */

void probe_handshake(struct session *s, bool only_34, uint64_t limit_ms, struct probe *p)
{
    struct bytes b = {.len = 0};
    uint8_t nonce[TW_SESSION_NONCE_LEN];
    if (session_random(NULL, nonce, sizeof nonce) == 0) {
        put_frame(s, &b, TW_V34, 1, TW_CMD_SESS_KEY_NEG_START, (struct tw_span){nonce, sizeof nonce});
        if (!only_34)
            put_frame(s, &b, TW_V35, 1, TW_CMD_SESS_KEY_NEG_START, (struct tw_span){nonce, sizeof nonce});
    }
    exchange(s, &b, 0, TW_V35, limit_ms, p);
    p->only_34 = only_34;
}

void probe_old(struct session *s, bool heartbeat, uint64_t limit_ms, struct probe *p)
{
    struct bytes b = {.len = 0};
    if (heartbeat)
        put_frame(s, &b, TW_V33, 1, TW_CMD_HEART_BEAT, (struct tw_span){0});
    put_query(s, &b, TW_V33, 2);
    /* some devices lose the first request after connecting */
    exchange(s, &b, 3, TW_V33, limit_ms, p);
}

/* 3.2 takes an empty control in its form and acknowledges it. 3.1 does so in its own form, and keeps silent when it
 * is not signed with its key; 3.2 answers what it cannot read with a text. */
void probe_clear(struct session *s, uint64_t limit_ms, struct probe *p)
{
    struct bytes b = {.len = 0};
    put_null_control(s, &b, TW_V32, 1);
    exchange(s, &b, 0, TW_V32, limit_ms, p);
    p->has_version = p->is_old = p->in_clear = true;
    if (p->outcome == PROBE_ANSWERED && !p->refused) {
        p->version = TW_V32;
        p->key = PROBE_KEY_FITS;
        return;
    }
    struct probe signed31;
    b.len = 0;
    put_null_control(s, &b, TW_V31, 1);
    exchange(s, &b, 0, TW_V31, limit_ms, &signed31);
    p->version = TW_V31;
    p->key = PROBE_KEY_WRONG;
    if (signed31.outcome == PROBE_ANSWERED && !signed31.refused)
        p->key = PROBE_KEY_FITS;
    else if (signed31.outcome == PROBE_ANSWERED)
        p->version = TW_V32;
}

void probe_nothing(struct session *s, uint64_t limit_ms, struct probe *p)
{
    struct bytes b = {.len = 0};
    exchange(s, &b, 0, TW_V33, limit_ms, p);
}

bool probe_reply_fits(struct session *s, const struct probe *p, const uint8_t *key)
{
    struct tw_frame_rules rules = {.direction = TW_FROM_DEVICE};
    uint8_t room[8192];
    size_t at = 0;
    while (at < p->reply_len) {
        struct tw_frame f;
        struct tw_message m;
        size_t consumed;
        if (tw_frame_parse(&f, &consumed, p->reply + at, p->reply_len - at, &rules) != TW_OK)
            return false;
        at += consumed;
        if (p->version == TW_V34 && tw_frame_reframe(&f, TW_INTEGRITY_HMAC) != TW_OK)
            continue;
        if (f.body.len > TW_RETCODE_LEN && opens(s, &f, p->version, key, &m, room, sizeof room) &&
            (m.encrypted || p->version >= TW_V34))
            return true;
    }
    return false;
}

bool probe_is_busy(struct session *s)
{
    struct probe p;
    probe_nothing(s, NOTHING_MS, &p);
    return p.outcome == PROBE_CLOSED;
}

int probe_busy_trouble(struct session *s, struct trouble *t)
{
    return trouble_set(t, TROUBLE_BUSY,
                       "close the app and other programs that talk to it; a client that vanished blocks its place "
                       "for up to a minute",
                       "%s closes connections as soon as they are made: it has no place for another client",
                       s->target.host);
}

/* ---- all of it ------------------------------------------------------------------------------------------------- */

/* @return true: nothing more to ask */
static bool settle(struct survey *v, const struct probe *p)
{
    if (p->outcome == PROBE_JUNK || p->outcome == PROBE_ECHO || p->outcome == PROBE_NO_CONNECT || p->damaged)
        v->other = p;
    else if (p->has_version)
        v->by = p;
    return v->other != NULL || v->by != NULL;
}

static bool survey_old(struct session *s, uint64_t limit_ms, struct survey *v)
{
    probe_old(s, true, limit_ms, &v->old);
    if (v->old.is_old && v->old.in_clear && !v->old.has_version)
        probe_clear(s, CLEAR_MS, &v->old);
    if (settle(v, &v->old))
        return true;
    if (!v->old.is_old)
        return false;
    /* The heart beat was answered, the query not: some hang up after one answer. */
    struct probe query;
    probe_old(s, false, limit_ms, &query);
    if (query.is_old && query.in_clear && !query.has_version)
        probe_clear(s, CLEAR_MS, &query);
    if (query.has_version)
        v->old = query;
    return settle(v, &v->old) || v->old.is_old;
}

static void survey_once(struct session *s, bool patient, struct survey *v)
{
    memset(v, 0, sizeof *v);
    v->only34.outcome = PROBE_SILENT;
    probe_handshake(s, false, HANDSHAKE_MS, &v->both);
    if (settle(v, &v->both) || survey_old(s, OLD_MS, v))
        return;
    probe_handshake(s, true, HANDSHAKE_MS, &v->only34);
    if (settle(v, &v->only34) || !patient)
        return;
    if (v->both.outcome == PROBE_SILENT) {
        probe_handshake(s, false, PATIENT_HANDSHAKE_MS, &v->both);
        if (settle(v, &v->both) || v->old.outcome != PROBE_SILENT || survey_old(s, PATIENT_OLD_MS, v))
            return;
    }
    if (v->both.outcome != PROBE_SILENT && v->only34.outcome == PROBE_SILENT) {
        probe_handshake(s, true, PATIENT_HANDSHAKE_MS, &v->only34);
        settle(v, &v->only34);
    }
}

void probe_survey(struct session *s, bool patient, struct survey *v)
{
    survey_once(s, patient, v);
    if (v->other != NULL && v->other->outcome != PROBE_NO_CONNECT) /* bad luck, or really so: look twice */
        survey_once(s, patient, v);
}

int probe_other_trouble(const struct session *s, const struct probe *p, struct trouble *t)
{
    if (p->outcome == PROBE_NO_CONNECT) {
        *t = p->trouble;
        return -1;
    }
    if (p->damaged)
        return trouble_set(t, TROUBLE_DAMAGED, "try again; if it stays, switch the device off and on",
                           "%s sends frames whose check value is wrong", s->target.host);
    return trouble_set(t, TROUBLE_NOT_TUYA, "is this the address and port of a Tuya device? `tuya-ctl discover`",
                       p->outcome == PROBE_ECHO ? "what listens there only echoes what is sent"
                                                : "what answers there does not speak the Tuya protocol");
}

int probe_version(struct session *s, enum tw_version *v, struct trouble *t)
{
    struct survey found;
    probe_survey(s, true, &found);
    if (found.by != NULL) {
        *v = found.by->version;
        return 0;
    }
    if (found.other != NULL)
        return probe_other_trouble(s, found.other, t);
    if (found.old.is_old) {
        *v = TW_V33;
        return 0;
    }
    enum probe_outcome both = found.both.outcome, old = found.old.outcome, only34 = found.only34.outcome;
    if (only34 == PROBE_SILENT)
        return trouble_set(t, TROUBLE_SILENT, "switch the device off and on; `tuya-ctl diagnose` says more",
                           "the device takes connections but answers nothing, in no version");
    if (both == PROBE_RESET || old == PROBE_RESET || only34 == PROBE_RESET)
        return trouble_from_uv(t, UV_ECONNRESET, false, s->target.host, s->target.port);
    if (probe_is_busy(s))
        return probe_busy_trouble(s, t);
    return trouble_set(t, TROUBLE_WRONG_KEY, trouble_next_key,
                       "the device closes the connection at the handshake of 3.4 and 3.5, and knows no older "
                       "protocol: most likely the local key is wrong");
}
