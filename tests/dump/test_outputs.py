"""Each form of output, word by word: golden/NAME is what tuya-dump prints. UPDATE_GOLDEN=1 writes them anew; read the
difference before you commit it."""

import csv
import json
import os
import re
import shutil
import subprocess
import unittest
import xml.dom.minidom
from pathlib import Path

import mangle
from dumping import DumpTest, dump, records
from mangle import KEY, Talk, segments

GOLDEN = Path(__file__).resolve().parent / "golden"
HOUSE = [{"name": "Kettle plug", "id": mangle.DEVICE_ID, "key": KEY.decode(), "version": "3.3",
          "mapping": {"1": {"code": "switch_1", "type": "Boolean", "values": {}},
                      "9": {"code": "countdown_1", "type": "Integer", "values": {"unit": "s", "scale": 0}},
                      "18": {"code": "cur_current", "type": "Integer", "values": {"unit": "mA", "scale": 0}},
                      "19": {"code": "cur_power", "type": "Integer", "values": {"unit": "W", "scale": 1}},
                      "20": {"code": "cur_voltage", "type": "Integer", "values": {"unit": "V", "scale": 1}}}}]


class OutputTest(DumpTest):
    def setUp(self):
        super().setUp()
        (self.folder / "devices.json").write_text(json.dumps(HOUSE))
        self.devices = ("--devices", self.path("devices.json"))

    def golden(self, name, text):
        path = GOLDEN / name
        if os.environ.get("UPDATE_GOLDEN"):
            GOLDEN.mkdir(exist_ok=True)
            path.write_text(text, newline="")
        with open(path, newline="") as f:
            self.assertEqual(text, f.read(), f"golden/{name}")

    def capture(self, version="3.3", **options):
        return mangle.save(self.path(f"{version}.pcap"), segments(Talk(version, **options).frames))


class Golden(OutputTest):
    def test_text(self):
        for version in ("3.1", "3.2", "3.3", "3.4", "3.5"):
            self.golden(f"text-{version}.txt", dump("-r", self.capture(version, rounds=2), *self.devices).stdout)

    def test_text_without_device_list(self):
        self.golden("text-key.txt", dump("-r", self.capture("3.3", rounds=2), "--key", KEY.decode()).stdout)

    def test_verbose(self):
        self.golden("text-v.txt", dump("-r", self.capture("3.4", rounds=1), *self.devices, "-v").stdout)
        self.golden("text-vv.txt", dump("-r", self.capture("3.5", rounds=1), *self.devices, "-vv").stdout)

    def test_colour_only_on_request(self):
        plain = dump("-r", self.capture(rounds=1), *self.devices).stdout
        self.assertNotIn("\033", plain)
        self.assertNotIn("\033", dump("-r", self.capture(rounds=1), *self.devices, "--json", "--color=always").stdout)
        coloured = dump("-r", self.capture(rounds=1), *self.devices, "--color=always").stdout
        self.golden("text-colour.txt", coloured)

    def test_lines_fit_in_120_columns(self):
        for line in dump("-r", self.capture("3.3"), *self.devices).stdout.splitlines():
            self.assertLessEqual(len(line), 120)

    def test_json(self):
        for version in ("3.1", "3.2", "3.3", "3.4", "3.5"):
            self.golden(f"json-{version}.jsonl", dump("-r", self.capture(version, rounds=1), *self.devices, "--json").stdout)

    def test_csv(self):
        self.golden("data.csv", dump("-r", self.capture(), *self.devices, "-T", "csv").stdout)
        self.golden("data-key.csv", dump("-r", self.capture(), "--key", KEY.decode(), "-T", "csv").stdout)

    def test_csv_has_a_column_per_data_point(self):
        """Of a strip that no device list describes, too."""
        talk = Talk("3.3", rounds=0)
        dps = {"1": True, "2": False, "3": True, "7": True, "9": 1, "10": 2, "18": 3, "19": 4, "20": 5}
        talk.device(0x08, {"dps": dps}, 0)
        out = dump("-r", mangle.save(self.path("x"), segments(talk.frames)), "--key", KEY.decode(), "-T", "csv").stdout
        self.assertEqual(out.splitlines()[0].split(",")[4:], ["switch_1", "switch_2", "switch_3", "switch_usb1", "countdown_1 [s]",
                                                              "countdown_2 [s]", "cur_current [mA]", "cur_power [W]", "cur_voltage [V]"])
        self.assertEqual(out.splitlines()[1].split(",")[4:], ["true", "false", "true", "true", "1", "2", "3", "0.4", "0.5"])

    def test_strings_are_what_they_say_not_how_json_writes_them(self):
        """Unless a terminal would act on them."""
        talk = Talk("3.3", rounds=0)
        talk.device(0x08, {"dps": {"101": '{"name": "Käthe"}', "102": "bell \x07"}}, 0)
        args = ["-r", mangle.save(self.path("x"), segments(talk.frames)), "--key", KEY.decode()]
        self.assertIn(r'"{\"name\": \"Käthe\"}"', dump(*args, "--json").stdout)
        rows = list(csv.reader(dump(*args, "-T", "csv").stdout.splitlines()))
        self.assertEqual(rows[1][4:], ['{"name": "Käthe"}', r"bell \u0007"])
        fields = dump(*args, "-T", "fields", "-e", "dp.101", "-e", "json.dps.102", "-Y", 'dp.101 contains "Käthe"').stdout
        self.assertEqual(fields, '{"name": "Käthe"}\tbell \\u0007\n')

    def test_fields(self):
        fields = [a for f in ("time", "device", "name", "dir", "cmd", "cmd_name", "seq", "dp.19", "dp.cur_power", "json.t", "reply_ms",
                              "length") for a in ("-e", f)]
        self.golden("fields.tsv", dump("-r", self.capture(), *self.devices, "-T", "fields", *fields).stdout)

    def test_stats(self):
        packets = segments(Talk("3.3").frames)
        packets = mangle.lose(mangle.retransmit(packets, 1), 4)
        other = Talk("3.4", key=b"another-key-9876")
        packets += segments(other.frames, client=("192.0.2.8", 50000), device=("192.0.2.34", 6668))
        path = mangle.save(self.path("x"), packets)
        self.golden("stats.txt", dump("-r", path, *self.devices, "--stats").stdout)

    def test_plot(self):
        self.assertEqual(dump("-r", self.capture(), *self.devices, "--plot", self.path("p.svg")).returncode, 0)
        text = self.path("p.svg").read_text()
        xml.dom.minidom.parseString(text)
        self.golden("plot.svg", text)
        for word in ("Power, W", "Voltage, V", "Current, A", "Kettle plug"):
            self.assertIn(word, text)

    def test_time_axis_has_round_times(self):
        for seconds, labels in ((2.5, ["22:13:20.5", "22:13:21.0", "22:13:21.5", "22:13:22.0", "22:13:22.5"]),
                                (200, ["22:13:30", "22:14:00", "22:14:30", "22:15:00", "22:15:30", "22:16:00", "22:16:30"]),
                                (7000, ["22:15", "22:30", "22:45", "23:00", "23:15", "23:30", "23:45", "00:00"]),
                                (100000, ["11-15 00:00", "11-15 06:00", "11-15 12:00", "11-15 18:00", "11-16 00:00"]),
                                (400000, ["2023-11-15", "2023-11-16", "2023-11-17", "2023-11-18", "2023-11-19"])):
            talk = Talk("3.3", rounds=0)
            for _ in range(2):
                talk.device(0x08, {"dps": {"18": 260, "19": 601, "20": 2301}}, 0)
            packets = segments(talk.frames, step_ns=0)
            for i, p in enumerate(packets):
                packets[i] = mangle.replace(p, time_ns=1700000000 * 10**9 + (i > 3) * int(seconds * 10**9) + 10**8)
            dump("-r", mangle.save(self.path("x"), packets), *self.devices, "--plot", self.path("p.svg"))
            with self.subTest(seconds=seconds):
                ticks = re.findall(r'text-anchor="middle">([^<]*)<', self.path("p.svg").read_text())
                self.assertEqual(ticks, labels)

    def test_a_number_is_no_phase_block(self):
        talk = Talk("3.3", rounds=0)
        talk.device(0x08, {"dps": {"6": 1234567890123}}, 0)
        mapping = {"6": {"code": "phase_a", "type": "Integer", "values": {}}}
        self.path("devices.json").write_text(json.dumps([{**HOUSE[0], "mapping": mapping}]))
        result = dump("-r", mangle.save(self.path("x"), segments(talk.frames)), *self.devices, "--plot", self.path("p.svg"))
        self.assertIn("no power", result.stderr)

    def test_two_outputs_do_not_go_into_one_file(self):
        out, elsewhere = self.path("out"), self.path("folder")
        elsewhere.mkdir()
        spellings = (out, f"{self.folder}/./out", f"{elsewhere}/../out", os.path.relpath(out))
        for exists in (False, True):
            if exists:
                out.touch()
            for other in spellings:
                with self.subTest(other=other, exists=exists):
                    result = dump("-r", self.capture(), *self.devices, "-w", out, "--plot", other)
                    self.assertEqual(result.returncode, 2)
                    self.assertIn("is written by -w: expected another file", result.stderr)
            self.assertEqual(out.exists(), exists)
        for other in (elsewhere / "out", self.path("Out")):
            self.assertEqual(dump("-r", self.capture(), *self.devices, "-w", out, "--plot", other).returncode, 0, other)
        result = dump("-r", self.capture(), *self.devices, "-w", "/dev/null", "--plot", "/dev/null")
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_plot_of_nothing(self):
        result = dump("-r", mangle.save(self.path("x"), []), "--plot", self.path("p.svg"))
        self.assertEqual(result.returncode, 0)
        self.assertIn("no power", result.stderr)
        xml.dom.minidom.parse(str(self.path("p.svg")))


class Text(OutputTest):
    """What a person reads instead of a body."""

    def lines(self, version, say):
        talk = Talk(version, rounds=1)
        say(talk)
        return dump("-r", mangle.save(self.path("x"), segments(talk.frames)), *self.devices).stdout

    def test_questions_name_what_they_ask_for(self):
        def say(talk):
            talk.client(0x12, {"dpId": [18, 19, 99]})
            talk.client(0x0D, {"dps": {"1": None, "20": None, "98": None}})
            talk.client(0x12, {"dpId": "odd"})
        text = self.lines("3.3", say)
        self.assertIn("UPDATEDPS           4  asks for cur_current, cur_power, 99\n", text)
        self.assertIn("CONTROL_NEW         5  asks for switch_1, cur_voltage, 98\n", text)
        self.assertIn('UPDATEDPS           6  {"dpId":"odd"}\n', text)
        self.assertIn("HEART_BEAT          3  alive?\n", text)

    def test_announcements_fit_into_a_line(self):
        body = {"ip": "192.168.242.181", "gwId": "eb4f8c4ded67dff4b5uacr", "productKey": "keyvtdmgqcsh5hug", "version": "3.3"}
        packets = [mangle.Datagram((body["ip"], 49154), ("255.255.255.255", 6667), mangle.announce({**body, "version": v}), 1700000000 * 10**9)
                   for v in ("3.3", "3.9")]
        _, first, *second = dump("-r", mangle.save(self.path("x"), packets)).stdout.splitlines()
        self.assertEqual(first, "22:13:20.000 eb4f8c4..4b5uacr * 3.3 UDP_NEW             0  "
                                "eb4f8c4ded67dff4b5uacr at 192.168.242.181, keyvtdmgqcsh5hug")
        self.assertEqual(second[1].strip(), "speaks 3.9")
        for line in (first, *second):
            self.assertLessEqual(len(line), 120)

    def test_long_names_keep_both_ends(self):
        for name, shown in (("Plug in the living room 3", "Plug in.. room 3 "), ("Küche über dem Herd, links", "Küche ü.., links "),
                            ("exactly 16 chars", "exactly 16 chars "), ("short", "short            ")):
            self.path("devices.json").write_text(json.dumps([{**HOUSE[0], "name": name}]))
            text = dump("-r", self.capture(rounds=1), *self.devices).stdout
            with self.subTest(name=name):
                self.assertIn(" " + shown, text)

    def test_sub_devices_are_not_their_gateway(self):
        """Nor is one of them the other: what their data points mean, only their own messages say."""
        def say(talk):
            talk.device(0x08, {"cid": "aa", "dps": {"1": True, "9": 0, "18": 1, "19": 2, "20": 2301}}, 0)
            talk.device(0x08, {"cid": "bb", "dps": {"19": 55}}, 0)
            talk.device(0x08, {"dps": {"19": 55}}, 0)
            talk.device(0x08, {"cid": mangle.DEVICE_ID, "dps": {"19": 55}}, 0)
        text = self.lines("3.3", say)
        self.assertIn("cid aa, switch_1 true", text)
        self.assertIn("cid bb, 19 55\n", text)
        self.assertEqual(text.count("cur_power 5.5 W\n"), 2)

    def test_sub_devices_of_the_list_have_names(self):
        gateway = {k: v for k, v in HOUSE[0].items() if k != "mapping"}
        power = {"7": {"code": "cur_power", "type": "Integer", "values": {"unit": "W", "scale": 1}}}
        behind = {"id": "s1", "sub": True, "node_id": "0010", "parent": mangle.DEVICE_ID, "name": "Lamp, k\u00fcche", "mapping": power}
        self.path("devices.json").write_text(json.dumps([
            {**behind, "id": "s2", "parent": "another gateway", "name": "Not mine"}, gateway, behind,
            {"id": "s3", "sub": True, "node_id": "0011", "parent": mangle.DEVICE_ID, "name": "", "category": "cz"}]))

        def say(talk):
            talk.client(0x0A, {"cid": "0010", "t": 1700000000})
            talk.client(0x0D, {"cid": "0010", "dps": {"7": None, "8": None}})
            talk.device(0x08, {"cid": "0010", "dps": {"7": 601}}, 0)
            talk.device(0x08, {"cid": "0011", "dps": {"19": 55}}, 0)
            talk.device(0x08, {"cid": "0012", "dps": {"7": 55}}, 0)
        text = self.lines("3.3", say)
        for line in ("cid 0010 (Lamp, k\u00fcche), asks for everything", "cid 0010 (Lamp, k\u00fcche), asks for cur_power, 8",
                     "cid 0010 (Lamp, k\u00fcche), cur_power 60.1 W", "cid 0011, cur_power 5.5 W", "cid 0012, 7 55"):
            self.assertIn(line + "\n", text)
        rows = dump("-r", self.path("x"), *self.devices, "-T", "csv", "-Y", "json.cid").stdout.splitlines()
        self.assertEqual(rows[0], "time,device,name,cid,cur_power [W],dp_7")
        self.assertEqual([row.split(",", 2)[2] for row in rows[1:]],
                         ['"Lamp, k\u00fcche",0010,60.1,', "Kettle plug,0011,5.5,", "Kettle plug,0012,,55"])
        dump("-r", self.path("x"), *self.devices, "--plot", self.path("p.svg"), "-Y", "json.cid == 0010")
        self.assertIn("Kettle plug / Lamp, k\u00fcche", self.path("p.svg").read_text())

    def test_device_that_knows_no_handshake(self):
        """It answers START by an error (spec section 4.3), which is no nonce and no missing reply."""
        def say(talk):
            talk.client(0x03, {})
            talk.device(0x03, "parse data error", 4, retcode=1)
            talk.client(0x09, b"")
            talk.device(0x09, b"", 0)
        text = self.lines("3.3", say)
        self.assertIn("START               4  return code 1, parse data error\n", text)
        self.assertNotIn("!", text)


class Hostile(OutputTest):
    """What others put into messages and device lists does not break out of the form."""

    def capture_of(self, *bodies):
        talk = Talk("3.3", rounds=0)
        for body in bodies:
            talk.device(0x08, body, 0)
        return mangle.save(self.path("x"), segments(talk.frames))

    def house(self, **members):
        self.path("devices.json").write_text(json.dumps([{**HOUSE[0], **members}], ensure_ascii=False))

    def test_nothing_steers_the_terminal(self):
        """U+009B is the same as ESC [, and so is the byte on terminals that are not for UTF-8."""
        evil = '"red \x9b31m"'.encode()
        path = self.capture_of(b'{"dps":{"101":%s}}' % evil, b"\x9b31m", b"\x1b[31m", b'{"gwId":%s,"dps":{"1":true}}' % evil)
        announcement = mangle.Datagram(("192.0.2.5", 49154), ("192.0.2.255", 6667), mangle.announce({"gwId": "x\x7fy", "ip": "z"}), 10**9)
        for source in (path, mangle.save(self.path("y"), [announcement])):
            for options in ((), ("-v",), ("--stats",), ("-T", "fields", "-e", "dp.101", "-e", "text", "-e", "device"), ("--json",), ("--stats", "--json")):
                result = dump("-r", source, "--key", KEY.decode(), *options, text=False)
                with self.subTest(options=options):
                    shown = (result.stdout + result.stderr).decode()  # it is UTF-8, too
                    self.assertFalse(set(shown) & set(map(chr, [*range(9), *range(11, 32), *range(127, 160)])) - {"\t"}, shown)

    def test_json_says_what_was_sent_all_the_same(self):
        for said in ("red \x9b31m \x7f", "\x80\u00a0\u00e9\u010b", "\u0085 \u2028"):
            body = json.dumps({"dps": {"101": said}}, ensure_ascii=False, indent=1).encode()
            path = self.capture_of(body, said.encode())
            one, two = map(json.loads, dump("-r", path, "--key", KEY.decode(), "--json").stdout.split("\n")[:2])
            self.assertEqual((one["payload"]["dps"]["101"], two["text"]), (said, said))

    def test_a_plot_is_xml_whatever_the_name(self):
        for name in ("\u5ba2" * 17, "a" * 49 + "\u00fc", "</text></svg>", "&<>\"'", "\uffff \ufffe \x01 \x9b", "x" * 300):
            self.house(name=name)
            dump("-r", self.capture(), *self.devices, "--plot", self.path("p.svg"))
            with self.subTest(name=name[:20]):
                xml.dom.minidom.parse(str(self.path("p.svg")))

    def test_a_plot_of_absurd_values_has_numbers(self):
        path = self.capture_of({"dps": {"18": 1, "19": 2, "20": 9 * 10**18}}, {"dps": {"19": -9 * 10**18}})
        dump("-r", path, *self.devices, "--plot", self.path("p.svg"))
        self.assertNotIn("nan", self.path("p.svg").read_text())

    def test_a_name_of_any_length_leaves_the_rows_there(self):
        self.house(name="n" * 70000)
        out = dump("-r", self.capture(rounds=2), *self.devices, "-T", "csv").stdout
        self.assertEqual(len(out.splitlines()), 1 + 4)

    def test_text_and_hex_are_as_in_json_and_whole(self):
        for version, bodies in (("3.3", ("gr\u00fc\u00dfe", b"\xff" * 1000, b"\x01\x02")), ("3.4", ())):
            talk = Talk(version, rounds=1)
            for body in bodies:
                talk.device(0x08, body, 0)
            path = mangle.save(self.path("x"), segments(talk.frames))
            lines = dump("-r", path, *self.devices, "-T", "fields", "-e", "hex", "-e", "text", "-Y", "text or hex").stdout.splitlines()
            want = [r for r in records("-r", path, *self.devices) if r["text"] or r["hex"]]
            self.assertGreater(len(want), 0)
            self.assertEqual([line.split("\t") for line in lines],
                             [[r["hex"] or "", (r["text"] or "").replace("\x01\x02", "\\x01\\x02")] for r in want])


class Verdicts(OutputTest):
    def test_each_verdict_in_text_and_json(self):
        import tuyapeer
        talk = Talk("3.3", rounds=1)
        frames = talk.frames
        hurt = bytearray(frames[1][1])
        hurt[-5] ^= 1
        unknown = tuyapeer.seal("3.3", "to_device", 9, 0x77, {"a": 1}, key=KEY, header=None)
        frames = [frames[0], ("from_device", bytes(hurt)), frames[2], ("to_device", b"junk junk"), ("to_device", unknown),
                  ("from_device", frames[3][1][:20])]
        packets = segments(frames)
        late = tuyapeer.seal("3.3", "to_device", 13, 0x0A, {}, key=KEY) + tuyapeer.seal("3.3", "to_device", 14, 0x0A, {}, key=KEY)
        packets.insert(-3, mangle.replace(packets[-5], data=late, seq=packets[-5].seq + len(unknown), time_ns=packets[-5].time_ns + 6 * 10**9))
        for i in (-3, -1):
            packets[i] = mangle.replace(packets[i], seq=packets[i].seq + len(late), time_ns=packets[i].time_ns + 7 * 10**9)
        packets[-2] = mangle.replace(packets[-2], time_ns=packets[-2].time_ns + 7 * 10**9)
        path = mangle.save(self.path("x"), packets)
        self.golden("verdicts.txt", dump("-r", path, *self.devices).stdout)
        got = records("-r", path, *self.devices)
        self.golden("verdicts.jsonl", dump("-r", path, *self.devices, "--json").stdout)
        details = " | ".join(r["detail"] or "" for r in got)
        for words in ("damaged", "skipped 9 bytes", "unknown command 0x77", "sequence gap", "no reply", "the frame is cut off"):
            self.assertIn(words, details)

    def test_tls_is_met_in_set_up_mode(self):
        path = mangle.save(self.path("x"), segments([("to_device", bytes.fromhex("16030100c8") + bytes(200))]))
        (r,) = records("-r", path)
        self.assertIn("TLS", r["detail"])

    def test_damaged_headers_cost_their_frame_only(self):
        for at, error in ((14, "bad_length"), (12, "too_large"), (-1, "bad_suffix")):
            talk = Talk("3.3", rounds=2)
            frames = talk.frames
            bad = bytearray(frames[4][1])
            if at == 14:
                bad[12:16] = b"\0\0\0\x04"
            elif at == 12:
                bad[12] = 0x7F
            else:
                bad[-1] ^= 0xFF
            frames[4] = (frames[4][0], bytes(bad))
            got = records("-r", mangle.save(self.path("x"), segments(frames)), *self.devices)
            with self.subTest(error=error):
                self.assertIn(error, [r["error"] for r in got])
                good = [(r["cmd"], r["seq"]) for r in got if not r["error"]]
                self.assertEqual(good, [(m.cmd, m.seq) for i, m in enumerate(talk.said) if i != 4])

    def test_length_that_swallows_good_frames_gives_them_back(self):
        talk = Talk("3.3", rounds=2)
        frames = talk.frames
        bad = bytearray(frames[4][1])
        bad[12:16] = (3000).to_bytes(4, "big")
        frames[4] = (frames[4][0], bytes(bad))
        got = records("-r", mangle.save(self.path("x"), segments(frames)), *self.devices)
        good = [(r["dir"], r["cmd"], r["seq"]) for r in got if not r["error"]]
        self.assertEqual(sorted(good), sorted((m.dir, m.cmd, m.seq) for i, m in enumerate(talk.said) if i != 4))


class Filter(OutputTest):
    def count(self, expression):
        return len(records("-r", self.capture(), *self.devices, "-Y", expression))

    def test_expressions(self):
        n = len(records("-r", self.capture(), *self.devices))
        for expression, count in {
            "cmd == CONTROL": 6, "cmd == control": 6, "cmd == START": 0, "cmd_name contains TROL": 6, "cmd != CONTROL": n - 6, "cmd == 7": 6, "cmd == 0x07": 6, "cmd_name == CONTROL && dir == to_device": 3,
            "dp.19 > 601": 2, "dp.19 >= 601": 3, "dp.cur_power > 60.1": 2, "dp.1 == true && dir == from_device": 3,
            "not dp.1": n - 9, "dp.1": 9, "error": 0, "!error": n, "cmd == STATUS or cmd == HEART_BEAT": 9,
            "(cmd == STATUS || cmd == HEART_BEAT) and dir == from_device": 6, 'src contains "192.0.2.7"': 9,
            "json.t == 1700000001": 3, "seq > 3 && seq <= 5 && dir == to_device": 2, "name == 'Kettle plug'": n, "dp.19 != 601": 2,
            "reply_ms >= 10": 9, "version == 3.3": n, "retcode == 0": n - 9,
        }.items():
            with self.subTest(expression=expression):
                self.assertEqual(self.count(expression), count)

    def test_words_are_no_numbers(self):
        for expression in ("json.t == nan", "dp.19 == inf", "dp.19 == NAN"):
            with self.subTest(expression=expression):
                self.assertEqual(self.count(expression), 0)
        self.assertEqual(self.count("cmd_name contains 7"), 0)

    def test_ids_of_digits_are_told_apart(self):
        talk = Talk("3.3", rounds=0)
        talk.device(0x08, {"devId": "12345678901234567890", "dps": {"1": True}}, 0)
        path = mangle.save(self.path("x"), segments(talk.frames))
        for device, count in (("12345678901234567890", 1), ("12345678901234567891", 0)):
            self.assertEqual(len(records("-r", path, "--key", KEY.decode(), "-Y", f"json.devId == {device}")), count)

    def test_steps_of_the_handshake_go_by_both_names(self):
        path = self.capture("3.5")
        for expression in ("cmd == START", "cmd == SESS_KEY_NEG_START", "cmd == 3"):
            self.assertEqual([r["cmd_name"] for r in records("-r", path, *self.devices, "-Y", expression)],
                             ["SESS_KEY_NEG_START"])

    def test_what_a_field_never_says_is_refused(self):
        for expression, said in {"dir == todevice": "to_device, from_device, broadcast", "version != 3.6": "3.1, 3.2, 3.3, 3.4, 3.5",
                                 "key == locl": "none, local, session, discovery", "framing == 55AA": "55aa, 6699", "integrity == good": "ok",
                                 "verdict == lost": "bytes lost", "reply_ms > 1s": "number", "seq == nan": "number", "length < x": "number"}.items():
            with self.subTest(expression=expression):
                result = dump("-r", self.capture(), "-Y", expression)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertIn(said, result.stderr)
        self.assertEqual(self.count("dir contains device && version >= 3.3 && not dir == broadcast"), self.count("time > 0"))

    def test_mistakes_are_explained(self):
        for expression in ("", "cmd ==", "cmd == CONTROL &&", "(cmd == 1", "nonsense == 1", "cmd == 1 cmd == 2", "dp.", "(" * 200,
                           "'x'", "cmd == 'open", "cmd == NOTHING", "cmd == ''", "cmd == nan", "dp.4294967297", "dp.99999999999999999999", " && ".join(["cmd"] * 500)):
            result = dump("-r", self.capture(), "-Y", expression)
            with self.subTest(expression=expression[:20]):
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn("-Y", result.stderr)
                self.assertEqual(result.stdout, "")


class Exported(OutputTest):
    def setUp(self):
        super().setUp()
        if not shutil.which("tshark"):
            self.skipTest("tshark is not installed")

    def tshark(self, *arguments):
        env = {**os.environ, "HOME": str(self.folder), "WIRESHARK_PLUGIN_DIR": str(self.path("none"))}
        return subprocess.run(["tshark", *map(str, arguments)], capture_output=True, text=True, timeout=60, env=env, check=True).stdout

    def test_stock_tshark_shows_messages_as_json(self):
        for version in ("3.3", "3.5"):
            path = self.capture(version)
            dump("-r", path, *self.devices, "-w", self.path("w.pcapng"))
            want = records("-r", path, *self.devices)
            out = self.tshark("-r", self.path("w.pcapng"), "-T", "fields", "-e", "_ws.col.Protocol", "-e", "_ws.col.Source", "-e",
                              "exported_pdu.src_port", "-e", "frame.time_epoch", "-e", "json.value.string")
            lines = [line.split("\t") for line in out.splitlines()]
            with self.subTest(version=version):
                self.assertEqual(len(lines), len(want))
                for line, r in zip(lines, want):
                    self.assertTrue(line[0].startswith(f"TUYA {version}") or version == "3.1", line)
                    self.assertEqual(f"{line[1]}:{line[2]}", r["src"])
                    self.assertEqual(float(line[3]), r["time"])
                    self.assertIn(r["cmd_name"], line[4].split(","))

    def test_data_points_are_found_by_name(self):
        dump("-r", self.capture(), *self.devices, "-w", self.path("w.pcapng"))
        out = self.tshark("-r", self.path("w.pcapng"), "-Y", 'json.key == "dps" && json.value.number == "601"')
        self.assertEqual(len(out.splitlines()), 1)

    def test_a_message_too_large_for_wireshark_leaves_the_others_readable(self):
        talk = Talk("3.3", rounds=0)
        talk.device(0x08, b"\x01" * 65000, 0)
        talk.device(0x08, {"dps": {"1": True}}, 0)
        path = mangle.save(self.path("x"), mangle.split(segments(talk.frames), at_most=1400))
        dump("-r", path, *self.devices, "-w", self.path("w.pcapng"))
        out = self.tshark("-r", self.path("w.pcapng"), "-T", "fields", "-e", "json.value.string")
        self.assertEqual(["larger than Wireshark takes" in line for line in out.splitlines()], [True, False])

    def test_redacted_capture_is_a_capture(self):
        dump("-r", self.capture("3.5"), *self.devices, "--redact", self.path("r.pcapng"))
        out = self.tshark("-r", self.path("r.pcapng"), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-T", "fields", "-e",
                          "tcp.checksum.status", "-e", "ip.checksum.status", "-e", "tcp.analysis.flags")
        self.assertEqual({line for line in out.splitlines()}, {"1\t1\t"})


class Usage(OutputTest):
    def test_wrong_usage_names_the_option(self):
        path = self.capture()
        for arguments, words in {
            (): "-r", ("-r", path, "-i", "lo"): "-i", ("-r", path, "--port", "0"): "--port", ("-r", path, "--port", "x"): "--port",
            ("-r", path, "-T", "xml"): "-T", ("-r", path, "-T", "fields"): "-e", ("-r", path, "-e", "time"): "-e",
            ("-r", path, "-T", "fields", "-e", "nonsense"): "nonsense", ("-r", path, "--key", "short"): "--key",
            ("-r", path, "-P", "3.6"): "--protocol", ("-r", path, "--session-key", "0123456789abcdef"): "--session-key",
            ("-r", path, "--nonsense"): "nonsense", ("--hex", "--redact", "x"): "--redact", ("-r", path, "--memory", "0"): "--memory",
            ("-r", "-", "--key-file", "-"): "--key-file", ("-r", "-", "--devices", "-"): "--devices",
            ("--hex", "--key-file", "-"): "--key-file", ("-r", path, "--key-file", "-", "--key-log", "-"): "--key-log", ("-r", path, "--color=sometimes"): "--color",
        }.items():
            result = dump(*arguments)
            with self.subTest(arguments=arguments[2:]):
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertIn(words, result.stderr)
                self.assertNotIn("0123456789abcdef", result.stderr)

    def test_help_and_version(self):
        for option in ("--help", "-h", "--version", "-V"):
            result = dump(option)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("tuya-dump", result.stdout)
        for line in dump("--help").stdout.splitlines():
            self.assertLessEqual(len(line), 120)

    def test_files_that_are_not_there(self):
        path = self.capture()
        for option in ("--devices", "--key-file", "--key-log"):
            result = dump("-r", path, option, self.path("missing"))
            with self.subTest(option=option):
                self.assertEqual(result.returncode, 7)
                self.assertIn("missing", result.stderr)
        for option in ("-w", "--plot", "--redact", "--write-key-log"):
            result = dump("-r", self.capture("3.5"), *self.devices, option, self.path("no/such/folder"))
            with self.subTest(option=option):
                self.assertEqual(result.returncode, 7)
                self.assertIn("no/such/folder", result.stderr)

    def test_what_is_read_is_never_written(self):
        path = self.capture("3.5")
        before = Path(path).read_bytes()
        os.link(path, self.path("other-name"))
        for arguments in (("-w", path), ("--plot", self.path("other-name")), ("--redact", path),
                          ("-w", self.path("devices.json")), ("--write-key-log", self.path("devices.json")), ("--write-key-log", path)):
            with self.subTest(arguments=arguments):
                result = dump("-r", path, *self.devices, *arguments)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertIn(arguments[0], result.stderr)
                self.assertIn("another file", result.stderr)
        for arguments in (("-w", self.path("x"), "--plot", self.path("x")), ("--redact", self.path("x.pcapng"), "-w", self.path("x.devices.json"))):
            with self.subTest(arguments=arguments):
                result = dump("-r", path, *arguments)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertIn("another file", result.stderr)
                self.assertFalse(Path(arguments[1]).exists())
        self.assertEqual(dump("-r", path, *self.devices, "-w", "/dev/null", "--plot", "/dev/null").returncode, 0)
        self.assertEqual(Path(path).read_bytes(), before)
        self.path("log").write_text("# mine\n")
        options = ("--key-log", self.path("log"), "--write-key-log", self.path("log"))
        self.assertEqual(dump("-r", path, *self.devices, *options).returncode, 0)
        self.assertRegex(self.path("log").read_text(), "^# mine\nTUYA_SESSION .*\n$")

    def test_nothing_found_is_said(self):
        result = dump("-r", self.capture(), *self.devices, "--port", "7777")
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        self.assertIn("--port", result.stderr)
        self.assertEqual(dump("-r", self.capture(), "--port", "7777", "-q").stderr, "")
        (self.folder / "log").write_text("CLIENT_RANDOM 00 11\n")
        self.assertIn("no session key", dump("-r", self.capture(), *self.devices, "--key-log", self.path("log")).stderr)

    def test_a_closed_pipe_ends_it_quietly(self):
        frames = Talk("3.3", rounds=3).frames
        path = mangle.save(self.path("x"), [p for port in range(1000) for p in segments(frames, client=("192.0.2.7", 2000 + port))])
        for ignored in (False, True):  # Python ignores SIGPIPE, and so does whom it starts unless it is restored
            with self.subTest(ignored=ignored), subprocess.Popen([os.environ["TUYA_DUMP"], "-r", path, *self.devices], stdout=subprocess.PIPE,
                                                                 stderr=subprocess.PIPE, restore_signals=not ignored) as p:
                p.stdout.readline()
                p.stdout.close()
                self.assertEqual(p.stderr.read(), b"")
                self.assertEqual(p.wait(60), -13)


if __name__ == "__main__":
    unittest.main()
