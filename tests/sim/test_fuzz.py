"""--fuzz: clients meet changed replies, the same for the same seed, and one that did harm can be sent again."""

import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

from sim import PATIENCE_S, Sim, program, run
from tuyapeer import Client, ecb, seal

QUERY = 0x0A
FRAGILE_REPLIES = 60  # far more than it takes
CTL_REPLIES = 500
CTL_PROCESSES = 900
CTL_AT_ONCE = 12  # most of them wait


class FragileClient:
    """As many are written: one recv() is one message, the length field is right, the JSON is what it always was.
    Nothing is checked."""

    def __init__(self, sim):
        self.key = sim.key.encode()
        self.id = sim.id
        self.socket = socket.create_connection((sim.host, sim.port), timeout=PATIENCE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive(self):
        """What one query brings: all that comes until the simulator has nothing more to say to it."""
        body = json.dumps({"gwId": self.id, "devId": self.id}).encode()
        self.socket.sendall(seal("3.3", "to_device", 1, QUERY, body, key=self.key))
        self.socket.shutdown(socket.SHUT_WR)  # the answer, then the end: no waiting for what never comes
        return self.socket.recv(4096)

    def relay(self):
        data = self.receive()
        length = struct.unpack(">I", data[12:16])[0]
        plain = ecb(self.key, data[20:16 + length - 8], False)
        return bool(json.loads(plain[:-plain[-1]])["dps"]["1"])


def log_of(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


class FuzzTest(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="tuya-sim-fuzz-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def sim(self, *options, version="3.3", **how):
        return Sim("-P", version, "--clock", "virtual", "--scene", "steady", *options, **how)

    def crash(self, sim, tries):
        """Ask until it falls over. @return what it died of, or None."""
        for _ in range(tries):
            with FragileClient(sim) as client:
                try:
                    client.relay()
                except Exception as e:  # any of them ends such a program
                    return e
        return None

    def test_a_fragile_client_falls_over_and_falls_over_again_when_the_reply_is_replayed(self):
        log, culprit = self.path("log"), self.path("culprit")
        with self.sim("--fuzz", "seed=5,rate=0.5", "--fuzz-log", log) as sim:
            first = self.crash(sim, FRAGILE_REPLIES)
        self.assertIsNotNone(first, f"nothing broke it: {[r['how'] for r in log_of(log)]}")
        with open(log, encoding="utf-8") as f, open(culprit, "w", encoding="utf-8") as out:
            out.write(f.readlines()[-1])
        for _ in range(2):
            with self.sim("--fuzz-replay", culprit) as sim:
                again = self.crash(sim, 1)
                self.assertEqual((type(again), str(again)), (type(first), str(first)))
        with self.sim() as sim:
            self.assertIsNone(self.crash(sim, 3), "it does not even bear honest replies")

    def bytes_sent(self, fuzz, name):
        """The log of one client's fixed requests."""
        with self.sim("--fuzz", fuzz, "--fuzz-log", self.path(name), journal=True) as sim:
            for _ in range(40):
                with FragileClient(sim) as client:
                    client.receive()
            sim.stop()
            return log_of(self.path(name)), [r for r in sim.journal() if r["dir"] == "from_device"]

    def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(self):
        one, two = (self.bytes_sent("seed=7,rate=0.6", name)[0] for name in ("one", "two"))
        other = self.bytes_sent("seed=8,rate=0.6", "other")[0]
        self.assertEqual(one, two)
        self.assertNotEqual([r["bytes"] for r in one], [r["bytes"] for r in other])
        self.assertTrue(14 <= len(one) <= 34, f"rate 0.6 changed {len(one)} of 40")

    def test_the_journal_names_what_was_changed_and_rate_0_changes_nothing(self):
        log, journal = self.bytes_sent("seed=7,rate=0.6", "log")
        noted = [r for r in journal if r["detail"] and r["detail"].startswith("fuzzed ")]
        self.assertEqual([f"fuzzed {r['fuzzed']}: {r['how']}" for r in log], [r["detail"] for r in noted])
        self.assertEqual([r["damage"] == 0 for r in log], [r["integrity"] == "ok" for r in noted])
        self.assertEqual(self.bytes_sent("seed=7,rate=0", "none")[0], [])

    def test_most_changed_replies_get_past_the_integrity_check(self):
        log = self.bytes_sent("seed=12,rate=1", "log")[0]
        broken = sum(r["damage"] != 0 for r in log)
        self.assertTrue(1 <= broken <= len(log) // 3, f"{broken} of {len(log)} are broken; one in eight should be")

    def test_a_replayed_reply_is_sealed_under_the_key_of_the_new_session(self):
        reply = {"fuzzed": 1, "how": "json", "device": "any", "version": "3.5", "of": 16, "command": 16, "seq": 9,
                 "flags": 0, "has_retcode": True, "retcode": 0, "has_header": False, "header_version": "000000",
                 "counter": 0, "source": 0, "twice": False, "late": False, "damage": 0, "value": 0, "junk": "",
                 "payload": b'{"dps":{"1":"surprise"}}'.hex(), "bytes": ""}
        with open(self.path("reply"), "w", encoding="utf-8") as f:
            f.write(json.dumps(reply) + "\n")
        for version in ("3.4", "3.5"):
            with self.sim("--fuzz-replay", self.path("reply"), version=version) as sim:
                for _ in range(2):  # each connection has it once
                    with Client(sim.host, sim.port, sim.id, sim.key, version) as client:
                        self.assertEqual(client.status(), {"1": "surprise"})
                        self.assertIn(client.status()["1"], (True, False))

    def ctl(self, sim, version, number):
        """Run tuya-ctl once; what comes may be nonsense, but it ends as it says it does."""
        commands = ["status", "status -- status -- status", "heartbeat", "energy", "refresh 18", "set 1=true"]
        done = subprocess.run(
            [program("tuya-ctl"), "--host", sim.host, "--port", str(sim.port), "--id", sim.id, "-P", version,
             "--timeout", "0.05", "--retries", "1" if number % 16 == 0 else "0", *commands[number % 6].split()],
            env={**os.environ, "TUYA_LOCAL_KEY": sim.key}, capture_output=True, text=True, errors="replace",
            timeout=PATIENCE_S)
        self.assertIn(done.returncode, range(0, 8), f"run {number}: {done.stderr[-4000:]}")
        self.assertNotIn("ERROR: ", done.stderr)
        self.assertNotIn("runtime error", done.stderr)

    def test_tuya_ctl_bears_500_changed_replies(self):
        for version, seed in (("3.3", 21), ("3.5", 22)):
            log, runs = self.path("log" + version), 0
            with self.sim("--fuzz", f"seed={seed},rate=0.8", "--fuzz-log", log, "--max-clients", "0",
                          version=version) as sim, ThreadPoolExecutor(CTL_AT_ONCE) as pool:
                while len(log_of(log)) < CTL_REPLIES // 2:
                    self.assertLessEqual(runs, CTL_PROCESSES, "replies are not changed")
                    numbers = range(runs, runs + CTL_AT_ONCE * 4)
                    for result in [pool.submit(self.ctl, sim, version, n) for n in numbers]:
                        result.result()
                    runs += len(numbers)

    def test_clients_that_leave_in_the_middle_leave_nothing_behind(self):
        """What is held back for a client that is gone; a build with a leak detector ends with a status of its own."""
        with Sim("--fuzz", "seed=0,rate=0.3", control=True) as sim:
            query = seal("3.3", "to_device", 1, QUERY, b"{}", key=sim.key.encode())
            for i in range(40):
                with socket.create_connection((sim.host, sim.port), timeout=PATIENCE_S) as s:
                    s.sendall(query * (400 // (1 + i % 7)))
                    if i % 2 == 1:
                        s.recv(1)
                    if i % 3 != 0:
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST
            while "tuya_sim_connections_closed_total 40\n" not in sim.request("GET", "/metrics")[1]:
                pass

    def test_a_wrong_option_is_said(self):
        broken = self.path("broken")
        with open(broken, "w", encoding="utf-8") as f:
            f.write('{"how":"json"}\n')
        for options, status, text in ((("--fuzz", "rate=0.5"), 2, "seed"),
                                      (("--fuzz", "seed=1,rate=2"), 2, "rate"),
                                      (("--fuzz", "seed=1,often"), 2, "seed=N,rate=R"),
                                      (("--fuzz-log", self.path("log")), 2, "--fuzz"),
                                      (("--fuzz-replay", self.path("none")), 7, "none"),
                                      (("--fuzz-replay", broken), 7, "--fuzz-log")):
            done = run("tuya-sim", "--port", "0", "--discovery", "off", *options)
            self.assertEqual(done.returncode, status, f"{options}: {done.stderr}")
            self.assertIn(text, done.stderr)


if __name__ == "__main__":
    unittest.main()
