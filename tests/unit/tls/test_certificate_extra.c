#include "support.h"
#include "tls/certificate_extra.h"
#include "tls/certificate_verify.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void one_response_is_read(void **state)
{
	(void)state;
	struct certificate_status status;
	assert_true(certificate_status_parse(RAW(1, 0, 0, 2, 0x30, 0), &status));
	assert_true(status.type == 1 && bytes_equal(status.response, RAW(0x30, 0)));
	assert_false(certificate_status_parse(RAW(1, 0, 0, 0), &status));
	assert_false(certificate_status_parse(RAW(1, 0, 0, 2, 0x30), &status));
	assert_false(certificate_status_parse(RAW(1, 0, 0, 1, 0x30, 0), &status));
	assert_false(certificate_status_parse(RAW(3, 0, 0, 1, 0x30), &status));
	assert_false(certificate_status_parse(BYTES_NONE, &status));
}

static void several_responses_are_read(void **state)
{
	(void)state;
	struct certificate_status status;
	struct bytes response;
	assert_true(certificate_status_parse(RAW(2, 0, 0, 8, 0, 0, 2, 9, 9, 0, 0, 0), &status));
	assert_true(certificate_status_next(&status.list, &response));
	assert_int_equal(response.len, 2);
	assert_true(certificate_status_next(&status.list, &response));
	assert_int_equal(response.len, 0);
	assert_false(certificate_status_next(&status.list, &response));
	assert_false(certificate_status_parse(RAW(2, 0, 0, 0), &status));
	assert_false(certificate_status_parse(RAW(2, 0, 0, 4, 0, 0, 2, 9), &status));
}

static void the_header_of_a_compressed_certificate_is_read(void **state)
{
	(void)state;
	struct compressed_certificate packed;
	assert_true(compressed_certificate_parse(RAW(0, 2, 1, 0, 0, 0, 0, 2, 7, 8), &packed));
	assert_true(packed.algorithm == 2 && packed.length == 65536 && bytes_equal(packed.packed, RAW(7, 8)));
	assert_false(compressed_certificate_parse(RAW(0, 2, 1, 0, 0, 0, 0, 0), &packed));
	assert_false(compressed_certificate_parse(RAW(0, 2, 1, 0, 0, 0, 0, 2, 7), &packed));
	assert_false(compressed_certificate_parse(RAW(0, 2, 1, 0, 0, 0, 0, 1, 7, 8), &packed));
}

static void signatures_have_a_scheme_since_tls12(void **state)
{
	(void)state;
	struct certificate_verify verify;
	assert_true(certificate_verify_parse(RAW(4, 3, 0, 2, 5, 6), 0x0304, &verify));
	assert_true(verify.scheme == 0x0403 && bytes_equal(verify.signature, RAW(5, 6)));
	assert_true(certificate_verify_parse(RAW(4, 3, 0, 2, 5, 6), 0x0303, &verify));
	assert_true(certificate_verify_parse(RAW(0, 2, 5, 6), 0x0302, &verify));
	assert_true(verify.scheme == 0 && verify.signature.len == 2);
	assert_false(certificate_verify_parse(RAW(4, 3, 0, 0), 0x0304, &verify));
	assert_false(certificate_verify_parse(RAW(4, 3, 0, 2, 5), 0x0304, &verify));
	assert_false(certificate_verify_parse(RAW(4, 3, 0, 1, 5, 6), 0x0304, &verify));
	assert_false(certificate_verify_parse(RAW(4), 0x0304, &verify));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_response_is_read),
		cmocka_unit_test(several_responses_are_read),
		cmocka_unit_test(the_header_of_a_compressed_certificate_is_read),
		cmocka_unit_test(signatures_have_a_scheme_since_tls12),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
