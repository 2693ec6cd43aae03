"""Real traffic: a package manager talks HTTPS to its registry through overt exec, as set up on this machine. Skipped
where it cannot reach one by itself."""

import re
import subprocess

import pytest
from lab import lines, overt, servers
from lab.proc import PATIENCE

pytestmark = overt.requires("exec --jsonl")


def _without_overt():
    """What it answers without Overt; skips where it does not, or not now."""
    servers.needs_program("npm")
    try:
        plain = subprocess.run(["npm", "view", "is-number", "version", "--fetch-retries=0"], capture_output=True, text=True,
                               timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        pytest.skip("the registry does not answer")
    if plain.returncode != 0:
        pytest.skip("npm reaches no registry from here")
    return plain.stdout


@pytest.fixture(scope="module")
def reachable():
    return _without_overt()


def test_npm_asks_its_registry_and_is_seen(reachable, folder):
    code, out, err = overt.run("exec", "--jsonl", folder / "seen.jsonl", "--", "npm", "view", "is-number", "version",
                               "--fetch-retries=0", f"--cache={folder}/npm")
    if code != 0:
        _without_overt()
    assert code == 0 and out == reachable, out + err
    events = lines.objects(folder / "seen.jsonl")
    asked = [e for e in events if e["type"] == "request"]
    assert any(e["method"] == "GET" and e["path"].endswith("/is-number") for e in asked), err
    verified = [e["certificate"]["verification"] for e in events if e["type"] == "tls" and e["leg"] == 2]
    assert verified and set(verified) == {"ok"}
    assert re.search(r"GET /is-number\b.* 200\b", err), err
