/* The two questions about trust, and who may be named. */
#include "pact/pact.h"

#include "../pki/forge.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct forged web, anchor, server, proxy;
static char web_path[512], anchor_path[512], both_path[512];

static struct forged make_proxy(const char *name)
{
	char san[128];
	snprintf(san, sizeof(san), "DNS:%s", name);
	struct forge_spec spec = forge_leaf_spec(name, san, &anchor);
	spec.from_s = FORGE_NOW - FORGE_DAY;
	spec.until_s = FORGE_NOW + 5 * FORGE_DAY;
	forge_extension(&spec, "extendedKeyUsage", ACCORD_KEY_PURPOSE_OID);
	return forge(&spec);
}

static int set_up(void **state)
{
	(void)state;
	uint8_t pem[8192];
	web = forge_root("Web Root");
	anchor = forge_root("Accord Anchor");
	server = forge_leaf("www.example.com", &web);
	proxy = make_proxy("proxy.example.com");
	struct bytes one = forge_pem(web.cert, pem, sizeof(pem));
	snprintf(web_path, sizeof(web_path), "%s", forge_file("web.pem", one, 0644));
	struct bytes two = forge_pem(anchor.cert, pem + one.len, sizeof(pem) - one.len);
	snprintf(anchor_path, sizeof(anchor_path), "%s", forge_file("anchor.pem", two, 0644));
	snprintf(both_path, sizeof(both_path), "%s", forge_file("both.pem", bytes_of(pem, one.len + two.len), 0644));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	forged_free(&web);
	forged_free(&anchor);
	forged_free(&server);
	forged_free(&proxy);
	forge_cleanup();
	return 0;
}

static struct pact *make(const char *const *named, size_t count)
{
	struct error err;
	struct pact *pact;
	const struct pact_terms terms = {.anchors = anchor_path, .trust = web_path, .proxy = named, .proxies = count};
	if (!pact_make(&pact, &terms, &err))
		fail_msg("%s", err.text);
	pact_set_time(pact, FORGE_NOW);
	return pact;
}

static bool proxy_ok(struct pact *pact, struct accord_identity *who)
{
	uint8_t der[4096];
	struct error err;
	const struct accord_chain chain = {.cert = {forge_der(proxy.cert, der, sizeof(der))}, .count = 1};
	return pact_verify_proxy(pact, &chain, who, &err);
}

static bool server_ok(struct pact *pact, const struct forged *leaf, const char *host, struct bytes address)
{
	uint8_t der[4096];
	struct error err;
	const struct accord_chain chain = {.cert = {forge_der(leaf->cert, der, sizeof(der))}, .count = 1};
	return pact_verify_server(pact, &chain, bytes_str(host), address, &err);
}

static void a_proxy_counts_by_anchor_name_or_pin(void **state)
{
	(void)state;
	struct accord_identity who;
	struct pact *any = make(NULL, 0);
	assert_true(proxy_ok(any, &who));
	assert_string_equal(who.name, "proxy.example.com");
	pact_free(any);
	char pin[2 * ACCORD_PIN + 1];
	text_hex(pin, sizeof(pin), bytes_of(who.pin, ACCORD_PIN));
	const struct {
		const char *named;
		bool ok;
	} rows[] = {{"Proxy.Example.com", true}, {pin, true}, {"example.com", false}, {"a.proxy.example.com", false},
		{"0000000000000000000000000000000000000000000000000000000000000000", false}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *named[] = {"other.test", rows[i].named};
		struct pact *pact = make(named, 2);
		assert_int_equal(proxy_ok(pact, &who), rows[i].ok);
		pact_free(pact);
	}
}

static void a_server_counts_by_web_root_and_name(void **state)
{
	(void)state;
	struct pact *pact = make(NULL, 0);
	assert_true(server_ok(pact, &server, "www.example.com", BYTES_NONE));
	assert_true(server_ok(pact, &server, "WWW.example.com", BYTES_NONE));
	assert_false(server_ok(pact, &server, "example.com", BYTES_NONE));
	assert_false(server_ok(pact, &server, "", bytes_of("\x7f\0\0\1", 4)));
	assert_false(server_ok(pact, &server, "", BYTES_NONE));
	assert_false(server_ok(pact, &proxy, "proxy.example.com", BYTES_NONE));
	pact_set_time(pact, FORGE_NOW + 10000 * FORGE_DAY);
	assert_false(server_ok(pact, &server, "www.example.com", BYTES_NONE));
	pact_free(pact);
}

static void without_web_roots_no_server_counts(void **state)
{
	(void)state;
	struct error err;
	struct pact *pact;
	const struct pact_terms terms = {.anchors = anchor_path, .proxies_only = true};
	if (!pact_make(&pact, &terms, &err))
		fail_msg("%s", err.text);
	pact_set_time(pact, FORGE_NOW);
	assert_false(server_ok(pact, &server, "www.example.com", BYTES_NONE));
	pact_free(pact);
}

static void an_anchor_that_is_a_web_root_too_is_refused(void **state)
{
	(void)state;
	struct error err = {""};
	struct pact *pact = NULL;
	const struct pact_terms terms = {.anchors = anchor_path, .trust = both_path};
	assert_false(pact_make(&pact, &terms, &err));
	assert_non_null(strstr(err.text, "check 1"));
	assert_non_null(strstr(err.text, "Accord Anchor"));
}

static void who_cannot_be_named_is_told(void **state)
{
	(void)state;
	struct error err = {""};
	static const char *const bad[] = {"", "127.0.0.1", "::1", "a b", "-a.test", "a..b"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(pact_proxy_valid(bad[i], &err));
		assert_string_not_equal(err.text, "");
	}
	assert_true(pact_proxy_valid("proxy", &err));
}

static void the_last_reference_frees(void **state)
{
	(void)state;
	struct accord_identity who;
	struct pact *pact = make(NULL, 0);
	pact_keep(pact);
	pact_free(pact);
	assert_true(proxy_ok(pact, &who));
	pact_free(pact);
	pact_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_proxy_counts_by_anchor_name_or_pin),
		cmocka_unit_test(a_server_counts_by_web_root_and_name),
		cmocka_unit_test(without_web_roots_no_server_counts),
		cmocka_unit_test(an_anchor_that_is_a_web_root_too_is_refused),
		cmocka_unit_test(who_cannot_be_named_is_told),
		cmocka_unit_test(the_last_reference_frees),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
