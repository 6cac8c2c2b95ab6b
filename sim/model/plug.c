/* plug.c - one plug: its life, its relays, and the course of time. Contracts are in plug.h. */
#include "plug.h"
#include <stdlib.h>
#include <string.h>
#include "plug_internal.h"

/* Relay states reach the flash when they have been stable for more than 5 s.
 * Source: Tuya outlet FAQ, docs.ifreeq.com/faqs/smart-product-solution/electrical/outlet. */
enum { FLASH_MS = 5000 };

/* ---- life ---- */

bool plug_own(struct plug *p)
{
    if (p->owns_values)
        return true;
    size_t size = p->shape->n_dps * (sizeof *p->values + 1);
    int32_t *values = malloc(size + 1);
    if (values == NULL)
        return false;
    memcpy(values, p->values, size);
    p->values = values;
    p->owns_values = true;
    return true;
}

/* see plug.h */
int plug_new(struct plug **out, const struct shape *shape, const struct plug_world *world, uint32_t number,
             uint64_t now_ms)
{
    struct plug *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -1;
    p->shape = shape;
    p->world = world;
    p->number = number;
    p->now_ms = now_ms;
    p->timers_at = NEVER;
    p->readings = READINGS_BY_RULE;
    p->values = (int32_t *)(uintptr_t)shape->initial; /* not written to before plug_own() */
    *out = p;
    timers_arm(p);
    return 0;
}

/* see plug.h */
void plug_free(struct plug *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; p->texts != NULL && i < p->shape->n_dps; i++)
        free(p->texts[i]);
    free(p->texts);
    if (p->owns_values)
        free(p->values);
    free(p->outlets);
    free(p->meter);
    free(p);
}

/* see plug.h */
const struct shape *plug_shape(const struct plug *p)
{
    return p->shape;
}

/* see plug.h */
uint32_t plug_number_of(const struct plug *p)
{
    return p->number;
}

/* see plug.h */
size_t plug_memory(const struct plug *p)
{
    size_t n = sizeof *p;
    if (p->owns_values)
        n += p->shape->n_dps * (sizeof p->values[0] + 1);
    if (p->outlets != NULL)
        n += p->shape->n_relays * sizeof *p->outlets;
    if (p->meter != NULL)
        n += meter_size(p->meter);
    if (p->texts == NULL)
        return n;
    n += p->shape->n_dps * sizeof *p->texts;
    for (size_t i = 0; i < p->shape->n_dps; i++)
        n += p->texts[i] != NULL ? sizeof *p->texts[i] + p->texts[i]->len : 0;
    return n;
}

struct outlet *plug_outlets(struct plug *p)
{
    if (p->outlets != NULL || p->shape->n_relays == 0)
        return p->outlets;
    p->outlets = calloc(p->shape->n_relays, sizeof *p->outlets);
    for (size_t i = 0; p->outlets != NULL && i < p->shape->n_relays; i++)
        p->outlets[i] = (struct outlet){NEVER, NEVER, 0};
    return p->outlets;
}

int plug_find_role(const struct plug *p, enum dp_role role)
{
    return (int)p->shape->by_role[role] - 1;
}

/* ---- relays ---- */

/* The bits that a trip sets go when the relay is switched on again. Our inference: no log shows it. */
static void clear_faults(struct plug *p)
{
    int fault = plug_find_role(p, ROLE_FAULT);
    if (fault >= 0 && p->values[fault] != 0)
        plug_report(p, (size_t)fault, 0, false);
}

void plug_switch(struct plug *p, size_t pos, bool on)
{
    if (!plug_own(p))
        return;
    const struct dp_spec *dp = &p->shape->dps[pos];
    uint8_t *flags = &plug_flags(p)[pos];
    struct outlet *outlets = plug_outlets(p);
    struct outlet *o = outlets != NULL ? &outlets[dp->outlet] : NULL;
    if (o != NULL) {
        if (p->now_ms > o->settled) {
            *flags &= (uint8_t)~DP_FLASH;
            *flags |= p->values[pos] != 0 ? DP_FLASH : 0;
        }
        o->settled = p->now_ms + FLASH_MS;
        uint32_t inching_s = on ? timers_inching_s(p, pos) : 0;
        o->inching_end = inching_s > 0 ? p->now_ms + (uint64_t)inching_s * 1000 : NEVER;
    }
    p->values[pos] = on;
    *flags = (uint8_t)((*flags & ~DP_TEXT) | DP_KNOWN);
    plug_due(p, pos);
    /* Switching by hand, by app or by LAN cancels the countdown. Source: developer.tuya.com K9tp15ceh63gr. */
    if (o != NULL && o->countdown_end != NEVER) {
        o->countdown_end = NEVER;
        plug_report(p, dp->partner - 1u, 0, true);
    }
    if (on)
        clear_faults(p);
    meter_relay(p, pos, on);
}

/* see plug.h */
bool plug_press(struct plug *p, uint32_t relay, uint64_t now_ms)
{
    plug_advance(p, now_ms);
    int lock = plug_find_role(p, ROLE_CHILD_LOCK);
    if (lock >= 0 && p->values[lock] != 0)
        return false;
    int first = plug_find_role(p, ROLE_RELAY);
    const struct dp_spec *dp = relay != 0 ? shape_dp(p->shape, relay) : first >= 0 ? &p->shape->dps[first] : NULL;
    if (dp == NULL || dp->role != ROLE_RELAY)
        return false;
    size_t pos = (size_t)(dp - p->shape->dps);
    plug_switch(p, pos, p->values[pos] == 0);
    return true;
}

/* see plug.h */
size_t plug_refresh(struct plug *p, const uint32_t *ids, size_t n, uint64_t now_ms)
{
    plug_advance(p, now_ms);
    return meter_refresh(p, ids, n);
}

/* What relay_status says; the spellings of LAN, old firmware and cloud. Source: tuya-cloudcutter schemas (off, on,
 * memory; 0, 1, 2), tuya-local device files (power_off, power_on, last). */
static bool state_after_power(const struct plug *p, bool before)
{
    int pos = plug_find_role(p, ROLE_POWER_ON_STATE);
    if (pos < 0)
        return before;
    char word[32];
    struct tw_text t = {.data = word, .cap = sizeof word - 1};
    plug_put_value(p, &t, (size_t)pos);
    word[t.overflow ? 0 : t.len] = '\0';
    if (strcmp(word, "\"off\"") == 0 || strcmp(word, "\"0\"") == 0 || strcmp(word, "\"power_off\"") == 0)
        return false;
    if (strcmp(word, "\"on\"") == 0 || strcmp(word, "\"1\"") == 0 || strcmp(word, "\"power_on\"") == 0)
        return true;
    return before;
}

/* see plug.h */
void plug_power_cycle(struct plug *p, uint64_t now_ms)
{
    plug_advance(p, now_ms);
    if (!plug_own(p))
        return;
    uint8_t *flags = plug_flags(p);
    for (size_t i = 0; i < p->shape->n_dps; i++) {
        const struct dp_spec *dp = &p->shape->dps[i];
        if (dp->role == ROLE_COUNTDOWN)
            p->values[i] = 0;
        if (dp->role != ROLE_RELAY)
            continue;
        struct outlet *o = p->outlets != NULL ? &p->outlets[dp->outlet] : NULL;
        bool before = o != NULL && now_ms <= o->settled ? (flags[i] & DP_FLASH) != 0 : p->values[i] != 0;
        p->values[i] = state_after_power(p, before);
        flags[i] &= (uint8_t)~DP_FLASH;
        flags[i] |= p->values[i] != 0 ? DP_FLASH : 0;
        if (o != NULL)
            *o = (struct outlet){NEVER, NEVER, 0};
    }
    if (p->readings == READINGS_STUCK)
        p->readings = READINGS_BY_RULE;
    meter_power_cycle(p);
    timers_arm(p);
    plug_drop_due(p);
}

/* ---- time ---- */

uint64_t plug_countdown_end(const struct plug *p, size_t pos)
{
    const struct dp_spec *dp = &p->shape->dps[pos];
    if (dp->role != ROLE_COUNTDOWN || dp->partner == 0 || p->outlets == NULL)
        return NEVER;
    return p->outlets[p->shape->dps[dp->partner - 1].outlet].countdown_end;
}

void plug_resume_countdown(struct plug *p, uint32_t id, uint64_t end_ms)
{
    const struct dp_spec *dp = shape_dp(p->shape, id);
    if (dp == NULL || dp->role != ROLE_COUNTDOWN || dp->partner == 0 || (end_ms == NEVER && p->outlets == NULL) ||
        plug_outlets(p) == NULL)
        return;
    p->outlets[p->shape->dps[dp->partner - 1].outlet].countdown_end = end_ms > p->now_ms ? end_ms : p->now_ms;
}

static uint64_t outlet_deadline(const struct plug *p, size_t *which)
{
    uint64_t at = NEVER;
    for (size_t i = 0; p->outlets != NULL && i < p->shape->n_relays; i++) {
        const struct outlet *o = &p->outlets[i];
        uint64_t mine = o->countdown_end < o->inching_end ? o->countdown_end : o->inching_end;
        if (mine < at) {
            at = mine;
            *which = i;
        }
    }
    return at;
}

static size_t relay_of_outlet(const struct plug *p, size_t outlet)
{
    for (size_t i = 0; i < p->shape->n_dps; i++) {
        if (p->shape->dps[i].role == ROLE_RELAY && p->shape->dps[i].outlet == outlet)
            return i;
    }
    return 0;
}

/* At zero the relay toggles: it is not an "off timer". Source: developer.tuya.com K9tp15ceh63gr. */
static void outlet_fire(struct plug *p, size_t outlet)
{
    struct outlet *o = &p->outlets[outlet];
    size_t relay = relay_of_outlet(p, outlet);
    bool counted = o->countdown_end <= p->now_ms;
    if (o->inching_end <= p->now_ms)
        o->inching_end = NEVER;
    if (counted)
        plug_switch(p, relay, p->values[relay] == 0); /* puts the countdown to 0 as well */
    else if (p->values[relay] != 0)
        plug_switch(p, relay, false);
}

/* What a query shows of running countdowns: the seconds that are left, the last one counted until it is over. */
static void show_countdowns(struct plug *p)
{
    for (size_t i = 0; p->outlets != NULL && i < p->shape->n_dps; i++) {
        const struct dp_spec *dp = &p->shape->dps[i];
        if (dp->role != ROLE_COUNTDOWN || dp->partner == 0)
            continue;
        uint64_t end = p->outlets[p->shape->dps[dp->partner - 1].outlet].countdown_end;
        if (end != NEVER)
            p->values[i] = (int32_t)((end - p->now_ms + 999) / 1000);
    }
}

/* see plug.h */
void plug_advance(struct plug *p, uint64_t now_ms)
{
    if (now_ms < p->now_ms || (now_ms == p->now_ms && p->meter != NULL))
        return;
    for (;;) {
        size_t outlet = 0;
        uint64_t at = outlet_deadline(p, &outlet);
        bool timer = p->timers_at < at;
        if (timer)
            at = p->timers_at;
        uint64_t to = at < now_ms ? at : now_ms;
        /* A trip may cancel the very countdown that comes next: look again. */
        if (p->shape->has_metering && meter_run(p, to / 1000))
            continue;
        p->now_ms = to;
        if (at > now_ms)
            break;
        if (timer)
            timers_fire(p);
        else
            outlet_fire(p, outlet);
    }
    show_countdowns(p);
}

/* see plug.h */
uint64_t plug_deadline(const struct plug *p)
{
    size_t outlet;
    uint64_t at = outlet_deadline(p, &outlet);
    uint64_t second = p->shape->has_metering ? meter_deadline(p) : NEVER;
    if (second != NEVER && second * 1000 < at)
        at = second * 1000;
    return p->timers_at < at ? p->timers_at : at;
}

/* see plug.h */
void plug_set_readings(struct plug *p, enum plug_readings r, uint64_t now_ms)
{
    plug_advance(p, now_ms);
    p->readings = (uint8_t)r;
}
