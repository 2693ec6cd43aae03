/*
 * assess/flight.h — a server's first flight as far as it can be read without keys (RFC 8446, 4.1.3; RFC 5246, 7.4.1.3 to
 * 7.4.5), from octets as they come. Sans I/O, bounded: a peer that sends without end is cut off at FLIGHT_MAX.
 */
#ifndef ASSESS_FLIGHT_H
#define ASSESS_FLIGHT_H

#include "base/buffer.h"
#include "tls/alert.h"
#include "tls/hello.h"

#define FLIGHT_MAX        ((size_t)256 * 1024) /* octets taken of one flight, records and all */
#define FLIGHT_DH         ((size_t)2048)       /* octets of a DH prime kept */
#define FLIGHT_EXTENSIONS 24                   /* types kept of a ServerHello */

enum flight_kind {
	FLIGHT_MORE,    /* not at its end */
	FLIGHT_HELLO,   /* the server answered, and said all that it says in the clear */
	FLIGHT_ALERT,   /* it refused */
	FLIGHT_NOT_TLS, /* something else answers */
	FLIGHT_BROKEN,  /* TLS records with what is no server's flight in them */
	FLIGHT_FLOOD,   /* over FLIGHT_MAX without coming to an end */
};

struct flight {
	enum flight_kind kind;
	struct alert alert;

	/* From the ServerHello; valid from its arrival on. */
	bool hello, retry;
	uint16_t version, suite;
	uint16_t group; /* key_share's, or the named curve of the ServerKeyExchange; 0: none */
	bool extended_master_secret, renegotiation_info, ticket;
	uint16_t extension[FLIGHT_EXTENSIONS]; /* their types in order; more are left out */
	size_t extensions;
	uint8_t session_id[HELLO_MAX_SESSION_ID];
	size_t session_id_len;

	/* From the ServerKeyExchange: DHE. */
	uint8_t p[FLIGHT_DH], g[FLIGHT_DH];
	size_t p_len, g_len;

	unsigned certificates; /* in the Certificate message */

	/* Private. */
	struct buffer raw, messages;
	size_t taken;
};

void flight_begin(struct flight *flight);
void flight_free(struct flight *flight);
/* Takes octets; anything but FLIGHT_MORE is final and stands in `kind` as well. */
enum flight_kind flight_take(struct flight *flight, struct bytes octets);

#endif
