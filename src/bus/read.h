/*
 * bus/read.h — a reader's side of the bus: fetches what is sealed to its key through a durable pull consumer, enters each
 * read in its own audit log, opens what came, hands it on, and only then acknowledges it. What is not acknowledged comes
 * again: whoever gets it must not mind. A thread of its own, beside the audit log's.
 *
 * It does not rest on what the bus remembers of a consumer: a server that begins to lead while another dies may forget that
 * something was delivered and not acknowledged. So what was in flight when a reader begins (the last BUS_IN_HAND) is read
 * again by number, with what came shortly before, for which another may have waited when it ended; so is whatever the stream
 * has and stays out (bus/missed.h), and so is what came around the moment at which another server began to lead the stream.
 */
#ifndef BUS_READ_H
#define BUS_READ_H

#include "bus/connect.h"
#include "keys/release.h"
#include "keys/secret.h"

struct bus_read_options {
	struct bus_options bus;
	const char *consumer; /* of the reader's stream; each gets everything once, and remembers what it has had */
	const char *audit;    /* file of the audit log: nothing is read while it cannot be written */
	bool follow;          /* go on as keys come */
	/* From the thread. `sender` is the name in the certificate of whoever sent it, as the collector has said. */
	void (*took)(const struct release *release, const char *sender, void *ctx);
	void *ctx;
};

struct bus_read_counts {
	uint64_t keys;        /* opened and handed on */
	uint64_t unopened;    /* sealed to another key, altered, or contradicting their heads */
	uint64_t malformed;   /* messages that hold no sealed release */
	uint64_t again;       /* of all these, what had been delivered before */
	uint64_t missed;      /* of all these, what did not come by itself and was asked for by number */
	uint64_t unlogged;    /* left on the bus because the audit log could not be written */
	uint64_t failures;    /* of fetches, while a server was lost or another began to lead */
	uint64_t lost, found; /* servers */
};

struct bus_read;

/*
 * Connects and fetches what is held for this consumer, and returns then; with `follow` more comes until bus_read_end. NULL
 * with a sentence when that could not be done. `key` is copied. Texts of the options must stay until the end.
 */
must_check struct bus_read *bus_read_begin(
	const struct bus_read_options *options, const struct secret *key, struct error *err);
/* Whether it has ended by itself: without `follow`, or for good. */
must_check bool bus_read_over(struct bus_read *read);
/* Ends the thread, frees. NULL is allowed; `counts` too. */
void bus_read_end(struct bus_read *read, struct bus_read_counts *counts);

#endif
