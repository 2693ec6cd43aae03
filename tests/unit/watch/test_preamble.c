#include "watch/preamble.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WORDS(text)                                                                                                    \
	{                                                                                                              \
		(text), sizeof(text) - 1                                                                               \
	}

static void protocols_are_named_by_what_either_side_says(void **state)
{
	static const struct {
		struct {
			const char *text;
			size_t len;
		} client, server;
		const char *name;
	} cases[] = {
		{WORDS("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n"), WORDS("HTTP/1.1 200 OK\r\n\r\n"),
			"CONNECT (HTTP)"},
		{WORDS("EHLO me\r\nSTARTTLS\r\n"), WORDS("220 mail\r\n250-mail\r\n250 STARTTLS\r\n220 go\r\n"),
			"STARTTLS (SMTP)"},
		{WORDS("ehlo me\r\nstarttls\r\n"), WORDS("220-mail\r\n220 mail\r\n250 STARTTLS\r\n220 go\r\n"),
			"STARTTLS (SMTP)"},
		{WORDS("a1 STARTTLS\r\n"), WORDS("* OK IMAP4rev1\r\na1 OK\r\n"), "STARTTLS (IMAP)"},
		{WORDS("CAPA\r\nSTLS\r\n"), WORDS("+OK ready\r\n+OK go\r\n"), "STARTTLS (POP3: STLS)"},
		{WORDS("AUTH TLS\r\n"), WORDS("220 ftp\r\n234 go\r\n"), "STARTTLS (FTP: AUTH TLS)"},
		{WORDS("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
			WORDS("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), "STARTTLS (XMPP)"},
		{WORDS("\x00\x00\x00\x08\x04\xd2\x16\x2f"), WORDS("S"), "SSLRequest (PostgreSQL)"},
		{WORDS("\x01\x02"), WORDS("\x01"), "a protocol not known here"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct bytes client = bytes_of(cases[i].client.text, cases[i].client.len);
		struct bytes server = bytes_of(cases[i].server.text, cases[i].server.len);
		assert_string_equal(preamble_name(client, true), cases[i].name);
		assert_string_equal(preamble_name(server, false), cases[i].name);
	}
	assert_string_equal(preamble_name(BYTES_NONE, true), "a protocol not known here");
	assert_string_equal(
		preamble_name(bytes_str("PROXY TCP4 192.0.2.1 192.0.2.2 5 443\r\n"), true), "the PROXY protocol");
}

static void the_first_line_is_given_where_it_is_text(void **state)
{
	(void)state;
	assert_true(bytes_equal(preamble_line(bytes_str("one\r\ntwo\r\n")), bytes_str("one")));
	assert_true(bytes_equal(preamble_line(bytes_str("one\ntwo")), bytes_str("one")));
	assert_int_equal(preamble_line(bytes_str("no end")).len, 0);
	assert_int_equal(preamble_line(bytes_str("\x01\n")).len, 0);
	assert_int_equal(preamble_line(BYTES_NONE).len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(protocols_are_named_by_what_either_side_says),
		cmocka_unit_test(the_first_line_is_given_where_it_is_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
