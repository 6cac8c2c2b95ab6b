"""The headers that are installed and compiled alone are all the headers there are, and tuyawire.h has them all."""
import os
import re
import sys

folder, listed = sys.argv[1], sorted(sys.argv[2:])
there = sorted(name for name in os.listdir(folder) if name.endswith(".h"))
assert listed == there, f"lib/meson.build lists {listed}, the folder has {there}"

text = open(os.path.join(folder, "tuyawire.h"), encoding="utf-8").read()
included = re.findall(r'#include "tuyawire/([a-z_]+\.h)"', text)
missing = sorted(set(there) - set(included) - {"tuyawire.h"})
assert not missing, f"tuyawire.h does not include {missing}"

for name in there:
    text = open(os.path.join(folder, name), encoding="utf-8").read()
    first = text.split("\n", 1)[0]
    assert first.startswith(f"/* tuyawire/{name} - "), f"{name} does not begin with its name and its idea: {first}"
    for include in re.findall(r"#include\s+(\S+)", text):
        allowed = include.startswith('"tuyawire/') or include in ("<stdbool.h>", "<stddef.h>", "<stdint.h>")
        assert allowed, f"{name} includes {include}: public headers are plain C11 without a system"
    if re.search(r"^\w.*\w\(.*\);", text, re.M):
        assert 'extern "C"' in text, f'{name} declares functions without extern "C"'
