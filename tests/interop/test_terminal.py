"""What the three programs owe whoever types: exit codes, full disks, closed streams, readers that leave."""

import json
import os
import signal
import stat
import subprocess
import tempfile
import unittest

from sim import PATIENCE_S, Sim, program, run

PROGRAMS = ("tuya-sim", "tuya-ctl", "tuya-dump")
HEARTBEAT = "000055aa00000001000000090000000872e818610000aa55"  # CRC-32 made with zlib


def end_of(argv, **options):
    p = subprocess.run([program(argv[0]), *argv[1:]], stderr=subprocess.PIPE, timeout=PATIENCE_S, **options)
    return p.returncode, p.stderr.decode()


class Output(unittest.TestCase):
    def test_full_disk_is_said_and_exits_7(self):
        if not os.path.exists("/dev/full") or not stat.S_ISCHR(os.stat("/dev/full").st_mode):
            self.skipTest("no /dev/full")
        lines = [(name, option) for name in PROGRAMS for option in ("--help", "--version")]
        lines += [("tuya-sim", "--list-faults"), ("tuya-dump", "--hex", HEARTBEAT),
                  ("tuya-sim", "--port", "0", "--discovery", "off", "--json")]
        for argv in lines:
            with self.subTest(argv), open("/dev/full", "w") as full:
                code, said = end_of(argv, stdout=full)
                self.assertEqual(code, 7, said)
                self.assertIn("No space left", said)

    def test_answers_that_cannot_be_written_exit_7(self):
        with Sim() as sim, open("/dev/full", "w") as full:
            for extra in ((), ("--json",)):
                code, said = end_of(("tuya-ctl", *host(sim), *extra, "status"), stdout=full, env=environment(sim))
                self.assertEqual(code, 7, said)
                self.assertIn("No space left", said)

    def test_reader_that_leaves_ends_it_quietly(self):
        with Sim() as sim:
            for argv in (("tuya-sim", "--list-faults"), ("tuya-dump", "--help"),
                         ("tuya-ctl", *host(sim), "--", "status", "--", "status")):
                with self.subTest(argv):
                    readable, writable = os.pipe()
                    os.close(readable)
                    code, said = end_of(argv, stdout=writable, env=environment(sim))
                    os.close(writable)
                    self.assertEqual((code, said), (-signal.SIGPIPE, ""))

    def test_closed_stdout_never_becomes_the_connection(self):
        """The next socket would get its number, and the table would be sent to the plug."""
        with Sim(journal=True) as sim:
            code, said = end_of(("tuya-ctl", *host(sim), "status"), env=environment(sim),
                                preexec_fn=lambda: (os.close(0), os.close(1)))
            self.assertEqual(code, 7, said)
            self.assertIn("stdout", said)
            sim.stop()
            self.assertEqual({r["error"] for r in sim.journal()}, {None})

    def test_what_is_no_file_stays_what_it_is(self):
        """As root, a rename onto /dev/full would take it from the whole machine."""
        with tempfile.TemporaryDirectory() as folder:
            for option in ("--ready-file", "--devices-out"):
                path = os.path.join(folder, option[2:])
                os.mkfifo(path)
                reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                try:
                    with Sim(option, path, *(("--count", 2) if option == "--devices-out" else ())):
                        self.assertTrue(stat.S_ISFIFO(os.stat(path).st_mode))
                        self.assertTrue(json.loads(os.read(reader, 65536)))
                finally:
                    os.close(reader)
            self.assertEqual(sorted(os.listdir(folder)), ["devices-out", "ready-file"])
            for place in (folder, os.path.join(folder, "ready-file")):
                p = run("tuya-sim", "--port", 0, "--discovery", "off", "--state", place)
                self.assertEqual(p.returncode, 7, p.stderr)
                self.assertIn(place, p.stderr)
                self.assertFalse(os.path.exists(place + ".journal"))


def host(sim):
    return ("--host", "127.0.0.1", "--port", str(sim.port), "-P", sim.devices[0]["version"])


def environment(sim):
    return {**os.environ, "TUYA_LOCAL_KEY": sim.devices[0]["key"]}


class ExitCodes(unittest.TestCase):
    def check(self, code, *argv, say):
        p = run(*argv)
        self.assertEqual((p.returncode, p.stdout), (code, ""), f"{argv}: {p.stderr}")
        self.assertIn(say, p.stderr)

    def test_key_files(self):
        with tempfile.NamedTemporaryFile("w") as empty:
            for name, more in (("tuya-sim", ()), ("tuya-ctl", ("--host", "127.0.0.1", "status")),
                               ("tuya-dump", ("--hex", HEARTBEAT))):
                self.check(7, name, "--key-file", "/nonexistent", *more, say="/nonexistent")
                self.check(7, name, "--key-file", "/", *more, say="Is a directory")
                self.check(2, name, "--key-file", empty.name, *more, say="no key in it")
        for name, more in (("tuya-sim", ()), ("tuya-ctl", ("status",))):
            self.check(2, name, "--key", "0123456789abcdef", "--key-file", "/nonexistent", *more, say="only one of")

    def test_addresses_of_tuya_sim_that_are_none(self):
        for arguments in (("--listen", "nowhere"), ("--listen", ""), ("--discovery", ""),
                          ("--discovery", "127.0.0.1,"), ("--discovery", "off,127.0.0.1"), ("--control", "x"),
                          ("--control", "127.0.0.1"), ("--control", "nowhere:80"), ("--control", "127.0.0.1:99999"),
                          ("--control", "0.0.0.0:0"), ("--control", "[::]:0")):
            with self.subTest(arguments):
                self.check(2, "tuya-sim", *arguments, say=arguments[0])
        self.check(3, "tuya-sim", "--port", "0", "--discovery", "off", "--spread", "port", "--count", "70000", say="do not fit")
        self.check(7, "tuya-sim", "--port", "0", "--discovery", "off", "--control", "0.0.0.0:0",
                   "--control-token-file", "/nonexistent", say="/nonexistent")
        self.check(3, "tuya-sim", "--port", "0", "--listen", "192.0.2.1", say="192.0.2.1")

    def test_arguments_of_tuya_ctl_that_are_wrong_before_anything_is_sent(self):
        base = ("tuya-ctl", "--host", "127.0.0.1", "--port", "1", "--key", "0123456789abcdef")
        self.check(2, *base, "set", "1=true", "1=false", say="data point 1 is there twice")
        self.check(2, *base, "send", "10", "{bad", say="JSON")
        self.check(2, *base, "--", "status", "--", "discover", say="discover: expected no other command")
        with tempfile.NamedTemporaryFile("w") as devices:
            json.dump([{"id": "a" * 20, "key": "0123456789abcdef"}, {"id": "b" * 20, "key": "0123456789abcdef"}], devices)
            devices.flush()
            self.check(2, "tuya-ctl", "--devices", devices.name, "status", say="--device: expected the name or id of one of the 2")
        self.check(2, "tuya-ctl", "--broadcast", "nowhere", "discover", say="--broadcast")

    def test_other_version_is_5_and_no_ciphertext_is_shown(self):
        with Sim("-P", "3.3") as sim:
            p = run("tuya-ctl", "--host", "127.0.0.1", "--port", sim.port, "--id", sim.devices[0]["id"], "--key",
                    sim.key, "-P", "3.1", "status")
            self.assertEqual((p.returncode, p.stdout), (5, ""), p.stderr)
            self.assertTrue(p.stderr.isascii(), p.stderr)
            self.assertIn("-P auto", p.stderr)


if __name__ == "__main__":
    unittest.main()
