"""Every file format, link type and IP version yields the same messages."""

import json
import os
import signal
import struct
import subprocess
import unittest

import mangle
from dumping import PATIENCE_S, DumpTest, dump, records
from mangle import KEY, Talk, expected, seen, segments


class Inputs(DumpTest):
    def setUp(self):
        super().setUp()
        self.talk = Talk("3.3")
        self.packets = segments(self.talk.frames)

    def check(self, *arguments, **options):
        got = records(*arguments, "--key", KEY.decode(), **options)
        self.assertEqual(seen(got), expected(self.talk.said))
        return got

    def test_pcap_in_both_byte_orders_and_resolutions(self):
        for nano in (False, True):
            for big_endian in (False, True):
                with self.subTest(nano=nano, big_endian=big_endian):
                    got = self.check("-r", mangle.save(self.path("x"), self.packets, nano=nano, big_endian=big_endian))
                    self.assertEqual(got[0]["time"], 1700000000.03)

    def test_pcapng_in_both_byte_orders_and_resolutions(self):
        for nano in (False, True):
            for big_endian in (False, True):
                with self.subTest(nano=nano, big_endian=big_endian):
                    got = self.check("-r", mangle.save(self.path("x"), self.packets, "pcapng", nano=nano,
                                                       big_endian=big_endian))
                    self.assertEqual(got[0]["time"], 1700000000.03)

    def test_gzip(self):
        for kind in ("pcap", "pcapng"):
            with self.subTest(kind=kind):
                self.check("-r", mangle.save(self.path("x.gz"), self.packets, kind, zipped=True))

    def test_stdin(self):
        for kind in ("pcap", "pcapng"):
            for zipped in (False, True):
                path = mangle.save(self.path("x"), self.packets, kind, zipped=zipped)
                with self.subTest(kind=kind, zipped=zipped), open(path, "rb") as f:
                    self.check("-r", "-", input=f.read(), text=False)

    def test_link_types(self):
        for link in mangle.LINKS:
            for ip in (4, 6):
                with self.subTest(link=link, ip=ip):
                    got = self.check("-r", mangle.save(self.path("x"), self.packets, link=link, ip=ip))
                    self.assertEqual(got[0]["dst"], "192.0.2.33:6668" if ip == 4 else "[2001:db8::33]:6668")

    def test_fragments(self):
        for ip in (4, 6):
            for size in (24, 64, 200):
                with self.subTest(ip=ip, size=size):
                    self.check("-r", mangle.save(self.path("x"), mangle.fragment(self.packets, size), ip=ip))

    def test_fragments_that_disagree_about_the_end(self):
        """Counted together they would pass for a whole packet, of which a part was never filled (it was memory before)."""
        def part(at, length, more):
            return mangle.MACS + struct.pack("!HBBHHHBBH", 0x0800, 0x45, 0, 20 + length, 7, more << 13 | at // 8, 64, 6, 0) + \
                bytes([192, 0, 2, 7, 192, 0, 2, 33]) + b"\x1a\x0c" * (length // 2) + b"\x1a" * (length % 2)

        for name, parts in {"behind the end": ((64, 64, 1), (24, 8, 0)), "two ends": ((40, 8, 0), (8, 16, 0)),
                            "an end within a unit": ((8, 3, 0), (16, 8, 0), (0, 8, 1))}.items():
            packets = [part(*p) for p in parts]
            path = self.path("x")
            with open(path, "wb") as f:
                f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
                f.write(b"".join(struct.pack("<IIII", 1, 0, len(p), len(p)) + p for p in packets))
            with self.subTest(name):
                result = dump("-r", path)
                self.assertEqual((result.returncode, result.stdout), (0, ""))
                self.assertIn("of which 1 are malformed", result.stderr)

    def test_extension_headers(self):
        self.check("-r", mangle.save(self.path("x"), self.packets, ip=6, extensions=True))
        self.check("-r", mangle.save(self.path("x"), mangle.fragment(self.packets, 64), ip=6, extensions=True))

    def test_several_files_are_one_capture(self):
        a = mangle.save(self.path("a"), self.packets[:9])
        b = mangle.save(self.path("b"), self.packets[9:], "pcapng", zipped=True)
        self.check("-r", a, "-r", b)

    def test_filter(self):
        path = mangle.save(self.path("x"), self.packets)
        self.check("-r", path, "host", "192.0.2.33")
        self.assertEqual(records("-r", path, "host", "192.0.2.99"), [])
        bad = dump("-r", path, "hst", "1")
        self.assertEqual(bad.returncode, 2)
        self.assertIn("hst 1", bad.stderr)

    def test_other_ports(self):
        path = mangle.save(self.path("x"), segments(self.talk.frames, device=("192.0.2.33", 16668)))
        self.assertEqual(records("-r", path, "--key", KEY.decode()), [])
        self.check("-r", path, "--port", "16668")

    def test_ports_of_discovery_are_no_ports_of_connections(self):
        """TCP 6667 is IRC, 7000 is AirPlay; --port looks at both."""
        for port in (6666, 6667, 7000):
            path = mangle.save(self.path("x"), segments(self.talk.frames, device=("192.0.2.33", port)))
            with self.subTest(port=port):
                self.assertEqual(records("-r", path, "--key", KEY.decode()), [])
                self.check("-r", path, "--port", port)

    def test_wrong_guess_of_port_costs_nothing(self):
        """--port names the client's port: then the frames tell who is the device."""
        path = mangle.save(self.path("x"), segments(self.talk.frames, device=("192.0.2.33", 51000)))
        self.check("-r", path, "--port", "51000")


class Pipe(DumpTest):
    def test_nothing_at_all_is_said_to_be_so(self):
        self.path("x").write_bytes(b"")
        for arguments, options in (("-r", self.path("x")), {}), (("-r", "-"), {"input": ""}):
            result = dump(*arguments, "--key", KEY.decode(), **options)
            self.assertEqual((result.returncode, result.stdout), (7, ""))
            self.assertIn("is empty", result.stderr)

    def test_whoever_ends_a_pipe_gets_what_was_made_of_it(self):
        """As tcpdump .. | tuya-dump -r - and Ctrl-C do; the writer need not end, and the last packet may be half there."""
        data = mangle.pcap(segments(Talk("3.3").frames))
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number), subprocess.Popen(
                    [os.environ["TUYA_DUMP"], "-r", "-", "--key", KEY.decode(), "--stats", "-v", "--plot", self.path("plot.svg")],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                process.stdin.write(data[:-10])
                process.stdin.flush()
                said = b""
                while b"DP_QUERY" not in said:
                    said += os.read(process.stdout.fileno(), 65536)
                process.send_signal(number)
                said += process.stdout.read()
                self.assertEqual(process.wait(PATIENCE_S), 0)
                self.assertEqual(process.stderr.read(), b"")
                self.assertRegex(said.decode(), r"\d+ messages, \d+ bytes of frames, 1 connection")
                self.assertIn("</svg>", self.path("plot.svg").read_text())

    def test_what_has_come_is_printed_while_the_pipe_waits(self):
        """tcpdump -U -w - | tuya-dump -r -"""
        talk = Talk("3.3")
        for whole in (mangle.pcap(segments(talk.frames)), mangle.pcapng(segments(talk.frames))):
            process = subprocess.Popen([os.environ["TUYA_DUMP"], "-r", "-", "--key", KEY.decode(), "--json"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.addCleanup(process.stdout.close)
            process.stdin.write(whole[:-1])
            process.stdin.flush()
            first = json.loads(process.stdout.readline())  # would wait for ever
            self.assertEqual(first["flow"], 1)
            process.stdin.write(whole[-1:])
            process.stdin.close()
            rest = process.stdout.read()
            self.assertEqual(process.wait(), 0)
            self.assertEqual(seen([first, *map(json.loads, rest.splitlines())]), expected(talk.said))


class Pcapng(DumpTest):
    def setUp(self):
        super().setUp()
        self.talk = Talk("3.3")

    def test_several_link_types_in_one_file(self):
        """A capture of two interfaces: every packet comes over either, and a third kind of link is said to be unknown."""
        packets = segments(self.talk.frames)
        e, b = "<", mangle._block
        out = b(e, 0x0A0D0D0A, mangle.struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
        for link in (1, 276, 147):
            out += b(e, 1, mangle.struct.pack("<HHI", link, 0, 0))
        for i, p in enumerate(packets):
            link = ("ethernet", "sll2")[i % 2]
            for at, data, length in mangle.frames_of([p], link):
                out += b(e, 6, mangle.struct.pack("<IIIII", i % 2, (at // 1000) >> 32, (at // 1000) & 0xFFFFFFFF, len(data), length) + data)
        out += b(e, 6, mangle.struct.pack("<IIIII", 2, 0, 0, 4, 4) + b"junk") + b(e, 0x0BAD, b"a block nobody knows") + b(e, 5, bytes(12))
        self.path("x").write_bytes(out)
        result = dump("-r", self.path("x"), "--key", KEY.decode(), "--json")
        self.assertEqual(seen(map(json.loads, result.stdout.splitlines())), expected(self.talk.said))
        self.assertIn("(147) is not read", result.stderr)

    def test_several_sections_with_interfaces_of_their_own(self):
        packets = segments(self.talk.frames)
        for big_endian in (False, True):
            data = mangle.pcapng(packets[:9], big_endian=big_endian) + \
                mangle.pcapng(packets[9:], big_endian=big_endian, nano=False, link="raw")
            self.path("x").write_bytes(data)
            self.assertEqual(seen(records("-r", self.path("x"), "--key", KEY.decode(), "ip")), expected(self.talk.said))

    def test_a_section_in_another_byte_order_is_said_and_ends_it(self):
        packets = segments(self.talk.frames)
        self.path("x").write_bytes(mangle.pcapng(packets[:7]) + mangle.pcapng(packets[7:], big_endian=True))
        result = dump("-r", self.path("x"), "--key", KEY.decode(), "--json")
        self.assertEqual(result.returncode, 7)
        self.assertRegex(result.stderr, "packet 8: .*byte order.*editcap")
        self.assertEqual(len(result.stdout.splitlines()), 4)

    def test_snapshot_lengths_may_differ(self):
        """What Wireshark writes of two interfaces, one of which has a snapshot length of its own."""
        packets = segments(self.talk.frames)
        e, b = "<", mangle._block
        out = b(e, 0x0A0D0D0A, mangle.struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
        for snap_len in (64, 262144):
            out += b(e, 1, mangle.struct.pack("<HHI", 1, 0, snap_len))
        for i, (at, data, length) in enumerate(mangle.frames_of(packets)):
            of = len(data) > 64
            out += b(e, 6, mangle.struct.pack("<IIIII", of, (at // 1000) >> 32, (at // 1000) & 0xFFFFFFFF, len(data), length) + data)
        self.path("x").write_bytes(out)
        self.assertEqual(seen(records("-r", self.path("x"), "--key", KEY.decode())), expected(self.talk.said))

    def test_simple_packets_are_as_long_as_the_interface_of_their_section_lets_them_be(self):
        packets = list(mangle.frames_of(segments(self.talk.frames)))
        e, b = "<", mangle._block
        head = b(e, 0x0A0D0D0A, mangle.struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))

        def section(limit, some):
            return head + b(e, 1, mangle.struct.pack("<HHI", 1, 0, limit)) + b"".join(
                b(e, 3, mangle.struct.pack("<I", length) + data[:limit or None]) for _, data, length in some)

        self.path("x").write_bytes(section(74, packets[:3]) + section(0, packets[3:]))
        self.assertEqual(seen(records("-r", self.path("x"), "--key", KEY.decode())), expected(self.talk.said))
        self.path("x").write_bytes(section(0, packets[:5]) + section(74, packets[5:]))
        result = dump("-r", self.path("x"), "--key", KEY.decode(), "--json")
        self.assertEqual((result.returncode, result.stderr.count("cut off in this capture")), (0, 1), result.stderr)

    def test_simple_and_obsolete_packets(self):
        packets = segments(self.talk.frames)
        e, b = "<", mangle._block
        out = b(e, 0x0A0D0D0A, mangle.struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + b(e, 1, mangle.struct.pack("<HHI", 1, 0, 0))
        for i, (at, data, length) in enumerate(mangle.frames_of(packets)):
            ticks = at // 1000
            out += b(e, 3, mangle.struct.pack("<I", length) + data) if i % 2 else \
                b(e, 2, mangle.struct.pack("<HHIIII", 0, 0, ticks >> 32, ticks & 0xFFFFFFFF, len(data), length) + data)
        self.path("x").write_bytes(out)
        self.assertEqual(seen(records("-r", self.path("x"), "--key", KEY.decode())), expected(self.talk.said))

    def test_damage_names_the_packet(self):
        packets = segments(self.talk.frames)
        whole = mangle.pcapng(packets)
        at = len(mangle.pcapng(packets[:7]))
        for damage, words in ((b"\0\0\0\0", "length of 0"), (b"\xff\xff\xff\x7f", "length of 2147483647")):
            self.path("x").write_bytes(whole[:at + 4] + damage + whole[at + 8:])
            result = dump("-r", self.path("x"), "--key", KEY.decode(), "--json")
            with self.subTest(damage=damage):
                self.assertEqual(result.returncode, 7)
                self.assertRegex(result.stderr, f"packet 8: .*{words}")
                self.assertEqual(len(result.stdout.splitlines()), 4)


class Cut(DumpTest):
    def test_everything_before_the_cut_is_printed(self):
        talk = Talk("3.3", rounds=1)
        packets = segments(talk.frames)
        for kind in ("pcap", "pcapng"):
            whole = len((mangle.pcap if kind == "pcap" else mangle.pcapng)(packets))
            for cut in range(whole - 400, whole, 7):
                path = mangle.save(self.path("x"), packets, kind, cut=cut)
                result = dump("-r", path, "--key", KEY.decode(), "--json")
                lines = len(result.stdout.splitlines())
                with self.subTest(kind=kind, cut=cut):
                    self.assertIn(result.returncode, (0, 7))  # 0: cut between two packets
                    self.assertGreaterEqual(lines, len(talk.said) - 4)
                    if result.returncode == 7:
                        self.assertRegex(result.stderr, r"packet \d+: .*everything before it is printed")

    def test_cut_gzip(self):
        path = mangle.save(self.path("x.gz"), segments(Talk("3.3", rounds=50).frames), zipped=True)
        data = self.path("x.gz").read_bytes()
        self.path("cut.gz").write_bytes(data[:len(data) * 2 // 3])
        result = dump("-r", self.path("cut.gz"), "--key", KEY.decode(), "--json")
        self.assertEqual(result.returncode, 7, path)
        self.assertGreater(len(result.stdout.splitlines()), 50)

    def test_no_capture(self):
        for name, data in {"empty": b"", "text": b"hello, I am no capture\n" * 9, "header": b"\xd4\xc3\xb2\xa1\x02\x00"}.items():
            self.path(name).write_bytes(data)
            result = dump("-r", self.path(name))
            with self.subTest(name=name):
                self.assertEqual((result.returncode, result.stdout), (7, ""))
                self.assertIn(name, result.stderr)

    def test_missing_file_does_not_hide_the_others(self):
        talk = Talk("3.3")
        path = mangle.save(self.path("x"), segments(talk.frames))
        got = records("-r", self.path("missing"), "-r", path, "--key", KEY.decode(), expect=7)
        self.assertEqual(seen(got), expected(talk.said))


if __name__ == "__main__":
    unittest.main()
