"""Session tickets towards clients: whoever of the family takes one, it is good only for what it was issued under."""

import os
import signal
import ssl

import pytest
from lab import clients, overt, servers, settings
from lab.proc import eventually

pytestmark = overt.requires("proxy --trust --rules --workers")

VERSIONS = pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


def _ask(one, port, name, ctx, session=None):
    """One request: the client's session afterwards, and whether it was resumed."""
    with one.tls(port, name, ctx=ctx, session=session) as tls:
        tls.send(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        tls.recv_until(b"origin:")
        return tls.object.session, tls.object.session_reused


@pytest.fixture
def files(world):
    return world.files("site.test", "other.test")


@pytest.fixture
def server(files, starts):
    return starts(servers.Origin(servers.server_context(*files)))


@pytest.fixture
def one(proxy):
    return proxy("--workers", "1")


@VERSIONS
def test_a_client_resumes_its_session(most, one, server):
    ctx = clients.context(one.ca, most=most)
    session, resumed = _ask(one, server.port, "site.test", ctx)
    assert session.has_ticket and not resumed
    assert _ask(one, server.port, "site.test", ctx, session)[1]


@VERSIONS
def test_a_ticket_outlives_the_worker_that_issued_it(most, one, server):
    """Tickets are stateless, and their keys are the keeper's: every worker has them."""
    ctx = clients.context(one.ca, most=most)
    session, _ = _ask(one, server.port, "site.test", ctx)
    before = one.members("worker")
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: one.members("worker") not in ([], before), "another worker")
    assert _ask(one, server.port, "site.test", ctx, session)[1]


@VERSIONS
def test_a_ticket_is_not_taken_for_another_name(most, one, server):
    ctx = clients.context(one.ca, most=most)
    session, _ = _ask(one, server.port, "site.test", ctx)
    assert not _ask(one, server.port, "other.test", ctx, session)[1]


@VERSIONS
def test_a_ticket_is_not_taken_for_another_place(most, one, server, files, starts):
    ctx = clients.context(one.ca, most=most)
    session, _ = _ask(one, server.port, "site.test", ctx)
    elsewhere = starts(servers.Origin(servers.server_context(*files)))
    assert not _ask(one, elsewhere.port, "site.test", ctx, session)[1]


@VERSIONS
def test_a_ticket_ends_with_the_rules_it_was_issued_under(most, one, server):
    ctx = clients.context(one.ca, most=most)
    session, _ = _ask(one, server.port, "site.test", ctx)
    one.rules_file.write_text(settings.rules(settings.rule("block", name=["block.test"])))
    one.reload()
    one.wait_log("reloaded")
    eventually(lambda: one.get(server.port, "block.test").error, "the new rules are in force")
    assert not _ask(one, server.port, "site.test", ctx, session)[1]


def test_a_ticket_ends_with_the_servers_certificate(one, world, starts):
    context = servers.server_context(*world.files("site.test"))
    context.num_tickets = 0  # so that the proxy sees a certificate each time
    server = starts(servers.Origin(context))
    ctx = clients.context(one.ca)
    session, _ = _ask(one, server.port, "site.test", ctx)
    session, resumed = _ask(one, server.port, "site.test", ctx, session)
    assert resumed
    context.load_cert_chain(*world.files("site.test", "www.site.test"))
    assert not _ask(one, server.port, "site.test", ctx, session)[1]
