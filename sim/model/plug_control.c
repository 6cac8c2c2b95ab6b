/* plug_control.c - what a plug is told, by clients, by the operator, and by a file. Contracts are in plug.h. */
#include <stdlib.h>
#include <string.h>
#include "plug_internal.h"

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
        int changed = plug_store_text(p, pos, (struct tw_span){(const uint8_t *)t.data, t.len});
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
    int changed = plug_store_number(p, pos, value);
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

/* What is as it is in any new plug costs no memory: a large fleet mostly comes back untouched. */
int plug_restore(struct plug *p, size_t pos, const struct tw_value *v)
{
    const struct dp_spec *dp = &p->shape->dps[pos];
    int word = dp->type == DP_ENUM && v->type == TW_VALUE_STRING ? enum_position(dp, v->text) : -1;
    int changed;
    if (v->type == TW_VALUE_OBJECT || v->type == TW_VALUE_ARRAY)
        return 0; /* no data point nests, and what nests deep could be written but not read again */
    if (v->type == TW_VALUE_NULL)
        changed = plug_store_number(p, pos, p->shape->initial[pos]) < 0 ? -1 : 1; /* behind that: as in a new plug */
    else if (dp->type == DP_BOOL && v->type == TW_VALUE_BOOL)
        changed = plug_store_number(p, pos, v->boolean);
    else if ((dp->type == DP_INTEGER || dp->type == DP_BITMAP) && v->type == TW_VALUE_INTEGER)
        changed = plug_store_number(p, pos, v->integer);
    else if (word >= 0)
        changed = plug_store_number(p, pos, word);
    else
        changed = plug_store_text(p, pos, v->text);
    if (changed < 0 || (changed == 0 && (plug_flags(p)[pos] & DP_KNOWN) != 0))
        return changed;
    if (!plug_own(p))
        return -1;
    uint8_t *flags = &plug_flags(p)[pos];
    *flags &= (uint8_t) ~(v->type == TW_VALUE_NULL ? DP_KNOWN | DP_DUE : DP_FLASH);
    if (v->type != TW_VALUE_NULL)
        *flags |= dp->role == ROLE_RELAY && p->values[pos] != 0 ? DP_KNOWN | DP_FLASH : DP_KNOWN;
    return 0;
}

int plug_restore_all(struct plug *p, struct tw_span dps)
{
    struct tw_dp in;
    for (size_t pos = 0; tw_dps_next(&in, &pos, dps) == 1;) {
        const struct dp_spec *dp = shape_dp(p->shape, in.id);
        if (dp == NULL)
            continue;
        size_t at = (size_t)(dp - p->shape->dps);
        if (plug_restore(p, at, &in.value) != 0)
            return -1;
        int64_t left = dp->role == ROLE_COUNTDOWN ? plug_number(p, at) : 0;
        if (dp->role == ROLE_COUNTDOWN) /* it was running when the values were taken, or it was not */
            plug_resume_countdown(p, dp->id, left > 0 ? p->now_ms + (uint64_t)left * 1000 : NEVER);
    }
    timers_arm(p);
    meter_limits(p);
    return 0;
}
