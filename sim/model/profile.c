/* profile.c - profiles as values: building, sharing, the built-in ones, and the mapping of a devices.json. */
#include "profile.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "builtin.h"
#include "plug_internal.h"
#include "profile_store.h"

const char *const dp_role_names[] = {
    "none",
    "relay",
    "countdown",
    "energy_increment",
    "energy_total",
    "energy_balance",
    "charge_energy",
    "clear_energy",
    "current",
    "power",
    "voltage",
    "phase",
    "leakage",
    "calibration",
    "test",
    "fault",
    "power_on_state",
    "overcharge",
    "indicator_mode",
    "child_lock",
    "cycle_timer",
    "random_timer",
    "inching_timer",
    "prepayment",
    "alarm_settings",
    "serial",
    "work_mode",
    "brightness",
    "colour_temperature",
    "colour",
    "scene",
};
const size_t n_dp_role_names = sizeof dp_role_names / sizeof dp_role_names[0];

void problem_add(struct problems *p, const char *format, ...)
{
    p->n++;
    size_t room = sizeof p->text - p->len;
    if (room < 2)
        return;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(p->text + p->len, room - 1, format, args);
    va_end(args);
    if (n < 0)
        return;
    p->len += (size_t)n < room - 2 ? (size_t)n : room - 2;
    p->text[p->len++] = '\n';
    p->text[p->len] = '\0';
}

struct profile_store *profile_begin(void)
{
    struct profile_store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->n_users = 1;
    s->profile.store = s;
    return s;
}

/* see profile.h */
const struct profile *profile_ref(const struct profile *p)
{
    if (p != NULL)
        p->store->n_users++;
    return p;
}

/* see profile.h */
void profile_unref(const struct profile *p)
{
    if (p == NULL || --p->store->n_users > 0)
        return;
    struct profile_store *s = p->store;
    arena_free(&s->arena);
    free(s);
}

const char *store_json_string(struct arena *a, const char *utf8, size_t *len)
{
    size_t n = strlen(utf8);
    struct tw_text t = {.data = arena_alloc(a, 6 * n + 3), .cap = 6 * n + 2}; /* an escape has at most 6 bytes */
    *len = 2;
    if (t.data == NULL)
        return "\"\"";
    tw_text_put_string(&t, (struct tw_span){(const uint8_t *)utf8, n});
    *len = t.len;
    return t.data;
}

static const struct tw_span *json_words(struct arena *a, const struct dp_spec *dp)
{
    struct tw_span *words = arena_alloc(a, (dp->n_range + 1) * sizeof *words);
    for (size_t i = 0; words != NULL && i < dp->n_range; i++)
        words[i].data = (const uint8_t *)store_json_string(a, dp->range[i], &words[i].len);
    return words;
}

/* Values of a plug that nobody has touched: they are known if they have an initial value, and relays are in flash. */
static void shape_initial(struct arena *a, struct shape *s)
{
    int32_t *values = arena_alloc(a, s->n_dps * (sizeof *values + 1) + 1);
    s->initial = values;
    if (values == NULL)
        return;
    uint8_t *flags = (uint8_t *)(values + s->n_dps);
    for (size_t i = 0; i < s->n_dps; i++) {
        const struct dp_spec *dp = &s->dps[i];
        values[i] = (int32_t)dp->initial;
        flags[i] =
            (uint8_t)((dp->has_initial ? DP_KNOWN : 0) | (dp->role == ROLE_RELAY && dp->initial != 0 ? DP_FLASH : 0));
    }
}

void shape_finish(struct arena *a, struct shape *s, struct dp_spec *dps, size_t n)
{
    s->dps = dps;
    s->n_dps = n;
    s->n_relays = 0;
    memset(s->position, 0, sizeof s->position);
    memset(s->by_role, 0, sizeof s->by_role);
    for (size_t i = 0; i < n; i++) {
        struct dp_spec *dp = &dps[i];
        s->position[dp->id] = (uint8_t)(i + 1);
        if (s->by_role[dp->role] == 0)
            s->by_role[dp->role] = (uint8_t)(i + 1);
        if (dp->type == DP_ENUM)
            dp->words = json_words(a, dp);
        dp->key_len = (uint8_t)snprintf(dp->key, sizeof dp->key, "\"%u\":", dp->id);
        if (dp->role == ROLE_RELAY)
            dp->outlet = (uint8_t)s->n_relays++;
        if (dp->role != ROLE_COUNTDOWN || dp->channel == 0)
            continue;
        for (size_t k = 0; k < n && dp->partner == 0; k++) {
            if (dps[k].role == ROLE_RELAY && dps[k].channel == dp->channel) {
                dp->partner = (uint8_t)(k + 1);
                dps[k].partner = (uint8_t)(i + 1);
            }
        }
    }
    shape_initial(a, s);
}

/* see profile.h */
const char *profile_builtin_name(size_t i)
{
    return i < n_builtins ? builtins[i].name : NULL;
}

/* see profile.h */
const char *profile_builtin_text(size_t *len, const char *name)
{
    for (size_t i = 0; i < n_builtins; i++) {
        if (strcmp(builtins[i].name, name) == 0) {
            *len = builtins[i].len;
            return builtins[i].text;
        }
    }
    return NULL;
}

/* see profile.h */
int profile_builtin(const struct profile **out, const char *name)
{
    size_t len;
    const char *text = profile_builtin_text(&len, name);
    struct problems ignored = {.n = 0}; /* a test reads every one of them without any */
    return text == NULL ? -1 : profile_parse(out, &ignored, text, len);
}

/* see profile.h. Categories: developer.tuya.com, standard category codes. */
const char *profile_of_category(const char *category)
{
    static const char *const pairs[][2] = {
        {"cz", "energy-plug"}, {"pc", "power-strip"}, {"kg", "basic-plug"},      {"dlq", "din-meter"},
        {"zndb", "din-meter"}, {"dj", "bulb"},        {"wg2", "zigbee-gateway"}, {"wgsxj", "zigbee-gateway"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (strcmp(pairs[i][0], category) == 0)
            return pairs[i][1];
    }
    return "energy-plug";
}

/* "switch_12" with stem "switch_" is 12; 0: another code */
static unsigned numbered(const char *code, const char *stem)
{
    size_t n = strlen(stem);
    if (strncmp(code, stem, n) != 0 || code[n] < '1' || code[n] > '9')
        return 0;
    char *end;
    unsigned long v = strtoul(code + n, &end, 10);
    return *end == '\0' && v < 100 ? (unsigned)v : 0;
}

/* Codes: developer.tuya.com K9tp15ceh63gr (socket), thing models of breakers (tuya-cloudcutter issue 72), bulbs. */
enum dp_role role_of_code(uint8_t *channel, const char *code)
{
    static const struct {
        const char *code;
        enum dp_role role;
    } codes[] = {
        {"add_ele", ROLE_ENERGY_INCREMENT},
        {"cur_current", ROLE_CURRENT},
        {"cur_power", ROLE_POWER},
        {"cur_voltage", ROLE_VOLTAGE},
        {"test_bit", ROLE_TEST},
        {"voltage_coe", ROLE_CALIBRATION},
        {"electric_coe", ROLE_CALIBRATION},
        {"power_coe", ROLE_CALIBRATION},
        {"electricity_coe", ROLE_CALIBRATION},
        {"fault", ROLE_FAULT},
        {"relay_status", ROLE_POWER_ON_STATE},
        {"overcharge_switch", ROLE_OVERCHARGE},
        {"light_mode", ROLE_INDICATOR_MODE},
        {"child_lock", ROLE_CHILD_LOCK},
        {"cycle_time", ROLE_CYCLE_TIMER},
        {"random_time", ROLE_RANDOM_TIMER},
        {"switch_inching", ROLE_INCHING_TIMER},
        {"total_forward_energy", ROLE_ENERGY_TOTAL},
        {"forward_energy_total", ROLE_ENERGY_TOTAL},
        {"phase_a", ROLE_PHASE},
        {"phase_b", ROLE_PHASE},
        {"phase_c", ROLE_PHASE},
        {"switch_prepayment", ROLE_PREPAYMENT},
        {"clear_energy", ROLE_CLEAR_ENERGY},
        {"balance_energy", ROLE_ENERGY_BALANCE},
        {"charge_energy", ROLE_CHARGE_ENERGY},
        {"leakage_current", ROLE_LEAKAGE},
        {"alarm_set_1", ROLE_ALARM_SETTINGS},
        {"alarm_set_2", ROLE_ALARM_SETTINGS},
        {"breaker_id", ROLE_SERIAL},
        {"meter_number", ROLE_SERIAL},
        {"work_mode", ROLE_WORK_MODE},
        {"bright_value", ROLE_BRIGHTNESS},
        {"bright_value_v2", ROLE_BRIGHTNESS},
        {"temp_value", ROLE_COLOUR_TEMPERATURE},
        {"temp_value_v2", ROLE_COLOUR_TEMPERATURE},
        {"colour_data", ROLE_COLOUR},
        {"colour_data_v2", ROLE_COLOUR},
        {"scene_data", ROLE_SCENE},
        {"scene_data_v2", ROLE_SCENE},
    };
    enum { USB_CHANNEL = 100 }; /* our choice: beyond any numbered outlet */
    *channel = 0;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (strcmp(codes[i].code, code) == 0)
            return codes[i].role;
    }
    unsigned n;
    bool relay = strcmp(code, "switch") == 0 || strcmp(code, "switch_led") == 0;
    bool countdown = strcmp(code, "countdown") == 0;
    if (relay || countdown)
        n = 1;
    else if ((n = numbered(code, "switch_")) != 0)
        relay = true;
    else if ((n = numbered(code, "countdown_")) != 0)
        countdown = true;
    else if ((n = numbered(code, "switch_usb")) != 0) {
        relay = true;
        n += USB_CHANNEL;
    } else if ((n = numbered(code, "countdown_usb")) != 0) {
        countdown = true;
        n += USB_CHANNEL;
    }
    *channel = (uint8_t)n;
    return relay ? ROLE_RELAY : countdown ? ROLE_COUNTDOWN : ROLE_NONE;
}

static const char *mapping_type(enum dp_type type)
{
    static const char *const names[] = {"Boolean", "Integer", "Enum", "String", "Raw", "Bitmap"};
    return names[type];
}

static void put_text(struct tw_text *t, const char *s)
{
    tw_text_put_string(t, (struct tw_span){(const uint8_t *)s, strlen(s)});
}

static void write_values(struct tw_text *t, const struct dp_spec *dp)
{
    switch (dp->type) {
    case DP_BOOL: tw_text_put(t, "{}"); return;
    case DP_INTEGER:
        tw_text_put(t, "{\"unit\": ");
        put_text(t, dp->unit);
        tw_text_put(t, ", \"min\": ");
        tw_text_put_int(t, dp->min);
        tw_text_put(t, ", \"max\": ");
        tw_text_put_int(t, dp->max);
        tw_text_put(t, ", \"scale\": ");
        tw_text_put_int(t, dp->scale);
        tw_text_put(t, ", \"step\": ");
        tw_text_put_int(t, dp->step);
        tw_text_put(t, "}");
        return;
    case DP_ENUM:
    case DP_BITMAP:
        tw_text_put(t, dp->type == DP_ENUM ? "{\"range\": [" : "{\"label\": [");
        for (size_t i = 0; i < dp->n_range; i++) {
            if (i > 0)
                tw_text_put(t, ", ");
            put_text(t, dp->range[i]);
        }
        tw_text_put(t, "]}");
        return;
    case DP_STRING:
    case DP_RAW:
        if (dp->max_len < 0) {
            tw_text_put(t, "{}");
            return;
        }
        tw_text_put(t, "{\"maxlen\": ");
        tw_text_put_int(t, dp->max_len);
        tw_text_put(t, "}");
        return;
    }
}

/* see profile.h. The shape is TinyTuya's, wizard of 2025. */
void shape_write_mapping(struct tw_text *t, const struct shape *s)
{
    tw_text_put(t, "{");
    for (size_t i = 0; i < s->n_dps; i++) {
        const struct dp_spec *dp = &s->dps[i];
        if (i > 0)
            tw_text_put(t, ", ");
        tw_text_put(t, dp->key);
        tw_text_put(t, " {\"code\": ");
        put_text(t, dp->code);
        tw_text_put(t, ", \"type\": \"");
        tw_text_put(t, mapping_type(dp->type));
        tw_text_put(t, "\", \"values\": ");
        write_values(t, dp);
        tw_text_put(t, "}");
    }
    tw_text_put(t, "}");
}
