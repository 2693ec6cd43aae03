/* tests/unit/pki/forge.h — certificates, CRLs and OCSP responses made to order, good and bad. Failing ends the test. */
#ifndef TESTS_PKI_FORGE_H
#define TESTS_PKI_FORGE_H

#include "base/bytes.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#define FORGE_NOW        INT64_C(1800000000) /* 2027-01-15: the present of these tests */
#define FORGE_DAY        INT64_C(86400)
#define FORGE_EXTENSIONS 12

enum forge_key {
	FORGE_P256,
	FORGE_P384,
	FORGE_P224,
	FORGE_SECP160,  /* 80 bits of security */
	FORGE_EXPLICIT, /* P-256 with its parameters spelt out */
	FORGE_RSA1024,
	FORGE_RSA2048,
	FORGE_ED25519,
};

struct forged {
	X509 *cert;
	EVP_PKEY *key;
};

struct forge_spec {
	const char *cn;
	const struct forged *issuer; /* NULL: itself */
	enum forge_key key;
	EVP_PKEY *own_key;  /* instead of a new one */
	const char *digest; /* NULL: SHA256 */
	long version;       /* X509_VERSION_…; 0 stands for version 3, -1 for version 1 */
	int64_t from_s, until_s;
	struct {
		const char *name, *value; /* as in openssl.cnf */
	} extension[FORGE_EXTENSIONS];
};

struct forge_spec forge_root_spec(const char *cn);
struct forge_spec forge_intermediate_spec(const char *cn, const struct forged *issuer);
/* `san` as in openssl.cnf: "DNS:example.com,IP:192.0.2.1"; NULL: none. */
struct forge_spec forge_leaf_spec(const char *cn, const char *san, const struct forged *issuer);
/* Replaces or adds; a NULL value removes. */
void forge_extension(struct forge_spec *spec, const char *name, const char *value);

struct forged forge(const struct forge_spec *spec);
struct forged forge_root(const char *cn);
struct forged forge_intermediate(const char *cn, const struct forged *issuer);
struct forged forge_leaf(const char *host, const struct forged *issuer); /* CN and SAN are the host */
void forged_free(struct forged *forged);

EVP_PKEY *forge_key(enum forge_key kind);
/* The same certificate with one bit of `part` (a text in it) turned; NULL: of its signature. */
X509 *forge_tampered(X509 *cert, const char *part);

/* Revokes `revoked` when not NULL. Signed by `signer`, in the name of `issuer`. */
X509_CRL *forge_crl(
	const struct forged *issuer, EVP_PKEY *signer, const X509 *revoked, int64_t from_s, int64_t until_s);

struct forge_staple {
	const X509 *leaf;
	const X509 *issuer;
	const struct forged *signer;
	bool send_signer;        /* put the signer's certificate into the response */
	int status;              /* V_OCSP_CERTSTATUS_… */
	int64_t from_s, until_s; /* until 0: no nextUpdate */
	const char *digest;      /* of the signature; NULL: SHA256 */
};
/* OCSPResponse, DER, in `buffer`. */
struct bytes forge_staple(const struct forge_staple *spec, uint8_t *buffer, size_t cap);

/* PEM or DER of one object in `buffer`. */
struct bytes forge_pem(X509 *cert, uint8_t *buffer, size_t cap);
struct bytes forge_der(const X509 *cert, uint8_t *buffer, size_t cap);
/* Writes the octets to a file in a fresh directory that forge_cleanup removes; the path is good until the next call. */
const char *forge_file(const char *name, struct bytes content, unsigned mode);
const char *forge_directory(void);
void forge_cleanup(void);

#endif
