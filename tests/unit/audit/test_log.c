#include "audit/log.h"
#include "audit/rotate.h"
#include "audit/verify.h"
#include "base/clock.h"
#include "base/text.h"

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

static char root[64], path[96], head[112], tree[112], spare[112], folder[96];
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
	snprintf(tree, sizeof(tree), "%s.tree", path);
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

static void the_log_goes_on_over_restarts(void **state)
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
	static uint8_t old_head[1024];
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
		snprintf(octets, sizeof(octets), "\"kind\":\"repaired\",\"octets\":%zu}", cut - start);
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
	/* Another log with a good tree of its own, in this one's place: as many lines, under the same key. */
	static uint8_t old_head[1024], old_tree[1024];
	size_t head_len = read_whole(head);
	memcpy(old_head, content, head_len);
	size_t tree_len = read_whole(tree);
	memcpy(old_tree, content, tree_len);
	unlink(path);
	unlink(head);
	write_log(3);
	write_whole(head, old_head, head_len);
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_ALTERED);
	assert_int_equal(report.line, 0); /* nothing is left that could tell which */
	write_whole(tree, old_tree, tree_len);
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_ALTERED);
	assert_int_equal(report.line, 1);
	assert_null(open_log());
}

static void lines_that_changed_places_are_found(void **state)
{
	(void)state;
	struct audit_report report;
	static uint8_t whole[4096];
	write_log(3);
	size_t len = read_whole(path);
	memcpy(whole, content, len);
	size_t first = bytes_find(bytes_of(whole, len), '\n', 0) + 1;
	size_t second = bytes_find(bytes_of(whole, len), '\n', first) + 1;
	memcpy(content + first, whole + second, len - second);
	memcpy(content + first + (len - second), whole + first, second - first);
	write_whole(path, content, len);
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_ALTERED);
	assert_int_equal(report.line, 2);
	assert_non_null(strstr(report.text.text, "after the one that follows it"));
	unlink(tree);
	audit_verify(path, &report);
	assert_int_not_equal(report.verdict, AUDIT_INTACT);
	assert_int_equal(report.line, 2);
}

static void an_older_copy_of_everything_is_whole_and_a_saved_checkpoint_tells_all_the_same(void **state)
{
	(void)state;
	static uint8_t old[4096], old_head[1024];
	struct audit_report report;
	struct audit_head saved;
	write_log(2);
	size_t len = read_whole(path);
	memcpy(old, content, len);
	size_t head_len = read_whole(head);
	memcpy(old_head, content, head_len);
	write_log(2);
	assert_true(audit_head_read(head, &saved, &err) && saved.present);
	struct audit_pin pin = {.name = "saved", .head = saved.checkpoint.head};
	audit_verify_against(path, NULL, &pin, 1, &report);
	assert_int_equal(report.verdict, AUDIT_INTACT);
	write_whole(path, old, len);
	write_whole(head, old_head, head_len);
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_INTACT);
	audit_verify_against(path, NULL, &pin, 1, &report);
	assert_int_equal(report.verdict, AUDIT_ROLLED_BACK);
	assert_int_equal(report.line, 3);
	/* And where it went on otherwise from there. */
	write_log(5);
	audit_verify_against(path, NULL, &pin, 1, &report);
	assert_int_equal(report.verdict, AUDIT_REWRITTEN);
	assert_int_equal(pin.head.size, 4);
}

static void a_checkpoint_of_another_key_is_forged_and_not_continued(void **state)
{
	(void)state;
	char key[128];
	char public[128];
	struct audit_report report;
	struct note_key known;
	bool missing;
	write_log(2);
	snprintf(key, sizeof(key), "%s.key", path);
	snprintf(public, sizeof(public), "%s.pub", path);
	assert_true(audit_key_public(path, &known, &err));
	struct stat st;
	assert_int_equal(stat(key, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(rename(key, spare), 0);
	assert_null(open_log());
	assert_non_null(strstr(err.text, key));
	assert_int_equal(access(key, F_OK), -1); /* no other key in its place */
	struct note_signer *other = audit_key_open(path, AUDIT_ORIGIN, NOTE_ED25519, &missing, &err);
	assert_non_null(other);
	assert_null(open_log());
	assert_non_null(strstr(err.text, "not signed by the log's key"));
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_FORGED);
	/* Signed anew with the other key, as whoever has the machine can: whoever kept the first one sees it. */
	int fd = open(head, O_RDWR | O_CLOEXEC);
	struct audit_head was;
	assert_true(audit_head_read(head, &was, &err));
	assert_true(audit_head_write(fd, &was.checkpoint.head, other));
	close(fd);
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_INTACT);
	audit_verify_against(path, &known, NULL, 0, &report);
	assert_int_equal(report.verdict, AUDIT_FORGED);
	note_signer_free(other);
}

static void a_log_of_the_older_form_is_refused_and_what_to_do_said(void **state)
{
	(void)state;
	static const char line[] = "{\"seq\":1,\"kind\":\"stop\",\"prev\":\"00\",\"hash\":\"00\"}\n";
	write_whole(path, (const uint8_t *)line, sizeof(line) - 1);
	assert_null(open_log());
	assert_non_null(strstr(err.text, "move the log and all"));
	assert_int_equal(read_whole(path), sizeof(line) - 1);
}

static void a_tree_that_is_gone_or_damaged_is_made_anew(void **state)
{
	(void)state;
	struct audit_report report;
	static uint8_t whole[4096];
	write_log(7);
	size_t len = read_whole(tree);
	assert_int_equal(len, merkle_stored_count(7) * MERKLE_HASH);
	memcpy(whole, content, len);
	for (size_t i = 0; i <= len; i += 16) {
		/* Cut at every half hash, and then altered there. */
		memcpy(content, whole, len);
		write_whole(tree, content, i);
		audit_verify(path, &report);
		assert_int_equal(report.verdict, AUDIT_INTACT);
		assert_true(report.no_tree || i == len);
		struct audit_log *log = open_log();
		assert_non_null(log);
		audit_log_free(log);
		assert_int_equal(read_whole(tree), len);
		assert_memory_equal(content, whole, len);
	}
	for (size_t i = 0; i < len; i += MERKLE_HASH) {
		memcpy(content, whole, len);
		content[i] ^= 1;
		write_whole(tree, content, len);
		audit_verify(path, &report);
		assert_int_equal(report.verdict, AUDIT_INTACT);
		assert_int_equal(report.last.seq, 7);
	}
}

static void any_line_is_found_by_its_number(void **state)
{
	(void)state;
	uint8_t *room = malloc(AUDIT_LINE_MAX);
	write_log(50);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	for (uint64_t seq = 1; seq <= 50; seq++) {
		struct bytes line;
		uint64_t offset;
		uint64_t found;
		assert_true(audit_find(fd, seq, room, &line, &offset));
		assert_true(audit_line_seq(line, &found));
		assert_int_equal(found, seq);
	}
	struct bytes line;
	uint64_t offset;
	assert_false(audit_find(fd, 0, room, &line, &offset));
	assert_false(audit_find(fd, 51, room, &line, &offset));
	close(fd);
	free(room);
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
	assert_non_null(memmem(content, len, "\"lost\":2}", 9));
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

/* A log that is put aside as soon as it has a few lines. */
static struct audit_log *open_short(void)
{
	struct audit_options options = {.path = path, .commit_ms = 1, .retry_ms = 1, .rotate_octets = 1000};
	tellings = 0;
	return audit_log_new(loop, &options, state_changed, NULL, &err);
}

static bool rotated_twice(struct audit_log *log)
{
	if (audit_count(log).queued == 0)
		assert_int_equal(append(log, 1, NULL), AUDIT_QUEUED);
	return audit_count(log).rotations == 2;
}

static void verify_aside(unsigned n, struct audit_report *report, struct audit_head *last)
{
	char name[128];
	char beside[144];
	snprintf(name, sizeof(name), "%s.%u", path, n);
	snprintf(beside, sizeof(beside), "%s.head", name);
	audit_verify(name, report);
	assert_int_equal(report->verdict, AUDIT_INTACT);
	assert_true(audit_head_read(beside, last, &err) && last->present);
	assert_int_equal(report->signed_lines, report->last.seq);
	snprintf(beside, sizeof(beside), "%s.key", name);
	assert_int_equal(access(beside, F_OK), -1);
}

static void a_long_log_is_put_aside_and_the_next_one_names_it(void **state)
{
	(void)state;
	static struct audit_report report;
	struct audit_head first, second;
	char text[700];
	char sum[65];
	struct audit_log *log = open_short();
	assert_non_null(log);
	run_until(rotated_twice, log);
	synced_ok = synced_failed = 0;
	struct audit_entry entry = {.kind = AUDIT_STOP};
	assert_int_equal(audit_append_synced(log, &entry, clock_wall_ns(), entry_synced, log), AUDIT_QUEUED);
	while (!synced_ok)
		assert_true(loop_run(loop));
	audit_log_free(log);
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_INTACT);
	verify_aside(1, &report, &first);
	verify_aside(2, &report, &second);
	/* Each begins with the checkpoint of the one before, whose last line has its key. */
	text_hex(sum, sizeof(sum), bytes_of(second.checkpoint.head.root.octets, MERKLE_HASH));
	snprintf(text, sizeof(text),
		"\"kind\":\"continues\",\"file\":\"audit.log.2\",\"origin\":\"%.*s\",\"size\":%llu,\"root\":\"%s\"}\n",
		(int)second.checkpoint.origin.len, (const char *)second.checkpoint.origin.data,
		(unsigned long long)second.checkpoint.head.size, sum);
	size_t len = read_whole(path);
	content[len] = '\0';
	assert_non_null(strstr((char *)content, text));
	assert_memory_equal(content, "{\"seq\":1,", 9);
	struct note_key key;
	struct writer w = writer_over(text, sizeof(text));
	assert_true(audit_key_public(path, &key, &err));
	writer_bytes(&w, bytes_str("\"kind\":\"continued\",\"verifier\":\""));
	note_key_write(&w, &key);
	char aside[128];
	snprintf(aside, sizeof(aside), "%s.2", path);
	len = read_whole(aside);
	assert_non_null(memmem(content, len, text, w.len));
	assert_false(bytes_equal(first.checkpoint.origin, second.checkpoint.origin));
	/* And goes on as any other. */
	write_log(1);
}

/* What stands in the folder when a rotation is cut off at one of its steps; 0: before anything was moved. */
static void rotate_halfway(int steps)
{
	static const char *const endings[] = {".tree", ".head", ".pub", ""};
	char next[112], from[128], to[128];
	struct note_key key;
	char text[NOTE_KEY_TEXT];
	struct writer w = writer_over(text, sizeof(text));
	struct audit_log *log = open_log();
	assert_true(audit_rotate_begin(path, &key, &err));
	note_key_write(&w, &key);
	struct audit_entry entry = {.kind = AUDIT_CONTINUED};
	audit_entry_add(&entry, AUDIT_T("verifier", bytes_of(text, w.len)));
	assert_int_equal(audit_append(log, &entry, clock_wall_ns(), NULL), AUDIT_QUEUED);
	audit_log_free(log);
	for (int i = 0; i < steps && i < 4; i++) {
		snprintf(from, sizeof(from), "%s%s", path, endings[i]);
		snprintf(to, sizeof(to), "%s.1%s", path, endings[i]);
		assert_int_equal(rename(from, to), 0);
	}
	snprintf(next, sizeof(next), "%s.next", path);
	if (steps > 4) {
		snprintf(from, sizeof(from), "%s.pub", next);
		snprintf(to, sizeof(to), "%s.pub", path);
		assert_int_equal(rename(from, to), 0);
	}
}

static void a_rotation_that_a_crash_cut_off_is_ended_at_the_next_start(void **state)
{
	for (int steps = 0; steps <= 5; steps++) {
		static struct audit_report report;
		struct audit_head head_of_first;
		char next[128];
		write_log(3);
		rotate_halfway(steps);
		struct audit_log *log = open_log();
		if (!log)
			fail_msg("after %d steps: %s", steps, err.text);
		audit_log_free(log);
		verify_aside(1, &report, &head_of_first);
		assert_int_equal(report.last.seq, 4);
		audit_verify(path, &report);
		assert_int_equal(report.verdict, AUDIT_INTACT);
		assert_int_equal(report.last.seq, 1);
		snprintf(next, sizeof(next), "%s.next.key", path);
		assert_int_equal(access(next, F_OK), -1);
		tear_down(state);
		set_up(state);
	}
}

static void a_key_made_for_a_rotation_that_never_came_is_taken_back(void **state)
{
	(void)state;
	struct note_key key;
	char next[128];
	static struct audit_report report;
	write_log(3);
	assert_true(audit_rotate_begin(path, &key, &err));
	write_log(1);
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_INTACT);
	assert_int_equal(report.last.seq, 4);
	snprintf(next, sizeof(next), "%s.next.key", path);
	assert_int_equal(access(next, F_OK), -1);
}

int main(void)
{
	signal(SIGXFSZ, SIG_IGN);
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(the_log_goes_on_over_restarts),
		CASE(names_stand_in_the_log_as_commitments_and_in_the_openings_as_they_are),
		CASE(entries_are_synced_in_groups_by_themselves),
		CASE(a_snapshot_is_on_the_disk_when_it_is_said_to_be),
		CASE(a_last_line_torn_at_any_byte_is_cut_off_and_the_repair_recorded),
		CASE(a_page_of_zeros_after_a_power_cut_is_a_torn_end),
		CASE(a_synced_log_cut_anywhere_is_refused_and_the_line_named),
		CASE(any_flipped_byte_is_found_in_its_line),
		CASE(an_altered_tail_is_not_continued),
		CASE(a_line_taken_out_or_a_log_written_anew_is_found),
		CASE(lines_that_changed_places_are_found),
		CASE(an_older_copy_of_everything_is_whole_and_a_saved_checkpoint_tells_all_the_same),
		CASE(a_checkpoint_of_another_key_is_forged_and_not_continued),
		CASE(a_log_of_the_older_form_is_refused_and_what_to_do_said),
		CASE(a_tree_that_is_gone_or_damaged_is_made_anew),
		CASE(any_line_is_found_by_its_number),
		CASE(a_log_without_its_head_is_verified_whole_and_continued),
		CASE(one_process_at_a_time),
		CASE(a_full_disk_closes_the_log_and_relief_opens_it_with_nothing_lost),
		CASE(what_finds_no_room_is_refused_counted_and_said_later),
		CASE(a_log_taken_away_closes_and_opens_when_it_is_back),
		CASE(a_log_others_write_to_closes),
		CASE(a_log_that_cannot_be_made_starts_closed_and_opens_later),
		CASE(a_long_log_is_put_aside_and_the_next_one_names_it),
		CASE(a_rotation_that_a_crash_cut_off_is_ended_at_the_next_start),
		CASE(a_key_made_for_a_rotation_that_never_came_is_taken_back),
		CASE(an_entry_the_table_does_not_know_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
