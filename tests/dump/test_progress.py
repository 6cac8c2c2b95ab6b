"""Progress of long files: on a terminal only, gone at the end, and never in the way of anything else."""

import os
import pty
import re
import subprocess
import threading
import time
import unittest

import mangle
from dumping import PATIENCE_S, DumpTest
from mangle import KEY, Talk, segments

ERASE = b"\r\033[K"
STATUS = re.compile(rb"\r *(\d+) (%|MB)  (\d+) packets, (\d+) messages, \d+\.\d s\033\[K")


def junk(n):
    """Packets of another protocol, as a pcap without its header."""
    return mangle.pcap([mangle.Datagram(("192.0.2.1", 53), ("192.0.2.2", 53), b"junk")])[24:] * n


class Progress(DumpTest):
    def setUp(self):
        super().setUp()
        self.talk = Talk("3.3", rounds=1)
        self.head = mangle.pcap(segments(self.talk.frames, fin=False))

    def start(self, *options, source="-", stdout=subprocess.PIPE, stderr=None):
        """tuya-dump, with stderr on a terminal unless told otherwise."""
        self.terminal, inside = pty.openpty()
        self.addCleanup(os.close, self.terminal)
        self.process = subprocess.Popen([os.environ["TUYA_DUMP"], "-r", source, "--key", KEY.decode(), *options], stdin=subprocess.PIPE,
                                        stdout=inside if stdout == "terminal" else stdout, stderr=stderr or inside)
        os.close(inside)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.shown = b""
        self.reader = threading.Thread(target=self.read_terminal, daemon=True)
        self.reader.start()

    def read_terminal(self):
        """Until the program has closed the other end; it must never wait for this one."""
        try:
            while piece := os.read(self.terminal, 65536):
                self.shown += piece
        except OSError:  # how Linux says so
            pass

    def feed_until(self, enough, packets=junk(4096)):
        """The capture goes on until the terminal shows it; a second of work, however fast the machine is."""
        self.process.stdin.write(self.head)
        end = time.monotonic() + PATIENCE_S
        while not enough() and time.monotonic() < end:
            self.process.stdin.write(packets)
            self.process.stdin.flush()
        self.assertTrue(enough(), self.shown)

    def feed_for(self, seconds):
        begin = time.monotonic()
        self.feed_until(lambda: time.monotonic() - begin > seconds)

    def finish(self, expect=0):
        """What went to stdout, if that is a pipe."""
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        self.reader.join(PATIENCE_S)
        self.assertEqual(self.process.returncode, expect, self.shown)
        return out

    def screen(self):
        """The lines of the terminal when all is over."""
        lines = []
        for line in self.shown.replace(b"\r\n", b"\n").split(b"\n"):
            lines.append(line.split(b"\r")[-1].replace(b"\033[K", b"").decode())
        return lines

    def test_appears_on_a_terminal_and_is_gone_at_the_end(self):
        self.start("--json")
        self.feed_until(lambda: len(STATUS.findall(self.shown)) >= 2)
        out = self.finish()
        first, second = STATUS.findall(self.shown)[:2]
        self.assertEqual((first[1], int(first[3])), (b"MB", len(self.talk.said)))
        self.assertLess(int(first[2]), int(second[2]))
        self.assertTrue(self.shown.endswith(ERASE), self.shown)
        self.assertEqual(STATUS.sub(b"", self.shown), ERASE)
        self.assertEqual(len(out.splitlines()), len(self.talk.said))
        self.assertNotIn(b"packets", out)

    def test_of_a_file_is_in_per_cent(self):
        """A reader of stdout that takes its time makes the work last."""
        packets = [p for port in range(100) for p in segments(self.talk.frames, client=("192.0.2.8", 2000 + port))]
        self.path("x.pcap").write_bytes(mangle.pcap(packets) + junk(8 * 4096))
        self.start("--json", source=self.path("x.pcap"))
        time.sleep(1.2)
        out = self.finish()
        self.assertGreater(len(out), 200000)  # more than fits into the pipe and the program
        ((percent, unit, _, messages), *_) = STATUS.findall(self.shown)
        self.assertEqual((unit, int(messages)), (b"%", 700))
        self.assertTrue(1 <= int(percent) <= 100)
        self.assertTrue(self.shown.endswith(ERASE), self.shown)

    def test_not_before_a_second(self):
        self.start("--json")
        self.process.stdin.write(self.head + junk(3 * 4096))
        self.finish()
        self.assertEqual(self.shown, b"")

    def test_not_when_it_is_not_wanted(self):
        self.start("--json", "-q")
        self.feed_for(1.5)
        self.finish()
        self.assertEqual(self.shown, b"")

    def test_not_when_stderr_is_a_file(self):
        with open(self.path("err"), "wb") as err:
            self.start("--json", stderr=err)
            self.feed_for(1.5)
            self.finish()
        self.assertEqual(self.path("err").read_bytes(), b"")

    def test_messages_on_the_same_terminal_stay_whole(self):
        self.start("--color=never", stdout="terminal")
        more = junk(4096) + mangle.pcap(segments(self.talk.frames, client=("192.0.2.8", 5), fin=False))[24:]
        self.feed_until(lambda: len(STATUS.findall(self.shown)) >= 2, more)
        self.finish()
        lines = [line for line in self.screen() if line]
        self.assertGreater(len(lines), 7)
        for line in lines:
            self.assertRegex(line, r"^(\d\d:\d\d:\d\d\.\d{3} |-- |! |  )")
            self.assertNotIn("packets", line)

    def test_warnings_on_the_same_terminal_stay_whole(self):
        self.start("--json")
        self.feed_until(lambda: STATUS.search(self.shown))
        self.process.stdin.write(b"cut")
        self.finish(expect=7)
        lines = [line for line in self.screen() if line]
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith("tuya-dump: "), lines)


if __name__ == "__main__":
    unittest.main()
