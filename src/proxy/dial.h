/*
 * proxy/dial.h — a TCP connection to a target: names resolved, addresses filtered and tried side by side (RFC 8305),
 * through another proxy where one is configured. Asynchronous on the worker's loop.
 */
#ifndef PROXY_DIAL_H
#define PROXY_DIAL_H

#include "base/bytes.h"
#include "base/hostport.h"
#include "policy/config.h"
#include "proxy/resolver_client.h"
#include "proxy/target.h"

struct dial;

/* May this address be connected to? Called for each address before it is tried. */
typedef bool dial_permits_fn(const struct hostport *to, void *ctx);

struct dial_request {
	const struct target *target;
	const struct hostport *known;          /* go there and resolve nothing; NULL: resolve the target */
	const struct hostport *source;         /* local address to bind (TPROXY), NULL: the kernel's choice */
	const struct config_upstream *through; /* another proxy; kind UPSTREAM_DIRECT or NULL: none */
	bool no_tunnel; /* an HTTP proxy in between is connected to and asked for nothing: absolute-form requests follow */
	unsigned send_proxy;           /* enum config_send_proxy: the PROXY header to begin with */
	const struct hostport *client; /* for that header: who connected; NULL: the proxy itself */
	dial_permits_fn *permits;      /* NULL: all. Not asked behind another proxy, which resolves itself */
	uint64_t dns_ns, connect_ns;   /* durations */
};

enum dial_failure {
	DIAL_CONNECTED,
	DIAL_NO_NAME,   /* the name has no address, or no server told */
	DIAL_FORBIDDEN, /* every address it has is one that may not be reached */
	DIAL_REFUSED,   /* nothing listens, or no route */
	DIAL_TIMEOUT,
	DIAL_NO_PROXY,  /* the proxy in between refused or failed */
	DIAL_EXHAUSTED, /* descriptors or memory on this machine */
};

struct dial_result {
	enum dial_failure failure;
	int fd;             /* DIAL_CONNECTED: the caller's, non-blocking; else -1 */
	struct hostport to; /* what it is connected to (behind another proxy: that proxy) */
	struct bytes early; /* octets of the server that came with the other proxy's answer; valid during the call */
	char text[256];     /* a sentence for people, on failure */
};

typedef void dial_done_fn(const struct dial_result *result, void *ctx);

/*
 * `request` and what it points to, save `target` and `through`, need not outlive the call; those two must outlive the
 * dial. `done` is called once, never inside this call. NULL without memory.
 */
must_check struct dial *dial_start(struct loop *loop, struct resolver_client *resolver,
	const struct dial_request *request, dial_done_fn *done, void *ctx);
/* `done` will not be called. NULL is allowed; not after `done`. */
void dial_cancel(struct dial *dial);

/* "upstream-unreachable" and so on: stable names for logs and events. */
must_check const char *dial_failure_name(enum dial_failure failure);

#endif
