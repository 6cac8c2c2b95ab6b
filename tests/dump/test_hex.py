"""Frames out of debug logs: every golden frame, in every notation."""

import json
import subprocess
import unittest

from dumping import ROOT, DumpTest, dump, records
from mangle import KEY, Talk

VECTORS = ROOT / "tests" / "vectors"


def vectors(name):
    return json.loads((VECTORS / f"{name}.json").read_text())["vectors"]


def content(record):
    """The plaintext of a record, JSON as JSON."""
    if record["payload"] is not None:
        return record["payload"]
    if record["hex"] is not None:
        return bytes.fromhex(record["hex"])
    return record["text"] or ""


def plaintext(v):
    if "plaintext_hex" in v and v.get("plaintext") is None:
        raw = bytes.fromhex(v["plaintext_hex"])
        if not raw.startswith(b"{"):
            return raw
        v = {"plaintext": raw.decode()}
    text = v["plaintext"] or ""
    try:
        parsed = json.loads(text.rstrip("\0"))
        return parsed if isinstance(parsed, dict) else text
    except json.JSONDecodeError:
        return text


def keys(v):
    out = ["--key", "hex:" + v["key_hex"]] if v["key_hex"] else []
    return out + (["--session-key", "hex:" + v["session_key_hex"]] if v.get("session_key_hex") else [])


class ManyDevices(DumpTest):
    def test_frames_that_no_key_opens_do_not_close_those_behind_them(self):
        stranger, ours = Talk("3.3", key=b"#fake-LOCAL-key!", rounds=5), Talk("3.3")
        text = "\n".join(frame.hex() for _, frame in stranger.frames + ours.frames)
        got = records("--hex", "--key", KEY.decode(), input=text)
        self.assertEqual([r["error"] for r in got[len(stranger.said):]], [None] * len(ours.said))


class Golden(DumpTest):
    def test_every_frame_opens(self):
        for name in ("3.1", "3.2", "3.3", "3.4", "3.5", "discovery"):
            for v in vectors(name):
                if v["frame"] == "none":
                    continue  # nothing to find it by in a text
                with self.subTest(id=v["id"]):
                    (r,) = records("--hex", *keys(v), v["frame_hex"])
                    self.assertIsNone(r["error"], r["detail"])
                    self.assertEqual((r["seq"], r["cmd"]), (v["seq"], v["cmd"]))
                    self.assertEqual(content(r), plaintext(v))
                    if name == "discovery":
                        self.assertEqual(r["dir"], "broadcast")
                    elif r["dir"] is not None and v["id"] != "v31-reply-without-retcode":  # which looks like a request
                        self.assertEqual(r["dir"], v["direction"])
                        if v["retcode"] is not None:
                            self.assertEqual(r["retcode"], 1 if v["retcode"] == 16777216 else v["retcode"])

    def test_version_is_what_the_bytes_tell(self):
        """3.1 and 3.2 look alike in clear, and empty messages look like nothing; -P says what to expect."""
        for name in ("3.1", "3.2", "3.3", "3.4", "3.5"):
            for v in vectors(name):
                with self.subTest(id=v["id"]):
                    (r,) = records("--hex", "-P", v["version"], *keys(v), v["frame_hex"])
                    if v["id"] in ("v31-reply-without-retcode",):
                        continue
                    self.assertEqual(r["version"], v["version"])


class Notation(DumpTest):
    def setUp(self):
        super().setUp()
        self.frames = [v for v in vectors("3.3") if v["key_hex"].startswith("3031")][:20]
        self.key = ("--key", "0123456789abcdef")

    def check(self, text):
        got = records("--hex", *self.key, input=text)
        self.assertEqual([(r["seq"], r["cmd"], content(r)) for r in got],
                         [(v["seq"], v["cmd"], plaintext(v)) for v in self.frames])

    def frame_bytes(self):
        return [bytes.fromhex(v["frame_hex"]) for v in self.frames]

    def test_log_lines(self):
        self.check("".join(f"2023-11-14 22:13:20,123 DEBUG 0x7f00aa sending {b.hex()} (ok)\n" for b in self.frame_bytes()))

    def test_upper_case(self):
        self.check("".join(f"TX: {b.hex().upper()}\n" for b in self.frame_bytes()))

    def test_blanks_colons_commas_and_0x(self):
        for sep in (" ", ":", ", ", "-"):
            self.check("".join(f"rx {b.hex(sep[0]).replace(sep[0], sep)}.\n" for b in self.frame_bytes()))
        self.check("".join("{" + ", ".join(f"0x{x:02x}" for x in b) + "};\n" for b in self.frame_bytes()))

    def test_several_lines_per_frame(self):
        self.check("".join(b.hex(" ", 1)[:0] + "\n    ".join(b[i:i + 16].hex(" ") for i in range(0, len(b), 16)) + "\n--\n"
                           for b in self.frame_bytes()))

    def test_python_bytes(self):
        self.check("".join(f"DEBUG:tinytuya:payload {b!r}\n" for b in self.frame_bytes()))
        self.check("".join("got '" + "".join(f"\\x{x:02x}" for x in b) + "'\n" for b in self.frame_bytes()))

    def test_hex_dumps(self):
        """With offsets and characters, of whole lines and of less; what od says is what it does here."""
        def dumped(line, width=16):
            return lambda b: "".join(line(at, b[at:at + width]) for at in range(0, len(b), width))

        def characters(b):
            return "".join(chr(x) if 0x20 <= x < 0x7f else "." for x in b)

        def wide(b):  # two groups of eight, as hexdump -C has them
            return b[:8].hex(" ") + "  " + b[8:].hex(" ")

        forms = {
            "xxd": dumped(lambda at, b: f"{at:08x}: {b.hex(' ', -2):39}  {characters(b)}\n"),
            "xxd -g1 -c8": dumped(lambda at, b: f"{at:08x}: {b.hex(' '):23}  {characters(b)}\n", 8),
            "xxd -c32": dumped(lambda at, b: f"{at:08x}: {b.hex(' ', -2):79}  {characters(b)}\n", 32),
            "tcpdump -X": dumped(lambda at, b: f"\t0x{at:04x}:  {b.hex(' ', -2):39}  {characters(b)}\n"),
            "Wireshark": dumped(lambda at, b: f"{at:04x}   {b.hex(' '):47}   {characters(b)}\n"),
            "tshark -x": dumped(lambda at, b: f"{at:04x}  {wide(b):48}   {characters(b)}\r\n"),
            "hexdump -C": lambda b: dumped(lambda at, b: f"{at:08x}  {wide(b):49} |{characters(b)}|\n")(b) + f"{len(b):08x}\n",
            "od": lambda b: subprocess.run(["od", "-v", "-A", "x", "-t", "x1"], input=b, capture_output=True).stdout.decode(),
            "od z": lambda b: subprocess.run(["od", "-v", "-A", "x", "-t", "x1z"], input=b, capture_output=True).stdout.decode(),
        }
        for name, form in forms.items():
            with self.subTest(form=name):
                self.check("".join(form(b) for b in self.frame_bytes()))
                self.check("\n\n".join(f"a packet:\n{form(b)}" for b in self.frame_bytes()))
                self.check("\n".join(form(b"\x45\x00" * 27 + b) for b in self.frame_bytes()))  # with the headers around it
                self.check(form(b"".join(self.frame_bytes())))

    def test_characters_of_a_dump_that_look_like_digits(self):
        whole = self.frame_bytes()[0]
        for n in (24, 25, 31, 33):
            cut = "".join(f"{at:08x}: {whole[at:min(at + 16, n)].hex(' '):47}  00 00 aa 55 00\n" for at in range(0, n, 16))
            (r,) = records("--hex", *self.key, input=cut, expect=7)
            self.assertEqual((r["error"], f"{n} bytes" in r["detail"]), ("need_more", True), (n, r["detail"]))

    def test_groups_of_digits_are_not_offsets(self):
        """The first line of such a log looks like one of a dump, and every other one may."""
        for group in (-2, -4):
            for width in (4, 8, 16, 20):
                self.check("--\n".join("".join(b[at:at + width].hex(" ", group) + "\n" for at in range(0, len(b), width))
                                       for b in self.frame_bytes()))

    def test_several_frames_in_one_run(self):
        self.check(b"".join(self.frame_bytes()).hex())

    def test_frame_as_arguments(self):
        words = [b.hex() for b in self.frame_bytes()]
        got = records("--hex", *self.key, *words)
        self.assertEqual(len(got), len(words))
        got = records("--hex", *self.key, *self.frame_bytes()[0].hex(" ").split())
        self.assertEqual(len(got), 1)

    def test_cut_frame_is_said_to_be_so(self):
        cut = self.frames[0]["frame_hex"][:60] + " and then nothing"
        (r,) = records("--hex", *self.key, cut, expect=7)
        self.assertEqual((r["error"], r["cmd"]), ("need_more", self.frames[0]["cmd"]))
        self.assertIn("30 bytes", r["detail"])
        result = dump("--hex", *self.key, cut)
        self.assertEqual((result.returncode, "need_more" in result.stdout), (7, True))
        self.assertIn("the end of 1 frame is missing", result.stderr)

    def test_frames_around_a_cut_one_open(self):
        for v in self.frames:
            for size in (12, len(v["frame_hex"]) - 2):
                for end in ("", " ..."):
                    lines = [f["frame_hex"] for f in self.frames[:3]]
                    lines.insert(1, v["frame_hex"][:size] + end)
                    got = records("--hex", *self.key, input="\n".join(lines), expect=7)
                    with self.subTest(id=v["id"], size=size, end=end):
                        self.assertEqual([r["error"] for r in got], [None, "need_more", None, None])

    def test_many_requests_inside_a_cut_frame_are_all_read(self):
        """More than are remembered for their replies: corpus/hexlog/more-requests-than-are-kept."""
        text = (ROOT / "corpus" / "hexlog" / "more-requests-than-are-kept").read_text()
        got = records("--hex", input=text, expect=7)
        self.assertEqual([(r["error"], r["seq"]) for r in got], [("need_more", 1)] + [(None, n) for n in range(1, 41)])

    def test_a_cut_frame_counts_also_where_it_is_filtered(self):
        text = self.frames[0]["frame_hex"][:60]
        self.assertEqual(records("--hex", *self.key, "-Y", "cmd == STATUS", text, expect=7), [])

    def test_no_frame(self):
        for text in ("", "hello", "000055ab", "0000 "):
            result = dump("--hex", input=text)
            with self.subTest(text=text):
                self.assertEqual((result.returncode, result.stdout), (7, ""))
                self.assertIn("000055aa", result.stderr)

    def test_session_of_a_log(self):
        """START and RESP in the log yield the session key for what follows."""
        for case in json.loads((VECTORS / "session.json").read_text())["cases"]:
            if not case.get("after"):
                continue
            frames = case["frames"] + case["after"]
            with self.subTest(id=case["id"]):
                got = records("--hex", "--key", "hex:" + case["local_key_hex"], input="\n".join(f["frame_hex"] for f in frames))
                self.assertEqual([r["error"] for r in got], [None] * len(frames))


if __name__ == "__main__":
    unittest.main()
