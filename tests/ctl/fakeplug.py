"""A plug of a few lines that can be told to misbehave in ways no simulator offers.

    with FakePlug("3.3") as plug:
        run("tuya-ctl", *plug.options, "status")
        plug.seen          # the messages it received, as tuyapeer.Message

Written on tuyapeer, which knows nothing of our encoder. Subclass and override what should differ.
"""

import os
import socket
import threading

import tuyapeer as tp
from tuyapeer import FROM_DEVICE, TO_DEVICE, seal, unseal

ID = "fake0000000000000000id"
KEY = b"0123456789abcdef"


class FakePlug:
    def __init__(self, version, key=KEY, dps=None):
        self.version, self.key = version, key
        self.dps = dict(dps if dps is not None else {"1": False, "9": 0, "18": 261, "19": 600, "20": 2301})
        self.seen, self.connections = [], 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)  # close() alone leaves it listening while accept() waits
        except OSError:
            pass
        self.socket.close()

    @property
    def options(self):
        return ["--host", "127.0.0.1", "--port", self.port, "--id", ID, "--key", self.key.decode()]

    def _accept(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.serve(Talk(self, peer))
        except (OSError, tp.PeerError, UnicodeDecodeError):
            pass  # tuya-ctl may look for other versions, too
        finally:
            peer.close()

    # --- what a subclass may change

    def serve(self, talk):
        while True:
            m = talk.receive()
            self.seen.append(m)
            self.answer(talk, m)

    def answer(self, talk, m):
        if m.cmd == tp.START:
            talk.respond(m)
        elif m.cmd == tp.FINISH:
            talk.finish(m)
        elif m.cmd == tp.HEART_BEAT:
            talk.say(tp.HEART_BEAT, seq=0)
        elif m.cmd in (tp.DP_QUERY, tp.DP_QUERY_NEW):
            self.query(talk, m)
        elif m.cmd in (tp.CONTROL, tp.CONTROL_NEW):
            self.control(talk, m)

    def query(self, talk, m):
        talk.say(m.cmd, {"dps": self.dps}, seq=m.seq)

    def control(self, talk, m):
        self.dps.update(m.dps)
        talk.say(m.cmd, seq=m.seq)
        talk.push(m.dps)


class Talk:
    """One connection, the device's end."""

    def __init__(self, plug, peer):
        self.plug, self.peer, self.reader = plug, peer, tp.FrameReader()
        self.session_key, self.nonce, self.client_nonce = None, None, None
        self.seq, self.pushes = 1000, 0

    def receive(self):
        while True:
            frame = self.reader.next()
            if frame is not None:
                return unseal(self.plug.version, TO_DEVICE, frame, key=self.plug.key, session_key=self.session_key)
            data = self.peer.recv(65536)
            if not data:
                raise tp.Closed("closed by the client")
            self.reader.feed(data)

    def frame(self, cmd, payload=b"", seq=0, retcode=0, **options):
        if self.plug.version >= "3.4":
            self.seq += 1
            seq = self.seq
        return seal(self.plug.version, FROM_DEVICE, seq, cmd, payload, key=self.plug.key,
                    session_key=self.session_key, retcode=retcode, **options)

    def say(self, cmd, payload=b"", seq=0, retcode=0, **options):
        self.peer.sendall(self.frame(cmd, payload, seq, retcode, **options))

    def push_frame(self, dps):
        self.pushes += 1
        header = None
        if self.plug.version != "3.1":
            header = self.plug.version.encode() + bytes(4) + self.pushes.to_bytes(4, "big") + (1).to_bytes(4, "big")
        body = {"dps": dps, "t": 1, "s": self.pushes}
        if self.plug.version >= "3.4":
            body = {"protocol": 4, "t": 1, "data": {"dps": dps}}
        return self.frame(tp.STATUS, body, **({} if header is None else {"header": header}))

    def push(self, dps):
        self.peer.sendall(self.push_frame(dps))

    def respond(self, m):
        self.client_nonce = m.payload[:16]
        while True:  # one key in 256 begins with zero, and the client would reconnect: not by chance, in a test
            self.nonce = os.urandom(8).hex().encode()
            if tp.session_key_of(self.plug.version, self.plug.key, self.client_nonce, self.nonce)[0] != 0:
                break
        self.say(tp.RESP, self.nonce + tp.proof(self.plug.key, self.client_nonce))

    def finish(self, m):
        assert m.payload[:32] == tp.proof(self.plug.key, self.nonce)
        self.session_key = tp.session_key_of(self.plug.version, self.plug.key, self.client_nonce, self.nonce)
