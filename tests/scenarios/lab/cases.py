"""Upstream certificates that a proxy must refuse (CHECKLIST 1 to 12 are the families), each beside one that it must
accept. A case makes its own chain, so that no two share a fault. `openssl` is what `openssl verify -x509_strict` says
of it; None where OpenSSL does not look, and a client has to ask for more."""

import dataclasses
import ipaddress
import re
import ssl

from . import der, pki, servers
from .pki import Identity, authority, leaf

TLS12, TLS13 = "1.2", "1.3"


@dataclasses.dataclass
class Made:
    """What a server presents and what the proxy trusts."""
    identity: Identity
    above: list = None      # certificates after the leaf; None: those of its issuers
    roots: list = dataclasses.field(default_factory=list)
    crls: list = dataclasses.field(default_factory=list)  # PEM
    staple: bytes = None
    version: str = TLS13
    name: str = None        # to ask for; None: the case's host


@dataclasses.dataclass
class Case:
    name: str
    family: int
    faults: str             # stable names of the fault as the proxy says it, one or several with "|" between
    openssl: str            # regular expression: how openssl verify says it, or None
    make: object            # (world, host) -> Made
    good: bool = False

    def __str__(self):
        return f"{self.family}-{self.name}"


ALL = []


def bad(family, faults, openssl):
    def register(make):
        ALL.append(Case(make.__name__, family, faults, openssl, make))
        return make
    return register


def good(family):
    def register(make):
        ALL.append(Case(make.__name__, family, "", "", make, good=True))
        return make
    return register


def _named(issuer, subject="CA", **knobs):
    return authority(f"{subject} {pki.secrets.token_hex(4)}", issuer, **knobs)


def _chain(host, *, root=None, middle=None, end=None):
    """A leaf below an intermediate below a root of its own, with knobs for each."""
    top = _named(None, "Root", **(root or {}))
    between = _named(top, "Intermediate", **(middle or {}))
    return top, between, leaf(between, host, **(end or {}))


def _own(host, **knobs):
    top, _, end = _chain(host, **knobs)
    return Made(end, roots=[top])


# 1: trust

@good(1)
def a_chain_with_its_intermediate(world, host):
    return Made(world.leaf(host))


@bad(1, "self-signed", "self.?signed")
def self_signed(world, host):
    return Made(pki.leaf(None, host))


@bad(1, "unknown-root|missing-intermediate", "unable to get (local )?issuer")
def unknown_root(world, host):
    return Made(_chain(host)[2])


@bad(1, "unknown-root|self-signed", "self.?signed|unknown.?(root|issuer|ca)|untrusted")
def unknown_root_sent_along(world, host):
    top, between, end = _chain(host)
    return Made(end, above=[between, top])


@bad(1, "missing-intermediate", "missing|incomplete|unable to get|unknown.?issuer")
def missing_intermediate(world, host):
    return Made(world.leaf(host), above=[])


@bad(1, "unknown-root|bad-signature|issuer-mismatch|missing-intermediate", "signature|self.?signed|unable to get")
def a_root_that_has_only_the_name_of_a_trusted_one(world, host):
    impostor = authority(world.root.subject)
    between = _named(impostor, "Intermediate")
    return Made(leaf(between, host))


# 2: dates

@good(2)
def dates_that_hold(world, host):
    return Made(world.leaf(host, starts=-1, ends=1))


@bad(2, "expired", "expired")
def leaf_expired(world, host):
    return Made(world.leaf(host, starts=-60, ends=-1))


@bad(2, "not-yet-valid", "not yet valid|not.yet.valid|early")
def leaf_not_yet_valid(world, host):
    return Made(world.leaf(host, starts=2, ends=60))


@bad(2, "dates-reversed", "expired|not.yet.valid|date|validity")
def leaf_with_reversed_dates(world, host):
    return Made(world.leaf(host, starts=5, ends=-5))


@bad(2, "expired", "expired")
def intermediate_expired(world, host):
    return _own(host, middle={"starts": -60, "ends": -1})


@bad(2, "not-yet-valid", "not.yet.valid")
def intermediate_not_yet_valid(world, host):
    return _own(host, middle={"starts": 2, "ends": 60})


@bad(2, "expired", "expired")
def root_expired(world, host):
    return _own(host, root={"starts": -60, "ends": -1})


@bad(2, "not-yet-valid", "not.yet.valid")
def root_not_yet_valid(world, host):
    return _own(host, root={"starts": 2, "ends": 60})


# 3: what was signed

@bad(3, "bad-signature", "signature")
def leaf_with_a_changed_signature(world, host):
    return Made(pki.broken_signature(world.leaf(host, subject="signature")))


@bad(3, "bad-signature", "signature")
def leaf_whose_body_was_changed(world, host):
    first, rest = host[0], host[1:]
    other = world.leaf("x" + rest, subject="Body")
    return Made(pki.broken_body(other, ("x" + rest).encode(), (first + rest).encode()))


@bad(3, "bad-signature", "signature")
def intermediate_with_a_changed_signature(world, host):
    top, between, end = _chain(host)
    return Made(end, above=[pki.broken_signature(between)], roots=[top])


# 4: who may issue

@good(4)
def an_intermediate_that_is_a_ca(world, host):
    return _own(host)


@bad(4, "not-a-ca", r"\bCA\b|basic.?constraints|issuer")
def intermediate_that_says_it_is_no_ca(world, host):
    return _own(host, middle={"constraints": False})


@bad(4, "not-a-ca", r"\bCA\b|basic.?constraints|issuer")
def intermediate_without_basic_constraints(world, host):
    return _own(host, middle={"constraints": None})


@bad(4, "v1-issuer|not-a-ca", r"\bCA\b|basic.?constraints|version|issuer")
def intermediate_of_version_1(world, host):
    return _own(host, middle={"version": 1})


@bad(4, "not-a-ca", r"\bCA\b|basic.?constraints|issuer|sign|usage")
def another_sites_leaf_as_issuer(world, host):
    site = world.leaf("other.test", starts=-29)
    return Made(leaf(site, host))


# 5: limits of a CA

@good(5)
def a_path_within_its_length(world, host):
    top = _named(None, "Root", path_length=2)
    return Made(leaf(_named(_named(top, path_length=1), path_length=0), host), roots=[top])


@good(5)
def names_within_their_constraints(world, host):
    limit = pki.name_constraints(permitted=[host], excluded=["evil.test"])
    return _own(host, middle={"extra": [limit]})


@bad(5, "path-length", "path.?len")
def path_longer_than_the_intermediate_allows(world, host):
    top = _named(None, "Root")
    return Made(leaf(_named(_named(top, path_length=0)), host), roots=[top])


@bad(5, "path-length", "path.?len")
def path_longer_than_the_root_allows(world, host):
    top = _named(None, "Root", path_length=0)
    return Made(leaf(_named(top), host), roots=[top])


@bad(5, "name-constraints", "permitted|name.?constraint")
def name_outside_the_permitted_ones(world, host):
    return _own(host, middle={"extra": [pki.name_constraints(permitted=["elsewhere.test"])]})


@bad(5, "name-constraints", "excluded|name.?constraint")
def name_among_the_excluded_ones(world, host):
    return _own(host, middle={"extra": [pki.name_constraints(excluded=[host])]})


@bad(5, "name-constraints", "permitted|name.?constraint")
def address_outside_the_permitted_ones(world, host):
    limit = pki.name_constraints(permitted=[ipaddress.ip_network("10.0.0.0/8")])
    top = _named(None, "Root")
    between = _named(top, "Intermediate", extra=[limit])
    return Made(leaf(between, host, ipaddress.ip_address("127.0.0.1")), roots=[top])


@bad(5, "name-constraints|no-san", "permitted|name.?constraint|name|subject.?alt")
def common_name_outside_the_permitted_ones(world, host):
    top = _named(None, "Root")
    between = _named(top, "Intermediate", extra=[pki.name_constraints(permitted=["elsewhere.test"])])
    return Made(leaf(between, subject=host), roots=[top])


@bad(5, "name-constraints", "permitted|excluded|name.?constraint")
def directory_name_among_the_excluded_ones(world, host):
    limit = pki.name_constraints(excluded=[("dir", host)])
    return _own(host, middle={"extra": [limit]})


# 6: key usage

@bad(6, "key-usage|not-a-ca", "CA|sign|usage|issuer")
def intermediate_that_may_not_sign_certificates(world, host):
    return _own(host, middle={"usage": (pki.CRL_SIGN, pki.DIGITAL_SIGNATURE)})


@bad(6, "crl-signer", "CRL|revocation")
def crl_signed_by_a_ca_that_may_not_sign_crls(world, host):
    top, between, end = _chain(host, middle={"usage": (pki.KEY_CERT_SIGN,)})
    return Made(end, roots=[top], crls=[pki.crl(top), pki.crl(between)])


@bad(6, "staple-signer", None)
def ocsp_signed_by_one_without_the_right(world, host):
    top, between, end = _chain(host, end={"extra": [pki.must_staple()]})
    clerk = leaf(between, subject="Clerk", usages=(pki.SERVER_AUTH,))
    return Made(end, roots=[top], staple=pki.ocsp_response(end, signer=clerk))


@bad(6, "key-usage|purpose", "usage|digital|purpose|unsuitable")
def leaf_that_may_not_make_signatures(world, host):
    return _own(host, end={"usage": (pki.CRL_SIGN,)})


# 7: extended key usage

@good(7)
def extended_key_usage_all_the_way(world, host):
    return _own(host, middle={"usages": (pki.SERVER_AUTH, pki.CLIENT_AUTH)})


@bad(7, "purpose", "purpose|usage")
def leaf_for_clients_only(world, host):
    return _own(host, end={"usages": (pki.CLIENT_AUTH,)})


@bad(7, "purpose", "purpose|usage")
def leaf_for_code_signing(world, host):
    return _own(host, end={"usages": (pki.CODE_SIGNING,)})


@bad(7, "purpose", r"purpose|usage|\bCA\b")
def intermediate_for_clients_only(world, host):
    return _own(host, middle={"usages": (pki.CLIENT_AUTH,)})


# 8: extensions

@bad(8, "critical-extension", "critical")
def unknown_critical_extension_in_the_leaf(world, host):
    return _own(host, end={"extra": [pki.unknown_critical()]})


@bad(8, "critical-extension", "critical")
def unknown_critical_extension_in_the_intermediate(world, host):
    return _own(host, middle={"extra": [pki.unknown_critical()]})


@bad(8, "malformed", r"\bCA\b|basic.?constraints|malformed|invalid|extension|issuer")
def malformed_basic_constraints_in_the_intermediate(world, host):
    return _own(host, middle={"constraints": pki.malformed("2.5.29.19", critical=True)})


# OpenSSL does not load a leaf with a malformed extension into a server, so these faults stand in the intermediate.

@bad(8, "malformed", r"malformed|invalid|extension|name|\bCA\b|issuer")
def malformed_subject_alternative_name_in_the_intermediate(world, host):
    return _own(host, middle={"extra": [pki.malformed("2.5.29.17")]})


@bad(8, "malformed|name-constraints", "malformed|invalid|extension|constraint|unsupported|issuer")
def malformed_name_constraints(world, host):
    return _own(host, middle={"extra": [pki.malformed("2.5.29.30", critical=True)]})


@bad(8, "malformed", r"malformed|invalid|extension|usage|purpose|\bCA\b|issuer")
def malformed_key_usage_in_the_intermediate(world, host):
    return _own(host, middle={"usage": (), "extra": [pki.malformed("2.5.29.15", critical=True)]})


@bad(8, "malformed", r"malformed|invalid|extension|duplicate|twice|\bCA\b|issuer")
def the_same_extension_twice_in_the_intermediate(world, host):
    return _own(host, middle={"extra": [pki.key_usage(pki.KEY_CERT_SIGN)]})


@bad(8, "malformed|no-san|strict", "malformed|invalid|extension|empty|name|mismatch")
def empty_subject_alternative_name(world, host):
    top, between, _ = _chain(host)
    empty = pki.extension("2.5.29.17", der.seq())
    return Made(leaf(between, subject=host, extra=[empty]), roots=[top])


# 9: strength

@good(9)
def rsa_of_2048_bits(world, host):
    return _own(host, root={"kind": "rsa2048"}, middle={"kind": "rsa2048", "number": 1},
                end={"kind": "rsa2048", "number": 2})


@good(9)
def p384_and_sha384(world, host):
    return _own(host, root={"kind": "p384"}, middle={"kind": "p384", "digest": "sha384"}, end={"digest": "sha384"})


@bad(9, "weak-signature", "weak|digest|MD5|md.?too")
def leaf_signed_with_md5(world, host):
    return _own(host, root={"kind": "rsa2048"}, middle={"kind": "rsa2048", "number": 1}, end={"digest": "md5"})


@bad(9, "weak-signature", "weak|digest|SHA.?1|md.?too")
def leaf_signed_with_sha1(world, host):
    return _own(host, end={"digest": "sha1"})


@bad(9, "weak-signature", "weak|digest|SHA.?1|md.?too")
def intermediate_signed_with_sha1(world, host):
    return _own(host, middle={"digest": "sha1"})


@bad(9, "weak-signature", "weak|digest|MD5|md.?too")
def intermediate_signed_with_md5(world, host):
    return _own(host, root={"kind": "rsa2048"}, middle={"digest": "md5"})


@bad(9, "weak-key", "weak|key.?too|key is too|small|1024")
def leaf_with_rsa_of_1024_bits(world, host):
    return _own(host, end={"kind": "rsa1024"})


@bad(9, "weak-key", "weak|key.?too|key is too|small|1024")
def intermediate_with_rsa_of_1024_bits(world, host):
    return _own(host, middle={"kind": "rsa1024"})


@bad(9, "weak-key", "weak|key.?too|key is too|small|1024")
def root_with_rsa_of_1024_bits(world, host):
    return _own(host, root={"kind": "rsa1024"})


@bad(9, "weak-key", "weak|key.?too|key is too|small|curve")
def intermediate_on_a_192_bit_curve(world, host):
    return _own(host, middle={"kind": "p192"})


@bad(9, "weak-key", "weak|key.?too|key is too|small|curve")
def intermediate_on_a_binary_163_bit_curve(world, host):
    return _own(host, middle={"kind": "k163"})


# 10: names

@good(10)
def a_wildcard_for_one_label(world, host):
    return _named_leaf(world, f"*.{host}", ask=f"a.{host}")


@good(10)
def an_address_as_address(world, host):
    return _named_leaf(world, ipaddress.ip_address("127.0.0.1"), ask="127.0.0.1")


@good(10)
def a_name_in_other_case(world, host):
    return _named_leaf(world, host.upper())


@good(10)
def no_common_name_at_all(world, host):
    return Made(world.leaf(host, subject=None))


def _named_leaf(world, *names, ask=None, subject="Name Case"):
    return Made(world.leaf(*names, subject=subject), name=ask)


NAME = "host.?name|name.?mismatch|mismatch|wrong.?(host|name)|wrong-name|does not match|subject.?alt|not for|IP address"


@bad(10, "wrong-name", NAME)
def wrong_name(world, host):
    return _named_leaf(world, "elsewhere.test")


@bad(10, "no-san", None)
def common_name_without_subject_alternative_name(world, host):
    return Made(world.leaf(subject=host))


@bad(10, "wrong-name", NAME)
def common_name_right_and_subject_alternative_name_wrong(world, host):
    return _named_leaf(world, "elsewhere.test", subject=host)


@bad(10, "wrong-name|name-malformed", NAME)
def a_lone_wildcard(world, host):
    return _named_leaf(world, "*")


@bad(10, "wrong-name|name-malformed", NAME)
def a_wildcard_for_a_top_level_domain(world, host):
    return _named_leaf(world, "*.test")


@bad(10, "wrong-name|name-malformed", NAME)
def a_wildcard_in_the_middle(world, host):
    return _named_leaf(world, f"a.*.{host}", ask=f"a.b.{host}")


@bad(10, "wrong-name|name-malformed", NAME)
def a_wildcard_for_two_labels(world, host):
    return _named_leaf(world, f"*.{host}", ask=f"a.b.{host}")


@bad(10, "wrong-name|name-malformed", NAME)
def a_wildcard_for_the_bare_domain(world, host):
    return _named_leaf(world, f"*.{host}")


@bad(10, "wrong-name|name-malformed", None)
def a_wildcard_for_a_part_of_a_label(world, host):
    return _named_leaf(world, f"f*.{host}", ask=f"foo.{host}")


@bad(10, "wrong-name|name-malformed", NAME)
def two_wildcards(world, host):
    return _named_leaf(world, f"*.*.{host}", ask=f"a.b.{host}")


@bad(10, "wrong-name|name-malformed", NAME)
def a_name_beginning_with_a_dot(world, host):
    return _named_leaf(world, f".{host}", ask=f"a.{host}")


@bad(10, "name-malformed|wrong-name|malformed", NAME + "|malformed|invalid")
def a_nul_octet_after_the_right_name(world, host):
    return _named_leaf(world, f"{host}\0.evil.test")


@bad(10, "no-san|name-malformed", NAME + "|malformed|invalid")
def a_nul_octet_in_the_common_name(world, host):
    return Made(world.leaf(subject=f"{host}\0.evil.test"))


@bad(10, "wrong-name|name-malformed|no-san", NAME)
def an_address_as_dns_name(world, host):
    return _named_leaf(world, "127.0.0.1", ask="127.0.0.1", subject="127.0.0.1")


@bad(10, "wrong-name", NAME)
def another_address(world, host):
    return _named_leaf(world, ipaddress.ip_address("127.0.0.2"), ask="127.0.0.1")


@bad(10, "wrong-name|name-malformed", NAME)
def a_name_with_a_space_at_its_end(world, host):
    return _named_leaf(world, f"{host} ")


# 11: revocation

@good(11)
def not_on_the_crl(world, host):
    top, between, end = _chain(host)
    other = leaf(between, "elsewhere.test")
    return Made(end, roots=[top], crls=[pki.crl(top), pki.crl(between, other)])


@good(11)
def a_staple_that_says_good(world, host):
    top, _, end = _chain(host, end={"extra": [pki.must_staple()]})
    return Made(end, roots=[top], staple=pki.ocsp_response(end))


@good(11)
def a_staple_by_a_responder_with_the_right(world, host):
    top, between, end = _chain(host, end={"extra": [pki.must_staple()]})
    clerk = leaf(between, subject="Clerk", usages=(pki.OCSP_SIGNING,))
    return Made(end, roots=[top], staple=pki.ocsp_response(end, signer=clerk))


@bad(11, "revoked", "revoked")
def leaf_revoked_by_crl(world, host):
    top, between, end = _chain(host)
    return Made(end, roots=[top], crls=[pki.crl(top), pki.crl(between, end)])


@bad(11, "revoked", "revoked")
def intermediate_revoked_by_crl(world, host):
    top, between, end = _chain(host)
    return Made(end, roots=[top], crls=[pki.crl(top, between), pki.crl(between)])


@bad(11, "crl-bad-signature|crl-signer", "CRL|signature|revocation")
def crl_signed_by_someone_else(world, host):
    top, between, end = _chain(host)
    return Made(end, roots=[top], crls=[pki.crl(top), pki.crl(between, signer=_named(None))])


@bad(11, "revoked", None)
def leaf_revoked_by_staple(world, host):
    top, _, end = _chain(host)
    return Made(end, roots=[top], staple=pki.ocsp_response(end, status="revoked"))


@bad(11, "staple-missing", None)
def must_staple_without_a_staple(world, host):
    return _own(host, end={"extra": [pki.must_staple()]})


@bad(11, "staple-expired", None)
def must_staple_with_an_old_staple(world, host):
    top, _, end = _chain(host, end={"extra": [pki.must_staple()]})
    return Made(end, roots=[top], staple=pki.ocsp_response(end, starts=-9, ends=-2))


@bad(11, "staple-expired", None)
def must_staple_with_a_staple_of_tomorrow(world, host):
    top, _, end = _chain(host, end={"extra": [pki.must_staple()]})
    return Made(end, roots=[top], staple=pki.ocsp_response(end, starts=2, ends=5))


@bad(11, "staple-unknown|staple-missing|status-unknown|staple-malformed", None)
def must_staple_with_the_staple_of_another_certificate(world, host):
    top, between, end = _chain(host, end={"extra": [pki.must_staple()]})
    return Made(end, roots=[top], staple=pki.ocsp_response(end, about=leaf(between, "elsewhere.test")))


@bad(11, "staple-unknown", None)
def must_staple_with_a_staple_that_says_unknown(world, host):
    top, _, end = _chain(host, end={"extra": [pki.must_staple()]})
    return Made(end, roots=[top], staple=pki.ocsp_response(end, status="unknown"))


@bad(11, "staple-bad-signature", None)
def must_staple_with_a_changed_staple(world, host):
    top, _, end = _chain(host, end={"extra": [pki.must_staple()]})
    staple = pki.ocsp_response(end)
    return Made(end, roots=[top], staple=staple[:-1] + bytes([staple[-1] ^ 1]))


@bad(11, "staple-signer|staple-bad-signature", None)
def must_staple_with_a_staple_of_a_foreign_ca(world, host):
    top, _, end = _chain(host, end={"extra": [pki.must_staple()]})
    return Made(end, roots=[top], staple=pki.ocsp_response(end, signer=_named(None, "Foreign")))


@bad(11, "staple-missing", None)
def must_staple_over_tls_1_2_without_a_staple(world, host):
    return dataclasses.replace(_own(host, end={"extra": [pki.must_staple()]}), version=TLS12)


# Over TLS 1.2 as well: the commonest faults

@good(1)
def a_chain_over_tls_1_2(world, host):
    return Made(world.leaf(host, starts=-3), version=TLS12)


@bad(2, "expired", "expired")
def leaf_expired_over_tls_1_2(world, host):
    return Made(world.leaf(host, starts=-50, ends=-2), version=TLS12)


@bad(10, "wrong-name", NAME)
def wrong_name_over_tls_1_2(world, host):
    return Made(world.leaf("elsewhere.test", starts=-4), version=TLS12)


@bad(1, "self-signed", "self.?signed")
def self_signed_over_tls_1_2(world, host):
    return Made(pki.leaf(None, host, starts=-5), version=TLS12)


@dataclasses.dataclass
class Prepared:
    """A case with its files written."""
    case: Case
    made: Made
    host: str
    chain: object
    key: object
    staple: object

    @property
    def name(self):
        return self.made.name or self.host


def prepare(world, case, host):
    made = case.make(world, host)
    label = re.sub(r"\W", "-", str(case))
    chain, key = world.folder.install(label, made.identity, made.above)
    staple = world.folder.write(f"{label}.ocsp", made.staple) if made.staple else None
    return Prepared(case, made, host, chain, key, staple)


def serve(prepared):
    """A server that presents the case: scripted, or nginx where there is a staple, which Python cannot send."""
    version = ssl.TLSVersion.TLSv1_2 if prepared.made.version == TLS12 else ssl.TLSVersion.TLSv1_3
    if prepared.staple:
        return servers.Nginx(prepared.chain, prepared.key,
                             more=f"ssl_stapling on; ssl_stapling_file {prepared.staple};")
    return servers.Origin(servers.server_context(prepared.chain, prepared.key, least=ssl.TLSVersion.TLSv1_2,
                                                 most=version))


def received(server):
    """What of requests reached the server, once nothing more can come."""
    if isinstance(server, servers.Nginx):
        server.process.stop()
        return "\n".join(server.requests()).encode()
    server.wait_quiet()
    return server.received()


def host_of(number):
    return f"case-{number:03}.test"
