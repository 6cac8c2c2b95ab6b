/* common/devices.h - the devices a user has, from a tinytuya devices.json or snapshot.json.
 *
 *   [ {"name":"Kettle plug","id":"bf..01","key":"0123456789abcdef","ip":"192.0.2.11","version":"3.3",
 *      "mapping":{"19":{"code":"cur_power","type":"Integer","values":{"unit":"W","min":0,"max":80000,"scale":1}}}},
 *     .. ]                                      a list, or {"devices":[..]}; a snapshot writes "ver" and "dps",
 *                                               the cloud {"result":[..]} and "local_key"
 *
 * Unknown members are ignored, an entry that is of no use (no object, no id) is left out and counted. A device with
 * a key of the wrong length stays: its name is still good, and whoever needs the key can say what is wrong with it.
 *
 * Source: TinyTuya wizard and scanner; spec energy-dps sections 12 and 13. */
#ifndef COMMON_DEVICES_H
#define COMMON_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/say.h"
#include "tuyawire/crypto.h"
#include "tuyawire/span.h"
#include "tuyawire/version.h"

enum devices_dp_type {
    DEVICES_DP_BOOLEAN,
    DEVICES_DP_INTEGER,
    DEVICES_DP_ENUM,   /**< labels: the values it takes */
    DEVICES_DP_BITMAP, /**< labels: the bits, from 0 */
    DEVICES_DP_RAW,
    DEVICES_DP_STRING,
    DEVICES_DP_JSON,
    DEVICES_DP_UNKNOWN, /**< a type this list does not know */
};

/** One data point of a mapping. Texts are "" when absent, never NULL. */
struct devices_dp {
    uint32_t id;      /**< 0: the mapping is keyed by code, the cloud gave no id */
    const char *code; /**< "cur_power" */
    enum devices_dp_type type;
    const char *unit;       /**< "W"; for people only, the cloud damages units. Of a mapping that gives
                               neither unit nor scale both are those of the code */
    int scale;              /**< value / 10^scale is the physical value; 0 to 9 */
    bool has_range;         /**< min and max are valid */
    int64_t min, max, step; /**< step is 1 when absent */
    int64_t max_len;        /**< longest string or raw; -1: not said */
    const char *const *labels;
    size_t n_labels;
};

enum devices_key {
    DEVICES_KEY_OK,
    DEVICES_KEY_ABSENT, /**< no member, or "" */
    DEVICES_KEY_LENGTH, /**< not 16 bytes: see key_len */
};

/** One device. Texts are "" when absent, never NULL. */
struct devices_entry {
    const char *name, *id, *ip, *mac, *uuid, *category, *product_id, *product_name;
    enum devices_key key_state;
    uint8_t key[TW_KEY_LEN]; /**< valid if DEVICES_KEY_OK; a sub-device has its gateway's */
    size_t key_len;          /**< bytes of the key as it stands in the file */
    bool has_version;
    enum tw_version version;
    const char *version_text; /**< as in the file, also when it is none of ours */
    uint16_t port;            /**< 0: not said, so 6668; tuya-sim --devices-out writes it */
    bool sub;                 /**< behind a gateway: talk to `parent`, with `node_id` as cid */
    const char *node_id, *parent;
    bool has_mapping;             /**< false: never downloaded; true with n_dps 0: a product without data points */
    const struct devices_dp *dps; /**< ascending by id */
    size_t n_dps;
    const char *values; /**< snapshot: the data points as JSON text, {"1":true}; "" when there are none */
};

struct devices {
    const struct devices_entry *entries; /**< in the order of the file */
    size_t n;
    size_t n_left_out;           /**< entries without a usable id */
    struct devices_store *store; /**< owns everything above */
};

/** Read a list. 10,000 devices with mappings take a fraction of a second.
 * @param path  "-" is stdin
 * @return 0; -1 and why: not readable, not JSON (with line and column), no list of devices, no device in it */
int devices_load(struct devices *out, const char *path, struct why *why);

/** The same from text in memory. @param name  stands in errors where the path would */
int devices_parse(struct devices *out, const char *text, size_t len, const char *name, struct why *why);

/** Wipes the keys and releases everything. */
void devices_free(struct devices *d);

/** By id, in constant or logarithmic time; NULL if there is none. With duplicate ids the last entry of the file. */
const struct devices_entry *devices_by_id(const struct devices *d, struct tw_span id);

/** What messages about a sub-device carry as cid: its node_id, else its id. "" for who is not behind a gateway. */
const char *devices_cid(const struct devices_entry *e);

/** Whose data points a message has: those of the device that speaks, or of a sub-device behind it. NULL: it is not in
 * the list.
 * @param id   of the device that speaks; empty: not known
 * @param cid  empty: the message has none. Behind different gateways cids may be equal, so the sub-device's parent has to
 *             be the one that speaks, where both are known; some devices call themselves by their id or node_id */
const struct devices_entry *devices_owner(const struct devices *d, struct tw_span id, struct tw_span cid);

/** By what a user types: an id, a name (upper and lower case are the same, ASCII only), or the beginning of exactly
 * one id or name. NULL and why: none, or several, which are named. */
const struct devices_entry *devices_find(const struct devices *d, const char *text, struct why *why);

/** The data point of this id; NULL if the mapping has none. */
const struct devices_dp *devices_dp(const struct devices_entry *e, uint32_t id);

/** By code ("cur_power"), NULL if there is none. */
const struct devices_dp *devices_dp_by_code(const struct devices_entry *e, const char *code);

/** What is wrong with a device's key and what to do, into why; returns -1. For a key that is fine: 0. */
int devices_key_check(const struct devices_entry *e, struct why *why);

/** "Boolean", "Integer", ... as mappings spell it. */
const char *devices_dp_type_name(enum devices_dp_type type);

#endif
