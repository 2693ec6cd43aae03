"""Recordings of TLS connections made by real endpoints, with their key log and what was said: what `overt watch` gets
to read, and what must come out of it."""

import contextlib
import dataclasses
import functools
import pathlib
import ssl
import subprocess
import tempfile
import threading

import pytest

from . import clients, overt, servers, watch_frames, wire
from .proc import PATIENCE


def numbered(size, start=0):
    """Octets of which every aligned eight stand there once: a piece of them tells where it is from."""
    return b"".join(n.to_bytes(8, "big") for n in range(start, start + (size + 7) // 8))[:size]


@dataclasses.dataclass
class Recording:
    """One connection: what was on the wire as (up, octets), the key log, and the plaintext by direction."""
    pieces: list = dataclasses.field(default_factory=list)
    keys: str = ""
    up: bytes = b""
    down: bytes = b""

    def segments(self, **form):
        return watch_frames.segments(self.pieces, **form)

    def pcap(self, **form):
        return watch_frames.pcap(watch_frames.frames(self.segments(**form)))

    def stream(self, up):
        return b"".join(octets for direction, octets in self.pieces if direction == up)


class Pair:
    """Two endpoints of OpenSSL joined by memory, recorded. `say` sends and reads; what `context` calls are Python's."""

    def __init__(self, server, client, name="site.test", session=None):
        self.recording, self._folder = Recording(), tempfile.TemporaryDirectory(prefix="overt-keys-")
        self._log = pathlib.Path(self._folder.name) / "keys"
        client.keylog_filename = str(self._log)
        self._bios = {side: (ssl.MemoryBIO(), ssl.MemoryBIO()) for side in (True, False)}
        self.ends = {True: client.wrap_bio(*self._bios[True], False, name, session),
                     False: server.wrap_bio(*self._bios[False], True)}
        waiting = {True, False}
        while waiting:
            for side in (True, False):
                with contextlib.suppress(ssl.SSLWantReadError):
                    self.ends[side].do_handshake()
                    waiting.discard(side)
                self.move(side)
        self._drain()

    def move(self, side):
        """Carries what `side` (True: the client) wants sent."""
        data = self._bios[side][1].read()
        if data:
            self.recording.pieces.append((side, data))
            self._bios[not side][0].write(data)

    def _drain(self):
        for side in (True, False):
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                while part := self.ends[side].read(65536):
                    said = "down" if side else "up"
                    setattr(self.recording, said, getattr(self.recording, said) + part)

    def say(self, up, data):
        self.ends[up].write(data)
        self.move(up)
        self._drain()

    def close(self):
        for side in (True, False):
            with contextlib.suppress(ssl.SSLError):
                self.ends[side].unwrap()
            self.move(side)
        self.recording.keys = self._log.read_text() if self._log.exists() else ""
        self.ends[True].context.keylog_filename = None
        self._folder.cleanup()
        return self.recording


REQUEST = b"GET /what HTTP/1.1\r\nHost: site.test\r\n\r\n"


def answer(body):
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def exchange(server, client, body=b"", turns=1, session=None):
    """A whole recorded connection of Python contexts: `turns` requests and answers."""
    pair = Pair(server, client, session=session)
    for _ in range(turns):
        pair.say(True, REQUEST)
        pair.say(False, answer(body))
    found = pair.ends[True].session, pair.ends[True].version(), pair.ends[True].cipher()[0]
    recording = pair.close()
    recording.session, recording.version, recording.cipher = found
    return recording


class Tap:
    """A relay in front of a server's port that writes down what passes, in an order that is true: octets are noted
    before they are handed on."""

    def __init__(self, port):
        self._lock, self.connections = threading.Lock(), []

        def handle(connection):
            with self._lock:
                pieces = []
                self.connections.append(pieces)
            above = wire.connect(port)
            up = threading.Thread(target=self._pump, args=(connection.sock, above, pieces, True), daemon=True)
            up.start()
            self._pump(above, connection.sock, pieces, False)
            up.join(PATIENCE)
            above.close()
        self._origin = servers.Origin(None, handle)
        self.port = self._origin.port

    def _pump(self, source, sink, pieces, up):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    pieces.append((up, data))
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(1)

    def pcap(self, **form):
        """All connections, one after the other, each with a client port of its own: 40000, 40001, …"""
        self._origin.wait_quiet()
        made = []
        for number, pieces in enumerate(self.connections):
            made += watch_frames.segments(pieces, ports=(40000 + number, 443), **form)
        return watch_frames.pcap(watch_frames.frames(watch_frames.retimed(made)))

    def stop(self):
        self._origin.stop()


def captured(folder, *options, keys="keys"):
    """A capture by bench/capture of the build under test: (pcap path, key log path)."""
    program = pathlib.Path(overt.binary()).parent / "bench" / "capture"
    if not program.exists():
        pytest.skip("bench/capture is not built")
    out, log = pathlib.Path(folder) / "bench.pcap", pathlib.Path(folder) / keys
    done = clients.run(program, "--out", out, "--keys", log, *options)
    assert done.returncode == 0, done.stderr.decode()
    return out, log


@functools.lru_cache(maxsize=None)
def openssl_ciphers(wanted):
    """Names of the TLS 1.2 suites of the installed OpenSSL that `wanted` selects."""
    done = subprocess.run(["openssl", "ciphers", "-s", "-tls1_2", wanted], capture_output=True, text=True,
                          timeout=PATIENCE, check=True)
    return done.stdout.strip().split(":")
