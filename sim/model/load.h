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

enum appliance {
    APPLIANCE_NONE,
    APPLIANCE_CONSTANT, /**< watts and power factor as given */
    APPLIANCE_KETTLE,
    APPLIANCE_FRIDGE,
    APPLIANCE_TV,
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

/** By name. @return 0, or -1 and *out untouched */
int appliance_by_name(enum appliance *out, const char *name);

/** What to plug in. Zero it: nothing. */
struct load_spec {
    enum appliance appliance;
    uint32_t mw;          /**< constant: milliwatts */
    uint16_t pf_permille; /**< constant: power factor, 1 to 1000; 0 is 1000 */
    uint32_t delay_s;     /**< the appliance is switched on (kettle: pressed) this much later */
};

#endif
