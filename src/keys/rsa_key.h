/*
 * keys/rsa_key.h — private RSA keys that open the premaster secret of a TLS 1.2 RSA key exchange (RFC 5246, 7.4.7.1).
 * For reading what was recorded, not for serving: times tell, and no oracle may be built upon it.
 */
#ifndef KEYS_RSA_KEY_H
#define KEYS_RSA_KEY_H

#include "base/error.h"
#include "keys/secret.h"

#define RSA_KEY_MAX 64 /* keys in one file */

struct rsa_key;

enum rsa_key_result {
	RSA_KEY_OK,
	RSA_KEY_NOT_THIS,  /* it does not open with this key */
	RSA_KEY_NO_SECRET, /* it opens, but to no premaster secret of SSL 3.0 .. TLS 1.3 in 48 octets */
	RSA_KEY_FAILED,    /* no memory */
};

/*
 * Reads every private key of a PEM file (PKCS#1 or PKCS#8, without a passphrase) to `keys`, which has room for `cap`;
 * what else stands there is passed over. False, with a sentence, when it cannot be read, holds no key, one that is no
 * RSA, one with a passphrase, or more than `cap`: `*count` is 0 then. Each key is the caller's.
 */
must_check bool rsa_keys_load(const char *path, struct rsa_key **keys, size_t cap, size_t *count, struct error *err);
/* NULL is allowed. */
void rsa_key_free(struct rsa_key *key);

/* The key of this certificate (DER)? False also when the certificate cannot be read. */
must_check bool rsa_key_fits(const struct rsa_key *key, struct bytes certificate);
/* Whether a public key can be read from this certificate at all. */
must_check bool rsa_certificate_reads(struct bytes certificate);
/* Opens what ClientKeyExchange holds after its length field. May be called from several threads at once. */
must_check enum rsa_key_result rsa_key_open(
	const struct rsa_key *key, struct bytes encrypted, struct secret *premaster);

#endif
