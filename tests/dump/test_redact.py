"""--redact: the same traffic under other names decodes with the device list beside it; nothing identifies."""

import json
import unittest

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

    def test_what_cannot_be_opened_is_left_out_and_said(self):
        packets, _ = self.house("3.3")
        other = Talk("3.3", key=b"another-key-9876")
        packets += segments(other.frames, client=("192.168.7.8", 51001), device=("192.168.7.34", 6668))
        self.path("devices.json").write_text(json.dumps([HOUSE]))
        path = mangle.save(self.path("x.pcap"), packets)
        result = dump("-r", path, "--devices", self.path("devices.json"), "--redact", self.path("out.pcapng"))
        self.assertRegex(result.stderr, r"\d+ messages could not be opened and are left out")
        self.assertNotIn(b"another-key", self.path("out.pcapng").read_bytes())

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
