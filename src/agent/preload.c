/*
 * agent/preload.c — the object that LD_PRELOAD puts into every program of a run: functions of libssl's names, which pass
 * calls on to the core (agent/core.h) or to libssl. libssl and libcrypto are not linked here: a program that has neither
 * gets neither.
 */
#include "agent/core.h"
#include "agent/library.h"
#include "agent/objects.h"
#include "agent/post.h"
#include "agent/share.h"
#include "agent/share_update.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHO __builtin_return_address(0)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct agent_settings settings;
static const char *senseless; /* the settings: why */
static _Atomic(const struct agent_core *) core;
static char fault[REPORT_TEXT + 1]; /* why there is no core, and never will be; under `lock` */

static void start(void)
{
	if (!agent_settings_read(&settings))
		senseless = "the variables OVERT_ACCORD… make no sense";
	post_open(settings.report, settings.token);
}

/* What the program has before it begins; what it loads later speaks for itself. */
__attribute__((constructor)) static void begin(void)
{
	char others[REPORT_TEXT + 1];
	pthread_once(&once, start);
	share_begin();
	library_others(others, sizeof(others));
	if (settings.on && others[0])
		post_text(REPORT_OTHER, others);
}

static const char *sibling(char *out, size_t cap)
{
	const char *self = library_of((const void *)(uintptr_t)begin);
	const char *slash = strrchr(self, '/');
	snprintf(out, cap, "%.*s" AGENT_CORE_FILE, slash ? (int)(slash - self) + 1 : 0, self);
	return out;
}

/* Under `lock`. Code built with a sanitizer has its own dlopen, which ends the program over RTLD_DEEPBIND. */
static void load(void)
{
	char path[4096];
	const struct agent_core *(*begin_core)(const struct agent_settings *) = NULL;
	void *handle = dlsym(RTLD_DEFAULT, "__asan_init")
	                       ? NULL
	                       : dlopen(sibling(path, sizeof(path)), RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
	if (handle)
		*(void **)&begin_core = dlsym(handle, AGENT_CORE_START);
	if (begin_core) {
		atomic_store(&core, begin_core(&settings));
		return;
	}
	const char *why = dlerror();
	snprintf(fault, sizeof(fault), "%s", why ? why : "the program is built with a sanitizer");
}

/* NULL for callers whose libssl the core is not bound to. */
static const struct agent_core *core_of(const void *caller)
{
	pthread_once(&once, start);
	if (!settings.on || senseless)
		return NULL;
	const void *theirs = library_find("SSL_CTX_new", caller, (const void *)(uintptr_t)SSL_CTX_new);
	if (!atomic_load(&core)) {
		void *ours = dlopen("libssl.so.3", RTLD_LAZY | RTLD_NOLOAD);
		pthread_mutex_lock(&lock);
		/* Loaded for this library only: for another one a second libssl would come into the program. */
		if (ours && dlsym(ours, "SSL_CTX_new") == theirs && !atomic_load(&core) && !fault[0])
			load();
		pthread_mutex_unlock(&lock);
		if (ours)
			dlclose(ours);
	}
	const struct agent_core *found = atomic_load(&core);
	return found && found->real_ctx_new == theirs ? found : NULL;
}

/* A context that will not speak Accord. True when it must not be made at all. */
static bool bar(const void *caller)
{
	char text[REPORT_TEXT + 1];
	if (!settings.on)
		return false;
	const void *theirs = library_find("SSL_CTX_new", caller, (const void *)(uintptr_t)SSL_CTX_new);
	pthread_mutex_lock(&lock);
	if (senseless || fault[0])
		snprintf(text, sizeof(text), "%s", senseless ? senseless : fault);
	else
		snprintf(text, sizeof(text), "%.400s is not the system's OpenSSL 3 (libssl.so.3)", library_of(theirs));
	pthread_mutex_unlock(&lock);
	post_text(REPORT_BARRED, text);
	return settings.require;
}

static no_return void missing(const char *name)
{
	fprintf(stderr, "overt agent: there is no %s to pass the call on to\n", name);
	abort();
}

static void *real(const char *name, const void *caller, const void *ours)
{
	void *found = library_find(name, caller, ours);
	if (!found)
		missing(name);
	return found;
}

#define REAL(function) ((__typeof__(&(function)))(uintptr_t)real(#function, WHO, (const void *)(uintptr_t)(function)))

SSL_CTX *SSL_CTX_new_ex(OSSL_LIB_CTX *lib, const char *propq, const SSL_METHOD *method)
{
	const struct agent_core *found = core_of(WHO);
	if (found)
		return found->ctx_new(lib, propq, method);
	return bar(WHO) ? NULL : REAL(SSL_CTX_new_ex)(lib, propq, method);
}

SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
{
	const struct agent_core *found = core_of(WHO);
	if (found)
		return found->ctx_new(NULL, NULL, method);
	return bar(WHO) ? NULL : REAL(SSL_CTX_new)(method);
}

/* Message callbacks: the core, or sharing where the library is one that it watches, else libssl. */

void SSL_CTX_set_msg_callback(SSL_CTX *ctx, context_message_fn *callback)
{
	const struct agent_core *found = core_of(WHO);
	void (*next)(SSL_CTX *, context_message_fn *) = found ? NULL : REAL(SSL_CTX_set_msg_callback);
	if (found)
		found->ctx_set_msg_callback(ctx, callback);
	else if (!share_update_own_ctx((const void *)(uintptr_t)next, ctx, callback))
		next(ctx, callback);
}

void SSL_set_msg_callback(SSL *ssl, context_message_fn *callback)
{
	const struct agent_core *found = core_of(WHO);
	void (*next)(SSL *, context_message_fn *) = found ? NULL : REAL(SSL_set_msg_callback);
	if (found)
		found->set_msg_callback(ssl, callback);
	else if (!share_update_own((const void *)(uintptr_t)next, ssl, callback))
		next(ssl, callback);
}

/* All others: the core where it is, else libssl. */
#define PASS(type, function, member, parameters, arguments)                                                            \
	type function parameters                                                                                       \
	{                                                                                                              \
		const struct agent_core *found = core_of(WHO);                                                         \
		return found ? found->member arguments : REAL(function) arguments;                                     \
	}

PASS(void, SSL_CTX_set_info_callback, ctx_set_info_callback, (SSL_CTX * ctx, context_info_fn *callback),
	(ctx, callback))
PASS(context_info_fn *, SSL_CTX_get_info_callback, ctx_get_info_callback, (SSL_CTX * ctx), (ctx))
PASS(void, SSL_set_info_callback, set_info_callback, (SSL * ssl, context_info_fn *callback), (ssl, callback))
PASS(context_info_fn *, SSL_get_info_callback, get_info_callback, (const SSL *ssl), (ssl))
PASS(void, SSL_CTX_set_cert_verify_callback, ctx_set_cert_verify_callback,
	(SSL_CTX * ctx, context_verify_fn *callback, void *arg), (ctx, callback, arg))
PASS(void, SSL_set_verify, set_verify, (SSL * ssl, int mode, context_step_fn *callback), (ssl, mode, callback))
PASS(X509 *, SSL_get0_peer_certificate, get0_peer_certificate, (const SSL *ssl), (ssl))
PASS(X509 *, SSL_get1_peer_certificate, get1_peer_certificate, (const SSL *ssl), (ssl))
PASS(STACK_OF(X509) *, SSL_get_peer_cert_chain, get_peer_cert_chain, (const SSL *ssl), (ssl))
