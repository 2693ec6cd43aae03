/*
 * accord/seal.h — hashes and signatures of Accord beside those of TLS: the sealed introduction and the approval
 * (docs/accord.md, 3.6 and 7). No I/O.
 */
#ifndef ACCORD_SEAL_H
#define ACCORD_SEAL_H

#include "accord/body.h"
#include "base/error.h"

#include <openssl/evp.h>

#define ACCORD_BLIND            32
#define ACCORD_APPROVAL_INPUT   (64 + 24 + ACCORD_HASH) /* octets that an approval signs */
#define ACCORD_MAX_APPROVAL_KEY 255
#define ACCORD_MAX_APPROVAL     ((size_t)512) /* octets of a body that accord_approval_sign makes */

/* SHA-256 of the octets. False when the library fails. */
must_check bool accord_hash(struct bytes in, uint8_t out[ACCORD_HASH]);
/* The commitment to an introduction, a whole body. `blind` has ACCORD_BLIND octets. */
must_check bool accord_seal(struct bytes blind, struct bytes introduction, uint8_t commitment[ACCORD_HASH]);
/* approval_hash: SHA-256(client_nonce || SubjectPublicKeyInfo). */
must_check bool accord_approval_hash(const uint8_t nonce[ACCORD_NONCE], struct bytes key, uint8_t out[ACCORD_HASH]);
/* What an approval signs: 64 blanks, "overt accord approval 1", 0x00, `digest`, which is SHA-256 of the transcript. */
void accord_approval_input(const uint8_t digest[ACCORD_HASH], uint8_t out[ACCORD_APPROVAL_INPUT]);

/* Writes an approval made with this key (P-256 or Ed25519) as a whole body. */
must_check bool accord_approval_sign(
	EVP_PKEY *key, const uint8_t digest[ACCORD_HASH], struct writer *out, struct error *err);

enum accord_approval_result {
	ACCORD_APPROVAL_OK,
	ACCORD_APPROVAL_KEY,    /* not P-256 or Ed25519, or not a SubjectPublicKeyInfo */
	ACCORD_APPROVAL_SCHEME, /* does not fit the key */
	ACCORD_APPROVAL_OTHER,  /* not the key that approval_hash stands for */
	ACCORD_APPROVAL_SIGNATURE,
};

must_check const char *accord_approval_text(enum accord_approval_result result);
/* Whether this approval is by the key behind the introduction's approval_hash, over this transcript. */
must_check enum accord_approval_result accord_approval_verify(const struct accord_approval *approval,
	const struct accord_introduction *introduction, const uint8_t digest[ACCORD_HASH]);

#endif
