#include "pki/verify_parts.h"

#include "pki/summary.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const sentences[VERIFY_FAULTS] = {
	[VERIFY_INTERNAL] = "the certificate could not be checked",
	[VERIFY_CHAIN_TOO_BIG] = "the chain has more certificates or octets than are looked at",
	[VERIFY_MALFORMED] = "the certificate is malformed",
	[VERIFY_OWN_CA] = "issued by this proxy's own CA: a loop, or a forgery",
	[VERIFY_BAD_SIGNATURE] = "the signature does not fit: the certificate was changed",
	[VERIFY_REVOKED] = "revoked by its issuer",
	[VERIFY_SELF_SIGNED] = "self-signed, and not trusted here",
	[VERIFY_V1_ISSUER] = "an issuer is a certificate of version 1, which cannot be a CA",
	[VERIFY_NOT_A_CA] = "an issuer is no CA",
	[VERIFY_PATH_LENGTH] = "more CAs below this one than it allows",
	[VERIFY_NAME_CONSTRAINTS] = "its names are outside what its issuer may name",
	[VERIFY_KEY_USAGE] = "keyUsage does not allow what the key was used for",
	[VERIFY_PURPOSE] = "not issued for servers (extended key usage without serverAuth)",
	[VERIFY_CRITICAL_EXTENSION] = "has an unknown critical extension",
	[VERIFY_UNKNOWN_ROOT] = "leads to no trusted root",
	[VERIFY_MISSING_INTERMEDIATE] = "its issuer was not sent and is no trusted root",
	[VERIFY_ISSUER_MISMATCH] = "the issuer of that name has another key",
	[VERIFY_STRICT] = "breaks a rule of RFC 5280",
	[VERIFY_WEAK_SIGNATURE] = "signed with MD5, SHA-1 or an unknown algorithm",
	[VERIFY_WEAK_KEY] = "the key is too weak, or its curve has no name",
	[VERIFY_DATES_REVERSED] = "notAfter lies before notBefore",
	[VERIFY_NO_SAN] = "names no host in its subjectAltName",
	[VERIFY_NAME_MALFORMED] = "its subjectAltName holds octets that no name may have",
	[VERIFY_STAPLE_MISSING] = "no OCSP staple, though one is demanded",
	[VERIFY_STAPLE_MALFORMED] = "the OCSP staple is malformed, or about another certificate",
	[VERIFY_STAPLE_BAD_SIGNATURE] = "the signature of the OCSP staple does not fit, or is weak",
	[VERIFY_STAPLE_SIGNER] = "the OCSP staple is signed by one who may not",
	[VERIFY_STAPLE_EXPIRED] = "the OCSP staple is out of date",
	[VERIFY_STAPLE_UNKNOWN] = "the OCSP responder does not know the certificate",
	[VERIFY_CRL_MISSING] = "no CRL covers it, though one is demanded",
	[VERIFY_CRL_EXPIRED] = "the CRL of its issuer is out of date",
	[VERIFY_CRL_BAD_SIGNATURE] = "the signature of its issuer's CRL does not fit",
	[VERIFY_CRL_SIGNER] = "the CRL is signed by one who may not",
	[VERIFY_CRL_MALFORMED] = "the CRL is malformed or of another scope",
	[VERIFY_STATUS_UNKNOWN] = "neither staple nor CRL tells whether it is revoked",
};

/* "3 days", "2 hours", "5 minutes". */
static void span_text(int64_t seconds, char *out, size_t cap)
{
	int64_t days = seconds / 86400;
	int64_t hours = seconds / 3600;
	int64_t n = days > 0 ? days : hours > 0 ? hours : seconds / 60;
	const char *unit = days > 0 ? "day" : hours > 0 ? "hour" : "minute";
	snprintf(out, cap, "%" PRId64 " %s%s", n, unit, n == 1 ? "" : "s");
}

static void dates_text(const struct examination *ex, enum verify_fault fault, int depth, char *out, size_t cap)
{
	int64_t from;
	int64_t until;
	X509 *cert = ex->chain && depth < sk_X509_num(ex->chain) ? sk_X509_value(ex->chain, depth) : NULL;
	if (!cert || !cert_dates(cert, &from, &until)) {
		snprintf(out, cap, "%s", fault == VERIFY_EXPIRED ? "expired" : "not yet valid");
		return;
	}
	char span[48];
	char date[16];
	if (fault == VERIFY_EXPIRED) {
		span_text(ex->request->now_s - until, span, sizeof(span));
		cert_date(date, sizeof(date), until);
		snprintf(out, cap, "expired %s ago (%s)", span, date);
	} else {
		span_text(from - ex->request->now_s, span, sizeof(span));
		cert_date(date, sizeof(date), from);
		snprintf(out, cap, "not valid for another %s (from %s)", span, date);
	}
}

static void wrong_name_text(const struct examination *ex, char *out, size_t cap)
{
	struct cert_summary summary;
	cert_summary_of(ex->leaf, &summary);
	const char *first = summary.name_count > 0 ? summary.names[0] : "nothing";
	if (strcmp(first, ex->request->host->text) == 0)
		snprintf(out, cap, "has %.80s as a DNS name, not as an address", first);
	else if (summary.name_total > 1)
		snprintf(out, cap, "is for %.80s and %zu more, not for %.80s", first, summary.name_total - 1,
			ex->request->host->text);
	else
		snprintf(out, cap, "is for %.80s, not for %.80s", first, ex->request->host->text);
}

static const char *role_at(const struct examination *ex, int depth)
{
	if (depth <= 0)
		return "leaf";
	bool top = ex->chain && depth == sk_X509_num(ex->chain) - 1 && depth >= ex->anchor_at;
	return top ? "root" : "intermediate";
}

void verdict_text(const struct examination *ex, struct verify_verdict *out)
{
	char what[256];
	if (out->fault == VERIFY_OK) {
		snprintf(out->text, sizeof(out->text), "verified");
		return;
	}
	if (out->fault == VERIFY_EXPIRED || out->fault == VERIFY_NOT_YET_VALID)
		dates_text(ex, out->fault, out->depth, what, sizeof(what));
	else if (out->fault == VERIFY_WRONG_NAME)
		wrong_name_text(ex, what, sizeof(what));
	else if (out->fault == VERIFY_STRICT)
		snprintf(what, sizeof(what), "%s (%s)", sentences[VERIFY_STRICT],
			X509_verify_cert_error_string(out->x509_error));
	else
		snprintf(what, sizeof(what), "%s", sentences[out->fault]);
	const char *subject = ex->findings.at[out->fault].subject;
	if (subject[0])
		snprintf(out->text, sizeof(out->text), "%s, %s %.100s", what, role_at(ex, out->depth), subject);
	else
		snprintf(out->text, sizeof(out->text), "%s", what);
}
