/* What is remembered of chains that were good, for how long, and for whom. */
#include "pact/memo.h"

#include "../pki/forge.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>

static struct forged root, leaf, other;

static int set_up(void **state)
{
	(void)state;
	root = forge_root("Root");
	leaf = forge_leaf("www.example.com", &root);
	other = forge_leaf("other.example.com", &root);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	forged_free(&root);
	forged_free(&leaf);
	forged_free(&other);
	return 0;
}

static const struct accord_identity somebody = {.name = "proxy.example.com"};

static struct memo *fresh(size_t cap)
{
	struct memo *memo = memo_new(cap);
	assert_non_null(memo);
	return memo;
}

/* Distinct for each number. */
static const uint8_t *key(uint8_t number)
{
	static uint8_t room[MEMO_KEY];
	memset(room, number, sizeof(room));
	return room;
}

static bool found(struct memo *memo, uint8_t number, int64_t now_s)
{
	struct accord_identity who = {0};
	bool ok = memo_find(memo, key(number), now_s, &who);
	assert_string_equal(who.name, ok ? somebody.name : "");
	return ok;
}

static void a_good_chain_is_remembered_until_it_ends(void **state)
{
	(void)state;
	struct memo *memo = fresh(4);
	memo_keep(memo, key(1), 1000, 1010, &somebody, leaf.cert);
	assert_true(found(memo, 1, 1000));
	assert_true(found(memo, 1, 1009));
	assert_false(found(memo, 1, 1010));
	assert_false(found(memo, 1, 1011));
	assert_false(found(memo, 1, 999)); /* the clock was set back */
	assert_false(found(memo, 2, 1000));
	struct memo_counts counts = memo_count(memo);
	assert_int_equal(counts.found, 2);
	assert_int_equal(counts.missed, 4);
	assert_int_equal(counts.held, 1);
	memo_free(memo);
}

static void no_answer_lives_longer_than_the_limit(void **state)
{
	(void)state;
	struct memo *memo = fresh(4);
	memo_keep(memo, key(1), 1000, INT64_MAX, &somebody, leaf.cert);
	assert_true(found(memo, 1, 1000 + MEMO_MAX_S - 1));
	assert_false(found(memo, 1, 1000 + MEMO_MAX_S));
	memo_free(memo);
}

static void what_has_ended_is_not_kept(void **state)
{
	(void)state;
	struct memo *memo = fresh(4);
	memo_keep(memo, key(1), 1000, 1000, &somebody, leaf.cert);
	memo_keep(memo, key(2), 1000, 0, &somebody, leaf.cert);
	assert_int_equal(memo_count(memo).held, 0);
	memo_free(memo);
}

static void the_chain_longest_unused_leaves_and_is_counted(void **state)
{
	(void)state;
	struct memo *memo = fresh(2);
	memo_keep(memo, key(1), 1000, 1010, &somebody, leaf.cert);
	memo_keep(memo, key(2), 1000, 1010, &somebody, other.cert);
	assert_true(found(memo, 1, 1000));
	memo_keep(memo, key(3), 1000, 1010, &somebody, root.cert);
	assert_true(found(memo, 1, 1000));
	assert_false(found(memo, 2, 1000));
	assert_true(found(memo, 3, 1000));
	struct memo_counts counts = memo_count(memo);
	assert_int_equal(counts.evicted, 1);
	assert_int_equal(counts.held, 2);
	assert_int_equal(counts.cap, 2);
	memo_free(memo);
}

static void what_is_forgotten_is_not_found(void **state)
{
	(void)state;
	uint8_t der[4096];
	struct memo *memo = fresh(4);
	memo_keep(memo, key(1), 1000, 1010, &somebody, leaf.cert);
	memo_keep(memo, key(2), 1000, 1010, &somebody, other.cert);
	memo_forget(memo);
	assert_false(found(memo, 1, 1000));
	assert_false(found(memo, 2, 1000));
	assert_null(memo_leaf(memo, forge_der(leaf.cert, der, sizeof(der))));
	assert_int_equal(memo_count(memo).held, 0);
	memo_free(memo);
}

static void a_leaf_is_found_by_all_its_octets(void **state)
{
	(void)state;
	uint8_t der[4096];
	struct memo *memo = fresh(4);
	struct bytes in = forge_der(leaf.cert, der, sizeof(der));
	assert_null(memo_leaf(memo, in));
	memo_keep(memo, key(1), 1000, 1010, &somebody, leaf.cert);
	X509 *known = memo_leaf(memo, in);
	assert_ptr_equal(known, leaf.cert);
	X509_free(known);
	for (size_t i = 0; i < in.len; i++) {
		der[i] ^= 1;
		assert_null(memo_leaf(memo, in));
		der[i] ^= 1;
	}
	assert_null(memo_leaf(memo, bytes_of(der, in.len - 1)));
	memo_free(memo);
}

static void a_large_leaf_is_not_kept(void **state)
{
	(void)state;
	static char san[12000];
	static uint8_t der[32768];
	for (size_t n = 0, len = 0; len + 40 < sizeof(san); n++)
		len += (size_t)snprintf(
			san + len, sizeof(san) - len, "%sDNS:host-number-%zu.example.com", len ? "," : "", n);
	struct forge_spec spec = forge_leaf_spec("large", san, &root);
	struct forged large = forge(&spec);
	struct bytes in = forge_der(large.cert, der, sizeof(der));
	assert_true(in.len > MEMO_MAX_LEAF);
	struct memo *memo = fresh(4);
	memo_keep(memo, key(1), 1000, 1010, &somebody, large.cert);
	assert_true(found(memo, 1, 1000));
	assert_null(memo_leaf(memo, in));
	memo_free(memo);
	forged_free(&large);
}

/* Questions of which each differs from the first in one thing. */
static void every_part_of_a_question_counts(void **state)
{
	(void)state;
	static const struct bytes one = {(const uint8_t *)"one", 3};
	static const struct bytes two = {(const uint8_t *)"two", 3};
	const struct bytes host = bytes_str("www.example.com");
	const struct accord_chain chains[] = {
		{.cert = {one, two}, .count = 2},
		{.cert = {two, one}, .count = 2},
		{.cert = {one}, .count = 1},
		{.cert = {one, two, two}, .count = 3},
		{.cert = {bytes_str("onet"), bytes_str("wo")}, .count = 2},
		{.cert = {one, two}, .count = 2, .staple = one},
	};
	const struct memo_question questions[] = {
		{.generation = 1, .chain = &chains[0], .host = host},
		{.generation = 1, .chain = &chains[1], .host = host},
		{.generation = 1, .chain = &chains[2], .host = host},
		{.generation = 1, .chain = &chains[3], .host = host},
		{.generation = 1, .chain = &chains[4], .host = host},
		{.generation = 1, .chain = &chains[5], .host = host},
		{.generation = 2, .chain = &chains[0], .host = host},
		{.generation = 1, .chain = &chains[0], .host = bytes_str("ww.example.com")},
		{.generation = 1, .chain = &chains[0], .host = BYTES_NONE},
		{.generation = 1, .chain = &chains[0], .address = host},
		{.kind = 1, .generation = 1, .chain = &chains[0], .host = host},
	};
	enum { COUNT = sizeof(questions) / sizeof(questions[0]) };
	uint8_t keys[COUNT][MEMO_KEY];
	for (size_t i = 0; i < COUNT; i++) {
		assert_true(memo_key(&questions[i], keys[i]));
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(keys[i], keys[j], MEMO_KEY);
	}
	uint8_t again[MEMO_KEY];
	assert_true(memo_key(&questions[0], again));
	assert_memory_equal(again, keys[0], MEMO_KEY);
}

#define ROUNDS  2000
#define THREADS 4
#define ASKED   ((uint64_t)THREADS * ROUNDS)

struct crowd {
	struct memo *memo;
	atomic_uint wrong;
};

static void *ask_often(void *ctx)
{
	struct crowd *crowd = ctx;
	for (int i = 0; i < ROUNDS; i++) {
		uint8_t mine[MEMO_KEY] = {(uint8_t)(i % 7)};
		struct accord_identity who = {.name = ""};
		memo_keep(crowd->memo, mine, 1000, 1010, &somebody, leaf.cert);
		bool ok = memo_find(crowd->memo, mine, 1000, &who);
		if (ok != (strcmp(who.name, somebody.name) == 0))
			atomic_fetch_add(&crowd->wrong, 1);
	}
	return NULL;
}

static void threads_share_it(void **state)
{
	(void)state;
	struct crowd crowd = {.memo = fresh(4)};
	pthread_t thread[THREADS];
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, ask_often, &crowd), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(atomic_load(&crowd.wrong), 0);
	struct memo_counts counts = memo_count(crowd.memo);
	assert_in_range(counts.found + counts.missed, 1, ASKED);
	assert_true(counts.found + counts.missed + counts.busy >= ASKED);
	assert_in_range(counts.held, 1, 4);
	memo_free(crowd.memo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_chain_is_remembered_until_it_ends),
		cmocka_unit_test(no_answer_lives_longer_than_the_limit),
		cmocka_unit_test(what_has_ended_is_not_kept),
		cmocka_unit_test(the_chain_longest_unused_leaves_and_is_counted),
		cmocka_unit_test(what_is_forgotten_is_not_found),
		cmocka_unit_test(a_leaf_is_found_by_all_its_octets),
		cmocka_unit_test(a_large_leaf_is_not_kept),
		cmocka_unit_test(every_part_of_a_question_counts),
		cmocka_unit_test(threads_share_it),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
