#include "audit/verify.h"

#include "base/text.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

/* A window on the file that always begins at a line. */
struct scan {
	int fd;
	uint8_t *buffer; /* 2 * AUDIT_LINE_MAX */
	size_t len, at;
	bool ended;
	uint64_t synced; /* lines up to here were once on the disk whole: what is wrong with them is no crash */
};

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

static void judge(struct audit_report *report, enum audit_verdict verdict, const char *path)
{
	uint64_t line = report->last.seq + 1;
	report->verdict = verdict;
	report->line = line;
	if (verdict == AUDIT_ALTERED)
		error_set(&report->text,
			"%s: line %" PRIu64 " is not what was written, or the line before it was changed", path, line);
	else if (verdict == AUDIT_MISSING)
		error_set(&report->text, "%s: the lines from %" PRIu64 " on are missing", path, line);
	else
		error_set(&report->text, "%s: line %" PRIu64 " has no end: a crash cut it off", path, line);
}

/* A crash of the machine may leave a written, never synced page as zeros; a line has none, whatever stands behind it. */
static bool never_synced(const struct scan *scan, const struct audit_report *report, struct bytes line)
{
	return report->last.seq >= scan->synced && bytes_find(line, 0, 0) < line.len;
}

static void scan_lines(struct scan *scan, const char *path, const struct audit_place *head, struct audit_report *report)
{
	for (;;) {
		struct bytes line = BYTES_NONE;
		enum next next = next_line(scan, &line);
		if (next == NEXT_UNREAD) {
			report->verdict = AUDIT_UNREAD;
			error_set_errno(&report->text, "cannot read %s", path);
			return;
		}
		if (next == NEXT_END || next == NEXT_TORN) {
			if (report->last.seq < scan->synced)
				judge(report, AUDIT_MISSING, path);
			else if (next == NEXT_TORN)
				judge(report, AUDIT_TORN, path);
			return;
		}
		struct audit_place at = report->last;
		enum audit_verdict verdict = next == NEXT_LONG ? AUDIT_ALTERED : audit_line_check(line, &at);
		if (verdict == AUDIT_INTACT && at.seq == head->seq && memcmp(at.hash, head->hash, AUDIT_HASH) != 0)
			verdict = AUDIT_ALTERED;
		if (verdict != AUDIT_INTACT) {
			judge(report, never_synced(scan, report, line) ? AUDIT_TORN : verdict, path);
			return;
		}
		report->last = at;
	}
}

/* Whether the line that ends at the place carries its hash; true for the beginning. */
static bool place_holds(int fd, const struct audit_place *place)
{
	if (place->seq == 0)
		return place->offset == 0;
	struct audit_place head = {0};
	uint8_t line[AUDIT_HASH * 2 + 3];
	if (place->offset < sizeof(line) ||
		pread(fd, line, sizeof(line), (off_t)(place->offset - sizeof(line))) != (ssize_t)sizeof(line))
		return false;
	size_t len;
	struct bytes hex = bytes_of(line, (size_t)AUDIT_HASH * 2);
	struct bytes end = bytes_of(line + sizeof(line) - 3, 3);
	return bytes_equal(end, bytes_str("\"}\n")) && text_unhex(head.hash, sizeof(head.hash), &len, hex) &&
	       memcmp(head.hash, place->hash, AUDIT_HASH) == 0;
}

static void verify(
	const char *path, const struct audit_place *from, const struct audit_place *head, struct audit_report *report)
{
	*report = (struct audit_report){.verdict = AUDIT_INTACT, .last = *from};
	struct scan scan = {.fd = open(path, O_RDONLY | O_CLOEXEC), .buffer = malloc(WINDOW), .synced = head->seq};
	if (scan.fd < 0 || !scan.buffer || lseek(scan.fd, (off_t)from->offset, SEEK_SET) < 0) {
		report->verdict = AUDIT_UNREAD;
		error_set_errno(&report->text, "cannot read %s", path);
	} else if (!place_holds(scan.fd, from)) {
		report->last = (struct audit_place){.seq = from->seq - 1};
		judge(report, AUDIT_ALTERED, path);
	} else {
		scan_lines(&scan, path, head, report);
	}
	if (report->verdict == AUDIT_INTACT)
		error_set(&report->text, "%s: %" PRIu64 " lines, none altered or missing", path, report->last.seq);
	free(scan.buffer);
	if (scan.fd >= 0)
		close(scan.fd);
}

void audit_verify(const char *path, struct audit_report *report)
{
	struct audit_place head;
	struct audit_place beginning = {0};
	struct error err = {0};
	if (!audit_head_read(path, &head, &err)) {
		*report = (struct audit_report){.verdict = AUDIT_UNREAD, .text = err};
		return;
	}
	verify(path, &beginning, &head, report);
}

void audit_verify_from(const char *path, const struct audit_place *from, struct audit_report *report)
{
	verify(path, from, from, report);
}
