#include "sink/row.h"
#include "sink/stamp.h"
#include "sink/utf8.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static char line[ROW_ROOM + 1];

static const struct row request = {
	.time_ns = 1795302282123456789ULL,
	.client = {(const uint8_t *)"192.0.2.1:40000", 15},
	.verdict = "inspect",
	.tone = ROW_GOOD,
	.host = {(const uint8_t *)"example.org", 11},
	.method = {(const uint8_t *)"GET", 3},
	.path = {(const uint8_t *)"/a b", 4},
	.status = 200,
	.type = {(const uint8_t *)"text/html", 9},
	.octets = 1256,
	.duration_ns = 34567000,
	.ending = "done",
};

static const char *written(const struct row *row, unsigned columns, bool colour)
{
	struct row_style style = {.columns = columns, .colour = colour, .utf8 = true};
	line[row_write(row, &style, line)] = '\0';
	return line;
}

static void a_plain_line_has_twelve_fields_between_single_blanks(void **state)
{
	(void)state;
	assert_string_equal(written(&request, 0, false), "2026-11-21T23:04:42.123Z 192.0.2.1:40000 inspect example.org "
							 "GET /a_b 200 text/html 1256 0.034567 done -\n");
	struct row flow = request;
	flow.method = flow.path = flow.type = BYTES_NONE;
	flow.scheme_method = "tls";
	flow.status = 0;
	flow.verdict = "block";
	flow.note = bytes_str("certificate expired");
	assert_string_equal(written(&flow, 0, false), "2026-11-21T23:04:42.123Z 192.0.2.1:40000 block example.org tls "
						      "- - - 1256 0.034567 done certificate expired\n");
}

static size_t shown_columns(const char *text)
{
	size_t n = strlen(text);
	assert_true(n > 0 && text[n - 1] == '\n');
	return utf8_columns(bytes_of(text, n - 1));
}

static void no_row_is_wider_than_the_terminal_whatever_is_in_it(void **state)
{
	(void)state;
	static uint8_t hostile[5000];
	for (size_t i = 0; i < sizeof(hostile); i++)
		hostile[i] = (uint8_t)(i * 131 >> 3);
	struct row row = request;
	for (unsigned columns = 64; columns < 260; columns++) {
		row.host = row.path = row.note = row.type = row.method = row.client = bytes_of(hostile, columns * 19);
		assert_true(shown_columns(written(&row, columns, false)) <= columns);
		row.method = BYTES_NONE;
		row.scheme_method = "tls";
		assert_true(shown_columns(written(&row, columns, false)) <= columns);
		assert_null(strpbrk(line, "\x1b\r\b"));
		row.host = row.path =
			bytes_str("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"
				  "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e");
		assert_true(shown_columns(written(&row, columns, false)) <= columns);
	}
}

static void columns_stand_under_their_headings(void **state)
{
	(void)state;
	for (unsigned columns = 80; columns <= 200; columns += 40) {
		struct row_style style = {.columns = columns, .utf8 = true};
		char head[ROW_ROOM + 1];
		head[row_headings(&style, head)] = '\0';
		written(&request, columns, false);
		assert_int_equal(strstr(head, "METHOD") - head, strstr(line, "GET") - line);
		assert_int_equal(strstr(head, "HOST") - head, strstr(line, "example.org") - line);
		assert_int_equal(strstr(head, "CODE") - head + 4, strstr(line, "200") - line + 3);
		assert_int_equal(shown_columns(head), shown_columns(line));
	}
}

static void colours_come_only_where_asked_for(void **state)
{
	(void)state;
	assert_null(strchr(written(&request, 120, false), '\x1b'));
	assert_non_null(strstr(written(&request, 120, true), "\x1b[0;32minspect\x1b[0m"));
	struct row row = request;
	row.tone = ROW_BAD;
	row.status = 503;
	assert_non_null(strstr(written(&row, 80, true), "\x1b[0;31minspect\x1b[0m"));
	assert_non_null(strstr(line, "\x1b[0;31m503\x1b[0m"));
}

static void octets_are(uint64_t octets, const char *expected)
{
	char out[24];
	assert_int_equal(row_octets(octets, out), strlen(expected));
	assert_string_equal(out, expected);
}

static void took(uint64_t ns, const char *expected)
{
	char out[24];
	assert_int_equal(row_duration(ns, out), strlen(expected));
	assert_string_equal(out, expected);
}

static void numbers_fit_their_columns(void **state)
{
	(void)state;
	octets_are(0, "0");
	octets_are(1023, "1023");
	octets_are(1024, "1.0K");
	octets_are(184320, "180K");
	octets_are(1048575, "1.0M");
	octets_are(3ULL << 30, "3.0G");
	took(0, "0us");
	took(999999, "999us");
	took(1234567, "1.2ms");
	took(34567000, "34ms");
	took(59950000000ULL, "59.9s");
	took(192000000000ULL, "3m12s");
	took(7500ULL * 1000000000, "2h05m");
	took(100ULL * 3600 * 1000000000, "4d04h");
	char out[24];
	for (unsigned bit = 0; bit < 64; bit++)
		assert_true(row_octets((UINT64_C(1) << bit) - 1, out) <= 5);
}

static void stamp_is(uint64_t ns, unsigned digits, const char *expected)
{
	char out[STAMP_TIME + 1];
	out[stamp_time(out, ns, digits)] = '\0';
	assert_string_equal(out, expected);
}

static void dates_are_right_at_their_edges(void **state)
{
	(void)state;
	stamp_is(0, 0, "1970-01-01T00:00:00Z");
	stamp_is(951782399ULL * 1000000000 + 1, 9, "2000-02-28T23:59:59.000000001Z");
	stamp_is(951782400ULL * 1000000000, 3, "2000-02-29T00:00:00.000Z");
	stamp_is(1709251199ULL * 1000000000, 0, "2024-02-29T23:59:59Z");
	stamp_is(1735689599ULL * 1000000000, 0, "2024-12-31T23:59:59Z");
	stamp_is(4107542400ULL * 1000000000, 0, "2100-03-01T00:00:00Z");
	stamp_is(UINT64_MAX, 0, "2554-07-21T23:34:33Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_line_has_twelve_fields_between_single_blanks),
		cmocka_unit_test(no_row_is_wider_than_the_terminal_whatever_is_in_it),
		cmocka_unit_test(columns_stand_under_their_headings),
		cmocka_unit_test(colours_come_only_where_asked_for),
		cmocka_unit_test(numbers_fit_their_columns),
		cmocka_unit_test(dates_are_right_at_their_edges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
