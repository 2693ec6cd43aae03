#include "assess/serving.h"

#include "assess/target.h"
#include "base/clock.h"
#include "base/hostport.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 64
#define TURN_NS (50 * NS_PER_MS) /* between looks at whether it is to end */

struct serving {
	int fd;
	uint16_t port;
	pthread_t thread;
	bool started;
	atomic_bool end;
	serving_fn *serve;
	void *arg;
};

static void *run(void *arg)
{
	struct serving *serving = arg;
	while (!atomic_load(&serving->end)) {
		if (!wait_until(serving->fd, POLLIN, clock_monotonic_ns() + TURN_NS))
			continue;
		int fd = accept4(serving->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		serving->serve(serving->arg, serving, fd);
		close(fd);
	}
	return NULL;
}

static bool listen_on(struct serving *serving, const char *ip, uint16_t port, struct error *err)
{
	struct hostport at;
	struct sockaddr_storage to;
	int yes = 1;
	if (!hostport_parse_ip(&at, ip))
		return error_set(err, "%s: is no address to listen on", ip);
	at.port = port;
	socklen_t len = hostport_to_sockaddr(&at, &to);
	serving->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (serving->fd < 0)
		return error_set_errno(err, "no socket");
	(void)setsockopt(serving->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(serving->fd, (struct sockaddr *)&to, len) != 0 || listen(serving->fd, BACKLOG) != 0)
		return error_set_errno(err, "%s port %u cannot be listened on", ip, port);
	len = sizeof(to);
	if (getsockname(serving->fd, (struct sockaddr *)&to, &len) != 0 ||
		!hostport_from_sockaddr(&at, (struct sockaddr *)&to, len))
		return error_set_errno(err, "%s", ip);
	serving->port = at.port;
	return true;
}

struct serving *serving_new(const char *ip, uint16_t port, serving_fn *serve, void *arg, struct error *err)
{
	struct serving *serving = calloc(1, sizeof(*serving));
	if (!serving) {
		error_set(err, "no memory");
		return NULL;
	}
	*serving = (struct serving){.fd = -1, .serve = serve, .arg = arg};
	if (listen_on(serving, ip, port, err)) {
		serving->started = pthread_create(&serving->thread, NULL, run, serving) == 0;
		if (serving->started)
			return serving;
		error_set(err, "no thread");
	}
	serving_free(serving);
	return NULL;
}

void serving_free(struct serving *serving)
{
	if (!serving)
		return;
	atomic_store(&serving->end, true);
	if (serving->started)
		pthread_join(serving->thread, NULL);
	if (serving->fd >= 0)
		close(serving->fd);
	free(serving);
}

uint16_t serving_port(const struct serving *serving)
{
	return serving->port;
}

bool serving_ends(const struct serving *serving)
{
	return atomic_load(&serving->end);
}
