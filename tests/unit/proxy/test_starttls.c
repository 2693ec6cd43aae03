#include "proxy/starttls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAX_STEPS 24

/* One side says something. */
struct say {
	enum starttls_side side;
	const char *text;
	size_t len;
};

#define C(text)                                                                                                        \
	{                                                                                                              \
		STARTTLS_CLIENT, text, sizeof(text) - 1                                                                \
	}
#define S(text)                                                                                                        \
	{                                                                                                              \
		STARTTLS_SERVER, text, sizeof(text) - 1                                                                \
	}

struct dialogue {
	const char *name;
	enum starttls_protocol protocol;
	enum starttls_result last; /* what the last octets come to */
	struct say say[MAX_STEPS];
};

/* Feeds in pieces, each from an exact copy. Returns the last result that was not PASS, and where it came. */
static enum starttls_result feed(struct starttls *s, const struct say *say, size_t piece)
{
	enum starttls_result result = STARTTLS_PASS;
	for (size_t at = 0; at < say->len; at += piece) {
		size_t n = say->len - at < piece ? say->len - at : piece;
		uint8_t *copy = malloc(n);
		assert_non_null(copy);
		memcpy(copy, say->text + at, n);
		enum starttls_result now = starttls_feed(s, say->side, bytes_of(copy, n));
		free(copy);
		if (now != STARTTLS_PASS)
			result = now;
	}
	return result;
}

#define GREET S("220-mx.example\r\n220 mx.example ESMTP\r\n")
#define EHLO  C("EHLO me\r\n"), S("250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
#define HELLO C("\x16\3\1\2\0\1")
#define READY S("220 2.0.0 go\r\n")

static const struct dialogue dialogues[] = {
	{"plain SMTP upgrade", STARTTLS_SMTP, STARTTLS_BEGINS, {GREET, EHLO, C("STARTTLS\r\n"), READY}},
	{"the hello after it", STARTTLS_SMTP, STARTTLS_HELLO, {GREET, EHLO, C("starttls\r\n"), READY, HELLO}},
	{"multi-line agreement", STARTTLS_SMTP, STARTTLS_BEGINS,
		{GREET, EHLO, C("STARTTLS\r\n"), S("220-a\r\n220-b\r\n220 c\r\n")}},
	{"bare LF", STARTTLS_SMTP, STARTTLS_BEGINS,
		{GREET, C("EHLO me\n"), S("250 ok\n"), C("STARTTLS\n"), S("220 go\n")}},
	{"refused, then tried again", STARTTLS_SMTP, STARTTLS_BEGINS,
		{GREET, EHLO, C("STARTTLS\r\n"), S("454 not now\r\n"), C("NOOP\r\n"), S("250 ok\r\n"),
			C("STARTTLS\r\n"), READY}},
	{"pipelined commands before it", STARTTLS_SMTP, STARTTLS_BEGINS,
		{GREET, EHLO, C("NOOP\r\nRSET\r\nSTARTTLS\r\n"), S("250 ok\r\n250 ok\r\n"), READY}},
	{"220 for another command", STARTTLS_SMTP, STARTTLS_PASS,
		{GREET, EHLO, C("HELP\r\nSTARTTLS\r\n"), S("220 this is help\r\n"), S("502 no\r\n"), C("QUIT\r\n")}},
	{"before the greeting", STARTTLS_SMTP, STARTTLS_BEGINS,
		{C("EHLO me\r\nSTARTTLS\r\n"), S("220 ESMTP\r\n250 ok\r\n"), READY}},
	{"command injection in one segment", STARTTLS_SMTP, STARTTLS_REFUSE,
		{GREET, EHLO, C("STARTTLS\r\nMAIL FROM:<evil>\r\n")}},
	{"command injection before the answer", STARTTLS_SMTP, STARTTLS_REFUSE,
		{GREET, EHLO, C("STARTTLS\r\n"), C("M")}},
	{"command injection after the answer", STARTTLS_SMTP, STARTTLS_REFUSE,
		{GREET, EHLO, C("STARTTLS\r\n"), READY, C("MAIL FROM:<evil>\r\n")}},
	{"response injection in one segment", STARTTLS_SMTP, STARTTLS_REFUSE,
		{GREET, EHLO, C("STARTTLS\r\n"), S("220 go\r\n250-AUTH PLAIN\r\n")}},
	{"response injection later", STARTTLS_SMTP, STARTTLS_REFUSE,
		{GREET, EHLO, C("STARTTLS\r\n"), READY, S("250 AUTH PLAIN\r\n")}},
	{"a hello before the answer", STARTTLS_SMTP, STARTTLS_REFUSE, {GREET, EHLO, C("STARTTLS\r\n"), HELLO}},
	{"a hello that nobody agreed to", STARTTLS_SMTP, STARTTLS_REFUSE, {GREET, EHLO, HELLO}},
	{"a hello instead of a command", STARTTLS_SMTP, STARTTLS_REFUSE, {GREET, HELLO}},
	{"mail content is no command", STARTTLS_SMTP, STARTTLS_PASS,
		{GREET, EHLO, C("DATA\r\n"), S("354 go\r\n"), C("STARTTLS\r\nx\r\n.\r\n"), S("250 ok\r\n"),
			C("QUIT\r\n"), S("220 not TLS\r\n")}},
	{"after mail", STARTTLS_SMTP, STARTTLS_BEGINS,
		{GREET, EHLO, C("MAIL\r\nRCPT\r\nDATA\r\n"), S("250 a\r\n250 b\r\n354 c\r\n"),
			C("..\r\nx.\r\n.x\r\n.\r\n"), S("250 ok\r\n"), C("STARTTLS\r\n"), READY}},
	{"DATA refused", STARTTLS_SMTP, STARTTLS_BEGINS,
		{GREET, EHLO, C("DATA\r\n"), S("503 no\r\n"), C("STARTTLS\r\n"), READY}},
	{"smuggling: dot between LF and CRLF", STARTTLS_SMTP, STARTTLS_REFUSE,
		{GREET, EHLO, C("DATA\r\n"), S("354 go\r\n"), C("x\n.\r\nMAIL\r\n")}},
	{"smuggling: dot between CRLF and LF", STARTTLS_SMTP, STARTTLS_REFUSE,
		{GREET, EHLO, C("DATA\r\n"), S("354 go\r\n"), C("x\r\n.\nMAIL\r\n")}},
	{"a chunk is no command", STARTTLS_SMTP, STARTTLS_BEGINS,
		{GREET, EHLO, C("BDAT 12\r\nSTARTTLS\r\n\x16\nBDAT 0 LAST\r\n"), S("250 a\r\n250 b\r\n"),
			C("STARTTLS\r\n"), READY}},
	{"a hello behind a chunk", STARTTLS_SMTP, STARTTLS_REFUSE, {GREET, EHLO, C("BDAT 2\r\nab\x16")}},
	{"a chunk without size", STARTTLS_SMTP, STARTTLS_REFUSE, {GREET, EHLO, C("BDAT x\r\n")}},
	{"a line longer than is kept", STARTTLS_SMTP, STARTTLS_BEGINS,
		{GREET, EHLO,
			C("NOOP "
			  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			  "aaaaaaaaaa"
			  "\r\n"),
			S("250 ok\r\n"), C("STARTTLS\r\n"), READY}},
	{"AUTH with continuations", STARTTLS_SMTP, STARTTLS_BEGINS,
		{GREET, EHLO, C("AUTH LOGIN\r\n"), S("334 VXNlcg==\r\n"), C("dQ==\r\n"), S("334 UGFzcw==\r\n"),
			C("cA==\r\n"), S("535 no\r\n"), C("STARTTLS\r\n"), READY}},

	{"TLS from the first octet", STARTTLS_SMTP, STARTTLS_HELLO, {HELLO}},
	{"TLS from the first octet", STARTTLS_IMAP, STARTTLS_HELLO, {HELLO}},
	{"TLS from the first octet", STARTTLS_POSTGRESQL, STARTTLS_HELLO, {HELLO}},
	{"TLS from the first octet", STARTTLS_NONE, STARTTLS_HELLO, {HELLO}},
	{"unknown protocol", STARTTLS_NONE, STARTTLS_PLAIN, {C("hello\r\n")}},

	{"IMAP upgrade", STARTTLS_IMAP, STARTTLS_BEGINS,
		{S("* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n"), C("a1 CAPABILITY\r\n"),
			S("* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK done\r\n"), C("a2 starttls\r\n"),
			S("a2 OK go\r\n")}},
	{"IMAP, another tag", STARTTLS_IMAP, STARTTLS_PASS,
		{S("* OK hi\r\n"), C("a1 NOOP\r\na2 STARTTLS\r\n"), S("a1 OK done\r\n* OK x\r\nA2 OK no\r\n")}},
	{"IMAP, then the tag", STARTTLS_IMAP, STARTTLS_BEGINS,
		{S("* OK hi\r\n"), C("a1 NOOP\r\na2 STARTTLS\r\n"), S("a1 OK done\r\na2 OK go\r\n")}},
	{"IMAP, refused and again", STARTTLS_IMAP, STARTTLS_BEGINS,
		{S("* OK hi\r\n"), C("a STARTTLS\r\n"), S("a NO later\r\n"), C("b STARTTLS\r\n"), S("b OK go\r\n")}},
	{"IMAP command injection", STARTTLS_IMAP, STARTTLS_REFUSE,
		{S("* OK hi\r\n"), C("a STARTTLS\r\nb LOGIN x y\r\n")}},
	{"IMAP response injection", STARTTLS_IMAP, STARTTLS_REFUSE,
		{S("* OK hi\r\n"), C("a STARTTLS\r\n"), S("a OK go\r\n* CAPABILITY AUTH=PLAIN\r\n")}},
	{"IMAP client literal is no command", STARTTLS_IMAP, STARTTLS_PASS,
		{S("* OK hi\r\n"), C("a LOGIN {14}\r\n"), S("+ go\r\n"), C("\x16 STARTTLS\r\nab pw\r\n"),
			S("a OK in\r\n"), C("b NOOP\r\n")}},
	{"IMAP non-synchronising literal", STARTTLS_IMAP, STARTTLS_BEGINS,
		{S("* OK hi\r\n"), C("a LOGIN {3+}\r\nb\r\n {2+}\r\nxy\r\nc STARTTLS\r\n"), S("a NO\r\nc OK\r\n")}},
	{"IMAP literal the server declined", STARTTLS_IMAP, STARTTLS_BEGINS,
		{S("* OK hi\r\n"), C("a LOGIN {9999}\r\n"), S("a BAD too long\r\n"), C("b STARTTLS\r\n"),
			S("b OK\r\n")}},
	{"IMAP server literal is no reply", STARTTLS_IMAP, STARTTLS_BEGINS,
		{S("* OK hi\r\n"), C("a STARTTLS\r\n"), S("* X {9}\r\na OK no\r\n\r\n* Y {0}\r\na OK no\r\n"),
			S("a OK yes\r\n")}},
	{"IMAP, a hello nobody agreed to", STARTTLS_IMAP, STARTTLS_REFUSE, {S("* PREAUTH hi\r\n"), HELLO}},

	{"POP3 upgrade", STARTTLS_POP3, STARTTLS_BEGINS,
		{S("+OK hi\r\n"), C("CAPA\r\n"), S("+OK\r\nSTLS\r\nUSER\r\n.\r\n"), C("STLS\r\n"), S("+OK go\r\n")}},
	{"POP3 lines of a list are no replies", STARTTLS_POP3, STARTTLS_BEGINS,
		{S("+OK hi\r\n"), C("CAPA\r\nSTLS\r\n"), S("+OK\r\n+OK STLS\r\n-ERR\r\n.\r\n"), S("+OK go\r\n")}},
	{"POP3 refused list", STARTTLS_POP3, STARTTLS_BEGINS,
		{S("+OK hi\r\n"), C("LIST\r\nLIST 1\r\nSTLS\r\n"), S("-ERR no\r\n+OK 1 5\r\n+OK go\r\n")}},
	{"POP3 refused", STARTTLS_POP3, STARTTLS_PASS,
		{S("+OK hi\r\n"), C("STLS\r\n"), S("-ERR no\r\n"), C("USER a\r\n")}},
	{"POP3 AUTH with continuation", STARTTLS_POP3, STARTTLS_BEGINS,
		{S("+OK hi\r\n"), C("AUTH PLAIN\r\n"), S("+ \r\n"), C("AGEAYg==\r\n"), S("-ERR no\r\n"), C("STLS\r\n"),
			S("+OK\r\n")}},
	{"POP3 command injection", STARTTLS_POP3, STARTTLS_REFUSE, {S("+OK hi\r\n"), C("STLS\r\nUSER a\r\n")}},
	{"POP3 response injection", STARTTLS_POP3, STARTTLS_REFUSE,
		{S("+OK hi\r\n"), C("STLS\r\n"), S("+OK go\r\n+OK more\r\n")}},

#define SSL_REQUEST "\0\0\0\x08\x04\xd2\x16\x2f"
#define GSS_REQUEST "\0\0\0\x08\x04\xd2\x16\x30"
#define STARTUP     "\0\0\0\x10\0\3\0\0user\0a\0\0"
	{"PostgreSQL upgrade", STARTTLS_POSTGRESQL, STARTTLS_BEGINS, {C(SSL_REQUEST), S("S")}},
	{"PostgreSQL hello", STARTTLS_POSTGRESQL, STARTTLS_HELLO, {C(SSL_REQUEST), S("S"), HELLO}},
	{"PostgreSQL GSS declined first", STARTTLS_POSTGRESQL, STARTTLS_BEGINS,
		{C(GSS_REQUEST), S("N"), C(SSL_REQUEST), S("S")}},
	{"PostgreSQL GSS", STARTTLS_POSTGRESQL, STARTTLS_PLAIN, {C(GSS_REQUEST), S("G"), C("\0\0\1\0")}},
	{"PostgreSQL declined", STARTTLS_POSTGRESQL, STARTTLS_PLAIN, {C(SSL_REQUEST), S("N"), C(STARTUP)}},
	{"PostgreSQL without asking", STARTTLS_POSTGRESQL, STARTTLS_PLAIN, {C(STARTUP)}},
	{"PostgreSQL old server", STARTTLS_POSTGRESQL, STARTTLS_PLAIN, {C(SSL_REQUEST), S("EFATAL")}},
	{"PostgreSQL command injection", STARTTLS_POSTGRESQL, STARTTLS_REFUSE, {C(SSL_REQUEST STARTUP)}},
	{"PostgreSQL response injection", STARTTLS_POSTGRESQL, STARTTLS_REFUSE, {C(SSL_REQUEST), S("SR")}},
	{"PostgreSQL later response injection", STARTTLS_POSTGRESQL, STARTTLS_REFUSE, {C(SSL_REQUEST), S("S"), S("R")}},
	{"PostgreSQL server too busy", STARTTLS_POSTGRESQL, STARTTLS_PLAIN, {S("Etoo many")}},
	{"PostgreSQL server speaks first", STARTTLS_POSTGRESQL, STARTTLS_REFUSE, {S("S")}},
	{"PostgreSQL more behind no", STARTTLS_POSTGRESQL, STARTTLS_REFUSE, {C(SSL_REQUEST), S("NR")}},
	{"PostgreSQL nonsense", STARTTLS_POSTGRESQL, STARTTLS_REFUSE, {C(SSL_REQUEST), S("X")}},
	{"PostgreSQL S for GSS", STARTTLS_POSTGRESQL, STARTTLS_REFUSE, {C(GSS_REQUEST), S("S")}},
	{"PostgreSQL hello nobody agreed to", STARTTLS_POSTGRESQL, STARTTLS_REFUSE, {C(SSL_REQUEST), S("N"), HELLO}},
};

static void tls_begins_where_both_agreed_and_nowhere_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		for (size_t piece = 1; piece < 64; piece = piece < 8 ? piece + 1 : piece * 2) {
			struct starttls s;
			enum starttls_result result = STARTTLS_PASS;
			starttls_begin(&s, dialogues[i].protocol);
			for (size_t k = 0; k < MAX_STEPS && dialogues[i].say[k].len > 0; k++) {
				/* Nothing before the last words is refused. */
				assert_true(result != STARTTLS_REFUSE && result != STARTTLS_HELLO);
				result = feed(&s, &dialogues[i].say[k], piece);
			}
			if (result != dialogues[i].last)
				print_error(
					"%s, by %zu: %d %s\n", dialogues[i].name, piece, result, s.why ? s.why : "");
			assert_int_equal(result, dialogues[i].last);
			assert_int_equal(result == STARTTLS_REFUSE, s.why != NULL);
		}
	}
}

static void a_final_word_is_given_again(void **state)
{
	(void)state;
	struct starttls s;
	starttls_begin(&s, STARTTLS_POSTGRESQL);
	assert_int_equal(starttls_feed(&s, STARTTLS_CLIENT, bytes_of(SSL_REQUEST "x", 9)), STARTTLS_REFUSE);
	assert_int_equal(starttls_feed(&s, STARTTLS_SERVER, bytes_str("S")), STARTTLS_REFUSE);
	assert_int_equal(starttls_feed(&s, STARTTLS_CLIENT, bytes_str("\x16")), STARTTLS_REFUSE);
}

static void more_commands_than_are_answered_are_refused(void **state)
{
	(void)state;
	struct starttls s;
	starttls_begin(&s, STARTTLS_SMTP);
	for (int i = 0; i < STARTTLS_QUEUE - 1; i++)
		assert_int_equal(starttls_feed(&s, STARTTLS_CLIENT, bytes_str("NOOP\r\n")), STARTTLS_PASS);
	assert_int_equal(starttls_feed(&s, STARTTLS_CLIENT, bytes_str("NOOP\r\n")), STARTTLS_REFUSE);
	/* Answered ones make room, over and over. */
	starttls_begin(&s, STARTTLS_POP3);
	assert_int_equal(starttls_feed(&s, STARTTLS_SERVER, bytes_str("+OK\r\n")), STARTTLS_PASS);
	for (int i = 0; i < 3 * STARTTLS_QUEUE; i++) {
		assert_int_equal(starttls_feed(&s, STARTTLS_CLIENT, bytes_str("RETR 1\r\nNOOP\r\n")), STARTTLS_PASS);
		assert_int_equal(
			starttls_feed(&s, STARTTLS_SERVER, bytes_str("+OK\r\n+OK\r\n.\r\n+OK\r\n")), STARTTLS_PASS);
	}
	assert_int_equal(starttls_feed(&s, STARTTLS_CLIENT, bytes_str("STLS\r\n")), STARTTLS_PASS);
	assert_int_equal(starttls_feed(&s, STARTTLS_SERVER, bytes_str("+OK\r\n")), STARTTLS_BEGINS);
}

static void protocols_are_known_by_port_and_greeting(void **state)
{
	(void)state;
	assert_int_equal(starttls_by_port(25), STARTTLS_SMTP);
	assert_int_equal(starttls_by_port(587), STARTTLS_SMTP);
	assert_int_equal(starttls_by_port(143), STARTTLS_IMAP);
	assert_int_equal(starttls_by_port(110), STARTTLS_POP3);
	assert_int_equal(starttls_by_port(5432), STARTTLS_POSTGRESQL);
	assert_int_equal(starttls_by_port(443), STARTTLS_NONE);
	static const struct {
		const char *greeting;
		enum starttls_protocol protocol;
		bool guessed;
	} cases[] = {
		{"220 mx.example ESMTP Postfix\r\n", STARTTLS_SMTP, false},
		{"220-mx SMTP", STARTTLS_SMTP, false},
		{"220 mail.example Dovecot ready.\r\n", STARTTLS_SMTP, true},
		{"220 ProFTPD\r\nSMTP", STARTTLS_SMTP, true},
		{"* OK Dovecot ready.\r\n", STARTTLS_IMAP, false},
		{"+OK POP3\r\n", STARTTLS_POP3, false},
		{"2200 x\r\n", STARTTLS_NONE, false},
		{"SSH-2.0-x\r\n", STARTTLS_NONE, false},
		{"", STARTTLS_NONE, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct starttls s;
		starttls_begin_by_greeting(&s, bytes_str(cases[i].greeting));
		assert_int_equal(s.protocol, cases[i].protocol);
		assert_int_equal(s.guessed, cases[i].guessed);
	}
}

/* What a client says first behind `220 ready`, and what that makes of the dialogue. */
static void a_greeting_of_two_protocols_is_settled_by_the_clients_first_command(void **state)
{
	(void)state;
	static const struct dialogue guesses[] = {
		{"EHLO", STARTTLS_SMTP, STARTTLS_BEGINS, {EHLO, C("STARTTLS\r\n"), READY}},
		{"LHLO in small letters", STARTTLS_SMTP, STARTTLS_BEGINS,
			{C("lhlo me\r\n"), S("250 ok\r\n"), C("STARTTLS\r\n"), READY}},
		{"FTP with TLS", STARTTLS_SMTP, STARTTLS_PLAIN, {C("AUTH TLS\r\n"), S("234 go\r\n"), HELLO}},
		{"FTP", STARTTLS_SMTP, STARTTLS_PLAIN, {C("USER anonymous\r\n"), S("331 password\r\n")}},
		{"FTP that asks in words of SMTP", STARTTLS_SMTP, STARTTLS_PLAIN, {C("STARTTLS\r\n"), READY, HELLO}},
		{"TLS at once", STARTTLS_SMTP, STARTTLS_HELLO, {HELLO}},
	};
	for (size_t i = 0; i < sizeof(guesses) / sizeof(guesses[0]); i++) {
		for (size_t piece = 1; piece < 64; piece *= 2) {
			struct starttls s;
			enum starttls_result result = STARTTLS_PASS;
			starttls_begin_by_greeting(&s, bytes_str("220 mail.example ready\r\n"));
			assert_int_equal(starttls_feed(&s, STARTTLS_SERVER, bytes_str("220 mail.example ready\r\n")),
				STARTTLS_PASS);
			for (size_t k = 0; k < MAX_STEPS && guesses[i].say[k].len > 0; k++)
				result = feed(&s, &guesses[i].say[k], piece);
			if (result != guesses[i].last)
				print_error("%s, by %zu: %d\n", guesses[i].name, piece, result);
			assert_int_equal(result, guesses[i].last);
		}
	}
}

static void a_server_that_owes_nothing_is_settled(void **state)
{
	(void)state;
	static const struct {
		enum starttls_protocol protocol;
		struct say say[MAX_STEPS]; /* after the last of these for the first time */
	} cases[] = {
		{STARTTLS_SMTP, {S("220-a\r\n220 b\r\n")}},
		{STARTTLS_SMTP, {S("220 a\r\nx"), C("NOOP\r\nNOOP\r\n"), S("250-a\r\n250 b\r\n"), S("250 b\r\n")}},
		{STARTTLS_POP3, {S("+OK\r\n")}},
		{STARTTLS_POP3, {S("+OK\r\n"), C("CAPA\r\n"), S("+OK\r\n"), S("STLS\r\n"), S(".\r\n")}},
		{STARTTLS_IMAP, {S("* OK hi\r\n")}},
		{STARTTLS_IMAP, {S("* OK hi\r\n"), C("a NOOP\r\n"), S("* 3 EXISTS\r\n"), S("a OK\r\n")}},
		{STARTTLS_IMAP, {C("a NOOP\r\n"), S("* OK hi\r\n"), S("a OK\r\n")}},
		{STARTTLS_POSTGRESQL, {C(SSL_REQUEST), S("N")}},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct starttls s;
		starttls_begin(&s, cases[i].protocol);
		size_t last = 0;
		while (last + 1 < MAX_STEPS && cases[i].say[last + 1].len > 0)
			last++;
		for (size_t k = 0; k <= last; k++) {
			assert_int_equal(feed(&s, &cases[i].say[k], 64), STARTTLS_PASS);
			if (k == last || k > 0)
				assert_int_equal(starttls_settled(&s), k == last);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls_begins_where_both_agreed_and_nowhere_else),
		cmocka_unit_test(a_final_word_is_given_again),
		cmocka_unit_test(more_commands_than_are_answered_are_refused),
		cmocka_unit_test(protocols_are_known_by_port_and_greeting),
		cmocka_unit_test(a_greeting_of_two_protocols_is_settled_by_the_clients_first_command),
		cmocka_unit_test(a_server_that_owes_nothing_is_settled),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
