"""98 broadcasts of 13 real devices, captured in a home in 2022, decode completely.

The capture is not part of the project: it is nDPI's tests/cfgs/default/pcap/tuya_lp.pcap (LGPL-3.0). Its path is taken
from TUYAWIRE_REAL_CAPTURE, or it lies at ../shared/reference beside the source tree; without it the test is skipped.
"""

import os
import sys
import unittest
from collections import Counter
from pathlib import Path

from dumping import ROOT, DumpTest, dump, records

PATH = Path(os.environ.get("TUYAWIRE_REAL_CAPTURE") or ROOT.parent / "shared" / "reference" / "tuya-discovery-real.pcap")


class Real(DumpTest):
    def test_every_broadcast_decodes(self):
        got = records("-r", PATH, "--strict")
        self.assertEqual(len(got), 98)
        self.assertEqual(len({r["device"] for r in got}), 13)
        for r in got:
            self.assertEqual((r["error"], r["dir"], r["version"], r["framing"], r["integrity"], r["cmd_name"], r["key"]),
                             (None, "broadcast", "3.3", "55aa", "ok", "UDP_NEW", "discovery"))
            self.assertEqual(r["payload"]["gwId"], r["device"])
            self.assertEqual(r["payload"]["ip"], r["src"].split(":")[0])
            self.assertEqual(r["payload"]["version"], "3.3")

    def test_text_names_every_device(self):
        lines = dump("-r", PATH).stdout.splitlines()
        per_device = Counter(line.split(" at ")[1].split(",")[0] for line in lines if " at " in line)
        self.assertEqual(sum(per_device.values()), 98)
        self.assertEqual(len(per_device), 13)


if __name__ == "__main__":
    if not PATH.exists():
        print(f"skipped: the capture of real devices is not at {PATH}; TUYAWIRE_REAL_CAPTURE may name it")
        sys.exit(77)
    unittest.main()
