#!/usr/bin/env python3
"""fuzz/oss-fuzz/build.sh, run as OSS-Fuzz runs it, leaves working fuzzers, seed corpora and dictionaries in $OUT; and
a short campaign over the same build finds nothing, reports, goes on where it stopped, can be interrupted, and gives each
harness the CPU time that was asked for.

    oss_fuzz.py SOURCES [HARNESS...]      harnesses that have to be there"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile

SKIP = 77


def interrupted_and_resumed(command, out):
    """SIGINT in the first turn keeps what was done; --each then runs until the harness had its CPU time, and no longer."""
    command = command + ["--out", str(out), "--only", "keylog", "--record", str(out / "ran.tsv"), "--each"]
    running = subprocess.Popen(command + ["600"], stdout=subprocess.DEVNULL)
    log, end = out / "crashes/keylog/last.log", time.monotonic() + 120
    while not (log.exists() and b"INITED" in log.read_bytes()) and time.monotonic() < end:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    if running.wait(timeout=120) != 0:
        return f"an interrupted campaign ends with {running.returncode}"
    first = json.loads((out / "state.json").read_text())["keylog"]
    each = first["cpu_s"] + 1
    subprocess.run(command + [f"{each:.0f}"], check=True, stdout=subprocess.DEVNULL)
    then = json.loads((out / "state.json").read_text())["keylog"]
    rows = [row.split("\t") for row in (out / "ran.tsv").read_text().splitlines()]
    if first["runs"] != 1 or first["executions"] == 0 or first["crashes"]:
        return f"the interrupted turn is kept as {first}"
    if then["cpu_s"] < int(f"{each:.0f}") or then["executions"] <= first["executions"]:
        return f"--each {each:.0f} ended with {then}"
    if {row[1] for row in rows[1:]} != {"keylog"} or sum(int(row[3]) for row in rows[1:]) != then["executions"]:
        return f"recorded as {rows}"
    return None


def hours_of_others(command, out):
    """What the table has of other days and machines counts: nothing is left to do here, and nothing is taken off the table."""
    table = out.with_suffix(".tsv")
    table.write_text("date\tharness\tcpu_minutes\texecutions\tfound\n2026-01-01\tkeylog\t59.0\t5\t0\n"
                     "2026-01-02\tkeylog\t1.0\t6\t1\n")
    before = table.read_text()
    ran = subprocess.run(command + ["--out", str(out), "--only", "keylog", "--record", str(table), "--each", "3600"], text=True,
                         stdout=subprocess.PIPE, check=True).stdout
    state = json.loads((out / "state.json").read_text())["keylog"]
    if state["runs"] != 0 or table.read_text() != before or "keylog: 60 CPU minutes, 11 executions, 1 found in all" not in ran:
        return f"an hour in the table, and still: {state}\n{table.read_text()}{ran}"
    return None


def mended(command, source, out):
    """A crash of an earlier build whose input this one survives stays in the books, and nobody's exit status."""
    crash = {"what": "an earlier build", "where": [], "count": 3, "input": "0123456789ab.input"}
    state = json.loads((out / "state.json").read_text())
    state["keylog"]["crashes"]["0123456789ab"] = crash
    (out / "state.json").write_text(json.dumps(state))
    shutil.copy(source / "corpus/keylog/two-sessions", out / "crashes/keylog" / crash["input"])
    ran = subprocess.run(command + ["--out", str(out), "--only", "keylog"], text=True, stdout=subprocess.PIPE)
    kept = json.loads((out / "state.json").read_text())["keylog"]["crashes"]
    if ran.returncode != 0 or kept["0123456789ab"] != dict(crash, mended=True) or "mended" not in (out / "report.html").read_text():
        return f"a crash that is mended: {ran.returncode}, {kept}\n{ran.stdout}"
    return None


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
        campaign = [sys.executable, str(source / "fuzz/campaign"), "--build", str(work / "build"), "--jobs", "2", "--seed", "1"]
        wrong = (interrupted_and_resumed(campaign, root / "interrupted") or mended(campaign, source, root / "interrupted")
                 or hours_of_others(campaign, root / "others"))
        if wrong:
            print(wrong)
            return 1
        command = campaign + ["--out", str(root / "campaign"), "--time"]
        for seconds in ("30", "2"):
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
