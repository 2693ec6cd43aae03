#include "base/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int dropped;

static void drop(void *value)
{
	dropped++;
	free(value);
}

static int *number(int n)
{
	int *value = malloc(sizeof(*value));
	assert_non_null(value);
	*value = n;
	return value;
}

static void the_longest_unused_leaves_and_is_counted(void **state)
{
	(void)state;
	dropped = 0;
	struct cache *cache = cache_new(2, drop);
	assert_true(cache_put(cache, bytes_str("a"), number(1)));
	assert_true(cache_put(cache, bytes_str("b"), number(2)));
	assert_non_null(cache_get(cache, bytes_str("a")));
	assert_true(cache_put(cache, bytes_str("c"), number(3)));
	assert_null(cache_get(cache, bytes_str("b")));
	assert_non_null(cache_get(cache, bytes_str("a")));
	assert_int_equal(dropped, 1);
	struct cache_counts counts = cache_count(cache);
	assert_int_equal(counts.evicted, 1);
	assert_int_equal(counts.held, 2);
	assert_int_equal(counts.hits, 2);
	assert_int_equal(counts.misses, 1);
	cache_free(cache);
	assert_int_equal(dropped, 3);
}

static void replacing_drops_the_old_and_stealing_drops_nothing(void **state)
{
	(void)state;
	dropped = 0;
	struct cache *cache = cache_new(4, drop);
	assert_true(cache_put(cache, bytes_str("k"), number(1)));
	assert_true(cache_put(cache, bytes_str("k"), number(2)));
	assert_int_equal(dropped, 1);
	int *mine = cache_steal(cache, bytes_str("k"));
	assert_int_equal(*mine, 2);
	free(mine);
	assert_false(cache_remove(cache, bytes_str("k")));
	cache_free(cache);
	assert_int_equal(dropped, 1);
}

static void sum(struct bytes key, void *value, void *ctx)
{
	(void)key;
	*(long *)ctx += *(int *)value;
}

static void many_keys_are_all_found_again(void **state)
{
	(void)state;
	struct cache *cache = cache_new(10000, drop);
	char key[16];
	for (int i = 0; i < 10000; i++) {
		int n = snprintf(key, sizeof(key), "%d", i);
		assert_true(cache_put(cache, bytes_of(key, (size_t)n), number(i)));
	}
	for (int i = 0; i < 10000; i++) {
		int n = snprintf(key, sizeof(key), "%d", i);
		int *value = cache_get(cache, bytes_of(key, (size_t)n));
		assert_non_null(value);
		assert_int_equal(*value, i);
	}
	long total = 0;
	cache_each(cache, sum, &total);
	assert_int_equal(total, 10000L * 9999 / 2);
	cache_free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_unused_leaves_and_is_counted),
		cmocka_unit_test(replacing_drops_the_old_and_stealing_drops_nothing),
		cmocka_unit_test(many_keys_are_all_found_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
