/* meter_internal.h - the meter of a plug, for the files that make it up.
 *
 *   meter.c       seconds pass; relays, restarts
 *   instrument.c  from volts and loads to what the chip reads, and when that is reported
 *   energy.c      counters
 *   limits.c      when the relay opens by itself
 *   scenes.c      what is plugged in, and presets for tests */
#ifndef SIM_MODEL_METER_INTERNAL_H
#define SIM_MODEL_METER_INTERNAL_H

#include "mains.h"
#include "plug_internal.h"

enum { MWS_PER_WH = 3600000 };
#define NO_PERIOD INT64_MAX

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
    uint64_t full_at;                 /* overcharge_switch opens the relays, unless more is drawn; NEVER */
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

static inline const struct metering *metering_of(const struct plug *p)
{
    return &p->shape->metering;
}

/* A meter without a relay has the id 0 in its place: always on. */
static inline bool is_on(const struct plug *p, size_t load)
{
    uint8_t relay = metering_of(p)->relays[load];
    return relay == 0 || p->values[p->shape->position[relay] - 1] != 0;
}

static inline bool any_on(const struct plug *p)
{
    for (size_t i = 0; i < metering_of(p)->n_relays; i++) {
        if (is_on(p, i))
            return true;
    }
    return false;
}

static inline uint64_t not_negative(int64_t v)
{
    return v < 0 ? 0 : (uint64_t)v;
}

static inline int64_t power_of_ten(unsigned n)
{
    int64_t v = 1;
    while (n-- > 0)
        v *= 10;
    return v;
}

/* ---- instrument.c ---- */

/* mw and mva of what is on, at this voltage of the mains. */
void meter_sum_loads(struct plug *p, struct meter *m, uint32_t v0_mv);
/* mw, mva, mv and ma of this second. */
void meter_look(struct plug *p, struct meter *m, uint64_t second);
/* What the chip counts of a power: its error and its floor in, its noise out. */
uint64_t meter_counted(const struct plug *p, const struct meter *m, uint64_t mw);
/* What the chip reads in the last second. */
struct sample meter_measure(struct plug *p, struct meter *m);
/* A value of millis in a data point of this scale, rounded: 230100 mV at scale 1 is 2301. */
int64_t meter_scaled(uint64_t milli, unsigned scale);
/* Current, voltage and power together; phase blocks where they have no time of their own. */
void meter_report(struct plug *p, struct meter *m, const struct sample *s, bool always);
void meter_report_phases(struct plug *p, const struct sample *s, bool always);
/* One data point, if it is measured. */
void meter_report_one(struct plug *p, size_t pos, const struct sample *s, bool always);
void meter_judge(struct plug *p, struct meter *m);
/* Something was switched: look again soon. */
void meter_judge_soon(struct plug *p, struct meter *m);

/* ---- energy.c ---- */

void energy_count(struct plug *p, struct meter *m, uint64_t seconds);
void energy_report(struct plug *p, struct meter *m);
/* The next second in which a counter may be reported if the loads stay as they are; NEVER. */
uint64_t energy_next(const struct plug *p, const struct meter *m);
/* Position of the credit, if it counts; -1. */
int energy_prepaid(const struct plug *p);

/* ---- limits.c ---- */

/* Past a limit: the relays open, and p->now_ms is the moment. */
bool limits_trip(struct plug *p, struct meter *m);
/* With overcharge_switch on, a charger has been done for some time: the same. */
bool limits_charged(struct plug *p, struct meter *m);
/* May a limit be passed in some second to come? */
bool limits_may_trip(const struct plug *p, const struct meter *m);

/* ---- meter.c ---- */

/* The load at a relay (0: of a meter without one); NULL: not metered. */
struct load *meter_load_at(struct plug *p, uint32_t relay);
/* It draws at once, so that whoever looks now sees it; counted is from the next second on. */
void meter_start_load(struct meter *m, struct load *l, bool pressed);

#endif
