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

static unsigned lines_of(int fd, const char *event)
{
	char text[8192];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	assert_true(n >= 0 && (size_t)n < sizeof(text) - 1);
	text[n] = '\0';
	unsigned count = 0;
	for (const char *at = text; (at = strstr(at, event)); at++)
		count++;
	return count;
}

static void set_limit(rlim_t octets)
{
	const struct rlimit limit = {octets, RLIM_INFINITY};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_disk_that_is_full_by_turns_is_told_of_once_a_minute(void **state)
{
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	int log = open(file_in("the.log"), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(log >= 0);
	log_setup("test", log, LOG_LEVEL_INFO);
	struct output out;
	struct error err;
	const char *path = file_in("nearly");
	assert_true(output_open(&out, &sink, path, OUTPUT_APPEND, &err));
	sink.counts = (struct sink_counts){0};
	struct rlimit old;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	char wide[6000];
	memset(wide, 'x', sizeof(wide) - 1);
	wide[sizeof(wide) - 1] = '\0';
	/* The log's own lines stay below the limit. */
	for (int i = 0; i < 10; i++) {
		set_limit(5000);
		put(&out, wide);
		output_flush(&out);
		setrlimit(RLIMIT_FSIZE, &old);
		put(&out, "fits\n");
		output_flush(&out);
	}
	assert_int_equal(sink.counts.lost_records, 10);
	assert_int_equal(sink.counts.records, 10);
	assert_int_equal(lines_of(log, "cannot write"), 1);
	assert_int_equal(lines_of(log, "writing works again"), 1);
	assert_int_equal(out.unsaid, 9);
	/* A minute later. */
	out.said_ns -= 61000000000;
	set_limit(5000);
	put(&out, wide);
	output_flush(&out);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(lines_of(log, "cannot write"), 2);
	assert_int_equal(lines_of(log, "unsaid_failures=9"), 1);
	output_close(&out);
	log_setup("test", STDERR_FILENO, LOG_LEVEL_ERROR);
	close(log);
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
		cmocka_unit_test(a_disk_that_is_full_by_turns_is_told_of_once_a_minute),
		cmocka_unit_test(a_reader_that_went_away_costs_records_only),
		cmocka_unit_test(a_key_log_holds_key_lines_only_and_is_made_private),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
