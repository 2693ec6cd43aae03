#include "keys/keylog_index.h"

#include "log_maker.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static int file_of(struct bytes text)
{
	int fd = memfd_create("key log", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text.data, text.len), text.len);
	return fd;
}

static void append(int fd, const char *text, size_t len)
{
	assert_int_equal(pwrite(fd, text, len, lseek(fd, 0, SEEK_END)), len);
}

static struct keylog_index *index_new(int fd)
{
	struct keylog_index *index = keylog_index_new(fd, 1000000);
	assert_non_null(index);
	return index;
}

static void assert_same(const struct keylog_index *index, struct bytes text, uint32_t sessions)
{
	for (uint32_t n = 0; n <= sessions; n++) {
		struct keylog_id id = made_id(n);
		struct keyset expected = {0};
		struct keyset found = {0};
		made_find(text, &id, &expected);
		assert_int_equal(keylog_index_find(index, &id, &found), expected.count);
		assert_true(made_same(&found, &expected));
		keyset_free(&expected);
		keyset_free(&found);
	}
}

static void an_index_finds_what_reading_every_line_finds(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 25; seed++) {
		struct made made = {.state = seed * 0x9e3779b97f4a7c15ULL};
		uint32_t sessions = 1 + made_random(&made, 60);
		uint32_t lines = made_random(&made, 1500);
		for (uint32_t i = 0; i < lines; i++)
			made_add_random(&made, sessions);
		/* The last line may lack its LF, and more. */
		if (made.len)
			made.len -= made_random(&made, made.len < 40 ? (uint32_t)made.len : 40);
		struct bytes text = bytes_of(made.text, made.len);
		int fd = file_of(text);
		struct keylog_index *index = index_new(fd);
		enum keylog_index_result result = keylog_index_update(index, 0, NULL, NULL);
		assert_int_equal(result, made.len ? KEYLOG_INDEX_NEW : KEYLOG_INDEX_QUIET);
		assert_int_equal(keylog_index_count(index).octets, made.len);
		assert_same(index, text, sessions);
		keylog_index_free(index);
		close(fd);
		free(made.text);
	}
}

struct told {
	uint64_t count;
	struct keylog_id last;
};

static void told(const struct keylog_id *id, void *ctx)
{
	struct told *told = ctx;
	told->count++;
	told->last = *id;
}

static void a_growing_file_is_followed_piece_by_piece(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct made made = {.state = seed * 0x9e3779b97f4a7c15ULL};
		for (int i = 0; i < 400; i++)
			made_add_random(&made, 20);
		int fd = file_of(BYTES_NONE);
		struct keylog_index *index = index_new(fd);
		struct told news = {0};
		for (size_t at = 0; at < made.len;) {
			size_t piece = made_random(&made, 3000);
			piece = piece < made.len - at ? piece : made.len - at;
			append(fd, made.text + at, piece);
			at += piece;
			enum keylog_index_result result = keylog_index_update(index, 0, told, &news);
			assert_true(result == KEYLOG_INDEX_NEW || (piece == 0 && result == KEYLOG_INDEX_QUIET));
			if (made_random(&made, 8) == 0)
				assert_same(index, bytes_of(made.text, at), 20);
		}
		assert_same(index, bytes_of(made.text, made.len), 20);
		assert_true(news.count >= keylog_index_count(index).secrets);
		keylog_index_free(index);
		close(fd);
		free(made.text);
	}
}

static void a_line_without_its_end_is_found_and_told_again_when_it_is_whole(void **state)
{
	(void)state;
	char line[512];
	size_t len = made_line(line, sizeof(line), "CLIENT_TRAFFIC_SECRET_0", 1, 1, 48);
	struct keylog_id id = made_id(1);
	struct keyset_key key;
	struct told news = {0};
	/* 16 octets are missing: what is there looks like a secret of SHA-256. */
	int fd = file_of(bytes_of(line, len - 32));
	struct keylog_index *index = index_new(fd);
	assert_int_equal(keylog_index_update(index, 0, told, &news), KEYLOG_INDEX_NEW);
	assert_int_equal(keylog_index_update(index, 0, told, &news), KEYLOG_INDEX_QUIET);
	assert_int_equal(news.count, 1);
	struct keyset cut = {0};
	assert_int_equal(keylog_index_find(index, &id, &cut), 1);
	assert_true(keyset_at(&cut, 0, &key) && key.cut && key.secret.len == 32);
	keyset_free(&cut);
	append(fd, line + len - 32, 32);
	append(fd, "\n", 1);
	assert_int_equal(keylog_index_update(index, 0, told, &news), KEYLOG_INDEX_NEW);
	assert_int_equal(news.count, 2);
	struct keyset whole = {0};
	assert_int_equal(keylog_index_find(index, &id, &whole), 1);
	assert_true(keyset_at(&whole, 0, &key) && !key.cut && key.secret.len == 48);
	keyset_free(&whole);
	assert_int_equal(keylog_index_count(index).records, 1);
	keylog_index_free(index);
	close(fd);
}

static void an_update_stops_at_its_budget_and_goes_on(void **state)
{
	(void)state;
	struct made made = {.state = 77};
	while (made.len < (size_t)700 * 1024)
		made_add_random(&made, 50);
	int fd = file_of(bytes_of(made.text, made.len));
	struct keylog_index *index = index_new(fd);
	int more = 0;
	enum keylog_index_result result;
	while ((result = keylog_index_update(index, 1, NULL, NULL)) == KEYLOG_INDEX_MORE)
		more++;
	assert_int_equal(result, KEYLOG_INDEX_NEW);
	assert_int_equal(more, 2);
	assert_same(index, bytes_of(made.text, made.len), 5);
	keylog_index_free(index);
	close(fd);
	free(made.text);
}

static void a_file_that_was_cut_or_rewritten_begins_anew(void **state)
{
	(void)state;
	char line[512];
	struct keylog_id one = made_id(1);
	struct keylog_id two = made_id(2);
	struct keyset set = {0};
	size_t len = made_line(line, sizeof(line) - 1, "CLIENT_RANDOM", 1, 1, 48);
	line[len++] = '\n';
	int fd = file_of(bytes_of(line, len));
	struct keylog_index *index = index_new(fd);
	assert_int_equal(keylog_index_update(index, 0, NULL, NULL), KEYLOG_INDEX_NEW);
	/* Cut to nothing, then written longer than it was before anyone looked. */
	len = made_line(line, sizeof(line) - 1, "CLIENT_RANDOM", 2, 1, 48);
	line[len++] = '\n';
	assert_int_equal(ftruncate(fd, 0), 0);
	append(fd, line, len);
	append(fd, "# more\n", 7);
	assert_int_equal(keylog_index_update(index, 0, NULL, NULL), KEYLOG_INDEX_TRUNCATED);
	assert_int_equal(keylog_index_update(index, 0, NULL, NULL), KEYLOG_INDEX_NEW);
	assert_int_equal(keylog_index_find(index, &one, &set), 0);
	assert_int_equal(keylog_index_find(index, &two, &set), 1);
	keyset_free(&set);
	assert_int_equal(ftruncate(fd, 10), 0);
	/* Nothing wrong is found meanwhile. */
	assert_int_equal(keylog_index_find(index, &two, &set), 0);
	assert_int_equal(keylog_index_update(index, 0, NULL, NULL), KEYLOG_INDEX_TRUNCATED);
	assert_int_equal(keylog_index_count(index).records, 0);
	keylog_index_free(index);
	close(fd);
}

static void a_session_may_be_scattered_over_the_whole_file(void **state)
{
	(void)state;
	struct made made = {.state = 5};
	char line[512];
	for (uint32_t i = 0; i < 600; i++) {
		for (uint32_t n = 0; n < 12; n++) {
			char label[64];
			(void)snprintf(label, sizeof(label), "CLIENT_TRAFFIC_SECRET_%u", i);
			made_add(&made, line, made_line(line, sizeof(line), label, n, i * 31 + n, 32));
			made_add(&made, "\n", 1);
		}
	}
	int fd = file_of(bytes_of(made.text, made.len));
	struct keylog_index *index = index_new(fd);
	assert_int_equal(keylog_index_update(index, 0, NULL, NULL), KEYLOG_INDEX_NEW);
	assert_same(index, bytes_of(made.text, made.len), 12);
	assert_int_equal(keylog_index_count(index).records, 12 * 120);
	keylog_index_free(index);
	close(fd);
	free(made.text);
}

/*
 * A block that begins in the middle of "PMS_CLIENT_RANDOM ..." begins with what looks like another label; one that begins
 * with a line begins with that line.
 */
static void no_part_of_a_line_is_taken_for_a_line(void **state)
{
	(void)state;
	for (size_t before = 1; before <= 5; before++) {
		struct made made = {.state = 1};
		struct keylog_id id = made_id(7);
		struct keyset set = {0};
		struct bytes secret;
		char line[512];
		/* Blocks next to each other are read together, but not any number of them. */
		for (size_t block = 1; block <= 4; block++) {
			made_add(&made, line, made_line(line, sizeof(line), "EARLY_EXPORTER_SECRET", 7, 1, 32));
			made_add(&made, "\n", 1);
			while (made.len + 1 < block * KEYLOG_BLOCK + 1 - before)
				made_add(&made, "#", 1);
			made_add(&made, "\n", 1);
		}
		made_add(&made, line, made_line(line, sizeof(line), "PMS_CLIENT_RANDOM", 7, 1, 48));
		made_add(&made, "\n", 1);
		made_add(&made, line, made_line(line, sizeof(line), "EXPORTER_SECRET", 7, 1, 32));
		made_add(&made, "\n", 1);
		int fd = file_of(bytes_of(made.text, made.len));
		struct keylog_index *index = index_new(fd);
		assert_int_equal(keylog_index_update(index, 0, NULL, NULL), KEYLOG_INDEX_NEW);
		assert_int_equal(keylog_index_find(index, &id, &set), 3);
		assert_true(keyset_get(&set, KEYLOG_PREMASTER, 0, 0, &secret));
		assert_false(keyset_get(&set, KEYLOG_MASTER, 0, 0, &secret));
		keyset_free(&set);
		keylog_index_free(index);
		close(fd);
		free(made.text);
	}
}

static void an_index_takes_no_more_records_than_it_may(void **state)
{
	(void)state;
	struct made made = {.state = 5};
	char line[512];
	struct keyset set = {0};
	for (uint32_t n = 0; n < 100; n++) {
		made_add(&made, line, made_line(line, sizeof(line), "CLIENT_RANDOM", n, n, 48));
		made_add(&made, "\n", 1);
	}
	int fd = file_of(bytes_of(made.text, made.len));
	struct keylog_index *index = keylog_index_new(fd, 60);
	assert_non_null(index);
	assert_int_equal(keylog_index_update(index, 0, NULL, NULL), KEYLOG_INDEX_NEW);
	assert_int_equal(keylog_index_count(index).records, 60);
	assert_int_equal(keylog_index_count(index).refused, 40);
	struct keylog_id first = made_id(0);
	struct keylog_id last = made_id(99);
	assert_int_equal(keylog_index_find(index, &first, &set), 1);
	assert_int_equal(keylog_index_find(index, &last, &set), 0);
	keyset_free(&set);
	keylog_index_free(index);
	close(fd);
	free(made.text);
}

/* Lines come five for a session, each in another part of the file: the worst that the bound is promised for. */
static void a_session_takes_at_most_32_octets(void **state)
{
	(void)state;
	static const char *const labels[] = {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET",
		"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0", "EXPORTER_SECRET"};
	const uint32_t sessions = 30000;
	struct made made = {.state = 5};
	char line[512];
	for (size_t l = 0; l < 5; l++) {
		for (uint32_t n = 0; n < sessions; n++) {
			made_add(&made, line, made_line(line, sizeof(line), labels[l], n, n, 32));
			made_add(&made, "\n", 1);
		}
	}
	int fd = file_of(bytes_of(made.text, made.len));
	struct keylog_index *index = index_new(fd);
	assert_int_equal(keylog_index_update(index, 0, NULL, NULL), KEYLOG_INDEX_NEW);
	struct keylog_index_counts counts = keylog_index_count(index);
	assert_int_equal(counts.records, sessions);
	/* The last chunk of each shard may be filled in part: what a session costs is the rest. */
	assert_true(counts.memory <= (uint64_t)sessions * 32 + (uint64_t)64 * 128 * 24 + 8192);
	for (uint32_t n = 0; n < sessions; n += 997) {
		struct keylog_id id = made_id(n);
		struct keyset set = {0};
		assert_int_equal(keylog_index_find(index, &id, &set), 5);
		keyset_free(&set);
	}
	keylog_index_free(index);
	close(fd);
	free(made.text);
}

struct visits {
	size_t count, stop_after;
};

static bool visit(const struct keylog_line *line, void *ctx)
{
	struct visits *visits = ctx;
	assert_true(line->secret_hex.len >= 64);
	return ++visits->count % visits->stop_after != 0;
}

static void every_secret_is_shown_once_also_with_stops(void **state)
{
	(void)state;
	struct made made = {.state = 99};
	for (int i = 0; i < 5000; i++)
		made_add_random(&made, 100);
	int fd = file_of(bytes_of(made.text, made.len));
	struct keylog_index *index = index_new(fd);
	assert_int_equal(keylog_index_update(index, 0, NULL, NULL), KEYLOG_INDEX_NEW);
	for (size_t stop = 1; stop < 5000; stop *= 7) {
		struct visits visits = {.stop_after = stop};
		uint64_t at = 0;
		size_t stops = 0;
		while (keylog_index_each(index, &at, visit, &visits))
			stops++;
		assert_int_equal(visits.count, keylog_index_count(index).secrets);
		assert_int_equal(stops, visits.count / stop);
	}
	keylog_index_free(index);
	close(fd);
	free(made.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_index_finds_what_reading_every_line_finds),
		cmocka_unit_test(a_growing_file_is_followed_piece_by_piece),
		cmocka_unit_test(a_line_without_its_end_is_found_and_told_again_when_it_is_whole),
		cmocka_unit_test(an_update_stops_at_its_budget_and_goes_on),
		cmocka_unit_test(a_file_that_was_cut_or_rewritten_begins_anew),
		cmocka_unit_test(a_session_may_be_scattered_over_the_whole_file),
		cmocka_unit_test(no_part_of_a_line_is_taken_for_a_line),
		cmocka_unit_test(an_index_takes_no_more_records_than_it_may),
		cmocka_unit_test(a_session_takes_at_most_32_octets),
		cmocka_unit_test(every_secret_is_shown_once_also_with_stops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
