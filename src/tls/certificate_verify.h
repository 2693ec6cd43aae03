/*
 * tls/certificate_verify.h — CertificateVerify (RFC 8446, 4.4.3; RFC 5246, 7.4.8) and what TLS 1.3 signs in it. No I/O,
 * no allocation; views point into the caller's bytes.
 */
#ifndef TLS_CERTIFICATE_VERIFY_H
#define TLS_CERTIFICATE_VERIFY_H

#include "base/bytes.h"

struct certificate_verify {
	uint16_t scheme; /* signature scheme; 0 below TLS 1.2 */
	struct bytes signature;
};

/* `version` is the negotiated one. False when malformed. */
must_check bool certificate_verify_parse(struct bytes body, uint16_t version, struct certificate_verify *out);

/* The longest that certificate_verify_content writes, for a hash of 64 octets. */
#define CERTIFICATE_VERIFY_CONTENT (64 + 33 + 1 + 64)

/* TLS 1.3: the octets that are signed. `transcript` is the hash up to and with the signer's Certificate. */
void certificate_verify_content(struct writer *w, bool by_server, struct bytes transcript);

#endif
