#include "share/queue.h"

#include "base/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static bool put(struct queue *queue, uint32_t number, const void *tag)
{
	const struct release release = {.pid = number};
	return queue_put(queue, &release, tag);
}

static void releases_come_out_in_their_order_with_their_tags(void **state)
{
	(void)state;
	const uint8_t tag[QUEUE_TAG] = {1, 2, 3};
	struct queue *queue = queue_new();
	struct queued out;
	assert_false(queue_take(queue, &out));
	assert_true(put(queue, 1, NULL) && put(queue, 2, tag));
	assert_int_equal(queue_left(queue), 2);
	assert_true(queue_take(queue, &out));
	assert_int_equal(out.release.pid, 1);
	assert_false(out.tagged);
	assert_true(queue_take(queue, &out));
	assert_int_equal(out.release.pid, 2);
	assert_true(out.tagged);
	assert_memory_equal(out.tag, tag, sizeof(tag));
	assert_false(queue_take(queue, &out));
	queue_free(queue);
}

static void a_full_queue_takes_no_more_until_one_has_left(void **state)
{
	(void)state;
	struct queue *queue = queue_new();
	struct queued out;
	for (uint32_t i = 0; i < QUEUE_MAX; i++)
		assert_true(put(queue, i, NULL));
	assert_false(put(queue, 0, NULL));
	assert_true(queue_take(queue, &out));
	assert_true(put(queue, QUEUE_MAX, NULL));
	for (uint32_t i = 1; i <= QUEUE_MAX; i++) {
		assert_true(queue_take(queue, &out));
		assert_int_equal(out.release.pid, i);
	}
	queue_free(queue);
}

static void *later(void *arg)
{
	assert_true(put(arg, 7, NULL));
	return NULL;
}

static void who_waits_is_woken_by_what_comes_and_by_the_end(void **state)
{
	(void)state;
	struct queue *queue = queue_new();
	struct queued out;
	pthread_t thread;
	uint64_t before = clock_monotonic_ns();
	assert_int_equal(pthread_create(&thread, NULL, later, queue), 0);
	queue_wait(queue, 60 * NS_PER_S);
	pthread_join(thread, NULL);
	assert_true(queue_take(queue, &out));
	assert_true(queue_goes_on(queue));
	queue_end(queue, before);
	queue_wait(queue, 60 * NS_PER_S);
	assert_true(clock_monotonic_ns() - before < 60 * NS_PER_S);
	assert_true(queue_ending(queue));
	assert_false(queue_goes_on(queue));
	queue_end(queue, UINT64_MAX);
	assert_true(queue_goes_on(queue));
	queue_free(queue);
}

static void who_gathers_is_woken_by_enough_and_by_the_end_and_waits_no_longer_than_said(void **state)
{
	(void)state;
	struct queue *queue = queue_new();
	pthread_t thread;
	uint64_t before = clock_monotonic_ns();
	assert_true(put(queue, 1, NULL));
	queue_gather(queue, 2, before + 20 * NS_PER_MS);
	assert_true(clock_monotonic_ns() - before >= 20 * NS_PER_MS);
	assert_int_equal(queue_left(queue), 1);
	assert_int_equal(pthread_create(&thread, NULL, later, queue), 0);
	queue_gather(queue, 2, before + 60 * NS_PER_S);
	pthread_join(thread, NULL);
	assert_int_equal(queue_left(queue), 2);
	queue_gather(queue, 3, before); /* that time is past */
	queue_end(queue, UINT64_MAX);
	queue_gather(queue, 3, before + 60 * NS_PER_S);
	assert_true(clock_monotonic_ns() - before < 60 * NS_PER_S);
	queue_free(queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(releases_come_out_in_their_order_with_their_tags),
		cmocka_unit_test(a_full_queue_takes_no_more_until_one_has_left),
		cmocka_unit_test(who_waits_is_woken_by_what_comes_and_by_the_end),
		cmocka_unit_test(who_gathers_is_woken_by_enough_and_by_the_end_and_waits_no_longer_than_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
