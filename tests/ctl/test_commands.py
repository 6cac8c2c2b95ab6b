"""tuya-ctl against a plug of a few lines (fakeplug.py), in every version: what it prints, what it sends, what it makes
of devices that answer in another order, not at all, or with another text."""

import json
import os
import socket
import struct
import subprocess
import tempfile
import time
import unittest

import parallel
import tuyapeer as tp
from fakeplug import ID, KEY, FakePlug
from sim import program, run

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")


def ctl(plug, *arguments, protocol=None, **options):
    return run("tuya-ctl", *plug.options, "-P", protocol or plug.version, *arguments, **options)


class Commands(unittest.TestCase):
    def good(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def fails(self, result, code, *words):
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertNotIn(KEY.decode(), result.stdout + result.stderr)

    def test_status_is_the_same_in_every_version(self):
        for version in VERSIONS:
            with self.subTest(version), FakePlug(version) as plug:
                line = json.loads(self.good(ctl(plug, "--json", "status")))
                self.assertEqual(line, {"device": ID, "version": version, "dps": plug.dps})
                text = self.good(ctl(plug, "status"))
                self.assertIn("cur_voltage  230.1 V", text)
                self.assertNotIn("\x1b", text)
                self.assertIn("\x1b[32mon", self.good(ctl(plug, "--color=always", "--", "on", "--", "status")))

    def test_an_answer_that_is_no_text_is_shown_as_hex_and_never_raw(self):
        class Garbled(FakePlug):
            def query(self, talk, m):
                talk.say(m.cmd, "n\u00f6 \u009b".encode() + b"\xff\xc3", retcode=1)

        with Garbled("3.5") as plug:
            self.assertEqual(json.loads(ctl(plug, "--json", "send", "0x10").stdout),
                             {"device": ID, "cmd": 16, "cmd_name": "DP_QUERY_NEW", "retcode": 1, "payload": None, "text": None,
                              "hex": "6ec3b620c29bffc3"})
            self.assertEqual(ctl(plug, "send", "0x10").stdout, "DP_QUERY_NEW (0x10), return code 1: 6ec3b620c29bffc3\n")
            self.fails(ctl(plug, "status"), 1, "the device refused: n\u00f6 ....;")
        with FakePlug("3.5", dps={"1": "\u00f6" * 40}) as plug:
            plug.control = lambda talk, m: talk.say(m.cmd)
            self.fails(ctl(plug, "set", "1=" + "\u00e4" * 40), 1, "asked for \"" + "\u00e4" * 29 + "., it has")

    def test_a_device_that_invents_data_points_does_not_fill_the_memory(self):
        class Inventive(FakePlug):
            def query(self, talk, m):
                talk.push({str(i): i for i in range(1000, 1600)})
                talk.push({str(i): i for i in range(1, 601)})
                talk.push({"1000": "new", "7777": 1})
                talk.say(m.cmd, {"dps": {"1001": "new"}})

        with Inventive("3.5") as plug:
            dps = json.loads(self.good(ctl(plug, "--json", "status")))["dps"]
            self.assertEqual(len(dps), 1024)
            self.assertEqual((dps["1000"], dps["1001"], dps["1599"], dps["1"], dps["424"]), ("new", "new", 1599, 1, 424))

    def test_get_prints_one_value(self):
        for version in VERSIONS:
            with self.subTest(version), FakePlug(version) as plug:
                self.assertEqual(self.good(ctl(plug, "get", "20")), "2301\n")
                self.assertEqual(json.loads(self.good(ctl(plug, "--json", "get", "20"))),
                                 {"device": ID, "dp": 20, "value": 2301})
                self.fails(ctl(plug, "get", "77"), 1, "no data point 77", "1, 9, 18, 19, 20")

    def test_set_on_off_toggle_change_the_plug(self):
        for version in VERSIONS:
            with self.subTest(version), FakePlug(version) as plug:
                self.good(ctl(plug, "on"))
                self.assertIs(plug.dps["1"], True)
                self.good(ctl(plug, "off", "1"))
                self.assertIs(plug.dps["1"], False)
                self.good(ctl(plug, "toggle"))
                self.assertIs(plug.dps["1"], True)
                out = self.good(ctl(plug, "--json", "set", "1=false", "9=60", "21=white", '22="17"'))
                self.assertEqual(plug.dps["9"], 60)
                self.assertEqual(json.loads(out)["dps"], {"1": False, "9": 60, "21": "white", "22": "17"})

    def test_energy_is_scaled(self):
        for version in VERSIONS:
            with self.subTest(version), FakePlug(version) as plug:
                line = json.loads(self.good(ctl(plug, "--json", "energy")), parse_float=str)
                self.assertEqual((line["volts"], line["amperes"], line["watts"], line["kwh"]),
                                 ("230.1", "0.261", "60.0", None))
        with FakePlug("3.3", dps={"1": True, "2": 0, "4": 70, "5": 12, "6": 1221}) as plug:
            line = json.loads(self.good(ctl(plug, "--json", "energy")), parse_float=str)
            self.assertEqual((line["volts"], line["amperes"], line["watts"]), ("122.1", "0.070", "1.2"))
        # 228.4 V, 1.423 A, 272 W: a block that a real meter sent (spec energy-dps section 5.1)
        with FakePlug("3.3", dps={"1": 12345, "6": "COwABY8AARA=", "16": True}) as plug:
            line = json.loads(self.good(ctl(plug, "--json", "energy")), parse_float=str)
            self.assertEqual((line["volts"], line["amperes"], line["watts"], line["kwh"]),
                             ("228.4", "1.423", 272, "123.45"))
            self.good(ctl(plug, "off"))
            self.assertIs(plug.dps["16"], False)  # the breaker, not data point 1, which is the energy
        with FakePlug("3.3", dps={"1": True}) as plug:
            self.fails(ctl(plug, "energy"), 1, "measures nothing")

    def test_heartbeat_and_send(self):
        for version in VERSIONS:
            with self.subTest(version), FakePlug(version) as plug:
                self.assertTrue(json.loads(self.good(ctl(plug, "--json", "heartbeat")))["alive"])
                query = "DP_QUERY_NEW" if version >= "3.4" else "dp_query"
                line = json.loads(self.good(ctl(plug, "--json", "send", query, "{}")))
                self.assertEqual(line["payload"], {"dps": plug.dps})
                self.assertEqual(line["cmd"], 0x10 if version >= "3.4" else 0x0A)
                self.assertEqual(line["retcode"], 0)
        with FakePlug("3.3") as plug:
            self.fails(ctl(plug, "send", "3"), 2, "CMD")
            self.fails(ctl(plug, "send", "NOTHING"), 2, "CMD")

    def test_several_commands_share_one_connection(self):
        for version in VERSIONS:
            with self.subTest(version), FakePlug(version) as plug:
                out = self.good(ctl(plug, "--json", "--keep-alive", "--", "status", "--", "on", "--", "get", "1"))
                self.assertEqual(len(out.splitlines()), 3)
                self.assertEqual(plug.connections, 1)
                self.assertIs(json.loads(out.splitlines()[2])["value"], True)
                self.good(ctl(plug, "off", "--", "status"))
                self.assertEqual(plug.connections, 2)
                # the second command is wrong: nothing at all is done
                self.fails(ctl(plug, "--", "on", "--", "set"), 2, "set", "DP=VALUE")
                self.assertEqual(plug.connections, 2)

    # --- the order in which devices answer

    def test_ack_and_status_glued_cut_and_reversed(self):
        class Order(FakePlug):
            def control(self, talk, m):
                self.dps.update(m.dps)
                frames = [talk.frame(m.cmd, seq=m.seq), talk.push_frame(m.dps)]
                if self.order == "status first":
                    talk.seq -= 2
                    frames = [talk.push_frame(m.dps), talk.frame(m.cmd, seq=m.seq)]
                data = b"".join(frames)
                step = 1 if self.order == "in single bytes" else len(data)
                for at in range(0, len(data), step):
                    talk.peer.sendall(data[at:at + step])

        for version in VERSIONS:
            for order in ("glued", "status first", "in single bytes"):
                with self.subTest(version=version, order=order), Order(version) as plug:
                    plug.order = order
                    start = time.monotonic()
                    self.assertEqual(json.loads(self.good(ctl(plug, "--json", "on")))["dps"], {"1": True})
                    # no query was needed to make sure, beside the one that finds the main switch
                    self.assertLessEqual(sum(m.cmd in (tp.DP_QUERY, tp.DP_QUERY_NEW) for m in plug.seen), 1)
                    del start

    def test_a_missing_status_is_made_good_by_a_query(self):
        class NoStatus(FakePlug):
            def control(self, talk, m):
                self.dps.update(m.dps)
                talk.say(m.cmd, seq=m.seq)

        for version in VERSIONS:
            with self.subTest(version), NoStatus(version) as plug:
                self.assertEqual(json.loads(self.good(ctl(plug, "--json", "set", "9=50")))["dps"], {"9": 50})

    def test_a_missing_ack_is_no_failure(self):
        class NoAck(FakePlug):
            def control(self, talk, m):
                self.dps.update(m.dps)
                talk.push(m.dps)

        with NoAck("3.3") as plug:
            self.good(ctl(plug, "--timeout", "0.5", "set", "1=true"))

    def test_a_value_that_is_not_taken_is_reported(self):
        class Stubborn(FakePlug):
            def control(self, talk, m):
                talk.say(m.cmd, seq=m.seq)

        with Stubborn("3.3") as plug:
            self.fails(ctl(plug, "set", "9=60"), 1, "did not take data point 9", "60")
            self.fails(ctl(plug, "set", "1=yes"), 1, "true or false", "a string was sent")
            self.fails(ctl(plug, "set", "99=1"), 1, "no data point 99")

    def test_return_code_one_of_vendor_devices_is_not_an_error(self):
        class Vendor(FakePlug):
            def control(self, talk, m):
                self.dps.update(m.dps)
                talk.say(m.cmd, retcode=0x01000000)
                talk.push(m.dps)

        with Vendor("3.5") as plug:
            self.good(ctl(plug, "set", "1=true"))

    # --- retries

    def test_a_toggle_is_never_sent_twice(self):
        class DiesAtControl(FakePlug):
            applies = True

            def control(self, talk, m):
                if self.applies:
                    self.dps.update(m.dps)
                talk.peer.close()
                raise tp.Closed("on purpose")

        for version in VERSIONS:
            for applies in (True, False):
                with self.subTest(version=version, applies=applies), DiesAtControl(version) as plug:
                    plug.applies = applies
                    result = ctl(plug, "--retries", "5", "toggle", "1")
                    controls = [m for m in plug.seen if m.cmd in (tp.CONTROL, tp.CONTROL_NEW)]
                    self.assertEqual(len(controls), 1)
                    self.assertEqual(result.returncode == 0, applies, result.stderr)
                    self.assertEqual(plug.dps["1"], applies)

    def test_set_is_repeated_after_a_lost_connection(self):
        class DiesOnce(FakePlug):
            def control(self, talk, m):
                if self.connections == 1:
                    talk.peer.close()
                    raise tp.Closed("on purpose")
                super().control(talk, m)

        for version in VERSIONS:
            with self.subTest(version), DiesOnce(version) as plug:
                self.good(ctl(plug, "set", "1=true"))
                self.assertIs(plug.dps["1"], True)

    def test_the_first_request_may_get_lost(self):
        class DropsFirst(FakePlug):
            def query(self, talk, m):
                if not hasattr(talk, "asked"):
                    talk.asked = True
                    return
                super().query(talk, m)

        for version in VERSIONS:
            with self.subTest(version), DropsFirst(version) as plug:
                self.good(ctl(plug, "--timeout", "0.5", "status"))
                self.assertEqual(plug.connections, 1)

    def test_a_session_key_that_begins_with_zero_means_another_try(self):
        class ZeroFirst(FakePlug):
            def respond(self, talk, m):
                if self.connections > 2:
                    talk.respond(m)
                    return
                talk.client_nonce, key = m.payload[:16], b"x"
                while key[0] != 0:  # binary nonces: ASCII ones cannot do this to our 3.5 client
                    talk.nonce = os.urandom(16)
                    key = tp.session_key_of(self.version, self.key, talk.client_nonce, talk.nonce)
                talk.say(tp.RESP, talk.nonce + tp.proof(self.key, talk.client_nonce))

            def answer(self, talk, m):
                if m.cmd == tp.START:
                    self.respond(talk, m)
                else:
                    super().answer(talk, m)

        for version in ("3.4", "3.5"):
            with self.subTest(version), ZeroFirst(version) as plug:
                self.good(ctl(plug, "--retries", "0", "status"))
                self.assertEqual(plug.connections, 3)
                self.assertEqual(sum(m.cmd == tp.FINISH for m in plug.seen), 1)

    # --- devices that want to be asked in another way

    def test_device22_is_found_and_asked_by_null_maps(self):
        class Device22(FakePlug):
            def query(self, talk, m):
                talk.say(m.cmd, "json obj data unvalid", seq=m.seq, retcode=1)

            def control(self, talk, m):
                if m.cmd == tp.CONTROL_NEW and all(v is None for v in m.dps.values()):
                    talk.say(m.cmd, seq=m.seq)
                    self.sizes = max(getattr(self, "sizes", 0), len(m.payload))
                    found = {k: self.dps[k] for k in m.dps if k in self.dps}
                    if found:
                        talk.push(found)
                    return
                super().control(talk, m)

        dps = {"1": False, "9": 0, "18": 0, "19": 0, "20": 2301, "26": 0, "38": "memory"}
        for version in ("3.2", "3.3"):
            with self.subTest(version), Device22(version, dps=dps) as plug:
                self.assertEqual(json.loads(self.good(ctl(plug, "--json", "status")))["dps"], dps)
                self.assertLessEqual(plug.sizes, 255)
                self.good(ctl(plug, "on"))
                self.assertIs(plug.dps["1"], True)
                self.assertEqual(self.good(ctl(plug, "get", "38")), '"memory"\n')

    def test_a_plug_without_state_is_refreshed(self):
        class Zombie(FakePlug):
            awake = False

            def answer(self, talk, m):
                if m.cmd == tp.UPDATEDPS:
                    self.awake = True
                    talk.say(m.cmd, seq=m.seq)
                elif m.cmd in (tp.DP_QUERY, tp.DP_QUERY_NEW) and not self.awake:
                    talk.say(m.cmd, "json obj data unvalid", seq=m.seq, retcode=1)
                elif m.cmd == tp.CONTROL_NEW:
                    pass
                else:
                    super().answer(talk, m)

        with Zombie("3.3") as plug:
            self.assertEqual(json.loads(self.good(ctl(plug, "--json", "status")))["dps"], plug.dps)

    def test_what_a_device_says_cannot_move_the_cursor(self):
        class Evil(FakePlug):
            def query(self, talk, m):
                if self.refuses:
                    talk.say(m.cmd, b"no\x1b[2Jway", seq=m.seq, retcode=1)
                else:  # raw control characters cannot stand in JSON; the others can, and newlines between tokens
                    talk.say(m.cmd, b'{"dps":{"1":true,"21":"a\x7fb\xc2\x9b31mc","22":[1,\n2]}}', seq=m.seq)

        with Evil("3.5") as plug:
            plug.refuses = False
            for arguments in (["status"], ["get", "21"], ["send", "DP_QUERY_NEW", "{}"], ["get", "22"]):
                result = ctl(plug, *arguments)
                self.assertNotRegex(result.stdout + result.stderr, "[\x1b\x7f\x9b]")
                result = ctl(plug, "--json", *arguments)
                self.assertEqual(len(result.stdout.splitlines()), 1)
                self.assertNotRegex(result.stdout, "[\x1b\x7f\x9b]")
                said = json.loads(result.stdout)
                if arguments == ["status"]:
                    self.assertEqual(said["dps"]["21"], "a\x7fb\u009b31mc")
            plug.refuses = True
            result = ctl(plug, "status")
            self.assertEqual(result.returncode, 1)
            self.assertNotIn("\x1b", result.stdout + result.stderr)

    # --- trouble, each its own message and exit code

    def test_wrong_key(self):
        class OwnKey(FakePlug):  # what 3.3 devices do: an error text under their own key
            def serve(self, talk):
                talk.peer.recv(4096)
                talk.say(tp.DP_QUERY, "parse data error", seq=1, retcode=1)
                talk.peer.recv(4096)

        with OwnKey("3.3", key=b"another key here") as plug:
            result = run("tuya-ctl", "--host", "127.0.0.1", "--port", plug.port, "--id", ID, "-P", "3.3", "status",
                         env={"TUYA_LOCAL_KEY": KEY.decode()})
            self.fails(result, 4, "local key is wrong", "get the local key anew")
        for version in ("3.4", "3.5"):  # these close without a word
            with FakePlug(version, key=b"another key here") as plug:
                result = run("tuya-ctl", "--host", "127.0.0.1", "--port", plug.port, "-P", version, "status",
                             env={"TUYA_LOCAL_KEY": KEY.decode()})
                self.fails(result, 4, "closed the connection at our handshake", "local key")

    def test_refusals_show_the_text_of_the_device(self):
        class Refuses(FakePlug):
            def query(self, talk, m):
                talk.say(m.cmd, self.text, seq=m.seq, retcode=1)

        for text, words in (("devid not found", "--id"), ("data format error", "-P auto"), ("something", "something")):
            with self.subTest(text), Refuses("3.3") as plug:
                plug.text = text
                self.fails(ctl(plug, "status"), 1, text, words)

    def test_garbage_half_replies_and_echoes(self):
        class Sends(FakePlug):
            def serve(self, talk):
                talk.peer.recv(4096)
                if self.data is None:
                    talk.peer.sendall(talk.frame(tp.DP_QUERY, {"dps": self.dps}, seq=1)[:-7])
                else:
                    talk.peer.sendall(self.data)
                if self.hangs:
                    talk.peer.recv(4096)

        cases = [("garbage", b"HTTP/1.1 400 Bad Request\r\n\r\n", False, 5, "not the Tuya protocol"),
                 ("absurd length", bytes.fromhex("000055aa00000001000000 0a7fffffff".replace(" ", "")) + bytes(16),
                  False, 5, "cannot be right"),
                 ("half a reply, then silence", None, True, 6, "does not answer"),
                 ("half a reply, then closed", None, False, 3, "closed")]
        for name, data, hangs, code, words in cases:
            with self.subTest(name), Sends("3.3") as plug:
                plug.data, plug.hangs = data, hangs
                self.fails(ctl(plug, "--timeout", "0.5", "--retries", "0", "status"), code, words)

    def test_silence_is_a_timeout(self):
        class Silent(FakePlug):
            def serve(self, talk):
                while talk.peer.recv(4096):
                    pass

        for version in VERSIONS:
            with self.subTest(version), Silent(version) as plug:
                start = time.monotonic()
                result = ctl(plug, "--timeout", "0.3", "--retries", "0", "status")
                self.fails(result, 6, "not answer")
                self.assertLess(time.monotonic() - start, 20)

    def test_refused_and_busy_and_reset(self):
        with FakePlug("3.3") as plug:
            options = plug.options
            port = plug.port
        self.fails(run("tuya-ctl", *options, "-P", "3.3", "--retries", "0", "status"), 3, "refuses the connection",
                   str(port))

        class Busy(FakePlug):
            def serve(self, talk):
                pass

        for version in ("3.4", "3.5"):
            with Busy(version) as plug:
                self.fails(ctl(plug, "--retries", "0", "status"), 3, "no place for another client")

    def test_resets(self):
        class Resets(FakePlug):
            def serve(self, talk):
                talk.peer.recv(4096)
                talk.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        for version in VERSIONS:
            with self.subTest(version), Resets(version) as plug:
                self.fails(ctl(plug, "--retries", "1", "status"), 3, "reset the connection", "off and on")
                self.assertGreaterEqual(plug.connections, 2)

    def test_a_host_that_does_not_answer(self):
        # A listener whose queue is full answers no SYN, as a host that is off does
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for c in fillers:
                c.setblocking(False)
                c.connect_ex(s.getsockname())
            start = time.monotonic()
            self.fails(run("tuya-ctl", "--host", "127.0.0.1", "--port", s.getsockname()[1], "-P", "3.3", "--timeout", "1",
                           "status", env={"TUYA_LOCAL_KEY": KEY.decode()}), 3, "does not answer to a connection",
                       "tuya-ctl discover")
            self.assertLess(time.monotonic() - start, 20)
            for c in fillers:
                c.close()

    def test_unknown_hosts(self):
        self.fails(run("tuya-ctl", "--host", "no-such-host.invalid", "-P", "3.3", "--timeout", "3", "--retries", "0",
                       "status", env={"TUYA_LOCAL_KEY": KEY.decode()}), 3, "no-such-host.invalid", "address")

    def test_wrong_version(self):
        with FakePlug("3.3") as plug:  # answers a 3.4 START as 3.3 devices do
            plug.serve = lambda talk: (talk.peer.recv(4096),
                                       talk.say(tp.START, "parse data error", seq=1, retcode=1), talk.peer.recv(1))
            self.fails(ctl(plug, "--timeout", "1", "status", protocol="3.4"), 5, "protocol 3.3, not 3.4", "-P auto")
        with FakePlug("3.5") as plug:
            self.fails(ctl(plug, "--retries", "0", "status", protocol="3.3"), 5, "another protocol", "-P auto")


class BadInput(unittest.TestCase):
    """Said before anything is connected to."""

    def fails(self, code, *arguments, words=(), env=None, input=None):
        result = run("tuya-ctl", *arguments, env={"TUYA_LOCAL_KEY": "", **(env or {})}, input=input)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        self.assertEqual(result.stdout, "")
        for word in words:
            self.assertIn(word, result.stderr)
        return result

    def test_usage(self):
        host = ("--host", "127.0.0.1", "--port", "1")
        key = ("--key", KEY.decode())
        self.fails(2, words=["command"])
        self.fails(2, *host, "status", words=["--key-file", "local key"])
        self.fails(2, *key, "status", words=["--host"])
        self.fails(2, *host, *key, "fly", words=["fly", "status"])
        self.fails(2, *host, *key, "status", "now", words=["no arguments"])
        self.fails(2, *host, *key, "get", words=["DP"])
        self.fails(2, *host, *key, "set", "1", words=["DP=VALUE"])
        self.fails(2, *host, *key, "set", "1={", words=["DP=VALUE"])
        self.fails(2, *host, *key, "set", "lamp=true", words=["lamp", "mapping"])
        self.fails(2, *host, *key, "-P", "3.9", "status", words=["3.9"])
        self.fails(2, *host, *key, "--timeout", "soon", "status", words=["--timeout"])
        self.fails(2, *host, *key, "--timeout", "0", "status", words=["--timeout"])
        self.fails(2, *host, *key, "--retries", "-1", "status", words=["--retries"])
        self.fails(2, "--port", "70000", "status", words=["--port", "65535"])
        self.fails(2, "--nonsense", words=["nonsense", "--help"])

    def test_a_key_of_the_wrong_length_is_not_shown(self):
        for key in ("short-secret", "much-too-long-a-secret", "hex:00112233"):
            result = self.fails(2, "--host", "127.0.0.1", "--key", key, "status", words=["--key", "16"])
            self.assertNotIn(key, result.stderr)
            self.fails(2, "--host", "127.0.0.1", "status", env={"TUYA_LOCAL_KEY": key}, words=["TUYA_LOCAL_KEY"])
            result = self.fails(2, "--host", "127.0.0.1", "--key-file", "-", "status", input=key + "\n",
                                words=["--key-file"])
            self.assertNotIn(key, result.stderr)

    def test_help_and_version(self):
        for option in ("--help", "-h", "--version"):
            result = run("tuya-ctl", option)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("tuya-ctl", result.stdout)

    def test_device_lists(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "devices.json")
            self.fails(7, "--devices", path, "--device", "x", "status", words=[path, "wizard"])
            for text in ("", "{", "[1", '{"devices":7}', "[]"):
                with open(path, "w", encoding="utf-8") as f:
                    f.write(text)
                self.fails(7, "--devices", path, "--device", "x", "status", words=[path])
            with open(path, "w", encoding="utf-8") as f:
                json.dump([{"name": "Kettle plug", "id": ID, "key": "too short", "ip": "127.0.0.1"},
                           {"name": "Fridge", "id": "fake2", "key": KEY.decode(), "ip": ""}], f)
            self.fails(2, "--devices", path, "--device", "Oven", "status", words=["Oven"])
            result = self.fails(2, "--devices", path, "--device", "kettle", "status", words=["Kettle plug", "16"])
            self.assertNotIn("too short", result.stderr)
            self.fails(6, "--devices", path, "--device", "Fridge", "--discovery-port", "61010", "--broadcast",
                       "127.255.255.255", "--timeout", "0.2", "status", words=["no address", "--host", "discover"])


class DeviceList(unittest.TestCase):
    MAPPING = {"1": {"code": "switch_1", "type": "Boolean", "values": {}},
               "9": {"code": "countdown_1", "type": "Integer",
                     "values": {"unit": "s", "min": 0, "max": 86400, "scale": 0, "step": 1}},
               "118": {"code": "cur_power", "type": "Integer", "values": {"unit": "W", "scale": 2}},
               "21": {"code": "mode", "type": "Enum", "values": {"range": ["white", "colour"]}}}

    def setUp(self):
        self.plug = FakePlug("3.3", dps={"1": False, "9": 0, "118": 12345, "21": "white"})
        self.plug.__enter__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "devices.json")
        with open(self.path, "w", encoding="utf-8") as f:
            json.dump([{"name": "Kettle plug", "id": ID, "key": KEY.decode(), "ip": "127.0.0.1", "version": "3.3",
                        "category": "cz", "mapping": self.MAPPING}], f)

    def tearDown(self):
        self.plug.__exit__()
        self.folder.cleanup()

    def ctl(self, *arguments):
        return run("tuya-ctl", "--devices", self.path, "--device", "kettle", "--port", self.plug.port, *arguments)

    def test_names_units_and_scale_come_from_the_mapping(self):
        text = self.ctl("status").stdout
        self.assertIn("Kettle plug", text)
        self.assertIn("cur_power    123.45 W", text)
        self.assertEqual(json.loads(self.ctl("--json", "energy").stdout, parse_float=str)["watts"], "123.45")
        self.assertEqual(self.ctl("get", "cur_power").stdout, "12345\n")
        self.assertEqual(json.loads(self.ctl("--json", "status").stdout)["name"], "Kettle plug")
        self.assertEqual(self.ctl("set", "switch_1=true", "countdown_1=5").returncode, 0)
        self.assertEqual((self.plug.dps["1"], self.plug.dps["9"]), (True, 5))

    def test_values_of_the_wrong_type_are_refused_before_they_are_sent(self):
        for argument, words in (("1=7", "Boolean"), ("9=soon", "Integer"), ("21=7", "Enum"), ("9=1.5", "Integer")):
            result = self.ctl("set", argument)
            self.assertEqual(result.returncode, 2)
            self.assertIn(words, result.stderr)
        self.assertEqual(self.plug.connections, 0)

    def test_the_working_directory_has_a_device_list(self):
        result = subprocess.run([program("tuya-ctl"), "--device", "kettle", "--port", str(self.plug.port), "get", "1"],
                                cwd=self.folder.name, text=True, capture_output=True, timeout=60)
        self.assertEqual((result.returncode, result.stdout), (0, "false\n"))

    def test_debug_shows_frames_and_no_key(self):
        for version in VERSIONS:
            with FakePlug(version) as plug:
                result = ctl(plug, "--debug", "on")
                self.assertEqual(result.returncode, 0)
                self.assertIn("00006699" if version == "3.5" else "000055aa", result.stderr)
                self.assertIn('"1":true', result.stderr)
                self.assertNotIn(KEY.decode(), result.stderr)
                self.assertNotIn(KEY.hex(), result.stderr)

    def test_session_keys_go_to_the_key_log(self):
        path = os.path.join(self.folder.name, "keys")
        with FakePlug("3.5") as plug:
            ctl(plug, "status", env={"TUYAKEYLOGFILE": path})
            start = next(m for m in plug.seen if m.cmd == tp.START)
        with open(path, encoding="utf-8") as f:
            self.assertIn(f"TUYA_SESSION 3.5 {start.payload[:16].hex()} ", f.read())


if __name__ == "__main__":
    parallel.main()
