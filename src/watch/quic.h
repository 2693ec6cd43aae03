/*
 * watch/quic.h — the ClientHello of a flow of QUIC (RFC 9001, 5), out of datagrams in any order.
 * No I/O, no clock. What follows the hello is not decrypted.
 *
 * Memory: about 19 KiB for each flow whose hello has come in part; at most QUIC_PENDING_MAX of them in a room. One that is
 * still not whole when so many others have begun after it goes without its hello.
 */
#ifndef WATCH_QUIC_H
#define WATCH_QUIC_H

#include "tls/hello.h"
#include "tls/quic_initial.h"

#define QUIC_PENDING_MAX 512
#define QUIC_TRIES_MAX   32 /* Initials of a flow that are looked at for its hello */

struct quic_room;
struct quic_pending;

struct quic_counts {
	uint64_t evicted;   /* hellos in part that had to leave for others */
	uint64_t no_memory; /* that found none */
};

/* NULL without memory. */
must_check struct quic_room *quic_room_new(void);
/* All its flows are over. NULL is allowed. */
void quic_room_free(struct quic_room *room);
must_check struct quic_counts quic_room_count(const struct quic_room *room);

/* Zeroed at first; not to be moved while a hello is pending. */
struct quic_flow {
	struct quic_pending *pending; /* the room's; NULL: none */
	uint32_t version;             /* of QUIC, as last seen in a long header; 0: none yet */
	uint8_t tries;
	bool over; /* the hello was read, or there is no hope for it */
};

/* Frees what is pending. Harmless twice. */
void quic_flow_end(struct quic_room *room, struct quic_flow *flow);

/*
 * One datagram. `side` is 0 or 1 and says who sent it, whichever is the client. True when it completes the hello: *hello
 * is set, its sender is the client, and its views live until the next call with this room. Once per flow.
 */
must_check bool quic_flow_datagram(struct quic_room *room, struct quic_flow *flow, unsigned side, struct bytes datagram,
	struct client_hello *hello);

#endif
