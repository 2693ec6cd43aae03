#include "support.h"
#include "tls/fingerprint.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint8_t room[131072];

static struct client_hello hello_of(uint16_t version, struct bytes suites, struct bytes extensions)
{
	struct writer w = writer_over(room, sizeof(room));
	struct bytes body;
	struct client_hello hello;
	put_hello(&w, &(struct hello_parts){.version = version, .suites = suites, .extensions = extensions});
	assert_true(writer_done(&w, &body));
	assert_int_equal(client_hello_parse(body, &hello), HELLO_OK);
	return hello;
}

/* The hello that JA4's specification works through: its suites, extensions and signature algorithms, GREASE added. */
static struct client_hello specified_hello(bool sigalgs)
{
	static const uint16_t types[] = {0x0a0a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005,
		0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015};
	static uint8_t block_room[1024];
	struct writer w = writer_over(block_room, sizeof(block_room));
	struct bytes block;
	struct bytes protocols = RAW(0, 12, 2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1');
	struct bytes versions = RAW(6, 0x2a, 0x2a, 3, 4, 3, 3);
	struct bytes schemes = RAW(0, 16, 4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1, 8, 6, 6, 1);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct bytes data = BYTES_NONE;
		if (types[i] == 0x0010)
			data = protocols;
		else if (types[i] == 0x002b)
			data = versions;
		else if (types[i] == 0x000d && sigalgs)
			data = schemes;
		put_extension(&w, types[i], data);
	}
	assert_true(writer_done(&w, &block));
	return hello_of(0x0303,
		RAW(0x1a, 0x1a, 0x13, 1, 0x13, 2, 0x13, 3, 0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x2c, 0xc0, 0x30, 0xcc, 0xa9,
			0xcc, 0xa8, 0xc0, 0x13, 0xc0, 0x14, 0, 0x9c, 0, 0x9d, 0, 0x2f, 0, 0x35),
		block);
}

static void assert_ja4(const struct client_hello *hello, const char *expected)
{
	char text[JA4_LEN + 1];
	assert_true(ja4(hello, JA4_TCP, text));
	assert_string_equal(text, expected);
}

static void the_example_of_the_specification_comes_out(void **state)
{
	(void)state;
	struct client_hello hello = specified_hello(true);
	char text[JA4_LEN + 1];
	assert_ja4(&hello, "t13d1516h2_8daaf6152771_e5627efa2ab1");
	assert_true(ja4(&hello, JA4_QUIC, text));
	assert_string_equal(text, "q13d1516h2_8daaf6152771_e5627efa2ab1");
}

static void without_signature_algorithms_no_underscore_is_hashed(void **state)
{
	(void)state;
	struct client_hello hello = specified_hello(false);
	assert_ja4(&hello, "t13d1516h2_8daaf6152771_6d807ffa2a79");
}

static void without_extensions_the_hash_is_zeros(void **state)
{
	(void)state;
	struct client_hello hello = hello_of(0x0301, RAW(0, 0x2f), BYTES_NONE);
	char text[JA4_LEN + 1];
	assert_true(ja4(&hello, JA4_TCP, text));
	assert_memory_equal(text, "t10i010000_", 11);
	assert_string_equal(text + 23, "_000000000000");
	/* A name and a protocol alone leave nothing to hash either. */
	hello = hello_of(0x0303, RAW(0x1a, 0x1a), RAW(0, 0, 0, 0, 0, 16, 0, 5, 0, 3, 2, 'h', '2'));
	assert_ja4(&hello, "t12d0002h2_000000000000_000000000000");
}

static void versions_are_named(void **state)
{
	(void)state;
	static const struct {
		uint16_t version;
		const char *text;
	} cases[] = {{0x0303, "12"}, {0x0302, "11"}, {0x0301, "10"}, {0x0300, "s3"}, {0x0002, "s2"}, {0xfeff, "d1"},
		{0xfefd, "d2"}, {0xfefc, "d3"}, {0x0304, "13"}, {0x1234, "00"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client_hello hello = hello_of(cases[i].version, BYTES_NONE, BYTES_NONE);
		char text[JA4_LEN + 1];
		assert_true(ja4(&hello, JA4_TCP, text));
		assert_memory_equal(text + 1, cases[i].text, 2);
	}
	/* Only GREASE in supported_versions: no version known. */
	struct client_hello hello = hello_of(0x0303, BYTES_NONE, RAW(0, 43, 0, 3, 2, 0x3a, 0x3a));
	char text[JA4_LEN + 1];
	assert_true(ja4(&hello, JA4_TCP, text));
	assert_memory_equal(text, "t00i0101", 8);
}

static void assert_alpn(struct bytes name, const char *expected)
{
	uint8_t block_room[300];
	struct writer w = writer_over(block_room, sizeof(block_room));
	struct bytes block;
	writer_u16(&w, 16);
	size_t outer = writer_open(&w, 2), list = writer_open(&w, 2);
	writer_vec8(&w, name);
	writer_close(&w, list, 2);
	writer_close(&w, outer, 2);
	assert_true(writer_done(&w, &block));
	struct client_hello hello = hello_of(0x0303, BYTES_NONE, block);
	char text[JA4_LEN + 1];
	assert_true(ja4(&hello, JA4_TCP, text));
	assert_memory_equal(text + 8, expected, 2);
}

static void the_first_protocol_gives_two_characters(void **state)
{
	(void)state;
	assert_alpn(bytes_str("http/1.1"), "h1");
	assert_alpn(bytes_str("h2"), "h2");
	assert_alpn(bytes_str("x"), "xx");
	assert_alpn(bytes_str("Zz9"), "Z9");
	/* The specification's own cases. */
	assert_alpn(RAW(0xab), "ab");
	assert_alpn(RAW(0xab, 0xcd), "ad");
	assert_alpn(RAW(0x30, 0xab), "3b");
	assert_alpn(RAW(0x30, 0x31, 0xab, 0xcd), "3d");
	assert_alpn(RAW(0x30, 0xab, 0xcd, 0x31), "01");
}

static void counts_stop_at_99(void **state)
{
	(void)state;
	uint8_t suites[240], block_room[1000];
	struct writer w = writer_over(block_room, sizeof(block_room));
	struct bytes block;
	for (unsigned i = 0; i < 120; i++) {
		suites[2 * i] = 0xc0;
		suites[2 * i + 1] = (uint8_t)i;
		put_extension(&w, (uint16_t)(0x4000 + i), BYTES_NONE);
	}
	assert_true(writer_done(&w, &block));
	struct client_hello hello = hello_of(0x0303, bytes_of(suites, sizeof(suites)), block);
	char text[JA4_LEN + 1];
	assert_true(ja4(&hello, JA4_TCP, text));
	assert_memory_equal(text, "t12i9999", 8);
}

static void the_order_of_suites_and_extensions_does_not_matter_to_ja4(void **state)
{
	(void)state;
	char a[JA4_LEN + 1], b[JA4_LEN + 1], c[JA4_LEN + 1];
	struct client_hello hello =
		hello_of(0x0303, RAW(0xc0, 0x2f, 0xc0, 0x2b, 0xc0, 0x2b), RAW(0, 23, 0, 0, 0, 22, 0, 0));
	assert_true(ja4(&hello, JA4_TCP, a));
	hello = hello_of(0x0303, RAW(0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x2b), RAW(0, 22, 0, 0, 0, 23, 0, 0));
	assert_true(ja4(&hello, JA4_TCP, b));
	assert_string_equal(a, b);
	/* A suite that stands twice is hashed twice. */
	hello = hello_of(0x0303, RAW(0xc0, 0x2b, 0xc0, 0x2f), RAW(0, 22, 0, 0, 0, 23, 0, 0));
	assert_true(ja4(&hello, JA4_TCP, c));
	assert_string_not_equal(a, c);
}

static void grease_among_signature_algorithms_is_passed_over(void **state)
{
	(void)state;
	char plain[JA4_LEN + 1], greased[JA4_LEN + 1], only[JA4_LEN + 1], none[JA4_LEN + 1];
	struct client_hello hello = hello_of(0x0303, BYTES_NONE, RAW(0, 13, 0, 6, 0, 4, 4, 3, 8, 4));
	assert_true(ja4(&hello, JA4_TCP, plain));
	hello = hello_of(0x0303, BYTES_NONE, RAW(0, 13, 0, 10, 0, 8, 0x2a, 0x2a, 4, 3, 0x3a, 0x3a, 8, 4));
	assert_true(ja4(&hello, JA4_TCP, greased));
	assert_string_equal(plain, greased);
	/* Nothing but GREASE is nothing. */
	hello = hello_of(0x0303, BYTES_NONE, RAW(0, 13, 0, 4, 0, 2, 0x2a, 0x2a));
	assert_true(ja4(&hello, JA4_TCP, only));
	hello = hello_of(0x0303, BYTES_NONE, RAW(0, 13, 0, 0));
	assert_true(ja4(&hello, JA4_TCP, none));
	assert_string_equal(only, none);
}

static void ja3_lists_the_numbers_without_grease(void **state)
{
	(void)state;
	char text[256], sum[JA3_LEN + 1];
	/* The example of JA3's authors, with GREASE strewn in. */
	struct client_hello hello = hello_of(0x0301,
		RAW(0x2a, 0x2a, 0, 0x2f, 0, 0x35, 0, 5, 0, 0x0a, 0xc0, 9, 0xc0, 0x0a, 0xc0, 0x13, 0xc0, 0x14, 0, 0x32,
			0, 0x38, 0, 0x13, 0, 4),
		RAW(0x3a, 0x3a, 0, 0, 0, 0, 0, 0, 0, 10, 0, 10, 0, 8, 0x4a, 0x4a, 0, 23, 0, 24, 0, 25, 0, 11, 0, 2, 1,
			0));
	assert_true(ja3_string(&hello, text, sizeof(text)));
	assert_string_equal(text, "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0");
	assert_true(ja3(&hello, sum));
	assert_string_equal(sum, "ada70206e40642a3e4461f35503241d5");
}

static void ja3_of_a_bare_hello_has_empty_parts(void **state)
{
	(void)state;
	char text[64], sum[JA3_LEN + 1];
	struct client_hello hello = hello_of(0x0301,
		RAW(0, 4, 0, 5, 0, 0x0a, 0, 9, 0, 0x64, 0, 0x62, 0, 3, 0, 6, 0, 0x13, 0, 0x12, 0, 0x63), BYTES_NONE);
	assert_true(ja3_string(&hello, text, sizeof(text)));
	assert_string_equal(text, "769,4-5-10-9-100-98-3-6-19-18-99,,,");
	assert_true(ja3(&hello, sum));
	assert_string_equal(sum, "de350869b8c85de67a350c8d186f11e6");
}

static void a_ja3_that_does_not_fit_is_not_begun(void **state)
{
	(void)state;
	char text[16] = "x";
	struct client_hello hello = hello_of(0x0303, RAW(0, 0x2f), BYTES_NONE);
	assert_false(ja3_string(&hello, text, 9));
	assert_string_equal(text, "");
	assert_true(ja3_string(&hello, text, 10));
	assert_string_equal(text, "771,47,,,");
	assert_false(ja3_string(&hello, text, 0));
}

static void the_longest_lists_are_hashed(void **state)
{
	(void)state;
	static uint8_t suites[65534];
	char text[JA4_LEN + 1], sum[JA3_LEN + 1], digest_text[JA3_LEN + 1];
	static char whole[400000];
	for (size_t i = 0; i < sizeof(suites); i++)
		suites[i] = (uint8_t)(i * 7);
	struct client_hello hello = hello_of(0x0303, bytes_of(suites, sizeof(suites)), BYTES_NONE);
	assert_true(ja4(&hello, JA4_TCP, text));
	assert_memory_equal(text, "t12i9900", 8);
	/* Hashing piece by piece is the same as hashing the whole string. */
	assert_true(ja3(&hello, sum));
	assert_true(ja3_string(&hello, whole, sizeof(whole)));
	uint8_t md5[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	assert_int_equal(EVP_Digest(whole, strlen(whole), md5, &n, EVP_md5(), NULL), 1);
	for (unsigned i = 0; i < n; i++)
		snprintf(digest_text + 2 * i, 3, "%02x", md5[i]);
	assert_string_equal(sum, digest_text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_the_specification_comes_out),
		cmocka_unit_test(without_signature_algorithms_no_underscore_is_hashed),
		cmocka_unit_test(without_extensions_the_hash_is_zeros),
		cmocka_unit_test(versions_are_named),
		cmocka_unit_test(the_first_protocol_gives_two_characters),
		cmocka_unit_test(counts_stop_at_99),
		cmocka_unit_test(the_order_of_suites_and_extensions_does_not_matter_to_ja4),
		cmocka_unit_test(grease_among_signature_algorithms_is_passed_over),
		cmocka_unit_test(ja3_lists_the_numbers_without_grease),
		cmocka_unit_test(ja3_of_a_bare_hello_has_empty_parts),
		cmocka_unit_test(a_ja3_that_does_not_fit_is_not_begun),
		cmocka_unit_test(the_longest_lists_are_hashed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
