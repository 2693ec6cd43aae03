#include "proxy/keeper_parts.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* Audit entries of workers and of the supervisor: who may write which, how fast, and what becomes of them. */

#define SYNCS_MAX 1024 /* synced entries a peer may have on the way */

const char *keeper_audit_reason(const struct peer *peer)
{
	const char *closed = keeper_audit_closed(peer->keeper);
	return closed ? closed : peer->audit_waits ? "this worker writes more audit entries than the keeper takes" : "";
}

/* KEEPER_AUDITED is owed to a peer that may be gone when the time comes. */
struct owed {
	struct keeper *keeper;
	uint64_t serial;
	uint32_t id;
};

static void pay(struct keeper *keeper, uint64_t serial, uint32_t id, bool ok)
{
	uint8_t yes = ok;
	for (struct peer *peer = keeper->peers; peer; peer = peer->next) {
		if (peer->serial != serial)
			continue;
		peer->syncs--;
		keeper_send(peer, KEEPER_AUDITED, id, bytes_of(&yes, 1));
		return;
	}
}

static void entry_synced(bool ok, void *ctx)
{
	struct owed owed = *(struct owed *)ctx;
	free(ctx);
	pay(owed.keeper, owed.serial, owed.id, ok);
}

static void audit_synced(struct peer *peer, const struct audit_entry *entry, uint32_t id)
{
	struct owed *owed = peer->syncs < SYNCS_MAX ? malloc(sizeof(*owed)) : NULL;
	peer->syncs++;
	if (owed) {
		*owed = (struct owed){.keeper = peer->keeper, .serial = peer->serial, .id = id};
		if (keeper_audit(peer->keeper, entry, entry_synced, owed) == AUDIT_QUEUED)
			return;
		free(owed);
	}
	pay(peer->keeper, peer->serial, id, false);
}

static bool may_write(const struct peer *peer, enum audit_kind kind)
{
	if (peer->supervisor)
		return kind <= AUDIT_CA;
	return kind == AUDIT_INSPECTED || kind == AUDIT_KEYLOG || kind == AUDIT_PROOF || kind == AUDIT_APPROVAL;
}

static void tell_audit_state(struct peer *peer)
{
	uint8_t room[1024];
	struct bytes body;
	struct writer w = writer_over(room, sizeof(room));
	writer_vec16(&w, bytes_str(keeper_audit_reason(peer)));
	if (writer_done(&w, &body))
		keeper_send(peer, KEEPER_AUDIT_STATE, 0, body);
}

/*
 * Below zero the worker is told to wait. What it has decided to inspect by then is on its way and is still taken, on
 * credit; one that goes on beyond that does not listen.
 */
static bool within_rate(struct peer *peer)
{
	struct keeper *keeper = peer->keeper;
	const struct keeper_options *o = &keeper->options;
	if (peer->supervisor)
		return true;
	bucket_fill(&peer->entries, o->audit_rate, o->audit_burst, clock_monotonic_ns());
	peer->entries.tokens -= 1;
	if (peer->entries.tokens >= 0)
		return true;
	if (!peer->audit_waits) {
		peer->audit_waits = true;
		keeper->counts.audit_waits++;
		log_warn("audit entries come too fast", LOG_S("from", peer->name),
			LOG_S("means", "it inspects no new connections for a moment"));
		tell_audit_state(peer);
	}
	if (peer->entries.tokens >= -(double)o->audit_burst)
		return true;
	peer->entries.tokens = -(double)o->audit_burst;
	keeper->counts.audit_over_rate++;
	return false;
}

static void refuse_entry(struct peer *peer, const struct ipc_message *message)
{
	peer->syncs += message->kind == KEEPER_AUDIT_SYNC;
	if (message->kind == KEEPER_AUDIT_SYNC)
		pay(peer->keeper, peer->serial, message->id, false);
}

void keeper_on_audit(struct peer *peer, const struct ipc_message *message)
{
	struct keeper *keeper = peer->keeper;
	struct audit_entry entry;
	struct error err;
	bool good = audit_entry_read(message->body, &entry, &err);
	if (good && !may_write(peer, entry.kind))
		good = error_set(&err, "%s may not write entries of kind %s", peer->name, audit_kind_name(entry.kind));
	if (!good) {
		keeper->counts.audit_invalid++;
		log_warn("audit entry refused", LOG_S("from", peer->name), LOG_S("reason", err.text));
		refuse_entry(peer, message);
	} else if (!within_rate(peer)) {
		refuse_entry(peer, message);
	} else if (message->kind == KEEPER_AUDIT_SYNC) {
		audit_synced(peer, &entry, message->id);
	} else if (keeper->audit && audit_append(keeper->audit, &entry, clock_wall_ns(), NULL) == AUDIT_INVALID) {
		keeper->counts.audit_invalid++;
	}
}

enum audit_result keeper_audit(struct keeper *keeper, const struct audit_entry *entry, audit_synced_fn *done, void *ctx)
{
	if (keeper->audit)
		return audit_append_synced(keeper->audit, entry, clock_wall_ns(), done, ctx);
	done(true, ctx);
	return AUDIT_QUEUED;
}

const char *keeper_audit_closed(const struct keeper *keeper)
{
	return keeper->audit ? audit_log_closed(keeper->audit) : NULL;
}

static void audit_changed(const char *reason, void *ctx)
{
	const struct keeper *keeper = ctx;
	(void)reason;
	for (struct peer *peer = keeper->peers; peer; peer = peer->next)
		tell_audit_state(peer);
}

void keeper_audit_end_waits(struct keeper *keeper)
{
	const struct keeper_options *o = &keeper->options;
	for (struct peer *peer = keeper->peers; peer; peer = peer->next) {
		/* Until the bucket is half full again. */
		if (!peer->audit_waits)
			continue;
		bucket_fill(&peer->entries, o->audit_rate, o->audit_burst, clock_monotonic_ns());
		if (peer->entries.tokens < o->audit_burst / 2.0)
			continue;
		peer->audit_waits = false;
		tell_audit_state(peer);
	}
}

bool keeper_audit_open(struct keeper *keeper, struct error *err)
{
	char log_path[4096];
	char openings[4096];
	snprintf(log_path, sizeof(log_path), "%s/audit.log", keeper->options.state);
	snprintf(openings, sizeof(openings), "%s/openings", keeper->options.state);
	struct audit_options options = {
		.path = log_path, .openings = openings, .retention_ns = keeper->options.retention_ns};
	keeper->audit = audit_log_new(keeper->loop, &options, audit_changed, keeper, err);
	return keeper->audit != NULL;
}
