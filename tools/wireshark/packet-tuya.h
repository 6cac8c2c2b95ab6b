/* SPDX-License-Identifier: GPL-2.0-or-later */
/* packet-tuya.h - the two functions that Wireshark calls when it starts, see plugin.c. */
#ifndef PACKET_TUYA_H
#define PACKET_TUYA_H

void proto_register_tuya(void);    /* fields, preferences, taps */
void proto_reg_handoff_tuya(void); /* ports, heuristics, the dissectors this one calls */

#endif
