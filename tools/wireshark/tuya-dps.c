/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tuya-dps.c - data points as fields; the list of fields is in tuya-dps.h. */
#include "tuya-dps.h"
#include <string.h>

enum {
    DP_FIELDS = 256,      /* ids of devices end at 255 */
    SUMMARY_MAX = 8,      /* data points in the info column */
    SUMMARY_TEXT_MAX = 24 /* characters of one value there */
};

static int hf_dps = -1, hf_id = -1, hf_value = -1, hf_text = -1, hf_name = -1, hf_scaled = -1, hf_unit = -1;
static int hf_asked = -1;
static int hf_of_id[DP_FIELDS];
static gint ett_dps = -1, ett_dp = -1;

/* tuya.dp.1 to tuya.dp.255. The names have to live as long as Wireshark does. */
static void register_fields_by_id(int proto)
{
    static hf_register_info hf[DP_FIELDS];
    for (int id = 1; id < DP_FIELDS; id++) {
        hf_of_id[id] = -1;
        hf[id] =
            (hf_register_info){&hf_of_id[id],
                               {g_strdup_printf("Data point %d", id), g_strdup_printf("tuya.dp.%d", id), FT_DOUBLE,
                                BASE_NONE, NULL, 0, "The value of this data point, as a number (true is 1)", HFILL}};
    }
    proto_register_field_array(proto, hf + 1, DP_FIELDS - 1);
}

/* see tuya-dps.h */
void tuya_dps_register(int proto)
{
    static hf_register_info hf[] = {
        {&hf_dps, {"Data points", "tuya.dps", FT_UINT32, BASE_DEC, NULL, 0, "How many the message carries", HFILL}},
        {&hf_id, {"Id", "tuya.dp.id", FT_UINT32, BASE_DEC, NULL, 0, "Number of the data point", HFILL}},
        {&hf_value,
         {"Value", "tuya.dp.value", FT_DOUBLE, BASE_NONE, NULL, 0, "As sent; true is 1, false is 0", HFILL}},
        {&hf_text, {"Text", "tuya.dp.text", FT_STRING, BASE_NONE, NULL, 0, "The value as it was written", HFILL}},
        {&hf_name, {"Name", "tuya.dp.name", FT_STRING, BASE_NONE, NULL, 0, "From devices.json", HFILL}},
        {&hf_scaled,
         {"Scaled value", "tuya.dp.scaled", FT_DOUBLE, BASE_NONE, NULL, 0, "Scale from devices.json", HFILL}},
        {&hf_unit, {"Unit", "tuya.dp.unit", FT_STRING, BASE_NONE, NULL, 0, "From devices.json", HFILL}},
        {&hf_asked,
         {"Asked for", "tuya.dp.asked", FT_UINT32, BASE_DEC, NULL, 0, "A refresh names the points it wants", HFILL}},
    };
    static gint *ett[] = {&ett_dps, &ett_dp};
    proto_register_field_array(proto, hf, array_length(hf));
    proto_register_subtree_array(ett, array_length(ett));
    register_fields_by_id(proto);
}

/* Numbers and booleans. False: the value is none. */
static bool number_of(double *out, packet_info *pinfo, const struct tw_value *v)
{
    switch (v->type) {
    case TW_VALUE_BOOL: *out = v->boolean; return true;
    case TW_VALUE_INTEGER: *out = (double)v->integer; return true;
    case TW_VALUE_NUMBER:
        *out = g_ascii_strtod(wmem_strndup(pinfo->pool, (const char *)v->text.data, v->text.len), NULL);
        return true;
    default: return false;
    }
}

static const char *text_of(packet_info *pinfo, const struct tw_value *v)
{
    char *text = wmem_alloc(pinfo->pool, v->text.len + 1);
    size_t len = 0;
    if (v->type != TW_VALUE_STRING || tw_json_string(text, v->text.len, &len, v->text) != TW_OK) {
        memcpy(text, v->text.data, v->text.len);
        len = v->text.len;
    }
    text[len] = '\0';
    return text;
}

static double scaled(double value, int scale)
{
    for (; scale > 0; scale--)
        value /= 10;
    return value;
}

static bool is_measurement(const struct devices_dp *known, const struct tw_value *v)
{
    return known != NULL && known->type == DEVICES_DP_INTEGER &&
           (v->type == TW_VALUE_INTEGER || v->type == TW_VALUE_NUMBER);
}

static void show_one(proto_tree *dps, packet_info *pinfo, tvbuff_t *tvb, struct tw_span payload,
                     const struct tw_dp *dp, const struct devices_entry *device)
{
    const struct devices_dp *known = device == NULL ? NULL : devices_dp(device, dp->id);
    const char *text = text_of(pinfo, &dp->value);
    gint at = (gint)(dp->value.text.data - payload.data), len = (gint)dp->value.text.len;
    proto_item *ti;
    proto_tree *tree = proto_tree_add_subtree_format(dps, tvb, at, len, ett_dp, &ti, "%u: %s", dp->id, text);
    proto_tree_add_uint(tree, hf_id, tvb, at, len, dp->id);
    double number;
    if (number_of(&number, pinfo, &dp->value)) {
        proto_tree_add_double(tree, hf_value, tvb, at, len, number);
        if (dp->id > 0 && dp->id < DP_FIELDS) /* a second line would say the same: it is there to filter by */
            proto_item_set_hidden(proto_tree_add_double(tree, hf_of_id[dp->id], tvb, at, len, number));
    }
    proto_tree_add_string(tree, hf_text, tvb, at, len, text);
    if (known == NULL)
        return;
    proto_item_set_text(ti, "%u %s: %s", dp->id, known->code, text);
    proto_item_set_generated(proto_tree_add_string(tree, hf_name, tvb, 0, 0, known->code));
    if (!is_measurement(known, &dp->value))
        return;
    number = scaled(number, known->scale);
    proto_item_set_generated(proto_tree_add_double(tree, hf_scaled, tvb, at, len, number));
    proto_item_set_generated(proto_tree_add_string(tree, hf_unit, tvb, 0, 0, known->unit));
    proto_item_append_text(ti, " (%.*f%s%s)", known->scale, number, known->unit[0] != '\0' ? " " : "", known->unit);
}

static void show_asked(proto_tree *tree, tvbuff_t *tvb, struct tw_span payload, struct tw_span ids)
{
    struct tw_value v;
    for (size_t pos = 0; tw_json_next_element(&v, &pos, ids) == 1;)
        if (v.type == TW_VALUE_INTEGER && v.integer >= 0 && v.integer <= G_MAXUINT32)
            proto_tree_add_uint(tree, hf_asked, tvb, (gint)(v.text.data - payload.data), (gint)v.text.len,
                                (guint32)v.integer);
}

/* see tuya-dps.h */
void tuya_dps_show(proto_tree *tree, packet_info *pinfo, tvbuff_t *tvb, struct tw_span payload,
                   const struct tw_body *body, const struct devices_entry *device)
{
    if (body->dp_ids.len > 0)
        show_asked(tree, tvb, payload, body->dp_ids);
    if (body->dps.len == 0)
        return;
    struct tw_dp dp;
    guint n = 0;
    for (size_t pos = 0; tw_dps_next(&dp, &pos, body->dps) == 1;)
        n++;
    gint at = (gint)(body->dps.data - payload.data);
    proto_item *ti = proto_tree_add_uint(tree, hf_dps, tvb, at, (gint)body->dps.len, n);
    proto_tree *dps = proto_item_add_subtree(ti, ett_dps);
    for (size_t pos = 0; tw_dps_next(&dp, &pos, body->dps) == 1;)
        show_one(dps, pinfo, tvb, payload, &dp, device);
}

static void summarise(wmem_strbuf_t *out, packet_info *pinfo, const struct tw_dp *dp,
                      const struct devices_entry *device)
{
    const struct devices_dp *known = device == NULL ? NULL : devices_dp(device, dp->id);
    double number;
    if (known != NULL && known->code[0] != '\0')
        wmem_strbuf_append_printf(out, "%s=", known->code);
    else
        wmem_strbuf_append_printf(out, "%u=", dp->id);
    if (is_measurement(known, &dp->value) && number_of(&number, pinfo, &dp->value)) {
        wmem_strbuf_append_printf(out, "%.*f%s%s", known->scale, scaled(number, known->scale),
                                  known->unit[0] != '\0' ? " " : "", known->unit);
        return;
    }
    const char *text = text_of(pinfo, &dp->value);
    if (g_utf8_strlen(text, -1) <= SUMMARY_TEXT_MAX) {
        wmem_strbuf_append(out, text);
        return;
    }
    wmem_strbuf_append_len(out, text, g_utf8_offset_to_pointer(text, SUMMARY_TEXT_MAX) - text);
    wmem_strbuf_append(out, "..");
}

/* see tuya-dps.h */
const char *tuya_dps_summary(packet_info *pinfo, const struct tw_body *body, const struct devices_entry *device)
{
    wmem_strbuf_t *out = wmem_strbuf_new(pinfo->pool, NULL);
    struct tw_dp dp;
    unsigned n = 0;
    for (size_t pos = 0; tw_dps_next(&dp, &pos, body->dps) == 1; n++) {
        if (n == SUMMARY_MAX) {
            wmem_strbuf_append(out, ", ..");
            break;
        }
        if (n > 0)
            wmem_strbuf_append(out, ", ");
        summarise(out, pinfo, &dp, device);
    }
    return n > 0 ? wmem_strbuf_get_str(out) : NULL;
}
