#!/usr/bin/env python3
"""The npm package tuyapi, unmodified, against tuya-sim; and a capture of that very traffic against the journal.

usage: test_tuyapi.py VERSION

tuyapi's own counting explains two things here (its index.js 7.7.1): it adopts the number of RESP and then expects the
reply to its n-th frame under number n. On 3.5 it counts a control twice, for ACK and STATUS, and fits a device that
counts its own frames. On 3.4 it counts a control once, so that it fits only a device that answers a control with one
frame; toggle(), which queries after a control, waits for ever otherwise. The fault no_ack is such a device.
"""

import json
import os
import subprocess
import sys
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "helpers"))
from foreign import Capture, comparable, dump_records, modules_or_skip  # noqa: E402
from sim import PATIENCE_S, Sim  # noqa: E402

VERSION = sys.argv.pop(1) if len(sys.argv) > 1 else "3.3"


class Tuyapi:
    """One run of tuyapi.js; steps as they come."""

    def __init__(self, device, **options):
        options = {**{k: device[k] for k in ("ip", "port", "id", "key", "version")}, **options}
        self.process = subprocess.Popen(["node", os.path.join(HERE, "tuyapi.js"), json.dumps(options)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, "NODE_PATH": modules_or_skip()})
        self.watchdog = threading.Timer(2 * PATIENCE_S, self.process.kill)
        self.watchdog.start()
        self.steps = []

    def run(self, on_step=None):
        """Run to the end; fails with everything it said unless it ended well. Returns {step: last value}."""
        for line in self.process.stdout:
            step = json.loads(line)
            self.steps.append(step)
            if on_step:
                on_step(step["step"])
        errors = self.process.stderr.read()
        status = self.process.wait()
        self.watchdog.cancel()
        self.process.stdout.close()
        self.process.stderr.close()
        told = "\n".join(json.dumps(s) for s in self.steps)
        assert status == 0, f"tuyapi ended with status {status}:\n{told}\n{errors}"
        assert not any(s["step"] == "error" for s in self.steps), f"tuyapi emitted an error:\n{told}"
        return {s["step"]: s["value"] for s in self.steps}

    def values(self, step):
        return [s["value"] for s in self.steps if s["step"] == step]


class TuyapiTest(unittest.TestCase):
    def test_gets_sets_receives_pushes_and_pings(self):
        query = VERSION != "3.2"  # on 3.2 tuyapi reads by a control with a null, which has its own test
        with Capture() as capture:
            with Sim("-P", VERSION, "--profile", "energy-plug", "--seed", "1", journal=True) as sim:
                capture.start(sim.port)
                tuyapi = Tuyapi(sim.devices[0], query=query, refresh=True, watch=True,
                                toggle=VERSION not in ("3.2", "3.4"))

                def on_step(step):
                    if step == "another-client-switches":
                        with sim.client() as other:
                            other.set({"1": False})

                last = tuyapi.run(on_step)
                capture.stop()
                sim.stop()
                journal = sim.journal()
            self.check_conversation(last, tuyapi, query)
            capture.check(self, sim, journal)

    def check_conversation(self, last, tuyapi, query):
        if query:
            self.assertTrue({"1", "9", "18", "19", "20"} <= set(last["get"]["dps"]), last["get"])
            self.assertIs(last["get-1"], True)
        self.assertIn("heartbeat", last)
        self.assertIs(last["set"]["dps"]["1"], False)
        self.assertIs(last["set-back"]["dps"]["1"], True)
        self.assertEqual(last["set-many"]["dps"]["9"], 3600)
        if "toggle" in last:
            self.assertIs(last["toggle"], False)
            self.assertIs(last["toggle-back"], True)
        self.assertIn("dp-refresh", last)
        self.assertTrue(set(last["dp-refresh"]["dps"]) <= {"18", "19", "20"}, last["dp-refresh"])

    @unittest.skipUnless(VERSION == "3.4", "3.4 only")
    def test_toggles_a_device_that_answers_a_control_with_one_frame(self):
        with Sim("-P", "3.4", "--profile", "energy-plug", "--fault", "no_ack") as sim:
            last = Tuyapi(sim.devices[0], toggle=True).run()
            self.assertIs(last["toggle"], False)
            self.assertIs(last["toggle-back"], True)


if __name__ == "__main__":
    unittest.main()
