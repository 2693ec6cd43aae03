/*
 * assess/offer.h — ClientHellos made by hand (RFC 8446, 4.1.2; RFC 5246, 7.4.1.2), for asking a server about one thing at a
 * time: libssl cannot offer groups and suites that it does not have itself. Sans I/O. They ask only; nothing is completed.
 */
#ifndef ASSESS_OFFER_H
#define ASSESS_OFFER_H

#include "base/bytes.h"
#include "tls/hello.h"

#define OFFER_RECORD_MAX ((size_t)4096) /* octets of a hello in its record */

struct offer {
	uint16_t version; /* the only one where it is TLS 1.3, else the highest: SSL 3.0 .. TLS 1.2 */
	const uint16_t *suites;
	size_t suite_count;
	const uint16_t *
		groups; /* in TLS 1.3 no key share goes with them: a HelloRetryRequest then names the server's choice */
	size_t group_count;
	const char *name;             /* server_name; NULL or "": none */
	bool extended_master_secret;  /* offered below TLS 1.3 */
	uint8_t random[HELLO_RANDOM]; /* also the session id in TLS 1.3 */
};

/* Writes a record with the hello. False when it does not fit. SSL 3.0 gets no extensions, only the SCSV of RFC 5746. */
must_check bool offer_write(const struct offer *offer, struct writer *out);

#endif
