/*
 * sink/output.h — where a sink writes: whole records are gathered and written in one call per batch. A descriptor that
 * cannot take them costs records, which are counted; the log says so once, and once more when it works again, at most
 * one such pair a minute: a nearly full disk changes its mind at every batch.
 */
#ifndef SINK_OUTPUT_H
#define SINK_OUTPUT_H

#include "base/bytes.h"
#include "base/error.h"
#include "sink/sink.h"

#define OUTPUT_CAP   ((size_t)1 << 20)   /* octets gathered at most, and the longest record */
#define OUTPUT_BATCH ((size_t)128 << 10) /* written as soon as that much is gathered */

struct output {
	struct sink *sink; /* its counts and its name */
	int fd;
	char *path; /* NULL: `fd` is the caller's */
	bool regular;
	bool secret;      /* what was written is wiped from the buffer */
	bool failing;     /* and the log says so */
	uint64_t said_ns; /* when it said so last; 0: never */
	uint64_t unsaid;  /* batches lost since, while it had said that writing works */
	uint8_t *buffer;
	size_t len;
	uint64_t pending; /* records in the buffer */
};

enum output_mode {
	OUTPUT_APPEND,  /* goes on behind what is there */
	OUTPUT_REPLACE, /* begins anew; goes on behind what is there while another process writes it */
	OUTPUT_SECRET,  /* as APPEND, and nobody but the owner may read it, whatever its mode was */
};

/* Opens or makes the file with mode 0600. "-" is standard output, whatever the mode. False with `err` set. */
must_check bool output_open(
	struct output *out, struct sink *sink, const char *path, enum output_mode mode, struct error *err);
/* Writes to a descriptor of the caller's. False without memory. */
must_check bool output_to(struct output *out, struct sink *sink, int fd);
/* Flushes, closes what was opened, wipes the buffer and frees. Harmless on a zeroed one. */
void output_close(struct output *out);

/* Room for one record of at most `max` octets. NULL (counted as lost) when it is longer than OUTPUT_CAP. */
must_check uint8_t *output_room(struct output *out, size_t max);
/* The record is `len` octets. May write. */
void output_commit(struct output *out, size_t len);
/* As output_commit of a record that did not come out: counted as lost. */
void output_lost(struct output *out);

void output_flush(struct output *out);

/*
 * Opens the file by name again, if it is another one by now. *fresh says whether it is empty, so that it needs its
 * beginning. On false the old file goes on. Nothing happens without a path.
 */
must_check bool output_reopen(struct output *out, enum output_mode mode, bool *fresh, struct error *err);

#endif
