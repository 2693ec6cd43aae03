/*
 * accord/anchor.h — the certificates of Accord proxies: own key purpose, own anchors, short lives (docs/accord.md, 6).
 * Time is an argument.
 */
#ifndef ACCORD_ANCHOR_H
#define ACCORD_ANCHOR_H

#include "accord/chain.h"
#include "base/error.h"

#include <openssl/x509.h>

/* id-kp-accordProxy, in extended key usage. The arc is that of the policy of minted leaves (pki/mint.h). */
#define ACCORD_KEY_PURPOSE_OID "2.25.193640519.2.1"
#define ACCORD_LEAF_DAYS       7   /* notBefore to notAfter, at most */
#define ACCORD_NAME_MAX        253 /* octets */
#define ACCORD_PIN             32

/* Who a proxy is. */
struct accord_identity {
	char name[ACCORD_NAME_MAX + 1]; /* first dNSName of the subjectAltName, lower case; "" when there is none */
	uint8_t pin[ACCORD_PIN];        /* SHA-256 of the SubjectPublicKeyInfo, DER */
};

enum accord_leaf_result {
	ACCORD_LEAF_OK,
	ACCORD_LEAF_MALFORMED,
	ACCORD_LEAF_PURPOSE, /* ACCORD_KEY_PURPOSE_OID is not among the key purposes; anyExtendedKeyUsage does not count */
	ACCORD_LEAF_USAGE,    /* it is a CA, or its keyUsage has no digitalSignature */
	ACCORD_LEAF_LIFETIME, /* over ACCORD_LEAF_DAYS, or dates that cannot be read */
};

/* Judges an end-entity certificate by itself and says who it is. `err` may be NULL. */
must_check enum accord_leaf_result accord_leaf_judge(X509 *leaf, struct accord_identity *who, struct error *err);

/*
 * Does the chain lead to one of these anchors, now? Strict path validation, security level 2, issuers that have key
 * purposes have Accord's, the leaf is judged as above. `lib` NULL: the default library context; best that of the anchors
 * and of chain->leaf.
 */
must_check bool accord_chain_verify(X509_STORE *anchors, OSSL_LIB_CTX *lib, const struct accord_chain *chain,
	int64_t now_s, struct accord_identity *who, struct error *err);

/* The same, and the first second at which the path found does not hold any more: its earliest notAfter. */
must_check bool accord_chain_verify_until(X509_STORE *anchors, OSSL_LIB_CTX *lib, const struct accord_chain *chain,
	int64_t now_s, struct accord_identity *who, int64_t *ends_s, struct error *err);

/*
 * True when no anchor of one store is in the other too, by public key: an Accord anchor must be no web root. Sees what is
 * in the stores' memory, not what a directory would yield later.
 */
must_check bool accord_anchors_disjoint(X509_STORE *accord, X509_STORE *web, struct error *err);

#endif
