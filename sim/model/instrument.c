/* instrument.c - from the mains through the loads and the chip to the data points.
 *
 *   mains voltage -> P and Q of each load that is on -> their sums -> drop of voltage -> error, noise, floor -> judgement
 *
 * Integers throughout: mV, mA, mW. */
#include <string.h>
#include "common/base64.h"
#include "hash.h"
#include "meter_internal.h"

/* Resistance between the house's transformer and the plug, mOhm. Our estimate: a 2 kW kettle costs 3 V. */
enum { IMPEDANCE_230_MOHM = 350, IMPEDANCE_120_MOHM = 150 };

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
void meter_sum_loads(struct plug *p, struct meter *m, uint32_t v0_mv)
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

void meter_look(struct plug *p, struct meter *m, uint64_t second)
{
    uint32_t v0 = mains_mv(&m->mains, m->scene, second);
    meter_sum_loads(p, m, v0);
    uint64_t ma = m->mva * 1000 / v0;
    uint64_t impedance = m->mains.nominal_mv >= 180000 ? IMPEDANCE_230_MOHM : IMPEDANCE_120_MOHM;
    uint64_t drop = m->exact ? 0 : ma * impedance / 1000;
    m->mv = (uint32_t)(drop < v0 / 2 ? v0 - drop : v0 / 2);
    m->ma = (uint32_t)((m->mva * 1000 + m->mv / 2) / m->mv);
}

/* What the chip counts of a power, its floor and its error in. */
uint64_t meter_counted(const struct plug *p, const struct meter *m, uint64_t mw)
{
    uint64_t seen = m->exact ? mw : (uint64_t)((int64_t)mw + (int64_t)mw * m->error_p / 1000000);
    return seen < metering_of(p)->floor_mw ? 0 : seen;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* What the chip reads in the last second. Noise: our estimates, within what steady loads show (arendst/Tasmota#4727);
 * pulse chips measure voltage and current in turns, so there the voltage is up to 2 s old. */
struct sample meter_measure(struct plug *p, struct meter *m)
{
    const struct metering *metering = metering_of(p);
    meter_look(p, m, m->second);
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

/* A value of millis in a data point of this scale, rounded: 230100 mV at scale 1 is 2301. */
int64_t meter_scaled(uint64_t milli, unsigned scale)
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
void meter_report_phases(struct plug *p, const struct sample *s, bool always)
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

void meter_report_one(struct plug *p, size_t pos, const struct sample *s, bool always)
{
    const struct dp_spec *dp = &p->shape->dps[pos];
    switch (dp->role) {
    case ROLE_VOLTAGE: plug_report(p, pos, meter_scaled(s->mv, dp->scale), always); break;
    case ROLE_POWER: plug_report(p, pos, meter_scaled(s->mw, dp->scale), always); break;
    case ROLE_CURRENT: /* mA at scale 0, A at any other */
        plug_report(p, pos, dp->scale == 0 ? s->ma : meter_scaled(s->ma, dp->scale), always);
        break;
    default: break;
    }
}

/* Current, voltage and power together. */
void meter_report(struct plug *p, struct meter *m, const struct sample *s, bool always)
{
    for (size_t i = 0; i < p->shape->n_dps; i++)
        meter_report_one(p, i, s, always);
    if (metering_of(p)->reporting.raw_s == 0)
        meter_report_phases(p, s, always);
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
void meter_judge(struct plug *p, struct meter *m)
{
    const struct reporting *r = &metering_of(p)->reporting;
    struct sample s = meter_measure(p, m);
    bool worth = is_worth_a_report(r, m, &s);
    bool stale = m->second - m->reported_at >= r->unchanged_s;
    if (worth || stale)
        meter_report(p, m, &s, stale);
    m->judge_at = m->second + (worth ? r->fast_s : r->judge_s);
}

void meter_judge_soon(struct plug *p, struct meter *m)
{
    uint64_t at = m->second + (m->exact ? 1 : metering_of(p)->reporting.fast_s);
    if (at < m->judge_at)
        m->judge_at = at;
}
