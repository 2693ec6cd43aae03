/* assess/proxy_leaf.c — what a proxy makes: the leaf towards the client (RFC 5280), the hello towards the server. */
#include "assess/proxy_parts.h"
#include "pki/summary.h"
#include "tls/fingerprint.h"
#include "tls/list.h"
#include "tls/suite.h"

#include <openssl/x509v3.h>

#define DAY_S ((int64_t)24 * 60 * 60)

static bool same_names(X509 *a, X509 *b)
{
	ASN1_OCTET_STRING *one = NULL, *two = NULL;
	int at = X509_get_ext_by_NID(a, NID_subject_alt_name, -1),
	    there = X509_get_ext_by_NID(b, NID_subject_alt_name, -1);
	if (at >= 0)
		one = X509_EXTENSION_get_data(X509_get_ext(a, at));
	if (there >= 0)
		two = X509_EXTENSION_get_data(X509_get_ext(b, there));
	return one && two && ASN1_STRING_cmp(one, two) == 0;
}

static void tell_dates(struct proxy *proxy, X509 *leaf)
{
	int64_t from, until, their_from, their_until;
	if (!cert_dates(leaf, &from, &until) || !cert_dates(proxy->good.leaf, &their_from, &their_until)) {
		report_add(proxy->report, "18-leaf-dates", GRADE_UNKNOWN, "the leaf's dates", NULL, "cannot be read");
		return;
	}
	bool outlives = until > their_until;
	report_add(proxy->report, "18-leaf-dates", outlives ? GRADE_B : GRADE_A,
		"the leaf's dates, beside the server's",
		outlives ? "The client cannot see when the server's certificate ends." : NULL,
		outlives ? "it outlives the server's certificate by %lld days"
			 : "it ends with the server's certificate or before",
		(long long)((until - their_until) / DAY_S));
}

void proxy_tell_leaf(struct proxy *proxy, const struct through_seen *shown)
{
	struct cert_summary summary;
	struct report *report = proxy->report;
	char line[600];
	if (!shown->leaf)
		return;
	cert_summary_of(shown->leaf, &summary);
	cert_summary_line(&summary, line, sizeof(line));
	report_add(report, "18-leaf", GRADE_NONE, "the leaf that the client gets", NULL, "%s; key %s, signature %s",
		line, summary.key, summary.signature);
	tell_dates(proxy, shown->leaf);
	bool same = same_names(shown->leaf, proxy->good.leaf);
	report_add(report, "18-leaf-names", same ? GRADE_A : GRADE_B, "the leaf's subjectAltName, beside the server's",
		same ? NULL : "A leaf for other names is good where the server's is not.",
		same ? "the same names" : "other names");
	bool weak = X509_get_signature_nid(shown->leaf) == NID_sha1WithRSAEncryption ||
	            EVP_PKEY_get_security_bits(X509_get0_pubkey(shown->leaf)) < 112;
	report_add(report, "18-leaf-strength", weak ? GRADE_C : GRADE_A, "the leaf's key and signature", NULL, "%s, %s",
		summary.key, summary.signature);
}

struct strength {
	unsigned broken, rsa;
	uint16_t version;
};

static struct strength strength_of(const struct client_hello *hello)
{
	struct strength out = {.version = client_hello_max_version(hello)};
	struct bytes list = hello->suites;
	for (uint16_t value; list_next(&list, &value);) {
		const struct suite *suite = suite_find(value);
		out.broken += suite && suite->strength == SUITE_BROKEN;
		out.rsa += suite && suite->kx == SUITE_KX_RSA;
	}
	return out;
}

void proxy_tell_upstream(struct proxy *proxy)
{
	struct client_hello hello;
	char four[JA4_LEN + 1] = "";
	struct report *report = proxy->report;
	if (proxy->seen.hello_len == 0 ||
		client_hello_parse(bytes_of(proxy->seen.hello, proxy->seen.hello_len), &hello) != HELLO_OK) {
		report_add(report, "15-upstream-hello", GRADE_UNKNOWN, "the hello that the server gets", NULL,
			"cannot be read");
		return;
	}
	struct strength strength = strength_of(&hello);
	proxy->speaks_13 = strength.version == TLS_VERSION_13;
	(void)!ja4(&hello, JA4_TCP, four);
	report_add(report, "14-offers-broken", strength.broken > 0 ? GRADE_C : GRADE_A,
		"whether servers are offered RC4, 3DES, DES, export grade, NULL or anonymous suites", NULL,
		strength.broken > 0 ? "%u of them" : "none", strength.broken);
	bool names = hello.sni == SNI_OK;
	report_add(report, "15-upstream-hello",
		strength.broken > 0                                                          ? GRADE_C
		: !proxy->speaks_13 || !hello.has_extended_master_secret || strength.rsa > 0 ? GRADE_B
											     : GRADE_A,
		"the hello that the server gets, where the client offers TLS 1.3 and strong suites",
		strength.broken > 0 || strength.rsa > 0
			? "The server may choose what the client would not have offered."
			: NULL,
		"up to %s, %u broken suites, %u with RSA key exchange, extended master secret %s, server_name %s; JA4 "
		"%s",
		tls_version_name(strength.version) ? tls_version_name(strength.version) : "?", strength.broken,
		strength.rsa, hello.has_extended_master_secret ? "offered" : "not offered", names ? "sent" : "not sent",
		four);
}
