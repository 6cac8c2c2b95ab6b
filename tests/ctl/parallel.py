"""Run the tests of a module side by side: they wait for processes most of the time."""

import os
import sys
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

_lock = threading.Lock()


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
