"""Captures that lack packets, or have them twice, late, overlapping, cut: out comes what was said or a counted gap."""

import random
import ssl

import pytest
from lab import clients, overt, servers, watch, watch_damage, watch_frames, watch_record

pytestmark = overt.requires("watch --keys --plaintext")

FORMS = {
    "1.3-aes-gcm": {},
    "1.2-aes-gcm": {"most": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"},
    "1.2-chacha": {"most": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305"},
    "1.2-ccm": {"most": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE-ECDSA-AES128-CCM8"},
    "1.2-cbc": {"most": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"},
}


def _talk(server, client):
    """A connection on which both sides say a lot, in records of many sizes."""
    pair, dice = watch_record.Pair(server, client), random.Random(1)
    for number in range(24):
        pair.say(True, watch_damage.noise(dice.choice([17, 300, 4000]), f"up{number}"))
        pair.say(False, watch_damage.noise(dice.choice([40, 3000, 16384, 30000]), f"down{number}"))
    return pair.close()


@pytest.fixture(scope="module")
def talks(world):
    """form -> Recording."""
    made = {}

    def make(form):
        if form not in made:
            knobs = FORMS[form]
            made[form] = _talk(servers.server_context(*world.files("site.test"), **knobs),
                               clients.context(None, **knobs))
        return made[form]
    return make


def _watch(folder, recording, made, *options):
    return watch.of_bytes(folder, watch_damage.capture(made), *options, keys=recording.keys)


def _right(seen, recording):
    assert seen.only("up") == recording.up and seen.only("down") == recording.down
    assert seen.summary.verdicts == (1, 0, 0) and not seen.of("gap")


def _honest(seen, recording):
    """Only what was said came out, and what lacks was told. How much lacks, by direction."""
    lacking = {}
    for direction in ("up", "down"):
        said, got = getattr(recording, direction), seen.only(direction)
        lacking[direction] = watch_damage.holes(said, got)
        told = sum(octets for _, octets in seen.missing(direction))
        assert told >= lacking[direction], (direction, told, lacking)
    if lacking["up"] + lacking["down"]:
        assert seen.summary.partly + seen.summary.not_ == 1, seen.err
        assert "missing plaintext" in seen.err
    return lacking


ALL = pytest.mark.parametrize("form", FORMS)
SEEDS = pytest.mark.parametrize("seed", range(4))


@ALL
@SEEDS
def test_segments_twice_late_split_and_overlapping_cost_nothing(folder, talks, form, seed):
    recording, dice = talks(form), random.Random(seed)
    made = recording.segments(mss=dice.choice([200, 536, 1448]))
    head, rest = made[:3], made[3:]
    rest = watch_damage.overlap(watch_damage.split(rest, 0.2, dice), 0.2, dice)
    rest = watch_damage.swap(watch_damage.duplicate(rest, 0.2, dice), 0.2, dice)
    _right(_watch(folder, recording, head + rest), recording)


@ALL
@SEEDS
def test_lost_segments_cost_the_records_that_they_held_and_no_more(folder, talks, form, seed):
    recording, dice = talks(form), random.Random(seed)
    made = recording.segments(mss=1200)
    first = watch_damage.first_data(made, True)
    candidates = [n for n, s in enumerate(made) if n > first and s.payload]
    lost = sorted(dice.sample(candidates, 3))
    seen = _watch(folder, recording, watch_damage.drop(made, *lost))
    lacking = _honest(seen, recording)
    gone = [made[n] for n in lost]
    for direction, up in (("up", True), ("down", False)):
        most = watch_damage.touched(recording, up, gone, 1001 if up else 0xFFFFFF01)
        assert lacking[direction] <= most, (direction, lacking, most)
        assert bool(lacking[direction]) == any(s.up == up for s in gone)
    assert "gap" in seen.summary.causes


@ALL
def test_the_size_and_place_of_a_gap_are_told_exactly(folder, talks, form):
    recording = talks(form)
    made = recording.segments(mss=1200)
    first = watch_damage.first_data(made, True)
    middle = [n for n, s in enumerate(made) if n > first + 20 and not s.up and s.payload][30]
    seen = _watch(folder, recording, watch_damage.drop(made, middle))
    gaps = seen.missing("down")
    assert len(gaps) == 1 and not seen.missing("up")
    assert seen.only("up") == recording.up
    if form != "1.2-cbc":  # padding: an upper bound
        assert seen.only("down") == watch_damage.without(recording.down, gaps)
    close = seen.of("close")[0]
    assert close["missing_octets"] == {"up": 0, "down": gaps[0][1]}


@ALL
@SEEDS
def test_no_damage_makes_wrong_plaintext(folder, talks, form, seed):
    recording, dice = talks(form), random.Random(f"{form}{seed}")
    made = recording.segments(mss=dice.choice([100, 700, 1448, 9000]), opening=dice.random() < 0.7,
                              closing=dice.random() < 0.7)
    for edit in dice.sample([watch_damage.lose, watch_damage.swap, watch_damage.duplicate, watch_damage.overlap,
                             watch_damage.split, watch_damage.lose], 4):
        made = edit(made, dice.choice([0.01, 0.1, 0.3]), dice)
    seen = _watch(folder, recording, made)
    for direction in ("up", "down"):
        watch_damage.placed(getattr(recording, direction), seen.only(direction))


@ALL
def test_a_retransmission_with_other_octets_is_not_mixed_in(folder, talks, form):
    """The first of the two stands, as most endpoints have it; what came out was authenticated either way."""
    recording, made = talks(form), talks(form).segments(mss=1200)
    first = watch_damage.first_data(made, False)
    target = [n for n, s in enumerate(made) if n > first and not s.up and len(s.payload) > 1000][3]
    wrong = watch_frames.dataclasses.replace(made[target], payload=b"\xff" * len(made[target].payload))
    seen = _watch(folder, recording, made[:target + 1] + [wrong] + made[target + 1:])
    _right(seen, recording)


@ALL
def test_altered_octets_never_come_out(folder, talks, form):
    recording, made = talks(form), talks(form).segments(mss=1200)
    first = watch_damage.first_data(made, False)
    target = [n for n, s in enumerate(made) if n > first and not s.up and len(s.payload) > 1000][3]
    body = bytearray(made[target].payload)
    body[600] ^= 1
    made[target] = watch_frames.dataclasses.replace(made[target], payload=bytes(body))
    seen = _watch(folder, recording, made)
    lacking = _honest(seen, recording)
    assert 0 < lacking["down"] <= 16384 and lacking["up"] == 0


@ALL
def test_a_capture_that_begins_in_the_middle_is_read_where_that_is_possible(folder, talks, form):
    """The keys of TLS 1.2 take the server's random, which nobody saw."""
    recording, made = talks(form), talks(form).segments(mss=1200)
    data = [n for n, s in enumerate(made) if s.payload[:1] == b"\x17"]
    seen = _watch(folder, recording, made[data[len(data) // 2]:])
    if form == "1.3-aes-gcm":
        assert recording.down.endswith(seen.only("down")) and len(seen.only("down")) > len(recording.down) // 4
        assert recording.up.endswith(seen.only("up")) and len(seen.only("up")) > len(recording.up) // 4
    else:
        assert not seen.plain and seen.summary.verdicts == (0, 0, 1)
        # Of AEADs each record says its number, so that the version can be told.
        assert sum(seen.summary.causes[name][0] for name in ("start-missing", "start-missing-tls12")
                   if name in seen.summary.causes) == 1
        assert "gcm" not in form or "start-missing-tls12" in seen.summary.causes


def _hello(segment):
    return segment.payload[:1] == b"\x16"


@pytest.mark.parametrize("lost", ["none", "first-of-server", "finished-of-client"])
def test_a_loss_within_the_handshake_costs_no_data_that_was_captured(folder, talks, lost):
    recording, made = talks("1.3-aes-gcm"), talks("1.3-aes-gcm").segments()
    server = next(n for n, s in enumerate(made) if not s.up and _hello(s))
    client = next(n for n, s in enumerate(made) if n > server and s.up and s.payload)
    index = {"none": [], "first-of-server": [server], "finished-of-client": [client]}[lost]
    seen = _watch(folder, recording, watch_damage.drop(made, *index))
    assert seen.only("down") == recording.down and recording.up.endswith(seen.only("up"))
    assert len(recording.up) - len(seen.only("up")) <= len(made[client].payload)


def test_the_clients_direction_alone_is_read(folder, talks):
    recording = talks("1.3-aes-gcm")
    seen = _watch(folder, recording, [s for s in recording.segments() if s.up])
    assert seen.only("up") == recording.up and not seen.only("down")


@pytest.mark.parametrize("lost", ["direction", "hello"])
def test_what_the_server_said_is_read_without_the_clients_hello(folder, talks, lost):
    recording = talks("1.3-aes-gcm")
    made = [s for s in recording.segments() if not (s.up and (lost == "direction" or _hello(s)))]
    assert _watch(folder, recording, made).only("down") == recording.down


@pytest.mark.parametrize("suite", ["TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256", "TLS_AES_256_GCM_SHA384"])
@pytest.mark.parametrize("record", [1000, 16384])
def test_a_loss_in_a_long_answer_of_tls_1_3_is_a_gap_of_the_records_it_hit(folder, suite, record):
    path, keys = watch_record.captured(folder, "--suite", suite, "--record", record, "--octets", 1000000)
    link, frames = watch_frames.read_pcap(path.read_bytes())
    whole = watch.run("-k", keys, path).only("down")
    kept = frames[:300] + frames[303:500] + frames[501:]
    path.write_bytes(watch_frames.pcap(kept, link))
    seen = watch.run("-k", keys, path)
    gaps = seen.missing("down")
    assert len(gaps) == 2 and seen.only("down") == watch_damage.without(whole, gaps)
    assert sum(octets for _, octets in gaps) <= (2 + 3) * 16384 if record == 16384 else 9 * 1000
    assert seen.summary.verdicts == (0, 1, 0)


def test_the_reason_of_a_gap_is_one_of_a_capture(folder, talks):
    made = talks("1.3-aes-gcm").segments()
    lost = watch_damage.first_data(made, False) + 40
    seen = _watch(folder, talks("1.3-aes-gcm"), watch_damage.drop(made, lost))
    assert [e["why"] for e in seen.of("gap")] == ["lost"]
    seen = watch.of_bytes(folder, watch_damage.capture(made))
    assert {e["why"] for e in seen.of("gap")} == {"sealed"}


@pytest.mark.parametrize("snap", [60, 200, 1000])
def test_frames_cut_at_a_snap_length_cost_what_was_cut(folder, talks, snap):
    recording = talks("1.3-aes-gcm")
    made = recording.segments(mss=1448)
    capture = watch_frames.pcap(watch_frames.frames(made), snap=snap)
    seen = watch.of_bytes(folder, capture, keys=recording.keys)
    for direction in ("up", "down"):
        watch_damage.placed(getattr(recording, direction), seen.only(direction))
    assert seen.summary.decrypted == 0
    if snap == 1000:
        assert b"" != seen.only("up") and "gap" in seen.summary.causes


def test_the_summary_tells_connections_gaps_and_bytes(folder, talks):
    recording = talks("1.3-aes-gcm")
    whole, broken = recording.segments(ports=(40000, 443)), recording.segments(ports=(40001, 443))
    lost = watch_damage.first_data(broken, False) + 40
    while broken[lost].up or not broken[lost].payload:
        lost += 1
    seen = _watch(folder, recording, whole + watch_damage.drop(broken, lost))
    assert seen.summary.verdicts == (1, 1, 0) and seen.summary.causes["gap"][0] == 1
    told = sum(octets for _, octets in seen.missing("down"))
    total = 2 * (len(recording.up) + len(recording.down)) - told
    assert f"plaintext: {total // 1000} kB" in seen.summary.text
    said = f"{told} B" if told < 1000 else f"{told // 1000}.{told % 1000 // 100} kB" if told < 10000 else \
        f"{told // 1000} kB"
    assert f"missing plaintext: {said}" in seen.summary.text


def test_a_connection_cut_short_is_decrypted_as_far_as_it_goes(folder, talks):
    recording, made = talks("1.3-aes-gcm"), talks("1.3-aes-gcm").segments(mss=1200)
    seen = _watch(folder, recording, made[:len(made) // 2])
    assert recording.down.startswith(seen.only("down")) and recording.up.startswith(seen.only("up"))
    assert seen.only("down")


def test_a_port_used_again_is_another_connection(folder, talks):
    recording = talks("1.3-aes-gcm")
    again = recording.segments(seqs=(77777777, 88888888))
    seen = _watch(folder, recording, recording.segments() + again)
    assert seen.summary.verdicts == (2, 0, 0)
    assert seen.plain[40000, "down"] == recording.down * 2


def test_a_reset_ends_a_connection(folder, talks):
    recording = talks("1.3-aes-gcm")
    made = recording.segments(closing=False)
    last = made[-1]
    made.append(watch_frames.Segment(last.up, (last.seq + len(last.payload)) % watch_frames.WINDOW, last.ack,
                                     watch_frames.RST, ports=last.ports))
    seen = _watch(folder, recording, made)
    assert seen.of("close")[0]["ending"] == "reset" and seen.only("down") == recording.down


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_file_cut_anywhere_is_read_as_far_as_it_goes_and_that_is_said(folder, talks, cut):
    recording = talks("1.3-aes-gcm")
    capture = watch_damage.capture(recording.segments())
    size = len(capture) * cut // 9 + cut
    seen = watch.of_bytes(folder, capture[:size], keys=recording.keys, code=1)
    assert len([text for text in seen.err.splitlines() if not text.startswith("overt watch: 1 TLS")]) == 1, seen.err
    assert recording.down.startswith(seen.only("down"))
