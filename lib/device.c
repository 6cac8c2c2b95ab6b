/* device.c - the device's end of one connection; what it does is written in tuyawire/device.h. */
#include "tuyawire/device.h"
#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "internal.h"
#include "tuyawire/command.h"
#include "tuyawire/error.h"
#include "tuyawire/session.h"
#include "tuyawire/version.h"

enum {
    N_SPARE = 4,                 /* buffers a host keeps for the next connection that needs one */
    SPARE_MAX = 64 * 1024,       /* bytes; larger ones go back to the system */
    BUFFER_MIN = 1024,           /* bytes: two frames as plugs send them */
    FIRST_SEGMENT_MIN = 50,      /* bytes: TuyaOpen drops a read that is shorter than the smallest 6699 frame */
    SEQ_START_BELOW = 65535,     /* TuyaOpen: random start from 0 to 65534, the first frame carries one more */
    KEY_ZERO_DRAWS = 4096,       /* one in 256 begins with 00; never reached */
    KEY_NOT_ZERO_DRAWS = 8,      /* 256^-8; a random source that repeats itself must not hold us for ever */
    PREFIX_6699 = 0x00006699,    /* spec section 1.2 */
    PREFIX_55AA = 0x000055AA,    /* spec section 1.1 */
    VENDOR_REFUSED = 0x01000000, /* 1 as a little-endian chip writes it, spec section 1.4 */
};

/* Live bytes stand from pos to len. */
struct buffer {
    uint8_t *data;
    uint32_t cap, pos, len;
};

struct tw_device_host {
    struct tw_device_host_config cfg;
    struct buffer spare[N_SPARE];
    uint8_t resp[TW_SESSION_RESP_LEN];
    size_t open_cap;
    uint8_t open[]; /* plaintext of the frame that the last event is about */
};

struct tw_device {
    tw_device_host *host;
    const struct tw_version_traits *traits;
    struct tw_session session; /* in 3.1 to 3.3 only the local key is of use */
    const uint8_t *lent;       /* the caller's bytes that are not read yet */
    size_t lent_len;
    struct buffer in;  /* the beginning of a frame */
    struct buffer out; /* not sent yet */
    uint64_t now_ms, born_ms, active_ms;
    uint32_t idle_timeout_ms, handshake_timeout_ms;
    uint32_t last_seq; /* of the client, where it is checked */
    uint32_t own_seq;  /* of the last frame sent, where the device counts */
    int error;         /* sticks */
    uint8_t quirks;
    bool told;     /* CLOSING was handed out */
    bool garbage;  /* bytes that are no frame since the last good frame */
    bool key_zero; /* the handshake ended with a key that counts as none */
};

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

/* ---- buffers --------------------------------------------------------------------------------------------------- */

static void buffer_drop(tw_device_host *h, struct buffer *b)
{
    if (b->data == NULL)
        return;
    for (int i = 0; i < N_SPARE && b->cap <= SPARE_MAX; i++) {
        if (h->spare[i].data == NULL) {
            h->spare[i] = (struct buffer){b->data, b->cap, 0, 0};
            *b = (struct buffer){0};
            return;
        }
    }
    free(b->data);
    *b = (struct buffer){0};
}

/* Room for need more bytes behind the live ones. */
static int buffer_room(tw_device_host *h, struct buffer *b, size_t need)
{
    size_t live = b->len - b->pos;
    if (b->data == NULL) {
        for (int i = 0; i < N_SPARE && b->data == NULL; i++)
            if (h->spare[i].data != NULL && h->spare[i].cap >= need) {
                *b = h->spare[i];
                h->spare[i] = (struct buffer){0};
            }
    }
    if (b->cap - b->len >= need)
        return TW_OK;
    if (b->pos > 0) {
        memmove(b->data, b->data + b->pos, live);
        b->pos = 0;
        b->len = (uint32_t)live;
    }
    if (b->cap - b->len >= need)
        return TW_OK;

    size_t cap = b->cap < BUFFER_MIN ? BUFFER_MIN : b->cap;
    while (cap < live + need)
        cap *= 2;
    if (cap > UINT32_MAX)
        return TW_E_NOMEM;
    uint8_t *data = realloc(b->data, cap);
    if (data == NULL)
        return TW_E_NOMEM;
    b->data = data;
    b->cap = (uint32_t)cap;
    return TW_OK;
}

static int buffer_put(tw_device_host *h, struct buffer *b, const uint8_t *p, size_t n)
{
    int rc = buffer_room(h, b, n);
    if (rc != TW_OK)
        return rc;
    memcpy(b->data + b->len, p, n);
    b->len += (uint32_t)n;
    return TW_OK;
}

/* ---- host ------------------------------------------------------------------------------------------------------ */

/* see tuyawire/device.h */
int tw_device_host_new(tw_device_host **out, const struct tw_device_host_config *cfg)
{
    if (cfg->crypto == NULL || cfg->random == NULL || cfg->max_length > TW_FRAME_LENGTH_MAX)
        return TW_E_ARGUMENT;
    size_t max_length = cfg->max_length > 0 ? cfg->max_length : TW_FRAME_LENGTH_DEFAULT;
    tw_device_host *h = calloc(1, sizeof *h + max_length);
    if (h == NULL)
        return TW_E_NOMEM;
    h->cfg = *cfg;
    h->cfg.max_length = max_length;
    h->open_cap = max_length;
    if (cfg->max_output == 0)
        h->cfg.max_output = TW_DEVICE_OUTPUT_MAX;
    *out = h;
    return TW_OK;
}

/* see tuyawire/device.h */
void tw_device_host_free(tw_device_host *h)
{
    if (h == NULL)
        return;
    for (int i = 0; i < N_SPARE; i++)
        free(h->spare[i].data);
    tw__wipe(h->open, h->open_cap);
    free(h);
}

/* ---- one connection -------------------------------------------------------------------------------------------- */

/* see tuyawire/device.h */
void tw_device_config_init(struct tw_device_config *cfg, enum tw_version v, const uint8_t *local_key)
{
    *cfg = (struct tw_device_config){v, local_key, 0, TW_DEVICE_IDLE_MS, TW_DEVICE_HANDSHAKE_MS};
}

/* see tuyawire/device.h */
int tw_device_new(tw_device **out, tw_device_host *host, const struct tw_device_config *cfg, uint64_t now_ms)
{
    const struct tw_version_traits *traits = tw_version_traits(cfg->version);
    if (host == NULL || traits == NULL || cfg->local_key == NULL)
        return TW_E_ARGUMENT;
    uint8_t start[2] = {0, 0};
    if (!traits->seq_echo && host->cfg.random(host->cfg.random_ctx, start, sizeof start) != 0)
        return TW_E_CRYPTO;
    tw_device *d = calloc(1, sizeof *d);
    if (d == NULL)
        return TW_E_NOMEM;
    d->host = host;
    d->traits = traits;
    tw_session_init(&d->session, cfg->version, cfg->local_key);
    d->own_seq = ((uint32_t)start[0] << 8 | start[1]) % SEQ_START_BELOW;
    d->quirks = (uint8_t)cfg->quirks;
    d->idle_timeout_ms = cfg->idle_timeout_ms;
    d->handshake_timeout_ms = cfg->handshake_timeout_ms;
    d->now_ms = d->born_ms = d->active_ms = now_ms;
    *out = d;
    return TW_OK;
}

/* see tuyawire/device.h */
void tw_device_free(tw_device *d)
{
    if (d == NULL)
        return;
    if (d->session.state == TW_SESSION_ESTABLISHED)
        tw_crypto_forget(d->host->cfg.crypto, d->session.key);
    buffer_drop(d->host, &d->in);
    buffer_drop(d->host, &d->out);
    tw_session_wipe(&d->session);
    free(d);
}

/* see tuyawire/device.h */
bool tw_device_ready(const tw_device *d)
{
    return d->error == TW_OK && (!d->traits->negotiates || d->session.state == TW_SESSION_ESTABLISHED);
}

/* see tuyawire/device.h */
int tw_device_error(const tw_device *d)
{
    return d->error;
}

/* see tuyawire/device.h */
void tw_device_close(tw_device *d, int error)
{
    if (d->error == TW_OK)
        d->error = error == TW_OK ? TW_E_CLOSED : error;
}

/* ---- time ------------------------------------------------------------------------------------------------------ */

/* see tuyawire/device.h */
uint64_t tw_device_deadline(const tw_device *d)
{
    if (d->error != TW_OK)
        return UINT64_MAX;
    uint64_t at = d->idle_timeout_ms > 0 ? d->active_ms + d->idle_timeout_ms : UINT64_MAX;
    if (!tw_device_ready(d) && d->handshake_timeout_ms > 0 && d->born_ms + d->handshake_timeout_ms < at)
        at = d->born_ms + d->handshake_timeout_ms;
    return at;
}

/* see tuyawire/device.h */
int tw_device_tick(tw_device *d, uint64_t now_ms)
{
    d->now_ms = now_ms;
    if (d->error == TW_OK && now_ms >= tw_device_deadline(d))
        d->error = TW_E_TIMEOUT;
    return d->error;
}

/* ---- output ---------------------------------------------------------------------------------------------------- */

/* see tuyawire/device.h */
struct tw_span tw_device_output(const tw_device *d)
{
    return (struct tw_span){d->out.data == NULL ? NULL : d->out.data + d->out.pos, d->out.len - d->out.pos};
}

/* see tuyawire/device.h */
void tw_device_sent(tw_device *d, size_t n)
{
    size_t live = d->out.len - d->out.pos;
    d->out.pos += (uint32_t)(n < live ? n : live);
    if (d->out.pos == d->out.len)
        buffer_drop(d->host, &d->out);
}

/* Spec section 9, rule 2: under the local key no frame may use the nonce that the key derivation uses. */
static int draw_gcm_nonce(tw_device *d, bool handshake, uint8_t nonce[TW_NONCE_LEN])
{
    for (int draw = 0; draw < KEY_NOT_ZERO_DRAWS; draw++) {
        if (d->host->cfg.random(d->host->cfg.random_ctx, nonce, TW_NONCE_LEN) != 0)
            return TW_E_CRYPTO;
        if (!handshake || memcmp(nonce, d->session.client_nonce, TW_NONCE_LEN) != 0)
            return TW_OK;
    }
    return TW_E_CRYPTO;
}

/* An empty reply that carries one block of padding: some firmware, and what clients accept (spec section 3.4). */
static int seal_padded(uint8_t *out, size_t cap, size_t *len, tw_crypto *c, const struct tw_version_traits *traits,
                       const struct tw_message *m, const uint8_t *key)
{
    uint8_t padding[TW__BLOCK];
    memset(padding, TW__BLOCK, sizeof padding);
    struct tw_frame f;
    int rc = tw_frame_write(&f, out, cap, traits->integrity, m->seq, m->command, TW_RETCODE_LEN + sizeof padding);
    if (rc != TW_OK)
        return rc;
    uint8_t *body = out + (f.body.data - out);
    store_be32(body, m->retcode);
    rc = tw__ecb_encrypt(c, key, padding, sizeof padding, body + TW_RETCODE_LEN);
    if (rc != TW_OK)
        return rc;
    size_t covered = (size_t)(f.check.data - out);
    if (traits->integrity == TW_INTEGRITY_CRC32)
        store_be32(out + covered, tw__crc32(out, covered));
    else
        rc = tw__hmac(c, key, out, covered, out + covered);
    *len = f.raw.len;
    return rc;
}

/* see tuyawire/device.h */
int tw_device_send(tw_device *d, const struct tw_message *m, unsigned flags)
{
    tw_device_host *h = d->host;
    if (d->error != TW_OK)
        return d->error;
    bool handshake = tw_command_is_handshake(m->command);
    bool local = !d->traits->negotiates || handshake || (flags & TW_DEVICE_LOCAL_KEY) != 0;
    if (!local && !tw_device_ready(d))
        return TW_E_STATE;
    const uint8_t *key = local ? d->session.local_key : d->session.key;

    struct tw_message msg = *m;
    bool counts = !d->traits->seq_echo && (flags & TW_DEVICE_KEEP_SEQ) == 0;
    if (counts)
        msg.seq = d->own_seq + 1;
    uint8_t nonce[TW_NONCE_LEN];
    bool gcm = d->traits->integrity == TW_INTEGRITY_GCM;
    int rc = gcm ? draw_gcm_nonce(d, local, nonce) : TW_OK;
    if (rc != TW_OK)
        return rc;

    size_t need = tw_message_size_max(msg.payload.len) + TW__BLOCK;
    if (d->out.len - d->out.pos + need > h->cfg.max_output)
        return TW_E_CAPACITY;
    rc = buffer_room(h, &d->out, need);
    if (rc != TW_OK)
        return rc;
    uint8_t *at = d->out.data + d->out.len;
    size_t cap = d->out.cap - d->out.len, len = 0;
    bool pad =
        (flags & TW_DEVICE_PAD_EMPTY) != 0 && msg.payload.len == 0 && d->traits->without_header == TW_ENCODING_ECB;
    rc = pad ? seal_padded(at, cap, &len, h->cfg.crypto, d->traits, &msg, key)
             : tw_message_seal(at, cap, &len, h->cfg.crypto, &msg, key, gcm ? nonce : NULL);
    if (rc != TW_OK)
        return rc;
    d->out.len += (uint32_t)len;
    if (counts)
        d->own_seq++;
    return TW_OK;
}

/* see tuyawire/device.h */
void tw_device_message_init(const tw_device *d, struct tw_message *m, uint32_t command, uint32_t seq, bool refused)
{
    tw_message_init(m, d->session.version, TW_FROM_DEVICE, seq, command);
    if (refused) {
        bool vendor = d->traits->integrity == TW_INTEGRITY_GCM && (d->quirks & TW_DEVICE_VENDOR_RETCODE) != 0;
        m->retcode = vendor ? VENDOR_REFUSED : 1;
    }
}

/* see tuyawire/device.h */
int tw_device_ack(tw_device *d, uint32_t command, uint32_t seq, uint32_t retcode)
{
    struct tw_message m;
    tw_device_message_init(d, &m, command, seq, retcode == 1);
    if (retcode > 1)
        m.retcode = retcode;
    return tw_device_send(d, &m, 0);
}

static struct tw_span span_of(const char *text)
{
    return (struct tw_span){(const uint8_t *)text, strlen(text)};
}

/* see tuyawire/device.h */
int tw_device_refuse(tw_device *d, uint32_t command, uint32_t seq, const char *text)
{
    struct tw_message m;
    tw_device_message_init(d, &m, command, seq, true);
    m.payload = span_of(text);
    return tw_device_send(d, &m, 0);
}

/* see tuyawire/device.h */
int tw_device_reply(tw_device *d, uint32_t command, uint32_t seq, struct tw_span json)
{
    struct tw_message m;
    tw_device_message_init(d, &m, command, seq, false);
    m.payload = json;
    return tw_device_send(d, &m, 0);
}

/* see tuyawire/device.h */
int tw_device_status(tw_device *d, uint32_t counter, struct tw_span json)
{
    struct tw_message m;
    tw_device_message_init(d, &m, TW_CMD_STATUS, 0, false);
    m.header.counter = counter;
    m.payload = json;
    return tw_device_send(d, &m, 0);
}

/* see tuyawire/device.h */
int tw_device_answer(tw_device *d, const struct tw_device_event *ev)
{
    return ev->has_answer ? tw_device_send(d, &ev->answer, 0) : TW_OK;
}

/* ---- input: bytes ---------------------------------------------------------------------------------------------- */

static struct tw_span unread(const tw_device *d)
{
    if (d->in.len > d->in.pos)
        return (struct tw_span){d->in.data + d->in.pos, d->in.len - d->in.pos};
    return (struct tw_span){d->lent, d->lent_len};
}

static void skip(tw_device *d, size_t n)
{
    if (d->in.len > d->in.pos) {
        d->in.pos += (uint32_t)n;
        return;
    }
    d->lent += n;
    d->lent_len -= n;
}

/* Copy what is lent and unread behind the bytes that wait already; nothing is lent afterwards. */
static int keep_rest(tw_device *d)
{
    int rc = TW_OK;
    if (d->in.len == d->in.pos)
        buffer_drop(d->host, &d->in);
    if (d->lent_len > 0)
        rc = buffer_put(d->host, &d->in, d->lent, d->lent_len);
    d->lent = NULL;
    d->lent_len = 0;
    return rc;
}

/* see tuyawire/device.h */
int tw_device_feed(tw_device *d, const uint8_t *buf, size_t len, uint64_t now_ms)
{
    d->now_ms = now_ms;
    if (d->error != TW_OK)
        return d->error;
    int rc = keep_rest(d); /* of a caller that did not fetch all events */
    bool waits = d->in.len > d->in.pos;
    if (rc == TW_OK && !waits && len < FIRST_SEGMENT_MIN && (d->quirks & TW_DEVICE_VENDOR_READ) != 0 &&
        d->traits->integrity == TW_INTEGRITY_GCM)
        return TW_OK;
    if (rc == TW_OK && waits) {
        rc = buffer_put(d->host, &d->in, buf, len);
    } else if (rc == TW_OK) {
        d->lent = buf;
        d->lent_len = len;
    }
    if (rc != TW_OK)
        tw_device_close(d, rc);
    return rc;
}

/* ---- input: what a frame asks for ------------------------------------------------------------------------------ */

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
    ev->answer.payload = span_of(text);
}

static int draw_device_nonce(tw_device *d, struct tw_span start, uint8_t nonce[TW_SESSION_NONCE_LEN])
{
    bool want_zero = (d->quirks & TW_DEVICE_KEY_ZERO) != 0;
    bool may_be_zero = (d->quirks & TW_DEVICE_VENDOR_KEY_ZERO) != 0 && !want_zero;
    int draws = want_zero ? KEY_ZERO_DRAWS : may_be_zero ? 1 : KEY_NOT_ZERO_DRAWS;
    while (draws-- > 0) {
        if (d->host->cfg.random(d->host->cfg.random_ctx, nonce, TW_SESSION_NONCE_LEN) != 0)
            return TW_E_CRYPTO;
        if (start.len < TW_SESSION_NONCE_LEN)
            return TW_OK;
        uint8_t key[TW_KEY_LEN];
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

static void on_start(tw_device *d, struct tw_device_event *ev)
{
    uint8_t nonce[TW_SESSION_NONCE_LEN];
    int rc = draw_device_nonce(d, ev->message.payload, nonce);
    if (rc == TW_OK)
        rc = tw_session_on_start(&d->session, d->host->cfg.crypto, ev->message.payload, nonce, d->host->resp);
    tw__wipe(nonce, sizeof nonce);
    if (rc == TW_E_HS_SHORT) {
        refuse(d, ev, rc, NULL);
        return;
    }
    if (rc != TW_OK) {
        end_with(d, ev, rc);
        return;
    }
    d->key_zero = false;
    ev->type = TW_DEVICE_HANDSHAKE;
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
    int rc = tw_session_on_finish(s, d->host->cfg.crypto, ev->message.payload);
    if (rc == TW_E_HS_SHORT) {
        refuse(d, ev, rc, NULL);
        return;
    }
    if (rc != TW_OK) {
        end_with(d, ev, rc);
        return;
    }
    if (s->key[0] == 0 && (d->quirks & TW_DEVICE_VENDOR_KEY_ZERO) != 0) {
        s->state = TW_SESSION_IDLE;
        d->key_zero = true;
    }
    ev->type = TW_DEVICE_HANDSHAKE;
}

/* A decrypted payload that does not even begin like JSON is most likely the work of another key. */
static bool begins_like_json(struct tw_span payload)
{
    return payload.len > 0 && payload.data[0] == '{';
}

static void on_query(const tw_device *d, struct tw_device_event *ev)
{
    const struct texts *say = &texts[d->session.version];
    struct tw_span payload = ev->message.payload;
    if (!ev->message.encrypted && payload.len > 0 && say->query_clear != NULL) {
        refuse(d, ev, TW_E_PAYLOAD, begins_like_json(payload) ? say->query_clear : say->query_unreadable);
    } else if (ev->message.encrypted && say->query_encrypted != NULL) {
        refuse(d, ev, TW_E_PAYLOAD, say->query_encrypted);
    } else if (tw_body_parse(&ev->body, payload) != TW_OK) {
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

static void on_frame(tw_device *d, struct tw_device_event *ev)
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

/* ---- input: events --------------------------------------------------------------------------------------------- */

static bool begins_foreign(const tw_device *d, struct tw_span in)
{
    uint32_t foreign = d->traits->envelope == TW_ENVELOPE_55AA ? PREFIX_6699 : PREFIX_55AA;
    return in.len >= 4 && load_be32(in.data) == foreign;
}

/* Bytes that are no frame of this connection. What follows at once and is none either belongs to the same event, so
 * that a flood of prefixes is one event and not one per prefix. */
static void on_damage(tw_device *d, struct tw_device_event *ev, const struct tw_frame_rules *rules, int error,
                      size_t n)
{
    struct tw_span in = unread(d);
    *ev = (struct tw_device_event){.type = TW_DEVICE_DAMAGED, .error = error, .raw = {in.data, n}};
    d->garbage = true;
    for (;;) {
        skip(d, n);
        in = unread(d);
        if (in.data != ev->raw.data + ev->raw.len)
            return; /* the other buffer */
        struct tw_frame f;
        int rc = tw_frame_parse(&f, &n, in.data, in.len, rules);
        bool fatal = d->traits->negotiates && rc != TW_E_PREFIX && !begins_foreign(d, in);
        if (rc == TW_OK || rc == TW_NEED_MORE || fatal)
            return;
        ev->raw.len += n;
    }
}

/* No whole frame is left. TuyaOpen closes when bytes that were no frame are not followed by one. */
static int at_end_of_input(tw_device *d, struct tw_span in)
{
    int rc = keep_rest(d);
    if (rc == TW_OK && d->garbage && d->traits->negotiates && in.len < 4)
        rc = TW_E_PREFIX;
    return rc;
}

/* see tuyawire/device.h */
int tw_device_next_event(tw_device *d, struct tw_device_event *ev)
{
    const struct tw_frame_rules rules = {d->traits->integrity, TW_TO_DEVICE, false, d->host->cfg.max_length};
    struct tw_frame f;
    size_t used;
    if (d->error == TW_OK) {
        struct tw_span in = unread(d);
        int rc = tw_frame_parse(&f, &used, in.data, in.len, &rules);
        bool foreign = begins_foreign(d, in);
        if (rc == TW_NEED_MORE) {
            rc = at_end_of_input(d, in);
            if (rc == TW_OK)
                return 0;
            tw_device_close(d, rc);
        } else if (rc != TW_OK && rc != TW_E_PREFIX && d->traits->negotiates && !foreign) {
            tw_device_close(d, rc);
        } else if (rc != TW_OK || foreign) {
            on_damage(d, ev, &rules, foreign ? TW_E_ENVELOPE : rc, used);
            return 1;
        } else {
            skip(d, used);
            *ev = (struct tw_device_event){.frame = f, .raw = f.raw};
            on_frame(d, ev);
            if (ev->has_answer && !d->host->cfg.manual)
                rc = tw_device_send(d, &ev->answer, 0);
            if (rc == TW_E_NOMEM || rc == TW_E_CRYPTO)
                tw_device_close(d, rc);
            return 1;
        }
    }
    if (d->told)
        return 0;
    d->told = true;
    *ev = (struct tw_device_event){.type = TW_DEVICE_CLOSING, .error = d->error};
    return 1;
}
