#include "proxy/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct error err;

/* With a configuration file that says all there is to say. */
static struct config *full_config(void)
{
	static const char text[] = "operator: Example Ltd\ncontact: it@example.org\npurpose: malware\nretention: 7d\n"
				   "keylog: keys.log\njsonl: flows.jsonl\n";
	struct config *config = config_new(&err);
	assert_non_null(config);
	if (!config_read_file(config, bytes_str(text), "/etc/overt/overt.yaml", &err))
		fail_msg("%s", err.text);
	free(config->file);
	config->file = strdup("/etc/overt/overt.yaml");
	return config;
}

static const char *field(const struct record *record, const char *key)
{
	static char value[2048];
	for (size_t i = 0; i < record->entry.count; i++) {
		const struct audit_field *at = &record->entry.fields[i];
		if (strcmp(at->key, key) != 0)
			continue;
		snprintf(value, sizeof(value), "%.*s", (int)at->text.len, (const char *)at->text.data);
		return value;
	}
	return NULL;
}

static void is_taken_by_the_log(const struct record *record)
{
	if (!audit_entry_check(&record->entry, &err))
		fail_msg("%s", err.text);
}

static struct policy *some_policy(void)
{
	static const struct policy_source none;
	struct policy *policy = policy_parse(bytes_str("default: inspect\n"), "rules.yaml", &none, &err);
	if (!policy)
		fail_msg("%s", err.text);
	return policy;
}

static void every_entry_is_one_that_the_log_takes(void **state)
{
	(void)state;
	struct record record;
	struct config *bare = config_new(&err);
	struct config *full = full_config();
	struct policy *policy = some_policy();
	const struct config *const both[] = {bare, full};
	for (int i = 0; i < 2; i++) {
		record_start(&record, both[i]);
		is_taken_by_the_log(&record);
		record_snapshot(&record, both[i], policy, 1);
		is_taken_by_the_log(&record);
		assert_int_equal(record_keylog(&record, both[i]), both[i] == full);
		is_taken_by_the_log(&record);
	}
	policy_drop(policy);
	config_free(bare);
	config_free(full);
}

static void a_snapshot_says_who_reads_why_and_by_which_files(void **state)
{
	(void)state;
	struct record record;
	struct config *config = full_config();
	struct policy *policy = some_policy();
	record_snapshot(&record, config, policy, 3);
	assert_string_equal(field(&record, "operator"), "Example Ltd");
	assert_string_equal(field(&record, "contact"), "it@example.org");
	assert_string_equal(field(&record, "purpose"), "malware");
	assert_string_equal(field(&record, "retention"), "604800s");
	assert_non_null(strstr(field(&record, "sinks"), "jsonl:"));
	assert_int_equal(strlen(field(&record, "rules_sha256")), 64);
	assert_int_equal(strlen(field(&record, "config_sha256")), 64);
	assert_string_equal(field(&record, "config_sha256"), config->file_sha256);
	policy_drop(policy);
	config_free(config);
}

static void another_text_has_another_digest(void **state)
{
	(void)state;
	struct config *config = config_new(&err);
	assert_string_equal(config->file_sha256, "");
	assert_true(config_read_file(config, bytes_str("abc: 1"), "x", &err) == false);
	assert_true(config_read_file(config, bytes_str("quiet: true\n"), "x", &err));
	/* printf 'quiet: true\n' | sha256sum */
	assert_string_equal(config->file_sha256, "3f904208de6a0fff798064474a0f241bad6a773412b3d7b494c8134735a17573");
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_entry_is_one_that_the_log_takes),
		cmocka_unit_test(a_snapshot_says_who_reads_why_and_by_which_files),
		cmocka_unit_test(another_text_has_another_digest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
