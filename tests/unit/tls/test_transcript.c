#include "support.h"
#include "tls/transcript.h"

#include <openssl/evp.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_hash(const struct transcript *t, const EVP_MD *md, struct bytes of)
{
	struct tls_secret got;
	uint8_t want[64];
	unsigned len;
	assert_int_equal(transcript_value(t, &got), TRANSCRIPT_OK);
	assert_int_equal(EVP_Digest(of.data, of.len, want, &len, md, NULL), 1);
	assert_int_equal(got.len, len);
	assert_memory_equal(got.octets, want, len);
}

static void the_value_is_that_of_all_messages_before_and_after_the_choice(void **state)
{
	(void)state;
	struct transcript t;
	transcript_init(&t, 100);
	assert_int_equal(transcript_add(&t, bytes_str("one")), TRANSCRIPT_OK);
	assert_int_equal(transcript_add(&t, BYTES_NONE), TRANSCRIPT_OK);
	assert_int_equal(transcript_add(&t, bytes_str("two")), TRANSCRIPT_OK);
	assert_int_equal(transcript_choose(&t, SUITE_HASH_SHA384), TRANSCRIPT_OK);
	assert_null(t.held);
	assert_hash(&t, EVP_sha384(), bytes_str("onetwo"));
	/* Asking does not disturb. */
	assert_hash(&t, EVP_sha384(), bytes_str("onetwo"));
	assert_int_equal(transcript_add(&t, bytes_str("three")), TRANSCRIPT_OK);
	assert_hash(&t, EVP_sha384(), bytes_str("onetwothree"));
	struct tls_secret with, after;
	assert_int_equal(transcript_value_with(&t, bytes_str("four"), &with), TRANSCRIPT_OK);
	assert_hash(&t, EVP_sha384(), bytes_str("onetwothree"));
	assert_int_equal(transcript_add(&t, bytes_str("four")), TRANSCRIPT_OK);
	assert_int_equal(transcript_value(&t, &after), TRANSCRIPT_OK);
	assert_true(bytes_equal(tls_secret_bytes(&with), tls_secret_bytes(&after)));
	transcript_free(&t);
}

static void without_a_hash_there_is_no_value(void **state)
{
	(void)state;
	struct transcript t;
	struct tls_secret value;
	transcript_init(&t, 100);
	assert_int_equal(transcript_value(&t, &value), TRANSCRIPT_NO_HASH);
	assert_int_equal(transcript_retry(&t), TRANSCRIPT_NO_HASH);
	assert_int_equal(transcript_choose(&t, SUITE_HASH_GOST), TRANSCRIPT_BAD_HASH);
	assert_int_equal(transcript_choose(&t, SUITE_HASH_NONE), TRANSCRIPT_BAD_HASH);
	assert_int_equal(transcript_choose(&t, SUITE_HASH_SHA256), TRANSCRIPT_OK);
	assert_int_equal(transcript_choose(&t, SUITE_HASH_SHA256), TRANSCRIPT_OK);
	assert_int_equal(transcript_choose(&t, SUITE_HASH_SHA384), TRANSCRIPT_CHOSEN);
	assert_hash(&t, EVP_sha256(), BYTES_NONE);
	transcript_free(&t);
	transcript_free(&t);
}

static void the_cap_holds_until_the_hash_is_chosen(void **state)
{
	(void)state;
	struct transcript t, copy;
	struct tls_secret value;
	uint8_t octets[11] = {0};
	transcript_init(&t, 10);
	assert_int_equal(transcript_add(&t, bytes_of(octets, 10)), TRANSCRIPT_OK);
	assert_int_equal(transcript_choose(&t, SUITE_HASH_SHA256), TRANSCRIPT_OK);
	assert_int_equal(transcript_add(&t, bytes_of(octets, 11)), TRANSCRIPT_OK);
	assert_int_equal(transcript_value(&t, &value), TRANSCRIPT_OK);
	transcript_free(&t);
	transcript_init(&t, 10);
	assert_int_equal(transcript_add(&t, bytes_of(octets, 9)), TRANSCRIPT_OK);
	assert_int_equal(transcript_add(&t, bytes_of(octets, 2)), TRANSCRIPT_FULL);
	/* A transcript with a hole is never taken for a whole one. */
	assert_int_equal(transcript_add(&t, bytes_of(octets, 1)), TRANSCRIPT_FULL);
	assert_int_equal(transcript_choose(&t, SUITE_HASH_SHA256), TRANSCRIPT_FULL);
	assert_int_equal(transcript_value(&t, &value), TRANSCRIPT_FULL);
	assert_int_equal(transcript_copy(&t, &copy), TRANSCRIPT_FULL);
	assert_int_equal(value.len, 0);
	transcript_free(&copy);
	transcript_free(&t);
}

static void a_retry_leaves_the_first_hello_s_hash(void **state)
{
	(void)state;
	struct transcript t;
	uint8_t message[4 + 48 + 3] = {254, 0, 0, 48};
	unsigned len;
	transcript_init(&t, 100);
	assert_int_equal(transcript_add(&t, bytes_str("hello")), TRANSCRIPT_OK);
	assert_int_equal(transcript_choose(&t, SUITE_HASH_SHA384), TRANSCRIPT_OK);
	assert_int_equal(transcript_retry(&t), TRANSCRIPT_OK);
	assert_int_equal(transcript_add(&t, bytes_str("hrr")), TRANSCRIPT_OK);
	assert_int_equal(EVP_Digest("hello", 5, message + 4, &len, EVP_sha384(), NULL), 1);
	static const uint8_t retry[] = {'h', 'r', 'r'};
	memcpy(message + 52, retry, sizeof(retry));
	assert_hash(&t, EVP_sha384(), bytes_of(message, sizeof(message)));
	transcript_free(&t);
}

static void a_copy_goes_its_own_way(void **state)
{
	(void)state;
	struct transcript t, before, after;
	transcript_init(&t, 100);
	assert_int_equal(transcript_add(&t, bytes_str("a")), TRANSCRIPT_OK);
	assert_int_equal(transcript_copy(&t, &before), TRANSCRIPT_OK);
	assert_int_equal(transcript_choose(&t, SUITE_HASH_SHA256), TRANSCRIPT_OK);
	assert_int_equal(transcript_copy(&t, &after), TRANSCRIPT_OK);
	assert_int_equal(transcript_add(&t, bytes_str("b")), TRANSCRIPT_OK);
	assert_int_equal(transcript_add(&before, bytes_str("c")), TRANSCRIPT_OK);
	assert_int_equal(transcript_choose(&before, SUITE_HASH_SHA384), TRANSCRIPT_OK);
	assert_int_equal(transcript_add(&after, bytes_str("d")), TRANSCRIPT_OK);
	assert_hash(&t, EVP_sha256(), bytes_str("ab"));
	assert_hash(&before, EVP_sha384(), bytes_str("ac"));
	assert_hash(&after, EVP_sha256(), bytes_str("ad"));
	transcript_free(&t);
	transcript_free(&before);
	transcript_free(&after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_value_is_that_of_all_messages_before_and_after_the_choice),
		cmocka_unit_test(without_a_hash_there_is_no_value),
		cmocka_unit_test(the_cap_holds_until_the_hash_is_chosen),
		cmocka_unit_test(a_retry_leaves_the_first_hello_s_hash),
		cmocka_unit_test(a_copy_goes_its_own_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
