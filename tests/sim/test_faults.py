"""Every fault by name, from the client's side: with it a client sees what real plugs were seen to do, without it not.
The numbers are those of tuya-sim --list-faults, which names the threads (device behaviour, section 14)."""

import os
import select
import socket
import struct
import time
import unittest

import tuyapeer
from sim import PATIENCE_S, Sim, run
from tuyapeer import (CONTROL, CONTROL_NEW, DP_QUERY, DP_QUERY_NEW, HEART_BEAT, STATUS, UPDATEDPS, Closed, PeerError,
                      Timeout, unseal)

SILENCE_S = 0.15  # how long nothing has to come; a STATUS would come after 20 ms
VERSIONS = ("3.1", "3.3", "3.4", "3.5")


def query_command(version):
    return DP_QUERY_NEW if version >= "3.4" else DP_QUERY


def control_command(version):
    return CONTROL_NEW if version >= "3.4" else CONTROL


class Case(unittest.TestCase):
    def assertSilent(self, client, seconds=SILENCE_S):
        with self.assertRaises(Timeout):
            m = client.receive(timeout=seconds)
            self.fail(f"expected silence, got {m}")

    def sim(self, *faults, **options):
        arguments = []
        for f in faults:
            arguments += ["--fault", f]
        for name, value in options.items():
            if name not in ("control", "P"):
                arguments += ["--" + name.replace("_", "-"), value]
        if "P" in options:
            arguments += ["-P", options["P"]]
        sim = Sim(*arguments, control=options.get("control", False))
        sim.__enter__()
        self.addCleanup(sim.__exit__, None)
        return sim

    def client(self, *faults, **options):
        sim = self.sim(*faults, **options)
        c = sim.client()
        self.addCleanup(c.close)
        c.connect()
        c.sim = sim
        return c

    def control(self, c, dps):
        return c.send(control_command(c.version), c.control_body(dps))


def segments(c, seconds=0.5):
    """What arrives until it is quiet, as [(time, bytes)]: one recv() each."""
    found, begin = [], time.monotonic()
    c.sock.settimeout(seconds)
    while True:
        try:
            data = c.sock.recv(65536)
        except socket.timeout:
            return found
        if not data:
            return found
        found.append((time.monotonic() - begin, data))


def frames(c, data):
    reader = tuyapeer.FrameReader()
    reader.feed(data)
    found = []
    while (frame := reader.next()) is not None:
        found.append(unseal(c.version, "from_device", frame, key=c.key, session_key=c.session_key))
    return found


class OrderAndNumberOfReplies(Case):
    def test_q01_coalesce(self):
        for v in VERSIONS:
            with self.subTest(version=v):
                c = self.client("Q01", P=v)
                self.control(c, {"1": False})
                got = segments(c)
                self.assertEqual(len(got), 1)
                self.assertEqual([m.cmd for m in frames(c, got[0][1])], [control_command(v), STATUS])

    def test_q02_split(self):
        for cut in (1, 5, 20, 0):  # inside the header, inside the body, anywhere
            with self.subTest(cut=cut):
                c = self.client(f"split:n={cut},ms=30,cmd=HEART_BEAT")
                c.send(HEART_BEAT)
                got = segments(c)
                self.assertEqual(len(got), 2)
                self.assertEqual(len(got[0][1]) + len(got[1][1]), 28)
                if cut:
                    self.assertEqual(len(got[0][1]), cut)
                self.assertGreater(got[1][0] - got[0][0], 0.015)

    def test_q03_status_first(self):
        for v in VERSIONS:
            with self.subTest(version=v):
                c = self.client("status_first", P=v)
                self.control(c, {"1": False})
                got = segments(c)
                self.assertEqual([m.cmd for _, s in got for m in frames(c, s)], [STATUS, control_command(v)])

    def test_q04_no_ack(self):
        c = self.client("no_ack")
        self.control(c, {"1": False})
        self.assertEqual(c.receive().dps, {"1": False})
        self.assertSilent(c)

    def test_q05_no_status(self):
        c = self.client("no_status")
        self.control(c, {"1": False})
        self.assertEqual(c.receive().cmd, CONTROL)
        self.assertSilent(c)
        self.assertIs(c.status()["1"], False)

    def test_q06_late_status(self):
        c = self.client("late_status:ms=400")
        begin = time.monotonic()
        self.control(c, {"1": False})
        self.assertEqual(c.receive().cmd, CONTROL)
        self.assertLess(time.monotonic() - begin, 0.35)
        self.assertEqual(c.receive().dps, {"1": False})
        self.assertGreater(time.monotonic() - begin, 0.39)

    def test_q07_dup_status(self):
        c = self.client("dup_status")
        self.control(c, {"1": False})
        self.assertEqual(c.receive().cmd, CONTROL)
        one, two = c.receive(), c.receive()
        self.assertEqual((one.dps, two.dps), ({"1": False}, {"1": False}))
        serial = [struct.unpack(">I", m.header[7:11])[0] for m in (one, two)]
        self.assertEqual(serial[1], serial[0] + 1)

    def test_q08_split_status(self):
        c = self.client("split_status", P="3.4")
        self.control(c, {"1": False, "9": 500, "40": "pos"})
        self.assertEqual(c.receive().cmd, CONTROL_NEW)
        one, two = c.receive().dps, c.receive().dps
        self.assertEqual({**one, **two}, {"1": False, "9": 500, "40": "pos"})
        self.assertFalse(set(one) & set(two))

    def test_q09_partial_status(self):
        for v in VERSIONS:
            with self.subTest(version=v):
                c = self.client("partial_status", P=v)
                c.send(query_command(v), c.query_body())
                first = c.receive()
                self.assertEqual((first.cmd, list(first.dps)), (STATUS, ["1"]))
                self.assertEqual(c.receive().cmd, query_command(v))

    def test_q10_ack_padding(self):
        for v, size in (("3.3", 28 + 16), ("3.4", 56 + 16)):
            with self.subTest(version=v):
                c = self.client("ack_padding", P=v)
                ack, _ = c.set({"1": False})
                self.assertEqual((len(ack.raw), ack.payload), (size, b""))

    def test_q11_ack_rc1(self):
        for option, code in (("ack_rc1", 1), ("ack_rc1:n=1", 0x01000000)):
            with self.subTest(option):
                c = self.client(option, P="3.5")
                ack, push = c.set({"1": False})
                self.assertEqual((ack.retcode, ack.payload, push.dps), (code, b"", {"1": False}))

    def test_q12_sequence_numbers(self):
        c = self.client("seq_zero")
        c.seq = 70
        self.assertEqual(c.query().seq, 0)
        c = self.client("seq_random:cmd=DP_QUERY")
        self.assertNotEqual(c.query().seq, c.seq)
        for v in ("3.4", "3.5"):
            c = self.client("seq_echo:cmd=DP_QUERY_NEW", P=v)
            c.seq = 0x12345
            self.assertEqual(c.query().seq, 0x12346)

    def test_q13_drop_first(self):
        c = self.client("drop_first")
        c.send(DP_QUERY, c.query_body())
        self.assertSilent(c)
        self.assertIn("1", c.status())

    def test_never_answer(self):
        c = self.client("never_answer:cmd=CONTROL")
        self.control(c, {"1": False})
        self.assertEqual(c.receive().cmd, STATUS)  # it was done
        self.assertEqual(c.heartbeat().cmd, HEART_BEAT)


class RefusalsAndRefreshes(Case):
    def test_q14_query_refused_until_a_refresh_or_a_control(self):
        for wake in (lambda c: c.send(UPDATEDPS, {"dpId": [18]}), lambda c: c.set({"1": True})):
            c = self.client("query_refused")
            m = c.query()
            self.assertEqual((m.retcode, m.payload), (1, b"json obj data unvalid"))
            wake(c)
            self.assertIn("1", c.status())

    def test_q15_device22(self):
        c = self.client("device22")
        for _ in range(2):
            self.assertEqual(c.query().payload, b"json obj data unvalid")
            c.set({"1": True})
        c.send(CONTROL_NEW, {"dps": {"1": None}})
        self.assertEqual((c.receive().cmd, c.receive().dps), (CONTROL_NEW, {"1": True}))

    def test_q16_stale_energy(self):
        for fault, changes in (((), True), (("stale_energy",), False)):
            c = self.client(*fault, control=True, clock="virtual", idle_timeout=0)
            c.sim.request("PUT", f"/devices/{c.id}/load", {"watts": 500.0})
            c.sim.request("POST", "/clock/advance", {"ms": 60000})
            self.assertEqual(c.status()["19"] > 0, changes)
            c.send(UPDATEDPS, {"dpId": [18, 19, 20]})
            if fault:
                self.assertGreater(c.receive_push().dps["19"], 4000)

    def test_q17_update_ignored(self):
        c = self.client("update_ignored", control=True, clock="virtual")
        c.sim.request("PUT", f"/devices/{c.id}/load", {"watts": 500.0})
        c.sim.request("POST", "/clock/advance", {"ms": 2000})
        c.send(UPDATEDPS, {"dpId": [18, 19, 20]})
        self.assertSilent(c)

    def test_q18_update_closes_on_unknown_ids(self):
        c = self.client("update_closes")
        c.send(UPDATEDPS, {"dpId": [18, 19]})
        self.assertIn("1", c.status())
        c.send(UPDATEDPS, {"dpId": [18, 99]})
        c.receive_close()

    def test_q37_wrong_key_reply(self):
        c = self.client("wrong_key_reply:count=1")
        m = c.query()
        self.assertEqual((m.retcode, m.payload), (1, b"parse data error"))
        self.assertIn("1", c.status())

    def test_q38_picky_json(self):
        c = self.client("picky_json")
        c.send(DP_QUERY, '{"gwId": "x"}')
        self.assertSilent(c)
        c.send(DP_QUERY, '{"gwId":"x y"}')
        self.assertEqual(c.receive().retcode, 0)

    def test_q39_no_change_silent(self):
        c = self.client("no_change_silent")
        c.set({"1": True}, push=False)
        self.assertSilent(c)
        self.assertEqual(c.set({"1": False})[1].dps, {"1": False})


class Connections(Case):
    def test_q19_one_client(self):
        sim = self.sim("one_client")
        with sim.client() as first:
            with socket.create_connection((sim.host, sim.port), timeout=PATIENCE_S) as second:
                self.assertEqual(second.recv(10), b"")
            self.assertIn("1", first.status())
        sim = self.sim("one_client:n=1")
        with sim.client():
            with self.assertRaises(ConnectionResetError):  # the reset may be faster than connect() returns
                with socket.create_connection((sim.host, sim.port), timeout=PATIENCE_S) as second:
                    second.recv(10)
        sim = self.sim("one_client:n=2")
        with sim.client() as first, sim.client() as second:
            self.assertIn("1", second.status())
            with self.assertRaises((Closed, ConnectionError)):
                first.receive()

    def test_q20_linger(self):
        sim = self.sim("linger:ms=500")
        with sim.client() as c:
            c.status()
        refused = 0
        end = time.monotonic() + PATIENCE_S
        while True:
            c = sim.client()
            try:
                c.connect()
                c.status()
                break
            except (PeerError, OSError):
                refused += 1
            finally:
                c.close()
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        self.assertGreater(refused, 3)

    def test_q21_idle_close(self):
        c = self.client("idle_close:ms=15000", control=True, clock="virtual")
        c.sim.request("POST", "/clock/advance", {"ms": 14999})
        c.heartbeat()
        c.sim.request("POST", "/clock/advance", {"ms": 15000})
        c.receive_close()

    def test_q22_reset_after_heartbeat(self):
        c = self.client("reset_after_heartbeat:ms=30000")
        self.assertEqual(c.heartbeat().retcode, 0)
        c.set({"1": False})
        c.send(HEART_BEAT)
        with self.assertRaisesRegex(Closed, "reset"):
            c.receive()

    def test_q23_no_heartbeat(self):
        c = self.client("no_heartbeat")
        c.send(HEART_BEAT)
        self.assertSilent(c)
        self.assertIn("1", c.status())

    def test_q24_key_zero(self):
        for v in ("3.4", "3.5"):
            sim = self.sim("key_zero", P=v)
            c = sim.client()
            c.connect(negotiate=False)
            nonce = os.urandom(16)
            c.send(tuyapeer.START, nonce)
            device_nonce = c.receive().payload[:16]
            key = tuyapeer.session_key_of(v, c.key, nonce, device_nonce)
            self.assertEqual(key[0], 0)
            c.send(tuyapeer.FINISH, tuyapeer.proof(c.key, device_nonce))
            c.session_key = key
            c.send(DP_QUERY_NEW, {})
            c.receive_close()  # the device thinks it has no session
            c.close()

    def test_vendor(self):
        c = self.client("vendor", P="3.5")  # protocol section 10
        while True:  # one session key of 256 begins with 00, and this device forgets it
            try:
                ack, push = c.set({"1": False})
                break
            except Closed:
                c.close()
                c.connect()
        self.assertEqual((ack.retcode, ack.payload, push.dps), (0x01000000, b"", {"1": False}))
        c.send(CONTROL_NEW, "{")
        self.assertEqual(c.receive().retcode, 0x01000000)
        for v in ("3.4", "3.5"):  # FINISH without START, both nonces being zero
            sim = self.sim("vendor", P=v)
            other = sim.client()
            self.addCleanup(other.close)
            other.connect(negotiate=False)
            other.send(tuyapeer.FINISH, tuyapeer.proof(other.key, bytes(16)))
            other.session_key = tuyapeer.session_key_of(v, other.key, bytes(16), bytes(16))
            if other.session_key[0] != 0:
                self.assertIn("1", other.status())

    def test_q25_hang_until_a_reboot(self):
        sim = self.sim("hang:count=1", control=True)
        with sim.client() as c:
            c.send(DP_QUERY, c.query_body())
            self.assertSilent(c)
        with sim.client() as c:
            c.send(DP_QUERY, c.query_body())
            self.assertSilent(c)
        sim.request("POST", f"/devices/{sim.id}/reboot", {"down_ms": 0})
        with sim.client() as c:
            self.assertIn("1", c.status())

    def test_q26_rst_after_ok(self):
        c = self.client("rst_after_ok:cmd=DP_QUERY")
        self.assertIn("1", c.status())
        with self.assertRaisesRegex(Closed, "reset"):
            c.receive()

    def test_q27_slow(self):
        c = self.client("slow:ms=300,cmd=DP_QUERY")
        begin = time.monotonic()
        c.send(DP_QUERY, c.query_body())
        c.send(HEART_BEAT)
        self.assertEqual([c.receive().cmd, c.receive().cmd], [DP_QUERY, HEART_BEAT])  # late, and in order
        self.assertGreater(time.monotonic() - begin, 0.29)

    def test_q31_reboot(self):
        sim = self.sim("reboot:ms=300,count=1")
        c = sim.client()
        c.connect()
        c.send(DP_QUERY, c.query_body())
        with self.assertRaises((Closed, ConnectionError)):
            c.receive()
        c.close()
        begin, tries = time.monotonic(), 0
        while True:
            try:
                with sim.client() as c:
                    c.status()
                break
            except (PeerError, OSError):
                tries += 1
                self.assertLess(time.monotonic() - begin, PATIENCE_S)
                time.sleep(0.01)
        self.assertGreater(tries, 0)

    def test_reset_in_place_of_a_reply_and_after_some_bytes(self):
        c = self.client("reset:cmd=DP_QUERY")
        c.send(DP_QUERY, c.query_body())
        with self.assertRaisesRegex(Closed, "reset"):
            c.receive()
        c = self.client("reset:n=10,cmd=HEART_BEAT")
        c.send(HEART_BEAT)
        self.assertEqual(len(c.sock.recv(100)), 10)
        with self.assertRaises(ConnectionResetError):
            c.sock.recv(100)

    def test_half_close(self):
        c = self.client("half_close:cmd=HEART_BEAT")
        self.assertEqual(c.heartbeat().retcode, 0)
        with self.assertRaises(Closed):
            c.receive()
        c.send(HEART_BEAT)  # it still reads, and the connection is not reset
        with self.assertRaises(Closed):
            c.receive()


class Values(Case):
    def test_q32_rekey(self):
        sim = self.sim(control=True)
        old = sim.client()
        old.connect()
        self.assertEqual(sim.request("POST", f"/devices/{sim.id}/faults", {"fault": "rekey"})[0] // 100, 2)
        self.assertIn("1", old.status())  # a living connection keeps its key
        old.close()
        with sim.client() as c:
            with self.assertRaises(PeerError):  # mostly unreadable; readable by chance or not, it is a refusal
                c.status()

    def test_q33_boot_time(self):
        c = self.client("boot_time", control=True, clock="virtual")
        c.sim.request("POST", "/clock/advance", {"ms": 20000})
        self.assertEqual(c.set({"1": False})[1].json["t"], 20)

    def test_q34_dp_absent(self):
        c = self.client("dp_absent:n=38")
        self.assertNotIn("38", c.status())
        c = self.client("Q34")
        self.assertNotIn("1", c.status())
        c.set({"1": False})
        self.assertIs(c.status()["1"], False)

    def test_q35_suffix_in_body(self):
        c = self.client("suffix_in_body")
        for _ in range(3):
            m = c.query()
            self.assertIn(bytes.fromhex("0000aa55"), m.raw[:-4])
            self.assertIn("1", m.dps)

    def test_q36_bad_check(self):
        for v, name in (("3.1", "bad_crc"), ("3.3", "Q36"), ("3.4", "bad_hmac"), ("3.5", "bad_tag")):
            with self.subTest(version=v):
                c = self.client(f"{name}:count=1,cmd={query_command(v)}", P=v)
                c.send(query_command(v), c.query_body())
                with self.assertRaises(PeerError):
                    c.receive()
                self.assertIn("1", c.status())

    def test_q40_spike(self):
        c = self.client(control=True, clock="virtual", idle_timeout=0)
        c.sim.request("PUT", f"/devices/{c.id}/load", {"watts": 3.0})
        c.sim.request("POST", "/clock/advance", {"ms": 60000})
        self.assertLess(c.status()["19"], 100)
        c.sim.request("POST", f"/devices/{c.id}/faults", {"fault": "spike"})
        seen = []
        while max(seen, default=0) < 10000:
            seen.append(c.receive_push().dps.get("19", 0))


class Line(Case):
    """Bytes on a slow or bad line."""

    def test_latency_and_jitter(self):
        c = self.client("latency:ms=150", "jitter:ms=50")
        begin = time.monotonic()
        c.heartbeat()
        self.assertGreater(time.monotonic() - begin, 0.149)

    def test_realistic(self):
        """As late as 78 000 measured replies were; the table of device behaviour, section 12. The classes begin at these ms
        with these shares of all replies before them. A busy machine makes replies later, never earlier."""
        n, sim = 200, self.sim("realistic", seed="1", max_clients="0")
        clients = [sim.client() for _ in range(n)]
        began = {}
        for c in clients:
            self.addCleanup(c.close)
            c.connect()
            began[c.sock] = time.monotonic()
            c.send(HEART_BEAT)
        late = []
        while began:
            for s in select.select(list(began), [], [], PATIENCE_S)[0]:
                late.append((time.monotonic() - began.pop(s)) * 1000)
        for ms, before in ((50, 0.498), (100, 0.717), (150, 0.883), (200, 0.944)):
            self.assertGreater(sum(x >= ms for x in late) / n, 1 - before - 0.06)
        self.assertLess(min(late), 2000)

    def test_bandwidth(self):
        c = self.client("bandwidth:n=1000")
        begin = time.monotonic()
        n = sum(len(c.query().raw) for _ in range(3))
        self.assertGreater(time.monotonic() - begin, (n - 400) / 1000)

    def test_slice(self):
        c = self.client("slice:n=1,ms=2")
        c.send(HEART_BEAT)
        got = segments(c)
        self.assertEqual(sum(len(s) for _, s in got), 28)
        self.assertGreater(len(got), 5)

    def test_glue(self):
        c = self.client("glue:ms=200")
        self.control(c, {"1": False})
        got = segments(c)
        self.assertEqual(len(got), 1)
        self.assertEqual([m.cmd for m in frames(c, got[0][1])], [CONTROL, STATUS])

    def test_drop_bytes_corrupt_and_junk(self):
        c = self.client("drop_bytes:n=3,cmd=HEART_BEAT")
        c.send(HEART_BEAT)
        self.assertEqual(sum(len(s) for _, s in segments(c)), 25)
        c = self.client("corrupt:n=1,cmd=HEART_BEAT")
        c.send(HEART_BEAT)
        data = segments(c)[0][1]
        good = bytes.fromhex("000055aa00000000000000090000000c00000000b051ab030000aa55")
        self.assertEqual(sum(a != b for a, b in zip(data, good, strict=True)), 1)
        c = self.client("junk:n=16,cmd=HEART_BEAT")
        c.send(HEART_BEAT)
        data = b"".join(s for _, s in segments(c))
        self.assertEqual((len(data), data[16:]), (44, good))


class Dice(Case):
    def test_count_skip_and_command(self):
        c = self.client("no_heartbeat:skip=1,count=2")
        for answered in (True, False, False, True, True):
            c.send(HEART_BEAT)
            if answered:
                self.assertEqual(c.receive().cmd, HEART_BEAT)
            else:
                self.assertSilent(c, 0.15)

    def test_probability_follows_from_the_seed(self):
        def pattern(seed):
            c = self.client("seq_random:p=0.5,cmd=HEART_BEAT", seed=seed)
            return [c.heartbeat().seq != 0 for _ in range(40)]

        one, again, other = pattern(5), pattern(5), pattern(6)
        self.assertEqual(one, again)
        self.assertNotEqual(one, other)
        self.assertTrue(8 < sum(one) < 32, one)

    def test_one_device_of_several(self):
        with Sim("--count", 2, "--seed", 1, "-P", "3.3") as sim:
            a, b = sim.devices
        with Sim("--count", 2, "--seed", 1, "-P", "3.3", "--fault", f"no_ack:device={a['id']}") as sim:
            with sim.client(sim.devices[0]) as c:
                c.send(CONTROL, c.control_body({"1": False}))
                self.assertEqual(c.receive().cmd, STATUS)
            with sim.client(sim.devices[1]) as c:
                c.send(CONTROL, c.control_body({"1": False}))
                self.assertEqual(c.receive().cmd, CONTROL)

    def test_on_and_off_at_run_time(self):
        c = self.client(control=True)
        self.assertEqual(c.heartbeat().retcode, 0)
        status, _ = c.sim.request("POST", f"/devices/{c.id}/faults", {"fault": "no_heartbeat"})
        self.assertEqual(status // 100, 2)
        c.send(HEART_BEAT)
        self.assertSilent(c)
        c.sim.request("DELETE", f"/devices/{c.id}/faults")
        self.assertEqual(c.heartbeat().retcode, 0)


class Table(unittest.TestCase):
    def test_every_quirk_from_q01_to_q40_is_listed_and_has_a_test(self):
        listed = {}
        for line in run("tuya-sim", "--list-faults").stdout.splitlines():
            words = line.split()
            if words and words[0][0] == "Q" and words[0][1:3].isdigit():
                listed.setdefault(words[0][:3], []).append(words[1])
        self.assertEqual(sorted(listed), [f"Q{i:02d}" for i in range(1, 41)])
        with open(__file__, encoding="utf-8") as f:
            source = f.read()
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "test_discovery.py"), encoding="utf-8") as f:
            source += f.read()
        for number, names in listed.items():
            self.assertTrue(f"def test_{number.lower()}_" in source, f"{number} {names} has no test")


if __name__ == "__main__":
    unittest.main()
