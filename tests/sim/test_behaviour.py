"""What a plug answers, version by version. Each test names its row of the behaviour page ("device behaviour 4.3") or the
thread in which real devices were seen to do so."""

import os
import signal
import socket
import struct
import time
import unittest

import tuyapeer
from sim import Sim
from tuyapeer import (CONTROL, CONTROL_NEW, DP_QUERY, DP_QUERY_NEW, HEART_BEAT, LAN_EXT_STREAM, START, STATUS, UPDATEDPS,
                      Closed, Timeout, seal)

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")
SILENCE_S = 0.15  # how long nothing has to come; a STATUS would come after 20 ms


def query_command(version):
    return DP_QUERY_NEW if version >= "3.4" else DP_QUERY


def control_command(version):
    return CONTROL_NEW if version >= "3.4" else CONTROL


class Case(unittest.TestCase):
    version = None

    def _formatMessage(self, message, standard):
        text = super()._formatMessage(message, standard)
        return f"version {self.version}: {text}" if self.version else text

    def assertSilent(self, client, seconds=SILENCE_S):
        with self.assertRaises(Timeout):
            m = client.receive(timeout=seconds)
            self.fail(f"expected silence, got {m}")

    def assertText(self, m, text, cmd):
        self.assertEqual((m.cmd, m.retcode, m.payload), (cmd, 1, text.encode()))


class Answers(Case):
    """Sections 2 and 4: queries, controls, heartbeats."""

    @classmethod
    def setUpClass(cls):
        cls.sims = {v: Sim("-P", v, "--max-clients", 0).__enter__() for v in VERSIONS}

    @classmethod
    def tearDownClass(cls):
        for sim in cls.sims.values():
            sim.stop()

    def client(self, version):
        c = self.sims[version].client()
        self.addCleanup(c.close)
        c.connect()
        return c

    def each(self, *versions):
        """A fresh client of each version; which one it is stands in front of what fails."""
        for v in versions or VERSIONS:
            self.version = v
            yield v, self.client(v)

    def test_query_reply_has_return_code_0_and_all_data_points_in_one_frame_of_512_bytes(self):
        for v, c in self.each("3.1", "3.3", "3.4", "3.5"):  # device behaviour 4.1, 4.3 to 4.5; uTuya reads 512 bytes
            m = c.query()
            self.assertEqual((m.retcode, m.header), (0, None))
            self.assertLessEqual({"1", "9", "18", "19", "20", "26", "38"}, set(m.dps))
            self.assertNotIn("17", m.dps)  # absent until the first increment: jasonacox/tinytuya#282
            self.assertLessEqual(len(m.raw), 512)

    def test_reply_echoes_seq_up_to_3_3_and_has_its_own_from_3_4(self):
        for v, c in self.each("3.1", "3.3"):  # device behaviour 3.4; codetheweb/tuyapi#268
            c.seq = 4711
            self.assertEqual(c.query().seq, 4712)
        for v, c in self.each("3.4", "3.5"):  # rospogrigio/localtuya#1369
            first = c.query().seq
            self.assertEqual([c.query().seq, c.heartbeat().seq], [first + 1, first + 2])

    def test_3_1_query_needs_no_key(self):
        c = self.client("3.1")  # device behaviour 4.1
        c.key = b"not the real key"
        self.assertIn("1", c.status())

    def test_both_query_commands_are_answered_under_their_own_number(self):
        for v, c in self.each("3.3", "3.4", "3.5"):  # apps send 0x10 to 3.3 devices, too
            for cmd in (DP_QUERY, DP_QUERY_NEW):
                c.send(cmd, {} if v >= "3.4" else c.query_body())
                m = c.receive()
                self.assertEqual((m.cmd, m.retcode), (cmd, 0))
                self.assertIn("1", m.dps)

    def test_control_is_acknowledged_empty_and_then_pushed_in_a_segment_of_its_own(self):
        for v, c in self.each():  # device behaviour 6 and 13, jasonacox/tinytuya#153
            before = c.seq
            c.send(control_command(v), c.control_body({"1": False}))
            first = c.sock.recv(4096)
            ack = tuyapeer.unseal(v, "from_device", first, key=c.key, session_key=c.session_key)
            self.assertEqual((ack.cmd, ack.retcode, ack.payload), (control_command(v), 0, b""))
            if v <= "3.3":
                self.assertEqual((ack.seq, len(first)), (before + 1, 28))
            push = tuyapeer.unseal(v, "from_device", c.sock.recv(4096), key=c.key, session_key=c.session_key)
            self.assertEqual((push.cmd, push.retcode, push.dps), (STATUS, 0, {"1": False}))
            if v <= "3.3":
                self.assertEqual(push.seq, 0)
            else:
                self.assertEqual(push.seq, ack.seq + 1)

    def test_status_has_the_json_and_header_of_its_version(self):
        for v, c in self.each():  # device behaviour 2 and 4.3
            ack, one = c.set({"1": False})
            ack, two = c.set({"1": True})
            if v >= "3.4":
                self.assertEqual((one.json["protocol"], list(one.json["data"])[0]), (4, "dps"))
                self.assertNotIn("dps", one.json)
            else:
                self.assertEqual(one.json["dps"], {"1": False})
            if v in ("3.1", "3.5"):
                body = one.json if v == "3.1" else one.json["data"]
                self.assertEqual(body["devId"], c.id)
            self.assertIsInstance(one.json["t"], int)
            self.assertAlmostEqual(one.json["t"], time.time(), delta=5)
            if v == "3.1":
                self.assertEqual(two.json["s"], one.json["s"] + 1)
            else:
                a, b = (struct.unpack(">III", m.header[3:]) for m in (one, two))
                self.assertEqual((a[0], a[2], b[1]), (0, 1, a[1] + 1))  # check 0, source 1, serial +1

    def test_status_goes_to_every_client_and_the_acknowledgement_to_one(self):
        for v, c in self.each():  # device behaviour 3.1
            other = self.client(v)
            _, push = c.set({"9": 100})
            self.assertEqual(other.receive().dps, push.dps)
            c.set({"9": 0})
            self.assertEqual(other.receive().dps, {"9": 0})

    def test_value_that_does_not_change_is_pushed_all_the_same(self):
        for v, c in self.each():  # device behaviour 6; uTuya waits for it
            c.set({"1": True})
            _, push = c.set({"1": True})
            self.assertEqual(push.dps, {"1": True})

    def test_several_data_points_are_acknowledged_once_and_pushed_together(self):
        for v, c in self.each():
            _, push = c.set({"1": True, "9": 7, "40": "pos"})
            self.assertEqual(push.dps, {"1": True, "9": 7, "40": "pos"})
            self.assertSilent(c)
            c.set({"9": 0, "40": "relay"})

    def test_what_cannot_be_set_is_skipped_and_the_rest_is_done(self):
        wrong = {"99": 1,  # unknown
                 "26": 1,  # read-only
                 "1": 1, "41": "true",  # wrong type
                 "38": "sometimes",  # not one of its words
                 "42": 3, "39": None}
        for v, c in self.each("3.1", "3.3", "3.4", "3.5"):  # device behaviour 6 [TuyaOpen dp_schema.c]; 3.2 knows nulls
            _, push = c.set({**wrong, "9": 5})
            self.assertEqual(push.dps, {"9": 5})
            c.set({"9": 0})
            ack, _ = c.set(wrong, push=False)
            self.assertEqual((ack.retcode, ack.payload), (0, b""))
            self.assertSilent(c)

    def test_integer_out_of_range_is_acknowledged_and_never_reported(self):
        for v, c in self.each():
            ack, _ = c.set({"9": 86401}, push=False)
            self.assertEqual(ack.retcode, 0)
            self.assertSilent(c)

    def test_two_quick_controls_are_acknowledged_twice(self):
        for v, c in self.each():  # xZetsubou/hass-localtuya#240: ACK, ACK, STATUS
            c.set({"1": True})
            c.send(control_command(v), c.control_body({"1": False}))
            c.send(control_command(v), c.control_body({"9": 3}))
            self.assertEqual([c.receive().cmd for _ in range(2)], [control_command(v)] * 2)
            self.assertEqual(c.receive().dps, {"1": False, "9": 3})
            c.set({"9": 0})

    def test_heartbeat_is_answered_empty_whatever_it_carries(self):
        for v, c in self.each():  # device behaviour 3.2
            for body in (b"", {"gwId": c.id, "devId": c.id}, {}):
                m = c.heartbeat(body)
                self.assertEqual((m.retcode, m.payload), (0, b""))
                if v <= "3.3":
                    self.assertEqual(m.raw.hex(), "000055aa00000000000000090000000c00000000b051ab030000aa55")

    def test_empty_heartbeat_of_24_bytes_is_answered(self):
        for v, c in self.each("3.1", "3.2", "3.3"):  # uTuya
            c.send_bytes(bytes.fromhex("000055aa0000000b0000000900000008e7c692ff0000aa55"))
            self.assertEqual(c.receive().cmd, HEART_BEAT)

    def test_heartbeat_without_a_right_tag_is_answered_in_3_5(self):
        c = self.client("3.5")  # device behaviour 3.2 [TuyaOpen]
        c.seq += 1
        c.send_bytes(seal("3.5", "to_device", c.seq, HEART_BEAT, b"", key=c.key, session_key=bytes(16)))
        self.assertEqual(c.receive().cmd, HEART_BEAT)

    def test_unknown_command_is_ignored_and_the_connection_lives(self):
        for v, c in self.each():  # device behaviour 3.3, 5
            for cmd in (0x0B, 0x11, 0x30, 0x77, STATUS):
                c.send(cmd, {})
            self.assertEqual(c.heartbeat().retcode, 0)

    def test_wrong_device_id_is_answered_all_the_same(self):
        for v, c in self.each("3.1", "3.3"):  # device behaviour 5
            c.id = "somebodyelse0000000000"
            self.assertIn("1", c.status())

    def test_3_5_control_of_another_device_is_acknowledged_and_not_done(self):
        c = self.client("3.5")  # device behaviour 5 [TuyaOpen]
        c.set({"1": True})
        c.send(CONTROL_NEW, {"protocol": 5, "t": 1, "data": {"devId": "somebodyelse0000000000", "dps": {"1": False}}})
        self.assertEqual(c.receive().cmd, CONTROL_NEW)
        self.assertSilent(c)
        self.assertIs(c.status()["1"], True)


class Errors(Case):
    """Section 5, and what a damaged or foreign frame does (3.3)."""

    @classmethod
    def setUpClass(cls):
        cls.sims = {v: Sim("-P", v, "--max-clients", 0).__enter__() for v in VERSIONS}

    @classmethod
    def tearDownClass(cls):
        for sim in cls.sims.values():
            sim.stop()

    client, each = Answers.client, Answers.each

    def test_wrong_key_in_3_1_meets_silence_for_controls(self):
        c = self.client("3.1")
        right, c.key = c.key, b"not the real key"
        c.send(CONTROL, c.control_body({"1": False}))
        self.assertSilent(c)
        c.key = right
        self.assertIs(c.status()["1"], True)

    def test_wrong_key_in_3_3_is_answered_under_the_real_one(self):
        c = self.client("3.3")  # Apollon77/ioBroker.tuya#547: 32 bytes that such a client cannot read
        right, c.key = c.key, b"not the real key"
        seq = c.send(DP_QUERY, c.query_body())
        frame = c.receive_frame()
        self.assertEqual(len(frame), 16 + 0x2C)
        m = tuyapeer.unseal("3.3", "from_device", frame, key=right)
        self.assertText(m, "parse data error", DP_QUERY)
        self.assertEqual(m.seq, seq)

    def test_wrong_key_in_3_4_and_3_5_closes_at_once(self):
        for v in ("3.4", "3.5"):  # jasonacox/tinytuya#671
            with self.subTest(version=v):
                c = self.sims[v].client()
                self.addCleanup(c.close)
                c.key = b"not the real key"
                c.connect(negotiate=False)
                c.send(START, os.urandom(16))
                c.receive_close()

    def test_3_2_tells_its_errors_in_clear(self):
        c = self.client("3.2")  # AMoo-Miki/homebridge-tuya-lan#69, rospogrigio/localtuya#1232
        m = c.query()
        self.assertText(m, "json obj data unvalid", DP_QUERY)
        self.assertEqual(struct.unpack(">I", m.raw[12:16])[0], 0x21)
        c.send_bytes(seal("3.3", "to_device", 9, DP_QUERY, c.query_body(), key=c.key))
        m = c.receive()
        self.assertText(m, "data format error", DP_QUERY)
        self.assertEqual((m.seq, struct.unpack(">I", m.raw[12:16])[0]), (9, 0x1D))

    def test_3_3_answers_a_clear_query_with_an_encrypted_text(self):
        c = self.client("3.3")  # TuyaAPI/cli#64: length 0x2c
        c.send_bytes(seal("3.1", "to_device", 1, DP_QUERY, c.query_body(), key=c.key))
        m = c.receive()
        self.assertText(m, "json obj data unvalid", DP_QUERY)
        self.assertEqual(struct.unpack(">I", m.raw[12:16])[0], 0x2C)

    def test_3_1_answers_a_3_3_query_with_a_clear_text(self):
        c = self.client("3.1")
        c.send_bytes(seal("3.3", "to_device", 1, DP_QUERY, c.query_body(), key=c.key))
        self.assertText(c.receive(), "json obj data unvalid", DP_QUERY)

    def test_string_value_of_utuya_is_refused(self):
        c = self.client("3.3")  # no quotes: not JSON
        c.send(CONTROL, '{"dps":{"38":off}}')
        self.assertText(c.receive(), "data format error", CONTROL)

    def test_bad_json_of_3_4_and_3_5(self):
        for v, c in self.each("3.4", "3.5"):
            c.send(DP_QUERY_NEW, "{")
            self.assertText(c.receive(), "data format error", DP_QUERY_NEW)
            c.send(CONTROL_NEW, "{")
            self.assertText(c.receive(), "parse data error", CONTROL_NEW)
        c = self.client("3.5")  # device behaviour 4.5
        c.send(DP_QUERY, "")
        self.assertText(c.receive(), "data format error", DP_QUERY)
        c.send(CONTROL, {"dps": {"1": False}})
        self.assertText(c.receive(), "", CONTROL)
        c.send(CONTROL, {"data": {}})
        self.assertText(c.receive(), "data format error", CONTROL)

    def test_bad_check_value_is_ignored_up_to_3_3_and_closes_later(self):
        for v, c in self.each():  # device behaviour 5
            frame = bytearray(seal(v, "to_device", c.seq + 1, query_command(v), c.query_body(), key=c.key,
                                   session_key=c.session_key))
            frame[-5] ^= 1
            c.seq += 1
            c.send_bytes(bytes(frame))
            if v <= "3.3":
                self.assertSilent(c)
                self.assertEqual(c.heartbeat().retcode, 0)
            else:
                c.receive_close()

    def test_frame_cut_anywhere_is_put_together(self):
        for v, c in self.each("3.1", "3.3", "3.4", "3.5"):
            c.seq += 1
            frame = seal(v, "to_device", c.seq, query_command(v), c.query_body(), key=c.key, session_key=c.session_key)
            for i in range(len(frame)):
                c.send_bytes(frame[i:i + 1])
            self.assertEqual(c.receive().retcode, 0)

    def test_several_frames_in_one_segment_are_answered_in_order(self):
        for v, c in self.each("3.1", "3.3", "3.4", "3.5"):  # device behaviour 3.3
            data = b""
            for cmd in (HEART_BEAT, query_command(v), HEART_BEAT):
                c.seq += 1
                data += seal(v, "to_device", c.seq, cmd, c.query_body(), key=c.key, session_key=c.session_key)
            c.send_bytes(data)
            self.assertEqual([c.receive().cmd for _ in range(3)], [HEART_BEAT, query_command(v), HEART_BEAT])

    def test_handshake_command_on_a_live_session_closes(self):
        for v, c in self.each("3.4", "3.5"):  # device behaviour 4.5
            c.send(START, os.urandom(16))
            c.receive_close()

    def test_request_without_handshake_closes(self):
        for v in ("3.4", "3.5"):  # jasonacox/tinytuya#672
            with self.subTest(version=v):
                c = self.sims[v].client()
                self.addCleanup(c.close)
                c.connect(negotiate=False)
                c.send_bytes(seal(v, "to_device", 1, DP_QUERY_NEW, {}, key=c.key, session_key=c.key))
                c.receive_close()

    def test_3_3_query_to_3_4_and_3_5_closes(self):
        for v in ("3.4", "3.5"):
            with self.subTest(version=v):
                c = self.sims[v].client()
                self.addCleanup(c.close)
                c.connect(negotiate=False)
                c.send_bytes(seal("3.3", "to_device", 1, DP_QUERY, c.query_body(), key=c.key))
                c.receive_close()

    def test_repeated_sequence_number_closes_3_5(self):
        for v, c in self.each():  # device behaviour 3.3; others accept any, also 0
            c.seq = 0 if v <= "3.3" else c.seq + 1
            c.send(HEART_BEAT)
            c.receive_command(HEART_BEAT)
            c.seq -= 1
            c.send(HEART_BEAT)
            if v == "3.5":
                c.receive_close()
            else:
                self.assertEqual(c.receive().cmd, HEART_BEAT)

    def test_junk_ends_3_4_and_3_5_and_is_skipped_before(self):
        for v, c in self.each():
            c.send_bytes(b"GET / HTTP/1.1\r\n\r\n")
            if v >= "3.4":
                c.receive_close()
            else:
                self.assertEqual(c.heartbeat().retcode, 0)


class Places(Case):
    """Sections 3.1 and 3.2: how many clients, and for how long."""

    def test_fourth_client_is_accepted_and_closed_without_a_byte(self):
        for v in ("3.3", "3.5"):  # device behaviour 3.1
            with self.subTest(version=v), Sim("-P", v) as sim:
                clients = [sim.client() for _ in range(3)]
                for c in clients:
                    c.connect()
                with socket.create_connection((sim.host, sim.port), timeout=15) as fourth:
                    self.assertEqual(fourth.recv(100), b"")
                clients[0].close()
                clients[0].connect()
                self.assertEqual(clients[0].heartbeat().retcode, 0)
                for c in clients:
                    c.close()

    def test_who_left_before_another_came_has_left(self):
        """However the operating system tells of it: here, of all that happened while the simulator slept at once."""
        for v in ("3.1", "3.3", "3.4", "3.5"):
            for options in (("--max-clients", 1), ("--fault", "one_client:n=1")):
                with self.subTest(version=v, options=options), Sim("-P", v, *options) as sim, sim.client() as c:
                    for i in range(8):
                        sim.process.send_signal(signal.SIGSTOP)
                        c.send(control_command(v), c.control_body({"1": False}))
                        if i % 2:  # not with FIN, but with RST
                            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        c.close()
                        c.connect(negotiate=False)
                        sim.process.send_signal(signal.SIGCONT)
                        if v >= "3.4":
                            c.negotiate()
                        on = c.status()["1"]
                        if i % 2 == 0:
                            self.assertIs(on, False)  # obeyed, though nobody waited for the answer
                        c.set({"1": True}, push=False)

    def test_max_clients_overrides_the_profile(self):
        with Sim("--max-clients", 1) as sim, sim.client() as first:
            with socket.create_connection((sim.host, sim.port), timeout=15) as second:
                self.assertEqual(second.recv(100), b"")
            self.assertEqual(first.heartbeat().retcode, 0)
        with Sim("--max-clients", 0) as sim:
            clients = [sim.client() for _ in range(20)]
            for c in clients:
                c.connect()
            for c in clients:
                self.assertEqual(c.heartbeat().retcode, 0)
                c.close()

    def test_idle_connection_is_closed_after_30_s(self):
        for v in VERSIONS:  # device behaviour 3.2
            with self.subTest(version=v), Sim("-P", v, "--clock", "virtual", control=True) as sim, sim.client() as c:
                sim.request("POST", "/clock/advance", {"ms": 29000})
                self.assertEqual(c.heartbeat().retcode, 0)  # starts the time again
                sim.request("POST", "/clock/advance", {"ms": 29999})
                self.assertEqual(c.heartbeat().retcode, 0)
                sim.request("POST", "/clock/advance", {"ms": 30000})
                c.receive_close()

    def test_idle_timeout_overrides_the_profile(self):
        with Sim("--idle-timeout", "0.2") as sim, sim.client() as c:
            begin = time.monotonic()
            c.receive_close()
            self.assertGreater(time.monotonic() - begin, 0.15)
        with Sim("--idle-timeout", "0", "--clock", "virtual", control=True) as sim, sim.client() as c:
            sim.request("POST", "/clock/advance", {"ms": 86400000})
            self.assertEqual(c.heartbeat().retcode, 0)

    def test_handshake_that_never_ends_is_closed_after_30_s(self):
        with Sim("-P", "3.5", "--clock", "virtual", "--idle-timeout", "0", control=True) as sim:
            c = sim.client()
            c.connect(negotiate=False)
            c.send(START, os.urandom(16))
            c.receive()
            sim.request("POST", "/clock/advance", {"ms": 30000})
            c.receive_close()
            c.close()


class Pushes(Case):
    """What plugs tell unasked: sections 6 and 7, energy-dps 4.2."""

    def test_countdown_switches_and_reports_both(self):
        with Sim("--clock", "virtual", "--idle-timeout", 0, control=True) as sim, sim.client() as c:
            _, push = c.set({"9": 60})
            self.assertEqual(push.dps, {"9": 60})
            sim.request("POST", "/clock/advance", {"ms": 20000})
            self.assertEqual(c.status()["9"], 40)
            sim.request("POST", "/clock/advance", {"ms": 40000})
            seen = {}
            while "1" not in seen or seen.get("9") != 0:  # in one or two frames, beside measurements
                seen.update(c.receive_push().dps)
            self.assertEqual((seen["1"], seen["9"]), (False, 0))

    def test_switching_cancels_the_countdown(self):
        with Sim("--clock", "virtual", control=True) as sim, sim.client() as c:
            c.set({"9": 60})
            seen = c.set({"1": False})[1].dps
            if "9" not in seen:
                seen.update(c.receive_push().dps)
            self.assertEqual(seen, {"1": False, "9": 0})

    def test_refresh_of_family_a_brings_the_changed_measurements(self):
        with Sim("-P", "3.3", "--seed", 1, "--clock", "virtual", control=True) as sim, sim.client() as c:
            sim.request("PUT", f"/devices/{sim.id}/load", {"watts": 60.0})
            sim.request("POST", "/clock/advance", {"ms": 2000})
            c.send(UPDATEDPS, {"dpId": [18, 19, 20]})
            push = c.receive_push()
            self.assertLessEqual({"18", "19"}, set(push.dps))
            self.assertNotIn("1", push.dps)  # rospogrigio/localtuya#194: never DP 1
            self.assertEqual(c.status()["19"], push.dps["19"])

    def test_what_happened_before_is_no_news_to_a_new_client(self):
        with Sim("--clock", "virtual", control=True) as sim:
            sim.request("PUT", f"/devices/{sim.id}/load", {"watts": 60.0})
            sim.request("POST", "/clock/advance", {"ms": 3600000})
            with sim.client() as c:
                self.assertSilent(c)
                self.assertGreater(c.status()["19"], 0)
                self.assertEqual(c.set({"9": 5})[1].dps, {"9": 5})

    def test_button_is_pushed_to_all(self):
        with Sim("-P", "3.4", control=True) as sim, sim.client() as a, sim.client() as b:
            sim.request("PATCH", f"/devices/{sim.id}/dps", {"1": False})
            self.assertEqual((a.receive_push().dps, b.receive_push().dps), ({"1": False}, {"1": False}))


class Device22(Case):
    """Section 8."""

    def test_query_is_refused_and_a_null_map_brings_what_exists(self):
        with Sim("--profile", "device22-plug") as sim, sim.client() as c:
            m = c.query()
            self.assertText(m, "json obj data unvalid", DP_QUERY)  # TuyaAPI/cli#64
            body = {"devId": c.id, "uid": c.id, "t": "1", "dps": {"1": None, "2": None, "250": None}}
            seq = c.send(CONTROL_NEW, body)
            ack = c.receive()
            self.assertEqual((ack.cmd, ack.seq, ack.retcode, ack.payload), (CONTROL_NEW, seq, 0, b""))
            push = c.receive()
            self.assertEqual((push.cmd, push.seq), (STATUS, 0))
            self.assertIn("1", push.dps)
            self.assertNotIn("250", push.dps)
            c.send(CONTROL_NEW, {"dps": {"250": None}})  # nothing of it exists
            self.assertEqual(c.receive().cmd, CONTROL_NEW)
            self.assertSilent(c)
            on = push.dps["1"]
            self.assertEqual(c.set({"1": not on})[1].dps["1"], not on)

    def test_3_2_behaves_so_too(self):
        with Sim("-P", "3.2") as sim, sim.client() as c:
            c.send(CONTROL_NEW, {"dps": {"1": None}})
            self.assertEqual(c.receive().cmd, CONTROL_NEW)
            self.assertEqual(c.receive().dps, {"1": True})

    def test_ordinary_plugs_skip_nulls(self):
        for v in ("3.3", "3.5"):
            with self.subTest(version=v), Sim("-P", v) as sim, sim.client() as c:
                c.send(CONTROL_NEW, c.control_body({"1": None}))
                self.assertEqual(c.receive().cmd, CONTROL_NEW)
                self.assertSilent(c)


class Gateways(Case):
    """Section 9."""

    CID = "0000000000000001"

    def test_sub_device_is_asked_and_set_by_cid(self):
        for v in ("3.3", "3.4", "3.5"):
            with self.subTest(version=v), Sim("--profile", "zigbee-gateway", "-P", v) as sim, sim.client() as c:
                c.send(query_command(v), {"cid": self.CID})
                m = c.receive()
                self.assertEqual((m.retcode, m.json["cid"]), (0, self.CID))
                self.assertIs(m.dps["1"], True)
                body = {"cid": self.CID, "dps": {"1": False}}
                if v >= "3.4":
                    body = {"protocol": 5, "t": 1, "data": {**body, "ctype": 0}}
                c.send(control_command(v), body)
                self.assertEqual(c.receive().retcode, 0)
                push = c.receive()
                data = push.json["data"] if v >= "3.4" else push.json
                self.assertEqual((data["cid"], data["dps"]), (self.CID, {"1": False}))

    def test_no_cid_and_unknown_cid_are_refused(self):
        with Sim("--profile", "zigbee-gateway", "-P", "3.3") as sim, sim.client() as c:
            c.send(DP_QUERY, c.query_body())
            self.assertText(c.receive(), "json obj data unvalid", DP_QUERY)
            c.send(DP_QUERY, {"cid": "00000000000000ff"})
            m = c.receive()
            self.assertText(m, "devid not found", DP_QUERY)  # make-all/tuya-local#3999: 16 bytes, length 0x1c
            self.assertEqual(struct.unpack(">I", m.raw[12:16])[0], 0x1C)
        with Sim("--profile", "zigbee-gateway", "-P", "3.4") as sim, sim.client() as c:
            c.send(DP_QUERY_NEW, {"data": {"cid": self.CID}})  # inside data it asks the gateway itself
            self.assertText(c.receive(), "json obj data unvalid", DP_QUERY_NEW)
        with Sim("--profile", "zigbee-gateway", "-P", "3.5") as sim, sim.client() as c:
            c.send(CONTROL_NEW, {"data": {"cid": "00000000000000ff", "dps": {"1": False}}})
            self.assertEqual(c.receive().payload, b"")  # no reply beyond the ACK
            self.assertSilent(c)

    def test_children_are_listed_from_3_4_on(self):
        request = {"reqType": "subdev_online_stat_query", "data": {"cids": []}}
        for v in ("3.4", "3.5"):
            with self.subTest(version=v), Sim("--profile", "zigbee-gateway", "-P", v) as sim, sim.client() as c:
                c.send(LAN_EXT_STREAM, request)
                m = c.receive()
                self.assertEqual((m.cmd, m.json["reqType"]), (LAN_EXT_STREAM, "subdev_online_stat_report"))
                self.assertEqual(m.json["data"]["online"], [self.CID])
        for options in (("--profile", "zigbee-gateway", "-P", "3.3"), ("-P", "3.4")):  # old gateways; plugs
            with self.subTest(options), Sim(*options) as sim, sim.client() as c:
                c.send(LAN_EXT_STREAM, request)
                self.assertEqual(c.heartbeat().retcode, 0)


class PowerOn(Case):
    """Section 11, energy-dps 4.1: relay_status after a power cut."""

    def test_relay_comes_back_as_relay_status_says(self):
        for word, expected in (("on", True), ("off", False), ("memory", False)):
            with self.subTest(word), Sim("--clock", "virtual", control=True) as sim:
                with sim.client() as c:
                    c.set({"38": word})
                    c.set({"1": False})
                    sim.request("POST", "/clock/advance", {"ms": 6000})  # in flash after 5 s
                    sim.request("POST", f"/devices/{sim.id}/reboot", {"down_ms": 0})
                    with self.assertRaises((Closed, ConnectionError)):
                        while True:
                            c.receive()
                with sim.client() as c:
                    self.assertIs(c.status()["1"], expected)


if __name__ == "__main__":
    unittest.main()
