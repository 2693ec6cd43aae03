#include "pki/der.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define OCTETS(...) bytes_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void lengths_are_minimal_both_ways(void **state)
{
	(void)state;
	static const size_t lengths[] = {0, 1, 127, 128, 255, 256, 65535, 65536, 100000};
	uint8_t *content = calloc(1, 100000);
	uint8_t *buffer = malloc(100100);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct writer w = writer_over(buffer, 100100);
		size_t mark = der_open(&w, DER_SEQUENCE);
		der_put(&w, DER_OCTET_STRING, bytes_of(content, lengths[i]));
		der_close(&w, mark);
		struct bytes out;
		struct bytes inner;
		struct bytes value;
		assert_true(writer_done(&w, &out));
		assert_true(der_take(&out, DER_SEQUENCE, &inner));
		assert_int_equal(out.len, 0);
		assert_true(der_take(&inner, DER_OCTET_STRING, &value));
		assert_int_equal(inner.len, 0);
		assert_int_equal(value.len, lengths[i]);
	}
	free(buffer);
	free(content);
}

static void what_is_not_der_is_refused_and_moves_nothing(void **state)
{
	(void)state;
	const struct bytes faulty[] = {
		OCTETS(0x30), OCTETS(0x30, 0x01), OCTETS(0x30, 0x80, 0x00, 0x00), /* indefinite */
		OCTETS(0x30, 0x81, 0x01, 0x00),                                   /* longer than needed */
		OCTETS(0x30, 0x82, 0x00, 0x80, 0x00), OCTETS(0x30, 0x84, 0x00, 0x00, 0x00, 0x00),
		OCTETS(0x3f, 0x81, 0x00, 0x00), /* tag of several octets */
	};
	for (size_t i = 0; i < sizeof(faulty) / sizeof(faulty[0]); i++) {
		struct bytes in = faulty[i];
		uint8_t tag = 7;
		struct bytes content = BYTES_NONE;
		assert_false(der_any(&in, &tag, &content));
		assert_int_equal(in.len, faulty[i].len);
		assert_int_equal(tag, 7);
	}
	struct bytes other = OCTETS(0x04, 0x00);
	struct bytes content;
	assert_false(der_take(&other, DER_SEQUENCE, &content));
	assert_int_equal(other.len, 2);
	assert_true(der_skip_optional(&other, DER_BOOLEAN));
	assert_int_equal(other.len, 2);
	assert_true(der_skip_optional(&other, DER_OCTET_STRING));
	assert_int_equal(other.len, 0);
	assert_true(der_skip_optional(&other, DER_OCTET_STRING));
}

static void numbers_are_positive_and_short(void **state)
{
	(void)state;
	const struct {
		struct bytes in, out;
	} cases[] = {
		{OCTETS(0x00), OCTETS(0x02, 0x01, 0x00)},
		{OCTETS(0x00, 0x00, 0x7f), OCTETS(0x02, 0x01, 0x7f)},
		{OCTETS(0x80), OCTETS(0x02, 0x02, 0x00, 0x80)},
		{OCTETS(0x01, 0x00), OCTETS(0x02, 0x02, 0x01, 0x00)},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t buffer[16];
		struct writer w = writer_over(buffer, sizeof(buffer));
		struct bytes out;
		der_put_unsigned(&w, cases[i].in);
		assert_true(writer_done(&w, &out));
		assert_true(bytes_equal(out, cases[i].out));
	}
}

static void times_come_back_as_they_were_written(void **state)
{
	(void)state;
	static const struct {
		int64_t at_s;
		const char *text;
		uint8_t tag;
	} cases[] = {
		{0, "700101000000Z", DER_UTC_TIME},
		{-631152000, "500101000000Z", DER_UTC_TIME},
		{2524607999, "491231235959Z", DER_UTC_TIME},
		{2524608000, "20500101000000Z", DER_GENERALIZED_TIME},
		{1709164800, "240229000000Z", DER_UTC_TIME},
		{253402300799, "99991231235959Z", DER_GENERALIZED_TIME},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t buffer[32];
		struct writer w = writer_over(buffer, sizeof(buffer));
		struct bytes out;
		der_put_time(&w, cases[i].at_s);
		assert_true(writer_done(&w, &out));
		struct bytes text = out;
		struct bytes content;
		assert_true(der_take(&text, cases[i].tag, &content));
		assert_true(bytes_equal(content, bytes_str(cases[i].text)));
		int64_t back;
		assert_true(der_take_time(&out, &back));
		assert_int_equal(back, cases[i].at_s);
	}
	uint8_t buffer[32];
	struct writer w = writer_over(buffer, sizeof(buffer));
	struct bytes out;
	der_put_time(&w, 253402300800);
	assert_false(writer_done(&w, &out));
}

static void a_date_that_never_was_is_refused(void **state)
{
	(void)state;
	static const char *const faulty[] = {"260231000000Z", "261301000000Z", "260100000000Z", "260101240000Z",
		"260101006000Z", "2601010000Z", "260101000000+0100", "260101000000", "26010100000aZ", "260101000000ZZ"};
	for (size_t i = 0; i < sizeof(faulty) / sizeof(faulty[0]); i++) {
		uint8_t buffer[32];
		struct writer w = writer_over(buffer, sizeof(buffer));
		der_put(&w, DER_UTC_TIME, bytes_str(faulty[i]));
		struct bytes out;
		int64_t at;
		assert_true(writer_done(&w, &out));
		if (der_take_time(&out, &at))
			fail_msg("%s", faulty[i]);
	}
}

static void a_full_buffer_is_told_and_never_overrun(void **state)
{
	(void)state;
	uint8_t content[300] = {0};
	for (size_t cap = 0; cap < 310; cap++) {
		uint8_t *buffer = malloc(cap ? cap : 1);
		struct writer w = writer_over(buffer, cap);
		size_t outer = der_open(&w, DER_SEQUENCE);
		der_put(&w, DER_OCTET_STRING, bytes_of(content, sizeof(content)));
		der_close(&w, outer);
		struct bytes out;
		assert_int_equal(writer_done(&w, &out), cap >= 308);
		free(buffer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths_are_minimal_both_ways),
		cmocka_unit_test(what_is_not_der_is_refused_and_moves_nothing),
		cmocka_unit_test(numbers_are_positive_and_short),
		cmocka_unit_test(times_come_back_as_they_were_written),
		cmocka_unit_test(a_date_that_never_was_is_refused),
		cmocka_unit_test(a_full_buffer_is_told_and_never_overrun),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
