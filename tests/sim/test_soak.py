"""Hostile traffic of every kind at once, for SOAK_S seconds (default 4): mangled frames of real conversations, floods, drips,
resets, half-open handshakes, faults going on and off, the control API, journal, capture and state being written. In the end
the good client is served, nothing leaked, and under a sanitizer nothing was found (the exit status says so).

    SOAK_S=3600 meson test --suite sim soak        an hour of it"""

import os
import random
import socket
import struct
import threading
import time
import unittest

import tuyapeer
from sim import PATIENCE_S, Sim, run
from tuyapeer import CONTROL, CONTROL_NEW, DP_QUERY, DP_QUERY_NEW, HEART_BEAT, LAN_EXT_STREAM, START, UPDATEDPS

SECONDS = float(os.environ.get("SOAK_S", "4"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
COMMANDS = (START, 4, 5, CONTROL, 8, HEART_BEAT, DP_QUERY, CONTROL_NEW, DP_QUERY_NEW, UPDATEDPS, LAN_EXT_STREAM, 0x30)
BODIES = (b"", b"{}", b"{", b'{"dps":{"1":true}}', b'{"data":{"dps":{"1":false,"9":4294967296,"42":"\\ud83d\\ude00"}}}',
          b'{"cid":"0000000000000001","dps":{"1":null}}', b'{"dpId":[18,19,20,99,-1,"x"]}', b"\x00" * 48, b"[" * 200,
          b'{"reqType":"subdev_online_stat_query","data":{"cids":[]}}', b'{"t":1e999,"dps":{"9":1.5}}')
GOOD_ERRORS = (tuyapeer.PeerError, OSError)
# Where faults strike, the peer meets frames that it was not written for.
ANY_ERRORS = GOOD_ERRORS + (AssertionError, TypeError, ValueError, IndexError)


def mangle(dice, data):
    data = bytearray(data)
    for _ in range(dice.choice((0, 0, 1, 1, 3, 20))):
        if not data:
            break
        at = dice.randrange(len(data))
        kind = dice.randrange(4)
        if kind == 0:
            data[at] = dice.randrange(256)
        elif kind == 1:
            del data[at:at + dice.randrange(1, 9)]
        elif kind == 2:
            data[at:at] = bytes(dice.randrange(256) for _ in range(dice.randrange(1, 9)))
        else:
            data[at:at + 4] = struct.pack(">I", dice.choice((0, 1, 27, 28, 0x7FFFFFFF, 0xFFFFFFFF, 0x55AA, 0x6699)))
    return bytes(data)


def hostile(sim, dice, stop):
    while not stop.is_set():
        d = dice.choice(sim.devices)
        c = sim.client(d, timeout=1.0)
        try:
            c.connect(negotiate=dice.random() < 0.6)
            for _ in range(dice.randrange(1, 12)):
                cmd, body = dice.choice(COMMANDS), dice.choice(BODIES)
                key = c.session_key or c.key
                frame = tuyapeer.seal(d["version"], "to_device", c.seq + dice.choice((1, 1, 1, 0, 1000)), cmd, body,
                                      key=c.key, session_key=key, header=dice.choice(("auto", "auto", None)))
                c.seq += 1
                data = mangle(dice, frame * dice.choice((1, 1, 2, 30)))
                for i in range(0, len(data), step := dice.choice((len(data) or 1, 1, 7, 100))):
                    c.send_bytes(data[i:i + step])
                    if step == 1 and i > 60:
                        break
            if dice.random() < 0.3:
                c.sock.settimeout(0.05)
                c.sock.recv(65536)
        except ANY_ERRORS:
            pass
        if c.sock and dice.random() < 0.3:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()


def operator(sim, dice, stop):
    """Faults on and off, buttons, loads."""
    _, table = sim.request("GET", "/faults")
    names = [line.split()[1] for line in run("tuya-sim", "--list-faults").stdout.splitlines()
             if len(line.split()) > 4 and (line[:1] == "Q" or line[:8] == " " * 8)]
    names = [n for n in names if n not in ("rekey", "ip_change")] + ["slice", "corrupt", "junk", "reset", "latency"]
    while not stop.is_set():
        d = dice.choice(sim.devices)
        try:
            sim.request("POST", f"/devices/{d['id']}/faults", {"fault": dice.choice(names), "count": 3})
            sim.request("PATCH", f"/devices/{d['id']}/dps", {"1": dice.random() < 0.5})
            sim.request("PUT", f"/devices/{d['id']}/load", {"watts": dice.randrange(3000)})
            sim.request("GET", "/journal?limit=3")
            if dice.random() < 0.5:
                sim.request("DELETE", f"/devices/{d['id']}/faults")
        except OSError:
            pass
        time.sleep(0.01)


class Soak(unittest.TestCase):
    def test_it_lives_and_serves(self):
        folder_files = ("state.json", "capture.pcapng")
        sim = Sim("--count", 10, "-P", "3.1:1,3.2:1,3.3:1,3.4:1,3.5:1", "--max-clients", 0, "--seed", SEED, control=True,
                  journal=True)
        for option, name in zip(("--state", "--write"), folder_files):
            sim.options += [option, os.path.join(sim.folder, name)]
        with sim:
            stop = threading.Event()
            threads = [threading.Thread(target=hostile, args=(sim, random.Random(SEED * 1000 + i), stop)) for i in range(6)]
            threads.append(threading.Thread(target=operator, args=(sim, random.Random(SEED), stop)))
            for t in threads:
                t.start()
            end = time.monotonic() + SECONDS
            while time.monotonic() < end and sim.process.poll() is None:
                time.sleep(0.05)
            stop.set()
            for t in threads:
                t.join()
            self.assertIsNone(sim.process.poll(), "it died")
            sim.request("DELETE", "/faults")
            for d in sim.devices:
                until = time.monotonic() + PATIENCE_S
                while True:
                    try:
                        with sim.client(d) as c:
                            self.assertEqual(c.heartbeat().retcode, 0)
                            self.assertEqual(c.set({"9": 77})[1].cmd, 8)
                        break
                    except GOOD_ERRORS:  # it may still be rebooting
                        self.assertLess(time.monotonic(), until)
                        time.sleep(0.05)
            sim.stop()
            self.assertNotIn("ERROR", sim.output())
            self.assertNotIn("runtime error", sim.output())
            self.assertGreater(len(sim.journal()), 100)


if __name__ == "__main__":
    unittest.main()
