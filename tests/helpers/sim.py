"""Start tuya-sim for a test, wait until it listens, end it whatever happens.

    with Sim("-P", "3.5", "--profile", "energy-plug", journal=True) as sim:
        sim.port, sim.id, sim.key, sim.version        # of the first device
        sim.devices                                   # as in the ready line
        with sim.client() as c: ...                   # tuyapeer.Client
        sim.stop()                                    # SIGTERM; fails unless it exits with 0
        sim.journal()                                 # list of records

The program is found in the environment variable TUYA_SIM, which meson sets. Ports are always ephemeral. When the
block ends with an exception, what the simulator wrote is printed.
"""

import ctypes
import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref

from tuyapeer import Client

PATIENCE_S = 60.0  # for slow machines under sanitizers; nothing waits this long when all is well


def program(name):
    """Path of tuya-sim, tuya-ctl or tuya-dump: $TUYA_SIM and so on, else from PATH."""
    path = os.environ.get(name.upper().replace("-", "_")) or shutil.which(name)
    if not path:
        raise SystemExit(f"{name} not found: set {name.upper().replace('-', '_')} to its path")
    return path


def _die_with_parent():
    """Linux: if the test itself is killed, so is the simulator."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def run(name, *arguments, input=None, timeout=PATIENCE_S, env=None):
    """Run one of our programs to its end; returns the CompletedProcess with text output."""
    return subprocess.run([program(name), *map(str, arguments)], input=input, text=True, capture_output=True,
                          timeout=timeout, env={**os.environ, **(env or {})})


def free_base():
    """Three neighbouring UDP ports that nobody uses; returns the first and sockets on the first two."""
    for base in range(20000, 60000, 7):
        sockets = []
        try:
            for i in range(3):
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                sockets.append(s)
                s.bind(("127.0.0.1", base + i))
            sockets.pop().close()
            return base, sockets
        except OSError:
            for s in sockets:
                s.close()
    raise AssertionError("no free ports")


class Sim:
    def __init__(self, *options, journal=False, control=False, port=0, env=None):
        """journal: keep a journal file. control: open the control API on an ephemeral port."""
        self.folder = tempfile.mkdtemp(prefix="tuya-sim-test-")
        self.remove_folder = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)  # at the latest at exit
        self.options = [str(o) for o in options]
        if port is not None:
            self.options += ["--port", str(port)]
        if "--discovery" not in self.options:
            self.options += ["--discovery", "off"]  # tests run side by side
        self.journal_path = os.path.join(self.folder, "journal.jsonl") if journal else None
        if journal:
            self.options += ["--journal", self.journal_path]
        if control:
            self.options += ["--control", "127.0.0.1:0"]
        self.env = {**os.environ, **(env or {})}
        self.stdin, self.stdout = subprocess.DEVNULL, None  # or a terminal; None: into the log
        self.process = None
        self.ready = None

    # --- life

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self._clean_up(failed=True)
            raise
        return self

    def __exit__(self, kind, *_):
        failed = kind is not None
        try:
            if not failed:
                self.stop()
        except BaseException:
            failed = True
            raise
        finally:
            self._clean_up(failed)

    def start(self):
        """Start (again) and wait for the ready line."""
        path = program("tuya-sim")
        read_end, write_end = os.pipe()
        self.log = open(os.path.join(self.folder, "log"), "ab")
        try:
            self.process = subprocess.Popen(
                [path, *self.options, "--ready-fd", str(write_end)], pass_fds=[write_end],
                stdin=self.stdin, stdout=self.stdout or self.log, stderr=self.log, env=self.env,
                preexec_fn=_die_with_parent)
        finally:
            os.close(write_end)
        try:
            self.ready = json.loads(self._read_line(read_end))
        finally:
            os.close(read_end)
        return self

    def _read_line(self, fd):
        line, end = b"", time.monotonic() + PATIENCE_S
        while not line.endswith(b"\n"):
            if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError("tuya-sim did not become ready in time")
            data = os.read(fd, 65536)
            if not data:
                raise AssertionError(f"tuya-sim ended before it was ready, exit status {self.process.wait()}")
            line += data
        return line

    def stop(self, expect=0):
        """SIGTERM and wait; fails unless it exits with this status."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("tuya-sim did not end on SIGTERM") from None
        self.process = None
        self.log.close()
        if expect is not None and status != expect:
            raise AssertionError(f"tuya-sim ended with status {status}, expected {expect}")

    def kill(self):
        """kill -9, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.log.close()

    def _clean_up(self, failed):
        self.kill()
        if failed:
            print(f"--- {' '.join(['tuya-sim', *self.options])}", self.output(), "---", sep="\n", file=sys.stderr)
        self.remove_folder()

    # --- what it says

    def output(self):
        """What it has written to stdout and stderr so far."""
        try:
            with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def journal(self):
        """Records written so far; complete after stop()."""
        with open(self.journal_path, encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def wait_for_journal(self, test, timeout=PATIENCE_S):
        """Wait until test(records) is true; returns the records."""
        end = time.monotonic() + timeout
        while True:
            records = self.journal() if os.path.exists(self.journal_path) else []
            if test(records):
                return records
            if time.monotonic() > end:
                raise AssertionError(f"the journal never showed it; its last records: {records[-5:]}")
            time.sleep(0.01)

    # --- its devices

    @property
    def devices(self):
        return self.ready["devices"]

    @property
    def port(self):
        return self.devices[0]["port"]

    @property
    def host(self):
        return self.devices[0]["ip"]

    @property
    def id(self):
        return self.devices[0]["id"]

    @property
    def key(self):
        return self.devices[0]["key"]

    @property
    def version(self):
        return self.devices[0]["version"]

    def client(self, device=None, **options):
        d = device or self.devices[0]
        return Client(d["ip"], d["port"], d["id"], d["key"], d["version"], **options)

    # --- control API

    def request(self, method, path, body=None, headers=None):
        """One request to the control API; returns (status, parsed JSON or text)."""
        host, port = self.ready["control"].rsplit(":", 1)
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=PATIENCE_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if response.getheader("Content-Type", "").startswith("application/json") and text:
            return response.status, json.loads(text)
        return response.status, text
