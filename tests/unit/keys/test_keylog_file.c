#include "keys/keylog_file.h"

#include "log_maker.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char folder[64], log[128], other[128];
	struct keystore *store;
	struct error err;
};

static int place_make(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	if (!place)
		return -1;
	(void)snprintf(place->folder, sizeof(place->folder), "/tmp/overt-keylog-XXXXXX");
	if (!mkdtemp(place->folder))
		return -1;
	(void)snprintf(place->log, sizeof(place->log), "%s/keys", place->folder);
	(void)snprintf(place->other, sizeof(place->other), "%s/keys.1", place->folder);
	place->store = keystore_new(1);
	*state = place;
	return place->store ? 0 : -1;
}

static int place_clear(void **state)
{
	struct place *place = *state;
	(void)unlink(place->log);
	(void)unlink(place->other);
	(void)rmdir(place->folder);
	keystore_free(place->store);
	free(place);
	return 0;
}

/* A line of session `n` at the end of the file. */
static void write_line(int fd, uint32_t n)
{
	char line[256];
	size_t len = made_line(line, sizeof(line) - 1, "CLIENT_RANDOM", n, n, 48);
	line[len++] = '\n';
	assert_int_equal(write(fd, line, len), len);
}

static int log_new(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

static struct keylog_file *follow(struct place *place)
{
	struct keylog_file *file = keylog_file_open(place->log, true, 1000, place->store, &place->err);
	if (!file)
		fail_msg("%s", place->err.text);
	return file;
}

static size_t found(const struct keylog_file *file, uint32_t n)
{
	struct keyset set = {0};
	struct keylog_id id = made_id(n);
	size_t count = keylog_file_find(file, &id, &set);
	keyset_free(&set);
	return count;
}

static enum keylog_file_result update(struct keylog_file *file)
{
	struct error err = {{0}};
	enum keylog_file_result result = keylog_file_update(file, 0, NULL, NULL, &err);
	if (result == KEYLOG_FILE_FAILED)
		fail_msg("%s", err.text);
	return result;
}

/* The kernel queues the event within the call that causes it. */
static bool readable(const struct keylog_file *file)
{
	struct pollfd poller = {.fd = keylog_file_fd(file), .events = POLLIN};
	return poll(&poller, 1, 0) == 1;
}

static void a_growing_file_wakes_its_reader(void **state)
{
	struct place *place = *state;
	int fd = log_new(place->log);
	write_line(fd, 1);
	struct keylog_file *file = follow(place);
	assert_int_equal(update(file), KEYLOG_FILE_NEW);
	assert_int_equal(found(file, 1), 1);
	assert_int_equal(update(file), KEYLOG_FILE_QUIET);
	assert_false(readable(file));
	write_line(fd, 2);
	assert_true(readable(file));
	assert_int_equal(update(file), KEYLOG_FILE_NEW);
	assert_false(readable(file));
	assert_int_equal(found(file, 2), 1);
	keylog_file_free(file);
	close(fd);
}

static void a_file_may_come_later(void **state)
{
	struct place *place = *state;
	struct keylog_file *file = follow(place);
	assert_int_equal(update(file), KEYLOG_FILE_QUIET);
	int fd = log_new(place->log);
	write_line(fd, 1);
	assert_true(readable(file));
	assert_int_equal(update(file), KEYLOG_FILE_NEW);
	assert_int_equal(found(file, 1), 1);
	assert_int_equal(keylog_file_count(file).replaced, 0);
	write_line(fd, 2);
	assert_true(readable(file));
	keylog_file_free(file);
	close(fd);
	/* Not where nobody waits for it, and not where it cannot come. */
	(void)unlink(place->log);
	assert_null(keylog_file_open(place->log, false, 1000, place->store, &place->err));
	assert_non_null(strstr(place->err.text, place->log));
	assert_null(keylog_file_open("/nowhere/at/all", true, 1000, place->store, &place->err));
	assert_null(keylog_file_open(place->folder, true, 1000, place->store, &place->err));
}

static void a_renamed_file_is_read_on_beside_the_new_one(void **state)
{
	struct place *place = *state;
	int old = log_new(place->log);
	write_line(old, 1);
	struct keylog_file *file = follow(place);
	assert_int_equal(update(file), KEYLOG_FILE_NEW);
	write_line(old, 2);
	assert_int_equal(rename(place->log, place->other), 0);
	int new = log_new(place->log);
	write_line(new, 3);
	assert_true(readable(file));
	assert_int_equal(update(file), KEYLOG_FILE_NEW);
	/* Its writer has not heard of the rotation. */
	write_line(old, 4);
	assert_true(readable(file));
	assert_int_equal(update(file), KEYLOG_FILE_NEW);
	for (uint32_t n = 1; n <= 4; n++)
		assert_int_equal(found(file, n), 1);
	assert_int_equal(keylog_file_count(file).replaced, 1);
	assert_int_equal(keylog_file_count(file).index.secrets, 4);
	keylog_file_free(file);
	close(old);
	close(new);
}

static void a_file_cut_in_place_is_read_from_its_beginning(void **state)
{
	struct place *place = *state;
	int fd = log_new(place->log);
	write_line(fd, 1);
	write_line(fd, 2);
	struct keylog_file *file = follow(place);
	assert_int_equal(update(file), KEYLOG_FILE_NEW);
	assert_int_equal(ftruncate(fd, 0), 0);
	write_line(fd, 3);
	assert_int_equal(update(file), KEYLOG_FILE_NEW);
	assert_int_equal(found(file, 1), 0);
	assert_int_equal(found(file, 3), 1);
	assert_int_equal(keylog_file_count(file).truncated, 1);
	keylog_file_free(file);
	close(fd);
}

static void only_so_many_old_files_stay_open(void **state)
{
	struct place *place = *state;
	int fd = log_new(place->log);
	write_line(fd, 0);
	struct keylog_file *file = follow(place);
	assert_int_equal(update(file), KEYLOG_FILE_NEW);
	for (uint32_t n = 1; n <= 10; n++) {
		close(fd);
		assert_int_equal(rename(place->log, place->other), 0);
		fd = log_new(place->log);
		write_line(fd, n);
		assert_int_equal(update(file), KEYLOG_FILE_NEW);
	}
	struct keylog_file_counts counts = keylog_file_count(file);
	assert_int_equal(counts.replaced, 10);
	assert_int_equal(counts.forgotten, 10 - KEYLOG_FILE_OLD);
	for (uint32_t n = 0; n <= 10; n++)
		assert_int_equal(found(file, n), n >= 10 - KEYLOG_FILE_OLD);
	keylog_file_free(file);
	close(fd);
}

/* Pieces of a log are written, the file is renamed or cut, and whoever reads it knows at each point what is right. */
static void growth_and_rotation_at_random_lose_nothing(void **state)
{
	struct place *place = *state;
	struct made made = {.state = 20};
	uint32_t written = 0;
	uint32_t oldest = 0;
	uint32_t begun[KEYLOG_FILE_OLD + 1] = {0};
	int fd = log_new(place->log);
	struct keylog_file *file = follow(place);
	for (int step = 0; step < 400; step++) {
		uint32_t lines = made_random(&made, 4);
		for (uint32_t i = 0; i < lines; i++)
			write_line(fd, written++);
		uint32_t what = made_random(&made, 20);
		if (what == 0) {
			(void)update(file);
			close(fd);
			assert_int_equal(rename(place->log, place->other), 0);
			fd = log_new(place->log);
			(void)update(file);
			oldest = begun[1];
			memmove(begun, begun + 1, sizeof(begun) - sizeof(begun[0]));
			begun[KEYLOG_FILE_OLD] = written;
		}
		if (what < 10)
			(void)update(file);
	}
	(void)update(file);
	for (uint32_t n = 0; n < written; n++)
		assert_int_equal(found(file, n), n >= oldest);
	assert_true(oldest > 0 && written > oldest);
	keylog_file_free(file);
	close(fd);
}

static void count_told(const struct keylog_id *id, void *ctx)
{
	(void)id;
	++*(size_t *)ctx;
}

static void a_fifo_is_read_into_the_store_and_outlives_its_writers(void **state)
{
	struct place *place = *state;
	struct error err = {{0}};
	size_t told = 0;
	assert_int_equal(mkfifo(place->log, 0600), 0);
	struct keylog_file *file = follow(place);
	assert_int_equal(keylog_file_update(file, 0, count_told, &told, &err), KEYLOG_FILE_QUIET);
	assert_false(readable(file));
	for (uint32_t n = 1; n <= 3; n++) {
		char line[256];
		struct keyset set = {0};
		struct keylog_id id = made_id(n);
		int fd = open(place->log, O_WRONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		/* In two pieces; the last writer leaves without a line end. */
		size_t len = made_line(line, sizeof(line) - 1, "CLIENT_RANDOM", n, n, 48);
		line[len] = '\n';
		assert_int_equal(write(fd, line, 20), 20);
		assert_true(readable(file));
		assert_int_equal(keylog_file_update(file, 0, count_told, &told, &err), KEYLOG_FILE_NEW);
		assert_int_equal(write(fd, line + 20, len - 20 + (n < 3)), len - 20 + (n < 3));
		close(fd);
		assert_int_equal(keylog_file_update(file, 0, count_told, &told, &err), KEYLOG_FILE_NEW);
		assert_int_equal(told, n);
		assert_int_equal(keystore_gather(place->store, &id, &set), 1);
		keyset_free(&set);
		/* Nobody writes, and nothing wakes. */
		assert_int_equal(keylog_file_update(file, 0, count_told, &told, &err), KEYLOG_FILE_QUIET);
		assert_false(readable(file));
	}
	keylog_file_free(file);
}

static void a_pipe_that_is_not_followed_ends(void **state)
{
	struct place *place = *state;
	int ends[2];
	char path[64];
	struct keylog_id id = made_id(1);
	struct keyset set = {0};
	assert_int_equal(pipe(ends), 0);
	(void)snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
	struct keylog_file *file = keylog_file_open(path, false, 1000, place->store, &place->err);
	assert_non_null(file);
	assert_true(keylog_file_fd(file) >= 0);
	write_line(ends[1], 1);
	close(ends[1]);
	assert_int_equal(update(file), KEYLOG_FILE_NEW);
	assert_int_equal(keylog_file_fd(file), -1);
	assert_int_equal(update(file), KEYLOG_FILE_QUIET);
	assert_int_equal(keystore_gather(place->store, &id, &set), 1);
	keyset_free(&set);
	keylog_file_free(file);
	close(ends[0]);
}

static bool count_lines(const struct keylog_line *line, void *ctx)
{
	(void)line;
	return ++*(size_t *)ctx % 3 != 0;
}

static void lines_of_all_files_of_the_name_are_shown(void **state)
{
	struct place *place = *state;
	int fd = log_new(place->log);
	for (uint32_t n = 0; n < 10; n++)
		write_line(fd, n);
	close(fd);
	struct keylog_file *file = follow(place);
	assert_int_equal(update(file), KEYLOG_FILE_NEW);
	assert_int_equal(rename(place->log, place->other), 0);
	fd = log_new(place->log);
	for (uint32_t n = 10; n < 17; n++)
		write_line(fd, n);
	close(fd);
	assert_int_equal(update(file), KEYLOG_FILE_NEW);
	uint64_t at = 0;
	size_t count = 0;
	size_t stops = 0;
	while (keylog_file_each(file, &at, count_lines, &count))
		stops++;
	assert_int_equal(count, 17);
	assert_int_equal(stops, 5);
	keylog_file_free(file);
}

#define place_test(function) cmocka_unit_test_setup_teardown(function, place_make, place_clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		place_test(a_growing_file_wakes_its_reader),
		place_test(a_file_may_come_later),
		place_test(a_renamed_file_is_read_on_beside_the_new_one),
		place_test(a_file_cut_in_place_is_read_from_its_beginning),
		place_test(only_so_many_old_files_stay_open),
		place_test(growth_and_rotation_at_random_lose_nothing),
		place_test(a_fifo_is_read_into_the_store_and_outlives_its_writers),
		place_test(a_pipe_that_is_not_followed_ends),
		place_test(lines_of_all_files_of_the_name_are_shown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
