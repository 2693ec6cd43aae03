"""An upstream that does not verify is refused, and nothing of the client's request reaches it (CHECKLIST 1 to 12)."""

import pytest
from lab import cases, clients, overt, pki, servers, settings

pytestmark = overt.requires("proxy --trust --rules --jsonl --crl")


@pytest.fixture(scope="module")
def prepared(world):
    return [cases.prepare(world, case, cases.host_of(number)) for number, case in enumerate(cases.ALL)]


@pytest.fixture(scope="module")
def roots(world, prepared):
    return world.folder.write("all-roots.pem", world.root.pem + "".join(r.pem for p in prepared for r in p.made.roots))


@pytest.fixture(scope="module")
def plain(roots, starts_module):
    return starts_module(overt.Proxy(trust=roots))


@pytest.fixture(scope="module")
def with_crls(world, prepared, roots, starts_module):
    crls = world.folder.write("all-crls.pem", "".join(crl for p in prepared for crl in p.made.crls))
    return starts_module(overt.Proxy("--crl", crls, trust=roots))


def _request(proxy, one, server):
    return proxy.curl(f"https://{one.name}:{server.port}/secret", "-d", "the client's own words")


def _numbers(good):
    return [pytest.param(n, id=str(c)) for n, c in enumerate(cases.ALL) if c.good == good]


@pytest.mark.parametrize("number", _numbers(good=True))
def test_a_good_upstream_is_inspected(number, prepared, plain, with_crls, starts):
    one = prepared[number]
    proxy = with_crls if one.made.crls else plain
    server = starts(cases.serve(one))
    got = proxy.curl(f"https://{one.name}:{server.port}/")
    assert got.status == 200, f"{got.error}\n{proxy.words()[-2000:]}"
    assert got.cert.issuer == clients.certificates(proxy.ca.read_text())[0].subject


@pytest.mark.parametrize("number", _numbers(good=False))
def test_a_bad_upstream_gets_nothing_and_the_reason_is_said(number, prepared, plain, with_crls, starts):
    one = prepared[number]
    proxy = with_crls if one.made.crls else plain
    server = starts(cases.serve(one))
    mark = proxy.mark()
    got = _request(proxy, one, server)
    assert got.code != 0 and got.status == 0, f"the client was answered {got.status}: {got.body[:200]}"
    if isinstance(server, servers.Origin):
        server.wait_connection()
    assert cases.received(server) == b""
    proxy.wait_words(rf"(?<![\w-])({one.case.faults})(?![\w-])", mark)


def test_an_upstream_certificate_by_the_proxys_own_ca_is_refused(world, starts, roots):
    own = pki.authority("Own CA")
    chain, key = world.folder.install("own-ca", own)
    trust = world.folder.write("with-own.pem", own.pem + world.root.pem)
    server = starts(servers.Origin(servers.server_context(*world.folder.install("by-own", pki.leaf(own, "site.test")))))
    proxy = starts(overt.Proxy("--ca-cert", chain, "--ca-key", key, trust=trust))
    mark = proxy.mark()
    got = clients.curl(f"https://site.test:{server.port}/", proxy=proxy.port, ca=chain)
    assert got.code != 0 and got.status == 0
    server.wait_connection()
    server.wait_quiet()
    assert server.received() == b""
    proxy.wait_words("own-ca", mark)


def test_a_refused_upstream_is_looked_at_anew_each_time(prepared, plain, starts):
    bad = next(p for p in prepared if p.case.name == "self_signed")
    server = starts(cases.serve(bad))
    for _ in range(3):
        assert _request(plain, bad, server).status == 0
    server.wait_connection(3)
    assert cases.received(server) == b""


def test_the_system_trust_is_what_ssl_cert_file_says(world, nginx, starts):
    proxy = starts(overt.Proxy(env={"SSL_CERT_FILE": str(world.trust), "SSL_CERT_DIR": "/nonexistent"}))
    assert proxy.curl(f"https://site.test:{nginx.port}/").status == 200


def test_a_trust_option_leaves_the_system_out(world, nginx, starts):
    other = world.folder.write("other-root.pem", pki.authority("Other").pem)
    proxy = starts(overt.Proxy(trust=other, env={"SSL_CERT_FILE": str(world.trust)}))
    assert proxy.curl(f"https://site.test:{nginx.port}/").status == 0


@pytest.mark.parametrize("what", ["missing", "empty", "garbage"])
def test_a_trust_file_that_is_none_stops_the_start(what, world, folder):
    path = folder / "trust.pem"
    if what != "missing":
        path.write_bytes(b"" if what == "empty" else b"\x00\xffnot a certificate\n" * 10)
    code, _, err = overt.run("proxy", "--state", folder / "state", "--listen", "127.0.0.1:0", "--trust", path, "-q")
    assert code == 2 and "trust.pem" in err, err


def test_a_chain_of_64_kib_is_dealt_with(world, starts, plain):
    filler = [pki.authority(f"Filler {n}" + "x" * 900, kind="p256") for n in range(60)]
    identity = world.leaf("site.test", starts=-7)
    chain, key = world.folder.install("long", identity, [world.intermediate, *filler])
    server = starts(servers.Origin(servers.server_context(chain, key)))
    got = plain.curl(f"https://site.test:{server.port}/")
    assert got.status in (0, 200)
    if got.status == 0:
        assert server.received() == b""
    assert plain.process.running()


def test_a_certificate_with_thousands_of_names_is_dealt_with(world, starts, plain):
    names = [f"n{n}.case-000.test" for n in range(3000)] + ["site.test"]
    server = starts(servers.Origin(servers.server_context(*world.files(*names))))
    got = plain.curl(f"https://site.test:{server.port}/")
    assert got.status in (0, 200)
    assert "site.test" in got.names() if got.status else server.received() == b""


@pytest.mark.parametrize("fault", ["leaf_expired", "wrong_name", "unknown_root", "self_signed"])
def test_a_leaf_mirrors_the_fault_where_a_rule_says_so(fault, world, prepared, roots, starts):

    one = next(p for p in prepared if p.case.name == fault)
    server = starts(cases.serve(one))
    proxy = starts(overt.Proxy(trust=roots, rules=settings.rules(invalid="mirror")))
    assert _request(proxy, one, server).code == 60, "curl -k was not used: the fault must be visible"
    seen = clients.curl(f"https://{one.name}:{server.port}/", "-k", proxy=proxy.port)
    assert seen.status == 200 and seen.certificates


def test_every_family_of_the_checklist_has_a_case():
    assert {c.family for c in cases.ALL} == set(range(1, 12))
    assert sum(not c.good for c in cases.ALL) >= 50
