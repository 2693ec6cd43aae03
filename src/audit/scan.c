#include "audit/scan.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define WINDOW (2 * AUDIT_LINE_MAX)

static bool fill(struct scan *scan)
{
	if (scan->at > 0) {
		memmove(scan->buffer, scan->buffer + scan->at, scan->len - scan->at);
		scan->len -= scan->at;
		scan->at = 0;
	}
	while (!scan->ended && scan->len < WINDOW) {
		ssize_t n = read(scan->fd, scan->buffer + scan->len, WINDOW - scan->len);
		if (n < 0)
			return false;
		scan->ended = n == 0;
		scan->len += (size_t)n;
	}
	return true;
}

enum next { NEXT_LINE, NEXT_END, NEXT_TORN, NEXT_LONG, NEXT_UNREAD };

/* The next line without its LF. */
static enum next next_line(struct scan *scan, struct bytes *line)
{
	struct bytes rest = bytes_of(scan->buffer + scan->at, scan->len - scan->at);
	size_t end = bytes_find(rest, '\n', 0);
	if (end == rest.len && !scan->ended) {
		if (!fill(scan))
			return NEXT_UNREAD;
		rest = bytes_of(scan->buffer + scan->at, scan->len - scan->at);
		end = bytes_find(rest, '\n', 0);
	}
	if (rest.len == 0)
		return NEXT_END;
	*line = bytes_of(rest.data, end);
	if (end >= AUDIT_LINE_MAX)
		return NEXT_LONG;
	if (end == rest.len)
		return NEXT_TORN;
	scan->at += end + 1;
	return NEXT_LINE;
}

static bool fault(struct scan *scan, enum audit_verdict verdict, const char *what)
{
	uint64_t line = scan->report->last.seq + 1;
	scan->report->verdict = verdict;
	scan->report->line = line;
	error_set(&scan->report->text, "%s: line %" PRIu64 " %s", scan->path, line, what);
	return false;
}

/* Which line it is cannot be told. */
static bool fault_somewhere(struct scan *scan, enum audit_verdict verdict)
{
	scan->report->verdict = verdict;
	scan->report->line = 0;
	error_set(&scan->report->text,
		"%s: among the lines 1 to %" PRIu64 " one is not what was written: they do not lead to the root of "
		"the checkpoint (which one, a good %s.tree would tell)",
		scan->path, scan->head.size, scan->path);
	return false;
}

static bool unread(struct scan *scan)
{
	scan->report->verdict = AUDIT_UNREAD;
	return error_set_errno(&scan->report->text, "cannot read %s", scan->path);
}

/* The stored hash of a line, if it leads to the root of the checkpoint. */
static bool proven(const struct scan *scan, uint64_t seq, struct merkle_hash *leaf)
{
	struct merkle_store store = {.merkle = scan->merkle, .read = audit_tree_read, .ctx = scan->tree};
	struct merkle_proof proof;
	return seq >= 1 && seq <= scan->head.size && audit_tree_read(scan->tree, merkle_stored_at(0, seq - 1), leaf) &&
	       merkle_prove_leaf(&store, seq - 1, scan->head.size, &proof) &&
	       merkle_check_leaf(scan->merkle, &proof, seq - 1, scan->head.size, leaf, &scan->head.root);
}

/* A line that does not belong here: one of this log, from further on, or one that nobody wrote so. */
static bool displaced(struct scan *scan, const struct merkle_hash *hash, uint64_t seq)
{
	struct merkle_hash other;
	struct bytes line;
	uint64_t here = scan->report->last.seq + 1;
	uint64_t next_seq;
	if (seq <= here || !proven(scan, seq, &other) || !merkle_same(&other, hash))
		return fault(scan, AUDIT_ALTERED, "is not what was written");
	if (next_line(scan, &line) == NEXT_LINE && audit_line_seq(line, &next_seq) && next_seq == here)
		return fault(scan, AUDIT_ALTERED, "stands after the one that follows it");
	return fault(scan, AUDIT_MISSING, "is missing: a later one stands in its place");
}

/* Against what the tree says of it. */
static bool compare(struct scan *scan, const struct merkle_hash *hash, uint64_t seq)
{
	uint64_t here = scan->report->last.seq + 1;
	struct merkle_hash stored;
	if (!scan->believe || here > scan->head.size)
		return true;
	if (audit_tree_read(scan->tree, merkle_stored_at(0, here - 1), &stored) && merkle_same(&stored, hash))
		return true;
	if (proven(scan, here, &stored))
		return merkle_same(&stored, hash) || displaced(scan, hash, seq);
	scan->believe = false;
	scan->report->no_tree = true;
	return true;
}

static bool compare_root(struct scan *scan, const struct merkle_head *head, const char *name)
{
	struct merkle_hash root;
	if (head->size != scan->report->last.seq)
		return true;
	if (!merkle_edge_root(scan->merkle, &scan->report->last.tree, &root))
		return unread(scan);
	if (merkle_same(&root, &head->root))
		return true;
	if (!name)
		return fault_somewhere(scan, AUDIT_ALTERED);
	scan->report->verdict = AUDIT_REWRITTEN;
	return error_set(&scan->report->text, "%s: its lines 1 to %" PRIu64 " are not those that %s is of", scan->path,
		head->size, name);
}

static bool compare_roots(struct scan *scan)
{
	if (scan->head.size > 0 && !compare_root(scan, &scan->head, NULL))
		return false;
	for (size_t i = 0; i < scan->pin_count; i++) {
		if (!compare_root(scan, &scan->pins[i].head, scan->pins[i].name))
			return false;
	}
	return true;
}

/* A crash of the machine may leave a written, never synced page as zeros; a line has none, whatever stands behind it. */
static bool never_synced(const struct scan *scan, struct bytes line)
{
	return scan->report->last.seq >= scan->head.size && bytes_find(line, 0, 0) < line.len;
}

static bool take_line(struct scan *scan, struct bytes line)
{
	struct audit_place *last = &scan->report->last;
	struct merkle_made made;
	struct merkle_hash hash;
	uint64_t seq = 0;
	size_t len = line.len;
	if (never_synced(scan, line))
		return fault(scan, AUDIT_TORN, "was never on the disk whole: a crash of the machine");
	if (!merkle_leaf(scan->merkle, line, &hash))
		return unread(scan);
	bool form = audit_line_seq(line, &seq);
	if (!compare(scan, &hash, seq))
		return false;
	if (!form)
		return fault(scan, AUDIT_ALTERED, "is not what was written");
	if (seq != last->seq + 1)
		return fault(scan, seq > last->seq ? AUDIT_MISSING : AUDIT_ALTERED,
			seq > last->seq ? "is missing: a later one stands in its place"
					: "is an earlier one once more");
	if (!merkle_edge_add(scan->merkle, &last->tree, &hash, &made) ||
		(scan->fill && !audit_tree_add(scan->tree, last->tree.size, &made)))
		return unread(scan);
	last->seq++;
	last->offset += len + 1;
	last->leaf = hash;
	return compare_roots(scan);
}

static bool take_end(struct scan *scan, bool torn)
{
	if (scan->report->last.seq < scan->head.size) {
		fault(scan, AUDIT_MISSING, "and what follows it are missing");
		return false;
	}
	return !torn || fault(scan, AUDIT_TORN, "has no end: a crash cut it off, or it is being written");
}

static bool take_long(struct scan *scan, struct bytes line)
{
	return fault(scan, never_synced(scan, line) ? AUDIT_TORN : AUDIT_ALTERED, "is longer than any line");
}

static void run(struct scan *scan)
{
	struct bytes line = BYTES_NONE;
	for (;;) {
		switch (next_line(scan, &line)) {
		case NEXT_UNREAD:
			unread(scan);
			return;
		case NEXT_END:
			take_end(scan, false);
			return;
		case NEXT_TORN:
			take_end(scan, true);
			return;
		case NEXT_LONG:
			take_long(scan, line);
			return;
		case NEXT_LINE:
			if (!take_line(scan, line))
				return;
		}
	}
}

void scan_run(struct scan *scan)
{
	scan->fd = open(scan->path, O_RDONLY | O_CLOEXEC);
	scan->buffer = malloc(WINDOW);
	if (scan->fd < 0 || !scan->buffer || lseek(scan->fd, (off_t)scan->report->last.offset, SEEK_SET) < 0)
		unread(scan);
	else
		run(scan);
	if (scan->fill && scan->report->verdict != AUDIT_UNREAD && !audit_tree_flush(scan->tree))
		unread(scan);
	free(scan->buffer);
	if (scan->fd >= 0)
		close(scan->fd);
}
