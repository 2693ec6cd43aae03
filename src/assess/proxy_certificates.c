/* assess/proxy_certificates.c — checks 1 to 11: servers whose certificates are wrong, each in one way (RFC 5280; RFC 9525). */
#include "assess/proxy_parts.h"

#include <stdio.h>

/* With the number of each in the list of checks. */
static const char *const checks[IDENTITY_FAULTS] = {
	[IDENTITY_SELF_SIGNED] = "01-self-signed",
	[IDENTITY_UNKNOWN_ROOT] = "01-unknown-root",
	[IDENTITY_MISSING_INTERMEDIATE] = "01-missing-intermediate",
	[IDENTITY_EXPIRED] = "02-expired",
	[IDENTITY_NOT_YET_VALID] = "02-not-yet-valid",
	[IDENTITY_DATES_REVERSED] = "02-dates-reversed",
	[IDENTITY_INTERMEDIATE_EXPIRED] = "02-intermediate-expired",
	[IDENTITY_SIGNATURE] = "03-bad-signature",
	[IDENTITY_LEAF_AS_ISSUER] = "04-leaf-as-issuer",
	[IDENTITY_NO_CONSTRAINTS] = "04-no-basic-constraints",
	[IDENTITY_PATH_LENGTH] = "05-path-length",
	[IDENTITY_NAME_CONSTRAINTS] = "05-name-constraints",
	[IDENTITY_NO_CERT_SIGN] = "06-no-cert-sign",
	[IDENTITY_PURPOSE] = "07-purpose",
	[IDENTITY_PURPOSE_ABOVE] = "07-purpose-above",
	[IDENTITY_CRITICAL] = "08-critical-extension",
	[IDENTITY_SHA1] = "09-sha1",
	[IDENTITY_RSA_1024] = "09-rsa-1024",
	[IDENTITY_WRONG_NAME] = "10-wrong-name",
	[IDENTITY_NO_SAN] = "10-no-san",
	[IDENTITY_CN_AGAINST_SAN] = "10-cn-against-san",
	[IDENTITY_WILDCARD_ALL] = "10-wildcard-all",
	[IDENTITY_WILDCARD_PARTIAL] = "10-wildcard-partial",
	[IDENTITY_NUL] = "10-nul-in-name",
	[IDENTITY_MUST_STAPLE] = "11-must-staple",
	[IDENTITY_SIGNED_PART] = "03-signed-part",
	[IDENTITY_V1_ISSUER] = "04-v1-issuer",
	[IDENTITY_NAME_EXCLUDED] = "05-name-excluded",
	[IDENTITY_MALFORMED] = "08-malformed",
	[IDENTITY_MD5] = "09-md5",
	[IDENTITY_SHA1_ABOVE] = "09-sha1-above",
	[IDENTITY_CURVE_ABOVE] = "09-weak-curve-above",
	[IDENTITY_WILDCARD_BARE] = "10-wildcard-bare",
	[IDENTITY_WILDCARD_TLD] = "10-wildcard-tld",
	[IDENTITY_WILDCARD_DEEP] = "10-wildcard-deep",
	[IDENTITY_WILDCARD_MIDDLE] = "10-wildcard-middle",
	[IDENTITY_WRONG_KEY] = "16-wrong-key",
	[IDENTITY_STAPLE_REVOKED] = "11-staple-revoked",
	[IDENTITY_STAPLE_EXPIRED] = "11-staple-expired",
	[IDENTITY_STAPLE_SIGNER] = "06-staple-signer",
	[IDENTITY_ROOT_EXPIRED] = "02-root-expired",
	[IDENTITY_REVOKED] = "11-revoked",
	[IDENTITY_REVOKED_ABOVE] = "11-revoked-intermediate",
};

static enum grade worth_of(enum identity_fault fault)
{
	switch (fault) {
	case IDENTITY_SHA1:
	case IDENTITY_SHA1_ABOVE:
	case IDENTITY_MALFORMED:
	case IDENTITY_RSA_1024:
	case IDENTITY_MUST_STAPLE:
	case IDENTITY_STAPLE_REVOKED:
	case IDENTITY_STAPLE_EXPIRED:
	case IDENTITY_STAPLE_SIGNER:
		return GRADE_C;
	case IDENTITY_CURVE_ABOVE:
	case IDENTITY_ROOT_EXPIRED:
	case IDENTITY_REVOKED:
	case IDENTITY_REVOKED_ABOVE:
	case IDENTITY_NO_SAN:
	case IDENTITY_WILDCARD_PARTIAL:
	case IDENTITY_MISSING_INTERMEDIATE:
		return GRADE_B;
	default:
		return GRADE_F;
	}
}

/* Who refuses may have the CRL as a file, or has fetched it. */
static void tell_asked(struct proxy *proxy)
{
	unsigned crl = 0, ocsp = 0;
	status_asked(proxy->status, &crl, &ocsp);
	report_add(proxy->report, "11-asked", GRADE_NONE,
		"whether the proxy asked where the certificate says that its status is told", NULL,
		"the CRL was asked for %u times, the OCSP responder %u times; both are on 127.0.0.1, and root.crl in "
		"the folder says the same",
		crl, ocsp);
}

void proxy_certificates(struct proxy *proxy)
{
	for (enum identity_fault fault = IDENTITY_SELF_SIGNED; fault < IDENTITY_FAULTS; fault++) {
		if (!checks[fault]) /* told elsewhere */
			continue;
		struct identity identity;
		char probed[160], why[240];
		struct play play = {.identity = &identity};
		snprintf(probed, sizeof(probed), "a server's certificate: %s", identity_fault_text(fault));
		snprintf(
			why, sizeof(why), "The client cannot see this behind the proxy. %s", identity_fault_why(fault));
		if (!identity_applies(proxy->maker, fault)) {
			report_add(proxy->report, checks[fault], GRADE_UNKNOWN, probed, NULL,
				"not tried: the name %s, or the folder, does not allow it (--name with three labels)",
				proxy->wish.name);
			continue;
		}
		bool made = identity_make(proxy->maker, fault, false, &identity);
		struct bytes status = bytes_of(identity.status, identity.status_len);
		/* Of this one it is fetched, if at all. */
		if (fault == IDENTITY_REVOKED)
			made = made && status_answer(proxy->status, status);
		else
			play.staple = status;
		if (made)
			proxy_try(proxy, checks[fault], worth_of(fault), probed, why, &play);
		else
			report_add(proxy->report, checks[fault], GRADE_UNKNOWN, probed, NULL, "could not be made");
		if (made && (fault == IDENTITY_REVOKED || fault == IDENTITY_REVOKED_ABOVE))
			tell_asked(proxy);
		identity_free(&identity);
	}
	report_add(proxy->report, "06-crl-signer", GRADE_UNKNOWN, "a CRL whose signer lacks cRLSign", NULL,
		"not tried: a proxy that does not know it for good goes on without it, and nothing can be seen of "
		"that");
}
