/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tuya-keys.h - every key the user gave, and every session key that was found on the way.
 *
 * Keys come from three preferences: a table (device id or *, key, note), a devices.json, a key log. They are read into
 * the library's keyring when a capture is opened (or dissected anew), and wiped when it is closed. */
#ifndef TUYA_KEYS_H
#define TUYA_KEYS_H

#include <stdint.h>
#include <epan/prefs.h>
#include "common/devices.h"
#include "tuyawire/observer.h"

/** A key that has opened something, or could. */
struct tuya_key {
    uint8_t key[TW_KEY_LEN];
    char *device; /**< id; NULL: not said, or any */
    char *note;   /**< where it comes from, for people; never NULL, never the key */
};

/** Register the preferences. */
void tuya_keys_preferences(module_t *module);

/** Read the keys that the preferences name, and say what is wrong with the files. */
void tuya_keys_fill(void);

/** Wipe and forget them. */
void tuya_keys_wipe(void);

/** The keys, for observers. NULL: there is no memory. */
tw_keyring *tuya_keyring(void);

/** Read the key log again if it has grown (a live capture). */
void tuya_keys_follow_log(void);

/** What is known of a key that an observer came up with.
 * @param local  index of the local key of its connection, or TW_NO_INDEX
 * @return valid until tuya_keys_wipe() */
const struct tuya_key *tuya_keys_know(const uint8_t key[TW_KEY_LEN], size_t local);

/** What devices.json says about a device; NULL if nothing. */
const struct devices_entry *tuya_keys_device(const char *id);

/** The same about whose data points a message has: see devices_owner().
 * @param id  of the device that speaks; NULL if it is not known */
const struct devices_entry *tuya_keys_owner(const char *id, struct tw_span cid);

#endif
