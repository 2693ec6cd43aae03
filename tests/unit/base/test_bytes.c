#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void failed_read_changes_nothing(void **state)
{
	(void)state;
	const uint8_t raw[] = {0, 5, 1, 2};
	struct bytes in = bytes_of(raw, sizeof(raw));
	struct bytes out = bytes_str("kept");
	assert_false(bytes_vec16(&in, &out));
	assert_int_equal(in.len, 4);
	assert_int_equal(out.len, 4);
	uint64_t wide = 7;
	assert_false(bytes_u64(&in, &wide));
	assert_int_equal(wide, 7);
}

static void integers_are_in_network_order(void **state)
{
	(void)state;
	const uint8_t raw[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
	struct bytes in = bytes_of(raw, sizeof(raw));
	uint8_t a = 0;
	uint16_t b = 0;
	uint32_t c = 0, d = 0;
	assert_true(bytes_u8(&in, &a) && bytes_u16(&in, &b) && bytes_u24(&in, &c) && bytes_u32(&in, &d));
	assert_int_equal(a, 1);
	assert_int_equal(b, 0x0203);
	assert_int_equal(c, 0x040506);
	assert_int_equal(d, 0x0708090a);
	assert_int_equal(in.len, 0);
}

static void what_does_not_fit_is_not_written(void **state)
{
	(void)state;
	uint8_t room[3];
	struct writer w = writer_over(room, sizeof(room));
	writer_u16(&w, 0xabcd);
	writer_u16(&w, 0x1234);
	writer_u8(&w, 1);
	struct bytes out;
	assert_false(writer_done(&w, &out));
	assert_int_equal(w.len, 2);
}

static void nested_lengths_are_filled_in(void **state)
{
	(void)state;
	uint8_t room[16];
	struct writer w = writer_over(room, sizeof(room));
	size_t outer = writer_open(&w, 3);
	size_t inner = writer_open(&w, 1);
	writer_u16(&w, 0x0304);
	writer_close(&w, inner, 1);
	writer_close(&w, outer, 3);
	const uint8_t expected[] = {0, 0, 3, 2, 3, 4};
	struct bytes out;
	assert_true(writer_done(&w, &out));
	assert_true(bytes_equal(out, bytes_of(expected, sizeof(expected))));
}

static void a_vector_too_long_for_its_length_is_refused(void **state)
{
	(void)state;
	uint8_t room[600];
	uint8_t value[256] = {0};
	struct writer w = writer_over(room, sizeof(room));
	writer_vec8(&w, bytes_of(value, sizeof(value)));
	assert_true(w.full);
}

static void comparison_orders_and_folds_case(void **state)
{
	(void)state;
	assert_true(bytes_compare(bytes_str("a"), bytes_str("ab")) < 0);
	assert_true(bytes_compare(bytes_str("b"), bytes_str("ab")) > 0);
	assert_true(bytes_equal_nocase(bytes_str("Host"), bytes_str("hOST")));
	assert_false(bytes_equal_nocase(bytes_str("@"), bytes_str("`")));
	assert_true(bytes_equal_secret(BYTES_NONE, bytes_str("")));
	assert_int_equal(bytes_find(bytes_str("a,b,c"), ',', 2), 3);
	assert_int_equal(bytes_find(bytes_str("abc"), ',', 9), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failed_read_changes_nothing),
		cmocka_unit_test(integers_are_in_network_order),
		cmocka_unit_test(what_does_not_fit_is_not_written),
		cmocka_unit_test(nested_lengths_are_filled_in),
		cmocka_unit_test(a_vector_too_long_for_its_length_is_refused),
		cmocka_unit_test(comparison_orders_and_folds_case),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
