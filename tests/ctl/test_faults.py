"""Every command, in every version, against every fault of the simulator that a client can survive.

Which those are: all of `tuya-sim --list-faults` but the ones named in CANNOT. A fault that is new there is tried here
without being asked for, so that nobody forgets it."""

import json
import os
import unittest

import parallel
from sim import Sim, run

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")

CANNOT = {
    "hang": "never answers",
    "never_answer": "never answers",
    "rekey": "another key",
    "key_zero": "for ever; that one such key is no trouble is a test in test_commands.py",
    "ip_change": "another address",
    "wrong_key_reply": "looks like a wrong key, and is meant to",
}
# How a fault is dosed when its default leaves no way through, or takes too long
DOSE = {
    "reset": "reset:count=1",
    "bad_check": "bad_check:count=1",
    "drop_bytes": "drop_bytes:count=1",
    "corrupt": "corrupt:count=1",
    "junk": "junk:count=1",
    "reboot": "reboot:ms=300,count=1",
    "late_status": "late_status:ms=700",
    "slow": "slow:ms=200",
    "bandwidth": "bandwidth:n=20000",
    "slice": "slice:n=7",
    "half_close": "half_close:count=1",
    "linger": "linger:ms=300",
}
COMMANDS = ("status", "get 20", "set 9=77", "on 1", "off 1", "toggle 1", "energy")


def faults():
    listed = [line.split() for line in run("tuya-sim", "--list-faults").stdout.splitlines()]
    names = [w[1] if w[0].startswith("Q") and len(w) > 1 else w[0] for w in listed if len(w) > 4]
    return [n for n in names if n.isascii() and n.replace("_", "").isalnum() and n not in ("name", "number")]


class Faults(unittest.TestCase):
    def chain(self, sim, version, fault, protocol):
        """All commands on one connection, then a refresh and a heart beat on others."""
        options = ["--host", "127.0.0.1", "--port", sim.port, "--id", sim.id, "-P", protocol, "--json",
                   "--timeout", "1.5", "--retries", "4"]
        chain = [word for c in COMMANDS for word in ["--", *c.split(" ")]]
        result = run("tuya-ctl", *options, *chain, env={"TUYA_LOCAL_KEY": sim.key})
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual(len(lines), len(COMMANDS))
        self.assertIn("1", lines[0]["dps"])
        self.assertIsInstance(lines[1]["value"], int)
        self.assertLessEqual(77 - lines[2]["dps"]["9"], 30)
        self.assertEqual([line["dps"] for line in lines[3:6]], [{"1": True}, {"1": False}, {"1": True}])
        self.assertIsNotNone(lines[6]["volts"])
        if "update" in fault or "energy" in fault or fault == "split":
            result = run("tuya-ctl", *options, "refresh", env={"TUYA_LOCAL_KEY": sim.key})
            self.assertEqual(result.returncode, 0, result.stderr)
        if fault != "no_heartbeat":
            result = run("tuya-ctl", *options, "heartbeat", env={"TUYA_LOCAL_KEY": sim.key})
            self.assertEqual(result.returncode, 0, result.stderr)

    def survives(self, fault, version, protocol):
        spec = DOSE.get(fault, fault)
        if fault == "dp_absent":
            spec = "dp_absent:n=17"
        with Sim("-P", version, "--seed", "1", "--discovery", "off", "--fault", spec) as sim:
            self.chain(sim, version, fault, protocol)


def _add(fault, version, protocol):
    setattr(Faults, f"test_{fault}_{version}_{protocol}", lambda self: self.survives(fault, version, protocol))


for _n, _fault in enumerate(faults()):
    if _fault not in CANNOT:
        _add(_fault, VERSIONS[2 + _n % 3], "auto")
    for _version in VERSIONS:
        # 3.2 answers queries by an ACK and then a STATUS: a reset after the ACK leaves no way to any value
        if _fault not in CANNOT and (_fault, _version) != ("rst_after_ok", "3.2"):
            _add(_fault, _version, _version)


if __name__ == "__main__":
    parallel.main(12)
