/*
 * watch/fragment.h — IP datagrams put together from fragments (RFC 791, 3.2; RFC 8200, 4.5; RFC 5722). Bounded in
 * datagrams, octets and age; what is thrown out is counted. One thread. Time is an argument.
 *
 * Fragments may come in any order and more than once. One that overlaps another and says the same is taken; one that
 * says otherwise makes the whole datagram void, with all fragments of it still to come, until its time is over.
 */
#ifndef WATCH_FRAGMENT_H
#define WATCH_FRAGMENT_H

#include "base/bytes.h"
#include "watch/link_result.h"

#define FRAGMENT_DATAGRAM_MAX 65535 /* octets of payload put together */
#define FRAGMENT_AGE_NS       (30 * 1000000000ULL)

struct fragments;

struct fragment_limits {
	size_t datagrams; /* held at a time, at least 1 */
	size_t octets;    /* of payload held */
};

#define FRAGMENT_LIMITS ((struct fragment_limits){.datagrams = 1024, .octets = (size_t)8 * 1024 * 1024})

/* What fragments of one datagram have in common. Unused octets are 0. */
struct fragment_key {
	uint8_t family;   /* 4 or 6 */
	uint8_t protocol; /* IPv4; 0 for IPv6, where only the first fragment says it */
	uint8_t source[16], destination[16];
	uint32_t id;
};

struct fragment {
	struct fragment_key key;
	uint8_t protocol;   /* of the payload; counts in the fragment with offset 0 */
	uint32_t offset;    /* octets, a multiple of 8 */
	bool more;          /* not the last */
	struct bytes bytes; /* captured whole */
};

struct fragment_counts {
	uint64_t completed;  /* datagrams put together */
	uint64_t overlaps;   /* datagrams made void */
	uint64_t aged;       /* datagrams that had too little in FRAGMENT_AGE_NS */
	uint64_t evicted;    /* datagrams thrown out, the oldest first, for a cap */
	size_t held, octets; /* now */
};

/* NULL without memory. */
must_check struct fragments *fragments_new(struct fragment_limits limits);
/* NULL is allowed. */
void fragments_free(struct fragments *fragments);

/*
 * Takes a fragment seen at `now_ns`. PACKET: the datagram is whole, *datagram is its payload until the next use of
 * `fragments`, *protocol what it is. HELD, FRAGMENT_BAD, FRAGMENT_OVERLAP, FRAGMENT_FULL otherwise.
 */
must_check enum link_result fragments_take(struct fragments *fragments, const struct fragment *fragment,
	uint64_t now_ns, struct bytes *datagram, uint8_t *protocol);

must_check struct fragment_counts fragments_count(const struct fragments *fragments);
/* Datagrams that were given up, and those that still lack something. */
must_check uint64_t fragments_lost(const struct fragments *fragments);

#endif
