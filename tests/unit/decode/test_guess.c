#include "decode/decoder.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct guess_case {
	const char *alpn, *first;
	enum decoder_guess result;
	enum decoder_kind kind;
};

static void check(const struct guess_case *c)
{
	enum decoder_kind kind = DECODER_NONE;
	assert_int_equal(decoder_guess(bytes_str(c->alpn), bytes_str(c->first), &kind), c->result);
	if (c->result == DECODER_GUESSED && kind != c->kind)
		fail_msg("\"%s\" \"%s\" was taken for %d", c->alpn, c->first, (int)kind);
}

static void alpn_decides_where_there_is_one(void **state)
{
	(void)state;
	const struct guess_case cases[] = {
		{"h2", "", DECODER_GUESSED, DECODER_HTTP2},
		{"h2", "GET / HTTP/1.1\r\n", DECODER_GUESSED, DECODER_HTTP2},
		{"http/1.1", "", DECODER_GUESSED, DECODER_HTTP1},
		{"http/1.0", "", DECODER_GUESSED, DECODER_HTTP1},
		{"imap", "GET / HTTP/1.1\r\n", DECODER_GUESSED, DECODER_NONE},
		{"h2c", "", DECODER_GUESSED, DECODER_NONE},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(&cases[i]);
}

static void first_octets_decide_without_alpn(void **state)
{
	(void)state;
	const struct guess_case cases[] = {
		{"", "", DECODER_GUESS_MORE, DECODER_NONE},
		{"", "GET", DECODER_GUESS_MORE, DECODER_NONE},
		{"", "GET ", DECODER_GUESS_MORE, DECODER_NONE},
		{"", "GET /", DECODER_GUESSED, DECODER_HTTP1},
		{"", "OPTIONS *", DECODER_GUESSED, DECODER_HTTP1},
		{"", "VERSION-CONTROL /a", DECODER_GUESSED, DECODER_HTTP1},
		{"", "GET ht", DECODER_GUESS_MORE, DECODER_NONE},
		{"", "GET HTTP://example.com/", DECODER_GUESSED, DECODER_HTTP1},
		{"", "CONNECT example.com:443", DECODER_GUESSED, DECODER_HTTP1},
		{"", "P", DECODER_GUESS_MORE, DECODER_NONE},
		{"", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r", DECODER_GUESS_MORE, DECODER_NONE},
		{"", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", DECODER_GUESSED, DECODER_HTTP2},
		{"", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore", DECODER_GUESSED, DECODER_HTTP2},
		{"", "EHLO host.example.com\r\n", DECODER_GUESSED, DECODER_NONE},
		{"", "a001 LOGIN x y\r\n", DECODER_GUESSED, DECODER_NONE},
		{"", "\x16\x03\x01", DECODER_GUESSED, DECODER_NONE},
		{"", " GET / HTTP/1.1\r\n", DECODER_GUESSED, DECODER_NONE},
		{"", "aaaaaaaaaaaaaaaaaaaaaaa", DECODER_GUESS_MORE, DECODER_NONE},
		{"", "aaaaaaaaaaaaaaaaaaaaaaaa", DECODER_GUESSED, DECODER_NONE},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(&cases[i]);
}

static void more_is_never_asked_for_beyond_24_octets(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		uint8_t first[24];
		memset(first, (int)c, sizeof(first));
		enum decoder_kind kind;
		assert_int_equal(decoder_guess(BYTES_NONE, bytes_of(first, sizeof(first)), &kind), DECODER_GUESSED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alpn_decides_where_there_is_one),
		cmocka_unit_test(first_octets_decide_without_alpn),
		cmocka_unit_test(more_is_never_asked_for_beyond_24_octets),
	};
	return cmocka_run_group_tests_name("decode/guess", tests, NULL, NULL);
}
