/* accord/chain.h — certificates as a peer sent them, end entity first. Views into somebody else's bytes. */
#ifndef ACCORD_CHAIN_H
#define ACCORD_CHAIN_H

#include "base/bytes.h"

#include <openssl/x509.h>

#define ACCORD_MAX_CERTS 8

struct accord_chain {
	struct bytes cert[ACCORD_MAX_CERTS]; /* DER */
	size_t count;                        /* 1..ACCORD_MAX_CERTS where it is to be used; more were sent otherwise */
	struct bytes staple;                 /* OCSPResponse stapled to the end entity, DER; empty when there is none */
	X509 *leaf;        /* cert[0] decoded, while a question is asked about the chain; else NULL. Not to be kept */
	OSSL_LIB_CTX *lib; /* library context it was decoded in */
};

/*
 * The DER of these certificates, in memory that is put in *memory for the caller to free(). Of more than
 * ACCORD_MAX_CERTS the first are written and all are counted. False for none, and without memory; *memory is then NULL.
 */
must_check bool accord_chain_write(const STACK_OF(X509) * certs, uint8_t **memory, struct accord_chain *out);

/* One certificate and nothing behind it, for X509_free(); NULL when it cannot be read. `lib` NULL: the default context. */
must_check X509 *accord_cert_decode(struct bytes der, OSSL_LIB_CTX *lib);
/*
 * All of them, each decoded in `lib`, for sk_X509_pop_free(). chain->leaf is taken instead where it is of that context: to
 * decode a certificate is the dearest part of judging it. NULL when there are none or one cannot be read.
 */
must_check STACK_OF(X509) * accord_chain_decode(const struct accord_chain *chain, OSSL_LIB_CTX *lib);

#endif
