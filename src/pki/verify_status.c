#include "pki/verify_parts.h"

#include "pki/summary.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#define CLOCK_SLACK_S   300                   /* a responder's clock may be ahead of ours by this */
#define NO_UPDATE_MAX_S ((int64_t)10 * 86400) /* life of a response that does not say when the next one comes */
#define STATUS_REQUEST  5                     /* TLS feature of must-staple (RFC 7633, 4.2.3.1) */

static bool asks_for_staple(const X509 *cert)
{
	TLS_FEATURE *features = X509_get_ext_d2i(cert, NID_tlsfeature, NULL, NULL);
	bool found = false;
	for (int i = 0; features && i < sk_ASN1_INTEGER_num(features); i++)
		found |= ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == STATUS_REQUEST;
	TLS_FEATURE_free(features);
	return found;
}

static void fault_add(struct examination *ex, enum verify_fault fault)
{
	int code = fault == VERIFY_REVOKED          ? X509_V_ERR_CERT_REVOKED
	           : fault == VERIFY_STAPLE_MISSING ? X509_V_ERR_OCSP_VERIFY_NEEDED
	           : fault == VERIFY_STAPLE_UNKNOWN ? X509_V_ERR_OCSP_CERT_UNKNOWN
	                                            : X509_V_ERR_OCSP_VERIFY_FAILED;
	findings_add(&ex->findings, fault, 0, code, ex->leaf);
}

/* RFC 6960, 4.2.2.2: the issuer itself, or one it issued for this very purpose. */
static bool signer_may(const struct examination *ex, X509 *signer, X509 *issuer)
{
	EVP_PKEY *issuer_key = X509_get0_pubkey(issuer);
	EVP_PKEY *signer_key = X509_get0_pubkey(signer);
	if (!issuer_key || !signer_key)
		return false;
	if (EVP_PKEY_eq(issuer_key, signer_key) == 1)
		return true;
	int64_t from;
	int64_t until;
	bool delegated = (X509_get_extension_flags(signer) & EXFLAG_XKUSAGE) != 0 &&
	                 (X509_get_extended_key_usage(signer) & XKU_OCSP_SIGN) != 0;
	return delegated && X509_check_issued(issuer, signer) == X509_V_OK && X509_verify(signer, issuer_key) == 1 &&
	       EVP_PKEY_get_security_bits(signer_key) >= 112 && cert_dates(signer, &from, &until) &&
	       from <= ex->request->now_s && ex->request->now_s <= until;
}

static bool digest_is_weak(const OCSP_BASICRESP *basic)
{
	const X509_ALGOR *algorithm = OCSP_resp_get0_tbs_sigalg(basic);
	const ASN1_OBJECT *object;
	int digest = NID_undef;
	X509_ALGOR_get0(&object, NULL, NULL, algorithm);
	if (!OBJ_find_sigid_algs(OBJ_obj2nid(object), &digest, NULL))
		return true;
	return digest == NID_sha1 || digest == NID_md5;
}

/* Signature and signer. VERIFY_OK when both are good. */
static enum verify_fault signed_well(const struct examination *ex, OCSP_BASICRESP *basic, X509 *issuer)
{
	STACK_OF(X509) *own = sk_X509_new_null();
	if (!own || !sk_X509_push(own, issuer)) {
		sk_X509_free(own);
		return VERIFY_INTERNAL;
	}
	enum verify_fault fault = VERIFY_OK;
	X509 *signer = NULL;
	if (OCSP_resp_get0_signer(basic, &signer, own) != 1)
		fault = VERIFY_STAPLE_SIGNER;
	else if (digest_is_weak(basic) || OCSP_basic_verify(basic, own, NULL, OCSP_NOVERIFY) != 1)
		fault = VERIFY_STAPLE_BAD_SIGNATURE;
	else if (!signer_may(ex, signer, issuer))
		fault = VERIFY_STAPLE_SIGNER;
	sk_X509_free(own);
	return fault;
}

/* Whether this answer is about the leaf: its CertID made again with the digest it names. */
static bool is_about(OCSP_SINGLERESP *single, const X509 *leaf, const X509 *issuer)
{
	OCSP_CERTID *theirs = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single);
	ASN1_OBJECT *digest;
	if (OCSP_id_get0_info(NULL, &digest, NULL, NULL, theirs) != 1)
		return false;
	const EVP_MD *md = EVP_get_digestbyobj(digest);
	OCSP_CERTID *ours = md ? OCSP_cert_to_id(md, leaf, issuer) : NULL;
	bool same = ours && OCSP_id_cmp(ours, theirs) == 0;
	OCSP_CERTID_free(ours);
	return same;
}

static enum verify_fault answer_check(struct examination *ex, OCSP_SINGLERESP *single)
{
	ASN1_GENERALIZEDTIME *this_update = NULL;
	ASN1_GENERALIZEDTIME *next_update = NULL;
	int reason;
	int status = OCSP_single_get0_status(single, &reason, NULL, &this_update, &next_update);
	int64_t from;
	int64_t until;
	int64_t now = ex->request->now_s;
	if (!cert_time(this_update, &from) || (next_update && !cert_time(next_update, &until)))
		return VERIFY_STAPLE_MALFORMED;
	if (!next_update)
		until = from + NO_UPDATE_MAX_S;
	/* An old "revoked" still says so. */
	if (status == V_OCSP_CERTSTATUS_REVOKED)
		return VERIFY_REVOKED;
	if (from > now + CLOCK_SLACK_S || until < now || until < from)
		return VERIFY_STAPLE_EXPIRED;
	examination_ends(ex, until);
	return status == V_OCSP_CERTSTATUS_GOOD ? VERIFY_OK : VERIFY_STAPLE_UNKNOWN;
}

static enum verify_fault basic_check(struct examination *ex, OCSP_BASICRESP *basic, X509 *issuer)
{
	enum verify_fault fault = signed_well(ex, basic, issuer);
	for (int i = 0; fault == VERIFY_OK && i < OCSP_resp_count(basic); i++) {
		OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
		if (is_about(single, ex->leaf, issuer))
			return answer_check(ex, single);
	}
	return fault == VERIFY_OK ? VERIFY_STAPLE_MALFORMED : fault;
}

static enum verify_fault staple_check(struct examination *ex, X509 *issuer)
{
	struct bytes staple = ex->request->staple;
	const unsigned char *at = staple.data;
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)staple.len);
	if (!response)
		return VERIFY_STAPLE_MALFORMED;
	enum verify_fault fault = VERIFY_STAPLE_MALFORMED;
	OCSP_BASICRESP *basic = NULL;
	/* "Try later" and its like carry no answer: as good as none. */
	if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		fault = VERIFY_STAPLE_MISSING;
	else if (at == staple.data + staple.len && (basic = OCSP_response_get1_basic(response)) != NULL)
		fault = basic_check(ex, basic, issuer);
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(response);
	return fault;
}

void examine_status(struct examination *ex)
{
	/* A leaf that is itself an anchor has nobody above it who could revoke it. */
	if (sk_X509_num(ex->chain) < 2)
		return;
	for (int i = 0; i < ex->anchor_at; i++)
		ex->must_staple |= asks_for_staple(sk_X509_value(ex->chain, i));
	enum verify_fault fault = VERIFY_STAPLE_MISSING;
	if (ex->request->staple.len > 0)
		fault = staple_check(ex, sk_X509_value(ex->chain, 1));
	ex->staple_good = fault == VERIFY_OK;
	bool needed = ex->must_staple || ex->request->policy.require_staple;
	if (fault != VERIFY_OK && (fault != VERIFY_STAPLE_MISSING || needed))
		fault_add(ex, fault);
	bool told = ex->staple_good || (ex->crl_good && ex->anchored) || findings_has(&ex->findings, VERIFY_REVOKED);
	if (ex->request->policy.require_status && !told)
		findings_add(&ex->findings, VERIFY_STATUS_UNKNOWN, 0, X509_V_ERR_OCSP_VERIFY_NEEDED, ex->leaf);
	ERR_clear_error();
}
