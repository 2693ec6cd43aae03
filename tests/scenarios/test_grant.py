"""`overt grant`: making, listing, showing and revoking grants; nothing counts that was not signed and logged."""

import re
import stat

import pytest
from lab import collect, lines, overt

pytestmark = overt.requires("grant", "collect")


@pytest.fixture
def place(tmp_path):
    return collect.Place(tmp_path)


def _listed(place, code=0):
    done = place.overt("grant", "list", "--dir", place.dir / "grants", code=code)
    return done.stdout.splitlines(), done.stderr


def test_private_keys_are_their_owners_alone_and_are_never_replaced(place):
    for name in ("keys/boss.key", "keys/ops.key", "collect/ca.key", "collect/collector.key", "collect/ops.key"):
        assert stat.S_IMODE((place.dir.parent / name).stat().st_mode) == 0o600
    assert "stands there already" in place.overt("grant", "key", "--dir", place.keys, "ops", code=1 + 1).stderr
    assert "stands there already" in place.overt("collect", "client", "--dir", place.dir, "ops", code=1).stderr


def test_a_grant_is_listed_shown_and_revoked(place):
    grant = place.grant(names=("*.example.org", "example.org"))
    (row,), _ = _listed(place)
    assert row.startswith(grant) and "in force" in row and "ops" in row and "*.example.org" in row
    shown = place.overt("grant", "show", place.dir / "grants" / f"{grant}.grant").stdout
    assert "to test" in shown and "live, record keys" in shown
    place.revoke(grant)
    (row,), _ = _listed(place)
    assert "revoked" in row


def test_grants_and_revocations_are_in_the_log_before_they_are_files(place):
    grant = place.grant()
    place.revoke(grant)
    entries = lines.objects(place.keys / "grants.log")
    assert [(e["kind"], e["grant"]) for e in entries if "grant" in e] == [("grant", grant), ("revoke", grant)]
    (place.keys / "grants.log").unlink()
    (place.keys / "grants.log").mkdir()
    before = sorted((place.dir / "grants").iterdir())
    place.grant(code=1)
    assert sorted((place.dir / "grants").iterdir()) == before


@pytest.mark.parametrize("more, says", [
    (("--consent", "unilateral"), "needs a `reason`"),
    (("--consent", "unilateral", "--reason", "x"), "an end within 30 days"),
    (("--consent", "unilateral", "--reason", "x", "--until", "31d"), "an end within 30 days"),
    (("--until", "2020-01-01"), "ends before it is issued"),
    (("--until", "soon"), "a date, a time, or a duration"),
    (("--grade", "raw", "--mode", "after-rotation"), "does not go with mode after-rotation"),
    (("--mode", "dead"), "live or after-rotation"),
])
def test_a_grant_that_cannot_be_is_refused_with_its_reason(place, more, says):
    done = place.overt("grant", "new", "--signer", place.keys / "boss.key", "--reader", "ops", "--reader-key",
                       place.keys / "ops.pub", "--purpose", "to test", "--name", "*", "--dir", place.dir / "grants",
                       *more, code=2)
    assert says in done.stderr
    assert not list((place.dir / "grants").iterdir())


def test_an_altered_grant_and_one_of_another_signer_do_not_count(place):
    good, altered = place.grant(), place.grant()
    path = place.dir / "grants" / f"{altered}.grant"
    path.write_text(path.read_text().replace("to test", "to steal"))
    place.overt("grant", "signer", "--dir", place.keys, "mallory")
    place.overt("grant", "new", "--signer", place.keys / "mallory.key", "--reader", "ops", "--reader-key",
                place.keys / "ops.pub", "--purpose", "to test", "--name", "*", "--dir", place.dir / "grants")
    rows, err = _listed(place, code=1)
    assert len(rows) == 1 and rows[0].startswith(good)
    assert re.search(f"{altered}.grant: the signature of boss does not fit", err)
    assert "not signed by anyone whose grants count here" in err


def test_a_grant_with_a_mistake_says_where(place, tmp_path):
    grant = place.grant()
    path = place.dir / "grants" / f"{grant}.grant"
    path.write_text(path.read_text().replace("mode: live", "mode: alive"))
    assert ":10:7: this is live or after-rotation" in place.overt("grant", "show", path, code=1).stderr
