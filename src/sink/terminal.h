/*
 * sink/terminal.h — the live table: a line per request when it has ended, and one per flow that carried none. On a
 * terminal columns fitted to its width, coloured unless NO_COLOR is set; elsewhere the plain lines of sink/row.h.
 */
#ifndef SINK_TERMINAL_H
#define SINK_TERMINAL_H

#include "sink/sink.h"

struct terminal_options {
	int fd;           /* stays the caller's */
	bool unmasked;    /* credentials as they are */
	unsigned columns; /* 0: asked of the terminal; plain lines where `fd` is none. For tests: this many */
	bool colour;      /* only where columns is given */
};

/* NULL with `err` set. */
must_check struct sink *terminal_new(const struct terminal_options *options, struct error *err);

#endif
