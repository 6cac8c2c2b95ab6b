"""tuya-ctl against tuya-sim: versions found out, every profile, sub-devices, secrets."""

import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

import parallel
import tuyapeer as tp
from sim import PATIENCE_S, Sim, program, run

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")
PROFILES = ("basic-plug", "bulb", "device22-plug", "din-meter", "energy-plug-legacy", "energy-plug", "power-strip")
SWITCH = {"din-meter": "16", "bulb": "20"}


def ctl(sim, *arguments, version=None, env=None):
    return run("tuya-ctl", "--host", sim.host, "--port", sim.port, "--id", sim.id, "-P", version or sim.version, "--json",
               *arguments, env={"TUYA_LOCAL_KEY": sim.key, **(env or {})})


class Simulated(unittest.TestCase):
    def lines(self, result):
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def test_the_version_is_found_and_remembered(self):
        for version in VERSIONS:
            with self.subTest(version), Sim("-P", version, "--discovery", "off", journal=True) as sim:
                lines = self.lines(ctl(sim, "--", "status", "--", "off", "--", "on", "--", "status", version="auto"))
                self.assertEqual((lines[0]["version"], lines[3]["version"]), (version, version))
                self.assertEqual(lines[3]["dps"]["1"], True)
                flows = {r["flow"] for r in sim.journal()}
                self.assertLessEqual(len(flows), 8)

    def wrong_version(self, real, claimed):
        with Sim("-P", real, "--discovery", "off") as sim, tempfile.TemporaryDirectory() as folder:
            result = ctl(sim, "--timeout", "2", "status", version=claimed)
            self.assertEqual(result.returncode, 5, result.stderr)
            self.assertIn(f"the device speaks protocol {real}, not {claimed}", result.stderr)
            self.assertIn(f"-P {real}", result.stderr)
            # A list that says so is only out of date
            path = os.path.join(folder, "devices.json")
            with open(path, "w", encoding="utf-8") as f:
                json.dump([{"name": "Lamp", "id": sim.id, "key": sim.key, "ip": sim.host, "version": claimed}], f)
            result = run("tuya-ctl", "--devices", path, "--device", "Lamp", "--port", sim.port, "--host", sim.host,
                         "--json", "--timeout", "2", "off")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn(f"speaks protocol {real}, not {claimed} as the list says", result.stderr)
            self.assertEqual(json.loads(result.stdout)["dps"], {"1": False})

    def test_a_key_that_3_2_does_not_understand(self):
        with Sim("-P", "3.2", "--discovery", "off") as sim:
            result = ctl(sim, "on", env={"TUYA_LOCAL_KEY": "#fake-LOCAL-key!"})
            self.assertEqual(result.returncode, 4, result.stderr)
            self.assertIn("local key is wrong", result.stderr)

    def test_a_damaged_handshake_is_not_a_wrong_key(self):
        with Sim("-P", "3.4", "--discovery", "off", "--fault", "bad_check") as sim:
            for version in ("3.4", "auto"):
                result = ctl(sim, "status", version=version)
                self.assertEqual(result.returncode, 5, result.stderr)
                self.assertIn("check value is wrong", result.stderr)
                result = ctl(sim, "status", version=version, env={"TUYA_LOCAL_KEY": "#fake-LOCAL-key!"})
                self.assertEqual(result.returncode, 4, result.stderr)

    def profile(self, profile, version):
        with Sim("-P", version, "--profile", profile, "--discovery", "off") as sim:
            switch = SWITCH.get(profile, "1")
            lines = self.lines(ctl(sim, "--", "status", "--", "off", "--", "toggle", "--", "status"))
            self.assertEqual(lines[1]["dps"], {switch: False})
            self.assertEqual(lines[2]["dps"], {switch: True})
            self.assertIs(lines[3]["dps"][switch], True)
            if profile in ("basic-plug", "bulb"):
                self.assertEqual(ctl(sim, "energy").returncode, 1)
            else:
                self.assertGreater(self.lines(ctl(sim, "energy"))[0]["volts"], 100)

    def test_energy_follows_the_load(self):
        for version in VERSIONS:
            with self.subTest(version), Sim("-P", version, "--discovery", "off", control=True) as sim:
                status, _ = sim.request("PUT", f"/devices/{sim.id}/load", {"watts": 60.0})
                self.assertEqual(status // 100, 2)
                line = self.lines(ctl(sim, "energy"))[0]
                end = time.monotonic() + PATIENCE_S
                while not 50 < line["watts"] < 70 and time.monotonic() < end:  # the meter judges once a second
                    line = self.lines(ctl(sim, "energy"))[0]
                self.assertAlmostEqual(line["watts"], 60, delta=8)
                self.assertAlmostEqual(line["amperes"] * line["volts"], line["watts"], delta=12)

    def test_sub_devices(self):
        for version in ("3.3", "3.4", "3.5"):
            with self.subTest(version), \
                    Sim("-P", version, "--profile", "zigbee-gateway", "--discovery", "off") as sim:
                cid = ("--cid", "0000000000000001")
                lines = self.lines(ctl(sim, *cid, "--", "status", "--", "off", "--", "toggle", "--", "energy"))
                self.assertEqual(lines[0]["cid"], "0000000000000001")
                self.assertEqual(lines[1]["dps"], {"1": False})
                self.assertEqual(lines[2]["dps"], {"1": True})
                self.assertGreater(lines[3]["volts"], 100)
                result = ctl(sim, "--cid", "ffffffffffffffff", "status")
                self.assertEqual(result.returncode, 1)
                self.assertIn("devid not found", result.stderr)
                result = ctl(sim, "status")
                self.assertEqual(result.returncode, 1)
                self.assertIn("--cid", result.stderr)
                if version >= "3.4":
                    report = self.lines(ctl(sim, "subdevices"))[0]["payload"]
                    self.assertIn("0000000000000001", json.dumps(report))
                    with tempfile.TemporaryDirectory() as folder:
                        path = os.path.join(folder, "devices.json")
                        behind = {"id": "x", "sub": True, "node_id": "0000000000000001", "parent": sim.id, "name": "Kettle"}
                        with open(path, "w", encoding="utf-8") as f:
                            json.dump([{"id": sim.id, "key": sim.key, "version": version, "name": "Gateway"}, behind], f)
                        result = run("tuya-ctl", "--devices", path, "--device", "Gateway", "--host", sim.host, "--port", sim.port,
                                     "subdevices")
                    self.assertEqual(result.stdout, "online   0000000000000001  Kettle\n")

    def test_a_fleet_is_talked_to_by_name(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "fleet.json")
            with Sim("--count", 12, "-P", "3.1:2,3.3:4,3.4:3,3.5:3", "--devices-out", path, "--discovery", "off") as sim:
                with open(path, encoding="utf-8") as f:
                    fleet = json.load(f)
                fleet = fleet["devices"] if isinstance(fleet, dict) else fleet
                for device in fleet:
                    result = run("tuya-ctl", "--devices", path, "--device", device["name"], "--port", sim.port, "--json",
                                 "--", "off", "--", "status")
                    lines = self.lines(result)
                    self.assertEqual((lines[1]["device"], lines[1]["name"], lines[1]["version"]),
                                     (device["id"], device["name"], device["version"]))
                    self.assertIs(lines[1]["dps"]["1"], False)
                    self.assertNotIn(device["key"], result.stdout + result.stderr)

    def test_a_list_that_is_out_of_date_is_no_obstacle(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "devices.json")
            for listed, real in (("3.3", "3.4"), ("3.3", "3.5"), ("3.4", "3.5"), ("3.4", "3.3"), ("3.5", "3.3")):
                with self.subTest(listed=listed, real=real), Sim("-P", real, "--discovery", "off") as sim:
                    with open(path, "w", encoding="utf-8") as f:
                        json.dump([{"name": "Kettle", "id": sim.id, "key": sim.key, "ip": sim.host, "version": listed}], f)
                    result = run("tuya-ctl", "--devices", path, "--port", sim.port, "--json", "--timeout", 2, "--", "status",
                                 "--", "off")
                    lines = self.lines(result)
                    self.assertEqual((lines[0]["version"], lines[1]["dps"]), (real, {"1": False}))
                    self.assertIn(f"protocol {real}, not {listed}", result.stderr)

    def test_ipv6(self):
        with Sim("-P", "3.4", "--listen", "::1", "--discovery", "off") as sim:
            self.assertIn("1", self.lines(ctl(sim, "status"))[0]["dps"])

    def test_a_key_argument_is_wiped(self):
        with Sim("-P", "3.5", "--discovery", "off") as sim:
            process = subprocess.Popen([program("tuya-ctl"), "--host", sim.host, "--port", str(sim.port), "--key", sim.key,
                                        "-P", "3.5", "--json", "watch"], stdout=subprocess.PIPE, text=True)
            process.stdout.readline()
            with open(f"/proc/{process.pid}/cmdline", "rb") as f:
                self.assertNotIn(sim.key.encode(), f.read())
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            process.stdout.close()
            self.assertEqual(process.wait(PATIENCE_S), 0)

    def test_the_key_log_decodes_the_session(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = os.path.join(folder, "keys")
            for version in ("3.4", "3.5"):
                with Sim("-P", version, "--discovery", "off", journal=True) as sim:
                    self.lines(ctl(sim, "status", env={"TUYAKEYLOGFILE": keys}))
            with open(keys, encoding="utf-8") as f:
                entries = [line.split() for line in f]
            self.assertEqual([e[:2] for e in entries], [["TUYA_SESSION", "3.4"], ["TUYA_SESSION", "3.5"]])
            self.assertEqual(os.stat(keys).st_mode & 0o777, 0o600)

    def test_a_lost_session_is_negotiated_anew(self):
        for version in ("3.4", "3.5"):
            with self.subTest(version), \
                    Sim("-P", version, "--discovery", "off", "--fault", "reset:count=1,skip=2", journal=True) as sim:
                self.lines(ctl(sim, "--", "status", "--", "set", "9=60", "--", "get", "9"))
                starts = [r for r in sim.journal() if r["cmd"] == tp.START]
                self.assertIn(len(starts), (2, 3))  # 3: a session key that began with zero came by


def _add_wrong(real, claimed):
    setattr(Simulated, f"test_{real}_is_not_{claimed}", lambda self: self.wrong_version(real, claimed))


for _real in VERSIONS:
    for _claimed in VERSIONS:
        # in what both have in clear, 3.1 and 3.2 are one
        if _real != _claimed and (_real, _claimed) != ("3.1", "3.2"):
            _add_wrong(_real, _claimed)


def _add(profile, version):
    setattr(Simulated, f"test_profile_{profile}_{version}", lambda self: self.profile(profile, version))


for _profile in PROFILES:
    for _version in VERSIONS:
        _add(_profile, _version)


if __name__ == "__main__":
    parallel.main()
