"""overt assess path: whether somebody terminates, told rightly of direct paths, of proxies that pass through and of
proxies that inspect, by keys, by another place's report, and by a server at the other end."""

import hashlib
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
QUICK = ("--pause", "0s", "--timeout", "10s")
needs_accord = overt.requires("exec --accord --accord-rule")


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


PUBLIC = "www.nowhere-at-all.org"


def of_a_public_name(starts, world, *chain):
    """A server of a name that looks public, below a root of our own; and a file of another root, as browsers'."""
    above = {"intermediate": world.intermediate, "root": world.root}
    server = starts(servers.Nginx(*world.folder.install(f"public-{len(chain)}", world.leaf(PUBLIC),
                                                        [above[one] for one in chain])))
    strangers = world.folder.path / "web.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    world.folder.path / "web.key", "-out", strangers, "-subj", "/CN=web"], check=True, capture_output=True)
    return f"127.0.0.1:{server.port}", ("--name", PUBLIC, "--web-roots", strangers)


def key_of(pem):
    key = subprocess.run(["openssl", "x509", "-pubkey", "-noout"], input=pem.encode(), check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True, capture_output=True).stdout
    return "sha256:" + hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "not-trusted"])
def test_an_expected_root_that_is_not_sent_as_is_usual_tells_that_nobody_terminates(starts, world, trusted):
    host, more = of_a_public_name(starts, world, "intermediate")
    trust = world.trust if trusted else None
    report, reason = assess(host, *more, "--expect", world.trust, trust=trust, code=NOBODY)
    assert "signed by an expected key" in reason
    assert seen(report, "expected") == "the leaf is signed by an expected key"


def test_an_expected_key_of_a_root_that_is_not_sent_is_that_of_the_trusted_one(starts, world):
    host, more = of_a_public_name(starts, world, "intermediate")
    _, reason = assess(host, *more, "--expect", key_of(world.root.pem), trust=world.trust, code=NOBODY)
    assert "signed by an expected key" in reason


def test_an_expected_root_that_is_sent_stands_above_what_else_would_be_proof(starts, world):
    host, more = of_a_public_name(starts, world, "intermediate", "root")
    report, reason = assess(host, *more, "--expect", world.trust, trust=world.trust, code=NOBODY)
    assert "browsers do not bring along" in seen(report, "root") and "signed by an expected key" in reason
    _, reason = assess(host, *more, trust=world.trust, code=SOMEBODY)
    assert "do not bring along. It says it is" in reason, "the same without: one sentence after the other"


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


class AccordPath:
    """assess path, run by `overt exec --accord`, and a proxy of Accord between it and a listener."""

    def __init__(self, folder, listener, proxy, rules=None):
        state, self.listener = folder / "state", listener
        code, _, err = overt.run("accord", "init", "--state", state, "--name", "proxy.test")
        assert code == 0, err
        self.proxy = proxy("--accord", "require", state=state, trust=listener.root, rules=rules or settings.rules())
        self.anchors = state / "accord-anchor.pem"

    def assess(self, *options, code):
        """The release build inside: what is preloaded must come before a sanitizer's library."""
        at = f"127.0.0.1:{self.proxy.port}"
        done, out, err = overt.run(
            "exec", "--accord", self.anchors, "--trust", self.listener.root, "--proxy", at, "--", overt.binary(release=True),
            "assess", "path", f"site.test:{self.listener.port}", "--proxy", at, "--json", *QUICK, *options)
        assert done == code, (out, err)
        report = json.loads(out)
        return report, next(v["reason"] for v in report["verdicts"] if v["name"] == "termination"), err


@needs_accord
@pytest.mark.parametrize("asked", [(), ("--listener",)], ids=["alone", "listener"])
def test_a_proxy_of_accord_is_somebody_although_it_shows_the_expected_key(folder, listener, proxy, asked):
    path = AccordPath(folder, listener, proxy)
    report, reason, err = path.assess("--expect", listener.key, *asked, code=SOMEBODY)
    assert "speaks Accord" in reason and "own key" not in reason
    assert seen(report, "expected") == "the leaf's key is expected", "the server's, out of the proof"
    assert "Overt Accord anchor proxy.test" in seen(report, "accord")
    assert re.search(r"site\.test: proven; proxy proxy\.test is reader", err), err
    if asked:
        assert "two connections" in seen(report, "listener-binding")


@needs_accord
def test_a_proxy_of_accord_that_steps_aside_is_nobody(folder, listener, proxy):
    path = AccordPath(folder, listener, proxy, rules=settings.rules(default="bypass"))
    report, _, _ = path.assess("--expect", listener.key, "--listener", code=NOBODY)
    assert seen(report, "listener-hello").startswith("the same")
    assert not [f for f in report["findings"] if f["check"] == "accord"]


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


KEY_UPDATES = r"""
#include <openssl/ssl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
static SSL_CTX *ctx;
static void *flood(void *arg)
{
	SSL *ssl = SSL_new(ctx);
	SSL_set_fd(ssl, (int)(long)arg);
	if (SSL_accept(ssl) == 1)
		while (SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(ssl) == 1)
			;
	SSL_free(ssl);
	close((int)(long)arg);
	return NULL;
}
int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	pthread_t thread;
	signal(SIGPIPE, SIG_IGN);
	ctx = SSL_CTX_new(TLS_server_method());
	if (argc != 3 || SSL_CTX_use_certificate_chain_file(ctx, argv[1]) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, argv[2], SSL_FILETYPE_PEM) != 1 ||
		bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, 9) != 0 ||
		getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		return 1;
	printf("port %d\n", ntohs(at.sin_port));
	fflush(stdout);
	for (int one; (one = accept(fd, NULL, NULL)) >= 0;)
		if (pthread_create(&thread, NULL, flood, (void *)(long)one) == 0)
			pthread_detach(thread);
	return 0;
}
"""


@pytest.fixture
def key_updates(starts, world, folder):
    """The port of a server that completes every handshake of TLS 1.3, and then sends KeyUpdate without end."""
    source, program = folder / "flood.c", folder / "flood"
    source.write_text(KEY_UPDATES)
    subprocess.run([needs_program("cc"), "-O1", "-o", program, source, "-lssl", "-lcrypto", "-lpthread"], check=True)
    server = starts(Process(program, *world.files("site.test")))
    return server.out.wait(r"port (\d+)")[1]


def test_key_updates_without_end_do_not_hold_it(key_updates, world):
    report, _ = assess(f"site.test:{key_updates}", "--listener", "--timeout", "3s", trust=world.trust, code=UNTOLD)
    assert "no answer" in seen(report, "listener") or "no overt assess" in seen(report, "listener")


def test_hello_requests_without_end_do_not_hold_it(starts):
    server = starts(Talker(b"\x16\x03\x03\x00\x04\0\0\0\0" * 100000, True))
    code, out, err = overt.run("assess", "path", f"127.0.0.1:{server.port}", "--timeout", "2s", "--pause", "0s")
    assert (code, out) == (1, "") and len(err.splitlines()) == 1, err
    assert "no end to what it sends" in err or "before the deadline" in err, err


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
