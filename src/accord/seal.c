#include "accord/seal.h"

#include "tls/sigalg.h"

#include <openssl/objects.h>
#include <openssl/x509.h>

static const char seal_label[] = "overt accord seal 1";
static const char approval_label[] = "overt accord approval 1";

/* SHA-256 over the parts, one after the other. */
static bool hash_parts(const struct bytes *parts, size_t count, uint8_t out[ACCORD_HASH])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned len = 0;
	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
	for (size_t i = 0; ok && i < count; i++)
		ok = EVP_DigestUpdate(ctx, parts[i].data, parts[i].len) == 1;
	ok = ok && EVP_DigestFinal_ex(ctx, out, &len) == 1 && len == ACCORD_HASH;
	EVP_MD_CTX_free(ctx);
	return ok;
}

bool accord_hash(struct bytes in, uint8_t out[ACCORD_HASH])
{
	return hash_parts(&in, 1, out);
}

bool accord_seal(struct bytes blind, struct bytes introduction, uint8_t commitment[ACCORD_HASH])
{
	/* The label goes in with its NUL, which is the 0x00 after it. */
	const struct bytes parts[] = {bytes_of(seal_label, sizeof(seal_label)), blind, introduction};
	return blind.len == ACCORD_BLIND && hash_parts(parts, 3, commitment);
}

bool accord_approval_hash(const uint8_t nonce[ACCORD_NONCE], struct bytes key, uint8_t out[ACCORD_HASH])
{
	const struct bytes parts[] = {bytes_of(nonce, ACCORD_NONCE), key};
	return hash_parts(parts, 2, out);
}

void accord_approval_input(const uint8_t digest[ACCORD_HASH], uint8_t out[ACCORD_APPROVAL_INPUT])
{
	_Static_assert(64 + sizeof(approval_label) + ACCORD_HASH == ACCORD_APPROVAL_INPUT, "the input's length");
	memset(out, 0x20, 64);
	memcpy(out + 64, approval_label, sizeof(approval_label));
	memcpy(out + 64 + sizeof(approval_label), digest, ACCORD_HASH);
}

/* The scheme such a key signs approvals with; 0 when it may not. */
static uint16_t scheme_of(EVP_PKEY *key)
{
	char group[32] = "";
	if (EVP_PKEY_is_a(key, "ED25519"))
		return SIGALG_ED25519;
	if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
		OBJ_txt2nid(group) == NID_X9_62_prime256v1)
		return SIGALG_ECDSA_SECP256R1_SHA256;
	return 0;
}

static const EVP_MD *digest_of(uint16_t scheme)
{
	return scheme == SIGALG_ED25519 ? NULL : EVP_sha256();
}

static bool sign(EVP_PKEY *key, uint16_t scheme, const uint8_t *input, uint8_t *signature, size_t *len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, digest_of(scheme), NULL, key) == 1 &&
	          EVP_DigestSign(ctx, signature, len, input, ACCORD_APPROVAL_INPUT) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

bool accord_approval_sign(EVP_PKEY *key, const uint8_t digest[ACCORD_HASH], struct writer *out, struct error *err)
{
	uint16_t scheme = scheme_of(key);
	if (scheme == 0)
		return error_set(err, "an approval key must be P-256 or Ed25519");
	unsigned char *spki = NULL;
	int spki_len = i2d_PUBKEY(key, &spki);
	if (spki_len <= 0 || spki_len > ACCORD_MAX_APPROVAL_KEY) {
		OPENSSL_free(spki);
		return error_set_openssl(err, "the approval key cannot be written");
	}
	uint8_t input[ACCORD_APPROVAL_INPUT];
	uint8_t signature[128];
	size_t len = sizeof(signature);
	accord_approval_input(digest, input);
	bool ok = sign(key, scheme, input, signature, &len);
	if (ok) {
		struct accord_approval approval = {.key = bytes_of(spki, (size_t)spki_len),
			.scheme = scheme,
			.signature = bytes_of(signature, len)};
		accord_approval_write(out, &approval);
	}
	OPENSSL_free(spki);
	return ok || error_set_openssl(err, "the approval cannot be signed");
}

const char *accord_approval_text(enum accord_approval_result result)
{
	static const char *const texts[] = {
		[ACCORD_APPROVAL_OK] = "good",
		[ACCORD_APPROVAL_KEY] = "the approval key is neither P-256 nor Ed25519",
		[ACCORD_APPROVAL_SCHEME] = "the signature scheme does not fit the approval key",
		[ACCORD_APPROVAL_OTHER] = "the approval key is not the one whose hash the introduction carries",
		[ACCORD_APPROVAL_SIGNATURE] = "the approval's signature does not fit this handshake",
	};
	return texts[result];
}

/* The key, when it is DER in full and of a kind that may approve. */
static EVP_PKEY *read_key(struct bytes spki)
{
	const unsigned char *at = spki.data;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.len);
	if (key && at == spki.data + spki.len && scheme_of(key) != 0)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

static bool verify(EVP_PKEY *key, const struct accord_approval *approval, const uint8_t *input)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, digest_of(approval->scheme), NULL, key) == 1 &&
	          EVP_DigestVerify(
			  ctx, approval->signature.data, approval->signature.len, input, ACCORD_APPROVAL_INPUT) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

enum accord_approval_result accord_approval_verify(const struct accord_approval *approval,
	const struct accord_introduction *introduction, const uint8_t digest[ACCORD_HASH])
{
	uint8_t hash[ACCORD_HASH];
	/* Another key is refused before anything of it is decoded. */
	if (!introduction->has_approval || !accord_approval_hash(introduction->client_nonce, approval->key, hash) ||
		memcmp(hash, introduction->approval_hash, ACCORD_HASH) != 0)
		return ACCORD_APPROVAL_OTHER;
	EVP_PKEY *key = read_key(approval->key);
	if (!key)
		return ACCORD_APPROVAL_KEY;
	uint8_t input[ACCORD_APPROVAL_INPUT];
	accord_approval_input(digest, input);
	enum accord_approval_result result = ACCORD_APPROVAL_OK;
	if (scheme_of(key) != approval->scheme)
		result = ACCORD_APPROVAL_SCHEME;
	else if (!verify(key, approval, input))
		result = ACCORD_APPROVAL_SIGNATURE;
	EVP_PKEY_free(key);
	return result;
}
