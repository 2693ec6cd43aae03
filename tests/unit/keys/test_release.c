#include "keys/release.h"
#include "release_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "tls/prf12.h"

static size_t written(const struct release *release, uint8_t room[RELEASE_WRITTEN])
{
	struct writer to = writer_over(room, RELEASE_WRITTEN);
	struct bytes out;
	assert_true(release_write(release, &to));
	assert_true(writer_done(&to, &out));
	return out.len;
}

static void assert_same(const struct release *a, const struct release *b)
{
	uint8_t one[RELEASE_WRITTEN], two[RELEASE_WRITTEN];
	size_t len = written(a, one);
	assert_int_equal(written(b, two), len);
	assert_memory_equal(one, two, len);
}

static void what_is_written_reads_back_the_same(void **state)
{
	(void)state;
	uint8_t room[RELEASE_WRITTEN];
	struct release release, again;
	release_make(&release);
	release.client.ip[15] = 1;
	release.client.port = 1234;
	assert_int_equal(release_read(bytes_of(room, written(&release, room)), &again), RELEASE_OK);
	assert_same(&release, &again);
	assert_int_equal(again.key.epoch, 3);
	assert_int_equal(again.client.port, 1234);
	assert_string_equal(again.name, "www.example.org");
	release_make_raw(&release);
	assert_int_equal(release_read(bytes_of(room, written(&release, room)), &again), RELEASE_OK);
	assert_same(&release, &again);
}

static void a_release_fits_its_cap_with_everything_at_its_longest(void **state)
{
	(void)state;
	uint8_t room[RELEASE_WRITTEN];
	struct release release;
	release_make_raw(&release);
	memset(release.name, 'n', RELEASE_NAME_MAX);
	memset(release.host, 'h', RELEASE_TEXT_MAX);
	memset(release.program, 'p', RELEASE_TEXT_MAX);
	size_t len = written(&release, room);
	assert_true(len + RELEASE_LINE_MAX - release.line_len <= RELEASE_WRITTEN);
}

static void every_truncation_and_every_longer_one_is_refused(void **state)
{
	(void)state;
	uint8_t room[RELEASE_WRITTEN + 1] = {0};
	struct release release, again, none = {0};
	release_make(&release);
	size_t len = written(&release, room);
	for (size_t cut = 0; cut < len; cut++) {
		assert_int_not_equal(release_read(bytes_of(room, cut), &again), RELEASE_OK);
		assert_memory_equal(&again, &none, sizeof(none));
	}
	assert_int_equal(release_read(bytes_of(room, len + 1), &again), RELEASE_TRAILING);
}

static void keys_that_must_not_leave_are_refused(void **state)
{
	(void)state;
	struct release release;
	release_make(&release);
	release.key.stage = RECORD_STAGE_EARLY;
	assert_int_equal(release_check(&release), RELEASE_BAD_PLACE);
	release.key.stage = RECORD_STAGE_HANDSHAKE;
	assert_int_equal(release_check(&release), RELEASE_BAD_PLACE);
	release_make(&release);
	release.key.version = 0x0303; /* the suite is not of that version */
	assert_int_equal(release_check(&release), RELEASE_BAD_PLACE);
	release_make(&release);
	release.key.key_len = 32;
	assert_int_equal(release_check(&release), RELEASE_BAD_KEY);
	release_make(&release);
	release.consent = 3;
	assert_int_equal(release_check(&release), RELEASE_BAD_GRADE);
	release_make(&release);
	release.line_len = 1;
	assert_int_equal(release_check(&release), RELEASE_BAD_LINE);
}

static void a_line_under_another_random_is_refused(void **state)
{
	(void)state;
	struct release release;
	release_make_raw(&release);
	assert_int_equal(release_check(&release), RELEASE_OK);
	release.key.client_random[0] ^= 1;
	assert_int_equal(release_check(&release), RELEASE_BAD_LINE);
	release_make_raw(&release);
	release.line[0] = 'X';
	assert_int_equal(release_check(&release), RELEASE_BAD_LINE);
}

/* Computed with Python's hashlib: BLAKE2b-128 keyed "overt release check 1" over the key as record_key.h writes it. */
static void the_check_is_that_of_an_independent_computation(void **state)
{
	(void)state;
	struct release release;
	uint8_t check[RELEASE_CHECK];
	char hex[2 * RELEASE_CHECK + 1];
	release_make(&release);
	release.key.stage = RECORD_STAGE_APPLICATION;
	assert_true(release_check_octets(&release, check));
	text_hex(hex, sizeof(hex), bytes_of(check, sizeof(check)));
	assert_string_equal(hex, "5508e3dd1716ca2890aacf66ee3283a4");
}

static void the_check_is_of_the_key_and_its_place_alone(void **state)
{
	(void)state;
	struct release release;
	uint8_t one[RELEASE_CHECK], two[RELEASE_CHECK];
	release_make(&release);
	assert_true(release_check_octets(&release, one));
	release.made_ns++;
	release.pid++;
	release.host[0] = 'x';
	assert_true(release_check_octets(&release, two));
	assert_memory_equal(one, two, sizeof(one));
	release.key.key[15] ^= 1;
	assert_true(release_check_octets(&release, two));
	assert_memory_not_equal(one, two, sizeof(one));
}

/* RFC 8448, 3: server application traffic secret and its key and IV. */
static void record_keys_of_tls13_are_those_of_the_rfc(void **state)
{
	(void)state;
	static const char secret_hex[] = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
	uint8_t secret[32];
	char hex[65];
	size_t len;
	struct release release = {.mode = RELEASE_LIVE, .consent = RELEASE_BOTH};
	struct crypto *crypto = crypto_new();
	assert_true(text_unhex(secret, sizeof(secret), &len, bytes_str(secret_hex)));
	assert_true(release_from_secret13(&release, crypto, 0x1301, false, 0, bytes_of(secret, len)));
	assert_int_equal(release_check(&release), RELEASE_OK);
	text_hex(hex, sizeof(hex), bytes_of(release.key.key, release.key.key_len));
	assert_string_equal(hex, "9f02283b6c9c07efc26bb9f2ac92e356");
	text_hex(hex, sizeof(hex), bytes_of(release.key.iv, release.key.iv_len));
	assert_string_equal(hex, "cf782b88dd83549aadf1e984");
	assert_false(release_from_secret13(&release, crypto, 0x1302, false, 0, bytes_of(secret, len)));
	assert_false(release_from_secret13(&release, crypto, 0xc02f, false, 0, bytes_of(secret, len)));
	crypto_free(crypto);
}

static void a_master_secret_gives_both_directions(void **state)
{
	(void)state;
	uint8_t master[PRF12_MASTER] = {7}, random[KEYLOG_RANDOM] = {9};
	struct release client = {.mode = RELEASE_LIVE, .consent = RELEASE_BOTH}, server = client;
	struct crypto *crypto = crypto_new();
	memset(client.key.client_random, 5, KEYLOG_RANDOM);
	/* An AEAD, and a block cipher with a MAC. */
	static const uint16_t suites[] = {0xc02f, 0xc013};
	for (size_t i = 0; i < 2; i++) {
		assert_true(release_from_master12(&client, &server, crypto, suites[i], bytes_of(random, sizeof(random)),
			bytes_of(master, sizeof(master))));
		assert_int_equal(release_check(&client), RELEASE_OK);
		assert_int_equal(release_check(&server), RELEASE_OK);
		assert_true(client.key.from_client && !server.key.from_client);
		assert_memory_equal(client.key.client_random, server.key.client_random, KEYLOG_RANDOM);
		assert_memory_not_equal(client.key.key, server.key.key, 16);
	}
	assert_int_equal(client.key.mac_len, 20);
	assert_false(release_from_master12(&client, &server, crypto, 0xc02f, bytes_of(random, sizeof(random)),
		bytes_of(master, sizeof(master) - 1)));
	crypto_free(crypto);
}

static void releases_come_to_the_keyring(void **state)
{
	(void)state;
	struct release release;
	struct record_key found[2];
	struct keyset set = {0};
	struct keyring *ring = keyring_new(NULL);
	release_make(&release);
	struct bytes random = bytes_of(release.key.client_random, KEYLOG_RANDOM);
	assert_true(release_to_keyring(&release, ring));
	assert_int_equal(keyring_record_keys(ring, random, 0, found, 2), 1);
	assert_memory_equal(found[0].key, release.key.key, 16);
	release_make_raw(&release);
	assert_true(release_to_keyring(&release, ring));
	assert_int_equal(keyring_find_random(ring, bytes_of(release.key.client_random, KEYLOG_RANDOM), &set), 1);
	keyset_free(&set);
	keyring_free(ring);
}

static void the_ends_of_a_release_lead_to_its_random(void **state)
{
	(void)state;
	struct release release;
	uint8_t found[2][KEYLOG_RANDOM];
	struct keyring *ring = keyring_new(NULL);
	release_make(&release);
	release.client = (struct hostport){.ip = {[15] = 1}, .port = 40000};
	release.server = (struct hostport){.ip = {[15] = 2}, .port = 443};
	struct keyring_ends forth = {{release.client, release.server}}, back = {{release.server, release.client}};
	assert_int_equal(keyring_ends_randoms(ring, &forth, found, 2), 0);
	/* The same ends three times: the newest come first, the same random once. */
	for (uint8_t i = 0; i < 6; i++) {
		release.key.client_random[0] = i / 2;
		release.key.epoch = i;
		assert_true(release_to_keyring(&release, ring));
	}
	assert_int_equal(keyring_count(ring).ends.held, 3);
	assert_int_equal(keyring_ends_randoms(ring, &forth, found, 2), 2);
	assert_int_equal(found[0][0], 2);
	assert_int_equal(found[1][0], 1);
	assert_int_equal(keyring_ends_randoms(ring, &back, found, 2), 2);
	assert_int_equal(found[0][0], 2);
	back.end[0].port++;
	assert_int_equal(keyring_ends_randoms(ring, &back, found, 2), 0);
	/* Where one is not known nothing is said. */
	release.client = (struct hostport){0};
	release.key.client_random[0] = 9;
	assert_true(release_to_keyring(&release, ring));
	assert_int_equal(keyring_count(ring).ends.held, 3);
	keyring_free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_reads_back_the_same),
		cmocka_unit_test(a_release_fits_its_cap_with_everything_at_its_longest),
		cmocka_unit_test(every_truncation_and_every_longer_one_is_refused),
		cmocka_unit_test(keys_that_must_not_leave_are_refused),
		cmocka_unit_test(a_line_under_another_random_is_refused),
		cmocka_unit_test(the_check_is_that_of_an_independent_computation),
		cmocka_unit_test(the_check_is_of_the_key_and_its_place_alone),
		cmocka_unit_test(record_keys_of_tls13_are_those_of_the_rfc),
		cmocka_unit_test(a_master_secret_gives_both_directions),
		cmocka_unit_test(releases_come_to_the_keyring),
		cmocka_unit_test(the_ends_of_a_release_lead_to_its_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
