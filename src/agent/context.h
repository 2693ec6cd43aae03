/*
 * agent/context.h — the callbacks of a context and its SSLs: libssl has room for one of each, which is the agent's; the
 * program's own are kept here and called after it. For contexts that were not taken all of this is libssl's.
 */
#ifndef AGENT_CONTEXT_H
#define AGENT_CONTEXT_H

#include "base/error.h"

#include <openssl/ssl.h>

typedef void context_message_fn(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg);
typedef void context_info_fn(const SSL *ssl, int where, int ret);
typedef int context_verify_fn(X509_STORE_CTX *store, void *arg);
typedef int context_step_fn(int ok, X509_STORE_CTX *store);

/*
 * After accord_client_attach, or accord_server_attach when `server`: puts callbacks of our own in, which leave connections of
 * the other side alone.
 */
must_check bool context_take(SSL_CTX *ctx, bool server, struct error *err);
/* What the program would say of a chain: its own callback, or libssl's way. */
must_check int context_next_verify(X509_STORE_CTX *store, void *arg);

/* As libssl's functions. */
void context_set_message(SSL_CTX *ctx, context_message_fn *callback);
void context_set_ssl_message(SSL *ssl, context_message_fn *callback);
void context_set_info(SSL_CTX *ctx, context_info_fn *callback);
must_check context_info_fn *context_get_info(SSL_CTX *ctx);
void context_set_ssl_info(SSL *ssl, context_info_fn *callback);
must_check context_info_fn *context_get_ssl_info(const SSL *ssl);
void context_set_verify(SSL_CTX *ctx, context_verify_fn *callback, void *arg);
/* Nobody can be told in the middle of a handshake to look away. */
void context_set_ssl_verify(SSL *ssl, int mode, context_step_fn *callback);

#endif
