"""overt assess client: what clients offer and accept, told of ones that verify and ones that do not."""

import json
import pathlib
import shutil
import signal

import pytest
from lab import overt
from lab.proc import PATIENCE, Process, eventually
from lab.servers import needs_program

pytestmark = overt.requires("assess --at-least")


def assess(*command, code=0):
    done, out, err = overt.run("assess", "client", "--json", "--", *command)
    assert done == code, err
    return json.loads(out)


def by_check(report):
    return {f["check"]: f for f in report["findings"]}


@pytest.fixture
def room(folder, monkeypatch):
    """Where temporary files go, for nobody else."""
    made = folder / "temporary"
    made.mkdir()
    monkeypatch.setenv("TMPDIR", str(made))
    return made


def test_curl_refuses_every_bad_certificate_and_heeds_the_sentinel(room):
    report = assess(needs_program("curl"), "-s", "{}")
    checks = by_check(report)
    for check in ("self-signed", "unknown-root", "expired", "not-yet-valid", "wrong-name", "purpose", "bad-signature",
                  "leaf-as-issuer", "downgrade-sentinel", "damaged-finished", "anonymous"):
        assert checks[check]["grade"] == "A", checks[check]
    assert checks["fingerprint"]["seen"].startswith("JA4 t13d")
    assert report["grade"] in "BC" and not list(room.iterdir())


def test_curl_takes_rsa_key_exchange_without_ems_and_so_is_exposed():
    report = assess(needs_program("curl"), "-s", "{}", "--ciphers", "DEFAULT")
    checks = by_check(report)
    assert checks["rsa-without-ems"]["seen"].startswith("ACCEPTED")
    assert report["verdicts"][0]["verdict"] == "exposed"


def test_a_client_of_tls13_alone_is_not_exposed():
    report = assess(needs_program("curl"), "-s", "--tlsv1.3", "{}")
    checks = by_check(report)
    assert report["verdicts"][0]["verdict"] == "not-exposed"
    assert checks["dhe-custom-group"]["grade"] == "A" and checks["offers-versions"]["seen"] == "TLS 1.3"


def test_a_client_that_does_not_verify_gets_an_f():
    report = assess(needs_program("curl"), "-sk", "{}")
    checks = by_check(report)
    for check in ("self-signed", "unknown-root", "expired", "wrong-name"):
        assert checks[check]["grade"] == "F" and checks[check]["seen"].startswith("ACCEPTED")
    assert report["grade"] == "F" and checks["damaged-finished"]["grade"] == "A"


def test_wget_over_gnutls_is_judged_by_the_environment_alone(folder):
    script = folder / "fetch"
    script.write_text(f'#!/bin/sh\nexec {needs_program("wget")} -q --tries=1 --ca-certificate="$OVERT_CA" -O /dev/null "$OVERT_URL"\n')
    script.chmod(0o755)
    checks = by_check(assess(script))
    assert checks["expired"]["grade"] == checks["wrong-name"]["grade"] == checks["unknown-root"]["grade"] == "A"


def test_a_command_that_fetches_nothing_is_told_and_leaves_nothing(room):
    code, out, err = overt.run("assess", "client", "--", shutil.which("true"))
    assert code == 1 and out == "" and "does not fetch" in err and not list(room.iterdir())


FLOOD = """import os, socket, urllib.parse
url = urllib.parse.urlsplit(os.environ["OVERT_URL"])
sock = socket.create_connection((url.hostname, url.port), 10)
try:
    for _ in range(2000):
        sock.sendall(b"\\x16\\x03\\x01\\x40\\x00" + b"a" * 16384)
except OSError:
    pass
"""


def test_a_command_that_floods_is_told_in_one_line(folder):
    script = folder / "flood.py"
    script.write_text(FLOOD)
    code, out, err = overt.run("assess", "client", "--", needs_program("python3"), script)
    assert code == 1 and out == "" and "does not fetch" in err and len(err.splitlines()) == 1


def test_a_command_that_hangs_is_ended():
    code, out, err = overt.run("assess", "client", "--timeout", "500ms", "--", shutil.which("sleep"), "1000")
    assert code == 1 and out == "" and "ended after" in err


def test_an_exit_code_of_its_own_is_not_taken_for_a_missing_program(folder):
    script = folder / "fails"
    script.write_text("#!/bin/sh\nexit 127\n")
    script.chmod(0o755)
    code, out, err = overt.run("assess", "client", "--", script)
    assert code == 1 and out == "" and "does not fetch" in err and "exit code 127" in err


def test_what_may_not_be_run_is_told(folder):
    script = folder / "plain"
    script.write_text("nothing")
    code, out, err = overt.run("assess", "client", "--", script)
    assert code == 1 and out == "" and "cannot be run: Permission denied" in err


def ended(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda one: one.name)
def test_a_signal_ends_the_command_too_and_leaves_nothing(starts, folder, number):
    above = folder / "room"
    above.mkdir()
    running = folder / "running"
    script = folder / "hangs"
    script.write_text(f'#!/bin/sh\necho $$ > {running}.new && mv {running}.new {running}\nexec sleep 1000\n')
    script.chmod(0o755)
    one = starts(Process(overt.binary(), "assess", "client", "--timeout", "50s", "--", script,
                         env={**overt.SANITIZER_OPTIONS, "TMPDIR": above}))
    eventually(running.exists, "the command runs")
    child = int(running.read_text())
    assert [path.name for path in above.iterdir()][0].startswith("overt-assess-"), "TMPDIR is heeded"
    one.popen.send_signal(number)
    assert one.popen.wait(PATIENCE) == -number, one.err.text()
    eventually(lambda: ended(child), "the command is ended")
    assert number == signal.SIGKILL or not list(above.iterdir())


def test_a_program_that_there_is_not_is_told():
    code, _, err = overt.run("assess", "client", "--", "/nothing/here")
    assert code == 1 and "there is no such program" in err


def test_the_exit_code_follows_the_demanded_grade():
    done, _, err = overt.run("assess", "client", "--at-least", "C", "--", needs_program("curl"), "-sk", "{}")
    assert done == 1, err
