#include "flow/publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct ring_fds fds;
static struct ring_consumer *consumer;
static struct publisher pub;
static struct publish_flow flow;

static int set_up(void **state)
{
	(void)state;
	struct error err;
	if (!ring_create(&fds, RING_SIZE_MIN, &err))
		return -1;
	pub = (struct publisher){.ring = ring_producer_new(&fds, &err)};
	consumer = ring_consumer_new(&fds, &err);
	flow = (struct publish_flow){.id = 1};
	if (consumer)
		ring_set_wants(consumer, RING_WANTS_EVENTS | RING_WANTS_DATA);
	return pub.ring && consumer ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	ring_producer_free(pub.ring);
	ring_consumer_free(consumer);
	ring_fds_close(&fds);
	return 0;
}

/* The next event; its views live until the next call. */
static bool next(struct event *event)
{
	static uint8_t octets[EVENT_SIZE_MAX];
	size_t len, size;
	if (ring_peek(consumer, octets, sizeof(octets), &len, &size) != RING_RECORD)
		return false;
	assert_int_equal(event_decode(bytes_of(octets, len), event), EVENT_OK);
	ring_drop(consumer, false);
	return true;
}

static uint8_t text[300000];

static void expect_data(uint64_t offset, size_t len)
{
	struct event e;
	assert_true(next(&e));
	assert_int_equal(e.kind, EVENT_DATA);
	assert_int_equal(e.data.offset, offset);
	assert_int_equal(e.data.bytes.len, len);
}

static void expect_gap(uint64_t offset, uint64_t octets, enum flow_gap why)
{
	struct event e;
	assert_true(next(&e));
	assert_int_equal(e.kind, EVENT_GAP);
	assert_int_equal(e.gap.offset, offset);
	assert_int_equal(e.gap.octets, octets);
	assert_int_equal(e.gap.why, why);
}

static void expect_nothing(void)
{
	struct event e;
	assert_false(next(&e));
}

static void plaintext_is_split_and_its_offsets_go_on(void **state)
{
	(void)state;
	publish_data(&pub, &flow, FLOW_UP, bytes_of(text, 70000), 1);
	publish_data(&pub, &flow, FLOW_UP, bytes_of(text, 10), 1);
	publish_data(&pub, &flow, FLOW_DOWN, bytes_of(text, 5), 1);
	expect_data(0, EVENT_DATA_MAX);
	expect_data(EVENT_DATA_MAX, 70000 - EVENT_DATA_MAX);
	expect_data(70000, 10);
	expect_data(0, 5);
	expect_nothing();
}

static void nothing_goes_where_nobody_wants_it(void **state)
{
	(void)state;
	ring_set_wants(consumer, 0);
	struct event open = {.kind = EVENT_OPEN, .flow = 1}, key = {.kind = EVENT_KEYLOG, .flow = 1};
	assert_false(publish_wanted(&pub));
	assert_true(publish_event(&pub, &open));
	publish_data(&pub, &flow, FLOW_UP, bytes_of(text, 10), 1);
	expect_nothing();
	ring_set_wants(consumer, RING_WANTS_EVENTS | RING_WANTS_DATA);
	assert_true(publish_event(&pub, &key)); /* a secret is wanted by name only */
	expect_nothing();
	publish_data(&pub, &flow, FLOW_UP, bytes_of(text, 10), 1);
	expect_data(10, 10); /* what went by unwanted was counted */
	struct publisher none = {0};
	assert_true(publish_event(&none, &open));
	publish_data(&none, &flow, FLOW_UP, bytes_of(text, 10), 1);
	publish_gaps(&none, &flow, 1);
	assert_true(publish_ready(&none, 1 << 20));
}

static void a_full_ring_costs_plaintext_and_says_so_but_takes_the_close(void **state)
{
	(void)state;
	publish_data(&pub, &flow, FLOW_UP, bytes_of(text, 300000), 1);
	assert_true(pub.counts.lost_octets > 0);
	publish_data(&pub, &flow, FLOW_UP, bytes_of(text, 100000), 1);
	uint64_t lost = pub.counts.lost_octets;
	assert_true(lost >= 100000);
	publish_gaps(&pub, &flow, 2);
	struct event close = {.kind = EVENT_CLOSE, .flow = 1};
	assert_true(publish_event(&pub, &close));
	struct event e = {0};
	uint64_t told = 0, at = 0;
	while (next(&e) && e.kind != EVENT_CLOSE) {
		if (e.kind == EVENT_GAP) {
			assert_int_equal(e.gap.why, GAP_RING_FULL);
			assert_int_equal(e.gap.offset, at);
			told += e.gap.octets;
			at += e.gap.octets;
		} else {
			assert_int_equal(e.data.offset, at);
			at += e.data.bytes.len;
		}
	}
	assert_int_equal(e.kind, EVENT_CLOSE);
	assert_int_equal(told, lost);
	assert_int_equal(at, 400000);
}

static void events_that_find_no_room_are_counted(void **state)
{
	(void)state;
	struct event open = {.kind = EVENT_OPEN, .flow = 1};
	while (publish_event(&pub, &open))
		;
	assert_int_equal(pub.counts.lost_events, 1);
	assert_false(publish_event(&pub, &open));
	assert_int_equal(pub.counts.lost_events, 2);
}

static void a_skip_leaves_out_exactly_what_was_asked(void **state)
{
	(void)state;
	publish_data(&pub, &flow, FLOW_DOWN, bytes_of(text, 100), 1);
	publish_skip(&flow, &(struct ring_skip){.flow = 1, .direction = FLOW_DOWN, .until = 1000});
	publish_skip(&flow, &(struct ring_skip){.flow = 1, .direction = FLOW_DOWN, .until = 500}); /* older: ignored */
	publish_data(&pub, &flow, FLOW_DOWN, bytes_of(text, 200), 1);
	publish_data(&pub, &flow, FLOW_DOWN, bytes_of(text, 1000), 1);
	expect_data(0, 100);
	expect_gap(100, 900, GAP_SKIPPED);
	expect_data(1000, 300);
	assert_int_equal(pub.counts.skipped_octets, 900);
}

static void until_counts_both_directions_and_is_said_at_once_in_each(void **state)
{
	(void)state;
	flow.until = 50;
	publish_data(&pub, &flow, FLOW_UP, bytes_of(text, 80), 1);
	expect_data(0, 50);
	expect_gap(50, 30, GAP_UNTIL);
	publish_data(&pub, &flow, FLOW_UP, bytes_of(text, 20), 1);
	expect_nothing();
	publish_data(&pub, &flow, FLOW_DOWN, bytes_of(text, 50), 1);
	expect_gap(0, 50, GAP_UNTIL);
	publish_gaps(&pub, &flow, 2);
	expect_gap(80, 20, GAP_UNTIL);
	expect_nothing();
}

static void a_lossless_producer_is_told_to_pause_before_anything_is_lost(void **state)
{
	(void)state;
	unsigned chunks = 0;
	while (publish_ready(&pub, 16384)) {
		publish_data(&pub, &flow, FLOW_UP, bytes_of(text, 16384), 1);
		chunks++;
	}
	assert_int_equal(pub.counts.lost_octets, 0);
	assert_true(chunks >= 8);
	struct event e;
	while (next(&e))
		;
	ring_release(consumer);
	assert_true(publish_ready(&pub, 16384));
}

#define WITH_RING(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RING(plaintext_is_split_and_its_offsets_go_on),
		WITH_RING(nothing_goes_where_nobody_wants_it),
		WITH_RING(a_full_ring_costs_plaintext_and_says_so_but_takes_the_close),
		WITH_RING(events_that_find_no_room_are_counted),
		WITH_RING(a_skip_leaves_out_exactly_what_was_asked),
		WITH_RING(until_counts_both_directions_and_is_said_at_once_in_each),
		WITH_RING(a_lossless_producer_is_told_to_pause_before_anything_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
