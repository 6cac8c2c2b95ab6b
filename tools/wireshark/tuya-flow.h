/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tuya-flow.h - what is known of one TCP connection, and how each of its frames opens.
 *
 * Wireshark dissects a capture once from front to back and later any frame in any order: on selection, filtering, a
 * second pass. So everything that depends on the past happens in tuya_flow_meet(), on the first pass: there the
 * library's observer of this connection finds version, side, key and session, and requests are paired with replies.
 * The result, a struct tuya_sight, stays with the frame and is all that later passes need: tuya_sight_open() does not
 * look at the connection. */
#ifndef TUYA_FLOW_H
#define TUYA_FLOW_H

#include <stdbool.h>
#include <epan/packet.h>
#include "tuya-keys.h"
#include "tuyawire/message.h"

enum tuya_key_use { TUYA_KEY_NONE, TUYA_KEY_LOCAL, TUYA_KEY_SESSION, TUYA_KEY_DISCOVERY };

/** A request and its reply, seen from either. */
struct tuya_exchange {
    uint32_t command, seq;
    guint32 request_frame, reply_frame; /**< 0: not seen */
    nstime_t request_time, reply_time;
};

/** What is remembered of one frame. In file scope; never changed after the first pass, exchange excepted. */
struct tuya_sight {
    enum tw_version version;
    bool version_known; /**< false: a CRC frame that could be of several versions */
    enum tw_integrity integrity;
    enum tw_direction direction;
    int error;                  /**< TW_OK, or why the frame cannot be opened */
    const struct tuya_key *key; /**< what opens it; NULL: it needs none, or nobody has it */
    enum tuya_key_use use;
    const char *device; /**< id; NULL: not known */
    bool seq_went_back;
    uint32_t seq_before;            /**< valid if seq_went_back */
    bool impostor;                  /**< RESP: the proof does not fit the nonce of START */
    bool zero_key;                  /**< RESP: the session key begins with 00 */
    struct tuya_exchange *exchange; /**< NULL: neither request nor reply */
    bool is_reply;
};

struct tuya_flow;

/** The connection of this packet, made when it is new. */
struct tuya_flow *tuya_flow_of(packet_info *pinfo);

/** Has a frame been found in the connection, in this packet or before it? */
bool tuya_flow_is_tuya(const struct tuya_flow *flow, const packet_info *pinfo);

/** The version the connection turned out to have, for frames that do not say. False: still not known. */
bool tuya_flow_version(const struct tuya_flow *flow, enum tw_version *out);

/** First pass: meet the next frame of the connection. */
struct tuya_sight *tuya_flow_meet(struct tuya_flow *flow, packet_info *pinfo, const struct tw_frame *f);

/** Any pass: open the frame again. f is reframed as the sight says.
 * @return s->error, or that of tw_message_open() */
int tuya_sight_open(const struct tuya_sight *s, struct tw_frame *f, struct tw_message *out, uint8_t *buf, size_t cap);

/** First pass: a discovery datagram told which device has this address. */
void tuya_flow_announced(const address *addr, const char *id, size_t id_len, bool has_version, enum tw_version v);

void tuya_flow_register(int proto); /* routines for opening and closing captures, too */

#endif
