#include "support.h"
#include "tls/crypto.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct crypto *crypto;

static void hmac_is_openssl_s_for_keys_of_every_length(void **state)
{
	(void)state;
	static const enum suite_hash hashes[] = {
		SUITE_HASH_MD5, SUITE_HASH_SHA1, SUITE_HASH_SHA256, SUITE_HASH_SHA384, SUITE_HASH_SHA512};
	uint8_t key[200], data[300];
	RAND_bytes(key, sizeof(key));
	RAND_bytes(data, sizeof(data));
	for (size_t h = 0; h < sizeof(hashes) / sizeof(hashes[0]); h++) {
		const EVP_MD *md = crypto_md(crypto, hashes[h]);
		assert_non_null(md);
		for (size_t len = 0; len <= sizeof(key); len++) {
			struct bytes parts[3] = {bytes_of(data, len), BYTES_NONE, bytes_of(data + len, 300 - len)};
			struct tls_secret got;
			uint8_t want[64];
			unsigned n;
			assert_true(crypto_hmac(crypto, hashes[h], bytes_of(key, len), parts, 3, &got));
			assert_non_null(HMAC(md, key, (int)len, data, sizeof(data), want, &n));
			assert_int_equal(got.len, n);
			assert_int_equal(got.len, crypto_hash_len(hashes[h]));
			assert_memory_equal(got.octets, want, n);
		}
	}
}

static void what_there_is_not_is_refused_without_a_trace(void **state)
{
	(void)state;
	struct tls_secret out = {.len = 5};
	struct suite unknown = {.cipher = SUITE_CIPHER_AEGIS, .key_bits = 128};
	bool legacy = true;
	assert_false(crypto_hash(crypto, SUITE_HASH_GOST, bytes_str("x"), &out));
	assert_int_equal(out.len, 0);
	assert_false(crypto_hash(crypto, SUITE_HASH_NONE, bytes_str("x"), &out));
	assert_null(crypto_md(crypto, (enum suite_hash)99));
	assert_int_equal(crypto_hash_len((enum suite_hash)99), 0);
	assert_null(crypto_cipher(crypto, &unknown, CRYPTO_OWN, &legacy));
	assert_false(legacy);
	unknown.cipher = SUITE_CIPHER_CAMELLIA_GCM;
	assert_null(crypto_cipher(crypto, &unknown, CRYPTO_OWN, &legacy));
	assert_null(crypto_cipher(crypto, &unknown, CRYPTO_OWN, NULL));
	assert_int_equal(ERR_peek_error(), 0);
}

static void the_legacy_provider_stays_apart(void **state)
{
	(void)state;
	const struct suite *rc4 = suite_find(0x0005);
	bool legacy;
	if (!crypto_cipher(crypto, rc4, CRYPTO_OWN, &legacy)) {
		assert_true(legacy);
		skip();
	}
	assert_null(EVP_CIPHER_fetch(NULL, "RC4", NULL));
	ERR_clear_error();
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
	assert_non_null(cipher);
	EVP_CIPHER_free(cipher);
}

static void secrets_are_bounded_and_wiped(void **state)
{
	(void)state;
	uint8_t long_one[TLS_SECRET_MAX + 1] = {1};
	struct tls_secret secret = {0};
	assert_true(tls_secret_set(&secret, bytes_of(long_one, TLS_SECRET_MAX)));
	assert_false(tls_secret_set(&secret, bytes_of(long_one, TLS_SECRET_MAX + 1)));
	assert_int_equal(secret.len, TLS_SECRET_MAX);
	tls_secret_wipe(&secret);
	assert_int_equal(secret.len, 0);
	assert_int_equal(secret.octets[0], 0);
	assert_true(tls_secret_set(&secret, BYTES_NONE));
	crypto_free(NULL);
}

static int begin(void **state)
{
	(void)state;
	crypto = crypto_new();
	return crypto ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	crypto_free(crypto);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hmac_is_openssl_s_for_keys_of_every_length),
		cmocka_unit_test(what_there_is_not_is_refused_without_a_trace),
		cmocka_unit_test(the_legacy_provider_stays_apart),
		cmocka_unit_test(secrets_are_bounded_and_wiped),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
