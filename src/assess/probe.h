/* assess/probe.h — one question to a server: a hello goes out, what it answers in the clear comes back, and that is all. */
#ifndef ASSESS_PROBE_H
#define ASSESS_PROBE_H

#include "assess/flight.h"
#include "assess/offer.h"
#include "assess/target.h"

enum probe_result {
	PROBE_ANSWERED, /* see the flight: FLIGHT_HELLO, FLIGHT_ALERT, or no TLS at all */
	PROBE_CLOSED,   /* the connection ended without an answer: many servers refuse so */
	PROBE_SILENT,   /* nothing whole came before the deadline */
	PROBE_NO_CONNECTION,
	PROBE_SPENT, /* the budget is at its end: nothing was asked */
};

/* `flight` is begun here; free it with flight_free in any case. */
must_check enum probe_result probe(struct target *target, const struct offer *offer, struct flight *flight);
/* In words: "alert handshake_failure", "closed the connection". Never empty. */
void probe_tell(enum probe_result result, const struct flight *flight, char *out, size_t cap);
/* The server took up what was offered: a hello of exactly this version. */
must_check bool probe_took(enum probe_result result, const struct flight *flight, uint16_t version);

#endif
