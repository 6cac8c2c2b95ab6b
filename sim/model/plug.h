/* plug.h - one plug, as a pure model: data points, relay, countdown, timers and energy. No I/O, no clock, no chance.
 *
 *     network, button -> plug_apply(), plug_set(), plug_press(), plug_refresh()
 *     time            -> plug_advance()             plug_deadline()  -> when to call it again
 *     replies         <- plug_write(), plug_write_ids()
 *     pushes          <- plug_take_due()
 *
 * A plug is the data points of one device or of one sub-device; a gateway is a device with a plug per cid (fleet.h).
 * Everything follows from (world.seed, number, the calls and their now_ms): the same run twice gives the same bytes,
 * and advancing by an hour at once gives what 3600 steps of a second give.
 *
 * Time is milliseconds of simulated time, never decreasing; calls that take now_ms advance the plug to it first.
 * An idle plug costs memory and nothing else: whoever has no client on it need not ask for its deadline, the next
 * call catches up.
 *
 * What a query shows is what the plug last *reported*: measurements follow the reporting rules and are up to an hour
 * old, as on the real thing (make-all/tuya-local#3, jasonacox/tuyapower#34). plug_live() tells the truth. */
#ifndef SIM_MODEL_PLUG_H
#define SIM_MODEL_PLUG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/say.h"
#include "load.h"
#include "profile.h"
#include "tuyawire/dps.h"

/** What all plugs of one run share; must outlive them. */
struct plug_world {
    uint64_t seed;
    int64_t epoch_s; /**< local wall clock (seconds since 1970) when now_ms was 0: day swing of the mains, timers */
};

struct plug;

/** @param shape   borrowed: its profile must outlive the plug
 * @param number  of the device in its world: individual noise, calibration and habits
 * @param now_ms  power-on
 * @return 0, or -1: out of memory */
int plug_new(struct plug **out, const struct shape *shape, const struct plug_world *world, uint32_t number,
             uint64_t now_ms);
void plug_free(struct plug *p); /* NULL is fine */
const struct shape *plug_shape(const struct plug *p);
uint32_t plug_number_of(const struct plug *p); /* as given to plug_new() */

/* ---- Data points in ---- */

/** What became of one data point of a control. Source: the reactions are those of TuyaOpen dp_schema.c (af95fd24)
 * and of what plugs do with what it lets through. */
enum plug_outcome {
    PLUG_APPLIED,      /**< changed, and due to be pushed (write-only ones are not) */
    PLUG_UNCHANGED,    /**< had that value; not due: plug_mark() it if this device repeats itself */
    PLUG_ASKED,        /**< null, "tell me": not due either, plug_mark() it for device22 */
    PLUG_UNKNOWN,      /**< no such data point: skipped */
    PLUG_WRONG_TYPE,   /**< skipped */
    PLUG_NOT_IN_RANGE, /**< not one of the enum's values: skipped */
    PLUG_OUT_OF_RANGE, /**< integer or length outside its range: taken by the SDK, dropped by the application */
    PLUG_READ_ONLY,    /**< ignored */
    PLUG_NO_MEMORY,    /**< unchanged */
};

/** Apply one data point of a control. Switching a relay cancels its countdown; a countdown counts from now_ms. */
enum plug_outcome plug_apply(struct plug *p, const struct tw_dp *dp, uint64_t now_ms);

/** The same with the hand of the operator (control API): read-only ones too, and null makes it absent. */
enum plug_outcome plug_set(struct plug *p, const struct tw_dp *dp, uint64_t now_ms);

/** "applied", "unchanged", "unknown", .. for journals and tests. */
const char *plug_outcome_name(enum plug_outcome o);

/** Press the button of a relay. @param relay  its id; 0: the first one. @return false: locked, or no such relay */
bool plug_press(struct plug *p, uint32_t relay, uint64_t now_ms);

/** Command 0x12: measure now. Measurements among ids (n = 0: all) take the live values, those that changed become
 * due; relays and ids it does not have are passed over. @return how many became due */
size_t plug_refresh(struct plug *p, const uint32_t *ids, size_t n, uint64_t now_ms);

/* ---- Data points out: objects like {"1":true,"18":0}, ascending by id ---- */

/** All that were reported and may be read, as of the last call that took now_ms. Cheap: no formatting library, no
 * allocation. @return how many; 0 writes {} */
size_t plug_write(const struct plug *p, struct tw_text *t);

/** Those of these ids that exist, were reported, and may be read. */
size_t plug_write_ids(const struct plug *p, struct tw_text *t, const uint32_t *ids, size_t n);

/** The JSON text of one value. @return false, nothing written: not there, absent or write-only */
bool plug_write_value(const struct plug *p, struct tw_text *t, uint32_t id);

/** Is anything due to be pushed? */
bool plug_has_due(const struct plug *p);

/** Take what is due, at most max of them (0: all; others stay due). @return how many, 0 writes nothing at all.
 * When t overflows, nothing is taken. */
size_t plug_take_due(struct plug *p, struct tw_text *t, size_t max);

void plug_mark(struct plug *p, uint32_t id); /* due, if it may be read and was reported */
void plug_drop_due(struct plug *p);          /* nobody was listening */

/* ---- Time ---- */

void plug_advance(struct plug *p, uint64_t now_ms);

/** When plug_advance() may next have something to push; UINT64_MAX: never. */
uint64_t plug_deadline(const struct plug *p);

/** The relay state is in flash 5 s after switching; power returns at once: relays as relay_status says, countdowns
 * gone, appliances from their start. Nothing is due: whoever was connected is not any more. */
void plug_power_cycle(struct plug *p, uint64_t now_ms);

/* ---- Energy ---- */

/** Plug something into an outlet. @param relay  id; 0: the first metered one.
 * @return 0; -1 and why: no meter, no such outlet, watts out of range (100 kW), out of memory */
int plug_load(struct plug *p, uint32_t relay, const struct load_spec *load, uint64_t now_ms, struct why *why);

/** Can something be plugged in at this relay? @param relay  id; 0: the first metered one, and always true */
bool plug_has_outlet(const struct plug *p, uint32_t relay);

/** What is plugged in there (appliance, mw, pf); NONE if nothing. */
struct load_spec plug_load_of(const struct plug *p, uint32_t relay);

/** Presets for tests, by name (plug_scene_name() lists them): "normal"; "steady" (nominal volts, exact, no noise);
 * "kettle"; "fridge-day"; "washing-machine"; "standby"; "overload" (23 A: trip, fault bit 0); "brownout"; "stuck"
 * (readings frozen for good); "spike" (one sample of 8000 W at a load of 3 W). "normal" and "steady" leave the load
 * as it is. @param delay_s  kettle: when it is pressed. @return as plug_load() */
int plug_scene(struct plug *p, const char *name, uint32_t delay_s, uint64_t now_ms, struct why *why);
const char *plug_scene_name(size_t i); /* NULL past the end */

/** Is there such a scene? @return 0; -1 and why, which names them all */
int plug_scene_check(const char *name, struct why *why);

/** How measurements come out. */
enum plug_readings {
    READINGS_BY_RULE, /**< the documented reporting rules */
    READINGS_ON_ASK,  /**< frozen until plug_refresh(): quirk Q16 */
    READINGS_STUCK,   /**< frozen for good, until a power cycle (rospogrigio/localtuya#370) */
};
void plug_set_readings(struct plug *p, enum plug_readings r, uint64_t now_ms);

/** One absurd sample now (openshwprojects/OpenBK7231T_App#336): quirk Q40. */
void plug_spike(struct plug *p, uint64_t now_ms);

/** Make a data point absent until it is next reported: quirk Q34. */
void plug_hide(struct plug *p, uint32_t id);

/** What a perfect instrument would read. */
struct plug_live {
    bool metered;
    uint32_t mv, ma; /**< at the outlet */
    uint64_t mw;     /**< active power of the metered outlets that are on */
    uint32_t pf_permille;
    uint64_t total_mws; /**< energy since the plug was made, milliwatt seconds: 3 600 000 are 1 Wh */
};
struct plug_live plug_live(struct plug *p, uint64_t now_ms);

/** Bytes of memory of this plug, shared data not counted. */
size_t plug_memory(const struct plug *p);

#endif
