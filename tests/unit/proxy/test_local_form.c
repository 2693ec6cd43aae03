#include "proxy/local_form.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PAGE "overt.internal"

static void values_are_decoded(void **state)
{
	(void)state;
	static const struct {
		const char *body, *value; /* value NULL: there is none */
	} cases[] = {
		{"what=site.test", "site.test"},
		{"token=x&what=site.test&do=refuse", "site.test"},
		{"what=+a%2eb+", "a.b"},
		{"what=", ""},
		{"what=%3Cb%3e", "<b>"},
		{"what=a=b", "a=b"},
		{"", NULL},
		{"whatever=x", NULL},
		{"WHAT=x", NULL},
		{"what=a&what=b", NULL},
		{"what=%", NULL},
		{"what=%4", NULL},
		{"what=%zz", NULL},
		{"what=a%00b", NULL},
		{"what=0123456789abcdef", NULL},
		{"what=0123456789abcde", "0123456789abcde"},
		{"&&what=x&&", "x"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[16];
		bool found = form_value(bytes_str(cases[i].body), "what", out, sizeof(out));
		assert_int_equal(found, cases[i].value != NULL);
		if (found)
			assert_string_equal(out, cases[i].value);
	}
}

static struct intake_http request(const char *line, const char *host, const char *fields, char *room, size_t cap)
{
	struct intake_http http = {0};
	snprintf(room, cap, "%s HTTP/1.1\r\nHost: %s\r\n%s\r\n", line, host, fields);
	enum intake_http_result result = intake_http_read(&http, bytes_str(room), bytes_str("overt-local"));
	assert_true(result == INTAKE_HTTP_ORIGIN || result == INTAKE_HTTP_ABSOLUTE);
	return http;
}

static void only_our_own_addresses_are_meant_for_us(void **state)
{
	(void)state;
	static const struct {
		const char *host;
		bool ours;
	} cases[] = {
		{"127.0.0.1:8088", true},
		{"localhost:8088", true},
		{"LOCALHOST:8088", true},
		{"[::1]:8088", true},
		{"127.1.2.3:8088", true},
		{"127.0.0.1", false},
		{"127.0.0.1:80", false},
		{"evil.test:8088", false},
		{"localhost.evil.test:8088", false},
		{PAGE ":8088", false},
		{PAGE, false},
		{"[::2]:8088", false},
		{"192.0.2.1:8088", false},
		{"0.0.0.0:8088", false},
	};
	char room[512];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct intake_http http = request("GET /", cases[i].host, "", room, sizeof(room));
		assert_int_equal(form_meant_for_us(&http, PAGE, 8088), cases[i].ours);
	}
}

static void through_the_proxy_the_target_counts(void **state)
{
	(void)state;
	char room[512];
	static const struct {
		const char *host;
		bool ours;
	} cases[] = {{PAGE, true}, {PAGE ":80", true}, {PAGE ":8088", false}, {"127.0.0.1:8088", false},
		{"evil.test", false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char line[64];
		snprintf(line, sizeof(line), "GET http://%s/", cases[i].host);
		struct intake_http http = request(line, "localhost:8088", "", room, sizeof(room));
		assert_int_equal(form_meant_for_us(&http, PAGE, 8088), cases[i].ours);
	}
}

static void another_sites_page_is_told_from_ours(void **state)
{
	(void)state;
	static const struct {
		const char *fields;
		bool direct, through; /* right at the address itself, through the proxy */
	} cases[] = {
		{"", true, true},
		{"Origin: http://127.0.0.1:8088\r\n", true, false},
		{"Origin: http://" PAGE "\r\n", false, true},
		{"Origin: http://localhost:8088\r\n", false, false},
		{"Origin: https://127.0.0.1:8088\r\n", false, false},
		{"Origin: http://127.0.0.1\r\n", false, false},
		{"Origin: null\r\n", false, false},
		{"Origin: http://evil.test\r\n", false, false},
		{"Sec-Fetch-Site: same-origin\r\n", true, true},
		{"Sec-Fetch-Site: same-site\r\n", false, false},
		{"Sec-Fetch-Site: cross-site\r\n", false, false},
		{"Sec-Fetch-Site: none\r\n", false, false},
	};
	char room[512];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct intake_http http =
			request("POST /decide", "127.0.0.1:8088", cases[i].fields, room, sizeof(room));
		assert_int_equal(form_same_origin(&http, PAGE), cases[i].direct);
		http = request("POST http://" PAGE "/decide", PAGE, cases[i].fields, room, sizeof(room));
		assert_int_equal(form_same_origin(&http, PAGE), cases[i].through);
	}
}

static void at_port_80_the_origin_has_none(void **state)
{
	(void)state;
	char room[512];
	struct intake_http http =
		request("POST /decide", "127.0.0.1:80", "Origin: http://127.0.0.1\r\n", room, sizeof(room));
	assert_true(form_same_origin(&http, PAGE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_decoded),
		cmocka_unit_test(only_our_own_addresses_are_meant_for_us),
		cmocka_unit_test(through_the_proxy_the_target_counts),
		cmocka_unit_test(another_sites_page_is_told_from_ours),
		cmocka_unit_test(at_port_80_the_origin_has_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
