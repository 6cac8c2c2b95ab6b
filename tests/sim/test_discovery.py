"""Announcements in each version's format, answers to those who ask for silent devices, and pauses (device behaviour 10,
3.1; protocol section 7). Everybody has ports of their own, so runs do not hear each other."""

import json
import os
import select
import socket
import struct
import tempfile
import time
import unittest

import tuyapeer
from sim import PATIENCE_S, Sim, free_base
from tuyapeer import BROADCAST_34, DP_QUERY, REQ_DEVINFO, UDP, UDP_KEY, UDP_NEW, ecb, unpad

PERIOD_MS = 5000


def open_datagram(data):
    """Prefix, command and JSON of an announcement; its check value has to be right."""
    if data[:4] == tuyapeer.PREFIX_6699:
        m = tuyapeer.unseal("3.5", "from_device", data, key=UDP_KEY, session_key=UDP_KEY)
        return m.cmd, m.seq, m.retcode, m.json
    body = tuyapeer.unseal("3.1", "from_device", data, key=UDP_KEY)
    text = body.payload if body.cmd == UDP else unpad(ecb(UDP_KEY, body.payload, False))
    return body.cmd, body.seq, body.retcode, json.loads(text)


class Discovery(unittest.TestCase):
    def setUp(self):
        self.base, self.ears = free_base()
        for s in self.ears:
            self.addCleanup(s.close)

    def sim(self, *options, **more):
        sim = Sim(*options, "--discovery", "127.0.0.1", "--discovery-port", self.base, **more)
        sim.__enter__()
        self.addCleanup(sim.__exit__, None)
        return sim

    def hear(self, seconds=PATIENCE_S):
        """The next announcement and the number of the port it came to, or None."""
        ready, _, _ = select.select(self.ears, [], [], seconds)
        if not ready:
            return None
        return self.ears.index(ready[0]), ready[0].recv(2000)

    def test_each_version_has_its_port_command_and_members(self):
        expected = {"3.1": (0, UDP), "3.2": (1, UDP_NEW), "3.3": (1, UDP_NEW), "3.4": (1, BROADCAST_34),
                    "3.5": (1, UDP_NEW)}
        for v, (port, cmd) in expected.items():
            with self.subTest(version=v):
                sim = self.sim("-P", v)
                heard, data = self.hear()
                got, seq, retcode, body = open_datagram(data)
                self.assertEqual((heard, got, seq, retcode), (port, cmd, 0, 0))
                self.assertEqual((body["gwId"], body["ip"], body["version"], body["active"], body["encrypt"]),
                                 (sim.id, "127.0.0.1", v, 2, True))
                self.assertEqual(body["productKey"], "simenergyplug001")
                if v == "3.4":
                    self.assertTrue(body["token"])  # smarthomej/addons#630
                if v == "3.5":
                    self.assertEqual(body["sl"], 0)  # TuyaOpen
                sim.stop()
                while self.hear(0):
                    pass

    def test_ecb_announcement_begins_as_all_captures_do(self):
        self.sim("-P", "3.3")
        _, data = self.hear()
        # {"ip":"192.168.1 under that key gives d097666f..; ours begins {"ip":"127.0.0.1
        self.assertEqual(data[:20].hex(), "000055aa0000000000000013" + f"{len(data) - 16:08x}" + "00000000")
        self.assertEqual(data[20:36], ecb(UDP_KEY, b'{"ip":"127.0.0.1', True))

    def test_a_capture_has_them_at_their_time_among_the_rest(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path, times = os.path.join(folder.name, "x.pcapng"), []
        begin = time.time_ns()
        sim = self.sim("-P", "3.3", "--write", path)
        self.hear()
        with sim.client() as c:
            c.heartbeat()
        sim.stop()
        with open(path, "rb") as f:
            data = f.read()
        while data:
            kind, size = struct.unpack_from("<II", data)
            if kind == 6:  # a packet: interface, time in ns as two halves, two lengths, its bytes
                high, low = struct.unpack_from("<II", data, 12)
                times.append(high << 32 | low)
            data = data[size:]
        self.assertGreater(len(times), 5)
        self.assertEqual(times, sorted(times))
        self.assertTrue(begin <= times[0] and times[-1] <= time.time_ns(), [t - begin for t in times])

    def test_every_5_s_of_simulated_time(self):
        sim = self.sim("--clock", "virtual", control=True)
        sim.request("POST", "/clock/advance", {"ms": 3 * PERIOD_MS})
        n = 0
        while self.hear(0.3):
            n += 1
        self.assertEqual(n, 4)  # at 0, 5, 10 and 15 s
        sim.request("POST", "/reset")
        sim.request("POST", "/clock/advance", {"ms": 0})
        self.assertTrue(self.hear(60), "at 0 s, once more")

    def test_all_devices_of_a_fleet_are_heard(self):
        sim = self.sim("--count", 60, "-P", "3.1:1,3.3:1,3.5:1")
        ids = set()
        while len(ids) < 60:
            ids.add(open_datagram(self.hear()[1])[3]["gwId"])
        self.assertEqual(ids, {d["id"] for d in sim.devices})

    def test_devices_with_addresses_of_their_own_announce_them(self):
        sim = self.sim("--count", 3, "--spread", "address")
        heard = {}
        while len(heard) < 3:
            body = open_datagram(self.hear()[1])[3]
            heard[body["gwId"]] = body["ip"]
        self.assertEqual(heard, {d["id"]: d["ip"] for d in sim.devices})

    def test_limit_of_clients_silences(self):
        sim = self.sim("--clock", "virtual", control=True)  # three clients: vendor documentation
        clients = [sim.client() for _ in range(3)]
        for c in clients:
            c.connect()
            c.heartbeat()
        while self.hear(0.1):
            pass
        sim.request("POST", "/clock/advance", {"ms": PERIOD_MS})
        self.assertIsNone(self.hear(0.3))
        for c in clients:
            c.close()
        end = time.monotonic() + PATIENCE_S
        while not self.hear(0.05):
            self.assertLess(time.monotonic(), end)
            sim.request("POST", "/clock/advance", {"ms": PERIOD_MS})

    def test_q28_broadcast_pause(self):
        sim = self.sim("--fault", "Q28", "--clock", "virtual", control=True)
        with sim.client() as c:
            c.heartbeat()
            while self.hear(0.1):
                pass
            sim.request("POST", "/clock/advance", {"ms": PERIOD_MS})
            self.assertIsNone(self.hear(0.3))

    def ask(self, ip, target):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.bind((ip, self.base + 2))
        s.sendto(tuyapeer.seal("3.5", "to_device", 0, REQ_DEVINFO, {"from": "app", "ip": ip}, key=UDP_KEY,
                               session_key=UDP_KEY), (target, self.base + 2))
        return s

    def test_q29_silent_device_answers_when_asked(self):
        sim = self.sim("-P", "3.5", "--fault", "silent")
        self.assertIsNone(self.hear(0.2))
        s = self.ask("127.0.0.1", "127.255.255.255")
        s.settimeout(PATIENCE_S)
        cmd, seq, retcode, body = open_datagram(s.recv(2000))
        self.assertEqual((cmd, seq, retcode, body["gwId"], body["version"]), (UDP_NEW, 0, 0, sim.id, "3.5"))
        self.assertIn("uuid", body)

    def test_request_in_the_name_of_another_address_is_not_answered(self):
        self.sim("-P", "3.5", "--fault", "silent")
        victim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(victim.close)
        victim.bind(("127.0.0.9", self.base + 2))
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.sendto(tuyapeer.seal("3.5", "to_device", 0, REQ_DEVINFO, {"from": "app", "ip": "127.0.0.9"}, key=UDP_KEY,
                               session_key=UDP_KEY), ("127.255.255.255", self.base + 2))
        victim.settimeout(0.3)
        with self.assertRaises(socket.timeout):
            victim.recv(2000)

    def test_q30_ip_change(self):
        sim = self.sim("-P", "3.3", "--clock", "virtual", "--fault", "broadcast_pause", control=True)
        while self.hear(0.1):
            pass
        c = sim.client()
        c.connect()
        c.heartbeat()
        self.assertEqual(sim.request("POST", f"/devices/{sim.id}/faults", {"fault": "ip_change"})[0] // 100, 2)
        c.send(DP_QUERY, c.query_body())
        with self.assertRaises(tuyapeer.Timeout):  # a dead session: no answer, no end
            c.receive(timeout=0.3)
        with self.assertRaises((tuyapeer.PeerError, OSError)):
            with sim.client() as again:
                again.status()
        c.close()
        end, data = time.monotonic() + PATIENCE_S, None
        while not (data := self.hear(0.05)):
            self.assertLess(time.monotonic(), end)
            sim.request("POST", "/clock/advance", {"ms": PERIOD_MS})
        moved = open_datagram(data[1])[3]["ip"]
        self.assertNotEqual(moved, sim.host)
        with sim.client({**sim.devices[0], "ip": moved}) as c:
            self.assertIn("1", c.status())

    def test_junk_on_the_request_port_harms_nobody(self):
        sim = self.sim("-P", "3.5")
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for data in (b"", b"x", bytes(1400), tuyapeer.PREFIX_6699 + b"\xff" * 46, tuyapeer.PREFIX_55AA + bytes(30)):
            s.sendto(data, ("127.255.255.255", self.base + 2))
        with sim.client() as c:
            self.assertIn("1", c.status())


if __name__ == "__main__":
    unittest.main()
