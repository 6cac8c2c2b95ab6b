/* help.c - see help.h. */
#include "help.h"
#include <stdio.h>

#ifndef TUYAWIRE_VERSION
#define TUYAWIRE_VERSION "unknown"
#endif

void help_version(void)
{
    puts("tuya-ctl " TUYAWIRE_VERSION);
}

void help_print(void)
{
    fputs("usage: tuya-ctl [option]... command [argument]... [-- command [argument]...]...\n"
          "Switch, read and examine Tuya devices on the local network, protocol 3.1 to 3.5.\n"
          "\n"
          "  tuya-ctl --host 192.168.1.50 --id ID --key-file key.txt status\n"
          "  tuya-ctl --devices devices.json --device 'Kettle plug' set 1=true 9=60\n"
          "  tuya-ctl --devices devices.json --device kettle -- on -- energy -- off\n"
          "  tuya-ctl --devices devices.json --device kettle diagnose\n"
          "\n"
          "Commands\n"
          "  status               all data points, with names and units\n"
          "  get DP               one value. DP is a number, or a name of the device list (\"switch_1\")\n"
          "  set DP=VALUE...      set data points; VALUE is JSON (true, 17, '\"white\"') or a bare word\n"
          "  on, off [DP]         switch; without DP the main switch\n"
          "  toggle [DP]          the other way round; sent once, never repeated\n"
          "  energy               volts, amperes, watts and kWh\n"
          "  refresh [DP...]      make a metering plug measure now; 18, 19 and 20 unless named\n"
          "  heartbeat            is it alive?\n"
          "  watch                keep the connection and print every change, until interrupted\n"
          "  send CMD [JSON]      any command, by number or name (0x40, LAN_EXT_STREAM)\n"
          "  subdevices           what is behind a gateway\n"
          "  discover             which devices are there? Listens to what they announce\n"
          "  diagnose             why does it not answer? One verdict, its evidence, the next step\n"
          "\n"
          "Device\n"
          "  --host ADDRESS       of the device; without it, or one in the list, the device is looked for\n"
          "  --port N             default 6668\n"
          "  --id ID              device id; 3.4 and 3.5 do without\n"
          "  --cid ID             sub-device behind a gateway\n"
          "  --key-file FILE      local key, 16 characters or hex: and 32 digits; - is stdin\n"
          "  --key KEY            the same as an argument, in single quotes: keys contain $ # = : ! ' \\ ` \" <\n"
          "                       (or in the environment, TUYA_LOCAL_KEY)\n"
          "  -P, --protocol V     3.1, 3.2, 3.3, 3.4, 3.5 or auto: find out. Default: as in the list, else auto\n"
          "  --devices FILE       a tinytuya devices.json\n"
          "  --device NAME        device of that list, by name or id; without --devices from ./devices.json\n"
          "\n"
          "Other options\n"
          "  --timeout S          for connecting and for each answer, default 5; discover: how long to listen, 10\n"
          "  --retries N          tries after the first, where repeating is safe; default 1\n"
          "  --keep-alive         one connection for several commands; so it is anyway\n"
          "  --json               one JSON object per line\n"
          "  --color[=WHEN]       auto, always or never\n"
          "  --debug              every frame, in hex and decoded, on stderr\n"
          "  --show-keys          discover: print the local keys of the device list\n"
          "  --broadcast ADDRESS  discover: ask here for silent 3.5 devices; default: every interface's network\n"
          "  --discovery-port N   discover: shift the three UDP ports, 6666 by default\n"
          "  -h, --help  --version\n"
          "\n"
          "Exit status: 0 done; 1 the device said no; 2 wrong usage; 3 cannot connect; 4 wrong key; 5 wrong version "
          "or\n"
          "not the protocol; 6 no answer in time; 7 a file cannot be read.\n"
          "Session keys are appended to the file that TUYAKEYLOGFILE names, for tuya-dump and Wireshark.\n",
          stdout);
}
