#!/usr/bin/env python3
"""What the harnesses say of their inputs, as C for common/afl.c: AFL++ loads the mutators without a harness.

    afl_table.py HARNESS.c... > afl_table.h"""
import pathlib
import re
import sys

DEFAULTS = {"form": None, "keys": "FUZZ_KEYS_CONNECTION", "context_len": "0"}


def main():
    for path in map(pathlib.Path, sys.argv[1:]):
        said = re.search(r"const struct fuzz_harness fuzz_harness = \{(.*?)\n\};", path.read_text(), re.S).group(1)
        members = dict(DEFAULTS, **dict(re.findall(r"\.(name|form|keys|context_len) = ([^,]+),", said)))
        if members["form"] is None or members.get("name") != f'"{path.stem}"':
            print(f"{path}: fuzz_harness needs a .form, and the .name of the file", file=sys.stderr)
            return 1
        print(f'{{{members["name"]}, "", {members["form"]}, {members["keys"]}, {members["context_len"]}}},')
    return 0


if __name__ == "__main__":
    sys.exit(main())
