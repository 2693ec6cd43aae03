#include "decode/trailers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void a_copy_outlives_what_it_was_made_of(void **state)
{
	(void)state;
	char name[] = "grpc-status", value[] = "0";
	struct message_header field = {bytes_str(name), bytes_str(value)};
	struct trailers *trailers = trailers_copy(&field, 1, false);
	assert_non_null(trailers);
	memset(name, 'x', sizeof(name));
	memset(value, 'x', sizeof(value));
	struct message_trailers view = trailers_view(trailers);
	assert_int_equal(view.count, 1);
	assert_false(view.cut);
	assert_true(bytes_equal(view.fields[0].name, bytes_str("grpc-status")));
	assert_true(bytes_equal(view.fields[0].value, bytes_str("0")));
	trailers_free(trailers);
}

static void none_are_nothing(void **state)
{
	(void)state;
	assert_null(trailers_copy(NULL, 0, false));
	assert_null(trailers_read(bytes_str("\r\n")));
	assert_null(trailers_read(BYTES_NONE));
	assert_int_equal(trailers_view(NULL).count, 0);
	trailers_free(NULL);
}

static void what_is_over_a_cap_is_left_out_and_said_to_be(void **state)
{
	(void)state;
	struct message_header many[TRAILERS_MAX + 1];
	for (size_t i = 0; i <= TRAILERS_MAX; i++)
		many[i] = (struct message_header){bytes_str("n"), bytes_str("v")};
	struct trailers *trailers = trailers_copy(many, TRAILERS_MAX, false);
	assert_int_equal(trailers_view(trailers).count, TRAILERS_MAX);
	assert_false(trailers_view(trailers).cut);
	trailers_free(trailers);
	trailers = trailers_copy(many, TRAILERS_MAX + 1, false);
	assert_int_equal(trailers_view(trailers).count, TRAILERS_MAX);
	assert_true(trailers_view(trailers).cut);
	trailers_free(trailers);
	static uint8_t large[TRAILERS_OCTETS_MAX];
	many[1].value = bytes_of(large, sizeof(large) - 3);
	trailers = trailers_copy(many, 2, false);
	assert_int_equal(trailers_view(trailers).count, 2);
	assert_false(trailers_view(trailers).cut);
	trailers_free(trailers);
	many[1].value.len++;
	trailers = trailers_copy(many, 2, false);
	assert_int_equal(trailers_view(trailers).count, 1);
	assert_true(trailers_view(trailers).cut);
	trailers_free(trailers);
}

static void a_section_is_read_line_by_line(void **state)
{
	(void)state;
	static const struct {
		const char *section;
		size_t count;
		bool cut;
		const char *name, *value; /* of the first */
	} cases[] = {
		{"A: b\r\n\r\n", 1, false, "A", "b"},
		{"A:b\r\nC: d\r\n\r\n", 2, false, "A", "b"},
		{"A: \t b c \t\r\n\r\n", 1, false, "A", "b c"},
		{"A:\r\n\r\n", 1, false, "A", ""},
		{"A: b:c\r\n\r\n", 1, false, "A", "b:c"},
		{"bad\r\nA: b\r\n\r\n", 1, true, "A", "b"},
		{"A : b\r\n\r\n", 0, true, NULL, NULL},
		{" folded: x\r\n\r\n", 0, true, NULL, NULL},
		/* Cut in the middle: what is no whole line does not count. */
		{"A: b\r\nC: d", 1, false, "A", "b"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct trailers *trailers = trailers_read(bytes_str(cases[i].section));
		struct message_trailers view = trailers_view(trailers);
		if (view.count != cases[i].count || view.cut != cases[i].cut)
			fail_msg("%s: %zu", cases[i].section, view.count);
		if (cases[i].name) {
			assert_true(bytes_equal(view.fields[0].name, bytes_str(cases[i].name)));
			assert_true(bytes_equal(view.fields[0].value, bytes_str(cases[i].value)));
		}
		trailers_free(trailers);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_outlives_what_it_was_made_of),
		cmocka_unit_test(none_are_nothing),
		cmocka_unit_test(what_is_over_a_cap_is_left_out_and_said_to_be),
		cmocka_unit_test(a_section_is_read_line_by_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
