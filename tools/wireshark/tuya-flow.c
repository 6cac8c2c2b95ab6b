/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tuya-flow.c - one TCP connection as an observer sees it; the idea is in tuya-flow.h, the rules and their sources in
 * the protocol specification, section 8. */
#include "tuya-flow.h"
#include <string.h>
#include <epan/conversation.h>
#include <epan/to_str.h>
#include <epan/dissectors/packet-tcp.h>
#include "tuya-keys.h"
#include "tuyawire/discovery.h"
#include "tuyawire/dps.h"
#include "tuyawire/session.h"

/* All of these are our choice. */
enum {
    KEPT_MAX = 8,         /* nonces and session keys of one connection; a second START starts a new entry */
    REQUESTS_MAX = 32,    /* requests that wait for a reply */
    REQUEST_AGE_MAX = 10, /* seconds; twice the time after which clients give up (spec section 6.2) */
    ROUNDS_MAX = 4,       /* rounds over all keys that open nothing before a connection is left alone */
    BENCH_KEYS = 16,
};

enum certainty { GUESS_NONE, GUESS_WEAK, GUESS_CERTAIN };

struct endpoint {
    address addr;
    guint32 port;
};

struct tuya_flow {
    guint32 first_frame; /* 0: none met yet */
    bool has_device_side;
    struct endpoint device_side;
    enum certainty version_certainty;
    enum tw_version version;
    const char *device;
    struct hint *hint; /* what is known of the device's address */
    int local;         /* ring index of the local key that fits */
    int sessions[KEPT_MAX];
    uint8_t client_nonces[KEPT_MAX][TW_SESSION_NONCE_LEN];
    uint8_t device_nonces[KEPT_MAX][TW_SESSION_NONCE_LEN];
    unsigned n_sessions, n_client_nonces, n_device_nonces; /* newest last; the oldest falls out */
    bool handshake_seen, handshake_opened, session_worked;
    unsigned local_rounds, log_rounds; /* over all keys, and nothing opened */
    bool has_seq[2];
    uint32_t seq[2]; /* by direction */
    struct tuya_exchange *waiting[REQUESTS_MAX];
    unsigned n_waiting; /* oldest first */
};

/* One address: the key that fitted there last, and what its announcements said. */
struct hint {
    int local;
    const char *device; /* NULL: none heard, or several devices share the address */
    bool several;
    bool has_version;
    enum tw_version version;
};

static int proto_tuya = -1;
static wmem_map_t *hints; /* address as text -> struct hint; file scope */
static tw_crypto *bench;  /* keys that fit */
static tw_crypto *trials; /* one key after the other */

/* ---- opening and closing captures ----------------------------------------------------------------------------- */

static void start(void)
{
    tuya_keys_fill();
    /* Without a bench, messages stay closed: tw_message_open() is not called with NULL, see try_key(). */
    if (tw_crypto_new(&bench, BENCH_KEYS) != TW_OK)
        bench = NULL;
    if (tw_crypto_new(&trials, 1) != TW_OK)
        trials = NULL;
}

static void stop(void)
{
    tw_crypto_free(bench);
    tw_crypto_free(trials);
    bench = trials = NULL;
    tuya_keys_wipe();
}

/* see tuya-flow.h */
tw_crypto *tuya_bench(void)
{
    return bench;
}

/* see tuya-flow.h */
void tuya_flow_register(int proto)
{
    proto_tuya = proto;
    hints = wmem_map_new_autoreset(wmem_epan_scope(), wmem_file_scope(), wmem_str_hash, g_str_equal);
    register_init_routine(start);
    register_cleanup_routine(stop);
}

static struct hint *hint_of(const address *addr)
{
    char *text = address_to_str(wmem_file_scope(), addr);
    struct hint *h = wmem_map_lookup(hints, text);
    if (h != NULL) {
        wmem_free(wmem_file_scope(), text);
        return h;
    }
    h = wmem_new0(wmem_file_scope(), struct hint);
    h->local = TUYA_NO_KEY;
    wmem_map_insert(hints, text, h);
    return h;
}

/* see tuya-flow.h */
void tuya_flow_announced(const address *addr, const char *id, size_t id_len, bool has_version, enum tw_version v)
{
    struct hint *h = hint_of(addr);
    if (h->several)
        return;
    if (h->device != NULL && (strlen(h->device) != id_len || memcmp(h->device, id, id_len) != 0)) {
        h->several = true;
        h->device = NULL;
        h->has_version = false;
        return;
    }
    if (h->device == NULL)
        h->device = wmem_strndup(wmem_file_scope(), id, id_len);
    h->has_version = has_version;
    h->version = v;
}

/* see tuya-flow.h */
struct tuya_flow *tuya_flow_of(packet_info *pinfo)
{
    conversation_t *c = find_or_create_conversation(pinfo);
    struct tuya_flow *flow = conversation_get_proto_data(c, proto_tuya);
    if (flow == NULL) {
        flow = wmem_new0(wmem_file_scope(), struct tuya_flow);
        flow->local = TUYA_NO_KEY;
        conversation_add_proto_data(c, proto_tuya, flow);
    }
    return flow;
}

/* see tuya-flow.h */
bool tuya_flow_is_tuya(const struct tuya_flow *flow, const packet_info *pinfo)
{
    return flow->first_frame != 0 && pinfo->num >= flow->first_frame;
}

/* see tuya-flow.h */
bool tuya_flow_version(const struct tuya_flow *flow, enum tw_version *out)
{
    if (flow->version_certainty == GUESS_NONE)
        return false;
    *out = flow->version;
    return true;
}

static void learn_version(struct tuya_flow *flow, enum tw_version v, enum certainty certainty)
{
    if (certainty < flow->version_certainty)
        return;
    flow->version = v;
    flow->version_certainty = certainty;
}

/* ---- which side is the device (spec section 8.3) -------------------------------------------------------------- */

static void device_is(struct tuya_flow *flow, const address *addr, guint32 port)
{
    copy_address_wmem(wmem_file_scope(), &flow->device_side.addr, addr);
    flow->device_side.port = port;
    flow->has_device_side = true;
    flow->hint = hint_of(addr);
    if (flow->local == TUYA_NO_KEY)
        flow->device = flow->hint->device;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* In a 55AA frame the return code is in clear, and only devices send one. */
static bool shows_retcode(const struct tw_frame *f)
{
    return f->envelope == TW_ENVELOPE_55AA && f->body.len >= TW_RETCODE_LEN && tw_retcode(be32(f->body.data)) <= 1;
}

static void find_device_side(struct tuya_flow *flow, packet_info *pinfo, const struct tw_frame *f)
{
    enum { PORT = 6668 };
    struct tcp_analysis *tcp = get_tcp_conversation_data(find_or_create_conversation(pinfo), pinfo);
    guint32 server = tcp != NULL ? tcp->server_port : 0; /* the receiver of SYN; 0: not captured */
    if (pinfo->srcport == PORT || pinfo->destport == PORT)
        server = PORT;

    bool from_device = server == pinfo->srcport;
    if (pinfo->srcport == pinfo->destport || (server != pinfo->srcport && server != pinfo->destport)) {
        switch (f->command) {
        case TW_CMD_SESS_KEY_NEG_START:
        case TW_CMD_SESS_KEY_NEG_FINISH: from_device = false; break;
        case TW_CMD_SESS_KEY_NEG_RESP:
        case TW_CMD_STATUS: from_device = true; break;
        default:
            if (f->envelope == TW_ENVELOPE_6699)
                return;
            from_device = shows_retcode(f);
        }
    }
    if (from_device)
        device_is(flow, &pinfo->src, pinfo->srcport);
    else
        device_is(flow, &pinfo->dst, pinfo->destport);
}

static enum tw_direction direction_of(struct tuya_flow *flow, packet_info *pinfo, const struct tw_frame *f)
{
    if (!flow->has_device_side)
        find_device_side(flow, pinfo, f);
    if (!flow->has_device_side) /* the client's port is the ephemeral one, usually */
        return pinfo->srcport < pinfo->destport ? TW_FROM_DEVICE : TW_TO_DEVICE;
    bool from = pinfo->srcport == flow->device_side.port && addresses_equal(&pinfo->src, &flow->device_side.addr);
    return from ? TW_FROM_DEVICE : TW_TO_DEVICE;
}

/* ---- which version (spec section 8.4) ------------------------------------------------------------------------- */

static struct tw_span behind_retcode(const struct tw_frame *f, enum tw_direction dir)
{
    struct tw_span s = f->body;
    if (dir == TW_FROM_DEVICE && shows_retcode(f)) {
        s.data += TW_RETCODE_LEN;
        s.len -= TW_RETCODE_LEN;
    }
    return s;
}

static bool is_clear(struct tw_span s)
{
    if (s.len > 0 && s.data[0] == '{')
        return true;
    return tw_is_error_text(s);
}

/* A frame whose CRC is right: 3.1, 3.2 or 3.3, as far as its body tells. */
static void version_of_crc_frame(struct tuya_flow *flow, struct tuya_sight *s, const struct tw_frame *f)
{
    struct tw_span body = behind_retcode(f, s->direction);
    bool has_version = body.len >= 3 && body.data[0] == '3' && body.data[1] == '.';
    bool announced = flow->hint != NULL && flow->hint->has_version && flow->hint->version <= TW_V33;
    enum tw_version v = TW_V33;
    enum certainty certainty = GUESS_NONE;
    if (has_version && body.data[2] == '1') {
        v = TW_V31;
        certainty = GUESS_CERTAIN;
    } else if (has_version && (body.len - 3) % 16 == 12) {
        v = body.data[2] == '2' ? TW_V32 : TW_V33;
        certainty = GUESS_CERTAIN;
    } else if (flow->version_certainty == GUESS_CERTAIN && flow->version <= TW_V33) {
        v = flow->version;
        certainty = GUESS_CERTAIN;
    } else if (announced) {
        v = flow->hint->version;
        certainty = GUESS_WEAK;
    } else if (is_clear(body)) {
        v = TW_V31; /* or 3.2: clear bodies are the same in both */
    } else if (body.len > 0) {
        certainty = GUESS_WEAK; /* a client that wrongly encrypts queries to a 3.2 device looks like this, too */
    } else if (flow->version_certainty != GUESS_NONE && flow->version <= TW_V33) {
        v = flow->version;
        certainty = flow->version_certainty;
    }
    s->version = v;
    s->version_known = certainty != GUESS_NONE;
    if (certainty != GUESS_NONE)
        learn_version(flow, v, certainty);
}

/* Ciphertext is whole blocks, behind it 32 bytes of HMAC, before it a return code if the device speaks. */
static bool could_be_hmac(const struct tw_frame *f, enum tw_direction dir)
{
    struct tw_frame g = *f;
    if (tw_frame_reframe(&g, TW_INTEGRITY_HMAC) != TW_OK)
        return false;
    return g.body.len % 16 == (dir == TW_FROM_DEVICE ? TW_RETCODE_LEN : 0);
}

/* @return TW_OK, or TW_E_INTEGRITY for a damaged frame */
static int find_version(struct tuya_flow *flow, struct tuya_sight *s, struct tw_frame *f)
{
    s->version_known = true;
    if (f->envelope == TW_ENVELOPE_6699) {
        s->version = TW_V35;
        return TW_OK;
    }
    if (tw_frame_crc_matches(f)) {
        version_of_crc_frame(flow, s, f);
        return TW_OK;
    }
    bool certain = flow->version_certainty == GUESS_CERTAIN;
    bool is_34 = certain ? flow->version == TW_V34 : could_be_hmac(f, s->direction);
    if (is_34 && tw_frame_reframe(f, TW_INTEGRITY_HMAC) == TW_OK) {
        s->version = TW_V34;
        return TW_OK;
    }
    s->version = certain ? flow->version : TW_V33;
    s->version_known = certain;
    return TW_E_INTEGRITY;
}

/* ---- which key (spec section 8.5, 8.6) ------------------------------------------------------------------------ */

/* A try to open one frame: what does not change from key to key. */
struct attempt {
    struct tuya_flow *flow;
    struct tuya_sight *s;
    const struct tw_frame *f;
    struct tw_message *m;
    uint8_t *buf;
    size_t cap;
};

static int try_key(const struct attempt *a, int key, tw_crypto *c)
{
    if (c == NULL)
        return TW_E_NOMEM;
    const uint8_t *k = key == TUYA_NO_KEY ? NULL : tuya_keys_at(key)->key;
    return tw_message_open(a->m, c, a->f, a->s->version, a->s->direction, k, a->buf, a->cap, a->s->flags);
}

/* HMAC and tag are proof enough. Padding of one byte is right by chance once in 256 tries, so what comes out of a CRC
 * frame has to make sense as well: it is long padding, or JSON, or text. */
static bool makes_sense(const struct attempt *a)
{
    enum { PROOF_PADDING = 4 };
    struct tw_span p = a->m->payload;
    if (a->f->integrity != TW_INTEGRITY_CRC32 || 16 - p.len % 16 >= PROOF_PADDING || is_clear(p))
        return true;
    for (size_t i = 0; i < p.len; i++)
        if (!g_ascii_isprint(p.data[i]))
            return false;
    return true;
}

static bool fits(const struct attempt *a, int key, enum tuya_key_use use)
{
    if (key == TUYA_NO_KEY || try_key(a, key, trials) != TW_OK || !makes_sense(a))
        return false;
    a->s->key = key;
    a->s->use = use;
    return true;
}

static bool any_local_fits(const struct attempt *a)
{
    struct tuya_flow *flow = a->flow;
    if (flow->hint != NULL && fits(a, flow->hint->local, TUYA_KEY_LOCAL))
        return true;
    if (flow->local_rounds >= ROUNDS_MAX)
        return false;
    for (int i = 0; i < tuya_keys_n_local(); i++)
        if (fits(a, i, TUYA_KEY_LOCAL))
            return true;
    flow->local_rounds++;
    return false;
}

static bool any_logged_fits(const struct attempt *a)
{
    struct tuya_flow *flow = a->flow;
    if (tuya_keys_log_grew())
        flow->log_rounds = 0;
    if (flow->log_rounds >= ROUNDS_MAX)
        return false;
    int key;
    for (unsigned i = 0; (key = tuya_keys_log_at(i)) != TUYA_NO_KEY; i++)
        if (tuya_keys_at(key)->version == a->s->version && fits(a, key, TUYA_KEY_SESSION))
            return true;
    flow->log_rounds++;
    return false;
}

/* Under the local key: all of 3.1 to 3.3, and handshakes. */
static int open_with_local(const struct attempt *a)
{
    struct tuya_flow *flow = a->flow;
    if (flow->local != TUYA_NO_KEY) {
        int rc = try_key(a, flow->local, bench);
        if (rc == TW_OK || flow->local_rounds >= ROUNDS_MAX) {
            a->s->key = flow->local;
            a->s->use = TUYA_KEY_LOCAL;
            return rc;
        }
        if (any_local_fits(a))
            return TW_OK;
        a->s->key = flow->local;
        return rc; /* the key of this connection is known: the frame is what is wrong */
    }
    return any_local_fits(a) ? TW_OK : TW_E_NO_KEY;
}

/* The public clients' 3.1 signature may be anything; a key that opens to JSON without it is still the right one. */
static int open_unsigned(const struct attempt *a, int rc)
{
    if (a->s->version != TW_V31 || (rc != TW_E_INTEGRITY && rc != TW_E_NO_KEY))
        return rc;
    a->s->flags = TW_OPEN_NO_SIGNATURE;
    if (open_with_local(a) == TW_OK)
        return TW_OK;
    a->s->flags = 0;
    return rc;
}

static int open_crc_frame(const struct attempt *a)
{
    int rc = try_key(a, TUYA_NO_KEY, bench);
    if (rc != TW_E_NO_KEY)
        return rc; /* in clear, empty, or beyond help */
    return open_unsigned(a, open_with_local(a));
}

static int why_closed(const struct tuya_flow *flow)
{
    if (flow->session_worked)
        return TW_E_INTEGRITY;
    return flow->handshake_seen && !flow->handshake_opened ? TW_E_NO_KEY : TW_E_NO_SESSION;
}

static void keep_session(struct tuya_flow *flow, int key)
{
    if (flow->n_sessions == KEPT_MAX)
        memmove(flow->sessions, flow->sessions + 1, sizeof flow->sessions[0] * --flow->n_sessions);
    flow->sessions[flow->n_sessions++] = key;
}

/* Under a session key: newest first, then the key log, then the local key (spec section 4.8: devices push under it
 * while they have no session). */
static int open_with_session(const struct attempt *a)
{
    struct tuya_flow *flow = a->flow;
    for (unsigned i = flow->n_sessions; i-- > 0;) {
        if (try_key(a, flow->sessions[i], bench) != TW_OK)
            continue;
        a->s->key = flow->sessions[i];
        a->s->use = TUYA_KEY_SESSION;
        flow->session_worked = true;
        return TW_OK;
    }
    if (fits(a, flow->local, TUYA_KEY_LOCAL))
        return TW_OK;
    if (any_logged_fits(a)) {
        keep_session(flow, a->s->key);
        flow->session_worked = true;
        return TW_OK;
    }
    if (flow->n_sessions == 0 && flow->local == TUYA_NO_KEY && a->s->direction == TW_FROM_DEVICE && any_local_fits(a))
        return TW_OK;
    return why_closed(flow);
}

static int open_by_trying(const struct attempt *a)
{
    if (a->f->integrity == TW_INTEGRITY_CRC32)
        return open_crc_frame(a);
    if (!tw_command_is_handshake(a->f->command))
        return open_with_session(a);
    a->flow->handshake_seen = true;
    return open_with_local(a);
}

/* ---- what a message teaches ----------------------------------------------------------------------------------- */

static void keep_nonce(uint8_t kept[KEPT_MAX][TW_SESSION_NONCE_LEN], unsigned *n, const uint8_t *nonce)
{
    if (*n == KEPT_MAX)
        memmove(kept[0], kept[1], sizeof kept[0] * --*n);
    memcpy(kept[(*n)++], nonce, TW_SESSION_NONCE_LEN);
}

/* The nonce is in the clear of a capture whose key we have: nothing is gained by comparing in constant time. */
static bool proves(const uint8_t *proof, const uint8_t *local, const uint8_t *nonce)
{
    uint8_t expected[TW_HMAC_LEN];
    return tw_session_proof(expected, bench, local, nonce) == TW_OK && memcmp(expected, proof, TW_HMAC_LEN) == 0;
}

/* RESP: its HMAC says which START it answers. When START was not captured, old clients' constant is worth a try. */
static void learn_session(struct tuya_flow *flow, struct tuya_sight *s, struct tw_span resp)
{
    static const uint8_t historic[] = "0123456789abcdef"; /* tinytuya before 1.13; spec section 8.6 */
    const uint8_t *local = tuya_keys_at(s->key)->key, *nonce = NULL;
    const uint8_t *proof = resp.data + TW_SESSION_NONCE_LEN;
    for (unsigned i = flow->n_client_nonces; nonce == NULL && i-- > 0;)
        if (proves(proof, local, flow->client_nonces[i]))
            nonce = flow->client_nonces[i];
    if (nonce == NULL && proves(proof, local, historic))
        nonce = historic;
    keep_nonce(flow->device_nonces, &flow->n_device_nonces, resp.data);
    if (nonce == NULL) {
        s->impostor = flow->n_client_nonces > 0;
        return;
    }
    uint8_t key[TW_KEY_LEN];
    if (tw_session_derive(key, bench, s->version, local, nonce, resp.data) != TW_OK)
        return;
    keep_session(flow, tuya_keys_add_session(key, s->version, s->key));
    s->zero_key = key[0] == 0;
    memset(key, 0, sizeof key);
}

static void learn_handshake(struct tuya_flow *flow, struct tuya_sight *s, const struct tw_message *m)
{
    flow->handshake_opened = true;
    switch (m->command) {
    case TW_CMD_SESS_KEY_NEG_START:
        if (m->payload.len >= TW_SESSION_NONCE_LEN)
            keep_nonce(flow->client_nonces, &flow->n_client_nonces, m->payload.data);
        return;
    case TW_CMD_SESS_KEY_NEG_RESP:
        if (m->payload.len >= TW_SESSION_RESP_LEN)
            learn_session(flow, s, m->payload);
        return;
    default:
        if (m->payload.len < TW_SESSION_FINISH_LEN || flow->n_device_nonces == 0)
            return;
        s->impostor = true;
        for (unsigned i = 0; i < flow->n_device_nonces; i++)
            if (proves(m->payload.data, tuya_keys_at(s->key)->key, flow->device_nonces[i]))
                s->impostor = false;
    }
}

/* The device id: a body names it best, then the key's row, then the announcement of this address. */
static void learn_device(struct tuya_flow *flow, const struct tuya_sight *s, struct tw_span payload)
{
    struct tw_body body;
    struct tw_span id = {0};
    if (tw_body_parse(&body, payload) == TW_OK)
        id = body.gw_id.len > 0 ? body.gw_id : body.dev_id;
    if (id.len > 0) {
        if (flow->device == NULL || strlen(flow->device) != id.len || memcmp(flow->device, id.data, id.len) != 0)
            flow->device = wmem_strndup(wmem_file_scope(), (const char *)id.data, id.len);
        return;
    }
    const char *of_key = s->key == TUYA_NO_KEY ? NULL : tuya_keys_at(s->key)->device;
    if (of_key != NULL && flow->device == NULL)
        flow->device = wmem_strdup(wmem_file_scope(), of_key);
}

static void learn(struct tuya_flow *flow, struct tuya_sight *s, const struct tw_message *m)
{
    if (s->use == TUYA_KEY_LOCAL) {
        flow->local = s->key;
        if (flow->hint != NULL)
            flow->hint->local = s->key;
    }
    if (s->integrity != TW_INTEGRITY_CRC32)
        learn_version(flow, s->version, GUESS_CERTAIN);
    if (s->integrity != TW_INTEGRITY_CRC32 && tw_command_is_handshake(m->command))
        learn_handshake(flow, s, m);
    else
        learn_device(flow, s, m->payload);
}

/* ---- sequence numbers, requests and replies ------------------------------------------------------------------- */

/* Devices up to 3.3 echo; all others count (spec section 6.1). An equal number counts as going back where the device
 * would close the connection for it. */
static void check_seq(struct tuya_flow *flow, struct tuya_sight *s, uint32_t seq)
{
    const struct tw_version_traits *t = tw_version_traits(s->version);
    if (s->direction == TW_FROM_DEVICE && t->seq_echo)
        return;
    int d = s->direction;
    if (flow->has_seq[d] && (t->seq_checked ? seq <= flow->seq[d] : seq < flow->seq[d])) {
        s->seq_went_back = true;
        s->seq_before = flow->seq[d];
    }
    flow->has_seq[d] = true;
    flow->seq[d] = seq;
}

static void forget_waiting(struct tuya_flow *flow, unsigned at)
{
    memmove(flow->waiting + at, flow->waiting + at + 1, sizeof flow->waiting[0] * (--flow->n_waiting - at));
}

static void ask(struct tuya_flow *flow, struct tuya_sight *s, packet_info *pinfo, const struct tw_frame *f)
{
    if (f->command == TW_CMD_SESS_KEY_NEG_FINISH)
        return; /* has no reply */
    if (flow->n_waiting == REQUESTS_MAX)
        forget_waiting(flow, 0);
    struct tuya_exchange *x = wmem_new0(wmem_file_scope(), struct tuya_exchange);
    *x = (struct tuya_exchange){
        .command = f->command, .seq = f->seq, .request_frame = pinfo->num, .request_time = pinfo->abs_ts};
    flow->waiting[flow->n_waiting++] = x;
    s->exchange = x;
}

/* 3.1 to 3.3 by command and number (a heart beat is answered with 0), 3.4 and 3.5 by command in order of sending. */
static bool answers(const struct tuya_sight *s, const struct tw_frame *f, const struct tuya_exchange *x)
{
    uint32_t command = f->command == TW_CMD_SESS_KEY_NEG_RESP ? TW_CMD_SESS_KEY_NEG_START : f->command;
    if (x->command != command)
        return false;
    return !tw_version_traits(s->version)->seq_echo || f->seq == 0 || f->seq == x->seq;
}

static void answer(struct tuya_flow *flow, struct tuya_sight *s, packet_info *pinfo, const struct tw_frame *f)
{
    if (f->command == TW_CMD_STATUS)
        return;
    while (flow->n_waiting > 0 && pinfo->abs_ts.secs - flow->waiting[0]->request_time.secs > REQUEST_AGE_MAX)
        forget_waiting(flow, 0); /* never answered: must not shift the pairs that follow */
    for (unsigned i = 0; i < flow->n_waiting; i++) {
        struct tuya_exchange *x = flow->waiting[i];
        if (!answers(s, f, x))
            continue;
        x->reply_frame = pinfo->num;
        x->reply_time = pinfo->abs_ts;
        s->exchange = x;
        s->is_reply = true;
        forget_waiting(flow, i);
        return;
    }
}

/* ---- meeting a frame ------------------------------------------------------------------------------------------ */

/* Nothing told the sides apart until the frame was open: a return code does. */
static void settle_direction(const struct attempt *a, packet_info *pinfo)
{
    struct tuya_sight *s = a->s;
    if (a->flow->has_device_side || a->f->envelope != TW_ENVELOPE_6699 || a->m->payload.len == 0)
        return;
    struct tw_span p = a->m->payload;
    bool code = p.len >= TW_RETCODE_LEN && tw_retcode(be32(p.data)) <= 1;
    if (s->direction == TW_FROM_DEVICE ? !a->m->has_retcode && !code : !code) {
        s->direction = TW_TO_DEVICE;
        device_is(a->flow, &pinfo->dst, pinfo->destport);
    } else {
        s->direction = TW_FROM_DEVICE;
        device_is(a->flow, &pinfo->src, pinfo->srcport);
    }
    try_key(a, s->key, bench);
}

/* see tuya-flow.h */
const struct tuya_sight *tuya_flow_meet(struct tuya_flow *flow, packet_info *pinfo, const struct tw_frame *f,
                                        uint8_t *buf, size_t cap)
{
    struct tuya_sight *s = wmem_new0(wmem_file_scope(), struct tuya_sight);
    struct tw_frame g = *f;
    struct tw_message m;
    if (flow->first_frame == 0)
        flow->first_frame = pinfo->num;
    s->key = TUYA_NO_KEY;
    s->direction = direction_of(flow, pinfo, f);
    s->error = find_version(flow, s, &g);
    s->integrity = g.integrity;
    if (s->error == TW_OK) {
        struct attempt a = {flow, s, &g, &m, buf, cap};
        s->error = open_by_trying(&a);
        if (s->error == TW_OK) {
            settle_direction(&a, pinfo);
            learn(flow, s, &m);
        }
    }
    s->device = flow->device;
    check_seq(flow, s, g.seq);
    if (s->direction == TW_TO_DEVICE)
        ask(flow, s, pinfo, &g);
    else
        answer(flow, s, pinfo, &g);
    return s;
}

/* see tuya-flow.h */
int tuya_sight_open(const struct tuya_sight *s, struct tw_frame *f, struct tw_message *out, uint8_t *buf, size_t cap)
{
    if (f->integrity != s->integrity && f->envelope == TW_ENVELOPE_55AA)
        tw_frame_reframe(f, s->integrity);
    if (s->error != TW_OK)
        return s->error;
    if (bench == NULL || s->key >= tuya_keys_n())
        return TW_E_NO_KEY;
    const uint8_t *key = s->key == TUYA_NO_KEY ? NULL : tuya_keys_at(s->key)->key;
    return tw_message_open(out, bench, f, s->version, s->direction, key, buf, cap, s->flags);
}
