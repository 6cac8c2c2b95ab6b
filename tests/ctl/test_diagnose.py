"""tuya-ctl diagnose: every verdict, produced by the simulator (or by something that is no device), with the exit code
that belongs to it, evidence that can be followed, and in time."""

import json
import os
import socket
import tempfile
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

import parallel
from sim import Sim, run

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")
CODES = {"ok": 0, "wrong-key": 4, "wrong-version": 5, "busy": 3, "unreachable": 3, "refused": 3, "resets": 3,
         "silent": 6, "not-tuya": 5, "wrong-id": 1}
OTHER_KEY = "#fake-LOCAL-key!"
UNUSED_PORTS = ("--discovery-port", "61000", "--broadcast", "127.255.255.255")  # nobody announces itself there


class Diagnose(unittest.TestCase):
    def diagnose(self, port, verdict, *options, key, device_id="fake0000000000000000id", version=None, words=(),
                 seconds=15):
        start = time.monotonic()
        result = run("tuya-ctl", *UNUSED_PORTS, "--host", "127.0.0.1", "--port", port, "--id", device_id, "--json",
                     *options, "diagnose", env={"TUYA_LOCAL_KEY": key})
        took = time.monotonic() - start
        self.assertTrue(result.stdout, result.stderr)
        line = json.loads(result.stdout)
        self.assertEqual(sorted(line), ["evidence", "next", "verdict", "version"])
        self.assertEqual(line["verdict"], verdict, line)
        self.assertEqual(result.returncode, CODES[verdict], line)
        self.assertTrue(line["evidence"] and line["next"], line)
        if version:
            self.assertEqual(line["version"], version, line)
        for word in words:
            self.assertIn(word, " ".join(line["evidence"] + [line["next"]]))
        for secret in (key, OTHER_KEY):
            self.assertNotIn(secret, result.stdout + result.stderr)
        if "TUYAWIRE_SANITIZED" not in os.environ:
            self.assertLess(took, seconds, line)
        return line

    def simulated(self, verdict, *sim_options, options=(), key=None, device_id=None, **expect):
        with Sim("--discovery", "off", *sim_options) as sim:
            return self.diagnose(sim.port, verdict, *options, key=key or sim.key, device_id=device_id or sim.id,
                                 **expect)

    def all_at_once(self, jobs):
        """Most of the time is waiting."""
        with ThreadPoolExecutor(12) as pool:
            for future in [pool.submit(job) for job in jobs]:
                future.result()

    def test_ok(self):
        def job(version):
            self.simulated("ok", "-P", version, version=version, words=["key fits"], seconds=5)
            self.simulated("ok", "-P", version, options=("-P", version), version=version, seconds=5)

        self.all_at_once([lambda v=v: job(v) for v in VERSIONS])

    def test_wrong_key(self):
        # 3.4 and 3.5 close alike: only what the device announces, or the list, tells which it is
        self.all_at_once([lambda v=v: self.simulated("wrong-key", "-P", v, key=OTHER_KEY,
                                                     version=v if v < "3.4" else None, words=["pairing"], seconds=5)
                          for v in VERSIONS])

    def test_wrong_key_with_a_list_that_has_the_right_one(self):
        def job(version):
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "devices.json")
                with Sim("--discovery", "off", "-P", version) as sim:
                    devices = [{"name": f"Lamp {i}", "id": f"lamp{i}", "key": f"lamp-key-{i:07}"} for i in range(3)]
                    devices.append({"name": "Kettle plug", "id": "other", "key": sim.key})
                    with open(path, "w", encoding="utf-8") as f:
                        json.dump(devices, f)
                    line = self.diagnose(sim.port, "wrong-key", "--devices", path, key=OTHER_KEY, device_id=sim.id,
                                         version=version)
                    self.assertIn("Kettle plug", line["evidence"][-1])
                    self.assertIn("Kettle plug", line["next"])
                    devices.pop()
                    with open(path, "w", encoding="utf-8") as f:
                        json.dump(devices, f)
                    self.diagnose(sim.port, "wrong-key", "--devices", path, key=OTHER_KEY, device_id=sim.id,
                                  words=["any of 3 other keys"])

        self.all_at_once([lambda v=v: job(v) for v in VERSIONS])

    def test_wrong_key_after_pairing_again(self):
        for version in ("3.3", "3.4", "3.5"):
            with self.subTest(version), Sim("--discovery", "off", "-P", version, control=True) as sim:
                self.diagnose(sim.port, "ok", key=sim.key, device_id=sim.id)
                status, _ = sim.request("POST", f"/devices/{sim.id}/faults", {"fault": "rekey"})
                self.assertEqual(status // 100, 2)
                self.diagnose(sim.port, "wrong-key", key=sim.key, device_id=sim.id, words=["pairing"], seconds=5)

    def test_wrong_version(self):
        self.all_at_once([lambda real=real, claimed=claimed:
                          self.simulated("wrong-version", "-P", real, options=("-P", claimed), version=real,
                                         words=[f"-P {real}"], seconds=5)
                          for real in VERSIONS for claimed in VERSIONS if real != claimed])

    def test_busy(self):
        for version in ("3.3", "3.4", "3.5"):
            with self.subTest(version), Sim("--discovery", "off", "-P", version, "--max-clients", "1") as sim:
                with sim.client() as other:
                    other.status()
                    self.diagnose(sim.port, "busy", key=sim.key, device_id=sim.id, words=["other programs"], seconds=5)
                self.diagnose(sim.port, "ok", key=sim.key, device_id=sim.id)
            with self.subTest(version + " keeps the place"):
                self.simulated("busy", "-P", version, "--fault", "linger", words=["client before"], seconds=5)

    def test_resets(self):
        for version in ("3.3", "3.4", "3.5"):
            with self.subTest(version):
                self.simulated("resets", "-P", version, "--fault", "reset", seconds=5)
            with self.subTest(version + ", place taken"), \
                    Sim("--discovery", "off", "-P", version, "--fault", "one_client:n=1") as sim:
                with sim.client() as other:
                    other.status()
                    self.diagnose(sim.port, "resets", key=sim.key, device_id=sim.id, seconds=5)

    def test_refused(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets the port
            self.diagnose(s.getsockname()[1], "refused", key=OTHER_KEY, words=["refuses"], seconds=3)

    def test_unreachable(self):
        # A listener whose queue is full answers no SYN, as a host that is off does
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(0)
            fillers = []
            for _ in range(4):
                c = socket.socket()
                c.setblocking(False)
                c.connect_ex(s.getsockname())
                fillers.append(c)
            self.diagnose(s.getsockname()[1], "unreachable", "--timeout", "1", key=OTHER_KEY, words=["is the device on"])
            for c in fillers:
                c.close()

    def test_silent(self):
        def silent(version, fault):
            self.simulated("silent", "-P", version, "--fault", fault, words=["off and on"])
        self.all_at_once([lambda v=v, f=f: silent(v, f) for f in ("hang", "never_answer") for v in ("3.3", "3.4", "3.5")])

    def test_not_tuya(self):
        def serve(listener, talk):
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=(peer,), daemon=True).start()

        def http(peer):
            peer.recv(4096)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            peer.close()

        def ssh(peer):
            peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            peer.recv(4096)
            peer.close()

        def tls(peer):
            peer.recv(4096)
            peer.sendall(bytes.fromhex("15030100020246"))
            peer.close()

        def echo(peer):
            while data := peer.recv(4096):
                peer.sendall(data)

        for talk in (http, ssh, tls, echo):
            with self.subTest(talk.__name__), socket.create_server(("127.0.0.1", 0)) as listener:
                threading.Thread(target=serve, args=(listener, talk), daemon=True).start()
                self.diagnose(listener.getsockname()[1], "not-tuya", key=OTHER_KEY, words=["tuya-ctl discover"],
                              seconds=5)
                listener.shutdown(socket.SHUT_RDWR)
        with self.subTest("damage is not the key"):
            self.simulated("not-tuya", "-P", "3.4", "--fault", "bad_check", words=["check value is wrong"], seconds=5)
        for version in VERSIONS:
            with self.subTest("junk " + version):
                self.simulated("not-tuya", "-P", version, "--fault", "junk", seconds=5)

    def test_wrong_id(self):
        # these tell their id in replies
        for version in ("3.1", "3.3"):
            with self.subTest(version):
                self.simulated("wrong-id", "-P", version, "--profile", "energy-plug-legacy",
                               device_id="fake0000000000000000id", words=["calls itself", "--id"])
        with self.subTest("sub-device"):
            self.simulated("wrong-id", "-P", "3.4", "--profile", "zigbee-gateway",
                           options=("--cid", "ffffffffffffffff"), words=["--cid"])

    def test_wrong_id_by_its_announcement(self):
        base = parallel.udp_ports()
        with Sim("-P", "3.5", "--discovery", "127.0.0.1", "--discovery-port", base) as sim:
            line = self.diagnose(sim.port, "wrong-id", "--discovery-port", base, key=sim.key, device_id="another")
            self.assertIn(sim.id, " ".join(line["evidence"]))

    def test_devices_that_are_odd_but_well(self):
        faults = ("drop_first", "query_refused", "device22", "slow", "rst_after_ok", "no_heartbeat", "split", "coalesce",
                  "seq_zero", "bad_check:count=1", "junk:count=1", "partial_status", "suffix_in_body", "slice", "latency")
        self.all_at_once([lambda v=v, f=f: self.simulated("ok", "-P", v, "--fault", f, version=v)
                          for f in faults for v in ("3.3", "3.4", "3.5")])

    def test_very_slow_devices_are_not_silent(self):
        self.all_at_once([lambda v=v: self.simulated("ok", "-P", v, "--fault", "slow:ms=2500", version=v)
                          for v in ("3.3", "3.4", "3.5")])

    def test_text_for_people(self):
        with Sim("--discovery", "off", "-P", "3.3") as sim:
            result = run("tuya-ctl", *UNUSED_PORTS, "--host", "127.0.0.1", "--port", sim.port, "diagnose",
                         env={"TUYA_LOCAL_KEY": sim.key})
            self.assertEqual(result.returncode, 0)
            self.assertRegex(result.stdout, r"(?s)^verdict   ok\nevidence  .*\nnext      ")
            result = run("tuya-ctl", *UNUSED_PORTS, "--host", "127.0.0.1", "--port", sim.port, "diagnose",
                         env={"TUYA_LOCAL_KEY": ""})
            self.assertEqual(result.returncode, 4)
            self.assertIn("no local key was given", result.stdout)


if __name__ == "__main__":
    parallel.main()
