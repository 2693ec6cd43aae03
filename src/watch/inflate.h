/*
 * watch/inflate.h — unpacking gzip (RFC 1952) and zstd (RFC 8878) octet by octet as they come, any number of members or
 * frames one after the other. Memory is bounded: 32 KiB of window with gzip, INFLATE_WINDOW_MAX with zstd. No I/O.
 */
#ifndef WATCH_INFLATE_H
#define WATCH_INFLATE_H

#include "base/bytes.h"
#include "base/error.h"

#define INFLATE_WINDOW_LOG 25 /* 32 MiB: what zstd needs up to level 20; more takes --ultra or --long when packing */

enum inflate_kind { INFLATE_NONE, INFLATE_GZIP, INFLATE_ZSTD };

enum inflate_result {
	INFLATE_OK,     /* went on: took octets, gave some, or both */
	INFLATE_MORE,   /* everything was taken and given out */
	INFLATE_BROKEN, /* `err` is set; what was given out before is good */
};

struct inflater;

/* By the first octets, at least 4 where there are so many. */
must_check enum inflate_kind inflate_kind_of(struct bytes start);

/* NULL without memory. `kind` is not INFLATE_NONE. */
must_check struct inflater *inflater_new(enum inflate_kind kind);
/* NULL is allowed. */
void inflater_free(struct inflater *inflater);

/* Unpacks from the front of `in`, which moves on, to `out`: at most `room` octets; *made is how many. */
must_check enum inflate_result inflater_run(
	struct inflater *inflater, struct bytes *in, uint8_t *out, size_t room, size_t *made, struct error *err);

/* Whether the input may end here: every member that began has ended. */
must_check bool inflater_between(const struct inflater *inflater);

#endif
