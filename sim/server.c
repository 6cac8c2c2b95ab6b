/* server.c - listeners, clock and events of the running simulation; see server.h. */
#include "server_private.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "announce.h"
#include "pcapng.h"
#include "strike.h"

enum {
    BACKLOG = 1024,          /* real plugs: 5; a test bench opens a thousand at once */
    JOURNAL_KEEP = 16 << 20, /* bytes of the last messages for the control API */
    SPARE_DESCRIPTORS = 64,  /* files, loop, discovery */
    CLIENTS_PER_DEVICE = 3,
    SYNC_MS = 500,
    MOVED_ADDRESSES = 0x7FC80000, /* 127.200.0.0 */
    KEYS_AT_WORK = 256,           /* key schedules kept ready, about 4 KB each */
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

/* Q33: a plug that never had network time counts from power-on. */
int64_t outlet_unix_s(const struct outlet *o)
{
    const struct server *s = o->server;
    if (s->n_faults > 0 && strike_standing(o, FAULT_BOOT_TIME) != NULL)
        return (int64_t)((server_now_ms(s) - o->boot_ms) / 1000);
    return server_unix_s(s);
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

/* ---- outlets ---------------------------------------------------------------------------------------------------- */

struct outlet *outlet_of(struct server *s, struct device *d)
{
    if (d->user != NULL)
        return d->user;
    struct outlet *o = calloc(1, sizeof *o);
    if (o == NULL)
        return NULL;
    o->server = s;
    o->device = d;
    o->wake_ms = UINT64_MAX;
    /* TuyaOpen: random start after boot; logged 3.3 plugs count from small numbers. */
    if (d->version == TW_V35)
        o->serial = (uint32_t)rng_hash(s->cfg.seed, d->number, 1);
    o->next = s->outlets;
    s->outlets = o;
    d->user = o;
    return o;
}

void server_disk_error(struct server *s, const struct why *why)
{
    s->counters.disk_errors++;
    say_warn("%s; the simulation goes on", why->text);
}

/* What was saved survives the end of the process at once, and the end of the machine a moment later: one fdatasync()
 * for many controls, since each costs milliseconds. */
static void on_sync_due(void *ctx, uint64_t arg)
{
    (void)arg;
    struct server *s = ctx;
    struct why why;
    s->sync_armed = false;
    if (s->store != NULL && store_sync(s->store, &why) != 0)
        server_disk_error(s, &why);
}

int outlet_save(struct outlet *o)
{
    struct server *s = o->server;
    struct why why;
    if (s->store == NULL)
        return 0;
    if (store_save(s->store, o->device, server_now_ms(s), &why) == 0) {
        s->disk_told = false;
        if (!s->sync_armed && later_add(&s->later, SYNC_MS, on_sync_due, s, 0) == 0)
            s->sync_armed = true;
        if (store_wants_fold(s->store) && store_fold(s->store, server_now_ms(s), &why) != 0)
            server_disk_error(s, &why);
        return 0;
    }
    if (!s->disk_told)
        server_disk_error(s, &why);
    s->disk_told = true;
    return -1;
}

/* ---- pushes ----------------------------------------------------------------------------------------------------- */

static void push_one(struct outlet *o, struct tw_span dps, struct tw_span cid)
{
    struct server *s = o->server;
    o->serial++;
    o->pushed_ms = server_real_ms(s);
    s->counters.pushes++;
    for (struct conn *c = o->conns, *next; c != NULL; c = next) {
        next = c->next_of_outlet;
        if (c->engine != NULL && tw_device_ready(c->engine) && !c->mute) {
            answer_status(c, dps, cid, o->serial);
            conn_flush(c);
        }
    }
    server_emit(s, &(struct server_event){.type = SERVER_CHANGED, .device = o->device, .dps = dps, .cid = cid});
}

static void push_plug(struct outlet *o, struct plug *plug, const char *cid)
{
    struct server *s = o->server;
    bool faults = s->n_faults > 0;
    /* Q08: one data point first, the others in a second frame. */
    size_t max = faults && strike_roll(o, FAULT_SPLIT_STATUS, -1, 0) != NULL ? 1 : 0;
    bool split = max == 1;
    while (plug_has_due(plug)) {
        struct tw_text t = {s->dps, sizeof s->dps, 0, false};
        size_t n = plug_take_due(plug, &t, max);
        if (t.overflow && max == 1) {
            plug_drop_due(plug);
            return;
        }
        if (t.overflow) {
            max = 1; /* more than fits into one frame: one data point each */
            continue;
        }
        if (n == 0)
            return;
        if (o->device->profile->lan.push_scope == PUSH_ALL) {
            t = (struct tw_text){s->dps, sizeof s->dps, 0, false};
            plug_write(plug, &t);
            if (t.overflow)
                return;
        }
        struct tw_span dps = {(const uint8_t *)t.data, t.len}, whose = {(const uint8_t *)cid, strlen(cid)};
        push_one(o, dps, whose);
        if (faults && strike_roll(o, FAULT_DUP_STATUS, -1, 0) != NULL)
            push_one(o, dps, whose);
        if (split)
            max = 0;
    }
}

void outlet_push(struct outlet *o)
{
    struct device *d = o->device;
    o->changes++;
    push_plug(o, d->plug, "");
    for (size_t i = 0; i < d->n_children; i++)
        push_plug(o, d->children[i].plug, d->children[i].cid);
}

static void on_push_due(void *ctx, uint64_t arg)
{
    (void)arg;
    struct outlet *o = ctx;
    o->push_armed = false;
    outlet_push(o);
    outlet_arm(o);
}

void outlet_push_later(struct outlet *o, uint32_t delay_ms)
{
    if (o->push_armed)
        return;
    if (later_add(&o->server->later, delay_ms, on_push_due, o, 0) == 0)
        o->push_armed = true;
}

static void on_wake(void *ctx, uint64_t arg)
{
    struct outlet *o = ctx;
    if (o->wake_ms != arg)
        return; /* another appointment has taken its place */
    o->wake_ms = UINT64_MAX;
    device_advance(o->device, server_now_ms(o->server));
    outlet_push(o);
    outlet_save(o);
    outlet_arm(o);
}

/* Only plugs that somebody listens to are woken; the others catch up when they are asked. */
void outlet_arm(struct outlet *o)
{
    struct server *s = o->server;
    o->changes++;
    if (o->n_conns == 0 && s->store == NULL)
        return;
    uint64_t at = device_deadline(o->device), now = server_now_ms(s);
    if (at >= o->wake_ms && o->wake_ms > now)
        return;
    o->wake_ms = at;
    if (at != UINT64_MAX && !s->cfg.virtual_clock)
        later_add(&s->later, at > now ? at - now : 0, on_wake, o, at);
}

/* ---- idle limits ------------------------------------------------------------------------------------------------ */

static uint64_t conn_deadline(const struct conn *c)
{
    return c->engine != NULL ? tw_device_deadline(c->engine) : c->deadline_ms;
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
            on_wake(o, wake);
        if (at == s->sweep_ms)
            sweep(s);
        if (at == announce)
            announcer_tick(s->announcer);
    }
    s->virtual_ms = end;
    return true;
}

/* ---- listening -------------------------------------------------------------------------------------------------- */

static void on_listener_closed(uv_handle_t *h)
{
    struct listener *l = h->data;
    server_handle_closed(l->server);
}

static void on_connection(uv_stream_t *stream, int status)
{
    if (status == 0)
        conn_accept(stream->data);
}

static int parse_address(struct sockaddr_storage *out, const char *text, uint16_t port)
{
    if (uv_ip4_addr(text, port, (struct sockaddr_in *)out) == 0)
        return 0;
    return uv_ip6_addr(text, port, (struct sockaddr_in6 *)out);
}

static int add_listener(struct server *s, const struct sockaddr_storage *at, struct device *d, bool wildcard,
                        struct why *why)
{
    struct listener *l = calloc(1, sizeof *l);
    struct listener **list = realloc(s->listeners, (s->n_listeners + 1) * sizeof(struct listener *));
    if (list != NULL)
        s->listeners = list;
    if (l == NULL || list == NULL) {
        free(l);
        return why_set(why, "out of memory");
    }
    l->server = s;
    l->device = d;
    l->by_address = wildcard;
    uv_tcp_init_ex(s->cfg.loop, &l->tcp, at->ss_family);
    l->tcp.data = l;
    s->n_open++;
    s->listeners[s->n_listeners++] = l;

    uv_os_fd_t fd;
    int rc = 0;
    if (wildcard && uv_fileno((uv_handle_t *)&l->tcp, &fd) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) != 0)
        rc = uv_translate_sys_error(errno);
    if (rc == 0)
        rc = uv_tcp_bind(&l->tcp, (const struct sockaddr *)at, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);
    if (rc != 0)
        return why_set(why, "%s", uv_strerror(rc));
    return 0;
}

static uint16_t listener_port(const struct listener *l)
{
    struct sockaddr_storage at;
    int len = sizeof at;
    if (uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&at, &len) != 0)
        return 0;
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                          : ((struct sockaddr_in *)&at)->sin_port);
}

static void on_dropped(uv_handle_t *h)
{
    struct listener *l = h->data;
    server_handle_closed(l->server);
    free(l);
}

static void drop_listener(struct server *s, struct listener *l)
{
    size_t i = 0;
    while (s->listeners[i] != l)
        i++;
    memmove(&s->listeners[i], &s->listeners[i + 1], (--s->n_listeners - i) * sizeof(struct listener *));
    uv_close((uv_handle_t *)&l->tcp, on_dropped);
}

/* The n-th device's address: 127.0.1.1 and on, without the .0 and .255 that look like networks. */
static uint32_t spread_address(size_t i)
{
    return 0x7F000000u + (uint32_t)(1 + i / 254) * 256 + (uint32_t)(1 + i % 254);
}

/* One wildcard listener on the loopback device serves any number of addresses; where the system does not allow it,
 * each address gets its own. */
static int listen_by_address(struct server *s, struct why *why)
{
    struct fleet *f = s->cfg.fleet;
    if ((f->n + 253) / 254 > 65534)
        return why_set(why, "--spread address: at most %d devices", 65534 * 254);
    struct sockaddr_storage at = {0};
    parse_address(&at, "0.0.0.0", s->cfg.port);
    if (add_listener(s, &at, NULL, true, why) == 0)
        return 0;
    drop_listener(s, s->listeners[s->n_listeners - 1]);

    s->one_each = true;
    uint16_t port = s->cfg.port;
    for (size_t i = 0; i < f->n; i++) {
        struct in_addr ip = {htonl(spread_address(i))};
        char text[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &ip, text, sizeof text);
        parse_address(&at, text, port);
        struct why reason;
        if (add_listener(s, &at, &f->devices[i], false, &reason) != 0)
            return why_set(why, "cannot listen on %s:%u: %s", text, port, reason.text);
        if (port == 0)
            port = listener_port(s->listeners[0]);
    }
    return 0;
}

static int listen_by_port(struct server *s, struct why *why)
{
    struct fleet *f = s->cfg.fleet;
    if (s->cfg.port != 0 && s->cfg.port + f->n - 1 > 65535)
        return why_set(why, "--spread port: %zu devices do not fit above port %u", f->n, s->cfg.port);
    s->one_each = true;
    for (size_t i = 0; i < f->n; i++) {
        struct sockaddr_storage at = {0};
        uint16_t port = (uint16_t)(s->cfg.port == 0 ? 0 : s->cfg.port + i);
        struct why reason;
        if (parse_address(&at, s->cfg.listen, port) != 0)
            return why_set(why, "--listen: %s is no IPv4 or IPv6 address", s->cfg.listen);
        if (add_listener(s, &at, &f->devices[i], false, &reason) != 0)
            return why_set(why, "cannot listen on %s port %u: %s", s->cfg.listen, port, reason.text);
    }
    return 0;
}

static int listen_once(struct server *s, struct why *why)
{
    struct sockaddr_storage at = {0};
    struct why reason;
    if (parse_address(&at, s->cfg.listen, s->cfg.port) != 0)
        return why_set(why, "--listen: %s is no IPv4 or IPv6 address", s->cfg.listen);
    struct device *only = s->cfg.fleet->n == 1 ? &s->cfg.fleet->devices[0] : NULL;
    if (add_listener(s, &at, only, false, &reason) != 0)
        return why_set(why, "cannot listen on %s port %u: %s", s->cfg.listen, s->cfg.port, reason.text);
    return 0;
}

/* On loopback the whole of 127/8 is ours; elsewhere another port has to stand for another address. */
void outlet_move(struct outlet *o)
{
    struct server *s = o->server;
    struct sockaddr_storage at = {0};
    char addr[64];
    uint16_t port;
    struct why why;
    if (o->moved != NULL)
        return;
    server_endpoint(s, o->device, addr, &port);
    if (strncmp(addr, "127.", 4) == 0) {
        struct in_addr ip = {htonl(MOVED_ADDRESSES + 1 + o->device->number)};
        inet_ntop(AF_INET, &ip, addr, sizeof addr);
    } else {
        port = 0;
    }
    parse_address(&at, addr, port);
    if (add_listener(s, &at, o->device, false, &why) != 0) {
        say_warn("%s cannot move to %s port %u: %s", o->device->id, addr, port, why.text);
        drop_listener(s, s->listeners[s->n_listeners - 1]);
        return;
    }
    o->moved = s->listeners[s->n_listeners - 1];
    for (struct conn *c = o->conns; c != NULL; c = c->next_of_outlet)
        c->mute = true; /* nobody says goodbye from an address that is not his any more */
}

static void endpoint_of(const struct listener *l, char addr[64], uint16_t *port)
{
    struct sockaddr_storage at;
    int len = sizeof at;
    *port = listener_port(l);
    if (uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&at, &len) == 0)
        uv_ip_name((struct sockaddr *)&at, addr, 64);
}

void server_endpoint(const struct server *s, const struct device *d, char addr[64], uint16_t *port)
{
    const struct outlet *o = d->user;
    if (o != NULL && o->moved != NULL) {
        endpoint_of(o->moved, addr, port);
        return;
    }
    struct listener *const l = s->listeners[s->one_each ? d->number : 0];
    *port = listener_port(l);
    if (s->cfg.spread == SPREAD_ADDRESS) {
        struct in_addr ip = {htonl(spread_address(d->number))};
        inet_ntop(AF_INET, &ip, addr, 64);
        return;
    }
    size_t len = strlen(s->cfg.listen);
    memcpy(addr, s->cfg.listen, len < 63 ? len : 63);
    addr[len < 63 ? len : 63] = '\0';
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

/* Each client is a descriptor. */
static void raise_descriptor_limit(const struct server *s)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t want = s->cfg.fleet->n * CLIENTS_PER_DEVICE + SPARE_DESCRIPTORS;
    if (s->cfg.spread == SPREAD_PORT)
        want += s->cfg.fleet->n;
    if (limit.rlim_cur >= want && limit.rlim_cur >= 4096)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < want)
        say_warn("the system allows %llu open files: not all of %zu devices can have %d clients at once "
                 "(raise it with ulimit -n)",
                 (unsigned long long)limit.rlim_cur, s->cfg.fleet->n, CLIENTS_PER_DEVICE);
}

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
    if (s->cfg.state_path != NULL && store_open(&s->store, s->cfg.fleet, s->cfg.state_path, 0, why) != 0)
        return -1;
    return 0;
}

static int open_sockets(struct server *s, struct why *why)
{
    raise_descriptor_limit(s);
    int rc = -1;
    switch (s->cfg.spread) {
    case SPREAD_NONE: rc = listen_once(s, why); break;
    case SPREAD_ADDRESS: rc = listen_by_address(s, why); break;
    case SPREAD_PORT: rc = listen_by_port(s, why); break;
    }
    if (rc != 0)
        return -1;
    if (s->cfg.spread == SPREAD_NONE && s->cfg.fleet->n > 1 && finder_new(&s->finder, s->cfg.fleet, NULL) != 0)
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
    if (s->pcapng != NULL)
        pcapng_flush(s->pcapng);
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

void server_stop(struct server *s)
{
    if (s->stopping)
        return;
    s->stopping = true;
    for (size_t i = 0; i < s->n_listeners; i++)
        uv_close((uv_handle_t *)&s->listeners[i]->tcp, on_listener_closed);
    for (struct conn *c = s->conns, *next; c != NULL; c = next) {
        next = c->next;
        conn_close(c, "shutdown");
    }
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
        free(o);
    }
    for (size_t i = 0; i < s->n_listeners; i++)
        free(s->listeners[i]);
    free(s->listeners);
    announcer_free(s->announcer);
    journal_close(s->journal);
    pcapng_close(s->pcapng);
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

static void close_clients(struct outlet *o, bool silently)
{
    for (struct conn *c = o->conns, *next; c != NULL; c = next) {
        next = c->next_of_outlet;
        if (silently)
            conn_reset(c, "power lost");
        else
            conn_close(c, "reset");
    }
}

void server_reboot(struct server *s, struct device *d, uint32_t down_ms)
{
    struct outlet *o = outlet_of(s, d);
    if (o == NULL)
        return;
    close_clients(o, true);
    o->down_until = server_real_ms(s) + down_ms;
    o->boot_ms = server_now_ms(s);
    o->awake = o->hangs = false;
    o->changes++;
    device_power_cycle(d, server_now_ms(s));
    outlet_save(o);
}

void server_rekey(struct server *s, struct device *d, const uint8_t key[TW_KEY_LEN])
{
    (void)s;
    memcpy(d->key, key, TW_KEY_LEN);
}

void server_reset(struct server *s)
{
    for (struct outlet *o = s->outlets; o != NULL; o = o->next) {
        close_clients(o, false);
        later_forget(&s->later, o);
        o->changes++;
        if (o->moved != NULL)
            drop_listener(s, o->moved);
        o->moved = NULL;
        o->push_armed = o->awake = o->hangs = false;
        o->wake_ms = UINT64_MAX;
        o->boot_ms = o->down_until = o->left_ms = o->pushed_ms = o->dice = 0;
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
        struct sockaddr_storage at;
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
