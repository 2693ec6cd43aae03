#include "sink/output.h"

#include "base/log.h"
#include "flows.h"
#include "sink/keylog.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct sink sink = {.name = "test"};

static void put(struct output *out, const char *text)
{
	uint8_t *room = output_room(out, strlen(text));
	assert_non_null(room);
	memcpy(room, text, strlen(text));
	output_commit(out, strlen(text));
}

static void holds(const char *path, const char *expected)
{
	size_t len;
	char *all = slurp(path, &len);
	assert_string_equal(all, expected);
	free(all);
}

static unsigned mode_of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 0777;
}

static void files_are_private_and_appended_to(void **state)
{
	(void)state;
	struct output out;
	struct error err;
	const char *path = file_in("append");
	for (int i = 0; i < 2; i++) {
		assert_true(output_open(&out, &sink, path, OUTPUT_APPEND, &err));
		put(&out, "line\n");
		output_close(&out);
	}
	holds(path, "line\nline\n");
	assert_int_equal(mode_of(path), 0600);
	assert_true(output_open(&out, &sink, path, OUTPUT_REPLACE, &err));
	put(&out, "new\n");
	output_close(&out);
	holds(path, "new\n");
	assert_false(output_open(&out, &sink, file_in("no/such"), OUTPUT_APPEND, &err));
	assert_non_null(strstr(err.text, "no/such"));
	assert_false(output_open(&out, &sink, folder(), OUTPUT_APPEND, &err));
}

static void a_file_moved_away_is_opened_anew_by_name(void **state)
{
	(void)state;
	struct output out;
	struct error err;
	bool fresh = true;
	const char *path = file_in("log");
	const char *moved = file_in("log.1");
	assert_true(output_open(&out, &sink, path, OUTPUT_APPEND, &err));
	put(&out, "one\n");
	assert_true(output_reopen(&out, OUTPUT_APPEND, &fresh, &err));
	assert_false(fresh);
	assert_int_equal(rename(path, moved), 0);
	put(&out, "two\n");
	assert_true(output_reopen(&out, OUTPUT_APPEND, &fresh, &err));
	assert_true(fresh);
	put(&out, "three\n");
	output_close(&out);
	holds(moved, "one\ntwo\n");
	holds(path, "three\n");
}

/* A limit on the file's size stands for the full disk. */
static void a_full_disk_costs_records_and_leaves_whole_ones(void **state)
{
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	log_setup("test", open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR);
	struct output out;
	struct error err;
	const char *path = file_in("full");
	assert_true(output_open(&out, &sink, path, OUTPUT_APPEND, &err));
	put(&out, "kept\n");
	output_flush(&out);
	struct rlimit old;
	struct rlimit tight = {10, RLIM_INFINITY};
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	sink.counts = (struct sink_counts){0};
	put(&out, "lost 1\n");
	put(&out, "lost 2\n");
	output_flush(&out);
	assert_int_equal(sink.counts.lost_records, 2);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	put(&out, "again\n");
	output_close(&out);
	assert_int_equal(sink.counts.records, 1);
	holds(path, "kept\nagain\n");
}

static void a_reader_that_went_away_costs_records_only(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	int fds[2];
	struct output out;
	assert_int_equal(pipe(fds), 0);
	assert_true(output_to(&out, &sink, fds[1]));
	close(fds[0]);
	sink.counts = (struct sink_counts){0};
	put(&out, "x");
	output_flush(&out);
	assert_int_equal(sink.counts.lost_records, 1);
	assert_null(output_room(&out, OUTPUT_CAP + 1));
	assert_int_equal(sink.counts.lost_records, 2);
	output_close(&out);
	close(fds[1]);
}

static void keylog(struct sink *log, const char *line)
{
	struct event event = {.kind = EVENT_KEYLOG, .keylog = {bytes_str(line)}};
	log->ops->event(log, NULL, &event);
}

static void a_key_log_holds_key_lines_only_and_is_made_private(void **state)
{
	(void)state;
	const char *path = file_in("keys");
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0644), 0);
	close(fd);
	struct error err;
	struct sink *log = keylog_new(path, &err);
	assert_non_null(log);
	assert_int_equal(mode_of(path), 0600);
	keylog(log, "CLIENT_RANDOM 00ff 11AA");
	keylog(log, "SERVER_TRAFFIC_SECRET_0 00ff 11aa");
	keylog(log, "CLIENT_RANDOM 00ff");
	keylog(log, "CLIENT_RANDOM 00ff 11aa 22");
	keylog(log, "CLIENT_RANDOM 00ff 11\nX");
	keylog(log, "# 00 11");
	keylog(log, "");
	assert_int_equal(log->counts.lost_records, 5);
	log->ops->close(log);
	holds(path, "CLIENT_RANDOM 00ff 11AA\nSERVER_TRAFFIC_SECRET_0 00ff 11aa\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_private_and_appended_to),
		cmocka_unit_test(a_file_moved_away_is_opened_anew_by_name),
		cmocka_unit_test(a_full_disk_costs_records_and_leaves_whole_ones),
		cmocka_unit_test(a_reader_that_went_away_costs_records_only),
		cmocka_unit_test(a_key_log_holds_key_lines_only_and_is_made_private),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
