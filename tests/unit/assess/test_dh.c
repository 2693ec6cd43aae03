#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include "assess/dh.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

static const struct bytes two = {(const uint8_t *)"\x02", 1};

static struct dh_group judge(BIGNUM *p)
{
	uint8_t octets[1100];
	struct dh_group group;
	int len = BN_bn2bin(p, octets);
	assert_true(dh_judge(bytes_of(octets, (size_t)len), two, &group));
	return group;
}

static BIGNUM *named(const char *name)
{
	OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (void *)(uintptr_t)name, 0),
		OSSL_PARAM_construct_end()};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
	EVP_PKEY *group = NULL;
	BIGNUM *p = NULL;
	assert_int_equal(EVP_PKEY_paramgen_init(ctx), 1);
	assert_int_equal(EVP_PKEY_CTX_set_params(ctx, params), 1);
	assert_int_equal(EVP_PKEY_generate(ctx, &group), 1);
	assert_int_equal(EVP_PKEY_get_bn_param(group, OSSL_PKEY_PARAM_FFC_P, &p), 1);
	EVP_PKEY_free(group);
	EVP_PKEY_CTX_free(ctx);
	return p;
}

static void named_groups_are_told_by_their_names(void **state)
{
	(void)state;
	BIGNUM *p = named("ffdhe3072");
	struct dh_group group = judge(p);
	assert_int_equal(group.kind, DH_NAMED);
	assert_string_equal(group.name, "ffdhe3072");
	assert_int_equal(group.bits, 3072);
	BN_free(p);
	p = named("modp_2048");
	assert_int_equal(judge(p).kind, DH_KNOWN);
	/* One more is even, two more is not prime. */
	BN_add_word(p, 2);
	assert_int_equal(judge(p).kind, DH_COMPOSITE);
	BN_sub_word(p, 1);
	assert_int_equal(judge(p).kind, DH_TRIVIAL);
	BN_free(p);
}

static void a_safe_prime_is_told_from_a_prime(void **state)
{
	(void)state;
	BIGNUM *p = BN_new();
	assert_int_equal(BN_generate_prime_ex(p, 512, 1, NULL, NULL, NULL), 1);
	assert_int_equal(judge(p).kind, DH_SAFE_PRIME);
	/* p = 1 mod 4: (p - 1) / 2 is even. */
	do
		assert_int_equal(BN_generate_prime_ex(p, 512, 0, NULL, NULL, NULL), 1);
	while (BN_mod_word(p, 4) != 1);
	assert_int_equal(judge(p).kind, DH_PRIME);
	BN_free(p);
}

static void trivial_generators_and_sizes_are_no_groups(void **state)
{
	(void)state;
	BIGNUM *p = named("ffdhe2048");
	uint8_t octets[256], huge[1200];
	struct dh_group group;
	int len = BN_bn2bin(p, octets);
	assert_true(dh_judge(bytes_of(octets, (size_t)len), bytes_of("\x01", 1), &group));
	assert_int_equal(group.kind, DH_TRIVIAL);
	assert_true(dh_judge(bytes_of(octets, (size_t)len), bytes_of(octets, (size_t)len), &group));
	assert_int_equal(group.kind, DH_TRIVIAL);
	assert_true(dh_judge(bytes_of("\x17", 1), two, &group));
	assert_int_equal(group.kind, DH_TRIVIAL);
	memset(huge, 0xff, sizeof(huge));
	assert_true(dh_judge(bytes_of(huge, sizeof(huge)), two, &group));
	assert_int_equal(group.kind, DH_TOO_LONG);
	/* At once, where a look for primes would take a minute; the well-known are found all the same. */
	assert_true(dh_judge(bytes_of(huge, 640), two, &group));
	assert_int_equal(group.kind, DH_TOO_LONG);
	assert_int_equal(group.bits, 5120);
	BN_free(p);
	p = named("ffdhe8192");
	assert_int_equal(judge(p).kind, DH_NAMED);
	BN_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(named_groups_are_told_by_their_names),
		cmocka_unit_test(a_safe_prime_is_told_from_a_prime),
		cmocka_unit_test(trivial_generators_and_sizes_are_no_groups),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
