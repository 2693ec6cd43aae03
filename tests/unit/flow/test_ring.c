#include "flow/ring.h"
#include "flow/ring_layout.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static struct ring_fds fds;
static struct ring_producer *producer;
static struct ring_consumer *consumer;

static int set_up(void **state)
{
	(void)state;
	struct error err;
	if (!ring_create(&fds, RING_SIZE_MIN, &err))
		return -1;
	producer = ring_producer_new(&fds, &err);
	consumer = ring_consumer_new(&fds, &err);
	return producer && consumer ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	ring_producer_free(producer);
	ring_consumer_free(consumer);
	ring_fds_close(&fds);
	return 0;
}

static bool put(const void *octets, size_t len)
{
	uint8_t *room = ring_begin(producer, len);
	if (!room)
		return false;
	memcpy(room, octets, len);
	ring_commit(producer, len);
	return true;
}

static bool is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return poll(&p, 1, 0) == 1;
}

static void empty(int fd)
{
	uint64_t count;
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
}

static void records_come_out_in_order_and_whole_across_the_end_of_the_ring(void **state)
{
	(void)state;
	uint8_t in[1000], out[1000];
	for (unsigned i = 0; i < 3000; i++) { /* eleven times round */
		size_t len = 1 + i * 7 % sizeof(in);
		memset(in, (int)i, len);
		assert_true(put(in, len));
		size_t got, size;
		assert_int_equal(ring_peek(consumer, out, sizeof(out), &got, &size), RING_RECORD);
		assert_int_equal(size, len);
		assert_int_equal(got, len);
		assert_memory_equal(in, out, len);
		ring_drop(consumer, false);
	}
	size_t got, size;
	assert_int_equal(ring_peek(consumer, out, sizeof(out), &got, &size), RING_EMPTY);
}

static void a_full_ring_refuses_and_takes_again_once_read(void **state)
{
	(void)state;
	static uint8_t big[65536];
	unsigned fitted = 0;
	while (put(big, sizeof(big)))
		fitted++;
	assert_int_equal(fitted, RING_SIZE_MIN / (sizeof(big) + 8));
	size_t got, size;
	assert_int_equal(ring_peek(consumer, big, 1, &got, &size), RING_RECORD);
	ring_drop(consumer, false);
	assert_true(put(big, sizeof(big))); /* a sixteenth of the ring is released by itself */
	assert_null(ring_begin(producer, RING_RECORD_MAX + 1));
	assert_null(ring_begin(producer, 0));
}

static void only_a_sleeper_is_woken_and_only_once(void **state)
{
	(void)state;
	assert_true(put("a", 1));
	assert_false(is_readable(fds.wake));
	assert_false(ring_sleep(consumer)); /* something is there */
	ring_drop(consumer, false);
	assert_true(ring_sleep(consumer));
	assert_true(put("b", 1));
	assert_true(is_readable(fds.wake));
	empty(fds.wake);
	assert_true(put("c", 1));
	assert_false(is_readable(fds.wake));
	ring_awake(consumer);
	size_t got, size;
	char c;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ring_peek(consumer, &c, 1, &got, &size), RING_RECORD);
		ring_drop(consumer, false);
	}
	assert_true(ring_sleep(consumer));
	assert_true(put("d", 1));
	assert_true(is_readable(fds.wake)); /* a new sleep is a new wake */
}

static void a_half_full_ring_calls_even_a_consumer_that_is_awake(void **state)
{
	(void)state;
	static uint8_t big[32768];
	while (!is_readable(fds.wake))
		assert_true(put(big, sizeof(big)));
	empty(fds.wake);
	while (put(big, sizeof(big)))
		assert_false(is_readable(fds.wake)); /* said once */
}

static void a_waiting_producer_hears_of_space_each_time(void **state)
{
	(void)state;
	static uint8_t big[65536];
	for (int round = 0; round < 3; round++) {
		while (put(big, sizeof(big)))
			;
		assert_true(ring_wait(producer));
		assert_false(is_readable(fds.space));
		size_t got, size;
		while (ring_peek(consumer, big, 1, &got, &size) == RING_RECORD)
			ring_drop(consumer, false);
		ring_release(consumer);
		assert_true(is_readable(fds.space));
		empty(fds.space);
		assert_false(ring_wait(producer)); /* no need */
	}
}

static void wants_and_skips_reach_the_producer(void **state)
{
	(void)state;
	assert_int_equal(ring_wants(producer), RING_WANTS_EVENTS | RING_WANTS_DATA); /* before the consumer says */
	ring_set_wants(consumer, RING_WANTS_EVENTS | RING_WANTS_DATA);
	assert_int_equal(ring_wants(producer), RING_WANTS_EVENTS | RING_WANTS_DATA);
	struct ring_skip skip = {.flow = 5, .until = 1000, .direction = 1}, out;
	assert_false(ring_skip_next(producer, &out));
	for (int round = 0; round < 2; round++) {
		unsigned asked = 0;
		while (ring_ask_skip(consumer, &skip))
			asked++;
		assert_int_equal(asked, RING_SKIPS);
		while (ring_skip_next(producer, &out)) {
			assert_int_equal(out.flow, 5);
			assert_int_equal(out.until, 1000);
			assert_int_equal(out.direction, 1);
			asked--;
		}
		assert_int_equal(asked, 0);
	}
}

static bool holds(const uint8_t *in, size_t len, const char *secret)
{
	return memmem(in, len, secret, strlen(secret)) != NULL;
}

static void secrets_are_wiped_when_dropped_and_plaintext_when_trimmed(void **state)
{
	(void)state;
	uint8_t *raw = mmap(NULL, RING_HEAD_AREA + RING_SIZE_MIN, PROT_READ, MAP_SHARED, fds.data, 0);
	assert_true(raw && raw != MAP_FAILED);
	if (!raw)
		return;
	size_t len = RING_HEAD_AREA + RING_SIZE_MIN;
	assert_true(put("hush-secret", 11));
	assert_true(put("hush-plaintext", 14));
	uint8_t out[32];
	size_t got, size;
	assert_int_equal(ring_peek(consumer, out, sizeof(out), &got, &size), RING_RECORD);
	ring_drop(consumer, true);
	assert_false(holds(raw, len, "hush-secret"));
	assert_true(holds(raw, len, "hush-plaintext"));
	ring_trim(producer); /* not all is read: nothing happens */
	assert_int_equal(ring_peek(consumer, out, sizeof(out), &got, &size), RING_RECORD);
	assert_memory_equal(out, "hush-plaintext", 14);
	ring_drop(consumer, false);
	ring_release(consumer);
	ring_trim(producer);
	assert_false(holds(raw, len, "hush"));
	assert_true(put("after", 5));
	assert_int_equal(ring_peek(consumer, out, sizeof(out), &got, &size), RING_RECORD);
	assert_memory_equal(out, "after", 5);
	munmap(raw, len);
}

static void a_lying_head_breaks_the_ring_not_the_reader(void **state)
{
	(void)state;
	const uint64_t lies[] = {RING_SIZE_MIN + 8, 4, UINT64_MAX, (uint64_t)1 << 63};
	for (size_t i = 0; i < 4; i++) {
		struct error err;
		struct ring_fds own;
		assert_true(ring_create(&own, RING_SIZE_MIN, &err));
		struct ring_consumer *reader = ring_consumer_new(&own, &err);
		struct ring_data *data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, own.data, 0);
		atomic_store(&data->head, lies[i]);
		uint8_t out[8];
		size_t got, size;
		assert_int_equal(ring_peek(reader, out, 8, &got, &size), RING_BROKEN);
		atomic_store(&data->head, 0);
		assert_int_equal(ring_peek(reader, out, 8, &got, &size), RING_BROKEN); /* for good */
		munmap(data, 4096);
		ring_consumer_free(reader);
		ring_fds_close(&own);
	}
}

static void a_lying_record_size_breaks_the_ring_not_the_reader(void **state)
{
	(void)state;
	const uint32_t lies[] = {0, 100, RING_RECORD_MAX + 1, UINT32_MAX};
	for (size_t i = 0; i < 4; i++) {
		set_up(NULL);
		assert_true(put("0123456789", 10));
		uint8_t *records = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds.data, RING_HEAD_AREA);
		memcpy(records, &lies[i], 4);
		uint8_t out[8];
		size_t got, size;
		assert_int_equal(ring_peek(consumer, out, 8, &got, &size), RING_BROKEN);
		munmap(records, 4096);
		tear_down(NULL);
	}
}

static void files_that_could_shrink_are_refused(void **state)
{
	(void)state;
	struct ring_fds own;
	struct error err;
	assert_true(ring_create(&own, RING_SIZE_MIN, &err));
	assert_int_not_equal(ftruncate(own.data, 0), 0);
	int loose = memfd_create("loose", MFD_CLOEXEC);
	assert_int_equal(ftruncate(loose, (off_t)(RING_HEAD_AREA + RING_SIZE_MIN)), 0);
	struct ring_fds bad = own;
	bad.data = loose;
	assert_null(ring_consumer_new(&bad, &err));
	assert_non_null(strstr(err.text, "no ring"));
	close(loose);
	ring_fds_close(&own);
	assert_false(ring_create(&own, RING_SIZE_MIN + 1, &err));
}

#define MANY 200000

static void *produce(void *arg)
{
	struct ring_producer *ring = arg;
	for (uint32_t i = 0; i < MANY;) {
		uint8_t *room = ring_begin(ring, 64);
		if (room) {
			memcpy(room, &i, sizeof(i));
			ring_commit(ring, 4 + i % 60);
			i++;
		} else if (ring_wait(ring)) {
			struct pollfd p = {.fd = fds.space, .events = POLLIN};
			uint64_t count;
			if (poll(&p, 1, 10000) != 1 || read(fds.space, &count, sizeof(count)) != sizeof(count))
				return NULL; /* a wake-up was lost */
		}
	}
	return arg;
}

static void two_threads_lose_neither_records_nor_wake_ups(void **state)
{
	(void)state;
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, produce, producer), 0);
	for (uint32_t next = 0; next < MANY;) {
		uint32_t value = 0;
		size_t got, size;
		enum ring_result result = ring_peek(consumer, &value, sizeof(value), &got, &size);
		assert_int_not_equal(result, RING_BROKEN);
		if (result == RING_RECORD) {
			assert_int_equal(value, next);
			assert_int_equal(size, 4 + next % 60);
			ring_drop(consumer, false);
			next++;
		} else if (ring_sleep(consumer)) {
			struct pollfd p = {.fd = fds.wake, .events = POLLIN};
			assert_int_equal(poll(&p, 1, 10000), 1);
			empty(fds.wake);
			ring_awake(consumer);
		}
	}
	void *result;
	pthread_join(thread, &result);
	assert_non_null(result);
}

#define WITH_RING(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RING(records_come_out_in_order_and_whole_across_the_end_of_the_ring),
		WITH_RING(a_full_ring_refuses_and_takes_again_once_read),
		WITH_RING(only_a_sleeper_is_woken_and_only_once),
		WITH_RING(a_half_full_ring_calls_even_a_consumer_that_is_awake),
		WITH_RING(a_waiting_producer_hears_of_space_each_time),
		WITH_RING(wants_and_skips_reach_the_producer),
		WITH_RING(secrets_are_wiped_when_dropped_and_plaintext_when_trimmed),
		cmocka_unit_test(a_lying_head_breaks_the_ring_not_the_reader),
		cmocka_unit_test(a_lying_record_size_breaks_the_ring_not_the_reader),
		cmocka_unit_test(files_that_could_shrink_are_refused),
		WITH_RING(two_threads_lose_neither_records_nor_wake_ups),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
