/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tuya-stats.h - what the dissector tells its listeners: the statistics tree (tshark -z tuya,tree), and whoever
 * registers on the tap "tuya". */
#ifndef TUYA_STATS_H
#define TUYA_STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

/** One frame. In packet scope. */
struct tuya_tap {
    const char *version; /**< "3.3" */
    const char *command; /**< "CONTROL", "0x99" */
    const char *device;  /**< id; NULL: not known */
    const char *way;     /**< "to_device", "from_device", "broadcast" */
    const char *error;   /**< tw_error_name(); NULL: the frame could be read */
    bool answered;       /**< a reply whose request was seen: */
    double response_ms;
};

/** Register the statistics tree. The tap "tuya" has to exist. */
void tuya_stats_register(void);

#endif
