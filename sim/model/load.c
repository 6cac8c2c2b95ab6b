/* load.c - appliances. Powers in mW, times in seconds.
 *
 * Numbers: our estimates, chosen inside what published one-second measurements show (Pipattanasomporn et al., IEEE
 * Trans. Smart Grid 5(2), 2014); dependence on voltage after McKenna and Keane (2016). */
#include "load.h"
#include "hash.h"

static const struct {
    const char *name, *title;
} appliances[N_APPLIANCES] = {
    [APPLIANCE_NONE] = {"none", "nothing plugged in"},
    [APPLIANCE_CONSTANT] = {"constant", "the watts and power factor you say"},
    [APPLIANCE_KETTLE] = {"kettle", "2200 W (1450 W at 120 V) for 150 to 240 s, then off"},
    [APPLIANCE_FRIDGE] = {"fridge", "compressor 95 to 78 W in cycles, door lamp, defrost heater"},
    [APPLIANCE_TV] = {"tv", "boot 110 W, then 60 to 95 W with the scene"},
    [APPLIANCE_TV_STANDBY] = {"tv-standby", "0.4 W, wakes up to 12 W now and then"},
    [APPLIANCE_WASHING_MACHINE] = {"washing-machine", "a 40 degree programme: heat, drum, rinse, spin"},
    [APPLIANCE_LAMP] = {"lamp", "LED, 7.5 W"},
    [APPLIANCE_LAPTOP] = {"laptop", "charger: 48 W, falling to 9 W when full, bursts of use"},
    [APPLIANCE_PHONE] = {"phone", "charger: 9 W for 60 to 90 min, then 1.5 W"},
    [APPLIANCE_HEATER] = {"heater", "1500 W with a thermostat"},
    [APPLIANCE_MONITOR] = {"monitor", "22 W"},
    [APPLIANCE_ROUTER] = {"router", "8 W"},
};

/* see load.h */
const char *appliance_name(enum appliance a)
{
    return (size_t)a < N_APPLIANCES ? appliances[a].name : "none";
}

/* see load.h */
const char *appliance_title(enum appliance a)
{
    return (size_t)a < N_APPLIANCES ? appliances[a].title : "";
}

/* see load.h */
bool appliance_same_word(const char *a, const char *b)
{
    for (; *a != '\0' || *b != '\0'; a++, b++) {
        if ((*a == '_' ? '-' : *a) != (*b == '_' ? '-' : *b))
            return false;
    }
    return true;
}

/* see load.h */
int appliance_by_name(enum appliance *out, const char *name)
{
    for (int i = 0; i < N_APPLIANCES; i++) {
        if (appliance_same_word(appliances[i].name, name)) {
            *out = (enum appliance)i;
            return 0;
        }
    }
    return -1;
}

/* A decimal number with at most three places, in thousandths; *end is behind it. @return -1: none, or too large */
static int64_t thousandths(const char *text, const char **end)
{
    int64_t v = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9' && v < 1000000; p++)
        v = v * 10 + (*p - '0');
    if (p == text)
        return -1;
    v *= 1000;
    if (*p == '.') {
        int64_t place = 100;
        for (p++; *p >= '0' && *p <= '9' && place > 0; p++, place /= 10)
            v += place * (*p - '0');
    }
    *end = p;
    return v;
}

/* see load.h */
int load_parse(struct load_spec *out, const char *text, struct why *why)
{
    enum { MAX_MW = 100000000 };
    struct load_spec l = {.appliance = APPLIANCE_CONSTANT, .pf_permille = 1000};
    const char *end;
    int64_t mw = thousandths(text, &end);
    if (mw < 0) {
        if (appliance_by_name(&l.appliance, text) != 0 || l.appliance == APPLIANCE_CONSTANT)
            return why_set(why,
                           "expected watts, watts and power factor (60,0.9), or an appliance (kettle, fridge, tv, "
                           "tv-standby, washing-machine, lamp, laptop, phone, heater, monitor, router); got '%.40s'",
                           text);
        *out = l;
        return 0;
    }
    int64_t pf = *end == ',' ? thousandths(end + 1, &end) : 1000;
    if (*end != '\0' || mw > MAX_MW || pf < 1 || pf > 1000)
        return why_set(
            why, "expected at most 100000 watts and a power factor from 0.001 to 1, such as 60,0.9; got '%.40s'",
            text);
    l.mw = (uint32_t)mw;
    l.pf_permille = (uint16_t)pf;
    *out = l;
    return 0;
}

/* ---- tools ---- */

static void draw(struct load *l, uint32_t mw, uint16_t pf_permille, uint8_t exponent10)
{
    l->mw = mw;
    l->pf_permille = pf_permille;
    l->exponent10 = exponent10;
}

/* The next random number of this load, from lo to hi. */
static uint32_t chance(struct load *l, uint32_t lo, uint32_t hi)
{
    return hash_range(hash_at(l->key, l->n++), lo, hi);
}

static void enter(struct load *l, uint32_t phase, uint32_t seconds)
{
    l->phase = phase;
    l->left_s = seconds;
    l->age_s = 0;
}

/* Noise of the scene on the screen: knots every 2 s. */
static uint32_t scene_noise(const struct load *l, uint32_t mw, uint64_t second, uint32_t permille)
{
    uint64_t key = hash_mix(l->key);
    int64_t a = hash_noise(hash_at(key, second / 2), permille),
            b = hash_noise(hash_at(key, second / 2 + 1), permille);
    int64_t noise = second % 2 == 0 ? a : (a + b) / 2;
    return (uint32_t)((int64_t)mw + (int64_t)mw * noise / 1000);
}

/* ---- appliances: one function each; the phase has left_s seconds left when it is called, this one included ---- */

enum { KETTLE_BOILS, KETTLE_OFF };

static void kettle(struct load *l)
{
    if (l->phase == KETTLE_BOILS && l->left_s == 0)
        enter(l, KETTLE_OFF, UINT32_MAX);
    draw(l, l->phase == KETTLE_BOILS ? l->high_mains ? 2200000 : 1450000 : 0, 1000, 20);
}

enum { FRIDGE_RUNS, FRIDGE_RESTS, FRIDGE_HEATS, FRIDGE_DRIPS, FRIDGE_CATCHES_UP };

static void fridge_next(struct load *l)
{
    switch (l->phase) {
    case FRIDGE_RUNS:
    case FRIDGE_CATCHES_UP:
        if (l->slow <= 0) {
            enter(l, FRIDGE_HEATS, chance(l, 720, 1080));
            l->slow = chance(l, 8 * 3600, 12 * 3600); /* of running until the next defrost */
        } else {
            enter(l, FRIDGE_RESTS, chance(l, 1680, 2700));
        }
        break;
    case FRIDGE_RESTS: enter(l, FRIDGE_RUNS, chance(l, 840, 1320)); break;
    case FRIDGE_HEATS: enter(l, FRIDGE_DRIPS, chance(l, 180, 420)); break;
    default: enter(l, FRIDGE_CATCHES_UP, chance(l, 1800, 2700)); break;
    }
}

/* The door opens every 10 min to 2 h (minor 1: open); warm air shortens the rest by a minute. */
static void fridge_door(struct load *l)
{
    if (l->minor_left_s > 0) {
        l->minor_left_s--;
        return;
    }
    l->minor = !l->minor;
    l->minor_left_s = (l->minor ? chance(l, 5, 40) : chance(l, 600, 7200)) - 1;
    if (l->minor && l->phase == FRIDGE_RESTS && l->left_s > 120)
        l->left_s -= 60;
}

static void fridge(struct load *l)
{
    if (l->left_s == 0)
        fridge_next(l);
    fridge_door(l);
    bool runs = l->phase == FRIDGE_RUNS || l->phase == FRIDGE_CATCHES_UP;
    if (runs) {
        uint32_t age = l->age_s < 300 ? l->age_s : 300;
        /* 5 to 8 times the current for half a second: one sample near 500 W, or none if the meter misses it */
        bool inrush = l->age_s == 0 && chance(l, 0, 1) == 0;
        draw(l, inrush ? 500000 : 95000 - 17000 * age / 300, (uint16_t)(650 + 70 * age / 300), 12);
        l->slow--;
    } else if (l->phase == FRIDGE_HEATS) {
        draw(l, 160000, 1000, 20);
    } else {
        draw(l, 1500, 400, 12);
    }
    l->mw += l->minor ? 10000 : 0;
}

static void tv(struct load *l, uint64_t second)
{
    if (l->age_s < 4)
        draw(l, 110000, 920, 0);
    else
        draw(l, scene_noise(l, 60000 + (uint32_t)l->slow, second, 120), 920, 0);
}

/* Wakes up 1 to 3 times a day for a minute or more; phase 1: awake. */
static void tv_standby(struct load *l)
{
    if (l->left_s == 0)
        enter(l, !l->phase, l->phase == 0 ? chance(l, 60, 300) : chance(l, 28800, 86400));
    if (l->phase == 1)
        draw(l, 12000, 500, 0);
    else
        draw(l, 400, 80, 0);
}

enum { WASH_FILL, WASH_HEAT, WASH_DRUM, RINSE_FILL, RINSE_DRUM, RINSE_DRAIN, SPIN_RAMP, SPIN, BRAKE, WASH_DONE };
enum { N_RINSES = 3 };

static void washing_next(struct load *l)
{
    switch (l->phase) {
    case WASH_FILL: enter(l, WASH_HEAT, chance(l, 720, 960)); break;
    case WASH_HEAT: enter(l, WASH_DRUM, chance(l, 2100, 3000)); break;
    case WASH_DRUM: enter(l, RINSE_FILL, chance(l, 120, 180)); break;
    case RINSE_FILL: enter(l, RINSE_DRUM, chance(l, 180, 300)); break;
    case RINSE_DRUM: enter(l, RINSE_DRAIN, chance(l, 60, 90)); break;
    case RINSE_DRAIN:
        if (++l->slow < N_RINSES)
            enter(l, RINSE_FILL, chance(l, 120, 180));
        else
            enter(l, SPIN_RAMP, 60);
        break;
    case SPIN_RAMP: enter(l, SPIN, chance(l, 300, 480)); break;
    case SPIN: enter(l, BRAKE, 10); break;
    default: enter(l, WASH_DONE, UINT32_MAX); break;
    }
}

static void drum(struct load *l)
{
    uint32_t beat = l->age_s % 15;
    if (beat == 0)
        l->minor = chance(l, 120000, 220000);
    if (beat >= 10)
        draw(l, 8000, 550, 10);
    else /* the reversal draws twice as much for half a second */
        draw(l, beat == 0 ? l->minor / 2 * 3 : l->minor, 550, 10);
}

static void washing_machine(struct load *l)
{
    if (l->left_s == 0)
        washing_next(l);
    switch (l->phase) {
    case WASH_FILL:
    case RINSE_FILL:
    case BRAKE: draw(l, 8000, 550, 10); break;
    case WASH_HEAT:
        if (l->left_s <= 120 && l->left_s % 30 < 10) /* pulses near the end */
            draw(l, 8000, 550, 10);
        else
            draw(l, 2000000, 1000, 20);
        break;
    case WASH_DRUM:
    case RINSE_DRUM: drum(l); break;
    case RINSE_DRAIN: draw(l, 35000, 550, 10); break;
    case SPIN_RAMP: draw(l, 150000 + 400000 * l->age_s / 60, 600, 10); break;
    case SPIN: draw(l, 350000, 600, 10); break;
    default: draw(l, 600, 400, 10); break;
    }
}

static void lamp(struct load *l)
{
    uint32_t age = l->age_s < 600 ? l->age_s : 600;
    draw(l, 7500 - 225 * age / 600, l->slow != 0 ? 900 : 550, 0); /* 3 % less when warm */
}

enum { LAPTOP_LOW, LAPTOP_FILLS };
enum { LAPTOP_EXCESS_UW = 39000000, LAPTOP_TAU_S = 1500 };

/* slow: what is drawn above 9 W, in microwatts; minor 1: in use. */
static void laptop(struct load *l)
{
    if (l->phase == LAPTOP_LOW && l->left_s == 0)
        enter(l, LAPTOP_FILLS, UINT32_MAX);
    if (l->phase == LAPTOP_FILLS)
        l->slow -= l->slow / LAPTOP_TAU_S;
    if (l->minor_left_s == 0) {
        l->minor = !l->minor;
        l->minor_left_s = l->minor ? chance(l, 5, 30) : chance(l, 60, 600);
    }
    l->minor_left_s--;
    draw(l, 9000 + (uint32_t)(l->slow / 1000) + (l->minor ? 15000 : 0), 550, 0);
}

static void phone(struct load *l)
{
    if (l->phase == 0 && l->left_s == 0)
        enter(l, 1, UINT32_MAX);
    draw(l, l->phase == 0 ? 9000 : 1500, 500, 0);
}

static void heater(struct load *l)
{
    if (l->left_s == 0)
        enter(l, !l->phase, l->phase == 0 ? chance(l, 180, 600) : chance(l, 240, 480));
    if (l->phase == 0)
        draw(l, 1500000, 1000, 20);
    else
        draw(l, 500, 500, 0);
}

/* ---- the interface ---- */

/* see load.h */
void load_init(struct load *l, const struct load_spec *spec, uint64_t key, bool high_mains)
{
    *l = (struct load){.spec = *spec, .key = key, .high_mains = high_mains};
    if (l->spec.pf_permille == 0 || l->spec.pf_permille > 1000)
        l->spec.pf_permille = 1000;
    draw(l, 0, 1000, 0);
}

/* see load.h */
void load_start(struct load *l, uint64_t second, bool pressed)
{
    l->start = second + l->spec.delay_s;
    l->spec.delay_s = 0; /* it counts once */
    l->minor = l->minor_left_s = 0;
    l->slow = 0;
    enter(l, 0, 0);
    switch (l->spec.appliance) {
    case APPLIANCE_KETTLE:
        if (pressed)
            enter(l, KETTLE_BOILS, chance(l, 150, 240));
        else
            enter(l, KETTLE_OFF, UINT32_MAX);
        break;
    case APPLIANCE_FRIDGE:
        l->slow = chance(l, 1, 12 * 3600);
        l->minor_left_s = chance(l, 60, 7200);
        enter(l, FRIDGE_RUNS, chance(l, 840, 1320));
        break;
    case APPLIANCE_TV: l->slow = hash_range(hash_mix(l->key + 1), 0, 35000); break; /* 60 to 95 W */
    case APPLIANCE_TV_STANDBY: enter(l, 0, chance(l, 3600, 86400)); break;
    case APPLIANCE_WASHING_MACHINE: enter(l, WASH_FILL, chance(l, 120, 180)); break;
    case APPLIANCE_LAMP: l->slow = (int64_t)(hash_mix(l->key + 1) & 1); break; /* cheap or good */
    case APPLIANCE_LAPTOP:
        l->slow = LAPTOP_EXCESS_UW;
        l->minor_left_s = chance(l, 60, 600);
        enter(l, LAPTOP_LOW, chance(l, 2700, 4500));
        break;
    case APPLIANCE_PHONE: enter(l, 0, chance(l, 3600, 5400)); break;
    case APPLIANCE_HEATER: enter(l, 0, chance(l, 240, 480)); break;
    default: break;
    }
}

/* see load.h */
void load_step(struct load *l, uint64_t second)
{
    if (second < l->start) {
        draw(l, 0, 1000, 0);
        return;
    }
    switch (l->spec.appliance) {
    case APPLIANCE_CONSTANT: draw(l, l->spec.mw, l->spec.pf_permille, 0); break;
    case APPLIANCE_KETTLE: kettle(l); break;
    case APPLIANCE_FRIDGE: fridge(l); break;
    case APPLIANCE_TV: tv(l, second); break;
    case APPLIANCE_TV_STANDBY: tv_standby(l); break;
    case APPLIANCE_WASHING_MACHINE: washing_machine(l); break;
    case APPLIANCE_LAMP: lamp(l); break;
    case APPLIANCE_LAPTOP: laptop(l); break;
    case APPLIANCE_PHONE: phone(l); break;
    case APPLIANCE_HEATER: heater(l); break;
    case APPLIANCE_MONITOR: draw(l, scene_noise(l, 22000, second, 10), 550, 0); break;
    case APPLIANCE_ROUTER: draw(l, scene_noise(l, 8000, second, 10), 500, 0); break;
    default: draw(l, 0, 1000, 0); break;
    }
    if (l->left_s != UINT32_MAX && l->left_s > 0)
        l->left_s--;
    if (l->age_s != UINT32_MAX)
        l->age_s++;
}

/* see load.h */
bool load_is_flat(const struct load *l)
{
    switch (l->spec.appliance) {
    case APPLIANCE_NONE: return true;
    case APPLIANCE_CONSTANT: return l->age_s > 0;
    case APPLIANCE_KETTLE: return l->phase == KETTLE_OFF && l->mw == 0;
    default: return false;
    }
}

/* see load.h */
uint64_t load_peak_mva(const struct load *l)
{
    switch (l->spec.appliance) {
    case APPLIANCE_NONE: return 0;
    case APPLIANCE_CONSTANT: return (uint64_t)l->spec.mw * 1000 / l->spec.pf_permille;
    case APPLIANCE_KETTLE:
    case APPLIANCE_WASHING_MACHINE:
    case APPLIANCE_HEATER: return 2200000;
    default: return 800000; /* a fridge that starts */
    }
}

/* see load.h. (V/V0)^n as 1 + nx + n(n-1)/2 x^2 with x = V/V0 - 1: exact for n = 1 and 2, and for n = 1.2 within
 * 2 / 100000 as long as V stays within 10 % of nominal. */
uint32_t load_power(const struct load *l, uint32_t v_mv, uint32_t v0_mv)
{
    if (l->exponent10 == 0 || l->mw == 0)
        return l->mw;
    int64_t n10 = l->exponent10;
    int64_t x = ((int64_t)v_mv - v0_mv) * 1000000 / v0_mv; /* ppm */
    int64_t factor = 1000000 + n10 * x / 10 + n10 * (n10 - 10) * (x * x / 1000000) / 200;
    return factor <= 0 ? 0 : (uint32_t)((int64_t)l->mw * factor / 1000000);
}
