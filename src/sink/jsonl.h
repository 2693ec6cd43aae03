/*
 * sink/jsonl.h — one JSON object per line and event (docs/jsonl.md is the schema). Each batch is one write, each line
 * is whole; the file is appended to, with mode 0600.
 */
#ifndef SINK_JSONL_H
#define SINK_JSONL_H

#include "sink/sink.h"

#define JSONL_VERSION 1

/* `path` "-" is standard output. `unmasked`: credentials as they are. NULL with `err` set. */
must_check struct sink *jsonl_new(const char *path, bool unmasked, struct error *err);

#endif
