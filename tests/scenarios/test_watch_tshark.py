"""Plaintext of `overt watch`, octet by octet against tshark's, and both against what was said."""

import pathlib
import ssl
import subprocess

import pytest
from lab import clients, overt, servers, watch, watch_frames, watch_record
from lab.proc import PATIENCE, Process, eventually

pytestmark = overt.requires("watch --keys --plaintext")

# Of OpenSSL 3.0; those of DSS and anonymous ones need what a client no longer offers.
SUITES12 = [f"{exchange}-{cipher}" for exchange in ("ECDHE-ECDSA", "ECDHE-RSA", "DHE-RSA")
            for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305", "AES128-SHA", "AES256-SHA")]
SUITES12 += [f"{exchange}-{cipher}" for exchange in ("ECDHE-ECDSA", "DHE-RSA")
             for cipher in ("AES128-CCM", "AES256-CCM", "AES128-CCM8", "AES256-CCM8")]
SUITES12 += ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES128-SHA256",
             "ECDHE-RSA-AES256-SHA384", "DHE-RSA-AES128-SHA256", "DHE-RSA-AES256-SHA256"]
SUITES12 += ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-CCM", "AES256-CCM8", "AES128-SHA", "AES256-SHA",
             "AES128-SHA256", "AES256-SHA256"]

SUITES13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
            "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"]


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """Parameters for DHE."""
    path = tmp_path_factory.mktemp("dh") / "dh.pem"
    clients.run("openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out", path,
                check=True)
    return path


def _suites(world, group, etm):
    """A recording for every suite."""
    records = []
    ec, rsa = world.files("site.test"), world.files("site.test", kind="rsa2048")
    for suite in SUITES12:
        files = ec if "ECDSA" in suite else rsa
        most = ssl.TLSVersion.TLSv1_2
        server = servers.server_context(*files, most=most, ciphers=f"{suite}:@SECLEVEL=0")
        server.load_dh_params(group)
        client = clients.context(None, most=most, ciphers=f"{suite}:@SECLEVEL=0")
        client.options |= 0 if etm else 1 << 19  # SSL_OP_NO_ENCRYPT_THEN_MAC
        records.append(watch_record.exchange(server, client, watch_record.numbered(20000), turns=2))
        assert records[-1].cipher == suite
    return records


def _capture(records):
    made = []
    for number, recording in enumerate(records):
        made += recording.segments(ports=(40000 + number, 443))
    return watch_frames.pcap(watch_frames.frames(watch_frames.retimed(made))), "".join(r.keys for r in records)


@pytest.mark.parametrize("etm", [True, False], ids=["encrypt-then-mac", "mac-then-encrypt"])
def test_every_suite_of_tls_1_2_gives_what_was_said_and_what_tshark_shows(world, group, folder, etm):
    records = _suites(world, group, etm)
    capture, keys = _capture(records)
    seen = watch.of_bytes(folder, capture, keys=keys)
    for number, recording in enumerate(records):
        port = 40000 + number
        assert seen.plain.get((port, "up")) == recording.up, recording.cipher
        assert seen.plain.get((port, "down")) == recording.down, recording.cipher
    assert seen.summary.verdicts == (len(records), 0, 0)
    ports = range(40000, 40000 + len(records))
    assert watch.tshark_plaintext(folder / "capture", folder / "keys.log", ports=ports) == seen.plain


@pytest.mark.parametrize("record", [1, 300, 16384])
@pytest.mark.parametrize("suite", SUITES13)
def test_every_suite_of_tls_1_3_in_small_and_large_records(folder, suite, record):
    octets = 700 if record == 1 else 50000
    capture, keys = watch_record.captured(folder, "--suite", suite, "--record", record, "--octets", octets)
    seen = watch.run("-k", keys, capture)
    assert seen.summary.verdicts == (1, 0, 0) and seen.of("tls")[0]["suite_name"] == suite
    body = bytes((i * 31 + (i >> 9)) & 255 for i in range(octets))
    assert seen.only("up") == b"GET / HTTP/1.1\r\nHost: www.bench.test\r\n\r\n"
    assert seen.only("down").split(b"\r\n\r\n", 1)[1] == body
    if suite != "TLS_AES_128_CCM_8_SHA256":  # nothing more to learn, and tshark takes its time
        port = next(iter(seen.plain))[0]
        assert watch.tshark_plaintext(capture, keys, ports=[port]) == seen.plain


def test_many_connections_in_one_capture(folder):
    capture, keys = watch_record.captured(folder, "--connections", 60, "--octets", 3000, "--mss", 500)
    seen = watch.run("-k", keys, capture)
    assert seen.summary.verdicts == (60, 0, 0)
    assert len(seen.plain) == 120 and len(set(seen.plain.values())) == 2
    ports = [e["client"]["port"] for e in seen.of("open")]
    assert watch.tshark_plaintext(capture, keys, ports=ports) == seen.plain


# Recorded from the loopback interface, with its superframes

class Tcpdump:
    """tcpdump of a TCP port on lo."""

    def __init__(self, path, port):
        self.path = pathlib.Path(path)
        self.process = Process(servers.needs_program("tcpdump"), "-i", "lo", "-n", "-U", "--immediate-mode", "-w", path,
                               "-s", "262144", "-B", "16384", "tcp", "port", port)
        try:
            self.process.err.wait(r"listening on")
        except AssertionError as error:
            self.process.stop()
            pytest.skip(f"tcpdump may not capture here: {str(error)[-200:]}")

    def end(self, fins):
        """Stops once that many FINs or resets are in the file; fails when packets were lost."""
        def ended():
            _, frames = watch_frames.read_pcap(self.path.read_bytes())
            return sum(bool(frame[47] & (watch_frames.FIN | watch_frames.RST)) for _, frame in frames) >= fins
        eventually(ended, f"{fins} FINs were captured")
        self.process.terminate(2)
        assert "\n0 packets dropped by kernel" in self.process.err.text()
        return self.path

    def stop(self):
        self.process.stop()


def _compare(capture, keys, port):
    seen = watch.run("-k", keys, capture)
    ports = [e["client"]["port"] for e in seen.of("open")]
    assert watch.tshark_plaintext(capture, keys, ports=ports, server=port) == seen.plain
    return seen


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "h2"])
def test_curl_and_nginx_on_the_loopback_interface(world, starts, folder, http2):
    server = starts(servers.Nginx(*world.files("site.test"), http2=http2))
    body = watch_record.numbered(300000)
    server.file("body", body)
    tcpdump, keys = starts(Tcpdump(folder / "lo.pcap", server.port)), folder / "keys"
    done = clients.run("curl", "-q", "-sS", "--cacert", world.trust, "-o", folder / "one", "-o", folder / "two",
                       f"https://site.test:{server.port}/files/body", f"https://site.test:{server.port}/",
                       env={"SSLKEYLOGFILE": str(keys)})
    assert done.returncode == 0, done.stderr
    seen = _compare(tcpdump.end(2), keys, server.port)
    assert seen.summary.verdicts == (1, 0, 0)
    assert seen.paths() == ["/files/body", "/"] and [e["status"] for e in seen.of("response")] == [200, 200]
    assert [e["response_octets"] for e in seen.of("end")] == [len(body), len((folder / "two").read_bytes())]
    assert (folder / "one").read_bytes() == body


GNUTLS = {
    "1.3": "NORMAL:-VERS-ALL:+VERS-TLS1.3",
    "1.2-gcm": "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM",
    "1.2-cbc-etm": "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-256-CBC",
    "1.2-cbc-mte": "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-256-CBC:%NO_ETM",
    "1.2-chacha": "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+CHACHA20-POLY1305",
    "1.2-without-extended-master-secret": "NORMAL:-VERS-ALL:+VERS-TLS1.2:%NO_SESSION_HASH",
}


@pytest.mark.parametrize("priority", GNUTLS)
def test_gnutls_at_both_ends(world, starts, folder, priority):
    server = starts(servers.GnutlsServer(*world.files("site.test"), priority=GNUTLS[priority]))
    tap, keys = starts(watch_record.Tap(server.port)), folder / "keys"
    done = subprocess.run([servers.needs_program("gnutls-cli"), "--port", str(tap.port), "--sni-hostname", "site.test",
                           "--verify-hostname", "site.test", "--x509cafile", str(world.trust), "--priority",
                           GNUTLS[priority], "127.0.0.1"], input=b"GET / HTTP/1.0\r\n\r\n", capture_output=True,
                          timeout=PATIENCE, env=clients.environment(SSLKEYLOGFILE=str(keys)))
    assert b"HTTP/1.0 200 OK" in done.stdout, done.stdout[-500:] + done.stderr[-500:]
    capture = folder / "capture"
    capture.write_bytes(tap.pcap())
    seen = watch.run("-k", keys, capture)
    assert seen.summary.verdicts == (1, 0, 0)
    assert seen.only("up") == b"GET / HTTP/1.0\r\n\r\n" and seen.only("down").startswith(b"HTTP/1.0 200 OK\r\n")
    assert watch.tshark_plaintext(capture, keys) == seen.plain
