/*
 * agent/share_update.h — KeyUpdate (RFC 8446, 4.6.3) with an OpenSSL that does not tell of changed keys in its key log:
 * 1.1.1. Its message callback tells when, and the secret follows from the one before (7.2). So the next secret of each
 * direction is kept, in memory of agent/share_pool.h, while the connection lives. The program's own message callbacks are
 * called as before. With a later OpenSSL none of this happens.
 */
#ifndef AGENT_SHARE_UPDATE_H
#define AGENT_SHARE_UPDATE_H

#include "agent/context.h"
#include "agent/share_derive.h"
#include "agent/share_openssl_library.h"

/*
 * Called with the secret of the next epoch, which this side is about to write under, or to read. Of `line` all but the
 * digits is set. What both point to ends with the call. An empty secret: it is not known, for want of room.
 */
typedef void share_update_fn(
	const struct openssl_library *library, SSL *ssl, const struct keylog_line *line, struct bytes secret);

/* Once. */
void share_update_begin(share_update_fn *tell);
/* A new library: false where there is no place in its objects. One thread at a time. */
must_check bool share_update_library(struct openssl_library *library);
/* A new context, and a new connection of one. */
void share_update_attach(const struct openssl_library *library, SSL_CTX *ctx);
void share_update_connect(const struct openssl_library *library, SSL *ssl);
/* A secret of application data was told: the one after it is kept. */
void share_update_keep(const struct openssl_library *library, SSL *ssl, const struct share_secret *from);

/*
 * The program sets a message callback by a function of this address. False where it is of no library that this is about:
 * the call is to be passed on.
 */
must_check bool share_update_own_ctx(const void *set, SSL_CTX *ctx, context_message_fn *own);
must_check bool share_update_own(const void *set, SSL *ssl, context_message_fn *own);

#endif
