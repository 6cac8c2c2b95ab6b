"""Every "spec section N", "device behaviour N" and "energy-dps N" in the tree is to be found in docs/protocol.md."""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop(1))
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
PROTOCOL, BEHAVIOUR, ENERGY = re.split(r"^# Device behaviour$|^# Data points and energy$", PAGE, flags=re.M)
FOLDERS = "lib common sim tools fuzz tests examples".split()
NUMBERS = r"((?:\d+(?:\.\d+)?)(?:(?:, | and | to )\d+(?:\.\d+)?)*)"
# A reference may run over the end of a comment's line.
JOIN = re.compile(r"\s*\n\s*(?:\*|#|//)?\s*")


def rows(table):
    numbers = {n for cell in re.findall(r"^\| ([\d., ]+) \|", table, re.M) for n in cell.replace(" ", "").split(",")}
    return numbers | {n.partition(".")[0] for n in numbers}


KNOWN = {
    r"[Ss]pec (?:protocol )?(?:sections? )?": set(re.findall(r"^###? (\d+(?:\.\d+)?) ", PROTOCOL, re.M)),
    r"[Dd]evice behaviour,? (?:sections? )?": rows(BEHAVIOUR),
    r"energy-dps (?:sections? )?": rows(ENERGY),
}


def sources():
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".c", ".h", ".py") and path.name != pathlib.Path(__file__).name:
                yield path


class References(unittest.TestCase):
    def test_each_leads_to_a_section(self):
        found, lost = 0, []
        for path in sources():
            text = JOIN.sub(" ", path.read_text(encoding="utf-8", errors="replace"))
            for what, known in KNOWN.items():
                for match in re.finditer(what + NUMBERS, text):
                    for number in re.findall(r"\d+(?:\.\d+)?", match.group(1)):
                        found += 1
                        if number not in known:
                            lost.append(f"{path.relative_to(ROOT)}: {match.group(0)}")
        self.assertEqual(lost, [])
        self.assertGreater(found, 100)  # or the patterns above have gone blind


if __name__ == "__main__":
    unittest.main()
