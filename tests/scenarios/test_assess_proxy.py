"""overt assess proxy: Overt gets all, and known faults of others are found."""

import json
import subprocess

import pytest
from lab import overt, settings
from lab.proc import Process, eventually
from lab.servers import Reserved, listening, needs_program
from test_assess_server import Talker

pytestmark = overt.requires("assess --at-least")


@pytest.fixture
def root(folder):
    code, out, err = overt.run("assess", "root", "--origin", folder / "origin")
    assert code == 0, err
    assert (folder / "origin" / "root.key").stat().st_mode & 0o777 == 0o600
    return folder / "origin"


def assess(port, ca, root, *options):
    code, out, err = overt.run("assess", "proxy", f"127.0.0.1:{port}", "--ca", ca, "--origin", root, "--json", *options)
    assert code == 0, err
    report = json.loads(out)
    return report, {f["check"]: f for f in report["findings"]}


def test_overt_gets_all(proxy, root):
    one = proxy("--crl", root / "root.crl", trust=root / "root.pem", rules=settings.rules())
    report, checks = assess(one.port, one.ca, root, "--name", "a.b.case-001.test")
    assert report["grade"] == "A", [f for f in report["findings"] if f["grade"] > "A"]
    assert report["verdicts"][0]["verdict"] == "complete"
    assert {f["check"] for f in report["findings"] if f["grade"] == "?"} == {"06-crl-signer", "17-ca-key"}
    assert {check[:2] for check in checks} >= {f"{n:02}" for n in range(1, 20)}


def test_a_proxy_that_does_not_trust_the_root_is_told_and_not_graded(proxy, root, world):
    one = proxy(trust=world.trust)
    code, out, err = overt.run("assess", "proxy", f"127.0.0.1:{one.port}", "--ca", one.ca, "--origin", root)
    assert code == 1 and out == "" and "not even a good server" in err and "--origin" in err


def test_a_proxy_that_passes_through_is_told_and_not_graded(proxy, root):
    one = proxy(trust=root / "root.pem", rules=settings.rules(default="bypass"))
    code, out, err = overt.run("assess", "proxy", f"127.0.0.1:{one.port}", "--ca", one.ca, "--origin", root)
    assert code == 1 and out == "", err


def test_a_ca_that_cannot_be_read_is_told_before_anything_is_asked(root, folder):
    (folder / "empty.pem").write_text("none\n")
    nobody = Reserved()
    for name, why in (("nofile", "No such file or directory"), ("empty.pem", "holds no certificate in PEM")):
        code, out, err = overt.run("assess", "proxy", f"127.0.0.1:{nobody.port}", "--ca", folder / name, "--origin", root)
        assert (code, out, err) == (1, "", f"overt assess: --ca {folder / name}: {why}\n")
    nobody.close()


def serve(starts, port, *command):
    process = starts(Process(*command))
    eventually(lambda: listening(port) or not process.running(), f"{command[0]} listens")
    assert process.running(), process.err.text()


def test_mitmproxy_verifies_but_takes_any_group_and_shows_more_than_there_is(starts, root, folder):
    reserved = Reserved()
    serve(starts, reserved.port, needs_program("mitmdump"), "-q", "--listen-host", "127.0.0.1", "-p", reserved.port, "--set",
          f"confdir={folder}", "--set", f"ssl_verify_upstream_trusted_ca={root / 'root.pem'}")
    reserved.close()
    report, checks = assess(reserved.port, folder / "mitmproxy-ca-cert.pem", root)
    assert report["grade"] == "C" and report["verdicts"][0]["verdict"] == "complete"
    assert checks["17-leaf-key"]["grade"] == "C" and checks["11-revoked"]["grade"] == "B" and checks["12-own-ca"]["grade"] == "A"
    assert checks["14-dhe-custom-group"]["grade"] == "C" and checks["11-must-staple"]["grade"] == "C"
    assert checks["13-mirrored-version"]["grade"] == "B" and checks["18-leaf-dates"]["grade"] == "B"
    assert checks["02-expired"]["grade"] == checks["10-wrong-name"]["grade"] == "A" and checks["19-shown"]["seen"] == "a page"


def test_sslsplit_verifies_nothing_and_takes_old_versions(starts, root, folder):
    program, listener, origin = needs_program("sslsplit"), Reserved(), Reserved()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key.pem", "-out",
                    folder / "ca.pem", "-days", "30", "-subj", "/CN=split", "-addext", "basicConstraints=critical,CA:TRUE",
                    "-addext", "keyUsage=critical,keyCertSign"], check=True, capture_output=True)
    serve(starts, listener.port, program, "-D", "-k", folder / "key.pem", "-c", folder / "ca.pem", "https", "127.0.0.1",
          listener.port, "127.0.0.1", origin.port)
    listener.close()
    report, checks = assess(listener.port, folder / "ca.pem", root, "--direct", "--origin-port", origin.port)
    origin.close()
    assert report["grade"] == "F" and report["verdicts"][0]["verdict"] == "incomplete"
    assert checks["16-wrong-key"]["grade"] == checks["16-server-key-exchange"]["grade"] == "A"
    assert checks["12-own-ca"]["grade"] == "?" and "CONNECT" in checks["12-own-ca"]["seen"]
    for check in ("01-self-signed", "01-unknown-root", "02-expired", "03-bad-signature", "04-leaf-as-issuer", "10-wrong-name"):
        assert checks[check]["grade"] == "F", checks[check]
    assert checks["13-upstream-tls10"]["grade"] == "C" and checks["13-client-tls10"]["grade"] == "B"
    assert checks["16-damaged-finished"]["grade"] == "A", "what OpenSSL itself does is not held against it"


# What is no proxy

@pytest.mark.parametrize("text, endless", [(b"SSH-2.0-none\r\n", False), (b"", False), (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 8000, True)],
                         ids=["ssh", "hangs", "flood"])
def test_what_is_no_proxy_is_told_in_one_line_within_deadlines(starts, root, world, text, endless):
    server = starts(Talker(text, endless))
    code, out, err = overt.run("assess", "proxy", f"127.0.0.1:{server.port}", "--ca", world.trust, "--origin", root, "--timeout",
                               "1s")
    assert (code, out) == (1, "") and len(err.splitlines()) == 1 and "not even a good server" in err, err
    assert len(server.open) <= 3


def test_a_proxy_that_is_gone_is_told(root, world):
    reserved = Reserved()
    reserved.close()
    code, out, err = overt.run("assess", "proxy", f"127.0.0.1:{reserved.port}", "--ca", world.trust, "--origin", root)
    assert (code, out) == (1, "") and "Connection refused" in err
