/*
 * tls/ech_context.h — the receiving half of HPKE in base mode (RFC 9180, 5.1) for who has the KEM's shared secret already: the key
 * schedule and the opening of messages. The KEM itself is not here. No I/O, no allocation but libcrypto's.
 */
#ifndef TLS_ECH_CONTEXT_H
#define TLS_ECH_CONTEXT_H

#include "tls/crypto.h"

#define ECH_KEY_MAX 32
#define ECH_NONCE   12
#define ECH_TAG     16

/* IANA "HPKE": what a message was sealed with. */
struct ech_suite {
	uint16_t kem, kdf, aead;
};

/* Keys of one context. Whoever holds one wipes it. */
struct ech_context {
	const struct suite *cipher; /* a TLS suite with this AEAD */
	uint8_t key[ECH_KEY_MAX], nonce[ECH_NONCE];
};

/*
 * The context of a shared secret. `info` comes in `count` parts. False: a KDF or AEAD that is not done here (HKDF with
 * SHA-256, -384, -512; AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305 are), or libcrypto failed.
 */
must_check bool ech_context_begin(struct crypto *crypto, struct ech_suite suite, struct bytes shared,
	const struct bytes *info, size_t count, struct ech_context *out);
void ech_context_wipe(struct ech_context *hpke);

/*
 * Opens the message of this sequence number. `out` has room for ciphertext.len - ECH_TAG octets and overlaps nothing.
 * False: it does not open; `out` holds nothing that may be used then.
 */
must_check bool ech_context_open(struct crypto *crypto, const struct ech_context *hpke, uint64_t sequence,
	struct bytes aad, struct bytes ciphertext, uint8_t *out);

#endif
