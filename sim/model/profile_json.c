/* profile_json.c - a profile file, read with a pencil: every error is named, the first does not hide the others.
 *
 * The format is ours; docs/profiles.md describes it. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <cjson/cJSON.h>
#include "profile_store.h"

enum { CHILDREN_MAX = 256, WHERE_LEN = 96 };

struct reader {
    struct arena *arena;
    struct problems *problems;
    char where[WHERE_LEN]; /* "dps[3] (id 18)", stands before each error; "" at the top */
};

static void complain(struct reader *r, const char *key, const char *text)
{
    if (r->where[0] != '\0')
        problem_add(r->problems, "%s: \"%s\": %s", r->where, key, text);
    else
        problem_add(r->problems, "\"%s\": %s", key, text);
}

/* Names are lists like "|id|code|type|". */
static void check_keys(struct reader *r, const cJSON *object, const char *known)
{
    for (const cJSON *m = object->child; m != NULL; m = m->next) {
        char name[64];
        snprintf(name, sizeof name, "|%.60s|", m->string);
        if (strchr(m->string, '|') != NULL || strlen(m->string) > 60 || strstr(known, name) == NULL)
            complain(r, m->string, "unknown key");
        else if (cJSON_GetObjectItemCaseSensitive(object, m->string) != m)
            complain(r, m->string, "key appears twice");
    }
}

static const cJSON *member(struct reader *r, const cJSON *object, const char *key)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, key);
    if (m == NULL)
        complain(r, key, "missing");
    return m;
}

static const char *read_text(struct reader *r, const cJSON *object, const char *key)
{
    const cJSON *m = member(r, object, key);
    if (m == NULL)
        return "";
    if (!cJSON_IsString(m)) {
        complain(r, key, "has to be a string");
        return "";
    }
    return arena_text(r->arena, m->valuestring);
}

static bool read_bool(struct reader *r, const cJSON *object, const char *key)
{
    const cJSON *m = member(r, object, key);
    if (m != NULL && !cJSON_IsBool(m))
        complain(r, key, "has to be true or false");
    return cJSON_IsTrue(m);
}

/* A number times `factor` as a whole number; the file says 2.5, the model wants 2500. */
static int64_t read_scaled(struct reader *r, const cJSON *object, const char *key, int64_t min, int64_t max,
                           int64_t factor)
{
    const cJSON *m = member(r, object, key);
    if (m == NULL)
        return min;
    double v = m->valuedouble * (double)factor;
    double whole = floor(v + 0.5);
    if (!cJSON_IsNumber(m) || fabs(v - whole) > 1e-6 * fmax(1, fabs(v))) {
        complain(r, key, factor == 1 ? "has to be a whole number" : "has to be a number with fewer decimals");
        return min;
    }
    if (!(whole >= (double)min && whole <= (double)max) && min == max) {
        char text[64];
        snprintf(text, sizeof text, "has to be %lld: this program knows no other", (long long)min);
        complain(r, key, text);
        return min;
    }
    if (!(whole >= (double)min && whole <= (double)max)) {
        char text[96];
        snprintf(text, sizeof text, "has to be from %lld to %lld", (long long)(min / factor),
                 (long long)(max / factor));
        complain(r, key, text);
        return min;
    }
    return (int64_t)whole;
}

static int64_t read_int(struct reader *r, const cJSON *object, const char *key, int64_t min, int64_t max)
{
    return read_scaled(r, object, key, min, max, 1);
}

/* Position of a word in names; complains with all of them. */
static size_t read_choice(struct reader *r, const cJSON *object, const char *key, const char *const *names, size_t n)
{
    const cJSON *m = member(r, object, key);
    if (m == NULL)
        return 0;
    for (size_t i = 0; cJSON_IsString(m) && i < n; i++) {
        if (strcmp(names[i], m->valuestring) == 0)
            return i;
    }
    char text[640] = "has to be one of";
    size_t len = strlen(text);
    for (size_t i = 0; i < n && len < sizeof text - 24; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s %s", i > 0 ? "," : "", names[i]);
    complain(r, key, text);
    return 0;
}
#define CHOICE(r, object, key, ...)                                                                                  \
    read_choice(r, object, key, (const char *const[]){__VA_ARGS__},                                                  \
                sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static const char *const *read_texts(struct reader *r, const cJSON *object, const char *key, size_t *n)
{
    *n = 0;
    const cJSON *list = member(r, object, key);
    if (list == NULL)
        return NULL;
    size_t count = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0;
    const char **texts = count > 0 ? arena_alloc(r->arena, count * sizeof *texts) : NULL;
    if (texts == NULL) {
        complain(r, key, "has to be a list of strings, not empty");
        return NULL;
    }
    for (const cJSON *m = list->child; m != NULL; m = m->next) {
        if (!cJSON_IsString(m)) {
            complain(r, key, "has to be a list of strings");
            *n = 0;
            return NULL;
        }
        texts[(*n)++] = arena_text(r->arena, m->valuestring);
    }
    return texts;
}

static void read_lan(struct reader *r, struct lan *out, const cJSON *o)
{
    check_keys(
        r, o,
        "|max_clients|idle_timeout_s|query_shape|ack_retcode|push_scope|push_on_no_change|update_dps|device22|");
    out->max_clients = (uint32_t)read_int(r, o, "max_clients", 0, 100000);
    out->idle_timeout_s = (uint32_t)read_int(r, o, "idle_timeout_s", 0, 86400);
    out->query_shape = (enum query_shape)CHOICE(r, o, "query_shape", "dps", "devid_dps");
    out->ack_retcode = (uint32_t)read_int(r, o, "ack_retcode", 0, 1);
    out->push_scope = (enum push_scope)CHOICE(r, o, "push_scope", "changed", "all");
    out->push_on_no_change = read_bool(r, o, "push_on_no_change");
    out->update_dps = (enum update_dps)CHOICE(r, o, "update_dps", "status", "ack_only", "ack_and_status", "ignore");
    out->device22 = read_bool(r, o, "device22");
}

static void read_reporting(struct reader *r, struct reporting *out, const cJSON *o)
{
    check_keys(r, o,
               "|judge_s|fast_s|voltage_pct|power_pct|small_load_w|small_step_w|unchanged_s|raw_s|energy_period_s|"
               "energy_min_wh|energy_early_s|energy_early_wh|");
    out->judge_s = (uint32_t)read_int(r, o, "judge_s", 1, 86400);
    out->fast_s = (uint32_t)read_int(r, o, "fast_s", 1, 86400);
    out->voltage_pct10 = (uint32_t)read_scaled(r, o, "voltage_pct", 0, 1000, 10);
    out->power_pct10 = (uint32_t)read_scaled(r, o, "power_pct", 0, 10000, 10);
    out->small_load_mw = (uint32_t)read_scaled(r, o, "small_load_w", 0, 100000000, 1000);
    out->small_step_mw = (uint32_t)read_scaled(r, o, "small_step_w", 0, 100000000, 1000);
    out->unchanged_s = (uint32_t)read_int(r, o, "unchanged_s", 1, 604800);
    out->raw_s = (uint32_t)read_int(r, o, "raw_s", 0, 86400);
    out->energy_period_s = (uint32_t)read_int(r, o, "energy_period_s", 1, 604800);
    out->energy_min_wh = (uint32_t)read_int(r, o, "energy_min_wh", 1, 1000000);
    out->energy_early_s = (uint32_t)read_int(r, o, "energy_early_s", 1, 604800);
    out->energy_early_wh = (uint32_t)read_int(r, o, "energy_early_wh", 1, 1000000);
}

static void read_relays(struct reader *r, struct metering *out, const cJSON *o, const struct shape *shape)
{
    const cJSON *list = member(r, o, "relays");
    if (list == NULL)
        return;
    if (!cJSON_IsArray(list))
        complain(r, "relays", "has to be a list of ids");
    else if (list->child == NULL)
        out->n_relays = 1;  /* id 0: always on */
    if (shape->dps == NULL) /* they have errors of their own */
        return;
    for (const cJSON *m = list->child; cJSON_IsArray(list) && m != NULL; m = m->next) {
        const struct dp_spec *dp = cJSON_IsNumber(m) && m->valuedouble >= 1 && m->valuedouble < 256
                                       ? shape_dp(shape, (uint32_t)m->valueint)
                                       : NULL;
        if (dp == NULL || dp->role != ROLE_RELAY || out->n_relays == sizeof out->relays) {
            complain(r, "relays", "lists ids of data points with the role relay, at most 16");
            return;
        }
        out->relays[out->n_relays++] = dp->id;
    }
}

static void read_metering(struct reader *r, struct shape *shape, const cJSON *object)
{
    const cJSON *o = member(r, object, "metering");
    if (o == NULL || cJSON_IsNull(o))
        return;
    if (!cJSON_IsObject(o)) {
        complain(r, "metering", "has to be an object, or null for a device without a meter");
        return;
    }
    struct metering *m = &shape->metering;
    check_keys(
        r, o,
        "|chip|relays|nominal_voltage_v|nominal_frequency_hz|overcurrent_ma|overvoltage_v|undervoltage_v|floor_w|"
        "reporting|");
    m->chip = (enum meter_chip)CHOICE(r, o, "chip", "bl0937", "hlw8012", "bl0942", "mcu");
    read_relays(r, m, o, shape);
    m->nominal_mv = (uint32_t)read_scaled(r, o, "nominal_voltage_v", 50000, 480000, 1000);
    m->nominal_hz = (uint32_t)read_int(r, o, "nominal_frequency_hz", 50, 60);
    m->overcurrent_ma = (uint32_t)read_int(r, o, "overcurrent_ma", 0, 1000000);
    m->overvoltage_mv = (uint32_t)read_scaled(r, o, "overvoltage_v", 0, 1000000, 1000);
    m->undervoltage_mv = (uint32_t)read_scaled(r, o, "undervoltage_v", 0, 1000000, 1000);
    m->floor_mw = (uint32_t)read_scaled(r, o, "floor_w", 0, 1000000, 1000);
    const cJSON *reporting = member(r, o, "reporting");
    if (cJSON_IsObject(reporting))
        read_reporting(r, &m->reporting, reporting);
    else if (reporting != NULL)
        complain(r, "reporting", "has to be an object");
    shape->has_metering = m->n_relays > 0;
}

/* What a role needs in order to work. */
static bool role_fits(enum dp_role role, enum dp_type type)
{
    switch (role) {
    case ROLE_RELAY:
    case ROLE_CHILD_LOCK:
    case ROLE_CLEAR_ENERGY:
    case ROLE_PREPAYMENT:
    case ROLE_OVERCHARGE: return type == DP_BOOL;
    case ROLE_COUNTDOWN:
    case ROLE_ENERGY_INCREMENT:
    case ROLE_ENERGY_TOTAL:
    case ROLE_ENERGY_BALANCE:
    case ROLE_CHARGE_ENERGY:
    case ROLE_CURRENT:
    case ROLE_POWER:
    case ROLE_VOLTAGE: return type == DP_INTEGER;
    case ROLE_FAULT: return type == DP_BITMAP || type == DP_INTEGER;
    case ROLE_POWER_ON_STATE: return type == DP_ENUM;
    case ROLE_PHASE: return type == DP_RAW || type == DP_STRING;
    case ROLE_CYCLE_TIMER:
    case ROLE_RANDOM_TIMER:
    case ROLE_INCHING_TIMER: return type == DP_STRING || type == DP_RAW;
    default: return true;
    }
}

static void read_initial(struct reader *r, struct dp_spec *dp, const cJSON *o)
{
    const cJSON *m = member(r, o, "initial");
    dp->text = "\"\"";
    dp->text_len = 2;
    if (m == NULL || cJSON_IsNull(m))
        return;
    dp->has_initial = true;
    switch (dp->type) {
    case DP_BOOL:
        dp->initial = cJSON_IsTrue(m);
        if (!cJSON_IsBool(m))
            complain(r, "initial", "has to be true, false or null");
        break;
    case DP_INTEGER: dp->initial = read_int(r, o, "initial", dp->min, dp->max); break;
    case DP_BITMAP: dp->initial = read_int(r, o, "initial", 0, ((int64_t)1 << 31) - 1); break;
    case DP_ENUM: dp->initial = (int64_t)read_choice(r, o, "initial", dp->range, dp->n_range); break;
    case DP_STRING:
    case DP_RAW:
        if (cJSON_IsString(m))
            dp->text = store_json_string(r->arena, m->valuestring, &dp->text_len);
        else
            complain(r, "initial", "has to be a string or null");
        break;
    }
}

static void read_type_keys(struct reader *r, struct dp_spec *dp, const cJSON *o)
{
    switch (dp->type) {
    case DP_INTEGER:
        dp->unit = read_text(r, o, "unit");
        dp->scale = (uint8_t)read_int(r, o, "scale", 0, 9);
        dp->min = read_int(r, o, "min", -2147483648LL, 2147483647);
        dp->max = read_int(r, o, "max", dp->min, 2147483647);
        dp->step = read_int(r, o, "step", 1, 2147483647);
        break;
    case DP_ENUM: dp->range = read_texts(r, o, "range", &dp->n_range); break;
    case DP_BITMAP:
        dp->range = read_texts(r, o, "labels", &dp->n_range);
        if (dp->n_range > 31)
            complain(r, "labels", "has at most 31 bits");
        break;
    case DP_STRING:
    case DP_RAW: dp->max_len = read_int(r, o, "maxlen", 0, 1024); break;
    case DP_BOOL: break;
    }
}

static const char *keys_of_type(enum dp_type type)
{
    switch (type) {
    case DP_INTEGER: return "|id|code|type|access|role|channel|initial|report|unit|scale|min|max|step|";
    case DP_ENUM: return "|id|code|type|access|role|channel|initial|report|range|";
    case DP_BITMAP: return "|id|code|type|access|role|channel|initial|report|labels|";
    case DP_STRING:
    case DP_RAW: return "|id|code|type|access|role|channel|initial|report|encoding|maxlen|";
    case DP_BOOL: break;
    }
    return "|id|code|type|access|role|channel|initial|report|";
}

static void read_dp(struct reader *r, struct dp_spec *dp, const cJSON *o)
{
    dp->unit = "";
    dp->encoding_name = "";
    dp->max_len = -1;
    dp->step = 1;
    dp->id = (uint8_t)read_int(r, o, "id", 1, 255);
    dp->code = read_text(r, o, "code");
    dp->type = (enum dp_type)CHOICE(r, o, "type", "bool", "integer", "enum", "string", "raw", "bitmap");
    dp->access = (enum dp_access)CHOICE(r, o, "access", "ro", "rw", "wo");
    dp->role = (enum dp_role)read_choice(r, o, "role", dp_role_names, n_dp_role_names);
    dp->report =
        (enum dp_report)CHOICE(r, o, "report", "change", "metering", "increment", "interval", "silent", "never");
    check_keys(r, o, keys_of_type(dp->type));
    read_type_keys(r, dp, o);
    read_initial(r, dp, o);
    if (dp->role == ROLE_RELAY || dp->role == ROLE_COUNTDOWN)
        dp->channel = (uint8_t)read_int(r, o, "channel", 1, 255);
    if (cJSON_GetObjectItemCaseSensitive(o, "encoding") != NULL) {
        size_t e =
            CHOICE(r, o, "encoding", "phase8", "alarm4", "cycle10", "random6", "inching3", "hsv12", "scene_hex");
        dp->encoding = e == 0 ? ENCODING_PHASE8 : ENCODING_OTHER;
        dp->encoding_name = read_text(r, o, "encoding");
    }
    if (!role_fits(dp->role, dp->type))
        complain(r, "role", "does not go with this type");
    if ((dp->access == DP_WO) != (dp->report == REPORT_NEVER))
        complain(r, "report", "is never for access wo, and only for it");
}

/* A pair of countdown and relay, one of each. */
static void check_channels(struct reader *r, const struct shape *s)
{
    for (size_t i = 0; i < s->n_dps; i++) {
        const struct dp_spec *dp = &s->dps[i];
        if (dp->role == ROLE_COUNTDOWN && dp->partner == 0)
            problem_add(r->problems, "id %u: \"channel\": no relay has this channel", dp->id);
        for (size_t k = i + 1; k < s->n_dps; k++) {
            if ((dp->role == ROLE_RELAY || dp->role == ROLE_COUNTDOWN) && s->dps[k].role == dp->role &&
                s->dps[k].channel == dp->channel)
                problem_add(r->problems, "id %u: \"channel\": id %u has it already", s->dps[k].id, dp->id);
        }
    }
}

static void read_dps(struct reader *r, struct shape *shape, const cJSON *object)
{
    const cJSON *list = member(r, object, "dps");
    if (list == NULL)
        return;
    size_t n = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 256;
    struct dp_spec *dps = n < 256 ? arena_alloc(r->arena, (n + 1) * sizeof *dps) : NULL;
    if (dps == NULL) {
        complain(r, "dps", "has to be a list of at most 255 data points");
        return;
    }
    char outer[WHERE_LEN];
    memcpy(outer, r->where, sizeof outer);
    size_t i = 0, before = r->problems->n;
    for (const cJSON *m = list->child; m != NULL; m = m->next, i++) {
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(m, "id");
        snprintf(r->where, sizeof r->where, "%.60s%sdps[%zu] (id %d)", outer, outer[0] ? " " : "", i,
                 cJSON_IsNumber(id) ? id->valueint : 0);
        if (!cJSON_IsObject(m)) {
            problem_add(r->problems, "%s: has to be an object", r->where);
            continue;
        }
        size_t fine = r->problems->n;
        read_dp(r, &dps[i], m);
        if (i > 0 && r->problems->n == fine && dps[i].id <= dps[i - 1].id)
            complain(r, "id", "ids have to ascend");
    }
    memcpy(r->where, outer, sizeof outer);
    if (r->problems->n != before)
        return;
    shape_finish(r->arena, shape, dps, n);
    check_channels(r, shape);
}

/* What a device and a sub-device have in common. */
static void read_shape(struct reader *r, struct shape *shape, const cJSON *o)
{
    shape->category = read_text(r, o, "category");
    shape->product_name = read_text(r, o, "product_name");
    shape->product_id = read_text(r, o, "product_id");
    read_dps(r, shape, o);
    read_metering(r, shape, o);
}

static void read_children(struct reader *r, struct profile *p, const cJSON *object)
{
    const cJSON *list = member(r, object, "children");
    if (list == NULL)
        return;
    size_t n = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : CHILDREN_MAX + 1;
    struct child_spec *children = n <= CHILDREN_MAX ? arena_alloc(r->arena, (n + 1) * sizeof *children) : NULL;
    if (children == NULL) {
        complain(r, "children", "has to be a list of at most 256 sub-devices");
        return;
    }
    if ((n > 0) != p->gateway)
        complain(r, "children", "a gateway has some, any other device has none");
    size_t i = 0;
    for (const cJSON *m = list->child; m != NULL; m = m->next, i++) {
        snprintf(r->where, sizeof r->where, "children[%zu]", i);
        if (!cJSON_IsObject(m)) {
            problem_add(r->problems, "%s: has to be an object", r->where);
            continue;
        }
        check_keys(r, m, "|cid|name|category|product_name|product_id|metering|dps|");
        children[i].cid = read_text(r, m, "cid");
        children[i].name = read_text(r, m, "name");
        if (children[i].cid[0] == '\0')
            complain(r, "cid", "must not be empty");
        for (size_t k = 0; k < i; k++) {
            if (children[k].cid != NULL && strcmp(children[k].cid, children[i].cid) == 0)
                complain(r, "cid", "appears twice");
        }
        read_shape(r, &children[i].shape, m);
    }
    r->where[0] = '\0';
    p->children = children;
    p->n_children = n;
}

static void read_profile(struct reader *r, struct profile *p, const cJSON *o)
{
    check_keys(
        r, o,
        "|profile_format|name|title|note|category|product_name|product_id|protocol_version|id_length|gateway|lan|"
        "metering|dps|children|");
    read_int(r, o, "profile_format", 1, 1);
    p->name = read_text(r, o, "name");
    p->title = read_text(r, o, "title");
    p->note = read_text(r, o, "note");
    p->version = (enum tw_version)CHOICE(r, o, "protocol_version", "3.1", "3.2", "3.3", "3.4", "3.5");
    p->id_length = (uint32_t)read_int(r, o, "id_length", 20, 22);
    if (p->id_length == 21)
        complain(r, "id_length", "has to be 20 or 22");
    p->gateway = read_bool(r, o, "gateway");
    const cJSON *lan = member(r, o, "lan");
    if (cJSON_IsObject(lan))
        read_lan(r, &p->lan, lan);
    else if (lan != NULL)
        complain(r, "lan", "has to be an object");
    read_shape(r, &p->shape, o);
    read_children(r, p, o);
    if (p->name[0] == '\0')
        complain(r, "name", "must not be empty");
    if (p->shape.n_dps == 0 && !p->gateway && r->problems->n == 0)
        complain(r, "dps", "a device without data points is of no use");
}

/* Line and column of a place in the text, from 1. */
static void place(const char *text, const char *at, size_t *line, size_t *column)
{
    *line = *column = 1;
    for (const char *p = text; p < at; p++) {
        *column = *p == '\n' ? 1 : *column + 1;
        *line += *p == '\n';
    }
}

/* see profile.h */
int profile_parse(const struct profile **out, struct problems *problems, const char *text, size_t len)
{
    size_t before = problems->n;
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(text, len, &end, 0);
    while (root != NULL && end < text + len && strchr(" \t\r\n", *end) != NULL && *end != '\0')
        end++;
    if (root == NULL || end != text + len) {
        cJSON_Delete(root);
        size_t line, column;
        place(text, end != NULL ? end : text, &line, &column);
        problem_add(problems, "line %zu, column %zu: not JSON", line, column);
        return -1;
    }
    if (tw_json_check((struct tw_span){(const uint8_t *)text, len}) != TW_OK) { /* cJSON lets such bytes through */
        cJSON_Delete(root);
        problem_add(problems, "texts have to be UTF-8, and lists and objects at most %d deep", TW_JSON_DEPTH_MAX);
        return -1;
    }
    struct profile_store *store = profile_begin();
    if (store != NULL && cJSON_IsObject(root)) {
        struct reader r = {.arena = &store->arena, .problems = problems};
        read_profile(&r, &store->profile, root);
    } else if (store != NULL) {
        problem_add(problems, "a profile is one JSON object");
    }
    cJSON_Delete(root);
    if (store == NULL || store->arena.failed)
        problem_add(problems, "out of memory");
    if (problems->n != before) {
        if (store != NULL)
            profile_unref(&store->profile);
        return -1;
    }
    *out = &store->profile;
    return 0;
}
