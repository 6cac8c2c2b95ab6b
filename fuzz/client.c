/* client.c - a client believes its device only, answers each request once, and no cut of the stream changes what it
 * tells.
 *
 * Reaches: all of tuyawire/client.h. Input: a tape (common/tape.h). What the device sends comes from an honest peer
 * that can be told to misbehave (common/peer.h), or raw; ACT and DPS are the application's calls. HANDSHAKE is the
 * honest device's next step: RESP, later the answer to the last request. */
#include "common/fuzz.h"
#include <string.h>
#include "common/oracle.h"
#include "common/peer.h"
#include "common/tape.h"
#include "tuyawire/client.h"

const struct fuzz_harness fuzz_harness = {
    .name = "client",
    .claim = "a client acts on authentic frames only, ends each request once, and no cut of the stream changes what "
             "it tells",
    .form = FUZZ_TAPE,
    .context_len = 1,
};

enum { STEPS_MAX = 96, REQUESTS_MAX = 512, ROOM = 1 << 15, FRAME_ROOM = 2 * PEER_FRAME_MAX };
enum { CONTEXT_NO_RANDOM = 0x80 };
enum {
    SKIPPED_MAX = 9,
    BEATS_MAX = 2
}; /* at the ninth message that is no RESP, or when two stay unanswered, it gives up */
enum { CONTEXT_SOURCE = 0x08, CONTEXT_NULL_MAP = 0x10, CONTEXT_NO_HEARTBEAT = 0x20, CONTEXT_CID = 0x40 };

static tw_crypto *crypto;
static uint8_t frame[FRAME_ROOM], scratch[ROOM];
static struct wire wire;
static bool cut_matters; /* several frames came at once: what the client sends between them depends on the cut */

struct world {
    tw_client *client;
    struct peer peer; /* the device */
    enum tw_version version;
    uint8_t context;
    uint64_t now, fold, randomness;
    struct fuzz_rng cuts;
    bool cut, failed, established, saw_start, saw_finish;
    uint32_t client_seq;               /* of its last frame */
    uint32_t request_seq, request_cmd; /* of its last frame that asks for an answer */
    uint64_t believed, told;           /* frames under the right key, and events that stem from frames */
    uint32_t control_seq;              /* of the last CONTROL */
    unsigned in_time, shaking;         /* answers to it since the last look; messages in place of RESP */
    unsigned beats;                    /* heart beats of its own since the device was heard */
    bool app_beats;                    /* the application sends some, too */
    uint32_t highest;                  /* request number so far */
    bool ended[REQUESTS_MAX];
};

static void tell(struct world *w, uint64_t fact)
{
    w->fold = fuzz_rng_next(&(struct fuzz_rng){w->fold ^ fact});
}

static bool is_authentic(const struct world *w, struct tw_span raw, bool local)
{
    uint8_t proof[32];
    const uint8_t *key = local ? w->peer.keys.local : w->peer.keys.session;
    size_t len = raw.len;
    if (w->version == TW_V35)
        return len >= 50 && len <= ROOM &&
               oracle_gcm_open(scratch, raw.data + len - 20, key, raw.data + 18, raw.data + 4, 14, raw.data + 30,
                               len - 50);
    if (w->version == TW_V34) {
        oracle_hmac(proof, key, raw.data, len - 36);
        return memcmp(proof, raw.data + len - 36, 32) == 0;
    }
    const uint8_t *c = raw.data + len - 8;
    return oracle_crc32(raw.data, len - 8) ==
           ((uint32_t)c[0] << 24 | (uint32_t)c[1] << 16 | (uint32_t)c[2] << 8 | c[3]);
}

/* The engine shows each frame as it goes by: what it opened must have been meant for it. */
static void on_frame(void *ctx, enum tw_direction dir, struct tw_span raw, const struct tw_message *m, int error)
{
    struct world *w = ctx;
    CHECK((m != NULL) == (error == TW_OK));
    if (dir == TW_TO_DEVICE) {
        CHECK(m != NULL);
        if (m->command == TW_CMD_CONTROL)
            w->control_seq = m->seq;
        w->beats += m->command == TW_CMD_HEART_BEAT;
        CHECK(w->beats <= BEATS_MAX || w->app_beats);
        return;
    }
    fuzz_gate(m != NULL);
    if (m == NULL)
        return;
    w->beats = 0;
    w->in_time += m->command == TW_CMD_CONTROL && (m->seq == 0 || m->seq >= w->control_seq);
    w->shaking += !tw_client_is_established(w->client) && m->command != TW_CMD_SESS_KEY_NEG_RESP;
    CHECK(w->shaking <= SKIPPED_MAX);
    if (m->command == TW_CMD_SESS_KEY_NEG_RESP && !w->established && m->payload.len >= 16)
        memcpy(w->peer.keys.device_nonce, m->payload.data, 16);
    if (is_authentic(w, raw, !w->established || tw_command_is_handshake(m->command)))
        w->believed++;
    else
        CHECK(is_authentic(w, raw, true) ||
              is_authentic(w, raw, false)); /* the other key (spec section 4.8): shown only */
}

/* The system runs out of randomness after some bytes. */
static int failing_random(void *ctx, uint8_t *buf, size_t len)
{
    uint64_t *counter = ctx;
    return *counter > 60 ? -1 : fuzz_random(ctx, buf, len);
}

static void connect_client(struct world *w)
{
    struct tw_client_config cfg;
    fuzz_connected(0);
    tw_client_free(w->client);
    w->client = NULL;
    w->failed = w->established = w->saw_start = w->saw_finish = false;
    w->client_seq = w->highest = w->control_seq = w->shaking = w->beats = 0;
    w->app_beats = false;
    memset(w->ended, 0, sizeof w->ended);
    peer_init(&w->peer, (unsigned)w->version);
    tw_client_config_init(&cfg);
    cfg.version = w->version;
    cfg.device_id = (struct tw_span){(const uint8_t *)fuzz_device_id, 22};
    if (w->context & CONTEXT_CID)
        cfg.cid = (struct tw_span){(const uint8_t *)"a4c1380000000001", 16};
    memcpy(cfg.local_key, fuzz_local_key, 16);
    cfg.crypto = crypto;
    cfg.random = w->context & CONTEXT_NO_RANDOM ? failing_random : fuzz_random;
    cfg.random_ctx = &w->randomness;
    cfg.unix_time = 1700000000;
    cfg.source = w->context & CONTEXT_SOURCE ? 0x1f645 : 0;
    cfg.null_map = (w->context & CONTEXT_NULL_MAP) != 0;
    if (w->context & CONTEXT_NO_HEARTBEAT)
        cfg.heartbeat_ms = 0;
    cfg.on_frame = on_frame;
    cfg.on_frame_ctx = w;
    CHECK(tw_client_new(&w->client, &cfg) == TW_OK);
    CHECK(tw_client_start(w->client, w->now) == TW_OK || w->context & CONTEXT_NO_RANDOM);
}

/* What the client sends: sealed well, in order, small enough, and nothing but the handshake before it is over. */
static void look_at_output(struct world *w)
{
    struct tw_span out = tw_client_output(w->client);
    struct wire_keys keys = w->peer.keys;
    bool was_established = w->established;
    keys.follow = true; /* FINISH may stand before requests under the new key */
    fuzz_carried(0, true, out.data, out.len);
    wire_clear(&wire);
    wire_read(&wire, &keys, (unsigned)w->version, true, out.data, out.len);
    for (size_t i = 0; i < wire.n && wire.n < WIRE_FRAMES_MAX; i++) {
        const struct wire_frame *f = &wire.frames[i];
        bool handshake = tw_command_is_handshake(f->command);
        CHECK(f->kind != WIRE_JUNK && f->intact);
        CHECK(w->client_seq == 0 || f->seq > w->client_seq);
        CHECK(!w->peer.negotiates || handshake || was_established || w->saw_finish);
        w->client_seq = f->seq;
        if (!handshake) {
            w->request_seq = f->seq;
            w->request_cmd = f->command;
        }
        if (f->command == TW_CMD_SESS_KEY_NEG_START) {
            CHECK(f->plain_len == 16 && !w->saw_start);
            memcpy(w->peer.keys.client_nonce, f->plain, 16);
            w->saw_start = true;
        }
        w->saw_finish |= f->command == TW_CMD_SESS_KEY_NEG_FINISH;
        tell(w, (uint64_t)f->seq << 32 | f->command);
        tell(w, f->plain_len > 0 ? fuzz_hash(f->plain, f->plain_len) : f->front_len);
    }
    if (w->saw_finish && !w->established) {
        memcpy(w->peer.keys.session, keys.session, 16);
        fuzz_keep_secret(keys.session);
        w->established = w->peer.established = true;
    }
    if (out.len > 1)
        tw_client_sent(w->client, out.len / 2);
    tw_client_sent(w->client, tw_client_output(w->client).len);
    CHECK(tw_client_output(w->client).len == 0);
}

static bool ends_request(const struct tw_client_event *ev)
{
    return ev->type == TW_CLIENT_REPLY || ev->type == TW_CLIENT_ACK || ev->type == TW_CLIENT_REFUSED ||
           ev->type == TW_CLIENT_TIMEOUT || (ev->type == TW_CLIENT_STATUS && ev->request != 0);
}

static void drain(struct world *w)
{
    struct tw_client_event ev;
    look_at_output(w);
    while (tw_client_next_event(w->client, &ev) == 1) {
        CHECK(!w->failed);
        CHECK(ev.request <= w->highest);
        w->told += ev.type != TW_CLIENT_ESTABLISHED && ev.type != TW_CLIENT_TIMEOUT && ev.type != TW_CLIENT_FAILED;
        CHECK(w->told <= w->believed);
        if (ends_request(&ev) && ev.request > 0 && ev.request < REQUESTS_MAX) {
            CHECK(!w->ended[ev.request]);
            w->ended[ev.request] = true;
            /* Where numbers are echoed, a late answer to an earlier request is none to this one. */
            if (ev.command == TW_CMD_CONTROL && ev.type != TW_CLIENT_TIMEOUT &&
                tw_version_traits(w->version)->seq_echo)
                CHECK(w->in_time-- > 0);
        }
        if (ev.type == TW_CLIENT_FAILED) {
            CHECK(ev.error != TW_OK && tw_client_error(w->client) == ev.error);
            w->failed = true;
        }
        if (ev.type == TW_CLIENT_REPLY)
            CHECK(ev.body.json.len >= 2);
        tell(w, (uint64_t)ev.type << 56 | (uint64_t)(uint32_t)ev.error << 32 | ev.request);
        tell(w, (uint64_t)ev.command << 32 | ev.seq);
        tell(w, ev.payload.len > 0 ? fuzz_hash(ev.payload.data, ev.payload.len) : ev.return_code);
    }
    w->in_time = 0;
    look_at_output(w);
    CHECK(w->failed == (tw_client_error(w->client) != TW_OK));
}

static void deliver(struct world *w, const uint8_t *data, size_t len)
{
    struct wire_keys keys = w->peer.keys;
    wire_clear(&wire);
    wire_read(&wire, &keys, (unsigned)w->version, false, data, len);
    cut_matters |= wire.n > 1;
    fuzz_carried(0, false, data, len);
    for (size_t at = 0; at < len;) {
        size_t piece = w->cut ? 1 + fuzz_rng_below(&w->cuts, 24) : len;
        if (piece > len - at)
            piece = len - at;
        bool over = w->failed;
        int rc = tw_client_feed(w->client, data + at, piece, w->now);
        CHECK(!over || rc == tw_client_error(w->client));
        drain(w);
        at += piece;
    }
}

static void tick(struct world *w, uint64_t ms)
{
    w->now += ms;
    int rc = tw_client_tick(w->client, w->now);
    CHECK(rc != TW_OK || tw_client_deadline(w->client) > w->now);
    drain(w);
}

/* The application asks for something. */
static void act(struct world *w, const struct tape_record *t)
{
    uint8_t which = t->len > 0 ? t->data[0] : 0;
    struct tw_span rest = {t->data + 1, t->len > 0 ? t->len - 1 : 0};
    const uint32_t ids[] = {1, 9, 18, 19, 20};
    uint32_t request = 0;
    int rc;
    w->app_beats |= which % 8 == 3 || which % 8 == 5;
    switch (which % 8) {
    case 0: rc = tw_client_query(w->client, w->now, &request); break;
    case 1: rc = tw_client_control(w->client, rest, w->now, &request); break;
    case 2: rc = tw_client_refresh(w->client, ids, 1 + which / 8 % 5, w->now, &request); break;
    case 3: rc = tw_client_heartbeat(w->client, w->now, &request); break;
    case 4: rc = tw_client_subdevices(w->client, w->now, &request); break;
    case 5: rc = tw_client_send(w->client, which / 8, rest, w->now, &request); break;
    case 6: rc = tw_client_query_dps(w->client, ids, 1 + which / 8 % 5, w->now, &request); break;
    default: {
        uint64_t deadline = tw_client_deadline(w->client);
        if (deadline != TW_CLIENT_NEVER && deadline > w->now)
            tick(w, deadline - w->now);
        return;
    }
    }
    CHECK(rc == TW_OK || rc == TW_E_CAPACITY || rc == TW_E_ARGUMENT || rc == TW_E_TOO_LARGE || rc == TW_E_JSON ||
          rc == TW_E_STATE || rc == tw_client_error(w->client));
    CHECK(rc != TW_OK || request != 0);
    if (rc == TW_OK) {
        CHECK(request > w->highest);
        w->highest = request;
    }
    drain(w);
}

/* The honest device: RESP, then an answer to what was asked last. */
static void honest_step(struct world *w)
{
    static const char dps[] = "{\"dps\":{\"1\":true,\"9\":0,\"18\":512,\"19\":1084,\"20\":2301}}";
    uint8_t nonce[16];
    size_t len;
    if (w->peer.negotiates && !w->established) {
        memset(nonce, (int)w->peer.nonces + 1, sizeof nonce);
        len = peer_resp(&w->peer, nonce, frame, sizeof frame);
    } else {
        bool has_body = w->request_cmd == TW_CMD_DP_QUERY || w->request_cmd == TW_CMD_DP_QUERY_NEW;
        if (tw_version_traits(w->version)->seq_echo)
            w->peer.device_seq = w->request_seq - 1;
        len = peer_seal(&w->peer, false, w->request_cmd, 0, (const uint8_t *)dps, has_body ? sizeof dps - 1 : 0,
                        frame, sizeof frame);
    }
    deliver(w, frame, len);
}

static void step(struct world *w, const struct tape_record *t)
{
    switch (t->operation) {
    case TAPE_FROM:
    case TAPE_TO: deliver(w, t->data, t->len); break;
    case TAPE_MESSAGE:
        if (t->len < 2)
            break;
        if (t->connection % 2 == 1) /* an answer to the last request, where numbers are echoed */
            w->peer.device_seq = w->request_seq - 1;
        deliver(w, frame,
                peer_seal(&w->peer, false, t->data[0], t->data[1], t->data + 2, t->len - 2, frame, sizeof frame));
        break;
    case TAPE_TIME: tick(w, t->len >= 2 ? (uint64_t)t->data[0] << 8 | t->data[1] : 20); break;
    case TAPE_CONNECT: connect_client(w); break;
    case TAPE_CLOSE:
        CHECK(tw_client_peer_closed(w->client) != TW_OK);
        drain(w);
        break;
    case TAPE_DPS: {
        uint32_t request = 0;
        int rc = tw_client_control(w->client, (struct tw_span){t->data, t->len}, w->now, &request);
        CHECK(rc != TW_OK || request != 0);
        w->highest = rc == TW_OK ? request : w->highest;
        drain(w);
        break;
    }
    case TAPE_HANDSHAKE: honest_step(w); break;
    case TAPE_ACT: act(w, t); break;
    default: break;
    }
}

static uint64_t play(const uint8_t *data, size_t size, uint64_t cuts)
{
    static struct world w;
    memset(&w, 0, sizeof w);
    w.context = data[0];
    w.version = (enum tw_version)fuzz_context_version(data[0]);
    fuzz_gates.version = (unsigned)w.version;
    w.cut = cuts != 0;
    w.cuts.state = cuts;
    struct tape tape = {data + 1, size - 1, 0};
    struct tape_record t;
    connect_client(&w);
    drain(&w);
    for (int n = 0; n < STEPS_MAX && tape_next(&t, &tape); n++)
        step(&w, &t);
    tw_client_free(w.client);
    fuzz_keep_secret(NULL);
    return w.fold;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (crypto == NULL)
        CHECK(tw_crypto_new(&crypto, 8) == TW_OK);
    cut_matters = false;
    uint64_t whole = play(data, size, 0), cut = play(data, size, fuzz_hash(data, size) | 1);
    CHECK(cut == whole || cut_matters);
    return 0;
}
