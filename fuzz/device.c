/* device.c - a device answers those who know its key, and nobody else; how TCP cuts the stream changes nothing.
 *
 * Reaches: all of tuyawire/device.h. Input: a tape (common/tape.h) with up to four connections. What the client sends
 * comes from an honest peer that can be told to misbehave (common/peer.h), or raw. Every event and every frame sent is
 * held against a second implementation of the cryptography. */
#include "common/fuzz.h"
#include <string.h>
#include "common/oracle.h"
#include "common/peer.h"
#include "common/tape.h"
#include "tuyawire/device.h"
#include "tuyawire/session.h"

const struct fuzz_harness fuzz_harness = {
    .name = "device",
    .claim = "a device acts on authentic requests only, numbers its frames by the rules, and no cut of the stream "
             "changes what it does",
    .form = FUZZ_TAPE,
    .context_len = 1,
};

enum { CONNECTIONS = 4, STEPS_MAX = 96, ROOM = 1 << 15, OUTPUT_MAX = 8192 };
enum {
    CONTEXT_VENDOR = 0x08,
    CONTEXT_VENDOR_READ = 0x10,
    CONTEXT_MANUAL = 0x20,
    CONTEXT_KEY_ZERO = 0x40,
    CONTEXT_ZERO_CRC = 0x80
};

static tw_crypto *crypto;
static tw_device_host *hosts[2]; /* answers by itself; manual */
static uint64_t randomness;
static uint8_t bytes[ROOM];
static struct wire wire;
static bool cut_matters; /* this input is about where the stream is cut */

struct line {
    tw_device *device;
    struct peer peer;   /* the client: its keys are what an honest client would know */
    int handshake_step; /* of the honest client */
    bool reads;         /* takes what the device sends */
    bool closing;       /* TW_DEVICE_CLOSING was seen */
    bool established;   /* FINISH was accepted */
    bool acted;         /* on something, since the last bytes came */
    uint32_t last_seq;  /* of the client's frames that were accepted; the first is 1 at least */
    bool has_device_seq;
    uint32_t device_seq; /* of the device's last frame */
    size_t unsent;       /* output bytes that were looked at already */
    size_t owed;         /* frames that the output has to hold */
};

struct world {
    struct line lines[CONNECTIONS];
    enum tw_version version;
    unsigned quirks;
    bool manual;
    tw_device_host *host;
    uint64_t now, fold, pushes;
    struct fuzz_rng cuts;
    bool cut;
};

static void tell(struct world *w, uint64_t fact)
{
    w->fold = fuzz_rng_next(&(struct fuzz_rng){w->fold ^ fact});
}

static void open_line(struct world *w, struct line *l)
{
    struct tw_device_config cfg;
    fuzz_connected((unsigned)(l - w->lines));
    tw_device_free(l->device);
    *l = (struct line){.reads = true};
    peer_init(&l->peer, (unsigned)w->version);
    tw_device_config_init(&cfg, w->version, fuzz_local_key);
    cfg.quirks = w->quirks;
    CHECK(tw_device_new(&l->device, w->host, &cfg, w->now) == TW_OK);
}

/* The check value of a frame the device acts on, under the key it has to be under. */
static bool is_authentic(const struct world *w, const struct line *l, const struct tw_frame *f)
{
    uint8_t proof[32];
    const uint8_t *raw = f->raw.data;
    size_t covered = (size_t)(f->check.data - raw);
    bool local = !l->established || tw_command_is_handshake(f->command);
    const uint8_t *key = local ? l->peer.keys.local : l->peer.keys.session;
    if (f->integrity == TW_INTEGRITY_CRC32)
        return tw_frame_crc_matches(f) ||
               (w->quirks & TW_DEVICE_ZERO_CRC && w->version == TW_V31 && memcmp(f->check.data, "\0\0\0", 4) == 0);
    if (f->integrity == TW_INTEGRITY_HMAC) {
        oracle_hmac(proof, key, raw, covered);
        return memcmp(proof, f->check.data, 32) == 0;
    }
    return f->body.len <= ROOM &&
           oracle_gcm_open(bytes, f->check.data, key, f->nonce.data, raw + 4, 14, f->body.data, f->body.len);
}

/* What the device sent since the last look: sealed well, numbered well, and not more than it owes. */
static void look_at_output(struct world *w, struct line *l)
{
    struct tw_span out = tw_device_output(l->device);
    CHECK(out.len >= l->unsent && out.len <= OUTPUT_MAX);
    wire_clear(&wire);
    if (out.len > l->unsent) {
        fuzz_carried((unsigned)(l - w->lines), false, out.data + l->unsent, out.len - l->unsent);
        wire_read(&wire, &l->peer.keys, (unsigned)w->version, false, out.data + l->unsent, out.len - l->unsent);
    }
    for (size_t i = 0; i < wire.n; i++) {
        const struct wire_frame *f = &wire.frames[i];
        CHECK(f->kind != WIRE_JUNK && f->intact);
        if (f->command == TW_CMD_SESS_KEY_NEG_RESP && l->peer.negotiates) {
            size_t at = f->kind == WIRE_6699 ? 4 : 0;
            CHECK(f->plain_len == at + TW_SESSION_RESP_LEN);
            memcpy(l->peer.keys.device_nonce, f->plain + at, 16);
        }
        if (!tw_version_traits(w->version)->seq_echo) {
            CHECK(!l->has_device_seq || f->seq == l->device_seq + 1);
            l->has_device_seq = true;
            l->device_seq = f->seq;
        }
        tell(w, (uint64_t)f->seq << 32 | f->command);
        tell(w, f->plain_len);
    }
    if (wire.n < WIRE_FRAMES_MAX) {
        CHECK(wire.n == l->owed);
        l->owed = 0;
    } else {
        l->owed -= wire.n;
    }
    l->unsent = out.len;
    if (!l->reads)
        return;
    size_t first = out.len / 2; /* the network takes what it likes */
    tw_device_sent(l->device, first);
    CHECK(tw_device_output(l->device).len == out.len - first);
    tw_device_sent(l->device, out.len - first);
    CHECK(tw_device_output(l->device).len == 0);
    l->unsent = 0;
}

/* One frame was added, or there is a reason why not. */
static void added(struct line *l, int rc)
{
    CHECK(rc == TW_OK || rc == TW_E_CAPACITY || rc == TW_E_STATE || rc == TW_E_TOO_LARGE ||
          rc == tw_device_error(l->device));
    l->owed += rc == TW_OK;
}

static void push(struct world *w, struct line *l, struct tw_span dps)
{
    static char text[ROOM];
    struct tw_text t = {text, sizeof text, 0, false};
    struct tw_body_ids ids = {.id = {(const uint8_t *)fuzz_device_id, 22}, .t = 1700000000};
    bool ready = tw_device_ready(l->device);
    if (tw_body_status(&t, w->version, &ids, dps, (uint32_t)w->pushes) != TW_OK)
        return;
    int rc = tw_device_status(l->device, (uint32_t)++w->pushes, (struct tw_span){(const uint8_t *)text, t.len});
    CHECK(rc != TW_OK || ready);
    added(l, rc);
}

/* Bodies of queries are remembered, since clients ask the same again and again. */
static bool is_what_was_sent(const struct tw_body *b, struct tw_span payload)
{
    struct tw_body fresh;
    return tw_body_parse(&fresh, payload) == TW_OK && b->json.len == fresh.json.len &&
           memcmp(b->json.data, fresh.json.data, fresh.json.len) == 0;
}

/* The application: a plug that agrees to everything. */
static void serve(struct world *w, struct line *l, const struct tw_device_event *ev)
{
    static const char all[] = "{\"devId\":\"fake0000000000000000id\",\"dps\":{\"1\":true,\"9\":0,\"18\":512}}";
    uint32_t command = ev->message.command, seq = ev->message.seq;
    switch (ev->type) {
    case TW_DEVICE_QUERY:
    case TW_DEVICE_EXT_STREAM:
        CHECK(ev->type != TW_DEVICE_QUERY || (ev->opened && is_what_was_sent(&ev->body, ev->message.payload)));
        added(l, tw_device_reply(l->device, command, seq, (struct tw_span){(const uint8_t *)all, sizeof all - 1}));
        break;
    case TW_DEVICE_CONTROL:
    case TW_DEVICE_NULL_QUERY:
        CHECK(ev->body.dps.len >= 2 && tw_json_check(ev->body.dps) == TW_OK);
        added(l, tw_device_ack(l->device, command, seq, 0));
        push(w, l, ev->body.dps);
        break;
    case TW_DEVICE_REFRESH: added(l, tw_device_ack(l->device, command, seq, 0)); break;
    default: break;
    }
}

static void on_event(struct world *w, struct line *l, const struct tw_device_event *ev)
{
    CHECK(!l->closing);
    if (ev->type == TW_DEVICE_CLOSING) {
        CHECK(ev->error != TW_OK && tw_device_error(l->device) == ev->error);
        l->closing = true;
        if (ev->error == TW_E_INTEGRITY)
            fuzz_gate(false);
        tell(w, 0xc105000000000000u | (uint32_t)ev->error);
        return;
    }
    /* 3.4 and 3.5 close when bytes that are no frame are not followed by one at once, as TuyaOpen does. */
    cut_matters |= l->peer.negotiates && ev->type == TW_DEVICE_DAMAGED;
    if (ev->type == TW_DEVICE_DAMAGED) { /* how much of it is told at once depends on the cut */
        CHECK(ev->error != TW_OK && !ev->has_answer);
        fuzz_gate(false);
        return;
    }
    CHECK(ev->message.seq == ev->frame.seq && ev->message.command == ev->frame.command);
    bool authentic = ev->frame.raw.len > 0 && is_authentic(w, l, &ev->frame);
    fuzz_gate(authentic);
    bool quirk = (w->quirks & TW_DEVICE_VENDOR_HEARTBEAT) != 0 && ev->type == TW_DEVICE_HEARTBEAT;
    /* 3.3 and older refuse the START of a 3.4 client, whose HMAC they take for a wrong CRC (spec section 4.5). */
    bool foreign_start = !l->peer.negotiates && ev->type == TW_DEVICE_REFUSED && ev->error == TW_E_INTEGRITY &&
                         ev->frame.command == TW_CMD_SESS_KEY_NEG_START;
    bool ignored = ev->type == TW_DEVICE_REFUSED && ev->error == TW_E_HS_WRONG_CMD && !ev->has_answer; /* RESP */
    CHECK(authentic || quirk || foreign_start || ignored);
    CHECK(!l->peer.negotiates || l->established || ev->type == TW_DEVICE_HANDSHAKE || ev->type == TW_DEVICE_REFUSED ||
          ev->type == TW_DEVICE_UNKNOWN);
    if (w->version == TW_V35 || (w->version == TW_V34 && !l->established)) {
        CHECK(ev->frame.seq > l->last_seq);
        l->last_seq = ev->frame.seq;
    }
    l->acted = true;
    tell(w, (uint64_t)ev->type << 56 | (uint64_t)(uint32_t)ev->error << 32 | ev->frame.seq);
    tell(w, ev->frame.command);
    if (ev->opened && ev->message.payload.len > 0)
        tell(w, fuzz_hash(ev->message.payload.data, ev->message.payload.len));
    if (ev->type == TW_DEVICE_HANDSHAKE && ev->frame.command == TW_CMD_SESS_KEY_NEG_START)
        memcpy(l->peer.keys.client_nonce, ev->message.payload.data, 16);
    if (ev->has_answer && w->manual)
        added(l, tw_device_answer(l->device, ev));
    if (ev->type == TW_DEVICE_HANDSHAKE && ev->frame.command == TW_CMD_SESS_KEY_NEG_FINISH) {
        oracle_session_key(l->peer.keys.session, w->version == TW_V35, fuzz_local_key, l->peer.keys.client_nonce,
                           l->peer.keys.device_nonce);
        l->established = l->peer.established =
            !(w->quirks & TW_DEVICE_VENDOR_KEY_ZERO) || l->peer.keys.session[0] != 0;
        fuzz_keep_secret(l->peer.keys.session);
    }
    serve(w, l, ev);
}

static size_t frames_in(struct tw_span out, size_t from)
{
    size_t n = 0;
    for (size_t at = from; out.len - at >= 18; n++) { /* whole frames of our own: their length fields are good */
        const uint8_t *p = out.data + at;
        size_t length_at = p[2] == 0x66 ? 14 : 12;
        size_t length = (size_t)p[length_at + 2] << 8 | p[length_at + 3];
        at += length_at + 4 + length + (p[2] == 0x66 ? 4 : 0);
    }
    return n;
}

static void drain(struct world *w, struct line *l)
{
    struct tw_device_event ev;
    for (;;) {
        size_t at = tw_device_output(l->device).len;
        if (tw_device_next_event(l->device, &ev) != 1)
            break;
        size_t by_itself = frames_in(tw_device_output(l->device), at);
        CHECK(by_itself <= (ev.has_answer && !w->manual ? 1u : 0u));
        l->owed += by_itself;
        on_event(w, l, &ev);
        look_at_output(w, l);
    }
    look_at_output(w, l);
}

static void deliver(struct world *w, struct line *l, const uint8_t *data, size_t len)
{
    if (l->device == NULL)
        open_line(w, l);
    fuzz_carried((unsigned)(l - w->lines), true, data, len);
    for (size_t at = 0; at < len;) {
        size_t piece = w->cut ? 1 + fuzz_rng_below(&w->cuts, 24) : len;
        if (piece > len - at)
            piece = len - at;
        bool over = l->closing;
        uint64_t deadline = tw_device_deadline(l->device);
        l->acted = false;
        int rc = tw_device_feed(l->device, data + at, piece, w->now);
        CHECK(!over || rc == tw_device_error(l->device));
        drain(w, l);
        /* Who does not know the key cannot keep a connection open. */
        CHECK(l->acted || tw_device_error(l->device) != TW_OK || tw_device_deadline(l->device) <= deadline);
        at += piece;
    }
}

static void tick(struct world *w, uint64_t ms)
{
    w->now += ms;
    for (int i = 0; i < CONNECTIONS; i++) {
        struct line *l = &w->lines[i];
        if (l->device == NULL)
            continue;
        bool due = tw_device_deadline(l->device) <= w->now;
        int rc = tw_device_tick(l->device, w->now);
        CHECK(!due || l->closing || rc != TW_OK || tw_device_deadline(l->device) > w->now);
        drain(w, l);
    }
}

static void act(struct world *w, struct line *l, const struct tape_record *t)
{
    struct tw_message m;
    if (l->device == NULL)
        open_line(w, l);
    uint8_t which = t->len > 0 ? t->data[0] : 0, more = t->len > 1 ? t->data[1] : 0;
    switch (which % 5) {
    case 0: tw_device_close(l->device, TW_E_CLOSED); break;
    case 1: added(l, tw_device_refuse(l->device, TW_CMD_DP_QUERY, more, TW_TEXT_JSON_OBJ)); break;
    case 2:
        tw_device_message_init(l->device, &m, more, 7, (which & 0x40) != 0);
        m.payload = (struct tw_span){t->data + 2, t->len > 2 ? t->len - 2 : 0};
        if (tw_command_is_handshake(more))
            break;
        added(l, tw_device_send(l->device, &m, which & 0x20 ? TW_DEVICE_PAD_EMPTY : 0));
        break;
    case 3: l->reads = !l->reads; break;
    default: {
        uint64_t deadline = tw_device_deadline(l->device);
        if (deadline != UINT64_MAX && deadline > w->now)
            tick(w, deadline - w->now);
    }
    }
    if (l->device != NULL)
        drain(w, l);
}

static void honest_step(struct world *w, struct line *l)
{
    uint8_t nonce[16];
    if (l->device == NULL)
        open_line(w, l);
    if (!l->peer.negotiates)
        return;
    static uint8_t frame[PEER_FRAME_MAX];
    size_t len;
    if (l->handshake_step++ % 2 == 0) {
        memset(nonce, l->handshake_step, sizeof nonce);
        struct wire_keys keys = l->peer.keys; /* the peer's nonce becomes the device's only when START is accepted */
        len = peer_start(&l->peer, nonce, frame, sizeof frame);
        l->peer.keys = keys;
    } else {
        struct peer p = l->peer;
        len = peer_finish(&p, frame, sizeof frame);
        l->peer.client_seq = p.client_seq;
        l->peer.nonces = p.nonces;
    }
    deliver(w, l, frame, len);
}

static void step(struct world *w, const struct tape_record *t)
{
    struct line *l = &w->lines[t->connection % CONNECTIONS];
    static uint8_t frame[2 * PEER_FRAME_MAX];
    switch (t->operation) {
    case TAPE_TO: deliver(w, l, t->data, t->len); break;
    case TAPE_MESSAGE:
        if (l->device == NULL)
            open_line(w, l);
        if (t->len >= 2) {
            size_t len =
                peer_seal(&l->peer, true, t->data[0], t->data[1], t->data + 2, t->len - 2, frame, sizeof frame);
            deliver(w, l, frame, len);
        }
        break;
    case TAPE_TIME: tick(w, t->len >= 2 ? (uint64_t)t->data[0] << 8 | t->data[1] : 20); break;
    case TAPE_CONNECT: open_line(w, l); break;
    case TAPE_CLOSE:
        tw_device_free(l->device);
        *l = (struct line){0};
        break;
    case TAPE_DPS:
        if (l->device != NULL && tw_json_check((struct tw_span){t->data, t->len}) == TW_OK) {
            push(w, l, (struct tw_span){t->data, t->len});
            drain(w, l);
        }
        break;
    case TAPE_HANDSHAKE: honest_step(w, l); break;
    case TAPE_ACT: act(w, l, t); break;
    default: break;
    }
}

/* Play the tape, with bytes arriving whole or cut. @return what happened, folded into a number */
static uint64_t play(const uint8_t *data, size_t size, uint64_t cuts)
{
    uint8_t context = data[0];
    struct world w = {.version = (enum tw_version)fuzz_context_version(context),
                      .manual = (context & CONTEXT_MANUAL) != 0,
                      .cut = cuts != 0,
                      .cuts = {cuts}};
    w.quirks = (context & CONTEXT_VENDOR ? TW_DEVICE_VENDOR & ~(unsigned)TW_DEVICE_VENDOR_READ : 0u) |
               (context & CONTEXT_VENDOR_READ ? TW_DEVICE_VENDOR_READ : 0u) |
               (context & CONTEXT_KEY_ZERO ? TW_DEVICE_KEY_ZERO : 0u) |
               (context & CONTEXT_ZERO_CRC ? TW_DEVICE_ZERO_CRC : 0u);
    w.host = hosts[w.manual];
    fuzz_gates.version = (unsigned)w.version;
    randomness = 0;
    struct tape tape = {data + 1, size - 1, 0};
    struct tape_record t;
    for (int n = 0; n < STEPS_MAX && tape_next(&t, &tape); n++)
        step(&w, &t);
    for (int i = 0; i < CONNECTIONS; i++)
        tw_device_free(w.lines[i].device);
    fuzz_keep_secret(NULL);
    return w.fold;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (crypto == NULL) {
        CHECK(tw_crypto_new(&crypto, 8) == TW_OK);
        struct tw_device_host_config cfg = {
            .crypto = crypto, .random = fuzz_random, .random_ctx = &randomness, .max_output = OUTPUT_MAX};
        CHECK(tw_device_host_new(&hosts[0], &cfg) == TW_OK);
        cfg.manual = true;
        CHECK(tw_device_host_new(&hosts[1], &cfg) == TW_OK);
    }
    cut_matters = (data[0] & CONTEXT_VENDOR_READ) != 0; /* a quirk about the size of the first piece */
    uint64_t whole = play(data, size, 0), cut = play(data, size, fuzz_hash(data, size) | 1);
    CHECK(cut == whole || cut_matters);
    return 0;
}
