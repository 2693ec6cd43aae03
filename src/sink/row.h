/*
 * sink/row.h — one row of the table of requests, as columns fitted to a width or as a plain line. No I/O.
 *
 * A plain line is twelve fields between single blanks, "-" where a field is empty; no field but the last holds a blank:
 * time client verdict host method path status type octets seconds ending note
 */
#ifndef SINK_ROW_H
#define SINK_ROW_H

#include "base/bytes.h"

/* How a row is coloured; what the verdict's word says. */
enum row_tone { ROW_GOOD, ROW_ASIDE, ROW_BAD, ROW_QUIET };

/* Texts come from strangers: the writers here clean them. */
struct row {
	uint64_t time_ns;    /* wall clock */
	struct bytes client; /* address and port as text */
	const char *verdict; /* "inspect", "bypass", "block", "failed", "refused", … */
	enum row_tone tone;
	struct bytes host;
	const char *scheme_method; /* "tls", "tcp" where there is no message; else NULL */
	struct bytes method, path; /* empty where there is no message */
	unsigned status;           /* 0: none */
	struct bytes type;         /* media type without parameters */
	uint64_t octets;
	uint64_t duration_ns;
	const char *ending; /* "done", "reset", … */
	struct bytes note;  /* why, in words; may be empty */
};

struct row_style {
	unsigned columns; /* of the terminal; 0: plain lines */
	bool colour;
	bool utf8;
	uint64_t zone_offset_s; /* added to UTC for the clock column, modulo a day */
};

#define ROW_ROOM 16384 /* octets of the longest row */

/* Each returns the octets written, with the newline, at most ROW_ROOM. */
size_t row_write(const struct row *row, const struct row_style *style, char out[static ROW_ROOM]);
/* The line of headings for that width. Nothing for plain lines. */
size_t row_headings(const struct row_style *style, char out[static ROW_ROOM]);

/* "0", "999", "1.2K", "34M" in units of 1024; "340us", "12ms", "1.2s", "3m12s", "2h05m", "3d04h". Octets written. */
size_t row_octets(uint64_t octets, char out[static 24]);
size_t row_duration(uint64_t ns, char out[static 24]);

#endif
