#include "agent/shown.h"

#include <limits.h>

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static int slot = -1;

static void on_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
	sk_X509_pop_free(ptr, X509_free);
}

/* A duplicate begins without: it has no connection yet. */
static int on_dup(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **ptr, int idx, long argl, void *argp)
{
	(void)to, (void)from, (void)idx, (void)argl, (void)argp;
	*ptr = NULL;
	return 1;
}

static void make_slot(void)
{
	slot = SSL_get_ex_new_index(0, NULL, NULL, on_dup, on_free);
}

static STACK_OF(X509) * shown_of(const SSL *ssl)
{
	return CRYPTO_THREAD_run_once(&once, make_slot) == 1 && slot >= 0 ? SSL_get_ex_data(ssl, slot) : NULL;
}

void shown_clear(SSL *ssl)
{
	STACK_OF(X509) *old = shown_of(ssl);
	if (old && SSL_set_ex_data(ssl, slot, NULL) == 1)
		sk_X509_pop_free(old, X509_free);
}

static bool add(STACK_OF(X509) * certs, struct bytes der)
{
	const unsigned char *at = der.data;
	X509 *cert = der.len <= LONG_MAX ? d2i_X509(NULL, &at, (long)der.len) : NULL;
	if (cert && sk_X509_push(certs, cert) > 0)
		return true;
	X509_free(cert);
	return false;
}

bool shown_set(SSL *ssl, X509_STORE_CTX *store, const struct accord_chain *server)
{
	STACK_OF(X509) *certs = sk_X509_new_null();
	STACK_OF(X509) *verified = NULL;
	bool ok = certs != NULL;
	for (size_t i = 0; ok && i < server->count; i++)
		ok = add(certs, server->cert[i]);
	verified = ok ? X509_chain_up_ref(certs) : NULL;
	(void)!shown_of(ssl);
	if (!verified || slot < 0 || SSL_set_ex_data(ssl, slot, certs) != 1) {
		sk_X509_pop_free(verified, X509_free);
		sk_X509_pop_free(certs, X509_free);
		return false;
	}
	X509_STORE_CTX_set0_verified_chain(store, verified);
	return true;
}

X509 *shown_get0(const SSL *ssl)
{
	STACK_OF(X509) *certs = shown_of(ssl);
	return certs ? sk_X509_value(certs, 0) : SSL_get0_peer_certificate(ssl);
}

X509 *shown_get1(const SSL *ssl)
{
	X509 *cert = shown_get0(ssl);
	if (cert)
		X509_up_ref(cert);
	return cert;
}

STACK_OF(X509) * shown_chain(const SSL *ssl)
{
	STACK_OF(X509) *certs = shown_of(ssl);
	return certs ? certs : SSL_get_peer_cert_chain(ssl);
}
