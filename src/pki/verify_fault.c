#include "pki/verify_parts.h"

#include "pki/summary.h"

#include <stdio.h>

static const char *const names[VERIFY_FAULTS] = {
	[VERIFY_OK] = "ok",
	[VERIFY_INTERNAL] = "internal",
	[VERIFY_CHAIN_TOO_BIG] = "chain-too-big",
	[VERIFY_MALFORMED] = "malformed",
	[VERIFY_OWN_CA] = "own-ca",
	[VERIFY_BAD_SIGNATURE] = "bad-signature",
	[VERIFY_REVOKED] = "revoked",
	[VERIFY_SELF_SIGNED] = "self-signed",
	[VERIFY_V1_ISSUER] = "v1-issuer",
	[VERIFY_NOT_A_CA] = "not-a-ca",
	[VERIFY_PATH_LENGTH] = "path-length",
	[VERIFY_NAME_CONSTRAINTS] = "name-constraints",
	[VERIFY_KEY_USAGE] = "key-usage",
	[VERIFY_PURPOSE] = "purpose",
	[VERIFY_CRITICAL_EXTENSION] = "critical-extension",
	[VERIFY_UNKNOWN_ROOT] = "unknown-root",
	[VERIFY_MISSING_INTERMEDIATE] = "missing-intermediate",
	[VERIFY_ISSUER_MISMATCH] = "issuer-mismatch",
	[VERIFY_STRICT] = "strict",
	[VERIFY_WEAK_SIGNATURE] = "weak-signature",
	[VERIFY_WEAK_KEY] = "weak-key",
	[VERIFY_DATES_REVERSED] = "dates-reversed",
	[VERIFY_EXPIRED] = "expired",
	[VERIFY_NOT_YET_VALID] = "not-yet-valid",
	[VERIFY_NO_SAN] = "no-san",
	[VERIFY_NAME_MALFORMED] = "name-malformed",
	[VERIFY_WRONG_NAME] = "wrong-name",
	[VERIFY_STAPLE_MISSING] = "staple-missing",
	[VERIFY_STAPLE_MALFORMED] = "staple-malformed",
	[VERIFY_STAPLE_BAD_SIGNATURE] = "staple-bad-signature",
	[VERIFY_STAPLE_SIGNER] = "staple-signer",
	[VERIFY_STAPLE_EXPIRED] = "staple-expired",
	[VERIFY_STAPLE_UNKNOWN] = "staple-unknown",
	[VERIFY_CRL_MISSING] = "crl-missing",
	[VERIFY_CRL_EXPIRED] = "crl-expired",
	[VERIFY_CRL_BAD_SIGNATURE] = "crl-bad-signature",
	[VERIFY_CRL_SIGNER] = "crl-signer",
	[VERIFY_CRL_MALFORMED] = "crl-malformed",
	[VERIFY_STATUS_UNKNOWN] = "status-unknown",
};

const char *verify_fault_name(enum verify_fault fault)
{
	return (unsigned)fault < VERIFY_FAULTS ? names[fault] : "unknown";
}

bool verify_fault_find(struct bytes name, enum verify_fault *out)
{
	for (unsigned i = 0; i < VERIFY_FAULTS; i++) {
		if (bytes_equal(name, bytes_str(names[i]))) {
			*out = (enum verify_fault)i;
			return true;
		}
	}
	return false;
}

void findings_add(struct findings *findings, enum verify_fault fault, int depth, int x509_error, X509 *cert)
{
	if (findings_has(findings, fault))
		return;
	findings->faults |= VERIFY_FAULT_BIT(fault);
	findings->at[fault].depth = (int8_t)(depth > 100 ? 100 : depth);
	findings->at[fault].x509_error = (uint8_t)x509_error;
	findings->at[fault].subject[0] = '\0';
	if (cert)
		cert_subject(cert, findings->at[fault].subject, sizeof(findings->at[fault].subject));
}

enum verify_fault findings_first(const struct findings *findings)
{
	return findings->faults == 0 ? VERIFY_OK : (enum verify_fault)__builtin_ctzll(findings->faults);
}
