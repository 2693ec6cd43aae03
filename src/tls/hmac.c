/*
 * The states after the key's two blocks are kept as libcrypto's plain structs, which are copied by assignment. EVP has
 * such a copy, too, but allocates for each, and starting, ending and copying cost three times what SHA-256 of a block
 * does. The plain functions are deprecated in favour of providers: where the process wants FIPS's provider, or libcrypto
 * was built without them, HMAC goes through EVP.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tls/hmac.h"

#include <openssl/crypto.h>

#ifndef OPENSSL_NO_DEPRECATED_3_0

#define BLOCK_256 64
#define BLOCK_512 128

static bool begin_state(union hmac_state *state, enum suite_hash hash, const uint8_t *pad)
{
	switch (hash) {
	case SUITE_HASH_SHA256:
		return SHA256_Init(&state->sha256) && SHA256_Update(&state->sha256, pad, BLOCK_256);
	case SUITE_HASH_SHA384:
		return SHA384_Init(&state->sha512) && SHA384_Update(&state->sha512, pad, BLOCK_512);
	default:
		return false;
	}
}

static bool begin(struct hmac_key *hmac, struct bytes key)
{
	uint8_t pad[BLOCK_512];
	size_t block = hmac->hash == SUITE_HASH_SHA256 ? BLOCK_256 : BLOCK_512;
	if (key.len > block || !crypto_plain_hashes(hmac->crypto))
		return false;
	memset(pad, 0x36, sizeof(pad));
	for (size_t i = 0; i < key.len; i++)
		pad[i] ^= key.data[i];
	bool ok = begin_state(&hmac->inner, hmac->hash, pad);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	ok = ok && begin_state(&hmac->outer, hmac->hash, pad);
	OPENSSL_cleanse(pad, sizeof(pad));
	return ok;
}

static bool of_256(const struct hmac_key *hmac, const struct bytes *parts, size_t count, struct tls_secret *out)
{
	SHA256_CTX state = hmac->inner.sha256;
	uint8_t digest[SHA256_DIGEST_LENGTH];
	bool ok = true;
	for (size_t i = 0; i < count; i++)
		ok = ok && (parts[i].len == 0 || SHA256_Update(&state, parts[i].data, parts[i].len));
	ok = ok && SHA256_Final(digest, &state);
	state = hmac->outer.sha256;
	ok = ok && SHA256_Update(&state, digest, sizeof(digest)) && SHA256_Final(out->octets, &state);
	out->len = ok ? sizeof(digest) : 0;
	OPENSSL_cleanse(digest, sizeof(digest));
	return ok;
}

static bool of_384(const struct hmac_key *hmac, const struct bytes *parts, size_t count, struct tls_secret *out)
{
	SHA512_CTX state = hmac->inner.sha512;
	uint8_t digest[SHA384_DIGEST_LENGTH];
	bool ok = true;
	for (size_t i = 0; i < count; i++)
		ok = ok && (parts[i].len == 0 || SHA384_Update(&state, parts[i].data, parts[i].len));
	ok = ok && SHA384_Final(digest, &state);
	state = hmac->outer.sha512;
	ok = ok && SHA384_Update(&state, digest, sizeof(digest)) && SHA384_Final(out->octets, &state);
	out->len = ok ? sizeof(digest) : 0;
	OPENSSL_cleanse(digest, sizeof(digest));
	return ok;
}

#else

static bool begin(const struct hmac_key *hmac, struct bytes key)
{
	(void)hmac;
	(void)key;
	return false;
}

static bool of_256(const struct hmac_key *hmac, const struct bytes *parts, size_t count, struct tls_secret *out)
{
	return crypto_hmac(hmac->crypto, hmac->hash, hmac->key, parts, count, out);
}

#define of_384 of_256

#endif

bool hmac_key_set(struct hmac_key *hmac, struct crypto *crypto, enum suite_hash hash, struct bytes key)
{
	if (!crypto_md(crypto, hash))
		return false;
	hmac->crypto = crypto;
	hmac->hash = hash;
	hmac->key = key;
	hmac->begun = (hash == SUITE_HASH_SHA256 || hash == SUITE_HASH_SHA384) && begin(hmac, key);
	return true;
}

bool hmac_of(const struct hmac_key *hmac, const struct bytes *parts, size_t count, struct tls_secret *out)
{
	if (!hmac->begun)
		return crypto_hmac(hmac->crypto, hmac->hash, hmac->key, parts, count, out);
	return hmac->hash == SUITE_HASH_SHA256 ? of_256(hmac, parts, count, out) : of_384(hmac, parts, count, out);
}

void hmac_key_wipe(struct hmac_key *hmac)
{
	hmac->key = BYTES_NONE;
	if (hmac->begun && hmac->hash == SUITE_HASH_SHA256) {
		OPENSSL_cleanse(&hmac->inner.sha256, sizeof(hmac->inner.sha256));
		OPENSSL_cleanse(&hmac->outer.sha256, sizeof(hmac->outer.sha256));
	} else if (hmac->begun) {
		OPENSSL_cleanse(&hmac->inner, sizeof(hmac->inner));
		OPENSSL_cleanse(&hmac->outer, sizeof(hmac->outer));
	}
	hmac->begun = false;
}
