/* test_model_memory.c - memory runs out at every place where the model of a plug asks for some, one after the other: no
 * crash, nothing lost (a sanitizer looks for what is not given back), and what is refused says so. */
#include <cjson/cJSON.h>
#include "memory.h"
#include "model_test.h"
#include "sim/model/fleet.h"
#include "sim/model/state.h"

enum { N_PLACES_MAX = 20000 }; /* more than a scenario asks for memory: the loops below must end before */

/* cJSON is shared: it asks this program, whose heap may be full. */
static void *ask(size_t size)
{
    return malloc(size);
}

static void give(void *p)
{
    free(p);
}

static int a_life(struct plug *p)
{
    char object[128], text[2048];
    static const char *const controls[] = {
        "1=false", "9=60", "42=\"AQAC2gMMAAoABQ==\"", "43=\"x\"", "38=\"on\"", "1=true", "14=5", "11=true"};
    struct tw_text t = {.data = text, .cap = sizeof text};
    const struct load_spec l = {.appliance = APPLIANCE_FRIDGE};
    bool refused = false;
    for (size_t i = 0; i < sizeof controls / sizeof controls[0]; i++) {
        struct tw_dp dp = dp_of(object, controls[i]);
        refused |= plug_apply(p, &dp, i * 1000) == PLUG_NO_MEMORY;
    }
    refused |= plug_shape(p)->has_metering && plug_load(p, 0, &l, 9000, NULL) != 0;
    plug_refresh(p, NULL, 0, 10000);
    plug_power_cycle(p, 20000);
    plug_advance(p, 4000000);
    plug_press(p, 0, 4000000);
    plug_write(p, &t);
    plug_take_due(p, &t, 0);
    return refused ? -1 : 0;
}

/* @return 0; -1: something was refused for want of memory, and said so */
static int house_life(struct fleet *f, const char *list, size_t len)
{
    struct devices d;
    struct why why = {""};
    struct problems problems = {.n = 0};
    if (devices_parse(&d, list, len, "list", &why) != 0) {
        assert_true(why.text[0] != '\0');
        return -1;
    }
    int rc = fleet_from_devices(f, &d, &problems, &why);
    assert_true(rc == 0 || why.text[0] != '\0');
    for (size_t i = 0; rc == 0 && i < f->n; i++)
        rc |= a_life(f->devices[i].plug);
    size_t n;
    char *snapshot = rc == 0 ? state_write(f, 4000000, 1, &n) : NULL;
    if (snapshot != NULL && state_apply(f, (struct tw_span){(uint8_t *)snapshot, n}, 4000000, NULL, NULL, &why) < 0)
        rc = -1;
    rc |= snapshot == NULL ? -1 : 0;
    free(snapshot);
    devices_free(&d);
    return rc;
}

static int scenario(const char *const *names, size_t n_names)
{
    struct fleet made, read;
    struct why why = {""};
    int rc = fleet_init(&made, 1, EPOCH_S);
    if (rc != 0)
        return -1;
    for (size_t i = 0; rc == 0 && i < n_names; i++) {
        const struct profile *p;
        rc = profile_builtin(&p, names[i]);
        if (rc == 0) {
            rc = fleet_generate(&made, p, 1, NULL, &why);
            profile_unref(p);
        }
    }
    size_t len = 0;
    char *list = rc == 0 ? fleet_write_devices(&made, NULL, NULL, &len) : NULL;
    rc |= list == NULL ? -1 : 0;
    if (rc == 0 && fleet_init(&read, 2, EPOCH_S) == 0) {
        rc = house_life(&read, list, len);
        fleet_free(&read);
    } else {
        rc = -1;
    }
    free(list);
    fleet_free(&made);
    return rc;
}

static void run_out(const char *const *names, size_t n_names, bool for_good)
{
    /* Reading JSON asks thousands of times: from a thousand on, only some of the places are tried. */
    for (size_t n = 1; n < N_PLACES_MAX; n += 1 + n / 1000 * 13) {
        memory_fail(n, for_good);
        int rc = scenario(names, n_names);
        bool failed = memory_victim() != MEMORY_NOBODY;
        memory_fail(0, false);
        if (!failed) {
            assert_int_equal(rc, 0);
            return; /* the heap was large enough for all of it */
        }
        if (for_good)
            assert_int_equal(rc, -1);
    }
    fail_msg("a scenario asks for memory %d times?", (int)N_PLACES_MAX);
}

static void one_request_is_refused(void **state)
{
    (void)state;
    static const char *const some[] = {"energy-plug", "zigbee-gateway"}, *const others[] = {"din-meter", "bulb"};
    run_out(some, 2, false);
    run_out(others, 2, false);
}

static void the_heap_is_full_for_good(void **state)
{
    (void)state;
    static const char *const some[] = {"energy-plug", "zigbee-gateway"};
    run_out(some, 2, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_request_is_refused),
        cmocka_unit_test(the_heap_is_full_for_good),
    };
    cJSON_Hooks hooks = {ask, give};
    memory_watch();
    cJSON_InitHooks(&hooks);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
