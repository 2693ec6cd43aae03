#include "base/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct yaml_tree *read_ok(const char *text)
{
	struct yaml_tree *tree;
	struct error err;
	enum yaml_result result = yaml_tree_read(&tree, bytes_str(text), "a.yaml", &err);
	if (result != YAML_OK)
		fail_msg("%s", err.text);
	return tree;
}

static void refused(const char *text, enum yaml_result expected, const char *message)
{
	struct yaml_tree *tree;
	struct error err = {0};
	assert_int_equal(yaml_tree_read(&tree, bytes_str(text), "a.yaml", &err), expected);
	assert_null(tree);
	if (strncmp(err.text, message, strlen(message)) != 0)
		fail_msg("expected \"%s...\", got \"%s\"", message, err.text);
}

static void every_key_and_value_keeps_its_place(void **state)
{
	(void)state;
	struct yaml_tree *tree = read_ok("# comment\n"
					 "default: inspect\n"
					 "rules:\n"
					 "  - name: one\n"
					 "    ports: [80, '443']\n");
	const struct yaml_node *value = yaml_get(tree->root, "default");
	assert_true(yaml_is(value, "inspect"));
	assert_int_equal(value->line, 2);
	assert_int_equal(value->column, 10);
	assert_int_equal(value->key->line, 2);
	assert_int_equal(value->key->column, 1);
	const struct yaml_node *rules = yaml_get(tree->root, "rules");
	assert_int_equal(rules->kind, YAML_KIND_SEQUENCE);
	assert_int_equal(rules->count, 1);
	const struct yaml_node *ports = yaml_get(rules->first, "ports");
	assert_int_equal(ports->count, 2);
	assert_int_equal(ports->line, 5);
	assert_true(ports->first->plain);
	assert_false(ports->first->next->plain);
	assert_true(yaml_is(ports->first->next, "443"));
	assert_null(ports->first->next->next);
	assert_null(yaml_get(tree->root, "absent"));
	assert_null(yaml_get(NULL, "absent"));
	yaml_tree_free(tree);
}

static void an_empty_document_has_no_root(void **state)
{
	(void)state;
	static const char *const empty[] = {"", "\n\n", "# nothing\n", "---\n", "\xef\xbb\xbf"};
	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
		struct yaml_tree *tree = read_ok(empty[i]);
		assert_null(tree->root);
		yaml_tree_free(tree);
	}
}

static void a_key_that_stands_twice_names_both_lines(void **state)
{
	(void)state;
	refused("a: 1\nb: 2\nc: 3\nb: 4\n", YAML_DUPLICATE,
		"a.yaml:4:1: \"b\" stands here a second time; the first is in line 2");
	refused("x:\n  y: 1\n  \"y\": 2\n", YAML_DUPLICATE, "a.yaml:3:");
	/* The same key in two mappings is no duplicate. */
	yaml_tree_free(read_ok("- a: 1\n- a: 2\n"));
}

static void what_means_more_than_it_shows_is_refused(void **state)
{
	(void)state;
	refused("a: &x 1\n", YAML_REFUSED, "a.yaml:1:4: anchors (&x)");
	refused("a: &x [1]\n", YAML_REFUSED, "a.yaml:1:4: anchors");
	refused("a: &x {b: 1}\n", YAML_REFUSED, "a.yaml:1:4: anchors");
	refused("a: *x\n", YAML_REFUSED, "a.yaml:1:4: aliases (*x)");
	refused("a: !!str 1\n", YAML_REFUSED, "a.yaml:1:4: tags");
	refused("a: !x {b: 1}\n", YAML_REFUSED, "a.yaml:1:4: tags");
	refused("<<: {a: 1}\n", YAML_REFUSED, "a.yaml:1:1: merge keys");
	refused("? [a]\n: 1\n", YAML_REFUSED, "a.yaml:1:3: a key must be plain text");
	refused("a: 1\n---\nb: 2\n", YAML_REFUSED, "a.yaml:2:1: a second document");
	refused("a: \"b\\0c\"\n", YAML_REFUSED, "a.yaml:1:4: text with a NUL");
}

static void syntax_errors_have_a_place(void **state)
{
	(void)state;
	refused("a: [1, 2\nb: 3\n", YAML_SYNTAX, "a.yaml:2:");
	refused("a: 1\n\tb: 2\n", YAML_SYNTAX, "a.yaml:2:1: ");
	refused("a: 1\nb: \xff\n", YAML_SYNTAX, "a.yaml:2:4: ");
	refused("a: 'never closed\n", YAML_SYNTAX, "a.yaml:");
}

static void depth_and_size_have_caps(void **state)
{
	(void)state;
	char deep[2 * YAML_MAX_DEPTH + 8];
	size_t n = YAML_MAX_DEPTH;
	memset(deep, '[', n);
	memset(deep + n, ']', n);
	deep[2 * n] = '\0';
	yaml_tree_free(read_ok(deep));
	memset(deep, '[', n + 1);
	deep[n + 1] = '\0';
	refused(deep, YAML_TOO_LARGE, "a.yaml:1:33: more than 32 levels deep");

	static const char byte = 'x';
	struct yaml_tree *tree;
	struct error err;
	/* Refused by its length alone, before anything is read. */
	assert_int_equal(yaml_tree_read(&tree, bytes_of(&byte, YAML_MAX_OCTETS + 1UL), "a.yaml", &err), YAML_TOO_LARGE);
	assert_string_equal(err.text, "a.yaml: more than 64 MiB");
}

static void many_values_are_read_whole(void **state)
{
	(void)state;
	size_t count = 50000;
	char *text = malloc(count * 16);
	assert_non_null(text);
	size_t at = 0;
	for (size_t i = 0; i < count; i++)
		at += (size_t)sprintf(text + at, "k%zu: v%zu\n", i, i);
	struct yaml_tree *tree = read_ok(text);
	free(text);
	assert_int_equal(tree->root->count, count);
	assert_true(yaml_is(yaml_get(tree->root, "k49999"), "v49999"));
	yaml_tree_free(tree);
}

static void booleans_stand_without_quotes(void **state)
{
	(void)state;
	struct yaml_tree *tree = read_ok("[true, no, 'true', maybe, off]");
	const struct yaml_node *at = tree->root->first;
	bool v = false;
	assert_true(yaml_bool(at, &v) && v);
	at = at->next;
	assert_true(yaml_bool(at, &v) && !v);
	at = at->next;
	assert_false(yaml_bool(at, &v));
	at = at->next;
	assert_false(yaml_bool(at, &v));
	at = at->next;
	assert_true(yaml_bool(at, &v) && !v);
	assert_false(yaml_bool(NULL, &v));
	yaml_tree_free(tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_and_value_keeps_its_place),
		cmocka_unit_test(an_empty_document_has_no_root),
		cmocka_unit_test(a_key_that_stands_twice_names_both_lines),
		cmocka_unit_test(what_means_more_than_it_shows_is_refused),
		cmocka_unit_test(syntax_errors_have_a_place),
		cmocka_unit_test(depth_and_size_have_caps),
		cmocka_unit_test(many_values_are_read_whole),
		cmocka_unit_test(booleans_stand_without_quotes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
