#!/usr/bin/env python3
"""A small board's way of talking: one recv(512) per expected frame, 3 s timeouts, 3.3 only.

This is our own client with the habits of the MicroPython client uTuya 1.0.0, written from the description of its
behaviour: a query is one send and one read; a control is one send and two reads, ACK and then STATUS; a heart beat has
an empty body and is answered by anything at all. It looks at the first and last bytes of what one read returned and at
the length field of the first frame, never at more. A simulator serves it only if ACK and STATUS come in this order, in
segments of their own, with a pause between them, if STATUS comes although nothing changed, and if no frame is longer
than 512 bytes.
"""

import json
import os
import socket
import struct
import sys
import time
import unittest
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "helpers"))
import tuyapeer  # noqa: E402
from sim import Sim  # noqa: E402

READ = 512
PATIENCE_S = 3.0


class SmallClient:
    def __init__(self, device, keep_alive=False):
        self.address, self.id = (device["ip"], device["port"]), device["id"]
        self.key = device["key"].encode()
        self.keep_alive, self.sock, self.seq = keep_alive, None, 0

    def frame(self, cmd, body):
        self.seq += 1  # goes on over connections
        data = tuyapeer.PREFIX_55AA + struct.pack(">III", self.seq, cmd, len(body) + 8) + body
        return data + struct.pack(">I", zlib.crc32(data)) + tuyapeer.SUFFIX_55AA

    def exchange(self, data, reads):
        """Send; then `reads` times one recv(). Fewer results than that: a read timed out."""
        if self.sock is None:
            self.sock = socket.create_connection(self.address, timeout=PATIENCE_S)
        results = []
        try:
            self.sock.sendall(data)
            for _ in range(reads):
                results.append(self.sock.recv(READ))
                if reads == 2 and len(results) == 1 and not self.is_ack(results[0]):
                    break
        except socket.timeout:
            pass
        if not self.keep_alive:
            self.close()
        return results

    def close(self):
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    @staticmethod
    def is_ack(data):
        return (len(data) >= 28 and data[:4] == tuyapeer.PREFIX_55AA and data[-4:] == tuyapeer.SUFFIX_55AA
                and data[16:20] == bytes(4))

    def decode(self, data):
        """The JSON of the first frame of one read, or None."""
        if len(data) < 16 or data[:4] != tuyapeer.PREFIX_55AA or data[-4:] != tuyapeer.SUFFIX_55AA:
            return None
        body = data[16:16 + struct.unpack_from(">I", data, 12)[0] - 8]
        if body[:2] == bytes(2):
            body = body[4:]
        if body[:3] == b"3.3":
            body = body[15:]
        if not body or len(body) % 16:
            return None
        plain = tuyapeer.ecb(self.key, body, False)
        if plain[-1] <= 16:
            plain = plain[:len(plain) - plain[-1]]
        start, end = plain.find(b"{"), plain.rfind(b"}") + 1
        return json.loads(plain[start:end]) if 0 <= start < end else None

    def ids(self):
        return f'"gwId":"{self.id}","devId":"{self.id}","uid":"{self.id}","t":"{int(time.time()) + 946684800}"'

    def query(self):
        body = tuyapeer.ecb(self.key, tuyapeer.pad(("{" + self.ids() + "}").encode()), True)
        results = self.exchange(self.frame(tuyapeer.DP_QUERY, body), 1)
        return self.decode(results[0]) if results else None

    def control(self, dp, value):
        plain = "{" + self.ids() + ',"dps":{"%s":%s}}' % (dp, value)
        body = b"3.3" + bytes(12) + tuyapeer.ecb(self.key, tuyapeer.pad(plain.encode()), True)
        results = self.exchange(self.frame(tuyapeer.CONTROL, body), 2)
        return self.decode(results[1]) if len(results) == 2 else None

    def heartbeat(self):
        return self.exchange(self.frame(tuyapeer.HEART_BEAT, b""), 1)


class SmallClientTest(unittest.TestCase):
    def converse(self, client):
        """What a user of that client does with an energy plug; every answer has to be there."""
        dps = client.query()["dps"]
        self.assertTrue({"1", "18", "19", "20"} <= set(dps), dps)
        self.assertTrue(2000 <= dps["20"] <= 2600, f"{dps['20']} is no mains voltage in 0.1 V")
        self.assertEqual(len(client.heartbeat()[0]), 28)
        for value in (False, True, False):
            self.assertIs(client.control(1, json.dumps(value))["dps"]["1"], value)
            self.assertIs(client.query()["dps"]["1"], value)
        again = client.control(1, "false")
        self.assertIsNotNone(again, "no STATUS for a value that was set already")
        self.assertIs(again["dps"]["1"], False)
        self.assertEqual(client.control(9, "120")["dps"]["9"], 120)
        self.assertEqual(client.control(9, "0")["dps"]["9"], 0)

    def test_cold_connections_get_every_answer(self):
        with Sim("-P", "3.3", "--profile", "energy-plug") as sim:
            self.converse(SmallClient(sim.devices[0]))

    def test_a_kept_connection_gets_every_answer(self):
        with Sim("-P", "3.3", "--profile", "energy-plug") as sim:
            client = SmallClient(sim.devices[0], keep_alive=True)
            try:
                self.converse(client)
            finally:
                client.close()

    def test_a_hundred_controls_in_a_row_come_as_two_segments_each(self):
        with Sim("-P", "3.3", "--profile", "energy-plug") as sim:
            client = SmallClient(sim.devices[0], keep_alive=True)
            try:
                for i in range(100):
                    on = i % 2 == 1
                    self.assertIs(client.control(1, json.dumps(on))["dps"]["1"], on, f"control {i}")
            finally:
                client.close()

    def test_an_unquoted_word_is_refused_and_the_plug_goes_on(self):
        with Sim("-P", "3.3", "--profile", "energy-plug") as sim:
            client = SmallClient(sim.devices[0])
            self.assertIsNone(client.control(38, "memory"))  # {"dps":{"38":memory}} is not JSON
            self.assertIn("1", client.query()["dps"])

    def test_no_answer_of_any_profile_is_longer_than_one_read(self):
        for profile in ("basic-plug", "energy-plug", "power-strip", "din-meter", "bulb"):
            with self.subTest(profile), Sim("-P", "3.3", "--profile", profile) as sim:
                client = SmallClient(sim.devices[0])
                self.assertIsNotNone(client.query(), "the reply did not fit into one read of 512 bytes")


if __name__ == "__main__":
    unittest.main()
