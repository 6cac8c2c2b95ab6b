"""What the plugin says about a talk in each version, word by word.

    test_golden.py                   compare with golden/*.json
    test_golden.py --bless           write them anew (then read the difference before you commit it)
"""

import difflib
import json
import os
import shutil
import sys

from sessions import VERSIONS, Talk, all_versions, key_log_line, peer, send, usual_capture, usual_talk
from shark import DEMO_KEY, HERE, OTHER_KEY, Shark, keys
from capture import Capture

FAILED = []


def compare(name, frames):
    path = os.path.join(HERE, "golden", name + ".json")
    text = json.dumps(frames, indent=1, ensure_ascii=False) + "\n"
    if "--bless" in sys.argv:
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return
    with open(path, encoding="utf-8") as f:
        expected = f.read()
    if text == expected:
        print(f"ok   {name}")
        return
    FAILED.append(name)
    print(f"FAIL {name}: not what golden/{name}.json says")
    sys.stdout.writelines(list(difflib.unified_diff(expected.splitlines(True), text.splitlines(True), "golden", "now"))[:80])


def each_version(shark):
    """All versions in one capture, since it is tshark's start that takes the time; one golden file each."""
    pcap = all_versions().save(shark.path("talks.pcap"))
    for name, options in (("", keys(DEMO_KEY)), ("-no-key", ())):
        frames = shark.frames(pcap, options)
        for version in VERSIONS:
            n = len(usual_talk(version).frames)
            compare(f"talk-{version}{name}", frames[:n])
            del frames[:n]
        assert not frames, f"frames that belong to no talk: {frames}"


def simulated(shark):
    """A kettle plug of tuya-sim in each version, as its --write wrote it; test_sim.py --keep made the captures."""
    for version in VERSIONS:
        name = f"sim-{version}"
        pcap = shutil.copy(os.path.join(HERE, "captures", name + ".pcapng"), shark.folder)
        compare(name, shark.frames(pcap, [*keys(("tuyawiredemoplug000001", DEMO_KEY, "tuya-sim")), "-2"]))


def key_log_only(shark):
    cap = Capture()
    log = "# session keys, and a line of another program\nCLIENT_RANDOM 00 00\n"
    for i, version in enumerate(("3.4", "3.5")):
        talk = usual_talk(version)
        send(cap.tcp(client=("192.0.2.7", 51000 + i)), talk)
        log += key_log_line(talk, with_id=version == "3.5")
    pcap = cap.save(shark.path("keylog.pcap"))
    compare("key-log-only", shark.frames(pcap, ["-o", "tuya.keylog:" + shark.write("key.log", log)]))


def devices_json(shark):
    devices = shark.write("devices.json", json.dumps([{
        "name": "Kettle plug", "id": "fake0000000000000000id", "key": DEMO_KEY, "mac": "", "mapping": {
            "1": {"code": "switch_1", "type": "Boolean", "values": {}},
            "18": {"code": "cur_current", "type": "Integer", "values": {"unit": "mA", "scale": 0}},
            "19": {"code": "cur_power", "type": "Integer", "values": {"unit": "W", "scale": 1}},
            "20": {"code": "cur_voltage", "type": "Integer", "values": {"unit": "V", "scale": 1}},
        }}]))
    pcap = usual_capture("3.5").save(shark.path("devices.pcap"))
    compare("devices-json", shark.frames(pcap, ["-o", "tuya.devices:" + devices], filter="tuya.dps"))


def sub_devices(shark):
    """A gateway passes on the data points of the devices behind it, which have mappings of their own."""
    power = {"19": {"code": "cur_power", "type": "Integer", "values": {"unit": "W", "scale": 1}}}
    devices = shark.write("devices.json", json.dumps([
        {"name": "Gateway", "id": "fake0000000000000000id", "key": DEMO_KEY, "mac": "", "sub": False,
         "mapping": {"19": {"code": "not_the_power", "type": "Boolean", "values": {}}}},
        {"name": "Fridge plug", "id": "fakesubdevice00000000", "key": DEMO_KEY, "mac": "", "sub": True,
         "node_id": "0000000000000001", "parent": "fake0000000000000000id", "mapping": power}]))
    talk = Talk("3.4")
    for cid in ("0000000000000001", "0000000000000002"):
        talk.tell(peer.STATUS, {"protocol": 4, "t": 1700000000, "data": {"cid": cid, "dps": {"19": 605}}}, push=True)
    cap = Capture()
    send(cap.tcp(), talk)
    frames = shark.frames(cap.save(shark.path("gateway.pcap")), ["-o", "tuya.devices:" + devices], filter="tuya.cid")
    compare("sub-devices", frames)


def discovery(shark):
    cap = Capture()
    with open(os.path.join(HERE, "..", "vectors", "discovery.json"), encoding="utf-8") as f:
        for v in json.load(f)["vectors"]:
            cap.udp("192.0.2.33", v["udp_port"], bytes.fromhex(v["frame_hex"]))
    compare("discovery", shark.frames(cap.save(shark.path("discovery.pcap"))))


def statistics(shark):
    cap = Capture()
    for i, (version, key, device) in enumerate((("3.3", DEMO_KEY, "fake0000000000000000id"), ("3.5", OTHER_KEY, "other"))):
        send(cap.tcp(client=("192.0.2.7", 51000 + i), device=(f"192.0.2.{33 + i}", 6668)),
             usual_talk(version, key=key, device=device))
    send(cap.tcp(client=("192.0.2.7", 51009)), usual_talk("3.4", key="a key nobody has"))
    pcap = cap.save(shark.path("stats.pcap"))
    table = shark.run("-q", "-r", pcap, *keys(DEMO_KEY, ("other", OTHER_KEY, "second")), "-z", "tuya,tree")
    compare("statistics", [line.rstrip() for line in table.splitlines()])


if __name__ == "__main__":
    with Shark() as shark:
        for case in (each_version, simulated, key_log_only, devices_json, sub_devices, discovery, statistics):
            case(shark)
    sys.exit(f"{len(FAILED)} differ: {', '.join(FAILED)}" if FAILED else 0)
