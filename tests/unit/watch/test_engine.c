#include "watch/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { FIN = 1, SYN = 2, ACK = 16 };

struct bed {
	struct keyring *ring;
	struct feed *feed;
	struct engine *engine;
	uint64_t number;
};

static int begin(void **state)
{
	static struct bed b;
	struct error err;
	b = (struct bed){.ring = keyring_new(NULL), .feed = feed_new(&(struct feed_options){0}, &err)};
	assert_true(b.ring && b.feed);
	struct engine_options options = {.ring = b.ring,
		.feed = b.feed,
		.keys_final = true,
		.table = table_limits_default(),
		.session = session_limits_default};
	b.engine = engine_new(&options, &err);
	assert_non_null(b.engine);
	*state = &b;
	return 0;
}

static int end(void **state)
{
	struct bed *b = *state;
	engine_finish(b->engine);
	engine_free(b->engine);
	feed_close(b->feed);
	keyring_free(b->ring);
	return 0;
}

/* A frame of raw IPv4, between 192.0.2.1:40000 and 192.0.2.2:443. */
static void put(struct bed *b, bool up, uint8_t protocol, struct bytes head, struct bytes payload)
{
	uint8_t room[512];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes whole;
	size_t len = 20 + 4 + head.len + payload.len;
	writer_u16(&w, 0x4500);
	writer_u16(&w, (uint16_t)len);
	writer_u32(&w, 0);
	writer_u8(&w, 64);
	writer_u8(&w, protocol);
	writer_u16(&w, 0);
	writer_u32(&w, up ? 0xc0000201 : 0xc0000202);
	writer_u32(&w, up ? 0xc0000202 : 0xc0000201);
	writer_u16(&w, up ? 40000 : 443);
	writer_u16(&w, up ? 443 : 40000);
	writer_bytes(&w, head);
	writer_bytes(&w, payload);
	assert_true(writer_done(&w, &whole));
	b->number++;
	struct frame frame = {.time_ns = b->number * 1000000,
		.number = b->number,
		.bytes = whole,
		.original = (uint32_t)whole.len,
		.link = LINKTYPE_RAW};
	engine_frame(b->engine, &frame);
}

static void tcp(struct bed *b, bool up, uint8_t flags, uint32_t seq, uint32_t ack, struct bytes payload)
{
	uint8_t room[16];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes head;
	writer_u32(&w, seq);
	writer_u32(&w, ack);
	writer_u8(&w, 0x50);
	writer_u8(&w, flags);
	writer_u16(&w, 65535);
	writer_u32(&w, 0);
	assert_true(writer_done(&w, &head));
	put(b, up, PACKET_TCP, head, payload);
}

static void udp(struct bed *b, bool up, struct bytes payload)
{
	uint8_t room[4];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes head;
	writer_u16(&w, (uint16_t)(8 + payload.len));
	writer_u16(&w, 0);
	assert_true(writer_done(&w, &head));
	put(b, up, PACKET_UDP, head, payload);
}

static struct engine_counts counted(const struct bed *b)
{
	struct engine_counts counts = {0};
	engine_count(b->engine, &counts);
	return counts;
}

#define ALERT "\x15\x03\x03\x00\x02\x02\x28"

/* The handshake, an alert in the clear, and both FINs. */
static void talk(struct bed *b, uint32_t seq)
{
	tcp(b, true, SYN, seq, 0, BYTES_NONE);
	tcp(b, false, SYN | ACK, 900, seq + 1, BYTES_NONE);
	tcp(b, true, ACK, seq + 1, 901, bytes_of(ALERT, 7));
	tcp(b, true, FIN | ACK, seq + 8, 901, BYTES_NONE);
	tcp(b, false, FIN | ACK, 901, seq + 9, BYTES_NONE);
}

static void a_connection_is_told_when_both_sides_have_closed(void **state)
{
	struct bed *b = *state;
	talk(b, 100);
	struct engine_counts counts = counted(b);
	assert_int_equal(counts.verdicts[SESSION_NOTHING], 1);
	/* The table keeps its entry for what is sent again, which changes nothing. */
	assert_int_equal(counts.table.opened, 1);
	tcp(b, true, ACK, 101, 901, bytes_of(ALERT, 7));
	tcp(b, true, FIN | ACK, 108, 901, BYTES_NONE);
	tcp(b, false, FIN | ACK, 901, 109, BYTES_NONE);
	engine_finish(b->engine);
	counts = counted(b);
	assert_int_equal(counts.verdicts[SESSION_NOTHING], 1);
	assert_int_equal(counts.session.sessions, 1);
	assert_int_equal(counts.table.opened, 1);
}

static void the_same_ports_may_begin_another_one_at_once(void **state)
{
	struct bed *b = *state;
	talk(b, 100);
	talk(b, 500000);
	assert_int_equal(counted(b).verdicts[SESSION_NOTHING], 2);
	assert_int_equal(counted(b).table.opened, 2);
}

static void one_side_that_has_closed_is_not_the_end(void **state)
{
	struct bed *b = *state;
	tcp(b, true, SYN, 100, 0, BYTES_NONE);
	tcp(b, false, SYN | ACK, 900, 101, BYTES_NONE);
	tcp(b, true, ACK, 101, 901, bytes_of(ALERT, 7));
	tcp(b, true, FIN | ACK, 108, 901, BYTES_NONE);
	assert_int_equal(counted(b).verdicts[SESSION_NOTHING], 0);
	tcp(b, false, ACK, 901, 109, bytes_of(ALERT, 7));
	engine_finish(b->engine);
	assert_int_equal(counted(b).verdicts[SESSION_NOTHING], 1);
}

static void what_is_no_tls_is_counted_as_such(void **state)
{
	struct bed *b = *state;
	tcp(b, true, SYN, 100, 0, BYTES_NONE);
	tcp(b, false, SYN | ACK, 900, 101, BYTES_NONE);
	tcp(b, true, ACK, 101, 901, bytes_str("what else there is"));
	tcp(b, true, FIN | ACK, 119, 901, BYTES_NONE);
	tcp(b, false, FIN | ACK, 901, 120, BYTES_NONE);
	assert_int_equal(counted(b).not_tls, 1);
}

/* Epoch 1 of a connection whose handshake nobody saw. */
static void dtls_without_its_beginning_is_counted(void **state)
{
	struct bed *b = *state;
	static const uint8_t record[] = {23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 7, 0, 30, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
		12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30};
	udp(b, true, bytes_of(record, sizeof(record)));
	udp(b, false, bytes_of(record, sizeof(record)));
	/* Another protocol on the same ports, and a record that is cut short. */
	udp(b, true, bytes_str("\x80 a voice"));
	udp(b, true, bytes_of(record, sizeof(record) - 1));
	engine_finish(b->engine);
	struct engine_counts counts = counted(b);
	assert_int_equal(counts.dtls, 1);
	assert_int_equal(counts.causes[SESSION_START_12], 1);
	assert_int_equal(counts.cause_octets[SESSION_START_12], 2 * sizeof(record));
	assert_int_equal(counts.cause_octets[SESSION_MALFORMED], sizeof(record) - 1);
}

static void other_udp_leaves_no_trace(void **state)
{
	struct bed *b = *state;
	udp(b, true, bytes_str("a question"));
	engine_finish(b->engine);
	struct engine_counts counts = counted(b);
	assert_true(counts.table.opened == 0 && counts.dtls == 0 && counts.session.sessions == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_connection_is_told_when_both_sides_have_closed, begin, end),
		cmocka_unit_test_setup_teardown(the_same_ports_may_begin_another_one_at_once, begin, end),
		cmocka_unit_test_setup_teardown(one_side_that_has_closed_is_not_the_end, begin, end),
		cmocka_unit_test_setup_teardown(what_is_no_tls_is_counted_as_such, begin, end),
		cmocka_unit_test_setup_teardown(dtls_without_its_beginning_is_counted, begin, end),
		cmocka_unit_test_setup_teardown(other_udp_leaves_no_trace, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
