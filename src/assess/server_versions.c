/* assess/server_versions.c — versions, suites and groups, each by a hello that offers nothing else. */
#include "assess/server_parts.h"
#include "tls/group.h"

#include <stdio.h>

#define ALL_SUITES 512
#define SUITE_LINE ((size_t)900) /* octets of names in one line */

static bool any(const struct suite *suite)
{
	switch (suite->kx) {
	case SUITE_KX_ANY:
	case SUITE_KX_RSA:
	case SUITE_KX_DH:
	case SUITE_KX_DHE:
	case SUITE_KX_ECDH:
	case SUITE_KX_ECDHE:
		return true;
	default:
		return false; /* they need secrets that nobody here has */
	}
}

size_t server_list(uint16_t version, bool (*keep)(const struct suite *suite), uint16_t *out, size_t cap)
{
	const struct suite *suite;
	size_t count = 0;
	/* The strong first: where the client's order decides, they are told before a bound is reached. */
	for (int strength = SUITE_STRONG; strength >= SUITE_BROKEN; strength--) {
		for (size_t i = 0; (suite = suite_at(i)) != NULL && count < cap; i++) {
			if ((int)suite->strength == strength && any(suite) && suite_fits_version(suite, version) &&
				keep(suite))
				out[count++] = suite->value;
		}
	}
	return count;
}

enum known server_known(enum probe_result result, const struct flight *flight, uint16_t version)
{
	if (probe_took(result, flight, version))
		return YES;
	bool answered = result == PROBE_CLOSED ||
	                (result == PROBE_ANSWERED && (flight->kind == FLIGHT_ALERT || flight->kind == FLIGHT_HELLO));
	return answered ? NO : NOT_KNOWN;
}

uint16_t server_classic(const struct server *server)
{
	for (unsigned i = 3; i < SERVER_VERSIONS; i--) {
		if (server->version[i] == YES)
			return (uint16_t)(TLS_VERSION_SSL30 + i);
	}
	return 0;
}

/* What a version of TLS is worth, spoken or not. */
static enum grade grade_version(unsigned i, enum known spoken)
{
	if (spoken == NOT_KNOWN)
		return GRADE_UNKNOWN;
	if (i >= 3)
		return spoken == YES ? GRADE_A : GRADE_NONE;
	return spoken == NO ? GRADE_A : i == 0 ? GRADE_F : GRADE_B;
}

static void tell_version(struct server *server, unsigned i, const char *words)
{
	static const char *const why[SERVER_VERSIONS] = {
		"SSL 3.0 is broken (POODLE) and forbidden by RFC 7568.",
		"TLS 1.0 is deprecated by RFC 8996.",
		"TLS 1.1 is deprecated by RFC 8996.",
		"TLS 1.2 is still sound with AEAD suites, ECDHE and extended master secret.",
		"TLS 1.3 encrypts certificates and binds its keys to the whole handshake.",
	};
	char probed[80];
	uint16_t version = (uint16_t)(TLS_VERSION_SSL30 + i);
	snprintf(probed, sizeof(probed), "a ClientHello for %s alone", tls_version_name(version));
	report_add(server->report, "version", grade_version(i, server->version[i]), probed, why[i], "%s: %s",
		tls_version_name(version), server->version[i] == YES ? "spoken" : words);
}

/* Where nothing that answers is TLS, or nothing answers, more questions would be impolite. */
static bool hopeless(const struct server *server, enum probe_result result, const struct flight *flight, unsigned asked)
{
	if (result == PROBE_ANSWERED)
		return flight->kind == FLIGHT_NOT_TLS || flight->kind == FLIGHT_FLOOD || flight->kind == FLIGHT_BROKEN;
	return asked >= 2 && server->version[4] != YES && server->version[3] != YES && result != PROBE_CLOSED;
}

static bool speaks(const struct server *server)
{
	for (unsigned i = 0; i < SERVER_VERSIONS; i++) {
		if (server->version[i] == YES)
			return true;
	}
	return false;
}

bool server_versions(struct server *server, struct error *err)
{
	uint16_t suites[ALL_SUITES];
	char words[SERVER_VERSIONS][128];
	for (unsigned i = SERVER_VERSIONS - 1; i < SERVER_VERSIONS; i--) {
		uint16_t version = (uint16_t)(TLS_VERSION_SSL30 + i);
		struct flight flight;
		struct offer offer =
			server_offer(server, version, suites, server_list(version, any, suites, ALL_SUITES));
		enum probe_result result = probe(&server->target, &offer, &flight);
		server->version[i] = server_known(result, &flight, version);
		probe_tell(result, &flight, words[i], sizeof(words[i]));
		if (result == PROBE_ANSWERED && flight.kind == FLIGHT_HELLO && flight.version != version)
			snprintf(words[i], sizeof(words[i]), "answered with %s instead",
				tls_version_name(flight.version) ? tls_version_name(flight.version)
								 : "another version");
		if (server->version[i] == YES && i == 3) {
			server->secure_renegotiation = flight.renegotiation_info ? YES : NO;
			server->extended_master_secret = flight.extended_master_secret ? YES : NO;
		}
		bool end = hopeless(server, result, &flight, SERVER_VERSIONS - i);
		flight_free(&flight);
		if (end && !speaks(server))
			return error_set(
				err, "%s: asked for %s: %s", server->target.text, tls_version_name(version), words[i]);
	}
	if (!speaks(server))
		return error_set(err, "%s: refuses every version of TLS: asked for TLS 1.2, it %s", server->target.text,
			words[3]);
	for (unsigned i = SERVER_VERSIONS - 1; i < SERVER_VERSIONS; i--)
		tell_version(server, i, words[i]);
	if (server->version[3] != YES && server->version[4] != YES)
		report_add(server->report, "version", GRADE_F, "the two versions in use today", NULL,
			"neither TLS 1.2 nor TLS 1.3 is spoken");
	return true;
}

/* The suites of a version, in the order in which they were taken: what is worth the same stands in one line. */
struct suite_lines {
	struct report *report;
	uint16_t version;
	struct {
		enum suite_strength strength;
		char names[SUITE_LINE];
		size_t len;
	} of[GRADE_F + 1];
};

static void tell_line(struct suite_lines *lines, enum grade grade)
{
	static const char *const why[] = {"broken: no or weak encryption, or nobody is authenticated",
		"CBC, a short tag, or no forward secrecy: an AEAD with ECDHE is better", "AEAD, forward secret"};
	char probed[80];
	if (lines->of[grade].len == 0)
		return;
	snprintf(probed, sizeof(probed), "which suites %s is spoken with", tls_version_name(lines->version));
	report_add(lines->report, "suite", grade, probed, why[lines->of[grade].strength], "%s: %s",
		suite_strength_name(lines->of[grade].strength), lines->of[grade].names);
	lines->of[grade].len = 0;
}

static enum grade grade_suite(uint16_t value)
{
	const struct suite *suite = suite_find(value);
	/* Blocks of 64 bits need gigabytes to attack (Sweet32); the rest of the broken needs less. */
	if (suite && suite->cipher == SUITE_CIPHER_3DES_CBC && suite->auth != SUITE_AUTH_NONE)
		return GRADE_C;
	if (!suite || suite->strength == SUITE_BROKEN)
		return GRADE_F;
	return suite->strength == SUITE_STRONG ? GRADE_A : GRADE_B;
}

static void add_suite(struct suite_lines *lines, uint16_t value)
{
	const struct suite *suite = suite_find(value);
	enum grade grade = grade_suite(value);
	const char *name = suite_name(value) ? suite_name(value) : "?";
	if (lines->of[grade].len + strlen(name) + 3 > SUITE_LINE)
		tell_line(lines, grade);
	char *at = lines->of[grade].names + lines->of[grade].len;
	int n = snprintf(at, SUITE_LINE - lines->of[grade].len, "%s%s", lines->of[grade].len > 0 ? ", " : "", name);
	lines->of[grade].len += n > 0 ? (size_t)n : 0;
	lines->of[grade].strength = suite ? suite->strength : SUITE_BROKEN;
}

static void tell_lines(struct suite_lines *lines)
{
	for (enum grade grade = GRADE_A; grade <= GRADE_F; grade++)
		tell_line(lines, grade);
}

/* Offers all, takes the choice away, and offers the rest, until the server wants none of it. */
static void list_suites(struct server *server, uint16_t version, unsigned most)
{
	uint16_t suites[ALL_SUITES];
	size_t count = server_list(version, any, suites, ALL_SUITES);
	unsigned n = 0;
	struct suite_lines lines = {.report = server->report, .version = version};
	for (bool more = true; more && count > 0; n += more) {
		struct flight flight;
		struct offer offer = server_offer(server, version, suites, count);
		enum probe_result result = n < most ? probe(&server->target, &offer, &flight) : PROBE_SPENT;
		if (n == most)
			flight_begin(&flight);
		size_t kept = 0;
		for (size_t i = 0; i < count; i++) {
			suites[kept] = suites[i];
			kept += suites[i] != flight.suite || !probe_took(result, &flight, version);
		}
		more = kept < count;
		count = kept;
		if (more)
			add_suite(&lines, flight.suite);
		else if (result == PROBE_SPENT)
			report_add(server->report, "suite", GRADE_NONE, "further suites", NULL,
				"%s: not asked after the first %u: the bound of questions is reached",
				tls_version_name(version), n);
		flight_free(&flight);
	}
	tell_lines(&lines);
}

static bool broken(const struct suite *suite)
{
	return suite->strength == SUITE_BROKEN;
}

void server_suites(struct server *server)
{
	uint16_t suites[ALL_SUITES], classic = server_classic(server);
	if (server->version[4] == YES)
		list_suites(server, TLS_VERSION_13, 6);
	if (classic == 0)
		return;
	static const char probed[] =
		"suites without authentication or encryption, export grade, RC4, DES and 3DES alone";
	struct flight flight;
	struct offer offer = server_offer(server, classic, suites, server_list(classic, broken, suites, ALL_SUITES));
	enum probe_result result = probe(&server->target, &offer, &flight);
	enum known taken = server_known(result, &flight, classic);
	if (taken == YES)
		report_add(server->report, "suite-broken", grade_suite(flight.suite), probed,
			"Whoever takes the choice away from a client leaves it with this.", "%s is taken",
			suite_name(flight.suite) ? suite_name(flight.suite) : "?");
	else
		report_add(server->report, "suite-broken", taken == NO ? GRADE_A : GRADE_UNKNOWN, probed, NULL,
			taken == NO ? "none is taken" : "could not be found out");
	flight_free(&flight);
	list_suites(server, classic, SERVER_SUITES);
}

void server_groups(struct server *server)
{
	/* Post-quantum first: hybrids, a draft's hybrid, ML-KEM alone; then what else TLS 1.3 has. */
	uint16_t groups[] = {0x11ec, 0x11eb, 0x11ed, 0x6399, 0x0200, 0x0201, 0x0202, 0x001d, 0x0017, 0x0018, 0x0019,
		0x001e, 0x0100, 0x0101, 0x0102};
	uint16_t suites[ALL_SUITES];
	size_t count = sizeof(groups) / sizeof(groups[0]),
	       suite_count = server_list(TLS_VERSION_13, any, suites, ALL_SUITES);
	char seen[400] = "";
	size_t len = 0;
	bool post_quantum = false, asked = true;
	if (server->version[4] != YES)
		return;
	for (bool more = true; more && count > 0;) {
		struct flight flight;
		struct offer offer = server_offer(server, TLS_VERSION_13, suites, suite_count);
		offer.groups = groups;
		offer.group_count = count;
		enum probe_result result = probe(&server->target, &offer, &flight);
		bool took = probe_took(result, &flight, TLS_VERSION_13);
		size_t kept = 0;
		for (size_t i = 0; i < count; i++) {
			groups[kept] = groups[i];
			kept += !took || groups[i] != flight.group;
		}
		more = kept < count;
		count = kept;
		const struct group *group = group_find(flight.group);
		if (more && len < sizeof(seen)) {
			len += (size_t)snprintf(
				seen + len, sizeof(seen) - len, "%s%s", len > 0 ? ", " : "", group ? group->name : "?");
			post_quantum |= group && (group->kind == GROUP_HYBRID || group->kind == GROUP_KEM);
		}
		asked = result != PROBE_SPENT;
		flight_free(&flight);
	}
	report_add(server->report, "groups", GRADE_NONE, "which groups TLS 1.3 is spoken with, in the server's order",
		NULL, "%s%s", len > 0 ? seen : "none found", asked ? "" : " (not all asked: the bound is reached)");
	report_add(server->report, "post-quantum", post_quantum ? GRADE_A : GRADE_NONE,
		"X25519MLKEM768 and other hybrids, and ML-KEM alone",
		"Without one, what is recorded today can be read by whoever has a quantum computer later.",
		post_quantum ? "a post-quantum group is spoken" : "no post-quantum group");
}
