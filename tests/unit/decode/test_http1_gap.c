/* Losses, and what the proxy need not copy. */
#include "decode/decoder.h"
#include "record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct talk {
	struct decoder *decoder;
	struct record record;
};

static void begin(struct talk *talk, const struct decoder_output *out)
{
	*talk = (struct talk){0};
	talk->decoder = decoder_new(DECODER_HTTP1, 1, &DECODER_LIMITS_DEFAULT, out, &talk->record);
	assert_non_null(talk->decoder);
}

static void up(struct talk *talk, const char *text)
{
	decoder_feed(talk->decoder, FLOW_UP, bytes_str(text), 1);
}

static void down(struct talk *talk, const char *text)
{
	decoder_feed(talk->decoder, FLOW_DOWN, bytes_str(text), 1);
}

static void over(struct talk *talk, const char *said)
{
	decoder_close(talk->decoder, 2);
	assert_string_equal(record_text(&talk->record), said);
	decoder_free(talk->decoder);
	record_clear(&talk->record);
}

#define ASK   "GET /1 HTTP/1.1\r\n\r\n"
#define ASKED "request 1 GET ||/1 HTTP/1.1\n"

static void gap_within_a_body_counts_as_body(void **state)
{
	(void)state;
	struct talk talk;
	begin(&talk, &record_output);
	up(&talk, ASK);
	down(&talk, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab");
	decoder_gap(talk.decoder, FLOW_DOWN, 5, 1);
	down(&talk, "hij");
	up(&talk, ASK);
	down(&talk, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\na");
	decoder_gap(talk.decoder, FLOW_DOWN, 4, 1);
	down(&talk, "f\r\n0\r\n\r\n");
	up(&talk, ASK);
	down(&talk, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
	decoder_gap(talk.decoder, FLOW_DOWN, 10, 1);
	up(&talk, ASK);
	down(&talk, "HTTP/1.1 200 OK\r\n\r\nab");
	decoder_gap(talk.decoder, FLOW_DOWN, UINT64_MAX, 1);
	decoder_half(talk.decoder, FLOW_DOWN, 1);
	over(&talk, ASKED "response 1 200 OK HTTP/1.1 [Content-Length: 10]\nbody 1 down \"ab<5>hij\"\nend 1 done 0 10\n"
			  "request 2 GET ||/1 HTTP/1.1\nresponse 2 200 OK HTTP/1.1 [Transfer-Encoding: chunked]\n"
			  "body 2 down \"a<4>f\"\nend 2 done 0 6\n"
			  "request 3 GET ||/1 HTTP/1.1\nresponse 3 200 OK HTTP/1.1 [Content-Length: 10]\n"
			  "body 3 down \"<10>\"\nend 3 done 0 10\n"
			  "request 4 GET ||/1 HTTP/1.1\nresponse 4 200 OK HTTP/1.1\n"
			  "body 4 down \"ab<18446744073709551615>\"\nend 4 done 0 18446744073709551615\n");
}

static void gap_over_the_end_of_a_response_is_missed_and_the_next_one_found(void **state)
{
	(void)state;
	struct talk talk;
	begin(&talk, &record_output);
	up(&talk, ASK);
	down(&talk, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc");
	decoder_gap(talk.decoder, FLOW_DOWN, 2, 1);
	down(&talk, "rest of it\r\n0\r\n\r\n");
	up(&talk, "GET /2 HTTP/1.1\r\n\r\n");
	down(&talk, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	over(&talk, ASKED "response 1 200 OK HTTP/1.1 [Transfer-Encoding: chunked]\n"
			  "body 1 down \"abc\"\nend 1 missed 0 3\n"
			  "request 2 GET ||/2 HTTP/1.1\nresponse 2 200 OK HTTP/1.1 [Content-Length: 1]\n"
			  "body 2 down \"x\"\nend 2 done 0 1\n");
}

static void gap_over_a_whole_response_leaves_the_next_matched(void **state)
{
	(void)state;
	struct talk talk;
	begin(&talk, &record_output);
	up(&talk, ASK);
	decoder_gap(talk.decoder, FLOW_DOWN, 1000, 1);
	up(&talk, "GET /2 HTTP/1.1\r\n\r\n");
	down(&talk, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	/* Found again: pipelining is followed as before. */
	up(&talk, "GET /3 HTTP/1.1\r\n\r\nGET /4 HTTP/1.1\r\n\r\n");
	down(&talk, "HTTP/1.1 204 A\r\n\r\nHTTP/1.1 204 B\r\n\r\n");
	over(&talk, ASKED "end 1 missed 0 0\nrequest 2 GET ||/2 HTTP/1.1\n"
			  "response 2 200 OK HTTP/1.1 [Content-Length: 1]\nbody 2 down \"x\"\nend 2 done 0 1\n"
			  "request 3 GET ||/3 HTTP/1.1\nrequest 4 GET ||/4 HTTP/1.1\n"
			  "response 3 204 A HTTP/1.1\nend 3 done 0 0\nresponse 4 204 B HTTP/1.1\nend 4 done 0 0\n");
}

static void gap_in_a_head_is_missed(void **state)
{
	(void)state;
	struct talk talk;
	begin(&talk, &record_output);
	up(&talk, ASK);
	down(&talk, "HTTP/1.1 200 OK\r\nConte");
	decoder_gap(talk.decoder, FLOW_DOWN, 3, 1);
	down(&talk, "ength: 1\r\n\r\nx");
	up(&talk, "GET /2 HT");
	decoder_gap(talk.decoder, FLOW_UP, 3, 1);
	up(&talk, "1\r\n\r\n");
	down(&talk, "HTTP/1.1 204 N\r\n\r\n");
	up(&talk, "GET /3 HTTP/1.1\r\n\r\n");
	down(&talk, "HTTP/1.1 204 N\r\n\r\n");
	over(&talk, ASKED "end 1 missed 0 0\nresponse 0 204 N HTTP/1.1\nend 0 done 0 0\n"
			  "request 2 GET ||/3 HTTP/1.1\nresponse 2 204 N HTTP/1.1\nend 2 done 0 0\n");
}

static void lost_end_of_a_request_body_is_missed_and_its_response_shown(void **state)
{
	(void)state;
	struct talk talk;
	begin(&talk, &record_output);
	up(&talk, "POST /1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
	decoder_gap(talk.decoder, FLOW_UP, 3, 1);
	down(&talk, "HTTP/1.1 204 N\r\n\r\n");
	up(&talk, "POST /2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
	decoder_gap(talk.decoder, FLOW_UP, 4, 1);
	up(&talk, "0\r\n\r\n");
	down(&talk, "HTTP/1.1 204 N\r\n\r\n");
	over(&talk, "request 1 POST ||/1 HTTP/1.1 [Content-Length: 5]\nresponse 1 204 N HTTP/1.1\n"
		    "body 1 up \"ab<3>\"\nend 1 done 5 0\n"
		    "request 2 POST ||/2 HTTP/1.1 [Transfer-Encoding: chunked]\nresponse 2 204 N HTTP/1.1\n"
		    "body 2 up \"ab<3>\"\nend 2 missed 5 0\n");
}

static void octets_after_a_gap_are_no_head_unless_they_begin_as_one(void **state)
{
	(void)state;
	struct talk talk;
	begin(&talk, &record_output);
	up(&talk, ASK);
	decoder_gap(talk.decoder, FLOW_DOWN, 10, 1);
	down(&talk, "xHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	down(&talk, "\nHTTP/1.1 200 OK\r\n\r\n");
	over(&talk, ASKED "end 1 reset 0 0\n");
}

static void bodies_nobody_wants_may_be_skipped(void **state)
{
	(void)state;
	struct talk talk;
	begin(&talk, &record_no_bodies);
	assert_int_equal(decoder_skip(talk.decoder, FLOW_UP), 0);
	up(&talk, "POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nabcd");
	assert_int_equal(decoder_skip(talk.decoder, FLOW_UP), 999996);
	decoder_gap(talk.decoder, FLOW_UP, 999990, 1);
	assert_int_equal(decoder_skip(talk.decoder, FLOW_UP), 6);
	decoder_gap(talk.decoder, FLOW_UP, 6, 1);
	assert_int_equal(decoder_skip(talk.decoder, FLOW_UP), 0);
	down(&talk, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabcd");
	assert_int_equal(decoder_skip(talk.decoder, FLOW_DOWN), 12);
	decoder_gap(talk.decoder, FLOW_DOWN, 12, 1);
	assert_int_equal(decoder_skip(talk.decoder, FLOW_DOWN), 0);
	down(&talk, "\r\n0\r\n\r\n");
	up(&talk, "GET / HTTP/1.1\r\n\r\n");
	down(&talk, "HTTP/1.1 200 OK\r\n\r\n");
	assert_true(decoder_skip(talk.decoder, FLOW_DOWN) == UINT64_MAX);
	decoder_gap(talk.decoder, FLOW_DOWN, 12345, 1);
	decoder_half(talk.decoder, FLOW_DOWN, 1);
	over(&talk, "request 1 POST ||/ HTTP/1.1 [Content-Length: 1000000]\n"
		    "response 1 200 OK HTTP/1.1 [Transfer-Encoding: chunked]\nend 1 done 1000000 16\n"
		    "request 2 GET ||/ HTTP/1.1\nresponse 2 200 OK HTTP/1.1\nend 2 done 0 12345\n");
}

static void nothing_is_skipped_where_bodies_are_wanted(void **state)
{
	(void)state;
	struct talk talk;
	begin(&talk, &record_output);
	up(&talk, "POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nabcd");
	assert_int_equal(decoder_skip(talk.decoder, FLOW_UP), 0);
	over(&talk, "request 1 POST ||/ HTTP/1.1 [Content-Length: 1000000]\nbody 1 up \"abcd\"\nend 1 reset 4 0\n");
}

static void what_is_held_for_an_upgrade_is_bounded(void **state)
{
	(void)state;
	struct talk talk;
	begin(&talk, &record_output);
	up(&talk, "GET /1 HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
	for (unsigned i = 0; i < 100; i++) {
		char junk[1000];
		memset(junk, 'j', sizeof(junk));
		decoder_feed(talk.decoder, FLOW_UP, bytes_of(junk, sizeof(junk)), 1);
	}
	down(&talk, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
	up(&talk, "GET /2 HTTP/1.1\r\n\r\n");
	down(&talk, "HTTP/1.1 204 N\r\n\r\n");
	over(&talk, "request 1 GET ||/1 HTTP/1.1 [Connection: upgrade] [Upgrade: x]\n"
		    "response 1 400 Bad HTTP/1.1 [Content-Length: 0]\nend 1 done 0 0\n"
		    "request 2 GET ||/2 HTTP/1.1\nresponse 2 204 N HTTP/1.1\nend 2 done 0 0\n");
}

static void lost_answer_to_an_upgrade_does_not_hold_the_client_for_ever(void **state)
{
	(void)state;
	struct talk talk;
	begin(&talk, &record_output);
	up(&talk, "GET /1 HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
	down(&talk, "HTTP/1.1 4");
	decoder_gap(talk.decoder, FLOW_DOWN, 10, 1);
	up(&talk, "GET /2 HTTP/1.1\r\n\r\n");
	down(&talk, "HTTP/1.1 204 N\r\n\r\n");
	over(&talk, "request 1 GET ||/1 HTTP/1.1 [Connection: upgrade] [Upgrade: x]\nend 1 missed 0 0\n"
		    "request 2 GET ||/2 HTTP/1.1\nresponse 2 204 N HTTP/1.1\nend 2 done 0 0\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gap_within_a_body_counts_as_body),
		cmocka_unit_test(gap_over_the_end_of_a_response_is_missed_and_the_next_one_found),
		cmocka_unit_test(gap_over_a_whole_response_leaves_the_next_matched),
		cmocka_unit_test(gap_in_a_head_is_missed),
		cmocka_unit_test(lost_end_of_a_request_body_is_missed_and_its_response_shown),
		cmocka_unit_test(octets_after_a_gap_are_no_head_unless_they_begin_as_one),
		cmocka_unit_test(bodies_nobody_wants_may_be_skipped),
		cmocka_unit_test(nothing_is_skipped_where_bodies_are_wanted),
		cmocka_unit_test(what_is_held_for_an_upgrade_is_bounded),
		cmocka_unit_test(lost_answer_to_an_upgrade_does_not_hold_the_client_for_ever),
	};
	return cmocka_run_group_tests_name("decode/http1_gap", tests, NULL, NULL);
}
