#include "proxy/accord_opening.h"
#include "proxy/accord_serve.h"
#include "proxy/conn.h"
#include "proxy/intake.h"
#include "proxy/local_parts.h"
#include "proxy/opening.h"
#include "proxy/opening_parts.h"
#include "proxy/report.h"
#include "proxy/tunnel.h"
#include "proxy/worker.h"
#include "tls/alert.h"
#include "tls/record.h"

#include <stdlib.h>

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
	accord_serve_decided(conn);
	if (decided && o->verdict.action == POLICY_BLOCK) {
		report_verdict(conn, ACTION_BLOCK, 1, o->verdict.label, "");
		opening_block(conn, ALERT_ACCESS_DENIED, "blocked", "blocked by rule");
	} else if (decided && o->verdict.action == POLICY_BYPASS) {
		opening_aside(conn, 1, o->verdict.label, "");
	} else if (accord_serves(conn) || accord_apply(conn)) {
		opening_look(conn);
	}
}

/* Step 1. */

static void hello_known(struct conn *conn)
{
	struct opening *o = conn->opening;
	enum hello_result result = client_hello_parse(o->collect.body, &o->hello);
	if (result != HELLO_OK) {
		opening_fail(conn, ALERT_DECODE_ERROR, "hello-malformed", hello_result_text(result));
		return;
	}
	(void)!ja3(&o->hello, o->ja3);
	(void)!ja4(&o->hello, JA4_TCP, o->ja4);
	report_hello(conn, &o->hello, o->ja3, o->ja4);
	if (o->by_sni && conn->server.fd < 0) {
		opening_go_to_sni(conn);
		return;
	}
	opening_judge_hello(conn);
}

void opening_judge_hello(struct conn *conn)
{
	struct opening *o = conn->opening;
	bool bad_sni = o->hello.sni != SNI_OK && o->hello.sni != SNI_ABSENT && o->hello.sni != SNI_ADDRESS;
	if (bad_sni) {
		opening_fail(conn, ALERT_UNRECOGNIZED_NAME, "sni-malformed", hello_sni_text(o->hello.sni));
	} else if (!name_client_wants(o)) {
		opening_fail(conn, ALERT_UNRECOGNIZED_NAME, "no-name",
			"neither SNI nor target is a name that can be verified");
	} else if (client_hello_max_version(&o->hello) < TLS_VERSION_12) {
		opening_block(
			conn, ALERT_PROTOCOL_VERSION, "version-too-old", "the client offers nothing above TLS 1.1");
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
		opening_fail(conn, collect_alert(result), "hello-malformed", collect_result_text(result));
}

static void hello_late(struct conn *conn)
{
	conn_end(conn, ENDING_TIMEOUT, "hello-timeout", "the client did not finish its ClientHello in time");
}

void opening_collect(struct conn *conn)
{
	struct opening *o = conn->opening;
	free(o->scratch);
	o->scratch = malloc((size_t)conn->worker->config->hello_octets);
	if (!o->scratch) {
		opening_fail(conn, ALERT_INTERNAL_ERROR, "out-of-memory", "no memory for another hello");
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

/* On a user's own machine, the user has a say in what everybody on the way may read. False: the connection is over. */
static bool user_permits_plain(struct conn *conn)
{
	struct error why;
	if (!conn->worker->mine || local_permits_plain(conn, &why))
		return true;
	conn->worker->counts.blocked++;
	conn_end(conn, ENDING_BLOCKED, "refused-by-user", why.text);
	return false;
}

/* A tunnel that was watched for TLS is none: from now on nobody looks. False: the connection is over. */
static bool plain_settled(struct conn *conn)
{
	if (!user_permits_plain(conn))
		return false;
	report_verdict(conn, ACTION_BYPASS, 1, conn->opening->verdict.label, "no TLS: relayed as it is");
	conn->worker->counts.bypassed++;
	opening_free(conn);
	return true;
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
		if (!user_permits_plain(conn))
			return;
		opening_aside(conn, 1, o->verdict.label, "no TLS: relayed as it is");
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
		opening_collect(conn);
		return false;
	}
	return plain_settled(conn);
}

bool opening_watch(struct conn *conn, enum flow_direction direction, struct bytes piece)
{
	struct opening *o = conn->opening;
	enum starttls_side side = direction == FLOW_UP ? STARTTLS_CLIENT : STARTTLS_SERVER;
	if (o->starttls.protocol == STARTTLS_NONE && direction == FLOW_DOWN)
		starttls_begin_by_greeting(&o->starttls, piece);
	if (o->starttls.protocol == STARTTLS_NONE)
		return watch_unknown(conn, direction, piece);
	switch (starttls_feed(&o->starttls, side, piece)) {
	case STARTTLS_PASS:
	case STARTTLS_BEGINS: /* goes on being watched: the client's next octets come back as STARTTLS_HELLO */
		if (direction == FLOW_UP)
			replay_note(&o->replay, o->starttls.protocol, piece);
		return true;
	case STARTTLS_HELLO:
		o->agreed = o->starttls.server_spoke;
		if (buffer_add(&o->held, piece))
			opening_collect(conn);
		else
			conn_end(conn, ENDING_FAILED, "out-of-memory", "no memory for the hello");
		return false;
	case STARTTLS_REFUSE:
		conn_abort(conn, "starttls-refused", o->starttls.why);
		return false;
	default:
		return plain_settled(conn);
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
			opening_collect(conn);
		else
			plain_begin(conn);
	} else if (conn->server.readable || o->early.len > 0) {
		plain_begin(conn);
	}
}

void opening_watch_first(struct conn *conn)
{
	starttls_begin(&conn->opening->starttls, starttls_by_port(conn->opening->target.port));
	conn_stage(conn, first_octets_ready, hello_late);
	conn_deadline(conn, conn->worker->config->hello_timeout_ns);
}
