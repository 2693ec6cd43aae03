#include "connection.h"

#include "base/clock.h"
#include "head.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

/* Whether a step got somewhere, so that the next one can be tried, or waits for the socket. */
enum progress { BLOCKED, GOES_ON };

static void release(struct connection *conn)
{
	loop_remove(conn->plan->loop, &conn->io);
	SSL_free(conn->ssl);
	conn->ssl = NULL;
	if (conn->io.fd >= 0)
		close(conn->io.fd);
	conn->io.fd = -1;
	conn->state = CONNECTION_CLOSED;
}

static enum progress end(struct connection *conn, const struct error *err)
{
	release(conn);
	conn->plan->closed(conn, err);
	return BLOCKED;
}

static const char *const doing[] = {"", "connecting", "sending CONNECT", "waiting for CONNECT's answer",
	"in the handshake", "while idle", "sending the request", "waiting for the response", "in the response's body",
	"closing"};

static enum progress fail_errno(struct connection *conn)
{
	struct error err;
	error_set_errno(&err, "%s: failed %s", conn->name, doing[conn->state]);
	return end(conn, &err);
}

/* After an SSL call that did not succeed: waits, or ends the connection. */
static enum progress after_tls(struct connection *conn, int result)
{
	struct error err;
	switch (SSL_get_error(conn->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		conn->io.readable = false;
		return BLOCKED;
	case SSL_ERROR_WANT_WRITE:
		conn->io.writable = false;
		return BLOCKED;
	case SSL_ERROR_ZERO_RETURN:
		error_set(&err, "%s: closed by the other side %s", conn->name, doing[conn->state]);
		return end(conn, &err);
	case SSL_ERROR_SSL:
		if (SSL_get_verify_result(conn->ssl) != X509_V_OK)
			error_set(&err, "%s: certificate refused: %s", conn->name,
				X509_verify_cert_error_string(SSL_get_verify_result(conn->ssl)));
		else
			error_set_openssl(&err, "%s: failed %s", conn->name, doing[conn->state]);
		return end(conn, &err);
	default:
		return fail_errno(conn);
	}
}

static enum progress start_tls(struct connection *conn)
{
	if (SSL_set_fd(conn->ssl, conn->io.fd) != 1) {
		struct error err;
		error_set_openssl(&err, "%s: cannot attach the socket", conn->name);
		return end(conn, &err);
	}
	conn->state = CONNECTION_HANDSHAKE;
	return GOES_ON;
}

static enum progress step_connecting(struct connection *conn)
{
	if (!conn->io.writable)
		return BLOCKED;
	int code = 0;
	socklen_t len = sizeof(code);
	getsockopt(conn->io.fd, SOL_SOCKET, SO_ERROR, &code, &len);
	if (code) {
		errno = code;
		return fail_errno(conn);
	}
	if (!conn->plan->connect)
		return start_tls(conn);
	conn->out_len = (size_t)snprintf(conn->out, sizeof(conn->out), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n",
		conn->plan->connect, conn->plan->connect);
	conn->out_at = 0;
	conn->in_len = 0;
	conn->state = CONNECTION_ASKING;
	return GOES_ON;
}

static enum progress step_asking(struct connection *conn)
{
	ssize_t n = send(conn->io.fd, conn->out + conn->out_at, conn->out_len - conn->out_at, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN ? BLOCKED : fail_errno(conn);
	conn->out_at += (size_t)n;
	if (conn->out_at == conn->out_len)
		conn->state = CONNECTION_ASKED;
	return GOES_ON;
}

static enum progress fail_head(struct connection *conn, const struct head *head)
{
	struct error err;
	if (head)
		error_set(&err, "%s: status %.*s %s", conn->name, (int)head->words[1].len,
			(const char *)head->words[1].data, doing[conn->state]);
	else
		error_set(&err, "%s: not an HTTP response %s", conn->name, doing[conn->state]);
	return end(conn, &err);
}

/* Tries to read a head from what has come. False when it ended the connection or needs more, told by the state. */
static bool take_head(struct connection *conn, struct head *head, struct bytes *rest, enum progress *progress)
{
	*rest = bytes_of(conn->in, conn->in_len);
	enum head_result result = head_read(rest, head);
	*progress = GOES_ON;
	if (result == HEAD_NEED_MORE && conn->in_len < sizeof(conn->in))
		return false;
	if (result != HEAD_OK) {
		*progress = fail_head(conn, NULL);
		return false;
	}
	if (!bytes_equal(head->words[1], bytes_str("200"))) {
		*progress = fail_head(conn, head);
		return false;
	}
	return true;
}

static enum progress step_asked(struct connection *conn)
{
	ssize_t n = recv(conn->io.fd, conn->in + conn->in_len, sizeof(conn->in) - conn->in_len, 0);
	if (n < 0 && errno == EAGAIN)
		return BLOCKED;
	if (n == 0)
		errno = ECONNRESET;
	if (n <= 0)
		return fail_errno(conn);
	conn->in_len += (size_t)n;
	struct head head;
	struct bytes rest;
	enum progress progress;
	if (!take_head(conn, &head, &rest, &progress))
		return progress;
	return start_tls(conn);
}

static bool leaf_is_p256(SSL *ssl)
{
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	EVP_PKEY *key = leaf ? X509_get0_pubkey(leaf) : NULL;
	char group[32] = "";
	return key && EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
	       strcmp(group, "prime256v1") == 0;
}

static enum progress step_handshake(struct connection *conn)
{
	int result = SSL_connect(conn->ssl);
	if (result != 1)
		return after_tls(conn, result);
	struct error err;
	if (!tlsside_agreed(conn->ssl, &conn->plan->side, &err))
		return end(conn, &err);
	if (conn->plan->leaf_p256 && !leaf_is_p256(conn->ssl)) {
		error_set(&err, "%s: the leaf's key is not on P-256", conn->name);
		return end(conn, &err);
	}
	conn->state = CONNECTION_IDLE;
	conn->plan->opened(conn);
	return GOES_ON;
}

static enum progress step_idle(struct connection *conn)
{
	/* Reading takes in what may come after the handshake: tickets, key updates, and the other side's end. */
	uint8_t stray;
	int result = SSL_read(conn->ssl, &stray, 1);
	if (result <= 0)
		return after_tls(conn, result);
	struct error err;
	error_set(&err, "%s: data that nobody asked for", conn->name);
	return end(conn, &err);
}

static enum progress step_sending(struct connection *conn)
{
	int result = SSL_write(conn->ssl, conn->out + conn->out_at, (int)(conn->out_len - conn->out_at));
	if (result <= 0)
		return after_tls(conn, result);
	conn->out_at += (size_t)result;
	if (conn->out_at == conn->out_len) {
		conn->in_len = 0;
		conn->state = CONNECTION_HEAD;
	}
	return GOES_ON;
}

static enum progress answered(struct connection *conn)
{
	conn->state = CONNECTION_IDLE;
	conn->plan->answered(conn);
	return GOES_ON;
}

static enum progress step_head(struct connection *conn)
{
	int result = SSL_read(conn->ssl, conn->in + conn->in_len, (int)(sizeof(conn->in) - conn->in_len));
	if (result <= 0)
		return after_tls(conn, result);
	conn->in_len += (size_t)result;
	struct head head;
	struct bytes rest;
	enum progress progress;
	if (!take_head(conn, &head, &rest, &progress))
		return progress;
	if (rest.len > head.content_length)
		return fail_head(conn, NULL);
	conn->received += rest.len;
	conn->body_left = head.content_length - rest.len;
	conn->state = CONNECTION_BODY;
	return conn->body_left ? GOES_ON : answered(conn);
}

static enum progress step_body(struct connection *conn)
{
	uint8_t sink[16384];
	int result = SSL_read(conn->ssl, sink, sizeof(sink));
	if (result <= 0)
		return after_tls(conn, result);
	if ((uint64_t)result > conn->body_left)
		return fail_head(conn, NULL);
	conn->received += (uint64_t)result;
	conn->body_left -= (uint64_t)result;
	return conn->body_left ? GOES_ON : answered(conn);
}

static enum progress step_closing(struct connection *conn)
{
	uint8_t sink[4096];
	ssize_t n = recv(conn->io.fd, sink, sizeof(sink), 0);
	if (n < 0 && errno == EAGAIN)
		return BLOCKED;
	/* A reset here is an end as good as any: both sides had said that they were done. */
	return n > 0 ? GOES_ON : end(conn, NULL);
}

static enum progress step(struct connection *conn)
{
	ERR_clear_error();
	switch (conn->state) {
	case CONNECTION_CONNECTING:
		return step_connecting(conn);
	case CONNECTION_ASKING:
		return step_asking(conn);
	case CONNECTION_ASKED:
		return step_asked(conn);
	case CONNECTION_HANDSHAKE:
		return step_handshake(conn);
	case CONNECTION_IDLE:
		return step_idle(conn);
	case CONNECTION_SENDING:
		return step_sending(conn);
	case CONNECTION_HEAD:
		return step_head(conn);
	case CONNECTION_BODY:
		return step_body(conn);
	case CONNECTION_CLOSING:
		return step_closing(conn);
	case CONNECTION_CLOSED:
		break;
	}
	return BLOCKED;
}

static void run(struct connection *conn)
{
	conn->running = true;
	while (step(conn) == GOES_ON)
		;
	conn->running = false;
}

static void ready(struct loop_io *io)
{
	run((struct connection *)io);
}

static bool prepare(struct connection *conn, SSL_SESSION *session)
{
	conn->ssl = SSL_new(conn->plan->ctx);
	return conn->ssl && SSL_set_tlsext_host_name(conn->ssl, conn->name) == 1 &&
	       SSL_set1_host(conn->ssl, conn->name) == 1 && (!session || SSL_set_session(conn->ssl, session) == 1);
}

void connection_open(struct connection *conn, const char *name, SSL_SESSION *session)
{
	struct error err;
	const struct connection_plan *plan = conn->plan;
	snprintf(conn->name, sizeof(conn->name), "%s", name);
	conn->received = 0;
	conn->opened_ns = clock_monotonic_ns();
	conn->state = CONNECTION_CONNECTING;
	conn->io.fd = socket(plan->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->io.fd < 0) {
		fail_errno(conn);
		return;
	}
	if (!prepare(conn, session)) {
		error_set_openssl(&err, "%s: cannot make a TLS connection", name);
		end(conn, &err);
		return;
	}
	int on = 1;
	setsockopt(conn->io.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if ((connect(conn->io.fd, (const struct sockaddr *)&plan->to, plan->to_len) != 0 && errno != EINPROGRESS) ||
		!loop_add(plan->loop, &conn->io, conn->io.fd, ready))
		fail_errno(conn);
}

void connection_request(struct connection *conn, const char *target)
{
	conn->asked_ns = clock_monotonic_ns();
	conn->out_len = (size_t)snprintf(conn->out, sizeof(conn->out), "GET %s HTTP/1.1\r\nHost: %s%s\r\n\r\n", target,
		conn->name, conn->plan->port);
	conn->out_at = 0;
	conn->state = CONNECTION_SENDING;
	if (!conn->running)
		run(conn);
}

void connection_close(struct connection *conn)
{
	SSL_shutdown(conn->ssl);
	shutdown(conn->io.fd, SHUT_WR);
	conn->state = CONNECTION_CLOSING;
	if (!conn->running)
		run(conn);
}
