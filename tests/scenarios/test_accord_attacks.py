"""Attacks on Accord, each over real connections: the client refuses with the number and name of the check, and the server
gets no octet. The proxy of lab/accord_proxy.c commits them. What is only to be done to a proof in memory, octet by octet,
is in tests/unit/accord; attacks in which a real proxy or server has a part are in test_accord_proxy.py and
test_accord_aware.py too."""

import re
import ssl

import pytest
import test_accord_client as level1
from lab import overt, pki, servers

state, anchors, through, get, own_anchor = level1.state, level1.anchors, level1.through, level1.get, level1.own_anchor
AccordProxy, AwareServer, refused = level1.AccordProxy, level1.AwareServer, level1.refused
pytestmark = level1.pytestmark

# Handshake messages (RFC 8446, 4), and what stands in those of this server.
CLIENT_HELLO, SERVER_HELLO, ENCRYPTED_EXTENSIONS, CERTIFICATE, CERTIFICATE_VERIFY = 1, 2, 8, 11, 15
INTRODUCTION = "ffac006900670201"       # extension, its length, the body's, kind and version; the nonce follows
SUITE = "130200002e002b"                # TLS_AES_256_GCM_SHA384, no compression, extensions of 46 octets, the first
SHARE = "00330024001d0020"              # key_share of X25519


@pytest.fixture
def server(world, starts):
    return starts(servers.Origin(servers.server_context(*world.files("site.test"))))


def _nothing_arrived(server):
    server.wait_quiet()
    assert server.received() == b""


# Check 1

def test_too_many_certificates_of_the_proxy(server, through, get):
    refused(get(server.port, through("--wrong", "many")), check=1, name="proxy-certificate")
    _nothing_arrived(server)


def test_a_proxy_below_another_anchor(folder, server, starts, get):
    code, _, err = overt.run("accord", "init", "--state", folder / "other", "--name", "proxy.test")
    assert code == 0, err
    refused(get(server.port, starts(AccordProxy("--state", folder / "other"))), check=1, name="proxy-chain")
    _nothing_arrived(server)


def test_a_wormhole_to_a_proxy_elsewhere(folder, state, server, starts, get):
    """Octets are carried to another proxy of the same anchor, as they are: it is not the one that the rule names."""
    code, _, err = overt.run("accord", "show", "--state", state)
    assert code == 0, err
    elsewhere = starts(AccordProxy("--state", state))
    with servers.Middle(elsewhere.port, lambda direction, data: data) as middle:
        refused(get(server.port, middle, "--proxy-name", "near.test"), check=1, name="proxy-chain")
        assert get(server.port, middle, "--proxy-name", "proxy.test").code == 0  # who it is was said truly


def test_a_proxy_with_the_certificate_of_another_and_without_its_key(folder, own_anchor, server, starts, get):
    """Its own proof names that certificate, and everything in it is in order. The key is missing on leg 1."""
    files = pki.Folder(folder)
    cert, key = files.install("leaf", pki.leaf(own_anchor, "proxy.test", starts=-1, ends=5, usages=(level1.ACCORD,)))
    _, other = files.install("other", pki.leaf(own_anchor, "other.test"))
    anchor = ["--accord", files.write("anchor.pem", own_anchor.pem)]
    assert get(server.port, starts(AccordProxy("--cert", cert, "--key", key)), *anchor).code == 0
    before = server.received()
    got = get(server.port, starts(AccordProxy("--cert", cert, "--key", other, "--wrong", "pose")), *anchor)
    assert (got.code, got.body) == (1, b"") and "bad signature" in got.said, got.said
    server.wait_quiet()
    assert server.received() == before


# Check 2: messages that are not as they must be, seen before any signature is

def _change(kind, nth, find="", put=""):
    return ["--change", f"{kind}:{nth}" + (f":{find}:{put}" if put else "")]


@pytest.mark.parametrize("wrong, name", [
    (["--wrong", "cut"], "proof-form"),
    (["--wrong", "long"], "proof-size"),
    (_change(ENCRYPTED_EXTENSIONS, 0), "messages"),
    (_change(SERVER_HELLO, 0), "messages"),
    (_change(CERTIFICATE_VERIFY, 0), "messages"),
    (_change(CLIENT_HELLO, 0, "", "01"), None),  # no change at all: the proof is good
    (_change(SERVER_HELLO, 0, "0303", "0304"), "hello"),
    (["--wrong", "old"], "leg2-version"),
    (["--wrong", "psk"], "leg2-psk"),
    (_change(CERTIFICATE, 0, "0b", "19"), "certificate-form"),
    (_change(SERVER_HELLO, 0, SUITE, "c02f"), "suite"),
    (_change(SERVER_HELLO, 0, SHARE, "00330024001e"), "group"),
    (_change(CERTIFICATE_VERIFY, 0, "0403", "0203"), "scheme"),
    (_change(CERTIFICATE_VERIFY, 0, "0403", "0804"), "scheme-key"),
], ids=lambda value: value if isinstance(value, str) else " ".join(map(str, value or ["none"])))
def test_a_leg_2_that_is_not_of_the_form(wrong, name, server, through, get):
    got = get(server.port, through(*wrong))
    if not name:
        assert got.code == 0, got.said
        return
    refused(got, check=2, name=name)
    _nothing_arrived(server)


def test_a_leg_2_below_tls_13_is_no_proof(origin, through, get):
    """An honest proxy steps aside; one that shows that handshake all the same is refused."""
    old = origin(most=ssl.TLSVersion.TLSv1_2)
    assert get(old.port, through()).code == 1
    refused(get(old.port, through("--wrong", "push")), check=2, name="leg2-version")
    old.wait_quiet()
    assert old.received() == b""


# Check 3: what leg 2 was told

@pytest.mark.parametrize("wrong, name", [
    (["--wrong", "silent"], "introduction-missing"),
    (_change(CLIENT_HELLO, 0, INTRODUCTION, INTRODUCTION + "0000"), "client-nonce"),
    (_change(CLIENT_HELLO, 0, INTRODUCTION, "ffac00690067fe"), "introduction-missing"),
    (["--wrong", "nonce"], "client-nonce"),
    (["--wrong", "lend"], "last-hop"),
    (["--wrong", "approval-hash"], "approval-hash"),
    (["--wrong", "protocol"], "protocol"),
    (["--wrong", "role", "--role", "writer"], "role"),
    (["--wrong", "seal", "--introduce", "sealed"], "seal"),
], ids=lambda value: value if isinstance(value, str) else " ".join(map(str, value)))
def test_a_server_that_was_told_something_else(wrong, name, world, starts, through, get):
    server = starts(servers.Origin(servers.server_context(*world.files("site.test"), protocols=["http/1.1"])))
    refused(get(server.port, through(*wrong)), check=3, name=name)
    _nothing_arrived(server)


def test_an_introduction_in_one_of_two_hellos_only(world, starts, through, get):
    server = starts(servers.OpensslServer(*world.files("site.test"), "-www", "-groups", "P-521"))
    for nth in (0, 1):
        proxy = through(*_change(CLIENT_HELLO, nth, INTRODUCTION, INTRODUCTION + "0000"))
        refused(get(server.port, proxy), check=3, name="introduction-differs")
    assert get(server.port, through(*_change(CLIENT_HELLO, 2))).code == 0


def test_a_proof_of_an_earlier_connection(server, through, get):
    proxy = through("--wrong", "replay")
    assert get(server.port, proxy).code == 0
    for _ in range(2):
        refused(get(server.port, proxy), check=3, name="client-nonce")


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_lists_that_do_not_extend_each_other(depth, server, through, get):
    """The last proxy hides the hops before it, however many there are."""
    proxy = through("--wrong", "hops")
    for _ in range(depth):
        proxy = through("--next", proxy.port)
    refused(get(server.port, proxy), check=3, name="hops")
    _nothing_arrived(server)


def test_another_host_on_the_same_certificate(world, origin, through, get):
    both = origin("site.test", "other.test")
    refused(get(both.port, through("--wrong", "host", "--name", "other.test")), check=3, name="name")
    _nothing_arrived(both)


# Checks 4 and 5

def test_a_server_that_is_another(origin, through, get):
    other = origin("other.test")
    refused(get(other.port, through()), check=4, name="server-chain")
    _nothing_arrived(other)


@pytest.mark.parametrize("wrong", [
    ["--wrong", "flip"],                             # the signature itself
    _change(SERVER_HELLO, 0, "0303", "0303aaaa"),    # the server's random
    _change(CLIENT_HELLO, 0, "0303", "0303aaaa"),
], ids=" ".join)
def test_a_handshake_that_the_server_did_not_sign(wrong, server, through, get):
    refused(get(server.port, through(*wrong)), check=5, name="signature")
    _nothing_arrived(server)


# Check 6

VERDICT = "ffac00240301"  # extension, its length, kind and version; the decision follows


def test_a_refusal_that_the_proxy_passes_over(world, starts, through, get):
    server = starts(AwareServer(world.files("site.test"), "refuse", "no readers"))
    refused(get(server.port, through("--wrong", "push")), check=6, name="verdict-refused")
    server.process.out.wait(r"^passed=0")


@pytest.mark.parametrize("wrong, check, name", [
    (_change(ENCRYPTED_EXTENSIONS, 0, VERDICT, VERDICT + "07"), 6, "verdict-form"),
    (_change(ENCRYPTED_EXTENSIONS, 0, VERDICT, "ffac002403fe"), 5, "signature"),
    (_change(ENCRYPTED_EXTENSIONS, 0, "ffac", "ffab"), 5, "signature"),
], ids=["undecided", "of another version", "hidden"])
def test_an_acceptance_that_was_touched(wrong, check, name, world, starts, through, get):
    server = starts(AwareServer(world.files("site.test"), "accept"))
    refused(get(server.port, through(*wrong)), check=check, name=name)


def test_a_refusal_that_was_made_an_acceptance(world, starts, through, get):
    server = starts(AwareServer(world.files("site.test"), "refuse"))
    touched = _change(ENCRYPTED_EXTENSIONS, 0, VERDICT + "01", VERDICT + "00")
    refused(get(server.port, through(*touched)), check=5, name="signature")
    server.process.out.wait(r"^passed=0")


# Approvals

@pytest.fixture
def demanding(folder, world, anchors, starts):
    """A server that demands an approval, and the file of the key that may give it."""
    files = pki.Folder(folder)
    key = pki.new_key()
    private = files.write("enrolled.key", pki.certificate("key", key, extensions=[]).key_pem)
    enrolled = files.write("enrolled.der", pki.spki(key))
    return starts(AwareServer(world.files("site.test"), "demand", "", anchors, enrolled)), private


@pytest.mark.parametrize("wrong", ["forged-approval", "replayed-approval"])
def test_an_approval_that_is_not_of_this_handshake(wrong, demanding, through, get):
    server, key = demanding
    proxy = through("--wrong", wrong)
    if wrong == "replayed-approval":
        assert get(server.port, proxy, "--approval-key", key).body == b"an aware server\n"  # the first is its own
    got = get(server.port, proxy, "--approval-key", key)
    assert (got.code, got.body) == (1, b""), got.said
    server.process.out.wait(r"^confirmed=0 by=\S* fault=.*approval")


def test_an_approval_that_only_the_proxy_wants_is_not_given(server, through, get, folder):
    """The server has not demanded it: the client shows an empty certificate."""
    key = pki.Folder(folder).write("key.pem", pki.certificate("key", pki.new_key(), extensions=[]).key_pem)
    proxy = through("--wrong", "draw")
    got = get(server.port, proxy, "--approval-key", key)
    assert (got.code, got.body) == (1, b""), got.said
    proxy.process.out.wait("failed: leg 1: .*did not return a certificate")


# The offer

def _edited(proxy, edit):
    return servers.Middle(proxy.port, lambda direction, data: edit(data) if direction == "up" else data)


def test_an_offer_that_was_stripped_or_altered(server, through, get):
    """On the path: the handshake fails, or the certificate of a server is asked for. Never a downgrade."""
    def altered(data):
        at = data.find(b"\xff\xac")
        return data if at < 0 else data[:at + 13] + bytes([data[at + 13] ^ 1]) + data[at + 14:]

    for edit in (altered, lambda data: data.replace(b"\xff\xac", b"\xff\xab")):
        for rule in ("require", "prefer"):
            with _edited(through("--wrong", "aside"), edit) as middle:
                got = get(server.port, middle, "--accord-rule", rule)
            assert (got.code, got.body) == (1, b"") and re.match("overt get: .", got.said), got.said
    _nothing_arrived(server)
