#!/usr/bin/env python3
"""Two harnesses run under AFL++ with the shared mutators, for a few thousand executions each.

    afl.py SOURCES libfuzz_afl.so HARNESS...

Also holds the table in fuzz/common/afl.c against what each harness says of itself."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIP = 77


def forms_agree(source):
    table = dict(re.findall(r'\{"(\w+)", "", (FUZZ_\w+, FUZZ_\w+, \d)\}',
                            (source / "fuzz/common/afl.c").read_text()))
    ok = True
    for name in sorted(p.name for p in (source / "corpus").iterdir() if p.is_dir()):
        text = (source / f"fuzz/{name}.c").read_text()
        text = text[text.index("struct fuzz_harness fuzz_harness"):]
        text = text[:text.index("};")]

        def member(key, default):
            found = re.search(rf"\.{key} = (\w+)", text)
            return found.group(1) if found else default
        says = f"{member('form', '?')}, {member('keys', 'FUZZ_KEYS_CONNECTION')}, {member('context_len', '0')}"
        if table.get(name) != says:
            print(f"{name}: fuzz/common/afl.c has {table.get(name)}, the harness says {says}")
            ok = False
    return ok


def number(stats, key):
    return int(re.search(rf"^{key}\s*: (\d+)", stats, re.M).group(1))


def main():
    source, mutators, harnesses = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if not forms_agree(source):
        return 1
    if not all(shutil.which(tool) for tool in ("afl-fuzz", "afl-clang-fast", "meson", "ninja")):
        print("AFL++ is not installed")
        return SKIP
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        build = root / "build"
        env = dict(os.environ, CC="afl-clang-fast", AFL_QUIET="1", AFL_SKIP_CPUFREQ="1", AFL_NO_UI="1",
                   AFL_NO_AFFINITY="1", AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES="1")
        programs = [f"fuzz/fuzz_{h}" for h in harnesses]
        for command in (["meson", "setup", str(build), str(source), "-Dfuzz=afl", "-Dtests=false", "-Dprograms=false",
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
            for path in sorted((source / "corpus" / h).iterdir())[::12]:
                (seeds / path.name).write_bytes(path.read_bytes())
            run_env = dict(env, TUYAWIRE_FUZZ_HARNESS=h, AFL_CUSTOM_MUTATOR_ONLY="1",
                           AFL_CUSTOM_MUTATOR_LIBRARY=mutators)
            run = subprocess.run(["afl-fuzz", "-i", str(seeds), "-o", str(out), "-s", "1", "-E", "20000", "-V", "60",
                                  "-t", "5000", "--", str(build / f"fuzz/fuzz_{h}")], env=run_env, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            stats_file = out / "default/fuzzer_stats"
            if not stats_file.exists():
                print(f"{h}: afl-fuzz did not start\n{run.stdout[-4000:]}")
                return 1
            stats = stats_file.read_text()
            execs, crashes, paths = (number(stats, k) for k in ("execs_done", "saved_crashes", "corpus_count"))
            print(f"{h}: {execs} executions, {paths} inputs kept, {crashes} crashes")
            if execs < 1000 or crashes > 0:
                print(run.stdout[-3000:])
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
