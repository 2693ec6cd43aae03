"""`overt explain visibility`: whoever gets a session's secrets reads, writes, resumes and poses; with a record key, reads."""

import json

import pytest
from lab import overt

pytestmark = overt.requires("explain --host")


@pytest.fixture(scope="module")
def rows():
    code, out, err = overt.run("explain", "visibility", "--json")
    assert code == 0, err
    return {row["case"]: row for row in json.loads(out)}


def test_a_stock_client_takes_wrapped_secrets_in_the_server_hello(rows):
    row = rows["inband-handshake"]
    assert row["data_flows"] and len(row["fingerprint"]) == 40 and len(row["sswrapdh2"]) == 64
    # early_secret and hs_secret of 32 octets behind their lengths, and the tag
    assert row["sealed_octets"] == 2 * 33 + 16


@pytest.mark.parametrize("case", ["inband-observer", "ets-observer", "ets-second"])
def test_an_observer_with_one_private_key_reads_both_directions(rows, case):
    row = rows[case]
    assert row["secrets_equal"] and row["client_said"] == "what is my balance?" and row["server_said"] == "it is 42"


def test_the_reader_can_write(rows):
    assert rows["inband-forge"]["client_took_it"]


@pytest.mark.parametrize("case", ["inband-masquerade", "ets-masquerade"])
def test_the_holder_poses_as_the_server_by_resumption(rows, case):
    row = rows[case]
    assert row["psk_equal"] and row["resumed"] and row["verified"] and row["client_took_it"]


def test_the_client_has_no_name_and_no_choice(rows):
    row = rows["inband-no-name"]
    assert not row["reader_named"] and row["as_expected"]
    assert "the published critique says" in row["title"] and "The lab wrote this extension itself" in row["why"]
    assert not rows["inband-no-choice"]["answered"] and "does not offer" in rows["inband-no-choice"]["reason"]


def test_the_certificate_of_ets_says_it_to_those_who_look(rows):
    row = rows["ets-certificate"]
    assert row["matches"] and len(row["fingerprint"]) == 20 and row["description"] and not row["client_stopped"]


def test_a_record_key_opens_one_direction(rows):
    row = rows["share-one-direction"]
    assert row["opens_server"] and not row["opens_client"] and row["released_octets"] == 28


def test_the_story_says_what_it_could_not_verify():
    told = " ".join(overt.run("explain", "visibility")[1].split())
    assert "not at hand" in told and "Side by side" in told
    for words in ("Not held against anything", "clause 4.3.3", "held against neither"):
        assert words in told, words
