/* tuyawire/dps.h - JSON bodies and the data points in them.
 *
 * Reading works in place on the payload of an opened message: one pass, no recursion, no allocation, at most 32
 * levels deep. Values are handed out as the text they were sent as, so that numbers keep every digit, together with
 * their meaning where it fits a C type. Writing appends to a buffer of the caller.
 *
 *   control, old       {"devId":"<id>","uid":"<id>","t":"<now>","dps":{"1":true}}
 *   control, 3.4 3.5   {"protocol":5,"t":<now>,"data":{"dps":{"1":true}}}           "cid" beside dps: sub-device
 *   query, old         {"gwId":"<id>","devId":"<id>","uid":"<id>","t":"<now>"}
 *   query, new         {}   {"cid":"<cid>"}
 *   reply              {"devId":"<id>","dps":{..}}   {"dps":{..}}
 *   status, old        {"devId":"<id>","dps":{..},"t":<now>}
 *   status, 3.4 3.5    {"protocol":4,"t":<now>,"data":{"dps":{..}}}
 *   refresh            {"dpId":[18,19,20]}
 *   device22 query     control with null values: {"dps":{"1":null,"2":null}}
 *   sub-devices        {"reqType":"subdev_online_stat_query","data":{"cids":[]}}
 *   error text         json obj data unvalid      (no JSON, return code 1)
 *
 * Source: spec section 5. */
#ifndef TUYAWIRE_DPS_H
#define TUYAWIRE_DPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tuyawire/error.h"
#include "tuyawire/span.h"
#include "tuyawire/version.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TW_JSON_DEPTH_MAX = 32 }; /* levels; our choice, real bodies have 4 */

enum tw_value_type {
    TW_VALUE_NULL,    /**< device22: "tell me" */
    TW_VALUE_BOOL,    /**< boolean is valid */
    TW_VALUE_INTEGER, /**< integer is valid; the text is an integer that fits 64 bits */
    TW_VALUE_NUMBER,  /**< any other number: fraction, exponent, or too large; only the text is exact */
    TW_VALUE_STRING,  /**< text includes the quotes, escapes undone by tw_json_string() */
    TW_VALUE_OBJECT,
    TW_VALUE_ARRAY,
};

struct tw_value {
    enum tw_value_type type;
    bool boolean;
    int64_t integer;
    struct tw_span text; /**< the JSON text of the value, borrowed from the payload */
};

/** One data point. */
struct tw_dp {
    uint32_t id; /**< 1 to 255 on devices; larger ids are handed out as they are */
    struct tw_value value;
};

/** What a body says. All spans point into the payload; those that are absent are empty. Strings are raw: without
 * their quotes, escapes not undone (ids have none). A member of another type than the one named here is taken as
 * absent; names are compared as they are written. */
struct tw_body {
    struct tw_span json; /**< the object, from { to } */
    struct tw_span dps;  /**< the data points as an object: top-level "dps", else "data"."dps" */
    struct tw_span data; /**< the value of "data" */
    struct tw_span dev_id, gw_id, uid, cid, type, req_type; /**< top level, else inside "data" */
    struct tw_span dp_ids;                                  /**< "dpId", an array */
    bool cid_in_data; /**< gateways answer for themselves when a query has its cid there */
    int64_t protocol; /**< 4 or 5; -1: absent */
    int64_t t;        /**< seconds, read from a whole number or a string of one; top level, else data; -1: absent */
    int64_t counter;  /**< "s" of a 3.1 push; -1: absent */
};

/** Read a payload. Trailing NUL bytes are dropped, duplicate members: the last one wins.
 * @return TW_OK; TW_E_JSON if the payload is not exactly one JSON object in valid UTF-8 of at most 32 levels (an
 *         empty payload too); *out untouched then */
int tw_body_parse(struct tw_body *out, struct tw_span payload);

/** Step through an object of data points. Start with *pos = 0.
 * @return 1: *out is filled; 0: no more, or not an object. Members whose name is not a decimal number of 32 bits
 *         without leading zeros are passed over */
int tw_dps_next(struct tw_dp *out, size_t *pos, struct tw_span dps);

/** The data point with this id. @return TW_OK, or TW_E_ARGUMENT if it is not there. The last one wins. */
int tw_dps_find(struct tw_dp *out, struct tw_span dps, uint32_t id);

/** Step through any object of a parsed body: name (without quotes) and value. @return 1 or 0 as above. */
int tw_json_next_member(struct tw_span *name, struct tw_value *value, size_t *pos, struct tw_span object);

/** Step through any array of a parsed body (dpId, online, ..). @return 1 or 0 as above. */
int tw_json_next_element(struct tw_value *value, size_t *pos, struct tw_span array);

/** Is this exactly one JSON value in valid UTF-8 and within the depth limit? TW_OK or TW_E_JSON. */
int tw_json_check(struct tw_span text);

/** The same, and what the value is; blanks around it are left out of out->text. On TW_E_JSON out is untouched. */
int tw_json_value(struct tw_value *out, struct tw_span text);

/** Undo the escapes of a JSON string (with or without its quotes) into out, as UTF-8; no NUL is added, but an escaped
 * one (\u0000) is a byte like any other.
 * @return TW_OK and *len set; TW_E_CAPACITY (cap of text.len always suffices); TW_E_JSON (a lone surrogate, or no
 *         inside of a JSON string) */
int tw_json_string(char *out, size_t cap, size_t *len, struct tw_span text);

/** The error texts that devices send in place of JSON (spec section 5.8). */
#define TW_TEXT_JSON_OBJ    "json obj data unvalid"
#define TW_TEXT_DATA_FORMAT "data format error"
#define TW_TEXT_PARSE_DATA  "parse data error"
#define TW_TEXT_DEVID       "devid not found"
#define TW_TEXT_GW_ID       "gw id invalid"

/** Is the payload one of the known error texts? */
bool tw_is_error_text(struct tw_span payload);

/** Append-only text in a buffer of the caller: struct tw_text t = {.data = room, .cap = sizeof room}. Too little room is
 * remembered, not written past. */
struct tw_text {
    char *data; /**< cap bytes; not terminated by NUL */
    size_t cap, len;
    bool overflow; /**< something did not fit; what is there is cut and must not be used */
};
void tw_text_put(struct tw_text *t, const char *s);              /**< a NUL-terminated text */
void tw_text_put_span(struct tw_text *t, struct tw_span s);      /**< bytes as they are */
void tw_text_put_int(struct tw_text *t, int64_t n);              /**< decimal */
void tw_text_put_string(struct tw_text *t, struct tw_span utf8); /**< a JSON string: quotes, escapes where needed */

/** Who a body is for. Zero it; set what you have. */
struct tw_body_ids {
    struct tw_span id;  /**< device id (of the gateway when cid is set, and then not written); empty: left out */
    struct tw_span uid; /**< user id; empty: id takes its place */
    struct tw_span cid; /**< sub-device; empty: none */
    int64_t t;          /**< Unix seconds */
};

/* Writers of canonical bodies, without blanks (some devices do not answer to blanks). dps is an object of data points,
 * {"1":true}. The form follows version and command as spec sections 5.2 to 5.7 and the vectors show. They append to
 * t and return TW_OK, TW_E_CAPACITY (t->overflow), or TW_E_ARGUMENT for a version that does not exist. */

/** Set data points, or ask a device22 for those that are null. CONTROL_NEW up to 3.3 has a short form without ids: it
 * is written when ids->id is empty; device22 wants the long one. */
int tw_body_control(struct tw_text *t, enum tw_version v, uint32_t command, const struct tw_body_ids *ids,
                    struct tw_span dps);
/** Ask for all data points. From 3.4 on both commands take the new form, {}. */
int tw_body_query(struct tw_text *t, enum tw_version v, uint32_t command, const struct tw_body_ids *ids);
/** Ask for fresh measurements of these n data points. */
int tw_body_refresh(struct tw_text *t, const uint32_t *dp_ids, size_t n);
/** {"gwId":..,"devId":..}; an empty payload is a heart beat too. */
int tw_body_heartbeat(struct tw_text *t, const struct tw_body_ids *ids);
/** Push data points.
 * @param counter  3.1: the push counter "s"; the others count in their header and ignore it */
int tw_body_status(struct tw_text *t, enum tw_version v, const struct tw_body_ids *ids, struct tw_span dps,
                   uint32_t counter);
/** Answer a query, in any version. */
int tw_body_reply(struct tw_text *t, const struct tw_body_ids *ids, struct tw_span dps);
/** Ask a gateway which sub-devices it has, and its report. */
int tw_body_subdev_query(struct tw_text *t);
/** @param online  n_online cids, @param offline  n_offline cids */
int tw_body_subdev_report(struct tw_text *t, const struct tw_span *online, size_t n_online,
                          const struct tw_span *offline, size_t n_offline);

#ifdef __cplusplus
}
#endif
#endif
