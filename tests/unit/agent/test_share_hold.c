#include "agent/share_hold.h"

#include "agent/share_link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* In place of the way to a shipper: what was given, and what was left for the end. */
static struct share_item given[8], left[8];
static size_t given_count, left_count, left_most;
static int64_t counts[SHARE_COUNTS];

bool share_link_give(const struct share_item *items, size_t count, bool wait)
{
	assert_false(wait);
	for (size_t i = 0; i < count && given_count < 8; i++)
		given[given_count++] = items[i];
	return true;
}

bool share_link_leave(const struct share_item *item)
{
	if (left_count == left_most)
		return false;
	left[left_count++] = *item;
	return true;
}

void share_link_count(enum share_count which, int64_t more)
{
	counts[which] += more;
}

static struct share_item item_of(uint32_t epoch)
{
	return (struct share_item){.kind = SHARE_KEY, .key = {.epoch = epoch, .stage = RECORD_STAGE_APPLICATION}};
}

static void key(struct share_hold *hold, uint32_t epoch)
{
	struct share_item item = item_of(epoch);
	share_hold_key(hold, &item);
}

static int clean(void **state)
{
	(void)state;
	given_count = left_count = 0;
	left_most = 8;
	memset(counts, 0, sizeof(counts));
	return 0;
}

static void the_key_of_the_epoch_that_is_read_stays_and_the_one_before_it_goes_out_when_asked_for(void **state)
{
	struct share_hold *hold = share_hold_new();
	(void)state;
	assert_non_null(hold);
	key(hold, 0);
	share_hold_release(hold);
	assert_int_equal(given_count, 0);
	key(hold, 1);
	assert_int_equal(given_count, 0);
	assert_int_equal(counts[SHARE_COUNT_HELD], 2);
	share_hold_release(hold);
	assert_int_equal(given_count, 1);
	assert_int_equal(given[0].key.epoch, 0);
	/* Two changes within one call: what was left before the last one is left for good. */
	key(hold, 2);
	key(hold, 3);
	assert_int_equal(given_count, 2);
	assert_int_equal(given[1].key.epoch, 1);
	share_hold_free(hold);
	assert_int_equal(given_count, 4);
	assert_int_equal(given[2].key.epoch, 2);
	assert_int_equal(given[3].key.epoch, 3);
	assert_int_equal(counts[SHARE_COUNT_HELD], 0);
}

static void what_is_closed_is_released_at_once(void **state)
{
	struct share_hold *hold = share_hold_new();
	(void)state;
	key(hold, 0);
	key(hold, 1);
	share_hold_close(hold);
	assert_int_equal(given_count, 2);
	share_hold_free(hold);
	assert_int_equal(given_count, 2);
	assert_int_equal(counts[SHARE_COUNT_HELD], 0);
}

static void of_what_is_stopped_nothing_goes_out_any_more(void **state)
{
	struct share_hold *hold = share_hold_new();
	(void)state;
	key(hold, 0);
	key(hold, 1);
	share_hold_stop(hold);
	key(hold, 2);
	share_hold_close(hold);
	share_hold_free(hold);
	assert_int_equal(given_count, 0);
	assert_int_equal(counts[SHARE_COUNT_HELD], 0);
}

static void what_was_stopped_is_of_one_connection_and_not_of_the_next(void **state)
{
	struct share_hold *hold = share_hold_new();
	(void)state;
	key(hold, 0);
	share_hold_stop(hold);
	share_hold_anew(hold);
	key(hold, 1);
	key(hold, 2);
	share_hold_release(hold);
	assert_int_equal(given_count, 1);
	assert_int_equal(given[0].key.epoch, 1);
	/* What it held of the last one is over. */
	share_hold_anew(hold);
	assert_int_equal(given_count, 2);
	assert_int_equal(given[1].key.epoch, 2);
	assert_int_equal(counts[SHARE_COUNT_HELD], 0);
	share_hold_free(hold);
}

static void what_another_process_may_go_on_with_is_not_over_when_its_object_has_another_connection(void **state)
{
	struct share_hold *hold = share_hold_new();
	(void)state;
	key(hold, 0);
	pid_t child = fork();
	if (child == 0) {
		share_hold_anew(hold);
		bool kept = given_count == 0;
		key(hold, 1);
		share_hold_free(hold);
		_exit(kept && given_count == 1 && given[0].key.epoch == 1 ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	share_hold_anew(hold);
	assert_int_equal(given_count, 0);
	assert_int_equal(counts[SHARE_COUNT_LOST], 1);
	key(hold, 2);
	share_hold_free(hold);
	assert_int_equal(given_count, 1);
	assert_int_equal(counts[SHARE_COUNT_HELD], 0);
}

static void what_another_process_may_go_on_with_is_not_over_when_it_is_freed(void **state)
{
	struct share_hold *hold = share_hold_new(), *later;
	(void)state;
	key(hold, 0);
	pid_t child = fork();
	if (child == 0) {
		share_hold_free(hold);
		_exit(given_count == 0 && counts[SHARE_COUNT_HELD] == 1 ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	later = share_hold_new();
	key(later, 7);
	share_hold_free(hold);
	assert_int_equal(given_count, 0);
	assert_int_equal(counts[SHARE_COUNT_LOST], 1);
	share_hold_free(later);
	assert_int_equal(given_count, 1);
	assert_int_equal(counts[SHARE_COUNT_HELD], 0);
}

static void connections_beyond_the_cap_are_counted(void **state)
{
	struct share_hold **holds = calloc(SHARE_HOLD_MAX, sizeof(struct share_hold *));
	(void)state;
	assert_non_null(holds);
	for (size_t i = 0; i < SHARE_HOLD_MAX; i++) {
		holds[i] = share_hold_new();
		assert_non_null(holds[i]);
	}
	assert_null(share_hold_new());
	assert_int_equal(counts[SHARE_COUNT_UNHELD], 1);
	for (size_t i = 0; i < SHARE_HOLD_MAX; i++)
		share_hold_free(holds[i]);
	struct share_hold *again = share_hold_new();
	assert_non_null(again);
	share_hold_free(again);
	free(holds);
}

static void what_is_held_at_the_end_of_the_process_is_left_behind_as_far_as_there_is_room(void **state)
{
	struct share_hold *hold = share_hold_new(), *other = share_hold_new();
	(void)state;
	key(hold, 4);
	key(other, 5);
	left_most = 1;
	share_hold_end();
	assert_int_equal(left_count, 1);
	assert_int_equal(given_count, 0);
	assert_int_equal(counts[SHARE_COUNT_HELD], 1);
}

int main(void)
{
	share_hold_begin();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			the_key_of_the_epoch_that_is_read_stays_and_the_one_before_it_goes_out_when_asked_for, clean),
		cmocka_unit_test_setup(what_is_closed_is_released_at_once, clean),
		cmocka_unit_test_setup(of_what_is_stopped_nothing_goes_out_any_more, clean),
		cmocka_unit_test_setup(what_was_stopped_is_of_one_connection_and_not_of_the_next, clean),
		cmocka_unit_test_setup(
			what_another_process_may_go_on_with_is_not_over_when_its_object_has_another_connection, clean),
		cmocka_unit_test_setup(what_another_process_may_go_on_with_is_not_over_when_it_is_freed, clean),
		cmocka_unit_test_setup(connections_beyond_the_cap_are_counted, clean),
		cmocka_unit_test_setup(
			what_is_held_at_the_end_of_the_process_is_left_behind_as_far_as_there_is_room, clean),
	};
	return cmocka_run_group_tests_name("agent/share_hold", tests, NULL, NULL);
}
