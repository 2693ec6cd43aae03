#include "share/line_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#define GIVEN 1024

/* What came out. */
struct bed {
	struct line_keys *lines;
	size_t count;
	struct release given[GIVEN];
};

static void give(void *arg, const struct release *release)
{
	struct bed *bed = arg;
	assert_true(bed->count < GIVEN);
	assert_int_equal(release_check(release), RELEASE_OK);
	bed->given[bed->count++] = *release;
}

static int begin(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));
	const struct line_keys_options options = {.give = give, .arg = bed};
	assert_non_null(bed);
	bed->lines = line_keys_new(&options);
	assert_non_null(bed->lines);
	*state = bed;
	return 0;
}

static int end(void **state)
{
	struct bed *bed = *state;
	line_keys_free(bed->lines);
	free(bed);
	return 0;
}

/* RFC 8448, 3: both application traffic secrets, and the key and IV of the server's. */
#define CLIENT_SECRET "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"
#define SERVER_SECRET "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"
#define SERVER_KEY    "9f02283b6c9c07efc26bb9f2ac92e356"
#define SERVER_IV     "cf782b88dd83549aadf1e984"
#define RANDOM        "cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7"

/* One line, come at this time. */
static bool put_at(struct bed *bed, uint64_t came_ns, const char *label, const char *random, const char *secret)
{
	char text[RELEASE_LINE_MAX];
	uint8_t octets[KEYLOG_MAX_SECRET];
	struct keylog_line line;
	int len = snprintf(text, sizeof(text), "%s %s %s", label, random, secret);
	assert_int_equal(keylog_parse(bytes_of(text, (size_t)len), &line), KEYLOG_OK);
	size_t size = keylog_secret(&line, octets, sizeof(octets));
	return line_keys_take(bed->lines, &line, bytes_of(octets, size), came_ns);
}

static bool put(struct bed *bed, const char *label, const char *secret)
{
	return put_at(bed, 1, label, RANDOM, secret);
}

static struct line_greeting greeting_of(uint16_t version, uint16_t suite, const char *name)
{
	struct line_greeting greeting = {.version = version,
		.suite = suite,
		.client = {.ip = {[15] = 1}, .port = 40000},
		.server = {.ip = {[15] = 2}, .port = 443}};
	size_t len;
	assert_true(text_unhex(greeting.client_random, KEYLOG_RANDOM, &len, bytes_str(RANDOM)));
	memset(greeting.server_random, 0x5e, KEYLOG_RANDOM);
	release_text(greeting.name, sizeof(greeting.name), bytes_str(name));
	return greeting;
}

static void meet(struct bed *bed, uint16_t version, uint16_t suite, const char *name)
{
	const struct line_greeting greeting = greeting_of(version, suite, name);
	line_keys_meet(bed->lines, &greeting);
}

static void assert_hex(const uint8_t *octets, size_t len, const char *hex)
{
	char text[2 * RECORD_KEY_MAX + 1];
	text_hex(text, sizeof(text), bytes_of(octets, len));
	assert_string_equal(text, hex);
}

/* HKDF-Expand-Label as OpenSSL does it. */
static void openssl_expand(const char *hash, struct bytes secret, const char *label, uint8_t *out, size_t len)
{
	uint8_t key[KEYLOG_MAX_SECRET];
	char name[16];
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	memcpy(key, secret.data, secret.len);
	snprintf(name, sizeof(name), "%s", label);
	char prefix[] = "tls13 ", digest[16];
	snprintf(digest, sizeof(digest), "%s", hash);
	OSSL_PARAM params[] = {OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key, secret.len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, prefix, 6),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, name, strlen(label)),
		OSSL_PARAM_construct_end()};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	assert_true(ctx && EVP_KDF_derive(ctx, out, len, params) == 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

static void assert_openssl(const struct release *release, const char *hash, const char *secret_hex)
{
	uint8_t secret[48], key[RECORD_KEY_MAX], iv[12];
	size_t len;
	assert_true(text_unhex(secret, sizeof(secret), &len, bytes_str(secret_hex)));
	openssl_expand(hash, bytes_of(secret, len), "key", key, release->key.key_len);
	openssl_expand(hash, bytes_of(secret, len), "iv", iv, sizeof(iv));
	assert_memory_equal(release->key.key, key, release->key.key_len);
	assert_int_equal(release->key.iv_len, sizeof(iv));
	assert_memory_equal(release->key.iv, iv, sizeof(iv));
}

static void without_hellos_each_suite_of_the_hash_gets_its_key(void **state)
{
	struct bed *bed = *state;
	assert_true(put(bed, "SERVER_TRAFFIC_SECRET_0", SERVER_SECRET));
	assert_int_equal(bed->count, 2);
	const struct release *aes = &bed->given[0], *chacha = &bed->given[1];
	assert_int_equal(aes->key.suite, 0x1301);
	assert_hex(aes->key.key, aes->key.key_len, SERVER_KEY);
	assert_hex(aes->key.iv, aes->key.iv_len, SERVER_IV);
	assert_int_equal(chacha->key.suite, 0x1303);
	assert_int_equal(chacha->key.key_len, 32);
	assert_openssl(chacha, "SHA256", SERVER_SECRET);
	for (size_t i = 0; i < 2; i++) {
		const struct release *release = &bed->given[i];
		assert_hex(release->key.client_random, KEYLOG_RANDOM, RANDOM);
		assert_false(release->key.from_client);
		assert_int_equal(release->key.epoch, 0);
		assert_int_equal(release->consent, RELEASE_UNILATERAL);
		assert_int_equal(release->mode, RELEASE_LIVE);
		assert_string_equal(release->name, "");
		assert_true(hostport_is_none(&release->client) && hostport_is_none(&release->server));
	}
	struct line_keys_counts counts = line_keys_count(bed->lines);
	assert_true(counts.guessed == 1 && counts.met == 0 && counts.keys == 2 && counts.held == 0);
}

static void where_ccm_is_tried_all_suites_of_the_hash_get_their_keys(void **state)
{
	struct bed *bed = *state;
	static const uint16_t suites[] = {0x1301, 0x1303, 0x1304, 0x1305};
	const struct line_keys_options options = {.give = give, .arg = bed, .ccm = true};
	line_keys_free(bed->lines);
	bed->lines = line_keys_new(&options);
	assert_non_null(bed->lines);
	assert_true(put(bed, "SERVER_TRAFFIC_SECRET_0", SERVER_SECRET));
	assert_int_equal(bed->count, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(bed->given[i].key.suite, suites[i]);
		assert_openssl(&bed->given[i], "SHA256", SERVER_SECRET);
	}
}

#define LONG_SECRET "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f"

static void a_secret_of_sha384_is_of_one_suite_alone(void **state)
{
	struct bed *bed = *state;
	assert_true(put(bed, "CLIENT_TRAFFIC_SECRET_0", LONG_SECRET));
	assert_int_equal(bed->count, 1);
	assert_int_equal(bed->given[0].key.suite, 0x1302);
	assert_true(bed->given[0].key.from_client);
	assert_openssl(&bed->given[0], "SHA384", LONG_SECRET);
}

static void with_the_hellos_there_is_one_key_and_its_connection_is_known(void **state)
{
	struct bed *bed = *state;
	/* None that is tried without them. */
	static const uint16_t suites[] = {0x1304, 0x1305};
	for (size_t i = 0; i < 2; i++) {
		char random[] = RANDOM;
		random[0] = (char)('0' + i);
		struct line_greeting greeting = greeting_of(0x0304, suites[i], "site.test");
		greeting.client_random[0] = (uint8_t)(i << 4 | (greeting.client_random[0] & 15));
		bed->count = 0;
		line_keys_wait(bed->lines, true);
		assert_true(put_at(bed, i, "CLIENT_TRAFFIC_SECRET_0", random, CLIENT_SECRET));
		line_keys_meet(bed->lines, &greeting);
		/* Somebody else may still say hello with the same random. */
		assert_int_equal(bed->count, 0);
		line_keys_pass(bed->lines, i);
		assert_int_equal(bed->count, 1);
		const struct release *release = &bed->given[0];
		assert_int_equal(release->key.suite, suites[i]);
		assert_openssl(release, "SHA256", CLIENT_SECRET);
		assert_string_equal(release->name, "site.test");
		assert_int_equal(release->client.port, 40000);
		assert_int_equal(release->server.port, 443);
	}
	assert_int_equal(line_keys_count(bed->lines).met, 2);
}

static void hellos_may_come_before_the_line_and_after_it(void **state)
{
	struct bed *bed = *state;
	line_keys_wait(bed->lines, true);
	assert_true(put_at(bed, 1, "CLIENT_TRAFFIC_SECRET_0", RANDOM, CLIENT_SECRET));
	meet(bed, 0x0304, 0x1301, "site.test");
	assert_true(put_at(bed, 2, "SERVER_TRAFFIC_SECRET_0", RANDOM, SERVER_SECRET));
	line_keys_pass(bed->lines, 2);
	assert_int_equal(bed->count, 2);
	assert_hex(bed->given[1].key.key, bed->given[1].key.key_len, SERVER_KEY);
}

static void a_secret_waits_until_what_was_on_the_wire_before_it_has_been_seen(void **state)
{
	struct bed *bed = *state;
	line_keys_wait(bed->lines, true);
	assert_true(put_at(bed, 10, "CLIENT_TRAFFIC_SECRET_0", RANDOM, CLIENT_SECRET));
	assert_true(put_at(bed, 20, "SERVER_TRAFFIC_SECRET_0", RANDOM, SERVER_SECRET));
	line_keys_pass(bed->lines, 9);
	assert_int_equal(bed->count, 0);
	assert_int_equal(line_keys_count(bed->lines).held, 2);
	line_keys_pass(bed->lines, 10);
	assert_int_equal(bed->count, 2);
	assert_true(bed->given[0].key.from_client && bed->given[1].key.from_client);
	assert_int_equal(line_keys_count(bed->lines).held, 1);
	/* Nobody looks for hellos any more. */
	line_keys_wait(bed->lines, false);
	assert_int_equal(bed->count, 4);
	assert_int_equal(line_keys_count(bed->lines).held, 0);
	assert_int_equal(line_keys_count(bed->lines).guessed, 2);
}

static void hellos_of_one_random_that_do_not_agree_tell_nothing(void **state)
{
	struct bed *bed = *state;
	line_keys_wait(bed->lines, true);
	meet(bed, 0x0304, 0x1301, "site.test");
	meet(bed, 0x0304, 0x1301, "other.test");
	meet(bed, 0x0304, 0x1301, "site.test");
	assert_true(put(bed, "CLIENT_TRAFFIC_SECRET_0", CLIENT_SECRET));
	line_keys_pass(bed->lines, UINT64_MAX);
	assert_int_equal(bed->count, 2);
	assert_string_equal(bed->given[0].name, "");
	assert_int_equal(line_keys_count(bed->lines).guessed, 1);
}

static void hellos_seen_twice_with_other_addresses_agree(void **state)
{
	struct bed *bed = *state;
	struct line_greeting again = greeting_of(0x0304, 0x1301, "site.test");
	again.client.port = 7;
	line_keys_wait(bed->lines, true);
	meet(bed, 0x0304, 0x1301, "site.test");
	line_keys_meet(bed->lines, &again);
	assert_true(put(bed, "CLIENT_TRAFFIC_SECRET_0", CLIENT_SECRET));
	line_keys_pass(bed->lines, UINT64_MAX);
	assert_int_equal(bed->count, 1);
	assert_int_equal(bed->given[0].client.port, 40000);
}

/* The key block by OpenSSL's PRF (RFC 5246, 6.3). */
static void openssl_key_block(
	const uint8_t *master, const uint8_t *server, const uint8_t *client, uint8_t *out, size_t len)
{
	uint8_t secret[48], seed[13 + 2 * KEYLOG_RANDOM];
	char digest[] = "SHA256";
	struct writer to = writer_over(seed, sizeof(seed));
	memcpy(secret, master, sizeof(secret));
	writer_bytes(&to, bytes_str("key expansion"));
	writer_bytes(&to, bytes_of(server, KEYLOG_RANDOM));
	writer_bytes(&to, bytes_of(client, KEYLOG_RANDOM));
	OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, secret, sizeof(secret)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed)), OSSL_PARAM_construct_end()};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	assert_true(ctx && EVP_KDF_derive(ctx, out, len, params) == 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

static void a_master_secret_gives_both_keys_with_the_hellos(void **state)
{
	struct bed *bed = *state;
	uint8_t master[48], block[40];
	size_t len;
	const struct line_greeting greeting = greeting_of(0x0303, 0xc02f, "site.test");
	line_keys_wait(bed->lines, true);
	assert_true(put(bed, "CLIENT_RANDOM", LONG_SECRET));
	line_keys_meet(bed->lines, &greeting);
	line_keys_pass(bed->lines, UINT64_MAX);
	assert_int_equal(bed->count, 2);
	assert_true(text_unhex(master, sizeof(master), &len, bytes_str(LONG_SECRET)));
	openssl_key_block(master, greeting.server_random, greeting.client_random, block, sizeof(block));
	/* Both keys, then both IVs. */
	for (size_t i = 0; i < 2; i++) {
		const struct release *release = &bed->given[i];
		assert_int_equal(release->key.version, 0x0303);
		assert_int_equal(release->key.from_client, i == 0);
		assert_memory_equal(release->key.key, block + 16 * i, 16);
		assert_memory_equal(release->key.iv, block + 32 + 4 * i, 4);
		assert_hex(release->key.client_random, KEYLOG_RANDOM, RANDOM);
		assert_string_equal(release->name, "site.test");
	}
}

static void a_master_secret_without_hellos_gives_nothing_and_is_counted(void **state)
{
	struct bed *bed = *state;
	assert_true(put(bed, "CLIENT_RANDOM", LONG_SECRET));
	assert_int_equal(bed->count, 0);
	assert_int_equal(line_keys_count(bed->lines).unsure, 1);
	assert_int_equal(line_keys_count(bed->lines).held, 0);
}

static void a_secret_that_does_not_fit_its_hellos_gives_nothing(void **state)
{
	struct bed *bed = *state;
	line_keys_wait(bed->lines, true);
	meet(bed, 0x0304, 0x1302, "site.test");
	/* Of another hash, and of another version. */
	assert_true(put(bed, "CLIENT_TRAFFIC_SECRET_0", CLIENT_SECRET));
	assert_true(put(bed, "CLIENT_RANDOM", LONG_SECRET));
	line_keys_pass(bed->lines, UINT64_MAX);
	assert_int_equal(bed->count, 0);
	assert_int_equal(line_keys_count(bed->lines).unfit, 2);
}

static void handshake_early_and_exporter_secrets_are_never_released(void **state)
{
	struct bed *bed = *state;
	static const char *const labels[] = {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET",
		"CLIENT_EARLY_TRAFFIC_SECRET", "EXPORTER_SECRET", "EARLY_EXPORTER_SECRET"};
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
		assert_false(put(bed, labels[i], CLIENT_SECRET));
	assert_int_equal(bed->count, 0);
}

/* RFC 8446, 7.2, by OpenSSL: what follows a secret. */
static void next_of(const char *secret_hex, char out[65])
{
	uint8_t secret[32], next[32];
	size_t len;
	assert_true(text_unhex(secret, sizeof(secret), &len, bytes_str(secret_hex)));
	openssl_expand("SHA256", bytes_of(secret, len), "traffic upd", next, sizeof(next));
	text_hex(out, 65, bytes_of(next, sizeof(next)));
}

static void a_secret_without_a_number_gets_it_from_the_one_before(void **state)
{
	struct bed *bed = *state;
	char one[65], two[65];
	next_of(SERVER_SECRET, one);
	next_of(one, two);
	line_keys_wait(bed->lines, true);
	meet(bed, 0x0304, 0x1303, "site.test");
	assert_true(put(bed, "SERVER_TRAFFIC_SECRET_0", SERVER_SECRET));
	/* Not of this direction, and not of its turn. */
	assert_false(put(bed, "CLIENT_TRAFFIC_SECRET_N", one));
	assert_false(put(bed, "SERVER_TRAFFIC_SECRET_N", two));
	assert_true(put(bed, "SERVER_TRAFFIC_SECRET_N", one));
	assert_true(put(bed, "SERVER_TRAFFIC_SECRET_N", two));
	/* Once. */
	assert_false(put(bed, "SERVER_TRAFFIC_SECRET_N", two));
	line_keys_pass(bed->lines, UINT64_MAX);
	assert_int_equal(bed->count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(bed->given[i].key.epoch, i);
		assert_int_equal(bed->given[i].key.suite, 0x1303);
	}
	assert_openssl(&bed->given[2], "SHA256", two);
}

static void of_too_many_secrets_the_oldest_waits_no_longer(void **state)
{
	struct bed *bed = *state;
	line_keys_wait(bed->lines, true);
	for (unsigned i = 0; i <= LINE_KEYS_HELD; i++) {
		char random[2 * KEYLOG_RANDOM + 1];
		snprintf(random, sizeof(random), "%064x", i);
		assert_true(put_at(bed, i, "CLIENT_TRAFFIC_SECRET_0", random, CLIENT_SECRET));
	}
	assert_int_equal(bed->count, 2);
	assert_int_equal(bed->given[0].key.client_random[31], 0);
	struct line_keys_counts counts = line_keys_count(bed->lines);
	assert_true(counts.crowded == 1 && counts.guessed == 1);
	assert_int_equal(counts.held, LINE_KEYS_HELD);
}

/* Hellos of others, whose randoms differ in two octets from `at` on. */
static void meet_others(struct bed *bed, unsigned count, size_t at)
{
	for (unsigned i = 0; i < count; i++) {
		struct line_greeting greeting = greeting_of(0x0304, 0x1301, "other.test");
		greeting.client_random[at] ^= (uint8_t)(i + 1);
		greeting.client_random[at + 1] ^= (uint8_t)((i + 1) >> 8);
		line_keys_meet(bed->lines, &greeting);
	}
}

/* Whoever could push out the hellos of a connection could have its keys go out under a name of his. */
static void a_few_hellos_with_chosen_randoms_push_no_other_out(void **state)
{
	struct bed *bed = *state;
	line_keys_wait(bed->lines, true);
	meet(bed, 0x0304, 0x1301, "site.test");
	/* The last octets are the same. */
	meet_others(bed, 8, 0);
	assert_true(put(bed, "CLIENT_TRAFFIC_SECRET_0", CLIENT_SECRET));
	line_keys_pass(bed->lines, UINT64_MAX);
	assert_int_equal(line_keys_count(bed->lines).met, 1);
	assert_string_equal(bed->given[0].name, "site.test");
}

static void of_too_many_hellos_the_oldest_is_forgotten(void **state)
{
	struct bed *bed = *state;
	line_keys_wait(bed->lines, true);
	meet(bed, 0x0304, 0x1301, "site.test");
	/* Whichever bucket it is in, four others of that many are there, but for once in 10^20. */
	meet_others(bed, 15 * LINE_KEYS_GREETINGS, 0);
	assert_true(put(bed, "CLIENT_TRAFFIC_SECRET_0", CLIENT_SECRET));
	line_keys_pass(bed->lines, UINT64_MAX);
	assert_int_equal(line_keys_count(bed->lines).guessed, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(without_hellos_each_suite_of_the_hash_gets_its_key),
		TEST(where_ccm_is_tried_all_suites_of_the_hash_get_their_keys),
		TEST(a_secret_of_sha384_is_of_one_suite_alone),
		TEST(with_the_hellos_there_is_one_key_and_its_connection_is_known),
		TEST(hellos_may_come_before_the_line_and_after_it),
		TEST(a_secret_waits_until_what_was_on_the_wire_before_it_has_been_seen),
		TEST(hellos_of_one_random_that_do_not_agree_tell_nothing),
		TEST(hellos_seen_twice_with_other_addresses_agree),
		TEST(a_master_secret_gives_both_keys_with_the_hellos),
		TEST(a_master_secret_without_hellos_gives_nothing_and_is_counted),
		TEST(a_secret_that_does_not_fit_its_hellos_gives_nothing),
		TEST(handshake_early_and_exporter_secrets_are_never_released),
		TEST(a_secret_without_a_number_gets_it_from_the_one_before),
		TEST(of_too_many_secrets_the_oldest_waits_no_longer),
		TEST(a_few_hellos_with_chosen_randoms_push_no_other_out),
		TEST(of_too_many_hellos_the_oldest_is_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
