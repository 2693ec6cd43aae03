#include "base/fold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void folded(const char *text, size_t left, size_t at, const char *expected)
{
	char *got = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&got, &len);
	assert_non_null(out);
	size_t end = fold(out, text, left, at, FOLD_COLUMNS);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(got, expected);
	const char *last = strrchr(got, '\n');
	assert_int_equal(end, last ? strlen(last + 1) : at + len);
	free(got);
}

static void what_fits_stays_as_it_is(void **state)
{
	(void)state;
	folded("", 0, 0, "");
	folded("usage: x\n       y   z\n\n  end", 0, 0, "usage: x\n       y   z\n\n  end");
	folded("ab cd", 4, 75, "ab cd");
}

static void a_word_past_the_last_column_begins_a_line_below_the_first(void **state)
{
	(void)state;
	folded("ab cd", 4, 76, "ab\n    cd");
	folded("abcde f", 4, 76, "\n    abcde f");
	folded("one\n\ntwo", 2, 2, "one\n\n  two");
}

static void a_word_without_room_in_any_line_is_not_cut(void **state)
{
	char word[101], text[128], expected[128];
	(void)state;
	memset(word, 'w', 100);
	word[100] = '\0';
	snprintf(text, sizeof(text), "a %s b", word);
	snprintf(expected, sizeof(expected), "a\n%s\nb", word);
	folded(text, 0, 0, expected);
}

static void a_character_of_several_octets_takes_one_column(void **state)
{
	char text[41 * 3 + 1] = "";
	(void)state;
	for (size_t i = 0; i < 40; i++)
		memcpy(text + strlen(text), "\xc3\xa9 ", 4);
	char *got = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&got, &len);
	assert_non_null(out);
	assert_int_equal(fold(out, text, 0, 0, FOLD_COLUMNS), 79); /* the blank at the end is none */
	assert_int_equal(fclose(out), 0);
	assert_null(strchr(got, '\n'));
	free(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fits_stays_as_it_is),
		cmocka_unit_test(a_word_past_the_last_column_begins_a_line_below_the_first),
		cmocka_unit_test(a_word_without_room_in_any_line_is_not_cut),
		cmocka_unit_test(a_character_of_several_octets_takes_one_column),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
