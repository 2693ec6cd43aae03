"""`aia: true`: an issuer that the server does not send is fetched from where the server's certificate says (RFC 5280,
4.2.2.1); off by default, bounded, and trusted no more than what a server sends."""

import pytest
from lab import der, events, overt, pki, servers, settings

pytestmark = overt.requires("proxy --trust --rules --jsonl")

AIA = "1.3.6.1.5.5.7.1.1"


def _access(url):
    """authorityInfoAccess with one caIssuers."""
    place = der.context(6, url.encode(), constructed=False)
    return pki.extension(AIA, der.seq(der.seq(der.oid("1.3.6.1.5.5.7.48.2"), place)))


class Library(servers.Origin):
    """Gives one certificate to whoever asks, over plain HTTP, and counts the questions."""

    def __init__(self, body, status="200 OK"):
        self.asked = []
        self.body, self.status = body, status
        super().__init__(None, self._answer)

    def _answer(self, connection):
        head = connection.recv_until(b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n")[0].decode())
        connection.send(servers.http_answer(self.body, self.status))

    def url(self, path="/issuer.crt"):
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture
def lacking(world, starts):
    """lacking(library, issuer): a server for site.test that sends its leaf alone."""
    def make(library, issuer, number=[0], **knobs):
        number[0] += 1
        leaf = pki.leaf(issuer, "site.test", extra=[_access(library.url())], **knobs)
        chain, key = world.folder.install(f"lacking-{number[0]}", leaf, [])
        return starts(servers.Origin(servers.server_context(chain, key)))
    return make


@pytest.fixture
def issuer(world):
    return pki.authority("Lab Forgotten Intermediate", world.root)


def _get(one, server, path="/"):
    return one.curl(f"https://site.test:{server.port}{path}")


RULES = settings.rules(settings.rule("inspect", {"aia": True}, name=["site.test"]))


def test_without_a_rule_nothing_is_fetched(proxy, starts, lacking, issuer):
    library = starts(Library(issuer.der))
    server = lacking(library, issuer)
    one = proxy()
    assert _get(one, server).status == 0
    one.wait_event(lambda e: events.is_close()(e) and e.get("name") == "missing-intermediate", "the refusal")
    server.wait_quiet()
    assert library.asked == [] and server.received() == b""


@pytest.mark.parametrize("form", ["der", "pem"])
def test_a_missing_intermediate_is_fetched_once(form, proxy, starts, lacking, issuer):
    library = starts(Library(issuer.der if form == "der" else issuer.pem.encode()))
    server = lacking(library, issuer)
    one = proxy("--workers", "1", rules=RULES)
    for path in ("/one", "/two"):
        got = _get(one, server, path)
        assert got.status == 200 and path.encode() in got.body, got.error
    assert library.asked == ["GET /issuer.crt HTTP/1.0"]
    one.wait_event(lambda e: e.get("name") == "issuer-fetched", "the fetch is told of")
    # The first connection was a look only: no request went out before the chain was whole.
    assert server.received().count(b"GET ") == 2


def test_what_is_fetched_is_no_anchor(proxy, starts, lacking):
    stranger = pki.authority("Lab Stranger", pki.authority("Lab Strange Root"))
    library = starts(Library(stranger.der))
    server = lacking(library, stranger)
    one = proxy(rules=RULES)
    assert _get(one, server).status == 0
    server.wait_quiet()
    assert server.received() == b"" and len(library.asked) == 1


def test_another_fault_is_still_one(proxy, starts, lacking, issuer):
    library = starts(Library(issuer.der))
    server = lacking(library, issuer, starts=-30, ends=-1)
    one = proxy(rules=RULES)
    assert _get(one, server).status == 0
    one.wait_event(lambda e: events.is_close()(e) and e.get("name") == "expired", "the refusal")
    server.wait_quiet()
    assert server.received() == b""


@pytest.mark.parametrize("body, status", [(b"nothing of use", "200 OK"), (b"", "404 Not Found"), (b"\x30" * 100000, "200 OK")],
                         ids=["garbage", "404", "too long"])
def test_what_cannot_be_had_leaves_the_server_refused(body, status, proxy, starts, lacking, issuer):
    library = starts(Library(body, status))
    server = lacking(library, issuer)
    one = proxy("--workers", "1", rules=RULES)
    for _ in range(2):
        assert _get(one, server).status == 0
    one.wait_event(lambda e: e.get("name") == "issuer-not-fetched", "the reason is told")
    one.wait_event(lambda e: events.is_close()(e) and e.get("name") == "missing-intermediate", "the refusal")
    server.wait_quiet()
    assert server.received() == b"" and len(library.asked) == 1


def test_a_certificate_cannot_send_the_proxy_where_no_rule_leads(proxy, starts, lacking, issuer):
    """Loopback is permitted for the site, by its name: that does not open it for addresses in certificates."""
    library = starts(Library(issuer.der))
    server = lacking(library, issuer)
    one = proxy(rules=settings.rules(settings.rule("inspect", {"aia": True, "allow": ["loopback"]}, name=["site.test"]),
                                     loopback=False))
    assert _get(one, server).status == 0
    one.wait_event(lambda e: e.get("name") == "issuer-not-fetched", "the reason is told")
    assert library.asked == []


def test_a_name_in_the_certificate_is_looked_up(proxy, starts, lacking, issuer):
    library = starts(Library(issuer.der))
    library.url = lambda: f"http://second.test:{library.port}/issuer.crt"
    server = lacking(library, issuer)
    got = _get(proxy(rules=RULES), server)
    assert got.status == 200, got.error
    assert library.asked == ["GET /issuer.crt HTTP/1.0"]
