/*
 * assess/visit.h — one connection of a client to a server of our own that plays a case: what came, how far the handshake
 * went, how many octets of a request arrived.
 */
#ifndef ASSESS_VISIT_H
#define ASSESS_VISIT_H

#include "assess/play.h"
#include "base/bytes.h"

#define VISIT_HELLO_MAX   ((size_t)16 * 1024)
#define VISIT_REQUEST_MAX ((size_t)8 * 1024)

struct visit_seen {
	unsigned connections;
	size_t hello_len; /* of the last ClientHello's body; 0: none came, or it was longer than there is room for */
	uint8_t hello[VISIT_HELLO_MAX];
	bool handshake;    /* completed */
	bool key_exchange; /* a ClientKeyExchange came: the client had no objection to the server's first flight */
	bool renegotiated; /* a second handshake was completed inside the first */
	uint16_t version, suite;
	bool extended_master_secret;
	uint8_t alert;  /* of the client; 0: none */
	size_t request; /* octets of application data */
};

struct visit_order {
	SSL_CTX *ctx;
	const struct play *play;
	uint64_t patience_ns; /* of the whole connection */
	/* Asked now and then: false ends it. NULL: always true. */
	bool (*go_on)(void *arg);
	/*
	 * The head of a request came: writes an HTTP answer and returns its length, at most `cap`. NULL: any octet of a
	 * request is answered with "ok".
	 */
	size_t (*answer)(
		void *arg, SSL *ssl, const struct visit_seen *seen, struct bytes request, char *out, size_t cap);
	size_t answer_max;
	void *arg;
};

/* Serves the connection and fills `out`. The descriptor is non-blocking and stays the caller's to close. */
void visit(int fd, const struct visit_order *order, struct visit_seen *out);
/* For SSL_CTX_set_tlsext_status_cb, on contexts that visits are served with: sends the play's staple. */
int visit_staple(SSL *ssl, void *arg);
/* Joins what another connection of the same case saw to it. One that said nothing does not wipe out what was said. */
void visit_join(struct visit_seen *whole, const struct visit_seen *one);

#endif
