#include "keys/secret.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sodium.h>
#include <sys/prctl.h>

bool secret_set(struct secret *secret, struct bytes value)
{
	if (value.len > SECRET_MAX)
		return false;
	/* Moved before it is wiped: `value` may be a part of this very secret. */
	uint8_t octets[SECRET_MAX] = {0};
	if (value.len)
		memcpy(octets, value.data, value.len);
	memcpy(secret->octets, octets, sizeof(secret->octets));
	secret->len = value.len;
	OPENSSL_cleanse(octets, sizeof(octets));
	return true;
}

bool secret_random(struct secret *secret, size_t len)
{
	secret_wipe(secret);
	if (len > SECRET_MAX || RAND_priv_bytes(secret->octets, (int)len) != 1) {
		secret_wipe(secret);
		return false;
	}
	secret->len = len;
	return true;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
	return bytes_equal_secret(secret_bytes(a), secret_bytes(b));
}

void secret_wipe(struct secret *secret)
{
	if (secret)
		OPENSSL_cleanse(secret, sizeof(*secret));
}

void secret_process(void)
{
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void *secret_alloc(size_t size)
{
	if (sodium_init() < 0)
		return NULL;
	void *memory = sodium_malloc(size);
	if (memory)
		sodium_memzero(memory, size);
	return memory;
}

void secret_free(void *memory)
{
	sodium_free(memory);
}
