"""Captures for tests, and everything that happens to captures.

    talk = Talk("3.5")                      # who said what: messages, and the frames that carry them
    packets = segments(talk.frames)         # TCP segments as a clean capture would hold them
    packets = reorder(packets, seed=1)      # .. and then something happens to them
    save("x.pcapng", packets, kind="pcapng", link="sll2", ip=6)

A packet is a Segment (or a Datagram); it becomes bytes only in save(), so each mangler changes one thing: where the
stream is cut, in which order segments arrive, how often, under which headers, in which file format.
"""

import gzip
import json
import random
import socket
import struct
import sys
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "helpers"))
import tuyapeer as peer  # noqa: E402
from tuyapeer import FROM_DEVICE, TO_DEVICE  # noqa: E402

SYN, ACK, PSH, FIN, RST = 0x02, 0x10, 0x08, 0x01, 0x04
KEY = b"0123456789abcdef"
DEVICE_ID = "fake0000000000000000id"


# --- who said what -----------------------------------------------------------------------------------------------

@dataclass
class Said:
    """One message as a decoder must report it."""
    dir: str
    cmd: int
    seq: int
    payload: object = None  # dict, str, or bytes of a handshake
    retcode: object = None
    frame: bytes = b""


class Talk:
    """One connection of a client that queries, switches, and is told; rounds times over."""

    def __init__(self, version, key=KEY, rounds=3, first_seq=1, rng=None, handshake=True):
        rng = rng or random.Random(7)
        self.version, self.key, self.rng = version, key, rng
        self.session_key, self.said = None, []
        self.client_seq, self.device_seq = first_seq, rng.randrange(65535)
        if version >= "3.4" and handshake:
            self._negotiate()
        new = version >= "3.4"
        for i in range(rounds):
            dps = {"1": i % 2 == 0, "9": i, "18": 260 + i, "19": 601 + i, "20": 2301}
            query = {} if new else {"gwId": DEVICE_ID, "devId": DEVICE_ID, "uid": DEVICE_ID, "t": str(1700000000 + i)}
            seq = self.client(0x10 if new else 0x0A, query)
            self.device(0x10 if new else 0x0A, {"dps": dps} if new else {"devId": DEVICE_ID, "dps": dps}, seq)
            change = {"dps": {"1": i % 2 == 1}}
            control = {"protocol": 5, "t": 1700000000 + i, "data": change} if new else \
                {"devId": DEVICE_ID, "uid": DEVICE_ID, "t": str(1700000000 + i), **change}
            seq = self.client(0x0D if new else 0x07, control)
            self.device(0x0D if new else 0x07, b"", seq)
            self.device(0x08, {"protocol": 4, "t": 1700000000 + i, "data": change} if new else
                        {"devId": DEVICE_ID, **change, "t": 1700000000 + i}, 0)
            seq = self.client(0x09, b"")
            self.device(0x09, b"", 0)

    def _add(self, direction, seq, cmd, payload, retcode):
        nonce = self.rng.randbytes(12)
        frame = peer.seal(self.version, direction, seq, cmd, payload, key=self.key, session_key=self.session_key,
                          retcode=retcode, nonce=nonce)
        self.said.append(Said(direction, cmd, seq, None if payload == b"" else payload, retcode if direction == FROM_DEVICE else None, frame))

    def client(self, cmd, payload):
        seq, self.client_seq = self.client_seq, self.client_seq + 1
        self._add(TO_DEVICE, seq, cmd, payload, None)
        return seq

    def device(self, cmd, payload, seq, retcode=0):
        if self.version >= "3.4":
            seq, self.device_seq = self.device_seq, self.device_seq + 1
        self._add(FROM_DEVICE, seq, cmd, payload, retcode)

    def _negotiate(self):
        self.client_nonce, self.device_nonce = self.rng.randbytes(16), self.rng.randbytes(16)
        self.client(0x03, self.client_nonce)
        self.device(0x04, self.device_nonce + peer.proof(self.key, self.client_nonce), 0)
        self.client(0x05, peer.proof(self.key, self.device_nonce))
        self.session_key = peer.session_key_of(self.version, self.key, self.client_nonce, self.device_nonce)

    @property
    def frames(self):
        return [(m.dir, m.frame) for m in self.said]


def expected(said):
    """What matters of records, from messages."""
    out = []
    for m in said:
        is_bytes = isinstance(m.payload, bytes)
        out.append({"dir": m.dir, "cmd": m.cmd, "seq": m.seq, "retcode": m.retcode,
                    "payload": m.payload if not is_bytes else None, "hex": m.payload.hex() if is_bytes else None})
    return out


def seen(records):
    """The same from records of tuya-dump --json. Requests without reply have records, too, which are no messages."""
    return [{k: r[k] for k in ("dir", "cmd", "seq", "retcode", "payload", "hex")} for r in records
            if r["cmd"] is not None or r["error"] is not None]


def announce(body):
    """A broadcast of 3.3, with its frame."""
    plain = json.dumps(body, separators=(",", ":")).encode()
    cipher = peer.ecb(peer.UDP_KEY, peer.pad(plain), True)
    data = peer.PREFIX_55AA + bytes(4) + (0x13).to_bytes(4, "big") + (12 + len(cipher)).to_bytes(4, "big") + bytes(4) + cipher
    return data + zlib.crc32(data).to_bytes(4, "big") + peer.SUFFIX_55AA


# --- packets -----------------------------------------------------------------------------------------------------

@dataclass
class Segment:
    src: tuple  # (address, port)
    dst: tuple
    seq: int
    ack: int = 0
    flags: int = ACK
    data: bytes = b""
    time_ns: int = 0
    fragment: int = 0  # bytes of payload per IP fragment; 0: not fragmented
    snap: int = 0      # bytes of the packet that are captured; 0: all

    def transport(self):
        head = struct.pack("!HHIIBBHHH", self.src[1], self.dst[1], self.seq & 0xFFFFFFFF, self.ack & 0xFFFFFFFF, 5 << 4,
                           self.flags, 65535, 0, 0)
        return 6, head + self.data


@dataclass
class Datagram:
    src: tuple
    dst: tuple
    data: bytes = b""
    time_ns: int = 0
    fragment: int = 0
    snap: int = 0

    def transport(self):
        return 17, struct.pack("!HHHH", self.src[1], self.dst[1], 8 + len(self.data), 0) + self.data


CLIENT, DEVICE = ("192.0.2.7", 51000), ("192.0.2.33", 6668)


def segments(frames, client=CLIENT, device=DEVICE, isn=(1000, 9000), syn=True, fin=True, start_ns=1700000000 * 10**9,
             step_ns=10**7):
    """A clean connection: each frame in a segment of its own, acknowledged by what the other side sends next."""
    out, now = [], start_ns
    nxt = {client: isn[0], device: isn[1]}

    def add(src, flags, data=b""):
        nonlocal now
        dst = device if src == client else client
        out.append(Segment(src, dst, nxt[src], nxt[dst] if flags & ACK else 0, flags, data, now))
        nxt[src] += len(data) + bool(flags & (SYN | FIN))
        now += step_ns

    if syn:
        add(client, SYN)
        add(device, SYN | ACK)
        add(client, ACK)
    for direction, frame in frames:
        add(client if direction == TO_DEVICE else device, PSH | ACK, frame)
    if fin:
        add(client, FIN | ACK)
        add(device, FIN | ACK)
        add(client, ACK)
    return out


# --- manglers of the stream: packets in, packets out -------------------------------------------------------------------

def _restamp(packets):
    start = min((p.time_ns for p in packets), default=0)
    return [replace(p, time_ns=start + i * 10**6) for i, p in enumerate(packets)]


def split(packets, seed=0, at_most=None):
    """Every segment in random pieces."""
    rng, out = random.Random(seed), []
    for p in packets:
        if len(p.data) < 2:
            out.append(p)
            continue
        cuts = sorted(rng.sample(range(1, len(p.data)), min(len(p.data) - 1, rng.randint(1, 4)))) \
            if at_most is None else list(range(at_most, len(p.data), at_most))
        for a, b in zip([0, *cuts], [*cuts, len(p.data)]):
            out.append(replace(p, seq=p.seq + a, data=p.data[a:b]))
    return _restamp(out)


def glue(packets):
    """Neighbouring segments of one direction become one."""
    out = []
    for p in packets:
        last = out[-1] if out else None
        if last and last.data and p.data and last.src == p.src and last.seq + len(last.data) == p.seq:
            out[-1] = replace(last, data=last.data + p.data)
        else:
            out.append(p)
    return out


def reorder(packets, seed=0, distance=3):
    """Every packet up to so many places from where it was sent, the handshake of TCP too."""
    rng = random.Random(seed)
    return _restamp([p for _, _, p in sorted((i + rng.uniform(0, distance), i, p) for i, p in enumerate(packets))])


def retransmit(packets, seed=0):
    """A third of the segments again, at once or later."""
    rng, out, later = random.Random(seed), [], []
    for p in packets:
        out.append(p)
        if p.data and rng.random() < 0.33:
            (out if rng.random() < 0.5 else later).append(p)
        if later and rng.random() < 0.5:
            out.append(later.pop(0))
    return _restamp(out + later)


def overlap(packets, seed=0):
    """Every segment begins with some bytes that have been sent before."""
    rng, out, sent = random.Random(seed), [], {}
    for p in packets:
        before = sent.get(p.src, b"")
        back = rng.randint(0, min(len(before), 40)) if p.data else 0
        out.append(replace(p, seq=p.seq - back, data=before[len(before) - back:] + p.data))
        sent[p.src] = (before + p.data)[-64:]
    return out


def keep_alive(packets):
    """A probe with one old byte, and its answer, between any two segments."""
    out, nxt = [], {}
    for p in packets:
        out.append(p)
        if p.data:
            nxt[p.src] = p.seq + len(p.data)
            out.append(replace(p, seq=nxt[p.src] - 1, data=b"\0", flags=ACK))
            out.append(Segment(p.dst, p.src, p.ack, nxt[p.src], ACK, b"", p.time_ns))
    return _restamp(out)


def wrap(frames, **options):
    """Sequence numbers pass 2^32 in both directions."""
    return segments(frames, isn=(2**32 - 300, 2**32 - 200), **options)


def lose(packets, which):
    """The which'th segment with data is missing from the capture; its acknowledgement is there."""
    with_data = [i for i, p in enumerate(packets) if p.data]
    gone = with_data[which]
    return packets[:gone] + packets[gone + 1:]


def fragment(packets, size=64):
    return [replace(p, fragment=size) for p in packets]


def snap(packets, size):
    return [replace(p, snap=size) for p in packets]


# --- bytes ---------------------------------------------------------------------------------------------------------

def _address(text, version):
    if version == 4:
        return socket.inet_aton(text)
    return socket.inet_pton(socket.AF_INET6, text if ":" in text else "2001:db8::" + text.split(".")[-1])


def _ipv4(p, ident):
    proto, payload = p.transport()
    step = p.fragment // 8 * 8 if p.fragment else len(payload)
    for at in range(0, max(len(payload), 1), max(step, 1)):
        part = payload[at:at + step]
        more = 0x2000 if at + step < len(payload) else 0
        yield 0x0800, struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(part), ident, more | at // 8, 64, proto, 0,
                                  _address(p.src[0], 4), _address(p.dst[0], 4)) + part


def _ipv6(p, ident, extensions):
    proto, payload = p.transport()
    step = p.fragment // 8 * 8 if p.fragment else len(payload)
    for at in range(0, max(len(payload), 1), max(step, 1)):
        part = payload[at:at + step]
        body, nxt = part, proto
        if p.fragment and step < len(payload):
            body = struct.pack("!BBHI", proto, 0, at | (at + step < len(payload)), ident) + body
            nxt = 44
        if extensions:  # hop-by-hop options, then destination options
            body = struct.pack("!BB6x", 60, 0) + struct.pack("!BB14x", nxt, 1) + body
            nxt = 0
        yield 0x86DD, struct.pack("!IHBB16s16s", 6 << 28, len(body), nxt, 64, _address(p.src[0], 6),
                                  _address(p.dst[0], 6)) + body


MACS = bytes.fromhex("020000000001020000000002")
LINKS = {
    "ethernet": (1, lambda t, d: MACS + struct.pack("!H", t) + d),
    "vlan": (1, lambda t, d: MACS + struct.pack("!HHH", 0x8100, 7, t) + d),
    "qinq": (1, lambda t, d: MACS + struct.pack("!HHHHH", 0x88A8, 7, 0x8100, 8, t) + d),
    "padded": (1, lambda t, d: MACS + struct.pack("!H", t) + d + bytes(max(0, 60 - 14 - len(d)))),
    "sll": (113, lambda t, d: struct.pack("!HHH8sH", 0, 1, 6, MACS[:8], t) + d),
    "sll2": (276, lambda t, d: struct.pack("!HHIHBB8s", t, 0, 3, 1, 0, 6, MACS[:8]) + d),
    "raw": (101, lambda t, d: d),
    "null": (0, lambda t, d: struct.pack("<I", 2 if t == 0x0800 else 30) + d),
    "loop": (108, lambda t, d: struct.pack(">I", 2 if t == 0x0800 else 24) + d),
    "wifi": (105, lambda t, d: b"\x08\x01\x00\x00" + bytes(18) + b"\x10\x00" + b"\xaa\xaa\x03\x00\x00\x00" +
             struct.pack("!H", t) + d),
    "wifi-qos": (105, lambda t, d: b"\x88\x02\x00\x00" + bytes(18) + b"\x10\x00" + b"\x00\x00" +
                 b"\xaa\xaa\x03\x00\x00\x00" + struct.pack("!H", t) + d),
    "radiotap": (127, lambda t, d: b"\x00\x00\x09\x00\x02\x00\x00\x00\x10" + LINKS["wifi-qos"][1](t, d) + b"\xde\xad\xbe\xef"),
}


def frames_of(packets, link="ethernet", ip=4, extensions=False):
    """(time, captured bytes, length on the wire) per captured frame."""
    _, wrap_link = LINKS[link]
    for ident, p in enumerate(packets):
        parts = _ipv4(p, ident + 1) if ip == 4 else _ipv6(p, ident + 1, extensions)
        for ether_type, data in parts:
            whole = wrap_link(ether_type, data)
            yield p.time_ns, whole[:p.snap] if p.snap else whole, len(whole)


def pcap(packets, link="ethernet", nano=False, big_endian=False, **options):
    e = ">" if big_endian else "<"
    out = [struct.pack(e + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 262144, LINKS[link][0])]
    for at, data, length in frames_of(packets, link, **options):
        out += [struct.pack(e + "IIII", at // 10**9, at % 10**9 // (1 if nano else 1000), len(data), length), data]
    return b"".join(out)


def _block(e, kind, body):
    body += bytes(-len(body) % 4)
    size = 12 + len(body)
    return struct.pack(e + "II", kind, size) + body + struct.pack(e + "I", size)


def pcapng(packets, link="ethernet", nano=True, big_endian=False, **options):
    e = ">" if big_endian else "<"
    out = [_block(e, 0x0A0D0D0A, struct.pack(e + "IHHq", 0x1A2B3C4D, 1, 0, -1))]
    resolution = struct.pack(e + "HHB3xHH", 9, 1, 9, 0, 0) if nano else b""
    out.append(_block(e, 1, struct.pack(e + "HHI", LINKS[link][0], 0, 262144) + resolution))
    for at, data, length in frames_of(packets, link, **options):
        stamp = at if nano else at // 1000
        out.append(_block(e, 6, struct.pack(e + "IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(data), length) + data))
    return b"".join(out)


def save(path, packets, kind="pcap", zipped=False, cut=None, **options):
    data = (pcapng if kind == "pcapng" else pcap)(packets, **options)
    if cut is not None:
        data = data[:cut]
    if zipped:
        data = gzip.compress(data, mtime=0)
    Path(path).write_bytes(data)
    return str(path)


# --- from files ----------------------------------------------------------------------------------------------------

def _captured(path):
    """(link type, time, bytes) of the packets of a little-endian pcap or pcapng."""
    data = Path(path).read_bytes()
    if data[:4] == struct.pack("<I", 0x0A0D0D0A):
        at, link, unit = 0, None, 1000
        while at < len(data):
            kind, size = struct.unpack_from("<II", data, at)
            if kind == 1:
                link, unit = struct.unpack_from("<H", data, at + 8)[0], 1000
                options = data[at + 16:at + size - 4]
                while len(options) >= 4:
                    code, n = struct.unpack_from("<HH", options)
                    unit = 10 ** (9 - options[4]) if code == 9 else unit
                    options = options[4 + (n + 3) // 4 * 4:] if code else b""
            elif kind == 6:
                _, high, low, n = struct.unpack_from("<IIII", data, at + 8)
                yield link, (high << 32 | low) * unit, data[at + 28:at + 28 + n]
            at += size
        return
    magic, link = struct.unpack_from("<I", data)[0], struct.unpack_from("<I", data, 20)[0]
    unit = 1 if magic == 0xA1B23C4D else 1000
    at = 24
    while at + 16 <= len(data):
        seconds, fraction, n, _ = struct.unpack_from("<IIII", data, at)
        yield link, seconds * 10**9 + fraction * unit, data[at + 16:at + 16 + n]
        at += 16 + n


def load(path):
    """Segments of a capture of IPv4 over Ethernet or raw IP, to be mangled and saved again."""
    out = []
    for link, at, data in _captured(path):
        ip = data[14:] if link == 1 else data
        header, total = (ip[0] & 15) * 4, struct.unpack_from("!H", ip, 2)[0]
        if ip[0] >> 4 != 4 or ip[9] != 6:
            continue
        tcp = ip[header:total]
        src, dst = (socket.inet_ntoa(ip[12:16]), *struct.unpack_from("!H", tcp)), \
            (socket.inet_ntoa(ip[16:20]), *struct.unpack_from("!H", tcp, 2))
        seq, ack = struct.unpack_from("!II", tcp, 4)
        out.append(Segment(src, dst, seq, ack, tcp[13], tcp[(tcp[12] >> 4) * 4:], at))
    return out
