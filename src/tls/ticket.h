/*
 * tls/ticket.h — NewSessionTicket of TLS 1.3 (RFC 8446, 4.6.1) and 1.2 (RFC 5077, 3.3). No I/O, no allocation; views
 * point into the caller's bytes.
 */
#ifndef TLS_TICKET_H
#define TLS_TICKET_H

#include "base/bytes.h"

struct session_ticket {
	bool tls13;
	uint32_t lifetime_s; /* seconds; in TLS 1.2 a hint, 0: unspecified */
	struct bytes ticket; /* TLS 1.2: may be empty: none after all */
	/* TLS 1.3 only. */
	uint32_t age_add;
	struct bytes nonce;      /* 0..255 octets: for schedule13_ticket_psk */
	struct bytes extensions; /* raw block for extension_next */
	bool has_early_data;
	uint32_t max_early_data; /* octets of 0-RTT data the ticket allows */
};

/* `version` is the negotiated one. False when malformed. */
must_check bool session_ticket_parse(struct bytes body, uint16_t version, struct session_ticket *out);

#endif
