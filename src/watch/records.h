/*
 * watch/records.h — whole TLS records out of one direction's octets, however they are cut, and found again after octets
 * were lost (RFC 8446, 5.1; RFC 5246, 6.2). A record that lies in the octets given is passed on as it lies there; only
 * one that is cut is put together in a buffer, which is given back once it is empty. No I/O, no clock.
 *
 * A call is a turn:
 *
 *	struct framer_turn turn = framer_data(octets);     or framer_gap, or framer_end
 *	struct stretch stretch;
 *	while (framer_next(pool, framer, &turn, &stretch))
 *		use(&stretch);
 *
 * The loop must run to its end. The stretches of a direction, their octets added up, are the direction: nothing is left out.
 */
#ifndef WATCH_RECORDS_H
#define WATCH_RECORDS_H

#include "tls/record.h"

#define FRAMER_PREAMBLE ((size_t)16 * 1024) /* how far into a plaintext beginning a hello is looked for */

enum stretch_kind {
	STRETCH_RECORD,
	STRETCH_BROKEN,    /* one record of which octets are missing; its header was seen */
	STRETCH_LOST,      /* octets that cannot be told apart into records: missing ones, and what they took along */
	STRETCH_MALFORMED, /* the same, but none are missing: what stands there is no record */
	STRETCH_PREAMBLE,  /* octets before the first hello: what came before TLS (STARTTLS, CONNECT) */
	STRETCH_NOT_TLS,   /* no hello within FRAMER_PREAMBLE; no stretch follows, whatever comes */
};

struct stretch {
	enum stretch_kind kind;
	bool found;      /* RECORD: the first one behind a STRETCH_LOST or MALFORMED: probably, not surely, a record */
	uint64_t octets; /* all that it takes on the wire; `record` has 5 less than a whole one */
	struct bytes text;    /* PREAMBLE: the octets, valid until the next call */
	struct record record; /* RECORD, and BROKEN, whose fragment has a length and no data */
	uint64_t number;      /* DTLS: epoch, in the upper 16 bits, and sequence number; else 0 */
};

enum framer_class { FRAMER_SMALL, FRAMER_RECORD, FRAMER_WINDOW, FRAMER_CLASSES };

struct framer_spare; /* records.c */

/* Buffers of the framers of one thread. Zero it but for `cap`; framer_pool_free before it goes. */
struct framer_pool {
	size_t cap;      /* octets in buffers lent out at a time */
	size_t used;     /* octets lent out now */
	uint64_t denied; /* records that could not be put together for that, or for want of memory */
	struct framer_spare *spare[FRAMER_CLASSES];
	unsigned spares[FRAMER_CLASSES];
};

void framer_pool_free(struct framer_pool *pool);

enum framer_mode {
	FRAMER_FRESH,    /* nothing was seen yet, and what comes first is the connection's start */
	FRAMER_RECORDS,  /* at a record's start, or within one that is being put together */
	FRAMER_SKIPPING, /* within a record that is broken */
	FRAMER_HUNTING,  /* somewhere; looks for a plausible header whose successor is plausible */
	FRAMER_BEFORE,   /* in a preamble */
	FRAMER_OFF,
};

/* One direction. framer_init makes it, framer_free ends it. */
struct framer {
	/* Set by the owner once known: tightens what is plausible. */
	bool tls13;
	/* Private. */
	enum framer_mode mode;
	bool malformed, found;
	uint8_t class;
	uint8_t *held;
	size_t at, scan, len; /* of `held`: what was taken, looked at, filled */
	uint64_t skip;        /* SKIPPING: octets to come */
};

struct framer_turn {
	struct bytes rest;
	uint64_t gap;
	bool end;
};

/* `from_start`: the first octets are the connection's first. */
void framer_init(struct framer *f, bool from_start);
void framer_free(struct framer_pool *pool, struct framer *f);

static inline struct framer_turn framer_data(struct bytes octets)
{
	return (struct framer_turn){.rest = octets};
}

static inline struct framer_turn framer_gap(uint64_t octets)
{
	return (struct framer_turn){.gap = octets};
}

/* The direction ended: what is held comes out. */
static inline struct framer_turn framer_end(void)
{
	return (struct framer_turn){.end = true};
}

/* Views in `*out` live until the next call on this framer, and not longer than the octets of the turn. */
must_check bool framer_next(struct framer_pool *pool, struct framer *f, struct framer_turn *turn, struct stretch *out);

#endif
