"""QUIC and DTLS in a capture: named and counted, though not decrypted."""

import socket
import struct
import subprocess
import threading

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from lab import clients, overt, servers, watch, watch_frames, watch_record, wire
from lab.proc import PATIENCE, Process, eventually

pytestmark = overt.requires("watch --keys --plaintext")

F = watch_frames


def _udp(datagrams, ports):
    made = []
    for number, (up, body) in enumerate(datagrams):
        source, target = ports if up else ports[::-1]
        packet = F.ip4(up, struct.pack("!HHHH", source, target, 8 + len(body), 0) + body, 17)
        made.append((F.START + number * F.STEP, packet))
    return F.pcap(made)


# QUIC version 1 (RFC 9001)

SALT = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")


def _expand(secret, label, size):
    info = struct.pack("!HB", size, 6 + len(label)) + b"tls13 " + label + b"\0"
    return HKDFExpand(hashes.SHA256(), size, info).derive(secret)


def _initial(connection, number, frames, size=1200):
    """A client's Initial packet that carries `frames`, padded to `size` octets."""
    extract = hmac.HMAC(SALT, hashes.SHA256())
    extract.update(connection)
    secret = _expand(extract.finalize(), b"client in", 32)
    key, iv, hp = _expand(secret, b"quic key", 16), _expand(secret, b"quic iv", 12), _expand(secret, b"quic hp", 16)
    head = b"\xc3" + struct.pack("!I", 1) + bytes([len(connection)]) + connection + b"\0" + b"\0"
    length = size - len(head) - 2
    head += struct.pack("!H", 0x4000 | length) + struct.pack("!I", number)
    frames += b"\0" * (length - 4 - 16 - len(frames))
    nonce = (int.from_bytes(iv, "big") ^ number).to_bytes(12, "big")
    sealed = AESGCM(key).encrypt(nonce, frames, head)
    mask = Cipher(algorithms.AES(hp), modes.ECB()).encryptor().update(sealed[:16])
    packet = bytearray(head + sealed)
    packet[0] ^= mask[0] & 0x0F
    for n in range(4):
        packet[len(head) - 4 + n] ^= mask[1 + n]
    return bytes(packet)


def _crypto(offset, body):
    return b"\x06" + struct.pack("!I", 0x80000000 | offset) + struct.pack("!H", 0x4000 | len(body)) + body


def _client_hello(protocols):
    """A ClientHello as OpenSSL writes it."""
    context, out = clients.context(None, protocols=protocols), watch_record.ssl.MemoryBIO()
    client = context.wrap_bio(watch_record.ssl.MemoryBIO(), out, False, "quic.test")
    with pytest.raises(watch_record.ssl.SSLWantReadError):
        client.do_handshake()
    return wire.records(out.read())[0][2]


@pytest.mark.parametrize("order", ["whole", "two-packets", "two-packets-reversed"])
def test_a_flow_of_quic_is_named_by_its_hello_and_counted(folder, order):
    hello = _client_hello(["h3"] if order == "whole" else ["h3", *(f"{n:03}" * 60 for n in range(9))])
    connection = b"\x83\x94\xc8\xf0\x3e\x51\x57\x08"
    if order == "whole":
        sent = [_initial(connection, 0, _crypto(0, hello))]
    else:
        sent = [_initial(connection, 0, _crypto(0, hello[:900])),
                _initial(connection, 1, _crypto(900, hello[900:]), 1400)]
    if order.endswith("reversed"):
        sent.reverse()
    seen = watch.of_bytes(folder, _udp([(True, d) for d in sent] + [(False, b"\x40" + bytes(60))], (50000, 443)))
    assert [e["sni"] for e in seen.of("hello")] == ["quic.test"] and "h3" in seen.of("hello")[0]["alpn"]
    assert "1 QUIC flow" in seen.err and seen.summary.connections == 0


class UdpTap:
    """A UDP relay for one client that writes down what passes."""

    def __init__(self, port):
        self.datagrams, self.port = [], 0
        self._below, self._above = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
        self._below.bind(("127.0.0.1", 0))
        self._above.connect(("127.0.0.1", port))
        self.port, self._client, self._end = self._below.getsockname()[1], None, False
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._up, self._down)]
        for sock in (self._below, self._above):
            sock.settimeout(0.2)
        for thread in self._threads:
            thread.start()

    def _up(self):
        while not self._end:
            try:
                body, self._client = self._below.recvfrom(65536)
                self.datagrams.append((True, body))
                self._above.send(body)
            except OSError:
                pass

    def _down(self):
        while not self._end:
            try:
                body = self._above.recv(65536)
                self.datagrams.append((False, body))
                self._below.sendto(body, self._client)
            except OSError:
                pass

    def stop(self):
        self._end = True
        for thread in self._threads:
            thread.join(PATIENCE)
        self._below.close()
        self._above.close()


def test_a_flow_of_dtls_is_named_and_counted(world, starts, folder):
    server = starts(servers.OpensslServer(*world.files("site.test"), "-dtls1_2"))
    tap = starts(UdpTap(server.port))
    client = starts(Process("openssl", "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{tap.port}", "-servername",
                            "site.test", "-keylogfile", folder / "keys", stdin=subprocess.PIPE))
    client.write(b"over datagrams\n")
    server.process.out.wait("over datagrams")
    eventually(lambda: len(tap.datagrams) > 6, "datagrams were seen")
    client.stop()
    seen = watch.of_bytes(folder, _udp(list(tap.datagrams), (50000, 4433)), "-k", folder / "keys")
    assert [e["sni"] for e in seen.of("hello")] == ["site.test"]
    assert "1 DTLS flow" in seen.err


def test_other_datagrams_are_passed_over(folder):
    seen = watch.of_bytes(folder, _udp([(True, b"a question"), (False, b"an answer")], (50000, 53)))
    assert not seen.events and "QUIC" not in seen.err and "DTLS" not in seen.err
