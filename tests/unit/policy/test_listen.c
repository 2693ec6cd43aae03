#include "policy/listen.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct listen_at good(const char *text)
{
	struct listen_at at;
	struct error err;
	if (!listen_parse(text, &at, &err))
		fail_msg("%s", err.text);
	return at;
}

static void bad(const char *text, const char *part)
{
	struct listen_at at;
	struct error err = {{0}};
	assert_false(listen_parse(text, &at, &err));
	if (!strstr(err.text, part))
		fail_msg("\"%s\" does not say \"%s\"", err.text, part);
}

static void every_mode_is_read(void **state)
{
	(void)state;
	struct listen_at at = good("127.0.0.1:8080");
	assert_int_equal(at.mode, LISTEN_EXPLICIT);
	assert_int_equal(at.at.port, 8080);
	assert_true(hostport_is_v4(&at.at));
	at = good("[::1]:0");
	assert_int_equal(at.at.port, 0);
	assert_false(hostport_is_v4(&at.at));
	assert_int_equal(good("transparent@0.0.0.0:8443").mode, LISTEN_TRANSPARENT);
	assert_int_equal(good("tproxy@[::]:8443").mode, LISTEN_TPROXY);
	at = good("reverse:www.example.com:443@127.0.0.1:8443");
	assert_int_equal(at.mode, LISTEN_REVERSE);
	assert_string_equal(at.host, "www.example.com");
	assert_int_equal(at.target_port, 443);
	at = good("reverse:[2001:db8::1]:8443@[::1]:1");
	assert_string_equal(at.host, "2001:db8::1");
	assert_int_equal(good("sni@127.0.0.1:443").target_port, 443);
	assert_int_equal(good("sni:993@127.0.0.1:993").target_port, 993);
	assert_int_equal(good("explicit@127.0.0.1:1").mode, LISTEN_EXPLICIT);
}

static void what_cannot_be_listened_at_is_refused_with_a_way_out(void **state)
{
	(void)state;
	bad("", "expected [MODE@]ADDRESS:PORT");
	bad("8080", "expected [MODE@]ADDRESS:PORT");
	bad(":8080", "expected [MODE@]ADDRESS:PORT");
	bad("localhost:8080", "no IP address");
	bad("::1:8080", "expected [MODE@]ADDRESS:PORT");
	bad("[127.0.0.1]:8080", "no IP address");
	bad("127.0.0.1:65536", "from 0 to 65535");
	bad("127.0.0.1:", "from 0 to 65535");
	bad("127.0.0.1:-1", "from 0 to 65535");
	bad("foo@127.0.0.1:1", "no mode \"foo\"");
	bad("reverse@127.0.0.1:1", "reverse needs HOST:PORT");
	bad("reverse:x:0@127.0.0.1:1", "reverse needs HOST:PORT");
	bad("reverse:a b:1@127.0.0.1:1", "reverse needs HOST:PORT");
	bad("sni:0@127.0.0.1:1", "sni takes a port");
	bad("tproxy:1@127.0.0.1:1", "takes nothing after a colon");
}

static void text_reads_back_as_the_same(void **state)
{
	(void)state;
	static const char *const texts[] = {"127.0.0.1:8080", "[::1]:0", "transparent@0.0.0.0:1", "tproxy@[::]:2",
		"reverse:www.example.com:443@127.0.0.1:8443", "reverse:[2001:db8::1]:8443@[::1]:1", "sni:443@[::]:443"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct listen_at at = good(texts[i]);
		char out[LISTEN_TEXT];
		listen_text(&at, out);
		assert_string_equal(out, texts[i]);
	}
}

static void only_loopback_is_loopback(void **state)
{
	(void)state;
	struct listen_at at = good("127.0.0.1:1");
	assert_true(listen_is_loopback(&at));
	at = good("[::1]:1");
	assert_true(listen_is_loopback(&at));
	at = good("0.0.0.0:1");
	assert_false(listen_is_loopback(&at));
	at = good("[::]:1");
	assert_false(listen_is_loopback(&at));
	at = good("192.168.1.1:1");
	assert_false(listen_is_loopback(&at));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mode_is_read),
		cmocka_unit_test(what_cannot_be_listened_at_is_refused_with_a_way_out),
		cmocka_unit_test(text_reads_back_as_the_same),
		cmocka_unit_test(only_loopback_is_loopback),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
