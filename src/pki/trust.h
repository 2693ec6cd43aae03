/*
 * pki/trust.h — trust anchors and CRLs, loaded once (RFC 5280, 6.1.1 and 5). Reading files happens here and at start
 * only; a sandboxed worker builds the same from bytes in memory.
 */
#ifndef PKI_TRUST_H
#define PKI_TRUST_H

#include "base/bytes.h"
#include "base/error.h"

#include <openssl/x509.h>

struct trust;

struct trust_counts {
	size_t anchors;
	size_t crls;
	size_t repeated;   /* given more than once, kept once */
	size_t unreadable; /* dangling links in a certificate directory, passed over */
	size_t unusable;   /* anchors whose key this library cannot read: they verify nothing, and are left out */
};

/*
 * Empty. `lib` is the library context that decodes the keys (pki/slim.h) and must outlive the trust; NULL: the default
 * one. NULL without memory.
 */
must_check struct trust *trust_new(OSSL_LIB_CTX *lib);
void trust_free(struct trust *trust); /* NULL is allowed; the store lives on while somebody holds a reference to it */

/*
 * The system's anchors: SSL_CERT_FILE and SSL_CERT_DIR (several, with colons) where set, else OpenSSL's own default
 * file and directory, else the usual bundles of distributions. Of a directory the hash-named entries are read
 * (1a2b3c4d.0). False when none was found or one is damaged.
 */
must_check bool trust_add_system(struct trust *trust, struct error *err);
/* All certificates and CRLs of a PEM file, or one in DER. Errors name the file and the number of the certificate in it. */
must_check bool trust_add_file(struct trust *trust, const char *path, struct error *err);
/*
 * The same from memory; `what` stands for the path in errors. Blocks named CERTIFICATE, X509 CERTIFICATE, TRUSTED
 * CERTIFICATE and X509 CRL count, others are passed over; none at all is an error. On false what stood before the
 * damaged block has been added: throw the trust away.
 */
must_check bool trust_add_bytes(struct trust *trust, struct bytes in, const char *what, struct error *err);
/* CRLs only: PEM or DER. A certificate in the file is an error. */
must_check bool trust_add_crl_file(struct trust *trust, const char *path, struct error *err);

/*
 * Everything as one PEM bundle that trust_add_bytes reads back: for handing to a process that cannot open files. The
 * caller frees *out with free(). False without memory.
 */
must_check bool trust_export(const struct trust *trust, uint8_t **out, size_t *len);

must_check struct trust_counts trust_count(const struct trust *trust);
/* Depends on the contents only: the same anchors and CRLs in the same order give the same number in every process. */
must_check uint64_t trust_generation(const struct trust *trust);
/* Belongs to the trust; take a reference with X509_STORE_up_ref to keep it. */
must_check X509_STORE *trust_store(const struct trust *trust);
must_check OSSL_LIB_CTX *trust_lib(const struct trust *trust);

#endif
