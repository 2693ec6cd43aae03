#include "keys/hpke.h"

#include <sodium/core.h>
#include <sodium/crypto_aead_chacha20poly1305.h>
#include <sodium/crypto_auth_hmacsha256.h>
#include <sodium/crypto_scalarmult.h>
#include <sodium/randombytes.h>
#include <sodium/utils.h>

#define HASH 32 /* SHA-256 */

/* "KEM" || I2OSP(0x0020, 2), and "HPKE" || KEM || KDF || AEAD (RFC 9180, 4.1 and 5.1). */
static const uint8_t kem_suite[] = {'K', 'E', 'M', 0x00, 0x20};
static const uint8_t hpke_suite[] = {'H', 'P', 'K', 'E', 0x00, 0x20, 0x00, 0x01, 0x00, 0x03};

#define SUITE(array) bytes_of((array), sizeof(array))

static void update(crypto_auth_hmacsha256_state *state, struct bytes in)
{
	if (in.len > 0)
		crypto_auth_hmacsha256_update(state, in.data, in.len);
}

/* LabeledExtract: HMAC(salt, "HPKE-v1" || suite || label || ikm). No salt is a key of no octets, as HMAC pads it. */
static void extract(
	uint8_t out[static HASH], struct bytes suite, struct bytes salt, const char *label, struct bytes ikm)
{
	static const uint8_t none[1] = {0};
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, salt.len > 0 ? salt.data : none, salt.len);
	update(&state, bytes_str("HPKE-v1"));
	update(&state, suite);
	update(&state, bytes_str(label));
	update(&state, ikm);
	crypto_auth_hmacsha256_final(&state, out);
	sodium_memzero(&state, sizeof(state));
}

/* LabeledExpand of at most one hash: T(1) alone, cut to `len`. */
static void expand(uint8_t *out, uint8_t len, const uint8_t prk[static HASH], struct bytes suite, const char *label,
	struct bytes info)
{
	crypto_auth_hmacsha256_state state;
	const uint8_t wanted[2] = {0, len};
	const uint8_t first = 1;
	uint8_t block[HASH];
	crypto_auth_hmacsha256_init(&state, prk, HASH);
	update(&state, bytes_of(wanted, sizeof(wanted)));
	update(&state, bytes_str("HPKE-v1"));
	update(&state, suite);
	update(&state, bytes_str(label));
	update(&state, info);
	update(&state, bytes_of(&first, 1));
	crypto_auth_hmacsha256_final(&state, block);
	memcpy(out, block, len);
	sodium_memzero(block, sizeof(block));
	sodium_memzero(&state, sizeof(state));
}

/* ExtractAndExpand of the KEM (4.1). */
static void shared_secret(uint8_t out[static HASH], const uint8_t dh[static HPKE_KEY],
	const uint8_t enc[static HPKE_KEY], const uint8_t reader[static HPKE_KEY])
{
	uint8_t prk[HASH], context[2 * HPKE_KEY];
	memcpy(context, enc, HPKE_KEY);
	memcpy(context + HPKE_KEY, reader, HPKE_KEY);
	extract(prk, SUITE(kem_suite), BYTES_NONE, "eae_prk", bytes_of(dh, HPKE_KEY));
	expand(out, HASH, prk, SUITE(kem_suite), "shared_secret", bytes_of(context, sizeof(context)));
	sodium_memzero(prk, sizeof(prk));
}

/* KeySchedule of base mode (5.1): mode 0, no PSK. */
static void schedule(struct hpke *out, const uint8_t secret[static HASH], struct bytes info)
{
	uint8_t context[1 + 2 * HASH] = {0}, prk[HASH];
	extract(context + 1, SUITE(hpke_suite), BYTES_NONE, "psk_id_hash", BYTES_NONE);
	extract(context + 1 + HASH, SUITE(hpke_suite), BYTES_NONE, "info_hash", info);
	extract(prk, SUITE(hpke_suite), bytes_of(secret, HASH), "secret", BYTES_NONE);
	expand(out->key, HPKE_AEAD, prk, SUITE(hpke_suite), "key", bytes_of(context, sizeof(context)));
	expand(out->base_nonce, HPKE_NONCE, prk, SUITE(hpke_suite), "base_nonce", bytes_of(context, sizeof(context)));
	sodium_memzero(prk, sizeof(prk));
}

bool hpke_send_with(struct hpke *out, uint8_t enc[static HPKE_KEY], const uint8_t ephemeral[static HPKE_KEY],
	const uint8_t reader[static HPKE_KEY], struct bytes info)
{
	uint8_t dh[HPKE_KEY], secret[HASH];
	*out = (struct hpke){0};
	/* The second refuses public keys of small order, whose product is zero (RFC 9180, 7.1.4). */
	if (crypto_scalarmult_base(enc, ephemeral) != 0 || crypto_scalarmult(dh, ephemeral, reader) != 0)
		return false;
	shared_secret(secret, dh, enc, reader);
	schedule(out, secret, info);
	sodium_memzero(dh, sizeof(dh));
	sodium_memzero(secret, sizeof(secret));
	return true;
}

bool hpke_send(struct hpke *out, uint8_t enc[static HPKE_KEY], const uint8_t reader[static HPKE_KEY], struct bytes info)
{
	uint8_t ephemeral[HPKE_KEY];
	*out = (struct hpke){0};
	if (sodium_init() < 0)
		return false;
	randombytes_buf(ephemeral, sizeof(ephemeral));
	bool ok = hpke_send_with(out, enc, ephemeral, reader, info);
	sodium_memzero(ephemeral, sizeof(ephemeral));
	return ok;
}

bool hpke_receive(
	struct hpke *out, const uint8_t enc[static HPKE_KEY], const uint8_t own[static HPKE_KEY], struct bytes info)
{
	uint8_t dh[HPKE_KEY], secret[HASH], reader[HPKE_KEY];
	*out = (struct hpke){0};
	if (crypto_scalarmult_base(reader, own) != 0 || crypto_scalarmult(dh, own, enc) != 0)
		return false;
	shared_secret(secret, dh, enc, reader);
	schedule(out, secret, info);
	sodium_memzero(dh, sizeof(dh));
	sodium_memzero(secret, sizeof(secret));
	return true;
}

static void nonce_of(const struct hpke *context, uint64_t seq, uint8_t nonce[static HPKE_NONCE])
{
	memcpy(nonce, context->base_nonce, HPKE_NONCE);
	for (size_t i = 0; i < 8; i++)
		nonce[HPKE_NONCE - 1 - i] ^= (uint8_t)(seq >> (8 * i));
}

void hpke_seal(const struct hpke *context, uint64_t seq, struct bytes aad, struct bytes plain, uint8_t *out)
{
	uint8_t nonce[HPKE_NONCE];
	unsigned long long len;
	nonce_of(context, seq, nonce);
	crypto_aead_chacha20poly1305_ietf_encrypt(
		out, &len, plain.data, plain.len, aad.data, aad.len, NULL, nonce, context->key);
}

bool hpke_open(const struct hpke *context, uint64_t seq, struct bytes aad, struct bytes sealed, uint8_t *out)
{
	uint8_t nonce[HPKE_NONCE];
	unsigned long long len;
	nonce_of(context, seq, nonce);
	return sealed.len >= HPKE_TAG && crypto_aead_chacha20poly1305_ietf_decrypt(out, &len, NULL, sealed.data,
						 sealed.len, aad.data, aad.len, nonce, context->key) == 0;
}

void hpke_wipe(struct hpke *context)
{
	sodium_memzero(context, sizeof(*context));
}
