#include "agent/share_openssl_call.h"

#include "agent/library.h"
#include "agent/share_openssl_library.h"
#include "agent/share_rotate.h"

#include <pthread.h>

#define WHO   __builtin_return_address(0)
#define SITES 1024 /* places in the program that call; others are looked up each time */
#define LOOKS 8    /* places in the table for one of them */

/* Behind a place that calls. */
struct way {
	void *real;
	const struct openssl_library *library; /* NULL: none whose keys are shared */
};

/* Looking a function up for its caller takes a thousand times what passing a call on may cost. */
struct site {
	_Atomic uintptr_t key; /* 0: free. Set last */
	struct way way;
};

static struct site sites[SITES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of filling them */

/* One place may call several of them, by pointers. */
static uintptr_t key_of(enum openssl_call call, const void *caller)
{
	return (uintptr_t)caller * 16 + call;
}

static struct site *site_of(uintptr_t key, size_t look)
{
	return &sites[((key >> 5) + look) % SITES];
}

static struct way look_up(enum openssl_call call, const void *caller, const void *ours)
{
	struct way way = {.real = library_find(openssl_call_name(call), caller, ours)};
	way.library = openssl_library_with(call, way.real);
	return way;
}

/* A connection is made by a context of a library that is known by then: what is found here stays so. */
static struct way learn(enum openssl_call call, const void *caller, const void *ours)
{
	uintptr_t key = key_of(call, caller);
	struct way way = look_up(call, caller, ours);
	pthread_mutex_lock(&lock);
	for (size_t look = 0; look < LOOKS; look++) {
		struct site *site = site_of(key, look);
		uintptr_t there = atomic_load(&site->key);
		if (there == key)
			break;
		if (there == 0) {
			site->way = way;
			atomic_store(&site->key, key);
			break;
		}
	}
	pthread_mutex_unlock(&lock);
	return way;
}

static inline struct way way_of(enum openssl_call call, const void *caller, const void *ours)
{
	uintptr_t key = key_of(call, caller);
	for (size_t look = 0; look < LOOKS; look++) {
		const struct site *site = site_of(key, look);
		uintptr_t there = atomic_load_explicit(&site->key, memory_order_acquire);
		if (there == key)
			return site->way;
		if (there == 0)
			break;
	}
	return learn(call, caller, ours);
}

/* What the program has is passed on as it is where nothing is to be done after it: most calls end here. */

static int get(const struct way *way, SSL *ssl, void *to, int len, bool taken)
{
	int (*real)(SSL *, void *, int);
	struct share_rotate_call call = {.reads = true};
	int done;
	*(void **)&real = way->real;
	do {
		done = real(ssl, to, len);
		call.good = done > 0;
		call.moved = taken && done > 0 ? (size_t)done : 0;
	} while (share_rotate_after(way->library, ssl, &call));
	return done;
}

static int get_ex(const struct way *way, SSL *ssl, void *to, size_t len, size_t *done, bool taken)
{
	int (*real)(SSL *, void *, size_t, size_t *);
	struct share_rotate_call call = {.reads = true};
	int ok;
	*(void **)&real = way->real;
	do {
		ok = real(ssl, to, len, done);
		call.good = ok == 1;
		call.moved = taken && ok == 1 ? *done : 0;
	} while (share_rotate_after(way->library, ssl, &call));
	return ok;
}

static int put(const struct way *way, SSL *ssl, const void *from, int len)
{
	int (*real)(SSL *, const void *, int);
	*(void **)&real = way->real;
	share_rotate_before(way->library, ssl);
	int done = real(ssl, from, len);
	struct share_rotate_call call = {.moved = done > 0 ? (size_t)done : 0, .good = done > 0, .writes = true};
	(void)!share_rotate_after(way->library, ssl, &call);
	return done;
}

static int put_ex(const struct way *way, SSL *ssl, const void *from, size_t len, size_t *done)
{
	int (*real)(SSL *, const void *, size_t, size_t *);
	*(void **)&real = way->real;
	share_rotate_before(way->library, ssl);
	int ok = real(ssl, from, len, done);
	struct share_rotate_call call = {.moved = ok == 1 ? *done : 0, .good = ok == 1, .writes = true};
	(void)!share_rotate_after(way->library, ssl, &call);
	return ok;
}

/* What moves no data. `ends`: nothing comes after it that the agent could do, and the peer may have ended, too. */
static int step(const struct way *way, SSL *ssl, bool ends)
{
	int (*real)(SSL *);
	*(void **)&real = way->real;
	int result = real(ssl);
	struct share_rotate_call call = {.good = !ends && result == 1};
	(void)!share_rotate_after(way->library, ssl, &call);
	return result;
}

/* `failed` is what is returned where there is no library behind. */
#define PASS(function, which, failed, watched, parameters, arguments, taken)                                           \
	int function parameters                                                                                        \
	{                                                                                                              \
		struct way way = way_of(which, WHO, (const void *)(uintptr_t)(function));                              \
		int(*real) parameters;                                                                                 \
		*(void **)&real = way.real;                                                                            \
		if (!real)                                                                                             \
			return failed;                                                                                 \
		if (!way.library || !share_rotate_wanted())                                                            \
			return real arguments;                                                                         \
		return watched taken;                                                                                  \
	}

PASS(SSL_read, OPENSSL_READ, -1, get, (SSL * ssl, void *to, int len), (ssl, to, len), (&way, ssl, to, len, true))
PASS(SSL_peek, OPENSSL_PEEK, -1, get, (SSL * ssl, void *to, int len), (ssl, to, len), (&way, ssl, to, len, false))
PASS(SSL_read_ex, OPENSSL_READ_EX, 0, get_ex, (SSL * ssl, void *to, size_t len, size_t *done), (ssl, to, len, done),
	(&way, ssl, to, len, done, true))
PASS(SSL_peek_ex, OPENSSL_PEEK_EX, 0, get_ex, (SSL * ssl, void *to, size_t len, size_t *done), (ssl, to, len, done),
	(&way, ssl, to, len, done, false))
PASS(SSL_write, OPENSSL_WRITE, -1, put, (SSL * ssl, const void *from, int len), (ssl, from, len),
	(&way, ssl, from, len))
PASS(SSL_write_ex, OPENSSL_WRITE_EX, 0, put_ex, (SSL * ssl, const void *from, size_t len, size_t *done),
	(ssl, from, len, done), (&way, ssl, from, len, done))
PASS(SSL_shutdown, OPENSSL_SHUTDOWN, -1, step, (SSL * ssl), (ssl), (&way, ssl, true))
PASS(SSL_connect, OPENSSL_CONNECT, -1, step, (SSL * ssl), (ssl), (&way, ssl, false))
PASS(SSL_accept, OPENSSL_ACCEPT, -1, step, (SSL * ssl), (ssl), (&way, ssl, false))

/* Who calls may not be who it seems (agent/library.h). */
static struct way way_of_handshake(const SSL *ssl, const void *caller)
{
	const void *ours = (const void *)(uintptr_t)SSL_do_handshake;
	void *real = library_find_made(openssl_call_name(OPENSSL_DO_HANDSHAKE), ssl, ours);
	if (!real)
		return way_of(OPENSSL_DO_HANDSHAKE, caller, ours);
	return (struct way){.real = real, .library = openssl_library_with(OPENSSL_DO_HANDSHAKE, real)};
}

int SSL_do_handshake(SSL *ssl)
{
	struct way way = way_of_handshake(ssl, WHO);
	int (*real)(SSL *);
	*(void **)&real = way.real;
	if (!real)
		return -1;
	return way.library && share_rotate_wanted() ? step(&way, ssl, false) : real(ssl);
}

static void forked(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

void share_openssl_call_begin(void)
{
	pthread_atfork(NULL, NULL, forked);
}
