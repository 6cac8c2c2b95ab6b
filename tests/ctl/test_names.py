"""tuya-ctl --host NAME: names with several addresses, and a name server that keeps silent.

Each case has a host list and a list of name servers of its own, in a mount namespace; for the name server a network
namespace, too, since the port of a name server is fixed."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from fakeplug import KEY, FakePlug
from sim import program

SKIPPED = 77
SETUP = """
import os, socket, sys
folder, silent, program = sys.argv[1:4]
for name in ("hosts", "resolv.conf", "nsswitch.conf"):
    if os.system(f"mount --bind '{folder}/{name}' /etc/{name}") != 0:
        sys.exit("mount failed")
if silent:
    os.system("ip link set lo up")
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((silent, 53))
    s.set_inheritable(True)
os.execv(program, sys.argv[3:])
"""
OWN = ["unshare", "--mount", "--net"] + (["--map-root-user"] if os.geteuid() else [])


class Names(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="tuyawire-names-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def run_with(self, hosts, *arguments, silent=""):
        """@return the ended process, and how long it took"""
        for name, text in (("hosts", hosts), ("resolv.conf", f"nameserver {silent}\n" if silent else ""),
                           ("nsswitch.conf", "hosts: files dns\n")):
            with open(os.path.join(self.folder, name), "w", encoding="ascii") as f:
                f.write(text)
        words = OWN if silent else [w for w in OWN if w != "--net"]
        start = time.monotonic()
        result = subprocess.run([*words, sys.executable, "-c", SETUP, self.folder, silent, program("tuya-ctl"),
                                 *map(str, arguments)], capture_output=True, encoding="utf-8", timeout=60, check=False,
                                env={**os.environ, "TUYA_LOCAL_KEY": KEY.decode()})
        return result, time.monotonic() - start

    def test_the_address_that_answers_is_taken(self):
        # As with localhost on most machines, where a plug listens on 127.0.0.1 only
        for hosts in ("::1 plug\n127.0.0.1 plug\n", "127.9.9.9 plug\n127.0.0.1 plug\n", "127.0.0.1 plug\n127.9.9.9 plug\n"):
            for version in ("3.3", "auto"):
                with self.subTest(hosts, version=version), FakePlug("3.3") as plug:
                    result, _ = self.run_with(hosts, "--host", "plug", "--port", plug.port, "--id", "x", "-P", version,
                                              "--retries", "0", "get", "20")
                    self.assertEqual((result.stdout, result.stderr), ("2301\n", ""))

    def test_when_all_refuse_it_is_a_refusal(self):
        with FakePlug("3.3") as plug:
            port = plug.port
        result, _ = self.run_with("127.9.9.8 plug\n127.9.9.9 plug\n", "--host", "plug", "--port", port, "-P", "3.3",
                                  "--retries", "0", "status")
        self.assertEqual(result.returncode, 3)
        self.assertIn(f"plug port {port} refuses the connection", result.stderr)

    def test_the_time_limit_holds_for_a_name_server_that_keeps_silent(self):
        result, took = self.run_with("", "--host", "plug.example", "-P", "3.3", "--timeout", "1", "--retries", "0", "status",
                                     silent="127.0.0.53")
        self.assertEqual((result.returncode, result.stdout), (3, ""))
        self.assertIn("plug.example: no name server answers; give the address as numbers", result.stderr)
        self.assertNotIn("Sanitizer", result.stderr)
        self.assertLess(took, 5)  # the system gives up after 10


if __name__ == "__main__":
    if subprocess.run([*OWN, "mount", "--bind", "/etc/hosts", "/etc/hosts"], capture_output=True, check=False).returncode != 0:
        print("a host list of our own needs a mount namespace, which is not allowed here")
        raise SystemExit(SKIPPED)
    unittest.main()
