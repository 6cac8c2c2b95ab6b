/* strike.h - where faults (fault.h) take hold of the server: when a client comes, when a request is read, when an
 * answer is planned, when its bytes leave.
 *
 * Without faults each of these is one comparison. */
#ifndef SIM_STRIKE_H
#define SIM_STRIKE_H

#include "server_private.h"

/** Does a fault of this kind strike this device now? Throws the dice, counts, tells the journal.
 * @param command  of the request; -1: there is none
 * @return it, or NULL. Valid until faults are added or removed */
const struct fault *strike_roll(struct outlet *o, enum fault_kind kind, int64_t command, uint64_t flow);

/** strike_roll(), and nothing at all when there are no faults. */
static inline const struct fault *strike(struct conn *c, enum fault_kind kind, int64_t command)
{
    if (c->server->n_faults == 0)
        return NULL;
    return strike_roll(c->outlet, kind, command, c->flow);
}

/** Is it switched on for this device? No dice, nothing counted: for lasting conditions. */
const struct fault *strike_standing(const struct outlet *o, enum fault_kind kind);

/** A client comes. @return false: it was sent away */
bool strike_accept(struct conn *c, struct outlet *o);

/** Quirks and limits of the new connection's engine. */
void strike_config(const struct outlet *o, struct tw_device_config *cfg);

/** A line (line.h) for this connection, if a fault asks for one. */
void strike_line(struct conn *c);

/** A request was read, before anybody thinks of an answer. @return true: dealt with, say nothing */
bool strike_request(struct conn *c, const struct tw_device_event *ev);

/** Bytes of the frame that was just added to the output, from `at` on: damage, drop, split, reset.
 * @return false: the connection is gone */
bool strike_bytes(struct conn *c, size_t at, int64_t request_command);

#endif
