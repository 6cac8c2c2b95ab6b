#!/usr/bin/env python3
"""An input turned into a capture says, to tuya-dump, what --show says of it.

    show.py fuzz_observer tuya-dump INPUT"""
import json
import re
import subprocess
import sys
import tempfile


def main():
    harness, dump, path = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        pcap = folder + "/input.pcap"
        shown = subprocess.run([harness, "--show", "--pcap", pcap, path], text=True, stdout=subprocess.PIPE, check=True)
        lines = subprocess.run([dump, "-r", pcap, "--key", "0123456789abcdef", "--json"], text=True,
                               stdout=subprocess.PIPE, check=True).stdout.splitlines()
    frames = [(int(seq), int(command, 16)) for seq, command in
              re.findall(r"seq (\d+) command (0x\w+) \w+, check value right", shown.stdout)]
    records = [json.loads(line) for line in lines]
    decoded = [(r["seq"], r["cmd"]) for r in records if r["error"] is None]
    print(f"shown {frames}\ndecoded {decoded}")
    return 0 if frames and frames == decoded and any(r["payload"] for r in records) else 1


if __name__ == "__main__":
    sys.exit(main())
