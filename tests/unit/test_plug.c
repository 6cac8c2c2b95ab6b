/* test_plug.c - what a plug does with what it is told. Rows: device-behaviour of real plugs, from TuyaOpen dp_schema.c
 * (af95fd24), developer.tuya.com K9tp15ceh63gr and the threads named. */
#include "model_test.h"

/* ---- control ---- */

static void a_full_reply_is_that_of_the_real_plug(void **state)
{
    (void)state;
    /* jasonacox/tinytuya#506, EU plug, relay off, no load: the same data points and types; the voltage is the mains' */
    struct bench b = bench_new("energy-plug");
    scene(b.plug, "steady", 0);
    assert_int_equal(apply(b.plug, "1=false", 0), PLUG_APPLIED);
    assert_string_equal(
        state_of(b.plug, 6000),
        "{\"1\":false,\"9\":0,\"18\":0,\"19\":0,\"20\":2300,\"21\":1,\"22\":591,\"23\":24585,\"24\":13476,"
        "\"25\":3090,\"26\":0,\"38\":\"memory\",\"39\":false,\"40\":\"relay\",\"41\":false,\"42\":\"\","
        "\"43\":\"\",\"44\":\"\"}");
    bench_free(&b);
}

static void each_data_point_of_a_control_has_its_outcome(void **state)
{
    (void)state;
    static const struct {
        const char *assignment;
        enum plug_outcome outcome;
    } rows[] = {
        {"1=false", PLUG_APPLIED},
        {"1=false", PLUG_UNCHANGED},
        {"2=true", PLUG_UNKNOWN},
        {"300=true", PLUG_UNKNOWN},
        {"1=1", PLUG_WRONG_TYPE},
        {"1=\"true\"", PLUG_WRONG_TYPE},
        {"9=true", PLUG_WRONG_TYPE},
        {"9=\"60\"", PLUG_WRONG_TYPE},
        {"9=1.5", PLUG_WRONG_TYPE},
        {"9=60", PLUG_APPLIED},
        {"9=86401", PLUG_OUT_OF_RANGE},
        {"9=-1", PLUG_OUT_OF_RANGE},
        {"9=86400", PLUG_APPLIED},
        {"42=17", PLUG_WRONG_TYPE},
        {"38=\"on\"", PLUG_APPLIED},
        {"38=\"last\"", PLUG_NOT_IN_RANGE},
        {"38=0", PLUG_WRONG_TYPE},
        {"1=null", PLUG_ASKED},
        {"18=5", PLUG_READ_ONLY},
        {"17=5", PLUG_READ_ONLY},
        {"1={}", PLUG_WRONG_TYPE},
        {"1=[true]", PLUG_WRONG_TYPE},
        {"9=99999999999999999999", PLUG_WRONG_TYPE},
    };
    struct bench b = bench_new("energy-plug");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum plug_outcome o = apply(b.plug, rows[i].assignment, 1000);
        if (o != rows[i].outcome)
            fail_msg("%s is %s, expected %s", rows[i].assignment, plug_outcome_name(o),
                     plug_outcome_name(rows[i].outcome));
    }
    bench_free(&b);
}

static void only_what_changed_is_due_and_once(void **state)
{
    (void)state;
    struct bench b = bench_new("basic-plug");
    assert_false(plug_has_due(b.plug));
    apply(b.plug, "41=true", 0);
    apply(b.plug, "1=true", 0); /* as before */
    apply(b.plug, "40=\"none\"", 0);
    assert_string_equal(due_of(b.plug), "{\"40\":\"none\",\"41\":true}");
    assert_string_equal(due_of(b.plug), "");
    plug_mark(b.plug, 1); /* a device that repeats itself */
    assert_string_equal(due_of(b.plug), "{\"1\":true}");
    bench_free(&b);
}

static void a_push_may_be_split_over_two_frames(void **state)
{
    (void)state;
    /* "all on" gave {2,3,4} and {1}: jasonacox/tinytuya#308 */
    struct bench b = bench_new("power-strip");
    char text[128];
    struct tw_text t = {.data = text, .cap = sizeof text};
    apply(b.plug, "1=false", 0);
    apply(b.plug, "2=false", 0);
    apply(b.plug, "3=false", 0);
    assert_int_equal(plug_take_due(b.plug, &t, 2), 2);
    assert_memory_equal(text, "{\"1\":false,\"2\":false}", t.len);
    assert_string_equal(due_of(b.plug), "{\"3\":false}");
    bench_free(&b);
}

static void a_push_without_room_loses_nothing(void **state)
{
    (void)state;
    struct bench b = bench_new("basic-plug");
    apply(b.plug, "1=false", 0);
    for (size_t cap = 0; cap < 11; cap++) {
        char text[16];
        struct tw_text t = {.data = text, .cap = cap};
        assert_int_equal(plug_take_due(b.plug, &t, 0), 0);
        assert_true(t.overflow);
    }
    char text[11]; /* {"1":false} */
    struct tw_text t = {.data = text, .cap = sizeof text};
    assert_int_equal(plug_take_due(b.plug, &t, 0), 1);
    bench_free(&b);
}

static void a_query_for_some_ids_answers_those_that_exist(void **state)
{
    (void)state;
    /* device22: only the data points asked for come back; rospogrigio/localtuya#1232 */
    struct bench b = bench_new("device22-plug");
    const uint32_t ids[] = {20, 1, 2, 26, 300, 1};
    char text[128];
    struct tw_text t = {.data = text, .cap = sizeof text - 1};
    scene(b.plug, "steady", 0);
    plug_advance(b.plug, 6000);
    assert_int_equal(plug_write_ids(b.plug, &t, ids, 6), 3);
    text[t.len] = '\0';
    assert_string_equal(text, "{\"1\":true,\"20\":2300,\"26\":0}");
    bench_free(&b);
}

static void a_write_only_data_point_is_taken_and_never_told(void **state)
{
    (void)state;
    struct bench b = bench_new("bulb");
    assert_int_equal(apply(b.plug, "27=\"0000\"", 0), PLUG_APPLIED);
    assert_string_equal(due_of(b.plug), "");
    assert_null(strstr(state_of(b.plug, 0), "\"27\""));
    assert_string_equal(value_of(b.plug, 27), "");
    bench_free(&b);
}

static void strings_keep_their_text_whatever_it_is(void **state)
{
    (void)state;
    struct bench b = bench_new("bulb");
    assert_int_equal(apply(b.plug, "24=\"\\u00e4\\ud83d\\ude00\\n\\\"\"", 0), PLUG_APPLIED);
    assert_string_equal(value_of(b.plug, 24), "\"\xc3\xa4\xf0\x9f\x98\x80\\u000a\\\"\"");
    assert_int_equal(apply(b.plug, "24=\"\xc3\xa4\xf0\x9f\x98\x80\\n\\u0022\"", 0), PLUG_UNCHANGED);
    bench_free(&b);
}

static void a_string_beyond_its_length_is_out_of_range(void **state)
{
    (void)state;
    struct bench b = bench_new("basic-plug"); /* 42: maxlen 255 */
    char text[300] = "42=\"";
    memset(text + 4, 'a', 255);
    strcpy(text + 259, "\"");
    assert_int_equal(apply(b.plug, text, 0), PLUG_APPLIED);
    strcpy(text + 259, "a\"");
    assert_int_equal(apply(b.plug, text, 0), PLUG_OUT_OF_RANGE);
    bench_free(&b);
}

static void the_operator_may_set_what_clients_may_not(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    char object[64];
    struct tw_dp dp = dp_of(object, "26=2");
    assert_int_equal(plug_apply(b.plug, &dp, 0), PLUG_READ_ONLY);
    assert_int_equal(plug_set(b.plug, &dp, 0), PLUG_APPLIED);
    assert_string_equal(due_of(b.plug), "{\"26\":2}");
    dp = dp_of(object, "26=null"); /* absent, as before a first report */
    plug_set(b.plug, &dp, 0);
    assert_null(strstr(state_of(b.plug, 0), "\"26\""));
    bench_free(&b);
}

static void a_hidden_data_point_comes_back_when_it_is_set(void **state)
{
    (void)state;
    /* after a power cut 1 may be missing until the relay was switched once: rospogrigio/localtuya#194 */
    struct bench b = bench_new("basic-plug");
    plug_hide(b.plug, 1);
    assert_memory_equal(state_of(b.plug, 0), "{\"9\":0", 6);
    assert_int_equal(apply(b.plug, "1=true", 0), PLUG_APPLIED);
    assert_string_equal(due_of(b.plug), "{\"1\":true}");
    bench_free(&b);
}

/* ---- countdown ---- */

static void a_countdown_counts_and_toggles(void **state)
{
    (void)state;
    struct bench b = bench_new("basic-plug");
    assert_int_equal(apply(b.plug, "9=10", 1000), PLUG_APPLIED);
    assert_string_equal(due_of(b.plug), "{\"9\":10}");
    assert_int_equal(plug_deadline(b.plug), 11000);
    plug_advance(b.plug, 1001);
    assert_int_equal(number_of(b.plug, 9), 10);
    plug_advance(b.plug, 2000);
    assert_int_equal(number_of(b.plug, 9), 9);
    plug_advance(b.plug, 10999);
    assert_int_equal(number_of(b.plug, 9), 1);
    assert_string_equal(due_of(b.plug), ""); /* no push each second */
    plug_advance(b.plug, 11000);
    assert_string_equal(due_of(b.plug), "{\"1\":false,\"9\":0}");
    assert_true(plug_deadline(b.plug) == UINT64_MAX);
    bench_free(&b);
}

static void a_countdown_switches_on_what_is_off(void **state)
{
    (void)state;
    struct bench b = bench_new("basic-plug");
    apply(b.plug, "1=false", 0);
    apply(b.plug, "9=5", 0);
    plug_drop_due(b.plug);
    plug_advance(b.plug, 60000);
    assert_string_equal(due_of(b.plug), "{\"1\":true,\"9\":0}");
    bench_free(&b);
}

static void switching_cancels_the_countdown(void **state)
{
    (void)state;
    struct bench b = bench_new("basic-plug");
    apply(b.plug, "9=60", 0);
    plug_drop_due(b.plug);
    apply(b.plug, "1=false", 5000);
    assert_string_equal(due_of(b.plug), "{\"1\":false,\"9\":0}");
    plug_advance(b.plug, 100000);
    assert_string_equal(value_of(b.plug, 1), "false");
    bench_free(&b);
}

static void zero_cancels_the_countdown(void **state)
{
    (void)state;
    struct bench b = bench_new("basic-plug");
    apply(b.plug, "9=60", 0);
    assert_int_equal(apply(b.plug, "9=0", 1000), PLUG_APPLIED);
    plug_advance(b.plug, 100000);
    assert_string_equal(value_of(b.plug, 1), "true");
    bench_free(&b);
}

static void the_countdowns_of_a_strip_are_apart(void **state)
{
    (void)state;
    struct bench b = bench_new("power-strip"); /* outlets 1..4 and USB 7; countdowns 9..12 and 15 */
    apply(b.plug, "10=10", 0);
    apply(b.plug, "15=20", 0);
    apply(b.plug, "1=false", 0);
    plug_drop_due(b.plug);
    plug_advance(b.plug, 10000);
    assert_string_equal(value_of(b.plug, 2), "false");
    assert_string_equal(value_of(b.plug, 7), "true");
    assert_int_equal(number_of(b.plug, 15), 10);
    plug_advance(b.plug, 20000);
    assert_string_equal(value_of(b.plug, 7), "false");
    bench_free(&b);
}

/* ---- button, power, timers ---- */

static void the_button_toggles_unless_it_is_locked(void **state)
{
    (void)state;
    struct bench b = bench_new("basic-plug");
    assert_true(plug_press(b.plug, 0, 0));
    assert_string_equal(due_of(b.plug), "{\"1\":false}");
    apply(b.plug, "41=true", 0);
    assert_false(plug_press(b.plug, 0, 0));
    assert_int_equal(apply(b.plug, "1=true", 0), PLUG_APPLIED); /* the lock is for the button */
    assert_false(plug_press(b.plug, 9, 0));
    bench_free(&b);
}

static void relay_status_decides_after_a_power_cut(void **state)
{
    (void)state;
    static const struct {
        const char *status, *before, *after;
    } rows[] = {
        {"38=\"off\"", "1=true", "false"}, {"38=\"off\"", "1=false", "false"},  {"38=\"on\"", "1=true", "true"},
        {"38=\"on\"", "1=false", "true"},  {"38=\"memory\"", "1=true", "true"}, {"38=\"memory\"", "1=false", "false"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench b = bench_new("basic-plug");
        apply(b.plug, rows[i].status, 0);
        apply(b.plug, rows[i].before, 0);
        plug_power_cycle(b.plug, 60000);
        assert_string_equal(value_of(b.plug, 1), rows[i].after);
        assert_false(plug_has_due(b.plug));
        bench_free(&b);
    }
}

static void a_relay_state_of_less_than_five_seconds_is_forgotten(void **state)
{
    (void)state;
    /* written to flash after more than 5 s: docs.ifreeq.com, outlet FAQ */
    struct bench b = bench_new("basic-plug");
    apply(b.plug, "1=false", 10000);
    plug_power_cycle(b.plug, 15000);
    assert_string_equal(value_of(b.plug, 1), "true");
    apply(b.plug, "1=false", 20000);
    plug_power_cycle(b.plug, 25001);
    assert_string_equal(value_of(b.plug, 1), "false");
    apply(b.plug, "1=true", 30000); /* and back within the time: flash still says off */
    apply(b.plug, "1=false", 31000);
    apply(b.plug, "1=true", 32000);
    plug_power_cycle(b.plug, 33000);
    assert_string_equal(value_of(b.plug, 1), "false");
    bench_free(&b);
}

static void a_power_cut_ends_the_countdown(void **state)
{
    (void)state;
    struct bench b = bench_new("basic-plug");
    apply(b.plug, "9=60", 0);
    plug_power_cycle(b.plug, 10000);
    assert_int_equal(number_of(b.plug, 9), 0);
    assert_true(plug_deadline(b.plug) == UINT64_MAX);
    bench_free(&b);
}

static void inching_switches_off_again(void **state)
{
    (void)state;
    /* AQOE = on, 900 s: homebridge-tuya-platform issue 78 */
    struct bench b = bench_new("basic-plug");
    apply(b.plug, "44=\"AQOE\"", 0);
    apply(b.plug, "1=false", 0);
    apply(b.plug, "1=true", 1000);
    plug_drop_due(b.plug);
    assert_int_equal(plug_deadline(b.plug), 901000);
    plug_advance(b.plug, 901000);
    assert_string_equal(due_of(b.plug), "{\"1\":false}");
    apply(b.plug, "44=\"AAOE\"", 901000); /* the same, disabled */
    apply(b.plug, "1=true", 901000);
    plug_advance(b.plug, 9999000);
    assert_string_equal(value_of(b.plug, 1), "true");
    bench_free(&b);
}

/* 01 00 | 12:10 | 13:00 | on 10 | off 5 minutes: 2da 30c 0a 05. It is noon at time 0. */
static void a_cycle_timer_runs_through_its_window(void **state)
{
    (void)state;
    struct bench b = bench_new("basic-plug");
    apply(b.plug, "1=false", 0);
    assert_int_equal(apply(b.plug, "42=\"AQAC2gMMAAoABQ==\"", 0), PLUG_APPLIED);
    plug_drop_due(b.plug);
    enum { MINUTE = 60000 };
    assert_int_equal(plug_deadline(b.plug), 10 * MINUTE);
    static const struct {
        unsigned minute;
        const char *relay;
    } rows[] = {{9, "false"}, {10, "true"},  {19, "true"}, {20, "false"},
                {25, "true"}, {35, "false"}, {59, "true"}, {60, "false"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        plug_advance(b.plug, (uint64_t)rows[i].minute * MINUTE);
        assert_string_equal(value_of(b.plug, 1), rows[i].relay);
    }
    assert_string_equal(value_of(b.plug, 42), "\"AAAC2gMMAAoABQ==\""); /* once: it has been */
    assert_true(plug_deadline(b.plug) == UINT64_MAX);
    bench_free(&b);
}

/* The same with the week bits of Friday (bit 5): it begins on the next day, and again a week later. */
static void a_cycle_timer_keeps_to_its_days(void **state)
{
    (void)state;
    struct bench b = bench_new("basic-plug");
    apply(b.plug, "42=\"ASAC2gMMAAoABQ==\"", 0);
    assert_int_equal(plug_deadline(b.plug), (1440 + 10) * 60000);
    plug_advance(b.plug, 2 * 86400000);
    assert_int_equal(plug_deadline(b.plug), (8 * 1440 + 10) * 60000);
    bench_free(&b);
}

static void a_random_timer_ends_off_and_repeats_itself(void **state)
{
    (void)state;
    char first[64] = "";
    for (int run = 0; run < 2; run++) {
        struct bench b = bench_new("basic-plug");
        char events[64] = "";
        apply(b.plug, "1=false", 0);
        apply(b.plug, "43=\"AQAC2gQ4\"", 0); /* 12:10 to 18:00 */
        for (int minute = 0; minute <= 361; minute++) {
            plug_advance(b.plug, (uint64_t)minute * 60000);
            if (plug_has_due(b.plug) && strlen(events) < 50)
                sprintf(events + strlen(events), "%d%c", minute, value_of(b.plug, 1)[0]);
            plug_drop_due(b.plug);
        }
        assert_true(strlen(events) > 12);
        assert_string_equal(value_of(b.plug, 1), "false");
        if (run == 1)
            assert_string_equal(events, first);
        strcpy(first, events);
        bench_free(&b);
    }
}

static void damaged_timers_are_no_timers(void **state)
{
    (void)state;
    static const char *const texts[] = {"42=\"AQ\"", "42=\"!!!!\"", "43=\"AQAC\"", "44=\"AQ==\"",
                                        "42=\"////////////////\""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct bench b = bench_new("basic-plug");
        apply(b.plug, texts[i], 0);
        plug_advance(b.plug, 30ull * 86400000);
        bench_free(&b);
    }
}

/* ---- cost ---- */

static void an_untouched_plug_is_small(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    assert_true(plug_memory(b.plug) <= 96);
    plug_advance(b.plug, 3600000);
    assert_true(plug_memory(b.plug) <= 700);
    bench_free(&b);
    b = bench_new("basic-plug");
    plug_advance(b.plug, 3600000); /* without a meter time costs nothing */
    assert_true(plug_memory(b.plug) <= 96);
    assert_true(plug_deadline(b.plug) == UINT64_MAX);
    bench_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_reply_is_that_of_the_real_plug),
        cmocka_unit_test(each_data_point_of_a_control_has_its_outcome),
        cmocka_unit_test(only_what_changed_is_due_and_once),
        cmocka_unit_test(a_push_may_be_split_over_two_frames),
        cmocka_unit_test(a_push_without_room_loses_nothing),
        cmocka_unit_test(a_query_for_some_ids_answers_those_that_exist),
        cmocka_unit_test(a_write_only_data_point_is_taken_and_never_told),
        cmocka_unit_test(strings_keep_their_text_whatever_it_is),
        cmocka_unit_test(a_string_beyond_its_length_is_out_of_range),
        cmocka_unit_test(the_operator_may_set_what_clients_may_not),
        cmocka_unit_test(a_hidden_data_point_comes_back_when_it_is_set),
        cmocka_unit_test(a_countdown_counts_and_toggles),
        cmocka_unit_test(a_countdown_switches_on_what_is_off),
        cmocka_unit_test(switching_cancels_the_countdown),
        cmocka_unit_test(zero_cancels_the_countdown),
        cmocka_unit_test(the_countdowns_of_a_strip_are_apart),
        cmocka_unit_test(the_button_toggles_unless_it_is_locked),
        cmocka_unit_test(relay_status_decides_after_a_power_cut),
        cmocka_unit_test(a_relay_state_of_less_than_five_seconds_is_forgotten),
        cmocka_unit_test(a_power_cut_ends_the_countdown),
        cmocka_unit_test(inching_switches_off_again),
        cmocka_unit_test(a_cycle_timer_runs_through_its_window),
        cmocka_unit_test(a_cycle_timer_keeps_to_its_days),
        cmocka_unit_test(a_random_timer_ends_off_and_repeats_itself),
        cmocka_unit_test(damaged_timers_are_no_timers),
        cmocka_unit_test(an_untouched_plug_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
