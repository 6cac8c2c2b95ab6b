#!/usr/bin/env python3
"""No harness is forgotten: what lies in fuzz/ and corpus/ is in fuzz/harnesses.txt, and what is there has seeds, a dictionary
and a line in docs/fuzzing.md.

    table.py SOURCES"""
import pathlib
import re
import sys


def main():
    source = pathlib.Path(sys.argv[1])
    rows = [line.split() for line in (source / "fuzz/harnesses.txt").read_text().splitlines() if not line.startswith("#")]
    names = [row[0] for row in rows]
    said = set(re.findall(r"`(\w+)`", "".join(line for line in (source / "docs/fuzzing.md").read_text().splitlines()
                                              if line.startswith("| `"))))
    wrong = [f"fuzz/{p.name} is not in harnesses.txt" for p in (source / "fuzz").glob("*.c") if p.stem not in names]
    wrong += [f"corpus/{p.name} is no harness's" for p in (source / "corpus").iterdir() if p.name not in names]
    for name, _, dictionary, _, _ in rows:
        wrong += [f"{name}: {what} is missing" for what, there in (
            (f"fuzz/{name}.c", (source / f"fuzz/{name}.c").exists()),
            (f"corpus/{name}", any((source / "corpus" / name).glob("*"))),
            (f"fuzz/dictionaries/{dictionary}.dict", (source / f"fuzz/dictionaries/{dictionary}.dict").exists()),
            ("its line in the table of docs/fuzzing.md", name in said)) if not there]
    print("\n".join(wrong) or f"{len(rows)} harnesses")
    return 1 if wrong or names != sorted(names) else 0


if __name__ == "__main__":
    sys.exit(main())
