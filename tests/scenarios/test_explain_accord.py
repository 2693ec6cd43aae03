"""`overt explain accord`: what each level reaches is read off real handshakes, and is what docs/accord.md, 1.3 says."""

import json

import pytest
from lab import overt

pytestmark = overt.requires("explain --host")


@pytest.fixture(scope="module")
def rows():
    code, out, err = overt.run("explain", "accord", "--json")
    assert code == 0, err
    return {row["case"]: row for row in json.loads(out)}


@pytest.mark.parametrize("level", ["level-1", "level-2", "level-2-approval"])
def test_each_level_is_a_handshake_whose_proof_passes(rows, level):
    row = rows[level]
    assert row["leg1_complete"] and row["leg2_complete"] and row["data_flows"] and row["checks"] == "all passed"
    assert 0 < row["signed_octets"] < row["proof_octets"]


@pytest.mark.parametrize("case, levels", [
    ("client-authenticates-proxy", (True, True, True)),
    ("client-authenticates-server", (True, True, True)),
    ("server-signed-client-nonce", (True, True, True)),
    ("server-signed-proxy-nonce", (True, True, True)),
    ("server-signed-server-nonce", (False, True, True)),
    ("proxy-signed-nonces", (True, True, True)),
    ("client-signed-nonces", (False, False, True)),
    ("server-was-told", (True, True, True)),
    ("server-knows", (False, True, True)),
    ("server-agrees", (False, True, True)),
    ("client-agrees", (True, True, True)),
    ("server-authenticates-proxy", (False, False, True)),
    ("server-authenticates-client", (False, False, True)),
    ("server-learns-checks", (False, False, True)),
    ("proxy-can-invent", (True, True, True)),
])
def test_a_property_holds_at_the_levels_that_are_said(rows, case, levels):
    row = rows[case]
    assert (row["level_1"], row["level_2"], row["level_2_approval"]) == levels and row["as_expected"]


def test_the_drawing_says_who_signs_what():
    told = overt.run("explain", "accord")[1]
    for line in ("ClientHello: introduction", "Certificate: proof", "EncryptedExtensions: verdict",
                 "CertificateRequest: demand", "Certificate: approval", "S signs all of leg 2 so far"):
        assert line in told


def test_the_page_needs_nothing_else(tmp_path):
    page = tmp_path / "accord.html"
    assert overt.run("explain", "accord", "--html", page)[0] == 0
    text = page.read_text()
    assert "<svg" in text and "http" not in text.replace("http-equiv", "") and "<script" not in text
