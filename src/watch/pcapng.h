/*
 * watch/pcapng.h — capture files made of blocks (draft-ietf-opsawg-pcapng): any number of sections in either octet
 * order, interfaces with their own link types and clocks, TLS secrets wherever they stand. Incremental: octets go in
 * as they come. No I/O.
 *
 * Blocks that carry nothing for us are passed over without being held, however long they are. A block whose two
 * lengths differ, a frame of an interface that was not described, and lengths that cannot be are faults that name
 * their place.
 */
#ifndef WATCH_PCAPNG_H
#define WATCH_PCAPNG_H

#include "base/error.h"
#include "watch/capture_frame.h"

struct pcapng_interface {
	uint16_t link;
	uint8_t fcs;        /* octets of frame check sequence at the end of each whole frame */
	uint8_t resolution; /* if_tsresol as it stands: a power of 10, or with its top bit of 2 */
	uint32_t snap;      /* 0: no limit */
	int64_t offset_s;   /* added to every time */
	uint64_t dropped;   /* as its newest statistics say */
};

struct pcapng_reader {
	bool little;       /* octet order of the section */
	bool secrets_only; /* set by the caller: frames are passed over, not given out, and not counted */
	struct pcapng_interface *interfaces; /* of the section */
	uint32_t count, room;
	uint32_t before; /* interfaces of earlier sections */
	uint64_t sections;
	uint64_t number;   /* of the last frame */
	uint64_t at;       /* octet of the file at which the next call's input begins */
	uint64_t need;     /* after MORE: how many octets the next call's input must have at least */
	uint64_t skip;     /* octets to pass over next; a caller that can seek may take off some and add them to `at` */
	uint64_t text;     /* octets of secrets to be given out next */
	uint64_t after;    /* octets of padding and options behind these */
	uint32_t trailer;  /* length that must stand at the end of the block being passed over; 0: none */
	uint64_t block_at; /* where that block began */
	struct capture_counts counts;
};

/* Whether a file that begins so may be one. Fewer than 4 octets: false. */
must_check bool pcapng_reader_knows(struct bytes start);

/* The reader begins as zeros; this frees what it grew and leaves zeros. */
void pcapng_reader_free(struct pcapng_reader *reader);

/*
 * Reads on to the next frame or piece of secrets and moves `in` past it: FRAME or SECRETS, whose views lie in `in`;
 * MORE, with `need` set, when what is left begins a block that is not whole; BROKEN with `err` set.
 */
must_check enum capture_result pcapng_reader_next(
	struct pcapng_reader *reader, struct bytes *in, struct capture_item *out, struct error *err);

/* Whether the input may end here: between blocks. */
must_check bool pcapng_reader_between(const struct pcapng_reader *reader, struct bytes in);

#endif
