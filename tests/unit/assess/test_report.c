#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include "assess/report.h"

#include <jansson.h>
#include <stdlib.h>

static char *told(const struct report *report, bool (*how)(const struct report *, FILE *))
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	assert_true(how(report, out));
	fclose(out);
	return text;
}

static bool plain(const struct report *report, FILE *out)
{
	return report_tell_text(report, false, 80, out);
}

static void the_worst_line_is_the_grade(void **state)
{
	(void)state;
	struct report *report = report_new("server", "host:443");
	assert_non_null(report);
	assert_int_equal(report_grade(report), GRADE_UNKNOWN);
	report_add(report, "one", GRADE_A, "p", NULL, "%s", "s");
	report_add(report, "two", GRADE_UNKNOWN, "p", NULL, "s");
	report_add(report, "three", GRADE_NONE, "p", NULL, "s");
	assert_int_equal(report_grade(report), GRADE_A);
	report_add(report, "four", GRADE_C, "p", "w", "s %d", 4);
	assert_int_equal(report_grade(report), GRADE_C);
	assert_string_equal(report_find(report, "four")->seen, "s 4");
	assert_null(report_find(report, "five"));
	report_free(report);
}

static void strangers_text_brings_neither_markup_nor_control_characters(void **state)
{
	(void)state;
	struct report *report = report_new("server", "<b>\033[31m");
	report_add(report, "check", GRADE_F, "<script>", "\"why\"", "%s", "a\nb\033]0;x\a");
	report_conclude(report, "dropout", "exposed", true, "<img src=x>");
	char *page = told(report, report_tell_html), *text = told(report, plain),
	     *json = told(report, report_tell_json);
	assert_null(strstr(page, "<script"));
	assert_null(strstr(page, "<img"));
	assert_null(strstr(page, "<b>"));
	assert_null(strchr(text, '\033'));
	assert_null(strstr(text, "a\nb"));
	json_t *object = json_loads(json, 0, NULL);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "grade")), "F");
	assert_int_equal(json_array_size(json_object_get(object, "findings")), 1);
	json_decref(object);
	free(page);
	free(text);
	free(json);
	report_free(report);
}

static void what_has_no_room_is_counted(void **state)
{
	(void)state;
	struct report *report = report_new("server", "host");
	for (size_t i = 0; i < REPORT_FINDINGS + 3; i++)
		report_add(report, "check", GRADE_A, "p", "w", "%0900d", 1);
	assert_int_equal(report->findings, REPORT_FINDINGS);
	assert_int_equal(report->lost, 3);
	char *json = told(report, report_tell_json), *page = told(report, report_tell_html);
	assert_non_null(strstr(json, "\"lost\":3"));
	free(json);
	free(page);
	report_free(report);
}

static void grades_are_read_by_their_letters_only(void **state)
{
	(void)state;
	enum grade grade = GRADE_NONE;
	assert_true(grade_parse("B", &grade));
	assert_int_equal(grade, GRADE_B);
	assert_false(grade_parse("D", &grade));
	assert_false(grade_parse("?", &grade));
	assert_false(grade_parse("", &grade));
}

static void no_line_of_the_text_is_wider_than_asked_for(void **state)
{
	(void)state;
	struct report *report = report_new("server", "host:443");
	report_add(report, "suite-broken", GRADE_A,
		"suites without authentication or encryption, export grade, RC4, DES and 3DES alone",
		"a reason that is longer than a line has room for, so that it goes on in the next one", "%s",
		"what was seen, in a sentence that is longer than a line has room for, too, and goes on");
	char *text = told(report, plain);
	assert_non_null(strstr(text, "  A  suite-broken: suites without"));
	assert_non_null(strstr(text, " 3DES alone\n"));
	for (const char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
		assert_true(end - line <= 80);
	free(text);
	report_free(report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_worst_line_is_the_grade),
		cmocka_unit_test(strangers_text_brings_neither_markup_nor_control_characters),
		cmocka_unit_test(what_has_no_room_is_counted),
		cmocka_unit_test(grades_are_read_by_their_letters_only),
		cmocka_unit_test(no_line_of_the_text_is_wider_than_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
