"""A real client notices: tuyapi, unmodified, sees a difference between a plug that behaves and one with the fault, and it is
the difference that users of real plugs reported. Quirks that tuyapi copes with have their tests in test_faults.py."""

import json
import os
import subprocess
import unittest

from foreign import modules_or_skip
from sim import Sim

HERE = os.path.dirname(os.path.abspath(__file__))
NODE_MODULES = modules_or_skip()


def failed(step):
    return isinstance(step, dict) and "error" in step


def text(step):
    return step if isinstance(step, str) else json.dumps(step)


# fault, version, what tuyapi notices
NOTICED = (
    ("no_status", "3.3", lambda r: failed(r["set"])),
    ("never_answer:cmd=DP_QUERY", "3.3", lambda r: failed(r["get"])),
    ("drop_first", "3.3", lambda r: failed(r["get"]) and failed(r["second"])),
    ("late_status:ms=1500", "3.3", lambda r: r["setMs"] >= 1400),
    ("slow:ms=1200,cmd=DP_QUERY", "3.3", lambda r: r["getMs"] >= 1100),
    ("dup_status", "3.3", lambda r: r["pushes"].count({"1": False}) == 2),
    ("seq_zero", "3.3", lambda r: failed(r["get"])),
    ("query_refused", "3.3", lambda r: failed(r["get"])),  # it takes the plug for a device22, which it is not
    ("device22", "3.3", lambda r: r["get"]["dps"] == {"1": True}),  # and here it is right: what it asked for, no more
    ("wrong_key_reply", "3.3", lambda r: "parse data error" in text(r["get"])),
    ("no_heartbeat", "3.3", lambda r: not r["ping"]),
    ("one_client", "3.3", lambda r: failed(r["second"])),
    ("hang", "3.4", lambda r: failed(r["connect"]) or failed(r["get"])),
    ("key_zero", "3.5", lambda r: failed(r["get"])),
    ("rst_after_ok", "3.4", lambda r: any("reset" in e.lower() or "ECONNRESET" in e for e in r["errors"])),
    ("reset:cmd=DP_QUERY", "3.3", lambda r: r["disconnected"] or failed(r["get"])),
    ("half_close:cmd=DP_QUERY", "3.3", lambda r: r["disconnected"]),
    ("reboot:ms=100", "3.3", lambda r: failed(r["get"])),
    ("bad_crc:cmd=DP_QUERY", "3.3", lambda r: any("CRC" in e for e in r["errors"])),
    ("bad_hmac:cmd=0x10", "3.4", lambda r: r["errors"] != []),
    ("bad_tag:cmd=0x10", "3.5", lambda r: not isinstance(r["get"], dict)),
    ("suffix_in_body", "3.3", lambda r: failed(r["get"])),  # it searches for the suffix
    ("drop_bytes:cmd=DP_QUERY,n=5", "3.3", lambda r: failed(r["get"])),
    ("corrupt:cmd=DP_QUERY,n=40", "3.3", lambda r: failed(r["get"]) or r["errors"] != []),
    ("junk:cmd=DP_QUERY", "3.3", lambda r: failed(r["get"]) or r["errors"] != []),
    ("dp_absent:n=1", "3.3", lambda r: "1" not in r["get"]["dps"]),
)


class Tuyapi(unittest.TestCase):
    def drive(self, sims):
        keys = ("ip", "port", "id", "key", "version")
        devices = json.dumps([{k: s.devices[0][k] for k in keys} for s in sims])
        p = subprocess.run(["node", os.path.join(HERE, "faults_tuyapi.js"), devices], text=True, capture_output=True,
                           timeout=300, env={**os.environ, "NODE_PATH": NODE_MODULES})
        self.assertEqual(p.returncode, 0, p.stderr)
        return [json.loads(line) for line in p.stdout.split("\n") if line]  # not splitlines(): garbage has other breaks

    def test_each_fault_that_it_should_notice(self):
        sims = []
        try:
            for v in ("3.3", "3.4", "3.5"):
                sims.append(Sim("-P", v).__enter__())
            for fault, v, _ in NOTICED:
                sims.append(Sim("-P", v, "--fault", fault).__enter__())
            results = self.drive(sims)
            good = dict(zip(("3.3", "3.4", "3.5"), results))
            for (fault, v, notices), result in zip(NOTICED, results[3:], strict=True):
                with self.subTest(fault, version=v):
                    self.assertTrue(notices(result), result)
                    self.assertFalse(notices(good[v]), good[v])
        finally:
            for sim in sims:
                sim.stop()


if __name__ == "__main__":
    unittest.main()
