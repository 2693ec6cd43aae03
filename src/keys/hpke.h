/*
 * keys/hpke.h — hybrid public key encryption (RFC 9180), the one suite the house uses: base mode, DHKEM(X25519,
 * HKDF-SHA256) 0x0020, HKDF-SHA256 0x0001, ChaCha20-Poly1305 0x0003. No I/O, no allocation.
 */
#ifndef KEYS_HPKE_H
#define KEYS_HPKE_H

#include "base/bytes.h"

#define HPKE_KEY   32 /* octets of private and public keys, and of `enc` */
#define HPKE_AEAD  32
#define HPKE_NONCE 12
#define HPKE_TAG   16

/* Of one sender and one receiver. Wipe it with hpke_wipe. */
struct hpke {
	uint8_t key[HPKE_AEAD];
	uint8_t base_nonce[HPKE_NONCE];
};

/*
 * SetupBaseS with a fresh ephemeral key pair. False without randomness, or when the public key is of small order: nothing
 * is left in `*out` then.
 */
must_check bool hpke_send(
	struct hpke *out, uint8_t enc[static HPKE_KEY], const uint8_t reader[static HPKE_KEY], struct bytes info);
/* The same with this ephemeral private key: for test vectors. */
must_check bool hpke_send_with(struct hpke *out, uint8_t enc[static HPKE_KEY], const uint8_t ephemeral[static HPKE_KEY],
	const uint8_t reader[static HPKE_KEY], struct bytes info);
/* SetupBaseR. False when `enc` is of small order. */
must_check bool hpke_receive(
	struct hpke *out, const uint8_t enc[static HPKE_KEY], const uint8_t own[static HPKE_KEY], struct bytes info);

/* Seals under the number `seq` of the context; `out` has room for plain.len + HPKE_TAG and may overlap `plain` exactly. */
void hpke_seal(const struct hpke *context, uint64_t seq, struct bytes aad, struct bytes plain, uint8_t *out);
/* `out` has room for sealed.len - HPKE_TAG octets. False: altered, another number, or too short; `out` is wiped then. */
must_check bool hpke_open(
	const struct hpke *context, uint64_t seq, struct bytes aad, struct bytes sealed, uint8_t *out);

void hpke_wipe(struct hpke *context);

#endif
