"""The leaf that a client is shown (CHECKLIST 18 and 25, and docs on what is mirrored)."""

import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from lab import clients, der, overt, pki, servers

pytestmark = overt.requires("proxy --trust --rules --jsonl")

EV = "2.23.140.1.1"


@pytest.fixture
def shown(shared, world, starts):
    """shown(*names, **knobs of pki.leaf): (leaf shown to the client, certificate of the server)."""
    def make(*names, ask=None, options=(), **knobs):
        identity = world.leaf(*names, **{"subject": "Shown", **knobs})
        chain, key = world.folder.install(f"shown-{identity.serial:x}", identity)
        server = starts(servers.Origin(servers.server_context(chain, key)))
        host = f"[{ask}]" if ask and ":" in ask else ask or names[0]
        got = shared.curl(f"https://{host}:{server.port}/", *options)
        assert got.status == 200, got.error
        return got.cert, identity.cert
    return make


def _extension(cert, oid):
    return pki.extensions(cert).get_extension_for_oid(oid)


def test_the_subject_alternative_names_are_the_servers(shown):
    leaf, origin = shown("site.test", "www.site.test", "*.site.test", ipaddress.ip_address("192.0.2.7"))
    assert _extension(leaf, ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value == _extension(
        origin, ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value


def test_an_address_is_mirrored_as_an_address(shown):
    leaf, _ = shown(ipaddress.ip_address("127.0.0.1"), ask="127.0.0.1")
    names = _extension(leaf, ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    assert list(names) == [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]


def test_an_empty_subject_makes_the_names_critical(shown):
    leaf, _ = shown("site.test", subject=None)
    if not leaf.subject.rdns:
        assert _extension(leaf, ExtensionOID.SUBJECT_ALTERNATIVE_NAME).critical


def test_a_name_over_64_characters_is_no_common_name(shared, world, starts):
    long = "a" * 60 + ".site.test"
    server = starts(servers.Origin(servers.server_context(*world.files("site.test", long, subject="x" * 64))))
    got = shared.curl(f"https://site.test:{server.port}/")
    assert got.status == 200 and long in got.names()
    assert all(len(a.value) <= 64 for a in got.cert.subject), got.cert.subject


def test_dates_lie_within_the_servers_and_the_cas(shown, shared):
    leaf, origin = shown("site.test", starts=-3, ends=20)
    authority = clients.certificates(shared.ca.read_text())[0]
    assert leaf.not_valid_before >= max(origin.not_valid_before, authority.not_valid_before)
    assert leaf.not_valid_after <= min(origin.not_valid_after, authority.not_valid_after)


def test_a_leaf_lives_no_longer_than_45_days_from_now_and_199_in_all(shown):
    leaf, _ = shown("site.test", starts=-300, ends=300)
    now = datetime.datetime.utcnow()
    assert leaf.not_valid_after <= now + datetime.timedelta(days=45, minutes=5)
    assert leaf.not_valid_after - leaf.not_valid_before <= datetime.timedelta(days=199)


def test_usage_is_that_of_a_tls_server(shown):
    leaf, _ = shown("site.test", usages=(pki.SERVER_AUTH, pki.CLIENT_AUTH, pki.CODE_SIGNING))
    usage = _extension(leaf, ExtensionOID.KEY_USAGE)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    assert list(_extension(leaf, ExtensionOID.EXTENDED_KEY_USAGE).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    constraints = _extension(leaf, ExtensionOID.BASIC_CONSTRAINTS).value
    assert not constraints.ca
    assert _extension(leaf, ExtensionOID.SUBJECT_KEY_IDENTIFIER) and _extension(
        leaf, ExtensionOID.AUTHORITY_KEY_IDENTIFIER)


def test_policies_are_the_proxys_own_and_never_the_sites(shown):
    leaf, _ = shown("site.test", extra=[pki.policies(EV, "2.23.140.1.2.2")])
    found = pki.policy_identifiers(leaf)
    assert found and not set(found) & {der.oid(EV), der.oid("2.23.140.1.2.2")}


def test_the_policy_leads_to_the_operators_own_page(proxy, nginx):
    """certificatePolicies has one qualifier, a CPS: where to read who inspects here (CHECKLIST 25)."""
    url = "https://it.site.test/inspection?a=1"
    cert = proxy("--disclosure-url", url).curl(f"https://site.test:{nginx.port}/").cert
    whole = next(one for name, one in pki.raw_extensions(cert) if name == der.oid(pki.POLICIES))
    assert url.encode() in whole and b"overt.internal" not in whole


def test_python_cryptography_reads_every_extension(shown):
    leaf, _ = shown("site.test")
    assert len(leaf.extensions) > 5


def test_nothing_else_of_the_site_is_copied(shown):
    leaf, _ = shown("site.test", extra=[pki.extension("1.3.6.1.5.5.7.1.3", b"\x30\x00"),  # qcStatements
                                        pki.extension("1.3.6.1.4.1.44363.44", b"\x05\x00")])  # delegated credentials
    assert not {e.oid.dotted_string for e in pki.extensions(leaf)} & {"1.3.6.1.5.5.7.1.3", "1.3.6.1.4.1.44363.44"}


def test_serial_numbers_are_long_and_all_different(shared, world, starts):
    seen = set()
    for host in ("site.test", "www.site.test", "other.test", "second.test", "third.test"):
        server = starts(servers.Origin(servers.server_context(*world.files(host))))
        serial = shared.curl(f"https://{host}:{server.port}/").cert.serial_number
        assert serial.bit_length() > 64 and serial > 0 and serial.bit_length() <= 159
        seen.add(serial)
    assert len(seen) == 5


def test_a_changed_upstream_certificate_changes_the_leaf(shared, world, starts):
    serials = []
    for ends in (20, 25):
        server = starts(servers.Origin(servers.server_context(*world.files("site.test", ends=ends))))
        serials.append(shared.curl(f"https://site.test:{server.port}/").cert)
    assert serials[0].serial_number != serials[1].serial_number
    assert serials[0].not_valid_after < serials[1].not_valid_after


def test_the_same_upstream_certificate_gives_the_same_leaf(shared, nginx):
    first = shared.curl(f"https://site.test:{nginx.port}/").cert
    assert all(shared.curl(f"https://site.test:{nginx.port}/").cert == first for _ in range(4))


def test_workers_agree_on_the_leaf(proxy, nginx):
    many = proxy("--workers", "2")
    assert len({many.curl(f"https://site.test:{nginx.port}/").cert.serial_number for _ in range(12)}) == 1


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_the_key_suits_every_client_and_is_not_the_cas(kind, shown, shared):
    leaf, _ = shown("site.test", kind=kind)
    authority = clients.certificates(shared.ca.read_text())[0]
    assert leaf.public_key().public_numbers() != authority.public_key().public_numbers()
    assert isinstance(leaf.public_key(), (ec.EllipticCurvePublicKey, rsa.RSAPublicKey))


def test_a_client_without_ecdsa_gets_an_rsa_leaf(shared, world, starts):
    server = starts(servers.Origin(servers.server_context(*world.files("site.test", kind="rsa2048"))))
    got = shared.curl(f"https://site.test:{server.port}/", "--tls-max", "1.2", "--ciphers",
                      "ECDHE-RSA-AES128-GCM-SHA256")
    assert got.status == 200 and isinstance(got.cert.public_key(), rsa.RSAPublicKey), got.error


def test_the_signature_is_sha_256_or_better(shown):
    leaf, _ = shown("site.test")
    assert leaf.signature_hash_algorithm.name in ("sha256", "sha384", "sha512")


def test_openssl_finds_nothing_wrong_when_strict(shared, nginx, folder):
    got = shared.curl(f"https://site.test:{nginx.port}/")
    path = folder / "leaf.pem"
    path.write_bytes(b"".join(c.public_bytes(pki.serialization.Encoding.PEM) for c in got.certificates))
    done = clients.run("openssl", "verify", "-x509_strict", "-auth_level", "2", "-purpose", "sslserver",
                       "-verify_hostname", "site.test", "-CAfile", shared.ca, "-untrusted", path, path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_gnutls_finds_nothing_wrong(world, starts, nginx):
    reverse = starts(overt.Proxy(trust=world.trust, listen=[f"reverse:site.test:{nginx.port}@127.0.0.1:0"]))
    got = clients.gnutls_cli(reverse.port, "site.test", ca=reverse.ca, say=b"GET / HTTP/1.0\r\n\r\n")
    assert "The certificate is trusted" in got.error, got.error


def test_certificates_of_two_runs_share_no_serial(proxy, nginx):
    serials = {proxy().curl(f"https://site.test:{nginx.port}/").cert.serial_number for _ in range(2)}
    assert len(serials) == 2
