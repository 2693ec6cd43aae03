#include "support.h"
#include "tls/extension.h"
#include "tls/list.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void extensions_come_in_order_and_raw(void **state)
{
	(void)state;
	struct bytes block = RAW(0, 10, 0, 1, 'a', 0xff, 1, 0, 0, 0, 5, 0, 2, 'b', 'c');
	struct extension ext;
	size_t count;
	uint16_t type;
	assert_int_equal(extension_check(block, &count, &type), EXTENSION_OK);
	assert_int_equal(count, 3);
	assert_true(extension_find(block, 5, &ext));
	assert_true(bytes_equal(ext.data, bytes_str("bc")));
	assert_true(extension_next(&block, &ext));
	assert_int_equal(ext.type, 10);
	assert_true(bytes_equal(ext.data, bytes_str("a")));
	assert_true(extension_next(&block, &ext));
	assert_int_equal(ext.type, 0xff01);
	assert_int_equal(ext.data.len, 0);
	assert_true(extension_next(&block, &ext));
	assert_false(extension_next(&block, &ext));
	assert_int_equal(ext.type, 5);
	assert_int_equal(block.len, 0);
}

static void an_extension_cut_short_is_named(void **state)
{
	(void)state;
	struct bytes block = RAW(0, 10, 0, 1, 'a', 0, 16, 0, 2, 'b');
	struct extension ext;
	size_t count = 77;
	uint16_t type = 0;
	assert_int_equal(extension_check(block, &count, &type), EXTENSION_TRUNCATED);
	assert_int_equal(type, 16);
	assert_int_equal(count, 77);
	assert_true(extension_next(&block, &ext));
	assert_false(extension_next(&block, &ext));
	assert_int_equal(block.len, 5);
	assert_int_equal(extension_check(RAW(0, 10, 0, 1, 'a', 7), &count, &type), EXTENSION_TRUNCATED);
	assert_int_equal(type, 10);
}

static void a_type_that_stands_twice_is_found_wherever_it_stands(void **state)
{
	(void)state;
	size_t count;
	uint16_t type;
	struct bytes block = RAW(0xab, 0xcd, 0, 0, 0, 1, 0, 0, 0xab, 0xcd, 0, 1, 9);
	assert_int_equal(extension_check(block, &count, &type), EXTENSION_DUPLICATE);
	assert_int_equal(type, 0xabcd);
}

static void a_block_with_every_type_that_fits_is_read(void **state)
{
	(void)state;
	static uint8_t room[65536];
	struct writer w = writer_over(room, 65532);
	for (unsigned i = 0; i < 65532 / 4; i++)
		put_extension(&w, (uint16_t)(i * 4), BYTES_NONE);
	struct bytes block;
	size_t count;
	uint16_t type;
	assert_true(writer_done(&w, &block));
	assert_int_equal(extension_check(block, &count, &type), EXTENSION_OK);
	assert_int_equal(count, 65532 / 4);
}

static void absent_extensions_are_not_found(void **state)
{
	(void)state;
	struct extension ext = {.type = 99};
	assert_false(extension_find(BYTES_NONE, 0, &ext));
	assert_false(extension_find(RAW(0, 1, 0, 0), 2, &ext));
	assert_int_equal(ext.type, 99);
}

static void names_are_known_and_their_table_is_in_order(void **state)
{
	(void)state;
	assert_string_equal(extension_name(EXT_SERVER_NAME), "server_name");
	assert_string_equal(extension_name(EXT_ALPN), "application_layer_protocol_negotiation");
	assert_string_equal(extension_name(EXT_ENCRYPTED_CLIENT_HELLO), "encrypted_client_hello");
	assert_string_equal(extension_name(EXT_RENEGOTIATION_INFO), "renegotiation_info");
	assert_string_equal(extension_name(0xffce), "encrypted_server_name");
	assert_string_equal(extension_name(0x0a0a), "GREASE");
	assert_null(extension_name(0x1234));
	/* Every row is reached by halving: were one out of order, some would not be. */
	unsigned named = 0;
	for (unsigned i = 0; i < 65536; i++)
		named += extension_name((uint16_t)i) && !grease_is((uint16_t)i);
	assert_int_equal(named, 68);
}

static void sixteen_values_are_grease(void **state)
{
	(void)state;
	unsigned count = 0, modes = 0;
	for (unsigned i = 0; i < 65536; i++)
		count += grease_is((uint16_t)i);
	for (unsigned i = 0; i < 256; i++)
		modes += grease_is_psk_mode((uint8_t)i);
	assert_int_equal(count, 16);
	assert_int_equal(modes, 8);
	assert_true(grease_is(0x0a0a) && grease_is(0xfafa) && grease_is(0x7a7a));
	assert_false(grease_is(0x0a1a));
	assert_false(grease_is(0x0b0b));
	assert_true(grease_is_psk_mode(0x0b) && grease_is_psk_mode(0x2a) && grease_is_psk_mode(0xe4));
	assert_false(grease_is_psk_mode(1));
}

static bool keep_even(uint16_t value, const void *ctx)
{
	(void)ctx;
	return value % 2 == 0;
}

static void lists_are_walked_counted_and_filtered(void **state)
{
	(void)state;
	struct bytes list = RAW(0, 1, 0, 2, 0, 4, 0, 6, 9);
	uint16_t value, kept[2];
	assert_int_equal(list_count(list), 4);
	assert_true(list_holds(list, 4));
	assert_false(list_holds(list, 9));
	assert_int_equal(list_filter(list, keep_even, NULL, kept, 2), 3);
	assert_int_equal(kept[0], 2);
	assert_int_equal(kept[1], 4);
	for (unsigned i = 0; i < 4; i++)
		assert_true(list_next(&list, &value));
	assert_false(list_next(&list, &value));
	assert_int_equal(list.len, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extensions_come_in_order_and_raw),
		cmocka_unit_test(an_extension_cut_short_is_named),
		cmocka_unit_test(a_type_that_stands_twice_is_found_wherever_it_stands),
		cmocka_unit_test(a_block_with_every_type_that_fits_is_read),
		cmocka_unit_test(absent_extensions_are_not_found),
		cmocka_unit_test(names_are_known_and_their_table_is_in_order),
		cmocka_unit_test(sixteen_values_are_grease),
		cmocka_unit_test(lists_are_walked_counted_and_filtered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
