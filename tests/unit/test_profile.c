/* test_profile.c - profiles: the built-in ones, files of users, mappings of the cloud. */
#include "common/file.h"
#include "model_test.h"

/* ---- built in ---- */

static void eight_profiles_are_built_in(void **state)
{
    (void)state;
    static const struct {
        const char *name, *category;
        size_t n_dps, n_relays;
        bool metered;
    } rows[] = {
        {"basic-plug", "cz", 8, 1, false},   {"bulb", "dj", 10, 1, false},
        {"device22-plug", "cz", 6, 1, true}, {"din-meter", "dlq", 14, 1, true},
        {"energy-plug", "cz", 19, 1, true},  {"energy-plug-legacy", "cz", 5, 1, true},
        {"power-strip", "pc", 21, 5, true},  {"zigbee-gateway", "wg2", 0, 0, false},
    };
    for (size_t i = 0; i < 8; i++) {
        assert_string_equal(profile_builtin_name(i), rows[i].name);
        const struct profile *p;
        assert_int_equal(profile_builtin(&p, rows[i].name), 0);
        assert_string_equal(p->name, rows[i].name);
        assert_string_equal(p->shape.category, rows[i].category);
        assert_int_equal(p->shape.n_dps, rows[i].n_dps);
        assert_int_equal(p->shape.n_relays, rows[i].n_relays);
        assert_int_equal(p->shape.has_metering, rows[i].metered);
        profile_unref(p);
    }
    assert_null(profile_builtin_name(8));
    const struct profile *p;
    assert_int_equal(profile_builtin(&p, "toaster"), -1);
}

static void a_profile_says_how_its_device_behaves(void **state)
{
    (void)state;
    const struct profile *p;
    assert_int_equal(profile_builtin(&p, "energy-plug-legacy"), 0);
    assert_int_equal(p->version, TW_V31);
    assert_int_equal(p->id_length, 20);
    assert_int_equal(p->lan.max_clients, 1);
    assert_int_equal(p->lan.query_shape, QUERY_DEVID_DPS);
    assert_int_equal(p->lan.update_dps, UPDATE_IGNORE);
    assert_int_equal(p->shape.metering.chip, CHIP_HLW8012);
    assert_int_equal(p->shape.metering.floor_mw, 3000);
    profile_unref(p);
    assert_int_equal(profile_builtin(&p, "device22-plug"), 0);
    assert_true(p->lan.device22);
    profile_unref(p);
    assert_int_equal(profile_builtin(&p, "zigbee-gateway"), 0);
    assert_true(p->gateway);
    assert_int_equal(p->n_children, 1);
    assert_string_equal(p->children[0].cid, "0000000000000001");
    assert_int_equal(p->children[0].shape.n_dps, 9);
    assert_int_equal(shape_dp(&p->children[0].shape, 9)->max, 43200);
    assert_int_equal(shape_dp(&p->children[0].shape, 17)->role, ROLE_ENERGY_TOTAL);
    profile_unref(p);
}

static void a_category_has_a_profile(void **state)
{
    (void)state;
    assert_string_equal(profile_of_category("cz"), "energy-plug");
    assert_string_equal(profile_of_category("pc"), "power-strip");
    assert_string_equal(profile_of_category("kg"), "basic-plug");
    assert_string_equal(profile_of_category("zndb"), "din-meter");
    assert_string_equal(profile_of_category("dj"), "bulb");
    assert_string_equal(profile_of_category("wgsxj"), "zigbee-gateway");
    assert_string_equal(profile_of_category(""), "energy-plug");
}

static void a_profile_lives_as_long_as_somebody_uses_it(void **state)
{
    (void)state;
    const struct profile *p;
    assert_int_equal(profile_builtin(&p, "bulb"), 0);
    const struct profile *again = profile_ref(p);
    profile_unref(p);
    assert_string_equal(again->name, "bulb");
    profile_unref(again);
    profile_unref(NULL);
}

/* ---- files of users ---- */

/* The problems of the energy plug with one piece of its text replaced. */
static const char *problems_of(const char *from, const char *to)
{
    static struct problems problems;
    size_t len;
    const char *text = profile_builtin_text(&len, "energy-plug");
    char *copy = calloc(1, len + 1024);
    memcpy(copy, text, len);
    char *at = strstr(copy, from);
    assert_non_null(at);
    size_t n = strlen(from), m = strlen(to);
    memmove(at + m, at + n, strlen(at + n) + 1);
    memcpy(at, to, m);
    problems = (struct problems){.n = 0};
    const struct profile *p;
    int rc = profile_parse(&p, &problems, copy, strlen(copy));
    free(copy);
    if (rc == 0)
        profile_unref(p);
    assert_int_equal(rc, problems.n > 0 ? -1 : 0);
    return problems.text;
}

static void each_error_of_a_profile_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *problem;
    } rows[] = {
        {"\"category\":", "\"colour\": 1, \"category\":", "\"colour\": unknown key\n"},
        {"\"max_clients\": 3,", "\"max_client\": 3,", "\"max_client\": unknown key\n\"max_clients\": missing\n"},
        {"\"ack_retcode\": 0", "\"ack_retcode\": 2", "\"ack_retcode\": has to be from 0 to 1\n"},
        {"\"id_length\": 22", "\"id_length\": 22.5", "\"id_length\": has to be a whole number\n"},
        {"\"id_length\": 22", "\"id_length\": 21", "\"id_length\": has to be 20 or 22\n"},
        {"\"gateway\": false", "\"gateway\": \"no\"", "\"gateway\": has to be true or false\n"},
        {"\"protocol_version\": \"3.3\"", "\"protocol_version\": \"3.6\"",
         "\"protocol_version\": has to be one of 3.1, 3.2, 3.3, 3.4, 3.5\n"},
        {"\"chip\": \"bl0937\"", "\"chip\": \"bl0938\"", "\"chip\": has to be one of bl0937, hlw8012, bl0942, mcu\n"},
        {"\"relays\": [1]", "\"relays\": [18]",
         "\"relays\": lists ids of data points with the role relay, at most 16\n"},
        {"\"role\": \"relay\", \"channel\": 1", "\"role\": \"relay\", \"channel\": 2",
         "id 9: \"channel\": no relay has this channel\n"},
        {"\"id\": 18,", "\"id\": 9,", "dps[3] (id 9): \"id\": ids have to ascend\n"},
        {"\"id\": 44,", "\"id\": 256,", "dps[18] (id 256): \"id\": has to be from 1 to 255\n"},
        {"\"role\": \"voltage\"", "\"role\": \"relay\", \"channel\": 3",
         "dps[5] (id 20): \"role\": does not go with this type\n"},
        {"\"initial\": \"memory\"", "\"initial\": \"last\"",
         "dps[12] (id 38): \"initial\": has to be one of off, on, memory\n"},
        {"\"initial\": 591", "\"initial\": 1000001", "dps[7] (id 22): \"initial\": has to be from 0 to 1000000\n"},
        {"\"report\": \"silent\"", "\"report\": \"never\"",
         "dps[6] (id 21): \"report\": is never for access wo, and only for it\n"},
        {"\"children\": []", "\"children\": [7]",
         "\"children\": a gateway has some, any other device has none\nchildren[0]: has to be an object\n"},
        {"\"profile_format\": 1,", "\"profile_format\": 2,",
         "\"profile_format\": has to be 1: this program knows no other\n"},
        {"\"name\": \"energy-plug\",", "\"name\": \"energy-plug\", \"name\": \"x\",",
         "\"name\": key appears twice\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(problems_of(rows[i].from, rows[i].to), rows[i].problem);
}

static void a_channel_belongs_to_one_pair(void **state)
{
    (void)state;
    assert_string_equal(problems_of("\"role\": \"overcharge\"", "\"role\": \"relay\", \"channel\": 1"),
                        "id 39: \"channel\": id 1 has it already\n");
}

static void what_is_not_json_is_located(void **state)
{
    (void)state;
    const struct profile *p;
    struct problems problems = {.n = 0};
    const char *text = "{\n  \"profile_format\": 1,\n  \"name\": nonsense\n}";
    assert_int_equal(profile_parse(&p, &problems, text, strlen(text)), -1);
    assert_string_equal(problems.text, "line 3, column 11: not JSON\n");
    problems = (struct problems){.n = 0};
    assert_int_equal(profile_parse(&p, &problems, "[]", 2), -1);
    assert_string_equal(problems.text, "a profile is one JSON object\n");
    problems = (struct problems){.n = 0};
    assert_int_equal(profile_parse(&p, &problems, "{} x", 4), -1);
    assert_non_null(strstr(problems.text, "line 1, column 4"));
}

static void a_flood_of_errors_is_counted(void **state)
{
    (void)state;
    struct problems problems = {.n = 0};
    char *text = calloc(1, 100000);
    strcpy(text, "{");
    for (int i = 0; i < 1000; i++)
        sprintf(text + strlen(text), "\"unknown-%d\":0,", i);
    strcat(text, "\"z\":0}");
    const struct profile *p;
    assert_int_equal(profile_parse(&p, &problems, text, strlen(text)), -1);
    assert_true(problems.n > 1000);
    assert_true(problems.len < sizeof problems.text && problems.text[problems.len] == '\0');
    free(text);
}

static void each_cut_of_a_profile_is_refused(void **state)
{
    (void)state;
    size_t len;
    const char *text = profile_builtin_text(&len, "zigbee-gateway");
    while (len > 0 && text[len - 1] != '}')
        len--;
    for (size_t n = 0; n < len; n++) {
        const struct profile *p;
        struct problems problems = {.n = 0};
        char *copy = malloc(n + 1); /* on the heap, so that a reader past the end is caught */
        memcpy(copy, text, n);
        assert_int_equal(profile_parse(&p, &problems, copy, n), -1);
        free(copy);
    }
}

/* docs/profiles.md shows a profile; it has to be one. */
static void the_profile_of_the_documentation_works(void **state)
{
    (void)state;
    struct file_bytes page;
    struct why why = {""};
    if (file_read(&page, PROFILES_PAGE, 1 << 20, &why) != 0)
        fail_msg("%s", why.text);
    char *begin = strstr(page.data, "```json\n"), *end = begin != NULL ? strstr(begin + 8, "```") : NULL;
    assert_non_null(end);
    const struct profile *p;
    struct problems problems = {.n = 0};
    if (profile_parse(&p, &problems, begin + 8, (size_t)(end - begin - 8)) != 0)
        fail_msg("%s", problems.text);
    for (int a = 0; a < N_APPLIANCES; a++) {
        char word[40];
        sprintf(word, "`%s`", appliance_name((enum appliance)a));
        if (strstr(page.data, word) == NULL)
            fail_msg("%s is not in docs/profiles.md", word);
    }
    for (size_t i = 0; plug_scene_name(i) != NULL; i++) {
        char word[40];
        sprintf(word, "`%s`", plug_scene_name(i));
        if (strstr(page.data, word) == NULL)
            fail_msg("%s is not in docs/profiles.md", word);
    }
    struct bench b = bench_of(p, &p->shape);
    scene(b.plug, "steady", 0);
    apply(b.plug, "2=true", 0);
    constant_load(b.plug, 60000, 1000, 0);
    assert_string_equal(state_of(b.plug, 10000),
                        "{\"1\":true,\"2\":true,\"9\":0,\"10\":0,\"18\":500,\"19\":600,\"20\":1200,"
                        "\"38\":\"memory\"}");
    bench_free(&b);
    file_free(&page);
}

/* ---- mappings ---- */

static const struct profile *from_list(struct devices *d, const char *json, const char *values)
{
    struct why why = {""};
    if (devices_parse(d, json, strlen(json), "test", &why) != 0)
        fail_msg("%s", why.text);
    const struct profile *p;
    assert_int_equal(profile_of_device(&p, &d->entries[0], span_of(values), NULL, 0), 0);
    return p;
}

/* The example of a tinytuya devices.json. */
static const char kettle_plug[] =
    "[{\"name\":\"Kettle plug\",\"id\":\"bf00000000000000000001\",\"key\":\"0123456789abcdef\",\"mac\":\"\","
    "\"category\":\"cz\",\"product_name\":\"Smart Plug with Energy Metering\",\"product_id\":\"simenergyplug001\","
    "\"mapping\":{"
    "\"1\":{\"code\":\"switch_1\",\"type\":\"Boolean\",\"values\":{}},"
    "\"9\":{\"code\":\"countdown_1\",\"type\":\"Integer\",\"values\":{\"unit\":\"s\",\"min\":0,\"max\":86400,"
    "\"scale\":0,"
    "\"step\":1}},"
    "\"17\":{\"code\":\"add_ele\",\"type\":\"Integer\",\"values\":{\"unit\":\"\",\"min\":0,\"max\":50000,\"scale\":3,"
    "\"step\":100}},"
    "\"18\":{\"code\":\"cur_current\",\"type\":\"Integer\",\"values\":{\"unit\":\"mA\",\"min\":0,\"max\":30000,"
    "\"scale\":0,"
    "\"step\":1}},"
    "\"19\":{\"code\":\"cur_power\",\"type\":\"Integer\",\"values\":{\"unit\":\"W\",\"min\":0,\"max\":80000,"
    "\"scale\":1,"
    "\"step\":1}},"
    "\"20\":{\"code\":\"cur_voltage\",\"type\":\"Integer\",\"values\":{\"unit\":\"V\",\"min\":0,\"max\":5000,"
    "\"scale\":1,"
    "\"step\":1}},"
    "\"26\":{\"code\":\"fault\",\"type\":\"Bitmap\",\"values\":{\"label\":[\"ov_cr\",\"ov_vol\"]}},"
    "\"38\":{\"code\":\"relay_status\",\"type\":\"Enum\",\"values\":{\"range\":[\"power_off\",\"power_on\",\"last\"]}"
    "},"
    "\"42\":{\"code\":\"cycle_time\",\"type\":\"String\",\"values\":\"{\\\"maxlen\\\":255}\"}},"
    "\"ip\":\"192.0.2.11\",\"version\":\"3.3\"}]";

static void a_mapping_becomes_data_points(void **state)
{
    (void)state;
    struct devices d;
    const struct profile *p = from_list(&d, kettle_plug, "");
    const struct shape *s = &p->shape;
    assert_int_equal(s->n_dps, 9);
    assert_int_equal(shape_dp(s, 1)->role, ROLE_RELAY);
    assert_int_equal(shape_dp(s, 9)->role, ROLE_COUNTDOWN);
    assert_int_equal(shape_dp(s, 9)->max, 86400);
    assert_int_equal(shape_dp(s, 17)->scale, 3);
    assert_int_equal(shape_dp(s, 18)->access, DP_RO);
    assert_int_equal(shape_dp(s, 1)->access, DP_RW);
    assert_int_equal(shape_dp(s, 26)->type, DP_BITMAP);
    assert_int_equal(shape_dp(s, 26)->n_range, 2);
    assert_int_equal(shape_dp(s, 42)->max_len, 255);
    /* what the cloud spells power_off, power_on, last is off, on, memory on the LAN */
    assert_string_equal(shape_dp(s, 38)->range[0], "off");
    assert_string_equal(shape_dp(s, 38)->range[2], "memory");
    assert_true(s->has_metering);
    assert_int_equal(s->metering.n_relays, 1);
    struct bench b = bench_of(p, s);
    scene(b.plug, "steady", 0);
    apply(b.plug, "1=true", 0); /* it begins with false, min, the first word, "" */
    constant_load(b.plug, 60000, 1000, 0);
    assert_string_equal(state_of(b.plug, 10000),
                        "{\"1\":true,\"9\":0,\"17\":0,\"18\":261,\"19\":600,\"20\":2300,\"26\":0,"
                        "\"38\":\"off\",\"42\":\"\"}");
    bench_free(&b);
    devices_free(&d);
}

static void without_a_mapping_the_category_decides(void **state)
{
    (void)state;
    struct devices d;
    const struct profile *p = from_list(&d,
                                        "[{\"id\":\"bf00000000000000000009\",\"key\":\"0123456789abcdef\","
                                        "\"category\":\"pc\",\"mapping\":null}]",
                                        "");
    assert_int_equal(p->shape.n_dps, 21);
    assert_int_equal(p->shape.n_relays, 5);
    assert_int_equal(p->shape.metering.n_relays, 4);
    profile_unref(p);
    devices_free(&d);
}

static void values_show_data_points_that_the_mapping_lacks(void **state)
{
    (void)state;
    struct devices d;
    const struct profile *p =
        from_list(&d, kettle_plug, "{\"1\":true,\"21\":1,\"39\":false,\"101\":\"x\",\"102\":-5,\"103\":1.50}");
    const struct shape *s = &p->shape;
    assert_int_equal(s->n_dps, 14);
    assert_int_equal(shape_dp(s, 21)->role, ROLE_TEST); /* as the profile of the category knows it */
    assert_int_equal(shape_dp(s, 39)->type, DP_BOOL);
    assert_int_equal(shape_dp(s, 101)->type, DP_STRING);
    assert_int_equal(shape_dp(s, 102)->type, DP_INTEGER);
    assert_true(shape_dp(s, 102)->min < -5);
    profile_unref(p);
    devices_free(&d);
}

static void without_mapping_values_tell_what_there_is(void **state)
{
    (void)state;
    struct devices d;
    const struct profile *p = from_list(&d,
                                        "[{\"id\":\"20160600000000000001\",\"key\":\"0123456789abcdef\","
                                        "\"category\":\"cz\",\"mapping\":null}]",
                                        "{\"1\":true,\"9\":0,\"18\":0,\"19\":0,\"20\":1196}");
    assert_int_equal(p->shape.n_dps, 6); /* these, and 17 that is absent until its first report */
    assert_null(shape_dp(&p->shape, 38));
    assert_int_equal(p->shape.metering.nominal_mv, 120000); /* 119.6 V */
    assert_int_equal(p->lan.query_shape, QUERY_DEVID_DPS);
    profile_unref(p);
    devices_free(&d);
}

static void a_mapping_keyed_by_code_finds_its_ids(void **state)
{
    (void)state;
    struct devices d;
    const struct profile *p =
        from_list(&d,
                  "[{\"id\":\"bf00000000000000000009\",\"key\":\"0123456789abcdef\","
                  "\"category\":\"cz\",\"mapping\":{"
                  "\"switch_1\":{\"code\":\"switch_1\",\"type\":\"Boolean\",\"values\":{}},"
                  "\"cur_power\":{\"code\":\"cur_power\",\"type\":\"Integer\",\"values\":{}},"
                  "\"unheard_of\":{\"code\":\"unheard_of\",\"type\":\"Boolean\",\"values\":{}}}}]",
                  "");
    assert_int_equal(p->shape.n_dps, 2);
    assert_int_equal(shape_dp(&p->shape, 1)->role, ROLE_RELAY);
    assert_int_equal(shape_dp(&p->shape, 19)->role, ROLE_POWER);
    profile_unref(p);
    devices_free(&d);
}

static void a_wall_switch_is_not_taken_for_a_meter(void **state)
{
    (void)state;
    /* family W: 17, 18 and 19 are text timers here */
    struct devices d;
    const struct profile *p =
        from_list(&d,
                  "[{\"id\":\"bf00000000000000000009\",\"key\":\"0123456789abcdef\","
                  "\"category\":\"kg\",\"mapping\":{"
                  "\"1\":{\"code\":\"switch_1\",\"type\":\"Boolean\",\"values\":{}},"
                  "\"2\":{\"code\":\"switch_2\",\"type\":\"Boolean\",\"values\":{}},"
                  "\"8\":{\"code\":\"countdown_2\",\"type\":\"Integer\",\"values\":{\"max\":86400,"
                  "\"min\":0}},"
                  "\"17\":{\"code\":\"cycle_time\",\"type\":\"String\",\"values\":{}},"
                  "\"19\":{\"code\":\"switch_inching\",\"type\":\"String\",\"values\":{}}}}]",
                  "");
    assert_false(p->shape.has_metering);
    struct bench b = bench_of(p, &p->shape);
    apply(b.plug, "8=10", 0);
    plug_advance(b.plug, 10000);
    assert_string_equal(value_of(b.plug, 1), "false");
    assert_string_equal(value_of(b.plug, 2), "true"); /* countdown_2 hangs on switch_2 */
    bench_free(&b);
    devices_free(&d);
}

static void a_clamp_without_a_relay_is_always_on(void **state)
{
    (void)state;
    struct devices d;
    const struct profile *p =
        from_list(&d,
                  "[{\"id\":\"bf00000000000000000009\",\"key\":\"0123456789abcdef\","
                  "\"category\":\"zndb\",\"mapping\":{"
                  "\"1\":{\"code\":\"total_forward_energy\",\"type\":\"Integer\",\"values\":{\"scale\":2,"
                  "\"min\":0,\"max\":99999999}},"
                  "\"6\":{\"code\":\"phase_a\",\"type\":\"Raw\",\"values\":{}}}}]",
                  "");
    struct bench b = bench_of(p, &p->shape);
    scene(b.plug, "steady", 0);
    constant_load(b.plug, 60000000, 1000, 0); /* 260 A: there is nothing that could trip */
    plug_advance(b.plug, 3600000);
    assert_int_equal(number_of(b.plug, 1), 6000);
    bench_free(&b);
    devices_free(&d);
}

static void a_mapping_that_is_written_reads_back(void **state)
{
    (void)state;
    for (size_t i = 0; profile_builtin_name(i) != NULL; i++) {
        const struct profile *p;
        assert_int_equal(profile_builtin(&p, profile_builtin_name(i)), 0);
        char *text = calloc(1, 16384);
        assert_non_null(text);
        struct tw_text t = {.data = text, .cap = 16380};
        tw_text_put(&t, "[{\"id\":\"x\",\"key\":\"0123456789abcdef\",\"category\":\"");
        tw_text_put(&t, p->shape.category);
        tw_text_put(&t, "\",\"mapping\":");
        shape_write_mapping(&t, &p->shape);
        tw_text_put(&t, "}]");
        assert_false(t.overflow);
        struct devices d;
        const struct profile *again = from_list(&d, text, "");
        assert_int_equal(again->shape.n_dps, p->shape.n_dps);
        for (size_t k = 0; k < p->shape.n_dps; k++) {
            const struct dp_spec *x = &p->shape.dps[k], *y = &again->shape.dps[k];
            assert_int_equal(x->id, y->id);
            assert_int_equal(x->type, y->type);
            assert_string_equal(x->code, y->code);
            assert_int_equal(x->scale, y->scale);
            assert_int_equal(x->n_range, y->n_range);
        }
        profile_unref(again);
        profile_unref(p);
        devices_free(&d);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_profiles_are_built_in),
        cmocka_unit_test(a_profile_says_how_its_device_behaves),
        cmocka_unit_test(a_category_has_a_profile),
        cmocka_unit_test(a_profile_lives_as_long_as_somebody_uses_it),
        cmocka_unit_test(each_error_of_a_profile_is_named),
        cmocka_unit_test(a_channel_belongs_to_one_pair),
        cmocka_unit_test(what_is_not_json_is_located),
        cmocka_unit_test(a_flood_of_errors_is_counted),
        cmocka_unit_test(each_cut_of_a_profile_is_refused),
        cmocka_unit_test(the_profile_of_the_documentation_works),
        cmocka_unit_test(a_mapping_becomes_data_points),
        cmocka_unit_test(without_a_mapping_the_category_decides),
        cmocka_unit_test(values_show_data_points_that_the_mapping_lacks),
        cmocka_unit_test(without_mapping_values_tell_what_there_is),
        cmocka_unit_test(a_mapping_keyed_by_code_finds_its_ids),
        cmocka_unit_test(a_wall_switch_is_not_taken_for_a_meter),
        cmocka_unit_test(a_clamp_without_a_relay_is_always_on),
        cmocka_unit_test(a_mapping_that_is_written_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
