/* proxy/keeper_parts.h — what the keeper's own files share. Not for others. */
#ifndef PROXY_KEEPER_PARTS_H
#define PROXY_KEEPER_PARTS_H

#include "pki/accord_ca.h"
#include "pki/leaf_key.h"
#include "pki/leaf_store.h"
#include "proxy/bucket.h"
#include "proxy/keeper.h"

/* A worker, or the supervisor. */
struct peer {
	struct peer *next, **at;
	struct keeper *keeper;
	struct ipc *ipc;
	char name[32];
	uint64_t serial; /* never used twice: names a peer that may be gone when something is done */
	bool supervisor;
	unsigned syncs;                          /* entries whose KEEPER_AUDITED is owed */
	struct bucket leaves, entries, refusals; /* what it may still ask for, write and note */
	bool audit_waits;                        /* it was told to write no more for now */
};

struct keeper {
	struct loop *loop;
	struct keeper_options options; /* with defaults filled in */
	struct authority *authority;
	struct leaf_keys *leaf_keys;
	struct leaf_store *leaf_store;
	bool stopped;                /* the audit log has its last entry */
	bool key_given[KEEPER_KEYS]; /* workers have it; the RSA key is made when first asked for */
	uint8_t issuer[32];          /* as told to workers */
	struct refusal_store *refusals;
	bool refusals_failing; /* the log knows */
	struct audit_log *audit;
	struct ticket_keys *tickets;  /* in memory of its own */
	struct accord_ca_leaf accord; /* what workers show under Accord; cert NULL: nothing */
	int64_t accord_tried_s;       /* when it was last to be made anew */
	struct loop_timer ticket_timer, second_timer;
	uint8_t *room; /* IPC_BODY_MAX: messages are put together here */
	uint64_t next_serial;
	struct peer *peers;
	struct keeper_counts counts;
};

/* To one; what finds no room is counted. */
void keeper_send(struct peer *peer, uint16_t kind, uint32_t id, struct bytes body);
/* WELCOME to one, or with `peer` NULL to all. */
void keeper_welcome(struct keeper *keeper, struct peer *peer);

/* Says in the audit log which CA issues; once, when the keeper starts. */
void keeper_ca_opened(struct keeper *keeper);

/* Opens STATE/audit.log. */
must_check bool keeper_audit_open(struct keeper *keeper, struct error *err);
/* KEEPER_AUDIT and KEEPER_AUDIT_SYNC. */
void keeper_on_audit(struct peer *peer, const struct ipc_message *message);
/* Why this peer may write no entries now; "" when it may. */
must_check const char *keeper_audit_reason(const struct peer *peer);
/* Those who were told to wait and may go on are told so. Every second. */
void keeper_audit_end_waits(struct keeper *keeper);

/* What is shown under Accord (keeper_accord.c): made at the start where there is an anchor. */
must_check bool keeper_accord_open(struct keeper *keeper, struct error *err);
/* Makes it anew when that is due. True: it is another. */
must_check bool keeper_accord_renew(struct keeper *keeper);
/* In DER, for a worker; both empty when there is none. The caller frees with keeper_accord_free. */
struct keeper_accord_der {
	uint8_t *key, *cert;
	size_t key_len, cert_len;
};
void keeper_accord_export(const struct keeper *keeper, struct keeper_accord_der *out);
void keeper_accord_free(struct keeper_accord_der *der);

/* Answers KEEPER_LEAF_GET. False when it is malformed. */
must_check bool keeper_leaf_answer(struct peer *peer, const struct ipc_message *message);

/* Makes a new key the first; the oldest leaves. False without randomness: they stay as they are. */
must_check bool keeper_tickets_rotate(struct ticket_keys *keys);

#endif
