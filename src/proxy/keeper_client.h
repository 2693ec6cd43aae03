/*
 * proxy/keeper_client.h — the worker's side of the keeper: leaves by request with a cache, audit entries, refusals, ticket
 * keys. Everything is asynchronous on the worker's loop; before the keeper's WELCOME there are no keys and the audit log
 * counts as closed.
 */
#ifndef PROXY_KEEPER_CLIENT_H
#define PROXY_KEEPER_CLIENT_H

#include "base/error.h"
#include "base/loop.h"
#include "proxy/keeper_wire.h"

#include <openssl/x509.h>

struct keeper_client;
struct keeper_wait;

struct keeper_client_limits {
	size_t pending;    /* leaf requests waiting at once; 0 means 4096 */
	size_t cache;      /* leaves; 0 means 2048 */
	size_t queue_cap;  /* octets of messages to the keeper; 0 means 4 MiB */
	size_t refusals;   /* pairs known here; 0 means 10000 */
	OSSL_LIB_CTX *lib; /* decodes leaves (pki/slim.h); NULL: the default context */
};

/* What changed; bits. */
enum {
	KEEPER_CHANGED_READY = 1, /* the first WELCOME */
	KEEPER_CHANGED_ISSUER =
		2, /* issuer, chain or leaf keys; where old leaves are no use any more the cache was emptied */
	KEEPER_CHANGED_TICKETS = 4,
	KEEPER_CHANGED_AUDIT = 8,   /* open or closed */
	KEEPER_CHANGED_ACCORD = 32, /* what is shown under Accord is another */
	KEEPER_CHANGED_GONE = 16,   /* the channel closed: all waits fail, the audit log counts as closed */
};

enum keeper_result {
	KEEPER_OK,
	KEEPER_LEAF_REFUSED,       /* the keeper said no: text */
	KEEPER_LEAF_NOT_PERMITTED, /* the CA may not issue for this name: bypass or block */
	KEEPER_LEAF_TIMEOUT,
	KEEPER_LEAF_FULL, /* too many waits, or the queue to the keeper is full */
	KEEPER_GONE,      /* no keeper, or no WELCOME yet */
};

/* A leaf ready for SSL_use_cert_and_key. All are the client's: valid during the call, X509_up_ref and so on to keep. */
struct keeper_leaf {
	X509 *cert;
	EVP_PKEY *key;
	STACK_OF(X509) * chain; /* what goes out after the leaf: empty when the issuer is a root */
	uint64_t not_after_s;   /* unix seconds */
};

struct keeper_client_counts {
	uint64_t asked, shared, refused, timeouts,
		full; /* leaf requests; shared: joined one in flight for the same leaf */
	uint64_t audited, audit_refused;
	uint64_t refusals_sent, refusals_dropped; /* dropped: queue to the keeper full */
	size_t pending, pending_cap;
	uint64_t cache_hits, cache_misses, cache_evicted;
	size_t cached, cache_cap;
	size_t queued, queue_cap; /* octets to the keeper */
};

/* `leaf` is NULL on anything but KEEPER_OK; `text` is a sentence for people then, else "". */
typedef void keeper_leaf_fn(enum keeper_result result, const struct keeper_leaf *leaf, const char *text, void *ctx);
typedef void keeper_synced_fn(bool ok, void *ctx);

/* Takes `fd`. `changed` (may be NULL) is called from the loop with KEEPER_CHANGED_ bits. NULL with `err` set. */
must_check struct keeper_client *keeper_client_new(struct loop *loop, int fd, const struct keeper_client_limits *limits,
	void (*changed)(unsigned what, void *ctx), void *ctx, struct error *err);
/* Waits are dropped without a call. Not inside a `done`. NULL is allowed. */
void keeper_client_free(struct keeper_client *client);
/* A new channel after KEEPER_CHANGED_GONE (a replaced keeper). Takes `fd`. Caches stay if the issuer is the same. */
must_check bool keeper_client_attach(struct keeper_client *client, int fd, struct error *err);

/*
 * The leaf from the worker's cache, or false. *leaf is valid until the next turn of the loop. A miss here and the
 * keeper_client_leaf that follows count as two misses of the cache.
 */
must_check bool keeper_client_leaf_find(
	struct keeper_client *client, const struct keeper_leaf_request *request, struct keeper_leaf *leaf);
/*
 * Asks for a leaf, also one in the cache. `done` is called exactly once, from the loop, never inside this call, unless
 * the wait is cancelled first. `deadline_ns` of clock_monotonic_ns. NULL without memory: `done` is not called then.
 */
must_check struct keeper_wait *keeper_client_leaf(struct keeper_client *client,
	const struct keeper_leaf_request *request, uint64_t deadline_ns, keeper_leaf_fn *done, void *ctx);
/* `done` will not be called. Only before `done`; never after. */
void keeper_wait_cancel(struct keeper_wait *wait);

/* The leaf key of a type; NULL when there is none (yet). The client's. */
must_check EVP_PKEY *keeper_client_key(const struct keeper_client *client, enum keeper_key key);
/* What goes out after a leaf; NULL before WELCOME. The client's, until KEEPER_CHANGED_ISSUER. */
must_check STACK_OF(X509) * keeper_client_chain(const struct keeper_client *client);
/* What clients of Accord are shown; both NULL when there is nothing. The client's, until KEEPER_CHANGED_ACCORD. */
void keeper_client_accord(const struct keeper_client *client, X509 **cert, EVP_PKEY **key);
/* count 0 before WELCOME. Valid until KEEPER_CHANGED_TICKETS. */
must_check const struct ticket_keys *keeper_client_tickets(const struct keeper_client *client);

/* NULL: open, connections may be inspected. Else why not. Valid until the next turn. */
must_check const char *keeper_client_audit_closed(const struct keeper_client *client);
/* Queues an entry. False: closed, or the queue is full (counted), or the entry is malformed: do not inspect. */
must_check bool keeper_client_audit(struct keeper_client *client, const struct audit_entry *entry);
/*
 * As keeper_client_audit; `done` is called once from the loop when the entry is on the disk, or will not be known to be.
 * Returns false, and never calls, as above. Cannot be cancelled but by keeper_client_free.
 */
must_check bool keeper_client_audit_synced(
	struct keeper_client *client, const struct audit_entry *entry, keeper_synced_fn *done, void *ctx);

/* The supervisor's: a channel for a new worker, named for the log; `fd` stays the caller's. False: not sent. */
must_check bool keeper_client_worker(struct keeper_client *client, int fd, const char *name);

/* Notes that `client_address` refused our leaf for `name`. `alert`: description, or REFUSAL_CLOSED. */
void keeper_client_refusal_add(struct keeper_client *client, struct bytes client_address, struct bytes name, int alert);
/* What is known of the pair, from any worker, or NULL. Valid until the next turn. Lifetimes are the keeper's. */
must_check const struct refusal *keeper_client_refusal(
	struct keeper_client *client, struct bytes client_address, struct bytes name);

must_check struct keeper_client_counts keeper_client_count(const struct keeper_client *client);

#endif
