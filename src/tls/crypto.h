/*
 * tls/crypto.h — what this room takes from OpenSSL: hashes, HMAC (RFC 2104) and ciphers, each looked up once and kept,
 * since a lookup costs more than the short computations a handshake needs. No I/O, except that libcrypto loads its
 * legacy provider from disk when a cipher is first asked for that only it has; that happens in a library context of
 * its own, so that the rest of the program does not see it.
 *
 * A struct crypto serves one thread at a time: make one per worker. What was set up with it (tls/protect.h) belongs to
 * the same thread and must be freed before it.
 */
#ifndef TLS_CRYPTO_H
#define TLS_CRYPTO_H

#include "base/bytes.h"
#include "tls/suite.h"

#include <openssl/types.h>

#define TLS_SECRET_MAX 64

/* A secret, key or hash value of at most TLS_SECRET_MAX octets. Whoever holds one that is secret wipes it. */
struct tls_secret {
	size_t len;
	uint8_t octets[TLS_SECRET_MAX];
};

static inline struct bytes tls_secret_bytes(const struct tls_secret *secret)
{
	return bytes_of(secret->octets, secret->len);
}

/* False when `value` is longer than TLS_SECRET_MAX; `*secret` is then as it was. */
must_check bool tls_secret_set(struct tls_secret *secret, struct bytes value);
/* Overwrites it; its length is 0 afterwards. */
void tls_secret_wipe(struct tls_secret *secret);

struct crypto;

/* NULL when out of memory. */
must_check struct crypto *crypto_new(void);
/* NULL is allowed. */
void crypto_free(struct crypto *crypto);

/* Octets of the hash; 0 for NONE and GOST. */
must_check size_t crypto_hash_len(enum suite_hash hash);
/* libcrypto's name of the hash ("SHA2-256"); NULL for NONE and GOST. */
must_check const char *crypto_hash_name(enum suite_hash hash);
/* NULL when this libcrypto does not have it. It stays the struct crypto's own. */
must_check const EVP_MD *crypto_md(struct crypto *crypto, enum suite_hash hash);

/* The hash of `data`. False when the hash is not to be had, or out of memory; `*out` is then empty. */
must_check bool crypto_hash(struct crypto *crypto, enum suite_hash hash, struct bytes data, struct tls_secret *out);
/* HMAC over `count` parts, one after the other. As crypto_hash. */
must_check bool crypto_hmac(struct crypto *crypto, enum suite_hash hash, struct bytes key, const struct bytes *parts,
	size_t count, struct tls_secret *out);

enum crypto_mode { CRYPTO_OWN, CRYPTO_ECB }; /* the mode the suite uses, or the bare block cipher */

/*
 * The cipher of a suite. NULL when this libcrypto does not have it; `*legacy`, which may be NULL, then says whether
 * the legacy provider would have it but could not be loaded. It stays the struct crypto's own.
 */
must_check const EVP_CIPHER *crypto_cipher(
	struct crypto *crypto, const struct suite *suite, enum crypto_mode mode, bool *legacy);

#endif
