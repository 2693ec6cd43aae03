/*
 * proxy/keeper.h — the process without a network that holds what must not be lost: the CA, the leaf keys, the leaf store,
 * the ticket keys, the audit log and the refusals. It serves workers over ipc channels (messages: keeper_wire.h), in a
 * process of its own or, with --single, on the worker's loop.
 *
 * A worker gets leaves for the leaf keys it was given, no others, at a limited rate; it can add audit entries of the kinds
 * a worker may write and note refusals, at a limited rate too; nothing it sends can change rules, keys or older entries.
 * A worker over its rate of entries is told that the log is closed to it: it inspects nothing until it is told otherwise.
 */
#ifndef PROXY_KEEPER_H
#define PROXY_KEEPER_H

#include "audit/log.h"
#include "base/loop.h"
#include "proxy/ipc.h"
#include "proxy/keeper_wire.h"

struct accord_ca;
struct authority;
struct config;
struct keeper;

struct keeper_options {
	const char *state; /* the folder, which must exist; NULL: all stays in memory, and there is no audit log */
	struct authority *authority;    /* opened by the caller, whose it stays until after keeper_free */
	const struct accord_ca *accord; /* NULL: no Accord. Likewise the caller's */
	bool ca_made;                   /* it was made just now: the audit log says so */
	const char *policy_url; /* stands in every leaf; NULL: MINT_POLICY_URL. The caller's until keeper_free */
	bool audit;             /* keep STATE/audit.log; needs `state` */
	uint64_t retention_ns;  /* of audit openings; bounds refusals and stored leaves too. 0: no openings are kept */
	uint32_t mint_rate;     /* new leaves per second and worker; 0 means 200 */
	uint32_t mint_burst;    /* 0 means 2000 */
	uint32_t audit_rate;    /* audit entries per second and worker; 0 means 10,000 */
	uint32_t audit_burst;   /* 0 means 50,000. Over it a worker is told to wait; it may overdraw by as much again */
	uint32_t refusal_rate;  /* refusals noted per second and worker, ten times that at once; 0 means 100 */
	size_t leaf_rows;       /* cap of the leaf store; 0 means LEAF_STORE_ROWS */
	uint64_t ticket_ns;     /* between rotations of ticket keys; 0 means one hour */
	struct refusal_limits refusals;
};

struct keeper_counts {
	uint64_t minted;             /* leaves made */
	uint64_t found;              /* found in the store */
	uint64_t failed;             /* not to be had; the log says why */
	uint64_t names_over_cap;     /* names left out of leaves (pki/mint.h) */
	uint64_t rate_refused;       /* requests over a worker's rate */
	uint64_t malformed;          /* messages that broke the form: their worker was cut off */
	uint64_t audit_invalid;      /* entries that a worker may not write */
	uint64_t audit_waits;        /* times a worker was told to write no more for now */
	uint64_t audit_over_rate;    /* entries of a worker that went on all the same: not written */
	uint64_t refusals_over_rate; /* not noted */
	uint64_t answers_refused;    /* messages for which a slow worker's queue had no room */
	size_t workers;
	size_t rows, rows_cap; /* of the leaf store, with what its cap and its faults cost */
	uint64_t rows_pruned, rows_lost;
	struct audit_counts audit; /* all zero without a log */
	struct refusal_counts refusals;
};

/* NULL with `err` set: what was wrong with STATE, the audit log or a key file. */
must_check struct keeper *keeper_new(struct loop *loop, const struct keeper_options *options, struct error *err);
/*
 * The last entry of the audit log says why the keeper ends; keeper_free says "stopped" where nobody said anything. What
 * ends without an entry of that kind did not end cleanly.
 */
void keeper_stop(struct keeper *keeper, const char *reason);
/* Closes all channels, syncs the audit log (this may block). NULL is allowed. */
void keeper_free(struct keeper *keeper);

/*
 * As keeper_free for one that another keeper goes on for: the audit log's last entry says so, everything in the state is
 * closed, and then each worker's channel is given away with all that the worker has sent and nobody has read. `give`
 * owns the descriptor. What a worker was promised is answered before.
 */
void keeper_hand_over(struct keeper *keeper, void (*give)(int fd, const char *name, void *ctx), void *ctx);

/* Serves a worker on `fd`, which it takes. `name` is for the log and is copied. WELCOME is sent at once. */
must_check bool keeper_serve(struct keeper *keeper, int fd, const char *name, struct error *err);

/*
 * Serves the supervisor on `fd`, which it takes: it may write audit entries of every kind and hand over channels to new
 * workers (KEEPER_WORKER); it gets no keys.
 */
must_check bool keeper_serve_supervisor(struct keeper *keeper, int fd, struct error *err);

/*
 * The authority was replaced by one opened by the caller: audited, and told to every worker. The one before may be freed
 * afterwards.
 */
void keeper_authority_set(struct keeper *keeper, struct authority *authority);
/*
 * Opens the CA that `config` means again, since `overt ca rotate` or `install` may have changed it. Where its certificates
 * changed, keeper_authority_set is done, *authority (the keeper's so far, the caller's) is freed and replaced, and
 * *changed is true. A CA on a token is not opened again. On failure everything stays as it was. The files must still be
 * readable for this process.
 */
must_check bool keeper_reopen(struct keeper *keeper, const struct config *config, struct authority **authority,
	bool *changed, struct error *err);

/*
 * The same for the Accord anchor in the state: where one was made, or another, *anchor is replaced and workers get a
 * certificate of it. One that is gone goes on as it is.
 */
must_check bool keeper_accord_reopen(
	struct keeper *keeper, const struct config *config, struct accord_ca **anchor, struct error *err);

/* The keeper's own entries (start, stop, snapshot, CA): as audit_append_synced; with no log `done(true)` at once. */
must_check enum audit_result keeper_audit(
	struct keeper *keeper, const struct audit_entry *entry, audit_synced_fn *done, void *ctx);
/* NULL when the audit log is open, or there is none; else why it is closed. */
must_check const char *keeper_audit_closed(const struct keeper *keeper);

must_check struct keeper_counts keeper_count(const struct keeper *keeper);

#endif
