/* energy.c - counters in mW s (3 600 000 are 1 Wh), and the data points that show them.
 *
 * What is counted is what the chip sees on average, its calibration error in and its noise out: watts as reported, times
 * time, are kWh as reported. */
#include "meter_internal.h"

/* Steps in which a total moves: 10 Wh, or the unit of its data point where that is coarser.
 * Source: whole units of 0.01 kWh on meters (scale 2 in all 29 device files of tuya-local), each further 0.01 kWh on
 * Zigbee plugs (developer.tuya.com Kb6iu9lqwt0lf). */
static uint64_t total_step_wh(const struct dp_spec *dp)
{
    return dp->scale >= 2 ? 10 : (uint64_t)power_of_ten(3u - dp->scale);
}

static int64_t total_step_units(const struct dp_spec *dp)
{
    return meter_scaled(total_step_wh(dp), dp->scale);
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

void energy_count(struct plug *p, struct meter *m, uint64_t seconds)
{
    uint64_t mws = meter_counted(p, m, m->mw) * seconds;
    m->true_mws += m->mw * seconds;
    m->total_mws += mws;
    m->increment_mws += mws;
    m->debt_mws += mws;
}

int energy_prepaid(const struct plug *p)
{
    int prepaid = plug_find_role(p, ROLE_PREPAYMENT);
    return prepaid >= 0 && p->values[prepaid] != 0 ? plug_find_role(p, ROLE_ENERGY_BALANCE) : -1;
}

void energy_report(struct plug *p, struct meter *m)
{
    move_steps(p, plug_find_role(p, ROLE_ENERGY_TOTAL), &m->total_mws, 1);
    int balance = energy_prepaid(p);
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

uint64_t energy_next(const struct plug *p, const struct meter *m)
{
    const struct reporting *r = &metering_of(p)->reporting;
    uint64_t at = NEVER, rate = meter_counted(p, m, m->mw);
    int total = plug_find_role(p, ROLE_ENERGY_TOTAL), balance = energy_prepaid(p);
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
    return at;
}
