/* dps.c - JSON bodies: what they say, and writing them. Contracts and forms: tuyawire/dps.h. */
#include "tuyawire/dps.h"
#include <string.h>
#include "json.h"

static struct tw_span text_span(const char *s)
{
    return (struct tw_span){(const uint8_t *)s, strlen(s)};
}

/* ------ reading a body ------ */

/* The members that mean something here. Their places in the table are the places in struct fields. */
enum field { DPS, DATA, DEV_ID, GW_ID, UID, CID, TYPE, REQ_TYPE, DP_ID, PROTOCOL, T, S, N_FIELDS };
static const struct {
    uint8_t len;
    char name[9];
} field_names[N_FIELDS] = {
    [DPS] = {3, "dps"},    [DATA] = {4, "data"},         [DEV_ID] = {5, "devId"}, [GW_ID] = {4, "gwId"},
    [UID] = {3, "uid"},    [CID] = {3, "cid"},           [TYPE] = {4, "type"},    [REQ_TYPE] = {7, "reqType"},
    [DP_ID] = {4, "dpId"}, [PROTOCOL] = {8, "protocol"}, [T] = {1, "t"},          [S] = {1, "s"},
};

/* The values of one object's members as they stand there; empty: absent. */
struct fields {
    struct tw_span value[N_FIELDS];
};

static bool name_is(struct tw_span name, enum field i)
{
    return name.len == field_names[i].len && memcmp(name.data, field_names[i].name, name.len) == 0;
}

static void store_field(struct fields *f, struct tw_span name, struct tw_span value)
{
    for (int i = 0; i < N_FIELDS; i++) {
        if (name_is(name, (enum field)i)) {
            f->value[i] = value; /* the last of several wins */
            return;
        }
    }
}

/* Step over the object at s, which stands inside the body, and note its fields. */
static bool scan_data(struct tw__scan *s, struct fields *f)
{
    struct tw_span name, value;
    memset(f, 0, sizeof *f);
    if (!tw__scan_take(s, '{'))
        return false;
    if (tw__scan_take(s, '}'))
        return true;
    do {
        if (!tw__scan_name(s, &name) || !tw__scan_value(s, &value, 2))
            return false;
        store_field(f, name, value);
    } while (tw__scan_take(s, ','));
    return tw__scan_take(s, '}');
}

/* Step over the body at s and note the fields of its two levels in one pass. */
static bool scan_body(struct tw__scan *s, struct fields *top, struct fields *data)
{
    struct tw_span name, value;
    memset(top, 0, sizeof *top);
    if (!tw__scan_take(s, '{'))
        return false;
    if (tw__scan_take(s, '}'))
        return true;
    do {
        if (!tw__scan_name(s, &name))
            return false;
        if (name_is(name, DATA) && tw__scan_peek(s) == '{') {
            value.data = s->p;
            if (!scan_data(s, data))
                return false;
            value.len = (size_t)(s->p - value.data);
        } else if (!tw__scan_value(s, &value, 1)) {
            return false;
        }
        store_field(top, name, value);
    } while (tw__scan_take(s, ','));
    return tw__scan_take(s, '}');
}

/* The value if it is of the kind that begins with c, else empty. */
static struct tw_span if_opens_with(struct tw_span value, char c)
{
    return value.len > 0 && value.data[0] == (uint8_t)c ? value : (struct tw_span){NULL, 0};
}

/* A string without its quotes; empty if it is something else. */
static struct tw_span unquoted(struct tw_span value)
{
    if (if_opens_with(value, '"').len == 0)
        return (struct tw_span){NULL, 0};
    return (struct tw_span){value.data + 1, value.len - 2};
}

/* A string or an object is looked for at the top level first, then inside "data" (spec section 5.4: normalise). */
static struct tw_span string_of(const struct fields *top, const struct fields *data, enum field i)
{
    struct tw_span found = unquoted(top->value[i]);
    return found.len > 0 ? found : unquoted(data->value[i]);
}

static struct tw_span nested_of(const struct fields *top, const struct fields *data, enum field i, char opens)
{
    struct tw_span found = if_opens_with(top->value[i], opens);
    return found.len > 0 ? found : if_opens_with(data->value[i], opens);
}

/* A whole number that is not negative, also in quotes ("t" of old bodies); else -1. */
static int64_t whole_number(struct tw_span value)
{
    if (if_opens_with(value, '"').len > 0)
        value = unquoted(value);
    if (value.len == 0 || value.data[0] < '0' || value.data[0] > '9')
        return -1;
    struct tw_value v;
    tw__json_value(&v, value);
    return v.type == TW_VALUE_INTEGER ? v.integer : -1;
}

/* see tuyawire/dps.h */
int tw_body_parse(struct tw_body *out, struct tw_span payload)
{
    /* The phone app ends some of its JSON with NUL bytes (spec section 7.4). */
    while (payload.len > 0 && payload.data[payload.len - 1] == 0)
        payload.len--;

    struct tw__scan s = tw__scan_begin(payload);
    struct fields top, data;
    tw__scan_peek(&s);
    const uint8_t *start = s.p;
    if (!scan_body(&s, &top, &data))
        return TW_E_JSON;
    struct tw_span json = {start, (size_t)(s.p - start)};
    if (tw__scan_peek(&s) != -1)
        return TW_E_JSON;
    if (if_opens_with(top.value[DATA], '{').len == 0) /* absent, or the last of several is no object */
        memset(&data, 0, sizeof data);

    *out = (struct tw_body){
        .json = json,
        .dps = nested_of(&top, &data, DPS, '{'),
        .data = top.value[DATA],
        .dev_id = string_of(&top, &data, DEV_ID),
        .gw_id = string_of(&top, &data, GW_ID),
        .uid = string_of(&top, &data, UID),
        .cid = string_of(&top, &data, CID),
        .type = string_of(&top, &data, TYPE),
        .req_type = string_of(&top, &data, REQ_TYPE),
        .dp_ids = nested_of(&top, &data, DP_ID, '['),
        .cid_in_data = unquoted(top.value[CID]).len == 0 && unquoted(data.value[CID]).len > 0,
        .protocol = whole_number(top.value[PROTOCOL]),
        .t = whole_number(top.value[T].len > 0 ? top.value[T] : data.value[T]),
        .counter = whole_number(top.value[S]),
    };
    return TW_OK;
}

/* see tuyawire/dps.h */
int tw_dps_next(struct tw_dp *out, size_t *pos, struct tw_span dps)
{
    struct tw_span name, value;
    while (tw__json_step(&name, &value, pos, dps)) {
        if (!tw__decimal_u32(&out->id, name))
            continue;
        tw__json_value(&out->value, value);
        return 1;
    }
    return 0;
}

/* see tuyawire/dps.h */
int tw_dps_find(struct tw_dp *out, struct tw_span dps, uint32_t id)
{
    struct tw_span name, value, found = {NULL, 0};
    uint32_t this_id;
    for (size_t pos = 0; tw__json_step(&name, &value, &pos, dps);)
        if (tw__decimal_u32(&this_id, name) && this_id == id)
            found = value;
    if (found.len == 0)
        return TW_E_ARGUMENT;
    out->id = id;
    tw__json_value(&out->value, found);
    return TW_OK;
}

/* see tuyawire/dps.h */
bool tw_is_error_text(struct tw_span payload)
{
    static const char *const texts[] = {TW_TEXT_JSON_OBJ, TW_TEXT_DATA_FORMAT, TW_TEXT_PARSE_DATA, TW_TEXT_DEVID,
                                        TW_TEXT_GW_ID};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (payload.len == strlen(texts[i]) && memcmp(payload.data, texts[i], payload.len) == 0)
            return true;
    return false;
}

/* ------ text ------ */

/* see tuyawire/dps.h */
void tw_text_put_span(struct tw_text *t, struct tw_span s)
{
    if (t->overflow || s.len == 0)
        return;
    if (s.len > t->cap - t->len) {
        t->overflow = true;
        return;
    }
    memcpy(t->data + t->len, s.data, s.len);
    t->len += s.len;
}

/* see tuyawire/dps.h */
void tw_text_put(struct tw_text *t, const char *s)
{
    tw_text_put_span(t, text_span(s));
}

/* see tuyawire/dps.h */
void tw_text_put_int(struct tw_text *t, int64_t n)
{
    char digits[20]; /* INT64_MIN has 19 and a sign */
    size_t at = sizeof digits;
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do
        digits[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (n < 0)
        digits[--at] = '-';
    tw_text_put_span(t, (struct tw_span){(const uint8_t *)digits + at, sizeof digits - at});
}

/* see tuyawire/dps.h */
void tw_text_put_string(struct tw_text *t, struct tw_span utf8)
{
    static const char hex[] = "0123456789abcdef";
    tw_text_put(t, "\"");
    for (size_t i = 0; i < utf8.len; i++) {
        uint8_t c = utf8.data[i];
        if (c >= ' ' && c != '"' && c != '\\') {
            tw_text_put_span(t, (struct tw_span){&utf8.data[i], 1});
            continue;
        }
        uint8_t escape[6] = {'\\', c, '0', '0', (uint8_t)hex[c >> 4], (uint8_t)hex[c & 15]};
        if (c < ' ')
            escape[1] = 'u';
        tw_text_put_span(t, (struct tw_span){escape, c < ' ' ? 6 : 2});
    }
    tw_text_put(t, "\"");
}

/* ------ writing bodies ------ */

/* Every writer begins with "{", so a member that follows another one is seen by what stands before it. */
static void put_name(struct tw_text *t, const char *name)
{
    if (t->len > 0 && t->data[t->len - 1] != '{')
        tw_text_put(t, ",");
    tw_text_put(t, "\"");
    tw_text_put(t, name);
    tw_text_put(t, "\":");
}

/* Left out when empty. */
static void put_string_member(struct tw_text *t, const char *name, struct tw_span value)
{
    if (value.len == 0)
        return;
    put_name(t, name);
    tw_text_put_string(t, value);
}

static void put_int_member(struct tw_text *t, const char *name, int64_t value)
{
    put_name(t, name);
    tw_text_put_int(t, value);
}

/* "t" of old bodies to the device is a string. */
static void put_quoted_time(struct tw_text *t, int64_t seconds)
{
    put_name(t, "t");
    tw_text_put(t, "\"");
    tw_text_put_int(t, seconds);
    tw_text_put(t, "\"");
}

static void put_dps(struct tw_text *t, struct tw_span dps)
{
    put_name(t, "dps");
    tw_text_put_span(t, dps);
}

static int finish(struct tw_text *t, const char *end)
{
    tw_text_put(t, end);
    return t->overflow ? TW_E_CAPACITY : TW_OK;
}

static struct tw_span uid_of(const struct tw_body_ids *ids)
{
    return ids->uid.len > 0 ? ids->uid : ids->id;
}

/* {"protocol":N,"t":T,"data":{ */
static void open_wrapped(struct tw_text *t, int64_t protocol, int64_t seconds)
{
    tw_text_put(t, "{");
    put_int_member(t, "protocol", protocol);
    put_int_member(t, "t", seconds);
    put_name(t, "data");
    tw_text_put(t, "{");
}

/* Spec section 5.4: 4 is a report of the device, 5 a command to it. */
enum { PROTOCOL_REPORT = 4, PROTOCOL_COMMAND = 5 };

/* see tuyawire/dps.h */
int tw_body_control(struct tw_text *t, enum tw_version v, uint32_t command, const struct tw_body_ids *ids,
                    struct tw_span dps)
{
    const struct tw_version_traits *traits = tw_version_traits(v);
    if (traits == NULL)
        return TW_E_ARGUMENT;
    if (traits->wraps_data) {
        open_wrapped(t, PROTOCOL_COMMAND, ids->t);
        if (ids->cid.len > 0) {
            put_string_member(t, "cid", ids->cid);
            put_int_member(t, "ctype", 0);
        }
        put_dps(t, dps);
        return finish(t, "}}");
    }
    tw_text_put(t, "{");
    if (ids->cid.len > 0) {
        put_int_member(t, "t", ids->t);
        put_string_member(t, "cid", ids->cid);
    } else if (command != TW_CMD_CONTROL_NEW || ids->id.len > 0) {
        put_string_member(t, "devId", ids->id);
        put_string_member(t, "uid", uid_of(ids));
        put_quoted_time(t, ids->t);
    }
    put_dps(t, dps);
    return finish(t, "}");
}

/* see tuyawire/dps.h */
int tw_body_query(struct tw_text *t, enum tw_version v, uint32_t command, const struct tw_body_ids *ids)
{
    const struct tw_version_traits *traits = tw_version_traits(v);
    if (traits == NULL)
        return TW_E_ARGUMENT;
    bool is_new = traits->wraps_data || command == TW_CMD_DP_QUERY_NEW;
    tw_text_put(t, "{");
    if (ids->cid.len > 0) {
        if (!is_new)
            put_int_member(t, "t", ids->t);
        put_string_member(t, "cid", ids->cid);
    } else if (!is_new) {
        put_string_member(t, "gwId", ids->id);
        put_string_member(t, "devId", ids->id);
        put_string_member(t, "uid", uid_of(ids));
        put_quoted_time(t, ids->t);
    }
    return finish(t, "}");
}

/* see tuyawire/dps.h */
int tw_body_refresh(struct tw_text *t, const uint32_t *dp_ids, size_t n)
{
    tw_text_put(t, "{\"dpId\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            tw_text_put(t, ",");
        tw_text_put_int(t, dp_ids[i]);
    }
    return finish(t, "]}");
}

/* see tuyawire/dps.h */
int tw_body_heartbeat(struct tw_text *t, const struct tw_body_ids *ids)
{
    tw_text_put(t, "{");
    put_string_member(t, "gwId", ids->id);
    put_string_member(t, "devId", ids->id);
    return finish(t, "}");
}

/* see tuyawire/dps.h */
int tw_body_status(struct tw_text *t, enum tw_version v, const struct tw_body_ids *ids, struct tw_span dps,
                   uint32_t counter)
{
    const struct tw_version_traits *traits = tw_version_traits(v);
    if (traits == NULL)
        return TW_E_ARGUMENT;
    if (traits->wraps_data) {
        open_wrapped(t, PROTOCOL_REPORT, ids->t);
        put_dps(t, dps);
        put_string_member(t, ids->cid.len > 0 ? "cid" : "devId", ids->cid.len > 0 ? ids->cid : ids->id);
        return finish(t, "}}");
    }
    tw_text_put(t, "{");
    if (ids->cid.len == 0)
        put_string_member(t, "devId", ids->id);
    put_dps(t, dps);
    put_int_member(t, "t", ids->t);
    put_string_member(t, "cid", ids->cid);
    if (traits->with_header == TW_ENCODING_B64) /* no header to count in: 3.1 counts in the JSON, spec section 3.1 */
        put_int_member(t, "s", counter);
    return finish(t, "}");
}

/* see tuyawire/dps.h */
int tw_body_reply(struct tw_text *t, const struct tw_body_ids *ids, struct tw_span dps)
{
    tw_text_put(t, "{");
    put_string_member(t, ids->cid.len > 0 ? "cid" : "devId", ids->cid.len > 0 ? ids->cid : ids->id);
    put_dps(t, dps);
    return finish(t, "}");
}

/* see tuyawire/dps.h */
int tw_body_subdev_query(struct tw_text *t)
{
    return finish(t, "{\"reqType\":\"subdev_online_stat_query\",\"data\":{\"cids\":[]}}");
}

static void put_cids(struct tw_text *t, const char *name, const struct tw_span *cids, size_t n)
{
    put_name(t, name);
    tw_text_put(t, "[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            tw_text_put(t, ",");
        tw_text_put_string(t, cids[i]);
    }
    tw_text_put(t, "]");
}

/* see tuyawire/dps.h */
int tw_body_subdev_report(struct tw_text *t, const struct tw_span *online, size_t n_online,
                          const struct tw_span *offline, size_t n_offline)
{
    tw_text_put(t, "{\"reqType\":\"subdev_online_stat_report\",\"data\":{");
    put_cids(t, "online", online, n_online);
    put_cids(t, "offline", offline, n_offline);
    put_cids(t, "nearby", NULL, 0);
    return finish(t, "}}");
}
