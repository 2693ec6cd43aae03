/* assess/identity_status.c — what an OCSP responder says of a leaf, rightly or wrongly (RFC 6960, 4.2). */
#include "assess/identity_parts.h"

#include <openssl/ocsp.h>

/* A certificate below `issuer` that may do all but sign OCSP responses. */
static X509 *make_signer(X509 *issuer, EVP_PKEY *by, EVP_PKEY *key)
{
	const struct identity_plan plan = {.cn = "Overt test signer",
		.constraints = "critical,CA:FALSE",
		.usage = "critical,digitalSignature",
		.purpose = "serverAuth",
		.from_s = -IDENTITY_DAY_S,
		.until_s = IDENTITY_LEAF_DAYS * IDENTITY_DAY_S};
	return identity_certify(&plan, key, issuer, by);
}

/* An answer about the leaf, as its issuer's responder would give it. */
bool identity_tell_status(enum identity_fault fault, X509 *issuer, EVP_PKEY *by, struct identity *out)
{
	bool revoked = fault == IDENTITY_STAPLE_REVOKED || fault == IDENTITY_REVOKED;
	bool old = fault == IDENTITY_STAPLE_EXPIRED, stranger = fault == IDENTITY_STAPLE_SIGNER;
	EVP_PKEY *key = stranger ? EVP_EC_gen("P-256") : by;
	X509 *signer = stranger && key ? make_signer(issuer, by, key) : issuer;
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), out->leaf, issuer);
	ASN1_TIME *from = X509_gmtime_adj(NULL, old ? -IDENTITY_LEAF_DAYS * IDENTITY_DAY_S : -IDENTITY_DAY_S / 24),
		  *until = X509_gmtime_adj(NULL, old ? -IDENTITY_DAY_S : IDENTITY_DAY_S),
		  *since = X509_gmtime_adj(NULL, -IDENTITY_DAY_S / 2);
	bool ok = key && signer && basic && id && from && until && since &&
	          OCSP_basic_add1_status(basic, id, revoked ? V_OCSP_CERTSTATUS_REVOKED : V_OCSP_CERTSTATUS_GOOD,
			  OCSP_REVOKED_STATUS_KEYCOMPROMISE, revoked ? since : NULL, from, until) != NULL &&
	          OCSP_basic_sign(basic, signer, key, EVP_sha256(), NULL, 0) == 1;
	OCSP_RESPONSE *response = ok ? OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic) : NULL;
	int len = response ? i2d_OCSP_RESPONSE(response, &out->status) : 0;
	out->status_len = len > 0 ? (size_t)len : 0;
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	ASN1_TIME_free(since);
	if (stranger) {
		X509_free(signer);
		EVP_PKEY_free(key);
	}
	return len > 0;
}
