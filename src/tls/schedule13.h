/*
 * tls/schedule13.h — the key schedule of TLS 1.3 (RFC 8446, 4.4.4, 4.6.1, 7.1 to 7.5). No I/O.
 *
 * Every function returns false when the hash is not to be had or memory is out, or a length is beyond what HKDF can
 * say; what it would have written is then wiped. `hash` is the suite's (struct suite, prf).
 */
#ifndef TLS_SCHEDULE13_H
#define TLS_SCHEDULE13_H

#include "tls/crypto.h"
#include "tls/shape.h"

/* RFC 5869, 2.2. */
must_check bool hkdf_extract(
	struct crypto *crypto, enum suite_hash hash, struct bytes salt, struct bytes ikm, struct tls_secret *out);
/* RFC 5869, 2.3; `len` at most 255 hashes. */
must_check bool hkdf_expand(
	struct crypto *crypto, enum suite_hash hash, struct bytes secret, struct bytes info, void *out, size_t len);
/* HKDF-Expand-Label; `label` (at most 249 octets) without its "tls13 "; context at most 255, `len` at most 255 hashes. */
must_check bool hkdf_expand_label(struct crypto *crypto, enum suite_hash hash, struct bytes secret, struct bytes label,
	struct bytes context, void *out, size_t len);

/* The three secrets everything comes from. `psk` is empty when there is none, `shared` when there is no (EC)DHE. */
must_check bool schedule13_early(
	struct crypto *crypto, enum suite_hash hash, struct bytes psk, struct tls_secret *early);
must_check bool schedule13_handshake(struct crypto *crypto, enum suite_hash hash, const struct tls_secret *early,
	struct bytes shared, struct tls_secret *handshake);
must_check bool schedule13_master(
	struct crypto *crypto, enum suite_hash hash, const struct tls_secret *handshake, struct tls_secret *master);

/* What is derived, from which of the three, and over the transcript up to which message. */
enum schedule13_label {
	SCHEDULE13_EXT_BINDER,   /* early; over nothing */
	SCHEDULE13_RES_BINDER,   /* early; over nothing */
	SCHEDULE13_C_E_TRAFFIC,  /* early; ClientHello */
	SCHEDULE13_E_EXP_MASTER, /* early; ClientHello */
	SCHEDULE13_C_HS_TRAFFIC, /* handshake; ServerHello */
	SCHEDULE13_S_HS_TRAFFIC, /* handshake; ServerHello */
	SCHEDULE13_C_AP_TRAFFIC, /* master; server Finished */
	SCHEDULE13_S_AP_TRAFFIC, /* master; server Finished */
	SCHEDULE13_EXP_MASTER,   /* master; server Finished */
	SCHEDULE13_RES_MASTER,   /* master; client Finished */
};

/* Derive-Secret. `transcript` is the transcript's hash; BYTES_NONE for the binders, whose transcript is empty. */
must_check bool schedule13_derive(struct crypto *crypto, enum suite_hash hash, const struct tls_secret *from,
	enum schedule13_label label, struct bytes transcript, struct tls_secret *out);

/* Key and IV of a traffic secret; false, too, when the suite is none of TLS 1.3. */
must_check bool schedule13_keys(
	struct crypto *crypto, const struct suite *suite, const struct tls_secret *traffic, struct traffic_keys *out);
/* The next generation after a KeyUpdate; `traffic` and `next` may be the same. */
must_check bool schedule13_next(
	struct crypto *crypto, enum suite_hash hash, const struct tls_secret *traffic, struct tls_secret *next);
/* verify_data of Finished, or a binder: `base` is the handshake traffic secret or the binder key. */
must_check bool schedule13_finished(struct crypto *crypto, enum suite_hash hash, const struct tls_secret *base,
	struct bytes transcript, struct tls_secret *verify_data);
/* The PSK that a ticket stands for. */
must_check bool schedule13_ticket_psk(struct crypto *crypto, enum suite_hash hash, const struct tls_secret *res_master,
	struct bytes nonce, struct tls_secret *psk);
/* TLS-Exporter (RFC 8446, 7.5); `master` is the (early) exporter master secret. Label up to 249 octets. */
must_check bool schedule13_export(struct crypto *crypto, enum suite_hash hash, const struct tls_secret *master,
	struct bytes label, struct bytes context, void *out, size_t len);

#endif
