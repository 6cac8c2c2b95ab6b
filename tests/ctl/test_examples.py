"""The client examples do what they say, in every version."""

import os
import subprocess
import unittest

import parallel
from sim import PATIENCE_S, Sim

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")


class Examples(unittest.TestCase):
    def test_blocking_sockets(self):
        for version in VERSIONS:
            with self.subTest(version), Sim("-P", version, "--discovery", "off") as sim:
                def run(key=sim.key):
                    return subprocess.run([os.environ["CLIENT_BLOCKING"], "127.0.0.1", str(sim.port), version, sim.id],
                                          text=True, capture_output=True, timeout=PATIENCE_S,
                                          env={**os.environ, "TUYA_LOCAL_KEY": key})
                with sim.client() as c:
                    c.set({"1": False})
                    result = run()
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertIn("1 = false", result.stdout)
                    self.assertIn("switched", result.stdout)
                    result = run()
                    self.assertIn("1 = true", result.stdout)
                if version >= "3.3":
                    result = run(key="#fake-LOCAL-key!")
                    self.assertEqual(result.returncode, 1)
                    self.assertTrue(result.stderr)

    def test_event_loop(self):
        for version in VERSIONS:
            with self.subTest(version), Sim("-P", version, "--discovery", "off") as sim:
                process = subprocess.Popen([os.environ["CLIENT_LIBUV"], "127.0.0.1", str(sim.port), version, sim.id, "3"],
                                           text=True, stdout=subprocess.PIPE,
                                           env={**os.environ, "TUYA_LOCAL_KEY": sim.key})
                lines = []
                for line in process.stdout:
                    lines.append(line.strip())
                    if line.startswith("state"):
                        break
                with sim.client() as c:
                    for n in (1001, 1002, 1003):
                        c.set({"9": n})
                lines += [line.strip() for line in process.stdout]
                self.assertEqual(process.wait(PATIENCE_S), 0)
                process.stdout.close()
                self.assertEqual(lines[0], "connected")
                self.assertIn('"18"', lines[1])
                self.assertEqual(lines[2:], [f'change {{"9":{n}}}' for n in (1001, 1002, 1003)])


if __name__ == "__main__":
    parallel.main()
