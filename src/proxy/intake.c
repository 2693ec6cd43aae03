#include "proxy/intake.h"

#include "base/log.h"
#include "proxy/conn.h"
#include "proxy/opening.h"
#include "proxy/page.h"
#include "proxy/plain_http.h"
#include "proxy/proxy_header.h"
#include "proxy/report.h"
#include "proxy/worker.h"
#include "tls/alert.h"

#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

struct bytes intake_via(const struct conn *conn)
{
	return bytes_str(conn->worker->mine ? "overt-local" : "overt");
}

static void drop_held(struct conn *conn, size_t n)
{
	buffer_drop(&conn->opening->held, n);
}

static bool say(struct conn *conn, struct bytes reply)
{
	if (outbox_send(&conn->to_client, &conn->client, reply))
		return true;
	conn_abort(conn, "reset", "client: connection lost");
	return false;
}

void intake_reply(struct conn *conn, const struct http_reply *reply)
{
	struct writer w = writer_over(conn->worker->scratch, WORKER_SCRATCH);
	struct bytes out;
	intake_http_reply(reply, &w);
	if (writer_done(&w, &out))
		(void)!outbox_send(&conn->to_client, &conn->client, out);
	/* What the client still sends is of no use; without this its kernel might drop our reply for a reset. */
	shutdown(conn->client.fd, SHUT_WR);
}

static const char *todo_for(uint16_t status)
{
	switch (status) {
	case 403:
		return "A rule of this proxy decides so; its operator can say why.";
	case 502:
	case 504:
		return "Check the name and whether the server is up, then try again.";
	case 503:
		return "The proxy is short of resources; try again in a moment.";
	default:
		return NULL;
	}
}

static uint8_t socks_code_for(uint16_t status)
{
	return status == 403 ? SOCKS_NOT_ALLOWED : status == 504 ? SOCKS_TTL_EXPIRED : SOCKS_HOST_UNREACHABLE;
}

void intake_refuse(struct conn *conn, enum flow_ending ending, uint16_t status, const char *name, const char *text)
{
	struct opening *o = conn->opening;
	if (o->intake == INTAKE_CONNECT || o->intake == INTAKE_HTTP) {
		struct http_reply reply = {.status = status, .what = text, .todo = todo_for(status)};
		intake_reply(conn, &reply);
	} else if (o->intake == INTAKE_SOCKS5) {
		uint8_t answer[SOCKS_REPLY_MAX];
		size_t n = intake_socks_answer(&o->socks, socks_code_for(status), NULL, answer);
		(void)!outbox_send(&conn->to_client, &conn->client, bytes_of(answer, n));
	}
	conn_end(conn, ending, name, text);
}

bool intake_accept(struct conn *conn)
{
	struct opening *o = conn->opening;
	uint8_t answer[SOCKS_REPLY_MAX];
	switch (o->intake) {
	case INTAKE_CONNECT:
		return say(conn, intake_http_established());
	case INTAKE_SOCKS5:
		return say(conn, bytes_of(answer, intake_socks_answer(&o->socks, SOCKS_SUCCEEDED, NULL, answer)));
	default:
		return true;
	}
}

/* The end of a connection that came to no target: shown as a flow of its own, since somebody will look for it. */
static void end_here(
	struct conn *conn, enum flow_intake intake, enum flow_ending ending, const char *name, const char *text)
{
	const struct target *target = &conn->opening->http.target;
	report_open(conn, intake, target->host, target->port);
	conn_end(conn, ending, name, text);
}

static void go(struct conn *conn, enum flow_intake intake, const struct target *target)
{
	conn->opening->intake = intake;
	conn->opening->target = *target;
	opening_go(conn);
}

/* HTTP on the explicit port. */

static void unauthorized(struct conn *conn)
{
	struct http_reply reply = {
		.status = 407,
		.what = "This proxy asks who you are.",
		.todo = "Give a user name and password, or a bearer token, in the proxy settings.",
		.challenge_basic = true,
	};
	intake_reply(conn, &reply);
	end_here(conn, conn->opening->intake, ENDING_BLOCKED, "proxy-auth",
		"the client gave no valid proxy credentials");
}

static bool may_use(struct conn *conn)
{
	const struct intake_users *users = &conn->worker->snapshot.users;
	size_t which;
	return users->count == 0 || intake_auth_header(conn->opening->http.proxy_authorization, users, &which);
}

static void http_ready(struct conn *conn);
static void intake_late(struct conn *conn);

static void http_step(struct conn *conn)
{
	struct opening *o = conn->opening;
	enum intake_http_result result = intake_http_read(&o->http, buffer_bytes(&o->held), intake_via(conn));
	if (result == INTAKE_HTTP_NEED_MORE) {
		(void)!opening_starved(conn);
		return;
	}
	o->intake = result == INTAKE_HTTP_CONNECT ? INTAKE_CONNECT : INTAKE_HTTP;
	if (result == INTAKE_HTTP_BAD || result == INTAKE_HTTP_TOO_LONG) {
		struct http_reply reply = {.status = o->http.status, .what = o->http.why.text};
		intake_reply(conn, &reply);
		end_here(conn, INTAKE_HTTP, ENDING_FAILED, "bad-request", o->http.why.text);
	} else if (result == INTAKE_HTTP_ORIGIN || page_wanted(conn)) {
		page_serve(conn);
	} else if (!may_use(conn)) {
		unauthorized(conn);
	} else if (o->http.looped) {
		intake_refuse(conn, ENDING_FAILED, 508, "loop", "the request has come through this proxy before");
	} else if (result == INTAKE_HTTP_ABSOLUTE) {
		plain_http_begin(conn);
	} else {
		drop_held(conn, o->http.head.len);
		go(conn, INTAKE_CONNECT, &o->http.target);
	}
}

static void http_ready(struct conn *conn)
{
	if (opening_fill(conn))
		http_step(conn);
}

void intake_next(struct conn *conn)
{
	struct opening *o = conn->opening;
	o->http = (struct intake_http){0};
	/* An idle client keeps nothing. */
	if (o->held.len == 0)
		buffer_clear(&o->held);
	conn_stage(conn, http_ready, intake_late);
	conn_deadline(conn, conn->worker->config->idle_timeout_ns);
}

/* SOCKS. */

static void socks_ready(struct conn *conn)
{
	struct opening *o = conn->opening;
	if (!opening_fill(conn))
		return;
	for (;;) {
		enum intake_socks_result result =
			intake_socks_step(&o->socks, buffer_bytes(&o->held), &conn->worker->snapshot.users);
		struct bytes reply = bytes_of(o->socks.reply, o->socks.reply_len);
		switch (result) {
		case INTAKE_SOCKS_NEED_MORE:
			(void)!opening_starved(conn);
			return;
		case INTAKE_SOCKS_REPLY:
			drop_held(conn, o->socks.used);
			if (!say(conn, reply))
				return;
			break;
		case INTAKE_SOCKS_TARGET:
			drop_held(conn, o->socks.used);
			go(conn, INTAKE_SOCKS5, &o->socks.target);
			return;
		default:
			if (say(conn, reply))
				end_here(conn, INTAKE_SOCKS5, ENDING_FAILED, "socks-refused", o->socks.why.text);
			return;
		}
	}
}

static void intake_late(struct conn *conn)
{
	/* One that never said a word, or nothing after its last answer, is no news. */
	if (conn->opening->held.len > 0)
		report_open(conn, conn->opening->intake, "", 0);
	conn_end(conn, ENDING_TIMEOUT, "request-timeout", "the client did not say where to go in time");
}

static void explicit_ready(struct conn *conn)
{
	struct opening *o = conn->opening;
	if (!opening_fill(conn))
		return;
	switch (intake_protocol(buffer_bytes(&o->held))) {
	case SPEAKS_NEED_MORE:
		(void)!opening_starved(conn);
		return;
	case SPEAKS_HTTP:
		conn_stage(conn, http_ready, intake_late);
		return;
	case SPEAKS_SOCKS4:
	case SPEAKS_SOCKS5:
		conn_stage(conn, socks_ready, intake_late);
		return;
	case SPEAKS_TLS:
		conn_alert(conn, ALERT_UNEXPECTED_MESSAGE);
		end_here(conn, INTAKE_CONNECT, ENDING_FAILED, "tls-to-proxy",
			"the client speaks TLS to the proxy itself: set it as an http:// proxy, or use a transparent "
			"listener");
		return;
	default:
		end_here(conn, INTAKE_CONNECT, ENDING_FAILED, "unknown-protocol",
			"the client speaks neither HTTP nor SOCKS");
	}
}

/* The kernel knows where the client was going. */

static bool original_target(struct conn *conn, struct hostport *out)
{
	struct sockaddr_storage to;
	socklen_t len = sizeof(to);
	int fd = conn->client.fd;
	if (conn->listener->at.mode == LISTEN_TPROXY)
		return getsockname(fd, (struct sockaddr *)&to, &len) == 0 &&
		       hostport_from_sockaddr(out, (struct sockaddr *)&to, len);
	bool known = getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &to, &len) == 0;
	if (!known) {
		len = sizeof(to);
		known = getsockopt(fd, SOL_IPV6, SO_ORIGINAL_DST, &to, &len) == 0;
	}
	return known && hostport_from_sockaddr(out, (struct sockaddr *)&to, len);
}

static void transparent_begin(struct conn *conn)
{
	struct opening *o = conn->opening;
	char text[HOSTPORT_TEXT];
	struct target target;
	bool tproxy = conn->listener->at.mode == LISTEN_TPROXY;
	enum flow_intake intake = tproxy ? INTAKE_TPROXY : INTAKE_REDIRECT;
	if (!original_target(conn, &o->fixed) || worker_is_own(conn->worker, &o->fixed)) {
		end_here(conn, intake, ENDING_FAILED, "no-destination",
			"the kernel does not say where the client was going: traffic must come here by nftables");
		return;
	}
	if (tproxy && conn->worker->config->tproxy_source == CONFIG_SOURCE_CLIENT)
		o->source = conn->peer;
	hostport_ip_text(&o->fixed, text);
	if (target_from_host(bytes_str(text), o->fixed.port, &target) == TARGET_OK)
		go(conn, intake, &target);
	else
		conn_end(conn, ENDING_FAILED, "no-destination",
			"the destination is no address that can be connected to");
}

static void reverse_begin(struct conn *conn)
{
	struct target target;
	const struct listen_at *at = &conn->listener->at;
	if (target_from_host(bytes_str(at->host), at->target_port, &target) == TARGET_OK)
		go(conn, INTAKE_REVERSE, &target);
	else
		end_here(conn, INTAKE_REVERSE, ENDING_FAILED, "no-destination",
			"the configured target is no name or address");
}

static void mode_begin(struct conn *conn)
{
	switch (conn->listener->at.mode) {
	case LISTEN_TRANSPARENT:
	case LISTEN_TPROXY:
		transparent_begin(conn);
		return;
	case LISTEN_REVERSE:
		reverse_begin(conn);
		return;
	case LISTEN_SNI:
		opening_go_by_sni(conn, conn->listener->at.target_port);
		return;
	default:
		conn_stage(conn, explicit_ready, intake_late);
		conn_deadline(conn, conn->worker->config->hello_timeout_ns);
	}
}

/* PROXY protocol. */

static bool trusted(const struct conn *conn)
{
	const struct config_blocks *blocks = &conn->worker->config->accept_proxy_protocol;
	for (size_t i = 0; i < blocks->count; i++) {
		if (address_block_has(&blocks->items[i], &conn->peer))
			return true;
	}
	return false;
}

static void proxy_header_ready(struct conn *conn)
{
	struct opening *o = conn->opening;
	struct proxy_header header;
	struct error why;
	if (!opening_fill(conn))
		return;
	switch (proxy_header_read(buffer_bytes(&o->held), &header, &why)) {
	case PROXY_HEADER_NEED_MORE:
		(void)!opening_starved(conn);
		return;
	case PROXY_HEADER_OK:
		drop_held(conn, header.len);
		if (header.addresses)
			conn_rename(conn, &header.source);
		if (!conn->over)
			mode_begin(conn);
		return;
	default:
		end_here(conn, INTAKE_CONNECT, ENDING_FAILED, "proxy-header", why.text);
	}
}

void intake_begin(struct conn *conn)
{
	if (!opening_new(conn)) {
		conn_end(conn, ENDING_FAILED, "out-of-memory", "no memory for another connection");
		return;
	}
	if (!trusted(conn)) {
		mode_begin(conn);
		return;
	}
	conn_stage(conn, proxy_header_ready, intake_late);
	conn_deadline(conn, conn->worker->config->hello_timeout_ns);
}
