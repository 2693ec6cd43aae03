#include "base/hash.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

static unsigned char key[crypto_shorthash_KEYBYTES];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_key(void)
{
	/* Without randomness nothing here is safe to run. */
	if (sodium_init() < 0)
		abort();
	randombytes_buf(key, sizeof(key));
}

uint64_t hash_bytes(struct bytes in)
{
	pthread_once(&once, make_key);
	uint64_t out;
	_Static_assert(crypto_shorthash_BYTES == sizeof(out), "short hash is 64 bits");
	crypto_shorthash((unsigned char *)&out, in.data, in.len, key);
	return out;
}
