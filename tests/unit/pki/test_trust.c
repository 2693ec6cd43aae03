#include "forge.h"
#include "pki/trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static uint8_t pem[65536];

static struct bytes three_roots(void)
{
	size_t len = 0;
	for (int i = 0; i < 3; i++) {
		char cn[16];
		snprintf(cn, sizeof(cn), "Root %d", i);
		struct forged root = forge_root(cn);
		len += forge_pem(root.cert, pem + len, sizeof(pem) - len).len;
		forged_free(&root);
	}
	return bytes_of(pem, len);
}

static void anchors_come_from_files_and_from_memory_and_count_once(void **state)
{
	(void)state;
	struct bytes bundle = three_roots();
	struct trust *trust = trust_new(NULL);
	struct error err = {{0}};
	assert_true(trust_add_file(trust, forge_file("bundle.pem", bundle, 0644), &err));
	assert_true(trust_add_bytes(trust, bundle, "again", &err));
	struct trust_counts counts = trust_count(trust);
	assert_int_equal(counts.anchors, 3);
	assert_int_equal(counts.repeated, 3);
	trust_free(trust);
}

static void an_export_reads_back_as_the_same_trust(void **state)
{
	(void)state;
	struct bytes bundle = three_roots();
	struct trust *trust = trust_new(NULL);
	struct error err = {{0}};
	uint64_t empty = trust_generation(trust);
	assert_true(trust_add_bytes(trust, bundle, "bundle", &err));
	struct forged root = forge_root("Root with CRL");
	X509_CRL *crl = forge_crl(&root, root.key, NULL, FORGE_NOW - 10, FORGE_NOW + 10);
	uint8_t *der = NULL;
	int der_len = i2d_X509_CRL(crl, &der);
	const char *path = forge_file("list.crl", bytes_of(der, (size_t)der_len), 0644);
	assert_true(trust_add_crl_file(trust, path, &err));
	assert_int_not_equal(trust_generation(trust), empty);
	uint8_t *out;
	size_t len;
	assert_true(trust_export(trust, &out, &len));
	struct trust *copy = trust_new(NULL);
	assert_true(trust_add_bytes(copy, bytes_of(out, len), "export", &err));
	assert_int_equal(trust_count(copy).anchors, 3);
	assert_int_equal(trust_count(copy).crls, 1);
	assert_true(trust_generation(copy) == trust_generation(trust));
	free(out);
	trust_free(copy);
	trust_free(trust);
	OPENSSL_free(der);
	X509_CRL_free(crl);
	forged_free(&root);
}

static void assert_fault(struct bytes content, bool crl, const char *says)
{
	struct trust *trust = trust_new(NULL);
	struct error err = {{0}};
	const char *path = forge_file("faulty", content, 0644);
	bool ok = crl ? trust_add_crl_file(trust, path, &err) : trust_add_file(trust, path, &err);
	assert_false(ok);
	if (!strstr(err.text, says) || !strstr(err.text, "faulty"))
		fail_msg("\"%s\" does not say \"%s\"", err.text, says);
	trust_free(trust);
}

static void a_faulty_file_is_told_with_the_number_of_the_certificate(void **state)
{
	(void)state;
	struct bytes bundle = three_roots();
	assert_fault(BYTES_NONE, false, "is empty");
	assert_fault(bytes_str("# nothing but words\n"), false, "holds no certificate");
	assert_fault(bundle, true, "only CRLs");
	/* A letter of the second certificate's base64 is spoilt. */
	uint8_t *second = memmem(pem + 100, bundle.len - 100, "-----BEGIN", 10);
	assert_non_null(second);
	uint8_t before = second[100];
	second[100] = '!';
	assert_fault(bundle, false, "certificate 2 is damaged");
	second[100] = before;
	/* Well-formed base64 of something else. */
	second[60] = second[60] == 'A' ? 'B' : 'A';
	second[30] = second[30] == 'A' ? 'B' : 'A';
	assert_fault(bundle, false, "certificate 2 is damaged");
	/* Cut short. */
	three_roots();
	assert_fault(bytes_of(pem, bundle.len - 40), false, "certificate 3 is damaged");
	assert_fault(bytes_of("\x30\x03\x02\x01", 4), false, "certificate 1 is damaged");
	struct trust *trust = trust_new(NULL);
	struct error err;
	assert_false(trust_add_file(trust, "/nonexistent/roots.pem", &err));
	assert_non_null(strstr(err.text, "/nonexistent/roots.pem"));
	trust_free(trust);
}

static void the_system_store_follows_the_environment(void **state)
{
	(void)state;
	struct bytes bundle = three_roots();
	char file[256];
	char link[256];
	snprintf(file, sizeof(file), "%s", forge_file("system.pem", bundle, 0644));
	assert_int_equal(setenv("SSL_CERT_FILE", file, 1), 0);
	assert_int_equal(setenv("SSL_CERT_DIR", forge_directory(), 1), 0);
	struct forged root = forge_root("Root of the directory");
	uint8_t one[4096];
	(void)forge_file("0a1b2c3d.0", forge_pem(root.cert, one, sizeof(one)), 0644);
	(void)forge_file("unhashed.pem", bytes_str("not read"), 0644);
	snprintf(link, sizeof(link), "%s/ffffffff.0", forge_directory());
	assert_int_equal(symlink("/nonexistent/gone.pem", link), 0);
	struct trust *trust = trust_new(NULL);
	struct error err = {{0}};
	if (!trust_add_system(trust, &err))
		fail_msg("%s", err.text);
	assert_int_equal(trust_count(trust).anchors, 4);
	assert_int_equal(trust_count(trust).unreadable, 1);
	trust_free(trust);
	/* A file that is named and not there is a fault, not a reason to trust something else. */
	assert_int_equal(setenv("SSL_CERT_FILE", "/nonexistent/roots.pem", 1), 0);
	trust = trust_new(NULL);
	assert_false(trust_add_system(trust, &err));
	assert_non_null(strstr(err.text, "SSL_CERT_FILE"));
	trust_free(trust);
	assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
	assert_int_equal(unsetenv("SSL_CERT_DIR"), 0);
	forged_free(&root);
}

static void the_distributions_own_anchors_load(void **state)
{
	(void)state;
	if (access("/etc/ssl/certs/ca-certificates.crt", R_OK) != 0)
		skip();
	assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
	assert_int_equal(unsetenv("SSL_CERT_DIR"), 0);
	struct trust *trust = trust_new(NULL);
	struct error err = {{0}};
	if (!trust_add_system(trust, &err))
		fail_msg("%s", err.text);
	assert_true(trust_count(trust).anchors > 50);
	trust_free(trust);
}

static int cleanup(void **state)
{
	(void)state;
	forge_cleanup();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anchors_come_from_files_and_from_memory_and_count_once),
		cmocka_unit_test(an_export_reads_back_as_the_same_trust),
		cmocka_unit_test(a_faulty_file_is_told_with_the_number_of_the_certificate),
		cmocka_unit_test(the_system_store_follows_the_environment),
		cmocka_unit_test(the_distributions_own_anchors_load),
	};
	return cmocka_run_group_tests(tests, NULL, cleanup);
}
