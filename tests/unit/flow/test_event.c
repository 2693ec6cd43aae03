#include "flow/event.h"
#include "flow/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct flow_address client = {.family = 4, .ip = {192, 0, 2, 1}, .port = 40000};
static const struct flow_address server = {.family = 6, .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}, .port = 443};

static uint8_t wire[EVENT_SIZE_MAX];

static struct event over_the_wire(const struct event *in)
{
	size_t len = 0;
	assert_true(event_encode(in, wire, sizeof(wire), &len));
	struct event out;
	assert_int_equal(event_decode(bytes_of(wire, len), &out), EVENT_OK);
	assert_int_equal(out.kind, in->kind);
	assert_int_equal(out.flow, in->flow);
	assert_int_equal(out.time_ns, in->time_ns);
	return out;
}

static void same(struct bytes got, const char *expected)
{
	assert_int_equal(got.len, strlen(expected));
	assert_memory_equal(got.data, expected, got.len);
}

static void an_open_arrives_as_it_was(void **state)
{
	(void)state;
	struct event in = {.kind = EVENT_OPEN,
		.flow = 7,
		.time_ns = UINT64_MAX,
		.open = {.client = client,
			.server = server,
			.host = bytes_str("example.org"),
			.port = 443,
			.intake = INTAKE_SOCKS5,
			.worker = 3}};
	struct event out = over_the_wire(&in);
	assert_memory_equal(&out.open.client, &client, sizeof(client));
	assert_memory_equal(&out.open.server, &server, sizeof(server));
	same(out.open.host, "example.org");
	assert_int_equal(out.open.port, 443);
	assert_int_equal(out.open.intake, INTAKE_SOCKS5);
	assert_int_equal(out.open.worker, 3);
}

static void hello_and_tls_arrive_as_they_were(void **state)
{
	(void)state;
	struct event in = {.kind = EVENT_HELLO,
		.hello = {.sni = bytes_str("a.example"),
			.alpn = {bytes_str("h2"), bytes_str("http/1.1")},
			.alpn_count = 2,
			.versions = {0x3a3a, 0x0304},
			.version_count = 2,
			.ja3 = bytes_str("abc"),
			.ja4 = bytes_str("t13d"),
			.ech = FLOW_ECH_OUTER}};
	struct event out = over_the_wire(&in);
	same(out.hello.sni, "a.example");
	assert_int_equal(out.hello.alpn_count, 2);
	same(out.hello.alpn[1], "http/1.1");
	assert_int_equal(out.hello.versions[0], 0x3a3a);
	same(out.hello.ja4, "t13d");
	assert_int_equal(out.hello.ech, FLOW_ECH_OUTER);

	in = (struct event){.kind = EVENT_TLS,
		.tls = {.leg = 2,
			.version = 0x0304,
			.suite = 0x1301,
			.suite_name = bytes_str("TLS_AES_128_GCM_SHA256"),
			.group = bytes_str("x25519"),
			.alpn = bytes_str("h2"),
			.resumed = true,
			.certificate = {.present = true,
				.subject = bytes_str("CN=a"),
				.issuer = bytes_str("CN=b"),
				.sha256 = {1, 2, 3},
				.not_after_s = 99,
				.verification = bytes_str("expired"),
				.verification_text = bytes_str("it has expired")}}};
	out = over_the_wire(&in);
	assert_int_equal(out.tls.leg, 2);
	assert_int_equal(out.tls.suite, 0x1301);
	assert_true(out.tls.resumed);
	same(out.tls.certificate.issuer, "CN=b");
	assert_memory_equal(out.tls.certificate.sha256, in.tls.certificate.sha256, EVENT_SHA256_LEN);
	assert_int_equal(out.tls.certificate.not_after_s, 99);
	same(out.tls.certificate.verification_text, "it has expired");
}

static void the_other_kinds_arrive_as_they_were(void **state)
{
	(void)state;
	struct event in = {.kind = EVENT_VERDICT,
		.verdict = {
			.action = ACTION_BYPASS, .pass = 2, .rule = bytes_str("default"), .reason = bytes_str("why")}};
	struct event out = over_the_wire(&in);
	assert_false(out.verdict.unmasked);
	in.verdict.unmasked = true;
	out = over_the_wire(&in);
	assert_true(out.verdict.unmasked);
	assert_int_equal(out.verdict.action, ACTION_BYPASS);
	assert_int_equal(out.verdict.pass, 2);
	same(out.verdict.reason, "why");
	in = (struct event){
		.kind = EVENT_GAP, .gap = {.direction = FLOW_DOWN, .offset = 5, .octets = 6, .why = GAP_UNTIL}};
	out = over_the_wire(&in);
	assert_int_equal(out.gap.direction, FLOW_DOWN);
	assert_int_equal(out.gap.offset, 5);
	assert_int_equal(out.gap.octets, 6);
	assert_int_equal(out.gap.why, GAP_UNTIL);
	in = (struct event){.kind = EVENT_HALF, .half = {.direction = FLOW_DOWN}};
	assert_int_equal(over_the_wire(&in).half.direction, FLOW_DOWN);
	in = (struct event){.kind = EVENT_UPSTREAM, .upstream = {.server = server}};
	out = over_the_wire(&in);
	assert_memory_equal(&out.upstream.server, &server, sizeof(server));
	in = (struct event){.kind = EVENT_NOTICE, .notice = {SEVERITY_WARN, bytes_str("n"), bytes_str("t")}};
	out = over_the_wire(&in);
	assert_int_equal(out.notice.severity, SEVERITY_WARN);
	in = (struct event){.kind = EVENT_KEYLOG, .keylog = {bytes_str("CLIENT_RANDOM 00 11")}};
	same(over_the_wire(&in).keylog.line, "CLIENT_RANDOM 00 11");
	in = (struct event){.kind = EVENT_CLOSE,
		.close = {.ending = ENDING_RESET,
			.name = bytes_str("n"),
			.wire_octets = {1, 2},
			.plain_octets = {3, 4},
			.duration_ns = 5}};
	out = over_the_wire(&in);
	assert_int_equal(out.close.ending, ENDING_RESET);
	assert_int_equal(out.close.wire_octets[1], 2);
	assert_int_equal(out.close.plain_octets[0], 3);
	assert_int_equal(out.close.duration_ns, 5);
}

static void plaintext_of_every_permitted_length_arrives(void **state)
{
	(void)state;
	static uint8_t text[EVENT_DATA_MAX + 1];
	memset(text, 'x', sizeof(text));
	const size_t lengths[] = {0, 1, 16384, EVENT_DATA_MAX};
	for (size_t i = 0; i < 4; i++) {
		struct event in = {
			.kind = EVENT_DATA, .flow = 9, .data = {FLOW_DOWN, 1234567, bytes_of(text, lengths[i])}};
		struct event out = over_the_wire(&in);
		assert_int_equal(out.data.direction, FLOW_DOWN);
		assert_int_equal(out.data.offset, 1234567);
		assert_int_equal(out.data.bytes.len, lengths[i]);
		struct event_head head;
		size_t whole = EVENT_DATA_AT + lengths[i];
		assert_int_equal(event_peek(bytes_of(wire, EVENT_DATA_AT), whole, &head), EVENT_OK);
		assert_int_equal(head.octets, lengths[i]);
		assert_int_equal(head.offset, 1234567);
		assert_int_equal(head.direction, FLOW_DOWN);
	}
	struct event over = {.kind = EVENT_DATA, .data = {.bytes = bytes_of(text, sizeof(text))}};
	size_t len;
	static uint8_t wide[EVENT_SIZE_MAX + 64];
	assert_false(event_encode(&over, wide, sizeof(wide), &len));
}

static void long_texts_and_lists_are_cut_not_refused(void **state)
{
	(void)state;
	char text[EVENT_TEXT_MAX + 100];
	memset(text, 'a', sizeof(text));
	struct event in = {
		.kind = EVENT_HELLO, .hello = {.sni = bytes_of(text, 300), .alpn_count = 99, .version_count = 99}};
	struct event out = over_the_wire(&in);
	assert_int_equal(out.hello.sni.len, EVENT_NAME_MAX);
	assert_int_equal(out.hello.alpn_count, EVENT_LIST_MAX);
	in = (struct event){.kind = EVENT_NOTICE, .notice = {.text = bytes_of(text, sizeof(text))}};
	assert_int_equal(over_the_wire(&in).notice.text.len, EVENT_TEXT_MAX);
	/* A secret cut in the middle would be of no use: refused. */
	in = (struct event){.kind = EVENT_KEYLOG, .keylog = {bytes_of(text, sizeof(text))}};
	size_t len;
	assert_false(event_encode(&in, wire, sizeof(wire), &len));
}

/* An OPEN with one octet changed, or cut, or with something after it. */
static void what_a_hostile_writer_says_is_refused(void **state)
{
	(void)state;
	struct event in = {.kind = EVENT_OPEN, .open = {.client = client, .host = bytes_str("host")}};
	size_t len;
	assert_true(event_encode(&in, wire, sizeof(wire), &len));
	struct event out;
	for (size_t n = 0; n < len; n++) {
		uint8_t *exact = malloc(n ? n : 1); /* so that a read past the end is seen */
		assert_non_null(exact);
		memcpy(exact, wire, n);
		assert_int_equal(event_decode(bytes_of(exact, n), &out), EVENT_BAD_HEADER);
		free(exact);
	}
	wire[4] = EVENT_VERSION + 1;
	assert_int_equal(event_decode(bytes_of(wire, len), &out), EVENT_BAD_VERSION);
	wire[4] = EVENT_VERSION;
	wire[5] = 0;
	assert_int_equal(event_decode(bytes_of(wire, len), &out), EVENT_BAD_KIND);
	wire[5] = EVENT_CLOSE + 1;
	assert_int_equal(event_decode(bytes_of(wire, len), &out), EVENT_BAD_KIND);
	wire[5] = EVENT_OPEN;
	wire[EVENT_HEADER_LEN] = 5; /* address family */
	assert_int_equal(event_decode(bytes_of(wire, len), &out), EVENT_BAD_BODY);
	wire[EVENT_HEADER_LEN] = 4;
	wire[3]++; /* one octet more, of nothing */
	assert_int_equal(event_decode(bytes_of(wire, len + 1), &out), EVENT_BAD_BODY);
}

static void values_outside_their_enum_are_refused_both_ways(void **state)
{
	(void)state;
	struct event in = {.kind = EVENT_VERDICT, .verdict = {.action = ACTION_COUNT}};
	size_t len;
	assert_false(event_encode(&in, wire, sizeof(wire), &len));
	in.verdict.action = ACTION_BLOCK;
	assert_true(event_encode(&in, wire, sizeof(wire), &len));
	wire[EVENT_HEADER_LEN] = ACTION_COUNT;
	struct event out;
	assert_int_equal(event_decode(bytes_of(wire, len), &out), EVENT_BAD_BODY);
	in = (struct event){.kind = EVENT_TLS, .tls = {.leg = 3}};
	assert_false(event_encode(&in, wire, sizeof(wire), &len));
}

static void every_value_has_a_word(void **state)
{
	(void)state;
	for (int i = EVENT_OPEN; i <= EVENT_CLOSE; i++)
		assert_string_not_equal(event_kind_name((enum event_kind)i), "unknown");
	for (int i = 0; i < INTAKE_COUNT; i++)
		assert_string_not_equal(flow_intake_name((enum flow_intake)i), "unknown");
	for (int i = 0; i < ENDING_COUNT; i++)
		assert_string_not_equal(flow_ending_name((enum flow_ending)i), "unknown");
	for (int i = 0; i < GAP_COUNT; i++)
		assert_string_not_equal(flow_gap_name((enum flow_gap)i), "unknown");
	for (int i = 0; i < MESSAGE_ENDING_COUNT; i++)
		assert_string_not_equal(message_ending_name((enum message_ending)i), "unknown");
	assert_string_equal(flow_ending_name(ENDING_COUNT), "unknown");
	char text[FLOW_ADDRESS_TEXT];
	flow_address_text(&client, text, sizeof(text));
	assert_string_equal(text, "192.0.2.1:40000");
	flow_address_text(&server, text, sizeof(text));
	assert_string_equal(text, "[2001:db8::1]:443");
	flow_address_text(&(struct flow_address){0}, text, sizeof(text));
	assert_string_equal(text, "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_open_arrives_as_it_was),
		cmocka_unit_test(hello_and_tls_arrive_as_they_were),
		cmocka_unit_test(the_other_kinds_arrive_as_they_were),
		cmocka_unit_test(plaintext_of_every_permitted_length_arrives),
		cmocka_unit_test(long_texts_and_lists_are_cut_not_refused),
		cmocka_unit_test(what_a_hostile_writer_says_is_refused),
		cmocka_unit_test(values_outside_their_enum_are_refused_both_ways),
		cmocka_unit_test(every_value_has_a_word),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
