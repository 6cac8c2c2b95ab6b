/* state.h - what a fleet remembers: as text, and back.
 *
 * A snapshot is a tinytuya snapshot.json, so that any file a user has can be loaded and any tool reads ours:
 *
 *   {"timestamp":1735689600.250,"generation":7,"devices":[
 *     {"id":"bf..01","ip":"","name":"Kettle plug","key":"0123456789abcdef","mac":"","ver":"3.3","origin":"broadcast",
 *      "dps":{"devId":"bf..01","dps":{"1":true,"9":60}},"tuyawire":{"countdown":{"9":[1735689660000,60000]},..}},
 *     ..]}
 *
 * A data point that the plug began with and that is absent now is null.
 *
 * What a snapshot.json has no place for (countdown ends, energy that is not yet reported, what is plugged in) stands
 * in "tuyawire":
 *
 *   countdown        per data point: the moment it ends, in ms since 1970, and the ms that were left. A restart goes on
 *                    as if the plug had been counting all the time, but never with more than was left
 *   true_mws ..      counters of energy in milliwatt seconds; period_s: seconds into the energy period
 *   load             per outlet: what is plugged in
 *   mains, readings  the scene
 *
 * Values keep their digits. This file is pure; store.h does the I/O. */
#ifndef SIM_MODEL_STATE_H
#define SIM_MODEL_STATE_H

#include "fleet.h"

/** One device, {"id":..}, on one line; its sub-devices follow in "children", each as an entry of its own. */
void state_write_device(struct tw_text *t, struct device *d, uint64_t now_ms);

/** The whole fleet: text of *len bytes and a NUL, free() it. NULL: no memory. */
char *state_write(const struct fleet *f, uint64_t now_ms, uint64_t generation, size_t *len);

/** Apply a snapshot, ours or tinytuya's. Devices it does not know stay as they are; entries that the fleet does not
 * have are passed over and counted. Nothing becomes due.
 * @param generation, n_unknown  may be NULL
 * @return how many devices took values; -1 and why: not a snapshot (line and column), nothing was changed then */
int state_apply(struct fleet *f, struct tw_span text, uint64_t now_ms, uint64_t *generation, size_t *n_unknown,
                struct why *why);

/** Apply one line of state_write_device(). @return 0; 1: no such device; -1 and why: damaged, nothing changed */
int state_apply_device(struct fleet *f, struct tw_span line, uint64_t now_ms, struct why *why);

#endif
