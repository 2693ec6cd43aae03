/*
 * tls/dtls_join.h — the handshake messages of one direction of DTLS, put together out of fragments that come in any
 * order, repeated and overlapping (RFC 6347, 4.2.3), and given out in the order of their numbers. What is kept of an
 * octet is what came first. No I/O, no clock.
 *
 *	dtls_join_add(&join, &fragment, epoch, budget) ...
 *	while (dtls_join_next(&join, &message))
 *		use(&message), dtls_join_pop(&join);
 */
#ifndef TLS_DTLS_JOIN_H
#define TLS_DTLS_JOIN_H

#include "tls/dtls.h"

#define DTLS_JOIN_MESSAGE ((size_t)128 * 1024) /* octets of a message's body */
#define DTLS_JOIN_AHEAD   32                   /* how far a message may be ahead of the next one */
#define DTLS_JOIN_PIECES  1024                 /* parts of messages that are held at a time */

struct dtls_part;

/* Zeroed when new; dtls_join_free before it goes. */
struct dtls_join {
	uint16_t next; /* message_seq of what dtls_join_next gives out */
	size_t cost;   /* octets of memory that are held */
	/* Private. */
	struct dtls_part *parts; /* by number */
	unsigned pieces;
};

enum dtls_join_result {
	DTLS_JOIN_ADDED,
	DTLS_JOIN_OLD,      /* of a message that was given out, or nothing in it is new */
	DTLS_JOIN_CONFLICT, /* says otherwise than what came before: length, type, or octets; what is new in it was added */
	DTLS_JOIN_FAR,      /* over DTLS_JOIN_AHEAD */
	DTLS_JOIN_TOO_LONG, /* over DTLS_JOIN_MESSAGE */
	DTLS_JOIN_FULL,     /* over the budget or DTLS_JOIN_PIECES, or no memory; a part of it may have been added */
};

/*
 * Takes a fragment that came in a record of this epoch. `budget` is how many octets more may be held. A message of a
 * later epoch, whose records were authenticated, takes the place of one of the same number from an earlier one.
 */
must_check enum dtls_join_result dtls_join_add(
	struct dtls_join *join, const struct dtls_handshake *fragment, uint16_t epoch, size_t budget);

struct dtls_message {
	uint8_t type;
	uint16_t sequence, epoch;
	struct bytes body;
	struct bytes whole; /* with the header that it has in the transcript */
};

/* The message numbered `next`, once it is whole. Its views live until the join is changed. False: it is not, or no memory. */
must_check bool dtls_join_next(struct dtls_join *join, struct dtls_message *out);
/* Goes on behind `next`. */
void dtls_join_pop(struct dtls_join *join);
/* Gives up what is missing: goes on at the first message held that is whole. False: none is. */
must_check bool dtls_join_skip(struct dtls_join *join);
/* Lets go of everything held; what comes next has this number. */
void dtls_join_reset(struct dtls_join *join, uint16_t next);
void dtls_join_free(struct dtls_join *join);

#endif
