#include "assess/circle.h"

#include "assess/channel.h"
#include "assess/serving.h"
#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SERVE_NS (5 * NS_PER_S)
#define TURN_NS  (50 * NS_PER_MS) /* between looks at whether it is to end */

struct circle {
	struct serving *serving;
	struct target proxy;
	char where[320];
	atomic_bool used;
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

static void lead(void *arg, const struct serving *self, int fd)
{
	struct circle *circle = arg;
	uint64_t deadline_ns = 0, until_ns = clock_monotonic_ns() + SERVE_NS;
	unsigned status;
	int back = -1;
	if (target_dial(&circle->proxy, &back, &deadline_ns) != DIAL_OK)
		return;
	if (channel_connect(back, circle->where, deadline_ns, &status)) {
		atomic_store(&circle->used, true);
		for (bool open = true; open && !serving_ends(self) && clock_monotonic_ns() < until_ns;) {
			struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = back, .events = POLLIN}};
			if (poll(fds, 2, (int)(TURN_NS / NS_PER_MS)) <= 0)
				continue;
			open = (!fds[0].revents || carry(fd, back, until_ns)) &&
			       (!fds[1].revents || carry(back, fd, until_ns));
		}
	}
	close(back);
}

struct circle *circle_new(const struct target *proxy, const char *where, struct error *err)
{
	struct circle *circle = calloc(1, sizeof(*circle));
	if (!circle) {
		error_set(err, "no memory");
		return NULL;
	}
	circle->proxy = *proxy;
	snprintf(circle->where, sizeof(circle->where), "%s", where);
	atomic_init(&circle->used, false);
	circle->serving = serving_new("127.0.0.1", 0, lead, circle, err);
	if (circle->serving)
		return circle;
	error_prefix(err, "the circle");
	circle_free(circle);
	return NULL;
}

void circle_free(struct circle *circle)
{
	if (!circle)
		return;
	serving_free(circle->serving);
	free(circle);
}

uint16_t circle_port(const struct circle *circle)
{
	return serving_port(circle->serving);
}

bool circle_used(struct circle *circle)
{
	return atomic_load(&circle->used);
}
