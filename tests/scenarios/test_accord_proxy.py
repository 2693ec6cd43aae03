"""`overt proxy --accord`: inspects clients that speak Accord without a CA, and does with all others as the rules say.
The client is `overt get`, which checks the server's own signature; curl stands for one without Accord."""

import ipaddress
import os
import pathlib
import re
import shutil
import signal
import ssl
import urllib.request

import pytest
from lab import clients, events, lines, overt, pki, servers, settings
from lab.proc import PATIENCE, Process, eventually

LAB = pathlib.Path(overt.binary()).parent / "tests" / "scenarios" / "lab"

pytestmark = [overt.requires("get --accord", "accord --state", "proxy --accord --accord-role")]


@pytest.fixture(scope="module")
def anchor_state(tmp_path_factory):
    """A state folder with an Accord anchor for proxy.test."""
    path = tmp_path_factory.mktemp("accord") / "state"
    code, out, err = overt.run("accord", "init", "--state", path, "--name", "proxy.test")
    assert code == 0, err
    return path


@pytest.fixture
def accord(anchor_state, folder, proxy):
    """Starts `overt proxy` with that anchor: accord("prefer", rules=..., ...)."""
    def make(how, *options, **knobs):
        number = len(list(folder.glob("state*")))
        state = shutil.copytree(anchor_state, folder / f"state{number}")
        return proxy("--accord", how, "--workers", "1", *options, state=state, **knobs)
    return make


@pytest.fixture
def get(world, anchor_state):
    """Runs `overt get` for https://HOST:PORT/ through a proxy: the result has code, body and said."""
    def run(port, through, *options, host="site.test", path="/", rule="require"):
        command = [overt.binary(), "get", "--accord", anchor_state / "accord-anchor.pem", "--trust", world.trust,
                   "--accord-rule", rule, "--proxy", f"127.0.0.1:{through.port}", *options]
        done = clients.run(*command, f"https://{host}:{port}{path}", env=overt.SANITIZER_OPTIONS)
        said = done.stderr.decode()
        assert not overt.SANITIZER.search(said), said
        return done.returncode, done.stdout, said
    return run


def notice(name):
    return lambda e: events.kind(e) == "notice" and e.get("name") == name


def audited(one, number=0):
    """The entries of inspected connections in the audit log, once there are as many."""
    def look():
        return lines.objects(one.state / "audit.log", "inspected")
    eventually(lambda: len(look()) >= number, f"{number} entries in the audit log")
    return look()


def proven(one, answer, *, role="reader"):
    """The client says that it has checked, and the proxy that it was checked."""
    code, body, said = answer
    assert code == 0, said + one.log()[-3000:]
    assert re.search(r"server \S+ .* signed your nonce and the prox(y|ies)", said), said
    assert f"proxy proxy.test, as {role}" in said
    one.wait_event(notice("accord"), "the notice of Accord")
    one.wait_event(lambda e: events.is_verdict("inspect")(e) and e.get("reason") == "by Accord", "the verdict")
    return body


# Level 1, with servers that know nothing of it

CHAINS = ["p256", "rsa2048", "rsa4096"]


@pytest.mark.parametrize("retry", [False, True], ids=["at-once", "retry"])
@pytest.mark.parametrize("kind", CHAINS)
def test_openssl_proves(kind, retry, world, starts, accord, get):
    options = ["-groups", "P-521"] if retry else []
    server = starts(servers.OpensslServer(*world.files("site.test", kind=kind), "-www", *options))
    one = accord("prefer", "--purpose", "finding malware")
    answer = get(server.port, one, "--explain")
    assert b"s_server" in proven(one, answer)
    assert ("HelloRetryRequest" in answer[2]) == retry and "finding malware" in answer[2]
    entry, = audited(one, 1)
    assert entry["role"] == "reader" and entry["accord"] == "level=1 introduction=open hops=1"


def test_nginx_with_http1_proves_and_the_request_is_seen(nginx, accord, get):
    one = accord("prefer")
    assert b"" in proven(one, get(nginx.port, one))
    one.wait_event(events.is_request("/"), "the request")


def test_nginx_with_h2_proves(nginx_h2, accord, get):
    one = accord("require")
    proven(one, get(nginx_h2.port, one, host="h2.test"))


def test_gnutls_proves(world, starts, accord, get):
    server = starts(servers.GnutlsServer(*world.files("site.test")))
    one = accord("require")
    proven(one, get(server.port, one))


def test_apache_proves(world, starts, accord, get):
    server = starts(servers.Apache(*world.files("site.test")))
    one = accord("require")
    proven(one, get(server.port, one))


def test_a_server_without_a_name_proves_its_address(world, starts, accord, get):
    """The client sends no server name, and so the proxy sends none either."""
    context = servers.server_context(*world.files(ipaddress.ip_address("127.0.0.1")))
    server = starts(servers.Origin(context))
    one = accord("require")
    proven(one, get(server.port, one, host="127.0.0.1"))
    assert not server.hello().name


def test_several_in_turn_each_prove_anew(nginx, accord, get):
    one = accord("prefer")
    nonces = set()
    for _ in range(3):
        _, _, said = answer = get(nginx.port, one, "--explain")
        proven(one, answer)
        nonces |= set(re.findall(r"\b[0-9a-f]{64}\b", said))
    assert len(nonces) >= 3


def test_sealed_introductions_prove_too(nginx, accord, get):
    one = accord("prefer", rules=settings.rules(introduce="sealed"))
    _, _, said = answer = get(nginx.port, one, "--explain")
    proven(one, answer)
    assert "seal" in said
    assert audited(one, 1)[0]["accord"] == "level=1 introduction=sealed hops=1"


def test_a_writer_says_so(nginx, accord, get):
    one = accord("prefer", "--accord-role", "writer")
    proven(one, get(nginx.port, one, "--role", "writer"), role="writer")
    assert audited(one, 1)[0]["role"] == "writer"


def test_a_client_that_accepts_no_writer_is_blocked(nginx, accord, get):
    one = accord("prefer", "--accord-role", "writer")
    code, body, _ = get(nginx.port, one)
    assert code == 1 and body == b""
    one.wait_event(notice("accord-not-accepted"), "the reason")
    assert audited(one) == []


def test_without_processes_of_its_own_it_proves_as_well(nginx, accord, get):
    one = accord("prefer", "--single")
    proven(one, get(nginx.port, one))


# Who is answered how

def test_prefer_gives_clients_without_accord_a_minted_leaf(nginx, accord):
    one = accord("prefer")
    answer = one.curl(f"https://site.test:{nginx.port}/")
    assert answer.status == 200 and "Overt" in str(answer.issuer()), answer
    assert "accord" not in audited(one, 1)[0]


def test_require_blocks_clients_without_accord(nginx, accord):
    one = accord("require")
    answer = one.curl(f"https://site.test:{nginx.port}/")
    assert answer.status == 0 and "alert" in answer.error.lower(), answer
    said = one.wait_event(notice("accord-required"), "the reason")
    assert "does not speak it" in said["text"]
    one.wait_event(events.is_close("blocked"), "the end")
    assert audited(one) == []


def test_off_ignores_offers(nginx, accord, get):
    one = accord("off")
    code, _, said = get(nginx.port, one)
    assert code == 1, said  # the client requires Accord
    code, _, said = get(nginx.port, one, rule="prefer")
    assert code == 1, said  # the local CA is not among its roots
    one.wait_event(events.is_close("refused"), "the client's refusal")
    assert not [e for e in one.events() if notice("accord")(e)]


def test_stepping_aside_by_rule_comes_first(nginx, accord, get):
    rules = settings.rules(settings.rule("bypass", name=["bypass.test"]))
    one = accord("require", rules=rules)
    code, _, said = get(nginx.port, one, host="bypass.test")
    assert code == 0, said
    assert one.curl(f"https://bypass.test:{nginx.port}/", ca=None).code in (60, 0)  # the server's own certificate
    assert audited(one) == []


def test_rules_decide_by_name(nginx, accord, get):
    rules = settings.rules(settings.rule("inspect", {"accord": "require"}, name=["second.test"]),
                           settings.rule("inspect", {"accord": "off"}, name=["third.test"]))
    one = accord("prefer", rules=rules)
    assert one.curl(f"https://second.test:{nginx.port}/").status == 0
    assert one.curl(f"https://third.test:{nginx.port}/").status == 200
    assert one.curl(f"https://site.test:{nginx.port}/").status == 200
    proven(one, get(nginx.port, one, host="second.test"))
    assert get(nginx.port, one, host="third.test")[0] == 1


def test_a_rule_that_knows_the_server_first_may_still_say_off_or_require(nginx, accord, get):
    """Which rule decides is known once the server's certificate is."""
    for word, code in (("off", 1), ("require", 0)):
        rules = settings.rules(settings.rule("inspect", {"accord": word}, verification=["ok"]), accord="prefer")
        one = accord("off", rules=rules)
        assert get(nginx.port, one)[0] == code, one.log()
        assert one.curl(f"https://site.test:{nginx.port}/").status == (200 if word == "off" else 0)


def test_a_rule_asks_for_accord_where_the_configuration_is_silent(nginx, accord, get):
    one = accord("off", rules=settings.rules(accord="prefer"))
    proven(one, get(nginx.port, one))


# Where there is no proof

@pytest.fixture
def old(world, starts):
    context = servers.server_context(*world.files("site.test"), most=ssl.TLSVersion.TLSv1_2)
    return starts(servers.Origin(context))


@pytest.fixture
def long(world, starts):
    names = [f"{'n' * 40}{number}.site.test" for number in range(1200)]
    return starts(servers.Origin(servers.server_context(*world.files("site.test", *names))))


def test_prefer_steps_aside_where_the_server_lacks_tls13(old, accord):
    """With its own TLS 1.2 the client meets the server itself: s_client does not offer Accord, so a raw hello does."""
    one = accord("prefer")
    answer = one.curl(f"https://site.test:{old.port}/")
    assert answer.status == 200 and "Overt" in str(answer.issuer())


def test_a_server_without_tls13_gets_no_minted_leaf_for_accord(old, accord, get):
    for how, ending in (("prefer", "done"), ("require", "blocked")):
        one = accord(how)
        code, _, said = get(old.port, one)
        assert code == 1, said  # overt get speaks TLS 1.3 alone
        one.wait_event(notice("accord-not-tls13"), "the reason")
        assert audited(one) == []
        if how == "prefer":
            one.wait_event(events.is_verdict("bypass"), "stepping aside")
        else:
            one.wait_event(events.is_close("blocked"), "the block")


def test_a_handshake_over_the_cap_is_stepped_aside_from_or_blocked(long, accord, get):
    one = accord("prefer")
    code, _, said = get(long.port, one)
    assert code == 0 and "proxy.test" not in said, said + one.log()[-2000:]
    one.wait_event(notice("accord-too-long"), "the reason")
    one.wait_log("accord proof too long")
    one = accord("require")
    assert get(long.port, one)[0] == 1
    one.wait_event(events.is_close("blocked"), "the block")


def test_a_server_that_does_not_verify_is_refused(world, starts, accord, get):
    server = starts(servers.Origin(servers.server_context(*world.files("wrong.test"))))
    one = accord("prefer")
    assert get(server.port, one)[0] == 1
    one.wait_event(notice("upstream-refused"), "the refusal")
    assert audited(one) == []


def test_an_altered_offer_ends_the_handshake(nginx, accord, get):
    """Somebody between client and proxy changes the client's nonce: leg 1's transcript differs."""
    one = accord("prefer")
    seen = []

    def edit(direction, data):
        at = data.find(b"\xff\xac")
        if direction == "up" and at > 0 and not seen:
            seen.append(at)
            place = at + 2 + 2 + 2 + 2 + 5  # into the nonce
            data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1:]
        return data
    with servers.Middle(one.port, edit) as middle:
        code, body, said = get(nginx.port, middle)
    assert seen and code == 1 and body == b"", said


def test_a_stripped_offer_is_no_downgrade(nginx, accord, get):
    """The extension's number is changed, so that the proxy sees no offer: its minted leaf does not pass."""
    one = accord("prefer")

    def edit(direction, data):
        return data.replace(b"\xff\xac", b"\xff\xad") if direction == "up" else data
    with servers.Middle(one.port, edit) as middle:
        code, body, _ = get(nginx.port, middle)
    assert code == 1 and body == b""


def test_a_malformed_offer_is_answered_with_an_alert(nginx, accord, get):
    one = accord("prefer")

    def edit(direction, data):
        at = data.find(b"\xff\xac")
        if direction == "up" and at > 0:
            role = at + 2 + 2 + 2 + 2 + 32  # number, length, the body's length, kind and version, nonce
            data = data[:role] + b"\xff" + data[role + 1:]
        return data
    with servers.Middle(one.port, edit) as middle:
        assert get(nginx.port, middle)[0] == 1
    one.wait_event(notice("accord-malformed"), "the reason")
    one.wait_event(events.is_close("blocked"), "the block")


def test_a_client_that_does_not_know_the_anchor_refuses_and_is_remembered(nginx, accord, world, folder):
    one = accord("prefer")
    code, _, err = overt.run("accord", "init", "--state", folder / "other", "--name", "proxy.test")
    assert code == 0, err
    anchors = folder / "other" / "accord-anchor.pem"
    done = clients.run(overt.binary(), "get", "--accord", anchors, "--trust", world.trust,
                       "--proxy", f"127.0.0.1:{one.port}", f"https://site.test:{nginx.port}/",
                       env=overt.SANITIZER_OPTIONS)
    assert done.returncode == 1 and b"check 1" in done.stderr, done.stderr
    said = one.wait_event(notice("accord-client-refuses"), "the notice")
    assert "the client does not accept the proxy or its proof" in said["text"]
    one.wait_event(events.is_close("refused"), "the end")
    one.stop()
    code, out, _ = overt.run("refusals", "--state", one.state)
    assert code == 0 and "site.test" in out, out


def test_a_server_that_wants_a_client_certificate_is_stepped_aside_from(world, starts, accord, get):
    context = servers.server_context(*world.files("site.test"), client_trust=world.trust, client_required=False)
    server = starts(servers.Origin(context))
    one = accord("require")
    code, _, said = get(server.port, one)
    assert code == 0 and "proxy.test" not in said, said
    one.wait_event(events.is_verdict("bypass"), "stepping aside")


def test_a_keeper_that_died_is_followed_by_one_with_another_certificate(nginx, accord, get):
    one = accord("prefer")
    shown = []
    for _ in range(2):
        _, _, said = answer = get(nginx.port, one, "--explain")
        proven(one, answer)
        shown += re.findall(r"pin +([0-9a-f]{64})", said)
        keeper, = one.members("keeper")
        os.kill(keeper, signal.SIGKILL)
        eventually(lambda old=keeper: [p for p in one.members("keeper") if p != old], "another keeper")
        eventually(lambda: one.curl(f"https://site.test:{nginx.port}/").status == 200, "it is inspected again")
    assert len(set(shown)) == 2


# What a start needs

def test_without_an_anchor_the_start_says_what_to_do(world, folder):
    code, _, err = overt.run("proxy", "--state", folder / "none", "--listen", "127.0.0.1:0", "--trust", world.trust,
                             "--accord", "prefer", "-q")
    assert code != 0 and "overt accord init --state" in err, err


def test_a_rule_that_asks_for_accord_needs_the_anchor_too(world, folder):
    (folder / "rules.yaml").write_text(settings.rules(accord="require"))
    code, _, err = overt.run("proxy", "--state", folder / "none", "--listen", "127.0.0.1:0", "--trust", world.trust,
                             "--rules", folder / "rules.yaml", "-q")
    assert code != 0 and "overt accord init --state" in err, err


def test_an_anchor_that_is_a_web_root_too_is_refused(world, folder, anchor_state):
    (folder / "both.pem").write_text(world.trust.read_text() + (anchor_state / "accord-anchor.pem").read_text())
    for more in ([], ["--single"]):
        code, _, err = overt.run("proxy", "--state", anchor_state, "--listen", "127.0.0.1:0", "--trust",
                                 folder / "both.pem", "--accord", "prefer", "-q", *more)
        assert code != 0 and re.search(r"web root|also|both", err), err


def test_an_anchor_made_later_is_taken_up_by_a_reload(world, nginx, folder, proxy, get, anchor_state):
    one = proxy("--workers", "1", state=folder / "state")
    for name in ("accord-anchor.pem", "accord-anchor.key"):
        shutil.copy(anchor_state / name, one.state / name)
    one.rules_file.write_text(settings.rules(accord="prefer"))
    one.reload()
    one.wait_log("reloaded")
    proven(one, get(nginx.port, one))


# Level 2: servers that know Accord

class AwareServer:
    def __init__(self, files, *words):
        self.process = Process(LAB / "accord_aware", *files, *words, env=overt.SANITIZER_OPTIONS)
        self.port = int(self.process.out.wait(r"^listening (\d+)").group(1))

    def wait(self, pattern):
        return self.process.out.wait(pattern)

    def stop(self):
        self.process.stop()
        assert not overt.SANITIZER.search(self.process.err.text()), self.process.err.text()


@pytest.fixture
def aware(world, starts):
    if not (LAB / "accord_aware").exists():
        pytest.skip("the aware server of these tests is not built")
    return lambda *words: starts(AwareServer(world.files("site.test"), *words))


def test_an_acceptance_is_carried_and_reported(aware, accord, get):
    server, one = aware("accept", "come in"), accord("prefer")
    _, body, said = answer = get(server.port, one, "--explain")
    proven(one, answer)
    assert body == b"aware\n" and "come in" in said
    assert audited(one, 1)[0]["accord"] == "level=2 introduction=open hops=1"
    server.wait("read hops=1 sealed=0")


def test_a_silent_server_is_as_one_that_knows_nothing(aware, accord, get):
    server, one = aware("silent"), accord("require")
    proven(one, get(server.port, one))
    assert audited(one, 1)[0]["accord"] == "level=1 introduction=open hops=1"


@pytest.mark.parametrize("how", ["prefer", "require"])
def test_a_refusal_is_final(how, aware, accord, get):
    server, one = aware("refuse", "not \x1b[31myou"), accord(how)
    code, body, told = get(server.port, one)
    assert code == 1 and body == b"" and "access denied" in told and "proxy's own output says why" in told
    said = one.wait_event(notice("accord-refused"), "the refusal")
    assert "not \\x1b[31myou" in said["text"]
    one.wait_event(events.is_close("blocked"), "the block")
    server.wait("nothing read")
    assert audited(one) == [] and len([e for e in one.events() if events.kind(e) == "open"]) == 1


def test_a_rule_steps_aside_from_a_refusal(aware, accord, get):
    server, one = aware("refuse", "no"), accord("prefer", rules=settings.rules(refused="bypass"))
    code, body, said = get(server.port, one)
    assert code == 0 and body == b"aware\n" and "proxy.test" not in said, said
    one.wait_event(events.is_verdict("bypass"), "stepping aside")
    server.wait("read hops=0")


@pytest.fixture
def keys(folder):
    """Two approval keys, of which the first is enrolled."""
    made = []
    for name in ("enrolled.pem", "other.pem"):
        (folder / name).write_text(pki.leaf(None, "approval.test").key_pem)
        made.append(folder / name)
    return made


@pytest.fixture
def approving(world, anchor_state):
    def run(port, through, *key):
        done = clients.run(LAB / "accord_approver", anchor_state / "accord-anchor.pem", world.trust, through.port,
                           "site.test", port, *key, env=overt.SANITIZER_OPTIONS)
        said = done.stdout.decode() + done.stderr.decode()
        assert not overt.SANITIZER.search(said), said
        return done.returncode, said
    return run


def test_an_approval_lets_all_three_sign(aware, accord, keys, anchor_state, approving):
    server, one = aware("demand", "", anchor_state / "accord-anchor.pem", keys[0]), accord("require")
    code, said = approving(server.port, one, keys[0])
    assert code == 0 and "proven" in said and "aware" in said, said + one.log()
    server.wait("read hops=1 sealed=0 confirmed=1 proxy=proxy.test")
    one.wait_event(notice("accord"), "the notice")
    assert audited(one, 1)[0]["accord"] == "level=2 introduction=open hops=1 approval=demanded"


def test_an_approval_by_a_key_that_is_not_enrolled_reads_nothing(aware, accord, keys, anchor_state, approving):
    server, one = aware("demand", "", anchor_state / "accord-anchor.pem", keys[0]), accord("require")
    code, said = approving(server.port, one, keys[1])
    assert code == 1 and "aware" not in said, said
    server.wait("nothing read")


def test_a_client_that_cannot_approve_is_refused(aware, accord, keys, anchor_state, approving):
    server, one = aware("demand", "", anchor_state / "accord-anchor.pem", keys[0]), accord("prefer")
    code, said = approving(server.port, one)
    assert code == 1 and "aware" not in said, said
    one.wait_event(notice("accord-refused"), "the refusal")


# Several proxies

def chain(accord, count, how="prefer"):
    """Proxies that lead into each other, the one next to the client first."""
    row = [accord(how)]
    while len(row) < count:
        row.insert(0, accord(how, "--upstream-proxy", f"http://127.0.0.1:{row[0].port}", "--accord-upstream"))
    return row


def test_four_proxies_prove_together_and_a_fifth_does_not(nginx, accord, get):
    row = chain(accord, 5, "require")
    _, _, said = answer = get(nginx.port, row[1], "--explain")
    proven(row[1], answer)
    assert "proxy 4 " in said and "proxy 5 " not in said, said
    assert [audited(one, 1)[0]["accord"] for one in row[1:]] == [
        f"level=1 introduction=open hops={hops}" for hops in (1, 2, 3, 4)]
    code, body, _ = get(nginx.port, row[0])
    assert code == 1 and body == b""
    row[-1].wait_event(notice("accord-not-accepted"), "the reason")
    assert all(len(audited(one)) == 1 for one in row[1:])


def test_two_proxies_prove_together(nginx, accord, get):
    first, last = chain(accord, 2)
    _, _, said = answer = get(nginx.port, first, "--explain")
    proven(first, answer)
    assert said.count("proxy.test") >= 2, said
    assert audited(first, 1)[0]["accord"] == "level=1 introduction=open hops=1"
    assert audited(last, 1)[0]["accord"] == "level=1 introduction=open hops=2"


def test_an_approval_passes_through_two_proxies(aware, accord, keys, anchor_state, approving):
    server, last = aware("demand", "", anchor_state / "accord-anchor.pem", keys[0]), accord("require")
    first = accord("require", "--upstream-proxy", f"http://127.0.0.1:{last.port}", "--accord-upstream")
    code, said = approving(server.port, first, keys[0])
    assert code == 0 and "proven" in said and "aware" in said, said + first.log() + last.log()
    server.wait("read hops=2 sealed=0 confirmed=1 proxy=proxy.test")


def test_a_next_proxy_of_another_organisation_is_refused(nginx, accord, get, folder, proxy):
    code, _, err = overt.run("accord", "init", "--state", folder / "other", "--name", "other.test")
    assert code == 0, err
    last = proxy("--accord", "prefer", "--workers", "1", state=folder / "other")
    first = accord("prefer", "--upstream-proxy", f"http://127.0.0.1:{last.port}", "--accord-upstream")
    assert get(nginx.port, first)[0] == 1
    said = first.wait_event(notice("upstream-refused"), "the refusal")
    assert "Accord proxy" in said["text"]


# Counters

def test_what_was_done_is_counted(nginx, accord, get):
    reserved = servers.Reserved()
    one = accord("require", "--metrics", f"127.0.0.1:{reserved.port}")
    try:
        proven(one, get(nginx.port, one))
        one.curl(f"https://site.test:{nginx.port}/")
        one.wait_event(notice("accord-required"), "the block")
        with urllib.request.urlopen(f"http://127.0.0.1:{reserved.port}/metrics", timeout=PATIENCE) as page:
            text = page.read().decode()
    finally:
        reserved.close()
    assert re.search(r"^overt_accord_connections_total\{?[^}]*\}? 1$", text, re.M), text
    assert re.search(r'^overt_accord_ended_total\{[^}]*client-does-not-speak[^}]*\} 1$', text, re.M), text
