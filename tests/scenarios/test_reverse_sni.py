"""Reverse listeners, which always lead to one place, and those that the SNI routes."""

import pytest
from lab import clients, events, overt, servers, settings, wire

pytestmark = overt.requires("proxy --trust --rules --listen")


@pytest.fixture
def reverse(proxy, nginx):
    return proxy(listen=[f"reverse:site.test:{nginx.port}@127.0.0.1:0"])


def _get(port, name, ca, path="/"):
    return clients.curl(f"https://{name}:{port}{path}", "--connect-to", f"{name}:{port}:127.0.0.1:{port}", ca=ca)


def _nameless(port, *options):
    """What openssl s_client says that sends no SNI."""
    done = clients.run("openssl", "s_client", "-noservername", "-connect", f"127.0.0.1:{port}", *options)
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def test_a_reverse_listener_shows_a_leaf_for_the_name_asked(reverse):
    got = _get(reverse.port, "www.site.test", reverse.ca)
    assert got.status == 200 and "www.site.test" in got.names(), got.error
    assert b"nginx says hello" in got.body


def test_a_reverse_listener_verifies_the_name_that_the_client_asked_for(reverse):
    got = _get(reverse.port, "unknown.test", None)
    assert got.code != 0 and got.status == 0
    reverse.wait_words("wrong-name|name")


def test_without_sni_the_configured_name_is_verified(reverse):
    said = _nameless(reverse.port, "-CAfile", reverse.ca, "-verify_hostname", "site.test")
    assert "Verify return code: 0 (ok)" in said, said


def test_a_reverse_target_that_is_down_ends_the_connection_and_says_so(proxy):
    port, holder = servers.silent_port()
    made = proxy(listen=[f"reverse:site.test:{port}@127.0.0.1:0"])
    assert _get(made.port, "site.test", made.ca).code != 0
    made.wait_words("upstream-unreachable")
    holder.close()


def test_a_reverse_listener_to_itself_is_refused_as_a_loop(proxy):
    holder = servers.Reserved()
    port = holder.port
    made = proxy(listen=[f"reverse:127.0.0.1:{port}@127.0.0.1:{port}"])
    holder.close()
    with wire.connect(made.port) as sock:
        try:
            assert wire.recv_to_end(sock) == b""
        except ConnectionResetError:
            pass
    made.wait_words("target-forbidden|loop")


def test_ipv6_listeners_and_targets_work(proxy, world, starts):
    server = starts(servers.Origin(servers.server_context(*world.files("site.test")), host="::1"))
    made = proxy(listen=[f"reverse:[::1]:{server.port}@[::1]:0"])
    got = clients.curl(f"https://site.test:{made.port}/", "--connect-to", f"site.test:{made.port}:[::1]:{made.port}",
                       ca=made.ca)
    assert got.status == 200, got.error


def test_the_sni_routes(proxy, world, starts):
    one = starts(servers.Origin(servers.server_context(*world.files("second.test", "third.test"))))
    made = proxy(listen=[f"sni:{one.port}@127.0.0.1:0"])
    for name in ("second.test", "third.test"):
        got = _get(made.port, name, made.ca)
        assert got.status == 200 and name in got.names(), got.error
    made.wait_event(lambda e: events.kind(e) == "open" and e.get("intake") == "sni", "the flow says how it came")


def test_without_a_name_there_is_nowhere_to_go(proxy, world, starts):
    server = starts(servers.Origin(servers.server_context(*world.files("second.test"))))
    made = proxy(listen=[f"sni:{server.port}@127.0.0.1:0"])
    assert "unrecognized name" in _nameless(made.port)
    made.wait_words("no-name")
    assert not server.connections


def test_a_bypass_by_name_keeps_the_clients_session_on_an_sni_listener(proxy, world, starts):
    server = starts(servers.Origin(servers.server_context(*world.files("bypass.test"))))
    made = proxy(listen=[f"sni:{server.port}@127.0.0.1:0"],
                 rules=settings.rules(settings.rule("bypass", settings.BYPASS_UNSEEN, name=["bypass.test"])))
    got = _get(made.port, "bypass.test", world.trust)
    assert got.status == 200 and "overt" not in got.issuer().lower(), got.error


def test_what_is_no_tls_is_refused_on_an_sni_listener(proxy, starts):
    made = proxy(listen=["sni@127.0.0.1:0"])
    with wire.connect(made.port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n")
        try:
            wire.recv_to_end(sock)
        except ConnectionResetError:
            pass
    made.wait_event(events.is_close(), "the flow ends")


def test_several_listeners_of_several_modes_stand_side_by_side(proxy, nginx, world, starts):
    server = starts(servers.Origin(servers.server_context(*world.files("second.test"))))
    made = proxy(listen=["127.0.0.1:0", f"reverse:site.test:{nginx.port}@127.0.0.1:0", f"sni:{server.port}@127.0.0.1:0",
                         "[::1]:0", "127.0.0.1:0"])
    assert len(set(made.ports)) >= 4
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200
    assert _get(made.ports[1], "site.test", made.ca).status == 200
    assert _get(made.ports[2], "second.test", made.ca).status == 200
    assert clients.curl(f"https://site.test:{nginx.port}/", via=f"http://[::1]:{made.ports[3]}", ca=made.ca).status == 200
