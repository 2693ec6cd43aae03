#include "proxy/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

void outbox_free(struct outbox *box)
{
	free(box->data);
	*box = (struct outbox){.sent = box->sent};
}

/* As much as the kernel takes; the number of octets taken, or -1 when the connection is gone. */
static ssize_t send_some(struct loop_io *io, struct bytes out)
{
	size_t sent = 0;
	while (sent < out.len && io->writable) {
		ssize_t n = send(io->fd, out.data + sent, out.len - sent, MSG_NOSIGNAL);
		if (n >= 0)
			sent += (size_t)n;
		else if (errno == EAGAIN)
			io->writable = false;
		else if (errno != EINTR)
			return -1;
	}
	return (ssize_t)sent;
}

static bool keep(struct outbox *box, struct bytes rest)
{
	size_t old = box->data ? box->len - box->at : 0;
	uint8_t *all = malloc(old + rest.len);
	if (!all)
		return false;
	if (old > 0)
		memcpy(all, box->data + box->at, old);
	if (rest.len > 0)
		memcpy(all + old, rest.data, rest.len);
	free(box->data);
	box->data = all;
	box->len = old + rest.len;
	box->at = 0;
	return true;
}

bool outbox_send(struct outbox *box, struct loop_io *io, struct bytes fresh)
{
	if (box->data) {
		ssize_t n = send_some(io, bytes_of(box->data + box->at, box->len - box->at));
		if (n < 0)
			return false;
		box->sent += (uint64_t)n;
		box->at += (size_t)n;
		if (box->at == box->len)
			outbox_free(box);
	}
	if (fresh.len == 0)
		return true;
	ssize_t n = box->data ? 0 : send_some(io, fresh);
	if (n < 0)
		return false;
	box->sent += (uint64_t)n;
	if ((size_t)n == fresh.len)
		return true;
	return bytes_skip(&fresh, (size_t)n) && keep(box, fresh);
}
