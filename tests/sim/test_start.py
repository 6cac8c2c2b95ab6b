"""How tuya-sim starts and ends: what a CI run relies on."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from sim import PATIENCE_S, Sim, program, run


class Start(unittest.TestCase):
    def test_port_0_is_an_ephemeral_port_that_answers(self):
        with Sim() as sim, sim.client() as c:
            self.assertGreater(sim.port, 1023)
            self.assertIn("1", c.status())

    def test_ready_line_names_everything_a_client_needs(self):
        with Sim("-P", "3.4", "--id", "some-id", "--key", "kEy$#=:!'\\\"`<&*~", "--seed", 7) as sim:
            self.assertEqual({k: sim.ready[k] for k in ("event", "listen", "control", "seed", "device_count")},
                             {"event": "ready", "listen": "127.0.0.1", "control": None, "seed": 7, "device_count": 1})
            self.assertEqual(sim.ready["pid"], sim.process.pid)
            self.assertEqual(sim.ready["port"], sim.port)
            device = sim.devices[0]
            self.assertEqual((device["id"], device["key"], device["version"]), ("some-id", "kEy$#=:!'\\\"`<&*~", "3.4"))
            with sim.client() as c:
                self.assertIn("1", c.status())
            self.assertNotIn("kEy$", sim.output())

    def test_ready_line_has_room_for_long_names(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            devices = [{"name": "\x01" * 4000 + str(i), "id": f"{i:022d}", "key": "0123456789abcdef", "category": "cz"}
                       for i in range(20)]
            json.dump(devices, f)
            f.flush()
            with Sim("--devices", f.name) as sim:
                self.assertEqual([d["name"] for d in sim.devices], [d["name"] for d in devices])

    def test_ready_file_appears_whole_and_only_for_its_owner(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "ready.json")
            with Sim("--ready-file", path) as sim:
                with open(path) as f:
                    self.assertEqual(json.loads(f.read()), sim.ready)
                self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)

    def test_json_repeats_the_ready_line_on_stdout(self):
        p = subprocess.Popen([program("tuya-sim"), "--port", "0", "--discovery", "off", "--json"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            self.assertEqual(json.loads(p.stdout.readline())["event"], "ready")
        finally:
            p.terminate()
            self.assertEqual(p.wait(PATIENCE_S), 0)
            p.stdout.close()

    def test_ready_soon_for_one_device(self):
        with Sim():
            pass  # the file cache is warm now
        best = min(self.time_to_ready() for _ in range(5))
        self.assertLess(best, 2.0, "20 ms on an idle machine; a busy one may be slow, but not that slow")

    def time_to_ready(self):
        begin = time.monotonic()
        with Sim():
            return time.monotonic() - begin

    def test_seed_repeats_a_run_byte_for_byte(self):
        def talk():
            with Sim("-P", "3.5", "--seed", 42, "--clock", "virtual", control=True) as sim, sim.client() as c:
                c.query()
                sim.request("POST", "/clock/advance", {"ms": 25000})
                return [c.query().payload, c.heartbeat().seq]

        self.assertEqual(talk(), talk())

    def test_runs_side_by_side_do_not_collide(self):
        with contextlib.ExitStack() as stack:
            sims = [stack.enter_context(Sim("-P", v)) for v in ("3.1", "3.3", "3.4", "3.5", "3.3", "3.3")]
            self.assertEqual(len({s.port for s in sims}), len(sims))
            for s in sims:
                with s.client() as c:
                    self.assertEqual(c.heartbeat().retcode, 0)

    def test_ipv6_loopback(self):
        try:
            with socket.socket(socket.AF_INET6) as s:
                s.bind(("::1", 0))
        except OSError:
            self.skipTest("no IPv6 here")
        with Sim("--listen", "::1") as sim, sim.client() as c:
            self.assertEqual(sim.host, "::1")
            self.assertIn("1", c.status())


class End(unittest.TestCase):
    def hang_up_is(self, handler):
        """For what is started from here on: these tests may run under nohup, too."""
        self.addCleanup(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, handler))

    def test_nohup_is_obeyed(self):
        self.hang_up_is(signal.SIG_IGN)
        with Sim() as sim, sim.client() as c:
            sim.process.send_signal(signal.SIGHUP)
            self.assertIn("1", c.status())

    def test_signals_end_with_status_0_also_with_clients(self):
        self.hang_up_is(signal.SIG_DFL)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            sim = Sim("-P", "3.5", journal=True)
            with sim, sim.client() as c:
                c.status()
                sim.process.send_signal(number)
                self.assertEqual(sim.process.wait(PATIENCE_S), 0)
                sim.process = None
                sim.log.close()
                self.assertEqual(len(sim.journal()), 5)

    def test_exit_with_parent(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "ready.json")
            parent = subprocess.Popen(["sh", "-c", f"'{program('tuya-sim')}' --exit-with-parent --port 0 --discovery off "
                                       f"--ready-file '{path}' & wait"], stderr=subprocess.DEVNULL)
            end = time.monotonic() + PATIENCE_S
            while not os.path.exists(path):
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            with open(path) as f:
                ready = json.load(f)
            parent.kill()
            parent.wait()
            while True:
                try:
                    socket.create_connection(("127.0.0.1", ready["port"]), timeout=1).close()
                except OSError:
                    break
                self.assertLess(time.monotonic(), end, "it outlived its parent")
                time.sleep(0.02)


class Usage(unittest.TestCase):
    def refused(self, *arguments, status=2):
        p = run("tuya-sim", *arguments)
        self.assertEqual((p.returncode, p.stdout), (status, ""), f"{arguments}: {p.stderr}")
        self.assertTrue(p.stderr.startswith("tuya-sim: "), p.stderr)
        return p.stderr

    def test_wrong_usage_names_the_option_and_exits_2(self):
        for arguments, name in ((("--port", "70000"), "--port"), (("--port", "x"), "--port"),
                                (("-P", "3.6"), "-P"), (("--protocol=3.6",), "--protocol"),
                                (("--key", "short"), "--key"), (("--spread", "wide"), "--spread"),
                                (("--fault", "no_such"), "--fault"), (("--fault", "slow:ms"), "--fault"),
                                (("--fault", "slow:"), "--fault"), (("--fault", "slow:,"), "--fault"),
                                (("--fault", "slow:p=2"), "--fault"), (("--port", "0", "--discovery", "off", "--fault", "slow:device=x"), "--fault"), (("--fault", "slow:what=1"), "--fault"),
                                (("--count", "0"), "--count"), (("--nonsense",), "--nonsense"),
                                (("--profile", "nonsense"), "--profile"), (("extra",), "extra"),
                                (("--count", "3", "--id", "x"), "--count"), (("--port",), "--port"),
                                (("--devices", "x.json", "--profile", "y"), "--devices"),
                                (("-P", "3.3:1,3.4:1"), "--protocol"), (("--clock", "fast"), "--clock"),
                                (("--port", "0", "--discovery", "off", "--ready-fd", "9"), "--ready-fd"),
                                (("--port", "0", "--spread", "address", "--listen", "::1"), "--listen"),
                                (("--port", "0", "--journal", "/nonexistent/f", "--write", "/nonexistent/f"), "--write")):
            with self.subTest(arguments):
                self.assertIn(name, self.refused(*arguments))

    def test_key_is_never_repeated(self):
        self.assertNotIn("mysecret", self.refused("--key", "mysecret"))

    def test_unreadable_files_exit_7_and_are_named(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            f.write('[{"id": "x", "key": ')
            f.flush()
            self.assertIn(f.name, self.refused("--devices", f.name, status=7))
            self.assertIn(f.name, self.refused("--profile", f.name, status=7))
        self.assertIn("/nonexistent", self.refused("--devices", "/nonexistent", status=7))
        self.assertIn("/nonexistent", self.refused("--profile", "/nonexistent.json", status=7))

    def test_port_in_use_exits_3(self):
        with Sim() as sim:
            self.assertIn(str(sim.port), self.refused("--port", sim.port, status=3))

    def test_help_version_and_lists_go_to_stdout(self):
        for option, words in (("--help", ("usage: tuya-sim", "--fault", "exit status")), ("--version", ("tuya-sim ",)),
                              ("--list-profiles", ("energy-plug", "zigbee-gateway", "din-meter")),
                              ("--list-faults", ("Q01", "Q40", "late_status", "half_close"))):
            p = run("tuya-sim", option)
            self.assertEqual((p.returncode, p.stderr), (0, ""))
            for word in words:
                self.assertIn(word, p.stdout)


if __name__ == "__main__":
    unittest.main()
