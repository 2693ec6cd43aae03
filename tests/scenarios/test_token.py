"""A CA key that stays in a PKCS #11 token (SoftHSM here): only signatures come out of it."""

import os
import re
import shutil
import subprocess

import pytest
from lab import clients, overt, pki
from lab.proc import eventually

pytestmark = [overt.requires("proxy --ca-cert --ca-key"),
              pytest.mark.skipif(not shutil.which("softhsm2-util"), reason="softhsm2 is not installed")]

PIN = "90210777"  # long enough to be found where it must not stand


def _serves_tokens():
    """Whether OpenSSL has the provider of Debian 13 or the engine of Debian 12."""
    asked = [["openssl", "list", "-providers", "-provider", "pkcs11"], ["openssl", "engine", "-t", "pkcs11"]]
    return any(subprocess.run(words, capture_output=True).returncode == 0 for words in asked)


@pytest.fixture
def token(folder, monkeypatch):
    """token.pem is the CA's certificate, token.uri(**parts) its key's."""
    if not _serves_tokens():
        pytest.skip("OpenSSL has no way to tokens: libengine-pkcs11-openssl or pkcs11-provider is not installed")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(settings))
    made = pki.authority("Token CA")
    key = folder / "imported.pem"
    key.write_bytes(made.key.private_bytes(pki.serialization.Encoding.PEM, pki.serialization.PrivateFormat.PKCS8,
                                           pki.serialization.NoEncryption()))
    for words in (["--init-token", "--free", "--label", "overt", "--so-pin", "12345678"],
                  ["--import", key, "--token", "overt", "--label", "ca", "--id", "01"]):
        subprocess.run(["softhsm2-util", *map(str, words), "--pin", PIN], check=True, capture_output=True)
    key.unlink()

    class Token:
        pem = folder / "token-ca.pem"

        @staticmethod
        def uri(token="overt", object="ca", pin=PIN):
            return f"pkcs11:token={token};object={object};type=private?pin-value={pin}"
    Token.pem.write_text(made.pem)
    return Token


def test_leaves_are_signed_by_the_token_inside_the_sandbox(token, proxy, nginx):
    one = proxy("--ca-cert", token.pem, "--ca-key", token.uri(), "--workers", "2", release=True)
    for name in ("site.test", "www.site.test", "other.test"):
        got = clients.curl(f"https://{name}:{nginx.port}/", proxy=one.port, ca=token.pem)
        assert got.status == 200, got.error
        assert "Token CA" in got.issuer()
    keeper, = one.members("keeper")
    with open(f"/proc/{keeper}/status") as status:
        assert re.search(r"^Seccomp:\s+2$", status.read(), re.M)
    assert PIN not in one.log()


def test_a_killed_keeper_opens_the_token_again(token, proxy, nginx):
    one = proxy("--ca-cert", token.pem, "--ca-key", token.uri(), "--workers", "1", release=True)
    keeper, = one.members("keeper")
    os.kill(keeper, 9)
    one.wait_log("child started again")
    eventually(lambda: clients.curl(f"https://site.test:{nginx.port}/", proxy=one.port, ca=token.pem).status == 200,
               "inspected again")


def test_a_reload_keeps_the_token(token, proxy, nginx):
    one = proxy("--ca-cert", token.pem, "--ca-key", token.uri(), release=True)
    one.reload()
    one.wait_log("reloaded")
    assert clients.curl(f"https://site.test:{nginx.port}/", proxy=one.port, ca=token.pem).status == 200
    assert "ca not opened again" not in one.log()


def test_the_pin_may_come_from_a_file(token, proxy, nginx, folder):
    (folder / "pin").write_text(PIN)
    uri = token.uri().replace(f"pin-value={PIN}", f"pin-source=file:{folder}/pin")
    one = proxy("--ca-cert", token.pem, "--ca-key", uri, release=True)
    assert clients.curl(f"https://site.test:{nginx.port}/", proxy=one.port, ca=token.pem).status == 200


def test_single_signs_with_it_too(token, proxy, nginx):
    one = proxy("--ca-cert", token.pem, "--ca-key", token.uri(), "--single", release=True)
    assert clients.curl(f"https://site.test:{nginx.port}/", proxy=one.port, ca=token.pem).status == 200


@pytest.mark.parametrize("parts, said", [
    ({"pin": "00000000"}, r"PIN.incorrect|cannot be had"),
    ({"token": "nobody"}, "cannot be had"),
    ({"object": "nothing"}, "cannot be had"),
], ids=["wrong pin", "no such token", "no such object"])
@pytest.mark.parametrize("how", ["family", "single"])
def test_what_is_wrong_with_the_uri_is_one_line_without_the_pin(parts, said, how, token, folder):
    code, _, err = overt.run("proxy", "--state", folder / "state", "--listen", "127.0.0.1:0", "-q", "--ca-cert",
                             token.pem, "--ca-key", token.uri(**parts), *(["--single"] if how == "single" else []),
                             release=True)
    lines = [line for line in err.splitlines() if " INFO " not in line]
    assert code == 2 and len(lines) == 1, err
    assert re.search(said, lines[0]) and "--ca-key" in lines[0] and "pin-value" in lines[0]
    assert PIN not in err and "00000000" not in err


def test_a_certificate_of_another_key_is_refused(token, folder):
    other = folder / "other.pem"
    made = pki.authority("Another CA")
    other.write_text(made.pem)
    code, _, err = overt.run("proxy", "--state", folder / "state", "--listen", "127.0.0.1:0", "-q", "--ca-cert", other,
                             "--ca-key", token.uri(), release=True)
    assert code == 2 and "other.pem" in err and PIN not in err, err


def test_without_engine_and_provider_that_is_what_is_said(token, folder):
    code, _, err = overt.run("proxy", "--state", folder / "state", "--listen", "127.0.0.1:0", "-q", "--ca-cert",
                             token.pem, "--ca-key", token.uri(), release=True,
                             env={"OPENSSL_ENGINES": str(folder), "OPENSSL_MODULES": str(folder)})
    assert code == 2 and "libengine-pkcs11-openssl" in err and "pkcs11-provider" in err, err
