"""What tuya-sim writes: the journal, the capture, the state. All survive what happens to programs and disks."""

import json
import os
import random
import resource
import shutil
import subprocess
import tempfile
import time
import unittest

from sim import PATIENCE_S, Sim, run
from tuyapeer import DP_QUERY, PeerError, seal

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")


def talk(c):
    """Some of everything; what the client saw, in order."""
    c.send(0x10 if c.version >= "3.4" else DP_QUERY, c.query_body())
    seen = [c.receive()]
    ack, push = c.set({"1": False})
    return seen + [ack, push, c.heartbeat({"gwId": c.id})]


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)


class Journal(Folder):
    def test_every_frame_is_there_with_what_the_client_saw(self):
        for v in VERSIONS:
            with self.subTest(version=v), Sim("-P", v, journal=True) as sim:
                with sim.client() as c:
                    seen = talk(c)
                sim.stop()
                records = sim.journal()
                sent = [r for r in records if r["dir"] == "from_device"]
                if v >= "3.4":
                    self.assertEqual([r["cmd_name"] for r in records[:3]],
                                     ["SESS_KEY_NEG_START", "SESS_KEY_NEG_RESP", "SESS_KEY_NEG_FINISH"])
                    self.assertEqual({r["key"] for r in records[:3]}, {"local"})
                    sent = sent[1:]
                self.assertEqual([(r["cmd"], r["seq"], r["retcode"]) for r in sent],
                                 [(m.cmd, m.seq, m.retcode) for m in seen])
                self.assertEqual([r["payload"] for r in sent],
                                 [m.json if m.payload[:1] == b"{" else None for m in seen])
                self.assertEqual({(r["version"], r["device"], r["flow"], r["integrity"], r["error"]) for r in records},
                                 {(v, sim.id, 1, "ok", None)})
                self.assertEqual([r["time"] for r in records], sorted(r["time"] for r in records))
                status = next(r for r in records if r["cmd_name"] == "STATUS")
                self.assertEqual(status["key"], "session" if v >= "3.4" else "local")
                control = next(r for r in records if r["cmd_name"].startswith("CONTROL"))
                self.assertEqual(control["dir"], "to_device")

    def test_what_cannot_be_read_is_a_record_too(self):
        with Sim(journal=True) as sim:
            with sim.client() as c:
                frame = bytearray(seal("3.3", "to_device", 9, DP_QUERY, {}, key=c.key))
                frame[-5] ^= 1
                c.send_bytes(bytes(frame) + b"seventeen bytes !" + bytes.fromhex("000055aa"))
                c.key = b"not the real key"
                c.send(DP_QUERY, {})
                records = sim.wait_for_journal(lambda r: len(r) >= 3)
            self.assertEqual((records[0]["error"], records[0]["seq"], records[0]["integrity"]),
                             ("bad_integrity", 9, "bad"))
            self.assertEqual((records[1]["error"], records[1]["cmd"]), ("bad_prefix", None))
            self.assertRegex(records[1]["detail"], "skipped [0-9]+ bytes")

    def test_what_nobody_is_meant_by_is_there_without_a_device(self):
        with Sim("--count", 2, "-P", "3.3:1,3.5:1", journal=True) as sim:
            with sim.client() as c:
                c.heartbeat()
            c = sim.client({**sim.devices[0], "version": "3.5", "key": "not one of these"})
            c.connect(negotiate=False)
            c.send(3, bytes(16))
            c.receive_close()
            c.close()
            sim.stop()
            beat, answer, start = sim.journal()
            self.assertEqual([(r["device"], r["dir"], r["cmd"], r["error"]) for r in (beat, answer, start)],
                             [(None, "to_device", 9, None), (None, "from_device", 9, None),
                              (None, "to_device", 3, "no_key")])

    def test_it_is_complete_at_any_time_and_after_kill_9(self):
        with Sim(journal=True) as sim, sim.client() as c:
            c.status()
            self.assertEqual(len(sim.wait_for_journal(lambda r: len(r) >= 2)), 2)
            sim.kill()

    def test_full_disk_is_told_and_the_simulation_goes_on(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        for n in (1, 200):  # few frames, and more in one turn of the loop than are kept in memory
            with Sim("--journal", "/dev/full", "--write", "/dev/full", control=True) as sim, sim.client() as c:
                c.send_bytes(b"".join(seal("3.3", "to_device", i + 1, DP_QUERY, {}, key=c.key) for i in range(n)))
                for _ in range(n):
                    c.receive_command(DP_QUERY)
                self.assertIn("1", c.status())
                for what in ("journal", "capture"):
                    self.assertEqual(sim.output().count(f"cannot write the {what} /dev/full: No space left"), 1)
                self.assertIn("\ntuya_sim_disk_errors_total 2\n", sim.request("GET", "/metrics")[1])


class Capture(Folder):
    def test_tuya_dump_reads_the_journal_out_of_the_capture(self):
        for v in VERSIONS:
            with self.subTest(version=v), Sim("-P", v, "--write", self.path("x.pcapng"), journal=True) as sim:
                with sim.client() as c:
                    talk(c)
                sim.stop()
                key = self.path("key")
                with open(key, "w") as f:
                    f.write(sim.key)
                p = run("tuya-dump", "-r", self.path("x.pcapng"), "--key-file", key, "--port", sim.port, "--json")
                self.assertEqual(p.returncode, 0, p.stderr)
                dumped = [json.loads(line) for line in p.stdout.splitlines()]
                want = ("src", "dst", "dir", "seq", "cmd", "retcode", "payload", "text", "hex", "header", "integrity")
                self.assertEqual([[r[k] for k in want] for r in dumped], [[r[k] for k in want] for r in sim.journal()])

    def test_wireshark_finds_nothing_wrong_with_it(self):
        tshark = shutil.which("tshark")
        if not tshark:
            self.skipTest("no tshark here")
        with Sim("--write", self.path("x.pcapng")) as sim:
            for _ in range(2):
                with sim.client() as c:
                    talk(c)
            sim.stop()
            p = subprocess.run([tshark, "-r", self.path("x.pcapng"), "-o", "tcp.check_checksum:TRUE",
                                "-o", "ip.check_checksum:TRUE", "-T", "fields", "-e", "tcp.stream", "-e", "tcp.flags.str",
                                "-e", "_ws.expert.message", "-e", "tcp.len"], text=True, capture_output=True,
                               timeout=PATIENCE_S)
            self.assertEqual(p.returncode, 0, p.stderr)
            rows = [line.split("\t") for line in p.stdout.splitlines()]
            self.assertEqual({r[0] for r in rows}, {"0", "1"})
            expert = {m for r in rows for m in r[2].split(",") if m}
            self.assertFalse([m for m in expert if "hecksum" in m or "etransmission" in m or "lost" in m.lower()], expert)


class State(Folder):
    def test_values_survive_a_restart(self):
        state = self.path("state.json")
        with Sim("--state", state) as sim, sim.client() as c:
            c.set({"1": False, "40": "pos"})
        with Sim("--state", state) as sim, sim.client() as c:
            self.assertEqual([c.status()[k] for k in ("1", "40")], [False, "pos"])

    def test_every_acknowledged_control_survives_kill_9_at_any_moment(self):
        state, expected, generator = self.path("state.json"), {}, random.Random(1)
        for life in range(15):
            sim = Sim("--state", state, "--seed", 1)
            with sim:
                with sim.client() as c:
                    now = c.status()
                    self.assertEqual({k: now[k] for k in expected}, expected, f"after kill {life}")
                    for _ in range(generator.randrange(1, 30)):
                        change = generator.choice([{"1": generator.random() < 0.5},
                                                   {"40": generator.choice(["pos", "none", "relay", "on"])},
                                                   {"38": generator.choice(["on", "off", "memory"])}])
                        c.set(change, push=False)
                        expected.update(change)
                    # One more whose fate nobody promised: it must be there whole or not at all.
                    c.send(7, c.control_body({"39": True, "41": True}))
                    sim.kill()
            with open(state, encoding="utf-8") as f:
                json.load(f)

    def test_a_countdown_that_was_cancelled_does_not_switch_after_kill_9(self):
        state = self.path("state.json")
        with Sim("--state", state, "--clock", "virtual") as sim:
            with sim.client() as c:
                c.set({"1": True, "9": 60})
                c.set({"1": False})  # which cancels it
                sim.kill()
        with Sim("--state", state, "--clock", "virtual", control=True) as sim:
            sim.request("POST", "/clock/advance", {"ms": 120000})
            with sim.client() as c:
                self.assertIs(c.status()["1"], False)

    def test_state_file_is_a_snapshot(self):
        state = self.path("state.json")
        with Sim("--state", state, "--id", "bf00000000000000000001") as sim, sim.client() as c:
            c.set({"1": False})
        with open(state, encoding="utf-8") as f:
            device = json.load(f)["devices"][0]
        self.assertEqual((device["id"], device["dps"]["dps"]["1"]), ("bf00000000000000000001", False))
        self.assertEqual(os.stat(state).st_mode & 0o077, 0)  # it holds keys
        with Sim("--snapshot", state) as sim, sim.client() as c:
            self.assertIs(c.status()["1"], False)

    def test_full_disk_is_told_once_and_the_simulation_goes_on(self):
        state = self.path("state.json")
        limit = 64 * 1024

        def small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            sim = Sim("--state", state)
            sim.start()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        try:
            with sim.client() as c:
                for i in range(300):
                    c.set({"42": "x" * 200 + str(i)}, push=False)
                self.assertIn("1", c.status())
            self.assertIn(state, sim.output())
            self.assertLess(sim.output().count(state), 20)
        finally:
            sim.stop(expect=None)
            sim._clean_up(failed=False)

    def test_damaged_state_is_refused_and_left_alone(self):
        state = self.path("state.json")
        with open(state, "w") as f:
            f.write('{"devices": [')
        p = run("tuya-sim", "--state", state, "--port", "0", "--discovery", "off")
        self.assertEqual(p.returncode, 7)
        self.assertIn(state, p.stderr)
        with open(state) as f:
            self.assertEqual(f.read(), '{"devices": [')


if __name__ == "__main__":
    unittest.main()
