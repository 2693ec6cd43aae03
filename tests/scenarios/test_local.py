"""`overt local`: on one's own machine, for programs that know nothing of Accord. It speaks Accord to the network's proxy,
which has no CA in anybody's trust, and serves curl, Python and Chromium by a CA that never leaves the machine."""

import html
import os
import pathlib
import re
import shutil
import socket
import ssl
import stat
import tempfile

import pytest
from cryptography import x509
from lab import clients, events, overt, pki, servers, settings, still, wire
from lab.proc import PATIENCE, Process, eventually

pytestmark = [overt.requires("local --accord --proxy --trust", "proxy --accord")]

LAB = pathlib.Path(overt.binary()).parent / "tests" / "scenarios" / "lab"
PAGE = "http://overt.internal"


@pytest.fixture(scope="module")
def anchor_state(tmp_path_factory):
    """A state folder with an Accord anchor for proxy.test."""
    path = tmp_path_factory.mktemp("accord") / "state"
    code, _, err = overt.run("accord", "init", "--state", path, "--name", "proxy.test")
    assert code == 0, err
    return path


@pytest.fixture
def network(anchor_state, folder, proxy):
    """The network's proxy: network("require", ...). Nobody trusts its CA."""
    def make(how="require", *options, **knobs):
        number = len(list(folder.glob("network*")))
        state = shutil.copytree(anchor_state, folder / f"network{number}")
        return proxy("--accord", how, "--workers", "1", "--purpose", "finding malware", *options, state=state, **knobs)
    return make


class Local(overt.Proxy):
    """A running `overt local`. What it shares with `overt proxy` is taken from there."""

    def __init__(self, anchors, *options, through=None, state=None, env=None, user=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="overt-local-"))
        self.state = pathlib.Path(state) if state else self.folder / "state"
        self.jsonl, self.env, self.stopped, self.listeners = self.folder / "events.jsonl", env or {}, False, 1
        before = []
        if user:
            before = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
            self.state.mkdir(mode=0o700)
            anchors = shutil.copy(anchors, self.folder / "anchors.pem")
            options = [shutil.copy(word, self.folder) if os.path.isfile(word) else word for word in options]
            self.folder.chmod(0o755)
            for place in (self.folder, self.state, *self.folder.glob("*.pem")):
                os.chown(place, user, user)
        self.command = [*before, overt.binary(), "local", "--accord", anchors, "--state", self.state, "--listen",
                        "127.0.0.1:0", "--jsonl", self.jsonl, *options]
        if through:
            self.command += ["--proxy", f"127.0.0.1:{through.port}"]
        self.start()

    # The page

    def page(self, **knobs):
        answer = self.curl(f"{PAGE}/", **knobs)
        assert answer.status == 200, answer.error
        return answer.body.decode()

    def token(self):
        return re.search(r"name=token value=(\w+)>", self.page()).group(1)

    def decide(self, wish, kind, what, *options, token=None):
        form = f"token={token or self.token()}&do={wish}&kind={kind}&what={what}"
        return self.curl(f"{PAGE}/decide", "-d", form, *options)

    def refuse(self, kind, what):
        assert self.decide("refuse", kind, what).status == 303

    def allow(self, kind, what):
        assert self.decide("allow", kind, what).status == 303

    def closed(self, name):
        return self.wait_event(lambda e: events.is_close()(e) and e.get("name") == name, f"a flow that ended with {name}")


@pytest.fixture
def local(anchor_state, world, starts):
    """Starts `overt local` that knows the lab's web root: local(network(), ...)."""
    def make(through, *options, trust=True, **knobs):
        words = ["--trust", world.trust] if trust else []
        return starts(Local(anchor_state / "accord-anchor.pem", *words, *options, through=through, **knobs))
    return make


def sections(text):
    """The page's parts by heading, as plain text."""
    parts = re.split(r"<h2>(.*?)</h2>", text)
    plain = [html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", part))).strip() for part in parts]
    return {"": plain[0], **dict(zip(plain[1::2], plain[2::2]))}


# Programs that trust only the local CA

def test_curl_is_served_and_the_proxy_of_the_network_reads(nginx, network, local):
    far = network()
    near = local(far)
    got = near.curl(f"https://site.test:{nginx.port}/")
    assert got.status == 200 and b"nginx says hello" in got.body, got.error + near.log()
    far.wait_event(events.is_request("/"), "the request, in the network's proxy")
    far.wait_event(lambda e: events.kind(e) == "notice" and e.get("name") == "accord", "the notice of Accord")
    verdict = near.wait_event(events.is_verdict("inspect"), "the verdict")
    assert verdict["reason"] == "read by proxy.test as reader (finding malware)"
    shown = near.wait_event(lambda e: events.kind(e) == "tls" and e.get("leg") == 2, "leg 2")
    assert "site.test" in shown["certificate"]["subject"] or "Lab" in shown["certificate"]["issuer"], shown


def test_the_leaf_has_the_names_and_dates_of_the_server(world, nginx, network, local):
    near = local(network())
    cert = near.curl(f"https://site.test:{nginx.port}/").cert
    real = x509.load_pem_x509_certificate(pathlib.Path(world.files("site.test", "www.site.test", "other.test", "bypass.test",
        "block.test", "plain.test", "second.test", "third.test", "listed.test", "deep.listed.test")[0]).read_bytes())
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == set(
        real.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName))
    assert cert.not_valid_after <= real.not_valid_after and "@" in cert.issuer.rfc4514_string()


def test_h2_goes_through(nginx_h2, network, local):
    far = network()
    near = local(far)
    got = near.curl(f"https://h2.test:{nginx_h2.port}/", "--http2")
    assert got.status == 200 and b"HTTP/2" in got.body, got.error + near.log()
    for one in (near, far):
        one.wait_event(lambda e: events.kind(e) == "tls" and e.get("leg") == 2 and e.get("alpn") == "h2", "h2 on leg 2")


def test_python_is_served_without_alpn_too(nginx, network, local):
    near = local(network())
    got = near.get(nginx.port, "site.test")
    assert got.status == 200, got.error


def test_a_program_of_tls12_is_served_over_accord(nginx, network, local):
    near = local(network())
    got = near.curl(f"https://site.test:{nginx.port}/", "--tls-max", "1.2")
    assert got.status == 200, got.error + near.log()
    assert near.wait_event(events.is_verdict("inspect"), "the verdict")["reason"].startswith("read by proxy.test")


def test_a_server_without_a_name_is_proven_by_its_address(world, starts, network, local):
    import ipaddress
    server = starts(servers.Origin(servers.server_context(*world.files(ipaddress.ip_address("127.0.0.1")))))
    near = local(network())
    got = near.curl(f"https://127.0.0.1:{server.port}/")
    assert got.status == 200, got.error + near.log()


def test_socks_is_served_too(nginx, network, local):
    near = local(network())
    sock, code = clients.socks(near.port, "site.test", nginx.port)
    assert code == 0
    with ssl.create_default_context(cafile=near.ca).wrap_socket(sock, server_hostname="site.test") as secure:
        secure.sendall(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n")
        assert b" 200 " in secure.recv(65536)
    assert near.wait_event(events.is_verdict("inspect"), "the verdict")["reason"].startswith("read by proxy.test")


def test_several_proxies_in_a_row_are_all_named(nginx, network, local):
    last = network()
    near = local(network("require", "--upstream-proxy", f"http://127.0.0.1:{last.port}", "--accord-upstream"))
    assert near.curl(f"https://site.test:{nginx.port}/").status == 200, near.log()
    reason = near.wait_event(events.is_verdict("inspect"), "the verdict")["reason"]
    assert reason == "read by proxy.test as reader (finding malware), then proxy.test as reader (finding malware)"


def test_a_server_that_knows_and_accepts_is_shown_as_such(world, network, local, starts):
    if not (LAB / "accord_aware").exists():
        pytest.skip("the aware server of these tests is not built")
    server = starts(Process(LAB / "accord_aware", *world.files("site.test"), "accept", "come in", env=overt.SANITIZER_OPTIONS))
    port = int(server.out.wait(r"^listening (\d+)").group(1))
    near = local(network())
    got = near.curl(f"https://site.test:{port}/", "--http0.9")
    assert b"aware" in got.body, got.error + near.log()
    reason = near.wait_event(events.is_verdict("inspect"), "the verdict")["reason"]
    assert reason == "read by proxy.test as reader (finding malware); the server knows, and accepts"
    assert "the server knows, and accepts" in sections(near.page())["Sites that are read"]


def test_a_server_that_asks_for_a_client_certificate_gets_none(world, starts, network, local):
    context = servers.server_context(*world.files("client-cert.test"))
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(world.trust)
    server = starts(servers.Origin(context))
    near = local(network("prefer"))
    got = near.curl(f"https://client-cert.test:{server.port}/")
    assert got.status == 200, got.error + near.log()
    assert near.wait_event(events.is_verdict("inspect"), "the verdict")["reason"].startswith("nobody reads")


def test_nothing_is_resumed_towards_the_network(nginx, network, local):
    near = local(network())
    for _ in range(3):
        assert near.curl(f"https://site.test:{nginx.port}/").status == 200

    def met():
        return [e for e in near.events() if events.kind(e) == "tls" and e["leg"] == 2]
    shown = eventually(lambda: len(met()) == 3 and met(), "three handshakes")
    assert not any(e["resumed"] for e in shown)


def test_chromium_speaks_h2_through_it(nginx_h2, network, local, folder):
    far = network()
    near = local(far)
    got = clients.chromium(f"https://h2.test:{nginx_h2.port}/", folder, proxy=near.port, ca=near.ca)
    assert b"HTTP/2" in got.body, got.error[-2000:] + near.log()[-2000:]
    far.wait_event(events.is_request("/"), "the plaintext, in the network's proxy")


def test_chromium_is_read_without_any_ca_of_the_network(nginx, network, local, folder):
    far = network()
    near = local(far)
    got = clients.chromium(f"https://site.test:{nginx.port}/", folder, proxy=near.port, ca=near.ca)
    assert b"nginx says hello" in got.body, got.error[-2000:] + near.log()[-2000:]
    far.wait_event(events.is_request("/"), "the plaintext, in the network's proxy")
    (folder / "alone").mkdir()
    refused = clients.chromium(f"https://site.test:{nginx.port}/", folder / "alone", proxy=far.port, ca=near.ca)
    assert b"nginx says hello" not in refused.body


def test_plain_http_passes_and_is_shown_as_readable_by_all(network, local, starts):
    near, origin = local(network()), starts(servers.Origin(None))
    assert near.curl(f"http://plain.test:{origin.port}/a").body == b"origin: GET /a 0"
    assert "everybody on the way" in sections(near.page())["Sites that are read"]
    near.refuse("site", "plain.test")
    assert near.curl(f"http://plain.test:{origin.port}/a").status == 403


@pytest.mark.parametrize("speaks_first", [False, True])
def test_what_is_no_tls_is_shown_and_ended_as_anything_else(speaks_first, network, local, starts):
    def handler(connection):
        if speaks_first:
            connection.send(b"HELLO\n")
        while part := connection.recv():
            connection.send(part)
    near, server = local(network("prefer")), starts(servers.Origin(None, handler))

    def talk():
        sock = wire.open_tunnel(near.port, "plain.test", server.port)
        sock.settimeout(PATIENCE)
        if speaks_first:
            assert wire.recv_exactly(sock, 6) == b"HELLO\n"
        sock.sendall(b"ping\n")
        return sock
    with talk() as held:
        assert wire.recv_exactly(held, 5) == b"ping\n"
        assert re.search(r"plain\.test everybody on the way: there is no TLS .* now ", sections(near.page())["Sites that are read"])
        near.refuse("site", "plain.test")
        with pytest.raises((ConnectionError, AssertionError)):
            wire.recv_exactly(held, 1)
    with talk() as again, pytest.raises((ConnectionError, AssertionError)):
        wire.recv_exactly(again, 5)


@pytest.mark.parametrize("rule, status", [("require", 0), ("prefer", 200)])
def test_a_server_of_tls12_alone_is_reached_only_where_accord_is_preferred(rule, status, world, starts, network, local):
    context = servers.server_context(*world.files("site.test"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = starts(servers.Origin(context))
    near = local(network("prefer", rules=settings.rules(default="bypass")), "--accord-rule", rule,
                 env={"SSL_CERT_FILE": str(world.trust)})
    got = near.curl(f"https://site.test:{server.port}/")
    assert got.status == status, got.error + near.log()


# Checks

def test_a_proxy_that_steps_aside_reads_nothing(nginx, network, local):
    far = network("prefer", rules=settings.rules(default="bypass"))
    near = local(far)
    assert near.curl(f"https://site.test:{nginx.port}/").status == 200
    parts = sections(near.page())
    assert "site.test" in parts["Sites that nobody reads"] and "site.test" not in parts["Sites that are read"]


def test_without_a_proxy_connections_go_straight_out(nginx, local):
    near = local(None)
    assert near.curl(f"https://site.test:{nginx.port}/").status == 200
    assert near.wait_event(events.is_verdict("inspect"), "the verdict")["reason"].startswith("nobody reads")


def test_a_minted_leaf_is_refused(nginx, proxy, local):
    """A proxy that poses as the server, with a CA of its own."""
    near = local(proxy())
    got = near.curl(f"https://site.test:{nginx.port}/")
    assert got.status == 502 and b"no proof came" in got.body, got.error
    close = near.closed("accord-check")
    assert "no proof came" in close["text"], close
    assert "no proof came" in sections(near.page())["Connections that were turned away"]


def test_a_minted_leaf_is_accepted_where_accord_is_only_preferred(nginx, proxy, local):
    posing = proxy()
    near = local(posing, "--accord-rule", "prefer", env={"SSL_CERT_FILE": str(posing.ca)})
    got = near.curl(f"https://site.test:{nginx.port}/")
    assert got.status == 200, got.error + near.log()
    near.wait_log("nothing proven .*site=site.test")
    assert "nothing is proven" in near.wait_event(events.is_verdict("inspect"), "the verdict")["reason"]
    assert "a CA that was added on this machine" in sections(near.page())["Sites that are read"]


def test_a_minted_leaf_that_nobody_vouches_for_is_refused_all_the_same(nginx, proxy, local):
    near = local(proxy(), "--accord-rule", "prefer")
    assert near.curl(f"https://site.test:{nginx.port}/").status != 200
    near.closed("accord-check")


def test_prefer_accepts_who_steps_aside(nginx, network, local):
    near = local(network("prefer", rules=settings.rules(default="bypass")), "--accord-rule", "prefer")
    assert near.curl(f"https://site.test:{nginx.port}/").status == 200


@pytest.mark.parametrize("number, fault, options", [
    (1, "proxy-chain", ["--proxy-name", "other.test"]),
    (4, "server-chain", None),
])
def test_a_failed_check_is_named_by_number(number, fault, options, nginx, world, network, local, folder):
    words = options
    if words is None:
        (folder / "other.pem").write_text(pki.authority("Another Root").pem)
        words = ["--trust", folder / "other.pem"]
    near = local(network(), *words, trust=options is not None)
    got = near.curl(f"https://site.test:{nginx.port}/", "--http1.1")
    assert got.status == 502 and f"check {number} of Accord failed ({fault})" in html.unescape(got.body.decode()), got.error
    close = near.closed("accord-check")
    assert close["text"].startswith(f"check {number} of Accord failed ({fault})"), close
    near.wait_log(rf'connection refused .*check={number}')
    assert f"check {number} of Accord failed ({fault})" in sections(near.page())["Connections that were turned away"]


def test_a_proxy_of_another_anchor_fails_check_1(nginx, local, proxy, folder):
    code, _, err = overt.run("accord", "init", "--state", folder / "foreign", "--name", "proxy.test")
    assert code == 0, err
    near = local(proxy("--accord", "require", "--workers", "1", state=folder / "foreign"))
    assert near.curl(f"https://site.test:{nginx.port}/").status != 200
    assert near.closed("accord-check")["text"].startswith("check 1 of Accord failed")


@pytest.mark.parametrize("alpn", [None, ["h2"], ["imap"]])
def test_a_program_that_does_not_say_http_gets_an_alert(alpn, origin, local, proxy):
    """What else runs over TLS would be disturbed by a page."""
    near, server = local(proxy()), origin()
    context = ssl.create_default_context(cafile=near.ca)
    if alpn:
        context.set_alpn_protocols(alpn)
    with wire.open_tunnel(near.port, "site.test", server.port) as sock, pytest.raises(ssl.SSLError, match="(?i)alert"):
        context.wrap_socket(sock, server_hostname="site.test")
    near.closed("accord-check")


def test_the_page_of_a_refused_connection_waits_for_the_request_and_has_nothing_of_the_server(nginx, local, proxy):
    near = local(proxy())
    context = ssl.create_default_context(cafile=near.ca)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(wire.open_tunnel(near.port, "site.test", nginx.port), server_hostname="site.test") as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"
        for part in (b"POST / HTTP/1.1\r\nHost: site.test\r\nX: <script>", b"</script>\r\n", b"\r\nbody"):
            sock.sendall(part)
        got = wire.recv_to_end(sock)
    assert got.startswith(b"HTTP/1.1 502 ") and b"no-store" in got and b"<script" not in got and b"nginx" not in got


def test_a_server_known_by_address_is_explained_too(local, proxy, origin):
    import ipaddress
    near = local(proxy())
    server = origin(ipaddress.ip_address("127.0.0.1"))
    assert near.curl(f"https://127.0.0.1:{server.port}/", "--http1.1").status == 502


# Refusals

class Held:
    """A connection through the local proxy that stays open."""

    def __init__(self, near, port, name="site.test"):
        context = ssl.create_default_context(cafile=near.ca)
        self.sock = context.wrap_socket(wire.open_tunnel(near.port, name, port), server_hostname=name)
        self.ask()

    def ask(self):
        self.sock.sendall(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n")
        assert b" 200 " in self.sock.recv(65536)

    def ended(self):
        self.sock.settimeout(PATIENCE)
        try:
            return self.sock.recv(1) == b""
        except (ConnectionResetError, ssl.SSLError):
            return True

    def stop(self):
        self.sock.close()


@pytest.mark.parametrize("kind, what", [("proxy", "proxy.test"), ("role", "reader"), ("site", "site.test")])
def test_a_refusal_ends_what_is_in_progress_and_holds_for_what_comes(kind, what, nginx, network, local, starts):
    near = local(network())
    held = starts(Held(near, nginx.port))
    near.refuse(kind, what)
    assert held.ended()
    near.closed("refused-by-user")
    got = near.curl(f"https://site.test:{nginx.port}/")
    assert got.status == 403 and b"overt.internal" in got.body
    eventually(lambda: sum(events.is_close()(e) and e["name"] == "refused-by-user" for e in near.events()) >= 2, "the block")
    assert what in sections(near.page())["Refused by you"]
    near.allow(kind, what)
    assert near.curl(f"https://site.test:{nginx.port}/").status == 200
    assert what not in sections(near.page())["Refused by you"].split("What is refused holds")[0]


def test_a_refusal_leaves_the_connections_of_others_alone(nginx, network, local, starts):
    near = local(network())
    held = starts(Held(near, nginx.port))
    near.refuse("site", "second.test")
    near.refuse("role", "writer")
    held.ask()
    assert near.curl(f"https://second.test:{nginx.port}/").status != 200
    assert near.curl(f"https://third.test:{nginx.port}/").status == 200


def test_a_refused_site_is_reached_where_nobody_reads_it(nginx, network, local):
    near = local(network("prefer", rules=settings.rules(default="bypass")))
    near.refuse("site", "site.test")
    assert near.curl(f"https://site.test:{nginx.port}/").status == 200


def test_history_and_refusals_outlive_a_restart(nginx, network, local, folder):
    state, far = folder / "kept", network()
    first = local(far, state=state)
    for _ in range(2):
        assert first.curl(f"https://site.test:{nginx.port}/").status == 200
    first.refuse("site", "second.test")
    ca = first.ca.read_bytes()
    first.stop()
    second = local(far, state=state)
    parts = sections(second.page())
    assert re.search(r"proxy\.test 1 site reader finding malware .* 2 Refuse proxy", parts["Readers"]), parts["Readers"]
    assert "second.test" in parts["Refused by you"]
    assert second.curl(f"https://second.test:{nginx.port}/").status != 200
    assert second.ca.read_bytes() == ca


def test_what_is_older_than_the_retention_is_forgotten(network, local, folder):
    state = folder / "kept"
    state.mkdir(mode=0o700)
    (state / "readers").write_text("nobody\told.test\t1000\t1000\t3\t0\t0\t\t\n")
    (state / "readers").chmod(0o600)
    first = local(network(), state=state)
    first.stop()
    assert "old.test" not in (state / "readers").read_text()


# Whose it is

def test_the_ca_is_named_for_its_user_and_its_key_is_the_users_own(network, local):
    near = local(network())
    cert = x509.load_pem_x509_certificate(near.ca.read_bytes())
    assert f"@{socket.gethostname()}"[:20] in cert.subject.rfc4514_string()
    assert (cert.not_valid_after - cert.not_valid_before).days == 90
    assert stat.S_IMODE((near.state / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(near.state.stat().st_mode) == 0o700


CONNECT = """
import os, socket, sys
if len(sys.argv) > 2:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20)
try:
    sock.sendall(b"GET / HTTP/1.1\\r\\nHost: 127.0.0.1:" + sys.argv[1].encode() + b"\\r\\n\\r\\n")
    print(len(sock.recv(65536)))
except ConnectionError:
    print(0)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_root_is_another_user_too(network, local):
    """The program itself as somebody without privileges: it serves that user, and not us."""
    near = local(network(), user=65534)
    assert int(clients.run("/usr/bin/python3", "-c", CONNECT, near.port).stdout) == 0
    near.wait_log("connection of another user refused .*uid=0")
    assert int(clients.run("/usr/bin/python3", "-c", CONNECT, near.port, "other").stdout) > 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_is_turned_away(network, local):
    near = local(network())
    assert int(clients.run("/usr/bin/python3", "-c", CONNECT, near.port).stdout) > 0
    assert int(clients.run("/usr/bin/python3", "-c", CONNECT, near.port, "other").stdout) == 0
    near.wait_log("connection of another user refused .*uid=65534")
    assert "other users turned away: 1" in near.page()


def test_a_socket_without_an_owner_is_turned_away(network, local):
    """The kernel says root of a connection whose program has closed it. The proxy stands still meanwhile."""
    near = local(network())
    still.stop(near.pid)
    try:
        with wire.connect(near.port) as sock:
            sock.sendall(f"GET {PAGE}/ HTTP/1.1\r\nHost: overt.internal\r\n\r\n".encode())
    finally:
        still.go_on(near.pid)
    near.wait_log("connection of an unknown user refused")


@pytest.mark.parametrize("where", ["0.0.0.0:0", "192.0.2.1:8088", "transparent@127.0.0.1:0", "[::]:0"])
def test_it_listens_on_loopback_only(where, anchor_state, folder):
    code, _, err = overt.run("local", "--accord", anchor_state / "accord-anchor.pem", "--state", folder / "s", "--listen", where)
    assert code == 2 and "loopback" in err, err


def test_it_does_not_go_through_itself(anchor_state, folder):
    for host in ("127.0.0.1", "localhost"):
        code, _, err = overt.run("local", "--accord", anchor_state / "accord-anchor.pem", "--state", folder / "s",
                                 "--listen", "127.0.0.1:8088", "--proxy", f"{host}:8088")
        assert code == 2 and "itself" in err, err


def test_it_listens_on_ipv6_too(network, local):
    near = local(network(), "--listen", "[::1]:0")
    answer = clients.curl(f"http://[::1]:{near.port}/", "-g")
    assert answer.status == 200 and b"Who reads your connections" in answer.body, near.log()


def test_a_ca_that_ends_soon_is_followed_by_another(world, network, local, folder):
    state = folder / "state"
    state.mkdir(mode=0o700)
    old = pki.authority("Overt CA of long ago", path_length=0, ends=10)
    (state / "ca.pem").write_text(old.pem)
    (state / "ca.key").write_text(old.key_pem)
    (state / "ca.key").chmod(0o600)
    near = local(network(), state=state)
    near.wait_log("local ca renewed")
    each = re.findall(r"-----BEGIN.*?END CERTIFICATE-----", (state / "ca.pem").read_text(), re.S)
    certs = [x509.load_pem_x509_certificate(one.encode()) for one in each]
    assert len(certs) == 2 and "long ago" in certs[0].subject.rfc4514_string()
    assert certs[1].not_valid_before < certs[0].not_valid_after < certs[1].not_valid_after
    near.stop()
    again = local(network(), state=state)
    assert (state / "ca.pem").read_text().count("BEGIN") == 2 and "renewed" not in again.log()


def test_two_do_not_share_a_state(network, local, anchor_state, world):
    near = local(network())
    code, _, err = overt.run("local", "--accord", anchor_state / "accord-anchor.pem", "--state", near.state, "--trust",
                             world.trust, "--listen", "127.0.0.1:0")
    assert code == 1 and "another overt local" in err, err


# The page

def test_the_page_is_at_the_port_itself(network, local):
    near = local(network())
    assert clients.curl(f"http://127.0.0.1:{near.port}/", "-I").status == 200
    for host in ("127.0.0.1", "localhost"):
        answer = clients.curl(f"http://{host}:{near.port}/")
        assert answer.status == 200 and b"Who reads your connections" in answer.body
    assert clients.curl(f"http://127.0.0.1:{near.port}/ca.pem").body == near.ca.read_bytes()


def ask(near, text):
    with wire.connect(near.port) as sock:
        sock.sendall(text.replace("\n", "\r\n").encode())
        return wire.recv_to_end(sock).decode("utf-8", "replace")


@pytest.mark.parametrize("host", ["evil.test:{port}", "evil.test", "overt.internal", "overt.internal:{port}", "127.0.0.1",
                                  "127.0.0.1:1", "[::2]:{port}", "localhost.evil.test:{port}"])
def test_a_name_that_leads_here_is_none_of_ours(host, network, local):
    """DNS rebinding: a page of another site whose name was made to point to this machine."""
    near = local(network())
    got = ask(near, f"GET / HTTP/1.1\nHost: {host.format(port=near.port)}\n\n")
    assert got.startswith("HTTP/1.1 421 ") and "token" not in got, got


def test_a_form_needs_the_token_of_this_run(network, local):
    near = local(network())
    for token in ("x", "0" * 32, ""):
        assert near.decide("refuse", "site", "site.test", token=token or "%20").status == 403
    assert near.curl(f"{PAGE}/decide", "-d", "do=refuse&kind=site&what=site.test").status == 403
    assert "Nothing." in sections(near.page())["Refused by you"]


@pytest.mark.parametrize("field", ["Origin: http://evil.test", "Origin: null", "Origin: https://overt.internal",
                                   "Origin: http://overt.internal:8080", "Sec-Fetch-Site: cross-site",
                                   "Sec-Fetch-Site: same-site"])
def test_a_form_of_another_site_is_refused_even_with_the_token(field, network, local):
    near = local(network())
    assert near.decide("refuse", "site", "site.test", "-H", field).status == 403
    assert near.decide("refuse", "site", "site.test", "-H", "Origin: http://overt.internal",
                       "-H", "Sec-Fetch-Site: same-origin").status == 303


def test_nothing_is_changed_by_looking(network, local):
    near = local(network())
    token = near.token()
    form = f"token={token}&do=refuse&kind=site&what=site.test"
    assert near.curl(f"{PAGE}/decide?{form}").status != 303
    assert near.curl(f"{PAGE}/?{form}").status == 404
    assert near.curl(f"{PAGE}/", "-X", "POST", "-d", form).status == 405
    assert "Nothing." in sections(near.page())["Refused by you"]


def test_a_form_that_comes_piece_by_piece_is_understood(network, local):
    near = local(network())
    form = f"token={near.token()}&do=refuse&kind=site&what=+Site.TEST."
    with wire.connect(near.port) as sock:
        for part in [f"POST /decide HTTP/1.1\r\nHost: 127.0.0.1:{near.port}\r\nContent-Length: {len(form)}\r\n\r\n", *form]:
            sock.sendall(part.encode())
        assert wire.recv_to_end(sock).startswith(b"HTTP/1.1 303 ")
    assert "site.test" in sections(near.page())["Refused by you"]


@pytest.mark.parametrize("kind, what", [("site", "<script>"), ("site", ""), ("site", "a b"), ("role", "king"), ("proxy", "-x"),
                                        ("friend", "site.test"), ("site", "%00"), ("site", "%zz"), ("site", "a" * 300)])
def test_what_cannot_be_refused_is_said(kind, what, network, local):
    near = local(network())
    answer = near.decide("refuse", kind, what)
    assert answer.status == 400 and b"<script>" not in answer.body
    assert "Nothing." in sections(answer.body.decode())["Refused by you"]


def test_no_other_page_may_frame_it_and_nothing_may_run(network, local):
    near = local(network())
    head = ask(near, f"GET / HTTP/1.1\nHost: 127.0.0.1:{near.port}\n\n").split("\r\n\r\n")[0].lower()
    for wanted in ("x-frame-options: deny", "frame-ancestors 'none'", "default-src 'none'", "cache-control: no-store",
                   "x-content-type-options: nosniff"):
        assert wanted in head, head


def test_damaged_refusals_are_not_taken_for_none(anchor_state, world, folder):
    state = folder / "state"
    state.mkdir(mode=0o700)
    (state / "refused").write_text("site\tbank.test\n")
    (state / "refused").chmod(0o600)
    code, _, err = overt.run("local", "--accord", anchor_state / "accord-anchor.pem", "--state", state, "--trust", world.trust,
                             "--listen", "127.0.0.1:0")
    assert code == 1 and "refused" in err, err
