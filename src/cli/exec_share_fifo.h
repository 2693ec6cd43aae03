/*
 * cli/exec_share_fifo.h — a FIFO for programs that can do no better than write a key log (RFC 9850). Of TLS 1.3 only
 * record keys are kept: they are made at once, and the secrets wiped; a collector gets lines only where a grant says so
 * (cli/exec_share_lines.h). A thread of its own.
 */
#ifndef CLI_EXEC_SHARE_FIFO_H
#define CLI_EXEC_SHARE_FIFO_H

#include "cli/exec_share_send.h"
#include "cli/exec_share_view.h"

struct fifo;

struct fifo_counts {
	uint64_t lines, refused; /* taken; no key log, or of no use */
	uint64_t unsure;         /* not sent to the collector: which suite is not said */
};

/* Makes the FIFO, mode 0600. Its keys go to `view`, or where that is NULL to `send`. NULL with `err` set. The path must stay. */
must_check struct fifo *fifo_new(const char *path, struct view *view, struct exec_send *send, struct error *err);
/* Reads what was written until now, ends, and removes the FIFO. NULL is allowed. */
struct fifo_counts fifo_free(struct fifo *fifo);

#endif
