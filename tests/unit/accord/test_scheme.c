/* Which signature schemes fit which keys (docs/accord.md, 5.2). */
#include "accord/check_parts.h"

#include <openssl/ec.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Fits this scheme, and none of the others of its kind. */
static void fits_only(EVP_PKEY *key, uint16_t scheme, const uint16_t *others, size_t count)
{
	assert_non_null(key);
	assert_true(check_scheme_known(scheme));
	assert_null(check_scheme_fits(scheme, key));
	for (size_t i = 0; i < count; i++) {
		if (others[i] != scheme)
			assert_non_null(check_scheme_fits(others[i], key));
	}
	EVP_PKEY_free(key);
}

static void a_curve_has_one_scheme(void **state)
{
	(void)state;
	const uint16_t schemes[] = {0x0403, 0x0503, 0x0603, 0x081a, 0x081b, 0x081c, 0x0804, 0x0807, 0x0904};
	const char *const curves[] = {
		"P-256", "P-384", "P-521", "brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"};
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
		fits_only(EVP_EC_gen(curves[i]), schemes[i], schemes, sizeof(schemes) / sizeof(schemes[0]));
}

/* Keys of this kind exist from OpenSSL 3.5 on; before, there is nothing that the schemes could fit. */
static void an_ml_dsa_key_has_one_scheme(void **state)
{
	(void)state;
	const uint16_t schemes[] = {0x0904, 0x0905, 0x0906, 0x0403, 0x0804, 0x0807};
	const char *const names[] = {"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, names[i]);
		assert_true(check_scheme_known(schemes[i]));
		if (key)
			fits_only(key, schemes[i], schemes, sizeof(schemes) / sizeof(schemes[0]));
	}
}

static void schemes_that_tls_1_3_does_not_sign_with_are_not_known(void **state)
{
	(void)state;
	const uint16_t schemes[] = {0, 0x0201, 0x0203, 0x0401, 0x0501, 0x0601, 0x0708, 0x0907, 0xffff};
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		assert_false(check_scheme_known(schemes[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_curve_has_one_scheme),
		cmocka_unit_test(an_ml_dsa_key_has_one_scheme),
		cmocka_unit_test(schemes_that_tls_1_3_does_not_sign_with_are_not_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
