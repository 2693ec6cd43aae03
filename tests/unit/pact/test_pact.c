/* The two questions about trust, and who may be named. */
#include "pact/pact.h"

#include "../pki/forge.h"
#include "base/text.h"

#include <openssl/pem.h>
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

static void a_good_chain_is_judged_once_for_each_name(void **state)
{
	(void)state;
	struct accord_identity who;
	struct accord_identity again;
	struct pact *pact = make(NULL, 0);
	assert_true(proxy_ok(pact, &who));
	assert_true(server_ok(pact, &server, "www.example.com", BYTES_NONE));
	assert_int_equal(pact_count(pact).found, 0);
	assert_true(proxy_ok(pact, &again));
	assert_memory_equal(&who, &again, sizeof(who));
	assert_true(server_ok(pact, &server, "WWW.example.com", BYTES_NONE));
	assert_int_equal(pact_count(pact).found, 2);
	assert_false(server_ok(pact, &server, "example.com", BYTES_NONE));
	assert_false(server_ok(pact, &server, "", bytes_of("\x7f\0\0\1", 4)));
	assert_int_equal(pact_count(pact).found, 2);
	pact_forget(pact);
	assert_true(proxy_ok(pact, &again));
	assert_int_equal(pact_count(pact).found, 2);
	pact_free(pact);
}

static void a_proxy_that_is_not_named_is_refused_although_its_chain_is_known(void **state)
{
	(void)state;
	struct accord_identity who;
	const char *named[] = {"other.test"};
	struct pact *pact = make(named, 1);
	assert_false(proxy_ok(pact, &who));
	assert_false(proxy_ok(pact, &who));
	assert_int_equal(pact_count(pact).found, 1);
	pact_free(pact);
}

static void a_refusal_is_never_remembered(void **state)
{
	(void)state;
	struct accord_identity who;
	struct pact *pact = make(NULL, 0);
	const int64_t wrong[] = {FORGE_NOW - 9000 * FORGE_DAY, FORGE_NOW + 9000 * FORGE_DAY};
	for (size_t i = 0; i < 2; i++) {
		pact_set_time(pact, wrong[i]);
		assert_false(proxy_ok(pact, &who));
		assert_false(server_ok(pact, &server, "www.example.com", BYTES_NONE));
	}
	pact_set_time(pact, FORGE_NOW);
	assert_false(server_ok(pact, &proxy, "proxy.example.com", BYTES_NONE));
	assert_int_equal(pact_count(pact).held, 0);
	assert_true(proxy_ok(pact, &who));
	assert_true(server_ok(pact, &server, "www.example.com", BYTES_NONE));
	pact_set_time(pact, wrong[1]);
	assert_false(proxy_ok(pact, &who));
	assert_false(server_ok(pact, &server, "www.example.com", BYTES_NONE));
	pact_free(pact);
}

/* A question about one proxy or server. */
static bool leaf_ok(struct pact *pact, const struct forged *leaf, bool is_proxy)
{
	uint8_t der[4096];
	struct error err;
	struct accord_identity who;
	const struct accord_chain chain = {.cert = {forge_der(leaf->cert, der, sizeof(der))}, .count = 1};
	return is_proxy ? pact_verify_proxy(pact, &chain, &who, &err)
	                : pact_verify_server(pact, &chain, bytes_str("www.example.com"), BYTES_NONE, &err);
}

/* At every second around the beginning and end of a certificate, one that knows the chain and one that does not agree. */
static void what_is_remembered_is_what_a_full_check_says(void **state)
{
	(void)state;
	for (int is_proxy = 0; is_proxy < 2; is_proxy++) {
		struct forge_spec spec =
			forge_leaf_spec("www.example.com", "DNS:www.example.com", is_proxy ? &anchor : &web);
		spec.from_s = FORGE_NOW - 10;
		spec.until_s = FORGE_NOW + 20;
		if (is_proxy)
			forge_extension(&spec, "extendedKeyUsage", ACCORD_KEY_PURPOSE_OID);
		struct forged brief = forge(&spec);
		struct pact *knows = make(NULL, 0);
		struct pact *fresh = make(NULL, 0);
		assert_true(leaf_ok(knows, &brief, is_proxy));
		unsigned good = 0;
		for (int64_t at_s = FORGE_NOW + 25; at_s >= FORGE_NOW - 15; at_s--) {
			pact_set_time(knows, at_s);
			pact_set_time(fresh, at_s);
			pact_forget(fresh);
			bool ok = leaf_ok(fresh, &brief, is_proxy);
			assert_int_equal(leaf_ok(knows, &brief, is_proxy), ok);
			good += ok;
		}
		assert_int_equal(good, 30);
		assert_true(pact_count(knows).found > 0);
		assert_int_equal(pact_count(fresh).found, 0);
		pact_free(knows);
		pact_free(fresh);
		forged_free(&brief);
	}
}

/* A file of web roots with these certificates and a CRL. */
static struct pact *make_with(const struct forged *root, X509_CRL *crl)
{
	struct error err;
	struct pact *pact;
	char *text;
	char path[512];
	BIO *bio = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_X509(bio, root->cert), 1);
	assert_true(!crl || PEM_write_bio_X509_CRL(bio, crl) == 1);
	long len = BIO_get_mem_data(bio, &text);
	snprintf(path, sizeof(path), "%s", forge_file("roots.pem", bytes_of(text, (size_t)len), 0644));
	BIO_free(bio);
	const struct pact_terms terms = {.anchors = anchor_path, .trust = path};
	if (!pact_make(&pact, &terms, &err))
		fail_msg("%s", err.text);
	pact_set_time(pact, FORGE_NOW);
	return pact;
}

static void with_other_roots_nothing_is_known(void **state)
{
	(void)state;
	struct forged stranger = forge_root("Web Root");
	struct pact *knows = make(NULL, 0);
	struct pact *other = make_with(&stranger, NULL);
	assert_true(server_ok(knows, &server, "www.example.com", BYTES_NONE));
	assert_false(server_ok(other, &server, "www.example.com", BYTES_NONE));
	assert_true(server_ok(knows, &server, "www.example.com", BYTES_NONE));
	pact_free(knows);
	pact_free(other);
	forged_free(&stranger);
}

static void where_crls_count_every_chain_is_judged_anew(void **state)
{
	(void)state;
	const int64_t until_s = FORGE_NOW + 60;
	X509_CRL *empty = forge_crl(&web, web.key, NULL, FORGE_NOW - FORGE_DAY, until_s);
	X509_CRL *full = forge_crl(&web, web.key, server.cert, FORGE_NOW - FORGE_DAY, until_s);
	struct pact *good = make_with(&web, empty);
	struct pact *bad = make_with(&web, full);
	assert_true(server_ok(good, &server, "www.example.com", BYTES_NONE));
	assert_true(server_ok(good, &server, "www.example.com", BYTES_NONE));
	assert_int_equal(pact_count(good).found, 0);
	pact_set_time(good, until_s);
	assert_false(server_ok(good, &server, "www.example.com", BYTES_NONE));
	assert_false(server_ok(bad, &server, "www.example.com", BYTES_NONE));
	assert_int_equal(pact_count(bad).held, 0);
	pact_free(good);
	pact_free(bad);
	X509_CRL_free(empty);
	X509_CRL_free(full);
}

/* The leaf of a chain that was good is not decoded again; one that is refused is not kept. */
static void a_leaf_is_decoded_once(void **state)
{
	(void)state;
	uint8_t der[4096];
	struct accord_identity who;
	struct pact *pact = make(NULL, 0);
	struct bytes in = forge_der(proxy.cert, der, sizeof(der));
	X509 *one = pact_decode(pact, in);
	X509 *two = pact_decode(pact, in);
	assert_ptr_not_equal(one, two);
	assert_true(proxy_ok(pact, &who));
	X509 *three = pact_decode(pact, in);
	X509 *four = pact_decode(pact, in);
	assert_ptr_equal(three, four);
	assert_int_equal(X509_cmp(one, three), 0);
	assert_int_equal(pact_count(pact).leaves_found, 2);
	X509_free(one);
	X509_free(two);
	X509_free(three);
	X509_free(four);
	assert_null(pact_decode(pact, BYTES_NONE));
	pact_free(pact);
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
		cmocka_unit_test(a_good_chain_is_judged_once_for_each_name),
		cmocka_unit_test(a_proxy_that_is_not_named_is_refused_although_its_chain_is_known),
		cmocka_unit_test(a_refusal_is_never_remembered),
		cmocka_unit_test(what_is_remembered_is_what_a_full_check_says),
		cmocka_unit_test(with_other_roots_nothing_is_known),
		cmocka_unit_test(where_crls_count_every_chain_is_judged_anew),
		cmocka_unit_test(a_leaf_is_decoded_once),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
