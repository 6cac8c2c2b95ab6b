"""tuya-sim at a terminal: keys press buttons, q ends it, and the terminal is given back as it was."""

import fcntl
import json
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
    """tuya-sim at a terminal of its own; with shell, as a job of one that shares its terminal out, as shells of people do."""

    def __init__(self, *options, shell=None, stdout=None):
        self.master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        words = [program("tuya-sim"), "--port", "0", *options]
        if shell is not None:
            words = ["sh", "-c", "set -m\n" + shell, *words]
        self.process = subprocess.Popen(words, stdin=slave, stdout=stdout or slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.seen = ""

    def device(self):
        """What it greets with: port, id and key."""
        port, name, key = self.expect(r"port (\d+), id (\S+), key (\S+)").groups()
        return int(port), name, key

    def expect(self, pattern):
        end = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, self.seen)):
            left = end - time.monotonic()
            if left < 0 or not select.select([self.master], [], [], left)[0]:
                raise AssertionError(f"never saw {pattern!r} in {self.seen!r}")
            self.seen += os.read(self.master, 65536).decode()
        self.seen = self.seen[found.end():]
        return found

    def rest(self):
        """What it has said, once it has ended."""
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536).decode()
        return self.seen

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
        port, name, key = terminal.device()
        terminal.expect(r"1-9 press a button")
        with Client("127.0.0.1", port, name, key, "3.3") as c:
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


class Jobs(unittest.TestCase):
    """The shell says who may use the terminal."""

    def start(self, shell):
        terminal = Terminal("-P", "3.3", "--discovery", "off", shell=shell)
        self.addCleanup(terminal.close)
        return terminal

    def answers(self, device):
        port, name, key = device
        with Client("127.0.0.1", port, name, key, "3.3") as c:
            self.assertIn("1", c.status())

    def test_in_the_background_it_leaves_the_terminal_alone_and_goes_on(self):
        terminal = self.start('"$0" "$@" & read line; kill %1; wait; echo done')
        self.answers(terminal.device())
        self.assertEqual(termios.tcgetattr(terminal.slave), terminal.before)
        terminal.type("enough\n")
        self.assertNotIn("1-9", terminal.expect("(?s).*done").group())

    def test_ctrl_z_and_fg(self):
        terminal = self.start('"$0" "$@"; echo suspended; read line; fg; echo done')
        device = terminal.device()
        terminal.expect("1-9 press a button")
        self.answers(device)
        terminal.type("\x1a")
        terminal.expect("suspended")
        self.assertEqual(termios.tcgetattr(terminal.slave), terminal.before)
        terminal.type("go on\n")
        self.answers(device)
        terminal.type("1")
        terminal.expect("button 1: data point 1 is off")
        terminal.type("q")
        terminal.expect("done")

    def test_ctrl_z_and_bg(self):
        terminal = self.start('"$0" "$@"; echo suspended; bg; read line; kill %1; wait; echo done')
        device = terminal.device()
        terminal.expect("1-9 press a button")
        terminal.type("\x1a")
        terminal.expect("suspended")
        self.answers(device)
        self.assertEqual(termios.tcgetattr(terminal.slave), terminal.before)
        terminal.type("enough\n")
        terminal.expect("done")


class NobodyThere(unittest.TestCase):
    def test_what_goes_to_a_pipe_has_no_keys_in_it(self):
        terminal = Terminal("--journal", "-", "-P", "3.3", "--discovery", "off", stdout=subprocess.PIPE)
        self.addCleanup(terminal.process.stdout.close)
        self.addCleanup(terminal.close)
        port, name, key = terminal.device()
        with Client("127.0.0.1", port, name, key, "3.3") as c:
            c.status()
        self.assertEqual(json.loads(terminal.process.stdout.readline())["cmd_name"], "DP_QUERY")
        self.assertEqual(termios.tcgetattr(terminal.slave), terminal.before)

    def test_a_program_that_starts_it_keeps_its_terminal(self):
        for options in (("--json",), ("--ready-fd", "1"), ("--exit-with-parent",), ("--ready-file", "/dev/null")):
            with self.subTest(options):
                terminal = Terminal("--control", "127.0.0.1:0", *options)
                self.addCleanup(terminal.close)
                terminal.device()
                terminal.type("\x03")
                self.assertEqual(terminal.process.wait(PATIENCE_S), 0)
                self.assertNotIn("1-9", terminal.rest())


if __name__ == "__main__":
    unittest.main()
