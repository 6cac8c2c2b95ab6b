"""embed.py OUT FILE... - write the profiles as C: one byte array each, and a table ascending by name."""
import os
import sys

out, files = sys.argv[1], sorted(sys.argv[2:], key=lambda f: os.path.splitext(os.path.basename(f))[0])
with open(out, "w", encoding="ascii") as c:
    c.write('/* made by embed.py from sim/profiles */\n#include "builtin.h"\n')
    for i, name in enumerate(files):
        with open(name, "rb") as f:
            data = f.read()
        c.write(f"static const unsigned char text_{i}[] = {{")
        for k, byte in enumerate(data):
            c.write(("\n    " if k % 24 == 0 else "") + f"{byte},")
        c.write("\n};\n")
    c.write("const struct builtin builtins[] = {\n")
    for i, name in enumerate(files):
        stem = os.path.splitext(os.path.basename(name))[0]
        c.write(f'    {{"{stem}", (const char *)text_{i}, sizeof text_{i}}},\n')
    c.write("};\nconst size_t n_builtins = sizeof builtins / sizeof builtins[0];\n")
