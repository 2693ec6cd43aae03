#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void clean(const char *in, const char *expected)
{
	char out[64];
	text_clean(out, sizeof(out), bytes_str(in));
	assert_string_equal(out, expected);
}

static void nothing_that_moves_a_cursor_survives(void **state)
{
	(void)state;
	clean("plain \xc3\xa9", "plain \xc3\xa9");
	clean("\x1b[2J", "\\x1b[2J");
	clean("a\r\nb", "a\\x0d\\x0ab");
	clean("\xe2\x80\xae"
	      "evil",
		"\\xe2\\x80\\xae"
		"evil");                          /* right-to-left override */
	clean("\xff\xc0\x80", "\\xff\\xc0\\x80"); /* no UTF-8, and an overlong NUL */
	clean("\xc2\x9b", "\\xc2\\x9b");          /* C1: another CSI */
}

static void long_text_is_cut_between_characters(void **state)
{
	(void)state;
	char out[8];
	assert_int_equal(text_clean(out, sizeof(out), bytes_str("0123456789")), 7);
	assert_string_equal(out, "0123...");
	assert_int_equal(text_clean(out, sizeof(out), bytes_str("0123456")), 7);
	text_clean(out, sizeof(out), bytes_str("abc\xc3\xa9\xc3\xa9\xc3\xa9"));
	assert_string_equal(out, "abc...");
	text_clean(out, 1, bytes_str("abc"));
	assert_string_equal(out, "");
}

static void hex_goes_both_ways(void **state)
{
	(void)state;
	uint8_t raw[4];
	size_t len;
	assert_true(text_unhex(raw, sizeof(raw), &len, bytes_str("00fFa1")));
	char out[8];
	text_hex(out, sizeof(out), bytes_of(raw, len));
	assert_string_equal(out, "00ffa1");
	assert_false(text_unhex(raw, sizeof(raw), &len, bytes_str("0")));
	assert_false(text_unhex(raw, sizeof(raw), &len, bytes_str("0g")));
	assert_false(text_unhex(raw, sizeof(raw), &len, bytes_str("0011223344")));
}

static void numbers_sizes_and_durations(void **state)
{
	(void)state;
	uint64_t v;
	assert_true(text_number(bytes_str("65535"), 65535, &v) && v == 65535);
	assert_false(text_number(bytes_str("65536"), 65535, &v));
	assert_false(text_number(bytes_str(""), 65535, &v));
	assert_false(text_number(bytes_str("-1"), 65535, &v));
	assert_false(text_number(bytes_str("18446744073709551616"), UINT64_MAX, &v));
	assert_true(text_size(bytes_str("64KiB"), &v) && v == 65536);
	assert_true(text_size(bytes_str("1m"), &v) && v == 1048576);
	assert_false(text_size(bytes_str("64QB"), &v));
	assert_true(text_duration(bytes_str("30s"), &v) && v == 30000000000ULL);
	assert_false(text_duration(bytes_str("30"), &v));
	assert_false(text_duration(bytes_str("18446744073709551615d"), &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_that_moves_a_cursor_survives),
		cmocka_unit_test(long_text_is_cut_between_characters),
		cmocka_unit_test(hex_goes_both_ways),
		cmocka_unit_test(numbers_sizes_and_durations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
