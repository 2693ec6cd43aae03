/* tls/alert.h — alerts (RFC 8446, 6; RFC 5246, 7.2). No I/O, no allocation. */
#ifndef TLS_ALERT_H
#define TLS_ALERT_H

#include "base/bytes.h"

enum alert_level { ALERT_WARNING = 1, ALERT_FATAL = 2 };

/* The descriptions this program sends or looks for (IANA "TLS Alerts"); alert_name knows all that are registered. */
enum alert_description {
	ALERT_CLOSE_NOTIFY = 0,
	ALERT_UNEXPECTED_MESSAGE = 10,
	ALERT_BAD_RECORD_MAC = 20,
	ALERT_RECORD_OVERFLOW = 22,
	ALERT_HANDSHAKE_FAILURE = 40,
	ALERT_NO_CERTIFICATE = 41,
	ALERT_BAD_CERTIFICATE = 42,
	ALERT_UNSUPPORTED_CERTIFICATE = 43,
	ALERT_CERTIFICATE_REVOKED = 44,
	ALERT_CERTIFICATE_EXPIRED = 45,
	ALERT_CERTIFICATE_UNKNOWN = 46,
	ALERT_ILLEGAL_PARAMETER = 47,
	ALERT_UNKNOWN_CA = 48,
	ALERT_ACCESS_DENIED = 49,
	ALERT_DECODE_ERROR = 50,
	ALERT_DECRYPT_ERROR = 51,
	ALERT_PROTOCOL_VERSION = 70,
	ALERT_INSUFFICIENT_SECURITY = 71,
	ALERT_INTERNAL_ERROR = 80,
	ALERT_INAPPROPRIATE_FALLBACK = 86,
	ALERT_USER_CANCELED = 90,
	ALERT_NO_RENEGOTIATION = 100,
	ALERT_MISSING_EXTENSION = 109,
	ALERT_UNSUPPORTED_EXTENSION = 110,
	ALERT_UNRECOGNIZED_NAME = 112,
	ALERT_BAD_CERTIFICATE_STATUS_RESPONSE = 113,
	ALERT_UNKNOWN_PSK_IDENTITY = 115,
	ALERT_CERTIFICATE_REQUIRED = 116,
	ALERT_NO_APPLICATION_PROTOCOL = 120,
	ALERT_ECH_REQUIRED = 121,
};

#define ALERT_LEN 2

struct alert {
	uint8_t level;       /* as seen; TLS 1.3 ignores it */
	uint8_t description; /* as seen, registered or not */
};

/* Reads a fragment in the clear that is one whole alert. False on any other length: it is protected, or bad. */
must_check bool alert_read(struct bytes fragment, struct alert *out);
/* Writes level and description, ALERT_LEN octets. */
void alert_write(struct writer *w, struct alert alert);

/* "unknown_ca" and so on; NULL when not registered. */
must_check const char *alert_name(uint8_t description);
/* "warning", "fatal", or NULL. */
must_check const char *alert_level_name(uint8_t level);

/*
 * True for what a client sends when it does not accept the certificate it was shown (RFC 8446, 6.2), which to an
 * inspecting proxy means "this client does not trust the proxy for this name":
 *  - unknown_ca: the chain ends in no trust anchor of the client's. What OpenSSL and Firefox say to a local CA that
 *    they were not given.
 *  - bad_certificate: a check of the certificate failed; pinning clients and Go say this.
 *  - certificate_unknown: "some other issue"; what Chromium, Java and Apple clients say to an unknown root or a pin
 *    that does not match.
 *  - unsupported_certificate: a key type, algorithm or purpose the client does not take.
 *  - certificate_expired: also sent for a certificate not yet valid; a leaf's dates are the proxy's doing.
 *  - certificate_revoked: sent, too, when the revocation state of a leaf could not be found out.
 * Not among them: bad_certificate_status_response (a fault of a stapled response, which a minted leaf does not have),
 * access_denied and certificate_required (which servers send), handshake_failure (nothing to do with trust).
 */
must_check bool alert_means_distrust(uint8_t description);

#endif
