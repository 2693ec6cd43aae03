#include "tls/crypto.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <stdlib.h>

#define HASHES (SUITE_HASH_GOST + 1)

/* A cipher of libcrypto's: what suites call it, and what it is called there. */
struct row {
	enum suite_cipher cipher;
	uint16_t bits;
	bool legacy;          /* only in the legacy provider */
	const char *names[2]; /* by enum crypto_mode */
};

static const struct row rows[] = {
	{SUITE_CIPHER_AES_GCM, 128, false, {"AES-128-GCM", "AES-128-ECB"}},
	{SUITE_CIPHER_AES_GCM, 256, false, {"AES-256-GCM", "AES-256-ECB"}},
	{SUITE_CIPHER_CHACHA20_POLY1305, 256, false, {"ChaCha20-Poly1305", NULL}},
	{SUITE_CIPHER_AES_CBC, 128, false, {"AES-128-CBC", "AES-128-ECB"}},
	{SUITE_CIPHER_AES_CBC, 256, false, {"AES-256-CBC", "AES-256-ECB"}},
	{SUITE_CIPHER_AES_CCM, 128, false, {"AES-128-CCM", "AES-128-ECB"}},
	{SUITE_CIPHER_AES_CCM, 256, false, {"AES-256-CCM", "AES-256-ECB"}},
	{SUITE_CIPHER_AES_CCM_8, 128, false, {"AES-128-CCM", "AES-128-ECB"}},
	{SUITE_CIPHER_AES_CCM_8, 256, false, {"AES-256-CCM", "AES-256-ECB"}},
	{SUITE_CIPHER_3DES_CBC, 168, false, {"DES-EDE3-CBC", NULL}},
	{SUITE_CIPHER_CAMELLIA_CBC, 128, false, {"CAMELLIA-128-CBC", "CAMELLIA-128-ECB"}},
	{SUITE_CIPHER_CAMELLIA_CBC, 256, false, {"CAMELLIA-256-CBC", "CAMELLIA-256-ECB"}},
	{SUITE_CIPHER_CAMELLIA_GCM, 128, false, {"CAMELLIA-128-GCM", "CAMELLIA-128-ECB"}},
	{SUITE_CIPHER_CAMELLIA_GCM, 256, false, {"CAMELLIA-256-GCM", "CAMELLIA-256-ECB"}},
	{SUITE_CIPHER_ARIA_CBC, 128, false, {"ARIA-128-CBC", "ARIA-128-ECB"}},
	{SUITE_CIPHER_ARIA_CBC, 256, false, {"ARIA-256-CBC", "ARIA-256-ECB"}},
	{SUITE_CIPHER_ARIA_GCM, 128, false, {"ARIA-128-GCM", "ARIA-128-ECB"}},
	{SUITE_CIPHER_ARIA_GCM, 256, false, {"ARIA-256-GCM", "ARIA-256-ECB"}},
	{SUITE_CIPHER_SM4_GCM, 128, false, {"SM4-GCM", "SM4-ECB"}},
	{SUITE_CIPHER_SM4_CCM, 128, false, {"SM4-CCM", "SM4-ECB"}},
	{SUITE_CIPHER_SEED_CBC, 128, true, {"SEED-CBC", "SEED-ECB"}},
	{SUITE_CIPHER_RC4, 128, true, {"RC4", NULL}},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

enum slot_state { SLOT_UNKNOWN, SLOT_THERE, SLOT_MISSING };

/* Contexts kept for each cipher: a connection opens with two at a time, few are in their handshake at once. */
#define SPARES 8

struct cipher_slot {
	enum slot_state state;
	EVP_CIPHER *cipher;
	EVP_CIPHER_CTX *spare[SPARES];
	unsigned spares;
};

struct hash_slot {
	enum slot_state state;
	EVP_MD *md;
	EVP_MD_CTX *ctx; /* set up for md: starting again needs no allocation */
};

struct crypto {
	struct hash_slot hashes[HASHES];
	struct cipher_slot ciphers[ROWS][2];
	enum slot_state legacy_state;
	OSSL_LIB_CTX *legacy_ctx;
	OSSL_PROVIDER *legacy;
	bool plain_hashes, spoil_errors;
};

bool tls_secret_set(struct tls_secret *secret, struct bytes value)
{
	if (value.len > TLS_SECRET_MAX)
		return false;
	/* The value may be a view of the secret itself. */
	if (value.len > 0)
		memmove(secret->octets, value.data, value.len);
	secret->len = value.len;
	return true;
}

void tls_secret_wipe(struct tls_secret *secret)
{
	OPENSSL_cleanse(secret, sizeof(*secret));
}

struct crypto *crypto_new(void)
{
	struct crypto *crypto = calloc(1, sizeof(*crypto));
	if (crypto)
		crypto->plain_hashes = !EVP_default_properties_is_fips_enabled(NULL);
	return crypto;
}

void crypto_spoil_errors(struct crypto *crypto)
{
	crypto->spoil_errors = true;
}

bool crypto_spoils_errors(const struct crypto *crypto)
{
	return crypto->spoil_errors;
}

bool crypto_plain_hashes(const struct crypto *crypto)
{
	return crypto->plain_hashes;
}

static void slot_free(struct cipher_slot *slot)
{
	while (slot->spares > 0)
		EVP_CIPHER_CTX_free(slot->spare[--slot->spares]);
	EVP_CIPHER_free(slot->cipher);
}

void crypto_free(struct crypto *crypto)
{
	if (!crypto)
		return;
	for (size_t i = 0; i < HASHES; i++) {
		EVP_MD_CTX_free(crypto->hashes[i].ctx);
		EVP_MD_free(crypto->hashes[i].md);
	}
	for (size_t i = 0; i < ROWS; i++) {
		slot_free(&crypto->ciphers[i][CRYPTO_OWN]);
		slot_free(&crypto->ciphers[i][CRYPTO_ECB]);
	}
	if (crypto->legacy)
		OSSL_PROVIDER_unload(crypto->legacy);
	OSSL_LIB_CTX_free(crypto->legacy_ctx);
	free(crypto);
}

size_t crypto_hash_len(enum suite_hash hash)
{
	static const uint8_t lens[HASHES] = {[SUITE_HASH_MD5] = 16,
		[SUITE_HASH_SHA1] = 20,
		[SUITE_HASH_SHA256] = 32,
		[SUITE_HASH_SHA384] = 48,
		[SUITE_HASH_SHA512] = 64,
		[SUITE_HASH_SM3] = 32};
	return (unsigned)hash < HASHES ? lens[hash] : 0;
}

const char *crypto_hash_name(enum suite_hash hash)
{
	static const char *const names[HASHES] = {[SUITE_HASH_MD5] = "MD5",
		[SUITE_HASH_SHA1] = "SHA1",
		[SUITE_HASH_SHA256] = "SHA2-256",
		[SUITE_HASH_SHA384] = "SHA2-384",
		[SUITE_HASH_SHA512] = "SHA2-512",
		[SUITE_HASH_SM3] = "SM3"};
	return (unsigned)hash < HASHES ? names[hash] : NULL;
}

/* NULL when the hash is not to be had. */
static struct hash_slot *find_hash(struct crypto *crypto, enum suite_hash hash)
{
	if (!crypto_hash_name(hash))
		return NULL;
	struct hash_slot *slot = &crypto->hashes[hash];
	if (slot->state == SLOT_UNKNOWN) {
		/* A failed look-up leaves an error in a queue that the thread's TLS connections read, too. */
		ERR_set_mark();
		slot->md = EVP_MD_fetch(NULL, crypto_hash_name(hash), NULL);
		slot->ctx = EVP_MD_CTX_new();
		bool ready = slot->md && slot->ctx && EVP_DigestInit_ex2(slot->ctx, slot->md, NULL);
		slot->state = ready ? SLOT_THERE : SLOT_MISSING;
		ERR_pop_to_mark();
	}
	return slot->state == SLOT_THERE ? slot : NULL;
}

const EVP_MD *crypto_md(struct crypto *crypto, enum suite_hash hash)
{
	const struct hash_slot *slot = find_hash(crypto, hash);
	return slot ? slot->md : NULL;
}

static bool hash_parts(const struct hash_slot *slot, const struct bytes *parts, size_t count, struct tls_secret *out)
{
	unsigned len = 0;
	if (!EVP_DigestInit_ex2(slot->ctx, NULL, NULL))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (parts[i].len > 0 && !EVP_DigestUpdate(slot->ctx, parts[i].data, parts[i].len))
			return false;
	}
	if (!EVP_DigestFinal_ex(slot->ctx, out->octets, &len))
		return false;
	out->len = len;
	return true;
}

bool crypto_hash(struct crypto *crypto, enum suite_hash hash, struct bytes data, struct tls_secret *out)
{
	const struct hash_slot *slot = find_hash(crypto, hash);
	out->len = 0;
	return slot && hash_parts(slot, &data, 1, out);
}

#define HMAC_MAX_BLOCK 128

/*
 * HMAC by its definition: EVP_MAC would allocate and look up by name at each use, which at tens of thousands of
 * handshakes a second is most of the work.
 */
bool crypto_hmac(struct crypto *crypto, enum suite_hash hash, struct bytes key, const struct bytes *parts, size_t count,
	struct tls_secret *out)
{
	const struct hash_slot *slot = find_hash(crypto, hash);
	out->len = 0;
	if (!slot || count > CRYPTO_HMAC_PARTS)
		return false;
	size_t block = (size_t)EVP_MD_get_block_size(slot->md);
	struct tls_secret digest = {0};
	uint8_t pad[HMAC_MAX_BLOCK] = {0};
	bool ok = block <= sizeof(pad);
	if (ok && key.len > block) {
		ok = hash_parts(slot, &key, 1, &digest);
		key = tls_secret_bytes(&digest);
	}
	struct bytes inner[CRYPTO_HMAC_PARTS + 1] = {bytes_of(pad, block)};
	for (size_t i = 0; i < count; i++)
		inner[i + 1] = parts[i];
	if (ok) {
		if (key.len > 0)
			memcpy(pad, key.data, key.len);
		for (size_t i = 0; i < block; i++)
			pad[i] ^= 0x36;
		ok = hash_parts(slot, inner, count + 1, &digest);
		for (size_t i = 0; i < block; i++)
			pad[i] ^= 0x36 ^ 0x5c;
	}
	struct bytes outer[2] = {bytes_of(pad, block), tls_secret_bytes(&digest)};
	ok = ok && hash_parts(slot, outer, 2, out);
	OPENSSL_cleanse(pad, sizeof(pad));
	tls_secret_wipe(&digest);
	return ok;
}

/* The context with the legacy provider; NULL when it cannot be loaded. */
static OSSL_LIB_CTX *legacy_context(struct crypto *crypto)
{
	if (crypto->legacy_state == SLOT_UNKNOWN) {
		crypto->legacy_ctx = OSSL_LIB_CTX_new();
		if (crypto->legacy_ctx)
			crypto->legacy = OSSL_PROVIDER_load(crypto->legacy_ctx, "legacy");
		crypto->legacy_state = crypto->legacy ? SLOT_THERE : SLOT_MISSING;
	}
	return crypto->legacy_state == SLOT_THERE ? crypto->legacy_ctx : NULL;
}

static EVP_CIPHER *fetch(struct crypto *crypto, const struct row *row, const char *name)
{
	OSSL_LIB_CTX *ctx = NULL;
	if (row->legacy) {
		ctx = legacy_context(crypto);
		if (!ctx)
			return NULL;
	}
	return EVP_CIPHER_fetch(ctx, name, NULL);
}

/* ROWS: none. */
static size_t row_of(const struct suite *suite)
{
	size_t i = 0;
	while (i < ROWS && (rows[i].cipher != suite->cipher || rows[i].bits != suite->key_bits))
		i++;
	return i;
}

EVP_CIPHER_CTX *crypto_context_take(struct crypto *crypto, const struct suite *suite)
{
	size_t i = row_of(suite);
	struct cipher_slot *slot = i < ROWS ? &crypto->ciphers[i][CRYPTO_OWN] : NULL;
	return slot && slot->spares > 0 ? slot->spare[--slot->spares] : NULL;
}

void crypto_context_give(struct crypto *crypto, const struct suite *suite, EVP_CIPHER_CTX *ctx)
{
	size_t i = row_of(suite);
	struct cipher_slot *slot = i < ROWS ? &crypto->ciphers[i][CRYPTO_OWN] : NULL;
	if (slot && slot->spares < SPARES)
		slot->spare[slot->spares++] = ctx;
	else
		EVP_CIPHER_CTX_free(ctx);
}

const EVP_CIPHER *crypto_cipher(struct crypto *crypto, const struct suite *suite, enum crypto_mode mode, bool *legacy)
{
	size_t i = row_of(suite);
	if (legacy)
		*legacy = false;
	if (i == ROWS || !rows[i].names[mode])
		return NULL;
	struct cipher_slot *slot = &crypto->ciphers[i][mode];
	if (slot->state == SLOT_UNKNOWN) {
		ERR_set_mark();
		slot->cipher = fetch(crypto, &rows[i], rows[i].names[mode]);
		ERR_pop_to_mark();
		slot->state = slot->cipher ? SLOT_THERE : SLOT_MISSING;
	}
	if (legacy)
		*legacy = rows[i].legacy && crypto->legacy_state == SLOT_MISSING;
	return slot->cipher;
}
