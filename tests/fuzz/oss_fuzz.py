#!/usr/bin/env python3
"""fuzz/oss-fuzz/build.sh, run as OSS-Fuzz runs it, leaves working fuzzers, seed corpora and dictionaries in $OUT; and
a short campaign over the same build finds nothing, reports, and goes on where it stopped.

    oss_fuzz.py SOURCES [HARNESS...]      harnesses that have to be there"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

SKIP = 77


def main():
    source, harnesses = pathlib.Path(sys.argv[1]), sys.argv[2:]
    if not all(shutil.which(tool) for tool in ("clang", "clang++", "meson", "ninja")):
        print("clang, meson or ninja is not installed")
        return SKIP
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        src, out, work = root / "src", root / "out", root / "work"
        for path in (src, out, work):
            path.mkdir()
        (src / "tuyawire").symlink_to(source)
        flags = "-O1 -g -fsanitize=address -fsanitize=fuzzer-no-link"
        env = dict(os.environ, SRC=str(src), OUT=str(out), WORK=str(work), CC="clang", CXX="clang++", CFLAGS=flags,
                   CXXFLAGS=flags, LIB_FUZZING_ENGINE="-fsanitize=fuzzer", FUZZ_LINK="shared", FUZZ_JOBS="2")
        built = subprocess.run([str(source / "fuzz/oss-fuzz/build.sh")], env=env, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
        if built.returncode != 0:
            print(built.stdout[-6000:])
            return 1
        found = sorted(p.name for p in out.iterdir() if p.suffix == "")
        expected = sorted("fuzz_" + h for h in harnesses)
        if [h for h in expected if h not in found]:
            print(f"missing in $OUT: {sorted(set(expected) - set(found))}; there: {found}")
            return 1
        for name in found:
            archive = zipfile.ZipFile(out / f"{name}_seed_corpus.zip")
            if not archive.namelist():
                print(f"{name}: the seed corpus is empty")
                return 1
            for kind in ("dict", "options"):
                if not (out / f"{name}.{kind}").read_text():
                    print(f"{name}.{kind} is empty")
                    return 1
            seeds = root / "seeds" / name
            archive.extractall(seeds)
            run = subprocess.run([str(out / name), "-runs=300", "-max_len=4096", f"-dict={out / name}.dict",
                                  "-close_fd_mask=1", str(seeds)], text=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, cwd=root)
            if run.returncode != 0:
                print(f"{name} does not work:\n{run.stdout[-3000:]}")
                return 1
        command = [sys.executable, str(source / "fuzz/campaign"), "--build", str(work / "build"), "--out",
                   str(root / "campaign"), "--jobs", "2", "--seed", "1", "--time"]
        for seconds in ("20", "2"):
            ran = subprocess.run(command + [seconds], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if ran.returncode != 0:
                print(f"the campaign found something or did not run:\n{ran.stdout[-3000:]}")
                for log in (root / "campaign/crashes").glob("*/*.log"):
                    print(f"--- {log}\n{log.read_text(errors='replace')[-2500:]}")
                return 1
            print(ran.stdout)
        report = json.loads((root / "campaign/report.json").read_text())["harnesses"]
        silent = [h for h in harnesses if report[h]["executions"] == 0 and report[h]["runs"] > 0]
        if silent or "<table>" not in (root / "campaign/report.html").read_text():
            print(f"ran without executions: {silent}, or the report is empty")
            return 1
        print(f"{len(found)} fuzzers built and run, each with seeds, dictionary and options")
    return 0


if __name__ == "__main__":
    sys.exit(main())
