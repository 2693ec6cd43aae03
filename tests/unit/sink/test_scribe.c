/* The scribe of proxy/, from what workers publish to what stands in the files. */
#include "proxy/scribe.h"

#include "base/clock.h"
#include "base/log.h"
#include "flow/publish.h"
#include "flow/ring_layout.h"
#include "flows.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static struct scribe *scribe;
static struct ring_fds fds; /* the worker's copies */
static struct publisher pub;

static void attach(uint32_t number)
{
	struct error err;
	struct ring_fds theirs;
	assert_true(ring_create(&theirs, RING_SIZE_MIN, &err));
	fds = (struct ring_fds){dup(theirs.data), dup(theirs.control), dup(theirs.wake), dup(theirs.space)};
	pub = (struct publisher){.ring = ring_producer_new(&fds, &err)};
	assert_non_null(pub.ring);
	assert_true(scribe_attach(scribe, number, &theirs, &err));
	assert_int_equal(theirs.data, -1);
}

static void start(const struct scribe_options *options)
{
	struct error err;
	loop = loop_new();
	scribe = scribe_new(loop, options, &err);
	assert_non_null(scribe);
	attach(1);
}

static void leave(void)
{
	ring_producer_free(pub.ring);
	ring_fds_close(&fds);
}

static void stop(void)
{
	scribe_close(scribe);
	loop_free(loop);
	leave();
}

static void say(enum event_kind kind, uint64_t flow)
{
	struct event event = {.kind = kind, .flow = flow, .time_ns = T0};
	assert_true(publish_event(&pub, &event));
}

static char *jsonl(void)
{
	size_t len;
	return slurp(file_in("scribe.jsonl"), &len);
}

static struct scribe_options to_jsonl(void)
{
	unlink(file_in("scribe.jsonl"));
	return (struct scribe_options){.outputs.terminal_fd = -1, .outputs.jsonl = file_in("scribe.jsonl")};
}

static unsigned count(const char *all, const char *what)
{
	unsigned n = 0;
	for (const char *at = all; (at = strstr(at, what)); at++)
		n++;
	return n;
}

static void what_a_worker_publishes_comes_out_in_order(void **state)
{
	(void)state;
	struct scribe_options options = to_jsonl();
	start(&options);
	struct publish_flow flow = {.id = 5};
	say(EVENT_OPEN, 5);
	/* Too little to know a protocol by: what was taken aside for the guess is decoded like the rest. */
	publish_data(&pub, &flow, FLOW_UP, bytes_str("G"), T0);
	publish_data(&pub, &flow, FLOW_UP, bytes_str("ET /path HTTP/1.1\r\nHost: h\r\n\r\n"), T0);
	publish_data(&pub, &flow, FLOW_DOWN, bytes_str("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer"), T0);
	say(EVENT_CLOSE, 5);
	scribe_drain(scribe);
	struct scribe_counts counts = scribe_count(scribe);
	assert_int_equal(counts.feed.flows, 1);
	assert_int_equal(counts.feed.exchanges, 1);
	assert_int_equal(counts.feed.open, 0);
	stop();
	char *all = jsonl();
	const char *at = all;
	static const char *const order[] = {"\"open\"", "\"request\"", "\"response\"", "\"end\"", "\"close\""};
	for (size_t i = 0; i < 5; i++) {
		char type[32];
		snprintf(type, sizeof(type), "\"type\":%s", order[i]);
		at = strstr(at, type);
		assert_non_null(at);
	}
	assert_int_equal(count(all, "\"flow\":\"1.5\""), 5);
	assert_non_null(strstr(all, "\"path\":\"/path\""));
	assert_non_null(strstr(all, "\"response_octets\":6"));
	free(all);
}

static void a_flow_whose_worker_vanished_is_closed_as_lost(void **state)
{
	(void)state;
	struct scribe_options options = to_jsonl();
	start(&options);
	say(EVENT_OPEN, 1);
	say(EVENT_OPEN, 2);
	say(EVENT_CLOSE, 1);
	scribe_detach(scribe, 1);
	assert_int_equal(scribe_count(scribe).feed.open, 0);
	leave();
	attach(2); /* its successor, with the same numbers of flows */
	say(EVENT_OPEN, 1);
	stop();
	char *all = jsonl();
	assert_int_equal(count(all, "\"type\":\"close\""), 3);
	assert_int_equal(count(all, "\"ending\":\"lost\""), 2);
	assert_non_null(strstr(all, "\"flow\":\"2.1\""));
	free(all);
}

static void bodies_nobody_wants_are_skipped_at_both_ends(void **state)
{
	(void)state;
	static const char ask[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
	struct scribe_options options = to_jsonl();
	start(&options);
	static uint8_t body[100000];
	struct publish_flow flow = {.id = 5};
	say(EVENT_OPEN, 5);
	publish_data(&pub, &flow, FLOW_UP, bytes_str(ask), T0);
	publish_data(&pub, &flow, FLOW_DOWN, bytes_str(head), T0);
	scribe_drain(scribe);
	struct ring_skip skip;
	assert_true(ring_skip_next(pub.ring, &skip));
	assert_int_equal(skip.flow, 5);
	assert_int_equal(skip.direction, FLOW_DOWN);
	assert_int_equal(skip.until, strlen(head) + 1000000);
	publish_data(&pub, &flow, FLOW_DOWN, bytes_of(body, 100000), T0); /* before the worker has heard of it */
	scribe_drain(scribe);
	publish_skip(&flow, &skip);
	for (int i = 0; i < 9; i++)
		publish_data(&pub, &flow, FLOW_DOWN, bytes_of(body, 100000), T0);
	assert_int_equal(pub.counts.skipped_octets, 900000);
	/* What follows the body is found again. */
	publish_data(&pub, &flow, FLOW_UP, bytes_str(ask), T0);
	publish_data(&pub, &flow, FLOW_DOWN, bytes_str("HTTP/1.1 204 No Content\r\n\r\n"), T0);
	scribe_drain(scribe);
	assert_int_equal(scribe_count(scribe).feed.exchanges, 2);
	assert_int_equal(scribe_count(scribe).feed.lost_octets, 0);
	stop();
	char *all = jsonl();
	assert_non_null(strstr(all, "\"response_octets\":1000000"));
	assert_non_null(strstr(all, "\"status\":204"));
	assert_int_equal(count(all, "\"ending\":\"done\""), 2);
	free(all);
}

static void what_is_no_known_protocol_is_not_published_for_long(void **state)
{
	(void)state;
	struct scribe_options options = to_jsonl();
	start(&options);
	struct publish_flow flow = {.id = 5};
	say(EVENT_OPEN, 5);
	publish_data(&pub, &flow, FLOW_DOWN, bytes_str("220 mail.example ESMTP"), T0);
	scribe_drain(scribe);
	struct ring_skip skip;
	assert_true(ring_skip_next(pub.ring, &skip));
	assert_true(skip.until > (UINT64_C(1) << 50));
	stop();
	char *all = jsonl();
	assert_int_equal(count(all, "\"type\":\"request\"") + count(all, "\"type\":\"response\""), 0);
	free(all);
}

static void a_sink_of_plaintext_gets_all_of_it(void **state)
{
	(void)state;
	struct scribe_options options = {.outputs.terminal_fd = -1, .outputs.pcapng = file_in("all.pcapng")};
	start(&options);
	assert_int_equal(ring_wants(pub.ring), RING_WANTS_EVENTS | RING_WANTS_DATA);
	struct publish_flow flow = {.id = 5};
	say(EVENT_OPEN, 5);
	publish_data(&pub, &flow, FLOW_UP, bytes_str("neither GET nor anything"), T0);
	publish_data(&pub, &flow, FLOW_DOWN, bytes_str("the-whole-answer"), T0);
	scribe_drain(scribe);
	struct ring_skip skip;
	assert_false(ring_skip_next(pub.ring, &skip));
	stop();
	size_t len;
	char *all = slurp(file_in("all.pcapng"), &len);
	assert_non_null(memmem(all, len, "the-whole-answer", 16));
	free(all);
}

static void without_sinks_nothing_is_wanted(void **state)
{
	(void)state;
	struct scribe_options options = {.outputs.terminal_fd = -1};
	start(&options);
	assert_false(publish_wanted(&pub));
	assert_false(publish_wants_secrets(&pub));
	stop();
}

static void secrets_reach_the_key_log_and_leave_no_trace(void **state)
{
	(void)state;
	struct scribe_options options = to_jsonl();
	options.outputs.keylog = file_in("scribe.keys");
	start(&options);
	say(EVENT_OPEN, 5);
	struct event event = {.kind = EVENT_KEYLOG, .flow = 5, .keylog = {bytes_str("CLIENT_RANDOM 00 123abc")}};
	assert_true(publish_event(&pub, &event));
	scribe_drain(scribe);
	uint8_t *raw = mmap(NULL, RING_HEAD_AREA + RING_SIZE_MIN, PROT_READ, MAP_SHARED, fds.data, 0);
	assert_true(raw && raw != MAP_FAILED);
	if (raw)
		assert_null(memmem(raw, RING_HEAD_AREA + RING_SIZE_MIN, "123abc", 6));
	munmap(raw, RING_HEAD_AREA + RING_SIZE_MIN);
	stop();
	size_t len;
	char *keys = slurp(file_in("scribe.keys"), &len);
	assert_string_equal(keys, "CLIENT_RANDOM 00 123abc\n");
	free(keys);
	char *all = jsonl();
	assert_null(strstr(all, "123abc"));
	free(all);
}

static void plaintext_lost_for_want_of_room_is_said_and_logged(void **state)
{
	(void)state;
	int log = open(file_in("log"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	log_setup("test", log, LOG_LEVEL_WARN);
	struct scribe_options options = to_jsonl();
	start(&options);
	static uint8_t body[300000];
	struct publish_flow flow = {.id = 5};
	say(EVENT_OPEN, 5);
	publish_data(&pub, &flow, FLOW_UP, bytes_of(body, sizeof(body)), T0);
	publish_gaps(&pub, &flow, T0);
	say(EVENT_CLOSE, 5);
	uint64_t lost = pub.counts.lost_octets;
	assert_true(lost > 0);
	scribe_drain(scribe);
	assert_int_equal(scribe_count(scribe).feed.lost_octets, lost);
	stop();
	char expected[96];
	size_t len;
	char *all = jsonl();
	snprintf(expected, sizeof(expected), "\"octets\":%llu,\"why\":\"ring-full\"", (unsigned long long)lost);
	assert_non_null(strstr(all, expected));
	snprintf(expected, sizeof(expected), "\"missing_octets\":{\"up\":%llu,\"down\":0}", (unsigned long long)lost);
	assert_non_null(strstr(all, expected));
	free(all);
	char *logged = slurp(file_in("log"), &len);
	snprintf(expected, sizeof(expected), "plaintext not shown octets=%llu", (unsigned long long)lost);
	assert_non_null(strstr(logged, expected));
	free(logged);
}

static void a_hostile_worker_harms_only_itself(void **state)
{
	(void)state;
	log_setup("test", open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR);
	struct scribe_options options = to_jsonl();
	start(&options);
	struct publisher hostile = pub;
	struct ring_fds hostile_fds = fds;
	attach(2);
	/* Records that are no events, events of flows that are none, offsets that run backwards. */
	for (unsigned i = 0; i < 200; i++) {
		uint8_t *room = ring_begin(hostile.ring, 64);
		assert_non_null(room);
		memset(room, (int)i, 64);
		ring_commit(hostile.ring, 1 + i % 64);
	}
	struct event data = {.kind = EVENT_DATA, .flow = 9, .data = {FLOW_UP, 100, bytes_str("GET")}};
	assert_true(publish_event(&hostile, &data));
	struct event open = {.kind = EVENT_OPEN, .flow = 9};
	assert_true(publish_event(&hostile, &open));
	assert_true(publish_event(&hostile, &open));
	assert_true(publish_event(&hostile, &data));
	data.data.offset = 50;
	assert_true(publish_event(&hostile, &data));
	say(EVENT_OPEN, 1);
	scribe_drain(scribe);
	struct scribe_counts counts = scribe_count(scribe);
	assert_int_equal(counts.bad_events, 201);
	assert_int_equal(counts.feed.orphan_events, 1);
	assert_int_equal(counts.feed.open, 2);
	struct ring_data *words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, hostile_fds.data, 0);
	atomic_store(&words->head, UINT64_MAX);
	munmap(words, 4096);
	scribe_drain(scribe);
	counts = scribe_count(scribe);
	assert_int_equal(counts.broken_rings, 1);
	assert_int_equal(counts.feed.open, 1); /* the other worker's */
	scribe_detach(scribe, 1);              /* gone already: nothing happens */
	ring_producer_free(hostile.ring);
	ring_fds_close(&hostile_fds);
	stop();
	char *all = jsonl();
	assert_int_equal(count(all, "\"ending\":\"lost\""), 3);
	free(all);
}

static void the_table_of_flows_is_bounded_and_says_what_it_cost(void **state)
{
	(void)state;
	struct scribe_options options = to_jsonl();
	options.flow_max = 4;
	start(&options);
	for (uint64_t i = 1; i <= 10; i++)
		say(EVENT_OPEN, i);
	scribe_drain(scribe);
	assert_int_equal(scribe_count(scribe).feed.open, 4);
	assert_int_equal(scribe_count(scribe).feed.evicted_flows, 6);
	stop();
}

/* On a loop, woken by the worker's publishing, until it sleeps again. */
static struct loop_timer watch;
static unsigned rounds;

static void on_watch(struct loop_timer *timer)
{
	struct pollfd p = {.fd = fds.wake, .events = POLLIN};
	uint64_t n;
	/* Asleep once a publish rings the bell. */
	if (poll(&p, 1, 0) == 1)
		assert_int_equal(read(fds.wake, &n, sizeof(n)), sizeof(n));
	say(EVENT_OPEN, ++rounds);
	if (rounds == 1 || (poll(&p, 1, 0) == 0 && rounds < 200))
		assert_true(loop_timer_set(loop, timer, clock_monotonic_ns() + 30 * NS_PER_MS, on_watch));
	else
		loop_stop(loop);
}

static void it_sleeps_when_idle_and_wakes_for_an_event(void **state)
{
	(void)state;
	struct scribe_options options = to_jsonl();
	start(&options);
	rounds = 0;
	assert_true(loop_timer_set(loop, &watch, clock_monotonic_ns(), on_watch));
	assert_true(loop_run(loop));
	assert_true(rounds < 200); /* it slept, and was called */
	/* What was published then is read without anybody asking. */
	assert_true(loop_timer_set(
		loop, &watch, clock_monotonic_ns() + 30 * NS_PER_MS, (void (*)(struct loop_timer *))on_watch));
	assert_true(loop_run(loop));
	assert_true(scribe_count(scribe).feed.flows >= rounds - 1);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_worker_publishes_comes_out_in_order),
		cmocka_unit_test(a_flow_whose_worker_vanished_is_closed_as_lost),
		cmocka_unit_test(bodies_nobody_wants_are_skipped_at_both_ends),
		cmocka_unit_test(what_is_no_known_protocol_is_not_published_for_long),
		cmocka_unit_test(a_sink_of_plaintext_gets_all_of_it),
		cmocka_unit_test(without_sinks_nothing_is_wanted),
		cmocka_unit_test(secrets_reach_the_key_log_and_leave_no_trace),
		cmocka_unit_test(plaintext_lost_for_want_of_room_is_said_and_logged),
		cmocka_unit_test(a_hostile_worker_harms_only_itself),
		cmocka_unit_test(the_table_of_flows_is_bounded_and_says_what_it_cost),
		cmocka_unit_test(it_sleeps_when_idle_and_wakes_for_an_event),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
