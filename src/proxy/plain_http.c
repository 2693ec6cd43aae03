#include "proxy/plain_http.h"

#include "proxy/conn.h"
#include "proxy/intake.h"
#include "proxy/opening.h"
#include "proxy/report.h"
#include "proxy/tunnel.h"
#include "proxy/worker.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define TURN_OCTETS ((size_t)256 * 1024)
#define PIECE       ((size_t)16 * 1024) /* read, and published, at a time */
/* What one piece can come to: the head that it completes, rewritten, and the body behind it. */
#define PIECE_SHOWN (HTTP_MAX_FORWARD + PIECE)

struct plain_http {
	struct http_body up, down;
	struct buffer answer; /* the response's head, while it comes */
	struct http_scan scan;
	struct http_asked asked;
	bool close;     /* no further request is read from this connection */
	bool responded; /* the final response's head has gone out */
	bool over;      /* all of the response is here, and its end waits for the client to read */
	struct http_upstream_proxy through;
	char credentials[512];
};

void plain_http_free(struct plain_http *plain)
{
	if (!plain)
		return;
	buffer_clear(&plain->answer);
	OPENSSL_cleanse(plain->credentials, sizeof(plain->credentials));
	free(plain);
}

static struct plain_http *plain_of(struct conn *conn)
{
	return conn->opening->plain;
}

static void lost(struct conn *conn, const char *text)
{
	conn_abort(conn, "reset", text);
}

static void broken(struct conn *conn, const char *name, const char *text)
{
	if (plain_of(conn)->responded)
		conn_abort(conn, name, text);
	else
		intake_refuse(conn, ENDING_FAILED, name[0] == 'b' ? 400 : 502, name, text);
}

/* Sends on what of the held octets belongs to this request's body. False when the connection is over. */
static bool body_up(struct conn *conn)
{
	struct plain_http *plain = plain_of(conn);
	struct opening *o = conn->opening;
	struct error why;
	size_t used = 0;
	if (plain->up.done || outbox_stalled(&conn->to_server) || conn->server.fd < 0 || !report_ready(conn, PIECE))
		return true;
	struct bytes in = buffer_bytes(&o->held);
	if (conn->worker->config->lossless && in.len > PIECE)
		in.len = PIECE;
	enum http_body_result result = http_body_feed(&plain->up, in, &used, &why);
	if (result == HTTP_BODY_BAD) {
		broken(conn, "bad-request", why.text);
		return false;
	}
	struct bytes body = bytes_of(in.data, used);
	report_data(conn, FLOW_UP, body);
	conn->half[FLOW_UP].octets += used;
	if (!outbox_send(&conn->to_server, &conn->server, body)) {
		broken(conn, "upstream-reset", "the server closed the connection while the request was sent");
		return false;
	}
	buffer_drop(&o->held, used);
	if (o->held.len > 0 && !plain->up.done)
		conn_again(conn);
	return true;
}

static void next_request(struct conn *conn)
{
	struct opening *o = conn->opening;
	conn_drop_server(conn);
	plain_of(conn)->over = outbox_stalled(&conn->to_client);
	if (plain_of(conn)->over)
		return;
	bool last = conn->half[FLOW_UP].ended && o->held.len == 0;
	if (plain_of(conn)->close || last) {
		shutdown(conn->client.fd, SHUT_WR);
		conn_end(conn, ENDING_DONE, "", "");
		return;
	}
	report_close(conn, ENDING_DONE, "", "");
	worker_new_flow(conn->worker, conn);
	conn->half[FLOW_UP] = conn->half[FLOW_DOWN] = (struct half){0};
	plain_http_free(o->plain);
	o->plain = NULL;
	intake_next(conn);
}

/* The response's body goes to the client as it comes. False when the exchange or the connection is over. */
static bool body_down(struct conn *conn, struct bytes in)
{
	struct plain_http *plain = plain_of(conn);
	struct error why;
	size_t used = 0;
	enum http_body_result result = http_body_feed(&plain->down, in, &used, &why);
	struct bytes body = bytes_of(in.data, used);
	report_data(conn, FLOW_DOWN, body);
	conn->half[FLOW_DOWN].octets += used;
	if (!outbox_send(&conn->to_client, &conn->client, body)) {
		lost(conn, "client: connection lost");
		return false;
	}
	if (result == HTTP_BODY_BAD) {
		broken(conn, "upstream-malformed", why.text);
		return false;
	}
	if (result != HTTP_BODY_DONE)
		return true;
	next_request(conn);
	return false;
}

static bool send_head(struct conn *conn, const struct http_head *head, bool final)
{
	struct plain_http *plain = plain_of(conn);
	struct writer w = writer_over(conn->worker->scratch, WORKER_SCRATCH);
	struct bytes out;
	bool close = http_response_forward(head, &plain->asked, intake_via(conn), !plain->up.done, &w);
	if (!writer_done(&w, &out)) {
		broken(conn, "upstream-malformed", "the response's head is too long");
		return false;
	}
	plain->close = final && close;
	plain->responded = final;
	report_data(conn, FLOW_DOWN, out);
	conn->half[FLOW_DOWN].octets += out.len;
	if (outbox_send(&conn->to_client, &conn->client, out))
		return true;
	lost(conn, "client: connection lost");
	return false;
}

/* The connection goes on in another protocol: octets both ways, which are shown as they are. */
static bool switch_over(struct conn *conn)
{
	struct opening *o = conn->opening;
	struct buffer up = o->held, down = plain_of(conn)->answer;
	if (up.len > PIECE) {
		conn_abort(
			conn, "client-early", "the client spoke the new protocol before the server had agreed to it");
		return false;
	}
	o->held = plain_of(conn)->answer = (struct buffer){0};
	opening_free(conn);
	report_data(conn, FLOW_DOWN, buffer_bytes(&down));
	report_data(conn, FLOW_UP, buffer_bytes(&up));
	conn->shown = true;
	tunnel_begin(conn, buffer_bytes(&up), buffer_bytes(&down));
	buffer_clear(&up);
	buffer_clear(&down);
	return false;
}

/* Heads out of the answer so far; when the final one is through, what lies behind it is body. */
static bool heads_down(struct conn *conn)
{
	struct plain_http *plain = plain_of(conn);
	while (!plain->responded) {
		struct http_head head;
		struct error why;
		enum http_response_result result =
			http_response_read(&plain->scan, buffer_bytes(&plain->answer), &plain->asked, &head, &why);
		if (result == HTTP_RESPONSE_NEED_MORE)
			return true;
		if (result == HTTP_RESPONSE_BAD) {
			broken(conn, "upstream-malformed", why.text);
			return false;
		}
		size_t len = head.len;
		http_body_begin(&plain->down, &head);
		if (!send_head(conn, &head, result == HTTP_RESPONSE_FINAL))
			return false;
		buffer_drop(&plain->answer, len);
		plain->scan = (struct http_scan){0};
		if (result == HTTP_RESPONSE_SWITCHES)
			return switch_over(conn);
	}
	struct buffer rest = plain->answer;
	plain->answer = (struct buffer){.cap = rest.cap};
	bool goes_on = body_down(conn, buffer_bytes(&rest));
	buffer_clear(&rest);
	return goes_on;
}

static bool server_ended(struct conn *conn)
{
	struct plain_http *plain = plain_of(conn);
	if (plain->responded && http_body_may_end(&plain->down))
		next_request(conn);
	else
		broken(conn, "upstream-cut", "the server closed the connection before its response was complete");
	return false;
}

static bool took(struct conn *conn, struct bytes piece)
{
	struct plain_http *plain = plain_of(conn);
	if (plain->responded)
		return body_down(conn, piece);
	if (!buffer_add(&plain->answer, piece)) {
		broken(conn, "upstream-malformed", "the response's head is too long");
		return false;
	}
	return heads_down(conn);
}

static void answer_down(struct conn *conn)
{
	size_t moved = 0;
	while (conn->server.readable && !outbox_stalled(&conn->to_client) && report_ready(conn, PIECE_SHOWN)) {
		if (moved >= TURN_OCTETS) {
			conn_again(conn);
			return;
		}
		/* body_down and send_head write to the scratch only before reading more. */
		uint8_t piece[PIECE];
		ssize_t n = recv(conn->server.fd, piece, sizeof(piece), 0);
		if (n < 0 && errno == EAGAIN) {
			conn->server.readable = false;
			return;
		}
		if (n < 0 && errno == EINTR)
			continue;
		bool goes_on = n > 0 ? took(conn, bytes_of(piece, (size_t)n)) : server_ended(conn);
		if (!goes_on)
			return;
		moved += (size_t)n;
	}
}

static void exchange_turn(struct conn *conn)
{
	if (!opening_fill(conn))
		return;
	if (!outbox_send(&conn->to_client, &conn->client, BYTES_NONE)) {
		lost(conn, "client: connection lost");
		return;
	}
	if (plain_of(conn)->over) {
		next_request(conn);
		return;
	}
	if (!outbox_send(&conn->to_server, &conn->server, BYTES_NONE)) {
		broken(conn, "upstream-reset", "the server closed the connection");
		return;
	}
	if (!body_up(conn))
		return;
	if (conn->half[FLOW_UP].ended && !plain_of(conn)->up.done && conn->opening->held.len == 0) {
		conn_abort(conn, "client-cut", "the client closed before its request was complete");
		return;
	}
	/* What was held is gone: there is room for what the client's socket still has, and no event will say so again. */
	bool room = conn->opening->held.len < conn->opening->held.cap;
	if (conn->client.readable && room && !plain_of(conn)->up.done && !outbox_stalled(&conn->to_server))
		conn_again(conn);
	answer_down(conn);
}

static void exchange_ready(struct conn *conn)
{
	exchange_turn(conn);
	conn_note_traffic(conn);
}

static void exchange_late(struct conn *conn)
{
	uint64_t idle = conn->worker->config->idle_timeout_ns;
	uint64_t since = loop_now_ns(conn->worker->loop) - conn->active_ns;
	if (since < idle)
		conn_deadline(conn, idle - since);
	else
		conn_end(conn, ENDING_TIMEOUT, "idle", "nothing moved within the idle deadline");
}

static void send_request(struct conn *conn)
{
	struct opening *o = conn->opening;
	struct plain_http *plain = o->plain;
	struct writer w = writer_over(conn->worker->scratch, WORKER_SCRATCH);
	struct bytes out;
	bool through = conn->worker->config->upstream_proxy.kind == UPSTREAM_HTTP;
	intake_http_forward(&o->http, intake_via(conn), through ? &plain->through : NULL, &w);
	if (!writer_done(&w, &out)) {
		intake_refuse(conn, ENDING_FAILED, 431, "bad-request", "the request's head is too long");
		return;
	}
	report_data(conn, FLOW_UP, out);
	conn->half[FLOW_UP].octets += out.len;
	if (!outbox_send(&conn->to_server, &conn->server, out)) {
		broken(conn, "upstream-reset", "the server closed the connection");
		return;
	}
	/* The head's views end here: held octets move. */
	buffer_drop(&o->held, o->http.head.len);
	conn_stage(conn, exchange_ready, exchange_late);
}

static void request_ready(struct conn *conn)
{
	if (report_ready(conn, HTTP_MAX_FORWARD))
		send_request(conn);
}

static void begin_exchange(struct conn *conn)
{
	conn->active_ns = loop_now_ns(conn->worker->loop);
	conn_enter(conn, request_ready, exchange_late, conn->worker->config->idle_timeout_ns);
}

void plain_http_begin(struct conn *conn)
{
	struct opening *o = conn->opening;
	struct plain_http *plain = calloc(1, sizeof(*plain));
	if (!plain) {
		conn_end(conn, ENDING_FAILED, "out-of-memory", "no memory for another request");
		return;
	}
	o->plain = plain;
	plain->answer.cap = HTTP_MAX_HEAD + (size_t)16 * 1024;
	plain->asked = http_asked(&o->http.head);
	http_body_begin(&plain->up, &o->http.head);
	const struct config_upstream *up = &conn->worker->config->upstream_proxy;
	if (up->user) {
		snprintf(plain->credentials, sizeof(plain->credentials), "%s:%s", up->user,
			up->password ? up->password : "");
		plain->through.credentials = bytes_str(plain->credentials);
	}
	o->intake = INTAKE_HTTP;
	o->target = o->http.target;
	opening_go_plain(conn, begin_exchange);
}
