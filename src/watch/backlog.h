/*
 * watch/backlog.h — what one stream holds: its segments, what they cost, and since when it waits. Exists only while the
 * stream waits for something. Part of watch/stream; nobody else calls it. No I/O, no clock.
 */
#ifndef WATCH_BACKLOG_H
#define WATCH_BACKLOG_H

#include "watch/stream.h"

struct backlog {
	struct stream *stream;
	struct backlog *earlier, *later; /* in its queue of the pool */
	struct segment *tree;            /* empty only within a turn */
	uint64_t first;                  /* position of the first segment; UINT64_MAX without any */
	uint64_t reach;                  /* end of the last there ever was */
	uint64_t mark;                   /* when patience ends, holes up to here are given up */
	uint64_t since_ns;
	size_t octets; /* cost of all, this struct included */
	uint32_t packets;
	enum stream_wait wait;
};

enum backlog_result {
	BACKLOG_HELD,
	BACKLOG_FULL, /* one of stream_limits is reached, or there is no memory */
};

/*
 * Holds what the turn has left of its segment: copies what is not held yet, compares what is, and moves the turn's
 * remainder past what it dealt with. Makes the backlog if need be.
 */
must_check enum backlog_result backlog_hold(struct stream_pool *pool, struct stream *stream, struct stream_turn *turn);

/* Takes out the first segment. */
must_check struct segment *backlog_pop(struct stream_pool *pool, struct backlog *backlog);

/* Octets have come for [start, end): voids give way to them. `start` is not beyond the first segment's. */
void backlog_fill(struct stream_pool *pool, struct backlog *backlog, uint64_t end);

/* What the stream waits for now. */
must_check enum stream_wait backlog_waits_for(const struct backlog *backlog);
/* Patience begins anew. */
void backlog_restart(struct stream_pool *pool, struct backlog *backlog, uint64_t now);
must_check bool backlog_is_due(const struct stream_pool *pool, const struct backlog *backlog, uint64_t now);

/* Frees everything. NULL is allowed. */
void backlog_free(struct stream_pool *pool, struct stream *stream);

#endif
