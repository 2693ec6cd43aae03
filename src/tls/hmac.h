/*
 * tls/hmac.h — HMAC (RFC 2104) under one key for many texts, as key schedules want it: what the key alone decides is
 * hashed once. No I/O, no allocation.
 */
#ifndef TLS_HMAC_H
#define TLS_HMAC_H

#include "tls/crypto.h"

#include <openssl/sha.h>

/* Wiped by hmac_key_wipe. */
struct hmac_key {
	struct crypto *crypto;
	enum suite_hash hash;
	bool begun;       /* `inner` and `outer` are set; else each text hashes the key again */
	struct bytes key; /* the caller's */
	union hmac_state {
		SHA256_CTX sha256;
		SHA512_CTX sha512;
	} inner, outer;
};

/* `key` stays the caller's and must live as long. False when the hash is not to be had; there is nothing to wipe then. */
must_check bool hmac_key_set(struct hmac_key *hmac, struct crypto *crypto, enum suite_hash hash, struct bytes key);
/* Of `count` parts, at most CRYPTO_HMAC_PARTS, one after the other. `out` may be among them. False as crypto_hmac. */
must_check bool hmac_of(const struct hmac_key *hmac, const struct bytes *parts, size_t count, struct tls_secret *out);
void hmac_key_wipe(struct hmac_key *hmac);

#endif
