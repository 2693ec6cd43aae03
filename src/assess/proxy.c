#include "assess/proxy.h"

#include "assess/identity.h"
#include "assess/origin.h"
#include "assess/proxy_parts.h"
#include "base/clock.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS 100
#define LOOK_NS     (6 * NS_PER_S)

static const struct conduct {
	const char *check, *probed, *why;
	enum grade grade; /* where the request arrived */
	struct origin_case play;
} conducts[] = {
	{"13-upstream-tls10", "a server of TLS 1.0 only", "Deprecated by RFC 8996, and hidden from the client.",
		GRADE_C, {.min = TLS_VERSION_10, .max = TLS_VERSION_10, .suites = "ALL:@SECLEVEL=0"}},
	{"13-upstream-tls11", "a server of TLS 1.1 only", "Deprecated by RFC 8996, and hidden from the client.",
		GRADE_C, {.min = TLS_VERSION_11, .max = TLS_VERSION_11, .suites = "ALL:@SECLEVEL=0"}},
	{"14-anonymous", "a server without a certificate", "Anybody can pass for the server.", GRADE_F,
		{.max = TLS_VERSION_12, .suites = "aNULL:@SECLEVEL=0"}},
	{"14-null", "a server that does not encrypt", "Everybody in between reads along.", GRADE_F,
		{.max = TLS_VERSION_12, .suites = "eNULL:@SECLEVEL=0"}},
	{"14-dhe-1024", "DHE of 1024 bits", "Within reach of states (Logjam).", GRADE_C,
		{.max = TLS_VERSION_12, .custom_group = true, .dh_bits = 1024, .suites = "DHE+AES:@SECLEVEL=0"}},
	{"14-dhe-custom-group", "DHE in a group of 2048 bits whose modulus is not prime",
		"Whoever knows its factors reads along.", GRADE_C,
		{.max = TLS_VERSION_12, .custom_group = true, .suites = "DHE+AESGCM:@SECLEVEL=0"}},
	{"14-rsa-key-exchange", "RSA key exchange only", "No forward secrecy, where the client may have wanted it.",
		GRADE_B, {.max = TLS_VERSION_12, .suites = "kRSA+AES:@SECLEVEL=0"}},
	{"14-cbc", "suites with CBC only", "Padding oracles have returned again and again.", GRADE_B,
		{.max = TLS_VERSION_12, .suites = "ECDHE+AES:!AESGCM:!AESCCM:@SECLEVEL=0"}},
	{"16-damaged-finished", "a server's Finished with one bit changed",
		"Nothing of the handshake is authenticated.", GRADE_F, {.damage = true}},
};

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
};

static enum grade worth_of(enum identity_fault fault)
{
	switch (fault) {
	case IDENTITY_SHA1:
	case IDENTITY_RSA_1024:
	case IDENTITY_MUST_STAPLE:
		return GRADE_C;
	case IDENTITY_NO_SAN:
	case IDENTITY_WILDCARD_PARTIAL:
	case IDENTITY_MISSING_INTERMEDIATE:
		return GRADE_B;
	default:
		return GRADE_F;
	}
}

/* Plays a case and sends a request through the proxy. False when it cannot be played. */
static bool pass(struct proxy *proxy, const struct origin_case *play, const struct through_wish *wish,
	struct through_seen *shown, struct error *err)
{
	*shown = (struct through_seen){0};
	if (!origin_play(proxy->origin, play, err))
		return false;
	through(&proxy->target, wish, shown);
	origin_look(proxy->origin, LOOK_NS, &proxy->seen);
	return true;
}

static void tell_refusal(const struct through_seen *shown, char *out, size_t cap)
{
	if (shown->answer_len > 0)
		snprintf(out, cap, "refused: no octet of the request arrived; the client got a page: %.*s",
			(int)strcspn(shown->answer, "\r\n"), shown->answer);
	else
		snprintf(out, cap, "refused: no octet of the request arrived; %s", shown->fault);
}

static void try_case(struct proxy *proxy, const char *check, enum grade grade, const char *probed, const char *why,
	const struct origin_case *play)
{
	struct through_seen shown;
	struct error err = {""};
	char seen[REPORT_TEXT];
	if (!pass(proxy, play, &proxy->wish, &shown, &err)) {
		report_add(proxy->report, check, GRADE_UNKNOWN, probed, NULL, "not tried: %s", err.text);
		return;
	}
	if (!shown.connected) {
		report_add(proxy->report, check, GRADE_UNKNOWN, probed, NULL, "%s", shown.fault);
	} else if (proxy->seen.request > 0) {
		report_add(proxy->report, check, grade, probed, why,
			"ACCEPTED: %zu octets of the request reached the server", proxy->seen.request);
	} else {
		tell_refusal(&shown, seen, sizeof(seen));
		report_add(proxy->report, check, GRADE_A, probed, NULL, "%s", seen);
	}
	if (check == checks[IDENTITY_EXPIRED] && shown.connected)
		report_add(proxy->report, "19-shown", GRADE_NONE, "what the client gets to see of an expired server",
			NULL, "%s",
			shown.answer_len > 0  ? "a page"
			: shown.status >= 400 ? "a status to CONNECT"
					      : shown.fault);
	through_free(&shown);
}

static void try_certificates(struct proxy *proxy)
{
	for (enum identity_fault fault = IDENTITY_SELF_SIGNED; fault < IDENTITY_FAULTS; fault++) {
		struct identity identity;
		char probed[160];
		const struct origin_case play = {.identity = &identity};
		snprintf(probed, sizeof(probed), "a server's certificate: %s", identity_fault_text(fault));
		if (identity_make(proxy->maker, fault, false, &identity))
			try_case(proxy, checks[fault], worth_of(fault), probed,
				"The client cannot see this behind the proxy: anybody who is in between there can pass "
				"for the server.",
				&play);
		else
			report_add(proxy->report, checks[fault], GRADE_UNKNOWN, probed, NULL, "could not be made");
		identity_free(&identity);
	}
}

/* Whether somebody who took TLS 1.3 away between proxy and server would be noticed. */
static void try_downgrade(struct proxy *proxy)
{
	const struct origin_case play = {.identity = &proxy->good, .downgrade = true};
	static const char probed[] = "a server's answer of TLS 1.2 with the downgrade sentinel";
	struct through_seen shown;
	struct error err = {""};
	if (!pass(proxy, &play, &proxy->wish, &shown, &err))
		report_add(
			proxy->report, "13-downgrade-sentinel", GRADE_UNKNOWN, probed, NULL, "not tried: %s", err.text);
	else if (!proxy->speaks_13)
		report_add(proxy->report, "13-downgrade-sentinel", GRADE_NONE, probed, NULL,
			"not judged: it offers no TLS 1.3");
	else
		report_add(proxy->report, "13-downgrade-sentinel", proxy->seen.key_exchange ? GRADE_C : GRADE_A, probed,
			NULL,
			proxy->seen.key_exchange ? "ignored: it went on with its key exchange"
						 : "heeded: it ended the handshake");
	through_free(&shown);
}

static void try_version(struct proxy *proxy, uint16_t version)
{
	const struct origin_case play = {.identity = &proxy->good};
	struct through_wish wish = proxy->wish;
	struct through_seen shown;
	struct error err = {""};
	char probed[80];
	wish.min = wish.max = version;
	snprintf(probed, sizeof(probed), "a client of %s only", tls_version_name(version));
	if (pass(proxy, &play, &wish, &shown, &err) && shown.connected)
		report_add(proxy->report, version == TLS_VERSION_10 ? "13-client-tls10" : "13-client-tls11",
			shown.handshake ? GRADE_B : GRADE_A, probed, shown.handshake ? "Deprecated by RFC 8996." : NULL,
			shown.handshake ? "served" : "refused");
	through_free(&shown);
}

/* A server of TLS 1.2: the client must not believe in TLS 1.3. */
static void try_mirror(struct proxy *proxy)
{
	const struct origin_case play = {.identity = &proxy->good, .max = TLS_VERSION_12};
	struct through_seen shown;
	struct error err = {""};
	if (!pass(proxy, &play, &proxy->wish, &shown, &err) || !shown.handshake)
		report_add(proxy->report, "13-mirrored-version", GRADE_UNKNOWN, "a server of TLS 1.2 only", NULL, "%s",
			err.text[0] ? err.text : shown.fault);
	else
		report_add(proxy->report, "13-mirrored-version", shown.version > TLS_VERSION_12 ? GRADE_B : GRADE_A,
			"a server of TLS 1.2 only",
			shown.version > TLS_VERSION_12 ? "The client sees better than there is." : NULL,
			"the client gets %s", tls_version_name(shown.version) ? tls_version_name(shown.version) : "?");
	through_free(&shown);
}

static bool control(struct proxy *proxy, struct error *err)
{
	const struct origin_case play = {.identity = &proxy->good};
	struct through_seen shown;
	bool ok = pass(proxy, &play, &proxy->wish, &shown, err);
	if (ok && proxy->seen.request == 0)
		ok = error_set(err,
			"%s: not even a good server is reached through it (%s): it must trust the root of --origin, "
			"look %s up as "
			"127.0.0.1 and be allowed to go there; and --ca must be its CA",
			proxy->target.text, shown.fault[0] ? shown.fault : "no request arrived", proxy->wish.name);
	if (ok && shown.leaf && X509_cmp(shown.leaf, proxy->good.leaf) == 0)
		ok = error_set(err, "%s: passes the server's own certificate on: it does not inspect this connection",
			proxy->target.text);
	if (ok) {
		report_add(proxy->report, "control", GRADE_NONE, "a good server", NULL,
			"the request arrives, and the proxy reads it");
		proxy_tell_leaf(proxy, &shown);
		proxy_tell_upstream(proxy);
	}
	through_free(&shown);
	return ok;
}

static void try_all(struct proxy *proxy)
{
	struct identity rsa;
	try_certificates(proxy);
	report_add(proxy->report, "12-own-ca", GRADE_UNKNOWN, "a server's certificate issued by the proxy's own CA",
		NULL, "not tried: its key is the proxy's alone");
	try_version(proxy, TLS_VERSION_10);
	try_version(proxy, TLS_VERSION_11);
	try_mirror(proxy);
	try_downgrade(proxy);
	if (identity_make(proxy->maker, IDENTITY_GOOD, true, &rsa)) {
		for (size_t i = 0; i < sizeof(conducts) / sizeof(conducts[0]); i++) {
			struct origin_case play = conducts[i].play;
			play.identity = &rsa;
			try_case(proxy, conducts[i].check, conducts[i].grade, conducts[i].probed, conducts[i].why,
				&play);
		}
	}
	identity_free(&rsa);
	report_add(proxy->report, "17-ca-key", GRADE_UNKNOWN, "how the CA's key is kept", NULL,
		"not visible from outside");
}

static void tell_verdict(struct proxy *proxy)
{
	unsigned accepted = 0;
	for (size_t i = 0; i < proxy->report->findings; i++)
		accepted += proxy->report->finding[i].grade == GRADE_F;
	report_conclude(proxy->report, "upstream-verification", accepted > 0 ? "incomplete" : "complete", accepted > 0,
		accepted > 0 ? "%u cases in which somebody who is in between can pass for a server, or read along, "
			       "unseen by the client"
			     : "no case in which somebody who is in between could pass for a server",
		accepted);
}

static bool begin(struct proxy *proxy, struct error *err)
{
	const struct proxy_options *options = proxy->options;
	const char *name = options->name ? options->name : "localhost";
	if (!target_of_word(options->proxy, "8080", &proxy->target, err))
		return false;
	proxy->target.deadline_ns = clock_monotonic_ns() + options->whole_ns;
	proxy->target.step_ns = options->patience_ns;
	proxy->target.left = CONNECTIONS;
	if (!target_find(&proxy->target, err))
		return false;
	proxy->maker = identity_maker_new(name, options->origin, err);
	proxy->origin = proxy->maker ? origin_new("127.0.0.1", options->origin_port, err) : NULL;
	if (!proxy->origin)
		return false;
	proxy->wish = (struct through_wish){
		.name = name, .port = origin_port(proxy->origin), .direct = options->direct, .ca = options->ca};
	proxy->report = report_new("proxy", proxy->target.text);
	return (proxy->report && identity_make(proxy->maker, IDENTITY_GOOD, false, &proxy->good)) ||
	       error_set_openssl(err, "certificates cannot be made");
}

bool proxy_make_root(const char *folder, char *path, size_t cap, struct error *err)
{
	struct identity_maker *maker = identity_maker_new("localhost", folder, err);
	snprintf(path, cap, "%s/root.pem", folder);
	identity_maker_free(maker);
	return maker != NULL;
}

struct report *proxy_assess(const struct proxy_options *options, struct error *err)
{
	struct proxy *proxy = calloc(1, sizeof(*proxy));
	uint64_t began_ns = clock_monotonic_ns();
	if (!proxy) {
		error_set(err, "no memory");
		return NULL;
	}
	proxy->options = options;
	bool ok = begin(proxy, err) && control(proxy, err);
	if (ok) {
		try_all(proxy);
		tell_verdict(proxy);
		proxy->report->connections = proxy->target.made;
		proxy->report->took_ns = clock_monotonic_ns() - began_ns;
	} else {
		report_free(proxy->report);
	}
	struct report *report = ok ? proxy->report : NULL;
	origin_free(proxy->origin);
	identity_free(&proxy->good);
	identity_maker_free(proxy->maker);
	free(proxy);
	return report;
}
