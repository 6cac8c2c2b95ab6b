"""--redact: the same traffic under other names decodes with the device list beside it; nothing identifies."""

import json
import unittest
import unittest.mock

import mangle
from dumping import DumpTest, dump, records
from mangle import KEY, Talk, segments

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")
HOUSE = {"name": "Grandma's kettle", "id": mangle.DEVICE_ID, "key": KEY.decode(), "ip": "192.168.7.33", "mac": "d8:1f:12:aa:bb:cc",
         "uuid": "deadbeefcafe0123", "product_id": "secretproduct001",
         "mapping": {"1": {"code": "switch_1", "type": "Boolean", "values": {}},
                     "19": {"code": "cur_power", "type": "Integer", "values": {"unit": "W", "scale": 1}}}}
SECRETS = [v for k, v in HOUSE.items() if isinstance(v, str)] + [HOUSE["mac"].replace(":", ""), "192.168.7.8", "Wi-Fi of ours"]


class Redact(DumpTest):
    def redact(self, packets, *options):
        self.path("devices.json").write_text(json.dumps([{**HOUSE, "version": self.version}]))
        path = mangle.save(self.path("x.pcap"), packets)
        result = dump("-r", path, "--devices", self.path("devices.json"), "--redact", self.path("out.pcapng"), "-q", *options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return path, self.path("out.pcapng"), self.path("out.devices.json")

    def house(self, version):
        self.version = version
        talk = Talk(version, rounds=2)
        talk.client(0x0D, {"dps": {"101": "Wi-Fi of ours"}, "ssid": "Wi-Fi of ours", "cid": HOUSE["mac"].replace(":", "")})
        return segments(talk.frames, client=("192.168.7.8", 51000), device=(HOUSE["ip"], 6668)), talk

    def test_decodes_to_the_same_messages(self):
        for version in VERSIONS:
            packets, talk = self.house(version)
            path, out, devices = self.redact(packets)
            with self.subTest(version=version):
                before = records("-r", path, "--devices", self.path("devices.json"), "--strict")
                after = records("-r", out, "--devices", devices, "--strict")
                same = ("time", "flow", "dir", "version", "seq", "cmd", "retcode", "integrity", "key", "error")
                self.assertEqual([[r[k] for k in same] for r in after], [[r[k] for k in same] for r in before])
                dps = [[(r["payload"] or {}).get("dps") or (r["payload"] or {}).get("data") for r in rs if r["cmd"]][:-1] for rs in (before, after)]
                self.assertEqual(dps[0], dps[1])
                self.assertEqual({len(r["device"]) for r in after}, {len(mangle.DEVICE_ID)})
                self.assertEqual({r["name"] for r in after}, {"Device 1"})

    def test_nothing_of_the_original_remains(self):
        for version in VERSIONS:
            packets, _ = self.house(version)
            announcement = {"ip": HOUSE["ip"], "gwId": HOUSE["id"], "productKey": HOUSE["product_id"], "uuid": HOUSE["uuid"],
                            "version": version}
            packets.append(mangle.Datagram((HOUSE["ip"], 49154), ("192.168.7.255", 6667), mangle.announce(announcement), 1700001000 * 10**9))
            _, out, devices = self.redact(packets)
            plain = dump("-r", out, "--devices", devices, "--json", "--strict")
            self.assertEqual(plain.returncode, 0)
            raw = out.read_bytes()
            with self.subTest(version=version):
                for secret in SECRETS:
                    self.assertNotIn(secret.encode(), raw)
                    self.assertNotIn(secret, plain.stdout)
                    self.assertNotIn(secret, devices.read_text())
                for address in ("192.168.7.8", HOUSE["ip"], "192.168.7.255"):
                    self.assertNotIn(mangle.socket.inet_aton(address), raw)
                self.assertNotIn(bytes.fromhex(HOUSE["mac"].replace(":", "")), raw)
                self.assertNotIn(mangle.MACS[:6], raw)
                closed = records("-r", out, "--devices", self.path("devices.json"))
                self.assertTrue(all(r["error"] or r["key"] in ("none", "discovery") for r in closed))

    def test_same_name_everywhere(self):
        packets, _ = self.house("3.3")
        announcement = {"ip": HOUSE["ip"], "gwId": HOUSE["id"], "version": "3.3"}
        packets.append(mangle.Datagram((HOUSE["ip"], 49154), ("255.255.255.255", 6667), mangle.announce(announcement), 1700001000 * 10**9))
        _, out, devices = self.redact(packets)
        after = records("-r", out, "--devices", devices)
        self.assertEqual(len({r["device"] for r in after}), 1)
        self.assertEqual(after[-1]["payload"]["ip"], after[0]["dst"].split(":")[0])
        self.assertEqual(json.loads(devices.read_text())[0]["id"], after[0]["device"])

    def test_mapping_goes_along(self):
        packets, _ = self.house("3.4")
        _, out, devices = self.redact(packets)
        text = dump("-r", out, "--devices", devices).stdout
        self.assertIn("cur_power 60.1 W", text)

    def test_sub_devices_go_along(self):
        """Their names and ids do not; one is called as data points are."""
        power = {"19": {"code": "cur_power", "type": "Integer", "values": {"unit": "W", "scale": 1}}}
        subs = [{"id": "bfsubdevice0000000001", "name": "Grandpa's lamp", "sub": True, "node_id": "a4c1380000000001",
                 "parent": HOUSE["id"], "mapping": {"1": {"code": "lamp_on", "type": "Boolean", "values": {}}}},
                {"id": "bfsubdevice0000000002", "name": "Shed", "sub": True, "node_id": "1", "parent": HOUSE["id"], "mapping": power},
                {"id": "bfsubdevice0000000003", "name": "Never heard", "sub": True, "node_id": "2", "parent": HOUSE["id"]}]
        self.path("house.json").write_text(json.dumps([HOUSE, *subs]))
        talk = Talk("3.4", rounds=0)
        for body in ({"cid": "a4c1380000000001", "dps": {"1": True}}, {"cid": "1", "dps": {"1": False, "19": 55}}):
            talk.device(0x08, {"protocol": 4, "data": body}, 0)
        path = mangle.save(self.path("x.pcap"), segments(talk.frames))
        dump("-r", path, "--devices", self.path("house.json"), "--redact", self.path("out.pcapng"))
        devices = self.path("out.devices.json")
        text = dump("-r", self.path("out.pcapng"), "--devices", devices).stdout
        self.assertRegex(text, r"cid rd\w{14} \(Sub-device 1\), lamp_on true\n")
        self.assertIn("cid 1 (Sub-device 2), 1 false, cur_power 5.5 W\n", text)
        self.assertEqual(len(json.loads(devices.read_text())), 3)
        for secret in [*SECRETS, *(v for s in subs for v in s.values() if isinstance(v, str) and len(v) > 1)]:
            self.assertNotIn(secret, devices.read_text())

    def test_what_cannot_be_opened_is_left_out_and_said(self):
        packets, _ = self.house("3.3")
        other = Talk("3.3", key=b"another-key-9876")
        packets += segments(other.frames, client=("192.168.7.8", 51001), device=("192.168.7.34", 6668))
        self.path("devices.json").write_text(json.dumps([HOUSE]))
        path = mangle.save(self.path("x.pcap"), packets)
        result = dump("-r", path, "--devices", self.path("devices.json"), "--redact", self.path("out.pcapng"))
        self.assertRegex(result.stderr, r"\d+ messages could not be opened and are left out")
        self.assertNotIn(b"another-key", self.path("out.pcapng").read_bytes())

    def bodies(self, *bodies, version="3.3"):
        """What becomes of these, as (payload, text)."""
        self.version = version
        talk = Talk(version, rounds=0)
        for body in bodies:
            talk.device(0x08, body, 0)
        _, out, devices = self.redact(segments(talk.frames))
        after = records("-r", out, "--devices", devices, "--strict")
        return [(r["payload"], r["text"]) for r in after if r["cmd"] == 0x08]

    def test_numbers_that_identify_become_zero(self):
        after = self.bodies(b'{"uid":9876543210,"lat":52.5200,"Lon":-13.4050,"dps":{"19":601}}', b'{"uid":"12345678901"}',
                            b'{"owner":12345678901,"t":1700000000}', b'{"uid":"100000","dps":{"9":1000001}}')
        self.assertEqual(after[0][0], {"uid": 0, "lat": 0, "Lon": 0, "dps": {"19": 601}})
        self.assertEqual(after[2][0], {"owner": 0, "t": 1700000000})
        self.assertEqual(after[3][0]["dps"], {"9": 1000001})

    def test_members_are_known_however_they_are_written(self):
        after = self.bodies(b'{"ssid"\r\n:"smithfamily"}', b'{"SSID":"smithfamily","password":"correcthorse"}',
                            b'{"\\u0073sid":"smithfamily"}')
        self.assertNotIn("smithfamily", str(after))
        self.assertNotIn("correcthorse", str(after))
        self.assertEqual(after[0][0]["ssid"], after[1][0]["SSID"])

    def test_names_of_members_that_are_ids_are_renamed(self):
        (payload, _), = self.bodies(b'{"data":{"bf0123456789abcdef01":{"1":true},"d8:1f:12:aa:bb:cc":1,"AABBCCDDEEFF":4,"countdown_usb2":2,"1":3}}')
        self.assertEqual(list(payload["data"])[3:], ["countdown_usb2", "1"])
        for secret in ("bf0123456789", "d8:1f", "AABB"):
            self.assertNotIn(secret, str(payload))

    def test_texts_of_data_points_stay_only_if_they_can_be_nobodys(self):
        secrets = {"101": "CharlotteHome", "102": "Basement", "103": "192.168.007.033", "104": "112233445566", "105": "C0FFEE==",
                   "106": "aabbccddeeff"}
        kept = {"2": "memory", "3": "3.3.17", "6": "CSQAAfQAAHM=", "7": "CSQABQBz"}
        (payload, _), = self.bodies(json.dumps({"dps": {**secrets, **kept}, "t": "1700000000"}).encode())
        self.assertEqual({k: v for k, v in payload["dps"].items() if k in kept}, kept)
        self.assertEqual(payload["t"], "1700000000")
        for k, secret in secrets.items():
            self.assertEqual(len(payload["dps"][k]), len(secret))
            self.assertNotEqual(payload["dps"][k], secret)

    def test_what_is_no_json_is_overwritten(self):
        after = self.bodies(b'plug of smithfamily, id bf0123456789 "x"', b'{"ssid":"smithfamily","uid"', b"\xff\x00smithfamily",
                            b"json obj data unvalid", b'["bf0123456789abcdef01"]\0')
        self.assertEqual([set(text) for _, text in after[:3]], [{"x"}, {"{", "x"}, {"x"}])
        self.assertEqual(after[3], (None, "json obj data unvalid"))
        self.assertRegex(after[4][1], r'^\["rd0000000000000000\w\w"\]\0$')

    def test_mapping_with_quotes_stays_json(self):
        self.path("house.json").write_text(json.dumps([{**HOUSE, "mapping": {"1": {"code": 'a"b\\', "values": {"unit": '"\n'}}}}]))
        path = mangle.save(self.path("x.pcap"), segments(Talk("3.3").frames))
        dump("-r", path, "--devices", self.path("house.json"), "--redact", self.path("out.pcapng"))
        mapping = json.loads(self.path("out.devices.json").read_text())[0]["mapping"]["1"]
        self.assertEqual((mapping["code"], mapping["values"]["unit"]), ('a"b\\', '"\n'))

    def test_without_keys_there_is_no_device_list(self):
        """Nobody could read one without devices."""
        packets = [mangle.Datagram((HOUSE["ip"], 49154), ("192.168.7.255", 6667), mangle.announce({"gwId": HOUSE["id"]}), 0)]
        result = dump("-r", mangle.save(self.path("x.pcap"), packets), "--redact", self.path("out.pcapng"))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertFalse(self.path("out.devices.json").exists())
        self.assertEqual(len(records("-r", self.path("out.pcapng"), "--strict")), 1)

    def test_never_writes_over_the_list_it_reads(self):
        path = mangle.save(self.path("x.pcap"), segments(Talk("3.3").frames))
        house = self.path("house.devices.json")
        house.write_text(json.dumps([HOUSE]))
        result = dump("-r", path, "--devices", house, "--redact", self.path("house.pcapng"))
        self.assertEqual(result.returncode, 2)
        self.assertIn("is read from", result.stderr)
        self.assertEqual(json.loads(house.read_text()), [HOUSE])

    def test_a_datagram_that_becomes_too_long_is_left_out(self):
        new = {"gwId": "rd000000000001", "a": ["2001:db8::1"] * 4000, "b": "a" * 9450}
        old = {**new, "a": ["::1"] * 4000}
        self.assertIn(len(json.dumps(new, separators=(",", ":"))), range(65480, 65504))
        ends = (HOUSE["ip"], 49154), ("192.168.7.255", 6667)
        packets = [mangle.Datagram(*ends, mangle.announce(body), i, fragment=8000) for i, body in enumerate((old, {"gwId": HOUSE["id"]}))]
        result = dump("-r", mangle.save(self.path("x.pcap"), packets), "--redact", self.path("out.pcapng"))
        self.assertIn("1 message", result.stderr)
        self.assertEqual(len(records("-r", self.path("out.pcapng"), "--strict")), 1)

    def test_groups_with_an_address_in_them_are_renamed(self):
        for group, stays in {"ff02::1:ffaa:bbcc": False, "ff02::1": True}.items():
            group = mangle.socket.inet_pton(mangle.socket.AF_INET6, group)
            with unittest.mock.patch.object(mangle, "_address", lambda text, _: group if text == "group" else bytes(15) + b"\1"):
                packets = [mangle.Datagram(("one", 49154), ("group", 6667), mangle.announce({"gwId": HOUSE["id"]}), 0)]
                path = mangle.save(self.path("x.pcap"), packets, ip=6)
            dump("-r", path, "--redact", self.path("out.pcapng"))
            self.assertEqual(group in self.path("out.pcapng").read_bytes(), stays, group)

    def test_session_of_a_key_log_gets_a_handshake(self):
        packets, talk = self.house("3.5")
        self.path("log").write_text(f"TUYA_SESSION 3.5 {talk.client_nonce.hex()} {talk.session_key.hex()}\n")
        path = mangle.save(self.path("x.pcap"), packets[6:])
        result = dump("-r", path, "--key-log", self.path("log"), "--redact", self.path("out.pcapng"))
        self.assertEqual(result.returncode, 0, result.stderr)
        after = records("-r", self.path("out.pcapng"), "--devices", self.path("out.devices.json"), "--strict")
        self.assertEqual([r["cmd"] for r in after if r["cmd"]], [3, 4, 5] + [m.cmd for m in talk.said[3:]])


if __name__ == "__main__":
    unittest.main()
