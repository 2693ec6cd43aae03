#include "tls/dtls_join.h"

#include "../watch/draw.h"
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ROOM ((size_t)1024 * 1024)

static struct dtls_handshake part(uint16_t sequence, uint32_t length, uint32_t at, struct bytes octets)
{
	return (struct dtls_handshake){
		.type = 11, .length = length, .sequence = sequence, .offset = at, .body = octets};
}

static enum dtls_join_result add(struct dtls_join *join, struct dtls_handshake fragment)
{
	return dtls_join_add(join, &fragment, 0, ROOM);
}

static void a_message_comes_out_once_it_is_whole_with_its_unbroken_header(void **state)
{
	(void)state;
	struct dtls_join join = {0};
	struct dtls_message message;
	assert_int_equal(add(&join, part(0, 5, 3, RAW(4, 5))), DTLS_JOIN_ADDED);
	assert_false(dtls_join_next(&join, &message));
	assert_int_equal(add(&join, part(0, 5, 0, RAW(1, 2, 3))), DTLS_JOIN_ADDED);
	assert_true(dtls_join_next(&join, &message));
	assert_true(bytes_equal(message.whole, RAW(11, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4, 5)));
	assert_true(bytes_equal(message.body, RAW(1, 2, 3, 4, 5)));
	/* Sent again while it is held, and after it was taken. */
	assert_int_equal(add(&join, part(0, 5, 0, RAW(1, 2, 3, 4, 5))), DTLS_JOIN_OLD);
	assert_true(dtls_join_next(&join, &message));
	dtls_join_pop(&join);
	assert_int_equal(add(&join, part(0, 5, 0, RAW(1, 2, 3, 4, 5))), DTLS_JOIN_OLD);
	assert_false(dtls_join_next(&join, &message));
	assert_int_equal(join.cost, 0);
}

static void a_message_without_a_body_is_whole_at_once(void **state)
{
	(void)state;
	struct dtls_join join = {0};
	struct dtls_message message;
	assert_int_equal(add(&join, part(0, 0, 0, BYTES_NONE)), DTLS_JOIN_ADDED);
	assert_int_equal(add(&join, part(0, 0, 0, BYTES_NONE)), DTLS_JOIN_OLD);
	assert_true(dtls_join_next(&join, &message) && message.body.len == 0 && message.whole.len == 12);
	dtls_join_free(&join);
	assert_int_equal(join.cost, 0);
}

static void what_contradicts_is_told_and_the_first_stays(void **state)
{
	(void)state;
	struct dtls_join join = {0};
	struct dtls_message message;
	assert_int_equal(add(&join, part(0, 4, 0, RAW(1, 2))), DTLS_JOIN_ADDED);
	assert_int_equal(add(&join, part(0, 5, 0, RAW(1, 2))), DTLS_JOIN_CONFLICT);
	assert_int_equal(add(&join, part(0, 4, 1, RAW(9, 3, 4))), DTLS_JOIN_CONFLICT);
	assert_true(dtls_join_next(&join, &message));
	assert_true(bytes_equal(message.body, RAW(1, 2, 3, 4)));
	dtls_join_free(&join);
}

static void an_authenticated_message_takes_the_place_of_one_that_is_not(void **state)
{
	(void)state;
	struct dtls_join join = {0};
	struct dtls_message message;
	struct dtls_handshake forged = part(0, 3, 0, RAW(9, 9)), real = part(0, 2, 0, RAW(1, 2));
	assert_int_equal(dtls_join_add(&join, &forged, 0, ROOM), DTLS_JOIN_ADDED);
	assert_int_equal(dtls_join_add(&join, &real, 1, ROOM), DTLS_JOIN_ADDED);
	assert_int_equal(dtls_join_add(&join, &forged, 0, ROOM), DTLS_JOIN_CONFLICT);
	assert_true(dtls_join_next(&join, &message) && message.epoch == 1);
	assert_true(bytes_equal(message.body, RAW(1, 2)));
	dtls_join_free(&join);
}

static void every_bound_is_kept(void **state)
{
	(void)state;
	struct dtls_join join = {.next = 3};
	struct dtls_handshake one = part(3, 4, 0, RAW(1, 2));
	assert_int_equal(add(&join, part(3 + DTLS_JOIN_AHEAD + 1, 1, 0, RAW(1))), DTLS_JOIN_FAR);
	assert_int_equal(add(&join, part(3, DTLS_JOIN_MESSAGE + 1, 0, RAW(1))), DTLS_JOIN_TOO_LONG);
	assert_int_equal(dtls_join_add(&join, &one, 0, 16), DTLS_JOIN_FULL);
	assert_int_equal(add(&join, one), DTLS_JOIN_ADDED);
	size_t cost = join.cost;
	struct dtls_handshake two = part(3, 4, 2, RAW(3, 4));
	assert_int_equal(dtls_join_add(&join, &two, 0, 1), DTLS_JOIN_FULL);
	assert_int_equal(join.cost, cost);
	/* Every second octet, until there are too many pieces. */
	enum dtls_join_result result = DTLS_JOIN_ADDED;
	uint32_t at = 0;
	for (; result == DTLS_JOIN_ADDED; at += 2)
		result = add(&join, part(4, 8192, at, RAW(1)));
	assert_int_equal(result, DTLS_JOIN_FULL);
	assert_true(at / 2 <= DTLS_JOIN_PIECES + 1);
	dtls_join_free(&join);
	assert_int_equal(join.cost, 0);
}

static void what_is_missing_can_be_given_up(void **state)
{
	(void)state;
	struct dtls_join join = {0};
	struct dtls_message message;
	assert_false(dtls_join_skip(&join));
	assert_int_equal(add(&join, part(1, 2, 0, RAW(1))), DTLS_JOIN_ADDED);
	assert_int_equal(add(&join, part(4, 1, 0, RAW(7))), DTLS_JOIN_ADDED);
	assert_true(dtls_join_skip(&join));
	assert_true(dtls_join_next(&join, &message) && message.sequence == 4);
	dtls_join_pop(&join);
	assert_false(dtls_join_skip(&join));
	assert_int_equal(join.next, 5);
}

/* Five messages, cut at random, in any order, repeated, overlapping: out they come, in order and unchanged. */
static void fragments_in_any_order_give_the_messages_in_theirs(void **state)
{
	(void)state;
	static uint8_t sent[5][3000];
	for (uint64_t seed = 1; seed <= 300; seed++) {
		uint64_t s = seed;
		struct dtls_join join = {0};
		struct dtls_message message;
		uint32_t len[5];
		unsigned out = 0;
		for (unsigned m = 0; m < 5; m++) {
			len[m] = (uint32_t)draw(&s, sizeof(sent[0]) + 1);
			for (uint32_t i = 0; i < len[m]; i++)
				sent[m][i] = (uint8_t)draw(&s, 256);
		}
		for (unsigned step = 0; out < 5; step++) {
			unsigned m = (unsigned)draw(&s, 5);
			uint32_t at = (uint32_t)draw(&s, len[m] + 1), n = (uint32_t)draw(&s, len[m] - at + 1);
			/* In the end all comes whole. */
			if (step > 60) {
				m = step % 5;
				at = 0;
				n = len[m];
			}
			enum dtls_join_result result =
				add(&join, part((uint16_t)m, len[m], at, bytes_of(sent[m] + at, n)));
			assert_true(result == DTLS_JOIN_ADDED || result == DTLS_JOIN_OLD);
			while (dtls_join_next(&join, &message)) {
				assert_int_equal(message.sequence, out);
				assert_true(bytes_equal(message.body, bytes_of(sent[out], len[out])));
				dtls_join_pop(&join);
				out++;
			}
		}
		assert_int_equal(join.cost, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_comes_out_once_it_is_whole_with_its_unbroken_header),
		cmocka_unit_test(a_message_without_a_body_is_whole_at_once),
		cmocka_unit_test(what_contradicts_is_told_and_the_first_stays),
		cmocka_unit_test(an_authenticated_message_takes_the_place_of_one_that_is_not),
		cmocka_unit_test(every_bound_is_kept),
		cmocka_unit_test(what_is_missing_can_be_given_up),
		cmocka_unit_test(fragments_in_any_order_give_the_messages_in_theirs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
