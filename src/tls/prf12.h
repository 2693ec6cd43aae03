/*
 * tls/prf12.h — PRF, master secret, key block and Finished of TLS 1.2 (RFC 5246, 5, 6.3, 7.4.9 and 8.1), the extended
 * master secret (RFC 7627, 4) and exporters (RFC 5705, 4). No I/O.
 *
 * `hash` is the suite's (struct suite, prf). Functions return false when the hash is not to be had or memory is out;
 * what they would have written is then wiped.
 */
#ifndef TLS_PRF12_H
#define TLS_PRF12_H

#include "tls/crypto.h"
#include "tls/shape.h"

#define PRF12_MASTER      48
#define PRF12_VERIFY_DATA 12

/* PRF(secret, label, seed), the seed in up to three parts, of which any may be empty. */
must_check bool prf12(struct crypto *crypto, enum suite_hash hash, struct bytes secret, struct bytes label,
	const struct bytes seed[3], void *out, size_t len);

must_check bool prf12_master(struct crypto *crypto, enum suite_hash hash, struct bytes premaster,
	struct bytes client_random, struct bytes server_random, struct tls_secret *master);
/* `session_hash`: the transcript's hash up to and with the ClientKeyExchange. */
must_check bool prf12_extended_master(struct crypto *crypto, enum suite_hash hash, struct bytes premaster,
	struct bytes session_hash, struct tls_secret *master);

/*
 * The premaster secret of PSK key exchanges (RFC 4279, 2; RFC 5489, 2), at most 65539 octets: `other` is the (EC)DH or
 * RSA secret, empty for plain PSK. False when either is longer than 65535 octets or `out` is full.
 */
must_check bool prf12_psk_premaster(struct bytes psk, struct bytes other, struct writer *out);

/* The key block split up; false, too, when the suite's shape is not known for TLS 1.2. */
must_check bool prf12_keys(struct crypto *crypto, const struct suite *suite, struct bytes master,
	struct bytes client_random, struct bytes server_random, struct traffic_keys *client,
	struct traffic_keys *server);

/* verify_data, PRF12_VERIFY_DATA octets; `transcript` is the hash of all messages before this one. */
must_check bool prf12_finished(struct crypto *crypto, enum suite_hash hash, struct bytes master, bool from_client,
	struct bytes transcript, struct tls_secret *verify_data);

/* Exporter; `context` is NULL when there is none, which is not the same as an empty one. */
must_check bool prf12_export(struct crypto *crypto, enum suite_hash hash, struct bytes master, struct bytes label,
	struct bytes client_random, struct bytes server_random, const struct bytes *context, void *out, size_t len);

#endif
