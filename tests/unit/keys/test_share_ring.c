#include "keys/share_ring.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 4
#define EACH    20000

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void *shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(memory != MAP_FAILED);
	return memory;
}

static int make(void **state)
{
	struct share_ring *ring = shared(SHARE_RING_SIZE);
	share_ring_init(ring);
	*state = ring;
	return 0;
}

static int drop(void **state)
{
	return munmap(*state, SHARE_RING_SIZE);
}

static void what_is_put_is_taken_in_order_and_wiped(void **state)
{
	struct share_ring *ring = *state;
	uint8_t out[SHARE_SLOT_MAX];
	uint64_t ticket, taken = 0;
	size_t len;
	assert_true(share_ring_valid(ring));
	assert_int_equal(share_ring_take(ring, taken, out, &len), SHARE_TAKE_NONE);
	assert_true(share_ring_put(ring, bytes_str("one"), &ticket));
	assert_int_equal(ticket, 0);
	assert_true(share_ring_put(ring, bytes_str("second"), &ticket));
	assert_int_equal(ticket, 1);
	assert_int_equal(share_ring_take(ring, taken, out, &len), SHARE_TAKE_OCTETS);
	assert_true(bytes_equal(bytes_of(out, len), bytes_str("one")));
	for (size_t i = 0; i < SHARE_SLOT_MAX; i++)
		assert_int_equal(ring->slot[0].octets[i], 0);
	assert_false(share_ring_taken(ring, 0));
	share_ring_done(ring, &taken);
	assert_true(share_ring_taken(ring, 0));
	assert_false(share_ring_taken(ring, 1));
	assert_int_equal(share_ring_take(ring, taken, out, &len), SHARE_TAKE_OCTETS);
	assert_true(bytes_equal(bytes_of(out, len), bytes_str("second")));
}

static void a_full_ring_refuses_counts_and_goes_on_when_there_is_room(void **state)
{
	struct share_ring *ring = *state;
	uint8_t out[SHARE_SLOT_MAX];
	uint64_t ticket, taken = 0;
	size_t len;
	for (unsigned i = 0; i < SHARE_RING_SLOTS; i++)
		assert_true(share_ring_put(ring, bytes_str("x"), &ticket));
	assert_false(share_ring_put(ring, bytes_str("x"), &ticket));
	assert_int_equal(atomic_load(&ring->full), 1);
	assert_int_equal(share_ring_take(ring, taken, out, &len), SHARE_TAKE_OCTETS);
	/* Taken counts when it is in safety, not before. */
	assert_false(share_ring_put(ring, bytes_str("x"), &ticket));
	share_ring_done(ring, &taken);
	assert_true(share_ring_put(ring, bytes_str("y"), &ticket));
	assert_int_equal(ticket, SHARE_RING_SLOTS);
	assert_false(share_ring_put(ring, BYTES_NONE, &ticket));
	assert_false(share_ring_put(ring, bytes_of(ring, SHARE_SLOT_MAX + 1), &ticket));
}

static void a_ring_serves_many_rounds_and_past_the_end_of_32_bits(void **state)
{
	struct share_ring *ring = *state;
	uint8_t out[SHARE_SLOT_MAX];
	/* The last round whose turns are below 2^32, and the next. */
	uint64_t taken = (UINT64_C(1) << 31) * SHARE_RING_SLOTS - SHARE_RING_SLOTS, ticket;
	size_t len;
	atomic_store(&ring->head, taken);
	for (unsigned i = 0; i < SHARE_RING_SLOTS; i++)
		atomic_store(&ring->slot[i].turn, (uint32_t)(taken / SHARE_RING_SLOTS * 2));
	for (unsigned i = 0; i < 3 * SHARE_RING_SLOTS; i++) {
		assert_true(share_ring_put(ring, bytes_of(&i, sizeof(i)), &ticket));
		assert_false(share_ring_taken(ring, ticket));
		assert_int_equal(share_ring_take(ring, taken, out, &len), SHARE_TAKE_OCTETS);
		assert_memory_equal(out, &i, sizeof(i));
		share_ring_done(ring, &taken);
		assert_true(share_ring_taken(ring, ticket));
	}
}

static void who_waits_is_told_and_who_waits_in_vain_comes_back_in_time(void **state)
{
	struct share_ring *ring = *state;
	uint64_t ticket, taken = 0;
	uint64_t began = now_ns();
	assert_true(share_ring_put(ring, bytes_str("x"), &ticket));
	assert_false(share_ring_wait(ring, ticket, began + 20000000));
	assert_true(now_ns() >= began + 20000000);
	pid_t other = fork();
	if (other == 0) {
		uint8_t out[SHARE_SLOT_MAX];
		size_t len;
		bool took = share_ring_take(ring, taken, out, &len) == SHARE_TAKE_OCTETS;
		if (took)
			share_ring_done(ring, &taken);
		_exit(!took);
	}
	assert_true(share_ring_wait(ring, ticket, now_ns() + UINT64_C(20000000000)));
	int status;
	assert_int_equal(waitpid(other, &status, 0), other);
	assert_int_equal(status, 0);
}

static void a_stranger_who_breaks_the_rules_is_found_out(void **state)
{
	struct share_ring *ring = *state;
	uint8_t out[SHARE_SLOT_MAX];
	uint64_t ticket;
	size_t len;
	assert_true(share_ring_put(ring, bytes_str("x"), &ticket));
	ring->slot[0].len = SHARE_SLOT_MAX + 1;
	assert_int_equal(share_ring_take(ring, 0, out, &len), SHARE_TAKE_BROKEN);
	ring->slot[0].len = 0;
	assert_int_equal(share_ring_take(ring, 0, out, &len), SHARE_TAKE_BROKEN);
	ring->slot[0].len = 1;
	atomic_store(&ring->slot[0].turn, 7);
	assert_int_equal(share_ring_take(ring, 0, out, &len), SHARE_TAKE_BROKEN);
	ring->slots = 1;
	assert_false(share_ring_valid(ring));
}

static void the_bell_says_which_ring_it_was_and_wakes_at_once(void **state)
{
	struct share_bell *bell = shared(SHARE_BELL_SIZE);
	(void)state;
	share_bell_init(bell);
	uint32_t rung = share_bell_rung(bell);
	share_bell_ring(bell, 0);
	share_bell_ring(bell, 33);
	share_bell_ring(bell, SHARE_RINGS_MAX - 1);
	share_bell_ring(bell, SHARE_RINGS_MAX); /* there is none of that number */
	assert_int_equal(share_bell_dirty(bell, 0), 1);
	assert_int_equal(share_bell_dirty(bell, 1), 2);
	assert_int_equal(share_bell_dirty(bell, SHARE_RINGS_MAX / 32 - 1), UINT32_C(1) << 31);
	assert_int_equal(share_bell_dirty(bell, 0), 0);
	uint64_t began = now_ns();
	share_bell_wait(bell, rung, UINT64_C(20000000000));
	assert_true(now_ns() - began < UINT64_C(10000000000));
	pid_t other = fork();
	if (other == 0) {
		while (atomic_load(&bell->asleep) == 0)
			;
		share_bell_ring(bell, 5);
		_exit(0);
	}
	share_bell_wait(bell, share_bell_rung(bell), UINT64_C(20000000000));
	assert_int_equal(share_bell_dirty(bell, 0), 1 << 5);
	int status;
	assert_int_equal(waitpid(other, &status, 0), other);
	assert_int_equal(munmap(bell, SHARE_BELL_SIZE), 0);
}

static void a_mark_waits_for_a_nap_to_end_and_a_ring_does_not(void **state)
{
	struct share_bell *bell = shared(SHARE_BELL_SIZE);
	(void)state;
	share_bell_init(bell);
	pid_t other = fork();
	if (other == 0) {
		while (atomic_load(&bell->asleep) != SHARE_NAPPING)
			;
		share_bell_mark(bell, 7);
		_exit(0);
	}
	uint64_t began = now_ns();
	share_bell_nap(bell, share_bell_rung(bell), UINT64_C(50000000));
	int status;
	assert_int_equal(waitpid(other, &status, 0), other);
	/* It may have been marked before the nap began: then there was none. */
	assert_true(atomic_load(&bell->asleep) == SHARE_AWAKE);
	assert_int_equal(share_bell_dirty(bell, 0), 1 << 7);
	assert_true(now_ns() - began >= UINT64_C(50000000) || share_bell_rung(bell) == 1);
	other = fork();
	if (other == 0) {
		while (atomic_load(&bell->asleep) != SHARE_NAPPING)
			;
		share_bell_ring(bell, 8);
		_exit(0);
	}
	began = now_ns();
	share_bell_nap(bell, share_bell_rung(bell), UINT64_C(20000000000));
	assert_true(now_ns() - began < UINT64_C(10000000000));
	assert_int_equal(waitpid(other, &status, 0), other);
	assert_int_equal(munmap(bell, SHARE_BELL_SIZE), 0);
}

static void a_look_vouches_for_a_moment_and_only_while_the_shipper_is_there(void **state)
{
	struct share_bell *bell = shared(SHARE_BELL_SIZE);
	uint64_t now = UINT64_C(5000000000);
	(void)state;
	share_bell_init(bell);
	assert_false(share_bell_looks(bell, now)); /* it never looked */
	assert_false(share_bell_looks(bell, 1));
	share_bell_look(bell, now);
	assert_true(share_bell_looks(bell, now));
	assert_true(share_bell_looks(bell, now + SHARE_LOOK_NS - 1));
	assert_false(share_bell_looks(bell, now + SHARE_LOOK_NS));
	assert_false(share_bell_looks(bell, now - 1)); /* another clock */
	atomic_store(&bell->closed, 1);
	assert_false(share_bell_looks(bell, now));
	assert_int_equal(munmap(bell, SHARE_BELL_SIZE), 0);
}

struct writer_of {
	struct share_ring *ring;
	uint32_t number;
};

static void *write_many(void *arg)
{
	struct writer_of *who = arg;
	for (uint32_t i = 0; i < EACH; i++) {
		uint32_t words[2] = {who->number, i};
		uint64_t ticket;
		while (!share_ring_put(who->ring, bytes_of(words, sizeof(words)), &ticket))
			sched_yield();
	}
	return NULL;
}

static void threads_write_side_by_side_and_nothing_is_lost_or_mixed(void **state)
{
	struct share_ring *ring = *state;
	pthread_t threads[THREADS];
	struct writer_of who[THREADS];
	uint32_t next[THREADS] = {0};
	uint8_t out[SHARE_SLOT_MAX];
	uint64_t taken = 0;
	size_t len;
	for (uint32_t i = 0; i < THREADS; i++) {
		who[i] = (struct writer_of){ring, i};
		assert_int_equal(pthread_create(&threads[i], NULL, write_many, &who[i]), 0);
	}
	while (taken < (uint64_t)THREADS * EACH) {
		uint32_t words[2];
		enum share_take took = share_ring_take(ring, taken, out, &len);
		assert_int_not_equal(took, SHARE_TAKE_BROKEN);
		if (took == SHARE_TAKE_NONE) {
			sched_yield();
			continue;
		}
		assert_int_equal(len, sizeof(words));
		memcpy(words, out, sizeof(words));
		assert_true(words[0] < THREADS);
		assert_int_equal(words[1], next[words[0]]++);
		share_ring_done(ring, &taken);
	}
	for (uint32_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(share_ring_take(ring, taken, out, &len), SHARE_TAKE_NONE);
}

static void a_connection_hears_what_was_said_to_it_and_to_all_and_only_once(void **state)
{
	struct share_ring *ring = *state;
	const uint8_t one[32] = "one", two[32] = "two";
	uint64_t seen_one = share_ring_ends(ring), seen_two = seen_one;
	assert_int_equal(share_ring_ended(ring, &seen_one, one), SHARE_END_NONE);
	share_ring_end(ring, one, SHARE_END_ROTATE);
	share_ring_end(ring, two, SHARE_END_STOP);
	share_ring_end(ring, two, SHARE_END_ROTATE);
	assert_int_equal(share_ring_ended(ring, &seen_one, one), SHARE_END_ROTATE);
	assert_int_equal(share_ring_ended(ring, &seen_one, one), SHARE_END_NONE);
	/* Of several words the strongest. */
	assert_int_equal(share_ring_ended(ring, &seen_two, two), SHARE_END_STOP);
	share_ring_end(ring, NULL, SHARE_END_STOP);
	assert_int_equal(share_ring_ended(ring, &seen_one, one), SHARE_END_STOP);
	uint64_t later = share_ring_ends(ring);
	assert_int_equal(share_ring_ended(ring, &later, one), SHARE_END_NONE);
}

static void who_has_not_listened_for_long_changes_its_keys_and_goes_on(void **state)
{
	struct share_ring *ring = *state;
	const uint8_t one[32] = "one", two[32] = "two";
	uint64_t seen = 0, last = 0;
	for (unsigned i = 0; i < SHARE_ENDS - 1; i++)
		share_ring_end(ring, two, SHARE_END_STOP);
	assert_int_equal(share_ring_ended(ring, &seen, one), SHARE_END_NONE);
	for (unsigned i = 0; i < SHARE_ENDS; i++)
		share_ring_end(ring, two, SHARE_END_STOP);
	assert_int_equal(share_ring_ended(ring, &seen, one), SHARE_END_ROTATE);
	assert_int_equal(share_ring_ended(ring, &last, two), SHARE_END_STOP);
	assert_int_equal(share_ring_ended(ring, &seen, one), SHARE_END_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_put_is_taken_in_order_and_wiped, make, drop),
		cmocka_unit_test_setup_teardown(a_full_ring_refuses_counts_and_goes_on_when_there_is_room, make, drop),
		cmocka_unit_test_setup_teardown(a_ring_serves_many_rounds_and_past_the_end_of_32_bits, make, drop),
		cmocka_unit_test_setup_teardown(who_waits_is_told_and_who_waits_in_vain_comes_back_in_time, make, drop),
		cmocka_unit_test_setup_teardown(a_stranger_who_breaks_the_rules_is_found_out, make, drop),
		cmocka_unit_test_setup_teardown(
			a_connection_hears_what_was_said_to_it_and_to_all_and_only_once, make, drop),
		cmocka_unit_test_setup_teardown(who_has_not_listened_for_long_changes_its_keys_and_goes_on, make, drop),
		cmocka_unit_test(the_bell_says_which_ring_it_was_and_wakes_at_once),
		cmocka_unit_test(a_mark_waits_for_a_nap_to_end_and_a_ring_does_not),
		cmocka_unit_test(a_look_vouches_for_a_moment_and_only_while_the_shipper_is_there),
		cmocka_unit_test_setup_teardown(threads_write_side_by_side_and_nothing_is_lost_or_mixed, make, drop),
	};
	return cmocka_run_group_tests_name("keys/share_ring", tests, NULL, NULL);
}
