/* test_fleet.c - who is there: generated fleets, and a user's house out of devices.json and snapshot.json. */
#include <time.h>
#include "model_test.h"
#include "sim/model/fleet.h"

static const struct profile *builtin(const char *name)
{
    const struct profile *p;
    assert_int_equal(profile_builtin(&p, name), 0);
    return p;
}

static void generate(struct fleet *f, const char *name, size_t n, const char *mix_text)
{
    struct why why = {""};
    struct fleet_mix mix = {.n = 0};
    const struct profile *p = builtin(name);
    assert_int_equal(fleet_init(f, 42, EPOCH_S), 0);
    if (mix_text != NULL)
        assert_int_equal(fleet_mix_parse(&mix, mix_text, &why), 0);
    if (fleet_generate(f, p, n, &mix, &why) != 0)
        fail_msg("%s", why.text);
    profile_unref(p);
}

/* ---- generated ---- */

static void a_mix_is_kept_exactly(void **state)
{
    (void)state;
    struct fleet f;
    generate(&f, "energy-plug", 100, "3.3:40,3.4:40,3.5:20");
    size_t n[TW_N_VERSIONS] = {0};
    for (size_t i = 0; i < f.n; i++)
        n[f.devices[i].version]++;
    assert_int_equal(n[TW_V33], 40);
    assert_int_equal(n[TW_V34], 40);
    assert_int_equal(n[TW_V35], 20);
    size_t first_ten = 0; /* an even mixture, no blocks */
    for (size_t i = 0; i < 10; i++)
        first_ten += f.devices[i].version == TW_V35;
    assert_int_equal(first_ten, 2);
    fleet_free(&f);
}

static void without_a_mix_the_profile_says(void **state)
{
    (void)state;
    struct fleet f;
    generate(&f, "energy-plug-legacy", 3, NULL);
    assert_int_equal(f.devices[2].version, TW_V31);
    assert_int_equal(strlen(f.devices[2].id), 20);
    fleet_free(&f);
}

static void a_bad_mix_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",      "3.6",    "3.3:",    "3.3:0",       "3.3:-1",
                                        "3.3:x", "3.3:1,", "3.3,3.3", "3.3:1;3.4:1", "3.3:1000001"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct fleet_mix mix;
        struct why why = {""};
        assert_int_equal(fleet_mix_parse(&mix, texts[i], &why), -1);
        assert_true(strlen(why.text) > 20);
    }
}

static void ids_names_and_keys_follow_from_the_seed(void **state)
{
    (void)state;
    struct fleet a, b, c;
    generate(&a, "energy-plug", 1000, NULL);
    generate(&b, "energy-plug", 1000, NULL);
    assert_int_equal(fleet_init(&c, 43, EPOCH_S), 0);
    const struct profile *p = builtin("energy-plug");
    assert_int_equal(fleet_generate(&c, p, 10, NULL, NULL), 0);
    profile_unref(p);
    for (size_t i = 0; i < a.n; i++) {
        const struct device *x = &a.devices[i], *y = &b.devices[i];
        assert_string_equal(x->id, y->id);
        assert_string_equal(x->name, y->name);
        assert_memory_equal(x->key, y->key, TW_KEY_LEN);
        assert_int_equal(strlen(x->id), 22);
        assert_memory_equal(x->id, "bf", 2);
        assert_ptr_equal(fleet_find(&a, span_of(x->id)), x);
    }
    assert_string_not_equal(a.devices[0].id, c.devices[0].id);
    assert_memory_not_equal(a.devices[0].key, c.devices[0].key, TW_KEY_LEN);
    assert_memory_not_equal(a.devices[0].key, a.devices[1].key, TW_KEY_LEN);
    assert_null(fleet_find(&a, span_of("bf0000000000000000000")));
    assert_null(fleet_find(&a, span_of("")));
    fleet_free(&a);
    fleet_free(&b);
    fleet_free(&c);
}

static void an_id_is_there_once(void **state)
{
    (void)state;
    struct fleet f;
    struct why why = {""};
    const struct profile *p = builtin("basic-plug");
    const uint8_t key[] = "0123456789abcdef";
    assert_int_equal(fleet_init(&f, 1, 0), 0);
    assert_int_equal(fleet_add(&f, p, "bf00000000000000000001", "Lamp", key, TW_V33, &why), 0);
    assert_int_equal(fleet_add(&f, p, "bf00000000000000000001", "Other", key, TW_V33, &why), -1);
    assert_non_null(strstr(why.text, "twice"));
    assert_int_equal(fleet_add(&f, p, "", NULL, key, TW_V33, &why), -1);
    assert_int_equal(fleet_add(&f, p, "with blank", NULL, key, TW_V33, &why), -1);
    assert_int_equal(f.n, 1);
    assert_string_equal(f.devices[0].name, "Lamp");
    profile_unref(p);
    fleet_free(&f);
}

static void a_gateway_has_a_plug_per_cid(void **state)
{
    (void)state;
    struct fleet f;
    generate(&f, "zigbee-gateway", 2, NULL);
    struct device *d = &f.devices[1];
    assert_int_equal(d->n_children, 1);
    struct plug *child = device_plug(d, span_of("0000000000000001"));
    assert_ptr_equal(child, d->children[0].plug);
    assert_ptr_equal(device_plug(d, span_of("")), d->plug);
    assert_null(device_plug(d, span_of("0000000000000002")));
    assert_ptr_equal(fleet_find_plug(&f, span_of(d->children[0].id)), child);
    assert_null(fleet_find(&f, span_of(d->children[0].id)));
    apply(child, "9=10", 0);
    assert_true(device_deadline(d) <= 10000);
    device_advance(d, 10000);
    assert_string_equal(value_of(child, 1), "false");
    device_power_cycle(d, 20000);
    assert_string_equal(value_of(child, 1), "false"); /* memory, and switched 10 s ago */
    fleet_free(&f);
}

static void endpoint(void *ctx, const struct device *d, char ip[64], uint16_t *port)
{
    (void)ctx;
    sprintf(ip, "127.0.1.%u", (unsigned)d->number + 1);
    *port = d->number == 0 ? 6668 : (uint16_t)(7000 + d->number);
}

static void what_is_written_is_a_house_again(void **state)
{
    (void)state;
    struct fleet f, again;
    generate(&f, "energy-plug", 20, "3.3,3.5");
    const struct profile *p = builtin("zigbee-gateway");
    const uint8_t key[] = "a<b>c'd&e\"f\\g$h%";
    struct why why = {""};
    assert_int_equal(fleet_add(&f, p, "bf00000000000000000002", "Gate \xc3\xa4 \"way\"", key, TW_V34, &why), 0);
    profile_unref(p);
    size_t len;
    char *text = fleet_write_devices(&f, endpoint, NULL, &len);
    assert_non_null(text);
    struct devices d;
    if (devices_parse(&d, text, len, "fleet.json", &why) != 0)
        fail_msg("%s", why.text);
    assert_int_equal(d.n, 22); /* and the sub-device */
    assert_string_equal(d.entries[0].ip, "127.0.1.1");
    assert_string_equal(d.entries[9].ip, "127.0.1.10");
    assert_int_equal(d.entries[0].port, 0); /* 6668 goes without saying */
    assert_int_equal(d.entries[9].port, 7009);
    struct problems problems = {.n = 0};
    assert_int_equal(fleet_init(&again, 42, EPOCH_S), 0);
    if (fleet_from_devices(&again, &d, &problems, &why) != 0)
        fail_msg("%s", why.text);
    assert_int_equal(problems.n, 0);
    assert_int_equal(again.n, 21);
    for (size_t i = 0; i < f.n; i++) {
        const struct device *x = &f.devices[i], *y = fleet_find(&again, span_of(x->id));
        assert_non_null(y);
        assert_string_equal(x->name, y->name);
        assert_memory_equal(x->key, y->key, TW_KEY_LEN);
        assert_int_equal(x->version, y->version);
        assert_int_equal(x->n_children, y->n_children);
        assert_int_equal(plug_shape(x->plug)->n_dps, plug_shape(y->plug)->n_dps);
    }
    assert_ptr_equal(again.devices[0].profile, again.devices[19].profile); /* equal mappings share one */
    devices_free(&d);
    free(text);
    fleet_free(&f);
    fleet_free(&again);
}

/* ---- a user's house: the examples of TinyTuya's files ---- */

#define KETTLE                                                                                                       \
    "{\"name\":\"Kettle plug\",\"id\":\"bf00000000000000000001\",\"key\":\"0123456789abcdef\",\"category\":\"cz\","  \
    "\"mapping\":{\"1\":{\"code\":\"switch_1\",\"type\":\"Boolean\",\"values\":{}},"                                 \
    "\"38\":{\"code\":\"relay_status\",\"type\":\"Enum\",\"values\":{\"range\":[\"power_off\",\"power_on\","         \
    "\"last\"]}}},"                                                                                                  \
    "\"ip\":\"192.0.2.11\",\"version\":\"3.3\"}"
#define GATEWAY                                                                                                      \
    "{\"name\":\"Gateway\",\"id\":\"bf00000000000000000002\",\"key\":\"a<b>c'd&e\\\"f\\\\g$h%\",\"category\":"       \
    "\"wg2\","                                                                                                       \
    "\"mapping\":{},\"sub\":false,\"ip\":\"192.0.2.12\",\"version\":\"3.4\"}"
#define FRIDGE_BEHIND(parent)                                                                                        \
    "{\"name\":\"Fridge "                                                                                            \
    "plug\",\"id\":\"bf00000000000000000003\",\"key\":\"a<b>c'd&e\\\"f\\\\g$h%\",\"category\":\"cz\","               \
    "\"sub\":true,\"node_id\":\"0000000000000001\",\"mapping\":null,\"parent\":\"" parent "\",\"ip\":\"\","          \
    "\"version\":\"\"}"

static struct problems problems;

static void house(struct fleet *f, const char *list, const char *snapshot)
{
    struct devices d = {0}, s = {0};
    struct why why = {""};
    problems = (struct problems){.n = 0};
    assert_int_equal(fleet_init(f, 42, EPOCH_S), 0);
    if ((list != NULL && devices_parse(&d, list, strlen(list), "devices.json", &why) != 0) ||
        (snapshot != NULL && devices_parse(&s, snapshot, strlen(snapshot), "snapshot.json", &why) != 0) ||
        fleet_from_files(f, list != NULL ? &d : NULL, snapshot != NULL ? &s : NULL, &problems, &why) != 0)
        fail_msg("%s", why.text);
    devices_free(&d);
    devices_free(&s);
}

static void sub_devices_go_behind_their_gateway(void **state)
{
    (void)state;
    static const char *const lists[] = {
        "[" KETTLE "," GATEWAY "," FRIDGE_BEHIND("bf00000000000000000002") "]",
        "{\"devices\":[" FRIDGE_BEHIND("") "," KETTLE "," GATEWAY "]}", /* by its key, and before it in the file */
    };
    for (size_t i = 0; i < 2; i++) {
        struct fleet f;
        house(&f, lists[i], NULL);
        assert_int_equal(problems.n, 0);
        assert_int_equal(f.n, 2);
        struct device *gateway = fleet_find(&f, span_of("bf00000000000000000002"));
        assert_non_null(gateway);
        assert_memory_equal(gateway->key, "a<b>c'd&e\"f\\g$h%", TW_KEY_LEN);
        assert_int_equal(gateway->version, TW_V34);
        assert_int_equal(gateway->n_children, 1);
        assert_string_equal(gateway->children[0].cid, "0000000000000001");
        assert_string_equal(gateway->children[0].id, "bf00000000000000000003");
        assert_string_equal(gateway->children[0].name, "Fridge plug");
        assert_int_equal(plug_shape(gateway->children[0].plug)->n_dps, 19); /* cz, without a mapping */
        assert_string_equal(fleet_find(&f, span_of("bf00000000000000000001"))->ip, "192.0.2.11");
        fleet_free(&f);
    }
}

static void who_cannot_be_simulated_is_named(void **state)
{
    (void)state;
    struct fleet f;
    house(&f,
          "[" KETTLE "," KETTLE "," FRIDGE_BEHIND(
              "bf99999999999999999999") ","
                                        "{\"id\":\"bf00000000000000000005\",\"name\":\"No key\",\"key\":\"\"},"
                                        "{\"id\":\"bf00000000000000000006\",\"name\":\"Short\",\"key\":\"0123\"}]",
          NULL);
    assert_int_equal(f.n, 1);
    assert_int_equal(f.n_left_out, 4);
    assert_non_null(strstr(problems.text, "bf00000000000000000001 (Kettle plug): its id appears twice\n"));
    assert_non_null(strstr(problems.text, "bf00000000000000000003 (Fridge plug): a sub-device"));
    assert_non_null(strstr(problems.text, "bf00000000000000000005 (No key): it has no key\n"));
    assert_non_null(strstr(problems.text, "bf00000000000000000006 (Short): its key is not 16 characters long\n"));
    fleet_free(&f);
}

static void a_house_of_nobody_is_an_error(void **state)
{
    (void)state;
    struct fleet f;
    struct devices d;
    struct why why = {""};
    struct problems p = {.n = 0};
    const char *list = "[{\"id\":\"bf00000000000000000005\",\"name\":\"No key\",\"key\":\"\"}]";
    assert_int_equal(devices_parse(&d, list, strlen(list), "x", &why), 0);
    assert_int_equal(fleet_init(&f, 1, 0), 0);
    assert_int_equal(fleet_from_devices(&f, &d, &p, &why), -1);
    assert_non_null(strstr(why.text, "no key"));
    devices_free(&d);
    fleet_free(&f);
}

#define VALUES                                                                                                       \
    "{\"1\":true,\"9\":0,\"18\":8671,\"19\":19902,\"20\":2295,\"26\":0,\"38\":\"memory\",\"101\":1.50,"              \
    "\"102\":12345678901234}"

static void a_snapshot_gives_values_and_data_points(void **state)
{
    (void)state;
    struct fleet f;
    house(&f, "[" KETTLE "]",
          "{\"timestamp\":1735689600.25,\"devices\":[{\"id\":\"bf00000000000000000001\",\"ip\":\"192.0.2.11\","
          "\"key\":\"0123456789abcdef\",\"dps\":{\"devId\":\"bf00000000000000000001\",\"dps\":" VALUES
          "},\"ver\":\"3.3\"}]}");
    struct plug *p = f.devices[0].plug;
    assert_string_equal(value_of(p, 1), "true");
    assert_string_equal(value_of(p, 38), "\"memory\"");
    assert_string_equal(value_of(p, 19), "19902");
    assert_string_equal(value_of(p, 101), "1.50"); /* every digit */
    assert_string_equal(value_of(p, 102), "12345678901234");
    assert_false(plug_has_due(p));
    fleet_free(&f);
}

/* As a state has it of a data point that was made absent: it is what the category says, not a text, and not there yet. */
static void a_null_of_a_snapshot_is_a_data_point_that_is_absent(void **state)
{
    (void)state;
    struct fleet f;
    house(&f, NULL,
          "{\"timestamp\":1,\"devices\":[{\"id\":\"bf00000000000000000001\",\"key\":\"0123456789abcdef\","
          "\"ver\":\"3.3\",\"dps\":{\"dps\":{\"1\":null,\"18\":0,\"19\":0,\"20\":2300,\"200\":null}}}]}");
    struct plug *p = f.devices[0].plug;
    const struct dp_spec *relay = shape_dp(plug_shape(p), 1);
    assert_non_null(relay);
    assert_int_equal(relay->type, DP_BOOL);
    assert_null(shape_dp(plug_shape(p), 200));
    assert_null(strstr(state_of(p, 0), "\"1\":"));
    fleet_free(&f);
}

/* Equal texts are kept once while a list is read; lists that try to confuse that. */
static void mappings_of_any_layout_are_read(void **state)
{
    (void)state;
    static const char *const mappings[] = {
        "\"mapping\":{\"1\":{\"code\":\"switch_1\",\"type\":\"Boolean\",\"values\":{}}}",
        "\"mapping\" :\n {\"1\": {\"code\":\"switch_1\",\"type\":\"Boolean\",\"values\":\"{\\\"}\\\\\"}}",
        "\"model\":\"a,\\\"mapping\\\":{\",\"mapping\":{\"1\":{\"code\":\"switch_1\",\"type\":\"Boolean\"}}",
        "\"mapping\":{\"\":0},\"mapping\":{\"1\":{\"code\":\"switch_1\",\"type\":\"Boolean\"}}",
        "\"other\":{\"mapping\":{\"2\":{}}},\"mapping\":{\"1\":{\"code\":\"switch_1\",\"type\":\"Boolean\"}}",
    };
    char list[4096] = "[";
    for (size_t i = 0; i < 15; i++)
        sprintf(list + strlen(list), "%s{\"id\":\"bf%020zu\",\"key\":\"0123456789abcdef\",\"category\":\"cz\",%s}",
                i > 0 ? "," : "", i, mappings[i % 5]);
    strcat(list, "]");
    struct fleet f;
    house(&f, list, NULL);
    assert_int_equal(f.n, 15);
    for (size_t i = 0; i < 15; i++) {
        assert_int_equal(f.devices[i].profile->shape.n_dps, 1);
        assert_int_equal(f.devices[i].profile->shape.dps[0].role, ROLE_RELAY);
    }
    fleet_free(&f);
}

/* Wherever a list is cut or damaged, it is refused, and the message says where. */
static void a_damaged_list_is_located(void **state)
{
    (void)state;
    const char *list = "[" KETTLE ",\n" KETTLE "]";
    size_t len = strlen(list);
    for (size_t n = 0; n < len; n++) {
        struct devices d;
        struct why why = {""};
        char *copy = malloc(n + 1); /* on the heap, so that a reader past the end is caught */
        memcpy(copy, list, n);
        assert_int_equal(devices_parse(&d, copy, n, "list", &why), -1);
        assert_non_null(strstr(why.text, "list, line "));
        free(copy);
    }
    char *copy = strdup(list);
    char *at = strstr(strchr(copy, '\n'), "\"values\":");
    at[9] = ';';
    struct devices d;
    struct why why = {""};
    assert_int_equal(devices_parse(&d, copy, len, "list", &why), -1);
    assert_non_null(strstr(why.text, "line 2, column"));
    free(copy);
}

static void a_snapshot_alone_is_a_house_too(void **state)
{
    (void)state;
    struct fleet f;
    house(&f, NULL,
          "{\"devices\":[{\"id\":\"bf00000000000000000001\",\"key\":\"0123456789abcdef\",\"ver\":\"3.4\","
          "\"dps\":{\"dps\":{\"1\":false,\"2\":true}}},"
          "{\"id\":\"bf00000000000000000007\",\"key\":\"0123456789abcdef\",\"ver\":\"\",\"dps\":null}]}");
    assert_int_equal(f.n, 2);
    assert_int_equal(f.devices[0].version, TW_V34);
    assert_string_equal(value_of(f.devices[0].plug, 2), "true");
    assert_int_equal(plug_shape(f.devices[1].plug)->n_dps, 19);
    fleet_free(&f);
}

/* ---- size and speed ---- */

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void ten_thousand_devices_are_no_trouble(void **state)
{
    (void)state;
    struct fleet f, again;
    struct why why = {""};
    struct problems p = {.n = 0};
    generate(&f, "energy-plug", 10000, "3.3:40,3.4:40,3.5:20");
    size_t len, plugs = 0;
    char *text = fleet_write_devices(&f, NULL, 0, &len);
    for (size_t i = 0; i < f.n; i++)
        plugs += plug_memory(f.devices[i].plug);
    assert_true(sizeof(struct device) + plugs / f.n <= 200); /* and about 50 of texts */
    struct devices d;
    double begin = now_ms();
    assert_int_equal(devices_parse(&d, text, len, "x", &why), 0);
    double parsed = now_ms();
    assert_int_equal(fleet_init(&again, 42, EPOCH_S), 0);
    assert_int_equal(fleet_from_devices(&again, &d, &p, &why), 0);
    double built = now_ms();
    print_message("10,000 devices, %zu MB: read in %.0f ms, built in %.0f ms\n", len >> 20, parsed - begin,
                  built - parsed);
    assert_int_equal(again.n, 10000);
    for (size_t i = 1; i < again.n; i++)
        assert_ptr_equal(again.devices[i].profile, again.devices[0].profile);
    assert_true(built - parsed < 2000); /* quadratic work would take longer, a sanitizer does not */
    devices_free(&d);
    free(text);
    fleet_free(&f);
    fleet_free(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mix_is_kept_exactly),
        cmocka_unit_test(without_a_mix_the_profile_says),
        cmocka_unit_test(a_bad_mix_is_refused),
        cmocka_unit_test(ids_names_and_keys_follow_from_the_seed),
        cmocka_unit_test(an_id_is_there_once),
        cmocka_unit_test(a_gateway_has_a_plug_per_cid),
        cmocka_unit_test(what_is_written_is_a_house_again),
        cmocka_unit_test(sub_devices_go_behind_their_gateway),
        cmocka_unit_test(who_cannot_be_simulated_is_named),
        cmocka_unit_test(a_house_of_nobody_is_an_error),
        cmocka_unit_test(a_snapshot_gives_values_and_data_points),
        cmocka_unit_test(a_null_of_a_snapshot_is_a_data_point_that_is_absent),
        cmocka_unit_test(mappings_of_any_layout_are_read),
        cmocka_unit_test(a_damaged_list_is_located),
        cmocka_unit_test(a_snapshot_alone_is_a_house_too),
        cmocka_unit_test(ten_thousand_devices_are_no_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
