#include "proxy/replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SSL_REQUEST "\0\0\0\x08\x04\xd2\x16\x2f"

static void note(struct replay *r, enum starttls_protocol protocol, const char *text, size_t piece)
{
	struct bytes rest = bytes_str(text), part;
	while (rest.len > 0 && bytes_take(&rest, rest.len < piece ? rest.len : piece, &part))
		replay_note(r, protocol, part);
}

/* What the fresh server says, and what it must be told then; NULL: nothing yet. */
struct turn {
	const char *server, *client;
};

struct story {
	const char *name;
	enum starttls_protocol protocol;
	const char *said; /* by the client, to the first server */
	struct turn turns[8];
	enum replay_result last;
};

static const struct story stories[] = {
	{"SMTP", STARTTLS_SMTP, "EHLO me\r\nSTARTTLS\r\n",
		{{"", NULL}, {"220-mx\r\n", NULL}, {"220 mx ESMTP\r\n", "EHLO me\r\n"}, {"250-mx\r\n", NULL},
			{"250 STARTTLS\r\n", "STARTTLS\r\n"}, {"220 go\r\n", NULL}},
		REPLAY_AGREED},
	{"SMTP, pipelined before", STARTTLS_SMTP, "ehlo me\r\nNOOP\r\nRSET\r\nstarttls\r\n",
		{{"220 x\r\n", "ehlo me\r\n"}, {"250 x\r\n", "NOOP\r\n"}, {"250 x\r\n", "RSET\r\n"},
			{"250 x\r\n", "starttls\r\n"}, {"220 go\r\n", NULL}},
		REPLAY_AGREED},
	{"SMTP, refused the first time", STARTTLS_SMTP, "EHLO a\r\nSTARTTLS\r\nNOOP\r\nSTARTTLS\r\n",
		{{"220 x\r\n", "EHLO a\r\n"}, {"250 x\r\n", "NOOP\r\n"}, {"250 x\r\n", "STARTTLS\r\n"},
			{"220 go\r\n", NULL}},
		REPLAY_AGREED},
	{"SMTP, refused now", STARTTLS_SMTP, "EHLO a\r\nSTARTTLS\r\n",
		{{"220 x\r\n", "EHLO a\r\n"}, {"250 x\r\n", "STARTTLS\r\n"}, {"454 not now\r\n", NULL}}, REPLAY_FAILED},
	{"SMTP, turned away", STARTTLS_SMTP, "EHLO a\r\nSTARTTLS\r\n",
		{{"554 no\r\n", "EHLO a\r\n"}, {"503 no\r\n", "STARTTLS\r\n"}, {"503 no\r\n", NULL}}, REPLAY_FAILED},
	{"SMTP, more behind the agreement", STARTTLS_SMTP, "EHLO a\r\nSTARTTLS\r\n",
		{{"220 x\r\n", "EHLO a\r\n"}, {"250 x\r\n", "STARTTLS\r\n"}, {"220 go\r\n250 x\r\n", NULL}},
		REPLAY_FAILED},
	{"IMAP", STARTTLS_IMAP, "a CAPABILITY\r\nb ID NIL\r\nc starttls\r\n",
		{{"* OK hi\r\n", "a CAPABILITY\r\n"}, {"* CAPABILITY STARTTLS\r\n", NULL}, {"a OK\r\n", "b ID NIL\r\n"},
			{"* ID NIL\r\nb OK\r\n", "c starttls\r\n"}, {"c OK go\r\n", NULL}},
		REPLAY_AGREED},
	{"IMAP, refused now", STARTTLS_IMAP, "a STARTTLS\r\n", {{"* OK hi\r\n", "a STARTTLS\r\n"}, {"a BAD\r\n", NULL}},
		REPLAY_FAILED},
	{"POP3", STARTTLS_POP3, "CAPA\r\nSTLS\r\n",
		{{"+OK hi\r\n", "CAPA\r\n"}, {"+OK\r\nSTLS\r\n", NULL}, {".\r\n", "STLS\r\n"}, {"+OK\r\n", NULL}},
		REPLAY_AGREED},
	{"POP3, refused now", STARTTLS_POP3, "STLS\r\n", {{"+OK hi\r\n", "STLS\r\n"}, {"-ERR\r\n", NULL}},
		REPLAY_FAILED},
};

static void what_led_to_tls_is_said_again_in_step_with_the_replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++) {
		for (size_t piece = 1; piece < 100; piece *= 3) {
			const struct story *story = &stories[i];
			struct replay r = {0};
			enum replay_result result = REPLAY_WAIT;
			note(&r, story->protocol, story->said, piece);
			assert_null(replay_never(&r, story->protocol));
			replay_begin(&r, story->protocol);
			for (size_t k = 0; k < 8 && story->turns[k].server; k++) {
				struct bytes out;
				const char *due = story->turns[k].client;
				bool last = k == 7 || !story->turns[k + 1].server;
				result = replay_step(&r, bytes_str(story->turns[k].server), &out);
				if (!last && result != (due ? REPLAY_SAY : REPLAY_WAIT))
					fail_msg("%s, turn %zu: %d", story->name, k, (int)result);
				if (due)
					assert_true(bytes_equal(out, bytes_str(due)));
			}
			if (result != story->last)
				fail_msg("%s: %d", story->name, (int)result);
			assert_int_equal(result == REPLAY_FAILED, r.why != NULL);
			replay_clear(&r);
		}
	}
}

static void postgresqls_request_is_made_again(void **state)
{
	(void)state;
	static const char *const answers[] = {"S", "N", "E", "G", "SX"};
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct replay r = {0};
		struct bytes out;
		replay_note(&r, STARTTLS_POSTGRESQL, bytes_of(SSL_REQUEST, 8));
		assert_null(replay_never(&r, STARTTLS_POSTGRESQL));
		replay_begin(&r, STARTTLS_POSTGRESQL);
		assert_int_equal(replay_step(&r, BYTES_NONE, &out), REPLAY_SAY);
		assert_true(bytes_equal(out, bytes_of(SSL_REQUEST, 8)));
		assert_int_equal(replay_step(&r, bytes_str(answers[i]), &out), i == 0 ? REPLAY_AGREED : REPLAY_FAILED);
		replay_clear(&r);
	}
}

static void nothing_is_said_twice_that_carries_more_than_a_question(void **state)
{
	(void)state;
	static const struct {
		enum starttls_protocol protocol;
		const char *said;
	} cases[] = {
		{STARTTLS_SMTP, "EHLO a\r\nAUTH PLAIN AGEAYg==\r\nSTARTTLS\r\n"},
		{STARTTLS_SMTP, "EHLO a\r\nMAIL FROM:<a@b>\r\nRSET\r\nSTARTTLS\r\n"},
		{STARTTLS_SMTP, "XCLIENT NAME=a\r\nSTARTTLS\r\n"},
		{STARTTLS_SMTP, "VRFY me\r\nSTARTTLS\r\n"},
		{STARTTLS_SMTP, "\r\nSTARTTLS\r\n"},
		{STARTTLS_IMAP, "a LOGIN me secret\r\nb STARTTLS\r\n"},
		{STARTTLS_IMAP, "a ID (\"x\" {3}\r\nabc)\r\nb STARTTLS\r\n"},
		{STARTTLS_IMAP, "a AUTHENTICATE PLAIN\r\nAGEAYg==\r\nb STARTTLS\r\n"},
		{STARTTLS_IMAP, "NOOP\r\nb STARTTLS\r\n"},
		{STARTTLS_POP3, "USER me\r\nSTLS\r\n"},
		{STARTTLS_POP3, "APOP me 0123\r\nSTLS\r\n"},
		/* How TLS came about is not known. */
		{STARTTLS_SMTP, ""},
		{STARTTLS_NONE, "x\r\n"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t piece = 1; piece < 100; piece *= 9) {
			struct replay r = {0};
			note(&r, cases[i].protocol, cases[i].said, piece);
			assert_non_null(replay_never(&r, cases[i].protocol));
			/* And nothing of it is kept. */
			assert_int_equal(r.said.len, 0);
			assert_null(r.said.data);
			assert_false(r.capped);
			replay_clear(&r);
		}
	}
}

static void what_is_kept_is_bounded(void **state)
{
	(void)state;
	struct replay r = {0};
	for (size_t n = 0; n < REPLAY_MAX / 8; n++)
		replay_note(&r, STARTTLS_SMTP, bytes_str("NOOP ab\n"));
	assert_null(replay_never(&r, STARTTLS_SMTP));
	assert_int_equal(r.said.len, REPLAY_MAX);
	replay_note(&r, STARTTLS_SMTP, bytes_str("N"));
	assert_non_null(replay_never(&r, STARTTLS_SMTP));
	assert_true(r.capped);
	assert_null(r.said.data);
	/* For good. */
	replay_note(&r, STARTTLS_SMTP, bytes_str("STARTTLS\r\n"));
	assert_non_null(replay_never(&r, STARTTLS_SMTP));
	assert_true(r.capped);
	replay_clear(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_led_to_tls_is_said_again_in_step_with_the_replies),
		cmocka_unit_test(postgresqls_request_is_made_again),
		cmocka_unit_test(nothing_is_said_twice_that_carries_more_than_a_question),
		cmocka_unit_test(what_is_kept_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
