/* assess/identity_parts.h — between the parts that make certificates for tests. */
#ifndef ASSESS_IDENTITY_PARTS_H
#define ASSESS_IDENTITY_PARTS_H

#include "assess/identity.h"

#define IDENTITY_DAY_S     ((long)24 * 60 * 60)
#define IDENTITY_LEAF_DAYS 30L
#define IDENTITY_ROOT_DAYS 365L
#define IDENTITY_NAME_ROOM 300

/* Octets that the serial numbers of what is revoked consist of. */
#define IDENTITY_SERIAL_LEAF  0x4c
#define IDENTITY_SERIAL_ABOVE 0x41

struct identity_maker {
	char name[256];
	bool is_ip;
	X509 *root, *old_root; /* old_root: expired, of the same key; NULL in folders of earlier days */
	EVP_PKEY *root_key;
	uint8_t *crl; /* DER */
	size_t crl_len;
	uint16_t status_port; /* 0: none */
};

/* One certificate. */
struct identity_plan {
	const char *cn, *san; /* SAN as OpenSSL's configuration writes it; NULL: none */
	const char *constraints, *usage, *purpose, *names;
	long from_s, until_s; /* from now */
	const EVP_MD *digest;
	bool critical, nul, must_staple, malformed, v1;
	uint8_t serial;       /* one of those that the CRL has; 0: random */
	uint16_t status_port; /* 0: no pointers */
};

/* Signed by `issuer` with `by`; by itself where `issuer` is NULL. NULL when it cannot be made. */
must_check X509 *identity_certify(const struct identity_plan *plan, EVP_PKEY *key, X509 *issuer, EVP_PKEY *by);
/* A serial number: of 16 octets that are all `fixed`, or random ones where that is 0. */
must_check bool identity_number(ASN1_INTEGER *out, uint8_t fixed);
/* Signs itself. */
must_check X509 *identity_make_root(EVP_PKEY *key, const char *cn, bool expired);
/* Reads the root of the folder, or makes it. */
must_check bool identity_find_root(struct identity_maker *maker, const char *folder, struct error *err);
/* The root's CRL, into the maker, and into the folder where there is one. */
must_check bool identity_make_crl(struct identity_maker *maker, const char *folder, struct error *err);
/* The key in that file, made if it is not there. NULL with err set. */
must_check EVP_PKEY *identity_kept_key(const char *path, struct error *err);
/* Puts the OCSP response of a fault that has one into `out`. */
must_check bool identity_tell_status(enum identity_fault fault, X509 *issuer, EVP_PKEY *by, struct identity *out);

#endif
