/*
 * watch/deal.h — a capture file read once for several workers: its octets are read (and unpacked), its frames decoded
 * once, by whichever worker has nothing else to do, and each worker is dealt the packets of its own connections, in
 * their order. Nothing is copied but what fragments were put together; memory is bounded by DEAL_ROUNDS buffers, and a
 * worker that is so far ahead of another waits. Thread-safe where it says so.
 */
#ifndef WATCH_DEAL_H
#define WATCH_DEAL_H

#include "watch/capture.h"
#include "watch/link.h"

#define DEAL_ROUNDS 8 /* buffers of some 2 MiB, and the packets in them */

struct dealer;

struct dealer_options {
	const char *const *paths; /* read one after the other; they outlive the dealer */
	size_t path_count;
	unsigned workers;
	int stop_fd; /* reading ends when this becomes readable; below 0: none */
};

struct dealt {
	struct packet packet;
	uint64_t hash; /* table_hash of it; its lower half modulo the workers says whose it is */
};

/* What a worker gets at a time. */
struct hand {
	struct dealt *packets;
	size_t count, room;
	size_t octets; /* of payload */
};

/* What was read. */
struct dealer_report {
	struct capture_counts capture;
	struct link_counts link;
	uint64_t fragments_lost; /* fragments_lost */
	uint64_t no_memory;      /* packets that could not be dealt for want of memory */
	bool stopped;            /* the stop descriptor became readable */
	bool cut, failed;        /* the capture ended within a frame: `note`; it is broken: `err` */
	struct error note, err;
};

/* NULL without memory. */
must_check struct dealer *dealer_new(const struct dealer_options *options);
/* When no worker uses it any more. NULL is allowed. */
void dealer_free(struct dealer *dealer);

/*
 * The next packets of this worker, perhaps none; NULL: there are no more. They live until the worker's next call. Each
 * worker's calls come from one thread; different workers may call at a time.
 */
must_check const struct hand *dealer_take(struct dealer *dealer, unsigned worker);
/* No more packets for anybody, by any thread. */
void dealer_stop(struct dealer *dealer);
/* Once all workers are done. */
must_check struct dealer_report dealer_report(const struct dealer *dealer);

#endif
