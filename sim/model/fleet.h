/* fleet.h - the devices of one run: ids, names, keys, versions, and the plugs behind them.
 *
 *   one device        fleet_add()
 *   generated         fleet_generate()    ids, names and keys follow from the seed; fleet_write_devices() tells clients
 *   a user's house    fleet_from_devices(), then fleet_snapshot()
 *
 * Pure: files are read and written by the caller. Devices may move in memory while some are added, not afterwards. */
#ifndef SIM_MODEL_FLEET_H
#define SIM_MODEL_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/devices.h"
#include "plug.h"
#include "tuyawire/crypto.h"

/** A sub-device. */
struct device_child {
    const char *cid;
    const char *id, *name; /**< "" if it has none of its own */
    struct plug *plug;
};

struct device {
    const char *id, *name;
    const char *ip; /**< of the user's file; "" */
    uint8_t key[TW_KEY_LEN];
    enum tw_version version;
    uint32_t number;               /**< position in the fleet */
    const struct profile *profile; /**< a reference */
    struct plug *plug;             /**< never NULL; without data points on a gateway */
    struct device_child *children;
    size_t n_children;
    void *user; /**< whatever the server hangs here */
};

struct fleet {
    struct plug_world world;
    struct device *devices;
    size_t n;
    size_t n_left_out;         /**< fleet_from_devices(): entries that cannot be simulated, see its problems */
    struct fleet_store *store; /**< owns texts, lists and the index */
};

/** @param seed, epoch_s  see struct plug_world. f stays where it is: its plugs refer to it */
int fleet_init(struct fleet *f, uint64_t seed, int64_t epoch_s);
void fleet_free(struct fleet *f); /* wipes the keys */

/** Add one device. Texts are copied. name may be NULL.
 * @return 0; -1 and why: the id is not printable ASCII or taken, out of memory */
int fleet_add(struct fleet *f, const struct profile *profile, const char *id, const char *name,
              const uint8_t key[TW_KEY_LEN], enum tw_version version, struct why *why);

/** Share of each version in a generated fleet. */
struct fleet_mix {
    struct {
        enum tw_version version;
        uint32_t weight;
    } parts[TW_N_VERSIONS];
    size_t n; /**< 0: what the profile says */
};

/** "3.4" or "3.3:40,3.4:40,3.5:20". @return 0; -1 and why */
int fleet_mix_parse(struct fleet_mix *out, const char *text, struct why *why);

/** Add n devices of a profile. Of 100 devices with "3.3:40,3.4:40,3.5:20" exactly 40, 40 and 20 have each version, in
 * an even mixture. */
int fleet_generate(struct fleet *f, const struct profile *profile, size_t n, const struct fleet_mix *mix,
                   struct why *why);

/** The user's own house. Devices with equal mappings share a profile. Sub-devices go behind their parent, or behind
 * the gateway with the same key when the file names none. Versions that are missing come from the profile.
 * @param problems  one line per device that is left out: no key, sub-device without gateway, id twice
 * @return 0, at least one device; -1 and why */
int fleet_from_devices(struct fleet *f, const struct devices *devices, struct problems *problems, struct why *why);

/** The same, with the values and further data points of a snapshot; devices that only the snapshot has come too. One of
 * the two may be NULL. */
int fleet_from_files(struct fleet *f, const struct devices *devices, const struct devices *snapshot,
                     struct problems *problems, struct why *why);

/** The plug of a device or of a sub-device with an id of its own; NULL if there is none. */
struct plug *fleet_find_plug(const struct fleet *f, struct tw_span id);

/** By id, in constant time. NULL if there is none. Sub-devices of their own id are not devices here. */
struct device *fleet_find(const struct fleet *f, struct tw_span id);

/** Where a device listens. A port of 0 or 6668 is not written: everybody takes 6668 for granted. */
typedef void fleet_endpoint(void *ctx, const struct device *d, char ip[64], uint16_t *port);

/** A tinytuya devices.json of the whole fleet, with mappings: a text of *len bytes and a NUL, free() it. What tinytuya
 * has no member for, the port, is "port": tuya-ctl reads it.
 * @param endpoint  NULL: the addresses of the user's own file. @return NULL: no memory */
char *fleet_write_devices(const struct fleet *f, fleet_endpoint *endpoint, void *ctx, size_t *len);

/* ---- One device, with its children ---- */

/** The plug behind a cid; the device's own for an empty cid; NULL: unknown. */
struct plug *device_plug(const struct device *d, struct tw_span cid);
void device_advance(struct device *d, uint64_t now_ms);
uint64_t device_deadline(const struct device *d);
void device_power_cycle(struct device *d, uint64_t now_ms);

#endif
