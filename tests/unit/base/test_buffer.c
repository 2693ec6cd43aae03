#include "base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void nothing_is_held_past_the_cap(void **state)
{
	(void)state;
	struct buffer buffer = {.cap = 5000};
	uint8_t piece[3000] = {1};
	assert_true(buffer_add(&buffer, bytes_of(piece, sizeof(piece))));
	assert_false(buffer_add(&buffer, bytes_of(piece, sizeof(piece))));
	assert_int_equal(buffer.len, 3000);
	size_t space;
	while (buffer_space(&buffer, &space))
		buffer.len += space;
	assert_int_equal(buffer.len, 5000);
	buffer_clear(&buffer);
	assert_int_equal(buffer.len, 0);
	assert_int_equal(buffer.cap, 5000);
}

static void dropping_leaves_the_rest_in_order(void **state)
{
	(void)state;
	struct buffer buffer = {.cap = 100};
	assert_true(buffer_add(&buffer, bytes_str("hello world")));
	buffer_drop(&buffer, 6);
	assert_true(bytes_equal(buffer_bytes(&buffer), bytes_str("world")));
	buffer_drop(&buffer, 99);
	assert_int_equal(buffer.len, 0);
	buffer_clear(&buffer);
}

static void a_growing_buffer_keeps_what_it_has(void **state)
{
	(void)state;
	struct buffer buffer = {.cap = 1 << 20};
	for (unsigned i = 0; i < 100000; i++) {
		uint8_t octet = (uint8_t)(i * 7);
		assert_true(buffer_add(&buffer, bytes_of(&octet, 1)));
	}
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(buffer.data[i], (uint8_t)(i * 7));
	buffer_clear(&buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_held_past_the_cap),
		cmocka_unit_test(dropping_leaves_the_rest_in_order),
		cmocka_unit_test(a_growing_buffer_keeps_what_it_has),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
