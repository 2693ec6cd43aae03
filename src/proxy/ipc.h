/*
 * proxy/ipc.h — messages between the processes of the family: one SOCK_SEQPACKET socketpair per channel, one datagram
 * per message: kind (16 bits), id (32 bits), body; up to four descriptors may travel along. The other end is held to be
 * hostile: what breaks the form closes the channel, what is too much is refused and counted.
 */
#ifndef PROXY_IPC_H
#define PROXY_IPC_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/loop.h"

#define IPC_BODY_MAX ((size_t)128 * 1024) /* octets */
#define IPC_FDS_MAX  4
#define IPC_HEAD     6 /* octets before the body */

struct ipc;

struct ipc_message {
	uint16_t kind;
	uint32_t id;
	struct bytes body; /* received: valid during the callback only, wiped after it */
	int fds[IPC_FDS_MAX];
	size_t fd_count;
};

enum ipc_result {
	IPC_SENT,     /* in the kernel's hands, or waiting in the channel's queue */
	IPC_FULL,     /* the queue has no room: refused and counted */
	IPC_TOO_LONG, /* body over IPC_BODY_MAX or more than IPC_FDS_MAX descriptors */
	IPC_CLOSED,   /* the channel is closed */
};

struct ipc_counts {
	uint64_t sent, received; /* messages */
	uint64_t refused;        /* messages that found the queue full */
	size_t queued;           /* octets waiting now */
	size_t queue_cap;
};

struct ipc_handlers {
	/*
	 * One message. Descriptors (all CLOEXEC) that the callback wants to keep it takes by setting their place in
	 * `fds` to -1; the rest are closed when it returns. The callback may send, and may ipc_free the channel.
	 */
	void (*received)(struct ipc *ipc, struct ipc_message *message, void *ctx);
	/* Once, when the peer closed (`reason` NULL), the socket failed, or the peer sent nonsense (`reason` says which).
	 * Nothing is received or sent after it; the channel still has to be freed, and may be freed in here. */
	void (*closed)(struct ipc *ipc, const char *reason, void *ctx);
};

/* A connected pair, both CLOEXEC, the caller's. False with `err` set. */
must_check bool ipc_pair(int fds[2], struct error *err);

/*
 * A channel on `fd`, which it takes, made non-blocking (also on failure it is closed). `queue_cap`: octets that may wait
 * for a slow peer. `handlers` must outlive the channel. NULL with `err` set.
 */
must_check struct ipc *ipc_new(
	struct loop *loop, int fd, size_t queue_cap, const struct ipc_handlers *handlers, void *ctx, struct error *err);
/* Closes the socket; queued messages are lost and wiped. `closed` is not called. NULL is allowed. */
void ipc_free(struct ipc *ipc);

/*
 * Ends the channel without a word to the peer and returns its descriptor, the caller's, in which everything still stands
 * that the peer sent and nobody has received. -1 when messages of ours found no way out within `wait_ms`: the channel is
 * then closed. Not inside a callback of this channel.
 */
must_check int ipc_release(struct ipc *ipc, int wait_ms);

/* Copies the body; the descriptors are duplicated by need, the caller's stay the caller's. Never calls back. */
must_check enum ipc_result ipc_send(struct ipc *ipc, const struct ipc_message *message);
must_check struct ipc_counts ipc_count(const struct ipc *ipc);

/*
 * The datagram's form without a loop, for processes that block (the resolver's threads).
 * ipc_pack: octets written to out (IPC_HEAD + body), 0 when `cap` is too small. ipc_unpack: views into `datagram`.
 */
must_check size_t ipc_pack(uint8_t *out, size_t cap, const struct ipc_message *message);
must_check bool ipc_unpack(struct bytes datagram, struct ipc_message *message);

#endif
