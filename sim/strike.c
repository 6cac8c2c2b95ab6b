/* strike.c - faults at work; see strike.h. */
#include "strike.h"
#include <stdlib.h>
#include <string.h>
#include "line.h"

enum { ALWAYS = 1000000, FRAME_MAX = 70 * 1024 };

/* ---- which faults are on ---------------------------------------------------------------------------------------- */

static bool concerns(const struct fault *f, const struct outlet *o, enum fault_kind kind)
{
    return f->spec.kind == kind && (f->device == NULL || f->device == o->device) && f->left != 0;
}

const struct fault *strike_standing(const struct outlet *o, enum fault_kind kind)
{
    const struct server *s = o->server;
    for (size_t i = 0; i < s->n_faults; i++)
        if (concerns(&s->faults[i], o, kind))
            return &s->faults[i];
    return NULL;
}

const struct fault *strike_roll(struct outlet *o, enum fault_kind kind, int64_t command, uint64_t flow)
{
    struct server *s = o->server;
    for (size_t i = 0; i < s->n_faults; i++) {
        struct fault *f = &s->faults[i];
        if (!concerns(f, o, kind) || (f->spec.command >= 0 && command >= 0 && f->spec.command != command))
            continue;
        if (f->passed < f->spec.skip) {
            f->passed++;
            continue;
        }
        uint64_t throw = rng_hash(s->cfg.seed ^ f->number, o->device->number, o->dice++) % ALWAYS;
        if (throw >= f->spec.probability)
            continue;
        if (f->left > 0)
            f->left--;
        f->struck++;
        s->counters.faults_fired++;
        server_emit(s, &(struct server_event){
                           .type = SERVER_FAULT, .device = o->device, .flow = flow, .reason = fault_name(kind)});
        return f;
    }
    return NULL;
}

/* ---- on and off ------------------------------------------------------------------------------------------------- */

static void drop_clients(struct outlet *o)
{
    for (struct conn *c = o->conns, *next; c != NULL; c = next) {
        next = c->next_of_outlet;
        conn_reset(c, "fault");
    }
}

static void change_device(struct server *s, struct device *d, enum fault_kind kind, uint32_t n, bool on)
{
    uint64_t now = server_now_ms(s);
    struct outlet *o = d->user;
    if (o != NULL)
        o->changes++;
    switch (kind) {
    case FAULT_STALE_ENERGY: plug_set_readings(d->plug, on ? READINGS_ON_ASK : READINGS_BY_RULE, now); break;
    case FAULT_DP_ABSENT:
        if (on && n == 0)
            plug_hide(d->plug, 1);
        if (on)
            plug_hide(d->plug, n == 0 ? 17 : n);
        break;
    case FAULT_SPIKE:
        if (on) {
            plug_spike(d->plug, now);
            server_touched(s, d);
        }
        break;
    case FAULT_REKEY:
        if (on) {
            struct rng r = {rng_hash(s->cfg.seed, d->number, 2)};
            uint8_t key[TW_KEY_LEN];
            rng_fill(&r, key, sizeof key);
            server_rekey(s, d, key);
        }
        break;
    case FAULT_IP_CHANGE:
        if (on && (o = outlet_of(s, d)) != NULL)
            outlet_move(o);
        break;
    case FAULT_LATENCY:
    case FAULT_JITTER:
    case FAULT_BANDWIDTH:
    case FAULT_SLICE:
    case FAULT_GLUE:
        for (struct conn *c = o != NULL ? o->conns : NULL; c != NULL; c = c->next_of_outlet)
            strike_line(c);
        break;
    default: break;
    }
}

static void changed(struct server *s, const struct fault *f, bool on)
{
    struct fleet *fleet = s->cfg.fleet;
    for (size_t i = 0; i < fleet->n; i++)
        if (f->device == NULL || f->device == &fleet->devices[i])
            change_device(s, &fleet->devices[i], f->spec.kind, f->spec.n, on);
}

uint32_t server_fault_add(struct server *s, struct device *d, const struct fault_spec *spec)
{
    if (d == NULL && spec->device[0] != '\0') {
        d = fleet_find(s->cfg.fleet, (struct tw_span){(const uint8_t *)spec->device, strlen(spec->device)});
        if (d == NULL)
            return 0;
    }
    struct fault *list = realloc(s->faults, (s->n_faults + 1) * sizeof *list);
    if (list == NULL)
        return 0;
    s->faults = list;
    struct fault f = {.number = ++s->fault_numbers, .device = d, .spec = *spec, .left = spec->count};
    s->faults[s->n_faults++] = f;
    changed(s, &f, true);
    return f.number;
}

const struct fault_spec *server_start_faults(struct server *s)
{
    for (size_t i = 0; i < s->cfg.n_faults; i++)
        if (server_fault_add(s, NULL, &s->cfg.faults[i]) == 0)
            return &s->cfg.faults[i];
    return NULL;
}

static void remove_at(struct server *s, size_t i)
{
    struct fault f = s->faults[i];
    memmove(&s->faults[i], &s->faults[i + 1], (s->n_faults - i - 1) * sizeof f);
    s->n_faults--;
    changed(s, &f, false);
}

bool server_fault_remove(struct server *s, const struct device *d, uint32_t number)
{
    for (size_t i = 0; i < s->n_faults; i++)
        if (s->faults[i].number == number && (d == NULL || s->faults[i].device == d)) {
            remove_at(s, i);
            return true;
        }
    return false;
}

size_t server_fault_clear(struct server *s, const struct device *d)
{
    size_t removed = 0;
    for (size_t i = s->n_faults; i-- > 0;)
        if (d == NULL || s->faults[i].device == d) {
            remove_at(s, i);
            removed++;
        }
    return removed;
}

void server_fault_visit(const struct server *s, const struct device *d,
                        void (*visit)(void *ctx, const struct fault *f), void *ctx)
{
    for (size_t i = 0; i < s->n_faults; i++)
        if (d == NULL || s->faults[i].device == NULL || s->faults[i].device == d)
            visit(ctx, &s->faults[i]);
}

/* ---- a client comes --------------------------------------------------------------------------------------------- */

static void refuse_client(struct conn *c, bool reset, const char *reason)
{
    c->server->counters.refused++;
    if (reset)
        conn_reset(c, reason);
    else
        conn_close(c, reason);
}

bool strike_accept(struct conn *c, struct outlet *o)
{
    struct server *s = c->server;
    uint64_t now = server_real_ms(s);
    if (now < o->down_until) {
        refuse_client(c, true, "rebooting");
        return false;
    }
    if (s->n_faults == 0)
        return true;
    const struct fault *f = strike_standing(o, FAULT_LINGER);
    if (f != NULL && o->n_conns == 0 && o->left_ms != 0 && now < o->left_ms + f->spec.ms) {
        strike_roll(o, FAULT_LINGER, -1, c->flow);
        refuse_client(c, true, "linger");
        return false;
    }
    if (o->n_conns > 0 && (f = strike_roll(o, FAULT_ONE_CLIENT, -1, c->flow)) != NULL) {
        if (f->spec.n < 2) {
            refuse_client(c, f->spec.n == 1, "one_client");
            return false;
        }
        drop_clients(o);
    }
    if (o->hangs || strike_roll(o, FAULT_HANG, -1, c->flow) != NULL)
        o->hangs = c->mute = true;
    return true;
}

void strike_config(const struct outlet *o, struct tw_device_config *cfg)
{
    if (o->server->n_faults == 0)
        return;
    const struct fault *idle = strike_standing(o, FAULT_IDLE_CLOSE), *rc1 = strike_standing(o, FAULT_ACK_RC1);
    if (idle != NULL)
        cfg->idle_timeout_ms = idle->spec.ms;
    if (strike_standing(o, FAULT_VENDOR) != NULL)
        cfg->quirks |= TW_DEVICE_VENDOR;
    if (strike_standing(o, FAULT_KEY_ZERO) != NULL)
        cfg->quirks |= TW_DEVICE_KEY_ZERO | TW_DEVICE_VENDOR_KEY_ZERO;
    if (rc1 != NULL && rc1->spec.n == 1)
        cfg->quirks |= TW_DEVICE_VENDOR_RETCODE;
}

void strike_line(struct conn *c)
{
    if (c->outlet == NULL || (c->server->n_faults == 0 && c->line == NULL))
        return;
    const struct outlet *o = c->outlet;
    struct line_traits t = {0};
    const struct fault *f;
    if ((f = strike_standing(o, FAULT_LATENCY)) != NULL)
        t.latency_ms = f->spec.ms;
    if ((f = strike_standing(o, FAULT_JITTER)) != NULL)
        t.jitter_ms = f->spec.ms;
    if ((f = strike_standing(o, FAULT_BANDWIDTH)) != NULL)
        t.bytes_per_s = f->spec.n;
    if ((f = strike_standing(o, FAULT_SLICE)) != NULL) {
        t.slice = f->spec.n;
        t.slice_ms = f->spec.ms;
    }
    if ((f = strike_standing(o, FAULT_GLUE)) != NULL)
        t.glue_ms = f->spec.ms;
    static const struct line_traits straight;
    if (c->line != NULL || memcmp(&t, &straight, sizeof t) != 0)
        line_set(c, &t);
}

/* ---- a request was read ----------------------------------------------------------------------------------------- */

/* Blanks between tokens; those inside of strings are fine. */
static bool has_blanks(struct tw_span json)
{
    bool string = false;
    for (size_t i = 0; i < json.len; i++) {
        uint8_t ch = json.data[i];
        if (string && ch == '\\')
            i++;
        else if (ch == '"')
            string = !string;
        else if (!string && (ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r'))
            return true;
    }
    return false;
}

static bool is_query(const struct tw_device_event *ev)
{
    return ev->type == TW_DEVICE_QUERY || ev->type == TW_DEVICE_NULL_QUERY;
}

static bool is_request(const struct tw_device_event *ev)
{
    return is_query(ev) || ev->type == TW_DEVICE_CONTROL || ev->type == TW_DEVICE_REFRESH;
}

bool strike_request(struct conn *c, const struct tw_device_event *ev)
{
    struct server *s = c->server;
    struct outlet *o = c->outlet;
    uint32_t command = ev->message.command;
    if (is_query(ev) && !c->queried) {
        c->queried = true;
        if (strike(c, FAULT_DROP_FIRST, command))
            return true;
    }
    if (ev->opened && is_request(ev) && has_blanks(ev->message.payload) && strike(c, FAULT_PICKY_JSON, command))
        return true;
    const struct fault *f;
    if (is_request(ev) && (f = strike(c, FAULT_REBOOT, command)) != NULL) {
        server_reboot(s, o->device, f->spec.ms);
        return true;
    }
    if (ev->type == TW_DEVICE_HEARTBEAT) {
        f = strike_standing(o, FAULT_RESET_AFTER_HEARTBEAT);
        if (f != NULL && o->serial > 0 && o->pushed_ms != 0 && server_real_ms(s) < o->pushed_ms + f->spec.ms &&
            strike(c, FAULT_RESET_AFTER_HEARTBEAT, command)) {
            conn_reset(c, "reset_after_heartbeat");
            return true;
        }
        if (strike(c, FAULT_NO_HEARTBEAT, command))
            return true;
    }
    bool reads_body = is_query(ev) || ev->type == TW_DEVICE_CONTROL;
    if (reads_body && o->device->version == TW_V33 && strike(c, FAULT_WRONG_KEY_REPLY, command)) {
        struct tw_message m;
        tw_device_message_init(c->engine, &m, command, ev->message.seq, true);
        m.payload = (struct tw_span){(const uint8_t *)TW_TEXT_PARSE_DATA, sizeof TW_TEXT_PARSE_DATA - 1};
        conn_emit(c, &m, 0);
        return true;
    }
    return false;
}

/* ---- bytes leave ------------------------------------------------------------------------------------------------ */

static void send_bytes(struct conn *c, const uint8_t *bytes, size_t n, uint32_t extra_ms)
{
    if (c->closing || n == 0)
        return;
    if (c->line == NULL && extra_ms > 0) {
        static const struct line_traits straight;
        if (line_set(c, &straight) != 0)
            return;
    }
    if (c->line != NULL)
        line_put_later(c, bytes, n, extra_ms);
    else
        conn_write(c, bytes, n);
}

static void corrupt(struct conn *c, uint8_t *frame, size_t from, size_t to, uint32_t n)
{
    for (uint32_t i = 0; i < n && to > from; i++)
        frame[from + rng_next(&c->server->rng) % (to - from)] ^= (uint8_t)(1 + rng_next(&c->server->rng) % 255);
}

static void reset_now(void *ctx, uint64_t arg)
{
    (void)arg;
    conn_reset(ctx, "reset");
}

static void half_close(struct conn *c)
{
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&c->tcp, &fd) == 0)
        shutdown(fd, SHUT_WR);
    c->half_closed = true;
}

/* What strikes one frame on its way out. */
struct blows {
    const struct fault *bad, *junk, *drop, *change, *split, *slow, *real, *reset, *rst, *half;
};

static bool throw_for_bytes(struct conn *c, struct blows *b, int64_t command)
{
    *b = (struct blows){
        .bad = strike(c, FAULT_BAD_CHECK, command),
        .junk = strike(c, FAULT_JUNK, command),
        .drop = strike(c, FAULT_DROP_BYTES, command),
        .change = strike(c, FAULT_CORRUPT, command),
        .split = strike(c, FAULT_SPLIT, command),
        .slow = strike(c, FAULT_SLOW, command),
        .real = strike(c, FAULT_REALISTIC, command),
        .reset = strike(c, FAULT_RESET, command),
        .rst = strike(c, FAULT_RST_AFTER_OK, command),
        .half = strike(c, FAULT_HALF_CLOSE, command),
    };
    return b->bad || b->junk || b->drop || b->change || b->split || b->slow || b->real || b->reset || b->rst ||
           b->half;
}

/* Damage that a checksum is for. @return the length that is left */
static size_t damage(struct conn *c, const struct blows *b, uint8_t *frame, size_t n)
{
    enum { SUFFIX = 4 };
    if (b->bad != NULL)
        frame[n - SUFFIX - 1] ^= 0x5A;
    if (b->change != NULL)
        corrupt(c, frame, 0, n, b->change->spec.n);
    if (b->drop == NULL)
        return n;
    size_t missing = b->drop->spec.n < n ? b->drop->spec.n : n, from = (n - missing) / 2;
    memmove(frame + from, frame + from + missing, n - from - missing);
    return n - missing;
}

static void send_junk(struct conn *c, uint32_t n, uint32_t extra_ms)
{
    uint8_t bytes[256];
    struct outlet *o = c->outlet;
    struct rng r = {rng_hash(c->server->cfg.seed, o->device->number, o->dice++)};
    size_t len = n < sizeof bytes ? n : sizeof bytes;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(rng_next(&r) | 1); /* no zeros: never a prefix */
    send_bytes(c, bytes, len, extra_ms);
}

static void send_split(struct conn *c, const struct fault *split, const uint8_t *frame, size_t n, uint32_t extra_ms)
{
    struct outlet *o = c->outlet;
    size_t cut = split->spec.n > 0 && split->spec.n < n
                     ? split->spec.n
                     : 1 + rng_hash(c->server->cfg.seed, o->device->number, o->dice++) % (n - 1);
    send_bytes(c, frame, cut, extra_ms);
    send_bytes(c, frame + cut, n - cut, extra_ms + (split->spec.ms > 0 ? split->spec.ms : 1));
}

/* 78 000 measured replies of 51 devices (openhab/openhab-addons#21686): 49.8 % within 50 ms, 21.9 % more within 100, ..
 * Even within each class, and 2 s at most, are our choice. */
static uint32_t realistic_ms(struct conn *c)
{
    static const struct {
        uint32_t permille, ms;
    } upto[] = {{498, 50}, {717, 100}, {883, 150}, {944, 200}, {971, 300}, {985, 500}, {992, 1000}, {1000, 2000}};
    struct outlet *o = c->outlet;
    uint64_t throw = rng_hash(c->server->cfg.seed, o->device->number, o->dice++);
    uint32_t part = (uint32_t)(throw % 1000), from = 0;
    size_t i = 0;
    for (; part >= upto[i].permille; i++)
        from = upto[i].ms;
    return from + (uint32_t)(throw / 1000 % (upto[i].ms - from));
}

static void reset_soon(struct conn *c)
{
    enum { RESET_DELAY_MS = 20 }; /* what was sent before shall arrive: a reset overtakes it */
    if (!c->closing && later_add(&c->server->later, RESET_DELAY_MS, reset_now, c, 0) == 0)
        c->n_later++;
}

static void send_struck(struct conn *c, const struct blows *b, uint8_t *frame, size_t n)
{
    uint32_t extra_ms = (b->slow != NULL ? b->slow->spec.ms : 0) + (b->real != NULL ? realistic_ms(c) : 0);
    n = damage(c, b, frame, n);
    if (b->junk != NULL)
        send_junk(c, b->junk->spec.n, extra_ms);
    if (b->reset != NULL && b->reset->spec.n == 0) {
        conn_reset(c, "reset");
        return;
    }
    if (b->reset != NULL)
        send_bytes(c, frame, b->reset->spec.n < n ? b->reset->spec.n : n, 0);
    else if (b->split != NULL && n > 1)
        send_split(c, b->split, frame, n, extra_ms);
    else
        send_bytes(c, frame, n, extra_ms);
    if (b->half != NULL && !c->closing)
        half_close(c);
    if (b->reset != NULL || b->rst != NULL)
        reset_soon(c);
}

bool strike_bytes(struct conn *c, size_t at, int64_t command)
{
    struct blows blows;
    if (!throw_for_bytes(c, &blows, command))
        return true;
    struct tw_span out = tw_device_output(c->engine);
    uint8_t *frame = out.len > at && out.len - at <= FRAME_MAX ? malloc(out.len - at) : NULL;
    if (frame == NULL)
        return true;
    size_t n = out.len - at;
    memcpy(frame, out.data + at, n);
    if (at > 0)
        send_bytes(c, out.data, at, 0); /* what was in the output before this frame leaves as it is */
    if (!c->closing) {
        tw_device_sent(c->engine, out.len);
        send_struck(c, &blows, frame, n);
    }
    free(frame);
    return !c->closing;
}
