/* audit/scan.h — the lines of a log one after the other, each held against the tree and against checkpoints. */
#ifndef AUDIT_SCAN_H
#define AUDIT_SCAN_H

#include "audit/verify.h"

struct scan {
	const char *path;
	struct merkle *merkle;
	struct audit_tree *tree; /* compared where `believe`, written where `fill` */
	bool believe, fill;
	struct merkle_head head; /* the newest checkpoint; size 0: none. What is wrong with its lines is no crash */
	const struct audit_pin *pins;
	size_t pin_count;
	struct audit_report *report; /* begins at report->last */
	/* The scan's own: a window on the file that begins at a line. */
	int fd;
	uint8_t *buffer;
	size_t len, at;
	bool ended;
};

/* Reads to the end, or to the first fault, which stands in the report then; else the report is left INTACT, no text. */
void scan_run(struct scan *scan);

#endif
