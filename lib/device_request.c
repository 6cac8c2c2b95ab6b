/* device_request.c - what a frame asks of a device, and what a device says to it without asking its application. The
 * rules are in tuyawire/device.h; spec device behaviour, sections 3 to 5. */
#include <string.h>
#include "device_internal.h"
#include "internal.h"
#include "tuyawire/command.h"
#include "tuyawire/error.h"

enum { KEY_ZERO_DRAWS = 4096 }; /* one in 256 begins with 00; never reached */

/* What a device says to a body it cannot read; NULL: nothing. Spec device behaviour, section 5. */
static const struct texts {
    const char *query_unreadable; /* wrong key, or not JSON at all */
    const char *query_clear;      /* in clear where it has to be encrypted */
    const char *query_encrypted;  /* encrypted where it has to be in clear */
    const char *query_bad_json;
    const char *control_unreadable;
    const char *control_bad_json;
} texts[] = {
    [TW_V31] = {TW_TEXT_JSON_OBJ, NULL, TW_TEXT_JSON_OBJ, TW_TEXT_JSON_OBJ, NULL, TW_TEXT_PARSE_DATA},
    [TW_V32] = {TW_TEXT_DATA_FORMAT, NULL, TW_TEXT_DATA_FORMAT, TW_TEXT_DATA_FORMAT, TW_TEXT_PARSE_DATA,
                TW_TEXT_DATA_FORMAT},
    [TW_V33] = {TW_TEXT_PARSE_DATA, TW_TEXT_JSON_OBJ, NULL, TW_TEXT_DATA_FORMAT, TW_TEXT_PARSE_DATA,
                TW_TEXT_DATA_FORMAT},
    [TW_V34] = {TW_TEXT_DATA_FORMAT, NULL, NULL, TW_TEXT_DATA_FORMAT, TW_TEXT_PARSE_DATA, TW_TEXT_PARSE_DATA},
    [TW_V35] = {TW_TEXT_DATA_FORMAT, NULL, NULL, TW_TEXT_DATA_FORMAT, TW_TEXT_PARSE_DATA, TW_TEXT_PARSE_DATA},
};

/* The connection ends because of this frame. */
static void end_with(tw_device *d, struct tw_device_event *ev, int error)
{
    tw_device_close(d, error);
    d->told = true;
    ev->type = TW_DEVICE_CLOSING;
    ev->error = d->error;
}

static void answer_empty(const tw_device *d, struct tw_device_event *ev, uint32_t seq, bool refused)
{
    tw_device_message_init(d, &ev->answer, ev->message.command, seq, refused);
    ev->has_answer = true;
}

static void refuse(const tw_device *d, struct tw_device_event *ev, int error, const char *text)
{
    ev->type = TW_DEVICE_REFUSED;
    ev->error = error;
    if (text == NULL)
        return;
    answer_empty(d, ev, ev->message.seq, true);
    ev->answer.payload = tw__text(text);
}

static int draw_device_nonce(tw_device *d, struct tw_span start, uint8_t nonce[TW_SESSION_NONCE_LEN])
{
    bool want_zero = (d->quirks & TW_DEVICE_KEY_ZERO) != 0;
    bool may_be_zero = (d->quirks & TW_DEVICE_VENDOR_KEY_ZERO) != 0 && !want_zero;
    int draws = want_zero ? KEY_ZERO_DRAWS : may_be_zero ? 1 : TW__DEVICE_DRAWS;
    while (draws-- > 0) {
        if (d->host->cfg.random(d->host->cfg.random_ctx, nonce, TW_SESSION_NONCE_LEN) != 0)
            return TW_E_CRYPTO;
        if (start.len < TW_SESSION_NONCE_LEN)
            return TW_OK;
        uint8_t key[TW_KEY_LEN] = {0};
        int rc =
            tw_session_derive(key, d->host->cfg.crypto, d->session.version, d->session.local_key, start.data, nonce);
        bool good = (key[0] == 0) == want_zero;
        if (want_zero && d->traits->integrity == TW_INTEGRITY_GCM) { /* a stream cipher: no need to search */
            nonce[0] ^= key[0];
            good = true;
        }
        tw__wipe(key, sizeof key);
        if (rc != TW_OK || good)
            return rc;
    }
    return TW_OK;
}

/* Did the handshake take this message? If not, it is ignored or the connection ends, as tuyawire/session.h has it. */
static bool took(tw_device *d, struct tw_device_event *ev, int rc)
{
    if (rc == TW_E_HS_SHORT)
        refuse(d, ev, rc, NULL);
    else if (rc != TW_OK)
        end_with(d, ev, rc);
    else
        ev->type = TW_DEVICE_HANDSHAKE;
    return rc == TW_OK;
}

static void on_start(tw_device *d, struct tw_device_event *ev)
{
    uint8_t nonce[TW_SESSION_NONCE_LEN];
    int rc = draw_device_nonce(d, ev->message.payload, nonce);
    if (rc == TW_OK)
        rc = tw_session_on_start(&d->session, d->host->cfg.crypto, ev->message.payload, nonce, d->host->resp);
    tw__wipe(nonce, sizeof nonce);
    if (!took(d, ev, rc))
        return;
    d->key_zero = false;
    ev->has_answer = true;
    tw_device_message_init(d, &ev->answer, TW_CMD_SESS_KEY_NEG_RESP, 0, false);
    ev->answer.payload = (struct tw_span){d->host->resp, sizeof d->host->resp};
}

static void on_finish(tw_device *d, struct tw_device_event *ev)
{
    struct tw_session *s = &d->session;
    if (s->state == TW_SESSION_IDLE && (d->quirks & TW_DEVICE_VENDOR_FINISH) != 0) {
        memset(s->client_nonce, 0, sizeof s->client_nonce);
        memset(s->device_nonce, 0, sizeof s->device_nonce);
        s->state = TW_SESSION_WAIT_FINISH;
    }
    if (!took(d, ev, tw_session_on_finish(s, d->host->cfg.crypto, ev->message.payload)))
        return;
    if (s->key[0] == 0 && (d->quirks & TW_DEVICE_VENDOR_KEY_ZERO) != 0) {
        s->state = TW_SESSION_IDLE;
        d->key_zero = true;
    }
}

/* A decrypted payload that does not even begin like JSON is most likely the work of another key. */
static bool begins_like_json(struct tw_span payload)
{
    return payload.len > 0 && payload.data[0] == '{';
}

/* tw_body_parse(), and nothing at all for the body that was parsed last. */
static int parse_query(struct query_memo *memo, struct tw_body *out, struct tw_span payload)
{
    if (payload.len == 0 || payload.len > sizeof memo->text)
        return tw_body_parse(out, payload);
    if (memo->len != payload.len || memcmp(memo->text, payload.data, payload.len) != 0) {
        memo->len = 0;
        memcpy(memo->text, payload.data, payload.len);
        int rc = tw_body_parse(&memo->body, (struct tw_span){memo->text, payload.len});
        if (rc != TW_OK)
            return rc;
        memo->len = payload.len;
    }
    *out = memo->body;
    return TW_OK;
}

static void on_query(const tw_device *d, struct tw_device_event *ev)
{
    const struct texts *say = &texts[d->session.version];
    struct tw_span payload = ev->message.payload;
    if (!ev->message.encrypted && payload.len > 0 && say->query_clear != NULL) {
        refuse(d, ev, TW_E_PAYLOAD, begins_like_json(payload) ? say->query_clear : say->query_unreadable);
    } else if (ev->message.encrypted && say->query_encrypted != NULL) {
        refuse(d, ev, TW_E_PAYLOAD, say->query_encrypted);
    } else if (parse_query(&d->host->memo, &ev->body, payload) != TW_OK) {
        bool readable = payload.len == 0 || begins_like_json(payload);
        refuse(d, ev, TW_E_JSON, readable ? say->query_bad_json : say->query_unreadable);
    } else {
        ev->type = TW_DEVICE_QUERY;
    }
}

static bool all_null(struct tw_span dps)
{
    struct tw_dp dp;
    size_t pos = 0, n = 0;
    for (; tw_dps_next(&dp, &pos, dps); n++)
        if (dp.value.type != TW_VALUE_NULL)
            return false;
    return n > 0;
}

static void on_control(const tw_device *d, struct tw_device_event *ev)
{
    const struct texts *say = &texts[d->session.version];
    bool gcm = d->traits->integrity == TW_INTEGRITY_GCM;
    struct tw_span payload = ev->message.payload;
    if (!ev->message.encrypted) {
        refuse(d, ev, TW_E_PAYLOAD, say->control_unreadable);
        return;
    }
    /* TuyaOpen cuts 15 bytes and looks at none of them, not even at the version text. */
    if (gcm && !ev->message.has_header) {
        size_t cut = payload.len < TW_HEADER_LEN ? payload.len : TW_HEADER_LEN;
        payload.data += cut;
        payload.len -= cut;
    }
    if (tw_body_parse(&ev->body, payload) != TW_OK) {
        /* Only a clear header leaves open whether the key was right; all else is signed in some way. */
        bool readable = begins_like_json(payload) || d->traits->with_header != TW_ENCODING_CLEAR_HEADER;
        refuse(d, ev, TW_E_JSON, readable ? say->control_bad_json : say->control_unreadable);
    } else if (gcm && ev->body.data.len == 0) {
        refuse(d, ev, TW_E_PAYLOAD, ""); /* TuyaOpen: return code 1 without a text */
    } else if (ev->body.dps.len == 0) {
        refuse(d, ev, TW_E_PAYLOAD, TW_TEXT_DATA_FORMAT);
    } else {
        ev->type = all_null(ev->body.dps) ? TW_DEVICE_NULL_QUERY : TW_DEVICE_CONTROL;
    }
}

/* A frame in order, opened. */
static void on_message(tw_device *d, struct tw_device_event *ev)
{
    switch (ev->message.command) {
    case TW_CMD_SESS_KEY_NEG_START:
    case TW_CMD_SESS_KEY_NEG_FINISH:
        if (!d->traits->negotiates)
            ev->type = TW_DEVICE_UNKNOWN;
        else if (ev->message.command == TW_CMD_SESS_KEY_NEG_START)
            on_start(d, ev);
        else
            on_finish(d, ev);
        break;
    case TW_CMD_DP_QUERY:
    case TW_CMD_DP_QUERY_NEW: on_query(d, ev); break;
    case TW_CMD_CONTROL:
    case TW_CMD_CONTROL_NEW: on_control(d, ev); break;
    case TW_CMD_UPDATEDPS:
        ev->type = TW_DEVICE_REFRESH;
        ev->error = tw_body_parse(&ev->body, ev->message.payload);
        break;
    case TW_CMD_LAN_EXT_STREAM:
        ev->type = TW_DEVICE_EXT_STREAM;
        ev->error = tw_body_parse(&ev->body, ev->message.payload);
        break;
    default: ev->type = TW_DEVICE_UNKNOWN; break;
    }
}

static void on_heartbeat(tw_device *d, struct tw_device_event *ev, int error)
{
    ev->type = TW_DEVICE_HEARTBEAT;
    ev->error = error;
    answer_empty(d, ev, 0, false); /* 3.1 to 3.3: seq 0, spec section 6.1 */
}

/* The check value is right or the version has none that proves the key, but the content cannot be opened. */
static void on_unreadable(tw_device *d, struct tw_device_event *ev, int error)
{
    const struct texts *say = &texts[d->session.version];
    switch (ev->message.command) {
    case TW_CMD_HEART_BEAT: on_heartbeat(d, ev, error); break;
    case TW_CMD_DP_QUERY:
    case TW_CMD_DP_QUERY_NEW: refuse(d, ev, error, say->query_unreadable); break;
    case TW_CMD_CONTROL:
    case TW_CMD_CONTROL_NEW: refuse(d, ev, error, say->control_unreadable); break;
    case TW_CMD_UPDATEDPS: refuse(d, ev, error, say->control_unreadable); break;
    default: refuse(d, ev, error, NULL); break;
    }
}

/* 3.4 and 3.5: what has no place at this point of the session. TW_OK: go on. */
static int check_place(const tw_device *d, uint32_t command)
{
    bool established = d->session.state == TW_SESSION_ESTABLISHED;
    bool handshake = tw_command_is_handshake(command);
    if (!d->traits->negotiates)
        return TW_OK;
    if (established && handshake)
        return TW_E_HS_RENEGOTIATE;
    if (!established && !handshake)
        return d->key_zero ? TW_E_HS_KEY_ZERO : TW_E_HS_WRONG_CMD;
    return TW_OK;
}

/* TuyaOpen: greater than the last one, the first at least 1; looked at and stored before anything is verified. In 3.4
 * the handshake is held to it too, our rule after vectors/session.json; later frames of 3.4 are not, since nothing
 * shows that such devices care. */
static bool seq_grows(tw_device *d, uint32_t seq)
{
    bool handshake = d->traits->negotiates && d->session.state != TW_SESSION_ESTABLISHED;
    if (!d->traits->seq_checked && !handshake)
        return true;
    bool grows = seq > d->last_seq;
    d->last_seq = seq;
    return grows;
}

/* 3.1 to 3.3: a frame with a wrong CRC is not answered. One exception, seen by clients that try 3.4 on a 3.3 device:
 * their START, whose HMAC stands where a CRC should, is refused with a text (spec section 4.5). */
static void on_bad_crc(tw_device *d, struct tw_device_event *ev)
{
    if (ev->frame.command == TW_CMD_SESS_KEY_NEG_START && d->traits->without_header == TW_ENCODING_ECB) {
        refuse(d, ev, TW_E_INTEGRITY, TW_TEXT_PARSE_DATA);
        return;
    }
    ev->type = TW_DEVICE_DAMAGED;
    ev->error = TW_E_INTEGRITY;
}

/* see device_internal.h */
void tw__device_on_frame(tw_device *d, struct tw_device_event *ev)
{
    const struct tw_frame *f = &ev->frame;
    ev->message.seq = f->seq;
    ev->message.command = f->command;
    if (!seq_grows(d, f->seq)) {
        end_with(d, ev, TW_E_HS_REPLAY);
        return;
    }
    int rc = check_place(d, f->command);
    if (rc != TW_OK) {
        end_with(d, ev, rc);
        return;
    }
    if (d->traits->negotiates && f->command == TW_CMD_SESS_KEY_NEG_RESP) {
        refuse(d, ev, TW_E_HS_WRONG_CMD, NULL);
        return;
    }

    bool local = !d->traits->negotiates || tw_command_is_handshake(f->command);
    bool zero_crc = d->traits->with_header == TW_ENCODING_B64 && d->quirks & TW_DEVICE_ZERO_CRC;
    rc = tw_message_open(&ev->message, d->host->cfg.crypto, f, d->session.version, TW_TO_DEVICE,
                         local ? d->session.local_key : d->session.key, d->host->open, d->host->open_cap,
                         zero_crc ? TW_OPEN_ZERO_CRC : 0);
    ev->opened = rc == TW_OK;
    ev->message.seq = f->seq; /* a message that did not open is cleared */
    ev->message.command = f->command;
    bool heartbeat = f->command == TW_CMD_HEART_BEAT;
    bool unopened = heartbeat && d->traits->integrity == TW_INTEGRITY_GCM && d->quirks & TW_DEVICE_VENDOR_HEARTBEAT;
    if (d->traits->negotiates && rc != TW_OK && !unopened) {
        end_with(d, ev, rc);
        return;
    }
    if (rc == TW_E_INTEGRITY && d->traits->integrity == TW_INTEGRITY_CRC32 && !tw_frame_crc_matches(f)) {
        on_bad_crc(d, ev);
        return;
    }
    d->garbage = false;
    d->active_ms = d->now_ms;
    if (heartbeat)
        on_heartbeat(d, ev, rc); /* nobody looks at its body */
    else if (rc != TW_OK)
        on_unreadable(d, ev, rc);
    else
        on_message(d, ev);
}
