#include "collect/address.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool address_split(const char *text, char host[static ADDRESS_HOST], char port[static ADDRESS_PORT])
{
	const char *colon = strrchr(text, ':');
	if (!colon || colon == text)
		return false;
	size_t len = (size_t)(colon - text), port_len = strlen(colon + 1);
	bool bracketed = text[0] == '[' && len > 2 && text[len - 1] == ']';
	if (bracketed)
		len -= 2;
	if (len >= ADDRESS_HOST || port_len == 0 || port_len >= ADDRESS_PORT)
		return false;
	memcpy(host, text + bracketed, len);
	host[len] = '\0';
	memcpy(port, colon + 1, port_len + 1);
	return true;
}

/* Closes, and keeps errno. */
static int close_failed(int fd)
{
	int code = errno;
	if (fd >= 0)
		close(fd);
	errno = code;
	return -1;
}

static int bound(const struct addrinfo *at)
{
	int on = 1;
	int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	return close_failed(fd);
}

int address_listen(const char *text, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	char host[ADDRESS_HOST], port[ADDRESS_PORT];
	int fd = -1;
	if (!address_split(text, host, port)) {
		(void)error_set(err, "--listen %s: an address and a port are wanted, as 127.0.0.1:4489", text);
		return -1;
	}
	int code = getaddrinfo(host, port, &hints, &found);
	if (code != 0) {
		(void)error_set(err, "--listen %s: %s", text, gai_strerror(code));
		return -1;
	}
	fd = bound(found);
	if (fd < 0)
		(void)error_set_errno(err, "--listen %s", text);
	freeaddrinfo(found);
	return fd;
}

int address_connect(const char *host, const char *port, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	int fd = -1;
	int code = getaddrinfo(host, port, &hints, &found);
	if (code != 0) {
		(void)error_set(err, "%s", gai_strerror(code));
		return -1;
	}
	errno = EADDRNOTAVAIL;
	for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
		fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) != 0 && errno != EINPROGRESS)
			fd = close_failed(fd);
	}
	if (fd < 0)
		(void)error_set_errno(err, "no connection");
	freeaddrinfo(found);
	return fd;
}
