/* scenes.c - what is plugged in, and presets for tests. Contracts are in plug.h. */
#include <string.h>
#include "hash.h"
#include "meter_internal.h"

enum { SOURCE_LOAD = 200, SPIKE_MW = 8000000 };

static void plug_in(struct plug *p, struct load *place, uint32_t relay, const struct load_spec *spec, bool pressed)
{
    struct meter *m = p->meter;
    uint64_t key = hash_key(p->world->seed, p->number, SOURCE_LOAD + (uint64_t)relay);
    load_init(place, spec, hash_mix(key ^ (uint64_t)spec->appliance), m->mains.nominal_mv >= 180000);
    meter_start_load(m, place, pressed);
    meter_judge_soon(p, m);
}

/* see plug.h */
int plug_load(struct plug *p, uint32_t relay, const struct load_spec *load, uint64_t now_ms, struct why *why)
{
    enum { MAX_MW = 100000000 };
    plug_advance(p, now_ms);
    if (!p->shape->has_metering)
        return why_set(why, "this device has no meter: a load would change nothing that it reports");
    if (load->appliance == APPLIANCE_CONSTANT && load->mw > MAX_MW)
        return why_set(why, "a load has at most 100000 W");
    if ((size_t)load->appliance >= N_APPLIANCES)
        return why_set(why, "there is no such appliance");
    if (meter_make(p) == NULL)
        return why_set(why, "out of memory");
    if (relay == 0)
        relay = metering_of(p)->relays[0];
    struct load *place = meter_load_at(p, relay);
    if (place == NULL)
        return why_set(why, "data point %u is no metered outlet of this device", (unsigned)relay);
    plug_in(p, place, relay, load, true);
    return 0;
}

void meter_restore_load(struct plug *p, uint32_t relay, const struct load_spec *load)
{
    struct load *place = meter_make(p) != NULL ? meter_load_at(p, relay) : NULL;
    if (place != NULL)
        plug_in(p, place, relay, load, false);
}

const struct load_spec *meter_load(const struct plug *p, uint32_t relay)
{
    const struct load *l = meter_load_at((struct plug *)(uintptr_t)p, relay);
    return l != NULL ? &l->spec : NULL;
}

/* see plug.h */
bool plug_has_outlet(const struct plug *p, uint32_t relay)
{
    bool found = relay == 0;
    for (size_t i = 0; p->shape->has_metering && i < metering_of(p)->n_relays; i++)
        found = found || metering_of(p)->relays[i] == relay;
    return found;
}

/* see plug.h */
struct load_spec plug_load_of(const struct plug *p, uint32_t relay)
{
    const struct load_spec *l = NULL;
    if (p->shape->has_metering)
        l = meter_load(p, relay != 0 ? relay : metering_of(p)->relays[0]);
    return l != NULL ? *l : (struct load_spec){0};
}

/* see plug.h */
struct plug_live plug_live(struct plug *p, uint64_t now_ms)
{
    plug_advance(p, now_ms);
    struct meter *m = meter_make(p);
    if (m == NULL)
        return (struct plug_live){0};
    meter_look(p, m, m->second);
    uint32_t pf = m->mva == 0 ? 1000 : (uint32_t)(m->mw * 1000 / m->mva);
    return (struct plug_live){true, m->mv, m->ma, m->mw, pf, m->true_mws};
}

/* see plug.h */
void plug_spike(struct plug *p, uint64_t now_ms)
{
    plug_advance(p, now_ms);
    struct meter *m = meter_make(p);
    if (m == NULL)
        return;
    struct sample s = meter_measure(p, m);
    s.mw = SPIKE_MW;
    meter_report(p, m, &s, false);
    meter_judge_soon(p, m);
}

/* ---- scenes ---- */

static const struct scene {
    const char *name;
    enum mains_scene mains;
    bool exact, stuck, spike, has_load;
    struct load_spec load; /* overload: mw is per volt of nominal */
} scenes[] = {
    {"normal", MAINS_NORMAL, false, false, false, false, {0}},
    {"steady", MAINS_STEADY, true, false, false, false, {0}},
    {"kettle", MAINS_NORMAL, false, false, false, true, {.appliance = APPLIANCE_KETTLE}},
    {"fridge-day", MAINS_NORMAL, false, false, false, true, {.appliance = APPLIANCE_FRIDGE}},
    {"washing-machine", MAINS_NORMAL, false, false, false, true, {.appliance = APPLIANCE_WASHING_MACHINE}},
    {"standby", MAINS_NORMAL, false, false, false, true, {.appliance = APPLIANCE_TV_STANDBY}},
    {"overload", MAINS_NORMAL, false, false, false, true, {.appliance = APPLIANCE_CONSTANT, .mw = 23000}},
    {"brownout", MAINS_BROWNOUT, false, false, false, false, {0}},
    {"stuck", MAINS_NORMAL, false, true, false, false, {0}},
    {"spike",
     MAINS_NORMAL,
     false,
     false,
     true,
     true,
     {.appliance = APPLIANCE_CONSTANT, .mw = 3000, .pf_permille = 500}},
};
enum { N_SCENES = sizeof scenes / sizeof scenes[0], OVERLOAD = 6 };

/* see plug.h */
const char *plug_scene_name(size_t i)
{
    return i < N_SCENES ? scenes[i].name : NULL;
}

static const struct scene *find_scene(const char *name)
{
    if (appliance_same_word("kettle-at", name))
        name = "kettle";
    for (size_t i = 0; i < N_SCENES; i++) {
        if (appliance_same_word(scenes[i].name, name))
            return &scenes[i];
    }
    return NULL;
}

/* see plug.h */
int plug_scene_check(const char *name, struct why *why)
{
    char list[160] = "";
    for (size_t i = 0; i < N_SCENES; i++) {
        strncat(list, i > 0 ? ", " : "", sizeof list - strlen(list) - 1);
        strncat(list, scenes[i].name, sizeof list - strlen(list) - 1);
    }
    return find_scene(name) != NULL ? 0 : why_set(why, "there is no scene '%.40s'; there are %s", name, list);
}

/* see plug.h */
int plug_scene(struct plug *p, const char *name, uint32_t delay_s, uint64_t now_ms, struct why *why)
{
    const struct scene *s = find_scene(name);
    if (s == NULL)
        return plug_scene_check(name, why);
    plug_advance(p, now_ms);
    struct meter *m = meter_make(p);
    if (m == NULL)
        return why_set(why, p->shape->has_metering ? "out of memory" : "this device has no meter");
    m->scene = s->mains;
    m->exact = s->exact;
    plug_set_readings(p, s->stuck ? READINGS_STUCK : READINGS_BY_RULE, now_ms);
    if (!s->stuck) {
        struct sample now = meter_measure(p, m);
        meter_report(p, m, &now, false);
    }
    meter_judge_soon(p, m);
    struct load_spec load = s->load;
    load.delay_s = delay_s;
    if (s == &scenes[OVERLOAD])
        load.mw *= metering_of(p)->nominal_mv / 1000;
    if (s->has_load && plug_load(p, 0, &load, now_ms, why) != 0)
        return -1;
    if (s->spike)
        plug_spike(p, now_ms);
    return 0;
}
