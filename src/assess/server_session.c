/* assess/server_session.c — what shows only in a whole handshake: certificate, staple, ALPN, tickets, 0-RTT, renegotiation. */
#include "assess/server_parts.h"
#include "base/clock.h"
#include "pki/summary.h"
#include "pki/verify.h"

#include <openssl/x509.h>

#define TICKETS_NS (500 * NS_PER_MS)

static enum grade grade_fault(const struct verify_verdict *verdict)
{
	/* Of the status alone: the certificate itself is good. */
	bool status = verdict->fault >= VERIFY_STAPLE_MISSING && verdict->fault < VERIFY_FAULTS;
	return verdict->fault == VERIFY_OK         ? GRADE_A
	       : verdict->fault == VERIFY_INTERNAL ? GRADE_UNKNOWN
	       : status                            ? GRADE_C
	                                           : GRADE_F;
}

static void tell_leaf(struct server *server, X509 *leaf)
{
	struct cert_summary summary;
	char line[700];
	cert_summary_of(leaf, &summary);
	cert_summary_line(&summary, line, sizeof(line));
	report_add(server->report, "certificate", GRADE_NONE, "the leaf that was shown", NULL,
		"%s; key %s, signature %s", line, summary.key, summary.signature);
}

static void judge(struct server *server, const struct handshake_seen *seen, struct trust *trust)
{
	struct verify_verdict verdict;
	struct verifier *verifier = verifier_new(trust, 0);
	const struct verify_request request = {.host = &server->name,
		.staple = bytes_of(seen->staple, seen->staple_len),
		.now_s = (int64_t)(clock_wall_ns() / NS_PER_S)};
	if (!verifier)
		return;
	verify_chain(verifier, seen->leaf, seen->chain, &request, &verdict);
	report_add(server->report, "chain", grade_fault(&verdict),
		server->options->trust ? "the chain, strictly, against the anchors given"
				       : "the chain, strictly, against the system's anchors",
		verdict.fault == VERIFY_OK
			? NULL
			: "Clients that verify refuse this server, those that do not can be deceived.",
		"%s: %s", verify_fault_name(verdict.fault),
		verdict.fault == VERIFY_OK ? "good for this name" : verdict.text);
	report_add(server->report, "ocsp-staple", GRADE_NONE, "status_request",
		seen->staple_len > 0 ? NULL : "Without one, clients ask the responder themselves, or nobody.",
		seen->staple_len > 0 ? verdict.status == VERIFY_STATUS_STAPLE ? "stapled: good" : "stapled"
				     : "no staple");
	verifier_free(verifier);
}

void server_certificate(struct server *server, const struct handshake_seen *seen)
{
	struct error err = {""};
	struct trust *trust = trust_new(NULL);
	if (seen->leaf)
		tell_leaf(server, seen->leaf);
	bool ok = trust && (server->options->trust ? trust_add_file(trust, server->options->trust, &err)
						   : trust_add_system(trust, &err));
	if (seen->leaf && ok)
		judge(server, seen, trust);
	else
		report_add(server->report, "chain", GRADE_UNKNOWN, "the chain", NULL, "could not be judged: %s",
			seen->leaf ? err.text : "no certificate was shown");
	trust_free(trust);
}

static void tell_13(struct server *server, const struct handshake_seen *seen)
{
	report_add(server->report, "tickets", GRADE_NONE, "NewSessionTicket in TLS 1.3", NULL, "%s",
		seen->tickets > 0 ? "sent" : "none came");
	report_add(server->report, "early-data", seen->early_data > 0 ? GRADE_NONE : GRADE_A,
		"early_data in the ticket",
		seen->early_data > 0 ? "What is sent as 0-RTT can be replayed: the application must know." : NULL,
		seen->early_data > 0 ? "0-RTT of up to %u octets is taken" : "no 0-RTT", seen->early_data);
}

static void tell_alpn(struct server *server, const struct handshake_seen *seen)
{
	report_add(server->report, "alpn", GRADE_NONE, "h2 and http/1.1 offered", NULL, "%s",
		seen->alpn[0] ? seen->alpn : "no protocol chosen");
}

static void try_classic(struct server *server, bool told)
{
	struct handshake_seen seen;
	const struct handshake_wish wish = {
		.min = TLS_VERSION_SSL30, .max = TLS_VERSION_12, .name = server->options->name, .renegotiate = true};
	if (!handshake_try(&server->target, &wish, &seen)) {
		report_add(server->report, "handshake-classic", GRADE_UNKNOWN, "a whole handshake below TLS 1.3", NULL,
			"not completed: %s", seen.fault);
	} else {
		if (!told) {
			tell_alpn(server, &seen);
			server_certificate(server, &seen);
		}
		report_add(server->report, "tickets-classic", GRADE_NONE, "session_ticket below TLS 1.3",
			seen.ticket ? "Whoever gets the key of the tickets reads recorded connections, forward secrecy "
				      "or not."
				    : NULL,
			seen.ticket ? "sent" : "none");
		report_add(server->report, "client-renegotiation", seen.renegotiated ? GRADE_B : GRADE_A,
			"a second handshake that the client begins",
			seen.renegotiated ? "It costs a server much and a client little." : NULL,
			seen.renegotiated ? "taken" : "not taken");
	}
	handshake_seen_free(&seen);
}

void server_session(struct server *server)
{
	bool told = false;
	if (server->version[4] == YES) {
		struct handshake_seen seen;
		const struct handshake_wish wish = {.min = TLS_VERSION_13,
			.max = TLS_VERSION_13,
			.name = server->options->name,
			.tickets_ns = TICKETS_NS};
		told = handshake_try(&server->target, &wish, &seen);
		if (told) {
			tell_alpn(server, &seen);
			server_certificate(server, &seen);
			tell_13(server, &seen);
		} else {
			report_add(server->report, "handshake", GRADE_UNKNOWN, "a whole handshake of TLS 1.3", NULL,
				"not completed: %s", seen.fault);
		}
		handshake_seen_free(&seen);
	}
	if (server_classic(server) != 0)
		try_classic(server, told);
}
