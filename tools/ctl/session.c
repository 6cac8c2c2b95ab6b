/* session.c - see session.h. */
#include "session.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include "common/keylog.h"
#include "debug.h"
#include "probe.h"
#include "tuyawire/error.h"

enum {
    KEY_ZERO_TRIES = 5,    /* spec section 4.8 */
    BACKOFF_MS = 250,      /* before the second try, doubled for each further one. Our choice */
    STATUS_WAIT_MS = 1000, /* for the STATUS after an ACK, before a query is sent; ours. Real plugs: some 100 ms */
    QUERY_AGAIN_MS = 500,
    LATE_ACK_MS = 300, /* for an ACK after the STATUS */
    CONFIRM_QUERIES = 2,
};

int session_random(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    while (len > 0) {
        ssize_t n = getrandom(buf, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        buf += n;
        len -= (size_t)n;
    }
    return 0;
}

int session_init(struct session *s, uv_loop_t *loop, const struct target *target,
                 const struct session_options *options, struct trouble *t)
{
    memset(s, 0, sizeof *s);
    s->loop = loop;
    s->target = *target;
    s->options = *options;
    if (tw_crypto_new(&s->crypto, 4) != TW_OK)
        return trouble_set(t, TROUBLE_OURS, "", "the cryptographic library does not work");
    return 0;
}

void session_free(struct session *s)
{
    session_close(s);
    store_free(&s->store);
    free(s->answer.text);
    tw_crypto_free(s->crypto);
    explicit_bzero(s->target.key, sizeof s->target.key);
}

static void write_key_log(struct session *s)
{
    const char *path = keylog_path();
    const struct tw_session *keys = tw_client_session(s->link.client);
    struct why why;
    if (path == NULL || keys == NULL)
        return;
    struct keylog_entry e = {.version = keys->version};
    memcpy(e.client_nonce, keys->client_nonce, sizeof e.client_nonce);
    memcpy(e.key, keys->key, sizeof e.key);
    snprintf(e.device_id, sizeof e.device_id, "%.*s", KEYLOG_ID_MAX, s->target.id);
    if (keylog_append(path, &e, &why) != 0)
        say_warn("%s", why.text);
}

/* Is this message about the (sub-)device we talk to? A gateway pushes for all its children. */
static bool is_ours(const struct session *s, const struct tw_body *body)
{
    size_t len = strlen(s->target.cid);
    if (body->cid.len == 0 || len == 0)
        return body->cid.len == 0 || len == 0;
    return body->cid.len == len && memcmp(body->cid.data, s->target.cid, len) == 0;
}

static void take_answer(struct session *s, const struct tw_client_event *ev)
{
    s->answer.done = true;
    s->answer.type = ev->type;
    s->answer.command = ev->command;
    s->answer.return_code = ev->return_code;
    free(s->answer.text);
    s->answer.text = malloc(ev->payload.len + 1);
    s->answer.len = 0;
    if (s->answer.text == NULL)
        return;
    if (ev->payload.len > 0)
        memcpy(s->answer.text, ev->payload.data, ev->payload.len);
    s->answer.text[ev->payload.len] = '\0';
    s->answer.len = ev->payload.len;
}

static void on_event(void *ctx, const struct tw_client_event *ev)
{
    struct session *s = ctx;
    if (ev->type == TW_CLIENT_ESTABLISHED)
        write_key_log(s);
    if ((ev->type == TW_CLIENT_STATUS || ev->type == TW_CLIENT_REPLY || ev->type == TW_CLIENT_OTHER) &&
        is_ours(s, &ev->body))
        (void)store_merge(&s->store, ev->body.dps);
    if (ev->request != 0 && ev->request == s->waiting)
        take_answer(s, ev);
    if (s->on_event != NULL)
        s->on_event(s->ctx, ev);
}

static bool is_established(void *ctx)
{
    const struct session *s = ctx;
    return tw_client_is_established(s->link.client);
}

static int make_client(struct session *s, tw_client **out, struct trouble *t)
{
    const struct target *g = &s->target;
    struct tw_client_config cfg;
    tw_client_config_init(&cfg);
    cfg.version = g->version;
    cfg.device_id = (struct tw_span){(const uint8_t *)g->id, strlen(g->id)};
    cfg.cid = (struct tw_span){(const uint8_t *)g->cid, strlen(g->cid)};
    memcpy(cfg.local_key, g->key, sizeof cfg.local_key);
    cfg.crypto = s->crypto;
    cfg.random = session_random;
    cfg.unix_time = (int64_t)time(NULL);
    cfg.null_map = s->null_map;
    cfg.handshake_ms = cfg.query_ms = (uint32_t)s->options.timeout_ms;
    if (s->options.timeout_ms < cfg.ack_ms)
        cfg.ack_ms = (uint32_t)s->options.timeout_ms;
    cfg.on_frame = s->options.debug ? debug_frame : NULL;
    int rc = tw_client_new(out, &cfg);
    explicit_bzero(cfg.local_key, sizeof cfg.local_key);
    return rc == TW_OK ? 0 : trouble_set(t, TROUBLE_OURS, "", "%s", tw_strerror(rc));
}

/* One attempt: connection and handshake. */
static int open_once(struct session *s, struct trouble *t)
{
    struct target *g = &s->target;
    tw_client *client = NULL;
    if (make_client(s, &client, t) != 0)
        return -1;
    if (link_connect(&s->link, s->loop, g->host, g->port, s->options.timeout_ms, t) != 0) {
        tw_client_free(client);
        return -1;
    }
    link_start(&s->link, client, g->version, on_event, s);
    if (!link_run(&s->link, is_established, s, s->options.timeout_ms + 500))
        return link_trouble(&s->link, t);
    s->is_open = true;
    return 0;
}

static bool helps_to_retry(const struct trouble *t)
{
    switch (t->kind) {
    case TROUBLE_REFUSED:
    case TROUBLE_RESETS:
    case TROUBLE_BUSY:
    case TROUBLE_CLOSED:
    case TROUBLE_SILENT:
    case TROUBLE_DAMAGED: return true;
    default: return false;
    }
}

static bool is_stopped(void *ctx)
{
    const struct session *s = ctx;
    return s->link.stop != NULL && *s->link.stop;
}

void session_pause(struct session *s, uint64_t ms)
{
    link_pause(s->loop, is_stopped, s, ms);
}

static void back_off(struct session *s, unsigned tries)
{
    session_pause(s, (uint64_t)BACKOFF_MS << (tries < 4 ? tries : 4));
}

/* A bad frame may be the key, or another protocol, or just bad luck: the second time it is no luck. */
static bool is_damage(int error)
{
    switch (error) {
    case TW_E_INTEGRITY:
    case TW_E_PADDING:
    case TW_E_PAYLOAD:
    case TW_E_PREFIX:
    case TW_E_LENGTH:
    case TW_E_TOO_LARGE:
    case TW_E_SUFFIX: return true;
    default: return false;
    }
}

/* What another version or key looks like from the inside. */
static bool may_be_version(const struct trouble *t)
{
    return t->kind == TROUBLE_WRONG_VERSION || t->kind == TROUBLE_WRONG_KEY || t->kind == TROUBLE_SILENT ||
           t->kind == TROUBLE_SAID_NO;
}

enum reconsidered { NOTHING_NEW, WORTH_A_TRY, EXPLAINED };

/* The device speaks another version than we do. */
static enum reconsidered is_other_version(struct session *s, enum tw_version v, enum version_source claim,
                                          struct trouble *t)
{
    const char *ours = tw_version_name(s->target.version), *its = tw_version_name(v);
    if (claim == VERSION_ASKED_FOR) {
        char next[64];
        snprintf(next, sizeof next, "use -P %s, or -P auto", its);
        trouble_set(t, TROUBLE_WRONG_VERSION, next, "the device speaks protocol %s, not %s", its, ours);
        return EXPLAINED;
    }
    say_warn("the device speaks protocol %s, not %s as the list says; run tinytuya's wizard or scan again", its,
             ours);
    s->target.version = v;
    return WORTH_A_TRY;
}

/* Lists grow old, since firmware updates raise the version, and users guess. When a version that nobody has proven does
 * not work, look at the device, once. EXPLAINED: t says what was found. */
static enum reconsidered reconsider(struct session *s, struct trouble *t)
{
    enum version_source claim = s->target.version_source;
    struct survey found;
    if (claim == VERSION_CERTAIN || !may_be_version(t))
        return NOTHING_NEW;
    s->target.version_source = VERSION_CERTAIN;
    session_close(s);
    probe_survey(s, claim == VERSION_FROM_LIST, &found);
    if (found.other != NULL && found.other->damaged) {
        probe_other_trouble(s, found.other, t);
        return EXPLAINED;
    }
    if (found.by != NULL && found.by->version != s->target.version)
        return is_other_version(s, found.by->version, claim, t);
    if (found.by == NULL || found.by->key != PROBE_KEY_WRONG || t->kind != TROUBLE_SAID_NO)
        return NOTHING_NEW;
    trouble_set(t, TROUBLE_WRONG_KEY, trouble_next_key,
                "the local key is wrong: the device does not understand what is encrypted with it (protocol %s)",
                tw_version_name(s->target.version));
    return EXPLAINED;
}

/* The device has refused what it was asked. @return 0: worth asking again; -1 and t */
static int refused(struct session *s, struct trouble *t)
{
    trouble_from_refusal(t, s->answer.text != NULL ? s->answer.text : "", s->target.version,
                         s->target.cid[0] != '\0');
    return reconsider(s, t) == WORTH_A_TRY ? 0 : -1;
}

int session_open(struct session *s, struct trouble *t)
{
    if (s->is_open && !s->link.over)
        return 0;
    unsigned zero_keys = 0;
    bool damaged = false;
    for (unsigned tries = 0;;) {
        session_close(s);
        if (s->target.version_source == VERSION_UNKNOWN && probe_version(s, &s->target.version, t) == 0)
            s->target.version_source = VERSION_CERTAIN;
        bool has_version = s->target.version_source != VERSION_UNKNOWN;
        if (has_version && open_once(s, t) == 0)
            return 0;
        int error = s->link.error;
        bool unheard = s->link.connected && s->link.bytes_in == 0;
        session_close(s);
        enum reconsidered what = has_version && error != TW_E_HS_KEY_ZERO ? reconsider(s, t) : NOTHING_NEW;
        if (what == WORTH_A_TRY)
            continue;
        if (what == EXPLAINED)
            return -1;
        if (error == TW_E_HS_KEY_ZERO && zero_keys++ < KEY_ZERO_TRIES)
            continue;
        /* Closed without a word at the handshake: wrong key, or no place left for us. The difference shows when
         * nothing is said at all. */
        if ((t->kind == TROUBLE_WRONG_KEY || t->kind == TROUBLE_RESETS) && unheard && probe_is_busy(s))
            probe_busy_trouble(s, t);
        bool again = helps_to_retry(t) || (is_damage(error) && !damaged);
        damaged = damaged || is_damage(error);
        if (!again || tries >= s->options.retries)
            return -1;
        back_off(s, tries++);
    }
}

void session_close(struct session *s)
{
    if (s->link.client != NULL)
        s->null_map = tw_client_null_map(s->link.client);
    link_close(&s->link);
    s->is_open = false;
}

static bool is_answered(void *ctx)
{
    const struct session *s = ctx;
    return s->answer.done;
}

static int submit(struct session *s, const struct ask *a)
{
    tw_client *c = s->link.client;
    uint64_t now = link_now();
    struct tw_span text = {(const uint8_t *)a->text, a->text != NULL ? strlen(a->text) : 0};
    switch (a->kind) {
    case ASK_QUERY: return tw_client_query(c, now, &s->waiting);
    case ASK_NULL_MAP: return tw_client_query_dps(c, a->dp_ids, a->n, now, &s->waiting);
    case ASK_CONTROL: return tw_client_control(c, text, now, &s->waiting);
    case ASK_REFRESH: return tw_client_refresh(c, a->dp_ids, a->n, now, &s->waiting);
    case ASK_HEARTBEAT: return tw_client_heartbeat(c, now, &s->waiting);
    case ASK_SUBDEVICES: return tw_client_subdevices(c, now, &s->waiting);
    case ASK_SEND: return tw_client_send(c, a->command, text, now, &s->waiting);
    }
    return TW_E_ARGUMENT;
}

static int unanswered(struct session *s, struct trouble *t)
{
    const char *name = tw_command_name(s->answer.command);
    return trouble_set(t, TROUBLE_SILENT, "`tuya-ctl diagnose` with the same options finds out why",
                       "the device is connected but does not answer %s (protocol %s)",
                       name != NULL ? name : "the request", tw_version_name(s->target.version));
}

int session_ask(struct session *s, const struct ask *a, struct trouble *t)
{
    bool damaged = false;
    for (unsigned tries = 0;; tries++) {
        if (session_open(s, t) != 0)
            return -1;
        s->answer.done = false;
        int rc = submit(s, a);
        if (rc == TW_E_TOO_LARGE || rc == TW_E_ARGUMENT || rc == TW_E_JSON)
            return trouble_set(t, TROUBLE_OURS, "", "the request cannot be sent: %s", tw_strerror(rc));
        link_flush(&s->link);
        uint64_t limit = 4 * s->options.timeout_ms + 10000; /* the engine's own limits come first */
        bool answered =
            link_run(&s->link, a->done != NULL ? a->done : is_answered, a->done != NULL ? a->ctx : s, limit);
        if (answered && !s->answer.done) /* done without it; give it a moment */
            link_run(&s->link, is_answered, s, LATE_ACK_MS);
        s->waiting = 0;
        if (answered && !(s->answer.done && s->answer.type == TW_CLIENT_TIMEOUT))
            return 0;
        if (answered)
            unanswered(s, t);
        else
            link_trouble(&s->link, t);
        bool unheard = s->link.over && s->link.bytes_in == 0;
        enum reconsidered what = unheard ? reconsider(s, t) : NOTHING_NEW;
        if (what == WORTH_A_TRY)
            continue; /* nobody has understood the request, so it can be sent again */
        if (what == EXPLAINED)
            return -1;
        bool again = helps_to_retry(t) || unheard || (s->link.over && is_damage(s->link.error) && !damaged);
        damaged = damaged || (s->link.over && is_damage(s->link.error));
        if (a->once || !again || tries >= s->options.retries) {
            if (unheard && (t->kind == TROUBLE_WRONG_VERSION || t->kind == TROUBLE_RESETS) && probe_is_busy(s))
                probe_busy_trouble(s, t);
            return -1;
        }
        /* Unanswered on a connection that stands: asked again there, since some devices lose the first request
         * after connecting. Otherwise session_open() makes a new one. */
        if (s->link.over)
            back_off(s, tries);
    }
}

bool session_wait(struct session *s, link_done_fn *done, void *ctx, uint64_t limit_ms)
{
    return s->is_open && link_run(&s->link, done, ctx, limit_ms);
}

/* ---- status ---------------------------------------------------------------------------------------------------- */

/* Devices that answer only null maps are asked for the rest in ranges that fit their 255 bytes, each with a data
 * point that exists, since otherwise nothing comes (spec section 5.6). */
static void ask_ranges(struct session *s)
{
    static const struct {
        uint32_t from, to;
    } ranges[] = {{7, 16},  {21, 30},   {31, 40},   {41, 50},   {51, 60},
                  {61, 70}, {101, 110}, {111, 120}, {121, 130}, {131, 140}};
    uint32_t known = s->store.n > 0 ? s->store.dps[0].id : 1;
    s->asked_ranges = true;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        uint32_t ids[12];
        size_t n = 0;
        ids[n++] = known;
        for (uint32_t id = ranges[i].from; id <= ranges[i].to && n < 11; id++) {
            if (store_find(&s->store, id) == NULL)
                ids[n++] = id;
        }
        struct trouble ignored;
        struct ask a = {.kind = ASK_NULL_MAP, .dp_ids = ids, .n = n, .once = true};
        if (n > 1 && session_ask(s, &a, &ignored) != 0)
            return; /* what is known is good; the rest stays unknown */
    }
}

static bool refused_for_now(const struct session *s)
{
    return s->answer.type == TW_CLIENT_REFUSED && s->answer.text != NULL &&
           strcmp(s->answer.text, TW_TEXT_JSON_OBJ) == 0;
}

int session_status(struct session *s, struct trouble *t)
{
    static const uint32_t measurements[] = {18, 19, 20};
    struct ask query = {.kind = ASK_QUERY};
    if (session_ask(s, &query, t) != 0)
        return -1;
    if (refused_for_now(s) && s->target.cid[0] == '\0') {
        /* Plugs that came up without internet answer again after one refresh (device behaviour section 7). */
        struct ask refresh = {.kind = ASK_REFRESH, .dp_ids = measurements, .n = 3, .once = true};
        struct trouble ignored;
        if (session_ask(s, &refresh, &ignored) != 0 && s->link.over)
            session_close(s);
        if (session_ask(s, &query, t) != 0)
            return -1;
    }
    if (s->answer.type == TW_CLIENT_REFUSED)
        return refused(s, t) == 0 ? session_status(s, t) : -1;
    if (tw_client_null_map(s->link.client) && !s->asked_ranges)
        ask_ranges(s);
    return 0;
}

/* ---- control --------------------------------------------------------------------------------------------------- */

struct wanted {
    struct session *s;
    struct tw_span dps;
    uint64_t since; /* store clock: only what was heard later counts; 0: anything */
    uint64_t sent_ms;
    uint32_t missing; /* the first data point that does not have its value */
};

/* Does the device have what was asked for? A countdown has gone on counting meanwhile. */
static bool is_value(const struct wanted *w, const struct tw_dp *dp, const struct store_dp *has)
{
    if (has->len == dp->value.text.len && memcmp(has->text, dp->value.text.data, has->len) == 0)
        return true;
    struct tw_value v = store_value(has);
    if (v.type == TW_VALUE_STRING && dp->value.type == TW_VALUE_STRING) {
        char a[512], b[512];
        size_t a_len, b_len;
        return tw_json_string(a, sizeof a, &a_len, v.text) == TW_OK &&
               tw_json_string(b, sizeof b, &b_len, dp->value.text) == TW_OK && a_len == b_len &&
               memcmp(a, b, a_len) == 0;
    }
    int64_t passed = (int64_t)((link_now() - w->sent_ms) / 1000) + 1;
    return v.type == TW_VALUE_INTEGER && dp->value.type == TW_VALUE_INTEGER && v.integer <= dp->value.integer &&
           dp->value.integer > 1 && v.integer >= dp->value.integer - passed;
}

static bool has_all(void *ctx)
{
    struct wanted *w = ctx;
    struct tw_dp dp;
    size_t pos = 0;
    while (tw_dps_next(&dp, &pos, w->dps)) {
        const struct store_dp *has = store_find(&w->s->store, dp.id);
        if (has == NULL || has->heard <= w->since || !is_value(w, &dp, has)) {
            w->missing = dp.id;
            return false;
        }
    }
    return true;
}

static const char *type_name(enum tw_value_type type)
{
    switch (type) {
    case TW_VALUE_BOOL: return "true or false";
    case TW_VALUE_INTEGER: return "a whole number";
    case TW_VALUE_NUMBER: return "a number";
    case TW_VALUE_STRING: return "a string";
    case TW_VALUE_NULL: return "null";
    default: return "a structure";
    }
}

/* The device acknowledged, or said nothing, and has another value. */
static int not_taken(struct wanted *w, struct trouble *t)
{
    struct tw_dp dp;
    const struct store_dp *has = store_find(&w->s->store, w->missing);
    if (tw_dps_find(&dp, w->dps, w->missing) != TW_OK)
        return trouble_set(t, TROUBLE_SAID_NO, "", "the device did not take the value");
    if (has == NULL)
        return trouble_set(t, TROUBLE_SAID_NO, "`tuya-ctl status` lists those it has",
                           "the device has no data point %u", (unsigned)w->missing);
    struct tw_value v = store_value(has);
    if (v.type != dp.value.type)
        return trouble_set(t, TROUBLE_SAID_NO, "try that type",
                           "the device did not take data point %u: it is %s, but %s was sent", (unsigned)w->missing,
                           type_name(v.type), type_name(dp.value.type));
    return trouble_set(t, TROUBLE_SAID_NO, "it may be read-only, or the value out of range",
                       "the device did not take data point %u: asked for %.*s, it has %.60s", (unsigned)w->missing,
                       (int)(dp.value.text.len < 60 ? dp.value.text.len : 60), (const char *)dp.value.text.data,
                       has->text);
}

static int confirm_by_query(struct session *s, struct wanted *w, struct trouble *t)
{
    w->since = 0;
    for (int i = 0; i < CONFIRM_QUERIES; i++) {
        if (session_status(s, t) != 0)
            return -1;
        if (has_all(w) || session_wait(s, has_all, w, QUERY_AGAIN_MS))
            return 0;
    }
    return not_taken(w, t);
}

/* The ACK, or the values without an ACK. */
static bool is_done_or_set(void *ctx)
{
    struct wanted *w = ctx;
    return w->s->answer.done || has_all(w);
}

int session_control(struct session *s, const char *dps, bool once, struct trouble *t)
{
    struct wanted w = {.s = s, .dps = {(const uint8_t *)dps, strlen(dps)}};
    struct ask control = {.kind = ASK_CONTROL, .text = dps, .once = once, .done = is_done_or_set, .ctx = &w};
    if (session_open(s, t) != 0)
        return -1;
    w.since = s->store.clock;
    w.sent_ms = link_now();
    if (session_ask(s, &control, t) != 0) {
        /* No ACK: some devices send only the STATUS. Whether it has worked, the device knows. */
        if (has_all(&w))
            return 0;
        struct trouble cause = *t;
        if (!helps_to_retry(t) || confirm_by_query(s, &w, t) != 0) {
            if (t->kind != TROUBLE_SAID_NO)
                *t = cause;
            return -1;
        }
        return 0;
    }
    if (s->answer.done && s->answer.type == TW_CLIENT_REFUSED)
        return refused(s, t) == 0 ? session_control(s, dps, once, t) : -1;
    if (has_all(&w) || session_wait(s, has_all, &w, STATUS_WAIT_MS))
        return 0;
    return confirm_by_query(s, &w, t);
}
