/* fuzzed.c - see fuzzed.h. */
#include "fuzzed.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/options.h"
#include "fuzz/common/mutate.h"
#include "line.h"
#include "server_private.h"

enum { ALWAYS = 1000000, HANDSHAKE_SHARE = 8, BROKEN_SHARE = 8, SUFFIX_LEN = 4 };

struct fuzzed {
    struct fuzzed_config cfg;
    FILE *log; /* NULL: none, or given up */
    uint64_t number;
    bool has_replay;
    struct fuzzed_reply replay, reply;
};

/* ---- options ---------------------------------------------------------------------------------------------------- */

static int parse_rate(uint32_t *out, const char *text, struct why *why)
{
    char *end;
    double rate = strtod(text, &end);
    if (end == text || *end != '\0' || !(rate >= 0 && rate <= 1))
        return why_set(why, "rate: expected a share from 0 to 1, got '%.40s'", text);
    *out = (uint32_t)(rate * ALWAYS + 0.5);
    return 0;
}

int fuzzed_parse(struct fuzzed_config *out, const char *text, struct why *why)
{
    struct fuzzed_config cfg = *out;
    bool has_seed = false;
    cfg.on = true;
    cfg.rate = ALWAYS;
    for (const char *item = text;; item++) {
        char one[64];
        size_t len = strcspn(item, ",");
        snprintf(one, sizeof one, "%.*s", (int)(len < sizeof one ? len : sizeof one - 1), item);
        int64_t seed = 0;
        if (strncmp(one, "seed=", 5) == 0) {
            if (opt_integer(&seed, one + 5, 0, INT64_MAX, why) != 0)
                return -1;
            cfg.seed = (uint64_t)seed;
            has_seed = true;
        } else if (strncmp(one, "rate=", 5) == 0) {
            if (parse_rate(&cfg.rate, one + 5, why) != 0)
                return -1;
        } else {
            return why_set(why, "expected seed=N,rate=R, as in seed=7,rate=0.5; got '%.40s'", text);
        }
        item += len;
        if (*item == '\0')
            break;
    }
    if (!has_seed)
        return why_set(why, "expected a seed, as in seed=7,rate=0.5; got '%.40s'", text);
    *out = cfg;
    return 0;
}

int fuzzed_open(struct fuzzed **out, const struct fuzzed_config *cfg, struct why *why)
{
    *out = NULL;
    if (!cfg->on && cfg->replay_path == NULL)
        return 0;
    struct fuzzed *f = calloc(1, sizeof *f);
    if (f == NULL)
        return why_set(why, "out of memory");
    f->cfg = *cfg;
    /* First, since both may be the same file. */
    if (cfg->replay_path != NULL && fuzzed_read(&f->replay, cfg->replay_path, why) != 0) {
        fuzzed_close(f);
        return -1;
    }
    f->has_replay = cfg->replay_path != NULL;
    if (cfg->log_path != NULL && (f->log = fopen(cfg->log_path, "we")) == NULL) {
        why_set(why, "cannot write %s: %s", cfg->log_path, strerror(errno));
        fuzzed_close(f);
        return -1;
    }
    *out = f;
    return 0;
}

void fuzzed_close(struct fuzzed *f)
{
    if (f == NULL)
        return;
    if (f->log != NULL && fclose(f->log) != 0)
        say_warn("cannot write %s: %s", f->cfg.log_path, strerror(errno));
    free(f);
}

/* ---- changes ---------------------------------------------------------------------------------------------------- */

static uint32_t other_number(uint32_t n, struct fuzz_rng *r)
{
    static const uint32_t numbers[] = {0,          1,          0x0000AA55,  0x000055AA,
                                       0x00006699, 0x7FFFFFFF, 0x80000000u, 0xFFFFFFFFu};
    switch (fuzz_rng_below(r, 3)) {
    case 0: return numbers[fuzz_rng_below(r, sizeof numbers / sizeof *numbers)];
    case 1: return n ^ 1u << fuzz_rng_below(r, 32);
    default: return n + (uint32_t)fuzz_rng_below(r, 5) - 2;
    }
}

static void note(struct fuzzed_reply *p, const char *what)
{
    size_t len = strlen(p->how);
    snprintf(p->how + len, sizeof p->how - len, "%s%s", len > 0 ? "," : "", what);
}

static void change_retcode(struct tw_message *m, struct fuzz_rng *r)
{
    if (fuzz_rng_below(r, 3) == 0)
        m->has_retcode = !m->has_retcode;
    else
        m->retcode = other_number(m->retcode, r);
}

static void change_header(struct tw_message *m, struct fuzz_rng *r)
{
    switch (fuzz_rng_below(r, 4)) {
    case 0: m->has_header = !m->has_header; break;
    case 1: m->header.counter = other_number(m->header.counter, r); break;
    case 2: m->header.source = other_number(m->header.source, r); break;
    default: m->header.version[2] = (char)('0' + fuzz_rng_below(r, 10)); break;
    }
}

/* Much longer, or shorter: both sealed in order. */
static void change_size(struct fuzzed_reply *p, struct fuzz_rng *r)
{
    if (fuzz_rng_below(r, 2) == 0) {
        note(p, "cut short");
        p->payload_len = fuzz_rng_below(r, p->payload_len + 1);
        return;
    }
    static const size_t sizes[] = {255, 256, 1024, 1440, 4000};
    size_t size = sizes[fuzz_rng_below(r, sizeof sizes / sizeof *sizes)];
    uint8_t filling = fuzz_rng_below(r, 2) == 0 ? ' ' : (uint8_t)fuzz_rng_next(r);
    note(p, "long");
    if (size > p->payload_len)
        memset(p->payload + p->payload_len, filling, size - p->payload_len), p->payload_len = size;
}

static void change_order(struct fuzzed_reply *p, struct fuzz_rng *r)
{
    switch (fuzz_rng_below(r, 3)) {
    case 0:
        note(p, "twice");
        p->twice = true;
        break;
    case 1:
        note(p, "late");
        p->late = true;
        break;
    default:
        note(p, "junk before");
        p->junk_len = 1 + fuzz_rng_below(r, FUZZED_JUNK_MAX);
        for (size_t i = 0; i < p->junk_len; i++)
            p->junk[i] = (uint8_t)fuzz_rng_next(r);
    }
}

static void change(struct fuzzed_reply *p, struct fuzz_rng *r)
{
    static const uint32_t commands[] = {0x03, 0x04, 0x05, 0x07, 0x08, 0x09, 0x0A, 0x0D, 0x10, 0x12, 0x40, 0x00, 0xFF};
    switch (fuzz_rng_below(r, 10)) {
    case 0:
        note(p, "seq");
        p->message.seq = other_number(p->message.seq, r);
        p->flags |= TW_DEVICE_KEEP_SEQ;
        break;
    case 1:
        note(p, "command");
        p->message.command = commands[fuzz_rng_below(r, sizeof commands / sizeof *commands)];
        break;
    case 2:
        note(p, "return code");
        change_retcode(&p->message, r);
        break;
    case 3:
        note(p, "header");
        change_header(&p->message, r);
        break;
    case 4: change_size(p, r); break;
    case 5: change_order(p, r); break;
    default: note(p, "json"); p->payload_len = mutate_json(p->payload, p->payload_len, FUZZED_PAYLOAD_MAX, r);
    }
}

static void change_all(struct fuzzed_reply *p, struct fuzz_rng *r)
{
    static const char *const names[FUZZED_N_DAMAGES] = {"",           "bad check value", "wrong length",
                                                        "bad suffix", "cut off",         "flipped bit"};
    fuzz_fallback_seed(fuzz_rng_next(r));
    for (size_t n = 1 + fuzz_rng_below(r, 3); n > 0; n--)
        change(p, r);
    if (fuzz_rng_below(r, BROKEN_SHARE) != 0)
        return;
    p->damage = (enum fuzzed_damage)(1 + fuzz_rng_below(r, FUZZED_N_DAMAGES - 1));
    p->value = p->damage == FUZZED_LENGTH ? other_number((uint32_t)p->payload_len, r) : (uint32_t)fuzz_rng_next(r);
    note(p, names[p->damage]);
}

/* Break a sealed frame. @return the length that is left */
static size_t damage(const struct fuzzed_reply *p, uint8_t *frame, size_t n)
{
    enum { LENGTH_AT_55AA = 12, LENGTH_AT_6699 = 14 };
    size_t at = p->value >> 3;
    uint8_t bit = (uint8_t)(1u << (p->value & 7));
    switch (p->damage) {
    case FUZZED_CHECK: frame[n - SUFFIX_LEN - 1 - at % 4] ^= bit; break;
    case FUZZED_SUFFIX: frame[n - 1 - at % SUFFIX_LEN] ^= bit; break;
    case FUZZED_FLIP: frame[at % n] ^= bit; break;
    case FUZZED_CUT: return at % n;
    case FUZZED_LENGTH:
        for (size_t i = 0, from = frame[2] == 0x66 ? LENGTH_AT_6699 : LENGTH_AT_55AA; i < 4; i++)
            frame[from + i] = (uint8_t)(p->value >> (24 - 8 * i));
        break;
    default: break;
    }
    return n;
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static void put(struct conn *c, const uint8_t *bytes, size_t n)
{
    if (c->closing || n == 0)
        return;
    if (c->line != NULL)
        line_put(c, bytes, n);
    else
        conn_write(c, bytes, n);
}

static void put_held(struct conn *c)
{
    put(c, c->held, c->held_len);
    free(c->held);
    c->held = NULL;
    c->held_len = 0;
}

static void write_log(struct fuzzed *f, const struct conn *c, const struct fuzzed_reply *p, struct tw_span bytes)
{
    if (f->log == NULL)
        return;
    char *line = fuzzed_line(p, f->number, c->outlet->device->id, bytes);
    if (line == NULL || fputs(line, f->log) < 0 || fflush(f->log) != 0) {
        say_warn("cannot write %s: %s; the simulation goes on without it", f->cfg.log_path, strerror(errno));
        fclose(f->log);
        f->log = NULL;
    }
    free(line);
}

/* Take the frame that was just sealed out of the output, with what it leaves as: junk, frame, frame again.
 * @return bytes to free, *len of them, *frame_len in the frame; NULL: out of memory, it stays where it is */
static uint8_t *take(struct conn *c, const struct fuzzed_reply *p, size_t before, size_t *len, size_t *frame_len)
{
    struct tw_span out = tw_device_output(c->engine);
    size_t n = out.len - before;
    uint8_t *bytes = malloc(p->junk_len + 2 * n);
    if (bytes == NULL)
        return NULL;
    uint8_t *frame = bytes + p->junk_len;
    memcpy(bytes, p->junk, p->junk_len);
    memcpy(frame, out.data + before, n);
    put(c, out.data, before);
    if (!c->closing)
        tw_device_sent(c->engine, out.len);
    n = damage(p, frame, n);
    *frame_len = n;
    if (p->twice)
        memcpy(frame + n, frame, n);
    *len = p->junk_len + (p->twice ? 2 * n : n);
    return bytes;
}

static int send_changed(struct conn *c, struct fuzzed_reply *p)
{
    struct fuzzed *f = c->server->fuzzed;
    size_t before = tw_device_output(c->engine).len, len, frame_len;
    p->message.payload = (struct tw_span){p->payload, p->payload_len};
    int rc = tw_device_send(c->engine, &p->message, p->flags);
    if (rc != TW_OK)
        return rc;
    c->server->counters.frames_out++;
    uint8_t *bytes = take(c, p, before, &len, &frame_len);
    if (bytes == NULL)
        return TW_OK;
    f->number++;
    write_log(f, c, p, (struct tw_span){bytes, len});
    if (c->tap != NULL) {
        char detail[FUZZED_HOW_MAX + 32];
        snprintf(detail, sizeof detail, "fuzzed %llu: %s", (unsigned long long)f->number, p->how);
        tap_message_fuzzed(c, &p->message, (struct tw_span){bytes + p->junk_len, frame_len},
                           (p->flags & TW_DEVICE_LOCAL_KEY) != 0, p->damage == FUZZED_SOUND, detail);
    }
    if (p->late && c->held == NULL && !c->closing) {
        c->held = bytes;
        c->held_len = (uint32_t)len;
        return TW_OK;
    }
    put(c, bytes, len);
    free(bytes);
    put_held(c);
    return c->closing ? TW_E_STATE : TW_OK;
}

static bool chosen(struct fuzzed *f, const struct conn *c, const struct tw_message *m, struct fuzz_rng *r)
{
    struct outlet *o = c->outlet;
    r->state = rng_hash(f->cfg.seed, o->device->number, o->n_replies++);
    uint32_t rate = tw_command_is_handshake(m->command) ? f->cfg.rate / HANDSHAKE_SHARE : f->cfg.rate;
    return f->cfg.on && m->payload.len <= FUZZED_PAYLOAD_MAX && fuzz_rng_below(r, ALWAYS) < rate;
}

/* The recorded reply in the place of this one, once per connection. */
static bool replay(struct conn *c, const struct tw_message *m, unsigned flags)
{
    struct fuzzed *f = c->server->fuzzed;
    if (!f->has_replay || c->replayed || m->command != f->replay.of)
        return false;
    c->replayed = true;
    f->reply = f->replay;
    f->reply.message.version = m->version;
    f->reply.message.direction = m->direction;
    memcpy(f->reply.message.header.signature, m->header.signature, sizeof m->header.signature);
    if ((f->reply.flags & TW_DEVICE_KEEP_SEQ) == 0)
        f->reply.message.seq = m->seq;
    f->reply.flags |= flags & TW_DEVICE_LOCAL_KEY;
    return true;
}

int fuzzed_emit(struct conn *c, const struct tw_message *m, unsigned flags)
{
    struct fuzzed *f = c->server->fuzzed;
    struct fuzzed_reply *p = &f->reply;
    struct fuzz_rng r;
    bool is_replayed = replay(c, m, flags), is_changed = !is_replayed && chosen(f, c, m, &r);
    if (is_changed) {
        *p = (struct fuzzed_reply){.of = m->command, .message = *m, .flags = flags, .payload_len = m->payload.len};
        if (m->payload.len > 0)
            memcpy(p->payload, m->payload.data, m->payload.len);
        change_all(p, &r);
    }
    /* What cannot be sealed that way goes out as it was. */
    if ((is_replayed || is_changed)) {
        int rc = send_changed(c, p);
        if (rc == TW_OK || c->closing)
            return rc;
    }
    int rc = conn_emit_plain(c, m, flags);
    if (rc != TW_OK || c->held == NULL)
        return rc;
    conn_flush(c);
    put_held(c);
    return c->closing ? TW_E_STATE : TW_OK;
}
