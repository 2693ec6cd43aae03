/*
 * cli/exec_share_fifo.h — a FIFO for programs that can do no better than write a key log (RFC 9850). Keys of records are
 * made of what comes, and the secrets wiped: for a view of this machine here, for a collector in cli/exec_share_lines.h. A
 * thread of its own.
 */
#ifndef CLI_EXEC_SHARE_FIFO_H
#define CLI_EXEC_SHARE_FIFO_H

#include "cli/exec_share_lines.h"
#include "cli/exec_share_view.h"

struct fifo;

struct fifo_counts {
	uint64_t lines, refused; /* taken; no key log, or of no use */
};

/* Makes the FIFO, mode 0600. Its keys go to `view`, or where that is NULL to `to`. NULL with `err` set. The path must stay. */
must_check struct fifo *fifo_new(const char *path, struct view *view, struct exec_lines *to, struct error *err);
/* Reads what was written until now, ends, and removes the FIFO. NULL is allowed. */
struct fifo_counts fifo_free(struct fifo *fifo);

#endif
