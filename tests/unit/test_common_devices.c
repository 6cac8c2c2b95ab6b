/* devices.json and snapshot.json. The examples have the form that spec energy-dps sections 12 and 13 show. */
#include "common_test.h"
#include <time.h>
#include "common/devices.h"

#define KETTLE                                                                                                       \
    "{\"name\":\"Kettle plug\",\"id\":\"bf00000000000000000001\",\"key\":\"0123456789abcdef\",\"mac\":"              \
    "\"02:00:00:00:00:01\",\"uuid\":\"0000000000000001\",\"sn\":\"x\",\"category\":\"cz\",\"product_name\":"         \
    "\"Plug\","                                                                                                      \
    "\"product_id\":\"simenergyplug001\",\"biz_type\":18,\"sub\":false,\"icon\":\"https://x\",\"mapping\":{"         \
    "\"19\":{\"code\":\"cur_power\",\"type\":\"Integer\",\"values\":{\"unit\":\"W\",\"min\":0,\"max\":80000,"        \
    "\"scale\":1,\"step\":1}},"                                                                                      \
    "\"1\":{\"code\":\"switch_1\",\"type\":\"Boolean\",\"values\":{}},"                                              \
    "\"26\":{\"code\":\"fault\",\"type\":\"Bitmap\",\"values\":{\"label\":[\"ov_cr\",\"ov_vol\"]}},"                 \
    "\"38\":{\"code\":\"relay_status\",\"type\":\"Enum\",\"values\":{\"range\":[\"off\",\"on\",\"memory\"]}},"       \
    "\"42\":{\"code\":\"cycle_time\",\"type\":\"String\",\"values\":\"{\\\"maxlen\\\":255}\"}},"                     \
    "\"ip\":\"192.0.2.11\",\"version\":\"3.3\"}"
#define GATEWAY                                                                                                      \
    "{\"name\":\"Gateway\",\"id\":\"bf00000000000000000002\",\"key\":\"a<b>c'd&e\\\"f\\\\g$h%\",\"category\":"       \
    "\"wg2\",\"mapping\":{},\"ip\":\"192.0.2.12\",\"version\":3.4}"
#define FRIDGE                                                                                                       \
    "{\"name\":\"Fridge plug\",\"id\":\"bf00000000000000000003\",\"key\":\"a<b>c'd&e\\\"f\\\\g$h%\",\"sub\":true,"   \
    "\"node_id\":\"0000000000000001\",\"mapping\":null,\"parent\":\"bf00000000000000000002\",\"ip\":\"\","           \
    "\"version\":\"\"}"

static struct devices parsed(const char *text)
{
    struct devices d;
    struct why why;
    if (devices_parse(&d, text, strlen(text), "devices.json", &why) != 0)
        fail_msg("not read: %s", why.text);
    return d;
}

static void refused(const char *text, const char *says)
{
    struct devices d = {0};
    struct why why;
    assert_int_equal(devices_parse(&d, text, strlen(text), "devices.json", &why), -1);
    assert_says(&why, says);
    assert_null(d.store);
}

static void both_shapes_give_the_same_devices(void **state)
{
    (void)state;
    static const char *const shapes[] = {
        "[" KETTLE "," GATEWAY "," FRIDGE "]",
        "{\"timestamp\":1735689600.25,\"devices\":[" KETTLE "," GATEWAY "," FRIDGE "]}",
        "\xEF\xBB\xBF[" KETTLE "," GATEWAY "," FRIDGE "]\n\n",
        "{\"result\":[" KETTLE "," GATEWAY "," FRIDGE "],\"success\":true,\"t\":1735689600250}",
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct devices d = parsed(shapes[i]);
        assert_int_equal(d.n, 3);
        assert_string_equal(d.entries[0].name, "Kettle plug");
        assert_string_equal(d.entries[2].id, "bf00000000000000000003");
        devices_free(&d);
    }
}

static void every_member_is_read(void **state)
{
    (void)state;
    struct devices d = parsed("[" KETTLE "," GATEWAY "," FRIDGE "]");
    const struct devices_entry *e = &d.entries[0];
    assert_string_equal(e->ip, "192.0.2.11");
    assert_string_equal(e->mac, "02:00:00:00:00:01");
    assert_string_equal(e->uuid, "0000000000000001");
    assert_string_equal(e->category, "cz");
    assert_string_equal(e->product_id, "simenergyplug001");
    assert_string_equal(e->product_name, "Plug");
    assert_int_equal(e->key_state, DEVICES_KEY_OK);
    assert_memory_equal(e->key, "0123456789abcdef", TW_KEY_LEN);
    assert_true(e->has_version);
    assert_int_equal(e->version, TW_V33);
    assert_true(e->has_mapping);
    assert_false(e->sub);

    e = &d.entries[1];
    assert_memory_equal(e->key, "a<b>c'd&e\"f\\g$h%", TW_KEY_LEN);
    assert_true(e->has_version);
    assert_int_equal(e->version, TW_V34);
    assert_true(e->has_mapping);
    assert_int_equal(e->n_dps, 0);

    e = &d.entries[2];
    assert_true(e->sub);
    assert_string_equal(e->node_id, "0000000000000001");
    assert_string_equal(e->parent, "bf00000000000000000002");
    assert_false(e->has_version);
    assert_false(e->has_mapping);
    assert_string_equal(e->mac, "");
    devices_free(&d);
}

static void mapping_is_read_with_types_ranges_and_labels(void **state)
{
    (void)state;
    struct devices d = parsed("[" KETTLE "]");
    const struct devices_entry *e = &d.entries[0];
    assert_int_equal(e->n_dps, 5);
    const struct devices_dp *dp = devices_dp(e, 19);
    assert_non_null(dp);
    assert_string_equal(dp->code, "cur_power");
    assert_string_equal(dp->unit, "W");
    assert_int_equal(dp->type, DEVICES_DP_INTEGER);
    assert_int_equal(dp->scale, 1);
    assert_true(dp->has_range);
    assert_int_equal(dp->max, 80000);
    dp = devices_dp_by_code(e, "relay_status");
    assert_non_null(dp);
    assert_int_equal(dp->id, 38);
    assert_int_equal(dp->n_labels, 3);
    assert_string_equal(dp->labels[2], "memory");
    assert_int_equal(devices_dp(e, 26)->n_labels, 2);
    assert_int_equal(devices_dp(e, 42)->max_len, 255); /* values as a string of JSON */
    assert_int_equal(devices_dp(e, 1)->max_len, -1);
    assert_null(devices_dp(e, 2));
    assert_null(devices_dp_by_code(e, "cur_voltage"));
    devices_free(&d);
}

static void snapshot_gives_values_and_its_version_wins(void **state)
{
    (void)state;
    struct devices d = parsed(
        "{\"timestamp\":1,\"devices\":[{\"gwId\":\"a1\",\"ip\":\"192.0.2.1\",\"version\":\"3.1\",\"ver\":\"3.5\","
        "\"productKey\":\"pk\",\"dps\":{\"devId\":\"a1\",\"dps\":{\"1\":true,\"18\":8671}},\"key\":\"\"},"
        "{\"id\":\"a2\",\"dps\":{\"1\":false}},{\"id\":\"a3\",\"dps\":{\"Error\":\"x\"}},{\"id\":\"a4\",\"dps\":null}"
        "]}");
    assert_int_equal(d.n, 4);
    assert_string_equal(d.entries[0].id, "a1");
    assert_int_equal(d.entries[0].version, TW_V35);
    assert_string_equal(d.entries[0].product_id, "pk");
    assert_string_equal(d.entries[0].values, "{\"1\":true,\"18\":8671}");
    assert_int_equal(d.entries[0].key_state, DEVICES_KEY_ABSENT);
    assert_string_equal(d.entries[1].values, "{\"1\":false}");
    assert_string_equal(d.entries[2].values, "");
    assert_string_equal(d.entries[3].values, "");
    devices_free(&d);
}

static void device_with_a_bad_key_stays_and_says_so(void **state)
{
    (void)state;
    struct devices d = parsed("[{\"id\":\"a\",\"name\":\"Lamp\",\"key\":\"too short\"},{\"id\":\"b\"}]");
    struct why why;
    assert_int_equal(d.entries[0].key_state, DEVICES_KEY_LENGTH);
    assert_int_equal(devices_key_check(&d.entries[0], &why), -1);
    assert_says(&why, "the key of 'Lamp' in the device list has 9 bytes, expected 16");
    assert_null(strstr(why.text, "too short"));
    assert_int_equal(devices_key_check(&d.entries[1], &why), -1);
    assert_says(&why, "'b' has no key");
    devices_free(&d);
}

static void keys_are_found_under_the_names_of_the_cloud(void **state)
{
    (void)state;
    static const char *const members[] = {
        "\"local_key\":\"0123456789abcdef\"",
        "\"localKey\":\"0123456789abcdef\"",
        "\"key\":\"\",\"local_key\":\"0123456789abcdef\"",
        "\"local_key\":\"0123456789abcdef\",\"key\":\"\"",
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        char text[200];
        snprintf(text, sizeof text, "[{\"id\":\"bf01\",%s}]", members[i]);
        struct devices d = parsed(text);
        assert_int_equal(d.entries[0].key_state, DEVICES_KEY_OK);
        assert_memory_equal(d.entries[0].key, "0123456789abcdef", TW_KEY_LEN);
        devices_free(&d);
    }
}

static void standard_codes_whose_values_are_missing_keep_their_scale(void **state)
{
    (void)state;
    struct devices d =
        parsed("[{\"id\":\"a\",\"mapping\":{\"18\":{\"code\":\"cur_current\",\"values\":{\"unit\":\"A\"}},"
               "\"19\":{\"code\":\"cur_power\",\"values\":\"{}\"},"
               "\"20\":{\"code\":\"cur_voltage\",\"values\":{\"unit\":\"\",\"scale\":0}},"
               "\"21\":{\"code\":\"cur_voltage\"},\"22\":{\"code\":\"odd\",\"values\":{}}}}]");
    static const struct {
        uint32_t id;
        const char *unit;
        int scale;
    } want[] = {{18, "A", 0}, {19, "W", 1}, {20, "", 0}, {21, "V", 1}, {22, "", 0}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const struct devices_dp *dp = devices_dp(&d.entries[0], want[i].id);
        assert_string_equal(dp->unit, want[i].unit);
        assert_int_equal(dp->scale, want[i].scale);
    }
    devices_free(&d);
}

static void numbers_beyond_32_bits_are_no_data_points(void **state)
{
    (void)state;
    struct devices d =
        parsed("[{\"id\":\"a\",\"mapping\":{\"4294967299\":{\"code\":\"b\"},\"4294967295\":{\"code\":\"c\"},"
               "\"99999999999999999999999\":{\"code\":\"d\"}}}]");
    assert_null(devices_dp(&d.entries[0], 3));
    assert_string_equal(devices_dp(&d.entries[0], UINT32_MAX)->code, "c");
    devices_free(&d);
}

static void broken_files_are_named_with_their_place(void **state)
{
    (void)state;
    refused("", "devices.json, line 1, column 1");
    refused("[\n  {\"id\": \"a\",\n   \"key\" \"b\"}]", "devices.json, line 3, column 10: this is not JSON");
    refused("[{\"id\":\"a\"}", "(does the file end in the middle?)");
    refused("[{\"id\":\"a\"}] x", "this is not JSON");
    refused("{\"devices\":{}}", "expected a list of devices");
    refused("\"text\"", "expected a list of devices");
    refused("[]", "there is no device with an \"id\"");
    refused("[1,null,{\"name\":\"x\"},{\"id\":\"\"}]", "there is no device with an \"id\"");
}

static void entries_without_id_are_left_out_and_counted(void **state)
{
    (void)state;
    struct devices d = parsed("[1,{\"name\":\"x\"},{\"id\":\"a\"},[],{\"id\":7}]");
    assert_int_equal(d.n, 1);
    assert_int_equal(d.n_left_out, 4);
    devices_free(&d);
}

static void members_of_the_wrong_type_do_no_harm(void **state)
{
    (void)state;
    struct devices d =
        parsed("[{\"id\":\"a\",\"name\":7,\"key\":[],\"ip\":null,\"version\":{},\"mapping\":[1],\"sub\":\"x\","
               "\"dps\":5,\"port\":99999999},{\"id\":\"b\",\"mapping\":{\"1\":7,\"x\":{\"values\":\"{\"},"
               "\"99999999999999\":{\"type\":3,\"values\":{\"range\":7,\"scale\":\"9x\",\"min\":1e300}}}}]");
    assert_int_equal(d.n, 2);
    assert_string_equal(d.entries[0].name, "");
    assert_false(d.entries[0].has_mapping);
    assert_int_equal(d.entries[0].port, 0);
    assert_int_equal(d.entries[1].n_dps, 2);
    assert_string_equal(d.entries[1].dps[0].code, "x");
    assert_int_equal(d.entries[1].dps[1].type, DEVICES_DP_UNKNOWN);
    devices_free(&d);
}

static void devices_are_found_by_id_name_and_unique_beginning(void **state)
{
    (void)state;
    struct devices d =
        parsed("[" KETTLE "," GATEWAY "," FRIDGE ",{\"id\":\"q1\",\"name\":\"Lamp\"},{\"id\":\"q2\",\"name\":"
               "\"lamp\"},{\"id\":\"q3\",\"name\":\"Lamp 3\"}]");
    struct why why;
    assert_ptr_equal(devices_find(&d, "bf00000000000000000002", NULL), &d.entries[1]);
    assert_ptr_equal(devices_find(&d, "kettle PLUG", NULL), &d.entries[0]);
    assert_ptr_equal(devices_find(&d, "fri", NULL), &d.entries[2]);
    assert_ptr_equal(devices_find(&d, "q3", NULL), &d.entries[5]);
    assert_null(devices_find(&d, "LAMP", &why));
    assert_says(&why, "'LAMP' fits 2 devices: 'Lamp' (q1), 'lamp' (q2); use the id");
    assert_null(devices_find(&d, "bf", &why));
    assert_says(&why, "'bf' fits 3 devices");
    assert_null(devices_find(&d, "toaster", &why));
    assert_says(&why, "no device has the id or name 'toaster'; the list has 6, the first is 'Kettle plug'");
    assert_null(devices_find(&d, "", &why));
    devices_free(&d);
}

static void of_equal_ids_the_last_wins(void **state)
{
    (void)state;
    struct devices d = parsed("[{\"id\":\"a\",\"name\":\"1\"},{\"id\":\"b\"},{\"id\":\"a\",\"name\":\"2\"}]");
    assert_string_equal(devices_by_id(&d, span("a"))->name, "2");
    assert_null(devices_by_id(&d, span("ab")));
    assert_null(devices_by_id(&d, span("")));
    assert_null(devices_by_id(&d, span("c")));
    devices_free(&d);
}

static const char *owner(const struct devices *d, const char *id, const char *cid)
{
    const struct devices_entry *e = devices_owner(d, span(id), span(cid));
    return e != NULL ? e->name : "nobody";
}

/* Zigbee node ids are unique in the world, those of Bluetooth meshes behind their gateway only. */
static void the_owner_of_data_points_is_the_device_or_one_behind_it(void **state)
{
    (void)state;
    struct devices d = parsed("[{\"id\":\"g1\",\"name\":\"gate 1\",\"node_id\":\"own\"},"
                              "{\"id\":\"g2\",\"name\":\"gate 2\"},"
                              "{\"id\":\"s1\",\"name\":\"of 1\",\"sub\":true,\"node_id\":\"0010\",\"parent\":\"g1\"},"
                              "{\"id\":\"s2\",\"name\":\"of 2\",\"sub\":true,\"node_id\":\"0010\",\"parent\":\"g2\"},"
                              "{\"id\":\"s3\",\"name\":\"by id\",\"parent\":\"g1\"},"
                              "{\"id\":\"s4\",\"name\":\"of any\",\"sub\":true,\"node_id\":\"0011\"},"
                              "{\"id\":\"s5\",\"name\":\"old\",\"sub\":true,\"node_id\":\"0012\"},"
                              "{\"id\":\"s6\",\"name\":\"new\",\"sub\":true,\"node_id\":\"0012\"}]");
    assert_string_equal(devices_cid(&d.entries[1]), "");
    assert_string_equal(devices_cid(&d.entries[2]), "0010");
    assert_string_equal(devices_cid(&d.entries[4]), "s3");

    assert_string_equal(owner(&d, "g1", ""), "gate 1");
    assert_string_equal(owner(&d, "g1", "g1"), "gate 1");
    assert_string_equal(owner(&d, "g1", "own"), "gate 1");
    assert_string_equal(owner(&d, "g1", "0010"), "of 1");
    assert_string_equal(owner(&d, "g2", "0010"), "of 2");
    assert_string_equal(owner(&d, "stranger", "0010"), "nobody");
    assert_string_equal(owner(&d, "", "0010"), "of 2");
    assert_string_equal(owner(&d, "g1", "s3"), "by id");
    assert_string_equal(owner(&d, "g2", "s3"), "nobody");
    assert_string_equal(owner(&d, "g2", "0011"), "of any");
    assert_string_equal(owner(&d, "g2", "0012"), "new");
    for (const char *const *cid = (const char *const[]){"001", "00100", "g2", "~", NULL}; *cid != NULL; cid++)
        assert_string_equal(owner(&d, "g1", *cid), "nobody");
    assert_string_equal(owner(&d, "", ""), "nobody");
    devices_free(&d);
    assert_string_equal(owner(&d, "g1", "0010"), "nobody");
}

/* Quadratic reading or looking up takes minutes here, linear reading well under a second. */
static void ten_thousand_devices_are_read_quickly(void **state)
{
    (void)state;
    enum { N = 10000 };
    size_t room = (size_t)N * 1024, len = 1;
    char *text = malloc(room);
    assert_non_null(text);
    text[0] = '[';
    for (int i = 0; i < N; i++)
        len += (size_t)sprintf(text + len,
                               "%s{\"name\":\"Plug %d\",\"id\":\"bf%020d\",\"key\":\"0123456789abcdef\",\"mapping\":"
                               "{\"1\":{\"code\":\"switch_1\",\"type\":\"Boolean\",\"values\":{}},\"19\":{\"code\":"
                               "\"cur_power\",\"type\":\"Integer\",\"values\":{\"unit\":\"W\",\"scale\":1}}}}",
                               i == 0 ? "" : ",", i, i);
    text[len++] = ']';

    struct devices d;
    clock_t start = clock();
    assert_int_equal(devices_parse(&d, text, len, "big", NULL), 0);
    assert_int_equal(d.n, N);
    for (int i = 0; i < N; i++) {
        char id[32];
        sprintf(id, "bf%020d", i);
        assert_ptr_equal(devices_by_id(&d, span(id)), &d.entries[i]);
    }
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    print_message("%d devices in %.3f s\n", N, seconds);
    assert_true(seconds < 20);
    devices_free(&d);
    free(text);
}

static void files_are_read_and_missing_ones_named(void **state)
{
    (void)state;
    struct devices d;
    struct why why;
    const char *path = file_with("[" KETTLE "]");
    assert_int_equal(devices_load(&d, path, NULL), 0);
    assert_int_equal(d.n, 1);
    devices_free(&d);
    unlink(path);
    assert_int_equal(devices_load(&d, "/nonexistent/devices.json", &why), -1);
    assert_says(&why, "/nonexistent/devices.json: cannot open");
    assert_int_equal(devices_load(&d, "/tmp", &why), -1);
    assert_says(&why, "/tmp: cannot read: Is a directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_shapes_give_the_same_devices),
        cmocka_unit_test(every_member_is_read),
        cmocka_unit_test(mapping_is_read_with_types_ranges_and_labels),
        cmocka_unit_test(snapshot_gives_values_and_its_version_wins),
        cmocka_unit_test(device_with_a_bad_key_stays_and_says_so),
        cmocka_unit_test(keys_are_found_under_the_names_of_the_cloud),
        cmocka_unit_test(standard_codes_whose_values_are_missing_keep_their_scale),
        cmocka_unit_test(numbers_beyond_32_bits_are_no_data_points),
        cmocka_unit_test(broken_files_are_named_with_their_place),
        cmocka_unit_test(entries_without_id_are_left_out_and_counted),
        cmocka_unit_test(members_of_the_wrong_type_do_no_harm),
        cmocka_unit_test(devices_are_found_by_id_name_and_unique_beginning),
        cmocka_unit_test(of_equal_ids_the_last_wins),
        cmocka_unit_test(the_owner_of_data_points_is_the_device_or_one_behind_it),
        cmocka_unit_test(ten_thousand_devices_are_read_quickly),
        cmocka_unit_test(files_are_read_and_missing_ones_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
