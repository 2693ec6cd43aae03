"""UDP in a capture: DTLS 1.2 decrypted, QUIC named and counted."""

import random
import signal
import socket
import struct
import subprocess
import threading

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from lab import clients, overt, servers, watch, watch_frames, watch_record, wire
from lab.proc import PATIENCE, Process, eventually

pytestmark = overt.requires("watch --keys --plaintext")

F = watch_frames


def _udp(datagrams, ports):
    made = []
    for number, (up, body) in enumerate(datagrams):
        source, target = ports if up else ports[::-1]
        packet = F.ip4(up, struct.pack("!HHHH", source, target, 8 + len(body), 0) + body, 17)
        made.append((F.START + number * F.STEP, packet))
    return F.pcap(made)


# QUIC version 1 (RFC 9001)

SALT = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")


def _expand(secret, label, size):
    info = struct.pack("!HB", size, 6 + len(label)) + b"tls13 " + label + b"\0"
    return HKDFExpand(hashes.SHA256(), size, info).derive(secret)


def _initial(connection, number, frames, size=1200):
    """A client's Initial packet that carries `frames`, padded to `size` octets."""
    extract = hmac.HMAC(SALT, hashes.SHA256())
    extract.update(connection)
    secret = _expand(extract.finalize(), b"client in", 32)
    key, iv, hp = _expand(secret, b"quic key", 16), _expand(secret, b"quic iv", 12), _expand(secret, b"quic hp", 16)
    head = b"\xc3" + struct.pack("!I", 1) + bytes([len(connection)]) + connection + b"\0" + b"\0"
    length = size - len(head) - 2
    head += struct.pack("!H", 0x4000 | length) + struct.pack("!I", number)
    frames += b"\0" * (length - 4 - 16 - len(frames))
    nonce = (int.from_bytes(iv, "big") ^ number).to_bytes(12, "big")
    sealed = AESGCM(key).encrypt(nonce, frames, head)
    mask = Cipher(algorithms.AES(hp), modes.ECB()).encryptor().update(sealed[:16])
    packet = bytearray(head + sealed)
    packet[0] ^= mask[0] & 0x0F
    for n in range(4):
        packet[len(head) - 4 + n] ^= mask[1 + n]
    return bytes(packet)


def _crypto(offset, body):
    return b"\x06" + struct.pack("!I", 0x80000000 | offset) + struct.pack("!H", 0x4000 | len(body)) + body


def _client_hello(protocols):
    """A ClientHello as OpenSSL writes it."""
    context, out = clients.context(None, protocols=protocols), watch_record.ssl.MemoryBIO()
    client = context.wrap_bio(watch_record.ssl.MemoryBIO(), out, False, "quic.test")
    with pytest.raises(watch_record.ssl.SSLWantReadError):
        client.do_handshake()
    return wire.records(out.read())[0][2]


@pytest.mark.parametrize("order", ["whole", "two-packets", "two-packets-reversed"])
def test_a_flow_of_quic_is_named_by_its_hello_and_counted(folder, order):
    hello = _client_hello(["h3"] if order == "whole" else ["h3", *(f"{n:03}" * 60 for n in range(9))])
    connection = b"\x83\x94\xc8\xf0\x3e\x51\x57\x08"
    if order == "whole":
        sent = [_initial(connection, 0, _crypto(0, hello))]
    else:
        sent = [_initial(connection, 0, _crypto(0, hello[:900])),
                _initial(connection, 1, _crypto(900, hello[900:]), 1400)]
    if order.endswith("reversed"):
        sent.reverse()
    seen = watch.of_bytes(folder, _udp([(True, d) for d in sent] + [(False, b"\x40" + bytes(60))], (50000, 443)))
    assert [e["sni"] for e in seen.of("hello")] == ["quic.test"] and "h3" in seen.of("hello")[0]["alpn"]
    assert "1 QUIC flow" in seen.err and seen.summary.connections == 0


class UdpTap:
    """A UDP relay for one client that writes down what passes."""

    def __init__(self, port):
        self.datagrams, self.port = [], 0
        self._below, self._above = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
        self._below.bind(("127.0.0.1", 0))
        self._above.connect(("127.0.0.1", port))
        self.port, self._client, self._end = self._below.getsockname()[1], None, False
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._up, self._down)]
        for sock in (self._below, self._above):
            sock.settimeout(0.2)
        for thread in self._threads:
            thread.start()

    def _up(self):
        while not self._end:
            try:
                body, self._client = self._below.recvfrom(65536)
                self.datagrams.append((True, body))
                self._above.send(body)
            except OSError:
                pass

    def _down(self):
        while not self._end:
            try:
                body = self._above.recv(65536)
                self.datagrams.append((False, body))
                self._below.sendto(body, self._client)
            except OSError:
                pass

    def stop(self):
        self._end = True
        for thread in self._threads:
            thread.join(PATIENCE)
        self._below.close()
        self._above.close()


# DTLS 1.2 (RFC 6347)

UP, DOWN = b"over datagrams, upwards\n", b"and down again\n"


NO_EMS = """openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = default
[default]
Options = -ExtendedMasterSecret
"""


class Talk:
    """What two peers said to each other: (up, octets) in order, and the key log."""

    def __init__(self, datagrams, keys):
        self.datagrams, self.keys = datagrams, keys

    def records(self):
        """(place, type, epoch, number, octets) of every record."""
        for place, (_, body) in enumerate(self.datagrams):
            while len(body) >= 13:
                kind, _, epoch, high, low, length = struct.unpack("!BHHHIH", body[:13])
                yield place, kind, epoch, high << 32 | low, body[13:13 + length]
                body = body[13 + length:]


@pytest.fixture(scope="module")
def rsa(tmp_path_factory):
    """(certificate, key)"""
    folder = tmp_path_factory.mktemp("rsa")
    chain, key = folder / "rsa.pem", folder / "rsa.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", chain, "-subj",
                    "/CN=site.test", "-days", "2"], check=True, capture_output=True)
    return chain, key


def _openssl_talk(files, starts, folder, server=(), client=(), ems=True):
    (folder / "openssl.cnf").write_text("" if ems else NO_EMS)
    options = {"env": {**clients.environment(), "OPENSSL_CONF": str(folder / "openssl.cnf")}}
    serving = starts(servers.OpensslServer(*files, "-dtls1_2", *server))
    tap = starts(UdpTap(serving.port))
    log = folder / "keys"
    asking = starts(Process("openssl", "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{tap.port}", "-servername",
                            "site.test", "-keylogfile", log, *client, stdin=subprocess.PIPE, **options))
    asking.write(UP)
    serving.process.out.wait("over datagrams")
    serving.say(DOWN)
    asking.out.wait("and down again")
    asking.write(b"Q\n")
    eventually(lambda: not asking.running(), "the client has gone")
    asking.stop()
    serving.stop()
    return Talk(list(tap.datagrams), log.read_bytes() if log.exists() else b"")


def _capture(talk, order=None, ports=(50000, 4433), v6=False):
    made = []
    for number, place in enumerate(order if order is not None else range(len(talk.datagrams))):
        up, body = talk.datagrams[place]
        source, target = ports if up else ports[::-1]
        udp = struct.pack("!HHHH", source, target, 8 + len(body), 0) + body
        made.append((F.START + number * F.STEP, F.ip6(up, udp, 17) if v6 else F.ip4(up, udp, 17)))
    return F.pcap(made)


def _decrypted(seen, up=UP, down=DOWN):
    assert seen.summary.verdicts == (1, 0, 0), seen.err
    assert seen.only("up") == up and seen.only("down") == down


SUITES = {
    "gcm": ["ECDHE-RSA-AES128-GCM-SHA256"],
    "gcm-256": ["ECDHE-RSA-AES256-GCM-SHA384"],
    "chacha": ["ECDHE-RSA-CHACHA20-POLY1305"],
    "ccm": ["DHE-RSA-AES128-CCM"],
    "ccm-8": ["DHE-RSA-AES256-CCM8"],
    "cbc-etm": ["ECDHE-RSA-AES128-SHA256"],
    "cbc": ["ECDHE-RSA-AES256-SHA", "-no_etm"],
    "rsa": ["AES128-GCM-SHA256"],
    "psk": ["PSK-AES128-GCM-SHA256", "-psk", "00112233445566778899aabbccddeeff"],
}


@pytest.mark.parametrize("name", SUITES)
def test_dtls_of_every_kind_of_suite_is_decrypted(rsa, starts, folder, name):
    suite, *options = SUITES[name]
    talk = _openssl_talk(rsa, starts, folder, ["-cipher", suite, *options], ["-cipher", suite, *options])
    seen = watch.of_bytes(folder, _capture(talk), keys=talk.keys)
    _decrypted(seen)
    assert [e["sni"] for e in seen.of("hello")] == ["site.test"] and seen.of("hello")[0]["ja4"].startswith("d")
    assert "1 DTLS connection among them" in seen.err


@pytest.fixture(scope="module")
def dtls(rsa, tmp_path_factory):
    """A handshake in small fragments, with a cookie."""
    started = []

    def starts(thing):
        started.append(thing)
        return thing

    try:
        folder = tmp_path_factory.mktemp("dtls")
        return _openssl_talk(rsa, starts, folder, ["-mtu", "256"], ["-mtu", "256"])
    finally:
        for thing in reversed(started):
            thing.stop()


@pytest.mark.parametrize("seed", range(12))
def test_datagrams_in_any_order_and_twice_give_each_record_once(dtls, folder, seed):
    rng = random.Random(seed)
    hello = min(place for place, (up, _) in enumerate(dtls.datagrams) if up)
    order = [place for place in range(len(dtls.datagrams)) if place != hello]
    order = sorted(order + rng.choices(order, k=5), key=lambda place: place + rng.uniform(0, 6))
    seen = watch.of_bytes(folder, _capture(dtls, [hello, *order], v6=bool(seed % 2)), keys=dtls.keys)
    _decrypted(seen)
    assert sum(1 for _ in seen.of("close")) == 1


def test_dtls_as_it_came_equals_what_tshark_reads(dtls, folder):
    path = folder / "capture"
    path.write_bytes(_capture(dtls))
    (folder / "log").write_bytes(dtls.keys)
    _decrypted(watch.run("-k", folder / "log", path))
    text = watch.tshark(path, "-d", "udp.port==4433,dtls", "-d", "dtls.port==4433,data", "-T", "fields", "-e",
                        "data.data", keys=folder / "log")
    assert {bytes.fromhex(line) for line in text.split()} == {UP, DOWN}


def test_a_lost_datagram_costs_what_it_held(dtls, folder):
    data = [place for place, kind, epoch, _, _ in dtls.records() if kind == 23]
    up = [place for place in data if dtls.datagrams[place][0]]
    order = [place for place in range(len(dtls.datagrams)) if place != up[0]]
    seen = watch.of_bytes(folder, _capture(dtls, order), keys=dtls.keys)
    assert seen.only("down") == DOWN and "1 DTLS record" in seen.err
    assert seen.of("notice", name="records-missing")


@pytest.mark.parametrize("lost", ["certificate", "hello-done", "key-exchange", "first-hello"])
def test_a_handshake_message_that_is_lost_matters_only_to_those_who_need_it(dtls, folder, lost):
    kind = {"certificate": 11, "hello-done": 14, "key-exchange": 16, "first-hello": 1}[lost]
    places = [place for place, what, epoch, _, body in dtls.records() if what == 22 and epoch == 0 and body[0] == kind]
    # A fragment of the certificate in the middle: the first one shares its datagram with the ServerHello.
    gone = places[1] if lost == "certificate" else places[0]
    order = [place for place in range(len(dtls.datagrams)) if place != gone]
    _decrypted(watch.of_bytes(folder, _capture(dtls, order), keys=dtls.keys))


def test_a_key_that_comes_late_opens_what_waited(dtls, folder):
    """Of a pipe: the secrets stand behind the packets."""
    capture = folder / "capture"
    capture.write_bytes(_capture(dtls))
    log = folder / "late"
    log.touch()
    reading = watch.Running("-k", log, "--follow", capture)
    try:
        reading.wait('"type":"hello"')
        log.write_bytes(dtls.keys)
        reading.wait('"type":"tls"')
        eventually(lambda: UP in b"".join(watch.plaintext(reading.folder).values()), "what waited is open")
        _decrypted(reading.end(signal.SIGTERM))
    finally:
        reading.stop()


def test_without_keys_a_dtls_connection_is_counted_as_not_decrypted(dtls, folder):
    seen = watch.of_bytes(folder, _capture(dtls))
    assert seen.summary.verdicts == (0, 0, 1) and seen.summary.causes["no-key"][0] == 1
    assert seen.of("close")[0]["name"] == "no-key"


def test_a_connection_whose_handshake_was_not_captured_is_counted_so(dtls, folder):
    first = min(place for place, kind, *_ in dtls.records() if kind == 23)
    seen = watch.of_bytes(folder, _capture(dtls, range(first, len(dtls.datagrams))), keys=dtls.keys)
    assert seen.summary.verdicts == (0, 0, 1) and seen.summary.causes["start-missing-tls12"][0] == 1


def test_another_connection_of_the_same_ports_is_one_of_its_own(rsa, starts, folder, dtls):
    other = _openssl_talk(rsa, starts, folder)
    both = Talk(dtls.datagrams + other.datagrams, dtls.keys + other.keys)
    seen = watch.of_bytes(folder, _capture(both), keys=both.keys)
    assert seen.summary.verdicts == (2, 0, 0) and seen.only("up") == UP + UP


def test_a_resumed_connection_needs_the_secret_of_either(rsa, starts, folder):
    session = folder / "session"
    serving = starts(servers.OpensslServer(*rsa, "-dtls1_2"))
    talks = []
    for options in (["-sess_out", session], ["-sess_in", session]):
        tap = starts(UdpTap(serving.port))
        log = folder / f"keys{len(talks)}"
        asking = starts(Process("openssl", "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{tap.port}", "-keylogfile",
                                log, *options, stdin=subprocess.PIPE))
        asking.write(b"number %d\n" % len(talks))
        serving.process.out.wait(f"number {len(talks)}")
        asking.write(b"Q\n")
        eventually(lambda: not asking.running(), "the client has gone")
        talks.append(Talk(list(tap.datagrams), log.read_bytes()))
    both = Talk(talks[0].datagrams + talks[1].datagrams, b"")
    for keys in (talks[0].keys, talks[0].keys + talks[1].keys):
        seen = watch.of_bytes(folder, _capture(both), keys=keys)
        assert seen.summary.verdicts == (2, 0, 0), seen.err
        assert [e["resumed"] for e in seen.of("tls")] == [False, True]


@pytest.mark.parametrize("ems", [True, False])
def test_the_servers_rsa_key_opens_rsa_key_exchange(rsa, starts, folder, ems):
    options = ["-cipher", "AES128-SHA", "-mtu", "300"]
    talk = _openssl_talk(rsa, starts, folder, options, options, ems)
    _decrypted(watch.of_bytes(folder, _capture(talk), keys=talk.keys))
    _decrypted(watch.of_bytes(folder, _capture(talk), "--private-key", rsa[1]))


def test_a_pre_shared_key_opens_psk_key_exchange(rsa, starts, folder):
    options = ["-cipher", "PSK-AES128-CBC-SHA256", "-psk", "00112233445566778899aabbccddeeff"]
    talk = _openssl_talk(rsa, starts, folder, options, options)
    (folder / "psk").write_text("Client_identity:00112233445566778899aabbccddeeff\n")
    _decrypted(watch.of_bytes(folder, _capture(talk), "--psk", folder / "psk"))


def test_a_renegotiation_inside_is_followed(rsa, starts, folder):
    options = ["-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]
    serving = starts(servers.OpensslServer(*rsa, "-dtls1_2", "-client_renegotiation", *options))
    tap = starts(UdpTap(serving.port))
    log = folder / "log"
    asking = starts(Process("openssl", "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{tap.port}", "-keylogfile", log,
                            *options, stdin=subprocess.PIPE))
    asking.write(b"before\n")
    serving.process.out.wait("before")
    asking.write(b"R\n")
    eventually(lambda: log.read_bytes().count(b"CLIENT_RANDOM") == 2, "there is a second secret")
    asking.write(b"behind\n")
    serving.process.out.wait("behind")
    asking.write(b"Q\n")
    eventually(lambda: not asking.running(), "the client has gone")
    talk = Talk(list(tap.datagrams), log.read_bytes())
    assert max(epoch for _, _, epoch, _, _ in talk.records()) == 2
    seen = watch.of_bytes(folder, _capture(talk), keys=talk.keys)
    _decrypted(seen, b"before\nbehind\n", b"")
    assert seen.of("notice", name="renegotiation")


def test_gnutls_peers_are_decrypted_too(rsa, starts, folder):
    program = servers.needs_program("gnutls-serv")
    chain, key = rsa
    reserved = socket.socket(type=socket.SOCK_DGRAM)
    reserved.bind(("127.0.0.1", 0))
    port = reserved.getsockname()[1]
    reserved.close()
    starts(Process(program, "--udp", "--port", port, "--x509certfile", chain, "--x509keyfile", key, "--echo",
                   "--disable-client-cert"))
    tap = starts(UdpTap(port))
    log = folder / "log"

    asking = starts(Process("gnutls-cli", "--udp", "--insecure", "--port", tap.port, "127.0.0.1", "--mtu", "400",
                            stdin=subprocess.PIPE, env={**clients.environment(), "SSLKEYLOGFILE": str(log)}))
    asking.write(UP)
    asking.out.wait("over datagrams")
    asking.stop()
    talk = Talk(list(tap.datagrams), log.read_bytes())
    seen = watch.of_bytes(folder, _capture(talk), keys=talk.keys)
    assert seen.summary.verdicts == (1, 0, 0), seen.err
    assert seen.only("up") == UP and seen.only("down") == UP


def test_packets_written_with_their_secrets_open_without_a_key_log(dtls, folder):
    (folder / "capture").write_bytes(_capture(dtls))
    (folder / "log").write_bytes(dtls.keys)
    watch.run("-q", "-k", folder / "log", "-w", folder / "with-keys", "--plaintext-pcapng", folder / "plain",
              folder / "capture")
    _decrypted(watch.run(folder / "with-keys"))
    assert UP.hex() in watch.tshark(folder / "plain", "-T", "fields", "-e", "tcp.payload").replace(":", "")


def test_older_and_newer_versions_of_dtls_are_named(dtls, folder):
    """The ServerHello of DTLS 1.0."""
    edited = []
    for up, body in dtls.datagrams:
        if not up and body[0] == 22 and body[13] == 2:
            body = body[:25] + b"\xfe\xff" + body[27:]
        edited.append((up, body))
    seen = watch.of_bytes(folder, _capture(Talk(edited, b"")), keys=dtls.keys)
    assert seen.summary.causes["version-unsupported"][0] == 1
    assert "DTLS 1.0" in seen.of("notice", name="version-unsupported")[0]["text"]


def test_connection_ids_are_named_and_counted(dtls, folder):
    edited = [(up, b"\x19" + body[1:] if body[0] == 23 else body) for up, body in dtls.datagrams]
    seen = watch.of_bytes(folder, _capture(Talk(edited, b"")), keys=dtls.keys)
    assert seen.summary.causes["connection-id"][0] == 1 and seen.of("notice", name="connection-id")


def test_a_forged_record_is_not_given_out(dtls, folder):
    edited = []
    for up, body in dtls.datagrams:
        if body[0] == 23:
            edited.append((up, body[:-1] + bytes([body[-1] ^ 1])))
        edited.append((up, body))
    seen = watch.of_bytes(folder, _capture(Talk(edited, b"")), keys=dtls.keys)
    assert seen.only("up") == UP and seen.only("down") == DOWN
    assert seen.summary.causes["wrong-key"][0] == 1


def test_other_datagrams_are_passed_over(folder):
    seen = watch.of_bytes(folder, _udp([(True, b"a question"), (False, b"an answer")], (50000, 53)))
    assert not seen.events and "QUIC" not in seen.err and "DTLS" not in seen.err
