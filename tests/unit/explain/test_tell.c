#include "explain/tell.h"

#include "sink/utf8.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOSTILE "<script>alert('\"&\\\x1b[2J')</script> \xe2\x80\xae \xc3\xa9"

/* Everything a story can hold, with a text in it that is no friend of any of the three forms. */
static struct story *make(bool held)
{
	static const char *const lanes[] = {"client", "<relay>", "server", NULL};
	static const char *const cells[] = {"one", HOSTILE, NULL};
	struct story *story = story_new("test", "A <title>", "Why?");
	assert_non_null(story);
	story_chapter(story, HOSTILE);
	story_say(story, "%s", HOSTILE);
	story_row(story, "case-\"1\"", HOSTILE);
	story_words(story, "words", "some words", HOSTILE);
	story_flag(story, "flag", "a flag", true);
	story_number(story, "number", "a number", 42);
	story_held(story, held, "%s", HOSTILE);
	story_row(story, "case-2", "second");
	story_held(story, true, "so");
	story_table(story, "table", cells);
	story_line(story, true, cells);
	story_figure(story, "figure", lanes);
	story_arrow(story, 0, 2, HOSTILE, "note");
	story_arrow(story, 2, 1, "back", NULL);
	story_mark(story, 1, true, HOSTILE);
	story_command(story, "overt explain test");
	return story;
}

struct told {
	char *text;
	size_t len;
};

static void tell(const struct story *story, char how, unsigned columns, struct told *told)
{
	const struct tell_style style = {.columns = columns, .utf8 = true};
	FILE *out = open_memstream(&told->text, &told->len);
	assert_non_null(out);
	assert_true(how == 'j'   ? tell_json(story, out)
		    : how == 'h' ? tell_html(story, out)
				 : tell_text(story, &style, out));
	fclose(out);
}

static void the_json_is_a_list_with_an_object_per_row(void **state)
{
	(void)state;
	struct story *story = make(true);
	struct told told;
	json_error_t error;
	tell(story, 'j', 0, &told);
	json_t *list = json_loadb(told.text, told.len, JSON_REJECT_DUPLICATES, &error);
	assert_non_null(list);
	assert_int_equal(json_array_size(list), 2);
	const json_t *first = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(first, "case")), "case-\"1\"");
	assert_true(json_is_true(json_object_get(first, "flag")));
	assert_int_equal(json_integer_value(json_object_get(first, "number")), 42);
	assert_true(json_is_true(json_object_get(first, "as_expected")));
	assert_true(json_is_string(json_object_get(first, "why")));
	json_decref(list);
	free(told.text);
	story_free(story);
}

static void a_story_without_rows_is_an_empty_list(void **state)
{
	(void)state;
	struct story *story = story_new("test", "A", "B");
	struct told told;
	assert_non_null(story);
	tell(story, 'j', 0, &told);
	json_t *list = json_loadb(told.text, told.len, 0, NULL);
	assert_true(json_is_array(list));
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
	free(told.text);
	story_free(story);
}

static void the_page_has_no_markup_but_its_own_and_fetches_nothing(void **state)
{
	(void)state;
	struct story *story = make(true);
	struct told told;
	tell(story, 'h', 0, &told);
	assert_null(strstr(told.text, "<script"));
	assert_null(strstr(told.text, "<relay>"));
	assert_null(strstr(told.text, "<title>A <"));
	assert_null(strstr(told.text, "http:"));
	assert_null(strstr(told.text, "https:"));
	assert_null(strchr(told.text, '\x1b'));
	assert_non_null(strstr(told.text, "&lt;script"));
	assert_non_null(strstr(told.text, "as it is told"));
	assert_null(strstr(told.text, "not what was expected"));
	free(told.text);
	story_free(story);
}

static void what_did_not_hold_is_told_in_every_form(void **state)
{
	(void)state;
	struct story *story = make(false);
	struct told told;
	tell(story, 'h', 0, &told);
	assert_non_null(strstr(told.text, "This is not what was expected."));
	assert_non_null(strstr(told.text, "Something did not happen"));
	free(told.text);
	tell(story, 't', 80, &told);
	assert_non_null(strstr(told.text, "This is not what was expected."));
	assert_non_null(strstr(told.text, "Something did not happen"));
	free(told.text);
	tell(story, 'j', 0, &told);
	assert_non_null(strstr(told.text, "\"as_expected\":false"));
	free(told.text);
	story_free(story);
}

static void no_line_of_words_is_wider_than_the_terminal(void **state)
{
	(void)state;
	static const unsigned widths[] = {40, 80, 120};
	struct story *story = story_new("test", "A title", "A question?");
	assert_non_null(story);
	static const char words[] =
		"some words that go on and on, with \xc3\xa4 and \xc3\xb6 in between, until a line is full";
	static const char *const cells[] = {words, words, NULL};
	story_say(story, "%s. %s. %s.", words, words, words);
	story_row(story, "case", words);
	story_words(story, "words", "label", words);
	story_held(story, true, "%s. %s.", words, words);
	story_row(story, "long", "a word that has no room in a line");
	story_words(story, "word", "label",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	story_held(story, true, "cut");
	story_table(story, "table", cells);
	story_line(story, false, cells);
	for (unsigned i = 0; i < 3; i++) {
		struct told told;
		tell(story, 't', widths[i], &told);
		/* The last line says how it ended, and is one sentence. */
		const char *stop = strstr(told.text, "All of this happened");
		assert_non_null(stop);
		for (const char *line = told.text, *end; line < stop && (end = strchr(line, '\n')); line = end + 1)
			assert_true(utf8_columns(bytes_of(line, (size_t)(end - line))) <= widths[i]);
		free(told.text);
	}
	story_free(story);
}

static void text_keeps_its_words_and_a_figure_its_lanes(void **state)
{
	(void)state;
	struct story *story = make(true);
	struct told told;
	tell(story, 't', 80, &told);
	assert_non_null(strstr(told.text, "a number"));
	assert_non_null(strstr(told.text, "$ overt explain test"));
	assert_non_null(strstr(told.text, "client"));
	assert_non_null(strstr(told.text, "server"));
	assert_null(strstr(told.text, "\033[1m"));
	free(told.text);
	story_free(story);
}

static void a_story_told_in_parts_is_the_story_told_at_once(void **state)
{
	(void)state;
	const struct tell_style style = {.columns = 80, .utf8 = true};
	struct story *story = make(true);
	struct told at_once, parts = {0};
	tell(story, 't', 80, &at_once);
	FILE *out = open_memstream(&parts.text, &parts.len);
	assert_non_null(out);
	struct story *growing = story_new("test", "A <title>", "Why?");
	assert_non_null(growing);
	tell_text_begin(story, &style, out);
	assert_int_equal(tell_text_more(growing, 0, &style, out), 0);
	assert_int_equal(tell_text_more(story, 0, &style, out), story_count(story));
	assert_int_equal(tell_text_more(story, story_count(story), &style, out), story_count(story));
	assert_true(tell_text_end(story, &style, out));
	fclose(out);
	assert_string_equal(parts.text, at_once.text);
	free(parts.text);
	free(at_once.text);
	story_free(growing);
	story_free(story);
}

static void what_a_program_said_is_quoted_line_by_line_and_fits(void **state)
{
	(void)state;
	struct story *story = story_new("test", "A", "B");
	struct told told;
	assert_non_null(story);
	story_quote(story, bytes_str("first\n    deeper " HOSTILE "\n\n" /* a blank one, and a long word */
				     "key 0123456789012345678901234567890123456789012345678901234567890123456789\n"));
	story_row(story, "row", "row");
	story_held(story, true, "so");
	story_command(story, "overt verb --option-one value-one --option-two value-two --option-three value-three");
	tell(story, 't', 60, &told);
	assert_non_null(strstr(told.text, "    │ first\n    │     deeper <script>"));
	assert_null(strchr(told.text, 0x1b));
	assert_non_null(strstr(told.text, " \\\n"));
	for (char *rest = NULL, *line = strtok_r(told.text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		assert_true(utf8_columns(bytes_str(line)) <= 60);
	free(told.text);
	story_free(story);
}

/* 64 digits have no room behind a label: they are cut in the middle, and each part stands under the other. */
static void octets_in_hex_are_cut_into_parts_of_one_length(void **state)
{
	(void)state;
	static const char digits[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	struct story *story = story_new("test", "A", "B");
	struct told told;
	char line[128];
	assert_non_null(story);
	snprintf(line, sizeof(line), "server\n    its SHA-256  %s\n", digits);
	story_quote(story, bytes_str(line));
	story_row(story, "row", "row");
	story_words(story, "value", "computed here", digits);
	story_held(story, true, "so");
	tell(story, 't', 80, &told);
	assert_non_null(strstr(told.text, "    │     its SHA-256  00112233445566778899aabbccddeeff\n"
					  "    │                  00112233445566778899aabbccddeeff\n"));
	assert_non_null(strstr(told.text, "    computed here  00112233445566778899aabbccddeeff\n"
					  "                   00112233445566778899aabbccddeeff\n"));
	free(told.text);
	story_free(story);
}

static void depth_and_octets_are_marked_in_the_page(void **state)
{
	(void)state;
	static const char *const head[] = {"secret", "value", NULL};
	static const char *const line[] = {"    key", "00112233445566778899aabbccddeeff", NULL};
	struct story *story = story_new("test", "A", "B");
	struct told told;
	assert_non_null(story);
	story_table(story, "tree", head);
	story_line(story, false, line);
	tell(story, 'h', 0, &told);
	assert_non_null(strstr(told.text, "<td style=\"padding-left:2.4em\">key</td>"));
	assert_non_null(strstr(told.text, "<td class=\"hex\">00112233"));
	free(told.text);
	story_free(story);
}

static void a_folded_cell_stays_as_deep_as_it_began(void **state)
{
	(void)state;
	static const char *const head[] = {"secret", "how it is made", NULL};
	static const char *const line[] = {"      client handshake traffic",
		"a text that takes the whole of the second column and folds more than once, as it is far too long",
		NULL};
	struct story *story = story_new("test", "A", "B");
	struct told told;
	assert_non_null(story);
	story_table(story, "tree", head);
	story_line(story, false, line);
	tell(story, 't', 40, &told);
	assert_non_null(strstr(told.text, "\n        client"));
	assert_non_null(strstr(told.text, "\n        traffic"));
	free(told.text);
	story_free(story);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_json_is_a_list_with_an_object_per_row),
		cmocka_unit_test(a_story_without_rows_is_an_empty_list),
		cmocka_unit_test(the_page_has_no_markup_but_its_own_and_fetches_nothing),
		cmocka_unit_test(what_did_not_hold_is_told_in_every_form),
		cmocka_unit_test(no_line_of_words_is_wider_than_the_terminal),
		cmocka_unit_test(text_keeps_its_words_and_a_figure_its_lanes),
		cmocka_unit_test(a_story_told_in_parts_is_the_story_told_at_once),
		cmocka_unit_test(what_a_program_said_is_quoted_line_by_line_and_fits),
		cmocka_unit_test(octets_in_hex_are_cut_into_parts_of_one_length),
		cmocka_unit_test(depth_and_octets_are_marked_in_the_page),
		cmocka_unit_test(a_folded_cell_stays_as_deep_as_it_began),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
