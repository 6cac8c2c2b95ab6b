/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tuya-dps.h - data points as fields.
 *
 *   tuya.dp.id == 19            the message carries data point 19
 *   tuya.dp.value               every value of it as a number (true is 1)
 *   tuya.dp.19 > 600            data point 19 itself: number and id belong together here
 *   tuya.dp.text                strings, and anything else as it stands in the JSON
 *   tuya.dp.name, .scaled, .unit    what devices.json says: cur_power, 60.5, W */
#ifndef TUYA_DPS_H
#define TUYA_DPS_H

#include <epan/packet.h>
#include "common/devices.h"
#include "tuyawire/dps.h"

void tuya_dps_register(int proto);

/** Show the data points of a body, if it has any.
 * @param tvb     the payload that body was parsed from, byte for byte
 * @param device  NULL: names and units are not known */
void tuya_dps_show(proto_tree *tree, packet_info *pinfo, tvbuff_t *tvb, struct tw_span payload,
                   const struct tw_body *body, const struct devices_entry *device);

/** "1=true, cur_power=60.5 W, .." for the info column; NULL if there are none. In packet scope. */
const char *tuya_dps_summary(packet_info *pinfo, const struct tw_body *body, const struct devices_entry *device);

#endif
