/* meter.c - seconds pass for what is behind the relays.
 *
 *   each load that is on steps -> volts, amperes, watts -> energy -> limits -> judgement
 *
 * Where nothing changes from one second to the next (no load, a constant one, a kettle that is off), seconds are
 * skipped up to the next one that may report something; the result is the same. */
#include <stdlib.h>
#include "hash.h"
#include "meter_internal.h"

enum { SOURCE_CALIBRATION = 100, SOURCE_NOISE };

size_t meter_size(const struct meter *m)
{
    return sizeof *m + m->n_loads * sizeof m->loads[0];
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

/* The next second in which something may be reported if the loads stay as they are. */
static uint64_t next_report(const struct plug *p, const struct meter *m)
{
    uint64_t at = energy_next(p, m);
    if (m->full_at < at)
        at = m->full_at;
    if (p->readings == READINGS_BY_RULE && m->judge_at < at)
        at = m->judge_at;
    if (p->readings == READINGS_BY_RULE && m->raw_at < at)
        at = m->raw_at;
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
    m->full_at = NEVER;
    m->judge_at = m->second + l->reporting.judge_s;
    m->raw_at = l->reporting.raw_s > 0 ? m->second + l->reporting.raw_s : NEVER;
    m->n_loads = l->n_relays;
    for (size_t i = 0; i < m->n_loads; i++)
        load_init(&m->loads[i], &(struct load_spec){0}, 0, l->nominal_mv >= 180000);
    p->meter = m;
    meter_limits(p);
    m->period_at = any_on(p) ? (int64_t)m->second : NO_PERIOD;
    /* Power-on: the first reading, which nobody was there to hear. */
    struct sample s = meter_measure(p, m);
    uint16_t n_due = p->n_due;
    meter_report(p, m, &s, false);
    meter_report_phases(p, &s, false);
    if (n_due == 0)
        plug_drop_due(p);
    return m;
}

bool meter_run(struct plug *p, uint64_t until)
{
    struct meter *m = meter_make(p);
    /* Nothing in the loop changes that but a trip, which ends it. */
    bool may_trip = m != NULL && limits_may_trip(p, m);
    while (m != NULL && m->second < until) {
        uint64_t next = m->second + 1;
        if (!may_trip && is_flat(p, m)) {
            meter_sum_loads(p, m, m->mains.nominal_mv);
            next = next_report(p, m);
            if (next > until)
                next = until;
            energy_count(p, m, next - m->second);
            m->second = next;
        } else {
            m->second = next;
            for (size_t i = 0; i < m->n_loads; i++) {
                if (is_on(p, i))
                    load_step(&m->loads[i], next);
            }
            meter_look(p, m, next);
            energy_count(p, m, 1);
        }
        energy_report(p, m);
        if ((may_trip && limits_trip(p, m)) || limits_charged(p, m))
            return true;
        if (p->readings == READINGS_BY_RULE && m->second >= m->judge_at)
            meter_judge(p, m);
        if (p->readings == READINGS_BY_RULE && m->second >= m->raw_at) {
            struct sample s = meter_measure(p, m);
            meter_report_phases(p, &s, true);
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
    return limits_may_trip(p, m) ? m->second + 1 : next_report(p, m);
}

/* ---- what happens to it ---- */

struct load *meter_load_at(struct plug *p, uint32_t relay)
{
    const struct metering *l = metering_of(p);
    for (size_t i = 0; p->meter != NULL && i < l->n_relays; i++) {
        if (l->relays[i] == relay)
            return &p->meter->loads[i];
    }
    return NULL;
}

void meter_start_load(struct meter *m, struct load *l, bool pressed)
{
    load_start(l, m->second, pressed);
    load_step(l, m->second);
}

void meter_relay(struct plug *p, size_t pos, bool on)
{
    struct meter *m = meter_make(p);
    struct load *l = m != NULL ? meter_load_at(p, p->shape->dps[pos].id) : NULL;
    if (l == NULL)
        return;
    if (on) {
        meter_start_load(m, l, false);
        meter_begin_period(p);
    }
    meter_judge_soon(p, m);
}

size_t meter_refresh(struct plug *p, const uint32_t *ids, size_t n)
{
    struct meter *m = meter_make(p);
    if (m == NULL || p->readings == READINGS_STUCK)
        return 0;
    size_t before = p->n_due;
    struct sample s = meter_measure(p, m);
    for (size_t i = 0; i < p->shape->n_dps; i++) {
        bool asked = n == 0;
        for (size_t k = 0; k < n && !asked; k++)
            asked = ids[k] == p->shape->dps[i].id;
        if (asked)
            meter_report_one(p, i, &s, false);
        if (asked && p->shape->dps[i].role == ROLE_PHASE)
            meter_report_phases(p, &s, false);
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
        meter_start_load(m, &m->loads[i], false);
    m->period_at = any_on(p) ? (int64_t)m->second : NO_PERIOD;
    m->full_at = NEVER;
    m->judge_at = m->second + l->reporting.fast_s;
    m->raw_at = l->reporting.raw_s > 0 ? m->second + l->reporting.raw_s : NEVER;
    struct sample s = meter_measure(p, m);
    meter_report(p, m, &s, false);
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
    m->period_at = memory->period_s != NEVER ? (int64_t)m->second - (int64_t)memory->period_s : NO_PERIOD;
    meter_begin_period(p);
}

void meter_begin_period(struct plug *p)
{
    struct meter *m = p->meter;
    if (m != NULL && m->period_at == NO_PERIOD && any_on(p))
        m->period_at = (int64_t)m->second;
}
