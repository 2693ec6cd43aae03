/*
 * explain/relay.h — a relay between two ends of the laboratory that terminates TLS 1.2 towards both (RFC 5246, 7.4; RFC 7627),
 * and does what it can to end up with one master secret on both sides, so that it may leave afterwards and let the two talk
 * on. It is of use for showing why that works or not: it knows no sockets, and no ends but those of the lab.
 */
#ifndef EXPLAIN_RELAY_H
#define EXPLAIN_RELAY_H

#include "explain/lab.h"

enum relay_leg { RELAY_CLIENT, RELAY_SERVER, RELAY_LEGS };

struct relay_setup {
	bool strip_ems; /* takes extended_master_secret out of the ClientHello */
	bool low_order; /* ECDHE: shows the client a point of small order in place of its own */
};

struct relay;

/* Shows the lab's relay certificate. RSA, DHE (then always with a group of its own) and ECDHE on X25519; AEADs. */
must_check struct relay *relay_new(const struct lab *lab, const struct relay_setup *setup, struct error *err);
/* NULL is allowed. */
void relay_free(struct relay *relay);

/* Both handshakes, at once and interlocked: the randoms of one are those of the other. False when one of them fails. */
must_check bool relay_join(struct relay *relay, struct lab_end *client, struct lab_end *server, struct error *err);
/* Says one text from one end to the other through the relay, which opens and seals it again. False if it cannot read it. */
must_check bool relay_carry(
	struct relay *relay, struct lab_end *from, struct lab_end *to, bool from_client, const char *text);

/* Of this leg, as the relay computed it; empty before there is one. */
must_check struct bytes relay_master(const struct relay *relay, enum relay_leg leg);
/* What both sides take for their premaster secret is the same. */
must_check bool relay_premasters_equal(const struct relay *relay);
/* The server's certificate came by, in the clear. */
must_check bool relay_saw_certificate(const struct relay *relay);
must_check bool relay_has_ems(const struct relay *relay);
/* Bits of the modulus that it made for the client; 0 when it made none. */
must_check unsigned relay_modulus_bits(const struct relay *relay);

#endif
