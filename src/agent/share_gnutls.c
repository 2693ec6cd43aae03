#include "agent/share_gnutls.h"

#include "agent/library.h"
#include "agent/share_consent_gnutls.h"
#include "agent/share_derive.h"
#include "agent/share_link.h"
#include "agent/share_pool.h"
#include "agent/share_rotate.h"
#include "tls/hello.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#define WHO __builtin_return_address(0)

/* Of GnuTLS's interface. */
#define MAC_SHA256  6
#define MAC_SHA384  7
#define TLS_12      4
#define TLS_13      5
#define E_INTERNAL  (-59)
#define LIBRARY_TXT "GnuTLS "

#define BUCKETS 256
#define WAITING 4 /* secrets of one handshake that are shared */
#define CLIENT  2 /* flag of gnutls_init */

struct library {
	int (*init)(struct gnutls_session_int **session, unsigned int flags);
	void (*deinit)(struct gnutls_session_int *session);
	int (*handshake)(struct gnutls_session_int *session);
	void (*set_keylog)(struct gnutls_session_int *session, gnutls_keylog_func *callback);
	gnutls_keylog_func *(*get_keylog)(const struct gnutls_session_int *session);
	const char *(*check_version)(const char *wanted);
	int (*protocol)(struct gnutls_session_int *session);
	const char *(*ciphersuite)(struct gnutls_session_int *session);
	void (*randoms)(struct gnutls_session_int *session, struct share_datum *client, struct share_datum *server);
	int (*transport)(struct gnutls_session_int *session);
	int (*set_name)(struct gnutls_session_int *session, int type, const void *name, size_t len);
	int (*get_name)(
		struct gnutls_session_int *session, void *name, size_t *len, unsigned int *type, unsigned int nth);
	int (*hmac)(int algorithm, const void *key, size_t key_len, const void *text, size_t len, void *out);
};

static const struct {
	const char *name;
	size_t at;
} names[] = {
	{"gnutls_init", offsetof(struct library, init)},
	{"gnutls_deinit", offsetof(struct library, deinit)},
	{"gnutls_handshake", offsetof(struct library, handshake)},
	{"gnutls_session_set_keylog_function", offsetof(struct library, set_keylog)},
	{"gnutls_session_get_keylog_function", offsetof(struct library, get_keylog)},
	{"gnutls_check_version", offsetof(struct library, check_version)},
	{"gnutls_protocol_get_version", offsetof(struct library, protocol)},
	{"gnutls_ciphersuite_get", offsetof(struct library, ciphersuite)},
	{"gnutls_session_get_random", offsetof(struct library, randoms)},
	{"gnutls_transport_get_int", offsetof(struct library, transport)},
	{"gnutls_server_name_set", offsetof(struct library, set_name)},
	{"gnutls_server_name_get", offsetof(struct library, get_name)},
	{"gnutls_hmac_fast", offsetof(struct library, hmac)},
};

/* A secret that waits for the end of its handshake, when the suite can be asked for. */
struct waiting {
	enum keylog_label label;
	uint8_t len;
	uint8_t octets[SHARE_HASH_MAX];
};

/* Those of one handshake. */
struct secrets {
	struct waiting of[WAITING];
	size_t count;
};

/* A session of the program, from gnutls_init to gnutls_deinit. */
struct session {
	const struct gnutls_session_int *is;
	struct session *next;
	bool server;
	bool has_own;
	gnutls_keylog_func *own;       /* the program's callback */
	char name[SHARE_NAME_MAX + 1]; /* a client's, of its server */
	struct secrets *waiting;       /* in `pool`; NULL: none */
	bool missed;                   /* there was no room for them */
	struct share_consent_state consent;
	struct share_hold *hold; /* mode after-rotation: what goes out when the session is no more */
};

/* There is one GnuTLS in a process, or the first one counts. */
static struct library library;
static atomic_int state;                       /* 0: not looked for; 1: there; -1: not, or too old */
static _Atomic(gnutls_keylog_func *) standard; /* what a session has before anybody sets one */
static struct share_pool pool = SHARE_POOL_OF(struct secrets);
static struct session *sessions[BUCKETS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the buckets: a session is one thread's at a time */

static bool compute(const void *ctx, enum suite_hash hash, struct bytes key, struct bytes data, uint8_t *out)
{
	int algorithm = hash == SUITE_HASH_SHA256 ? MAC_SHA256 : hash == SUITE_HASH_SHA384 ? MAC_SHA384 : 0;
	(void)ctx;
	return algorithm != 0 && library.hmac(algorithm, key.data, key.len, data.data, data.len, out) == 0;
}

static bool label_of(const char *text, enum keylog_label *out)
{
	static const struct {
		const char *text;
		enum keylog_label label;
	} labels[] = {
		{"CLIENT_RANDOM", KEYLOG_MASTER},
		{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", KEYLOG_CLIENT_HANDSHAKE},
		{"SERVER_HANDSHAKE_TRAFFIC_SECRET", KEYLOG_SERVER_HANDSHAKE},
		{"CLIENT_TRAFFIC_SECRET_0", KEYLOG_CLIENT_TRAFFIC},
		{"SERVER_TRAFFIC_SECRET_0", KEYLOG_SERVER_TRAFFIC},
	};
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		*out = labels[i].label;
		if (strcmp(text, labels[i].text) == 0)
			return true;
	}
	return false;
}

static void add_addresses(struct gnutls_session_int *session, struct share_item *item)
{
	struct sockaddr_storage local, peer;
	socklen_t local_len = sizeof(local), peer_len = sizeof(peer);
	/* Whatever the program has put there; where it is no socket, the kernel says so. */
	int fd = library.transport(session);
	if (fd < 0 || getsockname(fd, (struct sockaddr *)&local, &local_len) != 0 ||
		getpeername(fd, (struct sockaddr *)&peer, &peer_len) != 0 ||
		!hostport_from_sockaddr(&item->local, (const struct sockaddr *)&local, local_len) ||
		!hostport_from_sockaddr(&item->peer, (const struct sockaddr *)&peer, peer_len))
		item->local = item->peer = (struct hostport){0};
}

/* Sessions. */

static struct session **find(const struct gnutls_session_int *is)
{
	struct session **at = &sessions[((uintptr_t)is >> 6) % BUCKETS];
	while (*at && (*at)->is != is)
		at = &(*at)->next;
	return at;
}

static struct session *session_of(const struct gnutls_session_int *is)
{
	pthread_mutex_lock(&lock);
	struct session *session = *find(is);
	pthread_mutex_unlock(&lock);
	return session;
}

static void remember(const struct gnutls_session_int *is, bool server)
{
	struct session *session = calloc(1, sizeof(*session));
	if (!session)
		return;
	pthread_mutex_lock(&lock);
	struct session **at = find(is);
	*session = (struct session){.is = is, .server = server};
	*at = session;
	pthread_mutex_unlock(&lock);
}

/* NULL when it is not known. */
static struct session *forget(const struct gnutls_session_int *is)
{
	pthread_mutex_lock(&lock);
	struct session **at = find(is), *session = *at;
	if (session)
		*at = session->next;
	pthread_mutex_unlock(&lock);
	return session;
}

/* The library has freed it. */
static void end(struct session *session)
{
	if (!session)
		return;
	share_hold_free(session->hold);
	share_pool_put(&pool, session->waiting);
	explicit_bzero(session, sizeof(*session));
	free(session);
}

/* Secrets. */

static void keep(struct session *session, enum keylog_label label, const struct share_datum *secret)
{
	if (!session->waiting)
		session->waiting = share_pool_take(&pool);
	session->missed |= !session->waiting;
	if (!session->waiting || session->waiting->count == WAITING || secret->size > SHARE_HASH_MAX)
		return;
	struct waiting *waiting = &session->waiting->of[session->waiting->count++];
	waiting->label = label;
	waiting->len = (uint8_t)secret->size;
	memcpy(waiting->octets, secret->data, secret->size);
}

/* Only what this side writes has to wait (share_openssl.c). */
static bool must_wait(const struct session *session, enum keylog_label label)
{
	return label == KEYLOG_MASTER || label == (session->server ? KEYLOG_SERVER_TRAFFIC : KEYLOG_CLIENT_TRAFFIC);
}

static void add_name(struct gnutls_session_int *is, const struct session *session, struct share_item *item)
{
	size_t len = sizeof(item->name);
	unsigned int type;
	item->server = session->server;
	if (!session->server)
		memcpy(item->name, session->name, sizeof(item->name));
	else if (library.get_name(is, item->name, &len, &type, 0) != 0)
		item->name[0] = '\0';
	item->name[SHARE_NAME_MAX] = '\0';
}

/* False: the connection must not go on. */
static bool hand_over(struct session *session, enum keylog_label label, struct share_item *items, size_t count)
{
	enum share_rotate_key way = SHARE_ROTATE_LIVE;
	for (size_t i = 0; i < count; i++)
		way = share_rotate_hold(&session->hold, &items[i]);
	return way == SHARE_ROTATE_LIVE ? share_link_give(items, count, must_wait(session, label))
	                                : way == SHARE_ROTATE_HELD;
}

static bool share_one(
	struct gnutls_session_int *is, struct session *session, const struct waiting *waiting, uint16_t version)
{
	const struct share_hmac hmac = {.compute = compute};
	struct share_item items[2] = {{.kind = SHARE_KEY}, {.kind = SHARE_KEY}};
	struct record_key keys[2];
	struct share_datum client = {0}, server = {0};
	const char *name = library.ciphersuite(is);
	const struct suite *suite = name ? suite_by_name(bytes_str(name)) : NULL;
	library.randoms(is, &client, &server);
	struct share_secret from = {.label = waiting->label,
		.version = version,
		.suite = suite ? suite->value : 0,
		.client_random = bytes_of(client.data, client.size),
		.server_random = bytes_of(server.data, server.size),
		.secret = bytes_of(waiting->octets, waiting->len)};
	size_t count = share_derive(&hmac, &from, keys);
	for (size_t i = 0; i < count; i++) {
		items[i].key = keys[i];
		add_addresses(is, &items[i]);
		add_name(is, session, &items[i]);
		share_consent_gnutls_pass(is, &session->consent, &items[i]);
	}
	bool ok = hand_over(session, waiting->label, items, count);
	explicit_bzero(keys, sizeof(keys));
	explicit_bzero(items, sizeof(items));
	return ok;
}

/* The handshake is over, and nothing was said yet. False: the connection must not go on. */
static bool share(struct gnutls_session_int *is, struct session *session)
{
	int protocol = library.protocol(is);
	uint16_t version = protocol == TLS_13 ? TLS_VERSION_13 : TLS_VERSION_12;
	const struct secrets *secrets = session->waiting;
	/* No better than keys that do not get there. */
	bool ok = !session->missed || share_link_give(NULL, 0, true);
	session->missed = false;
	for (size_t i = 0; secrets && i < secrets->count && (protocol == TLS_12 || protocol == TLS_13); i++)
		ok = share_one(is, session, &secrets->of[i], version) && ok;
	share_pool_put(&pool, session->waiting);
	session->waiting = NULL;
	return ok;
}

/* The program's own, or the library's, which writes the file that SSLKEYLOGFILE names. */
static gnutls_keylog_func *callback_of(const struct gnutls_session_int *is)
{
	const struct session *session = session_of(is);
	return session && session->has_own ? session->own : atomic_load(&standard);
}

static int on_secret(struct gnutls_session_int *is, const char *text, const struct share_datum *secret)
{
	enum keylog_label label;
	int kept = errno;
	struct session *session = session_of(is);
	if (session && label_of(text, &label))
		keep(session, label, secret);
	gnutls_keylog_func *own = callback_of(is);
	int result = own ? own(is, text, secret) : 0;
	errno = kept;
	return result;
}

/* For consent, in the middle of a handshake. */
static struct share_consent_state *consent_of(struct gnutls_session_int *is, char name[static SHARE_NAME_MAX + 1])
{
	struct session *session = session_of(is);
	struct share_item item = {.kind = SHARE_KEY};
	if (!session)
		return NULL;
	add_name(is, session, &item);
	memcpy(name, item.name, SHARE_NAME_MAX + 1);
	return &session->consent;
}

/* Under `lock`. */
static void look_up(const void *caller)
{
	void *init = library_find("gnutls_init", caller, (const void *)(uintptr_t)gnutls_init);
	void *handle = init ? dlopen(library_of(init), RTLD_LAZY | RTLD_NOLOAD) : NULL;
	bool ok = handle != NULL;
	for (size_t i = 0; ok && i < sizeof(names) / sizeof(names[0]); i++) {
		void *found = dlsym(handle, names[i].name);
		memcpy((char *)&library + names[i].at, &found, sizeof(found));
		ok = found != NULL;
	}
	if (ok)
		share_consent_gnutls_begin(handle, consent_of);
	if (handle)
		dlclose(handle);
	atomic_store(&state, ok ? 1 : -1);
	if (!ok && handle)
		share_link_say(SHARE_BARRED, "GnuTLS here is older than 3.7.4");
}

static bool ready(const void *caller)
{
	if (!share_link_on())
		return false;
	if (atomic_load(&state) != 0)
		return atomic_load(&state) > 0;
	pthread_mutex_lock(&lock);
	bool first = atomic_load(&state) == 0;
	if (first)
		look_up(caller);
	pthread_mutex_unlock(&lock);
	if (first && atomic_load(&state) > 0) {
		char text[64] = LIBRARY_TXT;
		share_link_prepare();
		strncat(text, library.check_version(NULL), sizeof(text) - sizeof(LIBRARY_TXT));
		share_link_say(SHARE_LIBRARY, text);
	}
	return atomic_load(&state) > 0;
}

#define NEXT(function) library_find(#function, WHO, (const void *)(uintptr_t)(function))

int gnutls_init(struct gnutls_session_int **session, unsigned int flags)
{
	int (*next)(struct gnutls_session_int **, unsigned int);
	bool ours = ready(WHO);
	*(void **)&next = ours ? *(void **)&library.init : NEXT(gnutls_init);
	int result = next ? next(session, flags) : E_INTERNAL;
	if (result == 0 && ours) {
		atomic_store(&standard, library.get_keylog(*session));
		remember(*session, (flags & CLIENT) == 0);
		library.set_keylog(*session, on_secret);
		share_consent_gnutls_attach(*session);
	}
	return result;
}

/* GnuTLS tells the suite when its handshake is over, which is before this side may write: its keys go out here. */
int gnutls_handshake(struct gnutls_session_int *session)
{
	int (*next)(struct gnutls_session_int *);
	bool ours = atomic_load(&state) > 0;
	*(void **)&next = ours ? *(void **)&library.handshake : NEXT(gnutls_handshake);
	int result = next ? next(session) : E_INTERNAL;
	struct session *known = ours && result == 0 ? session_of(session) : NULL;
	return known && !share(session, known) ? E_INTERNAL : result;
}

/* The library does not tell a client what it was told. */
int gnutls_server_name_set(struct gnutls_session_int *session, int type, const void *name, size_t len)
{
	int (*next)(struct gnutls_session_int *, int, const void *, size_t);
	bool ours = atomic_load(&state) > 0;
	struct session *known = ours ? session_of(session) : NULL;
	*(void **)&next = ours ? *(void **)&library.set_name : NEXT(gnutls_server_name_set);
	if (known && len <= SHARE_NAME_MAX) {
		memcpy(known->name, name, len);
		known->name[len] = '\0';
	}
	return next ? next(session, type, name, len) : E_INTERNAL;
}

void gnutls_deinit(struct gnutls_session_int *session)
{
	void (*next)(struct gnutls_session_int *);
	bool ours = atomic_load(&state) > 0;
	struct session *known = ours ? forget(session) : NULL;
	*(void **)&next = ours ? *(void **)&library.deinit : NEXT(gnutls_deinit);
	if (next)
		next(session);
	end(known);
}

void gnutls_session_set_keylog_function(struct gnutls_session_int *session, gnutls_keylog_func *callback)
{
	void (*next)(struct gnutls_session_int *, gnutls_keylog_func *);
	struct session *known = atomic_load(&state) > 0 ? session_of(session) : NULL;
	if (known) {
		known->has_own = true;
		known->own = callback;
		return;
	}
	*(void **)&next = NEXT(gnutls_session_set_keylog_function);
	if (next)
		next(session, callback);
}

gnutls_keylog_func *gnutls_session_get_keylog_function(const struct gnutls_session_int *session)
{
	gnutls_keylog_func *(*next)(const struct gnutls_session_int *);
	if (atomic_load(&state) > 0)
		return callback_of(session);
	*(void **)&next = NEXT(gnutls_session_get_keylog_function);
	return next ? next(session) : NULL;
}

static void forked(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

void share_gnutls_begin(void)
{
	pthread_atfork(NULL, NULL, forked);
}
