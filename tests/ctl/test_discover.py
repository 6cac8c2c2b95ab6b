"""tuya-ctl discover: everything that tuya-sim announces, in every version's form, and what answers only when asked."""

import json
import os
import pty
import signal
import socket
import subprocess
import tempfile
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor

import parallel
from parallel import udp_ports as ports
import tuyapeer as tp
from sim import PATIENCE_S, Sim, program, run

LOOPBACK = ("--broadcast", "127.255.255.255")
def discover(base, *options, timeout=6, env=None):
    return run("tuya-ctl", "--discovery-port", base, *LOOPBACK, "--timeout", timeout, *options, "discover", env=env)


class Discover(unittest.TestCase):
    def found(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def test_a_hundred_devices_of_mixed_versions(self):
        base = ports()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "fleet.json")
            with Sim("--count", 100, "-P", "3.1:10,3.2:10,3.3:30,3.4:30,3.5:20", "--devices-out", path,
                     "--discovery", "127.255.255.255", "--discovery-port", base), ThreadPoolExecutor() as pool:
                jobs = [pool.submit(discover, base, *options, "--devices", path, timeout=7)
                        for options in (["--json"], [], ["--json", "--show-keys"])]
                with open(path, encoding="utf-8") as f:
                    fleet = json.load(f)
                fleet = fleet["devices"] if isinstance(fleet, dict) else fleet
                found, table, shown = self.found(jobs[0].result()), jobs[1].result(), self.found(jobs[2].result())
                self.assertEqual({(d["id"], d["version"], d["name"]) for d in found},
                                 {(d["id"], d["version"], d["name"]) for d in fleet})
                self.assertEqual(len(found), 100)
                self.assertEqual({d["key"] for d in found}, {"known"})
                self.assertEqual(len(table.stdout.splitlines()), 101)
                for d in fleet:
                    self.assertIn(d["id"], table.stdout)
                    self.assertIn(d["name"], table.stdout)
                    self.assertNotIn(d["key"], table.stdout + table.stderr)
                self.assertEqual({(d["id"], d["key"]) for d in shown}, {(d["id"], d["key"]) for d in fleet})

    def test_ctrl_c_ends_the_search_and_shows_what_was_found(self):
        base, (terminal, inside) = ports(), pty.openpty()
        with Sim("-P", "3.3", "--discovery", "127.255.255.255", "--discovery-port", base) as sim:
            search = subprocess.Popen([program("tuya-ctl"), "--discovery-port", str(base), *LOOPBACK, "--timeout", "600", "discover"],
                                      stdout=subprocess.PIPE, stderr=inside, text=True)
            said = b""
            while b"1 found" not in said:
                said += os.read(terminal, 100)
            search.send_signal(signal.SIGINT)
            table = search.communicate(timeout=PATIENCE_S)[0]
        os.close(terminal)
        os.close(inside)
        self.assertEqual(search.returncode, 0)
        self.assertIn(sim.id, table)

    def test_silent_devices_are_asked(self):
        base = ports()
        with Sim("-P", "3.5", "--fault", "silent", "--discovery", "127.0.0.1", "--discovery-port", base) as sim:
            found = self.found(discover(base, "--json", timeout=1))
            self.assertEqual([(d["id"], d["found_by"], d["version"]) for d in found], [(sim.id, "answer", "3.5")])
        with Sim("-P", "3.4", "--fault", "silent", "--discovery", "127.0.0.1", "--discovery-port", base):
            result = discover(base, "--json", timeout=1)
            self.assertEqual((result.returncode, result.stdout), (6, ""))
            self.assertIn("no device was heard", result.stderr)

    def test_two_searchers_share_the_ports(self):
        base = ports()
        with Sim("-P", "3.3", "--discovery", "127.255.255.255", "--discovery-port", base) as sim:
            results = []
            threads = [threading.Thread(target=lambda: results.append(discover(base, "--json", timeout=6)))
                       for _ in range(2)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            for result in results:
                self.assertEqual([d["id"] for d in self.found(result)], [sim.id])

    def test_noise_and_questions_of_others_are_passed_over(self):
        base = ports()
        announcement = tp.seal("3.3", tp.FROM_DEVICE, 0, tp.UDP_NEW, {
            "ip": "127.9.9.9", "gwId": "fake0000000000000000id", "active": 0, "version": "3.3",
            "productKey": "a\x1b[31mred"}, key=tp.UDP_KEY)
        question = tp.seal("3.5", tp.TO_DEVICE, 0, tp.REQ_DEVINFO, {"from": "app", "ip": "127.0.0.1"}, key=tp.UDP_KEY,
                           session_key=tp.UDP_KEY)
        noise = [b"", b"\x00", os.urandom(100), announcement[:-1], announcement[:30], question,
                 announcement[:40] + b"\xff" + announcement[41:]]
        stop = []

        def speak():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                while not stop:
                    for data in noise + [announcement]:
                        for i in range(3):
                            s.sendto(data, ("127.0.0.1", base + i))
                    stop_event.wait(0.05)

        stop_event = threading.Event()
        thread = threading.Thread(target=speak)
        thread.start()
        try:
            found = self.found(discover(base, "--json", timeout=1))
            table = discover(base, timeout=0.5)
        finally:
            stop.append(True)
            thread.join()
        self.assertEqual(len(found), 1)
        self.assertEqual((found[0]["ip"], found[0]["bound"], found[0]["name"]), ("127.9.9.9", False, None))
        self.assertNotIn("\x1b", table.stdout)
        self.assertIn("not bound", table.stdout)

    def test_ports_that_somebody_keeps_for_himself(self):
        base = ports()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first, \
                Sim("-P", "3.3", "--discovery", "127.0.0.1", "--discovery-port", base) as sim:
            first.bind(("0.0.0.0", base))  # without SO_REUSEADDR
            result = discover(base, "--json", timeout=6)
            self.assertEqual([d["id"] for d in self.found(result)], [sim.id])
            self.assertIn(f"UDP port {base}", result.stderr)
        base = ports()
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
        for i, s in enumerate(sockets):
            s.bind(("0.0.0.0", base + i))
        result = discover(base, timeout=1)
        self.assertEqual(result.returncode, 3)
        self.assertIn("none of the discovery ports", result.stderr)
        for s in sockets:
            s.close()

    def test_a_listed_device_without_address_is_looked_for(self):
        base = ports()
        with tempfile.TemporaryDirectory() as folder, \
                Sim("-P", "3.5", "--discovery", "127.0.0.1", "--discovery-port", base) as sim:
            path = os.path.join(folder, "devices.json")
            with open(path, "w", encoding="utf-8") as f:
                json.dump([{"name": "Kettle plug", "id": sim.id, "key": sim.key, "ip": "", "version": ""}], f)
            result = run("tuya-ctl", "--devices", path, "--device", "kettle", "--discovery-port", base, *LOOPBACK,
                         "--port", sim.port, "--timeout", 10, "--json", "status")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(json.loads(result.stdout)["version"], "3.5")
            without_list = run("tuya-ctl", "--id", sim.id, "--discovery-port", base, *LOOPBACK, "--port", sim.port, "--timeout", 10,
                               "--json", "status", env={"TUYA_LOCAL_KEY": sim.key})
            self.assertEqual(without_list.returncode, 0, without_list.stderr)
            self.assertEqual(json.loads(without_list.stdout)["version"], "3.5")


if __name__ == "__main__":
    parallel.main()
