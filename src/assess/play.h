/*
 * assess/play.h — how a server of our own behaves in one case: what it shows, what it speaks, and where it misbehaves on
 * purpose.
 */
#ifndef ASSESS_PLAY_H
#define ASSESS_PLAY_H

#include "assess/identity.h"
#include "base/bytes.h"

#include <openssl/ssl.h>
#include <stdint.h>

/* All zero but the identity: a good server of TLS 1.2 and 1.3. */
struct play {
	const struct identity *identity;
	uint16_t min, max;  /* versions; 0: TLS 1.2 and 1.3 */
	const char *suites; /* below TLS 1.3, OpenSSL's names; NULL: strong ones */
	bool no_ems;
	bool custom_group; /* DHE in a group whose modulus is no prime */
	unsigned dh_bits;  /* of that group; 0: 2048 */
	bool downgrade; /* hides from itself that the client speaks TLS 1.3, so that the sentinel is set (RFC 8446, 4.1.3) */
	bool damage;             /* changes a bit of the server's last flight of the handshake */
	bool hide_renegotiation; /* takes renegotiation_info out of its hello (RFC 5746, 4.2) */
	struct bytes staple;     /* OCSPResponse, where the client asks for one */
	bool renegotiate;        /* asks for a second handshake after the first, TLS 1.2 */
};

/* The context that plays it; the identity must outlive it. NULL when this OpenSSL cannot. */
must_check SSL_CTX *play_context(const struct play *play);

#endif
