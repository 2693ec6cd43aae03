"""`overt collect`: what one client may ask of it, what it gives up itself, and what it says of its state."""

import os
import pathlib
import pwd
import re
import resource
import shutil
import socket
import urllib.error
import urllib.request

import pytest
from lab import collect, overt
from lab.collect import Collector, Frames, Key, Place, Sealer
from lab.proc import PATIENCE, eventually

pytestmark = overt.requires("collect", "grant")

KEYS, READ = "overt-keys/1", "overt-read/1"


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def opened():
    frames = []

    def make(collector, name="web1", protocol=KEYS):
        frames.append(Frames(collector.connect(name, protocol)))
        return frames[-1]
    yield make
    for one in frames:
        one.close()


def _key(number):
    return Key(number.to_bytes(32, "big"), True, 0x1301, b"s" * 32)


def _seal(place, grant, numbers):
    sealer = Sealer(place.keys / "ops.pub")
    return [sealer.seal(grant, _key(n)) for n in numbers]


# Slow clients.

def test_who_leaves_something_unfinished_is_let_go_and_nobody_else_is(place, starts, opened):
    grant = place.grant()
    collector = starts(Collector(place, "--patience", "3s"))
    idle, half, silent = opened(collector), opened(collector), opened(collector, "ops", READ)
    half.sock.sendall(b"\x01\x00\x01")
    with socket.create_connection(("127.0.0.1", collector.port), timeout=PATIENCE) as mute:
        collector.wait("client gone .*the handshake took too long")
        assert mute.recv(1) == b""
    collector.wait("client gone name=web1 why=\"it left a frame unfinished\"")
    collector.wait("client gone name=ops why=\"it has not said what it wants\"")
    assert half.sock.recv(1) == b"" and silent.sock.recv(1) == b""
    assert idle.put(1, *_seal(place, grant, [1])) == (1, 0, 0, 0, 0)
    idle.close()
    counts = collector.counts()
    assert counts["late"] == 2 and counts["failed-handshakes"] == 1


def test_a_reader_that_does_not_read_is_let_go_and_holds_up_nobody(place, starts, opened):
    grant = place.grant()
    collector = starts(Collector(place, "--patience", "3s"))
    frames = opened(collector)
    reader = collector.place.context("ops", READ)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", collector.port))
    stuck = Frames(reader.wrap_socket(sock, server_hostname="127.0.0.1"))
    stuck.send(collect.WANT, b"\x01" + bytes(24))
    number = 0
    while "it does not read what it is sent" not in collector.process.err.text():
        number += 1
        assert frames.put(number, *_seal(place, grant, range(120 * number, 120 * number + 120)))[0] == 120
        assert number < 2000
    stuck.close()
    good = opened(collector, "ops", READ)
    good.send(collect.WANT, bytes(25))
    assert good.take()[0] == collect.INSTANCE and good.take()[0] == collect.GIVE


def test_a_sender_above_its_rate_is_read_more_slowly_and_loses_nothing(place, starts, opened):
    grant = place.grant()
    collector = starts(Collector(place, "--rate", "100", "--metrics", "127.0.0.1:0"))
    frames = opened(collector)
    for number in range(5):
        assert frames.put(number, *_seal(place, grant, range(50 * number, 50 * number + 50)))[0] == 50
    assert collector.metrics()["overt_collect_slowed_total"] >= 1
    assert collector.counts()["keys"] == 250


def test_one_certificate_has_so_many_connections_and_others_have_theirs(place, starts, opened):
    place.overt("collect", "client", "--dir", place.dir, "web2")
    grant = place.grant()
    collector = starts(Collector(place, "--client-connections", "2"))
    first, second = opened(collector), opened(collector)
    third = opened(collector)
    kind, body = third.take()
    assert kind == collect.SORRY and b"too many connections with one certificate" in body
    for number, frames in enumerate((first, second, opened(collector, "web2"))):
        assert frames.put(1, *_seal(place, grant, [number]))[0] == 1


# Grants.

def test_a_grant_that_comes_to_the_folder_counts_for_the_very_next_key(place, starts, opened):
    collector = starts(Collector(place))
    frames = opened(collector)
    for number in range(10):
        grant = place.grant()
        assert frames.put(number, *_seal(place, grant, [number])) == (1, 0, 0, 0, 0)
    assert len(place.entries("grant")) == 10


def test_only_who_a_grant_names_may_send_under_it(place, starts, opened):
    place.overt("collect", "client", "--dir", place.dir, "web2")
    by_name = place.grant("--sender", "web2")
    by_key = place.grant("--sender", collect.spki_sha256(place.dir / "web1.pem"))
    collector = starts(Collector(place))
    one, two = opened(collector), opened(collector, "web2")
    assert one.put(1, *_seal(place, by_name, [1])) == (0, 0, 0, 1, 9)
    assert two.put(1, *_seal(place, by_name, [1])) == (1, 0, 0, 0, 0)
    assert one.put(2, *_seal(place, by_key, [2])) == (1, 0, 0, 0, 0)
    assert two.put(2, *_seal(place, by_key, [2])) == (0, 0, 0, 1, 9)
    assert {e["why"] for e in place.entries("refusal")} == {"this certificate may not do that"}


def test_lines_too_are_taken_of_who_a_grant_names_only(place, starts):
    place.grant("--sender", "web2", grade="raw", consent="unilateral")
    collector = starts(Collector(place))
    collector.lines(f"CLIENT_TRAFFIC_SECRET_0 {'01' * 32} {'ab' * 32}\n")
    counts = collector.counts()
    assert (counts["keys"], counts["lines-refused"]) == (0, 1)


def test_a_file_that_goes_ends_its_grant_and_the_log_says_so(place, starts, opened):
    grant = place.grant()
    collector = starts(Collector(place))
    frames = opened(collector)
    assert frames.put(1, *_seal(place, grant, [1]))[0] == 1
    (place.dir / "grants" / f"{grant}.grant").unlink()
    assert frames.take() == (collect.ENDED, bytes.fromhex(grant) + b"\x02")
    (entry,) = place.entries("revoke")
    assert (entry["grant"], entry["reason"]) == (grant, "its file is no longer there")


# Certificates.

def test_a_collector_whose_certificate_has_expired_says_so_and_its_clients_say_why(place, starts, tmp_path):
    grant = place.grant()
    assert grant
    place.expired("collector")
    collector = starts(Collector(place))
    collector.wait("the collector's certificate has expired")
    done = collect.Done(*overt.run("collect", "fetch", *place.reading(collector), "--keylog", tmp_path / "log"))
    assert done.code == 1 and "certificate has expired" in done.stderr


# What it says of itself.

def test_counters_and_health_are_there_for_prometheus(place, starts, opened):
    grant = place.grant()
    collector = starts(Collector(place, "--metrics", "127.0.0.1:0"))
    frames = opened(collector)
    sealed = _seal(place, grant, [1, 2])
    frames.put(1, *sealed, sealed[0], b"rubbish")
    seen = collector.metrics()
    assert seen["overt_collect_keys_total"] == 2 and seen["overt_collect_keys_known_total"] == 1
    assert seen["overt_collect_keys_refused_total"] == 1 and seen["overt_collect_keys_malformed_total"] == 1
    assert seen["overt_collect_audit_open"] == 1 and seen["overt_collect_clients"] == 1 and seen["overt_collect_grants"] == 1
    port = collector.wait(r"metrics address=\S+:(\d+)")[1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=PATIENCE) as answer:
        assert answer.read() == b"ok\n"
    size = (place.dir / "audit.log").stat().st_size
    before = resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, (size, before[1]))
    frames.put(2, *_seal(place, grant, [3]))
    with pytest.raises(urllib.error.HTTPError) as sick:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=PATIENCE)
    assert sick.value.code == 503 and sick.value.read() == b"the audit log cannot be written\n"
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE)
    resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, before)


def test_metrics_are_for_this_machine_alone(place):
    done = collect.Done(*overt.run("collect", "--dir", place.dir, "--listen", "127.0.0.1:0", "--metrics", "0.0.0.0:0"))
    assert done.code == 1 and "an address of this machine alone" in done.stderr


# What it gives up.

def _status(pid):
    return dict(re.findall(r"^(\w+):\s*(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M))


def test_it_has_no_capabilities_gains_none_and_can_run_no_program(place, starts, opened):
    grant = place.grant()
    collector = starts(Collector(place))
    status = _status(collector.process.pid)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    # A sanitizer's runtime needs what the filter forbids.
    if b"__asan_init" not in pathlib.Path(overt.binary()).read_bytes():
        assert status["Seccomp"] == "2"
    assert opened(collector).put(1, *_seal(place, grant, [1]))[0] == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_it_becomes_the_user_that_it_is_told_and_works(place, starts, opened, tmp_path):
    user = pwd.getpwnam("nobody")
    grant = place.grant()
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_uid == os.geteuid() and folder != pathlib.Path("/") and folder != pathlib.Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    for path in [place.dir, *place.dir.rglob("*")]:
        shutil.chown(path, user.pw_uid, user.pw_gid)
    collector = starts(Collector(place, "--user", "nobody", "--spool", place.dir / "spool"))
    assert _status(collector.process.pid)["Uid"].split() == [str(user.pw_uid)] * 4
    assert opened(collector).put(1, *_seal(place, grant, [1]))[0] == 1
    assert place.entries("release")[0]["count"] == 1 and (place.dir / "spool").stat().st_uid == user.pw_uid
    later = place.grant()
    shutil.chown(place.dir / "grants" / f"{later}.grant", user.pw_uid, user.pw_gid)
    frames = opened(collector)
    eventually(lambda: frames.put(2, *_seal(place, later, [2]))[0] == 1, "a grant that came later counts")
