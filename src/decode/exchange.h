/*
 * decode/exchange.h — what the decoders share: the exchanges in flight on a connection, and the calls to the output.
 * No I/O.
 */
#ifndef DECODE_EXCHANGE_H
#define DECODE_EXCHANGE_H

#include "decode/decoder.h"
#include "decode/trailers.h"

/* The head of every decoder. */
struct decoder {
	enum decoder_kind kind;
	bool left;
	uint64_t flow;
	struct decoder_limits limits;
	const struct decoder_output *out;
	void *ctx;
};

/* One request and what answers it. Arrays go by enum flow_direction: [FLOW_UP] is the request. */
struct exchange {
	uint64_t stream;
	uint64_t start_ns;
	uint64_t octets[2];           /* of the bodies */
	bool done[2];                 /* complete, or nothing more of it can be seen */
	bool begun[2];                /* its (final) head was given out */
	bool head;                    /* HEAD: the response has no body */
	bool connect;                 /* CONNECT */
	bool upgrade;                 /* asked for another protocol */
	enum message_ending ending;   /* MESSAGE_DONE as long as nothing spoilt it */
	struct trailers *trailers[2]; /* NULL: none */
};

/*
 * Those in flight, by ascending stream. One is held without any memory of its own, which is all that a connection
 * needs where each request waits for the response before.
 */
struct exchanges {
	struct exchange *list; /* count of them from `first`; NULL: `one` is the list */
	size_t first, count, room;
	struct exchange one;
};

/* The i-th, from the oldest; NULL past the last. Valid until the next add or remove. */
must_check struct exchange *exchange_at(struct exchanges *open, size_t i);
/* NULL when there is none. */
must_check struct exchange *exchange_find(struct exchanges *open, uint64_t stream);

/* Adds one; what is there of its stream already stays before it. NULL: `max` are in flight, or no memory. */
must_check struct exchange *exchange_add(struct exchanges *open, uint64_t stream, uint64_t time_ns, size_t max);
/* `exchange` is one of those in flight. */
void exchange_remove(struct exchanges *open, struct exchange *exchange);
void exchanges_clear(struct exchanges *open);

/* Calls to the output. */

void tell_notice(const struct decoder *decoder, enum flow_severity severity, const char *name, const char *text);
/* Counts the octets as body of that direction, and gives them out where bodies are wanted: `part` or else `lost`. */
void tell_body(const struct decoder *decoder, struct exchange *exchange, enum flow_direction direction,
	struct bytes part, uint64_t lost, uint64_t time_ns);
/* Its trailers of that direction, which it owns from now on; NULL is allowed. */
void exchange_set_trailers(struct exchange *exchange, enum flow_direction direction, struct trailers *trailers);
/* Its end, and away with it. The ending is what spoilt it; MESSAGE_RESET where it is not complete. */
void tell_end(const struct decoder *decoder, struct exchanges *open, struct exchange *exchange, uint64_t time_ns);
/* The end of all: those that nothing spoilt yet were so by `why`. */
void tell_end_all(const struct decoder *decoder, struct exchanges *open, enum message_ending why, uint64_t time_ns);
/* One direction of it is complete; with the other complete too, its end. True: it ended. */
bool tell_done(const struct decoder *decoder, struct exchanges *open, struct exchange *exchange,
	enum flow_direction direction, uint64_t time_ns);

#endif
