/*
 * proxy/worker.h — one event loop with its TLS contexts, caches and connections. Private to proxy/: the stages of a
 * connection reach what they share through it.
 */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include "base/hostport.h"
#include "base/loop.h"
#include "flow/publish.h"
#include "pki/slim.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "policy/config.h"
#include "policy/rules.h"
#include "proxy/intake_http.h"
#include "proxy/keeper_client.h"
#include "proxy/leg.h"
#include "proxy/resolver_client.h"
#include "proxy/snapshot.h"

#define WORKER_SCRATCH    ((size_t)128 * 1024)
#define WORKER_FLOW_SLOTS 4096

struct accord_limit;
struct accord_shown;
struct aia;
struct conn;
struct local;
struct upstream;
struct answer;
struct worker;

struct listener {
	struct loop_io io;
	struct worker *worker;
	struct listen_at at;     /* as configured */
	struct hostport address; /* as bound */
};

struct worker_counts {
	uint64_t accepted, refused_per_client, accept_pauses;
	uint64_t inspected, bypassed, blocked, failed; /* verdicts as they were carried out */
	uint64_t handshakes[3];                        /* finished, by leg; [0] unused */
	uint64_t resumed[3];
	uint64_t plain_octets;
	uint64_t replays, replays_failed; /* of what led to STARTTLS, to a fresh connection */
	uint64_t replays_refused, replays_capped;
	uint64_t accord;           /* connections whose proof the client took */
	uint64_t accord_unmatched; /* blocked: accord is required and the client does not speak it */
	uint64_t accord_role;      /* blocked: the client accepts no such proxy, or no more of them */
	uint64_t accord_refused;   /* by the server's verdict */
	uint64_t accord_too_long;  /* the server's handshake is over what a proof can hold */
	uint64_t accord_not_tls13, accord_malformed;
	uint64_t accord_limited;                                            /* over a client's rate */
	uint64_t accord_served, accord_served_refused, accord_served_unmet; /* as an aware server */
	uint64_t accord_client_refused; /* the client did not take the proof, or its approval was not to be had */
	size_t open;
};

struct worker {
	struct loop *loop;
	unsigned number;
	const struct config *config;
	struct snapshot snapshot; /* the present one; a connection keeps the policy it began with */
	struct keeper_client *keeper;
	struct resolver_client *resolver;
	struct publisher publisher;
	struct loop_io ring_space; /* readable when the ring has room again (--lossless) */

	struct slim *slim;
	struct trust *trust;
	struct verifier *verifier;
	struct aia *aia;            /* issuers that servers do not send */
	struct upstream *upstream;  /* leg 2: context and session cache */
	struct answer *answer;      /* leg 1: context and tickets */
	SSL_CTX *served;            /* leg 1 of reverse listeners that are aware servers; NULL: none are */
	struct accord_limit *limit; /* Accord handshakes of each client */
	struct accord_shown *shown; /* what clients of Accord see; NULL: nothing */
	struct local *mine; /* we are one user's own, on that user's machine (proxy/local.h); NULL: we are not */

	struct listener *listeners;
	size_t listener_count;
	struct hostport *local; /* this machine's own addresses when the worker started */
	size_t local_count;
	bool keeper_ready;
	bool accept_paused;
	bool draining;
	struct loop_timer accept_again, drain_deadline, tidy;
	void (*drained)(struct worker *worker, void *ctx);
	void *drained_ctx;

	struct leg_room room;
	uint8_t *scratch; /* WORKER_SCRATCH octets for whoever needs them within one call */
	struct conn *newest;
	struct conn *by_flow[WORKER_FLOW_SLOTS]; /* chains by flow id, for what the scribe asks of a flow */
	struct cache *per_client;                /* connections open per client address */
	uint64_t next_id;
	struct worker_counts counts;
};

struct worker_options {
	unsigned number;
	const struct config *config; /* outlives the worker */
	struct snapshot *snapshot;   /* taken, also on failure: zeroed */
	const int *listen_fds;       /* one per config->listen, listening; stay the caller's */
	int keeper_fd, resolver_fd;  /* taken */
	const struct ring_fds *ring; /* stays the caller's; NULL: nothing is published */
	struct local *local;         /* likewise, and outlives the worker; NULL: none */
};

/* NULL with `err` set. */
must_check struct worker *worker_new(struct loop *loop, const struct worker_options *options, struct error *err);
/* Ends every connection. NULL is allowed. */
void worker_free(struct worker *worker);

/* Rules, users, client certificates and trust from the next connection on. `fresh` is taken and zeroed. */
void worker_set_snapshot(struct worker *worker, struct snapshot *fresh);
/* Publishes into another ring from now on (a replaced scribe). `ring` stays the caller's and must outlive its use. */
must_check bool worker_set_ring(struct worker *worker, const struct ring_fds *ring, struct error *err);
/* Accepts no more; `drained` is called when the last connection is gone or the drain deadline has passed. */
void worker_drain(struct worker *worker, void (*drained)(struct worker *worker, void *ctx), void *ctx);

/* Is this address one that this proxy listens at? */
must_check bool worker_is_own(const struct worker *worker, const struct hostport *address);
/* A new flow id for the connection: each has one at a time, a client of plain HTTP one per request. */
void worker_new_flow(struct worker *worker, struct conn *conn);
/* What the scribe has asked for since: plaintext of some flows that need not be published. */
void worker_take_skips(struct worker *worker);
/* For conn: counts in and out. False when the client has as many as it may. */
must_check bool worker_enter(struct worker *worker, struct conn *conn);
/* The connection counts for another client from now on. False when that one has as many as it may. */
must_check bool worker_rename(struct worker *worker, struct conn *conn, const struct hostport *peer);
void worker_leave(struct worker *worker, struct conn *conn);

static inline struct loop *worker_loop(const struct worker *worker)
{
	return worker->loop;
}

static inline const struct config *worker_config(const struct worker *worker)
{
	return worker->config;
}

#endif
