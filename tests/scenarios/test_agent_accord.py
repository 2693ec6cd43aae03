"""`overt exec --accord`: programs that know nothing of Accord speak it, by an object that is preloaded into them. What
was proven about each connection is told, and a connection of which nothing is proven does not come about. The proxy is the
small one of the tests, which can be asked to do one thing wrong, and `overt proxy` itself."""

import dataclasses
import os
import pathlib
import re
import shutil

import pytest
from lab import clients, lines, overt, pki, servers
from lab.proc import Process

BUILT = pathlib.Path(overt.binary()).parent
PROXY = BUILT / "tests" / "scenarios" / "lab" / "accord_proxy"
PRELOAD = BUILT / "src" / "agent" / "libovert-agent.so"

pytestmark = [overt.requires("exec --accord --accord-rule", "accord --state"),
              pytest.mark.skipif(not PROXY.exists(), reason="the proxy of these tests is not built")]

URLLIB = "import sys, urllib.request\nprint(urllib.request.urlopen(sys.argv[1]).read().decode())\n"
REQUESTS = "import sys, requests\nprint(requests.get(sys.argv[1]).text)\n"
S_CLIENT = ("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -quiet -verify_return_error -servername $1 "
            "-proxy ${https_proxy#http://} -connect $1:$2")


class AccordProxy:
    def __init__(self, *options):
        self.process = Process(PROXY, *options, env=overt.SANITIZER_OPTIONS)
        self.port = int(self.process.out.wait(r"^listening (\d+)").group(1))

    def stop(self):
        self.process.stop()


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A state folder with an Accord anchor for proxy.test."""
    path = tmp_path_factory.mktemp("accord") / "state"
    code, _, err = overt.run("accord", "init", "--state", path, "--name", "proxy.test")
    assert code == 0, err
    return path


@pytest.fixture(scope="module")
def anchors(state):
    return state / "accord-anchor.pem"


@pytest.fixture(scope="module")
def server(world, starts_module):
    """An HTTPS server of TLS 1.2 and 1.3 for site.test."""
    return starts_module(servers.Origin(servers.server_context(*world.files("site.test"), protocols=["http/1.1"])))


@pytest.fixture
def through(state, starts):
    """Starts the small proxy: through("--wrong", "flip")."""
    def make(*options):
        return starts(AccordProxy("--state", state, *options))
    return make


@dataclasses.dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def lines(self):
        """What overt said, without the program's own words, in the middle of which it may stand."""
        return re.findall(r"overt exec: .*", self.err)


@pytest.fixture
def run(world, anchors):
    """run(proxy or None, command ..., options=[...]) under `overt exec --accord`."""
    def start(proxy, *command, options=(), trust=world.trust, env=None, stdin=None, anchor=anchors):
        words = ["exec", "--accord", anchor, *(["--trust", trust] if trust else []),
                 *(["--proxy", f"127.0.0.1:{proxy.port}"] if proxy else []), *options, "--", *command]
        return Ran(*overt.run(*words, env={"HOME": "/nonexistent", **(env or {})},
                              **({"stdin": stdin} if stdin else {})))
    return start


def url(server, host="site.test", path="/"):
    return f"https://{host}:{server.port}{path}"


def curl(server, *options, host="site.test"):
    return ["curl", "-q", "-sS", "--max-time", "20", *options, url(server, host)]


def proven(ran, program="curl", host="site.test"):
    wanted = rf"overt exec: {re.escape(program)}\S*\[\d+\] {host}: proven; proxy proxy\.test is reader"
    assert any(re.match(wanted, line) for line in ran.lines), ran.err


def refused(ran, check=None, name=None):
    """The program got nothing, and one line says why."""
    wanted = rf"refused, check {check} failed on leg \d \({name}\): ." if check else "refused: ."
    assert ran.code != 0 and ran.out == "", ran.out + ran.err
    assert [line for line in ran.lines if re.search(wanted, line)], ran.err


# Programs

def _python(code):
    return lambda folder, server: ["/usr/bin/python3", clients.script(folder, "f.py", code), url(server)]


PROGRAMS = {
    "curl": lambda folder, server: curl(server),
    "curl --http1.0": lambda folder, server: curl(server, "--http1.0"),
    "python3 urllib": _python(URLLIB),
    "python3 requests": _python(REQUESTS),
    "openssl s_client": lambda folder, server: ["sh", "-c", S_CLIENT, "-", "site.test", str(server.port)],
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_of_openssl_speaks_accord(program, run, through, server, folder):
    ran = run(through("--purpose", "malware scan"), *PROGRAMS[program](folder, server))
    assert ran.code == 0 and ran.out, ran.err
    proven(ran, program.split()[0])
    assert 'for "malware scan"; the server was told' in ran.err


@pytest.mark.parametrize("kind", ["p256", "rsa2048", "rsa4096"])
def test_servers_with_any_key_prove(kind, world, starts, through, run):
    server = starts(servers.OpensslServer(*world.files("site.test", kind=kind), "-www"))
    ran = run(through(), *curl(server))
    assert ran.code == 0 and "s_server" in ran.out, ran.err
    proven(ran)


def test_a_server_that_retries_proves(world, starts, through, run):
    server = starts(servers.OpensslServer(*world.files("site.test"), "-www", "-groups", "P-521"))
    ran = run(through(), *curl(server))
    assert ran.code == 0, ran.err
    proven(ran)


@pytest.fixture
def overt_proxy(state, folder, proxy):
    """`overt proxy --accord` with the anchor."""
    def make(how, *options, **knobs):
        own = shutil.copytree(state, folder / "proxy-state")
        return proxy("--accord", how, "--workers", "1", *options, state=own, **knobs)
    return make


@pytest.mark.skipif(not overt.knows("proxy", "--accord"), reason="overt proxy does not know --accord yet")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_of_openssl_speaks_accord_with_overt_proxy(program, run, overt_proxy, nginx, folder):
    ran = run(overt_proxy("prefer"), *PROGRAMS[program](folder, nginx))
    assert ran.code == 0 and "nginx says hello" in ran.out, ran.err
    proven(ran, program.split()[0])


@pytest.mark.skipif(not overt.knows("proxy", "--accord"), reason="overt proxy does not know --accord yet")
def test_http_2_through_overt_proxy(run, overt_proxy, nginx_h2):
    ran = run(overt_proxy("require"), *curl(nginx_h2, "-w", "%{http_version}", "-o", "/dev/null", host="h2.test"))
    assert ran.code == 0 and ran.out == "2", ran.err
    proven(ran, host="h2.test")


class AwareServer:
    """lab/accord_server.c, a server that knows Accord."""

    def __init__(self, *words):
        self.process = Process(BUILT / "tests" / "scenarios" / "lab" / "accord_server", *words,
                               env=overt.SANITIZER_OPTIONS)
        self.port = int(self.process.out.wait(r"^listening (\d+)").group(1))

    def stop(self):
        self.process.stop()


@pytest.mark.skipif(not (PROXY.parent / "accord_server").exists(), reason="the aware server is not built")
def test_the_word_of_an_aware_server_is_told(world, starts, through, run):
    chain, key = world.files("site.test")
    ran = run(through(), *curl(starts(AwareServer(chain, key, "accept", "be welcome"))))
    assert ran.code == 0 and 'the server accepts: "be welcome"' in ran.err, ran.err
    assert run(through(), *curl(starts(AwareServer(chain, key, "refuse", "no readers")))).code != 0


def test_a_server_that_was_not_told_is_told_of(server, through, run):
    ran = run(through("--introduce", "sealed"), *curl(server))
    assert ran.code == 0 and "; the server was not told" in ran.err, ran.err


def test_without_a_proxy_it_is_direct(run, server):
    ran = run(None, *curl(server))
    assert ran.code == 0 and re.search(r"curl\[\d+\] site\.test: direct; no proxy reads this", ran.err), ran.err


def test_several_programs_of_one_run_report(run, through, server):
    one, other = curl(server), ["/usr/bin/python3", "-c", URLLIB, url(server)]
    ran = run(through(), "sh", "-c", f"{' '.join(one)} && exec \"$@\"", "-", *other)
    assert ran.code == 0, ran.err
    proven(ran)
    proven(ran, "python3")


def test_threads_of_one_program_share_the_agent(run, through, server, folder):
    script = clients.script(folder, "f.py", (
        "import sys, threading, urllib.request\n"
        "def get(): sys.stdout.write(f'{urllib.request.urlopen(sys.argv[1]).status}\\n')\n"
        "threads = [threading.Thread(target=get) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"))
    ran = run(through(), "/usr/bin/python3", script, url(server))
    assert ran.out.split() == ["200"] * 8, ran.err
    assert sum("proven; proxy" in line for line in ran.lines) == 8


# What programs see

def test_curl_is_shown_the_servers_certificate(run, through, server):
    ran = run(through(), *curl(server, "-v"))
    assert 'subjectAltName: host "site.test" matched' in ran.err and "SSL certificate verify ok" in ran.err, ran.err
    assert "issuer: CN=Lab Intermediate" in ran.err


PEER = """
import socket, ssl, sys
proxy, host, port = sys.argv[1:]
sock = socket.create_connection(("127.0.0.1", int(proxy)))
sock.sendall(f"CONNECT {host}:{port} HTTP/1.1\\r\\n\\r\\n".encode())
sock.recv(1000)
context = ssl.create_default_context()
tls = context.wrap_socket(sock, server_hostname=host)
print(tls.getpeercert()["subjectAltName"], context.verify_mode == ssl.CERT_REQUIRED)
"""


def test_python_is_shown_the_servers_certificate(run, through, server, folder):
    proxy = through()
    ran = run(proxy, "/usr/bin/python3", clients.script(folder, "p.py", PEER), str(proxy.port), "site.test",
              str(server.port))
    assert ran.code == 0 and ran.out == "(('DNS', 'site.test'),) True\n", ran.out + ran.err


def test_a_program_keeps_its_own_callbacks(run, through, server):
    proxy = through()
    ran = run(proxy, "openssl", "s_client", "-msg", "-state", "-servername", "site.test", "-proxy",
              f"127.0.0.1:{proxy.port}", "-connect", f"site.test:{server.port}")
    assert ">>> TLS 1.3, Handshake" in ran.out and "SSL_connect:SSLv3/TLS read server hello" in ran.out + ran.err
    proven(ran, "openssl")


def test_a_key_log_is_still_written(run, through, server, folder):
    ran = run(through(), *curl(server), env={"SSLKEYLOGFILE": str(folder / "keys")})
    assert ran.code == 0 and "CLIENT_TRAFFIC_SECRET_0" in (folder / "keys").read_text(), ran.err


TWICE = """
import socket, ssl, sys
context, session = ssl.create_default_context(), None
for _ in range(2):
    sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    sock.sendall(f"CONNECT site.test:{sys.argv[2]} HTTP/1.1\\r\\n\\r\\n".encode())
    sock.recv(1000)
    tls = context.wrap_socket(sock, server_hostname="site.test", session=session)
    tls.sendall(b"GET / HTTP/1.1\\r\\nHost: site.test\\r\\nConnection: close\\r\\n\\r\\n")
    assert tls.recv(4096).startswith(b"HTTP/1.1 200")
    session = tls.session
    print(tls.session_reused)
    tls.close()
"""


def test_no_session_is_resumed(run, through, server, folder):
    proxy = through()
    ran = run(proxy, "/usr/bin/python3", clients.script(folder, "t.py", TWICE), str(proxy.port), str(server.port))
    assert ran.out.split() == ["False", "False"], ran.out + ran.err
    assert sum("proven; proxy" in line for line in ran.lines) == 2, ran.err


# What is refused, with the number of the check

@pytest.mark.parametrize("what, check, name", [
    ("replay", 3, "client-nonce"),
    ("lend", 3, "last-hop"),
    ("nonce", 3, "client-nonce"),
    ("flip", 5, "signature"),
    ("cut", 2, "proof-form"),
    ("protocol", 3, "protocol"),
])
@pytest.mark.parametrize("program", ["curl", "python3 urllib"])
def test_a_false_proof_is_refused(what, check, name, program, server, through, run, folder):
    proxy = through("--wrong", what)
    command = PROGRAMS[program](folder, server)
    if program == "python3 urllib" and what == "protocol":
        command = curl(server, "--http1.1")
    if what == "replay":
        assert run(proxy, *command).code == 0  # the first is its own
    refused(run(proxy, *command), check, name)


@pytest.mark.parametrize("options", [["-k"], ["--insecure", "--tlsv1.2"]])
def test_a_program_that_checks_nothing_is_checked_for(options, server, through, run):
    refused(run(through("--wrong", "flip"), *curl(server, *options)), 5, "signature")


LOOK_AWAY = """
import socket, ssl, sys
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
sock.sendall(f"CONNECT site.test:{sys.argv[2]} HTTP/1.1\\r\\n\\r\\n".encode())
sock.recv(1000)
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.wrap_socket(sock, server_hostname="site.test")
print("connected")
"""


def test_python_without_verification_is_checked_for(server, through, run, folder):
    proxy = through("--wrong", "lend")
    ran = run(proxy, "/usr/bin/python3", clients.script(folder, "l.py", LOOK_AWAY), str(proxy.port), str(server.port))
    refused(ran, 3, "last-hop")


def test_a_server_for_another_name_is_refused(origin, through, run):
    refused(run(through(), *curl(origin("other.test"))), 4, "server-chain")


def test_another_host_on_the_same_certificate_is_refused(origin, through, run):
    both = origin("site.test", "other.test")
    refused(run(through("--wrong", "host", "--name", "other.test"), *curl(both)), 3, "name")


def test_another_anchor_is_refused(server, through, run, folder):
    other = folder / "other"
    assert overt.run("accord", "init", "--state", other, "--name", "proxy.test")[0] == 0
    refused(run(through(), *curl(server), anchor=other / "accord-anchor.pem"), 1, "proxy-chain")


def test_a_role_that_was_not_accepted_is_refused(server, through, run):
    proxy = through("--role", "writer", "--wrong", "role")
    refused(run(proxy, *curl(server)), 3, "role")
    ran = run(proxy, *curl(server), options=["--role", "both"])
    assert ran.code == 0 and "proxy proxy.test is writer" in ran.err, ran.err


def test_only_proxies_that_are_named_count(server, through, run):
    proxy = through()
    refused(run(proxy, *curl(server), options=["--proxy-name", "other.test"]), 1, "proxy-chain")
    assert run(proxy, *curl(server), options=["--proxy-name", "other.test", "--proxy-name", "proxy.test"]).code == 0


def test_tls_12_is_refused_under_require(server, through, run):
    assert run(through("--wrong", "tls12"), *curl(server)).code != 0


def test_nothing_reaches_the_server_before_all_checks_passed(origin, through, run):
    server = origin()
    refused(run(through("--wrong", "flip"), *curl(server)), 5, "signature")
    server.wait_quiet()
    assert server.received() == b""


@pytest.fixture
def minting(folder, starts):
    """A proxy that shows a leaf of a local CA and no proof, and the CA's file."""
    local = pki.authority("Local CA")
    files = pki.Folder(folder)
    cert, key = files.install("minted", pki.leaf(local, "site.test"))
    return starts(AccordProxy("--cert", cert, "--key", key, "--wrong", "mint")), files.write("local.pem", local.pem)


def test_a_minted_leaf_is_refused_under_require(server, minting, run):
    proxy, ca = minting
    refused(run(proxy, *curl(server, "--cacert", str(ca))))
    refused(run(proxy, *curl(server, "-k")))


def test_a_minted_leaf_is_accepted_under_prefer_and_told(server, minting, run):
    proxy, ca = minting
    ran = run(proxy, *curl(server, "--cacert", str(ca)), options=["--accord-rule", "prefer"])
    assert ran.code == 0 and "site.test: warning: nothing was proven" in ran.err, ran.err
    refused(run(proxy, *curl(server), options=["--accord-rule", "prefer"]))


def test_a_peer_without_a_certificate_is_refused(run, starts, world):
    server = starts(servers.OpensslServer(*world.files("site.test"), "-psk", "00112233", "-www"))
    ran = run(None, "openssl", "s_client", "-psk", "00112233", "-quiet", "-connect", f"127.0.0.1:{server.port}")
    assert ran.out == "" and "refused: " in ran.err, ran.out + ran.err


# Failing closed

@pytest.mark.parametrize("rule, reached", [("require", False), ("prefer", True), ("nonsense", False)])
def test_an_agent_without_anchors_lets_nothing_through_under_require(rule, reached, server, world, folder):
    env = {"LD_PRELOAD": str(PRELOAD), "OVERT_ACCORD": rule, "OVERT_ACCORD_ANCHORS": str(folder / "none.pem")}
    done = clients.run(*curl(server, "--cacert", str(world.trust)), env=env)
    assert (done.returncode == 0) == reached, done.stderr


def test_an_agent_that_is_asked_nothing_does_nothing(server, world):
    done = clients.run(*curl(server, "--cacert", str(world.trust)), env={"LD_PRELOAD": str(PRELOAD)})
    assert done.returncode == 0, done.stderr


def test_the_agent_brings_no_tls_into_a_program_without_it(run):
    ran = run(None, "cat", "/proc/self/maps")
    assert "libovert-agent.so" in ran.out and "libssl" not in ran.out and "libcrypto" not in ran.out


def test_the_programs_own_library_is_the_only_one(run, server, folder):
    script = clients.script(folder, "m.py", "import ssl\nssl.create_default_context()\n"
                            "print(open('/proc/self/maps').read())\n")
    ran = run(None, "/usr/bin/python3", script)
    assert "libovert-agent-core.so" in ran.out
    for name in ("libssl", "libcrypto"):
        assert len(set(re.findall(rf"\S*/{name}\S*", ran.out))) == 1, ran.out


def test_the_agent_shows_no_names_but_those_it_stands_in_for():
    servers.needs_program("nm")
    done = clients.run("nm", "-D", "--defined-only", PRELOAD)
    names = [line.split()[-1] for line in done.stdout.decode().splitlines()]
    others = {"CRYPTO_new_ex_data", "sprintf", "__sprintf_chk", "execv", "execve", "execvp", "execvpe", "fexecve", "posix_spawn",
              "posix_spawnp"}
    assert names and all(name.startswith(("SSL_", "gnutls_")) or name in others for name in names), names


# What is not reached is said

@pytest.mark.parametrize("program, words, why", [
    ("wget", ["wget", "-q", "-O", "-", "--tries=1"], "wget has libgnutls"),
    ("git", ["git", "ls-remote"], "git-remote-https has libgnutls"),
    ("node", ["node", "-e", "require('https').get(process.argv[1]).on('error', e => process.exit(1))"],
     "nothing in node made a TLS context with OpenSSL 3"),
])
def test_a_program_that_is_not_reached_is_named(program, words, why, run, through, server):
    servers.needs_program(program)
    linked = clients.run("ldd", "/usr/lib/git-core/git-remote-https" if program == "git" else shutil.which(program))
    if program != "node" and b"libgnutls" not in linked.stdout:
        pytest.skip(f"{program} is not built on GnuTLS here")
    ran = run(through(), *words, url(server))
    assert ran.code != 0 and why in ran.err, ran.err


def test_a_static_program_is_named(run, folder):
    servers.needs_program("cc")
    source = folder / "s.c"
    source.write_text("int main(void) { return 3; }\n")
    assert clients.run("cc", "-static", "-o", folder / "static", source).returncode == 0
    ran = run(None, str(folder / "static"))
    assert ran.code == 3 and "linked statically" in ran.err, ran.err


OWN = """
#include <openssl/ssl.h>
#include <stdio.h>
int main(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	puts(ctx ? "a context" : "none");
	if (ctx)
		SSL_CTX_set_info_callback(ctx, NULL);
	SSL_CTX_free(ctx);
	return 0;
}
"""


@pytest.fixture
def own_library(folder):
    """A program with an OpenSSL of its own: the system's under another name."""
    servers.needs_program("cc")
    linked = clients.run("ldd", shutil.which("openssl")).stdout.decode()
    octets = pathlib.Path(re.search(r"libssl\.so\.3 => (\S+)", linked).group(1)).read_bytes()
    assert octets.count(b"\0libssl.so.3\0") == 1
    (folder / "libssl.so.9").write_bytes(octets.replace(b"\0libssl.so.3\0", b"\0libssl.so.9\0"))
    (folder / "own.c").write_text(OWN)
    done = clients.run("cc", "-o", folder / "own", folder / "own.c", "-L", folder, "-l:libssl.so.9", "-lcrypto",
                       f"-Wl,-rpath,{folder}")
    assert done.returncode == 0, done.stderr.decode()
    return folder / "own"


@pytest.mark.parametrize("rule, said", [("require", "none\n"), ("prefer", "a context\n")])
def test_a_library_of_ones_own_gets_no_context_under_require(rule, said, own_library, run):
    ran = run(None, str(own_library), options=["--accord-rule", rule])
    assert ran.out == said and "own cannot speak Accord" in ran.err and "libssl.so.9" in ran.err, ran.out + ran.err


# Servers

def test_a_server_under_the_agent_serves_as_before(world, starts, monkeypatch, anchors):
    for name, value in (("LD_PRELOAD", PRELOAD), ("OVERT_ACCORD", "require"), ("OVERT_ACCORD_ANCHORS", anchors),
                        ("OVERT_ACCORD_TRUST", world.trust)):
        monkeypatch.setenv(name, str(value))
    server = starts(servers.Nginx(*world.files("site.test")))  # its contexts are of TLS_method()
    monkeypatch.undo()
    for version in ("--tls-max", "1.2"), ("--tlsv1.3",):
        done = clients.run(*curl(server, "--cacert", str(world.trust), *version))
        assert b"nginx says hello" in done.stdout, done.stderr


# Output, and the run itself

def test_json_lines_say_the_same(run, through, server, folder):
    ran = run(through("--purpose", "scan"), *curl(server), options=["--jsonl", folder / "a.jsonl", "-q"])
    assert ran.code == 0 and ran.lines == []
    attached, line = lines.objects(folder / "a.jsonl")
    assert attached["type"] == "agent" and attached["state"] == "attached" and "OpenSSL 3" in attached["what"]
    assert {k: line[k] for k in ("v", "type", "program", "host", "path", "sealed", "proxies")} == {
        "v": 1, "type": "accord", "program": "curl", "host": "site.test", "path": "proven", "sealed": False,
        "proxies": [{"name": "proxy.test", "role": "reader", "purpose": "scan"}]}
    run(through("--wrong", "flip"), *curl(server), options=["--jsonl", folder / "a.jsonl"])
    last = lines.objects(folder / "a.jsonl")[-1]
    assert (last["path"], last["failed"]["check"], last["failed"]["name"]) == ("refused", 5, "signature")


def test_a_purpose_cannot_paint_the_terminal(run, through, server):
    ran = run(through("--purpose", "\x1b[2J\u202eevil"), *curl(server))
    assert "\x1b" not in ran.err and "\u202e" not in ran.err and "\\x1b[2J" in ran.err


def test_the_program_gets_the_proxy_and_no_ca(run, through):
    proxy = through()
    ran = run(proxy, "env", env={"no_proxy": "site.test", "OVERT_ACCORD_TRUST": "/left/over"})
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy"):
        assert f"{name}=http://127.0.0.1:{proxy.port}\n" in ran.out
    assert not re.search(r"(?im)^no_proxy=.|overt-exec", ran.out), ran.out
    report = re.search(r"^OVERT_ACCORD_REPORT=(.*)$", ran.out, re.M).group(1)
    assert "/left/over" not in ran.out
    assert not os.path.exists(os.path.dirname(report))


def test_the_exit_code_is_the_commands(run):
    assert run(None, "sh", "-c", "exit 7").code == 7
    assert run(None, "sh", "-c", "kill -TERM $$").code == 128 + 15
    assert run(None, "no-such-command-here").code == 127


@pytest.mark.parametrize("words", [
    ["--accord-rule", "never"], ["--role", "owner"], ["--proxy", "nowhere"], ["--proxy", "a:0"],
    ["--proxy", "a b:1"], ["--lossless"], ["--proxy-name", "a b"]])
def test_misuse_is_told(words, anchors):
    code, _, err = overt.run("exec", "--accord", anchors, *words, "--", "true")
    assert code == 2 and words[0] in err, err


def test_a_file_that_is_not_there_is_told(world, folder, anchors):
    code, _, err = overt.run("exec", "--accord", folder / "none.pem", "--", "true")
    assert code == 2 and "none.pem" in err
    code, _, err = overt.run("exec", "--accord", anchors, "--trust", world.trust)
    assert code == 2 and "no command" in err


def test_an_anchor_that_is_a_web_root_is_refused_at_the_start(folder, anchors, world):
    both = pki.Folder(folder).write("both.pem", world.trust.read_text() + anchors.read_text())
    code, out, err = overt.run("exec", "--accord", anchors, "--trust", both, "--", "echo", "started")
    assert code == 2 and "web root" in err and out == "", err


def test_options_of_the_command_are_its_own(world, anchors):
    code, out, _ = overt.run("exec", "-q", "echo", "--accord", anchors)
    assert code == 0 and out == f"--accord {anchors}\n"
