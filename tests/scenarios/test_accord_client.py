"""`overt get`, `overt accord` and libovert: what a client of Accord finds out, from real servers, and what it refuses.
The proxy is a small one of our own (lab/accord_proxy.c), which can be asked to do one thing wrong."""

import dataclasses
import json
import pathlib
import re
import ssl

import pytest
from lab import clients, overt, pki, servers
from lab.proc import Process

ACCORD = "2.25.193640519.2.1"  # the key purpose
TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BUILT = pathlib.Path(overt.binary()).parent
PROXY = BUILT / "tests" / "scenarios" / "lab" / "accord_proxy"

pytestmark = [overt.requires("get --accord", "accord --state"),
              pytest.mark.skipif(not PROXY.exists(), reason="the proxy of these tests is not built")]


class AccordProxy:
    def __init__(self, *options):
        self.process = Process(PROXY, *options, env=overt.SANITIZER_OPTIONS)
        self.port = int(self.process.out.wait(r"^listening (\d+)").group(1))

    def text(self):
        return self.process.out.text() + self.process.err.text()

    def stop(self):
        self.process.stop()
        assert not overt.SANITIZER.search(self.process.err.text()), self.process.err.text()


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A state folder with an Accord anchor for proxy.test."""
    path = tmp_path_factory.mktemp("accord") / "state"
    code, out, err = overt.run("accord", "init", "--state", path, "--name", "proxy.test")
    assert code == 0, err
    assert str(path / "accord-anchor.pem") in out
    return path


@pytest.fixture(scope="module")
def anchors(state):
    return state / "accord-anchor.pem"


@pytest.fixture(scope="module")
def server(world, starts_module):
    """An HTTPS server of TLS 1.2 and 1.3 for site.test."""
    context = servers.server_context(*world.files("site.test"), protocols=["http/1.1"])
    return starts_module(servers.Origin(context))


@pytest.fixture
def through(state, starts):
    """Starts the proxy: through("--wrong", "flip")."""
    def make(*options):
        return starts(AccordProxy("--state", state, *options))
    return make


@dataclasses.dataclass
class Got:
    code: int
    body: bytes
    said: str


@pytest.fixture
def get(world, anchors):
    """Runs `overt get` for https://HOST:PORT/ through a proxy, or directly when it is None."""
    def run(port, proxy=None, *options, host="site.test", path="/", trust=world.trust, env=None):
        command = [overt.binary(), "get", "--accord", anchors, *options]
        if trust:
            command += ["--trust", trust]
        if proxy:
            command += ["--proxy", f"127.0.0.1:{proxy.port}"]
        done = clients.run(*command, f"https://{host}:{port}{path}", env={**overt.SANITIZER_OPTIONS, **(env or {})})
        said = done.stderr.decode()
        assert not overt.SANITIZER.search(said), said
        return Got(done.returncode, done.stdout, said)
    return run


def refused(got, *, check=None, name=None):
    """The one line of a refusal, which has the number and name of the check."""
    assert (got.code, got.body) == (1, b""), got.said
    wanted = f"check {check} failed \\({name}\\): ." if check else "refused: ."
    assert re.fullmatch(rf"overt get: {wanted}.*\n", got.said), got.said


# What is proven

CHAINS = ["p256", "rsa2048", "rsa4096", "p384", "ed25519"]


@pytest.mark.parametrize("kind", CHAINS)
def test_openssl_server_proves(kind, world, starts, through, get):
    server = starts(servers.OpensslServer(*world.files("site.test", kind=kind), "-www"))
    got = get(server.port, through("--purpose", "malware scan"))
    assert got.code == 0 and b"s_server" in got.body, got.said
    assert re.search(r"server site\.test .* signed your nonce and the proxy", got.said)
    assert 'proxy proxy.test, as reader, for: "malware scan"' in got.said


@pytest.mark.parametrize("kind", ["p256", "rsa2048", "rsa4096"])
def test_a_server_that_retries_proves(kind, world, starts, through, get):
    server = starts(servers.OpensslServer(*world.files("site.test", kind=kind), "-www", "-groups", "P-521"))
    got = get(server.port, through(), "--explain")
    assert got.code == 0, got.said
    assert "after a HelloRetryRequest" in got.said and "secp521r1" in got.said


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_nginx_proves(kind, world, starts, through, get):
    server = starts(servers.Nginx(*world.files("site.test", kind=kind)))
    server.file("large", bytes(range(256)) * 8192)
    got = get(server.port, through(), path="/files/large")
    assert (got.code, got.body) == (0, bytes(range(256)) * 8192), got.said
    assert get(server.port, through("--introduce", "sealed")).code == 0


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_gnutls_server_proves(kind, world, starts, through, get):
    server = starts(servers.GnutlsServer(*world.files("site.test", kind=kind)))
    got = get(server.port, through())
    assert got.code == 0 and b"GnuTLS" in got.body, got.said


def test_gnutls_server_that_retries_proves(world, starts, through, get):
    server = starts(servers.GnutlsServer(*world.files("site.test"), priority="NORMAL:-GROUP-ALL:+GROUP-SECP521R1"))
    got = get(server.port, through(), "--explain")
    assert got.code == 0 and "after a HelloRetryRequest" in " ".join(got.said.split()), got.said


def test_apache_proves(world, starts, through, get):
    server = starts(servers.Apache(*world.files("site.test")))
    got = get(server.port, through())
    assert (got.code, got.body) == (0, b"apache says hello\n"), got.said


def test_the_story_tells_who_signed_what(server, through, get):
    got = get(server.port, through("--purpose", "malware scan"), "--explain")
    nonces = re.findall(r"nonce +([0-9a-f]{64})\n", got.said)
    assert got.code == 0 and len(set(nonces)) == 2, got.said
    for wanted in ("proxy.test", "role        reader", "malware scan", "ecdsa_secp256r1_sha256", "CN=site.test",
                   "all passed", "not proven"):
        assert wanted in got.said, wanted
    story = got.said.partition("\n\n")[2]
    assert story.startswith("you ") and max(map(len, story.splitlines())) <= 80


def test_a_purpose_cannot_paint_the_terminal(server, through, get):
    got = get(server.port, through("--purpose", "a\x1b[31mb\u202ec"), "--explain")
    assert got.code == 0 and "\x1b" not in got.said and "\u202e" not in got.said
    assert r"a\x1b[31mb\xe2\x80\xaec" in got.said


def test_json_stands_in_place_of_the_body(server, through, get):
    got = get(server.port, through("--role", "writer", "--introduce", "sealed"), "--json", "--role", "both", "-q")
    told = json.loads(got.body)
    assert (got.code, got.said) == (0, "")
    assert told["path"] == "proven" and told["server"]["name"] == "site.test" and told["server"]["sealed"]
    (proxy,) = told["proxies"]
    assert (proxy["name"], proxy["role"]) == ("proxy.test", "writer")
    assert proxy["next_leg"]["scheme"] == "ecdsa_secp256r1_sha256"
    assert told["response"]["status"] == 200 and told["response"]["octets"] > 0
    assert len(told["client_nonce"]) == 64 and told["client_nonce"] != proxy["nonce"]


def test_nonces_and_pins_are_new_each_time(server, state, starts, get):
    seen = set()
    for _ in range(2):
        proxy = starts(AccordProxy("--state", state))
        told = json.loads(get(server.port, proxy, "--json").body)
        seen |= {told["client_nonce"], told["proxies"][0]["nonce"], told["proxies"][0]["pin"]}
    assert len(seen) == 6


@pytest.mark.parametrize("count", [2, 4])
def test_each_of_several_proxies_is_named(count, server, through, get):
    proxy = through("--purpose", "last")
    for number in range(count - 1):
        proxy = through("--purpose", f"number {number}", "--next", proxy.port)
    told = json.loads(get(server.port, proxy, "--json").body)
    assert told["path"] == "proven", told
    wanted = [f"number {n}" for n in reversed(range(count - 1))] + ["last"]
    assert [p["purpose"] for p in told["proxies"]] == wanted
    assert len({p["pin"] for p in told["proxies"]}) == count


def test_a_fifth_proxy_is_one_too_many(server, through, get):
    proxy = through()
    for _ in range(4):
        proxy = through("--next", proxy.port)
    assert get(server.port, proxy).code == 1


def test_a_server_without_a_proxy_is_told_apart(server, get):
    got = get(server.port)
    assert got.code == 0 and "no proxy reads this" in got.said
    assert json.loads(get(server.port, None, "--json").body)["path"] == "direct"


def test_a_plain_tunnel_is_a_direct_connection(server, starts, get):
    got = get(server.port, starts(servers.Parent()))
    assert got.code == 0 and "no proxy reads this" in got.said


def test_a_server_of_tls_12_is_reached_where_accord_is_preferred_only(world, origin, through, get):
    old = origin(most=ssl.TLSVersion.TLSv1_2)
    proxy = through()
    assert get(old.port, proxy).code == 1
    got = get(old.port, proxy, "--accord-rule", "prefer")
    assert got.code == 0 and "no proxy reads this" in got.said, got.said


def test_an_address_is_a_name_too(world, starts, through, get):
    import ipaddress
    leaf = pki.leaf(world.intermediate, ipaddress.ip_address("127.0.0.1"))
    server = starts(servers.OpensslServer(*world.folder.install("address", leaf), "-www"))
    got = get(server.port, through(), "--explain", host="127.0.0.1")
    assert got.code == 0 and "server     127.0.0.1" in got.said, got.said


# What is refused, with the number of the check

@pytest.mark.parametrize("what, check, name", [
    ("replay", 3, "client-nonce"),
    ("lend", 3, "last-hop"),
    ("nonce", 3, "client-nonce"),
    ("flip", 5, "signature"),
    ("cut", 2, "proof-form"),
    ("protocol", 3, "protocol"),
])
def test_a_false_proof_is_refused(what, check, name, server, through, get):
    proxy = through("--wrong", what)
    if what == "replay":
        assert get(server.port, proxy).code == 0  # the first is its own
    refused(get(server.port, proxy), check=check, name=name)


def test_a_list_of_proxies_that_does_not_extend_the_one_before_is_refused(server, through, get):
    proxy = through("--next", through("--wrong", "hops").port)
    refused(get(server.port, proxy), check=3, name="hops")


def test_another_host_on_the_same_certificate_is_refused(world, origin, through, get):
    both = origin("site.test", "other.test")
    refused(get(both.port, through("--wrong", "host", "--name", "other.test")), check=3, name="name")


def test_a_server_for_another_name_is_refused(origin, through, get):
    refused(get(origin("other.test").port, through()), check=4, name="server-chain")


def test_a_server_below_another_root_is_refused(folder, origin, through, get):
    stranger = pki.Folder(folder).write("stranger.pem", pki.authority("Stranger").pem)
    refused(get(origin().port, through(), trust=stranger), check=4, name="server-chain")


def test_a_role_that_was_not_accepted_is_refused(server, through, get):
    proxy = through("--role", "writer", "--wrong", "role")
    refused(get(server.port, proxy), check=3, name="role")
    refused(get(server.port, proxy, "--role", "reader"), check=3, name="role")
    assert get(server.port, proxy, "--role", "writer").code == 0
    assert get(server.port, proxy, "--role", "both").code == 0


def test_only_proxies_that_are_named_count(server, through, get):
    proxy = through()
    refused(get(server.port, proxy, "--proxy-name", "other.test"), check=1, name="proxy-chain")
    refused(get(server.port, proxy, "--proxy-name", "00" * 32), check=1, name="proxy-chain")
    assert get(server.port, proxy, "--proxy-name", "other.test", "--proxy-name", "PROXY.test").code == 0
    pin = json.loads(get(server.port, proxy, "--json").body)["proxies"][0]["pin"]
    assert get(server.port, proxy, "--proxy-name", pin).code == 0


@pytest.fixture(scope="module")
def own_anchor():
    """An Accord anchor of which the tests have the key."""
    return pki.authority("Accord Anchor", usages=(ACCORD, pki.CLIENT_AUTH))


@pytest.mark.parametrize("knobs, name", [
    ({"starts": -8, "ends": -2}, "proxy-chain"),
    ({"starts": 1, "ends": 3}, "proxy-chain"),
    ({"starts": -1, "ends": 7}, "proxy-lifetime"),
    ({"usages": (pki.SERVER_AUTH,)}, "proxy-purpose"),
    ({"usages": ("2.5.29.37.0",)}, "proxy-purpose"),
    ({}, None),
])
def test_the_proxys_certificate_is_judged(knobs, name, folder, server, own_anchor, starts, get, world):
    leaf = pki.leaf(own_anchor, "proxy.test", **{"starts": -1, "ends": 5, "usages": (ACCORD,), **knobs})
    files = pki.Folder(folder)
    cert, key = files.install("leaf", leaf)
    proxy = starts(AccordProxy("--cert", cert, "--key", key))
    options = ["--accord", files.write("anchor.pem", own_anchor.pem)]
    got = get(server.port, proxy, *options)
    if name:
        refused(got, check=1, name=name)
    else:
        assert got.code == 0, got.said
        refused(get(server.port, proxy), check=1, name="proxy-chain")  # another anchor


def test_an_anchor_that_is_a_web_root_is_refused_at_the_start(folder, anchors, world, server, through, get):
    both = pki.Folder(folder).write("both.pem", world.trust.read_text() + anchors.read_text())
    got = get(server.port, through(), trust=both)
    assert got.code == 1 and re.match(r"overt get: check 1: the Accord anchor .* web root", got.said), got.said


@pytest.mark.skipif(not pathlib.Path("/etc/ca-certificates.conf").exists(), reason="no roots of the distribution")
def test_roots_added_on_this_machine_do_not_count(world, anchors, server, through, get):
    proxy = through()
    added = {"SSL_CERT_FILE": str(world.trust), "SSL_CERT_DIR": ""}
    refused(get(server.port, proxy, trust=None, env=added), check=4, name="server-chain")
    got = get(server.port, proxy, trust=None, env={"SSL_CERT_FILE": str(anchors)})
    assert got.code == 1 and got.said.startswith("overt get: check 1: "), got.said


def test_a_minted_leaf_is_accepted_only_under_prefer_and_shown(folder, world, server, starts, get):
    local = pki.authority("Local CA")
    files = pki.Folder(folder)
    cert, key = files.install("minted", pki.leaf(local, "site.test"))
    ca = {"SSL_CERT_FILE": str(files.write("local.pem", local.pem)), "SSL_CERT_DIR": ""}
    proxy = starts(AccordProxy("--cert", cert, "--key", key, "--wrong", "mint"))
    refused(get(server.port, proxy, env=ca))
    got = get(server.port, proxy, "--accord-rule", "prefer", "-q", env=ca)
    assert got.code == 0 and "warning: nothing was proven" in got.said, got.said
    got = get(server.port, proxy, "--accord-rule", "prefer")
    assert got.code == 1 and got.body == b"", got.said


def test_an_accord_certificate_without_a_proof_is_refused(server, through, get):
    proxy = through("--wrong", "no-proof")
    refused(get(server.port, proxy))
    refused(get(server.port, proxy, "--accord-rule", "prefer"))


def test_tls_12_on_leg_1_is_refused(server, through, get):
    proxy = through("--wrong", "tls12")
    for rule in ("require", "prefer"):
        got = get(server.port, proxy, "--accord-rule", rule)
        assert (got.code, got.body) == (1, b""), got.said


def test_nothing_reaches_the_server_before_all_checks_passed(origin, through, get):
    server = origin()
    refused(get(server.port, through("--wrong", "flip")), check=5, name="signature")
    server.wait_quiet()
    assert server.received() == b""


# A server that knows Accord

class AwareServer:
    """lab/accord_server.c: answers accept, refuse, demand or silent."""

    def __init__(self, files, *words):
        self.process = Process(BUILT / "tests" / "scenarios" / "lab" / "accord_server", *files, *words,
                               env=overt.SANITIZER_OPTIONS)
        self.port = int(self.process.out.wait(r"^listening (\d+)").group(1))

    def stop(self):
        self.process.stop()
        assert not overt.SANITIZER.search(self.process.err.text()), self.process.err.text()


def test_an_aware_server_accepts_in_its_own_words(world, starts, through, get):
    server = starts(AwareServer(world.files("site.test"), "accept", "readers are welcome"))
    got = get(server.port, through("--role", "writer"), "--explain", "--role", "both")
    assert (got.code, got.body) == (0, b"an aware server\n"), got.said
    assert "signed your nonce and the proxy, and accepts" in got.said
    assert 'accepts: "readers are welcome"' in got.said
    server.process.out.wait(r"^introduced hops=1 sealed=0 role=2")
    server.process.out.wait(r"^passed=1")
    told = json.loads(get(server.port, through(), "--json").body)["server"]
    assert (told["verdict"], told["statement"]) == ("accept", "readers are welcome") and len(told["nonce"]) == 64


def test_an_aware_server_sees_that_somebody_does_not_say_who(world, starts, through, get):
    server = starts(AwareServer(world.files("site.test"), "accept"))
    assert get(server.port, through("--introduce", "sealed")).code == 0
    server.process.out.wait(r"^introduced hops=0 sealed=1")
    server = starts(AwareServer(world.files("site.test"), "silent"))
    got = get(server.port, through(), "--explain")
    assert got.code == 0 and "verdict     none" in got.said


def test_a_refusal_ends_the_connection_whatever_the_proxy_does(world, starts, through, get):
    server = starts(AwareServer(world.files("site.test"), "refuse", "no readers here"))
    honest = through()
    got = get(server.port, honest)
    assert (got.code, got.body) == (1, b""), got.said
    honest.process.out.wait("failed: .*refuses this proxy")
    got = get(server.port, through("--wrong", "push"))
    refused(got, check=6, name="verdict-refused")
    assert "no readers here" in got.said
    server.process.out.wait(r"^passed=0")


def test_a_demand_that_nobody_meets_ends_the_connection(world, starts, through, get):
    server = starts(AwareServer(world.files("site.test"), "demand"))
    assert get(server.port, through()).code == 1
    server.process.out.wait(r"^passed=0")


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_an_approval_joins_all_three(kind, folder, world, anchors, starts, through, get):
    files = pki.Folder(folder)
    keys = [pki.new_key(kind), pki.new_key(kind)]
    private = [files.write(f"{n}.key", pki.certificate("key", key, extensions=[]).key_pem)
               for n, key in enumerate(keys)]
    enrolled = files.write("enrolled.der", pki.spki(keys[0]))
    server = starts(AwareServer(world.files("site.test"), "demand", "", anchors, enrolled))
    got = get(server.port, through(), "--approval-key", private[0])
    assert (got.code, got.body) == (0, b"an aware server\n"), got.said
    server.process.out.wait(r"^confirmed=1 by=proxy\.test")
    assert get(server.port, through(), "--approval-key", private[1]).code == 1
    server.process.out.wait(r"^confirmed=0 .*not enrolled")
    private[0].chmod(0o644)
    got = get(server.port, through(), "--approval-key", private[0])
    assert got.code == 1 and "chmod 600" in got.said


# HTTP

def answer(body):
    def handler(connection):
        connection.recv_until(b"\r\n\r\n")
        connection.send(body)
    return handler


@pytest.mark.parametrize("response, code, body", [
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\0b\r\n2;x=y\r\n\r\n\r\n0\r\nT: 1\r\n\r\n",
     0, b"a\0b\r\n"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", 0, b"abc"),
    (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 0, b"until the end"),
    (b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 0, b""),
    (b"HTTP/1.1 302 Found\r\nLocation: https://other.test/\r\nContent-Length: 0\r\n\r\n", 0, b""),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", 1, b"no"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc", 1, b"abc"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 1, b"abc"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 1, b""),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 1, b""),
    (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000 + b"\r\n\r\n", 1, b""),
    (b"HTTP/1.1 100 Go\r\n\r\n" * 20, 1, b""),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n", 1, b""),
    (b"no HTTP\r\n\r\n", 1, b""),
    (b"", 1, b""),
])
def test_responses_are_read_to_their_end_and_no_further(response, code, body, origin, get):
    got = get(origin(handler=answer(response)).port, None, "--max-size", "1MiB")
    assert (got.code, got.body) == (code, body), got.said
    if b"Location" in response:
        assert "points to https://other.test/ (status 302), which was not followed" in got.said


def test_a_body_over_the_limit_is_cut_off(origin, get):
    body = b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 300000
    got = get(origin(handler=answer(body)).port, None, "--max-size", "100KiB")
    assert got.code == 1 and len(got.body) <= 100 * 1024 and "--max-size" in got.said


def test_a_silent_server_is_waited_for_no_longer_than_said(origin, get):
    got = get(origin(handler=lambda c: c.recv_until(b"never")).port, None, "--timeout", "1s")
    assert got.code == 1 and "nothing came for 1 s" in got.said


def test_who_does_not_answer_the_hello_is_named(starts, get):
    port = starts(servers.Origin(None, lambda connection: connection.recv_until(b"never"))).port
    got = get(port, None, "--timeout", "1s")
    assert got.code == 1 and f"site.test:{port}: TLS handshake: nothing came for 1 s" in got.said, got.said


@pytest.mark.parametrize("head", [b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", b"\x15\x03\x01\0\x02\x02\x28", b""])
def test_a_proxy_that_opens_no_tunnel_is_named(head, starts, get):
    proxy = starts(servers.Origin(None, answer(head)))
    got = get(443, proxy)
    assert got.code == 1 and "the proxy 127.0.0.1" in got.said, got.said


def test_a_proxy_that_refuses_is_quoted(starts, get):
    words = b"no such name\r\nCheck it\x1b[31m.\r\n"
    head = b"HTTP/1.1 502 Bad\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n" % len(words)
    proxy = starts(servers.Origin(None, answer(head + words)))
    got = get(443, proxy)
    assert got.code == 1 and f"the proxy 127.0.0.1:{proxy.port}: it answers 502 Bad to CONNECT site.test:443" in got.said
    assert "no such name  Check it" in got.said and "\x1b" not in got.said, got.said


@pytest.mark.parametrize("words", [
    [], ["https://site.test/"], ["--accord", "ANCHORS"], ["--accord", "ANCHORS", "http://site.test/"],
    ["--accord", "ANCHORS", "https://u:p@site.test/"], ["--accord", "ANCHORS", "https://site.test:0/"],
    ["--accord", "ANCHORS", "https://site.test/a b"], ["--accord", "ANCHORS", "https:///"],
    ["--accord", "ANCHORS", "--role", "ruler", "https://site.test/"],
    ["--accord", "ANCHORS", "--proxy-name", "127.0.0.1", "https://site.test/"],
    ["--accord", "ANCHORS", "--proxy", "127.0.0.1", "https://site.test/"],
    ["--accord", "ANCHORS", "https://site.test/", "https://site.test/"],
])
def test_misuse_of_get_is_told(words, anchors):
    code, out, err = overt.run("get", *[str(anchors) if w == "ANCHORS" else w for w in words])
    assert (code, out) == (2, "") and re.fullmatch(r"overt get: .+\n", err), err


# Saved proofs

@pytest.fixture
def saved(folder, server, through, get):
    path = folder / "proof.pem"
    assert get(server.port, through("--purpose", "malware scan"), "--save-proof", path).code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    return path


def _verify(path, anchors, trust, *options):
    return overt.run("accord", "verify", "--accord", anchors, "--trust", trust, *options, path)


def test_a_saved_proof_is_checked_again_offline(saved, anchors, world):
    code, out, err = _verify(saved, anchors, world.trust)
    assert (code, err) == (0, ""), err
    for wanted in ("proxy.test", "malware scan", "site.test", "all passed", "not proven"):
        assert wanted in out, wanted
    assert max(map(len, out.replace(str(world.trust), "FILE").splitlines())) <= 80
    code, out, err = _verify(saved, anchors, world.trust, "--json")
    assert code == 0 and json.loads(out)["path"] == "proven"


def test_a_saved_proof_is_judged_by_whoever_reads_it(saved, anchors, world, folder, own_anchor):
    files = pki.Folder(folder)
    other = files.write("other.pem", own_anchor.pem)
    assert "check 1 failed (proxy-chain)" in _verify(saved, other, world.trust)[2]
    assert "check 4 failed (server-chain)" in _verify(saved, anchors, other)[2] or \
        "check 4" in _verify(saved, anchors, files.write("root.pem", pki.authority("Other Root").pem))[2]
    assert "check 1 failed" in _verify(saved, anchors, world.trust, "--proxy-name", "other.test")[2]


def test_a_proof_that_failed_can_be_kept_and_shown(folder, server, through, get, anchors, world):
    path = folder / "bad.pem"
    refused(get(server.port, through("--wrong", "flip"), "--save-proof", path), check=5, name="signature")
    code, out, err = _verify(path, anchors, world.trust)
    assert (code, out) == (1, "") and "check 5 failed (signature)" in err


def test_a_saved_proof_that_was_touched_is_refused(saved, anchors, world, folder):
    import base64
    text = saved.read_text()
    block = base64.b64decode("".join(re.search(r"PROOF-----\n(.*?)\n-----END", text, re.S).group(1).split()))
    purpose = b"malware scan"
    # What stands before is the file's word: time, leg 1, purpose.
    start = block.index(bytes([4, 1, len(purpose)]) + purpose) + 3 + len(purpose)
    for at in range(start, len(block), max(1, (len(block) - start) // 60)):
        changed = bytearray(block)
        changed[at] ^= 1
        touched = folder / "touched.pem"
        touched.write_text(pki.pem("OVERT ACCORD PROOF", bytes(changed)))
        code, _, err = _verify(touched, anchors, world.trust)
        assert code == 1 and re.match(r"overt accord verify: (check \d failed|.*cannot be read)", err), (at, err)


@pytest.mark.parametrize("content", [b"", b"nothing", pki.pem("OVERT ACCORD PROOF", b"").encode(),
                                     pki.pem("OVERT ACCORD PROOF", b"\x02").encode(),
                                     pki.pem("CERTIFICATE", b"\x30\0").encode()])
def test_a_file_without_a_proof_is_named(content, folder, anchors, world):
    path = folder / "none.pem"
    path.write_bytes(content)
    code, out, err = _verify(path, anchors, world.trust)
    assert (code, out) == (1, "") and "none.pem" in err


# The anchor

def test_an_anchor_is_made_once_and_shown(state):
    code, out, err = overt.run("accord", "show", "--state", state)
    assert code == 0 and re.search(r"^proxies +proxy\.test", out, re.M) and re.search(r"^pin +[0-9a-f]{64}$", out, re.M)
    code, _, err = overt.run("accord", "init", "--state", state, "--name", "proxy.test")
    assert code == 1 and "there is an Accord anchor already" in err
    assert (state / "accord-anchor.key").stat().st_mode & 0o777 == 0o600


def test_an_anchor_that_this_machine_trusts_for_servers_is_refused(state, anchors):
    code, out, err = overt.run("accord", "show", "--state", state, env={"SSL_CERT_FILE": str(anchors)})
    assert (code, out) == (1, "") and "trusted as a web root too" in err


def test_misuse_of_accord_is_told(folder, anchors):
    for words in ([], ["make"], ["show", "--json"], ["init", "file"], ["verify"], ["verify", "file"],
                  ["init", "--state", folder / "s", "--accord", anchors]):
        code, out, err = overt.run("accord", *words)
        assert (code, out) == (2, "") and err.startswith("overt accord"), (words, err)
    code, _, err = overt.run("accord", "init", "--state", folder / "s", "--name", "127.0.0.1")
    assert code == 1 and "host name" in err
    assert overt.run("accord", "show", "--state", folder / "none")[0] == 1


# libovert

def _library():
    path = BUILT / "src" / "libovert"
    if not (path / "libovert.so.0").exists():
        pytest.skip("libovert is not built")
    return path


def _compile(source, target):
    library = _library()
    sanitized = b"__asan_init" in (library / "libovert.so.0").read_bytes()
    command = ["cc", "-std=c17", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-I", TOP / "include",
               *(["-fsanitize=address,undefined"] if sanitized else []), source, "-L", library, "-lovert", "-lssl",
               "-lcrypto", "-lpthread", "-o", target]
    done = clients.run(*command, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return target


def _run(program, *words):
    done = clients.run(program, *words, env={**overt.SANITIZER_OPTIONS, "LD_LIBRARY_PATH": str(_library())})
    said = done.stderr.decode()
    assert not overt.SANITIZER.search(said), said
    return done.returncode, done.stdout.decode(), said


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return _compile(TOP / "examples" / "accord.c", tmp_path_factory.mktemp("example") / "accord")


def test_the_library_shows_its_own_names_only():
    done = clients.run(servers.needs_program("nm"), "-D", "--defined-only", _library() / "libovert.so.0")
    names = [line.split()[-1] for line in done.stdout.decode().splitlines()]
    ours = [n for n in names if not re.match(r"OVERT_\d+$|__(asan|ubsan|odr_asan)", n)]
    assert len(ours) > 10 and all(re.match(r"overt_\w+@@OVERT_0$", n) for n in ours), names
    header = "".join(p.read_text() for p in (TOP / "include" / "overt").glob("*.h"))
    assert {n.split("@")[0] for n in ours} == set(re.findall(r"\b(overt_\w+)\(", header)), "declared and not there"


def test_the_header_is_cxx_too(folder):
    cxx = servers.needs_program("c++")
    (folder / "t.cc").write_text("#include <overt/accord.h>\n#include <overt/decrypt.h>\nint main() {}\n")
    done = clients.run(cxx, "-std=c++11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", TOP / "include",
                       folder / "t.cc")
    assert done.returncode == 0, done.stderr.decode()


def test_the_example_is_short_and_says_who_reads(example, origin, through, anchors, world):
    text = re.sub(r"/\*.*?\*/", "", (TOP / "examples" / "accord.c").read_text(), flags=re.S)
    assert len([line for line in text.splitlines() if re.search(r"\w", line)]) <= 50
    server = origin(handler=answer(b"HTTP/1.0 200 OK\r\n\r\nhello"))
    words = (anchors, world.trust, "site.test", server.port)
    body = "HTTP/1.0 200 OK\r\n\r\nhello"
    assert _run(example, *words, through("--purpose", "malware scan").port) == (
        0, body, "site.test itself signed\nproxy.test reads this: malware scan\n")
    assert _run(example, *words) == (0, body, "")  # no proxy: nobody to name
    assert _run(example, "/nonexistent", *words[1:])[0] == 2


@pytest.mark.parametrize("what, check", [("flip", 5), ("lend", 3), ("no-proof", 0)])
def test_the_example_refuses_a_false_proof(what, check, example, server, through, anchors, world):
    code, out, err = _run(example, anchors, world.trust, "site.test", server.port, through("--wrong", what).port)
    assert (code, out) == (1, "") and err.startswith(f"check {check}: ") and len(err) > 20, err
