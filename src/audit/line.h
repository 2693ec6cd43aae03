/*
 * audit/line.h — one line of the audit log, written and read. No I/O.
 *
 * {"seq":N,"time":"2026-11-21T10:00:00.000Z","kind":"…",fields…} and LF. The octets without the LF are a leaf of the log's
 * Merkle tree: the text itself is the canonical encoding, so a check needs no JSON.
 */
#ifndef AUDIT_LINE_H
#define AUDIT_LINE_H

#include "audit/commit.h"
#include "audit/entry.h"

#define AUDIT_LINE_MAX ((size_t)128 * 1024) /* octets with the LF: more than any entry needs */

/*
 * Appends the entry's line (checked by audit_entry_check). `commitments` holds one per field of type AUDIT_COMMIT, in
 * their order. False when `w` is full.
 */
must_check bool audit_line_write(struct writer *w, const struct audit_entry *entry,
	const uint8_t commitments[][AUDIT_COMMIT_LEN], uint64_t wall_ns, uint64_t seq);
/* The number of a line without its LF. False when it is not in the form of a line. */
must_check bool audit_line_seq(struct bytes line, uint64_t *seq);

/* One member of a line, or of a line of openings. */
struct audit_member {
	struct bytes key;
	struct bytes value; /* digits, or the inside of the string with its escapes */
	bool number;
};

/* After "{" of a line without its LF; false when it does not begin so. */
must_check bool audit_line_open(struct bytes *line);
/* The next member; false at the end of the line and where it is not what audit_line_write writes. */
must_check bool audit_line_next(struct bytes *line, struct audit_member *member);

/* `text` as the inside of a JSON string: what text_clean leaves has nothing to escape but quotes and backslashes. */
void audit_json_text(struct writer *w, struct bytes clean);
/* And back: the octets written, cut at cap. */
must_check size_t audit_json_plain(struct bytes escaped, char *out, size_t cap);

#endif
