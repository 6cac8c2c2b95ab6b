/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tuya-keys.h - the key ring: every key the user gave, and every session key that was found on the way.
 *
 * Keys come from three preferences: a table (device id or *, key, note), a devices.json, a key log. The ring is
 * filled when a capture is opened (or dissected anew) and wiped when it is closed; what the dissector remembers of a
 * frame is an index into it, never a key. Indices below tuya_keys_n_local() are local keys, the rest session keys. */
#ifndef TUYA_KEYS_H
#define TUYA_KEYS_H

#include <stdbool.h>
#include <stdint.h>
#include <epan/prefs.h>
#include "common/devices.h"
#include "tuyawire/crypto.h"
#include "tuyawire/version.h"

enum { TUYA_NO_KEY = -1 };

struct tuya_key {
    uint8_t key[TW_KEY_LEN];
    char *device;            /**< id; NULL: not said, or any */
    char *note;              /**< where it comes from, for people; never NULL, never the key */
    enum tw_version version; /**< session keys: of the session */
    bool from_log;           /**< a session key out of the key log */
};

/** Register the preferences. */
void tuya_keys_preferences(module_t *module);

/** Fill the ring from the preferences, and say what is wrong with the files. For register_init_routine(). */
void tuya_keys_fill(void);

/** Wipe the ring. For register_cleanup_routine(). */
void tuya_keys_wipe(void);

int tuya_keys_n_local(void);

/** @param at  0 to tuya_keys_n() - 1. The pointer lives until tuya_keys_wipe(). */
const struct tuya_key *tuya_keys_at(int at);
int tuya_keys_n(void);

/** Add the session key that a handshake under the local key `local` ended in. @return its index */
int tuya_keys_add_session(const uint8_t key[TW_KEY_LEN], enum tw_version v, int local);

/** Read the key log again if it has grown (a live capture). True when there are new keys. */
bool tuya_keys_log_grew(void);

/** The n-th key of the key log as an index into the ring; TUYA_NO_KEY behind the last. */
int tuya_keys_log_at(unsigned n);

/** What devices.json says about a device; NULL if nothing. */
const struct devices_entry *tuya_keys_device(const char *id);

#endif
