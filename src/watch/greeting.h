/*
 * watch/greeting.h — the hellos of every connection of a capture, and nothing else of it: which client_random belongs to
 * which suite, server's random, name and ends. For who has secrets of connections and does not know what they are for
 * (share/line_keys.h). Something may stand in front of the hellos, as with STARTTLS and with proxies. No I/O; time is that of
 * the packets. One thread.
 */
#ifndef WATCH_GREETING_H
#define WATCH_GREETING_H

#include "base/hostport.h"
#include "watch/capture_frame.h"

#define GREETING_SIDE_MAX    ((size_t)32 * 1024) /* octets of one direction in which its hello has to be */
#define GREETING_PREAMBLE    ((size_t)4 * 1024)  /* of these, octets in which it has to begin */
#define GREETING_ALL_MAX     ((size_t)16 << 20)  /* octets kept of all connections */
#define GREETING_CONNECTIONS 16384               /* followed at a time: the longest unused goes */

/* What client and server said; views live during the call. */
struct greeting {
	struct bytes client_random, server_random; /* of 32 octets */
	uint16_t version, suite;                   /* as the server chose */
	struct bytes name;                         /* that the client asked for; empty: none, or none that can be one */
	struct hostport client, server;
};

struct greetings;

struct greetings_counts {
	uint64_t told;
	uint64_t lost; /* connections of which a piece was not captured before both hellos were seen */
	/* Of which there were two accounts before that: octets sent again as others, or another SYN. */
	uint64_t disputed;
	uint64_t crowded; /* passed over, for want of room */
	size_t octets;    /* kept, now */
};

/*
 * `tell` gets each pair of hellos once the server's was seen, but no HelloRetryRequest. Of two accounts of the same octets
 * the host has taken one, and the capture cannot tell which: of such a connection nothing is told. NULL without memory.
 */
must_check struct greetings *greetings_new(void (*tell)(void *arg, const struct greeting *greeting), void *arg);
void greetings_free(struct greetings *greetings); /* NULL is allowed */

/* Only TCP counts; the frame's octets need not stay. */
void greetings_frame(struct greetings *greetings, const struct frame *frame);
/* Nothing came for a while: patience with holes goes on. `now_ns` is the wall clock. */
void greetings_tick(struct greetings *greetings, uint64_t now_ns);
must_check struct greetings_counts greetings_count(const struct greetings *greetings);

#endif
