/*
 * audit/line.h — one line of the audit log, written and checked. No I/O.
 *
 * {"seq":N,"time":"2026-11-21T10:00:00.000Z","kind":"…",fields…,"prev":"64 hex","hash":"64 hex"} and LF. `hash` is SHA-256
 * over "overt audit line 1", 0x00 and the line's octets from "{" to before ,"hash": the text itself is the canonical
 * encoding, so a check needs no JSON. `prev` is the hash of the line before; in line 1 it is 64 zeros.
 */
#ifndef AUDIT_LINE_H
#define AUDIT_LINE_H

#include "audit/commit.h"
#include "audit/entry.h"

#define AUDIT_HASH     32
#define AUDIT_LINE_MAX ((size_t)128 * 1024) /* octets with the LF: more than any entry needs */

/* After the line `seq`, whose hash is `hash`, at the file's offset `offset`. All zero: the beginning. */
struct audit_place {
	uint64_t seq;
	uint8_t hash[AUDIT_HASH];
	uint64_t offset;
};

enum audit_verdict {
	AUDIT_INTACT,
	AUDIT_ALTERED, /* the line is not what was written */
	AUDIT_MISSING, /* lines are missing: a hole, or the end was cut off */
	AUDIT_TORN,    /* the last line has no end: a crash, cut off at the next start */
	AUDIT_UNREAD,  /* the file could not be read */
};

/*
 * Appends the entry's line (checked by audit_entry_check) and moves `at` past it. `commitments` holds one per field of
 * type AUDIT_COMMIT, in their order. When `w` is full, or hashing failed, false, and `at` stays.
 */
must_check bool audit_line_write(struct writer *w, const struct audit_entry *entry,
	const uint8_t commitments[][AUDIT_COMMIT_LEN], uint64_t wall_ns, struct audit_place *at);
/* One line without its LF. On AUDIT_INTACT `at` has moved past it, its LF included; else it stays. */
must_check enum audit_verdict audit_line_check(struct bytes line, struct audit_place *at);

/* `text` as the inside of a JSON string: what text_clean leaves has nothing to escape but quotes and backslashes. */
void audit_json_text(struct writer *w, struct bytes clean);

#endif
