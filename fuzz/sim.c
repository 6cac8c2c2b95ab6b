/* sim.c - tuya-sim as a whole: whatever clients did, what it sends is sound, and the next client is served.
 *
 * Reaches: sim/ but for announcements, files and HTTP: accepting, finding the device, answers, faults, lines, journal,
 * plugs. Input: a tape (common/tape.h); the context chooses version, profile, whether the device is alone on its
 * port, and --fuzz. Clients are real sockets on loopback, up to three. DPS is the button on the plug, TIME moves the virtual clock,
 * ACT switches faults on ("0late_status:ms=20" or two bytes), presses, loads, restarts; raw bytes go TO the device. */
#define _DEFAULT_SOURCE /* pthread_rwlock_t in uv.h */
#include "common/fuzz.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/oracle.h"
#include "common/peer.h"
#include "common/tape.h"
#include "sim/server.h"
#include "tuyawire/tuyawire.h"

const struct fuzz_harness fuzz_harness = {
    .name = "sim",
    .claim = "whatever clients did, what the simulator sends is sound, and the next client is served",
    .form = FUZZ_TAPE,
    .context_len = 1,
};

enum { LINES = 3, STEPS_MAX = 48, ROOM = 1 << 17, PATIENCE_MS = 10000 };
enum { CONTEXT_FUZZED = 0x40, CONTEXT_AMONG_OTHERS = 0x80 };

/* A client. */
struct line {
    int fd;           /* -1: not connected */
    struct peer peer; /* its keys, numbers */
    enum { NEW, STARTED, ANSWERED, ESTABLISHED } handshake;
    bool strange; /* it said what no honest client says: which key is right is not known */
    bool has_device_seq;
    uint32_t device_seq, last_command;
    size_t have; /* bytes of its inbox: not yet a whole frame */
};

static struct world {
    enum tw_version version;
    uv_loop_t loop;
    struct fleet fleet;
    struct device *device;
    struct server *server;
    bool fuzzed; /* --fuzz */
    bool faulty; /* what it sends may be wrong, since it was asked to */
    size_t piece_max;
    struct fuzz_rng cuts;
    struct line lines[LINES];
} w;
static uint8_t inboxes[LINES][ROOM];
static struct wire wire;

/* ---- the simulation, new for each input ---- */

static void begin(uint8_t context)
{
    static const char *const profiles[] = {"energy-plug",        "basic-plug",    "bulb",
                                           "device22-plug",      "din-meter",     "power-strip",
                                           "energy-plug-legacy", "zigbee-gateway"};
    static const struct profile *known[8];
    struct why why;
    unsigned which = context >> 3 & 7;
    w.version = (enum tw_version)fuzz_context_version(context);
    CHECK(uv_loop_init(&w.loop) == 0 && fleet_init(&w.fleet, 1, 1700000000) == 0);
    CHECK(known[which] != NULL || profile_builtin(&known[which], profiles[which]) == 0);
    CHECK(fleet_add(&w.fleet, known[which], fuzz_device_id, NULL, fuzz_local_key, w.version, &why) == 0);
    if (context & CONTEXT_AMONG_OTHERS)
        for (int v = 0; v < TW_N_VERSIONS; v++) {
            const char id[] = {'o', 't', 'h', 'e', 'r', (char)('0' + v), '\0'};
            CHECK(fleet_add(&w.fleet, known[which], id, NULL, (const uint8_t *)"nobody has this!", (enum tw_version)v,
                            &why) == 0);
        }
    w.device = &w.fleet.devices[0];
    w.faulty = w.fuzzed = (context & CONTEXT_FUZZED) != 0;
    const struct server_config cfg = {.loop = &w.loop,
                                      .fuzz = {.on = w.fuzzed, .seed = 1, .rate = 500000},
                                      .fleet = &w.fleet,
                                      .listen = "127.0.0.1",
                                      .seed = 1,
                                      .virtual_clock = true,
                                      .epoch_s = 1700000000,
                                      .max_clients = -1,
                                      .idle_timeout_ms = -1,
                                      .journal_memory = true};
    CHECK(server_start(&w.server, &cfg, &why) == 0);
}

static void end(void)
{
    server_stop(w.server);
    for (int i = 0; i < 8 && !server_closed(w.server); i++)
        uv_run(&w.loop, UV_RUN_NOWAIT);
    CHECK(server_closed(w.server));
    server_free(w.server);
    uv_run(&w.loop, UV_RUN_NOWAIT);
    CHECK(uv_loop_close(&w.loop) == 0);
    fleet_free(&w.fleet);
}

/* ---- what comes back ---- */

static void check_body(const struct wire_frame *f)
{
    bool plain;
    size_t at = wire_json(f, &plain);
    const uint8_t *bytes = plain ? f->plain : f->front;
    size_t len = plain ? f->plain_len : f->front_len;
    if (len > at && bytes[at] == '{')
        CHECK(tw_json_check((struct tw_span){bytes + at, len - at}) == TW_OK);
}

static void take_resp(struct line *l, const struct wire_frame *f)
{
    uint8_t proof[32];
    size_t at = f->kind == WIRE_6699 ? 4 : 0;
    CHECK(l->handshake == STARTED && f->plain_len == at + 48);
    memcpy(l->peer.keys.device_nonce, f->plain + at, 16);
    oracle_hmac(proof, l->peer.keys.local, l->peer.keys.client_nonce, 16);
    CHECK(memcmp(proof, f->plain + at + 16, sizeof proof) == 0);
    l->handshake = ANSWERED;
}

static void take_frame(struct line *l, struct tw_span raw)
{
    wire_clear(&wire);
    wire_read(&wire, &l->peer.keys, (unsigned)w.version, false, raw.data, raw.len);
    const struct wire_frame *f = &wire.frames[0];
    l->last_command = f->command;
    if (w.faulty || l->strange)
        return;
    CHECK(wire.n == 1 && f->kind != WIRE_JUNK && f->intact);
    check_body(f);
    if (l->peer.negotiates) {
        CHECK(!l->has_device_seq || f->seq == l->device_seq + 1);
        l->has_device_seq = true;
        l->device_seq = f->seq;
    }
    if (f->command == TW_CMD_SESS_KEY_NEG_RESP)
        take_resp(l, f);
}

static void take_frames(struct line *l)
{
    const struct tw_frame_rules rules = {.integrity = tw_version_traits(w.version)->integrity,
                                         .direction = TW_FROM_DEVICE};
    uint8_t *inbox = inboxes[l - w.lines];
    size_t at = 0, used;
    for (struct tw_frame f; at < l->have; at += used) {
        int rc = tw_frame_parse(&f, &used, inbox + at, l->have - at, &rules);
        if (rc == TW_NEED_MORE)
            break;
        CHECK(rc == TW_OK || w.faulty || l->strange);
        if (rc == TW_OK)
            take_frame(l, f.raw);
    }
    memmove(inbox, inbox + at, l->have - at);
    l->have -= at;
}

static void hang_up(struct line *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

static void read_line(struct line *l)
{
    uint8_t *inbox = inboxes[l - w.lines];
    while (l->fd >= 0) {
        ssize_t n = recv(l->fd, inbox + l->have, ROOM - l->have, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            hang_up(l);
            return;
        }
        fuzz_carried((unsigned)(l - w.lines), false, inbox + l->have, (size_t)n);
        l->have += (size_t)n;
        take_frames(l);
    }
}

/* Loopback delivers at once: the simulator reads, answers, and pushes when its timer of no milliseconds is due. */
static void pump(void)
{
    for (int i = 0; i < 3; i++)
        uv_run(&w.loop, UV_RUN_NOWAIT);
    for (int i = 0; i < LINES; i++)
        read_line(&w.lines[i]);
}

/* ---- what clients do ---- */

/* libFuzzer's clock is a signal, and may come just then. */
static int connect_through_signals(int fd, const struct sockaddr_in *at)
{
    struct pollfd p = {fd, POLLOUT, 0};
    int error = 0;
    socklen_t len = sizeof error;
    if (connect(fd, (const struct sockaddr *)at, sizeof *at) == 0)
        return 0;
    if (errno != EINTR)
        return errno;
    while (poll(&p, 1, PATIENCE_MS) < 0)
        CHECK(errno == EINTR);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

static void dial(struct line *l)
{
    char host[64];
    struct sockaddr_in at = {.sin_family = AF_INET};
    const struct linger reset = {1, 0}; /* leave no address behind that has to wait */
    uint16_t port;
    hang_up(l);
    fuzz_connected((unsigned)(l - w.lines));
    *l = (struct line){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    peer_init(&l->peer, (unsigned)w.version);
    server_endpoint(w.server, w.device, host, &port);
    at.sin_port = htons(port);
    CHECK(l->fd >= 0 && inet_pton(AF_INET, host, &at.sin_addr) == 1);
    CHECK(setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
    CHECK(setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) == 0);
    CHECK(connect_through_signals(l->fd, &at) == 0);
    pump();
}

static void say(struct line *l, const uint8_t *data, size_t len)
{
    if (l->fd < 0)
        dial(l);
    for (size_t at = 0; at < len && l->fd >= 0;) {
        size_t piece = w.piece_max == 0 ? len : 1 + fuzz_rng_below(&w.cuts, w.piece_max);
        piece = piece < len - at ? piece : len - at;
        fuzz_carried((unsigned)(l - w.lines), true, data + at, piece);
        if (send(l->fd, data + at, piece, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)piece)
            hang_up(l);
        at += piece;
        pump();
    }
}

static void say_message(struct line *l, uint8_t command, uint8_t flags, const uint8_t *payload, size_t len)
{
    static uint8_t frame[2 * PEER_FRAME_MAX];
    if (l->fd < 0)
        dial(l);
    l->strange |= tw_command_is_handshake(command);
    say(l, frame, peer_seal(&l->peer, true, command, flags, payload, len, frame, sizeof frame));
}

static void shake_hands(struct line *l)
{
    static const uint8_t nonce[16] = "a client's nonce";
    static uint8_t frame[PEER_FRAME_MAX];
    if (l->fd < 0)
        dial(l);
    if (!l->peer.negotiates)
        return;
    if (l->handshake == ANSWERED) {
        size_t len = peer_finish(&l->peer, frame, sizeof frame);
        l->handshake = ESTABLISHED;
        say(l, frame, len);
        return;
    }
    l->strange |= l->handshake != NEW;
    l->handshake = STARTED;
    say(l, frame, peer_start(&l->peer, nonce, frame, sizeof frame));
}

/* ---- what people do ---- */

static void switch_fault_on(const struct tape_record *t)
{
    struct fault_spec spec;
    struct why why;
    char text[128];
    if (t->len > 3) {
        size_t len = t->len - 1 < sizeof text - 1 ? t->len - 1 : sizeof text - 1;
        memcpy(text, t->data + 1, len);
        text[len] = '\0';
        if (fault_parse(&spec, text, &why) != 0)
            return;
    } else {
        fault_spec_init(&spec, (enum fault_kind)((t->len > 1 ? t->data[1] : 0) % N_FAULTS));
        spec.n = t->len > 2 ? t->data[2] : spec.n;
        spec.ms = t->len > 2 ? 0 : spec.ms;
    }
    w.faulty |= server_fault_add(w.server, NULL, &spec) != 0;
}

static struct plug *plug_at_hand(void)
{
    return w.device->n_children > 0 ? w.device->children[0].plug : w.device->plug;
}

static void act(struct line *l, const struct tape_record *t)
{
    struct why why;
    uint64_t now = server_now_ms(w.server);
    uint8_t which = t->len > 0 ? t->data[0] : 0;
    switch (which % 7) {
    case 0: switch_fault_on(t); break;
    case 1: plug_press(plug_at_hand(), which / 7 % 4, now); break;
    case 2: {
        const struct load_spec load = {.appliance = (enum appliance)(which / 7 % N_APPLIANCES), .mw = 10000u * which};
        plug_load(plug_at_hand(), 0, &load, now, &why);
        break;
    }
    case 3: server_reboot(w.server, w.device, 0); break;
    case 4: server_fault_clear(w.server, NULL); break;
    case 5:
        if (l->fd >= 0)
            shutdown(l->fd, SHUT_WR);
        break;
    default: server_reset(w.server); break;
    }
    server_touched(w.server, w.device);
    pump();
}

static void press_buttons(struct tw_span dps)
{
    struct tw_dp dp;
    if (tw_json_check(dps) != TW_OK || dps.data[0] != '{')
        return;
    for (size_t pos = 0; tw_dps_next(&dp, &pos, dps) == 1;)
        plug_set(plug_at_hand(), &dp, server_now_ms(w.server));
    server_touched(w.server, w.device);
    pump();
}

static void step(const struct tape_record *t)
{
    struct line *l = &w.lines[t->connection % LINES];
    switch (t->operation) {
    case TAPE_TO:
        if (l->fd < 0)
            dial(l);
        l->strange |= l->peer.negotiates;
        say(l, t->data, t->len);
        break;
    case TAPE_MESSAGE:
        if (t->len >= 2)
            say_message(l, t->data[0], t->data[1], t->data + 2, t->len - 2);
        break;
    case TAPE_TIME:
        server_advance(w.server, t->len >= 2 ? (uint64_t)t->data[0] << 8 | t->data[1] : 20);
        pump();
        break;
    case TAPE_CONNECT: dial(l); break;
    case TAPE_CLOSE:
        hang_up(l);
        pump();
        break;
    case TAPE_DPS: press_buttons((struct tw_span){t->data, t->len}); break;
    case TAPE_HANDSHAKE: shake_hands(l); break;
    case TAPE_PIECES: w.piece_max = t->len > 0 ? t->data[0] : 1; break;
    case TAPE_ACT: act(l, t); break;
    case TAPE_FROM:
    default: break;
    }
}

/* ---- the next client ---- */

static void wait_for(struct line *l, uint32_t command)
{
    for (int waited = 0; l->last_command != command; waited++) {
        struct pollfd p = {l->fd, POLLIN, 0};
        CHECK(l->fd >= 0 && waited < PATIENCE_MS);
        if (waited > 3)
            poll(&p, 1, 1); /* a busy machine may take its time after all */
        pump();
    }
}

static void serve_the_next(void)
{
    struct line *l = &w.lines[0];
    for (int i = 0; i < LINES; i++)
        hang_up(&w.lines[i]);
    pump();
    if (w.faulty)
        server_reset(w.server);
    w.faulty = false;
    w.piece_max = 0;
    pump();
    dial(l);
    if (l->peer.negotiates) {
        shake_hands(l);
        wait_for(l, TW_CMD_SESS_KEY_NEG_RESP);
        shake_hands(l);
    }
    static const char query[] = "{\"gwId\":\"fake0000000000000000id\",\"devId\":\"fake0000000000000000id\"}";
    say_message(l, (uint8_t)tw_version_traits(w.version)->query, 0, (const uint8_t *)query, sizeof query - 1);
    wait_for(l, tw_version_traits(w.version)->query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    begin(data[0]);
    w.piece_max = 0;
    w.cuts.state = fuzz_hash(data, size);
    fuzz_gates.version = (unsigned)w.version;
    for (int i = 0; i < LINES; i++)
        w.lines[i].fd = -1;
    struct tape tape = {data + 1, size - 1, 0};
    struct tape_record t;
    for (int n = 0; n < STEPS_MAX && tape_next(&t, &tape); n++)
        step(&t);
    const struct server_counters *c = server_counters(w.server);
    fuzz_gates.tried[w.version] += c->frames_in;
    fuzz_gates.passed[w.version] += c->frames_in - c->damaged;
    if (!w.fuzzed)
        serve_the_next();
    for (int i = 0; i < LINES; i++)
        hang_up(&w.lines[i]);
    end();
    return 0;
}
