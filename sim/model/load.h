/* load.h - what is plugged in: appliances that draw power in the course of time.
 *
 * A load is a small state machine that steps once per second of simulated time. What it draws follows from
 * (seed, device, outlet, second) alone, so that a run can be repeated and a jump of an hour ends where 3600 steps of
 * one second end. */
#ifndef SIM_MODEL_LOAD_H
#define SIM_MODEL_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/say.h"

enum appliance {
    APPLIANCE_NONE,
    APPLIANCE_CONSTANT, /**< watts and power factor as given */
    APPLIANCE_KETTLE,
    APPLIANCE_FRIDGE,
    APPLIANCE_TV,
    APPLIANCE_TV_STANDBY,
    APPLIANCE_WASHING_MACHINE,
    APPLIANCE_LAMP,
    APPLIANCE_LAPTOP,
    APPLIANCE_PHONE,
    APPLIANCE_HEATER,
    APPLIANCE_MONITOR,
    APPLIANCE_ROUTER,
    N_APPLIANCES,
};

/** "kettle", "washing-machine"; never NULL. */
const char *appliance_name(enum appliance a);

/** One line about it, for lists. */
const char *appliance_title(enum appliance a);

/** Equal words, '_' being as good as '-'. */
bool appliance_same_word(const char *a, const char *b);

/** By name. @return 0, or -1 and *out untouched */
int appliance_by_name(enum appliance *out, const char *name);

/** What to plug in. Zero it: nothing. */
struct load_spec {
    enum appliance appliance;
    uint32_t mw;          /**< constant: milliwatts */
    uint16_t pf_permille; /**< constant: power factor, 1 to 1000; 0 is 1000 */
    uint32_t delay_s;     /**< the appliance is switched on (kettle: pressed) this much later */
};

/** "60" watts, "60,0.9" with a power factor, "0.5", or the name of an appliance. @return 0; -1 and why */
int load_parse(struct load_spec *out, const char *text, struct why *why);

/** One load at work. */
struct load {
    struct load_spec spec;
    uint64_t key;                 /* of its chance */
    uint64_t start;               /* second in which it got power */
    uint32_t phase, left_s, n;    /* of its programme; n counts what was drawn from key */
    uint32_t minor, minor_left_s; /* drum, door, burst: what happens beside the programme */
    uint32_t age_s;               /* in this phase */
    int64_t slow;                 /* charge, compressor seconds: what is carried along */
    bool high_mains;              /* 230 V rather than 120 V */
    /* what it draws in this second, at nominal voltage */
    uint32_t mw;
    uint16_t pf_permille;
    uint8_t exponent10; /* P = mw (V / V0)^(exponent10 / 10) */
};

/** Plug it in. key: hash_key() of its place. */
void load_init(struct load *l, const struct load_spec *spec, uint64_t key, bool high_mains);

/** It gets power in this second (after plug-in, after the relay closed): from the start of its programme. A kettle
 * that was not told to boil stays off: `pressed` says that somebody did. */
void load_start(struct load *l, uint64_t second, bool pressed);

/** Go one second on; mw, pf_permille and exponent10 are those of that second. */
void load_step(struct load *l, uint64_t second);

/** Does it draw the same in every second from here on, so that no step is needed? */
bool load_is_flat(const struct load *l);

/** The most it can draw in any second: apparent power in mVA at nominal voltage. */
uint64_t load_peak_mva(const struct load *l);

/** What it draws at v_mv when v0_mv is nominal. */
uint32_t load_power(const struct load *l, uint32_t v_mv, uint32_t v0_mv);

#endif
