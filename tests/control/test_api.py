"""The control API does what it says: what a test tells the plug, its clients see."""

import http.client
import json
import os
import socket
import tempfile
import threading
import unittest

from sim import Sim

TOKEN = "a-token-for-this-test"


def call(sim, method, path, body=None, headers=None, port=None):
    host, _, at = sim.ready["control"].rpartition(":")
    c = http.client.HTTPConnection(host, int(port or at), timeout=60)
    data = json.dumps(body) if isinstance(body, (dict, list)) else body
    c.request(method, path, data, headers or {})
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    kind = r.getheader("Content-Type") or ""
    return r.status, json.loads(text) if "json" in kind and text else text


class Events:
    """Server-sent events of a simulator, read by a thread into a list."""

    def __init__(self, sim):
        host, _, port = sim.ready["control"].rpartition(":")
        self.connection = http.client.HTTPConnection(host, int(port), timeout=60)
        self.connection.request("GET", "/events")
        self.response = self.connection.getresponse()
        self.events, self.changed, self.ended = [], threading.Condition(), False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        self.wait(lambda e: e[0] == "hello")

    def _read(self):
        name = data = None
        try:
            for raw in self.response:
                line = raw.decode().rstrip("\n")
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    data = json.loads(line[6:])
                elif line == "" and name:
                    with self.changed:
                        self.events.append((name, data))
                        self.changed.notify_all()
                    name = None
        except (OSError, http.client.HTTPException, ValueError):
            pass
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def close(self):
        self.connection.close()
        self.response.close()

    def wait(self, matches):
        with self.changed:
            found = lambda: next((e for e in self.events if matches(e)), None)
            assert self.changed.wait_for(lambda: found() or self.ended, 60) and found(), f"only saw {self.events}"
            return found()


class ControlApi(unittest.TestCase):
    def test_a_patch_is_the_button_on_the_plug_and_clients_get_a_push(self):
        with Sim("-P", "3.5", control=True) as sim, sim.client() as client:
            self.assertTrue(client.status()["1"])
            status, answer = call(sim, "PATCH", f"/devices/{sim.id}/dps", {"1": False})
            self.assertEqual((status, answer["outcomes"], answer["dps"]["1"]), (200, {"1": "applied"}, False))
            self.assertEqual(client.receive_push().dps["1"], False)
            self.assertEqual(call(sim, "GET", f"/devices/{sim.id}/dps")[1]["dps"]["1"], False)

    def test_a_patch_that_cannot_be_done_says_which_and_why(self):
        with Sim(control=True) as sim:
            status, answer = call(sim, "PATCH", f"/devices/{sim.id}/dps", {"1": "maybe"})
            self.assertEqual((status, answer["outcomes"]["1"]), (422, "wrong_type"), answer)
            status, answer = call(sim, "PATCH", f"/devices/{sim.id}/dps", {"200": 1})
            self.assertEqual((status, answer["error"]["code"]), (422, "unknown_dp"))
            self.assertEqual(call(sim, "PATCH", f"/devices/{sim.id}/dps", "{")[1]["error"]["code"], "bad_json")
            self.assertEqual(call(sim, "PATCH", f"/devices/{sim.id}/dps", {})[1]["error"]["code"], "no_dps")
            status, answer = call(sim, "PATCH", f"/devices/{sim.id}/dps", {"1": False, "switch_1": False})
            self.assertEqual((status, answer["error"]["code"]), (422, "unknown_dp"))
            self.assertIs(call(sim, "GET", f"/devices/{sim.id}/dps")[1]["dps"]["1"], True, "nothing is done by half")

    def test_a_load_shows_in_what_a_client_measures(self):
        with Sim("-P", "3.4", "--clock", "virtual", "--idle-timeout", "0", control=True) as sim, sim.client() as client:
            self.assertEqual(call(sim, "PUT", f"/devices/{sim.id}/load", {"scene": "steady"})[0], 200)
            status, load = call(sim, "PUT", f"/devices/{sim.id}/load", {"watts": 60.0, "pf": 0.5})
            self.assertEqual((status, load["appliance"], load["watts"], load["pf"]), (200, "constant", 60, 0.5))
            call(sim, "POST", "/clock/advance", {"ms": 120000})
            dps = client.status()
            watts, volts, amperes = dps["19"] / 10, dps["20"] / 10, dps["18"] / 1000
            self.assertAlmostEqual(watts, 60.0, delta=0.5)
            self.assertAlmostEqual(watts, volts * amperes * 0.5, delta=0.5)
            self.assertEqual(call(sim, "PUT", f"/devices/{sim.id}/load", {"appliance": "teleporter"})[0], 422)
            self.assertEqual(call(sim, "PUT", f"/devices/{sim.id}/load", {"watts": -1})[0], 422)
            self.assertEqual(call(sim, "PUT", f"/devices/{sim.id}/load", {"watts": 60, "pf": 2})[0], 422)

    def test_the_answer_to_a_load_is_about_its_outlet(self):
        with Sim("--profile", "power-strip", control=True) as sim:
            status, load = call(sim, "PUT", f"/devices/{sim.id}/load", {"appliance": "kettle", "relay": 2})
            self.assertEqual((status, load["appliance"]), (200, "kettle"))
            self.assertEqual(call(sim, "GET", f"/devices/{sim.id}/load")[1]["appliance"], "none")

    def test_numbers_that_are_none_or_too_many_are_refused(self):
        with Sim(control=True) as sim:
            device = f"/devices/{sim.id}"
            for method, path, body in (("POST", device + "/press", {"relay": -1}), ("POST", device + "/press", {"relay": "1"}),
                                       ("POST", device + "/reboot", {"down_ms": 0.5}),
                                       ("PUT", device + "/load", {"watts": 1, "relay": 1e10}),
                                       ("PUT", device + "/load", {"watts": 1, "delay_s": None}),
                                       ("GET", device + "/load?relay=x", None), ("GET", "/devices?limit=-1", None),
                                       ("GET", "/devices?offset=one", None), ("GET", "/journal?since=1x", None),
                                       ("GET", "/journal?limit=-1", None), ("DELETE", "/faults?number=x", None),
                                       ("POST", "/verify", {"count": -1}), ("POST", "/verify", {"count": {"max": "1"}}),
                                       ("POST", "/verify", {"dps": {str(i): True for i in range(256)}}),
                                       ("POST", "/verify", {"since": -1}), ("POST", "/verify", {"cmd": True})):
                with self.subTest(path=path, body=body):
                    status, answer = call(sim, method, path, body)
                    self.assertEqual(status, 400, answer)
                    self.assertIn(answer["error"]["code"], ("bad_request", "unknown_command"))

    def test_a_virtual_clock_moves_only_when_told(self):
        with Sim("--clock", "virtual", "--idle-timeout", "0", control=True) as sim, sim.client() as client:
            client.set({"9": 60})
            self.assertEqual(client.status()["9"], 60)
            self.assertEqual(call(sim, "POST", "/clock/advance", {"ms": 59000})[1]["now_ms"], 59000)
            self.assertEqual((client.status()["9"], client.status()["1"]), (1, True))
            call(sim, "POST", "/clock/advance", {"ms": 1000})
            dps = client.status()
            self.assertEqual((dps["9"], dps["1"]), (0, False), "a countdown toggles the relay at its end")
        with Sim(control=True) as sim:
            self.assertEqual(call(sim, "POST", "/clock/advance", {"ms": 1})[1]["error"]["code"], "real_clock")

    def test_verify_finds_what_was_sent_and_tells_near_misses(self):
        with Sim(control=True) as sim, sim.client() as client:
            client.set({"1": False})
            client.set({"9": 30})
            expected = {"device": sim.id, "cmd": "CONTROL", "dps": {"1": False}, "count": {"min": 1, "max": 1}}
            self.assertEqual(call(sim, "POST", "/verify", expected), (200, {"count": 1}))
            status, answer = call(sim, "POST", "/verify", {**expected, "dps": {"1": True}})
            self.assertEqual((status, answer["count"], answer["error"]["code"]), (409, 0, "mismatch"))
            self.assertIn("dps.1 is false, expected true", [w for m in answer["near_misses"] for w in m["why"]])
            self.assertEqual(answer["near_misses"][0]["entry"]["cmd_name"], "CONTROL")
            self.assertEqual(call(sim, "POST", "/verify", {"cmd": 7, "count": {"max": 1}})[0], 409)
            self.assertEqual(call(sim, "POST", "/verify", {"cmd": 7, "count": 2})[0], 200)
            for count, words in ((3, "exactly 3"), (1, "exactly 1"), ({"min": 3}, "at least 3"), ({"max": 1}, "at most 1")):
                status, answer = call(sim, "POST", "/verify", {"cmd": 7, "count": count})
                self.assertEqual((status, answer["error"]["message"]), (409, f"2 messages match, expected {words}"))
            self.assertEqual(call(sim, "POST", "/verify", {"cmd": 7, "count": "2"})[0], 400)
            self.assertEqual(call(sim, "POST", "/verify", {"cmd": "SHOUT"})[0], 400)
            self.assertEqual(call(sim, "POST", "/verify", {"device": "nobody"})[0], 404)

    def test_the_journal_is_filtered_and_can_be_followed(self):
        with Sim(control=True) as sim, sim.client() as client:
            client.status()
            client.set({"1": False})
            everything = call(sim, "GET", "/journal")[1]
            controls = call(sim, "GET", "/journal?cmd=CONTROL&device=" + sim.id)[1]["entries"]
            self.assertEqual([e["dir"] for e in controls], ["to_device", "from_device"])
            self.assertEqual(controls[0]["payload"]["dps"], {"1": False})
            self.assertEqual(call(sim, "GET", f"/journal?since={everything['last']}")[1]["entries"], [])
            first = call(sim, "GET", "/journal?limit=1")[1]
            self.assertEqual((len(first["entries"]), first["more"], first["last"]),
                             (1, True, first["entries"][0]["number"]))
            self.assertEqual(call(sim, "DELETE", "/journal")[0], 200)
            self.assertEqual(call(sim, "GET", "/journal")[1]["entries"], [])

    def test_faults_are_switched_on_and_off_at_run_time(self):
        with Sim(control=True) as sim, sim.client() as client:
            status, answer = call(sim, "POST", f"/devices/{sim.id}/faults",
                                  {"fault": "no_status", "count": 1, "cmd": "CONTROL"})
            self.assertEqual((status, answer["faults"][0]["fault"], answer["faults"][0]["left"]),
                             (201, "no_status", 1), answer)
            client.send(7, client.control_body({"1": False}))
            self.assertEqual(client.receive_command(7).retcode, 0)
            client.set({"1": True})  # waits for ACK and STATUS: the fault struck once only
            self.assertEqual(call(sim, "GET", f"/devices/{sim.id}/faults")[1]["faults"][0]["struck"], 1)
            self.assertEqual(call(sim, "DELETE", f"/devices/{sim.id}/faults")[1], {"removed": 1})
            self.assertEqual(call(sim, "GET", f"/devices/{sim.id}/faults")[1]["faults"], [])
            self.assertEqual(call(sim, "POST", f"/devices/{sim.id}/faults", {"fault": "gremlins"})[0], 422)
            self.assertEqual(call(sim, "DELETE", "/faults?number=999")[0], 404)
            status, answer = call(sim, "POST", "/faults", {"fault": "slow", "device": "nobody"})
            self.assertEqual((status, answer["error"]["code"]), (422, "bad_fault"), answer)
            status, answer = call(sim, "POST", f"/devices/{sim.id}/faults", {"fault": "slow", "device": "another"})
            self.assertEqual((status, answer["error"]["code"]), (422, "bad_fault"), answer)
            number = call(sim, "POST", "/faults", {"fault": "slow:ms=1"})[1]["number"]
            self.assertEqual(call(sim, "DELETE", f"/faults?number={number + 2**32}")[0], 404)
            self.assertEqual(call(sim, "DELETE", f"/devices/{sim.id}/faults?number={number}")[0], 404)  # it is everybody's
            self.assertEqual(call(sim, "DELETE", f"/faults?number={number}")[1], {"removed": 1})

    def test_faults_do_not_pile_up_without_end(self):
        with Sim(control=True) as sim:
            for _ in range(256):
                self.assertEqual(call(sim, "POST", "/faults", {"fault": "no_ack"})[0], 201)
            status, answer = call(sim, "POST", "/faults", {"fault": "no_ack"})
            self.assertEqual((status, answer["error"]["code"]), (422, "bad_fault"), answer)
            self.assertEqual(call(sim, "DELETE", "/faults")[1], {"removed": 256})

    def test_reset_gives_the_state_of_the_start(self):
        with Sim("--clock", "virtual", "--seed", "7", control=True) as sim:
            before = call(sim, "GET", f"/devices/{sim.id}/dps")[1]
            with sim.client() as client:
                client.set({"1": False, "9": 100})
                call(sim, "POST", f"/devices/{sim.id}/faults", {"fault": "no_ack"})
                call(sim, "POST", "/clock/advance", {"ms": 5000})
                self.assertEqual(call(sim, "POST", "/reset")[1]["now_ms"], 0)
                client.receive_close()
            self.assertEqual(call(sim, "GET", f"/devices/{sim.id}/dps")[1], before)
            self.assertEqual(call(sim, "GET", "/faults")[1]["faults"], [])
            self.assertEqual(call(sim, "GET", "/journal")[1]["entries"], [])
            with sim.client() as client:
                self.assertTrue(client.status()["1"])

    def test_reset_brings_back_faults_and_keys_of_the_start(self):
        with Sim("--clock", "virtual", "--fault", "late_status:ms=50", control=True) as sim:
            before = call(sim, "GET", "/faults")[1]["faults"]
            call(sim, "POST", "/faults", {"fault": "rekey"})
            call(sim, "DELETE", "/faults?number=1")
            call(sim, "POST", "/reset")
            self.assertEqual(call(sim, "GET", "/faults")[1]["faults"], before)
            with sim.client() as client:
                self.assertTrue(client.status()["1"])

    def test_reset_closes_connections_that_have_said_nothing_yet(self):
        with Sim("--clock", "virtual", "--count", "2", control=True) as sim:
            with socket.create_connection((sim.host, sim.port), timeout=60) as s:
                while "tuya_sim_connections 1" not in call(sim, "GET", "/metrics")[1]:
                    pass
                call(sim, "POST", "/reset")
                self.assertEqual(s.recv(1), b"")

    def test_events_tell_what_happens(self):
        with Sim(control=True) as sim:
            events = Events(sim)
            self.addCleanup(events.close)
            with sim.client() as client:
                client.set({"1": False})
                changed = events.wait(lambda e: e[0] == "changed")
                self.assertEqual((changed[1]["device"], changed[1]["dps"]["1"]), (sim.id, False))
                events.wait(lambda e: e[0] == "message" and e[1]["entry"]["cmd_name"] == "CONTROL")
            events.wait(lambda e: e[0] == "disconnected")

    def test_listeners_that_left_make_room_also_when_nothing_happens(self):
        with Sim("--clock", "virtual", control=True) as sim:
            host, _, port = sim.ready["control"].rpartition(":")
            for _ in range(300):  # more than may be connected at once
                with socket.create_connection((host, int(port)), timeout=60) as s:
                    s.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    self.assertIn(b"200 OK", s.recv(1000))
            self.assertEqual(call(sim, "GET", "/healthz")[0], 200)

    def test_metrics_count_frames(self):
        with Sim(control=True) as sim, sim.client() as client:
            client.status()
            text = call(sim, "GET", "/metrics")[1]
            values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
            self.assertEqual(values["tuya_sim_queries_total"], "1")
            self.assertEqual(values["tuya_sim_connections"], "1")
            self.assertEqual(values[f'tuya_sim_device_clients{{device="{sim.id}"}}'], "1")

    def test_the_page_is_html_and_holds_no_key(self):
        with Sim(control=True) as sim:
            status, page = call(sim, "GET", "/")
            self.assertEqual(status, 200)
            self.assertIn("<!doctype html>", page)
            for path in ("/", "/devices", f"/devices/{sim.id}", "/journal", "/metrics"):
                self.assertNotIn(sim.ready["devices"][0]["key"], str(call(sim, "GET", path)[1]), path)

    def test_the_api_presses_locked_buttons_in_vain(self):
        with Sim(control=True) as sim:
            self.assertEqual(call(sim, "POST", f"/devices/{sim.id}/press")[1]["dps"]["1"], False)
            call(sim, "PATCH", f"/devices/{sim.id}/dps", {"41": True})
            self.assertEqual(call(sim, "POST", f"/devices/{sim.id}/press")[0], 409)


class TheDoor(unittest.TestCase):
    def test_other_web_sites_and_rebound_names_are_turned_away(self):
        with Sim(control=True) as sim:
            self.assertEqual(call(sim, "POST", "/reset", headers={"Origin": "http://evil.example"})[0], 403)
            self.assertEqual(call(sim, "GET", "/devices", headers={"Host": "evil.example"})[0], 403)
            self.assertEqual(call(sim, "GET", "/devices", headers={"Host": "localhost:1"})[0], 200)

    def test_a_token_is_asked_for_when_there_is_one(self):
        with tempfile.NamedTemporaryFile("w", suffix=".token") as f:
            f.write(TOKEN + "\n")
            f.flush()
            with Sim("--control-token-file", f.name, control=True) as sim:
                self.assertEqual(call(sim, "GET", "/healthz")[0], 200)
                self.assertEqual(call(sim, "GET", "/devices")[0], 401)
                for wrong in ("Bearer " + TOKEN[:-1], "Bearer " + TOKEN + "x", "Bearer ", "Basic " + TOKEN):
                    self.assertEqual(call(sim, "GET", "/devices", headers={"Authorization": wrong})[0], 401, wrong)
                good = {"Authorization": "Bearer " + TOKEN}
                self.assertEqual(call(sim, "GET", "/devices", headers=good)[0], 200)

    def test_bodies_are_bounded_and_nonsense_is_named(self):
        with Sim(control=True) as sim:
            self.assertEqual(call(sim, "POST", "/verify", "x" * (1024 * 1024 + 1))[0], 413)
            for body in ("", "[]", "nul", '{"a":' * 200, "\xff"):
                status, answer = call(sim, "POST", "/verify", body.encode("latin-1"))
                self.assertEqual((status, answer["error"]["code"]), (400, "bad_json"), body[:20])
            self.assertEqual(call(sim, "GET", "/nowhere")[1]["error"]["code"], "not_found")
            self.assertEqual(call(sim, "PUT", "/devices")[0], 405)
            self.assertEqual(call(sim, "GET", "/devices/nobody")[1]["error"]["code"], "no_such_device")
            self.assertEqual(call(sim, "GET", "/devices/%ff")[1]["error"]["code"], "no_such_device")

    def test_half_requests_do_not_keep_it_from_ending(self):
        with Sim(control=True) as sim:
            host, _, port = sim.ready["control"].rpartition(":")
            with socket.create_connection((host, int(port))) as s:
                s.sendall(b"POST /verify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
                events = Events(sim)
                self.addCleanup(events.close)
                sim.stop()
                with events.changed:
                    self.assertTrue(events.changed.wait_for(lambda: events.ended, 60))


if __name__ == "__main__":
    unittest.main()
