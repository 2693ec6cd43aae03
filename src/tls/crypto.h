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

/*
 * From now on libcrypto's error queue of the thread that uses this is nobody's concern: records that do not open may
 * leave errors in it, which spares two calls for each record. Not where the thread has TLS connections of libssl.
 */
void crypto_spoil_errors(struct crypto *crypto);
must_check bool crypto_spoils_errors(const struct crypto *crypto);
/* Whether SHA-2 may be had from libcrypto beside its providers: not where the process wants those of FIPS 140. */
must_check bool crypto_plain_hashes(const struct crypto *crypto);

/* Octets of the hash; 0 for NONE and GOST. */
must_check size_t crypto_hash_len(enum suite_hash hash);
/* libcrypto's name of the hash ("SHA2-256"); NULL for NONE and GOST. */
must_check const char *crypto_hash_name(enum suite_hash hash);
/* NULL when this libcrypto does not have it. It stays the struct crypto's own. */
must_check const EVP_MD *crypto_md(struct crypto *crypto, enum suite_hash hash);

/* The hash of `data`. False when the hash is not to be had, or out of memory; `*out` is then empty. */
must_check bool crypto_hash(struct crypto *crypto, enum suite_hash hash, struct bytes data, struct tls_secret *out);
#define CRYPTO_HMAC_PARTS 6
/* HMAC over `count` parts, at most CRYPTO_HMAC_PARTS, one after the other. As crypto_hash. */
must_check bool crypto_hmac(struct crypto *crypto, enum suite_hash hash, struct bytes key, const struct bytes *parts,
	size_t count, struct tls_secret *out);

enum crypto_mode { CRYPTO_OWN, CRYPTO_ECB }; /* the mode the suite uses, or the bare block cipher */

/*
 * The cipher of a suite. NULL when this libcrypto does not have it; `*legacy`, which may be NULL, then says whether
 * the legacy provider would have it but could not be loaded. It stays the struct crypto's own.
 */
must_check const EVP_CIPHER *crypto_cipher(
	struct crypto *crypto, const struct suite *suite, enum crypto_mode mode, bool *legacy);

/*
 * A context set up for opening with the suite's own cipher, but for key and nonce, that crypto_context_give got: NULL
 * when there is none. It holds the key of its last use until the next one, or until crypto_free.
 */
must_check EVP_CIPHER_CTX *crypto_context_take(struct crypto *crypto, const struct suite *suite);
/* Takes the context over; beyond some per cipher it is freed. */
void crypto_context_give(struct crypto *crypto, const struct suite *suite, EVP_CIPHER_CTX *ctx);

#endif
