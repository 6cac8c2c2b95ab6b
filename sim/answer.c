/* answer.c - what a plug answers: which reply to which request, in which order, and who is told.
 *
 * Rows of the behaviour tables (spec device-behaviour.md sections 4 to 9) in code. What goes wrong on purpose is asked
 * of strike.h at the same places; without faults those questions cost one comparison. */
#include "server_private.h"
#include <string.h>
#include "strike.h"

static struct tw_span span_of(const char *text)
{
    return (struct tw_span){(const uint8_t *)text, strlen(text)};
}

static struct tw_span text_span(const struct tw_text *t)
{
    return (struct tw_span){(const uint8_t *)t->data, t->len};
}

static bool span_is(struct tw_span a, const char *text)
{
    return a.len == strlen(text) && memcmp(a.data, text, a.len) == 0;
}

/* ---- one message out -------------------------------------------------------------------------------------------- */

/* Numbers that are not the right ones: Q12. */
static unsigned bend_seq(struct conn *c, const struct tw_device_event *ev, struct tw_message *m)
{
    uint32_t command = ev->message.command;
    if (strike(c, FAULT_SEQ_ZERO, command))
        m->seq = 0;
    else if (strike(c, FAULT_SEQ_RANDOM, command))
        m->seq = (uint32_t)rng_next(&c->server->rng);
    else if (strike(c, FAULT_SEQ_ECHO, command))
        m->seq = ev->message.seq;
    else
        return 0;
    return TW_DEVICE_KEEP_SEQ;
}

/* A reply to a request. */
static void respond(struct conn *c, const struct tw_device_event *ev, struct tw_message *m, unsigned flags)
{
    if (c->closing)
        return;
    if (c->server->n_faults == 0) {
        conn_emit(c, m, flags);
        return;
    }
    if (strike(c, FAULT_NEVER_ANSWER, ev->message.command))
        return;
    flags |= bend_seq(c, ev, m);
    size_t at = tw_device_output(c->engine).len;
    if (conn_emit(c, m, flags) == TW_OK)
        strike_bytes(c, at, ev->message.command);
}

static void ack(struct conn *c, const struct tw_device_event *ev, uint32_t retcode)
{
    struct tw_message m;
    tw_device_message_init(c->engine, &m, ev->message.command, ev->message.seq, false);
    m.retcode = retcode;
    const struct fault *rc1 = strike(c, FAULT_ACK_RC1, ev->message.command);
    if (rc1 != NULL)
        m.retcode = rc1->spec.n == 1 ? 0x01000000 : 1;
    if (c->outlet->device->version == TW_V35 && strike(c, FAULT_VENDOR, ev->message.command))
        m.retcode = 0x01000000; /* TuyaOpen says so after every control, done or not */
    respond(c, ev, &m, strike(c, FAULT_ACK_PADDING, ev->message.command) ? TW_DEVICE_PAD_EMPTY : 0);
}

static void refuse(struct conn *c, const struct tw_device_event *ev, const char *text)
{
    struct tw_message m;
    tw_device_message_init(c->engine, &m, ev->message.command, ev->message.seq, true);
    m.payload = span_of(text);
    respond(c, ev, &m, 0);
}

static void reply(struct conn *c, const struct tw_device_event *ev, const struct tw_text *json)
{
    struct tw_message m;
    tw_device_message_init(c->engine, &m, ev->message.command, ev->message.seq, false);
    m.payload = text_span(json);
    respond(c, ev, &m, 0);
}

/* Whom a body names: replies and pushes carry the device id where this kind of device puts it. */
static struct tw_body_ids ids_of(const struct conn *c, struct tw_span cid)
{
    const struct device *d = c->outlet->device;
    bool names_itself = d->profile->lan.query_shape == QUERY_DEVID_DPS;
    return (struct tw_body_ids){
        .id = names_itself ? span_of(d->id) : (struct tw_span){0}, .cid = cid, .t = outlet_unix_s(c->outlet)};
}

void answer_status(struct conn *c, struct tw_span dps, struct tw_span cid, uint32_t serial)
{
    struct server *s = c->server;
    const struct device *d = c->outlet->device;
    struct tw_body_ids ids = ids_of(c, cid);
    /* 3.1 pushes carry devId always, 3.5 as TuyaOpen does; in between it depends on the product. */
    if (d->version == TW_V31 || d->version == TW_V35)
        ids.id = span_of(d->id);
    struct tw_text body = {s->body, sizeof s->body, 0, false};
    if (tw_body_status(&body, d->version, &ids, dps, serial) != TW_OK)
        return;
    struct tw_message m;
    tw_device_message_init(c->engine, &m, TW_CMD_STATUS, 0, false);
    m.header.counter = serial;
    m.payload = text_span(&body);
    size_t at = tw_device_output(c->engine).len;
    if (conn_emit(c, &m, 0) == TW_OK && s->n_faults > 0)
        strike_bytes(c, at, TW_CMD_STATUS);
}

/* ---- whom a request means --------------------------------------------------------------------------------------- */

/* The plug that a request is about, or NULL: *text says why. Device behaviour, section 9. */
static struct plug *plug_of(const struct conn *c, const struct tw_device_event *ev, const char **text)
{
    const struct device *d = c->outlet->device;
    const struct tw_body *body = &ev->body;
    bool query = ev->type == TW_DEVICE_QUERY;
    *text = NULL;
    if (!d->profile->gateway && d->n_children == 0)
        return d->plug;
    /* A query with its cid inside data asks the gateway itself, which has nothing to tell (hass-localtuya logs). */
    if (body->cid.len == 0 || (query && body->cid_in_data)) {
        *text = TW_TEXT_JSON_OBJ;
        return NULL;
    }
    struct plug *p = device_plug(d, body->cid);
    if (p == NULL)
        *text = TW_TEXT_DEVID;
    return p;
}

static bool is_device22(struct conn *c)
{
    const struct device *d = c->outlet->device;
    /* 3.2: the two logged devices behave so (xZetsubou/hass-localtuya and rospogrigio/localtuya#1232). */
    return d->profile->lan.device22 || d->version == TW_V32 || strike(c, FAULT_DEVICE22, -1) != NULL;
}

/* ---- queries ---------------------------------------------------------------------------------------------------- */

/* Q35: blanks after the brace until the first bytes of ciphertext are aa 55. Together with the zeros of the return
 * code they are a suffix in the middle of the frame, on which readers that search for it cut. */
static void find_suffix_text(struct conn *c, struct tw_text *json)
{
    enum { N_BLANKS = 11, TRIES = 1 << 20, BODY_AT = 20 };
    const struct device *d = c->outlet->device;
    if (d->version != TW_V33 || json->len + N_BLANKS > json->cap)
        return; /* only there the key of the first block is known without a session, and the code stands in clear */
    memmove(json->data + 1 + N_BLANKS, json->data + 1, json->len - 1);
    json->len += N_BLANKS;
    struct tw_message m;
    tw_message_init(&m, TW_V33, TW_FROM_DEVICE, 0, TW_CMD_DP_QUERY);
    m.payload = (struct tw_span){(uint8_t *)json->data, 16};
    for (uint32_t i = 0; i < TRIES; i++) {
        for (uint32_t k = 0, v = i; k < N_BLANKS; k++, v >>= 2)
            json->data[1 + k] = " \t\n\r"[v & 3];
        uint8_t frame[256];
        size_t len;
        if (tw_message_seal(frame, sizeof frame, &len, c->server->crypto, &m, d->key, NULL) != TW_OK ||
            (frame[BODY_AT] == 0xAA && frame[BODY_AT + 1] == 0x55))
            return;
    }
}

static bool repeat_reply(struct conn *c, const struct tw_device_event *ev)
{
    struct server *s = c->server;
    const struct outlet *o = c->outlet;
    if (s->n_faults > 0 || s->reply.outlet != o || s->reply.changes != o->changes ||
        s->reply.now_ms != server_now_ms(s) || o->device->profile->gateway || o->device->n_children > 0)
        return false;
    struct tw_text body = {s->reply.text, sizeof s->reply.text, s->reply.len, false};
    reply(c, ev, &body);
    return true;
}

static void keep_reply(struct conn *c, const struct tw_text *body)
{
    struct server *s = c->server;
    if (body->len > sizeof s->reply.text)
        return;
    memcpy(s->reply.text, body->data, body->len);
    s->reply.len = body->len;
    s->reply.outlet = c->outlet;
    s->reply.now_ms = server_now_ms(s);
    s->reply.changes = c->outlet->changes;
}

static void on_query(struct conn *c, const struct tw_device_event *ev)
{
    struct server *s = c->server;
    struct outlet *o = c->outlet;
    if (repeat_reply(c, ev))
        return;
    const char *text;
    struct plug *p = plug_of(c, ev, &text);
    if (p != NULL && (is_device22(c) || (!o->awake && strike(c, FAULT_QUERY_REFUSED, ev->message.command))))
        text = TW_TEXT_JSON_OBJ;
    if (text != NULL) {
        refuse(c, ev, text);
        return;
    }
    plug_advance(p, server_now_ms(s));
    if (strike(c, FAULT_PARTIAL_STATUS, ev->message.command)) {
        plug_mark(p, plug_shape(p)->n_dps > 0 ? plug_shape(p)->dps[0].id : 0);
        outlet_push(o);
        if (c->closing)
            return;
    }
    struct tw_text dps = {s->dps, sizeof s->dps, 0, false}, body = {s->body, sizeof s->body, 0, false};
    size_t n = plug_write(p, &dps);
    if (n == 0) { /* nothing was reported yet: TuyaOpen has nothing to tell */
        refuse(c, ev, TW_TEXT_JSON_OBJ);
        return;
    }
    struct tw_body_ids ids = ids_of(c, ev->body.cid);
    if (dps.overflow || tw_body_reply(&body, &ids, text_span(&dps)) != TW_OK)
        return;
    if (strike(c, FAULT_SUFFIX_IN_BODY, ev->message.command))
        find_suffix_text(c, &body);
    keep_reply(c, &body);
    reply(c, ev, &body);
}

/* device22: the values asked for come as a push, to everybody. Device behaviour, section 8. */
static void on_null_query(struct conn *c, const struct tw_device_event *ev)
{
    struct outlet *o = c->outlet;
    const char *text;
    struct plug *p = plug_of(c, ev, &text);
    if (text != NULL) {
        refuse(c, ev, text);
        return;
    }
    ack(c, ev, o->device->profile->lan.ack_retcode);
    if (!is_device22(c) || c->closing)
        return; /* others skip nulls */
    plug_advance(p, server_now_ms(c->server));
    struct tw_dp dp;
    for (size_t pos = 0; tw_dps_next(&dp, &pos, ev->body.dps) == 1;)
        plug_mark(p, dp.id);
    if (plug_has_due(p))
        outlet_push_later(o, c->server->cfg.status_delay_ms);
}

/* ---- control ---------------------------------------------------------------------------------------------------- */

/* Apply what can be applied; nobody is told about the rest (device behaviour, section 6). */
static void apply(struct conn *c, const struct tw_device_event *ev, struct plug *p)
{
    bool repeats = c->outlet->device->profile->lan.push_on_no_change;
    c->outlet->changes++;
    uint64_t now = server_now_ms(c->server);
    struct tw_dp dp;
    for (size_t pos = 0; tw_dps_next(&dp, &pos, ev->body.dps) == 1;) {
        enum plug_outcome outcome = plug_apply(p, &dp, now);
        if (outcome == PLUG_UNCHANGED && repeats && !strike(c, FAULT_NO_CHANGE_SILENT, ev->message.command))
            plug_mark(p, dp.id);
        if (outcome == PLUG_ASKED && is_device22(c))
            plug_mark(p, dp.id);
    }
}

static void on_control(struct conn *c, const struct tw_device_event *ev)
{
    struct server *s = c->server;
    struct outlet *o = c->outlet;
    struct device *d = o->device;
    uint32_t command = ev->message.command, retcode = d->profile->lan.ack_retcode;
    const char *text;
    struct plug *p = plug_of(c, ev, &text);
    /* TuyaOpen looks the device up by its id and touches nothing when it is not its own; the ACK comes all the same. */
    bool other = d->version == TW_V35 && ev->body.dev_id.len > 0 && !span_is(ev->body.dev_id, d->id);
    if (other || (text != NULL && d->version == TW_V35)) {
        ack(c, ev, retcode);
        return;
    }
    if (text != NULL) {
        refuse(c, ev, text);
        return;
    }
    apply(c, ev, p);
    outlet_save(o);
    o->awake = true;

    const struct fault *late = strike(c, FAULT_LATE_STATUS, command);
    bool no_status = strike(c, FAULT_NO_STATUS, command) != NULL;
    bool status_first = strike(c, FAULT_STATUS_FIRST, command) != NULL;
    bool coalesce = strike(c, FAULT_COALESCE, command) != NULL;
    if (no_status)
        plug_drop_due(p);
    if (status_first) {
        outlet_push(o);
        conn_flush(c);
    }
    if (c->closing)
        return;
    if (!strike(c, FAULT_NO_ACK, command))
        ack(c, ev, retcode);
    if (c->closing)
        return;
    if (coalesce)
        outlet_push(o);
    if (plug_has_due(p)) {
        conn_flush(c); /* ACK and STATUS never share a segment: clients with one recv() per frame */
        outlet_push_later(o, late != NULL ? late->spec.ms : s->cfg.status_delay_ms);
    }
    outlet_arm(o);
}

/* ---- refresh, heartbeat, gateways ------------------------------------------------------------------------------- */

static bool has_unknown_id(const struct plug *p, struct tw_span dp_ids)
{
    struct tw_value v;
    for (size_t pos = 0; tw_json_next_element(&v, &pos, dp_ids) == 1;)
        if (v.type == TW_VALUE_INTEGER && (v.integer < 1 || !shape_dp(plug_shape(p), (uint32_t)v.integer)))
            return true;
    return false;
}

/* Device behaviour, section 7. Sub-devices do not react. */
static void on_refresh(struct conn *c, const struct tw_device_event *ev)
{
    enum { IDS_MAX = 64 };
    struct outlet *o = c->outlet;
    struct device *d = o->device;
    uint32_t ids[IDS_MAX];
    size_t n = 0;
    struct tw_value v;
    if (d->profile->gateway || strike(c, FAULT_UPDATE_IGNORED, ev->message.command))
        return;
    if (ev->error == TW_OK && has_unknown_id(d->plug, ev->body.dp_ids) &&
        strike(c, FAULT_UPDATE_CLOSES, ev->message.command)) {
        conn_close(c, "update_closes");
        return;
    }
    for (size_t pos = 0; n < IDS_MAX && tw_json_next_element(&v, &pos, ev->body.dp_ids) == 1;)
        if (v.type == TW_VALUE_INTEGER && v.integer > 0 && v.integer < 256)
            ids[n++] = (uint32_t)v.integer;
    enum update_dps manner = d->profile->lan.update_dps;
    if (manner == UPDATE_IGNORE)
        return;
    o->awake = true;
    plug_refresh(d->plug, ids, n, server_now_ms(c->server));
    if (manner != UPDATE_STATUS)
        ack(c, ev, 0);
    if (manner == UPDATE_ACK_ONLY)
        plug_drop_due(d->plug);
    else if (!c->closing && plug_has_due(d->plug))
        outlet_push_later(o, c->server->cfg.status_delay_ms);
    outlet_arm(o);
}

static void on_ext_stream(struct conn *c, const struct tw_device_event *ev)
{
    enum { ONLINE_MAX = 32 }; /* of one report; more come in several */
    const struct device *d = c->outlet->device;
    bool asks = ev->error == TW_OK && span_is(ev->body.req_type, "subdev_online_stat_query");
    if (!d->profile->gateway || !asks || d->version < TW_V34)
        return; /* 3.3 gateways were seen to stay silent */
    for (size_t i = 0; i < d->n_children || i == 0; i += ONLINE_MAX) {
        struct tw_span online[ONLINE_MAX];
        size_t n = 0;
        for (; n < ONLINE_MAX && i + n < d->n_children; n++)
            online[n] = span_of(d->children[i + n].cid);
        struct tw_text body = {c->server->body, sizeof c->server->body, 0, false};
        if (tw_body_subdev_report(&body, online, n, NULL, 0) == TW_OK)
            reply(c, ev, &body);
        if (c->closing)
            return;
    }
}

static void on_default(struct conn *c, const struct tw_device_event *ev)
{
    if (!ev->has_answer)
        return;
    struct tw_message m = ev->answer;
    respond(c, ev, &m, 0);
}

void answer_event(struct conn *c, const struct tw_device_event *ev)
{
    if (c->server->n_faults > 0 && strike_request(c, ev))
        return;
    switch (ev->type) {
    case TW_DEVICE_QUERY: on_query(c, ev); break;
    case TW_DEVICE_NULL_QUERY: on_null_query(c, ev); break;
    case TW_DEVICE_CONTROL: on_control(c, ev); break;
    case TW_DEVICE_REFRESH: on_refresh(c, ev); break;
    case TW_DEVICE_EXT_STREAM: on_ext_stream(c, ev); break;
    case TW_DEVICE_HANDSHAKE:
    case TW_DEVICE_HEARTBEAT:
    case TW_DEVICE_REFUSED: on_default(c, ev); break;
    case TW_DEVICE_UNKNOWN:
    case TW_DEVICE_DAMAGED:
    case TW_DEVICE_CLOSING: break;
    }
}
