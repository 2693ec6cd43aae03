#include "proxy/listening.h"

#include "base/hostport.h"
#include "base/log.h"
#include "proxy/takeover.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096

static bool set_options(int fd, const struct listen_at *at, int family)
{
	int yes = 1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0)
		return false;
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes)) != 0)
		return false;
	if (at->mode != LISTEN_TPROXY)
		return true;
	return family == AF_INET ? setsockopt(fd, SOL_IP, IP_TRANSPARENT, &yes, sizeof(yes)) == 0
	                         : setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, &yes, sizeof(yes)) == 0;
}

/* The address that the socket got. "-" when the kernel does not say. */
static const char *bound_text(int fd, char text[HOSTPORT_TEXT])
{
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	struct hostport address;
	if (getsockname(fd, (struct sockaddr *)&bound, &len) == 0 &&
		hostport_from_sockaddr(&address, (struct sockaddr *)&bound, len))
		return hostport_text(&address, text);
	return "-";
}

static void say_listening(int fd, const struct listen_at *at)
{
	char text[HOSTPORT_TEXT];
	log_info("listening", LOG_S("address", bound_text(fd, text)), LOG_S("mode", listen_mode_name(at->mode)));
}

static int open_one(const char *option, const struct listen_at *at, struct error *err)
{
	char text[LISTEN_TEXT];
	struct sockaddr_storage to;
	socklen_t len = hostport_to_sockaddr(&at->at, &to);
	listen_text(at, text);
	int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && set_options(fd, at, to.ss_family) && bind(fd, (struct sockaddr *)&to, len) == 0)
		return fd;
	int code = errno;
	if (fd >= 0)
		close(fd);
	errno = code;
	const char *todo = code == EADDRINUSE      ? " (another program listens there: choose another port)"
	                   : code == EACCES        ? " (ports below 1024 need root or CAP_NET_BIND_SERVICE)"
	                   : code == EPERM         ? " (tproxy needs CAP_NET_ADMIN)"
	                   : code == EADDRNOTAVAIL ? " (no interface of this machine has that address)"
	                                           : "";
	error_set_errno(err, "--%s %s cannot be opened%s", option, text, todo);
	return -1;
}

int listening_one(const char *option, const struct listen_at *at, struct error *err)
{
	char text[HOSTPORT_TEXT];
	int fd = open_one(option, at, err);
	if (fd < 0)
		return -1;
	if (listen(fd, 64) != 0) {
		error_set_errno(err, "--%s: the port cannot be listened at", option);
		close(fd);
		return -1;
	}
	log_info("serving", LOG_S("what", option), LOG_S("address", bound_text(fd, text)));
	return fd;
}

bool listening_take(const struct config *config, struct takeover *takeover, int **fds, struct error *err)
{
	size_t count = config->listen.count;
	*fds = calloc(count ? count : 1, sizeof(**fds));
	if (!*fds)
		return error_set(err, "no memory for listeners");
	for (size_t i = 0; i < count; i++) {
		(*fds)[i] = takeover_listener(takeover, &config->listen.items[i]);
		if ((*fds)[i] < 0)
			(*fds)[i] = open_one("listen", &config->listen.items[i], err);
		if ((*fds)[i] >= 0)
			continue;
		for (size_t k = 0; k < i; k++)
			close((*fds)[k]);
		free(*fds);
		*fds = NULL;
		return false;
	}
	return true;
}

bool listening_open(const struct config *config, int **fds, struct error *err)
{
	return listening_take(config, NULL, fds, err);
}

bool listening_begin(const struct config *config, const int *fds, struct error *err)
{
	char text[LISTEN_TEXT];
	for (size_t i = 0; i < config->listen.count; i++) {
		listen_text(&config->listen.items[i], text);
		if (listen(fds[i], BACKLOG) != 0)
			return error_set_errno(err, "--listen %s cannot be listened at", text);
		say_listening(fds[i], &config->listen.items[i]);
	}
	return true;
}

void listening_end(const struct config *config, const int *fds)
{
	for (size_t i = 0; i < config->listen.count; i++)
		shutdown(fds[i], SHUT_RDWR);
}

void listening_leave(const struct config *config, int *fds)
{
	for (size_t i = 0; fds && i < config->listen.count; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

void listening_close(const struct config *config, int *fds)
{
	listening_leave(config, fds);
	free(fds);
}
