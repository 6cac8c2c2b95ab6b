#!/usr/bin/env python3
"""Every harness runs under AFL++ with the shared mutators, for some hundred executions.

    afl.py SOURCES libfuzz_afl.so HARNESS..."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIP, SEEDS, EXECUTIONS = 77, 10, 1000


def number(stats, key):
    return int(re.search(rf"^{key}\s*: (\d+)", stats, re.M).group(1))


def main():
    source, mutators, harnesses = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if not all(shutil.which(tool) for tool in ("afl-fuzz", "afl-clang-fast", "meson", "ninja")):
        print("AFL++ is not installed")
        return SKIP
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        build = root / "build"
        env = dict(os.environ, CC="afl-clang-fast", AFL_QUIET="1", AFL_SKIP_CPUFREQ="1", AFL_NO_UI="1",
                   AFL_NO_AFFINITY="1", AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES="1")
        programs = [f"fuzz/fuzz_{h}" for h in harnesses]
        for command in (["meson", "setup", str(build), str(source), "-Dfuzz=afl", "-Dtests=false", "-Dwireshark=disabled",
                         "-Ddocs=disabled", "-Db_lundef=false", "--buildtype=release"],
                        ["ninja", "-C", str(build), "-j2", *programs]):
            made = subprocess.run(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if made.returncode != 0:
                print(made.stdout[-4000:])
                return 1
        for h in harnesses:
            seeds, out = root / "in" / h, root / "out" / h
            seeds.mkdir(parents=True)
            out.parent.mkdir(exist_ok=True)
            found = sorted((source / "corpus" / h).iterdir())
            for path in found[::max(1, len(found) // SEEDS)]:
                (seeds / path.name).write_bytes(path.read_bytes())
            run_env = dict(env, TUYAWIRE_FUZZ_HARNESS=h, AFL_CUSTOM_MUTATOR_ONLY="1",
                           AFL_CUSTOM_MUTATOR_LIBRARY=mutators)
            run = subprocess.run(["afl-fuzz", "-i", str(seeds), "-o", str(out), "-s", "1", "-E", str(EXECUTIONS), "-V", "60",
                                  "-t", "5000", "--", str(build / f"fuzz/fuzz_{h}")], env=run_env, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            stats_file = out / "default/fuzzer_stats"
            if not stats_file.exists():
                print(f"{h}: afl-fuzz did not start\n{run.stdout[-4000:]}")
                return 1
            stats = stats_file.read_text()
            execs, crashes, paths = (number(stats, k) for k in ("execs_done", "saved_crashes", "corpus_count"))
            print(f"{h}: {execs} executions, {paths} inputs kept, {crashes} crashes")
            if execs < EXECUTIONS // 2 or crashes > 0:
                print(run.stdout[-3000:])
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
