"""Rules: which connections are inspected, bypassed or blocked, and how a change of them comes into force."""

import concurrent.futures
import re

import pytest
from lab import clients, events, overt, servers
from lab.settings import BYPASS_UNSEEN, rule, rules

pytestmark = overt.requires("proxy --trust --rules --jsonl")


def _outcome(proxy, name, port, trust, *options):
    """"inspect", "bypass" or "block", told by the certificate that the client is shown."""
    got = proxy.curl(f"https://{name}:{port}/", "-k", *options, ca=None)
    if got.status != 200:
        return "block"
    return "inspect" if got.cert.issuer == clients.certificates(proxy.ca.read_text())[0].subject else "bypass"


@pytest.fixture
def outcome(proxy, nginx, world):
    """outcome(rules text, *names): what happens to each name."""
    def ask(text, *names, options=()):
        one = proxy(rules=text)
        return [_outcome(one, name, nginx.port, world.trust, *options) for name in names]
    return ask


def test_without_rules_everything_is_inspected(outcome):
    assert outcome(rules(), "site.test", "other.test") == ["inspect", "inspect"]


@pytest.mark.parametrize("action", ["inspect", "bypass", "block"])
def test_the_default_is_what_the_file_says(action, outcome):
    assert outcome(rules(default=action), "site.test") == [action]


def test_a_name_is_matched_and_the_first_match_wins(outcome):
    text = rules(rule("bypass", BYPASS_UNSEEN, name=["bypass.test"]), rule("block", name=["block.test", "bypass.test"]),
                 rule("inspect", name=["block.test"]))
    assert outcome(text, "bypass.test", "block.test", "site.test") == ["bypass", "block", "inspect"]


def test_a_pattern_matches_what_is_below_a_name(outcome):
    text = rules(rule("block", name=["*.listed.test"]), rule("bypass", BYPASS_UNSEEN, name=[".site.test"]))
    assert outcome(text, "listed.test", "deep.listed.test", "site.test", "www.site.test") == [
        "inspect", "block", "bypass", "bypass"]


def test_a_list_is_matched(outcome, folder):
    (folder / "names.txt").write_text("# a comment\nlisted.test\n\nother.test\n")
    text = rules(rule("bypass", BYPASS_UNSEEN, list=str(folder / "names.txt")))
    assert outcome(text, "listed.test", "other.test", "site.test") == ["bypass", "bypass", "inspect"]


def test_an_address_is_matched(proxy, world, nginx, starts):
    far = starts(servers.Origin(servers.server_context(*world.files("far.test")), host="127.0.0.2"))
    one = proxy(rules=rules(rule("bypass", server=["127.0.0.2"])))
    assert _outcome(one, "far.test", far.port, world.trust) == "bypass"
    assert _outcome(one, "site.test", nginx.port, world.trust) == "inspect"


def test_a_client_address_is_matched(outcome):
    assert outcome(rules(rule("block", client=["127.0.0.0/8"])), "site.test") == ["block"]
    assert outcome(rules(rule("block", client=["10.0.0.0/8"])), "site.test") == ["inspect"]


def test_a_port_is_matched(proxy, nginx, nginx_h2, world):
    one = proxy(rules=rules(rule("block", port=[nginx.port])))
    assert _outcome(one, "site.test", nginx.port, world.trust) == "block"
    assert _outcome(one, "h2.test", nginx_h2.port, world.trust) == "inspect"


def test_a_protocol_of_alpn_is_matched(proxy, nginx_h2, world):
    one = proxy(rules=rules(rule("block", alpn=["h2"])))
    assert _outcome(one, "h2.test", nginx_h2.port, world.trust, "--http2") == "block"
    assert _outcome(one, "h2.test", nginx_h2.port, world.trust, "--http1.1") == "inspect"


def test_an_issuer_is_matched(outcome):
    assert outcome(rules(rule("block", issuer=["Lab Intermediate"])), "site.test") == ["block"]
    assert outcome(rules(rule("block", issuer=["Another"])), "site.test") == ["inspect"]


def test_a_verification_result_is_matched(proxy, world, nginx, starts):
    bad = starts(servers.Origin(servers.server_context(*world.files("site.test", ends=-1))))
    one = proxy(rules=rules(rule("bypass", verification=["fault"])))
    assert _outcome(one, "site.test", bad.port, world.trust) == "bypass"
    assert _outcome(one, "site.test", nginx.port, world.trust) == "inspect"


def test_a_request_for_a_client_certificate_is_matched(proxy, world, nginx, starts):
    asking = starts(servers.Origin(servers.server_context(*world.files("site.test"), client_trust=world.trust,
                                                          client_required=False)))
    one = proxy(rules=rules(rule("bypass", client_certificate="requested")))
    assert _outcome(one, "site.test", asking.port, world.trust) == "bypass"
    assert _outcome(one, "site.test", nginx.port, world.trust) == "inspect"


def test_fronting_one_name_with_another_escapes_no_block_and_earns_no_bypass(proxy, nginx, world):
    text = rules(rule("block", name=["block.test"]), rule("bypass", BYPASS_UNSEEN, name=["bypass.test"]))
    one = proxy(rules=text)
    for connect, sni in (("site.test", "block.test"), ("block.test", "site.test")):
        got = one.curl(f"https://{sni}:{nginx.port}/", "-k", "--connect-to", f"::{connect}:{nginx.port}", ca=None)
        assert got.status == 0, (connect, sni)
    for connect, sni in (("site.test", "bypass.test"), ("bypass.test", "site.test")):
        got = one.curl(f"https://{sni}:{nginx.port}/", "-k", "--connect-to", f"::{connect}:{nginx.port}", ca=None)
        assert got.status == 0 or got.cert.issuer == clients.certificates(one.ca.read_text())[0].subject, (connect, sni)


def test_a_blocked_flow_says_which_rule_blocked_it(proxy, nginx):
    one = proxy(rules=rules(rule("block", name=["block.test"])))
    one.curl(f"https://block.test:{nginx.port}/")
    one.wait_event(events.is_verdict("block", r"rules\.yaml:\d+"), "a verdict of block with its rule")


def test_no_byte_of_a_blocked_request_reaches_the_server(proxy, origin):
    server = origin("block.test")
    one = proxy(rules=rules(rule("block", name=["block.test"])))
    assert one.curl(f"https://block.test:{server.port}/").status == 0
    server.wait_quiet()
    assert server.received() == b""


def test_the_sensitive_list_is_bypassed_before_the_default_and_can_be_overridden(folder):
    if overt.missing("check"):
        pytest.skip("overt does not know 'check' yet")
    path = folder / "rules.yaml"
    path.write_text(rules())
    code, out, err = overt.run("check", path)
    assert code == 0 and re.search("sensitive", out + err), out + err


# Reload

def test_a_reload_puts_new_rules_into_force(proxy, nginx, world):
    one = proxy(rules=rules())
    assert _outcome(one, "site.test", nginx.port, world.trust) == "inspect"
    after = one.log_lines()
    one.rules_file.write_text(rules(rule("block", name=["site.test"])))
    one.reload()
    one.wait_log("rules|reload", after=after)
    assert _outcome(one, "site.test", nginx.port, world.trust) == "block"


def test_a_reload_drops_no_connection(proxy, nginx):
    one = proxy(rules=rules())
    with one.tls(nginx.port, "site.test") as tls:
        for number in range(3):
            after = one.log_lines()
            one.rules_file.write_text(rules(rule("block", name=["site.test"])) if number % 2 == 0 else rules())
            one.reload()
            one.wait_log("rules|reload", after=after)
            tls.send(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n")
            assert tls.recv_until(b"HTTP/1.1\n").startswith(b"HTTP/1.1 200")


def test_reloads_under_load_lose_nothing(proxy, nginx):
    one = proxy(rules=rules())
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(one.curl, f"https://site.test:{nginx.port}/?{n}") for n in range(24)]
        for _ in range(5):
            after = one.log_lines()
            one.reload()
            one.wait_log("rules|reload", after=after)
        assert [a.result().status for a in asked] == [200] * 24


FAULTY = {
    "syntax": ("default: inspect\nrules:\n  - match: {name: [\n", r"rules\.yaml:[34]:\d+"),
    "unknown key": ("default: inspect\nrulez: []\n", r"rules\.yaml:2:1.*rulez"),
    "unknown key in a rule": ("rules:\n  - match: {name: a.test}\n    acton: block\n", r"rules\.yaml:\d:\d+.*acton"),
    "bad value": ("default: perhaps\n", r"rules\.yaml:1:10.*perhaps"),
    "bad address": ("rules:\n  - match: {server: 300.1.2.3}\n    action: block\n", r"rules\.yaml:2:\d+.*300\.1\.2\.3"),
    "missing list": ("rules:\n  - match: {list: no-such-file}\n    action: block\n", "no-such-file"),
    "no action": ("rules:\n  - match: {name: a.test}\n", r"rules\.yaml:2:\d+.*action"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_file_is_refused_with_its_place_and_the_old_rules_stay(fault, proxy, nginx, world):
    text, says = FAULTY[fault]
    one = proxy(rules=rules(rule("block", name=["block.test"])))
    after = one.log_lines()
    one.rules_file.write_text(text)
    one.reload()
    one.wait_log(says, after=after)
    assert _outcome(one, "block.test", nginx.port, world.trust) == "block"
    assert _outcome(one, "site.test", nginx.port, world.trust) == "inspect"


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_file_stops_the_start(fault, folder):
    text, says = FAULTY[fault]
    (folder / "rules.yaml").write_text(text)
    code, _, err = overt.run("proxy", "--state", folder / "state", "--listen", "127.0.0.1:0", "--rules",
                             folder / "rules.yaml", "-q")
    assert code == 2 and re.search(says, err), err


@overt.requires("check")
@pytest.mark.parametrize("fault", FAULTY)
def test_check_says_the_same(fault, folder):
    text, says = FAULTY[fault]
    (folder / "rules.yaml").write_text(text)
    code, out, err = overt.run("check", folder / "rules.yaml")
    assert code != 0 and re.search(says, out + err), out + err


@overt.requires("check")
def test_check_passes_a_good_file(folder):
    (folder / "rules.yaml").write_text(rules(rule("block", name=["a.test"]), rule("bypass", server=["10.0.0.0/8"])))
    code, out, err = overt.run("check", folder / "rules.yaml")
    assert code == 0, out + err


def test_a_million_names_are_loaded_and_matched(proxy, nginx, world, folder):
    (folder / "names.txt").write_text("".join(f"host-{n}.example\n" for n in range(999_999)) + "listed.test\n")
    one = proxy(rules=rules(rule("block", list=str(folder / "names.txt"))))
    assert _outcome(one, "listed.test", nginx.port, world.trust) == "block"
    assert _outcome(one, "site.test", nginx.port, world.trust) == "inspect"


def test_until_stops_copying_plaintext_early_and_says_so(proxy, origin):
    server = origin("site.test", handler=lambda c: [(c.recv_until(b"\r\n\r\n"), c.send(
        servers.http_answer("x" * 1000))) for _ in range(30)])
    one = proxy(rules=rules(until=4096))
    with one.tls(server.port, "site.test") as tls:
        for number in range(30):
            tls.send(f"GET /number-{number:02} HTTP/1.1\r\nHost: site.test\r\n\r\n".encode())
            tls.recv_until(b"x" * 1000)
    one.wait_event(events.is_close(), "the flow's end")
    text = one.jsonl.read_text()
    assert "/number-00" in text and "/number-29" not in text
    assert re.search("until", text)
