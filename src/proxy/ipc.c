#include "proxy/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Messages handled before the rest of the loop gets its turn: a chatty peer must not starve the others. */
#define RECEIVE_PER_TURN 64
/* A queued message costs this beyond its body, so that empty messages are bounded too. */
#define QUEUED_COST 64

/* A message the kernel would not take. */
struct waiting {
	struct waiting *next;
	size_t len;
	int fds[IPC_FDS_MAX];
	size_t fd_count;
	uint8_t datagram[];
};

struct ipc {
	struct loop_io io; /* first: the loop hands it back */
	struct loop_task task;
	struct loop *loop;
	const struct ipc_handlers *handlers;
	void *ctx;
	struct waiting *first, **end;
	struct ipc_counts counts;
	bool closed;   /* nothing goes in or out any more */
	bool told;     /* `closed` was called */
	bool busy;     /* inside a callback */
	bool unwanted; /* freed inside a callback: goes when that returns */
	const char *reason;
	uint8_t *buffer; /* IPC_HEAD + IPC_BODY_MAX + 1 */
};

static struct ipc *ipc_of_task(struct loop_task *task)
{
	return (struct ipc *)(void *)((char *)task - offsetof(struct ipc, task));
}

size_t ipc_pack(uint8_t *out, size_t cap, const struct ipc_message *message)
{
	struct writer w = writer_over(out, cap);
	struct bytes written;
	writer_u16(&w, message->kind);
	writer_u32(&w, message->id);
	writer_bytes(&w, message->body);
	return writer_done(&w, &written) ? written.len : 0;
}

bool ipc_unpack(struct bytes datagram, struct ipc_message *message)
{
	struct ipc_message m = {.fds = {-1, -1, -1, -1}};
	if (!bytes_u16(&datagram, &m.kind) || !bytes_u32(&datagram, &m.id) || datagram.len > IPC_BODY_MAX)
		return false;
	m.body = datagram;
	*message = m;
	return true;
}

bool ipc_pair(int fds[2], struct error *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0)
		return true;
	return error_set_errno(err, "cannot make a channel between processes");
}

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

static void waiting_free(struct waiting *waiting)
{
	close_all(waiting->fds, waiting->fd_count);
	/* Keys travel in these. */
	OPENSSL_cleanse(waiting->datagram, waiting->len);
	free(waiting);
}

static void queue_drop(struct ipc *ipc)
{
	while (ipc->first) {
		struct waiting *waiting = ipc->first;
		ipc->first = waiting->next;
		waiting_free(waiting);
	}
	ipc->end = &ipc->first;
	ipc->counts.queued = 0;
}

static void tell_closed(struct ipc *ipc)
{
	if (ipc->told)
		return;
	ipc->told = true;
	ipc->handlers->closed(ipc, ipc->reason, ipc->ctx);
}

static void destroy(struct ipc *ipc)
{
	loop_task_cancel(ipc->loop, &ipc->task);
	loop_remove(ipc->loop, &ipc->io);
	queue_drop(ipc);
	if (ipc->io.fd >= 0)
		close(ipc->io.fd);
	free(ipc->buffer);
	free(ipc);
}

/* Runs callbacks from `busy` on; afterwards the channel may be gone. */
static void leave(struct ipc *ipc)
{
	if (ipc->closed && !ipc->unwanted)
		tell_closed(ipc);
	ipc->busy = false;
	if (ipc->unwanted)
		destroy(ipc);
}

/* From here on nothing is sent or received. Only while busy: leave() then tells the owner. */
static void shut(struct ipc *ipc, const char *reason)
{
	if (ipc->closed)
		return;
	ipc->closed = true;
	ipc->reason = reason;
	queue_drop(ipc);
	loop_remove(ipc->loop, &ipc->io);
	close(ipc->io.fd);
	ipc->io.fd = -1;
}

/* Takes up to IPC_FDS_MAX descriptors out of the control messages; false when there was anything else or cut off. */
static bool take_fds(struct msghdr *header, struct ipc_message *message)
{
	bool good = !(header->msg_flags & MSG_CTRUNC);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (message->fd_count < IPC_FDS_MAX) {
				message->fds[message->fd_count++] = fd;
			} else {
				close(fd);
				good = false;
			}
		}
	}
	return good;
}

/* False when nothing more is to be had now. */
static bool receive_one(struct ipc *ipc)
{
	struct iovec part = {.iov_base = ipc->buffer, .iov_len = IPC_HEAD + IPC_BODY_MAX + 1};
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
	} control;
	struct msghdr header = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room)};
	ssize_t n = recvmsg(ipc->io.fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	/* ECONNRESET: the peer died with our messages unread; its own last messages still stand behind this error. */
	if (n < 0 && (errno == EINTR || errno == ECONNRESET))
		return true;
	if (n < 0 && errno == EAGAIN) {
		ipc->io.readable = false;
		return false;
	}
	struct ipc_message message = {0};
	struct ipc_message carried = {0};
	bool fds_good = n < 0 || take_fds(&header, &carried);
	if (n <= 0) {
		close_all(carried.fds, carried.fd_count);
		shut(ipc, n == 0 ? NULL : "the socket failed");
		return false;
	}
	if (!fds_good || (header.msg_flags & MSG_TRUNC) || !ipc_unpack(bytes_of(ipc->buffer, (size_t)n), &message)) {
		close_all(carried.fds, carried.fd_count);
		shut(ipc, "a message was no message of this family");
	} else {
		memcpy(message.fds, carried.fds, carried.fd_count * sizeof(int));
		message.fd_count = carried.fd_count;
		ipc->counts.received++;
		ipc->handlers->received(ipc, &message, ipc->ctx);
		close_all(message.fds, message.fd_count);
	}
	OPENSSL_cleanse(ipc->buffer, (size_t)n);
	return !ipc->closed && !ipc->unwanted;
}

static void work(struct ipc *ipc);

static void on_task(struct loop_task *task)
{
	work(ipc_of_task(task));
}

static enum ipc_result send_datagram(
	struct ipc *ipc, struct iovec *parts, size_t count, const int *fds, size_t fd_count)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
	} control = {0};
	struct msghdr header = {.msg_iov = parts, .msg_iovlen = count};
	if (fd_count) {
		header.msg_control = control.room;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		struct cmsghdr *c = CMSG_FIRSTHDR(&header);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
	}
	while (sendmsg(ipc->io.fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		switch (errno) {
		case EINTR:
			break;
		case EAGAIN:
			ipc->io.writable = false;
			return IPC_FULL;
		case ENOBUFS:
		case ETOOMANYREFS:
			/* No edge will tell when this is over. */
			loop_task_queue(ipc->loop, &ipc->task, on_task);
			return IPC_FULL;
		default:
			return IPC_CLOSED;
		}
	}
	return IPC_SENT;
}

static void flush(struct ipc *ipc)
{
	while (ipc->first && !ipc->closed) {
		struct waiting *waiting = ipc->first;
		struct iovec part = {.iov_base = waiting->datagram, .iov_len = waiting->len};
		enum ipc_result result = send_datagram(ipc, &part, 1, waiting->fds, waiting->fd_count);
		if (result == IPC_FULL)
			return;
		if (result == IPC_CLOSED) {
			/* What the peer sent before it closed is still to be read: receiving will find the end. */
			queue_drop(ipc);
			return;
		}
		ipc->first = waiting->next;
		if (!ipc->first)
			ipc->end = &ipc->first;
		ipc->counts.queued -= waiting->len + QUEUED_COST;
		waiting_free(waiting);
	}
}

static void work(struct ipc *ipc)
{
	ipc->busy = true;
	if (!ipc->closed && ipc->io.writable)
		flush(ipc);
	int left = RECEIVE_PER_TURN;
	while (!ipc->closed && !ipc->unwanted && ipc->io.readable && left > 0) {
		left--;
		if (!receive_one(ipc))
			break;
	}
	if (left == 0 && !ipc->closed && !ipc->unwanted)
		loop_task_queue(ipc->loop, &ipc->task, on_task);
	leave(ipc);
}

static void on_ready(struct loop_io *io)
{
	work((struct ipc *)(void *)io);
}

struct ipc *ipc_new(
	struct loop *loop, int fd, size_t queue_cap, const struct ipc_handlers *handlers, void *ctx, struct error *err)
{
	struct ipc *ipc = calloc(1, sizeof(*ipc));
	uint8_t *buffer = malloc(IPC_HEAD + IPC_BODY_MAX + 1);
	if (!ipc || !buffer) {
		error_set(err, "no memory for a channel between processes");
		goto failed;
	}
	ipc->loop = loop;
	ipc->handlers = handlers;
	ipc->ctx = ctx;
	ipc->buffer = buffer;
	ipc->end = &ipc->first;
	ipc->counts.queue_cap = queue_cap;
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || !loop_add(loop, &ipc->io, fd, on_ready)) {
		error_set_errno(err, "cannot watch a channel between processes");
		goto failed;
	}
	/* The peer may have written before we were here; the edge comes with the registration, which epoll reports. */
	return ipc;
failed:
	close(fd);
	free(buffer);
	free(ipc);
	return NULL;
}

void ipc_free(struct ipc *ipc)
{
	if (!ipc)
		return;
	ipc->told = true;
	if (ipc->busy)
		ipc->unwanted = true;
	else
		destroy(ipc);
}

int ipc_release(struct ipc *ipc, int wait_ms)
{
	struct pollfd out = {.fd = ipc->io.fd, .events = POLLOUT};
	if (!ipc->closed)
		flush(ipc);
	while (ipc->first && poll(&out, 1, wait_ms) == 1) {
		flush(ipc);
		/* Polled, it may not end: a peer that is gone is writable. */
		if (out.revents & (POLLERR | POLLHUP))
			break;
	}
	int fd = ipc->first || ipc->closed ? -1 : ipc->io.fd;
	if (fd >= 0) {
		loop_remove(ipc->loop, &ipc->io);
		ipc->io.fd = -1;
	}
	ipc_free(ipc);
	return fd;
}

static enum ipc_result enqueue(struct ipc *ipc, const struct ipc_message *message)
{
	size_t len = IPC_HEAD + message->body.len;
	if (ipc->counts.queued + len + QUEUED_COST > ipc->counts.queue_cap)
		return IPC_FULL;
	struct waiting *waiting = calloc(1, sizeof(*waiting) + len);
	if (!waiting)
		return IPC_FULL;
	waiting->len = ipc_pack(waiting->datagram, len, message);
	for (; waiting->fd_count < message->fd_count; waiting->fd_count++) {
		int copy = fcntl(message->fds[waiting->fd_count], F_DUPFD_CLOEXEC, 0);
		if (copy < 0) {
			waiting_free(waiting);
			return IPC_FULL;
		}
		waiting->fds[waiting->fd_count] = copy;
	}
	*ipc->end = waiting;
	ipc->end = &waiting->next;
	ipc->counts.queued += len + QUEUED_COST;
	return IPC_SENT;
}

enum ipc_result ipc_send(struct ipc *ipc, const struct ipc_message *message)
{
	if (message->body.len > IPC_BODY_MAX || message->fd_count > IPC_FDS_MAX)
		return IPC_TOO_LONG;
	if (ipc->closed)
		return IPC_CLOSED;
	enum ipc_result result = IPC_FULL;
	if (!ipc->first) {
		uint8_t head[IPC_HEAD];
		struct ipc_message bare = {.kind = message->kind, .id = message->id};
		struct iovec parts[2] = {{.iov_base = head, .iov_len = ipc_pack(head, sizeof(head), &bare)},
			{.iov_base = (void *)(uintptr_t)message->body.data, .iov_len = message->body.len}};
		result = send_datagram(ipc, parts, 2, message->fds, message->fd_count);
	}
	if (result == IPC_FULL)
		result = enqueue(ipc, message);
	if (result == IPC_SENT)
		ipc->counts.sent++;
	else if (result == IPC_FULL)
		ipc->counts.refused++;
	return result;
}

struct ipc_counts ipc_count(const struct ipc *ipc)
{
	return ipc->counts;
}
