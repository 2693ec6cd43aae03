/*
 * cli/exec_share_lines.h — lines of key logs (RFC 9850) on their way to a collector: a record key where the line says enough
 * for one, and the line itself where a grant with grade raw is in force. What is left over is wiped.
 */
#ifndef CLI_EXEC_SHARE_LINES_H
#define CLI_EXEC_SHARE_LINES_H

#include "cli/exec_share_send.h"
#include "keys/keylog.h"
#include "tls/crypto.h"

enum exec_line {
	EXEC_LINE_SENT,
	EXEC_LINE_UNSURE, /* it does not say which suite it belongs to, and no grant with grade raw wants it */
	EXEC_LINE_NONE,   /* of no use to a reader, or not to be released at all */
};

/* `text` is the line without its LF, `line` what it says, `secret` its secret. Nothing of it is kept but what was sent. */
enum exec_line exec_line_send(struct exec_send *send, struct crypto *crypto, struct bytes text,
	const struct keylog_line *line, struct bytes secret);

#endif
