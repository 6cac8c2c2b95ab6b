"""Write captures for tests: TCP conversations and UDP datagrams in a classic pcap file.

    cap = Capture()
    tcp = cap.tcp()                       # client 192.0.2.7:51000 <-> device 192.0.2.33:6668, with its SYN
    tcp.to_device(frame); tcp.from_device(frame)
    tcp.from_device(frame, split=(5, 20), again=True)    # three segments, the last one twice
    cap.udp("192.0.2.33", 6667, datagram)
    cap.save("x.pcap")

Every byte follows from the calls: time starts at 1700000000 and moves by 10 ms with each packet, so what tshark
prints about such a capture can be compared word by word.
"""

import socket
import struct

CLIENT, DEVICE = "192.0.2.7", "192.0.2.33"
SYN, ACK, PSH, FIN = 0x02, 0x10, 0x08, 0x01


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data + b"" if len(data) % 2 == 0 else data[:-1]))
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Capture:
    def __init__(self, step_ms=10):
        self.packets = []  # (time in microseconds, bytes)
        self.now_us = 1_700_000_000_000_000
        self.step_us = step_ms * 1000
        self.ip_id = 0

    def _ip(self, src, dst, protocol, payload):
        self.ip_id = (self.ip_id + 1) & 0xFFFF
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), self.ip_id, 0x4000, 64, protocol, 0,
                           socket.inet_aton(src), socket.inet_aton(dst))
        head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
        ethernet = bytes.fromhex("020000000001020000000002") + b"\x08\x00"
        self.packets.append((self.now_us, ethernet + head + payload))
        self.now_us += self.step_us

    def tcp(self, client=(CLIENT, 51000), device=(DEVICE, 6668), syn=True, first_seq=1000):
        return Tcp(self, client, device, syn, first_seq)

    def icmp_quoting(self, number):
        """A router says that packet number (from 1) could not be delivered."""
        packet = self.packets[number - 1][1][14:]
        self._ip("192.0.2.254", CLIENT, 1, bytes([3, 3, 0, 0, 0, 0, 0, 0]) + packet)

    def udp(self, src, port, datagram, dst="255.255.255.255", src_port=49154):
        self._ip(src, dst, 17, struct.pack("!HHHH", src_port, port, 8 + len(datagram), 0) + datagram)

    def save(self, path, snaplen=65535):
        with open(path, "wb") as f:
            f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snaplen, 1))
            for at, data in self.packets:
                kept = data[:snaplen]
                f.write(struct.pack("<IIII", at // 1_000_000, at % 1_000_000, len(kept), len(data)) + kept)
        return path


class Tcp:
    def __init__(self, capture, client, device, syn, first_seq):
        self.capture, self.client, self.device = capture, client, device
        self.seq = {client: first_seq, device: first_seq + 8000}
        if syn:
            self._segment(client, SYN, b"")
            self.seq[client] += 1
            self._segment(device, SYN | ACK, b"")
            self.seq[device] += 1
            self._segment(client, ACK, b"")

    def _segment(self, src, flags, data, seq=None):
        dst = self.device if src == self.client else self.client
        seq = self.seq[src] if seq is None else seq
        ack = self.seq[dst] if flags & ACK else 0
        head = struct.pack("!HHIIBBHHH", src[1], dst[1], seq, ack, 5 << 4, flags, 65535, 0, 0)
        pseudo = socket.inet_aton(src[0]) + socket.inet_aton(dst[0]) + struct.pack("!BBH", 0, 6, len(head) + len(data))
        check = _checksum(pseudo + head + data)
        self.capture._ip(src[0], dst[0], 6, head[:16] + struct.pack("!H", check) + head[18:] + data)

    def _send(self, src, data, split, again, swap):
        cuts = [0, *(at for at in split if at < len(data)), len(data)]
        parts = [(self.seq[src] + a, data[a:b]) for a, b in zip(cuts, cuts[1:])]
        if swap:
            parts[-2], parts[-1] = parts[-1], parts[-2]
        for seq, part in parts:
            self._segment(src, PSH | ACK, part, seq)
        if again:
            self._segment(src, PSH | ACK, parts[-1][1], parts[-1][0])
        self.seq[src] += len(data)

    def to_device(self, data, split=(), again=False, swap=False):
        """split: where the segments are cut. again: the last is sent twice. swap: the last two arrive in the wrong order."""
        self._send(self.client, data, split, again, swap)

    def from_device(self, data, split=(), again=False, swap=False):
        self._send(self.device, data, split, again, swap)

    def lose(self, src_is_device, n):
        """n bytes were sent and not captured."""
        self.seq[self.device if src_is_device else self.client] += n

    def fin(self):
        self._segment(self.client, FIN | ACK, b"")
