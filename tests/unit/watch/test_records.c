/* Records out of octets that are cut anywhere, with losses anywhere. */
#include "draw.h"

#include "watch/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define RECORDS   40
#define STREAM    ((size_t)RECORDS * 20000)
#define GAP_TRIES 400

/* A stream of records whose contents tell which record they are of. */
struct stream {
	uint8_t octets[STREAM];
	size_t len;
	size_t at[RECORDS + 1]; /* where each begins */
};

static struct stream stream;

static void make_stream(uint64_t *seed)
{
	struct writer w = writer_over(stream.octets, sizeof(stream.octets));
	for (size_t i = 0; i < RECORDS; i++) {
		static uint8_t content[RECORD_MAX_TLS13];
		size_t len = draw(seed, 3) ? 1 + draw(seed, 600) : 1 + draw(seed, RECORD_MAX_TLS13);
		for (size_t at = 0; at < len; at++)
			content[at] = (uint8_t)draw(seed, 256);
		content[0] = (uint8_t)i;
		stream.at[i] = w.len;
		writer_u8(&w, RECORD_APPLICATION_DATA);
		writer_u16(&w, 0x0303);
		writer_vec16(&w, bytes_of(content, len));
	}
	assert_false(w.full);
	stream.len = stream.at[RECORDS] = w.len;
}

struct seen {
	bool record[RECORDS];
	uint64_t octets, lost;
	unsigned broken, records;
};

static void take(struct framer_pool *pool, struct framer *f, struct framer_turn turn, struct seen *seen)
{
	struct stretch stretch;
	while (framer_next(pool, f, &turn, &stretch)) {
		uint64_t at = seen->octets;
		seen->octets += stretch.octets;
		if (stretch.kind == STRETCH_LOST)
			seen->lost += stretch.octets;
		if (stretch.kind == STRETCH_BROKEN)
			seen->broken++;
		if (stretch.kind != STRETCH_RECORD)
			continue;
		uint8_t i = stretch.record.fragment.data[0];
		assert_true(i < RECORDS);
		assert_int_equal(at, stream.at[i]);
		assert_int_equal(stretch.octets, stream.at[i + 1] - stream.at[i]);
		assert_memory_equal(
			stretch.record.fragment.data, stream.octets + at + RECORD_HEADER, stretch.record.fragment.len);
		seen->record[i] = true;
		seen->records++;
	}
}

static void give(struct framer_pool *pool, struct framer *f, size_t from, size_t to, uint64_t *seed, struct seen *seen)
{
	size_t most = 1 + draw(seed, draw(seed, 2) ? 1500 : 30000);
	while (from < to) {
		size_t n = 1 + draw(seed, most);
		if (n > to - from)
			n = to - from;
		/* A copy of exact size, so that a sanitizer sees every octet read beyond. */
		uint8_t *copy = malloc(n);
		assert_non_null(copy);
		memcpy(copy, stream.octets + from, n);
		take(pool, f, framer_data(bytes_of(copy, n)), seen);
		free(copy);
		from += n;
	}
}

static void every_record_comes_out_however_it_is_cut(void **state)
{
	uint64_t seed = 1;
	(void)state;
	for (int i = 0; i < 60; i++) {
		struct framer_pool pool = {.cap = (size_t)1 << 20};
		struct framer f;
		struct seen seen = {0};
		make_stream(&seed);
		framer_init(&f, true);
		give(&pool, &f, 0, stream.len, &seed, &seen);
		take(&pool, &f, framer_end(), &seen);
		assert_int_equal(seen.records, RECORDS);
		assert_int_equal(seen.octets, stream.len);
		assert_int_equal(pool.used, 0);
		framer_free(&pool, &f);
		framer_pool_free(&pool);
	}
}

static void one_octet_at_a_time_is_enough(void **state)
{
	uint64_t seed = 2;
	struct framer_pool pool = {.cap = (size_t)1 << 20};
	struct framer f;
	struct seen seen = {0};
	(void)state;
	make_stream(&seed);
	framer_init(&f, true);
	for (size_t i = 0; i < stream.len; i++)
		take(&pool, &f, framer_data(bytes_of(stream.octets + i, 1)), &seen);
	assert_int_equal(seen.records, RECORDS);
	framer_free(&pool, &f);
	framer_pool_free(&pool);
}

/* Which records a loss of [from, to) touches. */
static unsigned touched(size_t from, size_t to)
{
	unsigned count = 0;
	for (size_t i = 0; i < RECORDS; i++)
		count += stream.at[i] < to && stream.at[i + 1] > from;
	return count;
}

static void a_loss_takes_only_the_records_it_touches(void **state)
{
	uint64_t seed = 3;
	unsigned followed = 0;
	(void)state;
	for (int i = 0; i < GAP_TRIES; i++) {
		struct framer_pool pool = {.cap = (size_t)1 << 20};
		struct framer f;
		struct seen seen = {0};
		if (i % 20 == 0)
			make_stream(&seed);
		size_t from = draw(&seed, stream.len - 1), n = 1 + draw(&seed, draw(&seed, 2) ? 3000 : 60000);
		if (n > stream.len - from)
			n = stream.len - from;
		framer_init(&f, true);
		f.tls13 = draw(&seed, 2);
		give(&pool, &f, 0, from, &seed, &seen);
		take(&pool, &f, framer_gap(n), &seen);
		give(&pool, &f, from + n, stream.len, &seed, &seen);
		take(&pool, &f, framer_end(), &seen);
		assert_int_equal(seen.octets, stream.len);
		/* Where the last record's end is missing nothing confirms the one before; it comes at the end all the same. */
		assert_int_equal(seen.records, RECORDS - touched(from, from + n));
		followed += seen.broken;
		framer_free(&pool, &f);
		assert_int_equal(pool.used, 0);
		framer_pool_free(&pool);
	}
	assert_true(followed > 10);
}

static void a_capture_may_begin_anywhere(void **state)
{
	uint64_t seed = 4;
	(void)state;
	for (int i = 0; i < 60; i++) {
		struct framer_pool pool = {.cap = (size_t)1 << 20};
		struct framer f;
		make_stream(&seed);
		size_t from = draw(&seed, stream.len / 2);
		struct seen seen = {.octets = from};
		framer_init(&f, false);
		give(&pool, &f, from, stream.len, &seed, &seen);
		take(&pool, &f, framer_end(), &seen);
		assert_int_equal(seen.records, RECORDS - touched(0, from));
		framer_free(&pool, &f);
		framer_pool_free(&pool);
	}
}

static void without_room_a_record_is_lost_and_the_next_is_found(void **state)
{
	uint64_t seed = 5;
	struct framer_pool pool = {.cap = 4096};
	struct framer f;
	struct seen seen = {0};
	(void)state;
	make_stream(&seed);
	framer_init(&f, true);
	give(&pool, &f, 0, stream.len, &seed, &seen);
	take(&pool, &f, framer_end(), &seen);
	assert_int_equal(seen.octets, stream.len);
	assert_int_equal(seen.records + seen.broken, RECORDS);
	assert_true(seen.broken > 0 && pool.denied >= seen.broken);
	framer_free(&pool, &f);
	framer_pool_free(&pool);
}

static void octets_that_are_no_tls_end_it(void **state)
{
	static uint8_t text[FRAMER_PREAMBLE + 100];
	struct framer_pool pool = {.cap = (size_t)1 << 20};
	(void)state;
	memset(text, 'a', sizeof(text));
	for (int cut = 0; cut < 2; cut++) {
		struct framer f;
		struct stretch stretch;
		struct framer_turn turn = framer_data(bytes_of(text, cut ? 100 : sizeof(text)));
		framer_init(&f, true);
		if (cut) {
			assert_false(framer_next(&pool, &f, &turn, &stretch));
			turn = framer_end();
		}
		assert_true(framer_next(&pool, &f, &turn, &stretch));
		assert_int_equal(stretch.kind, STRETCH_NOT_TLS);
		assert_int_equal(stretch.octets, cut ? 100 : sizeof(text));
		turn = framer_data(bytes_of(text, 100));
		assert_false(framer_next(&pool, &f, &turn, &stretch));
		framer_free(&pool, &f);
	}
	framer_pool_free(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_record_comes_out_however_it_is_cut),
		cmocka_unit_test(one_octet_at_a_time_is_enough),
		cmocka_unit_test(a_loss_takes_only_the_records_it_touches),
		cmocka_unit_test(a_capture_may_begin_anywhere),
		cmocka_unit_test(without_room_a_record_is_lost_and_the_next_is_found),
		cmocka_unit_test(octets_that_are_no_tls_end_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
