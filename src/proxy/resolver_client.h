/*
 * proxy/resolver_client.h — the worker's side of the resolver: asynchronous, cached, one request per name in flight.
 * A numeric host (also in brackets) is answered without asking anybody.
 */
#ifndef PROXY_RESOLVER_CLIENT_H
#define PROXY_RESOLVER_CLIENT_H

#include "proxy/resolver.h"

struct resolver_client;
struct resolver_wait;

struct resolver_limits {
	size_t pending;       /* requests waiting at once; 0 means 4096 */
	size_t cache;         /* names; 0 means 4096 */
	uint64_t positive_ns; /* 0 means 30 s */
	uint64_t negative_ns; /* 0 means 5 s */
};

enum resolver_result {
	RESOLVER_OK,
	RESOLVER_FAILED,  /* no such name, or no server answered: answer->text says which */
	RESOLVER_TIMEOUT, /* the caller's deadline came first */
	RESOLVER_REFUSED, /* too many requests wait, or the name is none */
	RESOLVER_GONE,    /* the resolver process is gone */
};

struct resolver_client_counts {
	uint64_t asked, shared, timeouts, refused; /* shared: joined a request for the same name already in flight */
	size_t pending, pending_cap;
	uint64_t cache_hits, cache_misses, cache_evicted;
	size_t cached, cache_cap;
};

/* `answer` is valid during the call; its text is set on anything but RESOLVER_OK. */
typedef void resolver_done_fn(enum resolver_result result, const struct resolver_answer *answer, void *ctx);

/* Takes `fd`. `gone` (may be NULL) is called once when the resolver has closed. NULL with `err` set. */
must_check struct resolver_client *resolver_client_new(struct loop *loop, int fd, const struct resolver_limits *limits,
	void (*gone)(void *ctx), void *ctx, struct error *err);
/* Pending requests are dropped without a call. Not inside a `done`. NULL is allowed. */
void resolver_client_free(struct resolver_client *client);

/*
 * A new channel after the old one closed (a replaced resolver). Takes `fd`. Pending requests failed when it closed.
 */
must_check bool resolver_client_attach(struct resolver_client *client, int fd, struct error *err);

/*
 * `done` is called exactly once, from the loop, never inside this call, unless the wait is cancelled first.
 * `deadline_ns` of clock_monotonic_ns. NULL without memory: `done` is not called then.
 */
must_check struct resolver_wait *resolver_client_resolve(
	struct resolver_client *client, struct bytes host, uint64_t deadline_ns, resolver_done_fn *done, void *ctx);
/* `done` will not be called. Only before `done`; never after. */
void resolver_wait_cancel(struct resolver_wait *wait);

must_check struct resolver_client_counts resolver_client_count(const struct resolver_client *client);

#endif
