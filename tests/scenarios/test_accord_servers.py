"""Level 1 of Accord with an https server of another make, which knows nothing of it: Node, with its own build of
OpenSSL and its own way to answer. The other servers are in test_accord_proxy.py."""

import pytest
import test_accord_proxy as level1
from lab import clients, overt, servers
from lab.proc import Process

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


@pytest.mark.parametrize("retry", [False, True], ids=["at-once", "retry"])
@pytest.mark.parametrize("kind", level1.CHAINS)
def test_node_proves(kind, retry, folder, world, starts, accord, get):
    server = starts(Node(folder, *world.files("site.test", kind=kind), curve="P-521" if retry else "auto"))
    one = accord("prefer")
    answer = get(server.port, one, "--explain")
    assert level1.proven(one, answer) == b"node over HTTP/1.1\n"
    assert ("HelloRetryRequest" in answer[2]) == retry


def test_node_of_http2_answers_in_the_protocol_that_was_proven(folder, world, starts, accord, get):
    """`overt get` speaks HTTP/1.1 only, curl under `overt exec --accord` both."""
    server = starts(Node(folder, *world.files("h2.test"), http2=True))
    one = accord("require")
    assert level1.proven(one, get(server.port, one, host="h2.test")) == b"node over HTTP/1.1\n"


@overt.requires("exec --accord")
@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
def test_curl_is_proven_what_it_speaks_with_node(version, folder, world, starts, accord, anchor_state):
    server = starts(Node(folder, *world.files("h2.test"), http2=True))
    one = accord("require")
    code, out, err = overt.run("exec", "--accord", anchor_state / "accord-anchor.pem", "--trust", world.trust, "--proxy",
                               f"127.0.0.1:{one.port}", "--", "curl", "-q", "-sS", "--max-time", "20", version,
                               f"https://h2.test:{server.port}/", env={"HOME": "/nonexistent"})
    assert code == 0 and out == f"node over HTTP/{'2.0' if version == '--http2' else '1.1'}\n", err
    assert "h2.test: proven; proxy proxy.test is reader" in err


def test_a_node_server_that_speaks_tls_1_2_only_proves_nothing(folder, world, starts, accord, get):
    old = SERVER.replace("allowHTTP1: true", "allowHTTP1: true, maxVersion: 'TLSv1.2'")
    assert old != SERVER
    server = starts(Process(servers.needs_program("node"), clients.script(folder, "server.js", old),
                            *world.files("site.test"), "auto"))
    port = int(server.out.wait(r"^port (\d+)").group(1))
    code, body, said = get(port, accord("require"))
    assert code != 0 and not body, said
