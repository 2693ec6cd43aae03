#include "audit/log.h"

#include "audit/openings.h"
#include "audit/rotate.h"
#include "audit/syncer.h"
#include "audit/verify.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Room in the queue that only the log's own entries may take: after a closure, what was lost must be said. */
#define RESERVE 2048

#define ROTATE_OCTETS (1024ULL * 1024 * 1024)

/* Somebody waits for `seq` to be on the disk. */
struct waiter {
	struct waiter *next;
	uint64_t seq;
	audit_synced_fn *done;
	void *ctx;
};

/* After the newest entry. */
struct end {
	uint64_t seq;
	uint64_t offset;
};

struct audit_log {
	struct loop *loop;
	struct loop_io event;
	struct loop_timer commit_timer, retry_timer, expire_timer;
	struct loop_task state_task, waiter_task, commit_task;
	char path[4000];
	uint64_t commit_ns, retry_ns;
	uint64_t rotate_at; /* octets of the log */
	audit_state_fn *changed;
	void *ctx;
	int fd, head_fd; /* -1: closed; as tree.fd */
	struct merkle *merkle;
	struct note_signer *signer; /* NULL: could not be made yet */
	struct audit_tree tree;
	bool tree_whole; /* all nodes of what was written stand in the tree's file */
	struct end last;
	struct audit_place written; /* after what write() took */
	struct audit_place syncing; /* what the sync in progress will have made sure of */
	struct audit_place synced;
	bool in_sync;   /* the thread is at work */
	bool trying;    /* reopened, but not open until a sync has gone well */
	bool noted;     /* the entry RESUMED of this closure stands in the queue */
	uint8_t *queue; /* the lines after `synced`: their octets stand at offset - synced.offset */
	size_t queue_cap;
	struct error reason; /* why closed; empty: open */
	uint64_t lost;       /* refused since the log was closed */
	struct waiter *waiters, **waiters_end;
	struct syncer *syncer;
	struct audit_openings *openings;
	struct audit_counts counts;
};

#define OWNER(member, pointer) ((struct audit_log *)(void *)((char *)(pointer)-offsetof(struct audit_log, member)))

static void commit(struct audit_log *log);

static size_t queued(const struct audit_log *log)
{
	return (size_t)(log->last.offset - log->synced.offset);
}

const char *audit_log_closed(const struct audit_log *log)
{
	return log->reason.text[0] ? log->reason.text : NULL;
}

/* State and waiters: told from the loop, never inside a call of the owner's. */

static void tell_state(struct loop_task *task)
{
	struct audit_log *log = OWNER(state_task, task);
	if (log->changed)
		log->changed(audit_log_closed(log), log->ctx);
}

static void settle_waiters(struct audit_log *log, bool all)
{
	while (log->waiters && (all || log->waiters->seq <= log->synced.seq)) {
		struct waiter waiter = *log->waiters;
		free(log->waiters);
		log->waiters = waiter.next;
		if (!log->waiters)
			log->waiters_end = &log->waiters;
		waiter.done(waiter.seq <= log->synced.seq, waiter.ctx);
	}
}

static void tell_waiters(struct loop_task *task)
{
	struct audit_log *log = OWNER(waiter_task, task);
	settle_waiters(log, audit_log_closed(log) != NULL);
}

static void files_close(struct audit_log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	if (log->head_fd >= 0)
		close(log->head_fd);
	if (log->tree.fd >= 0)
		close(log->tree.fd);
	log->fd = log->head_fd = -1;
	audit_tree_init(&log->tree, -1);
	log->written = log->synced;
	log->trying = false;
}

static void on_retry(struct loop_timer *timer);

/* From open, or from trying, to closed. `full`: only the queue is; the files stay open and the next sync opens again. */
static void shut(struct audit_log *log, const struct error *reason, bool full)
{
	if (!audit_log_closed(log)) {
		log->counts.closings++;
		log_error("audit log closed", LOG_S("reason", reason->text));
		loop_task_queue(log->loop, &log->state_task, tell_state);
	}
	log->reason = *reason;
	loop_task_queue(log->loop, &log->waiter_task, tell_waiters);
	if (full) {
		log->trying = true;
		return;
	}
	files_close(log);
	loop_timer_set(log->loop, &log->retry_timer, clock_monotonic_ns() + log->retry_ns, on_retry);
}

static bool reason_errno(struct audit_log *log, struct error *err)
{
	return error_set_errno(err, "cannot write the audit log %s", log->path);
}

/* Opening. */

static bool folder_sync(const char *path)
{
	char copy[AUDIT_PATH_MAX];
	snprintf(copy, sizeof(copy), "%s", path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool good = fsync(fd) == 0;
	close(fd);
	return good;
}

/* Opens one of the files beside the log for writing; -1 with errno set. */
static int file_beside(const struct audit_log *log, const char *ending)
{
	char name[AUDIT_PATH_MAX];
	errno = ENAMETOOLONG;
	return audit_path(name, log->path, ending) ? open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
}

/* A log has its key from its first moment on: one without is made only where there are no lines. */
static bool signer_open(struct audit_log *log, struct error *err)
{
	struct stat st;
	bool missing;
	if (log->signer)
		return true;
	bool empty = fstat(log->fd, &st) == 0 && st.st_size == 0;
	log->signer = audit_key_open(log->path, empty ? AUDIT_ORIGIN : NULL, NOTE_ED25519, &missing, err);
	return log->signer != NULL;
}

/* The log's own file, locked. False with `err`, and *busy when another process has it. */
static bool file_lock(struct audit_log *log, int make, bool *busy, struct error *err)
{
	log->fd = open(log->path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | make, 0600);
	if (log->fd < 0)
		return reason_errno(log, err);
	if (flock(log->fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	*busy = errno == EWOULDBLOCK;
	return error_set(err, "the audit log %s is in use by another process", log->path);
}

static bool still_named(const struct audit_log *log)
{
	struct stat st;
	struct stat named;
	return fstat(log->fd, &st) == 0 && stat(log->path, &named) == 0 && named.st_ino == st.st_ino &&
	       named.st_dev == st.st_dev;
}

/* The log, after what a crash may have left undone when it was rotated. */
static bool file_open(struct audit_log *log, int make, bool *busy, struct error *err)
{
	if (!file_lock(log, make, busy, err))
		return false;
	if (!make)
		return true;
	if (!audit_rotate_recover(log->path, err))
		return false;
	if (still_named(log))
		return true;
	close(log->fd);
	return file_lock(log, make, busy, err);
}

static bool beside_open(struct audit_log *log, struct error *err)
{
	log->head_fd = file_beside(log, ".head");
	if (log->head_fd >= 0)
		audit_tree_init(&log->tree, file_beside(log, ".tree"));
	return log->tree.fd >= 0 || reason_errno(log, err);
}

/* The log and what stands beside it, for writing, locked. *busy: another process has it. False with `err`, all closed. */
static bool files_open(struct audit_log *log, bool *busy, struct error *err)
{
	/* Once lines were synced, a file that is not there is not made anew: that would be another log. */
	int make = log->synced.seq == 0 ? O_CREAT : 0;
	*busy = false;
	if (file_open(log, make, busy, err) && beside_open(log, err) && signer_open(log, err)) {
		if (!make || folder_sync(log->path))
			return true;
		reason_errno(log, err);
	}
	files_close(log);
	return false;
}

static enum audit_result append(
	struct audit_log *log, const struct audit_entry *entry, uint64_t wall_ns, size_t reserve);

static bool append_own(struct audit_log *log, const struct audit_entry *entry)
{
	return append(log, entry, clock_wall_ns(), 0) == AUDIT_QUEUED;
}

static bool repair(struct audit_log *log, const struct audit_report *report, struct error *err)
{
	struct stat st;
	if (fstat(log->fd, &st) < 0 || ftruncate(log->fd, (off_t)report->last.offset) < 0)
		return error_set_errno(err, "cannot repair %s", log->path);
	uint64_t cut = (uint64_t)st.st_size - report->last.offset;
	log_warn("audit log repaired", LOG_S("file", log->path), LOG_N("line", report->line), LOG_N("octets_cut", cut));
	struct audit_entry entry = {.kind = AUDIT_REPAIRED};
	audit_entry_add(&entry, AUDIT_N("octets", cut));
	return append_own(log, &entry) || error_set(err, "cannot record the repair of %s", log->path);
}

/* The first line of a log that follows another. */
static bool name_before(struct audit_log *log, struct error *err)
{
	struct audit_before *before = malloc(sizeof(*before));
	struct audit_entry entry = {.kind = AUDIT_CONTINUES};
	bool good = before && audit_rotate_before(log->path, before, err);
	if (good && before->name[0]) {
		char root[2 * MERKLE_HASH + 1];
		const char *slash = strrchr(before->name, '/');
		const struct checkpoint *last = &before->head.checkpoint;
		text_hex(root, sizeof(root), bytes_of(last->head.root.octets, MERKLE_HASH));
		audit_entry_add(&entry, AUDIT_T("file", bytes_str(slash ? slash + 1 : before->name)));
		audit_entry_add(&entry, AUDIT_T("origin", last->origin));
		audit_entry_add(&entry, AUDIT_N("size", last->head.size));
		audit_entry_add(&entry, AUDIT_T("root", bytes_str(root)));
		good = append_own(log, &entry) || error_set(err, "cannot name %s", before->name);
	}
	free(before);
	return good;
}

/* Where the log goes on. False when it must not be continued. */
static bool go_on(struct audit_log *log, struct error *err)
{
	struct audit_report report;
	audit_resume(log->path, log->merkle, &log->tree, note_signer_key(log->signer), &report);
	if (report.verdict != AUDIT_INTACT && report.verdict != AUDIT_TORN)
		return error_set(err,
			"%s. The audit log cannot be continued; move it and all %s.* aside to begin a new one, and "
			"keep them",
			report.text.text, log->path);
	if (report.no_tree && report.last.seq > 0)
		log_warn("audit log's tree made anew", LOG_S("file", log->path), LOG_N("lines", report.last.seq));
	log->written = log->synced = log->syncing = report.last;
	log->last = (struct end){.seq = report.last.seq, .offset = report.last.offset};
	log->counts.synced = report.last.seq;
	log->tree_whole = log->tree.fd >= 0;
	if (report.last.seq == 0 && !name_before(log, err))
		return false;
	return report.verdict == AUDIT_INTACT || repair(log, &report, err);
}

/* The log was read when it could not be written to: the tree's nodes are still owed. */
static bool complete_tree(struct audit_log *log, struct error *err)
{
	struct audit_report report;
	if (log->tree_whole)
		return true;
	audit_resume(log->path, log->merkle, &log->tree, note_signer_key(log->signer), &report);
	log->tree_whole = report.verdict == AUDIT_INTACT || report.verdict == AUDIT_TORN;
	return log->tree_whole || error_set(err, "%s", report.text.text);
}

/* After a failure: the file must still end, or go on, where it was last synced; what came after is written again. */
static bool reopen(struct audit_log *log, struct error *err)
{
	bool busy;
	struct audit_report report;
	if (!files_open(log, &busy, err))
		return false;
	audit_verify_from(log->path, log->merkle, &log->synced, &report);
	if (report.last.seq < log->synced.seq || report.verdict == AUDIT_UNREAD) {
		error_set(err, "the audit log %s is not the one that was open here", log->path);
	} else if (ftruncate(log->fd, (off_t)log->synced.offset) < 0) {
		reason_errno(log, err);
	} else if (complete_tree(log, err)) {
		log->written = log->synced;
		log->trying = true;
		return true;
	}
	files_close(log);
	return false;
}

/* Before the first write after a closure, so that the log counts as open only when this very entry is on the disk. */
static void note_resumed(struct audit_log *log)
{
	if (log->noted)
		return;
	struct audit_entry entry = {.kind = AUDIT_RESUMED};
	struct error reason = log->reason;
	audit_entry_add(&entry, AUDIT_T("reason", bytes_str(reason.text)));
	audit_entry_add(&entry, AUDIT_N("lost", log->lost));
	log->noted = append_own(log, &entry);
	if (log->noted)
		log->lost = 0;
}

static void on_retry(struct loop_timer *timer)
{
	struct audit_log *log = OWNER(retry_timer, timer);
	struct error err;
	if (!reopen(log, &err)) {
		shut(log, &err, false);
		return;
	}
	note_resumed(log);
	commit(log);
}

/* Writing. */

/* Somebody else wrote to the file, cut it, or took it away: what we go on writing would be no log. */
static bool file_is_ours(struct audit_log *log, struct error *err)
{
	struct stat st;
	if (fstat(log->fd, &st) < 0)
		return reason_errno(log, err);
	if (!still_named(log))
		return error_set(err, "the audit log %s was removed or replaced", log->path);
	if ((uint64_t)st.st_size != log->written.offset)
		return error_set(err, "the audit log %s was changed by somebody else", log->path);
	return true;
}

/* Lines become leaves when they are written: appending waits for no hash, and the tree stands where the file does. */
static bool add_leaves(struct audit_log *log, struct bytes lines, struct error *err)
{
	struct merkle_made made;
	struct bytes line;
	struct audit_place at = log->written;
	while (bytes_take(&lines, bytes_find(lines, '\n', 0), &line) && bytes_skip(&lines, 1)) {
		if (!merkle_leaf(log->merkle, line, &at.leaf) ||
			!merkle_edge_add(log->merkle, &at.tree, &at.leaf, &made))
			return error_set_openssl(err, "cannot hash a line of the audit log %s", log->path);
		if (!audit_tree_add(&log->tree, at.tree.size, &made))
			return reason_errno(log, err);
		at.seq++;
		at.offset += line.len + 1;
	}
	log->written = at;
	return audit_tree_flush(&log->tree) || reason_errno(log, err);
}

static bool write_lines(struct audit_log *log, struct error *err)
{
	if (log->openings && !audit_openings_write(log->openings, clock_wall_ns(), err))
		return false;
	if (!file_is_ours(log, err))
		return false;
	struct bytes lines = bytes_of(log->queue + (size_t)(log->written.offset - log->synced.offset),
		(size_t)(log->last.offset - log->written.offset));
	for (struct bytes rest = lines; rest.len > 0;) {
		ssize_t n = write(log->fd, rest.data, rest.len);
		if (n < 0 || !bytes_skip(&rest, (size_t)n))
			return reason_errno(log, err);
	}
	return add_leaves(log, lines, err);
}

static bool sign_head(struct audit_log *log)
{
	struct merkle_head head = {.size = log->syncing.seq};
	return merkle_edge_root(log->merkle, &log->syncing.tree, &head.root) &&
	       audit_head_write(log->head_fd, &head, log->signer);
}

static void reopened(struct audit_log *log)
{
	note_resumed(log);
	log->trying = log->noted = false;
	log->reason.text[0] = '\0';
	log_info("audit log open again", LOG_S("file", log->path));
	loop_task_queue(log->loop, &log->state_task, tell_state);
}

/* A sync came back. */
static void synced(struct audit_log *log, int code)
{
	struct error err;
	log->in_sync = false;
	log->counts.syncs++;
	if (code == 0 && sign_head(log)) {
		size_t gone = (size_t)(log->syncing.offset - log->synced.offset);
		memmove(log->queue, log->queue + gone, queued(log) - gone);
		log->synced = log->syncing;
		log->counts.synced = log->synced.seq;
		if (log->waiters)
			loop_task_queue(log->loop, &log->waiter_task, tell_waiters);
		if (log->trying)
			reopened(log);
		return;
	}
	if (code)
		errno = code;
	reason_errno(log, &err);
	/* After a failed sync nobody knows which pages the kernel has dropped: reopening writes them all again. */
	shut(log, &err, false);
}

static void commit(struct audit_log *log)
{
	struct error err;
	loop_timer_clear(log->loop, &log->commit_timer);
	if (log->in_sync || log->fd < 0)
		return;
	if (log->last.seq == log->synced.seq && !log->trying)
		return;
	if (!write_lines(log, &err)) {
		shut(log, &err, false);
		return;
	}
	log->syncing = log->written;
	log->in_sync = true;
	syncer_begin(log->syncer, log->fd);
}

static void on_commit(struct loop_timer *timer)
{
	commit(OWNER(commit_timer, timer));
}

static void on_commit_now(struct loop_task *task)
{
	commit(OWNER(commit_task, task));
}

/* Puts the log aside, all of which is on the disk, and goes on with the next. False: it is closed, or as it was. */
static bool rotate(struct audit_log *log, struct error *err)
{
	char text[NOTE_KEY_TEXT];
	struct note_key next;
	bool busy;
	struct audit_entry entry = {.kind = AUDIT_CONTINUED};
	struct writer w = writer_over(text, sizeof(text));
	if (!audit_rotate_begin(log->path, &next, err))
		return false;
	note_key_write(&w, &next);
	audit_entry_add(&entry, AUDIT_T("verifier", bytes_of(text, w.len)));
	if (!append_own(log, &entry) || !audit_flush(log))
		return error_set(err, "its last line could not be written");
	if (!audit_rotate_move(log->path, err))
		return false;
	log->synced = log->written = log->syncing = (struct audit_place){0};
	log->last = (struct end){0};
	log->counts.synced = 0;
	log->tree_whole = true;
	note_signer_free(log->signer);
	log->signer = NULL;
	/* The old file's lock goes with it. */
	files_close(log);
	return name_before(log, err) && files_open(log, &busy, err);
}

static void rotate_if_long(struct audit_log *log)
{
	struct error err;
	if (log->synced.offset < log->rotate_at || audit_log_closed(log) || !audit_flush(log))
		return;
	/* Who waits must be told while numbers are the old ones, and may append again when told: then the next sync. */
	settle_waiters(log, false);
	if (log->waiters || log->last.seq != log->synced.seq)
		return;
	if (rotate(log, &err)) {
		log->counts.rotations++;
		log_info("audit log continued in a new file", LOG_S("file", log->path));
		return;
	}
	log_warn("audit log not rotated", LOG_S("file", log->path), LOG_S("reason", err.text));
	log->rotate_at = 2 * log->synced.offset > log->rotate_at ? 2 * log->synced.offset : log->rotate_at;
	if (log->fd < 0 && !audit_log_closed(log))
		shut(log, &err, false);
}

static void on_synced(struct loop_io *io)
{
	struct audit_log *log = OWNER(event, io);
	int code;
	if (!log->in_sync || !syncer_result(log->syncer, &code))
		return;
	synced(log, code);
	rotate_if_long(log);
	/* Somebody may have asked for a sync at once meanwhile; the rest waits for its timer. */
	if (log->waiters && log->last.seq > log->synced.seq)
		commit(log);
	else if (log->last.seq > log->synced.seq && !log->commit_timer.at)
		loop_timer_set(log->loop, &log->commit_timer, clock_monotonic_ns() + log->commit_ns, on_commit);
}

/* Appending. */

static size_t commitments(const struct audit_entry *entry)
{
	size_t count = 0;
	for (size_t i = 0; i < entry->count; i++)
		count += entry->fields[i].type == AUDIT_COMMIT;
	return count;
}

/* Salts, commitments, openings. False without randomness. The opening of an entry that then finds no room is harmless. */
static bool make_commitments(
	struct audit_log *log, const struct audit_entry *entry, uint8_t out[AUDIT_FIELDS_MAX][AUDIT_COMMIT_LEN])
{
	size_t at = 0;
	for (size_t i = 0; i < entry->count; i++) {
		if (entry->fields[i].type != AUDIT_COMMIT)
			continue;
		uint8_t salt[AUDIT_SALT];
		char clean[AUDIT_TEXT_MAX];
		struct bytes value = bytes_of(clean, text_clean(clean, sizeof(clean), entry->fields[i].text));
		bool good = RAND_bytes(salt, sizeof(salt)) == 1 && audit_commit(salt, value, out[at++]);
		if (good && log->openings)
			good = audit_openings_add(log->openings, log->last.seq + 1, entry->fields[i].key, salt, value);
		OPENSSL_cleanse(salt, sizeof(salt));
		if (!good)
			return false;
	}
	return true;
}

static enum audit_result refuse(struct audit_log *log)
{
	struct error err;
	log->counts.refused++;
	log->lost++;
	if (!audit_log_closed(log)) {
		error_set(&err, "the audit log's queue (%zu octets) is full: the disk is too slow", log->queue_cap);
		shut(log, &err, true);
		commit(log);
	}
	return AUDIT_FULL;
}

/* The line, numbered and in the queue. AUDIT_FULL changes nothing and counts nothing. */
static enum audit_result append(
	struct audit_log *log, const struct audit_entry *entry, uint64_t wall_ns, size_t reserve)
{
	uint8_t hashes[AUDIT_FIELDS_MAX][AUDIT_COMMIT_LEN];
	if (log->openings && !audit_openings_room(log->openings, commitments(entry), AUDIT_TEXT_MAX))
		return AUDIT_FULL;
	if (!make_commitments(log, entry, hashes)) {
		log_error("audit entry refused", LOG_S("reason", "no randomness, or hashing failed"));
		return AUDIT_INVALID;
	}
	size_t used = queued(log) + reserve;
	struct writer w = writer_over(log->queue + queued(log), used < log->queue_cap ? log->queue_cap - used : 0);
	if (!audit_line_write(&w, entry, (const uint8_t(*)[AUDIT_COMMIT_LEN])hashes, wall_ns, log->last.seq + 1))
		return AUDIT_FULL;
	log->last.seq++;
	log->last.offset += w.len;
	log->counts.appended++;
	if (!log->in_sync && !log->commit_timer.at)
		loop_timer_set(log->loop, &log->commit_timer, clock_monotonic_ns() + log->commit_ns, on_commit);
	return AUDIT_QUEUED;
}

enum audit_result audit_append(struct audit_log *log, const struct audit_entry *entry, uint64_t wall_ns, uint64_t *seq)
{
	struct error err;
	if (!audit_entry_check(entry, &err)) {
		log_warn("audit entry refused", LOG_S("reason", err.text));
		return AUDIT_INVALID;
	}
	enum audit_result result = append(log, entry, wall_ns, RESERVE);
	if (result == AUDIT_FULL)
		return refuse(log);
	if (result == AUDIT_QUEUED && seq)
		*seq = log->last.seq;
	return result;
}

enum audit_result audit_append_synced(
	struct audit_log *log, const struct audit_entry *entry, uint64_t wall_ns, audit_synced_fn *done, void *ctx)
{
	struct waiter *waiter = calloc(1, sizeof(*waiter));
	if (!waiter)
		return refuse(log);
	enum audit_result result = audit_append(log, entry, wall_ns, &waiter->seq);
	if (result != AUDIT_QUEUED) {
		free(waiter);
		return result;
	}
	waiter->done = done;
	waiter->ctx = ctx;
	*log->waiters_end = waiter;
	log->waiters_end = &waiter->next;
	if (audit_log_closed(log))
		loop_task_queue(log->loop, &log->waiter_task, tell_waiters);
	else
		loop_task_queue(log->loop, &log->commit_task, on_commit_now);
	return AUDIT_QUEUED;
}

bool audit_flush(struct audit_log *log)
{
	/* At most twice: what is being synced, and what came since. */
	for (int round = 0; round < 3; round++) {
		int code;
		if (log->in_sync) {
			syncer_wait(log->syncer);
			if (syncer_result(log->syncer, &code))
				synced(log, code);
		}
		if (audit_log_closed(log) || log->last.seq == log->synced.seq)
			break;
		commit(log);
	}
	return !audit_log_closed(log) && log->last.seq == log->synced.seq;
}

/* Expiry. */

void audit_expire(struct audit_log *log, uint64_t wall_ns)
{
	if (log->openings)
		log->counts.expired += audit_openings_expire(log->openings, wall_ns);
}

static void on_expire(struct loop_timer *timer)
{
	struct audit_log *log = OWNER(expire_timer, timer);
	audit_expire(log, clock_wall_ns());
	uint64_t next = clock_monotonic_ns() + audit_openings_tick_ns(log->openings);
	loop_timer_set(log->loop, &log->expire_timer, next, on_expire);
}

/* Life. */

static bool set_up(struct audit_log *log, const struct audit_options *options, struct error *err)
{
	int n = snprintf(log->path, sizeof(log->path), "%s", options->path);
	if (n < 0 || (size_t)n >= sizeof(log->path))
		return error_set(err, "%s: the path is too long", options->path);
	log->commit_ns = (options->commit_ms ? options->commit_ms : 200) * NS_PER_MS;
	log->rotate_at = options->rotate_octets ? options->rotate_octets : ROTATE_OCTETS;
	log->retry_ns = (options->retry_ms ? options->retry_ms : 1000) * NS_PER_MS;
	log->queue_cap = options->queue_cap ? options->queue_cap : (size_t)4 * 1024 * 1024;
	log->queue = malloc(log->queue_cap);
	log->syncer = syncer_new();
	log->merkle = merkle_new();
	if (!log->merkle)
		return error_set_openssl(err, "cannot hash for the audit log %s", log->path);
	if (!log->queue || !log->syncer || !loop_add(log->loop, &log->event, syncer_fd(log->syncer), on_synced))
		return error_set_errno(err, "cannot set up the audit log %s", log->path);
	if (options->openings && options->retention_ns) {
		log->openings = audit_openings_new(options->openings, options->retention_ns);
		if (!log->openings)
			return error_set(err, "cannot set up the audit log's openings in %s", options->openings);
	}
	return true;
}

/* Opens the files, or starts closed. False when there is a log that must not be continued. */
static bool begin(struct audit_log *log, struct error *err)
{
	bool busy = false;
	bool missing;
	struct stat st;
	struct error reason;
	if (files_open(log, &busy, &reason))
		return go_on(log, err);
	if (busy)
		return error_set(err, "%s", reason.text);
	/* Where the log ends may be readable all the same; entries taken meanwhile must continue it. */
	if (stat(log->path, &st) == 0 && st.st_size > 0) {
		if (!log->signer)
			log->signer = audit_key_open(log->path, NULL, NOTE_ED25519, &missing, &reason);
		if (!log->signer)
			return error_set(err,
				"%s: it must sign what the log goes on with. Put it back, or move the log and all "
				"%s.* aside to begin a new one, and keep them",
				reason.text, log->path);
		if (!go_on(log, err))
			return false;
	}
	shut(log, &reason, false);
	return true;
}

struct audit_log *audit_log_new(
	struct loop *loop, const struct audit_options *options, audit_state_fn *changed, void *ctx, struct error *err)
{
	struct audit_log *log = calloc(1, sizeof(*log));
	if (!log) {
		error_set(err, "no memory for the audit log");
		return NULL;
	}
	*log = (struct audit_log){.loop = loop, .fd = -1, .head_fd = -1, .waiters_end = &log->waiters};
	audit_tree_init(&log->tree, -1);
	if (!set_up(log, options, err) || !begin(log, err))
		goto failed;
	log->changed = changed;
	log->ctx = ctx;
	if (log->openings)
		on_expire(&log->expire_timer);
	return log;
failed:
	audit_log_free(log);
	return NULL;
}

static void detach(struct audit_log *log)
{
	loop_remove(log->loop, &log->event);
	loop_timer_clear(log->loop, &log->commit_timer);
	loop_timer_clear(log->loop, &log->retry_timer);
	loop_timer_clear(log->loop, &log->expire_timer);
	loop_task_cancel(log->loop, &log->state_task);
	loop_task_cancel(log->loop, &log->waiter_task);
	loop_task_cancel(log->loop, &log->commit_task);
}

void audit_log_free(struct audit_log *log)
{
	if (!log)
		return;
	if (log->queue && log->syncer && !audit_flush(log) && queued(log) > 0)
		log_error("audit log ends incomplete", LOG_N("first_missing", log->synced.seq + 1),
			LOG_N("last_missing", log->last.seq));
	detach(log);
	syncer_free(log->syncer);
	files_close(log);
	audit_openings_free(log->openings);
	note_signer_free(log->signer);
	merkle_free(log->merkle);
	settle_waiters(log, true);
	free(log->queue);
	free(log);
}

struct audit_counts audit_count(const struct audit_log *log)
{
	struct audit_counts counts = log->counts;
	counts.queued = queued(log);
	counts.queue_cap = log->queue_cap;
	return counts;
}
