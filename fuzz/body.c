/* body.c - what a body says can be written down again, and says the same then.
 *
 * Reaches: all of tuyawire/dps.h, so lib/json.c and lib/dps.c. Input: a context byte (version for the writers), then
 * a payload. */
#include "common/fuzz.h"
#include <string.h>
#include "tuyawire/dps.h"

const struct fuzz_harness fuzz_harness = {
    .name = "body",
    .claim = "data points survive reading, writing and reading again, and nothing points outside the payload",
    .form = FUZZ_TEXT,
    .context_len = 1,
};

enum { ROOM = 1 << 15, DPS_MAX = 256 };
static char text[ROOM], text_b[ROOM], raw[ROOM], raw_b[ROOM];

static bool inside(struct tw_span s, struct tw_span whole)
{
    return s.len == 0 ||
           (s.data >= whole.data && s.len <= whole.len && s.data - whole.data <= (ptrdiff_t)(whole.len - s.len));
}

static bool equal(struct tw_span a, struct tw_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static struct tw_span span_of(const struct tw_text *t)
{
    return (struct tw_span){(const uint8_t *)t->data, t->len};
}

static void check_spans(const struct tw_body *b, struct tw_span payload)
{
    const struct tw_span spans[] = {b->json, b->dps, b->data, b->dev_id,   b->gw_id,
                                    b->uid,  b->cid, b->type, b->req_type, b->dp_ids};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
        CHECK(inside(spans[i], payload));
    CHECK(b->json.len >= 2 && b->json.data[0] == '{' && b->json.data[b->json.len - 1] == '}');
    CHECK(tw_json_check(b->json) == TW_OK);
}

/* The meaning of a value belongs to its text. */
static void check_value(const struct tw_value *v, struct tw_span whole)
{
    struct tw_value alone;
    CHECK(v->text.len > 0 && inside(v->text, whole) && tw_json_value(&alone, v->text) == TW_OK);
    CHECK(alone.type == v->type && equal(alone.text, v->text));
    CHECK(v->type != TW_VALUE_INTEGER || alone.integer == v->integer);
    uint8_t first = v->text.data[0];
    switch (v->type) {
    case TW_VALUE_NULL: CHECK(first == 'n' && v->text.len == 4); break;
    case TW_VALUE_BOOL: CHECK(first == (v->boolean ? 't' : 'f')); break;
    case TW_VALUE_INTEGER: {
        struct tw_text t = {text, ROOM, 0, false};
        tw_text_put_int(&t, v->integer);
        struct tw_span minus_zero = {(const uint8_t *)"-0", 2};
        CHECK(equal(span_of(&t), v->text) || (v->integer == 0 && equal(v->text, minus_zero)));
        break;
    }
    case TW_VALUE_NUMBER: CHECK(first == '-' || (first >= '0' && first <= '9')); break;
    case TW_VALUE_STRING: {
        size_t len = 0, len_b = 0;
        if (v->text.len > ROOM / 8)
            break;
        int rc = tw_json_string(raw, v->text.len, &len, v->text);
        CHECK(first == '"' && (rc == TW_OK || rc == TW_E_JSON));
        if (rc != TW_OK)
            break;
        struct tw_text t = {text, ROOM, 0, false};
        tw_text_put_string(&t, (struct tw_span){(const uint8_t *)raw, len});
        CHECK(!t.overflow && tw_json_check(span_of(&t)) == TW_OK);
        CHECK(tw_json_string(raw_b, ROOM, &len_b, span_of(&t)) == TW_OK);
        CHECK(len == len_b && memcmp(raw, raw_b, len) == 0);
        CHECK(len == 0 || tw_json_string(raw_b, len - 1, &len_b, v->text) == TW_E_CAPACITY);
        break;
    }
    case TW_VALUE_OBJECT: CHECK(first == '{'); break;
    case TW_VALUE_ARRAY: CHECK(first == '['); break;
    }
}

/* Every data point, found again by its id: the last of a name wins. @return how many */
static size_t check_dps(struct tw_span dps)
{
    struct tw_dp dp, found;
    size_t n = 0;
    for (size_t pos = 0, before = 0; tw_dps_next(&dp, &pos, dps) == 1; before = pos) {
        CHECK(pos > before);
        check_value(&dp.value, dps);
        if (n++ >= 32)
            continue;
        CHECK(tw_dps_find(&found, dps, dp.id) == TW_OK && found.id == dp.id);
        CHECK(found.value.text.data >= dp.value.text.data);
    }
    return n;
}

static bool same_dps(struct tw_span a, struct tw_span b)
{
    struct tw_dp da, db;
    size_t pa = 0, pb = 0;
    for (;;) {
        int more = tw_dps_next(&da, &pa, a);
        if (tw_dps_next(&db, &pb, b) != more)
            return false;
        if (more == 0)
            return true;
        if (da.id != db.id || da.value.type != db.value.type || !equal(da.value.text, db.value.text))
            return false;
    }
}

/* Write dps into each canonical body, read it, and find them there. */
static void check_written(const struct tw_body *b, enum tw_version v)
{
    struct tw_body again;
    struct tw_body_ids ids = {.id = b->dev_id, .uid = b->uid, .cid = b->cid, .t = b->t < 0 ? 0 : b->t};
    if (b->dps.len == 0 || b->dps.data[0] != '{' || b->json.len > ROOM / 8)
        return;
    const uint32_t commands[] = {TW_CMD_CONTROL, TW_CMD_CONTROL_NEW};
    for (int form = 0; form < 4; form++) {
        struct tw_text t = {text_b, ROOM, 0, false};
        int rc = form < 2    ? tw_body_control(&t, v, commands[form], &ids, b->dps)
                 : form == 2 ? tw_body_status(&t, v, &ids, b->dps, 7)
                             : tw_body_reply(&t, &ids, b->dps);
        CHECK(rc == TW_OK && !t.overflow);
        if (tw_body_parse(&again, span_of(&t)) != TW_OK) {
            CHECK(fuzz_json_levels(b->dps.data, b->dps.len) + 2 > TW_JSON_DEPTH_MAX); /* one level too deep for its new place */
            continue;
        }
        CHECK(same_dps(again.dps, b->dps));
        struct tw_text small = {text_b, t.len - 1, 0, false};
        rc = form < 2    ? tw_body_control(&small, v, commands[form], &ids, b->dps)
             : form == 2 ? tw_body_status(&small, v, &ids, b->dps, 7)
                         : tw_body_reply(&small, &ids, b->dps);
        CHECK(rc == TW_E_CAPACITY && small.overflow);
    }
}

/* The bodies that hold no data points. */
static void check_small_bodies(const struct tw_body *b, enum tw_version v)
{
    struct tw_body again;
    struct tw_value value;
    struct tw_body_ids ids = {.id = b->gw_id, .cid = b->cid, .t = b->t < 0 ? 0 : b->t};
    uint32_t dp_ids[8];
    size_t n = 0;
    for (size_t pos = 0; b->dp_ids.len > 0 && tw_json_next_element(&value, &pos, b->dp_ids) == 1;) {
        check_value(&value, b->dp_ids);
        if (n < 8 && value.type == TW_VALUE_INTEGER && value.integer >= 0 && value.integer <= UINT32_MAX)
            dp_ids[n++] = (uint32_t)value.integer;
    }
    struct tw_text t = {text_b, ROOM, 0, false};
    CHECK(tw_body_refresh(&t, dp_ids, n) == TW_OK && tw_body_parse(&again, span_of(&t)) == TW_OK);
    size_t pos = 0;
    for (size_t i = 0; i < n; i++)
        CHECK(tw_json_next_element(&value, &pos, again.dp_ids) == 1 && value.integer == (int64_t)dp_ids[i]);
    CHECK(tw_json_next_element(&value, &pos, again.dp_ids) == 0);

    const struct tw_span cids[] = {b->cid, b->dev_id};
    t = (struct tw_text){text_b, ROOM, 0, false};
    CHECK(tw_body_query(&t, v, tw_version_traits(v)->query, &ids) == TW_OK);
    t = (struct tw_text){text_b, ROOM, 0, false};
    CHECK(tw_body_heartbeat(&t, &ids) == TW_OK);
    t = (struct tw_text){text_b, ROOM, 0, false};
    CHECK(tw_body_subdev_report(&t, cids, 1, cids + 1, 1) == TW_OK);
    t = (struct tw_text){text_b, ROOM, 0, false};
    CHECK(tw_body_subdev_query(&t) == TW_OK && tw_body_parse(&again, span_of(&t)) == TW_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_body b;
    if (size < 1 || size > ROOM / 8)
        return 0;
    enum tw_version v = (enum tw_version)fuzz_context_version(data[0]);
    struct tw_span payload = {data + 1, size - 1};
    memset(&b, 0xee, sizeof b);
    int rc = tw_body_parse(&b, payload);
    fuzz_gate(rc == TW_OK);
    CHECK(!tw_is_error_text(payload) || rc == TW_E_JSON);
    if (rc != TW_OK) {
        CHECK(rc == TW_E_JSON && b.t == (int64_t)0xeeeeeeeeeeeeeeee);
        CHECK(tw_json_check(payload) != TW_OK || payload.len == 0 || memchr(payload.data, '{', payload.len) == NULL ||
              payload.data[0] != '{');
        return 0;
    }
    check_spans(&b, payload);

    struct tw_span name;
    struct tw_value value;
    for (size_t pos = 0, before = 0; tw_json_next_member(&name, &value, &pos, b.json) == 1; before = pos) {
        CHECK(pos > before && inside(name, b.json));
        check_value(&value, b.json);
    }
    if (b.dps.len > 0)
        fuzz_gate(check_dps(b.dps) > 0);
    check_written(&b, v);
    check_small_bodies(&b, v);
    return 0;
}
