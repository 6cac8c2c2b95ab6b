"""Run tuya-dump for tests. Its path is in the environment variable TUYA_DUMP, which meson sets."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "helpers"))

PATIENCE_S = 60
ROOT = Path(__file__).resolve().parent.parent.parent


def dump(*arguments, input=None, env=None, text=True):
    """Run it to its end."""
    path = os.environ.get("TUYA_DUMP")
    if not path:
        raise SystemExit("TUYA_DUMP is not set: run the tests with meson, or set it to the path of tuya-dump")
    clean = {k: v for k, v in os.environ.items() if k not in ("TUYA_LOCAL_KEY", "TUYAKEYLOGFILE")}
    result = subprocess.run([path, *map(str, arguments)], input=input, capture_output=True, timeout=PATIENCE_S,
                            env={**clean, **(env or {})}, text=text)
    if result.returncode < 0 or "Sanitizer" in str(result.stderr):
        raise AssertionError(f"tuya-dump {' '.join(map(str, arguments))} ended with {result.returncode}:\n{result.stderr}")
    return result


def records(*arguments, expect=0, **options):
    """--json, parsed. Fails unless it exits with `expect`."""
    result = dump(*arguments, "--json", **options)
    if result.returncode != expect:
        raise AssertionError(f"exit code {result.returncode}, expected {expect}\n{result.stderr}")
    out = result.stdout if isinstance(result.stdout, str) else result.stdout.decode()
    return [json.loads(line) for line in out.split("\n") if line]


class DumpTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tuya-dump-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def path(self, name):
        return self.folder / name
