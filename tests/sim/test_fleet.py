"""Many devices in one process: on one port, one address each, one port each; from a user's files or made up."""

import hmac
import json
import os
import socket
import struct
import tempfile
import time
import unittest

from sim import PATIENCE_S, Sim
from tuyapeer import CONTROL, DP_QUERY, START, Client, Timeout, ecb, seal, unseal

MIX = "3.1:20,3.2:20,3.3:20,3.4:20,3.5:20"


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, value):
        with open(self.path(name), "w", encoding="utf-8") as f:
            json.dump(value, f)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return json.load(f)


def device(i, version, **more):
    return {"name": f"device {i}", "id": f"{i:022d}", "key": f"{i:015d}<", "mac": "", "category": "cz",
            "version": version, "ip": "", **more}


def client_of(sim, d, version=None):
    return Client(sim.host, sim.ready["port"], d["id"], d["key"], version or d["version"])


class OnePort(Folder):
    def test_each_of_a_mix_is_found_by_its_first_frame(self):
        with Sim("--count", 50, "-P", MIX, "--devices-out", self.path("fleet.json")) as sim:
            fleet = self.read("fleet.json")
            self.assertEqual((len(fleet), sim.ready["device_count"]), (50, 50))
            for d in fleet:
                with self.subTest(d["id"], version=d["version"]), client_of(sim, d) as c:
                    on = d["version"] != "3.2" and c.status()["1"]
                    self.assertEqual(c.set({"1": not on})[1].dps, {"1": not on})

    def test_ciphertext_that_begins_as_json_does(self):
        """One key in 256 makes such a query of the ids; its device is meant all the same."""
        first = b'{"gwId":"0000000'
        i = next(i for i in range(1, 9999) if ecb(f"{i:015d}<".encode(), first, True)[:1] == b"{")
        devices = [device(0, "3.3"), device(i, "3.3")]
        with Sim("--devices", self.write("d.json", devices)) as sim, client_of(sim, devices[1]) as c:
            self.assertIn("1", c.status())

    def test_control_first_and_heartbeats_first(self):
        devices = [device(i, v) for i, v in enumerate(("3.1", "3.2", "3.3", "3.1", "3.2", "3.3"))]
        with Sim("--devices", self.write("d.json", devices)) as sim:
            for d in devices:
                with client_of(sim, d) as c:
                    for body in (b"", b""):  # an empty heartbeat tells nothing and is answered all the same
                        self.assertEqual(c.heartbeat(body).retcode, 0)
                    self.assertEqual(c.set({"1": False})[1].dps, {"1": False})
            for d in devices:  # each was switched, and only once
                if d["version"] != "3.2":
                    with client_of(sim, d) as c:
                        self.assertIs(c.status()["1"], False)

    def test_key_of_nobody(self):
        devices = [device(1, "3.3"), device(2, "3.4"), device(3, "3.5"), device(4, "3.1")]
        with Sim("--devices", self.write("d.json", devices)) as sim:
            for v in ("3.4", "3.5"):  # closed, as any device with another key would
                c = client_of(sim, {"id": "x", "key": "not one of these", "version": v})
                c.connect(negotiate=False)
                c.send(START, bytes(range(16)))
                c.receive_close()
                c.close()
            # 3.3: return code 1 that such a client cannot read
            with client_of(sim, {"id": "x", "key": "not one of these", "version": "3.3"}) as c:
                c.send(DP_QUERY, {"gwId": "x"})
                m = unseal("3.3", "from_device", c.receive_frame(), key=devices[0]["key"].encode())
                self.assertEqual((m.retcode, m.payload), (1, b"parse data error"))
            with client_of(sim, {"id": "x", "key": "not one of these", "version": "3.1"}) as c:
                c.send(7, {"dps": {"1": False}})  # 3.1: silence
                with self.assertRaises(Timeout):
                    c.receive(timeout=0.2)

    def test_first_frame_cut_in_pieces_and_junk(self):
        devices = [device(1, "3.3"), device(2, "3.5")]
        with Sim("--devices", self.write("d.json", devices)) as sim:
            with client_of(sim, devices[0]) as c:
                frame = seal("3.3", "to_device", 1, DP_QUERY, c.query_body(), key=c.key)
                for i in range(len(frame)):
                    c.send_bytes(frame[i:i + 1])
                self.assertIn("1", c.receive().dps)
            with socket.create_connection((sim.host, sim.ready["port"]), timeout=PATIENCE_S) as s:
                try:
                    for _ in range(200):
                        s.sendall(b"\xff" * 1000)
                except ConnectionError:
                    pass
            with client_of(sim, devices[1]) as c:
                self.assertIn("1", c.status())


    def test_more_at_once_than_a_first_frame_can_have(self):
        devices = [device(1, "3.3"), device(2, "3.3")]
        with Sim("--devices", self.write("d.json", devices)) as sim, client_of(sim, devices[1]) as c:
            c.send_bytes(seal("3.3", "to_device", 1, DP_QUERY, c.query_body(), key=c.key) * 200)
            for _ in range(200):
                self.assertIn("1", c.receive().dps)

    def test_what_is_wrong_in_an_authentic_frame_is_told_by_its_device(self):
        devices = [device(1, "3.4"), device(2, "3.4")]
        body = bytes(32)  # no padding in it
        start = bytes.fromhex("000055aa") + struct.pack(">III", 1, START, len(body) + 36) + body
        start += hmac.digest(devices[1]["key"].encode(), start, "sha256") + bytes.fromhex("0000aa55")
        with Sim("--devices", self.write("d.json", devices), "--journal", self.path("journal")) as sim:
            with socket.create_connection((sim.host, sim.port), timeout=PATIENCE_S) as s:
                s.sendall(start)
                s.recv(1)  # the end of the connection
            sim.stop()
        with open(self.path("journal"), encoding="utf-8") as f:
            record = json.loads(f.readline())
        self.assertEqual((record["device"], record["error"]), (devices[1]["id"], "bad_padding"))

    def test_frames_of_nobody_do_not_have_all_keys_tried_for_ever(self):
        nobody = seal("3.1", "to_device", 1, CONTROL, {"dps": {"1": True}}, key=b"not one of these")
        with Sim("--count", 2, "-P", "3.1", "--clock", "virtual") as sim:  # no idle limit strikes
            with socket.create_connection((sim.host, sim.port), timeout=60) as s:
                s.sendall(nobody * 40)
                self.assertEqual(s.recv(1), b"")
            with sim.client() as c:  # a few are passed over, as a plug passes over what has the wrong key
                c.send_bytes(nobody * 8)
                self.assertIn("1", c.status())

    def test_probe_of_two_versions_in_one_segment_finds_either(self):
        # A 3.5 device skips what is not 6699 and answers the frame behind it (TuyaOpen): clients probe that way.
        devices = [device(1, "3.4"), device(2, "3.5")]
        with Sim("--devices", self.write("d.json", devices)) as sim:
            for d, magic in zip(devices, ("000055aa", "00006699")):
                probe = b"".join(seal(v, "to_device", 1, START, bytes(range(16)), key=d["key"].encode())
                                 for v in ("3.4", "3.5"))
                c = client_of(sim, d)
                c.connect(negotiate=False)
                c.send_bytes(probe)
                self.assertEqual(c.receive_frame()[:4].hex(), magic)
                c.close()


class Spread(Folder):
    def test_one_loopback_address_each(self):
        with Sim("--count", 600, "--spread", "address", "-P", "3.3:1,3.5:1") as sim:
            self.assertEqual([d["ip"] for d in sim.devices[:3]], ["127.0.1.1", "127.0.1.2", "127.0.1.3"])
            self.assertEqual(len({d["port"] for d in sim.devices}), 1)
            for d in sim.devices[::9]:
                with sim.client(d) as c:
                    self.assertIn("1", c.status())
            with socket.create_connection(("127.0.3.200", sim.port), timeout=PATIENCE_S) as s:  # nobody lives there
                self.assertEqual(s.recv(10), b"")

    def test_address_tells_devices_with_one_key_apart(self):
        devices = [device(i, "3.3", key="0123456789abcdef") for i in range(3)]
        with Sim("--devices", self.write("d.json", devices), "--spread", "address") as sim:
            with sim.client(sim.devices[1]) as c:
                c.set({"1": False})
            states = []
            for d in sim.devices:
                with sim.client(d) as c:
                    states.append(c.status()["1"])
            self.assertEqual(states, [True, False, True])

    def test_one_port_each(self):
        with Sim("--count", 20, "--spread", "port", "-P", MIX) as sim:
            self.assertEqual(len({d["port"] for d in sim.devices}), 20)
            for d in sim.devices:
                with sim.client(d) as c:
                    self.assertEqual(c.heartbeat().retcode, 0)
                    self.assertEqual(c.set({"1": True})[1].dps, {"1": True})


class Own(Folder):
    """--devices and --snapshot: the files that users have."""

    def test_both_shapes_of_devices_json(self):
        devices = [device(1, "3.3"), device(2, "3.5")]
        for value in (devices, {"devices": devices}):
            with Sim("--devices", self.write("d.json", value)) as sim:
                self.assertEqual([d["id"] for d in sim.devices], [d["id"] for d in devices])
                for d in devices:
                    with client_of(sim, d) as c:
                        self.assertIn("1", c.status())

    def test_snapshot_gives_the_values(self):
        snapshot = {"timestamp": 1.5, "devices": [
            {"id": "bf00000000000000000001", "ip": "192.0.2.11", "key": "0123456789abcdef", "ver": "3.4", "name": "Kettle",
             "dps": {"devId": "bf00000000000000000001", "dps": {"1": False, "9": 0, "19": 19902, "38": "off", "40": "pos"}}}]}
        with Sim("--snapshot", self.write("s.json", snapshot)) as sim, sim.client() as c:
            self.assertEqual(sim.version, "3.4")
            dps = c.status()
            self.assertEqual((dps["1"], dps["38"], dps["40"]), (False, "off", "pos"))

    def test_device_without_a_key_is_left_out_and_named(self):
        devices = [device(1, "3.3"), {**device(2, "3.3"), "key": ""}]
        with Sim("--devices", self.write("d.json", devices)) as sim:
            self.assertEqual(sim.ready["device_count"], 1)
            self.assertIn(devices[1]["id"], sim.output())

    def test_own_profile(self):
        here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "sim", "profiles", "basic-plug.json")
        with open(here, encoding="utf-8") as f:
            profile = json.load(f)
        profile["name"] = "mine"
        with Sim("--profile", self.write("mine.json", profile)) as sim, sim.client() as c:
            self.assertEqual(sim.devices[0]["profile"], "mine")
            self.assertIn("1", c.status())


class Scale(Folder):
    def test_10_000_devices_accept_soon_and_are_found_without_delay(self):
        path = self.path("fleet.json")
        with Sim("--count", 10000, "-P", "3.3:40,3.4:40,3.5:20", "--seed", 3, "--devices-out", path) as sim:
            pass
        fleet = self.read("fleet.json")
        begin = time.monotonic()
        with Sim("--devices", path) as sim:
            started = time.monotonic() - begin
            self.assertEqual((sim.ready["device_count"], len(sim.devices)), (10000, 100))
            for d in (fleet[0], fleet[5000], fleet[9998], fleet[9999]):
                begin = time.monotonic()
                with client_of(sim, d) as c:
                    self.assertIn("1", c.status())
                found = time.monotonic() - begin
            with open(f"/proc/{sim.process.pid}/status") as f:
                memory = {k: v.split()[0] for k, v in (line.split(":\t") for line in f if ":\t" in line) if v.split()}
        # The numbers of the bench are far below; here they only must not explode on a busy machine.
        self.assertLess(started, 10)
        self.assertLess(found, 2)
        self.assertLess(int(memory["VmRSS"]), 800 * 1024)  # a sanitizer takes 430 MB


if __name__ == "__main__":
    unittest.main()
