#include "watch/datagram.h"

#include "../tls/quic_vectors.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* What a sink heard, as text: "open 40000>443 hello example.com q… notice quic-not-decrypted close stopped 1200/0" */
struct ear {
	struct sink sink;
	char out[2048];
	size_t len;
};

static void say(struct ear *ear, const char *format, ...) printf_like(2, 3);

static void say(struct ear *ear, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	ear->len += (size_t)vsnprintf(ear->out + ear->len, sizeof(ear->out) - ear->len, format, args);
	va_end(args);
}

#define TEXT(bytes) (int)(bytes).len, (const char *)(bytes).data

static void on_event(struct sink *sink, struct flow *flow, const struct event *event)
{
	struct ear *ear = (struct ear *)(void *)sink;
	(void)flow;
	switch (event->kind) {
	case EVENT_OPEN:
		say(ear, "open %u>%u ", event->open.client.port, event->open.server.port);
		break;
	case EVENT_HELLO:
		say(ear, "hello %.*s %.3s %.*s ", TEXT(event->hello.sni), (const char *)event->hello.ja4.data,
			TEXT(event->hello.alpn[0]));
		break;
	case EVENT_NOTICE:
		say(ear, "notice %.*s ", TEXT(event->notice.name));
		break;
	case EVENT_CLOSE:
		say(ear, "close %s %llu/%llu %.*s", flow_ending_name(event->close.ending),
			(unsigned long long)event->close.wire_octets[0],
			(unsigned long long)event->close.wire_octets[1], TEXT(event->close.text));
		break;
	default:
		say(ear, "? ");
	}
}

static void on_flush(struct sink *sink)
{
	(void)sink;
}

static const struct sink_ops ops = {.event = on_event, .flush = on_flush, .close = on_flush};

struct bed {
	struct ear ear;
	struct feed *feed;
	struct feed_source source;
	struct datagrams *datagrams;
	uint64_t flows;
	struct connection connection;
};

static int begin(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));
	struct error err;
	assert_non_null(b);
	b->ear.sink = (struct sink){.ops = &ops, .name = "ear", .wants = SINK_WANTS_DATA};
	b->feed = feed_new(&(struct feed_options){0}, &err);
	assert_non_null(b->feed);
	assert_true(feed_add_sink(b->feed, &b->ear.sink));
	feed_source_begin(&b->source, b->feed, 1);
	b->datagrams = datagrams_new(&(struct datagram_setup){&b->source, &b->flows, 0});
	assert_non_null(b->datagrams);
	b->connection = (struct connection){.opened_ns = 5, .protocol = PACKET_UDP};
	b->connection.address[0] = (struct flow_address){.family = 4, .ip = {192, 0, 2, 1}, .port = 40000};
	b->connection.address[1] = (struct flow_address){.family = 4, .ip = {192, 0, 2, 2}, .port = 443};
	*state = b;
	return 0;
}

static int end(void **state)
{
	struct bed *b = *state;
	datagrams_free(b->datagrams);
	feed_source_end(&b->source);
	feed_close(b->feed);
	free(b);
	return 0;
}

static void give(struct bed *b, enum flow_direction direction, const char *hex)
{
	uint8_t octets[2048];
	size_t len;
	assert_true(text_unhex(octets, sizeof(octets), &len, bytes_str(hex)));
	struct packet packet = {.time_ns = 7, .protocol = PACKET_UDP, .payload = bytes_of(octets, len)};
	datagrams_packet(b->datagrams, &b->connection, direction, &packet);
}

static void heard(struct bed *b, const char *text)
{
	assert_string_equal(b->ear.out, text);
}

static void a_quic_flow_is_named_and_counted(void **state)
{
	struct bed *b = *state;
	give(b, FLOW_UP, quic_vector_client_v1);
	give(b, FLOW_DOWN, quic_vector_server_v1);
	give(b, FLOW_DOWN, "4100112233");
	datagrams_closed(b->datagrams, &b->connection, ENDING_STOPPED, 9);
	heard(b, "open 40000>443 hello example.com q13 alpn notice quic-not-decrypted "
		 "close stopped 1200/140 QUIC version 1: not decrypted");
	struct datagram_counts counts = datagrams_count(b->datagrams);
	assert_true(counts.quic == 1 && counts.quic_named == 1 && counts.octets == 1340);
}

static void the_sender_of_the_hello_is_the_client_whatever_the_ports(void **state)
{
	struct bed *b = *state;
	give(b, FLOW_DOWN, quic_vector_client_v2);
	datagrams_closed(b->datagrams, &b->connection, ENDING_TIMEOUT, 9);
	heard(b, "open 443>40000 hello example.com q13 alpn notice quic-not-decrypted "
		 "close timeout 1200/0 QUIC version 2: not decrypted");
}

static void a_flow_without_a_hello_is_told_at_its_end(void **state)
{
	struct bed *b = *state;
	give(b, FLOW_DOWN, quic_vector_server_v1);
	heard(b, "");
	datagrams_closed(b->datagrams, &b->connection, ENDING_STOPPED, 9);
	heard(b, "open 40000>443 notice quic-not-decrypted close stopped 0/135 QUIC version 1: not decrypted");
	struct datagram_counts counts = datagrams_count(b->datagrams);
	assert_true(counts.quic == 1 && counts.quic_named == 0);
}

static void only_quic_is_of_interest(void **state)
{
	(void)state;
	static const uint8_t dns[] = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1};
	uint8_t octets[2048];
	size_t len;
	assert_true(text_unhex(octets, sizeof(octets), &len, bytes_str(quic_vector_client_v1)));
	assert_true(datagrams_opens(&(struct packet){.payload = bytes_of(octets, len)}));
	assert_false(datagrams_opens(&(struct packet){.payload = bytes_of(dns, sizeof(dns))}));
}

static bool opens(void *arg, const struct packet *packet)
{
	(void)arg;
	return datagrams_opens(packet);
}

static void passed(void *arg, struct connection *c, enum flow_direction direction, const struct packet *packet)
{
	(void)c;
	(void)direction;
	(void)packet;
	*(unsigned *)arg += 1;
}

static void other_udp_takes_no_place_in_the_table(void **state)
{
	(void)state;
	unsigned count = 0;
	struct table_limits limits = table_limits_default();
	struct table_events events = {.datagram = passed, .datagram_opens = opens};
	struct table *table = table_new(&limits, &events, &count);
	uint8_t octets[2048];
	size_t len;
	assert_non_null(table);
	assert_true(text_unhex(octets, sizeof(octets), &len, bytes_str(quic_vector_client_v1)));
	struct packet packet = {.time_ns = 1, .protocol = PACKET_UDP, .payload = bytes_str("what else there is")};
	packet.source = (struct flow_address){.family = 4, .ip = {192, 0, 2, 1}, .port = 1};
	packet.destination = (struct flow_address){.family = 4, .ip = {192, 0, 2, 2}, .port = 2};
	table_packet(table, &packet, table_hash(&packet));
	assert_int_equal(table_count(table).open, 0);
	packet.payload = bytes_of(octets, len);
	table_packet(table, &packet, table_hash(&packet));
	assert_int_equal(table_count(table).open, 1);
	/* Whatever follows belongs to it. */
	packet.payload = bytes_str("what else there is");
	table_packet(table, &packet, table_hash(&packet));
	assert_int_equal(count, 2);
	table_finish(table);
	table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_quic_flow_is_named_and_counted, begin, end),
		cmocka_unit_test_setup_teardown(the_sender_of_the_hello_is_the_client_whatever_the_ports, begin, end),
		cmocka_unit_test_setup_teardown(a_flow_without_a_hello_is_told_at_its_end, begin, end),
		cmocka_unit_test(only_quic_is_of_interest),
		cmocka_unit_test(other_udp_takes_no_place_in_the_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
