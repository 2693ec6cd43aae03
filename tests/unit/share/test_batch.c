#include "share/batch.h"

#include "tls/hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NUMBER UINT64_C(0x0102030405060708)

struct place {
	struct sealer *sealer;
	uint8_t room[4096];
	struct batch batch;
};

static void add(struct place *place, struct writer *to, uint8_t grant)
{
	uint8_t room[SEAL_MAX];
	struct writer sealed = writer_over(room, sizeof(room));
	struct release release = {.grade = RELEASE_GRADE_RECORD,
		.mode = RELEASE_LIVE,
		.consent = RELEASE_UNILATERAL,
		.grant = {grant},
		.key = {.stage = RECORD_STAGE_APPLICATION,
			.version = TLS_VERSION_13,
			.suite = 0x1301,
			.key_len = 16,
			.iv_len = 12}};
	assert_int_equal(sealer_seal(place->sealer, 1, &release, &sealed), SEAL_OK);
	writer_vec16(to, bytes_of(room, sealed.len));
}

/* A frame with a release under each of these grants. */
static void fill(struct place *place, const char *grants)
{
	struct writer to = writer_over(place->room, sizeof(place->room));
	size_t mark = courier_open(&to, COURIER_PUT);
	writer_u64(&to, 0);
	for (const char *at = grants; *at; at++)
		add(place, &to, (uint8_t)*at);
	courier_close(&to, mark);
	assert_false(to.full);
	place->batch = (struct batch){.frame = place->room, .len = to.len, .sealed = (uint32_t)strlen(grants)};
	batch_number(&place->batch, NUMBER);
}

/* The grants of what is in the frame, which is a whole one. */
static void has(const struct batch *batch, const char *grants)
{
	struct bytes in = bytes_of(batch->frame, batch->len), items = {0}, sealed = {0};
	struct courier_frame frame;
	struct seal_head head = {0};
	uint64_t number = 0;
	assert_int_equal(courier_take(&in, &frame), COURIER_OK);
	assert_int_equal(in.len, 0);
	assert_true(courier_put_read(frame.body, &number, &items));
	assert_int_equal(number, NUMBER);
	for (const char *at = grants; *at; at++) {
		assert_true(bytes_vec16(&items, &sealed) && seal_head_read(sealed, &head));
		assert_int_equal(head.grant[0], *at);
	}
	assert_int_equal(items.len, 0);
	assert_int_equal(batch_is_empty(batch), !*grants);
}

/* `arg`: the grants that last. */
static bool lasts(void *arg, const struct seal_head *head)
{
	return strchr(arg, head->grant[0]) != NULL;
}

static int setup(void **state)
{
	const uint8_t base_point[SEAL_KEY] = {9};
	struct place *place = calloc(1, sizeof(*place));
	*state = place;
	if (place)
		place->sealer = sealer_new(base_point, 0);
	return !place || !place->sealer;
}

static int teardown(void **state)
{
	struct place *place = *state;
	sealer_free(place->sealer);
	free(place);
	return 0;
}

static void what_is_wanted_stays_as_it_was(void **state)
{
	struct place *place = *state;
	char all[] = "ab";
	fill(place, "abab");
	assert_int_equal(batch_leave_out(&place->batch, lasts, all), 0);
	assert_int_equal(place->batch.sealed, 4);
	has(&place->batch, "abab");
}

static void what_is_not_wanted_is_left_out_wherever_it_stands(void **state)
{
	struct place *place = *state;
	static const char *const cases[][3] = {
		{"abcab", "bc", "bcb"}, {"abcab", "ac", "aca"}, {"aab", "a", "aa"}, {"baa", "a", "aa"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char which[8];
		snprintf(which, sizeof(which), "%s", cases[i][1]);
		fill(place, cases[i][0]);
		assert_int_equal(
			batch_leave_out(&place->batch, lasts, which), strlen(cases[i][0]) - strlen(cases[i][2]));
		assert_int_equal(place->batch.sealed, strlen(cases[i][2]));
		has(&place->batch, cases[i][2]);
	}
}

static void a_frame_of_nothing_else_is_empty(void **state)
{
	struct place *place = *state;
	char none[] = "";
	fill(place, "aaa");
	assert_int_equal(batch_leave_out(&place->batch, lasts, none), 3);
	has(&place->batch, "");
	assert_int_equal(batch_leave_out(&place->batch, lasts, none), 0);
}

static void of_what_was_taken_before_none_is_counted(void **state)
{
	struct place *place = *state;
	char b[] = "b";
	fill(place, "aab");
	place->batch.taken = 2;
	assert_int_equal(batch_leave_out(&place->batch, lasts, b), 1);
	assert_int_equal(place->batch.sealed, 2);
	has(&place->batch, "b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_wanted_stays_as_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_wanted_is_left_out_wherever_it_stands, setup, teardown),
		cmocka_unit_test_setup_teardown(a_frame_of_nothing_else_is_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(of_what_was_taken_before_none_is_counted, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
