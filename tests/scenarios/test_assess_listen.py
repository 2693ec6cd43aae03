"""overt assess client --listen: clients that cannot be started as a command visit it, by a page, by a list of addresses or
by one address alone, and are told apart and reported on."""

import json
import re
import socket
import subprocess

import pytest
from lab import clients, overt
from lab.proc import Process, eventually
from lab.servers import needs_program
from test_assess_path import Listener

pytestmark = overt.requires("assess --listen --clients")


@pytest.fixture
def listener(starts, folder):
    return starts(Listener(folder, "--json", "--timeout", "10s", name="localhost"))


def curl(listener, url, *options, source="127.0.0.1"):
    return subprocess.run([needs_program("curl"), "-s", "--max-time", "20", "--interface", source, "--noproxy", "*", "--cacert",
                           listener.root, *options, url], capture_output=True, env=clients.environment())


def reports(listener, number):
    """Every report so far, once there are as many."""
    eventually(lambda: len(listener.process.out.lines()) >= number, f"{number} reports")
    return [json.loads(line) for line in listener.process.out.lines() if line]


def by_check(report):
    return {f["check"]: f for f in report["findings"]}


def visit_all(listener, *options, source="127.0.0.1"):
    """Opens every address of the list, several at a time."""
    text = curl(listener, listener.url("/cases"), *options, source=source).stdout.decode()
    urls = [line.split()[1] for line in text.splitlines()]
    assert len(urls) == listener.cases >= 40
    curl(listener, "", *options, "--parallel", "--parallel-max", "8", *[word for url in urls for word in (url, "-o", "/dev/null")],
         source=source)


def test_a_client_that_goes_through_the_list_is_reported_on(listener):
    visit_all(listener)
    report = reports(listener, 1)[0]
    checks = by_check(report)
    assert report["assess"] == "client" and report["target"] == "127.0.0.1"
    for check in ("self-signed", "unknown-root", "expired", "wrong-name", "wrong-key", "damaged-finished"):
        assert checks[check]["grade"] == "A", checks[check]
    assert checks["control"]["seen"] == "accepted, as it should be" and checks["fingerprint"]["seen"].startswith("JA4 t13")
    assert not [f for f in report["findings"] if "did not come" in f["seen"]]


def test_two_clients_are_told_apart_by_their_addresses(listener):
    visit_all(listener, source="127.0.0.1")
    visit_all(listener, "-k", source="127.0.0.2")
    grades = {r["target"]: r["grade"] for r in reports(listener, 2)}
    assert grades["127.0.0.2"] == "F" and grades["127.0.0.1"] in "BC"


def test_a_device_that_knows_one_address_meets_one_case_after_the_other(listener):
    url = f"https://localhost:{listener.walk}/"
    for _ in range(listener.cases + 1):
        curl(listener, url)
    assert by_check(reports(listener, 1)[0])["expired"]["grade"] == "A"
    text = curl(listener, url).stdout.decode()
    assert "overt assess client 127.0.0.1" in text and "A  self-signed" in text and "did not come" not in text


def test_the_report_is_served_as_a_page_to_who_has_its_address(listener):
    home = curl(listener, listener.url()).stdout.decode()
    link = re.search(r'href="(/report/\w{32})"', home)[1]
    assert home.count("<img ") == listener.cases and "<script" not in home
    curl(listener, re.search(r'src="(https://[^"]+)"', home)[1])
    page = curl(listener, listener.url(link)).stdout.decode()
    assert page.startswith("<!doctype html>") and "self-signed" in page
    assert "nothing here" in curl(listener, listener.url("/report/" + "0" * 32)).stdout.decode()
    assert curl(listener, listener.url("/report.json")).stdout.startswith(b'{"assess":"client"')


def test_a_browser_fetches_the_pictures_and_refuses_all_bad_certificates(listener, folder, starts):
    program, certutil = needs_program("chromium"), needs_program("certutil")
    store = folder / ".pki" / "nssdb"
    store.mkdir(parents=True)
    subprocess.run([certutil, "-d", f"sql:{store}", "-N", "--empty-password"], check=True)
    subprocess.run([certutil, "-d", f"sql:{store}", "-A", "-t", "C,,", "-n", "test", "-i", listener.root], check=True)
    starts(Process(program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
                   "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
                   "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost", "--remote-debugging-port=0",
                   f"--user-data-dir={folder}/profile", listener.url(), env={**clients.environment(), "HOME": str(folder)}))
    checks = by_check(reports(listener, 1)[0])
    assert checks["control"]["grade"] == "-" and checks["fingerprint"]["seen"].startswith("JA4 t13")
    for check in ("self-signed", "unknown-root", "expired", "wrong-name", "wrong-key"):
        assert checks[check]["grade"] == "A", checks[check]


# Bad input

def test_floods_and_silent_connections_do_not_keep_others_from_their_report(listener):
    silent = [socket.create_connection(("127.0.0.1", listener.port), 10, source_address=("127.0.0.3", 0)) for _ in range(60)]
    for sock in silent[:20]:
        sock.sendall(b"\x16\x03\x01\x40\x00" + b"\0" * 4096)
    try:
        assert curl(listener, listener.url("/cases")).stdout.startswith(b"self-signed https://")
    finally:
        for sock in silent:
            sock.close()


def test_requests_that_are_none_get_no_more_than_nothing_here(listener):
    for path in ("/../../etc/passwd", "/overt-assess/path/zz", "/report/", "/%00"):
        assert b"nothing here" in curl(listener, listener.url(path), "--path-as-is").stdout
    assert b"nothing here" in curl(listener, listener.url("/"), "-X", "POST", "-d", "a=b").stdout


@pytest.mark.parametrize("words, said", [(["--listen", "127.0.0.1:0"], "--origin"),
                                         (["client", "--listen", "nowhere", "--origin", "x"], "IP:PORT"),
                                         (["server", "--listen", "127.0.0.1:0"], "for clients"),
                                         (["--listen", "127.0.0.1:65500", "--origin", "x"], "ports are needed")])
def test_what_cannot_be_listened_on_is_told(words, said, folder):
    code, out, err = overt.run("assess", *words, cwd=folder)
    assert code in (1, 2) and out == "" and said in err, err


def test_it_ends_by_itself_after_the_clients_that_were_asked_for(starts, folder):
    listener = Listener(folder, "--json", "--clients", "1", "--timeout", "500ms", name="localhost")
    curl(listener, listener.url())
    curl(listener, curl(listener, listener.url("/cases")).stdout.decode().split()[1])
    assert listener.process.popen.wait(30) == 0 and len(reports(listener, 1)) == 1
