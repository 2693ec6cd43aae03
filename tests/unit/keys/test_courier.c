#include "keys/courier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct courier_frame take_one(const struct writer *to)
{
	struct bytes in = bytes_of(to->data, to->len);
	struct courier_frame frame;
	assert_false(to->full);
	for (size_t cut = 0; cut < in.len; cut++) {
		struct bytes part = bytes_of(in.data, cut);
		assert_int_equal(courier_take(&part, &frame), COURIER_MORE);
		assert_int_equal(part.len, cut);
	}
	assert_int_equal(courier_take(&in, &frame), COURIER_OK);
	assert_int_equal(in.len, 0);
	return frame;
}

static void every_frame_reads_back_what_was_written(void **state)
{
	(void)state;
	uint8_t room[512];
	struct writer to = writer_over(room, sizeof(room));
	struct courier_taken taken = {.batch = 9, .fresh = 1, .known = 2, .contradictory = 3, .refused = 4, .why = 5};
	struct courier_taken taken_again;
	courier_taken_write(&to, &taken);
	struct courier_frame frame = take_one(&to);
	assert_int_equal(frame.type, COURIER_TAKEN);
	assert_true(courier_taken_read(frame.body, &taken_again));
	assert_int_equal(taken_again.batch, 9);
	assert_int_equal(taken_again.refused, 4);

	struct courier_want want = {.follow = true, .instance = {1, 2}, .from = 77}, want_again;
	to = writer_over(room, sizeof(room));
	courier_want_write(&to, &want);
	assert_true(courier_want_read(take_one(&to).body, &want_again));
	assert_true(want_again.follow);
	assert_int_equal(want_again.from, 77);

	uint8_t grant[RELEASE_GRANT] = {3}, grant_again[RELEASE_GRANT], why;
	to = writer_over(room, sizeof(room));
	courier_ended_write(&to, grant, COURIER_WHY_REVOKED);
	assert_true(courier_ended_read(take_one(&to).body, grant_again, &why));
	assert_memory_equal(grant, grant_again, RELEASE_GRANT);
	assert_int_equal(why, COURIER_WHY_REVOKED);

	struct bytes text;
	to = writer_over(room, sizeof(room));
	courier_sorry_write(&to, COURIER_WHY_FULL, "no room");
	assert_true(courier_sorry_read(take_one(&to).body, &why, &text));
	assert_true(bytes_equal(text, bytes_str("no room")));
}

static void items_of_a_give_come_one_by_one(void **state)
{
	(void)state;
	uint8_t room[512];
	struct writer to = writer_over(room, sizeof(room));
	struct courier_given given;
	struct bytes items;
	uint64_t next;
	size_t mark = courier_open(&to, COURIER_GIVE);
	writer_u64(&to, 42);
	for (uint8_t i = 0; i < 3; i++) {
		writer_vec8(&to, bytes_str("web1"));
		writer_u64(&to, i);
		writer_vec16(&to, bytes_of(&i, 1));
	}
	courier_close(&to, mark);
	struct courier_frame frame = take_one(&to);
	assert_true(courier_give_read(frame.body, &next, &items));
	assert_int_equal(next, 42);
	for (uint8_t i = 0; i < 3; i++) {
		assert_true(courier_given_take(&items, &given));
		assert_true(bytes_equal(given.sender, bytes_str("web1")));
		assert_int_equal(given.received_ns, i);
		assert_int_equal(given.sealed.data[0], i);
	}
	assert_false(courier_given_take(&items, &given));
}

static void strange_frames_are_refused_by_their_first_octets(void **state)
{
	(void)state;
	struct courier_frame frame;
	const uint8_t http[] = "GET / HTTP/1.1";
	struct bytes in = bytes_of(http, sizeof(http));
	assert_int_equal(courier_take(&in, &frame), COURIER_UNKNOWN);
	const uint8_t zero[] = {0, 0, 0, 0};
	in = bytes_of(zero, sizeof(zero));
	assert_int_equal(courier_take(&in, &frame), COURIER_UNKNOWN);
	const uint8_t long_one[] = {COURIER_PUT, 1, 0, 1};
	in = bytes_of(long_one, sizeof(long_one));
	assert_int_equal(courier_take(&in, &frame), COURIER_TOO_LONG);
}

static void every_reason_has_a_text(void **state)
{
	(void)state;
	for (int why = 0; why <= COURIER_WHYS; why++)
		assert_true(strlen(courier_why_text((enum courier_why)why)) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_reads_back_what_was_written),
		cmocka_unit_test(items_of_a_give_come_one_by_one),
		cmocka_unit_test(strange_frames_are_refused_by_their_first_octets),
		cmocka_unit_test(every_reason_has_a_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
