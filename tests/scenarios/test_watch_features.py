"""What TLS 1.2 and 1.3 can do between two endpoints: `overt watch` follows it and shows what was said."""

import pathlib
import re
import ssl
import subprocess

import pytest
from lab import clients, overt, servers, watch, watch_frames, watch_record
from lab.proc import PATIENCE, Process, eventually

pytestmark = overt.requires("watch --keys --plaintext --private-key --psk")

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def _contexts(files, *, server=None, client=None, **both):
    return (servers.server_context(*files, **{**both, **(server or {})}),
            clients.context(None, **{**both, **(client or {})}))


def _right(seen, *records):
    """Everything that was said came out, and the summary agrees."""
    for number, recording in enumerate(records):
        assert seen.plain.get((40000 + number, "up"), b"") == recording.up
        assert seen.plain.get((40000 + number, "down"), b"") == recording.down
    assert seen.summary.verdicts == (len(records), 0, 0), seen.err
    assert not seen.of("gap")


def _joined(*records, **form):
    made = []
    for number, recording in enumerate(records):
        made += recording.segments(ports=(40000 + number, 443), **form)
    return watch_frames.pcap(watch_frames.frames(watch_frames.retimed(made)))


# Between openssl s_server and s_client, through a tap that records

class Talk:
    """s_client, told what to do line by line; the server turns each line around."""

    def __init__(self, tap, folder, *options):
        self.process = Process("openssl", "s_client", "-connect", f"127.0.0.1:{tap.port}", "-servername", "site.test",
                               "-keylogfile", folder / "keys", *options, stdin=subprocess.PIPE)

    def say(self, text):
        self.process.write(text.encode() + b"\n")
        self.process.out.wait("^" + re.escape(text[::-1]) + "$")

    def command(self, letter, answer):
        before = self.process.err.text().count(answer)
        self.process.write(letter.encode() + b"\n")
        eventually(lambda: self.process.err.text().count(answer) > before, answer)

    def end(self):
        self.process.write(b"Q\n")
        self.process.wait()

    def stop(self):
        self.process.stop()


@pytest.fixture
def line(world, starts, folder):
    """line(*options of s_server) -> (tap, talk(*options of s_client), watch(*options of overt watch))."""
    def make(*options, kind="p256"):
        server = starts(servers.OpensslServer(*world.files("site.test", kind=kind), *options))
        tap = starts(watch_record.Tap(server.port))

        def talk(*more):
            return starts(Talk(tap, folder, *more))

        def see(*more, keys=True):
            return watch.of_bytes(folder, tap.pcap(), *(["-k", folder / "keys"] if keys else []), *more)
        return server, talk, see
    return make


def _said(seen, *lines, port=40000):
    assert seen.plain.get((port, "up")) == "".join(f"{text}\n" for text in lines).encode()
    assert seen.plain.get((port, "down")) == "".join(f"{text[::-1]}\n" for text in lines).encode()


def test_a_hello_retry_request(line):
    _, talk, see = line("-rev", "-groups", "P-384")
    client = talk("-groups", "X25519:P-384")
    client.say("one")
    client.end()
    seen = see()
    _said(seen, "one")
    assert seen.of("tls")[0]["group"] == "secp384r1" and len(seen.of("hello")) == 1
    assert seen.summary.verdicts == (1, 0, 0)


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_a_session_resumed_with_a_ticket(line, folder, version):
    _, talk, see = line("-rev")
    client = talk(version, "-sess_out", folder / "session")
    client.say("one")
    client.end()
    client = talk(version, "-sess_in", folder / "session")
    client.say("two")
    client.process.out.wait("^Reused, ")
    client.end()
    seen = see()
    _said(seen, "one")
    _said(seen, "two", port=40001)
    assert [e["resumed"] for e in seen.of("tls")] == [False, True]
    assert seen.summary.verdicts == (2, 0, 0)


@pytest.mark.parametrize("ems", [True, False], ids=["ems", "no-ems"])
def test_a_session_of_tls_1_2_resumed_by_its_identifier(world, folder, ems):
    server, client = _contexts(world.files("site.test"), most=V12)
    server.options |= ssl.OP_NO_TICKET | (0 if ems else servers.NO_EMS)
    client.options |= 0 if ems else servers.NO_EMS
    first = watch_record.exchange(server, client, b"first")
    second = watch_record.exchange(server, client, b"second", session=first.session)
    seen = watch.of_bytes(folder, _joined(first, second), keys=first.keys + second.keys)
    _right(seen, first, second)
    assert [e["resumed"] for e in seen.of("tls")] == [False, True]


def test_the_secret_of_the_first_connection_opens_those_that_resume_it_over_tls_1_2(world, folder):
    """RSA key exchange: the server's key opens the first, and the master secret is remembered."""
    chain, key = world.files("site.test", kind="rsa2048")
    server, client = _contexts((chain, key), most=V12, ciphers="kRSA:@SECLEVEL=0")
    server.options |= ssl.OP_NO_TICKET
    first = watch_record.exchange(server, client, b"first")
    second = watch_record.exchange(server, client, b"second", session=first.session)
    _right(watch.of_bytes(folder, _joined(first, second), "--private-key", key), first, second)


@pytest.mark.parametrize("ems", [True, False], ids=["ems", "no-ems"])
@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "AES256-SHA256", "AES128-SHA", "AES128-CCM"])
def test_the_servers_private_key_opens_rsa_key_exchange(world, folder, cipher, ems):
    chain, key = world.files("site.test", kind="rsa2048")
    server, client = _contexts((chain, key), most=V12, ciphers=f"{cipher}:@SECLEVEL=0")
    client.options |= 0 if ems else servers.NO_EMS
    made = watch_record.exchange(server, client, watch_record.numbered(5000))
    _right(watch.of_bytes(folder, made.pcap(), "--private-key", key), made)


def test_the_private_key_of_another_server_opens_nothing(world, folder):
    server, client = _contexts(world.files("site.test", kind="rsa2048"), most=V12, ciphers="kRSA:@SECLEVEL=0")
    _, other = world.files("site.test", kind="rsa2048", number=1)
    seen = watch.of_bytes(folder, watch_record.exchange(server, client).pcap(), "--private-key", other)
    assert seen.summary.verdicts == (0, 0, 1) and not seen.plain


def _early(line, folder):
    server, talk, see = line("-early_data", "-max_early_data", "16384", "-tls1_3")
    client = talk("-sess_out", folder / "session")
    client.process.write(b"one\n")
    server.process.out.wait("^one$")
    client.end()
    (folder / "early").write_bytes(b"said early\n")
    return server, talk, see


def _again(server, talk, folder, text):
    client = talk("-sess_in", folder / "session", "-early_data", folder / "early")
    client.process.write(text + b"\n")
    server.process.out.wait("^" + text.decode() + "$")
    client.end()
    return client


def test_early_data_that_the_server_takes(line, folder):
    server, talk, see = _early(line, folder)
    client = _again(server, talk, folder, b"two")
    assert "Early data was accepted" in client.process.out.text()
    seen = see()
    assert seen.plain[40000, "up"] == b"one\n"
    assert seen.plain[40001, "up"] == b"said early\ntwo\n"
    assert seen.summary.verdicts == (2, 0, 0)


def test_early_data_that_the_server_refuses_is_not_shown_as_said(line, folder):
    """Anti-replay: the server takes a ticket once."""
    server, talk, see = _early(line, folder)
    _again(server, talk, folder, b"two")
    client = _again(server, talk, folder, b"three")
    assert "Early data was rejected" in client.process.out.text()
    seen = see()
    assert seen.plain[40001, "up"] == b"said early\ntwo\n"
    assert seen.plain[40002, "up"] == b"three\n"
    assert seen.summary.verdicts == (3, 0, 0) and not seen.of("gap")


@pytest.mark.parametrize("logged", [True, False], ids=["logged", "not-logged"])
def test_key_updates_of_both_sides(line, folder, logged):
    _, talk, see = line("-rev", "-tls1_3")
    client = talk()
    client.say("one")
    client.command("k", "KEYUPDATE")
    client.say("two")
    client.command("K", "KEYUPDATE")
    client.say("three")
    client.say("four")
    client.end()
    if not logged:
        log = folder / "keys"
        log.write_text("".join(text for text in log.read_text().splitlines(True)
                               if not re.match(r"\w+_TRAFFIC_SECRET_[1-9]", text)))
    seen = see()
    _said(seen, "one", "two", "three", "four")
    assert seen.summary.verdicts == (1, 0, 0) and not seen.of("gap")


def test_renegotiation(line):
    _, talk, see = line("-rev", "-client_renegotiation", "-tls1_2")
    client = talk()
    client.say("one")
    client.command("R", "RENEGOTIATING")
    client.say("two")
    client.end()
    seen = see()
    _said(seen, "one", "two")
    assert seen.summary.verdicts == (1, 0, 0) and not seen.of("gap")


@pytest.mark.parametrize("option", [("-maxfraglen", "512"), ("-max_send_frag", "600"), ("-record_padding", "256")],
                         ids=lambda option: option[0][1:])
def test_records_of_odd_sizes(line, option):
    _, talk, see = line("-rev", *([] if option[0] == "-maxfraglen" else option),
                        *(["-tls1_2"] if option[0] == "-maxfraglen" else []))
    client = talk(*option)
    lines = [f"{n:04}" * 400 for n in range(4)]
    for text in lines:
        client.say(text)
    client.end()
    seen = see()
    _said(seen, *lines)
    assert seen.summary.verdicts == (1, 0, 0)


def test_a_record_size_limit_of_gnutls(world, starts, folder):
    server = starts(servers.GnutlsServer(*world.files("site.test")))
    tap = starts(watch_record.Tap(server.port))
    done = subprocess.run([servers.needs_program("gnutls-cli"), "--port", str(tap.port), "--insecure", "--recordsize",
                           "600", "--sni-hostname", "site.test", "127.0.0.1"],
                          input=b"GET / HTTP/1.0\r\n\r\n", capture_output=True, timeout=PATIENCE,
                          env=clients.environment(SSLKEYLOGFILE=str(folder / "keys")))
    assert b"HTTP/1.0 200 OK" in done.stdout
    seen = watch.of_bytes(folder, tap.pcap(), "-k", folder / "keys")
    assert seen.only("up") == b"GET / HTTP/1.0\r\n\r\n" and seen.only("down").startswith(b"HTTP/1.0 200 OK")
    assert seen.of("response")[0]["status"] == 200 and seen.summary.verdicts == (1, 0, 0)


@pytest.mark.parametrize("form", ["client", "server", "both"])
def test_without_extended_master_secret(world, folder, form):
    server, client = _contexts(world.files("site.test"), most=V12)
    server.options |= servers.NO_EMS if form != "client" else 0
    client.options |= servers.NO_EMS if form != "server" else 0
    made = watch_record.exchange(server, client, watch_record.numbered(40000), turns=3)
    _right(watch.of_bytes(folder, made.pcap(), keys=made.keys), made)


@pytest.mark.parametrize("most", [V12, V13], ids=["1.2", "1.3"])
def test_a_client_with_a_certificate(world, folder, most):
    server, client = _contexts(world.files("site.test"), most=most, server={"client_trust": world.trust})
    client.load_cert_chain(*world.files("user.test", usages=("1.3.6.1.5.5.7.3.2",)))
    made = watch_record.exchange(server, client, b"for you")
    _right(watch.of_bytes(folder, made.pcap(), keys=made.keys), made)


@pytest.mark.parametrize("most", [V12, V13], ids=["1.2", "1.3"])
def test_a_hello_over_several_records_and_many_segments(world, folder, most):
    protocols = [f"{n:03}" * 70 for n in range(120)]
    server, client = _contexts(world.files("site.test"), most=most, client={"protocols": protocols},
                               server={"protocols": protocols[-1:]})
    made = watch_record.exchange(server, client, b"body")
    assert len(made.pieces[0][1]) > 20000
    seen = watch.of_bytes(folder, made.pcap(), keys=made.keys)
    _right(seen, made)
    assert seen.of("hello")[0]["sni"] == "site.test" and seen.of("tls")[0]["alpn"] == protocols[-1]


PSK = "00112233445566778899aabbccddeeff"


@pytest.mark.parametrize("cipher", ["PSK-AES128-GCM-SHA256", "PSK-AES256-CBC-SHA", "PSK-CHACHA20-POLY1305",
                                    "PSK-AES128-CCM8"])
def test_a_pre_shared_key_opens_its_suites(line, folder, cipher):
    _, talk, see = line("-rev", "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0", "-psk", PSK, "-psk_identity", "door")
    client = talk("-cipher", f"{cipher}:@SECLEVEL=0", "-psk", PSK, "-psk_identity", "door")
    client.say("one")
    client.end()
    (folder / "psk").write_text(f"window:ffff\ndoor:{PSK}\n")
    seen = see("--psk", folder / "psk", keys=False)
    _said(seen, "one")
    assert seen.summary.verdicts == (1, 0, 0)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_connection_with_a_pre_shared_key_is_opened_by_a_key_log(line, version):
    psk = ("-psk", PSK, "-psk_identity", "door")
    cipher = ("-cipher", "ECDHE-PSK-AES128-CBC-SHA256:@SECLEVEL=0") if version == "-tls1_2" else ()
    _, talk, see = line("-rev", version, *psk, *cipher)
    client = talk(*psk, *cipher, version)
    client.say("one")
    client.end()
    seen = see()
    _said(seen, "one")
    assert seen.summary.verdicts == (1, 0, 0)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [(ssl.TLSVersion.TLSv1, "TLS 1.0"), (ssl.TLSVersion.TLSv1_1, "TLS 1.1")],
                         ids=["1.0", "1.1"])
def test_older_versions_are_named_and_counted(world, folder, version):
    number, name = version
    server, client = _contexts(world.files("site.test"), least=number, most=number, ciphers="ALL:@SECLEVEL=0")
    made = watch_record.exchange(server, client, b"old")
    seen = watch.of_bytes(folder, made.pcap(), keys=made.keys)
    assert seen.summary.verdicts == (0, 0, 1) and seen.summary.causes["version-unsupported"][0] == 1
    assert seen.of("tls")[0]["version"] == name
    assert seen.of("close")[0]["name"] == "version-unsupported" and not seen.plain


@pytest.mark.parametrize("cipher", ["CAMELLIA128-SHA256", "ECDHE-ARIA128-GCM-SHA256", "ECDHE-RSA-NULL-SHA"])
def test_rare_suites_are_read_as_well(world, folder, cipher):
    server, client = _contexts(world.files("site.test", kind="rsa2048"), most=V12, ciphers=f"{cipher}:@SECLEVEL=0")
    made = watch_record.exchange(server, client, watch_record.numbered(40000), turns=2)
    _right(watch.of_bytes(folder, made.pcap(), keys=made.keys), made)


def test_a_suite_that_is_not_known_is_counted(world, folder):
    """The server's choice, changed on the wire."""
    server, client = _contexts(world.files("site.test"), most=V12, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    made = watch_record.exchange(server, client, b"rare")
    made.pieces[1] = (False, made.pieces[1][1].replace(b"\xc0\x2b\0", b"\xc0\xfe\0", 1))
    seen = watch.of_bytes(folder, made.pcap(), keys=made.keys)
    assert seen.summary.verdicts == (0, 0, 1) and seen.summary.causes["suite-unsupported"][0] == 1
    assert seen.of("tls")[0]["suite"] == "0xc0fe" and not seen.plain


def test_tls_behind_a_plaintext_beginning(world, folder):
    """SMTP with STARTTLS."""
    server, client = _contexts(world.files("mail.test"))
    made = watch_record.exchange(server, client, b"body")
    made.pieces[:0] = [(False, b"220 mail.test ESMTP\r\n"), (True, b"EHLO me\r\n"),
                       (False, b"250-mail.test\r\n250 STARTTLS\r\n"), (True, b"STARTTLS\r\n"), (False, b"220 go\r\n")]
    _right(watch.of_bytes(folder, made.pcap(), keys=made.keys), made)


def test_a_connection_that_was_refused_says_which_alert_and_counts_as_nothing_lost(world, folder):
    """A handshake that ends in an alert holds no data."""
    server, client = _contexts(world.files("site.test"), server={"ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"},
                               client={"ciphers": "AES256-GCM-SHA384:@SECLEVEL=0"}, most=V12)
    pair = watch_record.Pair.__new__(watch_record.Pair)
    with pytest.raises(ssl.SSLError):
        pair.__init__(server, client)
    pair.move(False)
    seen = watch.of_bytes(folder, pair.close().pcap())
    assert seen.summary.verdicts == (0, 0, 0) and seen.summary.without_data == 1


def test_tcp_that_is_no_tls_is_counted_and_not_shown(folder):
    made = watch_record.Recording([(True, b"GET / HTTP/1.1\r\n\r\n"), (False, b"HTTP/1.1 200 OK\r\n\r\n" * 200)])
    seen = watch.of_bytes(folder, made.pcap())
    assert seen.summary.connections == 0 and "1 other TCP connection" in seen.err and not seen.events


# What comes out, and what ties keys to connections

TOP = pathlib.Path(__file__).resolve().parents[2]


def test_bodies_become_files(world, folder):
    """--export-objects: one of HTTP/1, named by host and path, beside an index; one cut short says so."""
    server, client = _contexts(world.files("site.test"))
    body = watch_record.numbered(70000)
    whole, half = (watch_record.exchange(server, client, body) for _ in range(2))
    (folder / "keys").write_text(whole.keys + half.keys)
    made = whole.segments() + [s for s in half.segments(ports=(40001, 443), closing=False)][:40]
    (folder / "capture").write_bytes(watch_frames.pcap(watch_frames.frames(watch_frames.retimed(made))))
    watch.run("--export-objects", folder / "out", "-k", folder / "keys", folder / "capture")
    files = {path.name: path.read_bytes() for path in (folder / "out").iterdir() if path.name != "index.jsonl"}
    complete = [octets for name, octets in files.items() if not name.endswith(".incomplete")]
    partial = [octets for name, octets in files.items() if name.endswith(".incomplete")]
    assert complete == [body] and len(partial) == 1 and body.startswith(partial[0]) and partial[0]
    assert all(name.startswith("site.test") for name in files)
    index = watch.events((folder / "out" / "index.jsonl").read_text())
    assert sorted(e["complete"] for e in index) == [False, True] and {e["file"] for e in index} == set(files)


def test_the_table_shows_requests_without_any_option(world, folder):
    server, client = _contexts(world.files("site.test"))
    made = watch_record.exchange(server, client, b"body")
    (folder / "keys").write_text(made.keys)
    (folder / "capture").write_bytes(made.pcap())
    code, out, _ = overt.run("watch", "-k", folder / "keys", folder / "capture")
    assert code == 0 and re.search(r"site\.test +GET +/what +200 ", out), out
    code, out, _ = overt.run("watch", "-q", "-k", folder / "keys", folder / "capture")
    assert code == 0 and not out


def test_secrets_within_a_capture_open_a_connection_that_begins_in_its_middle(world, folder):
    """Nobody says which of them are its own."""
    pair = watch_record.Pair(*_contexts(world.files("site.test")))
    for number in range(12):
        pair.say(True, b"up %d\n" % number)
        pair.say(False, b"down %d\n" % number)
    made = pair.close()
    data = [n for n, s in enumerate(made.segments()) if s.payload[:1] == b"\x17"]
    frames = watch_frames.frames(made.segments()[data[len(data) // 2]:])
    others = "".join(f"SERVER_TRAFFIC_SECRET_0 {n:064x} {n:064x}\n" for n in range(50))
    capture = watch_frames.pcapng(frames, before=watch_frames.secrets_block(others + made.keys))
    seen = watch.of_bytes(folder, capture)
    assert seen.only("up") and made.up.endswith(seen.only("up"))
    assert seen.only("down") and made.down.endswith(seen.only("down"))


@pytest.mark.parametrize("cipher", ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305",
                                    "ECDHE-RSA-AES128-SHA256"])
def test_tls_1_2_that_begins_in_the_middle_is_counted_with_its_cause(world, folder, cipher):
    """Its keys need the server's random, which its hello alone says. Where records tell the version, the cause does."""
    server, client = _contexts(world.files("site.test", kind="rsa2048"), most=V12, ciphers=f"{cipher}:@SECLEVEL=0")
    made = watch_record.exchange(server, client, watch_record.numbered(60000), turns=3)
    segments = made.segments(mss=16384)
    first = next(n for n, s in enumerate(segments) if s.payload[:1] == b"\x17")
    capture = watch_frames.pcap(watch_frames.frames(segments[first:]))
    seen = watch.of_bytes(folder, capture, keys=made.keys)
    assert seen.summary.verdicts == (0, 0, 1) and not seen.plain
    # close_notify is longer than it would be in the clear.
    assert seen.summary.causes["start-missing-tls12"][0] == 1, seen.err
    close = seen.of("close")[0]
    assert close["name"] == "start-missing-tls12" and "TLS 1.2 needs both randoms" in close["text"]


def test_connections_over_the_cap_leave_and_are_counted(world, folder):
    server, client = _contexts(world.files("site.test"))
    made = [watch_record.exchange(server, client, b"body") for _ in range(6)]
    opened = [r.segments(ports=(40000 + n, 443), closing=False) for n, r in enumerate(made)]
    # All begin before any goes on.
    segments = [s for talk in opened for s in talk[:4]] + [s for talk in opened for s in talk[4:]]
    (folder / "capture").write_bytes(watch_frames.pcap(watch_frames.frames(watch_frames.retimed(segments))))
    (folder / "keys").write_text("".join(r.keys for r in made))
    seen = watch.run("--connections", 2, "-j", 1, "-k", folder / "keys", folder / "capture")
    found = re.search(r"(\d+) connections left out for others", seen.err)
    assert found and int(found[1]) >= 4


def test_the_example_of_the_library_prints_the_plaintext(world, folder):
    """examples/decrypt.c: 60 lines without its comments, built against libovert as it lies in the build folder."""
    source = TOP / "examples" / "decrypt.c"
    text = re.sub(r"/\*.*?\*/", "", source.read_text(), flags=re.S)
    assert len([line for line in text.splitlines() if line.strip()]) <= 60
    library = next((place for place in pathlib.Path(overt.binary()).resolve().parent.rglob("libovert.so.0")), None)
    if library is None:
        pytest.skip("libovert was not built beside overt")
    sanitized = b"__asan_init" in library.read_bytes()
    done = clients.run("cc", "-std=c17", "-Wall", "-Wextra", "-Werror", "-I", TOP / "include",
                       *(["-fsanitize=address,undefined"] if sanitized else []), source, library, "-o",
                       folder / "decrypt", timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    server, client = _contexts(world.files("site.test"))
    made = watch_record.exchange(server, client, watch_record.numbered(30000))
    (folder / "keys").write_text(made.keys)
    for up, name in ((True, "up"), (False, "down")):
        (folder / name).write_bytes(made.stream(up))
    done = clients.run(folder / "decrypt", folder / "keys", folder / "up", folder / "down",
                       env={"ASAN_OPTIONS": "detect_leaks=0", "LD_LIBRARY_PATH": str(library.parent)})
    assert done.returncode == 0 and done.stderr == b"all of it\n", done.stderr.decode()
    assert done.stdout in (made.up + made.down, made.down + made.up)
