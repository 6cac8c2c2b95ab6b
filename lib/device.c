/* device.c - the device's end of one connection; what it does is written in tuyawire/device.h. */
#include "tuyawire/device.h"
#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "device_internal.h"
#include "internal.h"
#include "tuyawire/command.h"
#include "tuyawire/error.h"
#include "tuyawire/session.h"
#include "tuyawire/version.h"

enum {
    SPARE_MAX = 64 * 1024,       /* bytes; larger ones go back to the system */
    BUFFER_MIN = 1024,           /* bytes: two frames as plugs send them */
    FIRST_SEGMENT_MIN = 50,      /* bytes: TuyaOpen drops a read that is shorter than the smallest 6699 frame */
    SEQ_START_BELOW = 65535,     /* TuyaOpen: random start from 0 to 65534, the first frame carries one more */
    PREFIX_6699 = 0x00006699,    /* spec section 1.2 */
    PREFIX_55AA = 0x000055AA,    /* spec section 1.1 */
    VENDOR_REFUSED = 0x01000000, /* 1 as a little-endian chip writes it, spec section 1.4 */
};

/* ---- buffers --------------------------------------------------------------------------------------------------- */

static void buffer_drop(tw_device_host *h, struct buffer *b)
{
    if (b->data == NULL)
        return;
    for (int i = 0; i < TW__DEVICE_SPARE && b->cap <= SPARE_MAX; i++) {
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
        for (int i = 0; i < TW__DEVICE_SPARE && b->data == NULL; i++)
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
    if (need > UINT32_MAX / 4 || live > UINT32_MAX / 4) /* below, nothing overflows */
        return TW_E_NOMEM;
    while (cap < live + need)
        cap *= 2;
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
    for (int i = 0; i < TW__DEVICE_SPARE; i++)
        free(h->spare[i].data);
    tw__wipe(h, sizeof *h + h->open_cap); /* plaintexts, the proof of the last RESP */
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
    for (int draw = 0; draw < TW__DEVICE_DRAWS; draw++) {
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

/* see tuyawire/device.h */
int tw_device_refuse(tw_device *d, uint32_t command, uint32_t seq, const char *text)
{
    struct tw_message m;
    tw_device_message_init(d, &m, command, seq, true);
    m.payload = tw__text(text);
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
            tw__device_on_frame(d, ev);
            if (ev->has_answer && !d->host->cfg.manual)
                ev->answer_error = tw_device_send(d, &ev->answer, 0);
            if (ev->answer_error == TW_E_NOMEM || ev->answer_error == TW_E_CRYPTO)
                tw_device_close(d, ev->answer_error);
            return 1;
        }
    }
    if (d->told)
        return 0;
    d->told = true;
    *ev = (struct tw_device_event){.type = TW_DEVICE_CLOSING, .error = d->error};
    return 1;
}
