"""What tests with foreign clients share: where they are installed, and captures of what they say."""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from sim import PATIENCE_S, run

SKIPPED = 77  # meson's exit status for a skipped test


def modules_or_skip():
    """The node_modules folder that scripts/npm-install filled; skips the test when there is none."""
    path = os.environ.get("TUYAWIRE_NODE_MODULES", "")
    if not path:
        print("TUYAWIRE_NODE_MODULES is not set: scripts/test sets it, or run scripts/npm-install build/npm")
        raise SystemExit(SKIPPED)
    if not os.path.isdir(path):
        raise AssertionError(f"{path} is missing: scripts/npm-install failed")
    if not shutil.which("node"):
        raise AssertionError("node is missing")
    return path


def may_capture():
    """Why we cannot capture on loopback, or None."""
    if not shutil.which("tcpdump"):
        return "tcpdump is missing"
    result = subprocess.run(["tcpdump", "-i", "lo", "-c", "1", "-w", os.devnull, "--immediate-mode", "-d"],
                            capture_output=True, text=True)
    if result.returncode != 0:
        return result.stderr.strip()
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except (PermissionError, AttributeError, OSError) as e:
        return f"no permission to capture (root or CAP_NET_RAW is needed): {e}"
    return None


class Capture:
    """tcpdump on the loopback device.

    with Capture() as c:
        c.start(port); ...traffic...; c.stop()
        c.check(testcase, sim, journal)     # decodes with tuya-dump into the messages of the journal

    Without permission, start() says so and check() does nothing; in CI we are root."""

    def __init__(self):
        self.process = None
        self.folder = tempfile.mkdtemp(prefix="tuyawire-capture-")
        self.path = os.path.join(self.folder, "lo.pcap")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, port):
        self.port = port
        why_not = may_capture()
        if why_not:
            print(f"NOT CAPTURED: {why_not}", file=sys.stderr)
            return
        self.process = subprocess.Popen(
            ["tcpdump", "-i", "lo", "-n", "-U", "--immediate-mode", "-B", "8192", "-Z", "root", "-w", self.path,
             f"tcp port {port}"], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "listening on" in line:
                return
        raise AssertionError("tcpdump did not start")

    def stop(self):
        """Wait until everything that was sent so far is in the file, then end tcpdump."""
        if not self.process:
            return
        marker = socket.socket(socket.AF_INET, socket.SOCK_STREAM)  # a connection attempt to a port of our own
        marker.settimeout(PATIENCE_S)
        try:
            marker.connect(("127.0.0.1", self.port))
            mark = marker.getsockname()[1]
        finally:
            marker.close()
        end = time.monotonic() + PATIENCE_S
        while not self._has_seen(mark):
            if time.monotonic() > end:
                raise AssertionError("tcpdump never wrote the last packet")
            time.sleep(0.01)
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.process.stderr.close()
        self.process = None

    def _has_seen(self, port):
        with open(self.path, "rb") as f:
            return struct.pack(">HH", port, self.port) in f.read()

    def check(self, testcase, sim, journal):
        if not os.path.exists(self.path):
            return
        decoded = dump_records(self.path, sim.key, self.port)
        testcase.maxDiff = None
        testcase.assertEqual(comparable(decoded), comparable(journal))


def dump_records(path, key, port):
    """What tuya-dump --json makes of a capture."""
    result = run("tuya-dump", "-r", path, "--key", key, "--port", port, "--json")
    assert result.returncode == 0, f"tuya-dump ended with {result.returncode}:\n{result.stderr}"
    return [json.loads(line) for line in result.stdout.split("\n") if line]


def comparable(records):
    """Per connection, in order: what must be the same in a capture and in a journal. The version is not: the simulator
    knows it, a decoder has only the bytes, and tuyapi writes 3.3 into the headers of 3.2."""
    flows = {}
    for r in records:
        if r["cmd"] is None and r["error"] is None:
            continue
        client = r["src"] if r["dir"] == "to_device" else r["dst"]
        flows.setdefault(client, []).append(
            {k: r[k] for k in ("dir", "seq", "cmd", "retcode", "payload", "text", "hex", "error")})
    return flows
