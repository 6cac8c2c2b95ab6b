#!/usr/bin/env python3
"""The scripts that others rely on say what is true.

usage: test_scripts.py SOURCE-FOLDER"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

SOURCE = sys.argv.pop(1) if len(sys.argv) > 1 else "."


def script(name, *arguments, **options):
    return subprocess.run([os.path.join(SOURCE, "scripts", name), *arguments], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, **options)


class CountTest(unittest.TestCase):
    def count(self, results):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as log:
            for i, result in enumerate(results):
                log.write(json.dumps({"name": f"t{i}", "result": result, "stdout": "why"}) + "\n")
            log.flush()
            return script("count-tests", log.name).stdout.split()

    def test_only_what_passed_counts_as_passed(self):
        results = ["OK", "EXPECTEDFAIL", "FAIL", "TIMEOUT", "ERROR", "INTERRUPT", "UNEXPECTEDPASS", "SKIP"]
        self.assertEqual(self.count(results), ["2", "5", "1"])

    def test_a_run_without_tests_is_a_failure(self):
        self.assertEqual(self.count([]), ["0", "1", "0"])

    def test_a_missing_log_is_a_failure(self):
        self.assertEqual(script("count-tests", "/nonexistent/log").stdout.split(), ["0", "1", "0"])


class UsageTest(unittest.TestCase):
    def test_unknown_words_are_named_and_exit_2(self):
        for name, word in (("test", "sideways"), ("deps", "--sideways")):
            result = script(name, word)
            self.assertEqual(result.returncode, 2)
            self.assertIn(word, result.stderr)

    def test_every_dependency_says_what_it_is_for(self):
        lines = script("deps", "--list").stdout.splitlines()
        self.assertGreater(len(lines), 20)
        for line in lines:
            self.assertGreater(len(line.split(None, 2)), 2, line)

    def test_a_library_that_is_missing_is_named(self):
        result = script("deps", "--check", "build", env={**os.environ, "PKG_CONFIG_LIBDIR": "/nonexistent"})
        self.assertEqual(result.returncode, 1)
        self.assertIn("libuv", result.stderr)


class LockTest(unittest.TestCase):
    def test_foreign_clients_are_pinned_and_come_from_any_registry(self):
        with open(os.path.join(SOURCE, "tests/interop/package-lock.json"), encoding="utf-8") as f:
            packages = json.load(f)["packages"]
        for name, package in packages.items():
            if name:
                self.assertNotIn("resolved", package)
                self.assertIn("integrity", package, f"{name} is not pinned")
        wanted = packages[""]["dependencies"]
        for name, version in wanted.items():
            self.assertRegex(version, r"^\d+\.\d+\.\d+$")
            self.assertEqual(packages[f"node_modules/{name}"]["version"], version)


if __name__ == "__main__":
    unittest.main()
