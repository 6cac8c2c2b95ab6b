"""embed_page.py OUT FILE - write a page as a C array."""
import sys

data = open(sys.argv[2], "rb").read()
with open(sys.argv[1], "w", encoding="ascii") as c:
    c.write('/* made by embed_page.py */\n#include "control_page.h"\nconst unsigned char control_page[] = {')
    for k, byte in enumerate(data):
        c.write(("\n    " if k % 24 == 0 else "") + f"{byte},")
    c.write("\n};\nconst size_t control_page_len = sizeof control_page;\n")
