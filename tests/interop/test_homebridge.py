#!/usr/bin/env python3
"""The LAN client of the npm package homebridge-tuya, unmodified, against tuya-sim: 3.1, 3.3, 3.4 and three profiles.

It was written independently of tuyapi. It cuts frames at the first suffix bytes, sends an empty uid, in 3.1 the
sequence number 0 and four zero bytes in place of the CRC, and in 3.3 decrypts whatever comes."""

import json
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "helpers"))
from foreign import modules_or_skip  # noqa: E402
from sim import PATIENCE_S, Sim  # noqa: E402


def converse(device):
    options = {k: device[k] for k in ("ip", "port", "id", "key", "version")}
    result = subprocess.run(["node", os.path.join(HERE, "homebridge.js"), json.dumps(options)], text=True,
                            capture_output=True, timeout=2 * PATIENCE_S,
                            env={**os.environ, "NODE_PATH": modules_or_skip()})
    steps = [json.loads(line) for line in result.stdout.split("\n") if line]
    assert result.returncode == 0, f"it ended with {result.returncode}:\n{result.stdout}\n{result.stderr}"
    assert not any(s["step"] == "log" for s in steps), f"it complained:\n{result.stdout}"
    return steps


class HomebridgeTest(unittest.TestCase):
    def check(self, version, profile):
        with Sim("-P", version, "--profile", profile) as sim:
            steps = converse(sim.devices[0])
            self.assertIs(steps[-1]["value"]["1"], True)
            changes = [s["value"] for s in steps if s["step"] == "change"]
            self.assertGreaterEqual(len(changes), 4, steps)

    def test_switches_every_plug_profile_in_3_1(self):
        for profile in ("basic-plug", "energy-plug", "power-strip"):
            with self.subTest(profile):
                self.check("3.1", profile)

    def test_switches_every_plug_profile_in_3_3(self):
        for profile in ("basic-plug", "energy-plug", "power-strip"):
            with self.subTest(profile):
                self.check("3.3", profile)

    def test_switches_every_plug_profile_in_3_4(self):
        for profile in ("basic-plug", "energy-plug", "power-strip"):
            with self.subTest(profile):
                self.check("3.4", profile)


if __name__ == "__main__":
    unittest.main()
