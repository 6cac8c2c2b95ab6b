#!/usr/bin/env python3
"""Every command that README shows works as printed.

usage: test_readme.py SOURCE-FOLDER BUILD-FOLDER

Fenced blocks marked `sh` are run in order, each in one shell, in one scratch folder, with our programs in PATH; a
command that fails stops its block. All of it happens in a network namespace of its own, so that the default ports are
free. Commands that build, install or test the project are what brought us here and are not run again."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE, BUILD = sys.argv[1:3] if len(sys.argv) > 2 else (".", "build")
del sys.argv[1:]

ELSEWHERE = ("git clone", "scripts/test", "scripts/demo", "scripts/deps", "meson ", "ninja ", "sudo ", "cd ")
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SKIPPED = 77


def blocks():
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as f:
        return [m.group(1) for m in BLOCK.finditer(f.read())]


def own_namespace():
    """Words to put before a command for a network namespace of its own; exits as skipped where that is forbidden."""
    words = ["unshare", "--net", "--map-root-user"]
    if os.geteuid() == 0:
        words = ["unshare", "--net"]
    if subprocess.run([*words, "ip", "link", "set", "lo", "up"], capture_output=True).returncode != 0:
        print("README's commands use the default ports and need a network namespace, which is not allowed here")
        raise SystemExit(SKIPPED)
    return words


class ReadmeTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="tuyawire-readme-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        programs = [os.path.join(BUILD, d) for d in ("sim", "tools/ctl", "tools/dump")]
        self.env = {**os.environ, "PATH": ":".join([*programs, os.environ["PATH"]]), "NO_COLOR": "1"}

    def test_every_shell_block_works_as_printed(self):
        words = own_namespace()
        script = ["set -e", "ip link set lo up", "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT"]
        n = 0
        for block in blocks():
            lines = [line for line in block.splitlines() if not line.startswith(ELSEWHERE)]
            script += lines
            n += len(lines)
        self.assertGreater(n, 5, "README shows hardly any command")
        result = subprocess.run([*words, "bash", "-x", "-c", "\n".join(script)], cwd=self.folder, env=self.env,
                                capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        self.assertEqual(result.returncode, 0, f"{result.stdout}\n{result.stderr}")

    def test_the_demonstration_runs_and_leaves_nothing(self):
        result = subprocess.run([os.path.join(SOURCE, "scripts/demo")], env={**self.env, "TUYAWIRE_BUILD": BUILD,
                                "TMPDIR": self.folder}, capture_output=True, text=True, timeout=300,
                                stdin=subprocess.DEVNULL)
        self.assertEqual(result.returncode, 0, f"{result.stdout}\n{result.stderr}")
        for part in ("Kettle plug", "CONTROL_NEW", "STATUS", "tuya-dump -r"):
            self.assertIn(part, result.stdout)
        self.assertEqual(os.listdir(self.folder), [], "the demonstration left files behind")
        for name in ("devices.json", "sim.pcapng", "lo.pcap", "sim.log"):
            self.assertFalse(os.path.exists(os.path.join(SOURCE, name)), f"the demonstration left {name} in the tree")

    def test_the_index_names_every_page(self):
        with open(os.path.join(SOURCE, "docs/README.md"), encoding="utf-8") as f:
            index = f.read()
        for page in os.listdir(os.path.join(SOURCE, "docs")):
            if page.endswith((".md", ".1", ".json")) and page != "README.md":
                self.assertIn(f"({page})", index, f"docs/{page} is not in docs/README.md")

    def test_links_lead_to_files_that_exist(self):
        documents = subprocess.run(["git", "-C", SOURCE, "ls-files", "*.md"], capture_output=True, text=True).stdout.split()
        for document in documents or ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]:
            folder = os.path.dirname(os.path.join(SOURCE, document))
            with open(os.path.join(SOURCE, document), encoding="utf-8") as f:
                for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", f.read()):
                    with self.subTest(document):
                        self.assertTrue(os.path.exists(os.path.join(folder, target)), f"{document} links to {target}")


if __name__ == "__main__":
    unittest.main()
