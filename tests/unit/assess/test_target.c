#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include "assess/target.h"

#include "base/clock.h"

static void hosts_and_ports_are_read(void **state)
{
	(void)state;
	static const struct {
		const char *in, *text;
	} cases[] = {
		{"host.test", "host.test:443"},
		{"host.test:8443", "host.test:8443"},
		{"127.0.0.1:1", "127.0.0.1:1"},
		{"[::1]:8443", "[::1]:8443"},
		{"[::1]", "[::1]:443"},
		{"::1", "[::1]:443"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct target target = {0};
		struct error err = {""};
		assert_true(target_of_word(cases[i].in, "443", &target, &err));
		assert_string_equal(target.text, cases[i].text);
	}
}

static void what_is_no_host_and_port_is_refused(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"", ":443", "host.test:", "host.test:0", "host.test:65536", "ho st", "[::1", "a/b"};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct target target = {0};
		struct error err = {""};
		assert_false(target_of_word(cases[i], "443", &target, &err));
		assert_true(err.text[0] != '\0');
	}
}

static void a_spent_budget_makes_no_connection(void **state)
{
	(void)state;
	struct target target = {0};
	struct error err = {""};
	uint64_t deadline_ns;
	int fd;
	assert_true(target_of_word("127.0.0.1:1", "443", &target, &err));
	target.deadline_ns = clock_monotonic_ns() + NS_PER_S;
	target.step_ns = NS_PER_S;
	assert_int_equal(target_dial(&target, &fd, &deadline_ns), DIAL_SPENT);
	target.left = 1;
	target.deadline_ns = clock_monotonic_ns();
	assert_int_equal(target_dial(&target, &fd, &deadline_ns), DIAL_SPENT);
	assert_int_equal(target.made, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_and_ports_are_read),
		cmocka_unit_test(what_is_no_host_and_port_is_refused),
		cmocka_unit_test(a_spent_budget_makes_no_connection),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
