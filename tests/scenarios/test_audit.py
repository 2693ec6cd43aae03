"""The audit log (docs/privacy.md): what a run leaves in it, in which order, and that it names nobody."""

import hashlib
import os
import re
import signal

import pytest
from lab import events, lines, overt, settings
from lab.proc import eventually

pytestmark = overt.requires("proxy --trust --rules --jsonl")


def _entries(state):
    return lines.objects(state / "audit.log")


def _of(entries, kind):
    return [e for e in entries if e["kind"] == kind]


@pytest.fixture(params=["family", "single"])
def ran(request, world, folder, nginx):
    """ran(*options, between=None): the entries of a run with one inspected request, and those of a second run."""
    def make(*options, between=None, **knobs):
        single = ["--single"] if request.param == "single" else ["--workers", "2"]
        for number in range(2):
            with overt.Proxy(*single, *options, trust=world.trust, state=folder / "state", **knobs) as one:
                if number == 0:
                    assert one.curl(f"https://site.test:{nginx.port}/").status == 200
                    one.wait_event(events.is_close(), "the flow's end")
                    if between:
                        between(one)
        return _entries(folder / "state")
    return make


def test_a_run_says_which_ca_that_it_started_what_it_read_and_that_it_ended(ran, folder):
    found = ran()
    kinds = [e["kind"] for e in found]
    half = kinds.index("stop") + 1
    assert sorted(kinds[:half]) == ["ca", "inspected", "snapshot", "start", "stop"]
    assert kinds.index("start") < kinds.index("snapshot") < kinds.index("inspected") < half - 1
    assert kinds[half - 1] == "stop" and found[half - 1]["reason"] == "stopped"
    assert sorted(kinds[half:]) == ["ca", "snapshot", "start", "stop"]
    made, opened = _of(found, "ca")
    assert (made["action"], opened["action"]) == ("made", "opened")
    assert made["sha256"] == opened["sha256"] and made["names"] == "everything"
    assert made["subject"].startswith("CN=Overt CA")
    assert [e["seq"] for e in found] == list(range(1, len(found) + 1))


def test_an_inspected_connection_is_named_by_commitments_alone(ran, nginx, folder):
    found = ran(*[option for key, value in settings.DISCLOSURE.items() for option in (f"--{key}", value)])
    one, = _of(found, "inspected")
    assert one["generation"] == _of(found, "snapshot")[0]["generation"] == 1
    assert one["role"] == "reader" and one["rule"] == "default" and one["worker"] in (0, 1)
    for key in ("client", "name", "server"):
        assert len(one[key]) == 64, one
    text = (folder / "state" / "audit.log").read_text().replace(f'"{settings.DISCLOSURE["contact"]}"', "")
    assert "site.test" not in text and "127.0.0.1" not in text
    assert not re.search(rf"(?<![0-9a-f]){nginx.port}(?![0-9a-f])", text)  # in hashes, any digits may come


def test_a_reload_is_a_snapshot_of_its_own(ran):
    def reload(one):
        one.reload()
        one.wait_log("reloaded")
    found = ran(between=reload)
    assert [e["generation"] for e in _of(found, "snapshot")] == [1, 2, 1]
    assert len(_of(found, "start")) == 2


def test_a_configuration_file_is_named_by_its_digest(ran, folder):
    found = ran(config=settings.configuration(**settings.DISCLOSURE))
    start, snapshot = _of(found, "start")[0], _of(found, "snapshot")[0]
    assert start["config_sha256"] == snapshot["config_sha256"] and len(start["config_sha256"]) == 64
    assert snapshot["operator"] == "Lab" and snapshot["purpose"] == "tests of the proxy"
    assert snapshot["contact"] == "lab@site.test" and snapshot["retention"] == f"{30 * 86400}s"
    digest = hashlib.sha256(settings.configuration(**settings.DISCLOSURE).encode()).hexdigest()
    assert start["config_sha256"] == digest


def test_a_key_log_is_an_entry_of_its_own(ran, folder):
    found = ran("--keylog", folder / "keys.log")
    entries = _of(found, "keylog")
    assert [e["file"] for e in entries] == [str(folder / "keys.log")] * 2
    assert f"keylog:{folder / 'keys.log'}" in _of(found, "snapshot")[0]["sinks"]


def test_a_keeper_that_is_killed_leaves_no_stop_and_its_successor_says_that_it_opened_the_ca(proxy, folder):
    one = proxy("--workers", "1", state=folder / "state")
    os.kill(one.members("keeper")[0], signal.SIGKILL)
    eventually(lambda: len(_of(_entries(folder / "state"), "ca")) == 2, "the new keeper opened the CA")
    assert not _of(_entries(folder / "state"), "stop")
    one.stop(keep=True)
    assert len(_of(_entries(folder / "state"), "stop")) == 1


def test_a_name_that_the_ca_may_not_vouch_for_is_bypassed_and_not_called_inspected(world, folder, nginx, starts):
    code, _, err = overt.run("ca", "install", "--permit", "site.test", "--state", folder / "state", "--system-dir",
                             folder, "--nss", "none")
    assert code == 0, err
    one = starts(overt.Proxy("--workers", "1", trust=world.trust, state=folder / "state"))
    for _ in range(2):  # the first time the keeper says so
        assert one.curl(f"https://other.test:{nginx.port}/", ca=world.trust).status == 200
    assert one.curl(f"https://site.test:{nginx.port}/").status == 200
    eventually(lambda: len([e for e in one.events() if events.is_close()(e)]) == 3, "the flows' ends")
    one.stop(keep=True)
    verdicts = [(e["flow"], e["action"]) for e in one.events() if events.kind(e) == "verdict"]
    assert [action for _, action in verdicts] == ["bypass", "bypass", "inspect"]
    inspected, = _of(_entries(folder / "state"), "inspected")
    assert str(inspected["flow"]) == verdicts[-1][0].split(".")[1]
