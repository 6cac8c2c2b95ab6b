"""A session with tuya-sim, as it wrote it down: the plugin reads the same as client and journal.

The sentence that the plugin was made for is the one that watts() checks:

    tshark -r x.pcapng -o .. -Y 'tuya.dp.id == 19' -T fields -e tuya.dp.value

    test_sim.py                   the test
    test_sim.py --keep captures   make the captures anew that test_golden.py compares with
"""

import os
import sys

import shark as _  # noqa: F401  (puts the helpers into the path)
from sessions import VERSIONS
from shark import Shark, keys
from sim import Sim


def watts_of(message):
    """None: a message without; 3.2 devices refuse the plain query."""
    return message.dps.get("19") if message.retcode == 0 else None


def session(version, capture):
    """A kettle is switched on. Returns journal, and the tenths of watts that the client was told."""
    told = []
    with Sim("-P", version, "--profile", "energy-plug", "--clock", "virtual", "--seed", "7", "--discovery", "off",
             "--write", capture, journal=True, control=True) as sim:
        with sim.client() as client:
            told.append(watts_of(client.query()))
            client.set({"1": True})
            sim.request("PUT", f"/devices/{sim.id}/load", {"watts": 1960.0})
            sim.request("POST", "/clock/advance", {"ms": 9000})
            told.append(watts_of(client.receive_push()))
            client.heartbeat()
            client.set({"1": False})
            told += [watts_of(client.query()), *map(watts_of, client.pushes)]
        sim.stop()
        return sim.journal(), [w for w in told if w is not None], sim.id, sim.key


def as_list(x):
    return x if isinstance(x, list) else [x]


def dps_of(record):
    body = record["payload"]
    if not isinstance(body, dict):
        return {}
    return body.get("dps") or body.get("data", {}).get("dps") or {}


def watts(shark, capture, key, records, told):
    rows = shark.fields(capture, "tuya.dp.value", "tuya.dp.19", filter="tuya.dp.id == 19", options=keys(key))
    expected = [str(dps_of(r)["19"]) for r in records if "19" in dps_of(r)]
    printed = [w for _, row in rows for w in row.split(",")]
    assert printed == expected, f"printed {printed}, the journal has {expected}"
    for values, row in rows:
        assert set(row.split(",")) <= set(values.split(",")), (values, row)
    assert {str(w) for w in told} <= set(printed), f"the client was told {told}, printed {printed}"
    assert max(told) > 15000, f"the kettle does not heat: {told}"
    return printed


def same_as_journal(shark, capture, key, records, version):
    frames = [layer for f in shark.frames(capture, [*keys(key), "-2"]) for layer in as_list(f["tuya"])]
    assert len(frames) == len(records), f"{len(frames)} frames, {len(records)} records"
    for layer, r in zip(frames, records):
        shown = {"cmd": int(layer["tuya.cmd"]), "seq": int(layer["tuya.seq"]), "dir": layer["tuya.direction"],
                 "retcode": int(layer["tuya.retcode"]) if "tuya.retcode" in layer else None, "error": layer.get("tuya.error"),
                 "version": layer["tuya.version"]}
        expected = {name: r[name] for name in shown}
        assert shown == expected, f"\n  shown    {shown}\n  expected {expected}"
        if r["header"] is not None and "tuya.header.counter" in str(layer):
            header = layer["tuya.header_tree"]
            assert int(header["tuya.header.counter"]) == r["header"]["seq"], (header, r["header"])


def one_version(shark, version):
    capture = shark.path(f"sim-{version}.pcapng")
    records, told, device, key = session(version, capture)
    printed = watts(shark, capture, key, records, told)
    same_as_journal(shark, capture, key, records, version)
    devices = {row[0] for row in shark.fields(capture, "tuya.device", filter="tuya.dps", options=keys((device, key, "sim")))}
    assert devices == {device}, devices
    print(f"{version}: {len(records)} messages, tenths of watts: {', '.join(printed)}")


def keep(folder):
    for version in VERSIONS:
        session(version, os.path.join(os.path.abspath(folder), f"sim-{version}.pcapng"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--keep"]:
        sys.exit(keep(sys.argv[2]))
    failed = 0
    with Shark() as shark:
        for version in VERSIONS:
            try:
                one_version(shark, version)
            except AssertionError as e:
                failed += 1
                print(f"FAIL {version}: {e}")
    sys.exit(1 if failed else 0)
