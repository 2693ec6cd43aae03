#include "base/clock.h"
#include "base/log.h"
#include "forge.h"
#include "pki/leaf_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW FORGE_NOW

static const char *fresh_path(void)
{
	static char path[128];
	static int number;
	snprintf(path, sizeof(path), "%s/leaves-%d.db", forge_directory(), ++number);
	return path;
}

static void key_of(uint32_t number, uint8_t out[LEAF_STORE_KEY])
{
	uint8_t ca[32] = {1};
	uint8_t leaf[32] = {2};
	leaf_store_key(out, bytes_of(&number, sizeof(number)), bytes_str("example.com"), ca, leaf, BYTES_NONE);
}

static void put(struct leaf_store *store, uint32_t number, const char *der, int64_t expires_s)
{
	uint8_t key[LEAF_STORE_KEY];
	key_of(number, key);
	leaf_store_put(store, key, bytes_str(der), NOW + number, expires_s);
}

static bool holds(struct leaf_store *store, uint32_t number, int64_t now_s, const char *der)
{
	uint8_t key[LEAF_STORE_KEY];
	uint8_t buffer[128];
	size_t len = 0;
	key_of(number, key);
	return leaf_store_get(store, key, now_s, buffer, sizeof(buffer), &len) &&
	       bytes_equal(bytes_of(buffer, len), bytes_str(der));
}

static void leaves_last_across_a_restart_until_they_expire(void **state)
{
	(void)state;
	const char *path = fresh_path();
	struct leaf_store *store = leaf_store_open(path, 100, NOW);
	put(store, 1, "one", NOW + 1000);
	put(store, 2, "two", NOW + 10);
	assert_true(holds(store, 1, NOW, "one"));
	leaf_store_close(store);
	struct stat info;
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0600);
	store = leaf_store_open(path, 100, NOW + 5);
	assert_true(holds(store, 1, NOW + 5, "one"));
	assert_true(holds(store, 2, NOW + 5, "two"));
	assert_false(holds(store, 2, NOW + 10, "two"));
	assert_false(holds(store, 3, NOW, "three"));
	assert_true(leaf_store_flush(store, NOW + 20));
	struct leaf_store_counts counts = leaf_store_count(store);
	assert_int_equal(counts.hits, 2);
	assert_int_equal(counts.misses, 2);
	assert_int_equal(counts.expired, 1);
	assert_int_equal(counts.rows, 1);
	leaf_store_close(store);
}

static void each_part_of_the_key_tells_leaves_apart(void **state)
{
	(void)state;
	uint8_t a[32] = {1};
	uint8_t b[32] = {2};
	uint8_t keys[6][LEAF_STORE_KEY];
	leaf_store_key(keys[0], bytes_str("upstream"), bytes_str("host"), a, a, BYTES_NONE);
	leaf_store_key(keys[1], bytes_str("upstreamh"), bytes_str("ost"), a, a, BYTES_NONE);
	leaf_store_key(keys[2], bytes_str("upstream"), bytes_str("host"), b, a, BYTES_NONE);
	leaf_store_key(keys[3], bytes_str("upstream"), bytes_str("host"), a, b, BYTES_NONE);
	leaf_store_key(keys[4], bytes_str("upstream"), bytes_str("host"), a, a, bytes_str("v"));
	leaf_store_key(keys[5], bytes_str("upstream"), bytes_str("hostv"), a, a, BYTES_NONE);
	for (int i = 0; i < 6; i++) {
		for (int j = 0; j < i; j++)
			assert_memory_not_equal(keys[i], keys[j], LEAF_STORE_KEY);
	}
}

static void the_oldest_leave_when_the_cap_is_reached(void **state)
{
	(void)state;
	struct leaf_store *store = leaf_store_open(fresh_path(), 100, NOW);
	for (uint32_t i = 0; i < 150; i++)
		put(store, i, "leaf", NOW + 1000);
	assert_true(leaf_store_flush(store, NOW));
	struct leaf_store_counts counts = leaf_store_count(store);
	assert_int_equal(counts.rows, 90);
	assert_int_equal(counts.pruned, 60);
	assert_false(holds(store, 59, NOW, "leaf"));
	assert_true(holds(store, 60, NOW, "leaf"));
	assert_true(holds(store, 149, NOW, "leaf"));
	leaf_store_close(store);
}

static void writing_the_same_leaf_again_is_not_another_row(void **state)
{
	(void)state;
	struct leaf_store *store = leaf_store_open(fresh_path(), 50, NOW);
	for (int i = 0; i < 200; i++)
		put(store, 1, "leaf", NOW + 1000);
	assert_true(leaf_store_flush(store, NOW));
	assert_int_equal(leaf_store_count(store).rows, 1);
	assert_int_equal(leaf_store_count(store).pruned, 0);
	leaf_store_close(store);
}

static void a_damaged_file_is_put_aside_and_a_new_one_begun(void **state)
{
	(void)state;
	char aside[160];
	const char *path = fresh_path();
	FILE *file = fopen(path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("this is no database ", file);
	fclose(file);
	struct leaf_store *store = leaf_store_open(path, 100, NOW);
	put(store, 1, "one", NOW + 1000);
	assert_true(leaf_store_flush(store, NOW));
	assert_int_equal(leaf_store_count(store).moved_aside, 1);
	assert_true(holds(store, 1, NOW, "one"));
	leaf_store_close(store);
	snprintf(aside, sizeof(aside), "%s.damaged", path);
	assert_int_equal(access(aside, F_OK), 0);
}

static void a_file_damaged_inside_costs_only_its_leaves(void **state)
{
	(void)state;
	const char *path = fresh_path();
	struct leaf_store *store = leaf_store_open(path, 10000, NOW);
	for (uint32_t i = 0; i < 2000; i++)
		put(store, i, "a leaf of some length, so that there are many pages of the tree to damage", NOW + 1000);
	leaf_store_close(store);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	static const uint8_t rubbish[65536] = {0xaa, 0x55};
	assert_int_equal(pwrite(fd, rubbish, sizeof(rubbish), 8192), (ssize_t)sizeof(rubbish));
	close(fd);
	store = leaf_store_open(path, 10000, NOW);
	assert_non_null(store);
	for (uint32_t i = 0; i < 2000; i++)
		(void)holds(store, i, NOW, "");
	put(store, 9999, "new", NOW + 1000);
	assert_true(leaf_store_flush(store, NOW) || leaf_store_flush(store, NOW));
	put(store, 9998, "newer", NOW + 1000);
	assert_true(leaf_store_flush(store, NOW));
	assert_true(holds(store, 9998, NOW, "newer"));
	assert_int_equal(leaf_store_count(store).moved_aside, 1);
	leaf_store_close(store);
}

static void where_no_file_can_be_had_it_goes_on_without(void **state)
{
	(void)state;
	struct leaf_store *store = leaf_store_open("/nonexistent/deep/leaves.db", 100, NOW);
	assert_non_null(store);
	put(store, 1, "one", NOW + 1000);
	assert_false(holds(store, 1, NOW, "one"));
	assert_false(leaf_store_flush(store, NOW));
	assert_int_equal(leaf_store_count(store).lost, 1);
	leaf_store_close(store);
}

static void a_full_disk_loses_leaves_and_room_mends_it(void **state)
{
	(void)state;
	struct leaf_store *store = leaf_store_open(fresh_path(), 10000, NOW);
	struct rlimit before;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	struct rlimit small = {.rlim_cur = 4096, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (uint32_t i = 0; i < 300; i++)
		put(store, i, "a leaf of some length, so that the file would have to grow by a good deal", NOW + 1000);
	(void)leaf_store_flush(store, NOW);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	struct leaf_store_counts counts = leaf_store_count(store);
	assert_true(counts.lost > 0);
	assert_int_equal(counts.moved_aside, 0);
	put(store, 1000, "later", NOW + 1000);
	assert_true(leaf_store_flush(store, NOW));
	assert_true(holds(store, 1000, NOW, "later"));
	leaf_store_close(store);
}

static void storing_a_leaf_costs_little(void **state)
{
	(void)state;
	struct leaf_store *store = leaf_store_open(fresh_path(), 100000, NOW);
	uint8_t der[800] = {0};
	uint8_t key[LEAF_STORE_KEY];
	enum { ROUNDS = 2560 };
	uint64_t start = clock_monotonic_ns();
	for (uint32_t i = 0; i < ROUNDS; i++) {
		key_of(i, key);
		leaf_store_put(store, key, bytes_of(der, sizeof(der)), NOW, NOW + 1000);
	}
	uint64_t took = clock_monotonic_ns() - start;
	print_message("# storing a leaf takes %.1f us\n", (double)took / ROUNDS / 1000);
	assert_int_equal(leaf_store_count(store).stored, ROUNDS);
	leaf_store_close(store);
}

static int cleanup(void **state)
{
	(void)state;
	forge_cleanup();
	return 0;
}

int main(void)
{
	/* A file over its limit raises this signal where the write should only fail. */
	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return 1;
	log_setup("test", open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_last_across_a_restart_until_they_expire),
		cmocka_unit_test(each_part_of_the_key_tells_leaves_apart),
		cmocka_unit_test(the_oldest_leave_when_the_cap_is_reached),
		cmocka_unit_test(writing_the_same_leaf_again_is_not_another_row),
		cmocka_unit_test(a_damaged_file_is_put_aside_and_a_new_one_begun),
		cmocka_unit_test(a_file_damaged_inside_costs_only_its_leaves),
		cmocka_unit_test(where_no_file_can_be_had_it_goes_on_without),
		cmocka_unit_test(a_full_disk_loses_leaves_and_room_mends_it),
		cmocka_unit_test(storing_a_leaf_costs_little),
	};
	return cmocka_run_group_tests(tests, NULL, cleanup);
}
