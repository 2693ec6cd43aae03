/* proxy/outbox.h — octets for a socket that the kernel has not taken yet. Owns memory only while there are any. */
#ifndef PROXY_OUTBOX_H
#define PROXY_OUTBOX_H

#include "base/bytes.h"
#include "base/loop.h"

struct outbox {
	uint8_t *data; /* NULL when nothing waits */
	size_t len, at;
	uint64_t sent;
};

/* Nothing more should be offered until the socket is writable and outbox_send has been called again. */
static inline bool outbox_stalled(const struct outbox *box)
{
	return box->data != NULL;
}

/*
 * Sends what waits, then `fresh`; what the kernel does not take is kept (copied). False when the connection is gone or
 * memory is: the connection can only be closed then.
 */
must_check bool outbox_send(struct outbox *box, struct loop_io *io, struct bytes fresh);
void outbox_free(struct outbox *box);

#endif
