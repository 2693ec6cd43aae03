"""ClientHello messages made and read by hand (RFC 8446, 4.1.2), for what no TLS library would send."""

import dataclasses
import os
import struct

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import x25519

from . import wire

GREASE = [0x0A0A, 0x1A1A, 0x2A2A, 0x3A3A, 0x4A4A, 0x5A5A]
SERVER_NAME, GROUPS, FORMATS, SIGNATURES, ALPN, PADDING, EMS, TICKET, VERSIONS, SHARES, RENEGOTIATION = (
    0, 10, 11, 13, 16, 21, 23, 35, 43, 51, 0xFF01)
SUITES_13 = [0x1301, 0x1302, 0x1303]
SUITES_12 = [0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8]


def u16(value):
    return struct.pack("!H", value)


def short(body):
    return u16(len(body)) + body


def tiny(body):
    return bytes([len(body)]) + body


def x25519_share():
    key = x25519.X25519PrivateKey.generate().public_key()
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def make(name="site.test", *, legacy=0x0303, versions=(0x0304, 0x0303), suites=(*SUITES_13, *SUITES_12),
         groups=(0x001D, 0x0017), shares=None, protocols=(), extra=(), record_version=0x0301, ems=True,
         extensions=True):
    """One ClientHello as a handshake record (as several where it is longer than one). `extra`: (type, body) pairs."""
    if shares is None:
        shares = [(0x001D, x25519_share())]
    found = []
    if name:
        found.append((SERVER_NAME, short(b"\x00" + short(name.encode()))))
    found += [(GROUPS, short(b"".join(map(u16, groups)))), (FORMATS, tiny(b"\x00")),
              (SIGNATURES, short(b"".join(map(u16, [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501])))),
              (RENEGOTIATION, tiny(b""))]
    if ems:
        found.append((EMS, b""))
    if versions:
        found.append((VERSIONS, tiny(b"".join(map(u16, versions)))))
    if versions and any(v == 0x0304 for v in versions):
        found += [(SHARES, short(b"".join(u16(g) + short(k) for g, k in shares))), (45, tiny(b"\x01"))]
    if protocols:
        found.append((ALPN, short(b"".join(tiny(p.encode()) for p in protocols))))
    block = b"".join(u16(t) + short(b) for t, b in [*found, *extra])
    body = (u16(legacy) + os.urandom(32) + tiny(os.urandom(32)) + short(b"".join(map(u16, suites))) + tiny(b"\x00")
            + (short(block) if extensions else b""))
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    pieces = [message[i:i + 16384] for i in range(0, len(message), 16384)]
    return b"".join(wire.record(wire.RECORD_HANDSHAKE, piece, record_version) for piece in pieces)


@dataclasses.dataclass
class Hello:
    legacy: int
    random: bytes
    suites: list
    extensions: dict  # type -> body, in order

    @property
    def versions(self):
        body = self.extensions.get(VERSIONS)
        return _words(body[1:]) if body else [self.legacy]

    @property
    def groups(self):
        return _words(self.extensions.get(GROUPS, b"\0\0")[2:])

    @property
    def signatures(self):
        return _words(self.extensions.get(SIGNATURES, b"\0\0")[2:])

    @property
    def name(self):
        body = self.extensions.get(SERVER_NAME)
        return body[5:].decode() if body else None

    @property
    def protocols(self):
        body, found = self.extensions.get(ALPN, b"\0\0")[2:], []
        while body:
            found.append(body[1:1 + body[0]].decode("latin-1"))
            body = body[1 + body[0]:]
        return found


def _words(body):
    return list(struct.unpack(f"!{len(body) // 2}H", body))


def parse(raw):
    """The ClientHello at the front of `raw`, which holds whole records."""
    message = b"".join(f for kind, _, f in wire.records(raw) if kind == wire.RECORD_HANDSHAKE)
    assert message and message[0] == 1, f"no ClientHello: {bytes(raw[:40]).hex()}"
    body = message[4:4 + int.from_bytes(message[1:4], "big")]
    at = 34
    at += 1 + body[at]
    length = struct.unpack_from("!H", body, at)[0]
    suites = _words(body[at + 2:at + 2 + length])
    at += 2 + length
    at += 1 + body[at]
    extensions, at = {}, at + 2
    while at < len(body):
        kind, length = struct.unpack_from("!HH", body, at)
        extensions[kind] = body[at + 4:at + 4 + length]
        at += 4 + length
    return Hello(struct.unpack_from("!H", body)[0], body[2:34], suites, extensions)


def answer(raw):
    """What came back to a hello: "server hello", ("alert", description) or "nothing"."""
    for kind, _, fragment in wire.records(raw):
        if kind == wire.RECORD_HANDSHAKE and fragment[:1] == b"\x02":
            return "server hello"
        if kind == wire.RECORD_ALERT:
            return "alert", fragment[1]
    return "nothing"
