"""overt assess path: whether somebody terminates, told rightly of direct paths, of proxies that pass through and of
proxies that inspect, by keys, by another place's report, and by a server at the other end."""

import json
import re
import subprocess

import pytest
from lab import overt, servers, settings
from lab.proc import PATIENCE, Process, eventually
from lab.servers import Reserved, listening, needs_program
from test_assess_server import ENDLESS, Talker

pytestmark = overt.requires("assess --listener")

NOBODY, SOMEBODY, UNTOLD = 0, 3, 4
QUICK = ("--pause", "0s", "--timeout", "5s")


class Listener:
    """A running `overt assess --listen` on 127.0.0.1."""

    def __init__(self, folder, *options, name="site.test"):
        self.folder = folder / "origin"
        self.process = Process(overt.binary(), "assess", "--listen", "127.0.0.1:0", "--origin", self.folder, "--name", name,
                               *options, env=overt.SANITIZER_OPTIONS)
        line = self.process.err.wait(r"listening front=https://[^:]+:(\d+)/ walk=https://[^:]+:(\d+)/ cases=(\d+) .*"
                                     r"key=(sha256:\w{64})")
        self.port, self.walk, self.cases, self.key = int(line[1]), int(line[2]), int(line[3]), line[4]
        self.name, self.root = name, self.folder / "root.pem"

    def url(self, path="/"):
        return f"https://{self.name}:{self.port}{path}"

    def stop(self):
        if self.process.running():
            self.process.popen.terminate()
        assert self.process.popen.wait(PATIENCE) == 0, self.process.err.text()
        assert not overt.SANITIZER.search(self.process.err.text()), self.process.err.text()


@pytest.fixture
def listener(starts, folder):
    return starts(Listener(folder))


def assess(host, *options, code, trust=None):
    more = ("--trust", trust) if trust else ()
    done, out, err = overt.run("assess", "path", host, "--json", *QUICK, *more, *options)
    assert done == code, (err, [v["reason"] for v in json.loads(out)["verdicts"]] if out else "")
    report = json.loads(out)
    assert report["assess"] == "path" and report["connections"] <= 80 and report["lost"] == 0
    verdict = next(v for v in report["verdicts"] if v["name"] == "termination")
    assert verdict["verdict"] == {NOBODY: "nobody", SOMEBODY: "somebody", UNTOLD: "cannot-be-told"}[code]
    return report, verdict["reason"]


def seen(report, check):
    return next(f["seen"] for f in report["findings"] if f["check"] == check)


def grade(report, check):
    return next(f["grade"] for f in report["findings"] if f["check"] == check)


def save(folder, report):
    path = folder / "direct.json"
    path.write_text(json.dumps(report))
    return path


# A direct path

def test_without_anything_to_compare_with_it_is_said_that_it_cannot_be_told(world, nginx):
    report, reason = assess(f"site.test:{nginx.port}", trust=world.trust, code=UNTOLD)
    assert "--expect" in reason and seen(report, "made-up-name") == "the same certificate"


def test_a_root_that_browsers_bring_along_tells_that_nobody_terminates(world, nginx):
    report, reason = assess(f"site.test:{nginx.port}", "--web-roots", world.trust, trust=world.trust, code=NOBODY)
    assert "public CA vouches" in reason and seen(report, "root") == "one that browsers bring along"


def test_the_expected_key_tells_that_nobody_terminates(world, nginx, folder):
    chain = world.files("site.test", "www.site.test", "other.test", "bypass.test", "block.test", "plain.test",
                        "second.test", "third.test", "listed.test", "deep.listed.test")[0]
    _, reason = assess(f"site.test:{nginx.port}", "--expect", chain, code=NOBODY)
    assert "possession of the expected key" in reason


def test_the_report_of_another_place_says_the_same_of_the_same_server(world, nginx, folder):
    direct, _ = assess(f"site.test:{nginx.port}", trust=world.trust, code=UNTOLD)
    report, _ = assess(f"site.test:{nginx.port}", "--expect", save(folder, direct), code=NOBODY)
    assert seen(report, "answers-differ").startswith("0 of ")


def test_a_listener_sees_what_left_here(listener):
    report, reason = assess(f"site.test:{listener.port}", "--listener", code=NOBODY)
    assert seen(report, "listener-hello").startswith("the same, octet by octet")
    assert seen(report, "listener-binding").startswith("the same") and "--expect" in reason
    report, reason = assess(f"site.test:{listener.port}", "--listener", "--expect", listener.key, code=NOBODY)
    assert seen(report, "listener") == "answered, and signed with an expected key"


# Overt, in its three ways

def test_overt_that_inspects_is_found_named_and_graded(world, nginx, proxy, folder):
    one = proxy()
    direct, _ = assess(f"site.test:{nginx.port}", trust=world.trust, code=UNTOLD)
    report, reason = assess(f"site.test:{nginx.port}", "--proxy", f"127.0.0.1:{one.port}", "--expect", save(folder, direct),
                            code=SOMEBODY)
    assert "Overt CA" in reason and grade(report, "names-copied") == "-"
    assert seen(report, "expected").startswith("neither") and report["grade"] in "AB"
    assert grade(report, "rsa-key-exchange") == "A", "the proxy's own leg is graded as a server's"
    assert not seen(report, "answers-differ").startswith("0 of ")


def test_overt_that_inspects_is_found_by_the_listener_whose_word_is_signed(listener, proxy):
    one = proxy(trust=listener.root, rules=settings.rules())
    report, reason = assess(f"site.test:{listener.port}", "--proxy", f"127.0.0.1:{one.port}", "--listener", "--expect",
                            listener.key, code=SOMEBODY)
    assert seen(report, "listener") == "answered, and signed with an expected key", "through the proxy"
    assert "JA4" in seen(report, "listener-hello") and "two connections" in seen(report, "listener-binding")
    assert seen(report, "leg-2").startswith("TLS 1.3")


@pytest.mark.parametrize("rule", [settings.rules(default="bypass"),
                                  settings.rules(settings.rule("bypass", settings.BYPASS_UNSEEN, name=["site.test"]))],
                         ids=["bypass", "bypass-unseen"])
def test_overt_that_steps_aside_is_nobody(listener, proxy, rule):
    one = proxy(trust=listener.root, rules=rule)
    report, _ = assess(f"site.test:{listener.port}", "--proxy", f"127.0.0.1:{one.port}", "--listener", "--expect",
                       listener.key, code=NOBODY)
    assert seen(report, "listener-hello").startswith("the same") and "relayed" in seen(report, "listener-source")


def test_a_proxy_of_accord_terminates_for_who_does_not_speak_it(listener, proxy, folder):
    code, _, err = overt.run("accord", "init", "--state", folder / "state", "--name", "proxy.test")
    assert code == 0, err
    one = proxy("--accord", "prefer", state=folder / "state", trust=listener.root, rules=settings.rules())
    report, reason = assess(f"site.test:{listener.port}", "--proxy", f"127.0.0.1:{one.port}", "--listener", "--expect",
                            listener.key, code=SOMEBODY)
    assert "Overt CA" in reason and "two connections" in seen(report, "listener-binding")


# Others

def test_mitmproxy_is_found_by_its_name_and_by_a_name_that_nobody_has(starts, listener, folder):
    reserved = Reserved()
    process = starts(Process(needs_program("mitmdump"), "-q", "--listen-host", "127.0.0.1", "-p", reserved.port, "--set",
                             f"confdir={folder / 'mitm'}", "--set", f"ssl_verify_upstream_trusted_ca={listener.root}"))
    reserved.close()
    eventually(lambda: listening(reserved.port) or not process.running(), "mitmdump listens")
    report, reason = assess(f"site.test:{listener.port}", "--proxy", f"127.0.0.1:{reserved.port}", "--listener",
                            code=SOMEBODY)
    assert "mitmproxy" in reason and "mitmproxy" in seen(report, "issuer")
    assert "another ClientHello arrived" in seen(report, "listener-hello")
    assert report["grade"] in "ABCF"


def test_sslsplit_is_found_by_the_listener_and_graded_worse_than_overt(starts, listener, folder, proxy):
    split = Reserved()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key.pem", "-out",
                    folder / "ca.pem", "-days", "30", "-subj", "/CN=split", "-addext", "basicConstraints=critical,CA:TRUE",
                    "-addext", "keyUsage=critical,keyCertSign"], check=True, capture_output=True)
    process = starts(Process(needs_program("sslsplit"), "-D", "-k", folder / "key.pem", "-c", folder / "ca.pem", "https",
                             "127.0.0.1", split.port, "127.0.0.1", listener.port))
    split.close()
    eventually(lambda: listening(split.port) or not process.running(), "sslsplit listens")
    report, reason = assess(f"site.test:{split.port}", "--listener", "--expect", listener.key, code=SOMEBODY)
    assert "CN=split" in reason and "two connections" in seen(report, "listener-binding")
    assert grade(report, "extended-master-secret") in "AB" and report["grade"] in "BCF"


def test_a_public_name_below_a_root_of_this_machine_alone_is_somebody(world, starts, folder):
    host = "www.nowhere-at-all.org"
    server = starts(servers.Nginx(*world.files(host)))
    strangers = folder / "web.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    folder / "key.pem", "-out", strangers, "-subj", "/CN=web"], check=True, capture_output=True)
    report, reason = assess(f"127.0.0.1:{server.port}", "--name", host, "--web-roots", strangers, trust=world.trust,
                            code=SOMEBODY)
    assert "public name ends at a root" in reason
    assert grade(report, "transparency") == "-" and "none in the certificate" in seen(report, "transparency")


# What cannot be assessed

@pytest.mark.parametrize("text, endless", [(b"SSH-2.0-none\r\n", False), (b"", False), (ENDLESS, True)],
                         ids=["ssh", "hangs", "flood"])
def test_what_is_no_server_is_told_in_one_line(starts, text, endless):
    server = starts(Talker(text, endless))
    code, out, err = overt.run("assess", "path", f"127.0.0.1:{server.port}", "--timeout", "1s", "--pause", "0s")
    assert (code, out) == (1, "") and len(err.splitlines()) == 1 and "no handshake" in err, err
    assert len(server.open) <= 3


def test_a_proxy_that_does_not_connect_is_told(starts, proxy, nginx):
    one = proxy(rules=settings.rules(loopback=False))
    code, out, err = overt.run("assess", "path", f"site.test:{nginx.port}", "--proxy", f"127.0.0.1:{one.port}", *QUICK)
    assert (code, out) == (1, "") and re.search(r"CONNECT with \d+|no handshake", err), err


def test_a_server_that_is_no_listener_is_told_and_the_verdict_rests_on_the_rest(world, nginx):
    report, _ = assess(f"site.test:{nginx.port}", "--listener", trust=world.trust, code=UNTOLD)
    assert "no overt assess --listen" in seen(report, "listener")


@pytest.mark.parametrize("expected, said", [("sha256:12", "64 hex digits"), ("/nothing/here", "/nothing/here"),
                                            ("/etc/hosts", "neither a report")])
def test_what_cannot_be_expected_is_told(expected, said):
    code, out, err = overt.run("assess", "path", "site.test:1", "--expect", expected)
    assert (code, out) == (2, "") and said in err, err
