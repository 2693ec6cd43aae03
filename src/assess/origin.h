/*
 * assess/origin.h — a TLS server of our own that behaves as a case says, and remembers what came: the ClientHello, how far
 * the handshake went, how many octets of a request arrived. A thread of its own serves one connection after the other.
 */
#ifndef ASSESS_ORIGIN_H
#define ASSESS_ORIGIN_H

#include "assess/identity.h"
#include "base/bytes.h"
#include "base/error.h"

#define ORIGIN_HELLO_MAX ((size_t)16 * 1024)

struct origin_case {
	const struct identity *identity; /* alive until the next case */
	uint16_t min, max;               /* versions; 0: TLS 1.2 and 1.3 */
	const char *suites;              /* below TLS 1.3, OpenSSL's names; NULL: strong ones */
	bool no_ems;
	bool custom_group; /* DHE in a group whose modulus is no prime */
	unsigned dh_bits;  /* of that group; 0: 2048 */
	bool downgrade; /* hides from itself that the client speaks TLS 1.3, so that the sentinel is set (RFC 8446, 4.1.3) */
	bool damage; /* changes a bit of the server's last flight of the handshake */
};

struct origin_seen {
	unsigned connections;
	size_t hello_len; /* of the last ClientHello's body; 0: none came, or it was longer than there is room for */
	uint8_t hello[ORIGIN_HELLO_MAX];
	bool handshake;    /* completed */
	bool key_exchange; /* a ClientKeyExchange came: the client had no objection to the server's first flight */
	uint16_t version, suite;
	bool extended_master_secret;
	uint8_t alert;  /* of the client; 0: none */
	size_t request; /* octets of application data */
};

struct origin;

/* Listens on `ip` (an address) and port, 0: of the kernel's choice. NULL with err set. */
must_check struct origin *origin_new(const char *ip, uint16_t port, struct error *err);
void origin_free(struct origin *origin);
must_check uint16_t origin_port(const struct origin *origin);
/* From now on this case, and nothing seen. Ends the connection that is being served. False when it cannot be played. */
must_check bool origin_play(struct origin *origin, const struct origin_case *play, struct error *err);
/* What was seen since, once no connection is open any more or `patience_ns` is over. */
void origin_look(struct origin *origin, uint64_t patience_ns, struct origin_seen *out);

#endif
