"""Every built-in profile over the wire: its data points in every version, and an energy that adds up.

The numbers are those of the profile files and of what real plugs report; docs/profiles.md says which rules apply."""

import base64
import glob
import json
import os
import tempfile
import unittest

from sim import Sim
from tuyapeer import UPDATEDPS, Timeout

HERE = os.path.dirname(os.path.abspath(__file__))
VERSIONS = ("3.1", "3.3", "3.4", "3.5")
CID = "0000000000000001"
MEASURED = {"current", "power", "voltage", "phase"}


def profiles():
    for path in sorted(glob.glob(os.path.join(HERE, "..", "..", "sim", "profiles", "*.json"))):
        with open(path, encoding="utf-8") as f:
            yield json.load(f)


def expected(profile):
    """What a first reply holds: everything that has an initial value and may be read."""
    return {str(d["id"]): d["initial"] for d in profile["dps"] if d["initial"] is not None and d["access"] != "wo"}


def ids_of(profile, *roles):
    return [str(d["id"]) for d in profile["dps"] if d["role"] in roles]


class Virtual(Sim):
    """A simulator whose time moves only when told, with a steady mains: every number is exact."""

    def __init__(self, *options):
        super().__init__("--clock", "virtual", "--seed", 1, "--idle-timeout", 0, *options, control=True)

    def load(self, **body):
        status, answer = self.request("PUT", f"/devices/{self.id}/load", body)
        assert status == 200, answer

    def advance(self, seconds):
        status, answer = self.request("POST", "/clock/advance", {"ms": int(seconds * 1000)})
        assert status == 200, answer

    def dps(self):
        status, answer = self.request("GET", f"/devices/{self.id}/dps")
        assert status == 200, answer
        return answer["dps"]


class EveryProfile(unittest.TestCase):
    def test_its_data_points_are_there_in_every_version(self):
        for profile in profiles():
            for version in VERSIONS:
                if profile["gateway"] or profile["lan"]["device22"]:
                    continue  # they have their own ways of being asked: test_behaviour
                with self.subTest(profile["name"], version=version), \
                        Sim("--profile", profile["name"], "-P", version, "--seed", 1) as sim, sim.client() as c:
                    reply = c.status()
                    want = expected(profile)
                    self.assertEqual(list(reply), sorted(want, key=int))
                    moving = set(ids_of(profile, *MEASURED))
                    self.assertEqual({k: v for k, v in reply.items() if k not in moving},
                                     {k: v for k, v in want.items() if k not in moving})
                    for k in moving:
                        self.assertIs(type(reply[k]), type(want[k]))

    def test_its_relays_switch_and_count_down(self):
        for profile in profiles():
            if profile["gateway"]:
                continue
            relays = ids_of(profile, "relay")
            countdowns = {d["channel"]: str(d["id"]) for d in profile["dps"] if d["role"] == "countdown"}
            with self.subTest(profile["name"]), Virtual("--profile", profile["name"]) as sim, sim.client() as c:
                for d in profile["dps"]:
                    if d["role"] == "relay":
                        relay = str(d["id"])
                        self.assertEqual(c.set({relay: False})[1].dps, {relay: False})
                        if d["channel"] in countdowns:
                            c.set({countdowns[d["channel"]]: 10})
                sim.advance(10)
                for relay in relays:  # a countdown toggles: what is off goes on
                    self.assertIs(sim.dps()[relay], bool(countdowns))

    def test_a_device_list_that_it_writes_makes_the_same_device(self):
        for profile in profiles():
            with self.subTest(profile["name"]):
                with tempfile.TemporaryDirectory() as folder:
                    path = os.path.join(folder, "fleet.json")
                    with Sim("--count", 1, "--profile", profile["name"], "--devices-out", path):
                        pass
                    with open(path, encoding="utf-8") as f:
                        text = json.load(f)
                    with Sim("--devices", path) as sim, sim.client() as c:
                        self.assertEqual(sim.id, text[0]["id"])
                        if not profile["gateway"] and not profile["lan"]["device22"]:
                            self.assertEqual(set(c.status()), set(str(d["id"]) for d in profile["dps"]))
                self.assertEqual(len(text), 1 + len(profile["children"]))
                mapping = text[-1]["mapping"]
                dps = (profile["children"][0] if profile["children"] else profile)["dps"]
                self.assertEqual(list(mapping), [str(d["id"]) for d in dps])
                self.assertEqual([m["code"] for m in mapping.values()], [d["code"] for d in dps])


class Energy(unittest.TestCase):
    def test_watts_volts_and_amperes_belong_together(self):
        # 60 W with a power factor of 0.5 at 230 V: 120 VA, 0.522 A
        for name, amperes, watts, volts in (("energy-plug", "18", "19", "20"), ("power-strip", "18", "19", "20"),
                                            ("energy-plug-legacy", "4", "5", "6"), ("device22-plug", "18", "19", "20")):
            with self.subTest(name), Virtual("--profile", name) as sim:
                sim.load(scene="steady")
                sim.load(watts=60, pf=0.5)
                sim.advance(5)
                dps = sim.dps()
                self.assertEqual((dps[amperes], dps[watts], dps[volts]), (522, 600, 2300))

    def test_a_load_may_be_there_from_the_start(self):
        with Virtual("--scene", "steady", "--load", "60,0.5") as sim, sim.client() as c:
            sim.advance(1)
            self.assertEqual([c.status()[k] for k in ("18", "19", "20")], [522, 600, 2300])
            sim.load(watts=0)
            self.assertEqual(sim.request("POST", "/reset")[0], 200)
            sim.advance(1)
            self.assertEqual(sim.dps()["19"], 600)

    def test_a_meter_packs_them_into_one_block(self):
        with Virtual("--profile", "din-meter") as sim, sim.client() as c:
            sim.load(scene="steady")
            sim.load(watts=272, pf=0.837)
            sim.advance(15)
            block = base64.b64decode(c.status()["6"])
            self.assertEqual((int.from_bytes(block[:2], "big"), int.from_bytes(block[2:5], "big"),
                              int.from_bytes(block[5:], "big")), (2300, 1413, 272))

    def test_what_changed_is_pushed_after_five_seconds(self):
        with Virtual() as sim, sim.client() as c:
            sim.advance(1)
            sim.load(appliance="kettle")
            sim.advance(4)
            with self.assertRaises(Timeout):
                c.receive_push(timeout=0.2)
            sim.advance(1)
            push = c.receive_push()
            self.assertEqual(set(push.dps), {"18", "19", "20"})
            self.assertGreater(push.dps["19"], 20000)

    def test_watts_times_time_are_kilowatt_hours(self):
        """As a client sees it: the mean of the watts that were pushed, times the virtual clock, against the energy that was
        pushed, within 0.1 %. The mains, the noise and the chip's calibration error are as in life. A reading has 0.3 % of
        noise; 288 hourly ones, or a day of one every 15 s, leave a fifth of the limit."""
        hour = 3600
        rows = (("energy-plug", "3.5", 1800, 12 * 24 * hour, "19", 0.1, "17", 1),
                ("power-strip", "3.3", 1300, 12 * 24 * hour, "19", 0.1, "17", 1),
                ("zigbee-gateway", "3.4", 2100, 12 * 24 * hour, "19", 0.1, "17", 1),
                ("din-meter", "3.4", 2950, 24 * hour, "6", 1, "1", 10))
        for profile, version, load, seconds, power, watt, energy, wh in rows:
            with self.subTest(profile), Virtual("--profile", profile, "-P", version) as sim, sim.client() as c:
                is_total = profile in ("din-meter", "zigbee-gateway")
                path = f"/devices/{sim.id}/load" + ("?cid=" + CID if profile == "zigbee-gateway" else "")
                self.assertEqual(sim.request("PUT", path, {"watts": load, "pf": 0.9})[0], 200)
                sim.advance(2 * hour)
                readings, counted = [], []
                for i in range(-1, 24):  # in steps that fit into the buffers of a socket
                    del c.pushes[:]
                    if i >= 0:
                        sim.advance(seconds // 24)
                    c.heartbeat()  # comes after all that was pushed
                    for push in c.pushes if i >= 0 else []:
                        dps = push.json.get("dps") or push.json["data"]["dps"]
                        if power in dps:
                            value = dps[power]
                            readings.append(int.from_bytes(base64.b64decode(value)[5:], "big") if power == "6" else value * watt)
                        if energy in dps:
                            counted.append(dps[energy] * wh)
                by_watts = sum(readings) / len(readings) * seconds / hour
                self.assertGreater(len(readings), 250)
                by_counter = counted[-1] - counted[0] if is_total else sum(counted)
                self.assertAlmostEqual(by_counter, by_watts, delta=by_watts / 1000)

    def test_steady_energy_is_exact(self):
        with Virtual("--profile", "din-meter") as sim, sim.client() as c:
            before = c.status()["1"]
            sim.load(scene="steady")
            sim.load(watts=1000)
            sim.advance(3600)
            self.assertEqual(c.status()["1"] - before, 100)  # hundredths of a kWh

    def test_the_increment_is_absent_until_it_is_reported(self):
        with Virtual() as sim, sim.client() as c:  # jasonacox/tinytuya#274
            sim.load(scene="steady")
            sim.load(watts=142)
            sim.advance(1799)
            self.assertNotIn("17", c.status())
            sim.advance(1)
            self.assertEqual(c.status()["17"], 71)

    def test_an_overload_trips_and_is_pushed(self):
        with Virtual() as sim, sim.client() as c:
            sim.advance(1)
            sim.load(scene="overload")
            sim.advance(1)
            seen = {}
            while not {"1", "26"} <= set(seen):
                seen.update(c.receive_push().dps)
            self.assertEqual((seen["1"], seen["26"]), (False, 1))
            sim.load(watts=100)
            c.set({"1": True})
            self.assertEqual(c.status()["26"], 0)

    def test_a_charger_that_is_done_is_switched_off_and_pushed(self):
        with Virtual() as sim, sim.client() as c:
            c.set({"39": True})
            sim.load(watts=9)
            sim.advance(3600)
            sim.load(watts=1.5)
            sim.advance(1799)
            self.assertTrue(c.status()["1"])
            sim.advance(1)
            self.assertFalse(c.status()["1"])
            self.assertIn(False, [push.dps.get("1") for push in c.pushes])

    def test_a_refresh_tells_what_a_query_does_not(self):
        with Virtual("-P", "3.3") as sim, sim.client() as c:
            sim.load(watts=100)
            self.assertEqual(c.status()["19"], 0)  # what was reported last
            c.send(UPDATEDPS, {"dpId": [18, 19, 20]})
            push = c.receive_push()
            self.assertGreater(push.dps["19"], 900)
            self.assertEqual(c.status()["19"], push.dps["19"])

    def test_a_sub_device_counts_a_total(self):
        with Virtual("--profile", "zigbee-gateway", "-P", "3.4") as sim, sim.client() as c:
            path = f"/devices/{sim.id}/load?cid={CID}"
            self.assertEqual(sim.request("PUT", path, {"scene": "steady"})[0], 200)
            self.assertEqual(sim.request("PUT", path, {"watts": 600})[0], 200)
            sim.advance(3600)
            total = None
            while total != 4320 + 600:
                push = c.receive_command(8)
                self.assertEqual(push.json["data"]["cid"], CID)
                total = push.json["data"]["dps"].get("17", total)

    def test_a_load_stands_at_an_outlet(self):
        with Virtual() as sim:
            path = f"/devices/{sim.id}/load"
            self.assertEqual(sim.request("PUT", path, {"watts": 60, "relay": 1})[0], 200)
            self.assertEqual(sim.request("GET", path + "?relay=1")[1]["watts"], 60)
            for relay in (9, 4294967297):
                status, answer = sim.request("GET", f"{path}?relay={relay}")
                self.assertEqual((status, answer["error"]["code"]), (404, "no_such_outlet"))

    def test_the_same_seed_gives_the_same_numbers(self):
        seen = []
        for seed in (5, 5, 6):
            with Sim("--clock", "virtual", "--seed", seed, "--idle-timeout", 0, control=True) as sim:
                sim.request("PUT", f"/devices/{sim.id}/load", {"appliance": "tv"})
                sim.request("POST", "/clock/advance", {"ms": 3600000})
                seen.append(sim.request("GET", f"/devices/{sim.id}/dps")[1])
        self.assertEqual(seen[0], seen[1])
        self.assertNotEqual(seen[0], seen[2])


if __name__ == "__main__":
    unittest.main()
