#include "audit/log.h"
#include "audit/verify.h"
#include "base/clock.h"

#include <dirent.h>
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

static char root[64], path[96], head[112], spare[112], folder[96];
static struct loop *loop;
static struct error err;

static int set_up(void **state)
{
	(void)state;
	/* Thousands of syncs: in memory where that can be had. */
	snprintf(root, sizeof(root), "%s/overt-audit-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/audit.log", root);
	snprintf(head, sizeof(head), "%s.head", path);
	snprintf(spare, sizeof(spare), "%s.spare", path);
	snprintf(folder, sizeof(folder), "%s/openings", root);
	loop = loop_new();
	assert_non_null(loop);
	return 0;
}

static void empty_folder(const char *name)
{
	char file[512];
	DIR *dir = opendir(name);
	if (!dir)
		return;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		snprintf(file, sizeof(file), "%s/%s", name, entry->d_name);
		unlink(file);
	}
	closedir(dir);
	rmdir(name);
}

static int tear_down(void **state)
{
	(void)state;
	loop_free(loop);
	empty_folder(folder);
	empty_folder(root);
	return 0;
}

/* What the log said last. */
static char told[600];
static int tellings;

static void state_changed(const char *reason, void *ctx)
{
	(void)ctx;
	snprintf(told, sizeof(told), "%s", reason ? reason : "open");
	tellings++;
	loop_stop(loop);
}

static struct audit_log *open_log(void)
{
	struct audit_options options = {.path = path,
		.openings = folder,
		.retention_ns = 3600 * NS_PER_S,
		.commit_ms = 1,
		.retry_ms = 1,
		.queue_cap = 65536};
	told[0] = '\0';
	tellings = 0;
	return audit_log_new(loop, &options, state_changed, NULL, &err);
}

static enum audit_result append(struct audit_log *log, uint64_t flow, uint64_t *seq)
{
	struct audit_entry entry = {.kind = AUDIT_INSPECTED};
	audit_entry_add(&entry, AUDIT_N("flow", flow));
	audit_entry_add(&entry, AUDIT_C("name", bytes_str("secret.example")));
	audit_entry_add(&entry, AUDIT_T("rule", bytes_str("default")));
	return audit_append(log, &entry, clock_wall_ns(), seq);
}

/* A closed log of `count` entries. */
static void write_log(unsigned count)
{
	uint64_t seq;
	struct audit_log *log = open_log();
	assert_non_null(log);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(append(log, i, &seq), AUDIT_QUEUED);
	audit_log_free(log);
}

static uint8_t content[1 << 20];

static size_t read_whole(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, content, sizeof(content));
	close(fd);
	return n < 0 ? 0 : (size_t)n;
}

static void write_whole(const char *name, const uint8_t *data, size_t len)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static void the_chain_goes_on_over_restarts(void **state)
{
	(void)state;
	struct audit_report report;
	write_log(3);
	write_log(2);
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_INTACT);
	assert_int_equal(report.last.seq, 5);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(report.last.offset, st.st_size);
}

static void names_stand_in_the_log_as_commitments_and_in_the_openings_as_they_are(void **state)
{
	(void)state;
	write_log(2);
	struct bytes log = bytes_of(content, read_whole(path));
	assert_null(memmem(log.data, log.len, "secret.example", 14));
	assert_non_null(memmem(log.data, log.len, "\"name\":\"", 8));
	DIR *dir = opendir(folder);
	assert_non_null(dir);
	char file[512] = "";
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (entry->d_name[0] != '.')
			snprintf(file, sizeof(file), "%s/%s", folder, entry->d_name);
	}
	closedir(dir);
	size_t len = read_whole(file);
	assert_non_null(memmem(content, len, "\"value\":\"secret.example\"", 24));
}

/* Runs the loop until `holds`, a look per millisecond; fails after ten seconds. */
struct look {
	struct loop_timer timer;
	bool (*holds)(struct audit_log *log);
	struct audit_log *log;
	uint64_t end_ns;
};

static void look_again(struct loop_timer *timer)
{
	struct look *look = (struct look *)(void *)timer;
	if (look->holds(look->log) || clock_monotonic_ns() > look->end_ns)
		loop_stop(loop);
	else
		loop_timer_set(loop, timer, clock_monotonic_ns() + NS_PER_MS, look_again);
}

static void run_until(bool (*holds)(struct audit_log *log), struct audit_log *log)
{
	struct look look = {.holds = holds, .log = log, .end_ns = clock_monotonic_ns() + 10 * NS_PER_S};
	while (!holds(log) && clock_monotonic_ns() < look.end_ns) {
		loop_timer_set(loop, &look.timer, clock_monotonic_ns(), look_again);
		assert_true(loop_run(loop));
	}
	loop_timer_clear(loop, &look.timer);
	assert_true(holds(log));
}

static bool nothing_queued(struct audit_log *log)
{
	return audit_count(log).queued == 0;
}

static bool is_open(struct audit_log *log)
{
	return !audit_log_closed(log) && tellings > 0 && strcmp(told, "open") == 0;
}

static bool is_closed(struct audit_log *log)
{
	return audit_log_closed(log) && tellings > 0 && strcmp(told, "open") != 0;
}

static void entries_are_synced_in_groups_by_themselves(void **state)
{
	(void)state;
	struct audit_log *log = open_log();
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(append(log, i, NULL), AUDIT_QUEUED);
	assert_int_equal(audit_count(log).synced, 0);
	assert_int_equal(audit_count(log).appended, 100);
	run_until(nothing_queued, log);
	assert_int_equal(audit_count(log).synced, 100);
	assert_int_equal(audit_count(log).syncs, 1);
	assert_int_equal(tellings, 0);
	audit_log_free(log);
}

static int synced_ok, synced_failed;

static void entry_synced(bool ok, void *ctx)
{
	struct audit_log *log = ctx;
	struct audit_report report;
	synced_ok += ok;
	synced_failed += !ok;
	audit_verify(path, &report);
	if (ok)
		assert_int_equal(report.last.seq, audit_count(log).synced);
	loop_stop(loop);
}

static void a_snapshot_is_on_the_disk_when_it_is_said_to_be(void **state)
{
	(void)state;
	struct audit_options options = {.path = path, .commit_ms = 3600 * 1000};
	struct audit_log *log = audit_log_new(loop, &options, state_changed, NULL, &err);
	struct audit_entry entry = {.kind = AUDIT_SNAPSHOT};
	audit_entry_add(&entry, AUDIT_T("sinks", bytes_str("terminal")));
	synced_ok = synced_failed = 0;
	assert_int_equal(append(log, 1, NULL), AUDIT_QUEUED);
	assert_int_equal(audit_append_synced(log, &entry, clock_wall_ns(), entry_synced, log), AUDIT_QUEUED);
	assert_int_equal(synced_ok, 0);
	assert_true(loop_run(loop));
	assert_int_equal(synced_ok, 1);
	assert_int_equal(audit_count(log).synced, 2);
	audit_log_free(log);
}

/* Where the line begins that ends at `len`. */
static size_t last_line(size_t len)
{
	size_t at = len - 1;
	while (at > 0 && content[at - 1] != '\n')
		at--;
	return at;
}

static void a_last_line_torn_at_any_byte_is_cut_off_and_the_repair_recorded(void **state)
{
	(void)state;
	write_log(2);
	static uint8_t whole[4096];
	static uint8_t old_head[256];
	size_t head_len = read_whole(head);
	memcpy(old_head, content, head_len);
	write_log(1); /* what the head of before does not know */
	size_t len = read_whole(path);
	size_t start = last_line(len);
	memcpy(whole, content, len);
	for (size_t cut = start + 1; cut < len; cut++) {
		struct audit_report report;
		write_whole(path, whole, cut);
		write_whole(head, old_head, head_len);
		audit_verify(path, &report);
		assert_int_equal(report.verdict, AUDIT_TORN);
		assert_int_equal(report.line, 3);
		struct audit_log *log = open_log();
		assert_non_null(log);
		audit_log_free(log);
		audit_verify(path, &report);
		assert_int_equal(report.verdict, AUDIT_INTACT);
		assert_int_equal(report.last.seq, 3);
		char octets[64];
		snprintf(octets, sizeof(octets), "\"kind\":\"repaired\",\"octets\":%zu,", cut - start);
		size_t now = read_whole(path);
		assert_non_null(memmem(content, now, octets, strlen(octets)));
	}
}

static void a_page_of_zeros_after_a_power_cut_is_a_torn_end(void **state)
{
	(void)state;
	write_log(2);
	size_t len = read_whole(path);
	memset(content + len, 0, 5000);
	content[len + 4000] = '\n';
	write_whole(path, content, len + 5000);
	struct audit_log *log = open_log();
	assert_non_null(log);
	audit_log_free(log);
	struct audit_report report;
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_INTACT);
	assert_int_equal(report.last.seq, 3);
}

static void a_synced_log_cut_anywhere_is_refused_and_the_line_named(void **state)
{
	(void)state;
	static uint8_t whole[4096];
	write_log(3);
	size_t len = read_whole(path);
	memcpy(whole, content, len);
	size_t starts[4] = {0};
	for (size_t i = 0, line = 0; i < len; i++) {
		if (whole[i] == '\n')
			starts[++line] = i + 1;
	}
	for (size_t cut = 0; cut < len; cut++) {
		struct audit_report report;
		uint64_t expected = 1;
		while (expected < 3 && cut >= starts[expected])
			expected++;
		write_whole(path, whole, cut);
		audit_verify(path, &report);
		assert_int_equal(report.verdict, AUDIT_MISSING);
		assert_int_equal(report.line, expected);
		assert_null(open_log());
		assert_non_null(strstr(err.text, path));
		assert_int_equal(read_whole(path), cut); /* nothing was made worse */
	}
}

static void any_flipped_byte_is_found_in_its_line(void **state)
{
	(void)state;
	static uint8_t whole[4096];
	struct audit_report report;
	write_log(3);
	size_t len = read_whole(path);
	memcpy(whole, content, len);
	uint64_t line = 1;
	for (size_t i = 0; i < len; i++) {
		uint8_t was = whole[i];
		whole[i] ^= (uint8_t)(1U << (i % 8));
		write_whole(path, whole, len);
		audit_verify(path, &report);
		assert_int_not_equal(report.verdict, AUDIT_INTACT);
		assert_int_equal(report.line, line);
		whole[i] = was;
		line += was == '\n';
	}
}

static void an_altered_tail_is_not_continued(void **state)
{
	(void)state;
	write_log(3);
	size_t len = read_whole(path);
	content[len - 10] ^= 1;
	write_whole(path, content, len);
	assert_null(open_log());
	assert_non_null(strstr(err.text, "line 3"));
}

static void a_line_taken_out_or_a_log_written_anew_is_found(void **state)
{
	(void)state;
	struct audit_report report;
	static uint8_t whole[4096];
	write_log(3);
	size_t len = read_whole(path);
	memcpy(whole, content, len);
	size_t first = bytes_find(bytes_of(whole, len), '\n', 0) + 1;
	size_t second = bytes_find(bytes_of(whole, len), '\n', first) + 1;
	memmove(content + first, whole + second, len - second);
	write_whole(path, content, len - (second - first));
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_MISSING);
	assert_int_equal(report.line, 2);
	/* Another log with a good chain of its own, in this one's place. */
	static uint8_t old_head[256];
	size_t head_len = read_whole(head);
	memcpy(old_head, content, head_len);
	unlink(path);
	unlink(head);
	write_log(3);
	write_whole(head, old_head, head_len);
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_ALTERED);
	assert_int_equal(report.line, 3);
	assert_null(open_log());
}

static void a_log_without_its_head_is_verified_whole_and_continued(void **state)
{
	(void)state;
	struct audit_report report;
	write_log(3);
	unlink(head);
	write_log(1);
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_INTACT);
	assert_int_equal(report.last.seq, 4);
	write_whole(head, (const uint8_t *)"nonsense", 8);
	assert_null(open_log());
	assert_non_null(strstr(err.text, head));
}

static void one_process_at_a_time(void **state)
{
	(void)state;
	struct audit_log *log = open_log();
	assert_non_null(log);
	assert_null(open_log());
	assert_non_null(strstr(err.text, "in use"));
	audit_log_free(log);
}

static void file_limit(rlim_t octets)
{
	struct rlimit limit;
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = octets;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_closes_the_log_and_relief_opens_it_with_nothing_lost(void **state)
{
	(void)state;
	struct audit_report report;
	struct audit_log *log = open_log();
	assert_int_equal(append(log, 1, NULL), AUDIT_QUEUED);
	assert_true(audit_flush(log));
	file_limit(600); /* half a line more */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(append(log, i, NULL), AUDIT_QUEUED);
	run_until(is_closed, log);
	assert_non_null(strstr(told, root));
	synced_ok = synced_failed = 0;
	struct audit_entry entry = {.kind = AUDIT_STOP};
	assert_int_equal(audit_append_synced(log, &entry, clock_wall_ns(), entry_synced, log), AUDIT_QUEUED);
	while (!synced_failed)
		assert_true(loop_run(loop));
	audit_verify(path, &report);
	assert_true(report.verdict == AUDIT_INTACT || report.verdict == AUDIT_TORN);
	file_limit(RLIM_INFINITY);
	run_until(is_open, log);
	run_until(nothing_queued, log);
	assert_int_equal(audit_count(log).closings, 1);
	assert_int_equal(audit_count(log).refused, 0);
	audit_log_free(log);
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_INTACT);
	assert_int_equal(report.last.seq, 6); /* 1 + 3 + the stop + "resumed" */
	size_t len = read_whole(path);
	assert_non_null(memmem(content, len, "\"kind\":\"resumed\"", 16));
}

static void what_finds_no_room_is_refused_counted_and_said_later(void **state)
{
	(void)state;
	struct audit_options options = {.path = path, .commit_ms = 1, .retry_ms = 1, .queue_cap = 4096};
	tellings = 0;
	struct audit_log *log = audit_log_new(loop, &options, state_changed, NULL, &err);
	file_limit(10);
	uint64_t taken = 0;
	while (append(log, taken, NULL) == AUDIT_QUEUED)
		taken++;
	assert_in_range(taken, 5, 20);
	assert_int_equal(append(log, 99, NULL), AUDIT_FULL);
	assert_int_equal(audit_count(log).refused, 2);
	run_until(is_closed, log);
	file_limit(RLIM_INFINITY);
	run_until(is_open, log);
	assert_int_equal(append(log, 100, NULL), AUDIT_QUEUED);
	run_until(nothing_queued, log);
	audit_log_free(log);
	struct audit_report report;
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_INTACT);
	assert_int_equal(report.last.seq, taken + 2);
	size_t len = read_whole(path);
	assert_non_null(memmem(content, len, "\"lost\":2,", 9));
}

static void a_log_taken_away_closes_and_opens_when_it_is_back(void **state)
{
	(void)state;
	struct audit_report report;
	struct audit_log *log = open_log();
	assert_int_equal(append(log, 1, NULL), AUDIT_QUEUED);
	assert_true(audit_flush(log));
	assert_int_equal(rename(path, spare), 0);
	assert_int_equal(append(log, 2, NULL), AUDIT_QUEUED);
	run_until(is_closed, log);
	assert_non_null(strstr(told, "removed"));
	assert_int_equal(access(path, F_OK), -1); /* no other log was begun */
	assert_int_equal(rename(spare, path), 0);
	run_until(is_open, log);
	audit_log_free(log);
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_INTACT);
	assert_int_equal(report.last.seq, 3);
}

static void a_log_others_write_to_closes(void **state)
{
	(void)state;
	struct audit_log *log = open_log();
	assert_int_equal(append(log, 1, NULL), AUDIT_QUEUED);
	assert_true(audit_flush(log));
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	assert_int_equal(append(log, 2, NULL), AUDIT_QUEUED);
	run_until(is_closed, log);
	assert_non_null(strstr(told, "somebody else"));
	audit_log_free(log);
}

static void a_log_that_cannot_be_made_starts_closed_and_opens_later(void **state)
{
	(void)state;
	char missing[128];
	snprintf(missing, sizeof(missing), "%s/audit.log", folder);
	struct audit_options options = {.path = missing, .commit_ms = 1, .retry_ms = 1};
	tellings = 0;
	struct audit_log *log = audit_log_new(loop, &options, state_changed, NULL, &err);
	assert_non_null(log);
	assert_non_null(audit_log_closed(log));
	assert_int_equal(append(log, 1, NULL), AUDIT_QUEUED);
	run_until(is_closed, log);
	assert_int_equal(mkdir(folder, 0700), 0);
	run_until(is_open, log);
	audit_log_free(log);
	struct audit_report report;
	audit_verify(missing, &report);
	assert_int_equal(report.verdict, AUDIT_INTACT);
	assert_int_equal(report.last.seq, 2);
}

static void an_entry_the_table_does_not_know_is_refused(void **state)
{
	(void)state;
	struct audit_log *log = open_log();
	struct audit_entry entry = {.kind = AUDIT_STOP};
	audit_entry_add(&entry, AUDIT_T("mood", bytes_str("good")));
	assert_int_equal(audit_append(log, &entry, 0, NULL), AUDIT_INVALID);
	assert_int_equal(audit_count(log).appended, 0);
	audit_log_free(log);
}

int main(void)
{
	signal(SIGXFSZ, SIG_IGN);
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(the_chain_goes_on_over_restarts),
		CASE(names_stand_in_the_log_as_commitments_and_in_the_openings_as_they_are),
		CASE(entries_are_synced_in_groups_by_themselves),
		CASE(a_snapshot_is_on_the_disk_when_it_is_said_to_be),
		CASE(a_last_line_torn_at_any_byte_is_cut_off_and_the_repair_recorded),
		CASE(a_page_of_zeros_after_a_power_cut_is_a_torn_end),
		CASE(a_synced_log_cut_anywhere_is_refused_and_the_line_named),
		CASE(any_flipped_byte_is_found_in_its_line),
		CASE(an_altered_tail_is_not_continued),
		CASE(a_line_taken_out_or_a_log_written_anew_is_found),
		CASE(a_log_without_its_head_is_verified_whole_and_continued),
		CASE(one_process_at_a_time),
		CASE(a_full_disk_closes_the_log_and_relief_opens_it_with_nothing_lost),
		CASE(what_finds_no_room_is_refused_counted_and_said_later),
		CASE(a_log_taken_away_closes_and_opens_when_it_is_back),
		CASE(a_log_others_write_to_closes),
		CASE(a_log_that_cannot_be_made_starts_closed_and_opens_later),
		CASE(an_entry_the_table_does_not_know_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
