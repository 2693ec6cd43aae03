#include "policy/files.h"
#include "policy/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* Two lists, and what was asked for. */
struct shelf {
	char asked[8][64];
	size_t count, released;
};

static bool shelf_load(void *ctx, const char *path, struct bytes *out, struct error *err)
{
	struct shelf *shelf = ctx;
	if (shelf->count < 8)
		snprintf(shelf->asked[shelf->count++], sizeof(shelf->asked[0]), "%s", path);
	if (strstr(path, "good.txt"))
		*out = bytes_str("listed.test\n*.below.test\n");
	else if (strstr(path, "bad.txt"))
		*out = bytes_str("listed.test\nnot a name\n");
	else
		return error_set(err, "%s: No such file or directory", path);
	return true;
}

static void shelf_release(void *ctx, struct bytes text)
{
	(void)text;
	((struct shelf *)ctx)->released++;
}

static struct policy *parse_with(const char *text, const char *name, struct shelf *shelf, struct error *err)
{
	struct policy_source source = {.load = shelf_load, .release = shelf_release, .ctx = shelf};
	return policy_parse(bytes_str(text), name, &source, err);
}

static void good(const char *text)
{
	struct error err;
	struct shelf shelf = {0};
	struct policy *policy = parse_with(text, "rules.yaml", &shelf, &err);
	if (!policy)
		fail_msg("%s", err.text);
	policy_drop(policy);
	assert_int_equal(shelf.released, shelf.count);
}

static void bad(const char *text, const char *message)
{
	struct error err = {{0}};
	struct shelf shelf = {0};
	struct policy *policy = parse_with(text, "rules.yaml", &shelf, &err);
	assert_null(policy);
	if (strncmp(err.text, message, strlen(message)) != 0)
		fail_msg("expected \"%s...\", got \"%s\"", message, err.text);
}

#define RULE(match, rest) "rules:\n  - match: {" match "}\n    " rest "\n"

static void every_condition_and_option_is_taken(void **state)
{
	(void)state;
	good("");
	good("# only a comment\n");
	good("default: block\nsensitive: false\n");
	good("rules:\n");
	good("rules: []\n");
	good("rules:\n"
	     "  - name: everything\n"
	     "    match:\n"
	     "      client: [10.0.0.0/8, 2001:db8::/32, loopback]\n"
	     "      server: private\n"
	     "      port: [443, 8000-8999]\n"
	     "      protocol: [tls, http, plain]\n"
	     "      name: [example.com, \"*.example.org\", .example.net]\n"
	     "      list: good.txt\n"
	     "      alpn: [h2, http/1.1]\n"
	     "      ja4: [t13d1516h2_8daaf6152771_e5627efa2ab1, t12*]\n"
	     "      refused: 2\n"
	     "      verification: [expired, wrong-name]\n"
	     "      issuer: [\"R11\", \"Let's Encrypt\"]\n"
	     "      client-certificate: requested\n"
	     "    action: inspect\n"
	     "    until: 1MiB\n"
	     "    allow: [tls12-rsa, dhe-custom, no-ems, loopback, link-local, metadata]\n"
	     "    require: [staple, crl, status]\n"
	     "    invalid: mirror\n"
	     "    client-cert: {cert: c.pem, key: k.pem}\n"
	     "    mask: false\n"
	     "    aia: true\n"
	     "    refused: bypass\n"
	     "    accord: require\n"
	     "    introduce: sealed\n"
	     "    unverified: true\n");
	good("allow: [loopback]\nuntil: 64KiB\ninvalid: refuse\nmask: true\naia: false\nrefused: bypass\nrequire: "
	     "status\naccord: prefer\nintroduce: open\n");
	good(RULE("verification: fault", "action: block"));
	good(RULE("verification: ok", "action: inspect"));
}

static void faults_are_named_with_line_and_column(void **state)
{
	(void)state;
	bad("defualt: block\n", "rules.yaml:1:1: unknown key \"defualt\" in the rules; did you mean \"default\"?");
	bad("default: blok\n", "rules.yaml:1:10: unknown value \"blok\"; did you mean \"block\"?");
	bad("default: xyz\n", "rules.yaml:1:10: unknown value \"xyz\"; known: inspect, bypass, block");
	bad("sensitive: 'false'\n", "rules.yaml:1:12: sensitive: true or false");
	bad("- a\n", "rules.yaml:1:1: the rules must be a mapping");
	bad("rules: {a: b}\n", "rules.yaml:1:8: \"rules\" must be a list");
	bad("rules: [a]\n", "rules.yaml:1:9: a rule must be a mapping");
	bad("rules: [\n", "rules.yaml:2:1: ");
	bad("default: block\ndefault: bypass\n", "rules.yaml:2:1: \"default\" stands here a second time");
	bad(RULE("prot: 1", "action: block"), "rules.yaml:2:13: unknown key \"prot\" in match; did you mean \"port\"?");
	bad(RULE("port: 1", "acton: block"),
		"rules.yaml:3:5: unknown key \"acton\" in a rule; did you mean \"action\"?");
	bad(RULE("port: 1", "action:"), "rules.yaml:3:12: unknown value \"\"");
	bad(RULE("port: 1", "until: 1MiB"), "rules.yaml:2:5: this rule has no \"action\"");
	bad(RULE("", "action: block"), "rules.yaml:2:5: this rule has no condition");
	bad("rules: [{action: block}]\n", "rules.yaml:1:9: this rule has no condition");
	bad(RULE("port: 0", "action: block"), "rules.yaml:2:19: \"0\" is no port");
	bad(RULE("port: 9-8", "action: block"), "rules.yaml:2:19: \"9-8\" is no port");
	bad(RULE("port: 65536", "action: block"), "rules.yaml:2:19: ");
	bad(RULE("port: [80, []]", "action: block"), "rules.yaml:2:24: a plain value is expected here");
	bad(RULE("port: []", "action: block"), "rules.yaml:2:19: \"port\" must be one value or a list");
	bad(RULE("port: ", "action: block"), "rules.yaml:2:");
	bad(RULE("client: 10.1.2.3/8", "action: block"), "rules.yaml:2:21: \"10.1.2.3/8\" has bits set beyond");
	bad(RULE("server: example.com", "action: block"), "rules.yaml:2:21: \"example.com\" is no IP address");
	bad(RULE("name: a..b", "action: block"), "rules.yaml:2:19: \"a..b\" has an empty label");
	bad(RULE("name: [a.test, \"b#c\"]", "action: block"), "rules.yaml:2:28: \"b#c\" is no DNS name");
	bad(RULE("name: 192.0.2.1", "action: block"), "rules.yaml:2:19: \"192.0.2.1\" is an IP address: match it with");
	bad(RULE("verification: expird", "action: block"),
		"rules.yaml:2:27: unknown value \"expird\"; did you mean \"expired\"?");
	bad(RULE("ja4: T13", "action: block"), "rules.yaml:2:18: \"T13\" is no JA4");
	bad(RULE("ja4: t13", "action: block"), "rules.yaml:2:18: \"t13\" is no JA4");
	bad(RULE("refused: 0", "action: block"), "rules.yaml:2:22: refused: how often");
	bad(RULE("client-certificate: maybe", "action: block"), "rules.yaml:2:33: unknown value \"maybe\"");
	bad(RULE("protocol: quic", "action: block"), "rules.yaml:2:23: unknown value \"quic\"");
	bad(RULE("port: 1", "action: inspect\n    until: soon"), "rules.yaml:4:12: until: a size");
	bad(RULE("port: 1", "action: inspect\n    mask: maybe"), "rules.yaml:4:11: mask: true or false");
	bad(RULE("port: 1", "action: inspect\n    client-cert: {cert: a}"),
		"rules.yaml:4:18: client-cert: {cert: FILE");
	bad(RULE("port: 1", "action: inspect\n    allow: [rsa]"), "rules.yaml:4:13: unknown value \"rsa\"");
}

static void options_that_mean_nothing_or_too_much_are_refused(void **state)
{
	(void)state;
	bad(RULE("port: 1", "action: block\n    until: 1k"), "rules.yaml:4:5: \"until\" has a meaning only with");
	bad(RULE("port: 1", "action: bypass\n    invalid: mirror"),
		"rules.yaml:4:5: \"invalid\" has a meaning only with");
	bad(RULE("port: 1", "action: bypass\n    accord: off"), "rules.yaml:4:5: \"accord\" has a meaning only with");
	bad(RULE("port: 1", "action: block\n    introduce: open"),
		"rules.yaml:4:5: \"introduce\" has a meaning only with");
	bad(RULE("port: 1", "action: inspect\n    accord: yes"), "rules.yaml:4:13: ");
	bad(RULE("port: 1", "action: bypass\n    accord-purpose: malware"),
		"rules.yaml:4:5: \"accord-purpose\" has a meaning only with");
	bad(RULE("port: 1", "action: inspect\n    accord-purpose: fun"), "rules.yaml:4:21: unknown purpose \"fun\"");
	bad(RULE("port: 1", "action: inspect\n    unverified: true"),
		"rules.yaml:4:5: \"unverified\" has a meaning only");
	bad(RULE("port: 1", "action: block\n    aia: true"),
		"rules.yaml:4:5: \"aia\" has no meaning with action: block");
	/* Weak key exchange only for hosts that a rule names. */
	bad(RULE("port: 1", "action: inspect\n    allow: tls12-rsa"),
		"rules.yaml:4:5: weak key exchange is allowed for named");
	bad("allow: [no-ems]\n", "rules.yaml:1:1: weak key exchange is allowed by a rule that names the host");
	bad("unverified: true\n", "rules.yaml:1:1: \"unverified\" belongs into a rule");
	bad("client-cert: {cert: a, key: b}\n", "rules.yaml:1:1: \"client-cert\" belongs into a rule");
}

static void the_first_fault_is_told_and_the_others_counted(void **state)
{
	(void)state;
	bad("defualt: block\nsensitive: 3\nrules:\n  - match: {port: x}\n    action: block\n",
		"rules.yaml:1:1: unknown key \"defualt\" in the rules; did you mean \"default\"? (and 2 more)");
}

static void lists_are_asked_for_beside_the_rules_and_given_back(void **state)
{
	(void)state;
	struct shelf shelf = {0};
	struct error err;
	struct policy *policy = parse_with("rules:\n"
					   "  - match: {list: [good.txt, /etc/good.txt]}\n"
					   "    action: block\n"
					   "  - match: {list: good.txt, port: 443}\n"
					   "    action: bypass\n",
		"conf/rules.yaml", &shelf, &err);
	assert_non_null(policy);
	/* The second mention shares the first one's names. */
	assert_int_equal(shelf.count, 2);
	assert_string_equal(shelf.asked[0], "conf/good.txt");
	assert_string_equal(shelf.asked[1], "/etc/good.txt");
	assert_int_equal(policy_name_count(policy), 4);
	policy_keep(policy);
	policy_drop(policy);
	assert_int_equal(shelf.released, 0);
	policy_drop(policy);
	assert_int_equal(shelf.released, 2);

	bad(RULE("list: none.txt", "action: block"), "rules.yaml:2:19: list none.txt: No such file");
	bad(RULE("list: bad.txt", "action: block"), "rules.yaml:2:19: list bad.txt:2: \"not a name\" is no DNS name");
	assert_null(policy_parse(bytes_str(RULE("list: good.txt", "action: block")), "r", NULL, &err));
	assert_string_equal(err.text, "r:2:19: \"good.txt\": lists in files cannot be used here");
}

static void rules_carry_labels_for_the_log(void **state)
{
	(void)state;
	struct error err;
	struct policy *policy = policy_parse(bytes_str("rules:\n"
						       "  - name: banking\n"
						       "    match: {name: .bank.test}\n"
						       "    action: bypass\n"
						       "  - match: {port: 25}\n"
						       "    action: block\n"),
		"/etc/overt/rules.yaml", NULL, &err);
	assert_non_null(policy);
	assert_int_equal(policy_rule_count(policy), 2);
	assert_string_equal(policy_rule_label(policy, 0), "rules.yaml:2 banking");
	assert_string_equal(policy_rule_label(policy, 1), "rules.yaml:5");
	assert_string_equal(policy_rule_label(policy, POLICY_RULE_SENSITIVE), "sensitive list");
	assert_string_equal(policy_rule_label(policy, POLICY_RULE_DEFAULT), "default");
	assert_string_equal(policy_rule_label(policy, 2), "none");
	assert_int_equal(policy_rule_action(policy, 0), POLICY_BYPASS);
	assert_string_equal(policy_action_name(policy_rule_action(policy, 1)), "block");
	policy_drop(policy);
}

static void client_certificates_are_listed_with_resolved_paths(void **state)
{
	(void)state;
	struct error err;
	struct policy *policy = policy_parse(
		bytes_str(RULE("name: a.test", "action: inspect\n    client-cert: {cert: c.pem, key: /k.pem}")),
		"dir/rules.yaml", NULL, &err);
	assert_non_null(policy);
	const struct policy_client_cert *cert = policy_client_cert_at(policy, 0);
	assert_string_equal(cert->cert, "dir/c.pem");
	assert_string_equal(cert->key, "/k.pem");
	assert_null(policy_client_cert_at(policy, 1));
	policy_drop(policy);
}

static void equal_snapshots_have_equal_digests(void **state)
{
	(void)state;
	struct error err;
	struct shelf shelf = {0};
	struct policy *a = parse_with(RULE("list: good.txt", "action: block"), "a/rules.yaml", &shelf, &err);
	struct policy *b = parse_with(RULE("list: good.txt", "action: block"), "b/rules.yaml", &shelf, &err);
	struct policy *c = parse_with(RULE("list: good.txt", "action: bypass"), "a/rules.yaml", &shelf, &err);
	assert_memory_equal(policy_digest(a), policy_digest(b), POLICY_DIGEST);
	assert_memory_not_equal(policy_digest(a), policy_digest(c), POLICY_DIGEST);
	policy_drop(a);
	policy_drop(b);
	policy_drop(c);
}

static void files_are_read_whole_or_refused(void **state)
{
	(void)state;
	char path[] = "/tmp/overt-rules-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	size_t n = 200000;
	char *text = malloc(n);
	assert_non_null(text);
	memset(text, '#', n);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
	struct bytes in;
	struct error err;
	assert_true(policy_file_read(path, &in, &err));
	assert_true(bytes_equal(in, bytes_of(text, n)));
	policy_file_free(in);
	free(text);
	unlink(path);
	assert_false(policy_file_read(path, &in, &err));
	assert_non_null(strstr(err.text, "No such file"));
	assert_false(policy_file_read("/", &in, &err));
	assert_string_equal(err.text, "/: is a directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_condition_and_option_is_taken),
		cmocka_unit_test(faults_are_named_with_line_and_column),
		cmocka_unit_test(options_that_mean_nothing_or_too_much_are_refused),
		cmocka_unit_test(the_first_fault_is_told_and_the_others_counted),
		cmocka_unit_test(lists_are_asked_for_beside_the_rules_and_given_back),
		cmocka_unit_test(rules_carry_labels_for_the_log),
		cmocka_unit_test(client_certificates_are_listed_with_resolved_paths),
		cmocka_unit_test(equal_snapshots_have_equal_digests),
		cmocka_unit_test(files_are_read_whole_or_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
