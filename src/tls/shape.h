/*
 * tls/shape.h — how the records of a suite are built and which keys they take (RFC 8446, 5.2; RFC 5246, 6.2.3 and 6.3).
 * No I/O, no OpenSSL.
 */
#ifndef TLS_SHAPE_H
#define TLS_SHAPE_H

#include "tls/suite.h"

enum shape_form {
	SHAPE_AEAD, /* TLS 1.3, or ChaCha20-Poly1305 in TLS 1.2: the nonce is IV xor sequence, nothing of it is sent */
	SHAPE_AEAD12, /* GCM and CCM in TLS 1.2: 4 octets of fixed IV, 8 sent with each record */
	SHAPE_CBC,    /* a block cipher with an IV in each record, and a MAC */
	SHAPE_STREAM, /* RC4 and a MAC */
	SHAPE_NULL,   /* a MAC only */
};

#define SHAPE_MAX_MAC 64
#define SHAPE_MAX_KEY 32
#define SHAPE_MAX_IV  16

/* All in octets. */
struct shape {
	enum shape_form form;
	uint8_t mac_key; /* MAC key, and MAC in the record: 0 for AEADs */
	uint8_t key;
	uint8_t iv;    /* what is derived: 12, 4 (AEAD12), 0 for CBC, whose IVs are sent */
	uint8_t sent;  /* what each record carries in front: 8 (AEAD12), the block (CBC), else 0 */
	uint8_t tag;   /* AEADs: 16 or 8 */
	uint8_t block; /* CBC: 8 or 16, else 1 */
};

/*
 * False when the suite is not for this version (0x0303, also for DTLS 1.2, or 0x0304) or its records have a form this
 * room does not know (GOST, export suites, AEGIS, no protection at all).
 */
must_check bool shape_of(const struct suite *suite, uint16_t version, struct shape *out);

/* The keys of one direction and epoch. Whoever holds one wipes it. */
struct traffic_keys {
	uint8_t mac[SHAPE_MAX_MAC];
	uint8_t key[SHAPE_MAX_KEY];
	uint8_t iv[SHAPE_MAX_IV];
};

void traffic_keys_wipe(struct traffic_keys *keys);

#endif
