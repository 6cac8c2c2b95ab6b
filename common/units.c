/* units.c - what data points mean; see common/units.h. Tables after spec energy-dps section 3. */
#include "common/units.h"
#include <string.h>
#include "common/base64.h"
#include "tuyawire/dps.h"
#include "tuyawire/error.h"

static const struct units_dp codes[] = {
    {"switch", "switch", "", 0},
    {"switch_1", "switch", "", 0},
    {"switch_2", "switch", "", 0},
    {"switch_3", "switch", "", 0},
    {"switch_4", "switch", "", 0},
    {"switch_5", "switch", "", 0},
    {"switch_6", "switch", "", 0},
    {"switch_7", "switch", "", 0},
    {"switch_8", "switch", "", 0},
    {"switch_led", "switch", "", 0},
    {"switch_usb", "USB switch", "", 0},
    {"switch_usb1", "USB switch", "", 0},
    {"switch_usb2", "USB switch", "", 0},
    {"countdown", "countdown", "s", 0},
    {"countdown_1", "countdown", "s", 0},
    {"countdown_2", "countdown", "s", 0},
    {"countdown_3", "countdown", "s", 0},
    {"countdown_4", "countdown", "s", 0},
    {"countdown_5", "countdown", "s", 0},
    {"countdown_6", "countdown", "s", 0},
    {"countdown_7", "countdown", "s", 0},
    {"countdown_8", "countdown", "s", 0},
    {"countdown_usb", "USB countdown", "s", 0},
    {"countdown_usb1", "USB countdown", "s", 0},
    {"countdown_usb2", "USB countdown", "s", 0},
    {"add_ele", "energy increment", "kWh", 3},
    {"cur_current", "current", "mA", 0},
    {"cur_power", "power", "W", 1},
    {"cur_voltage", "voltage", "V", 1},
    {"test_bit", "test bit", "", 0},
    {"voltage_coe", "voltage coefficient", "", 0},
    {"electric_coe", "current coefficient", "", 0},
    {"power_coe", "power coefficient", "", 0},
    {"electricity_coe", "energy coefficient", "", 0},
    {"fault", "fault", "", 0},
    {"relay_status", "power-on state", "", 0},
    {"overcharge_switch", "overcharge protection", "", 0},
    {"light_mode", "indicator", "", 0},
    {"child_lock", "child lock", "", 0},
    {"cycle_time", "cycle timer", "", 0},
    {"random_time", "random timer", "", 0},
    {"switch_inching", "inching", "", 0},
    {"switch_backlight", "backlight", "", 0},
    {"total_forward_energy", "energy", "kWh", 2},
    {"reverse_energy_total", "reverse energy", "kWh", 2},
    {"phase_a", "phase A", "", 0},
    {"phase_b", "phase B", "", 0},
    {"phase_c", "phase C", "", 0},
    {"switch_prepayment", "prepayment", "", 0},
    {"clear_energy", "clear energy", "", 0},
    {"balance_energy", "balance", "kWh", 2},
    {"charge_energy", "charge", "kWh", 2},
    {"leakage_current", "leakage current", "mA", 0},
    {"work_mode", "mode", "", 0},
    {"bright_value", "brightness", "", 0},
    {"temp_value", "colour temperature", "", 0},
    {"colour_data", "colour", "", 0},
    {"scene_data", "scene", "", 0},
    {"do_not_disturb", "do not disturb", "", 0},
};

/* "switch_3" is "switch", "countdown_usb2" is "countdown_usb": drop a trailing number, then an underscore. */
static size_t stem_len(const char *code)
{
    size_t len = strlen(code), n = len;
    while (n > 0 && code[n - 1] >= '0' && code[n - 1] <= '9')
        n--;
    if (n == len || n == 0)
        return len;
    return code[n - 1] == '_' ? n - 1 : n;
}

static const struct units_dp *find_code(const char *code, size_t len)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (strlen(codes[i].code) == len && memcmp(codes[i].code, code, len) == 0)
            return &codes[i];
    }
    return NULL;
}

/* see common/units.h */
const struct units_dp *units_by_code(const char *code)
{
    const struct units_dp *exact = find_code(code, strlen(code));
    return exact != NULL ? exact : find_code(code, stem_len(code));
}

/* Rows of a family. The code is that of the first; those of a strip's further switches follow it in the list above. */
static const struct row {
    enum units_family family;
    uint32_t first, last;
    const char *code;
} rows[] = {
    {UNITS_FAMILY_METERING, 1, 6, "switch_1"},
    {UNITS_FAMILY_METERING, 7, 8, "switch_usb1"},
    {UNITS_FAMILY_METERING, 9, 14, "countdown_1"},
    {UNITS_FAMILY_METERING, 15, 16, "countdown_usb1"},
    {UNITS_FAMILY_METERING, 17, 17, "add_ele"},
    {UNITS_FAMILY_METERING, 18, 18, "cur_current"},
    {UNITS_FAMILY_METERING, 19, 19, "cur_power"},
    {UNITS_FAMILY_METERING, 20, 20, "cur_voltage"},
    {UNITS_FAMILY_METERING, 21, 21, "test_bit"},
    {UNITS_FAMILY_METERING, 22, 22, "voltage_coe"},
    {UNITS_FAMILY_METERING, 23, 23, "electric_coe"},
    {UNITS_FAMILY_METERING, 24, 24, "power_coe"},
    {UNITS_FAMILY_METERING, 25, 25, "electricity_coe"},
    {UNITS_FAMILY_METERING, 26, 26, "fault"},
    {UNITS_FAMILY_METERING, 38, 38, "relay_status"}, /* 39 to 46: two layouts, so no guess */
    {UNITS_FAMILY_PLAIN, 1, 8, "switch_1"},
    {UNITS_FAMILY_PLAIN, 9, 16, "countdown_1"},
    {UNITS_FAMILY_PLAIN, 38, 38, "relay_status"},
    {UNITS_FAMILY_WALL_SWITCH, 1, 6, "switch_1"},
    {UNITS_FAMILY_WALL_SWITCH, 7, 12, "countdown_1"},
    {UNITS_FAMILY_WALL_SWITCH, 14, 14, "relay_status"},
    {UNITS_FAMILY_WALL_SWITCH, 15, 15, "light_mode"},
    {UNITS_FAMILY_WALL_SWITCH, 16, 16, "switch_backlight"},
    {UNITS_FAMILY_WALL_SWITCH, 17, 17, "cycle_time"},
    {UNITS_FAMILY_WALL_SWITCH, 18, 18, "random_time"},
    {UNITS_FAMILY_WALL_SWITCH, 19, 19, "switch_inching"},
    {UNITS_FAMILY_LEGACY, 1, 1, "switch"},
    {UNITS_FAMILY_LEGACY, 2, 2, "countdown"},
    {UNITS_FAMILY_LEGACY, 3, 3, "add_ele"},
    {UNITS_FAMILY_LEGACY, 4, 4, "cur_current"},
    {UNITS_FAMILY_LEGACY, 5, 5, "cur_power"},
    {UNITS_FAMILY_LEGACY, 6, 6, "cur_voltage"},
    {UNITS_FAMILY_METER, 1, 1, "total_forward_energy"},
    {UNITS_FAMILY_METER, 2, 2, "reverse_energy_total"},
    {UNITS_FAMILY_METER, 6, 6, "phase_a"},
    {UNITS_FAMILY_METER, 7, 7, "phase_b"},
    {UNITS_FAMILY_METER, 8, 8, "phase_c"},
    {UNITS_FAMILY_METER, 9, 9, "fault"},
    {UNITS_FAMILY_METER, 11, 11, "switch_prepayment"},
    {UNITS_FAMILY_METER, 12, 12, "clear_energy"},
    {UNITS_FAMILY_METER, 13, 13, "balance_energy"},
    {UNITS_FAMILY_METER, 14, 14, "charge_energy"},
    {UNITS_FAMILY_METER, 15, 15, "leakage_current"},
    {UNITS_FAMILY_METER, 16, 16, "switch"},
    {UNITS_FAMILY_BULB, 20, 20, "switch_led"},
    {UNITS_FAMILY_BULB, 21, 21, "work_mode"},
    {UNITS_FAMILY_BULB, 22, 22, "bright_value"},
    {UNITS_FAMILY_BULB, 23, 23, "temp_value"},
    {UNITS_FAMILY_BULB, 24, 24, "colour_data"},
    {UNITS_FAMILY_BULB, 25, 25, "scene_data"},
    {UNITS_FAMILY_BULB, 26, 26, "countdown"},
    {UNITS_FAMILY_BULB, 34, 34, "do_not_disturb"},
};

const struct units_dp *units_by_id(enum units_family family, uint32_t dp_id)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].family == family && dp_id >= rows[i].first && dp_id <= rows[i].last)
            return units_by_code(rows[i].code) + (dp_id - rows[i].first);
    }
    return NULL;
}

static bool has_type(struct tw_span dps, uint32_t id, enum tw_value_type type)
{
    struct tw_dp dp;
    return tw_dps_find(&dp, dps, id) == TW_OK && dp.value.type == type;
}

static bool has_integers(struct tw_span dps, uint32_t first, uint32_t last)
{
    for (uint32_t id = first; id <= last; id++) {
        if (!has_type(dps, id, TW_VALUE_INTEGER))
            return false;
    }
    return true;
}

enum units_family units_family_of(struct tw_span dps)
{
    if (has_integers(dps, 18, 20))
        return UNITS_FAMILY_METERING;
    if (has_type(dps, 20, TW_VALUE_BOOL) && has_type(dps, 21, TW_VALUE_STRING))
        return UNITS_FAMILY_BULB;
    if (has_type(dps, 6, TW_VALUE_STRING) && has_type(dps, 1, TW_VALUE_INTEGER))
        return UNITS_FAMILY_METER;
    if (has_integers(dps, 4, 6))
        return UNITS_FAMILY_LEGACY;
    if (has_type(dps, 1, TW_VALUE_BOOL) && has_type(dps, 7, TW_VALUE_INTEGER))
        return UNITS_FAMILY_WALL_SWITCH;
    if (has_type(dps, 1, TW_VALUE_BOOL) && has_type(dps, 9, TW_VALUE_INTEGER))
        return UNITS_FAMILY_PLAIN;
    return UNITS_FAMILY_UNKNOWN;
}

enum units_family units_family_of_category(const char *category)
{
    static const struct {
        const char *category;
        enum units_family family;
    } table[] = {
        {"cz", UNITS_FAMILY_METERING}, {"pc", UNITS_FAMILY_METERING}, {"kg", UNITS_FAMILY_PLAIN},
        {"dlq", UNITS_FAMILY_METER},   {"zndb", UNITS_FAMILY_METER},  {"dj", UNITS_FAMILY_BULB},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].category, category) == 0)
            return table[i].family;
    }
    return UNITS_FAMILY_UNKNOWN;
}

static bool is_integer(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
    }
    return len > 0 && len <= 24;
}

/* see common/units.h */
size_t units_scale(char out[UNITS_NUMBER_MAX], struct tw_span number, int scale)
{
    const char *text = (const char *)number.data;
    size_t len = number.len;
    bool negative = len > 0 && *text == '-';
    if (negative)
        text++, len--;
    if (scale <= 0 || scale > 9 || !is_integer(text, len)) {
        size_t n = number.len < UNITS_NUMBER_MAX - 1 ? number.len : UNITS_NUMBER_MAX - 1;
        if (n > 0)
            memcpy(out, number.data, n);
        out[n] = '\0';
        return n;
    }

    char *p = out;
    size_t fraction = (size_t)scale;
    if (negative)
        *p++ = '-';
    if (len <= fraction) { /* 5 with scale 3 is 0.005 */
        *p++ = '0';
        *p++ = '.';
        memset(p, '0', fraction - len);
        p += fraction - len;
        memcpy(p, text, len);
        p += len;
    } else {
        memcpy(p, text, len - fraction);
        p += len - fraction;
        *p++ = '.';
        memcpy(p, text + len - fraction, fraction);
        p += fraction;
    }
    *p = '\0';
    return (size_t)(p - out);
}

static uint32_t big_endian(const uint8_t *p, size_t n)
{
    uint32_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | p[i];
    return value;
}

/* see common/units.h */
int units_phase(struct units_phase *out, struct tw_span base64)
{
    if (base64.len >= 2 && base64.data[0] == '"')
        base64 = (struct tw_span){base64.data + 1, base64.len - 2};
    char text[64];
    if (base64.len > 0 && memchr(base64.data, '\\', base64.len) != NULL) { /* some write "\/" for a slash */
        size_t len;
        if (tw_json_string(text, sizeof text, &len, base64) != TW_OK)
            return -1;
        base64 = (struct tw_span){(const uint8_t *)text, len};
    }
    uint8_t b[8];
    size_t n = base64_decode(b, sizeof b, (const char *)base64.data, base64.len);
    if (n < 6)
        return -1;
    out->decivolt = big_endian(b, 2);
    if (n == 6) {
        out->milliampere = big_endian(b + 2, 2) * 100;
        out->watt = big_endian(b + 4, 2);
    } else {
        out->milliampere = big_endian(b + 2, 3);
        out->watt = big_endian(b + 5, n == 7 ? 2 : 3);
    }
    return 0;
}
