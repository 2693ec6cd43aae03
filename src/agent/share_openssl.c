#include "agent/share_openssl.h"

#include "agent/library.h"
#include "agent/share_consent_openssl.h"
#include "agent/share_derive.h"
#include "agent/share_link.h"
#include "agent/share_openssl_call.h"
#include "agent/share_openssl_hmac.h"
#include "agent/share_openssl_library.h"
#include "agent/share_rotate.h"
#include "agent/share_update.h"
#include "tls/hello.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define WHO        __builtin_return_address(0)
#define SITES      16 /* places that call CRYPTO_new_ex_data: libssl has three */
#define SECRET_MAX 64

/* A place that calls CRYPTO_new_ex_data, and what stands behind it for that place. */
struct site {
	_Atomic(const void *) caller; /* NULL: free. Set last */
	int (*next)(uintptr_t class_index, void *object, void *data);
	const struct openssl_library *library; /* NULL: none whose keys are shared */
	unsigned number;                       /* of the libssl that calls (agent/library.h); 0: none */
};

static struct site sites[SITES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the making of both */

/* Of a connection: both counts in one pointer. */
#define COUNT_BITS 31
#define COUNT_MASK (((uintptr_t)1 << COUNT_BITS) - 1)

/* The epoch that a line of this label begins. OpenSSL writes "_N" for every one after the first. */
static uint32_t epoch_of(const struct openssl_library *library, const SSL *ssl, const struct keylog_line *line)
{
	uintptr_t counts = (uintptr_t)library->get_data(ssl, library->slot);
	unsigned shift = line->label == KEYLOG_SERVER_TRAFFIC ? COUNT_BITS : 0;
	uintptr_t now = line->epoch != KEYLOG_EPOCH_UNNAMED ? line->epoch : ((counts >> shift) & COUNT_MASK) + 1;
	counts = (counts & ~(COUNT_MASK << shift)) | (now & COUNT_MASK) << shift;
	(void)library->set_data((SSL *)(uintptr_t)ssl, library->slot, (void *)counts);
	return (uint32_t)(now & COUNT_MASK);
}

static uint16_t suite_of(const struct openssl_library *library, const SSL *ssl)
{
	const SSL_CIPHER *cipher = library->pending_cipher(ssl);
	if (!cipher)
		cipher = library->current_cipher(ssl);
	return cipher ? library->cipher_id(cipher) : 0;
}

static void add_place(const struct openssl_library *library, const SSL *ssl, struct share_item *item)
{
	const char *name = library->servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct sockaddr_storage local, peer;
	socklen_t local_len = sizeof(local), peer_len = sizeof(peer);
	int fd = library->get_fd(ssl);
	item->server = library->is_server(ssl) != 0;
	if (name)
		strncat(item->name, name, SHARE_NAME_MAX);
	if (fd < 0 || getsockname(fd, (struct sockaddr *)&local, &local_len) != 0 ||
		getpeername(fd, (struct sockaddr *)&peer, &peer_len) != 0 ||
		!hostport_from_sockaddr(&item->local, (const struct sockaddr *)&local, local_len) ||
		!hostport_from_sockaddr(&item->peer, (const struct sockaddr *)&peer, peer_len))
		item->local = item->peer = (struct hostport){0};
}

/*
 * Only what this side writes has to wait: what it reads was written by a peer that did not ask. Handshake keys wait for
 * nobody, and go the same way before those of data.
 */
static bool must_wait(const struct openssl_library *library, const SSL *ssl, enum keylog_label label)
{
	enum keylog_label own = library->is_server(ssl) ? KEYLOG_SERVER_TRAFFIC : KEYLOG_CLIENT_TRAFFIC;
	return label == KEYLOG_MASTER || label == own;
}

/* What is not held until its epoch is over goes out now. False: the connection must not go on. */
static bool hand_over(const struct openssl_library *library, const SSL *ssl, enum keylog_label label,
	struct share_item *items, size_t count)
{
	enum share_rotate_key way = SHARE_ROTATE_LIVE;
	bool wait = must_wait(library, ssl, label);
	count = share_consent_pass(library, ssl, items, count, &wait);
	for (size_t i = 0; i < count; i++)
		way = share_rotate_key(library, ssl, &items[i]);
	if (way == SHARE_ROTATE_LIVE)
		return share_link_give(items, count, wait);
	return way == SHARE_ROTATE_HELD;
}

/* False: the connection must not go on. */
static bool share_line(
	const struct openssl_library *library, const SSL *ssl, const struct keylog_line *line, struct bytes secret)
{
	const struct share_hmac hmac = openssl_hmac(library);
	struct share_item items[2] = {{.kind = SHARE_KEY}, {.kind = SHARE_KEY}};
	struct record_key keys[2];
	uint8_t random[KEYLOG_RANDOM];
	struct share_secret from = {.label = line->label,
		.version = (uint16_t)library->get_version(ssl),
		.suite = suite_of(library, ssl),
		.client_random = bytes_of(line->id.octets, line->id.len),
		.secret = secret};
	if (from.version != TLS_VERSION_12 && from.version != TLS_VERSION_13)
		return true;
	if (line->label == KEYLOG_CLIENT_TRAFFIC || line->label == KEYLOG_SERVER_TRAFFIC)
		from.epoch = epoch_of(library, ssl, line);
	from.server_random = bytes_of(random, library->server_random(ssl, random, sizeof(random)));
	size_t count = share_derive(&hmac, &from, keys);
	/* libssl's getters have const where its setters have not. */
	share_update_keep(library, (SSL *)(uintptr_t)ssl, &from);
	for (size_t i = 0; i < count; i++) {
		items[i].key = keys[i];
		if (keys[i].stage == RECORD_STAGE_APPLICATION)
			add_place(library, ssl, &items[i]);
	}
	bool ok = hand_over(library, ssl, line->label, items, count);
	explicit_bzero(keys, sizeof(keys));
	explicit_bzero(items, sizeof(items));
	return ok;
}

/*
 * In the middle of a handshake nothing can be refused by a callback that has no result; but what is shut down writes
 * no application data, and reads none.
 */
static void refuse(const struct openssl_library *library, const SSL *ssl)
{
	library->set_shutdown((SSL *)(uintptr_t)ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

static void on_line(const struct openssl_library *library, const SSL *ssl, const char *text)
{
	struct keylog_line line;
	uint8_t secret[SECRET_MAX];
	int kept = errno;
	if (keylog_parse(bytes_str(text), &line) == KEYLOG_OK && line.id.kind == KEYLOG_ID_RANDOM &&
		share_link_wants(line.label)) {
		size_t len = keylog_secret(&line, secret, sizeof(secret));
		if (len > 0 && !share_line(library, ssl, &line, bytes_of(secret, len)))
			refuse(library, ssl);
		explicit_bzero(secret, sizeof(secret));
	}
	SSL_CTX_keylog_cb_func own = NULL;
	*(void **)&own = library->ctx_get_data(library->get_ctx(ssl), library->ctx_slot);
	if (own)
		own(ssl, text);
	errno = kept;
}

/* Where no line tells of it. */
static void on_update(
	const struct openssl_library *library, SSL *ssl, const struct keylog_line *line, struct bytes secret)
{
	if (share_link_wants(line->label) && !share_line(library, ssl, line, secret))
		refuse(library, ssl);
}

/* A callback has no argument of ours to tell the libraries apart by. */
#define CALLBACK(n)                                                                                                    \
	static void on_line_##n(const SSL *ssl, const char *text)                                                      \
	{                                                                                                              \
		on_line(openssl_library(n), ssl, text);                                                                \
	}
CALLBACK(0)
CALLBACK(1)
CALLBACK(2)
CALLBACK(3)

static const SSL_CTX_keylog_cb_func callbacks[OPENSSL_LIBRARIES] = {on_line_0, on_line_1, on_line_2, on_line_3};

static const struct site *find_site(const void *caller)
{
	for (size_t i = 0; i < SITES; i++) {
		if (atomic_load(&sites[i].caller) == caller)
			return &sites[i];
	}
	return NULL;
}

/* What is met for the first time. `room` serves where all sites are taken. */
static const struct site *new_site(const void *caller, bool ours, struct site *room)
{
	pthread_mutex_lock(&lock);
	const struct site *known = find_site(caller);
	struct site *site = room;
	for (size_t i = 0; !known && i < SITES && site == room; i++) {
		if (!atomic_load(&sites[i].caller))
			site = &sites[i];
	}
	if (!known) {
		void *next = library_find("CRYPTO_new_ex_data", caller, (const void *)(uintptr_t)share_new_ex_data);
		memcpy(&site->next, &next, sizeof(next));
		site->library = ours && share_link_on() ? openssl_library_of(caller) : NULL;
		site->number = ours ? library_met(caller) : 0;
		atomic_store(&site->caller, caller);
		known = site;
	}
	pthread_mutex_unlock(&lock);
	return known;
}

static SSL_CTX_keylog_cb_func callback_of(const struct openssl_library *library)
{
	return callbacks[library->number];
}

/*
 * Puts our callback in, and keeps the program's. On a context that is new there is none; before a connection is made of
 * it there may be one that was set past us.
 */
static void take(const struct openssl_library *library, SSL_CTX *ctx)
{
	SSL_CTX_keylog_cb_func own = library->ctx_get_keylog(ctx);
	if (own == callback_of(library))
		return;
	(void)library->ctx_set_data(ctx, library->ctx_slot, *(void **)&own);
	library->ctx_set_keylog(ctx, callback_of(library));
}

/* Others than OpenSSL have a function of this name, with a pointer for its first argument: all of it is passed on. */
int share_new_ex_data(uintptr_t class_index, void *object, void *data)
{
	struct site room = {.next = NULL};
	bool context = (int)class_index == CRYPTO_EX_INDEX_SSL_CTX;
	bool connection = (int)class_index == CRYPTO_EX_INDEX_SSL;
	const struct site *site = find_site(WHO);
	if (!site)
		site = new_site(WHO, context || connection, &room);
	int ok = site->next ? site->next(class_index, object, data) : 0;
	if (connection && site->number)
		library_made(object, site->number);
	if (ok == 1 && site->library && (context || connection)) {
		SSL_CTX *ctx = context ? object : site->library->get_ctx(object);
		if (ctx)
			take(site->library, ctx);
		if (context) {
			share_consent_attach(site->library, ctx);
			share_update_attach(site->library, ctx);
		} else {
			share_update_connect(site->library, object);
		}
	}
	return ok;
}

/* NULL: the library is none of ours, or the context is from before. */
static const struct openssl_library *library_of_context(
	const SSL_CTX *ctx, void (*set)(SSL_CTX *, SSL_CTX_keylog_cb_func))
{
	const struct openssl_library *library;
	for (unsigned i = 0; (library = openssl_library(i)); i++) {
		if (library->ctx_set_keylog == set && library->ctx_get_keylog(ctx) == callbacks[i])
			return library;
	}
	return NULL;
}

static void next_set(const void *caller, void (**set)(SSL_CTX *, SSL_CTX_keylog_cb_func))
{
	*(void **)set = library_find(
		"SSL_CTX_set_keylog_callback", caller, (const void *)(uintptr_t)SSL_CTX_set_keylog_callback);
}

void SSL_CTX_set_keylog_callback(SSL_CTX *ctx, SSL_CTX_keylog_cb_func callback)
{
	void (*set)(SSL_CTX *, SSL_CTX_keylog_cb_func);
	next_set(WHO, &set);
	const struct openssl_library *library = library_of_context(ctx, set);
	if (library)
		(void)library->ctx_set_data(ctx, library->ctx_slot, *(void **)&callback);
	else if (set)
		set(ctx, callback);
}

SSL_CTX_keylog_cb_func SSL_CTX_get_keylog_callback(const SSL_CTX *ctx)
{
	void (*set)(SSL_CTX *, SSL_CTX_keylog_cb_func);
	SSL_CTX_keylog_cb_func (*get)(const SSL_CTX *), own = NULL;
	next_set(WHO, &set);
	const struct openssl_library *library = library_of_context(ctx, set);
	if (library) {
		*(void **)&own = library->ctx_get_data(ctx, library->ctx_slot);
		return own;
	}
	*(void **)&get =
		library_find("SSL_CTX_get_keylog_callback", WHO, (const void *)(uintptr_t)SSL_CTX_get_keylog_callback);
	return get ? get(ctx) : NULL;
}

static void forked(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

void share_openssl_begin(void)
{
	pthread_atfork(NULL, NULL, forked);
	share_openssl_call_begin();
	share_update_begin(on_update);
}
