#include "proxy/opening.h"

#include "proxy/accord_shown.h"
#include "proxy/conn.h"
#include "proxy/intake.h"
#include "proxy/local_parts.h"
#include "proxy/opening_parts.h"
#include "proxy/plain_http.h"
#include "proxy/report.h"
#include "proxy/worker.h"
#include "tls/alert.h"

#include <errno.h>
#include <stdlib.h>
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
	replay_clear(&o->replay);
	plain_http_free(o->plain);
	free(o->scratch);
	accord_shown_drop(o->accord.shown);
	local_case_free(o->local);
	policy_drop(o->policy);
	free(o);
}

X509 *opening_server(const struct conn *conn)
{
	const struct local_case *known = conn->opening->local;
	return known && known->server ? known->server : SSL_get0_peer_certificate(conn->leg2.ssl);
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

void opening_wait(struct conn *conn)
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
void opening_dial(struct conn *conn, const struct hostport *known,
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
	conn_stage(conn, opening_wait, dial_late);
	/* The dial keeps its own deadlines; this one only guards against its never answering. */
	conn_deadline(conn, 2 * (config->dns_timeout_ns + config->connect_timeout_ns));
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
		opening_judge_hello(conn);
		return;
	}
	if (o->verdict.decided && o->verdict.action == POLICY_BYPASS)
		opening_aside(conn, 0, o->verdict.label, "");
	else
		opening_watch_first(conn);
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
		opening_dial(conn, hostport_is_none(&o->fixed) ? NULL : &o->fixed, server_dialled);
}

void opening_go(struct conn *conn)
{
	/* A connection that carried plain requests before brings nothing of them along. */
	conn->opening->facts = (struct policy_facts){0};
	conn->opening->plain_go = NULL;
	go(conn);
}

/* Where only the SNI says where to go. */

void opening_go_to_sni(struct conn *conn)
{
	struct opening *o = conn->opening;
	bool named = o->hello.sni == SNI_OK &&
	             target_from_host(o->hello.server_name, o->target.port, &o->target) == TARGET_OK;
	if (named)
		go(conn);
	else
		opening_fail(conn, ALERT_UNRECOGNIZED_NAME, "no-name",
			"this listener needs a server name in the ClientHello");
}

void opening_go_by_sni(struct conn *conn, uint16_t port)
{
	struct opening *o = conn->opening;
	o->by_sni = true;
	o->intake = INTAKE_SNI;
	o->target.port = port;
	report_open(conn, INTAKE_SNI, "", port);
	opening_collect(conn);
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
	struct error why;
	if (conn->worker->mine && !local_permits_plain(conn, &why)) {
		intake_refuse(conn, ENDING_BLOCKED, 403, "refused-by-user", why.text);
		return false;
	}
	const char *closed = action == ACTION_INSPECT ? opening_unaudited(conn, o->target.host) : NULL;
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
