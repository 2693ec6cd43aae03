"""Where keys stand and when they come: before the packets or behind them, in files, pipes and captures."""

import os
import re
import signal
import subprocess
import threading

import pytest
from lab import clients, overt, servers, watch, watch_frames, watch_record
from lab.proc import PATIENCE, eventually

pytestmark = overt.requires("watch --keys --plaintext --follow --wait")

OLD = 1_000_000_000_000_000_000  # 2001


@pytest.fixture(scope="module")
def talk(world):
    server, client = servers.server_context(*world.files("site.test")), clients.context(None)
    return watch_record.exchange(server, client, watch_record.numbered(30000), turns=2)


@pytest.fixture(scope="module")
def other(world):
    server, client = servers.server_context(*world.files("site.test")), clients.context(None)
    return watch_record.exchange(server, client, b"other")


def _right(seen, recording, port=40000):
    assert seen.plain.get((port, "up")) == recording.up and seen.plain.get((port, "down")) == recording.down


def _lines(recording):
    return [text for text in recording.keys.splitlines() if text and not text.startswith("#")]


# In files

def test_keys_in_several_logs(folder, talk, other):
    lines = _lines(talk) + _lines(other)
    names = []
    for number, text in enumerate(lines):
        names += ["-k", folder / f"log{number}"]
        names[-1].write_text(text + "\n")
    both = talk.segments() + other.segments(ports=(40001, 443))
    seen = watch.of_bytes(folder, watch_frames.pcap(watch_frames.frames(both)), *names)
    _right(seen, talk)
    _right(seen, other, 40001)


@pytest.mark.parametrize("form", ["crlf", "upper", "no-end", "spaces", "twice"])
def test_a_key_log_as_others_write_it(folder, talk, form):
    text = "\n".join(_lines(talk)) + "\n"
    text = {"crlf": text.replace("\n", "\r\n"), "no-end": text[:-1], "twice": text * 2,
            "upper": re.sub(r" [0-9a-f ]+$", lambda hit: hit[0].upper(), text, flags=re.M),
            "spaces": "\n\n# a comment\n\n" + text + "\n\n"}[form]
    _right(watch.of_bytes(folder, talk.pcap(), keys=text), talk)


def test_garbage_in_a_key_log_does_not_hide_what_is_right_in_it(folder, talk):
    junk = [os.urandom(3000), b"CLIENT_RANDOM", b"CLIENT_RANDOM " + b"zz" * 32 + b" " + b"11" * 48,
            b"CLIENT_RANDOM " + b"a" * (1 << 20), b"SERVER_TRAFFIC_SECRET_0 " + b"00" * 32 + b" 00", b"\0" * 500,
            b"CLIENT_RANDOM " + b"11" * 32 + b" " + b"22" * 4000, b"FUTURE_LABEL " + b"11" * 32 + b" " + b"22" * 48]
    text = b"\n".join(part for pair in zip(junk, [t.encode() for t in _lines(talk)] + [b""] * 9) for part in pair)
    seen = watch.of_bytes(folder, talk.pcap(), keys=text + b"\n")
    _right(seen, talk)
    assert re.search(r"; \d+ lines of key logs that cannot be read", seen.err)


def test_a_file_that_is_no_key_log_is_said_so(folder, talk):
    assert "the key logs hold no secret" in watch.of_bytes(folder, talk.pcap(), keys=b"no key log\n").err


def test_keys_of_other_connections_open_nothing(folder, talk, other):
    seen = watch.of_bytes(folder, talk.pcap(), keys=other.keys)
    assert seen.summary.verdicts == (0, 0, 1) and seen.summary.causes["no-key"][0] == 1 and not seen.plain


def test_wrong_secrets_open_nothing_and_are_called_wrong(folder, talk):
    keys = re.sub(r" ([0-9a-f]{64,})$", lambda hit: " " + hit[1][::-1], talk.keys, flags=re.M)
    seen = watch.of_bytes(folder, talk.pcap(), keys=keys)
    assert seen.summary.verdicts == (0, 0, 1) and seen.summary.causes["wrong-key"][0] == 1 and not seen.plain


@pytest.mark.parametrize("kept", ["CLIENT", "SERVER"])
def test_the_secret_of_one_side_opens_that_side(folder, talk, kept):
    keys = "\n".join(t for t in _lines(talk) if t.startswith(kept) and "HANDSHAKE" not in t) + "\n"
    seen = watch.of_bytes(folder, talk.pcap(), keys=keys)
    assert seen.summary.verdicts == (0, 1, 0)
    assert seen.only("up") == (talk.up if kept == "CLIENT" else b"")
    assert seen.only("down") == (talk.down if kept == "SERVER" else b"")


def test_no_handshake_secrets_are_needed(folder, talk):
    keys = "\n".join(t for t in _lines(talk) if "TRAFFIC_SECRET_0" in t) + "\n"
    _right(watch.of_bytes(folder, talk.pcap(), keys=keys), talk)


@pytest.mark.parametrize("place", ["before", "after"])
def test_secrets_in_a_capture_open_it_wherever_they_stand(folder, talk, place):
    capture = watch_frames.pcapng(watch_frames.frames(talk.segments()),
                                  **{place: watch_frames.secrets_block(talk.keys)})
    seen = watch.of_bytes(folder, capture)
    _right(seen, talk)
    assert seen.summary.verdicts == (1, 0, 0)


def test_secrets_in_a_second_section_open_the_first(folder, talk, other):
    one = watch_frames.pcapng(watch_frames.frames(talk.segments()))
    two = watch_frames.pcapng(watch_frames.frames(other.segments(ports=(40001, 443))),
                              after=watch_frames.secrets_block(talk.keys + other.keys))
    seen = watch.of_bytes(folder, one + two)
    _right(seen, talk)
    _right(seen, other, 40001)


def test_secrets_behind_the_packets_on_standard_input(folder, talk):
    capture = watch_frames.pcapng(watch_frames.frames(talk.segments()), after=watch_frames.secrets_block(talk.keys))
    _right(watch.run("-", stdin=capture), talk)


def test_secrets_of_other_protocols_in_a_capture_are_passed_over(folder, talk):
    before = watch_frames.secrets_block("WireGuard", 0x57474B4C) + watch_frames.secrets_block(talk.keys)
    _right(watch.of_bytes(folder, watch_frames.pcapng(watch_frames.frames(talk.segments()), before=before)), talk)


# While they come

class Fed:
    """An `overt watch` of a FIFO, which is fed from here."""

    def __init__(self, folder, *arguments):
        self.path = folder / "fifo"
        os.mkfifo(self.path)
        self.running = watch.Running(*arguments, self.path)
        self.file = open(self.path, "wb", buffering=0)

    def give(self, data):
        self.file.write(data)

    def end(self, **options):
        self.file.close()
        return self.running.end(**options)

    def stop(self):
        if not self.file.closed:
            self.file.close()
        self.running.stop()


@pytest.mark.parametrize("start", [watch_frames.START, OLD], ids=["recent", "old"])
def test_keys_that_come_after_the_packets_on_a_pipe(folder, starts, talk, start):
    """Time is that of the packets, whenever that was."""
    log = folder / "keys.log"
    log.touch()
    fed = starts(Fed(folder, "-k", log, "--wait", 3600))
    made = [(time - watch_frames.START + start, frame) for time, frame in
            watch_frames.frames(talk.segments(closing=False))]
    fed.give(watch_frames.pcap(made))
    fed.running.wait('"type":"hello"')
    # Turns of the clock, in which it is not given up
    threading.Event().wait(0.5)
    assert {e["type"] for e in fed.running.events()} <= {"open", "hello", "tls"}
    log.write_text(talk.keys)
    fed.running.wait('"type":"response"')
    seen = fed.end()
    _right(seen, talk)
    assert seen.summary.verdicts == (1, 0, 0)


def test_a_key_log_that_is_made_later(folder, starts, talk):
    fed = starts(Fed(folder, "-k", folder / "later.log"))
    fed.give(talk.pcap(closing=False))
    fed.running.wait('"type":"hello"')
    (folder / "later.log").write_text(talk.keys)
    fed.running.wait('"type":"response"')
    _right(fed.end(), talk)


def _in_two_parts(fed, log, text, cut):
    """Appends a key log in two parts, with looks at it between."""
    fed.running.wait('"type":"hello"')
    with open(log, "a") as file:
        file.write(text[:cut])
    threading.Event().wait(0.3)
    with open(log, "a") as file:
        file.write(text[cut:])
    fed.running.wait('"type":"response"')


@pytest.mark.parametrize("label", ["SERVER_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0"])
def test_half_a_line_of_a_key_log_waits_for_its_other_half(folder, starts, talk, label):
    fed = starts(Fed(folder, "-k", folder / "keys.log"))
    fed.give(talk.pcap(closing=False))
    _in_two_parts(fed, folder / "keys.log", talk.keys, talk.keys.index(label) + 40)
    _right(fed.end(), talk)


@pytest.mark.parametrize("label", ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"])
def test_secrets_of_a_handshake_that_come_one_after_the_other(folder, starts, talk, label):
    """An endpoint writes its lines one by one, and a look at the log may come between."""
    fed = starts(Fed(folder, "-k", folder / "keys.log"))
    fed.give(talk.pcap(closing=False))
    _in_two_parts(fed, folder / "keys.log", talk.keys, talk.keys.index(label))
    _right(fed.end(), talk)


def test_ciphertext_that_waited_in_vain_is_counted(folder, starts, talk):
    log = folder / "keys.log"
    log.touch()
    fed = starts(Fed(folder, "-k", log, "--wait", 1))
    made = watch_frames.frames(talk.segments(closing=False))
    later = [(time + 3600 * 10**9, frame) for time, frame in
             watch_frames.frames(talk.segments(ports=(40001, 443), closing=False))]
    fed.give(watch_frames.pcap(made + later))
    fed.running.wait('"type":"gap"')
    seen = fed.end()
    assert seen.summary.verdicts == (0, 0, 2) and "missing plaintext" in seen.err and not seen.plain


def test_memory_for_what_waits_is_bounded_and_what_did_not_fit_is_told(folder, starts, world, other):
    server, client = servers.server_context(*world.files("site.test")), clients.context(None)
    big = watch_record.exchange(server, client, watch_record.numbered(3 << 20))
    log = folder / "keys.log"
    log.touch()
    fed = starts(Fed(folder, "-k", log, "--wait-memory", 1))
    fed.give(big.pcap(closing=False, mss=60000))
    for time, frame in watch_frames.frames(other.segments(ports=(40001, 443))):
        fed.give(watch_frames.pcap_record(time, frame))
    fed.running.wait('"type":"hello".*"flow":"0.2"')
    log.write_text(big.keys)
    fed.running.wait('"type":"gap".*"flow":"0.1"')
    seen = fed.end()
    got = seen.plain[40000, "down"]
    assert seen.summary.partly == 1 and seen.summary.causes["park-full"][0] == 1
    assert len(got) > 1 << 18 and big.down.endswith(got[-10000:])
    told = sum(e["octets"] for e in seen.of("gap", flow="0.1", direction="down"))
    assert 0 <= told - (len(big.down) - len(got)) < 3000  # an upper bound: tickets are among what is lost


def test_a_capture_and_a_key_log_that_grow(folder, starts, talk, other):
    capture, log = folder / "capture.pcap", folder / "keys.log"
    log.touch()
    whole = talk.pcap()
    capture.write_bytes(whole[:len(whole) // 2 + 5])
    running = starts(watch.Running("-k", log, "--follow", capture))
    running.wait('"type":"hello"')
    with open(capture, "ab") as file:
        file.write(whole[len(whole) // 2 + 5:])
    with open(log, "a") as file:
        file.write(talk.keys)
    running.wait('"type":"close"')
    with open(capture, "ab") as file:
        for time, frame in watch_frames.frames(other.segments(ports=(40001, 443))):
            file.write(watch_frames.pcap_record(time, frame))
    with open(log, "a") as file:
        file.write(other.keys)
    eventually(lambda: len([e for e in running.events() if e["type"] == "response"]) == 3, "the second one is read")
    seen = running.end(signal.SIGINT)
    _right(seen, talk)
    _right(seen, other, 40001)
    assert seen.summary.verdicts == (2, 0, 0)


def test_a_key_log_that_cannot_be_read_is_said_at_once(folder, talk):
    (folder / "capture").write_bytes(talk.pcap())
    code, out, err = overt.run("watch", "-k", folder / "nowhere", folder / "capture")
    assert code == 2 and "nowhere" in err and len(err.splitlines()) == 1 and not out


@pytest.mark.parametrize("option", ["--psk", "--private-key", "-k"])
def test_a_directory_is_no_file_of_keys(folder, talk, option):
    (folder / "capture").write_bytes(talk.pcap())
    code, out, err = overt.run("watch", option, folder, folder / "capture")
    assert code == 2 and str(folder) in err and len(err.splitlines()) == 1 and not out


def test_a_psk_file_that_is_none_is_said_with_its_line(folder, talk):
    (folder / "capture").write_bytes(talk.pcap())
    (folder / "psk").write_text("right:00112233\nwrong\n")
    code, out, err = overt.run("watch", "--psk", folder / "psk", folder / "capture")
    assert code == 2 and "psk" in err and "2" in err and len(err.splitlines()) == 1


def test_secrets_never_come_out_anywhere(folder, talk):
    seen = watch.of_bytes(folder, talk.pcap(), "-v", keys=talk.keys)
    secrets = [text.split()[2] for text in _lines(talk)]
    done = subprocess.run([overt.binary(), "watch", "-v", "-k", folder / "keys.log", folder / "capture"],
                          capture_output=True, timeout=PATIENCE, env=clients.environment(**overt.SANITIZER_OPTIONS))
    everything = (done.stdout + done.stderr).decode().lower() + seen.err.lower() + str(seen.events).lower()
    assert not [s for s in secrets if s.lower() in everything]
