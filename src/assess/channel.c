#include "assess/channel.h"

#include "assess/target.h"
#include "base/clock.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>

#define HEAD_MAX 8192

bool channel_again(SSL *ssl, int fd, int result, uint64_t deadline_ns)
{
	int code = SSL_get_error(ssl, result);
	short events = code == SSL_ERROR_WANT_READ ? POLLIN : code == SSL_ERROR_WANT_WRITE ? POLLOUT : 0;
	return events != 0 && wait_until(fd, events, deadline_ns);
}

bool channel_shake(SSL *ssl, int fd, uint64_t deadline_ns, char *fault, size_t cap)
{
	int result;
	do {
		ERR_clear_error();
		result = SSL_do_handshake(ssl);
	} while (result != 1 && channel_again(ssl, fd, result, deadline_ns));
	if (result == 1)
		return true;
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	bool late = clock_monotonic_ns() >= deadline_ns;
	snprintf(fault, cap, "%s",
		late     ? "no whole handshake before the deadline"
		: reason ? reason
			 : "closed the connection");
	ERR_clear_error();
	return false;
}

bool channel_write(SSL *ssl, int fd, struct bytes octets, uint64_t deadline_ns)
{
	int result;
	do {
		ERR_clear_error();
		result = SSL_write(ssl, octets.data, (int)octets.len);
	} while (result <= 0 && channel_again(ssl, fd, result, deadline_ns));
	ERR_clear_error();
	return result == (int)octets.len;
}

size_t channel_read(SSL *ssl, int fd, uint8_t *out, size_t cap, uint64_t deadline_ns)
{
	size_t len = 0;
	while (len < cap) {
		ERR_clear_error();
		int result = SSL_read(ssl, out + len, (int)(cap - len));
		if (result > 0)
			len += (size_t)result;
		else if (!channel_again(ssl, fd, result, deadline_ns))
			break;
		/* A peer that trickles would be waited for without end. */
		if (clock_monotonic_ns() >= deadline_ns)
			break;
	}
	ERR_clear_error();
	return len;
}

/* Octet by octet: what stands behind the head is the tunnel's. */
bool channel_connect(int fd, const char *where, uint64_t deadline_ns, unsigned *status)
{
	char request[800], head[HEAD_MAX + 1];
	size_t len = 0;
	*status = 0;
	int n = snprintf(request, sizeof(request), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", where, where);
	if (n <= 0 || (size_t)n >= sizeof(request) || send(fd, request, (size_t)n, MSG_NOSIGNAL) != n)
		return false;
	while (len < HEAD_MAX) {
		if (!wait_until(fd, POLLIN, deadline_ns))
			return false;
		ssize_t got = recv(fd, head + len, 1, 0);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		len += got > 0;
		head[len] = '\0';
		if (len >= 4 && strcmp(head + len - 4, "\r\n\r\n") == 0)
			break;
	}
	if (sscanf(head, "HTTP/1.%*1[01] %3u", status) != 1)
		*status = 0;
	return *status >= 200 && *status < 300;
}
