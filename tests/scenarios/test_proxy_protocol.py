"""The PROXY protocol: believed from trusted peers only, and sent on where asked for."""

import re
import socket
import struct

import pytest
from lab import clients, events, overt, servers, settings, wire

pytestmark = overt.requires("proxy --trust --accept-proxy-protocol --send-proxy-protocol")

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v1(source, destination, sport=5000, dport=443, family="TCP4"):
    return f"PROXY {family} {source} {destination} {sport} {dport}\r\n".encode()


def v2(source, destination, sport=5000, dport=443, command=1, extra=b""):
    six = ":" in source
    kind = socket.AF_INET6 if six else socket.AF_INET
    body = socket.inet_pton(kind, source) + socket.inet_pton(kind, destination) + struct.pack("!HH", sport, dport) + extra
    return SIGNATURE + bytes([0x20 | command, 0x21 if six else 0x11]) + struct.pack("!H", len(body)) + body


@pytest.fixture
def behind(proxy):
    return proxy("--accept-proxy-protocol", "127.0.0.1")


def _through(made, header, nginx):
    """GET through CONNECT behind a header: the body, and the client that the events name."""
    sock = wire.connect(made.port)
    sock.sendall(header + f"CONNECT site.test:{nginx.port} HTTP/1.1\r\nHost: site.test\r\n\r\n".encode())
    wire.recv_until(sock, b"\r\n\r\n")
    with wire.Tls(sock, clients.context(made.ca), server_hostname="site.test").handshake() as tls:
        tls.send(b"GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n")
        return tls.recv_until(b"hello")


HEADERS = {
    "v1": (v1("192.0.2.7", "198.51.100.1"), "192.0.2.7"),
    "v1-6": (v1("2001:db8::7", "2001:db8::1", family="TCP6"), "2001:db8::7"),
    "v2": (v2("192.0.2.8", "198.51.100.1"), "192.0.2.8"),
    "v2-6": (v2("2001:db8::8", "2001:db8::1"), "2001:db8::8"),
    "v2-with-extensions": (v2("192.0.2.9", "198.51.100.1", extra=b"\x04\x00\x08paddings"), "192.0.2.9"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_the_header_names_the_client(kind, behind, nginx):
    header, client = HEADERS[kind]
    assert b"200 OK" in _through(behind, header, nginx)
    behind.wait_event(lambda e: events.kind(e) == "open" and client in events.values(e.get("client", e)).__str__(),
                      f"a flow of {client}")


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", v2("192.0.2.8", "198.51.100.1", command=0)])
def test_a_header_without_a_client_leaves_the_sockets_own(header, behind, nginx):
    assert b"200 OK" in _through(behind, header, nginx)
    behind.wait_event(lambda e: events.kind(e) == "open" and "127.0.0.1" in str(e.get("client")), "a flow of 127.0.0.1")


def test_rules_look_at_the_client_that_the_header_names(proxy, nginx):
    made = proxy("--accept-proxy-protocol", "127.0.0.0/8",
                 rules=settings.rules(settings.rule("block", client="192.0.2.0/24")))
    assert b"200 OK" in _through(made, v1("198.51.100.77", "198.51.100.1"), nginx)
    sock = wire.connect(made.port)
    sock.sendall(v1("192.0.2.7", "198.51.100.1") + f"CONNECT site.test:{nginx.port} HTTP/1.1\r\nHost: site.test\r\n\r\n".encode())
    assert b" 403 " in wire.recv_to_end(sock)
    made.wait_event(events.is_verdict("block"), "the rule blocked it")


def test_a_peer_that_is_not_trusted_is_not_believed(proxy, nginx):
    made = proxy("--accept-proxy-protocol", "192.0.2.1")
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200
    with wire.connect(made.port) as sock:
        sock.sendall(v1("192.0.2.7", "198.51.100.1") + b"CONNECT site.test:443 HTTP/1.1\r\nHost: site.test\r\n\r\n")
        assert b" 200 " not in wire.recv_to_end(sock)[:20]


@pytest.mark.parametrize("sent", [b"CONNECT site.test:443 HTTP/1.1\r\n\r\n", b"PROXY TCP4 1.2.3.4\r\n", b"PROXY " + b"x" * 200,
                                  SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12), SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),
                                  v1("1.2.3.4", "5.6.7.8", sport=70000), v1("1.2.3.4", "::1"),
                                  b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n"])
def test_a_trusted_peer_without_a_good_header_is_refused(sent, behind, nginx):
    with wire.connect(behind.port) as sock:
        sock.sendall(sent)
        try:
            assert b" 200 " not in wire.recv_to_end(sock)
        except ConnectionResetError:
            pass
    behind.wait_words("proxy-header|PROXY")


def test_a_header_byte_by_byte_is_as_good(behind, nginx):
    sock = wire.connect(behind.port)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in wire.each_octet(v2("192.0.2.66", "198.51.100.1")):
        sock.sendall(octet)
    sock.sendall(f"CONNECT site.test:{nginx.port} HTTP/1.1\r\nHost: site.test\r\n\r\n".encode())
    assert b" 200 " in wire.recv_until(sock, b"\r\n\r\n")
    sock.close()


def test_a_header_in_front_of_tls_on_a_reverse_listener(proxy, nginx):
    made = proxy("--accept-proxy-protocol", "127.0.0.1", listen=[f"reverse:site.test:{nginx.port}@127.0.0.1:0"])
    sock = wire.connect(made.port)
    sock.sendall(v1("192.0.2.44", "198.51.100.1"))
    with wire.Tls(sock, clients.context(made.ca), server_hostname="site.test").handshake() as tls:
        tls.send(b"GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in tls.recv_until(b"hello")
    made.wait_event(lambda e: events.kind(e) == "open" and "192.0.2.44" in str(e), "a flow of the client")


# Sent on

def _header_seen(context, seen):
    """A handler that takes a PROXY header off the connection, then speaks TLS or plain text."""
    def handler(connection):
        sock = connection.sock
        start = wire.recv_exactly(sock, 6)
        if start == b"PROXY ":
            line = start
            while not line.endswith(b"\r\n"):
                line += wire.recv_exactly(sock, 1)
            seen.append(line)
        else:
            head = start + wire.recv_exactly(sock, 10)
            seen.append(head + wire.recv_exactly(sock, struct.unpack("!H", head[14:16])[0]))
        if context:
            connection.tls = wire.Tls(sock, context, server_side=True).handshake()
        servers.speak_http(connection)
    return handler


def test_version_1_is_sent_before_tls(proxy, world, starts):
    seen = []
    server = starts(servers.Origin(None, _header_seen(servers.server_context(*world.files("site.test")), seen)))
    made = proxy("--send-proxy-protocol", "v1")
    assert made.curl(f"https://site.test:{server.port}/").status == 200
    assert re.fullmatch(rb"PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ %d\r\n" % server.port, seen[0])


def test_version_2_is_sent_before_tls_and_carries_the_client_on(proxy, world, starts):
    seen = []
    server = starts(servers.Origin(None, _header_seen(servers.server_context(*world.files("site.test")), seen)))
    made = proxy("--send-proxy-protocol", "v2", "--accept-proxy-protocol", "127.0.0.1")
    sock = wire.connect(made.port)
    sock.sendall(v1("192.0.2.7", "198.51.100.1", sport=4321)
                 + f"CONNECT site.test:{server.port} HTTP/1.1\r\nHost: site.test\r\n\r\n".encode())
    wire.recv_until(sock, b"\r\n\r\n")
    with wire.Tls(sock, clients.context(made.ca), server_hostname="site.test").handshake() as tls:
        tls.send(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n")
        assert b"200 OK" in tls.recv()
    assert seen[0] == v2("192.0.2.7", "127.0.0.1", sport=4321, dport=server.port)


def test_two_families_become_one(proxy, world, starts):
    seen = []
    server = starts(servers.Origin(None, _header_seen(servers.server_context(*world.files("site.test")), seen)))
    made = proxy("--send-proxy-protocol", "v1", listen=["[::1]:0"])
    got = clients.curl(f"https://site.test:{server.port}/", via=f"http://[::1]:{made.port}", ca=made.ca)
    assert got.status == 200, got.error
    assert seen[0].startswith(b"PROXY TCP6 ::1 ::ffff:127.0.0.1 ")


def test_plain_requests_and_bypasses_carry_it_too(proxy, world, starts):
    seen = []
    plain = starts(servers.Origin(None, _header_seen(None, seen)))
    tls = starts(servers.Origin(None, _header_seen(servers.server_context(*world.files("bypass.test")), seen)))
    made = proxy("--send-proxy-protocol", "v2", rules=settings.rules(settings.rule("bypass", name=["bypass.test"])))
    assert made.curl(f"http://site.test:{plain.port}/").status == 200
    assert made.curl(f"https://bypass.test:{tls.port}/", ca=world.trust).status == 200
    assert len(seen) >= 2 and all(header.startswith(SIGNATURE) for header in seen)
