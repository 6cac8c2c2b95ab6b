"""How fast tuya-dump is beside the limit of its task, as ratios: both take turns in one run.

    TUYA_DUMP=.. BENCH_DUMP_MAKE=.. BENCH_DUMP_LIMIT=.. bench_dump.py [--messages N] [--pairs N] [--peer PCAP_PARSE.py]

limit: pcap_loop, verify, decrypt, nothing reassembled, nothing written (bench_dump_limit.c). tuya-dump: reassembly and a
JSON line per message to /dev/null. Ratios are medians over pairs of processor time. Fails below the floors.
--peer names tinytuya's tools/pcap_parse.py; it needs its own dependencies and is run on fewer messages.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

# Of the limit without output: our floors; 0.5, and 0.7 where cryptography weighs, are the aims.
FLOORS = {"3.1": 0.4, "3.3": 0.4, "3.4": 0.4, "3.5": 0.4}
MANGLED_MAX = 1.3
MEMORY_MAX_KB = 16 << 10


def run(*command):
    """Processor seconds and peak memory in KB of one run; it must succeed."""
    with open(os.devnull, "wb") as null:
        process = subprocess.Popen(command, stdout=null)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--peer")
    options = parser.parse_args()
    dump, make, limit = (os.environ[n] for n in ("TUYA_DUMP", "BENCH_DUMP_MAKE", "BENCH_DUMP_LIMIT"))
    missed = []
    with tempfile.TemporaryDirectory(prefix="tuya-dump-bench-") as folder:
        for version, floor in FLOORS.items():
            clean, mangled, few = (str(Path(folder) / n) for n in ("clean.pcap", "mangled.pcap", "few.pcap"))
            key = subprocess.run([make, version, str(options.messages), clean], capture_output=True, text=True, check=True).stdout.strip()
            subprocess.run([make, version, str(options.messages), mangled, "mangled"], capture_output=True, check=True)
            subprocess.run([make, version, str(options.messages // 10), few], capture_output=True, check=True)
            ours = [dump, "--key", "0123456789abcdef", "--json", "--strict", "-q", "-r"]
            ratios, slower, memory = [], [], []
            for _ in range(options.pairs):
                bare, _ = run(limit, version, key, clean)
                whole, kb = run(*ours, clean)
                hurt, kb_hurt = run(*ours, mangled)
                ratios.append(bare / whole)
                slower.append(hurt / os.path.getsize(mangled) / (whole / os.path.getsize(clean)))
                memory += [kb, kb_hurt]
            _, kb_few = run(*ours, few)
            ratio, slow, kb = statistics.median(ratios), statistics.median(slower), max(memory)
            per_second = options.messages / whole / 1e6
            print(f"{version}: {ratio:.2f} of the limit ({per_second:.2f} million messages/s here), mangled {slow:.2f} times the time per byte, "
                  f"{kb / 1024:.1f} MiB, {kb_few / 1024:.1f} MiB for a tenth", flush=True)
            if ratio < floor:
                missed.append(f"{version}: {ratio:.2f} of the limit, floor {floor}")
            if slow > MANGLED_MAX:
                missed.append(f"{version}: mangled {slow:.2f} times slower per byte, at most {MANGLED_MAX}")
            if kb > MEMORY_MAX_KB:
                missed.append(f"{version}: {kb} KB, at most {MEMORY_MAX_KB}")
            if options.peer:
                subprocess.run([make, version, "3000", few], capture_output=True, check=True)
                peer, _ = run(sys.executable, options.peer, few)
                times = (peer / 3000) / (whole / options.messages)
                print(f"{version}: {times:.0f} times as fast as {Path(options.peer).name}", flush=True)
    for line in missed:
        print("MISSED", line)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
