/* The JSON record (spec interfaces: "One JSON record per application message"). */
#include "common_test.h"
#include <cjson/cJSON.h>
#include "common/record.h"
#include "tuyawire/command.h"
#include "tuyawire/error.h"

static char line[65536];

static const char *written(const struct record *r)
{
    size_t len = record_write(line, sizeof line - 1, r);
    assert_true(len > 0);
    assert_true(len <= record_size_max(r));
    assert_int_equal(line[len - 1], '\n');
    line[len] = '\0';
    assert_null(memchr(line, '\n', len - 1));
    cJSON *json = cJSON_Parse(line);
    if (json == NULL)
        fail_msg("not JSON: %s", line);
    cJSON_Delete(json);
    return line;
}

static struct record control(void)
{
    struct tw_message m;
    tw_message_init(&m, TW_V33, TW_TO_DEVICE, 1, TW_CMD_CONTROL);
    m.header.counter = 2;
    m.header.source = 1;
    m.payload = span("{\"devId\":\"fake0000000000000000id\",\"dps\":{\"1\":true,\"2\":1.50}}");
    struct record r;
    record_init(&r);
    r.time_ns = UINT64_C(1700000000123456789);
    r.flow = 1;
    r.src = "10.0.0.5:51234";
    r.dst = "10.0.0.9:6668";
    r.framing = TW_ENVELOPE_55AA;
    record_set_message(&r, &m);
    r.device = span("fake0000000000000000id");
    r.integrity = RECORD_INTEGRITY_OK;
    r.key = RECORD_KEY_LOCAL;
    return r;
}

static void message_becomes_one_line_with_every_member(void **state)
{
    (void)state;
    struct record r = control();
    assert_string_equal(written(&r),
                        "{\"time\":1700000000.123456,\"flow\":1,\"src\":\"10.0.0.5:51234\",\"dst\":\"10.0.0.9:6668\","
                        "\"dir\":\"to_device\",\"device\":\"fake0000000000000000id\",\"version\":\"3.3\",\"framing\":"
                        "\"55aa\",\"seq\":1,"
                        "\"cmd\":7,\"cmd_name\":\"CONTROL\",\"retcode\":null,\"integrity\":\"ok\",\"key\":\"local\","
                        "\"header\":{\"crc\":0,\"seq\":2,\"source\":1},"
                        "\"payload\":{\"devId\":\"fake0000000000000000id\",\"dps\":{\"1\":true,\"2\":1.50}},\"text\":"
                        "null,\"hex\":null,"
                        "\"error\":null,\"detail\":null}\n");
}

static void lost_bytes_are_a_record_of_nulls(void **state)
{
    (void)state;
    struct record r;
    record_init(&r);
    r.error = TW_E_PREFIX;
    r.detail = "skipped 17 bytes";
    assert_string_equal(
        written(&r), "{\"time\":0.000000,\"flow\":0,\"src\":null,\"dst\":null,\"dir\":null,\"device\":null,"
                     "\"version\":null,\"framing\":null,\"seq\":null,\"cmd\":null,\"cmd_name\":null,\"retcode\":null,"
                     "\"integrity\":\"unchecked\",\"key\":\"none\",\"header\":null,\"payload\":null,\"text\":null,"
                     "\"hex\":null,\"error\":\"bad_prefix\",\"detail\":\"skipped 17 bytes\"}\n");
}

static void contains(const struct record *r, const char *part)
{
    if (strstr(written(r), part) == NULL)
        fail_msg("%s is not in %s", part, line);
}

static void payload_is_json_or_text_or_hex(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *part;
    } cases[] = {
        {"{\"a\":1}\0\0", 9, "\"payload\":{\"a\":1},\"text\":null,\"hex\":null"},
        {"{ \"a\":\n1 }\r\n", 12, "\"payload\":{ \"a\": 1 }  ,\"text\":null"},
        {"{\"a\":1", 6, "\"payload\":null,\"text\":\"{\\\"a\\\":1\",\"hex\":null"},
        {"[1]", 3, "\"payload\":null,\"text\":\"[1]\""},
        {"json obj data unvalid", 21, "\"text\":\"json obj data unvalid\""},
        {"\xC3\xA4\x01\t\x7F\\", 6, "\"text\":\"\xC3\xA4\\u0001\\t\\u007f\\\\\""},
        {"\xFF\x00\x10", 3, "\"payload\":null,\"text\":null,\"hex\":\"ff0010\""},
        {"\xED\xA0\x80", 3, "\"hex\":\"eda080\""},       /* a surrogate is no UTF-8 */
        {"\xC0\x80", 2, "\"hex\":\"c080\""},             /* nor is an overlong form */
        {"\xF4\x90\x80\x80", 4, "\"hex\":\"f4908080\""}, /* nor what is above U+10FFFF */
        {"\xE2\x82", 2, "\"hex\":\"e282\""},             /* nor what is cut off */
        {"", 0, "\"payload\":null,\"text\":null,\"hex\":null"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct record r;
        record_init(&r);
        r.payload = (struct tw_span){(const uint8_t *)cases[i].bytes, cases[i].len};
        contains(&r, cases[i].part);
    }
}

static void return_code_in_host_order_is_read(void **state)
{
    (void)state;
    struct tw_message m;
    tw_message_init(&m, TW_V35, TW_FROM_DEVICE, 7, TW_CMD_CONTROL_NEW);
    m.retcode = 0x01000000;
    struct record r;
    record_init(&r);
    record_set_message(&r, &m);
    contains(&r, "\"dir\":\"from_device\"");
    contains(&r, "\"retcode\":1,");
}

static void frame_alone_tells_envelope_seq_and_command(void **state)
{
    (void)state;
    struct tw_frame f = {.envelope = TW_ENVELOPE_6699, .seq = 4294967295u, .command = 0xEE};
    struct record r;
    record_init(&r);
    record_set_frame(&r, &f);
    r.integrity = RECORD_INTEGRITY_BAD;
    r.key = RECORD_KEY_SESSION;
    r.dir = RECORD_BROADCAST;
    contains(&r, "\"dir\":\"broadcast\"");
    contains(&r, "\"framing\":\"6699\",\"seq\":4294967295,\"cmd\":238,\"cmd_name\":null");
    contains(&r, "\"integrity\":\"bad\",\"key\":\"session\"");
}

static void hostile_names_cannot_break_the_line(void **state)
{
    (void)state;
    struct record r;
    record_init(&r);
    r.device = span("a\"b\n\xFF");
    r.name = span("K\xC3\xBC"
                  "che \"x\"");
    r.detail = "line\nbreak";
    contains(&r, "\"device\":\"a\\\"b\\n\xEF\xBF\xBD\",\"name\":\"K\xC3\xBC"
                 "che \\\"x\\\"\"");
    contains(&r, "\"detail\":\"line\\nbreak\"");
}

static void bound_holds_for_the_longest_members(void **state)
{
    (void)state;
    static char ones[4001];
    memset(ones, 1, sizeof ones - 1);
    struct record r = control();
    r.time_ns = r.flow = UINT64_MAX;
    r.seq = r.cmd = r.retcode = 4294967295;
    r.header = (struct tw_header){.check = 4294967295u, .counter = 4294967295u, .source = 4294967295u};
    r.payload = (struct tw_span){(const uint8_t *)ones, 4000}; /* each byte becomes \u0001 */
    r.device = r.name = (struct tw_span){(const uint8_t *)ones, 64};
    r.src = r.dst = r.detail = ones;
    r.error = TW_E_HS_RENEGOTIATE;
    static char room[200000];
    size_t bound = record_size_max(&r);
    assert_true(bound <= sizeof room);
    size_t len = record_write(room, bound, &r);
    assert_true(len > 0 && len <= bound);
    assert_int_equal(record_write(room, bound - 1, &r), 0);
}

static void buffer_grows_and_keeps_what_is_in_it(void **state)
{
    (void)state;
    struct record_buffer b = {0};
    struct record r = control();
    size_t one = record_write(line, sizeof line, &r);
    for (size_t i = 1; i <= 1000; i++) {
        assert_int_equal(record_append(&b, &r), 0);
        assert_int_equal(b.len, i * one);
    }
    assert_memory_equal(b.data, line, one);
    assert_memory_equal(b.data + 999 * one, line, one);
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_becomes_one_line_with_every_member),
        cmocka_unit_test(lost_bytes_are_a_record_of_nulls),
        cmocka_unit_test(payload_is_json_or_text_or_hex),
        cmocka_unit_test(return_code_in_host_order_is_read),
        cmocka_unit_test(frame_alone_tells_envelope_seq_and_command),
        cmocka_unit_test(hostile_names_cannot_break_the_line),
        cmocka_unit_test(bound_holds_for_the_longest_members),
        cmocka_unit_test(buffer_grows_and_keeps_what_is_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
