/*
 * proxy/snapshot.h — rules, name lists, trust anchors and proxy users as one bundle: written by a process that may read
 * files, opened by those that may not. A reload is a new snapshot; connections in progress keep the one they began with.
 */
#ifndef PROXY_SNAPSHOT_H
#define PROXY_SNAPSHOT_H

#include "base/error.h"
#include "pki/trust.h"
#include "policy/config.h"
#include "policy/rules.h"
#include "proxy/accord_serve.h"
#include "proxy/bundle.h"
#include "proxy/identity.h"
#include "proxy/intake_http.h"

/*
 * Reads and checks everything that `config` names; `rules` is the text that stands for a rules file where none is
 * configured; `own_pem` are the CA certificates that clients may trust; `generation` counts the snapshots of this run,
 * from 1, for the audit log. Returns the descriptor of the bundle, the caller's, or -1 with `err` naming file, line and
 * column.
 */
must_check int snapshot_write(
	const struct config *config, const char *rules, struct bytes own_pem, uint64_t generation, struct error *err);

struct snapshot {
	struct bundle *bundle;
	struct policy *policy;
	struct bytes trust_pem, own_pem; /* in the bundle */
	struct intake_users users;       /* likewise */
	struct identities *identities;
	struct accord_serving *serving; /* reverse listeners are aware servers; NULL: they are not */
	struct trust *accord;           /* anchors of proxies; NULL: nothing asks for Accord */
	uint64_t generation;
};

/* `fd` stays the caller's; `config` must outlive the snapshot. False with `err` set. */
must_check bool snapshot_open(struct snapshot *snapshot, int fd, const struct config *config, struct error *err);
/* Whoever kept the policy keeps what of the bundle it needs. */
void snapshot_close(struct snapshot *snapshot);

#endif
