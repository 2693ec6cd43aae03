/* pki/authority_parts.h — what the files of the CA share; not for other rooms. */
#ifndef PKI_AUTHORITY_PARTS_H
#define PKI_AUTHORITY_PARTS_H

#include "pki/authority.h"

/* What one certificate's nameConstraints say of DNS names and addresses. */
struct limits {
	struct limits *next;
	struct name_ranges permitted, excluded;
	bool directory; /* constrains directory names too */
};

/* One CA certificate with all that minting needs at hand. */
struct ca {
	X509 *cert;
	EVP_PKEY *key; /* NULL: only shown to clients */
	uint8_t *der;
	size_t der_len;
	uint8_t *name;
	size_t name_len;
	struct bytes key_id;    /* in `cert` */
	struct bytes algorithm; /* static */
	const char *digest;     /* NULL for EdDSA */
	uint8_t sha256[32];
	int64_t not_before_s, not_after_s;
	struct limits *limits; /* its own first, then those of the chain above it */
};

struct authority {
	struct ca at[AUTHORITY_MAX];
	size_t count;
	X509 *above[AUTHORITY_CHAIN_MAX]; /* an operator's chain */
	uint8_t *above_der[AUTHORITY_CHAIN_MAX];
	size_t above_len[AUTHORITY_CHAIN_MAX];
	size_t above_count;
	uint8_t *pem;
	size_t pem_len;
};

/* Takes over both, freeing them on false too. `key` may be NULL. Errors do not name the file: prefix them. */
must_check bool ca_take(struct ca *out, X509 *cert, EVP_PKEY *key, struct error *err);
void ca_clear(struct ca *ca);
/* Adds the nameConstraints of `cert` to those of the CA. */
must_check bool ca_limit(struct ca *ca, X509 *cert, struct error *err);
/* The newest with a key that is valid at that time, or NULL. */
must_check const struct ca *ca_issuing(const struct authority *authority, int64_t now_s);

/* A new root with a key made for it, or with `key` when that is not NULL (a reference is taken). */
must_check bool ca_make(struct ca *out, const struct authority_make *make, EVP_PKEY *key, int64_t now_s, int64_t life_s,
	struct error *err);

/* 127 random bits. */
must_check bool cert_serial_set(X509 *cert);
/* Subject and issuer alike: "O=Overt" and this name of at most 64 characters. */
must_check bool cert_name_set(X509 *cert, const char *common_name);

#define AUTHORITY_FILE_MAX (1U << 20)
#define CA_KEYS_MAX        ((size_t)AUTHORITY_MAX * 2)

/* The private keys of one file. */
struct ca_keys {
	EVP_PKEY *at[CA_KEYS_MAX];
	size_t count;
};

/* Adds the keys of the file to what is there. */
must_check bool ca_keys_read(const char *path, struct ca_keys *out, struct error *err);
void ca_keys_clear(struct ca_keys *keys);
/* The key that goes with the certificate, as a new reference, or NULL. */
must_check EVP_PKEY *ca_key_for(const struct ca_keys *keys, X509 *cert);
/* The next certificate of a PEM file; NULL at its end or at damage, which `damaged` tells apart. */
must_check X509 *ca_cert_next(BIO *bio, bool *damaged);

/* Empty; NULL, with an error, without memory. */
must_check struct authority *authority_new(struct error *err);
/* Encodes what authority_pem gives. */
must_check bool authority_pem_build(struct authority *authority, struct error *err);

/* The key behind a "pkcs11:" URI: by a provider through OSSL_STORE, else by the engine of that name. */
must_check EVP_PKEY *token_key(const char *uri, struct error *err);

#endif
