"""tuya-ctl watch: every push once, also over lost connections, until it is told to end."""

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import parallel
import tuyapeer as tp
from fakeplug import FakePlug
from sim import PATIENCE_S, Sim, program

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")
CONTROLS = 1000
FAKE_ID = "fake0000000000000000id"


class Watch:
    """A running `tuya-ctl watch --json`; events can be waited for."""

    def __init__(self, port, device_id, key, version, *options):
        self.process = subprocess.Popen(
            [program("tuya-ctl"), "--host", "127.0.0.1", "--port", str(port), "--id", device_id, "-P", version, "--json",
             "--discovery-port", "61020", "--broadcast", "127.255.255.255", *options, "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "TUYA_LOCAL_KEY": key})
        self.events, self.queue = [], queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.queue.put(json.loads(line))
        self.queue.put(None)

    def wait_for(self, test, patience=PATIENCE_S):
        end = time.monotonic() + patience
        while True:
            event = self.queue.get(timeout=max(0.01, end - time.monotonic()))
            if event is None:
                raise AssertionError(f"watch ended: {self.process.stderr.read()}; {self.events[-5:]}")
            self.events.append(event)
            if test(event):
                return event

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        status = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()


def watch_sim(sim, version, *options):
    return Watch(sim.port, sim.id, sim.key, version, *options)


class Watches(unittest.TestCase):
    def follow(self, version, controls):
        """Two watches see every one of many controls, in order, once."""
        with Sim("-P", version, "--discovery", "off", "--status-delay", 1, "--max-clients", 4) as sim, \
                watch_sim(sim, version) as a, watch_sim(sim, version) as b, sim.client() as c:
            for w in (a, b):
                w.wait_for(lambda e: e["event"] == "state")
            for n in range(controls):
                _, push = c.set({"9": 10000 + n})
                while push.cmd != tp.STATUS or push.dps.get("9") != 10000 + n:
                    push = c.receive()  # what the watches had asked for goes to everybody
            for w in (a, b):
                w.wait_for(lambda e: e["dps"].get("9") == 10000 + controls - 1 if "dps" in e else False)
                seen = [e["dps"]["9"] for e in w.events if e["event"] == "status" and e["dps"].get("9", 0) >= 10000]
                self.assertEqual(seen, list(range(10000, 10000 + controls)), w.events[:5])
                self.assertEqual(w.stop(), 0)

    def test_two_watches_follow_a_thousand_controls_3_1(self):
        self.follow("3.1", CONTROLS)

    def test_two_watches_follow_a_thousand_controls_3_2(self):
        self.follow("3.2", CONTROLS)

    def test_two_watches_follow_a_thousand_controls_3_3(self):
        self.follow("3.3", CONTROLS)

    def test_two_watches_follow_a_thousand_controls_3_4(self):
        self.follow("3.4", CONTROLS)

    def test_two_watches_follow_a_thousand_controls_3_5(self):
        self.follow("3.5", CONTROLS)

    def test_the_button_is_seen(self):
        for version in VERSIONS:
            with self.subTest(version), Sim("-P", version, "--discovery", "off", control=True) as sim, \
                    watch_sim(sim, version) as w:
                state = w.wait_for(lambda e: e["event"] == "state")
                pressed = not state["dps"]["1"]
                sim.request("PATCH", f"/devices/{sim.id}/dps", {"1": pressed})
                event = w.wait_for(lambda e: e["event"] == "status" and "1" in e["dps"])
                self.assertIs(event["dps"]["1"], pressed)
                self.assertEqual(event["device"], sim.id)
                self.assertAlmostEqual(event["time"], time.time(), delta=60)

    def test_a_lost_connection_is_made_again_and_nothing_is_lost(self):
        for version in VERSIONS:
            with self.subTest(version), FakePlug(version) as plug:
                plug.talks = []
                serve = plug.serve
                plug.serve = lambda talk: (plug.talks.append(talk), serve(talk))
                with Watch(plug.port, "fake0000000000000000id", plug.key.decode(), version) as w:
                    w.wait_for(lambda e: e["event"] == "state")
                    plug.talks[0].push({"1": True})
                    w.wait_for(lambda e: e["event"] == "status" and e["dps"] == {"1": True})
                    plug.dps["9"] = 4711  # while nobody is connected
                    plug.talks[0].peer.shutdown(2)
                    w.wait_for(lambda e: e["event"] == "disconnected")
                    state = w.wait_for(lambda e: e["event"] == "state")
                    self.assertEqual(state["dps"]["9"], 4711)
                    plug.talks[-1].push({"1": False})
                    w.wait_for(lambda e: e["event"] == "status" and e["dps"] == {"1": False})
                    self.assertEqual(w.stop(signal.SIGINT), 0)

    def test_a_device_that_takes_connections_but_has_no_place_is_not_hammered(self):
        class Plug(FakePlug):
            is_busy = False

            def query(self, talk, m):
                if self.is_busy:
                    talk.peer.shutdown(2)
                else:
                    super().query(talk, m)
                    self.is_busy = True
                    talk.peer.shutdown(2)

        with Plug("3.3") as plug, Watch(plug.port, FAKE_ID, plug.key.decode(), "3.3") as w:
            pauses = []
            for _ in range(3):
                lost = w.wait_for(lambda e: e["event"] == "disconnected")
                pauses.append(w.wait_for(lambda e: e["event"] == "connected")["time"] - lost["time"])
            self.assertGreater(pauses[1], 1.5, pauses)
            self.assertGreater(pauses[2], 3, pauses)

    def test_it_ends_when_told_to_whatever_it_waits_for(self):
        class Silent(FakePlug):
            def serve(self, talk):
                asked.set()
                while talk.peer.recv(4096):
                    pass

        for version in ("3.3", "3.5"):
            asked = threading.Event()
            with self.subTest(version), Silent("3.5") as plug, \
                    Watch(plug.port, FAKE_ID, plug.key.decode(), version, "--timeout", "600") as w:
                self.assertTrue(asked.wait(PATIENCE_S))
                self.assertEqual(w.stop(signal.SIGINT), 0)

    def test_a_device_that_is_not_there_yet_is_waited_for(self):
        with FakePlug("3.3") as plug:
            port = plug.port
        with Watch(port, "fake0000000000000000id", "0123456789abcdef", "3.3", "--retries", "0") as w:
            w.wait_for(lambda e: e["event"] == "disconnected")
            start = time.monotonic()
            w.wait_for(lambda e: e["event"] == "disconnected")
            w.wait_for(lambda e: e["event"] == "disconnected")
            self.assertGreater(time.monotonic() - start, 2.5)  # 1 s, then 2 s
            self.assertEqual(w.stop(), 0)

    def test_a_device_that_moves_is_found_again(self):
        base = parallel.udp_ports()
        first = Sim("-P", "3.4", "--discovery", "off")
        with first:
            with Watch(first.port, first.id, first.key, "3.4", "--retries", "0", "--discovery-port", str(base)) as w:
                w.wait_for(lambda e: e["event"] == "state")
                port, device_id = first.port, first.id
                first.stop()
                with Sim("-P", "3.4", "--id", device_id, "--listen", "127.0.0.2", "--discovery", "127.0.0.1",
                         "--discovery-port", base, port=port) as second:
                    w.wait_for(lambda e: e["event"] == "moved")
                    w.wait_for(lambda e: e["event"] == "state")
                    with second.client() as c:
                        c.set({"9": 4711})
                    w.wait_for(lambda e: e["event"] == "status" and e["dps"].get("9") == 4711)
                    self.assertEqual(w.stop(), 0)

    def test_people_are_told_where_it_has_moved(self):
        base = parallel.udp_ports()
        with Sim("-P", "3.3", "--discovery", "127.0.0.1", "--discovery-port", base) as sim:
            words = ["--host", "127.0.0.3", "--port", sim.port, "--id", sim.id, "-P", "3.3", "--retries", "0",
                     "--discovery-port", base, "watch"]
            with subprocess.Popen([program("tuya-ctl"), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True, env={**os.environ, "TUYA_LOCAL_KEY": sim.key}) as process:
                try:
                    said = next(line for line in process.stderr if "127.0.0.1" in line)
                    self.assertEqual(said, "tuya-ctl: the device announces itself at 127.0.0.1 now\n")
                    self.assertIn("switch_1", process.stdout.readline())
                finally:
                    process.kill()

    def test_a_wrong_key_is_not_tried_for_ever(self):
        for version in ("3.3", "3.4", "3.5"):
            with self.subTest(version), Sim("-P", version, "--discovery", "off") as sim, \
                    Watch(sim.port, sim.id, "#fake-LOCAL-key!", version) as w:
                self.assertEqual(w.process.wait(PATIENCE_S), 4)

    def test_heart_beats_keep_the_connection(self):
        with Sim("-P", "3.5", "--discovery", "off", "--idle-timeout", 12, journal=True) as sim, \
                watch_sim(sim, "3.5") as w:
            w.wait_for(lambda e: e["event"] == "state")
            start = time.monotonic()
            sim.wait_for_journal(lambda records: any(r["cmd"] == tp.HEART_BEAT and r["dir"] == "from_device"
                                                     for r in records))
            self.assertGreater(time.monotonic() - start, 8)
            time.sleep(max(0, start + 13 - time.monotonic()))  # without the heart beat it would be closed by now
            with sim.client() as c:
                c.set({"9": 4711})
            w.wait_for(lambda e: e["event"] == "status" and e["dps"].get("9") == 4711)
            self.assertEqual(w.stop(), 0)
            self.assertEqual([e for e in w.events if e["event"] == "disconnected"], [])

    def test_only_the_child_that_was_asked_for_is_shown(self):
        class Gateway(FakePlug):
            def query(self, talk, m):
                talk.say(m.cmd, {"cid": "0000000000000001", "dps": self.dps})
                for cid in ("0000000000000002", "0000000000000001"):
                    talk.say(tp.STATUS, {"protocol": 4, "t": 1, "data": {"cid": cid, "dps": {"1": cid[-1] == "1"}}},
                             header=b"3.4" + bytes(12))

        with Gateway("3.4") as plug, Watch(plug.port, "fake0000000000000000id", plug.key.decode(), "3.4", "--cid",
                                           "0000000000000001") as w:
            event = w.wait_for(lambda e: e["event"] == "status")
            self.assertEqual((event["cid"], event["dps"]), ("0000000000000001", {"1": True}))

    def test_a_gateway_is_listened_to_although_it_cannot_be_asked(self):
        """What it pushes is said of whom it is, and not lost over looking for another version."""
        class Gateway(FakePlug):
            def query(self, talk, m):
                talk.say(m.cmd, b"json obj data unvalid", retcode=1)
            control = query

            def answer(self, talk, m):
                super().answer(talk, m)
                if m.cmd == tp.HEART_BEAT:
                    for cid, dps in (("0010", {"19": 605}), ("0011", {"19": 605}), (FAKE_ID, {"19": 605})):
                        talk.say(tp.STATUS, {"protocol": 4, "t": 1, "data": {"cid": cid, "dps": dps}}, header=b"3.4" + bytes(12))

        power = {"19": {"code": "cur_power", "type": "Integer", "values": {"unit": "W", "scale": 1}}}
        with Gateway("3.4") as plug, tempfile.TemporaryDirectory() as folder:
            devices = os.path.join(folder, "devices.json")
            with open(devices, "w", encoding="utf-8") as f:
                json.dump([{"id": FAKE_ID, "key": plug.key.decode(), "name": "Gateway", "version": "3.4"},
                           {"id": "s1", "sub": True, "node_id": "0010", "parent": FAKE_ID, "name": "Kettle", "mapping": power}], f)
            text = subprocess.Popen([program("tuya-ctl"), "--host", "127.0.0.1", "--port", str(plug.port), "--devices", devices,
                                     "--device", "Gateway", "watch"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            with text, Watch(plug.port, FAKE_ID, plug.key.decode(), "3.4", "--devices", devices) as w:
                w.wait_for(lambda e: e["event"] == "refused")
                w.wait_for(lambda e: e["event"] == "status" and e.get("cid") == "0011")
                self.assertEqual(w.stop(), 0)
                lines = [text.stdout.readline().split(" ", 1)[1] for _ in range(3)]
                text.terminate()
            self.assertEqual([e["event"] for e in w.events], ["connected", "refused", "status", "status"])
            self.assertEqual([(e.get("cid"), e.get("name")) for e in w.events[2:]], [("0010", "Kettle"), ("0011", None)])
            self.assertEqual(lines, ["Kettle: 19 cur_power = 60.5 W\n", "cid 0011: 19 = 605\n", "19 = 605\n"])


if __name__ == "__main__":
    parallel.main()
