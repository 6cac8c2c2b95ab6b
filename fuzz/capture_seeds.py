#!/usr/bin/env python3
"""Make seeds from a capture: its messages, sealed again under the fixed keys of the harnesses (common/fuzz.h).

    fuzz/capture_seeds.py TUYA_DUMP CORPUS NAME tuya-dump's options...
    fuzz/capture_seeds.py b/tools/dump/tuya-dump corpus home -r home.pcapng --devices devices.json

writes CORPUS/open and CORPUS/body (one message each, doubles once), CORPUS/frame (one direction of a connection each), and
tapes (common/tape.h) of whole connections: CORPUS/observer hears both ends again, CORPUS/device and CORPUS/client hear the
other end and have an application that does what the captured one did.

What is in the messages stays in them: ids, names, values. Make them from what tuya-dump --redact wrote before you give
them away."""
import hashlib
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "helpers"))
from seeds import ACT, DPS, FROM_DEVICE, VERSIONS, message, record as step, time  # noqa: E402
from seeds import HANDSHAKE as HONEST_STEP  # noqa: E402
from tuyapeer import HANDSHAKE, seal  # noqa: E402

CONTROL, STATUS, HEART_BEAT, DP_QUERY, CONTROL_NEW, DP_QUERY_NEW, UPDATEDPS, LAN_EXT = 7, 8, 9, 10, 13, 16, 18, 64
WITHOUT_HEADER = (3, 4, 5, 9, 10, 16, 18, 64)  # to the device, in canonical form: spec section 3.0
NO_HEADER, RETCODE_1 = 0x04, 0x40  # flags of MESSAGE
QUERY, SET, REFRESH_3, BEAT, SUBDEVICES, SEND = 0, 1, 2 + 8 * 2, 3, 4, 5  # ACT of fuzz/client.c; SEND: the command times 8
LOCAL_KEY = b"0123456789abcdef"
SESSION_KEYS = {"3.4": bytes(range(0xA0, 0xB0)), "3.5": bytes(range(0xB0, 0xC0))}
STREAM_MAX, STEPS_MAX = 8192, 96  # bytes and steps of a connection


def payload_of(record):
    if record["payload"] is not None:
        return json.dumps(record["payload"], separators=(",", ":"), ensure_ascii=False).encode()
    if record["text"] is not None:
        return record["text"].encode()
    return bytes.fromhex(record["hex"] or "")


def sealed(record, body):
    from_device = record["dir"] == "from_device"
    header = "auto" if record["header"] is not None else None
    return seal(record["version"], "from_device" if from_device else "to_device", record["seq"], record["cmd"], body,
                key=LOCAL_KEY, session_key=SESSION_KEYS.get(record["version"]), retcode=record["retcode"], header=header,
                nonce=hashlib.sha256(body).digest()[:12])


def as_message(record, connection):
    from_device, command = record["dir"] == "from_device", record["cmd"]
    usual = command == STATUS if from_device else command not in WITHOUT_HEADER
    flags = (0 if usual == (record["header"] is not None) else NO_HEADER) | (RETCODE_1 if record["retcode"] else 0)
    return message(command & 0xff, payload_of(record), flags, connection)


def dps_of(record):
    bodies = [record["payload"]] + [b.get("data") for b in [record["payload"]] if isinstance(b, dict)]
    dps = next((b["dps"] for b in bodies if isinstance(b, dict) and b.get("dps")), None)
    return json.dumps(dps, separators=(",", ":"), ensure_ascii=False).encode() if dps else b""


def asked(record):
    """What the application of this client did."""
    command, dps = record["cmd"], dps_of(record)
    if command in (CONTROL, CONTROL_NEW) and dps:
        return step(ACT, bytes([SET]) + dps)
    simple = {DP_QUERY: QUERY, DP_QUERY_NEW: QUERY, UPDATEDPS: REFRESH_3, HEART_BEAT: BEAT, LAN_EXT: SUBDEVICES}
    if command in simple:
        return step(ACT, bytes([simple[command]]))
    return step(ACT, bytes([SEND + 8 * command]) + payload_of(record)) if command < 32 else b""


def tapes(records):
    """(harness, tape) of one connection; the honest handshake of each harness stands for the captured one."""
    version = VERSIONS.index(records[0]["version"])
    negotiated = any(r["cmd"] in HANDSHAKE for r in records)
    heard = {"observer": [step(HONEST_STEP)] * 3, "device": [step(HONEST_STEP)] * 2, "client": [step(HONEST_STEP)]}
    steps = {harness: list(honest) if negotiated else [] for harness, honest in heard.items()}
    before = records[0]["time"]
    for r in [r for r in records if r["cmd"] not in HANDSHAKE]:
        from_device = r["dir"] == "from_device"
        wait, before = min(0xffff, max(0, round(1000 * (r["time"] - before)))), r["time"]
        steps["observer"].append(as_message(r, 1 if from_device else 0))
        steps["device"] += [time(wait)] if wait else []
        steps["client"] += [time(wait)] if wait else []
        if from_device:
            steps["client"].append(as_message(r, 0 if r["cmd"] == STATUS else 1))  # 1: it answers the last request
            if r["cmd"] == STATUS and dps_of(r):
                steps["device"].append(step(DPS, dps_of(r)))
        else:
            steps["device"].append(as_message(r, 0))
            steps["client"].append(asked(r))
    for harness, taken in steps.items():
        yield harness, bytes([version]) + b"".join(taken[:STEPS_MAX])[:STREAM_MAX]


def main():
    if len(sys.argv) < 5:
        print(__doc__, file=sys.stderr)
        return 2
    dump, corpus, name, options = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4:]
    done = subprocess.run([dump, *options, "--json"], stdout=subprocess.PIPE, text=True)
    seeds, streams, connections, skipped = {}, {}, {}, 0
    for record in map(json.loads, done.stdout.splitlines()):
        if record["version"] not in VERSIONS or record["integrity"] != "ok" or record["error"] is not None or \
                record["dir"] not in ("to_device", "from_device"):
            skipped += 1
            continue
        body = payload_of(record)
        context = bytes([VERSIONS.index(record["version"]) | (FROM_DEVICE if record["dir"] == "from_device" else 0)])
        frame = sealed(record, body)
        seeds.setdefault(("open", context + frame))
        if body and record["cmd"] not in HANDSHAKE:
            seeds.setdefault(("body", context + body))
        connections.setdefault(record["flow"], []).append(record)
        stream = streams.setdefault((record["flow"], record["dir"]), bytearray(context))
        if len(stream) + len(frame) <= STREAM_MAX:
            stream += frame
    for stream in streams.values():
        seeds.setdefault(("frame", bytes(stream)))
    for records in connections.values():
        seeds.update(dict.fromkeys(tapes(records)))
    for harness, data in seeds:
        (corpus / harness).mkdir(parents=True, exist_ok=True)
        (corpus / harness / f"{name}-{hashlib.sha256(data).hexdigest()[:10]}").write_bytes(data)
    print(f"{len(seeds)} seeds in {corpus}; {skipped} messages could not be opened or are no connection's")
    return 0 if seeds and done.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
