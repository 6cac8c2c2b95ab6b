#!/usr/bin/env python3
"""The test peer itself against the golden vectors: it must agree with them before it may judge anything."""

import json
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "helpers"))
import tuyapeer  # noqa: E402

VECTORS = os.path.join(HERE, "..", "vectors")


def load(name):
    with open(os.path.join(VECTORS, name), encoding="utf-8") as f:
        return json.load(f)


def unhex(text):
    return None if text is None else bytes.fromhex(text)


def plaintext(v):
    return unhex(v["plaintext_hex"]) if "plaintext_hex" in v else v["plaintext"].encode()


class VectorsTest(unittest.TestCase):
    def test_seals_what_strict_encoders_produce(self):
        n = 0
        for version in ("3.1", "3.2", "3.3", "3.4", "3.5"):
            for v in load(f"{version}.json")["vectors"]:
                if not v["encode"] or "reserved_hex" in v or v["crypt_key"] == "local" and v["session_key_hex"]:
                    continue
                header = unhex(v["header_hex"])
                frame = tuyapeer.seal(version, v["direction"], v["seq"], v["cmd"], plaintext(v),
                                      key=unhex(v["key_hex"]), session_key=unhex(v["session_key_hex"]),
                                      retcode=v["retcode"], header=header, nonce=unhex(v["nonce_hex"]))
                with self.subTest(v["id"]):
                    self.assertEqual(frame.hex(), v["frame_hex"])
                n += 1
        self.assertGreater(n, 100)

    def test_opens_what_strict_encoders_produce(self):
        n = 0
        for version in ("3.1", "3.2", "3.3", "3.4", "3.5"):
            for v in load(f"{version}.json")["vectors"]:
                if not v["encode"] or v["crypt_key"] == "local" and v["session_key_hex"]:
                    continue
                with self.subTest(v["id"]):
                    reader = tuyapeer.FrameReader()
                    reader.feed(unhex(v["frame_hex"]))
                    m = tuyapeer.unseal(version, v["direction"], reader.next(), key=unhex(v["key_hex"]),
                                        session_key=unhex(v["session_key_hex"]))
                    self.assertEqual((m.seq, m.cmd, m.retcode, m.payload),
                                     (v["seq"], v["cmd"], v["retcode"], plaintext(v)))
                n += 1
        self.assertGreater(n, 100)

    def test_derives_the_session_keys_of_the_table(self):
        for row in load("session.json")["kdf"]:
            key, client, device = (unhex(row[k]) for k in ("local_key_hex", "client_nonce_hex", "device_nonce_hex"))
            for version, member in (("3.4", "session_key_34_hex"), ("3.5", "session_key_35_hex")):
                self.assertEqual(tuyapeer.session_key_of(version, key, client, device).hex(), row[member])

    def test_refuses_a_frame_with_one_wrong_bit(self):
        for version in ("3.3", "3.4", "3.5"):
            frame = bytearray(tuyapeer.seal(version, "to_device", 1, 7, {"dps": {"1": True}}, key=b"k" * 16,
                                            session_key=b"s" * 16))
            frame[20] ^= 1
            with self.assertRaises(tuyapeer.PeerError):
                tuyapeer.unseal(version, "to_device", bytes(frame), key=b"k" * 16, session_key=b"s" * 16)


if __name__ == "__main__":
    unittest.main()
