/* assess/proxy_conduct.c — checks 13 to 16 towards servers: old versions, weak suites, damaged handshakes (RFC 8446, RFC 5746). */
#include "assess/proxy_parts.h"

#include <stdio.h>

static const struct conduct {
	const char *check, *probed, *why;
	enum grade grade; /* where the request arrived */
	struct play play;
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
	{"14-unsafe-renegotiation", "a server of TLS 1.2 without renegotiation_info (RFC 5746)",
		"The request may be appended to one that somebody else began.", GRADE_B,
		{.max = TLS_VERSION_12, .hide_renegotiation = true}},
	{"14-rsa-key-exchange", "RSA key exchange only", "No forward secrecy, where the client may have wanted it.",
		GRADE_B, {.max = TLS_VERSION_12, .suites = "kRSA+AES:@SECLEVEL=0"}},
	{"14-cbc", "suites with CBC only", "Padding oracles have returned again and again.", GRADE_B,
		{.max = TLS_VERSION_12, .suites = "ECDHE+AES:!AESGCM:!AESCCM:@SECLEVEL=0"}},
	{"16-damaged-finished", "a server's Finished with one bit changed",
		"Nothing of the handshake is authenticated.", GRADE_F, {.damage = true}},
};

/* Whether somebody who took TLS 1.3 away between proxy and server would be noticed. */
static void try_downgrade(struct proxy *proxy)
{
	const struct play play = {.identity = &proxy->good, .downgrade = true};
	static const char probed[] = "a server's answer of TLS 1.2 with the downgrade sentinel";
	struct through_seen shown;
	struct error err = {""};
	if (!proxy_pass(proxy, &play, &proxy->wish, &shown, &err))
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

/* A server of TLS 1.2: the client must not believe in TLS 1.3. */
static void try_mirror(struct proxy *proxy)
{
	const struct play play = {.identity = &proxy->good, .max = TLS_VERSION_12};
	struct through_seen shown;
	struct error err = {""};
	if (!proxy_pass(proxy, &play, &proxy->wish, &shown, &err) || !shown.handshake)
		report_add(proxy->report, "13-mirrored-version", GRADE_UNKNOWN, "a server of TLS 1.2 only", NULL, "%s",
			err.text[0] ? err.text : shown.fault);
	else
		report_add(proxy->report, "13-mirrored-version", shown.version > TLS_VERSION_12 ? GRADE_B : GRADE_A,
			"a server of TLS 1.2 only",
			shown.version > TLS_VERSION_12 ? "The client sees better than there is." : NULL,
			"the client gets %s", tls_version_name(shown.version) ? tls_version_name(shown.version) : "?");
	through_free(&shown);
}

/* The key exchange's signature in TLS 1.2; in TLS 1.3 the same certificate stands among those that are wrong. */
static void try_signature(struct proxy *proxy)
{
	struct identity identity;
	const struct play play = {.identity = &identity, .max = TLS_VERSION_12};
	if (identity_make(proxy->maker, IDENTITY_WRONG_KEY, false, &identity))
		proxy_try(proxy, "16-server-key-exchange", GRADE_F,
			"a ServerKeyExchange of TLS 1.2 that is signed with another key",
			"Anybody can pass for the server with a copy of its certificate.", &play);
	identity_free(&identity);
}

/* With RFC 5746 a second handshake is safe, and yet no proxy needs one. */
static void try_renegotiation(struct proxy *proxy)
{
	const struct play play = {.identity = &proxy->good, .max = TLS_VERSION_12, .renegotiate = true};
	static const char probed[] = "a server of TLS 1.2 that asks for a second handshake (with renegotiation_info)";
	struct through_seen shown;
	struct error err = {""};
	if (!proxy_pass(proxy, &play, &proxy->wish, &shown, &err) || !proxy->seen.handshake)
		report_add(proxy->report, "14-renegotiation", GRADE_UNKNOWN, probed, NULL, "%s",
			err.text[0] ? err.text : shown.fault);
	else
		report_add(proxy->report, "14-renegotiation", GRADE_NONE, probed, NULL,
			proxy->seen.renegotiated ? "taken up" : "not taken up");
	through_free(&shown);
}

/* An address has no name: a dNSName that looks like one says nothing (RFC 9525, 6.2). */
static void try_address(struct proxy *proxy)
{
	static const char probed[] = "a server at an address, which stands as a DNS name in its certificate";
	struct error err = {""};
	struct identity good, bad;
	struct through_seen shown;
	struct identity_maker *maker = identity_maker_new("127.0.0.1", proxy->options->origin, &err);
	struct through_wish before = proxy->wish;
	if (!maker || !identity_make(maker, IDENTITY_GOOD, false, &good)) {
		identity_maker_free(maker);
		return;
	}
	proxy->wish.name = "127.0.0.1";
	struct play play = {.identity = &good};
	bool ok = proxy_pass(proxy, &play, &proxy->wish, &shown, &err) && proxy->seen.request > 0;
	if (!ok)
		report_add(proxy->report, "10-ip-as-dns", GRADE_UNKNOWN, probed, NULL,
			"not tried: it does not lead to good servers at addresses (%s)",
			err.text[0] ? err.text : shown.fault);
	through_free(&shown);
	play.identity = &bad;
	bool made = identity_make(maker, IDENTITY_IP_AS_DNS, false, &bad);
	if (ok && made)
		proxy_try(proxy, "10-ip-as-dns", GRADE_C, probed, "Names and addresses are told apart for a reason.",
			&play);
	identity_free(&bad);
	identity_free(&good);
	identity_maker_free(maker);
	proxy->wish = before;
}

void proxy_conduct(struct proxy *proxy)
{
	struct identity rsa;
	try_address(proxy);
	try_mirror(proxy);
	try_downgrade(proxy);
	try_signature(proxy);
	try_renegotiation(proxy);
	if (identity_make(proxy->maker, IDENTITY_GOOD, true, &rsa)) {
		for (size_t i = 0; i < sizeof(conducts) / sizeof(conducts[0]); i++) {
			struct play play = conducts[i].play;
			play.identity = &rsa;
			proxy_try(proxy, conducts[i].check, conducts[i].grade, conducts[i].probed, conducts[i].why,
				&play);
		}
	}
	identity_free(&rsa);
}
