/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plugin.c - the door through which Wireshark comes in: three constants and a function that it looks for by name.
 * A plugin is loaded by the major and minor version it was built for, and by no other. */
#include <gmodule.h>
#include <epan/proto.h>
#include <ws_symbol_export.h>
#include <ws_version.h>
#include "packet-tuya.h"

WS_DLL_PUBLIC const gchar plugin_version[];
WS_DLL_PUBLIC const int plugin_want_major, plugin_want_minor;
WS_DLL_PUBLIC void plugin_register(void);

WS_DLL_PUBLIC_DEF const gchar plugin_version[] = TUYA_PLUGIN_VERSION;
WS_DLL_PUBLIC_DEF const int plugin_want_major = WIRESHARK_VERSION_MAJOR;
WS_DLL_PUBLIC_DEF const int plugin_want_minor = WIRESHARK_VERSION_MINOR;

/* called by Wireshark */
void plugin_register(void)
{
    static proto_plugin plugin = {proto_register_tuya, proto_reg_handoff_tuya};
    proto_register_plugin(&plugin);
}
