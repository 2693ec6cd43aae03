#include "forge.h"
#include "pki/summary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void a_summary_says_whose_until_when_and_for_what(void **state)
{
	(void)state;
	struct forged root = forge_root("Root");
	struct forge_spec spec = forge_leaf_spec(
		"example.com", "DNS:example.com,IP:192.0.2.1,email:a@example.com,DNS:b.example.com", &root);
	spec.until_s = FORGE_NOW;
	struct forged leaf = forge(&spec);
	struct cert_summary summary;
	cert_summary_of(leaf.cert, &summary);
	assert_string_equal(summary.subject, "CN=example.com");
	assert_string_equal(summary.issuer, "CN=Root");
	assert_int_equal(summary.name_count, 3);
	assert_int_equal(summary.name_total, 4);
	assert_string_equal(summary.names[1], "192.0.2.1");
	assert_string_equal(summary.names[2], "b.example.com");
	assert_int_equal(strlen(summary.sha256), 64);
	assert_string_equal(summary.key, "EC prime256v1");
	assert_string_equal(summary.signature, "ecdsa-with-SHA256");
	char line[300];
	size_t len = cert_summary_line(&summary, line, sizeof(line));
	assert_int_equal(len, strlen(line));
	assert_string_equal(line, "CN=example.com, issued by CN=Root, until 2027-01-15");
	forged_free(&leaf);
	forged_free(&root);
}

static void nothing_in_a_certificate_can_move_a_terminals_cursor(void **state)
{
	(void)state;
	struct forge_spec spec = forge_leaf_spec("a\x1b[2Jb\nc\xe2\x80\xae", "DNS:a\x1b]0;x\x07", NULL);
	struct forged leaf = forge(&spec);
	struct cert_summary summary;
	cert_summary_of(leaf.cert, &summary);
	const char *texts[] = {summary.subject, summary.issuer, summary.common_name, summary.names[0]};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		for (const char *c = texts[i]; *c; c++)
			assert_true(*c >= 0x20 && *c < 0x7f);
		assert_non_null(strchr(texts[i], 'a'));
	}
	forged_free(&leaf);
}

static void an_issuer_address_is_taken_only_when_clean_and_http(void **state)
{
	(void)state;
	static const struct {
		const char *access, *url;
	} cases[] = {
		{"caIssuers;URI:http://ca.example.com/a.cer", "http://ca.example.com/a.cer"},
		{"OCSP;URI:http://ocsp.example.com/,caIssuers;URI:http://b/", "http://b/"},
		{"caIssuers;URI:ldap://ca.example.com/a.cer", NULL},
		{"caIssuers;URI:http://a/\x01", NULL},
		{"OCSP;URI:http://ocsp.example.com/", NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct forge_spec spec = forge_leaf_spec("a", "DNS:a.example", NULL);
		forge_extension(&spec, "authorityInfoAccess", cases[i].access);
		struct forged leaf = forge(&spec);
		char url[128];
		assert_int_equal(cert_issuer_url(leaf.cert, url, sizeof(url)), cases[i].url != NULL);
		if (cases[i].url)
			assert_string_equal(url, cases[i].url);
		forged_free(&leaf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_summary_says_whose_until_when_and_for_what),
		cmocka_unit_test(nothing_in_a_certificate_can_move_a_terminals_cursor),
		cmocka_unit_test(an_issuer_address_is_taken_only_when_clean_and_http),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
