#include "keys/share_readers.h"

#include "keys/name_pattern.h"
#include "keys/share_item.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HEAD "overt-share-readers 1 0123456789abcdef\n"
#define KEY  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static bool readable(const char *text)
{
	struct share_readers readers;
	bool ok = share_readers_read(bytes_str(text), &readers);
	assert_true(ok || (readers.count == 0 && readers.id == 0));
	return ok;
}

static void what_was_written_is_read_again(void **state)
{
	struct share_readers readers = {.id = 0xfedcba9876543210, .count = 2}, back;
	char text[1024];
	struct writer to = writer_over(text, sizeof(text));
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		readers.at[i] = (struct share_reader){.mode = i == 0 ? SHARE_LIVE : SHARE_AFTER_ROTATION,
			.name = bytes_str("ops laptop"),
			.purpose = bytes_str(i == 0 ? "" : "incident 12"),
			.patterns = bytes_str("*.example.org example.com")};
		memset(readers.at[i].key_id, 7, SHARE_KEY_ID);
	}
	assert_true(share_readers_write(&readers, &to));
	assert_true(share_readers_read(bytes_of(text, to.len), &back));
	assert_true(back.id == readers.id);
	assert_int_equal(back.count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_memory_equal(back.at[i].key_id, readers.at[i].key_id, SHARE_KEY_ID);
		assert_int_equal(back.at[i].mode, readers.at[i].mode);
		assert_true(bytes_equal(back.at[i].name, readers.at[i].name));
		assert_true(bytes_equal(back.at[i].purpose, readers.at[i].purpose));
		assert_true(bytes_equal(back.at[i].patterns, readers.at[i].patterns));
	}
}

static void what_is_no_list_is_refused_whole(void **state)
{
	(void)state;
	assert_true(readable(HEAD));
	assert_true(readable(HEAD KEY "\tlive\tr\t\t*\n"));
	assert_false(readable(""));
	assert_false(readable("overt-share-readers 2 0123456789abcdef\n"));
	assert_false(readable("overt-share-readers 1 0123456789abcd\n"));
	assert_false(readable(HEAD KEY "\tlive\tr\t\t*"));
	assert_false(readable(HEAD KEY "\tlive\tr\t*\n"));
	assert_false(readable(HEAD KEY "\tlive\tr\t\t*\t\n"));
	assert_false(readable(HEAD KEY "\tlive\t\t\t*\n"));
	assert_false(readable(HEAD KEY "\tdead\tr\t\t*\n"));
	assert_false(readable(HEAD "00\tlive\tr\t\t*\n"));
	assert_false(readable(HEAD KEY "\tlive\tr\t\t*\n\n"));
}

static void a_reader_stands_once_for_each_mode(void **state)
{
	(void)state;
	assert_true(readable(HEAD KEY "\tlive\tr\t\t*\n" KEY "\tafter-rotation\tr\t\t*\n"));
	assert_false(readable(HEAD KEY "\tlive\tr\t\t*\n" KEY "\tlive\ts\t\t*\n"));
}

static void there_are_as_many_as_a_set_has_places(void **state)
{
	char text[SHARE_READERS_MAX * 100 + 200];
	struct share_readers readers;
	int len = snprintf(text, sizeof(text), HEAD);
	(void)state;
	for (unsigned i = 0; i <= SHARE_READERS_MAX; i++) {
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%064x\tlive\tr\t\t*\n", i);
		assert_int_equal(share_readers_read(bytes_of(text, (size_t)len), &readers), i < SHARE_READERS_MAX);
	}
}

static void texts_that_would_break_lines_are_not_written(void **state)
{
	static const char *const broken[] = {"a\tb", "a\nb"};
	struct share_readers readers = {.count = 1};
	char text[1024];
	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct writer to = writer_over(text, sizeof(text));
		struct bytes wrong = bytes_str(broken[i % 2]);
		readers.at[0] = (struct share_reader){.mode = SHARE_LIVE,
			.name = i / 2 == 0 ? wrong : bytes_str("r"),
			.purpose = i / 2 == 1 ? wrong : BYTES_NONE,
			.patterns = i / 2 == 2 ? wrong : bytes_str("*")};
		assert_false(share_readers_write(&readers, &to));
	}
}

static void a_name_has_the_readers_whose_patterns_it_fits(void **state)
{
	struct share_readers readers;
	(void)state;
	assert_true(share_readers_read(
		bytes_str(HEAD KEY "\tlive\tr\t\t*.example.org example.com\n" KEY "\tafter-rotation\tr\t\t*\n"),
		&readers));
	assert_int_equal(share_readers_for(&readers, bytes_str("www.example.org")), 3);
	assert_int_equal(share_readers_for(&readers, bytes_str("EXAMPLE.com.")), 3);
	assert_int_equal(share_readers_for(&readers, bytes_str("example.org")), 2);
	assert_int_equal(share_readers_for(&readers, BYTES_NONE), 2);
}

static void patterns_are_exact_below_both_or_all(void **state)
{
	(void)state;
	assert_true(name_pattern_fits(bytes_str("a.test"), bytes_str("A.TEST")));
	assert_false(name_pattern_fits(bytes_str("a.test"), bytes_str("b.a.test")));
	assert_true(name_pattern_fits(bytes_str("*.a.test"), bytes_str("b.a.test")));
	assert_false(name_pattern_fits(bytes_str("*.a.test"), bytes_str("a.test")));
	assert_false(name_pattern_fits(bytes_str("*.a.test"), bytes_str("ba.test")));
	assert_true(name_pattern_fits(bytes_str(".a.test"), bytes_str("a.test")));
	assert_true(name_pattern_fits(bytes_str(".a.test"), bytes_str("b.a.test")));
	assert_false(name_pattern_fits(bytes_str(".a.test"), bytes_str("ba.test")));
	assert_true(name_pattern_fits(bytes_str("*"), BYTES_NONE));
	assert_false(name_pattern_fits(bytes_str("a.test"), BYTES_NONE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read_again),
		cmocka_unit_test(what_is_no_list_is_refused_whole),
		cmocka_unit_test(a_reader_stands_once_for_each_mode),
		cmocka_unit_test(there_are_as_many_as_a_set_has_places),
		cmocka_unit_test(texts_that_would_break_lines_are_not_written),
		cmocka_unit_test(a_name_has_the_readers_whose_patterns_it_fits),
		cmocka_unit_test(patterns_are_exact_below_both_or_all),
	};
	return cmocka_run_group_tests_name("keys/share_readers", tests, NULL, NULL);
}
