/* Bodies and data points. The texts are plaintexts of the golden vectors named beside them, or forms of spec section
 * 5 where no vector has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tuyawire/command.h"
#include "tuyawire/dps.h"

#define ID  "fake0000000000000000id"
#define CID "a4c1380000000001"

static struct tw_span span(const char *text)
{
    return (struct tw_span){(const uint8_t *)text, strlen(text)};
}

static void assert_span(struct tw_span s, const char *expected)
{
    if (s.len != strlen(expected) || (s.len > 0 && memcmp(s.data, expected, s.len) != 0))
        fail_msg("is %.*s, expected %s", (int)s.len, (const char *)s.data, expected);
}

static struct tw_body parsed(const char *text)
{
    struct tw_body b;
    if (tw_body_parse(&b, span(text)) != TW_OK)
        fail_msg("refused: %s", text);
    return b;
}

/* ------ reading ------ */

static void an_old_control_says_who_and_what(void **state)
{
    (void)state;
    /* v33-control-micropython */
    struct tw_body b = parsed("{\"gwId\":\"" ID "\",\"devId\":\"" ID "\",\"uid\":\"" ID
                              "\",\"t\":\"1700000000\",\"dps\":{\"1\":true}}");
    assert_span(b.gw_id, ID);
    assert_span(b.dev_id, ID);
    assert_span(b.uid, ID);
    assert_int_equal(b.t, 1700000000);
    assert_span(b.dps, "{\"1\":true}");
    assert_int_equal(b.protocol, -1);
    assert_int_equal(b.counter, -1);
    assert_span(b.data, "");
    assert_span(b.cid, "");
    assert_false(b.cid_in_data);
}

static void a_new_control_has_its_dps_in_data(void **state)
{
    (void)state;
    /* v34-control-new-cid */
    struct tw_body b =
        parsed("{\"protocol\":5,\"t\":1700000000,\"data\":{\"cid\":\"" CID "\",\"ctype\":0,\"dps\":{\"1\":true}}}");
    assert_int_equal(b.protocol, 5);
    assert_int_equal(b.t, 1700000000);
    assert_span(b.dps, "{\"1\":true}");
    assert_span(b.data, "{\"cid\":\"" CID "\",\"ctype\":0,\"dps\":{\"1\":true}}");
    assert_span(b.cid, CID);
    assert_true(b.cid_in_data);
    /* v34-control-old */
    b = parsed("{\"protocol\":5,\"t\":1700000000,\"data\":{\"devId\":\"" ID "\",\"dps\":{\"1\":true}}}");
    assert_span(b.dev_id, ID);
}

static void a_push_of_3_1_carries_its_counter(void **state)
{
    (void)state;
    /* v31-status-encrypted */
    struct tw_body b = parsed("{\"devId\":\"" ID "\",\"dps\":{\"1\":true},\"t\":1700000000,\"s\":8}");
    assert_int_equal(b.counter, 8);
}

static void a_push_of_a_sub_device_names_it(void **state)
{
    (void)state;
    /* v33-status-cid, v34-status-query-cid */
    struct tw_body b = parsed("{\"dps\":{\"1\":true},\"t\":1700000000,\"cid\":\"" CID "\"}");
    assert_span(b.cid, CID);
    assert_false(b.cid_in_data);
    b = parsed("{\"protocol\":4,\"t\":1700000000,\"data\":{\"dps\":{\"18\":4310,\"19\":9970},\"cid\":\"" CID
               "\",\"type\":\"query\"}}");
    assert_span(b.cid, CID);
    assert_true(b.cid_in_data);
    assert_span(b.type, "query");
}

static void refresh_and_gateway_requests_are_read(void **state)
{
    (void)state;
    assert_span(parsed("{\"dpId\":[18,19,20]}").dp_ids, "[18,19,20]");
    /* v34-lan-ext-subdev-query */
    struct tw_body b = parsed("{\"reqType\":\"subdev_online_stat_query\",\"data\":{\"cids\":[]}}");
    assert_span(b.req_type, "subdev_online_stat_query");
    assert_span(b.data, "{\"cids\":[]}");
}

static void an_empty_object_says_nothing(void **state)
{
    (void)state;
    struct tw_body b = parsed("{}");
    assert_span(b.json, "{}");
    assert_span(b.dps, "");
    assert_int_equal(b.t, -1);
    assert_span(parsed("{\"data\":{}}").data, "{}");
}

static void nul_bytes_and_blanks_around_a_body_are_dropped(void **state)
{
    (void)state;
    static const char text[] = " {\"from\":\"app\"} \n\0\0";
    struct tw_body b;
    assert_int_equal(tw_body_parse(&b, (struct tw_span){(const uint8_t *)text, sizeof text - 1}), TW_OK);
    assert_span(b.json, "{\"from\":\"app\"}");
}

static void the_last_of_several_members_wins(void **state)
{
    (void)state;
    assert_span(parsed("{\"dps\":{\"1\":true},\"dps\":{\"1\":false}}").dps, "{\"1\":false}");
    assert_span(parsed("{\"data\":{\"dps\":{\"1\":1},\"cid\":\"a\"},\"data\":{\"dps\":{\"1\":2}}}").dps, "{\"1\":2}");
    assert_span(parsed("{\"data\":{\"dps\":{\"1\":1},\"cid\":\"a\"},\"data\":{\"dps\":{\"1\":2}}}").cid, "");
    assert_span(parsed("{\"data\":{\"dps\":{\"1\":1}},\"data\":0}").dps, "");
    struct tw_dp dp;
    assert_int_equal(tw_dps_find(&dp, span("{\"1\":true,\"2\":7,\"1\":false}"), 1), TW_OK);
    assert_false(dp.value.boolean);
}

static void the_top_level_goes_before_data(void **state)
{
    (void)state;
    struct tw_body b =
        parsed("{\"data\":{\"dps\":{\"1\":1},\"cid\":\"in\",\"t\":1},\"dps\":{\"1\":2},\"cid\":\"out\",\"t\":2}");
    assert_span(b.dps, "{\"1\":2}");
    assert_span(b.cid, "out");
    assert_false(b.cid_in_data);
    assert_int_equal(b.t, 2);
}

static void members_of_another_type_count_as_absent(void **state)
{
    (void)state;
    /* the heart beat of openHAB (spec section 5.5) has "dps":"" */
    struct tw_body b = parsed("{\"devId\":\"d\",\"uid\":\"\",\"t\":\"1\",\"dps\":\"\",\"gwId\":7,\"dpId\":{},"
                              "\"protocol\":\"x\",\"s\":-3,\"data\":[{\"cid\":\"a\"}]}");
    assert_span(b.dps, "");
    assert_span(b.gw_id, "");
    assert_span(b.uid, "");
    assert_span(b.dp_ids, "");
    assert_span(b.cid, "");
    assert_int_equal(b.protocol, -1);
    assert_int_equal(b.counter, -1);
    assert_int_equal(b.t, 1);
    assert_span(b.data, "[{\"cid\":\"a\"}]");
}

static void time_is_a_whole_number_with_or_without_quotes(void **state)
{
    (void)state;
    assert_int_equal(parsed("{\"t\":4}").t, 4); /* seconds since boot, v34-status-small-t */
    assert_int_equal(parsed("{\"t\":\"1700000000\"}").t, 1700000000);
    assert_int_equal(parsed("{\"t\":1700000000123}").t, 1700000000123);
    static const char *const none[] = {"{\"t\":1.5}",
                                       "{\"t\":\"\"}",
                                       "{\"t\":\"now\"}",
                                       "{\"t\":null}",
                                       "{\"t\":-1}",
                                       "{\"t\":\"1x\"}",
                                       "{\"t\":99999999999999999999}"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(parsed(none[i]).t, -1);
}

static void what_is_no_json_object_is_refused_and_nothing_written(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "[]",
                                        "\"a\"",
                                        "1",
                                        "null",
                                        "{",
                                        "{\"dps\":{\"1\":true}",
                                        "{\"data\":{\"dps\":{}}",
                                        "{\"data\":{,}}",
                                        "{}{}",
                                        "{} x",
                                        "json obj data unvalid",
                                        "{\"dps\":{\"1\":\"\xff\"}}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct tw_body b;
        memset(&b, 0x5A, sizeof b);
        struct tw_body before = b;
        if (tw_body_parse(&b, span(texts[i])) != TW_E_JSON)
            fail_msg("accepted: %s", texts[i]);
        assert_memory_equal(&b, &before, sizeof b);
    }
    struct tw_body b;
    assert_int_equal(tw_body_parse(&b, (struct tw_span){NULL, 0}), TW_E_JSON);
    assert_int_equal(tw_body_parse(&b, (struct tw_span){(const uint8_t *)"\0\0", 2}), TW_E_JSON);
}

static void thirty_two_levels_count_from_the_body(void **state)
{
    (void)state;
    /* At each place that the reader goes into in its own way: a member, data, and a member of data. */
    static const char *const heads[] = {"{\"a\":", "{\"data\":", "{\"data\":{\"a\":"};
    for (size_t h = 0; h < 3; h++) {
        size_t levels = h == 2 ? 2 : 1;
        for (size_t total = 32; total <= 33; total++) {
            char text[128];
            strcpy(text, heads[h]);
            for (size_t i = levels; i < total; i++)
                strcat(text, "[");
            for (size_t i = levels; i < total; i++)
                strcat(text, "]");
            strcat(text, h == 2 ? "}}" : "}");
            struct tw_body b;
            assert_int_equal(tw_body_parse(&b, span(text)), total == 32 ? TW_OK : TW_E_JSON);
            assert_int_equal(tw_json_check(span(text)), total == 32 ? TW_OK : TW_E_JSON);
        }
    }
}

static void data_points_come_in_order_and_typed(void **state)
{
    (void)state;
    struct tw_span dps = span("{\"1\":true,\"9\":0,\"18\":2340,\"101\":\"white\",\"102\":1.50,\"103\":null,\"104\":"
                              "99999999999999999999,\"4294967295\":-1}");
    static const struct {
        uint32_t id;
        enum tw_value_type type;
        const char *text;
    } expected[] = {
        {1, TW_VALUE_BOOL, "true"},
        {9, TW_VALUE_INTEGER, "0"},
        {18, TW_VALUE_INTEGER, "2340"},
        {101, TW_VALUE_STRING, "\"white\""},
        {102, TW_VALUE_NUMBER, "1.50"},
        {103, TW_VALUE_NULL, "null"},
        {104, TW_VALUE_NUMBER, "99999999999999999999"},
        {UINT32_MAX, TW_VALUE_INTEGER, "-1"},
    };
    struct tw_dp dp;
    size_t pos = 0;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_int_equal(tw_dps_next(&dp, &pos, dps), 1);
        assert_int_equal(dp.id, expected[i].id);
        assert_int_equal(dp.value.type, expected[i].type);
        assert_span(dp.value.text, expected[i].text);
    }
    assert_int_equal(tw_dps_next(&dp, &pos, dps), 0);
    assert_int_equal(tw_dps_find(&dp, dps, 18), TW_OK);
    assert_int_equal(dp.value.integer, 2340);
}

static void names_that_are_no_number_are_passed_over(void **state)
{
    (void)state;
    struct tw_dp dp;
    size_t pos = 0;
    struct tw_span dps = span("{\"switch\":1,\"\":2,\"01\":3,\"-1\":4,\"1.0\":5,\" "
                              "1\":6,\"4294967296\":7,\"99999999999\":8,\"\\u0031\":9,\"7\":10}");
    assert_int_equal(tw_dps_next(&dp, &pos, dps), 1);
    assert_int_equal(dp.id, 7);
    assert_int_equal(tw_dps_next(&dp, &pos, dps), 0);
}

static void a_data_point_that_is_not_there_is_not_found(void **state)
{
    (void)state;
    struct tw_dp dp = {.id = 42};
    assert_int_equal(tw_dps_find(&dp, span("{\"1\":true}"), 2), TW_E_ARGUMENT);
    assert_int_equal(tw_dps_find(&dp, (struct tw_span){NULL, 0}, 1), TW_E_ARGUMENT);
    assert_int_equal(dp.id, 42);
}

static void error_texts_are_known_as_they_are(void **state)
{
    (void)state;
    static const char *const texts[] = {"json obj data unvalid", "data format error", "parse data error",
                                        "devid not found", "gw id invalid"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_true(tw_is_error_text(span(texts[i])));
    assert_false(tw_is_error_text(span("nvalid")));
    assert_false(tw_is_error_text(span("gw id invalid ")));
    assert_false(tw_is_error_text(span("{}")));
    assert_false(tw_is_error_text((struct tw_span){NULL, 0}));
}

/* ------ writing ------ */

static const struct tw_body_ids plug = {.id = {(const uint8_t *)ID, 22}, .t = 1700000000};
static const struct tw_body_ids child = {
    .id = {(const uint8_t *)ID, 22}, .cid = {(const uint8_t *)CID, 16}, .t = 1700000000};
static const struct tw_body_ids nobody = {.t = 1700000000};

struct text_buffer {
    char bytes[512];
    struct tw_text text;
};

static struct tw_text *fresh(struct text_buffer *b, size_t cap)
{
    b->text = (struct tw_text){.data = b->bytes, .cap = cap};
    return &b->text;
}

static void assert_text(const struct text_buffer *b, const char *expected)
{
    assert_span((struct tw_span){(const uint8_t *)b->bytes, b->text.len}, expected);
}

static void controls_have_the_form_of_their_version(void **state)
{
    (void)state;
    static const struct {
        enum tw_version v;
        uint32_t command;
        const struct tw_body_ids *ids;
        const char *dps, *expected;
    } cases[] = {
        /* v31-control-on, v33-control-off */
        {TW_V31, TW_CMD_CONTROL, &plug, "{\"1\":true}",
         "{\"devId\":\"" ID "\",\"uid\":\"" ID "\",\"t\":\"1700000000\",\"dps\":{\"1\":true}}"},
        {TW_V33, TW_CMD_CONTROL, &plug, "{\"1\":false}",
         "{\"devId\":\"" ID "\",\"uid\":\"" ID "\",\"t\":\"1700000000\",\"dps\":{\"1\":false}}"},
        /* v33-control-new, v33-control-new-null-map (device22) */
        {TW_V33, TW_CMD_CONTROL_NEW, &nobody, "{\"1\":true}", "{\"dps\":{\"1\":true}}"},
        {TW_V33, TW_CMD_CONTROL_NEW, &plug, "{\"1\":null,\"18\":null,\"19\":null,\"20\":null}",
         "{\"devId\":\"" ID "\",\"uid\":\"" ID
         "\",\"t\":\"1700000000\",\"dps\":{\"1\":null,\"18\":null,\"19\":null,\"20\":null}}"},
        /* v33-control-cid */
        {TW_V33, TW_CMD_CONTROL, &child, "{\"1\":true}",
         "{\"t\":1700000000,\"cid\":\"" CID "\",\"dps\":{\"1\":true}}"},
        /* v34-control-new-on, v35-control-new-off, v35-control-old, v34-control-new-cid */
        {TW_V34, TW_CMD_CONTROL_NEW, &plug, "{\"1\":true}",
         "{\"protocol\":5,\"t\":1700000000,\"data\":{\"dps\":{\"1\":true}}}"},
        {TW_V35, TW_CMD_CONTROL_NEW, &plug, "{\"1\":false}",
         "{\"protocol\":5,\"t\":1700000000,\"data\":{\"dps\":{\"1\":false}}}"},
        {TW_V35, TW_CMD_CONTROL, &plug, "{\"1\":true}",
         "{\"protocol\":5,\"t\":1700000000,\"data\":{\"dps\":{\"1\":true}}}"},
        {TW_V34, TW_CMD_CONTROL_NEW, &child, "{\"1\":true}",
         "{\"protocol\":5,\"t\":1700000000,\"data\":{\"cid\":\"" CID "\",\"ctype\":0,\"dps\":{\"1\":true}}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct text_buffer b;
        assert_int_equal(tw_body_control(fresh(&b, sizeof b.bytes), cases[i].v, cases[i].command, cases[i].ids,
                                         span(cases[i].dps)),
                         TW_OK);
        assert_text(&b, cases[i].expected);
    }
}

static void queries_have_the_form_of_their_version(void **state)
{
    (void)state;
    static const struct {
        enum tw_version v;
        uint32_t command;
        const struct tw_body_ids *ids;
        const char *expected;
    } cases[] = {
        /* v33-dp-query, v33-dp-query-new, v33-dp-query-cid */
        {TW_V33, TW_CMD_DP_QUERY, &plug,
         "{\"gwId\":\"" ID "\",\"devId\":\"" ID "\",\"uid\":\"" ID "\",\"t\":\"1700000000\"}"},
        {TW_V33, TW_CMD_DP_QUERY_NEW, &plug, "{}"},
        {TW_V33, TW_CMD_DP_QUERY, &child, "{\"t\":1700000000,\"cid\":\"" CID "\"}"},
        /* v35-dp-query-new, v35-dp-query-old, v34-dp-query-new-cid */
        {TW_V35, TW_CMD_DP_QUERY_NEW, &plug, "{}"},
        {TW_V35, TW_CMD_DP_QUERY, &plug, "{}"},
        {TW_V34, TW_CMD_DP_QUERY_NEW, &child, "{\"cid\":\"" CID "\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct text_buffer b;
        assert_int_equal(tw_body_query(fresh(&b, sizeof b.bytes), cases[i].v, cases[i].command, cases[i].ids), TW_OK);
        assert_text(&b, cases[i].expected);
    }
}

static void pushes_have_the_form_of_their_version(void **state)
{
    (void)state;
    static const struct {
        enum tw_version v;
        const struct tw_body_ids *ids;
        const char *expected;
    } cases[] = {
        /* v31-status-encrypted, v32-status-source, v32-status-zero-header, v33-status-cid */
        {TW_V31, &plug, "{\"devId\":\"" ID "\",\"dps\":{\"1\":true},\"t\":1700000000,\"s\":8}"},
        {TW_V32, &plug, "{\"devId\":\"" ID "\",\"dps\":{\"1\":true},\"t\":1700000000}"},
        {TW_V33, &nobody, "{\"dps\":{\"1\":true},\"t\":1700000000}"},
        {TW_V33, &child, "{\"dps\":{\"1\":true},\"t\":1700000000,\"cid\":\"" CID "\"}"},
        /* v34-status-source, v35-status-source; v34-status-cid with another value */
        {TW_V34, &nobody, "{\"protocol\":4,\"t\":1700000000,\"data\":{\"dps\":{\"1\":true}}}"},
        {TW_V35, &plug, "{\"protocol\":4,\"t\":1700000000,\"data\":{\"dps\":{\"1\":true},\"devId\":\"" ID "\"}}"},
        {TW_V34, &child, "{\"protocol\":4,\"t\":1700000000,\"data\":{\"dps\":{\"1\":true},\"cid\":\"" CID "\"}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct text_buffer b;
        assert_int_equal(tw_body_status(fresh(&b, sizeof b.bytes), cases[i].v, cases[i].ids, span("{\"1\":true}"), 8),
                         TW_OK);
        assert_text(&b, cases[i].expected);
    }
}

static void the_other_bodies_have_one_form(void **state)
{
    (void)state;
    struct text_buffer b;
    const struct tw_span dps = span("{\"1\":true}"), cid = span(CID);
    /* v32-dp-query-reply-plain, v34-dp-query-new-reply-cid, v33-dp-query-reply-dps-only with other values */
    assert_int_equal(tw_body_reply(fresh(&b, sizeof b.bytes), &plug, dps), TW_OK);
    assert_text(&b, "{\"devId\":\"" ID "\",\"dps\":{\"1\":true}}");
    assert_int_equal(tw_body_reply(fresh(&b, sizeof b.bytes), &child, dps), TW_OK);
    assert_text(&b, "{\"cid\":\"" CID "\",\"dps\":{\"1\":true}}");
    assert_int_equal(tw_body_reply(fresh(&b, sizeof b.bytes), &nobody, dps), TW_OK);
    assert_text(&b, "{\"dps\":{\"1\":true}}");
    /* v33-updatedps */
    const uint32_t ids[] = {18, 19, 20};
    assert_int_equal(tw_body_refresh(fresh(&b, sizeof b.bytes), ids, 3), TW_OK);
    assert_text(&b, "{\"dpId\":[18,19,20]}");
    /* v33-heartbeat-json */
    assert_int_equal(tw_body_heartbeat(fresh(&b, sizeof b.bytes), &plug), TW_OK);
    assert_text(&b, "{\"gwId\":\"" ID "\",\"devId\":\"" ID "\"}");
    assert_int_equal(tw_body_heartbeat(fresh(&b, sizeof b.bytes), &nobody), TW_OK);
    assert_text(&b, "{}");
    /* v33-lan-ext-subdev-query, v35-lan-ext-report */
    assert_int_equal(tw_body_subdev_query(fresh(&b, sizeof b.bytes)), TW_OK);
    assert_text(&b, "{\"reqType\":\"subdev_online_stat_query\",\"data\":{\"cids\":[]}}");
    assert_int_equal(tw_body_subdev_report(fresh(&b, sizeof b.bytes), &cid, 1, NULL, 0), TW_OK);
    assert_text(&b, "{\"reqType\":\"subdev_online_stat_report\",\"data\":{\"online\":[\"" CID
                    "\"],\"offline\":[],\"nearby\":[]}}");
}

static void a_version_that_does_not_exist_is_an_argument_error(void **state)
{
    (void)state;
    struct text_buffer b;
    assert_int_equal(tw_body_control(fresh(&b, 64), (enum tw_version)9, TW_CMD_CONTROL, &plug, span("{}")),
                     TW_E_ARGUMENT);
    assert_int_equal(tw_body_query(fresh(&b, 64), (enum tw_version)9, TW_CMD_DP_QUERY, &plug), TW_E_ARGUMENT);
    assert_int_equal(tw_body_status(fresh(&b, 64), (enum tw_version)9, &plug, span("{}"), 0), TW_E_ARGUMENT);
    assert_int_equal(b.text.len, 0);
}

static void too_little_room_is_said_and_never_written_past(void **state)
{
    (void)state;
    struct text_buffer b;
    assert_int_equal(tw_body_status(fresh(&b, sizeof b.bytes), TW_V31, &plug, span("{\"1\":true}"), 8), TW_OK);
    size_t need = b.text.len;
    for (size_t cap = 0; cap < need; cap++) {
        char *exact = malloc(cap > 0 ? cap : 1);
        assert_non_null(exact);
        struct tw_text t = {.data = exact, .cap = cap};
        assert_int_equal(tw_body_status(&t, TW_V31, &plug, span("{\"1\":true}"), 8), TW_E_CAPACITY);
        assert_true(t.overflow);
        assert_true(t.len <= cap);
        free(exact);
    }
    char *exact = malloc(need);
    assert_non_null(exact);
    struct tw_text t = {.data = exact, .cap = need};
    assert_int_equal(tw_body_status(&t, TW_V31, &plug, span("{\"1\":true}"), 8), TW_OK);
    free(exact);
}

static void strings_are_escaped_and_come_back_the_same(void **state)
{
    (void)state;
    char raw[0x80];
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (char)i;
    const struct tw_span texts[] = {{(const uint8_t *)raw, sizeof raw},
                                    span("K\303\274che \xe7\x81\xaf \xf0\x9f\x98\x80"),
                                    span("\"\\"),
                                    {NULL, 0}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct text_buffer b;
        tw_text_put_string(fresh(&b, sizeof b.bytes), texts[i]);
        assert_false(b.text.overflow);
        struct tw_span json = {(const uint8_t *)b.bytes, b.text.len};
        assert_int_equal(tw_json_check(json), TW_OK);
        char back[sizeof raw];
        size_t len;
        assert_int_equal(tw_json_string(back, sizeof back, &len, json), TW_OK);
        assert_int_equal(len, texts[i].len);
        if (len > 0)
            assert_memory_equal(back, texts[i].data, len);
    }
    struct text_buffer b;
    tw_text_put_string(fresh(&b, sizeof b.bytes), span("a\"b\\c\n\x1f"));
    assert_text(&b, "\"a\\\"b\\\\c\\u000a\\u001f\"");
}

static void integers_are_written_in_full(void **state)
{
    (void)state;
    static const struct {
        int64_t n;
        const char *text;
    } cases[] = {{0, "0"},
                 {-1, "-1"},
                 {1700000000, "1700000000"},
                 {INT64_MAX, "9223372036854775807"},
                 {INT64_MIN, "-9223372036854775808"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct text_buffer b;
        tw_text_put_int(fresh(&b, sizeof b.bytes), cases[i].n);
        assert_text(&b, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_old_control_says_who_and_what),
        cmocka_unit_test(a_new_control_has_its_dps_in_data),
        cmocka_unit_test(a_push_of_3_1_carries_its_counter),
        cmocka_unit_test(a_push_of_a_sub_device_names_it),
        cmocka_unit_test(refresh_and_gateway_requests_are_read),
        cmocka_unit_test(an_empty_object_says_nothing),
        cmocka_unit_test(nul_bytes_and_blanks_around_a_body_are_dropped),
        cmocka_unit_test(the_last_of_several_members_wins),
        cmocka_unit_test(the_top_level_goes_before_data),
        cmocka_unit_test(members_of_another_type_count_as_absent),
        cmocka_unit_test(time_is_a_whole_number_with_or_without_quotes),
        cmocka_unit_test(what_is_no_json_object_is_refused_and_nothing_written),
        cmocka_unit_test(thirty_two_levels_count_from_the_body),
        cmocka_unit_test(data_points_come_in_order_and_typed),
        cmocka_unit_test(names_that_are_no_number_are_passed_over),
        cmocka_unit_test(a_data_point_that_is_not_there_is_not_found),
        cmocka_unit_test(error_texts_are_known_as_they_are),
        cmocka_unit_test(controls_have_the_form_of_their_version),
        cmocka_unit_test(queries_have_the_form_of_their_version),
        cmocka_unit_test(pushes_have_the_form_of_their_version),
        cmocka_unit_test(the_other_bodies_have_one_form),
        cmocka_unit_test(a_version_that_does_not_exist_is_an_argument_error),
        cmocka_unit_test(too_little_room_is_said_and_never_written_past),
        cmocka_unit_test(strings_are_escaped_and_come_back_the_same),
        cmocka_unit_test(integers_are_written_in_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
