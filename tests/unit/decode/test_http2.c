#include "decode/decoder.h"
#include "decode/http2_block.h"
#include "peers.h"
#include "record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define FLOW 9

static struct decoder *fresh(struct record *record, const struct decoder_output *out, struct decoder_limits limits)
{
	struct decoder *decoder = decoder_new(DECODER_HTTP2, FLOW, &limits, out, record);
	assert_non_null(decoder);
	return decoder;
}

/* What is said of a transcript, however it is cut; checked against `said`, or (NULL) given back in `out` only. */
static void check(const struct transcript *t, const char *said, struct record *out)
{
	static const size_t pieces[] = {SIZE_MAX, 1, 2, 3, 5, 7, 9, 10, 13, 24, 100};
	struct record whole = {0};
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct record record = {0};
		struct decoder *decoder = fresh(&record, &record_output, DECODER_LIMITS_DEFAULT);
		transcript_feed(t, decoder, pieces[i]);
		decoder_close(decoder, 1000);
		decoder_free(decoder);
		if (i == 0) {
			whole = record;
			continue;
		}
		assert_string_equal(record_text(&record), record_text(&whole));
		record_clear(&record);
	}
	if (said)
		assert_string_equal(record_text(&whole), said);
	if (out)
		*out = whole;
	else
		record_clear(&whole);
}

static void requests_and_responses_are_told(void **state)
{
	(void)state;
	struct peers *p = peers_new(4096, 4096, false);
	peers_request(p, "GET", "/3", 0, NULL);
	peers_run(p);
	peers_request(p, "POST", "/trailers", 4, NULL);
	peers_run(p);
	peers_request(p, "GET", "/empty", 0, NULL);
	peers_request(p, "GET", "/hints", 0, NULL);
	peers_run(p);
	check(&p->transcript,
		"request 1 GET https|example.com|/3 HTTP/2 [user-agent: agent-0]\n"
		"response 1 200  HTTP/2 [server: peers] [x-serial: value-1]\nbody 1 down \"aaa\"\nend 1 done 0 3\n"
		"request 3 POST https|example.com|/trailers HTTP/2 [user-agent: agent-2]\n"
		"response 3 200  HTTP/2 [server: peers] [x-serial: value-3]\n"
		"body 3 up \"uuuu\"\nbody 3 down \"aaaaa\"\n"
		"trailers down [grpc-status: 0]\nend 3 done 4 5\n"
		"request 5 GET https|example.com|/empty HTTP/2 [user-agent: agent-4]\n"
		"response 5 204  HTTP/2 [server: peers] [x-serial: value-6]\nend 5 done 0 0\n"
		"request 7 GET https|example.com|/hints HTTP/2 [user-agent: agent-5]\n"
		"interim 7 103  HTTP/2 [link: </a>]\n"
		"response 7 200  HTTP/2 [server: peers] [x-serial: value-7]\nend 7 done 0 0\n",
		NULL);
	peers_free(p);
}

static void padding_is_no_body(void **state)
{
	(void)state;
	struct peers *p = peers_new(4096, 4096, true);
	for (unsigned i = 0; i < 20; i++) {
		peers_request(p, "POST", "/1000", 700, NULL);
		peers_run(p);
	}
	struct record record;
	check(&p->transcript, NULL, &record);
	assert_int_equal(record.ends, 20);
	assert_non_null(strstr(record_text(&record), "end 39 done 700 1000\n"));
	record_clear(&record);
	peers_free(p);
}

static void many_streams_at_once_are_kept_apart(void **state)
{
	(void)state;
	struct peers *p = peers_new(65536, 65536, false);
	for (unsigned i = 0; i < 300; i++) {
		char path[16];
		(void)snprintf(path, sizeof(path), "/%u", i * 7);
		peers_request(p, "POST", path, i * 3 + 1, NULL);
	}
	peers_run(p);
	struct record record = {0};
	struct decoder *decoder = fresh(&record, &record_no_bodies, DECODER_LIMITS_DEFAULT);
	transcript_feed(&p->transcript, decoder, 11);
	assert_int_equal(record.requests, 300);
	assert_int_equal(record.responses, 300);
	assert_int_equal(record.ends, 300);
	for (unsigned i = 0; i < 300; i++) {
		char line[64];
		(void)snprintf(line, sizeof(line), "end %u done %u %u\n", i * 2 + 1, i * 3 + 1, i * 7);
		assert_non_null(strstr(record_text(&record), line));
	}
	decoder_free(decoder);
	record_clear(&record);
	peers_free(p);
}

static void promised_streams_are_exchanges_of_their_own(void **state)
{
	(void)state;
	struct peers *p = peers_new(4096, 4096, true);
	peers_request(p, "GET", "/push", 0, NULL);
	peers_run(p);
	struct record record;
	check(&p->transcript, NULL, &record);
	assert_non_null(strstr(record_text(&record), "request 2 GET https|example.com|/pushed HTTP/2\n"));
	assert_non_null(strstr(record_text(&record), "body 2 down \"aaaa\"\nend 2 done 0 4\n"));
	assert_non_null(strstr(record_text(&record), "end 1 done 0 1\n"));
	record_clear(&record);
	peers_free(p);
}

static void header_blocks_over_many_frames_are_one(void **state)
{
	(void)state;
	struct peers *p = peers_new(4096, 4096, false);
	peers_request(p, "GET", "/big", 0, NULL);
	peers_request(p, "GET", "/1", 0, NULL);
	peers_run(p);
	struct record record = {0};
	struct decoder *decoder = fresh(&record, &record_no_bodies, DECODER_LIMITS_DEFAULT);
	transcript_feed(&p->transcript, decoder, 1000);
	assert_int_equal(record.responses, 2);
	assert_int_equal(record.ends, 2);
	assert_null(strstr(record_text(&record), "cut"));
	decoder_free(decoder);
	record_clear(&record);
	/* The same, where less of a list is kept: the rest is cut and the place in the compression is not lost. */
	struct decoder_limits limits = DECODER_LIMITS_DEFAULT;
	limits.head_octets = 9000;
	decoder = fresh(&record, &record_no_bodies, limits);
	transcript_feed(&p->transcript, decoder, 1000);
	assert_int_equal(record.responses, 2);
	assert_int_equal(record.ends, 2);
	assert_non_null(strstr(record_text(&record), " cut\nend 1 done 0 0\n"));
	assert_non_null(strstr(record_text(&record), "response 3 200  HTTP/2 [server: peers]"));
	decoder_free(decoder);
	record_clear(&record);
	peers_free(p);
}

static void table_sizes_may_change_at_any_time(void **state)
{
	(void)state;
	static const uint32_t sizes[] = {0, 65536, 100, 4096, 1, 30000, 64, 65536, 0, 512};
	struct peers *p = peers_new(65536, 0, true);
	size_t asked = 0;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (unsigned n = 0; n < 8; n++, asked++)
			peers_request(p, "POST", "/20", n, NULL);
		peers_table(p, FLOW_UP, sizes[i]);
		peers_table(p, FLOW_UP, sizes[(i * 3 + 1) % 10]);
		peers_table(p, FLOW_DOWN, sizes[(i * 7 + 3) % 10]);
		peers_run(p);
	}
	struct record record;
	check(&p->transcript, NULL, &record);
	assert_int_equal(record.ends, asked);
	assert_int_equal(record.notices, 0);
	record_clear(&record);
	peers_free(p);
}

static void resets_end_their_stream_only(void **state)
{
	(void)state;
	struct peers *p = peers_new(4096, 4096, false);
	peers_request(p, "GET", "/reset", 0, NULL);
	peers_run(p);
	int32_t stream = peers_request(p, "GET", "/200000", 0, NULL);
	(void)nghttp2_submit_rst_stream(p->client, 0, stream, NGHTTP2_CANCEL);
	peers_request(p, "GET", "/1", 0, NULL);
	peers_run(p);
	struct record record;
	check(&p->transcript, NULL, &record);
	assert_non_null(strstr(record_text(&record), "end 1 reset 0 0\n"));
	assert_non_null(strstr(record_text(&record), "end 5 done 0 1\n"));
	record_clear(&record);
	peers_free(p);
}

static void tunnels_count_what_goes_through_and_end_as_upgraded(void **state)
{
	(void)state;
	struct peers *p = peers_new(4096, 4096, false);
	peers_request(p, "CONNECT", "", 11, NULL);
	peers_run(p);
	peers_request(p, "CONNECT", "/chat", 3, "websocket");
	peers_run(p);
	struct record record;
	check(&p->transcript, NULL, &record);
	assert_int_equal(record.notices, 0);
	assert_non_null(strstr(record_text(&record), "request 1 CONNECT |example.com| HTTP/2"));
	assert_non_null(strstr(record_text(&record), "end 1 upgraded 11 7\n"));
	assert_non_null(strstr(record_text(&record), "request 3 CONNECT https|example.com|/chat HTTP/2"));
	assert_non_null(strstr(record_text(&record), "end 3 upgraded 3 7\n"));
	record_clear(&record);
	peers_free(p);
}

static void goaway_ends_what_will_have_no_answer(void **state)
{
	(void)state;
	struct peers *p = peers_new(4096, 4096, false);
	peers_request(p, "POST", "/early", 100000, NULL);
	peers_request(p, "GET", "/1", 0, NULL);
	(void)nghttp2_submit_goaway(p->server, 0, 1, NGHTTP2_ENHANCE_YOUR_CALM, NULL, 0);
	peers_run(p);
	struct record record;
	check(&p->transcript, NULL, &record);
	assert_non_null(strstr(record_text(&record), "notice http2-goaway\n"));
	assert_non_null(strstr(record.last_notice, "ENHANCE_YOUR_CALM"));
	record_clear(&record);
	peers_free(p);
}

static void streams_over_the_limit_are_left_out_and_counted(void **state)
{
	(void)state;
	struct peers *p = peers_new(4096, 4096, false);
	for (unsigned i = 0; i < 10; i++)
		peers_request(p, "POST", "/9", 10, NULL);
	peers_run(p);
	peers_request(p, "GET", "/1", 0, NULL);
	peers_run(p);
	struct decoder_limits limits = DECODER_LIMITS_DEFAULT;
	limits.exchange_max = 4;
	struct record record = {0};
	struct decoder *decoder = fresh(&record, &record_no_bodies, limits);
	transcript_feed(&p->transcript, decoder, SIZE_MAX);
	assert_int_equal(record.requests, 5);
	assert_int_equal(record.responses, 5);
	assert_int_equal(record.ends, 5);
	assert_int_equal(record.notices, 1);
	assert_non_null(strstr(record_text(&record), "end 21 done 0 1\n"));
	decoder_close(decoder, 1);
	assert_int_equal(record.notices, 2);
	assert_non_null(strstr(record.last_notice, "6 streams"));
	decoder_free(decoder);
	record_clear(&record);
	peers_free(p);
}

static void gaps_in_data_count_as_body(void **state)
{
	(void)state;
	struct peers *p = peers_new(4096, 4096, true);
	peers_request(p, "POST", "/100000", 50000, NULL);
	peers_run(p);
	struct record record = {0};
	struct decoder *decoder = fresh(&record, &record_no_bodies, DECODER_LIMITS_DEFAULT);
	uint64_t skipped = 0;
	for (size_t i = 0; i < p->transcript.count; i++) {
		const struct transcript_part *part = &p->transcript.parts[i];
		struct bytes rest = bytes_of(p->transcript.data + part->at, part->len);
		struct bytes piece;
		while (rest.len > 0) {
			uint64_t skip = decoder_skip(decoder, part->direction);
			size_t n = skip == 0 ? 1 : skip < rest.len ? (size_t)skip : rest.len;
			assert_true(bytes_take(&rest, n, &piece));
			if (skip == 0)
				decoder_feed(decoder, part->direction, piece, 1);
			else
				decoder_gap(decoder, part->direction, n, 1);
			skipped += skip == 0 ? 0 : n;
		}
	}
	assert_true(skipped > 150000);
	assert_int_equal(record.notices, 0);
	assert_non_null(strstr(record_text(&record), "end 1 done 50000 100000\n"));
	decoder_free(decoder);
	record_clear(&record);
	peers_free(p);
}

/* Feeds all but `missing` octets of the part at which the server's (client's) n-th part begins. */
static void feed_without(struct decoder *decoder, const struct transcript *t, enum flow_direction direction, size_t nth)
{
	for (size_t i = 0; i < t->count; i++) {
		struct bytes rest = bytes_of(t->data + t->parts[i].at, t->parts[i].len);
		if (t->parts[i].direction == direction && nth-- == 0)
			decoder_gap(decoder, direction, rest.len, 1);
		else
			decoder_feed(decoder, t->parts[i].direction, rest, 1);
	}
}

static void lost_headers_end_what_cannot_be_followed(void **state)
{
	(void)state;
	struct peers *p = peers_new(4096, 4096, false);
	for (unsigned i = 0; i < 5; i++) {
		peers_request(p, "POST", "/9", 10, NULL);
		peers_run(p);
	}
	for (size_t nth = 0; nth < 12; nth++) {
		for (unsigned direction = 0; direction < 2; direction++) {
			struct record record = {0};
			struct decoder *decoder = fresh(&record, &record_output, DECODER_LIMITS_DEFAULT);
			feed_without(decoder, &p->transcript, direction, nth);
			decoder_close(decoder, 1);
			assert_int_equal(record.ends, record.requests);
			assert_true(record.requests <= 5);
			assert_null(strstr(record_text(&record), "broken"));
			assert_null(strstr(record_text(&record), "fault"));
			decoder_free(decoder);
			record_clear(&record);
		}
	}
	peers_free(p);
}

#define RAW(text)                   text, sizeof(text) - 1
#define PREFACE                     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS                    "\0\0\0\4\0\0\0\0\0"
#define GET_A                       "\202\204\207\101\1a" /* GET, /, https, :authority a */
#define HEADERS(len, flags, stream) "\0\0" len "\1" flags "\0\0\0" stream

struct raw_case {
	const char *name;
	const char *up;
	size_t up_len;
	const char *down;
	size_t down_len;
	const char *said;
};

static void check_raw(const struct raw_case *c)
{
	for (size_t piece = 1; piece < 100; piece += 7) {
		struct record record = {0};
		struct decoder *decoder = fresh(&record, &record_output, DECODER_LIMITS_DEFAULT);
		struct bytes up = bytes_of(c->up, c->up_len);
		struct bytes down = bytes_of(c->down, c->down_len);
		struct bytes part;
		while (bytes_take(&up, piece < up.len ? piece : up.len, &part) && part.len > 0)
			decoder_feed(decoder, FLOW_UP, part, 1);
		while (bytes_take(&down, piece < down.len ? piece : down.len, &part) && part.len > 0)
			decoder_feed(decoder, FLOW_DOWN, part, 1);
		decoder_close(decoder, 1);
		if (strcmp(record_text(&record), c->said) != 0)
			fail_msg("%s said\n%s\nand should have said\n%s", c->name, record_text(&record), c->said);
		decoder_free(decoder);
		record_clear(&record);
	}
}

#define ASKED  "request 1 GET https|a|/ HTTP/2\n"
#define OPENED PREFACE SETTINGS HEADERS("\6", "\5", "\1") GET_A

static void what_is_no_http2_is_broken(void **state)
{
	(void)state;
	const struct raw_case cases[] = {
		{"another preface", RAW("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"), RAW(""),
			"notice http2-malformed\n"},
		{"no SETTINGS first", RAW(PREFACE "\0\0\10\6\0\0\0\0\0abcdefgh"), RAW(""), "notice http2-malformed\n"},
		{"an acknowledgement first", RAW(PREFACE "\0\0\0\4\1\0\0\0\0"), RAW(""), "notice http2-malformed\n"},
		{"a server of HTTP/1", RAW(OPENED), RAW("HTTP/1.1 400 Bad Request\r\n\r\n"),
			ASKED "notice http2-malformed\nend 1 broken 0 0\n"},
		{"CONTINUATION of nothing", RAW(PREFACE SETTINGS "\0\0\1\11\4\0\0\0\1\202"), RAW(""),
			"notice http2-malformed\n"},
		{"a block interrupted", RAW(PREFACE SETTINGS HEADERS("\6", "\1", "\1") GET_A "\0\0\0\0\0\0\0\0\1"),
			RAW(""), "notice http2-malformed\n"},
		{"a block continued for another stream",
			RAW(PREFACE SETTINGS HEADERS("\6", "\1", "\1") GET_A "\0\0\0\11\4\0\0\0\3"), RAW(""),
			"notice http2-malformed\n"},
		{"a promise by a client", RAW(OPENED "\0\0\5\5\4\0\0\0\1\0\0\0\2\202"), RAW(""),
			ASKED "notice http2-malformed\nend 1 broken 0 0\n"},
		{"a promise of a client's stream", RAW(OPENED), RAW(SETTINGS "\0\0\5\5\4\0\0\0\1\0\0\0\3\202"),
			ASKED "notice http2-malformed\nend 1 broken 0 0\n"},
		{"an index out of the table", RAW(PREFACE SETTINGS HEADERS("\1", "\5", "\1") "\377"), RAW(""),
			"notice http2-malformed\n"},
		{"a block that ends in a field", RAW(PREFACE SETTINGS HEADERS("\5", "\5", "\1") "\202\204\207\101\5"),
			RAW(""), "notice http2-malformed\n"},
		{"a table larger than is kept", RAW(PREFACE SETTINGS HEADERS("\12", "\5", "\1") "\77\342\377\3" GET_A),
			RAW(""), "notice http2-malformed\n"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_raw(&cases[i]);
}

static void messages_against_the_rules_are_shown_and_end_as_broken(void **state)
{
	(void)state;
	const struct raw_case cases[] = {
		{"no method", RAW(PREFACE SETTINGS HEADERS("\5", "\5", "\1") "\204\207\101\1a"),
			RAW(SETTINGS HEADERS("\1", "\5", "\1") "\210"),
			"request 1  https|a|/ HTTP/2\nnotice http2-malformed\nresponse 1 200  HTTP/2\nend 1 broken 0 "
			"0\n"},
		{"a header name in capitals", RAW(PREFACE SETTINGS HEADERS("\13", "\5", "\1") GET_A "\0\1A\1b"),
			RAW(""), "request 1 GET https|a|/ HTTP/2 [A: b]\nnotice http2-malformed\nend 1 broken 0 0\n"},
		{"a line break in a value", RAW(PREFACE SETTINGS HEADERS("\13", "\5", "\1") GET_A "\0\1a\1\n"), RAW(""),
			"request 1 GET https|a|/ HTTP/2 [a: \n]\nnotice http2-malformed\nend 1 broken 0 0\n"},
		{"a method twice", RAW(PREFACE SETTINGS HEADERS("\7", "\5", "\1") "\203" GET_A), RAW(""),
			"request 1 POST https|a|/ HTTP/2\nnotice http2-malformed\nend 1 broken 0 0\n"},
		{"a response without a status", RAW(OPENED), RAW(SETTINGS HEADERS("\5", "\5", "\1") "\0\1a\1b"),
			ASKED "notice http2-malformed\nend 1 broken 0 0\n"},
		{"a status of words", RAW(OPENED), RAW(SETTINGS HEADERS("\5", "\5", "\1") "\10\3abc"),
			ASKED "notice http2-malformed\nend 1 broken 0 0\n"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_raw(&cases[i]);
}

static void odd_but_allowed_is_followed(void **state)
{
	(void)state;
	const struct raw_case cases[] = {
		{"a frame of an unknown type",
			RAW(PREFACE SETTINGS "\0\0\3\252\377\0\0\0\5abc" HEADERS("\6", "\5", "\1") GET_A),
			RAW(SETTINGS HEADERS("\1", "\5", "\1") "\210"),
			ASKED "response 1 200  HTTP/2\nend 1 done 0 0\n"},
		{"an empty HEADERS and all in CONTINUATION",
			RAW(PREFACE SETTINGS HEADERS(
				"\0", "\1", "\1") "\0\0\2\11\0\0\0\0\1\202\204\0\0\4\11\4\0\0\0\1\207\101\1a"),
			RAW(SETTINGS HEADERS("\1", "\5", "\1") "\210"),
			ASKED "response 1 200  HTTP/2\nend 1 done 0 0\n"},
		{"host where there is no authority",
			RAW(PREFACE SETTINGS HEADERS("\14", "\5", "\1") "\202\204\207\0\4host\2xy"), RAW(""),
			"request 1 GET https|xy|/ HTTP/2 [host: xy]\nend 1 reset 0 0\n"},
		{"a response to a stream that is not there", RAW(OPENED),
			RAW(SETTINGS HEADERS("\1", "\5", "\7") "\210"), ASKED "end 1 reset 0 0\n"},
		{"NO_ERROR after a whole response refuses the rest of the request",
			RAW(PREFACE SETTINGS HEADERS("\6", "\4", "\1") GET_A),
			RAW(SETTINGS HEADERS("\1", "\5", "\1") "\210\0\0\4\3\0\0\0\0\1\0\0\0\0"),
			ASKED "response 1 200  HTTP/2\nend 1 done 0 0\n"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_raw(&cases[i]);
}

static void decompression_bomb_is_bounded(void **state)
{
	(void)state;
	struct http2_block block = {.list = {.cap = 65536}};
	static uint8_t bomb[60000];
	/* One field of 3,000 octets into the table, then that field again with each octet. */
	struct writer w = writer_over(bomb, 6);
	writer_bytes(&w, bytes_str("\100\1a\177\271\26"));
	memset(bomb + 6, 'x', 3000);
	memset(bomb + 3006, 0xbe, sizeof(bomb) - 3006);
	assert_int_equal(http2_block_add(&block, bytes_of(bomb, sizeof(bomb)), true), HTTP2_BLOCK_OK);
	assert_true(block.cut);
	assert_true(block.list.room <= 65536);
	static struct http2_fields fields;
	http2_block_fields(&block, 100, &fields);
	assert_true(fields.cut);
	assert_int_equal(fields.header_count, 65536 / 3009);
	http2_block_clear(&block);
	assert_null(block.list.data);
	assert_int_equal(http2_block_add(&block, bytes_of(RAW("\276")), true), HTTP2_BLOCK_OK);
	http2_block_fields(&block, 100, &fields);
	assert_int_equal(fields.header_count, 1);
	assert_int_equal(fields.headers[0].value.len, 3000);
	http2_block_free(&block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_and_responses_are_told),
		cmocka_unit_test(padding_is_no_body),
		cmocka_unit_test(many_streams_at_once_are_kept_apart),
		cmocka_unit_test(promised_streams_are_exchanges_of_their_own),
		cmocka_unit_test(header_blocks_over_many_frames_are_one),
		cmocka_unit_test(table_sizes_may_change_at_any_time),
		cmocka_unit_test(resets_end_their_stream_only),
		cmocka_unit_test(tunnels_count_what_goes_through_and_end_as_upgraded),
		cmocka_unit_test(goaway_ends_what_will_have_no_answer),
		cmocka_unit_test(streams_over_the_limit_are_left_out_and_counted),
		cmocka_unit_test(gaps_in_data_count_as_body),
		cmocka_unit_test(lost_headers_end_what_cannot_be_followed),
		cmocka_unit_test(what_is_no_http2_is_broken),
		cmocka_unit_test(messages_against_the_rules_are_shown_and_end_as_broken),
		cmocka_unit_test(odd_but_allowed_is_followed),
		cmocka_unit_test(decompression_bomb_is_bounded),
	};
	return cmocka_run_group_tests_name("decode/http2", tests, NULL, NULL);
}
