#!/usr/bin/env python3
"""Write the seeds that need no cryptography: golden vectors, and tapes and files made by hand.

    fuzz/seeds.py tests/vectors corpus        writes corpus/<harness>/<name>

Vectors stand under the fixed keys of the harnesses (common/fuzz.h), so their frames are seeds as they are. An input back
into readable frames and a capture: `fuzz_<name> --show --pcap FILE INPUT`."""
import json
import pathlib
import struct
import sys
import zlib

VERSIONS = ["3.1", "3.2", "3.3", "3.4", "3.5"]
FROM_DEVICE, STRICT, SMALL_LIMIT, NO_LIMIT = 0x08, 0x10, 0x20, 0x40
TO, FROM, MESSAGE, TIME, CONNECT, CLOSE, DPS, HANDSHAKE, PIECES, ACT = range(10)  # common/tape.h
ID = b"fake0000000000000000id"
HOUSEHOLD = (  # fuzz/pseudonyms.c knows whose kettle it is
    ("control", b'{"devId":"' + ID + b'","uid":"eu1588001234567abcDE","t":"1700000000","dps":{"1":true,"19":1084}}'),
    ("announcement", b'{"ip":"192.168.1.30","gwId":"' + ID + b'","active":2,"ability":0,"mode":0,"encrypt":true,"productKey":"keyabcdefgh12345",'
     b'"version":"3.3","token":true,"uuid":"fakeuuid00000055"}'),
    ("in-other-text", b'{"dps":{"101":"Kettle of ours","102":"on Kettle of ours, ' + ID + b'","103":"0123456789abcdef"},"name":"Kettle"}'),
    ("names-of-members", b'{"' + ID + b'":{"d8:1f:12:aa:bb:cc":1},"data":{"cids":["fakecid000000001",2],"eu1588001234567abcDE":"x"}}'),
    ("addresses", b'{"ip":"fe80::1","host":"255.255.255.255","a":"192.0.2.1","mac":"d8:1f:12:aa:bb:cc","b":"::"}'),
    ("numbers", b'{"uid":1588001234567,"lat":52.5200066,"home_id":-12,"t":1700000000,"dps":{"18":1588001234567,"9":0}}'),
    ("behind-escapes", b'{"\\u0064evId":"someone0000000000001","x":"\\"' + ID + b'\\"","ssid":"a\\\\","y":"\\u00e9"}'),
    ("measurement", b'{"protocol":4,"t":1700000000,"data":{"dps":{"6":"CPQAJ7gAA+g=","7":"CPQAJ7gA","17":"aGVsbG8gd29ybGQ="}}}'),
    ("in-words", b'{"dps":{"101":"my_garage","102":"the_kitchen.plug","lamp":1,"kitchen_2":"lamp","garage":true,"clamp":"garages"}}'),
    ("with-blanks", b'{ "uid" : "someone0000000000001" ,\n "gwId"\t:\r\n["another0000000000002", 15880012345 ] }'),
    ("many-names", b'{"nearby":[' + b",".join(b'"one-of-many-%04d"' % i for i in range(100)) + b'],"uid":"one-of-many-0007","x":"my_garage"}'),
    ("error-text", b"json obj data unvalid"), ("no-text", b"\x01\x02" + ID), ("nuls-behind", b'{"gwId":"' + ID + b'"}\0\0'),
)
FILTERS = (
    ("command-and-value", "cmd == CONTROL && dp.19 > 500"), ("words", 'not error and (version == 3.5 or device == "x")'),
    ("contains", 'src contains "192.0.2."'), ("code", "dp.cur_power >= 60.0"), ("member", 'json.data.cid == "a1"'),
    ("exists", "!error"), ("number", "cmd != 0x40 || seq <= 18446744073709551616 || retcode < -1.5e3"),
    ("open-parenthesis", "((error)"), ("no-field", "nothing == 1"), ("empty", ""), ("open-string", 'text == "abc'),
    ("deep", "(" * 40 + "error" + ")" * 40), ("many", " && ".join(["dp.1 == true"] * 40)),
    # what tests/dump asks
    ("lower-case-command", "cmd == control"), ("part-of-command", "cmd_name contains TROL"), ("hexadecimal", "cmd == 0x07"),
    ("handshake", "cmd == START || cmd == SESS_KEY_NEG_START || cmd == 3"), ("no-data-point", "not dp.1"),
    ("direction", "(cmd == STATUS || cmd == HEART_BEAT) and dir == from_device"), ("single-quotes", "name == 'Kettle plug'"),
    ("numbers-between", "seq > 3 && seq <= 5 && dir == to_device"), ("member-number", "json.t == 1700000001"),
    ("reply", "reply_ms >= 10 and length < 100"), ("no-value", "cmd =="), ("no-second", "cmd == CONTROL &&"),
    ("no-first", "cmd == 1 cmd == 2"), ("no-code", "dp."), ("no-command", "cmd == NOTHING"), ("empty-value", "cmd == ''"),
    ("only-a-value", "'x'"), ("too-deep", "(" * 200), ("too-many", " && ".join(["cmd"] * 500)),
    ("every-field", " or ".join(f"{f} == 'x'" for f in (
        "time flow src dst dir device name version framing seq cmd_name retcode integrity key payload text hex error detail "
        "verdict reply_ms length dps.1 json.data").split())),
)

# As fuzz/sim.c counts them; and of the faults those that change most.
SIMULATED = ("energy-plug", "basic-plug", "bulb", "device22-plug", "din-meter", "power-strip", "energy-plug-legacy", "zigbee-gateway")
FAULTS = ("coalesce", "split:ms=0,n=7", "status_first", "dup_status", "split_status", "partial_status", "device22", "one_client:n=2",
          "reboot:ms=0", "reboot", "rekey", "ip_change", "suffix_in_body", "bad_check", "wrong_key_reply", "slice:n=9,ms=0", "glue:ms=0",
          "drop_bytes", "junk", "reset:n=5", "half_close", "vendor", "realistic", "slow:ms=0", "seq_echo", "late_status:ms=0")

# fuzz/control.c counts its methods and paths so.
POST, PATCH, PUT, GET, DELETE, OPTIONS = range(6)
PATHS = ("dps", "load", "faults", "press", "reboot", "device", "gateway", "nobody", "verify", "advance", "all-faults", "journal",
         "devices", "clock", "healthz", "metrics", "events", "nowhere")
CONTROLS = (
    ("set-values", PATCH, "dps", {"dps": {"1": True, "9": 60}}), ("set-bare", PATCH, "dps", {"1": False}),
    ("get-values", GET, "dps"), ("set-impossible", PATCH, "dps", {"1": "maybe"}), ("set-unknown", PATCH, "dps", {"200": 1}),
    ("set-nothing", PATCH, "dps", {}),
    ("set-every-type", PATCH, "dps", {"dps": {"1": True, "9": 86400, "38": "last", "41": True, "42": "AAAA", "44": "x"}}),
    ("load", PUT, "load", {"watts": 60, "pf": 0.9}), ("appliance", PUT, "load", {"appliance": "kettle"}),
    ("get-load", GET, "load"), ("appliance-later", PUT, "load", {"appliance": "washing-machine", "delay_s": 5}),
    ("brownout", PUT, "load", {"scene": "brownout"}), ("overload", PUT, "load", {"scene": "overload"}),
    ("fridge-day", PUT, "load", {"scene": "fridge-day"}), ("no-appliance", PUT, "load", {"appliance": "teleporter"}),
    ("negative-watts", PUT, "load", {"watts": -1}), ("no-power-factor", PUT, "load", {"watts": 60, "pf": 2}),
    ("fault", POST, "faults", {"fault": "late_status:ms=3000,p=0.5"}),
    ("fault-by-name", POST, "faults", {"name": "late_status", "ms": 3000, "p": 0.5, "count": 2}), ("faults", GET, "faults"),
    ("fault-by-number", POST, "faults", {"fault": "Q02:n=7,skip=1,cmd=CONTROL"}), ("no-faults", DELETE, "faults"),
    ("unknown-fault", POST, "faults", {"fault": "gremlins"}),
    ("bad-fault", POST, "faults", {"fault": "slow:ms=x,p=2,count=-1"}), ("fault-rekey", POST, "faults", {"fault": "rekey"}),
    ("fault-dp-absent", POST, "faults", {"name": "dp_absent", "n": 9}), ("press", POST, "press", {"relay": 1}),
    ("press-the-only-one", POST, "press"), ("reboot", POST, "reboot", {"ms": 1000}), ("device", GET, "device"),
    ("gateway", PATCH, "gateway", {"cid": "a1", "dps": {"1": True}}), ("gateway-values", GET, "gateway"),
    ("nobody", GET, "nobody"), ("verify", POST, "verify", {"cmd": "CONTROL", "dps": {"1": True}, "count": 1}),
    ("verify-range", POST, "verify", {"cmd": 7, "count": {"min": 0, "max": 1}}),
    ("verify-shout", POST, "verify", {"cmd": "SHOUT"}), ("verify-nobody", POST, "verify", {"device": "nobody"}),
    ("verify-device", POST, "verify", {"device": ID.decode(), "dir": "to_device", "since": 0, "count": 0}),
    ("advance", POST, "advance", {"ms": 60000}), ("every-device", POST, "all-faults", {"fault": "no_ack"}),
    ("all-faults", GET, "all-faults"), ("no-fault-999", DELETE, "all-faults"), ("journal", GET, "journal"),
    ("no-journal", DELETE, "journal"), ("list", GET, "devices"), ("clock", GET, "clock"), ("healthz", GET, "healthz"),
    ("metrics", GET, "metrics"), ("events", GET, "events"), ("nowhere", GET, "nowhere"), ("not-allowed", PUT, "devices"),
    ("options", OPTIONS, "dps"), ("no-json", POST, "faults", b"{"), ("no-object", PATCH, "dps", [1]),
    ("no-utf8", POST, "verify", b'"\xff"'),
)


def record(operation, data=b"", connection=0):
    return bytes([connection << 4 | operation]) + struct.pack(">H", len(data)) + data


def message(command, body=b"", flags=0, connection=0):
    return record(MESSAGE, bytes([command, flags]) + body, connection)


def time(ms):
    return record(TIME, struct.pack(">H", ms))


DOTS = {c: "." for c in range(256) if not 0x20 <= c < 0x7f}


class Corpus:
    def __init__(self, root):
        self.root, self.n = root, 0

    def put(self, harness, name, data):
        folder = self.root / harness
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        self.n += 1


def context(vector):
    return VERSIONS.index(vector["version"]) | (FROM_DEVICE if vector["direction"] == "from_device" else 0)


def plaintext(vector):
    if vector.get("plaintext") is not None:
        return vector["plaintext"].encode()
    return bytes.fromhex(vector.get("plaintext_hex") or "")


def frames(corpus, vectors):
    for version in VERSIONS:
        for v in json.loads((vectors / f"{version}.json").read_text())["vectors"]:
            if len(v["frame_hex"]) > 4096:
                continue  # size is no seed: mutants of it are slow
            data, c = bytes.fromhex(v["frame_hex"]), context(v)
            corpus.put("frame", v["id"], bytes([c]) + data)
            corpus.put("open", v["id"], bytes([c]) + data)
            if plaintext(v)[:1] == b"{":
                corpus.put("body", v["id"], bytes([c & 7]) + plaintext(v))
            way = FROM if c & FROM_DEVICE else TO
            if way == TO:
                corpus.put("find", v["id"], bytes([c]) + data)
            corpus.put("observer", v["id"], bytes([c & 7]) + record(way, data))
            if VERSIONS.index(version) < 3:  # no handshake before them
                corpus.put("client" if way == FROM else "device", v["id"], bytes([c & 7]) + record(way, data))
        both = [v for v in json.loads((vectors / f"{version}.json").read_text())["vectors"]
                if len(v["frame_hex"]) < 600][:12]
        tape = b"".join(record(FROM if context(v) & FROM_DEVICE else TO, bytes.fromhex(v["frame_hex"])) for v in both)
        corpus.put("observer", f"v{version.replace('.', '')}-both-directions", bytes([VERSIONS.index(version)]) + tape)


def limits(corpus):
    for name, bits in (("usual", 0), ("small", SMALL_LIMIT), ("none", NO_LIMIT)):
        for length in (0x41, 0xFFFF, 0xFFFFFFFF):  # around each of them
            head = bytes.fromhex("000055aa0000000100000009") + struct.pack(">I", length)
            corpus.put("frame", f"limit-{name}-length-{length:x}", bytes([2 | bits]) + head + bytes(length if length < 100 else 8))


def with_crc(command, body):
    head = bytes.fromhex("000055aa00000001") + struct.pack(">II", command, len(body) + 8) + body
    return head + struct.pack(">I", zlib.crc32(head)) + bytes.fromhex("0000aa55")


def in_clear(corpus):
    """Bodies that are not encrypted; what is not ASCII is known for JSON by its braces."""
    for c, version in enumerate(VERSIONS[:3]):
        for name, body in (("brace", "{}"), ("blank", '{ "dps":{"1":"é"}}'), ("tab", '{\t"dps":{"1":"é"}}'),
                           ("return", '{\r"dps":{"1":"é"}}'), ("newline", '{\n"dps":{"1":"é"}}'), ("quote", '{"dps":{"1":"é"}}'),
                           ("not-json", '{é}'), ("text", "json obj data unvalid")):
            name = f"v{version.replace('.', '')}-clear-{name}"
            corpus.put("open", name, bytes([c]) + with_crc(10, body.encode()) + with_crc(7, body.encode() + b"\0"))
            corpus.put("observer", name, bytes([c]) + record(TO, with_crc(10, body.encode())) +
                       record(FROM, with_crc(10, bytes(4) + body.encode())))
    zero_crc = with_crc(10, b'{"gwId":"' + ID + b'","devId":"' + ID + b'"}')
    zero_crc = zero_crc[:-8] + bytes(4) + zero_crc[-4:]
    for name, bits in (("excused", 0x80), ("refused", 0)):
        corpus.put("open", "v31-zero-crc-" + name, bytes([bits]) + zero_crc)
        corpus.put("device", "v31-zero-crc-" + name, bytes([bits]) + record(TO, zero_crc))


def malformed(corpus, vectors):
    for v in json.loads((vectors / "malformed.json").read_text())["vectors"]:
        data = bytes.fromhex(v["input_hex"])
        cut = v["id"].startswith("bad-trunc") and len(data) % 16 != 5
        if cut or len(data) > 2048:
            continue
        corpus.put("frame", v["id"], bytes([context(v) | STRICT]) + data)
        corpus.put("open", v["id"], bytes([context(v) | STRICT]) + data)
        corpus.put("observer", v["id"], bytes([context(v) & 7]) + record(FROM if context(v) & FROM_DEVICE else TO, data))
        if not context(v) & FROM_DEVICE and not v["id"].startswith("bad-len"):
            corpus.put("find", v["id"], bytes([context(v)]) + data)


def first_frames(corpus, vectors):
    """What clients begin with on a port of many devices."""
    cases = json.loads((vectors / "session.json").read_text())["cases"]
    starts = [bytes.fromhex(next(c for c in cases if c["id"] == name)["frames"][0]["frame_hex"])
              for name in ("hs34-normal", "hs35-normal")]
    corpus.put("find", "probe-for-34-and-35", b"\x03" + starts[0] + starts[1])
    corpus.put("find", "probe-for-35-and-34", b"\x04" + starts[1] + starts[0])
    # {"t":"174","gwId":"fake0000000000000000id"} under the local key
    brace = bytes.fromhex("7b0e67de3585c2017775bffda55a5a01b8946380e997dabb74b557aae895f1f95e90df102aee5436be7bbe6f636848cf")
    corpus.put("find", "ciphertext-begins-with-a-brace", b"\x02" + with_crc(10, brace))
    corpus.put("find", "nobody-and-heart-beats", b"\x02" + with_crc(9, b"") + b"junk" + with_crc(10, b'{"gwId":"nobody"}') + with_crc(9, b""))
    for name in ("gwId", "devId", "uid"):
        corpus.put("find", "in-clear-by-" + name, b"\x01" + with_crc(10, b'{"' + name.encode() + b'":"' + ID + b'"}'))


def sessions(corpus, vectors):
    whole = json.loads((vectors / "session.json").read_text())
    for case in whole["cases"]:
        c = VERSIONS.index(case["version"])
        steps = case["frames"] + case.get("after", [])
        tape = b"".join(record(FROM if s["direction"] == "from_device" else TO, bytes.fromhex(s["frame_hex"]))
                        for s in steps if len(s["frame_hex"]) < 2000)
        if case["local_key_hex"] == "30313233343536373839616263646566":
            corpus.put("observer", case["id"], bytes([c]) + tape)
    for i, failure in enumerate(whole["failures"]):
        if len(failure["input_hex"]) > 2000:
            continue
        c = 4 if failure["input_hex"].startswith("00006699") else 3
        before = {"wait_finish": 1, "established": 2}.get(failure["state"], 0)
        name = f"failure-{i:02}-{failure['role']}-{failure['expect'].replace('_', '-')}"
        way = TO if failure["role"] == "device" else FROM
        corpus.put(failure["role"], name,
                   bytes([c]) + record(HANDSHAKE) * before + record(way, bytes.fromhex(failure["input_hex"])))


def discovery(corpus, vectors):
    for v in json.loads((vectors / "discovery.json").read_text())["vectors"]:
        corpus.put("discovery", v["id"], bytes.fromhex(v["frame_hex"]))


def handshakes(corpus):
    start, finish, resp = 3, 5, 4
    for c, v in ((0, "v34"), (1, "v35")):
        def put(name, *steps):
            corpus.put("session", f"{v}-{name}", bytes([c]) + b"".join(steps))
        honest = record(HANDSHAKE)
        put("honest", honest * 3)
        put("honest-twice", honest * 3, record(CONNECT), honest * 3)
        put("start-repeated", honest, message(start, b"0123456789abcdef"), honest, honest)
        put("start-short", message(start, b"short"), honest * 3)
        put("finish-first", message(finish, b"f" * 32))
        put("finish-short", honest, honest, message(finish, b"f" * 31), honest)
        put("finish-one-byte-off", honest, honest, message(finish, b"\x05\x01", 0x20), honest)
        put("finish-again", honest * 3, message(finish, b"f" * 32))
        put("start-on-live-session", honest * 3, message(start, b"0123456789abcdef"))
        put("resp-one-byte-off", honest, message(resp, b"\x1f\x80", 0x20, 1))
        put("resp-refused", honest, message(resp, b"r" * 48, 0x40, 1))
        put("resp-short", honest, message(resp, b"r" * 47, 0, 1))
        put("push-before-resp", honest, message(8, b"{}", 0, 1), honest * 2)
        put("resp-unasked", message(resp, b"r" * 48, 0, 1))
        put("client-starts-twice", record(ACT), record(ACT))


def engines(corpus):
    old_id = b'{"gwId":"' + ID + b'","devId":"' + ID + b'"}'
    for c, v in enumerate(VERSIONS):
        v = "v" + v.replace(".", "")
        new = c >= 3
        hello = record(HANDSHAKE) * 2 if new else b""
        query, control = (0x10, 0x0D) if new else (0x0A, 0x07)
        body = b'{"protocol":5,"t":1700000000,"data":{"dps":{"1":true,"9":60}}}' if new else \
            b'{"devId":"' + ID + b'","uid":"' + ID + b'","t":"1700000000","dps":{"1":true,"9":60}}'
        status = b'{"protocol":4,"t":1700000000,"data":{"dps":{"1":true}}}' if new else \
            b'{"devId":"' + ID + b'","dps":{"1":true},"t":1700000000}'

        def device(name, *steps, bits=0):
            corpus.put("device", f"{v}-{name}", bytes([c | bits]) + b"".join(steps))
        day = [hello, message(query, b"{}" if new else old_id), message(control, body), message(9),
               message(9, old_id), message(0x12, b'{"dpId":[18,19,20]}'),
               message(0x40, b'{"reqType":"subdev_online_stat_query","data":{"cids":[]}}'), record(DPS, b'{"18":512}')]
        device("day", *day)
        device("day-manual", *day, bits=0x20)
        device("day-vendor", *day, bits=0x08)
        device("vendor-short-reads", hello, *day, bits=0x10)
        device("key-zero", *day, bits=0x40)
        device("null-map", hello, message(0x0D, b'{"dps":{"1":null,"9":null}}'))
        device("not-json", hello, message(control, b"{"), message(query, b"x"), message(0x12, b"[]"))
        device("wrong-key", message(query, old_id, 0x10), message(control, body, 0x10), message(9, b"{}", 0x10))
        device("damaged", hello, message(query, old_id, 0x20), message(query, old_id))
        device("replayed", hello, message(query, b"{}", 0x80), message(query, b"{}", 0x03))
        device("unknown-commands", hello, *[message(n, b"{}") for n in (0, 1, 6, 11, 0x20, 0xFE)])
        device("handshake-on-live-session", hello, record(HANDSHAKE) * 2)
        device("idle", hello, time(20000), message(9), time(30000), time(1000))
        device("noise-is-no-sign-of-life", hello, message(9), time(20000), record(TO, bytes.fromhex("00006699" if new else "000055aa")),
               message(9, b"", 0x20), time(20000))
        device("same-bad-query-twice", hello, message(query, b"{}" if new else old_id), *[message(query, b"{\"a\":" if new else old_id[:-1] + b",")] * 2)
        device("never-finishes", record(HANDSHAKE), time(30000), record(ACT, b"\x04"), record(ACT, b"\x04"))
        device("client-does-not-read", hello, record(ACT, b"\x03"), *[message(query, b"{}")] * 40)
        device("four-clients", *[record(HANDSHAKE, b"", n) * 2 + message(query, b"{}", 0, n) for n in range(4)],
               record(DPS, b'{"1":false}', 2), record(CLOSE, b"", 1), record(CONNECT, b"", 1))
        device("application-sends", hello, record(ACT, b"\x01\x05"), record(ACT, b"\x22\x08{}"),
               record(ACT, b"\x42\x09"), record(ACT, b"\x00"), message(9))
        device("other-envelope", record(TO, bytes.fromhex("00006699" if c < 4 else "000055aa") + b"\0" * 60))

        def sim(name, *steps, bits=0):
            corpus.put("sim", f"{v}-{name}", bytes([c | bits]) + b"".join(steps))
        for i, profile in enumerate(SIMULATED):
            sim("day-of-" + profile, *day, time(1000), record(ACT, b"\x02"), time(60000), bits=i << 3)
        cid = b'{"cid":"0000000000000001","t":1,"dps":{"1":false}}'
        if new:
            cid = b'{"protocol":5,"t":1,"data":{"cid":"0000000000000001","dps":{"1":false}}}'
        sim("behind-a-gateway", hello, message(control, cid), message(query, b'{"cid":"0000000000000001"}'), message(0x12, b'{"cid":"0000000000000001","dpId":[18]}'),
            record(DPS, b'{"1":true}'), record(ACT, b"\x01"), bits=7 << 3)
        sim("among-others", *day, bits=0x80)
        sim("fuzzed", *day * 3, bits=0x40)
        sim("heart-beats-among-others", record(TO, bytes.fromhex("000055aa00000001000000090000000872e818610000aa55")) * 3, *day, bits=0x80)
        sim("byte-by-byte-among-others", record(PIECES, b"\x01"), *day, bits=0x80)
        sim("three-clients", *[record(HANDSHAKE, b"", n) * 2 + message(query, old_id, 0, n) for n in range(3)],
            message(control, body, 0, 1), record(CLOSE, b"", 1), message(9, b"", 0, 2))
        sim("restart", hello, message(control, body), record(ACT, b"\x03"), hello, message(query, old_id), record(ACT, b"\x06"))
        sim("half-closed", hello, record(ACT, b"\x05"), record(DPS, b'{"1":true}'))
        sim("countdown", hello, message(control, body.replace(b"60", b"3")), *[time(1000)] * 5)
        sim("wrong-key", message(query, old_id, 0x10), message(control, body, 0x10), message(9, b"{}", 0x10), bits=0x80)
        sim("idle", hello, time(29000), message(9), *[time(60000)] * 3)
        for i, fault in enumerate(FAULTS):
            sim("fault-" + fault, record(ACT, b"\0" + fault.encode()), *day, bits=i % 8 << 3)

        def client(name, *steps, bits=0):
            corpus.put("client", f"{v}-{name}", bytes([c | bits]) + b"".join(steps))
        hello = record(HANDSHAKE) if new else b""
        dps = b'{"1":true,"9":60}'
        calls = [record(ACT, b"\0"), record(HANDSHAKE), record(ACT, b"\x01" + dps), record(HANDSHAKE),
                 message(8, status), record(ACT, b"\x22"), record(HANDSHAKE), record(ACT, b"\x03"), record(HANDSHAKE),
                 record(ACT, b"\x04"), message(0x40, b'{"reqType":"subdev_online_stat_report",'
                                                    b'"data":{"online":["a"],"offline":[]}}'),
                 record(ACT, b"\x85{}"), record(ACT, b"\x0e"), message(8, status)]
        client("day", hello, *calls)
        client("day-numbered", hello, *calls, bits=0x08)
        client("day-null-map", hello, *calls, bits=0x10)
        client("day-without-randomness", hello, *calls, bits=0x80)
        client("day-sub-device", hello, *calls, bits=0x40)
        client("asked-before-established", record(ACT, b"\0"), record(ACT, b"\x01" + dps), hello, record(HANDSHAKE))
        client("device22", hello, record(ACT, b"\0"), message(query, b"json obj data unvalid", 0x40, 1),
               message(0x10, b"json obj data unvalid", 0x40, 1), record(HANDSHAKE), message(8, status))
        client("refused", hello, record(ACT, b"\x01" + dps), message(control, b"parse data error", 0x40, 1))
        client("refused-in-host-order", hello, record(ACT, b"\x01" + dps), message(control, b"", 0x40, 1))
        client("silent-device", hello, record(ACT, b"\0"), *[record(ACT, b"\x07")] * 6)
        client("no-handshake", time(5000), time(5000), record(ACT, b"\0"))
        client("same-push-twice", hello, message(8, status), message(8, status, 0x01), message(8, status, 0x80))
        client("wrong-key", hello, message(8, status, 0x10), message(8, status))
        client("local-key", hello, message(8, status, 0x08), message(8, status))
        client("damaged", hello, message(8, status, 0x20), message(8, status))
        client("hung-up", hello, record(ACT, b"\0"), record(CLOSE), record(ACT, b"\0"), record(CONNECT))
        client("late-answer", hello, record(ACT, b"\x01" + dps), time(6000), record(ACT, b"\x01" + dps),
               message(control, b"", 0x01, 1), message(control, b"", 0, 1))
        client("many-pushes", hello, *[message(8, status)] * 20)
        client("nobody-there", hello, *[record(ACT, b"\x07")] * 5)
        client("too-many-requests", hello, *[record(ACT, b"\0")] * 40)
        if new:
            client("everything-but-resp", *[message(9)] * 12, hello)
        client("old-device", record(FROM, bytes.fromhex(
            "000055aa00000001000000030000000c00000001" + "00000000" + "0000aa55")))

        def observer(name, *steps, bits=0):
            corpus.put("observer", f"{v}-{name}", bytes([c | bits]) + b"".join(steps))
        hello = record(HANDSHAKE) * 3 if new else b""
        reply = message(query, b'{"dps":{"1":true}}', 0, 1)
        observed = [hello, message(query, b"{}" if new else old_id), reply, message(control, body),
                    message(8, status, 0, 1), message(0x12, b'{"dpId":[18,19,20]}')]
        observer("conversation", *observed)
        observer("conversation-unknown-roles", *observed, bits=0x08)
        observer("conversation-mixed", *observed, bits=0x10)
        observer("conversation-no-keys", *observed, bits=0x20)
        observer("conversation-key-log", *observed, bits=0x40)
        observer("hints", record(ACT, bytes([c, 1])), *observed)
        observer("wrong-hints", record(ACT, bytes([(c + 1) % 5, 0])), *observed)
        observer("gap", hello, message(query, b"{}"), time(100), record(TIME, b"\0\0", 1), *observed)
        observer("no-handshake-seen", record(HANDSHAKE), message(8, status, 0, 1), message(control, body))
        observer("wrong-key", hello, message(8, status, 0x10, 1), message(8, status, 0, 1))
        observer("local-key", hello, message(8, status, 0x08, 1), message(8, status, 0, 1))
        if new:
            observer("handshakes-again", *[s for n in range(6) for s in (hello, message(query, b"{}"), reply)])
            observer("starts-again", *[s for n in range(6) for s in (record(HANDSHAKE) * 3, record(CLOSE), record(HANDSHAKE))])
        observer("ends-inside-a-frame", hello, record(TO, bytes.fromhex("000055aa0000")), record(CLOSE),
                 record(CLOSE, b"", 1))
        observer("tls", record(TO, bytes.fromhex("160301020001000000")), record(CONNECT), *observed)
        observer("empty-bodies", hello, message(9), message(9, b"", 0, 1), message(control, b"", 0x40, 1))

        def pair(name, *steps):
            corpus.put("pair", f"{v}-{name}", bytes([c]) + b"".join(steps))
        talk = [record(ACT, b"\0"), record(ACT, b"\x01" + dps), record(ACT, b"\x02"), record(ACT, b"\x03"),
                record(ACT, b"\x04"), record(ACT, b"\x05"), record(DPS, dps)]
        pair("talk", *talk)
        pair("talk-byte-by-byte", record(PIECES, b"\x01"), *talk)
        pair("heart-beats", *[time(10000)] * 8)
        pair("damage-to", record(TO, b"\x00\x90"), *talk)
        pair("damage-from", record(FROM, b"\x00\x90"), *talk)
        pair("reconnect", *talk, record(CONNECT), *talk)


def hex_dump(data, offset, group):
    """Sixteen bytes a line, with the characters behind them."""
    return "".join(f"{offset.format(at)}{data[at:at + 16].hex(' ', group):47}  {data[at:at + 16].decode('latin-1').translate(DOTS)}\n"
                   for at in range(0, len(data), 16))


def texts(corpus, vectors):
    entry = {"name": "Kettle plug", "id": "fake0000000000000000id", "key": "0123456789abcdef", "ip": "192.0.2.11",
             "mac": "02:00:00:00:00:01", "uuid": "fakeuuid", "category": "cz", "product_id": "keyfake00000000",
             "product_name": "Plug", "version": "3.3"}
    mapping = {"1": {"code": "switch_1", "type": "Boolean", "values": {}},
               "9": {"code": "countdown_1", "type": "Integer",
                     "values": {"unit": "s", "min": 0, "max": 86400, "scale": 0, "step": 1}},
               "19": {"code": "cur_power", "type": "Integer",
                      "values": "{\"unit\":\"W\",\"min\":0,\"max\":80000,\"scale\":1,\"step\":1}"},
               "26": {"code": "fault", "type": "Bitmap", "values": {"label": ["ov_cr", "ov_vol"]}},
               "38": {"code": "relay_status", "type": "Enum", "values": {"range": ["0", "1", "2"]}},
               "44": {"code": "cycle", "type": "String", "values": {"maxlen": 255}}, "x": {"type": "Raw"}}

    def devices(name, value):
        corpus.put("devices", name, json.dumps(value).encode())
    devices("list", [entry])
    devices("list-with-mapping", [dict(entry, mapping=mapping)])
    devices("object", {"devices": [entry, dict(entry, id="b", name="kettle")]})
    devices("snapshot", {"timestamp": 1700000000, "devices": [
        {"id": "fake0000000000000000id", "ip": "192.0.2.11", "key": "0123456789abcdef", "ver": "3.4", "name": "Plug",
         "dps": {"dps": {"1": True, "18": 512, "21": "white"}}, "devId": None}]})
    devices("gateway-and-sub-device", [entry, dict(entry, id="sub", sub=True, node_id="a4c1380000000001",
                                                   parent="fake0000000000000000id")])
    devices("same-id-twice", [entry, entry])
    devices("keys-of-wrong-length", [dict(entry, key="short"), dict(entry, key="")])
    devices("odd-versions", [dict(entry, version=v) for v in (3.4, "3.5", "", None, "9.9")])
    devices("mapping-by-code", [dict(entry, mapping={"switch": {"type": "Boolean"}})])
    devices("nothing-usable", [{}, 1, None, "x"])
    corpus.put("devices", "empty-list", b"[]")
    corpus.put("devices", "cut-off", json.dumps([entry]).encode()[:60])
    corpus.put("devices", "with-bom", b"\xef\xbb\xbf" + json.dumps([entry]).encode())
    line = b"TUYA_SESSION 3.4 000102030405060708090a0b0c0d0e0f 6f4516b64d027488c7ad4446378bcd0a"
    reply = {"fuzzed": 17, "how": "json,seq", "device": ID.decode(), "version": "3.5", "of": 16, "command": 16, "seq": 9, "flags": 1,
             "has_retcode": True, "retcode": 1, "has_header": True, "header_version": b"3.5".hex(), "counter": 7, "source": 1,
             "twice": False, "late": True, "damage": 3, "value": 4294967295, "junk": "0102ff",
             "payload": b'{"dps":{"1":"surprise"}}'.hex(), "bytes": "00"}
    text = json.dumps(reply).encode()
    corpus.put("fuzzlog", "one-reply", text + b"\n")
    corpus.put("fuzzlog", "the-last-counts", b'{"fuzzed":1}\n' + text + b"\r\n\n")
    corpus.put("fuzzlog", "no-newline-at-end", text)
    corpus.put("fuzzlog", "member-missing", json.dumps({k: v for k, v in reply.items() if k != "junk"}).encode())
    for name, change in (("too-much-junk", {"junk": "00" * 17}), ("no-hex", {"payload": "0g"}), ("half-a-byte", {"payload": "0"}),
                         ("negative", {"seq": -1}), ("no-such-damage", {"damage": 6}), ("too-large", {"value": 2**32}),
                         ("no-flag", {"twice": 1}), ("long-how", {"how": "json," * 20}), ("empty", {"payload": "", "junk": ""})):
        corpus.put("fuzzlog", name, json.dumps({**reply, **change}).encode())
    corpus.put("keylog", "two-sessions", b"# tuyawire\n" + line + b" " + ID + b"\n" + line.replace(b"3.4", b"3.5") + b"\n")
    corpus.put("keylog", "other-lines", b"CLIENT_RANDOM 00 11\r\n\r\n" + line + b"\r\n")
    corpus.put("keylog", "short-nonce", b"TUYA_SESSION 3.4 0001 6f4516b64d027488c7ad4446378bcd0a\n")
    corpus.put("keylog", "version-without-sessions", line.replace(b"3.4", b"3.3"))
    corpus.put("keylog", "no-newline-at-end", line)
    corpus.put("keylog", "long-id", line + b" " + b"i" * 70 + b"\n")
    for name, method, path, *body in CONTROLS:
        text = b"".join(b if isinstance(b, bytes) else json.dumps(b).encode() for b in body)
        corpus.put("control", name, bytes([method * len(PATHS) + PATHS.index(path), 0]) + text)
    for i in range(9):  # 0: no parameters; each value of each parameter of a query
        corpus.put("control", f"journal-asked-{i}", bytes([GET * len(PATHS) + PATHS.index("journal"), i]))
        corpus.put("control", f"list-asked-{i}", bytes([GET * len(PATHS) + PATHS.index("devices"), i]))
    for name, text in HOUSEHOLD:
        corpus.put("pseudonyms", name, text)
    for name, text in FILTERS:
        corpus.put("filter", name, text.encode())
    frame = bytes.fromhex("000055aa" "00000000" "00000009" "0000000c" "00000000" "b051ab03" "0000aa55")
    gcm = bytes.fromhex("00006699" "0000" "00000001" "00000009" "0000001c") + bytes(28) + bytes.fromhex("00009966")
    for name, text in (("digits", "sent " + frame.hex() + "\n"), ("upper-case-with-blanks", frame.hex(" ").upper()),
                       ("colons", frame.hex(":")), ("prefixed", ", ".join(f"0x{b:02x}" for b in frame)),
                       ("python-bytes", repr(frame + b"\n\t\r\\'")), ("several-lines", frame.hex(" ", 8).replace(" ", "\n")),
                       ("cut-off", frame.hex()[:30]), ("6699", gcm.hex() + " and " + frame.hex()),
                       ("huge-length", frame.hex()[:24] + "fffffff0" + frame.hex()[32:]), ("no-frame", "0000 0x00 \\x"),
                       ("odd-digit", frame.hex()[:-1]), ("dashes", frame.hex("-")), ("empty", ""),
                       ("array-of-c", "{" + ", ".join(f"0x{b:02x}" for b in frame) + "};\n"),
                       ("with-time", f"2023-11-14 22:13:20,123 DEBUG 0x7f00aa sending {frame.hex()} (ok)\n" * 3),
                       ("hex-escapes", "got '" + "".join(f"\\x{b:02x}" for b in gcm) + "'\n"),
                       ("one-run", (frame + gcm + frame).hex()), ("nearly-a-prefix", "000055ab 0000 000055 aa"),
                       ("xxd", hex_dump(frame + gcm, "{:08x}: ", -2)), ("wireshark", hex_dump(bytes(42) + gcm, "{:04x}   ", 1)),
                       ("tcpdump", hex_dump(gcm, "\t0x{:04x}:  ", -2)), ("od-cut", hex_dump(gcm, "{:06x} ", 1)[:99] + "\n000020"),
                       ("two-dumps", hex_dump(frame, "{:04x} ", 1) + "and\n" + hex_dump(gcm, "{:04x} ", 1)),
                       ("text-inside", frame.hex()[:20] + " zz " + frame.hex()[20:])):
        corpus.put("hexlog", name, text.encode())
    corpus.put("hexlog", "control-characters", bytes(range(32)) * 40)
    for version in VERSIONS:  # under the harness's key, so that the decoder behind it opens them
        file = json.loads((vectors / f"{version}.json").read_text())["vectors"]
        chosen = [v["frame_hex"] for v in file if len(v["frame_hex"]) < 400][:3]
        corpus.put("hexlog", f"v{version.replace('.', '')}", "\n".join(f"tx {h}" for h in chosen).encode())
    numbers = b"".join(struct.pack(">I", n) for n in range(80))
    corpus.put("names", "numbers", numbers)
    for v in VERSIONS + ["3.6", "3"]:
        corpus.put("names", "version-" + v, v.encode())
    corpus.put("names", "keys", b"".join(bytes([n * 37 % 256]) + b"0123456789abcdef" for n in range(40)))
    corpus.put("names", "retcodes", bytes.fromhex("01000000000000010a0b0c0d7f000000"))
    for name, body in (("empty", b""), ("not-json", b"json obj data unvalid"), ("nul-behind", b"{}\0\0"),
                       ("depth-32", b'{"a":' * 31 + b"{}" + b"}" * 31), ("depth-33", b'{"a":' * 32 + b"{}" + b"}" * 32),
                       ("duplicate-members", b'{"dps":{"1":true,"1":false},"dps":{"1":1}}'),
                       ("escapes", rb'{"dps":{"1":"\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t"}}'),
                       ("lone-surrogate", rb'{"dps":{"1":"\ud800"}}'), ("bad-utf8", b'{"dps":{"1":"\xff"}}'),
                       ("utf8-all-lengths", '{"dps":{"1":"aé€😀"}}'.encode()),
                       ("overlong-utf8", b'{"dps":{"1":"\xc0\xaf\xe0\x80\xaf"}}'),
                       ("utf8-surrogate", b'{"dps":{"1":"\xed\xa0\x80"}}'), ("utf8-too-high", b'{"a":"\xf4\x90\x80\x80"}'),
                       ("numbers", b'{"dps":{"1":0,"2":-0,"3":1.5,"4":1e9,"5":9223372036854775807,'
                                   b'"6":-9223372036854775808,"7":9223372036854775808,"8":1E-2}}'),
                       ("bad-numbers", b'{"dps":{"1":01}}'), ("long-dp-id", b'{"dps":{"12345678901":1,"4294967296":1}}'),
                       ("escapes-of-surrogates", rb'{"dps":{"1":"\ue000","2":"\udc00","3":"\ud800\ud800","4":"\ud800\ue000",'
                                                 rb'"5":"\udbff\udfff","6":"\ud800x","7":"\ud800\n"}}'), ("control-character", b'{"a":"\x01"}'),
                       ("sub-device", b'{"protocol":5,"t":1,"data":{"cid":"a","ctype":0,"dps":{"1":true}}}'),
                       ("blanks", b' {\t"dps" : { "1" : null , "2" : [ ] } }\r\n')):
        corpus.put("body", name, b"\x02" + body)


def packet(sent, to_device, payload, seq, ack, flags=0x18):
    """Ethernet, IPv4, TCP; checksums are left out, as network cards leave them out of captures."""
    ports = (51234, 6668) if to_device else (6668, 51234)
    ends = (b"\xc0\x00\x02\x05", b"\xc0\x00\x02\x09")
    tcp = struct.pack(">HHIIBBHHH", *ports, seq & 0xffffffff, ack & 0xffffffff, 0x50, flags, 8192, 0, 0) + payload
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0x4000, 64, 6, 0)
    ip += (ends[0] + ends[1] if to_device else ends[1] + ends[0]) + tcp
    return capture_record(sent, b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0" + ip)


def over_ipv6(captured):
    """The same packet of capture_record() between two addresses of IPv6."""
    ether, ip = captured[16:28], captured[30:]
    ends = b"".join(b"\xfd\x00" + bytes(10) + end for end in (ip[12:16], ip[16:20]))
    data = ether + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, len(ip) - 20, ip[9], 64) + ends + ip[20:]
    return captured[:8] + struct.pack("<II", len(data), len(data)) + data


def datagram(sent, port, payload):
    udp = struct.pack(">HHHH", 49154, port, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + b"\xc0\x00\x02\x09\xff\xff\xff\xff" + udp
    return capture_record(sent, b"\xff" * 6 + b"\x02\0\0\0\0\x02\x08\0" + ip)


def fragment(sent, at, length, more):
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length, 7, more << 13 | at // 8, 64, 6, 0) + b"\xc0\x00\x02\x05\xc0\x00\x02\x09"
    return capture_record(sent, b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0" + ip + (b"\x1a\x0c" * length)[:length])


def capture_record(sent, data):
    return struct.pack("<IIII", 1700000000 + sent // 1000, sent % 1000 * 1000, len(data), len(data)) + data


PCAP = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


def conversation(steps, cut=None, glue=False):
    """A TCP connection that carries these frames: (to_device, bytes)."""
    seq, out, sent = [1000, 5000], [], 0
    out.append(packet(0, True, b"", seq[0] - 1, 0, 0x02))
    out.append(packet(1, False, b"", seq[1] - 1, seq[0], 0x12))
    for to_device, data in steps:
        way = 0 if to_device else 1
        pieces = [data[:cut], data[cut:]] if cut and len(data) > cut else [data]
        for piece in pieces:
            sent += 20
            out.append(packet(sent, to_device, piece, seq[way], seq[1 - way]))
            seq[way] += len(piece)
    out.append(packet(sent + 20, True, b"", seq[0], seq[1], 0x11))
    out.append(packet(sent + 21, False, b"", seq[1], seq[0] + 1, 0x11))
    return out


def captures(corpus, vectors):
    """For dump and redact."""
    def put(name, packets):
        corpus.put("dump", name, PCAP + b"".join(packets))
        there = b"".join(packets).replace(b"\xc0\x00\x02\x05", b"\x0a\x14\x1e\x05").replace(b"\xc0\x00\x02\x09", b"\x0a\x14\x1e\x09")
        corpus.put("redact", name, PCAP + there)  # addresses that are no pseudonyms
    for c, version in enumerate(VERSIONS):
        name = "v" + version.replace(".", "")
        if c < 3:
            chosen = [v for v in json.loads((vectors / f"{version}.json").read_text())["vectors"]
                      if len(v["frame_hex"]) < 500 and v["transport"] == "tcp"][:8]
            steps = [(v["direction"] == "to_device", bytes.fromhex(v["frame_hex"])) for v in chosen]
        else:
            case = [x for x in json.loads((vectors / "session.json").read_text())["cases"]
                    if x["version"] == version and x.get("after")][0]
            steps = [(s["direction"] == "to_device", bytes.fromhex(s["frame_hex"]))
                     for s in case["frames"] + case["after"] if len(s["frame_hex"]) < 600][:10]
        packets = conversation(steps)
        put(name, packets)
        put(name + "-cut-in-segments", conversation(steps, cut=20))
        put(name + "-one-lost", packets[:3] + packets[4:])
        put(name + "-swapped", packets[:3] + [packets[4], packets[3]] + packets[5:])
        put(name + "-middle-only", packets[3:-2])
        put(name + "-many-at-once", conversation([(way, data * 12) for way, data in steps]))
        put(name + "-repeated", [p for one in packets for p in (one, one)])
        put(name + "-ports-used-again", packets + packets)
        put(name + "-over-ipv6", [over_ipv6(p) for p in packets])
        if c >= 3:
            put(name + "-key-log-only", conversation(steps[3:]))
            put(name + "-second-handshake", conversation(steps[:4] + steps[:1] + steps[4:5] + steps[1:3] + steps[4:]))
            put(name + "-response-first", conversation(steps[1:2] + steps[:1] + steps[2:]))
    gateway = [v for v in json.loads((vectors / "3.3.json").read_text())["vectors"] if "cid" in v.get("plaintext", "")]
    put("v33-sub-device", conversation([(v["direction"] == "to_device", bytes.fromhex(v["frame_hex"])) for v in gateway]))
    sent = b""
    for i, v in enumerate(json.loads((vectors / "discovery.json").read_text())["vectors"]):
        sent += datagram(i * 100, v["udp_port"], bytes.fromhex(v["frame_hex"]))
    put("discovery", [sent])
    put("discovery-answered", [sent.replace(b"\xff\xff\xff\xff", b"\xc0\x00\x02\x05")])
    large = b'{"gwId":"' + ID + b'","dps":{' + b",".join(b'"%d":true' % i for i in range(1, 300)) + b"}}"
    put("frame-of-many-segments", conversation([(True, with_crc(0x0A, large)), (True, with_crc(0x10, large))]))
    for length in (64, 65, 300):
        body = b'{"gwId":"' + b"g" * length + b'","devId":"' + b"g" * length + b'"}'
        corpus.put("dump", f"id-of-{length}", PCAP + b"".join(conversation([(True, with_crc(0x0A, body))])))
    corpus.put("dump", "empty", PCAP)
    corpus.put("dump", "cut-off-in-packet", (PCAP + sent)[:300])
    for name, parts in (("behind-the-end", ((64, 64, 1), (24, 8, 0))), ("with-two-ends", ((40, 8, 0), (8, 16, 0))),
                        ("ending-in-a-unit", ((8, 3, 0), (16, 8, 0), (0, 8, 1)))):
        corpus.put("dump", "fragments-" + name, PCAP + b"".join(fragment(i, *p) for i, p in enumerate(parts)))
    corpus.put("dump", "raw-ip", PCAP[:20] + struct.pack("<I", 101) + b"".join(
        capture_record(i, p[16 + 14:]) for i, p in enumerate(conversation([(True, b"\0\0\x55\xaa")]))))


def segments(corpus):
    def put(name, *steps, first=0):
        corpus.put("tcp", name, bytes([first]) + b"".join(steps))

    def one(offset, length, ack=0, flags=0, way=TO, connection=0):
        return record(way, struct.pack(">BHHB", flags, offset, length, ack), connection)
    put("in-order", one(0, 100), one(100, 100), one(0, 50, 1, 0, FROM), one(200, 9))
    put("swapped", one(0, 100), one(200, 100), one(100, 100))
    put("repeated", one(0, 100), one(0, 100), one(50, 100))
    put("overlapping", one(0, 100), one(150, 100), one(90, 80))
    put("lost-and-acknowledged", one(0, 100), one(200, 100), one(0, 50, 2, 0, FROM), one(50, 50, 200, 0, FROM))
    put("with-syn-and-fin", one(0, 0, 0, 0x0A), one(0, 100), one(100, 0, 0, 0x09), one(0, 0, 1, 0x09, FROM))
    put("reset", one(0, 100), one(100, 0, 0, 0x0C))
    put("sequence-wraps", one(0, 200), one(200, 200), one(400, 200), first=2)
    put("too-much-waits", one(0, 10), *[one(20 + 4000 * i, 4000) for i in range(10)])
    put("time-passes", one(0, 10), one(20, 10), time(1), time(1), one(30, 10))
    put("several-connections", *[one(100 * i, 100, 0, 0, way, n) for i in range(4) for n in range(4) for way in (TO, FROM)])
    put("too-many-connections", *[one(*piece, 0, 0, TO, n) for n in range(16) for piece in ((0, 10), *[(20 + 4000 * i, 3990) for i in range(3)])],
        one(0, 100, 0, 0, TO, 3))
    put("long-after-the-end", one(0, 0, 0, 0x0A), one(0, 0, 0, 0x0A, FROM), one(0, 10), one(10, 0, 0, 0x09), one(0, 0, 0, 0x09, FROM), time(0x4000),
        one(0, 10, 0, 0, TO, 1), one(0, 10), one(20, 10), time(0xff00), one(30, 10))
    put("port-used-again", one(0, 10, 0, 0x0A), one(0, 10), one(9, 10, 0, 0x0A), one(9, 10))


LINKS = ("ethernet", "null", "raw-of-linux", "raw", "802.11", "loop", "sll", "sll2", "radiotap", "ipv4", "ipv6", "unknown")


def packets(corpus):
    """fuzz/packet.c: packets behind every link header, and fragments that agree, or do not."""
    def put(name, *steps, link="ethernet"):
        corpus.put("packet", name, bytes([LINKS.index(link)]) + b"".join(steps))

    def fragments(*those):
        return record(FROM, b"".join(struct.pack(">BHHB", *one) for one in those))
    tcp = struct.pack(">HHIIBBHHH", 51234, 6668, 1000, 5000, 0x50, 0x18, 8192, 0, 0) + b"{}"
    udp = struct.pack(">HHHH", 49154, 6667, 10, 0) + b"{}"
    ends = b"\xc0\x00\x02\x05\xc0\x00\x02\x09"
    v4 = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0x4000, 64, 6, 0) + ends + tcp
    v4_udp = struct.pack(">BBHHHBBH", 0x46, 0, 24 + len(udp), 1, 0, 64, 17, 0) + ends + b"\0" * 4 + udp

    def v6(first, rest):
        return struct.pack(">IHBB", 0x60000000, len(rest), first, 64) + bytes(15) + b"\x01" + bytes(15) + b"\x02" + rest
    extended = v6(0, b"\x2b\0" + bytes(6) + b"\x3c\0" + bytes(6) + b"\x33\1" + bytes(14) + b"\x2c\1" + bytes(10) + b"\x06\0" + bytes(6) + tcp)
    ether, wifi, snap = bytes(12), bytes([0x88, 1]) + bytes(22) + b"\0\0", b"\xaa\xaa\3\0\0\0"
    heads = {"ethernet": ether + b"%s", "null": b"\2\0\0\0", "raw-of-linux": b"", "raw": b"", "802.11": wifi + snap + b"%s", "loop": b"\0\0\0\2",
             "sll": bytes(14) + b"%s", "sll2": b"%s" + bytes(18), "radiotap": b"\0\0\x0c\0" + bytes(8) + wifi + snap + b"%s", "ipv4": b"",
             "ipv6": b"", "unknown": b""}
    for link in LINKS:
        def behind(packet):
            head = heads[link]
            kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
            return record(TO, (head % kind if b"%s" in head else head) + packet)
        put(link, behind(v4), behind(v4_udp), behind(v6(6, tcp)), behind(v6(17, udp)), behind(extended), link=link)
    put("vlan", *[record(TO, ether + b"\x81\0\0\1" * n + b"\x08\0" + v4) for n in range(6)])
    put("802.11-kinds", *[record(TO, bytes([kind, flags]) + bytes(22 + more) + snap + b"\x08\0" + v4) for kind, flags, more in (
        (8, 3, 6), (0x88, 0x80, 6), (0x48, 0, 0), (8, 0x40, 0), (8, 4, 0), (0x88, 3, 8))], link="802.11")
    put("802.11-cut", *[record(TO, (wifi + snap)[:n]) for n in range(22, 34)], link="802.11")
    put("cut", *[record(TO, (ether + b"\x08\0" + v4)[:n]) for n in (13, 14, 20, 33, 34, 40, 53, 54)])
    put("ipv6-cut", *[record(TO, extended[:n]) for n in range(39, len(extended), 4)], link="raw")
    options = v6(60, b"\x06\1" + bytes(14) + tcp)
    put("ipv6-cut-in-options", *[record(TO, options[:n]) for n in range(40, 60)], link="raw")
    put("fragments", fragments((1, 0, 16, 1), (1, 2, 16, 1), (1, 4, 5, 0)), fragments((0x22, 1, 9, 0), (0x22, 0, 8, 1)))
    put("fragments-between-each-other", fragments(*[(n, at, 8, at < 2) for at in range(3) for n in range(20)]))
    put("fragments-repeated", fragments((3, 0, 16, 1), (3, 0, 16, 1), (3, 1, 16, 1), (3, 3, 8, 0), (3, 0, 24, 1)))
    put("fragments-behind-the-end", fragments((1, 8, 64, 1), (1, 3, 8, 0), (1, 0, 24, 1)))
    put("fragments-with-two-ends", fragments((1, 5, 8, 0), (1, 1, 16, 0), (1, 0, 8, 1)))
    put("fragments-ending-in-a-unit", fragments((1, 1, 3, 0), (1, 2, 8, 0), (1, 0, 8, 1)))
    put("fragments-too-far", fragments((1, 0x1fff, 7, 0), (1, 0x1fff, 8, 0), (1, 0x1ffe, 64, 1), (1, 0, 0, 1), (1, 0, 7, 1)))
    put("fragments-64k", fragments(*[(1, 256 * n, 2048 if n < 31 else 2047, n < 31) for n in range(32)]))


def models(corpus, profiles):
    for path in sorted(profiles.glob("*.json")):
        corpus.put("profile", path.stem, json.dumps(json.loads(path.read_text()), separators=(",", ":")).encode())
    dps = {"1": True, "9": 60, "17": 3, "18": 512, "19": 1084, "20": 2301}
    plug = {"id": ID.decode(), "ip": "", "name": "Plug", "key": "0123456789abcdef", "mac": "", "ver": "3.3",
            "dps": {"devId": ID.decode(), "dps": dps}}

    def put(name, value):
        corpus.put("snapshot", name, json.dumps(value).encode())
    put("tinytuya", {"timestamp": 1700000000, "devices": [plug]})
    put("ours", {"timestamp": 1700000000.25, "generation": 7, "devices": [dict(plug, tuyawire={
        "countdown": {"9": [1700000060000, 60000]}, "true_mws": 1000, "period_s": 3, "load": {"1": "kettle"}})]})
    put("unknown-device", {"timestamp": 1, "devices": [dict(plug, id="other")]})
    put("values-of-wrong-type", {"timestamp": 1, "devices": [dict(plug, dps={"dps": {"1": 1, "9": True, "18": "x"}})]})
    corpus.put("snapshot", "cut-off", b'{"timestamp":1,"devices":[{"id":')

    raw, old, cut = 1, 2, 4  # context of fuzz/state.c
    device = json.dumps(dict(plug, tuyawire={"form": 1, "countdown": {"9": [1700000060000, 60000]}, "true_mws": 7})).encode()
    gateway = json.dumps({"id": "fake0000000000000gateway", "dps": {"dps": {}}, "tuyawire": {"form": 1}, "children": [
        {"id": "x", "node_id": "0000000000000001", "dps": {"dps": {"1": False, "18": 512}}, "tuyawire": {"form": 1, "mains": 3}}]}).encode()
    head = b"tuyawire-journal 1 3\n"
    for name, bits, text in (
            ("empty", 0, b""), ("plug", 0, device), ("plug-and-gateway", 0, device + b"\n" + gateway), ("twice", 0, device + b"\n" + device),
            ("old-generation", old, device), ("cut", cut | 40 << 3 & 0xf8, device + b"\n" + gateway), ("not-json", 0, device + b"\n{"),
            ("unknown-device", 0, device.replace(ID, b"somebody")), ("no-journal", raw, b"something else, longer than a head"),
            ("nothing", raw, b""), ("cut-in-its-head", raw, head[:9]), ("no-newline", raw, head + b"00000000 2 {}"),
            ("wrong-check-value", raw, head + b"00000000 2 {}\n00000000 2 {}\n"), ("length-beyond-the-line", raw, head + b"00000000 9\n {}\n{}\n"),
            ("hole-at-the-end", raw, head + b"00000000 2 \0\0\n")):
        corpus.put("state", name, bytes([bits]) + text)


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    vectors, corpus = pathlib.Path(sys.argv[1]), Corpus(pathlib.Path(sys.argv[2]))
    frames(corpus, vectors)
    limits(corpus)
    in_clear(corpus)
    malformed(corpus, vectors)
    first_frames(corpus, vectors)
    sessions(corpus, vectors)
    discovery(corpus, vectors)
    handshakes(corpus)
    engines(corpus)
    texts(corpus, vectors)
    captures(corpus, vectors)
    segments(corpus)
    packets(corpus)
    models(corpus, vectors.parent.parent / "sim" / "profiles")
    print(f"{corpus.n} seeds in {corpus.root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
