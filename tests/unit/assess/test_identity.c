#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include "assess/identity.h"

#include "base/clock.h"
#include "pki/verify.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "one.site.test"

static struct trust *trust_of(const char *folder, bool crl)
{
	char path[128];
	struct error err = {""};
	struct trust *trust = trust_new(NULL);
	snprintf(path, sizeof(path), "%s/root.pem", folder);
	assert_true(trust_add_file(trust, path, &err));
	snprintf(path, sizeof(path), "%s/root.crl", folder);
	assert_true(!crl || trust_add_crl_file(trust, path, &err));
	return trust;
}

static void forget(const char *folder)
{
	static const char *const names[] = {"root.pem", "root.key", "root.crl", "front.key"};
	char path[128];
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(folder), 0);
}

static uint64_t faults_of(struct identity_maker *maker, struct verifier *verifier, enum identity_fault fault, bool rsa)
{
	struct identity identity;
	struct verify_verdict verdict;
	struct subject_name host;
	assert_int_equal(subject_name_parse(bytes_str(NAME), &host), NAME_OK);
	if (!identity_make(maker, fault, rsa, &identity))
		fail_msg("%s cannot be made", identity_fault_name(fault));
	const struct verify_request request = {.host = &host,
		.now_s = (int64_t)(clock_wall_ns() / NS_PER_S),
		.staple = fault == IDENTITY_REVOKED ? BYTES_NONE : bytes_of(identity.status, identity.status_len)};
	verify_chain(verifier, identity.leaf, identity.above, &request, &verdict);
	identity_free(&identity);
	return verdict.faults;
}

static void each_certificate_has_the_fault_that_it_is_made_for(void **state)
{
	(void)state;
	static const enum verify_fault wanted[IDENTITY_FAULTS] = {
		[IDENTITY_SELF_SIGNED] = VERIFY_SELF_SIGNED,
		[IDENTITY_UNKNOWN_ROOT] = VERIFY_UNKNOWN_ROOT,
		[IDENTITY_MISSING_INTERMEDIATE] = VERIFY_MISSING_INTERMEDIATE,
		[IDENTITY_EXPIRED] = VERIFY_EXPIRED,
		[IDENTITY_NOT_YET_VALID] = VERIFY_NOT_YET_VALID,
		[IDENTITY_DATES_REVERSED] = VERIFY_DATES_REVERSED,
		[IDENTITY_INTERMEDIATE_EXPIRED] = VERIFY_EXPIRED,
		[IDENTITY_SIGNATURE] = VERIFY_BAD_SIGNATURE,
		[IDENTITY_LEAF_AS_ISSUER] = VERIFY_NOT_A_CA,
		[IDENTITY_NO_CONSTRAINTS] = VERIFY_NOT_A_CA,
		[IDENTITY_PATH_LENGTH] = VERIFY_PATH_LENGTH,
		[IDENTITY_NAME_CONSTRAINTS] = VERIFY_NAME_CONSTRAINTS,
		[IDENTITY_NO_CERT_SIGN] = VERIFY_KEY_USAGE,
		[IDENTITY_PURPOSE] = VERIFY_PURPOSE,
		[IDENTITY_PURPOSE_ABOVE] = VERIFY_PURPOSE,
		[IDENTITY_CRITICAL] = VERIFY_CRITICAL_EXTENSION,
		[IDENTITY_SHA1] = VERIFY_WEAK_SIGNATURE,
		[IDENTITY_RSA_1024] = VERIFY_WEAK_KEY,
		[IDENTITY_WRONG_NAME] = VERIFY_WRONG_NAME,
		[IDENTITY_NO_SAN] = VERIFY_NO_SAN,
		[IDENTITY_CN_AGAINST_SAN] = VERIFY_WRONG_NAME,
		[IDENTITY_WILDCARD_ALL] = VERIFY_WRONG_NAME,
		[IDENTITY_WILDCARD_PARTIAL] = VERIFY_WRONG_NAME,
		[IDENTITY_NUL] = VERIFY_NAME_MALFORMED,
		[IDENTITY_MUST_STAPLE] = VERIFY_STAPLE_MISSING,
		[IDENTITY_SIGNED_PART] = VERIFY_BAD_SIGNATURE,
		[IDENTITY_V1_ISSUER] = VERIFY_V1_ISSUER,
		[IDENTITY_NAME_EXCLUDED] = VERIFY_NAME_CONSTRAINTS,
		[IDENTITY_MALFORMED] = VERIFY_MALFORMED,
		[IDENTITY_MD5] = VERIFY_WEAK_SIGNATURE,
		[IDENTITY_SHA1_ABOVE] = VERIFY_WEAK_SIGNATURE,
		[IDENTITY_CURVE_ABOVE] = VERIFY_WEAK_KEY,
		[IDENTITY_WILDCARD_BARE] = VERIFY_WRONG_NAME,
		[IDENTITY_WILDCARD_TLD] = VERIFY_WRONG_NAME,
		[IDENTITY_WILDCARD_DEEP] = VERIFY_WRONG_NAME,
		[IDENTITY_WILDCARD_MIDDLE] = VERIFY_WRONG_NAME,
		[IDENTITY_STAPLE_REVOKED] = VERIFY_REVOKED,
		[IDENTITY_STAPLE_EXPIRED] = VERIFY_STAPLE_EXPIRED,
		[IDENTITY_STAPLE_SIGNER] = VERIFY_STAPLE_SIGNER,
		[IDENTITY_ROOT_EXPIRED] = VERIFY_EXPIRED,
		[IDENTITY_REVOKED] = VERIFY_REVOKED,
		[IDENTITY_REVOKED_ABOVE] = VERIFY_REVOKED,
	};
	char folder[] = "/tmp/overt-identity-XXXXXX";
	struct error err = {""};
	assert_non_null(mkdtemp(folder));
	struct identity_maker *maker = identity_maker_new(NAME, folder, &err);
	assert_non_null(maker);
	identity_tell_status_at(maker, 9);
	struct trust *trust = trust_of(folder, false), *with_crl = trust_of(folder, true);
	struct verifier *verifier = verifier_new(trust, 0), *informed = verifier_new(with_crl, 0);
	assert_int_equal(faults_of(maker, verifier, IDENTITY_GOOD, false), 0);
	assert_int_equal(faults_of(maker, informed, IDENTITY_GOOD, true), 0);
	for (enum identity_fault fault = IDENTITY_SELF_SIGNED; fault < IDENTITY_FAULTS; fault++) {
		bool by_crl = fault == IDENTITY_REVOKED || fault == IDENTITY_REVOKED_ABOVE;
		if (fault == IDENTITY_WRONG_KEY || !identity_applies(maker, fault))
			continue;
		uint64_t faults = faults_of(maker, by_crl ? informed : verifier, fault, false);
		if ((faults & VERIFY_FAULT_BIT(wanted[fault])) == 0)
			fail_msg("%s: %llx", identity_fault_name(fault), (unsigned long long)faults);
	}
	verifier_free(verifier);
	verifier_free(informed);
	trust_free(trust);
	trust_free(with_crl);
	identity_maker_free(maker);
	forget(folder);
}

static void a_certificate_of_another_names_a_key_that_the_server_does_not_hold(void **state)
{
	(void)state;
	struct error err = {""};
	struct identity identity;
	struct identity_maker *maker = identity_maker_new(NAME, NULL, &err);
	assert_non_null(maker);
	uint8_t signature[256];
	size_t len = sizeof(signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	assert_true(identity_make(maker, IDENTITY_WRONG_KEY, false, &identity));
	assert_int_equal(X509_check_private_key(identity.leaf, identity.key), 1);
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, identity.key), 1);
	assert_int_equal(EVP_DigestSign(ctx, signature, &len, (const unsigned char *)"text", 4), 1);
	EVP_MD_CTX_reset(ctx);
	assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, X509_get0_pubkey(identity.leaf)), 1);
	assert_int_not_equal(EVP_DigestVerify(ctx, signature, len, (const unsigned char *)"text", 4), 1);
	EVP_MD_CTX_free(ctx);
	identity_free(&identity);
	identity_maker_free(maker);
}

static void a_kept_key_stays_the_same(void **state)
{
	(void)state;
	char folder[] = "/tmp/overt-identity-XXXXXX";
	struct error err = {""};
	struct identity one, two;
	assert_non_null(mkdtemp(folder));
	for (int i = 0; i < 2; i++) {
		struct identity_maker *maker = identity_maker_new(NAME, folder, &err);
		assert_non_null(maker);
		assert_true(identity_make_kept(maker, folder, i == 0 ? &one : &two, &err));
		identity_maker_free(maker);
	}
	assert_int_equal(EVP_PKEY_eq(one.key, two.key), 1);
	assert_int_not_equal(X509_cmp(one.leaf, two.leaf), 0);
	identity_free(&one);
	identity_free(&two);
	forget(folder);
}

static void wildcards_are_made_for_names_that_have_the_labels(void **state)
{
	(void)state;
	struct error err = {""};
	static const struct {
		const char *name;
		bool bare, tld, deep;
	} rows[] = {{"localhost", true, false, false}, {"site.test", true, true, false},
		{"www.site.test", true, true, true}, {"127.0.0.1", false, false, false}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct identity_maker *maker = identity_maker_new(rows[i].name, NULL, &err);
		assert_non_null(maker);
		assert_int_equal(identity_applies(maker, IDENTITY_WILDCARD_BARE), rows[i].bare);
		assert_int_equal(identity_applies(maker, IDENTITY_WILDCARD_TLD), rows[i].tld);
		assert_int_equal(identity_applies(maker, IDENTITY_WILDCARD_DEEP), rows[i].deep);
		identity_maker_free(maker);
	}
	assert_null(identity_maker_new("no host", NULL, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_certificate_has_the_fault_that_it_is_made_for),
		cmocka_unit_test(a_certificate_of_another_names_a_key_that_the_server_does_not_hold),
		cmocka_unit_test(a_kept_key_stays_the_same),
		cmocka_unit_test(wildcards_are_made_for_names_that_have_the_labels),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
