/* docs/configuration.md says what the program does. */
#include "policy/config.h"
#include "policy/files.h"
#include "policy/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static char *docs; /* the whole file, NUL-terminated */

static int read_docs(void **state)
{
	(void)state;
	struct bytes text;
	struct error err;
	if (!policy_file_read(DOCS "/configuration.md", &text, &err)) {
		print_error("%s\n", err.text);
		return -1;
	}
	docs = strndup((const char *)text.data, text.len);
	policy_file_free(text);
	return docs ? 0 : -1;
}

static int free_docs(void **state)
{
	(void)state;
	free(docs);
	return 0;
}

static void every_option_stands_there_with_its_default(void **state)
{
	(void)state;
	char *table;
	size_t len;
	FILE *out = open_memstream(&table, &len);
	assert_non_null(out);
	config_table(out);
	fclose(out);
	char *save = NULL;
	for (char *line = strtok_r(table, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!strstr(docs, line))
			fail_msg("docs/configuration.md lacks the line: %s", line);
	}
	free(table);
}

static void every_condition_and_option_of_rules_stands_there(void **state)
{
	(void)state;
	char row[64];
	for (size_t i = 0; i < PARSE_CONDITIONS; i++) {
		snprintf(row, sizeof(row), "\n| `%s` | ", parse_conditions[i].key);
		if (!strstr(docs, row))
			fail_msg("docs/configuration.md does not describe the condition %s", parse_conditions[i].key);
	}
	for (size_t i = 0; i < PARSE_OPTIONS; i++) {
		snprintf(row, sizeof(row), "\n| `%s` | ", parse_options[i].key);
		if (!strstr(docs, row))
			fail_msg("docs/configuration.md does not describe the option %s", parse_options[i].key);
	}
}

static bool empty_list(void *ctx, const char *path, struct bytes *out, struct error *err)
{
	(void)ctx, (void)path, (void)err;
	*out = BYTES_NONE;
	return true;
}

static void try_example(struct bytes text)
{
	struct error err;
	if (bytes_starts(text, bytes_str("# rules\n"))) {
		struct policy_source source = {.load = empty_list};
		struct policy *policy = policy_parse(text, "example", &source, &err);
		if (!policy)
			fail_msg("%s", err.text);
		policy_drop(policy);
		return;
	}
	assert_true(bytes_starts(text, bytes_str("# configuration\n")));
	struct config *config = config_new(&err);
	assert_non_null(config);
	if (!config_read_file(config, text, "example", &err) || !config_check(config, CONFIG_PROXY, &err))
		fail_msg("%s", err.text);
	config_free(config);
}

static void every_example_is_taken(void **state)
{
	(void)state;
	static const char open[] = "```yaml\n", shut[] = "```\n";
	unsigned examples = 0;
	for (char *at = docs, *end; (at = strstr(at, open)); at = end, examples++) {
		at += strlen(open);
		end = strstr(at, shut);
		assert_non_null(end);
		try_example(bytes_of(at, (size_t)(end - at)));
	}
	assert_int_equal(examples, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_option_stands_there_with_its_default),
		cmocka_unit_test(every_condition_and_option_of_rules_stands_there),
		cmocka_unit_test(every_example_is_taken),
	};
	return cmocka_run_group_tests(tests, read_docs, free_docs);
}
