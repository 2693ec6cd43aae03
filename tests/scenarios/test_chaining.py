"""Upstream through another HTTP or SOCKS5 proxy."""

import base64
import re
import socket
import struct

import pytest
from lab import events, overt, servers, settings, wire

pytestmark = overt.requires("proxy --trust --upstream-proxy")


class Socks:
    """A small SOCKS5 server. `targets` are those it was asked for; with `user` ("name:password") it asks for them."""

    def __init__(self, user=None, reply=0):
        self.targets, self.offered, self._user, self._reply = [], [], user, reply
        self._origin = servers.Origin(None, self._serve)
        self.port = self._origin.port

    def _serve(self, connection):
        sock = connection.sock
        count = wire.recv_exactly(sock, 2)[1]
        methods = wire.recv_exactly(sock, count)
        self.offered.append(methods)
        wanted = 2 if self._user else 0
        if wanted not in methods:
            sock.sendall(b"\x05\xff")
            return
        sock.sendall(bytes([5, wanted]))
        if wanted:
            name = wire.recv_exactly(sock, wire.recv_exactly(sock, 2)[1])
            password = wire.recv_exactly(sock, wire.recv_exactly(sock, 1)[0])
            good = f"{name.decode()}:{password.decode()}" == self._user
            sock.sendall(b"\x01" + bytes([0 if good else 1]))
            if not good:
                return
        kind = wire.recv_exactly(sock, 4)[3]
        host = {1: lambda: socket.inet_ntoa(wire.recv_exactly(sock, 4)),
                3: lambda: wire.recv_exactly(sock, wire.recv_exactly(sock, 1)[0]).decode(),
                4: lambda: socket.inet_ntop(socket.AF_INET6, wire.recv_exactly(sock, 16))}[kind]()
        port = struct.unpack("!H", wire.recv_exactly(sock, 2))[0]
        self.targets.append(f"{host}:{port}")
        if self._reply:
            sock.sendall(bytes([5, self._reply, 0, 1]) + bytes(6))
            return
        assert host.endswith(".test") or host.startswith("127.")
        with socket.create_connection((host, port), 20) as above:
            sock.sendall(b"\x05\x00\x00\x01" + bytes(6))
            servers.pump(sock, above)

    def stop(self):
        self._origin.stop()


def _basic(text):
    return base64.b64encode(text.encode()).decode()


def test_connections_go_through_an_http_proxy_by_name(proxy, nginx, starts):
    parent = starts(servers.Parent())
    made = proxy("--upstream-proxy", f"http://127.0.0.1:{parent.port}")
    got = made.curl(f"https://site.test:{nginx.port}/")
    assert got.status == 200 and "site.test" in got.names(), got.error
    assert parent.targets == [f"site.test:{nginx.port}"]


def test_credentials_go_to_the_http_proxy_and_nowhere_else(proxy, nginx, starts):
    parent = starts(servers.Parent(user=_basic("ann:p@ss:word")))
    made = proxy("--upstream-proxy", f"http://ann:p%40ss%3Aword@127.0.0.1:{parent.port}")
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200
    assert "p@ss" not in made.log() + str(made.events()) and "p%40ss" not in made.log()


def test_an_http_proxy_that_refuses_is_named_with_its_status(proxy, nginx, starts):
    parent = starts(servers.Parent(user=_basic("ann:right")))
    made = proxy("--upstream-proxy", f"http://ann:wrong@127.0.0.1:{parent.port}")
    got = made.curl(f"https://site.test:{nginx.port}/")
    assert got.extra["connect"] == 502
    made.wait_words(r"upstream-proxy-failed")
    made.wait_words(rf"127\.0\.0\.1:{parent.port}.*407|407.*127\.0\.0\.1:{parent.port}")


def test_another_overt_is_such_a_proxy(proxy, nginx):
    far = proxy(rules=settings.rules(default="bypass"))
    near = proxy("--upstream-proxy", f"http://127.0.0.1:{far.port}")
    got = near.curl(f"https://site.test:{nginx.port}/")
    assert got.status == 200, got.error
    far.wait_event(events.is_verdict("bypass"), "the far one passed it through")
    near.wait_event(events.is_verdict("inspect"), "the near one inspected it")


def test_two_inspecting_proxies_in_a_row(world, proxy, nginx, folder):
    far = proxy()
    (folder / "both.pem").write_bytes(far.ca.read_bytes())
    near = proxy("--upstream-proxy", f"http://127.0.0.1:{far.port}", trust=folder / "both.pem")
    got = near.curl(f"https://site.test:{nginx.port}/")
    assert got.status == 200, near.words()


def test_connections_go_through_socks5_by_name(proxy, nginx, starts):
    parent = starts(Socks())
    made = proxy("--upstream-proxy", f"socks5://127.0.0.1:{parent.port}")
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200
    assert parent.targets == [f"site.test:{nginx.port}"] and parent.offered == [b"\x00"]


def test_credentials_go_to_the_socks5_proxy(proxy, nginx, starts):
    parent = starts(Socks(user="ann:p@ss"))
    made = proxy("--upstream-proxy", f"socks5://ann:p%40ss@127.0.0.1:{parent.port}")
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200


@pytest.mark.parametrize("user, knobs, words", [
    ("ann:wrong@", {"user": "ann:right"}, "credential|password|refused|authent"),
    ("", {"user": "ann:right"}, "authent|credential|method"),
    ("", {"reply": 2}, "not allowed|ruleset|allow"),
    ("", {"reply": 4}, "host unreachable|unreachable"),
    ("", {"reply": 5}, "refused"),
    ("", {"reply": 99}, "99|refused|unknown"),
])
def test_failures_of_a_socks5_proxy_are_named(user, knobs, words, proxy, nginx, starts):
    parent = starts(Socks(**knobs))
    made = proxy("--upstream-proxy", f"socks5://{user}127.0.0.1:{parent.port}")
    got = made.curl(f"https://site.test:{nginx.port}/")
    assert got.extra["connect"] == 502
    close = made.wait_event(events.is_close(), "the flow ended")
    assert close["name"] == "upstream-proxy-failed" and f"127.0.0.1:{parent.port}" in close["text"], close
    assert re.search(words, close["text"], re.I), close


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_proxy_that_is_down_is_named(scheme, proxy, nginx):
    port, holder = servers.silent_port()
    made = proxy("--upstream-proxy", f"{scheme}://127.0.0.1:{port}")
    assert made.curl(f"https://site.test:{nginx.port}/").extra["connect"] == 502
    made.wait_words(rf"127\.0\.0\.1:{port}")
    holder.close()


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("sent", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nBroken\r\n\r\n", b"\x05\x01", b"\x04\x00\x00\x00",
                                  b"HTTP/1.1 200 " + b"x" * 70000])
def test_a_proxy_that_talks_nonsense_is_named(scheme, sent, proxy, nginx, starts):
    parent = starts(servers.Origin(None, lambda c: (c.recv(), c.send(sent))))
    made = proxy("--upstream-proxy", f"{scheme}://127.0.0.1:{parent.port}")
    assert made.curl(f"https://site.test:{nginx.port}/").extra["connect"] == 502
    assert made.wait_event(events.is_close(), "the flow ended")["name"] == "upstream-proxy-failed"


def test_a_proxy_that_never_answers_costs_the_connect_deadline(proxy, nginx, starts):
    parent = starts(servers.Origin(None, lambda c: [c.recv() for _ in range(2)]))
    made = proxy("--upstream-proxy", f"http://127.0.0.1:{parent.port}", "--connect-timeout", "1s")
    assert made.curl(f"https://site.test:{nginx.port}/").extra["connect"] == 504


def test_plain_requests_go_to_the_http_proxy_in_absolute_form(proxy, starts):
    seen = []

    def handler(connection):
        seen.append(connection.recv_until(b"\r\n\r\n"))
        connection.send(servers.http_answer("from the parent", headers="Connection: close\r\n"))

    parent = starts(servers.Origin(None, handler))
    made = proxy("--upstream-proxy", f"http://ann:pw@127.0.0.1:{parent.port}")
    got = made.curl("http://site.test:8081/path?q=1")
    assert got.status == 200 and got.body == b"from the parent", got.error
    assert seen[0].startswith(b"GET http://site.test:8081/path?q=1 HTTP/1.1\r\n"), seen
    assert f"Proxy-Authorization: Basic {_basic('ann:pw')}".encode() in seen[0]


def test_plain_requests_go_through_socks5(proxy, starts):
    origin, parent = starts(servers.Origin(None)), starts(Socks())
    made = proxy("--upstream-proxy", f"socks5://127.0.0.1:{parent.port}")
    assert made.curl(f"http://site.test:{origin.port}/a").body == b"origin: GET /a 0"
    assert parent.targets == [f"site.test:{origin.port}"]


def test_a_bypass_after_a_look_goes_through_the_proxy_again(proxy, world, starts):
    origin = starts(servers.Origin(servers.server_context(*world.files("bypass.test"))))
    parent = starts(servers.Parent())
    made = proxy("--upstream-proxy", f"http://127.0.0.1:{parent.port}",
                 rules=settings.rules(settings.rule("bypass", name=["bypass.test"])))
    got = made.curl(f"https://bypass.test:{origin.port}/", ca=world.trust)
    assert got.status == 200, got.error
    assert parent.targets == [f"bypass.test:{origin.port}"] * 2


def test_octets_that_come_with_the_proxys_answer_are_not_lost(proxy, starts):
    """A server that speaks first, its greeting in one segment with the proxy's 200."""
    def handler(connection):
        connection.recv_until(b"\r\n\r\n")
        connection.send(b"HTTP/1.1 200 Connected\r\n\r\n220 early ESMTP\r\n")
        connection.send(connection.recv_until(b"\n"))

    parent = starts(servers.Origin(None, handler))
    made = proxy("--upstream-proxy", f"http://127.0.0.1:{parent.port}")
    with wire.open_tunnel(made.port, "mail.test", 8025) as sock:
        assert wire.recv_exactly(sock, 17) == b"220 early ESMTP\r\n"
        sock.sendall(b"QUIT\n")
        assert wire.recv_exactly(sock, 5) == b"QUIT\n"


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:1", "http://127.0.0.1", "http://", "socks5://:pw@127.0.0.1:1x", "127.0.0.1:8080"])
def test_an_url_that_names_no_proxy_is_refused(url):
    code, _, err = overt.run("proxy", "--listen", "127.0.0.1:0", "--upstream-proxy", url)
    assert code == 2 and "upstream-proxy" in err and len(err.splitlines()) == 1, err
