/* observer.c - who listens in loses nothing, invents nothing, and does not care how TCP cut the stream.
 *
 * Reaches: all of tuyawire/observer.h. Input: a tape (common/tape.h). TO and FROM are bytes of either direction; MESSAGE
 * (an odd connection: from the device) and HANDSHAKE are two honest ends talking; TIME is a gap in the capture of so
 * many bytes; CLOSE ends a direction; CONNECT is another connection; ACT gives hints. */
#include "common/fuzz.h"
#include <string.h>
#include "common/oracle.h"
#include "common/peer.h"
#include "common/tape.h"
#include "tuyawire/dps.h"
#include "tuyawire/observer.h"

const struct fuzz_harness fuzz_harness = {
    .name = "observer",
    .claim = "any cut of a connection gives the same messages, what is called good is authentic, and an undamaged "
             "conversation is understood completely",
    .form = FUZZ_TAPE,
    .context_len = 1,
};

enum { STEPS_MAX = 96, ROOM = 1 << 17, FRAME_ROOM = 2 * PEER_FRAME_MAX };
enum { CONTEXT_UNKNOWN_ROLES = 0x08, CONTEXT_MIXED = 0x10, CONTEXT_NO_KEYS = 0x20, CONTEXT_KEY_LOG = 0x40 };

static tw_keyring *rings[3]; /* keys; none; keys and a key log */
static uint8_t frame[FRAME_ROOM], scratch[ROOM];
static bool cut_matters; /* TLS is told by its first bytes, and only if they come in one piece */
static const uint8_t logged_nonce[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const uint8_t logged_key[16] = {0x6f, 0x45, 0x16, 0xb6, 0x4d, 0x02, 0x74, 0x88,
                                       0xc7, 0xad, 0x44, 0x38, 0x37, 0xbc, 0xd0, 0x1a};

struct expected { /* of the conversation of two honest ends: the next event of this direction */
    bool due;
    uint32_t command;
    struct tw_span payload;
};

struct world {
    tw_observer *observer;
    struct peer peer;
    enum tw_version version;
    uint8_t context;
    int handshake_step;
    bool clean; /* both ends were honest, and nothing is missing or damaged so far */
    bool told;  /* the message that was due came */
    struct expected expected;
    struct wire_keys seen; /* keys as the events themselves tell them */
    uint64_t fed[2], accounted[2], fold[2], skipped[2];
    struct fuzz_rng cuts;
    bool cut;
};

static void tell(struct world *w, int way, uint64_t fact)
{
    w->fold[way] = fuzz_rng_next(&(struct fuzz_rng){w->fold[way] ^ fact});
}

static void tell_skipped(struct world *w, int way)
{
    if (w->skipped[way] > 0)
        tell(w, way, 0x5000000000000000u | w->skipped[way]);
    w->skipped[way] = 0;
}

static void connect_ends(struct world *w)
{
    enum tw_observer_roles roles = w->context & CONTEXT_MIXED           ? TW_ROLES_MIXED
                                   : w->context & CONTEXT_UNKNOWN_ROLES ? TW_ROLES_UNKNOWN
                                                                        : TW_ROLES_KNOWN;
    fuzz_connected(0);
    tw_observer_free(w->observer);
    CHECK(tw_observer_new(&w->observer,
                          rings[w->context & CONTEXT_NO_KEYS   ? 1
                                : w->context & CONTEXT_KEY_LOG ? 2
                                                               : 0],
                          roles) == TW_OK);
    peer_init(&w->peer, (unsigned)w->version);
    w->handshake_step = 0;
    w->clean = roles == TW_ROLES_KNOWN && !(w->context & CONTEXT_NO_KEYS);
    wire_keys_init(&w->seen, FUZZ_KEYS_CONNECTION, (unsigned)w->version);
    memset(w->fed, 0, sizeof w->fed);
    memset(w->accounted, 0, sizeof w->accounted);
}

static bool is_authentic_under(const struct tw_frame *f, const uint8_t *key)
{
    uint8_t proof[32];
    const uint8_t *raw = f->raw.data;
    if (f->integrity == TW_INTEGRITY_HMAC) {
        oracle_hmac(proof, key, raw, (size_t)(f->check.data - raw));
        return memcmp(proof, f->check.data, 32) == 0;
    }
    return oracle_gcm_open(scratch, f->check.data, key, f->nonce.data, raw + 4, 14, f->body.data, f->body.len);
}

/* Several handshakes may pass by: the observer says which key it was, and other arithmetic agrees. */
static bool is_authentic(const struct tw_observed *ev)
{
    if (ev->frame.integrity == TW_INTEGRITY_CRC32)
        return tw_frame_crc_matches(&ev->frame);
    /* Proved, but malformed inside: then its key is not told, and there is nothing to hold against. */
    return ev->key != NULL ? is_authentic_under(&ev->frame, ev->key) : ev->error != TW_OK;
}

/* Follow the handshake by what the events say, with other arithmetic. */
static void follow(struct world *w, const struct tw_observed *ev)
{
    const struct tw_message *m = &ev->message;
    if (m->command == TW_CMD_SESS_KEY_NEG_START && m->payload.len >= 16)
        memcpy(w->seen.client_nonce, m->payload.data, 16);
    if (m->command == TW_CMD_SESS_KEY_NEG_RESP && m->payload.len >= 16)
        memcpy(w->seen.device_nonce, m->payload.data, 16);
    if (!tw_command_is_handshake(m->command))
        return;
    uint8_t key[16];
    oracle_session_key(key, ev->frame.integrity == TW_INTEGRITY_GCM, w->seen.local, w->seen.client_nonce,
                       w->seen.device_nonce);
    memcpy(w->seen.session, key, 16);
    if (ev->session != NULL && w->clean)
        CHECK(memcmp(ev->session->key, w->seen.session, 16) == 0);
}

static void on_event(struct world *w, int way, const struct tw_observed *ev)
{
    CHECK(ev->skipped == 0 || !ev->has_frame || ev->error != TW_OK);
    if (!ev->has_frame) {
        CHECK(ev->error != TW_OK);
        cut_matters |= ev->why == TW_WHY_TLS;
        w->accounted[way] += ev->skipped;
        if (ev->why == TW_WHY_SKIPPED) {
            w->skipped[way] += ev->skipped; /* how many events they make depends on the cut */
            return;
        }
        tell_skipped(w, way);
        tell(w, way, (uint64_t)ev->why << 32 | (uint32_t)ev->error);
        tell(w, way, ev->missing);
        return;
    }
    w->accounted[way] += ev->frame.raw.len;
    tell_skipped(w, way);
    tell(w, way, (uint64_t)ev->why << 32 | (uint32_t)ev->error);
    tell(w, way, (uint64_t)ev->message.seq << 32 | ev->message.command);
    fuzz_gate(ev->checked == TW_CHECK_OK);
    if (ev->checked == TW_CHECK_OK)
        CHECK(is_authentic(ev));
    if (ev->error != TW_OK)
        return;
    const struct tw_message *m = &ev->message;
    CHECK(ev->checked == TW_CHECK_OK);
    tell(w, way, m->payload.len > 0 ? fuzz_hash(m->payload.data, m->payload.len) : m->version);
    follow(w, ev);
    if (w->expected.due && w->clean) {
        CHECK(m->command == w->expected.command && m->payload.len == w->expected.payload.len);
        CHECK(m->payload.len == 0 || memcmp(m->payload.data, w->expected.payload.data, m->payload.len) == 0);
        w->told = true;
    }
}

static void drain(struct world *w, int way)
{
    struct tw_observed ev;
    int rc;
    while ((rc = tw_observer_next(w->observer, &ev)) == 1)
        on_event(w, way, &ev);
    CHECK(rc == 0);
    CHECK(tw_observer_memory(w->observer) <= 4 * (TW_FRAME_LENGTH_MAX + 4096));
}

static enum tw_direction direction(const struct world *w, int way)
{
    return way == 0 || w->context & CONTEXT_MIXED ? TW_TO_DEVICE : TW_FROM_DEVICE;
}

static void deliver(struct world *w, int way, const uint8_t *data, size_t len)
{
    if (w->context & CONTEXT_MIXED)
        way = 0;
    w->fed[way] += len;
    fuzz_carried(0, way == 0, data, len);
    for (size_t at = 0; at < len;) {
        size_t piece = w->cut ? 1 + fuzz_rng_below(&w->cuts, 24) : len;
        if (piece > len - at)
            piece = len - at;
        CHECK(tw_observer_feed(w->observer, direction(w, way), data + at, piece) == TW_OK);
        drain(w, way);
        at += piece;
    }
}

/* What an honest end says must be heard. */
static void say(struct world *w, int way, uint32_t command, const uint8_t *payload, size_t payload_len, size_t len)
{
    w->expected = (struct expected){true, command, {payload, payload_len}};
    w->told = false;
    deliver(w, way, frame, len);
    CHECK(w->told || !w->clean);
    w->expected.due = false;
}

static void message(struct world *w, const struct tape_record *t)
{
    if (t->len < 2)
        return;
    int way = t->connection % 2;
    uint8_t command = t->data[0], flags = t->data[1];
    struct tw_span payload = {t->data + 2, t->len - 2};
    bool is_json = payload.len > 1 && payload.data[0] == '{' && tw_json_check(payload) == TW_OK;
    bool usual = is_json && !tw_command_is_handshake(command) && !(flags & ~(TAPE_SEQ_STEP | TAPE_RETCODE)) &&
                 (w->peer.established || !w->peer.negotiates);
    w->clean = w->clean && usual;
    size_t len = peer_seal(&w->peer, way == 0, command, flags, payload.data, payload.len, frame, sizeof frame);
    if (len > 0)
        say(w, way, command, payload.data, payload.len, len);
}

static void honest_step(struct world *w)
{
    uint8_t payload[48];
    if (!w->peer.negotiates)
        return;
    memset(payload, 0x30 + w->handshake_step, 16);
    switch (w->handshake_step++ % 3) { /* and again, as clients do that retry */
    case 0:
        say(w, 0, TW_CMD_SESS_KEY_NEG_START, payload, 16, peer_start(&w->peer, payload, frame, sizeof frame));
        break;
    case 1:
        oracle_hmac(payload + 16, w->peer.keys.local, w->peer.keys.client_nonce, 16);
        say(w, 1, TW_CMD_SESS_KEY_NEG_RESP, payload, 48, peer_resp(&w->peer, payload, frame, sizeof frame));
        break;
    default:
        oracle_hmac(payload, w->peer.keys.local, w->peer.keys.device_nonce, 16);
        say(w, 0, TW_CMD_SESS_KEY_NEG_FINISH, payload, 32, peer_finish(&w->peer, frame, sizeof frame));
    }
}

static void end(struct world *w, int way)
{
    if (w->context & CONTEXT_MIXED)
        way = 0;
    CHECK(tw_observer_end(w->observer, direction(w, way)) == TW_OK);
    drain(w, way);
    tell_skipped(w, way);
}

static void step(struct world *w, const struct tape_record *t)
{
    int way = w->context & CONTEXT_MIXED ? 0 : t->connection % 2;
    switch (t->operation) {
    case TAPE_TO:
    case TAPE_FROM:
        w->clean = false;
        deliver(w, t->operation == TAPE_FROM, t->data, t->len);
        break;
    case TAPE_MESSAGE: message(w, t); break;
    case TAPE_HANDSHAKE: honest_step(w); break;
    case TAPE_TIME: {
        size_t missing = t->len >= 2 ? (size_t)t->data[0] << 8 | t->data[1] : 0;
        w->clean = false;
        fuzz_carried(0, way == 0, NULL, missing);
        CHECK(tw_observer_gap(w->observer, direction(w, way), missing) == TW_OK);
        drain(w, way);
        break;
    }
    case TAPE_CLOSE:
        w->clean = false;
        end(w, way);
        break;
    case TAPE_CONNECT:
        end(w, 0);
        end(w, 1);
        connect_ends(w);
        break;
    case TAPE_ACT: {
        enum tw_version v = (enum tw_version)((t->len > 0 ? t->data[0] : 0) % FUZZ_N_VERSIONS);
        w->clean = w->clean && v == w->version;
        tw_observer_hint(w->observer, t->len > 1 && t->data[1] < 2 ? t->data[1] : TW_NO_INDEX, &v);
        break;
    }
    default: break;
    }
}

static void play(uint64_t fold[2], const uint8_t *data, size_t size, uint64_t cuts)
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
    connect_ends(&w);
    for (int n = 0; n < STEPS_MAX && tape_next(&t, &tape); n++)
        step(&w, &t);
    end(&w, 0);
    end(&w, 1);
    CHECK(w.accounted[0] <= w.fed[0] && w.accounted[1] <= w.fed[1]);
    tw_observer_free(w.observer);
    fold[0] = w.fold[0];
    fold[1] = w.fold[1];
}

static tw_keyring *ring_new(bool keys, bool log)
{
    static const uint8_t other_key[16] = "#fake-LOCAL-key!";
    static const enum tw_version v33 = TW_V33;
    struct tw_session_secret secret = {.version = TW_V34};
    tw_keyring *k;
    memcpy(secret.client_nonce, logged_nonce, 16);
    memcpy(secret.key, logged_key, 16);
    CHECK(tw_keyring_new(&k) == TW_OK);
    if (keys) {
        CHECK(tw_keyring_add(k, other_key, (struct tw_span){(const uint8_t *)"other", 5}, &v33) == TW_OK);
        CHECK(tw_keyring_add(k, fuzz_local_key, (struct tw_span){(const uint8_t *)fuzz_device_id, 22}, NULL) ==
              TW_OK);
    }
    if (log)
        CHECK(tw_keyring_add_session(k, &secret) == TW_OK);
    return k;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t whole[2], cut[2];
    if (size < 1)
        return 0;
    if (rings[0] == NULL) {
        rings[0] = ring_new(true, false);
        rings[1] = ring_new(false, false);
        rings[2] = ring_new(true, true);
    }
    cut_matters = false;
    play(whole, data, size, 0);
    play(cut, data, size, fuzz_hash(data, size) | 1);
    CHECK(cut_matters || (whole[0] == cut[0] && whole[1] == cut[1]));
    return 0;
}
