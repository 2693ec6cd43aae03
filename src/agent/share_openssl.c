#include "agent/share_openssl.h"

#include "agent/library.h"
#include "agent/share_derive.h"
#include "agent/share_link.h"
#include "tls/hello.h"

#include <dlfcn.h>
#include <errno.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#define WHO        __builtin_return_address(0)
#define LIBRARIES  4  /* of OpenSSL in one process */
#define SITES      16 /* places that call CRYPTO_new_ex_data: libssl has three */
#define OLDEST     0x10101000UL
#define LIBRESSL   0x20000000UL
#define SECRET_MAX 64

/* One OpenSSL, by its own functions. */
struct library {
	unsigned long (*version_num)(void);
	const char *(*version)(int type);
	int (*new_index)(int class_index, long argl, void *argp, CRYPTO_EX_new *new_func, CRYPTO_EX_dup *dup_func,
		CRYPTO_EX_free *free_func);
	void (*ctx_set_keylog)(SSL_CTX *ctx, SSL_CTX_keylog_cb_func callback);
	SSL_CTX_keylog_cb_func (*ctx_get_keylog)(const SSL_CTX *ctx);
	int (*ctx_set_data)(SSL_CTX *ctx, int index, void *data);
	void *(*ctx_get_data)(const SSL_CTX *ctx, int index);
	int (*set_data)(SSL *ssl, int index, void *data);
	void *(*get_data)(const SSL *ssl, int index);
	SSL_CTX *(*get_ctx)(const SSL *ssl);
	int (*get_version)(const SSL *ssl);
	int (*is_server)(const SSL *ssl);
	size_t (*server_random)(const SSL *ssl, unsigned char *out, size_t cap);
	const SSL_CIPHER *(*current_cipher)(const SSL *ssl);
	const SSL_CIPHER *(*pending_cipher)(const SSL *ssl);
	uint16_t (*cipher_id)(const SSL_CIPHER *cipher);
	int (*get_fd)(const SSL *ssl);
	const char *(*servername)(const SSL *ssl, int type);
	void (*set_shutdown)(SSL *ssl, int mode);
	unsigned char *(*hmac)(const EVP_MD *md, const void *key, int key_len, const unsigned char *data, size_t len,
		unsigned char *out, unsigned int *out_len);
	const EVP_MD *(*sha256)(void);
	const EVP_MD *(*sha384)(void);
	/* NULL in builds without what is deprecated; then `hmac` serves. */
	int (*sha256_init)(SHA256_CTX *ctx);
	int (*sha256_update)(SHA256_CTX *ctx, const void *data, size_t len);
	int (*sha256_final)(unsigned char *out, SHA256_CTX *ctx);
	int (*sha384_init)(SHA512_CTX *ctx);
	int (*sha384_update)(SHA512_CTX *ctx, const void *data, size_t len);
	int (*sha384_final)(unsigned char *out, SHA512_CTX *ctx);
	int ctx_slot; /* of contexts: the program's own keylog callback */
	int slot;     /* of connections: how often each side has changed its key */
};

struct name {
	const char *name;
	size_t at;
};

static const struct name names[] = {
	{"OpenSSL_version_num", offsetof(struct library, version_num)},
	{"OpenSSL_version", offsetof(struct library, version)},
	{"CRYPTO_get_ex_new_index", offsetof(struct library, new_index)},
	{"SSL_CTX_set_keylog_callback", offsetof(struct library, ctx_set_keylog)},
	{"SSL_CTX_get_keylog_callback", offsetof(struct library, ctx_get_keylog)},
	{"SSL_CTX_set_ex_data", offsetof(struct library, ctx_set_data)},
	{"SSL_CTX_get_ex_data", offsetof(struct library, ctx_get_data)},
	{"SSL_set_ex_data", offsetof(struct library, set_data)},
	{"SSL_get_ex_data", offsetof(struct library, get_data)},
	{"SSL_get_SSL_CTX", offsetof(struct library, get_ctx)},
	{"SSL_version", offsetof(struct library, get_version)},
	{"SSL_is_server", offsetof(struct library, is_server)},
	{"SSL_get_server_random", offsetof(struct library, server_random)},
	{"SSL_get_current_cipher", offsetof(struct library, current_cipher)},
	{"SSL_get_pending_cipher", offsetof(struct library, pending_cipher)},
	{"SSL_CIPHER_get_protocol_id", offsetof(struct library, cipher_id)},
	{"SSL_get_fd", offsetof(struct library, get_fd)},
	{"SSL_get_servername", offsetof(struct library, servername)},
	{"SSL_set_shutdown", offsetof(struct library, set_shutdown)},
	{"HMAC", offsetof(struct library, hmac)},
	{"EVP_sha256", offsetof(struct library, sha256)},
	{"EVP_sha384", offsetof(struct library, sha384)},
};

static const struct name direct_names[] = {
	{"SHA256_Init", offsetof(struct library, sha256_init)},
	{"SHA256_Update", offsetof(struct library, sha256_update)},
	{"SHA256_Final", offsetof(struct library, sha256_final)},
	{"SHA384_Init", offsetof(struct library, sha384_init)},
	{"SHA384_Update", offsetof(struct library, sha384_update)},
	{"SHA384_Final", offsetof(struct library, sha384_final)},
};

/* A place that calls CRYPTO_new_ex_data, and what stands behind it for that place. */
struct site {
	_Atomic(const void *) caller; /* NULL: free. Set last */
	int (*next)(uintptr_t class_index, void *object, void *data);
	const struct library *library; /* NULL: none whose keys are shared */
};

static struct library libraries[LIBRARIES];
static atomic_uint library_count;
static struct site sites[SITES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the making of both */

/* Of a connection: both counts in one pointer. */
#define COUNT_BITS 31
#define COUNT_MASK (((uintptr_t)1 << COUNT_BITS) - 1)

/* HMAC (RFC 2104): the hash of the outer pad and of the hash of the inner pad and the data. */
#define HMAC_OF(name, ctx_type, block, octets)                                                                         \
	static bool name(const struct library *library, struct bytes key, struct bytes data, uint8_t *out)             \
	{                                                                                                              \
		ctx_type ctx;                                                                                          \
		uint8_t pad[block], inner[octets];                                                                     \
		for (size_t i = 0; i < (block); i++)                                                                   \
			pad[i] = (i < key.len ? key.data[i] : 0) ^ 0x36;                                               \
		bool ok = library->name##_init(&ctx) == 1 && library->name##_update(&ctx, pad, block) == 1 &&          \
		          library->name##_update(&ctx, data.data, data.len) == 1 &&                                    \
		          library->name##_final(inner, &ctx) == 1;                                                     \
		for (size_t i = 0; i < (block); i++)                                                                   \
			pad[i] ^= 0x36 ^ 0x5c;                                                                         \
		ok = ok && library->name##_init(&ctx) == 1 && library->name##_update(&ctx, pad, block) == 1 &&         \
		     library->name##_update(&ctx, inner, octets) == 1 && library->name##_final(out, &ctx) == 1;        \
		explicit_bzero(&ctx, sizeof(ctx));                                                                     \
		explicit_bzero(pad, sizeof(pad));                                                                      \
		explicit_bzero(inner, sizeof(inner));                                                                  \
		return ok;                                                                                             \
	}

HMAC_OF(sha256, SHA256_CTX, SHA256_CBLOCK, SHA256_DIGEST_LENGTH)
HMAC_OF(sha384, SHA512_CTX, SHA512_CBLOCK, SHA384_DIGEST_LENGTH)

/*
 * HMAC() of OpenSSL 3 looks its algorithms up each time, which costs many times what computing does, in every handshake.
 * Its hashes alone do not.
 */
static bool compute(const void *ctx, enum suite_hash hash, struct bytes key, struct bytes data, uint8_t *out)
{
	const struct library *library = ctx;
	unsigned int len;
	if (hash == SUITE_HASH_SHA256 && library->sha256_init && key.len <= SHA256_CBLOCK)
		return sha256(library, key, data, out);
	if (hash == SUITE_HASH_SHA384 && library->sha384_init && key.len <= SHA512_CBLOCK)
		return sha384(library, key, data, out);
	const EVP_MD *md = hash == SUITE_HASH_SHA256   ? library->sha256()
	                   : hash == SUITE_HASH_SHA384 ? library->sha384()
	                                               : NULL;
	return md && library->hmac(md, key.data, (int)key.len, data.data, data.len, out, &len);
}

/* The epoch that a line of this label begins. OpenSSL writes "_N" for every one after the first. */
static uint32_t epoch_of(const struct library *library, const SSL *ssl, const struct keylog_line *line)
{
	uintptr_t counts = (uintptr_t)library->get_data(ssl, library->slot);
	unsigned shift = line->label == KEYLOG_SERVER_TRAFFIC ? COUNT_BITS : 0;
	uintptr_t now = line->epoch != KEYLOG_EPOCH_UNNAMED ? line->epoch : ((counts >> shift) & COUNT_MASK) + 1;
	counts = (counts & ~(COUNT_MASK << shift)) | (now & COUNT_MASK) << shift;
	/* libssl's getters have const where its setters have not. */
	(void)library->set_data((SSL *)(uintptr_t)ssl, library->slot, (void *)counts);
	return (uint32_t)(now & COUNT_MASK);
}

static uint16_t suite_of(const struct library *library, const SSL *ssl)
{
	const SSL_CIPHER *cipher = library->pending_cipher(ssl);
	if (!cipher)
		cipher = library->current_cipher(ssl);
	return cipher ? library->cipher_id(cipher) : 0;
}

static void add_place(const struct library *library, const SSL *ssl, struct share_item *item)
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
static bool must_wait(const struct library *library, const SSL *ssl, enum keylog_label label)
{
	enum keylog_label own = library->is_server(ssl) ? KEYLOG_SERVER_TRAFFIC : KEYLOG_CLIENT_TRAFFIC;
	return label == KEYLOG_MASTER || label == own;
}

/* False: the connection must not go on. */
static bool share_line(
	const struct library *library, const SSL *ssl, const struct keylog_line *line, struct bytes secret)
{
	const struct share_hmac hmac = {.compute = compute, .ctx = library};
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
	for (size_t i = 0; i < count; i++) {
		items[i].key = keys[i];
		if (keys[i].stage == RECORD_STAGE_APPLICATION)
			add_place(library, ssl, &items[i]);
	}
	bool wait = must_wait(library, ssl, line->label);
	bool ok = share_link_give(items, count, wait);
	explicit_bzero(keys, sizeof(keys));
	explicit_bzero(items, sizeof(items));
	return ok;
}

/*
 * In the middle of a handshake nothing can be refused by a callback that has no result; but what is shut down writes
 * no application data, and reads none.
 */
static void refuse(const struct library *library, const SSL *ssl)
{
	library->set_shutdown((SSL *)(uintptr_t)ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

static void on_line(const struct library *library, const SSL *ssl, const char *text)
{
	struct keylog_line line;
	uint8_t secret[SECRET_MAX];
	int kept = errno;
	if (keylog_parse(bytes_str(text), &line) == KEYLOG_OK && line.id.kind == KEYLOG_ID_RANDOM) {
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

/* A callback has no argument of ours to tell the libraries apart by. */
#define CALLBACK(n)                                                                                                    \
	static void on_line_##n(const SSL *ssl, const char *text)                                                      \
	{                                                                                                              \
		on_line(&libraries[n], ssl, text);                                                                     \
	}
CALLBACK(0)
CALLBACK(1)
CALLBACK(2)
CALLBACK(3)

static const SSL_CTX_keylog_cb_func callbacks[LIBRARIES] = {on_line_0, on_line_1, on_line_2, on_line_3};

/* Libraries. */

/* False when one is missing. */
static bool find_all(struct library *library, void *handle, const struct name *wanted, size_t count)
{
	bool ok = true;
	for (size_t i = 0; i < count; i++) {
		void *found = dlsym(handle, wanted[i].name);
		memcpy((char *)library + wanted[i].at, &found, sizeof(found));
		ok = ok && found;
	}
	return ok;
}

static bool look_up(struct library *library, const char *file)
{
	void *handle = dlopen(file, RTLD_LAZY | RTLD_NOLOAD);
	if (!handle)
		return false;
	bool ok = find_all(library, handle, names, sizeof(names) / sizeof(names[0]));
	if (!find_all(library, handle, direct_names, sizeof(direct_names) / sizeof(direct_names[0])))
		library->sha256_init = NULL, library->sha384_init = NULL;
	dlclose(handle);
	return ok && library->version_num() >= OLDEST && library->version_num() != LIBRESSL;
}

/* Under `lock`. NULL for what is no OpenSSL, or too old. */
static const struct library *library_at(const void *caller)
{
	struct library fresh = {0};
	unsigned count = atomic_load(&library_count);
	if (!look_up(&fresh, library_of(caller)))
		return NULL;
	for (unsigned i = 0; i < count; i++) {
		if (libraries[i].ctx_set_keylog == fresh.ctx_set_keylog)
			return &libraries[i];
	}
	fresh.ctx_slot = fresh.new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, NULL, NULL, NULL, NULL);
	fresh.slot = fresh.new_index(CRYPTO_EX_INDEX_SSL, 0, NULL, NULL, NULL, NULL);
	if (count == LIBRARIES || fresh.ctx_slot < 0 || fresh.slot < 0)
		return NULL;
	libraries[count] = fresh;
	atomic_store(&library_count, count + 1);
	share_link_prepare();
	share_link_say(SHARE_LIBRARY, fresh.version(OPENSSL_VERSION));
	return &libraries[count];
}

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
		site->library = ours && share_link_on() ? library_at(caller) : NULL;
		atomic_store(&site->caller, caller);
		known = site;
	}
	pthread_mutex_unlock(&lock);
	return known;
}

static SSL_CTX_keylog_cb_func callback_of(const struct library *library)
{
	return callbacks[library - libraries];
}

/*
 * Puts our callback in, and keeps the program's. On a context that is new there is none; before a connection is made of
 * it there may be one that was set past us.
 */
static void take(const struct library *library, SSL_CTX *ctx)
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
	if (ok == 1 && site->library && (context || connection)) {
		SSL_CTX *ctx = context ? object : site->library->get_ctx(object);
		if (ctx)
			take(site->library, ctx);
	}
	return ok;
}

/* NULL: the library is none of ours, or the context is from before. */
static const struct library *library_of_context(const SSL_CTX *ctx, void (*set)(SSL_CTX *, SSL_CTX_keylog_cb_func))
{
	unsigned count = atomic_load(&library_count);
	for (unsigned i = 0; i < count; i++) {
		if (libraries[i].ctx_set_keylog == set && libraries[i].ctx_get_keylog(ctx) == callbacks[i])
			return &libraries[i];
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
	const struct library *library = library_of_context(ctx, set);
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
	const struct library *library = library_of_context(ctx, set);
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
}
