"""What a proxy does all day: CONNECT, plain HTTP and SOCKS on one port, both HTTP versions, bodies of any framing."""

import base64
import concurrent.futures
import hashlib
import ipaddress
import os
import ssl

import pytest
from lab import clients, overt, servers, settings, wire

pytestmark = overt.requires("proxy --trust --rules --jsonl")

MEGABYTES_20 = os.urandom(1 << 20) * 20


def test_https_through_connect_shows_a_leaf_of_overts_ca_for_the_origins_names(shared, nginx):
    got = shared.curl(f"https://site.test:{nginx.port}/")
    assert (got.code, got.status, got.version) == (0, 200, "1.1"), got.error
    assert got.body == b"nginx says hello over HTTP/1.1\n"
    authority = clients.certificates(shared.ca.read_text())[0]
    assert got.cert.issuer == authority.subject
    origin = clients.curl(f"https://site.test:{nginx.port}/", "-k").cert
    assert got.names() == clients.sans(origin)


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_both_tls_versions_work(most, shared, nginx):
    got = shared.get(nginx.port, "site.test", ctx=clients.context(shared.ca, most=most))
    assert got.status == 200 and got.extra["version"] == most.name.replace("_", "."), got.error


def test_h2_is_spoken_on_both_sides(shared, nginx_h2):
    got = shared.curl(f"https://h2.test:{nginx_h2.port}/", "--http2")
    assert (got.status, got.version, got.body) == (200, "2", b"nginx says hello over HTTP/2.0\n"), got.error


def test_h2_is_not_offered_to_a_client_whose_server_lacks_it(shared, nginx):
    got = shared.curl(f"https://site.test:{nginx.port}/", "--http2")
    assert (got.status, got.version) == (200, "1.1"), got.error


def test_a_client_without_h2_gets_http_1_from_an_h2_server(shared, nginx_h2):
    got = shared.curl(f"https://h2.test:{nginx_h2.port}/", "--http1.1")
    assert (got.status, got.body) == (200, b"nginx says hello over HTTP/1.1\n"), got.error


def test_a_client_without_alpn_gets_none(shared, nginx_h2):
    got = shared.get(nginx_h2.port, "h2.test")
    assert got.status == 200 and got.extra["protocol"] is None, got.error


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_20_mb_come_down_unchanged(http, shared, nginx_h2):
    nginx_h2.file("big", MEGABYTES_20)
    got = shared.curl(f"https://h2.test:{nginx_h2.port}/files/big", http)
    assert got.status == 200 and hashlib.sha256(got.body).digest() == hashlib.sha256(MEGABYTES_20).digest(), got.error


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_20_mb_go_up_unchanged(http, shared, nginx_h2, folder):
    (folder / "big").write_bytes(MEGABYTES_20)
    got = shared.curl(f"https://h2.test:{nginx_h2.port}/put/big{http[-1]}", http, "-T", folder / "big")
    assert got.status == 201, got.error
    assert nginx_h2.stored(f"big{http[-1]}") == MEGABYTES_20


def test_plain_http_in_absolute_form_is_proxied(shared, nginx):
    got = shared.curl(f"http://site.test:{nginx.plain_port}/")
    assert (got.status, got.body) == (200, b"nginx says hello over HTTP/1.1\n"), got.error


def test_plain_http_carries_uploads(shared, nginx, folder):
    (folder / "up").write_bytes(MEGABYTES_20[:3 << 20])
    got = shared.curl(f"http://site.test:{nginx.plain_port}/put/plain", "-T", folder / "up")
    assert got.status == 201 and nginx.stored("plain") == MEGABYTES_20[:3 << 20], got.error


def test_plain_http_keeps_the_clients_connection_for_any_host(shared, nginx):
    with wire.connect(shared.port) as sock:
        for host in ("site.test", "other.test", "site.test"):
            at = f"{host}:{nginx.plain_port}"
            sock.sendall(f"GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n".encode())
            assert wire.recv_until(sock, b"over HTTP/1.1\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("scheme", ["socks5h", "socks5", "socks4a"])
def test_socks_on_the_same_port(scheme, shared, nginx):
    got = clients.curl(f"https://site.test:{nginx.port}/", ca=shared.ca, via=f"{scheme}://127.0.0.1:{shared.port}")
    assert (got.status, got.body) == (200, b"nginx says hello over HTTP/1.1\n"), got.error


def test_a_password_offered_to_a_proxy_that_wants_none_does_no_harm(shared, nginx):
    got = clients.curl(f"https://site.test:{nginx.port}/", ca=shared.ca,
                       via=f"socks5h://user:secret@127.0.0.1:{shared.port}")
    assert got.status == 200, got.error


@overt.requires("proxy --proxy-auth")
class TestAuthentication:
    @pytest.fixture
    def guarded(self, proxy, folder):
        path = folder / "users"
        path.write_text("anna:one two\nbearer token-1234567890\n")
        path.chmod(0o600)
        return proxy("--proxy-auth", path)

    def test_nobody_gets_in_without_credentials(self, guarded, nginx):
        got = guarded.curl(f"https://site.test:{nginx.port}/")
        assert got.status == 0 and got.extra["connect"] == 407

    def test_plain_http_asks_for_credentials_too(self, guarded, nginx):
        assert guarded.curl(f"http://site.test:{nginx.plain_port}/").status == 407

    @pytest.mark.parametrize("scheme", ["http", "socks5h"])
    def test_name_and_password_let_in(self, scheme, guarded, nginx):
        got = clients.curl(f"https://site.test:{nginx.port}/", ca=guarded.ca,
                           via=f"{scheme}://anna:one%20two@127.0.0.1:{guarded.port}")
        assert got.status == 200, got.error

    @pytest.mark.parametrize("scheme", ["http", "socks5h"])
    @pytest.mark.parametrize("who", ["anna:wrong", "bert:one%20two", "anna:"])
    def test_a_wrong_password_keeps_out(self, scheme, who, guarded, nginx):
        got = clients.curl(f"https://site.test:{nginx.port}/", ca=guarded.ca,
                           via=f"{scheme}://{who}@127.0.0.1:{guarded.port}")
        assert got.code != 0 and got.status == 0

    def test_a_bearer_token_lets_in(self, guarded, nginx):
        got = guarded.curl(f"https://site.test:{nginx.port}/", "--proxy-header",
                           "Proxy-Authorization: Bearer token-1234567890")
        assert got.status == 200, got.error

    def test_credentials_go_no_further(self, guarded, starts):
        server = starts(servers.Origin())
        secret = base64.b64encode(b"anna:one two").decode()
        got = clients.curl(f"http://site.test:{server.port}/", via=f"http://anna:one%20two@127.0.0.1:{guarded.port}")
        assert got.status == 200 and secret.encode() not in server.received()
        assert secret not in guarded.words() and "one two" not in guarded.words()


def test_many_requests_on_one_connection(shared, nginx):
    with shared.tls(nginx.port, "site.test") as tls:
        for number in range(200):
            tls.send(f"GET /?{number} HTTP/1.1\r\nHost: site.test\r\n\r\n".encode())
            head = tls.recv_until(b"over HTTP/1.1\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")


def test_pipelined_requests_are_all_answered(shared, nginx):
    with shared.tls(nginx.port, "site.test") as tls:
        tls.send(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n" * 49 + b"GET / HTTP/1.1\r\nHost: site.test\r\n"
                 b"Connection: close\r\n\r\n")
        assert tls.recv_all().count(b"HTTP/1.1 200 OK") == 50


def test_50_curls_at_once(shared, nginx):
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda n: shared.curl(f"https://site.test:{nginx.port}/?{n}"), range(50)))
    assert [a.status for a in answers] == [200] * 50, next(a.error for a in answers if a.status != 200)


def test_expect_100_continue(shared, nginx, folder):
    (folder / "body").write_bytes(MEGABYTES_20[:2 << 20])
    got = shared.curl(f"https://site.test:{nginx.port}/put/expect", "-T", folder / "body", "-H", "Expect: 100-continue",
                      "--expect100-timeout", "20", "-v")
    assert got.status == 201 and "100 Continue" in got.error, got.error


def test_chunked_upload_and_answer(shared, origin):
    body = MEGABYTES_20[:300_000]

    def handler(connection):
        received = connection.recv_until(b"\r\n0\r\n\r\n")
        assert b"ransfer-" in received
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n")
        for at in range(0, len(body), 7001):
            part = body[at:at + 7001]
            connection.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        connection.send(b"0\r\nX-End: yes\r\n\r\n")

    server = origin("site.test", handler=handler)
    got = shared.curl(f"https://site.test:{server.port}/", "-H", "Transfer-Encoding: chunked", "-d", "some text")
    assert got.status == 200 and got.body == body, got.error


def test_head_has_no_body(shared, nginx):
    got = shared.curl(f"https://site.test:{nginx.port}/", "-I")
    assert got.status == 200 and b"Content-Length: 31" in got.body, got


@pytest.mark.parametrize("status", [204, 304, 404, 500])
def test_any_status_passes(status, shared, origin):
    server = origin("site.test", handler=lambda c: (c.recv_until(b"\r\n\r\n"), c.send(
        f"HTTP/1.1 {status} Text\r\nContent-Length: 0\r\n\r\n".encode())))
    assert shared.curl(f"https://site.test:{server.port}/").status == status


def test_a_body_that_ends_with_the_connection(shared, origin):
    server = origin("site.test", handler=lambda c: (c.recv_until(b"\r\n\r\n"), c.send(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"until the end" * 1000)))
    got = shared.curl(f"https://site.test:{server.port}/")
    assert (got.code, got.body) == (0, b"until the end" * 1000), got.error


def test_a_websocket_is_carried_both_ways(shared, origin):
    def handler(connection):
        connection.recv_until(b"\r\n\r\n")
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while frame := connection.recv():
            connection.send(b"\x81" + frame[1:])

    server = origin("ws.test", handler=handler)
    with shared.tls(server.port, "ws.test") as tls:
        tls.send(b"GET /chat HTTP/1.1\r\nHost: ws.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        assert b" 101 " in tls.recv_until(b"\r\n\r\n")
        for number in range(20):
            frame = b"\x82\x04" + number.to_bytes(4, "big")
            tls.send(frame)
            assert tls.recv() == b"\x81" + frame[1:]


def test_a_server_that_is_not_there_is_a_502_that_says_so(shared):
    port, held = servers.silent_port()
    sock, head = wire.tunnel(shared.port, "site.test", port)
    sock.close()
    held.close()
    assert head.startswith("HTTP/1.1 502 "), head


def test_a_name_that_does_not_exist_is_a_502_that_says_so(shared):
    sock, head = wire.tunnel(shared.port, "no-such-host.invalid", 443)
    sock.close()
    assert head.split(" ")[1] in ("502", "504"), head


def test_the_proxy_does_not_connect_to_itself(shared):
    sock, head = wire.tunnel(shared.port, "127.0.0.1", shared.port)
    sock.close()
    assert head.split(" ")[1] in ("403", "502", "508"), head


def test_loopback_is_reached_only_where_a_rule_allows_it(proxy, nginx):
    strict = proxy(rules=settings.rules(loopback=False))
    got = strict.curl(f"https://site.test:{nginx.port}/")
    assert got.status == 0 and got.extra["connect"] in (403, 502)


def test_an_ipv6_literal_is_reached(shared, world, starts):
    server = starts(servers.Origin(servers.server_context(*world.files(ipaddress.ip_address("::1"))), host="::1"))
    got = shared.curl(f"https://[::1]:{server.port}/")
    assert got.status == 200 and got.names() == ["::1"], got.error


def test_apache_over_h2(shared, world, starts):
    server = starts(servers.Apache(*world.files("apache.test")))
    server.file("big", MEGABYTES_20[:5 << 20])
    got = shared.curl(f"https://apache.test:{server.port}/big", "--http2")
    assert (got.status, got.version) == (200, "2") and got.body == MEGABYTES_20[:5 << 20], got.error


def test_gnutls_server(shared, world, starts):
    server = starts(servers.GnutlsServer(*world.files("gnutls.test")))
    got = shared.curl(f"https://gnutls.test:{server.port}/", "--http1.0")
    assert got.status == 200, got.error


@pytest.mark.parametrize("fetch", [clients.node_fetch, clients.python_fetch, clients.java_fetch, clients.chromium],
                         ids=lambda f: f.__name__)
def test_a_real_client_gets_its_page(fetch, shared, nginx, folder):
    got = fetch(f"https://site.test:{nginx.port}/", folder, proxy=shared.port, ca=shared.ca)
    assert got.status == 200 and b"nginx says hello" in got.body, got.error


def test_wget_gets_its_page(shared, nginx):
    got = clients.wget(f"https://site.test:{nginx.port}/", proxy=shared.port, ca=shared.ca)
    assert got.body == b"nginx says hello over HTTP/1.1\n", got.error


def test_s_client_verifies_the_leaf(shared, nginx):
    got = clients.s_client(nginx.port, "site.test", proxy=shared.port, ca=shared.ca)
    assert got.code == 0 and "Verify return code: 0 (ok)" in got.error, got.error


def test_gnutls_cli_verifies_the_leaf(world, starts, nginx):
    reverse = starts(overt.Proxy(trust=world.trust, listen=[f"reverse:site.test:{nginx.port}@127.0.0.1:0"]))
    got = clients.gnutls_cli(reverse.port, "site.test", ca=reverse.ca, say=b"GET / HTTP/1.0\r\n\r\n")
    assert "The certificate is trusted" in got.error and "nginx says hello" in got.error, got.error


def test_git_clones_over_h2_and_http_1(shared, world, starts, folder):
    env = {"GIT_AUTHOR_NAME": "lab", "GIT_AUTHOR_EMAIL": "lab@site.test", "GIT_COMMITTER_NAME": "lab",
           "GIT_COMMITTER_EMAIL": "lab@site.test", "HOME": str(folder)}
    work = folder / "work"
    clients.run("git", "init", "-q", work, env=env, check=True)
    (work / "file").write_text("content\n")
    clients.run("git", "-C", work, "add", "file", env=env, check=True)
    clients.run("git", "-C", work, "commit", "-qm", "one", env=env, check=True)
    clients.run("git", "-C", work, "update-server-info", env=env, check=True)
    server = starts(servers.Nginx(*world.files("site.test"), http2=True))
    target = server.folder / "www" / "files" / "repo.git"
    clients.run("cp", "-r", work / ".git", target, check=True)
    got = clients.git("clone", f"https://site.test:{server.port}/files/repo.git", folder / "copy", proxy=shared.port,
                      ca=shared.ca)
    assert got.code == 0 and (folder / "copy" / "file").read_text() == "content\n", got.error


def test_reverse_mode_serves_clients_that_know_of_no_proxy(world, starts, nginx):
    reverse = starts(overt.Proxy(trust=world.trust, listen=[f"reverse:site.test:{nginx.port}@127.0.0.1:0"]))
    got = clients.curl(f"https://site.test:{reverse.port}/", ca=reverse.ca)
    assert got.status == 200, got.error


def test_sni_mode_goes_where_the_name_says(world, starts, nginx):
    routed = starts(overt.Proxy(trust=world.trust, listen=[f"sni:{nginx.port}@127.0.0.1:0"]))
    for name in ("site.test", "other.test"):
        got = clients.curl(f"https://{name}:{routed.port}/", ca=routed.ca)
        assert got.status == 200, got.error


def test_two_listeners_at_once(world, starts, nginx):
    both = starts(overt.Proxy(trust=world.trust, listen=["127.0.0.1:0", "[::1]:0"]))
    assert len(both.ports) == 2
    for via in (f"http://127.0.0.1:{both.ports[0]}", f"http://[::1]:{both.ports[1]}"):
        assert clients.curl(f"https://site.test:{nginx.port}/", ca=both.ca, via=via).status == 200


@overt.requires("proxy --upstream-proxy")
@pytest.mark.parametrize("user", [None, "anna:secret"])
def test_chaining_through_another_http_proxy(user, proxy, nginx, starts):
    parent = starts(servers.Parent(base64.b64encode(user.encode()).decode() if user else None))
    at = f"{user}@" if user else ""
    chained = proxy("--upstream-proxy", f"http://{at}127.0.0.1:{parent.port}")
    got = chained.curl(f"https://site.test:{nginx.port}/")
    assert got.status == 200 and parent.targets == [f"site.test:{nginx.port}"], got.error


def test_single_process_does_the_same(proxy, nginx):
    alone = proxy("--single")
    assert alone.family() == [alone.pid]
    assert alone.curl(f"https://site.test:{nginx.port}/").status == 200


def test_the_release_binary_does_the_same(proxy, nginx, nginx_h2):
    release = proxy(release=True)
    assert release.curl(f"https://site.test:{nginx.port}/").status == 200
    assert release.curl(f"https://h2.test:{nginx_h2.port}/", "--http2").version == "2"


def test_the_ca_lasts_from_one_start_to_the_next(world, starts, nginx, folder):
    first = overt.Proxy(trust=world.trust, state=folder / "state")
    ca = first.ca.read_bytes()
    serial = first.curl(f"https://site.test:{nginx.port}/").cert.serial_number
    first.stop()
    second = starts(overt.Proxy(trust=world.trust, state=folder / "state"))
    got = second.curl(f"https://site.test:{nginx.port}/")
    assert second.ca.read_bytes() == ca and got.cert.serial_number == serial
