/*
 * share/post.h — the one connection of this host to its collector: batches out, answers back (keys/courier.h). One thread;
 * it blocks, but for no longer than the connection's own limits say.
 */
#ifndef SHARE_POST_H
#define SHARE_POST_H

#include "keys/courier.h"

#include <openssl/ssl.h>

struct post_options {
	/* A connection whose handshake is over, which blocks, and not for ever. NULL with a sentence. */
	SSL *(*connect)(void *arg, struct error *err);
	/* The collector takes no more under this grant. */
	void (*ended)(void *own, const uint8_t grant[static RELEASE_GRANT], enum courier_why why);
	void *arg, *own;
};

struct post;

must_check struct post *post_new(const struct post_options *options); /* NULL without memory */
void post_free(struct post *post);                                    /* NULL is allowed */

/* Connects, unless it is connected. False: there is no collector now; it is asked at most once a second. */
must_check bool post_ready(struct post *post);
/* When that is ready: sends a PUT frame, and waits for its answer. False: to be sent again, which does no harm. */
must_check bool post_send(struct post *post, struct bytes frame, uint64_t batch, struct courier_taken *taken);
/* Hears what the collector says by itself, without waiting. */
void post_listen(struct post *post);
/* Connections made. */
must_check uint64_t post_connections(const struct post *post);

#endif
