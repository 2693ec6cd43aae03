#include "agent/share_derive.h"

#include "tls/hello.h"
#include "tls/prf12.h"
#include "tls/schedule13.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static bool compute(const void *ctx, enum suite_hash hash, struct bytes key, struct bytes data, uint8_t *out)
{
	unsigned int len;
	(void)ctx;
	return HMAC(hash == SUITE_HASH_SHA256 ? EVP_sha256() : EVP_sha384(), key.data, (int)key.len, data.data,
		       data.len, out, &len) != NULL;
}

static bool refuse(const void *ctx, enum suite_hash hash, struct bytes key, struct bytes data, uint8_t *out)
{
	(void)ctx, (void)hash, (void)key, (void)data, (void)out;
	return false;
}

static const struct share_hmac hmac = {.compute = compute};
static uint8_t client_random[KEYLOG_RANDOM], server_random[KEYLOG_RANDOM], secret[64];

static struct share_secret a_secret(enum keylog_label label, uint16_t version, uint16_t suite, size_t len)
{
	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)(i * 7 + 1);
	memset(client_random, 0xc1, sizeof(client_random));
	memset(server_random, 0x5e, sizeof(server_random));
	return (struct share_secret){.label = label,
		.version = version,
		.suite = suite,
		.client_random = bytes_of(client_random, sizeof(client_random)),
		.server_random = bytes_of(server_random, sizeof(server_random)),
		.secret = bytes_of(secret, len)};
}

static void every_suite_of_tls_13_gets_the_keys_of_the_key_schedule(void **state)
{
	struct crypto *crypto = crypto_new();
	unsigned done = 0;
	(void)state;
	for (size_t i = 0; suite_at(i); i++) {
		const struct suite *suite = suite_at(i);
		struct shape shape;
		size_t len = crypto_hash_len(suite->prf);
		if (!shape_of(suite, TLS_VERSION_13, &shape) || (len != 32 && len != 48))
			continue;
		struct share_secret from = a_secret(KEYLOG_SERVER_TRAFFIC, TLS_VERSION_13, suite->value, len);
		struct record_key keys[2];
		struct tls_secret traffic = {0};
		struct traffic_keys expected;
		from.epoch = 4;
		assert_true(tls_secret_set(&traffic, from.secret));
		if (suite->prf != SUITE_HASH_SHA256 && suite->prf != SUITE_HASH_SHA384)
			continue;
		assert_true(schedule13_keys(crypto, suite, &traffic, &expected));
		assert_int_equal(share_derive(&hmac, &from, keys), 1);
		assert_memory_equal(keys[0].key, expected.key, shape.key);
		assert_memory_equal(keys[0].iv, expected.iv, shape.iv);
		assert_int_equal(keys[0].key_len, shape.key);
		assert_int_equal(keys[0].epoch, 4);
		assert_false(keys[0].from_client);
		assert_int_equal(keys[0].stage, RECORD_STAGE_APPLICATION);
		done++;
	}
	assert_true(done >= 5);
	crypto_free(crypto);
}

static void every_suite_of_tls_12_gets_the_keys_of_the_key_block(void **state)
{
	struct crypto *crypto = crypto_new();
	unsigned done = 0;
	(void)state;
	for (size_t i = 0; suite_at(i); i++) {
		const struct suite *suite = suite_at(i);
		struct shape shape;
		if (!shape_of(suite, TLS_VERSION_12, &shape) ||
			(suite->prf != SUITE_HASH_SHA256 && suite->prf != SUITE_HASH_SHA384))
			continue;
		struct share_secret from = a_secret(KEYLOG_MASTER, TLS_VERSION_12, suite->value, PRF12_MASTER);
		struct record_key keys[2];
		struct traffic_keys expected[2];
		assert_true(prf12_keys(crypto, suite, from.secret, from.client_random, from.server_random, &expected[0],
			&expected[1]));
		assert_int_equal(share_derive(&hmac, &from, keys), 2);
		for (unsigned side = 0; side < 2; side++) {
			assert_memory_equal(keys[side].key, expected[side].key, shape.key);
			assert_memory_equal(keys[side].iv, expected[side].iv, shape.iv);
			assert_memory_equal(keys[side].mac, expected[side].mac, shape.mac_key);
			assert_int_equal(keys[side].mac_len, shape.mac_key);
			assert_memory_equal(keys[side].client_random, client_random, KEYLOG_RANDOM);
			assert_int_equal(keys[side].from_client, side == 0);
		}
		done++;
	}
	assert_true(done > 50);
	crypto_free(crypto);
}

static void handshake_secrets_give_keys_of_that_stage(void **state)
{
	struct share_secret from = a_secret(KEYLOG_CLIENT_HANDSHAKE, TLS_VERSION_13, 0x1301, 32);
	struct record_key keys[2];
	(void)state;
	assert_int_equal(share_derive(&hmac, &from, keys), 1);
	assert_int_equal(keys[0].stage, RECORD_STAGE_HANDSHAKE);
	assert_true(keys[0].from_client);
}

static void nothing_comes_of_what_may_not_be_shared_or_is_wrong(void **state)
{
	static const enum keylog_label others[] = {
		KEYLOG_EARLY_TRAFFIC, KEYLOG_EXPORTER, KEYLOG_EARLY_EXPORTER, KEYLOG_ECH_SECRET, KEYLOG_MASTER};
	struct record_key keys[2];
	struct share_secret from;
	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		from = a_secret(others[i], TLS_VERSION_13, 0x1301, 32);
		assert_int_equal(share_derive(&hmac, &from, keys), 0);
	}
	from = a_secret(KEYLOG_CLIENT_TRAFFIC, TLS_VERSION_13, 0x1301, 48);
	assert_int_equal(share_derive(&hmac, &from, keys), 0);
	from = a_secret(KEYLOG_CLIENT_TRAFFIC, TLS_VERSION_12, 0xc02f, 48);
	assert_int_equal(share_derive(&hmac, &from, keys), 0);
	from = a_secret(KEYLOG_CLIENT_TRAFFIC, TLS_VERSION_13, 0x0a0a, 32);
	assert_int_equal(share_derive(&hmac, &from, keys), 0);
	from = a_secret(KEYLOG_MASTER, TLS_VERSION_12, 0xc02f, 48);
	from.server_random = BYTES_NONE;
	assert_int_equal(share_derive(&hmac, &from, keys), 0);
	from = a_secret(KEYLOG_CLIENT_TRAFFIC, TLS_VERSION_13, 0x1301, 32);
	assert_int_equal(share_derive(&(struct share_hmac){.compute = refuse}, &from, keys), 0);
	from = a_secret(KEYLOG_MASTER, TLS_VERSION_12, 0xc02f, 48);
	assert_int_equal(share_derive(&(struct share_hmac){.compute = refuse}, &from, keys), 0);
}

static void the_next_secret_is_that_of_the_key_schedule(void **state)
{
	static const uint16_t suites[] = {0x1301, 0x1302, 0x1303};
	struct crypto *crypto = crypto_new();
	(void)state;
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
		const struct suite *suite = suite_find(suites[i]);
		size_t len = crypto_hash_len(suite->prf);
		struct share_secret from = a_secret(KEYLOG_SERVER_TRAFFIC, TLS_VERSION_13, suites[i], len);
		struct tls_secret traffic = {0}, expected;
		uint8_t next[SHARE_HASH_MAX];
		assert_true(tls_secret_set(&traffic, from.secret));
		assert_true(schedule13_next(crypto, suite->prf, &traffic, &expected));
		assert_int_equal(share_derive_next(&hmac, &from, next), len);
		assert_memory_equal(next, expected.octets, len);
	}
	crypto_free(crypto);
}

static void no_secret_follows_from_what_is_wrong(void **state)
{
	uint8_t next[SHARE_HASH_MAX];
	struct share_secret from = a_secret(KEYLOG_CLIENT_TRAFFIC, TLS_VERSION_13, 0x1301, 48);
	(void)state;
	assert_int_equal(share_derive_next(&hmac, &from, next), 0);
	from = a_secret(KEYLOG_CLIENT_TRAFFIC, TLS_VERSION_13, 0x1301, 0);
	assert_int_equal(share_derive_next(&hmac, &from, next), 0);
	from = a_secret(KEYLOG_CLIENT_TRAFFIC, TLS_VERSION_13, 0x0a0a, 32);
	assert_int_equal(share_derive_next(&hmac, &from, next), 0);
	from = a_secret(KEYLOG_MASTER, TLS_VERSION_12, 0xc02f, 32);
	assert_int_equal(share_derive_next(&hmac, &from, next), 0);
	from = a_secret(KEYLOG_CLIENT_TRAFFIC, TLS_VERSION_13, 0x1301, 32);
	assert_int_equal(share_derive_next(&(struct share_hmac){.compute = refuse}, &from, next), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_suite_of_tls_13_gets_the_keys_of_the_key_schedule),
		cmocka_unit_test(every_suite_of_tls_12_gets_the_keys_of_the_key_block),
		cmocka_unit_test(handshake_secrets_give_keys_of_that_stage),
		cmocka_unit_test(nothing_comes_of_what_may_not_be_shared_or_is_wrong),
		cmocka_unit_test(the_next_secret_is_that_of_the_key_schedule),
		cmocka_unit_test(no_secret_follows_from_what_is_wrong),
	};
	return cmocka_run_group_tests_name("agent/share_derive", tests, NULL, NULL);
}
