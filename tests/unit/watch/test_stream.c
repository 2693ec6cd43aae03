#include "watch/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MS ((uint64_t)1000000)

/* A stream, and what came out of it as text: data as it is, a gap as "[octets cause]", the end as ".". */
struct bed {
	struct stream_pool pool;
	struct stream stream;
	uint64_t now, offset;
	char out[4096];
	size_t len;
	const uint8_t *last; /* where the last data lay */
};

static struct bed bed(void)
{
	return (struct bed){.pool.limits = stream_limits_default};
}

static void note(struct bed *b, const struct stream_item *item)
{
	assert_int_equal(item->offset, b->offset);
	b->offset += item->kind == STREAM_DATA ? item->bytes.len : item->octets;
	char *at = b->out + b->len;
	size_t room = sizeof(b->out) - b->len;
	if (item->kind == STREAM_DATA) {
		assert_true(item->bytes.len > 0);
		b->last = item->bytes.data;
		b->len += (size_t)snprintf(at, room, "%.*s", (int)item->bytes.len, (const char *)item->bytes.data);
	} else if (item->kind == STREAM_GAP) {
		assert_true(item->octets > 0);
		b->len += (size_t)snprintf(
			at, room, "[%llu %s]", (unsigned long long)item->octets, stream_cause_name(item->cause));
	} else {
		b->len += (size_t)snprintf(at, room, ".");
	}
}

static void run(struct bed *b, struct stream_turn *turn)
{
	struct stream_item item;
	while (stream_next(&b->pool, &b->stream, turn, &item))
		note(b, &item);
}

static void take(struct bed *b, struct stream_segment segment)
{
	struct stream_turn turn;
	segment.time_ns = b->now;
	stream_take(&b->pool, &b->stream, &segment, b->now, &turn);
	run(b, &turn);
}

static void send(struct bed *b, uint32_t seq, const char *text)
{
	take(b, (struct stream_segment){.seq = seq, .payload = bytes_str(text)});
}

static void send_syn(struct bed *b, uint32_t seq)
{
	take(b, (struct stream_segment){.seq = seq, .syn = true});
}

static void ack(struct bed *b, uint32_t ack)
{
	if (!stream_ack(&b->pool, &b->stream, ack, false, b->now))
		return;
	struct stream_turn turn;
	stream_resume(&b->pool, &b->stream, b->now, &turn);
	run(b, &turn);
}

static void wait_until(struct bed *b, uint64_t now)
{
	b->now = now;
	while (stream_due(&b->pool, now)) {
		struct stream_turn turn;
		stream_resume(&b->pool, &b->stream, now, &turn);
		run(b, &turn);
	}
}

static void finish(struct bed *b)
{
	struct stream_turn turn;
	stream_finish(&b->pool, &b->stream, b->now, &turn);
	run(b, &turn);
	assert_null(b->stream.backlog);
	assert_int_equal(b->pool.counts.held, 0);
	assert_int_equal(b->pool.counts.waiting, 0);
}

static void octets_in_order_are_views_of_the_packet(void **state)
{
	(void)state;
	struct bed b = bed();
	const char *text = "hello";
	send_syn(&b, 999);
	send(&b, 1000, text);
	assert_ptr_equal(b.last, text);
	assert_int_equal(b.pool.counts.held_peak, 0);
	assert_string_equal(b.out, "hello");
	finish(&b);
}

static void a_syn_may_carry_octets(void **state)
{
	(void)state;
	struct bed b = bed();
	take(&b, (struct stream_segment){.seq = UINT32_MAX, .syn = true, .payload = bytes_str("early")});
	send(&b, 5, "later");
	send_syn(&b, UINT32_MAX);
	finish(&b);
	assert_string_equal(b.out, "earlylater");
}

static void disorder_and_repetition_change_nothing(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	send(&b, 106, "ghi");
	send(&b, 103, "def");
	send(&b, 103, "def");
	assert_string_equal(b.out, "");
	send(&b, 100, "abc");
	send(&b, 101, "bcdefghijk");
	send(&b, 100, "abcdefghijkl");
	finish(&b);
	assert_string_equal(b.out, "abcdefghijkl");
	assert_int_equal(b.pool.counts.conflicts, 0);
	assert_int_equal(b.pool.counts.early, 2);
	assert_int_equal(b.pool.counts.repeated, 3 + 8 + 11);
}

static void the_first_to_arrive_counts_and_conflicts_are_counted(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	send(&b, 102, "CD");
	send(&b, 106, "GH");
	send(&b, 101, "bxxefxxi"); /* over both, filling between */
	assert_int_equal(b.pool.counts.conflicts, 2);
	send(&b, 100, "ayzz");
	assert_string_equal(b.out, "abCDefGHi");
	assert_int_equal(b.pool.counts.conflicts, 4);
	finish(&b);
}

static void a_hole_becomes_a_gap_when_patience_ends(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	send(&b, 100, "ab");
	send(&b, 105, "fg");
	wait_until(&b, 9999 * MS);
	assert_string_equal(b.out, "ab");
	wait_until(&b, 10000 * MS);
	assert_string_equal(b.out, "ab[3 lost]fg");
	send(&b, 107, "h");
	send(&b, 102, "cde");
	assert_string_equal(b.out, "ab[3 lost]fgh");
	assert_int_equal(b.pool.counts.repeated, 3);
	finish(&b);
}

static void packets_end_patience_too(void **state)
{
	(void)state;
	struct bed b = bed();
	b.pool.limits.lost.packets = 3;
	send_syn(&b, 99);
	send(&b, 101, "b");
	send(&b, 102, "c");
	send(&b, 103, "d");
	assert_string_equal(b.out, "");
	send(&b, 104, "e");
	assert_string_equal(b.out, "[1 lost]bcde");
	finish(&b);
}

static void an_acknowledged_hole_is_given_up_sooner(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	send(&b, 102, "cd");
	ack(&b, 101); /* not the whole hole */
	wait_until(&b, 101 * MS);
	assert_string_equal(b.out, "");
	ack(&b, 104);
	wait_until(&b, 200 * MS);
	assert_string_equal(b.out, "");
	wait_until(&b, 201 * MS);
	assert_string_equal(b.out, "[2 uncaptured]cd");
	finish(&b);
}

static void progress_renews_patience(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	send(&b, 110, "far");
	for (uint32_t i = 0; i < 8; i++) {
		wait_until(&b, (uint64_t)(i + 1) * 9000 * MS);
		send(&b, 100 + i, "x");
	}
	assert_string_equal(b.out, "xxxxxxxx");
	send(&b, 108, "yz");
	assert_string_equal(b.out, "xxxxxxxxyzfar");
	finish(&b);
}

static void holes_that_waited_together_end_together(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	send(&b, 101, "b");
	send(&b, 103, "d");
	ack(&b, 104);
	wait_until(&b, 50 * MS);
	send(&b, 106, "gg"); /* younger, and nobody acknowledged what is before it */
	wait_until(&b, 100 * MS);
	assert_string_equal(b.out, "[1 uncaptured]b[1 uncaptured]d");
	finish(&b);
	assert_string_equal(b.out, "[1 uncaptured]b[1 uncaptured]d[2 unfinished]gg");
}

static void the_cap_of_a_direction_ends_the_oldest_hole(void **state)
{
	(void)state;
	struct bed b = bed();
	b.pool.limits.direction = 400;
	send_syn(&b, 99);
	for (uint32_t i = 1; i < 20; i++)
		send(&b, 100 + 2 * i, "x");
	assert_true(b.pool.counts.held_peak <= 400);
	assert_true(b.pool.counts.gaps[STREAM_FULL] > 0);
	finish(&b);
	uint64_t missing = b.pool.counts.gap_octets[STREAM_FULL] + b.pool.counts.gap_octets[STREAM_UNFINISHED];
	assert_int_equal(missing, 20);
	assert_int_equal(b.pool.counts.octets, 19);
}

static void without_any_room_nothing_is_lost_but_the_hole(void **state)
{
	(void)state;
	struct bed b = bed();
	b.pool.limits.total = 0;
	send_syn(&b, 99);
	send(&b, 102, "cd");
	take(&b, (struct stream_segment){.seq = 106, .payload = bytes_str("gh"), .cut = 3});
	send(&b, 111, "l");
	assert_string_equal(b.out, "[2 full]cd[2 full]gh[3 cut]l");
	finish(&b);
}

static void a_shared_budget_is_paid_by_who_waits_longest(void **state)
{
	(void)state;
	struct stream_pool pool = {.limits = stream_limits_default};
	pool.limits.total = 4000;
	struct stream streams[2] = {0};
	struct stream_turn turn;
	struct stream_item item;
	char octets[3000] = {0};
	for (int i = 0; i < 2; i++) {
		struct stream_segment syn = {.seq = 0, .syn = true};
		stream_take(&pool, &streams[i], &syn, 0, &turn);
		assert_false(stream_next(&pool, &streams[i], &turn, &item));
		struct stream_segment data = {.seq = 10, .payload = bytes_of(octets, i ? 400 : 3000)};
		stream_take(&pool, &streams[i], &data, (uint64_t)i, &turn);
		assert_false(stream_next(&pool, &streams[i], &turn, &item));
	}
	assert_ptr_equal(stream_due(&pool, 1), &streams[0]);
	stream_resume(&pool, &streams[0], 1, &turn);
	assert_true(stream_next(&pool, &streams[0], &turn, &item));
	assert_int_equal(item.kind, STREAM_GAP);
	assert_int_equal(item.cause, STREAM_FULL);
	assert_true(stream_next(&pool, &streams[0], &turn, &item));
	assert_int_equal(item.bytes.len, 3000);
	assert_false(stream_next(&pool, &streams[0], &turn, &item));
	assert_null(stream_due(&pool, 1));
	stream_skip(&pool, &streams[1]);
	assert_int_equal(pool.counts.held, 0);
}

static void cut_octets_are_a_gap_of_their_size(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	take(&b, (struct stream_segment){.seq = 100, .payload = bytes_str("ab"), .cut = 3});
	send(&b, 105, "f");
	assert_string_equal(b.out, "ab[3 cut]f");
	finish(&b);
}

static void cut_octets_that_come_in_time_are_used(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	take(&b, (struct stream_segment){.seq = 101, .payload = bytes_str("b"), .cut = 8}); /* to 110 */
	send(&b, 104, "e");                                                                 /* in the middle */
	send(&b, 102, "cd");                                                                /* at its beginning */
	send(&b, 109, "jk");                                                                /* over its end */
	assert_string_equal(b.out, "");
	send(&b, 100, "a");
	assert_string_equal(b.out, "abcde[4 cut]jk");
	assert_int_equal(b.pool.counts.conflicts, 0);
	finish(&b);
}

static void octets_in_order_fill_a_cut_that_waits(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	take(&b, (struct stream_segment){.seq = 102, .cut = 3});
	send(&b, 105, "F");
	send(&b, 100, "abcdxf");
	assert_string_equal(b.out, "abcdxF");
	assert_int_equal(b.pool.counts.conflicts, 1);
	finish(&b);
}

static void keepalives_are_no_data(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	send(&b, 100, "ab");
	send(&b, 101, "?"); /* just below what is expected */
	ack(&b, 107);       /* up to here the sender has sent, and we missed the last five */
	send(&b, 106, "?");
	send(&b, 107, "hi");
	wait_until(&b, 100 * MS);
	assert_string_equal(b.out, "ab[5 uncaptured]hi");
	assert_int_equal(b.pool.counts.keepalives, 2);
	assert_int_equal(b.pool.counts.conflicts, 0);
	finish(&b);
}

/* Nothing is known of where it stands in the stream, but what comes then is not lost. */
static void a_keepalive_that_comes_first_begins_nothing(void **state)
{
	(void)state;
	const uint32_t at[] = {5000, 0, 1};
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		struct bed b = bed();
		ack(&b, at[i]);
		send(&b, at[i] - 1, "x");
		assert_int_equal(b.pool.counts.keepalives, 1);
		assert_true(stream_may_begin_at(&b.pool, &b.stream, at[i] - 100));
		send_syn(&b, at[i] - 1);
		send(&b, at[i], "hello");
		assert_string_equal(b.out, "hello");
		finish(&b);
	}
}

static void a_window_probe_is_data(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	send(&b, 100, "a");
	send(&b, 101, "b"); /* the receiver has no room: it acknowledges nothing, and the octet comes again */
	ack(&b, 101);
	send(&b, 101, "bcd");
	assert_string_equal(b.out, "abcd");
	finish(&b);
}

static void a_single_octet_acknowledged_before_it_was_captured_is_data(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	send(&b, 100, "a");
	ack(&b, 102);
	send(&b, 101, "b");
	assert_string_equal(b.out, "ab");
	finish(&b);
}

static void a_fin_ends_the_stream_where_it_stands(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	take(&b, (struct stream_segment){.seq = 102, .payload = bytes_str("c"), .fin = true});
	send(&b, 103, "beyond");
	assert_string_equal(b.out, "");
	send(&b, 100, "abc");
	assert_string_equal(b.out, "abc.");
	take(&b, (struct stream_segment){.seq = 103, .fin = true});
	send(&b, 103, "beyond");
	finish(&b);
	assert_string_equal(b.out, "abc.");
	assert_int_equal(b.pool.counts.astray, 12);
}

static void a_fin_within_what_is_known_is_ignored(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	send(&b, 100, "abc");
	send(&b, 105, "f");
	take(&b, (struct stream_segment){.seq = 101, .fin = true});
	take(&b, (struct stream_segment){.seq = 104, .fin = true});
	send(&b, 103, "de");
	finish(&b);
	assert_string_equal(b.out, "abcdef");
	assert_int_equal(b.pool.counts.astray, 2);
}

static void the_end_tells_what_never_came(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	send(&b, 100, "ab");
	take(&b, (struct stream_segment){.seq = 105, .fin = true});
	finish(&b);
	assert_string_equal(b.out, "ab[3 unfinished].");
	b = bed();
	send_syn(&b, 99);
	send(&b, 100, "ab");
	ack(&b, 110);
	finish(&b);
	assert_string_equal(b.out, "ab[8 uncaptured]");
	b = bed();
	send_syn(&b, 99);
	send(&b, 100, "ab");
	ack(&b, 103);
	finish(&b);
	assert_string_equal(b.out, "ab");
	assert_int_equal(b.pool.counts.assumed_fins, 1);
}

static void a_stream_without_syn_begins_at_the_lowest_octet_that_comes_soon(void **state)
{
	(void)state;
	struct bed b = bed();
	send(&b, 2, "cd");
	send(&b, UINT32_MAX, "zab"); /* wraps */
	send(&b, 4, "ef");
	assert_string_equal(b.out, "");
	wait_until(&b, 50 * MS);
	assert_string_equal(b.out, "zabcdef");
	send(&b, UINT32_MAX - 2, "xyz");
	assert_int_equal(b.pool.counts.before, 2);
	finish(&b);
	assert_string_equal(b.out, "zabcdef");
}

static void an_acknowledged_beginning_is_settled_at_once(void **state)
{
	(void)state;
	struct bed b = bed();
	ack(&b, 500);
	send(&b, 500, "ab");
	assert_string_equal(b.out, "ab");
	finish(&b);
	b = bed();
	send(&b, 500, "ab");
	assert_string_equal(b.out, "");
	ack(&b, 502);
	assert_string_equal(b.out, "ab");
	finish(&b);
}

static void an_acknowledgment_that_came_first_counts_across_the_wrap(void **state)
{
	(void)state;
	struct bed b = bed();
	ack(&b, 2);
	send(&b, UINT32_MAX - 1, "abcd");
	assert_string_equal(b.out, "abcd");
	finish(&b);
}

static void a_late_syn_settles_the_beginning(void **state)
{
	(void)state;
	struct bed b = bed();
	send(&b, 102, "cd");
	send_syn(&b, 99);
	assert_string_equal(b.out, "");
	send(&b, 100, "ab");
	assert_string_equal(b.out, "abcd");
	finish(&b);
}

static void a_single_octet_may_begin_a_stream(void **state)
{
	(void)state;
	struct bed b = bed();
	send(&b, 99, "a");
	send(&b, 100, "bc");
	wait_until(&b, 50 * MS);
	/* But not one that has begun. */
	send(&b, 101, "?");
	finish(&b);
	assert_string_equal(b.out, "abc");
	assert_int_equal(b.pool.counts.keepalives, 1);
}

static void offsets_go_beyond_32_bits(void **state)
{
	(void)state;
	struct bed b = bed();
	size_t len = (size_t)1024 * 1024;
	uint8_t *octets = calloc(1, len);
	assert_non_null(octets);
	send_syn(&b, 0xfffffff0 - 1);
	uint32_t seq = 0xfffffff0;
	for (int i = 0; i < 9000; i += 2, seq += 2 * (uint32_t)len) {
		uint32_t first = i % 300 ? seq : seq + (uint32_t)len;
		uint32_t second = i % 300 ? seq + (uint32_t)len : seq;
		take(&b, (struct stream_segment){.seq = first, .payload = bytes_of(octets, len)});
		take(&b, (struct stream_segment){.seq = second, .payload = bytes_of(octets, len)});
		b.len = 0;
	}
	assert_int_equal(b.offset, (uint64_t)9000 * 1024 * 1024);
	finish(&b);
	free(octets);
}

static void what_is_skipped_is_counted_by_its_offset(void **state)
{
	(void)state;
	struct bed b = bed();
	send_syn(&b, 99);
	send(&b, 105, "held");
	stream_skip(&b.pool, &b.stream);
	assert_int_equal(b.pool.counts.held, 0);
	send(&b, 100, "abcde");
	b.offset = 8;
	take(&b, (struct stream_segment){.seq = 105, .payload = bytes_str("fgh"), .fin = true});
	finish(&b);
	assert_string_equal(b.out, ".");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(octets_in_order_are_views_of_the_packet),
		cmocka_unit_test(a_syn_may_carry_octets),
		cmocka_unit_test(disorder_and_repetition_change_nothing),
		cmocka_unit_test(the_first_to_arrive_counts_and_conflicts_are_counted),
		cmocka_unit_test(a_hole_becomes_a_gap_when_patience_ends),
		cmocka_unit_test(packets_end_patience_too),
		cmocka_unit_test(an_acknowledged_hole_is_given_up_sooner),
		cmocka_unit_test(progress_renews_patience),
		cmocka_unit_test(holes_that_waited_together_end_together),
		cmocka_unit_test(the_cap_of_a_direction_ends_the_oldest_hole),
		cmocka_unit_test(without_any_room_nothing_is_lost_but_the_hole),
		cmocka_unit_test(a_shared_budget_is_paid_by_who_waits_longest),
		cmocka_unit_test(cut_octets_are_a_gap_of_their_size),
		cmocka_unit_test(cut_octets_that_come_in_time_are_used),
		cmocka_unit_test(octets_in_order_fill_a_cut_that_waits),
		cmocka_unit_test(keepalives_are_no_data),
		cmocka_unit_test(a_keepalive_that_comes_first_begins_nothing),
		cmocka_unit_test(a_window_probe_is_data),
		cmocka_unit_test(a_single_octet_acknowledged_before_it_was_captured_is_data),
		cmocka_unit_test(a_fin_ends_the_stream_where_it_stands),
		cmocka_unit_test(a_fin_within_what_is_known_is_ignored),
		cmocka_unit_test(the_end_tells_what_never_came),
		cmocka_unit_test(a_stream_without_syn_begins_at_the_lowest_octet_that_comes_soon),
		cmocka_unit_test(an_acknowledged_beginning_is_settled_at_once),
		cmocka_unit_test(an_acknowledgment_that_came_first_counts_across_the_wrap),
		cmocka_unit_test(a_late_syn_settles_the_beginning),
		cmocka_unit_test(a_single_octet_may_begin_a_stream),
		cmocka_unit_test(offsets_go_beyond_32_bits),
		cmocka_unit_test(what_is_skipped_is_counted_by_its_offset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
