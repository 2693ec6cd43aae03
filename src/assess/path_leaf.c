/*
 * assess/path_leaf.c — what tells a certificate that was made on the way from one that a public CA issued (RFC 5280, 4; the
 * CA/Browser Forum's baseline requirements, 6.3.2 and 7.1; RFC 6962, 3.3).
 */
#include "assess/path_parts.h"
#include "base/clock.h"
#include "pki/summary.h"

#include <ctype.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>

#define HOUR_S      ((int64_t)60 * 60)
#define DAY_S       (24 * HOUR_S)
#define NEARLY_S    120 /* a clock's and a handshake's worth */
#define PUBLIC_DAYS 398 /* what a certificate of a public CA may last, since 2020 */
#define SERIAL_BITS 64

void path_sign(struct path *path, const char *check, enum weight weight, const char *probed, const char *seen, ...)
{
	static const char *const why[] = {NULL, "A hint, and no more than that.",
		"This alone decides the verdict, unless a key is expected and found."};
	char text[PATH_SENTENCE];
	va_list list;
	va_start(list, seen);
	vsnprintf(text, sizeof(text), seen, list);
	va_end(list);
	report_add(path->report, check, GRADE_NONE, probed, why[weight], "%s", text);
	path->hints += weight == HINT;
	if (weight == PROOF && !path->proof[0]) {
		snprintf(path->proof, sizeof(path->proof), "%s.", text);
		path->proof[0] = (char)toupper((unsigned char)path->proof[0]);
	}
}

static void tell_issuer(struct path *path)
{
	const char *product = product_of(path->vantage.issuer);
	if (product) {
		snprintf(path->who, sizeof(path->who), "%s, by the issuer's name: %s", product, path->vantage.issuer);
		path_sign(path, "issuer", PROOF, "the issuer's name, beside those of known products",
			"the leaf is issued under the name of %s: %s", product, path->vantage.issuer);
	} else {
		snprintf(path->who, sizeof(path->who), "%s", path->vantage.issuer[0] ? path->vantage.issuer : "nobody");
		path_sign(path, "issuer", TOLD, "the issuer's name, beside those of known products",
			"no product that is known here: %s", path->vantage.issuer);
	}
}

static void tell_dates(struct path *path)
{
	int64_t from, until, now = (int64_t)(clock_wall_ns() / NS_PER_S);
	if (!cert_dates(path->seen.leaf, &from, &until))
		return;
	int64_t age = now - from;
	bool fresh = age >= -NEARLY_S && age <= NEARLY_S;
	/* Made now, and dated back by whole hours, lest a slow clock refuse it. A day's certificate of a CA is older. */
	bool back = !fresh && age > 0 && age <= 8 * DAY_S && age % HOUR_S <= NEARLY_S / 4;
	path_sign(path, "dates", fresh || back ? HINT : TOLD, "when the leaf was made",
		fresh  ? "just now: valid from within the last two minutes"
		: back ? "perhaps just now: valid from a whole number of hours ago (%lld)"
		       : "%lld hours ago",
		(long long)(age / HOUR_S));
	if (path->public_name && until - from > (PUBLIC_DAYS + 1) * DAY_S)
		path_sign(path, "validity", HINT, "how long it is valid", "%lld days; public CAs issue for %d at most",
			(long long)((until - from) / DAY_S), PUBLIC_DAYS);
}

static void tell_serial(struct path *path)
{
	BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(path->seen.leaf), NULL);
	int bits = serial ? BN_num_bits(serial) : 0;
	bool small = bits < SERIAL_BITS - 8;
	path_sign(path, "serial", small && path->public_name ? HINT : TOLD, "the serial number",
		small ? "%d bits: public CAs put 64 random ones or more into it" : "%d bits", bits);
	BN_free(serial);
}

/* What certificates of public CAs carry, and those made on the way mostly do not. */
static void tell_pointers(struct path *path)
{
	X509 *leaf = path->seen.leaf;
	bool scts = X509_get_ext_by_NID(leaf, NID_ct_precert_scts, -1) >= 0;
	bool crl = X509_get_ext_by_NID(leaf, NID_crl_distribution_points, -1) >= 0;
	bool aia = X509_get_ext_by_NID(leaf, NID_info_access, -1) >= 0;
	bool policy = X509_get_ext_by_NID(leaf, NID_certificate_policies, -1) >= 0;
	path_sign(path, "transparency", scts || !path->public_name ? TOLD : HINT, "timestamps of certificate logs",
		scts ? "embedded (not verified here)" : "none in the certificate: browsers would refuse a public CA's");
	path_sign(path, "pointers",
		(crl || aia) && policy ? TOLD
		: path->public_name    ? HINT
				       : TOLD,
		"where its status and issuer are told, and under which policy", "%s, %s, %s", crl ? "a CRL" : "no CRL",
		aia ? "authority information" : "no authority information", policy ? "a policy" : "no policy");
}

static void tell_key(struct path *path)
{
	struct cert_summary summary;
	char line[700];
	cert_summary_of(path->seen.leaf, &summary);
	cert_summary_line(&summary, line, sizeof(line));
	path_sign(path, "leaf", TOLD, "the leaf that was shown", "%s; key %s, signature %s", line, summary.key,
		summary.signature);
	int nid = X509_get_signature_nid(path->seen.leaf);
	bool old = nid == NID_sha1WithRSAEncryption || nid == NID_ecdsa_with_SHA1 || nid == NID_md5WithRSAEncryption;
	if (old)
		path_sign(path, "signature", HINT, "the signature's algorithm",
			"%s: no public CA has signed with it for years", summary.signature);
	if (path->seen.chain && sk_X509_num(path->seen.chain) < 2 && path->public_name)
		path_sign(path, "intermediates", HINT, "how many certificates were sent",
			"the leaf alone: public CAs issue by intermediates");
}

void path_expected(struct path *path)
{
	const struct expect *expect = path->options->expect;
	path->match = expect_judge(expect, path->seen.leaf, path->seen.chain, path->anchor);
	if (path->match == EXPECT_NOTHING) {
		path_sign(path, "expected", TOLD, "the keys that are expected", "none were given (--expect)");
		return;
	}
	path_sign(path, "expected", TOLD, "the keys that are expected, beside those of the chain",
		path->match == EXPECT_LEAF    ? "the leaf's key is expected"
		: path->match == EXPECT_ABOVE ? "the leaf is signed by an expected key"
					      : "neither the leaf's key nor one above it is expected");
	static const uint8_t none[VANTAGE_DIGEST];
	bool copied = path->match == EXPECT_OTHER && expect->has_names &&
	              memcmp(expect->names, none, sizeof(none)) != 0 &&
	              memcmp(expect->names, path->vantage.names, sizeof(none)) == 0;
	if (copied)
		path_sign(path, "names-copied", HINT, "the names, beside those of the certificate that is expected",
			"another key, and the same names in the same order: as if copied");
}

void path_leaf(struct path *path)
{
	tell_key(path);
	tell_issuer(path);
	tell_dates(path);
	tell_serial(path);
	tell_pointers(path);
}

void path_made_up_name(struct path *path)
{
	static const char probed[] = "the same address, asked for a name that cannot exist";
	struct handshake_seen seen;
	uint8_t octets[6] = {0};
	char name[64];
	uint8_t one[VANTAGE_DIGEST], two[VANTAGE_DIGEST];
	(void)!RAND_bytes(octets, sizeof(octets));
	snprintf(name, sizeof(name), "overt-%02x%02x%02x%02x%02x%02x.invalid", octets[0], octets[1], octets[2],
		octets[3], octets[4], octets[5]);
	const struct handshake_wish wish = {.min = TLS_VERSION_12, .max = TLS_VERSION_13, .name = name};
	if (!handshake_try(&path->server.target, &wish, &seen))
		path_sign(path, "made-up-name", TOLD, probed, "no handshake: %s", seen.fault);
	else if (seen.leaf && X509_check_host(seen.leaf, name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1)
		path_sign(path, "made-up-name", PROOF, probed,
			"a certificate was made on the spot for %s, a name that nobody can have", name);
	else if (seen.leaf && X509_cmp(seen.leaf, path->seen.leaf) == 0)
		path_sign(path, "made-up-name", TOLD, probed, "the same certificate");
	else if (seen.leaf && key_digest(seen.leaf, one) && key_digest(path->seen.leaf, two) &&
		 memcmp(one, two, sizeof(one)) == 0)
		path_sign(path, "made-up-name", HINT, probed,
			"another certificate with the same key: made as they are asked for, perhaps");
	else
		path_sign(path, "made-up-name", TOLD, probed, "another certificate, with a key of its own");
	handshake_seen_free(&seen);
}

void path_answers(struct path *path)
{
	const struct expect *expect = path->options->expect;
	const char *name = path->server.name.is_ip ? NULL : path->server.name.text;
	unsigned other = 0, compared = 0;
	answers_ask(&path->server.target, name, &path->vantage.answers);
	for (size_t i = 0; i < ANSWERS; i++) {
		const char *here = path->vantage.answers.text[i], *there = expect->vantage.answers.text[i];
		bool differs = here[0] && there[0] && strcmp(here, there) != 0;
		compared += here[0] && there[0];
		other += differs;
		if (differs)
			path_sign(path, "answer", TOLD, answers_question(i), "%s; expected: %s", here, there);
		else
			path_sign(path, "answer", TOLD, answers_question(i), "%s", here[0] ? here : "not known");
	}
	if (expect->has_vantage && compared > 0)
		path_sign(path, "answers-differ", other > 0 ? HINT : TOLD, "how it answers here and at the other place",
			"%u of %u answers differ", other, compared);
}
