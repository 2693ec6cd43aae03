#include "policy/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct entry {
	const char *word;
	int other;
};

static const struct entry words[] = {{"listen", 1}, {"lossless", 2}, {"port", 3}, {"client-certificate", 4}};

static const char *near(const char *word)
{
	return suggest(word, words, sizeof(words) / sizeof(words[0]), sizeof(words[0]));
}

static void a_slip_finds_its_word(void **state)
{
	(void)state;
	assert_string_equal(near("lisen"), "listen");
	assert_string_equal(near("lsiten"), "listen");
	assert_string_equal(near("ports"), "port");
	assert_string_equal(near("client_certificate"), "client-certificate");
	assert_string_equal(near("losless"), "lossless");
}

static void a_stranger_finds_none(void **state)
{
	(void)state;
	assert_null(near("xyzzy"));
	assert_null(near(""));
	assert_null(near("p"));
	assert_null(near("a word that is much longer than any word which could stand here"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slip_finds_its_word),
		cmocka_unit_test(a_stranger_finds_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
