"""What comes after CONNECT and is no TLS is relayed as it is, and shown as what it is."""

import os

import pytest
from lab import events, overt, servers, settings, wire

pytestmark = overt.requires("proxy --trust --rules --jsonl")


def _echo(connection):
    while data := connection.recv():
        connection.send(data)


def test_plain_text_is_relayed_both_ways(shared, starts):
    server = starts(servers.Origin(None, _echo))
    with wire.open_tunnel(shared.port, "plain.test", server.port) as sock:
        for size in (1, 10, 1000, 100_000):
            body = os.urandom(size).replace(b"\x16", b"a")
            sock.sendall(b"P" + body)
            assert wire.recv_exactly(sock, size + 1) == b"P" + body


def test_plain_http_after_connect_is_relayed_and_said_to_be_no_tls(shared, starts):
    server = starts(servers.Origin(None))
    mark = shared.mark()
    got = shared.curl(f"http://plain.test:{server.port}/tunnelled", "--proxytunnel")
    assert (got.status, got.body) == (200, b"origin: GET /tunnelled 0"), got.error
    shared.wait_words("no TLS", mark)


def test_a_flow_that_is_no_tls_is_shown_as_such(proxy, starts):
    one = proxy()
    server = starts(servers.Origin(None, _echo))
    with wire.open_tunnel(one.port, "plain.test", server.port) as sock:
        sock.sendall(b"neither TLS nor HTTP\n")
        wire.recv_exactly(sock, 21)
    one.wait_event(events.is_close(), "the flow's end")
    kinds = [events.kind(e) for e in one.events()]
    assert "hello" not in kinds and "tls" not in kinds
    assert "open" in kinds


@pytest.mark.parametrize("first", [b"\x16", b"\x16\x03", b"\x16\x03\x01\x00", b"\x80\x2e", b"\x17\x03\x03\x00\x10"],
                         ids=lambda b: b.hex())
def test_octets_that_only_begin_like_tls_disturb_nobody(first, shared, starts, nginx):
    server = starts(servers.Origin(None, _echo))
    with wire.open_tunnel(shared.port, "plain.test", server.port) as sock:
        sock.sendall(first)
        sock.shutdown(1)
        try:
            wire.recv_to_end(sock)
        except ConnectionResetError:
            pass
    assert shared.curl(f"https://site.test:{nginx.port}/").status == 200


def test_a_rule_blocks_what_is_no_tls(proxy, starts):
    server = starts(servers.Origin(None, _echo))
    strict = proxy(rules=settings.rules(settings.rule("block", protocol=["plain"])))
    with wire.open_tunnel(strict.port, "plain.test", server.port) as sock:
        sock.sendall(b"neither TLS nor HTTP\n")
        sock.shutdown(1)
        try:
            assert wire.recv_to_end(sock) == b""
        except ConnectionResetError:
            pass
    server.wait_quiet()
    assert server.received() == b""
