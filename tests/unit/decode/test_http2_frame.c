#include "decode/http2_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define TEXT 512

/* Reads `in` in pieces of `step`; each event is noted in `said`. */
static void read_all(bool client, struct bytes in, size_t step, char *said)
{
	struct http2_reader reader = {0};
	if (client)
		http2_reader_client(&reader);
	size_t len = 0;
	said[0] = 0;
	while (true) {
		struct bytes piece;
		struct bytes part;
		assert_true(bytes_take(&in, step < in.len ? step : in.len, &piece));
		enum http2_event event;
		while ((event = http2_read(&reader, &piece, &part)) != HTTP2_MORE) {
			const struct http2_frame *f = &reader.frame;
			int n = 0;
			if (event == HTTP2_BEGIN)
				n = snprintf(said + len, TEXT - len, "(%u %u %u %u %u:", f->type, f->flags, f->stream,
					f->other, f->code);
			else if (event == HTTP2_PART)
				n = snprintf(said + len, TEXT - len, "%.*s", (int)part.len, (const char *)part.data);
			else
				n = snprintf(said + len, TEXT - len, event == HTTP2_END ? ")" : "bad");
			len += (size_t)n;
			if (event == HTTP2_BAD) {
				assert_non_null(reader.bad);
				return;
			}
		}
		if (in.len == 0)
			return;
	}
}

#define RAW(text) text, sizeof(text) - 1

static void frames_come_out_whatever_the_pieces(void **state)
{
	(void)state;
	const struct {
		const char *raw;
		size_t len;
		const char *said;
	} cases[] = {
		{RAW("\0\0\5\0\1\0\0\0\3hello"), "(0 1 3 0 0:hello)"},
		{RAW("\0\0\0\0\0\200\0\0\3"), "(0 0 3 0 0:)"},
		{RAW("\0\0\7\0\10\0\0\0\3\2abcd\0\0"), "(0 8 3 0 0:abcd)"},
		{RAW("\0\0\3\0\10\0\0\0\3\2\0\0\0\0\0\0\0\0\0\0\1"), "(0 8 3 0 0:)(0 0 1 0 0:)"},
		{RAW("\0\0\12\1\54\0\0\0\5\2\200\0\0\1\20ab\0\0"), "(1 44 5 0 0:ab)"},
		{RAW("\0\0\10\1\40\0\0\0\5\200\0\0\1\20abc"), "(1 32 5 0 0:abc)"},
		{RAW("\0\0\10\5\14\0\0\0\5\1\200\0\0\6ab\0"), "(5 12 5 6 0:ab)"},
		{RAW("\0\0\2\11\4\0\0\0\5ab"), "(9 4 5 0 0:ab)"},
		{RAW("\0\0\4\3\0\0\0\0\5\0\0\0\10"), "(3 0 5 0 8:)"},
		{RAW("\0\0\14\7\0\0\0\0\0\0\0\0\7\0\0\0\2text"), "(7 0 0 7 2:)"},
		{RAW("\0\0\6\4\0\0\0\0\0\0\1\0\0\20\0\0\0\0\4\1\0\0\0\0"), "(4 0 0 0 0:)(4 1 0 0 0:)"},
		{RAW("\0\0\3\177\377\0\0\0\11abc"), "(127 255 9 0 0:)"},
	};
	char said[TEXT];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t step = 1; step <= cases[i].len; step++) {
			read_all(false, bytes_of(cases[i].raw, cases[i].len), step, said);
			assert_string_equal(said, cases[i].said);
		}
	}
}

static void frames_that_cannot_be_are_bad(void **state)
{
	(void)state;
	const struct {
		const char *raw;
		size_t len;
	} cases[] = {
		{RAW("\0\0\1\0\0\0\0\0\0x")}, /* DATA of no stream */
		{RAW("\0\0\1\1\0\0\0\0\0x")},
		{RAW("\0\0\0\0\10\0\0\0\1")},         /* padded, without the length */
		{RAW("\0\0\3\0\10\0\0\0\1\3ab")},     /* padding over the end */
		{RAW("\0\0\4\1\40\0\0\0\1\0\0\0\1")}, /* shorter than its priority */
		{RAW("\0\0\3\5\0\0\0\0\1\0\0\2")},
		{RAW("\0\0\4\2\0\0\0\0\1\0\0\0\1")},
		{RAW("\0\0\3\3\0\0\0\0\1\0\0\1")},
		{RAW("\0\0\4\3\0\0\0\0\0\0\0\0\1")},
		{RAW("\0\0\5\4\0\0\0\0\0\0\1\0\0\20")},
		{RAW("\0\0\6\4\0\0\0\0\1\0\1\0\0\20\0")},
		{RAW("\0\0\6\4\1\0\0\0\0\0\1\0\0\20\0")},
		{RAW("\0\0\7\6\0\0\0\0\0\0\0\0\0\0\0\0")},
		{RAW("\0\0\7\7\0\0\0\0\0\0\0\0\0\0\0\0")},
		{RAW("\0\0\10\7\0\0\0\0\1\0\0\0\0\0\0\0\0")},
		{RAW("\0\0\3\10\0\0\0\0\0\0\0\1")},
		{RAW("\0\0\1\11\0\0\0\0\0x")},
	};
	char said[TEXT];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_all(false, bytes_of(cases[i].raw, cases[i].len), 100, said);
		if (!strstr(said, "bad"))
			fail_msg("case %zu was taken for well: %s", i, said);
	}
}

static void client_begins_with_the_preface(void **state)
{
	(void)state;
	char said[TEXT];
	for (size_t step = 1; step < 40; step++) {
		read_all(true, bytes_of(RAW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")), step, said);
		assert_string_equal(said, "(4 0 0 0 0:)");
		read_all(true, bytes_of(RAW("PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")), step, said);
		assert_string_equal(said, "bad");
	}
}

static void payload_and_padding_may_be_passed_over(void **state)
{
	(void)state;
	struct http2_reader reader = {0};
	struct bytes part;
	uint32_t data;
	struct bytes in = bytes_of(RAW("\0\0\7\0\10\0\0\0\3\2a"));
	assert_int_equal(http2_ahead(&reader, &data), 0);
	assert_int_equal(http2_read(&reader, &in, &part), HTTP2_BEGIN);
	assert_int_equal(http2_read(&reader, &in, &part), HTTP2_PART);
	assert_int_equal(http2_ahead(&reader, &data), 5);
	assert_int_equal(data, 3);
	http2_pass(&reader, 4);
	assert_int_equal(http2_ahead(&reader, &data), 1);
	assert_int_equal(data, 0);
	http2_pass(&reader, 1);
	in = BYTES_NONE;
	assert_int_equal(http2_read(&reader, &in, &part), HTTP2_END);
	in = bytes_of(RAW("\0\0\4\1\0\0\0\0\3a"));
	assert_int_equal(http2_read(&reader, &in, &part), HTTP2_BEGIN);
	assert_int_equal(http2_ahead(&reader, &data), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_come_out_whatever_the_pieces),
		cmocka_unit_test(frames_that_cannot_be_are_bad),
		cmocka_unit_test(client_begins_with_the_preface),
		cmocka_unit_test(payload_and_padding_may_be_passed_over),
	};
	return cmocka_run_group_tests_name("decode/http2_frame", tests, NULL, NULL);
}
