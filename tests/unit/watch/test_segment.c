#include "watch/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "draw.h"

static struct segment *made(uint64_t start, size_t len, uint64_t *draws)
{
	static const uint8_t octets[64];
	struct segment *s = segment_new(start, bytes_of(octets, len));
	assert_non_null(s);
	s->priority = (uint32_t)draw(draws, UINT32_MAX);
	return s;
}

static size_t depth(const struct segment *s)
{
	if (!s)
		return 0;
	size_t a = depth(s->lesser), b = depth(s->greater);
	return 1 + (a > b ? a : b);
}

static void descending_positions_keep_the_tree_flat(void **state)
{
	(void)state;
	uint64_t draws = 1;
	struct segment *tree = NULL;
	for (uint64_t i = 100000; i > 0; i--)
		segment_insert(&tree, made(i, 1, &draws));
	assert_in_range(depth(tree), 17, 70);
	for (uint64_t i = 1; i <= 100000; i++) {
		struct segment *s = segment_pop(&tree);
		assert_int_equal(s->start, i);
		free(s);
	}
	assert_null(tree);
}

/* Against an array that says which slot of ten positions is taken. */
static void the_tree_agrees_with_an_array(void **state)
{
	(void)state;
	uint64_t draws = 7;
	struct segment *tree = NULL, *slots[200] = {0};
	for (int i = 0; i < 20000; i++) {
		size_t slot = (size_t)draw(&draws, 200);
		if (slots[slot]) {
			segment_remove(&tree, slots[slot]);
			free(slots[slot]);
			slots[slot] = NULL;
		} else {
			slots[slot] = made(slot * 10, 1 + (size_t)draw(&draws, 10), &draws);
			segment_insert(&tree, slots[slot]);
		}
		uint64_t position = draw(&draws, 2010);
		struct segment *expected = NULL, *first = NULL;
		for (size_t k = 0; k < 200; k++) {
			if (slots[k] && !first)
				first = slots[k];
			if (slots[k] && slots[k]->end > position && !expected)
				expected = slots[k];
		}
		assert_ptr_equal(segment_after(tree, position), expected);
		assert_ptr_equal(segment_first(tree), first);
	}
	segment_free_all(&tree);
	assert_null(tree);
}

static void moving_the_start_shortens_the_octets(void **state)
{
	(void)state;
	struct segment *s = segment_new(100, bytes_str("abcdef"));
	assert_non_null(s);
	s->start = 102;
	assert_true(bytes_equal(segment_bytes(s), bytes_str("cdef")));
	assert_in_range(segment_cost(s), sizeof(*s) + 6, sizeof(*s) + 32);
	free(s);
	s = segment_void(5, 50);
	assert_non_null(s);
	assert_true(segment_is_void(s));
	assert_int_equal(segment_bytes(s).len, 0);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descending_positions_keep_the_tree_flat),
		cmocka_unit_test(the_tree_agrees_with_an_array),
		cmocka_unit_test(moving_the_start_shortens_the_octets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
