/*
 * flow/ring.h — records from one process to another through shared memory: one producer, one consumer, no system call
 * on the way, and neither can harm the other.
 *
 * Two memory files of sealed size. In `data` the producer writes records and how far it has got; in `control` the
 * consumer writes how far it has read, whether it sleeps, what it wants, and its skips. Indices only grow; each side
 * keeps its own in private memory and checks the other's against it. A consumer copies what it reads before it looks
 * at it, so nothing changes under its eyes. Two eventfds: `wake` for a sleeping consumer, `space` for a producer that
 * said it waits.
 */
#ifndef FLOW_RING_H
#define FLOW_RING_H

#include "base/bytes.h"
#include "base/error.h"

#define RING_SIZE_DEFAULT ((size_t)16 << 20)
#define RING_SIZE_MIN     ((size_t)256 << 10)
#define RING_SIZE_MAX     ((size_t)1 << 30)
#define RING_RECORD_MAX   ((size_t)128 << 10) /* octets of one record */

/* The four descriptors of a ring. They may cross exec; -1 where closed. */
struct ring_fds {
	int data, control, wake, space;
};

/* Makes a ring of `size` octets, a power of two from RING_SIZE_MIN to RING_SIZE_MAX. Descriptors are close-on-exec. */
must_check bool ring_create(struct ring_fds *fds, size_t size, struct error *err);
/* Closes those that are open and sets them to -1. */
void ring_fds_close(struct ring_fds *fds);

/* What the consumer wants published; bits of ring_wants(). */
enum ring_wants {
	RING_WANTS_EVENTS = 1, /* everything but plaintext and secrets */
	RING_WANTS_DATA = 2,   /* plaintext, as far as no skip says otherwise */
	RING_WANTS_SECRETS = 4 /* key log lines */
};

/* Octets of one direction of a flow, up to an absolute offset (as in struct event_data), that need not be published. */
struct ring_skip {
	uint64_t flow;
	uint64_t until;
	uint8_t direction;
};

/* Producer. One thread. */

struct ring_producer;

/* Maps the ring. `fds` stay the caller's and must outlive it. NULL with `err` set. */
must_check struct ring_producer *ring_producer_new(const struct ring_fds *fds, struct error *err);
void ring_producer_free(struct ring_producer *ring);

/* Room for one record of at most `max` octets (≤ RING_RECORD_MAX), or NULL when there is none now. Never blocks. */
must_check uint8_t *ring_begin(struct ring_producer *ring, size_t max);
/* Publishes the first `len` (≤ max) octets of what ring_begin gave. Wakes the consumer only where it sleeps. */
void ring_commit(struct ring_producer *ring, size_t len);

/* True when that many octets, record heads of up to 15 octets each included, are free. */
must_check bool ring_has_room(struct ring_producer *ring, size_t octets);
must_check size_t ring_size(const struct ring_producer *ring);

/*
 * Says that the producer waits for space. True: `space` will become readable once the ring is at most half full.
 * False: it is already, do not wait.
 */
must_check bool ring_wait(struct ring_producer *ring);

/* What the consumer asked for last. Until it has: events and plaintext, so that nothing is lost while it starts. */
must_check unsigned ring_wants(const struct ring_producer *ring);
/* Takes the next skip the consumer asked for. False when there is none. */
must_check bool ring_skip_next(struct ring_producer *ring, struct ring_skip *out);

/* Where everything was read: wipes the ring and gives its memory back to the system. For idle moments. */
void ring_trim(struct ring_producer *ring);

/* Consumer. One thread. */

struct ring_consumer;

must_check struct ring_consumer *ring_consumer_new(const struct ring_fds *fds, struct error *err);
void ring_consumer_free(struct ring_consumer *ring);

enum ring_result {
	RING_RECORD,
	RING_EMPTY,
	RING_BROKEN, /* the producer broke the rules; said from then on at every call */
};

/* The size of the next record, and its first octets: up to `cap` of them are copied to `head`, *len says how many. */
must_check enum ring_result ring_peek(struct ring_consumer *ring, void *head, size_t cap, size_t *len, size_t *size);
/*
 * After a peek that said RING_RECORD. Copies `n` octets of that record from octet `from` on; false (nothing copied)
 * where the record is shorter. The record stays.
 */
must_check bool ring_copy(struct ring_consumer *ring, size_t from, void *out, size_t n);
/* Steps over the record that was peeked; with `wipe` its octets are overwritten first. */
void ring_drop(struct ring_consumer *ring, bool wipe);
/* Tells the producer how far it was read. ring_drop does it by itself every so often; call it when a batch ends. */
void ring_release(struct ring_consumer *ring);

/* Declares the consumer asleep: `wake` will become readable when something comes. False: something is there, go on. */
must_check bool ring_sleep(struct ring_consumer *ring);
/* The consumer is awake again and will look by itself. Harmless when it was. */
void ring_awake(struct ring_consumer *ring);

void ring_set_wants(struct ring_consumer *ring, unsigned wants);
/* False when the table of skips is full: nothing is lost but the saving. */
bool ring_ask_skip(struct ring_consumer *ring, const struct ring_skip *skip);

#endif
