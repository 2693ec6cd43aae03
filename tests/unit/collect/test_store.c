#include "collect/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct store_limits limits = {.octets = 65536, .owner_octets = 65536, .lifetime_ns = UINT64_C(1000000000)};

static struct seal_head head_of(uint32_t number, uint8_t check)
{
	struct seal_head head = {.grade = RELEASE_GRADE_RECORD};
	memcpy(head.client_random, &number, sizeof(number));
	head.check[0] = check;
	return head;
}

static enum store_result put(struct store *store, struct store_owner *owner, uint32_t number, uint8_t check, size_t len)
{
	static uint8_t octets[65536];
	struct seal_head head = head_of(number, check);
	memset(octets, (int)(number & 0xff), sizeof(octets));
	return store_put(store, owner, &head, bytes_of(octets, len), number, number, number);
}

static void keys_stand_in_the_order_in_which_they_came(void **state)
{
	(void)state;
	struct store *store = store_new(&limits);
	struct store_item item;
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(put(store, NULL, i, 0, 100), STORE_FRESH);
	assert_int_equal(store_first(store), 0);
	assert_int_equal(store_end(store), 10);
	for (uint32_t i = 0; i < 10; i++) {
		assert_true(store_at(store, i, &item));
		assert_int_equal(item.tag, i);
		assert_int_equal(item.sealed.len, 100);
		assert_int_equal(item.sealed.data[99], i);
	}
	assert_false(store_at(store, 10, &item));
	store_free(store);
}

static void a_replayed_key_is_known_and_a_contradictory_one_is_kept_apart(void **state)
{
	(void)state;
	struct store *store = store_new(&limits);
	assert_int_equal(put(store, NULL, 1, 0, 100), STORE_FRESH);
	assert_int_equal(put(store, NULL, 1, 0, 100), STORE_KNOWN);
	for (uint8_t check = 1; check < STORE_CONTRADICTIONS; check++)
		assert_int_equal(put(store, NULL, 1, check, 100), STORE_CONTRADICTS);
	assert_int_equal(put(store, NULL, 1, 9, 100), STORE_FULL);
	assert_int_equal(put(store, NULL, 1, 1, 100), STORE_KNOWN);
	struct store_counts counts = store_count(store);
	assert_int_equal(counts.fresh, STORE_CONTRADICTIONS);
	assert_int_equal(counts.contradictory, STORE_CONTRADICTIONS - 1);
	assert_int_equal(counts.known, 2);
	assert_int_equal(counts.refused, 1);
	store_free(store);
}

static void a_key_is_found_by_its_number_until_it_leaves(void **state)
{
	(void)state;
	struct store *store = store_new(&limits);
	struct seal_head there = head_of(2, 0), other = head_of(2, 1), raw = head_of(2, 0);
	uint64_t number = 99;
	raw.grade = RELEASE_GRADE_RAW;
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(put(store, NULL, i, 0, 100), STORE_FRESH);
	assert_true(store_find(store, &there, &number));
	assert_int_equal(number, 2);
	assert_false(store_find(store, &other, &number) || store_find(store, &raw, &number));
	store_drop(store, 2);
	assert_false(store_find(store, &there, &number));
	assert_int_equal(put(store, NULL, 2, 0, 100), STORE_FRESH);
	assert_true(store_find(store, &there, &number));
	assert_int_equal(number, 5);
	store_free(store);
}

static void the_oldest_leave_for_the_newest(void **state)
{
	(void)state;
	struct store *store = store_new(&limits);
	struct store_item item;
	for (uint32_t i = 0; i < 5000; i++) {
		assert_int_equal(put(store, NULL, i, 0, 100 + i % 700), STORE_FRESH);
		assert_true(store_at(store, i, &item));
		assert_int_equal(item.sealed.data[item.sealed.len - 1], i & 0xff);
	}
	struct store_counts counts = store_count(store);
	assert_int_equal(counts.evicted + counts.held, 5000);
	assert_true(counts.octets <= limits.octets);
	/* What is held is whole, and what has left is not found as known. */
	for (uint64_t n = store_first(store); n < store_end(store); n++) {
		assert_true(store_at(store, n, &item));
		for (size_t i = 0; i < item.sealed.len; i++)
			assert_int_equal(item.sealed.data[i], n & 0xff);
	}
	assert_int_equal(put(store, NULL, 0, 0, 100), STORE_FRESH);
	store_free(store);
}

static void many_small_keys_are_bounded_by_their_number(void **state)
{
	(void)state;
	struct store *store = store_new(&limits);
	for (uint32_t i = 0; i < 2000; i++)
		assert_int_equal(put(store, NULL, i, 0, 1), STORE_FRESH);
	assert_true(store_count(store).held <= limits.octets / 256);
	store_free(store);
}

static void an_owner_has_its_cap_and_gets_room_as_keys_leave(void **state)
{
	(void)state;
	struct store_limits tight = limits;
	struct store_owner owner = {0}, other = {0};
	tight.owner_octets = 250;
	struct store *store = store_new(&tight);
	assert_int_equal(put(store, &owner, 1, 0, 100), STORE_FRESH);
	assert_int_equal(put(store, &owner, 2, 0, 100), STORE_FRESH);
	assert_int_equal(put(store, &owner, 3, 0, 100), STORE_FULL);
	assert_int_equal(put(store, &other, 3, 0, 100), STORE_FRESH);
	assert_int_equal(owner.keys, 2);
	store_drop(store, 0);
	store_drop(store, 0);
	assert_int_equal(owner.octets, 100);
	assert_int_equal(put(store, &owner, 4, 0, 100), STORE_FRESH);
	store_disown(store, &owner);
	assert_int_equal(owner.keys, 0);
	assert_int_equal(owner.octets, 0);
	store_free(store);
}

static void keys_live_as_long_as_their_lifetime(void **state)
{
	(void)state;
	struct store *store = store_new(&limits);
	struct store_owner owner = {0};
	struct store_item item;
	struct seal_head one = head_of(1, 0), two = head_of(2, 0);
	assert_int_equal(store_put(store, &owner, &one, bytes_str("x"), 0, 100, 0), STORE_FRESH);
	assert_int_equal(store_put(store, &owner, &two, bytes_str("y"), 0, 200, 0), STORE_FRESH);
	store_expire(store, 100 + limits.lifetime_ns - 1);
	assert_int_equal(store_count(store).held, 2);
	store_expire(store, 100 + limits.lifetime_ns);
	assert_int_equal(store_count(store).held, 1);
	assert_false(store_at(store, 0, &item));
	assert_true(store_at(store, 1, &item));
	store_expire(store, 50); /* a time before it came: nothing happens */
	assert_int_equal(store_count(store).held, 1);
	store_expire(store, UINT64_MAX);
	assert_int_equal(store_count(store).held, 0);
	assert_int_equal(owner.keys, 0);
	assert_int_equal(store_put(store, &owner, &one, bytes_str("x"), 0, 300, 0), STORE_FRESH);
	store_free(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_stand_in_the_order_in_which_they_came),
		cmocka_unit_test(a_replayed_key_is_known_and_a_contradictory_one_is_kept_apart),
		cmocka_unit_test(a_key_is_found_by_its_number_until_it_leaves),
		cmocka_unit_test(the_oldest_leave_for_the_newest),
		cmocka_unit_test(many_small_keys_are_bounded_by_their_number),
		cmocka_unit_test(an_owner_has_its_cap_and_gets_room_as_keys_leave),
		cmocka_unit_test(keys_live_as_long_as_their_lifetime),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
