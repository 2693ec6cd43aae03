#include "proxy/signals.h"

#include "base/clock.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void signal_ready(struct loop_io *io)
{
	struct signals *signals = (struct signals *)(void *)((char *)io - offsetof(struct signals, io));
	struct signalfd_siginfo info;
	while (io->fd >= 0 && read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		signals->caught((int)info.ssi_signo, signals->ctx);
}

static sigset_t watched(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGCHLD);
	return set;
}

bool signals_watch(
	struct signals *signals, struct loop *loop, void (*caught)(int number, void *ctx), void *ctx, struct error *err)
{
	sigset_t set = watched();
	*signals = (struct signals){.loop = loop, .io.fd = -1, .caught = caught, .ctx = ctx};
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return error_set_errno(err, "signals cannot be blocked");
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0 || !loop_add(loop, &signals->io, fd, signal_ready))
		return error_set_errno(err, "signals cannot be watched");
	return true;
}

bool signals_repeat(uint64_t *first_ns)
{
	uint64_t now_ns = clock_monotonic_ns();
	if (*first_ns != 0)
		return now_ns - *first_ns <= NS_PER_S;
	*first_ns = now_ns;
	return false;
}

void signals_close(struct signals *signals)
{
	sigset_t set = watched();
	if (signals->io.fd < 0)
		return;
	loop_remove(signals->loop, &signals->io);
	close(signals->io.fd);
	signals->io.fd = -1;
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}
