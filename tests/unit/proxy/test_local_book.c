#include "proxy/local_book.h"

#include "accord/body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct book_entry read_by(const char *site, const char *proxy, uint8_t role)
{
	struct book_entry what = {.kind = BOOK_READ, .readers = 1, .reader[0].role = role};
	snprintf(what.site, sizeof(what.site), "%s", site);
	snprintf(what.reader[0].name, sizeof(what.reader[0].name), "%s", proxy);
	snprintf(what.reader[0].pin, sizeof(what.reader[0].pin), "%064d", 7);
	snprintf(what.reader[0].purpose, sizeof(what.reader[0].purpose), "finding \"malware\"");
	return what;
}

static struct book_entry read_by_nobody(const char *site)
{
	struct book_entry what = {.kind = BOOK_NOBODY};
	snprintf(what.site, sizeof(what.site), "%s", site);
	return what;
}

static struct book_row *noted(struct book *book, const struct book_entry *what, int64_t now_s)
{
	struct book_row *row = book_note(book, what, now_s);
	assert_non_null(row);
	return row;
}

static void one_row_per_site_and_company(void **state)
{
	(void)state;
	struct book book;
	book_init(&book, 10);
	struct book_entry reader = read_by("a.test", "proxy.test", ACCORD_READER);
	struct book_entry writer = read_by("a.test", "proxy.test", ACCORD_WRITER);
	struct book_entry other = read_by("a.test", "other.test", ACCORD_READER);
	struct book_entry nobody = read_by_nobody("a.test");
	struct book_row *row = noted(&book, &reader, 100);
	assert_ptr_not_equal(noted(&book, &writer, 101), row);
	assert_ptr_not_equal(noted(&book, &other, 102), row);
	assert_ptr_not_equal(noted(&book, &nobody, 103), row);
	assert_ptr_equal(noted(&book, &reader, 104), row);
	assert_int_equal(book.rows, 4);
	assert_int_equal(row->count, 2);
	assert_int_equal(row->since_s, 100);
	assert_int_equal(row->last_s, 104);
	assert_ptr_equal(book.newest, row);
	book_clear(&book);
}

static void a_proxy_that_renews_its_key_is_the_same_reader(void **state)
{
	(void)state;
	struct book book;
	book_init(&book, 10);
	struct book_entry what = read_by("a.test", "proxy.test", ACCORD_READER);
	struct book_row *row = noted(&book, &what, 1);
	snprintf(what.reader[0].pin, sizeof(what.reader[0].pin), "%064d", 8);
	assert_ptr_equal(noted(&book, &what, 2), row);
	assert_string_equal(row->what.reader[0].pin, what.reader[0].pin);
	/* One without a name is known by its key alone. */
	what.reader[0].name[0] = '\0';
	row = noted(&book, &what, 3);
	snprintf(what.reader[0].pin, sizeof(what.reader[0].pin), "%064d", 9);
	assert_ptr_not_equal(noted(&book, &what, 4), row);
	book_clear(&book);
}

static void a_full_book_drops_what_was_longest_unused_and_never_what_is_open(void **state)
{
	(void)state;
	struct book book;
	char name[32];
	book_init(&book, 3);
	struct book_entry first = read_by_nobody("open.test");
	struct book_row *open = noted(&book, &first, 1);
	open->open++;
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "s%d.test", i);
		struct book_entry what = read_by_nobody(name);
		(void)noted(&book, &what, 2 + i);
	}
	assert_int_equal(book.rows, 3);
	assert_int_equal(book.dropped, 3);
	assert_ptr_equal(book.oldest, open);
	assert_string_equal(book.newest->what.site, "s4.test");
	book_ended(&book, open, 50);
	assert_ptr_equal(book.newest, open);
	assert_int_equal(open->open, 0);
	book_clear(&book);
}

static void a_book_whose_rows_are_all_open_counts_what_it_cannot_note(void **state)
{
	(void)state;
	struct book book;
	book_init(&book, 1);
	struct book_entry what = read_by_nobody("a.test");
	noted(&book, &what, 1)->open++;
	what = read_by_nobody("b.test");
	assert_null(book_note(&book, &what, 2));
	assert_int_equal(book.lost, 1);
	book_clear(&book);
}

static void rows_of_long_ago_are_forgotten(void **state)
{
	(void)state;
	struct book book;
	book_init(&book, 10);
	for (int i = 0; i < 4; i++) {
		char name[32];
		snprintf(name, sizeof(name), "s%d.test", i);
		struct book_entry what = read_by_nobody(name);
		noted(&book, &what, (int64_t)10 * i)->open += i == 0;
	}
	assert_int_equal(book_expire(&book, 20), 1);
	assert_int_equal(book.rows, 3);
	assert_string_equal(book.oldest->what.site, "s0.test");
	assert_string_equal(book.oldest->newer->what.site, "s2.test");
	book_clear(&book);
}

static struct bytes written(const struct book *book, char *room, size_t cap)
{
	struct writer w = writer_over(room, cap);
	struct bytes text;
	book_write(book, &w);
	assert_true(writer_done(&w, &text));
	return text;
}

static void what_is_written_is_read_again(void **state)
{
	(void)state;
	static char first[4 * 4096], second[4 * 4096];
	struct book book, again;
	book_init(&book, 10);
	book_init(&again, 10);
	struct book_entry what = read_by("a.test", "proxy.test", ACCORD_READER);
	(void)noted(&book, &what, 100);
	(void)noted(&book, &what, 200);
	what = read_by_nobody("b.test");
	(void)noted(&book, &what, 300);
	what = (struct book_entry){
		.kind = BOOK_REFUSED, .check = 4, .site = "c.test", .why = "check 4 of Accord failed"};
	(void)noted(&book, &what, 400);
	struct bytes text = written(&book, first, sizeof(first));
	assert_int_equal(book_read(&again, text), 0);
	assert_int_equal(again.rows, 3);
	assert_int_equal(again.oldest->count, 2);
	assert_int_equal(again.oldest->since_s, 100);
	assert_int_equal(again.newest->what.check, 4);
	struct bytes same = written(&again, second, sizeof(second));
	assert_true(bytes_equal(text, same));
	book_clear(&book);
	book_clear(&again);
}

static void the_longest_row_has_room(void **state)
{
	(void)state;
	static char room[BOOK_ROW_TEXT];
	struct book book;
	struct book_entry what = {.kind = BOOK_READ, .readers = BOOK_READERS, .check = UINT16_MAX, .accepted = true};
	memset(what.site, 's', sizeof(what.site) - 1);
	memset(what.why, 'w', sizeof(what.why) - 1);
	for (size_t i = 0; i < BOOK_READERS; i++) {
		memset(what.reader[i].name, 'n', sizeof(what.reader[i].name) - 1);
		memset(what.reader[i].pin, 'a', sizeof(what.reader[i].pin) - 1);
		memset(what.reader[i].purpose, 'p', sizeof(what.reader[i].purpose) - 1);
	}
	book_init(&book, 1);
	struct book_row *row = noted(&book, &what, INT64_MAX);
	row->count = UINT64_MAX;
	struct bytes text = written(&book, room, sizeof(room));
	struct book again;
	book_init(&again, 1);
	assert_int_equal(book_read(&again, text), 0);
	assert_memory_equal(&again.newest->what, &what, sizeof(what));
	book_clear(&book);
	book_clear(&again);
}

static void damaged_lines_are_counted_and_the_others_kept(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "\t", "nobody", "nobody\ta.test\t1\t2\t3\t0\t0\t\tproxy",
		"nobody\ta.test\t1\t2\t3\t", "friends\ta.test\t1\t2\t3\t0\t0\t\t", "nobody\ta.test\t-1\t2\t3\t0\t0\t\t",
		"nobody\ta.test\t1\t2\tx\t0\t0\t\t", "read\ta.test\t1\t2\t3\t0\t0\t\t",
		"nobody\ta.test\t1\t2\t3\t0\t0\t\tp\tq\t1\tr\t", "read\ta.test\t1\t2\t3\t0\t0\t\tp\tq\t999\tr\t",
		"nobody\ta.test\t99999999999999999999\t2\t3\t0\t0\t\t"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct book book;
		char text[400];
		book_init(&book, 10);
		snprintf(
			text, sizeof(text), "%s\nnobody\tgood.test\t1\t2\t3\t0\t0\t\t\nnobody\tcut.test\t1\t2", bad[i]);
		assert_int_equal(book_read(&book, bytes_str(text)), 1);
		assert_int_equal(book.rows, 1);
		assert_string_equal(book.newest->what.site, "good.test");
		book_clear(&book);
	}
}

static void any_octets_are_read_without_harm(void **state)
{
	(void)state;
	static const char line[] = "read\ta.test\t1\t2\t3\t0\t0\t\tproxy.test\taa\t1\tpurpose\t\n";
	srandom(11);
	for (int i = 0; i < 20000; i++) {
		char text[sizeof(line)];
		struct book book;
		memcpy(text, line, sizeof(line));
		for (long n = random() % 4; n >= 0; n--)
			text[random() % (long)(sizeof(line) - 1)] = (char)random();
		book_init(&book, 4);
		(void)book_read(&book, bytes_of(text, sizeof(line) - 1 - (size_t)(random() % 3)));
		for (const struct book_row *row = book.newest; row; row = row->older) {
			assert_null(strpbrk(row->what.site, "\t\n"));
			assert_true(row->what.readers <= BOOK_READERS);
		}
		book_clear(&book);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_row_per_site_and_company),
		cmocka_unit_test(a_proxy_that_renews_its_key_is_the_same_reader),
		cmocka_unit_test(a_full_book_drops_what_was_longest_unused_and_never_what_is_open),
		cmocka_unit_test(a_book_whose_rows_are_all_open_counts_what_it_cannot_note),
		cmocka_unit_test(rows_of_long_ago_are_forgotten),
		cmocka_unit_test(what_is_written_is_read_again),
		cmocka_unit_test(the_longest_row_has_room),
		cmocka_unit_test(damaged_lines_are_counted_and_the_others_kept),
		cmocka_unit_test(any_octets_are_read_without_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
