/* Proofs kept in files: what is written is read back, and nothing else is. */
#include "pact/saved.h"

#include "../pki/forge.h"

#include <openssl/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint8_t certificates[][3] = {{1, 2, 3}, {4, 5, 6}};

static struct saved sample(void)
{
	struct saved saved = {.time_s = 1800000000,
		.leg1 = {.version = 0x0304,
			.alpn = bytes_str("http/1.1"),
			.host = bytes_str("www.example.com"),
			.suites = bytes_of("\x13\x01", 2),
			.groups = bytes_of("\0\x1d", 2),
			.sigalgs = bytes_of("\4\3", 2),
			.offer = {.accepted_roles = ACCORD_READER, .has_approval = true}},
		.proof = bytes_str("a proof")};
	memset(saved.leg1.offer.client_nonce, 7, ACCORD_NONCE);
	memset(saved.leg1.offer.approval_hash, 9, ACCORD_HASH);
	for (size_t i = 0; i < 2; i++)
		saved.leg1.proxy.cert[saved.leg1.proxy.count++] = bytes_of(certificates[i], 3);
	return saved;
}

static void assert_same(const struct saved *a, const struct saved *b)
{
	assert_int_equal(a->time_s, b->time_s);
	assert_int_equal(a->leg1.version, b->leg1.version);
	assert_true(bytes_equal(a->leg1.alpn, b->leg1.alpn));
	assert_true(bytes_equal(a->leg1.host, b->leg1.host));
	assert_true(bytes_equal(a->leg1.address, b->leg1.address));
	assert_true(bytes_equal(a->leg1.suites, b->leg1.suites));
	assert_true(bytes_equal(a->leg1.groups, b->leg1.groups));
	assert_true(bytes_equal(a->leg1.sigalgs, b->leg1.sigalgs));
	assert_memory_equal(a->leg1.offer.client_nonce, b->leg1.offer.client_nonce, ACCORD_NONCE);
	assert_memory_equal(a->leg1.offer.approval_hash, b->leg1.offer.approval_hash, ACCORD_HASH);
	assert_int_equal(a->leg1.offer.has_approval, b->leg1.offer.has_approval);
	assert_int_equal(a->leg1.offer.accepted_roles, b->leg1.offer.accepted_roles);
	assert_int_equal(a->leg1.proxy.count, b->leg1.proxy.count);
	for (size_t i = 0; i < a->leg1.proxy.count; i++)
		assert_true(bytes_equal(a->leg1.proxy.cert[i], b->leg1.proxy.cert[i]));
	assert_true(bytes_equal(a->proof, b->proof));
}

static struct bytes written(const struct saved *saved, uint8_t *room, size_t cap)
{
	struct writer w = writer_over(room, cap);
	struct bytes out;
	assert_true(saved_write(&w, saved));
	assert_true(writer_done(&w, &out));
	return out;
}

static void what_is_written_is_read_back(void **state)
{
	(void)state;
	uint8_t room[512];
	struct saved saved = sample();
	struct saved read;
	assert_int_equal(saved_read(written(&saved, room, sizeof(room)), &read), SAVED_OK);
	assert_same(&saved, &read);
	saved.leg1.host = BYTES_NONE;
	saved.leg1.address = bytes_of("\x7f\0\0\1", 4);
	assert_int_equal(saved_read(written(&saved, room, sizeof(room)), &read), SAVED_OK);
	assert_same(&saved, &read);
}

static void every_truncation_and_every_trailing_octet_is_told(void **state)
{
	(void)state;
	uint8_t room[512] = {0};
	struct saved saved = sample();
	struct saved read;
	struct bytes whole = written(&saved, room, sizeof(room));
	for (size_t len = 0; len < whole.len; len++)
		assert_int_not_equal(saved_read(bytes_of(whole.data, len), &read), SAVED_OK);
	assert_int_equal(saved_read(bytes_of(whole.data, whole.len + 1), &read), SAVED_TRAILING);
	room[0] = 2;
	assert_int_equal(saved_read(whole, &read), SAVED_VERSION_UNKNOWN);
}

static void values_that_cannot_be_are_not_written(void **state)
{
	(void)state;
	static const uint8_t large[ACCORD_MAX_PROOF + 1];
	static uint8_t room[2 * ACCORD_MAX_PROOF];
	for (int i = 0; i < 6; i++) {
		struct saved saved = sample();
		struct writer w = writer_over(room, i == 5 ? 100 : sizeof(room));
		if (i == 0)
			saved.leg1.proxy.count = 0;
		else if (i == 1)
			saved.leg1.proxy.count = ACCORD_MAX_CERTS + 1;
		else if (i == 2)
			saved.proof = BYTES_NONE;
		else if (i == 3)
			saved.proof = bytes_of(large, sizeof(large));
		else if (i == 4)
			saved.leg1.address = bytes_of(large, 5);
		assert_false(saved_write(&w, &saved));
	}
}

static void a_note_cannot_pass_for_the_block(void **state)
{
	(void)state;
	struct saved saved = sample();
	struct saved read;
	struct error err;
	uint8_t *memory;
	char path[4096];
	snprintf(path, sizeof(path), "%s", forge_file("proof.pem", bytes_str(""), 0600));
	struct bytes note = bytes_str("-----BEGIN OVERT ACCORD PROOF-----\nAAAA\n-----END OVERT ACCORD PROOF-----");
	if (!saved_to_file(path, note, &saved, &err))
		fail_msg("%s", err.text);
	if (!saved_from_file(path, &read, &memory, &err))
		fail_msg("%s", err.text);
	assert_same(&saved, &read);
	OPENSSL_free(memory);
}

static int tear_down(void **state)
{
	(void)state;
	forge_cleanup();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(every_truncation_and_every_trailing_octet_is_told),
		cmocka_unit_test(values_that_cannot_be_are_not_written),
		cmocka_unit_test(a_note_cannot_pass_for_the_block),
	};
	return cmocka_run_group_tests(tests, NULL, tear_down);
}
