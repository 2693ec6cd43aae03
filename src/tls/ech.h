/*
 * tls/ech.h — Encrypted Client Hello (RFC 9849) for who has its secret (RFC 9850, ECH_SECRET: the KEM's shared secret): what
 * an outer hello carries, the inner hello in it, and whether the server took it. No I/O.
 */
#ifndef TLS_ECH_H
#define TLS_ECH_H

#include "tls/crypto.h"
#include "tls/ech_context.h"
#include "tls/hello.h"
#include "tls/transcript.h"

#define ECH_CONFIRMATION 8 /* octets */

/* The extension of an outer hello. */
struct ech_offer {
	uint16_t kdf, aead;
	uint8_t config;       /* config_id */
	struct bytes enc;     /* empty in a second hello */
	struct bytes payload; /* the inner hello, sealed */
};

/* From the hello's extensions. False: there is none, or it is malformed or an inner hello's. */
must_check bool ech_offer_of(const struct client_hello *hello, struct ech_offer *out);

/*
 * The context of a connection: `config` is one ECHConfig, as ECH_CONFIG has it, or a list of them; the first that names the
 * offer's config_id and version 0xfe0d is used. False: none does, or the suite is not done here.
 */
must_check bool ech_begin(struct crypto *crypto, const struct ech_offer *offer, struct bytes config,
	struct bytes shared, struct ech_context *out);

enum ech_result {
	ECH_OK,
	ECH_SEALED,    /* it does not open: another secret, GREASE, or altered */
	ECH_BAD_INNER, /* it opens, but what it holds breaks the rules of RFC 9849 5.1 */
	ECH_NO_ROOM,   /* the writer is full, or no memory */
};

/*
 * Opens the inner hello of `outer` (parsed from a whole body), the first (sequence 0) or the one behind a
 * HelloRetryRequest (1), and writes it as the handshake message that goes into the transcript.
 */
must_check enum ech_result ech_open(struct crypto *crypto, const struct ech_context *hpke, uint64_t sequence,
	const struct client_hello *outer, struct writer *inner);

/*
 * Whether a ServerHello (whole, with its header) says that the inner hello was taken. `before` is the transcript of all
 * that came before it, with the inner hellos; its hash is chosen.
 */
must_check bool ech_accepted(struct crypto *crypto, enum suite_hash hash, struct bytes inner_random,
	const struct transcript *before, struct bytes server_hello);

#endif
