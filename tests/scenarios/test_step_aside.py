"""Stepping aside: the client's own TLS session reaches the server byte for byte, with all that only it can carry."""

import re
import ssl

import pytest
from lab import clients, events, overt, pki, servers, settings, wire
from lab.proc import Process, eventually

pytestmark = overt.requires("proxy --trust --rules --jsonl")

UNSEEN = settings.rules(settings.rule("bypass", settings.BYPASS_UNSEEN, name=["site.test", "client-cert.test"]))
VERIFIED = settings.rules(settings.rule("bypass", name=["site.test", "client-cert.test"]))
BY_PORT = settings.rules(settings.rule("bypass", server=["127.0.0.0/8"]))


@pytest.fixture(scope="module", params=[UNSEEN, VERIFIED, BY_PORT], ids=["unseen", "verified", "by-address"])
def aside(request, world, starts_module):
    return starts_module(overt.Proxy(trust=world.trust, rules=request.param))


@pytest.fixture(scope="module")
def unseen(world, starts_module):
    return starts_module(overt.Proxy(trust=world.trust, rules=UNSEEN))


def test_the_client_sees_the_real_certificate(aside, nginx, world):
    direct = clients.curl(f"https://site.test:{nginx.port}/", ca=world.trust)
    got = aside.curl(f"https://site.test:{nginx.port}/", ca=world.trust)
    assert got.status == 200, got.error
    assert got.certificates == direct.certificates


def test_h2_passes(aside, world, starts):
    server = starts(servers.Nginx(*world.files("site.test"), http2=True))
    got = aside.curl(f"https://site.test:{server.port}/", "--http2", ca=world.trust)
    assert (got.status, got.version) == (200, "2"), got.error


def test_the_verdict_and_its_rule_are_said(aside, nginx, world):
    mark = aside.mark()
    aside.curl(f"https://site.test:{nginx.port}/", ca=world.trust)
    aside.wait_event(lambda e: e in aside.events()[mark[0]:] and events.is_verdict("bypass")(e), "a verdict of bypass")


def test_nothing_of_the_plaintext_comes_out(aside, origin, world):
    server = origin("site.test")
    assert aside.get(server.port, "site.test", "/very-secret-path", ca=world.trust).status == 200
    server.wait_quiet()
    aside.wait_event(events.is_close(), "the flow's end")
    assert "very-secret-path" not in aside.jsonl.read_text() + aside.log()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_client_certificate_reaches_the_server(version, aside, world, origin):
    most = ssl.TLSVersion.TLSv1_3 if version == "1.3" else ssl.TLSVersion.TLSv1_2
    chain, key = world.files("client", usages=(pki.CLIENT_AUTH,), subject="the client itself")
    server = origin("client-cert.test", client_trust=world.trust, most=most)
    ctx = clients.context(world.trust, chain=chain, key=key)
    got = aside.get(server.port, "client-cert.test", ctx=ctx)
    assert got.status == 200, got.error
    seen = [c for c in server.connections if c.tls and c.received]
    assert dict(x[0] for x in seen[0].peer["subject"])["commonName"] == "the client itself"


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_session_is_resumed_with_the_server(most, aside, nginx, world):
    ctx = clients.context(world.trust, most=most)
    with aside.tls(nginx.port, "site.test", ctx=ctx) as first:
        first.send(b"GET /who HTTP/1.1\r\nHost: site.test\r\n\r\n")
        first.recv_until(b"reused=.")
        session = first.object.session
    with aside.tls(nginx.port, "site.test", ctx=ctx, session=session) as again:
        assert again.object.session_reused
        again.send(b"GET /who HTTP/1.1\r\nHost: site.test\r\n\r\n")
        again.recv_until(b"reused=r")


def test_a_session_made_without_the_proxy_is_resumed_through_it(unseen, nginx, world):
    ctx = clients.context(world.trust)
    with clients.python_tls(nginx.port, "site.test", ctx=ctx) as direct:
        direct.send(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n")
        direct.recv_until(b"HTTP/1.1\n")
        session = direct.object.session
    with unseen.tls(nginx.port, "site.test", ctx=ctx, session=session) as through:
        assert through.object.session_reused


def test_the_exporter_is_equal_at_both_ends(aside, world, starts):
    export = ["-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"]
    server = starts(servers.OpensslServer(*world.files("site.test"), *export))
    got = clients.s_client(server.port, "site.test", *export, proxy=aside.port, ca=world.trust)
    ours = re.search(r"Keying material: ([0-9A-F]{64})", got.error)
    assert ours, got.error
    server.process.out.wait(rf"Keying material: {ours.group(1)}")


def test_tls_unique_is_equal_at_both_ends(aside, world, origin):
    bindings = []
    server = origin("site.test", most=ssl.TLSVersion.TLSv1_2, handler=lambda c: (
        c.recv(1) and (bindings.append(c.tls.object.get_channel_binding("tls-unique")), c.send(b"done"))))
    with aside.tls(server.port, "site.test", ca=world.trust) as tls:
        tls.send(b"x")
        assert tls.recv() == b"done"
        assert bindings == [tls.object.get_channel_binding("tls-unique")]


def test_0_rtt_data_reaches_the_server(unseen, world, starts, folder):
    server = starts(servers.OpensslServer(*world.files("site.test"), "-early_data", "-tls1_3", "-no_anti_replay"))
    session, early = folder / "session.pem", folder / "early"
    early.write_bytes(b"sent before the handshake\n")
    base = ["openssl", "s_client", "-proxy", f"127.0.0.1:{unseen.port}", "-connect", f"site.test:{server.port}",
            "-servername", "site.test", "-CAfile", world.trust, "-tls1_3"]
    with Process(*base, "-sess_out", session, stdin=-1, env=clients.environment()) as first:
        eventually(lambda: session.exists() and session.stat().st_size, "a session ticket came")
        first.write(b"Q\n")
        first.wait()
    got = clients.run(*base, "-sess_in", session, "-early_data", early)
    text = got.stdout.decode()
    assert "Early data was accepted" in text, text
    server.process.out.wait("sent before the handshake")


def test_a_hello_in_pieces_arrives_whole(unseen, nginx, world):
    for shape in (wire.each_octet, lambda d: [wire.refragment(d, 100)]):
        got = unseen.get(nginx.port, "site.test", ca=world.trust, first_flight=shape)
        assert got.status == 200, got.error


def test_a_name_that_only_claims_to_be_bypassed_is_not(proxy, world, starts):
    """The rule bypasses site.test without `unverified`, and the server cannot show a certificate for it."""
    server = starts(servers.Origin(servers.server_context(*world.files("other.test"))))
    checked = proxy(rules=VERIFIED)
    got = checked.curl(f"https://site.test:{server.port}/", "-k")
    assert got.status == 0, "an unverified server was bypassed by its name"
    server.wait_quiet()
    assert server.received() == b""


def test_a_server_that_demands_a_client_certificate_never_hangs(shared, origin, world):
    server = origin("client-cert.test", client_trust=world.trust)
    chain, key = world.files("client", usages=(pki.CLIENT_AUTH,))
    got = shared.get(server.port, "client-cert.test", ctx=clients.context(world.trust, chain=chain, key=key))
    direct = clients.python_get(server.port, "client-cert.test", ctx=clients.context(world.trust, chain=chain, key=key))
    assert direct.status == 200
    assert got.status in (0, 200)
    if got.status == 200:
        assert got.certificates == direct.certificates, "a client certificate was accepted through a split"
    shared.wait_words("client.?certificate")


def test_a_rule_names_a_client_certificate_to_show_upstream(proxy, origin, world):
    chain, key = world.files("client", usages=(pki.CLIENT_AUTH,), subject="by rule")
    server = origin("client-cert.test", client_trust=world.trust)
    shown = {"client-cert": {"cert": str(chain), "key": str(key)}, "allow": ["loopback"]}
    one = proxy(rules=settings.rules(settings.rule("inspect", shown, name=["client-cert.test"])))
    got = one.get(server.port, "client-cert.test")
    assert got.status == 200, got.error
    seen = [c for c in server.connections if c.received]
    assert dict(x[0] for x in seen[0].peer["subject"])["commonName"] == "by rule"


@overt.requires("proxy --config")
def test_a_configured_client_certificate_is_shown_upstream(proxy, origin, world):
    chain, key = world.files("client", usages=(pki.CLIENT_AUTH,), subject="configured")
    server = origin("client-cert.test", client_trust=world.trust)
    one = settings.configuration(client_certs=[{"name": "client-cert.test", "cert": str(chain), "key": str(key)}])
    got = proxy(config=one).get(server.port, "client-cert.test")
    assert got.status == 200, got.error
    seen = [c for c in server.connections if c.received]
    assert dict(x[0] for x in seen[0].peer["subject"])["commonName"] == "configured"


# A server that asks for a client certificate and can do without: nothing in the handshake says that it can.

@pytest.fixture(scope="module")
def asking(world, starts_module):
    """nginx that takes a client certificate where there is one; /who names it."""
    return starts_module(servers.Nginx(*world.files("client-cert.test"), more=(
        f"ssl_verify_client optional; ssl_client_certificate {world.trust};")))


def _who(one, server, *options, **knobs):
    return one.curl(f"https://client-cert.test:{server.port}/who", *options, **knobs)


def _shown_by(answer):
    return re.findall(r"CN=(.*?) reused=", answer.body.decode())


@pytest.mark.parametrize("most", ["1.2", "1.3"])
def test_an_optional_request_for_a_client_certificate_is_the_clients_to_answer(most, shared, asking, world):
    """Whether the server can do without cannot be known: the client, who may have one, is asked."""
    chain, key = world.files("client", usages=(pki.CLIENT_AUTH,), subject="of the client")
    mark = shared.mark()
    got = _who(shared, asking, "--tls-max", most, "--cert", str(chain), "--key", str(key), ca=world.trust)
    assert got.status == 200 and _shown_by(got) == ["of the client"], got
    eventually(lambda: any(events.is_verdict("bypass")(e) for e in shared.events()[mark[0]:]), "the verdict")


def _verdicts(one, count):
    """All there are, once that many flows are over."""
    eventually(lambda: len([e for e in one.events() if events.is_close()(e)]) >= count, f"the end of {count} flows")
    return [e for e in one.events() if events.kind(e) == "verdict"]


@pytest.mark.parametrize("most", ["1.2", "1.3"])
def test_a_rule_that_names_the_request_and_inspects_goes_on_without_a_certificate(most, proxy, asking):
    one = proxy(rules=settings.rules(settings.rule("inspect", name=["client-cert.test"], client_certificate="requested")))
    for _ in range(3):  # later ones resume the session
        got = _who(one, asking, "--tls-max", most)
        assert got.status == 200 and _shown_by(got) == [], got
    found = _verdicts(one, 3)
    assert [e["action"] for e in found] == ["inspect"] * 3 and all("rules.yaml" in e["rule"] for e in found)


def test_a_rule_that_inspects_and_does_not_name_the_request_steps_aside(proxy, asking, world):
    one = proxy(rules=settings.rules(settings.rule("inspect", name=["client-cert.test"])))
    assert _who(one, asking, ca=world.trust).status == 200
    one.wait_event(events.is_verdict("bypass"), "the verdict")


def test_a_server_that_needs_the_certificate_after_all_ends_what_a_rule_made_go_on(proxy, world, origin):
    server = origin("client-cert.test", client_trust=world.trust)
    one = proxy(rules=settings.rules(settings.rule("inspect", client_certificate="requested")))
    got = one.get(server.port, "client-cert.test")
    assert got.status == 0
    one.wait_event(events.is_close(), "the flow's end")
    server.wait_quiet()


@pytest.mark.parametrize("most", ["1.2", "1.3"])
def test_a_rule_on_the_request_decides_for_resumed_sessions_too(most, proxy, asking, world, folder):
    """A resumed handshake does not ask again; what the first one showed still counts."""
    chain, key = world.files("client", usages=(pki.CLIENT_AUTH,), subject="by rule")
    shown = {"client-cert": {"cert": str(chain), "key": str(key)}}
    one = proxy(rules=settings.rules(settings.rule("inspect", shown, name=["client-cert.test"],
                                                   client_certificate="requested"), default="bypass"))
    for _ in range(3):
        got = _who(one, asking, "--tls-max", most)
        assert got.status == 200 and _shown_by(got) == ["by rule"], got
    assert [e["action"] for e in _verdicts(one, 3)] == ["inspect"] * 3
    assert any(e["resumed"] for e in one.events() if events.kind(e) == "tls" and e["leg"] == 2)


@pytest.mark.parametrize("most", ["1.2", "1.3"])
def test_another_client_certificate_under_the_same_file_name_begins_sessions_of_its_own(most, proxy, asking, world, folder):
    chain, key = folder / "client.pem", folder / "client.key"

    def put(subject):
        made = world.files("client", usages=(pki.CLIENT_AUTH,), subject=subject)
        chain.write_bytes(made[0].read_bytes())
        key.write_bytes(made[1].read_bytes())

    put("the first")
    one = proxy("--workers", "1", config=settings.configuration(
        client_certs=[{"name": "client-cert.test", "cert": str(chain), "key": str(key)}]))
    for _ in range(2):
        assert _shown_by(_who(one, asking, "--tls-max", most)) == ["the first"]
    put("the second")
    after = one.log_lines()
    one.reload()
    one.wait_log("rules|reload", after=after)

    def second():
        return _shown_by(_who(one, asking, "--tls-max", most)) == ["the second"]
    eventually(second, "the new certificate is shown")
    assert all(second() for _ in range(4))
    legs = [e["resumed"] for e in one.events() if events.kind(e) == "tls" and e["leg"] == 2]
    assert legs[1] and any(legs[-2:]), f"resumed: {legs}"
