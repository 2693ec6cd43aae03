#include "base/lookup.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint64_t soon(void)
{
	return clock_monotonic_ns() + 10 * NS_PER_S;
}

static void an_address_needs_no_time(void **state)
{
	(void)state;
	static const char *const texts[] = {"127.0.0.1", "::1"};
	for (size_t i = 0; i < 2; i++) {
		struct error err = {""};
		struct addrinfo *found = NULL;
		assert_true(lookup(texts[i], "443", AI_ADDRCONFIG, 0, &found, &err));
		assert_int_equal(found->ai_family, i == 0 ? AF_INET : AF_INET6);
		assert_int_equal(found->ai_socktype, SOCK_STREAM);
		freeaddrinfo(found);
	}
}

static void a_name_is_found_in_time(void **state)
{
	(void)state;
	struct error err = {""};
	struct addrinfo *found = NULL;
	assert_true(lookup("localhost", "443", 0, soon(), &found, &err));
	assert_non_null(found);
	freeaddrinfo(found);
}

static void a_name_that_takes_too_long_is_given_up(void **state)
{
	(void)state;
	struct error err = {""};
	struct addrinfo *found = NULL;
	/* The answer may be quicker than the look at the clock: then it counts. */
	if (lookup("localhost", "443", 0, 0, &found, &err))
		freeaddrinfo(found);
	else
		assert_string_equal(err.text, "localhost: not resolved before the deadline");
}

static void what_is_no_name_or_port_is_told(void **state)
{
	(void)state;
	struct error err = {""};
	struct addrinfo *found = NULL;
	assert_false(lookup("localhost", "no port", 0, soon(), &found, &err));
	assert_non_null(strstr(err.text, "localhost: "));
	assert_null(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_needs_no_time),
		cmocka_unit_test(a_name_is_found_in_time),
		cmocka_unit_test(a_name_that_takes_too_long_is_given_up),
		cmocka_unit_test(what_is_no_name_or_port_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
