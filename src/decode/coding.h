/*
 * decode/coding.h — content codings taken off a body as it comes (RFC 9110, 8.4): gzip (RFC 1952), deflate (RFC 1950,
 * and RFC 1951 alone, which many send), br (RFC 7932), zstd (RFC 8878, RFC 9659), and several one upon the other. No
 * I/O. Memory is bounded and counted; so is what may come out of little (bombs).
 *
 *	struct coding *c = coding_new(&setup, bytes_str("gzip, br"), &why);
 *	result = coding_feed(c, octets);   as they come, until it is not CODING_MORE
 *	at the end of the body: whole = result == CODING_DONE
 *	coding_free(c);
 */
#ifndef DECODE_CODING_H
#define DECODE_CODING_H

#include "base/bytes.h"

#define CODING_STACK_MAX   4                 /* codings one upon the other; identity does not count */
#define CODING_OUT         16384             /* octets given out at a time, at most */
#define CODING_ZSTD_WINDOW ((size_t)8 << 20) /* octets: the most that RFC 9659 lets a sender use */

/*
 * How much may come out, of all codings of a body together: `free` octets whatever went in, and beyond these `ratio`
 * octets per octet that went in. Deflate alone can make 1,032 of one, the others any number; texts make ten.
 */
struct coding_limits {
	uint64_t free;
	uint64_t ratio;
};

#define CODING_LIMITS_DEFAULT ((struct coding_limits){.free = (uint64_t)64 << 20, .ratio = 128})

/* What the codings of several bodies may hold together. The caller's; one thread. */
struct coding_memory {
	size_t used, cap; /* octets */
	uint64_t refused; /* times that a coding got none for the cap's sake */
};

struct coding_setup {
	struct coding_limits limits;
	struct coding_memory *memory; /* outlives the codings */
	void (*give)(
		void *ctx, struct bytes octets); /* never empty; valid during the call; no call of this file within */
	void *ctx;
};

enum coding_open {
	CODING_OPEN_OK,
	CODING_OPEN_NONE,      /* there is nothing to take off: identity, or an empty text */
	CODING_OPEN_UNKNOWN,   /* one of them is not known here: compress, aws-chunked, dcb, … */
	CODING_OPEN_TOO_MANY,  /* over CODING_STACK_MAX */
	CODING_OPEN_NO_MEMORY, /* or its cap */
};

enum coding_result {
	CODING_MORE,      /* so far all is well, and the end was not reached */
	CODING_DONE,      /* may end here; what follows and is no further member or frame is passed over */
	CODING_BAD,       /* it is not coded so; what was given out is good as far as it could be checked */
	CODING_TOO_LARGE, /* over the limits, or a window over CODING_ZSTD_WINDOW */
	CODING_NO_MEMORY, /* or its cap */
};

struct coding;

/* `encodings` as in Content-Encoding, in the order they were applied. NULL with *why. */
must_check struct coding *coding_new(const struct coding_setup *setup, struct bytes encodings, enum coding_open *why);
/* NULL is allowed. */
void coding_free(struct coding *coding);

/*
 * Takes all of `in`. After a fault the same comes again, and nothing is given out. After CODING_DONE more may follow, and
 * is to be fed: another member of gzip or frame of zstd makes it CODING_MORE again until it ends, too.
 */
must_check enum coding_result coding_feed(struct coding *coding, struct bytes in);

/* Octets given out so far, and taken in. */
must_check uint64_t coding_given(const struct coding *coding);
must_check uint64_t coding_taken(const struct coding *coding);

/* "more", "done", "bad-coding", "too-large", "no-memory". Never NULL. */
must_check const char *coding_result_name(enum coding_result result);

#endif
