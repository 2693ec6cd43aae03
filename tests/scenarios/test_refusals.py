"""What is learned when a client does not trust the leaf, and what a rule makes of it."""

import ssl

import pytest
from lab import clients, events, overt, servers, settings, wire
from lab.proc import eventually

pytestmark = [overt.requires("proxy --trust --rules --jsonl"), overt.requires("refusals --state")]


def _distrust(one, nginx, world, name="site.test", **knobs):
    """A client that knows the server's real root only."""
    return one.curl(f"https://{name}:{nginx.port}/", ca=world.trust, **knobs)


def _list(one):
    code, out, err = overt.run("refusals", "--state", one.state)
    assert code == 0, err
    return out


@pytest.mark.parametrize("most", ["1.2", "1.3"])
def test_an_alert_that_means_distrust_is_kept_and_listed(most, proxy, nginx, world):
    one = proxy()
    got = one.curl(f"https://site.test:{nginx.port}/", "--tls-max", most, ca=world.trust)
    assert got.code == 60, got.error
    one.wait_event(events.is_close("refused"), "the flow ends as refused")
    line = eventually(lambda: "site.test" in _list(one) and _list(one), "the refusal is listed")
    assert "127.0.0.1" in line


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_close_in_answer_to_the_certificate_is_kept_too(most, proxy, nginx):
    """A client that sends no alert but leaves as soon as it has seen the certificate."""
    one = proxy()
    with wire.open_tunnel(one.port, "site.test", nginx.port) as sock:
        tls = wire.Tls(sock, clients.context(most=most), server_hostname="site.test")
        with pytest.raises(ssl.SSLWantReadError):
            tls.object.do_handshake()
        sock.sendall(tls.pending_output())
        assert sock.recv(65536)
    one.wait_event(events.is_close("refused"), "the flow ends as refused")
    eventually(lambda: "site.test" in _list(one), "the refusal is listed")


def test_a_client_that_verifies_after_the_handshake_and_leaves_is_told_of(proxy, nginx, world):
    """GnuTLS's wget finishes the handshake, finds the certificate wanting, and closes without a word. A client that
    connects ahead and finds no use for the connection does the same: so it is told of, but is no refusal."""
    one = proxy()
    got = clients.wget(f"https://site.test:{nginx.port}/", proxy=one.port, ca=world.trust)
    assert got.code == 5, got.error
    notice = one.wait_event(lambda e: e.get("name") == "client-left-after-handshake", "the notice")
    assert notice["type"] == "notice"
    one.wait_event(events.is_close("done"), "the flow's end")
    assert "site.test" not in _list(one)


def test_a_client_that_asked_something_leaves_without_a_word_about_it(proxy, nginx):
    one = proxy()
    assert one.curl(f"https://site.test:{nginx.port}/").status == 200
    one.wait_event(events.is_close("done"), "the flow's end")
    assert not [e for e in one.events() if e.get("name") == "client-left-after-handshake"]


def test_a_good_connection_is_no_refusal(proxy, nginx):
    one = proxy()
    assert one.curl(f"https://site.test:{nginx.port}/").status == 200
    assert "site.test" not in _list(one)


def test_nothing_is_bypassed_for_a_refusal_by_default(proxy, nginx, world):
    one = proxy()
    for _ in range(5):
        assert _distrust(one, nginx, world).code == 60


def test_a_rule_makes_a_refusal_a_bypass_for_that_name_alone(proxy, nginx, world):
    one = proxy(rules=settings.rules(refused="bypass"))
    assert _distrust(one, nginx, world).code == 60
    one.wait_event(events.is_close("refused"), "the flow ends as refused")

    def real():
        got = _distrust(one, nginx, world)
        return got.status == 200 and got
    got = eventually(real, "the refusal becomes a bypass")
    assert "Lab Intermediate" in got.issuer()
    assert one.curl(f"https://other.test:{nginx.port}/").cert.issuer == clients.certificates(
        one.ca.read_text())[0].subject


def test_a_refusal_does_not_bypass_what_does_not_verify(proxy, world, starts):
    bad = starts(servers.Origin(servers.server_context(*world.files("elsewhere.test"))))
    one = proxy(rules=settings.rules(refused="bypass"))
    for _ in range(3):
        assert one.curl(f"https://site.test:{bad.port}/", "-k").status == 0
    bad.wait_quiet()
    assert bad.received() == b""


def test_refusals_outlive_a_restart(world, nginx, starts, folder):
    first = overt.Proxy(trust=world.trust, state=folder / "state")
    assert _distrust(first, nginx, world).code == 60
    first.wait_event(events.is_close("refused"), "the flow ends as refused")
    first.stop()
    code, out, _ = overt.run("refusals", "--state", folder / "state")
    assert code == 0 and "site.test" in out
