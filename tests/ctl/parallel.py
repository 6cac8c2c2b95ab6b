"""Run the tests of a module side by side: they wait for processes most of the time. And ports for them."""

import os
import socket
import sys
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

_lock = threading.Lock()


_next_port = [10000 + os.getpid() % 2400 * 9]  # below the ephemeral ones


def udp_ports():
    """Three UDP ports in a row that nobody has, for --discovery-port."""
    with _lock:
        while True:
            _next_port[0] += 3
            sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
            try:
                for i, s in enumerate(sockets):
                    s.bind(("0.0.0.0", _next_port[0] + i))
                return _next_port[0]
            except OSError:
                continue
            finally:
                for s in sockets:
                    s.close()


def _run(test):
    result = unittest.TestResult()
    start = time.monotonic()
    test.run(result)
    trouble = result.errors + result.failures
    word = "FAIL" if trouble else "skip" if result.skipped else "ok"
    with _lock:
        print(f"{word:5} {time.monotonic() - start:6.1f} s  {test._testMethodName.replace('_', ' ')}", flush=True)
        for where, text in trouble:
            print(f"--- {where}\n{text}", flush=True)
        for _, reason in result.skipped:
            print(f"      {reason}", flush=True)
    return not trouble


def main(workers=None):
    module = sys.modules["__main__"]
    wanted = sys.argv[1:]
    tests = [t for suite in unittest.defaultTestLoader.loadTestsFromModule(module) for t in suite
             if not wanted or any(w in t._testMethodName for w in wanted)]
    with ThreadPoolExecutor(workers or int(os.environ.get("TUYAWIRE_TEST_WORKERS", "6"))) as pool:
        results = list(pool.map(_run, tests))
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(0 if results and all(results) else 1)
