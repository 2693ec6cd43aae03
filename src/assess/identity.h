/*
 * assess/identity.h — certificates made for the purpose, good ones and each with one fault (RFC 5280): what a server shows
 * to clients and proxies that are assessed. Keys live in memory; the root may be kept in a folder, so that what is
 * assessed can be told to trust it beforehand.
 */
#ifndef ASSESS_IDENTITY_H
#define ASSESS_IDENTITY_H

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
	IDENTITY_FAULTS,
};

/* What a server shows. */
struct identity {
	X509 *leaf;
	EVP_PKEY *key;
	STACK_OF(X509) * above; /* intermediates sent with it */
};

struct identity_maker;

/*
 * For servers of this name. `folder`: where the root is kept (root.pem, root.key), and made if it is not there; NULL: a new
 * one that is gone afterwards. NULL with err set.
 */
must_check struct identity_maker *identity_maker_new(const char *name, const char *folder, struct error *err);
void identity_maker_free(struct identity_maker *maker);
/* The root, for whoever is to trust it. Theirs stays the maker's. */
must_check X509 *identity_root(const struct identity_maker *maker);

/* RSA instead of P-256 where `rsa`, which RSA key exchange needs. Free with identity_free also on false. */
must_check bool identity_make(struct identity_maker *maker, enum identity_fault fault, bool rsa, struct identity *out);
void identity_free(struct identity *identity);

/* "expired", and what is wrong with it in a phrase. */
must_check const char *identity_fault_name(enum identity_fault fault);
must_check const char *identity_fault_text(enum identity_fault fault);

#endif
