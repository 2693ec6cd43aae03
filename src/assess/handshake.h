/*
 * assess/handshake.h — a whole handshake with the target by libssl, for what only shows behind it: certificate, staple,
 * ALPN, tickets, early data, renegotiation. Nothing is verified while it runs: the caller judges the chain. No request is sent.
 */
#ifndef ASSESS_HANDSHAKE_H
#define ASSESS_HANDSHAKE_H

#include "assess/target.h"

#include <openssl/ssl.h>

struct handshake_wish {
	uint16_t min, max;   /* versions */
	const char *suites;  /* below TLS 1.3, OpenSSL's names; NULL: all at security level 0 */
	const char *name;    /* server_name; NULL: the target's, none where that is an address */
	bool renegotiate;    /* ask for a second handshake inside, TLS 1.2 */
	uint64_t tickets_ns; /* wait so long for tickets of TLS 1.3 */
};

struct handshake_seen {
	bool done;
	uint16_t version, suite;
	char alpn[32];          /* "" when none was chosen */
	X509 *leaf;             /* as libssl tells it */
	X509 *sent;             /* the one that came, where that is another; else NULL */
	STACK_OF(X509) * chain; /* with the leaf; may be NULL */
	uint8_t *staple;
	size_t staple_len;
	bool extended_master_secret, ticket, renegotiated;
	uint32_t early_data; /* octets the server would take as 0-RTT, by its ticket */
	unsigned tickets;    /* of TLS 1.3 */
	char fault[256];     /* when not done */
};

/* Fills `out`; free with handshake_seen_free. False when it was not done: `fault` says why. */
must_check bool handshake_try(struct target *target, const struct handshake_wish *wish, struct handshake_seen *out);
void handshake_seen_free(struct handshake_seen *seen);

#endif
