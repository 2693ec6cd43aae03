/*
 * keys/seal.h — releases sealed to their readers: hybrid public key encryption (RFC 9180, base mode, DHKEM(X25519,
 * HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305; keys/hpke.h). No I/O, no clock.
 *
 * A sealer belongs to one reader and one sender: it makes one HPKE context for each interval (the data key, wrapped once by
 * `enc`) and seals each release under the next number of that context. The number and `enc` travel with each sealed
 * release, so that any one of them can be opened alone, in any order, and whatever is lost hurts nothing else.
 *
 * In front stands a head in the clear, bound to what is sealed: what a collector needs to file it, to judge it by its
 * grant and to know a duplicate. It holds no key.
 *
 * The sender is not authenticated by the sealing: anyone who knows the reader's public key can seal to it. Who sent a key
 * is the collector's word (mutual TLS, and its log). A forged key can do no more than open nothing: what decides is the
 * tag of the records.
 */
#ifndef KEYS_SEAL_H
#define KEYS_SEAL_H

#include "keys/release.h"

#define SEAL_KEY         32 /* octets of X25519 keys */
#define SEAL_KEY_ID      32 /* SHA-256 of SubjectPublicKeyInfo (RFC 5280) */
#define SEAL_ENC         32
#define SEAL_TAG         16
#define SEAL_HEAD_MAX    (160 + RELEASE_NAME_MAX)
#define SEAL_MAX         (SEAL_HEAD_MAX + 2 + RELEASE_WRITTEN + SEAL_TAG) /* octets of a sealed release */
#define SEAL_INTERVAL_NS UINT64_C(60000000000)
#define SEAL_PER_CONTEXT 1048576 /* releases under one context; then a new one is made */

/* The id of a raw X25519 public key. False when libcrypto fails. */
must_check bool seal_key_id(const uint8_t public_key[static SEAL_KEY], uint8_t id[static SEAL_KEY_ID]);

/* What stands in the clear. */
struct seal_head {
	uint8_t key_id[SEAL_KEY_ID]; /* the reader's */
	uint8_t enc[SEAL_ENC];       /* of the context */
	uint64_t number;             /* within the context, from 0 */
	uint8_t grade, mode, consent;
	uint8_t grant[RELEASE_GRANT];
	uint8_t client_random[KEYLOG_RANDOM];
	bool from_client; /* grade raw: false */
	uint32_t epoch;   /* grade raw: 0 */
	uint8_t check[RELEASE_CHECK];
	uint64_t made_ns;
	char name[RELEASE_NAME_MAX + 1];
};

/* Reads the head and how the sealed octets lie; `in` is one sealed release and nothing else. False: it is not one. */
must_check bool seal_head_read(struct bytes in, struct seal_head *head);

enum seal_result {
	SEAL_OK,
	SEAL_BAD_RELEASE, /* release_check says no */
	SEAL_BAD_FORM,    /* no sealed release, or one of another version */
	SEAL_OTHER_READER,
	SEAL_BAD_TAG,     /* altered, or sealed to another key */
	SEAL_CONTRADICTS, /* authentic, but the head says other things than what is sealed */
	SEAL_NO_ROOM,     /* the writer is full */
	SEAL_FAILED,      /* no randomness, no memory, or a public key that is no good */
	SEAL_RESULTS,
};

/* "it was altered or sealed to another key". Never NULL. */
must_check const char *seal_result_text(enum seal_result result);

struct sealer;

/* NULL without memory, or when `public_key` is of small order. `interval_ns` 0: SEAL_INTERVAL_NS. */
must_check struct sealer *sealer_new(const uint8_t public_key[static SEAL_KEY], uint64_t interval_ns);
/* Wipes. NULL is allowed. */
void sealer_free(struct sealer *sealer);
/* Writes one sealed release, at most SEAL_MAX octets. `now_ns` is monotonic and decides about a new context only. */
must_check enum seal_result sealer_seal(
	struct sealer *sealer, uint64_t now_ns, const struct release *release, struct writer *to);
must_check const uint8_t *sealer_key_id(const struct sealer *sealer);
/* Contexts made so far. */
must_check uint64_t sealer_contexts(const struct sealer *sealer);

#define OPENER_CONTEXTS 1024 /* contexts kept, so that most releases cost no X25519; the oldest leaves */
struct opener;

/* NULL without memory. The private key is copied. */
must_check struct opener *opener_new(const uint8_t private_key[static SEAL_KEY]);
/* Wipes. NULL is allowed. */
void opener_free(struct opener *opener);
/* On anything but SEAL_OK `*out` is wiped. The caller wipes it (release_wipe). */
must_check enum seal_result opener_open(struct opener *opener, struct bytes sealed, struct release *out);
must_check const uint8_t *opener_key_id(const struct opener *opener);

#endif
