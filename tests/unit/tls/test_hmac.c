#include "tls/hmac.h"

#include <openssl/evp.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct {
	enum suite_hash hash;
	const char *name;
} hashes[] = {{SUITE_HASH_SHA256, "SHA256"}, {SUITE_HASH_SHA384, "SHA384"}, {SUITE_HASH_SHA1, "SHA1"},
	{SUITE_HASH_SHA512, "SHA512"}};

static void fill(uint8_t *octets, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		octets[i] = (uint8_t)(i * 37 + seed);
}

static void assert_is_libcryptos(const struct hmac_key *hmac, const char *name, struct bytes key, struct bytes text)
{
	uint8_t want[EVP_MAX_MD_SIZE];
	size_t len = 0;
	struct tls_secret got;
	struct bytes halves[2] = {text, text};
	halves[0].len = text.len / 3;
	assert_true(bytes_skip(&halves[1], text.len / 3));
	assert_true(hmac_of(hmac, halves, 2, &got));
	assert_non_null(EVP_Q_mac(
		NULL, "HMAC", NULL, name, NULL, key.data, key.len, text.data, text.len, want, sizeof(want), &len));
	assert_int_equal(got.len, len);
	assert_memory_equal(got.octets, want, len);
}

static void every_length_of_key_and_text_gives_what_libcrypto_gives(void **state)
{
	(void)state;
	struct crypto *crypto = crypto_new();
	uint8_t key[200], text[300];
	fill(key, sizeof(key), 1);
	fill(text, sizeof(text), 2);
	assert_non_null(crypto);
	for (size_t h = 0; h < sizeof(hashes) / sizeof(*hashes); h++) {
		for (size_t key_len = 1; key_len <= sizeof(key); key_len += 13) {
			struct hmac_key hmac;
			struct bytes k = bytes_of(key, key_len);
			assert_true(hmac_key_set(&hmac, crypto, hashes[h].hash, k));
			for (size_t len = 0; len <= sizeof(text); len += 11)
				assert_is_libcryptos(&hmac, hashes[h].name, k, bytes_of(text, len));
			hmac_key_wipe(&hmac);
		}
	}
	crypto_free(crypto);
}

static void what_comes_out_may_be_among_what_goes_in(void **state)
{
	(void)state;
	struct crypto *crypto = crypto_new();
	struct hmac_key hmac;
	struct tls_secret once, chain = {.len = 5, .octets = "chain"};
	struct bytes part = bytes_str("chain");
	assert_true(hmac_key_set(&hmac, crypto, SUITE_HASH_SHA384, bytes_str("a key")));
	assert_true(hmac_of(&hmac, &part, 1, &once));
	part = tls_secret_bytes(&chain);
	assert_true(hmac_of(&hmac, &part, 1, &chain));
	assert_memory_equal(&once, &chain, sizeof(once.len) + once.len);
	hmac_key_wipe(&hmac);
	crypto_free(crypto);
}

static void a_wiped_key_leaves_nothing_and_an_unknown_hash_is_refused(void **state)
{
	(void)state;
	static const struct hmac_key none;
	struct crypto *crypto = crypto_new();
	struct hmac_key hmac;
	memset(&hmac, 0, sizeof(hmac));
	assert_true(hmac_key_set(&hmac, crypto, SUITE_HASH_SHA384, bytes_str("a key")));
	hmac_key_wipe(&hmac);
	assert_memory_equal(&hmac.inner, &none.inner, sizeof(hmac.inner));
	assert_memory_equal(&hmac.outer, &none.outer, sizeof(hmac.outer));
	assert_false(hmac_key_set(&hmac, crypto, SUITE_HASH_GOST, bytes_str("a key")));
	crypto_free(crypto);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_of_key_and_text_gives_what_libcrypto_gives),
		cmocka_unit_test(what_comes_out_may_be_among_what_goes_in),
		cmocka_unit_test(a_wiped_key_leaves_nothing_and_an_unknown_hash_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
