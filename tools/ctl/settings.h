/* settings.h - what the user asked for, from arguments, environment and device list. */
#ifndef CTL_SETTINGS_H
#define CTL_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/devices.h"
#include "common/options.h"
#include "session.h"

enum { CTL_PORT = 6668, CTL_DISCOVERY_PORT = 6666 };

struct settings {
    const char *host, *id, *cid, *device_name, *devices_path; /* NULL: not given */
    int64_t port;                                             /* -1: not given */
    bool has_key;
    uint8_t key[TW_KEY_LEN];
    const char *key_file; /* read by settings_load_files() */
    bool has_protocol, protocol_auto;
    enum tw_version protocol;
    bool has_timeout;
    struct session_options session;
    bool json, show_keys;
    enum opt_colour colour;
    uint16_t discovery_port; /* 6666; another: this one, the next and the one after for 6666, 6667, 7000 */
    const char *broadcast[8];
    size_t n_broadcast;
    struct devices devices; /* loaded if devices_path */
    bool has_devices;
};

/** Read options from argv[1..argc). Help and version are printed and end the program with 0.
 * @return the index of the first argument that is no option; -1: wrong usage, said already */
int settings_read(struct settings *s, int argc, char **argv);

/** Read the key file and the device list, where they are asked for. @return an exit code */
enum exit_code settings_load_files(struct settings *s);

/** Whom to talk to; host is "" when only the network can tell the address. need_key: without a key the message says
 * how to give one. @return an exit code, said already */
enum exit_code settings_target(const struct settings *s, struct target *out, bool need_key);

void settings_free(struct settings *s);

#endif
