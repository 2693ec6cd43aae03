#include "proxy/takeover.h"

#include "base/clock.h"
#include "base/text.h"
#include "proxy/family.h"
#include "proxy/ipc.h"
#include "proxy/upgrade.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define GREET_NS      (10 * NS_PER_S)
#define LISTENERS_MAX 4096

struct given {
	char text[LISTEN_TEXT];
	int fd; /* -1: taken */
};

struct takeover {
	struct loop *loop; /* its own, until takeover_watch */
	bool own_loop;
	struct ipc *ipc;
	struct loop_timer late;
	struct given *given;
	size_t count, announced;
	bool greeted, closed;
	struct error fault;
	const struct takeover_handlers *handlers;
	void *ctx;
};

static void tell(struct takeover *takeover, enum upgrade_message kind, struct bytes body)
{
	struct ipc_message message = {.kind = (uint16_t)kind, .body = body};
	/* One that is gone is told by its channel. */
	if (takeover->ipc && !takeover->closed)
		(void)!ipc_send(takeover->ipc, &message);
}

/* The beginning: HELLO and the sockets, on a loop of its own. */

static void greeted(struct takeover *takeover, struct bytes body)
{
	uint32_t wire, count;
	if (!bytes_u32(&body, &wire) || wire != UPGRADE_WIRE) {
		error_set(&takeover->fault,
			"the running program hands over in another way than this version understands: stop it, then "
			"start this one");
	} else if (!bytes_u32(&body, &count) || count > LISTENERS_MAX) {
		error_set(&takeover->fault, "the running program's first message is malformed");
	} else {
		takeover->announced = count;
		takeover->given = calloc(count + 1, sizeof(*takeover->given));
		if (!takeover->given)
			error_set(&takeover->fault, "no memory for the sockets");
	}
	takeover->greeted = true;
}

static void take_listener(struct takeover *takeover, struct ipc_message *message)
{
	if (takeover->count == takeover->announced || message->fd_count != 1 || message->body.len >= LISTEN_TEXT)
		return;
	struct given *given = &takeover->given[takeover->count++];
	memcpy(given->text, message->body.data, message->body.len);
	given->text[message->body.len] = '\0';
	given->fd = message->fds[0];
	message->fds[0] = -1;
}

static void received_greeting(struct takeover *takeover, struct ipc_message *message)
{
	if (message->kind == UPGRADE_HELLO && !takeover->greeted)
		greeted(takeover, message->body);
	else if (message->kind == UPGRADE_LISTENER && takeover->given)
		take_listener(takeover, message);
	if (takeover->fault.text[0] || (takeover->greeted && takeover->count == takeover->announced))
		loop_stop(takeover->loop);
}

static void received(struct ipc *ipc, struct ipc_message *message, void *ctx)
{
	struct takeover *takeover = ctx;
	const struct takeover_handlers *told = takeover->handlers;
	(void)ipc;
	if (!told)
		received_greeting(takeover, message);
	else if (message->kind == UPGRADE_PEER && message->fd_count == 1)
		told->peer(&message->fds[0], message->body, takeover->ctx);
	else if (message->kind == UPGRADE_YOURS)
		told->yours(takeover->ctx);
	else if (message->kind == UPGRADE_DONE)
		told->done(takeover->ctx);
}

static void closed(struct ipc *ipc, const char *reason, void *ctx)
{
	struct takeover *takeover = ctx;
	(void)ipc;
	(void)reason;
	takeover->closed = true;
	if (takeover->handlers) {
		takeover->handlers->gone(takeover->ctx);
		return;
	}
	error_set(&takeover->fault, "the program to take over from is gone");
	loop_stop(takeover->loop);
}

static const struct ipc_handlers handlers = {.received = received, .closed = closed};

static void greeting_late(struct loop_timer *timer)
{
	struct takeover *takeover = (struct takeover *)(void *)((char *)timer - offsetof(struct takeover, late));
	error_set(&takeover->fault, "the program to take over from says nothing");
	loop_stop(takeover->loop);
}

/* Whoever can set the environment is the user anyway; this tells a stray variable from an upgrade. */
static bool is_parent(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == getppid();
}

static bool greet(struct takeover *takeover, int fd, struct error *err)
{
	takeover->loop = loop_new();
	takeover->own_loop = true;
	if (!takeover->loop)
		return error_set_errno(err, "no event loop");
	takeover->ipc = ipc_new(takeover->loop, fd, FAMILY_QUEUE, &handlers, takeover, err);
	if (!takeover->ipc ||
		!loop_timer_set(takeover->loop, &takeover->late, clock_monotonic_ns() + GREET_NS, greeting_late))
		return error_set(err, "no memory to take over");
	bool ran = loop_run(takeover->loop);
	loop_timer_clear(takeover->loop, &takeover->late);
	if (ran && !takeover->fault.text[0])
		return true;
	return error_set(err, "%s", ran ? takeover->fault.text : "the event loop failed");
}

bool takeover_open(struct takeover **out, struct error *err)
{
	uint64_t fd;
	const char *number = getenv(UPGRADE_ENV);
	*out = NULL;
	if (!number)
		return true;
	bool good = text_number(bytes_str(number), 1024, &fd) && is_parent((int)fd);
	unsetenv(UPGRADE_ENV);
	if (!good)
		return error_set(err, UPGRADE_ENV " is set, and nobody hands anything over: unset it");
	struct takeover *takeover = calloc(1, sizeof(*takeover));
	if (!takeover)
		return error_set(err, "no memory to take over");
	/* Above what children are given theirs at, and not for them. */
	int own = fcntl((int)fd, F_DUPFD_CLOEXEC, FAMILY_FD + 1);
	close((int)fd);
	if (own >= 0 && greet(takeover, own, err)) {
		*out = takeover;
		return true;
	}
	if (own < 0)
		error_set_errno(err, "what the running program hands over cannot be taken");
	takeover_failed(takeover, err);
	takeover_free(takeover);
	return false;
}

int takeover_listener(struct takeover *takeover, const struct listen_at *at)
{
	char text[LISTEN_TEXT];
	listen_text(at, text);
	for (size_t i = 0; takeover && i < takeover->count; i++) {
		struct given *given = &takeover->given[i];
		if (given->fd < 0 || strcmp(given->text, text) != 0)
			continue;
		int fd = given->fd;
		given->fd = -1;
		return fd;
	}
	return -1;
}

static void leave_own_loop(struct takeover *takeover)
{
	if (takeover->own_loop)
		loop_free(takeover->loop);
	takeover->own_loop = false;
}

/* The channel goes from one loop to another; what stands in it unread goes along. */
static bool change_loop(struct takeover *takeover, struct loop *loop, bool own, struct error *err)
{
	int fd = takeover->ipc ? ipc_release(takeover->ipc, 0) : -1;
	takeover->ipc = NULL;
	leave_own_loop(takeover);
	takeover->loop = loop;
	takeover->own_loop = own;
	if (fd < 0)
		return error_set(err, "the program to take over from is gone");
	takeover->ipc = ipc_new(loop, fd, FAMILY_QUEUE, &handlers, takeover, err);
	return takeover->ipc != NULL;
}

bool takeover_watch(struct takeover *takeover, struct loop *loop, const struct takeover_handlers *told, void *ctx,
	struct error *err)
{
	takeover->handlers = told;
	takeover->ctx = ctx;
	return change_loop(takeover, loop, false, err);
}

void takeover_unwatch(struct takeover *takeover)
{
	struct loop *own = loop_new();
	struct error gone;
	/* Without a loop there is nobody to tell any more; the other program sees the end of this one. */
	if (own) {
		(void)!change_loop(takeover, own, true, &gone);
		return;
	}
	ipc_free(takeover->ipc);
	takeover->ipc = NULL;
	takeover->loop = NULL;
}

void takeover_ready(struct takeover *takeover)
{
	tell(takeover, UPGRADE_READY, BYTES_NONE);
}

void takeover_serving(struct takeover *takeover)
{
	tell(takeover, UPGRADE_SERVING, BYTES_NONE);
}

void takeover_failed(struct takeover *takeover, const struct error *why)
{
	if (takeover)
		tell(takeover, UPGRADE_FAILED, bytes_str(why->text));
}

void takeover_free(struct takeover *takeover)
{
	if (!takeover)
		return;
	ipc_free(takeover->ipc);
	for (size_t i = 0; i < takeover->count; i++) {
		if (takeover->given[i].fd >= 0)
			close(takeover->given[i].fd);
	}
	free(takeover->given);
	leave_own_loop(takeover);
	free(takeover);
}
