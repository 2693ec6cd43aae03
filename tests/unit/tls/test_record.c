#include "support.h"
#include "tls/record.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_record_is_taken_and_the_rest_left(void **state)
{
	(void)state;
	struct bytes in = RAW(22, 3, 1, 0, 3, 'a', 'b', 'c', 23, 3, 3);
	struct record record;
	assert_int_equal(record_missing(in), 0);
	assert_int_equal(record_read(&in, &record), RECORD_OK);
	assert_int_equal(record.type, RECORD_HANDSHAKE);
	assert_int_equal(record.version, 0x0301);
	assert_true(bytes_equal(record.fragment, bytes_str("abc")));
	assert_int_equal(in.len, 3);
	assert_int_equal(record_read(&in, &record), RECORD_NEED_MORE);
	assert_int_equal(in.len, 3);
}

static void an_empty_fragment_is_a_record(void **state)
{
	(void)state;
	struct bytes in = RAW(23, 3, 3, 0, 0);
	struct record record;
	assert_int_equal(record_read(&in, &record), RECORD_OK);
	assert_int_equal(record.fragment.len, 0);
	assert_int_equal(in.len, 0);
}

static void missing_octets_are_counted_header_first(void **state)
{
	(void)state;
	assert_int_equal(record_missing(BYTES_NONE), 5);
	assert_int_equal(record_missing(RAW(22)), 4);
	assert_int_equal(record_missing(RAW(22, 3, 1, 1)), 1);
	assert_int_equal(record_missing(RAW(22, 3, 1, 1, 0)), 256);
	assert_int_equal(record_missing(RAW(22, 3, 1, 0, 4, 'x')), 3);
	assert_int_equal(record_missing(RAW(22, 3, 1, 0, 1, 'x', 'y')), 0);
	assert_int_equal(record_missing(RAW('G')), 0);
}

static void what_is_not_tls_is_known_at_its_first_wrong_octet(void **state)
{
	(void)state;
	struct record record;
	struct bytes in = RAW('G');
	assert_int_equal(record_read(&in, &record), RECORD_NOT_TLS);
	in = RAW(19, 3, 3, 0, 0);
	assert_int_equal(record_read(&in, &record), RECORD_NOT_TLS);
	in = RAW(25);
	assert_int_equal(record_read(&in, &record), RECORD_NOT_TLS);
	in = RAW(22, 2);
	assert_int_equal(record_read(&in, &record), RECORD_NOT_TLS);
	in = RAW(22);
	assert_int_equal(record_read(&in, &record), RECORD_NEED_MORE);
	assert_int_equal(in.len, 1);
}

static void a_fragment_over_the_limit_is_refused_by_its_header(void **state)
{
	(void)state;
	struct record record;
	struct bytes in = RAW(23, 3, 3, (RECORD_MAX_FRAGMENT + 1) >> 8, (RECORD_MAX_FRAGMENT + 1) & 255);
	assert_int_equal(record_read(&in, &record), RECORD_TOO_LONG);
	assert_int_equal(record_missing(in), 0);
	assert_int_equal(in.len, 5);
	in = RAW(23, 3, 3, RECORD_MAX_FRAGMENT >> 8, RECORD_MAX_FRAGMENT & 255);
	assert_int_equal(record_read(&in, &record), RECORD_NEED_MORE);
	assert_int_equal(record_missing(in), RECORD_MAX_FRAGMENT);
}

static void content_types_have_names(void **state)
{
	(void)state;
	assert_string_equal(record_type_name(20), "change_cipher_spec");
	assert_string_equal(record_type_name(21), "alert");
	assert_string_equal(record_type_name(22), "handshake");
	assert_string_equal(record_type_name(23), "application_data");
	assert_string_equal(record_type_name(24), "heartbeat");
	assert_null(record_type_name(25));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_taken_and_the_rest_left),
		cmocka_unit_test(an_empty_fragment_is_a_record),
		cmocka_unit_test(missing_octets_are_counted_header_first),
		cmocka_unit_test(what_is_not_tls_is_known_at_its_first_wrong_octet),
		cmocka_unit_test(a_fragment_over_the_limit_is_refused_by_its_header),
		cmocka_unit_test(content_types_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
