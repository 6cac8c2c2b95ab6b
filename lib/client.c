/* client.c - the client engine; its contract is in tuyawire/client.h.
 *
 * Received bytes become events at once: frames are taken off `rx`, opened into `plain`, judged, and queued. Requests
 * stand in one list, oldest first, whether they wait for the session key, for an earlier request of the same command,
 * or for their answer. */
#include "tuyawire/client.h"
#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "internal.h"
#include "tuyawire/error.h"
#include "tuyawire/frame.h"
#include "tuyawire/version.h"

enum {
    HANDSHAKE_SKIP_MAX = 8,    /* messages passed over while waiting for RESP; spec section 4.5 */
    HEARTBEATS_UNANSWERED = 2, /* spec section 6.2 */
    FALLBACK_MS = 1000,        /* for an answer to a query form that is only a guess. Our choice: the slowest query
                                   replies that logs show took 0.55 s */
    NONCE_DRAWS = 16,          /* tries for a client nonce that cannot lead to a zero key; two are usual */
    STATUS_SEEN = 8,           /* (counter, source) pairs remembered against duplicates. Our choice */
    BODY_MAX = 4096,
    UNDRAINED_MAX = 1 << 20,
    DPS_ASKED_MAX = 32,
};

/* What a null map asks for when the caller names nothing: switches, countdown, measurements of the common families
 * (spec energy-dps section 2). More would make the request longer than the 255 bytes that such devices read. */
static const uint32_t usual_dps[] = {1, 2, 3, 4, 5, 6, 9, 17, 18, 19, 20};

enum query_form { FORM_OF_VERSION, FORM_NEW, FORM_NULL_MAP };

struct buffer {
    uint8_t *data;
    size_t len, cap;
};

struct request {
    uint32_t id;
    uint32_t command;
    uint32_t seq; /* valid once sent */
    bool sent;
    bool is_query;     /* may fall back to another form when refused */
    bool null_map;     /* answered by a STATUS besides the ACK */
    bool refresh;      /* answered by an ACK or by a STATUS, devices differ */
    bool acked;        /* null map: the ACK has come, the values have not */
    bool delivered;    /* null map: the values have come, the ACK has not */
    bool guessed;      /* the form is a guess: answers come soon or not at all */
    uint64_t deadline; /* valid once sent */
    uint8_t *body;     /* owned; NULL once sent */
    size_t body_len;
    uint32_t asked[DPS_ASKED_MAX]; /* null map, refresh */
    size_t n_asked;
};

struct queued {
    struct tw_client_event event; /* payload.data is not valid; see offset */
    size_t offset;                /* of the payload in plain */
};

struct tw_client {
    struct tw_client_config cfg; /* spans point to the arrays below */
    const struct tw_version_traits *traits;
    uint8_t device_id[TW_CLIENT_ID_MAX], cid[TW_CLIENT_ID_MAX];
    struct tw_session session;

    bool started, established;
    int error;
    unsigned skipped; /* messages passed over during the handshake */
    enum query_form form;
    uint32_t seq;     /* of the next frame */
    uint32_t counter; /* of the next control */
    uint32_t next_id;

    uint64_t start_ms, now_ms, handshake_deadline, next_heartbeat, last_heartbeat;
    unsigned unanswered; /* heart beats since the last sign of life */

    struct buffer rx, tx, plain;
    size_t tx_sent;

    struct queued *events;
    size_t n_events, events_cap, next_event;

    struct request requests[TW_CLIENT_REQUESTS_MAX];
    size_t n_requests;

    struct {
        uint32_t counter, source;
    } seen[STATUS_SEEN];
    size_t n_seen; /* counts on; the ring index is n_seen % STATUS_SEEN */
};

static int reserve(struct buffer *b, size_t more)
{
    if (b->cap - b->len >= more)
        return TW_OK;
    size_t cap = b->cap < 1024 ? 1024 : b->cap;
    while (cap - b->len < more)
        cap *= 2;
    uint8_t *data = realloc(b->data, cap);
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
    if (b->data != NULL)
        tw__wipe(b->data, b->cap);
    free(b->data);
    *b = (struct buffer){0};
}

static bool is_empty(struct tw_span s)
{
    return s.len == 0;
}

/* ---- events -------------------------------------------------------------------------------------------------- */

/* Queue an event. Its payload may lie in plain (opened in place), in rx or in static text. */
static int queue_event(struct tw_client *c, const struct tw_client_event *ev)
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
    if (!is_empty(ev->payload)) {
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
    (void)queue_event(c, &ev);
    return error;
}

static struct tw_client_event event_of(enum tw_client_event_type type, const struct tw_message *m)
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

/* Seal one message behind what waits in tx. */
static int emit(struct tw_client *c, uint32_t command, struct tw_span body, uint32_t *seq)
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

static bool in_flight(const struct tw_client *c, uint32_t command)
{
    for (size_t i = 0; i < c->n_requests; i++) {
        if (c->requests[i].sent && c->requests[i].command == command)
            return true;
    }
    return false;
}

static uint64_t time_limit(const struct tw_client *c, const struct request *r)
{
    if (r->guessed)
        return FALLBACK_MS;
    return r->is_query || r->null_map || r->command == TW_CMD_LAN_EXT_STREAM ? c->cfg.query_ms : c->cfg.ack_ms;
}

/* Send what may be sent now. Order is kept: a request that has to wait holds up those behind it. */
static int pump(struct tw_client *c)
{
    if (!c->established)
        return TW_OK;
    for (size_t i = 0; i < c->n_requests; i++) {
        struct request *r = &c->requests[i];
        if (r->sent)
            continue;
        if (in_flight(c, r->command))
            return TW_OK;
        int rc = emit(c, r->command, (struct tw_span){r->body, r->body_len}, &r->seq);
        if (rc != TW_OK)
            return rc;
        free(r->body);
        r->body = NULL;
        r->sent = true;
        r->deadline = c->now_ms + time_limit(c, r);
    }
    return TW_OK;
}

static void remove_request(struct tw_client *c, struct request *r)
{
    free(r->body);
    size_t i = (size_t)(r - c->requests);
    memmove(r, r + 1, (c->n_requests - i - 1) * sizeof *r);
    c->n_requests--;
}

/* ---- bodies -------------------------------------------------------------------------------------------------- */

static struct tw_body_ids ids_now(const struct tw_client *c)
{
    return (struct tw_body_ids){.id = c->cfg.device_id,
                                .cid = c->cfg.cid,
                                .t = c->cfg.unix_time + (int64_t)((c->now_ms - c->start_ms) / 1000)};
}

/* {"1":null,"2":null} */
static void put_null_map(struct tw_text *t, const uint32_t *dp_ids, size_t n)
{
    tw_text_put(t, "{");
    for (size_t i = 0; i < n; i++) {
        tw_text_put(t, i == 0 ? "\"" : ",\"");
        tw_text_put_int(t, dp_ids[i]);
        tw_text_put(t, "\":null");
    }
    tw_text_put(t, "}");
}

/* Give the request a body of its own. */
static int set_body(struct request *r, struct tw_span body)
{
    uint8_t *copy = malloc(body.len > 0 ? body.len : 1);
    if (copy == NULL)
        return TW_E_NOMEM;
    if (body.len > 0)
        memcpy(copy, body.data, body.len);
    free(r->body);
    r->body = copy;
    r->body_len = body.len;
    return TW_OK;
}

/* Make r a null map for these data points. */
static int make_null_map(struct tw_client *c, struct request *r, const uint32_t *dp_ids, size_t n)
{
    char map_room[DPS_ASKED_MAX * 20], body_room[BODY_MAX];
    struct tw_text map = {.data = map_room, .cap = sizeof map_room};
    struct tw_text body = {.data = body_room, .cap = sizeof body_room};
    struct tw_body_ids ids = ids_now(c);
    put_null_map(&map, dp_ids, n);
    int rc = tw_body_control(&body, c->cfg.version, TW_CMD_CONTROL_NEW, &ids,
                             (struct tw_span){(const uint8_t *)map.data, map.len});
    if (rc != TW_OK)
        return rc;
    r->command = TW_CMD_CONTROL_NEW;
    r->null_map = true;
    r->n_asked = n;
    memcpy(r->asked, dp_ids, n * sizeof *dp_ids);
    return set_body(r, (struct tw_span){(const uint8_t *)body.data, body.len});
}

/* Give a query the command and body of this form. */
static int make_query(struct tw_client *c, struct request *r, enum query_form form)
{
    if (form == FORM_NULL_MAP)
        return make_null_map(c, r, usual_dps, sizeof usual_dps / sizeof usual_dps[0]);
    char room[BODY_MAX];
    struct tw_text body = {.data = room, .cap = sizeof room};
    struct tw_body_ids ids = ids_now(c);
    r->command = form == FORM_NEW ? TW_CMD_DP_QUERY_NEW : c->traits->query;
    int rc = tw_body_query(&body, c->cfg.version, r->command, &ids);
    return rc != TW_OK ? rc : set_body(r, (struct tw_span){(const uint8_t *)body.data, body.len});
}

/* ---- receiving ----------------------------------------------------------------------------------------------- */

/* Is this message the answer to r? Up to 3.3 the number is echoed; a number that an earlier request of ours had is a
 * late answer to that one. Numbers that we never used come from devices that do not echo. */
static bool answers(const struct tw_client *c, const struct request *r, const struct tw_message *m)
{
    if (!r->sent || r->command != m->command)
        return false;
    return !c->traits->seq_echo || m->seq == 0 || m->seq >= r->seq;
}

static struct request *find_request(struct tw_client *c, const struct tw_message *m)
{
    for (size_t i = 0; i < c->n_requests; i++) {
        if (answers(c, &c->requests[i], m))
            return &c->requests[i];
    }
    return NULL;
}

/* Did r ask for one of these data points? */
static bool asked_for(const struct request *r, struct tw_span dps)
{
    struct tw_dp dp;
    for (size_t k = 0; k < r->n_asked; k++) {
        if (tw_dps_find(&dp, dps, r->asked[k]) == TW_OK)
            return true;
    }
    return false;
}

/* The null map or, failing that, the refresh that these data points answer: a refresh may go unanswered, and must not
 * take away what a query waits for. */
static struct request *find_asked(struct tw_client *c, struct tw_span dps)
{
    struct request *refresh = NULL;
    for (size_t i = 0; i < c->n_requests; i++) {
        struct request *r = &c->requests[i];
        if (!r->sent || r->delivered || !(r->null_map || r->refresh) || !asked_for(r, dps))
            continue;
        if (r->null_map)
            return r;
        if (refresh == NULL)
            refresh = r;
    }
    return refresh;
}

static bool is_duplicate(struct tw_client *c, uint32_t counter, uint32_t source)
{
    size_t n = c->n_seen < STATUS_SEEN ? c->n_seen : STATUS_SEEN;
    for (size_t i = 0; i < n; i++) {
        if (c->seen[i].counter == counter && c->seen[i].source == source)
            return true;
    }
    c->seen[c->n_seen % STATUS_SEEN].counter = counter;
    c->seen[c->n_seen % STATUS_SEEN].source = source;
    c->n_seen++;
    return false;
}

/* A push of the device; each (counter, source) once (spec section 3.0). A header of zeros, or none, tells nothing. */
static int on_status(struct tw_client *c, const struct tw_message *m, const struct tw_body *body)
{
    bool signed31 = m->has_header && m->header.signature[0] != '\0';
    if (m->has_header && !signed31 && m->header.source != 0 && is_duplicate(c, m->header.counter, m->header.source))
        return TW_OK;
    if (c->cfg.version == TW_V31 && body->counter >= 0 && is_duplicate(c, (uint32_t)body->counter, 1))
        return TW_OK;

    struct request *asked = find_asked(c, body->dps);
    struct tw_client_event ev = event_of(TW_CLIENT_STATUS, m);
    if (asked == NULL)
        return queue_event(c, &ev);
    ev.request = asked->id;
    if (asked->null_map) {
        ev.type = TW_CLIENT_REPLY;
        asked->delivered = true;
        if (asked->is_query)
            c->form = FORM_NULL_MAP;
    }
    if (asked->acked || asked->refresh)
        remove_request(c, asked);
    return queue_event(c, &ev);
}

static bool is_printable(struct tw_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < 0x20 || s.data[i] > 0x7e)
            return false;
    }
    return true;
}

static enum query_form next_form(const struct tw_client *c, const struct request *r)
{
    if (r->null_map)
        return FORM_OF_VERSION; /* that was the last one */
    if (c->traits->query == TW_CMD_DP_QUERY_NEW || r->command == TW_CMD_DP_QUERY_NEW)
        return FORM_NULL_MAP;
    return FORM_NEW;
}

/* "json obj data unvalid": the device wants to be asked in another way (spec sections 2 and 5.6). */
static int ask_again(struct tw_client *c, struct request *r, enum query_form form)
{
    r->sent = false;
    r->guessed = true;
    return make_query(c, r, form);
}

static int finish_refused(struct tw_client *c, struct request *r, struct tw_client_event *ev)
{
    if (r->delivered) { /* its values came before */
        remove_request(c, r);
        return TW_OK;
    }
    ev->type = TW_CLIENT_REFUSED;
    ev->request = r->id;
    int rc = queue_event(c, ev);
    remove_request(c, r);
    return rc;
}

/* A request that was refused in its first form and unanswered in the others. */
static int finish_unanswered(struct tw_client *c, struct request *r)
{
    static const char text[] = TW_TEXT_JSON_OBJ;
    if (r->delivered) { /* its values came, only the ACK did not */
        remove_request(c, r);
        return TW_OK;
    }
    if (r->is_query && r->guessed) {
        enum query_form form = next_form(c, r);
        if (form != FORM_OF_VERSION)
            return ask_again(c, r, form);
        struct tw_client_event ev = {.command = c->traits->query, .return_code = 1};
        ev.payload = (struct tw_span){(const uint8_t *)text, sizeof text - 1};
        return finish_refused(c, r, &ev);
    }
    struct tw_client_event ev = {.type = TW_CLIENT_TIMEOUT, .error = TW_E_TIMEOUT, .command = r->command};
    ev.request = r->id;
    int rc = queue_event(c, &ev);
    remove_request(c, r);
    return rc;
}

static int on_text(struct tw_client *c, struct request *r, const struct tw_message *m)
{
    bool other_form = m->payload.len == sizeof TW_TEXT_JSON_OBJ - 1 &&
                      memcmp(m->payload.data, TW_TEXT_JSON_OBJ, m->payload.len) == 0;
    if (r->is_query && other_form) {
        enum query_form form = next_form(c, r);
        if (form != FORM_OF_VERSION)
            return ask_again(c, r, form);
    }
    struct tw_client_event ev = event_of(TW_CLIENT_REFUSED, m);
    return finish_refused(c, r, &ev);
}

static int on_ack(struct tw_client *c, struct request *r, const struct tw_message *m)
{
    if (r->null_map && !r->delivered) { /* values follow */
        r->acked = true;
        return TW_OK;
    }
    if (r->delivered) {
        remove_request(c, r);
        return TW_OK;
    }
    struct tw_client_event ev = event_of(TW_CLIENT_ACK, m);
    bool is_control = m->command == TW_CMD_CONTROL || m->command == TW_CMD_CONTROL_NEW;
    if (ev.return_code != 0 && !is_control)
        return finish_refused(c, r, &ev);
    ev.request = r->id;
    int rc = queue_event(c, &ev);
    remove_request(c, r);
    return rc;
}

static int on_reply(struct tw_client *c, struct request *r, const struct tw_message *m)
{
    struct tw_client_event ev = event_of(TW_CLIENT_REPLY, m);
    if (ev.return_code != 0)
        return finish_refused(c, r, &ev);
    if (r->is_query)
        c->form = r->command == c->traits->query ? FORM_OF_VERSION : FORM_NEW;
    ev.request = r->id;
    int rc = queue_event(c, &ev);
    remove_request(c, r);
    return rc;
}

/* An opened message of an established connection. */
static int on_message(struct tw_client *c, const struct tw_message *m)
{
    if (tw_command_is_handshake(m->command))
        return TW_OK; /* a RESP on a live session is ignored (spec section 4.5) */

    struct tw_body body = {.counter = -1};
    bool is_json = tw_body_parse(&body, m->payload) == TW_OK;
    /* ECB has no integrity of its own: what came out of it under another key is noise. */
    if (!is_json && m->encrypted && !c->traits->negotiates && !is_printable(m->payload))
        return TW_E_PAYLOAD;
    if (m->command == TW_CMD_STATUS && is_json)
        return on_status(c, m, &body);

    struct request *r = find_request(c, m);
    if (r == NULL && is_json && m->command == TW_CMD_DP_QUERY && find_asked(c, body.dps) != NULL)
        return on_status(c, m, &body); /* some device22 answer a null map so (spec section 5.6) */
    if (r == NULL) {
        struct tw_client_event ev = event_of(TW_CLIENT_OTHER, m);
        bool is_echo = is_empty(m->payload) && (m->command == TW_CMD_HEART_BEAT || ev.return_code == 0);
        return is_echo ? TW_OK : queue_event(c, &ev);
    }
    if (is_empty(m->payload))
        return on_ack(c, r, m);
    return is_json ? on_reply(c, r, m) : on_text(c, r, m);
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
    return on_message(c, &m);
}

static int become_established(struct tw_client *c)
{
    c->established = true;
    c->last_heartbeat = c->now_ms;
    c->next_heartbeat = c->cfg.heartbeat_ms == 0 ? TW_CLIENT_NEVER : c->now_ms + c->cfg.heartbeat_ms;
    struct tw_client_event ev = {.type = TW_CLIENT_ESTABLISHED};
    return queue_event(c, &ev);
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
        rc = emit(c, TW_CMD_SESS_KEY_NEG_FINISH, (struct tw_span){finish, sizeof finish}, &seq);
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

static void set_now(struct tw_client *c, uint64_t now_ms)
{
    if (now_ms > c->now_ms)
        c->now_ms = now_ms;
}

static int check_usable(const struct tw_client *c)
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
    while (c->n_requests > 0)
        remove_request(c, &c->requests[c->n_requests - 1]);
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
    for (int i = 0; i < NONCE_DRAWS && (key[0] & 0x80) == 0; i++) {
        int rc = draw(c, nonce, TW_SESSION_NONCE_LEN);
        if (rc != TW_OK || c->traits->integrity != TW_INTEGRITY_GCM)
            return rc;
        rc = tw_session_derive(key, c->cfg.crypto, c->cfg.version, c->cfg.local_key, nonce, zero);
        if (rc != TW_OK)
            return rc;
    }
    tw__wipe(key, sizeof key);
    return TW_OK;
}

static int start_handshake(struct tw_client *c)
{
    uint8_t nonce[TW_SESSION_NONCE_LEN];
    uint32_t seq;
    int rc = draw_client_nonce(c, nonce);
    if (rc == TW_OK)
        rc = tw_session_start(&c->session, nonce);
    if (rc == TW_OK)
        rc = emit(c, TW_CMD_SESS_KEY_NEG_START, (struct tw_span){nonce, sizeof nonce}, &seq);
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
    int rc = check_usable(c);
    if (rc != TW_OK)
        return rc;
    set_now(c, now_ms);
    rc = append(&c->rx, buf, len);
    if (rc == TW_OK)
        rc = take_frames(c);
    if (rc == TW_OK)
        rc = pump(c);
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
    if (!is_empty(ev->payload))
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
    for (size_t i = 0; i < c->n_requests; i++) {
        if (c->requests[i].sent && c->requests[i].deadline < at)
            at = c->requests[i].deadline;
    }
    return at;
}

static int beat(struct tw_client *c)
{
    if (c->now_ms < c->next_heartbeat)
        return TW_OK;
    if (c->unanswered >= HEARTBEATS_UNANSWERED)
        return TW_E_TIMEOUT;
    uint32_t seq;
    int rc = emit(c, TW_CMD_HEART_BEAT, (struct tw_span){0}, &seq);
    c->unanswered++;
    c->last_heartbeat = c->now_ms;
    c->next_heartbeat = c->now_ms + (c->unanswered < HEARTBEATS_UNANSWERED ? c->cfg.heartbeat_ms : c->cfg.ack_ms);
    return rc;
}

static int end_overdue(struct tw_client *c)
{
    for (size_t i = 0; i < c->n_requests;) {
        struct request *r = &c->requests[i];
        if (!r->sent || c->now_ms < r->deadline) {
            i++;
            continue;
        }
        int rc = finish_unanswered(c, r); /* removes r, or makes it wait again in another form */
        if (rc != TW_OK)
            return rc;
    }
    return TW_OK;
}

/* see tuyawire/client.h */
int tw_client_tick(tw_client *c, uint64_t now_ms)
{
    int rc = check_usable(c);
    if (rc != TW_OK)
        return rc;
    set_now(c, now_ms);
    if (!c->established)
        return c->now_ms < c->handshake_deadline ? TW_OK : fail(c, TW_E_TIMEOUT, NULL);
    rc = end_overdue(c);
    if (rc == TW_OK)
        rc = pump(c);
    if (rc == TW_OK)
        rc = beat(c);
    return rc == TW_OK ? TW_OK : fail(c, rc, NULL);
}

/* A fresh request at the end of the list; its body is still to be set. */
static int new_request(struct tw_client *c, uint64_t now_ms, struct request **out)
{
    int rc = check_usable(c);
    if (rc != TW_OK)
        return rc;
    if (c->n_requests == TW_CLIENT_REQUESTS_MAX)
        return TW_E_CAPACITY;
    set_now(c, now_ms);
    struct request *r = &c->requests[c->n_requests];
    memset(r, 0, sizeof *r);
    *out = r;
    return TW_OK;
}

/* The request is complete: put it in line. rc: what making it returned. */
static int submit(struct tw_client *c, struct request *r, int rc, uint32_t *request)
{
    if (rc == TW_OK && tw_message_size_max(r->body_len) > TW_FRAME_SIZE_TO_DEVICE_MAX)
        rc = TW_E_TOO_LARGE;
    if (rc == TW_E_CAPACITY) /* of the room for a body */
        rc = TW_E_TOO_LARGE;
    if (rc != TW_OK) {
        free(r->body);
        return rc;
    }
    c->next_id = c->next_id == UINT32_MAX ? 1 : c->next_id + 1;
    r->id = c->next_id;
    c->n_requests++;
    if (request != NULL)
        *request = r->id;
    rc = pump(c);
    return rc == TW_OK ? TW_OK : fail(c, rc, NULL);
}

/* see tuyawire/client.h */
int tw_client_query(tw_client *c, uint64_t now_ms, uint32_t *request)
{
    struct request *r;
    int rc = new_request(c, now_ms, &r);
    if (rc != TW_OK)
        return rc;
    r->is_query = true;
    return submit(c, r, make_query(c, r, c->form), request);
}

/* see tuyawire/client.h */
int tw_client_query_dps(tw_client *c, const uint32_t *dp_ids, size_t n, uint64_t now_ms, uint32_t *request)
{
    struct request *r;
    int rc = new_request(c, now_ms, &r);
    if (rc != TW_OK)
        return rc;
    if (n == 0 || n > DPS_ASKED_MAX)
        return TW_E_ARGUMENT;
    return submit(c, r, make_null_map(c, r, dp_ids, n), request);
}

/* The command that sets data points. Up to 3.3, a device that answered only the newer query takes the newer control
 * (spec section 2); one that answers only null maps takes the old (spec section 5.6). */
static uint32_t control_command(const struct tw_client *c)
{
    return c->form == FORM_NEW ? TW_CMD_CONTROL_NEW : c->traits->control;
}

/* see tuyawire/client.h */
int tw_client_control(tw_client *c, struct tw_span dps, uint64_t now_ms, uint32_t *request)
{
    struct request *r;
    int rc = new_request(c, now_ms, &r);
    if (rc != TW_OK)
        return rc;
    struct tw_body object;
    if (tw_body_parse(&object, dps) != TW_OK)
        return TW_E_JSON;
    char room[BODY_MAX];
    struct tw_text body = {.data = room, .cap = sizeof room};
    struct tw_body_ids ids = ids_now(c);
    r->command = control_command(c);
    rc = tw_body_control(&body, c->cfg.version, r->command, &ids, dps);
    if (rc == TW_OK)
        rc = set_body(r, (struct tw_span){(const uint8_t *)body.data, body.len});
    return submit(c, r, rc, request);
}

/* see tuyawire/client.h */
int tw_client_send(tw_client *c, uint32_t command, struct tw_span body, uint64_t now_ms, uint32_t *request)
{
    struct request *r;
    int rc = new_request(c, now_ms, &r);
    if (rc != TW_OK)
        return rc;
    if (tw_command_is_handshake(command))
        return TW_E_ARGUMENT;
    if (body.len > BODY_MAX)
        return TW_E_TOO_LARGE;
    r->command = command;
    return submit(c, r, set_body(r, body), request);
}

/* see tuyawire/client.h */
int tw_client_refresh(tw_client *c, const uint32_t *dp_ids, size_t n, uint64_t now_ms, uint32_t *request)
{
    struct request *r;
    int rc = new_request(c, now_ms, &r);
    if (rc != TW_OK)
        return rc;
    if (n > DPS_ASKED_MAX)
        return TW_E_ARGUMENT;
    char room[BODY_MAX];
    struct tw_text body = {.data = room, .cap = sizeof room};
    r->command = TW_CMD_UPDATEDPS;
    r->refresh = true;
    r->n_asked = n;
    if (n > 0)
        memcpy(r->asked, dp_ids, n * sizeof *dp_ids);
    rc = tw_body_refresh(&body, dp_ids, n);
    if (rc == TW_OK)
        rc = set_body(r, (struct tw_span){(const uint8_t *)body.data, body.len});
    return submit(c, r, rc, request);
}

/* see tuyawire/client.h */
int tw_client_heartbeat(tw_client *c, uint64_t now_ms, uint32_t *request)
{
    return tw_client_send(c, TW_CMD_HEART_BEAT, (struct tw_span){0}, now_ms, request);
}

/* see tuyawire/client.h */
int tw_client_subdevices(tw_client *c, uint64_t now_ms, uint32_t *request)
{
    char room[128];
    struct tw_text body = {.data = room, .cap = sizeof room};
    int rc = tw_body_subdev_query(&body);
    if (rc != TW_OK)
        return rc;
    return tw_client_send(c, TW_CMD_LAN_EXT_STREAM, (struct tw_span){(const uint8_t *)body.data, body.len}, now_ms,
                          request);
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
