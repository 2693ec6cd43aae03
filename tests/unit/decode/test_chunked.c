#include "decode/chunked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define CAP 64

/* Reads all in pieces of `step` octets; the data goes to `out`. *rest: what was behind the end. */
static enum chunked_result read_all(const char *text, size_t step, char *out, size_t *rest)
{
	struct chunked body = {0};
	struct bytes whole = bytes_str(text);
	enum chunked_result result = CHUNKED_MORE;
	out[0] = 0;
	while (result == CHUNKED_MORE && whole.len > 0) {
		struct bytes in;
		assert_true(bytes_take(&whole, step < whole.len ? step : whole.len, &in));
		struct bytes data;
		while ((result = chunked_read(&body, &in, CAP, &data)) == CHUNKED_DATA)
			(void)strncat(out, (const char *)data.data, data.len);
		*rest = whole.len + in.len;
	}
	return result;
}

static void data_comes_out_whatever_the_pieces(void **state)
{
	(void)state;
	const struct {
		const char *text, *data;
		size_t rest;
	} cases[] = {
		{"0\r\n\r\n", "", 0},
		{"5\r\nhello\r\n0\r\n\r\n", "hello", 0},
		{"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET", "hello world", 3},
		{"5;a=b;c=\"d\"\r\nhello\r\n0;last\r\n\r\n", "hello", 0},
		{"5  \r\nhello\r\n0 ;x\r\n\r\n", "hello", 0},
		{"00000000000a\r\n0123456789\r\n000\r\n\r\n", "0123456789", 0},
		{"A\r\n0123456789\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\nHTTP", "0123456789", 4},
	};
	char out[256];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t step = 1; step <= strlen(cases[i].text); step++) {
			size_t rest = 0;
			assert_int_equal(read_all(cases[i].text, step, out, &rest), CHUNKED_END);
			assert_string_equal(out, cases[i].data);
			assert_int_equal(rest, cases[i].rest);
		}
	}
}

static void what_two_readers_could_take_differently_is_bad(void **state)
{
	(void)state;
	const char *const cases[] = {
		"\r\n",
		"g\r\n",
		"-1\r\n",
		"+5\r\nhello\r\n",
		"0x5\r\nhello\r\n",
		" 5\r\nhello\r\n",
		"5\nhello\r\n0\r\n\r\n",
		"5\r\nhello0\r\n\r\n",
		"5\r\nhello\n0\r\n\r\n",
		"5\r\nhello\r0\r\n\r\n",
		"5;a\nb\r\nhello\r\n0\r\n\r\n",
		"5;a\rb\r\nhello\r\n0\r\n\r\n",
		"5 5\r\nhello\r\n",
		"5\rXhello\r\n",
		"0\r\n\n",
		"0\r\nA: b\n\r\n",
		"0\r\n\rX",
		"0\r\n: empty\r\n\r\n",
		"10000000000000000\r\n",
		"00000000000000005\r\nhello\r\n",
	};
	char out[256];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t rest;
		if (read_all(cases[i], 1, out, &rest) != CHUNKED_BAD ||
			read_all(cases[i], 100, out, &rest) != CHUNKED_BAD)
			fail_msg("taken for well: %s", cases[i]);
	}
}

static void extensions_and_trailers_are_bounded(void **state)
{
	(void)state;
	char text[512];
	char out[256];
	size_t rest;
	(void)snprintf(text, sizeof(text), "1;%0*d\r\nx\r\n0\r\n\r\n", CAP, 0);
	assert_int_equal(read_all(text, 1, out, &rest), CHUNKED_BAD);
	(void)snprintf(text, sizeof(text), "0\r\nA: %0*d\r\n\r\n", CAP, 0);
	assert_int_equal(read_all(text, 1, out, &rest), CHUNKED_BAD);
	(void)snprintf(text, sizeof(text), "1;%0*d\r\nx\r\n0\r\n\r\n", CAP - 10, 0);
	assert_int_equal(read_all(text, 1, out, &rest), CHUNKED_END);
}

static void data_may_be_passed_over_unseen(void **state)
{
	(void)state;
	struct chunked body = {0};
	struct bytes data;
	struct bytes in = bytes_str("ffffffffffffffff\r\nab");
	assert_int_equal(chunked_ahead(&body), 0);
	assert_int_equal(chunked_read(&body, &in, CAP, &data), CHUNKED_DATA);
	assert_int_equal(data.len, 2);
	assert_true(chunked_ahead(&body) == UINT64_MAX - 2);
	chunked_pass(&body, UINT64_MAX - 3);
	assert_int_equal(chunked_ahead(&body), 1);
	chunked_pass(&body, 1);
	assert_int_equal(chunked_ahead(&body), 0);
	in = bytes_str("\r\n0\r\n\r\n");
	assert_int_equal(chunked_read(&body, &in, CAP, &data), CHUNKED_END);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_comes_out_whatever_the_pieces),
		cmocka_unit_test(what_two_readers_could_take_differently_is_bad),
		cmocka_unit_test(extensions_and_trailers_are_bounded),
		cmocka_unit_test(data_may_be_passed_over_unseen),
	};
	return cmocka_run_group_tests_name("decode/chunked", tests, NULL, NULL);
}
