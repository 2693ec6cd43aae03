#include "proxy/local_refused.h"

#include "accord/body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PIN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void refuse(struct refused *refused, enum refused_kind kind, const char *what)
{
	struct error err;
	assert_true(refused_add(refused, kind, bytes_str(what), 1, NULL, &err));
}

static struct book_entry read_by(const char *site, const char *proxy, uint8_t role)
{
	struct book_entry what = {.kind = BOOK_READ, .readers = 1, .reader[0] = {.pin = PIN, .role = role}};
	snprintf(what.site, sizeof(what.site), "%s", site);
	snprintf(what.reader[0].name, sizeof(what.reader[0].name), "%s", proxy);
	return what;
}

static void names_have_one_form(void **state)
{
	(void)state;
	struct refused refused = {0};
	refuse(&refused, REFUSED_SITE, "Bank.Example.");
	refuse(&refused, REFUSED_SITE, "bank.example");
	refuse(&refused, REFUSED_SITE, "[2001:DB8::0:1]");
	refuse(&refused, REFUSED_PROXY, "PROXY.test");
	refuse(&refused, REFUSED_PROXY, PIN);
	assert_int_equal(refused.count, 4);
	assert_true(refused_has(&refused, REFUSED_SITE, "bank.example"));
	assert_true(refused_has(&refused, REFUSED_SITE, "2001:db8::1"));
	assert_true(refused_has(&refused, REFUSED_PROXY, "proxy.test"));
	assert_true(refused_has(&refused, REFUSED_PROXY, PIN));
	assert_false(refused_has(&refused, REFUSED_SITE, "www.bank.example"));
}

static void what_is_no_name_or_role_is_not_taken(void **state)
{
	(void)state;
	static const struct {
		enum refused_kind kind;
		const char *what;
	} bad[] = {{REFUSED_ROLE, ""}, {REFUSED_ROLE, "both"}, {REFUSED_ROLE, "Reader"}, {REFUSED_SITE, ""},
		{REFUSED_SITE, "a b"}, {REFUSED_SITE, "<b>"}, {REFUSED_PROXY, "-x.test"}, {REFUSED_PROXY, PIN "0"}};
	struct refused refused = {0};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error err = {""};
		assert_false(refused_add(&refused, bad[i].kind, bytes_str(bad[i].what), 1, NULL, &err));
		assert_true(err.text[0]);
	}
	assert_int_equal(refused.count, 0);
}

static void roles_left_are_what_nobody_refused(void **state)
{
	(void)state;
	struct refused refused = {0};
	assert_int_equal(refused_roles_left(&refused, ACCORD_ANY_ROLE, "a.test"), ACCORD_ANY_ROLE);
	refuse(&refused, REFUSED_ROLE, "writer");
	assert_int_equal(refused_roles_left(&refused, ACCORD_ANY_ROLE, "a.test"), ACCORD_READER);
	assert_int_equal(refused_roles_left(&refused, ACCORD_WRITER, "a.test"), 0);
	refuse(&refused, REFUSED_SITE, "a.test");
	assert_int_equal(refused_roles_left(&refused, ACCORD_ANY_ROLE, "a.test"), 0);
	assert_int_equal(refused_roles_left(&refused, ACCORD_ANY_ROLE, "b.test"), ACCORD_READER);
}

static void a_refusal_concerns_whom_it_names(void **state)
{
	(void)state;
	struct error why;
	struct book_entry what = read_by("a.test", "proxy.test", ACCORD_READER);
	struct refused refused = {0};
	assert_false(refused_concerns(&refused, &what, &why));
	refuse(&refused, REFUSED_PROXY, "other.test");
	refuse(&refused, REFUSED_ROLE, "writer");
	refuse(&refused, REFUSED_SITE, "b.test");
	assert_false(refused_concerns(&refused, &what, &why));
	refuse(&refused, REFUSED_PROXY, "proxy.test");
	assert_true(refused_concerns(&refused, &what, &why));
	assert_non_null(strstr(why.text, "proxy.test"));
	what = read_by("a.test", "third.test", ACCORD_WRITER);
	assert_true(refused_concerns(&refused, &what, &why));
	assert_non_null(strstr(why.text, "writer"));
	what = read_by("b.test", "third.test", ACCORD_READER);
	assert_true(refused_concerns(&refused, &what, &why));
	assert_non_null(strstr(why.text, "b.test"));
}

static void the_last_of_several_proxies_is_found_too(void **state)
{
	(void)state;
	struct refused refused = {0};
	struct book_entry what = read_by("a.test", "first.test", ACCORD_READER);
	what.reader[1] = (struct book_reader){.pin = PIN, .role = ACCORD_READER};
	what.readers = 2;
	refuse(&refused, REFUSED_PROXY, PIN);
	assert_true(refused_concerns(&refused, &what, NULL));
	what.readers = 1;
	assert_false(refused_concerns(&refused, &what, NULL));
}

static void a_refused_site_may_be_reached_where_nobody_reads(void **state)
{
	(void)state;
	struct refused refused = {0};
	refuse(&refused, REFUSED_SITE, "a.test");
	static const bool refuses[BOOK_KINDS] = {[BOOK_READ] = true,
		[BOOK_NOBODY] = false,
		[BOOK_LOCAL_CA] = true,
		[BOOK_PLAIN] = true,
		[BOOK_REFUSED] = false};
	for (int kind = 0; kind < BOOK_KINDS; kind++) {
		struct book_entry what = {.kind = (enum book_kind)kind, .site = "a.test"};
		assert_int_equal(refused_concerns(&refused, &what, NULL), refuses[kind]);
	}
}

static void what_is_taken_back_is_gone_and_nothing_else(void **state)
{
	(void)state;
	struct refused refused = {0};
	refuse(&refused, REFUSED_SITE, "a.test");
	refuse(&refused, REFUSED_PROXY, "a.test");
	refuse(&refused, REFUSED_SITE, "b.test");
	assert_true(refused_remove(&refused, REFUSED_SITE, bytes_str("A.test")));
	assert_false(refused_remove(&refused, REFUSED_SITE, bytes_str("a.test")));
	assert_false(refused_remove(&refused, REFUSED_SITE, bytes_str("c.test")));
	assert_true(refused_has(&refused, REFUSED_PROXY, "a.test") && refused_has(&refused, REFUSED_SITE, "b.test"));
	assert_int_equal(refused.count, 2);
}

static void the_most_is_counted_and_nothing_gives_way(void **state)
{
	(void)state;
	static struct refused refused;
	struct error err;
	char name[32];
	for (int i = 0; i < REFUSED_MAX; i++) {
		snprintf(name, sizeof(name), "s%d.test", i);
		refuse(&refused, REFUSED_SITE, name);
	}
	assert_false(refused_add(&refused, REFUSED_SITE, bytes_str("more.test"), 1, NULL, &err));
	assert_int_equal(refused.full, 1);
	refuse(&refused, REFUSED_SITE, "s0.test");
	assert_true(refused_remove(&refused, REFUSED_SITE, bytes_str("s255.test")));
	refuse(&refused, REFUSED_SITE, "more.test");
}

static void what_is_written_is_read_again(void **state)
{
	(void)state;
	struct refused refused = {0}, again = {0};
	char room[2048];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes text;
	refuse(&refused, REFUSED_SITE, "a.test");
	refuse(&refused, REFUSED_PROXY, PIN);
	refuse(&refused, REFUSED_ROLE, "reader");
	refused_write(&refused, &w);
	assert_true(writer_done(&w, &text));
	assert_int_equal(refused_read(&again, text), 0);
	assert_int_equal(again.count, 3);
	assert_memory_equal(&again.item, &refused.item, 3 * sizeof(refused.item[0]));
	assert_int_equal(refused_read(&again, bytes_str("site\ta.test\t\nfriend\ta.test\t1\t\nrole\tking\t1\t\n")), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_have_one_form),
		cmocka_unit_test(what_is_no_name_or_role_is_not_taken),
		cmocka_unit_test(roles_left_are_what_nobody_refused),
		cmocka_unit_test(a_refusal_concerns_whom_it_names),
		cmocka_unit_test(the_last_of_several_proxies_is_found_too),
		cmocka_unit_test(a_refused_site_may_be_reached_where_nobody_reads),
		cmocka_unit_test(what_is_taken_back_is_gone_and_nothing_else),
		cmocka_unit_test(the_most_is_counted_and_nothing_gives_way),
		cmocka_unit_test(what_is_written_is_read_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
