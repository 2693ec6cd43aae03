"""`overt exec --share --collector`: keys of unmodified programs, judged by grants, sealed, logged and sent, until a named
reader elsewhere reads the connections with them. Nothing is captured where the program runs."""

import os
import re
import signal
import subprocess

import pytest
from lab import clients, lines, overt, servers, still, watch
from lab.collect import Collector, Frames, Key, Place, Sealer
from lab.proc import PATIENCE, Process, eventually
from lab.sharing import curl, send, sending

pytestmark = overt.requires("exec --share --collector", "collect", "grant", "watch --collector")


@pytest.fixture
def place(folder):
    return Place(folder)


TERMS = {"names": ("site.test",), "consent": "unilateral"}


@pytest.fixture
def grant(place):
    """A grant that covers what the tests say; before the collector, which looks at the folder when it begins."""
    return place.grant(**TERMS)


@pytest.fixture
def collector(place, grant, starts):
    return starts(Collector(place))


def _entries(path, kind):
    return lines.objects(path, kind)


def test_a_reader_reads_what_a_program_elsewhere_says(place, collector, nginx, world, starts, folder):
    running = starts(watch.live(nginx.port, *place.reading(collector)))
    done = send(place, collector, folder, *curl(world, nginx, path="/who"))
    assert done.returncode == 0 and "subject=" in done.stdout, done.stderr
    assert running.wait('"type":"request"')["path"] == "/who"
    assert running.wait('"type":"response"')["status"] == 200
    assert re.search(r"2 keys: 0 under no grant; 2 sealed, of which the collector has 2 and refused 0", done.stderr)


def test_a_reader_reads_what_a_server_says_over_days(place, collector, world, starts, folder):
    """nginx under it, whose workers have no rights; requests come while it goes on."""
    server = starts(servers.Nginx(*world.files("site.test"), user="nobody nogroup",
                                  under=[*sending(place, collector, folder), "--"]))
    running = starts(watch.live(server.port, *place.reading(collector)))
    for number in range(3):
        assert clients.run(*curl(world, server, path=f"/who?{number}")).returncode == 0
        assert running.wait(rf'"type":"request".*/who\?{number}')["path"] == f"/who?{number}"
    server.process.terminate()
    assert "6 sealed, of which the collector has 6" in server.process.err.text(), server.process.err.text()


def test_every_release_is_in_the_log_of_the_host_before_it_leaves(place, grant, collector, nginx, world, folder):
    assert send(place, collector, folder, *curl(world, nginx, path="/who")).returncode == 0
    entries = _entries(folder / "release.log", "release")
    assert [entry["direction"] for entry in entries] == ["server", "client"] or \
        sorted(entry["direction"] for entry in entries) == ["client", "server"]
    assert {entry["grant"] for entry in entries} == {grant} and {entry["consent"] for entry in entries} == {"unilateral"}
    assert len(place.entries("release")) >= 1


@pytest.mark.parametrize("terms", [{"names": ("other.test",), "consent": "unilateral"},
                                   {"names": ("*",), "consent": "both"},
                                   {"names": ("*",), "consent": "unilateral", "grade": "raw"}])
def test_without_a_grant_that_covers_it_no_key_leaves(terms, place, starts, nginx, world, folder):
    place.grant(**terms)
    collector = starts(Collector(place))
    done = send(place, collector, folder, *curl(world, nginx, path="/who"))
    assert done.returncode == 0
    assert "2 keys: 2 under no grant; 0 sealed" in done.stderr, done.stderr
    assert _entries(folder / "release.log", "release") == []


def test_a_revoked_grant_ends_at_once_while_the_program_goes_on(place, grant, collector, world, starts, folder):
    server = starts(servers.Nginx(*world.files("site.test"), under=[*sending(place, collector, folder), "--"]))
    assert clients.run(*curl(world, server, path="/who")).returncode == 0
    eventually(lambda: len(_entries(folder / "release.log", "release")) == 2, "both directions are released")
    place.revoke(grant)
    assert clients.run(*curl(world, server, path="/who")).returncode == 0
    server.process.terminate()
    assert "4 keys: 2 under no grant; 2 sealed" in server.process.err.text(), server.process.err.text()
    assert len(_entries(folder / "release.log", "release")) == 2


def test_keys_wait_for_a_collector_that_is_away(place, grant, world, starts, folder):
    """It comes back at the same address; nothing is lost, and no program waits."""
    first = Collector(place)
    address = first.address
    server = starts(servers.Nginx(*world.files("site.test"), under=[*sending(place, first, folder), "--"]))
    assert clients.run(*curl(world, server, path="/who")).returncode == 0
    eventually(lambda: len(place.entries("release")) >= 1, "the first keys are there")
    first.stop()
    assert clients.run(*curl(world, server, path="/who")).returncode == 0
    starts(Collector(place, address=address))
    server.process.terminate()
    assert re.search(r"4 sealed, of which the collector has [46] and refused 0", server.process.err.text()), \
        server.process.err.text()


MANY = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
for _ in range(150):
    with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[2]))), server_hostname="site.test") as tls:
        pass
"""


def test_a_burst_of_keys_reaches_the_collector_whole(place, collector, nginx, world, folder, starts):
    """It stands still while they are made: batches are full then, and longer than a record of TLS."""
    run = starts(Process(*sending(place, collector, folder), "--", "/usr/bin/python3", "-c",
                         "import sys; exec(open(sys.argv[3]).read()); print('made', flush=True); sys.stdin.read()",
                         world.trust, nginx.port, clients.script(folder, "many.py", MANY), stdin=subprocess.PIPE,
                         env=overt.SANITIZER_OPTIONS))
    still.stop(collector.process.pid)
    try:
        run.out.wait("made")
    finally:
        still.go_on(collector.process.pid)
    run.popen.stdin.close()
    assert run.wait() == 0
    assert "300 keys: 0 under no grant; 300 sealed, of which the collector has 300 and refused 0" in run.err.text()
    assert sum(entry["count"] for entry in place.entries("release")) == 300
    assert max(entry["count"] for entry in place.entries("release")) == 64


def test_other_programs_share_at_the_door(place, collector, nginx, world, starts, folder):
    """As a service with the agent in its unit does."""
    door = folder / "share"
    shipper = starts(Process(*sending(place, collector, folder), "--door", door, "--", "sleep", "600",
                             env=overt.SANITIZER_OPTIONS))
    eventually(door.exists, "the door is there")
    agent = os.path.join(os.path.dirname(overt.binary()), "src", "agent", "libovert-agent.so")
    done = clients.run(*curl(world, nginx, path="/who"), env={"LD_PRELOAD": agent, "OVERT_SHARE": str(door),
                                                                 "OVERT_SHARE_UID": str(os.geteuid())})
    assert done.returncode == 0, done.stderr
    eventually(lambda: len(_entries(folder / "release.log", "release")) == 2, "it is released")
    shipper.terminate(signal.SIGTERM)
    assert "2 sealed, of which the collector has 2" in shipper.err.text(), shipper.err.text()
    assert not door.exists()


# In time

TIMED = """
import socket, ssl, sys, time
context = ssl.create_default_context(cafile=sys.argv[1])
began = time.monotonic()
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[2]))), server_hostname="site.test") as tls:
    print("took", time.monotonic() - began, flush=True)
    tls.sendall(b"GET " + sys.argv[3].encode() + b" HTTP/1.1\\r\\nHost: site.test\\r\\nConnection: close\\r\\n\\r\\n")
    print(tls.makefile().read())
"""


def _acking(place, collector, folder, world, server, late, deadline, path="/who"):
    return Process(*sending(place, collector, folder), "--ack", "collector", "--late", late, "--deadline", deadline, "--",
                   "/usr/bin/python3", clients.script(folder, "timed.py", TIMED), world.trust, server.port, path,
                   env=overt.SANITIZER_OPTIONS)


def test_a_handshake_waits_until_the_collector_has_its_key(place, collector, nginx, world, starts, folder):
    run = starts(_acking(place, collector, folder, world, nginx, "closed", 20000))
    assert run.wait() == 0 and "subject=" in run.out.text(), run.err.text()
    assert "2 sealed, of which the collector has 2" in run.err.text() and "not taken in time" not in run.err.text()


@pytest.mark.parametrize("late, code", [("open", 0), ("closed", 1)])
def test_a_collector_that_is_slow_holds_nobody_beyond_the_deadline(
        late, code, place, collector, nginx, world, starts, folder):
    """It stands still on purpose: closed, and nothing is asked; open, and it is counted."""
    path = f"/who?slow-{late}"
    still.stop(collector.process.pid)
    try:
        run = starts(_acking(place, collector, folder, world, nginx, late, 500, path))
        took = float(run.out.wait(r"took ([\d.]+)")[1])  # which it says while the collector stands still
    finally:
        still.go_on(collector.process.pid)
    assert (run.wait() != 0) == bool(code), run.err.text()
    assert not overt.SANITIZER.search(run.err.text()), run.err.text()
    assert took >= 0.5, run.err.text()
    assert ("subject=" in run.out.text()) == (not code)
    asked = f"GET {path} HTTP/1.1"
    if late == "open":
        eventually(lambda: asked in nginx.requests(), "the request is in the server's log")
    assert (asked in nginx.requests()) == (not code)
    assert re.search(r"\d+ times a key was not taken in time: these connections (were refused|went on)", run.err.text())


@pytest.mark.parametrize("late, code", [("open", 0), ("closed", 1)])
def test_a_collector_that_is_full_holds_nobody_beyond_the_deadline(
        late, code, place, grant, nginx, world, starts, folder):
    """It answers, and refuses for want of room: that is no acknowledgement."""
    collector = starts(Collector(place, "--client-memory", "64KiB"))
    filler, sealer = Frames(collector.connect("web1", "overt-keys/1")), Sealer(place.keys / "ops.pub")
    number, why = 0, 0
    while why == 0:
        number += 1
        keys = [Key((50 * number + i).to_bytes(32, "big"), True, 0x1301, b"s" * 32) for i in range(50)]
        *_, why = filler.put(number, *(sealer.seal(grant, key, consent=2) for key in keys))
    filler.close()
    assert why == 7
    run = starts(_acking(place, collector, folder, world, nginx, late, 500))
    took = float(run.out.wait(r"took ([\d.]+)")[1]) if late == "open" else 0.5
    assert (run.wait() != 0) == bool(code), run.err.text()
    assert took >= 0.5, run.err.text()
    assert re.search(r"\d+ times a key was not taken in time: these connections (were refused|went on)", run.err.text())
    assert "2 sealed, of which the collector has 0 and refused 2" in run.err.text(), run.err.text()


def test_without_a_grant_nobody_waits_for_the_collector(place, starts, nginx, world, folder):
    place.grant(names=("other.test",), consent="unilateral")
    run = starts(_acking(place, starts(Collector(place)), folder, world, nginx, "closed", 20000))
    assert run.wait() == 0 and "2 under no grant" in run.err.text(), run.err.text()


@pytest.mark.parametrize("left_out, told", [("--certificate", "--certificate"), ("--grants", "--grants, --signer and --audit"),
                                            ("--audit", "--grants, --signer and --audit")])
def test_what_is_missing_for_a_collector_is_said(left_out, told, place, collector, folder):
    words = list(map(str, sending(place, collector, folder)))
    at = words.index(left_out)
    done = subprocess.run([*words[:at], *words[at + 2:], "--", "true"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2 and told in done.stderr, done.stderr
