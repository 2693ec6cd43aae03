/*
 * decode/decoder.h — from the plaintext of one connection to messages. Sans-I/O: octets and times in, calls out. One
 * decoder per connection, both directions. Memory is bounded by struct decoder_limits, whatever the input.
 */
#ifndef DECODE_DECODER_H
#define DECODE_DECODER_H

#include "flow/event.h"
#include "flow/message.h"

enum decoder_kind {
	DECODER_NONE, /* no protocol that is known here */
	DECODER_HTTP1,
	DECODER_HTTP2,
};

enum decoder_guess {
	DECODER_GUESSED,
	DECODER_GUESS_MORE, /* ask again with more of the client's octets */
};

/*
 * What the connection speaks: by the ALPN protocol both legs agreed on ("h2", "http/1.1", "http/1.0"; anything else
 * that is not empty means DECODER_NONE), else by the client's first octets. GUESS_MORE never for more than 24 octets.
 */
must_check enum decoder_guess decoder_guess(struct bytes alpn, struct bytes first, enum decoder_kind *kind);

struct decoder_limits {
	size_t head_octets;  /* of one head, and of one decoded header list; over it: headers_cut, or MESSAGE_BROKEN */
	size_t header_count; /* headers given out per head, 256 at the most; the rest is cut */
	size_t exchange_max; /* exchanges in flight that are followed; h2 leaves more out, h1 stops there */
};

#define DECODER_LIMITS_DEFAULT                                                                                         \
	((struct decoder_limits){.head_octets = 65536, .header_count = 256, .exchange_max = 1024})

/*
 * What the messages leave open: a response without a request (h1) has stream 0. A tunnel through h2 (CONNECT) ends with
 * its stream, as MESSAGE_UPGRADED, its octets counted as bodies; one through h1 when it begins. Trailers come with
 * the end (decode/trailers.h has their caps). An h2 message against the rules is given out as sent where it can be, and its exchange ends as MESSAGE_BROKEN.
 *
 * Called from within the decoder's own functions. They must not call the decoder back. Views last for the call only.
 */
struct decoder_output {
	void (*request)(void *ctx, const struct message_request *request);
	void (*response)(void *ctx, const struct message_response *response);
	void (*body)(void *ctx,
		const struct message_body *body); /* NULL: nobody wants bodies, and decoder_skip may say so */
	void (*end)(void *ctx, const struct message_end *end);
	/* Something worth a word: "http1-malformed", "head-too-long". A stable name, and a sentence for people. */
	void (*notice)(void *ctx, enum flow_severity severity, const char *name, struct bytes text);
};

struct decoder;

/* NULL without memory, and for DECODER_NONE. `out` must outlive the decoder. */
must_check struct decoder *decoder_new(enum decoder_kind kind, uint64_t flow, const struct decoder_limits *limits,
	const struct decoder_output *out, void *ctx);
/* Without any call to the output: decoder_close comes first where ends are to be told. NULL is allowed. */
void decoder_free(struct decoder *decoder);

/* Plaintext in order. Malformed input ends decoding with a notice and MESSAGE_BROKEN; later octets are then ignored. */
void decoder_feed(struct decoder *decoder, enum flow_direction direction, struct bytes bytes, uint64_t time_ns);

/*
 * `octets` of that direction are missing: lost, or skipped as decoder_skip allowed. Inside a body they count as body;
 * a gap that reaches over anything else ends what cannot be followed (MESSAGE_MISSED). h1 may find its place again at
 * the next head; h2 cannot.
 */
void decoder_gap(struct decoder *decoder, enum flow_direction direction, uint64_t octets, uint64_t time_ns);

/* How many of the next octets of that direction are of no use to anybody (body that nobody wants). 0: none. */
must_check uint64_t decoder_skip(const struct decoder *decoder, enum flow_direction direction);

/* The direction ended cleanly: ends an h1 body that lasts until close. */
void decoder_half(struct decoder *decoder, enum flow_direction direction, uint64_t time_ns);

/* The connection is over: every open exchange gets its end. Feed nothing after it. */
void decoder_close(struct decoder *decoder, uint64_t time_ns);

/* True once the connection left HTTP (upgrade, CONNECT): what follows is somebody else's to decode. */
must_check bool decoder_left(const struct decoder *decoder);

#endif
