#include "tls/ech_context.h"

#include "tls/schedule13.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define SUITE_ID 10
#define PARTS    8

static enum suite_hash hash_of(uint16_t kdf)
{
	static const enum suite_hash hashes[] = {
		SUITE_HASH_NONE, SUITE_HASH_SHA256, SUITE_HASH_SHA384, SUITE_HASH_SHA512};
	return kdf < sizeof(hashes) / sizeof(*hashes) ? hashes[kdf] : SUITE_HASH_NONE;
}

/* TLS has suites with the same AEADs. */
static const struct suite *cipher_of(uint16_t aead, size_t *key)
{
	*key = aead == 1 ? 16 : 32;
	return aead >= 1 && aead <= 3 ? suite_find((uint16_t)(0x1300 + aead)) : NULL;
}

/* What the derivations of one context share. */
struct labeled {
	struct crypto *crypto;
	enum suite_hash hash;
	uint8_t id[SUITE_ID]; /* "HPKE" and the suite */
};

static bool labeled_extract(const struct labeled *l, struct bytes salt, const char *label, const struct bytes *ikm,
	size_t count, struct tls_secret *out)
{
	struct bytes parts[PARTS] = {bytes_str("HPKE-v1"), bytes_of(l->id, sizeof(l->id)), bytes_str(label)};
	if (count > PARTS - 3)
		return false;
	for (size_t i = 0; i < count; i++)
		parts[3 + i] = ikm[i];
	return crypto_hmac(l->crypto, l->hash, salt, parts, 3 + count, out);
}

static bool labeled_expand(const struct labeled *l, const struct tls_secret *secret, const char *label,
	struct bytes context, uint8_t *out, size_t len)
{
	uint8_t room[2 + 7 + SUITE_ID + 16 + 1 + 2 * TLS_SECRET_MAX];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes info;
	writer_u16(&w, (uint16_t)len);
	writer_bytes(&w, bytes_str("HPKE-v1"));
	writer_bytes(&w, bytes_of(l->id, sizeof(l->id)));
	writer_bytes(&w, bytes_str(label));
	writer_bytes(&w, context);
	return writer_done(&w, &info) && hkdf_expand(l->crypto, l->hash, tls_secret_bytes(secret), info, out, len);
}

bool ech_context_begin(struct crypto *crypto, struct ech_suite suite, struct bytes shared, const struct bytes *info,
	size_t count, struct ech_context *out)
{
	struct labeled l = {.crypto = crypto, .hash = hash_of(suite.kdf)};
	struct tls_secret id_hash = {0}, info_hash = {0}, secret = {0};
	uint8_t room[1 + 2 * TLS_SECRET_MAX];
	struct writer w = writer_over(l.id, sizeof(l.id)), to = writer_over(room, sizeof(room));
	struct bytes context;
	size_t key;
	*out = (struct ech_context){.cipher = cipher_of(suite.aead, &key)};
	writer_bytes(&w, bytes_str("HPKE"));
	writer_u16(&w, suite.kem);
	writer_u16(&w, suite.kdf);
	writer_u16(&w, suite.aead);
	if (!out->cipher || l.hash == SUITE_HASH_NONE)
		return false;
	bool ok = labeled_extract(&l, BYTES_NONE, "psk_id_hash", NULL, 0, &id_hash) &&
	          labeled_extract(&l, BYTES_NONE, "info_hash", info, count, &info_hash) &&
	          labeled_extract(&l, shared, "secret", NULL, 0, &secret);
	/* Mode 0: base. */
	writer_u8(&to, 0);
	writer_bytes(&to, tls_secret_bytes(&id_hash));
	writer_bytes(&to, tls_secret_bytes(&info_hash));
	ok = ok && writer_done(&to, &context) && labeled_expand(&l, &secret, "key", context, out->key, key) &&
	     labeled_expand(&l, &secret, "base_nonce", context, out->nonce, ECH_NONCE);
	tls_secret_wipe(&secret);
	if (!ok)
		ech_context_wipe(out);
	return ok;
}

void ech_context_wipe(struct ech_context *hpke)
{
	OPENSSL_cleanse(hpke, sizeof(*hpke));
}

bool ech_context_open(struct crypto *crypto, const struct ech_context *hpke, uint64_t sequence, struct bytes aad,
	struct bytes ciphertext, uint8_t *out)
{
	uint8_t nonce[ECH_NONCE], tag[ECH_TAG];
	struct bytes body;
	int n = 0;
	if (ciphertext.len < ECH_TAG || ciphertext.len > INT32_MAX || aad.len > INT32_MAX ||
		!bytes_take(&ciphertext, ciphertext.len - ECH_TAG, &body))
		return false;
	memcpy(tag, ciphertext.data, ECH_TAG);
	memcpy(nonce, hpke->nonce, ECH_NONCE);
	for (size_t i = 0; i < sizeof(sequence); i++)
		nonce[ECH_NONCE - 1 - i] ^= (uint8_t)(sequence >> (8 * i));
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	const EVP_CIPHER *cipher = crypto_cipher(crypto, hpke->cipher, CRYPTO_OWN, NULL);
	bool ok = ctx && cipher && EVP_DecryptInit_ex(ctx, cipher, NULL, hpke->key, nonce) &&
	          EVP_DecryptUpdate(ctx, NULL, &n, aad.data, (int)aad.len) &&
	          (body.len == 0 || EVP_DecryptUpdate(ctx, out, &n, body.data, (int)body.len)) &&
	          EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, ECH_TAG, tag) > 0 &&
	          EVP_DecryptFinal_ex(ctx, out + body.len, &n) > 0;
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}
