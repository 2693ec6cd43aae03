"""overt explain dropout and readonly: every row happened as it is told, in JSON, as text and as a page that fetches nothing."""

import json
import re
import xml.etree.ElementTree as ET

import pytest
from lab import overt

pytestmark = overt.requires("explain --html --json")

# case: (secrets are equal, data flows once the relay is gone)
DROPOUT = {
    "tls12-rsa-ems-stripped": (True, True),
    "tls12-rsa-ems": (False, False),
    "tls12-rsa-client-insists-ems": (True, False),
    "tls12-dhe-ems-stripped": (True, True),
    "tls12-dhe-ems": (False, False),
    "tls12-dhe-client-insists-rfc7919": (True, False),
    "tls12-dhe-client-insists-ems": (True, False),
    "tls12-ecdhe-ems-stripped": (False, False),
    "tls12-ecdhe-low-order": (False, False),
    "tls12-late-deciding": (True, True),
    "tls13-late-deciding": (True, True),
    "tls12-ems-certificate-in-clear": (False, False),
    "tls13-two-handshakes": (False, False),
    "tls13-certificate-handed": (False, False),
    "tls13-key-schedule": (False, False),
    "tls13-only-the-certificate": (False, False),
    "tls12-step-aside": (True, True),
    "tls13-step-aside": (True, True),
    "tls13-share": (True, True),
    "tls13-honest-drop-out": (True, True),
}
# What cannot be done, and right before it what can, made in the same way
READONLY = {
    "cbc-both-keys": {"reads": True, "forges": True},
    "cbc-mac-key-withheld": {"reads": True, "forges": False},
    "aead-no-key": {"reads": False, "forges": False},
    "aead-key-given": {"reads": True, "forges": True, "next_accepted": False},
    "aead-edited-in-two-sessions": {"edit_accepted": True, "keystream_reused": False},
    "aead-edited-in-session": {"edit_accepted": True, "keystream_reused": True, "mac_key_recovered": True,
                               "stranger_forges": True},
    "aead-released-before-rotation": {"records_read": 2, "forges": True},
    "aead-released-after-rotation": {"records_read": 2, "forges": False},
}


def _rows(story):
    code, out, err = overt.run("explain", story, "--json")
    assert code == 0, err
    return {row["case"]: row for row in json.loads(out)}


@pytest.fixture(scope="module")
def dropout():
    return _rows("dropout")


@pytest.fixture(scope="module")
def readonly():
    return _rows("readonly")


def test_these_are_all_the_cases(dropout, readonly):
    assert set(dropout) == set(DROPOUT) and set(readonly) == set(READONLY)


@pytest.mark.parametrize("case", DROPOUT)
def test_the_relay_can_leave_only_where_secrets_are_equal(dropout, case):
    row = dropout[case]
    assert (row["secrets_equal"], row["data_flows"]) == DROPOUT[case]
    assert row["as_expected"] is True and len(row["why"]) > 40
    if "client_secret" in row and not case.endswith("low-order"):
        assert re.fullmatch(r"[0-9a-f]{32}", row["client_secret"])
        assert (row["client_secret"] == row["server_secret"]) == row["secrets_equal"]


@pytest.mark.parametrize("case", [case for case in DROPOUT if case.startswith("tls12-") and
                                  not case.endswith(("-aside", "-deciding"))])
def test_the_relay_did_stand_in_between(dropout, case):
    row = dropout[case]
    assert row["relay_read"] is (case != "tls12-ecdhe-low-order")
    assert row["ems"] is (case in ("tls12-rsa-ems", "tls12-dhe-ems", "tls12-ems-certificate-in-clear"))
    assert row["premasters_equal"] is ("ecdhe" not in case) and row["certificate_seen"] is True


@pytest.mark.parametrize("case", [case for case in DROPOUT if "insists" in case])
def test_who_insists_goes_on_with_an_honest_server_and_not_with_the_relay(dropout, case):
    assert dropout[case]["honest_accepted"] is True and dropout[case]["client_accepted"] is False


def test_encryption_of_the_certificate_prevents_deciding_late_and_nothing_else(dropout):
    assert dropout["tls12-late-deciding"]["certificate_seen"] is True
    assert dropout["tls13-late-deciding"]["certificate_seen"] is False
    # Seen, or even handed over with its key, it does not make the secrets equal.
    assert dropout["tls12-ems-certificate-in-clear"]["certificate_seen"] is True
    assert dropout["tls13-certificate-handed"]["certificate_same"] is True
    for case in ("tls12-ems-certificate-in-clear", "tls13-certificate-handed"):
        assert (dropout[case]["secrets_equal"], dropout[case]["data_flows"]) == (False, False)


def test_the_first_line_that_differs(dropout):
    row = dropout["tls13-key-schedule"]
    assert row["matches_key_logs"] is True and row["first_difference"] == "Diffie-Hellman secret"
    row = dropout["tls13-only-the-certificate"]
    assert row["first_difference"] == "hash: to server Finished" and row["own_records_open"] is True


def test_the_ways_out(dropout):
    for case in ("tls12-step-aside", "tls13-step-aside"):
        assert dropout[case]["hello_untouched"] and dropout[case]["certificate_seen"] and not dropout[case]["relay_read"]
    assert dropout["tls13-share"]["reader_reads"] is True
    row = dropout["tls13-honest-drop-out"]
    assert row["key_update_seen"] is True and row["reader_reads"] is False and row["records_closed"] == 4


@pytest.mark.parametrize("case", READONLY)
def test_reading_without_writing(readonly, case):
    row = readonly[case]
    assert {name: row[name] for name in READONLY[case]} == READONLY[case] and row["as_expected"] is True


@pytest.mark.parametrize("story", ["dropout", "readonly"])
def test_the_page_needs_nothing_else(story, tmp_path):
    page = tmp_path / "page.html"
    code, out, err = overt.run("explain", story, "--html", str(page))
    assert code == 0, err
    text = page.read_text("utf-8")
    assert not re.search(r"https?:|<script|<link|<img|<iframe|url\(|@import|\bon\w+=", text)
    assert "as it is told" in text and "not what was expected" not in text
    assert "<svg" in text
    for figure in re.findall(r"<svg.*?</svg>", text, re.S):
        ET.fromstring(figure)


@pytest.mark.parametrize("story", ["dropout", "readonly"])
def test_the_text_fits_a_terminal_of_80_columns(story):
    code, out, err = overt.run("explain", story)
    assert code == 0, err
    assert "All of this happened just now, as it is told." in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("words, told", [
    ([], "which story"), (["dropouts"], "no story dropouts"), (["dropout", "readonly"], "one story at a time")])
def test_misuse_is_told(words, told):
    code, out, err = overt.run("explain", *words)
    assert code == 2 and told in err and out == ""


def test_a_page_that_cannot_be_written_is_told(tmp_path):
    code, out, err = overt.run("explain", "readonly", "--html", str(tmp_path / "none" / "page.html"))
    assert code == 1 and "page.html" in err
