/*
 * flow/publish.h — what a worker calls: events and plaintext of its flows into a ring, with every loss counted. Never
 * blocks, makes no system call in the ordinary course. One thread.
 */
#ifndef FLOW_PUBLISH_H
#define FLOW_PUBLISH_H

#include "flow/event.h"
#include "flow/ring.h"

struct publish_counts {
	uint64_t events;      /* published, DATA and GAP included */
	uint64_t lost_events; /* events that found no room */
	uint64_t lost_octets; /* plaintext that found no room */
	uint64_t skipped_octets;
	uint64_t until_octets; /* plaintext beyond `inspect until` */
};

/* One per worker. Zeroed but for `ring`: NULL publishes nothing. */
struct publisher {
	struct ring_producer *ring;
	struct publish_counts counts;
};

/* One per flow, embedded in the connection. Zeroed but for `id` and, where a rule says so, `until`. */
struct publish_flow {
	uint64_t id;
	uint64_t until;         /* octets of both directions after which nothing more is published; 0: no limit */
	uint64_t offset[2];     /* plaintext octets seen so far */
	uint64_t skip_until[2]; /* absolute offsets, from the scribe */
	uint64_t gap_octets[2]; /* not published and not yet reported */
	uint8_t gap_why[2];     /* enum flow_gap of these */
	bool until_said[2];
};

/* True when anybody wants events at all; plaintext; secrets. Ask before building what would only be thrown away. */
must_check bool publish_wanted(const struct publisher *pub);
must_check bool publish_wants_data(const struct publisher *pub);
must_check bool publish_wants_secrets(const struct publisher *pub);

/* Any event but DATA and GAP. False when it was wanted and lost (counted). */
bool publish_event(struct publisher *pub, const struct event *event);

/*
 * Plaintext in the order of its direction, any length, called once per chunk whether wanted or not (it counts). What
 * is skipped, beyond `until` or without room shows up later as one GAP per stretch. A part of the ring is kept back for
 * other events, so that a flood of plaintext does not cost the news of a flow's end.
 */
void publish_data(struct publisher *pub, struct publish_flow *flow, enum flow_direction direction, struct bytes bytes,
	uint64_t time_ns);

/* Reports gaps still unsaid. Call before HALF and CLOSE of the flow. */
void publish_gaps(struct publisher *pub, struct publish_flow *flow, uint64_t time_ns);

/* What the scribe asked for: once per turn, ring_skip_next, and this on the flow it names. */
void publish_skip(struct publish_flow *flow, const struct ring_skip *skip);

/*
 * For lossless running. True: at least `octets` (at most a quarter of the ring) of plaintext fit now. False: pause
 * reading until the ring's `space` descriptor is readable, then ask again. True without a ring.
 */
must_check bool publish_ready(struct publisher *pub, size_t octets);

#endif
