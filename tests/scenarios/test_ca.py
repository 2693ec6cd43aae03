"""overt ca: show, export, install, remove, rotate; and how the key is kept (CHECKLIST 17)."""

import os
import stat

import pytest
from cryptography import x509
from lab import clients, overt, pki
from lab.proc import eventually

pytestmark = overt.requires("ca --state")


@pytest.fixture
def run(folder):
    """run(*arguments): (code, stdout, stderr) of overt ca with a state and places of installation of the test's own."""
    def start(*arguments, state="state"):
        return overt.run("ca", *arguments, "--state", folder / state, env={"HOME": str(folder)})
    return start


def _install(run, folder, *arguments, **knobs):
    places = ["--system-dir", folder / "anchors", "--nss", "none"]
    (folder / "anchors").mkdir(exist_ok=True)
    code, out, err = run("install", *(arguments or ["--everything"]), *places, **knobs)
    assert code == 0, err
    return out


@pytest.fixture
def ca(run, folder):
    """As run, in a state that has a CA."""
    _install(run, folder)
    return run


@pytest.fixture
def path(folder):
    return folder / "state" / "ca.pem"


def _cert(path):
    return clients.certificates(path.read_text())[0]


def _issued(ca, leaf):
    """By the key, not by the name: two CAs of one month have the same name."""
    key = pki.extensions(ca).get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    return pki.extensions(leaf).get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == key


def test_show_says_how_to_know_the_ca(ca, path):
    code, out, err = ca("show")
    assert code == 0, err
    digest = _cert(path).fingerprint(pki.hashes.SHA256()).hex()
    assert digest in out.replace(":", "").lower(), out


def test_show_without_a_ca_says_that_there_is_none_and_makes_none(run, folder):
    """Looking changes nothing: a CA is made by what needs one, overt proxy and overt ca install."""
    code, out, err = run("show")
    assert code == 1 and out == "" and "no CA" in err, err
    assert not (folder / "state").exists()


def test_the_ca_is_made_as_a_ca(ca, path):
    cert = _cert(path)
    constraints = cert.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and constraints.value.ca and constraints.value.path_length == 0
    usage = cert.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.key_cert_sign and not usage.value.digital_signature
    assert cert.serial_number.bit_length() > 64
    assert cert.signature_hash_algorithm.name in ("sha256", "sha384")


def test_permitted_names_stand_in_the_certificate(run, folder, path):
    _install(run, folder, "--permit", "site.test,10.0.0.0/8")
    constraints = _cert(path).extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    permitted = constraints.value.permitted_subtrees
    assert x509.DNSName("site.test") in permitted and len(permitted) >= 2
    assert [n for n in permitted if isinstance(n, x509.IPAddress)]


@overt.requires("proxy --trust --rules --jsonl")
def test_a_ca_with_permitted_names_signs_for_nothing_else(run, folder, world, nginx, starts):
    _install(run, folder, "--permit", "site.test")
    one = starts(overt.Proxy(trust=world.trust, state=folder / "state"))
    assert one.curl(f"https://site.test:{nginx.port}/").status == 200
    assert one.curl(f"https://other.test:{nginx.port}/").status == 0


def test_install_and_remove_change_the_places_they_name(ca, run, folder, path):
    installed = [p.read_text() for p in (folder / "anchors").iterdir()]
    assert any(_cert(path) in clients.certificates(text) for text in installed)
    code, _, err = run("remove", "--system-dir", folder / "anchors", "--nss", "none")
    assert code == 0, err
    assert not list((folder / "anchors").iterdir())


def test_commands_that_it_prints_can_be_typed_as_they_stand(run, folder, monkeypatch):
    """The plain name where PATH finds this very program, else the path that it was started by."""
    said = _install(run, folder)
    assert f"Undo with: {overt.binary()} ca remove" in said
    path = os.environ["PATH"]
    (folder / "bin").mkdir()
    (folder / "bin" / "overt").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", f"{folder}/bin:{path}")
    assert f"Undo with: {overt.binary()} ca remove" in _install(run, folder), "another program of that name"
    (folder / "bin" / "overt").unlink()
    (folder / "bin" / "overt").symlink_to(overt.binary())
    assert "Undo with: overt ca remove" in _install(run, folder)


def test_two_installs_have_two_cas(ca, path, folder):
    _install(ca, folder, state="second")
    second = _cert(folder / "second" / "ca.pem")
    assert _cert(path).public_key().public_numbers() != second.public_key().public_numbers()


def test_no_key_can_be_read_by_others(ca, folder):
    files = [p for p in (folder / "state").rglob("*") if p.is_file()]
    keys = [p for p in files if b"PRIVATE" in p.read_bytes() or "key" in p.name]
    assert keys
    for key in keys:
        assert stat.S_IMODE(key.stat().st_mode) == 0o600, key
    assert stat.S_IMODE((folder / "state").stat().st_mode) & 0o077 == 0 or all(
        stat.S_IMODE(k.stat().st_mode) == 0o600 for k in keys)


def test_a_key_that_others_can_read_is_not_used(ca, folder):
    key = next(p for p in (folder / "state").rglob("*") if p.is_file() and b"PRIVATE" in p.read_bytes())
    key.chmod(0o644)
    code, _, err = overt.run("proxy", "--state", folder / "state", "--listen", "127.0.0.1:0", "-q") \
        if overt.knows("proxy") else (2, "", key.name)
    assert code == 2 and key.name in err, err


def test_export_writes_the_certificate_and_never_the_key(ca, path, folder):
    code, out, err = ca("export")
    assert code == 0, err
    assert clients.certificates(out) == clients.certificates(path.read_text()) and "PRIVATE" not in out


def test_install_demands_to_be_told_for_what(run):
    code, _, err = run("install")
    assert code == 2 and "--permit" in err and "--everything" in err, err


def test_rotate_makes_a_new_ca_beside_the_old_one(ca, path, folder):
    before = _cert(path)
    code, _, err = ca("rotate", "--system-dir", folder / "anchors", "--nss", "none")
    assert code == 0, err
    after = clients.certificates(path.read_text())
    assert before in after and len(after) == 2


def test_an_unknown_word_is_an_error_of_use(run):
    code, _, err = run("frobnicate")
    assert code == 2 and "frobnicate" in err


@overt.requires("proxy --ca-cert --ca-key")
class TestOwnAuthority:
    def test_a_subordinate_ca_is_shown_with_its_chain(self, world, proxy, nginx):
        company = pki.authority("Company Root")
        issuing = pki.authority("Company Inspection", company, path_length=0)
        chain, key = world.folder.install("company", issuing, [])
        root = world.folder.write("company-root.pem", company.pem)
        one = proxy("--ca-cert", chain, "--ca-key", key)
        got = clients.curl(f"https://site.test:{nginx.port}/", proxy=one.port, ca=root)
        assert got.status == 200, got.error
        assert "Company Inspection" in got.issuer()

    @pytest.mark.parametrize("fault", ["missing", "other key", "no ca", "expired", "unreadable"])
    def test_an_authority_that_cannot_be_used_stops_the_start(self, fault, world, folder):
        made = pki.authority("Unusable", **({"starts": -60, "ends": -1} if fault == "expired" else {}),
                             constraints=fault != "no ca")
        if fault == "no ca":
            made = pki.leaf(None, "site.test")
        chain, key = world.folder.install(f"unusable-{fault.replace(' ', '-')}", made)
        if fault == "other key":
            key = world.folder.write("other.key", pki.authority("Else").key_pem)
        if fault == "missing":
            key = folder / "no-such.key"
        if fault == "unreadable":
            key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        code, _, err = overt.run("proxy", "--state", folder / "state", "--listen", "127.0.0.1:0", "-q", "--ca-cert",
                                 chain, "--ca-key", key)
        assert code == 2 and (key.name in err or chain.name in err), err
        # What is said of the machine's limits is no complaint.
        assert len([line for line in err.splitlines() if " INFO " not in line]) == 1, err


@overt.requires("proxy --trust --rules --jsonl")
class TestInTheProxy:
    def test_clients_can_download_the_ca(self, shared):
        got = shared.curl("http://overt.internal/")
        assert got.status == 200 and b"ca" in got.body.lower(), got.error
        for name in ("ca.pem", "ca.crt"):
            got = shared.curl(f"http://overt.internal/{name}")
            if got.status == 200:
                assert clients.certificates(got.body.decode("latin-1")) == clients.certificates(shared.ca.read_text()) \
                    or name == "ca.crt"
                return
        raise AssertionError("the CA is at none of the expected places")

    def test_after_a_rotation_with_a_lead_the_old_one_issues_and_both_can_be_had(self, world, starts, nginx, folder):
        first = overt.Proxy(trust=world.trust, state=folder / "state")
        old = folder / "old.pem"
        old.write_bytes(first.ca.read_bytes())
        first.stop()
        places = ["--system-dir", folder, "--nss", "none"]
        assert overt.run("ca", "rotate", "--lead", "7d", "--state", folder / "state", *places)[0] == 0
        second = starts(overt.Proxy(trust=world.trust, state=folder / "state"))
        assert len(clients.certificates(second.ca.read_text())) == 2
        for trusted in (old, second.ca):
            got = clients.curl(f"https://site.test:{nginx.port}/", proxy=second.port, ca=trusted)
            assert got.status == 200, f"{trusted}: {got.error}"

    def test_after_a_rotation_without_one_the_new_one_issues(self, world, starts, nginx, folder):
        first = overt.Proxy(trust=world.trust, state=folder / "state")
        old = _cert(first.ca)
        first.stop()
        assert overt.run("ca", "rotate", "--state", folder / "state", "--system-dir", folder, "--nss", "none")[0] == 0
        second = starts(overt.Proxy(trust=world.trust, state=folder / "state"))
        got = second.curl(f"https://site.test:{nginx.port}/")
        assert got.status == 200 and got.cert.issuer in [
            c.subject for c in clients.certificates(second.ca.read_text()) if c != old], got.error

    @pytest.mark.parametrize("options", [["--workers", "2"], ["--single"]], ids=["family", "single"])
    def test_a_running_proxy_takes_up_a_rotated_ca_on_sighup(self, options, proxy, nginx, folder):
        one = proxy(*options, state=folder / "state")
        old = folder / "old.pem"
        old.write_bytes(one.ca.read_bytes())
        before = _cert(old)
        assert _issued(before, one.curl(f"https://site.test:{nginx.port}/").cert)
        assert overt.run("ca", "rotate", "--state", folder / "state", "--system-dir", folder, "--nss", "none")[0] == 0
        one.reload()
        one.wait_log("reloaded")

        def renewed():
            got = one.curl(f"https://site.test:{nginx.port}/", ca=one.ca)
            return got.status == 200 and not _issued(before, got.cert)
        eventually(renewed, "the new CA issues")
        assert clients.curl(f"https://site.test:{nginx.port}/", proxy=one.port, ca=old).status == 0
        # Whoever comes to fetch the CA gets the new one.
        page = eventually(lambda: [c for c in clients.certificates(one.curl("http://overt.internal/ca.pem").body.decode())
                                   if c != before], "the page has it")
        assert len(page) == 1
        entries = (folder / "state" / "audit.log").read_text()
        assert '"action":"rotated"' in entries

    def test_a_ca_that_became_unreadable_leaves_the_old_one_in_force(self, proxy, nginx, folder):
        one = proxy("--workers", "1", state=folder / "state")
        before = _cert(one.ca)
        (folder / "state" / "ca.key").write_text("no key at all\n")
        one.reload()
        one.wait_log("ca not opened again")
        assert _issued(before, one.curl(f"https://site.test:{nginx.port}/").cert)

    def test_the_key_is_in_no_process_that_faces_the_network(self, shared):
        """No process that holds an internet socket has the key file's numbers in its memory or a descriptor on it."""
        if os.getuid() != 0:
            pytest.skip("reads the memory of other processes")
        secret = pki.serialization.load_pem_private_key((shared.state / "ca.key").read_bytes(), None).private_numbers()
        number = getattr(secret, "private_value", None) or secret.d
        size = (number.bit_length() + 7) // 8
        forms = (number.to_bytes(size, "big"), number.to_bytes(size, "little"))
        assert len(shared.family()) > 1
        assert any(any(form in _memory(pid) for form in forms) for pid in shared.family()), "nobody has the key"
        for pid in shared.family():
            if _has_internet_socket(pid):
                assert not any(form in _memory(pid) for form in forms), f"process {pid} holds the CA key"


def _has_internet_socket(pid):
    inodes = set()
    for name in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{name}") as table:
            inodes |= {line.split()[9] for line in table.readlines()[1:]}
    for link in os.scandir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(link.path)
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in inodes:
            return True
    return False


def _memory(pid):
    parts = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            where, rights = line.split()[:2]
            start, end = (int(n, 16) for n in where.split("-"))
            if rights.startswith("rw") and end - start < 64 << 20:
                try:
                    memory.seek(start)
                    parts.append(memory.read(end - start))
                except (OSError, ValueError, OverflowError):
                    continue
    return b"".join(parts)


def test_export_to_a_place_that_cannot_be_written_names_it_and_fails(ca):
    code, out, err = ca("export", "/no/such/folder/ca.pem")
    assert (code, out) == (1, "") and "overt ca export: /no/such/folder/ca.pem: No such file or directory" in err, err


def test_names_to_permit_stand_with_commas_or_blanks_between(run, folder):
    out = _install(run, folder, "--permit", "a.test b.test, 10.0.0.0/8")
    code, out, err = run("show")
    assert code == 0 and "a.test, b.test, 10.0.0.0/8" in out, out + err
