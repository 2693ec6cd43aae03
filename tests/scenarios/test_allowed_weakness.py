"""What of TLS 1.2 is refused unless a rule names the host (docs/configuration.md, `allow`): the rule is for that host
alone."""

import ssl

import pytest
from lab import clients, events, overt, servers, settings
from lab.proc import eventually

pytestmark = overt.requires("proxy --trust --rules --jsonl")

TLS12 = ssl.TLSVersion.TLSv1_2
SUITES = {"tls12-rsa": ("AES128-GCM-SHA256", "0x009c"), "dhe-custom": ("DHE-RSA-AES128-GCM-SHA256", "0x009e")}


@pytest.fixture
def server(request, world, starts):
    """A server for site.test and other.test that offers one kind of key exchange only."""
    suite, _ = SUITES[request.param]
    context = servers.server_context(*world.files("site.test", "other.test", kind="rsa2048"), most=TLS12,
                                     ciphers=f"{suite}:@SECLEVEL=0")
    if request.param == "dhe-custom":
        group = clients.run("openssl", "dhparam", "-dsaparam", "2048")
        assert group.returncode == 0, group.stderr
        context.load_dh_params(world.folder.write("dh-of-its-own.pem", group.stdout))
    return starts(servers.Origin(context))


def _lenient(proxy, word):
    return proxy(rules=settings.rules(settings.rule("inspect", {"allow": ["loopback", word]}, name=["site.test"])))


@pytest.mark.parametrize("server, word", [(word, word) for word in SUITES], indirect=["server"], ids=SUITES)
def test_a_rule_lets_a_host_exchange_keys_that_way(server, word, proxy):
    one = _lenient(proxy, word)
    assert one.get(server.port, "site.test").status == 200
    seen = one.wait_event(lambda e: events.kind(e) == "tls" and e["leg"] == 2, "the handshake with the server")
    assert seen["version"] == "TLS 1.2" and seen["suite"] == SUITES[word][1], seen


@pytest.mark.parametrize("server, word", [(word, word) for word in SUITES], indirect=["server"], ids=SUITES)
def test_the_rule_is_for_that_host_alone(server, word, proxy):
    one = _lenient(proxy, word)
    assert one.get(server.port, "other.test").status == 0
    eventually(lambda: [e for e in one.events() if events.is_close()(e)], "the flow's end")
    server.wait_quiet()
    assert server.received() == b""


@pytest.mark.parametrize("server, word", [("tls12-rsa", "no-ems"), ("dhe-custom", "tls12-rsa")], indirect=["server"])
def test_one_word_allows_nothing_of_another(server, word, proxy):
    one = _lenient(proxy, word)
    assert one.get(server.port, "site.test").status == 0
    server.wait_quiet()
    assert server.received() == b""


@pytest.mark.parametrize("server", ["tls12-rsa"], indirect=True)
def test_what_a_host_may_its_clients_may_too(server, proxy):
    one = _lenient(proxy, "tls12-rsa")
    answer = clients.curl(f"https://site.test:{server.port}/", "--tls-max", "1.2", "--ciphers", "AES128-GCM-SHA256",
                          proxy=one.port, ca=one.ca)
    assert answer.status == 200, answer.error
    seen = one.wait_event(lambda e: events.kind(e) == "tls" and e["leg"] == 1, "the handshake with the client")
    assert seen["suite"] == "0x009c", seen
