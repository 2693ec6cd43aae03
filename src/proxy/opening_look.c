#include "proxy/accord_opening.h"
#include "proxy/accord_serve.h"
#include "proxy/conn.h"
#include "proxy/local_parts.h"
#include "proxy/opening.h"
#include "proxy/opening_parts.h"
#include "proxy/report.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"
#include "tls/alert.h"

#include <stdio.h>

/* Step 4: what the server showed is known. */

static void name_issuer(struct opening *o, X509 *cert)
{
	const X509_NAME *issuer = cert ? X509_get_issuer_name(cert) : NULL;
	if (!issuer)
		return;
	/* The NID variant copies as text and terminates; -1 leaves the empty string. */
	X509_NAME *name = X509_get_issuer_name(cert);
	X509_NAME_get_text_by_NID(name, NID_commonName, o->issuer_cn, sizeof(o->issuer_cn));
	X509_NAME_get_text_by_NID(name, NID_organizationName, o->issuer_o, sizeof(o->issuer_o));
}

static void second_pass(struct conn *conn)
{
	struct opening *o = conn->opening;
	name_issuer(o, opening_server(conn));
	o->facts.faults = o->verified.faults;
	o->facts.issuer_cn = bytes_str(o->issuer_cn);
	o->facts.issuer_o = bytes_str(o->issuer_o);
	o->facts.client_certificate_requested = o->certificate_requested;
	o->facts.known |= POLICY_PASS_SECOND;
	(void)policy_decide(o->policy, &o->facts, &o->verdict);
	accord_serve_decided(conn);
}

/*
 * A rule that inspects and names the request for a client certificate knows of it: the server gets an empty one. So does
 * one behind a local proxy: whoever stepped aside from there would leave the program alone with the network's.
 */
static bool goes_without(const struct conn *conn)
{
	const struct opening *o = conn->opening;
	struct policy_facts facts = o->facts;
	const char *condition;
	if (conn->worker->mine)
		return true;
	facts.client_certificate_requested = false;
	return o->verdict.action == POLICY_INSPECT && o->verdict.rule >= 0 &&
	       policy_rule_fit(o->policy, o->verdict.rule, &facts, &condition) == POLICY_FITS_NOT;
}

/* Why a verdict to inspect ends in stepping aside, for what the server was shown or would have to be. NULL: it does not. */
static const char *certificate_trouble(const struct conn *conn)
{
	const struct opening *o = conn->opening;
	if (o->certificate_lacking && !goes_without(conn))
		return "the server asks for a client certificate";
	const struct identity *due =
		identities_find(conn->worker->snapshot.identities, o->verdict.options.client_cert, o->name.text);
	if (o->shown && (!due || memcmp(o->shown_digest, due->digest, sizeof(due->digest)) != 0))
		return "the server was shown another client certificate than the rule names";
	return NULL;
}

/* What happens to a connection whose upstream can be had, by the verdict. False: it is settled. */
static bool carry_out(struct conn *conn)
{
	struct opening *o = conn->opening;
	const char *trouble = certificate_trouble(conn);
	if (o->verdict.action == POLICY_BLOCK) {
		report_verdict(conn, ACTION_BLOCK, 2, o->verdict.label, "");
		opening_block(conn, ALERT_ACCESS_DENIED, "blocked", "blocked by rule");
		return false;
	}
	if (o->verdict.action == POLICY_BYPASS || trouble) {
		opening_aside_afresh(conn, o->verdict.action == POLICY_BYPASS ? NULL : trouble);
		return false;
	}
	return true;
}

/* The alert that tells a client most nearly what was wrong with the certificate it does not get to see. */
static uint8_t alert_for(enum verify_fault fault)
{
	switch (fault) {
	case VERIFY_EXPIRED:
	case VERIFY_NOT_YET_VALID:
		return ALERT_CERTIFICATE_EXPIRED;
	case VERIFY_REVOKED:
		return ALERT_CERTIFICATE_REVOKED;
	case VERIFY_SELF_SIGNED:
	case VERIFY_UNKNOWN_ROOT:
	case VERIFY_MISSING_INTERMEDIATE:
		return ALERT_UNKNOWN_CA;
	default:
		return ALERT_BAD_CERTIFICATE;
	}
}

static void refuse_upstream(struct conn *conn)
{
	struct opening *o = conn->opening;
	char text[800];
	snprintf(text, sizeof(text), "the server's certificate: %s%s%s", o->verified.text,
		o->verdict.distrusted ? "; a bypass was due but needs a verified name: " : "",
		o->verdict.distrusted ? o->verdict.distrusted : "");
	report_notice(conn, SEVERITY_WARN, "upstream-refused", text);
	opening_fail(conn, alert_for(o->verified.fault), verify_fault_name(o->verified.fault), text);
}

static void inspect(struct conn *conn)
{
	struct error err;
	if (!upstream_acceptable(conn, &err)) {
		report_notice(conn, SEVERITY_WARN, "upstream-weak", err.text);
		opening_fail(conn, ALERT_INSUFFICIENT_SECURITY, "upstream-weak", err.text);
		return;
	}
	if (!accord_serves(conn) && !accord_confirm(conn))
		return;
	upstream_settle(conn);
	if (conn->opening->accord.on)
		accord_answer(conn);
	else if (accord_serves(conn))
		accord_serve(conn);
	else
		opening_get_leaf(conn);
}

/* Step 3 once more: the issuer that the server did not send was fetched. */

static void issuer_fetched(bool found, const char *why, void *ctx)
{
	struct conn *conn = ctx;
	struct opening *o = conn->opening;
	char text[AIA_URL_MAX + 300];
	o->aia = NULL;
	snprintf(text, sizeof(text), "%s: %s", o->aia_url, found ? "the issuer was fetched" : why);
	report_notice(
		conn, found ? SEVERITY_INFO : SEVERITY_WARN, found ? "issuer-fetched" : "issuer-not-fetched", text);
	if (found) {
		opening_reconnect(conn, opening_look);
		return;
	}
	second_pass(conn);
	if (carry_out(conn))
		refuse_upstream(conn);
}

/* A server's certificate must not make the proxy connect to where only a rule may lead: no name counts here. */
static bool permits_issuer(const struct hostport *to, void *ctx)
{
	struct conn *conn = ctx;
	struct policy_facts facts = {
		.known = POLICY_FACT_CLIENT | POLICY_FACT_SERVER | POLICY_FACT_PORT,
		.client = conn->peer,
		.server = *to,
		.port = to->port,
	};
	return !worker_is_own(conn->worker, to) && policy_permits_target(conn->opening->policy, &facts);
}

static void issuer_late(struct conn *conn)
{
	conn_end(conn, ENDING_TIMEOUT, "timeout", "fetching the issuer took longer than all its deadlines");
}

/* True: the connection waits for a certificate that the server should have sent. Once per connection. */
static bool fetch_issuer(struct conn *conn)
{
	struct opening *o = conn->opening;
	const char *why;
	if (o->aia_url[0] == '\0' || o->aia_tried || !opening_may_reconnect(conn, &why))
		return false;
	o->aia_tried = true;
	o->aia = aia_fetch(conn->worker->aia, o->aia_url, permits_issuer, issuer_fetched, conn);
	if (!o->aia)
		return false;
	leg_free(&conn->leg2);
	conn_drop_server(conn);
	conn_enter(conn, opening_wait, issuer_late, 2 * AIA_TIMEOUT_NS);
	return true;
}

static void upstream_failed(struct conn *conn, enum leg_result result)
{
	char why[200], text[256];
	struct opening *o = conn->opening;
	if (conn->worker->mine && local_settles_failure(conn, result))
		return;
	if (o->judged && o->verified.fault != VERIFY_OK) {
		if (fetch_issuer(conn))
			return;
		second_pass(conn);
		if (carry_out(conn))
			refuse_upstream(conn);
		return;
	}
	if (o->accord.on && accord_settles_failure(conn, result))
		return;
	leg_fault_text(&conn->leg2, why, sizeof(why));
	snprintf(text, sizeof(text), "server: %s", why);
	int alert = conn->leg2.alert_received;
	bool policy_alert = alert == ALERT_UNRECOGNIZED_NAME || alert == ALERT_NO_APPLICATION_PROTOCOL ||
	                    alert == ALERT_PROTOCOL_VERSION || alert == ALERT_INSUFFICIENT_SECURITY;
	bool alerted = result == LEG_ALERT && policy_alert;
	opening_fail(conn, alerted ? (uint8_t)alert : ALERT_HANDSHAKE_FAILURE, "upstream-handshake", text);
}

static void note_handshake(struct conn *conn)
{
	struct opening *o = conn->opening;
	struct worker *worker = conn->worker;
	worker->counts.handshakes[2]++;
	/* Only sessions of handshakes that verified are kept, under what they verified for. */
	bool resumed = SSL_session_reused(conn->leg2.ssl);
	worker->counts.resumed[2] += (uint64_t)resumed;
	if (!o->judged && resumed)
		o->verified = (struct verify_verdict){
			.fault = VERIFY_OK, .depth = -1, .text = "verified when its session was made"};
	if (resumed && o->session_asked)
		conn->session_asked = o->certificate_requested = true;
	report_tls(conn, 2, &conn->leg2, &o->verified);
}

static void upstream_ready(struct conn *conn)
{
	struct opening *o = conn->opening;
	/* Nothing more is read from the client: the parsed hello points into what is held. */
	if (conn->client.hung) {
		conn_end(conn, ENDING_DONE, "client-left", "the client closed before it was answered");
		return;
	}
	enum leg_result result = leg_handshake(&conn->leg2);
	if (o->certificate_lacking && !o->certificate_empty && result != LEG_OK) {
		/* libssl stands still before the client's Certificate: nothing was promised to the server yet. */
		second_pass(conn);
		if (!carry_out(conn))
			return;
		o->certificate_empty = true;
		result = leg_handshake(&conn->leg2);
	}
	/* A server that has refused, or demands the client's approval, has said all there is to know. */
	bool paused = result == LEG_WAIT && o->accord.paused;
	if (result == LEG_WAIT && !paused)
		return;
	if (result != LEG_OK && !paused) {
		upstream_failed(conn, result);
		return;
	}
	if (conn->worker->mine && !local_passed(conn))
		return;
	if (!paused)
		note_handshake(conn);
	second_pass(conn);
	if (!carry_out(conn))
		return;
	if (o->verified.fault != VERIFY_OK && o->verdict.options.invalid != POLICY_INVALID_MIRROR)
		refuse_upstream(conn);
	else
		inspect(conn);
}

/* Step 3. */

void opening_look(struct conn *conn)
{
	struct error err;
	switch (upstream_begin(conn, &err)) {
	case UPSTREAM_OFFERED:
		conn_enter(conn, upstream_ready, opening_handshake_late, conn->worker->config->handshake_timeout_ns);
		break;
	case UPSTREAM_NOTHING_SHARED:
		opening_block(conn, ALERT_HANDSHAKE_FAILURE, "nothing-shared", err.text);
		break;
	default:
		opening_fail(conn, ALERT_INTERNAL_ERROR, "out-of-memory", err.text);
	}
}
