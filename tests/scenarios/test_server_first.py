"""Protocols in which the server speaks first, and those that begin TLS in the middle."""

import re
import socket

import pytest
from lab import clients, overt, servers, wire

pytestmark = overt.requires("proxy --trust --rules --jsonl")

GREETING = b"220 mail.test ESMTP ready\r\n"


def test_a_greeting_comes_before_the_client_has_spoken(shared, starts):
    server = starts(servers.Origin(None, lambda c: (c.send(GREETING), c.recv_until(b"\r\n"), c.send(b"221 bye\r\n"))))
    with wire.open_tunnel(shared.port, "mail.test", server.port) as sock:
        assert wire.recv_exactly(sock, len(GREETING)) == GREETING
        sock.sendall(b"QUIT\r\n")
        assert wire.recv_to_end(sock) == b"221 bye\r\n"
    assert server.received() == b"QUIT\r\n"


def test_a_whole_dialogue_is_carried(shared, starts):
    def handler(connection):
        connection.send(GREETING)
        for _ in range(100):
            connection.send(b"250 " + connection.recv_until(b"\r\n"))

    server = starts(servers.Origin(None, handler))
    with wire.open_tunnel(shared.port, "mail.test", server.port) as sock:
        wire.recv_exactly(sock, len(GREETING))
        for number in range(100):
            line = f"NOOP {number}\r\n".encode()
            sock.sendall(line)
            assert wire.recv_exactly(sock, len(line) + 4) == b"250 " + line


def test_a_server_that_waits_and_a_client_that_waits_do_not_upset_the_proxy(shared, starts, nginx):
    server = starts(servers.Origin(None, lambda c: c.recv()))
    with wire.open_tunnel(shared.port, "mail.test", server.port):
        server.wait_connection()
        assert shared.curl(f"https://site.test:{nginx.port}/").status == 200
    server.wait_quiet()


def _starttls(greeting, dialogue):
    """A server that speaks `dialogue` ((expected pattern, answer) pairs) in the clear, then TLS, then echoes."""
    def make(context):
        def handler(connection):
            if greeting:
                connection.send(greeting)
            for pattern, reply in dialogue:
                data = b""
                while not re.search(pattern, data, re.I | re.S):
                    part = connection.recv()
                    assert part, data
                    data += part
                connection.send(reply)
            connection.received.clear()
            connection.tls = wire.Tls(connection.sock, context, server_side=True).handshake()
            connection.send(b"inside: " + connection.recv_until(b"\n"))
        return handler
    return make


STARTTLS = {
    "smtp": (GREETING, [(rb"EHLO .*\r\n", b"250-mail.test\r\n250-STARTTLS\r\n250 8BITMIME\r\n"),
                        (rb"STARTTLS\r\n", b"220 go ahead\r\n")]),
    "imap": (b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n", [(rb"STARTTLS\r\n", b"a1 OK begin\r\n")]),
    "pop3": (b"+OK ready\r\n", [(rb"STLS\r\n", b"+OK begin\r\n")]),
    "postgres": (b"", [(rb"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"S")]),
}


def _client_dialogue(sock, protocol):
    """Speaks up to the point where TLS begins."""
    if protocol == "smtp":
        wire.recv_until(sock, b"\r\n")
        sock.sendall(b"EHLO lab\r\n")
        wire.recv_until(sock, b"250 8BITMIME\r\n")
        sock.sendall(b"STARTTLS\r\n")
        wire.recv_until(sock, b"220 go ahead\r\n")
    elif protocol == "imap":
        wire.recv_until(sock, b"\r\n")
        sock.sendall(b"a1 STARTTLS\r\n")
        wire.recv_until(sock, b"a1 OK begin\r\n")
    elif protocol == "pop3":
        wire.recv_until(sock, b"\r\n")
        sock.sendall(b"STLS\r\n")
        wire.recv_until(sock, b"+OK begin\r\n")
    else:
        sock.sendall(bytes.fromhex("0000000804d2162f"))
        assert wire.recv_exactly(sock, 1) == b"S"


@pytest.mark.parametrize("protocol", STARTTLS)
def test_tls_begun_in_the_middle_is_inspected(protocol, shared, world, starts):
    context = servers.server_context(*world.files("mail.test"))
    server = starts(servers.Origin(None, _starttls(*STARTTLS[protocol])(context)))
    sock = wire.open_tunnel(shared.port, "mail.test", server.port)
    _client_dialogue(sock, protocol)
    with wire.Tls(sock, clients.context(shared.ca), server_hostname="mail.test").handshake() as tls:
        tls.send(b"hello\n")
        assert tls.recv() == b"inside: hello\n"


@pytest.mark.parametrize("protocol", STARTTLS)
def test_tls_begun_in_the_middle_verifies_the_server(protocol, shared, world, starts):
    context = servers.server_context(*world.files("elsewhere.test"))
    server = starts(servers.Origin(None, _starttls(*STARTTLS[protocol])(context)))
    sock = wire.open_tunnel(shared.port, "mail.test", server.port)
    _client_dialogue(sock, protocol)
    with pytest.raises(OSError), wire.Tls(sock, clients.context(), server_hostname="mail.test").handshake() as tls:
        tls.send(b"secret\n")
        if not tls.recv():
            raise ConnectionError("closed without an answer")
    server.wait_quiet()
    assert b"secret" not in server.received()


def test_what_a_client_injects_behind_starttls_does_not_count_as_said_inside(shared, world, starts):
    """Commands pipelined in the clear behind STARTTLS must not be taken for part of the protected dialogue."""
    context = servers.server_context(*world.files("mail.test"))
    server = starts(servers.Origin(None, _starttls(*STARTTLS["smtp"])(context)))
    with wire.open_tunnel(shared.port, "mail.test", server.port) as sock:
        wire.recv_until(sock, b"\r\n")
        sock.sendall(b"EHLO lab\r\n")
        wire.recv_until(sock, b"250 8BITMIME\r\n")
        sock.sendall(b"STARTTLS\r\nMAIL FROM:<injected@site.test>\r\n")
        sock.settimeout(10)
        try:
            while sock.recv(4096):
                pass
        except (socket.timeout, ConnectionResetError):
            pass
    server.wait_quiet()
    assert not any(c.tls and c.tls.object.version() and b"injected" in c.received for c in server.connections)


def test_s_client_starttls_imap_shows_overts_leaf(world, starts):
    context = servers.server_context(*world.files("mail.test"))
    greeting, _ = STARTTLS["imap"]
    server = starts(servers.Origin(None, _starttls(greeting, [
        (rb"\. CAPABILITY\r\n", b"* CAPABILITY IMAP4rev1 STARTTLS\r\n. OK done\r\n"),
        (rb"\. STARTTLS\r\n", b". OK begin\r\n")])(context)))
    reverse = starts(overt.Proxy(trust=world.trust, listen=[f"reverse:mail.test:{server.port}@127.0.0.1:0"]))
    got = clients.s_client(reverse.port, "mail.test", "-starttls", "imap", ca=reverse.ca)
    assert "Verify return code: 0 (ok)" in got.error, got.error
