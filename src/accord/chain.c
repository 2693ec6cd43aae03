#include "accord/chain.h"

#include <limits.h>
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

X509 *accord_cert_decode(struct bytes der, OSSL_LIB_CTX *lib)
{
	X509 *cert = X509_new_ex(lib, NULL);
	const unsigned char *at = der.data;
	if (cert && der.len <= LONG_MAX && d2i_X509(&cert, &at, (long)der.len) && at == der.data + der.len)
		return cert;
	X509_free(cert); /* NULL where d2i has freed it */
	return NULL;
}

/* A reference of the caller's own. */
static X509 *take(const struct accord_chain *chain, size_t i, OSSL_LIB_CTX *lib)
{
	if (i > 0 || !chain->leaf || chain->lib != lib)
		return accord_cert_decode(chain->cert[i], lib);
	return X509_up_ref(chain->leaf) == 1 ? chain->leaf : NULL;
}

STACK_OF(X509) * accord_chain_decode(const struct accord_chain *chain, OSSL_LIB_CTX *lib)
{
	STACK_OF(X509) *certs = chain->count > 0 ? sk_X509_new_null() : NULL;
	for (size_t i = 0; certs && i < chain->count; i++) {
		X509 *cert = take(chain, i, lib);
		if (!cert || sk_X509_push(certs, cert) <= 0) {
			X509_free(cert);
			sk_X509_pop_free(certs, X509_free);
			return NULL;
		}
	}
	return certs;
}
