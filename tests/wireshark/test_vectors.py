"""Every golden frame of tests/vectors, one connection each: what the plugin shows is what the vector says.

The vectors of 3.4 and 3.5 are under a session key that was given, not negotiated, so they come with a key log.
"""

import json
import os
import sys

from capture import Capture
from shark import DEMO_KEY, HERE, OTHER_KEY, Shark, keys

KEYS = keys(DEMO_KEY, OTHER_KEY)


def load(name):
    with open(os.path.join(HERE, "..", "vectors", name + ".json"), encoding="utf-8") as f:
        return json.load(f)


def value_of(dp):
    """A data point as tuya.dp.value and tuya.dp.text show it."""
    if isinstance(dp, bool):
        return str(int(dp)), json.dumps(dp)
    if isinstance(dp, (int, float)):
        return "%.15g" % dp, None
    return None, dp if isinstance(dp, str) else None


def data_points(text):
    try:
        body = json.loads(text.rstrip("\0"))
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    found = body.get("dps", body.get("data", {}).get("dps") if isinstance(body.get("data"), dict) else None)
    return found if isinstance(found, dict) else None


def layer_of(frame):
    return frame["tuya"] if isinstance(frame["tuya"], dict) else frame["tuya"][0]


def check_dps(layer, dps):
    shown = list(layer.get("tuya.dps_tree", {}).values())
    assert len(shown) == len(dps), f"{len(shown)} data points shown, {len(dps)} sent"
    for entry, (dp_id, dp) in zip(shown, dps.items()):
        number, text = value_of(dp)
        assert entry["tuya.dp.id"] == dp_id, (entry, dp_id)
        assert entry.get("tuya.dp.value") == number, (entry, number)
        assert text is None or entry["tuya.dp.text"] == text, (entry, text)


def check(vector, frame):
    layer = layer_of(frame)
    assert layer["tuya.seq"] == str(vector["seq"]), layer["tuya.seq"]
    assert layer["tuya.cmd"] == str(vector["cmd"]), layer["tuya.cmd"]
    assert "tuya.error" not in layer, layer["tuya.error"]
    assert layer.get("tuya.retcode") == (None if vector["retcode"] is None else str(vector["retcode"])), layer
    header = layer.get("tuya.header", "").replace(":", "")
    assert header == (vector["header_hex"] or ""), header
    key = {"none": "none", "local": "local", "session": "session"}[vector["crypt_key"]]
    assert layer["tuya.key"] == key or vector["integrity"] != "crc32", layer["tuya.key"]
    if "plaintext" in vector and vector["plaintext"]:
        dps = data_points(vector["plaintext"])
        if dps:
            check_dps(layer, dps)


def single_frames(shark, version):
    vectors = [v for v in load(version)["vectors"] if v["transport"] == "tcp"]
    cap = Capture(step_ms=1)
    for i, v in enumerate(vectors):
        tcp = cap.tcp(client=("192.0.2.7", 20000 + i))
        (tcp.to_device if v["direction"] == "to_device" else tcp.from_device)(bytes.fromhex(v["frame_hex"]))
    sessions = {v["session_key_hex"] for v in vectors if v["session_key_hex"]}
    log = shark.write("key.log", "".join(f"TUYA_SESSION {version} {'00' * 16} {key}\n" for key in sessions))
    frames = shark.frames(cap.save(shark.path("vectors.pcap")), [*KEYS, "-o", "tuya.keylog:" + log])
    assert len(frames) == len(vectors), f"{len(frames)} of {len(vectors)} vectors were dissected"
    bad = []
    for v, frame in zip(vectors, frames):
        try:
            check(v, frame)
        except AssertionError as e:
            bad.append(f"{v['id']}: {frame['info']}\n    {e}")
    print(f"{version}: {len(vectors) - len(bad)} of {len(vectors)} vectors")
    return bad


def handshakes(shark):
    """All cases of session.json: from the local key alone the messages after the handshake open."""
    cap, cases = Capture(step_ms=1), load("session")["cases"]
    expected = []
    for i, case in enumerate(cases):
        tcp = cap.tcp(client=("192.0.2.7", 20000 + i))
        for f in case["frames"] + case.get("after", []):
            (tcp.to_device if f["direction"] == "to_device" else tcp.from_device)(bytes.fromhex(f["frame_hex"]))
            expected.append((case["id"], f))
    frames = shark.frames(cap.save(shark.path("handshakes.pcap")), KEYS)
    assert len(frames) == len(expected), f"{len(frames)} of {len(expected)} frames"
    bad = []
    for (case, f), frame in zip(expected, frames):
        layer = layer_of(frame)
        if "tuya.error" in layer or layer["tuya.cmd"] != str(f["cmd"]) or layer["tuya.seq"] != str(f["seq"]):
            bad.append(f"{case} cmd {f['cmd']} seq {f['seq']}: {frame['info']}")
    print(f"handshakes: {len(expected) - len(bad)} of {len(expected)} frames")
    return bad


if __name__ == "__main__":
    failures = []
    with Shark() as shark:
        for version in ("3.1", "3.2", "3.3", "3.4", "3.5"):
            failures += single_frames(shark, version)
        failures += handshakes(shark)
    sys.exit("\n".join(failures) if failures else 0)
