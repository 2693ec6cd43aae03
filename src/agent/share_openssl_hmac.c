#include "agent/share_openssl_hmac.h"

#include <string.h>

/* HMAC (RFC 2104): the hash of the outer pad and of the hash of the inner pad and the data. */
#define HMAC_OF(name, ctx_type, block, octets)                                                                         \
	static bool name(const struct openssl_library *library, struct bytes key, struct bytes data, uint8_t *out)     \
	{                                                                                                              \
		ctx_type ctx;                                                                                          \
		uint8_t pad[block], inner[octets];                                                                     \
		for (size_t i = 0; i < (block); i++)                                                                   \
			pad[i] = (i < key.len ? key.data[i] : 0) ^ 0x36;                                               \
		bool ok = library->name##_init(&ctx) == 1 && library->name##_update(&ctx, pad, block) == 1 &&          \
		          library->name##_update(&ctx, data.data, data.len) == 1 &&                                    \
		          library->name##_final(inner, &ctx) == 1;                                                     \
		for (size_t i = 0; i < (block); i++)                                                                   \
			pad[i] ^= 0x36 ^ 0x5c;                                                                         \
		ok = ok && library->name##_init(&ctx) == 1 && library->name##_update(&ctx, pad, block) == 1 &&         \
		     library->name##_update(&ctx, inner, octets) == 1 && library->name##_final(out, &ctx) == 1;        \
		explicit_bzero(&ctx, sizeof(ctx));                                                                     \
		explicit_bzero(pad, sizeof(pad));                                                                      \
		explicit_bzero(inner, sizeof(inner));                                                                  \
		return ok;                                                                                             \
	}

HMAC_OF(sha256, SHA256_CTX, SHA256_CBLOCK, SHA256_DIGEST_LENGTH)
HMAC_OF(sha384, SHA512_CTX, SHA512_CBLOCK, SHA384_DIGEST_LENGTH)

/*
 * HMAC() of OpenSSL 3 looks its algorithms up each time, which costs many times what computing does, in every handshake.
 * Its hashes alone do not.
 */
static bool compute(const void *ctx, enum suite_hash hash, struct bytes key, struct bytes data, uint8_t *out)
{
	const struct openssl_library *library = ctx;
	unsigned int len;
	if (hash == SUITE_HASH_SHA256 && library->sha256_init && key.len <= SHA256_CBLOCK)
		return sha256(library, key, data, out);
	if (hash == SUITE_HASH_SHA384 && library->sha384_init && key.len <= SHA512_CBLOCK)
		return sha384(library, key, data, out);
	const EVP_MD *md = hash == SUITE_HASH_SHA256   ? library->sha256()
	                   : hash == SUITE_HASH_SHA384 ? library->sha384()
	                                               : NULL;
	return md && library->hmac(md, key.data, (int)key.len, data.data, data.len, out, &len);
}

struct share_hmac openssl_hmac(const struct openssl_library *library)
{
	return (struct share_hmac){.compute = compute, .ctx = library};
}
