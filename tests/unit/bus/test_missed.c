#include "bus/missed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define WAIT 10

static void what_comes_in_order_is_never_missed(void **state)
{
	(void)state;
	struct missed missed = {0};
	uint64_t number;
	for (uint64_t n = 7; n < 20000; n++) {
		missed_mark(&missed, n, n);
		assert_false(missed_next(&missed, n + 1000, WAIT, &number));
	}
}

static void a_number_that_stays_out_is_missed_after_the_wait_and_not_before(void **state)
{
	(void)state;
	struct missed missed = {0};
	uint64_t number = 0;
	missed_mark(&missed, 1, 100);
	missed_mark(&missed, 3, 200);
	missed_mark(&missed, 4, 205);
	assert_false(missed_next(&missed, 209, WAIT, &number));
	assert_true(missed_next(&missed, 210, WAIT, &number));
	assert_int_equal(number, 2);
	missed_mark(&missed, 2, 211);
	assert_int_equal(missed.floor, 5);
	assert_false(missed_next(&missed, 1000, WAIT, &number));
}

static void a_pause_makes_nothing_late(void **state)
{
	(void)state;
	struct missed missed = {0};
	uint64_t number;
	missed_mark(&missed, 1, 100);
	missed_mark(&missed, 3, 5000);
	assert_false(missed_next(&missed, 5009, WAIT, &number));
	missed_mark(&missed, 2, 5009);
	assert_false(missed_next(&missed, 9000, WAIT, &number));
}

static void numbers_may_come_in_any_order_and_twice(void **state)
{
	(void)state;
	struct missed missed = {0};
	uint64_t number;
	const uint64_t order[] = {10, 13, 12, 13, 9, 1, 11, 10, 15, 14};
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		missed_mark(&missed, order[i], 1);
	assert_int_equal(missed.floor, 16);
	assert_false(missed_next(&missed, 100, WAIT, &number));
}

static void more_than_can_be_kept_account_of_is_missed_at_once_and_all_of_it(void **state)
{
	(void)state;
	struct missed missed = {0};
	uint64_t number, asked = 0;
	missed_mark(&missed, 1, 1);
	missed_mark(&missed, (uint64_t)3 * MISSED_WINDOW, 1);
	while (missed_next(&missed, missed.full ? 1 : 1 + WAIT, WAIT, &number)) {
		assert_int_equal(number, asked + 2);
		missed_mark(&missed, number, 1);
		asked++;
	}
	/* The last one, too: there was no room to note that it had come. */
	assert_int_equal(asked, 3 * MISSED_WINDOW - 1);
}

static void the_last_ones_are_missed_when_it_is_known_that_they_are_there(void **state)
{
	(void)state;
	struct missed missed = {0};
	uint64_t number = 0;
	missed_expect(&missed, 5, 1);
	assert_false(missed_next(&missed, 1000, WAIT, &number));
	missed_mark(&missed, 5, 1000);
	missed_expect(&missed, 8, 1001);
	missed_expect(&missed, 6, 1002);
	assert_false(missed_next(&missed, 1010, WAIT, &number));
	assert_true(missed_next(&missed, 1011, WAIT, &number));
	assert_int_equal(number, 6);
	missed_mark(&missed, 7, 1012);
	missed_mark(&missed, 6, 1012);
	assert_int_equal(missed.floor, 8);
	assert_false(missed_next(&missed, 2000, WAIT, &number));
}

static void what_is_not_held_any_more_is_not_waited_for(void **state)
{
	(void)state;
	struct missed missed = {0};
	uint64_t number;
	missed_mark(&missed, 1, 1);
	missed_mark(&missed, 100, 1);
	missed_skip(&missed, 90, 1);
	assert_true(missed_next(&missed, 100, WAIT, &number));
	assert_int_equal(number, 90);
	missed_skip(&missed, UINT64_MAX, 1);
	assert_int_equal(missed.floor, 101);
	assert_false(missed_next(&missed, 100, WAIT, &number));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_in_order_is_never_missed),
		cmocka_unit_test(a_number_that_stays_out_is_missed_after_the_wait_and_not_before),
		cmocka_unit_test(a_pause_makes_nothing_late),
		cmocka_unit_test(numbers_may_come_in_any_order_and_twice),
		cmocka_unit_test(more_than_can_be_kept_account_of_is_missed_at_once_and_all_of_it),
		cmocka_unit_test(the_last_ones_are_missed_when_it_is_known_that_they_are_there),
		cmocka_unit_test(what_is_not_held_any_more_is_not_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
