#include "cli/get_link.h"

#include "base/clock.h"
#include "base/text.h"
#include "decode/http1_head.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define TUNNEL_HEAD_MAX  ((size_t)16 * 1024)
#define TUNNEL_WORDS_MAX ((size_t)300)
#define TUNNEL_WORDS_NS  (2 * NS_PER_S)

/* Waits until the descriptor can do this. */
static bool wait_for(const struct get_link *link, short events, uint64_t deadline_ns, struct error *err)
{
	for (;;) {
		uint64_t now = clock_monotonic_ns();
		if (now >= deadline_ns)
			return error_set(
				err, "nothing came for %llu s", (unsigned long long)(link->patience_ns / NS_PER_S));
		struct pollfd fd = {.fd = link->fd, .events = events};
		int n = poll(&fd, 1, (int)((deadline_ns - now) / NS_PER_MS) + 1);
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return error_set_errno(err, "poll");
	}
}

static uint64_t deadline_of(const struct get_link *link)
{
	return clock_monotonic_ns() + link->patience_ns;
}

/* The request comes right after the last flight of the handshake, which a proxy with nothing to say acknowledges late. */
static void send_at_once(const struct get_link *link)
{
	int yes = 1;
	(void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

static bool dial_one(struct get_link *link, const struct addrinfo *to, struct error *err)
{
	int fault = 0;
	socklen_t len = sizeof(fault);
	link->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, to->ai_protocol);
	if (link->fd < 0)
		return error_set_errno(err, "no socket");
	send_at_once(link);
	if (connect(link->fd, to->ai_addr, to->ai_addrlen) == 0)
		return true;
	if (errno != EINPROGRESS)
		return error_set_errno(err, "cannot be connected to");
	if (!wait_for(link, POLLOUT, deadline_of(link), err))
		return false;
	if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &fault, &len) == 0 && fault == 0)
		return true;
	errno = fault;
	return error_set_errno(err, "cannot be connected to");
}

bool get_link_dial(struct get_link *link, const char *host, const char *port, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *found = NULL;
	int code = getaddrinfo(host, port, &hints, &found);
	if (code != 0)
		return error_set(err, "%s: %s", host, gai_strerror(code));
	bool ok = false;
	for (const struct addrinfo *at = found; at && !ok; at = at->ai_next) {
		ok = dial_one(link, at, err);
		if (!ok)
			get_link_close(link);
	}
	freeaddrinfo(found);
	return ok || error_prefix(err, "%s port %s", host, port);
}

static bool send_plain(struct get_link *link, struct bytes data, struct error *err)
{
	uint64_t deadline = deadline_of(link);
	while (data.len > 0) {
		ssize_t n = send(link->fd, data.data, data.len, MSG_NOSIGNAL);
		if (n >= 0)
			(void)!bytes_skip(&data, (size_t)n);
		else if (errno != EAGAIN && errno != EINTR)
			return error_set_errno(err, "sending");
		else if (!wait_for(link, POLLOUT, deadline, err))
			return false;
	}
	return true;
}

/* Octet by octet: what stands behind the head is the tunnel's. */
static bool read_head(struct get_link *link, uint8_t *head, size_t *len, struct error *err)
{
	uint64_t deadline = deadline_of(link);
	size_t looked = 0;
	while (*len < TUNNEL_HEAD_MAX) {
		ssize_t n = recv(link->fd, head + *len, 1, 0);
		if (n == 0)
			return error_set(err, "closed the connection instead of answering");
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return error_set_errno(err, "its answer");
		if (n < 0) {
			if (!wait_for(link, POLLIN, deadline, err))
				return false;
			continue;
		}
		*len += 1;
		looked = *len > 4 ? *len - 4 : 0;
		if (http1_head_end(bytes_of(head, *len), looked) > 0)
			return true;
	}
	return error_set(err, "its answer has a head over %zu octets", TUNNEL_HEAD_MAX);
}

static bool is_plain(const struct http1_head *head)
{
	static const char plain[] = "text/plain";
	struct bytes type;
	return message_header_find(head->headers, head->header_count, "content-type", &type) &&
	       type.len >= sizeof(plain) - 1 &&
	       bytes_equal_nocase(bytes_of(type.data, sizeof(plain) - 1), bytes_str(plain));
}

/* Why a proxy refuses, in its own words, where they are text of a length that it tells; lines behind one another. */
static void read_words(struct get_link *link, const struct http1_head *head, char *out, size_t cap)
{
	uint8_t body[TUNNEL_WORDS_MAX];
	struct error gone;
	size_t len = 0;
	uint64_t deadline = clock_monotonic_ns() + TUNNEL_WORDS_NS;
	size_t room = head->length < sizeof(body) ? (size_t)head->length : sizeof(body);
	while (head->said_length && is_plain(head) && len < room) {
		ssize_t n = recv(link->fd, body + len, room - len, 0);
		if (n > 0)
			len += (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR) || !wait_for(link, POLLIN, deadline, &gone))
			break;
	}
	for (size_t i = 0; i < len; i++)
		body[i] = body[i] == '\n' || body[i] == '\r' ? ' ' : body[i];
	while (len > 0 && body[len - 1] == ' ')
		len--;
	text_clean(out, cap, bytes_of(body, len));
}

bool get_link_tunnel(struct get_link *link, const char *authority, struct error *err)
{
	char request[1024];
	uint8_t head[TUNNEL_HEAD_MAX];
	static struct http1_head answer; /* large */
	char reason[128], words[TUNNEL_WORDS_MAX + 1];
	size_t len = 0;
	int n = snprintf(request, sizeof(request), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority);
	if (n < 0 || (size_t)n >= sizeof(request))
		return error_set(err, "the name is too long for a request");
	if (!send_plain(link, bytes_of(request, (size_t)n), err) || !read_head(link, head, &len, err))
		return false;
	const char *bad = http1_head_response(bytes_of(head, len), HTTP1_HEADERS_MAX, &answer);
	if (bad)
		return error_set(err, "its answer is no HTTP: %s", bad);
	if (answer.status >= 200 && answer.status < 300)
		return true;
	text_clean(reason, sizeof(reason), answer.reason);
	read_words(link, &answer, words, sizeof(words));
	return error_set(err, "it answers %u %s to CONNECT %s%s%s", answer.status, reason, authority,
		words[0] ? ", and says: " : "", words);
}

/* What an SSL call waits for; 0: it has failed. */
static short events_of(int code)
{
	return code == SSL_ERROR_WANT_READ ? POLLIN : code == SSL_ERROR_WANT_WRITE ? POLLOUT : 0;
}

static bool tls_failed(int code, int saved_errno, const char *what, struct error *err)
{
	errno = saved_errno;
	if (code == SSL_ERROR_SYSCALL && errno != 0)
		return error_set_errno(err, "%s", what);
	if (code == SSL_ERROR_SYSCALL || ERR_peek_error() == 0)
		return error_set(err, "%s: the peer closed the connection", what);
	return error_set_openssl(err, "%s", what);
}

bool get_link_handshake(struct get_link *link, SSL *ssl, struct error *err)
{
	uint64_t deadline = deadline_of(link);
	link->ssl = ssl;
	if (SSL_set_fd(ssl, link->fd) != 1)
		return error_set_openssl(err, "TLS");
	for (;;) {
		ERR_clear_error();
		errno = 0;
		int n = SSL_connect(ssl);
		int saved_errno = errno;
		if (n == 1)
			return true;
		int code = SSL_get_error(ssl, n);
		if (events_of(code) == 0)
			return tls_failed(code, saved_errno, "TLS handshake", err);
		if (!wait_for(link, events_of(code), deadline, err))
			return error_prefix(err, "TLS handshake");
	}
}

bool get_link_write(struct get_link *link, struct bytes data, struct error *err)
{
	uint64_t deadline = deadline_of(link);
	while (data.len > 0) {
		size_t written = 0;
		ERR_clear_error();
		errno = 0;
		int n = SSL_write_ex(link->ssl, data.data, data.len, &written);
		int saved_errno = errno;
		(void)!bytes_skip(&data, written);
		if (n == 1)
			continue;
		int code = SSL_get_error(link->ssl, n);
		if (events_of(code) == 0)
			return tls_failed(code, saved_errno, "the request", err);
		if (!wait_for(link, events_of(code), deadline, err))
			return error_prefix(err, "the request");
	}
	return true;
}

enum get_link_read get_link_read(struct get_link *link, uint8_t *buffer, size_t cap, size_t *len, struct error *err)
{
	uint64_t deadline = deadline_of(link);
	for (;;) {
		ERR_clear_error();
		errno = 0;
		int n = SSL_read_ex(link->ssl, buffer, cap, len);
		int saved_errno = errno;
		if (n == 1)
			return GET_LINK_DATA;
		int code = SSL_get_error(link->ssl, n);
		if (code == SSL_ERROR_ZERO_RETURN)
			return GET_LINK_END;
		if (events_of(code) == 0) {
			(void)tls_failed(code, saved_errno, "the response", err);
			return GET_LINK_CUT;
		}
		if (!wait_for(link, events_of(code), deadline, err)) {
			(void)error_prefix(err, "the response");
			return GET_LINK_CUT;
		}
	}
}

void get_link_close(struct get_link *link)
{
	SSL_free(link->ssl);
	link->ssl = NULL;
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
}
