"""`overt collect --spool`: an acknowledged key is on the disk, whatever becomes of the collector, the disk or the clock."""

import os
import re
import resource
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest
from lab import collect, overt
from lab.collect import Collector, Frames, Key, Place, Sealer
from lab.proc import PATIENCE, eventually

pytestmark = overt.requires("collect", "grant")

ALPN = "overt-keys/1"
FULL = 7


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def opened():
    """opened(collector): a connection that sends keys, closed in the end."""
    frames = []

    def make(collector, name="web1"):
        frames.append(Frames(collector.connect(name, ALPN)))
        return frames[-1]
    yield make
    for one in frames:
        one.close()


def _key(number, secret=b"s" * 32):
    return Key(number.to_bytes(32, "big"), True, 0x1301, secret)


def _fetched(place, collector, tmp_path):
    """How many keys a reader gets, and of which connections."""
    done = collect.Done(*overt.run("collect", "fetch", *place.reading(collector), "--keylog", tmp_path / "none"))
    return int(re.search(r"(\d+) keys:", done.stderr)[1])


def test_a_batch_that_the_disk_does_not_take_is_refused_and_what_stands_there_stays_good(
        place, spool, starts, opened, tmp_path):
    grant, sealer = place.grant(), Sealer(place.keys / "ops.pub")
    collector = starts(Collector(place, "--spool", spool))
    frames = opened(collector)
    assert frames.put(1, sealer.seal(grant, _key(1))) == (1, 0, 0, 0, 0)
    before = resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE)
    # The log is shorter than the spool may become, and the spool has room for half a key.
    limit = max(spool.stat().st_size, (place.dir / "audit.log").stat().st_size + 4096)
    number, taken = 2, (1,)
    resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, (limit, before[1]))
    while taken[0] == 1:
        taken = frames.put(number, *(sealer.seal(grant, _key(100 * number + i)) for i in range(1 if number < 9 else 60)))
        number += 1
        assert number < 100
        if taken[0] == 60:
            taken = (1,)
    assert taken[0] == 0 and taken[4] in (FULL, 8), taken
    size = spool.stat().st_size
    assert size <= limit
    resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, before)

    def again():
        nonlocal number
        number += 1
        return frames.put(number, sealer.seal(grant, _key(9999)))[4] == 0
    eventually(again, "keys are taken again")
    held = _fetched(place, collector, tmp_path)
    os.kill(collector.process.pid, signal.SIGKILL)
    collector.process.wait()
    after = starts(Collector(place, "--spool", spool))
    assert _fetched(place, after, tmp_path) == held
    assert "spool cut" not in after.process.err.text()


@pytest.fixture
def small(tmp_path):
    """A disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True,
                      check=False).returncode != 0:
        pytest.skip("no right to mount a small disk here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=False)


def test_a_disk_that_is_full_is_said_and_counted_and_found_again_when_it_has_room(place, small, starts, opened, tmp_path):
    grant, sealer = place.grant(), Sealer(place.keys / "ops.pub")
    collector = starts(Collector(place, "--spool", small / "spool"))
    frames = opened(collector)
    (small / "ballast").write_bytes(bytes(200 * 1024))
    number, taken = 0, [0, 0, 0, 0, 0]
    held = 0
    while taken[4] == 0:
        number += 1
        taken = frames.put(number, *(sealer.seal(grant, _key(100 * number + i)) for i in range(20)))
        held += taken[0]
    assert tuple(taken) == (0, 0, 0, 20, FULL)
    collector.wait("spool not written .*keys are refused")
    (small / "ballast").unlink()
    eventually(lambda: frames.put(number + 1, sealer.seal(grant, _key(1)))[4] == 0, "there is room again")
    collector.wait("spool written again")
    assert _fetched(place, collector, tmp_path) == held + 1
    assert collector.counts()["spool-lost"] >= 20


def test_no_acknowledged_key_is_lost_when_the_collector_is_killed_again_and_again(place, spool, starts, tmp_path):
    """A sender goes on as if nothing were, over as many connections as it takes."""
    grant, sealer = place.grant(), Sealer(place.keys / "ops.pub")
    collector = starts(Collector(place, "--spool", spool))
    address, state, acknowledged = collector.address, {"port": collector.port, "over": False}, []

    def send():
        number, frames = 0, None
        while not state["over"]:
            try:
                if not frames:
                    ctx = place.context("web1", ALPN)
                    sock = socket.create_connection(("127.0.0.1", state["port"]), timeout=PATIENCE)
                    frames = Frames(ctx.wrap_socket(sock, server_hostname="127.0.0.1"))
                fresh, known, _, refused, _ = frames.put(
                    number, *(sealer.seal(grant, _key(10 * number + i)) for i in range(10)))
                assert fresh + known == 10 and refused == 0
                acknowledged.append(number)
                number += 1
            except (OSError, TypeError):
                if frames:
                    frames.close()
                frames = None
        if frames:
            frames.close()
    sender = threading.Thread(target=send)
    sender.start()
    try:
        for _ in range(3):
            had = len(acknowledged)
            eventually(lambda had=had: len(acknowledged) >= had + 5, "batches are acknowledged")
            os.kill(collector.process.pid, signal.SIGKILL)
            collector.process.wait()
            collector = starts(Collector(place, "--spool", spool, address=address))
        had = len(acknowledged)
        eventually(lambda: len(acknowledged) >= had + 5, "batches are acknowledged")
    finally:
        state["over"] = True
        sender.join()
    reader = Frames(collector.connect("ops", "overt-read/1"))
    reader.send(collect.WANT, bytes(25))
    seen = b""
    while (frame := reader.take())[0] != collect.CAUGHT_UP:
        seen += frame[1]
    reader.close()
    missing = [n for batch in acknowledged for n in range(10 * batch, 10 * batch + 10) if _key(n).random not in seen]
    assert len(acknowledged) >= 20 and not missing


@pytest.mark.parametrize("tail", [bytes(20), bytes(5000), b"\xff" * 300], ids=["short", "zeros", "ones"])
def test_a_torn_end_costs_the_end_alone(tail, place, spool, starts, opened, tmp_path):
    grant, sealer = place.grant(), Sealer(place.keys / "ops.pub")
    collector = starts(Collector(place, "--spool", spool))
    opened(collector).put(1, *(sealer.seal(grant, _key(n)) for n in range(3)))
    os.kill(collector.process.pid, signal.SIGKILL)
    collector.process.wait()
    whole = spool.read_bytes()
    spool.write_bytes(whole + tail)
    again = starts(Collector(place, "--spool", spool))
    again.wait(f"spool cut .*octets={len(tail)}$")
    assert _fetched(place, again, tmp_path) == 3
    again.stop()
    # And a key that was cut in two.
    spool.write_bytes(whole[:-5])
    third = starts(Collector(place, "--spool", spool))
    third.wait("spool cut")
    assert _fetched(place, third, tmp_path) == 2


@pytest.mark.parametrize("shift, left", [(-3600, 1), (+3600, 1), (-3 * 86400, 0)])
def test_a_clock_that_was_set_changes_what_a_restart_finds_by_that_much_and_no_more(
        shift, left, place, spool, starts, opened, tmp_path):
    """The key stands in the spool as of another time: of the future it has its whole lifetime."""
    grant, sealer = place.grant(), Sealer(place.keys / "ops.pub")
    collector = starts(Collector(place, "--spool", spool, "--lifetime", "2d"))
    opened(collector).put(1, sealer.seal(grant, _key(1)))
    collector.stop()
    octets = spool.read_bytes()
    (came,) = struct.unpack(">Q", octets[:8])
    assert abs(came - time.time_ns()) < 60 * 10**9
    spool.write_bytes(struct.pack(">Q", came + shift * 10**9) + octets[8:])
    again = starts(Collector(place, "--spool", spool, "--lifetime", "2d"))
    assert _fetched(place, again, tmp_path) == left


def test_keys_of_a_grant_that_was_revoked_leave_the_disk_too(place, spool, starts, opened):
    grant, other, sealer = place.grant(), place.grant(), Sealer(place.keys / "ops.pub")
    collector = starts(Collector(place, "--spool", spool))
    opened(collector).put(1, sealer.seal(grant, _key(1)), sealer.seal(other, _key(2)))
    assert _key(1).random in spool.read_bytes()
    place.revoke(grant)
    eventually(lambda: _key(1).random not in spool.read_bytes(), "it is written anew")
    assert _key(2).random in spool.read_bytes()


def test_a_place_where_nothing_can_be_written_is_refused_at_the_start(place, tmp_path):
    (tmp_path / "folder").mkdir()
    done = collect.Done(*overt.run("collect", "--dir", place.dir, "--listen", "127.0.0.1:0", "--spool", tmp_path / "folder"))
    assert done.code == 1 and "no spool can be read there" in done.stderr
