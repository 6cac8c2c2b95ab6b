/* outlet.c - what the server does with a device that somebody has talked to: pushes, its timer, its state on disk. */
#include <stdlib.h>
#include <string.h>
#include "server_private.h"
#include "strike.h"

enum {
    SYNC_MS = 500,
    FAR_MS = 60 * 1000, /* no appointment is made further ahead; see outlet_arm() */
};

bool outlet_is_full(const struct outlet *o)
{
    int64_t wanted = o->server->cfg.max_clients;
    uint32_t limit = wanted >= 0 ? (uint32_t)wanted : o->device->profile->lan.max_clients;
    return limit > 0 && o->n_conns >= limit;
}

/* Q33: a plug that never had network time counts from power-on. */
int64_t outlet_unix_s(const struct outlet *o)
{
    const struct server *s = o->server;
    if (s->n_faults > 0 && strike_standing(o, FAULT_BOOT_TIME) != NULL)
        return (int64_t)((server_now_ms(s) - o->boot_ms) / 1000);
    return server_unix_s(s);
}

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

void outlet_settle(struct outlet *o)
{
    struct device *d = o->device;
    device_advance(d, server_now_ms(o->server));
    plug_drop_due(d->plug);
    for (size_t i = 0; i < d->n_children; i++)
        plug_drop_due(d->children[i].plug);
    o->changes++;
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

void outlet_wake(struct outlet *o)
{
    o->wake_ms = UINT64_MAX;
    device_advance(o->device, server_now_ms(o->server));
    outlet_push(o);
    outlet_save(o);
    outlet_arm(o);
}

static void on_wake(void *ctx, uint64_t arg)
{
    struct outlet *o = ctx;
    if (o->wake_ms != arg) /* another appointment has taken its place */
        return;
    o->wake_ms = UINT64_MAX;
    if (device_deadline(o->device) <= server_now_ms(o->server))
        outlet_wake(o);
    else
        outlet_arm(o);
}

/* Only plugs that somebody listens to are woken; the others catch up when they are asked. An earlier appointment takes
 * the place of a later one, which stays in the list until it is due: a client that sets shorter and shorter countdowns
 * would make a day's worth of them. */
void outlet_arm(struct outlet *o)
{
    struct server *s = o->server;
    o->changes++;
    if (o->n_conns == 0 && s->store == NULL)
        return;
    uint64_t at = device_deadline(o->device), now = server_now_ms(s);
    if (!s->cfg.virtual_clock && at != UINT64_MAX && at > now + FAR_MS)
        at = now + FAR_MS;
    if (at >= o->wake_ms && o->wake_ms > now)
        return;
    o->wake_ms = at;
    if (at != UINT64_MAX && !s->cfg.virtual_clock)
        later_add(&s->later, at > now ? at - now : 0, on_wake, o, at);
}
