"""Captures made by others' software, where they are at hand beside the source: what has to come out of them."""

import json
import pathlib

import pytest
from lab import overt, watch

CAPTURES = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data" / "captures"

pytestmark = [overt.requires("watch --keys --plaintext"),
              pytest.mark.skipif(not CAPTURES.is_dir(), reason="no ../shared/data/captures beside the source")]


def _watch(name, keys=None):
    return watch.run(*(["-k", CAPTURES / keys] if keys else []), CAPTURES / name)


def test_a_resumed_connection_with_early_data_is_read():
    seen = _watch("tls13-rfc8446.pcap", "tls13-rfc8446.keys")
    assert seen.paths() == ["/first", "/early", "/second"]
    assert [e["status"] for e in seen.of("response")] == [200, 200, 200]
    assert [e["resumed"] for e in seen.of("tls")] == [False, True]
    assert seen.summary.verdicts == (2, 0, 0)
    assert [e["request_octets"] for e in seen.of("end")] == [0, 0, 0]
    for port, paths in ((38288, [b"/first"]), (38290, [b"/early", b"/second"])):
        assert [line.split(b" ")[1] for line in seen.plain[port, "up"].split(b"\r\n") if b"GET" in line] == paths


def test_early_data_without_its_secret_is_a_gap_and_the_rest_is_read():
    seen = _watch("tls13-rfc8446.pcap", "tls13-rfc8446-noearly.keys")
    assert seen.plain[38288, "up"].startswith(b"GET /first ")
    assert seen.plain[38290, "up"].startswith(b"GET /second ")
    assert b"/early" not in seen.plain[38290, "up"]
    assert len(seen.missing("up")) == 1 and seen.missing("up")[0][0] == 0
    assert seen.summary.verdicts == (1, 1, 0) and seen.summary.causes["no-key"][0] == 1
    assert "missing plaintext" in seen.err


def test_a_request_behind_early_data_that_was_not_read_is_shown():
    assert _watch("tls13-rfc8446.pcap", "tls13-rfc8446-noearly.keys").paths() == ["/first", "/second"]


def test_secrets_inside_a_capture_open_it():
    seen = _watch("tls12-dsb.pcapng")
    assert [(e["authority"], e["method"]) for e in seen.of("request")] == [("example.com", "HEAD"),
                                                                           ("example.net", "HEAD")]
    assert [e["status"] for e in seen.of("response")] == [200, 200]
    assert seen.summary.verdicts == (2, 0, 0)


def test_a_picture_over_http2_comes_out_whole():
    seen = _watch("http2-data-reassembly.pcap", "http2-data-reassembly.keys")
    assert [(e["version"], e["path"]) for e in seen.of("request")] == [("HTTP/2", "/wireshark.png")]
    assert [e["ending"] for e in seen.of("end")] == ["done"]
    down, body, at = seen.only("down"), b"", 0
    while at + 9 <= len(down):
        size, kind = int.from_bytes(down[at:at + 3], "big"), down[at + 3]
        body += down[at + 9:at + 9 + size] if kind == 0 else b""
        at += 9 + size
    assert at == len(down)
    assert body.startswith(b"\x89PNG\r\n\x1a\n") and body.endswith(b"IEND\xaeB`\x82")
    assert seen.of("end")[0]["response_octets"] == len(body)


@pytest.mark.skipif(overt.missing("watch --export-objects") is not None, reason="overt exports no objects yet")
def test_a_picture_over_http2_is_exported(folder):
    seen = watch.run("--export-objects", folder / "out", "-k", CAPTURES / "http2-data-reassembly.keys",
                     CAPTURES / "http2-data-reassembly.pcap")
    entry = json.loads((folder / "out" / "index.jsonl").read_text())
    picture = (folder / "out" / entry["file"]).read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n") and picture.endswith(b"IEND\xaeB`\x82")
    assert entry["complete"] and entry["octets"] == len(picture) == seen.of("end")[0]["response_octets"]


def test_a_connection_of_tls_1_0_is_named_and_counted():
    seen = _watch("dhe1.pcapng.gz", "dhe1_keylog.dat")
    assert seen.summary.verdicts == (0, 0, 1)
    assert seen.summary.causes["version-unsupported"][0] == 1
    assert seen.of("close")[0]["name"] == "version-unsupported"


def test_a_redirect_over_tls_1_2_is_read():
    seen = _watch("tls12-decryption.pcap", "tls12-decryption.keys")
    assert [(e["method"], e["authority"], e["path"]) for e in seen.of("request")] == [("GET", "heise.de", "/")]
    assert [e["status"] for e in seen.of("response")] == [301]
    assert seen.only("up").startswith(b"GET / HTTP/1.1\r\n") and seen.only("down").startswith(b"HTTP/1.1 301 ")


def test_hellos_in_very_small_pieces_are_read():
    """A hundred connections without SYN. Two begin with a segment of one octet, which may be a keep-alive as well."""
    seen = _watch("tls-fragmented-handshakes.pcap.gz")
    assert len(seen.of("open")) == 100
    assert len(seen.of("hello")) >= 98


@pytest.mark.parametrize("name", ["hrr.pcap", "tls13-ech.pcap", "chrome-1250-tls-x25519-kyber.pcap"])
def test_a_capture_without_keys_is_counted_and_nothing_is_complained_about(name):
    seen = _watch(name)
    assert seen.summary.connections >= 1 and seen.summary.decrypted == 0
    assert "malformed" not in seen.summary.causes and not seen.plain
    assert len(seen.of("hello")) >= 1


def test_a_hello_retry_request_does_not_hide_the_handshake():
    seen = _watch("hrr.pcap")
    assert seen.of("tls")[0]["suite_name"] == "TLS_AES_256_GCM_SHA384" and seen.of("tls")[0]["group"] == "secp256r1"


def test_an_encrypted_hello_is_seen():
    assert "outer" in [e["ech"] for e in _watch("tls13-ech.pcap").of("hello")]


def test_a_large_post_quantum_hello_over_segments_is_read():
    seen = _watch("chrome-1250-tls-x25519-kyber.pcap")
    hello = seen.of("hello")[0]
    assert hello["sni"] and "h2" in hello["alpn"] and "TLS 1.3" in hello["versions"]
