/* plug.c - data points of one plug: in, out, and in the course of time. Contracts are in plug.h. */
#include "plug.h"
#include <stdlib.h>
#include <string.h>
#include "base64.h"
#include "plug_internal.h"

/* Relay states reach the flash when they have been stable for more than 5 s.
 * Source: Tuya outlet FAQ, docs.ifreeq.com/faqs/smart-product-solution/electrical/outlet. */
enum { FLASH_MS = 5000 };

static bool readable(const struct plug *p, size_t pos)
{
    return (plug_flags(p)[pos] & DP_KNOWN) != 0 && p->shape->dps[pos].access != DP_WO;
}

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

/* ---- values ---- */

void plug_due(struct plug *p, size_t pos)
{
    if (!readable(p, pos) || (plug_flags(p)[pos] & DP_DUE) != 0 || !plug_own(p))
        return;
    uint8_t *flags = &plug_flags(p)[pos];
    *flags |= DP_DUE;
    p->n_due++;
}

static struct tw_span text_of(const struct plug *p, size_t pos)
{
    const struct dp_spec *dp = &p->shape->dps[pos];
    if ((plug_flags(p)[pos] & DP_TEXT) != 0)
        return (struct tw_span){(const uint8_t *)p->texts[pos]->text, p->texts[pos]->len};
    if (dp->type == DP_STRING || dp->type == DP_RAW)
        return (struct tw_span){(const uint8_t *)dp->text, dp->text_len};
    return (struct tw_span){0};
}

int64_t plug_number(const struct plug *p, size_t pos)
{
    if ((plug_flags(p)[pos] & DP_TEXT) == 0)
        return p->values[pos];
    const struct value_text *v = p->texts[pos];
    int64_t n = 0;
    bool negative = v->len > 0 && v->text[0] == '-';
    for (size_t i = negative; i < v->len && v->text[i] >= '0' && v->text[i] <= '9' && n < INT64_MAX / 10 - 1; i++)
        n = n * 10 + (v->text[i] - '0');
    return negative ? -n : n;
}

/* @return 1: differs from before; 0: the same; -1: no memory */
static int store_text(struct plug *p, size_t pos, struct tw_span json)
{
    struct tw_span old = text_of(p, pos);
    if (old.len == json.len && json.len > 0 && memcmp(old.data, json.data, json.len) == 0)
        return 0;
    if (!plug_own(p))
        return -1;
    if (p->texts == NULL && (p->texts = calloc(p->shape->n_dps, sizeof *p->texts)) == NULL)
        return -1;
    struct value_text *v = malloc(sizeof *v + json.len);
    if (v == NULL)
        return -1;
    v->len = (uint32_t)json.len;
    memcpy(v->text, json.data, json.len);
    free(p->texts[pos]);
    p->texts[pos] = v;
    plug_flags(p)[pos] |= DP_TEXT;
    return 1;
}

/* @return as store_text() */
static int store_number(struct plug *p, size_t pos, int64_t value)
{
    if (value < INT32_MIN || value > INT32_MAX) {
        char digits[24];
        struct tw_text t = {.data = digits, .cap = sizeof digits};
        tw_text_put_int(&t, value);
        return store_text(p, pos, (struct tw_span){(const uint8_t *)digits, t.len});
    }
    if ((plug_flags(p)[pos] & DP_TEXT) == 0 && p->values[pos] == value)
        return 0;
    if (!plug_own(p))
        return -1;
    uint8_t *flags = &plug_flags(p)[pos];
    *flags &= (uint8_t)~DP_TEXT;
    p->values[pos] = (int32_t)value;
    return 1;
}

static void after_report(struct plug *p, size_t pos, bool changed)
{
    if (!plug_own(p))
        return;
    uint8_t *flags = &plug_flags(p)[pos];
    changed |= (*flags & DP_KNOWN) == 0;
    *flags |= DP_KNOWN;
    if (changed)
        plug_due(p, pos);
}

void plug_report(struct plug *p, size_t pos, int64_t value, bool always)
{
    const struct dp_spec *dp = &p->shape->dps[pos];
    if (dp->type == DP_INTEGER && value > dp->max)
        value = dp->max;
    if (dp->type == DP_INTEGER && value < dp->min)
        value = dp->min;
    after_report(p, pos, store_number(p, pos, value) > 0 || always);
}

int plug_report_text(struct plug *p, size_t pos, struct tw_span json, bool always)
{
    int changed = store_text(p, pos, json);
    if (changed >= 0)
        after_report(p, pos, changed > 0 || always);
    return changed < 0 ? -1 : 0;
}

/* ---- control ---- */

/* Position of a string among the values of an enum; -1: it is none. text is JSON with its quotes. */
static int enum_position(const struct dp_spec *dp, struct tw_span text)
{
    char word[256];
    size_t len;
    if (tw_json_string(word, sizeof word, &len, text) != TW_OK)
        return -1;
    for (size_t i = 0; i < dp->n_range; i++) {
        if (strlen(dp->range[i]) == len && memcmp(dp->range[i], word, len) == 0)
            return (int)i;
    }
    return -1;
}

/* The canonical JSON text of a string, as this project writes it: one form for one text. */
static enum plug_outcome canonical_text(struct tw_text *out, const struct dp_spec *dp, struct tw_span json)
{
    char *plain = malloc(json.len + 1);
    if (plain == NULL)
        return PLUG_NO_MEMORY;
    size_t len;
    enum plug_outcome result = PLUG_WRONG_TYPE;
    if (tw_json_string(plain, json.len + 1, &len, json) == TW_OK) {
        /* raw: the limit is for the bytes, of which base64 makes four characters out of three */
        int64_t limit = dp->type == DP_RAW ? (dp->max_len + 2) / 3 * 4 : dp->max_len;
        result = dp->max_len >= 0 && (int64_t)len > limit ? PLUG_OUT_OF_RANGE : PLUG_APPLIED;
        out->cap = 6 * len + 2;
        out->data = result == PLUG_APPLIED ? malloc(out->cap) : NULL;
        if (out->data != NULL)
            tw_text_put_string(out, (struct tw_span){(const uint8_t *)plain, len});
        else if (result == PLUG_APPLIED)
            result = PLUG_NO_MEMORY;
    }
    free(plain);
    return result;
}

static enum plug_outcome apply_text(struct plug *p, size_t pos, struct tw_span json)
{
    struct tw_text t = {0};
    enum plug_outcome result = canonical_text(&t, &p->shape->dps[pos], json);
    if (result == PLUG_APPLIED) {
        int changed = store_text(p, pos, (struct tw_span){(const uint8_t *)t.data, t.len});
        result = changed > 0 ? PLUG_APPLIED : changed == 0 ? PLUG_UNCHANGED : PLUG_NO_MEMORY;
    }
    free(t.data);
    return result;
}

static void start_countdown(struct plug *p, const struct dp_spec *dp, int64_t seconds)
{
    struct outlet *outlets = dp->partner != 0 ? plug_outlets(p) : NULL;
    if (outlets != NULL)
        outlets[p->shape->dps[dp->partner - 1].outlet].countdown_end =
            seconds > 0 ? p->now_ms + (uint64_t)seconds * 1000 : NEVER;
}

/* What happens on the device when this number is set; the value itself stands already. */
static void act_on(struct plug *p, size_t pos, int64_t value)
{
    const struct dp_spec *dp = &p->shape->dps[pos];
    int balance;
    switch (dp->role) {
    case ROLE_COUNTDOWN: start_countdown(p, dp, value); break;
    case ROLE_CLEAR_ENERGY:
        if (value != 0) {
            meter_clear(p);
            plug_report(p, pos, 0, true); /* a push button: our reading of the thing model */
        }
        break;
    case ROLE_CHARGE_ENERGY:
        if ((balance = plug_find_role(p, ROLE_ENERGY_BALANCE)) >= 0)
            meter_charge(p, value);
        break;
    default: break;
    }
}

static enum plug_outcome apply_number(struct plug *p, size_t pos, int64_t value)
{
    const struct dp_spec *dp = &p->shape->dps[pos];
    if (dp->role == ROLE_RELAY) {
        bool same = (p->values[pos] != 0) == (value != 0) && (plug_flags(p)[pos] & DP_KNOWN) != 0;
        if (same)
            return PLUG_UNCHANGED;
        plug_switch(p, pos, value != 0);
        return PLUG_APPLIED;
    }
    /* The same number of seconds starts a countdown anew, and the same charge is one more. */
    bool repeats = (dp->role == ROLE_COUNTDOWN || dp->role == ROLE_CHARGE_ENERGY) && value != 0;
    int changed = store_number(p, pos, value);
    if (changed < 0)
        return PLUG_NO_MEMORY;
    act_on(p, pos, value);
    return changed > 0 || repeats ? PLUG_APPLIED : PLUG_UNCHANGED;
}

static enum plug_outcome apply_value(struct plug *p, size_t pos, const struct tw_value *v)
{
    const struct dp_spec *dp = &p->shape->dps[pos];
    int word;
    switch (dp->type) {
    case DP_BOOL: return v->type == TW_VALUE_BOOL ? apply_number(p, pos, v->boolean) : PLUG_WRONG_TYPE;
    case DP_INTEGER:
        if (v->type != TW_VALUE_INTEGER)
            return PLUG_WRONG_TYPE;
        return v->integer < dp->min || v->integer > dp->max ? PLUG_OUT_OF_RANGE : apply_number(p, pos, v->integer);
    case DP_BITMAP:
        if (v->type != TW_VALUE_INTEGER)
            return PLUG_WRONG_TYPE;
        if (v->integer < 0 || v->integer > INT32_MAX || (dp->n_range > 0 && v->integer >> dp->n_range != 0))
            return PLUG_OUT_OF_RANGE;
        return apply_number(p, pos, v->integer);
    case DP_ENUM:
        if (v->type != TW_VALUE_STRING)
            return PLUG_WRONG_TYPE;
        word = enum_position(dp, v->text);
        return word < 0 ? PLUG_NOT_IN_RANGE : apply_number(p, pos, word);
    case DP_STRING:
    case DP_RAW: return v->type == TW_VALUE_STRING ? apply_text(p, pos, v->text) : PLUG_WRONG_TYPE;
    }
    return PLUG_WRONG_TYPE;
}

static enum plug_outcome apply(struct plug *p, const struct tw_dp *in, uint64_t now_ms, bool operator)
{
    plug_advance(p, now_ms);
    const struct dp_spec *dp = shape_dp(p->shape, in->id);
    if (dp == NULL)
        return PLUG_UNKNOWN;
    if (!plug_own(p))
        return PLUG_NO_MEMORY;
    size_t pos = (size_t)(dp - p->shape->dps);
    if (in->value.type == TW_VALUE_NULL) {
        if (operator)
            plug_hide(p, in->id);
        return PLUG_ASKED;
    }
    if (dp->access == DP_RO && !operator)
        return PLUG_READ_ONLY;
    bool known = (plug_flags(p)[pos] & DP_KNOWN) != 0;
    enum plug_outcome result = apply_value(p, pos, &in->value);
    if (result == PLUG_UNCHANGED && !known)
        result = PLUG_APPLIED;
    if (result != PLUG_APPLIED)
        return result;
    plug_flags(p)[pos] |= DP_KNOWN;
    plug_due(p, pos);
    if (dp->role == ROLE_CYCLE_TIMER || dp->role == ROLE_RANDOM_TIMER)
        timers_arm(p);
    if (dp->role == ROLE_ALARM_SETTINGS)
        meter_limits(p);
    return result;
}

/* see plug.h */
enum plug_outcome plug_apply(struct plug *p, const struct tw_dp *dp, uint64_t now_ms)
{
    return apply(p, dp, now_ms, false);
}

/* see plug.h */
enum plug_outcome plug_set(struct plug *p, const struct tw_dp *dp, uint64_t now_ms)
{
    return apply(p, dp, now_ms, true);
}

/* see plug.h */
const char *plug_outcome_name(enum plug_outcome o)
{
    static const char *const names[] = {
        [PLUG_APPLIED] = "applied",           [PLUG_UNCHANGED] = "unchanged",   [PLUG_ASKED] = "asked",
        [PLUG_UNKNOWN] = "unknown",           [PLUG_WRONG_TYPE] = "wrong_type", [PLUG_NOT_IN_RANGE] = "not_in_range",
        [PLUG_OUT_OF_RANGE] = "out_of_range", [PLUG_READ_ONLY] = "read_only",   [PLUG_NO_MEMORY] = "no_memory",
    };
    return (size_t)o < sizeof names / sizeof names[0] ? names[o] : "?";
}

int plug_restore(struct plug *p, size_t pos, const struct tw_value *v)
{
    if (!plug_own(p))
        return -1;
    const struct dp_spec *dp = &p->shape->dps[pos];
    uint8_t *flags = &plug_flags(p)[pos];
    int word = dp->type == DP_ENUM && v->type == TW_VALUE_STRING ? enum_position(dp, v->text) : -1;
    int done;
    if (v->type == TW_VALUE_NULL) {
        *flags &= (uint8_t) ~(DP_KNOWN | DP_DUE);
        return 0;
    }
    if (dp->type == DP_BOOL && v->type == TW_VALUE_BOOL)
        done = store_number(p, pos, v->boolean);
    else if ((dp->type == DP_INTEGER || dp->type == DP_BITMAP) && v->type == TW_VALUE_INTEGER)
        done = store_number(p, pos, v->integer);
    else if (word >= 0)
        done = store_number(p, pos, word);
    else
        done = store_text(p, pos, v->text);
    if (done < 0)
        return -1;
    *flags |= DP_KNOWN;
    if (dp->role == ROLE_RELAY) {
        *flags &= (uint8_t)~DP_FLASH;
        *flags |= p->values[pos] != 0 ? DP_FLASH : 0;
    }
    return 0;
}

int plug_restore_all(struct plug *p, struct tw_span dps)
{
    struct tw_dp in;
    for (size_t pos = 0; tw_dps_next(&in, &pos, dps) == 1;) {
        const struct dp_spec *dp = shape_dp(p->shape, in.id);
        if (dp != NULL && plug_restore(p, (size_t)(dp - p->shape->dps), &in.value) != 0)
            return -1;
    }
    timers_arm(p);
    meter_limits(p);
    return 0;
}

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
    if (dp == NULL || dp->role != ROLE_COUNTDOWN || dp->partner == 0 || plug_outlets(p) == NULL)
        return;
    p->outlets[p->shape->dps[dp->partner - 1].outlet].countdown_end = end_ms > p->now_ms ? end_ms : p->now_ms;
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

/* ---- out ---- */

/* Digits of a number without printf: this is the path of every reply. @return behind the last one */
static char *put_digits(char *out, int32_t value)
{
    char reversed[12];
    uint32_t v = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    size_t n = 0;
    do
        reversed[n++] = (char)('0' + v % 10);
    while ((v /= 10) != 0);
    if (value < 0)
        *out++ = '-';
    while (n > 0)
        *out++ = reversed[--n];
    return out;
}

/* What stands for a value, if it needs no digits. */
static struct tw_span word_of(const struct plug *p, size_t pos)
{
    static const struct tw_span truth[] = {{(const uint8_t *)"false", 5}, {(const uint8_t *)"true", 4}},
                                none = {(const uint8_t *)"\"\"", 2};
    const struct dp_spec *dp = &p->shape->dps[pos];
    struct tw_span text = text_of(p, pos);
    if (text.len > 0)
        return text;
    if (dp->type == DP_BOOL)
        return truth[p->values[pos] != 0];
    if (dp->type == DP_ENUM)
        return (uint32_t)p->values[pos] < dp->n_range ? dp->words[p->values[pos]] : none;
    return (struct tw_span){0};
}

void plug_put_value(const struct plug *p, struct tw_text *t, size_t pos)
{
    char digits[12];
    struct tw_span word = word_of(p, pos);
    if (word.len == 0)
        word = (struct tw_span){(const uint8_t *)digits, (size_t)(put_digits(digits, p->values[pos]) - digits)};
    tw_text_put_span(t, word);
}

size_t plug_bytes(const struct plug *p, size_t pos, uint8_t out[PLUG_BYTES_MAX])
{
    char text[PLUG_BYTES_MAX / 3 * 4 + 16];
    struct tw_text t = {.data = text, .cap = sizeof text};
    plug_put_value(p, &t, pos);
    return t.overflow || t.len < 2 ? 0 : base64_decode(out, PLUG_BYTES_MAX, text + 1, t.len - 2);
}

static void put_member(const struct plug *p, struct tw_text *t, size_t pos, size_t n_before)
{
    enum { DIGITS_MAX = 11 };
    const struct dp_spec *dp = &p->shape->dps[pos];
    struct tw_span word = word_of(p, pos);
    if (t->overflow || t->cap - t->len < 1u + sizeof dp->key + DIGITS_MAX + word.len) { /* tight: step by step */
        tw_text_put(t, n_before > 0 ? "," : "");
        tw_text_put(t, dp->key);
        plug_put_value(p, t, pos);
        return;
    }
    char *at = t->data + t->len;
    if (n_before > 0)
        *at++ = ',';
    memcpy(at, dp->key, sizeof dp->key); /* of fixed size, and there is room: the key is shorter */
    at += dp->key_len;
    if (word.len == 0) {
        at = put_digits(at, p->values[pos]);
    } else {
        memcpy(at, word.data, word.len);
        at += word.len;
    }
    t->len = (size_t)(at - t->data);
}

/* see plug.h */
size_t plug_write(const struct plug *p, struct tw_text *t)
{
    size_t n = 0;
    tw_text_put(t, "{");
    for (size_t i = 0; i < p->shape->n_dps; i++) {
        if (readable(p, i))
            put_member(p, t, i, n++);
    }
    tw_text_put(t, "}");
    return n;
}

/* see plug.h */
size_t plug_write_ids(const struct plug *p, struct tw_text *t, const uint32_t *ids, size_t n_ids)
{
    size_t n = 0;
    bool wanted[256] = {false};
    for (size_t i = 0; i < n_ids; i++) {
        if (ids[i] < 256)
            wanted[ids[i]] = true;
    }
    tw_text_put(t, "{");
    for (size_t i = 0; i < p->shape->n_dps; i++) {
        if (wanted[p->shape->dps[i].id] && readable(p, i))
            put_member(p, t, i, n++);
    }
    tw_text_put(t, "}");
    return n;
}

/* see plug.h */
bool plug_write_value(const struct plug *p, struct tw_text *t, uint32_t id)
{
    const struct dp_spec *dp = shape_dp(p->shape, id);
    if (dp == NULL || !readable(p, (size_t)(dp - p->shape->dps)))
        return false;
    plug_put_value(p, t, (size_t)(dp - p->shape->dps));
    return true;
}

/* see plug.h */
bool plug_has_due(const struct plug *p)
{
    return p->n_due > 0;
}

/* see plug.h */
size_t plug_take_due(struct plug *p, struct tw_text *t, size_t max)
{
    if (p->n_due == 0)
        return 0;
    uint8_t *flags = plug_flags(p);
    size_t n = 0, last = 0;
    tw_text_put(t, "{");
    for (size_t i = 0; i < p->shape->n_dps && (max == 0 || n < max); i++) {
        if ((flags[i] & DP_DUE) != 0) {
            put_member(p, t, i, n++);
            last = i;
        }
    }
    tw_text_put(t, "}");
    if (t->overflow)
        return 0;
    for (size_t i = 0; i <= last; i++)
        flags[i] &= (uint8_t)~DP_DUE;
    p->n_due = (uint16_t)(p->n_due - n);
    return n;
}

/* see plug.h */
void plug_mark(struct plug *p, uint32_t id)
{
    const struct dp_spec *dp = shape_dp(p->shape, id);
    if (dp != NULL)
        plug_due(p, (size_t)(dp - p->shape->dps));
}

/* see plug.h */
void plug_drop_due(struct plug *p)
{
    uint8_t *flags = plug_flags(p);
    for (size_t i = 0; p->n_due > 0 && i < p->shape->n_dps; i++)
        flags[i] &= (uint8_t)~DP_DUE;
    p->n_due = 0;
}

/* see plug.h */
void plug_hide(struct plug *p, uint32_t id)
{
    const struct dp_spec *dp = shape_dp(p->shape, id);
    if (dp == NULL || !plug_own(p))
        return;
    uint8_t *flags = &plug_flags(p)[dp - p->shape->dps];
    if ((*flags & DP_DUE) != 0)
        p->n_due--;
    *flags &= (uint8_t) ~(DP_KNOWN | DP_DUE);
}
