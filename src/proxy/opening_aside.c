#include "proxy/conn.h"
#include "proxy/opening.h"
#include "proxy/opening_parts.h"
#include "proxy/report.h"
#include "proxy/tunnel.h"
#include "proxy/worker.h"
#include "tls/alert.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

/* Ways out. */

void opening_block(struct conn *conn, uint8_t alert, const char *name, const char *text)
{
	conn->worker->counts.blocked++;
	conn_alert(conn, alert);
	conn_end(conn, ENDING_BLOCKED, name, text);
}

void opening_fail(struct conn *conn, uint8_t alert, const char *name, const char *text)
{
	conn->worker->counts.failed++;
	conn_alert(conn, alert);
	conn_end(conn, ENDING_FAILED, name, text);
}

void opening_aside(struct conn *conn, unsigned pass, const char *rule, const char *reason)
{
	report_verdict(conn, ACTION_BYPASS, pass, rule, reason);
	conn->worker->counts.bypassed++;
	struct opening *o = conn->opening;
	conn->opening = NULL;
	tunnel_begin(conn, buffer_bytes(&o->held), buffer_bytes(&o->early));
	struct conn husk = {.opening = o, .worker = conn->worker};
	opening_free(&husk);
}

/* After STARTTLS: the fresh connection is brought to where TLS begins. */

static void replay_failed(struct conn *conn, const char *why)
{
	char text[256];
	conn->worker->counts.replays_failed++;
	snprintf(text, sizeof(text), "the server was connected to afresh, and what led to TLS said again: %s", why);
	opening_fail(conn, ALERT_INTERNAL_ERROR, "replay-failed", text);
}

/* False when the replay is over, one way or the other. */
static bool replay_goes_on(struct conn *conn, struct bytes from_server)
{
	struct opening *o = conn->opening;
	struct bytes out;
	switch (replay_step(&o->replay, from_server, &out)) {
	case REPLAY_WAIT:
		return true;
	case REPLAY_SAY:
		if (outbox_send(&conn->to_server, &conn->server, out))
			return true;
		replay_failed(conn, "the server closed the connection");
		return false;
	case REPLAY_AGREED:
		conn->worker->counts.replays++;
		o->reconnected(conn);
		return false;
	case REPLAY_FAILED:
		break;
	}
	replay_failed(conn, o->replay.why);
	return false;
}

static void replay_ready(struct conn *conn)
{
	uint8_t said[4096];
	if (conn->client.hung) {
		conn_end(conn, ENDING_DONE, "client-left", "the client closed before it was answered");
		return;
	}
	if (!outbox_send(&conn->to_server, &conn->server, BYTES_NONE)) {
		replay_failed(conn, "the server closed the connection");
		return;
	}
	while (conn->server.readable) {
		ssize_t n = recv(conn->server.fd, said, sizeof(said), 0);
		if (n < 0 && errno == EAGAIN) {
			conn->server.readable = false;
		} else if (n == 0 || (n < 0 && errno != EINTR)) {
			replay_failed(conn, "the server closed the connection");
			return;
		} else if (n > 0 && !replay_goes_on(conn, bytes_of(said, (size_t)n))) {
			return;
		}
	}
}

static void replay_late(struct conn *conn)
{
	replay_failed(conn, "the server did not answer in time");
}

static void reconnected(struct conn *conn, const struct dial_result *result)
{
	struct opening *o = conn->opening;
	if (result->failure != DIAL_CONNECTED) {
		opening_fail(conn, ALERT_INTERNAL_ERROR, dial_failure_name(result->failure), result->text);
		return;
	}
	if (!conn_take_server(conn, result->fd)) {
		opening_fail(conn, ALERT_INTERNAL_ERROR, "out-of-descriptors",
			"the fresh connection could not be registered");
		return;
	}
	conn->origin = result->to;
	if (!o->agreed) {
		o->reconnected(conn);
		return;
	}
	conn_stage(conn, replay_ready, replay_late);
	conn_deadline(conn, conn->worker->config->handshake_timeout_ns);
	replay_begin(&o->replay, o->starttls.protocol);
	/* Behind another proxy the greeting may have come with that proxy's answer. */
	(void)replay_goes_on(conn, result->early);
}

bool opening_may_reconnect(const struct conn *conn, const char **why)
{
	const struct opening *o = conn->opening;
	*why = o->agreed ? replay_never(&o->replay, o->starttls.protocol) : NULL;
	return *why == NULL;
}

void opening_reconnect(struct conn *conn, void (*go)(struct conn *conn))
{
	conn->opening->reconnected = go;
	leg_free(&conn->leg2);
	conn_drop_server(conn);
	opening_dial(conn, &conn->origin, reconnected);
}

static void aside_connected(struct conn *conn)
{
	struct opening *o = conn->opening;
	report_upstream(conn);
	opening_aside(conn, 2, o->verdict.label, o->aside_reason ? o->aside_reason : "");
}

void opening_aside_afresh(struct conn *conn, const char *reason)
{
	const char *why;
	struct opening *o = conn->opening;
	o->aside_reason = reason;
	if (opening_may_reconnect(conn, &why)) {
		opening_reconnect(conn, aside_connected);
		return;
	}
	char text[256];
	*(o->replay.capped ? &conn->worker->counts.replays_capped : &conn->worker->counts.replays_refused) += 1;
	snprintf(text, sizeof(text), "stepping aside after STARTTLS needs a fresh connection to the server, but %s",
		why);
	opening_block(conn, ALERT_ACCESS_DENIED, "cannot-step-aside", text);
}
