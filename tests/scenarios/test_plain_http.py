"""Plain HTTP in absolute form: many hosts on one connection, bodies of every framing, and what must be refused."""

import base64
import hashlib
import os
import re
import socket
import struct
import threading

import pytest
from lab import clients, events, overt, servers, settings, watch_frames, wire
from lab.proc import resident

pytestmark = overt.requires("proxy --trust --rules")


@pytest.fixture
def plain(starts):
    """plain(handler): a plain HTTP server."""
    return lambda handler=servers.speak_http: starts(servers.Origin(None, handler))


def _answer(head, body=b""):
    """A handler that reads one request's head, sends an answer and closes."""
    def handler(connection):
        connection.recv_until(b"\r\n\r\n")
        connection.send(head.encode() + b"\r\n\r\n" + body)
    return handler


def _head(sock):
    return wire.recv_until(sock, b"\r\n\r\n").split(b"\r\n\r\n", 1)


def _one(sock):
    """One response with a Content-Length: (status, head, body). What follows it stays in the socket."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += wire.recv_exactly(sock, 1)
    length = int(re.search(rb"content-length: *(\d+)", head, re.I).group(1))
    return int(head.split()[1]), head[:-4], wire.recv_exactly(sock, length)


def _request(port, method="GET", path="/", headers="", version="1.1"):
    return (f"{method} http://site.test:{port}{path} HTTP/{version}\r\nHost: site.test:{port}\r\n{headers}\r\n").encode()


def _send(proxy, octets):
    """All that comes back until the end."""
    with wire.connect(proxy.port) as sock:
        sock.sendall(octets)
        try:
            return wire.recv_to_end(sock)
        except ConnectionResetError:
            return b""


def test_one_connection_serves_several_hosts_in_turn(shared, plain):
    one, two = plain(), plain()
    with wire.connect(shared.port) as sock:
        for number, server in enumerate([one, two, one, one, two]):
            sock.sendall(f"GET http://site.test:{server.port}/{number} HTTP/1.1\r\nHost: site.test\r\n\r\n".encode())
            status, _, body = _one(sock)
            assert status == 200 and body == f"origin: GET /{number} 0".encode()
    assert len(one.connections) == 3 and len(two.connections) == 2, "one request per connection to a server"


def test_requests_sent_ahead_are_answered_in_order(shared, plain):
    server = plain()
    with wire.connect(shared.port) as sock:
        sock.sendall(b"".join(_request(server.port, path=f"/{n}") for n in range(20)))
        for number in range(20):
            assert _one(sock)[2] == f"origin: GET /{number} 0".encode()


def test_a_chunked_body_is_carried_on(shared, plain):
    got = {}

    def handler(connection):
        got["head"] = connection.recv_until(b"\r\n\r\n")
        data = got["head"].split(b"\r\n\r\n", 1)[1]
        while not data.endswith(b"0\r\n\r\n"):
            data += connection.recv()
        got["body"] = data
        connection.send(servers.http_answer("ok"))

    server = plain(handler)
    answer = shared.curl(f"http://site.test:{server.port}/", "-H", "Transfer-Encoding: chunked", "-d", "x" * 100_000)
    assert answer.status == 200 and got["body"].count(b"x") == 100_000
    assert b"transfer-encoding: chunked" in got["head"].lower()


def test_a_request_behind_a_chunked_one_is_still_its_own(shared, plain):
    server = plain()
    with wire.connect(shared.port) as sock:
        chunked = _request(server.port, "POST", "/a", "Transfer-Encoding: chunked\r\n") + b"3\r\nabc\r\n0\r\nT: x\r\n\r\n"
        sock.sendall(chunked + _request(server.port, path="/b"))
        wire.recv_until(sock, b"origin: POST /a")
        wire.recv_until(sock, b"origin: GET /b")
    assert len(server.connections) == 2


def test_a_large_download_arrives_whole(shared, nginx, folder):
    body = os.urandom(24 * 1024 * 1024)
    nginx.file("large", body)
    answer = shared.curl(f"http://site.test:{nginx.plain_port}/files/large", body_to=folder / "large")
    assert answer.status == 200
    assert hashlib.sha256((folder / "large").read_bytes()).digest() == hashlib.sha256(body).digest()


def test_a_large_upload_arrives_whole(shared, nginx, folder):
    body = os.urandom(12 * 1024 * 1024)
    (folder / "up").write_bytes(body)
    answer = shared.curl(f"http://site.test:{nginx.plain_port}/put/up", "-T", folder / "up")
    assert answer.status in (201, 204), answer
    assert nginx.stored("up") == body


def test_a_slow_reader_slows_the_server_and_not_the_proxys_memory(shared, plain):
    def handler(connection):
        connection.recv_until(b"\r\n\r\n")
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        try:
            while True:
                connection.send(bytes(65536))
        except OSError:
            pass

    server = plain(handler)
    with wire.connect(shared.port) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.sendall(_request(server.port))
        wire.recv_until(sock, b"\r\n\r\n")
        before = sum(resident(pid) for pid in shared.family())
        for _ in range(50):
            assert shared.curl(f"http://site.test:{plain().port}/").status == 200
        assert sum(resident(pid) for pid in shared.family()) - before < 24 << 20


def test_hop_by_hop_fields_end_here(shared, plain):
    server = plain(_answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Back, close\r\nX-Back: 1\r\n"
                           "Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nX-End: 1", b"ok"))
    with wire.connect(shared.port) as sock:
        sock.sendall(_request(server.port, headers="Connection: X-Mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n"
                              "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic abcd\r\nTE: trailers\r\n"
                              "X-Through: 1\r\n"))
        _, head, _ = _one(sock)
    up, down = server.received().lower(), head.lower()
    for field in (b"x-mine", b"keep-alive", b"proxy-", b"\r\nte:"):
        assert field not in up, field
    for field in (b"x-back", b"keep-alive:", b"proxy-authenticate"):
        assert field not in down, field
    assert b"x-through: 1" in up and b"\r\nvia: 1.1 " in up and b"\r\nconnection: close" in up
    assert b"x-end: 1" in down and b"\r\nvia: 1.1 " in down


def test_the_target_decides_the_host_field(shared, plain):
    server = plain()
    with wire.connect(shared.port) as sock:
        sock.sendall(f"GET http://site.test:{server.port}/ HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n".encode())
        _one(sock)
    assert f"\r\nhost: site.test:{server.port}\r\n".encode() in server.received().lower()
    assert b"elsewhere" not in server.received()


def test_an_http_1_0_client_gets_what_it_can_read(shared, plain):
    server = plain(_answer("HTTP/1.1 200 OK\r\nConnection: close", b"until the end"))
    got = _send(shared, _request(server.port, version="1.0"))
    assert got.endswith(b"\r\n\r\nuntil the end") and b"chunked" not in got.lower()
    assert server.received().split(b"\r\n")[0].endswith(b"HTTP/1.0")


def test_a_response_until_close_is_carried_to_its_end(shared, plain):
    server = plain(_answer("HTTP/1.1 200 OK", b"abc" * 1000))
    answer = shared.curl(f"http://site.test:{server.port}/")
    assert answer.status == 200 and answer.body == b"abc" * 1000


def test_a_response_that_is_cut_is_cut_for_the_client_too(shared, plain):
    server = plain(_answer("HTTP/1.1 200 OK\r\nContent-Length: 1000", b"abc"))
    assert shared.curl(f"http://site.test:{server.port}/").code in (18, 56)
    shared.wait_words("upstream-cut")


def test_head_and_204_and_304_have_no_body(shared, plain):
    with wire.connect(shared.port) as sock:
        for method, head in (("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5000"), ("GET", "HTTP/1.1 204 No Content"),
                             ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7")):
            server = plain(_answer(head))
            sock.sendall(_request(server.port, method))
            answer, rest = _head(sock)
            assert answer.startswith(head.split("\r\n")[0].encode()) and rest == b""


def test_100_continue_is_passed_on_and_the_body_follows(shared, plain):
    def handler(connection):
        connection.recv_until(b"\r\n\r\n")
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = connection.recv_until(b"!")
        connection.send(servers.http_answer(body))

    server = plain(handler)
    with wire.connect(shared.port) as sock:
        sock.sendall(_request(server.port, "POST", headers="Expect: 100-continue\r\nContent-Length: 6\r\n"))
        assert b" 100 " in wire.recv_until(sock, b"\r\n\r\n")
        sock.sendall(b"hello!")
        assert _one(sock)[2] == b"hello!"


def test_an_early_final_answer_ends_the_connection_in_order(shared, plain):
    """The server answers 413 without reading the body: the client gets it, and nothing of the body counts as a request."""
    server = plain(_answer("HTTP/1.1 413 Too Large\r\nContent-Length: 3", b"big"))
    with wire.connect(shared.port) as sock:
        sock.sendall(_request(server.port, "POST", headers="Content-Length: 1000000\r\n"))
        status, head, body = _one(sock)
        assert status == 413 and body == b"big" and b"connection: close" in head.lower()
        assert wire.recv_to_end(sock) == b""


UPGRADE = ("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
           + base64.b64encode(bytes(16)).decode() + "\r\n")
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def _frame(data):
    """A WebSocket frame of binary data, unmasked, as servers send them."""
    return b"\x82" + (bytes([len(data)]) if len(data) < 126 else b"\x7f" + struct.pack(">Q", len(data))) + data


def test_a_websocket_over_plain_http_is_carried(proxy, plain, folder):
    def handler(connection):
        head = connection.recv_until(b"\r\n\r\n").lower()
        assert b"\r\nconnection: upgrade\r\n" in head and b"\r\nupgrade: websocket\r\n" in head
        connection.send(SWITCHED + _frame(b"at once"))
        connection.send(_frame(b"you said " + connection.recv_until(b"!")))
        assert connection.recv() == b""  # the client's end arrives, and the server may still speak
        connection.send(_frame(b"last words"))

    server = plain(handler)
    one = proxy("--pcapng", folder / "ws.pcapng")
    with wire.connect(one.port) as sock:
        sock.sendall(_request(server.port, headers=UPGRADE))
        got = wire.recv_until(sock, _frame(b"at once"))
        assert got.startswith(b"HTTP/1.1 101 ") and b"upgrade: websocket\r\n" in got.lower()
        sock.sendall(_frame(b"hello!"))
        wire.recv_until(sock, _frame(b"you said " + _frame(b"hello!")))
        sock.shutdown(socket.SHUT_WR)
        assert wire.recv_to_end(sock) == _frame(b"last words")
    one.wait_event(lambda e: e.get("ending") == "upgraded", "the exchange's end")
    one.wait_event(events.is_close("done"), "the flow's end")
    one.stop(keep=True)
    recorded = (folder / "ws.pcapng").read_bytes()
    for words in (b"at once", b"hello!", b"last words"):
        assert words in recorded


def test_a_websocket_that_a_rule_bypasses_is_carried_and_not_shown(proxy, plain, folder):
    server = plain(lambda c: (c.recv_until(b"\r\n\r\n"), c.send(SWITCHED), c.send(_frame(c.recv()))))
    one = proxy("--pcapng", folder / "ws.pcapng", rules=settings.rules(default="bypass"))
    with wire.connect(one.port) as sock:
        sock.sendall(_request(server.port, headers=UPGRADE))
        wire.recv_until(sock, b"\r\n\r\n")
        sock.sendall(b"unseen words")
        assert wire.recv_to_end(sock) == _frame(b"unseen words")
    one.wait_event(events.is_close("done"), "the flow's end")
    one.stop(keep=True)
    assert b"unseen words" not in (folder / "ws.pcapng").read_bytes()


def test_much_goes_both_ways_through_a_websocket(shared, plain):
    up, down = os.urandom(6 << 20), os.urandom(6 << 20)

    def handler(connection):
        connection.recv_until(b"\r\n\r\n")
        connection.send(SWITCHED)
        sender = threading.Thread(target=connection.send, args=(down,))
        sender.start()
        connection.received.clear()
        while len(connection.received) < len(up):
            assert connection.recv()
        sender.join()

    server = plain(handler)
    with wire.connect(shared.port) as sock:
        sock.sendall(_request(server.port, headers=UPGRADE))
        sender = threading.Thread(target=lambda: sock.sendall(up))
        got = wire.recv_until(sock, b"\r\n\r\n").split(b"\r\n\r\n", 1)[1]
        sender.start()
        got += wire.recv_to_end(sock)
        sender.join()
    assert got == down and server.received() == up


def test_a_server_that_does_not_switch_answers_as_ever(shared, plain):
    server = plain()
    with wire.connect(shared.port) as sock:
        for _ in range(2):
            sock.sendall(_request(server.port, headers=UPGRADE))
            assert _one(sock)[0] == 200
    assert len(server.connections) == 2


@pytest.mark.parametrize("upgrade", ["h2c", "TLS/1.3", "websocket, h2c"])
def test_a_change_to_http_or_tls_is_not_passed_on(upgrade, shared, plain):
    """Requests would go by unseen behind it; that it is not asked for is in order (RFC 9110, 7.8)."""
    server = plain()
    with wire.connect(shared.port) as sock:
        sock.sendall(_request(server.port, headers=f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\n"))
        assert _one(sock)[0] == 200
    assert b"upgrade" not in server.received().lower()


@pytest.mark.parametrize("head", [
    "HTTP/1.1 101 Up\r\nUpgrade: h2c\r\nConnection: Upgrade", "HTTP/1.1 101 Up\r\nConnection: Upgrade",
    "HTTP/1.1 101 Up\r\nUpgrade: websocket"])
def test_a_server_that_switches_to_what_nobody_asked_for_is_refused(head, shared, plain):
    server = plain(_answer(head, b"unasked"))
    with wire.connect(shared.port) as sock:
        sock.sendall(_request(server.port, headers=UPGRADE))
        got = wire.recv_to_end(sock)
    assert got.startswith(b"HTTP/1.1 502 ") and b"unasked" not in got


def test_a_websocket_through_connect_without_tls_works(shared, starts):
    def handler(connection):
        connection.recv_until(b"\r\n\r\n")
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        connection.send(b"\x81" + connection.recv()[1:])

    server = starts(servers.Origin(None, handler))
    with wire.open_tunnel(shared.port, "ws.test", server.port) as sock:
        sock.sendall(b"GET /chat HTTP/1.1\r\nHost: ws.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        wire.recv_until(sock, b"\r\n\r\n")
        sock.sendall(b"\x81\x02hi")
        assert wire.recv_exactly(sock, 4) == b"\x81\x02hi"


BAD = {
    "two lengths": "Content-Length: 5\r\nContent-Length: 6\r\n",
    "a list of lengths": "Content-Length: 5, 6\r\n",
    "length and chunks": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "chunks not last": "Transfer-Encoding: chunked, gzip\r\n",
    "chunks twice": "Transfer-Encoding: chunked, chunked\r\n",
    "unknown coding": "Transfer-Encoding: banana\r\n",
    "negative length": "Content-Length: -1\r\n",
    "huge length": "Content-Length: 99999999999999999999\r\n",
    "plus": "Content-Length: +5\r\n",
    "hex length": "Content-Length: 0x5\r\n",
    "space before colon": "Content-Length : 5\r\n",
    "folded": "X: a\r\n b\r\n",
    "bare CR": "X: a\rb\r\n",
    "NUL": "X: a\0b\r\n",
    "no colon": "Nonsense\r\n",
    "two hosts": "Host: b.test\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_framing_that_can_be_read_in_two_ways_is_refused(name, shared, plain):
    server = plain()
    got = _send(shared, _request(server.port, "POST", headers=BAD[name]) + b"hello")
    assert re.match(rb"HTTP/1\.1 (400|501) ", got), got[:100]
    assert server.received() == b""


@pytest.mark.parametrize("body", [b"Z\r\nabc\r\n0\r\n\r\n", b"3\nabc\r\n0\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"-1\r\n\r\n",
                                  b"fffffffffffffffff\r\n", b"3;" + b"e" * 20000 + b"\r\nabc\r\n0\r\n\r\n"])
def test_broken_chunks_are_refused_and_no_end_is_made_up(body, shared, plain):
    def handler(connection):
        while connection.recv():
            pass

    server = plain(handler)
    got = _send(shared, _request(server.port, "POST", headers="Transfer-Encoding: chunked\r\n") + body)
    assert got == b"" or re.match(rb"HTTP/1\.1 (400|502) ", got), got[:100]
    server.wait_quiet()
    assert not server.received().endswith(b"0\r\n\r\n")


BAD_RESPONSES = ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6", "HTTP/1.1 200 OK\r\nContent-Length: x",
                 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", "HTTP/2 200", "SSH-2.0-x",
                 "HTTP/1.1 2 OK", "HTTP/1.1 200 OK\r\n folded: 1", "HTTP/1.1 200 OK\r\nX: " + "y" * 70000]


@pytest.mark.parametrize("head", BAD_RESPONSES)
def test_a_response_that_is_no_clean_http_becomes_502(head, shared, plain):
    server = plain(_answer(head, b"abcdef"))
    got = _send(shared, _request(server.port))
    assert got.startswith(b"HTTP/1.1 502 "), got[:100]


@pytest.mark.parametrize("line", [b"GET http://:80/ HTTP/1.1", b"GET http:///x HTTP/1.1", b"GET ftp://site.test/ HTTP/1.1",
                                  b"GET http://site.test:99999/ HTTP/1.1", b"GET http://a b/ HTTP/1.1", b"GET * HTTP/1.1",
                                  b"GET http://site.test/ HTTP/3.0", b"GET http://site.test/", b"CONNECT site.test HTTP/1.1",
                                  b"CONNECT :443 HTTP/1.1", b"GET http://user@site.test/ HTTP/1.1", b"G\0T / HTTP/1.1"])
def test_targets_that_are_none_are_refused_with_a_reason(line, shared):
    got = _send(shared, line + b"\r\nHost: site.test\r\n\r\n")
    assert re.match(rb"HTTP/1\.1 4\d\d |HTTP/1\.1 50[15] ", got), got[:100]
    assert len(got.split(b"\r\n\r\n", 1)[1]) > 10


def test_rules_decide_on_plain_http(proxy, plain):
    server = plain()
    made = proxy(rules=settings.rules(settings.rule("block", name=["block.test"]), settings.rule("block", protocol=["http"],
                                                                                                name=["plain.test"])))
    assert made.curl(f"http://block.test:{server.port}/").status == 403
    assert made.curl(f"http://plain.test:{server.port}/").status == 403
    assert made.curl(f"http://site.test:{server.port}/").status == 200
    assert len(server.received().split(b"GET ")) == 2


def test_failures_have_a_status_and_words(shared):
    port, holder = servers.silent_port()
    answer = shared.curl(f"http://site.test:{port}/")
    assert answer.status == 502 and b"onnect" in answer.body
    answer = shared.curl("http://nowhere.test/")
    assert answer.status == 502 and b"nowhere.test" in answer.body
    holder.close()


def test_a_loop_is_refused(shared):
    answer = clients.curl(f"http://127.0.0.1:{shared.port}/", proxy=shared.port)
    assert answer.status in (403, 508) or b"overt" in answer.body.lower()
    answer = clients.curl(f"http://localhost:{shared.port}/x", proxy=shared.port)
    assert answer.status in (403, 502, 508), answer


def test_requests_are_shown(shared, plain):
    server = plain()
    assert shared.curl(f"http://site.test:{server.port}/shown?x=1").status == 200
    shared.wait_event(events.is_request("/shown?x=1"), "the request")
    shared.wait_event(events.is_response(200), "the response")


def test_clients_of_every_kind_use_it(shared, nginx):
    assert clients.wget(f"http://site.test:{nginx.plain_port}/", proxy=shared.port).status == 200
    assert shared.curl(f"http://site.test:{nginx.plain_port}/", "--http1.0").status == 200
    assert shared.curl(f"http://site.test:{nginx.plain_port}/", "--proxytunnel").status == 200


# --lossless

SMALL_RING = ("--lossless", "--ring", "256KiB")


def test_lossless_slows_plain_http_and_nothing_is_left_out(proxy, nginx, folder):
    """More than the ring holds, both ways, through an output that keeps all of it."""
    body = os.urandom(8 << 20)
    nginx.file("lossless", body)
    (folder / "up").write_bytes(body)
    one = proxy(*SMALL_RING, "--pcapng", folder / "all.pcapng")
    answer = one.curl(f"http://site.test:{nginx.plain_port}/files/lossless", body_to=folder / "down")
    assert answer.status == 200 and (folder / "down").read_bytes() == body
    answer = one.curl(f"http://site.test:{nginx.plain_port}/put/lossless", "-T", folder / "up")
    assert answer.status in (201, 204) and nginx.stored("lossless") == body
    one.wait_event(lambda e: events.is_close("done")(e) and len([x for x in one.events() if events.is_close()(x)]) == 2,
                   "both flows' ends")
    one.stop(keep=True)
    assert not [e for e in one.events() if e["type"] in ("gap", "loss")]
    said = watch_frames.recorded_streams((folder / "all.pcapng").read_bytes()).values()
    assert sum(body in one_side for one_side in said) == 2


def _plain_or_tls(one, nginx, tls):
    port = nginx.port if tls else nginx.plain_port
    return one.curl(f"{'https' if tls else 'http'}://site.test:{port}/files/busy")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_an_idle_deadline_passes_while_others_wait_for_the_ring(tls, proxy, nginx, plain, folder):
    """Being woken because the ring has room is no sign of life of a connection on which nothing moves."""
    nginx.file("busy", bytes(24 << 20))
    one = proxy(*SMALL_RING, "--idle-timeout", "2s", "--workers", "1", "--pcapng", folder / "all.pcapng")
    if tls:
        idle = one.tls(nginx.port, "site.test")
        sock = idle.sock
    else:
        silent = plain(lambda c: (c.recv_until(b"\r\n\r\n"), c.recv()))
        sock = wire.connect(one.port)
        sock.sendall(_request(silent.port))
    busy = overt.Traffic(lambda: _plain_or_tls(one, nginx, tls))
    try:
        one.wait_event(lambda e: events.is_close("timeout")(e) and e.get("name") == "idle", "the idle one's end")
    finally:
        good, bad = busy.stop()
        sock.close()
    assert good > 0 and not bad
