#include "keys/keystore.h"

#include "log_maker.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct keystore *store_new(void)
{
	struct keystore *store = keystore_new(1);
	assert_non_null(store);
	return store;
}

static void a_secret_is_found_under_its_id_in_the_order_of_arrival(void **state)
{
	(void)state;
	struct keystore *store = store_new();
	struct keylog_id one = made_id(1);
	struct keylog_id two = made_id(2);
	struct keyset set = {0};
	struct keyset_key key;
	assert_int_equal(keystore_add(store, &one, KEYLOG_MASTER, 0, bytes_str("first")), KEYSTORE_ADDED);
	assert_int_equal(keystore_add(store, &two, KEYLOG_MASTER, 0, bytes_str("first")), KEYSTORE_ADDED);
	assert_int_equal(keystore_add(store, &one, KEYLOG_PREMASTER, 0, bytes_str("second")), KEYSTORE_ADDED);
	assert_int_equal(keystore_add(store, &one, KEYLOG_MASTER, 0, bytes_str("third")), KEYSTORE_ADDED);
	assert_int_equal(keystore_add(store, &one, KEYLOG_MASTER, 0, bytes_str("first")), KEYSTORE_DUPLICATE);
	assert_int_equal(keystore_gather(store, &one, &set), 3);
	assert_true(keyset_at(&set, 0, &key) && bytes_equal(key.secret, bytes_str("first")));
	assert_true(keyset_at(&set, 2, &key) && bytes_equal(key.secret, bytes_str("third")));
	assert_int_equal(set.contradictory, 1);
	assert_int_equal(keystore_count(store).duplicates, 1);
	keyset_free(&set);
	keystore_free(store);
}

static void lines_are_taken_and_bad_ones_counted(void **state)
{
	(void)state;
	struct keystore *store = store_new();
	struct keylog_id expected = made_id(9);
	struct keylog_id id;
	char line[256];
	size_t len = made_line(line, sizeof(line), "CLIENT_RANDOM", 9, 1, 48);
	assert_true(keystore_add_line(store, bytes_of(line, len), &id));
	assert_true(keylog_id_equal(&id, &expected));
	assert_false(keystore_add_line(store, bytes_of(line, len), &id));
	assert_false(keystore_add_line(store, bytes_of(line, len - 1), &id));
	assert_false(keystore_add_line(store, bytes_str("# comment"), &id));
	struct keystore_counts counts = keystore_count(store);
	assert_int_equal(counts.lines, 4);
	assert_int_equal(counts.bad, 1);
	assert_int_equal(counts.held, 1);
	keystore_free(store);
}

/* Against a plain list: what is held is always the newest part of what was added, whole and found by its id. */
static void the_oldest_leave_for_the_newest(void **state)
{
	(void)state;
	struct made made = {.state = 4711};
	struct keystore *store = store_new();
	enum { ADDED = 20000, SESSIONS = 50 };
	uint32_t *lens = calloc(ADDED, sizeof(*lens));
	uint8_t octets[KEYLOG_MAX_SECRET] = {0};
	assert_non_null(lens);
	for (uint32_t i = 0; i < ADDED; i++) {
		struct keylog_id id = made_id(i % SESSIONS);
		lens[i] = made_random(&made, 20) == 0 ? 4 + made_random(&made, KEYLOG_MAX_SECRET - 4) : 32;
		memcpy(octets, &i, sizeof(i));
		assert_int_equal(
			keystore_add(store, &id, KEYLOG_CLIENT_TRAFFIC, i, bytes_of(octets, lens[i])), KEYSTORE_ADDED);
		struct keystore_counts counts = keystore_count(store);
		assert_true(counts.octets <= counts.cap);
		assert_int_equal(counts.held + counts.evicted, counts.stored);
		if (made_random(&made, 500) != 0)
			continue;
		uint64_t at = UINT64_MAX;
		uint32_t expected = i;
		struct keystore_entry entry;
		for (; keystore_back(store, &at, &entry); expected--) {
			struct keylog_id of_it = made_id(expected % SESSIONS);
			assert_int_equal(entry.epoch, expected);
			assert_int_equal(entry.secret.len, lens[expected]);
			assert_memory_equal(entry.secret.data, &expected, sizeof(expected));
			assert_true(keylog_id_equal(&entry.id, &of_it));
		}
		assert_int_equal(i - expected, counts.held);
		size_t found = 0;
		for (uint32_t n = 0; n < SESSIONS; n++) {
			struct keyset set = {0};
			struct keylog_id of_it = made_id(n);
			found += keystore_gather(store, &of_it, &set);
			keyset_free(&set);
		}
		assert_int_equal(found, counts.held);
	}
	assert_true(keystore_count(store).evicted > 0);
	free(lens);
	keystore_free(store);
}

static void a_session_takes_no_more_than_its_share(void **state)
{
	(void)state;
	struct keystore *store = keystore_new((size_t)1024 * 1024);
	struct keylog_id id = made_id(1);
	assert_non_null(store);
	for (uint32_t i = 0; i < KEYSTORE_PER_ID; i++)
		assert_int_equal(keystore_add(store, &id, KEYLOG_MASTER, 0, bytes_of(&i, sizeof(i))), KEYSTORE_ADDED);
	assert_int_equal(keystore_add(store, &id, KEYLOG_MASTER, 0, bytes_str("more")), KEYSTORE_REFUSED);
	assert_int_equal(keystore_count(store).refused, 1);
	id = made_id(2);
	assert_int_equal(keystore_add(store, &id, KEYLOG_MASTER, 0, bytes_str("more")), KEYSTORE_ADDED);
	keystore_free(store);
}

static void an_empty_store_has_nothing(void **state)
{
	(void)state;
	struct keystore *store = store_new();
	struct keylog_id id = made_id(1);
	struct keyset set = {0};
	struct keystore_entry entry;
	uint64_t at = UINT64_MAX;
	uint8_t octets[KEYLOG_MAX_SECRET + 1] = {0};
	assert_int_equal(keystore_gather(store, &id, &set), 0);
	assert_false(keystore_back(store, &at, &entry));
	assert_int_equal(
		keystore_add(store, &id, KEYLOG_MASTER, 0, bytes_of(octets, sizeof(octets))), KEYSTORE_TOO_LONG);
	keystore_free(store);
	keystore_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_is_found_under_its_id_in_the_order_of_arrival),
		cmocka_unit_test(lines_are_taken_and_bad_ones_counted),
		cmocka_unit_test(the_oldest_leave_for_the_newest),
		cmocka_unit_test(a_session_takes_no_more_than_its_share),
		cmocka_unit_test(an_empty_store_has_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
