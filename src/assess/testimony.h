/*
 * assess/testimony.h — what a cooperating server says that it saw of one connection: the ClientHello, where it came from, and
 * the connection's channel binding (tls-exporter, RFC 9266), which differs on the two legs of whoever terminates. Signed with
 * the server's key, so that it can be believed through the one in between; the nonce keeps it from being an old one.
 */
#ifndef ASSESS_TESTIMONY_H
#define ASSESS_TESTIMONY_H

#include "assess/visit.h"
#include "base/hostport.h"

#define TESTIMONY_NONCE   ((size_t)16)
#define TESTIMONY_BINDING ((size_t)32)
#define TESTIMONY_PATH    "/overt-assess/path/" /* and the nonce in hex */
/* Room for the longest, in JSON. */
#define TESTIMONY_MAX (VISIT_HELLO_MAX * 2 + 8192)

struct testimony {
	uint8_t nonce[TESTIMONY_NONCE];
	uint8_t hello[VISIT_HELLO_MAX]; /* the body of the ClientHello */
	size_t hello_len;
	char source[HOSTPORT_TEXT]; /* the client's address, as it was there */
	uint16_t version, suite;
	bool extended_master_secret;
	uint8_t binding[TESTIMONY_BINDING];
};

/*
 * False where the connection has none that is worth it: below TLS 1.3 and without extended master secret two connections
 * can have the same (RFC 9266, 4.2).
 */
must_check bool testimony_binding(SSL *ssl, uint8_t out[TESTIMONY_BINDING]);
/* One line of JSON. Returns its length, 0 when it cannot be signed or does not fit. */
must_check size_t testimony_write(const struct testimony *testimony, EVP_PKEY *key, void *out, size_t cap);
/*
 * In `key` the digest of the key that signed it (SubjectPublicKeyInfo, SHA-256): whether that is the right one is for the
 * caller to know. False when it is damaged or the signature does not fit.
 */
must_check bool testimony_read(struct bytes text, struct testimony *out, uint8_t key[32]);

#endif
