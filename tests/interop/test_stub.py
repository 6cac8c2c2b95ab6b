#!/usr/bin/env python3
"""tuya-ctl against a foreign device: the npm package @tuyapi/stub, unmodified, 3.1.

It is the one device in the wild that leaves out return codes, acknowledges with a body, sends a control back as a push
and refuses controls whose time is more than ten seconds off."""

import os
import socket
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "helpers"))
from foreign import modules_or_skip  # noqa: E402
from sim import run  # noqa: E402

ID, KEY = "fake0000000000000000id", "0123456789abcdef"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class StubTest(unittest.TestCase):
    def setUp(self):
        self.port = free_port()
        self.stub = subprocess.Popen(["node", os.path.join(HERE, "stub.js"), str(self.port), ID, KEY],
                                     stdout=subprocess.PIPE, text=True,
                                     env={**os.environ, "NODE_PATH": modules_or_skip()})
        self.addCleanup(self.stub.stdout.close)
        self.addCleanup(self.stub.wait)
        self.addCleanup(self.stub.kill)
        self.assertEqual(self.stub.stdout.readline(), "listening\n")

    def ctl(self, *command):
        result = run("tuya-ctl", "--host", "127.0.0.1", "--port", self.port, "--id", ID, "--key", KEY, "-P", "3.1",
                     *command)
        self.assertEqual(result.returncode, 0, f"{command}: {result.stdout}{result.stderr}")
        return result.stdout.strip()

    def test_reads_switches_sets_and_pings(self):
        self.assertEqual(self.ctl("get", "1"), "true")
        self.assertEqual(self.ctl("get", "2"), "17")
        self.ctl("off")
        self.assertEqual(self.ctl("get", "1"), "false")
        self.ctl("toggle")
        self.assertEqual(self.ctl("get", "1"), "true")
        self.ctl("set", "1=false", "2=18")
        self.assertEqual(self.ctl("get", "2"), "18")
        self.assertIn("alive", self.ctl("heartbeat"))

    def test_several_commands_share_a_connection(self):
        self.ctl("--", "on", "--", "set", "2=19", "--", "off")
        self.assertEqual(self.ctl("get", "1"), "false")
        self.assertEqual(self.ctl("get", "2"), "19")


if __name__ == "__main__":
    unittest.main()
