"""Packets and capture files, written and edited: what `overt watch` reads. Times are nanoseconds since 1970."""

import dataclasses
import ipaddress
import struct

RAW, ETHERNET, SLL, SLL2, NULL = 101, 1, 113, 276, 0
FIN, SYN, RST, ACK = 1, 2, 4, 16
START = 1_800_000_000_000_000_000
STEP = 1_000_000  # between packets
WINDOW = 1 << 32


@dataclasses.dataclass(frozen=True)
class Segment:
    """One TCP segment. `up`: from client to server."""
    up: bool
    seq: int
    ack: int
    flags: int
    payload: bytes = b""
    ports: tuple = (40000, 443)
    time: int = 0

    def cut(self, start, end=None):
        """The part of the payload from `start` to `end` as a segment of its own."""
        return dataclasses.replace(self, seq=(self.seq + start) % WINDOW, payload=self.payload[start:end])


def segments(pieces, *, mss=1448, ports=(40000, 443), opening=True, closing=True, seqs=(1000, 0xFFFFFF00)):
    """The TCP segments of a conversation: `pieces` are (up, octets) in order."""
    made, seq = [], {True: seqs[0], False: seqs[1]}

    def put(up, flags, payload=b""):
        made.append(Segment(up, seq[up], seq[not up] if flags & ACK else 0, flags, payload, ports,
                            START + len(made) * STEP))
        seq[up] = (seq[up] + len(payload) + bool(flags & (SYN | FIN))) % WINDOW

    if opening:
        put(True, SYN)
        put(False, SYN | ACK)
        put(True, ACK)
    for up, octets in pieces:
        for at in range(0, len(octets), mss):
            put(up, ACK, octets[at:at + mss])
    if closing:
        put(True, FIN | ACK)
        put(False, FIN | ACK)
        put(True, ACK)
    return made


def retimed(made):
    """The same segments in the order given, with times that grow."""
    return [dataclasses.replace(s, time=START + n * STEP) for n, s in enumerate(made)]


def tcp(segment):
    source, target = segment.ports if segment.up else segment.ports[::-1]
    return struct.pack("!HHIIBBHHH", source, target, segment.seq, segment.ack, 0x50, segment.flags, 65535, 0,
                       0) + segment.payload


CLIENT4, SERVER4 = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("198.51.100.7")
CLIENT6, SERVER6 = ipaddress.ip_address("2001:db8::1"), ipaddress.ip_address("2001:db8:ffff::7")


def ends(up, v6=False):
    pair = (CLIENT6, SERVER6) if v6 else (CLIENT4, SERVER4)
    return [a.packed for a in (pair if up else pair[::-1])]


def ip4(up, body, protocol=6, *, number=0, offset=0, more=False, length=None):
    """An IPv4 packet, or the fragment of one at `offset` octets; `length` in place of its own total length."""
    total = min(20 + len(body), 65535) if length is None else length
    return struct.pack("!BBHHHBBH", 0x45, 0, total, number, (more << 13) | (offset // 8), 64, protocol,
                       0) + b"".join(ends(up)) + body


def ip6(up, body, protocol=6, extensions=()):
    """An IPv6 packet; `extensions` are (type, body) of headers in front of `body`."""
    kinds = [kind for kind, _ in extensions] + [protocol]
    for (_, extension), following in reversed(list(zip(extensions, kinds[1:]))):
        body = bytes([following]) + extension + body
    return struct.pack("!IHBB", 6 << 28, len(body), kinds[0], 64) + b"".join(ends(up, True)) + body


def fragments4(up, body, size, number):
    return [ip4(up, body[at:at + size], number=number, offset=at, more=at + size < len(body))
            for at in range(0, len(body), size)]


def fragments6(up, body, size, number):
    """Fragments of an IPv6 packet (RFC 8200, 4.5)."""
    return [ip6(up, body[at:at + size], 6, [(44, struct.pack("!BHI", 0, at | (at + size < len(body)), number))])
            for at in range(0, len(body), size)]


def ethernet(packet, *tags):
    """An Ethernet frame; `tags` are (TPID, VLAN) from the outside in."""
    kind = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
    inserted = b"".join(struct.pack("!HH", tpid, number) for tpid, number in tags)
    return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02" + inserted + kind + packet


def protocol_of(packet):
    return 0x86DD if packet[0] >> 4 == 6 else 0x0800


def sll(packet):
    return struct.pack("!HHH8sH", 0, 1, 6, b"\x02\0\0\0\0\x01", protocol_of(packet)) + packet


def sll2(packet):
    return struct.pack("!HHIHBB8s", protocol_of(packet), 0, 1, 1, 0, 6, b"\x02\0\0\0\0\x01") + packet


def loopback(packet):
    return struct.pack("<I", 30 if packet[0] >> 4 == 6 else 2) + packet


def vxlan(packet, up=True):
    """The packet in Ethernet in VXLAN (RFC 7348) in UDP in IPv4 in Ethernet."""
    inner = struct.pack("!II", 0x08000000, 42 << 8) + ethernet(packet)
    return ethernet(ip4(up, struct.pack("!HHHH", 50000, 4789, 8 + len(inner), 0) + inner, 17))


# Files

def pcap_head(link=RAW, *, snap=262144, nano=True, order="<"):
    return struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, snap, link)


def pcap_record(time, frame, *, snap=262144, nano=True, order="<"):
    second, rest = divmod(time, 1_000_000_000)
    return struct.pack(order + "IIII", second, rest if nano else rest // 1000, min(len(frame), snap),
                       len(frame)) + frame[:snap]


def pcap(frames, link=RAW, **form):
    """A capture file of (time, frame)."""
    return pcap_head(link, **form) + b"".join(pcap_record(time, frame, **form) for time, frame in frames)


def read_pcap(data):
    """(link, [(time, frame)]) of a pcap file, either order and precision."""
    order = "<" if data[:4] in (b"\x4d\x3c\xb2\xa1", b"\xd4\xc3\xb2\xa1") else ">"
    magic, _, _, _, _, _, link = struct.unpack_from(order + "IHHiIII", data)
    unit, found, at = 1 if magic == 0xA1B23C4D else 1000, [], 24
    while at + 16 <= len(data):
        second, rest, kept, _ = struct.unpack_from(order + "IIII", data, at)
        found.append((second * 1_000_000_000 + rest * unit, data[at + 16:at + 16 + kept]))
        at += 16 + kept
    return link, found


def frames(made, wrap=lambda packet: packet, v6=False):
    """(time, frame) of segments."""
    packet = ip6 if v6 else ip4
    return [(s.time, wrap(packet(s.up, tcp(s)))) for s in made]


def block(kind, body, order="<"):
    body += b"\0" * (-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def section(order="<"):
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link=RAW, snap=0, options=b"", order="<"):
    return block(1, struct.pack(order + "HHI", link, 0, snap) + options, order)


NANO = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)  # if_tsresol 9, end of options


def secrets_block(text, kind=0x544C534B, order="<"):
    text = text.encode() if isinstance(text, str) else text
    return block(10, struct.pack(order + "II", kind, len(text)) + text, order)


def packet_block(time, frame, *, number=0, order="<"):
    head = struct.pack(order + "IIIII", number, time >> 32, time & 0xFFFFFFFF, len(frame), len(frame))
    return block(6, head + frame, order)


def pcapng(made, *, before=b"", after=b"", link=RAW):
    """A pcapng file of (time, frame); `before` and `after` are blocks around the packets."""
    return (section() + interface(link, options=NANO) + before
            + b"".join(packet_block(time, frame) for time, frame in made) + after)


def recorded_streams(data):
    """What each end said, by ((address, port) from, (address, port) to), of a pcapng file of raw IP packets that has every
    segment once and in order: as Overt itself writes one."""
    found, at = {}, 0
    while at + 12 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind == 6:
            kept, = struct.unpack_from("<I", data, at + 20)
            packet = data[at + 28:at + 28 + kept]
            if packet[0] >> 4 == 4:
                ip, width, first = (packet[0] & 15) * 4, 4, 12
            else:
                ip, width, first = 40, 16, 8
            ports = struct.unpack_from(">HH", packet, ip)
            ends = tuple((packet[first + n * width:first + (n + 1) * width], ports[n]) for n in (0, 1))
            found.setdefault(ends, bytearray()).extend(packet[ip + (packet[ip + 12] >> 4) * 4:])
        at += size
    return found
