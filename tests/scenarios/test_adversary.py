"""Clients and servers that mean harm: what one of them does must not end, stall or mislead a worker."""

import os
import pathlib
import re
import socket
import ssl
import struct
import threading
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from lab import clients, overt, servers, settings, wire
from lab.proc import PATIENCE, eventually

pytestmark = overt.requires("proxy --trust --rules --jsonl")


@pytest.fixture
def one(proxy):
    """A proxy with a single worker: what stalls or ends it is felt by everybody."""
    return proxy("--workers", "1")


def _same_worker(proxy, before):
    assert proxy.members("worker") == before, f"the worker died:\n{proxy.log()[-4000:]}"


# What a client says in an order nobody expects

def test_a_connect_after_a_plain_request_is_a_connection_of_its_own(one, nginx):
    before = one.members("worker")
    with wire.connect(one.port) as sock:
        sock.sendall(f"GET http://plain.test:{nginx.plain_port}/ HTTP/1.1\r\nHost: plain.test\r\n\r\n".encode())
        assert b"nginx says hello" in wire.recv_until(sock, b"HTTP/1.1\n")
        sock.sendall(wire.connect_request("site.test", nginx.port))
        assert wire.recv_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        with wire.Tls(sock, clients.context(one.ca), server_hostname="site.test").handshake() as tls:
            tls.send(b"GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n")
            assert b"nginx says hello" in tls.recv_until(b"HTTP/1.1\n")
    _same_worker(one, before)


def test_a_rule_for_the_connect_holds_after_a_plain_request_that_another_rule_let_through(proxy, nginx):
    made = proxy("--workers", "1", rules=settings.rules(settings.rule("block", protocol="tls")))
    before = made.members("worker")
    with wire.connect(made.port) as sock:
        sock.sendall(f"GET http://plain.test:{nginx.plain_port}/ HTTP/1.1\r\nHost: plain.test\r\n\r\n".encode())
        wire.recv_until(sock, b"HTTP/1.1\n")
        sock.sendall(wire.connect_request("site.test", nginx.port))
        assert wire.recv_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        with pytest.raises((ssl.SSLError, OSError)):
            wire.Tls(sock, clients.context(made.ca), server_hostname="site.test").handshake()
    _same_worker(made, before)


PG_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@pytest.mark.parametrize("junk", [b"\x16AAAAAAAA", b"\x16\x00", b"\x16\x03\x01\x00\x00"])
def test_what_only_begins_like_tls_after_starttls_ends_the_connection(one, starts, nginx, junk):
    server = starts(servers.Origin(None, lambda c: (c.recv_until(PG_SSL_REQUEST), c.send(b"S"), c.recv())))
    before = one.members("worker")
    with wire.open_tunnel(one.port, "site.test", server.port) as sock:
        sock.sendall(PG_SSL_REQUEST)
        assert wire.recv_exactly(sock, 1) == b"S"
        sock.sendall(junk)
        try:
            wire.recv_to_end(sock)
        except ConnectionResetError:
            pass
    assert one.curl(f"https://site.test:{nginx.port}/").status == 200
    _same_worker(one, before)
    server.wait_quiet()
    assert junk not in server.received()


# Peers that are slow

def test_an_upload_to_a_server_that_reads_late_goes_on_when_it_reads(one, origin):
    size, go = 24 << 20, threading.Event()

    def handler(connection):
        connection.recv_until(b"\r\n\r\n")
        assert go.wait(PATIENCE)
        got = 0
        while got < size:
            part = connection.recv()
            assert part, f"the client's octets end after {got} of {size}"
            got += len(part)
        connection.received.clear()
        connection.send(servers.http_answer(f"{got} octets"))

    server = origin("site.test", handler=handler)
    with one.tls(server.port, "site.test") as tls:
        tls.send(b"PUT / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1\r\n\r\n")
        sender = threading.Thread(target=lambda: [tls.send(bytes(1 << 16)) for _ in range(size >> 16)], daemon=True)
        sender.start()
        time.sleep(1)  # until every buffer on the way is full; nothing announces that
        go.set()
        sender.join(PATIENCE)
        assert not sender.is_alive(), "the upload stands still although the server reads"
        assert b" octets" in tls.recv_until(b"octets")


def _plain_request(proxy, port, size):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", proxy.port))
    sock.sendall(f"GET http://plain.test:{port}/{size} HTTP/1.1\r\nHost: plain.test\r\n\r\n".encode())
    return sock


def _ends(sock):
    return {sock.getsockname()[1], sock.getpeername()[1]}


def _queued(ports):
    """Octets that the kernel holds for a reader that does not read, on both ends of the connection between these ports."""
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = [row for row in rows if {int(row[1][9:], 16), int(row[2][9:], 16)} == ports]
    return sum(int(n, 16) for row in ours for n in row[4].split(":"))


def _settled(question):
    """The answer once it has stayed the same for a moment."""
    before, since = question(), time.monotonic()
    while time.monotonic() - since < 0.3:
        time.sleep(0.02)
        if (now := question()) != before:
            before, since = now, time.monotonic()
    return before


def test_a_slow_reader_of_plain_http_gets_the_last_octets_too(one, starts):
    def handler(connection):
        head = connection.recv_until(b"\r\n\r\n")
        size = int(head.split(b" ")[1].rpartition(b"/")[2])
        connection.send(servers.http_answer(bytes(size)))

    server = starts(servers.Origin(None, handler))
    with _plain_request(one, server.port, 64 << 20) as sock:
        room = _settled(lambda: _queued(_ends(sock)))
    # What the kernel does not take at once ends within one reading of the proxy, for one of these sizes.
    for size in range(room - 40_000, room + 40_000, 5_000):
        with _plain_request(one, server.port, size) as sock:
            _settled(lambda: _queued(_ends(sock)))
            head = wire.recv_until(sock, b"\r\n\r\n")
            got = len(head.partition(b"\r\n\r\n")[2])
            while got < size and (part := sock.recv(65536)):
                got += len(part)
            assert got == size


def test_a_client_of_plain_http_that_closes_its_side_gets_its_answer(one, starts):
    def handler(connection):
        connection.recv_until(b"\r\n\r\n")
        time.sleep(0.3)  # the client's FIN is at the proxy by now; nothing announces that
        connection.send(servers.http_answer("late"))

    server = starts(servers.Origin(None, handler))
    with wire.connect(one.port) as sock:
        sock.sendall(f"GET http://plain.test:{server.port}/ HTTP/1.1\r\nHost: plain.test\r\n\r\n".encode())
        sock.shutdown(socket.SHUT_WR)
        assert wire.recv_to_end(sock).endswith(b"late")


# Peers that flood. Records are sealed by hand, with the secrets that libssl logs, so that each costs its sender nothing.

KEY_UPDATE, NEW_SESSION_TICKET = 24, 4


def _expand(secret, label, length):
    text = b"tls13 " + label
    info = struct.pack("!HB", length, len(text)) + text + b"\0"
    return HKDFExpand(hashes.SHA384(), length, info).derive(secret)


class Sealer:
    """One direction of a connection with TLS_AES_256_GCM_SHA384, libssl's first choice, from its first application
    record on."""

    def __init__(self, log, label):
        found = re.search(rf"^{label}_TRAFFIC_SECRET_0 \w+ (\w{{96}})$", log.read_text(), re.M)
        self._secret = bytes.fromhex(found.group(1))
        self._renew()

    def _renew(self):
        self._key, self._iv = AESGCM(_expand(self._secret, b"key", 32)), _expand(self._secret, b"iv", 12)
        self._number = 0

    def record(self, kind, content):
        plain = content + bytes([kind])
        head = struct.pack("!BHH", wire.RECORD_DATA, 0x0303, len(plain) + 16)
        nonce = (int.from_bytes(self._iv, "big") ^ self._number).to_bytes(12, "big")
        self._number += 1
        return head + self._key.encrypt(nonce, plain, head)

    def key_update(self):
        record = self.record(wire.RECORD_HANDSHAKE, bytes([KEY_UPDATE, 0, 0, 1, 0]))
        self._secret = _expand(self._secret, b"traffic upd", 48)
        self._renew()
        return record


def _ticket():
    body = struct.pack("!IIB", 3600, 0, 0) + struct.pack("!H", 8) + os.urandom(8) + b"\0\0"
    return bytes([NEW_SESSION_TICKET]) + len(body).to_bytes(3, "big") + body


def _ready(make, total):
    """Records made beforehand, in pieces of about 1 MiB."""
    pieces, piece, made = [], bytearray(), 0
    while made < total:
        record = make()
        piece += record
        made += len(record)
        if len(piece) >= 1 << 20:
            pieces.append(bytes(piece))
            piece.clear()
    return [*pieces, bytes(piece)]


def _pour(sock, pieces):
    try:
        for piece in pieces:
            sock.sendall(piece)
    except OSError:  # cut off
        pass


def _others_are_served(proxy, nginx, flooded):
    """At once, or at least before the flood between these ports is over."""
    began = time.monotonic()
    got = proxy.curl(f"https://site.test:{nginx.port}/")
    took, waiting = time.monotonic() - began, _queued(flooded)
    assert got.status == 200 and (took < 1 or waiting > 0), f"{got.status} after {took:.1f} s: {got.error}"


def _client(proxy, folder):
    ctx = clients.context(proxy.ca)
    ctx.minimum_version = ssl.TLSVersion.TLSv1_3
    ctx.keylog_filename = str(folder / "keys")
    return ctx


def _swallow(connection):
    while connection.sock.recv(1 << 20):
        pass


@pytest.mark.parametrize("what", ["key updates", "records of one octet"])
def test_a_client_that_floods_with_small_records_does_not_stop_the_worker(what, one, origin, nginx, folder):
    server = origin("site.test", handler=_swallow)
    with one.tls(server.port, "site.test", ctx=_client(one, folder)) as tls:
        sealer = Sealer(folder / "keys", "CLIENT")
        make = sealer.key_update if what == "key updates" else lambda: sealer.record(wire.RECORD_DATA, b"x")
        pieces = _ready(make, 3 << 20)
        thread = threading.Thread(target=_pour, args=(tls.sock, pieces), daemon=True)
        thread.start()
        eventually(lambda: _queued(_ends(tls.sock)) > 0 or not thread.is_alive(), "the flood has begun")
        _others_are_served(one, nginx, _ends(tls.sock))
        thread.join(PATIENCE)


def test_a_server_that_floods_with_tickets_does_not_stop_the_worker(one, world, starts, nginx, folder):
    context = servers.server_context(*world.files("other.test"))
    context.minimum_version, context.num_tickets = ssl.TLSVersion.TLSv1_3, 0
    context.keylog_filename = str(folder / "keys")
    go, poured = threading.Event(), threading.Event()

    def handler(connection):
        connection.recv_until(b"\n")
        sealer = Sealer(folder / "keys", "SERVER")
        full = b"".join(_ticket() for _ in range(600))
        pieces = _ready(lambda: sealer.record(wire.RECORD_HANDSHAKE, full), 8 << 20)
        go.set()
        _pour(connection.sock, pieces)
        poured.set()
        connection.recv()

    server = starts(servers.Origin(context, handler))
    with one.tls(server.port, "other.test") as tls:
        tls.send(b"go\n")
        assert go.wait(PATIENCE)
        flooded = _ends(server.wait_connection().sock)
        eventually(lambda: _queued(flooded) > 0 or poured.is_set(), "the flood has begun")
        _others_are_served(one, nginx, flooded)
        poured.wait(PATIENCE)


# What comes at once with something else

def test_a_greeting_that_comes_with_the_answer_of_the_proxy_in_between_is_not_lost(proxy, starts):
    greeting = b"220 mail.test ESMTP ready\r\n"

    def handler(connection):
        connection.recv_until(b"\r\n\r\n")
        connection.send(b"HTTP/1.1 200 Connected\r\n\r\n" + greeting)
        connection.recv_until(b"QUIT\r\n")
        connection.send(b"221 bye\r\n")

    parent = starts(servers.Origin(None, handler))
    made = proxy("--upstream-proxy", f"http://127.0.0.1:{parent.port}")
    with wire.open_tunnel(made.port, "mail.test", 25) as sock:
        assert wire.recv_exactly(sock, len(greeting)) == greeting
        sock.sendall(b"QUIT\r\n")
        assert wire.recv_to_end(sock) == b"221 bye\r\n"


# What is read is in the audit log

def _audit_log(proxy):
    return (proxy.state / "audit.log").read_text()


def test_plain_http_that_is_read_is_in_the_audit_log_too(one, nginx):
    assert one.curl(f"http://plain.test:{nginx.plain_port}/").status == 200
    eventually(lambda: _audit_log(one).count('"inspected"') == 1, "the entry of the one request that was read")


# Sessions

def test_a_ticket_does_not_hide_a_fault_that_came_after_it(proxy, world, starts):
    made = proxy(rules=settings.rules(settings.rule("inspect", {"invalid": "mirror"}, name=["expired.test"])))
    chain, key = world.files("expired.test", ends=10 / 86400)
    server = starts(servers.Origin(servers.server_context(chain, key)))
    ctx = clients.context(made.ca)
    with made.tls(server.port, "expired.test", ctx=ctx) as tls:
        tls.send(b"GET / HTTP/1.1\r\nHost: expired.test\r\n\r\n")
        tls.recv_until(b"origin:")
        session = tls.object.session
        assert session.has_ticket
    time.sleep(11)  # until the certificate has expired
    with pytest.raises(ssl.SSLError):
        made.tls(server.port, "expired.test", ctx=ctx, session=session)


# What a peer makes the proxy compute

def _seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cost(proxy, work, times=8):
    """CPU seconds of the worker for one piece of work."""
    worker = proxy.members("worker")[0]
    before = _seconds(worker)
    for _ in range(times):
        work()
    return (_seconds(worker) - before) / times


def test_a_client_that_wants_huge_groups_does_not_get_them(one, world, starts):
    server = starts(servers.OpensslServer(*world.files("site.test"), "-groups", "ffdhe8192:P-256", "-www"))

    def ask(groups):
        clients.s_client(server.port, "site.test", "-groups", groups, "-tls1_3", proxy=one.port, ca=one.ca)

    ask("P-256")
    assert _cost(one, lambda: ask("ffdhe8192:P-256")) < 0.08


@pytest.mark.parametrize("bits", [8192, 10000])
def test_a_server_with_a_huge_group_of_its_own_costs_little(bits, one, world, starts, folder):
    parameters = folder / "dh.pem"
    parameters.write_text(servers.custom_group(bits))
    suite = "DHE-RSA-AES128-GCM-SHA256"
    context = servers.server_context(*world.files("site.test", kind="rsa2048"), most=ssl.TLSVersion.TLSv1_2,
                                     ciphers=f"{suite}:@SECLEVEL=0")
    context.load_dh_params(str(parameters))
    server = starts(servers.Origin(context))
    ctx = clients.context(one.ca, most=ssl.TLSVersion.TLSv1_2, ciphers=suite)
    assert _cost(one, lambda: one.get(server.port, "site.test", ctx=ctx), 3) < 0.08
    server.wait_quiet()
    assert server.received() == b""
