/*
 * keys/secret.h — a secret of a few octets, and memory for larger ones. Nothing here prints; nothing compares in a time
 * that depends on the octets; what is given back is wiped first.
 */
#ifndef KEYS_SECRET_H
#define KEYS_SECRET_H

#include "base/bytes.h"

#define SECRET_MAX 64

/* A value: embedded or on the stack, zeroed when new. Whoever holds one calls secret_wipe before it goes away. */
struct secret {
	size_t len; /* octets, 0..SECRET_MAX */
	uint8_t octets[SECRET_MAX];
};

/* Replaces the value. False, and nothing changed, when `value` is longer than SECRET_MAX. */
must_check bool secret_set(struct secret *secret, struct bytes value);
/* `len` octets of OpenSSL's private random source. False (and an empty secret) when it has none, or len > SECRET_MAX. */
must_check bool secret_random(struct secret *secret, size_t len);
/* Time depends on the lengths only. */
must_check bool secret_equal(const struct secret *a, const struct secret *b);
/* NULL is allowed. */
void secret_wipe(struct secret *secret);

/* The octets, owned by the secret; valid until it is wiped or set. */
static inline struct bytes secret_bytes(const struct secret *secret)
{
	return bytes_of(secret->octets, secret->len);
}

/*
 * This process holds secrets, also in memory that libraries allocate: it is left out of core dumps altogether, and other
 * processes of its user cannot look into it. What it starts is not concerned.
 */
void secret_process(void);

/*
 * Memory for secrets that live long: `size` zeroed octets between guard pages, left out of core dumps, and locked
 * against swapping as far as RLIMIT_MEMLOCK allows. Costs at least four pages each. NULL without memory.
 */
must_check void *secret_alloc(size_t size);
/* Wipes and gives back what secret_alloc gave. NULL is allowed. */
void secret_free(void *memory);

#endif
