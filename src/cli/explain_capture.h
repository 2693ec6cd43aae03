/*
 * cli/explain_capture.h — one connection out of a capture, with the secrets of a key log, for `overt explain schedule`: the
 * packets go the way of `overt watch` (watch/table.h) as far as its two streams.
 */
#ifndef CLI_EXPLAIN_CAPTURE_H
#define CLI_EXPLAIN_CAPTURE_H

#include "base/error.h"
#include "explain/schedule_parts.h"

#define EXPLAIN_FILES 16 /* key logs and files of PSKs, each */
#define EXPLAIN_SAID  1024

struct explain_capture {
	const char *path;
	const char *keys[EXPLAIN_FILES], *psks[EXPLAIN_FILES];
	size_t key_count, psk_count;
	const char *
		connection; /* its number among those of TLS, from 1, or a client random in hex; NULL: the first with keys */
};

/*
 * Reads the connection into `*out`, whose messages are views of `*room`; the caller wipes both. `said` gets a sentence of
 * where it stands. False with err set.
 */
must_check bool explain_capture_read(const struct explain_capture *wish, struct buffer *room,
	struct schedule_source *out, char said[EXPLAIN_SAID], struct error *err);

#endif
