/*
 * agent/core.h — the agent is two objects. The one that is preloaded (preload.c) stands in every program and needs libc
 * only. This one has Accord in it and needs libssl.so.3; it is loaded when a program that has that library makes its
 * first TLS context, with names bound to the program's own library first (RTLD_DEEPBIND), so that what it calls are the
 * real functions and not the preloaded ones.
 */
#ifndef AGENT_CORE_H
#define AGENT_CORE_H

#include "agent/context.h"
#include "agent/settings.h"

#include <openssl/ssl.h>

#define AGENT_CORE_START "agent_core_start"

/* In place of libssl's functions of these names, for SSLs and contexts of the library that the core is bound to. */
struct agent_core {
	const void *real_ctx_new; /* SSL_CTX_new of that library: tells it from others in the same program */
	SSL_CTX *(*ctx_new)(OSSL_LIB_CTX *lib, const char *propq, const SSL_METHOD *method);
	void (*ctx_set_msg_callback)(SSL_CTX *ctx, context_message_fn *callback);
	void (*set_msg_callback)(SSL *ssl, context_message_fn *callback);
	void (*ctx_set_info_callback)(SSL_CTX *ctx, context_info_fn *callback);
	context_info_fn *(*ctx_get_info_callback)(SSL_CTX *ctx);
	void (*set_info_callback)(SSL *ssl, context_info_fn *callback);
	context_info_fn *(*get_info_callback)(const SSL *ssl);
	void (*ctx_set_cert_verify_callback)(SSL_CTX *ctx, context_verify_fn *callback, void *arg);
	void (*set_verify)(SSL *ssl, int mode, context_step_fn *callback);
	X509 *(*get0_peer_certificate)(const SSL *ssl);
	X509 *(*get1_peer_certificate)(const SSL *ssl);
	STACK_OF(X509) * (*get_peer_cert_chain)(const SSL *ssl);
};

/* Makes the core ready; once per process. The settings must stay. Never NULL: a core that is not ready bars contexts. */
must_check const struct agent_core *agent_core_start(const struct agent_settings *settings);

#endif
