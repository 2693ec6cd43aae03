/*
 * assess/proxy_ca.c — the proxy's own CA: whether a server that shows a certificate of it is taken (check 12), and what can
 * be seen of how it is kept (check 17).
 */
#include "assess/circle.h"
#include "assess/proxy_parts.h"
#include "base/clock.h"
#include "pki/summary.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define LOOK_NS (6 * NS_PER_S)
#define YEAR_S  ((int64_t)365 * 24 * 60 * 60)
#define YEARS   10 /* of a CA, at most */

static void try_circle(struct proxy *proxy)
{
	static const char probed[] = "a server that is the proxy itself: its certificate is of the proxy's own CA";
	const struct play play = {.identity = &proxy->good};
	struct error err = {""};
	struct through_wish wish = proxy->wish;
	struct through_seen shown = {0};
	char where[320];
	snprintf(where, sizeof(where), "%s:%u", wish.name, wish.port);
	struct circle *circle = circle_new(&proxy->target, where, &err);
	if (circle)
		wish.port = circle_port(circle);
	bool ok = circle && proxy_pass(proxy, &play, &wish, &shown, &err);
	if (!ok || !circle_used(circle))
		report_add(proxy->report, "12-own-ca", GRADE_UNKNOWN, probed, NULL, "not tried: %s",
			!ok ? err.text : "it did not come, or not a second time");
	else
		report_add(proxy->report, "12-own-ca", proxy->seen.request > 0 ? GRADE_F : GRADE_A, probed,
			proxy->seen.request > 0
				? "Whoever gets a leaf of the CA, which it makes for anybody, can pass for "
				  "servers behind it; and a circle has no end."
				: NULL,
			proxy->seen.request > 0 ? "ACCEPTED: the request arrived, read twice" : "refused: %s",
			shown.fault);
	through_free(&shown);
	circle_free(circle);
}

bool proxy_read_ca(struct proxy *proxy, struct error *err)
{
	const char *path = proxy->options->ca;
	FILE *file = fopen(path, "re");
	if (!file)
		return error_set_errno(err, "--ca %s", path);
	proxy->ca = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	ERR_clear_error();
	return proxy->ca || error_set(err, "--ca %s: holds no certificate in PEM", path);
}

static void tell_usage(struct report *report, X509 *ca)
{
	uint32_t usage = X509_get_key_usage(ca);
	long path = X509_get_pathlen(ca);
	bool narrow = usage != UINT32_MAX && (usage & ~(uint32_t)(KU_KEY_CERT_SIGN | KU_CRL_SIGN)) == 0;
	report_add(report, "17-ca-usage", narrow ? GRADE_A : GRADE_B, "what the CA's key may be used for",
		narrow ? NULL : "A key that may do more is exposed to more.",
		narrow                ? "certificates and CRLs alone"
		: usage == UINT32_MAX ? "anything: it has no keyUsage"
				      : "more than certificates and CRLs");
	report_add(report, "17-ca-path-length", path == 0 ? GRADE_A : GRADE_B, "whether there may be CAs below the CA",
		path == 0 ? NULL : "Whoever can make a leaf with it should not get further CAs from it.",
		path < 0 ? "as many as anybody likes" : "path length %ld", path);
}

static void tell_strength(struct report *report, X509 *ca)
{
	struct cert_summary summary;
	cert_summary_of(ca, &summary);
	int bits = EVP_PKEY_get_security_bits(X509_get0_pubkey(ca));
	int64_t years = (summary.not_after_s - summary.not_before_s + YEAR_S / 2) / YEAR_S;
	report_add(report, "17-ca-strength", bits < 112 ? GRADE_C : GRADE_A, "the CA's key",
		bits < 112 ? "All that trust the CA fall with it." : NULL, "%s, %d bits of security", summary.key,
		bits);
	report_add(report, "17-ca-validity", years > YEARS ? GRADE_B : GRADE_A, "how long the CA is valid",
		years > YEARS ? "A key that is stolen is of use for as long." : NULL, "%lld years", (long long)years);
}

static void tell_key(struct proxy *proxy, X509 *ca)
{
	int same = proxy->leaf ? EVP_PKEY_eq(X509_get0_pubkey(ca), X509_get0_pubkey(proxy->leaf)) : -1;
	report_add(proxy->report, "17-leaf-key",
		same < 0    ? GRADE_UNKNOWN
		: same == 1 ? GRADE_C
			    : GRADE_A,
		"the leaf's key, beside the CA's",
		same == 1 ? "Then the CA's key is where connections are served, exposed to all that comes from the "
			    "network."
			  : NULL,
		same == 1  ? "the same key"
		: same < 0 ? "not known"
			   : "a key of its own");
	int64_t from, until, ca_from, ca_until;
	if (proxy->leaf && cert_dates(proxy->leaf, &from, &until) && cert_dates(ca, &ca_from, &ca_until))
		report_add(proxy->report, "18-leaf-and-ca", until > ca_until ? GRADE_B : GRADE_A,
			"the leaf's dates, beside the CA's", NULL,
			until > ca_until ? "it outlives the CA" : "it ends with the CA or before");
}

void proxy_ca(struct proxy *proxy)
{
	if (proxy->options->direct)
		report_add(proxy->report, "12-own-ca", GRADE_UNKNOWN,
			"a server with a certificate of the proxy's own CA", NULL,
			"not tried: without CONNECT, the proxy cannot be led back to itself");
	else
		try_circle(proxy);
	tell_usage(proxy->report, proxy->ca);
	tell_strength(proxy->report, proxy->ca);
	tell_key(proxy, proxy->ca);
	report_add(proxy->report, "17-ca-key", GRADE_UNKNOWN,
		"whether the CA's key was made for this installation alone, and how it is kept", NULL,
		"not tried: that shows in its files and processes, and not from outside");
}
