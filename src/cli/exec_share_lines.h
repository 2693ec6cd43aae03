/*
 * cli/exec_share_lines.h — lines of key logs (RFC 9850) on their way to a collector: the keys of records that they are for
 * (share/line_keys.h), and the line itself where a grant with grade raw is in force. The hellos that say which suite and which
 * server a line is about are captured, from the first program on that gives lines, by a thread of its own. Any thread.
 */
#ifndef CLI_EXEC_SHARE_LINE_KEYS_H
#define CLI_EXEC_SHARE_LINE_KEYS_H

#include "cli/exec_share_send.h"
#include "keys/keylog.h"
#include "share/line_keys.h"

struct exec_lines;

/* `send` outlives it. NULL without memory. */
must_check struct exec_lines *exec_lines_new(struct exec_send *send);
/*
 * Begins to capture, unless that was done: for a program whose connections are still to come. What is missing for it is
 * said on standard error, once.
 */
void exec_lines_watch(struct exec_lines *lines);
/* `text` is the line without its LF, `line` what it says, `secret` its secret. False when it is of no use to a reader. */
bool exec_lines_take(struct exec_lines *lines, struct bytes text, const struct keylog_line *line, struct bytes secret);
/* A master secret of TLS 1.2, of which nothing else is known. */
void exec_lines_master(struct exec_lines *lines, const struct keylog_id *id, struct bytes master);
/* Settles what waits, and says on standard error of how many secrets the hellos were not seen. NULL is allowed. */
void exec_lines_free(struct exec_lines *lines);

#endif
