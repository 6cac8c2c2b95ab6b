/* common/units.h - what data points mean: names and units of known ones, and scaling without floating point.
 *
 * A data point's number alone says nothing: 18 is milliamperes on a metering plug and a timer text on a wall switch.
 * So meaning comes from a mapping (devices.h) first, and else from the family that the set of numbers betrays.
 * Source: spec energy-dps sections 2, 3 and 5.1. */
#ifndef COMMON_UNITS_H
#define COMMON_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/span.h"

enum units_family {
    UNITS_FAMILY_UNKNOWN,
    UNITS_FAMILY_METERING,    /**< A: 18 mA, 19 0.1 W, 20 0.1 V */
    UNITS_FAMILY_PLAIN,       /**< B: switches and countdowns from 9 */
    UNITS_FAMILY_WALL_SWITCH, /**< W: countdowns from 7, timers as text in 17 to 19 */
    UNITS_FAMILY_LEGACY,      /**< C: 4 mA, 5 0.1 W, 6 0.1 V */
    UNITS_FAMILY_METER,       /**< F: packed phase blocks in 6 to 8 */
    UNITS_FAMILY_BULB,        /**< L: from 20 */
};

struct units_dp {
    const char *code; /**< "cur_power" */
    const char *name; /**< "power", for people */
    const char *unit; /**< "W"; "" for none */
    int scale;        /**< value / 10^scale is in that unit */
};

/** What a standard code stands for; NULL if unknown. "switch_3" and "countdown_2" are found too. */
const struct units_dp *units_by_code(const char *code);

/** What a data point of a family stands for; NULL if unknown. */
const struct units_dp *units_by_id(enum units_family family, uint32_t dp_id);

/** The family that an object of data points, {"1":true,"18":0,..}, betrays. A reply to a query tells, a push of one
 * changed value mostly does not (UNITS_FAMILY_UNKNOWN). */
enum units_family units_family_of(struct tw_span dps);

/** The family by Tuya category of devices.json ("cz", "pc", "kg", "dlq", "dj"). */
enum units_family units_family_of_category(const char *category);

enum { UNITS_NUMBER_MAX = 40 }; /* longest scaled number, NUL in */

/** "2301" and scale 1 is "230.1"; "-5" and 3 is "-0.005"; scale 0 changes nothing. All digits are kept ("2300" is
 * "230.0"). Text that is not an integer of at most 24 digits is copied as it is, cut to fit.
 * @return length of out, which is NUL-terminated */
size_t units_scale(char out[UNITS_NUMBER_MAX], struct tw_span number, int scale);

/** One phase of a DIN meter. */
struct units_phase {
    uint32_t decivolt;    /**< 0.1 V */
    uint32_t milliampere; /**< mA */
    uint32_t watt;        /**< W */
};

/** Read a phase block: base64 of 8 or more bytes, big endian: u16 0.1 V, u24 mA, u24 W; 6 bytes: u16 0.1 V,
 * u16 0.1 A, u16 W; 7: u16 0.1 V, u24 mA, u16 W. It may be a JSON string, in quotes and with
 * escapes.
 * @return 0; -1: not such a block */
int units_phase(struct units_phase *out, struct tw_span base64);

#endif
