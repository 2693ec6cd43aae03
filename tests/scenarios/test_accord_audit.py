"""What the audit log holds of Accord: every proof before it is shown, every approval before it is passed on."""

import base64
import hashlib
import json
import re

import test_accord_proxy as level1
from cryptography.hazmat.primitives import serialization
from lab import lines, pki
from lab.proc import eventually

accord, anchor_state, get, keys = level1.accord, level1.anchor_state, level1.get, level1.keys
aware, approving = level1.aware, level1.approving
pytestmark = level1.pytestmark


def _entries(one, kind, number):
    def look():
        return lines.objects(one.state / "audit.log", kind)
    eventually(lambda: len(look()) >= number, f"{number} entries of the kind {kind}")
    return look()


def _block(text):
    return base64.b64decode("".join(re.search(r"PROOF-----\n(.*?)\n-----END", text, re.S).group(1).split()))


def test_a_proof_is_entered_by_its_hash_and_without_names_in_the_open(nginx, accord, get, folder):
    one = accord("require", "--accord-role", "writer")
    saved = folder / "proof.pem"
    level1.proven(one, get(nginx.port, one, "--role", "both", "--save-proof", saved), role="writer")
    entry, = _entries(one, "proof", 1)
    # The proof is the last field of what was saved, behind its length of four octets (pact/saved.h).
    block = _block(saved.read_text())
    lengths = [n for n in range(1, len(block) - 4) if int.from_bytes(block[n:n + 4], "big") == len(block) - n - 4]
    hashes = {hashlib.sha256(block[n + 4:]).hexdigest() for n in lengths}
    assert entry["proof_sha256"] in hashes
    assert (entry["role"], entry["level"], len(entry["proxies"])) == ("writer", "1", 64)
    inspected, = _entries(one, "inspected", 1)
    assert entry["flow"] == inspected["flow"]
    text = json.dumps(entry)
    assert "site.test" not in text and "127.0.0.1" not in text


def test_hops_are_listed(nginx, accord, get):
    last = accord("prefer")
    first = accord("prefer", "--upstream-proxy", f"http://127.0.0.1:{last.port}", "--accord-upstream")
    level1.proven(first, get(nginx.port, first))
    one, = _entries(first, "proof", 1)
    two, = _entries(last, "proof", 1)
    assert len(one["proxies"].split()) == 1 and len(two["proxies"].split()) == 2
    assert two["proxies"].split()[0] == one["proxies"] and one["proof_sha256"] != two["proof_sha256"]


def test_an_approval_is_entered_by_its_keys_hash(aware, accord, keys, anchor_state, approving):
    server, one = aware("demand", "", anchor_state / "accord-anchor.pem", keys[0]), accord("require")
    code, said = approving(server.port, one, keys[0])
    assert code == 0 and "proven" in said, said + one.log()
    approval, = _entries(one, "approval", 1)
    proof, = _entries(one, "proof", 1)
    key = serialization.load_pem_private_key(keys[0].read_bytes(), None)
    assert approval["approval_key"] == hashlib.sha256(pki.spki(key)).hexdigest()
    assert approval["proof_sha256"] == proof["proof_sha256"] and proof["level"] == "2"
    assert approval["verdict"] == "approved" and approval["flow"] == proof["flow"]


def test_without_a_proof_none_is_entered(aware, accord, get):
    server, one = aware("refuse", "no"), accord("require")
    assert get(server.port, one)[0] == 1
    one.wait_event(level1.notice("accord-refused"), "the refusal")
    text = (one.state / "audit.log").read_text()
    assert '"proof"' not in text and '"approval"' not in text
