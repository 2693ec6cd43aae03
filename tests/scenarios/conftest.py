"""Fixtures of the scenarios. What a fixture starts, it stops; a test that starts more uses `starts`."""

import contextlib
import os
import shutil
import signal
import sys

import pytest

sys.dont_write_bytecode = True

from lab import names, overt, pki, servers  # noqa: E402

LONGEST = int(os.environ.get("OVERT_TEST_SECONDS", 300))  # for one test


def pytest_configure(config):
    def stop(*_):
        raise KeyboardInterrupt  # so that fixtures stop what they started
    signal.signal(signal.SIGTERM, stop)
    # A run in the background begins with SIGINT ignored, and what tests start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    names.setup()
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy",
                 "ssl_cert_file", "ssl_cert_dir", "sslkeylogfile"):
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)


def pytest_unconfigure(config):
    names.teardown()


@pytest.fixture(scope="session", autouse=True)
def host_names():
    if names.why():
        pytest.skip(f"no private /etc/hosts: {names.why()}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """A test that hangs fails with its stack, and what it started is stopped as after any failure."""
    def late(*_):
        raise AssertionError(f"still running after {LONGEST} s")
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def world():
    """The good PKI: world.root, world.intermediate, world.leaf(...), world.files(...), world.trust."""
    folder = pki.Folder()
    folder.path.chmod(0o755)
    yield pki.World(folder)
    shutil.rmtree(folder.path, ignore_errors=True)


@pytest.fixture
def starts():
    """Takes anything with a `stop` and stops it, last first, when the test is over: server = starts(Origin(...))."""
    with contextlib.ExitStack() as stack:
        def keep(thing):
            stack.callback(thing.stop)
            return thing
        yield keep


@pytest.fixture(scope="module")
def starts_module():
    with contextlib.ExitStack() as stack:
        def keep(thing):
            stack.callback(thing.stop)
            return thing
        yield keep


@pytest.fixture(scope="session")
def may_capture(host_names):
    """Skips where packets may not be captured."""
    code, _, err = overt.run("exec", "--share", "--interface", "lo", "--", "true")
    if code != 0 and "CAP_NET_RAW" in err:
        pytest.skip("no right to capture packets here")


@pytest.fixture(scope="session")
def nginx(world):
    """nginx for site.test, www.site.test and others, HTTP/1.1 only."""
    server = servers.Nginx(*world.files("site.test", "www.site.test", "other.test", "bypass.test", "block.test",
                                        "plain.test", "second.test", "third.test", "listed.test", "deep.listed.test"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def nginx_tls12(world):
    server = servers.Nginx(*world.files("site.test"), protocols="TLSv1.2")
    yield server
    server.stop()


@pytest.fixture
def server(nginx, request):
    """nginx for site.test, which speaks what the parameter says: TLS 1.3, or "TLS 1.2" alone."""
    return request.getfixturevalue("nginx_tls12") if getattr(request, "param", "") == "TLS 1.2" else nginx


@pytest.fixture(scope="session")
def nginx_h2(world):
    server = servers.Nginx(*world.files("h2.test"), http2=True)
    yield server
    server.stop()


@pytest.fixture
def origin(world, starts):
    """Makes scripted TLS servers: origin("site.test", handler=..., **knobs of server_context)."""
    def make(*hosts, handler=servers.speak_http, **knobs):
        context = servers.server_context(*world.files(*(hosts or ("site.test",))), **knobs)
        return starts(servers.Origin(context, handler))
    return make


@pytest.fixture
def proxy(world, starts):
    """Starts `overt proxy` that trusts the lab's root: proxy(*options, **knobs of overt.Proxy)."""
    def make(*options, **knobs):
        return starts(overt.Proxy(*options, **{"trust": world.trust, **knobs}))
    return make


@pytest.fixture(scope="module")
def shared(world, starts_module):
    """One `overt proxy` with no rules, shared by the tests of a file."""
    return starts_module(overt.Proxy(trust=world.trust))


@pytest.fixture
def folder(tmp_path):
    return tmp_path


