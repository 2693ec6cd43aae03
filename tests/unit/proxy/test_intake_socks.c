#include "proxy/intake_socks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define CASE(text) text, sizeof(text) - 1

/* What a whole exchange came to. */
struct outcome {
	enum intake_socks_result result;
	uint8_t replies[64]; /* all that was sent, in order */
	size_t replies_len;
	size_t used; /* octets before the tunnel */
	struct intake_socks socks;
};

/* Feeds `in` in pieces of `piece` octets, each step from an exact copy of what is held. */
static struct outcome converse(struct bytes in, size_t piece, const struct intake_users *users)
{
	struct outcome o = {.result = INTAKE_SOCKS_NEED_MORE};
	size_t come = 0;
	for (;;) {
		size_t held = come - o.used;
		uint8_t *copy = malloc(held ? held : 1);
		assert_non_null(copy);
		if (held > 0)
			memcpy(copy, in.data + o.used, held);
		o.result = intake_socks_step(&o.socks, bytes_of(copy, held), users);
		free(copy);
		o.used += o.socks.used;
		memcpy(o.replies + o.replies_len, o.socks.reply, o.socks.reply_len);
		o.replies_len += o.socks.reply_len;
		if (o.result == INTAKE_SOCKS_REPLY)
			continue;
		if (o.result != INTAKE_SOCKS_NEED_MORE || come == in.len)
			return o;
		come = in.len - come < piece ? in.len : come + piece;
	}
}

static const struct intake_user list[] = {{INTAKE_USER_BASIC, {(const uint8_t *)"al:pw", 5}}};
static const struct intake_users nobody = {NULL, 0};
static const struct intake_users al = {list, 1};

static void every_client_gets_the_answer_that_is_due(void **state)
{
	(void)state;
#define HELLO0  "\5\1\0"
#define HELLO2  "\5\1\2"
#define HELLO02 "\5\2\0\2"
#define IPV4    "\1\x7f\0\0\1\1\xbb"
#define NAME                                                                                                           \
	"\3\x0b"                                                                                                       \
	"Example.com\1\xbb"
#define BAD(code) "\5" code "\0\1\0\0\0\0\0\0"
	static const struct {
		const char *in;
		size_t in_len;
		const char *replies;
		size_t replies_len;
		const struct intake_users *users;
		enum intake_socks_result result;
		const char *target;
	} cases[] = {
		{CASE(HELLO0 "\5\1\0" IPV4), CASE("\5\0"), &nobody, INTAKE_SOCKS_TARGET, "127.0.0.1:443"},
		{CASE(HELLO02 "\5\1\0" NAME), CASE("\5\0"), &nobody, INTAKE_SOCKS_TARGET, "example.com:443"},
		{CASE(HELLO0 "\5\1\0\4\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\x50"), CASE("\5\0"), &nobody,
			INTAKE_SOCKS_TARGET, "[2001:db8::1]:80"},
		{CASE(HELLO0 "\5\1\0\3\7"
			     "1.2.3.4\0\x50"),
			CASE("\5\0"), &nobody, INTAKE_SOCKS_TARGET, "1.2.3.4:80"},
		{CASE(HELLO2 "\1\1x\1y\5\1\0" IPV4), CASE("\5\2\1\0"), &nobody, INTAKE_SOCKS_TARGET, "127.0.0.1:443"},
		{CASE(HELLO02 "\1\2al\2pw\5\1\0" NAME), CASE("\5\2\1\0"), &al, INTAKE_SOCKS_TARGET, "example.com:443"},
		{CASE(HELLO02 "\1\2al\2pW\5\1\0" NAME), CASE("\5\2\1\1"), &al, INTAKE_SOCKS_REFUSED, NULL},
		{CASE(HELLO02 "\1\0\0"), CASE("\5\2\1\1"), &al, INTAKE_SOCKS_REFUSED, NULL},
		{CASE(HELLO02 "\5\2al\2pw"), CASE("\5\2\1\1"), &al, INTAKE_SOCKS_REFUSED, NULL},
		{CASE(HELLO0 "\5\1\0" IPV4), CASE("\5\xff"), &al, INTAKE_SOCKS_REFUSED, NULL},
		{CASE("\5\0"), CASE("\5\xff"), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		{CASE("\5\2\1\x80"), CASE("\5\xff"), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		/* BIND, UDP ASSOCIATE, and no command at all */
		{CASE(HELLO0 "\5\2\0" IPV4), CASE("\5\0" BAD("\7")), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		{CASE(HELLO0 "\5\3\0" IPV4), CASE("\5\0" BAD("\7")), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		{CASE(HELLO0 "\5\0\0" IPV4), CASE("\5\0" BAD("\7")), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		{CASE(HELLO0 "\5\1\0\2\1\2\3\4\0\x50"), CASE("\5\0" BAD("\x08")), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		{CASE(HELLO0 "\5\1\1" IPV4), CASE("\5\0" BAD("\1")), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		{CASE(HELLO0 "\4\1\0" IPV4), CASE("\5\0" BAD("\1")), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		{CASE(HELLO0 "\5\1\0\1\x7f\0\0\1\0\0"), CASE("\5\0" BAD("\1")), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		{CASE(HELLO0 "\5\1\0\3\0\0\x50"), CASE("\5\0" BAD("\1")), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		{CASE(HELLO0 "\5\1\0\3\3a\0b\0\x50"), CASE("\5\0" BAD("\1")), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		{CASE(HELLO0 "\5\1\0\3\6"
			     "0x7f.1\0\x50"),
			CASE("\5\0" BAD("\1")), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		{CASE(HELLO0 "\5\1\0\3\5"
			     "[::1]\0\x50"),
			CASE("\5\0" BAD("\1")), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		/* SOCKS4 and 4a */
		{CASE("\4\1\0\x50\x7f\0\0\1me\0"), CASE(""), &nobody, INTAKE_SOCKS_TARGET, "127.0.0.1:80"},
		{CASE("\4\1\0\x50\0\0\0\1\0Example.com\0"), CASE(""), &nobody, INTAKE_SOCKS_TARGET, "example.com:80"},
		{CASE("\4\1\0\x50\0\0\0\0\0"), CASE(""), &nobody, INTAKE_SOCKS_TARGET, "0.0.0.0:80"},
		{CASE("\4\2\0\x50\x7f\0\0\1\0"), CASE("\0\x5b\0\0\0\0\0\0"), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		{CASE("\4\1\0\0\x7f\0\0\1\0"), CASE("\0\x5b\0\0\0\0\0\0"), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		{CASE("\4\1\0\x50\0\0\0\1\0\0"), CASE("\0\x5b\0\0\0\0\0\0"), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		{CASE("\4\1\0\x50\x7f\0\0\1\0"), CASE("\0\x5b\0\0\0\0\0\0"), &al, INTAKE_SOCKS_REFUSED, NULL},
		/* nonsense */
		{CASE("\6\1\0"), CASE(""), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		{CASE("GET / HTTP/1.1\r\n\r\n"), CASE(""), &nobody, INTAKE_SOCKS_REFUSED, NULL},
		/* cut short */
		{CASE(""), CASE(""), &nobody, INTAKE_SOCKS_NEED_MORE, NULL},
		{CASE("\5\2\0"), CASE(""), &nobody, INTAKE_SOCKS_NEED_MORE, NULL},
		{CASE(HELLO0 "\5\1\0\3\x0b"
			     "Example"),
			CASE("\5\0"), &nobody, INTAKE_SOCKS_NEED_MORE, NULL},
		{CASE("\4\1\0\x50\0\0\0\1\0Exam"), CASE(""), &nobody, INTAKE_SOCKS_NEED_MORE, NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t piece = 1; piece <= cases[i].in_len + 1; piece++) {
			struct bytes in = bytes_of(cases[i].in, cases[i].in_len);
			struct outcome o = converse(in, piece, cases[i].users);
			char text[TARGET_TEXT_MAX];
			if (o.result != cases[i].result)
				print_error("case %zu by %zu: %d %s\n", i, piece, o.result, o.socks.why.text);
			assert_int_equal(o.result, cases[i].result);
			assert_int_equal(o.replies_len, cases[i].replies_len);
			assert_memory_equal(o.replies, cases[i].replies, o.replies_len);
			if (o.result == INTAKE_SOCKS_REFUSED)
				assert_true(strlen(o.socks.why.text) > 10);
			if (o.result != INTAKE_SOCKS_TARGET)
				continue;
			assert_int_equal(o.used, cases[i].in_len);
			assert_int_equal(o.socks.authenticated, cases[i].users == &al);
			target_print(&o.socks.target, text);
			assert_string_equal(text, cases[i].target);
		}
	}
}

static void octets_behind_the_request_are_the_tunnels(void **state)
{
	(void)state;
	static const char in[] = HELLO0 "\5\1\0" IPV4 "\x16\3\1";
	struct outcome o = converse(bytes_of(in, sizeof(in) - 1), sizeof(in), &nobody);
	assert_int_equal(o.result, INTAKE_SOCKS_TARGET);
	assert_int_equal(o.used, sizeof(in) - 1 - 3);
	/* A client that goes on as if it were still asking is not answered twice. */
	assert_int_equal(intake_socks_step(&o.socks, bytes_of(in, 3), &nobody), INTAKE_SOCKS_REFUSED);
}

static void endless_names_of_socks4_are_refused(void **state)
{
	(void)state;
	uint8_t in[700] = {4, 1, 0, 80, 0, 0, 0, 1};
	memset(in + 8, 'a', sizeof(in) - 8);
	assert_int_equal(converse(bytes_of(in, 8 + 255), 100, &nobody).result, INTAKE_SOCKS_NEED_MORE);
	assert_int_equal(converse(bytes_of(in, 8 + 256), 100, &nobody).result, INTAKE_SOCKS_REFUSED);
	in[8] = 0;
	assert_int_equal(converse(bytes_of(in, sizeof(in)), 1, &nobody).result, INTAKE_SOCKS_REFUSED);
}

static void answers_are_in_the_clients_version(void **state)
{
	(void)state;
	struct intake_socks v5 = {.version = 5}, v4 = {.version = 4};
	struct hostport ip4, ip6;
	uint8_t out[SOCKS_REPLY_MAX];
	assert_true(hostport_parse_ip(&ip4, "192.0.2.1") && hostport_parse_ip(&ip6, "2001:db8::1"));
	ip4.port = ip6.port = 443;
	assert_int_equal(intake_socks_answer(&v5, SOCKS_SUCCEEDED, &ip4, out), 10);
	assert_memory_equal(out, "\5\0\0\1\xc0\0\2\1\1\xbb", 10);
	assert_int_equal(intake_socks_answer(&v5, SOCKS_SUCCEEDED, &ip6, out), 22);
	assert_memory_equal(out, "\5\0\0\4\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\1\xbb", 22);
	assert_int_equal(intake_socks_answer(&v5, SOCKS_HOST_UNREACHABLE, NULL, out), 10);
	assert_memory_equal(out, "\5\4\0\1\0\0\0\0\0\0", 10);
	assert_int_equal(intake_socks_answer(&v4, SOCKS_SUCCEEDED, &ip4, out), 8);
	assert_memory_equal(out, "\0\x5a\1\xbb\xc0\0\2\1", 8);
	assert_int_equal(intake_socks_answer(&v4, SOCKS_HOST_UNREACHABLE, &ip6, out), 8);
	assert_memory_equal(out, "\0\x5b\1\xbb\0\0\0\0", 8);
}

/* What a client sent through the whole exchange with a proxy that says `in`. */
struct client_outcome {
	enum socks_client_result result;
	uint8_t sent[1100];
	size_t sent_len, used;
	struct socks_client client;
};

static struct client_outcome consult(
	struct bytes in, size_t piece, const struct target *target, struct bytes name, struct bytes password)
{
	struct client_outcome o = {0};
	size_t come = 0;
	for (;;) {
		struct bytes held = bytes_of(in.data + o.used, come - o.used);
		o.result = socks_client_step(&o.client, held, target, name, password);
		o.used += o.client.used;
		memcpy(o.sent + o.sent_len, o.client.message, o.client.message_len);
		o.sent_len += o.client.message_len;
		if (o.result == SOCKS_CLIENT_SEND)
			continue;
		if (o.result != SOCKS_CLIENT_NEED_MORE || come == in.len)
			return o;
		come = in.len - come < piece ? in.len : come + piece;
	}
}

static void upstream_proxies_are_asked_and_understood(void **state)
{
	(void)state;
#define ASK "\5\1\0\3\1a\1\xbb"
	static const struct {
		const char *in;
		size_t in_len;
		const char *sent;
		size_t sent_len;
		bool login;
		enum socks_client_result result;
		unsigned code;
	} cases[] = {
		{CASE("\5\0\5\0\0\1\0\0\0\0\0\0"), CASE("\5\1\0" ASK), false, SOCKS_CLIENT_OPEN, 0},
		{CASE("\5\0\5\0\0\3\2xy\0\0"), CASE("\5\1\0" ASK), false, SOCKS_CLIENT_OPEN, 0},
		{CASE("\5\0\5\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), CASE("\5\2\0\2" ASK), true,
			SOCKS_CLIENT_OPEN, 0},
		{CASE("\5\2\1\0\5\0\0\1\0\0\0\0\0\0"), CASE("\5\2\0\2\1\1u\1p" ASK), true, SOCKS_CLIENT_OPEN, 0},
		{CASE("\5\2\1\1"), CASE("\5\2\0\2\1\1u\1p"), true, SOCKS_CLIENT_FAILED, 0},
		{CASE("\5\2\2\0"), CASE("\5\2\0\2\1\1u\1p"), true, SOCKS_CLIENT_FAILED, 0},
		{CASE("\5\2"), CASE("\5\1\0"), false, SOCKS_CLIENT_FAILED, 0},
		{CASE("\5\xff"), CASE("\5\2\0\2"), true, SOCKS_CLIENT_FAILED, 0},
		{CASE("\5\0\5\5\0\1\0\0\0\0\0\0"), CASE("\5\1\0" ASK), false, SOCKS_CLIENT_FAILED, 5},
		{CASE("\5\0\5\4"), CASE("\5\1\0" ASK), false, SOCKS_CLIENT_FAILED, 4},
		{CASE("\5\0\5\xee\0\1"), CASE("\5\1\0" ASK), false, SOCKS_CLIENT_FAILED, 0xee},
		{CASE("\5\0\5\0\0\2\0\0\0\0\0\0"), CASE("\5\1\0" ASK), false, SOCKS_CLIENT_FAILED, 0},
		{CASE("\5\0\4\0\0\1"), CASE("\5\1\0" ASK), false, SOCKS_CLIENT_FAILED, 0},
		{CASE("HTTP/1.1 400 Bad"), CASE("\5\1\0"), false, SOCKS_CLIENT_FAILED, 0},
		{CASE("\5\0\5\0\0\1\0\0\0\0\0"), CASE("\5\1\0" ASK), false, SOCKS_CLIENT_NEED_MORE, 0},
	};
	struct target target;
	assert_int_equal(target_from_host(bytes_str("a"), 443, &target), TARGET_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bytes name = cases[i].login ? bytes_str("u") : BYTES_NONE;
		struct bytes password = cases[i].login ? bytes_str("p") : BYTES_NONE;
		for (size_t piece = 1; piece <= cases[i].in_len + 1; piece++) {
			struct bytes in = bytes_of(cases[i].in, cases[i].in_len);
			struct client_outcome o = consult(in, piece, &target, name, password);
			if (o.result != cases[i].result)
				print_error("case %zu by %zu: %d %s\n", i, piece, o.result, o.client.why.text);
			assert_int_equal(o.result, cases[i].result);
			assert_int_equal(o.sent_len, cases[i].sent_len);
			assert_memory_equal(o.sent, cases[i].sent, o.sent_len);
			assert_int_equal(o.client.code, cases[i].code);
			if (o.result == SOCKS_CLIENT_OPEN)
				assert_int_equal(o.used, cases[i].in_len);
		}
	}
}

static void what_the_client_asks_the_server_understands(void **state)
{
	(void)state;
	static const char *const targets[] = {"example.com:443", "192.0.2.1:80", "[2001:db8::1]:8443"};
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		struct target target;
		char text[TARGET_TEXT_MAX];
		assert_int_equal(target_parse(bytes_str(targets[i]), 0, &target), TARGET_OK);
		struct client_outcome client =
			consult(bytes_of("\5\2\1\0", 4), 4, &target, bytes_str("al"), bytes_str("pw"));
		assert_int_equal(client.result, SOCKS_CLIENT_NEED_MORE);
		struct outcome server = converse(bytes_of(client.sent, client.sent_len), 1, &al);
		assert_int_equal(server.result, INTAKE_SOCKS_TARGET);
		target_print(&server.socks.target, text);
		assert_string_equal(text, targets[i]);
	}
}

static void passwords_too_long_for_socks_fail_and_sent_ones_are_wiped(void **state)
{
	(void)state;
	char long_text[256];
	struct target target;
	static const uint8_t zero[SOCKS_CLIENT_MAX];
	memset(long_text, 'p', sizeof(long_text));
	assert_int_equal(target_from_host(bytes_str("a"), 443, &target), TARGET_OK);
	struct client_outcome o =
		consult(bytes_of("\5\2", 2), 2, &target, bytes_str("u"), bytes_of(long_text, sizeof(long_text)));
	assert_int_equal(o.result, SOCKS_CLIENT_FAILED);
	o = consult(bytes_of("\5\2", 2), 2, &target, bytes_of(long_text, 255), bytes_of(long_text, 255));
	assert_int_equal(o.result, SOCKS_CLIENT_NEED_MORE);
	assert_int_equal(o.sent_len, 4 + 513);
	/* The step that asked for more has wiped what the one before it sent. */
	assert_memory_equal(o.client.message, zero, sizeof(zero));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_client_gets_the_answer_that_is_due),
		cmocka_unit_test(octets_behind_the_request_are_the_tunnels),
		cmocka_unit_test(endless_names_of_socks4_are_refused),
		cmocka_unit_test(answers_are_in_the_clients_version),
		cmocka_unit_test(upstream_proxies_are_asked_and_understood),
		cmocka_unit_test(what_the_client_asks_the_server_understands),
		cmocka_unit_test(passwords_too_long_for_socks_fail_and_sent_ones_are_wiped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
