/*
 * agent/share_derive.h — from a secret of a handshake to the keys of its records (RFC 8446, 7.3; RFC 5246, 6.3), inside
 * the program that has it. HMAC is the program's own library's; nothing else of a library is used. No I/O.
 */
#ifndef AGENT_SHARE_DERIVE_H
#define AGENT_SHARE_DERIVE_H

#include "keys/record_key.h"
#include "tls/suite.h"

#define SHARE_HASH_MAX 48

/* HMAC with SHA-256 or SHA-384; `out` has room for SHARE_HASH_MAX. False for other hashes, and where it fails. */
struct share_hmac {
	bool (*compute)(const void *ctx, enum suite_hash hash, struct bytes key, struct bytes data, uint8_t *out);
	const void *ctx;
};

/* A secret as a library hands it out. */
struct share_secret {
	enum keylog_label label;    /* MASTER, or one of the handshake and traffic secrets of TLS 1.3 */
	uint32_t epoch;             /* with CLIENT_TRAFFIC and SERVER_TRAFFIC */
	uint16_t version, suite;    /* of the registry */
	struct bytes client_random; /* KEYLOG_RANDOM octets, as is the next */
	struct bytes server_random; /* TLS 1.2 */
	struct bytes secret;
};

/*
 * One key for a secret of TLS 1.3, two (the client's first) for a master secret. Returns how many; 0 when nothing is to
 * be shared of it (0-RTT, exporters), or the suite is not known. The caller wipes them.
 */
must_check size_t share_derive(
	const struct share_hmac *hmac, const struct share_secret *from, struct record_key out[2]);

/*
 * The secret of the epoch after that of `from`, a traffic secret of TLS 1.3 (RFC 8446, 7.2): its octets, or 0 where it is
 * none of a suite that is known. The caller wipes it.
 */
must_check size_t share_derive_next(
	const struct share_hmac *hmac, const struct share_secret *from, uint8_t out[static SHARE_HASH_MAX]);

#endif
