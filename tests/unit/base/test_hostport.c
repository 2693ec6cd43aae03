#include "base/hostport.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void both_families_go_to_sockaddr_and_back(void **state)
{
	(void)state;
	static const char *const texts[] = {"192.0.2.7", "2001:db8::7", "::1", "127.0.0.1"};
	for (size_t i = 0; i < 4; i++) {
		struct hostport address, again;
		struct sockaddr_storage sa;
		char text[HOSTPORT_TEXT];
		assert_true(hostport_parse_ip(&address, texts[i]));
		address.port = 443;
		socklen_t len = hostport_to_sockaddr(&address, &sa);
		assert_int_equal(sa.ss_family, hostport_is_v4(&address) ? AF_INET : AF_INET6);
		assert_true(hostport_from_sockaddr(&again, (struct sockaddr *)&sa, len));
		assert_true(hostport_same_ip(&address, &again));
		assert_int_equal(again.port, 443);
		assert_string_equal(hostport_ip_text(&again, text), texts[i]);
	}
}

static void ipv6_stands_in_brackets_beside_a_port(void **state)
{
	(void)state;
	struct hostport address;
	char text[HOSTPORT_TEXT];
	assert_true(hostport_parse_ip(&address, "2001:db8::1"));
	address.port = 8443;
	assert_string_equal(hostport_text(&address, text), "[2001:db8::1]:8443");
	assert_true(hostport_parse_ip(&address, "192.0.2.1"));
	address.port = 80;
	assert_string_equal(hostport_text(&address, text), "192.0.2.1:80");
}

static void only_addresses_are_read(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", "example.com", "192.0.2", "192.0.2.1:80", "[::1]", "192.0.2.256", "0x7f.1", "1"};
	struct hostport address;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(hostport_parse_ip(&address, bad[i]));
	struct sockaddr unix_socket = {.sa_family = AF_UNIX};
	assert_false(hostport_from_sockaddr(&address, &unix_socket, sizeof(unix_socket)));
	assert_true(hostport_is_none(&address));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_families_go_to_sockaddr_and_back),
		cmocka_unit_test(ipv6_stands_in_brackets_beside_a_port),
		cmocka_unit_test(only_addresses_are_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
