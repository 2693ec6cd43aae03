/*
 * watch/live.h — frames from an interface, through a ring that the kernel fills (AF_PACKET, TPACKET_V3; packet(7)).
 * Needs CAP_NET_RAW. Several captures with one fanout group share the connections of an interface among them: both
 * directions of one, and fragments, come to the same capture. One thread each.
 */
#ifndef WATCH_LIVE_H
#define WATCH_LIVE_H

#include "base/error.h"
#include "watch/capture_frame.h"

#define LIVE_SNAP 262144 /* octets of a frame that are captured: GSO superframes come whole */

struct live_options {
	const char *interface; /* "any": all, and only IP */
	const char *filter;    /* in the language of pcap-filter(7); NULL: everything */
	size_t ring;           /* octets of ring, rounded up to whole MiB; 0: 16 MiB */
	int fanout;            /* 0 to 65535: group to share with; below 0: none */
	bool promiscuous;      /* frames for other machines too; not with "any" */
	int stop_fd;           /* waiting ends when this becomes readable; below 0: none. Stays the caller's */
};

struct live;

struct live_counts {
	uint64_t frames, octets; /* given out */
	uint64_t dropped;        /* by the kernel, because the ring was full */
	uint64_t freezes;        /* how often that began */
	uint64_t repeated; /* on loopback each frame comes twice, leaving and arriving: the first is passed over */
	uint64_t not_ip;   /* passed over with "any" */
	uint64_t arrived;  /* at the ring, all of these together and what it still holds */
};

/* NULL with `err` set, which says what is missing: an interface, a right, or what is wrong with the filter. */
must_check struct live *live_open(const struct live_options *options, struct error *err);
/* NULL is allowed. */
void live_free(struct live *live);

/*
 * FRAME, whose view lives until the next call; WAIT when none came in `wait_ms` (below 0: as long as it takes);
 * STOPPED; BROKEN with `err` set, when the interface is no more; one that is down is waited for.
 */
must_check enum capture_result live_next(struct live *live, struct frame *out, int wait_ms, struct error *err);

/* Asks the kernel for its counters. */
must_check struct live_counts live_count(struct live *live);

#endif
