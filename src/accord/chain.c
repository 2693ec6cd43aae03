#include "accord/chain.h"

#include <stdlib.h>

/* Octets of the first certificates; 0 when one cannot be written. */
static size_t measure(const STACK_OF(X509) * certs, size_t count)
{
	size_t need = 0;
	for (size_t i = 0; i < count; i++) {
		int len = i2d_X509(sk_X509_value(certs, (int)i), NULL);
		if (len <= 0)
			return 0;
		need += (size_t)len;
	}
	return need;
}

bool accord_chain_write(const STACK_OF(X509) * certs, uint8_t **memory, struct accord_chain *out)
{
	int sent = sk_X509_num(certs);
	*memory = NULL;
	*out = (struct accord_chain){.count = sent > 0 ? (size_t)sent : 0};
	size_t kept = out->count < ACCORD_MAX_CERTS ? out->count : ACCORD_MAX_CERTS;
	size_t need = measure(certs, kept);
	unsigned char *at = need > 0 ? malloc(need) : NULL;
	*memory = at;
	for (size_t i = 0; at && i < kept; i++) {
		const unsigned char *from = at;
		int len = i2d_X509(sk_X509_value(certs, (int)i), &at);
		out->cert[i] = bytes_of(from, len > 0 ? (size_t)len : 0);
	}
	return *memory != NULL;
}
