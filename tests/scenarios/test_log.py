"""overt log: what stands in the audit log is shown, verified, proven and witnessed, and what was tampered with is caught.

Nothing here trusts the program: trees, notes and proofs are computed again with hashlib and cryptography (docs/audit.md).
"""

import base64
import hashlib
import json
import pathlib
import re
import shutil
import struct
import subprocess
import sys

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from lab import events, overt, settings

pytestmark = overt.requires("log --state --key --checkpoint")

DISCLOSURE = [word for key, value in settings.DISCLOSURE.items() for word in (f"--{key}", value)]


# The formats, in Python

def _leaf(line):
    return hashlib.sha256(b"\0" + line).digest()


def _root(leaves):
    """RFC 9162, 2.1.1, as it is defined."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + _root(leaves[:k]) + _root(leaves[k:])).digest()


def _key_id(name, kind, public):
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def _vkey(text):
    name, digits, encoded = text.strip().split("+", 2)
    octets = base64.b64decode(encoded, validate=True)
    assert _key_id(name, octets[0], octets[1:]).hex() == digits
    return name, octets[0], octets[1:]


def _note(octets):
    """The text and its signatures: [(name, octets)]."""
    text, _, signatures = octets.decode().rpartition("\n\n")
    found = []
    for line in signatures.splitlines():
        dash, name, encoded = line.split(" ")
        assert dash == "\u2014"
        found.append((name, base64.b64decode(encoded, validate=True)))
    return text + "\n", found


def _signed(octets, vkey):
    """Raises unless the key signed; the time of a cosignature, or 0."""
    name, kind, public = _vkey(vkey)
    text, signatures = _note(octets)
    for who, signature in signatures:
        if who != name or signature[:4] != _key_id(name, kind, public):
            continue
        when, message = 0, text
        signature = signature[4:]
        if kind == 4:
            when, signature = struct.unpack(">Q", signature[:8])[0], signature[8:]
            message = f"cosignature/v1\ntime {when}\n{text}"
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message.encode())
        return when
    raise InvalidSignature(f"not signed by {name}")


def _sign(text, name, private, kind=1):
    public = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    signature = base64.b64encode(_key_id(name, kind, public) + private.sign(text.encode())).decode()
    vkey = f"{name}+{_key_id(name, kind, public).hex()}+{base64.b64encode(bytes([kind]) + public).decode()}"
    return f"{text}\n\u2014 {name} {signature}\n".encode(), vkey


# A log to look at

class Log:
    def __init__(self, state):
        self.state, self.path = state, state / "audit.log"

    def beside(self, ending):
        return self.state / f"audit.log.{ending}"

    @property
    def lines(self):
        return self.path.read_bytes().splitlines()

    @property
    def vkey(self):
        return self.beside("pub").read_text().strip()

    def write(self, lines):
        self.path.write_bytes(b"".join(line + b"\n" for line in lines))

    def run(self, action, *words):
        return overt.run("log", action, "--state", self.state, *words)

    def verify(self, *words):
        code, out, err = self.run("verify", *words)
        assert code in (0, 1), err
        return code, out + err

    def copy(self, to):
        shutil.copytree(self.state, to)
        return Log(to)


@pytest.fixture(scope="module")
def grown(world, tmp_path_factory, nginx):
    """grown(requests, state): runs a proxy there with as many inspected requests."""
    def grow(requests, state):
        with overt.Proxy("--single", *DISCLOSURE, trust=world.trust, state=state) as one:
            for _ in range(requests):
                assert one.curl(f"https://site.test:{nginx.port}/").status == 200
            one.wait_event(events.is_close(), "the flow's end")
        return Log(state)
    return grow


@pytest.fixture(scope="module")
def made(grown, tmp_path_factory):
    return grown(3, tmp_path_factory.mktemp("log") / "state")


@pytest.fixture
def log(made, folder):
    return made.copy(folder / "state")


def test_the_checkpoint_is_what_anybody_computes_from_the_lines(log):
    octets = log.beside("head").read_bytes()
    text, signatures = _note(octets)
    origin, size, root = text.splitlines()
    name, kind, public = _vkey(log.vkey)
    assert origin == name == f"overt.internal/audit/{hashlib.sha256(public).hexdigest()[:16]}" and kind == 1
    assert int(size) == len(log.lines) >= 7
    assert base64.b64decode(root) == _root([_leaf(line) for line in log.lines])
    assert len(signatures) == 1
    _signed(octets, log.vkey)
    assert log.beside("key").stat().st_mode & 0o777 == 0o600
    code, said = log.verify("--key", log.vkey)
    assert code == 0 and f"{len(log.lines)} lines, none altered or missing" in said


def test_an_altered_octet_is_found_in_its_line(log):
    lines = log.lines
    for number in (1, len(lines) // 2, len(lines)):
        changed = list(lines)
        changed[number - 1] = changed[number - 1].replace(b'"time":"20', b'"time":"21')
        log.write(changed)
        code, said = log.verify()
        assert code == 1 and "altered" in said and f"line {number} " in said


def test_a_line_taken_out_and_lines_that_changed_places_are_named(log):
    lines = log.lines
    log.write(lines[:2] + lines[3:])
    code, said = log.verify()
    assert code == 1 and "overt log: missing:" in said and "line 3 " in said
    # Also where the numbers were made to fit.
    renumbered = lines[:2] + [b'{"seq":%d,' % n + line.split(b",", 1)[1] for n, line in enumerate(lines[3:], 3)]
    log.write(renumbered)
    code, said = log.verify()
    assert code == 1 and "overt log: altered:" in said and "line 3 " in said
    log.write(lines[:3] + [lines[4], lines[3]] + lines[5:])
    code, said = log.verify()
    assert code == 1 and "overt log: altered:" in said and "line 4 stands after" in said


def test_a_tail_cut_off_is_missing_and_a_torn_one_after_the_checkpoint_is_torn(log):
    lines = log.lines
    log.write(lines[:-2])
    code, said = log.verify()
    assert code == 1 and "overt log: missing:" in said and f"line {len(lines) - 1} " in said
    log.write(lines)
    with log.path.open("ab") as file:
        file.write(b'{"seq":%d,"ti' % (len(lines) + 1))
    code, said = log.verify()
    assert code == 1 and "overt log: torn:" in said and f"line {len(lines) + 1} " in said


def test_without_the_tree_an_alteration_is_still_found(log):
    log.beside("tree").unlink()
    code, said = log.verify()
    assert code == 0 and "made anew" in said
    log.path.write_bytes(log.path.read_bytes().replace(b'"rule":"default"', b'"rule":"defaults"', 1))
    code, said = log.verify()
    assert code == 1 and "overt log: altered:" in said and "one is not what was written" in said


def test_a_rollback_is_caught_by_a_saved_checkpoint_and_by_a_witness(made, grown, folder):
    log = made.copy(folder / "state")
    older = log.copy(folder / "older")
    saved = folder / "saved"
    witness = folder / "witness"
    log = grown(1, log.state)
    shutil.copy(log.beside("head"), saved)
    code, _, err = log.run("witness", "--as", witness, "--key", log.vkey, "--out", folder / "cosigned")
    assert code == 0, err
    assert log.verify("--checkpoint", saved, "--key", log.vkey)[0] == 0
    # By itself the older copy is whole.
    code, said = older.verify()
    assert code == 0 and "--checkpoint tell whether all of it was replaced" in said
    code, said = older.verify("--checkpoint", saved)
    assert code == 1 and "overt log: rolled back:" in said
    code, _, err = older.run("witness", "--as", witness)
    assert code == 1 and "rolled back: the log has" in err
    # And where it went on from there with another future.
    other = grown(3, older.state)
    assert len(other.lines) > len(log.lines)
    code, said = other.verify("--checkpoint", saved)
    assert code == 1 and "overt log: rewritten:" in said
    code, _, err = other.run("witness", "--as", witness)
    assert code == 1 and "rewritten" in err
    code, _, err = other.run("prove", "--from", saved)
    assert code == 1 and "another past" in err


def test_another_key_is_no_key_of_the_log(log, folder):
    text, _ = _note(log.beside("head").read_bytes())
    name, kept = _vkey(log.vkey)[0], log.vkey
    saved = folder / "saved"
    shutil.copy(log.beside("head"), saved)
    note, vkey = _sign(text, name, Ed25519PrivateKey.generate())
    log.beside("head").write_bytes(note)
    code, said = log.verify()
    assert code == 1 and "overt log: forged:" in said
    # With its public key put in place as well: only who kept the first one can tell, or a checkpoint.
    log.beside("pub").write_text(vkey)
    assert log.verify()[0] == 0
    code, said = log.verify("--key", kept)
    assert code == 1 and "not signed by the log's key" in said
    code, said = log.verify("--checkpoint", saved)
    assert code == 1 and "not signed by the log's key" in said


def _proof(octets):
    head, _, note = octets.partition(b"\n\n")
    return head.decode().splitlines(), note


def test_a_line_is_proven_without_the_log(log, folder):
    lines = log.lines
    for number in range(1, len(lines) + 1):
        path = folder / "proof"
        code, _, err = log.run("prove", "--line", str(number), "--out", path)
        assert code == 0, err
        words, note = _proof(path.read_bytes())
        assert words[0] == "c2sp.org/tlog-proof@v1"
        assert base64.b64decode(words[1].removeprefix("extra ")) == lines[number - 1]
        index, size = int(words[2].removeprefix("index ")), int(_note(note)[0].splitlines()[1])
        assert index == number - 1
        # RFC 9162, 2.1.3.2, with recursion.
        def climb(leaf, m, n, path):
            if n == 1:
                return leaf
            k = 1
            while 2 * k < n:
                k *= 2
            if m < k:
                return hashlib.sha256(b"\1" + climb(leaf, m, k, path[:-1]) + path[-1]).digest()
            return hashlib.sha256(b"\1" + path[-1] + climb(leaf, m - k, n - k, path[:-1])).digest()
        hashes = [base64.b64decode(word) for word in words[3:]]
        assert climb(_leaf(lines[index]), index, size, hashes) == base64.b64decode(_note(note)[0].splitlines()[2])
        _signed(note, log.vkey)
        code, out, err = overt.run("log", "verify", "--proof", path, "--key", log.vkey)
        assert code == 0, err
        assert lines[number - 1].decode() in out and f"is line {number} of {size} " in out
    octets = path.read_bytes()
    for old, new in ((words[1], words[1][:-8] + "AAAA" + words[1][-4:]), (words[2], "index 0"), (words[3], words[4])):
        path.write_bytes(octets.replace(old.encode() + b"\n", new.encode() + b"\n", 1))
        code, out, err = overt.run("log", "verify", "--proof", path, "--key", log.vkey)
        assert code == 1 and not out, (new, out)


def test_growth_is_proven_without_the_log_also_where_the_tree_is_gone(made, grown, folder):
    log = made.copy(folder / "state")
    saved, path = folder / "saved", folder / "proof"
    shutil.copy(log.beside("head"), saved)
    grown(2, log.state)
    log.beside("tree").unlink()
    code, _, err = log.run("prove", "--from", saved, "--out", path)
    assert code == 0, err
    code, out, err = overt.run("log", "verify", "--proof", path, "--key", log.vkey)
    assert code == 0, err
    size = int(_note(saved.read_bytes())[0].splitlines()[1])
    assert f"of {len(log.lines)} lines grew from that of {size}" in out
    words, _ = _proof(path.read_bytes())
    octets = path.read_bytes()
    for word in words[2:]:
        other = base64.b64encode(bytes(32)).decode()
        path.write_bytes(octets.replace(word.encode(), other.encode(), 1))
        assert overt.run("log", "verify", "--proof", path, "--key", log.vkey)[0] == 1


def test_a_witness_cosigns_what_grew_from_what_it_saw_and_nothing_else(made, grown, folder):
    log = made.copy(folder / "state")
    witness, first, second = folder / "witness", folder / "first", folder / "second"
    code, _, err = overt.run("log", "witness", "--as", witness, log.beside("head"))
    assert code == 1 and "does not know the log" in err and "--key" in err
    code, _, err = overt.run("log", "witness", "--as", witness, "--key", log.vkey, "--out", first, log.beside("head"))
    assert code == 0, err
    vkey = (witness / "witness.pub").read_text()
    assert _vkey(vkey)[1] == 4
    assert _signed(first.read_bytes(), vkey) > 1_700_000_000
    _signed(first.read_bytes(), log.vkey)
    grown(2, log.state)
    # A checkpoint alone shows no growth; the proof from the checkpoint that the witness gave out does.
    code, _, err = overt.run("log", "witness", "--as", witness, log.beside("head"))
    assert code == 1 and "overt log prove --from" in err
    code, _, err = log.run("prove", "--from", first, "--out", folder / "growth")
    assert code == 0, err
    code, _, err = overt.run("log", "witness", "--as", witness, "--out", second, folder / "growth")
    assert code == 0, err
    assert _signed(second.read_bytes(), vkey) >= _signed(first.read_bytes(), vkey)
    # The older one once more is a rollback.
    code, _, err = overt.run("log", "witness", "--as", witness, first)
    assert code == 1 and "rolled back" in err
    # Who verifies may ask for the witness; and a proof may lead to the cosigned checkpoint.
    code, said = log.verify("--checkpoint", second, "--witness", vkey.strip())
    assert code == 0, said
    code, said = log.verify("--checkpoint", log.beside("head"), "--witness", vkey.strip())
    assert code == 1 and "not cosigned" in said
    code, _, err = log.run("prove", "--line", "2", "--checkpoint", second, "--out", folder / "proof")
    assert code == 0, err
    code, out, err = overt.run("log", "verify", "--proof", folder / "proof", "--key", log.vkey, "--witness", vkey.strip())
    assert code == 0 and "cosigned by overt.internal/witness/" in out, err
    # Another key under the log's name is refused for ever.
    note, other = _sign(_note(second.read_bytes())[0], _vkey(log.vkey)[0], Ed25519PrivateKey.generate())
    (folder / "other").write_bytes(note)
    code, _, err = overt.run("log", "witness", "--as", witness, "--key", other, folder / "other")
    assert code == 1 and "is not the key" in err
    code, _, err = overt.run("log", "witness", "--as", witness, folder / "other")
    assert code == 1 and "not signed by the log's key" in err


def test_show_opens_what_can_be_opened_and_filters(log):
    code, out, err = log.run("show")
    assert code == 0, err
    assert len(out.splitlines()) == len(log.lines)
    assert "name=site.test" in out and "rule=default" in out
    code, out, _ = log.run("show", "--kind", "inspected,start", "--closed")
    kinds = [line.split()[2] for line in out.splitlines()]
    assert sorted(set(kinds)) == ["inspected", "start"] and "site.test" not in out
    code, out, _ = log.run("show", "--json", "--kind", "inspected")
    entries = [json.loads(line) for line in out.splitlines()]
    assert len(entries) == 3 and {e["opened"]["name"] for e in entries} == {"site.test"}
    assert {e["kind"] for e in entries} == {"inspected"}
    # What expired is sealed for ever, and told apart by the first digits only.
    shutil.rmtree(log.state / "openings")
    code, out, _ = log.run("show", "--kind", "inspected")
    assert f"name=#{entries[0]['name'][:8]} " in out and "site.test" not in out
    code, out, _ = log.run("show", "--unilateral")
    assert code == 0 and out == "Nothing that one side alone consented to.\n"
    code, out, _ = log.run("show", "--since", "2999")
    assert code == 0 and out == "No such entries.\n"
    code, out, _ = log.run("show", "--before", "2999", "--since", "2001-01-01T00:00:00Z")
    assert len(out.splitlines()) == len(log.lines)
    code, _, err = log.run("show", "--kind", "rumour")
    assert code == 2 and "there is no kind rumour; there are start, " in err
    code, _, err = log.run("show", "--since", "yesterday")
    assert code == 2 and "2026-11-21" in err


def test_unilateral_grants_are_listed_by_themselves(log):
    # No verb writes these here: lines as they stand in a log.
    lines = [b'{"seq":1,"time":"2026-11-21T10:00:00.000Z","kind":"grant","grant":"g1","reader_key":"k","consent":"both"}',
             b'{"seq":2,"time":"2026-11-21T10:00:01.000Z","kind":"grant","grant":"g2","reader_key":"k","consent":'
             b'"unilateral","reason":"an incident","ends":"2026-12-01T00:00:00Z"}',
             b'{"seq":3,"time":"2026-11-21T10:00:02.000Z","kind":"release","grant":"g2","consent":"unilateral"}']
    log.write(lines)
    code, out, _ = log.run("show", "--unilateral")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == ["2", "3"]
    assert 'reason="an incident"' in out
    code, out, _ = log.run("show", "--unilateral", "--kind", "grant")
    assert [line.split()[0] for line in out.splitlines()] == ["2"]


def _write_log(path, lines, private, following=None):
    """A log as it stands in docs/audit.md, made without the program. `following`: the key of the next."""
    public = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    name = f"overt.internal/audit/{hashlib.sha256(public).hexdigest()[:16]}"
    _, vkey = _sign("", name, private)
    if following:
        lines = [*lines, json.dumps({"kind": "continued", "verifier": following})]
    bare = [line[1:].replace('": "', '":"').replace('", "', '","') for line in lines]
    lines = [f'{{"seq":{n},"time":"2026-11-21T10:00:00.000Z",{line}' for n, line in enumerate(bare, 1)]
    octets = [line.encode() for line in lines]
    path.write_bytes(b"".join(line + b"\n" for line in octets))
    root = _root([_leaf(line) for line in octets])
    note, _ = _sign(f"{name}\n{len(octets)}\n{base64.b64encode(root).decode()}\n", name, private)
    path.with_name(path.name + ".head").write_bytes(note)
    path.with_name(path.name + ".pub").write_text(vkey + "\n")
    first = f'"file":"{path.name}","origin":"{name}","size":{len(octets)},"root":"{root.hex()}"'
    return f'{{"kind":"continues",{first}}}', vkey


def test_logs_put_aside_are_verified_as_one_chain(folder):
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    path, aside = folder / "audit.log", folder / "audit.log.1"
    stop = '{"kind":"stop","reason":"asked to"}'
    vkey = _write_log(path, [stop], new)[1]
    first, _ = _write_log(aside, [stop, stop], old, vkey)
    _write_log(path, [first, stop], new)
    code, out, err = overt.run("log", "verify", "--log", path)
    assert code == 0 and f"it continues {aside}: 3 lines, none altered or missing" in out, err
    whole = aside.read_bytes()
    aside.write_bytes(whole.replace(b"asked to", b"asked 2o", 1))
    code, _, err = overt.run("log", "verify", "--log", path)
    assert code == 1 and "altered" in err and "audit.log.1" in err
    # Another log in the place of the earlier one; and one that does not name the later one's key.
    _write_log(aside, [stop, stop, stop], old, vkey)
    code, _, err = overt.run("log", "verify", "--log", path)
    assert code == 1 and "is not the log that the one after it names" in err
    first, _ = _write_log(aside, [stop], old, _sign("", "other", Ed25519PrivateKey.generate())[1])
    _write_log(path, [first, stop], new)
    code, _, err = overt.run("log", "verify", "--log", path)
    assert code == 1 and "does not name the key of the log after it" in err
    aside.unlink()
    code, out, _ = overt.run("log", "verify", "--log", path)
    assert code == 0 and "is not here any more" in out


def test_the_python_of_the_manual_verifies_a_log(log, folder):
    text = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "audit.md").read_text("utf-8")
    script = folder / "verify.py"
    script.write_text(re.search(r"^```python\n(.*?)^```", text, re.M | re.S).group(1))
    words = [sys.executable, script, log.path, log.beside("head"), log.vkey]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == f"{len(log.lines)} lines are those that were signed\n", done.stderr
    log.path.write_bytes(log.path.read_bytes().replace(b"reader", b"writer", 1))
    assert subprocess.run(words, capture_output=True, timeout=60, check=False).returncode != 0


def test_what_is_no_log_checkpoint_proof_or_key_is_said_to_be_none(log, folder):
    nonsense = folder / "nonsense"
    nonsense.write_bytes(b"nonsense\n")
    cases = [(("verify", "--key", "nonsense"), "neither a verifier key"),
             (("verify", "--key", nonsense), "no verifier key"),
             (("verify", "--checkpoint", nonsense), "is no checkpoint"),
             (("verify", "--checkpoint", folder / "none"), "there is no checkpoint"),
             (("verify", "--proof", nonsense), "is no proof"),
             (("prove", "--line", "999999"), "not covered by the checkpoint yet"),
             (("witness", "--as", folder / "w", "--key", log.vkey, nonsense), "is no checkpoint")]
    for words, expected in cases:
        code, out, err = log.run(*words)
        assert (code, out) == (1, "") and expected in err, (words, err)
    for words in (("prove",), ("prove", "--line", "0"), ("show", "--key", "x"), ("witness",), ("fetch",), ("verify", "x"),
                  ("verify", "--witness", log.vkey)):
        code, _, err = log.run(*words)
        assert code == 2, (words, err)
    code, _, err = overt.run("log", "verify", "--proof", nonsense)
    assert code == 1 and "--proof needs --key" in err
    log.beside("head").write_bytes(b"nonsense\n")
    code, said = log.verify()
    assert code == 1 and "is no checkpoint: damaged" in said
