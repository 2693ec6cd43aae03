"""The host's side of grants: what is entered in its own log, ends within a connection, and grants that come late."""

import base64
import os
import re
import resource
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from lab import clients, collect, lines, overt, sharing, still
from lab.collect import Collector, Place
from lab.proc import Process, eventually

pytestmark = overt.requires("exec --share --collector", "collect", "grant")

TERMS = {"names": ("site.test",), "consent": "unilateral"}
OVER = "the grant has ended in this connection"


@pytest.fixture
def place(folder):
    return Place(folder)


def _entries(folder, kind, **wanted):
    found = lines.objects(folder / "release.log", kind)
    return [line for line in found if all(line.get(key) == value for key, value in wanted.items())]


def _curl(world, server):
    return sharing.curl(world, server, path="/who")


# One connection over which a request goes for each line that comes.
STEADY = """
import http.client, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.minimum_version = ssl.TLSVersion.TLSv1_3
server = http.client.HTTPSConnection("site.test", int(sys.argv[2]), context=context)
server._create_connection = lambda address, *more: __import__("socket").create_connection(("127.0.0.1", address[1]))
for number, _ in enumerate(sys.stdin):
    server.request("GET", "/who", headers={"X-Padding": "x" * 1000})
    answer = server.getresponse()
    answer.read()
    print("answer", number, answer.status, server.sock.getsockname()[1], flush=True)
"""


class Steady:
    def __init__(self, place, collector, folder, world, server):
        self.process = Process(*sharing.sending(place, collector, folder), "--", "/usr/bin/python3",
                               clients.script(folder, "steady.py", STEADY), world.trust, server.port,
                               stdin=subprocess.PIPE, env=clients.environment(**overt.SANITIZER_OPTIONS))
        self.count, self.ports = 0, set()

    def ask(self):
        self.process.write(b"\n")
        found = self.process.out.wait(rf"answer {self.count} (\d+) (\d+)")
        assert found[1] == "200"
        self.ports.add(found[2])
        self.count += 1

    def end(self):
        """What was said in the end; all of it went over one connection."""
        self.process.popen.stdin.close()
        assert self.process.wait() == 0, self.process.err.text()
        assert len(self.ports) == 1
        return self.process.err.text()

    def stop(self):
        self.process.stop()


@pytest.fixture
def steady(place, folder, world, nginx, starts):
    def make(collector):
        return starts(Steady(place, collector, folder, world, nginx))
    return make


def _ended(run, folder, grant):
    """The keys have changed, nothing of the new ones has left, and the connection goes on."""
    for _ in range(3):
        run.ask()
    said = run.end()
    assert re.search(r"1 times a grant ended within a connection; [1-9]\d* keys were kept back", said), said
    assert len(_entries(folder, "release", grant=grant)) == 2
    assert {entry["epoch"] for entry in _entries(folder, "release")} == {0}


def test_a_grant_of_so_many_seconds_ends_within_the_connection_which_goes_on(place, starts, steady, folder):
    grant = place.grant("--until-seconds", "1", **TERMS)
    run = steady(starts(Collector(place)))
    run.ask()
    (entry,) = eventually(lambda: _entries(folder, "refusal", why=OVER), "it ends")
    assert (entry["grant"], entry["side"]) == (grant, "host")
    _ended(run, folder, grant)


def test_a_grant_of_so_many_octets_ends_within_the_connection_which_goes_on(place, starts, steady, folder):
    grant = place.grant("--until-bytes", "20KiB", **TERMS)
    run = steady(starts(Collector(place)))
    run.ask()
    assert not _entries(folder, "refusal")

    def over():
        run.ask()
        return _entries(folder, "refusal", why=OVER)
    eventually(over, "it ends")
    assert run.count > 5
    _ended(run, folder, grant)


def test_a_reader_that_has_enough_ends_the_grant_within_the_connection_which_goes_on(place, starts, steady, folder):
    grant = place.grant("--until-reader", **TERMS)
    collector = starts(Collector(place))
    run = steady(collector)
    run.ask()
    eventually(lambda: len(place.entries("release")) > 0, "the collector has them")
    done = collect.Done(*overt.run("collect", "fetch", *place.reading(collector), "--enough", grant))
    assert done.code == 0, done.stderr
    (entry,) = eventually(lambda: _entries(folder, "revoke"), "the host hears of it")
    assert (entry["grant"], entry["reason"]) == (grant, "the reader has said that it is enough")
    for _ in range(3):
        run.ask()
    assert "1 times a grant ended within a connection" in run.end()
    assert len(_entries(folder, "release")) == 2


def test_revoking_a_grant_changes_the_keys_of_its_connections_and_gives_away_none_of_the_next(
        place, starts, steady, folder):
    grant = place.grant(**TERMS)
    run = steady(starts(Collector(place)))
    run.ask()
    eventually(lambda: len(_entries(folder, "release")) == 2, "both directions are released")
    place.revoke(grant)
    eventually(lambda: _entries(folder, "revoke", grant=grant), "the host has seen it")

    def refused():
        run.ask()
        return _entries(folder, "refusal", why="no grant covers it")
    eventually(refused, "new keys come, and are refused")
    assert "under no grant" in run.end()
    assert len(_entries(folder, "release")) == 2


def test_no_grant_of_octets_or_seconds_covers_what_cannot_end(place, starts, nginx, world, folder):
    """The keys of TLS 1.2 stay what they are."""
    place.grant("--until-seconds", "3600", **TERMS)
    done = sharing.send(place, starts(Collector(place)), folder, *_curl(world, nginx), "--tls-max", "1.2")
    assert done.returncode == 0 and "2 keys: 2 under no grant" in done.stderr, done.stderr
    assert not _entries(folder, "release")


def test_a_host_whose_certificate_has_expired_is_told_and_its_programs_go_on(place, starts, nginx, world, folder):
    place.grant(**TERMS)
    collector = starts(Collector(place))
    place.expired("old")
    sending = [place.dir / "old.pem" if word == place.dir / "web1.pem" else word
               for word in sharing.sending(place, collector, folder)]
    run = starts(Process(*sending, "--", *_curl(world, nginx), env=clients.environment(**overt.SANITIZER_OPTIONS)))
    run.err.wait("the collector was lost .*certificate expired")
    run.out.wait("subject=")
    collector.wait("certificate has expired")


# While there is no collector.

BEFORE = "the grant ended before it was sent"

# A line begins with the name of the connection over which a request goes.
SEVERAL = """
import http.client, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.minimum_version = ssl.TLSVersion.TLSv1_3
servers = {}
for name in sys.stdin:
    server = servers.setdefault(name, http.client.HTTPSConnection("site.test", int(sys.argv[2]), context=context))
    server._create_connection = lambda address, *more: __import__("socket").create_connection(("127.0.0.1", address[1]))
    server.request("GET", "/who")
    answer = server.getresponse()
    answer.read()
    print("answer", answer.status, flush=True)
"""


class Several:
    def __init__(self, place, collector, folder, world, server):
        self.process = Process(*sharing.sending(place, collector, folder), "--", "/usr/bin/python3",
                               clients.script(folder, "several.py", SEVERAL), world.trust, server.port,
                               stdin=subprocess.PIPE, env=clients.environment(**overt.SANITIZER_OPTIONS))
        self.count = 0

    def ask(self, name):
        self.process.write(name + b"\n")
        self.process.out.wait("answer 200", after=self.count)
        self.count += 1

    def end(self):
        self.process.popen.stdin.close()
        assert self.process.wait() == 0, self.process.err.text()
        assert not overt.SANITIZER.search(self.process.err.text()), self.process.err.text()
        return self.process.err.text()

    def stop(self):
        self.process.stop()


@pytest.mark.parametrize("how", ["away", "standing still"])
def test_a_grant_ends_in_time_while_keys_wait_for_a_collector(how, place, starts, nginx, world, folder):
    """Who holds the collector up does not read on."""
    place.grant("--until-seconds", "2", **TERMS)
    collector = starts(Collector(place))
    run = starts(Several(place, collector, folder, world, nginx))
    run.ask(b"one")
    eventually(lambda: sum(e["count"] for e in place.entries("release")) == 2, "the first keys are there")
    if how == "away":
        collector.stop()
    else:
        still.stop(collector.process.pid)
    try:
        run.ask(b"two")
        eventually(lambda: _entries(folder, "refusal", why=OVER), "it ends")
        # The host has not stopped waiting for an answer.
        assert how == "away" or "the collector was lost" not in run.process.err.text()
        for _ in range(3):
            run.ask(b"one")
    finally:
        if how == "away":
            starts(Collector(place, address=collector.address))
        else:
            still.go_on(collector.process.pid)
    said = run.end()
    assert re.search(r"[12] times a grant ended within a connection; [1-9]\d* keys were kept back", said), said
    assert {entry["epoch"] for entry in _entries(folder, "release")} == {0}
    # What was released before is of what the grant covers: it comes late, and comes.
    assert "4 sealed, of which the collector has 4 and refused 0" in said, said


def test_what_waits_for_a_collector_is_not_sent_once_its_grant_is_revoked(place, starts, nginx, world, folder):
    grant, other = place.grant(**TERMS), place.grant(**TERMS)
    first = starts(Collector(place))
    first.stop()
    run = starts(Several(place, first, folder, world, nginx))
    run.ask(b"one")
    eventually(lambda: _entries(folder, "release", grant=grant), "a batch waits")
    place.revoke(grant)
    eventually(lambda: _entries(folder, "refusal", why=BEFORE, side="host"), "it is left out")
    second = starts(Collector(place, address=first.address))
    said = run.end()
    assert re.search(r"2 keys: 0 under no grant; [34] sealed, of which the collector has 2 and refused 0", said), said
    second.stop()
    assert [e["grant"] for e in place.entries("release") for _ in range(e["count"])] == [other, other]


def _alike(place, grant, count):
    """Grants that say the same as this one, signed here: it is faster."""
    note = (place.dir / "grants" / f"{grant}.grant").read_text()
    signer = serialization.load_pem_private_key((place.keys / "boss.key").read_bytes(), None)
    name, key_hash, _ = (place.keys / "boss.vkey").read_text().split("+", 2)
    for number in range(count):
        text = note.partition("\n\n")[0].replace(grant, f"{number:032x}") + "\n"
        signature = base64.b64encode(bytes.fromhex(key_hash) + signer.sign(text.encode())).decode()
        (place.dir / "grants" / f"{number:032x}.grant").write_text(f"{text}\n— {name} {signature}\n")


def test_a_key_for_more_readers_than_go_into_a_frame_reaches_them_all(place, starts, nginx, world, folder):
    """A frame has 64 KiB."""
    count = 250
    _alike(place, place.grant(**TERMS), count - 1)
    done = sharing.send(place, starts(Collector(place)), folder, *_curl(world, nginx))
    assert done.returncode == 0, done.stderr
    assert f"2 keys: 0 under no grant; {2 * count} sealed, of which the collector has {2 * count} and refused 0" \
        in done.stderr, done.stderr
    assert "keys not released" not in done.stderr
    assert len({entry["grant"] for entry in place.entries("release")}) == count


# The host's log.

def test_grants_refusals_and_ends_are_in_the_hosts_own_log(place, starts, nginx, world, folder):
    grant, other = place.grant(**TERMS), place.grant(names=("other.test",), consent="unilateral")
    collector = starts(Collector(place))
    assert sharing.send(place, collector, folder, *_curl(world, nginx)).returncode == 0
    assert {entry["grant"] for entry in _entries(folder, "grant")} == {grant, other}
    kinds = [entry["kind"] for entry in lines.objects(folder / "release.log")]
    assert max(n for n, kind in enumerate(kinds) if kind == "grant") < kinds.index("release")
    place.revoke(grant)
    assert sharing.send(place, collector, folder, *_curl(world, nginx)).returncode == 0
    assert [entry["reason"] for entry in _entries(folder, "revoke")] == ["no longer"]
    assert sum(e["count"] for e in _entries(folder, "refusal", why="no grant covers it", side="host")) == 2
    log = collect.Done(*overt.run("log", "verify", "--log", folder / "release.log"))
    assert log.code == 0, log


ANEW = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
for _ in sys.stdin:
    with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[2]))), server_hostname="site.test"):
        print("connected", flush=True)
"""


def test_nothing_is_released_while_the_hosts_log_cannot_be_written(place, starts, nginx, world, folder):
    place.grant(**TERMS)
    run = starts(Process(*sharing.sending(place, starts(Collector(place)), folder), "--", "/usr/bin/python3",
                         clients.script(folder, "anew.py", ANEW), world.trust, nginx.port, stdin=subprocess.PIPE,
                         env=clients.environment(**overt.SANITIZER_OPTIONS)))
    run.write(b"\n")
    eventually(lambda: sum(e["count"] for e in place.entries("release")) == 2, "the first keys are there")
    before = resource.prlimit(run.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, ((folder / "release.log").stat().st_size, before[1]))
    run.write(b"\n")
    run.out.wait("connected", after=1)
    run.popen.stdin.close()
    assert run.wait() == 0
    assert re.search(r"keys not released: 0 unsent, 0 for which there was no room, 2 that could not be logged",
                     run.err.text()), run.err.text()
    assert sum(e["count"] for e in place.entries("release")) == 2


def test_only_the_sender_that_a_grant_names_sends_under_it(place, starts, nginx, world, folder):
    place.grant("--sender", "web2", **TERMS)
    mine = place.grant("--sender", collect.spki_sha256(place.dir / "web1.pem"), **TERMS)
    done = sharing.send(place, starts(Collector(place)), folder, *_curl(world, nginx))
    assert "2 keys: 0 under no grant; 2 sealed, of which the collector has 2" in done.stderr, done.stderr
    assert {entry["grant"] for entry in _entries(folder, "release")} == {mine}


def test_a_grant_that_the_collector_gets_later_than_the_host_costs_no_key(place, starts, nginx, world, folder):
    """Grants are copied to each by other ways: what is refused for want of one is sent again."""
    collector = starts(Collector(place))
    (folder / "early").mkdir()
    grant = place.grant("--dir", folder / "early", **TERMS)
    sending = [folder / "early" if word == place.dir / "grants" else word for word in sharing.sending(place, collector, folder)]
    run = starts(Process(*sending, "--", "sh", "-c", " ".join([*map(str, _curl(world, nginx)), "; read x"]),
                         stdin=subprocess.PIPE, env=clients.environment(**overt.SANITIZER_OPTIONS)))
    eventually(lambda: place.entries("refusal"), "the collector refuses")
    os.rename(folder / "early" / f"{grant}.grant", folder / "copy")
    (folder / "early" / f"{grant}.grant").write_bytes((folder / "copy").read_bytes())
    os.rename(folder / "copy", place.dir / "grants" / f"{grant}.grant")
    eventually(lambda: sum(entry["count"] for entry in place.entries("release")) == 2, "the keys are taken after all")
    run.write(b"\n")
    assert run.wait() == 0
    assert "2 sealed, of which the collector has 2 and refused 0" in run.err.text(), run.err.text()


# Lines of key logs.

RANDOM, SHORT, LONG = "5b" * 32, "c1" * 32, "d2" * 48
LINES = (f"CLIENT_TRAFFIC_SECRET_0 {RANDOM} {SHORT}", f"SERVER_TRAFFIC_SECRET_0 {'6c' * 32} {LONG}",
         f"EXPORTER_SECRET {RANDOM} {'e3' * 32}")


def _write_lines(place, collector, folder):
    """As Node does, which is told to write there."""
    return sharing.send(place, collector, folder, "sh", "-c", 'printf "%s\\n" "$@" > "$OVERT_SHARE_FIFO"', "sh", *LINES)


def _fetched(place, collector, folder):
    log = folder / "fetched"
    done = collect.Done(*overt.run("collect", "fetch", *place.reading(collector), "--keylog", log))
    return sorted(log.read_text().splitlines()), int(re.search(r"(\d+) keys:", done.stderr)[1])


def test_lines_go_whole_where_a_grant_says_raw_and_the_log_says_so(place, starts, folder):
    raw, record = place.grant(grade="raw", consent="unilateral"), place.grant(consent="unilateral")
    collector = starts(Collector(place))
    done = _write_lines(place, collector, folder)
    assert "5 keys: 0 under no grant; 5 sealed, of which the collector has 5" in done.stderr, done.stderr
    fetched, keys = _fetched(place, collector, folder)
    # Exporter secrets open nothing that was sent; of the others record keys were made, too: of the first for both suites.
    assert fetched == sorted(LINES[:2]) and keys == 5
    assert [(e["grade"], e["consent"]) for e in _entries(folder, "release", grant=raw)] == 2 * [("raw", "unilateral")]
    entries = _entries(folder, "release", grant=record)
    assert [e["direction"] for e in entries] == ["client", "client", "server"]
    assert all((e["grade"], e["epoch"]) == ("record", 0) for e in entries)
    text = (folder / "release.log").read_text() + (place.dir / "audit.log").read_text()
    assert SHORT not in text and LONG not in text


def test_without_a_grant_that_says_raw_no_line_leaves_the_host(place, starts, folder):
    place.grant(consent="unilateral")
    collector = starts(Collector(place))
    done = _write_lines(place, collector, folder)
    assert "3 keys: 0 under no grant; 3 sealed, of which the collector has 3" in done.stderr, done.stderr
    assert "of 2 secrets of TLS 1.3 the hellos were not seen" in done.stderr, done.stderr
    assert _fetched(place, collector, folder) == ([], 3)
    assert not _entries(folder, "release", grade="raw")
