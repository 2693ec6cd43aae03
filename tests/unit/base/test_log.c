#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static int ends[2];

/* The next line without its time stamp. */
static const char *line(void)
{
	static char text[8192];
	ssize_t n = read(ends[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	char *space = strchr(text, ' ');
	assert_non_null(space);
	return space + 1;
}

static int set_up(void **state)
{
	(void)state;
	log_setup("test", -1, LOG_LEVEL_INFO);
	if (pipe(ends) != 0)
		return -1;
	log_setup("test", ends[1], LOG_LEVEL_INFO);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	log_priorities(false);
	close(ends[0]);
	close(ends[1]);
	return 0;
}

static void values_that_need_it_are_quoted(void **state)
{
	(void)state;
	log_warn("accept paused", LOG_S("why", "too many"), LOG_N("open", 7), LOG_B("who", bytes_str("a.b")));
	assert_string_equal(line(), "WARN  test: accept paused why=\"too many\" open=7 who=a.b\n");
}

static void strangers_cannot_begin_a_line_or_move_the_cursor(void **state)
{
	(void)state;
	log_info("x", LOG_S("host", "a\nERROR forged \x1b[2J \"q\""));
	assert_string_equal(line(), "INFO  test: x host=\"a\\x0aERROR forged \\x1b[2J \\\"q\\\"\"\n");
}

static void lines_over_the_level_are_not_written(void **state)
{
	(void)state;
	log_debug("quiet");
	log_error("loud");
	assert_string_equal(line(), "ERROR test: loud\n");
}

static void the_journal_gets_priorities(void **state)
{
	(void)state;
	log_priorities(true);
	log_error("x");
	char text[4];
	assert_int_equal(read(ends[0], text, 3), 3);
	assert_memory_equal(text, "<3>", 3);
}

static void a_long_line_is_cut_and_still_ends(void **state)
{
	(void)state;
	char *value = malloc(3001);
	memset(value, 'a', 3000);
	value[3000] = '\0';
	log_info("x", LOG_S("a", value), LOG_S("b", value), LOG_S("c", value), LOG_S("d", value), LOG_S("e", value));
	const char *got = line();
	assert_int_equal(got[strlen(got) - 1], '\n');
	assert_true(strlen(got) <= 4096);
	free(value);
}

static void what_cannot_be_written_is_counted(void **state)
{
	(void)state;
	uint64_t before = log_lost();
	log_setup("test", -1, LOG_LEVEL_INFO);
	log_info("x");
	assert_int_equal(log_lost(), before + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(values_that_need_it_are_quoted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(strangers_cannot_begin_a_line_or_move_the_cursor, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lines_over_the_level_are_not_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_journal_gets_priorities, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_long_line_is_cut_and_still_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_written_is_counted, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
