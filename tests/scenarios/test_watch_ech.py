"""Encrypted Client Hello in a capture (RFC 9849): opened with what RFC 9850 logs. No stock library of the lab speaks it,
so both sides are written here, with primitives of their own."""

import os
import struct

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lab import overt, watch, watch_frames

pytestmark = overt.requires("watch --keys --plaintext")

SHA256 = hashes.SHA256
REQUEST, ANSWER = b"GET /hidden HTTP/1.1\r\nHost: hidden.test\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"


def _extract(salt, ikm, algorithm=SHA256):
    mac = hmac.HMAC(salt or bytes(algorithm().digest_size), algorithm())
    mac.update(ikm)
    return mac.finalize()


def _expand(secret, info, size, algorithm=SHA256):
    return HKDFExpand(algorithm(), size, info).derive(secret)


def _label(secret, label, context, size):
    label = b"tls13 " + label
    return _expand(secret, struct.pack("!HB", size, len(label)) + label + bytes([len(context)]) + context, size)


def _hash(octets):
    digest = hashes.Hash(SHA256())
    digest.update(octets)
    return digest.finalize()


# HPKE (RFC 9180), sending, for one recipient's key

KDFS = {1: hashes.SHA256, 2: hashes.SHA384, 3: hashes.SHA512}
AEADS = {1: (AESGCM, 16), 2: (AESGCM, 32), 3: (ChaCha20Poly1305, 32)}


class Kem:
    """DHKEM with X25519 (0x20) or P-256 (0x10)."""

    def __init__(self, number):
        self.number, p256 = number, number == 0x10

        def public(key):
            if p256:
                return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

        fresh = (lambda: ec.generate_private_key(ec.SECP256R1())) if p256 else x25519.X25519PrivateKey.generate
        recipient, sender = fresh(), fresh()
        self.public, self.enc = public(recipient), public(sender)
        shared = sender.exchange(ec.ECDH(), recipient.public_key()) if p256 else sender.exchange(recipient.public_key())
        suite = b"KEM" + struct.pack("!H", number)
        prk = _extract(b"", b"HPKE-v1" + suite + b"eae_prk" + shared)
        info = b"HPKE-v1" + suite + b"shared_secret" + self.enc + self.public
        self.secret = _expand(prk, struct.pack("!H", 32) + info, 32)


class Hpke:
    def __init__(self, kem, kdf, aead, info):
        self.suite, self.algorithm = b"HPKE" + struct.pack("!HHH", kem.number, kdf, aead), KDFS[kdf]
        context = b"\0" + self._extract(b"", b"psk_id_hash", b"") + self._extract(b"", b"info_hash", info)
        secret = self._extract(kem.secret, b"secret", b"")
        cipher, size = AEADS[aead]
        self.cipher = cipher(self._expand(secret, b"key", context, size))
        self.nonce, self.sequence = self._expand(secret, b"base_nonce", context, 12), 0

    def _extract(self, salt, label, ikm):
        return _extract(salt, b"HPKE-v1" + self.suite + label + ikm, self.algorithm)

    def _expand(self, secret, label, info, size):
        return _expand(secret, struct.pack("!H", size) + b"HPKE-v1" + self.suite + label + info, size, self.algorithm)

    def seal(self, aad, plaintext):
        nonce = (int.from_bytes(self.nonce, "big") ^ self.sequence).to_bytes(12, "big")
        self.sequence += 1
        return self.cipher.encrypt(nonce, plaintext, aad)


# TLS messages

def _vec(width, octets):
    return len(octets).to_bytes(width, "big") + octets


def _message(kind, body):
    return bytes([kind]) + _vec(3, body)


def _extension(kind, octets):
    return struct.pack("!H", kind) + _vec(2, octets)


def _name(name):
    return _extension(0, _vec(2, b"\0" + _vec(2, name.encode())))


def _hello(random, session, extensions):
    return b"\x03\x03" + random + _vec(1, session) + _vec(2, b"\x13\x01") + _vec(1, b"\0") + _vec(2, extensions)


VERSIONS, GROUPS = _extension(43, _vec(1, b"\x03\x04")), _extension(10, _vec(2, b"\0\x1d"))
SIGNATURES, INNER = _extension(13, _vec(2, b"\x04\x03")), _extension(0xFE0D, b"\x01")


class Talk:
    """A connection with ECH. `accept`: the server takes the inner hello. `retry`: it asks for another hello first."""

    def __init__(self, *, kem=0x20, kdf=1, aead=1, accept=True, retry=False, compress=True):
        self.kem, session = Kem(kem), os.urandom(32)
        key = b"\x07" + struct.pack("!H", kem) + _vec(2, self.kem.public) + _vec(2, struct.pack("!HH", kdf, aead))
        contents = key + b"\0" + _vec(1, b"public.test") + _vec(2, b"")
        self.config = b"\xfe\x0d" + _vec(2, contents)
        hpke = Hpke(self.kem, kdf, aead, b"tls ech\0" + self.config)
        self.outer_random, self.inner_random = os.urandom(32), os.urandom(32)
        outers, inners = [], []
        for nth in range(1 + retry):
            share = _extension(51, _vec(2, b"\0\x1d" + _vec(2, os.urandom(32))))
            common = VERSIONS + GROUPS + SIGNATURES + share
            kinds = b"".join(struct.pack("!H", k) for k in (43, 10, 13, 51))
            inner = _name("hidden.test") + (_extension(0xFD00, _vec(1, kinds)) if compress else common) + INNER
            encoded = _hello(self.inner_random, b"", inner) + bytes(17)
            inners.append(_message(1, _hello(self.inner_random, session, _name("hidden.test") + common + INNER)))

            def outer(payload, enc=b"" if nth else self.kem.enc, common=common):
                ech = b"\0" + struct.pack("!HHB", kdf, aead, 7) + _vec(2, enc) + _vec(2, payload)
                return _hello(self.outer_random, session, _name("public.test") + common + _extension(0xFE0D, ech))

            outers.append(_message(1, outer(hpke.seal(outer(bytes(len(encoded) + 16)), encoded))))
        self.wire, self.inners = [], inners
        hellos = inners if accept else outers
        transcript = hellos[0]
        server = _extension(43, b"\x03\x04")
        self._clear(True, outers[0])
        if retry:
            special = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
            asked = server + _extension(51, b"\0\x1d")
            request = self._server_hello(special, session, asked + _extension(0xFE0D, bytes(8)))
            transcript = _message(254, _hash(hellos[0]))
            confirmation = _label(_extract(b"", self.inner_random), b"hrr ech accept confirmation",
                                  _hash(transcript + request), 8)
            request = self._server_hello(special, session, asked + _extension(0xFE0D, confirmation))
            self._clear(False, request)
            self._clear(True, outers[1])
            transcript += request + hellos[1]
        server += _extension(51, b"\0\x1d" + _vec(2, os.urandom(32)))
        random = os.urandom(32)
        if accept:
            blank = self._server_hello(random[:24] + bytes(8), session, server)
            random = random[:24] + _label(_extract(b"", self.inner_random), b"ech accept confirmation",
                                          _hash(transcript + blank), 8)
        self._clear(False, self._server_hello(random, session, server))
        self._secrets = {f"{side}_{name}": os.urandom(32) for side in ("CLIENT", "SERVER")
                         for name in ("HANDSHAKE_TRAFFIC_SECRET", "TRAFFIC_SECRET_0")}
        self._tls_random = self.inner_random if accept else self.outer_random
        finished = _message(20, os.urandom(32))
        self._sealed(False, "SERVER_HANDSHAKE_TRAFFIC_SECRET", 22, _message(8, _vec(2, b"")) + finished)
        self._sealed(True, "CLIENT_HANDSHAKE_TRAFFIC_SECRET", 22, finished)
        self._sealed(True, "CLIENT_TRAFFIC_SECRET_0", 23, REQUEST)
        self._sealed(False, "SERVER_TRAFFIC_SECRET_0", 23, ANSWER)

    @staticmethod
    def _server_hello(random, session, extensions):
        return _message(2, b"\x03\x03" + random + _vec(1, session) + b"\x13\x01\0" + _vec(2, extensions))

    def _clear(self, up, message):
        self.wire.append((up, b"\x16\x03\x01" + _vec(2, message)))

    def _sealed(self, up, name, kind, content):
        secret = self._secrets[name]
        key, iv = _label(secret, b"key", b"", 16), _label(secret, b"iv", b"", 12)
        head = b"\x17\x03\x03" + struct.pack("!H", len(content) + 17)
        self.wire.append((up, head + AESGCM(key).encrypt(iv, content + bytes([kind]), head)))

    def ech_keys(self):
        return "".join(f"{name} {self.outer_random.hex()} {value.hex()}\n"
                       for name, value in (("ECH_SECRET", self.kem.secret), ("ECH_CONFIG", self.config)))

    def tls_keys(self):
        return "".join(f"{name} {self._tls_random.hex()} {value.hex()}\n" for name, value in self._secrets.items())

    def capture(self):
        return watch_frames.pcap(watch_frames.frames(watch_frames.segments(self.wire)))


def _names(seen):
    return [(e["sni"], e["ech"]) for e in seen.of("hello")]


def _read(seen):
    assert seen.summary.verdicts == (1, 0, 0), seen.err
    assert seen.only("up") == REQUEST and seen.only("down") == ANSWER


BOTH = [("public.test", "outer"), ("hidden.test", "inner")]


@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize("kem,kdf,aead", [(0x20, 1, 1), (0x20, 2, 2), (0x20, 3, 3), (0x10, 1, 1), (0x10, 1, 3)])
def test_the_inner_hello_is_opened_and_both_names_are_told(folder, kem, kdf, aead, retry):
    talk = Talk(kem=kem, kdf=kdf, aead=aead, retry=retry)
    seen = watch.of_bytes(folder, talk.capture(), keys=talk.ech_keys() + talk.tls_keys())
    _read(seen)
    assert _names(seen) == BOTH
    assert "1 with Encrypted Client Hello (1 opened, 0 refused by the server)" in seen.err


def test_an_inner_hello_without_references_to_the_outer_one_is_opened(folder):
    talk = Talk(compress=False)
    seen = watch.of_bytes(folder, talk.capture(), keys=talk.ech_keys() + talk.tls_keys())
    _read(seen)
    assert _names(seen) == BOTH


@pytest.mark.parametrize("retry", [False, True])
def test_where_the_server_refuses_it_the_outer_name_counts(folder, retry):
    talk = Talk(accept=False, retry=retry)
    seen = watch.of_bytes(folder, talk.capture(), keys=talk.ech_keys() + talk.tls_keys())
    _read(seen)
    assert _names(seen) == BOTH[:1] and seen.of("notice", name="ech-refused")
    assert "(0 opened, 1 refused by the server)" in seen.err


def test_without_keys_it_is_named_and_counted(folder):
    seen = watch.of_bytes(folder, Talk().capture())
    assert seen.summary.verdicts == (0, 0, 1) and _names(seen) == BOTH[:1]
    assert "1 with Encrypted Client Hello (0 opened" in seen.err


def test_without_the_ech_secret_traffic_is_tied_to_the_inner_random_by_trial(folder):
    talks = [Talk() for _ in range(30)]
    keys = "".join(talk.tls_keys() for talk in talks)
    seen = watch.of_bytes(folder, talks[17].capture(), keys=keys)
    _read(seen)
    assert _names(seen) == BOTH[:1] and seen.of("notice", name="ech-tied")


def test_the_ech_secret_of_another_connection_opens_nothing(folder):
    talk, other = Talk(), Talk()
    wrong = other.ech_keys().replace(other.outer_random.hex(), talk.outer_random.hex())
    seen = watch.of_bytes(folder, talk.capture(), keys=wrong)
    assert seen.summary.verdicts == (0, 0, 1) and _names(seen) == BOTH[:1]


def test_secrets_may_come_after_the_packets(folder):
    talk = Talk()
    (folder / "capture").write_bytes(talk.capture())
    log = folder / "late"
    log.touch()
    reading = watch.Running("-k", log, "--follow", folder / "capture")
    try:
        reading.wait('"type":"hello"')
        log.write_text(talk.ech_keys() + talk.tls_keys())
        reading.wait('"type":"request"')
        assert _names(reading.end(15)) == BOTH
    finally:
        reading.stop()


def test_written_packets_carry_the_secrets_of_both_hellos(folder):
    talk = Talk()
    (folder / "capture").write_bytes(talk.capture())
    (folder / "log").write_text(talk.ech_keys() + talk.tls_keys())
    watch.run("-q", "-k", folder / "log", "-w", folder / "out", folder / "capture")
    seen = watch.run(folder / "out")
    _read(seen)
    assert _names(seen) == BOTH
