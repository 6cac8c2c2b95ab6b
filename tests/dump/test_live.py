"""Live capture of the loopback device: what is said is printed while it is said, and privileges are given up."""

import json
import os
import select
import signal
import subprocess
import sys
import time
import unittest

from dumping import PATIENCE_S, DumpTest
from foreign import may_capture
from sim import Sim


class Live(DumpTest):
    def test_messages_come_while_they_are_said(self):
        with Sim("-P", "3.4", journal=True) as sim:
            command = [os.environ["TUYA_DUMP"], "-i", "lo", "--port", str(sim.port), "--key", sim.key, "--json",
                       "--write-key-log", self.path("log"), "-w", self.path("w.pcapng")]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
                try:
                    lines = self.until(p, sim, lambda got: any(r["cmd_name"] == "STATUS" and not r["error"] for r in got))
                    self.assertNotEqual(os.stat(f"/proc/{p.pid}").st_uid, 0, "still root after opening the interface")
                    p.send_signal(signal.SIGINT)
                    rest, errors = p.communicate(timeout=PATIENCE_S)
                finally:
                    p.kill()
                self.assertEqual((p.returncode, errors), (0, b""))
            for name, begin in (("log", b"TUYA_SESSION 3.4 "), ("w.pcapng", b"\x0a\x0d\x0d\x0a")):
                self.assertTrue(self.path(name).read_bytes().startswith(begin), f"{name}: opened before root was given up")
            got = lines + [json.loads(line) for line in rest.splitlines()]
            seen_whole = {r["flow"] for r in got if r["cmd"] == 3}  # the first connection may have begun before the capture
            self.assertEqual({r["error"] for r in got if r["flow"] in seen_whole}, {None})

    def until(self, p, sim, enough):
        """Talk to the plug until the decoder, which needs a moment to open the interface, has seen enough."""
        os.set_blocking(p.stdout.fileno(), False)
        data, end = b"", time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            with sim.client() as c:
                c.set({"1": False})
                c.set({"1": True})
            while select.select([p.stdout], [], [], 0.5)[0]:
                piece = os.read(p.stdout.fileno(), 65536)
                if not piece:
                    raise AssertionError(f"tuya-dump ended: {p.stderr.read()}")
                data += piece
            whole = data[:data.rfind(b"\n") + 1]
            got = [json.loads(line) for line in whole.splitlines()]
            if enough(got):
                os.set_blocking(p.stdout.fileno(), True)
                self.assertEqual(whole, data)
                return got
        raise AssertionError("nothing was decoded")


if __name__ == "__main__":
    why_not = may_capture()
    if why_not or os.geteuid() != 0:
        print(f"skipped: {why_not or 'not root'}")
        sys.exit(77)
    unittest.main()
