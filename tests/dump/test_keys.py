"""Any number of keys: which belongs where is found out by trying; what does not fit is said, with what to do."""

import json
import unittest

import mangle
from dumping import DumpTest, dump, records
from mangle import KEY, Talk, expected, seen, segments

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")
WRONG = "#fake-LOCAL-key!"


def device(i, key, **more):
    return {"name": f"Plug {i}", "id": f"fake{i:016d}id", "key": key, "mac": "", **more}


class Keys(DumpTest):
    def capture(self, version, **options):
        talk = Talk(version, **options)
        return talk, mangle.save(self.path(f"{version}.pcap"), segments(talk.frames))

    def test_right_key_among_a_thousand(self):
        many = [device(i, f"{i:016d}") for i in range(1, 1000)] + [device(0, KEY.decode(), mapping={})]
        self.path("devices.json").write_text(json.dumps(many))
        for version in VERSIONS:
            talk, path = self.capture(version)
            with self.subTest(version=version):
                got = records("-r", path, "--devices", self.path("devices.json"), "--strict")
                want = expected(talk.said)
                self.assertEqual(seen(got), want)
                self.assertEqual({(r["device"], r.get("name")) for r in got}, {(mangle.DEVICE_ID, "Plug 0")})

    def test_keys_come_from_everywhere(self):
        _, path = self.capture("3.3")
        self.path("k").write_text(WRONG + "\n" + KEY.decode() + "\n")
        self.assertEqual({r["error"] for r in records("-r", path, "--key-file", self.path("k"))}, {None})
        self.assertEqual({r["error"] for r in records("-r", path, "--key", WRONG, "--key", KEY.decode())}, {None})
        self.assertEqual({r["error"] for r in records("-r", path, env={"TUYA_LOCAL_KEY": KEY.decode()})}, {None})
        self.assertEqual({r["error"] for r in records("-r", path, "--key-file", "-", input=KEY.decode())}, {None})
        self.assertEqual({r["error"] for r in records("-r", path, "--key", "hex:" + KEY.hex())}, {None})

    def test_wrong_key_in_a_file_is_wrong_usage(self):
        """As in tuya-sim and tuya-ctl; a file that cannot be read is an input that cannot be read."""
        _, path = self.capture("3.3")
        for text, words in ((KEY.decode() + "\nshort-secret\n", "line 2"), ("\n\n", "no key"), ("hex:0011", "hex:")):
            self.path("k").write_text(text)
            result = dump("-r", path, "--key-file", self.path("k"))
            with self.subTest(text=text):
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertIn("--key-file", result.stderr)
                self.assertIn(words, result.stderr)
                self.assertNotIn("short-secret", result.stderr)
        self.assertEqual(dump("-r", path, "--key-file", self.path("missing")).returncode, 7)

    def test_no_key(self):
        for version in VERSIONS:
            talk, path = self.capture(version)
            got = records("-r", path)
            with self.subTest(version=version):
                self.assertEqual([(r["cmd"], r["seq"]) for r in got], [(m.cmd, m.seq) for m in talk.said])
                closed = [r for r in got if r["error"]]
                self.assertEqual({r["error"] for r in closed}, {"no_key"})
                self.assertTrue(all("--key" in r["detail"] for r in closed))
                self.assertEqual(len(closed) > 0, True)
                self.assertTrue(all(r["payload"] is None and r["hex"] is None for r in closed))

    def test_wrong_key(self):
        for version in VERSIONS:
            _, path = self.capture(version)
            got = records("-r", path, "--key", WRONG)
            closed = [r for r in got if r["error"]]
            with self.subTest(version=version):
                self.assertEqual({r["error"] for r in closed}, {"no_key"})
                self.assertTrue(all("wrong key" in r["detail"] for r in closed), closed[0])
                result = dump("-r", path, "--key", WRONG)
                self.assertEqual(result.stdout.count("wrong key: the one given does not fit"), 1)
                self.assertNotIn(WRONG, result.stdout + result.stderr)

    def test_strict(self):
        _, path = self.capture("3.3")
        self.assertEqual(dump("-r", path, "--strict", "--key", WRONG).returncode, 8)
        self.assertEqual(dump("-r", path, "--key", WRONG).returncode, 0)
        self.assertEqual(dump("-r", path, "--strict", "--key", KEY.decode()).returncode, 0)

    def test_addresses_that_changed_do_not_matter(self):
        """Two devices swap their addresses between two connections."""
        a, b = Talk("3.3", key=KEY, rounds=1), Talk("3.3", key=WRONG.encode(), rounds=1)
        plug, other = ("192.0.2.33", 6668), ("192.0.2.34", 6668)
        packets = []
        for n, (talk, where) in enumerate(((a, plug), (b, other), (b, plug), (a, other))):
            packets += segments(talk.frames, client=("192.0.2.7", 50000 + n), device=where)
        path = mangle.save(self.path("x"), packets)
        got = records("-r", path, "--key", KEY.decode(), "--key", WRONG, "--strict")
        self.assertEqual(seen(got), expected(a.said) + 2 * expected(b.said) + expected(a.said))

    def test_address_of_a_device_of_another_version(self):
        """One address, devices of 3.2 and 3.3 one after the other: the key tells which it is, not the address."""
        a, b = Talk("3.2", key=KEY, rounds=1), Talk("3.3", key=WRONG.encode(), rounds=1)
        a.device(0x0A, "json obj data unvalid", 1, retcode=1)  # in clear: only 3.2 does that
        packets = []
        for n, talk in enumerate((a, b, a, b)):
            packets += segments(talk.frames, client=("192.0.2.7", 50000 + n), start_ns=(1700000000 + n) * 10**9)
        self.path("d.json").write_text(json.dumps([{"id": f"fake0000000000000000i{n}", "key": t.key.decode(), "version": t.version}
                                                   for n, t in enumerate((a, b))]))
        got = records("-r", mangle.save(self.path("x"), packets), "--devices", self.path("d.json"))
        versions = [{r["version"] for r in got if r["flow"] == flow and r["key"] == "local"} for flow in (1, 2, 3, 4)]
        self.assertEqual(versions, [{"3.2"}, {"3.3"}, {"3.2"}, {"3.3"}])

    def test_key_log_opens_what_lacks_its_handshake(self):
        for version in ("3.4", "3.5"):
            talk, path = self.capture(version)
            log = self.path(f"{version}.log")
            self.assertEqual(len(records("-r", path, "--key", KEY.decode(), "--write-key-log", log)), len(talk.said))
            words = [line.split() for line in log.read_text().splitlines() if not line.startswith("#")]
            with self.subTest(version=version):
                self.assertEqual([w[:4] for w in words],
                                 [["TUYA_SESSION", version, talk.client_nonce.hex(), talk.session_key.hex()]])
                late = mangle.save(self.path("late"), segments(talk.frames)[6:])
                self.assertEqual(seen(records("-r", late, "--key-log", log, "--strict")), expected(talk.said[3:]))
                whole = records("-r", path, "--key-log", log)
                self.assertEqual([r["error"] for r in whole], ["no_key"] * 3 + [None] * (len(talk.said) - 3))
                self.assertNotIn(KEY.decode(), log.read_text())

    def test_key_log_and_local_key_make_up_for_a_lost_start(self):
        for version in ("3.4", "3.5"):
            talk, path = self.capture(version)
            log = self.path(f"{version}.log")
            records("-r", path, "--key", KEY.decode(), "--write-key-log", log)
            late = mangle.save(self.path("late"), mangle.lose(segments(talk.frames), 0))
            got = records("-r", late, "--key", KEY.decode())
            with self.subTest(version=version):
                self.assertEqual({r["error"] for r in got if r["cmd"] not in (None, 4, 5)}, {"no_session"})
                got = records("-r", late, "--key", KEY.decode(), "--key-log", log)
                self.assertEqual({r["error"] for r in got if r["cmd"] is not None}, {None})

    def test_historic_client_nonce_makes_up_for_a_lost_start(self):
        import tuyapeer
        talk = Talk("3.4", handshake=False, rounds=0)
        talk.client_nonce, talk.device_nonce = b"0123456789abcdef", b"00000000fac0de00"
        talk.client(0x03, talk.client_nonce)
        talk.device(0x04, talk.device_nonce + tuyapeer.proof(KEY, talk.client_nonce), 0)
        talk.session_key = tuyapeer.session_key_of("3.4", KEY, talk.client_nonce, talk.device_nonce)
        talk.client(0x10, {})
        path = mangle.save(self.path("x"), segments(talk.frames)[4:])
        self.assertEqual(seen(records("-r", path, "--key", KEY.decode(), "--strict")), expected(talk.said[1:]))

    def test_renegotiation_on_the_same_connection(self):
        for version in ("3.4", "3.5"):
            talk = Talk(version, rounds=1)
            talk._negotiate()
            talk.client(0x10, {"again": 1})
            path = mangle.save(self.path("x"), segments(talk.frames))
            with self.subTest(version=version):
                self.assertEqual(seen(records("-r", path, "--key", KEY.decode(), "--strict")), expected(talk.said))

    def test_renegotiation_of_a_session_that_began_before_the_capture(self):
        """However many messages stayed closed before it, a handshake is tried with all keys."""
        for version in ("3.4", "3.5"):
            talk = Talk(version, rounds=3)
            before = len(talk.said)
            talk._negotiate()
            talk.client(0x10, {"again": 1})
            path = mangle.save(self.path("x"), segments(talk.frames)[6:])
            got = records("-r", path, "--key", WRONG, "--key", KEY.decode())
            with self.subTest(version=version):
                self.assertEqual({r["error"] for r in got[:before - 3]}, {"no_session"})
                self.assertEqual(seen(got[before - 3:]), expected(talk.said[before:]))

    def test_key_log_opens_every_session_of_a_connection(self):
        for version in ("3.4", "3.5"):
            talk = Talk(version, rounds=2)
            lines = [f"TUYA_SESSION {version} {talk.client_nonce.hex()} {talk.session_key.hex()}"]
            before = len(talk.said)
            talk._negotiate()
            talk.client(0x10, {"again": 1})
            path = mangle.save(self.path("x"), segments(talk.frames))
            self.path("log").write_text(lines[0] + "\n")
            got = [r for r in records("-r", path, "--key-log", self.path("log")) if r["cmd"] is not None]
            with self.subTest(version=version):
                self.assertEqual([r["error"] for r in got], ["no_key"] * 3 + [None] * (before - 3) + ["no_key"] * 4)
                self.assertIn("there is no key", got[-1]["detail"])
            lines.append(f"TUYA_SESSION {version} {talk.client_nonce.hex()} {talk.session_key.hex()}")
            self.path("log").write_text("\n".join(lines) + "\n")
            got = seen(records("-r", path, "--key-log", self.path("log")))
            with self.subTest(version=version):
                self.assertEqual(got[-1:], expected(talk.said[-1:]))

    def test_key_that_fits_by_chance_is_not_believed(self):
        """Under this key the first message ends in padding of one byte and begins with a brace: nothing but chance."""
        talk = Talk("3.3", rounds=1)
        path = mangle.save(self.path("x"), segments(talk.frames))
        chance = "fake-key-0000947"
        got = records("-r", path, "--key", chance)
        self.assertEqual({r["error"] for r in got if r["error"]}, {"no_key"})
        self.assertEqual(got[0]["error"], "no_key")
        got = records("-r", path, "--key", chance, "--key", KEY.decode(), "--strict")
        self.assertEqual(seen(got), expected(talk.said))

    def test_damage_is_told_from_a_wrong_key(self):
        for version in VERSIONS:
            talk = Talk(version)
            frames = talk.frames
            hurt = 5
            bad = bytearray(frames[hurt][1])
            bad[-5] ^= 1  # the last byte of the check value
            frames[hurt] = (frames[hurt][0], bytes(bad))
            got = records("-r", mangle.save(self.path("x"), segments(frames)), "--key", KEY.decode())
            with self.subTest(version=version):
                self.assertEqual([(r["error"], r["integrity"]) for r in got if r["error"]], [("bad_integrity", "bad")])
                self.assertEqual(got[hurt]["error"], "bad_integrity")
                self.assertIn("CRC" if version < "3.4" else "although the key fits", got[hurt]["detail"])
                self.assertIn("damaged", got[hurt]["detail"])


class Discovery(DumpTest):
    def test_announcement_tells_the_version_of_clear_messages(self):
        import tuyapeer
        talk = Talk("3.2")
        body = json.dumps({"ip": "192.0.2.33", "gwId": mangle.DEVICE_ID, "version": "3.2"}).encode()
        data = tuyapeer.PREFIX_55AA + bytes(8) + (4 * 3 + len(body)).to_bytes(4, "big") + bytes(4) + body
        import zlib
        data += zlib.crc32(data).to_bytes(4, "big") + tuyapeer.SUFFIX_55AA
        packets = [mangle.Datagram(("192.0.2.33", 49154), ("255.255.255.255", 6666), data, 1699999999 * 10**9)]
        path = mangle.save(self.path("x"), packets + segments(talk.frames))
        got = records("-r", path, "--key", KEY.decode(), "--strict")
        self.assertEqual({r["version"] for r in got}, {"3.2"})
        self.assertEqual({r["device"] for r in got}, {mangle.DEVICE_ID})
        self.assertEqual(got[0]["dir"], "broadcast")
        without = records("-r", mangle.save(self.path("y"), segments(talk.frames)), "--key", KEY.decode())
        self.assertIn("3.1", {r["version"] for r in without})


if __name__ == "__main__":
    unittest.main()
