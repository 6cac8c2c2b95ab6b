#!/usr/bin/env python3
"""The corpora alone reach at least 95 % of the lines and 90 % of the branches of lib/, and what they do not reach has a
reason in fuzz/unreached.txt.

    coverage.py SOURCES"""
import fnmatch
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIP, LINES, BRANCHES, UNEXPLAINED = 77, 95.0, 90.0, 12


def rules_of(path):
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            yield [part.strip() for part in re.split(r" \| ", line, maxsplit=2)]


def unreached(shown):
    """(file, source line) of each line with count 0, braces left out."""
    name = ""
    for line in shown.splitlines():
        if line.startswith("/") and line.endswith(":"):
            found = re.search(r"(lib/\w+\.c):$", line)
            name = found.group(1) if found else ""
        found = re.match(r" *\d+\| +0\|(.*)$", line)
        if name and found and found.group(1).strip(" {}"):
            yield name, found.group(1).strip()


def main():
    source = pathlib.Path(sys.argv[1])
    if not all(shutil.which(t) for t in ("clang", "llvm-cov", "llvm-profdata", "meson", "ninja")):
        print("clang, llvm-cov, meson or ninja is not installed")
        return SKIP
    with tempfile.TemporaryDirectory() as folder:
        build, out = pathlib.Path(folder) / "build", pathlib.Path(folder) / "out"
        env = dict(os.environ, CC="clang", CFLAGS="-fprofile-instr-generate -fcoverage-mapping")
        for command in (["meson", "setup", str(build), str(source), "-Dtests=false", "-Dwireshark=disabled",
                         "-Ddocs=disabled", "-Dfuzz=standalone", "--buildtype=debug"],
                        ["ninja", "-C", str(build), "-j2", "fuzzers"],
                        [sys.executable, str(source / "fuzz/campaign"), "--build", str(build), "--out", str(out),
                         "--coverage", str(build)]):
            done = subprocess.run(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                print(done.stdout[-4000:])
                return 1
        lib = json.loads((out / "report.json").read_text())["lib"]
        programs = sorted(str(p) for p in (build / "fuzz").glob("fuzz_*") if p.is_file() and os.access(p, os.X_OK))
        shown = subprocess.run(["llvm-cov", "show", f"-instr-profile={out / 'profiles/all.profdata'}", programs[0],
                                *[x for p in programs[1:] for x in ("-object", p)]], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        rules = list(rules_of(source / "fuzz/unreached.txt"))
        lines = sorted(set(unreached(shown)))
        bare = [(f, text) for f, text in lines
                if not any(fnmatch.fnmatch(f, g) and re.search(p, text) for g, p, _ in rules)]
        print(f"lib/: {lib['lines']} % of lines, {lib['branches']} % of branches; {len(lines)} lines not reached, "
              f"{len(bare)} of them without a reason in fuzz/unreached.txt")
        for f, text in bare:
            print(f"  {f}: {text}")
    return 0 if lib["lines"] >= LINES and lib["branches"] >= BRANCHES and len(bare) <= UNEXPLAINED else 1


if __name__ == "__main__":
    sys.exit(main())
