#include "proxy/upgrade.h"

#include "base/clock.h"
#include "base/log.h"
#include "proxy/family.h"
#include "proxy/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_NS (60 * NS_PER_S) /* for the new program to read its files and start its processes */
#define SERVE_NS (15 * NS_PER_S) /* from READY to SERVING */

struct upgrade {
	struct loop *loop;
	struct ipc *ipc;
	struct loop_timer late;
	pid_t pid;
	bool serving, given, timed_out;
	struct error failure; /* what the new program said */
	const struct upgrade_handlers *handlers;
	void *ctx;
};

static bool tell(struct upgrade *upgrade, enum upgrade_message kind, struct bytes body, int fd)
{
	struct ipc_message message = {.kind = (uint16_t)kind, .body = body, .fds = {fd}, .fd_count = fd >= 0};
	return ipc_send(upgrade->ipc, &message) == IPC_SENT;
}

/* What follows is known when the process is reaped. */
static void on_late(struct loop_timer *timer)
{
	struct upgrade *upgrade = (struct upgrade *)(void *)((char *)timer - offsetof(struct upgrade, late));
	upgrade->timed_out = true;
	kill(upgrade->pid, SIGKILL);
}

static void wait_for(struct upgrade *upgrade, uint64_t ns)
{
	(void)loop_timer_set(upgrade->loop, &upgrade->late, clock_monotonic_ns() + ns, on_late);
}

static void received(struct ipc *ipc, struct ipc_message *message, void *ctx)
{
	struct upgrade *upgrade = ctx;
	(void)ipc;
	switch (message->kind) {
	case UPGRADE_READY:
		wait_for(upgrade, SERVE_NS);
		upgrade->handlers->ready(upgrade->ctx);
		break;
	case UPGRADE_SERVING:
		loop_timer_clear(upgrade->loop, &upgrade->late);
		upgrade->serving = true;
		upgrade->handlers->serving(upgrade->ctx);
		break;
	case UPGRADE_FAILED:
		error_set(&upgrade->failure, "%.*s", (int)message->body.len, (const char *)message->body.data);
		wait_for(upgrade, SERVE_NS);
		break;
	default:
		break;
	}
}

static void closed(struct ipc *ipc, const char *reason, void *ctx)
{
	(void)ipc;
	(void)reason;
	(void)ctx;
}

static const struct ipc_handlers handlers = {.received = received, .closed = closed};

static no_return void become(const char *program, int argc, char *const *argv, int channel)
{
	char number[16];
	char **words = calloc((size_t)argc + 2, sizeof(*words));
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(number, sizeof(number), "%d", FAMILY_FD);
	if (!words || setenv(UPGRADE_ENV, number, 1) != 0 || (channel != FAMILY_FD && dup2(channel, FAMILY_FD) < 0))
		_exit(1);
	fcntl(FAMILY_FD, F_SETFD, 0);
	if (close_range(FAMILY_FD + 1, ~0U, 0) != 0)
		_exit(1);
	words[0] = (char *)(uintptr_t)program;
	memcpy(words + 1, argv, (size_t)argc * sizeof(*words));
	execv(program, words);
	fprintf(stderr, "overt proxy: %s cannot be started: %s\n", program, strerrordesc_np(errno));
	_exit(1);
}

static void hand_listeners(struct upgrade *upgrade, const struct config *config, const int *listen_fds)
{
	uint8_t body[8];
	struct writer w = writer_over(body, sizeof(body));
	writer_u32(&w, UPGRADE_WIRE);
	writer_u32(&w, (uint32_t)config->listen.count);
	bool ok = tell(upgrade, UPGRADE_HELLO, bytes_of(body, sizeof(body)), -1);
	for (size_t i = 0; ok && i < config->listen.count; i++) {
		char text[LISTEN_TEXT];
		size_t len = listen_text(&config->listen.items[i], text);
		ok = tell(upgrade, UPGRADE_LISTENER, bytes_of(text, len), listen_fds[i]);
	}
}

static bool start(struct upgrade *upgrade, const char *program, int argc, char *const *argv, struct error *err)
{
	int fds[2];
	if (!ipc_pair(fds, err))
		return false;
	upgrade->pid = fork();
	if (upgrade->pid == 0)
		become(program, argc, argv, fds[1]);
	close(fds[1]);
	if (upgrade->pid < 0) {
		close(fds[0]);
		return error_set_errno(err, "a process cannot be started");
	}
	upgrade->ipc = ipc_new(upgrade->loop, fds[0], FAMILY_QUEUE, &handlers, upgrade, err);
	return upgrade->ipc != NULL;
}

struct upgrade *upgrade_begin(struct loop *loop, const char *program, int argc, char *const *argv,
	const struct config *config, const int *listen_fds, const struct upgrade_handlers *told, void *ctx,
	struct error *err)
{
	struct upgrade *upgrade = calloc(1, sizeof(*upgrade));
	if (!upgrade) {
		error_set(err, "no memory for it");
		return NULL;
	}
	*upgrade = (struct upgrade){.loop = loop, .handlers = told, .ctx = ctx};
	if (access(program, X_OK) != 0) {
		error_set_errno(err, "%s cannot be started", program);
	} else if (start(upgrade, program, argc, argv, err)) {
		/* Where it has died already, that is known in a moment, and of what. */
		hand_listeners(upgrade, config, listen_fds);
		wait_for(upgrade, START_NS);
		return upgrade;
	}
	upgrade_free(upgrade);
	return NULL;
}

void upgrade_free(struct upgrade *upgrade)
{
	if (!upgrade)
		return;
	if (upgrade->pid > 0 && !upgrade->serving)
		kill(upgrade->pid, SIGKILL);
	loop_timer_clear(upgrade->loop, &upgrade->late);
	ipc_free(upgrade->ipc);
	free(upgrade);
}

pid_t upgrade_pid(const struct upgrade *upgrade)
{
	return upgrade->pid;
}

void upgrade_peer(struct upgrade *upgrade, int fd, struct bytes name)
{
	if (!tell(upgrade, UPGRADE_PEER, name, fd))
		log_error("worker not handed over", LOG_B("worker", name));
}

void upgrade_yours(struct upgrade *upgrade)
{
	if (!upgrade->given)
		upgrade->given = tell(upgrade, UPGRADE_YOURS, BYTES_NONE, -1);
}

void upgrade_done(struct upgrade *upgrade)
{
	(void)tell(upgrade, UPGRADE_DONE, BYTES_NONE, -1);
}

void upgrade_ended(struct upgrade *upgrade, int status, struct error *why)
{
	upgrade->pid = 0; /* which may be anybody's now */
	if (upgrade->failure.text[0])
		*why = upgrade->failure;
	else if (upgrade->timed_out)
		error_set(why, "the new program was not ready in time");
	else if (WIFSIGNALED(status))
		error_set(why, "the new program died of signal %d", WTERMSIG(status));
	else
		error_set(why, "the new program ended with status %d", WEXITSTATUS(status));
}
