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

#include <openssl/pem.h>
#include <string.h>

#define NAME "one.test"

static uint64_t faults_of(struct identity_maker *maker, struct verifier *verifier, enum identity_fault fault, bool rsa)
{
	struct identity identity;
	struct verify_verdict verdict;
	struct subject_name host;
	assert_int_equal(subject_name_parse(bytes_str(NAME), &host), NAME_OK);
	assert_true(identity_make(maker, fault, rsa, &identity));
	const struct verify_request request = {.host = &host, .now_s = (int64_t)(clock_wall_ns() / NS_PER_S)};
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
	};
	struct error err = {""};
	struct identity_maker *maker = identity_maker_new(NAME, NULL, &err);
	assert_non_null(maker);
	struct trust *trust = trust_new(NULL);
	uint8_t *der = NULL;
	int len = i2d_X509(identity_root(maker), &der);
	assert_true(len > 0 && trust_add_bytes(trust, bytes_of(der, (size_t)len), "root", &err));
	OPENSSL_free(der);
	struct verifier *verifier = verifier_new(trust, 0);
	assert_int_equal(faults_of(maker, verifier, IDENTITY_GOOD, false), 0);
	assert_int_equal(faults_of(maker, verifier, IDENTITY_GOOD, true), 0);
	for (enum identity_fault fault = IDENTITY_SELF_SIGNED; fault < IDENTITY_FAULTS; fault++) {
		uint64_t faults = faults_of(maker, verifier, fault, false);
		if ((faults & VERIFY_FAULT_BIT(wanted[fault])) == 0)
			fail_msg("%s: %llx", identity_fault_name(fault), (unsigned long long)faults);
	}
	verifier_free(verifier);
	trust_free(trust);
	identity_maker_free(maker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_certificate_has_the_fault_that_it_is_made_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
