/* pki/verify_parts.h — what the files of the verifier share; not for other rooms. */
#ifndef PKI_VERIFY_PARTS_H
#define PKI_VERIFY_PARTS_H

#include "pki/verify.h"

/* Everything found wrong so far; per fault the first place where it was. */
struct findings {
	uint64_t faults;
	struct {
		int8_t depth;
		uint8_t x509_error;
		char subject[160]; /* of the certificate there, or "" */
	} at[VERIFY_FAULTS];
};

/* `cert` may be NULL. */
void findings_add(struct findings *findings, enum verify_fault fault, int depth, int x509_error, X509 *cert);
static inline bool findings_has(const struct findings *findings, enum verify_fault fault)
{
	return (findings->faults & VERIFY_FAULT_BIT(fault)) != 0;
}
/* The most telling one, or VERIFY_OK. */
must_check enum verify_fault findings_first(const struct findings *findings);

/* One verification on its way. */
struct examination {
	const struct verify_request *request;
	const struct trust *trust;
	X509 *leaf;
	STACK_OF(X509) * presented; /* what the peer sent, and `extra`; may be NULL */
	STACK_OF(X509) * chain;     /* as built, leaf first; owned by whoever ends the examination */
	int anchor_at;              /* index in `chain` of the first certificate from the trust store */
	bool anchored;              /* the chain ends at one */
	bool crl_good;              /* a CRL covered the leaf */
	bool staple_good;
	bool must_staple;
	int64_t ends_s; /* earliest notAfter or nextUpdate */
	struct findings findings;
};

/* Builds the chain and checks it as RFC 5280, 6 has it. False when the library failed. */
must_check bool examine_path(struct examination *ex);
/* Dates, keys, extended key usage, certificate by certificate, where libcrypto is more lenient than we are. */
void examine_certs(struct examination *ex);
/* Does the leaf name the host? */
void examine_name(struct examination *ex);
/* Staple, must-staple, and what the policy wants to know. */
void examine_status(struct examination *ex);

/* Writes out->text from what the other fields say. */
void verdict_text(const struct examination *ex, struct verify_verdict *out);

static inline void examination_ends(struct examination *ex, int64_t at_s)
{
	if (at_s < ex->ends_s)
		ex->ends_s = at_s;
}

#endif
