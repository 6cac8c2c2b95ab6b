/* profile_devices.c - profiles of devices that users have: out of mappings, categories and values.
 *
 * Source of the mapping's shape: TinyTuya wizard and cloud module, 2025. A mapping lists what the cloud publishes, not
 * what the device has: so values that a snapshot shows add data points, and enum words of the cloud become the LAN's. */
#include <stdlib.h>
#include <string.h>
#include "profile_store.h"

enum { DPS_MAX = 255, USB_CHANNELS = 100 };

struct builder {
    struct arena *arena;
    struct dp_spec dps[DPS_MAX + 1]; /* by id; id 0: not there */
};

static bool is_reading(enum dp_role role)
{
    switch (role) {
    case ROLE_ENERGY_INCREMENT:
    case ROLE_ENERGY_TOTAL:
    case ROLE_ENERGY_BALANCE:
    case ROLE_CURRENT:
    case ROLE_POWER:
    case ROLE_VOLTAGE:
    case ROLE_PHASE:
    case ROLE_LEAKAGE:
    case ROLE_CALIBRATION:
    case ROLE_TEST:
    case ROLE_FAULT:
    case ROLE_SERIAL: return true;
    default: return false;
    }
}

static enum dp_report report_of(enum dp_role role)
{
    switch (role) {
    case ROLE_CURRENT:
    case ROLE_POWER:
    case ROLE_VOLTAGE: return REPORT_METERING;
    case ROLE_ENERGY_INCREMENT: return REPORT_INCREMENT;
    case ROLE_PHASE: return REPORT_INTERVAL;
    case ROLE_CALIBRATION:
    case ROLE_TEST:
    case ROLE_SERIAL: return REPORT_SILENT;
    default: return REPORT_CHANGE;
    }
}

static void set_role(struct dp_spec *dp)
{
    dp->role = role_of_code(&dp->channel, dp->code);
    bool number = dp->type == DP_INTEGER, truth = dp->type == DP_BOOL,
         text = dp->type == DP_STRING || dp->type == DP_RAW;
    switch (dp->role) {
    case ROLE_RELAY:
    case ROLE_CHILD_LOCK:
    case ROLE_CLEAR_ENERGY:
    case ROLE_PREPAYMENT: dp->role = truth ? dp->role : ROLE_NONE; break;
    case ROLE_COUNTDOWN:
    case ROLE_ENERGY_INCREMENT:
    case ROLE_ENERGY_TOTAL:
    case ROLE_ENERGY_BALANCE:
    case ROLE_CHARGE_ENERGY:
    case ROLE_CURRENT:
    case ROLE_POWER:
    case ROLE_VOLTAGE: dp->role = number ? dp->role : ROLE_NONE; break;
    case ROLE_PHASE:
    case ROLE_CYCLE_TIMER:
    case ROLE_RANDOM_TIMER:
    case ROLE_INCHING_TIMER: dp->role = text ? dp->role : ROLE_NONE; break;
    default: break;
    }
    dp->encoding = dp->role == ROLE_PHASE ? ENCODING_PHASE8 : ENCODING_NONE;
    dp->encoding_name = dp->role == ROLE_PHASE ? "phase8" : "";
    dp->access = is_reading(dp->role) ? DP_RO : DP_RW;
    dp->report = report_of(dp->role);
}

static void plain_dp(struct dp_spec *dp, uint8_t id, const char *code, enum dp_type type)
{
    *dp = (struct dp_spec){.id = id, .type = type, .code = code, .unit = "", .encoding_name = "", .step = 1};
    dp->max_len = -1;
    dp->text = "\"\"";
    dp->text_len = 2;
    dp->has_initial = true;
    dp->min = 0;
    dp->max = INT32_MAX;
}

static enum dp_type type_of_mapping(enum devices_dp_type t)
{
    switch (t) {
    case DEVICES_DP_BOOLEAN: return DP_BOOL;
    case DEVICES_DP_INTEGER: return DP_INTEGER;
    case DEVICES_DP_ENUM: return DP_ENUM;
    case DEVICES_DP_BITMAP: return DP_BITMAP;
    case DEVICES_DP_RAW: return DP_RAW;
    default: return DP_STRING;
    }
}

static int64_t clamp32(int64_t v)
{
    return v < INT32_MIN ? INT32_MIN : v > INT32_MAX ? INT32_MAX : v;
}

/* The cloud's words of relay_status are not the LAN's. Source: tuya-local device files, some list both. */
static const char *lan_word(const struct dp_spec *dp, const char *word)
{
    if (dp->role != ROLE_POWER_ON_STATE)
        return word;
    if (strcmp(word, "power_off") == 0)
        return "off";
    if (strcmp(word, "power_on") == 0)
        return "on";
    return strcmp(word, "last") == 0 ? "memory" : word;
}

static void copy_range(struct builder *b, struct dp_spec *dp, const struct devices_dp *in)
{
    const char **range = in->n_labels > 0 ? arena_alloc(b->arena, in->n_labels * sizeof *range) : NULL;
    for (size_t i = 0; range != NULL && i < in->n_labels; i++) {
        const char *word = lan_word(dp, in->labels[i]);
        bool known = false; /* a list with both spellings would have each word twice */
        for (size_t k = 0; k < dp->n_range; k++)
            known |= strcmp(range[k], word) == 0;
        if (!known)
            range[dp->n_range++] = arena_text(b->arena, word);
    }
    dp->range = range;
}

/* The standard id of a code, for mappings that the cloud gave without ids; 0: none known. */
static uint8_t id_of_code(const struct profile *base, const char *code)
{
    for (size_t i = 0; i < base->shape.n_dps; i++) {
        if (strcmp(base->shape.dps[i].code, code) == 0)
            return base->shape.dps[i].id;
    }
    return 0;
}

static void add_mapping(struct builder *b, const struct devices_entry *e, const struct profile *base)
{
    for (size_t i = 0; i < e->n_dps; i++) {
        const struct devices_dp *in = &e->dps[i];
        uint32_t id = in->id != 0 ? in->id : id_of_code(base, in->code);
        if (id == 0 || id > DPS_MAX || b->dps[id].id != 0)
            continue;
        struct dp_spec *dp = &b->dps[id];
        plain_dp(dp, (uint8_t)id, arena_text(b->arena, in->code), type_of_mapping(in->type));
        set_role(dp);
        dp->unit = arena_text(b->arena, in->unit);
        dp->scale = (uint8_t)in->scale;
        dp->max_len = in->max_len;
        if (in->has_range && dp->type == DP_INTEGER) {
            dp->min = clamp32(in->min);
            dp->max = clamp32(in->max);
            dp->step = in->step;
            dp->initial = dp->min;
        }
        if (dp->type == DP_ENUM || dp->type == DP_BITMAP)
            copy_range(b, dp, in);
        if (dp->type == DP_ENUM && dp->n_range == 0)
            dp->type = DP_STRING;
    }
}

/* Data points that only the values show: by their type, or as the profile of the category has them. */
static void add_values(struct builder *b, struct tw_span values, const struct profile *base)
{
    struct tw_dp in;
    for (size_t pos = 0; tw_dps_next(&in, &pos, values) == 1;) {
        if (in.id == 0 || in.id > DPS_MAX || b->dps[in.id].id != 0)
            continue;
        enum dp_type type = in.value.type == TW_VALUE_BOOL      ? DP_BOOL
                            : in.value.type == TW_VALUE_INTEGER ? DP_INTEGER
                                                                : DP_STRING;
        const struct dp_spec *known = shape_dp(&base->shape, in.id);
        bool is_absent = in.value.type == TW_VALUE_NULL;
        if (known == NULL && is_absent)
            continue;
        bool text = known != NULL && (known->type == DP_ENUM || known->type == DP_RAW || known->type == DP_STRING);
        bool fits = known != NULL && (is_absent || known->type == type || (type == DP_STRING && text) ||
                                      (type == DP_INTEGER && known->type == DP_BITMAP));
        if (fits) {
            b->dps[in.id] = *known;
            continue;
        }
        plain_dp(&b->dps[in.id], (uint8_t)in.id, "", type);
        b->dps[in.id].min = INT32_MIN;
    }
}

/* What the profile of the category has: all of it, or, when values tell what there really is, only what may be
 * absent from them. */
static void add_base(struct builder *b, const struct profile *base, bool only_absent)
{
    for (size_t i = 0; i < base->shape.n_dps; i++) {
        const struct dp_spec *dp = &base->shape.dps[i];
        if (b->dps[dp->id].id == 0 && (!only_absent || !dp->has_initial || dp->access == DP_WO))
            b->dps[dp->id] = *dp;
    }
}

/* Texts of a built-in profile that goes away when this one is done. */
static void keep_texts(struct builder *b, struct dp_spec *dp)
{
    dp->code = arena_text(b->arena, dp->code);
    dp->unit = arena_text(b->arena, dp->unit);
    dp->encoding_name = arena_text(b->arena, dp->encoding_name);
    dp->text = arena_text(b->arena, dp->text);
    if (dp->n_range == 0)
        return;
    const char **range = arena_alloc(b->arena, dp->n_range * sizeof *range);
    for (size_t i = 0; range != NULL && i < dp->n_range; i++)
        range[i] = arena_text(b->arena, dp->range[i]);
    dp->range = range;
}

/* A value below 160 V tells a house in America: our choice. */
static uint32_t nominal_of(struct tw_span values, const struct shape *s)
{
    enum { BETWEEN_MV = 160000, LOWEST_MV = 80000 };
    for (size_t i = 0; i < s->n_dps; i++) {
        struct tw_dp v;
        if (s->dps[i].role != ROLE_VOLTAGE || tw_dps_find(&v, values, s->dps[i].id) != TW_OK)
            continue;
        int64_t mv = v.value.type == TW_VALUE_INTEGER && v.value.integer < 1000000 ? v.value.integer * 1000 : 0;
        for (unsigned k = 0; k < s->dps[i].scale; k++)
            mv /= 10;
        if (mv > LOWEST_MV && mv < BETWEEN_MV)
            return 120000;
    }
    return 230000;
}

/* Whose load is measured: what the profile says, or, by a mapping alone, all but USB. */
static bool is_metered(const struct dp_spec *dp, const struct metering *known)
{
    bool listed = known == NULL && dp->channel <= USB_CHANNELS;
    for (size_t i = 0; known != NULL && i < known->n_relays; i++)
        listed |= known->relays[i] == dp->id;
    return dp->role == ROLE_RELAY && listed;
}

static void add_meter(struct shape *s, const struct profile *base, struct tw_span values, bool has_mapping)
{
    bool measures = false;
    for (size_t i = 0; i < s->n_dps; i++)
        measures |= is_reading(s->dps[i].role) && s->dps[i].role != ROLE_FAULT && s->dps[i].role != ROLE_SERIAL;
    if (!measures)
        return;
    const struct profile *lent = NULL;
    if (!base->shape.has_metering && profile_builtin(&lent, "energy-plug") == 0)
        base = lent;
    const struct metering source = base->shape.metering, *known = has_mapping ? NULL : &source;
    s->metering = source;
    profile_unref(lent);
    s->metering.nominal_mv = nominal_of(values, s);
    if (s->metering.nominal_mv < 200000) {
        s->metering.nominal_hz = 60;
        s->metering.overvoltage_mv = s->metering.overvoltage_mv / 2;
        s->metering.undervoltage_mv = s->metering.undervoltage_mv / 2;
    }
    s->metering.n_relays = 0;
    for (size_t i = 0; i < s->n_dps; i++) {
        if (is_metered(&s->dps[i], known) && s->metering.n_relays < 16)
            s->metering.relays[s->metering.n_relays++] = s->dps[i].id;
    }
    if (s->metering.n_relays == 0) {
        s->metering.relays[0] = 0;
        s->metering.n_relays = 1; /* a clamp: always on */
    }
    s->has_metering = true;
}

/* @return 0; -1: no memory */
static int build_shape(struct arena *a, struct shape *s, const struct devices_entry *e, struct tw_span values)
{
    const struct profile *base;
    struct builder *b = calloc(1, sizeof *b);
    if (b == NULL || profile_builtin(&base, profile_of_category(e->category)) != 0) {
        free(b);
        return -1;
    }
    b->arena = a;
    if (e->has_mapping)
        add_mapping(b, e, base);
    add_values(b, values, base);
    if (!e->has_mapping)
        add_base(b, base, values.len > 2); /* more than {} */
    size_t n = 0;
    for (size_t id = 1; id <= DPS_MAX; id++)
        n += b->dps[id].id != 0;
    struct dp_spec *dps = arena_alloc(a, (n + 1) * sizeof *dps);
    size_t at = 0;
    for (size_t id = 1; dps != NULL && id <= DPS_MAX; id++) {
        if (b->dps[id].id == 0)
            continue;
        dps[at] = b->dps[id];
        dps[at].partner = dps[at].outlet = 0; /* as they stood in another shape */
        keep_texts(b, &dps[at++]);
    }
    s->category = arena_text(a, e->category);
    s->product_name = arena_text(a, e->product_name);
    s->product_id = arena_text(a, e->product_id);
    shape_finish(a, s, dps, at);
    add_meter(s, base, values, e->has_mapping);
    profile_unref(base);
    free(b);
    return a->failed ? -1 : 0;
}

/* see profile.h */
int profile_of_device(const struct profile **out, const struct devices_entry *entry, struct tw_span values,
                      const struct profile_sub *subs, size_t n_subs)
{
    const struct profile *base;
    const char *base_name = n_subs > 0 ? "zigbee-gateway" : profile_of_category(entry->category);
    if (profile_builtin(&base, base_name) != 0)
        return -1;
    struct profile_store *store = profile_begin();
    if (store == NULL) {
        profile_unref(base);
        return -1;
    }
    struct profile *p = &store->profile;
    struct arena *a = &store->arena;
    p->name = arena_text(a, base_name);
    p->title = arena_text(a, entry->product_name);
    p->note = "";
    p->version = base->version;
    p->gateway = base->gateway;
    p->lan = base->lan;
    p->id_length = strlen(entry->id) == 20 ? 20 : 22;
    if (!base->gateway) /* older firmware names the device: TuyaAPI issue 268 */
        p->lan.query_shape = p->id_length == 20 ? QUERY_DEVID_DPS : QUERY_DPS;
    int rc = 0;
    if (base->gateway && !entry->has_mapping)
        shape_finish(a, &p->shape, NULL, 0);
    else
        rc = build_shape(a, &p->shape, entry, values);
    p->shape.category = arena_text(a, entry->category);
    p->shape.product_name = arena_text(a, entry->product_name);
    p->shape.product_id = arena_text(a, entry->product_id);
    struct child_spec *children = n_subs > 0 ? arena_alloc(a, n_subs * sizeof *children) : NULL;
    for (size_t i = 0; rc == 0 && children != NULL && i < n_subs; i++) {
        children[i].cid = arena_text(a, devices_cid(subs[i].entry));
        children[i].name = arena_text(a, subs[i].entry->name);
        rc = build_shape(a, &children[i].shape, subs[i].entry, subs[i].values);
    }
    p->children = children;
    p->n_children = children != NULL ? n_subs : 0;
    profile_unref(base);
    if (rc != 0 || a->failed) {
        profile_unref(p);
        return -1;
    }
    *out = p;
    return 0;
}
