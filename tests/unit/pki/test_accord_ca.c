#include "pki/accord_ca.h"

#include "accord/anchor.h"

#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW INT64_C(1795302282)

static char folder[] = "/tmp/overt-accord-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : 1;
}

static int remove_folder(void **state)
{
	(void)state;
	char command[64];
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static const char *in_folder(const char *name)
{
	static char paths[4][128];
	static unsigned at;
	char *path = paths[at++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static struct accord_ca *memory(void)
{
	struct accord_ca *ca = NULL;
	struct error err;
	assert_true(accord_ca_in_memory(&ca, "Proxy.Example.COM", ACCORD_KEY_PURPOSE_OID, NOW, &err));
	return ca;
}

static X509_STORE *store_of(const struct accord_ca *ca)
{
	X509_STORE *store = X509_STORE_new();
	assert_non_null(store);
	assert_int_equal(X509_STORE_add_cert(store, accord_ca_cert(ca)), 1);
	return store;
}

static struct accord_chain chain_of(X509 *cert, uint8_t **der)
{
	struct accord_chain chain = {.count = 1};
	*der = NULL;
	int len = i2d_X509(cert, der);
	assert_true(len > 0);
	chain.cert[0] = bytes_of(*der, (size_t)len);
	return chain;
}

static void a_certificate_it_issues_is_an_accord_proxys(void **state)
{
	(void)state;
	struct error err;
	struct accord_ca *ca = memory();
	struct accord_ca_leaf leaf;
	struct accord_identity who;
	assert_true(accord_ca_issue(ca, NOW, &leaf, &err));
	assert_int_equal(accord_leaf_judge(leaf.cert, &who, &err), ACCORD_LEAF_OK);
	assert_string_equal(who.name, "proxy.example.com");
	assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(leaf.cert), leaf.key), 1);
	uint8_t *der;
	struct accord_chain chain = chain_of(leaf.cert, &der);
	X509_STORE *store = store_of(ca);
	assert_true(accord_chain_verify(store, NULL, &chain, NOW, &who, &err));
	assert_true(accord_chain_verify(store, NULL, &chain, NOW + ACCORD_CA_LEAF_S - 7200, &who, &err));
	assert_false(accord_chain_verify(store, NULL, &chain, NOW + ACCORD_CA_LEAF_S + 7200, &who, &err));
	X509_STORE_free(store);
	OPENSSL_free(der);
	accord_ca_leaf_clear(&leaf);
	accord_ca_free(ca);
}

static void each_certificate_has_a_key_of_its_own(void **state)
{
	(void)state;
	struct error err;
	struct accord_ca *ca = memory();
	struct accord_ca_leaf a, b;
	assert_true(accord_ca_issue(ca, NOW, &a, &err) && accord_ca_issue(ca, NOW, &b, &err));
	assert_int_equal(EVP_PKEY_eq(a.key, b.key), 0);
	assert_int_not_equal(ASN1_INTEGER_cmp(X509_get_serialNumber(a.cert), X509_get_serialNumber(b.cert)), 0);
	accord_ca_leaf_clear(&a);
	accord_ca_leaf_clear(&b);
	accord_ca_free(ca);
}

/* Somebody puts the anchor among the trusted roots all the same. */
static void nothing_below_the_anchor_serves_as_a_web_server(void **state)
{
	(void)state;
	struct error err;
	struct accord_ca *ca = memory();
	struct accord_ca_leaf leaf;
	assert_true(accord_ca_issue(ca, NOW, &leaf, &err));
	X509_STORE *store = store_of(ca);
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	assert_int_equal(X509_STORE_CTX_init(ctx, store, leaf.cert, NULL), 1);
	X509_STORE_CTX_set_time(ctx, 0, (time_t)NOW);
	assert_int_equal(X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER), 1);
	assert_int_not_equal(X509_verify_cert(ctx), 1);
	assert_int_equal(X509_STORE_CTX_get_error(ctx), X509_V_ERR_INVALID_PURPOSE);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	accord_ca_leaf_clear(&leaf);
	accord_ca_free(ca);
}

static void what_was_made_is_read_again(void **state)
{
	(void)state;
	struct error err;
	struct stat st;
	struct accord_ca *ca = NULL;
	assert_int_equal(accord_ca_open(&ca, folder, ACCORD_KEY_PURPOSE_OID, NOW, &err), ACCORD_CA_MISSING);
	assert_true(accord_ca_make(folder, "proxy.example.com", ACCORD_KEY_PURPOSE_OID, NOW, &err));
	assert_int_equal(stat(in_folder(ACCORD_CA_KEY_FILE), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(in_folder(ACCORD_CA_FILE), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	assert_int_equal(accord_ca_open(&ca, folder, ACCORD_KEY_PURPOSE_OID, NOW, &err), ACCORD_CA_OK);
	assert_string_equal(accord_ca_name(ca), "proxy.example.com");
	struct accord_ca_leaf leaf;
	assert_true(accord_ca_issue(ca, NOW, &leaf, &err));
	accord_ca_leaf_clear(&leaf);
	accord_ca_free(ca);
	assert_int_equal(
		accord_ca_open(&ca, folder, ACCORD_KEY_PURPOSE_OID, NOW + (INT64_C(800) * 86400), &err), ACCORD_CA_BAD);
	assert_non_null(strstr(err.text, "expired"));
}

static void an_anchor_that_stands_is_not_replaced(void **state)
{
	(void)state;
	struct error err;
	assert_false(accord_ca_make(folder, "other.example.com", ACCORD_KEY_PURPOSE_OID, NOW, &err));
	assert_non_null(strstr(err.text, "already"));
}

static void a_key_that_does_not_go_with_the_anchor_is_refused(void **state)
{
	(void)state;
	struct error err;
	struct accord_ca *ca = NULL;
	char other[] = "/tmp/overt-accord-XXXXXX", from[128], command[400];
	assert_non_null(mkdtemp(other));
	assert_true(accord_ca_make(other, "proxy.example.com", ACCORD_KEY_PURPOSE_OID, NOW, &err));
	snprintf(from, sizeof(from), "%s/%s", other, ACCORD_CA_KEY_FILE);
	assert_int_equal(rename(from, in_folder(ACCORD_CA_KEY_FILE)), 0);
	snprintf(command, sizeof(command), "rm -rf '%s'", other);
	assert_int_equal(system(command), 0);
	assert_int_equal(accord_ca_open(&ca, folder, ACCORD_KEY_PURPOSE_OID, NOW, &err), ACCORD_CA_BAD);
	assert_non_null(strstr(err.text, "does not go with"));
}

static void names_that_are_no_host_names_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "192.0.2.1", "two words", "-x.example", "*.example.com"};
	struct error err;
	struct accord_ca *ca = NULL;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(accord_ca_in_memory(&ca, bad[i], ACCORD_KEY_PURPOSE_OID, NOW, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_certificate_it_issues_is_an_accord_proxys),
		cmocka_unit_test(each_certificate_has_a_key_of_its_own),
		cmocka_unit_test(nothing_below_the_anchor_serves_as_a_web_server),
		cmocka_unit_test(what_was_made_is_read_again),
		cmocka_unit_test(an_anchor_that_stands_is_not_replaced),
		cmocka_unit_test(a_key_that_does_not_go_with_the_anchor_is_refused),
		cmocka_unit_test(names_that_are_no_host_names_are_refused),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
