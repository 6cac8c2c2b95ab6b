/* test_energy.c - watts, volts, amperes and kilowatt-hours. Known answers come from logs and documents; what is
 * statistical is held against the numbers that the model claims. */
#include "model_test.h"
#include "common/base64.h"
#include "sim/model/hash.h"
#include "sim/model/mains.h"

enum { HOUR_MS = 3600000, MINUTE_MS = 60000 };
#define WH 3600000ull /* mW s */

/* ---- steady: exact ---- */

static void watts_follow_volts_amperes_and_power_factor(void **state)
{
    (void)state;
    static const struct {
        uint32_t mw;
        uint16_t pf;
        long ma, w10;
    } rows[] = {
        {60000, 1000, 261, 600},      /* 60 W / 230 V = 0.2609 A */
        {60000, 500, 522, 600},       /* half the power factor, twice the current */
        {1990200, 1000, 8653, 19902}, /* the load of the snapshot that TinyTuya's scanner shows, at 230 V */
        {3000000, 1000, 13043, 30000}, {2500, 140, 78, 25},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench b = bench_new("energy-plug");
        scene(b.plug, "steady", 0);
        constant_load(b.plug, rows[i].mw, rows[i].pf, 0);
        plug_advance(b.plug, 6000);
        assert_int_equal(number_of(b.plug, 18), rows[i].ma);
        assert_int_equal(number_of(b.plug, 19), rows[i].w10);
        assert_int_equal(number_of(b.plug, 20), 2300);
        bench_free(&b);
    }
}

/* 122.1 V, 70 mA, 1.2 W was a real triple: jasonacox/tuyapower#12 (power factor 0.14). */
static void active_power_is_not_volts_times_amperes(void **state)
{
    (void)state;
    const struct profile *p = profile_with("energy-plug", "\"nominal_voltage_v\": 230.0",
                                           "\"nominal_voltage_v\": 122.1", "\"floor_w\": 2.0", "\"floor_w\": 0");
    struct bench b = bench_of(p, &p->shape);
    scene(b.plug, "steady", 0);
    constant_load(b.plug, 1200, 140, 0);
    plug_advance(b.plug, 6000);
    assert_int_equal(number_of(b.plug, 20), 1221);
    assert_int_equal(number_of(b.plug, 18), 70);
    assert_int_equal(number_of(b.plug, 19), 12);
    bench_free(&b);
}

/* Sums add P and Q, not I: 100 W at pf 1 and 100 W at pf 0.6 (133.3 var) are 200 W and 240.4 VA, 1.045 A at 230 V. */
static void loads_of_a_strip_add_as_vectors(void **state)
{
    (void)state;
    struct bench b = bench_new("power-strip");
    scene(b.plug, "steady", 0);
    const struct load_spec one = {.appliance = APPLIANCE_CONSTANT, .mw = 100000};
    const struct load_spec two = {.appliance = APPLIANCE_CONSTANT, .mw = 100000, .pf_permille = 600};
    assert_int_equal(plug_load(b.plug, 1, &one, 0, NULL), 0);
    assert_int_equal(plug_load(b.plug, 2, &two, 0, NULL), 0);
    plug_advance(b.plug, 6000);
    assert_int_equal(number_of(b.plug, 19), 2000);
    assert_int_equal(number_of(b.plug, 18), 1045);
    apply(b.plug, "2=false", 7000);
    plug_advance(b.plug, 13000);
    assert_int_equal(number_of(b.plug, 19), 1000);
    assert_int_equal(number_of(b.plug, 18), 435);
    bench_free(&b);
}

static void a_usb_outlet_is_not_metered(void **state)
{
    (void)state;
    struct bench b = bench_new("power-strip");
    const struct load_spec l = {.appliance = APPLIANCE_CONSTANT, .mw = 10000};
    struct why why = {""};
    assert_int_equal(plug_load(b.plug, 7, &l, 0, &why), -1);
    assert_non_null(strstr(why.text, "7"));
    bench_free(&b);
    b = bench_new("basic-plug");
    assert_int_equal(plug_load(b.plug, 1, &l, 0, &why), -1);
    assert_non_null(strstr(why.text, "no meter"));
    bench_free(&b);
}

/* ---- phase block ---- */

/* COwABY8AARA= is 228.4 V, 1.423 A, 272 W; CWkAARgAACo= is 240.9 V, 0.280 A, 42 W: logs of breakers, and the thing
 * model in tuya-cloudcutter issue 72. */
static void the_phase_block_packs_as_real_meters_do(void **state)
{
    (void)state;
    static const struct {
        const char *volts, *block;
        uint32_t mw;
        uint16_t pf;
    } rows[] = {
        {"\"nominal_voltage_v\": 228.4", "\"COwABY8AARA=\"", 272000, 837},
        {"\"nominal_voltage_v\": 240.9", "\"CWkAARgAACo=\"", 42000, 623},
    };
    for (size_t i = 0; i < 2; i++) {
        const struct profile *p =
            profile_with("din-meter", "\"nominal_voltage_v\": 230.0", rows[i].volts, NULL, NULL);
        struct bench b = bench_of(p, &p->shape);
        scene(b.plug, "steady", 0);
        constant_load(b.plug, rows[i].mw, rows[i].pf, 0);
        plug_advance(b.plug, 16000);
        assert_string_equal(value_of(b.plug, 6), rows[i].block);
        bench_free(&b);
    }
}

static void the_phase_block_comes_every_15_seconds(void **state)
{
    (void)state;
    struct bench b = bench_new("din-meter");
    plug_advance(b.plug, 0);
    for (int k = 1; k <= 4; k++) {
        assert_int_equal(plug_deadline(b.plug), k * 15000);
        plug_advance(b.plug, (uint64_t)k * 15000);
        assert_memory_equal(due_of(b.plug), "{\"6\":\"", 6);
    }
    bench_free(&b);
}

/* ---- energy ---- */

/* 100 W for 10 h are 1 kWh: 100 steps of 10 Wh, hundredths of a kWh in DP 1. */
static void a_meter_counts_its_total_in_hundredths(void **state)
{
    (void)state;
    struct bench b = bench_new("din-meter");
    scene(b.plug, "steady", 0);
    constant_load(b.plug, 100000, 1000, 0);
    plug_advance(b.plug, 10 * HOUR_MS);
    assert_int_equal(number_of(b.plug, 1), 12345 + 100);
    apply(b.plug, "12=true", 10 * HOUR_MS); /* clear_energy, which is a push button */
    assert_int_equal(number_of(b.plug, 1), 0);
    assert_string_equal(value_of(b.plug, 12), "false");
    bench_free(&b);
}

static void a_zigbee_plug_reports_a_total_at_each_hundredth(void **state)
{
    (void)state;
    const struct profile *p = profile_with("zigbee-gateway", NULL, NULL, NULL, NULL);
    struct bench b = bench_of(p, &p->children[0].shape);
    scene(b.plug, "steady", 0);
    constant_load(b.plug, 600000, 1000, 0); /* 10 Wh a minute */
    plug_advance(b.plug, 6000);
    plug_drop_due(b.plug);
    plug_advance(b.plug, 59000);
    assert_string_equal(due_of(b.plug), "");
    assert_int_equal(plug_deadline(b.plug), 60000);
    plug_advance(b.plug, 60000);
    assert_string_equal(due_of(b.plug), "{\"17\":4330}");
    plug_advance(b.plug, HOUR_MS);
    assert_int_equal(number_of(b.plug, 17), 4320 + 600);
    bench_free(&b);
}

/* jasonacox/tinytuya#274, #282: absent until the first increment; then, period by period, what was used in it. */
static void the_increment_is_absent_until_its_first_report(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    scene(b.plug, "steady", 0);
    constant_load(b.plug, 142000, 1000, 0);
    plug_advance(b.plug, 1799000);
    assert_string_equal(value_of(b.plug, 17), "");
    plug_advance(b.plug, 1800000);
    assert_int_equal(number_of(b.plug, 17), 71); /* 142 W for half an hour */
    plug_drop_due(b.plug);
    plug_advance(b.plug, 3599000);
    assert_int_equal(number_of(b.plug, 17), 71); /* kept until the next period */
    plug_advance(b.plug, 3600000);
    assert_string_equal(due_of(b.plug), "{\"17\":71}"); /* pushed, although it is the same number */
    bench_free(&b);
}

/* Between 10 and 30 minutes when it is 0.1 kWh: developer.tuya.com Kb6iu9lqwt0lf. 1000 W: 0.1 kWh after 6 minutes. */
static void heavy_loads_report_every_ten_minutes(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    scene(b.plug, "steady", 0);
    constant_load(b.plug, 1000000, 1000, 0);
    plug_advance(b.plug, 599000);
    assert_string_equal(value_of(b.plug, 17), "");
    plug_advance(b.plug, 600000);
    assert_int_equal(number_of(b.plug, 17), 166);
    plug_advance(b.plug, 1199000);
    plug_drop_due(b.plug);
    plug_advance(b.plug, 1200000);
    assert_string_equal(due_of(b.plug), "{\"17\":167}"); /* the rest of the first period is not lost */
    bench_free(&b);
}

static void without_consumption_there_is_no_increment(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    plug_advance(b.plug, 5 * HOUR_MS);
    assert_string_equal(value_of(b.plug, 17), "");
    bench_free(&b);
}

static void after_off_counting_waits_for_the_next_on(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    scene(b.plug, "steady", 0);
    constant_load(b.plug, 156000, 1000, 0);
    apply(b.plug, "1=false", 600000); /* after 10 minutes: 26 Wh; the period still runs to its end */
    plug_advance(b.plug, 1800000);
    assert_int_equal(number_of(b.plug, 17), 26);
    apply(b.plug, "1=true", 3000000); /* a new period from here */
    plug_drop_due(b.plug);
    plug_advance(b.plug, 4799000);
    assert_int_equal(number_of(b.plug, 17), 26);
    plug_advance(b.plug, 4800000);
    assert_int_equal(number_of(b.plug, 17), 78);
    bench_free(&b);
}

/* Every appliance, a day: the watts that were reported, times the time, against the kWh that were reported. The watts
 * are asked for each second, so that their noise averages out and the sampling of 30 s does not count. */
static void watts_times_time_is_kilowatt_hours(void **state)
{
    (void)state;
    static const enum appliance some[] = {
        APPLIANCE_CONSTANT, APPLIANCE_KETTLE, APPLIANCE_FRIDGE, APPLIANCE_TV,      APPLIANCE_WASHING_MACHINE,
        APPLIANCE_LAMP,     APPLIANCE_LAPTOP, APPLIANCE_HEATER, APPLIANCE_MONITOR, APPLIANCE_ROUTER};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        struct bench b = bench_new("energy-plug");
        const struct load_spec l = {.appliance = some[i], .mw = 60000, .pf_permille = 900};
        int64_t power_ws = 0, wh = 0, seconds = some[i] == APPLIANCE_KETTLE ? 3600 : 12 * 3600;
        assert_int_equal(plug_load(b.plug, 0, &l, 0, NULL), 0);
        for (int64_t s = 1; s <= seconds; s++) {
            plug_advance(b.plug, (uint64_t)s * 1000);
            char text[256];
            struct tw_text t = {.data = text, .cap = sizeof text - 1};
            size_t n = plug_take_due(b.plug, &t, 0);
            text[t.len] = '\0';
            const char *energy = n > 0 ? strstr(text, "\"17\":") : NULL;
            wh += energy != NULL ? atol(energy + 5) : 0;
            plug_refresh(b.plug, NULL, 0, (uint64_t)s * 1000);
            power_ws += number_of(b.plug, 19); /* 0.1 W s */
            plug_drop_due(b.plug);
        }
        /* The rest is reported when the period ends; nothing is drawn any more. */
        apply(b.plug, "1=false", (uint64_t)seconds * 1000);
        plug_drop_due(b.plug);
        plug_advance(b.plug, (uint64_t)seconds * 1000 + HOUR_MS);
        if (strstr(due_of(b.plug), "\"17\":") != NULL)
            wh += number_of(b.plug, 17);
        double by_power = (double)power_ws / 36000, off = (double)wh - by_power;
        /* 0.1 %, and the last whole Wh */
        if (off > by_power / 1000 + 0.5 || off < -by_power / 1000 - 1.5)
            fail_msg("%s: %.2f Wh by watts, %lld Wh reported", appliance_name(some[i]), by_power, (long long)wh);
        bench_free(&b);
    }
}

/* ---- time ---- */

static void same_state(const char *profile, enum appliance a, const char *what, uint64_t jump_ms, uint64_t step_ms)
{
    struct bench one = bench_new(profile), many = bench_new(profile);
    const struct load_spec l = {.appliance = a, .mw = 2500, .pf_permille = 500};
    struct plug *plugs[] = {one.plug, many.plug};
    for (int i = 0; i < 2; i++) {
        if (plug_shape(plugs[i])->has_metering)
            assert_int_equal(plug_load(plugs[i], 0, &l, 1000, NULL), 0);
        apply(plugs[i], what, 5500);
    }
    for (uint64_t t = 5500; t < jump_ms; t += step_ms)
        plug_advance(many.plug, t);
    char expected[4096], due[4096];
    strcpy(expected, state_of(one.plug, jump_ms));
    assert_string_equal(state_of(many.plug, jump_ms), expected);
    strcpy(due, due_of(one.plug));
    assert_string_equal(due_of(many.plug), due);
    assert_true(plug_live(one.plug, jump_ms).total_mws == plug_live(many.plug, jump_ms).total_mws);
    assert_true(plug_deadline(one.plug) == plug_deadline(many.plug));
    bench_free(&one);
    bench_free(&many);
}

static void a_jump_ends_where_steps_end(void **state)
{
    (void)state;
    for (int a = APPLIANCE_NONE; a < N_APPLIANCES; a++)
        same_state("energy-plug", (enum appliance)a, "9=20000", 8 * HOUR_MS, 1000);
    same_state("energy-plug", APPLIANCE_PHONE, "39=true", 8 * HOUR_MS, 1000);
    same_state("energy-plug", APPLIANCE_FRIDGE, "41=true", 30ull * HOUR_MS, 777);
    same_state("din-meter", APPLIANCE_WASHING_MACHINE, "11=true", 3 * HOUR_MS, 1000);
    same_state("power-strip", APPLIANCE_HEATER, "9=3600", 3 * HOUR_MS, 333);
    same_state("energy-plug-legacy", APPLIANCE_LAMP, "2=100", HOUR_MS, 1000);
    same_state("basic-plug", APPLIANCE_NONE, "9=3600", 2 * HOUR_MS, 1000);
}

/* One of the things that may happen to a plug, the same for the same h. */
static void happen(struct plug *p, uint64_t h, uint64_t now_ms)
{
    static const char *const controls[] = {
        "1=true",
        "1=false",
        "2=false",
        "2=true",
        "16=true",
        "16=false",
        "9=0",
        "9=7",
        "9=3600",
        "2=90",
        "10=60",
        "15=30",
        "41=true",
        "38=\"on\"",
        "38=\"off\"",
        "44=\"AQAF\"",
        "44=\"AQOE\"",
        "42=\"AX8C0AQ4AAMAAg==\"",
        "43=\"AX8AAAWg\"",
        "11=true",
        "14=3",
        "12=true",
        "17=\"AQEAAQ==\"",
        "18=\"AQEABQMBARMEAQCq\"",
        "18=\"AQAAAQ==\"",
    };
    const struct load_spec l = {.appliance = (enum appliance)(h % N_APPLIANCES),
                                .mw = (uint32_t)(h >> 8) % 4000000,
                                .pf_permille = (uint16_t)(h >> 32) % 1001,
                                .delay_s = (h >> 60) == 0 ? 30 : 0};
    uint32_t ids[] = {(uint32_t)(h >> 8) % 30, 19};
    size_t n_scenes = 0;
    while (plug_scene_name(n_scenes) != NULL)
        n_scenes++;
    switch (h >> 50 & 15) {
    case 0:
    case 1: plug_load(p, 0, &l, now_ms, NULL); break;
    case 2: plug_load(p, 2, &l, now_ms, NULL); break;
    case 3: plug_scene(p, plug_scene_name(h % n_scenes), 0, now_ms, NULL); break;
    case 4: plug_power_cycle(p, now_ms); break;
    case 5: plug_press(p, 0, now_ms); break;
    case 6: plug_refresh(p, ids, h % 3, now_ms); break;
    case 7: plug_set_readings(p, (enum plug_readings)(h % 3), now_ms); break;
    case 8: plug_spike(p, now_ms); break;
    case 9: plug_hide(p, ids[0]); break;
    default: apply(p, controls[h % (sizeof controls / sizeof controls[0])], now_ms); break;
    }
}

/* Whatever is done to two plugs of one kind: the one that is looked at all the time and the one that is not end alike. */
static void looking_does_not_matter_whatever_happens(void **state)
{
    (void)state;
    static const char *const profiles[] = {"energy-plug", "din-meter", "power-strip", "energy-plug-legacy",
                                           "basic-plug"};
    enum { ROUNDS = 60, EVENTS = 40 };
    for (uint64_t round = 0; round < ROUNDS; round++) {
        const char *name = profiles[round % 5];
        struct bench one = bench_new(name), many = bench_new(name);
        uint64_t now = 0;
        for (uint64_t i = 0; i < EVENTS; i++) {
            uint64_t h = hash_at(hash_key(7, round, 1), i), wait = hash_mix(h) % (h % 5 == 0 ? 7200000 : 90000);
            for (uint64_t t = now; t < now + wait; t += 1 + hash_mix(t ^ h) % 20000)
                plug_advance(many.plug, t);
            now += wait;
            plug_advance(one.plug, now); /* plug_hide() knows no time */
            plug_advance(many.plug, now);
            happen(one.plug, h, now);
            happen(many.plug, h, now);
            char expected[4096];
            strcpy(expected, state_of(one.plug, now));
            if (strcmp(state_of(many.plug, now), expected) != 0)
                fail_msg("%s, round %d, event %d at %llu ms:\n%s\n%s", name, (int)round, (int)i,
                         (unsigned long long)now, expected, state_of(many.plug, now));
            strcpy(expected, due_of(one.plug));
            assert_string_equal(due_of(many.plug), expected);
            struct plug_live a = plug_live(one.plug, now), b = plug_live(many.plug, now);
            assert_true(a.total_mws == b.total_mws && a.mw == b.mw && a.mv == b.mv && a.ma == b.ma);
            assert_true(plug_deadline(one.plug) == plug_deadline(many.plug));
        }
        bench_free(&one);
        bench_free(&many);
    }
}

static void asking_changes_nothing(void **state)
{
    (void)state;
    struct bench asked = bench_new("energy-plug"), quiet = bench_new("energy-plug");
    const struct load_spec l = {.appliance = APPLIANCE_TV};
    plug_load(asked.plug, 0, &l, 0, NULL);
    plug_load(quiet.plug, 0, &l, 0, NULL);
    for (uint64_t t = 0; t < HOUR_MS; t += 777) {
        state_of(asked.plug, t);
        plug_deadline(asked.plug);
        plug_live(asked.plug, t);
    }
    char expected[4096];
    strcpy(expected, state_of(quiet.plug, HOUR_MS));
    assert_string_equal(state_of(asked.plug, HOUR_MS), expected);
    bench_free(&asked);
    bench_free(&quiet);
}

static void the_deadline_is_never_late(void **state)
{
    (void)state;
    static const char *const profiles[] = {"energy-plug", "din-meter", "power-strip"};
    for (size_t i = 0; i < 3; i++) {
        struct bench b = bench_new(profiles[i]);
        constant_load(b.plug, 45000, 1000, 0);
        plug_advance(b.plug, 1000);
        for (uint64_t t = 1000; t < 3 * HOUR_MS; t += 1000) {
            uint64_t deadline = plug_deadline(b.plug);
            plug_drop_due(b.plug);
            plug_advance(b.plug, t);
            if (plug_has_due(b.plug) && deadline > t)
                fail_msg("%s at %llu: something is due, the deadline was %llu", profiles[i], (unsigned long long)t,
                         (unsigned long long)deadline);
        }
        bench_free(&b);
    }
}

/* ---- reporting rules: support.tuya.com K8sdy5uqo2zhq, developer.tuya.com Kb6iu9lqwt0lf ---- */

static void a_load_is_there_at_once(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    scene(b.plug, "steady", 500);
    constant_load(b.plug, 60000, 1000, 500);
    assert_true(plug_live(b.plug, 500).mw == 60000);
    plug_refresh(b.plug, NULL, 0, 500);
    assert_int_equal(number_of(b.plug, 19), 600);
    apply(b.plug, "1=false", 600);
    plug_refresh(b.plug, NULL, 0, 600);
    assert_int_equal(number_of(b.plug, 19), 0);
    apply(b.plug, "1=true", 700);
    plug_refresh(b.plug, NULL, 0, 700);
    assert_int_equal(number_of(b.plug, 19), 600);
    bench_free(&b);
}

static void a_change_is_reported_after_five_seconds_with_all_three(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    constant_load(b.plug, 60000, 1000, 10000);
    plug_advance(b.plug, 14999);
    assert_string_equal(due_of(b.plug), "");
    plug_advance(b.plug, 15000);
    const char *due = due_of(b.plug);
    assert_non_null(strstr(due, "\"18\":"));
    assert_non_null(strstr(due, "\"19\":"));
    assert_non_null(strstr(due, "\"20\":"));
    bench_free(&b);
}

static void a_steady_load_is_silent_for_an_hour(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug-legacy"); /* has no energy increment that would be pushed */
    scene(b.plug, "steady", 0);
    constant_load(b.plug, 60000, 1000, 0);
    plug_advance(b.plug, 10000);
    plug_drop_due(b.plug);
    plug_advance(b.plug, HOUR_MS - 31000);
    assert_string_equal(due_of(b.plug), "");
    plug_advance(b.plug, HOUR_MS + 31000);
    assert_string_equal(due_of(b.plug), "{\"4\":261,\"5\":600,\"6\":2300}");
    bench_free(&b);
}

static void changes_below_twenty_percent_wait(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    constant_load(b.plug, 100000, 1000, 0);
    plug_advance(b.plug, 60000);
    plug_drop_due(b.plug);
    constant_load(b.plug, 115000, 1000, 60000); /* + 15 % */
    plug_advance(b.plug, 120000);
    assert_string_equal(due_of(b.plug), "");
    constant_load(b.plug, 126000, 1000, 120000); /* + 26 % of what was reported */
    plug_advance(b.plug, 125000);
    assert_non_null(strstr(due_of(b.plug), "\"19\":"));
    bench_free(&b);
}

static void small_loads_are_reported_by_three_watts(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    constant_load(b.plug, 8000, 1000, 0);
    plug_advance(b.plug, 60000);
    plug_drop_due(b.plug);
    constant_load(b.plug, 10000, 1000, 60000); /* 25 %, but 2 W */
    plug_advance(b.plug, 120000);
    assert_string_equal(due_of(b.plug), "");
    constant_load(b.plug, 13000, 1000, 120000);
    plug_advance(b.plug, 125000);
    assert_non_null(strstr(due_of(b.plug), "\"19\":"));
    bench_free(&b);
}

static void after_off_the_old_values_stay_until_the_next_judgement(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    constant_load(b.plug, 60000, 1000, 0);
    plug_advance(b.plug, 60000);
    long before = number_of(b.plug, 19);
    apply(b.plug, "1=false", 60000);
    plug_advance(b.plug, 64999);
    assert_true(before > 500);
    assert_int_equal(number_of(b.plug, 19), before);
    plug_advance(b.plug, 65000);
    assert_int_equal(number_of(b.plug, 18), 0); /* 18 and 19 become 0 together, 20 stays: jasonacox/tinytuya#506 */
    assert_int_equal(number_of(b.plug, 19), 0);
    assert_true(number_of(b.plug, 20) > 2100);
    bench_free(&b);
}

static void a_refresh_measures_now_and_tells_what_changed(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    plug_set_readings(b.plug, READINGS_ON_ASK, 0); /* Q16: jasonacox/tinytuya#8, rospogrigio/localtuya#87 */
    constant_load(b.plug, 60000, 1000, 0);
    plug_advance(b.plug, HOUR_MS / 6);
    assert_int_equal(number_of(b.plug, 19), 0);
    plug_drop_due(b.plug);
    const uint32_t ids[] = {1, 18, 19, 99};
    assert_int_equal(plug_refresh(b.plug, ids, 4, HOUR_MS / 6), 2);
    const char *due = due_of(b.plug); /* never DP 1, and not 20, which was not asked for */
    assert_memory_equal(due, "{\"18\":", 6);
    assert_null(strstr(due, "\"1\":"));
    assert_null(strstr(due, "\"20\":"));
    assert_true(number_of(b.plug, 19) > 560 && number_of(b.plug, 19) < 640);
    assert_int_equal(plug_refresh(b.plug, ids, 4, HOUR_MS / 6), 0); /* unchanged: nothing */
    bench_free(&b);
}

static void stuck_readings_need_a_power_cycle(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug"); /* rospogrigio/localtuya#370 */
    scene(b.plug, "stuck", 0);
    constant_load(b.plug, 60000, 1000, 0);
    plug_advance(b.plug, 2 * HOUR_MS);
    assert_int_equal(plug_refresh(b.plug, NULL, 0, 2 * HOUR_MS), 0);
    assert_int_equal(number_of(b.plug, 19), 0);
    plug_power_cycle(b.plug, 2 * HOUR_MS);
    plug_advance(b.plug, 2 * HOUR_MS + 6000);
    assert_true(number_of(b.plug, 19) > 560);
    bench_free(&b);
}

static void a_spike_is_one_sample(void **state)
{
    (void)state;
    struct bench b =
        bench_new("energy-plug"); /* openshwprojects/OpenBK7231T_App#336: 8 to 11 kW at loads below 5 W */
    scene(b.plug, "spike", 10000);
    assert_int_equal(number_of(b.plug, 19), 80000);
    plug_advance(b.plug, 16000);
    assert_true(number_of(b.plug, 19) < 50);
    bench_free(&b);
}

/* ---- trips ---- */

static void an_overload_trips_and_switching_on_clears_it(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    plug_advance(b.plug, 1000);
    apply(b.plug, "9=600", 1000);
    plug_drop_due(b.plug);
    scene(b.plug, "overload", 1000); /* 23 A over 16 A */
    plug_drop_due(b.plug);
    assert_int_equal(plug_deadline(b.plug), 2000);
    plug_advance(b.plug, 2000);
    assert_string_equal(due_of(b.plug), "{\"1\":false,\"9\":0,\"26\":1}");
    plug_advance(b.plug, 60000);
    assert_int_equal(number_of(b.plug, 18), 0);
    constant_load(b.plug, 100000, 1000, 60000);
    apply(b.plug, "1=true", 60000);
    assert_int_equal(number_of(b.plug, 26), 0);
    assert_string_equal(value_of(b.plug, 1), "true");
    plug_advance(b.plug, 120000);
    assert_string_equal(value_of(b.plug, 1), "true");
    bench_free(&b);
}

static void an_undervoltage_trips_where_it_is_watched(void **state)
{
    (void)state;
    struct bench b = bench_new("din-meter"); /* 170 V; bit 11 is undervoltage_alarm */
    scene(b.plug, "brownout", 0);
    plug_advance(b.plug, 1000);
    assert_string_equal(value_of(b.plug, 16), "false");
    assert_int_equal(number_of(b.plug, 9), 1 << 11);
    bench_free(&b);
    b = bench_new("energy-plug"); /* off */
    scene(b.plug, "brownout", 0);
    plug_advance(b.plug, 60000);
    assert_string_equal(value_of(b.plug, 1), "true");
    assert_true(number_of(b.plug, 20) < 1800);
    bench_free(&b);
}

/* alarm_set_2 01 01 0005: trip above 5 A; 01 00 0005: only tell. Entries as Koenkk/zigbee2mqtt#32902 shows them. */
static void alarm_settings_move_the_limits(void **state)
{
    (void)state;
    struct bench b = bench_new("din-meter"); /* 63 A as it comes */
    scene(b.plug, "steady", 0);
    constant_load(b.plug, 2000000, 1000, 0); /* 8.7 A */
    plug_advance(b.plug, 10000);
    assert_string_equal(value_of(b.plug, 16), "true");
    assert_int_equal(apply(b.plug, "18=\"AQAABQ==\"", 10000), PLUG_APPLIED);
    plug_advance(b.plug, 20000);
    assert_string_equal(value_of(b.plug, 16), "true");
    assert_int_equal(number_of(b.plug, 9), 1 << 8); /* ov_cr */
    assert_int_equal(apply(b.plug, "18=\"AQEABQ==\"", 20000), PLUG_APPLIED);
    plug_advance(b.plug, 21000);
    assert_string_equal(value_of(b.plug, 16), "false");
    /* alarm_set_1 07 01 0001: trip above 1 kW */
    apply(b.plug, "18=\"\"", 22000);
    apply(b.plug, "17=\"BwEAAQ==\"", 22000);
    apply(b.plug, "16=true", 22000);
    plug_advance(b.plug, 23000);
    assert_string_equal(value_of(b.plug, 16), "false");
    assert_int_equal(number_of(b.plug, 9), 1 << 6); /* high_power_alarm */
    bench_free(&b);
}

static void a_prepaid_meter_opens_when_the_credit_is_used(void **state)
{
    (void)state;
    struct bench b = bench_new("din-meter");
    scene(b.plug, "steady", 0);
    constant_load(b.plug, 1000000, 1000, 0);
    apply(b.plug, "14=50", 0); /* half a kWh */
    apply(b.plug, "14=50", 0); /* and once more */
    apply(b.plug, "11=true", 0);
    assert_int_equal(number_of(b.plug, 13), 100);
    plug_advance(b.plug, HOUR_MS / 2);
    assert_int_equal(number_of(b.plug, 13), 50);
    plug_advance(b.plug, HOUR_MS + 1000);
    assert_int_equal(number_of(b.plug, 13), 0);
    assert_string_equal(value_of(b.plug, 16), "false");
    assert_int_equal(number_of(b.plug, 9), 1 << 16); /* no_balance_alarm */
    bench_free(&b);
}

/* overcharge_switch: 3 W and 30 minutes are our choice. */
static void a_charger_that_is_done_is_switched_off(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    scene(b.plug, "steady", 0);
    apply(b.plug, "39=true", 0);
    constant_load(b.plug, 9000, 500, 0);
    plug_advance(b.plug, 10 * HOUR_MS);
    assert_string_equal(value_of(b.plug, 1), "true");
    constant_load(b.plug, 1500, 500, 10 * HOUR_MS);
    plug_advance(b.plug, 10 * HOUR_MS + 30 * MINUTE_MS - 1000);
    assert_string_equal(value_of(b.plug, 1), "true");
    plug_drop_due(b.plug);
    assert_true(plug_deadline(b.plug) == 10 * HOUR_MS + 30 * MINUTE_MS);
    plug_advance(b.plug, 10 * HOUR_MS + 30 * MINUTE_MS);
    assert_string_equal(value_of(b.plug, 1), "false");
    assert_non_null(strstr(due_of(b.plug), "\"1\":false"));
    apply(b.plug, "1=true", 11 * HOUR_MS); /* who switches it on again has nothing charged yet */
    plug_advance(b.plug, 20 * HOUR_MS);
    assert_string_equal(value_of(b.plug, 1), "true");
    bench_free(&b);
}

static void a_charger_that_pauses_stays_on(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    scene(b.plug, "steady", 0);
    apply(b.plug, "39=true", 0);
    for (uint64_t at = 0; at < 5 * HOUR_MS; at += HOUR_MS) {
        constant_load(b.plug, 9000, 500, at);
        constant_load(b.plug, 1500, 500, at + 31 * MINUTE_MS);
    }
    plug_advance(b.plug, 5 * HOUR_MS);
    assert_string_equal(value_of(b.plug, 1), "true");
    bench_free(&b);
}

static void only_what_was_charged_is_switched_off(void **state)
{
    (void)state;
    static const struct {
        const char *setting;
        uint32_t first_mw;
    } rows[] = {{"39=true", 0}, {"39=false", 9000}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench b = bench_new("energy-plug");
        apply(b.plug, rows[i].setting, 0);
        constant_load(b.plug, rows[i].first_mw, 500, 0);
        constant_load(b.plug, 1500, 500, HOUR_MS);
        plug_advance(b.plug, 10 * HOUR_MS);
        assert_string_equal(value_of(b.plug, 1), "true");
        bench_free(&b);
    }
}

/* ---- appliances ---- */

static void a_kettle_boils_once_and_waits_to_be_pressed(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    scene(b.plug, "kettle", 0);
    plug_advance(b.plug, 6000);
    long w10 = number_of(b.plug, 19);
    assert_true(w10 > 20000 && w10 < 24500);
    assert_true(plug_live(b.plug, 149000).mw > 2000000); /* 150 s at least */
    assert_true(plug_live(b.plug, 245000).mw == 0);      /* 240 s at most */
    apply(b.plug, "1=false", 300000);
    apply(b.plug, "1=true", 301000);
    assert_true(plug_live(b.plug, 310000).mw == 0);
    bench_free(&b);
}

static void a_kettle_may_be_pressed_later(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    assert_int_equal(plug_scene(b.plug, "kettle_at", 60, 0, NULL), 0);
    assert_true(plug_live(b.plug, 59000).mw == 0);
    assert_true(plug_live(b.plug, 60000).mw > 2000000);
    bench_free(&b);
}

/* The power of an appliance, second by second, at a voltage near nominal. */
static void watch(enum appliance a, uint64_t from_s, uint64_t to_s, uint64_t *least, uint64_t *most, uint64_t *mean)
{
    struct bench b = bench_new("energy-plug");
    const struct load_spec l = {.appliance = a};
    uint64_t sum = 0;
    plug_load(b.plug, 0, &l, 0, NULL);
    *least = UINT64_MAX;
    *most = 0;
    for (uint64_t s = from_s; s < to_s; s++) {
        uint64_t mw = plug_live(b.plug, s * 1000).mw;
        *least = mw < *least ? mw : *least;
        *most = mw > *most ? mw : *most;
        sum += mw;
    }
    *mean = sum / (to_s - from_s);
    bench_free(&b);
}

static void appliances_stay_within_what_is_known_of_them(void **state)
{
    (void)state;
    static const struct {
        enum appliance a;
        uint64_t from_s, to_s, least, most, mean_least, mean_most; /* mW */
    } rows[] = {
        {APPLIANCE_FRIDGE, 10, 86400, 1200, 560000, 20000, 60000},
        {APPLIANCE_TV, 10, 7200, 30000, 140000, 58000, 97000},
        {APPLIANCE_TV_STANDBY, 10, 86400, 400, 12000, 400, 800},
        {APPLIANCE_WASHING_MACHINE, 1, 7200, 500, 2500000, 250000, 550000},
        {APPLIANCE_LAMP, 1, 7200, 7200, 7500, 7200, 7400},
        {APPLIANCE_LAPTOP, 1, 4 * 3600, 8900, 63100, 20000, 45000},
        {APPLIANCE_PHONE, 1, 2 * 3600, 1500, 9000, 4000, 8000},
        {APPLIANCE_HEATER, 1, 4 * 3600, 400, 1820000, 500000, 1100000},
        {APPLIANCE_MONITOR, 1, 3600, 21000, 23000, 21800, 22200},
        {APPLIANCE_ROUTER, 1, 3600, 7600, 8400, 7900, 8100},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t least, most, mean;
        watch(rows[i].a, rows[i].from_s, rows[i].to_s, &least, &most, &mean);
        if (least < rows[i].least || most > rows[i].most || mean < rows[i].mean_least || mean > rows[i].mean_most)
            fail_msg("%s: %llu to %llu, on average %llu mW", appliance_name(rows[i].a), (unsigned long long)least,
                     (unsigned long long)most, (unsigned long long)mean);
    }
}

/* Every 8 to 12 hours of running: 160 W with power factor 1. */
static void a_fridge_defrosts(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    const struct load_spec l = {.appliance = APPLIANCE_FRIDGE};
    plug_load(b.plug, 0, &l, 0, NULL);
    unsigned seconds = 0;
    for (uint64_t s = 1; s < 48 * 3600; s++) {
        struct plug_live live = plug_live(b.plug, s * 1000);
        seconds += live.mw > 120000 && live.mw < 200000 && live.pf_permille >= 999;
    }
    assert_true(seconds >= 12 * 60 && seconds <= 5 * 18 * 60);
    bench_free(&b);
}

static void a_load_is_read_from_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum appliance appliance;
        uint32_t mw;
        uint16_t pf;
    } good[] = {
        {"60", APPLIANCE_CONSTANT, 60000, 1000},
        {"60.5", APPLIANCE_CONSTANT, 60500, 1000},
        {"0.001", APPLIANCE_CONSTANT, 1, 1000},
        {"60,0.9", APPLIANCE_CONSTANT, 60000, 900},
        {"100000", APPLIANCE_CONSTANT, 100000000, 1000},
        {"fridge", APPLIANCE_FRIDGE, 0, 1000},
        {"washing_machine", APPLIANCE_WASHING_MACHINE, 0, 1000},
        {"none", APPLIANCE_NONE, 0, 1000},
    };
    static const char *const bad[] = {
        "", "-1", "60W", "60,", "60,0", "60,1.1", "100001", "99999999999999999999", "toaster", "constant", "1,0.5,2"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct load_spec l;
        struct why why = {""};
        if (load_parse(&l, good[i].text, &why) != 0)
            fail_msg("%s: %s", good[i].text, why.text);
        assert_int_equal(l.appliance, good[i].appliance);
        assert_int_equal(l.mw, good[i].mw);
        assert_int_equal(l.pf_permille, good[i].pf);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct load_spec l;
        struct why why = {""};
        if (load_parse(&l, bad[i], &why) != -1 || strstr(why.text, "expected") == NULL)
            fail_msg("'%s' is accepted", bad[i]);
    }
    struct why why = {""};
    assert_int_equal(plug_scene_check("steady", &why), 0);
    assert_int_equal(plug_scene_check("party", &why), -1);
    assert_non_null(strstr(why.text, "brownout"));
}

static void standby_reads_as_nothing(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug"); /* 0.4 W below the floor of 2 W: nothing in 18 and 19 */
    scene(b.plug, "standby", 0);
    plug_advance(b.plug, 60000);
    assert_int_equal(number_of(b.plug, 18), 0);
    assert_int_equal(number_of(b.plug, 19), 0);
    assert_true(plug_live(b.plug, 60000).ma > 15); /* 0.4 W at a power factor of 0.08 are 22 mA all the same */
    bench_free(&b);
}

/* ---- mains, chip, chance ---- */

static void the_mains_stay_within_their_contract(void **state)
{
    (void)state;
    static const struct {
        uint32_t nominal_mv, low, high;
    } rows[] = {{230000, 207000, 253000}, {120000, 114000, 126000}};
    for (size_t i = 0; i < 2; i++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct mains m;
            mains_init(&m, seed, EPOCH_S, rows[i].nominal_mv);
            uint64_t sum = 0;
            for (uint64_t s = 0; s < 86400; s += 7) {
                uint32_t mv = mains_mv(&m, MAINS_NORMAL, s);
                assert_in_range(mv, rows[i].low, rows[i].high);
                sum += mv;
            }
            uint64_t mean = sum / (86400 / 7 + 1), spread = i == 0 ? 7000 : 4000;
            assert_in_range(mean, rows[i].nominal_mv - spread, rows[i].nominal_mv + spread);
        }
    }
}

static void the_mains_are_lowest_in_the_evening(void **state)
{
    (void)state;
    int64_t evening = 0, night = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct mains m;
        mains_init(&m, seed, 0, 230000); /* midnight */
        for (uint64_t s = 0; s < 1800; s += 60) {
            evening += mains_mv(&m, MAINS_NORMAL, 19 * 3600 + s);
            night += mains_mv(&m, MAINS_NORMAL, 4 * 3600 + s);
        }
    }
    double percent = 100.0 * (double)(night - evening) / (double)evening;
    assert_true(percent > 0.9 && percent < 1.5); /* 1.2 % */
}

/* A 2 kW kettle costs 3 V. */
static void a_load_lowers_its_own_voltage(void **state)
{
    (void)state;
    struct bench with = bench_new("energy-plug"), without = bench_new("energy-plug");
    constant_load(with.plug, 2000000, 1000, 0);
    uint32_t drop = plug_live(without.plug, 10000).mv - plug_live(with.plug, 10000).mv;
    assert_in_range(drop, 2700, 3400);
    bench_free(&with);
    bench_free(&without);
}

/* Noise of a reading, sigma 0.3 % of 500 W; calibration error within the 5 % that a pulse chip promises. */
static void readings_scatter_as_the_chip_does(void **state)
{
    (void)state;
    struct bench b = bench_new("energy-plug");
    constant_load(b.plug, 500000, 1000, 0);
    double sum = 0, squares = 0;
    enum { N = 2000 };
    for (int i = 1; i <= N; i++) {
        plug_refresh(b.plug, NULL, 0, (uint64_t)i * 1000);
        double w = (double)number_of(b.plug, 19) / 10;
        sum += w;
        squares += w * w;
    }
    double mean = sum / N, variance = squares / N - mean * mean;
    assert_true(mean > 475 && mean < 525);
    assert_true(variance > 1.2 * 1.2 && variance < 1.8 * 1.8);
    bench_free(&b);
}

static void two_plugs_differ_and_one_repeats_itself(void **state)
{
    (void)state;
    char texts[3][4096];
    for (int i = 0; i < 3; i++) {
        struct bench b = bench_new("energy-plug");
        plug_free(b.plug);
        assert_int_equal(plug_new(&b.plug, &b.profile->shape, &world, i == 2 ? 2 : 1, 0), 0);
        constant_load(b.plug, 500000, 1000, 0);
        strcpy(texts[i], state_of(b.plug, 6000));
        bench_free(&b);
    }
    assert_string_equal(texts[0], texts[1]);
    assert_string_not_equal(texts[0], texts[2]);
}

/* Half a day of each appliance. The same numbers came out on x86-64, i386 and s390x (big endian): the model has no
 * floating point, and a seed in a bug report has to show the reader what its writer saw. */
static void every_machine_shows_the_same_numbers(void **state)
{
    (void)state;
    static const struct {
        uint64_t total_mws;
        long ma, w10, v10;
    } rows[] = {
        {3326323000, 745, 752, 2332},     {431415221, 0, 0, 2334},     {1275738036, 0, 0, 2334},
        {2912014732, 292, 635, 2333},     {17279600, 0, 0, 2334},      {1955894762, 0, 0, 2334},
        {314340375, 51, 70, 2334},        {630336843, 64, 87, 2334},   {96133500, 0, 0, 2334},
        {31183781723, 6438, 15010, 2311}, {950377010, 163, 214, 2334}, {345581488, 62, 77, 2334},
    };
    for (int a = APPLIANCE_CONSTANT; a < N_APPLIANCES; a++) {
        enum { AT_MS = 43200000 - 777 };
        struct bench b = bench_new("energy-plug");
        const struct load_spec l = {.appliance = (enum appliance)a, .mw = 77000, .pf_permille = 430};
        assert_int_equal(plug_load(b.plug, 0, &l, 0, NULL), 0);
        plug_advance(b.plug, AT_MS);
        plug_refresh(b.plug, NULL, 0, AT_MS);
        assert_true(plug_live(b.plug, AT_MS).total_mws == rows[a - 1].total_mws);
        assert_int_equal(number_of(b.plug, 18), rows[a - 1].ma);
        assert_int_equal(number_of(b.plug, 19), rows[a - 1].w10);
        assert_int_equal(number_of(b.plug, 20), rows[a - 1].v10);
        bench_free(&b);
    }
}

static void hashes_are_spread_evenly(void **state)
{
    (void)state;
    double sum = 0, squares = 0;
    enum { N = 100000 };
    for (uint64_t i = 0; i < N; i++) {
        double g = (double)hash_gauss(hash_at(hash_key(1, 2, 3), i)) / HASH_GAUSS_SIGMA;
        sum += g;
        squares += g * g;
    }
    assert_true(sum / N > -0.02 && sum / N < 0.02);
    assert_true(squares / N > 0.98 && squares / N < 1.02);
    for (uint64_t i = 0; i < 1000; i++)
        assert_in_range(hash_range(hash_mix(i), 5, 9), 5, 9);
    assert_int_equal(hash_mix(0), 0xE220A8397B1DCDAFu); /* splitmix64, first output for seed 0 */
}

static void base64_of_timers_and_blocks(void **state)
{
    (void)state;
    char text[16];
    uint8_t bytes[8];
    const uint8_t phase[] = {0x08, 0xec, 0x00, 0x05, 0x8f, 0x00, 0x01, 0x10};
    assert_int_equal(base64_encode(text, phase, 8), 12);
    assert_memory_equal(text, "COwABY8AARA=", 12);
    assert_int_equal(base64_decode(bytes, sizeof bytes, "COwABY8AARA=", 12), 8);
    assert_memory_equal(bytes, phase, 8);
    assert_int_equal(base64_decode(bytes, 3, "COwABY8AARA=", 12), 3);
    assert_int_equal(base64_decode(bytes, 8, "?", 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watts_follow_volts_amperes_and_power_factor),
        cmocka_unit_test(active_power_is_not_volts_times_amperes),
        cmocka_unit_test(loads_of_a_strip_add_as_vectors),
        cmocka_unit_test(a_usb_outlet_is_not_metered),
        cmocka_unit_test(the_phase_block_packs_as_real_meters_do),
        cmocka_unit_test(the_phase_block_comes_every_15_seconds),
        cmocka_unit_test(a_meter_counts_its_total_in_hundredths),
        cmocka_unit_test(a_zigbee_plug_reports_a_total_at_each_hundredth),
        cmocka_unit_test(the_increment_is_absent_until_its_first_report),
        cmocka_unit_test(heavy_loads_report_every_ten_minutes),
        cmocka_unit_test(without_consumption_there_is_no_increment),
        cmocka_unit_test(after_off_counting_waits_for_the_next_on),
        cmocka_unit_test(watts_times_time_is_kilowatt_hours),
        cmocka_unit_test(a_jump_ends_where_steps_end),
        cmocka_unit_test(looking_does_not_matter_whatever_happens),
        cmocka_unit_test(asking_changes_nothing),
        cmocka_unit_test(the_deadline_is_never_late),
        cmocka_unit_test(a_load_is_there_at_once),
        cmocka_unit_test(a_change_is_reported_after_five_seconds_with_all_three),
        cmocka_unit_test(a_steady_load_is_silent_for_an_hour),
        cmocka_unit_test(changes_below_twenty_percent_wait),
        cmocka_unit_test(small_loads_are_reported_by_three_watts),
        cmocka_unit_test(after_off_the_old_values_stay_until_the_next_judgement),
        cmocka_unit_test(a_refresh_measures_now_and_tells_what_changed),
        cmocka_unit_test(stuck_readings_need_a_power_cycle),
        cmocka_unit_test(a_spike_is_one_sample),
        cmocka_unit_test(an_overload_trips_and_switching_on_clears_it),
        cmocka_unit_test(an_undervoltage_trips_where_it_is_watched),
        cmocka_unit_test(alarm_settings_move_the_limits),
        cmocka_unit_test(a_prepaid_meter_opens_when_the_credit_is_used),
        cmocka_unit_test(a_charger_that_is_done_is_switched_off),
        cmocka_unit_test(a_charger_that_pauses_stays_on),
        cmocka_unit_test(only_what_was_charged_is_switched_off),
        cmocka_unit_test(a_kettle_boils_once_and_waits_to_be_pressed),
        cmocka_unit_test(a_kettle_may_be_pressed_later),
        cmocka_unit_test(appliances_stay_within_what_is_known_of_them),
        cmocka_unit_test(a_fridge_defrosts),
        cmocka_unit_test(a_load_is_read_from_text),
        cmocka_unit_test(standby_reads_as_nothing),
        cmocka_unit_test(the_mains_stay_within_their_contract),
        cmocka_unit_test(the_mains_are_lowest_in_the_evening),
        cmocka_unit_test(a_load_lowers_its_own_voltage),
        cmocka_unit_test(readings_scatter_as_the_chip_does),
        cmocka_unit_test(two_plugs_differ_and_one_repeats_itself),
        cmocka_unit_test(every_machine_shows_the_same_numbers),
        cmocka_unit_test(hashes_are_spread_evenly),
        cmocka_unit_test(base64_of_timers_and_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
