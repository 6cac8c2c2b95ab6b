#!/usr/bin/env python3
"""Make seeds from a capture: its messages, sealed again under the fixed keys of the harnesses (common/fuzz.h).

    fuzz/capture_seeds.py TUYA_DUMP CORPUS NAME tuya-dump's options...
    fuzz/capture_seeds.py b/tools/dump/tuya-dump corpus home -r home.pcapng --devices devices.json

writes CORPUS/open and CORPUS/body (one message each, doubles once) and CORPUS/frame (one direction of a connection each).
What is in the messages stays in them: ids, names, values. Make them from what tuya-dump --redact wrote before you
give them away."""
import hashlib
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "helpers"))
from tuyapeer import HANDSHAKE, seal  # noqa: E402

VERSIONS = ["3.1", "3.2", "3.3", "3.4", "3.5"]
FROM_DEVICE = 0x08  # of the context byte
LOCAL_KEY = b"0123456789abcdef"
SESSION_KEYS = {"3.4": bytes(range(0xA0, 0xB0)), "3.5": bytes(range(0xB0, 0xC0))}
STREAM_MAX = 8192  # bytes of a connection


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


def main():
    if len(sys.argv) < 5:
        print(__doc__, file=sys.stderr)
        return 2
    dump, corpus, name, options = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4:]
    done = subprocess.run([dump, *options, "--json"], stdout=subprocess.PIPE, text=True)
    seeds, streams, skipped = {}, {}, 0
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
        stream = streams.setdefault((record["flow"], record["dir"]), bytearray(context))
        if len(stream) + len(frame) <= STREAM_MAX:
            stream += frame
    for stream in streams.values():
        seeds.setdefault(("frame", bytes(stream)))
    for harness, data in seeds:
        (corpus / harness).mkdir(parents=True, exist_ok=True)
        (corpus / harness / f"{name}-{hashlib.sha256(data).hexdigest()[:10]}").write_bytes(data)
    print(f"{len(seeds)} seeds in {corpus}; {skipped} messages could not be opened or are no connection's")
    return 0 if seeds and done.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
