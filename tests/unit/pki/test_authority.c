#include "forge.h"
#include "pki/authority.h"
#include "pki/file.h"
#include "pki/summary.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char *fresh_state(void)
{
	static char path[128];
	static int number;
	snprintf(path, sizeof(path), "%s/deep/state-%d", forge_directory(), ++number);
	return path;
}

static const char *in_state(const char *state, const char *name)
{
	static char path[256];
	snprintf(path, sizeof(path), "%s/%s", state, name);
	return path;
}

static struct authority *opened(const char *state, const struct authority_make *make, int64_t now_s)
{
	struct authority *authority = NULL;
	struct error err = {{0}};
	if (!authority_open(&authority, state, make, now_s, &err))
		fail_msg("%s", err.text);
	return authority;
}

static unsigned mode_of(const char *path)
{
	struct stat info;
	assert_int_equal(stat(path, &info), 0);
	return info.st_mode & 0777;
}

static void assert_error(const struct error *err, const char *part)
{
	if (!strstr(err->text, part))
		fail_msg("\"%s\" does not say \"%s\"", err->text, part);
}

static void a_ca_is_made_once_and_kept_with_a_private_key_file(void **unused)
{
	(void)unused;
	const char *state = fresh_state();
	struct authority *first = opened(state, &(struct authority_make){.host = "host"}, FORGE_NOW);
	assert_int_equal(mode_of(state), 0700);
	assert_int_equal(mode_of(in_state(state, "ca.key")), 0600);
	assert_int_equal(mode_of(in_state(state, "ca.pem")), 0644);
	struct authority *second = opened(state, NULL, FORGE_NOW + 5);
	assert_int_equal(X509_cmp(authority_cert(first, 0), authority_cert(second, 0)), 0);
	assert_null(authority_cert(second, 1));
	struct authority *other = opened(fresh_state(), NULL, FORGE_NOW);
	assert_int_not_equal(X509_cmp(authority_cert(first, 0), authority_cert(other, 0)), 0);
	authority_free(first);
	authority_free(second);
	authority_free(other);
}

static void the_ca_says_what_it_is(void **unused)
{
	(void)unused;
	struct authority *authority = opened(fresh_state(), &(struct authority_make){.host = "host"}, FORGE_NOW);
	X509 *cert = authority_cert(authority, 0);
	struct cert_summary summary;
	cert_summary_of(cert, &summary);
	assert_string_equal(summary.common_name, "Overt CA host 2027-01");
	assert_string_equal(summary.key, "EC prime256v1");
	assert_int_equal(summary.not_before_s, FORGE_NOW - 3600);
	assert_int_equal(summary.not_after_s, FORGE_NOW - 3600 + AUTHORITY_DAYS * FORGE_DAY);
	assert_int_equal(X509_check_ca(cert), 1);
	assert_int_equal(X509_get_pathlen(cert), 0);
	assert_int_equal(X509_get_key_usage(cert), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	assert_int_equal(ASN1_STRING_length(X509_get0_subject_key_id(cert)), 20);
	for (int i = 0; i < X509_get_ext_count(cert); i++) {
		X509_EXTENSION *extension = X509_get_ext(cert, i);
		int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
		assert_int_equal(X509_EXTENSION_get_critical(extension), nid != NID_subject_key_identifier);
	}
	BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	assert_int_equal(BN_num_bits(serial), 127);
	BN_free(serial);
	authority_free(authority);
}

static void a_long_host_name_still_makes_a_ca(void **unused)
{
	(void)unused;
	char host[200];
	memset(host, 'h', sizeof(host));
	host[sizeof(host) - 1] = '\0';
	struct authority *authority = opened(fresh_state(), &(struct authority_make){.host = host}, FORGE_NOW);
	authority_free(authority);
}

static void names_outside_the_permitted_are_refused_also_addresses(void **unused)
{
	(void)unused;
	struct name_ranges permit = {.count = 0};
	struct error err;
	assert_true(name_ranges_parse(bytes_str("example.com, 10.0.0.0/8"), &permit, &err));
	struct authority *authority = opened(fresh_state(), &(struct authority_make){.permit = &permit}, FORGE_NOW);
	static const struct {
		const char *name;
		bool permitted;
	} cases[] = {
		{"example.com", true},
		{"www.Example.com", true},
		{"badexample.com", false},
		{"example.org", false},
		{"10.1.2.3", true},
		{"11.1.2.3", false},
		{"::1", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct subject_name name;
		assert_int_equal(subject_name_parse(bytes_str(cases[i].name), &name), NAME_OK);
		if (authority_permits(authority, FORGE_NOW, &name) != cases[i].permitted)
			fail_msg("%s", cases[i].name);
	}
	struct authority_issuer issuer;
	assert_true(authority_issuer(authority, FORGE_NOW, &issuer));
	assert_true(authority_permits_dns(&issuer, bytes_str("*.example.com")));
	assert_false(authority_permits_dns(&issuer, bytes_str("*.com")));
	struct name_ranges listed;
	assert_true(authority_permit_list(authority, &listed));
	assert_int_equal(listed.count, 2);
	assert_true(name_range_equal(&listed.at[0], &permit.at[0]));
	assert_true(name_range_equal(&listed.at[1], &permit.at[1]));
	authority_free(authority);
}

static void a_list_of_addresses_alone_permits_no_dns_name(void **unused)
{
	(void)unused;
	struct name_ranges permit = {.count = 0};
	struct error err;
	assert_true(name_ranges_parse(bytes_str("192.0.2.0/24"), &permit, &err));
	struct authority *authority = opened(fresh_state(), &(struct authority_make){.permit = &permit}, FORGE_NOW);
	struct subject_name name;
	assert_int_equal(subject_name_parse(bytes_str("example.com"), &name), NAME_OK);
	assert_false(authority_permits(authority, FORGE_NOW, &name));
	authority_free(authority);
}

static void a_key_that_others_may_read_is_refused(void **unused)
{
	(void)unused;
	const char *state = fresh_state();
	authority_free(opened(state, NULL, FORGE_NOW));
	assert_int_equal(chmod(in_state(state, "ca.key"), 0640), 0);
	struct authority *authority;
	struct error err;
	assert_false(authority_open(&authority, state, NULL, FORGE_NOW, &err));
	assert_error(&err, "ca.key");
	assert_error(&err, "chmod 600");
}

static void an_expired_ca_is_an_error_and_rotation_mends_it(void **unused)
{
	(void)unused;
	const char *state = fresh_state();
	authority_free(opened(state, NULL, FORGE_NOW));
	int64_t later = FORGE_NOW + 800 * FORGE_DAY;
	struct authority *authority;
	struct error err;
	assert_false(authority_open(&authority, state, NULL, later, &err));
	assert_error(&err, "overt ca rotate");
	assert_true(authority_rotate(state, NULL, 0, later, &err));
	authority = opened(state, NULL, later);
	assert_null(authority_cert(authority, 1));
	authority_free(authority);
}

static void a_key_that_does_not_fit_is_refused(void **unused)
{
	(void)unused;
	const char *state = fresh_state();
	char other_key[256];
	authority_free(opened(state, NULL, FORGE_NOW));
	const char *other = fresh_state();
	authority_free(opened(other, NULL, FORGE_NOW));
	snprintf(other_key, sizeof(other_key), "%s", in_state(other, "ca.key"));
	char own_key[256];
	const char *slash = strrchr(other, '/');
	assert_non_null(slash);
	snprintf(own_key, sizeof(own_key), "%.*s/state-%d/ca.key", (int)(slash - other), other, atoi(slash + 7) - 1);
	assert_int_equal(rename(other_key, own_key), 0);
	char own_state[256];
	snprintf(own_state, sizeof(own_state), "%.*s", (int)(strlen(own_key) - 7), own_key);
	struct authority *authority;
	struct error err;
	assert_false(authority_open(&authority, own_state, NULL, FORGE_NOW, &err));
	assert_error(&err, "goes with a key");
}

static void a_crash_between_key_and_certificate_leaves_a_usable_state(void **unused)
{
	(void)unused;
	const char *state = fresh_state();
	authority_free(opened(state, NULL, FORGE_NOW));
	/* The key was written, the certificate not, and a half-written file lies about. */
	assert_int_equal(unlink(in_state(state, "ca.pem")), 0);
	FILE *half = fopen(in_state(state, "ca.pem.new"), "w");
	assert_non_null(half);
	fputs("-----BEGIN CERT", half);
	fclose(half);
	struct authority *authority = opened(state, NULL, FORGE_NOW);
	struct authority_issuer issuer;
	assert_true(authority_issuer(authority, FORGE_NOW, &issuer));
	authority_free(authority);
	/* The reverse is no crash of ours but a loss: nothing is overwritten. */
	assert_int_equal(unlink(in_state(state, "ca.key")), 0);
	struct error err;
	assert_false(authority_open(&authority, state, NULL, FORGE_NOW, &err));
	assert_error(&err, "restore it");
}

static void after_rotation_the_new_ca_issues_and_both_are_exported(void **unused)
{
	(void)unused;
	const char *state = fresh_state();
	struct name_ranges permit = {.count = 0};
	struct error err;
	assert_true(name_ranges_parse(bytes_str("example.com"), &permit, &err));
	struct authority *old = opened(state, &(struct authority_make){.permit = &permit}, FORGE_NOW);
	assert_true(authority_rotate(state, NULL, 0, FORGE_NOW, &err));
	struct authority *now = opened(state, NULL, FORGE_NOW);
	struct authority_issuer issuer;
	assert_true(authority_issuer(now, FORGE_NOW, &issuer));
	assert_ptr_equal(issuer.cert, authority_cert(now, 0));
	assert_int_not_equal(X509_cmp(authority_cert(now, 0), authority_cert(old, 0)), 0);
	assert_int_equal(X509_cmp(authority_cert(now, 1), authority_cert(old, 0)), 0);
	struct name_ranges listed;
	assert_true(authority_permit_list(now, &listed));
	assert_int_equal(listed.count, 1);
	authority_free(old);
	authority_free(now);
	/* Many rotations keep within the cap. */
	for (int i = 1; i <= 6; i++)
		assert_true(authority_rotate(state, NULL, 0, FORGE_NOW + i, &err));
	now = opened(state, NULL, FORGE_NOW + 10);
	assert_non_null(authority_cert(now, AUTHORITY_MAX - 1));
	assert_null(authority_cert(now, AUTHORITY_MAX));
	authority_free(now);
}

static void with_a_lead_the_old_ca_issues_until_then(void **unused)
{
	(void)unused;
	const char *state = fresh_state();
	struct error err;
	authority_free(opened(state, NULL, FORGE_NOW));
	assert_true(authority_rotate(state, NULL, 7 * FORGE_DAY, FORGE_NOW, &err));
	struct authority *authority = opened(state, NULL, FORGE_NOW + 6 * FORGE_DAY);
	struct authority_issuer before;
	struct authority_issuer after;
	assert_true(authority_issuer(authority, FORGE_NOW + 6 * FORGE_DAY, &before));
	assert_true(authority_issuer(authority, FORGE_NOW + 8 * FORGE_DAY, &after));
	assert_ptr_not_equal(before.cert, after.cert);
	assert_ptr_equal(before.cert, authority_cert(authority, 0));
	authority_free(authority);
	/* Opened after the switch, the new one stands first. */
	authority = opened(state, NULL, FORGE_NOW + 8 * FORGE_DAY);
	assert_true(authority_issuer(authority, FORGE_NOW + 8 * FORGE_DAY, &after));
	assert_ptr_equal(after.cert, authority_cert(authority, 0));
	authority_free(authority);
}

static const char *pem_file(const char *name, X509 *const *certs)
{
	static uint8_t buffer[65536];
	size_t len = 0;
	for (; *certs; certs++)
		len += forge_pem(*certs, buffer + len, sizeof(buffer) - len).len;
	return forge_file(name, bytes_of(buffer, len), 0644);
}

static char *key_file(const char *name, EVP_PKEY *key, const char *passphrase)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data;
	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, passphrase ? EVP_aes_128_cbc() : NULL, passphrase,
				 passphrase ? (int)strlen(passphrase) : 0, NULL, NULL),
		1);
	long len = BIO_get_mem_data(bio, &data);
	char *path = strdup(forge_file(name, bytes_of(data, (size_t)len), 0600));
	BIO_free(bio);
	return path;
}

static void an_operators_subordinate_ca_is_taken_with_its_chain(void **unused)
{
	(void)unused;
	struct forged root = forge_root("Corporate root");
	struct forge_spec spec = forge_intermediate_spec("Corporate policy CA", &root);
	forge_extension(&spec, "nameConstraints", "critical,permitted;DNS:example.com");
	struct forged policy = forge(&spec);
	struct forged sub = forge_intermediate("Inspection CA", &policy);
	char *cert_path = strdup(pem_file("sub.pem", (X509 *[]){sub.cert, policy.cert, root.cert, NULL}));
	char *key_path = key_file("sub.key", sub.key, NULL);
	struct authority *authority;
	struct error err = {{0}};
	if (!authority_from_files(&authority, cert_path, key_path, FORGE_NOW, &err))
		fail_msg("%s", err.text);
	struct bytes chain[AUTHORITY_CHAIN_MAX];
	assert_int_equal(authority_chain(authority, FORGE_NOW, chain), 2);
	/* The chain's constraints bind too. */
	struct subject_name name;
	assert_int_equal(subject_name_parse(bytes_str("example.org"), &name), NAME_OK);
	assert_false(authority_permits(authority, FORGE_NOW, &name));
	authority_free(authority);
	/* A chain that does not lead upwards is told. */
	free(cert_path);
	cert_path = strdup(pem_file("gap.pem", (X509 *[]){sub.cert, root.cert, NULL}));
	assert_false(authority_from_files(&authority, cert_path, key_path, FORGE_NOW, &err));
	assert_error(&err, "certificate 2 did not issue");
	free(cert_path);
	free(key_path);
	forged_free(&sub);
	forged_free(&policy);
	forged_free(&root);
}

static void an_operators_faulty_files_are_named(void **unused)
{
	(void)unused;
	struct forged root = forge_root("Corporate root");
	struct forged leaf = forge_leaf("example.com", &root);
	struct forge_spec spec = forge_root_spec("Old root");
	spec.from_s = FORGE_NOW - 20 * FORGE_DAY;
	spec.until_s = FORGE_NOW - 10 * FORGE_DAY;
	struct forged old = forge(&spec);
	char *root_pem = strdup(pem_file("root.pem", (X509 *[]){root.cert, NULL}));
	char *leaf_pem = strdup(pem_file("leaf.pem", (X509 *[]){leaf.cert, NULL}));
	char *old_pem = strdup(pem_file("old.pem", (X509 *[]){old.cert, NULL}));
	char *garbage = strdup(forge_file("garbage.pem", bytes_str("nothing of the kind\n"), 0600));
	char *root_key = key_file("root.key", root.key, NULL);
	char *leaf_key = key_file("leaf.key", leaf.key, NULL);
	char *old_key = key_file("old.key", old.key, NULL);
	char *locked = key_file("locked.key", root.key, "secret");
	const struct {
		const char *cert, *key, *says;
	} cases[] = {
		{leaf_pem, leaf_key, "is no CA"},
		{root_pem, leaf_key, "does not go with"},
		{root_pem, locked, "passphrase"},
		{root_pem, garbage, "holds no private key"},
		{root_pem, "/nonexistent/key", "/nonexistent/key"},
		{"/nonexistent/cert", root_key, "/nonexistent/cert"},
		{garbage, root_key, "holds no certificate"},
		{old_pem, old_key, "expired on 2027-01-05"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct authority *authority;
		struct error err = {{0}};
		assert_false(authority_from_files(&authority, cases[i].cert, cases[i].key, FORGE_NOW, &err));
		assert_error(&err, cases[i].says);
	}
	char *paths[] = {root_pem, leaf_pem, old_pem, garbage, root_key, leaf_key, old_key, locked};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		free(paths[i]);
	forged_free(&leaf);
	forged_free(&old);
	forged_free(&root);
}

static void a_ca_in_memory_signs_and_leaves_no_file(void **unused)
{
	(void)unused;
	struct authority *authority;
	struct error err;
	assert_true(authority_in_memory(&authority, NULL, FORGE_NOW, &err));
	struct authority_issuer issuer;
	assert_true(authority_issuer(authority, FORGE_NOW, &issuer));
	uint8_t signature[AUTHORITY_SIGNATURE_MAX];
	size_t len;
	assert_true(authority_sign(&issuer, bytes_str("to be signed"), signature, &len));
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, X509_get0_pubkey(issuer.cert)), 1);
	assert_int_equal(EVP_DigestVerify(ctx, signature, len, (const uint8_t *)"to be signed", 12), 1);
	EVP_MD_CTX_free(ctx);
	struct bytes chain[AUTHORITY_CHAIN_MAX];
	assert_int_equal(authority_chain(authority, FORGE_NOW, chain), 0);
	assert_false(authority_issuer(authority, FORGE_NOW + 3 * FORGE_DAY, &issuer));
	authority_free(authority);
}

static int cleanup(void **unused)
{
	(void)unused;
	forge_cleanup();
	return 0;
}

/* In a process of its own: an engine for tokens, where one is installed, never gives back what it allocated. */
static void a_token_that_is_not_there_is_said(void **state)
{
	(void)state;
	struct forged root = forge_root("Corporate root");
	const char *cert = pem_file("token.pem", (X509 *[]){root.cert, NULL});
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct error err = {{0}};
		struct authority *authority;
		bool ok = authority_from_files(&authority, cert, "pkcs11:object=none", FORGE_NOW, &err);
		_exit(!ok && strstr(err.text, "pkcs11") ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	forged_free(&root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ca_is_made_once_and_kept_with_a_private_key_file),
		cmocka_unit_test(the_ca_says_what_it_is),
		cmocka_unit_test(a_long_host_name_still_makes_a_ca),
		cmocka_unit_test(names_outside_the_permitted_are_refused_also_addresses),
		cmocka_unit_test(a_list_of_addresses_alone_permits_no_dns_name),
		cmocka_unit_test(a_key_that_others_may_read_is_refused),
		cmocka_unit_test(an_expired_ca_is_an_error_and_rotation_mends_it),
		cmocka_unit_test(a_key_that_does_not_fit_is_refused),
		cmocka_unit_test(a_crash_between_key_and_certificate_leaves_a_usable_state),
		cmocka_unit_test(after_rotation_the_new_ca_issues_and_both_are_exported),
		cmocka_unit_test(with_a_lead_the_old_ca_issues_until_then),
		cmocka_unit_test(an_operators_subordinate_ca_is_taken_with_its_chain),
		cmocka_unit_test(an_operators_faulty_files_are_named),
		cmocka_unit_test(a_token_that_is_not_there_is_said),
		cmocka_unit_test(a_ca_in_memory_signs_and_leaves_no_file),
	};
	return cmocka_run_group_tests(tests, NULL, cleanup);
}
