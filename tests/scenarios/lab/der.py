"""DER (X.690) written by hand, so that a certificate can be wrong in any way a test wants."""

import datetime


def tlv(tag, *parts):
    body = b"".join(parts)
    if len(body) < 0x80:
        length = bytes([len(body)])
    else:
        octets = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
        length = bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + length + body


def seq(*parts):
    return tlv(0x30, *parts)


def set_of(*parts):
    return tlv(0x31, *parts)


def integer(value):
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def boolean(value):
    return tlv(0x01, b"\xff" if value else b"\x00")


def octets(body):
    return tlv(0x04, body)


def bits(body, unused=0):
    return tlv(0x03, bytes([unused]), body)


def named_bits(*numbers):
    """A BIT STRING with the bits named by number set and no trailing zero bits (X.690, 11.2.2)."""
    if not numbers:
        return tlv(0x03, b"\x00")
    width = max(numbers) + 1
    value = sum(1 << (width - 1 - n) for n in numbers)
    unused = -width % 8
    return bits((value << unused).to_bytes((width + unused) // 8, "big"), unused)


def null():
    return tlv(0x05)


def utf8(text):
    return tlv(0x0C, text.encode())


def oid(dotted):
    first, second, *rest = (int(n) for n in dotted.split("."))
    body = b""
    for number in [first * 40 + second, *rest]:
        group = bytes([number & 0x7F])
        while number := number >> 7:
            group = bytes([0x80 | number & 0x7F]) + group
        body += group
    return tlv(0x06, body)


def time(moment):
    """UTCTime up to 2049, GeneralizedTime from 2050 (RFC 5280, 4.1.2.5)."""
    moment = moment.astimezone(datetime.timezone.utc)
    if moment.year < 2050:
        return tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode())


def context(number, *parts, constructed=True):
    return tlv(0x80 | (0x20 if constructed else 0) | number, *parts)


def split(body):
    """The elements of a constructed body, each with its header."""
    found, at = [], 0
    while at < len(body):
        length, header = body[at + 1], 2
        if length & 0x80:
            header += length & 0x7F
            length = int.from_bytes(body[at + 2:at + header], "big")
        found.append(body[at:at + header + length])
        at += header + length
    return found


def content(element):
    """What stands inside one element."""
    header = 2 + (element[1] & 0x7F if element[1] & 0x80 else 0)
    return element[header:]
