#include "decode/http1_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct http1_head head;

static bool is(struct bytes b, const char *text)
{
	return bytes_equal(b, bytes_str(text));
}

static void request_line_and_headers_are_views_of_the_input(void **state)
{
	(void)state;
	struct bytes in = bytes_str("GET /a?b HTTP/1.1\r\nHost: example.com\r\nX-Empty:\r\nX-Pad: \t v \t\r\n\r\n");
	assert_null(http1_head_request(in, 100, &head));
	assert_true(is(head.method, "GET") && is(head.target, "/a?b"));
	assert_int_equal(head.version, MESSAGE_HTTP_1_1);
	assert_int_equal(head.header_count, 3);
	assert_true(is(head.headers[0].name, "Host") && is(head.headers[0].value, "example.com"));
	assert_true(is(head.headers[1].name, "X-Empty") && is(head.headers[1].value, ""));
	assert_true(is(head.headers[2].name, "X-Pad") && is(head.headers[2].value, "v"));
	assert_ptr_equal(head.method.data, in.data);
	assert_int_equal(head.framing, HTTP1_LENGTH);
	assert_int_equal(head.length, 0);
}

static void any_token_is_a_method(void **state)
{
	(void)state;
	const char *const methods[] = {
		"GET", "POST", "QUERY", "VERSION-CONTROL", "PRI", "M-SEARCH", "get", "X!#$%&'*+-.^_`|~9"};
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		char text[128];
		(void)snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nContent-Length: 7\r\n\r\n", methods[i]);
		assert_null(http1_head_request(bytes_str(text), 100, &head));
		assert_true(is(head.method, methods[i]));
		assert_int_equal(head.length, 7);
	}
}

static void status_line_may_lack_its_reason(void **state)
{
	(void)state;
	assert_null(http1_head_response(bytes_str("HTTP/1.0 404 Not  Found\r\nA: b\r\n\r\n"), 100, &head));
	assert_int_equal(head.status, 404);
	assert_true(is(head.reason, "Not  Found"));
	assert_int_equal(head.version, MESSAGE_HTTP_1_0);
	assert_int_equal(head.framing, HTTP1_CLOSE);
	assert_null(http1_head_response(bytes_str("HTTP/1.1 200\r\n\r\n"), 100, &head));
	assert_int_equal(head.status, 200);
	assert_int_equal(head.reason.len, 0);
	assert_null(http1_head_response(bytes_str("HTTP/1.1 999 \r\n\r\n"), 100, &head));
	assert_int_equal(head.status, 999);
}

static void body_is_framed_as_rfc_9112_6_3_says(void **state)
{
	(void)state;
	const struct {
		const char *headers;
		enum http1_framing request, response;
		uint64_t length;
	} cases[] = {
		{"", HTTP1_LENGTH, HTTP1_CLOSE, 0},
		{"Content-Length: 0\r\n", HTTP1_LENGTH, HTTP1_LENGTH, 0},
		{"content-length: 18446744073709551614\r\n", HTTP1_LENGTH, HTTP1_LENGTH, UINT64_MAX - 1},
		{"Transfer-Encoding: chunked\r\n", HTTP1_CHUNKED, HTTP1_CHUNKED, 0},
		{"Transfer-Encoding: gzip, Chunked\r\n", HTTP1_CHUNKED, HTTP1_CHUNKED, 0},
		{"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", HTTP1_CHUNKED, HTTP1_CHUNKED, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		(void)snprintf(text, sizeof(text), "PUT / HTTP/1.1\r\nHost: a\r\n%s\r\n", cases[i].headers);
		assert_null(http1_head_request(bytes_str(text), 100, &head));
		assert_int_equal(head.framing, cases[i].request);
		assert_true(head.length == cases[i].length);
		(void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\n", cases[i].headers);
		assert_null(http1_head_response(bytes_str(text), 100, &head));
		assert_int_equal(head.framing, cases[i].response);
		assert_true(head.length == cases[i].length);
	}
	assert_null(http1_head_response(bytes_str("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"), 100, &head));
	assert_int_equal(head.framing, HTTP1_CLOSE);
}

/* Behind the start line of a request and of a response: bad in both. */
static const char *const bad_headers[] = {
	"A : b\r\n",
	"A b: c\r\n",
	"A\r\n",
	": b\r\n",
	"A: b\n",
	"A: b\rc\r\n",
	"A: \r\r\n",
	"A:\r \r\n",
	"A: b\x01\r\n",
	"A: b\x7f\r\n",
	"A(: b\r\n",
	"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
	"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
	"Content-Length: 5\r\nContent-Length: 6\r\n",
	"Content-Length: 5, 5\r\n",
	"Content-Length: +5\r\n",
	"Content-Length: -5\r\n",
	"Content-Length: 0x5\r\n",
	"Content-Length: 5a\r\n",
	"Content-Length:\r\n",
	"Content-Length: 18446744073709551616\r\n",
	"Content-Length:\r\n 5\r\n",
	"Content-Length: 1\r\n 5\r\n",
	"Transfer-Encoding : chunked\r\n",
	"Transfer-Encoding: gzip,\r\n chunked\r\n",
	"Transfer-Encoding: \vchunked\r\n",
	"A : b\r\n",
	"A: \f\r\n",
	"A: b\r\n \x01\r\n",
};

static void what_two_readers_could_take_differently_is_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_headers) / sizeof(bad_headers[0]); i++) {
		char text[256];
		(void)snprintf(text, sizeof(text), "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n", bad_headers[i]);
		if (!http1_head_request(bytes_str(text), 100, &head))
			fail_msg("a request taken for well: %s", bad_headers[i]);
		(void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nA: b\r\n%s\r\n", bad_headers[i]);
		if (!http1_head_response(bytes_str(text), 100, &head))
			fail_msg("a response taken for well: %s", bad_headers[i]);
		(void)snprintf(
			text, sizeof(text), "POST / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n%s\r\n", bad_headers[i]);
		if (!http1_head_request(bytes_str(text), 100, &head))
			fail_msg("a request with a folded header taken for well: %s", bad_headers[i]);
	}
}

static void bad_start_lines_are_told(void **state)
{
	(void)state;
	const char *const requests[] = {"GET\r\n\r\n", "GET /\r\n\r\n", " GET / HTTP/1.1\r\n\r\n",
		"G(T / HTTP/1.1\r\n\r\n", "GET / HTTP/1.2\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET / HTTP/0.9\r\n\r\n",
		"GET / RTSP/1.0\r\n\r\n", "GET / http/1.1\r\n\r\n", "GET / HTTP/1.10\r\n\r\n",
		"GET /\t HTTP/1.1\r\n\r\n", "GET /a b HTTP/1.1\r\n\r\n", "GET foo HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1 \r\n\r\n", "GET / HTTP/1.1\r\n A: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
		"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
		"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
		"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
		"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"};
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		if (!http1_head_request(bytes_str(requests[i]), 100, &head))
			fail_msg("taken for well: %s", requests[i]);
	}
	const char *const responses[] = {"\r\nHTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 OK\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n",
		"ICY 200 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 O\x01K\r\n\r\n", "HTTP/1.1 200 OK\r\n A: b\r\n\r\n"};
	for (size_t i = 0; i < sizeof(responses) / sizeof(responses[0]); i++) {
		if (!http1_head_response(bytes_str(responses[i]), 100, &head))
			fail_msg("taken for well: %s", responses[i]);
	}
}

static void folded_value_is_given_as_sent(void **state)
{
	(void)state;
	struct bytes in = bytes_str("HTTP/1.1 200 OK\r\nX: a\r\n  b\r\n\tc \r\nY: d\r\nContent-Length: 3\r\n\r\n");
	assert_null(http1_head_response(in, 100, &head));
	assert_int_equal(head.header_count, 3);
	assert_true(is(head.headers[0].value, "a\r\n  b\r\n\tc"));
	assert_true(is(head.headers[1].value, "d"));
	assert_int_equal(head.length, 3);
}

static void headers_over_the_limit_are_cut_and_still_frame_the_body(void **state)
{
	(void)state;
	struct bytes in = bytes_str("POST / HTTP/1.1\r\nA: 1\r\nB: 2\r\nContent-Length: 3\r\n\r\n");
	assert_null(http1_head_request(in, 2, &head));
	assert_int_equal(head.header_count, 2);
	assert_true(head.headers_cut);
	assert_int_equal(head.length, 3);
	assert_null(http1_head_request(in, 3, &head));
	assert_false(head.headers_cut);
}

static void end_of_a_head_is_its_first_empty_line(void **state)
{
	(void)state;
	assert_int_equal(http1_head_end(bytes_str("A\r\n\r\nB\r\n\r\n"), 0), 5);
	assert_int_equal(http1_head_end(bytes_str("A\n\nB"), 0), 3);
	assert_int_equal(http1_head_end(bytes_str("A\r\n\nB"), 0), 4);
	assert_int_equal(http1_head_end(bytes_str("A\r\nB\r\n\r"), 0), 0);
	assert_int_equal(http1_head_end(bytes_str(""), 0), 0);
}

static void target_gives_scheme_authority_and_path(void **state)
{
	(void)state;
	const struct {
		const char *line, *scheme, *authority, *path;
	} cases[] = {
		{"GET /a?b=http://c", "", "host.example", "/a?b=http://c"},
		{"OPTIONS *", "", "host.example", "*"},
		{"GET http://other.example:81/a?b", "http", "other.example:81", "/a?b"},
		{"GET https://other.example", "https", "other.example", "/"},
		{"GET http://other.example?q", "http", "other.example", "?q"},
		{"CONNECT other.example:443", "", "other.example:443", ""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		(void)snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: host.example\r\n\r\n", cases[i].line);
		assert_null(http1_head_request(bytes_str(text), 100, &head));
		struct http1_target target = http1_target_of(&head);
		assert_true(is(target.scheme, cases[i].scheme));
		assert_true(is(target.authority, cases[i].authority));
		assert_true(is(target.path, cases[i].path));
	}
}

static void upgrade_must_be_named_by_connection(void **state)
{
	(void)state;
	assert_null(http1_head_request(
		bytes_str("GET / HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"), 9,
		&head));
	assert_true(head.upgrade);
	assert_null(http1_head_request(bytes_str("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"), 9, &head));
	assert_false(head.upgrade);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_line_and_headers_are_views_of_the_input),
		cmocka_unit_test(any_token_is_a_method),
		cmocka_unit_test(status_line_may_lack_its_reason),
		cmocka_unit_test(body_is_framed_as_rfc_9112_6_3_says),
		cmocka_unit_test(what_two_readers_could_take_differently_is_bad),
		cmocka_unit_test(bad_start_lines_are_told),
		cmocka_unit_test(folded_value_is_given_as_sent),
		cmocka_unit_test(headers_over_the_limit_are_cut_and_still_frame_the_body),
		cmocka_unit_test(end_of_a_head_is_its_first_empty_line),
		cmocka_unit_test(target_gives_scheme_authority_and_path),
		cmocka_unit_test(upgrade_must_be_named_by_connection),
	};
	return cmocka_run_group_tests_name("decode/http1_head", tests, NULL, NULL);
}
