/*
 * agent/context.h — the callbacks of a context and its SSLs: libssl has room for one of each, which is the agent's; the
 * program's own are kept here and called after it. For contexts that were not taken all of this is libssl's.
 */
#ifndef AGENT_CONTEXT_H
#define AGENT_CONTEXT_H

#include "base/error.h"

#include <openssl/ssl.h>

/* After accord_client_attach: puts callbacks of our own in, which leave servers alone. */
must_check bool context_take(SSL_CTX *ctx, struct error *err);
/* What the program would say of a chain: its own callback, or libssl's way. */
must_check int context_next_verify(X509_STORE_CTX *store, void *arg);

/* As libssl's functions. */
void context_set_message(SSL_CTX *ctx,
	void (*callback)(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg));
void context_set_ssl_message(SSL *ssl,
	void (*callback)(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg));
void context_set_info(SSL_CTX *ctx, void (*callback)(const SSL *ssl, int where, int ret));
void (*context_get_info(SSL_CTX *ctx))(const SSL *ssl, int where, int ret);
void context_set_ssl_info(SSL *ssl, void (*callback)(const SSL *ssl, int where, int ret));
void (*context_get_ssl_info(const SSL *ssl))(const SSL *ssl, int where, int ret);
void context_set_verify(SSL_CTX *ctx, int (*callback)(X509_STORE_CTX *store, void *arg), void *arg);
/* A client cannot be told in the middle of its handshake to look away. */
void context_set_ssl_verify(SSL *ssl, int mode, int (*callback)(int ok, X509_STORE_CTX *store));

#endif
