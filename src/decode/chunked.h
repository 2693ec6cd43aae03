/* decode/chunked.h — the chunked transfer coding (RFC 9112, 7.1), piece by piece. No I/O, no allocation. */
#ifndef DECODE_CHUNKED_H
#define DECODE_CHUNKED_H

#include "base/bytes.h"

/* Zeroed is the beginning of a body. */
struct chunked {
	uint64_t left;    /* of the chunk's data */
	uint32_t trailer; /* octets behind the last chunk, the empty line at the end included */
	uint32_t extra;   /* octets of sizes, extensions and trailers since data was last seen */
	uint8_t state;
	uint8_t digits;
};

enum chunked_result {
	CHUNKED_MORE, /* not a fault: the octets are used up */
	CHUNKED_DATA, /* *data is part of the body; call again */
	CHUNKED_END,  /* the body and its trailers are over; `in` is behind them */
	CHUNKED_BAD,  /* no chunked body, or more than `cap` octets of extensions or trailers */
};

/* Takes from the front of `in`, at most up to the next stretch of data. *data is a view of `in`. */
must_check enum chunked_result chunked_read(struct chunked *body, struct bytes *in, size_t cap, struct bytes *data);

/* How many octets from here on are data for sure. */
must_check uint64_t chunked_ahead(const struct chunked *body);
/* Passes over that many octets of data unseen: at most chunked_ahead. */
void chunked_pass(struct chunked *body, uint64_t octets);

#endif
