/*
 * sink/objects.h — a file for every body of HTTP that a flow carried, with its content codings taken off, and a manifest
 * of them. Bodies are written as they come and never held in memory.
 *
 * Files are named by host and path (sink/objects_name.h). A body of which octets are missing, or whose end was not seen,
 * keeps what came of it, under a name that ends in ".incomplete". The manifest, index.jsonl, gets a line for each body
 * when its exchange is over; docs/jsonl.md has its members.
 */
#ifndef SINK_OBJECTS_H
#define SINK_OBJECTS_H

#include "sink/sink.h"

#define OBJECTS_MAX           16384               /* exchanges at a time: those over it are counted as capped */
#define OBJECTS_CODING_MEMORY ((size_t)256 << 20) /* octets that content codings of all bodies may take together */

/* The directory is made with mode 0700 when it is missing, its files with 0600. NULL with `err` set. */
must_check struct sink *objects_new(const char *directory, bool unmasked, struct error *err);

#endif
