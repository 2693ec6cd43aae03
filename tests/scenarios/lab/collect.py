"""A collector with its certificates and grants, and a sender and a reader of its own protocol, written from its
description and not from the program: sealing (RFC 9180) is that of Python's cryptography and hmac."""

import base64
import contextlib
import datetime
import hashlib
import hmac
import ipaddress
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import time
import typing
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from . import lines, overt, servers
from .proc import PATIENCE, Process

PUT, TAKEN, ENDED, WANT, ENOUGH, INSTANCE, GIVE, CAUGHT_UP, SORRY = range(1, 10)
RECORD, RAW, LIVE, BOTH, UNILATERAL = 1, 2, 1, 1, 2


class Done(typing.NamedTuple):
    code: int
    stdout: str
    stderr: str


class Place:
    """A folder as `overt collect init` makes it, with a signer and a reader."""

    def __init__(self, folder, *clients):
        self.dir = pathlib.Path(folder) / "collect"
        self.keys = pathlib.Path(folder) / "keys"
        self.keys.mkdir()
        self.overt("collect", "init", "--dir", self.dir, "web1", "ops", *clients)
        self.overt("grant", "signer", "--dir", self.keys, "boss")
        (self.dir / "signers").write_bytes((self.keys / "boss.vkey").read_bytes())
        self.reader_key("ops")

    @staticmethod
    def overt(*arguments, code=0):
        done = Done(*overt.run(*map(str, arguments)))
        assert done.code == code, (arguments, done)
        return done

    def reader_key(self, name):
        self.overt("grant", "key", "--dir", self.keys, name)

    def grant(self, *more, reader="ops", names=("*",), grade="record", consent="both", code=0):
        """Makes one; its id."""
        unilateral = ("--reason", "a test", "--until", "1d") if consent == "unilateral" else ()
        done = self.overt("grant", "new", "--signer", self.keys / "boss.key", "--reader", reader, "--reader-key",
                          self.keys / f"{reader}.pub", "--purpose", "to test", "--grade", grade, "--consent", consent,
                          "--dir", self.dir / "grants", *unilateral, *more, *(w for n in names for w in ("--name", n)),
                          code=code)
        return done.stdout.split()[0] if code == 0 else done.stderr

    def revoke(self, grant):
        self.overt("grant", "revoke", "--signer", self.keys / "boss.key", "--reason", "no longer",
                   self.dir / "grants" / f"{grant}.grant")

    def reading(self, collector, reader="ops", certificate=None):
        """The options of a reader."""
        return ("--collector", collector.address, "--reader-key", self.keys / f"{reader}.key",
                "--certificate", self.dir / f"{certificate or reader}.pem")

    def context(self, name, *protocols, most=ssl.TLSVersion.TLSv1_3):
        ctx = ssl.create_default_context(cafile=self.dir / "ca.pem")
        ctx.maximum_version = most
        if name:
            ctx.load_cert_chain(self.dir / f"{name}.pem", self.dir / f"{name}.key")
        if protocols:
            ctx.set_alpn_protocols(protocols)
        return ctx

    def expired(self, name, address="127.0.0.1"):
        """A certificate that was good until yesterday."""
        ca = x509.load_pem_x509_certificate((self.dir / "ca.pem").read_bytes())
        signer = serialization.load_pem_private_key((self.dir / "ca.key").read_bytes(), None)
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.utcnow()
        cert = (x509.CertificateBuilder()
                .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
                .issuer_name(ca.subject).public_key(key.public_key()).serial_number(7)
                .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
                .not_valid_before(now - datetime.timedelta(days=9)).not_valid_after(now - datetime.timedelta(days=1))
                .sign(signer, hashes.SHA256()))
        (self.dir / f"{name}.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        (self.dir / f"{name}.key").write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    def entries(self, kind=None):
        return lines.objects(self.dir / "audit.log", kind)


class Collector:
    def __init__(self, place, *options, address=None):
        self.place = place
        # The port stays there for the next one, and nobody who tries it meanwhile gets it for his own end.
        self.reserved = None if address else servers.Reserved()
        address = address or f"127.0.0.1:{self.reserved.port}"
        self.process = Process(overt.binary(), "collect", "--dir", place.dir, "--listen", address, *map(str, options))
        self.process.err.wait(r"\bready$|overt collect:")
        found = re.search(r"listening address=(\S+:(\d+))", self.process.err.text())
        assert found, self.process.err.text()
        self.address, self.port = found[1], int(found[2])

    def wait(self, pattern, timeout=PATIENCE):
        return self.process.err.wait(pattern, timeout)

    def connect(self, name, *protocols, **knobs):
        ctx = self.place.context(name, *protocols, **knobs)
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        return ctx.wrap_socket(sock, server_hostname="127.0.0.1")

    def lines(self, text, name="web1"):
        """Sends lines as `openssl s_client` does, and waits until they are taken."""
        done = subprocess.run(
            ["openssl", "s_client", "-connect", self.address, "-CAfile", self.place.dir / "ca.pem", "-cert",
             self.place.dir / f"{name}.pem", "-key", self.place.dir / f"{name}.key", "-verify_return_error", "-quiet",
             "-no_ign_eof"], input=text.encode(), capture_output=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr

    def metrics(self):
        """What it says to Prometheus."""
        port = self.wait(r"metrics address=\S+:(\d+)")[1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
            text = answer.read().decode()
        assert not re.search(r"^(?!#)\S+ (?!\d+$)", text, re.M), text
        return {name: int(value) for name, value in re.findall(r"^(\w+) (\d+)$", text, re.M)}

    def counts(self):
        """Ends it; what it counted."""
        self.stop()
        last = re.findall(r"collected (.*)", self.process.err.text())[-1]
        return {key: int(value) for key, value in re.findall(r"(\S+)=(\d+)", last)}

    def stop(self):
        if self.process.running():
            self.process.terminate()
            assert self.process.wait() == 0, self.process.err.text()
        assert "runtime error" not in self.process.err.text(), self.process.err.text()
        assert "ERROR: " not in self.process.err.text(), self.process.err.text()


class Frames:
    """One connection that speaks frames."""

    def __init__(self, sock):
        self.sock, self.held = sock, b""

    def send(self, kind, body):
        self.sock.sendall(bytes([kind]) + len(body).to_bytes(3, "big") + body)

    def take(self):
        """(kind, body), or None at the end."""
        while len(self.held) < 4 or len(self.held) < 4 + int.from_bytes(self.held[1:4], "big"):
            more = self.sock.recv(65536)
            if not more:
                return None
            self.held += more
        size = 4 + int.from_bytes(self.held[1:4], "big")
        frame, self.held = self.held[:size], self.held[size:]
        return frame[0], frame[4:]

    def put(self, number, *sealed):
        """What TAKEN says: fresh, known, contradictory, refused, why."""
        self.send(PUT, struct.pack(">Q", number) + b"".join(struct.pack(">H", len(one)) + one for one in sealed))
        kind, body = self.take()
        assert kind == TAKEN, (kind, body)
        batch, *counts = struct.unpack(">QIIIIB", body)
        assert batch == number
        return tuple(counts)

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.close()


# Sealing.

_KEM, _HPKE = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x03"


def _hmac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def _extract(suite, salt, label, ikm):
    return _hmac(salt or bytes(32), b"HPKE-v1" + suite + label + ikm)


def _expand(suite, prk, label, info, length):
    return _hmac(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info + b"\x01")[:length]


def _raw(public):
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


class Sealer:
    def __init__(self, public_pem):
        reader = serialization.load_pem_public_key(pathlib.Path(public_pem).read_bytes())
        der = reader.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        raw = _raw(reader)
        self.key_id = hashlib.sha256(der).digest()
        own = X25519PrivateKey.generate()
        self.enc, self.number = _raw(own.public_key()), 0
        shared = own.exchange(X25519PublicKey.from_public_bytes(raw))
        secret = _expand(_KEM, _extract(_KEM, b"", b"eae_prk", shared), b"shared_secret", self.enc + raw, 32)
        context = (b"\x00" + _extract(_HPKE, b"", b"psk_id_hash", b"")
                   + _extract(_HPKE, b"", b"info_hash", b"overt seal 1"))
        prk = _extract(_HPKE, secret, b"secret", b"")
        self.key = _expand(_HPKE, prk, b"key", context, 32)
        self.nonce = int.from_bytes(_expand(_HPKE, prk, b"base_nonce", context, 12), "big")

    def seal(self, grant, key, *, name=b"site.test", mode=LIVE, consent=BOTH, check=None, grade=RECORD):
        """`key`: a Key. The sealed release."""
        grant, made = bytes.fromhex(grant), time.time_ns()
        form = key.written()
        body = (bytes([1, grade, mode, consent]) + grant + struct.pack(">QI", made, 1) + bytes(36)
                + _vec8(name) + _vec8(b"host") + _vec8(b"lab") + struct.pack(">H", len(form)) + form)
        check = check or hashlib.blake2b(form, digest_size=16, key=b"overt release check 1").digest()
        head = (b"\x01" + self.key_id + self.enc + struct.pack(">Q", self.number) + bytes([grade, mode, consent])
                + grant + key.random + bytes([key.from_client]) + struct.pack(">I", key.epoch) + check
                + struct.pack(">Q", made) + _vec8(name))
        nonce = (self.nonce ^ self.number).to_bytes(12, "big")
        self.number += 1
        sealed = ChaCha20Poly1305(self.key).encrypt(nonce, body, head)
        return head + struct.pack(">H", len(sealed)) + sealed


def _vec8(text):
    return bytes([len(text)]) + text


class Key:
    """The record key of one direction and epoch, TLS 1.3."""

    def __init__(self, random, from_client, suite, secret, epoch=0):
        digest, size = {0x1301: ("sha256", 16), 0x1302: ("sha384", 32), 0x1303: ("sha256", 32)}[suite]

        def label(text, length):
            info = struct.pack(">H", length) + _vec8(b"tls13 " + text) + b"\x00"
            return hmac.new(secret, info + b"\x01", digest).digest()[:length]
        self.random, self.from_client, self.suite, self.epoch = random, from_client, suite, epoch
        self.key, self.iv = label(b"key", size), label(b"iv", 12)

    def written(self):
        return (self.random + bytes([self.from_client, 2]) + struct.pack(">IHHQ", self.epoch, 0x0304, self.suite, 0)
                + _vec8(self.key) + _vec8(self.iv) + b"\x00")

    @staticmethod
    def of_log(text, suite=0x1301):
        """Of a key log's application traffic secrets of epoch 0."""
        found = re.findall(r"^(CLIENT|SERVER)_TRAFFIC_SECRET_0 ([0-9a-f]{64}) ([0-9a-f]+)", text, re.M | re.I)
        return [Key(bytes.fromhex(random), side == "CLIENT", suite, bytes.fromhex(secret))
                for side, random, secret in found]


def spki_sha256(pem_file):
    out = subprocess.run(["openssl", "x509", "-in", pem_file, "-noout", "-pubkey"], capture_output=True, check=True)
    body = b"".join(out.stdout.splitlines()[1:-1])
    return hashlib.sha256(base64.b64decode(body)).hexdigest()
