/*
 * explain/schedule_streams.h — one TLS connection that others held, from the octets of both directions and the secrets of an
 * endpoint: its handshake messages in the order of the transcript, and what each secret opened (RFC 8446; RFC 5246). No I/O.
 */
#ifndef EXPLAIN_SCHEDULE_STREAMS_H
#define EXPLAIN_SCHEDULE_STREAMS_H

#include "explain/schedule_parts.h"
#include "keys/keyring.h"
#include "tls/collect.h"

struct schedule_streams {
	struct bytes octets[2]; /* of client and server, from the first on, without a hole */
	const char *because
		[2]; /* why they end where they do, if the connection did not: "the capture lacks …"; else NULL */
};

enum schedule_opening {
	SCHEDULE_HELLO,
	SCHEDULE_MORE, /* it is not whole yet */
	SCHEDULE_NO_HELLO,
	SCHEDULE_NO_ROOM, /* it spans records, and the scratch of `collect` is too small */
};

/*
 * The random of the ClientHello at the front: what keys are filed under. `collect` is the caller's, and goes on from call
 * to call with all octets from the first on (tls/collect.h). `random` is written with SCHEDULE_HELLO alone.
 */
must_check enum schedule_opening schedule_streams_random(
	struct collect *collect, struct bytes from_client, uint8_t random[HELLO_RANDOM]);

/*
 * Reads the handshake, then all that the keys open. Messages are views of `*room`, which the caller wipes and clears;
 * `*out` is to be wiped too, also after false. False with err set when the handshake cannot be read whole.
 */
must_check bool schedule_streams_read(struct crypto *crypto, const struct schedule_streams *streams,
	struct keyring *ring, struct buffer *room, struct schedule_source *out, struct error *err);

#endif
