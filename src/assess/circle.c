#include "assess/circle.h"

#include "assess/channel.h"
#include "base/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SERVE_NS (5 * NS_PER_S)
#define TURN_NS  (50 * NS_PER_MS)

struct circle {
	int fd;
	uint16_t port;
	struct target proxy;
	char where[320];
	pthread_t thread;
	bool started;
	atomic_bool end, used;
};

/* What stands ready on one side goes to the other. False at an end. */
static bool carry(int from, int to, uint64_t deadline_ns)
{
	uint8_t room[16384];
	ssize_t n = recv(from, room, sizeof(room), 0);
	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	return send_until(to, bytes_of(room, (size_t)n), deadline_ns);
}

static void lead(struct circle *circle, int fd)
{
	uint64_t deadline_ns = 0, until_ns = clock_monotonic_ns() + SERVE_NS;
	unsigned status;
	int back = -1;
	if (target_dial(&circle->proxy, &back, &deadline_ns) != DIAL_OK)
		return;
	if (channel_connect(back, circle->where, deadline_ns, &status)) {
		atomic_store(&circle->used, true);
		for (bool open = true; open && !atomic_load(&circle->end) && clock_monotonic_ns() < until_ns;) {
			struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = back, .events = POLLIN}};
			if (poll(fds, 2, (int)(TURN_NS / NS_PER_MS)) <= 0)
				continue;
			open = (!fds[0].revents || carry(fd, back, until_ns)) &&
			       (!fds[1].revents || carry(back, fd, until_ns));
		}
	}
	close(back);
}

static void *run(void *arg)
{
	struct circle *circle = arg;
	while (!atomic_load(&circle->end)) {
		if (!wait_until(circle->fd, POLLIN, clock_monotonic_ns() + TURN_NS))
			continue;
		int fd = accept4(circle->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			continue;
		lead(circle, fd);
		close(fd);
	}
	return NULL;
}

static bool begin(struct circle *circle, struct error *err)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	circle->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (circle->fd < 0 || bind(circle->fd, (struct sockaddr *)&at, len) != 0 || listen(circle->fd, 8) != 0 ||
		getsockname(circle->fd, (struct sockaddr *)&at, &len) != 0)
		return error_set_errno(err, "no port for the circle");
	circle->port = ntohs(at.sin_port);
	circle->started = pthread_create(&circle->thread, NULL, run, circle) == 0;
	return circle->started || error_set(err, "no thread");
}

struct circle *circle_new(const struct target *proxy, const char *where, struct error *err)
{
	struct circle *circle = calloc(1, sizeof(*circle));
	if (!circle) {
		error_set(err, "no memory");
		return NULL;
	}
	circle->fd = -1;
	circle->proxy = *proxy;
	snprintf(circle->where, sizeof(circle->where), "%s", where);
	atomic_init(&circle->end, false);
	atomic_init(&circle->used, false);
	if (begin(circle, err))
		return circle;
	circle_free(circle);
	return NULL;
}

void circle_free(struct circle *circle)
{
	if (!circle)
		return;
	atomic_store(&circle->end, true);
	if (circle->started)
		pthread_join(circle->thread, NULL);
	if (circle->fd >= 0)
		close(circle->fd);
	free(circle);
}

uint16_t circle_port(const struct circle *circle)
{
	return circle->port;
}

bool circle_used(struct circle *circle)
{
	return atomic_load(&circle->used);
}
