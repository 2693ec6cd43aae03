#include "assess/channel.h"

#include "assess/target.h"
#include "base/clock.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>

#define HEAD_MAX 8192

/* Before and behind each operation of the socket's BIO. What is refused here ends libssl's call. */
static long on_operation(
	BIO *bio, int operation, const char *data, size_t len, int argi, long argl, int result, size_t *processed)
{
	struct channel *channel = (struct channel *)(void *)BIO_get_callback_arg(bio);
	(void)data;
	(void)len;
	(void)argi;
	(void)argl;
	if (operation == (BIO_CB_READ | BIO_CB_RETURN) && result > 0 && processed)
		channel->left -= *processed < channel->left ? *processed : channel->left;
	if (operation & BIO_CB_RETURN)
		return result;
	if (operation == BIO_CB_READ && (channel->left == 0 || clock_monotonic_ns() >= channel->deadline_ns)) {
		BIO_clear_retry_flags(bio);
		return -1;
	}
	return 1;
}

bool channel_open(struct channel *channel, SSL *ssl, int fd, uint64_t deadline_ns)
{
	*channel = (struct channel){.ssl = ssl, .fd = fd, .deadline_ns = deadline_ns, .left = CHANNEL_OCTETS};
	if (SSL_set_fd(ssl, fd) != 1)
		return false;
	BIO *bio = SSL_get_rbio(ssl);
	BIO_set_callback_arg(bio, (char *)(void *)channel);
	BIO_set_callback_ex(bio, on_operation);
	return true;
}

bool channel_again(struct channel *channel, int result)
{
	int code = SSL_get_error(channel->ssl, result);
	short events = code == SSL_ERROR_WANT_READ ? POLLIN : code == SSL_ERROR_WANT_WRITE ? POLLOUT : 0;
	return events != 0 && wait_until(channel->fd, events, channel->deadline_ns);
}

const char *channel_why(const struct channel *channel)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	bool late = clock_monotonic_ns() >= channel->deadline_ns;
	ERR_clear_error();
	if (channel->left == 0)
		return "no end to what it sends";
	return late ? "no end of it before the deadline" : reason ? reason : "closed the connection";
}

bool channel_shake(struct channel *channel)
{
	int result;
	do {
		ERR_clear_error();
		result = SSL_do_handshake(channel->ssl);
	} while (result != 1 && channel_again(channel, result));
	return result == 1;
}

bool channel_write(struct channel *channel, struct bytes octets)
{
	int result;
	do {
		ERR_clear_error();
		result = SSL_write(channel->ssl, octets.data, (int)octets.len);
	} while (result <= 0 && channel_again(channel, result));
	return result == (int)octets.len;
}

size_t channel_read(struct channel *channel, uint8_t *out, size_t cap)
{
	size_t len = 0;
	while (len < cap) {
		ERR_clear_error();
		int result = SSL_read(channel->ssl, out + len, (int)(cap - len));
		if (result > 0)
			len += (size_t)result;
		else if (!channel_again(channel, result))
			break;
	}
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
