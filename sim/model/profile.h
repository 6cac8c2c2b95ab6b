/* profile.h - what a kind of device is: its data points, its meter, its manners on the LAN. Shared, never changed.
 *
 *   profile --- lan        how it answers (query shape, pushes, refresh, device22)
 *           +-- shape      its own data points and its meter
 *           +-- children   gateways: one shape per sub-device, told apart by cid
 *
 * Eight profiles are built in (sim/profiles, one JSON file each); users bring their own in the same format, see
 * docs/profiles.md; and a device of a devices.json becomes one through its mapping. A profile is an immutable value
 * with a counter of its users: ten thousand equal plugs share one.
 *
 * Source of types, ranges and roles: device schemas collected by tuya-cloudcutter (commit a658eaf) and tuya-local;
 * developer.tuya.com K9tp15ceh63gr (socket data points). The file format is ours. */
#ifndef SIM_MODEL_PROFILE_H
#define SIM_MODEL_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/devices.h"
#include "tuyawire/dps.h"
#include "tuyawire/version.h"

/** On the wire: true/false, number, "text", "text", "base64", number. */
enum dp_type { DP_BOOL, DP_INTEGER, DP_ENUM, DP_STRING, DP_RAW, DP_BITMAP };
enum dp_access { DP_RO, DP_RW, DP_WO }; /* device to app; both; app to device only, never in a reply */

/** What the simulator does with a data point. */
enum dp_role {
    ROLE_NONE,
    ROLE_RELAY,
    ROLE_COUNTDOWN,
    ROLE_ENERGY_INCREMENT,
    ROLE_ENERGY_TOTAL,
    ROLE_ENERGY_BALANCE,
    ROLE_CHARGE_ENERGY,
    ROLE_CLEAR_ENERGY,
    ROLE_CURRENT,
    ROLE_POWER,
    ROLE_VOLTAGE,
    ROLE_PHASE,
    ROLE_LEAKAGE,
    ROLE_CALIBRATION,
    ROLE_TEST,
    ROLE_FAULT,
    ROLE_POWER_ON_STATE,
    ROLE_OVERCHARGE,
    ROLE_INDICATOR_MODE,
    ROLE_CHILD_LOCK,
    ROLE_CYCLE_TIMER,
    ROLE_RANDOM_TIMER,
    ROLE_INCHING_TIMER,
    ROLE_PREPAYMENT,
    ROLE_ALARM_SETTINGS,
    ROLE_SERIAL,
    ROLE_WORK_MODE,
    ROLE_BRIGHTNESS,
    ROLE_COLOUR_TEMPERATURE,
    ROLE_COLOUR,
    ROLE_SCENE,
    N_DP_ROLES,
};

/** When a data point is pushed. */
enum dp_report {
    REPORT_CHANGE,    /**< when it changes */
    REPORT_METERING,  /**< by the judgement of struct reporting */
    REPORT_INCREMENT, /**< by the energy period */
    REPORT_INTERVAL,  /**< every raw_s */
    REPORT_SILENT,    /**< never by itself; queries show it */
    REPORT_NEVER,     /**< write-only */
};

enum dp_encoding { ENCODING_NONE, ENCODING_PHASE8, ENCODING_OTHER };

/** One data point of a shape. */
struct dp_spec {
    uint8_t id; /**< 1 to 255 */
    enum dp_type type;
    enum dp_access access;
    enum dp_role role;
    enum dp_report report;
    enum dp_encoding encoding;
    const char *encoding_name; /**< "phase8", "cycle10", ..; "" */
    uint8_t channel;           /**< pairs a countdown with its relay; 0: none */
    uint8_t partner;           /**< position + 1 of the relay's countdown, or of the countdown's relay; 0: none */
    uint8_t outlet;            /**< relay: its ordinal among the relays of the shape, from 0 */
    uint8_t scale;             /**< value / 10^scale is in unit */
    const char *code;          /**< "cur_power" */
    const char *unit;          /**< "W"; "" */
    int64_t min, max, step;    /**< integer */
    size_t n_range;            /**< enum: values; bitmap: names of its bits from 0 */
    const char *const *range;
    const struct tw_span *words; /**< enum: the same as JSON, with quotes */
    int64_t max_len;             /**< string: bytes; raw: bytes before base64; -1: not limited */
    bool has_initial;            /**< false: absent from replies until first reported */
    int64_t initial;             /**< number, truth, bits, or position in range */
    const char *text;            /**< string, raw: initial JSON text with quotes; "\"\"" */
    size_t text_len;
    char key[8]; /**< ready to write: "\"18\":" */
    uint8_t key_len;
};

enum meter_chip { CHIP_BL0937, CHIP_HLW8012, CHIP_BL0942, CHIP_MCU };

/** When measurements are reported; energy.h says what the rules are. */
struct reporting {
    uint32_t judge_s, fast_s;
    uint32_t voltage_pct10, power_pct10; /**< tenths of a percent */
    uint32_t small_load_mw, small_step_mw;
    uint32_t unchanged_s;
    uint32_t raw_s; /**< 0: no periodic block */
    uint32_t energy_period_s, energy_min_wh;
    uint32_t energy_early_s, energy_early_wh;
};

struct metering {
    enum meter_chip chip;
    uint8_t relays[16]; /**< ids whose loads are summed; one 0: a meter without a relay, always on */
    size_t n_relays;
    uint32_t nominal_mv;
    uint32_t nominal_hz;
    uint32_t overcurrent_ma, overvoltage_mv, undervoltage_mv; /**< 0: off */
    uint32_t floor_mw;                                        /**< below it, the chip reads 0 mA and 0 W */
    struct reporting reporting;
};

/** Data points and meter of a device or of a sub-device. */
struct shape {
    const char *category, *product_name, *product_id;
    const struct dp_spec *dps; /**< ascending by id */
    size_t n_dps;
    size_t n_relays;
    bool has_metering;
    struct metering metering;
    uint8_t position[256];       /**< of an id in dps, counted from 1; 0: it has none */
    uint8_t by_role[N_DP_ROLES]; /**< of the first data point with a role, counted from 1; 0: it has none */
    const int32_t *initial;      /**< numbers of all dps, then a byte of flags each: what new plugs share (plug.c) */
};

struct child_spec {
    const char *cid, *name;
    struct shape shape;
};

enum query_shape { QUERY_DPS, QUERY_DEVID_DPS }; /* {"dps":{}}; {"devId":"..","dps":{}} */
enum push_scope { PUSH_CHANGED, PUSH_ALL };
enum update_dps { UPDATE_STATUS, UPDATE_ACK_ONLY, UPDATE_ACK_AND_STATUS, UPDATE_IGNORE };

/** Manners on the LAN. */
struct lan {
    uint32_t max_clients;    /**< 0: no limit */
    uint32_t idle_timeout_s; /**< 0: never */
    enum query_shape query_shape;
    uint32_t ack_retcode; /**< 0 or 1 */
    enum push_scope push_scope;
    bool push_on_no_change;
    enum update_dps update_dps;
    bool device22;
};

struct profile {
    const char *name, *title, *note;
    enum tw_version version; /**< default; a device may speak another */
    uint32_t id_length;      /**< 20 or 22 */
    bool gateway;            /**< requests need a cid */
    struct lan lan;
    struct shape shape;
    const struct child_spec *children;
    size_t n_children;
    struct profile_store *store; /**< owns every text and list above */
};

/** What is wrong with a profile file: every error, one line each, "dps[3] (id 18): unknown key \"colour\"". */
struct problems {
    char text[4096]; /**< lines, NUL-terminated; what does not fit is counted but not shown */
    size_t len;
    size_t n; /**< errors found */
};

/** Read a profile. @return 0 and one reference for the caller; -1 and every problem */
int profile_parse(const struct profile **out, struct problems *problems, const char *text, size_t len);

/** The built-in profiles, in alphabetical order; NULL past the end. */
const char *profile_builtin_name(size_t i);

/** Its file, for users to start from. NULL: no such profile. */
const char *profile_builtin_text(size_t *len, const char *name);

/** One by name, parsed now. @return 0 and one reference; -1: no such profile (or no memory) */
int profile_builtin(const struct profile **out, const char *name);

/** The name of the built-in profile that stands for a Tuya category ("cz", "pc", "kg", "dlq", "zndb", "dj", "wg2",
 * "wgsxj"); "energy-plug" for others: our choice. */
const char *profile_of_category(const char *category);

/** A sub-device of a gateway, for profile_of_devices(). */
struct profile_sub {
    const struct devices_entry *entry;
    struct tw_span values; /**< as below */
};

/** The profile of a device that a user has: data points from its mapping, or from the built-in profile of its
 * category when the mapping was not downloaded; those that only its values show (`values`, an object of data points
 * from a snapshot, may be empty) are added by their type. Roles follow the codes; what the cloud spells power_off,
 * power_on, last is off, on, memory here, as on the LAN.
 * @return 0 and one reference; -1 on lack of memory */
int profile_of_device(const struct profile **out, const struct devices_entry *entry, struct tw_span values,
                      const struct profile_sub *subs, size_t n_subs);

/** Count one user more, one less. NULL is fine. */
const struct profile *profile_ref(const struct profile *p);
void profile_unref(const struct profile *p);

/** The data point of this id, or NULL. */
static inline const struct dp_spec *shape_dp(const struct shape *s, uint32_t id)
{
    return id < 256 && s->position[id] != 0 ? &s->dps[s->position[id] - 1] : NULL;
}

/** Append the mapping as a devices.json holds it: {"1":{"code":"switch_1","type":"Boolean","values":{}},..}. */
void shape_write_mapping(struct tw_text *t, const struct shape *s);

#endif
