/*
 * collect/link.h — one TLS connection on the loop: libssl over a non-blocking socket, and octets that wait to be sent. The
 * owner reads in pieces; what it sends is kept until the kernel takes it, up to a cap.
 */
#ifndef COLLECT_LINK_H
#define COLLECT_LINK_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/loop.h"

#include <openssl/ssl.h>

enum link_result {
	LINK_OK,
	LINK_WAIT, /* until the socket is ready again */
	LINK_END, /* close_notify, or the end of TCP: nothing that came before is in doubt, frames and lines say where they end */
	LINK_FAILED, /* TLS or TCP failed: link_fault says how */
};

struct link {
	struct loop *loop;
	struct loop_io io; /* the owner's `ready` is called when reading or writing may go on */
	SSL *ssl;
	struct buffer out; /* not yet given to libssl */
	uint64_t sent;     /* octets that libssl has taken */
	bool stalled;      /* libssl waits for the socket with what it was given */
	struct error fault;
};

/* Takes over `fd` (non-blocking) and `ssl`, also on false. `out_cap` in octets. */
must_check bool link_init(
	struct link *link, struct loop *loop, SSL *ssl, int fd, size_t out_cap, void (*ready)(struct loop_io *io));
/* Says close_notify where it can be said at once, and frees. Harmless on a zeroed link. */
void link_close(struct link *link);

must_check enum link_result link_handshake(struct link *link);
/* At most `cap` octets; *len > 0 on LINK_OK. */
must_check enum link_result link_read(struct link *link, void *room, size_t cap, size_t *len);
/* Octets that may still be given to link_send. */
must_check size_t link_space(const struct link *link);
/* Sends, or keeps. LINK_FAILED also when over link_space. */
must_check enum link_result link_send(struct link *link, struct bytes octets);
/* Sends what was kept; LINK_OK: nothing is left. */
must_check enum link_result link_flush(struct link *link);

#endif
