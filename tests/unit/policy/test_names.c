#include "policy/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

/* Of this thread: a busy machine does not count. */
static uint64_t cpu_ns(void)
{
	struct timespec now;
	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static struct names *set(const char *text)
{
	struct error err;
	struct names *names = names_new(bytes_str(text), "list", &err);
	if (!names)
		fail_msg("%s", err.text);
	return names;
}

static bool has(const struct names *names, const char *name)
{
	struct name_key key;
	name_key_set(&key, bytes_str(name));
	return names_has(names, &key);
}

static void the_three_forms_mean_what_they_say(void **state)
{
	(void)state;
	struct names *names = set("example.com\n*.wild.test\n.both.test\nbank\n");
	assert_true(has(names, "example.com"));
	assert_false(has(names, "www.example.com"));
	assert_false(has(names, "example.co"));
	assert_false(has(names, "xample.com"));
	assert_true(has(names, "a.wild.test"));
	assert_true(has(names, "a.b.c.wild.test"));
	assert_false(has(names, "wild.test"));
	assert_false(has(names, "awild.test"));
	assert_true(has(names, "both.test"));
	assert_true(has(names, "x.both.test"));
	assert_false(has(names, "xboth.test"));
	assert_true(has(names, "bank"));
	assert_false(has(names, "a.bank"));
	assert_false(has(names, "test"));
	names_free(names);
}

static void case_and_a_closing_dot_do_not_matter(void **state)
{
	(void)state;
	struct names *names = set("EXAMPLE.com.\n*.Wild.Test\n");
	assert_true(has(names, "example.com"));
	assert_true(has(names, "Example.COM."));
	assert_true(has(names, "A.WILD.test"));
	names_free(names);
}

static void comments_blanks_and_both_line_ends_are_passed_over(void **state)
{
	(void)state;
	struct names *names = set("# head\r\n\r\n  a.test  # why\r\n\tb.test\n\n#c.test\nd.test");
	assert_int_equal(names_count(names).names, 3);
	assert_true(has(names, "a.test"));
	assert_true(has(names, "b.test"));
	assert_false(has(names, "c.test"));
	assert_true(has(names, "d.test"));
	names_free(names);
	names = set("");
	assert_false(has(names, "a.test"));
	assert_false(has(names, ""));
	names_free(names);
}

static void the_most_specific_pattern_is_named(void **state)
{
	(void)state;
	struct names *names = set(".test\n*.b.test\na.b.test\n*.a.b.test\n");
	struct name_key key;
	struct bytes found;
	name_key_set(&key, bytes_str("a.b.test"));
	assert_true(names_find(names, &key, &found));
	assert_true(bytes_equal(found, bytes_str("a.b.test")));
	name_key_set(&key, bytes_str("c.b.test"));
	assert_true(names_find(names, &key, &found));
	assert_true(bytes_equal(found, bytes_str("*.b.test")));
	name_key_set(&key, bytes_str("x.a.b.test"));
	assert_true(names_find(names, &key, &found));
	assert_true(bytes_equal(found, bytes_str("*.a.b.test")));
	name_key_set(&key, bytes_str("b.test"));
	assert_true(names_find(names, &key, &found));
	assert_true(bytes_equal(found, bytes_str(".test")));
	names_free(names);
}

static void twice_the_same_counts_once(void **state)
{
	(void)state;
	struct names *names = set("a.test\nA.TEST.\na.test # again\n*.a.test\n.a.test\n");
	assert_int_equal(names_count(names).names, 3);
	assert_int_equal(names_count(names).duplicates, 2);
	names_free(names);
}

static void refused(const char *text, const char *message)
{
	struct error err = {{0}};
	assert_null(names_new(bytes_str(text), "list", &err));
	if (strncmp(err.text, message, strlen(message)) != 0)
		fail_msg("expected \"%s...\", got \"%s\"", message, err.text);
}

static void a_bad_line_is_named(void **state)
{
	(void)state;
	refused("a.test\n\nb test\n", "list:3: \"b test\" is no DNS name");
	refused("0.0.0.0 b.test", "list:1: \"0.0.0.0 b.test\" is no DNS name");
	refused("a..test", "list:1: \"a..test\" has an empty label");
	refused("..test", "list:1: \"..test\" has an empty label");
	refused(".", "list:1: \".\" has an empty label");
	refused("*.", "list:1: \"*.\" has an empty label");
	refused("*", "list:1: \"*\" is no DNS name");
	refused("a.*.test", "list:1: \"a.*.test\" is no DNS name");
	refused("b\xc3\xbc"
		"cher.test",
		"list:1: \"b\xc3\xbc"
		"cher.test\" is not ASCII");
	refused("192.0.2.1", "list:1: \"192.0.2.1\" is an IP address");
	refused("2001:db8::1", "list:1: \"2001:db8::1\" is an IP address");
	refused("a234567890123456789012345678901234567890123456789012345678901234.test", "list:1: \"a23");
	char line[300];
	memset(line, 'a', sizeof(line));
	for (size_t i = 50; i < 260; i += 50)
		line[i] = '.';
	line[254] = '\0';
	refused(line, "list:1: ");
	line[253] = '\0';
	names_free(set(line));
}

static void strange_names_from_clients_fit_nothing(void **state)
{
	(void)state;
	struct names *names = set(".test\n");
	static const char *const strange[] = {"", ".", "..", ".test", "a..test", " a.test", "a.test ", "*.test",
		"a\x01.test", "127.0.0.1", "::1", "b\xc3\xbc.test"};
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		if (has(names, strange[i]))
			fail_msg("\"%s\" fits", strange[i]);
	}
	char labels[254];
	for (size_t i = 0; i < 253; i++)
		labels[i] = i % 2 ? '.' : 'a';
	labels[253] = '\0';
	assert_false(has(names, labels));
	memcpy(labels + 247, ".test", 6);
	assert_true(has(names, labels));
	struct name_key key;
	name_key_set(&key, bytes_of("a.test\0b.test", 13));
	assert_false(names_has(names, &key));
	assert_false(key.address);
	name_key_set(&key, bytes_str("127.0.0.1"));
	assert_true(key.address);
	names_free(names);
}

/* A million names of three labels, every fourth one a pattern for what is below it. */
static char *million(size_t *len)
{
	char *text = malloc((size_t)NAMES_MAX * 40);
	size_t at = 0;
	for (unsigned i = 0; text && i < NAMES_MAX; i++)
		at += (size_t)sprintf(text + at, "%shost%u.zone%u.test\n", i % 4 == 0 ? "*." : "", i, i % 977);
	*len = at;
	return text;
}

static void a_million_names_are_found_fast_and_small(void **state)
{
	(void)state;
	size_t len;
	char *text = million(&len);
	assert_non_null(text);
	struct error err;
	uint64_t start = cpu_ns();
	struct names *names = names_new(bytes_of(text, len), "list", &err);
	uint64_t built = cpu_ns() - start;
	assert_non_null(names);
	struct names_counts counts = names_count(names);
	assert_int_equal(counts.names, NAMES_MAX);
	assert_true(counts.octets <= 24UL * NAMES_MAX);

	enum { ROUNDS = 1024 * 400, BATCH = 1024 };
	char(*asked)[80] = calloc(BATCH, sizeof(*asked));
	assert_non_null(asked);
	uint64_t spent = 0, hits = 0;
	for (unsigned done = 0; done < ROUNDS; done += BATCH) {
		for (unsigned i = 0; i < BATCH; i++) {
			/* Half of them are in no list; of the others, a quarter stand two labels below a pattern. */
			unsigned n = (done + i) * 7919U % NAMES_MAX;
			snprintf(asked[i], sizeof(asked[i]), "%shost%u.zone%u.test", n % 4 == 0 ? "www.deep." : "",
				i % 2 ? n : n + NAMES_MAX, n % 977);
		}
		start = cpu_ns();
		for (unsigned i = 0; i < BATCH; i++)
			hits += has(names, asked[i]);
		spent += cpu_ns() - start;
	}
	double each = (double)spent / ROUNDS;
	print_message(
		"# 1,000,000 names: built in %.0f ms, %.1f octets per name beside the text, %.0f ns per look-up\n",
		(double)built / 1e6, (double)counts.octets / NAMES_MAX, each);
	assert_true(hits > ROUNDS / 3 && hits < ROUNDS * 2 / 3);
	/* The bound is for a release build; sanitizers and a busy machine get ten times that. */
	assert_true(each < 10000);
	free(asked);
	names_free(names);

	/* One more is refused. */
	char *more = realloc(text, len + 16);
	assert_non_null(more);
	memcpy(more + len, "one.more\n", 9);
	assert_null(names_new(bytes_of(more, len + 9), "list", &err));
	assert_string_equal(err.text, "list: 1000001 names, more than 1000000");
	free(more);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_three_forms_mean_what_they_say),
		cmocka_unit_test(case_and_a_closing_dot_do_not_matter),
		cmocka_unit_test(comments_blanks_and_both_line_ends_are_passed_over),
		cmocka_unit_test(the_most_specific_pattern_is_named),
		cmocka_unit_test(twice_the_same_counts_once),
		cmocka_unit_test(a_bad_line_is_named),
		cmocka_unit_test(strange_names_from_clients_fit_nothing),
		cmocka_unit_test(a_million_names_are_found_fast_and_small),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
