"""Hostile and clumsy clients: the simulator lives, serves the good client, and its memory stays flat."""

import os
import random
import select
import socket
import struct
import threading
import time
import unittest

import tuyapeer
from sim import PATIENCE_S, Sim
from tuyapeer import DP_QUERY, DP_QUERY_NEW, HEART_BEAT, START, seal

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")


def sanitized():
    """Built with AddressSanitizer? Then freed memory is kept back for a while, and numbers of memory say nothing."""
    with open(os.environ["TUYA_SIM"], "rb") as f:
        return b"__asan_" in f.read()


def memory_kb(sim):
    with open(f"/proc/{sim.process.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def descriptors(sim):
    return len(os.listdir(f"/proc/{sim.process.pid}/fd"))


def pour(sim, data, times=1):
    """Send and go, whatever happens."""
    try:
        with socket.create_connection((sim.host, sim.port), timeout=PATIENCE_S) as s:
            for _ in range(times):
                s.sendall(data)
    except OSError:
        pass


class Robust(unittest.TestCase):
    def assertFlat(self, sim, before, limit_kb):
        if not sanitized():
            self.assertLess(memory_kb(sim) - before, limit_kb)

    def assertServes(self, sim, device=None):
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                with sim.client(device) as c:
                    self.assertEqual(c.heartbeat().retcode, 0)
                    return
            except (tuyapeer.PeerError, OSError):  # the places of those who just left
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)

    def test_malformed_bytes_in_every_version(self):
        for v in VERSIONS:
            with self.subTest(version=v), Sim("-P", v, "--max-clients", 0) as sim:
                generator = random.Random(v)
                good = seal(v, "to_device", 1, START if v >= "3.4" else DP_QUERY, b"0123456789abcdef", key=sim.key.encode(),
                            session_key=sim.key.encode())
                with sim.client() as c:
                    for i in range(300):
                        data = bytearray(good * generator.randrange(1, 4))
                        for _ in range(generator.randrange(1, 8)):
                            data[generator.randrange(len(data))] = generator.randrange(256)
                        pour(sim, bytes(data[:generator.randrange(len(data))] if i % 3 == 0 else data))
                    self.assertEqual(c.heartbeat().retcode, 0)
                self.assertServes(sim)

    def test_eight_stray_bytes(self):
        for v in VERSIONS:  # a well known fake dies of them
            with Sim("-P", v) as sim:
                pour(sim, b"\0\0\x55\xaa\xff\xff\xff\xff")
                pour(sim, b"12345678")
                self.assertServes(sim)

    def test_flood_of_garbage_and_of_prefixes_costs_no_memory(self):
        for v in ("3.3", "3.5"):
            with self.subTest(version=v), Sim("-P", v, "--max-clients", 0, journal=True) as sim:
                self.assertServes(sim)
                before = memory_kb(sim)
                for data in (b"\xff" * 65536, b"\0\0\x55\xaa" * 16384, b"\0\0\x66\x99" * 16384, bytes(65536),
                             bytes.fromhex("000055aa00000001000000090000ffff") * 4096):
                    pour(sim, data, 64)
                self.assertServes(sim)
                self.assertFlat(sim, before, 4096)

    def test_absurd_lengths(self):
        with Sim("--max-clients", 0) as sim:
            for length in (0, 1, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF):
                pour(sim, bytes.fromhex("000055aa000000010000000a") + struct.pack(">I", length) + bytes(100))
                pour(sim, bytes.fromhex("000066990000000000010000000a") + struct.pack(">I", length) + bytes(100))
            self.assertServes(sim)

    def test_deep_json_and_long_numbers(self):
        for v in VERSIONS:
            with self.subTest(version=v), Sim("-P", v, "--max-clients", 0) as sim, sim.client() as c:
                cmd = DP_QUERY_NEW if v >= "3.4" else DP_QUERY
                for body in ('{"a":' * 500 + "1" + "}" * 500, '{"dps":{"1":' + "9" * 3000 + "}}", "[" * 4000,
                             '{"t":"' + "\\u0000" * 500 + '"}', '{"gwId":"\ud800"}'.encode("utf-8", "surrogatepass"),
                             '{"dps":{"99999999999999999999":true}}'):
                    c.send(cmd, body)
                    c.receive()
                    c.send(0x0D if v >= "3.4" else 0x07, body)
                    c.receive()
                self.assertEqual(c.heartbeat().retcode, 0)

    def test_slow_drip_hinders_nobody(self):
        with Sim("--max-clients", 0, "--idle-timeout", 60) as sim:
            drips = [socket.create_connection((sim.host, sim.port)) for _ in range(50)]
            frame = seal("3.3", "to_device", 1, DP_QUERY, {"gwId": "x"}, key=sim.key.encode())
            with sim.client() as c:
                for i in range(len(frame) - 1):
                    for s in drips:
                        s.send(frame[i:i + 1])
                    if i % 16 == 0:
                        self.assertEqual(c.heartbeat().retcode, 0)
            for s in drips:  # and in the end they are served, too
                s.send(frame[-1:])
                s.settimeout(PATIENCE_S)
                self.assertEqual(s.recv(4)[:4], b"\0\0\x55\xaa")
                s.close()

    def test_thousand_silent_connections(self):
        with Sim("--count", 400, "-P", "3.3:1,3.5:1") as sim:
            self.assertServes(sim)
            before, open_before = memory_kb(sim), descriptors(sim)
            silent = [socket.create_connection((sim.host, sim.ready["port"]), timeout=PATIENCE_S) for _ in range(800)]
            for d in sim.devices[:3]:
                self.assertServes(sim, d)
            self.assertFlat(sim, before, 4096)
            for s in silent:
                s.close()
            end = time.monotonic() + PATIENCE_S
            while descriptors(sim) > open_before:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)

    def test_resets_in_the_middle(self):
        with Sim("-P", "3.5", "--max-clients", 0, journal=True) as sim:
            for i in range(200):
                c = sim.client()
                c.connect(negotiate=i % 2 == 0)
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if i % 2 == 0:
                    c.send(DP_QUERY_NEW, {})
                    c.send(0x0D, c.control_body({"1": i % 4 == 0}))
                c.close()
            self.assertServes(sim)

    def test_client_that_never_reads_is_not_read_from_either(self):
        with Sim("--max-clients", 0) as sim:
            self.assertServes(sim)
            before = memory_kb(sim)
            s = socket.create_connection((sim.host, sim.port))
            self.addCleanup(s.close)
            s.setblocking(False)
            frame = seal("3.3", "to_device", 1, DP_QUERY, {"gwId": "x"}, key=sim.key.encode()) * 100
            sent, end = 0, time.monotonic() + 3
            while time.monotonic() < end and sent < 64 << 20:
                if not select.select([], [s], [], 0.3)[1]:
                    break
                sent += s.send(frame)
            self.assertLess(sent, 64 << 20, "everything was swallowed")
            self.assertServes(sim)
            self.assertFlat(sim, before, 8192)
            s.close()

    def test_countdowns_that_replace_each_other_cost_nothing(self):
        n, most = 20000, 86400
        with Sim("-P", "3.3", "--profile", "basic-plug", "--status-delay", 0) as sim, sim.client() as c:
            def pour_countdowns(begin, n):
                data = b"".join(seal("3.3", "to_device", i, 7, '{"dps":{"9":%d}}' % (begin - i), key=c.key) for i in range(n))
                sender = threading.Thread(target=c.sock.sendall, args=(data,))
                sender.start()
                while c.receive_command(7).seq < n - 1:
                    c.pushes.clear()
                sender.join()
            c.sock.settimeout(PATIENCE_S)
            pour_countdowns(most, 500)
            before = memory_kb(sim)
            pour_countdowns(most - 500, n)
            self.assertServes(sim)
            self.assertFlat(sim, before, 600)

    def test_client_that_never_hears_what_others_do_is_let_go(self):
        with Sim("--max-clients", 0, "--idle-timeout", 0, "--status-delay", 0) as sim:
            deaf = socket.socket()
            self.addCleanup(deaf.close)
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((sim.host, sim.port))
            deaf.sendall(seal("3.3", "to_device", 1, DP_QUERY, {"gwId": "x"}, key=sim.key.encode()))
            before = memory_kb(sim)
            with sim.client() as c:
                c.heartbeat()
                both = descriptors(sim)
                change = {"42": "x" * 250, "43": "y" * 250, "44": "z" * 250}
                end = time.monotonic() + PATIENCE_S
                while descriptors(sim) == both and time.monotonic() < end:
                    for _ in range(100):
                        c.set(change)
                self.assertLess(descriptors(sim), both, "the deaf client is still there")
                self.assertFlat(sim, before, 8192)

    def test_thousands_of_small_requests_in_one_write_are_all_answered(self):
        with Sim("-P", "3.1") as sim, sim.client() as c:
            n = 5000
            c.sock.settimeout(PATIENCE_S)
            data = b"".join(seal("3.1", "to_device", i, DP_QUERY, b"{}", key=c.key) for i in range(n))
            sender = threading.Thread(target=c.sock.sendall, args=(data,))
            sender.start()
            self.assertEqual([c.receive().seq for _ in range(n)], list(range(n)))
            sender.join()

    def test_many_clients_at_once_each_get_their_own_answers(self):
        with Sim("-P", "3.4", "--max-clients", 0) as sim:
            failures = []

            def work(n):
                try:
                    with sim.client() as c:
                        for _ in range(20):
                            c.send(HEART_BEAT)
                            c.send(DP_QUERY_NEW, {})
                            assert [c.receive_command(HEART_BEAT).cmd, c.receive_command(DP_QUERY_NEW).cmd]
                except BaseException as e:
                    failures.append((n, repr(e)))

            threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(failures, [])

    def test_restarts_with_old_connections_around(self):
        with Sim() as sim:
            with sim.client() as c:
                c.status()
                sim.stop()
            again = Sim("--port", sim.port, port=None)
            with again, again.client() as c:  # the port is free at once
                self.assertIn("1", c.status())


if __name__ == "__main__":
    unittest.main()
