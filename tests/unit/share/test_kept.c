#include "share/kept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct courier_taken refused = {.refused = 2, .fresh = 1, .why = COURIER_WHY_NO_GRANT};

static struct batch of(char *text)
{
	return (struct batch){.frame = (uint8_t *)text, .len = strlen(text), .sealed = 3};
}

static void what_may_be_taken_later_is_kept_and_nothing_else(void **state)
{
	(void)state;
	assert_true(kept_worth(COURIER_WHY_NO_GRANT) && kept_worth(COURIER_WHY_LOG) && kept_worth(COURIER_WHY_FULL));
	assert_false(kept_worth(COURIER_WHY_REVOKED) || kept_worth(COURIER_WHY_OUTSIDE) ||
		     kept_worth(COURIER_WHY_EXPIRED) || kept_worth(COURIER_WHY_ENOUGH) ||
		     kept_worth(COURIER_WHY_NOT_ALLOWED) || kept_worth(COURIER_WHY_FORM));
}

static void a_batch_has_its_turn_after_a_while_and_then_is_dropped(void **state)
{
	(void)state;
	struct kept kept = {0};
	char one[] = "first", two[] = "second";
	const struct batch first = of(one), second = of(two);
	assert_true(kept_add(&kept, &first, &refused, 5));
	assert_true(kept_add(&kept, &second, &refused, 6));
	assert_null(kept_due(&kept, 5 + KEPT_STEP - 1, false));
	struct kept_batch *batch = kept_due(&kept, 5 + KEPT_STEP, false);
	assert_non_null(batch);
	assert_memory_equal(batch->batch.frame, "first", 5);
	assert_int_equal(batch->batch.taken, 1);
	kept_drop(&kept, batch);
	batch = kept_due(&kept, 5, true);
	assert_non_null(batch);
	assert_memory_equal(batch->batch.frame, "second", 6);
	kept_free(&kept);
	assert_null(kept_due(&kept, UINT64_MAX, true));
}

static void there_are_never_more_than_so_many(void **state)
{
	(void)state;
	struct kept kept = {0};
	char text[] = "x";
	const struct batch x = of(text);
	for (size_t i = 0; i < KEPT_MAX; i++)
		assert_true(kept_add(&kept, &x, &refused, 0));
	assert_false(kept_add(&kept, &x, &refused, 0));
	kept_free(&kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_may_be_taken_later_is_kept_and_nothing_else),
		cmocka_unit_test(a_batch_has_its_turn_after_a_while_and_then_is_dropped),
		cmocka_unit_test(there_are_never_more_than_so_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
