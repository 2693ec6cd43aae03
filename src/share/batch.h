/*
 * share/batch.h — a batch on its way to the collector: a PUT frame (keys/courier.h) of sealed releases, and who waits for
 * its answer. No I/O, no allocation, no clock.
 */
#ifndef SHARE_BATCH_H
#define SHARE_BATCH_H

#include "keys/courier.h"
#include "share/queue.h"

#define BATCH_TAGS 64

struct batch_tags {
	size_t count;
	uint8_t octets[BATCH_TAGS][QUEUE_TAG];
};

/* A value; the frame's octets are the caller's. */
struct batch {
	uint8_t *frame; /* a PUT; its number is written anew with each attempt */
	size_t len;
	struct batch_tags tags;
	uint32_t sealed, taken; /* releases in it; of which were taken at the last attempt */
};

void batch_number(struct batch *batch, uint64_t number);
/*
 * Leaves out of the frame what `wanted` says no to. How many that are, of those that were not taken: which of them were
 * taken nobody knows here, so the fewest are counted, and `sealed` loses as many.
 */
must_check uint32_t batch_leave_out(
	struct batch *batch, bool (*wanted)(void *arg, const struct seal_head *head), void *arg);
/* Nothing is left in the frame. */
must_check bool batch_is_empty(const struct batch *batch);

#endif
