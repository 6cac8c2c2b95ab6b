"""A request that nobody answers is a verdict of its own: once per connection in text, a record each in JSON."""

import unittest

import mangle
from dumping import DumpTest, dump, records
from mangle import KEY, Talk, segments, FROM_DEVICE, TO_DEVICE

VERDICT = 'verdict == "request without reply"'


def talk_without_reply(version="3.3"):
    """A round of query, control and heart beat; then a control, a query and a heart beat that nobody answers."""
    talk = Talk(version, rounds=1)
    new = version >= "3.4"
    for cmd in (0x0D if new else 0x07, 0x10 if new else 0x0A, 0x09):
        talk.client(cmd, {"dps": {"1": True}})
    return talk


class Replies(DumpTest):
    def decode(self, packets, *options, **save):
        self.capture = mangle.save(self.path("x.pcap"), packets, **save)
        return records("-r", self.capture, "--key", KEY.decode(), "--strict", *options)

    def verdicts(self, packets, *options, **save):
        got = self.decode(packets, *options, **save)
        return [r for r in got if "no reply" in (r["detail"] or "")]

    def test_each_has_a_record_when_its_connection_ends(self):
        for version in ("3.1", "3.2", "3.3", "3.4", "3.5"):
            talk = talk_without_reply(version)
            open_requests = talk.said[-3:]
            with self.subTest(version=version):
                got = self.decode(segments(talk.frames))
                self.assertEqual(len(got), len(talk.said) + 3)
                self.assertEqual([r["seq"] for r in got[-3:]], [m.seq for m in open_requests])
                for r, name in zip(got[-3:], ("CONTROL", "DP_QUERY", "HEART_BEAT")):
                    self.assertIn(f"no reply to {name}", r["detail"])
                    self.assertIn("before the client closed the connection: ", r["detail"])
                    self.assertEqual((r["src"], r["dst"], r["dir"]), ("192.0.2.7:51000", "192.0.2.33:6668", "to_device"))
                    self.assertEqual((r["flow"], r["version"]), (1, got[-4]["version"]))
                    for member in ("cmd", "cmd_name", "framing", "retcode", "header", "payload", "text", "hex", "error"):
                        self.assertIsNone(r[member])  # it is no message, and nothing stayed closed
                self.assertEqual({tuple(r) for r in got}, {tuple(got[0])}, "every record has the same members")

    def test_replies_are_not_missed_in_one_half_of_a_conversation(self):
        both = segments(talk_without_reply("3.3").frames)
        sent = [s for s in both if s.dst[1] == 6668]
        self.assertEqual(len(self.verdicts(both)), 3)
        self.assertEqual(self.verdicts(sent), [])
        self.assertIn("both directions", dump("-r", self.capture, "--key", KEY.decode()).stderr)
        for s in sent:
            s.ack = sent[1].ack if s.ack else 0  # of a device that is dead: nothing is acknowledged, so nothing was said
        self.assertEqual(len(self.verdicts(sent)), len(sent) - 4)
        self.assertNotIn("both directions", dump("-r", self.capture, "--key", KEY.decode()).stderr)

    def test_how_the_connection_ended_is_said(self):
        talk = talk_without_reply()
        clean = segments(talk.frames)
        last = clean[-4]
        rst = [*clean[:-3], mangle.Segment(last.dst, last.src, last.ack, 0, mangle.RST, b"", last.time_ns + 1)]
        by_device = clean[:-3] + [clean[-2], clean[-3], clean[-1]]
        again = clean[:-3] + segments(Talk("3.3", rounds=1).frames, isn=(77000, 88000), start_ns=1700000100 * 10**9)
        for name, packets, words in (("fin of the client", clean, "before the client closed the connection"),
                                     ("fin of the device", by_device, "but the device closed the connection"),
                                     ("rst", rst, "before the connection was reset"),
                                     ("rst, and more", rst + segments(Talk("3.3").frames, client=("192.0.2.8", 1), start_ns=1700000100 * 10**9),
                                      "before the connection was reset"),
                                     ("ports are used again", again, "before the connection was reset"),
                                     ("the capture ends", clean[:-3], "before the capture ended: capture longer")):
            with self.subTest(name=name):
                got = self.verdicts(packets)
                self.assertEqual(len(got), 3)
                for r in got:
                    self.assertIn(words, r["detail"])

    def test_reset_connection_that_talks_on_holds_no_other_up(self):
        """What the first one says after its reset is no reason to wait for the second one."""
        talk = Talk("3.3", rounds=1)
        first = segments(talk.frames, client=("192.0.2.8", 1), fin=False, step_ns=10**9)
        first.insert(1, mangle.Segment(first[0].dst, first[0].src, 0, 0, mangle.RST, b"", first[0].time_ns + 1))
        second = segments(talk.frames[:1], fin=False)
        last = second[-1]
        second.append(mangle.Segment(last.dst, last.src, last.ack, 0, mangle.RST, b"", last.time_ns + 1))
        got = self.decode(sorted(first + second, key=lambda p: p.time_ns))
        (at,) = [i for i, r in enumerate(got) if "before the connection was reset" in (r["detail"] or "")]
        self.assertLess(at, len(got) - 1)

    def test_connection_that_is_given_up_for_want_of_memory(self):
        packets = segments(talk_without_reply().frames, fin=False)
        for n in range(1500):
            packets += segments(Talk("3.3", rounds=0).frames + [(TO_DEVICE, bytes(9))], client=("192.0.2.8", 2000 + n), fin=False,
                                start_ns=1700000100 * 10**9)
        path = mangle.save(self.path("x.pcap"), packets)
        (first, *_) = records("-r", path, "--key", KEY.decode(), "--memory", "1", "-Y", VERDICT)
        self.assertIn("given up", first["detail"])

    def test_late_during_the_connection(self):
        """One record as soon as a message shows that five seconds have passed, not one more at the end."""
        talk = Talk("3.3", rounds=1)
        silent = talk.client(0x07, {"dps": {"1": True}})
        talk.client(0x09, b"")
        talk.device(0x09, b"", 0)
        packets = segments(talk.frames)
        for i in range(-5, 0):
            packets[i] = mangle.replace(packets[i], time_ns=packets[i].time_ns + 6 * 10**9)
        got = self.decode(packets)
        at = [i for i, r in enumerate(got) if "no reply" in (r["detail"] or "")]
        self.assertEqual(len(at), 1)
        self.assertEqual((got[at[0]]["seq"], got[at[0] - 1]["cmd_name"]), (silent, "HEART_BEAT"))
        self.assertIn("within 5 s", got[at[0]]["detail"])

    def test_handshake_without_answer_points_at_the_key(self):
        for version in ("3.4", "3.5"):
            talk = Talk(version, rounds=0)
            packets = segments(talk.frames[:1])
            packets[-3], packets[-2] = packets[-2], packets[-3]
            with self.subTest(version=version):
                (r,) = self.verdicts(packets)
                self.assertIn("SESS_KEY_NEG_START", r["detail"])
                self.assertIn("key", r["detail"])

    def test_reply_that_may_be_among_lost_bytes_is_not_missed(self):
        talk = Talk("3.3", rounds=2)
        for which in range(len(talk.said) - 1):
            if talk.said[which].dir == TO_DEVICE or talk.said[which].cmd == 0x08:
                continue
            with self.subTest(which=which):
                got = records("-r", mangle.save(self.path("x.pcap"), mangle.lose(segments(talk.frames), which)), "--key", KEY.decode())
                self.assertTrue(any("missing" in (r["detail"] or "") for r in got))
                self.assertFalse(any("no reply" in (r["detail"] or "") for r in got))

    def test_answered_ones_have_none(self):
        for version in ("3.1", "3.2", "3.3", "3.4", "3.5"):
            for mangler in (lambda p: p, mangle.split, mangle.retransmit, mangle.keep_alive):
                with self.subTest(version=version):
                    self.assertEqual(self.verdicts(mangler(segments(Talk(version).frames))), [])

    def test_many_at_the_same_time(self):
        """A client that asks without end: no claim is made before its time, and none is wrong."""
        talk = Talk("3.3", rounds=0)
        seqs = [talk.client(0x0A, {}) for _ in range(100)]
        for seq in seqs:
            talk.device(0x0A, {"dps": {}}, seq)
        self.assertEqual(self.verdicts(segments(talk.frames, step_ns=1000)), [])
        silent = Talk("3.3", rounds=0)
        for _ in range(100):
            silent.client(0x0A, {})
        self.assertEqual(len(self.verdicts(segments(silent.frames, step_ns=10**9))), 100)
        self.assertEqual(len(self.verdicts(segments(silent.frames, step_ns=10**6))), 32)

    def test_filter_selects_them_and_the_other_forms_stay(self):
        talk = talk_without_reply("3.5")
        packets = segments(talk.frames)
        got = self.decode(packets, "-Y", VERDICT)
        self.assertEqual([r["seq"] for r in got], [m.seq for m in talk.said[-3:]])
        self.assertEqual(self.decode(packets, "-Y", f"not {VERDICT}"), self.decode(packets)[:-3])
        rows = dump("-r", self.capture, "--key", KEY.decode(), "-T", "csv").stdout.splitlines()
        self.assertEqual(len(rows), 1 + sum(m.dir == FROM_DEVICE and isinstance(m.payload, dict) for m in talk.said))
        fields = dump("-r", self.capture, "--key", KEY.decode(), "-T", "fields", "-e", "seq", "-e", "verdict", "-Y", "verdict")
        self.assertEqual(fields.stdout.splitlines(), [f"{m.seq}\trequest without reply" for m in talk.said[-3:]])

    def test_text_says_it_once_and_stats_sum_it_up(self):
        self.decode(segments(talk_without_reply("3.4").frames))
        text = dump("-r", self.capture, "--key", KEY.decode()).stdout
        self.assertEqual(text.count("no reply to"), 1)
        self.assertIn("request without reply, 3 in all", text)
        self.assertIn("! request without reply: 3", dump("-r", self.capture, "--key", KEY.decode(), "--stats").stdout)

    def test_other_outputs_live_with_them(self):
        self.decode(segments(talk_without_reply("3.4").frames))
        result = dump("-r", self.capture, "--key", KEY.decode(), "--redact", self.path("r.pcapng"), "-w", self.path("w.pcapng"),
                      "--plot", self.path("p.svg"))
        self.assertEqual(result.returncode, 0, result.stderr)
        again = records("-r", self.path("r.pcapng"), "--devices", self.path("r.devices.json"), "-Y", VERDICT)
        self.assertEqual(len(again), 3)


if __name__ == "__main__":
    unittest.main()
