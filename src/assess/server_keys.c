/*
 * assess/server_keys.c — key exchanges of TLS 1.2 and below with and without extended master secret (RFC 7627), the groups
 * of DHE, and what follows for a proxy that would drop out of a connection.
 */
#include "assess/dh.h"
#include "assess/padding.h"
#include "assess/server_parts.h"

#define SUITES 512

static bool is_rsa(const struct suite *suite)
{
	return suite->kx == SUITE_KX_RSA && suite->cipher != SUITE_CIPHER_NONE && !suite->exported;
}

static bool is_dhe(const struct suite *suite)
{
	return suite->kx == SUITE_KX_DHE && suite->auth != SUITE_AUTH_NONE && !suite->exported;
}

static bool is_ecdhe(const struct suite *suite)
{
	return suite->kx == SUITE_KX_ECDHE && suite->auth != SUITE_AUTH_NONE;
}

/* The flight is the caller's to free. */
static enum known ask(
	struct server *server, bool (*keep)(const struct suite *suite), bool ems, bool named, struct flight *flight)
{
	static const uint16_t ffdhe[] = {0x0100, 0x0101, 0x0102, 0x0103, 0x0104};
	uint16_t suites[SUITES], version = server_classic(server);
	struct offer offer = server_offer(server, version, suites, server_list(version, keep, suites, SUITES));
	offer.extended_master_secret = ems;
	if (named) {
		offer.groups = ffdhe;
		offer.group_count = sizeof(ffdhe) / sizeof(ffdhe[0]);
	}
	enum probe_result result = probe(&server->target, &offer, flight);
	return server_known(result, flight, version);
}

static enum grade grade_group(const struct dh_group *group)
{
	if (group->kind == DH_TOO_LONG)
		return GRADE_UNKNOWN;
	if (group->kind == DH_COMPOSITE || group->kind == DH_TRIVIAL || group->bits < 1024)
		return GRADE_F;
	if (group->bits < 2048 || group->kind == DH_PRIME)
		return GRADE_C;
	return GRADE_A;
}

static bool same_group(const struct flight *one, const struct flight *other)
{
	return bytes_equal(bytes_of(one->p, one->p_len), bytes_of(other->p, other->p_len)) &&
	       bytes_equal(bytes_of(one->g, one->g_len), bytes_of(other->g, other->g_len));
}

static void tell_group(struct server *server, const struct dh_group *group, const char *probed)
{
	report_add(server->report, "dhe-group", grade_group(group), probed,
		"Clients of TLS 1.2 take any group, most without a look: whoever knows the factors of its modulus or "
		"has "
		"computed ahead for it reads along. At least 2048 bits and a safe prime, or better ECDHE.",
		"%u bits, %s%s%s", group->bits, dh_kind_text(group->kind), group->name ? ": " : "",
		group->name ? group->name : "");
}

static void judge_group(struct server *server, const struct flight *flight, const char *probed, struct dh_group *out)
{
	if (flight->p_len == 0)
		return;
	if (dh_judge(bytes_of(flight->p, flight->p_len), bytes_of(flight->g, flight->g_len), out))
		tell_group(server, out, probed);
	else
		report_add(server->report, "dhe-group", GRADE_UNKNOWN, probed, NULL, "could not be judged: no memory");
}

static void free_of_ems(struct server *server, bool (*keep)(const struct suite *suite), enum known *out)
{
	struct flight flight;
	*out = ask(server, keep, false, false, &flight);
	flight_free(&flight);
}

static void tell_groups(struct server *server)
{
	struct flight flight, again;
	struct dh_group group;
	server->dhe = ask(server, is_dhe, true, false, &flight);
	if (server->dhe != YES) {
		report_add(server->report, "dhe-group", server->dhe == NO ? GRADE_NONE : GRADE_UNKNOWN, "DHE alone",
			NULL, server->dhe == NO ? "DHE is not spoken" : "could not be found out");
		flight_free(&flight);
		return;
	}
	judge_group(server, &flight, "DHE alone, no named group offered", &group);
	enum known named = ask(server, is_dhe, true, true, &again);
	static const char probed[] = "DHE with the groups of RFC 7919 offered";
	/* The same is not judged twice: that is dear, and the server chooses how dear. */
	if (named == YES && flight.p_len > 0 && same_group(&flight, &again))
		tell_group(server, &group, probed);
	else if (named == YES)
		judge_group(server, &again, probed, &group);
	flight_free(&flight);
	flight_free(&again);
	free_of_ems(server, is_dhe, &server->dhe_free);
}

static void tell_exchange(
	struct server *server, const char *check, enum known taken, const char *probed, const char *why)
{
	report_add(server->report, check,
		taken == YES  ? GRADE_B
		: taken == NO ? GRADE_A
			      : GRADE_UNKNOWN,
		probed, taken == YES ? why : NULL,
		taken == YES  ? "taken"
		: taken == NO ? "refused"
			      : "could not be found out");
}

static void tell_ems(struct server *server, enum known ecdhe_free)
{
	bool free = ecdhe_free == YES || server->rsa_free == YES || server->dhe_free == YES;
	bool known = free || ecdhe_free == NO || server->rsa_free == NO || server->dhe_free == NO;
	const char *seen = server->extended_master_secret == NO ? "not supported"
	                   : !known ? "supported; whether it is required could not be found out"
	                   : free   ? "supported, not required"
	                            : "required";
	report_add(server->report, "extended-master-secret", server->extended_master_secret == NO ? GRADE_B : GRADE_A,
		"hellos for TLS 1.2 with and without the extension",
		"Without it two connections can be given one master secret (RFC 7627): triple handshakes, and proxies "
		"that drop out.",
		"%s", seen);
}

static void ask_padding(struct server *server)
{
	struct handshake_seen seen;
	char text[200];
	const struct handshake_wish wish = {.min = TLS_VERSION_12,
		.max = TLS_VERSION_12,
		.name = server->options ? server->options->name : server->name.text,
		.suites = "kRSA+AESGCM:@SECLEVEL=0"};
	if (handshake_try(&server->target, &wish, &seen) && seen.leaf)
		padding_report(server->report, "rsa-padding",
			padding_ask(&server->target, server->name.is_ip ? NULL : server->name.text, seen.leaf, text,
				sizeof(text)),
			text);
	handshake_seen_free(&seen);
}

void server_key_exchange(struct server *server)
{
	struct flight flight;
	enum known ecdhe_free = NOT_KNOWN;
	if (server_classic(server) == 0)
		return;
	server->rsa = ask(server, is_rsa, true, false, &flight);
	flight_free(&flight);
	tell_exchange(server, "rsa-key-exchange", server->rsa, "RSA key exchange alone",
		"Whoever gets the server's key later reads all recorded connections; and padding oracles have returned "
		"again and again.");
	tell_groups(server);
	if (server->rsa == YES) {
		free_of_ems(server, is_rsa, &server->rsa_free);
		ask_padding(server);
	}
	free_of_ems(server, is_ecdhe, &ecdhe_free);
	tell_ems(server, ecdhe_free);
	report_add(server->report, "secure-renegotiation",
		server->secure_renegotiation == NO    ? GRADE_C
		: server->secure_renegotiation == YES ? GRADE_A
						      : GRADE_UNKNOWN,
		"renegotiation_info in the answer (RFC 5746)",
		"Without it an attacker can put a request of his own before the client's.",
		server->secure_renegotiation == YES  ? "supported"
		: server->secure_renegotiation == NO ? "not supported"
						     : "not known: TLS 1.2 is not spoken");
}

void server_dropout(struct server *server)
{
	struct report *report = server->report;
	if (server_classic(server) == 0) {
		report_conclude(report, "dropout", "not-exposed", false,
			"Only TLS 1.3 is spoken: every secret depends on a key share that the proxy cannot carry over, "
			"and on all "
			"messages of the handshake, so two connections never share one.");
	} else if (server->rsa_free == YES && server->dhe_free == YES) {
		report_conclude(report, "dropout", "exposed", true,
			"RSA key exchange and DHE are both taken without extended master secret: with either, a proxy "
			"whose certificate a client accepts can give both its connections one master secret, and "
			"leave; with RSA by encrypting the client's own premaster secret on to this server, with DHE "
			"by a group of its own towards a client that takes any. Require extended master secret, or "
			"give both up for ECDHE.");
	} else if (server->rsa_free == YES) {
		report_conclude(report, "dropout", "exposed", true,
			"RSA key exchange is taken without extended master secret: a proxy whose certificate a client "
			"accepts can "
			"encrypt the client's own premaster secret and randoms on to this server, so that both "
			"connections have one "
			"master secret, and leave. Require extended master secret, or give RSA key exchange up.");
	} else if (server->dhe_free == YES) {
		report_conclude(report, "dropout", "exposed", true,
			"DHE is taken without extended master secret: towards a client that takes any group unchecked, "
			"a proxy can "
			"make one in which the client's premaster secret becomes this server's, and leave. Require "
			"extended master "
			"secret, or give DHE up for ECDHE.");
	} else if (server->rsa_free == NOT_KNOWN && server->rsa != NO) {
		report_conclude(
			report, "dropout", "unknown", true, "whether RSA key exchange is taken could not be found out");
	} else if (server->dhe_free == NOT_KNOWN && server->dhe != NO) {
		report_conclude(report, "dropout", "unknown", true, "whether DHE is taken could not be found out");
	} else if (server->rsa == NO && server->dhe == NO) {
		report_conclude(report, "dropout", "not-exposed", false,
			"Neither RSA key exchange nor DHE is taken: in ECDHE a proxy cannot choose the secret of both "
			"connections.");
	} else {
		report_conclude(report, "dropout", "not-exposed", false,
			"RSA key exchange and DHE are taken only with extended master secret, which binds the master "
			"secret to the "
			"certificate and all messages of one connection.");
	}
}
