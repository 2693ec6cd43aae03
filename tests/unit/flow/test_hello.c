#include "flow/hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define OF(array) bytes_of(array, sizeof(array))

static void what_was_offered_is_told_in_its_order(void **state)
{
	(void)state;
	static const uint8_t alpn[] = {2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
	static const uint8_t versions[] = {0x7a, 0x7a, 0x03, 0x04, 0x03, 0x03};
	const struct client_hello hello = {.legacy_version = 0x0303,
		.server_name = bytes_str("site.test"),
		.alpn = OF(alpn),
		.has_versions = true,
		.versions = OF(versions),
		.ech = ECH_OUTER};
	const struct event_hello told = event_hello_of(&hello);
	assert_true(bytes_equal(told.sni, bytes_str("site.test")));
	assert_int_equal(told.alpn_count, 2);
	assert_true(bytes_equal(told.alpn[0], bytes_str("h2")) && bytes_equal(told.alpn[1], bytes_str("http/1.1")));
	assert_int_equal(told.version_count, 3);
	assert_int_equal(told.versions[0], 0x7a7a);
	assert_int_equal(told.versions[2], 0x0303);
	assert_int_equal(told.ech, FLOW_ECH_OUTER);
	assert_int_equal(told.ja3.len + told.ja4.len, 0);
}

static void without_a_list_of_versions_the_old_field_counts(void **state)
{
	(void)state;
	const struct client_hello hello = {.legacy_version = 0x0302, .ech = ECH_MALFORMED};
	const struct event_hello told = event_hello_of(&hello);
	assert_int_equal(told.version_count, 1);
	assert_int_equal(told.versions[0], 0x0302);
	assert_int_equal(told.alpn_count, 0);
	assert_int_equal(told.ech, FLOW_ECH_NONE);
}

static void long_lists_are_cut(void **state)
{
	(void)state;
	uint8_t alpn[2 * (EVENT_LIST_MAX + 4)], versions[2 * (EVENT_LIST_MAX + 4)] = {0};
	for (size_t i = 0; i < sizeof(alpn); i += 2) {
		alpn[i] = 1;
		alpn[i + 1] = 'a';
	}
	const struct client_hello hello = {.alpn = OF(alpn), .has_versions = true, .versions = OF(versions)};
	const struct event_hello told = event_hello_of(&hello);
	assert_int_equal(told.alpn_count, EVENT_LIST_MAX);
	assert_int_equal(told.version_count, EVENT_LIST_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_offered_is_told_in_its_order),
		cmocka_unit_test(without_a_list_of_versions_the_old_field_counts),
		cmocka_unit_test(long_lists_are_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
