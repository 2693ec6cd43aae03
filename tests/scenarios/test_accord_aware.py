"""Servers that know nothing of Accord, made aware of proxies by an object that is preloaded into them: `overt exec
--accord-server RULES`. Clients are `overt get` and curl under `overt exec --accord`, the proxy is `overt proxy --accord`.
What the rules say reaches the client as the server's signed word, and the log."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import socket
import urllib.request

import pytest
from lab import clients, events, lines, overt, pki, servers, settings
from lab.proc import PATIENCE, Process, eventually
from test_starttls import Dovecot

BUILT = pathlib.Path(overt.binary()).parent
PRELOAD = BUILT / "src" / "agent" / "libovert-agent.so"

pytestmark = [overt.requires("exec --accord-server", "accord --state", "proxy --accord --accord-role"),
              pytest.mark.skipif(not PRELOAD.exists(), reason="the agent is not built")]

WORKER = "www-data" if os.getuid() == 0 else "root"  # whose processes answer nginx's clients


@pytest.fixture(scope="module")
def anchor_state(tmp_path_factory):
    """A state folder with an Accord anchor for proxy.test."""
    path = tmp_path_factory.mktemp("accord") / "state"
    code, _, err = overt.run("accord", "init", "--state", path, "--name", "proxy.test")
    assert code == 0, err
    return path


@pytest.fixture
def accord(anchor_state, folder, proxy):
    """Starts `overt proxy` with that anchor: accord("prefer", "--purpose", ...)."""
    def make(how, *options, **knobs):
        number = len(list(folder.glob("state*")))
        state = shutil.copytree(anchor_state, folder / f"state{number}")
        return proxy("--accord", how, "--workers", "1", *options, state=state, **knobs)
    return make


@pytest.fixture
def keys(folder):
    """Two approval keys; the first one's public half is enrolled as alice."""
    made = []
    for name in ("alice.pem", "mallory.pem"):
        (folder / name).write_text(pki.leaf(None, "approval.test").key_pem)
        (folder / name).chmod(0o600)
        clients.run("openssl", "pkey", "-in", folder / name, "-pubout", "-out", folder / f"public-{name}")
        made.append(folder / name)
    return made


@pytest.fixture
def rules(folder, anchor_state, keys):
    """Writes a file of rules for an aware server: rules("  - match: ...", default="refuse") gives its path."""
    def write(*each, default="refuse", name="aware.yaml"):
        text = f"anchors: {anchor_state}/accord-anchor.pem\nclients:\n  alice: public-alice.pem\ndefault: {default}\n"
        path = folder / name
        path.write_text(text + ("rules:\n" + "".join(each) if each else ""))
        return path
    return write


def rule(action, statement=None, **match):
    return settings.rule(action, {"statement": statement} if statement else None, **match)


class Aware:
    """A server under `overt exec --accord-server`; what it says of proxies is in `said` and in the JSON lines."""

    def __init__(self, make, path, folder):
        self.jsonl = folder / "aware.jsonl"
        self.server = make((overt.binary(), "exec", "--accord-server", path, "--jsonl", self.jsonl, "--"))
        self.port = self.server.port

    def wait(self, pattern):
        return self.server.process.err.wait(pattern)

    def entries(self, count=1):
        def look():
            return [e for e in lines.objects(self.jsonl) if e["type"] == "accord-server"]
        eventually(lambda: len(look()) >= count, f"{count} verdicts in {self.jsonl}")
        return look()

    def stop(self):
        self.server.stop()
        said = self.server.process.err.text()
        assert not overt.SANITIZER.search(said), said


@pytest.fixture
def aware(world, starts, folder):
    """nginx under the agent, its workers as another user: aware(path of rules, more="...")."""
    def make(path, **knobs):
        def nginx(under):
            return servers.Nginx(*world.files("site.test"), user=WORKER, under=under, **knobs)
        return starts(Aware(nginx, path, folder))
    return make


@pytest.fixture
def get(world, anchor_state):
    def run(port, through, *options, host="site.test"):
        via = ["--proxy", f"127.0.0.1:{through.port}"] if through else []
        done = clients.run(overt.binary(), "get", "--accord", anchor_state / "accord-anchor.pem", "--trust", world.trust,
                           *via, *options, f"https://{host}:{port}/", env=overt.SANITIZER_OPTIONS)
        said = done.stderr.decode()
        assert not overt.SANITIZER.search(said), said
        return done.returncode, done.stdout, said
    return run


@pytest.fixture
def curl(world, anchor_state):
    """curl under `overt exec --accord`: code, what it got, what was said."""
    def run(port, through, *options, host="site.test"):
        return overt.run("exec", "--accord", anchor_state / "accord-anchor.pem", "--trust", world.trust, "--proxy",
                         f"127.0.0.1:{through.port}", *options, "--", "curl", "-q", "-sS", "--max-time", "20",
                         f"https://{host}:{port}/", env={"HOME": "/nonexistent"})
    return run


def notice(name):
    return lambda e: events.kind(e) == "notice" and e.get("name") == name


# nginx accepts

def test_an_acceptance_is_proven_and_logged(aware, rules, accord, get, curl):
    server = aware(rules(rule("accept", "scan what you like", role="reader")))
    one = accord("require")
    code, body, said = get(server.port, one, "--explain")
    assert code == 0 and b"nginx says hello" in body, said + one.log()[-3000:]
    assert "scan what you like" in said
    entry, = server.entries(1)
    assert entry["verdict"] == "accepted" and entry["host"] == "site.test" and entry["from"] == "127.0.0.1"
    assert entry["proxies"][0]["role"] == "reader" and entry["rule"].startswith("aware.yaml:")
    server.wait(r"overt exec: nginx\[\d+\] site.test: accepted the proxy .*a reader, for unstated")
    code, out, said = curl(server.port, one)
    assert code == 0 and "nginx says hello" in out, said
    assert 'the server accepts: "scan what you like"' in said
    assert len(server.entries(2)) == 2


def test_purposes_tell_proxies_apart(aware, rules, accord, get):
    server = aware(rules(rule("accept", purpose=["malware", 230]), rule("refuse", "no advertising", purpose=["caching"])))
    good = accord("require", "--accord-purpose", "malware")
    code, _, said = get(server.port, good, "--explain")
    assert code == 0 and "(code: malware)" in said, said
    server.wait("accepted the proxy .*, for malware")
    private = accord("require", "--accord-purpose", "caching", rules=settings.rules(accord_purpose=230))
    assert get(server.port, private)[0] == 0
    refused = accord("require", "--accord-purpose", "caching")
    code, body, _ = get(server.port, refused)
    assert code == 1 and body == b""
    said = refused.wait_event(notice("accord-refused"), "the refusal")
    assert "no advertising" in said["text"]
    assert [e["purpose"] for e in server.entries(3)] == ["malware", "230", "caching"]


def test_no_purpose_is_told_before_it_is_known_which_rule_decides(aware, rules, accord, get):
    """Which rule does is known with the server's certificate: until then nothing is said, and then the right word."""
    server = aware(rules(rule("accept", role="reader")))
    one = accord("require", rules=settings.rules(
        settings.rule("inspect", {"accord-purpose": "caching"}, verification=["self-signed"]), accord_purpose="malware"))
    code, _, said = get(server.port, one, "--explain")
    assert code == 0 and "(code: malware)" in said, said
    assert [e["purpose"] for e in server.entries(2)] == ["unstated", "malware"]


def test_a_refusal_is_final_whatever_rule_decides_then(aware, rules, accord, get):
    server = aware(rules())
    one = accord("require", rules=settings.rules(settings.rule("inspect", {"accord": "off"}, verification=["ok"]),
                                                 accord="require"))
    code, body, _ = get(server.port, one, "--accord-rule", "prefer")
    assert code == 1 and body == b""
    one.wait_event(notice("accord-refused"), "the refusal")
    assert len(server.entries(1)) == 1


def test_a_purpose_that_is_none_is_said_at_start(accord, world, folder, anchor_state):
    code, _, err = overt.run("proxy", "--state", anchor_state, "--accord", "prefer", "--accord-purpose", "fun", "-q",
                             "--trust", world.trust, "--listen", "127.0.0.1:0")
    assert code == 2 and 'unknown purpose "fun"' in err, err


def test_a_server_that_retries_is_as_good(aware, rules, accord, get):
    server = aware(rules(rule("accept", proxy=["proxy.test"])), more="ssl_ecdh_curve secp521r1;")
    one = accord("require")
    code, _, said = get(server.port, one, "--explain")
    assert code == 0 and "HelloRetryRequest" in said, said
    assert server.entries(1)[0]["proxies"][0]["name"] == "proxy.test"


# It refuses

@pytest.mark.parametrize("through", ["get", "curl"])
def test_a_role_that_is_refused_reads_nothing(through, aware, rules, accord, get, curl):
    server = aware(rules(rule("refuse", "readers only", role="writer"), rule("accept", role="reader")))
    one = accord("prefer", "--accord-role", "writer")
    answer = (get if through == "get" else curl)(server.port, one, "--role", "writer")
    assert answer[0] != 0 and not answer[1], answer
    assert "refused: by the other end (access denied)" in answer[2], answer
    said = one.wait_event(notice("accord-refused"), "the refusal")
    assert "readers only" in said["text"]
    one.wait_event(events.is_close("blocked"), "the end")
    entry, = server.entries(1)
    assert entry["verdict"] == "refused" and entry["statement"] == "readers only"
    server.wait("refused the proxy .*a writer.*readers only")
    assert not server.server.requests()


def test_what_no_rule_fits_is_refused(aware, rules, accord, get):
    server = aware(rules(rule("accept", role="writer")))
    one = accord("require")
    assert get(server.port, one)[0] == 1
    assert server.entries(1)[0]["rule"] == "default"


def test_a_sealed_introduction_is_judged_as_such(aware, rules, accord, get):
    one = accord("require", rules=settings.rules(introduce="sealed"))
    server = aware(rules(rule("accept", role="reader")))
    assert get(server.port, one)[0] == 1
    server.wait("refused a proxy that does not say who it is")
    server.stop()
    server = aware(rules(rule("accept", "be it so", sealed=True)))
    code, _, said = get(server.port, one)
    assert code == 0, said


def test_to_ignore_is_to_be_unaware(aware, rules, accord, get):
    server = aware(rules(default="ignore"))
    one = accord("require")
    code, _, said = get(server.port, one, "--json")
    assert code == 0, said
    assert server.entries(1)[0]["verdict"] == "ignored"


# Who the proxy is

def test_a_proxy_is_accepted_by_its_name_once_it_has_shown_its_certificate(aware, rules, accord, get, curl):
    server = aware(rules(rule("accept", proxy=["proxy.test"], role="reader")))
    one = accord("require")
    code, body, said = get(server.port, one)
    assert code == 0 and b"nginx says hello" in body, said + one.log()[-2000:]
    assert curl(server.port, one)[0] == 0
    first, _ = server.entries(2)
    assert first["verdict"] == "accepted" and first["proxies"] == [{"name": "proxy.test", "role": "reader"}]


def test_a_proxy_of_another_name_is_refused(aware, rules, accord, get):
    server = aware(rules(rule("accept", proxy=["other.test"])))
    one = accord("require")
    code, body, _ = get(server.port, one)
    assert code == 1 and body == b""
    entry, = server.entries(1)
    assert entry["verdict"] == "unmet" and "proxy.test is refused" in entry["reason"]
    assert not server.server.requests()


def test_a_rule_may_refuse_one_proxy_and_accept_others(aware, rules, accord, get):
    server = aware(rules(rule("refuse", "not you", proxy=["proxy.test"]), rule("accept", role="reader")))
    one = accord("require")
    assert get(server.port, one)[0] == 1
    assert "not you" in server.entries(1)[0]["reason"]


def test_a_proxy_of_another_anchor_is_none(aware, rules, proxy, folder, world, get):
    """Its client trusts it; the server does not know its anchor."""
    code, _, err = overt.run("accord", "init", "--state", folder / "else", "--name", "proxy.test")
    assert code == 0, err
    server = aware(rules(rule("accept", proxy=["proxy.test"])))
    one = proxy("--accord", "require", "--workers", "1", state=folder / "else")
    done = clients.run(overt.binary(), "get", "--accord", folder / "else" / "accord-anchor.pem", "--trust", world.trust,
                       "--proxy", f"127.0.0.1:{one.port}", f"https://site.test:{server.port}/",
                       env=overt.SANITIZER_OPTIONS)
    assert done.returncode == 1 and done.stdout == b"", done
    entry, = server.entries(1)
    assert entry["verdict"] == "unmet" and entry["reason"], entry


# Approvals

@pytest.mark.parametrize("through", ["get", "curl"])
def test_an_enrolled_key_approves(through, aware, rules, accord, get, curl, keys):
    server = aware(rules(rule("approve", role="reader")))
    one = accord("require")
    code, body, said = (get if through == "get" else curl)(server.port, one, "--approval-key", keys[0])
    assert code == 0 and "nginx says hello" in str(body), said + one.log()[-3000:]
    entry, = server.entries(1)
    assert entry["verdict"] == "accepted" and entry["approved_by"] == "alice"
    assert entry["proxies"][0]["name"] == "proxy.test"
    server.wait("accepted the proxy proxy.test, .*approved by alice")


@pytest.mark.parametrize("through", ["get", "curl"])
def test_a_key_that_is_not_enrolled_approves_nothing(through, aware, rules, accord, get, curl, keys):
    server = aware(rules(rule("approve", role="reader")))
    one = accord("require")
    code, body, _ = (get if through == "get" else curl)(server.port, one, "--approval-key", keys[1])
    assert code != 0 and not body
    entry, = server.entries(1)
    assert entry["verdict"] == "unmet" and "not enrolled" in entry["reason"]
    server.wait("did not get what was demanded of .*not enrolled")
    assert not server.server.requests()


def test_a_client_without_a_key_is_refused_where_approval_is_needed(aware, rules, accord, get):
    server = aware(rules(rule("approve", role="reader")))
    one = accord("prefer")
    assert get(server.port, one)[0] == 1
    assert "approval is needed" in server.entries(1)[0]["statement"]


def test_a_name_and_an_approval_may_both_be_needed(aware, rules, accord, get, keys):
    server = aware(rules(rule("approve", proxy=["proxy.test"])))
    one = accord("require")
    assert get(server.port, one, "--approval-key", keys[0])[0] == 0
    assert server.entries(1)[0]["approved_by"] == "alice"
    assert get(server.port, one)[0] == 1
    assert server.entries(2)[1]["verdict"] == "unmet"


def test_where_only_the_name_counts_any_key_of_the_client_will_do(aware, rules, accord, get, keys):
    server = aware(rules(rule("accept", proxy=["proxy.test"])))
    one = accord("require")
    code, _, said = get(server.port, one, "--approval-key", keys[1])
    assert code == 0, said
    assert "approved_by" not in server.entries(1)[0]


# Everybody else

def test_clients_that_offer_nothing_are_not_concerned(aware, rules, get):
    server = aware(rules())
    for version in ("--tlsv1.3", "--tls-max=1.2"):
        done = clients.run("curl", "-q", "-sSk", *version.split("="), "--max-time", "20", "--resolve",
                           f"site.test:{server.port}:127.0.0.1", f"https://site.test:{server.port}/")
        assert done.returncode == 0 and b"nginx says hello" in done.stdout, done
    code, body, said = get(server.port, None)  # offers, and nobody stands in between
    assert code == 0 and b"nginx says hello" in body, said
    assert not server.jsonl.exists() or "accord-server" not in server.jsonl.read_text()


def session(port, path, folder, *options):
    return clients.run("sh", "-c", f"printf 'GET / HTTP/1.1\\r\\nHost: site.test\\r\\nConnection: close\\r\\n\\r\\n' | "
                       f"openssl s_client -connect 127.0.0.1:{port} -servername site.test -ign_eof {path} "
                       f"{' '.join(options)}")


def test_sessions_of_ordinary_clients_are_resumed(aware, rules, folder):
    server = aware(rules())
    first = session(server.port, f"-sess_out {folder}/s", folder)
    assert b"nginx says hello" in first.stdout, first
    again = session(server.port, f"-sess_in {folder}/s", folder)
    assert b"Reused, TLSv1.3" in again.stdout, again.stdout


def test_the_server_stays_a_client_of_others_as_it_was(aware, rules, world, origin):
    behind = origin("other.test")
    server = aware(rules(), more=f"location = /behind {{ proxy_pass https://127.0.0.1:{behind.port}/; proxy_ssl_verify on; "
                                 f"proxy_ssl_name other.test; proxy_ssl_server_name on; "
                                 f"proxy_ssl_trusted_certificate {world.trust}; }}")
    done = clients.run("curl", "-q", "-sSk", "--max-time", "20", "--resolve", f"site.test:{server.port}:127.0.0.1",
                       "-w", "%{http_code}", f"https://site.test:{server.port}/behind")
    assert done.stdout.endswith(b"200"), (done, server.server.process.err.text())
    assert behind.hello().name == "other.test"


# nginx reloads

def test_a_reload_takes_new_rules_up_and_keeps_good_ones(aware, rules, accord, get):
    path = rules(rule("refuse", "closed today", role="reader"))
    server, one = aware(path), accord("require")
    assert get(server.port, one)[0] == 1
    rules(rule("accept", role="reader"))
    os.kill(nginx_master(server), signal.SIGHUP)
    server.wait("aware.yaml was read: 1 rule, 1 client")
    server.server.process.err.wait(r"gracefully shutting down")
    code, _, said = get(server.port, one)
    assert code == 0, said + one.log()[-1500:] + server.server.process.err.text()
    path.write_text("rules: [{match: {roll: reader}, action: accept}]\n")
    os.kill(nginx_master(server), signal.SIGHUP)
    said = server.wait("the rules stay as they were: .*")
    assert 'aware.yaml:1:18: unknown key "roll" in match' in said.group(0)
    assert get(server.port, one)[0] == 0


def nginx_master(server):
    return int((server.server.folder / "nginx.pid").read_text())


# A server that asks for certificates of its own clients

def test_where_clients_show_certificates_no_proxy_is_asked_for_one(aware, rules, accord, get, world):
    server = aware(rules(rule("accept", proxy=["proxy.test"])),
                   more=f"ssl_client_certificate {world.trust}; ssl_verify_client optional;")
    one = accord("require")
    assert get(server.port, one)[0] == 1
    assert "certificates of its own clients" in server.entries(1)[0]["statement"]


# Other servers

PYTHON = """
import http.server, os, ssl, sys
chain, key, user, close = sys.argv[1:]
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = repr(self.connection.getpeercert(True)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(chain, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("listening", server.server_port, flush=True)
if close == "close":
    for fd in range(3, 4096):
        if fd != server.fileno():
            try:
                os.close(fd)
            except OSError:
                pass
if user != "-":
    import pwd
    os.setuid(pwd.getpwnam(user).pw_uid)
server.serve_forever()
"""


class PythonServer:
    def __init__(self, under, files, folder, user="-", close="-"):
        self.process = Process(*under, "/usr/bin/python3", clients.script(folder, "server.py", PYTHON), *files, user, close)
        self.port = int(self.process.out.wait(r"^listening (\d+)").group(1))

    def stop(self):
        self.process.stop()


OTHERS = {
    "apache": lambda under, files, folder: servers.Apache(*files, under=under),
    "s_server": lambda under, files, folder: servers.OpensslServer(*files, "-www", under=under),
    "python": PythonServer,
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_servers_become_aware_too(kind, world, starts, rules, accord, get, keys, folder):
    files = world.files("site.test")
    server = starts(Aware(lambda under: OTHERS[kind](under, files, folder),
                          rules(rule("approve", role="reader"), rule("accept", proxy=["proxy.test"])), folder))
    one = accord("prefer", "--accord-role", "reader")
    code, body, said = get(server.port, one, "--approval-key", keys[0])
    assert code == 0 and body, said + one.log()[-2000:]
    assert server.entries(1)[0]["approved_by"] == "alice"
    assert get(server.port, one, "--approval-key", keys[1])[0] == 1
    assert server.entries(2)[1]["verdict"] == "unmet"
    writer = accord("prefer", "--accord-role", "writer")
    code, body, said = get(server.port, writer, "--role", "writer")
    assert code == 0, said
    assert server.entries(3)[2]["proxies"] == [{"name": "proxy.test", "role": "writer"}]
    if kind == "python":
        assert body == b"None"  # the proxy's certificate is no client's
    assert clients.run("curl", "-q", "-sSk", "--max-time", "20", "--resolve", f"site.test:{server.port}:127.0.0.1",
                       f"https://site.test:{server.port}/").returncode == 0


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
@pytest.mark.parametrize("close", ["keep", "close"])
def test_who_has_become_another_user_still_reports(close, world, starts, rules, accord, get, folder):
    """By the descriptor that it inherits, or, where it has closed that one too, by a path that it can reach."""
    files = world.files("site.test")
    folder.chmod(0o755)
    server = starts(Aware(lambda under: PythonServer(under, files, folder, WORKER, close),
                          rules(rule("accept", role="reader")), folder))
    one = accord("require")
    assert get(server.port, one)[0] == 0
    assert server.entries(1)[0]["verdict"] == "accepted"


def places(process):
    """The sockets at which a run hears reports: everybody on the machine can learn of them."""
    held = {os.readlink(path) for path in pathlib.Path(f"/proc/{process.pid}/fd").iterdir()}
    rows = re.findall(r"(\d+) (\S*/overt-accord-\S+)", pathlib.Path("/proc/net/unix").read_text())
    return {path for inode, path in rows if f"socket:[{inode}]" in held}


def test_what_others_send_to_the_socket_is_dropped(aware, rules, accord, get):
    server = aware(rules(rule("accept", role="reader")))
    place, = places(server.server.process)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"\x02" + bytes(16) + b"\x01\0\0\0\1\4evil\0\0\0\0\0\0", place)
    assert get(server.port, accord("require"))[0] == 0
    server.entries(1)
    assert "evil" not in server.jsonl.read_text()


# What a start needs

def test_what_is_wrong_with_the_rules_is_said_at_start(folder, rules):
    def start(path, *options):
        return overt.run("exec", "--accord-server", path, *options, "--", "true")
    path = rules(rule("approve", role="reeder"))
    code, _, err = start(path)
    assert code == 2 and re.search(r'aware.yaml:6:19: unknown role "reeder"', err), err
    code, _, err = start(rules(), "--accord", folder / "aware.yaml")
    assert code == 2 and "is the client or the server of a run" in err, err
    code, _, err = start(rules(), "--role", "writer")
    assert code == 2 and "--role is of no use to a server" in err, err
    code, _, err = start(folder / "none.yaml")
    assert code == 2 and "none.yaml" in err, err


def test_a_program_without_openssl_is_named(rules):
    code, _, err = overt.run("exec", "--accord-server", rules(), "--", "true")
    assert code == 0 and "no proxy was ruled on" in err, err


# A reverse proxy beside a server that stays as it is

@pytest.fixture
def sidecar(world, nginx, proxy):
    """overt proxy in front of nginx, with the server's certificate: sidecar(path of rules)."""
    def make(path, *options, **knobs):
        chain, key = world.files("site.test")
        return proxy("--accord-server", path, "--server-cert", chain, "--server-key", key, "--workers", "1", *options,
                     listen=[f"reverse:site.test:{nginx.port}@127.0.0.1:0"], **knobs)
    return make


def verdict_of(one, word):
    said = one.wait_event(lambda e: notice("accord-server")(e) and e["text"].startswith(word), f"{word} ...")
    return said["text"]


def test_a_sidecar_accepts_and_its_word_is_proven(sidecar, rules, accord, get, curl):
    beside = sidecar(rules(rule("accept", "come in", role="reader", purpose="malware")))
    one = accord("require", "--accord-purpose", "malware")
    code, body, said = get(beside.port, one, "--explain")
    assert code == 0 and b"nginx says hello" in body, said + one.log()[-2000:] + beside.log()[-2000:]
    assert "come in" in said
    assert "accepted the proxy, a reader, for malware (aware.yaml:6): come in" == verdict_of(beside, "accepted")
    code, out, said = curl(beside.port, one)
    assert code == 0 and 'the server accepts: "come in"' in said, said


def test_a_sidecar_refuses(sidecar, rules, accord, get, nginx):
    beside = sidecar(rules(rule("accept", role="writer")))
    one = accord("prefer")
    code, body, _ = get(beside.port, one)
    assert code == 1 and body == b""
    one.wait_event(notice("accord-refused"), "the refusal")
    assert "refused the proxy, a reader, for unstated (default)" in verdict_of(beside, "refused")
    beside.wait_event(events.is_close("blocked"), "the end")


def test_a_sidecar_asks_who_it_is_and_who_approves(sidecar, rules, accord, get, keys):
    beside = sidecar(rules(rule("approve", proxy=["proxy.test"])))
    one = accord("require")
    code, _, said = get(beside.port, one, "--approval-key", keys[0])
    assert code == 0, said + beside.log()[-2000:]
    assert "accepted the proxy proxy.test, a reader, for unstated (aware.yaml:6), approved by alice" == verdict_of(
        beside, "accepted")
    assert get(beside.port, one, "--approval-key", keys[1])[0] == 1
    assert "not enrolled" in verdict_of(beside, "did not")


def test_a_sidecar_shows_everybody_the_servers_own_certificate(sidecar, rules, get, world):
    beside = sidecar(rules())
    code, body, said = get(beside.port, None)
    assert code == 0 and b"nginx says hello" in body, said
    for version in ("--tlsv1.3", "--tls-max=1.2"):
        done = clients.run("curl", "-q", "-sS", *version.split("="), "--cacert", world.trust, "--max-time", "20", "--resolve",
                           f"site.test:{beside.port}:127.0.0.1", f"https://site.test:{beside.port}/")
        assert done.returncode == 0 and b"nginx says hello" in done.stdout, done


def test_a_sidecar_takes_new_rules_up(sidecar, rules, accord, get):
    beside, one = sidecar(rules()), accord("require")
    assert get(beside.port, one)[0] == 1
    rules(rule("accept", role="reader"))
    beside.reload()
    beside.wait_log("reloaded")
    code, _, said = get(beside.port, one)
    assert code == 0, said


def test_what_a_sidecar_lacks_is_said_at_start(rules, world, folder):
    def start(*options):
        return overt.run("proxy", "--state", folder / "s", "--trust", world.trust, "-q", *options)
    chain, key = world.files("site.test")
    code, _, err = start("--accord-server", rules(), "--listen", "reverse:site.test:443@127.0.0.1:0")
    assert code == 2 and "needs server-cert and server-key" in err, err
    code, _, err = start("--accord-server", rules(), "--server-cert", chain, "--server-key", key, "--listen", "127.0.0.1:0")
    assert code == 2 and "mode reverse" in err, err
    (folder / "bad.yaml").write_text("rules: [{match: {}, action: accept}]\n")
    code, _, err = start("--accord-server", folder / "bad.yaml", "--server-cert", chain, "--server-key", key, "--listen",
                         "reverse:site.test:443@127.0.0.1:0")
    assert code != 0 and "bad.yaml:1:17: " in err, err


# The proxy's limit

@pytest.mark.parametrize("how", ["prefer", "require"])
def test_a_client_over_its_rate_gets_no_proof_and_no_leaf(how, nginx, accord, get):
    reserved = servers.Reserved()
    one = accord(how, "--accord-rate", "1", "--accord-burst", "2", "--metrics", f"127.0.0.1:{reserved.port}")
    try:
        answers = [get(nginx.port, one)]
        with concurrent.futures.ThreadPoolExecutor(7) as others:  # at once: one after the other may take more than a second each
            answers += others.map(lambda _: get(nginx.port, one), range(7))
        said = one.wait_event(notice("accord-limit"), "the limit")
        with urllib.request.urlopen(f"http://127.0.0.1:{reserved.port}/metrics", timeout=PATIENCE) as page:
            counted = int(re.search(r'accord_ended_total\{[^}]*client-over-rate[^}]*\} (\d+)', page.read().decode()).group(1))
    finally:
        reserved.close()
    assert "accord-rate" in said["text"]
    one.wait_log("accord limit reached")
    limited = [a for a in answers if "proxy.test" not in a[2]]
    assert answers[0][0] == 0 and "proxy.test" in answers[0][2] and counted == len(limited) > 0
    for code, body, said in limited:
        # Aside: the server itself, with its own certificate. Never ours, which the client would have refused.
        assert (code, bool(body)) == ((0, True) if how == "prefer" else (1, False)), said


# Corners of the client's leg

S_CLIENT = ("openssl", "s_client", "-verify_return_error", "-ign_eof", "-crlf")


@pytest.fixture
def s_client(world, anchor_state, folder):
    """openssl s_client under `overt exec --accord`, which says `lines` once its handshake is done."""
    def run(*options, lines=""):
        command = [overt.binary(), "exec", "--accord", anchor_state / "accord-anchor.pem", "--trust", world.trust, "--",
                   *S_CLIENT, *options]
        (folder / "lines").write_text(lines)
        with open(folder / "lines", "rb") as stdin:
            done = clients.run(*command, stdin=stdin, env=overt.SANITIZER_OPTIONS)
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    return run


def test_a_proxy_that_retries_proves_to_clients_and_servers(aware, rules, accord, s_client):
    """The client's share is of a group that the proxy does not take: both of its ClientHellos carry the same offer."""
    server = aware(rules(rule("accept", "so be it", role="reader")))
    one = accord("require", listen=[f"reverse:site.test:{server.port}@127.0.0.1:0"])
    code, out, err = s_client("-connect", f"127.0.0.1:{one.port}", "-servername", "site.test", "-groups", "ffdhe8192:P-256",
                              "-msg", lines="GET / HTTP/1.0\n\n")
    assert out.count("ServerHello") == 2 and "nginx says hello" in out, out + err
    assert re.search('site.test: proven; proxy proxy.test is reader.*; the server accepts: "so be it"', err), err
    server.wait("accepted the proxy")


@pytest.fixture(scope="module")
def dovecot(world, starts_module):
    return starts_module(Dovecot(*world.files("mail.test")))


@pytest.mark.parametrize("protocol, service, lines, answer", [
    ("imap", "imap", "a1 CAPABILITY\na2 LOGOUT\n", "a2 OK"),
    ("pop3", "pop3", "CAPA\nQUIT\n", r"\+OK"),
    ("smtp", "submission", "EHLO lab\nQUIT\n", "221 "),
])
def test_a_proxy_proves_after_starttls(protocol, service, lines, answer, dovecot, accord, s_client):
    one = accord("require", listen=[f"reverse:mail.test:{getattr(dovecot, service)}@127.0.0.1:0"])
    code, out, err = s_client("-connect", f"127.0.0.1:{one.port}", "-servername", "mail.test", "-starttls", protocol,
                              lines=lines)
    assert code == 0 and re.search(answer, out), out + err + one.log()[-2000:]
    assert "mail.test: proven; proxy proxy.test is reader" in err, err
    one.wait_event(notice("accord"), "the notice")


# A server met directly whose certificate says that it staples (RFC 7633)

@pytest.mark.parametrize("staple, code", [("good", 0), ("revoked", 1), (None, 1)])
def test_who_must_staple_is_asked_and_held_to_it(staple, code, world, starts, folder, get):
    who = pki.leaf(world.intermediate, "site.test", extra=[pki.must_staple()])
    chain, key = world.folder.install("stapled", who)
    options = []
    if staple:
        (folder / "staple").write_bytes(pki.ocsp_response(who, status=staple))
        options = ["-status_file", folder / "staple"]
    server = starts(servers.OpensslServer(chain, key, "-www", *options))
    got, body, said = get(server.port, None)
    assert got == code and (b"s_server" in body) == (code == 0), said
    if code:
        assert "staple" in said or "revoked" in said, said


# What the rules mean, said before they are used

def test_check_says_what_the_rules_mean_for_accord(folder, anchor_state, rules):
    path = folder / "proxy.yaml"
    path.write_text(settings.rules(
        settings.rule("inspect", {"accord": "require", "accord-purpose": "malware"}, name=["a.test"]),
        settings.rule("inspect", {"accord": "off"}, name=["b.test"]), accord="prefer", introduce="sealed"))
    code, out, _ = overt.run("check", path, "--state", anchor_state)
    assert code == 0 and "the anchor is" in out, out
    assert re.search(r"accord, proxy.yaml:\d+: require: .*sealed", out) and ": off: offers are ignored" in out, out
    assert "accord, default: prefer" in out, out
    code, out, _ = overt.run("check", path, "--state", folder / "none")
    assert code == 2 and "overt accord init --state" in out, out
    code, out, _ = overt.run("check", path, "--name", "a.test")
    assert code == 0 and "accord, proxy.yaml:" in out, out
    code, out, err = overt.run("check", "--accord-server", rules(rule("approve", role="reader")))
    assert code == 0 and "rules of an aware server: 1, enrolled clients: 1" in out, err
    code, _, err = overt.run("check", "--accord-server", path)
    assert code == 2 and "unknown key" in err, err


def test_the_proxys_page_says_what_accord_is_to_its_clients(accord):
    for how, options in (("prefer", ()), ("require", ("--accord-role", "writer"))):
        one = accord(how, *options)
        page = clients.run("curl", "-q", "-sS", "-x", f"127.0.0.1:{one.port}", "http://overt.internal/").stdout.decode()
        assert "Programs that speak Accord" in page and ("may change" in page) == bool(options), page
