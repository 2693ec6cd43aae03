#include "proxy/accord_opening.h"
#include "proxy/accord_serve.h"
#include "proxy/answer.h"
#include "proxy/conn.h"
#include "proxy/local_parts.h"
#include "proxy/opening.h"
#include "proxy/opening_parts.h"
#include "proxy/relay.h"
#include "proxy/report.h"
#include "proxy/worker.h"
#include "tls/alert.h"
#include "tls/list.h"
#include "tls/sigalg.h"
#include "tls/suite.h"

#include <stdio.h>

/* Step 5. */

static void learn_refusal(struct conn *conn, int alert)
{
	char peer[HOSTPORT_TEXT];
	hostport_ip_text(&conn->peer, peer);
	keeper_client_refusal_add(conn->worker->keeper, bytes_str(peer), bytes_str(conn->opening->name.text), alert);
}

static void answer_failed(struct conn *conn, enum leg_result result)
{
	char why[200], text[256];
	if (accord_serves(conn)) {
		accord_serve_failed(conn);
		return;
	}
	leg_fault_text(&conn->leg1, why, sizeof(why));
	int alert = conn->leg1.alert_received;
	bool distrust =
		result == LEG_ALERT ? alert_means_distrust((uint8_t)alert) : result == LEG_END || result == LEG_RESET;
	leg_notify(&conn->leg2);
	if (conn->opening->accord.on && result == LEG_ALERT)
		distrust = true; /* the checks end in several alerts (docs/accord.md, 5.7) */
	if (!distrust) {
		snprintf(text, sizeof(text), "client: %s", why);
		conn_end(conn, ENDING_FAILED, "client-handshake", text);
		return;
	}
	learn_refusal(conn, result == LEG_ALERT ? alert : REFUSAL_CLOSED);
	snprintf(text, sizeof(text), "the client does not accept the %s: %s",
		conn->opening->accord.on ? "proxy or its proof" : "leaf", why);
	if (conn->opening->accord.on)
		accord_note_not_taken(conn, text);
	conn_end(conn, ENDING_REFUSED, "client-distrusts", text);
}

void opening_answered(struct conn *conn)
{
	if (conn->opening->accord.on)
		accord_note_taken(conn);
	conn->worker->counts.inspected++;
	opening_free(conn);
	relay_begin(conn);
}

static void answer_ready(struct conn *conn)
{
	enum leg_result result = leg_handshake(&conn->leg1);
	if (result == LEG_WAIT)
		return;
	if (result != LEG_OK) {
		answer_failed(conn, result);
		return;
	}
	struct worker *worker = conn->worker;
	worker->counts.handshakes[1]++;
	worker->counts.resumed[1] += (uint64_t)SSL_session_reused(conn->leg1.ssl);
	report_tls(conn, 1, &conn->leg1, NULL);
	if (accord_serves(conn) && !accord_serve_passed(conn))
		return;
	if (conn->opening->accord.paused)
		accord_pass_approval(conn);
	else
		opening_answered(conn);
}

void opening_handshake_late(struct conn *conn)
{
	bool client = conn->leg1.ssl != NULL;
	if (!client)
		conn_alert(conn, ALERT_INTERNAL_ERROR);
	conn_end(conn, ENDING_TIMEOUT, client ? "client-handshake-timeout" : "upstream-handshake-timeout",
		client ? "the client did not finish its handshake in time"
		       : "the server did not finish its handshake in time");
}

/* One audit entry per inspected connection, queued before the answer. Else the reason: it must not be inspected. */
const char *opening_unaudited(struct conn *conn, const char *name)
{
	const char *closed = keeper_client_audit_closed(conn->worker->keeper);
	if (closed)
		return closed;
	struct opening *o = conn->opening;
	char peer[HOSTPORT_TEXT], server[HOSTPORT_TEXT];
	hostport_ip_text(&conn->peer, peer);
	hostport_text(&conn->origin, server);
	struct audit_entry entry = {.kind = AUDIT_INSPECTED};
	audit_entry_add(&entry, AUDIT_N("worker", conn->worker->number));
	audit_entry_add(&entry, AUDIT_N("flow", conn->flow.id));
	audit_entry_add(&entry, AUDIT_N("generation", o->generation));
	audit_entry_add(&entry, AUDIT_C("client", bytes_str(peer)));
	audit_entry_add(&entry, AUDIT_C("name", bytes_str(name)));
	audit_entry_add(&entry, AUDIT_C("server", bytes_str(server)));
	audit_entry_add(&entry, AUDIT_T("rule", bytes_str(o->verdict.label)));
	bool writer = o->accord.on && conn->worker->config->accord_role == CONFIG_ACCORD_WRITER;
	audit_entry_add(&entry, AUDIT_T("role", bytes_str(writer ? "writer" : "reader")));
	char accord[ACCORD_SUMMARY];
	if (o->accord.on) {
		accord_summary(conn, accord);
		audit_entry_add(&entry, AUDIT_T("accord", bytes_str(accord)));
	}
	return keeper_client_audit(conn->worker->keeper, &entry) ? NULL : "the queue to the audit log is full";
}

static void audit_closed(struct conn *conn, const char *why)
{
	if (conn->worker->config->audit_failure == CONFIG_AUDIT_BYPASS)
		opening_aside_afresh(conn, "the audit log is closed");
	else
		opening_block(conn, ALERT_INTERNAL_ERROR, "audit-closed", why);
}

/* Nothing can make this end in stepping aside any more but the audit log. */
bool opening_begin_inspection(struct conn *conn)
{
	struct opening *o = conn->opening;
	const char *closed = opening_unaudited(conn, o->name.text);
	if (closed) {
		audit_closed(conn, closed);
		return false;
	}
	if (conn->worker->mine && !local_opened(conn))
		return false;
	report_verdict(conn, ACTION_INSPECT, 2, o->verdict.label,
		conn->worker->mine    ? local_reason(conn)
		: o->accord.on        ? "by Accord"
		: accord_serves(conn) ? "as the server"
				      : "");
	if (o->verdict.options.until != POLICY_UNTIL_END)
		conn->flow.until = o->verdict.options.until;
	return true;
}

void opening_await_answer(struct conn *conn)
{
	conn_enter(conn, answer_ready, opening_handshake_late, conn->worker->config->handshake_timeout_ns);
}

/* The leaf is at hand. */
static void answer(struct conn *conn, const struct keeper_leaf *leaf)
{
	struct error err;
	if (!opening_begin_inspection(conn))
		return;
	if (!answer_begin(conn, leaf, &err)) {
		opening_fail(conn, ALERT_INTERNAL_ERROR, "answer-failed", err.text);
		return;
	}
	opening_await_answer(conn);
}

static void leaf_done(enum keeper_result result, const struct keeper_leaf *leaf, const char *text, void *ctx)
{
	struct conn *conn = ctx;
	conn->opening->leaf_wait = NULL;
	if (result == KEEPER_OK)
		answer(conn, leaf);
	else if (result == KEEPER_LEAF_NOT_PERMITTED)
		opening_aside_afresh(conn, "the CA is not permitted to vouch for this name");
	else
		opening_fail(conn, ALERT_INTERNAL_ERROR, "no-leaf", text);
}

/* In TLS 1.2 the suite names the kind of key. */
static bool offers_ecdsa_suite(const struct client_hello *hello)
{
	struct bytes list = hello->suites;
	uint16_t value;
	while (list_next(&list, &value)) {
		const struct suite *suite = suite_find(value);
		if (suite && suite->auth == SUITE_AUTH_ECDSA && suite->strength == SUITE_STRONG)
			return true;
	}
	return false;
}

enum keeper_key opening_leaf_key(const struct client_hello *hello, int version)
{
	bool signs = !hello->has_sigalgs || list_holds(hello->sigalgs, SIGALG_ECDSA_SECP256R1_SHA256);
	bool fits = version >= TLS1_3_VERSION || offers_ecdsa_suite(hello);
	return signs && fits ? KEEPER_KEY_ECDSA : KEEPER_KEY_RSA;
}

/* Waiting for the keeper: the server may send tickets meanwhile, which the relay will read. */
static void leaf_pending(struct conn *conn)
{
	if (conn->client.hung)
		conn_end(conn, ENDING_DONE, "client-left", "the client closed before it was answered");
}

void opening_get_leaf(struct conn *conn)
{
	struct opening *o = conn->opening;
	const char *closed = keeper_client_audit_closed(conn->worker->keeper);
	if (closed) {
		audit_closed(conn, closed);
		return;
	}
	X509 *cert = opening_server(conn);
	uint8_t *der = NULL;
	int len = cert ? i2d_X509(cert, &der) : -1;
	if (len <= 0) {
		opening_fail(conn, ALERT_INTERNAL_ERROR, "no-leaf", "the server's certificate cannot be encoded again");
		return;
	}
	struct keeper_leaf_request request = {
		.key = opening_leaf_key(&o->hello, SSL_version(conn->leg2.ssl)),
		.faults = o->verified.faults,
		.host = bytes_str(o->name.text),
		.upstream = bytes_of(der, (size_t)len),
	};
	struct keeper_leaf leaf;
	if (keeper_client_leaf_find(conn->worker->keeper, &request, &leaf)) {
		answer(conn, &leaf);
	} else {
		o->leaf_wait = keeper_client_leaf(conn->worker->keeper, &request,
			loop_now_ns(conn->worker->loop) + conn->worker->config->handshake_timeout_ns, leaf_done, conn);
		conn_stage(conn, leaf_pending, opening_handshake_late);
		if (!o->leaf_wait)
			opening_fail(conn, ALERT_INTERNAL_ERROR, "out-of-memory", "no memory for another connection");
	}
	OPENSSL_free(der);
}
