#include "proxy/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

static void authorities_are_read_strictly(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum target_result result;
		const char *printed;
	} cases[] = {
		{"example.com:443", TARGET_OK, "example.com:443"},
		{"EXAMPLE.com.:443", TARGET_OK, "example.com:443"},
		{"_dmarc.a_b.example:1", TARGET_OK, "_dmarc.a_b.example:1"},
		{"xn--bcher-kva.example:65535", TARGET_OK, "xn--bcher-kva.example:65535"},
		{"localhost:80", TARGET_OK, "localhost:80"},
		{"r3---sn-x.example:443", TARGET_OK, "r3---sn-x.example:443"},
		{"127.0.0.1:443", TARGET_OK, "127.0.0.1:443"},
		{"127.0.0.1.:443", TARGET_OK, "127.0.0.1:443"},
		{"[::1]:443", TARGET_OK, "[::1]:443"},
		{"[2001:DB8:0:0::1]:8443", TARGET_OK, "[2001:db8::1]:8443"},
		{"[::ffff:127.0.0.1]:443", TARGET_OK, "127.0.0.1:443"},
		{L63 ".example:1", TARGET_OK, L63 ".example:1"},
		{"1e100.net:443", TARGET_OK, "1e100.net:443"},
		{"127.0.0.1.example:443", TARGET_OK, "127.0.0.1.example:443"},
		{"", TARGET_NO_HOST, NULL},
		{":443", TARGET_NO_HOST, NULL},
		{".:443", TARGET_NO_HOST, NULL},
		{"example.com", TARGET_NO_PORT, NULL},
		{"[::1]", TARGET_NO_PORT, NULL},
		{"example.com:", TARGET_BAD_PORT, NULL},
		{"example.com:0", TARGET_BAD_PORT, NULL},
		{"example.com:65536", TARGET_BAD_PORT, NULL},
		{"example.com:000443", TARGET_BAD_PORT, NULL},
		{"example.com:+443", TARGET_BAD_PORT, NULL},
		{"example.com:443 ", TARGET_BAD_PORT, NULL},
		{"example.com:44x", TARGET_BAD_PORT, NULL},
		{"[::1]443", TARGET_BAD_PORT, NULL},
		{"[::1]x:443", TARGET_BAD_PORT, NULL},
		{"user@example.com:443", TARGET_USERINFO, NULL},
		{"user:pass@example.com:443", TARGET_USERINFO, NULL},
		{"::1:443", TARGET_BAD_ADDRESS, NULL},
		{"[::1:443", TARGET_BAD_ADDRESS, NULL},
		{"[]:443", TARGET_BAD_ADDRESS, NULL},
		{"[127.0.0.1]:443", TARGET_BAD_ADDRESS, NULL},
		{"[fe80::1%eth0]:443", TARGET_BAD_ADDRESS, NULL},
		{"[example.com]:443", TARGET_BAD_ADDRESS, NULL},
		{"0x7f.1:443", TARGET_BAD_ADDRESS, NULL},
		{"0x7f000001:443", TARGET_BAD_ADDRESS, NULL},
		{"0X:443", TARGET_BAD_ADDRESS, NULL},
		{"2130706433:443", TARGET_BAD_ADDRESS, NULL},
		{"1.2.3:443", TARGET_BAD_ADDRESS, NULL},
		{"010.0.0.1:443", TARGET_BAD_ADDRESS, NULL},
		{"127.0.0.01:443", TARGET_BAD_ADDRESS, NULL},
		{"256.0.0.1:443", TARGET_BAD_ADDRESS, NULL},
		{"1.2.3.4.5:443", TARGET_BAD_ADDRESS, NULL},
		{"example.0x1f:443", TARGET_BAD_ADDRESS, NULL},
		{"a..b:443", TARGET_BAD_NAME, NULL},
		{".a:443", TARGET_BAD_NAME, NULL},
		{"a..:443", TARGET_BAD_NAME, NULL},
		{"-a.example:443", TARGET_BAD_NAME, NULL},
		{"a-.example:443", TARGET_BAD_NAME, NULL},
		{"a b:443", TARGET_BAD_NAME, NULL},
		{"a%00b:443", TARGET_BAD_NAME, NULL},
		{"*.example:443", TARGET_BAD_NAME, NULL},
		{"b\xc3\xbc"
		 "cher.example:443",
			TARGET_BAD_NAME, NULL},
		{"http://a:443", TARGET_BAD_ADDRESS, NULL},
		{"a/b:443", TARGET_BAD_NAME, NULL},
		{L63 "h.example:1", TARGET_TOO_LONG, NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct target target = {.port = 7};
		enum target_result result = target_parse(bytes_str(cases[i].text), 0, &target);
		if (result != cases[i].result)
			print_error("\"%s\" %s\n", cases[i].text, target_result_text(result));
		assert_int_equal(result, cases[i].result);
		char text[TARGET_TEXT_MAX];
		if (cases[i].printed) {
			assert_int_equal(target_print(&target, text), strlen(cases[i].printed));
			assert_string_equal(text, cases[i].printed);
		} else {
			assert_int_equal(target.port, 7);
		}
	}
}

static void a_nul_inside_is_no_end(void **state)
{
	(void)state;
	struct target target;
	static const char name[] = "good.example\0.evil.example:443";
	static const char address[] = "[::1\0]:443";
	assert_int_equal(target_parse(bytes_of(name, sizeof(name) - 1), 0, &target), TARGET_BAD_NAME);
	assert_int_equal(target_parse(bytes_of(address, sizeof(address) - 1), 0, &target), TARGET_BAD_ADDRESS);
	assert_int_equal(target_from_host(bytes_of("1.2.3.4\0", 8), 1, &target), TARGET_BAD_NAME);
}

static void names_of_253_octets_are_the_longest(void **state)
{
	(void)state;
	char name[300];
	struct target target;
	char text[TARGET_TEXT_MAX];
	snprintf(name, sizeof(name), "%s.%s.%s.%.61s", L63, L63, L63, L63);
	assert_int_equal(strlen(name), 253);
	assert_int_equal(target_from_host(bytes_str(name), 65535, &target), TARGET_OK);
	assert_int_equal(target_print(&target, text), 253 + 6);
	snprintf(name, sizeof(name), "%s.%s.%s.%.61s.", L63, L63, L63, L63);
	assert_int_equal(target_from_host(bytes_str(name), 65535, &target), TARGET_OK);
	snprintf(name, sizeof(name), "%s.%s.%s.%.62s", L63, L63, L63, L63);
	assert_int_equal(target_from_host(bytes_str(name), 65535, &target), TARGET_TOO_LONG);
}

static void a_missing_port_is_the_default(void **state)
{
	(void)state;
	struct target target;
	assert_int_equal(target_parse(bytes_str("example.com"), 80, &target), TARGET_OK);
	assert_int_equal(target.port, 80);
	assert_int_equal(target_parse(bytes_str("[::1]"), 80, &target), TARGET_OK);
	assert_true(target.is_ip && !hostport_is_v4(&target.address) && target.address.port == 80);
	assert_int_equal(target_parse(bytes_str("example.com:"), 80, &target), TARGET_BAD_PORT);
	assert_int_equal(target_from_host(bytes_str("::1"), 53, &target), TARGET_OK);
	assert_true(target.is_ip);
	assert_int_equal(target_from_host(bytes_str("a:53"), 53, &target), TARGET_BAD_ADDRESS);
	assert_int_equal(target_from_host(bytes_str("a"), 0, &target), TARGET_BAD_PORT);
}

static void addresses_become_targets_and_keep_their_port(void **state)
{
	(void)state;
	static const struct {
		const char *text, *printed;
	} cases[] = {
		{"192.0.2.7", "192.0.2.7:4711"},
		{"2001:DB8::7", "[2001:db8::7]:4711"},
		{"::ffff:192.0.2.7", "192.0.2.7:4711"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hostport address;
		char text[TARGET_TEXT_MAX];
		assert_true(target_ip_read(bytes_str(cases[i].text), &address));
		address.port = 4711;
		struct target target = target_from_address(&address);
		assert_true(target.is_ip);
		assert_int_equal(target.port, 4711);
		target_print(&target, text);
		assert_string_equal(text, cases[i].printed);
	}
}

static void text_around_an_address_is_no_address(void **state)
{
	(void)state;
	static const char *const texts[] = {"", " 1.2.3.4", "1.2.3.4 ", "1.2.3", "01.2.3.4", "1.2.3.4:5", "[::1]",
		"::1%lo", "1:2:3:4:5:6:7:8:9", "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct hostport address = {.port = 9};
		assert_false(target_ip_read(bytes_str(texts[i]), &address));
		assert_int_equal(address.port, 9);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(authorities_are_read_strictly),
		cmocka_unit_test(a_nul_inside_is_no_end),
		cmocka_unit_test(names_of_253_octets_are_the_longest),
		cmocka_unit_test(a_missing_port_is_the_default),
		cmocka_unit_test(addresses_become_targets_and_keep_their_port),
		cmocka_unit_test(text_around_an_address_is_no_address),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
