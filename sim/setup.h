/* setup.h - from options and files to a fleet of devices. */
#ifndef SIM_SETUP_H
#define SIM_SETUP_H

#include "model/fleet.h"
#include "options.h"
#include "server.h"

/** @param epoch_s  Unix seconds at simulated time 0
 * @return -1: *f is filled; otherwise the exit status, and everything is said */
int setup_fleet(struct fleet *f, const struct sim_options *o, uint64_t seed, int64_t epoch_s);

/** Write --devices-out, with the addresses and ports of a server that listens.
 * @return -1; otherwise the exit status, and everything is said */
int setup_write_devices(const struct fleet *f, const char *path, struct server *s);

#endif
