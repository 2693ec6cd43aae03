"""`overt watch -w`: the packets as they came and the secrets that open them, for tools that have no key log."""

import os
import re
import signal
import stat
import struct

import pytest
from lab import clients, overt, servers, watch, watch_frames, watch_record
from lab.proc import eventually

pytestmark = overt.requires("watch --keys --plaintext --pcapng")


@pytest.fixture(scope="module")
def talk(world):
    server, client = servers.server_context(*world.files("site.test")), clients.context(None)
    return watch_record.exchange(server, client, watch_record.numbered(30000), turns=2)


@pytest.fixture(scope="module")
def other(world):
    server, client = servers.server_context(*world.files("site.test")), clients.context(None)
    return watch_record.exchange(server, client, b"other")


def _blocks(data):
    """(type, body) of the blocks of a pcapng file of this machine's order; an unfinished last one fails."""
    at, found = 0, []
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        assert size % 4 == 0 and size >= 12 and at + size <= len(data), f"block of {size} octets at {at}"
        assert struct.unpack_from("<I", data, at + size - 4)[0] == size
        found.append((kind, data[at + 8:at + size - 4]))
        at += size
    return found


def _packets(data):
    """The octets of all packets, in order."""
    found = []
    for kind, body in _blocks(data):
        if kind == 6:
            size = struct.unpack_from("<I", body, 12)[0]
            found.append(body[20:20 + size])
    return found


def _randoms(data):
    """The client randoms of the secrets."""
    text = b"".join(body[8:] for kind, body in _blocks(data) if kind == 10).decode()
    return {line.split()[1] for line in text.replace("\0", "").splitlines() if line.strip()}


def _of(recording):
    return {text.split()[1] for text in recording.keys.splitlines() if text and not text.startswith("#")}


def test_tshark_reads_it_without_a_key_log(folder, talk, other):
    both = watch_frames.frames(talk.segments()) + watch_frames.frames(other.segments(ports=(40001, 443)))
    out = folder / "out.pcapng"
    seen = watch.of_bytes(folder, watch_frames.pcap(both), "-w", out, keys=talk.keys + other.keys)
    assert seen.summary.verdicts == (2, 0, 0)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert watch.tshark_plaintext(out, ports=[40000, 40001]) == seen.plain
    assert _packets(out.read_bytes()) == [frame for _, frame in both]
    assert watch.run(out).plain == seen.plain


def test_times_and_links_are_kept(folder, talk):
    made = watch_frames.frames(talk.segments())
    capture = (watch_frames.section() + watch_frames.interface(options=watch_frames.NANO)
               + watch_frames.interface(watch_frames.ETHERNET, options=watch_frames.NANO))
    for number, (time, frame) in enumerate(made):
        capture += watch_frames.packet_block(time + number, watch_frames.ethernet(frame) if number % 2 else frame,
                                             number=number % 2)
    out = folder / "out.pcapng"
    seen = watch.of_bytes(folder, capture, "-w", out, keys=talk.keys)
    assert seen.only("down") == talk.down and watch.run(out).plain == seen.plain
    fields = ("-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "frame.protocols")
    assert watch.tshark(out, *fields, keys=folder / "keys.log") == watch.tshark(folder / "capture", *fields,
                                                                                keys=folder / "keys.log")


def test_secrets_of_connections_that_are_not_in_it_stay_out(folder, talk, other):
    out = folder / "out.pcapng"
    watch.of_bytes(folder, talk.pcap(), "-w", out, keys=talk.keys + other.keys)
    assert _randoms(out.read_bytes()) == _of(talk)


def test_secrets_that_stood_in_the_capture_stand_in_it_again(folder, talk):
    made = watch_frames.frames(talk.segments())
    out = folder / "out.pcapng"
    watch.of_bytes(folder, watch_frames.pcapng(made, after=watch_frames.secrets_block(talk.keys)), "-w", out)
    assert _randoms(out.read_bytes()) == _of(talk)
    assert watch.tshark_plaintext(out) == {(40000, "up"): talk.up, (40000, "down"): talk.down}


def test_it_is_whole_while_it_is_written_and_after_a_kill(folder, starts, talk):
    os.mkfifo(folder / "fifo")
    (folder / "keys").write_text(talk.keys)
    out = folder / "out.pcapng"
    running = starts(watch.Running("-k", folder / "keys", "-w", out, folder / "fifo"))
    with open(folder / "fifo", "wb", buffering=0) as fifo:
        fifo.write(talk.pcap(closing=False))
        running.wait('"type":"end"')
        want = [frame for _, frame in watch_frames.frames(talk.segments(closing=False))]
        eventually(lambda: _packets(out.read_bytes()) == want, "all packets stand there")
        assert watch.tshark_plaintext(out)[40000, "down"] == talk.down
        running.process.popen.send_signal(signal.SIGKILL)
        running.process.wait()
    assert _packets(out.read_bytes()) == want and _randoms(out.read_bytes()) == _of(talk)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert watch.tshark_plaintext(out) == {(40000, "up"): talk.up, (40000, "down"): talk.down}


def test_keys_that_come_late_are_written_too(folder, starts, talk):
    os.mkfifo(folder / "fifo")
    (folder / "keys").touch()
    out = folder / "out.pcapng"
    running = starts(watch.Running("-k", folder / "keys", "-w", out, folder / "fifo"))
    with open(folder / "fifo", "wb", buffering=0) as fifo:
        fifo.write(talk.pcap())
        running.wait('"type":"hello"')
        (folder / "keys").write_text(talk.keys)
        running.wait('"type":"end"')
    seen = running.end()
    assert seen.only("down") == talk.down and _randoms(out.read_bytes()) == _of(talk)
    assert watch.run(out).plain == seen.plain


def test_what_was_read_in_a_broken_file_is_written(folder, talk):
    whole = talk.pcap()
    out = folder / "out.pcapng"
    watch.of_bytes(folder, whole[:len(whole) // 2], "-w", out, keys=talk.keys, code=1)
    assert len(_packets(out.read_bytes())) > 10


@pytest.mark.parametrize("target", ["nowhere/out.pcapng", ""])
def test_where_it_cannot_be_written_is_said_at_once(folder, talk, target):
    (folder / "capture").write_bytes(talk.pcap())
    code, out, err = overt.run("watch", "-w", folder / target, folder / "capture")
    assert code == 2 and str(folder) in err and len(err.splitlines()) == 1 and not out


def test_a_full_disk_is_an_exit_code_and_a_line(folder, talk):
    (folder / "capture").write_bytes(talk.pcap())
    code, _, err = overt.run("watch", "-q", "-w", "/dev/full", folder / "capture")
    assert code == 1 and re.search("could not be written|/dev/full|No space", err)


def test_the_plaintext_as_tcp_streams_is_dissected_by_tshark(folder, talk):
    out = folder / "plain.pcapng"
    seen = watch.of_bytes(folder, talk.pcap(), "--plaintext-pcapng", out, keys=talk.keys)
    assert seen.summary.verdicts == (1, 0, 0) and stat.S_IMODE(out.stat().st_mode) == 0o600
    lines = watch.tshark(out, "-d", "tcp.port==443,http", "-Y", "http", "-T", "fields", "-e", "http.request.uri", "-e",
                         "http.response.code").split()
    assert lines == ["/what", "200", "/what", "200"]
