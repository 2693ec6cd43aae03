/*
 * share/queue.h — releases that wait for the sender's thread: in memory for secrets, up to a number. Any thread puts, one
 * takes.
 */
#ifndef SHARE_QUEUE_H
#define SHARE_QUEUE_H

#include "base/error.h"
#include "keys/release.h"

#define QUEUE_MAX 4096
#define QUEUE_TAG 16 /* octets */

struct queued {
	struct release release;
	bool tagged;
	uint8_t tag[QUEUE_TAG];
};

struct queue;

must_check struct queue *queue_new(void); /* NULL without memory */
/* Wipes. NULL is allowed. */
void queue_free(struct queue *queue);
/* Copies; never blocks. False when it is full. */
must_check bool queue_put(struct queue *queue, const struct release *release, const void *tag);
/* The oldest; false when there is none. The caller wipes it. */
must_check bool queue_take(struct queue *queue, struct queued *out);
/* Until something is there, the end comes, or so long. */
void queue_wait(struct queue *queue, uint64_t most_ns);
/* Until so many are there, the end comes, or until that time (monotonic). One that comes alone wakes nobody. */
void queue_gather(struct queue *queue, size_t enough, uint64_t until_ns);
/* It ends: whatever is left at that time (monotonic) stays. Wakes who waits. */
void queue_end(struct queue *queue, uint64_t until_ns);
must_check bool queue_ending(struct queue *queue);
/* Whether there is time to go on. */
must_check bool queue_goes_on(struct queue *queue);
must_check size_t queue_left(struct queue *queue);

#endif
