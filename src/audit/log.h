/*
 * audit/log.h — the audit log: append an entry, get its number. A file that is only appended to, one JSON line per entry
 * (audit/line.h), whose lines are the leaves of a Merkle tree (RFC 9162, 2.1). The form stands in docs/audit.md.
 *
 * Entries are numbered from 1 without holes, queued, written in groups and synced at most `commit_ms` after they came, by a
 * thread of the log's own. After each sync a signed checkpoint (PATH.head) says what the log then was, so that nothing
 * before it can be changed or cut off unnoticed. PATH.tree has the tree's nodes. One process at a time (flock).
 */
#ifndef AUDIT_LOG_H
#define AUDIT_LOG_H

#include "audit/entry.h"
#include "base/loop.h"

struct audit_log;

struct audit_options {
	const char *path; /* of the file, as "STATE/audit.log"; made with mode 0600 */
	const char
		*openings; /* of the folder for openings, as "STATE/openings"; made with mode 0700; NULL: none kept */
	uint64_t retention_ns;  /* openings are destroyed no later than this after their entry; 0: none are kept */
	uint32_t commit_ms;     /* 0 means 200 */
	size_t queue_cap;       /* octets of lines not yet synced; 0 means 4 MiB */
	uint64_t rotate_octets; /* a log this long is put aside (audit/rotate.h), and numbers begin anew; 0: 1 GiB */
	uint32_t retry_ms;      /* while the log is closed; 0 means 1000 */
};

struct audit_counts {
	uint64_t appended; /* entries taken since the start */
	uint64_t refused;  /* entries that found the queue full */
	uint64_t synced;   /* number of the last entry known to be on the disk */
	uint64_t syncs;
	uint64_t closings; /* how often the log went from open to closed */
	uint64_t rotations;
	uint64_t expired; /* files of openings destroyed */
	size_t queued;    /* octets not yet synced */
	size_t queue_cap;
};

enum audit_result {
	AUDIT_QUEUED,  /* numbered, and on its way to the disk (also while the log is closed: see below) */
	AUDIT_FULL,    /* no room in the queue: refused and counted; the log is closed now */
	AUDIT_INVALID, /* audit_entry_check says no, or there is no randomness for a salt */
};

/* `reason` is NULL when the log is open; else a sentence, valid during the call. */
typedef void audit_state_fn(const char *reason, void *ctx);
/* `ok` false: the log closed before the entry was on the disk; it is still queued and may get there later. */
typedef void audit_synced_fn(bool ok, void *ctx);

/*
 * Opens or makes the log and its key, and goes on where it ends. A torn last line (a crash) is cut off and an entry
 * REPAIRED recorded. NULL with `err` set when the log cannot be continued: it is in use by another process, its end was
 * altered, lines that were once synced are missing, or its key is missing or another. Not being able to write is no
 * failure: the log then starts closed and retries. `changed` is called from the loop at each change of state, never
 * inside a call made here; may be NULL.
 */
must_check struct audit_log *audit_log_new(
	struct loop *loop, const struct audit_options *options, audit_state_fn *changed, void *ctx, struct error *err);
/* Writes and syncs what is queued (this blocks), stops the thread, frees. Who waits for a sync is told now. */
void audit_log_free(struct audit_log *log);

/* NULL when open. While closed nothing may be inspected; entries for what was already decided are still taken. */
must_check const char *audit_log_closed(const struct audit_log *log);

/*
 * Never blocks. *seq (may be NULL) is the entry's number. `wall_ns` is its time. A value of type AUDIT_COMMIT is cleaned
 * and cut like a text, then committed to; its opening is kept for the retention.
 */
must_check enum audit_result audit_append(
	struct audit_log *log, const struct audit_entry *entry, uint64_t wall_ns, uint64_t *seq);
/* As audit_append, synced at once: `done` is called from the loop when the entry is on the disk, or the log closed. */
must_check enum audit_result audit_append_synced(
	struct audit_log *log, const struct audit_entry *entry, uint64_t wall_ns, audit_synced_fn *done, void *ctx);
/* Blocks until all that is queued is on the disk. False when the log is closed. For short programs and the end. */
must_check bool audit_flush(struct audit_log *log);
/* Destroys openings whose time is over. The log does so by itself; this is for tests and verbs. */
void audit_expire(struct audit_log *log, uint64_t wall_ns);

must_check struct audit_counts audit_count(const struct audit_log *log);

#endif
