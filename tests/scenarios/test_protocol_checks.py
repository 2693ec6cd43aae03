"""Versions, suites and hellos: neither leg is weaker than it was asked for, and odd hellos are taken (CHECKLIST 13 to
16 and 24)."""

import ssl

import pytest
from lab import clients, hello, overt, servers, settings, wire

pytestmark = overt.requires("proxy --trust --rules --jsonl")

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
PROTOCOL_VERSION, HANDSHAKE_FAILURE, INSUFFICIENT, ILLEGAL = 70, 40, 71, 47


@pytest.fixture(scope="module")
def site(world, starts_module):
    """A server for site.test that takes everything from SSL's last days to TLS 1.3."""
    chain, key = world.files("site.test", kind="rsa2048")
    return starts_module(servers.Origin(servers.server_context(chain, key, least=ssl.TLSVersion.TLSv1)))


def _answer_to(proxy, port, raw, name="site.test"):
    """What the proxy says to a hello sent through a tunnel."""
    with wire.open_tunnel(proxy.port, name, port) as sock:
        sock.sendall(raw)
        return hello.answer(_until_record(sock))


def _until_record(sock):
    raw = b""
    while not wire.records(raw):
        try:
            part = sock.recv(65536)
        except ConnectionResetError:
            break
        if not part:
            break
        raw += part
    return raw


# 13: versions

@pytest.mark.parametrize("version", [0x0300, 0x0301, 0x0302], ids=["ssl3", "tls1.0", "tls1.1"])
def test_an_old_client_is_refused(version, shared, site):
    raw = hello.make("site.test" if version > 0x0300 else None, legacy=version, versions=(), suites=(0xC013, 0x002F),
                     record_version=0x0300 if version == 0x0300 else 0x0301, extensions=version > 0x0300)
    before = site.received()
    said = _answer_to(shared, site.port, raw)
    assert said in (("alert", PROTOCOL_VERSION), ("alert", HANDSHAKE_FAILURE), "nothing"), said
    assert site.received() == before


@pytest.mark.parametrize("version", [0x0301, 0x0302], ids=["tls1.0", "tls1.1"])
def test_an_old_version_in_supported_versions_is_refused(version, shared, site):
    said = _answer_to(shared, site.port, hello.make(legacy=0x0303, versions=(version,), suites=(0xC013,), shares=[]))
    assert said in (("alert", PROTOCOL_VERSION), ("alert", HANDSHAKE_FAILURE)), said


def test_an_ssl_2_hello_is_refused(shared, site):
    with wire.open_tunnel(shared.port, "site.test", site.port) as sock:
        sock.sendall(bytes.fromhex("802e010002001500000010010080020080030080040080060040070000c0") + b"\x11" * 18)
        sock.shutdown(1)
        raw = _until_record(sock)
        assert hello.answer(raw) != "server hello" and raw[:1] != b"\x80"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["tls1.0", "tls1.1"])
def test_an_old_server_is_refused(version, shared, world, starts):
    chain, key = world.files("site.test", kind="rsa2048")
    server = starts(servers.Origin(servers.server_context(chain, key, least=version, most=version)))
    mark = shared.mark()
    assert shared.curl(f"https://site.test:{server.port}/").status == 0
    server.wait_connection()
    server.wait_quiet()
    assert server.received() == b""
    shared.wait_words("version|protocol", mark)


@pytest.mark.parametrize("most", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_the_client_sees_the_servers_version(most, shared, origin):
    server = origin("site.test", most=most)
    got = shared.get(server.port, "site.test")
    assert got.status == 200 and got.extra["version"] == most.name.replace("_", "."), got.error


def test_a_tls_1_3_client_is_not_served_by_a_tls_1_2_server(shared, origin):
    server = origin("site.test", most=TLS12)
    got = shared.get(server.port, "site.test", ctx=clients.context(shared.ca, least=TLS13))
    assert got.status == 0 and server.received() == b""


def test_a_tls_1_2_client_makes_the_upstream_leg_tls_1_2(shared, origin):
    server = origin("site.test")
    got = shared.get(server.port, "site.test", ctx=clients.context(shared.ca, most=TLS12))
    assert got.status == 200
    assert 0x0304 not in server.hello().versions


# 14: suites and groups

@pytest.mark.parametrize("weakness", servers.WEAK)
def test_a_server_that_can_only_be_weak_is_refused(weakness, shared, world, starts):
    chain, key = world.files("site.test", kind="rsa2048")
    server = starts(servers.Origin(servers.server_context(chain, key, most=TLS12, **servers.WEAK[weakness])))
    ctx = clients.context(shared.ca, ciphers="ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    assert shared.get(server.port, "site.test", ctx=ctx).status == 0
    server.wait_connection()
    server.wait_quiet()
    assert server.received() == b""


@pytest.mark.parametrize("bits", [1024, 2048])
def test_dhe_with_a_group_of_the_servers_own_is_refused(bits, shared, world, starts):
    chain, key = world.files("site.test", kind="rsa2048")
    parameters = world.folder.write(f"dh{bits}.pem", servers.custom_group(bits))
    context = servers.server_context(chain, key, most=TLS12, ciphers="DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0")
    context.load_dh_params(parameters)
    server = starts(servers.Origin(context))
    ctx = clients.context(shared.ca, ciphers="DHE-RSA-AES128-GCM-SHA256:ECDHE+AESGCM:@SECLEVEL=0")
    assert shared.get(server.port, "site.test", ctx=ctx).status == 0
    server.wait_quiet()
    assert server.received() == b""


@pytest.mark.parametrize("priority", servers.WEAK_GNUTLS)
def test_a_weak_gnutls_server_is_refused(priority, shared, world, starts):
    server = starts(servers.GnutlsServer(*world.files("gnutls.test", kind="rsa2048"),
                                         priority=servers.WEAK_GNUTLS[priority]))
    assert shared.curl(f"https://gnutls.test:{server.port}/").status == 0


def test_a_gnutls_server_over_tls_1_2_is_otherwise_taken(shared, world, starts):
    server = starts(servers.GnutlsServer(*world.files("gnutls.test", kind="rsa2048"),
                                         priority="NORMAL:-VERS-ALL:+VERS-TLS1.2"))
    assert shared.curl(f"https://gnutls.test:{server.port}/", "--http1.0").status == 200


@pytest.mark.parametrize("suites", [(0x002F, 0x0035), (0x009C, 0x009D), (0x0005,), (0x000A, 0xC012), (0x0034, 0xC018),
                                    (0x003B, 0xC006), (0xC013, 0xC014)],
                         ids=["rsa-cbc", "rsa-gcm", "rc4", "3des", "anonymous", "null", "cbc"])
def test_a_client_that_offers_only_weak_suites_is_refused(suites, shared, site):
    said = _answer_to(shared, site.port, hello.make(versions=(), suites=suites, shares=[]))
    assert said in (("alert", HANDSHAKE_FAILURE), ("alert", INSUFFICIENT), ("alert", PROTOCOL_VERSION)), said


def test_a_tls_1_2_client_without_extended_master_secret_is_refused(shared, site):
    said = _answer_to(shared, site.port, hello.make(versions=(), shares=[], ems=False))
    assert said in (("alert", HANDSHAKE_FAILURE), ("alert", INSUFFICIENT)), said


def test_a_rule_lets_a_host_be_without_extended_master_secret(proxy, origin):
    server = origin("site.test", most=TLS12, no_ems=True)
    rules = settings.rules(settings.rule("inspect", {"allow": ["loopback", "no-ems"]}, name=["site.test"]))
    lenient = proxy(rules=rules)
    assert lenient.curl(f"https://site.test:{server.port}/").status == 200
    assert lenient.curl(f"https://other.test:{server.port}/").status == 0


def test_a_downgrade_in_the_middle_of_the_upstream_leg_is_noticed(shared, origin):
    """The relay hides supported_versions from the server, which then answers TLS 1.2 with the sentinel of RFC 8446,
    4.1.3."""
    server = origin("site.test")

    def hide(way, data):
        return data.replace(b"\x00\x2b\x00\x05\x04\x03\x04\x03\x03", b"\x7a\x7a\x00\x05\x04\x03\x04\x03\x03") \
            .replace(b"\x00\x2b\x00\x03\x02\x03\x04", b"\x7a\x7a\x00\x03\x02\x03\x04") if way == "up" else data

    with servers.Middle(server.port, hide) as middle:
        assert shared.get(middle.port, "site.test").status == 0
        middle.wait_quiet()
    assert server.received() == b""
    assert 0x0304 not in server.hello().versions, "the relay did not find the extension to hide"


def test_a_downgrade_in_the_middle_of_the_clients_leg_is_noticed(shared, origin):
    server = origin("site.test")
    hidden = []

    def hide(way, data):
        for old in (b"\x00\x2b\x00\x05\x04\x03\x04\x03\x03", b"\x00\x2b\x00\x03\x02\x03\x04"):
            if way == "up" and old in data:
                hidden.append(old)
                data = data.replace(old, b"\x7a\x7a" + old[2:])
        return data

    with servers.Middle(shared.port, hide) as middle:
        got = clients.python_get(server.port, "site.test", proxy=middle.port, ca=shared.ca)
        assert got.status == 0 and hidden, got
    assert server.received() == b""


# 15 and 24: the upstream hello

def test_the_upstream_hello_offers_nothing_weak(shared, origin):
    server = origin("site.test")
    shared.get(server.port, "site.test")
    sent = server.hello()
    assert sent.name == "site.test" and sent.versions[0] == 0x0304
    strong = {0x1301, 0x1302, 0x1303, 0x1304, 0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9, 0xCCAA, 0x009E, 0x009F,
              0xC0AC, 0xC0AD, 0xC0AE, 0xC0AF, 0xC09E, 0xC09F, 0x00FF}
    assert set(sent.suites) <= strong, [hex(s) for s in set(sent.suites) - strong]
    assert hello.EMS in sent.extensions
    assert not {0x0201, 0x0203, 0x0202, 0x0101, 0x0103} & set(sent.signatures), sent.signatures


def test_the_upstream_hello_offers_no_more_than_the_client(shared, origin):
    server = origin("site.test")
    ctx = clients.context(shared.ca, ciphers="ECDHE-ECDSA-AES256-GCM-SHA384")
    ctx.set_ecdh_curve("secp384r1")
    with shared.tls(server.port, "site.test", ctx=ctx):
        sent = server.hello()
    assert set(sent.suites) & set(hello.SUITES_12) <= {0xC02C}, sent.suites
    assert sent.groups and set(sent.groups) <= {0x0018}, sent.groups


GREASED = {"extra": [(0x4A4A, b""), (0x5A5A, b"\x00"), (0xABCD, b"unknown"), (0xFE0D, b"\x00" + b"\x55" * 180)],
           "suites": (0x1A1A, 0x1301, 0xC02B, 0x9999), "groups": (0x2A2A, 0x001D, 0x0017),
           "versions": (0x7A7A, 0x0304, 0x0303), "protocols": ("\x0a\x0a", "http/1.1")}


def test_grease_and_unknown_extensions_are_not_fatal_and_not_copied(shared, origin):
    server = origin("site.test")
    share = (0x2A2A, b"\x00")
    raw = hello.make("site.test", **{**GREASED, "shares": [share, (0x001D, hello.x25519_share())]})
    assert _answer_to(shared, server.port, raw) == "server hello"
    sent = server.hello()
    assert not {0x4A4A, 0x5A5A, 0xABCD} & set(sent.extensions)
    assert not {0x1A1A, 0x9999} & set(sent.suites)
    assert not {0x2A2A} & set(sent.groups) and 0x7A7A not in sent.versions


@pytest.mark.parametrize("versions", [(0x0305, 0x0304), (0x7F1C, 0x0304), (0x0304, 0x0303, 0x0302, 0x0301)])
def test_unknown_versions_are_passed_over(versions, shared, origin):
    server = origin("site.test")
    assert _answer_to(shared, server.port, hello.make(versions=versions)) == "server hello"
    assert set(server.hello().versions) <= {0x0304, 0x0303}


# Hellos in pieces

PIECES = {
    "one octet per segment": wire.each_octet,
    "two records": lambda d: [wire.refragment(d, 100)],
    "two records in two segments": lambda d: _halves(wire.refragment(d, 60), 65),
    "split within the record header": lambda d: _halves(d, 3),
    "split within the handshake header": lambda d: [wire.refragment(d, 2)],
    "a record per 20 octets": lambda d: [wire.refragment(d, *[20] * 40)],
}


def _halves(data, at):
    return [data[:at], data[at:]]


@pytest.mark.parametrize("most", [TLS12, TLS13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("shape", PIECES)
def test_a_hello_in_pieces_is_taken(shape, most, shared, nginx):
    got = shared.get(nginx.port, "site.test", ctx=clients.context(shared.ca, most=most), first_flight=PIECES[shape])
    assert got.status == 200, got.error


@pytest.mark.parametrize("size", [1500, 4000, 16000, 16380, 20000, 40000])
def test_a_big_hello_is_taken(size, shared, origin):
    server = origin("site.test", protocols=["http/1.1"])
    filler = ["http/1.1", *(f"{n:0200}" for n in range(size // 201))]
    got = shared.get(server.port, "site.test", ctx=clients.context(shared.ca, protocols=filler))
    assert got.status == 200 and got.extra["protocol"] == "http/1.1", got.error


def test_a_hello_over_64_kib_is_refused(shared, site):
    with wire.open_tunnel(shared.port, "site.test", site.port) as sock:
        message = b"\x01" + (70000).to_bytes(3, "big") + b"\x03\x03" + b"\x00" * 69998
        raw = b"".join(wire.record(22, message[i:i + 16384]) for i in range(0, len(message), 16384))
        try:
            sock.sendall(raw)
        except (ConnectionResetError, BrokenPipeError):
            return
        assert hello.answer(_until_record(sock)) != "server hello"


def test_a_client_whose_first_share_the_server_does_not_take_is_retried(shared, world, starts):
    server = starts(servers.OpensslServer(*world.files("site.test"), "-groups", "P-384", "-www"))
    ctx = clients.context(shared.ca)
    got = shared.get(server.port, "site.test", ctx=ctx)
    assert got.status == 200, got.error


# 16: damage

@pytest.mark.parametrize("most", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_a_damaged_upstream_handshake_ends_with_nothing_sent(most, shared, origin):
    server = origin("site.test", most=most)

    def damage(way, data):
        return data if way == "up" else data[:-9] + bytes([data[-9] ^ 0x40]) + data[-8:]

    with servers.Middle(server.port, damage) as middle:
        assert shared.get(middle.port, "site.test").status == 0
        middle.wait_quiet()
    assert server.received() == b""


def test_a_damaged_server_key_exchange_is_refused(shared, origin):
    server = origin("site.test", most=TLS12)
    damaged = []

    def damage(way, data):
        at = data.find(b"\x03\x00\x1d\x20") if way == "down" else -1  # named_curve, x25519, 32 octets
        if at < 0:
            return data
        damaged.append(at)
        return data[:at + 10] + bytes([data[at + 10] ^ 1]) + data[at + 11:]

    with servers.Middle(server.port, damage) as middle:
        assert shared.get(middle.port, "site.test").status == 0
        middle.wait_quiet()
    assert damaged and server.received() == b""


@pytest.mark.parametrize("most", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_a_damaged_client_handshake_gets_an_alert(most, shared, origin):
    server = origin("site.test")
    flights = []

    def damage(way, data):
        if way != "up" or data.startswith(b"CONNECT"):
            return data
        flights.append(len(data))
        return data if len(flights) == 1 else data[:-1] + bytes([data[-1] ^ 1])

    with servers.Middle(shared.port, damage) as middle:
        got = clients.python_get(server.port, "site.test", proxy=middle.port,
                                 ctx=clients.context(shared.ca, most=most))
        assert got.status == 0 and len(flights) > 1
    assert server.received() == b""


def test_a_client_may_not_renegotiate(shared, nginx):
    got = clients.s_client(nginx.port, "site.test", "-tls1_2", proxy=shared.port, ca=shared.ca, say=b"R\n",
                           until_end=False)
    assert "RENEGOTIATING" not in got.error or "renegotiation" in got.error.lower()
    assert shared.curl(f"https://site.test:{nginx.port}/").status == 200
