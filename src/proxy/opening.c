#include "proxy/opening.h"

#include "pki/summary.h"
#include "proxy/answer.h"
#include "proxy/conn.h"
#include "proxy/intake.h"
#include "proxy/plain_http.h"
#include "proxy/relay.h"
#include "proxy/report.h"
#include "proxy/tunnel.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"
#include "tls/alert.h"
#include "tls/list.h"
#include "tls/record.h"
#include "tls/sigalg.h"
#include "tls/suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

bool opening_new(struct conn *conn)
{
	struct opening *o = calloc(1, sizeof(*o));
	if (!o)
		return false;
	/* Each octet of a hello may come in a record of its own, six octets then. Request heads have their own cap. */
	uint64_t most = 6 * conn->worker->config->hello_octets;
	o->held.cap = most > HTTP_MAX_HEAD + 1 ? (size_t)most : HTTP_MAX_HEAD + 1;
	o->policy = policy_keep(conn->worker->snapshot.policy);
	o->generation = conn->worker->snapshot.generation;
	conn->opening = o;
	return true;
}

void opening_free(struct conn *conn)
{
	struct opening *o = conn->opening;
	if (!o)
		return;
	conn->opening = NULL;
	dial_cancel(o->dial);
	aia_cancel(o->aia);
	if (o->leaf_wait)
		keeper_wait_cancel(o->leaf_wait);
	buffer_clear(&o->held);
	buffer_clear(&o->early);
	plain_http_free(o->plain);
	free(o->scratch);
	policy_drop(o->policy);
	free(o);
}

bool opening_fill(struct conn *conn)
{
	struct buffer *held = &conn->opening->held;
	while (conn->client.readable) {
		size_t space;
		uint8_t *to = buffer_space(held, &space);
		if (!to)
			return true;
		ssize_t n = recv(conn->client.fd, to, space, 0);
		if (n > 0) {
			held->len += (size_t)n;
			if ((size_t)n < space && !conn->client.hung)
				conn->client.readable = false;
		} else if (n < 0 && errno == EAGAIN) {
			conn->client.readable = false;
		} else if (n == 0) {
			conn->client.readable = false;
			conn->half[FLOW_UP].ended = true;
			/* Who has asked in plain HTTP may close that side while the answer comes. */
			return held->len > 0 || conn->opening->plain || !opening_starved(conn);
		} else if (errno != EINTR) {
			conn_abort(conn, "reset", "client: connection lost");
			return false;
		}
	}
	return true;
}

bool opening_starved(struct conn *conn)
{
	if (!conn->half[FLOW_UP].ended)
		return false;
	conn_end(conn, ENDING_DONE, "client-left", "the client closed before anything was decided");
	return true;
}

/* Ways out. */

static void block(struct conn *conn, uint8_t alert, const char *name, const char *text)
{
	conn->worker->counts.blocked++;
	conn_alert(conn, alert);
	conn_end(conn, ENDING_BLOCKED, name, text);
}

static void fail(struct conn *conn, uint8_t alert, const char *name, const char *text)
{
	conn->worker->counts.failed++;
	conn_alert(conn, alert);
	conn_end(conn, ENDING_FAILED, name, text);
}

/* The held octets, hello and all, go to the server as they came; nobody looks any more. */
static void step_aside(struct conn *conn, unsigned pass, const char *rule, const char *reason)
{
	report_verdict(conn, ACTION_BYPASS, pass, rule, reason);
	conn->worker->counts.bypassed++;
	struct opening *o = conn->opening;
	conn->opening = NULL;
	tunnel_begin(conn, buffer_bytes(&o->held), buffer_bytes(&o->early));
	struct conn husk = {.opening = o, .worker = conn->worker};
	opening_free(&husk);
}

static void aside_dialled(struct conn *conn, const struct dial_result *result)
{
	if (result->failure != DIAL_CONNECTED) {
		fail(conn, ALERT_INTERNAL_ERROR, dial_failure_name(result->failure), result->text);
		return;
	}
	if (!conn_take_server(conn, result->fd)) {
		fail(conn, ALERT_INTERNAL_ERROR, "out-of-descriptors", "the fresh connection could not be registered");
		return;
	}
	conn->origin = result->to;
	report_upstream(conn);
	struct opening *o = conn->opening;
	step_aside(conn, 2, o->verdict.label, o->aside_reason ? o->aside_reason : "");
}

static void wait_for_nothing(struct conn *conn)
{
	(void)conn;
}

static void dial_late(struct conn *conn)
{
	conn_end(conn, ENDING_TIMEOUT, "timeout", "connecting took longer than all its deadlines");
}

static bool permits(const struct hostport *to, void *ctx)
{
	struct conn *conn = ctx;
	struct policy_facts facts = conn->opening->facts;
	if (worker_is_own(conn->worker, to))
		return false;
	facts.server = *to;
	facts.known |= POLICY_FACT_SERVER;
	return policy_permits_target(conn->opening->policy, &facts);
}

static void dial_done(const struct dial_result *result, void *ctx)
{
	struct conn *conn = ctx;
	conn->opening->dial = NULL;
	conn->opening->dialled(conn, result);
}

/* Connects to the target, or to `known` when it is given. */
static void dial(struct conn *conn, const struct hostport *known,
	void (*dialled)(struct conn *conn, const struct dial_result *result))
{
	struct opening *o = conn->opening;
	const struct config *config = conn->worker->config;
	struct dial_request request = {
		.target = &o->target,
		.known = known,
		.source = hostport_is_none(&o->source) ? NULL : &o->source,
		.through = &config->upstream_proxy,
		.send_proxy = config->send_proxy_protocol,
		.client = &conn->peer,
		.no_tunnel = o->plain_go != NULL,
		.permits = permits,
		.dns_ns = config->dns_timeout_ns,
		.connect_ns = config->connect_timeout_ns,
	};
	o->dialled = dialled;
	o->dial = dial_start(conn->worker->loop, conn->worker->resolver, &request, dial_done, conn);
	if (!o->dial) {
		intake_refuse(conn, ENDING_FAILED, 502, "out-of-memory", "no memory for another connection");
		return;
	}
	conn_stage(conn, wait_for_nothing, dial_late);
	/* The dial keeps its own deadlines; this one only guards against its never answering. */
	conn_deadline(conn, 2 * (config->dns_timeout_ns + config->connect_timeout_ns));
}

/* After the second look: the server is dropped, the held hello goes to a fresh connection. */
static void step_aside_for(struct conn *conn, const char *reason)
{
	conn->opening->aside_reason = reason;
	if (conn->opening->agreed) {
		block(conn, ALERT_ACCESS_DENIED, "cannot-step-aside",
			"stepping aside came too late: the server was asked for STARTTLS on a connection that is used "
			"up");
		return;
	}
	leg_free(&conn->leg2);
	conn_drop_server(conn);
	dial(conn, &conn->origin, aside_dialled);
}

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
	leg_fault_text(&conn->leg1, why, sizeof(why));
	int alert = conn->leg1.alert_received;
	bool distrust =
		result == LEG_ALERT ? alert_means_distrust((uint8_t)alert) : result == LEG_END || result == LEG_RESET;
	leg_notify(&conn->leg2);
	if (!distrust) {
		snprintf(text, sizeof(text), "client: %s", why);
		conn_end(conn, ENDING_FAILED, "client-handshake", text);
		return;
	}
	learn_refusal(conn, result == LEG_ALERT ? alert : REFUSAL_CLOSED);
	snprintf(text, sizeof(text), "the client does not accept the leaf: %s", why);
	conn_end(conn, ENDING_REFUSED, "client-distrusts", text);
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
	worker->counts.inspected++;
	report_tls(conn, 1, &conn->leg1, NULL);
	opening_free(conn);
	relay_begin(conn);
}

static void handshake_late(struct conn *conn)
{
	bool client = conn->leg1.ssl != NULL;
	if (!client)
		conn_alert(conn, ALERT_INTERNAL_ERROR);
	conn_end(conn, ENDING_TIMEOUT, client ? "client-handshake-timeout" : "upstream-handshake-timeout",
		client ? "the client did not finish its handshake in time"
		       : "the server did not finish its handshake in time");
}

void opening_answer(struct conn *conn, const struct keeper_leaf *leaf)
{
	struct error err;
	if (!answer_begin(conn, leaf, &err)) {
		fail(conn, ALERT_INTERNAL_ERROR, "answer-failed", err.text);
		return;
	}
	conn_enter(conn, answer_ready, handshake_late, conn->worker->config->handshake_timeout_ns);
}

static void leaf_done(enum keeper_result result, const struct keeper_leaf *leaf, const char *text, void *ctx)
{
	struct conn *conn = ctx;
	conn->opening->leaf_wait = NULL;
	if (result == KEEPER_OK)
		opening_answer(conn, leaf);
	else if (result == KEEPER_LEAF_NOT_PERMITTED)
		step_aside_for(conn, "the CA is not permitted to vouch for this name");
	else
		fail(conn, ALERT_INTERNAL_ERROR, "no-leaf", text);
}

/* One audit entry per inspected connection, queued before the answer. Else the reason: it must not be inspected. */
static const char *unaudited(struct conn *conn, const char *name)
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
	audit_entry_add(&entry, AUDIT_T("role", bytes_str("reader")));
	return keeper_client_audit(conn->worker->keeper, &entry) ? NULL : "the queue to the audit log is full";
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

static enum keeper_key leaf_key_for(const struct client_hello *hello, int version)
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

static void get_leaf(struct conn *conn)
{
	struct opening *o = conn->opening;
	X509 *cert = SSL_get0_peer_certificate(conn->leg2.ssl);
	uint8_t *der = NULL;
	int len = cert ? i2d_X509(cert, &der) : -1;
	if (len <= 0) {
		fail(conn, ALERT_INTERNAL_ERROR, "no-leaf", "the server's certificate cannot be encoded again");
		return;
	}
	struct keeper_leaf_request request = {
		.key = leaf_key_for(&o->hello, SSL_version(conn->leg2.ssl)),
		.faults = o->verified.faults,
		.host = bytes_str(o->name.text),
		.upstream = bytes_of(der, (size_t)len),
	};
	struct keeper_leaf leaf;
	if (keeper_client_leaf_find(conn->worker->keeper, &request, &leaf)) {
		opening_answer(conn, &leaf);
	} else {
		o->leaf_wait = keeper_client_leaf(conn->worker->keeper, &request,
			loop_now_ns(conn->worker->loop) + conn->worker->config->handshake_timeout_ns, leaf_done, conn);
		conn_stage(conn, leaf_pending, handshake_late);
		if (!o->leaf_wait)
			fail(conn, ALERT_INTERNAL_ERROR, "out-of-memory", "no memory for another connection");
	}
	OPENSSL_free(der);
}

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
	name_issuer(o, SSL_get0_peer_certificate(conn->leg2.ssl));
	o->facts.faults = o->verified.faults;
	o->facts.issuer_cn = bytes_str(o->issuer_cn);
	o->facts.issuer_o = bytes_str(o->issuer_o);
	o->facts.client_certificate_requested = o->certificate_asked;
	o->facts.known |= POLICY_PASS_SECOND;
	(void)policy_decide(o->policy, &o->facts, &o->verdict);
}

/* What happens to a connection whose upstream can be had, by the verdict. False: it is settled. */
static bool carry_out(struct conn *conn)
{
	struct opening *o = conn->opening;
	if (o->verdict.action == POLICY_BLOCK) {
		report_verdict(conn, ACTION_BLOCK, 2, o->verdict.label, "");
		block(conn, ALERT_ACCESS_DENIED, "blocked", "blocked by rule");
		return false;
	}
	if (o->verdict.action == POLICY_BYPASS || o->certificate_asked) {
		step_aside_for(conn, o->certificate_asked ? "the server asks for a client certificate" : NULL);
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
	fail(conn, alert_for(o->verified.fault), verify_fault_name(o->verified.fault), text);
}

static void inspect(struct conn *conn)
{
	struct opening *o = conn->opening;
	struct error err;
	if (!upstream_acceptable(conn, &err)) {
		report_notice(conn, SEVERITY_WARN, "upstream-weak", err.text);
		fail(conn, ALERT_INSUFFICIENT_SECURITY, "upstream-weak", err.text);
		return;
	}
	const char *closed = unaudited(conn, o->name.text);
	if (closed) {
		if (conn->worker->config->audit_failure == CONFIG_AUDIT_BYPASS)
			step_aside_for(conn, "the audit log is closed");
		else
			block(conn, ALERT_INTERNAL_ERROR, "audit-closed", closed);
		return;
	}
	report_verdict(conn, ACTION_INSPECT, 2, o->verdict.label, "");
	if (o->verdict.options.until != POLICY_UNTIL_END)
		conn->flow.until = o->verdict.options.until;
	get_leaf(conn);
}

/* Step 3 once more: the issuer that the server did not send was fetched. */

static void look_upstream(struct conn *conn);

static void again_dialled(struct conn *conn, const struct dial_result *result)
{
	if (result->failure != DIAL_CONNECTED) {
		fail(conn, ALERT_INTERNAL_ERROR, dial_failure_name(result->failure), result->text);
		return;
	}
	if (!conn_take_server(conn, result->fd)) {
		fail(conn, ALERT_INTERNAL_ERROR, "out-of-descriptors", "the fresh connection could not be registered");
		return;
	}
	conn->origin = result->to;
	look_upstream(conn);
}

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
		dial(conn, &conn->origin, again_dialled);
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
	if (o->aia_url[0] == '\0' || o->aia_tried || o->agreed)
		return false;
	o->aia_tried = true;
	o->aia = aia_fetch(conn->worker->aia, o->aia_url, permits_issuer, issuer_fetched, conn);
	if (!o->aia)
		return false;
	leg_free(&conn->leg2);
	conn_drop_server(conn);
	conn_enter(conn, wait_for_nothing, issuer_late, 2 * AIA_TIMEOUT_NS);
	return true;
}

static void upstream_failed(struct conn *conn, enum leg_result result)
{
	char why[200], text[256];
	struct opening *o = conn->opening;
	if (o->judged && o->verified.fault != VERIFY_OK) {
		if (fetch_issuer(conn))
			return;
		second_pass(conn);
		if (carry_out(conn))
			refuse_upstream(conn);
		return;
	}
	leg_fault_text(&conn->leg2, why, sizeof(why));
	snprintf(text, sizeof(text), "server: %s", why);
	int alert = conn->leg2.alert_received;
	bool policy_alert = alert == ALERT_UNRECOGNIZED_NAME || alert == ALERT_NO_APPLICATION_PROTOCOL ||
	                    alert == ALERT_PROTOCOL_VERSION || alert == ALERT_INSUFFICIENT_SECURITY;
	bool alerted = result == LEG_ALERT && policy_alert;
	fail(conn, alerted ? (uint8_t)alert : ALERT_HANDSHAKE_FAILURE, "upstream-handshake", text);
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
	if (o->certificate_asked && result != LEG_OK) {
		/* libssl stands still before the client's Certificate: nothing was promised to the server yet. */
		second_pass(conn);
		(void)carry_out(conn);
		return;
	}
	if (result == LEG_WAIT)
		return;
	if (result != LEG_OK) {
		upstream_failed(conn, result);
		return;
	}
	struct worker *worker = conn->worker;
	worker->counts.handshakes[2]++;
	worker->counts.resumed[2] += (uint64_t)SSL_session_reused(conn->leg2.ssl);
	/* Only sessions of handshakes that verified are kept, under what they verified for. */
	if (!o->judged && SSL_session_reused(conn->leg2.ssl))
		o->verified = (struct verify_verdict){
			.fault = VERIFY_OK, .depth = -1, .text = "verified when its session was made"};
	report_tls(conn, 2, &conn->leg2, &o->verified);
	second_pass(conn);
	if (!carry_out(conn))
		return;
	if (o->verified.fault != VERIFY_OK && o->verdict.options.invalid != POLICY_INVALID_MIRROR)
		refuse_upstream(conn);
	else
		inspect(conn);
}

/* Step 3. */

static void look_upstream(struct conn *conn)
{
	struct error err;
	switch (upstream_begin(conn, &err)) {
	case UPSTREAM_OFFERED:
		conn_enter(conn, upstream_ready, handshake_late, conn->worker->config->handshake_timeout_ns);
		break;
	case UPSTREAM_NOTHING_SHARED:
		block(conn, ALERT_HANDSHAKE_FAILURE, "nothing-shared", err.text);
		break;
	default:
		fail(conn, ALERT_INTERNAL_ERROR, "out-of-memory", err.text);
	}
}

/* Step 2. */

static bool name_client_wants(struct opening *o)
{
	if (o->hello.sni == SNI_OK)
		return subject_name_parse(o->hello.server_name, &o->name) == NAME_OK;
	return subject_name_parse(bytes_str(o->target.host), &o->name) == NAME_OK;
}

static void first_facts(struct conn *conn)
{
	struct opening *o = conn->opening;
	char peer[HOSTPORT_TEXT];
	hostport_ip_text(&conn->peer, peer);
	const struct refusal *refusal =
		keeper_client_refusal(conn->worker->keeper, bytes_str(peer), bytes_str(o->name.text));
	o->facts.protocol = POLICY_PROTOCOL_TLS;
	/* A literal address is no name: as octets it fits no rule, and keeps the CONNECT name from standing in for it. */
	o->facts.sni = o->hello.sni == SNI_ABSENT ? BYTES_NONE : o->hello.server_name;
	/* A reverse listener's target is the operator's word, not the client's: beside an SNI it says nothing. */
	if (o->intake == INTAKE_REVERSE && o->hello.sni != SNI_ABSENT)
		o->facts.connect_name = BYTES_NONE;
	o->facts.alpn = o->hello.alpn;
	o->facts.ja4 = bytes_str(o->ja4);
	o->facts.refusals = refusal ? (uint32_t)refusal->count : 0;
	o->facts.known |= POLICY_PASS_FIRST;
}

static void first_pass(struct conn *conn)
{
	struct opening *o = conn->opening;
	first_facts(conn);
	bool decided = policy_decide(o->policy, &o->facts, &o->verdict);
	if (decided && o->verdict.action == POLICY_BLOCK) {
		report_verdict(conn, ACTION_BLOCK, 1, o->verdict.label, "");
		block(conn, ALERT_ACCESS_DENIED, "blocked", "blocked by rule");
	} else if (decided && o->verdict.action == POLICY_BYPASS) {
		step_aside(conn, 1, o->verdict.label, "");
	} else {
		look_upstream(conn);
	}
}

/* Step 1. */

static void judge_hello(struct conn *conn);
static void go_to_sni(struct conn *conn);

static void hello_known(struct conn *conn)
{
	struct opening *o = conn->opening;
	enum hello_result result = client_hello_parse(o->collect.body, &o->hello);
	if (result != HELLO_OK) {
		fail(conn, ALERT_DECODE_ERROR, "hello-malformed", hello_result_text(result));
		return;
	}
	(void)!ja3(&o->hello, o->ja3);
	(void)!ja4(&o->hello, JA4_TCP, o->ja4);
	report_hello(conn, &o->hello, o->ja3, o->ja4);
	if (o->by_sni && conn->server.fd < 0) {
		go_to_sni(conn);
		return;
	}
	judge_hello(conn);
}

static void judge_hello(struct conn *conn)
{
	struct opening *o = conn->opening;
	bool bad_sni = o->hello.sni != SNI_OK && o->hello.sni != SNI_ABSENT && o->hello.sni != SNI_ADDRESS;
	if (bad_sni) {
		fail(conn, ALERT_UNRECOGNIZED_NAME, "sni-malformed", hello_sni_text(o->hello.sni));
	} else if (!name_client_wants(o)) {
		fail(conn, ALERT_UNRECOGNIZED_NAME, "no-name", "neither SNI nor target is a name that can be verified");
	} else if (client_hello_max_version(&o->hello) < TLS_VERSION_12) {
		block(conn, ALERT_PROTOCOL_VERSION, "version-too-old", "the client offers nothing above TLS 1.1");
	} else {
		first_pass(conn);
	}
}

static void plain_begin(struct conn *conn);

static void collect_ready(struct conn *conn)
{
	struct opening *o = conn->opening;
	if (!opening_fill(conn))
		return;
	enum collect_result result = collect_more(&o->collect, buffer_bytes(&o->held));
	if (result == COLLECT_NEED_MORE && o->held.len < o->held.cap) {
		(void)!opening_starved(conn);
		return;
	}
	if (result == COLLECT_NEED_MORE)
		result = COLLECT_TOO_LONG;
	/* What STARTTLS promised to be a hello never was plaintext: it would be promised again, for ever. */
	bool promised = o->starttls.stage == STARTTLS_OVER && o->starttls.final == STARTTLS_HELLO;
	if (result == COLLECT_DONE)
		hello_known(conn);
	else if (result == COLLECT_NOT_TLS && conn->server.fd < 0)
		conn_end(conn, ENDING_FAILED, "not-tls",
			"what is no TLS says nothing about where to go on this listener");
	else if (result == COLLECT_NOT_TLS && !promised)
		plain_begin(conn);
	else
		fail(conn, collect_alert(result), "hello-malformed", collect_result_text(result));
}

static void hello_late(struct conn *conn)
{
	conn_end(conn, ENDING_TIMEOUT, "hello-timeout", "the client did not finish its ClientHello in time");
}

static void collect_begin(struct conn *conn)
{
	struct opening *o = conn->opening;
	free(o->scratch);
	o->scratch = malloc((size_t)conn->worker->config->hello_octets);
	if (!o->scratch) {
		fail(conn, ALERT_INTERNAL_ERROR, "out-of-memory", "no memory for another hello");
		return;
	}
	collect_init(&o->collect, o->scratch, (size_t)conn->worker->config->hello_octets);
	conn_enter(conn, collect_ready, hello_late, conn->worker->config->hello_timeout_ns);
}

/* Not TLS, or not yet. */

/* SSLRequest and GSSENCRequest: PostgreSQL's clients speak first, at whatever port. */
static bool asks_postgresql(struct bytes in)
{
	static const uint8_t ssl[] = {0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f}, gss[] = {0, 0, 0, 8, 4, 0xd2, 0x16, 0x30};
	return bytes_equal(in, bytes_of(ssl, sizeof(ssl))) || bytes_equal(in, bytes_of(gss, sizeof(gss)));
}

/* A tunnel that was watched for TLS is none: from now on nobody looks. */
static void plain_settled(struct conn *conn)
{
	report_verdict(conn, ACTION_BYPASS, 1, conn->opening->verdict.label, "no TLS: relayed as it is");
	conn->worker->counts.bypassed++;
	opening_free(conn);
}

static void plain_begin(struct conn *conn)
{
	struct opening *o = conn->opening;
	/* There is nothing to look at upstream: what the last pass would add stays empty, and the verdict is final. */
	unsigned known = o->facts.known;
	o->facts.protocol = POLICY_PROTOCOL_PLAIN;
	o->facts.known |= POLICY_PASS_SECOND;
	(void)policy_decide(o->policy, &o->facts, &o->verdict);
	if (o->verdict.action == POLICY_BLOCK) {
		report_verdict(conn, ACTION_BLOCK, 1, o->verdict.label, "no TLS");
		conn->worker->counts.blocked++;
		conn_end(conn, ENDING_BLOCKED, "blocked", "blocked by rule");
		return;
	}
	o->facts.known = known;
	if (o->starttls.protocol == STARTTLS_NONE && asks_postgresql(buffer_bytes(&o->held)))
		starttls_begin(&o->starttls, STARTTLS_POSTGRESQL);
	if (o->held.len > 0 && o->starttls.protocol == STARTTLS_NONE) {
		step_aside(conn, 1, o->verdict.label, "no TLS: relayed as it is");
		return;
	}
	struct buffer first = o->held, early = o->early;
	o->held = (struct buffer){.cap = first.cap};
	o->early = (struct buffer){.cap = early.cap};
	bool on = first.len == 0 || opening_watch(conn, FLOW_UP, buffer_bytes(&first));
	/* The watch may have settled already: then nobody looks any more. */
	on = on && (early.len == 0 || !conn->opening || opening_watch(conn, FLOW_DOWN, buffer_bytes(&early)));
	if (on)
		tunnel_begin(conn, buffer_bytes(&first), buffer_bytes(&early));
	buffer_clear(&first);
	buffer_clear(&early);
}

/* The server spoke first in no protocol that is known here: the client's first octets tell whether TLS follows. */
static bool watch_unknown(struct conn *conn, enum flow_direction direction, struct bytes piece)
{
	if (direction == FLOW_DOWN)
		return true;
	if (piece.data[0] == RECORD_HANDSHAKE && buffer_add(&conn->opening->held, piece)) {
		conn->opening->agreed = true;
		collect_begin(conn);
		return false;
	}
	plain_settled(conn);
	return true;
}

bool opening_watch(struct conn *conn, enum flow_direction direction, struct bytes piece)
{
	struct opening *o = conn->opening;
	enum starttls_side side = direction == FLOW_UP ? STARTTLS_CLIENT : STARTTLS_SERVER;
	if (o->starttls.protocol == STARTTLS_NONE && direction == FLOW_DOWN)
		starttls_begin(&o->starttls, starttls_by_greeting(piece));
	if (o->starttls.protocol == STARTTLS_NONE)
		return watch_unknown(conn, direction, piece);
	switch (starttls_feed(&o->starttls, side, piece)) {
	case STARTTLS_PASS:
		return true;
	case STARTTLS_BEGINS: /* goes on being watched: the client's next octets come back as STARTTLS_HELLO */
		return true;
	case STARTTLS_HELLO:
		o->agreed = o->starttls.server_spoke;
		if (buffer_add(&o->held, piece))
			collect_begin(conn);
		else
			conn_end(conn, ENDING_FAILED, "out-of-memory", "no memory for the hello");
		return false;
	case STARTTLS_REFUSE:
		conn_abort(conn, "starttls-refused", o->starttls.why);
		return false;
	default:
		plain_settled(conn);
		return true;
	}
}

static void first_octets_ready(struct conn *conn)
{
	struct opening *o = conn->opening;
	if (!opening_fill(conn))
		return;
	if (o->held.len > 0) {
		bool tls = o->held.data[0] == 0x16 || (o->held.data[0] & 0x80);
		if (tls)
			collect_begin(conn);
		else
			plain_begin(conn);
	} else if (conn->server.readable || o->early.len > 0) {
		plain_begin(conn);
	}
}

static void watch_first_octets(struct conn *conn)
{
	starttls_begin(&conn->opening->starttls, starttls_by_port(conn->opening->target.port));
	conn_stage(conn, first_octets_ready, hello_late);
	conn_deadline(conn, conn->worker->config->hello_timeout_ns);
}

/* Step 0. */

static uint16_t status_for(enum dial_failure failure)
{
	return failure == DIAL_TIMEOUT ? 504 : failure == DIAL_FORBIDDEN ? 403 : failure == DIAL_EXHAUSTED ? 503 : 502;
}

static bool zero_pass(struct conn *conn)
{
	struct opening *o = conn->opening;
	bool decided = policy_decide(o->policy, &o->facts, &o->verdict);
	if (!decided || o->verdict.action != POLICY_BLOCK)
		return true;
	report_verdict(conn, ACTION_BLOCK, 0, o->verdict.label, "");
	conn->worker->counts.blocked++;
	intake_refuse(conn, ENDING_BLOCKED, 403, "blocked", "blocked by rule");
	return false;
}

static bool plain_permitted(struct conn *conn);

static void server_dialled(struct conn *conn, const struct dial_result *result)
{
	struct opening *o = conn->opening;
	if (result->failure != DIAL_CONNECTED) {
		enum flow_ending ending = result->failure == DIAL_FORBIDDEN ? ENDING_BLOCKED : ENDING_FAILED;
		intake_refuse(
			conn, ending, status_for(result->failure), dial_failure_name(result->failure), result->text);
		return;
	}
	if (!conn_take_server(conn, result->fd)) {
		intake_refuse(conn, ENDING_FAILED, 503, "out-of-descriptors", "the connection could not be registered");
		return;
	}
	conn->origin = result->to;
	/* Behind another proxy the server's address is not known here. */
	bool direct = conn->worker->config->upstream_proxy.kind == UPSTREAM_DIRECT;
	o->facts.server = direct ? result->to : (struct hostport){0};
	o->facts.known |= POLICY_FACT_SERVER;
	report_upstream(conn);
	if (!zero_pass(conn))
		return;
	if (o->plain_go) {
		if (plain_permitted(conn))
			o->plain_go(conn);
		return;
	}
	/* A server that speaks first, behind another proxy: its greeting may have come with that proxy's answer. */
	o->early.cap = COLLECT_MAX_STREAM;
	if (!buffer_add(&o->early, result->early)) {
		intake_refuse(conn, ENDING_FAILED, 503, "out-of-memory", "no memory for another connection");
		return;
	}
	if (!intake_accept(conn))
		return;
	if (o->by_sni) {
		judge_hello(conn);
		return;
	}
	if (o->verdict.decided && o->verdict.action == POLICY_BYPASS)
		step_aside(conn, 0, o->verdict.label, "");
	else
		watch_first_octets(conn);
}

static void go(struct conn *conn)
{
	struct opening *o = conn->opening;
	o->facts.client = conn->peer;
	o->facts.port = o->target.port;
	o->facts.connect_name = o->target.is_ip ? BYTES_NONE : bytes_str(o->target.host);
	o->facts.known |= POLICY_FACT_CLIENT | POLICY_FACT_PORT;
	if (o->intake != INTAKE_REVERSE)
		o->facts.known |= POLICY_FACT_CONNECT_NAME;
	if (!o->by_sni)
		report_open(conn, o->intake, o->target.host, o->target.port);
	if (zero_pass(conn))
		dial(conn, hostport_is_none(&o->fixed) ? NULL : &o->fixed, server_dialled);
}

void opening_go(struct conn *conn)
{
	/* A connection that carried plain requests before brings nothing of them along. */
	conn->opening->facts = (struct policy_facts){0};
	conn->opening->plain_go = NULL;
	go(conn);
}

/* Where only the SNI says where to go. */

static void go_to_sni(struct conn *conn)
{
	struct opening *o = conn->opening;
	bool named = o->hello.sni == SNI_OK &&
	             target_from_host(o->hello.server_name, o->target.port, &o->target) == TARGET_OK;
	if (named)
		go(conn);
	else
		fail(conn, ALERT_UNRECOGNIZED_NAME, "no-name", "this listener needs a server name in the ClientHello");
}

void opening_go_by_sni(struct conn *conn, uint16_t port)
{
	struct opening *o = conn->opening;
	o->by_sni = true;
	o->intake = INTAKE_SNI;
	o->target.port = port;
	report_open(conn, INTAKE_SNI, "", port);
	collect_begin(conn);
}

static bool plain_permitted(struct conn *conn)
{
	struct opening *o = conn->opening;
	o->facts.protocol = POLICY_PROTOCOL_HTTP;
	o->facts.known |= POLICY_PASS_SECOND;
	(void)policy_decide(o->policy, &o->facts, &o->verdict);
	static const enum flow_action actions[] = {
		[POLICY_INSPECT] = ACTION_INSPECT, [POLICY_BYPASS] = ACTION_BYPASS, [POLICY_BLOCK] = ACTION_BLOCK};
	enum flow_action action = actions[o->verdict.action];
	const char *closed = action == ACTION_INSPECT ? unaudited(conn, o->target.host) : NULL;
	if (closed && conn->worker->config->audit_failure != CONFIG_AUDIT_BYPASS) {
		conn->worker->counts.blocked++;
		intake_refuse(conn, ENDING_BLOCKED, 503, "audit-closed", closed);
		return false;
	}
	if (closed)
		action = ACTION_BYPASS;
	report_verdict(conn, action, 1, o->verdict.label, closed ? "the audit log is closed" : "plain HTTP");
	conn->unread = action == ACTION_BYPASS;
	if (action != ACTION_BLOCK)
		return true;
	conn->worker->counts.blocked++;
	intake_refuse(conn, ENDING_BLOCKED, 403, "blocked", "blocked by rule");
	return false;
}

void opening_go_plain(struct conn *conn, void (*plain_go)(struct conn *conn))
{
	conn->opening->facts = (struct policy_facts){0};
	conn->opening->plain_go = plain_go;
	go(conn);
}
