#include "capture_build.h"
#include "watch/fragment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static struct fragment piece(uint32_t id, uint32_t offset, bool more, struct bytes bytes)
{
	return (struct fragment){.key = {.family = 4, .protocol = 6, .source = {192, 0, 2, 1}, .id = id},
		.protocol = 6,
		.offset = offset,
		.more = more,
		.bytes = bytes};
}

static enum link_result take(struct fragments *fragments, struct fragment fragment, struct bytes *out)
{
	uint8_t protocol;
	return fragments_take(fragments, &fragment, 0, out, &protocol);
}

/* xorshift: the same run every time. */
static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Cuts at random, with repeats and overlaps, shuffles, and expects the datagram at the end and not before. */
static void one_random_datagram(struct fragments *fragments, uint32_t id, uint32_t *seed)
{
	static uint8_t data[FRAGMENT_DATAGRAM_MAX];
	static struct fragment pieces[20000];
	size_t len = 9 + next_random(seed) % (next_random(seed) % 4 == 0 ? FRAGMENT_DATAGRAM_MAX - 9 : 2000);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)next_random(seed);
	size_t count = 0;
	for (size_t at = 0; at < len;) {
		size_t n = 8 + (size_t)(next_random(seed) % 25) * 8;
		/* Now and then a piece reaches back over what was cut before. */
		size_t from = at >= 64 && next_random(seed) % 5 == 0 ? at - (size_t)(next_random(seed) % 8) * 8 : at;
		size_t end = at + n < len ? at + n : len;
		pieces[count++] = piece(id, (uint32_t)from, end < len, bytes_of(data + from, end - from));
		at = end;
	}
	for (size_t i = count; i-- > 1;) {
		size_t other = next_random(seed) % (i + 1);
		struct fragment held = pieces[i];
		pieces[i] = pieces[other];
		pieces[other] = held;
	}
	struct bytes out = BYTES_NONE;
	enum link_result result = LINK_HELD;
	size_t used = 0;
	while (result == LINK_HELD && used < count) {
		/* Some come twice, but not the one that may have been the last. */
		result = take(fragments, pieces[used++], &out);
		if (result == LINK_HELD && next_random(seed) % 8 == 0)
			assert_int_equal(take(fragments, pieces[used - 1], &out), LINK_HELD);
	}
	assert_int_equal(result, LINK_PACKET);
	assert_int_equal(out.len, len);
	assert_memory_equal(out.data, data, len);
}

static void any_cut_and_order_gives_the_same_datagram(void **state)
{
	(void)state;
	struct fragments *fragments = fragments_new(FRAGMENT_LIMITS);
	uint32_t seed = 12345;
	/* Overlaps can make a datagram whole before its last piece comes, so each has an id of its own. */
	for (uint32_t id = 0; id < 300; id++)
		one_random_datagram(fragments, id, &seed);
	assert_int_equal(fragments_count(fragments).completed, 300);
	assert_int_equal(fragments_count(fragments).overlaps, 0);
	assert_int_equal(fragments_count(fragments).held, 0);
	assert_int_equal(fragments_count(fragments).octets, 0);
	fragments_free(fragments);
}

static void the_protocol_is_that_of_the_first_fragment(void **state)
{
	(void)state;
	struct fragments *fragments = fragments_new(FRAGMENT_LIMITS);
	struct fragment first = piece(1, 0, true, bytes_str("12345678")), last = piece(1, 8, false, bytes_str("9"));
	last.protocol = 60;
	struct bytes out;
	uint8_t protocol;
	assert_int_equal(fragments_take(fragments, &last, 0, &out, &protocol), LINK_HELD);
	first.protocol = 17;
	assert_int_equal(fragments_take(fragments, &first, 0, &out, &protocol), LINK_PACKET);
	assert_int_equal(protocol, 17);
	fragments_free(fragments);
}

static void a_contradiction_makes_the_datagram_void_for_good(void **state)
{
	(void)state;
	struct fragments *fragments = fragments_new(FRAGMENT_LIMITS);
	struct bytes out;
	assert_int_equal(take(fragments, piece(1, 0, true, bytes_str("12345678")), &out), LINK_HELD);
	assert_int_equal(take(fragments, piece(1, 0, true, bytes_str("1234567X")), &out), LINK_FRAGMENT_OVERLAP);
	assert_int_equal(take(fragments, piece(1, 8, false, bytes_str("9")), &out), LINK_FRAGMENT_OVERLAP);
	assert_int_equal(take(fragments, piece(1, 0, true, bytes_str("12345678")), &out), LINK_FRAGMENT_OVERLAP);
	/* Two ends, and something behind the end, either way round. */
	assert_int_equal(take(fragments, piece(2, 8, false, bytes_str("9")), &out), LINK_HELD);
	assert_int_equal(take(fragments, piece(2, 16, false, bytes_str("9")), &out), LINK_FRAGMENT_OVERLAP);
	assert_int_equal(take(fragments, piece(3, 8, false, bytes_str("9")), &out), LINK_HELD);
	assert_int_equal(take(fragments, piece(3, 8, true, bytes_str("12345678")), &out), LINK_FRAGMENT_OVERLAP);
	assert_int_equal(take(fragments, piece(4, 16, true, bytes_str("12345678")), &out), LINK_HELD);
	assert_int_equal(take(fragments, piece(4, 8, false, bytes_str("9")), &out), LINK_FRAGMENT_OVERLAP);
	assert_int_equal(fragments_count(fragments).overlaps, 4);
	assert_int_equal(fragments_count(fragments).octets, 0);
	fragments_free(fragments);
}

static void what_cannot_be_a_fragment_is_refused(void **state)
{
	(void)state;
	struct fragments *fragments = fragments_new(FRAGMENT_LIMITS);
	struct bytes out;
	assert_int_equal(take(fragments, piece(1, 0, true, bytes_str("1234567")), &out), LINK_FRAGMENT_BAD);
	assert_int_equal(take(fragments, piece(1, 0, true, BYTES_NONE), &out), LINK_FRAGMENT_BAD);
	assert_int_equal(take(fragments, piece(1, 3, true, bytes_str("12345678")), &out), LINK_FRAGMENT_BAD);
	assert_int_equal(take(fragments, piece(1, 65528, false, bytes_str("12345678")), &out), LINK_FRAGMENT_BAD);
	assert_int_equal(fragments_count(fragments).held, 0);
	fragments_free(fragments);
}

static void old_datagrams_leave_and_are_counted(void **state)
{
	(void)state;
	struct fragments *fragments = fragments_new(FRAGMENT_LIMITS);
	struct bytes out;
	uint8_t protocol;
	struct fragment first = piece(1, 0, true, bytes_str("12345678")), last = piece(1, 8, false, bytes_str("9"));
	assert_int_equal(fragments_take(fragments, &first, 100 * SECOND, &out, &protocol), LINK_HELD);
	assert_int_equal(fragments_take(fragments, &last, 131 * SECOND, &out, &protocol), LINK_HELD);
	assert_int_equal(fragments_count(fragments).aged, 1);
	assert_int_equal(fragments_count(fragments).held, 1);
	/* Time that goes back does not make anything old. */
	assert_int_equal(fragments_take(fragments, &first, 1 * SECOND, &out, &protocol), LINK_PACKET);
	fragments_free(fragments);
}

static void caps_hold_and_the_oldest_leaves_first(void **state)
{
	(void)state;
	static const uint8_t much[1024];
	struct fragments *fragments = fragments_new((struct fragment_limits){.datagrams = 4, .octets = 2500});
	struct bytes out, part = bytes_of(much, sizeof(much));
	for (uint32_t id = 0; id < 6; id++)
		assert_int_equal(take(fragments, piece(id, 0, true, bytes_str("12345678")), &out), LINK_HELD);
	assert_int_equal(fragments_count(fragments).held, 4);
	assert_int_equal(fragments_count(fragments).evicted, 2);
	assert_int_equal(take(fragments, piece(5, 8, false, bytes_str("9")), &out), LINK_PACKET);
	for (uint32_t id = 10; id < 13; id++)
		assert_int_equal(take(fragments, piece(id, 0, true, part), &out), LINK_HELD);
	assert_true(fragments_count(fragments).octets <= 2500);
	assert_int_equal(fragments_count(fragments).held, 2);
	/* One that is too large by itself goes, whoever else is there. */
	assert_int_equal(take(fragments, piece(12, 4096, true, part), &out), LINK_FRAGMENT_FULL);
	assert_int_equal(fragments_count(fragments).held, 0);
	assert_int_equal(fragments_count(fragments).octets, 0);
	fragments_free(fragments);
}

static void a_fragment_may_lie_in_the_datagram_given_out_last(void **state)
{
	(void)state;
	struct fragments *fragments = fragments_new(FRAGMENT_LIMITS);
	struct bytes out;
	assert_int_equal(take(fragments, piece(1, 0, true, bytes_str("12345678")), &out), LINK_HELD);
	assert_int_equal(take(fragments, piece(1, 8, false, bytes_str("abcdefgh")), &out), LINK_PACKET);
	struct bytes half = bytes_of(out.data, 8);
	assert_int_equal(take(fragments, piece(2, 0, true, half), &out), LINK_HELD);
	assert_int_equal(take(fragments, piece(2, 8, false, bytes_str("X")), &out), LINK_PACKET);
	assert_true(bytes_equal(out, bytes_str("12345678X")));
	fragments_free(fragments);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_cut_and_order_gives_the_same_datagram),
		cmocka_unit_test(the_protocol_is_that_of_the_first_fragment),
		cmocka_unit_test(a_contradiction_makes_the_datagram_void_for_good),
		cmocka_unit_test(what_cannot_be_a_fragment_is_refused),
		cmocka_unit_test(old_datagrams_leave_and_are_counted),
		cmocka_unit_test(caps_hold_and_the_oldest_leaves_first),
		cmocka_unit_test(a_fragment_may_lie_in_the_datagram_given_out_last),
	};
	return cmocka_run_group_tests_name("watch/fragment", tests, NULL, NULL);
}
