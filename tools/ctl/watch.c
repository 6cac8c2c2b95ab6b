/* watch.c - keep a connection and print every push as it comes, until interrupted.
 *
 * A connection that breaks is made again after 1, 2, 4 .. 60 seconds (spec section 4.5: hammering locks out the
 * phone app). If the device stays away it may have another address, so its announcements are listened to. After each
 * connection the device is asked for everything, so that what changed meanwhile is not lost. */
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include "commands.h"
#include "discover.h"
#include "show.h"
#include "tuyawire/error.h"

enum {
    BACKOFF_FIRST_MS = 1000,
    BACKOFF_MAX_MS = 60000,
    SEARCH_AFTER = 2, /* failures in a row, then it may have another address: ours */
    SEARCH_MS = 6000, /* a period of announcements */
};

struct watch {
    struct session *s;
    const struct devices *devices;
    uv_signal_t signals[2];
    bool interrupted;
    bool listening; /* the first picture was shown: pushes are news */
};

static void on_signal(uv_signal_t *h, int number)
{
    (void)number;
    struct watch *w = h->data;
    w->interrupted = true;
}

static void put_time(void)
{
    struct timeval tv;
    gettimeofday(&tv, NULL);
    if (show_is_json())
        printf(",\"time\":%lld.%06ld", (long long)tv.tv_sec, (long)tv.tv_usec);
    else {
        struct tm tm;
        char text[32];
        localtime_r(&tv.tv_sec, &tm);
        strftime(text, sizeof text, "%H:%M:%S", &tm);
        show_colour(SHOW_DIM);
        printf("%s.%03ld ", text, (long)(tv.tv_usec / 1000));
        show_colour(SHOW_PLAIN);
    }
}

/* Who pushed: the device that is talked to, or one behind it. */
struct pusher {
    struct tw_span cid;
    const struct devices_entry *device; /* NULL: not in the list */
    enum units_family family;
    bool is_behind;
};

static struct pusher pusher_of(const struct watch *w, const struct tw_body *body)
{
    const struct session *s = w->s;
    const struct target *g = &s->target;
    struct pusher p = {{(const uint8_t *)g->cid, strlen(g->cid)}, g->entry, UNITS_FAMILY_UNKNOWN, false};
    if (p.cid.len == 0 && body->cid.len > 0) {
        struct tw_span id = {(const uint8_t *)g->id, strlen(g->id)};
        p.device = devices_owner(w->devices, id, body->cid);
        p.is_behind = p.device == NULL || p.device != g->entry;
    }
    if (!p.is_behind) {
        p.family = show_family(s);
        return p;
    }
    p.cid = body->cid;
    p.family = units_family_of(body->dps);
    if (p.family == UNITS_FAMILY_UNKNOWN && p.device != NULL)
        p.family = units_family_of_category(p.device->category);
    return p;
}

static void put_name(const struct pusher *p)
{
    bool is_named = p->device != NULL && p->device->name[0] != '\0';
    if (!is_named)
        fputs("cid ", stdout);
    show_clean(is_named ? p->device->name : (const char *)p->cid.data,
               is_named ? strlen(p->device->name) : p->cid.len);
    fputs(": ", stdout);
}

/* {"device":..,"time":..,"event":"status","dps":{..}} or: 12:00:00.123 1 switch_1 = on, 19 cur_power = 60.0 W */
static void put_push(struct watch *w, const struct tw_body *body)
{
    struct tw_dp dp;
    size_t pos = 0;
    const char *comma = "";
    const struct pusher p = pusher_of(w, body);
    if (show_is_json()) {
        show_begin_about(w->s, p.cid, p.device);
        put_time();
        fputs(",\"event\":\"status\",\"dps\":", stdout);
        show_json((const char *)body->dps.data, body->dps.len);
        show_end();
        return;
    }
    put_time();
    if (p.is_behind)
        put_name(&p);
    while (tw_dps_next(&dp, &pos, body->dps)) {
        const char *code = show_meaning(p.device, p.family, dp.id).code;
        printf("%s%u%s%s = ", comma, (unsigned)dp.id, code[0] != '\0' ? " " : "", code);
        show_value(p.device, p.family, dp.id, dp.value.text);
        comma = ", ";
    }
    putchar('\n');
    show_flush();
}

static void put_event(struct session *s, const char *event, const char *detail)
{
    if (!show_is_json()) {
        if (detail != NULL)
            say_warn("%s", detail);
        return;
    }
    show_begin(s);
    put_time();
    printf(",\"event\":\"%s\"", event);
    if (detail != NULL) {
        fputs(",\"detail\":", stdout);
        show_string(detail);
    }
    show_end();
}

static void put_moved(struct session *s)
{
    if (show_is_json())
        put_event(s, "moved", s->target.host);
    else
        say_warn("the device announces itself at %s now", s->target.host);
}

static void on_event(void *ctx, const struct tw_client_event *ev)
{
    struct watch *w = ctx;
    const struct target *g = &w->s->target;
    bool other_child =
        g->cid[0] != '\0' && ev->body.cid.len > 0 &&
        (ev->body.cid.len != strlen(g->cid) || memcmp(ev->body.cid.data, g->cid, ev->body.cid.len) != 0);
    if (ev->type == TW_CLIENT_STATUS && ev->body.dps.len > 0 && !other_child)
        put_push(w, &ev->body);
}

static bool is_interrupted(void *ctx)
{
    const struct watch *w = ctx;
    return w->interrupted;
}

/* Everything once, as one event. A device that refuses to be asked still pushes: as gateways do, for those behind them. */
static int first_picture(struct watch *w, struct trouble *t)
{
    struct session *s = w->s;
    uint64_t since = s->store.clock;
    if (session_status(s, t) != 0) {
        if (t->kind != TROUBLE_SAID_NO && t->kind != TROUBLE_WRONG_ID)
            return -1;
        if (show_is_json())
            put_event(s, "refused", t->what);
        else
            say_warn("%s; what it pushes is shown all the same", t->what);
        return session_open(s, t); /* whether it refused for its version was looked at on other connections */
    }
    if (show_is_json()) {
        show_begin(s);
        put_time();
        fputs(",\"event\":\"state\"", stdout);
        show_dps_json(s, since);
        show_end();
    } else {
        show_table(s, since);
    }
    return 0;
}

/* Worth another try later? A wrong key does not get better by waiting. */
static bool is_lasting(const struct trouble *t)
{
    return t->kind == TROUBLE_WRONG_KEY || t->kind == TROUBLE_WRONG_VERSION || t->kind == TROUBLE_NOT_TUYA ||
           t->kind == TROUBLE_OURS;
}

enum exit_code command_watch(struct session *s, const struct settings *set, int n, char **arguments)
{
    (void)n, (void)arguments;
    static const int numbers[2] = {SIGINT, SIGTERM};
    struct watch w = {.s = s, .devices = &set->devices};
    struct trouble t;
    enum exit_code code = EXIT_CODE_OK;
    uint64_t backoff = BACKOFF_FIRST_MS;
    unsigned failures = 0;
    bool was_connected = false;
    for (int i = 0; i < 2; i++) {
        uv_signal_init(s->loop, &w.signals[i]);
        w.signals[i].data = &w;
        uv_signal_start(&w.signals[i], on_signal, numbers[i]);
        uv_unref((uv_handle_t *)&w.signals[i]);
    }
    s->on_event = on_event;
    s->ctx = &w;
    s->link.stop = &w.interrupted;
    while (!w.interrupted) {
        trouble_clear(&t);
        if (session_open(s, &t) == 0) {
            put_event(s, "connected", NULL);
            failures = 0;
            if (first_picture(&w, &t) == 0) {
                backoff = BACKOFF_FIRST_MS; /* not before: a busy device takes connections, and closes them */
                was_connected = true;
                session_wait(s, is_interrupted, &w, UINT64_MAX / 2);
                if (!w.interrupted)
                    link_trouble(&s->link, &t);
            }
        }
        if (w.interrupted)
            break;
        session_close(s);
        if (is_lasting(&t) && !was_connected) {
            trouble_say(&t);
            code = t.code;
            break;
        }
        put_event(s, "disconnected", t.what);
        link_pause(s->loop, is_interrupted, &w, backoff);
        bool is_gone = t.kind == TROUBLE_REFUSED || t.kind == TROUBLE_UNREACHABLE;
        if (!w.interrupted && is_gone && s->target.id[0] != '\0' && ++failures >= SEARCH_AFTER &&
            discover_moved(set, s->loop, &s->target, SEARCH_MS, &w.interrupted))
            put_moved(s);
        backoff = 2 * backoff < BACKOFF_MAX_MS ? 2 * backoff : BACKOFF_MAX_MS;
    }
    s->on_event = NULL;
    s->link.stop = NULL;
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&w.signals[i], NULL);
    uv_run(s->loop, UV_RUN_NOWAIT);
    return code;
}
