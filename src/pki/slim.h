/*
 * pki/slim.h — a library context in which decoding a certificate costs less. OpenSSL 3.0 asks every decoder it has
 * whether it can read a public key; this context has those for SubjectPublicKeyInfo only. Everything else is handed on
 * from the default provider.
 */
#ifndef PKI_SLIM_H
#define PKI_SLIM_H

#include "base/attr.h"

#include <openssl/types.h>

struct slim;

/* Never fails for want of the feature: slim_lib() is then NULL. NULL only without memory. */
must_check struct slim *slim_new(void);
/* After everything made with the context. NULL is allowed. */
void slim_free(struct slim *slim);
/* For SSL_CTX_new_ex, trust_new, …; NULL (the default context) when the slim one could not be built. Reads public keys
 * only: private keys are decoded in the default context. */
must_check OSSL_LIB_CTX *slim_lib(const struct slim *slim);

#endif
