#include "decode/decoder.h"
#include "record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define FLOW      7
#define STEPS_MAX 12

/* What happens on a connection, in order: "> octets" from the client, "< octets" from the server, ">." and "<." halves. */
struct dialogue {
	const char *name;
	const char *steps[STEPS_MAX];
	const char *said; /* before decoder_close */
	const char *at_close;
};

static const struct dialogue dialogues[] = {
	{"a request and its response",
		{">GET /a?b HTTP/1.1\r\nHost: example.com\r\n\r\n",
			"<HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
		"request 1 GET |example.com|/a?b HTTP/1.1 [Host: example.com]\n"
		"response 1 200 OK HTTP/1.1 [Content-Length: 5]\n"
		"body 1 down \"hello\"\nend 1 done 0 5\n",
		""},
	{"keep-alive counts streams up",
		{">GET /1 HTTP/1.1\r\n\r\n", "<HTTP/1.1 204 No Content\r\n\r\n", ">\r\nGET /2 HTTP/1.1\r\n\r\n",
			"<HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"},
		"request 1 GET ||/1 HTTP/1.1\nresponse 1 204 No Content HTTP/1.1\nend 1 done 0 0\n"
		"request 2 GET ||/2 HTTP/1.1\nresponse 2 304 Not Modified HTTP/1.1 [Content-Length: 9]\nend 2 done 0 "
		"0\n",
		""},
	{"pipelined requests are answered in order",
		{">GET /1 HTTP/1.1\r\n\r\nHEAD /2 HTTP/1.1\r\n\r\nPOST /3 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
			"<HTTP/1.1 200 A\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 200 B\r\nContent-Length: 99\r\n\r\n"
			"HTTP/1.1 200 C\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n1\r\nz\r\n0\r\nT: v\r\n\r\n"},
		"request 1 GET ||/1 HTTP/1.1\nrequest 2 HEAD ||/2 HTTP/1.1\n"
		"request 3 POST ||/3 HTTP/1.1 [Content-Length: 3]\n"
		"response 1 200 A HTTP/1.1 [Content-Length: 1]\nbody 1 down \"1\"\nend 1 done 0 1\n"
		"response 2 200 B HTTP/1.1 [Content-Length: 99]\nend 2 done 0 0\n"
		"response 3 200 C HTTP/1.1 [Transfer-Encoding: chunked]\n"
		"body 3 up \"abc\"\nbody 3 down \"xyz\"\ntrailers down [T: v]\nend 3 done 3 3\n",
		""},
	{"interim responses come before the response",
		{">PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
			"<HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
			">4\r\nbody\r\n0\r\n\r\n", "<HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"},
		"request 1 PUT ||/a HTTP/1.1 [Expect: 100-continue] [Transfer-Encoding: chunked]\n"
		"interim 1 100 Continue HTTP/1.1\ninterim 1 103 Early Hints HTTP/1.1 [Link: x]\n"
		"response 1 201 Created HTTP/1.1 [Content-Length: 0]\nbody 1 up \"body\"\nend 1 done 4 0\n",
		""},
	{"an early response waits for the end of its request",
		{">POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc", "<HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno",
			">def", ">GET /b HTTP/1.1\r\n\r\n"},
		"request 1 POST ||/a HTTP/1.1 [Content-Length: 6]\nresponse 1 413 No HTTP/1.1 [Content-Length: 2]\n"
		"body 1 up \"abcdef\"\nbody 1 down \"no\"\nend 1 done 6 2\nrequest 2 GET ||/b HTTP/1.1\n",
		"end 2 reset 0 0\n"},
	{"trailers are told with the end",
		{">POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 1 \r\nY:\r\n\r\n"
		 "GET /b HTTP/1.1\r\n\r\n",
			"<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\ngrpc-status: 0\r\n\r\n"
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		"request 1 POST ||/a HTTP/1.1 [Transfer-Encoding: chunked]\nrequest 2 GET ||/b HTTP/1.1\n"
		"response 1 200 OK HTTP/1.1 [Transfer-Encoding: chunked]\n"
		"body 1 up \"ab\"\nbody 1 down \"x\"\ntrailers up [X-Sum: 1] [Y: ]\ntrailers down [grpc-status: 0]\n"
		"end 1 done 2 1\nresponse 2 200 OK HTTP/1.1 [Transfer-Encoding: chunked]\nend 2 done 0 0\n",
		""},
	{"trailers that are no fields are left out",
		{">GET /a HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\nA "
					     "b: c\r\nGood: x\r\n\r\n"},
		"request 1 GET ||/a HTTP/1.1\nresponse 1 200 OK HTTP/1.1 [Transfer-Encoding: chunked]\n"
		"trailers down [Good: x] cut\nend 1 done 0 0\n",
		""},
	{"a body until close ends with the direction",
		{">GET /a HTTP/1.0\r\n\r\n", "<HTTP/1.0 200 OK\r\n\r\nall of it", "<."},
		"request 1 GET ||/a HTTP/1.0\nresponse 1 200 OK HTTP/1.0\nbody 1 down \"all of it\"\nend 1 done 0 9\n",
		""},
	{"a body until close without an end of the direction is cut",
		{">GET /a HTTP/1.0\r\n\r\n", "<HTTP/1.0 200 OK\r\n\r\nall of it"},
		"request 1 GET ||/a HTTP/1.0\nresponse 1 200 OK HTTP/1.0\n",
		"body 1 down \"all of it\"\nend 1 reset 0 9\n"},
	{"a body cut short is reset when its direction ends",
		{">GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
			"<."},
		"request 1 GET ||/a HTTP/1.1\nrequest 2 GET ||/b HTTP/1.1\n"
		"response 1 200 OK HTTP/1.1 [Content-Length: 9]\n"
		"body 1 down \"abc\"\nend 1 reset 0 3\nend 2 reset 0 0\n",
		""},
	{"a client that closes its direction still gets its response",
		{">GET /a HTTP/1.1\r\n\r\n", ">.", "<HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "<."},
		"request 1 GET ||/a HTTP/1.1\nresponse 1 200 OK HTTP/1.1 [Content-Length: 1]\n"
		"body 1 down \"x\"\nend 1 done 0 1\n",
		""},
	{"a request cut short is reset",
		{">POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", ">.",
			"<HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"},
		"request 1 POST ||/a HTTP/1.1 [Content-Length: 9]\nresponse 1 400 Bad HTTP/1.1 [Content-Length: 0]\n"
		"body 1 up \"abc\"\nend 1 reset 3 0\n",
		""},
	{"an unanswered request is reset at close", {">GET /a HTTP/1.1\r\n\r\n"}, "request 1 GET ||/a HTTP/1.1\n",
		"end 1 reset 0 0\n"},
	{"an upgrade leaves HTTP",
		{">GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi",
			"<HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02ho", ">more"},
		"request 1 GET ||/ws HTTP/1.1 [Connection: Upgrade] [Upgrade: websocket]\n"
		"response 1 101 Switching Protocols HTTP/1.1 [Upgrade: websocket]\nend 1 upgraded 0 0\n",
		""},
	{"a refused upgrade goes on as HTTP",
		{">GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET /next HTTP/1.1\r\n\r\n",
			"<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"},
		"request 1 GET ||/ws HTTP/1.1 [Connection: Upgrade] [Upgrade: h2c]\n"
		"response 1 200 OK HTTP/1.1 [Content-Length: 0]\nend 1 done 0 0\nrequest 2 GET ||/next HTTP/1.1\n"
		"response 2 404 No HTTP/1.1 [Content-Length: 0]\nend 2 done 0 0\n",
		""},
	{"what follows a request for an upgrade waits for its own answer",
		{">GET /1 HTTP/1.1\r\n\r\nGET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: "
		 "websocket\r\n\r\n\x81\x02hi",
			"<HTTP/1.1 204 N\r\n\r\n", "<HTTP/1.1 101 S\r\n\r\n\x81\x02ho"},
		"request 1 GET ||/1 HTTP/1.1\nrequest 2 GET ||/ws HTTP/1.1 [Connection: Upgrade] [Upgrade: websocket]\n"
		"response 1 204 N HTTP/1.1\nend 1 done 0 0\nresponse 2 101 S HTTP/1.1\nend 2 upgraded 0 0\n",
		""},
	{"CONNECT leaves HTTP when it succeeds",
		{">CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n\x16\x03\x01",
			"<HTTP/1.1 200 Connection established\r\n\r\n\x16\x03\x03"},
		"request 1 CONNECT |other:443| HTTP/1.1 [Host: other:443]\n"
		"response 1 200 Connection established HTTP/1.1\nend 1 upgraded 0 0\n",
		""},
	{"CONNECT refused goes on as HTTP",
		{">CONNECT other:443 HTTP/1.1\r\n\r\n", "<HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno",
			">CONNECT other:443 HTTP/1.1\r\nProxy-Authorization: x\r\n\r\n", "<HTTP/1.1 200 OK\r\n\r\n"},
		"request 1 CONNECT |other:443| HTTP/1.1\nresponse 1 407 Auth HTTP/1.1 [Content-Length: 2]\n"
		"body 1 down \"no\"\nend 1 done 0 2\n"
		"request 2 CONNECT |other:443| HTTP/1.1 [Proxy-Authorization: x]\n"
		"response 2 200 OK HTTP/1.1\nend 2 upgraded 0 0\n",
		""},
	{"a change of protocol nobody asked for is broken",
		{">GET /a HTTP/1.1\r\n\r\n", "<HTTP/1.1 101 Switching Protocols\r\n\r\nxxx",
			">GET /b HTTP/1.1\r\n\r\n"},
		"request 1 GET ||/a HTTP/1.1\nnotice http1-malformed\nend 1 broken 0 0\n", ""},
	{"a response without a request has stream 0",
		{">GET /a HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
			"<HTTP/1.1 408 Timeout\r\nContent-Length: 1\r\n\r\nt", "<."},
		"request 1 GET ||/a HTTP/1.1\nresponse 1 200 OK HTTP/1.1 [Content-Length: 0]\nend 1 done 0 0\n"
		"notice response-unasked\nresponse 0 408 Timeout HTTP/1.1 [Content-Length: 1]\n"
		"body 0 down \"t\"\nend 0 done 0 1\n",
		""},
	{"a malformed request is told, and the server's word on it shown",
		{">GET /a HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled "
		 "HTTP/1.1\r\n\r\n",
			"<HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"},
		"notice http1-malformed\nresponse 0 400 Bad HTTP/1.1 [Content-Length: 0]\nend 0 done 0 0\n", ""},
	{"a malformed chunked request breaks its exchange",
		{">POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX",
			"<HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"},
		"request 1 POST ||/a HTTP/1.1 [Transfer-Encoding: chunked]\nnotice http1-malformed\n"
		"response 1 400 Bad HTTP/1.1 [Content-Length: 0]\nbody 1 up \"abc\"\nend 1 broken 3 0\n",
		""},
	{"a malformed response breaks all that is open",
		{">GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
			"<HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello"},
		"request 1 GET ||/a HTTP/1.1\nrequest 2 GET ||/b HTTP/1.1\nnotice http1-malformed\n"
		"end 1 broken 0 0\nend 2 broken 0 0\n",
		""},
	{"a second answer to an unfinished request is broken",
		{">POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc",
			"<HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		"request 1 POST ||/a HTTP/1.1 [Content-Length: 6]\nresponse 1 413 No HTTP/1.1 [Content-Length: 0]\n"
		"notice http1-malformed\nbody 1 up \"abc\"\nend 1 broken 3 0\n",
		""},
	{"a body may hold what looks like a head",
		{">POST /a HTTP/1.1\r\nContent-Length: 24\r\n\r\nGET /in-body HTTP/1.1\r\n\r",
			"<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		"request 1 POST ||/a HTTP/1.1 [Content-Length: 24]\nresponse 1 200 OK HTTP/1.1 [Content-Length: 0]\n"
		"body 1 up \"GET /in-body HTTP/1.1\r\n\r\"\nend 1 done 24 0\n",
		""},
};

#define DIALOGUES (sizeof(dialogues) / sizeof(dialogues[0]))

static void feed(struct decoder *decoder, const char *step, size_t cut, size_t piece)
{
	enum flow_direction direction = step[0] == '>' ? FLOW_UP : FLOW_DOWN;
	struct bytes rest = bytes_str(step + 1);
	if (bytes_equal(rest, bytes_str("."))) {
		decoder_half(decoder, direction, 1000);
		return;
	}
	size_t n = cut;
	while (rest.len > 0) {
		struct bytes part;
		assert_true(bytes_take(&rest, n < rest.len ? n : rest.len, &part));
		/* A copy of its own, so that a view kept too long or a read beyond the end shows. */
		uint8_t *copy = malloc(part.len ? part.len : 1);
		assert_non_null(copy);
		memcpy(copy, part.data, part.len);
		decoder_feed(decoder, direction, bytes_of(copy, part.len), 1000);
		free(copy);
		n = piece;
	}
}

/* The step `which` in two pieces cut at `cut`, the others whole; or all in pieces of `cut` where `which` is STEPS_MAX. */
static void play(const struct dialogue *d, size_t which, size_t cut)
{
	struct record record = {0};
	struct decoder *decoder = decoder_new(DECODER_HTTP1, FLOW, &DECODER_LIMITS_DEFAULT, &record_output, &record);
	assert_non_null(decoder);
	for (size_t i = 0; i < STEPS_MAX && d->steps[i]; i++) {
		bool all = which == STEPS_MAX;
		feed(decoder, d->steps[i], all || which == i ? cut : SIZE_MAX, all ? cut : SIZE_MAX);
	}
	char expected[8192];
	(void)snprintf(expected, sizeof(expected), "%s", d->said);
	if (strcmp(record_text(&record), expected) != 0)
		fail_msg("%s, step %zu cut at %zu, said\n%s\nand should have said\n%s", d->name, which, cut,
			record_text(&record), expected);
	decoder_close(decoder, 1000);
	(void)snprintf(expected, sizeof(expected), "%s%s", d->said, d->at_close);
	if (strcmp(record_text(&record), expected) != 0)
		fail_msg("%s, at close said\n%s\nand should have said\n%s", d->name, record_text(&record), expected);
	decoder_free(decoder);
	record_clear(&record);
}

static void dialogues_are_told_as_they_happen(void **state)
{
	(void)state;
	for (size_t i = 0; i < DIALOGUES; i++)
		play(&dialogues[i], STEPS_MAX, SIZE_MAX);
}

static void cuts_at_any_octet_change_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < DIALOGUES; i++) {
		for (size_t step = 0; step < STEPS_MAX && dialogues[i].steps[step]; step++) {
			for (size_t cut = 1; cut < strlen(dialogues[i].steps[step]) - 1; cut++)
				play(&dialogues[i], step, cut);
		}
		play(&dialogues[i], STEPS_MAX, 1);
		play(&dialogues[i], STEPS_MAX, 3);
	}
}

static struct decoder *fresh(struct record *record, struct decoder_limits limits)
{
	struct decoder *decoder = decoder_new(DECODER_HTTP1, FLOW, &limits, &record_output, record);
	assert_non_null(decoder);
	return decoder;
}

static void times_are_those_of_the_first_octet_of_a_head(void **state)
{
	(void)state;
	struct record record = {0};
	struct decoder *decoder = fresh(&record, DECODER_LIMITS_DEFAULT);
	decoder_feed(decoder, FLOW_UP, bytes_str("GET / HT"), 100);
	decoder_feed(decoder, FLOW_UP, bytes_str("TP/1.1\r\n\r\n"), 200);
	assert_int_equal(record.last_time_ns, 100);
	decoder_feed(decoder, FLOW_DOWN, bytes_str("HTTP/1.1 200 OK\r\n"), 300);
	decoder_feed(decoder, FLOW_DOWN, bytes_str("Content-Length: 1\r\n\r\n"), 400);
	assert_int_equal(record.last_time_ns, 300);
	decoder_feed(decoder, FLOW_DOWN, bytes_str("x"), 450);
	assert_int_equal(record.ends, 1);
	assert_int_equal(record.first_duration_ns, 350);
	decoder_free(decoder);
	record_clear(&record);
}

static void leaving_http_is_told(void **state)
{
	(void)state;
	struct record record = {0};
	struct decoder *decoder = fresh(&record, DECODER_LIMITS_DEFAULT);
	decoder_feed(decoder, FLOW_UP, bytes_str("CONNECT a:1 HTTP/1.1\r\n\r\n"), 1);
	assert_false(decoder_left(decoder));
	decoder_feed(decoder, FLOW_DOWN, bytes_str("HTTP/1.1 200 OK\r\n\r\n"), 1);
	assert_true(decoder_left(decoder));
	assert_true(decoder_skip(decoder, FLOW_UP) == UINT64_MAX && decoder_skip(decoder, FLOW_DOWN) == UINT64_MAX);
	decoder_free(decoder);
	record_clear(&record);
}

/* A head of exactly `len` octets. */
static char *head_of(size_t len)
{
	char *text = malloc(len + 1);
	assert_non_null(text);
	(void)snprintf(text, len + 1, "GET / HTTP/1.1\r\nA: %0*d\r\n\r\n", (int)len - 23, 0);
	return text;
}

static void head_over_the_limit_is_told_whatever_the_pieces(void **state)
{
	(void)state;
	struct decoder_limits limits = DECODER_LIMITS_DEFAULT;
	limits.head_octets = 100;
	for (size_t len = 99; len <= 102; len++) {
		for (size_t piece = 1; piece <= len; piece++) {
			struct record record = {0};
			struct decoder *decoder = fresh(&record, limits);
			char *text = head_of(len);
			struct bytes rest = bytes_of(text, len);
			struct bytes part;
			while (bytes_take(&rest, piece < rest.len ? piece : rest.len, &part) && part.len > 0)
				decoder_feed(decoder, FLOW_UP, part, 1);
			assert_int_equal(record.requests, len <= 100 ? 1 : 0);
			assert_int_equal(record.notices, len <= 100 ? 0 : 2);
			free(text);
			decoder_free(decoder);
			record_clear(&record);
		}
	}
}

static void headers_over_the_limit_are_cut(void **state)
{
	(void)state;
	struct record record = {0};
	struct decoder_limits limits = DECODER_LIMITS_DEFAULT;
	limits.header_count = 1;
	struct decoder *decoder = fresh(&record, limits);
	decoder_feed(decoder, FLOW_UP, bytes_str("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n"), 1);
	assert_string_equal(record_text(&record), "request 1 GET ||/ HTTP/1.1 [A: 1] cut\n");
	decoder_free(decoder);
	record_clear(&record);
}

static void exchanges_in_flight_are_bounded(void **state)
{
	(void)state;
	struct record record = {0};
	struct decoder_limits limits = DECODER_LIMITS_DEFAULT;
	limits.exchange_max = 50;
	struct decoder *decoder = fresh(&record, limits);
	for (unsigned i = 0; i < 60; i++)
		decoder_feed(decoder, FLOW_UP, bytes_str("GET / HTTP/1.1\r\n\r\n"), 1);
	assert_int_equal(record.requests, 50);
	assert_int_equal(record.ends, 50);
	assert_int_equal(record.notices, 1);
	assert_non_null(strstr(record_text(&record), "notice exchanges-capped\nend 1 missed 0 0\n"));
	decoder_close(decoder, 2);
	assert_int_equal(record.ends, 50);
	decoder_free(decoder);
	record_clear(&record);
}

static void deep_pipelines_come_out_in_order(void **state)
{
	(void)state;
	struct record record = {0};
	struct decoder *decoder = fresh(&record, DECODER_LIMITS_DEFAULT);
	size_t asked = 0;
	size_t answered = 0;
	for (size_t round = 0; round < 40; round++) {
		for (size_t i = 0; i < round % 13 + 5; i++, asked++)
			decoder_feed(decoder, FLOW_UP, bytes_str("GET / HTTP/1.1\r\n\r\n"), 1);
		while (answered + round % 7 < asked) {
			char line[64];
			(void)snprintf(line, sizeof(line), "end %zu done 0 0\n", ++answered);
			decoder_feed(decoder, FLOW_DOWN, bytes_str("HTTP/1.1 204 N\r\n\r\n"), 1);
			assert_int_equal(record.ends, answered);
			assert_string_equal(record_text(&record) + record.len - strlen(line), line);
		}
	}
	decoder_free(decoder);
	record_clear(&record);
}

static void decoder_freed_in_the_middle_says_nothing(void **state)
{
	(void)state;
	struct record record = {0};
	struct decoder *decoder = fresh(&record, DECODER_LIMITS_DEFAULT);
	decoder_feed(decoder, FLOW_UP, bytes_str("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"), 1);
	decoder_feed(decoder, FLOW_DOWN, bytes_str("HTTP/1.1 200 O"), 1);
	decoder_free(decoder);
	decoder_free(NULL);
	assert_int_equal(record.ends, 0);
	record_clear(&record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dialogues_are_told_as_they_happen),
		cmocka_unit_test(cuts_at_any_octet_change_nothing),
		cmocka_unit_test(times_are_those_of_the_first_octet_of_a_head),
		cmocka_unit_test(leaving_http_is_told),
		cmocka_unit_test(head_over_the_limit_is_told_whatever_the_pieces),
		cmocka_unit_test(headers_over_the_limit_are_cut),
		cmocka_unit_test(exchanges_in_flight_are_bounded),
		cmocka_unit_test(deep_pipelines_come_out_in_order),
		cmocka_unit_test(decoder_freed_in_the_middle_says_nothing),
	};
	return cmocka_run_group_tests_name("decode/http1", tests, NULL, NULL);
}
