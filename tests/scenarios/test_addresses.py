"""A name with several addresses (RFC 8305): one that does not answer does not keep the client waiting."""

import pathlib
import socket
import time

import pytest
from lab import events, names, overt, servers
from lab.proc import eventually

pytestmark = overt.requires("proxy --trust --rules --connect-timeout")

NAME = "both.test"


@pytest.fixture
def both(host_names):
    """A name at ::1 and at 127.0.0.1, in the private /etc/hosts of the run; getaddrinfo has ::1 first."""
    assert names.why() is None
    hosts = pathlib.Path("/etc/hosts")
    before = hosts.read_text()
    hosts.write_text(before + f"::1 {NAME}\n127.0.0.1 {NAME}\n")
    try:
        found = [info[4][0] for info in socket.getaddrinfo(NAME, 443, type=socket.SOCK_STREAM)]
        if found != ["::1", "127.0.0.1"]:
            pytest.skip(f"no IPv6 here: {found}")
        yield NAME
    finally:
        hosts.write_text(before)


class Silent:
    """Listens at ::1 with a queue that is full: who connects there hears nothing."""

    def __init__(self, port):
        self.sock = socket.socket(socket.AF_INET6)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("::1", port))
        self.sock.listen(0)
        self.waiting = []
        for _ in range(4):
            one = socket.socket(socket.AF_INET6)
            one.setblocking(False)
            one.connect_ex(("::1", port))
            self.waiting.append(one)

    def stop(self):
        for one in [*self.waiting, self.sock]:
            one.close()


def _served_at(one, server, name):
    """The address of the server, and how long the client waited."""
    began = time.monotonic()
    got = one.get(server.port, name)
    assert got.status == 200, got.error
    took = time.monotonic() - began
    found = one.wait_event(events.is_kind("upstream"), "the server's address")
    return found["server"]["ip"], took


def test_an_address_that_does_not_answer_is_passed_over_long_before_the_deadline(both, proxy, origin, starts):
    one, server = proxy("--connect-timeout", "60s"), origin(both)
    starts(Silent(server.port))
    address, took = _served_at(one, server, both)
    assert address == "127.0.0.1" and took < 20, took


def test_an_address_that_refuses_is_followed_by_the_next(both, proxy, origin):
    one, server = proxy("--connect-timeout", "60s"), origin(both)
    address, took = _served_at(one, server, both)
    assert address == "127.0.0.1" and took < 20, took


def test_the_first_address_is_taken_where_it_answers(both, proxy, world, starts):
    one = proxy()
    server = starts(servers.Origin(servers.server_context(*world.files(both)), host="::1"))
    assert _served_at(one, server, both)[0] == "::1"


def test_where_no_address_answers_the_deadline_ends_it(both, proxy, starts):
    one = proxy("--connect-timeout", "1s")
    idle = socket.socket()
    idle.bind(("127.0.0.1", 0))  # nobody listens here
    port = idle.getsockname()[1]
    starts(Silent(port))
    got = one.curl(f"https://{both}:{port}/")
    assert got.status != 200 and "504" in got.error, got.error
    eventually(lambda: [e for e in one.events() if events.is_close()(e)], "the flow's end")
    idle.close()
