/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tuya-flow.c - one TCP connection, met frame by frame; the idea is in tuya-flow.h. */
#include "tuya-flow.h"
#include <string.h>
#include <epan/conversation.h>
#include <epan/to_str.h>
#include <epan/dissectors/packet-tcp.h>
#include "tuyawire/dps.h"
#include "tuyawire/session.h"

/* Both are our choice. */
enum {
    REQUESTS_MAX = 32,    /* requests that wait for a reply */
    REQUEST_AGE_MAX = 10, /* seconds; twice the time after which clients give up (spec section 6.2) */
};

struct endpoint {
    address addr;
    guint32 port;
};

struct tuya_flow {
    guint32 first_frame; /* 0: none met yet */
    tw_observer *observer;
    struct endpoint device_side; /* a guess until it is certain */
    bool side_certain;
    bool version_known;
    enum tw_version version;
    const char *device;
    struct hint *hint; /* what is known of the device's address */
    bool has_nonce;
    uint8_t client_nonce[TW_SESSION_NONCE_LEN]; /* of the last START */
    bool has_seq[2];
    uint32_t seq[2]; /* by direction */
    struct tuya_exchange *waiting[REQUESTS_MAX];
    unsigned n_waiting; /* oldest first */
};

/* One address: the key that fitted there last, and what its announcements said. */
struct hint {
    size_t local;       /* index in the keyring, or TW_NO_INDEX */
    const char *device; /* NULL: none heard, or several devices share the address */
    bool several;
    bool has_version;
    enum tw_version version;
};

static int proto_tuya = -1;
static wmem_map_t *hints;    /* address as text -> struct hint; file scope */
static GPtrArray *observers; /* of all connections: they are not Wireshark's memory */

/* ---- opening and closing captures ----------------------------------------------------------------------------- */

static void free_observer(gpointer o)
{
    tw_observer_free(o);
}

static void start(void)
{
    tuya_keys_fill();
    observers = g_ptr_array_new_with_free_func(free_observer);
}

static void stop(void)
{
    if (observers != NULL)
        g_ptr_array_free(observers, TRUE);
    observers = NULL;
    tuya_keys_wipe();
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
    h->local = TW_NO_INDEX;
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
    if (!flow->version_known)
        return false;
    *out = flow->version;
    return true;
}

/* ---- which side is the device (spec section 8.3) -------------------------------------------------------------- */

static void device_is(struct tuya_flow *flow, const address *addr, guint32 port, bool certain)
{
    copy_address_wmem(wmem_file_scope(), &flow->device_side.addr, addr);
    flow->device_side.port = port;
    flow->side_certain = certain;
    if (!certain)
        return;
    flow->hint = hint_of(addr);
    if (flow->device == NULL)
        flow->device = flow->hint->device;
}

/* The owner of port 6668, or the receiver of SYN. Else the lower port, until the frames tell: a client's port is
 * ephemeral, usually. */
static void find_device_side(struct tuya_flow *flow, packet_info *pinfo)
{
    enum { PORT = 6668 };
    struct tcp_analysis *tcp = get_tcp_conversation_data(find_or_create_conversation(pinfo), pinfo);
    guint32 server = tcp != NULL ? tcp->server_port : 0; /* 0: the SYN was not captured */
    if (pinfo->srcport == PORT || pinfo->destport == PORT)
        server = PORT;
    bool certain = pinfo->srcport != pinfo->destport && (server == pinfo->srcport || server == pinfo->destport);
    bool from_device = certain ? server == pinfo->srcport : pinfo->srcport < pinfo->destport;
    if (from_device)
        device_is(flow, &pinfo->src, pinfo->srcport, certain);
    else
        device_is(flow, &pinfo->dst, pinfo->destport, certain);
}

static enum tw_direction direction_of(const struct tuya_flow *flow, const packet_info *pinfo)
{
    bool from = pinfo->srcport == flow->device_side.port && addresses_equal(&pinfo->src, &flow->device_side.addr);
    return from ? TW_FROM_DEVICE : TW_TO_DEVICE;
}

/* The frames told which side is the device, where the ports had not. What the observer calls the sides stays as it
 * was: it has turned them round by itself. */
static void settle_side(struct tuya_flow *flow, packet_info *pinfo, const struct tw_observed *ev)
{
    if (flow->side_certain || !ev->direction_known)
        return;
    flow->side_certain = true;
    flow->hint = hint_of(ev->direction == TW_FROM_DEVICE ? &pinfo->src : &pinfo->dst);
    if (flow->device == NULL)
        flow->device = flow->hint->device;
}

/* ---- what the observer says ----------------------------------------------------------------------------------- */

static tw_observer *observer_of(struct tuya_flow *flow, packet_info *pinfo)
{
    if (flow->observer != NULL || tuya_keyring() == NULL)
        return flow->observer;
    find_device_side(flow, pinfo);
    enum tw_observer_roles roles = flow->side_certain ? TW_ROLES_KNOWN : TW_ROLES_UNKNOWN;
    if (tw_observer_new(&flow->observer, tuya_keyring(), roles) != TW_OK)
        return NULL;
    g_ptr_array_add(observers, flow->observer);
    if (flow->hint != NULL)
        tw_observer_hint(flow->observer, flow->hint->local, flow->hint->has_version ? &flow->hint->version : NULL);
    return flow->observer;
}

/* Clear bodies are the same in 3.1 and 3.2: until a control comes, 3.1 is only the first of the two. */
static bool is_ambiguous(const struct tuya_flow *flow, const struct tw_observed *ev)
{
    bool clear = ev->error == TW_OK && !ev->message.has_header && ev->frame.integrity == TW_INTEGRITY_CRC32;
    bool announced = flow->hint != NULL && flow->hint->has_version;
    return clear && ev->message.version == TW_V31 && !flow->version_known && !announced;
}

static void learn_version(struct tuya_flow *flow, struct tuya_sight *s, const struct tw_observed *ev)
{
    s->version = ev->message.version;
    s->version_known = ev->version_known && !is_ambiguous(flow, ev);
    if (!s->version_known)
        return;
    flow->version = s->version;
    flow->version_known = true;
}

static void learn_key(struct tuya_flow *flow, struct tuya_sight *s, const struct tw_observed *ev)
{
    if (ev->key == NULL)
        return;
    bool has_local = ev->key_index != TW_NO_INDEX;
    bool is_local = has_local && memcmp(tw_keyring_get(tuya_keyring(), ev->key_index).key, ev->key, TW_KEY_LEN) == 0;
    s->key = tuya_keys_know(ev->key, ev->key_index);
    s->use = is_local ? TUYA_KEY_LOCAL : TUYA_KEY_SESSION;
    if (has_local && flow->hint != NULL)
        flow->hint->local = ev->key_index;
}

/* The nonce is in the clear of a capture whose key we have: nothing is gained by comparing in constant time. */
static bool proves(const struct tuya_flow *flow, const struct tuya_sight *s, struct tw_span resp)
{
    uint8_t expected[TW_HMAC_LEN];
    int rc = tw_session_proof(expected, tw_keyring_crypto(tuya_keyring()), s->key->key, flow->client_nonce);
    return rc == TW_OK && memcmp(expected, resp.data + TW_SESSION_NONCE_LEN, TW_HMAC_LEN) == 0;
}

static void learn_handshake(struct tuya_flow *flow, struct tuya_sight *s, const struct tw_observed *ev)
{
    struct tw_span p = ev->message.payload;
    if (ev->message.command == TW_CMD_SESS_KEY_NEG_START && p.len >= TW_SESSION_NONCE_LEN) {
        memcpy(flow->client_nonce, p.data, TW_SESSION_NONCE_LEN);
        flow->has_nonce = true;
    } else if (ev->message.command == TW_CMD_SESS_KEY_NEG_RESP && p.len >= TW_SESSION_RESP_LEN) {
        s->zero_key = ev->session != NULL && ev->session->key[0] == 0;
        s->impostor = ev->session == NULL && flow->has_nonce && !proves(flow, s, p);
    }
}

/* The device id: a body names it best, then the key's row, then the announcement of this address. */
static void learn_device(struct tuya_flow *flow, const struct tuya_sight *s, struct tw_span payload)
{
    struct tw_body body;
    struct tw_span id = {0};
    if (tw_body_parse(&body, payload) == TW_OK)
        id = body.gw_id.len > 0 ? body.gw_id : body.dev_id;
    if (id.len == 0 && s->key != NULL && s->key->device != NULL && flow->device == NULL)
        id = (struct tw_span){(const uint8_t *)s->key->device, strlen(s->key->device)};
    if (id.len == 0)
        return;
    if (flow->device == NULL || strlen(flow->device) != id.len || memcmp(flow->device, id.data, id.len) != 0)
        flow->device = wmem_strndup(wmem_file_scope(), (const char *)id.data, id.len);
}

/* One whole frame in, one event out. */
static void observe(struct tuya_flow *flow, struct tuya_sight *s, packet_info *pinfo, const struct tw_frame *f)
{
    struct tw_observed ev;
    tw_observer *o = observer_of(flow, pinfo);
    if (o == NULL)
        return;
    tuya_keys_follow_log();
    s->direction = direction_of(flow, pinfo);
    if (tw_observer_feed(o, s->direction, f->raw.data, f->raw.len) != TW_OK || tw_observer_next(o, &ev) != 1)
        return;
    s->error = ev.error;
    s->direction = ev.direction;
    s->integrity = ev.frame.integrity;
    settle_side(flow, pinfo, &ev);
    learn_version(flow, s, &ev);
    learn_key(flow, s, &ev);
    if (ev.error == TW_OK && s->integrity != TW_INTEGRITY_CRC32 && tw_command_is_handshake(ev.message.command))
        learn_handshake(flow, s, &ev);
    else if (ev.error == TW_OK)
        learn_device(flow, s, ev.message.payload);
    while (tw_observer_next(o, &ev) == 1)
        ; /* nothing waits behind a whole frame; drained, it lets go of the bytes */
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

/* see tuya-flow.h */
struct tuya_sight *tuya_flow_meet(struct tuya_flow *flow, packet_info *pinfo, const struct tw_frame *f)
{
    struct tuya_sight *s = wmem_new0(wmem_file_scope(), struct tuya_sight);
    s->error = TW_E_NOMEM; /* until the observer has spoken */
    s->integrity = f->integrity;
    if (flow->first_frame == 0)
        flow->first_frame = pinfo->num;
    observe(flow, s, pinfo, f);
    s->device = flow->device;
    check_seq(flow, s, f->seq);
    if (s->direction == TW_TO_DEVICE)
        ask(flow, s, pinfo, f);
    else
        answer(flow, s, pinfo, f);
    return s;
}

/* see tuya-flow.h */
int tuya_sight_open(const struct tuya_sight *s, struct tw_frame *f, struct tw_message *out, uint8_t *buf, size_t cap)
{
    if (f->integrity != s->integrity && f->envelope == TW_ENVELOPE_55AA)
        tw_frame_reframe(f, s->integrity);
    if (s->error != TW_OK)
        return s->error;
    tw_crypto *bench = tw_keyring_crypto(tuya_keyring());
    return tw_message_open(out, bench, f, s->version, s->direction, s->key != NULL ? s->key->key : NULL, buf, cap, 0);
}
