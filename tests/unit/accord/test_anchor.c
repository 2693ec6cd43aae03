#include "accord/anchor.h"

#include "stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct cast cast;

static int set_up(void **state)
{
	(void)state;
	cast_make(&cast);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	cast_free(&cast);
	forge_cleanup();
	return 0;
}

static enum accord_leaf_result judged(const struct forge_spec *spec)
{
	struct forged leaf = forge(spec);
	struct accord_identity who;
	struct error err = {""};
	enum accord_leaf_result result = accord_leaf_judge(leaf.cert, &who, &err);
	assert_int_equal(result == ACCORD_LEAF_OK, err.text[0] == '\0');
	forged_free(&leaf);
	return result;
}

static void a_leaf_lives_at_most_seven_days(void **state)
{
	(void)state;
	struct forge_spec spec = cast_proxy_spec(&cast, "p.test");
	spec.until_s = spec.from_s + 7 * FORGE_DAY;
	assert_int_equal(judged(&spec), ACCORD_LEAF_OK);
	spec.until_s++;
	assert_int_equal(judged(&spec), ACCORD_LEAF_LIFETIME);
	spec.until_s = spec.from_s - 1;
	assert_int_equal(judged(&spec), ACCORD_LEAF_LIFETIME);
}

static void the_purpose_counts_by_its_oid(void **state)
{
	(void)state;
	struct forge_spec spec = cast_proxy_spec(&cast, "p.test");
	const char *const wrong[] = {"serverAuth", "anyExtendedKeyUsage", "2.25.193640519", "2.25.193640519.2",
		"2.25.193640519.2.1.1", "2.25.193640519.2.2", NULL};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		forge_extension(&spec, "extendedKeyUsage", wrong[i]);
		assert_int_equal(judged(&spec), ACCORD_LEAF_PURPOSE);
	}
	forge_extension(&spec, "extendedKeyUsage", "serverAuth," ACCORD_KEY_PURPOSE_OID);
	assert_int_equal(judged(&spec), ACCORD_LEAF_OK);
}

static void a_ca_or_a_key_that_may_not_sign_is_no_proxy(void **state)
{
	(void)state;
	struct forge_spec spec = cast_proxy_spec(&cast, "p.test");
	forge_extension(&spec, "keyUsage", "critical,keyAgreement");
	assert_int_equal(judged(&spec), ACCORD_LEAF_USAGE);
	forge_extension(&spec, "keyUsage", "critical,digitalSignature,keyCertSign");
	forge_extension(&spec, "basicConstraints", "critical,CA:TRUE");
	assert_int_equal(judged(&spec), ACCORD_LEAF_USAGE);
}

static void a_leaf_says_who_it_is(void **state)
{
	(void)state;
	struct accord_identity who;
	assert_int_equal(accord_leaf_judge(cast.proxy[1].cert, &who, NULL), ACCORD_LEAF_OK);
	assert_string_equal(who.name, "two.proxy.test");
	uint8_t *spki = NULL;
	uint8_t hash[32];
	int len = i2d_PUBKEY(cast.proxy[1].key, &spki);
	EVP_Digest(spki, (size_t)len, hash, NULL, EVP_sha256(), NULL);
	assert_memory_equal(hash, who.pin, 32);
	OPENSSL_free(spki);
	struct forge_spec spec = cast_proxy_spec(&cast, "p.test");
	forge_extension(&spec, "subjectAltName", "IP:192.0.2.1,DNS:UPPER.test,DNS:second.test");
	struct forged leaf = forge(&spec);
	assert_int_equal(accord_leaf_judge(leaf.cert, &who, NULL), ACCORD_LEAF_OK);
	assert_string_equal(who.name, "upper.test");
	forged_free(&leaf);
}

/* Whether a chain of these certificates leads to the Accord anchors at this time. */
static bool leads(const struct forged *leaf, const struct forged *issuer, int64_t now_s)
{
	STACK_OF(X509) *certs = sk_X509_new_null();
	struct accord_chain chain;
	struct accord_identity who;
	struct error err = {""};
	uint8_t *memory;
	sk_X509_push(certs, leaf->cert);
	if (issuer)
		sk_X509_push(certs, issuer->cert);
	assert_true(accord_chain_write(certs, &memory, &chain));
	bool ok = accord_chain_verify(cast.accord, NULL, &chain, now_s, &who, &err);
	assert_int_equal(ok, err.text[0] == '\0');
	free(memory);
	sk_X509_free(certs);
	return ok;
}

static void a_chain_leads_to_an_accord_anchor_or_nowhere(void **state)
{
	(void)state;
	assert_true(leads(&cast.proxy[0], NULL, FORGE_NOW));
	assert_false(leads(&cast.proxy[0], NULL, FORGE_NOW + 6 * FORGE_DAY));
	assert_false(leads(&cast.proxy[0], NULL, FORGE_NOW - 2 * FORGE_DAY));
	struct forge_spec spec = cast_proxy_spec(&cast, "p.test");
	spec.issuer = &cast.web_root;
	struct forged stranger = forge(&spec);
	assert_false(leads(&stranger, NULL, FORGE_NOW));
	assert_false(leads(&stranger, &cast.web_root, FORGE_NOW));
	forged_free(&stranger);
}

static void an_issuer_with_purposes_must_have_this_one(void **state)
{
	(void)state;
	const char *const purposes[] = {NULL, "2.25.193640519.2.1", "serverAuth", "anyExtendedKeyUsage"};
	for (size_t i = 0; i < 4; i++) {
		struct forge_spec spec = forge_intermediate_spec("Accord Intermediate", &cast.accord_root);
		forge_extension(&spec, "extendedKeyUsage", purposes[i]);
		struct forged issuer = forge(&spec);
		spec = cast_proxy_spec(&cast, "p.test");
		spec.issuer = &issuer;
		struct forged leaf = forge(&spec);
		assert_int_equal(leads(&leaf, &issuer, FORGE_NOW), i < 2);
		forged_free(&leaf);
		forged_free(&issuer);
	}
}

static void an_anchor_must_be_no_web_root(void **state)
{
	(void)state;
	struct error err;
	assert_true(accord_anchors_disjoint(cast.accord, cast.web, &err));
	/* The same key under another name is the same trust. */
	struct forge_spec spec = forge_root_spec("Another Name");
	spec.own_key = cast.accord_root.key;
	struct forged twin = forge(&spec);
	X509_STORE *web = X509_STORE_new();
	X509_STORE_add_cert(web, cast.web_root.cert);
	X509_STORE_add_cert(web, twin.cert);
	assert_false(accord_anchors_disjoint(cast.accord, web, &err));
	assert_non_null(strstr(err.text, "Accord Anchor"));
	X509_STORE_free(web);
	forged_free(&twin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leaf_lives_at_most_seven_days),
		cmocka_unit_test(the_purpose_counts_by_its_oid),
		cmocka_unit_test(a_ca_or_a_key_that_may_not_sign_is_no_proxy),
		cmocka_unit_test(a_leaf_says_who_it_is),
		cmocka_unit_test(a_chain_leads_to_an_accord_anchor_or_nowhere),
		cmocka_unit_test(an_issuer_with_purposes_must_have_this_one),
		cmocka_unit_test(an_anchor_must_be_no_web_root),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
