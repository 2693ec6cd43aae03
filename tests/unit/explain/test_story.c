#include "explain/story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct story *begin(void)
{
	struct story *story = story_new("test", "A test", "Does it hold?");
	assert_non_null(story);
	return story;
}

static void row(struct story *story, bool held)
{
	story_row(story, "case", "something");
	story_flag(story, "flag", "a flag", true);
	story_held(story, held, "because of %d", 7);
}

static void a_story_without_rows_does_not_hold(void **state)
{
	(void)state;
	struct story *story = begin();
	story_chapter(story, "heading");
	story_say(story, "%s", "prose");
	assert_false(story_holds(story));
	story_free(story);
}

static void one_row_that_did_not_hold_is_enough(void **state)
{
	(void)state;
	struct story *story = begin();
	row(story, true);
	assert_true(story_holds(story));
	row(story, false);
	row(story, true);
	assert_false(story_holds(story));
	story_free(story);
}

static void a_row_that_was_never_ended_does_not_hold(void **state)
{
	(void)state;
	struct story *story = begin();
	row(story, true);
	story_row(story, "open", "without an end");
	assert_false(story_holds(story));
	story_free(story);
}

static void facts_belong_to_the_row_that_was_begun_last(void **state)
{
	(void)state;
	struct story *story = begin();
	static const uint8_t octets[] = {0xab, 0x01};
	story_row(story, "case", "title");
	story_words(story, "words", "some words", "text");
	story_hex(story, "hex", "octets", bytes_of(octets, sizeof(octets)));
	story_number(story, "number", "a number", 42);
	story_held(story, true, "why: %s", "so");
	assert_int_equal(story_count(story), 1);
	const struct story_item *item = story_item(story, 0);
	assert_int_equal(item->kind, STORY_ROW);
	assert_int_equal(item->count, 3);
	assert_string_equal(item->fact[0].words, "text");
	assert_string_equal(item->fact[1].words, "ab01");
	assert_int_equal(item->fact[2].number, 42);
	assert_string_equal(item->note, "why: so");
	assert_true(story_holds(story));
	story_free(story);
}

static void a_fact_without_a_row_is_a_lack(void **state)
{
	(void)state;
	struct story *story = begin();
	row(story, true);
	story_flag(story, "flag", "after the end", true);
	assert_false(story_holds(story));
	story_free(story);
}

static void more_facts_than_a_row_takes_are_a_lack(void **state)
{
	(void)state;
	struct story *story = begin();
	story_row(story, "case", "title");
	for (unsigned i = 0; i <= STORY_FACTS; i++)
		story_number(story, "n", "n", i);
	story_held(story, true, "full");
	assert_int_equal(story_item(story, 0)->count, STORY_FACTS);
	assert_false(story_holds(story));
	story_free(story);
}

static void a_table_may_have_as_many_columns_as_there_are_and_no_more(void **state)
{
	(void)state;
	static const char *const most[] = {"1", "2", "3", "4", "5", "6", "7", "8", NULL};
	static const char *const over[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9", NULL};
	struct story *story = begin();
	row(story, true);
	story_table(story, "table", most);
	story_line(story, false, most);
	assert_true(story_holds(story));
	story_line(story, false, over);
	assert_int_equal(story_item(story, 3)->count, STORY_COLUMNS);
	assert_false(story_holds(story));
	story_free(story);
}

static void items_beyond_the_cap_are_left_out_and_told(void **state)
{
	(void)state;
	struct story *story = begin();
	row(story, true);
	for (unsigned i = 0; i < STORY_ITEMS + 8; i++)
		story_chapter(story, "heading");
	assert_true(story_count(story) <= STORY_ITEMS);
	assert_false(story_holds(story));
	story_free(story);
}

static void long_text_is_cut(void **state)
{
	(void)state;
	struct story *story = begin();
	char *text = malloc(STORY_TEXT * 2);
	assert_non_null(text);
	memset(text, 'a', STORY_TEXT * 2 - 1);
	text[STORY_TEXT * 2 - 1] = '\0';
	story_chapter(story, text);
	assert_true(strlen(story_item(story, 0)->title) <= STORY_TEXT);
	free(text);
	story_free(story);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_story_without_rows_does_not_hold),
		cmocka_unit_test(one_row_that_did_not_hold_is_enough),
		cmocka_unit_test(a_row_that_was_never_ended_does_not_hold),
		cmocka_unit_test(facts_belong_to_the_row_that_was_begun_last),
		cmocka_unit_test(a_fact_without_a_row_is_a_lack),
		cmocka_unit_test(more_facts_than_a_row_takes_are_a_lack),
		cmocka_unit_test(a_table_may_have_as_many_columns_as_there_are_and_no_more),
		cmocka_unit_test(items_beyond_the_cap_are_left_out_and_told),
		cmocka_unit_test(long_text_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
