/*
 * watch/park.h — what waits for a key: stretches of one direction in their order, with the octets of whole records, and the
 * line in which the sessions of a thread wait, longest first. No I/O, no clock.
 */
#ifndef WATCH_PARK_H
#define WATCH_PARK_H

#include "watch/records.h"

struct parked {
	struct parked *next;
	struct stretch stretch; /* `record.fragment` points behind this struct */
	uint64_t order;         /* of joining, among all */
	uint64_t time_ns;
	size_t cost; /* octets of memory */
};

/* One direction. Zeroed when empty. */
struct park_queue {
	struct parked *first, *last;
	size_t cost;
};

/* One session's place in the line. Zeroed when it does not wait. */
struct park_place {
	struct park_place *longer, *shorter;
	uint64_t since_ns;
	bool waits;
};

/* Shared by a thread's sessions. Zeroed when new. */
struct park {
	struct park_place *longest, *shortest;
	size_t cost, peak, places;
	uint64_t joined;
};

/* A copy joins the queue. False without memory. */
must_check bool park_add(struct park *park, struct park_queue *queue, const struct stretch *stretch, uint64_t time_ns);
/* The first leaves and is freed; the queue is not empty. */
void park_drop(struct park *park, struct park_queue *queue);
void park_clear(struct park *park, struct park_queue *queue);

/* Joins the line at its end, if not in it already. Times need not be in order. */
void park_join(struct park *park, struct park_place *place, uint64_t now_ns);
/* Allowed at any time. */
void park_leave(struct park *park, struct park_place *place);

#endif
