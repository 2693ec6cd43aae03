#include "agent/context.h"

#include "accord/client.h"
#include "accord/server.h"
#include "agent/post.h"
#include "agent/shown.h"

#include <openssl/err.h>
#include <stdlib.h>

/* The program's callbacks of a context. */
struct context {
	bool server; /* what is attached is an aware server's side */
	context_message_fn *message;
	context_info_fn *info;
	context_verify_fn *verify;
	void *verify_arg;
};

/* Those of one SSL. */
struct own {
	bool has_message; /* one of its own, or none, whatever the context has */
	context_message_fn *message;
	context_info_fn *info; /* NULL: the context's */
};

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static int ctx_slot = -1;
static int slot = -1;

static void on_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
	free(ptr);
}

/* SSL_dup copies callbacks, and what it makes must not free ours twice. */
static int on_dup(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **ptr, int idx, long argl, void *argp)
{
	struct own **at = (struct own **)ptr;
	(void)to, (void)from, (void)idx, (void)argl, (void)argp;
	struct own *copy = *at ? malloc(sizeof(*copy)) : NULL;
	bool ok = copy || !*at;
	if (copy)
		*copy = **at;
	*at = copy;
	return ok;
}

static void make_slots(void)
{
	ctx_slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_free);
	slot = SSL_get_ex_new_index(0, NULL, NULL, on_dup, on_free);
}

static bool slots_ok(void)
{
	return CRYPTO_THREAD_run_once(&once, make_slots) == 1 && ctx_slot >= 0 && slot >= 0;
}

static struct context *context_of(const SSL_CTX *ctx)
{
	return slots_ok() ? SSL_CTX_get_ex_data(ctx, ctx_slot) : NULL;
}

static struct own *own_of(const SSL *ssl)
{
	return SSL_get_ex_data(ssl, slot);
}

/* Made when first asked for. NULL without memory. */
static struct own *own_make(SSL *ssl)
{
	struct own *own = own_of(ssl);
	if (own)
		return own;
	own = calloc(1, sizeof(*own));
	if (own && SSL_set_ex_data(ssl, slot, own) == 1)
		return own;
	free(own);
	return NULL;
}

static void on_message(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
	const struct context *context = context_of(SSL_get_SSL_CTX(ssl));
	const struct own *own = own_of(ssl);
	if (context && context->server)
		accord_server_message(write, version, type, data, len, ssl, NULL);
	else
		accord_client_message(write, version, type, data, len, ssl, NULL);
	context_message_fn *next = own && own->has_message ? own->message : context ? context->message : NULL;
	if (next)
		next(write, version, type, data, len, ssl, arg);
}

/*
 * Where the certificate callback did not run, as with a key that both sides had before, libssl has nothing against the
 * connection, and the program would go on. It finds it closed.
 */
static void close_unproven(SSL *ssl)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct report report = {.kind = REPORT_CONNECTION,
		.path = REPORT_REFUSED,
		.host = name ? bytes_str(name) : BYTES_NONE,
		.text = bytes_str("the peer showed no certificate")};
	SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	post_report(&report);
}

static void on_info(const SSL *ssl, int where, int ret)
{
	const struct context *context = context_of(SSL_get_SSL_CTX(ssl));
	const struct own *own = own_of(ssl);
	if (context && context->server) {
		accord_server_info(ssl, where, ret);
	} else if (!SSL_is_server(ssl)) {
		accord_client_info(ssl, where, ret);
		/* libssl's callback has const where all that one may do about it has not. */
		if ((where & SSL_CB_HANDSHAKE_DONE) && !accord_client_passed(ssl))
			close_unproven((SSL *)(uintptr_t)ssl);
	}
	context_info_fn *next = own && own->info ? own->info : context ? context->info : NULL;
	if (next)
		next(ssl, where, ret);
}

int context_next_verify(X509_STORE_CTX *store, void *arg)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	const struct context *context = ssl ? context_of(SSL_get_SSL_CTX(ssl)) : NULL;
	(void)arg;
	return context && context->verify ? context->verify(store, context->verify_arg) : X509_verify_cert(store);
}

static int on_verify(X509_STORE_CTX *store, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	const struct context *context = ssl ? context_of(SSL_get_SSL_CTX(ssl)) : NULL;
	if (context && context->server)
		return SSL_is_server(ssl) ? accord_server_verify(store, arg) : context_next_verify(store, arg);
	if (!ssl || SSL_is_server(ssl))
		return context_next_verify(store, arg);
	shown_clear(ssl);
	/* Programs show the oldest error in the queue: it is to be libssl's verdict, and nothing met on the way to it. */
	(void)ERR_set_mark();
	int ok = accord_client_verify(store, NULL);
	(void)ERR_pop_to_mark();
	const struct accord_outcome *outcome = accord_client_outcome(ssl);
	if (ok <= 0 || !outcome || outcome->path != ACCORD_PATH_PROVEN)
		return ok;
	if (shown_set(ssl, store, &outcome->proven.server))
		return 1;
	X509_STORE_CTX_set_error(store, X509_V_ERR_OUT_OF_MEM);
	return 0;
}

bool context_take(SSL_CTX *ctx, bool server, struct error *err)
{
	struct context *context = slots_ok() ? calloc(1, sizeof(*context)) : NULL;
	if (!context || SSL_CTX_set_ex_data(ctx, ctx_slot, context) != 1) {
		free(context);
		return error_set(err, "no memory for the agent");
	}
	context->server = server;
	SSL_CTX_set_cert_verify_callback(ctx, on_verify, NULL);
	SSL_CTX_set_msg_callback(ctx, on_message);
	SSL_CTX_set_info_callback(ctx, on_info);
	return true;
}

void context_set_message(SSL_CTX *ctx, context_message_fn *callback)
{
	struct context *context = context_of(ctx);
	if (context)
		context->message = callback;
	else
		SSL_CTX_set_msg_callback(ctx, callback);
}

void context_set_ssl_message(SSL *ssl, context_message_fn *callback)
{
	struct own *own = context_of(SSL_get_SSL_CTX(ssl)) ? own_make(ssl) : NULL;
	if (own) {
		own->has_message = true;
		own->message = callback;
	} else {
		/* Without memory too: what is not seen is not believed. */
		SSL_set_msg_callback(ssl, callback);
	}
}

void context_set_info(SSL_CTX *ctx, context_info_fn *callback)
{
	struct context *context = context_of(ctx);
	if (context)
		context->info = callback;
	else
		SSL_CTX_set_info_callback(ctx, callback);
}

context_info_fn *context_get_info(SSL_CTX *ctx)
{
	const struct context *context = context_of(ctx);
	return context ? context->info : SSL_CTX_get_info_callback(ctx);
}

void context_set_ssl_info(SSL *ssl, context_info_fn *callback)
{
	if (!context_of(SSL_get_SSL_CTX(ssl))) {
		SSL_set_info_callback(ssl, callback);
		return;
	}
	struct own *own = own_make(ssl);
	if (own)
		own->info = callback;
}

context_info_fn *context_get_ssl_info(const SSL *ssl)
{
	if (!context_of(SSL_get_SSL_CTX(ssl)))
		return SSL_get_info_callback(ssl);
	const struct own *own = own_of(ssl);
	return own ? own->info : NULL;
}

void context_set_verify(SSL_CTX *ctx, context_verify_fn *callback, void *arg)
{
	struct context *context = context_of(ctx);
	if (context) {
		context->verify = callback;
		context->verify_arg = arg;
	} else {
		SSL_CTX_set_cert_verify_callback(ctx, callback, arg);
	}
}

void context_set_ssl_verify(SSL *ssl, int mode, context_step_fn *callback)
{
	const struct context *context = context_of(SSL_get_SSL_CTX(ssl));
	bool server = context && context->server;
	if (context && !server && !SSL_is_server(ssl) && !SSL_in_before(ssl))
		mode |= SSL_VERIFY_PEER;
	/* Nor a server, once it has asked a proxy for its certificate. */
	if (server && !SSL_in_before(ssl) && accord_server_asked(ssl))
		mode |= SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_set_verify(ssl, mode, callback);
}
