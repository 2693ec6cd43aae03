#include "agent/share_quiet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <time.h>

static sigset_t pipe_only(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	return set;
}

void share_quiet_begin(struct share_quiet *quiet)
{
	sigset_t set = pipe_only(), pending;
	quiet->error = errno;
	sigpending(&pending);
	quiet->pending = sigismember(&pending, SIGPIPE) == 1;
	(void)pthread_sigmask(SIG_BLOCK, &set, &quiet->mask);
}

void share_quiet_end(const struct share_quiet *quiet)
{
	const struct timespec none = {0};
	sigset_t set = pipe_only();
	if (!quiet->pending)
		(void)sigtimedwait(&set, NULL, &none);
	(void)pthread_sigmask(SIG_SETMASK, &quiet->mask, NULL);
	errno = quiet->error;
}

bool share_quiet_writable(int fd)
{
	struct pollfd polled = {.fd = fd, .events = POLLOUT | POLLRDHUP};
	int kept = errno;
	bool ok = fd < 0 || (poll(&polled, 1, 0) == 1 && polled.revents == POLLOUT);
	errno = kept;
	return ok;
}

bool share_quiet_nonblocking(int fd)
{
	int kept = errno;
	int flags = fd < 0 ? O_NONBLOCK : fcntl(fd, F_GETFL);
	errno = kept;
	return flags >= 0 && (flags & O_NONBLOCK) != 0;
}
