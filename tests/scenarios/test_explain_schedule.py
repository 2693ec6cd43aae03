"""`overt explain schedule`: every secret computed here is the one that OpenSSL logged and RFC 8448 prints."""

import contextlib
import html
import json
import pathlib
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest
from lab import clients, overt, pki, servers, watch_frames, watch_record
from lab.proc import PATIENCE, Process, eventually

pytestmark = overt.requires("explain --host")


def _rows(*more):
    code, out, err = overt.run("explain", "schedule", "--json", *more)
    assert code == 0, err
    return {row["case"]: row for row in json.loads(out)}


@pytest.fixture(scope="module")
def rows():
    return _rows()


def test_all_secrets_of_tls13_are_those_in_openssls_key_log(rows):
    wanted = {"client-handshake-traffic", "server-handshake-traffic", "client-traffic-0", "server-traffic-0", "exporter",
              "client-finished", "server-finished"}
    assert wanted <= {case.removeprefix("lab-") for case in rows if case.startswith("lab-")}
    assert all(row["equal"] and row["computed"] == row["logged"] for row in rows.values())


def test_each_key_update_leads_to_the_secret_that_was_logged(rows):
    for side in ("client", "server"):
        first, second = rows[f"lab-{side}-traffic-0"], rows[f"lab-{side}-traffic-1"]
        assert first["computed"] != second["computed"] and second["equal"]


def test_the_master_secret_of_tls12_is_the_one_logged(rows):
    assert len(rows["lab12-master"]["computed"]) == 96
    assert len(rows["lab12-client-finished"]["computed"]) == 24 and rows["lab12-server-finished"]["equal"]


def test_rfc_8448_is_computed_as_printed(rows):
    # The first octets of two secrets, as RFC 8448, 3 has them: the program compares with the whole of them.
    assert rows["rfc8448-early"]["computed"].startswith("33ad0a1c607ec03b09e6cd98")
    assert rows["rfc8448-master"]["computed"].startswith("18df06843d13a08bf2a44984")
    assert len([case for case in rows if case.startswith("rfc8448-")]) == 12


def test_two_connections_have_no_secret_in_common(rows):
    again = _rows()
    assert all(again[case]["computed"] != row["computed"] for case, row in rows.items() if case.startswith("lab"))


def test_the_tree_names_labels_and_messages(tmp_path):
    page = tmp_path / "page.html"
    assert overt.run("explain", "schedule", "--html", page)[0] == 0
    told = html.unescape(page.read_text())
    for label in ("c hs traffic", "s hs traffic", "c ap traffic", "s ap traffic", "exp master", "res master", "traffic upd",
                  "resumption", "extended master secret", "key expansion", "client finished"):
        assert f'"{label}"' in told, label
    for message in ("client_hello", "encrypted_extensions", "certificate_verify", "key_update", "client_key_exchange"):
        assert message in told


@pytest.mark.parametrize("version, cases", [
    ("-tls1_3", {"host-client-handshake-traffic", "host-client-traffic-0", "host-exporter", "host-server-finished"}),
    ("-tls1_2", {"host-client-finished", "host-server-finished"}),
])
def test_a_host_that_is_named_shows_its_schedule(world, starts, version, cases):
    chain, key = world.files("www.example.com")
    server = starts(servers.OpensslServer(chain, key, version))
    assert cases <= set(_rows("--host", f"127.0.0.1:{server.port}"))


def test_bad_hosts_are_told_by_name():
    for host, says in (("127.0.0.1:1", "refused"), ("127.0.0.1:70000", "port"), ("[::1", "bracket"), (":443", "host")):
        code, out, err = overt.run("explain", "schedule", "--host", host)
        assert code == 1 and says in err and out == ""


class Odd:
    """A listener that does to each connection what `act` does, until it is stopped."""

    def __init__(self, act):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.stopped, self.held = self.listener.getsockname()[1], threading.Event(), []
        self.thread = threading.Thread(target=self._run, args=(act,), daemon=True)
        self.thread.start()

    def _run(self, act):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.held.append(connection)
                with contextlib.suppress(OSError):
                    act(self, connection)

    def stop(self):
        self.stopped.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.held:
            connection.close()
        self.thread.join(PATIENCE)


def _banner(odd, connection):
    connection.sendall(b"220 hello\r\n")
    connection.recv(9999)
    connection.close()


def _closes(odd, connection):
    connection.recv(9999)
    connection.close()


def _hangs(odd, connection):
    odd.stopped.wait()


def _drips(odd, connection):
    """One octet of a handshake message without an end now and then."""
    connection.sendall(b"\x16\x03\x03\x40\x00\x02\x00\xff\xff")
    while not odd.stopped.wait(0.05):
        connection.sendall(b"\x00")


def _floods(odd, connection):
    """Handshake records that never come to their message's end."""
    record = b"\x16\x03\x03\x40\x00" + bytes(16384)
    connection.sendall(b"\x16\x03\x03\x00\x04\x02\xff\xff\xff")
    while not odd.stopped.is_set():
        connection.sendall(record)


def _warns(odd, connection):
    """Warnings without an end."""
    while not odd.stopped.is_set():
        connection.sendall(b"\x15\x03\x03\x00\x02\x01\x5a" * 1000)


def _visit(odd, timeout):
    return overt.run("explain", "schedule", "--timeout", timeout, "--host", f"127.0.0.1:{odd.port}")


@pytest.mark.parametrize("act, says", [(_banner, "127.0.0.1: "), (_closes, "closed in the handshake"),
                                       (_floods, "127.0.0.1: "), (_warns, "127.0.0.1: ")])
def test_what_is_no_tls_server_is_told_at_once(act, says, starts):
    code, out, err = _visit(starts(Odd(act)), "50s")
    assert (code, out) == (1, "") and says in err and "within the time" not in err


@pytest.mark.parametrize("act", [_hangs, _drips])
def test_who_does_not_come_to_an_end_is_left_at_the_deadline(act, starts):
    began = time.monotonic()
    code, out, err = _visit(starts(Odd(act)), "500ms")
    assert (code, out) == (1, "") and "no whole handshake within the time given" in err
    assert time.monotonic() - began >= 0.5


def test_a_name_that_does_not_exist_is_told():
    code, out, err = overt.run("explain", "schedule", "--timeout", "20s", "--host", "no.such.host.invalid")
    assert (code, out) == (1, "") and "no.such.host.invalid" in err


def test_a_deadline_is_a_duration():
    for bad in ("0s", "1h", "soon"):
        assert overt.run("explain", "schedule", "--timeout", bad, "--host", "127.0.0.1:1")[0] == 2


# Resumption and a retry, made for the purpose

def test_a_resumed_connection_begins_with_the_psk_and_its_binder(rows):
    resumed = {case.removeprefix("resumed-") for case in rows if case.startswith("resumed-")}
    assert {"binder", "client-handshake-traffic", "client-traffic-0", "exporter", "server-finished"} <= resumed
    assert len(rows["resumed-binder"]["computed"]) in (64, 96)


def test_after_a_retry_the_transcript_has_the_message_hash_and_the_secrets_agree(rows):
    assert {"retried-client-traffic-0", "retried-server-finished", "retried-exporter"} <= set(rows)
    told = overt.run("explain", "schedule")[1]
    assert "message_hash" in told and "binder" in told


def test_a_hybrid_group_is_told_where_openssl_has_it(rows):
    groups = clients.run("openssl", "list", "-tls-groups")
    if groups.returncode or b"X25519MLKEM768" not in groups.stdout:
        pytest.skip("this OpenSSL has no hybrid groups")
    assert {"hybrid-client-traffic-0", "hybrid-client-handshake-traffic", "hybrid-server-finished"} <= set(rows)


# Of a capture

def _keylog(text):
    """Each line of a key log: (label, client random, secret)."""
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def _of_capture(*words):
    rows = _rows("--capture", *words)
    assert all(row["as_expected"] for row in rows.values())
    return rows


LOGGED = {"CLIENT_EARLY_TRAFFIC_SECRET": "early-traffic",
          "CLIENT_HANDSHAKE_TRAFFIC_SECRET": "client-handshake-traffic",
          "SERVER_HANDSHAKE_TRAFFIC_SECRET": "server-handshake-traffic",
          "CLIENT_TRAFFIC_SECRET_0": "client-traffic-0", "SERVER_TRAFFIC_SECRET_0": "server-traffic-0"}


def _agree(rows, keylog, random):
    """Every secret of this connection stands in a row as the log has it, opened a record, and no other is printed."""
    lines = {label: secret.lower() for label, found, secret in keylog if found.lower() == random}
    opening = {case.removeprefix("capture-opens-"): row for case, row in rows.items()
               if case.startswith("capture-opens-")}
    if "CLIENT_RANDOM" in lines:
        assert set(opening) == {"client", "server"}
        assert {row["logged"] for row in opening.values()} == {lines["CLIENT_RANDOM"]}
    else:
        assert {LOGGED[label] for label in lines if label in LOGGED} <= set(opening)
        for label, name in LOGGED.items():
            if label in lines:
                assert opening[name]["logged"] == lines[label]
        for case, row in opening.items():
            assert row["logged"] in lines.values() or re.search(r"traffic-[1-9]", case)
    for case, row in opening.items():
        assert row["check"] == f"opens record {row['first_record']}" and row["records"] >= 1, case
    assert rows["capture-client-finished"]["equal"] and rows["capture-server-finished"]["equal"]


def _recorded(tmp_path, recording, name="one"):
    capture, keys = tmp_path / f"{name}.pcap", tmp_path / f"{name}.keys"
    capture.write_bytes(recording.pcap())
    keys.write_text(recording.keys)
    return capture, keys


@pytest.fixture(scope="module")
def contexts(world):
    def make(most=ssl.TLSVersion.TLSv1_3, **options):
        return servers.server_context(*world.files("site.test"), most=most, **options), clients.context(None, most=most)
    return make


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2], ids=["1.3", "1.2"])
@pytest.mark.parametrize("resumed", [False, True], ids=["full", "resumed"])
def test_every_secret_of_a_recorded_connection_is_the_key_logs_and_opens_records(contexts, tmp_path, most, resumed):
    server, client = contexts(most)
    recording = watch_record.exchange(server, client, b"x" * 40000)
    if resumed:
        recording = watch_record.exchange(server, client, b"x" * 40000, session=recording.session)
    capture, keys = _recorded(tmp_path, recording)
    keylog = _keylog(recording.keys)
    rows = _of_capture(capture, "--keys", keys)
    _agree(rows, keylog, keylog[-1][1].lower())
    told = " ".join(overt.run("explain", "schedule", "--capture", capture, "--keys", keys)[1].split())
    assert "computed just now from the recording" in told and "happened just now" not in told
    if resumed and most == ssl.TLSVersion.TLSv1_3:
        assert "took up a PSK" in told and "binder" in told
    elif resumed:
        assert "earlier connection is resumed" in told
    assert ("not known here" in told) == (most == ssl.TLSVersion.TLSv1_3 or not resumed)


def test_a_recorded_retry_is_told(contexts, tmp_path):
    server, client = contexts()
    server.set_ecdh_curve("secp384r1")
    recording = watch_record.exchange(server, client, b"x" * 1000)
    capture, keys = _recorded(tmp_path, recording)
    keylog = _keylog(recording.keys)
    _agree(_of_capture(capture, "--keys", keys), keylog, keylog[0][1].lower())
    told = overt.run("explain", "schedule", "--capture", capture, "--keys", keys)[1]
    assert "message_hash" in told and told.count("client_hello  ") == 2


def test_a_client_with_a_certificate_is_told(world, tmp_path):
    chain, key = world.files("client", usages=(pki.CLIENT_AUTH,))
    server = servers.server_context(*world.files("site.test"), client_trust=world.trust)
    client = clients.context(None, chain=chain, key=key)
    recording = watch_record.exchange(server, client, b"x" * 1000)
    capture, keys = _recorded(tmp_path, recording)
    keylog = _keylog(recording.keys)
    _agree(_of_capture(capture, "--keys", keys), keylog, keylog[0][1].lower())


def test_a_psk_from_outside_gives_the_binder_and_the_early_secret(starts, tmp_path):
    psk = "5e" * 32
    server = starts(Process("openssl", "s_server", "-accept", "127.0.0.1:0", "-nocert", "-psk", psk,
                            "-psk_identity", "me", "-tls1_3", "-rev", stdin=subprocess.PIPE))
    tap = starts(watch_record.Tap(int(server.out.wait(r"^ACCEPT 127\.0\.0\.1:(\d+)").group(1))))
    keys, psks, capture = tmp_path / "keys", tmp_path / "psks", tmp_path / "psk.pcap"
    client = starts(Process("openssl", "s_client", "-connect", f"127.0.0.1:{tap.port}", "-psk", psk,
                            "-psk_identity", "me", "-tls1_3", "-keylogfile", keys, stdin=subprocess.PIPE))
    client.write(b"one\n")
    client.out.wait("^eno")
    client.popen.stdin.close()
    client.popen.wait(PATIENCE)
    capture.write_bytes(tap.pcap())
    without = _of_capture(capture, "--keys", keys)
    assert "capture-binder" not in without
    psks.write_text(f"me:{psk}\n")
    rows = _of_capture(capture, "--keys", keys, "--psk", psks)
    assert rows["capture-binder"]["equal"] and {**without, **rows} == rows
    psks.write_text(f"me:{'5f' * 32}\n")
    code, out, _ = overt.run("explain", "schedule", "--json", "--capture", capture, "--keys", keys, "--psk", psks)
    wrong, = [row for row in json.loads(out) if row["case"] == "capture-binder"]
    assert code == 1 and not wrong["equal"] and not wrong["as_expected"]


def test_key_updates_are_followed_one_by_one(world, starts, tmp_path):
    """s_client updates twice, and asks the server to do the same."""
    server = starts(servers.OpensslServer(*world.files("site.test"), "-rev"))
    tap, keys, capture = starts(watch_record.Tap(server.port)), tmp_path / "keys", tmp_path / "updated.pcap"
    client = starts(Process("openssl", "s_client", "-connect", f"127.0.0.1:{tap.port}", "-keylogfile", keys,
                            stdin=subprocess.PIPE))
    for said, answer, times in (("one", "eno", 1), ("K", "KEYUPDATE", 1), ("two", "owt", 1), ("K", "KEYUPDATE", 2),
                                ("three", "eerht", 1)):
        client.write(said.encode() + b"\n")
        eventually(lambda: (client.out.text() + client.err.text()).count(answer) >= times, answer)
    client.popen.stdin.close()
    client.popen.wait(PATIENCE)
    capture.write_bytes(tap.pcap())
    rows = _of_capture(capture, "--keys", keys)
    updates = [case for case in rows if re.fullmatch(r"capture-opens-(client|server)-traffic-[12]", case)]
    assert len(updates) == 4
    logged = [secret for label, _, secret in _keylog(keys.read_text()) if label.endswith("TRAFFIC_SECRET_N")]
    for case in updates:
        assert rows[case]["logged"] in logged and rows[case]["records"] >= 1
        assert rows[case.replace("opens-", "")]["equal"]


def test_a_secret_altered_by_one_digit_is_caught(contexts, tmp_path):
    recording = watch_record.exchange(*contexts(), b"x" * 1000)
    capture, keys = _recorded(tmp_path, recording)
    for label in ("SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"):
        lines = recording.keys.splitlines()
        at = next(n for n, line in enumerate(lines) if line.startswith(label))
        lines[at] = lines[at][:-1] + ("0" if lines[at][-1] != "0" else "1")
        keys.write_text("\n".join(lines) + "\n")
        code, out, err = overt.run("explain", "schedule", "--json", "--capture", capture, "--keys", keys)
        assert code == 1, out
        if out:
            row, = [row for row in json.loads(out) if row["case"] == "capture-opens-client-traffic-0"]
            assert not row["as_expected"] and row["check"] == "does not open its record"
        else:
            assert "does not open" in err


def test_connections_are_picked_by_number_and_by_random(contexts, tmp_path):
    recordings = [watch_record.exchange(*contexts(), b"one"), watch_record.exchange(*contexts(), b"two")]
    segments = [s for n, r in enumerate(recordings) for s in r.segments(ports=(40000 + n, 443))]
    capture, keys = tmp_path / "both.pcap", tmp_path / "second.keys"
    capture.write_bytes(watch_frames.pcap(watch_frames.frames(watch_frames.retimed(segments))))
    keys.write_text(recordings[1].keys)
    random = _keylog(recordings[1].keys)[0][1].lower()
    for words in ([], ["--connection", "2"], ["--connection", random]):
        told = " ".join(overt.run("explain", "schedule", "--capture", capture, "--keys", keys, *words)[1].split())
        assert "connection 2 of those of TLS" in told and random in told
    for words, says in ((["--connection", "1"], "key log has no"), (["--connection", "3"], "2 connections"),
                        (["--connection", "0" * 64], "none of them"), (["--connection", "first"], "64 hex digits")):
        code, out, err = overt.run("explain", "schedule", "--capture", capture, "--keys", keys, *words)
        assert code == 1 and says in err and out == "", err


def test_keys_in_the_capture_itself_count(contexts, tmp_path):
    recording = watch_record.exchange(*contexts(), b"x" * 1000)
    capture, keys = _recorded(tmp_path, recording)
    with_keys = tmp_path / "with.pcapng"
    code, _, err = overt.run("watch", "-q", "-k", keys, "-w", with_keys, capture)
    assert code == 0, err
    keylog = _keylog(recording.keys)
    _agree(_of_capture(with_keys), keylog, keylog[0][1].lower())


def _hello_alone(recording):
    octets = recording.stream(True)
    return octets[:5 + int.from_bytes(octets[3:5], "big")]


def test_a_hello_of_16_mib_is_none_whatever_came_before_it(contexts, tmp_path):
    hello = _hello_alone(watch_record.exchange(*contexts()))
    endless = b"\x16\x03\x01\x00\x08\x01\xff\xff\xff" + bytes(4)
    made, capture = [], tmp_path / "endless.pcap"
    for port in range(41000, 41012, 2):
        made += watch_frames.segments([(True, hello)], ports=(port, 443), closing=False)
        made += watch_frames.segments([(True, endless)], ports=(port + 1, 443), closing=False)
    capture.write_bytes(watch_frames.pcap(watch_frames.frames(watch_frames.retimed(made))))
    code, out, err = overt.run("explain", "schedule", "--capture", capture)
    assert (code, out) == (1, "") and ": 6 connections of TLS begin in it" in err and "unread" not in err, err


def test_a_hello_that_does_not_end_is_passed_over_and_told(contexts, tmp_path):
    recording = watch_record.exchange(*contexts(), b"x" * 1000)
    # 60 KiB, it says, with each octet in a record of its own.
    dripped = b"".join(b"\x16\x03\x01\x00\x01" + bytes([octet]) for octet in b"\x01\x00\xf0\x00" + bytes(12000))
    made = watch_frames.segments([(True, dripped)], mss=60, ports=(41000, 443), closing=False)
    capture, keys = tmp_path / "dripped.pcap", tmp_path / "keys"
    capture.write_bytes(watch_frames.pcap(watch_frames.frames(watch_frames.retimed(made + recording.segments()))))
    keys.write_text(recording.keys)
    _of_capture(capture, "--keys", keys)
    told = " ".join(overt.run("explain", "schedule", "--capture", capture, "--keys", keys)[1].split())
    passed = "passed over unread: 0 for want of room, 1 whose first 65536 octets hold no whole hello"
    assert "connection 1 of those of TLS" in told and passed in told
    code, out, err = overt.run("explain", "schedule", "--capture", capture, "--keys", keys, "--connection", "2")
    assert (code, out) == (1, "") and "1 connection of TLS begins in it" in err and passed in err, err


def test_what_cannot_be_told_is_said(contexts, tmp_path):
    recording = watch_record.exchange(*contexts(), b"x" * 1000)
    capture, keys = _recorded(tmp_path, recording)
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture.read_bytes()[:1500])
    noise = tmp_path / "noise.pcap"
    noise.write_bytes(b"no capture at all")
    empty = tmp_path / "empty.keys"
    empty.write_text("")
    for words, says in (([capture], "--keys"), ([capture, "--keys", empty], "the keys fit none"),
                        ([cut, "--keys", keys], "cut.pcap"), ([noise, "--keys", keys], "noise.pcap"),
                        ([tmp_path / "none.pcap"], "none.pcap"), ([capture, "--keys", tmp_path / "none"], "none")):
        code, out, err = overt.run("explain", "schedule", "--capture", *words)
        assert code == 1 and says in err and out == "", err
    for words in (["dropout", "--host", "localhost"], ["schedule", "--keys", keys], ["schedule", "--connection", "1"],
                  ["schedule", "--host", "localhost", "--capture", capture]):
        code, out, err = overt.run("explain", *words)
        assert code == 2 and out == "", err


CAPTURES = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data" / "captures"


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="no ../shared/data/captures beside the source")
@pytest.mark.parametrize("name, keys, connection", [
    ("tls13-rfc8446.pcap", "tls13-rfc8446.keys", "1"), ("tls13-rfc8446.pcap", "tls13-rfc8446.keys", "2"),
    ("tls12-decryption.pcap", "tls12-decryption.keys", "1"),
    ("http2-data-reassembly.pcap", "http2-data-reassembly.keys", "1")])
def test_captures_of_others_are_told(name, keys, connection):
    rows = _of_capture(CAPTURES / name, "--keys", CAPTURES / keys, "--connection", connection)
    keylog = [line for line in _keylog((CAPTURES / keys).read_text()) if len(line) == 3]
    logged = next(row["logged"] for case, row in rows.items() if case.startswith("capture-opens-"))
    random, = {found.lower() for _, found, secret in keylog if secret.lower() == logged}
    _agree(rows, keylog, random)


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="no ../shared/data/captures beside the source")
def test_a_version_that_is_not_told_is_named():
    code, out, err = overt.run("explain", "schedule", "--capture", CAPTURES / "dhe1.pcapng.gz", "--keys",
                               CAPTURES / "dhe1_keylog.dat")
    assert (code, out) == (1, "") and "TLS 1.0 (0x0301)" in err, err


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="no ../shared/data/captures beside the source")
def test_0_rtt_data_is_opened_and_passed_over_without_its_key():
    rows = _of_capture(CAPTURES / "tls13-rfc8446.pcap", "--keys", CAPTURES / "tls13-rfc8446.keys", "--connection", "2")
    assert rows["capture-opens-early-traffic"]["records"] == 2
    without = _of_capture(CAPTURES / "tls13-rfc8446.pcap", "--keys", CAPTURES / "tls13-rfc8446-noearly.keys",
                          "--connection", "2")
    assert "capture-opens-early-traffic" not in without
    for case in ("capture-client-finished", "capture-server-finished", "capture-opens-client-traffic-0"):
        assert without[case] == rows[case]
