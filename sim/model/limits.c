/* limits.c - over-current, voltage, power, credit, a charger that is done: when the relay opens by itself. */
#include <string.h>
#include "meter_internal.h"

/* overcharge_switch opens the relay when a charging load has fallen to almost nothing for some time
 * (developer.tuya.com K9tp15ceh63gr; neither number is published). Our choice: below 3 W, which the vendor's outlet FAQ
 * calls a load that is not recognised at all, for 30 minutes, so that a charger that pauses for minutes goes on. */
enum { FULL_MW = 3000, FULL_S = 1800 };

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
    int balance = energy_prepaid(p);
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

static void open_relays(struct plug *p, const struct meter *m)
{
    const struct metering *l = metering_of(p);
    p->now_ms = m->second * 1000;
    for (size_t i = 0; i < l->n_relays; i++) {
        if (is_on(p, i) && l->relays[i] != 0)
            plug_switch(p, p->shape->position[l->relays[i]] - 1u, false);
    }
}

/* Exceeding a limit opens the relay and sets the fault bit. Source: firmware schemas of tuya-cloudcutter (over_cur,
 * over_vol, lose_vol), developer.tuya.com K9tp15ceh63gr (names of the bits). At once is our choice. */
bool limits_trip(struct plug *p, struct meter *m)
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
    open_relays(p, m);
    set_fault(p, fault);
    return true;
}

bool limits_charged(struct plug *p, struct meter *m)
{
    int pos = plug_find_role(p, ROLE_OVERCHARGE);
    if (pos < 0 || p->values[pos] == 0 || !any_on(p))
        m->full_at = NEVER; /* what never drew anything has not fallen */
    else if (m->mw >= FULL_MW)
        m->full_at = m->second + FULL_S;
    if (m->second < m->full_at)
        return false;
    m->full_at = NEVER;
    open_relays(p, m);
    return true;
}

/* May a limit be passed in some second to come? Loads may draw a quarter more than nominal at high mains. */
bool limits_may_trip(const struct plug *p, const struct meter *m)
{
    static const struct {
        uint32_t low, high; /* percent of nominal, a drop by 15 A in the house's wires included */
    } bounds[] = {[MAINS_NORMAL] = {85, 111}, [MAINS_STEADY] = {100, 100}, [MAINS_BROWNOUT] = {60, 80}};
    const struct limits *l = &m->limits;
    if (!any_on(p) || metering_of(p)->relays[0] == 0)
        return false;
    uint64_t nominal_mv = m->mains.nominal_mv;
    uint64_t low = nominal_mv * bounds[m->scene].low / 100, high = nominal_mv * bounds[m->scene].high / 100;
    if (l->under_mv > low || (l->over_mv != 0 && l->over_mv < high) || energy_prepaid(p) >= 0)
        return true;
    uint64_t peak_mva = 0;
    for (size_t i = 0; i < m->n_loads; i++)
        peak_mva += is_on(p, i) ? load_peak_mva(&m->loads[i]) * 5 / 4 : 0;
    return (l->over_ma != 0 && peak_mva * 1000 / low > l->over_ma) ||
           (l->over_w != 0 && peak_mva > (uint64_t)l->over_w * 1000);
}
