#include "agent/share_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int clean(void **state)
{
	static const char *const names[] = {SHARE_ADDRESS, SHARE_UID, SHARE_RULE, SHARE_DEADLINE, SHARE_FIFO,
		SHARE_MODE, SHARE_ROTATE_BYTES, SHARE_ROTATE_SECONDS, SHARE_READERS};
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
	return 0;
}

static void without_an_address_nothing_is_shared(void **state)
{
	struct share_settings settings;
	(void)state;
	setenv(SHARE_RULE, "closed", 1);
	assert_true(share_settings_read(&settings));
	assert_false(settings.on);
}

static void what_is_not_set_has_its_default(void **state)
{
	struct share_settings settings;
	(void)state;
	setenv(SHARE_ADDRESS, "/run/overt/share", 1);
	assert_true(share_settings_read(&settings));
	assert_true(settings.on);
	assert_false(settings.closed);
	assert_int_equal(settings.uid, 0);
	assert_int_equal(settings.deadline_ms, SHARE_DEADLINE_DEFAULT);
	assert_string_equal(settings.fifo, "");
	assert_string_equal(settings.readers, "");
	assert_false(settings.after_rotation || settings.rotate_calls);
	assert_int_equal(settings.rotate_bytes, SHARE_ROTATE_BYTES_DEFAULT);
	assert_int_equal(settings.rotate_seconds, SHARE_ROTATE_SECONDS_DEFAULT);
}

static void what_is_exported_is_read_again_and_outlives_the_environment(void **state)
{
	struct share_settings settings = {.on = true,
		.address = "@somewhere",
		.fifo = "/tmp/x/keys",
		.readers = "/tmp/x/readers",
		.uid = 65534,
		.deadline_ms = 7,
		.rotate_bytes = UINT64_C(5000000000),
		.rotate_seconds = 9,
		.rotate_calls = true,
		.after_rotation = true,
		.closed = true};
	struct share_settings back;
	(void)state;
	assert_true(share_settings_export(&settings));
	assert_true(share_settings_read(&back));
	/* As servers do that write a title. */
	char *at = getenv(SHARE_ADDRESS);
	assert_non_null(at);
	if (at)
		memset(at, 'z', strlen(at));
	assert_string_equal(back.address, settings.address);
	assert_string_equal(back.readers, settings.readers);
	assert_string_equal(back.fifo, settings.fifo);
	assert_int_equal(back.uid, settings.uid);
	assert_int_equal(back.deadline_ms, 7);
	assert_true(back.after_rotation && back.rotate_calls);
	assert_int_equal(back.rotate_bytes, settings.rotate_bytes);
	assert_int_equal(back.rotate_seconds, 9);
	assert_true(back.closed);
}

static void what_makes_no_sense_is_on_and_closed(void **state)
{
	static const char *const wrong[][2] = {{SHARE_RULE, "ajar"}, {SHARE_UID, "nobody"}, {SHARE_DEADLINE, "60001"},
		{SHARE_ROTATE_BYTES, "64k"}, {SHARE_ROTATE_BYTES, "1099511627777"}, {SHARE_ROTATE_SECONDS, "604801"},
		{SHARE_MODE, "dead"}, {SHARE_ROTATE_WHEN, "ever"}, {SHARE_DEADLINE, "-1"}, {SHARE_UID, "4294967296"}};
	struct share_settings settings;
	char longest[200];
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		clean(state);
		setenv(SHARE_ADDRESS, "/run/overt/share", 1);
		setenv(wrong[i][0], wrong[i][1], 1);
		assert_false(share_settings_read(&settings));
		assert_true(settings.on);
		assert_true(settings.closed);
	}
	clean(state);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	setenv(SHARE_ADDRESS, longest, 1);
	assert_false(share_settings_read(&settings));
	assert_true(settings.on && settings.closed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_an_address_nothing_is_shared, clean),
		cmocka_unit_test_setup(what_is_not_set_has_its_default, clean),
		cmocka_unit_test_setup(what_is_exported_is_read_again_and_outlives_the_environment, clean),
		cmocka_unit_test_setup(what_makes_no_sense_is_on_and_closed, clean),
	};
	return cmocka_run_group_tests_name("agent/share_settings", tests, NULL, NULL);
}
