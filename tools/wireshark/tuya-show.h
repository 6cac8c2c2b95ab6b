/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tuya-show.h - one frame as a tree, columns, a tab of plaintext, and word to whoever listens.
 *
 * A frame is shown in three steps. Its header lies open. Its body is opened by what tuya-flow.c remembers of the
 * frame. What came out is shown as a second data source: return code, header, data points, JSON. */
#ifndef TUYA_SHOW_H
#define TUYA_SHOW_H

#include <epan/packet.h>
#include "tuya-flow.h"
#include "tuyawire/discovery.h"

struct tuya_view {
    packet_info *pinfo;
    tvbuff_t *tvb;    /**< the frame, from prefix to suffix */
    proto_tree *tree; /**< the packet's tree */
    const struct tw_frame *f;
    const struct tuya_sight *s;
    const struct tw_message *m;   /**< NULL: it could not be opened, s->error says why */
    const uint8_t *plain;         /**< where the plaintext begins, if m is encrypted. In packet scope */
    const struct tw_discovery *d; /**< NULL: not a datagram */
    const char *way;              /**< "to_device", "from_device", "broadcast" */
    const char *version;          /**< "3.3" */
};

void tuya_show(const struct tuya_view *view);

/** Bytes that are no frame, or (cut) only the beginning of one. */
void tuya_show_stray(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, bool cut, const char *text);

/** A discovery datagram that is nothing but ciphertext. payload: the JSON, in packet scope. */
void tuya_show_bare(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, struct tw_span payload);

void tuya_show_register(int proto); /* fields, expert infos, the tap "tuya" */
void tuya_show_handoff(void);       /* what it hands payloads to */

#endif
