#include "support.h"
#include "tls/sni.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void host_names_are_taken(void **state)
{
	(void)state;
	assert_int_equal(sni_judge(bytes_str("example.com")), SNI_OK);
	assert_int_equal(sni_judge(bytes_str("localhost")), SNI_OK);
	assert_int_equal(sni_judge(bytes_str("XN--Mnchen-3ya.De")), SNI_OK);
	assert_int_equal(sni_judge(bytes_str("_dmarc.a-b.example")), SNI_OK);
	assert_int_equal(sni_judge(bytes_str("1.2.3.4.in-addr.arpa")), SNI_OK);
	assert_int_equal(sni_judge(bytes_str("4chan.org")), SNI_OK);
	assert_int_equal(sni_judge(bytes_str("1.example.a1")), SNI_OK);
}

static void addresses_are_told_from_names(void **state)
{
	(void)state;
	assert_int_equal(sni_judge(bytes_str("192.0.2.1")), SNI_ADDRESS);
	assert_int_equal(sni_judge(bytes_str("3221225985")), SNI_ADDRESS);
	assert_int_equal(sni_judge(bytes_str("a.b.7")), SNI_ADDRESS);
	assert_int_equal(sni_judge(bytes_str("2001:db8::1")), SNI_ADDRESS);
	assert_int_equal(sni_judge(bytes_str("::ffff:192.0.2.1")), SNI_ADDRESS);
}

static void octets_that_no_host_name_has_are_flagged(void **state)
{
	(void)state;
	assert_int_equal(sni_judge(bytes_of("good.example\0.evil.example", 26)), SNI_BAD_OCTET);
	assert_int_equal(sni_judge(bytes_str("*.example.com")), SNI_BAD_OCTET);
	assert_int_equal(sni_judge(bytes_str("a b.example")), SNI_BAD_OCTET);
	assert_int_equal(sni_judge(bytes_str("m\xc3\xbcnchen.de")), SNI_BAD_OCTET);
	assert_int_equal(sni_judge(bytes_str("host:443")), SNI_BAD_OCTET);
	assert_int_equal(sni_judge(bytes_str("[::1]")), SNI_BAD_OCTET);
	assert_int_equal(sni_judge(bytes_str("a/b")), SNI_BAD_OCTET);
	assert_int_equal(sni_judge(bytes_str("a\nb")), SNI_BAD_OCTET);
}

static void labels_and_length_are_checked(void **state)
{
	(void)state;
	char label[80], name[300];
	memset(label, 'a', sizeof(label));
	assert_int_equal(sni_judge(bytes_of(label, 63)), SNI_OK);
	assert_int_equal(sni_judge(bytes_of(label, 64)), SNI_BAD_LABEL);
	assert_int_equal(sni_judge(bytes_str("a..b")), SNI_BAD_LABEL);
	assert_int_equal(sni_judge(bytes_str(".a")), SNI_BAD_LABEL);
	assert_int_equal(sni_judge(bytes_str(".")), SNI_BAD_LABEL);
	assert_int_equal(sni_judge(bytes_str("a.example.")), SNI_TRAILING_DOT);
	assert_int_equal(sni_judge(bytes_str("a.example..")), SNI_BAD_LABEL);
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 2 ? '.' : 'a';
	assert_int_equal(sni_judge(bytes_of(name, 253)), SNI_OK);
	assert_int_equal(sni_judge(bytes_of(name, 254)), SNI_TRAILING_DOT);
	assert_int_equal(sni_judge(bytes_of(name, 255)), SNI_BAD_LABEL);
	/* One octet too many without a final dot: "aa.a.a". */
	name[1] = 'a';
	for (size_t i = 2; i < sizeof(name); i++)
		name[i] = i % 2 ? 'a' : '.';
	assert_int_equal(sni_judge(bytes_of(name, 254)), SNI_BAD_LABEL);
	assert_int_equal(sni_judge(BYTES_NONE), SNI_EMPTY);
}

static void exactly_one_host_name_is_read(void **state)
{
	(void)state;
	struct bytes name;
	assert_int_equal(sni_parse(RAW(0, 6, 0, 0, 3, 'a', '.', 'b'), &name), SNI_OK);
	assert_true(bytes_equal(name, bytes_str("a.b")));
	assert_int_equal(sni_parse(BYTES_NONE, &name), SNI_EMPTY);
	assert_int_equal(name.len, 0);
	assert_int_equal(sni_parse(RAW(0, 0), &name), SNI_MALFORMED);
	assert_int_equal(sni_parse(RAW(0, 3, 0, 0, 0), &name), SNI_MALFORMED);
	assert_int_equal(sni_parse(RAW(0, 4, 1, 0, 1, 'a'), &name), SNI_MALFORMED);
	assert_int_equal(sni_parse(RAW(0, 4, 0, 0, 2, 'a'), &name), SNI_MALFORMED);
	assert_int_equal(sni_parse(RAW(0, 4, 0, 0, 1, 'a', 0), &name), SNI_MALFORMED);
	assert_int_equal(sni_parse(RAW(0, 8, 0, 0, 1, 'a', 0, 0, 1, 'b'), &name), SNI_MALFORMED);
	assert_int_equal(name.len, 0);
	assert_int_equal(sni_parse(RAW(0, 5, 0, 0, 2, 'a', 0), &name), SNI_BAD_OCTET);
	assert_int_equal(name.len, 2);
}

static void every_judgement_has_words(void **state)
{
	(void)state;
	for (enum hello_sni sni = SNI_ABSENT; sni <= SNI_ADDRESS; sni++)
		assert_string_not_equal(hello_sni_text(sni), "unknown result");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_names_are_taken),
		cmocka_unit_test(addresses_are_told_from_names),
		cmocka_unit_test(octets_that_no_host_name_has_are_flagged),
		cmocka_unit_test(labels_and_length_are_checked),
		cmocka_unit_test(exactly_one_host_name_is_read),
		cmocka_unit_test(every_judgement_has_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
