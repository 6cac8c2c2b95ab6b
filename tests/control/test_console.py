"""tuya-sim at a terminal: keys press buttons, q ends it, and the terminal is given back as it was."""

import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
import unittest

from sim import PATIENCE_S, program
from tuyapeer import Client


class Terminal:
    def __init__(self, *options):
        self.master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen([program("tuya-sim"), "--port", "0", *options], stdin=slave, stdout=slave,
                                        stderr=slave, start_new_session=True)
        self.seen = ""

    def expect(self, pattern):
        end = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, self.seen)):
            left = end - time.monotonic()
            if left < 0 or not select.select([self.master], [], [], left)[0]:
                raise AssertionError(f"never saw {pattern!r} in {self.seen!r}")
            self.seen += os.read(self.master, 65536).decode()
        self.seen = self.seen[found.end():]
        return found

    def type(self, keys):
        os.write(self.master, keys.encode())

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


class Console(unittest.TestCase):
    def setUp(self):
        self.terminal = Terminal()
        self.addCleanup(self.terminal.close)
        self.terminal.expect(r"1-9 press a button")

    def test_number_keys_press_the_buttons_of_the_plug(self):
        self.terminal.type("1")
        self.terminal.expect(r"button 1: data point 1 is off")
        self.terminal.type("1")
        self.terminal.expect(r"button 1: data point 1 is on")
        self.terminal.type("9")
        self.terminal.expect(r"no button 9")

    def test_s_shows_the_state_with_units(self):
        self.terminal.type("s")
        self.terminal.expect(r"1\s+switch_1\s+\S*true")
        self.terminal.expect(r"20\s+cur_voltage\s+\d+\.\d V")

    def test_what_a_client_sets_is_shown_and_does_nothing_to_the_terminal(self):
        terminal = Terminal("--profile", "bulb", "-P", "3.3", "--discovery", "off")
        self.addCleanup(terminal.close)
        port, name, key = terminal.expect(r"port (\d+), id (\S+), key (\S+)").groups()
        terminal.expect(r"1-9 press a button")
        with Client("127.0.0.1", int(port), name, key, "3.3") as c:
            c.set({"25": "\u9280\u009b2J\x7f"})
            terminal.expect('\\{"25":"\u9280..2J."\\}')
            terminal.type("s")
            terminal.expect('scene_data +"\u9280..2J."')

    def test_q_ends_it_and_gives_the_terminal_back(self):
        self.terminal.type("?q")
        self.assertEqual(self.terminal.process.wait(PATIENCE_S), 0)
        self.assertEqual(termios.tcgetattr(self.terminal.slave), self.terminal.before)

    def test_sigterm_ends_it_and_gives_the_terminal_back(self):
        self.terminal.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.terminal.process.wait(PATIENCE_S), 0)
        self.assertEqual(termios.tcgetattr(self.terminal.slave), self.terminal.before)


if __name__ == "__main__":
    unittest.main()
