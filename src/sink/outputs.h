/* sink/outputs.h — the outputs that a user can ask for, opened into a feed. */
#ifndef SINK_OUTPUTS_H
#define SINK_OUTPUTS_H

#include "sink/feed.h"

/* Zeroed is none, except terminal_fd: -1. Texts are used while opening only. */
struct outputs {
	int terminal_fd;       /* the table of requests; stays the caller's; -1: none */
	const char *jsonl;     /* file name, "-" for standard output, NULL: none */
	const char *pcapng;    /* file name or NULL */
	const char *keylog;    /* file name or NULL */
	const char *plaintext; /* directory of plaintext, or NULL */
	const char *objects;   /* directory of bodies, or NULL */
	bool unmasked;         /* credentials in the table, in jsonl and in the list of bodies as they are */
};

#define OUTPUTS_MAX 6

/* Adds a sink for each. False with `err` set where one cannot be opened: close the feed. */
must_check bool outputs_open(const struct outputs *outputs, struct feed *feed, struct error *err);
/* The same for whoever gives them to several feeds (sink/shared.h): at most OUTPUTS_MAX. On false all are closed. */
must_check bool outputs_make(
	const struct outputs *outputs, struct sink *out[OUTPUTS_MAX], size_t *count, struct error *err);

#endif
