/*
 * collect/fetch.h — a reader's side of the collector: fetches sealed keys, opens them with the reader's private key, and
 * hands them on. A thread of its own; with `follow` it connects again whenever the connection is lost, and goes on where it
 * was if the collector is still the same.
 */
#ifndef COLLECT_FETCH_H
#define COLLECT_FETCH_H

#include "base/error.h"
#include "collect/tls.h"
#include "keys/release.h"
#include "keys/secret.h"

struct fetch_options {
	struct collect_files files;
	const char *address; /* HOST:PORT; its certificate must name HOST */
	bool follow;
	/*
	 * A grant of RELEASE_GRANT octets for which the reader says that it is enough, once it has what is held; NULL: none.
	 * Not with `follow`.
	 */
	const uint8_t *enough;
	/* From the fetch's thread. `sender` is the common name of the certificate of whoever sent it. */
	void (*took)(const struct release *release, const char *sender, void *ctx);
	void *ctx;
};

struct fetch_counts {
	uint64_t keys;      /* opened and handed on */
	uint64_t unopened;  /* not sealed to this key, altered, or contradicting their heads */
	uint64_t connected; /* connections that got as far as the first key, or to the end of what is held */
};

struct fetch;

/*
 * Connects and fetches what the collector holds, and returns then; with `follow` more comes until fetch_end. NULL with a
 * sentence when that could not be done. `key` is copied. `options->files` and `address` must stay until then.
 */
must_check struct fetch *fetch_begin(const struct fetch_options *options, const struct secret *key, struct error *err);
/* Ends the thread, frees. NULL is allowed; `counts` too. */
void fetch_end(struct fetch *fetch, struct fetch_counts *counts);
/* Readable when the fetch has ended by itself: without `follow`, or for good. -1 never. */
must_check bool fetch_over(struct fetch *fetch);

#endif
