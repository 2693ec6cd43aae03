/*
 * assess/identity.h — certificates made for the purpose, good ones and each with one fault (RFC 5280): what a server shows
 * to clients and proxies that are assessed. Keys live in memory; the root may be kept in a folder, so that what is
 * assessed can be told to trust it beforehand.
 */
#ifndef ASSESS_IDENTITY_H
#define ASSESS_IDENTITY_H

#include "base/bytes.h"
#include "base/error.h"

#include <openssl/x509.h>

enum identity_fault {
	IDENTITY_GOOD,
	IDENTITY_SELF_SIGNED,
	IDENTITY_UNKNOWN_ROOT,
	IDENTITY_MISSING_INTERMEDIATE,
	IDENTITY_EXPIRED,
	IDENTITY_NOT_YET_VALID,
	IDENTITY_DATES_REVERSED,
	IDENTITY_INTERMEDIATE_EXPIRED,
	IDENTITY_SIGNATURE,        /* one bit of it is changed */
	IDENTITY_LEAF_AS_ISSUER,   /* CA:FALSE above the leaf */
	IDENTITY_NO_CONSTRAINTS,   /* no basicConstraints above the leaf */
	IDENTITY_PATH_LENGTH,      /* two intermediates below a pathlen of 0 */
	IDENTITY_NAME_CONSTRAINTS, /* the intermediate may not vouch for the name */
	IDENTITY_NO_CERT_SIGN,     /* an issuer without keyCertSign */
	IDENTITY_PURPOSE,          /* clientAuth alone */
	IDENTITY_PURPOSE_ABOVE,    /* the intermediate is for clientAuth alone */
	IDENTITY_CRITICAL,         /* an unknown critical extension */
	IDENTITY_SHA1,
	IDENTITY_RSA_1024,
	IDENTITY_WRONG_NAME,
	IDENTITY_NO_SAN,           /* the name stands in the CN alone */
	IDENTITY_CN_AGAINST_SAN,   /* CN right, SAN another name */
	IDENTITY_WILDCARD_ALL,     /* "*" */
	IDENTITY_WILDCARD_PARTIAL, /* "l*" and the rest of the name */
	IDENTITY_NUL,              /* the name, a NUL octet, and ".example" */
	IDENTITY_MUST_STAPLE,      /* and no staple is sent */
	IDENTITY_SIGNED_PART,      /* a date is changed behind the signature */
	IDENTITY_V1_ISSUER,        /* the intermediate is of version 1 */
	IDENTITY_NAME_EXCLUDED,    /* the intermediate is barred from the name */
	IDENTITY_MALFORMED,        /* an extension of the leaf cannot be decoded */
	IDENTITY_MD5,
	IDENTITY_SHA1_ABOVE,      /* the intermediate is signed with it */
	IDENTITY_CURVE_ABOVE,     /* the intermediate's key is on a curve of 224 bits */
	IDENTITY_WILDCARD_BARE,   /* "*." and the name, for the name itself */
	IDENTITY_WILDCARD_TLD,    /* "*." and the last label alone */
	IDENTITY_WILDCARD_DEEP,   /* a wildcard for two labels at once */
	IDENTITY_WILDCARD_MIDDLE, /* a wildcard behind the first label */
	IDENTITY_IP_AS_DNS,       /* the address that the maker is for, as a dNSName */
	IDENTITY_WRONG_KEY,       /* the server does not hold the leaf's key */
	IDENTITY_STAPLE_REVOKED,  /* the staple says that it is revoked */
	IDENTITY_STAPLE_EXPIRED,  /* it demands a staple, and that is a month old */
	IDENTITY_STAPLE_SIGNER,   /* it demands a staple, and that is signed by one without OCSPSigning */
	IDENTITY_CLIENT_FAULTS,   /* those above are tried on clients; those below need what only a proxy is given */
	IDENTITY_ROOT_EXPIRED = IDENTITY_CLIENT_FAULTS, /* the root is trusted, and has expired */
	IDENTITY_REVOKED,                               /* the leaf, by the root's CRL and an OCSP responder */
	IDENTITY_REVOKED_ABOVE,                         /* the intermediate, by the root's CRL */
	IDENTITY_FAULTS,
};

/* What a server shows. */
struct identity {
	X509 *leaf;
	EVP_PKEY *key;
	STACK_OF(X509) * above; /* intermediates sent with it */
	uint8_t *status;        /* OCSPResponse, DER: to be stapled, of IDENTITY_REVOKED to be fetched; NULL: none */
	size_t status_len;
};

struct identity_maker;

/*
 * For servers of this name. `folder`: where the root is kept (root.pem, root.key), and made if it is not there; NULL: a new
 * one that is gone afterwards. root.pem has a second root in it, of the same key, that has expired. NULL with err set.
 */
must_check struct identity_maker *identity_maker_new(const char *name, const char *folder, struct error *err);
void identity_maker_free(struct identity_maker *maker);
/* The root, for whoever is to trust it. Theirs stays the maker's. */
must_check X509 *identity_root(const struct identity_maker *maker);

/*
 * The root's CRL, DER, for those who fetch it; in a folder it is kept as root.crl, in PEM, for those who are given files.
 * It has the serial numbers of what IDENTITY_REVOKED and IDENTITY_REVOKED_ABOVE make.
 */
must_check struct bytes identity_crl(const struct identity_maker *maker);
/* Where certificates say that their status is told: http://127.0.0.1:PORT/crl and /ocsp. 0, and before: nowhere. */
void identity_tell_status_at(struct identity_maker *maker, uint16_t port);
/* Whether this fault can be made for the maker's name: some wildcards need a name of several labels. */
must_check bool identity_applies(const struct identity_maker *maker, enum identity_fault fault);
/* A good one whose key is kept in the folder, and so stays the same. */
must_check bool identity_make_kept(
	struct identity_maker *maker, const char *folder, struct identity *out, struct error *err);

/* RSA instead of P-256 where `rsa`, which RSA key exchange needs. Free with identity_free also on false. */
must_check bool identity_make(struct identity_maker *maker, enum identity_fault fault, bool rsa, struct identity *out);
void identity_free(struct identity *identity);

/* "expired", and what is wrong with it in a phrase. */
must_check const char *identity_fault_name(enum identity_fault fault);
must_check const char *identity_fault_text(enum identity_fault fault);
/* Why it matters where it is taken: a sentence. Static text. */
must_check const char *identity_fault_why(enum identity_fault fault);

#endif
