/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tuya-stats.c - frames by device and command, by version, reply times, and what could not be read. */
#include "tuya-stats.h"
#include <epan/stats_tree.h>
#include <epan/tap.h>

static const char by_command[] = "Commands", by_device[] = "Devices", by_version[] = "Versions";
static const char by_reply[] = "Reply time (ms)", by_error[] = "Not decoded";
static int at_command, at_device, at_version, at_reply, at_error;

static void begin(stats_tree *st)
{
    at_command = stats_tree_create_node(st, by_command, 0, STAT_DT_INT, TRUE);
    at_device = stats_tree_create_node(st, by_device, 0, STAT_DT_INT, TRUE);
    at_version = stats_tree_create_pivot(st, by_version, 0);
    at_reply = stats_tree_create_node(st, by_reply, 0, STAT_DT_FLOAT, TRUE);
    at_error = stats_tree_create_pivot(st, by_error, 0);
}

static tap_packet_status count(stats_tree *st, packet_info *pinfo _U_, epan_dissect_t *edt _U_, const void *data,
                               tap_flags_t flags _U_)
{
    const struct tuya_tap *t = data;
    const char *device = t->device != NULL ? t->device : "(unknown)";
    tick_stat_node(st, by_command, 0, FALSE);
    int command = tick_stat_node(st, t->command, at_command, TRUE);
    tick_stat_node(st, t->way, command, FALSE);
    tick_stat_node(st, by_device, 0, FALSE);
    int of_device = tick_stat_node(st, device, at_device, TRUE);
    tick_stat_node(st, t->command, of_device, FALSE);
    stats_tree_tick_pivot(st, at_version, t->version);
    if (t->error != NULL)
        stats_tree_tick_pivot(st, at_error, t->error);
    if (t->answered) {
        avg_stat_node_add_value_float(st, by_reply, 0, FALSE, (gfloat)t->response_ms);
        avg_stat_node_add_value_float(st, t->command, at_reply, FALSE, (gfloat)t->response_ms);
    }
    return TAP_PACKET_REDRAW;
}

/* see tuya-stats.h */
void tuya_stats_register(void)
{
    stats_tree_register_plugin("tuya", "tuya", "Tuya", 0, count, begin, NULL);
}
