"""Real traffic: a package manager talks HTTPS to its registry through overt exec, as set up on this machine. Skipped
where it cannot reach one by itself."""

import json
import re
import subprocess

import pytest
from lab import overt, servers

pytestmark = overt.requires("exec --jsonl")


@pytest.fixture(scope="module")
def reachable():
    servers.needs_program("npm")
    try:
        plain = subprocess.run(["npm", "view", "is-number", "version", "--fetch-retries=0"], capture_output=True, text=True,
                               timeout=30)
    except subprocess.TimeoutExpired:
        pytest.skip("the registry does not answer")
    if plain.returncode != 0:
        pytest.skip("npm reaches no registry from here")
    return plain.stdout


def test_npm_asks_its_registry_and_is_seen(reachable, folder):
    code, out, err = overt.run("exec", "--jsonl", folder / "seen.jsonl", "--", "npm", "view", "is-number", "version",
                               "--fetch-retries=0", f"--cache={folder}/npm")
    assert code == 0 and out == reachable, out + err
    events = [json.loads(line) for line in (folder / "seen.jsonl").read_text().splitlines()]
    asked = [e for e in events if e["type"] == "request"]
    assert any(e["method"] == "GET" and e["path"].endswith("/is-number") for e in asked), err
    verified = [e["certificate"]["verification"] for e in events if e["type"] == "tls" and e["leg"] == 2]
    assert verified and set(verified) == {"ok"}
    assert re.search(r"GET /is-number\b.* 200\b", err), err
