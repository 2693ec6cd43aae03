/* assess/through.h — one request of ours through a proxy: CONNECT (RFC 9110, 9.3.6) or straight, TLS, and what came back. */
#ifndef ASSESS_THROUGH_H
#define ASSESS_THROUGH_H

#include "assess/target.h"

#include <openssl/ssl.h>

#define THROUGH_ANSWER ((size_t)4096) /* octets of the answer kept */

struct through_wish {
	const char *name; /* of the server */
	uint16_t port;
	bool direct;
	const char *ca;    /* file of the only CA that is trusted */
	uint16_t min, max; /* versions; 0: TLS 1.2 and 1.3 */
	bool trusting;     /* takes any certificate: for looking at it */
};

struct through_seen {
	bool connected;  /* to the proxy */
	unsigned status; /* of CONNECT; 0: no answer, or not asked */
	bool handshake;
	uint16_t version;
	X509 *leaf;
	STACK_OF(X509) * chain;
	char answer[THROUGH_ANSWER + 1];
	size_t answer_len;
	char fault[200]; /* "" where an answer came */
};

/* Free with through_free. */
void through(struct target *proxy, const struct through_wish *wish, struct through_seen *out);
void through_free(struct through_seen *seen);

#endif
