"""Captures that the tests share: the same little talk in every version.

The frames are made by tests/helpers/tuyapeer.py, an encoder of its own, with fixed nonces: every byte is the same in
every run, so that what tshark says about them can be kept as golden files.
"""

import hashlib

import shark  # noqa: F401  (puts the helpers into the path)
import tuyapeer as peer
from capture import Capture

ID = "fake0000000000000000id"
VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")
CLIENT_NONCE = bytes(range(16))
DEVICE_NONCE = b"00000000fac0de00"
DPS = {"1": True, "9": 0, "18": 270, "19": 605, "20": 2301, "38": "memory"}


class Talk:
    """Frames of one conversation, in order: [(direction, bytes), ..]."""

    def __init__(self, version, key=shark.DEMO_KEY, device=ID, client_nonce=CLIENT_NONCE):
        self.version, self.key, self.device, self.client_nonce = version, key.encode("latin-1"), device, client_nonce
        self.client_seq, self.device_seq = 0, 4816
        self.session_key = None
        self.frames = []
        self.negotiates = version >= "3.4"
        if self.negotiates:
            self.session_key = peer.session_key_of(version, self.key, client_nonce, DEVICE_NONCE)
            self.ask(peer.START, client_nonce)
            self.tell(peer.RESP, DEVICE_NONCE + peer.proof(self.key, client_nonce))
            self.ask(peer.FINISH, peer.proof(self.key, DEVICE_NONCE))

    def _seal(self, direction, seq, cmd, payload, **options):
        nonce = hashlib.md5(f"{self.version} {direction} {seq}".encode()).digest()[:12]
        return peer.seal(self.version, direction, seq, cmd, payload, key=self.key, session_key=self.session_key,
                         nonce=nonce, **options)

    def ask(self, cmd, payload=b"", **options):
        self.client_seq += 1
        self.frames.append((peer.TO_DEVICE, self._seal(peer.TO_DEVICE, self.client_seq, cmd, payload, **options)))

    def tell(self, cmd, payload=b"", push=False, **options):
        self.device_seq += 1
        seq = self.device_seq if self.negotiates else 0 if push or cmd == peer.HEART_BEAT else self.client_seq
        self.frames.append((peer.FROM_DEVICE, self._seal(peer.FROM_DEVICE, seq, cmd, payload, **options)))

    def push(self, dps):
        counter = 100 + len(self.frames)
        header = None if self.version == "3.1" else self.version.encode() + bytes(4) + counter.to_bytes(4, "big") + \
            (1).to_bytes(4, "big")
        body = {"protocol": 4, "t": 1700000000, "data": {"dps": dps}} if self.negotiates else \
            {"devId": self.device, "dps": dps, "t": 1700000000}
        self.tell(peer.STATUS, body, push=True, **({} if header is None else {"header": header}))

    def query(self):
        ids = {"gwId": self.device, "devId": self.device}
        self.ask(peer.DP_QUERY_NEW if self.negotiates else peer.DP_QUERY, {} if self.negotiates else ids)
        reply = {"dps": DPS} if self.negotiates else {"devId": self.device, "dps": DPS}
        self.tell(peer.DP_QUERY_NEW if self.negotiates else peer.DP_QUERY, reply)

    def switch(self, on):
        cmd = peer.CONTROL_NEW if self.negotiates else peer.CONTROL
        body = {"protocol": 5, "t": 1700000000, "data": {"dps": {"1": on}}} if self.negotiates else \
            {"devId": self.device, "uid": self.device, "t": "1700000000", "dps": {"1": on}}
        self.ask(cmd, body)
        self.tell(cmd)
        self.push({"1": on, "19": 605 if on else 0})

    def beat(self):
        self.ask(peer.HEART_BEAT)
        self.tell(peer.HEART_BEAT)

    def refuse(self):
        self.ask(peer.UPDATEDPS, {"dpId": [18, 19, 20]})
        self.tell(peer.UPDATEDPS, "json obj data unvalid", retcode=1)


def usual_talk(version, **options):
    talk = Talk(version, **options)
    talk.query()
    talk.switch(False)
    talk.switch(True)
    talk.beat()
    talk.refuse()
    return talk


def send(tcp, talk, **how):
    for direction, frame in talk.frames:
        (tcp.to_device if direction == peer.TO_DEVICE else tcp.from_device)(frame, **how)


def usual_capture(version, port=6668, **options):
    cap = Capture()
    tcp = cap.tcp(device=("192.0.2.33", port))
    send(tcp, usual_talk(version, **options))
    tcp.fin()
    return cap


def all_versions(*versions):
    """The usual talk in every version, or in these, one connection each."""
    cap = Capture()
    for i, version in enumerate(versions or VERSIONS):
        send(cap.tcp(client=("192.0.2.7", 51000 + i)), usual_talk(version))
    return cap


def key_log_line(talk, with_id=True):
    line = f"TUYA_SESSION {talk.version} {talk.client_nonce.hex()} {talk.session_key.hex()}"
    return line + (f" {talk.device}\n" if with_id else "\n")
