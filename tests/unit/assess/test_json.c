#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include "assess/json.h"

#include <string.h>

static void members_are_found_by_name_whatever_stands_around_them(void **state)
{
	(void)state;
	struct bytes value,
		object = bytes_str(
			"{ \"a\" : [1, {\"b\": 2}, \"}\\\"\"], \"b\":true ,\"c\": {\"b\":\"inner\"},\"n\":17}");
	char text[32];
	uint64_t number = 0;
	assert_true(json_member(object, "b", &value));
	assert_true(bytes_equal(value, bytes_str("true")));
	assert_true(json_member(object, "c", &value) && json_member(value, "b", &value));
	assert_true(json_text(value, text, sizeof(text)));
	assert_string_equal(text, "inner");
	assert_true(json_member(object, "n", &value) && json_number(value, 20, &number));
	assert_int_equal(number, 17);
	assert_false(json_number(value, 16, &number));
	assert_false(json_member(object, "d", &value));
	assert_false(json_member(bytes_str("{}"), "d", &value));
	assert_false(json_member(bytes_str("[1]"), "d", &value));
}

static void elements_come_one_by_one(void **state)
{
	(void)state;
	static const char *const wanted[] = {"1", "[2,[3]]", "{\"a\":[]}", "\"x,]\""};
	struct bytes rest, value;
	assert_true(json_array(bytes_str(" [1, [2,[3]] ,{\"a\":[]},\"x,]\"]"), &rest));
	for (size_t i = 0; i < 4; i++) {
		assert_true(json_next(&rest, &value));
		assert_true(bytes_equal(value, bytes_str(wanted[i])));
	}
	assert_false(json_next(&rest, &value));
	assert_false(json_array(bytes_str("{}"), &rest));
}

static void escapes_are_decoded_and_what_no_text_may_hold_is_refused(void **state)
{
	(void)state;
	char text[16];
	assert_true(json_text(bytes_str("\"a\\n\\u0041\\u00e9\\/\""), text, sizeof(text)));
	assert_string_equal(text, "a\nA\xc3\xa9/");
	assert_false(json_text(bytes_str("\"\\u0000\""), text, sizeof(text)));
	assert_false(json_text(bytes_str("\"\\x\""), text, sizeof(text)));
	assert_false(json_text(bytes_str("\"0123456789abcdef\""), text, sizeof(text)));
	assert_false(json_text(bytes_str("17"), text, sizeof(text)));
}

static void hex_is_of_the_length_that_is_asked_for(void **state)
{
	(void)state;
	uint8_t out[2];
	assert_true(json_hex(bytes_str("\"00fF\""), out, 2));
	assert_int_equal(out[1], 0xff);
	assert_false(json_hex(bytes_str("\"00\""), out, 2));
	assert_false(json_hex(bytes_str("\"00fff0\""), out, 2));
	assert_false(json_hex(bytes_str("00ff"), out, 2));
}

static void nesting_and_cut_texts_end_in_no(void **state)
{
	(void)state;
	char deep[64];
	struct bytes value;
	struct writer writer = writer_over(deep, sizeof(deep));
	writer_bytes(&writer, bytes_str("{\"a\":"));
	while (writer.len < sizeof(deep))
		writer_u8(&writer, '[');
	assert_false(json_member(bytes_of(deep, sizeof(deep)), "b", &value));
	static const char whole[] = "{\"a\":[1,{\"b\":\"c\"}],\"d\":2}";
	for (size_t len = 0; len + 3 < sizeof(whole); len++)
		assert_false(json_member(bytes_of(whole, len), "e", &value));
	assert_false(json_member(bytes_str("{\"a\":[1},\"d\":2}"), "d", &value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_are_found_by_name_whatever_stands_around_them),
		cmocka_unit_test(elements_come_one_by_one),
		cmocka_unit_test(escapes_are_decoded_and_what_no_text_may_hold_is_refused),
		cmocka_unit_test(hex_is_of_the_length_that_is_asked_for),
		cmocka_unit_test(nesting_and_cut_texts_end_in_no),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
