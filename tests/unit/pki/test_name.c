#include "base/error.h"
#include "pki/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void names_have_one_canonical_form(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		enum name_result result;
		const char *text;
	} cases[] = {
		{"example.com", NAME_OK, "example.com"},
		{"EXAMPLE.com.", NAME_OK, "example.com"},
		{"localhost", NAME_OK, "localhost"},
		{"_dmarc.example.com", NAME_OK, "_dmarc.example.com"},
		{"xn--bcher-kva.example", NAME_OK, "xn--bcher-kva.example"},
		{"192.0.2.1", NAME_OK, "192.0.2.1"},
		{"2001:DB8::0:1", NAME_OK, "2001:db8::1"},
		{"[2001:db8::1]", NAME_OK, "2001:db8::1"},
		{"", NAME_EMPTY, NULL},
		{".", NAME_EMPTY, NULL},
		{"a..b", NAME_BAD_LABEL, NULL},
		{".a", NAME_BAD_LABEL, NULL},
		{"a..", NAME_BAD_LABEL, NULL},
		{"-a.example", NAME_BAD_LABEL, NULL},
		{"a-.example", NAME_BAD_LABEL, NULL},
		{"a b.example", NAME_BAD_CHARACTER, NULL},
		{"*.example.com", NAME_BAD_CHARACTER, NULL},
		{"b\xc3\xbc"
		 "cher.example",
			NAME_BAD_CHARACTER, NULL},
		{"192.0.2.256", NAME_BAD_ADDRESS, NULL},
		{"1.2.3", NAME_BAD_ADDRESS, NULL},
		{"example.123", NAME_BAD_ADDRESS, NULL},
		{"[192.0.2.1]", NAME_BAD_ADDRESS, NULL},
		{"[", NAME_BAD_ADDRESS, NULL},
		{"a:b", NAME_BAD_ADDRESS, NULL},
		{"fe80::1%eth0", NAME_BAD_ADDRESS, NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct subject_name name = {.text = "before"};
		enum name_result result = subject_name_parse(bytes_str(cases[i].in), &name);
		if (result != cases[i].result)
			fail_msg("\"%s\": %s", cases[i].in, name_result_text(result));
		assert_string_equal(name.text, cases[i].text ? cases[i].text : "before");
	}
}

static void a_nul_byte_is_no_part_of_a_name(void **state)
{
	(void)state;
	struct subject_name name;
	assert_int_equal(subject_name_parse(bytes_of("a.com\0.b", 8), &name), NAME_BAD_CHARACTER);
	assert_int_equal(subject_name_parse(bytes_of("10.0.0.1\0", 9), &name), NAME_BAD_CHARACTER);
	assert_false(dns_pattern_valid(bytes_of("a.com\0.b", 8)));
}

static void limits_of_length_hold(void **state)
{
	(void)state;
	char text[260];
	struct subject_name name;
	memset(text, 'a', sizeof(text));
	assert_int_equal(subject_name_parse(bytes_of(text, 63), &name), NAME_OK);
	assert_int_equal(subject_name_parse(bytes_of(text, 64), &name), NAME_TOO_LONG);
	for (size_t i = 50; i < sizeof(text); i += 50)
		text[i] = '.';
	assert_int_equal(subject_name_parse(bytes_of(text, 253), &name), NAME_OK);
	assert_int_equal(strlen(name.text), 253);
	assert_int_equal(subject_name_parse(bytes_of(text, 254), &name), NAME_TOO_LONG);
}

static void a_wildcard_stands_for_one_whole_label(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *host;
		bool matches;
	} cases[] = {
		{"example.com", "example.com", true},
		{"EXAMPLE.com", "example.com", true},
		{"*.example.com", "www.example.com", true},
		{"*.example.com", "example.com", false},
		{"*.example.com", "a.b.example.com", false},
		{"*.com", "example.com", false},
		{"*", "localhost", false},
		{"w*.example.com", "www.example.com", false},
		{"www.*.com", "www.example.com", false},
		{"192.0.2.1", "192.0.2.1", false},
		{"example.com.", "example.com", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct subject_name host;
		assert_int_equal(subject_name_parse(bytes_str(cases[i].host), &host), NAME_OK);
		if (dns_pattern_matches(bytes_str(cases[i].pattern), &host) != cases[i].matches)
			fail_msg("%s, %s", cases[i].pattern, cases[i].host);
	}
}

static void ranges_read_print_and_hold(void **state)
{
	(void)state;
	static const struct {
		const char *in, *printed, *inside, *outside;
	} cases[] = {
		{"example.com", "example.com", "www.example.com", "badexample.com"},
		{".Example.com", "example.com", "example.com", "com"},
		{"*.example.com", "example.com", "*.example.com", "*.com"},
		{"10.1.2.3/8", "10.0.0.0/8", "10.255.0.1", "11.0.0.1"},
		{"192.0.2.0/25", "192.0.2.0/25", "192.0.2.127", "192.0.2.128"},
		{"192.0.2.7", "192.0.2.7", "192.0.2.7", "192.0.2.8"},
		{"0.0.0.0/0", "0.0.0.0/0", "255.255.255.255", "::1"},
		{"fd00::/8", "fd00::/8", "fdff::1", "fe00::1"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct name_range range;
		struct error err;
		char printed[300];
		assert_true(name_range_parse(bytes_str(cases[i].in), &range, &err));
		name_range_print(&range, printed, sizeof(printed));
		assert_string_equal(printed, cases[i].printed);
		const char *both[] = {cases[i].inside, cases[i].outside};
		for (int j = 0; j < 2; j++) {
			struct subject_name name;
			bool ip = subject_name_parse(bytes_str(both[j]), &name) == NAME_OK && name.is_ip;
			bool held = ip ? name_range_holds_ip(&range, bytes_of(name.ip, name.ip_len))
			               : name_range_holds_dns(&range, bytes_str(both[j]));
			if (held != (j == 0))
				fail_msg("%s, %s", cases[i].in, both[j]);
		}
	}
}

static void a_faulty_range_is_named(void **state)
{
	(void)state;
	static const char *const faulty[] = {
		"10.0.0.0/33", "10.0.0.0/", "fd00::/129", "a b", "exa$mple.com", "/8", "*", "."};
	for (size_t i = 0; i < sizeof(faulty) / sizeof(faulty[0]); i++) {
		struct name_range range;
		struct error err = {{0}};
		assert_false(name_range_parse(bytes_str(faulty[i]), &range, &err));
		assert_non_null(strstr(err.text, faulty[i]));
	}
	struct name_ranges ranges = {.count = 0};
	struct error err;
	assert_true(name_ranges_parse(bytes_str("a.example, b.example 10.0.0.0/8,"), &ranges, &err));
	assert_int_equal(ranges.count, 3);
	assert_false(name_ranges_parse(bytes_str(" , "), &ranges, &err));
	char many[NAME_RANGES_MAX * 4 + 8];
	for (size_t i = 0; i < NAME_RANGES_MAX + 1; i++)
		memcpy(many + i * 4, "a.b,", 4);
	ranges.count = 0;
	assert_false(name_ranges_parse(bytes_of(many, (NAME_RANGES_MAX + 1) * 4), &ranges, &err));
	assert_non_null(strstr(err.text, "more than 64"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_have_one_canonical_form),
		cmocka_unit_test(a_nul_byte_is_no_part_of_a_name),
		cmocka_unit_test(limits_of_length_hold),
		cmocka_unit_test(a_wildcard_stands_for_one_whole_label),
		cmocka_unit_test(ranges_read_print_and_hold),
		cmocka_unit_test(a_faulty_range_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
