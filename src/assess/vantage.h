/*
 * assess/vantage.h — what is seen of a server from one place: its certificate and how it answers. Saved in the report of
 * `overt assess path`, and compared from another place; and the keys that are expected of it.
 */
#ifndef ASSESS_VANTAGE_H
#define ASSESS_VANTAGE_H

#include "assess/answers.h"
#include "base/error.h"
#include "sink/jsonout.h"

#include <openssl/x509.h>

#define VANTAGE_DIGEST 32 /* SHA-256 */
#define EXPECT_KEYS    16

struct vantage {
	bool has_leaf;
	uint8_t leaf[VANTAGE_DIGEST];  /* of the certificate */
	uint8_t key[VANTAGE_DIGEST];   /* of its SubjectPublicKeyInfo */
	uint8_t names[VANTAGE_DIGEST]; /* of its subjectAltName; all zero: it has none */
	char issuer[256];
	struct answers answers;
};

/* Of a SubjectPublicKeyInfo (RFC 7469, 2.4). False when the key cannot be encoded. */
must_check bool key_digest(X509 *cert, uint8_t out[VANTAGE_DIGEST]);
/* Fills all but the answers. */
void vantage_of(X509 *leaf, struct vantage *out);
/* As a member "vantage". */
void vantage_write(struct jsonout *json, const struct vantage *vantage);
/* From a report. False when it has none, or a damaged one. */
must_check bool vantage_read(struct bytes report, struct vantage *out);

/* What is known of the server beforehand. */
struct expect {
	uint8_t key[EXPECT_KEYS][VANTAGE_DIGEST];
	X509 *cert
		[EXPECT_KEYS]; /* what was given as a certificate: a root is seldom sent, and is known by this; or NULL */
	size_t keys;
	bool has_vantage, has_names;
	struct vantage vantage;
	uint8_t names[VANTAGE_DIGEST]; /* of the subjectAltName of what is expected */
};

enum expect_match {
	EXPECT_NOTHING, /* no key is expected */
	EXPECT_LEAF,    /* the leaf's key is one of them */
	EXPECT_ABOVE,   /* one of the keys that the chain leads to, by its signatures */
	EXPECT_OTHER,
};

/*
 * "sha256:" and the digest of a key in 64 hex digits or in base64, or a file: a report of `overt assess path --json`, or
 * certificates in PEM, of which the first counts for the names. May be called several times; expect_free in the end.
 */
must_check bool expect_add(struct expect *expect, const char *word, struct error *err);
/*
 * `chain` is what was sent, `anchor` what it ends at among what is trusted here; both may be NULL. Each step up is by a
 * signature that was verified.
 */
must_check enum expect_match expect_judge(
	const struct expect *expect, X509 *leaf, STACK_OF(X509) * chain, X509 *anchor);
void expect_free(struct expect *expect);

#endif
