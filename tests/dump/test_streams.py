"""What happens to segments on their way into a capture does not change what is decoded."""

import os
import unittest

import mangle
from dumping import DumpTest, dump, records
from mangle import KEY, Talk, expected, seen, segments

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")


class StreamTest(DumpTest):
    def decode(self, packets, *options, expect=0, **save):
        path = mangle.save(self.path("x.pcap"), packets, **save)
        return records("-r", path, "--key", KEY.decode(), *options, expect=expect)

    def per_version(self, mangler, ordered=True):
        for version in VERSIONS:
            talk = Talk(version)
            for seed in range(5):
                with self.subTest(version=version, seed=seed):
                    got = self.decode(mangler(talk, seed))
                    self.check(got, talk, ordered)

    def check(self, got, talk, ordered=True):
        want = expected(talk.said)
        if ordered:
            self.assertEqual(seen(got), want)
            return
        for direction in (mangle.TO_DEVICE, mangle.FROM_DEVICE):
            self.assertEqual([r for r in seen(got) if r["dir"] == direction],
                             [r for r in want if r["dir"] == direction])


class Streams(StreamTest):
    def test_clean(self):
        self.per_version(lambda talk, seed: segments(talk.frames))

    def test_every_record_of_a_clean_capture_is_whole(self):
        for version in VERSIONS:
            talk = Talk(version)
            for r in self.decode(segments(talk.frames)):
                self.assertIsNone(r["error"], r)
                self.assertEqual(r["integrity"], "ok", r)
                self.assertEqual((r["flow"], r["framing"]), (1, "6699" if version == "3.5" else "55aa"))
                client, device = "192.0.2.7:51000", "192.0.2.33:6668"
                pair = (client, device) if r["dir"] == "to_device" else (device, client)
                self.assertEqual((r["src"], r["dst"]), pair)

    def test_split(self):
        self.per_version(lambda talk, seed: mangle.split(segments(talk.frames), seed))

    def test_one_byte_per_segment(self):
        for version in VERSIONS:
            talk = Talk(version, rounds=1)
            with self.subTest(version=version):
                self.check(self.decode(mangle.split(segments(talk.frames), at_most=1)), talk)

    def test_glued(self):
        self.per_version(lambda talk, seed: mangle.glue(mangle.split(segments(talk.frames), seed)))

    def test_reordered(self):
        self.per_version(lambda talk, seed: mangle.reorder(segments(talk.frames), seed), ordered=False)

    def test_split_and_reordered(self):
        self.per_version(lambda talk, seed: mangle.reorder(mangle.split(segments(talk.frames), seed), seed, 6),
                         ordered=False)

    def test_retransmitted(self):
        self.per_version(lambda talk, seed: mangle.retransmit(segments(talk.frames), seed))

    def test_split_and_retransmitted(self):
        self.per_version(lambda talk, seed: mangle.retransmit(mangle.split(segments(talk.frames), seed), seed))

    def test_overlapping(self):
        self.per_version(lambda talk, seed: mangle.overlap(mangle.split(segments(talk.frames), seed), seed))

    def test_everything_at_once(self):
        def all_of(talk, seed):
            packets = mangle.overlap(mangle.split(mangle.wrap(talk.frames), seed), seed)
            return mangle.reorder(mangle.retransmit(packets, seed), seed, 4)
        self.per_version(all_of, ordered=False)

    def test_sequence_numbers_wrap(self):
        self.per_version(lambda talk, seed: mangle.split(mangle.wrap(talk.frames), seed))

    def test_keep_alives(self):
        self.per_version(lambda talk, seed: mangle.keep_alive(mangle.split(segments(talk.frames), seed)))

    def test_ports_used_again(self):
        for version in VERSIONS:
            first, second = Talk(version, rounds=1), Talk(version, rounds=2, first_seq=5)
            packets = segments(first.frames, fin=False) + segments(second.frames, isn=(77000, 88000),
                                                                   start_ns=1700000100 * 10**9)
            with self.subTest(version=version):
                got = self.decode(packets)
                self.assertEqual(seen(got), expected(first.said) + expected(second.said))
                self.assertEqual({r["flow"] for r in got}, {1, 2})

    def test_ports_used_again_when_little_was_seen_of_the_connection_before(self):
        """The capture has one message of it, and begins and ends in its middle."""
        before = Talk("3.3", rounds=1, first_seq=100)
        for version in ("3.3", "3.5"):
            after = Talk(version, rounds=1)
            for which in (0, 1):
                old = segments(before.frames, syn=False, fin=False, isn=(50000, 90000))[which]
                for isn in ((1000, 2000), (49990, 89990), (2 * 10**9, 2 * 10**9)):
                    new = segments(after.frames, isn=isn, start_ns=1700003600 * 10**9)
                    with self.subTest(version=version, which=which, isn=isn):
                        got = self.decode([old] + new)
                        self.assertEqual(seen(got), expected([before.said[which]] + after.said))
                        self.assertEqual([r["flow"] for r in got if r["cmd"] is not None], [1] + [2] * len(after.said))

    def test_ports_used_again_with_the_sequence_numbers_of_before(self):
        """By a client that counts from the same number each time."""
        first, second = Talk("3.3", rounds=1), Talk("3.3", rounds=1, first_seq=5)
        for packets in (segments(first.frames), [*segments(first.frames, fin=False), mangle.Segment(
                mangle.DEVICE, mangle.CLIENT, 0, flags=mangle.RST, time_ns=1700000001 * 10**9)]):
            got = self.decode(packets + segments(second.frames, start_ns=1700000010 * 10**9))
            self.assertEqual(seen(got), expected(first.said + second.said))

    def test_connection_of_a_few_packets_is_told_when_it_is_over(self):
        """Its beginning was not captured, and would have been waited for."""
        first, second = Talk("3.3", rounds=1), Talk("3.3", rounds=1, first_seq=50)
        packets = segments(first.frames[:2], syn=False) + segments(second.frames, client=("192.0.2.8", 51000), start_ns=1700000100 * 10**9)
        got = self.decode(packets)
        self.assertEqual(seen(got), expected(first.said[:2] + second.said))

    def test_two_connections_at_the_same_time(self):
        a, b = Talk("3.4"), Talk("3.5")
        one, two = segments(a.frames), segments(b.frames, client=("192.0.2.8", 51000), device=("192.0.2.34", 6668))
        got = self.decode([p for pair in zip(one, two) for p in pair])
        self.assertEqual(seen(r for r in got if r["flow"] == 1), expected(a.said))
        self.assertEqual(seen(r for r in got if r["flow"] == 2), expected(b.said))

    def test_ends_without_fin(self):
        self.per_version(lambda talk, seed: segments(talk.frames, fin=False))

    def test_reset_before_the_last_segments(self):
        for version in VERSIONS:
            talk = Talk(version)
            packets = segments(talk.frames, fin=False)
            last = packets[-1]
            packets.insert(-1, mangle.Segment(last.dst, last.src, last.ack, 0, mangle.RST, b"", last.time_ns))
            with self.subTest(version=version):
                self.check(self.decode(packets), talk)


class Middle(StreamTest):
    """The capture began when the connection was there already."""

    def test_begins_between_messages(self):
        for version in ("3.1", "3.2", "3.3"):
            talk = Talk(version)
            for skip in range(1, 6):
                packets = segments(talk.frames)[3 + skip:]
                with self.subTest(version=version, skip=skip):
                    self.assertEqual(seen(self.decode(packets)), expected(talk.said[skip:]))

    def test_begins_inside_a_frame(self):
        talk = Talk("3.3")
        packets = segments(talk.frames)[3:]
        packets[0] = mangle.replace(packets[0], seq=packets[0].seq + 30, data=packets[0].data[30:])
        got = self.decode(packets)
        self.assertEqual([r["detail"] for r in got if r["cmd"] is None], [f"skipped {len(packets[0].data)} bytes"])
        self.assertEqual(seen(r for r in got if r["cmd"] is not None), expected(talk.said[1:]))

    def test_begins_after_the_handshake(self):
        for version in ("3.4", "3.5"):
            talk = Talk(version)
            got = self.decode(segments(talk.frames)[3 + 3:])
            with self.subTest(version=version):
                self.assertEqual({r["error"] for r in got}, {"no_session"})
                self.assertEqual([(r["cmd"], r["seq"]) for r in got], [(m.cmd, m.seq) for m in talk.said[3:]])
                self.assertIn("--key-log", got[0]["detail"])

    def test_first_segments_out_of_order(self):
        talk = Talk("3.3")
        packets = segments(talk.frames)[3:]
        packets[0], packets[2] = packets[2], packets[0]
        self.check(self.decode(packets), talk, ordered=False)


class Loss(DumpTest):
    def decode(self, packets):
        return records("-r", mangle.save(self.path("x.pcap"), packets), "--key", KEY.decode())

    def test_every_lost_segment_is_said_and_the_rest_decodes(self):
        for version in VERSIONS:
            talk = Talk(version)
            packets = segments(talk.frames)
            first = 3 if version >= "3.4" else 0
            for which in range(first, len(talk.said)):
                with self.subTest(version=version, which=which):
                    got = self.decode(mangle.lose(packets, which))
                    size = len(talk.said[which].frame)
                    self.assertEqual([r["detail"] for r in got if r["cmd"] is None],
                                     [f"{size} bytes are missing from the capture"])
                    self.assertEqual(sorted(map(str, seen(r for r in got if r["cmd"] is not None))),
                                     sorted(map(str, expected(talk.said[:which] + talk.said[which + 1:]))))

    def test_loss_at_the_end_is_shown_by_what_the_other_side_acknowledged(self):
        """The capture ends before the connection does; a FIN that was acknowledged and not captured is no loss."""
        talk = Talk("3.3", rounds=1)
        packets = segments(talk.frames)
        for kept, missing in ((packets[:-3], []), (packets[:-3] + packets[-1:], []), (packets[:-4], [28])):
            got = self.decode(kept + [mangle.replace(packets[-3], flags=mangle.ACK)])
            with self.subTest(missing=missing):
                self.assertEqual([r["detail"] for r in got if r["error"]],
                                 [f"{n} bytes are missing from the capture" for n in missing])
                self.assertEqual([r for r in got if r["cmd"] is None and not r["error"]], [])

    def test_loss_in_the_middle_of_a_frame_costs_that_frame_only(self):
        talk = Talk("3.3")
        packets = mangle.split(segments(talk.frames), at_most=40)
        for which in range(2, 12):
            with self.subTest(which=which):
                got = self.decode(mangle.lose(packets, which))
                self.assertTrue(any("missing from the capture" in (r["detail"] or "") for r in got))
                whole = [r for r in got if r["cmd"] is not None and r["error"] is None]
                self.assertEqual(len(whole), len(talk.said) - 1)

    def test_snapped_packets_are_said_to_be_so(self):
        talk = Talk("3.3")
        got = self.decode(mangle.snap(segments(talk.frames), 14 + 20 + 20 + 30))
        self.assertTrue(any("missing from the capture" in (r["detail"] or "") for r in got))
        small = [m for m in talk.said if len(m.frame) <= 30]
        self.assertEqual(seen(r for r in got if r["cmd"] is not None and r["error"] is None), expected(small))

    def test_snap_length_is_said_once(self):
        talk = Talk("3.3")
        for size in (14 + 20 + 20 + 30, 40):
            path = mangle.save(self.path("x.pcap"), mangle.snap(segments(talk.frames), size))
            said = dump("-r", path, "--key", KEY.decode()).stderr
            with self.subTest(size=size):
                self.assertEqual(said.count("snap length"), 1, said)
                self.assertEqual(len(said.splitlines()), 1)


class Many(DumpTest):
    def test_what_addresses_have_in_common_costs_no_time(self):
        """13,000 connections whose IPv6 addresses differ in their last bytes take as long as any others."""
        def seconds(ip, address):
            packets = [mangle.Segment((address(n), 1000), ("192.0.2.33", 6668), 1, flags=mangle.SYN) for n in range(13000)] * 3
            path = mangle.save(self.path(f"{ip}.pcap"), packets, ip=ip, link="raw")
            before = os.times().children_user
            self.assertEqual(records("-r", path), [])
            return os.times().children_user - before

        others = seconds(4, lambda n: f"10.1.{n >> 8}.{n & 255}")
        self.assertLess(seconds(6, lambda n: f"2001:db8::{n:x}"), 10 * others + 0.2)


if __name__ == "__main__":
    unittest.main()
