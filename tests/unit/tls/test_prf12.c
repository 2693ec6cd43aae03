#include "support.h"
#include "tls/prf12.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct crypto *crypto;

/* The same by OpenSSL's TLS1-PRF. */
static void openssl_prf(
	const char *digest, struct bytes secret, const char *label, struct bytes seed, uint8_t *out, size_t len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	uint8_t secret_copy[300], seed_copy[300];
	char digest_copy[20], label_copy[40];
	memcpy(secret_copy, secret.data, secret.len);
	memcpy(seed_copy, seed.data, seed.len);
	(void)snprintf(digest_copy, sizeof(digest_copy), "%s", digest);
	(void)snprintf(label_copy, sizeof(label_copy), "%s", label);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest_copy, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, secret_copy, secret.len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, label_copy, strlen(label)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed_copy, seed.len),
		OSSL_PARAM_construct_end(),
	};
	assert_int_equal(EVP_KDF_derive(ctx, out, len, params), 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

static void the_prf_is_openssl_s_at_every_length(void **state)
{
	(void)state;
	uint8_t secret[200], seed[64], got[300], want[300];
	RAND_bytes(secret, sizeof(secret));
	RAND_bytes(seed, sizeof(seed));
	const struct bytes parts[3] = {bytes_of(seed, 10), bytes_of(seed + 10, 30), bytes_of(seed + 40, 24)};
	for (size_t len = 1; len <= sizeof(got); len++) {
		struct bytes key = bytes_of(secret, 1 + len % 199);
		assert_true(prf12(crypto, SUITE_HASH_SHA256, key, bytes_str("some label"), parts, got, len));
		openssl_prf("SHA256", key, "some label", bytes_of(seed, 64), want, len);
		assert_memory_equal(got, want, len);
		assert_true(prf12(crypto, SUITE_HASH_SHA384, key, bytes_str("some label"), parts, got, len));
		openssl_prf("SHA384", key, "some label", bytes_of(seed, 64), want, len);
		assert_memory_equal(got, want, len);
	}
}

static void the_key_block_is_cut_in_the_order_of_the_rfc(void **state)
{
	(void)state;
	uint8_t master[48], randoms[64], block[200], seed[64];
	struct traffic_keys client, server;
	RAND_bytes(master, sizeof(master));
	RAND_bytes(randoms, sizeof(randoms));
	memcpy(seed, randoms + 32, 32);
	memcpy(seed + 32, randoms, 32);
	struct bytes client_random = bytes_of(randoms, 32), server_random = bytes_of(randoms + 32, 32);
	/* ECDHE_RSA_WITH_AES_256_CBC_SHA384: MAC keys of 48, keys of 32, no IVs. */
	assert_true(prf12_keys(
		crypto, suite_find(0xc028), bytes_of(master, 48), client_random, server_random, &client, &server));
	openssl_prf("SHA384", bytes_of(master, 48), "key expansion", bytes_of(seed, 64), block, 160);
	assert_memory_equal(client.mac, block, 48);
	assert_memory_equal(server.mac, block + 48, 48);
	assert_memory_equal(client.key, block + 96, 32);
	assert_memory_equal(server.key, block + 128, 32);
	/* ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: no MAC keys, keys of 32, IVs of 12. */
	assert_true(prf12_keys(
		crypto, suite_find(0xcca8), bytes_of(master, 48), client_random, server_random, &client, &server));
	openssl_prf("SHA256", bytes_of(master, 48), "key expansion", bytes_of(seed, 64), block, 88);
	assert_memory_equal(client.key, block, 32);
	assert_memory_equal(server.key, block + 32, 32);
	assert_memory_equal(client.iv, block + 64, 12);
	assert_memory_equal(server.iv, block + 76, 12);
	assert_false(prf12_keys(
		crypto, suite_find(0x1301), bytes_of(master, 48), client_random, server_random, &client, &server));
	assert_int_equal(client.key[0] | client.iv[0] | server.key[0], 0);
}

static void premasters_of_psks_are_framed(void **state)
{
	(void)state;
	uint8_t room[20];
	struct bytes made;
	struct writer w = writer_over(room, sizeof(room));
	assert_true(prf12_psk_premaster(bytes_str("abc"), BYTES_NONE, &w));
	assert_true(writer_done(&w, &made));
	assert_true(bytes_equal(made, RAW(0, 3, 0, 0, 0, 0, 3, 'a', 'b', 'c')));
	w = writer_over(room, sizeof(room));
	assert_true(prf12_psk_premaster(bytes_str("abc"), bytes_str("xy"), &w));
	assert_true(writer_done(&w, &made));
	assert_true(bytes_equal(made, RAW(0, 2, 'x', 'y', 0, 3, 'a', 'b', 'c')));
	w = writer_over(room, 9);
	assert_false(prf12_psk_premaster(bytes_str("abc"), BYTES_NONE, &w));
}

static void no_hash_gives_no_octets(void **state)
{
	(void)state;
	uint8_t out[40];
	const struct bytes seed[3] = {bytes_str("seed")};
	struct tls_secret master = {.len = 3};
	memset(out, 7, sizeof(out));
	assert_false(prf12(crypto, SUITE_HASH_GOST, bytes_str("key"), bytes_str("label"), seed, out, sizeof(out)));
	assert_int_equal(out[0] | out[39], 0);
	assert_false(prf12_master(
		crypto, SUITE_HASH_NONE, bytes_str("key"), bytes_str("client"), bytes_str("server"), &master));
	assert_int_equal(master.len, 0);
	static const uint8_t huge[65536];
	struct bytes long_context = bytes_of(huge, sizeof(huge));
	assert_false(prf12_export(crypto, SUITE_HASH_SHA256, bytes_str("key"), bytes_str("label"), bytes_str("c"),
		bytes_str("s"), &long_context, out, sizeof(out)));
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
		cmocka_unit_test(the_prf_is_openssl_s_at_every_length),
		cmocka_unit_test(the_key_block_is_cut_in_the_order_of_the_rfc),
		cmocka_unit_test(premasters_of_psks_are_framed),
		cmocka_unit_test(no_hash_gives_no_octets),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
