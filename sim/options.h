/* options.h - the command line of tuya-sim. */
#ifndef SIM_OPTIONS_H
#define SIM_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "fault.h"
#include "model/fleet.h"
#include "server.h"

struct sim_options {
    /* one device */
    struct fleet_mix mix; /* -P; n 0: as the profile says */
    const char *id;
    bool has_key;
    uint8_t key[TW_KEY_LEN];
    const char *key_file;
    const char *profile; /* name or file */
    /* many */
    const char *devices, *snapshot, *devices_out;
    size_t count; /* 0: not asked for */
    /* network */
    const char *listen;
    uint16_t port;
    enum server_spread spread;
    const char *discovery;   /* "off", addresses, or NULL: by listen */
    uint16_t discovery_base; /* 0: the usual ports */
    /* behaviour */
    bool has_seed, virtual_clock;
    uint64_t seed;
    uint32_t status_delay_ms;
    int64_t max_clients, idle_timeout_ms; /* -1: as the profile says */
    const char *scene;                    /* NULL: the mains as they are */
    bool has_load;
    struct load_spec load; /* at the first outlet of each device with a meter */
    struct fault_spec *faults;
    size_t n_faults;
    struct fuzzed_config fuzz;
    /* files and reports */
    const char *state, *journal, *write, *control, *control_token_file, *ready_file;
    int ready_fd; /* -1: none */
    bool json, exit_with_parent;
};

/** @return -1: go on with *out; otherwise the exit status, and everything is said */
int sim_options_parse(struct sim_options *out, int argc, char **argv);
void sim_options_free(struct sim_options *o); /* wipes the key */

#endif
