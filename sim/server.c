/* server.c - clock, events and life of the running simulation; see server.h. */
#include "server_private.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "announce.h"
#include "pcapng.h"
#include "strike.h"

enum {
    JOURNAL_KEEP = 16 << 20, /* bytes of the last messages for the control API */
    KEYS_AT_WORK = 256,      /* key schedules kept ready, about 4 KB each */
};

/* ---- clock ------------------------------------------------------------------------------------------------------ */

uint64_t server_real_ms(const struct server *s)
{
    return uv_now(s->cfg.loop) - s->start_ms;
}

uint64_t server_now_ms(const struct server *s)
{
    return s->cfg.virtual_clock ? s->virtual_ms : server_real_ms(s);
}

int64_t server_unix_s(const struct server *s)
{
    return s->cfg.epoch_s + (int64_t)(server_now_ms(s) / 1000);
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

int server_subscribe(struct server *s, server_listener *fn, void *ctx)
{
    struct subscriber *list = realloc(s->subscribers, (s->n_subscribers + 1) * sizeof *list);
    if (list == NULL)
        return -1;
    s->subscribers = list;
    s->subscribers[s->n_subscribers++] = (struct subscriber){fn, ctx};
    return 0;
}

void server_unsubscribe(struct server *s, server_listener *fn, void *ctx)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n_subscribers; i++)
        if (s->subscribers[i].fn != fn || s->subscribers[i].ctx != ctx)
            s->subscribers[kept++] = s->subscribers[i];
    s->n_subscribers = kept;
}

void server_emit(struct server *s, const struct server_event *ev)
{
    for (size_t i = 0; i < s->n_subscribers; i++)
        s->subscribers[i].fn(s->subscribers[i].ctx, ev);
}

/* ---- idle limits ------------------------------------------------------------------------------------------------ */

static uint64_t conn_deadline(const struct conn *c)
{
    return c->engine != NULL ? tw_device_deadline(c->engine) : c->since_ms + TW_DEVICE_HANDSHAKE_MS;
}

static void sweep(struct server *s)
{
    uint64_t now = server_now_ms(s), earliest = UINT64_MAX;
    s->sweep_ms = UINT64_MAX;
    for (struct conn *c = s->conns, *next; c != NULL; c = next) {
        next = c->next;
        uint64_t at = conn_deadline(c);
        if (c->closing)
            continue;
        if (at <= now) {
            if (c->engine != NULL)
                tw_device_tick(c->engine, now);
            conn_close(c, "idle");
        } else if (at < earliest) {
            earliest = at;
        }
    }
    server_arm_sweep(s, earliest);
}

static void on_sweep(uv_timer_t *timer)
{
    sweep(timer->data);
}

void server_arm_sweep(struct server *s, uint64_t deadline_ms)
{
    if (s->stopping || deadline_ms >= s->sweep_ms)
        return;
    s->sweep_ms = deadline_ms;
    if (s->cfg.virtual_clock)
        return;
    uint64_t now = server_now_ms(s);
    uv_timer_start(&s->sweep, on_sweep, deadline_ms > now ? deadline_ms - now : 0, 0);
}

/* ---- a virtual clock moves -------------------------------------------------------------------------------------- */

static struct outlet *first_to_wake(const struct server *s)
{
    struct outlet *first = NULL;
    for (struct outlet *o = s->outlets; o != NULL; o = o->next)
        if (o->wake_ms != UINT64_MAX && (first == NULL || o->wake_ms < first->wake_ms))
            first = o;
    return first;
}

bool server_advance(struct server *s, uint64_t ms)
{
    if (!s->cfg.virtual_clock)
        return false;
    uint64_t end = s->virtual_ms + ms;
    for (;;) {
        struct outlet *o = first_to_wake(s);
        uint64_t wake = o != NULL ? o->wake_ms : UINT64_MAX;
        uint64_t announce = s->announcer != NULL ? announcer_due_ms(s->announcer) : UINT64_MAX;
        uint64_t at = wake < s->sweep_ms ? wake : s->sweep_ms;
        if (announce < at)
            at = announce;
        if (at > end)
            break;
        if (at > s->virtual_ms)
            s->virtual_ms = at;
        if (at == wake)
            outlet_wake(o);
        if (at == s->sweep_ms)
            sweep(s);
        if (at == announce)
            announcer_tick(s->announcer);
    }
    s->virtual_ms = end;
    return true;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static int open_library(struct server *s, struct why *why)
{
    int rc = tw_crypto_new(&s->crypto, s->cfg.fleet->n < KEYS_AT_WORK / 4 ? 64 : KEYS_AT_WORK);
    if (rc != TW_OK)
        return why_set(why, "%s", tw_strerror(rc));
    struct tw_device_host_config host = {
        .crypto = s->crypto, .random = rng_fill, .random_ctx = &s->rng, .manual = true};
    rc = tw_device_host_new(&s->host, &host);
    return rc == TW_OK ? 0 : why_set(why, "%s", tw_strerror(rc));
}

static int open_files(struct server *s, struct why *why)
{
    size_t keep = s->cfg.journal_memory ? JOURNAL_KEEP : 0;
    if (journal_open(&s->journal, s->cfg.journal_path, keep, why) != 0)
        return -1;
    if (s->cfg.write_path != NULL && pcapng_open(&s->pcapng, s->cfg.write_path, why) != 0)
        return -1;
    if (fuzzed_open(&s->fuzzed, &s->cfg.fuzz, why) != 0)
        return -1;
    if (s->cfg.state_path != NULL && store_open(&s->store, s->cfg.fleet, s->cfg.state_path, 0, why) != 0)
        return -1;
    return 0;
}

static int open_sockets(struct server *s, struct why *why)
{
    if (listen_open(s, why) != 0)
        return -1;
    if (s->cfg.spread == SPREAD_NONE && s->cfg.fleet->n > 1 && finder_new(&s->finder, s->cfg.fleet) != 0)
        return why_set(why, "out of memory");
    if (s->cfg.discovery != NULL)
        return announcer_open(&s->announcer, s, why);
    return 0;
}

static void on_handle_closed(uv_handle_t *h)
{
    server_handle_closed(h->data);
}

/* Before the loop sleeps, what was recorded goes to the files: whoever reads along sees all there is. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct server *s = prepare->data;
    struct why why;
    if (journal_flush(s->journal, &why) != 0) {
        s->counters.disk_errors++;
        say_warn("%s; the simulation goes on without it", why.text);
    }
    if (s->pcapng != NULL && pcapng_flush(s->pcapng) != 0)
        s->counters.disk_errors++;
}

int server_start(struct server **out, const struct server_config *cfg, struct why *why)
{
    struct server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return why_set(why, "out of memory");
    s->cfg = *cfg;
    s->rng.state = cfg->seed;
    s->sweep_ms = UINT64_MAX;
    uv_update_time(cfg->loop);
    s->start_ms = uv_now(cfg->loop);
    later_init(&s->later, cfg->loop);
    uv_timer_init(cfg->loop, &s->sweep);
    s->sweep.data = s;
    uv_prepare_init(cfg->loop, &s->prepare);
    s->prepare.data = s;
    s->n_open = 2;
    int rc = open_library(s, why) != 0 || open_files(s, why) != 0 ? SERVER_CANNOT_OPEN : 0;
    if (rc == 0 && open_sockets(s, why) != 0)
        rc = SERVER_CANNOT_LISTEN;
    if (rc != 0) {
        server_stop(s);
        while (!server_closed(s))
            uv_run(cfg->loop, UV_RUN_ONCE);
        uv_run(cfg->loop, UV_RUN_NOWAIT);
        server_free(s);
        return rc;
    }
    if (cfg->journal_path != NULL || cfg->write_path != NULL)
        uv_prepare_start(&s->prepare, on_prepare);
    *out = s;
    return 0;
}

void server_handle_closed(struct server *s)
{
    s->n_open--;
}

static void close_all(struct server *s, const char *reason)
{
    for (struct conn *c = s->conns, *next; c != NULL; c = next) {
        next = c->next;
        conn_close(c, reason);
    }
}

void server_stop(struct server *s)
{
    if (s->stopping)
        return;
    s->stopping = true;
    listen_close(s);
    close_all(s, "shutdown");
    if (s->announcer != NULL)
        announcer_close(s->announcer);
    later_close(&s->later);
    uv_close((uv_handle_t *)&s->sweep, on_handle_closed);
    uv_close((uv_handle_t *)&s->prepare, on_handle_closed);
    struct why why;
    if (s->store != NULL && store_close(s->store, server_now_ms(s), &why) != 0)
        server_disk_error(s, &why);
    s->store = NULL;
}

bool server_closed(const struct server *s)
{
    return s->stopping && s->n_open == 0 && s->n_conns == 0;
}

void server_free(struct server *s)
{
    if (s == NULL)
        return;
    for (struct outlet *o = s->outlets, *next; o != NULL; o = next) {
        next = o->next;
        o->device->user = NULL;
        explicit_bzero(o->first_key, TW_KEY_LEN);
        free(o);
    }
    for (size_t i = 0; i < s->n_listeners; i++)
        free(s->listeners[i]);
    free(s->listeners);
    announcer_free(s->announcer);
    journal_close(s->journal);
    pcapng_close(s->pcapng);
    fuzzed_close(s->fuzzed);
    finder_free(s->finder);
    later_free(&s->later);
    tw_device_host_free(s->host);
    tw_crypto_free(s->crypto);
    free(s->faults);
    free(s->subscribers);
    free(s);
}

/* ---- questions and acts from above ------------------------------------------------------------------------------ */

const struct server_config *server_config(const struct server *s)
{
    return &s->cfg;
}

const struct server_counters *server_counters(const struct server *s)
{
    return &s->counters;
}

struct journal *server_journal(struct server *s)
{
    return s->journal;
}

size_t server_n_clients(const struct server *s, const struct device *d)
{
    (void)s;
    return d->user != NULL ? ((const struct outlet *)d->user)->n_conns : 0;
}

void server_touched(struct server *s, struct device *d)
{
    struct outlet *o = outlet_of(s, d);
    if (o == NULL)
        return;
    outlet_push(o);
    outlet_save(o);
    outlet_arm(o);
}

void server_reboot(struct server *s, struct device *d, uint32_t down_ms)
{
    struct outlet *o = outlet_of(s, d);
    if (o == NULL)
        return;
    for (struct conn *c = o->conns, *next; c != NULL; c = next) {
        next = c->next_of_outlet;
        conn_reset(c, "power lost");
    }
    o->down_until = server_real_ms(s) + down_ms;
    o->boot_ms = server_now_ms(s);
    o->awake = o->hangs = false;
    o->changes++;
    device_power_cycle(d, server_now_ms(s));
    outlet_save(o);
}

void server_rekey(struct server *s, struct device *d, const uint8_t key[TW_KEY_LEN])
{
    struct outlet *o = outlet_of(s, d);
    if (o == NULL)
        return;
    if (!o->rekeyed)
        memcpy(o->first_key, d->key, TW_KEY_LEN);
    o->rekeyed = true;
    memcpy(d->key, key, TW_KEY_LEN);
}

void server_reset(struct server *s)
{
    close_all(s, "reset");
    for (struct outlet *o = s->outlets; o != NULL; o = o->next) {
        later_forget(&s->later, o);
        o->changes++;
        if (o->moved != NULL)
            listen_drop(s, o->moved);
        o->moved = NULL;
        if (o->rekeyed)
            memcpy(o->device->key, o->first_key, TW_KEY_LEN);
        o->rekeyed = false;
        o->push_armed = o->awake = o->hangs = false;
        o->wake_ms = UINT64_MAX;
        o->boot_ms = o->down_until = o->left_ms = o->pushed_ms = o->dice = o->n_replies = 0;
        o->serial = o->device->version == TW_V35 ? (uint32_t)rng_hash(s->cfg.seed, o->device->number, 1) : 0;
    }
    server_fault_clear(s, NULL);
    s->fault_numbers = 0;
    journal_clear(s->journal);
    s->counters = (struct server_counters){0};
    s->rng.state = s->cfg.seed;
    s->virtual_ms = 0;
    uv_update_time(s->cfg.loop);
    s->start_ms = uv_now(s->cfg.loop);
    if (s->announcer != NULL)
        announcer_reset(s->announcer);
    server_emit(s, &(struct server_event){.type = SERVER_RESET});
}

void server_visit_connections(const struct server *s, const struct device *d,
                              void (*visit)(void *ctx, const struct server_connection *c), void *ctx)
{
    for (const struct conn *c = s->conns; c != NULL; c = c->next) {
        if (c->closing || (d != NULL && (c->outlet == NULL || c->outlet->device != d)))
            continue;
        struct server_connection view = {.flow = c->flow,
                                         .device = c->outlet != NULL ? c->outlet->device : NULL,
                                         .ready = c->engine != NULL && tw_device_ready(c->engine),
                                         .since_ms = c->since_ms};
        struct sockaddr_storage at = {0};
        int len = sizeof at;
        char ip[INET6_ADDRSTRLEN] = "?";
        uint16_t port = 0;
        if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&at, &len) == 0) {
            uv_ip_name((struct sockaddr *)&at, ip, sizeof ip);
            port = ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                                  : ((struct sockaddr_in *)&at)->sin_port);
        }
        snprintf(view.peer, sizeof view.peer, at.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip, port);
        visit(ctx, &view);
    }
}
