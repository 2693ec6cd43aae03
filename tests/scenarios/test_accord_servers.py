"""Level 1 of Accord with https servers of six makes, none of which knows of it: each with three kinds of keys, with and
without HelloRetryRequest, in HTTP/2 and HTTP/1.1."""

import shutil

import pytest
import test_accord_proxy as level1
from lab import clients, events, golang, overt, servers
from lab.proc import Process, eventually

accord, anchor_state, get = level1.accord, level1.anchor_state, level1.get
pytestmark = level1.pytestmark

SERVER = """
const [chain, key, curve, http2] = process.argv.slice(2);
const read = require('fs').readFileSync;
const options = {cert: read(chain), key: read(key), ecdhCurve: curve, allowHTTP1: true};
const make = http2 ? require('http2').createSecureServer : require('https').createServer;
const server = make(options, (request, answer) => answer.end(`node over HTTP/${request.httpVersion}\\n`));
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
"""


class Node:
    """`curve` other than the client's first makes it ask again by HelloRetryRequest."""

    def __init__(self, folder, chain, key, *, curve="auto", http2=False):
        program = servers.needs_program("node")
        self.process = Process(program, clients.script(folder, "server.js", SERVER), chain, key, curve,
                               *(["http2"] if http2 else []))
        self.port = int(self.process.out.wait(r"^port (\d+)").group(1))

    def stop(self):
        self.process.stop()


# What each make needs to speak both protocols, and to ask for a group of which the client sent no share.

def _nginx(folder, files, retry):
    return servers.Nginx(*files, http2=True, more="ssl_ecdh_curve secp521r1;" if retry else "")


def _apache(folder, files, retry):
    return servers.Apache(*files, more="SSLOpenSSLConfCmd Groups P-521" if retry else "")


def _openssl(folder, files, retry):
    return servers.OpensslServer(*files, "-www", "-alpn", "h2,http/1.1", *(["-groups", "P-521"] if retry else []))


def _gnutls(folder, files, retry):
    return servers.GnutlsServer(*files, priority="NORMAL:-GROUP-ALL:+GROUP-SECP521R1" if retry else "NORMAL",
                                options=("--disable-client-cert", "--alpn", "h2", "--alpn", "http/1.1"))


def _go(folder, files, retry):
    return golang.Server(*files, retry=retry)


def _node(folder, files, retry):
    return Node(folder, *files, curve="P-521" if retry else "auto", http2=True)


MAKES = {"nginx": _nginx, "apache": _apache, "openssl": _openssl, "gnutls": _gnutls, "go": _go, "node": _node}
SPEAK_H2 = {"nginx", "apache", "go", "node"}  # the others agree to it and do not speak it


@pytest.fixture(scope="module")
def one(world, anchor_state, tmp_path_factory, starts_module):
    """A proxy that requires Accord, for all servers of this file."""
    state = shutil.copytree(anchor_state, tmp_path_factory.mktemp("one") / "state")
    return starts_module(overt.Proxy("--accord", "require", "--workers", "1", state=state, trust=world.trust))


@pytest.fixture
def under_exec(one, world, anchor_state):
    """Runs a program as it is under `overt exec --accord`: (code, output, what was said)."""
    if not overt.knows("exec", "--accord"):
        pytest.skip("overt exec --accord is not there")
    return lambda *command: overt.run("exec", "--accord", anchor_state / "accord-anchor.pem", "--trust", world.trust,
                                      "--proxy", f"127.0.0.1:{one.port}", "--", *command, env={"HOME": "/nonexistent"})


def _fetch(make, one, port, protocol):
    """A program that speaks the protocol: where the server only agrees to HTTP/2, one that shakes hands and leaves."""
    if protocol == "h2" and make not in SPEAK_H2:
        return ["openssl", "s_client", "-alpn", "h2", "-proxy", f"127.0.0.1:{one.port}", "-connect", f"site.test:{port}"]
    return ["curl", "-q", "-sS", "--max-time", "20", "--http2" if protocol == "h2" else "--http1.1",
            f"https://site.test:{port}/"]


def _agreed(one, before, protocol):
    """Both legs of the connection that came since have agreed on it."""
    def legs():
        return {e["leg"]: e.get("alpn") for e in one.events()[before:] if events.kind(e) == "tls"}
    eventually(lambda: legs() == {1: protocol, 2: protocol}, f"both legs are told to speak {protocol}")


@pytest.mark.parametrize("retry", [False, True], ids=["at-once", "retry"])
@pytest.mark.parametrize("kind", level1.CHAINS)
@pytest.mark.parametrize("make", MAKES)
def test_every_make_of_server_proves(make, kind, retry, folder, world, starts, one, get, under_exec):
    server = starts(MAKES[make](folder, world.files("site.test", kind=kind), retry))
    # `overt get` speaks HTTP/1.1, and tells of the retry.
    code, body, said = get(server.port, one, "--explain")
    assert code == 0 and body and "signed your nonce and the proxy" in said, said + one.log()[-3000:]
    assert ("HelloRetryRequest" in said) == retry
    for protocol in ("h2", "http/1.1"):
        before = len(one.events())
        code, out, said = under_exec(*_fetch(make, one, server.port, protocol))
        assert code == 0 and out and "site.test: proven; proxy proxy.test is reader" in said, said + one.log()[-3000:]
        _agreed(one, before, protocol)


def test_a_node_server_that_speaks_tls_1_2_only_proves_nothing(folder, world, starts, accord, get):
    old = SERVER.replace("allowHTTP1: true", "allowHTTP1: true, maxVersion: 'TLSv1.2'")
    assert old != SERVER
    server = starts(Process(servers.needs_program("node"), clients.script(folder, "server.js", old),
                            *world.files("site.test"), "auto"))
    port = int(server.out.wait(r"^port (\d+)").group(1))
    code, body, said = get(port, accord("require"))
    assert code != 0 and not body, said


def test_a_go_client_is_not_reached_by_the_agent_and_that_is_said(world, starts, one, under_exec):
    """Go has a TLS of its own and is linked statically: it goes to the proxy without Accord."""
    server = starts(golang.Server(*world.files("site.test")))
    code, out, said = under_exec(golang.program(), "get", f"https://site.test:{server.port}/")
    assert code != 0 and out == "" and "linked statically" in said and "nothing proven" in said, said


def test_a_go_client_without_accord_is_blocked_where_it_is_required(world, starts, one):
    server = starts(golang.Server(*world.files("site.test")))
    done = clients.run(golang.program(), "get", f"https://site.test:{server.port}/",
                       env={"HTTPS_PROXY": f"http://127.0.0.1:{one.port}", "SSL_CERT_FILE": str(world.trust)})
    assert done.returncode != 0 and done.stdout == b"", done.stderr
    one.wait_event(lambda e: events.is_close("blocked")(e) and e.get("name") == "accord-required", "the block")


def test_a_go_client_without_accord_is_served_by_a_ca_where_it_is_preferred(world, starts, accord):
    server = starts(golang.Server(*world.files("site.test")))
    two = accord("prefer")
    done = clients.run(golang.program(), "get", f"https://site.test:{server.port}/",
                       env={"HTTPS_PROXY": f"http://127.0.0.1:{two.port}", "SSL_CERT_FILE": str(two.ca)})
    assert done.returncode == 0 and done.stdout == b"200 HTTP/2.0 go over HTTP/2.0\n\n", done.stderr
    two.wait_event(events.is_verdict("inspect"), "the inspection")
