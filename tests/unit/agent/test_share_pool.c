#include "agent/share_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SECRET 40
#define FLAGS  "VmFlags:"

struct thing {
	uint8_t secret[SECRET];
};

static struct share_pool pool = SHARE_POOL_OF(struct thing);

/* Whether this memory has a flag of /proc/self/smaps: two letters. */
static bool has_flag(const void *memory, const char *flag)
{
	char line[512];
	bool within = false, found = false;
	FILE *maps = fopen("/proc/self/smaps", "re");
	assert_non_null(maps);
	while (!found && fgets(line, sizeof(line), maps)) {
		char *end;
		uintptr_t first = strtoull(line, &end, 16);
		if (*end == '-') {
			uintptr_t behind = strtoull(end + 1, NULL, 16);
			within = (uintptr_t)memory >= first && (uintptr_t)memory < behind;
		}
		found = within && strncmp(line, FLAGS, strlen(FLAGS)) == 0 && strstr(line, flag);
	}
	fclose(maps);
	return found;
}

static bool is_zero(const struct thing *thing)
{
	static const struct thing zero;
	return memcmp(thing, &zero, sizeof(zero)) == 0;
}

static void what_is_taken_is_zeroed_and_what_is_given_back_is_wiped(void **state)
{
	struct thing *thing = share_pool_take(&pool);
	(void)state;
	assert_non_null(thing);
	assert_int_equal((uintptr_t)thing % _Alignof(max_align_t), 0);
	assert_true(is_zero(thing));
	memset(thing, 0x5a, sizeof(*thing));
	share_pool_put(&pool, thing);
	assert_true(is_zero(thing));
	assert_ptr_equal(share_pool_take(&pool), thing);
	share_pool_put(&pool, thing);
	share_pool_put(&pool, NULL);
}

static void its_memory_is_left_out_of_dumps_and_locked_in_a_child_as_well(void **state)
{
	int status;
	struct thing *thing = share_pool_take(&pool);
	(void)state;
	assert_non_null(thing);
	assert_true(has_flag(thing, " dd"));
	/* Where RLIMIT_MEMLOCK allows none it is not. */
	bool locked = has_flag(thing, " lo");
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		share_pool_put(&pool, thing);
		_exit(has_flag(thing, " dd") && has_flag(thing, " lo") == locked ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	share_pool_put(&pool, thing);
}

static size_t visited, marked;

static void visit(void *thing)
{
	visited++;
	marked += ((const struct thing *)thing)->secret[SECRET - 1] == 0x77;
}

static void there_are_so_many_and_no_more_and_each_is_visited(void **state)
{
	struct thing **things = calloc(SHARE_POOL_MAX, sizeof(struct thing *));
	(void)state;
	assert_non_null(things);
	for (size_t i = 0; i < SHARE_POOL_MAX; i++) {
		things[i] = share_pool_take(&pool);
		assert_non_null(things[i]);
		assert_true(is_zero(things[i]));
		memset(things[i], 0x77, sizeof(*things[i]));
	}
	assert_null(share_pool_take(&pool));
	share_pool_each(&pool, visit);
	assert_int_equal(visited, SHARE_POOL_MAX);
	assert_int_equal(marked, SHARE_POOL_MAX);
	for (size_t i = 0; i < SHARE_POOL_MAX; i++)
		share_pool_put(&pool, things[i]);
	share_pool_each(&pool, visit);
	assert_int_equal(marked, SHARE_POOL_MAX);
	free(things);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_taken_is_zeroed_and_what_is_given_back_is_wiped),
		cmocka_unit_test(its_memory_is_left_out_of_dumps_and_locked_in_a_child_as_well),
		cmocka_unit_test(there_are_so_many_and_no_more_and_each_is_visited),
	};
	return cmocka_run_group_tests_name("agent/share_pool", tests, NULL, NULL);
}
