/*
 * watch/segment.h — the octets of one TCP direction that cannot be given out yet, sorted by position: a treap, so that
 * insertion costs O(log n) in whatever order strangers send. No I/O. A position is a sequence number unwrapped to 64
 * bits (watch/stream.h). The segments of one tree never overlap.
 */
#ifndef WATCH_SEGMENT_H
#define WATCH_SEGMENT_H

#include "base/bytes.h"

struct segment {
	uint64_t start, end;    /* positions: end is one past the last octet; never empty */
	uint64_t time_ns;       /* of the packet that brought it */
	struct segment *lesser; /* the tree: positions below */
	struct segment *greater;
	uint32_t priority; /* random: no child has more than its parent */
	uint32_t room;     /* octets allocated for `data`: 0 where the octets were on the wire and not captured */
	uint8_t data[];
};

/* A segment over a copy of `octets`, which begin at `start`. NULL without memory. Free it with free(). */
must_check struct segment *segment_new(uint64_t start, struct bytes octets);
/* One of [start, end), of which nothing is known but that it was on the wire. */
must_check struct segment *segment_void(uint64_t start, uint64_t end);

static inline bool segment_is_void(const struct segment *s)
{
	return s->room == 0;
}

/* What is left of its data; none for a void. The start may have moved up since the segment was made. */
must_check struct bytes segment_bytes(const struct segment *s);
/* What it costs to hold it, with what the allocator adds. */
must_check size_t segment_cost(const struct segment *s);

/* Its range must be free in the tree. */
void segment_insert(struct segment **tree, struct segment *s);
/* The first whose end is beyond `position`; NULL when there is none. */
must_check struct segment *segment_after(struct segment *tree, uint64_t position);
must_check struct segment *segment_first(struct segment *tree);
/* Takes out the first. The tree must not be empty. */
must_check struct segment *segment_pop(struct segment **tree);
/* Takes out this one, which must be in the tree. */
void segment_remove(struct segment **tree, const struct segment *s);
/* Frees all of them, without recursion. */
void segment_free_all(struct segment **tree);

#endif
