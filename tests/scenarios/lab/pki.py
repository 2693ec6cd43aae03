"""Certificates, CRLs and OCSP responses made for one test run, right ones and wrong ones.

A certificate is written in DER by hand (lab/der.py), since no library would write the wrong ones. Keys and signatures
come from python3-cryptography. Every name ends in .test (RFC 6761, 6.2)."""

import base64
import dataclasses
import datetime
import functools
import hashlib
import ipaddress
import pathlib
import secrets
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509 import ocsp

from . import der

HASHES = {"md5": hashes.MD5, "sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384}
RSA_WITH = {"md5": "1.2.840.113549.1.1.4", "sha1": "1.2.840.113549.1.1.5", "sha256": "1.2.840.113549.1.1.11",
            "sha384": "1.2.840.113549.1.1.12"}
ECDSA_WITH = {"sha1": "1.2.840.10045.4.1", "sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3"}
CURVES = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p192": ec.SECP192R1, "k163": ec.SECT163K1}

SERVER_AUTH, CLIENT_AUTH = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"
CODE_SIGNING, OCSP_SIGNING = "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.9"
DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, KEY_CERT_SIGN, CRL_SIGN = 0, 2, 5, 6


# Keys

@functools.lru_cache(maxsize=None)
def _shared_rsa(size, number):
    return rsa.generate_private_key(65537, size)


def new_key(kind="p256", number=0):
    """A key of the kind p256, p384, p192, k163, ed25519 or rsaNNNN. RSA keys of one size and number are one key."""
    if kind.startswith("rsa"):
        return _shared_rsa(int(kind[3:]), number)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(CURVES[kind]())


def spki(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(key):
    return hashlib.sha256(spki(key)).digest()[:20]


def algorithm(key, digest):
    if isinstance(key, rsa.RSAPrivateKey):
        return der.seq(der.oid(RSA_WITH[digest]), der.null())
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return der.seq(der.oid("1.3.101.112"))
    return der.seq(der.oid(ECDSA_WITH[digest]))


def sign(key, digest, message):
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), HASHES[digest]())
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    return key.sign(message, ec.ECDSA(HASHES[digest]()))


# Extensions: each is the DER of one Extension

def extension(dotted, value, critical=False):
    return der.seq(der.oid(dotted), *([der.boolean(True)] if critical else []), der.octets(value))


def general_name(name):
    """A GeneralName: an ipaddress object, ("dir", common name), or else a dNSName taken as it stands."""
    if isinstance(name, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
        return der.context(7, name.packed, constructed=False)
    if isinstance(name, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
        return der.context(7, name.network_address.packed, name.netmask.packed, constructed=False)
    if isinstance(name, tuple):
        return der.context(4, distinguished(name[1]))
    return der.context(2, name.encode("latin-1"), constructed=False)


def alternative_names(names, critical=False):
    return extension("2.5.29.17", der.seq(*(general_name(n) for n in names)), critical)


def basic_constraints(ca, path_length=None):
    parts = [der.boolean(True)] if ca else []
    if path_length is not None:
        parts.append(der.integer(path_length))
    return extension("2.5.29.19", der.seq(*parts), critical=True)


def key_usage(*numbers):
    return extension("2.5.29.15", der.named_bits(*numbers), critical=True)


def extended_key_usage(*usages):
    return extension("2.5.29.37", der.seq(*(der.oid(u) for u in usages)))


def name_constraints(permitted=(), excluded=()):
    def trees(number, names):
        return [der.context(number, *(der.seq(general_name(n)) for n in names))] if names else []
    return extension("2.5.29.30", der.seq(*trees(0, permitted), *trees(1, excluded)), critical=True)


def must_staple():
    return extension("1.3.6.1.5.5.7.1.24", der.seq(der.integer(5)))


def unknown_critical():
    return extension("1.3.6.1.4.1.99999.1", der.utf8("unknown to everyone"), critical=True)


def policies(*dotted):
    return extension("2.5.29.32", der.seq(*(der.seq(der.oid(d)) for d in dotted)))


def distinguished(common_name):
    if common_name is None:
        return der.seq()
    return der.seq(der.set_of(der.seq(der.oid("2.5.4.3"), der.utf8(common_name))))


# Certificates

@dataclasses.dataclass
class Identity:
    """A certificate, its key, and who issued it (None: itself)."""
    der: bytes
    key: object
    subject: str
    issuer: "Identity | None"
    serial: int

    @property
    def cert(self):
        return x509.load_der_x509_certificate(self.der)

    @property
    def pem(self):
        return pem("CERTIFICATE", self.der)

    @property
    def key_pem(self):
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption()).decode()

    def chain(self):
        """The certificates that a server presents: this one and those above it, the self-signed root left out."""
        found, at = [self], self.issuer
        while at is not None and at.issuer is not None:
            found.append(at)
            at = at.issuer
        return found


def pem(label, body):
    text = base64.encodebytes(body).decode().replace("\n", "")
    lines = [text[i:i + 64] for i in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def days(number):
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=number)


def certificate(subject, key, issuer=None, *, extensions, starts=-30, ends=60, digest="sha256", version=3,
                issuer_name=None):
    """A certificate for `key` signed by `issuer` (None: self-signed). `starts` and `ends` are in days from now."""
    serial = secrets.randbits(127) | 1 << 126
    signer = issuer.key if issuer else key
    above = issuer_name or (issuer.subject if issuer else subject)
    signed_with = algorithm(signer, digest)
    body = der.seq(
        *([der.context(0, der.integer(version - 1))] if version > 1 else []), der.integer(serial), signed_with,
        distinguished(above), der.seq(der.time(days(starts)), der.time(days(ends))), distinguished(subject),
        spki(key), *([der.context(3, der.seq(*extensions))] if version == 3 and extensions else []))
    whole = der.seq(body, signed_with, der.bits(sign(signer, digest, body)))
    return Identity(whole, key, subject, issuer, serial)


def key_identifiers(key, issuer):
    found = [extension("2.5.29.14", der.octets(key_id(key)))]
    if issuer:
        found.append(extension("2.5.29.35", der.seq(der.context(0, key_id(issuer.key), constructed=False))))
    return found


def authority(subject, issuer=None, *, kind="p256", number=0, constraints=True, path_length=None,
              usage=(KEY_CERT_SIGN, CRL_SIGN), usages=(), extra=(), **rest):
    """A CA. `constraints`: True, False (CA:FALSE), None (no basicConstraints), or the DER of an Extension."""
    key = rest.pop("key", None) or new_key(kind, number)
    extensions = key_identifiers(key, issuer)
    if isinstance(constraints, bytes):
        extensions.append(constraints)
    elif constraints is not None:
        extensions.append(basic_constraints(constraints, path_length))
    if usage:
        extensions.append(key_usage(*usage))
    if usages:
        extensions.append(extended_key_usage(*usages))
    return certificate(subject, key, issuer, extensions=[*extensions, *extra],
                       **{"starts": -60, "ends": 365, **rest})


def leaf(issuer, *names, subject="", kind="p256", number=0, usage=(DIGITAL_SIGNATURE,), usages=(SERVER_AUTH,), extra=(),
         constraints=False, **rest):
    """A leaf for `names` (none: no subjectAltName). `subject` "" means the first name, None an empty subject."""
    key = rest.pop("key", None) or new_key(kind, number)
    if subject == "":
        subject = str(names[0])[:64] if names else "leaf"
    extensions = [*key_identifiers(key, issuer), basic_constraints(constraints)]
    if kind.startswith("rsa") and usage == (DIGITAL_SIGNATURE,):
        usage = (DIGITAL_SIGNATURE, KEY_ENCIPHERMENT)
    if usage:
        extensions.append(key_usage(*usage))
    if usages:
        extensions.append(extended_key_usage(*usages))
    if names:
        extensions.append(alternative_names(names, critical=subject is None))
    return certificate(subject, key, issuer, extensions=[*extensions, *extra], **rest)


def broken_signature(identity):
    """The same certificate with the last octet of its signature changed."""
    return dataclasses.replace(identity, der=identity.der[:-1] + bytes([identity.der[-1] ^ 1]))


def broken_body(identity, old, new):
    """The same certificate with `old` replaced by `new`, of the same length, in what is signed."""
    assert len(old) == len(new) and identity.der.count(old)
    return dataclasses.replace(identity, der=identity.der.replace(old, new))


def malformed(dotted, body=b"\xff\xff\xff", critical=False):
    """An extension whose value is no DER at all."""
    return extension(dotted, body, critical)


# Reading what others made

POLICIES = "2.5.29.32"


def raw_extensions(cert):
    """The extensions of a certificate as (OID in DER, whole Extension in DER), in order."""
    body = der.split(der.content(cert.tbs_certificate_bytes))
    block = next((part for part in body if part[0] == 0xA3), None)
    whole = der.split(der.content(der.split(der.content(block))[0])) if block else []
    return [(der.split(der.content(one))[0], one) for one in whole]


def extensions(cert):
    """x509.Extensions without certificatePolicies: python-cryptography up to 38 reads none at all of a certificate that
    has a policy identifier with an arc above 32 bits, as those below 2.25 have."""
    body = der.split(der.content(cert.tbs_certificate_bytes))
    kept = [one for name, one in raw_extensions(cert) if name != der.oid(POLICIES)]
    body = [part for part in body if part[0] != 0xA3] + [der.context(3, der.seq(*kept))]
    outer = der.split(der.content(cert.public_bytes(serialization.Encoding.DER)))
    return x509.load_der_x509_certificate(der.seq(der.seq(*body), *outer[1:])).extensions


def policy_identifiers(cert):
    """The OIDs in certificatePolicies, each in DER."""
    value = next((one for name, one in raw_extensions(cert) if name == der.oid(POLICIES)), None)
    if value is None:
        return []
    policies = der.content(der.content(der.split(der.content(value))[-1]))
    return [der.split(der.content(one))[0] for one in der.split(policies)]


# Revocation

def crl(issuer, *revoked, ends=7, signer=None):
    """The PEM of a CRL in the name of `issuer` that lists `revoked`; signed by `signer`, or else the issuer."""
    builder = (x509.CertificateRevocationListBuilder().issuer_name(issuer.cert.subject).last_update(_naive(-1))
               .next_update(_naive(ends)).add_extension(x509.CRLNumber(1), False)
               .add_extension(x509.AuthorityKeyIdentifier(key_id(issuer.key), None, None), False))
    for identity in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(identity.serial).revocation_date(_naive(-1)).build()
        builder = builder.add_revoked_certificate(entry)
    signed = builder.sign((signer or issuer).key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def ocsp_response(identity, *, status="good", signer=None, about=None, starts=-1, ends=3):
    """The DER of an OCSP response about `about` (else `identity`), signed by `signer` (else by the issuer)."""
    issuer, subject = identity.issuer, about or identity
    signer = signer or issuer
    state = {"good": ocsp.OCSPCertStatus.GOOD, "revoked": ocsp.OCSPCertStatus.REVOKED,
             "unknown": ocsp.OCSPCertStatus.UNKNOWN}[status]
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=subject.cert, issuer=issuer.cert, algorithm=hashes.SHA1(), cert_status=state, this_update=_naive(starts),
        next_update=_naive(ends), revocation_time=_naive(-1) if status == "revoked" else None,
        revocation_reason=None).responder_id(ocsp.OCSPResponderEncoding.HASH, signer.cert)
    if signer is not issuer:
        builder = builder.certificates([signer.cert])
    return builder.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _naive(offset):
    return days(offset).replace(tzinfo=None)


# Files

class Folder:
    """A folder for key material of a test; files get mode 0600."""

    def __init__(self, path=None):
        self.path = pathlib.Path(path or tempfile.mkdtemp(prefix="overt-pki-"))

    def write(self, name, body):
        path = self.path / name
        path.touch(mode=0o600)
        path.write_bytes(body if isinstance(body, bytes) else body.encode())
        return path

    def install(self, name, identity, above=None):
        """Writes chain and key in PEM; `above` replaces the certificates after the first. Returns both paths."""
        rest = identity.chain()[1:] if above is None else above
        return (self.write(f"{name}.crt", "".join(i.pem for i in [identity, *rest])),
                self.write(f"{name}.key", identity.key_pem))


class World:
    """The good PKI of a run: one root, one intermediate, and a leaf for any name when asked."""

    def __init__(self, folder):
        self.folder = folder
        self.root = authority("Lab Root")
        self.intermediate = authority("Lab Intermediate", self.root, path_length=0)
        self.trust = folder.write("root.pem", self.root.pem)
        self._leaves = {}

    def leaf(self, *names, **knobs):
        """An Identity for `names`, the same one each time it is asked for without knobs."""
        if knobs:
            return leaf(self.intermediate, *names, **knobs)
        return self._leaves.setdefault(names, leaf(self.intermediate, *names))

    def files(self, *names, **knobs):
        """(chain path, key path) of a leaf for `names`."""
        identity = self.leaf(*names, **knobs)
        return self.folder.install(f"leaf-{identity.serial:x}", identity)
