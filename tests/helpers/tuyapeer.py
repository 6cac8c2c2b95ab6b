"""A Tuya LAN peer for tests: codec of 3.1 to 3.5 and a small blocking client.

Written from the protocol's description alone, on Python's standard library and libcrypto through ctypes, so that
tests do not check our encoder with our encoder. Nothing here is fast or tolerant: it says what it expected.

    from tuyapeer import Client
    with Client("127.0.0.1", port, device_id, key, "3.5") as c:
        c.status()            # {"1": True, ...}
        c.set({"1": False})   # (acknowledgement, push)
        c.heartbeat()

    seal() and unseal() make and take apart single frames, in both directions; FrameReader cuts a stream.
    Client.send() and Client.receive() are for tests that want to do things in another order, or wrong.
"""

import base64
import ctypes
import ctypes.util
import hashlib
import hmac
import json
import os
import socket
import struct
import time
import zlib
from dataclasses import dataclass

TO_DEVICE, FROM_DEVICE = "to_device", "from_device"

UDP, START, RESP, FINISH = 0x00, 0x03, 0x04, 0x05
CONTROL, STATUS, HEART_BEAT, DP_QUERY = 0x07, 0x08, 0x09, 0x0A
CONTROL_NEW, DP_QUERY_NEW, UPDATEDPS, UDP_NEW = 0x0D, 0x10, 0x12, 0x13
BROADCAST_34, REQ_DEVINFO, LAN_EXT_STREAM = 0x23, 0x25, 0x40
HANDSHAKE = (START, RESP, FINISH)

UDP_KEY = hashlib.md5(b"yGAdlopoPVldABfn").digest()
PREFIX_55AA, SUFFIX_55AA = bytes.fromhex("000055aa"), bytes.fromhex("0000aa55")
PREFIX_6699, SUFFIX_6699 = bytes.fromhex("00006699"), bytes.fromhex("00009966")


class PeerError(Exception):
    """What came is not what the protocol says."""


class Closed(PeerError):
    """The device closed the connection."""


class Timeout(PeerError):
    """Nothing came in time."""


# --- cryptography: EVP of libcrypto ------------------------------------------------------------------------------

_crypto = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
for _name in ("EVP_CIPHER_CTX_new", "EVP_aes_128_ecb", "EVP_aes_128_gcm"):
    getattr(_crypto, _name).restype = ctypes.c_void_p
_crypto.EVP_CIPHER_CTX_free.argtypes = [ctypes.c_void_p]
_crypto.EVP_CIPHER_CTX_set_padding.argtypes = [ctypes.c_void_p, ctypes.c_int]
_crypto.EVP_CIPHER_CTX_ctrl.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
_crypto.EVP_CipherInit_ex.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_char_p] * 2 + [ctypes.c_int]
_crypto.EVP_CipherUpdate.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int), ctypes.c_char_p,
                                     ctypes.c_int]
_crypto.EVP_CipherFinal_ex.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]
_GCM_SET_IVLEN, _GCM_GET_TAG, _GCM_SET_TAG = 0x9, 0x10, 0x11


class _Cipher:
    def __init__(self, kind, key, iv, encrypt):
        assert len(key) == 16, "a key has 16 bytes"
        self.ctx = _crypto.EVP_CIPHER_CTX_new()
        assert _crypto.EVP_CipherInit_ex(self.ctx, kind, None, key, iv, int(encrypt)) == 1
        _crypto.EVP_CIPHER_CTX_set_padding(self.ctx, 0)

    def update(self, data, out=True):
        buf = ctypes.create_string_buffer(len(data) + 16)
        n = ctypes.c_int()
        assert _crypto.EVP_CipherUpdate(self.ctx, buf if out else None, ctypes.byref(n), data, len(data)) == 1
        return buf.raw[:n.value]

    def final(self):
        return _crypto.EVP_CipherFinal_ex(self.ctx, ctypes.create_string_buffer(16), ctypes.byref(ctypes.c_int())) == 1

    def __del__(self):
        _crypto.EVP_CIPHER_CTX_free(self.ctx)


def ecb(key, data, encrypt):
    return _Cipher(_crypto.EVP_aes_128_ecb(), key, None, encrypt).update(data)


def gcm_encrypt(key, nonce, aad, data):
    c = _Cipher(_crypto.EVP_aes_128_gcm(), key, nonce, True)
    if aad:
        c.update(aad, out=False)
    out = c.update(data) if data else b""
    assert c.final()
    tag = ctypes.create_string_buffer(16)
    assert _crypto.EVP_CIPHER_CTX_ctrl(c.ctx, _GCM_GET_TAG, 16, tag) == 1
    return out, tag.raw


def gcm_decrypt(key, nonce, aad, data, tag):
    c = _Cipher(_crypto.EVP_aes_128_gcm(), key, nonce, False)
    if aad:
        c.update(aad, out=False)
    out = c.update(data) if data else b""
    assert _crypto.EVP_CIPHER_CTX_ctrl(c.ctx, _GCM_SET_TAG, 16, ctypes.create_string_buffer(tag, 16)) == 1
    if not c.final():
        raise PeerError("GCM tag does not match")
    return out


def pad(data):
    n = 16 - len(data) % 16
    return data + bytes([n]) * n


def unpad(data):
    if not data or len(data) % 16 or not 1 <= data[-1] <= 16 or data[-data[-1]:] != data[-1:] * data[-1]:
        raise PeerError("padding is wrong (wrong key?)")
    return data[:-data[-1]]


# --- one frame ---------------------------------------------------------------------------------------------------

@dataclass
class Message:
    seq: int
    cmd: int
    retcode: int = None   # None: frames to the device have none
    header: bytes = None  # the 15 bytes; 3.1: the 19 bytes of version and signature
    payload: bytes = b""
    raw: bytes = b""

    @property
    def json(self):
        return json.loads(self.payload)

    @property
    def dps(self):
        body = self.json
        return body["dps"] if "dps" in body else body["data"]["dps"]


def has_header(version, direction, cmd):
    """Does the canonical form carry the version header?"""
    if direction == FROM_DEVICE:
        return cmd == STATUS
    return cmd in (CONTROL, CONTROL_NEW)


def zero_header(version):
    return version.encode() + bytes(12)


def _signed_31(key, payload):
    text = base64.b64encode(ecb(key, pad(payload), True))
    digest = hashlib.md5(b"data=" + text + b"||lpv=3.1||" + key).hexdigest()
    return b"3.1" + digest[8:24].encode() + text


def _integrity_55aa(version, key, data):
    if version == "3.4":
        return hmac.new(key, data, hashlib.sha256).digest()
    return struct.pack(">I", zlib.crc32(data))


def _body_55aa(version, direction, cmd, payload, key, header):
    if version == "3.1":
        return _signed_31(key, payload) if header is not None else payload
    if version == "3.4":
        plain = (header or b"") + payload
        return ecb(key, pad(plain), True) if plain or direction == TO_DEVICE else b""
    if version == "3.2" and header is None:
        return payload
    if not payload and header is None and (direction == FROM_DEVICE or cmd == HEART_BEAT):
        return b""  # empty, not a block of padding
    return (header or b"") + ecb(key, pad(payload), True)


def seal(version, direction, seq, cmd, payload=b"", *, key, session_key=None, retcode=0, header="auto", nonce=None):
    """One frame as bytes. key: the local key; session_key: for 3.4 and 3.5 beyond the handshake. retcode: from the
    device only, None leaves it out. header: "auto", None, or bytes."""
    if isinstance(payload, (dict, list)):
        payload = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
    elif isinstance(payload, str):
        payload = payload.encode()
    if header == "auto":
        header = zero_header(version) if has_header(version, direction, cmd) else None
    current = key if cmd in HANDSHAKE or version < "3.4" else session_key
    code = struct.pack(">I", retcode) if direction == FROM_DEVICE and retcode is not None else b""

    if version == "3.5":
        nonce = nonce or os.urandom(12)
        plain = code + (header or b"") + payload
        head = bytes(2) + struct.pack(">III", seq, cmd, 12 + len(plain) + 16)
        out, tag = gcm_encrypt(current, nonce, head, plain)
        return PREFIX_6699 + head + nonce + out + tag + SUFFIX_6699

    body = code + _body_55aa(version, direction, cmd, payload, current, header)
    check_len = 32 if version == "3.4" else 4
    data = PREFIX_55AA + struct.pack(">III", seq, cmd, len(body) + check_len + 4) + body
    return data + _integrity_55aa(version, current, data) + SUFFIX_55AA


class FrameReader:
    """Cuts a stream into frames, by their length fields."""

    def __init__(self):
        self.buffer = b""

    def feed(self, data):
        self.buffer += data

    def next(self):
        """The next whole frame, or None."""
        b = self.buffer
        if len(b) < 4:
            return None
        if b[:4] not in (PREFIX_55AA, PREFIX_6699):
            raise PeerError(f"the stream does not go on with a frame: {b[:32].hex()}")
        head, at, extra = (16, 12, 0) if b[:4] == PREFIX_55AA else (18, 14, 4)
        if len(b) < head:
            return None
        size = head + struct.unpack_from(">I", b, at)[0] + extra
        if size > 65536 + 32:
            raise PeerError(f"absurd length field: {b[:18].hex()}")
        if len(b) < size:
            return None
        self.buffer = b[size:]
        suffix = SUFFIX_55AA if extra == 0 else SUFFIX_6699
        if b[size - 4:size] != suffix:
            raise PeerError(f"no suffix at the end of {b[:size].hex()}")
        return b[:size]


def unseal(version, direction, frame, *, key, session_key=None):
    """Open one whole frame; PeerError if anything about it is wrong."""
    if version == "3.5":
        return _unseal_6699(direction, frame, key, session_key)
    if frame[:4] != PREFIX_55AA:
        raise PeerError(f"not a 55AA frame: {frame[:18].hex()}")
    seq, cmd, length = struct.unpack_from(">III", frame, 4)
    if length != len(frame) - 16:
        raise PeerError("length field does not fit the frame")
    current = key if cmd in HANDSHAKE or version < "3.4" else session_key
    check_len = 32 if version == "3.4" else 4
    body, check = frame[16:-4 - check_len], frame[-4 - check_len:-4]
    if check != _integrity_55aa(version, current, frame[:-4 - check_len]):
        raise PeerError(f"CRC or HMAC of command {cmd:#x} does not match")
    m = Message(seq, cmd, raw=frame)
    if direction == FROM_DEVICE:
        if len(body) < 4:
            raise PeerError("return code is missing")
        m.retcode, body = struct.unpack(">I", body[:4])[0], body[4:]
    m.header, m.payload = _open_body(version, body, current)
    return m


def _open_body(version, body, key):
    if version == "3.1" and body[:3] == b"3.1":
        payload = unpad(ecb(key, base64.b64decode(body[19:], validate=True), False))
        if _signed_31(key, payload)[:19] != body[:19]:
            raise PeerError("3.1 signature does not match")
        return body[:19], payload
    if version == "3.1" or (version == "3.2" and body[:2] != b"3."):
        return None, body
    if version == "3.4":
        plain = unpad(ecb(key, body, False)) if body else b""
        return (plain[:15], plain[15:]) if plain[:2] == b"3." else (None, plain)
    header = None
    if body[:2] == b"3.":
        header, body = body[:15], body[15:]
    return header, unpad(ecb(key, body, False)) if body else b""


def _unseal_6699(direction, frame, key, session_key):
    if frame[:4] != PREFIX_6699:
        raise PeerError(f"not a 6699 frame: {frame[:18].hex()}")
    seq, cmd, length = struct.unpack_from(">III", frame, 6)
    if length != len(frame) - 22 or length < 28:
        raise PeerError("length field does not fit the frame")
    current = key if cmd in HANDSHAKE else session_key
    plain = gcm_decrypt(current, frame[18:30], frame[4:18], frame[30:-20], frame[-20:-4])
    m = Message(seq, cmd, raw=frame)
    if direction == FROM_DEVICE:
        if len(plain) < 4:
            raise PeerError("return code is missing")
        m.retcode, plain = struct.unpack(">I", plain[:4])[0], plain[4:]
    if plain[:2] == b"3." and cmd not in HANDSHAKE:
        m.header, plain = plain[:15], plain[15:]
    m.payload = plain
    return m


# --- session keys ------------------------------------------------------------------------------------------------

def proof(key, nonce):
    return hmac.new(key, nonce, hashlib.sha256).digest()


def session_key_of(version, key, client_nonce, device_nonce):
    x = bytes(a ^ b for a, b in zip(client_nonce, device_nonce))
    if version == "3.4":
        return ecb(key, x, True)
    return gcm_encrypt(key, client_nonce[:12], b"", x)[0]


# --- a client ----------------------------------------------------------------------------------------------------

class Client:
    """One TCP connection. Connects (and negotiates) when entered or by connect()."""

    def __init__(self, host, port, device_id, key, version, timeout=15.0):
        self.address, self.id, self.version, self.timeout = (host, port), device_id, version, timeout
        self.key = key.encode("latin-1") if isinstance(key, str) else key
        self.session_key = None
        self.seq = 0
        self.sock = None
        self.reader = FrameReader()
        self.pushes = []  # STATUS messages that came while something else was awaited

    def __enter__(self):
        self.connect()
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.sock:
            self.sock.close()
            self.sock = None

    def connect(self, negotiate=True):
        self.sock = socket.create_connection(self.address, timeout=self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seq, self.session_key, self.reader = 0, None, FrameReader()
        if negotiate and self.version >= "3.4":
            self.negotiate()

    def negotiate(self):
        """Handshake; draws again when the session key begins with 00, as clients must."""
        while True:
            nonce = os.urandom(16)
            self.send(START, nonce)
            m = self.receive()
            if m.cmd != RESP or m.retcode != 0 or len(m.payload) != 48:
                raise PeerError(f"expected RESP with 48 bytes, got {m}")
            device_nonce, their_proof = m.payload[:16], m.payload[16:]
            if their_proof != proof(self.key, nonce):
                raise PeerError("proof in RESP does not match: wrong local key")
            session_key = session_key_of(self.version, self.key, nonce, device_nonce)
            if session_key[0] != 0:
                break
        self.send(FINISH, proof(self.key, device_nonce))
        self.session_key = session_key

    def send(self, cmd, payload=b"", **options):
        """Seal and send; returns the sequence number. Options go to seal()."""
        self.seq += 1
        self.send_bytes(seal(self.version, TO_DEVICE, self.seq, cmd, payload, key=self.key,
                             session_key=self.session_key, **options))
        return self.seq

    def send_bytes(self, data):
        self.sock.sendall(data)

    def receive_frame(self, timeout=None):
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            frame = self.reader.next()
            if frame is not None:
                return frame
            left = end - time.monotonic()
            if left <= 0:
                raise Timeout(f"no frame in time; {len(self.reader.buffer)} bytes wait")
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
            except socket.timeout:
                continue
            except ConnectionError as e:
                raise Closed(str(e)) from e
            if not data:
                raise Closed(f"closed by the device; {len(self.reader.buffer)} bytes wait")
            self.reader.feed(data)

    def receive(self, timeout=None):
        """The next message, whatever it is."""
        return unseal(self.version, FROM_DEVICE, self.receive_frame(timeout), key=self.key,
                      session_key=self.session_key)

    def receive_command(self, *commands, timeout=None):
        """The next message with one of these commands; pushes on the way are kept in .pushes."""
        while True:
            m = self.receive(timeout)
            if m.cmd in commands:
                return m
            if m.cmd != STATUS:
                raise PeerError(f"expected a command of {commands}, got {m}")
            self.pushes.append(m)

    def receive_push(self, timeout=None):
        """The oldest push not seen yet."""
        return self.pushes.pop(0) if self.pushes else self.receive_command(STATUS, timeout=timeout)

    def receive_close(self, timeout=None):
        """Wait until the device closes; anything but pushes before that is an error."""
        try:
            while True:
                m = self.receive(timeout)
                if m.cmd != STATUS:
                    raise PeerError(f"expected the end of the connection, got {m}")
        except Closed:
            return

    # What applications do.

    def now(self):
        return int(time.time())

    def query_body(self):
        if self.version >= "3.4":
            return {}
        return {"gwId": self.id, "devId": self.id, "uid": self.id, "t": str(self.now())}

    def control_body(self, dps):
        if self.version >= "3.4":
            return {"protocol": 5, "t": self.now(), "data": {"dps": dps}}
        return {"devId": self.id, "uid": self.id, "t": str(self.now()), "dps": dps}

    def query(self):
        """Send a query, return the reply message."""
        cmd = DP_QUERY_NEW if self.version >= "3.4" else DP_QUERY
        self.send(cmd, self.query_body())
        return self.receive_command(cmd)

    def status(self):
        m = self.query()
        if m.retcode != 0:
            raise PeerError(f"the device refused the query: {m}")
        return m.dps

    def set(self, dps, push=True):
        """Set data points, {"1": True}. Returns (acknowledgement, push); push None when it is not awaited."""
        cmd = CONTROL_NEW if self.version >= "3.4" else CONTROL
        self.send(cmd, self.control_body(dps))
        ack = self.receive_command(cmd)
        return ack, self.receive_push() if push else None

    def heartbeat(self, payload=b""):
        self.send(HEART_BEAT, payload)
        return self.receive_command(HEART_BEAT)

    def refresh(self, dp_ids):
        self.send(UPDATEDPS, {"dpId": list(dp_ids)})
        return self.receive_command(UPDATEDPS)
