/* audit/verify.h — reading an audit log back (the form stands in docs/audit.md). Needs no secret and changes nothing. */
#ifndef AUDIT_VERIFY_H
#define AUDIT_VERIFY_H

#include "audit/head.h"
#include "audit/line.h"
#include "audit/tree.h"
#include "base/error.h"

enum audit_verdict {
	AUDIT_INTACT,
	AUDIT_ALTERED,     /* a line is not what was written, or stands in another's place */
	AUDIT_MISSING,     /* lines are missing: a hole, or the end was cut off */
	AUDIT_TORN,        /* the last line has no end: a crash, cut off at the next start */
	AUDIT_ROLLED_BACK, /* whole, but older than a checkpoint that was shown */
	AUDIT_REWRITTEN,   /* whole, but with another past than a checkpoint that was shown */
	AUDIT_FORGED,      /* the checkpoint is not signed by the log's key */
	AUDIT_UNREAD,      /* something could not be read */
};

/* In one word, as "altered". */
must_check const char *audit_verdict_name(enum audit_verdict verdict);

/* After the line `seq`, at the file's offset `offset`. All zero: the beginning. */
struct audit_place {
	uint64_t seq;
	uint64_t offset;
	struct merkle_hash leaf; /* of that line */
	struct merkle_edge tree; /* of all lines so far */
};

struct audit_report {
	enum audit_verdict verdict;
	uint64_t line;           /* the first bad line, counted from 1; 0: none, or it cannot be told which */
	struct audit_place last; /* the last good place */
	uint64_t signed_lines;   /* how many the newest checkpoint covers */
	bool no_tree;            /* PATH.tree is missing or damaged: no fault of the log */
	struct error text;       /* one sentence for people, also when intact */
};

/* A checkpoint from elsewhere, its signature verified: the log once had this size and this root. */
struct audit_pin {
	const char *name; /* for people */
	struct merkle_head head;
};

/* The whole file, held against PATH.head where that is there, which the key in PATH.pub must have signed. */
void audit_verify(const char *path, struct audit_report *report);
/* The same, with the key that is known to be the log's (NULL: PATH.pub), and checkpoints from elsewhere. */
void audit_verify_against(const char *path, const struct note_key *key, const struct audit_pin *pins, size_t pin_count,
	struct audit_report *report);
/* The lines from a place on, which is trusted once the line before it is seen to have its hash. */
void audit_verify_from(
	const char *path, struct merkle *merkle, const struct audit_place *from, struct audit_report *report);
/*
 * Where the log goes on, in `report`, which is INTACT, or TORN where a last line must be cut off. What PATH.head covers
 * is not read again, only its last line: reading all of it at each start would take minutes one day. Where `tree` lacks
 * nodes, they are written to it; with its fd -1 everything is read, and nothing written.
 */
void audit_resume(const char *path, struct merkle *merkle, struct audit_tree *tree, const struct note_key *key,
	struct audit_report *report);

/* The line `seq` without its LF into `room` (AUDIT_LINE_MAX octets), and where it begins. False: it is not to be found. */
must_check bool audit_find(int fd, uint64_t seq, uint8_t *room, struct bytes *line, uint64_t *offset);

#endif
