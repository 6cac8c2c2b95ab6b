#!/usr/bin/env python3
"""Inputs turned into captures say, to tuya-dump, what --show says of them: both ends, in every version.

    show.py tuya-dump CORPUS PROGRAM..."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

INPUTS = {"device": "v3?-day", "sim": "v3?-day-of-basic-plug", "client": "v3?-day", "pair": "v3?-talk", "observer": "v3?-conversation"}


def check(dump, program, path, folder):
    pcap = folder + "/input.pcap"
    shown = subprocess.run([program, "--show", "--pcap", pcap, str(path)], text=True, stdout=subprocess.PIPE, check=True).stdout
    lines = subprocess.run([dump, "-r", pcap, "--key", "0123456789abcdef", "--json"], text=True, stdout=subprocess.PIPE,
                           check=True).stdout.splitlines()
    frames = [(f"{way}_device", int(seq), int(command, 16)) for way, seq, command in
              re.findall(r"(to|from) device: \w+ seq (\d+) command (0x\w+) \w+, check value right", shown)]
    records = [json.loads(line) for line in lines]
    decoded = [(r["dir"], r["seq"], r["cmd"]) for r in records if r["error"] is None and r["cmd"] is not None]
    good = {way for way, _, _ in frames} == {"to_device", "from_device"} and frames == decoded and "WRONG" not in shown
    print(f"{path.parent.name}/{path.name}: {len(frames)} frames" + ("" if good else f"\nshown {frames}\ndecoded {decoded}"))
    return good


def main():
    dump, corpus, programs = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    with tempfile.TemporaryDirectory() as folder:
        done = [check(dump, program, path, folder) for program in programs
                for name in [pathlib.Path(program).name.removeprefix("fuzz_")]
                for path in sorted((corpus / name).glob(INPUTS[name]))]
    return 0 if len(done) == 5 * len(programs) and all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
