#include "pki/verify_parts.h"

#include "pki/summary.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#define AUTH_LEVEL 2 /* 112 bits: no RSA below 2048, no SHA-1 or MD5 (SSL_CTX_set_security_level) */

/* What an X509_V_ERR_… means here. Codes not named are breaches of RFC 5280 in other ways. */
static const struct {
	int code;
	enum verify_fault fault;
} meanings[] = {
	{X509_V_ERR_UNSPECIFIED, VERIFY_INTERNAL},
	{X509_V_ERR_OUT_OF_MEM, VERIFY_INTERNAL},
	{X509_V_ERR_INVALID_CALL, VERIFY_INTERNAL},
	{X509_V_ERR_STORE_LOOKUP, VERIFY_INTERNAL},
	{X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE, VERIFY_BAD_SIGNATURE},
	{X509_V_ERR_CERT_SIGNATURE_FAILURE, VERIFY_BAD_SIGNATURE},
	{X509_V_ERR_SIGNATURE_ALGORITHM_MISMATCH, VERIFY_BAD_SIGNATURE},
	{X509_V_ERR_SIGNATURE_ALGORITHM_INCONSISTENCY, VERIFY_BAD_SIGNATURE},
	{X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD, VERIFY_MALFORMED},
	{X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD, VERIFY_MALFORMED},
	{X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY, VERIFY_MALFORMED},
	{X509_V_ERR_NO_ISSUER_PUBLIC_KEY, VERIFY_MALFORMED},
	{X509_V_ERR_INVALID_EXTENSION, VERIFY_MALFORMED},
	{X509_V_ERR_INVALID_POLICY_EXTENSION, VERIFY_MALFORMED},
	{X509_V_ERR_CERT_NOT_YET_VALID, VERIFY_NOT_YET_VALID},
	{X509_V_ERR_CERT_HAS_EXPIRED, VERIFY_EXPIRED},
	{X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, VERIFY_SELF_SIGNED},
	{X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, VERIFY_UNKNOWN_ROOT},
	{X509_V_ERR_CERT_UNTRUSTED, VERIFY_UNKNOWN_ROOT},
	{X509_V_ERR_CERT_REJECTED, VERIFY_UNKNOWN_ROOT},
	{X509_V_ERR_CERT_CHAIN_TOO_LONG, VERIFY_CHAIN_TOO_BIG},
	{X509_V_ERR_CERT_REVOKED, VERIFY_REVOKED},
	{X509_V_ERR_INVALID_CA, VERIFY_NOT_A_CA},
	{X509_V_ERR_INVALID_NON_CA, VERIFY_NOT_A_CA},
	{X509_V_ERR_PATH_LENGTH_EXCEEDED, VERIFY_PATH_LENGTH},
	{X509_V_ERR_PERMITTED_VIOLATION, VERIFY_NAME_CONSTRAINTS},
	{X509_V_ERR_EXCLUDED_VIOLATION, VERIFY_NAME_CONSTRAINTS},
	{X509_V_ERR_SUBTREE_MINMAX, VERIFY_NAME_CONSTRAINTS},
	{X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE, VERIFY_NAME_CONSTRAINTS},
	{X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX, VERIFY_NAME_CONSTRAINTS},
	{X509_V_ERR_UNSUPPORTED_NAME_SYNTAX, VERIFY_NAME_CONSTRAINTS},
	{X509_V_ERR_KEYUSAGE_NO_CERTSIGN, VERIFY_KEY_USAGE},
	{X509_V_ERR_KEYUSAGE_NO_DIGITAL_SIGNATURE, VERIFY_KEY_USAGE},
	{X509_V_ERR_PATHLEN_WITHOUT_KU_KEY_CERT_SIGN, VERIFY_KEY_USAGE},
	{X509_V_ERR_INVALID_PURPOSE, VERIFY_PURPOSE},
	{X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION, VERIFY_CRITICAL_EXTENSION},
	{X509_V_ERR_SUBJECT_ISSUER_MISMATCH, VERIFY_ISSUER_MISMATCH},
	{X509_V_ERR_AKID_SKID_MISMATCH, VERIFY_ISSUER_MISMATCH},
	{X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH, VERIFY_ISSUER_MISMATCH},
	{X509_V_ERR_CA_MD_TOO_WEAK, VERIFY_WEAK_SIGNATURE},
	{X509_V_ERR_UNSUPPORTED_SIGNATURE_ALGORITHM, VERIFY_WEAK_SIGNATURE},
	{X509_V_ERR_EE_KEY_TOO_SMALL, VERIFY_WEAK_KEY},
	{X509_V_ERR_CA_KEY_TOO_SMALL, VERIFY_WEAK_KEY},
	{X509_V_ERR_EC_KEY_EXPLICIT_PARAMS, VERIFY_WEAK_KEY},
	{X509_V_ERR_UNABLE_TO_GET_CRL, VERIFY_CRL_MISSING},
	{X509_V_ERR_CRL_NOT_YET_VALID, VERIFY_CRL_EXPIRED},
	{X509_V_ERR_CRL_HAS_EXPIRED, VERIFY_CRL_EXPIRED},
	{X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE, VERIFY_CRL_BAD_SIGNATURE},
	{X509_V_ERR_CRL_SIGNATURE_FAILURE, VERIFY_CRL_BAD_SIGNATURE},
	{X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER, VERIFY_CRL_SIGNER},
	{X509_V_ERR_KEYUSAGE_NO_CRL_SIGN, VERIFY_CRL_SIGNER},
	{X509_V_ERR_CRL_PATH_VALIDATION_ERROR, VERIFY_CRL_SIGNER},
	{X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD, VERIFY_CRL_MALFORMED},
	{X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD, VERIFY_CRL_MALFORMED},
	{X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION, VERIFY_CRL_MALFORMED},
	{X509_V_ERR_DIFFERENT_CRL_SCOPE, VERIFY_CRL_MALFORMED},
};

static enum verify_fault fault_of(int code)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		if (meanings[i].code == code)
			return meanings[i].fault;
	}
	return VERIFY_STRICT;
}

static bool is_crl_fault(enum verify_fault fault)
{
	return fault >= VERIFY_CRL_MISSING && fault <= VERIFY_CRL_MALFORMED;
}

/*
 * An anchor is trusted as a key and a name (RFC 5280, 6.1.1): what else its certificate says wrong does not count. Five
 * of a distribution's 142 roots break the strict rules.
 */
static bool anchor_may(int code, enum verify_fault fault, X509 *cert)
{
	if (fault == VERIFY_STRICT || is_crl_fault(fault))
		return true;
	/* An old root of version 1, or with keyUsage alone. A certificate that says it is no CA is none. */
	return code == X509_V_ERR_INVALID_CA && X509_check_ca(cert) != 0;
}

static bool says_ca(X509 *cert)
{
	return (X509_get_extension_flags(cert) & EXFLAG_CA) != 0;
}

/* libcrypto has one code for several causes; the certificate tells which. */
static enum verify_fault refined(enum verify_fault fault, X509 *cert)
{
	if (!cert)
		return fault;
	/* An extension that cannot be decoded makes the check of the purpose fail without saying why. */
	if (fault == VERIFY_INTERNAL && (X509_get_extension_flags(cert) & EXFLAG_INVALID) != 0)
		return VERIFY_MALFORMED;
	if (fault != VERIFY_NOT_A_CA)
		return fault;
	/* Version 1 has no basicConstraints at all. */
	if (X509_get_version(cert) < X509_VERSION_3)
		return VERIFY_V1_ISSUER;
	return says_ca(cert) && (X509_get_key_usage(cert) & KU_KEY_CERT_SIGN) == 0 ? VERIFY_KEY_USAGE : fault;
}

/* Below an anchor that has no subjectKeyIdentifier there is nothing that an authorityKeyIdentifier could say. */
static bool nothing_to_identify(X509_STORE_CTX *ctx, int code, int depth)
{
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
	return code == X509_V_ERR_MISSING_AUTHORITY_KEY_IDENTIFIER && depth + 1 < sk_X509_num(chain) &&
	       depth + 1 >= X509_STORE_CTX_get_num_untrusted(ctx) &&
	       !X509_get0_subject_key_id(sk_X509_value(chain, depth + 1));
}

static void malformed_add(struct examination *ex, X509 *cert, int depth)
{
	if ((X509_get_extension_flags(cert) & EXFLAG_INVALID) != 0)
		findings_add(&ex->findings, VERIFY_MALFORMED, depth, X509_V_ERR_INVALID_EXTENSION, cert);
}

/* Why was a certificate of the right name not taken as the issuer? */
static void why_not(struct examination *ex, STACK_OF(X509) * candidates, X509 *cert, int depth)
{
	for (int i = 0; candidates && i < sk_X509_num(candidates); i++) {
		X509 *issuer = sk_X509_value(candidates, i);
		if (X509_NAME_cmp(X509_get_subject_name(issuer), X509_get_issuer_name(cert)) != 0)
			continue;
		int code = X509_check_issued(issuer, cert);
		if (code == X509_V_OK)
			continue;
		if (code == X509_V_ERR_UNSPECIFIED) {
			malformed_add(ex, issuer, depth + 1);
			malformed_add(ex, cert, depth);
			continue;
		}
		if (code == X509_V_ERR_KEYUSAGE_NO_CERTSIGN && !says_ca(issuer))
			findings_add(&ex->findings, VERIFY_NOT_A_CA, depth + 1, X509_V_ERR_INVALID_CA, issuer);
		findings_add(&ex->findings, fault_of(code), depth + 1, code, issuer);
	}
}

/* The chain stops at `cert` below any anchor. */
static void no_issuer(struct examination *ex, X509_STORE_CTX *ctx, X509 *cert, int depth, int code)
{
	/* Always say that there is no anchor: a rule that forgives the reason must not forgive that. */
	enum verify_fault fault = depth == 0 ? VERIFY_MISSING_INTERMEDIATE : VERIFY_UNKNOWN_ROOT;
	findings_add(&ex->findings, fault, depth, code, cert);
	why_not(ex, ex->presented, cert, depth);
	STACK_OF(X509) *anchors = X509_STORE_CTX_get1_certs(ctx, X509_get_issuer_name(cert));
	why_not(ex, anchors, cert, depth);
	sk_X509_pop_free(anchors, X509_free);
}

static int on_step(int ok, X509_STORE_CTX *ctx)
{
	if (ok)
		return 1;
	struct examination *ex = X509_STORE_CTX_get_app_data(ctx);
	int code = X509_STORE_CTX_get_error(ctx);
	int depth = X509_STORE_CTX_get_error_depth(ctx);
	X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
	enum verify_fault fault = fault_of(code);
	bool at_anchor = depth >= X509_STORE_CTX_get_num_untrusted(ctx);
	if (fault == VERIFY_CRL_MISSING) {
		ex->crl_good &= depth != 0;
		if (!ex->request->policy.require_crl)
			return 1;
	}
	if ((at_anchor && cert && anchor_may(code, fault, cert)) || nothing_to_identify(ctx, code, depth))
		return 1;
	if (code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT || code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
		code == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE) {
		if (cert)
			no_issuer(ex, ctx, cert, depth, code);
		return 1;
	}
	if (is_crl_fault(fault) && depth == 0)
		ex->crl_good = false;
	findings_add(&ex->findings, refined(fault, cert), depth, code, cert);
	return 1;
}

/* The nextUpdate of CRLs that may have told us something bounds how long we may remember it. */
static void crl_ends(struct examination *ex, X509_STORE_CTX *ctx)
{
	for (int i = 0; i < ex->anchor_at; i++) {
		X509 *cert = sk_X509_value(ex->chain, i);
		STACK_OF(X509_CRL) *crls = X509_STORE_CTX_get1_crls(ctx, X509_get_issuer_name(cert));
		for (int j = 0; crls && j < sk_X509_CRL_num(crls); j++) {
			int64_t at;
			const ASN1_TIME *next = X509_CRL_get0_nextUpdate(sk_X509_CRL_value(crls, j));
			if (cert_time(next, &at) && at >= ex->request->now_s)
				examination_ends(ex, at);
		}
		sk_X509_CRL_pop_free(crls, X509_CRL_free);
	}
}

static void set_rules(const struct examination *ex, X509_STORE_CTX *ctx, bool crls)
{
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
	unsigned long flags = X509_V_FLAG_X509_STRICT | X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN;
	if (crls)
		flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
	X509_VERIFY_PARAM_set_flags(param, flags);
	X509_VERIFY_PARAM_set_time(param, (time_t)ex->request->now_s);
	X509_VERIFY_PARAM_set_depth(param, VERIFY_MAX_CERTS);
	X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
	X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
	X509_VERIFY_PARAM_set_trust(param, X509_TRUST_SSL_SERVER);
	/* Only for nameConstraints: the CN counts there too. The host is compared in verify_cert.c. */
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_ALWAYS_CHECK_SUBJECT);
	X509_STORE_CTX_set_verify_cb(ctx, on_step);
}

static bool is_anchored(const struct findings *findings)
{
	return (findings->faults & (VERIFY_FAULT_BIT(VERIFY_SELF_SIGNED) | VERIFY_FAULT_BIT(VERIFY_UNKNOWN_ROOT) |
					   VERIFY_FAULT_BIT(VERIFY_MISSING_INTERMEDIATE) |
					   VERIFY_FAULT_BIT(VERIFY_CHAIN_TOO_BIG))) == 0;
}

bool examine_path(struct examination *ex)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new_ex(trust_lib(ex->trust), NULL);
	if (!ctx || X509_STORE_CTX_init(ctx, trust_store(ex->trust), ex->leaf, ex->presented) != 1) {
		X509_STORE_CTX_free(ctx);
		return false;
	}
	bool crls = trust_count(ex->trust).crls > 0 || ex->request->policy.require_crl;
	ex->crl_good = crls;
	set_rules(ex, ctx, crls);
	X509_STORE_CTX_set_app_data(ctx, ex);
	int result = X509_verify_cert(ctx);
	/* The callback goes on after every fault, so what still ends it early is a failure of the library. */
	bool ok = result > 0 || (result == 0 && ex->findings.faults != 0);
	if (ok) {
		ex->chain = X509_STORE_CTX_get1_chain(ctx);
		ex->anchor_at = X509_STORE_CTX_get_num_untrusted(ctx);
		ex->anchored = is_anchored(&ex->findings) && ex->anchor_at < sk_X509_num(ex->chain);
		if (crls && ex->chain)
			crl_ends(ex, ctx);
		ok = ex->chain != NULL;
	}
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}
