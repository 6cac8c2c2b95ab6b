"""What a real client and tuya-sim say to each other decodes to exactly what the simulator wrote into its journal:
from a capture of the loopback device, from the capture the simulator wrote, and from both after mangling."""

import os
import sys
import unittest
from pathlib import Path

import mangle
from dumping import DumpTest, records
from foreign import Capture
from sim import Sim

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")
SAME = ("dir", "device", "version", "framing", "seq", "cmd", "cmd_name", "retcode", "integrity", "key", "header", "payload", "text",
        "hex", "error")


def per_connection(rs, without=()):
    """Records per client, without what a capture and a journal see differently: time, flow number."""
    flows = {}
    for r in rs:
        if r["cmd"] is None:
            continue
        flows.setdefault(r["src"] if r["dir"] == "to_device" else r["dst"], []).append({k: r[k] for k in SAME if k not in without})
    return flows


def per_direction(flows):
    return {(client, d): [r for r in rs if r["dir"] == d] for client, rs in flows.items() for d in ("to_device", "from_device")}


class Journal(DumpTest):
    def traffic(self, version):
        """@return the journal, the capture of the simulator, the capture of the loopback device or None, and options"""
        written, devices = self.path(f"{version}-sim.pcapng"), self.path(f"{version}-devices.json")
        with Capture() as capture, Sim("-P", version, "--write", written, "--devices-out", devices, journal=True) as sim:
            capture.start(sim.port)
            for _ in range(3):
                with sim.client() as c:
                    c.query()
                    c.set({"1": False})
                    c.set({"1": True})
                    c.heartbeat()
                    c.query()
            capture.stop()
            sim.stop()
            journal = sim.journal()
            lo = None
            if os.path.exists(capture.path):
                lo = self.path(f"{version}-lo.pcap")
                lo.write_bytes(Path(capture.path).read_bytes())
            return journal, written, lo, ("--port", sim.port, "--devices", devices)

    def test_captures_decode_to_the_journal(self):
        for version in VERSIONS:
            journal, written, lo, options = self.traffic(version)
            want = per_connection(journal)
            self.assertGreaterEqual(sum(map(len, want.values())), 3 * 12)
            for path in filter(None, (written, lo)):
                with self.subTest(version=version, path=path.name):
                    self.assertEqual(per_connection(records("-r", path, *options, "--strict")), want)
                    for name, mangler in {
                        "split": mangle.split, "retransmit": mangle.retransmit, "overlap": mangle.overlap,
                        "glue": lambda p: mangle.glue(mangle.split(p)), "keep-alive": mangle.keep_alive,
                        "fragment": mangle.fragment, "reorder": mangle.reorder,
                        "all": lambda p: mangle.reorder(mangle.retransmit(mangle.overlap(mangle.split(p)))),
                    }.items():
                        for link, ip in (("ethernet", 4), ("sll2", 6)):
                            with self.subTest(mangler=name, link=link):
                                mangled = mangle.save(self.path("x"), mangler(mangle.load(path)), "pcapng", link=link, ip=ip)
                                # A reply that was captured before its query cannot know whose it is.
                                without = ("device",) if name in ("reorder", "all") else ()
                                got = per_connection(records("-r", mangled, *options, "--strict"), without)
                                a, b = per_direction(got), per_direction(per_connection(journal, without))
                                self.assertEqual(sorted(a.values(), key=str), sorted(b.values(), key=str))

    def test_loss_is_said(self):
        journal, written, _, options = self.traffic("3.3")
        packets = mangle.load(written)
        got = records("-r", mangle.save(self.path("x"), mangle.lose(packets, 3)), *options)
        self.assertEqual(len([r for r in got if r["cmd"] is None and "missing" in r["detail"]]), 1)
        self.assertEqual(len([r for r in got if r["cmd"] is not None]), len([r for r in journal if r["cmd"] is not None]) - 1)


if __name__ == "__main__":
    if "TUYA_SIM" not in os.environ:
        print("TUYA_SIM is not set: run the tests with meson")
        sys.exit(77)
    unittest.main()
