#!/usr/bin/env python3
"""What --help says, what the man page says, and what the program takes are the same options.

usage: test_help.py MAN-PAGE PROGRAM-NAME"""

import os
import re
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "helpers"))
from sim import run  # noqa: E402

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
NAME = sys.argv.pop() if len(sys.argv) > 2 else "tuya-sim"
PAGE = sys.argv.pop() if len(sys.argv) > 1 else ""


class HelpTest(unittest.TestCase):
    def options_of_page(self):
        with open(PAGE, encoding="utf-8") as f:
            text = f.read()
        return set(OPTION.findall(text.replace("\\-", "-").replace("\\fB", " ").replace("\\fR", "").replace("\\fI", "")))

    def test_help_goes_to_stdout_and_succeeds(self):
        result = run(NAME, "--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("usage", result.stdout.lower())

    def test_version_goes_to_stdout_and_succeeds(self):
        result = run(NAME, "--version")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, rf"^{NAME} \d+\.\d+\.\d+")

    def test_help_fits_120_columns(self):
        long = [line for line in run(NAME, "--help").stdout.splitlines() if len(line) > 120]
        self.assertEqual(long, [])

    def test_help_and_man_page_name_the_same_options(self):
        in_help = set(OPTION.findall(run(NAME, "--help").stdout))
        in_page = self.options_of_page()
        self.assertEqual(in_help - in_page, set(), "in --help, not in the man page")
        self.assertEqual(in_page - in_help, set(), "in the man page, not in --help")

    def test_every_option_of_the_help_is_taken(self):
        for option in sorted(set(OPTION.findall(run(NAME, "--help").stdout)) - {"--help", "--version"}):
            with self.subTest(option):
                # An unknown option is named by getopt_long(); a known one fails for another reason, or not at all.
                error = run(NAME, option + "=", "--help").stderr
                self.assertNotIn("unrecognized option", error)

    def test_unknown_option_is_named_and_exits_2(self):
        result = run(NAME, "--no-such-option")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--no-such-option", result.stderr)
        self.assertEqual(result.stdout, "")


if __name__ == "__main__":
    unittest.main()
