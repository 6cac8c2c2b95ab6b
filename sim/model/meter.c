/* meter.c - from the mains through the loads and the chip to the data points, second by second.
 *
 *   mains voltage -> each load that is switched on -> P, Q -> sum -> drop of voltage -> trip -> energy -> judgement
 *
 * Integers throughout: mV, mA, mW, mW s (3 600 000 are 1 Wh). The energy is counted from what the chip sees on
 * average, its calibration error in and its noise out: watts as reported, times time, is kWh as reported.
 *
 * Where nothing changes from one second to the next (no load, a constant one, a kettle that is off), seconds are
 * skipped up to the next one that may report something; the result is the same. */
#include <stdlib.h>
#include <string.h>
#include "base64.h"
#include "hash.h"
#include "mains.h"
#include "plug_internal.h"

enum { SOURCE_CALIBRATION = 100, SOURCE_NOISE, SOURCE_LOAD = 200 };
#define NO_PERIOD INT64_MAX
enum { MWS_PER_WH = 3600000, SPIKE_MW = 8000000 };

/* Resistance between the house's transformer and the plug, mOhm. Our estimate: a 2 kW kettle costs 3 V. */
enum { IMPEDANCE_230_MOHM = 350, IMPEDANCE_120_MOHM = 150 };

/* Beyond these the relay opens, or, where only an alarm is wanted, a fault bit is set. 0: off. */
struct limits {
    uint32_t over_ma, over_mv, under_mv, over_w;
    bool current_alarms, high_alarms, low_alarms, power_alarms; /* alarm only */
};

struct meter {
    struct mains mains;
    struct limits limits;
    enum mains_scene scene;
    bool exact; /* scene "steady": no noise, no error, no drop */
    uint64_t noise_key;
    int32_t error_v, error_i, error_p; /* calibration, ppm; drawn once */
    uint64_t second;                   /* all up to this one are done */
    uint64_t judge_at, raw_at;         /* seconds; NEVER */
    uint64_t reported_at;
    int64_t period_at;                /* begin of the energy period; NO_PERIOD: waits for the relay */
    uint64_t true_mws;                /* as drawn */
    uint64_t total_mws;               /* as counted and not yet in the total, or in a whole unit of it */
    uint64_t increment_mws, debt_mws; /* not yet reported; not yet taken from the credit */
    uint64_t mw, mva;                 /* drawn in the last second */
    uint32_t mv, ma;
    uint64_t shown_mw; /* as last reported: what the judgement compares with */
    uint32_t shown_mv;
    size_t n_loads;
    struct load loads[]; /* one per relay of metering.relays */
};

struct sample {
    uint32_t mv, ma;
    uint64_t mw;
};

size_t meter_size(const struct meter *m)
{
    return sizeof *m + m->n_loads * sizeof m->loads[0];
}

static const struct metering *metering_of(const struct plug *p)
{
    return &p->shape->metering;
}

/* A meter without a relay has the id 0 in its place: always on. */
static bool is_on(const struct plug *p, size_t load)
{
    uint8_t relay = metering_of(p)->relays[load];
    return relay == 0 || p->values[p->shape->position[relay] - 1] != 0;
}

static bool any_on(const struct plug *p)
{
    for (size_t i = 0; i < metering_of(p)->n_relays; i++) {
        if (is_on(p, i))
            return true;
    }
    return false;
}

static uint64_t isqrt(uint64_t v)
{
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 62; bit != 0; bit >>= 2) {
        if (v >= root + bit) {
            v -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return root;
}

/* tan(acos pf) in ppm */
static uint64_t tangent_ppm(uint32_t pf_permille)
{
    uint64_t sine_ppm = isqrt((1000000u - (uint64_t)pf_permille * pf_permille) * 1000000u);
    return sine_ppm * 1000 / pf_permille;
}

/* ---- the instant ---- */

/* Sum of what is on, at the voltage v0; sums add P and Q, not currents. */
static void sum_loads(struct plug *p, struct meter *m, uint32_t v0_mv)
{
    uint64_t mw = 0, mvar = 0, mva = 0;
    size_t n = 0;
    for (size_t i = 0; i < m->n_loads; i++) {
        const struct load *l = &m->loads[i];
        if (l->mw == 0 || !is_on(p, i))
            continue;
        uint64_t part = load_power(l, v0_mv, m->mains.nominal_mv);
        mw += part;
        mva = part * 1000 / l->pf_permille;
        n++;
        if (m->n_loads > 1)
            mvar += part * tangent_ppm(l->pf_permille) / 1000000;
    }
    m->mw = mw;
    m->mva = n > 1 ? isqrt(mw * mw + mvar * mvar) : mva;
}

static void look(struct plug *p, struct meter *m, uint64_t second)
{
    uint32_t v0 = mains_mv(&m->mains, m->scene, second);
    sum_loads(p, m, v0);
    uint64_t ma = m->mva * 1000 / v0;
    uint64_t impedance = m->mains.nominal_mv >= 180000 ? IMPEDANCE_230_MOHM : IMPEDANCE_120_MOHM;
    uint64_t drop = m->exact ? 0 : ma * impedance / 1000;
    m->mv = (uint32_t)(drop < v0 / 2 ? v0 - drop : v0 / 2);
    m->ma = (uint32_t)((m->mva * 1000 + m->mv / 2) / m->mv);
}

/* What the chip counts of a power, its floor and its error in. */
static uint64_t counted(const struct plug *p, const struct meter *m, uint64_t mw)
{
    uint64_t seen = m->exact ? mw : (uint64_t)((int64_t)mw + (int64_t)mw * m->error_p / 1000000);
    return seen < metering_of(p)->floor_mw ? 0 : seen;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static uint64_t not_negative(int64_t v)
{
    return v < 0 ? 0 : (uint64_t)v;
}

/* What the chip reads in the last second. Noise: our estimates, within what steady loads show (arendst/Tasmota#4727);
 * pulse chips measure voltage and current in turns, so there the voltage is up to 2 s old. */
static struct sample measure(struct plug *p, struct meter *m)
{
    const struct metering *metering = metering_of(p);
    look(p, m, m->second);
    struct sample s = {m->mv, m->ma, m->mw};
    if (!m->exact) {
        bool pulses = metering->chip == CHIP_BL0937 || metering->chip == CHIP_HLW8012;
        if (pulses && m->second % 4 < 2 && m->second >= 2) {
            uint32_t now = mains_mv(&m->mains, m->scene, m->second);
            uint32_t before = mains_mv(&m->mains, m->scene, m->second - m->second % 4 - 1);
            s.mv = (uint32_t)not_negative((int64_t)s.mv + before - now);
        }
        uint64_t h = hash_at(m->noise_key, m->second);
        int64_t mv = (int64_t)s.mv + (int64_t)s.mv * m->error_v / 1000000 + hash_noise(hash_mix(h + 1), 100);
        int64_t ma = (int64_t)s.ma + (int64_t)s.ma * m->error_i / 1000000;
        ma += hash_noise(hash_mix(h + 2), larger(ma * 5 / 1000, 3));
        int64_t mw = (int64_t)s.mw + (int64_t)s.mw * m->error_p / 1000000;
        mw += hash_noise(hash_mix(h + 3), larger(mw * 3 / 1000, 150));
        s = (struct sample){(uint32_t)not_negative(mv), (uint32_t)not_negative(ma), not_negative(mw)};
    }
    if (m->mw == 0 || s.mw < metering->floor_mw)
        s.ma = 0, s.mw = 0; /* 18 and 19 become 0 together (jasonacox/tinytuya#506) */
    return s;
}

/* ---- reports ---- */

static int64_t power_of_ten(unsigned n)
{
    int64_t v = 1;
    while (n-- > 0)
        v *= 10;
    return v;
}

/* A value of millis in a data point of this scale, rounded: 230100 mV at scale 1 is 2301. */
static int64_t scaled(uint64_t milli, unsigned scale)
{
    if (scale >= 3)
        return (int64_t)milli * power_of_ten(scale - 3);
    int64_t divisor = power_of_ten(3 - scale);
    return ((int64_t)milli + divisor / 2) / divisor;
}

/* 8 bytes, big endian: u16 0.1 V, u24 mA, u24 W. Source: thing model in tuya-cloudcutter issue 72, with whole watts as
 * values in the field have them. */
static void report_phase(struct plug *p, size_t pos, const struct sample *s, bool always)
{
    uint64_t v = (s->mv + 50u) / 100, w = (s->mw + 500) / 1000, ma = s->ma;
    v = v > 0xffff ? 0xffff : v;
    const uint8_t block[8] = {(uint8_t)(v >> 8), (uint8_t)v,         (uint8_t)(ma >> 16), (uint8_t)(ma >> 8),
                              (uint8_t)ma,       (uint8_t)(w >> 16), (uint8_t)(w >> 8),   (uint8_t)w};
    char text[16] = "\"";
    size_t len = 1 + base64_encode(text + 1, block, sizeof block);
    text[len++] = '"';
    plug_report_text(p, pos, (struct tw_span){(const uint8_t *)text, len}, always);
}

/* Loads hang on the first phase. */
static void report_phases(struct plug *p, const struct sample *s, bool always)
{
    const struct sample unloaded = {s->mv, 0, 0};
    bool first = true;
    for (size_t i = 0; i < p->shape->n_dps; i++) {
        const struct dp_spec *dp = &p->shape->dps[i];
        if (dp->role != ROLE_PHASE || (dp->encoding != ENCODING_PHASE8 && dp->encoding != ENCODING_NONE))
            continue;
        report_phase(p, i, first ? s : &unloaded, always);
        first = false;
    }
}

static bool is_measured(enum dp_role role)
{
    return role == ROLE_CURRENT || role == ROLE_POWER || role == ROLE_VOLTAGE;
}

static void report_measured(struct plug *p, size_t pos, const struct sample *s, bool always)
{
    const struct dp_spec *dp = &p->shape->dps[pos];
    switch (dp->role) {
    case ROLE_VOLTAGE: plug_report(p, pos, scaled(s->mv, dp->scale), always); break;
    case ROLE_POWER: plug_report(p, pos, scaled(s->mw, dp->scale), always); break;
    case ROLE_CURRENT: /* mA at scale 0, A at any other */
        plug_report(p, pos, dp->scale == 0 ? s->ma : scaled(s->ma, dp->scale), always);
        break;
    default: break;
    }
}

/* Current, voltage and power together. */
static void report(struct plug *p, struct meter *m, const struct sample *s, bool always)
{
    for (size_t i = 0; i < p->shape->n_dps; i++)
        report_measured(p, i, s, always);
    if (metering_of(p)->reporting.raw_s == 0)
        report_phases(p, s, always);
    m->shown_mv = s->mv;
    m->shown_mw = s->mw;
    m->reported_at = m->second;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* Voltage by 2 %, power by 20 %; small loads by 3 W instead. The limits are the profile's.
 * Source: support.tuya.com K8sdy5uqo2zhq (reporting rules); developer.tuya.com Kb6iu9lqwt0lf (small loads). */
static bool is_worth_a_report(const struct reporting *r, const struct meter *m, const struct sample *s)
{
    if (m->exact) /* for tests: every difference */
        return s->mv != m->shown_mv || s->mw != m->shown_mw;
    if (distance(s->mv, m->shown_mv) * 1000 >= (uint64_t)m->shown_mv * r->voltage_pct10 && s->mv != m->shown_mv)
        return true;
    uint64_t change = distance(s->mw, m->shown_mw);
    if (s->mw < r->small_load_mw && m->shown_mw < r->small_load_mw)
        return change > r->small_step_mw;
    return change != 0 && change * 1000 >= m->shown_mw * r->power_pct10;
}

/* Every 30 s; 5 s after a change; unchanged values once an hour. Same source. */
static void judge(struct plug *p, struct meter *m)
{
    const struct reporting *r = &metering_of(p)->reporting;
    struct sample s = measure(p, m);
    bool worth = is_worth_a_report(r, m, &s);
    bool stale = m->second - m->reported_at >= r->unchanged_s;
    if (worth || stale)
        report(p, m, &s, stale);
    m->judge_at = m->second + (worth ? r->fast_s : r->judge_s);
}

static void judge_soon(struct plug *p, struct meter *m)
{
    uint64_t at = m->second + (m->exact ? 1 : metering_of(p)->reporting.fast_s);
    if (at < m->judge_at)
        m->judge_at = at;
}

/* ---- energy ---- */

/* Steps in which a total moves: 10 Wh, or the unit of its data point where that is coarser.
 * Source: whole units of 0.01 kWh on meters (scale 2 in all 29 device files of tuya-local), each further 0.01 kWh on
 * Zigbee plugs (developer.tuya.com Kb6iu9lqwt0lf). */
static uint64_t total_step_wh(const struct dp_spec *dp)
{
    return dp->scale >= 2 ? 10 : (uint64_t)power_of_ten(3u - dp->scale);
}

static int64_t total_step_units(const struct dp_spec *dp)
{
    return scaled(total_step_wh(dp), dp->scale);
}

/* Move whole steps from the counter to the data point. sign: -1 for a credit. */
static void move_steps(struct plug *p, int pos, uint64_t *mws, int sign)
{
    if (pos < 0)
        return;
    const struct dp_spec *dp = &p->shape->dps[pos];
    uint64_t step = total_step_wh(dp) * MWS_PER_WH;
    if (*mws < step)
        return;
    int64_t n = (int64_t)(*mws / step);
    *mws %= step;
    plug_report(p, (size_t)pos, plug_number(p, (size_t)pos) + sign * n * total_step_units(dp), false);
}

/* The increment since the last report: between 10 and 30 minutes when it is 0.1 kWh, from 30 minutes on when it is
 * 0.001 kWh; then, or when the relay closes, a new period begins.
 * Source: developer.tuya.com Kb6iu9lqwt0lf; jasonacox/tinytuya#282 (a period of 30 minutes from "on"). */
static void report_increment(struct plug *p, struct meter *m)
{
    int pos = plug_find_role(p, ROLE_ENERGY_INCREMENT);
    if (pos < 0 || m->period_at == NO_PERIOD)
        return;
    const struct reporting *r = &metering_of(p)->reporting;
    uint64_t elapsed = (uint64_t)((int64_t)m->second - m->period_at);
    bool late = elapsed >= r->energy_period_s && m->increment_mws >= (uint64_t)r->energy_min_wh * MWS_PER_WH;
    bool early = elapsed >= r->energy_early_s && m->increment_mws >= (uint64_t)r->energy_early_wh * MWS_PER_WH;
    if (late || early) {
        unsigned scale = p->shape->dps[pos].scale;
        uint64_t unit = scale >= 3 ? MWS_PER_WH / (uint64_t)power_of_ten(scale < 6 ? scale - 3 : 3)
                                   : MWS_PER_WH * (uint64_t)power_of_ten(3 - scale);
        plug_report(p, (size_t)pos, (int64_t)(m->increment_mws / unit), true);
        m->increment_mws %= unit;
        m->period_at = any_on(p) ? (int64_t)m->second : NO_PERIOD;
    } else if (elapsed >= r->energy_period_s && !any_on(p)) {
        m->period_at = NO_PERIOD;
    }
}

static void count_energy(struct plug *p, struct meter *m, uint64_t seconds)
{
    uint64_t mws = counted(p, m, m->mw) * seconds;
    m->true_mws += m->mw * seconds;
    m->total_mws += mws;
    m->increment_mws += mws;
    m->debt_mws += mws;
}

static int prepaid_balance(const struct plug *p)
{
    int prepaid = plug_find_role(p, ROLE_PREPAYMENT);
    return prepaid >= 0 && p->values[prepaid] != 0 ? plug_find_role(p, ROLE_ENERGY_BALANCE) : -1;
}

static void report_energy(struct plug *p, struct meter *m)
{
    move_steps(p, plug_find_role(p, ROLE_ENERGY_TOTAL), &m->total_mws, 1);
    int balance = prepaid_balance(p);
    if (balance >= 0)
        move_steps(p, balance, &m->debt_mws, -1);
    else
        m->debt_mws = 0;
    report_increment(p, m);
}

void meter_clear(struct plug *p)
{
    int total = plug_find_role(p, ROLE_ENERGY_TOTAL);
    if (total >= 0)
        plug_report(p, (size_t)total, 0, false);
    if (p->meter != NULL)
        p->meter->total_mws = 0;
}

void meter_charge(struct plug *p, int64_t amount)
{
    int balance = plug_find_role(p, ROLE_ENERGY_BALANCE);
    if (balance >= 0)
        plug_report(p, (size_t)balance, plug_number(p, (size_t)balance) + amount, false);
}

/* ---- trips ---- */

static void set_fault(struct plug *p, const char *const *names)
{
    int pos = plug_find_role(p, ROLE_FAULT);
    if (pos < 0)
        return;
    const struct dp_spec *dp = &p->shape->dps[pos];
    for (; *names != NULL; names++) {
        for (size_t bit = 0; bit < dp->n_range && bit < 31; bit++) {
            if (strcmp(dp->range[bit], *names) == 0) {
                plug_report(p, (size_t)pos, plug_number(p, (size_t)pos) | (int64_t)1 << bit, false);
                return;
            }
        }
    }
}

/* One entry of the alarm settings: number, action (1: trip), threshold. Numbers of set 2: 1 over-current (A), 3
 * over-voltage (V), 4 under-voltage (V); of set 1: 7 power (kW). Source: thing model in tuya-cloudcutter issue 72; logs in
 * Koenkk/zigbee2mqtt issues 32902 and 26162. */
static void read_alarm(struct limits *l, bool second_set, const uint8_t b[4])
{
    uint32_t threshold = (uint32_t)b[2] << 8 | b[3];
    bool alarms = b[1] == 0;
    if (second_set && b[0] == 1) {
        l->over_ma = threshold * 1000;
        l->current_alarms = alarms;
    } else if (second_set && b[0] == 3) {
        l->over_mv = threshold * 1000;
        l->high_alarms = alarms;
    } else if (second_set && b[0] == 4) {
        l->under_mv = threshold * 1000;
        l->low_alarms = alarms;
    } else if (!second_set && b[0] == 7) {
        l->over_w = threshold * 1000;
        l->power_alarms = alarms;
    }
}

void meter_limits(struct plug *p)
{
    enum { ALARM_LEN = 4 };
    if (p->meter == NULL)
        return;
    const struct metering *m = metering_of(p);
    struct limits *l = &p->meter->limits;
    *l = (struct limits){.over_ma = m->overcurrent_ma, .over_mv = m->overvoltage_mv, .under_mv = m->undervoltage_mv};
    for (size_t pos = 0; pos < p->shape->n_dps; pos++) {
        const struct dp_spec *dp = &p->shape->dps[pos];
        uint8_t bytes[PLUG_BYTES_MAX];
        size_t n = dp->role == ROLE_ALARM_SETTINGS ? plug_bytes(p, pos, bytes) : 0;
        for (size_t at = 0; at + ALARM_LEN <= n; at += ALARM_LEN)
            read_alarm(l, strcmp(dp->code, "alarm_set_2") == 0, bytes + at);
    }
}

/* The limit that is passed: the names of its fault bit, and whether it only alarms; NULL: none. */
static const char *const *passed_limit(const struct plug *p, const struct meter *m, bool *alarms)
{
    static const char *const over_current[] = {"ov_cr", NULL}, *const over_voltage[] = {"ov_vol", NULL},
                             *const under_voltage[] = {"ls_vol", "undervoltage_alarm", NULL},
                             *const over_power[] = {"high_power_alarm", "ov_pwr", NULL},
                             *const no_credit[] = {"no_balance_alarm", NULL};
    const struct limits *l = &m->limits;
    int balance = prepaid_balance(p);
    *alarms = l->current_alarms;
    if (l->over_ma != 0 && m->ma > l->over_ma)
        return over_current;
    *alarms = l->high_alarms;
    if (l->over_mv != 0 && m->mv > l->over_mv)
        return over_voltage;
    *alarms = l->low_alarms;
    if (l->under_mv != 0 && m->mv < l->under_mv)
        return under_voltage;
    *alarms = l->power_alarms;
    if (l->over_w != 0 && m->mw > (uint64_t)l->over_w * 1000)
        return over_power;
    *alarms = false;
    return balance >= 0 && plug_number(p, (size_t)balance) <= p->shape->dps[balance].min ? no_credit : NULL;
}

/* Exceeding a limit opens the relay and sets the fault bit. Source: firmware schemas of tuya-cloudcutter (over_cur,
 * over_vol, lose_vol), developer.tuya.com K9tp15ceh63gr (names of the bits). At once is our choice. */
static bool trip(struct plug *p, struct meter *m)
{
    const struct metering *l = metering_of(p);
    bool alarms;
    const char *const *fault = any_on(p) && l->relays[0] != 0 ? passed_limit(p, m, &alarms) : NULL;
    if (fault == NULL)
        return false;
    if (alarms) {
        set_fault(p, fault);
        return false;
    }
    p->now_ms = m->second * 1000;
    for (size_t i = 0; i < l->n_relays; i++) {
        if (is_on(p, i) && l->relays[i] != 0)
            plug_switch(p, p->shape->position[l->relays[i]] - 1u, false);
    }
    set_fault(p, fault);
    return true;
}

/* May a limit be passed in some second to come? Loads may draw a quarter more than nominal at high mains. */
static bool may_trip(const struct plug *p, const struct meter *m)
{
    static const struct {
        uint32_t low, high; /* percent of nominal, a drop by 15 A in the house's wires included */
    } bounds[] = {[MAINS_NORMAL] = {85, 111}, [MAINS_STEADY] = {100, 100}, [MAINS_BROWNOUT] = {60, 80}};
    const struct limits *l = &m->limits;
    if (!any_on(p) || metering_of(p)->relays[0] == 0)
        return false;
    uint64_t nominal_mv = m->mains.nominal_mv;
    uint64_t low = nominal_mv * bounds[m->scene].low / 100, high = nominal_mv * bounds[m->scene].high / 100;
    if (l->under_mv > low || (l->over_mv != 0 && l->over_mv < high) || prepaid_balance(p) >= 0)
        return true;
    uint64_t peak_mva = 0;
    for (size_t i = 0; i < m->n_loads; i++)
        peak_mva += is_on(p, i) ? load_peak_mva(&m->loads[i]) * 5 / 4 : 0;
    return (l->over_ma != 0 && peak_mva * 1000 / low > l->over_ma) ||
           (l->over_w != 0 && peak_mva > (uint64_t)l->over_w * 1000);
}

/* ---- time ---- */

static bool is_flat(const struct plug *p, const struct meter *m)
{
    for (size_t i = 0; i < m->n_loads; i++) {
        if (is_on(p, i) && !load_is_flat(&m->loads[i]))
            return false;
    }
    return true;
}

/* Seconds until a counter that grows by `rate` reaches `goal`. */
static uint64_t reach(uint64_t have, uint64_t goal, uint64_t rate)
{
    if (have >= goal)
        return 1;
    return rate == 0 ? NEVER : (goal - have + rate - 1) / rate;
}

static void earliest(uint64_t *at, uint64_t candidate)
{
    if (candidate < *at)
        *at = candidate;
}

static uint64_t later(uint64_t second, uint64_t seconds)
{
    return seconds == NEVER ? NEVER : second + seconds;
}

/* The next second, after m->second, in which something may be reported if the loads stay as they are. */
static uint64_t next_report(const struct plug *p, const struct meter *m)
{
    const struct reporting *r = &metering_of(p)->reporting;
    uint64_t at = NEVER, rate = counted(p, m, m->mw);
    if (p->readings == READINGS_BY_RULE) {
        earliest(&at, m->judge_at);
        earliest(&at, m->raw_at);
    }
    int total = plug_find_role(p, ROLE_ENERGY_TOTAL), balance = prepaid_balance(p);
    if (total >= 0)
        earliest(&at, later(m->second, reach(m->total_mws, total_step_wh(&p->shape->dps[total]) * MWS_PER_WH, rate)));
    if (balance >= 0)
        earliest(&at,
                 later(m->second, reach(m->debt_mws, total_step_wh(&p->shape->dps[balance]) * MWS_PER_WH, rate)));
    if (m->period_at != NO_PERIOD && plug_find_role(p, ROLE_ENERGY_INCREMENT) >= 0) {
        uint64_t early = not_negative(m->period_at + r->energy_early_s);
        uint64_t end = not_negative(m->period_at + r->energy_period_s);
        uint64_t full = later(m->second, reach(m->increment_mws, (uint64_t)r->energy_early_wh * MWS_PER_WH, rate));
        uint64_t least = later(m->second, reach(m->increment_mws, (uint64_t)r->energy_min_wh * MWS_PER_WH, rate));
        earliest(&at, full > early ? full : early);
        if (m->second < end)
            earliest(&at, end);
        else
            earliest(&at, least);
    }
    return at > m->second ? at : m->second + 1;
}

struct meter *meter_make(struct plug *p)
{
    if (p->meter != NULL || !p->shape->has_metering || !plug_own(p))
        return p->meter;
    const struct metering *l = metering_of(p);
    struct meter *m = calloc(1, sizeof *m + l->n_relays * sizeof m->loads[0]);
    if (m == NULL)
        return NULL;
    mains_init(&m->mains, p->world->seed, p->world->epoch_s, l->nominal_mv);
    m->noise_key = hash_key(p->world->seed, p->number, SOURCE_NOISE);
    /* One sigma of 0.5 %, 1.5 %, 1.5 %, within the accuracy that is promised: 5 % for pulse chips, 3 % for serial ones.
     * Source of the promise: developer.tuya.com Kaunfo4am6icc; of the sigmas: our estimate. */
    int64_t limit = l->chip == CHIP_BL0937 || l->chip == CHIP_HLW8012 ? 50000 : 30000;
    int32_t *errors[] = {&m->error_v, &m->error_i, &m->error_p};
    for (size_t i = 0; i < 3; i++) {
        uint64_t h = hash_at(hash_key(p->world->seed, p->number, SOURCE_CALIBRATION), i);
        int64_t e = hash_noise(h, i == 0 ? 5000 : 15000);
        *errors[i] = (int32_t)(e > limit ? limit : e < -limit ? -limit : e);
    }
    m->second = p->now_ms / 1000;
    m->judge_at = m->second + l->reporting.judge_s;
    m->raw_at = l->reporting.raw_s > 0 ? m->second + l->reporting.raw_s : NEVER;
    m->n_loads = l->n_relays;
    for (size_t i = 0; i < m->n_loads; i++)
        load_init(&m->loads[i], &(struct load_spec){0}, 0, l->nominal_mv >= 180000);
    p->meter = m;
    meter_limits(p);
    m->period_at = any_on(p) ? (int64_t)m->second : NO_PERIOD;
    /* Power-on: the first reading, which nobody was there to hear. */
    struct sample s = measure(p, m);
    uint16_t n_due = p->n_due;
    report(p, m, &s, false);
    report_phases(p, &s, false);
    if (n_due == 0)
        plug_drop_due(p);
    return m;
}

bool meter_run(struct plug *p, uint64_t until)
{
    struct meter *m = meter_make(p);
    while (m != NULL && m->second < until) {
        uint64_t next = m->second + 1;
        if (is_flat(p, m) && !may_trip(p, m)) {
            sum_loads(p, m, m->mains.nominal_mv);
            next = next_report(p, m);
            if (next > until)
                next = until;
            count_energy(p, m, next - m->second);
            m->second = next;
        } else {
            m->second = next;
            for (size_t i = 0; i < m->n_loads; i++) {
                if (is_on(p, i))
                    load_step(&m->loads[i], next);
            }
            look(p, m, next);
            count_energy(p, m, 1);
        }
        report_energy(p, m);
        if (may_trip(p, m) && trip(p, m))
            return true;
        if (p->readings == READINGS_BY_RULE && m->second >= m->judge_at)
            judge(p, m);
        if (p->readings == READINGS_BY_RULE && m->second >= m->raw_at) {
            struct sample s = measure(p, m);
            report_phases(p, &s, true);
            m->raw_at = m->second + metering_of(p)->reporting.raw_s;
        }
    }
    return false;
}

uint64_t meter_deadline(const struct plug *p)
{
    const struct meter *m = p->meter;
    if (m == NULL)
        return p->now_ms / 1000 + 1;
    return may_trip(p, m) ? m->second + 1 : next_report(p, m);
}

/* ---- what happens to it ---- */

static struct load *load_at(struct plug *p, uint32_t relay)
{
    const struct metering *l = metering_of(p);
    for (size_t i = 0; p->meter != NULL && i < l->n_relays; i++) {
        if (l->relays[i] == relay)
            return &p->meter->loads[i];
    }
    return NULL;
}

/* It draws at once, so that whoever looks now sees it; counted is from the next second on. */
static void start_load(struct meter *m, struct load *l, bool pressed)
{
    load_start(l, m->second, pressed);
    load_step(l, m->second);
}

void meter_relay(struct plug *p, size_t pos, bool on)
{
    struct meter *m = meter_make(p);
    struct load *l = m != NULL ? load_at(p, p->shape->dps[pos].id) : NULL;
    if (l == NULL)
        return;
    if (on) {
        start_load(m, l, false);
        if (m->period_at == NO_PERIOD)
            m->period_at = (int64_t)m->second;
    }
    judge_soon(p, m);
}

size_t meter_refresh(struct plug *p, const uint32_t *ids, size_t n)
{
    struct meter *m = meter_make(p);
    if (m == NULL || p->readings == READINGS_STUCK)
        return 0;
    size_t before = p->n_due;
    struct sample s = measure(p, m);
    for (size_t i = 0; i < p->shape->n_dps; i++) {
        bool asked = n == 0;
        for (size_t k = 0; k < n && !asked; k++)
            asked = ids[k] == p->shape->dps[i].id;
        if (asked && is_measured(p->shape->dps[i].role))
            report_measured(p, i, &s, false);
        if (asked && p->shape->dps[i].role == ROLE_PHASE)
            report_phases(p, &s, false);
    }
    m->shown_mv = s.mv;
    m->shown_mw = s.mw;
    return p->n_due - before;
}

/* Increments are kept in flash; appliances begin anew. */
void meter_power_cycle(struct plug *p)
{
    struct meter *m = p->meter;
    if (m == NULL)
        return;
    const struct metering *l = metering_of(p);
    for (size_t i = 0; i < m->n_loads; i++)
        start_load(m, &m->loads[i], false);
    m->period_at = any_on(p) ? (int64_t)m->second : NO_PERIOD;
    m->judge_at = m->second + l->reporting.fast_s;
    m->raw_at = l->reporting.raw_s > 0 ? m->second + l->reporting.raw_s : NEVER;
    struct sample s = measure(p, m);
    report(p, m, &s, false);
}

static void plug_in(struct plug *p, struct load *place, uint32_t relay, const struct load_spec *spec, bool pressed)
{
    struct meter *m = p->meter;
    uint64_t key = hash_key(p->world->seed, p->number, SOURCE_LOAD + (uint64_t)relay);
    load_init(place, spec, hash_mix(key ^ (uint64_t)spec->appliance), m->mains.nominal_mv >= 180000);
    start_load(m, place, pressed);
    judge_soon(p, m);
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
    struct load *place = load_at(p, relay);
    if (place == NULL)
        return why_set(why, "data point %u is no metered outlet of this device", (unsigned)relay);
    plug_in(p, place, relay, load, true);
    return 0;
}

void meter_restore_load(struct plug *p, uint32_t relay, const struct load_spec *load)
{
    struct load *place = meter_make(p) != NULL ? load_at(p, relay) : NULL;
    if (place != NULL)
        plug_in(p, place, relay, load, false);
}

const struct load_spec *meter_load(const struct plug *p, uint32_t relay)
{
    const struct load *l = load_at((struct plug *)(uintptr_t)p, relay);
    return l != NULL ? &l->spec : NULL;
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
    look(p, m, m->second);
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
    struct sample s = measure(p, m);
    s.mw = SPIKE_MW;
    report(p, m, &s, false);
    judge_soon(p, m);
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

/* see plug.h */
int plug_scene(struct plug *p, const char *name, uint32_t delay_s, uint64_t now_ms, struct why *why)
{
    const struct scene *s = NULL;
    for (size_t i = 0; i < N_SCENES; i++) {
        if (appliance_same_word(scenes[i].name, name) || (i == 2 && appliance_same_word("kettle-at", name)))
            s = &scenes[i];
    }
    if (s == NULL)
        return why_set(why, "there is no scene \"%.40s\": see the list", name);
    plug_advance(p, now_ms);
    struct meter *m = meter_make(p);
    if (m == NULL)
        return why_set(why, p->shape->has_metering ? "out of memory" : "this device has no meter");
    m->scene = s->mains;
    m->exact = s->exact;
    plug_set_readings(p, s->stuck ? READINGS_STUCK : READINGS_BY_RULE, now_ms);
    if (!s->stuck) {
        struct sample now = measure(p, m);
        report(p, m, &now, false);
    }
    judge_soon(p, m);
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

/* ---- memory ---- */

struct meter_memory meter_remember(const struct plug *p)
{
    const struct meter *m = p->meter;
    if (m == NULL)
        return (struct meter_memory){0, 0, 0, 0, NEVER, MAINS_NORMAL};
    uint64_t period = m->period_at == NO_PERIOD ? NEVER : (uint64_t)((int64_t)m->second - m->period_at);
    return (struct meter_memory){m->true_mws, m->total_mws, m->increment_mws, m->debt_mws, period, m->scene};
}

void meter_recall(struct plug *p, const struct meter_memory *memory)
{
    struct meter *m = meter_make(p);
    if (m == NULL)
        return;
    m->true_mws = memory->true_mws;
    m->total_mws = memory->total_mws;
    m->increment_mws = memory->increment_mws;
    m->debt_mws = memory->debt_mws;
    m->scene = (enum mains_scene)memory->mains;
    m->exact = m->scene == MAINS_STEADY;
    if (memory->period_s != NEVER)
        m->period_at = (int64_t)m->second - (int64_t)memory->period_s;
}
