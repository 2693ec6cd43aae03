"""How a connection ends is carried through: close_notify, half-close, an end without close_notify, resets."""

import queue
import socket
import ssl
import threading

import pytest
from lab import clients, overt, servers, settings, wire
from lab.proc import PATIENCE

pytestmark = overt.requires("proxy --trust --rules --jsonl")


@pytest.fixture(scope="module", params=["inspect", "bypass"])
def way(request, world, starts_module):
    """(proxy, what the client trusts) for a split and for stepping aside."""
    rules = settings.rules(default=request.param)
    one = starts_module(overt.Proxy(trust=world.trust, rules=rules))
    return one, one.ca if request.param == "inspect" else world.trust


def _session(way, server):
    one, ca = way
    return one.tls(server.port, "site.test", ca=ca)


def test_a_clients_close_notify_reaches_the_server_which_may_still_answer(way, origin):
    seen = queue.Queue()

    def handler(connection):
        data = b""
        while part := connection.recv():
            data += part
        seen.put(data)
        connection.send(b"an answer after your end")

    server = origin("site.test", handler=handler)
    with _session(way, server) as tls:
        tls.send(b"all I have to say")
        tls.close_notify()
        assert seen.get(timeout=PATIENCE) == b"all I have to say"
        assert tls.recv_all() == b"an answer after your end"


def test_a_servers_close_notify_reaches_the_client_which_may_still_speak(way, origin):
    seen = queue.Queue()

    def handler(connection):
        connection.send(b"all I have to say")
        connection.tls.close_notify()
        data = b""
        try:
            while part := connection.recv():
                data += part
        except ssl.SSLError:
            pass
        seen.put(data)

    server = origin("site.test", handler=handler)
    with _session(way, server) as tls:
        assert tls.recv_all() == b"all I have to say"
        tls.send(b"a word after your end")
        tls.close_notify()
        assert seen.get(timeout=PATIENCE) in (b"a word after your end", b"")


def test_a_clean_end_is_clean_on_the_other_side(way, origin):
    server = origin("site.test", handler=lambda c: c.send(b"whole"))
    with _session(way, server) as tls:
        assert tls.recv_all() == b"whole"


def test_an_end_without_close_notify_is_not_made_clean(way, origin):
    go = threading.Event()

    def handler(connection):
        connection.send(b"cut ")
        go.wait(20)
        connection.sock.shutdown(socket.SHUT_WR)
        connection.recv()
        raise EOFError

    server = origin("site.test", handler=handler)
    with _session(way, server) as tls:
        assert tls.recv() == b"cut "
        go.set()
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            assert tls.recv() != b"", "a truncated stream was closed with close_notify"


def test_a_servers_reset_is_a_reset_for_the_client(way, origin):
    go = threading.Event()

    def handler(connection):
        connection.send(b"before")
        go.wait(20)
        connection.tls.reset()

    server = origin("site.test", handler=handler)
    with _session(way, server) as tls:
        assert tls.recv() == b"before"
        go.set()
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            tls.recv()


def test_a_clients_reset_ends_the_servers_side(way, origin):
    server = origin("site.test", handler=lambda c: (c.recv(), c.recv()))
    tls = _session(way, server)
    tls.send(b"x")
    connection = server.wait_connection(len(server.connections))
    tls.reset()
    for each in server.connections:
        assert each.ended.wait(20)
    assert connection.ended.is_set()


def test_nothing_is_lost_when_a_server_answers_and_closes_at_once(way, origin):
    body = bytes(range(256)) * 20_000

    def handler(connection):
        connection.recv()
        connection.send(body)

    server = origin("site.test", handler=handler)
    for _ in range(10):
        with _session(way, server) as tls:
            tls.send(b"go")
            assert tls.recv_all() == body


def test_tcp_half_close_is_carried_in_a_plain_tunnel(shared, starts):
    def handler(connection):
        data = b""
        while part := connection.recv():
            data += part
        connection.send(b"got " + data)

    server = starts(servers.Origin(None, handler))
    with wire.open_tunnel(shared.port, "plain.test", server.port) as sock:
        sock.sendall(b"plain words")
        sock.shutdown(socket.SHUT_WR)
        assert wire.recv_to_end(sock) == b"got plain words"


def test_a_fatal_alert_of_the_client_ends_the_upstream_leg(shared, world, origin):
    """The client does not know the CA: its alert must not leave the server waiting."""
    server = origin("site.test")
    got = shared.curl(f"https://site.test:{server.port}/", ca=world.trust)
    assert got.code != 0
    server.wait_quiet()
    assert server.received() == b""


def test_a_slow_reader_holds_the_sender_back(shared, origin):
    """Backpressure: the server cannot push much more than the buffers on the way while the client does not read."""
    pushed, stalled = [], threading.Event()

    def handler(connection):
        connection.recv()
        connection.sock.settimeout(2)
        try:
            for _ in range(2000):
                connection.send(b"x" * 65536)
                pushed.append(65536)
        except (socket.timeout, ssl.SSLError, OSError):
            pass
        stalled.set()

    server = origin("site.test", handler=handler)
    with _plain_session(shared, server) as tls:
        tls.send(b"go")
        assert stalled.wait(60)
        assert sum(pushed) < 64 << 20, f"{sum(pushed)} octets were taken from the server"


def _plain_session(one, server):
    sock = wire.open_tunnel(one.port, "site.test", server.port)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    return wire.Tls(sock, clients.context(one.ca), server_hostname="site.test").handshake()
