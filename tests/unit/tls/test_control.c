#include "support.h"
#include "tls/control.h"
#include "tls/handshake.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void key_updates_ask_or_do_not(void **state)
{
	(void)state;
	bool requested = false;
	assert_true(key_update_parse(RAW(1), &requested));
	assert_true(requested);
	assert_true(key_update_parse(RAW(0), &requested));
	assert_false(requested);
	assert_false(key_update_parse(RAW(2), &requested));
	assert_false(key_update_parse(RAW(0, 0), &requested));
	assert_false(key_update_parse(BYTES_NONE, &requested));
}

static void finished_is_as_long_as_its_version_says(void **state)
{
	(void)state;
	static const uint8_t octets[64];
	struct bytes data;
	for (size_t n = 0; n <= 64; n++) {
		struct bytes body = bytes_of(octets, n);
		assert_int_equal(finished_parse(body, 0x0304, SUITE_HASH_SHA256, &data), n == 32);
		assert_int_equal(finished_parse(body, 0x0304, SUITE_HASH_SHA384, &data), n == 48);
		assert_int_equal(finished_parse(body, 0x0303, SUITE_HASH_SHA384, &data), n == 12);
		assert_false(finished_parse(body, 0x0304, SUITE_HASH_NONE, &data));
	}
}

static void three_messages_have_no_body(void **state)
{
	(void)state;
	for (int type = 0; type < 256; type++) {
		bool empty = type == HANDSHAKE_HELLO_REQUEST || type == HANDSHAKE_SERVER_HELLO_DONE ||
		             type == HANDSHAKE_END_OF_EARLY_DATA;
		assert_int_equal(control_is_empty((uint8_t)type), empty);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(key_updates_ask_or_do_not),
		cmocka_unit_test(finished_is_as_long_as_its_version_says),
		cmocka_unit_test(three_messages_have_no_body),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
