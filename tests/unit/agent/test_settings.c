#include "agent/settings.h"

#include "accord/body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int clear(void **state)
{
	static const char *const names[] = {AGENT_RULE, AGENT_ANCHORS, AGENT_TRUST, AGENT_ROLE, AGENT_PROXIES,
		AGENT_REPORT, AGENT_SERVER, AGENT_TOKEN, AGENT_APPROVAL};
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
	return 0;
}

static void without_the_rule_nothing_is_on(void **state)
{
	(void)state;
	struct agent_settings out;
	setenv(AGENT_ANCHORS, "/a", 1);
	assert_true(agent_settings_read(&out));
	assert_false(out.on);
}

static void what_is_exported_is_read(void **state)
{
	(void)state;
	struct agent_settings out;
	const struct agent_settings in = {.on = true,
		.require = true,
		.anchors = "/a",
		.report = "/r",
		.roles = ACCORD_ANY_ROLE,
		.proxy = {"one.example", "two.example"},
		.proxies = 2};
	setenv(AGENT_TRUST, "/of/an/outer/run", 1);
	assert_true(agent_settings_export(&in));
	assert_true(agent_settings_read(&out));
	assert_true(out.on && out.require);
	assert_string_equal(out.anchors, "/a");
	assert_string_equal(out.report, "/r");
	assert_null(out.trust);
	assert_int_equal(out.roles, ACCORD_ANY_ROLE);
	assert_int_equal(out.proxies, 2);
	assert_string_equal(out.proxy[1], "two.example");
}

static void what_is_exported_for_a_server_is_read(void **state)
{
	(void)state;
	struct agent_settings out;
	const struct agent_settings in = {
		.on = true, .require = true, .server = "/rules", .report = "/r", .token = {0xab, 1, [15] = 0xf0}};
	setenv(AGENT_RULE, "prefer", 1); /* of an outer run */
	setenv(AGENT_APPROVAL, "/of/an/outer/run", 1);
	assert_true(agent_settings_export(&in));
	assert_true(agent_settings_read(&out));
	assert_true(out.on && out.require);
	assert_string_equal(out.server, "/rules");
	assert_memory_equal(out.token, in.token, sizeof(in.token));
	assert_null(out.approval);
	/* What servers do to show a title must not reach what was read. */
	assert_ptr_not_equal(out.server, getenv(AGENT_SERVER));
	setenv(AGENT_TOKEN, "12", 1);
	assert_false(agent_settings_read(&out));
	assert_true(out.on && out.require);
}

static void client_and_server_at_once_make_no_sense(void **state)
{
	(void)state;
	struct agent_settings out;
	setenv(AGENT_RULE, "prefer", 1);
	setenv(AGENT_ANCHORS, "/a", 1);
	setenv(AGENT_SERVER, "/rules", 1);
	assert_false(agent_settings_read(&out));
	assert_true(out.on && out.require);
}

static void a_rule_that_makes_no_sense_lets_nothing_through(void **state)
{
	(void)state;
	struct agent_settings out;
	setenv(AGENT_RULE, "perhaps", 1);
	setenv(AGENT_ANCHORS, "/a", 1);
	assert_false(agent_settings_read(&out));
	assert_true(out.on && out.require);
	setenv(AGENT_RULE, "require", 1);
	assert_true(agent_settings_read(&out));
	setenv(AGENT_ROLE, "owner", 1);
	assert_false(agent_settings_read(&out));
	unsetenv(AGENT_ROLE);
	unsetenv(AGENT_ANCHORS);
	assert_false(agent_settings_read(&out));
	assert_true(out.on && out.require);
}

static void too_many_proxies_make_no_sense(void **state)
{
	(void)state;
	struct agent_settings out;
	char list[3 * (AGENT_MAX_PROXIES + 2)] = "";
	setenv(AGENT_RULE, "prefer", 1);
	setenv(AGENT_ANCHORS, "/a", 1);
	for (int i = 0; i < AGENT_MAX_PROXIES; i++)
		strcat(list, "a,");
	setenv(AGENT_PROXIES, list, 1);
	assert_true(agent_settings_read(&out));
	assert_int_equal(out.proxies, AGENT_MAX_PROXIES);
	strcat(list, "b");
	setenv(AGENT_PROXIES, list, 1);
	assert_false(agent_settings_read(&out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_the_rule_nothing_is_on, clear),
		cmocka_unit_test_setup(what_is_exported_is_read, clear),
		cmocka_unit_test_setup(what_is_exported_for_a_server_is_read, clear),
		cmocka_unit_test_setup(client_and_server_at_once_make_no_sense, clear),
		cmocka_unit_test_setup(a_rule_that_makes_no_sense_lets_nothing_through, clear),
		cmocka_unit_test_setup(too_many_proxies_make_no_sense, clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
