/* assess/proxy_clients.c — checks 13, 14 and 16 towards clients: what the proxy takes as a server (RFC 8446; RFC 5746; RFC 6176). */
#include "assess/handshake.h"
#include "assess/padding.h"
#include "assess/probe.h"
#include "assess/proxy_parts.h"
#include "assess/server_parts.h"

#include <errno.h>
#include <openssl/rand.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define SUITES 256

static bool any(const struct suite *suite)
{
	return suite->kx == SUITE_KX_RSA || suite->kx == SUITE_KX_DHE || suite->kx == SUITE_KX_ECDHE;
}

static bool broken(const struct suite *suite)
{
	return any(suite) && suite->strength == SUITE_BROKEN;
}

static bool rsa(const struct suite *suite)
{
	return suite->kx == SUITE_KX_RSA && suite->strength != SUITE_BROKEN;
}

/* A target that is the good server behind the proxy. */
static bool behind(const struct proxy *proxy, struct target *out)
{
	char port[8];
	struct error err;
	struct target there;
	*out = proxy->target;
	if (proxy->options->direct)
		return true;
	snprintf(port, sizeof(port), "%u", proxy->wish.port);
	if (!target_of_word(proxy->wish.name, port, &there, &err))
		return false;
	out->name = there.name;
	memcpy(out->port_text, there.port_text, sizeof(out->port_text));
	memcpy(out->text, there.text, sizeof(out->text));
	out->has_via = true;
	return true;
}

static enum probe_result ask(struct proxy *proxy, struct target *target, uint16_t version,
	bool (*keep)(const struct suite *suite), struct flight *flight)
{
	static const uint16_t groups[] = {0x001d, 0x0017, 0x0018};
	uint16_t suites[SUITES];
	struct offer offer = {.version = version,
		.suites = suites,
		.suite_count = server_list(version, keep, suites, SUITES),
		.groups = groups,
		.group_count = sizeof(groups) / sizeof(groups[0]),
		.name = proxy->wish.name,
		.extended_master_secret = true};
	(void)!RAND_bytes(offer.random, sizeof(offer.random));
	return probe(target, &offer, flight);
}

static void try_version(struct proxy *proxy, struct target *target, uint16_t version, const char *check)
{
	struct flight flight;
	char probed[80], seen[128];
	enum probe_result result = ask(proxy, target, version, any, &flight);
	enum known taken = server_known(result, &flight, version);
	snprintf(probed, sizeof(probed), "a client of %s only", tls_version_name(version));
	probe_tell(result, &flight, seen, sizeof(seen));
	report_add(proxy->report, check,
		taken == NOT_KNOWN             ? GRADE_UNKNOWN
		: taken == NO                  ? GRADE_A
		: version == TLS_VERSION_SSL30 ? GRADE_F
					       : GRADE_B,
		probed, taken == YES ? "Deprecated by RFC 7568 and RFC 8996." : NULL, "%s",
		taken == YES ? "served" : seen);
	flight_free(&flight);
}

/* SSL 2: a hello of its own form, with the suites of old (RFC 6176 says why not). */
static void try_ssl2(struct proxy *proxy, struct target *target)
{
	static const uint8_t hello[] = {0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 16, 1, 0, 0x80, 2, 0, 0x80, 3, 0, 0x80,
		4, 0, 0x80, 5, 0, 0x80, 6, 0, 0x40, 7, 0, 0xc0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
	uint8_t room[64];
	uint64_t deadline_ns = 0;
	int fd = -1;
	ssize_t n = -1;
	if (target_dial(target, &fd, &deadline_ns) != DIAL_OK)
		return;
	if (send(fd, hello, sizeof(hello), MSG_NOSIGNAL) == (ssize_t)sizeof(hello) &&
		wait_until(fd, POLLIN, deadline_ns))
		n = recv(fd, room, sizeof(room), 0);
	/* A SERVER-HELLO: a header of two octets, and the number 4. */
	bool served = n > 2 && (room[0] & 0x80) && room[2] == 4;
	report_add(proxy->report, "13-client-ssl2", served ? GRADE_F : GRADE_A, "a client of SSL 2 only",
		served ? "Forbidden by RFC 6176." : NULL,
		served  ? "served"
		: n > 0 ? "not served: something else was answered"
			: "not served");
	close(fd);
}

static void try_broken(struct proxy *proxy, struct target *target)
{
	struct flight flight;
	enum known taken = server_known(ask(proxy, target, TLS_VERSION_12, broken, &flight), &flight, TLS_VERSION_12);
	report_add(proxy->report, "14-client-broken",
		taken == YES  ? GRADE_F
		: taken == NO ? GRADE_A
			      : GRADE_UNKNOWN,
		"a client with suites without authentication or encryption, export grade, RC4, DES and 3DES alone",
		NULL,
		taken == YES  ? "served with %s"
		: taken == NO ? "refused"
			      : "could not be found out",
		suite_name(flight.suite) ? suite_name(flight.suite) : "?");
	flight_free(&flight);
}

static void try_renegotiation(struct proxy *proxy, struct target *target)
{
	struct handshake_seen seen;
	struct flight flight;
	const struct handshake_wish wish = {
		.min = TLS_VERSION_12, .max = TLS_VERSION_12, .name = proxy->wish.name, .renegotiate = true};
	enum probe_result result = ask(proxy, target, TLS_VERSION_12, any, &flight);
	if (server_known(result, &flight, TLS_VERSION_12) == YES)
		report_add(proxy->report, "14-client-renegotiation-info", flight.renegotiation_info ? GRADE_A : GRADE_C,
			"renegotiation_info in the answer to clients (RFC 5746)",
			flight.renegotiation_info ? NULL
						  : "An attacker can put a request of his own before the client's.",
			flight.renegotiation_info ? "supported" : "not supported");
	flight_free(&flight);
	if (handshake_try(target, &wish, &seen))
		report_add(proxy->report, "14-client-renegotiation", seen.renegotiated ? GRADE_B : GRADE_A,
			"a second handshake that the client begins",
			seen.renegotiated ? "It costs a server much and a client little." : NULL,
			seen.renegotiated ? "taken" : "not taken");
	handshake_seen_free(&seen);
}

static void try_padding(struct proxy *proxy, struct target *target)
{
	static const char probed[] = "wrongly padded premaster secrets of a client";
	struct flight flight;
	struct handshake_seen seen = {0};
	char text[200];
	enum known taken = server_known(ask(proxy, target, TLS_VERSION_12, rsa, &flight), &flight, TLS_VERSION_12);
	flight_free(&flight);
	const struct handshake_wish wish = {.min = TLS_VERSION_12,
		.max = TLS_VERSION_12,
		.name = proxy->wish.name,
		.suites = "kRSA+AESGCM:@SECLEVEL=0"};
	if (taken == NO)
		report_add(proxy->report, "16-rsa-padding", GRADE_A, probed, NULL,
			"none is asked for: RSA key exchange is not taken from clients");
	else if (taken == NOT_KNOWN || !handshake_try(target, &wish, &seen) || !seen.leaf)
		report_add(proxy->report, "16-rsa-padding", GRADE_UNKNOWN, probed, NULL, "could not be asked: %s",
			seen.fault[0] ? seen.fault : "no answer");
	else
		padding_report(proxy->report, "16-rsa-padding",
			padding_ask(target, proxy->wish.name, seen.leaf, text, sizeof(text)), text);
	handshake_seen_free(&seen);
}

void proxy_clients(struct proxy *proxy)
{
	const struct play play = {.identity = &proxy->good};
	struct error err;
	struct target target;
	if (!behind(proxy, &target) || !origin_play(proxy->origin, &play, &err))
		return;
	unsigned before = target.made;
	try_ssl2(proxy, &target);
	try_version(proxy, &target, TLS_VERSION_SSL30, "13-client-ssl30");
	try_version(proxy, &target, TLS_VERSION_10, "13-client-tls10");
	try_version(proxy, &target, TLS_VERSION_11, "13-client-tls11");
	try_broken(proxy, &target);
	try_renegotiation(proxy, &target);
	try_padding(proxy, &target);
	proxy->target.made += target.made - before;
	proxy->target.left = target.left;
}
