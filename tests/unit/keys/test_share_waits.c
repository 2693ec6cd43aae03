#include "keys/share_waits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct share_wait_sum sum_of(const struct share_waits *waits)
{
	struct share_wait_sum sum = {0};
	share_waits_add(&sum, waits);
	return sum;
}

static void a_quantile_is_known_to_a_fifth_of_itself(void **state)
{
	(void)state;
	for (uint64_t ns = 320; ns < 16000000; ns += ns / 7) {
		struct share_waits waits = {0};
		share_waits_count(&waits, ns);
		struct share_wait_sum sum = sum_of(&waits);
		uint64_t told = share_waits_quantile_ns(&sum, 500);
		assert_true(told >= ns);
		assert_true(told - ns <= ns / 4 + 1);
	}
}

static void half_of_the_waits_and_nearly_all_are_told_apart(void **state)
{
	struct share_waits waits = {0};
	(void)state;
	for (unsigned i = 0; i < 980; i++)
		share_waits_count(&waits, 10000);
	for (unsigned i = 0; i < 20; i++)
		share_waits_count(&waits, 1000000);
	struct share_wait_sum sum = sum_of(&waits);
	assert_int_equal(sum.count, 1000);
	assert_int_equal(sum.total_ns, (uint64_t)980 * 10000 + (uint64_t)20 * 1000000);
	assert_in_range(share_waits_quantile_ns(&sum, 500), 10000, 12500);
	assert_in_range(share_waits_quantile_ns(&sum, 980), 10000, 12500);
	assert_in_range(share_waits_quantile_ns(&sum, 990), 1000000, 1250000);
}

static void what_is_very_short_or_very_long_is_counted_too(void **state)
{
	struct share_waits waits = {0};
	(void)state;
	share_waits_count(&waits, 0);
	share_waits_count(&waits, UINT64_MAX / 2);
	struct share_wait_sum sum = sum_of(&waits);
	assert_int_equal(sum.count, 2);
	assert_int_equal(sum.classes[0], 1);
	assert_int_equal(sum.classes[SHARE_WAIT_CLASSES - 1], 1);
}

static void several_programs_are_summed_up(void **state)
{
	struct share_waits one = {0}, other = {0};
	struct share_wait_sum sum = {0};
	char text[SHARE_WAITS_TEXT];
	(void)state;
	share_waits_count(&one, 5000);
	share_waits_count(&other, 7000);
	share_waits_add(&sum, &one);
	share_waits_add(&sum, &other);
	assert_int_equal(sum.count, 2);
	assert_int_equal(sum.total_ns, 12000);
	share_waits_text(&sum, text, sizeof(text));
	assert_non_null(strstr(text, "2 waits, p50 "));
	assert_non_null(strstr(text, "0.000012 s in all"));
}

static void without_waits_there_is_no_quantile(void **state)
{
	struct share_wait_sum sum = {0};
	(void)state;
	assert_int_equal(share_waits_quantile_ns(&sum, 500), 0);
	assert_int_equal(share_waits_quantile_ns(&sum, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quantile_is_known_to_a_fifth_of_itself),
		cmocka_unit_test(half_of_the_waits_and_nearly_all_are_told_apart),
		cmocka_unit_test(what_is_very_short_or_very_long_is_counted_too),
		cmocka_unit_test(several_programs_are_summed_up),
		cmocka_unit_test(without_waits_there_is_no_quantile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
