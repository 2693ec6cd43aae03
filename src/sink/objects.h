/*
 * sink/objects.h — a file for every body of HTTP that a flow carried, with its content codings taken off, and a manifest
 * of them. Bodies are written as they come and never held in memory.
 *
 * Files are named by host and path (sink/objects_name.h). A body of which octets are missing, or whose end was not seen,
 * keeps what came of it, under a name that ends in ".incomplete"; where octets are missing in the middle, they are left
 * out if there was no content coding, and end the file if there was one.
 *
 * The manifest, index.jsonl, gets an object for each body when its exchange is over, behind what stood there:
 *	time, flow, stream         of the request, as in docs/jsonl.md
 *	host, method, path, status what is known of them; host without its port; path cut at 512 octets, credentials masked
 *	body                       "request" or "response"
 *	type, coding               Content-Type and Content-Encoding, where they were sent
 *	decoded                    where there was a coding: whether it was taken off; false: the file is as sent
 *	octets, lost_octets        of the body as sent: those seen, those missing
 *	file_octets, file          of the file, and its name; no name where nothing came
 *	complete                   true: the file is the whole body
 *	why                        else: "gap", "cut" (the coding's end is missing), "bad-coding", "too-large", "no-memory",
 *	                           "not-written", or the ending of the exchange ("reset", "broken", "missed")
 */
#ifndef SINK_OBJECTS_H
#define SINK_OBJECTS_H

#include "sink/sink.h"

#define OBJECTS_MAX           16384               /* exchanges at a time: those over it are counted as capped */
#define OBJECTS_CODING_MEMORY ((size_t)256 << 20) /* octets that content codings of all bodies may take together */

/* The directory is made with mode 0700 when it is missing, its files with 0600. NULL with `err` set. */
must_check struct sink *objects_new(const char *directory, bool unmasked, struct error *err);

#endif
