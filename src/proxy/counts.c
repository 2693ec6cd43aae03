#include "proxy/counts.h"

#include "base/cache.h"
#include "base/log.h"
#include "proxy/aia.h"
#include "proxy/keeper.h"
#include "proxy/scribe.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

#define SIZE_OF(type, member) sizeof(((type *)0)->member)
#define TOTAL(type, member, metric, label, text)                                                                       \
	{                                                                                                              \
		.name = "overt_" metric "_total", .labels = (label), .help = (text), .kind = COUNTS_TOTAL,             \
		.at = offsetof(type, member), .size = SIZE_OF(type, member)                                            \
	}
#define GAUGE(type, member, metric, label, text)                                                                       \
	{                                                                                                              \
		.name = "overt_" metric, .labels = (label), .help = (text), .kind = COUNTS_GAUGE,                      \
		.at = offsetof(type, member), .size = SIZE_OF(type, member)                                            \
	}

#define LOG_LOST "Log lines that could not be written."

/* One instant of a process. */

struct worker_sample {
	struct worker_counts worker;
	struct keeper_client_counts keeper;
	struct resolver_client_counts resolver;
	struct aia_counts aia;
	struct upstream_counts upstream;
	struct verifier_counts verifier;
	struct publish_counts publish;
	struct cache_counts clients;
	uint64_t connections_cap, draining, log_lost;
};

struct keeper_sample {
	struct keeper_counts keeper;
	uint64_t audit_open, log_lost;
};

struct scribe_sample {
	struct scribe_counts scribe;
	uint64_t log_lost;
};

struct resolver_sample {
	uint64_t workers, log_lost;
};

struct supervisor_sample {
	struct supervisor_counts supervisor;
	uint64_t log_lost;
};

#define W struct worker_sample
static const struct counts_row worker_rows[] = {
	TOTAL(W, worker.accepted, "connections", "", "Connections accepted."),
	GAUGE(W, worker.open, "connections_open", "", "Connections open now."),
	GAUGE(W, connections_cap, "connections_cap", "", "Connections that may be open at a time."),
	TOTAL(W, worker.refused_per_client, "connections_refused", "why=\"per-client\"",
		"Connections closed at once because of a cap."),
	TOTAL(W, clients.evicted, "clients_forgotten", "",
		"Clients whose connections are no longer counted for want of room."),
	TOTAL(W, worker.accept_pauses, "accept_pauses", "",
		"Times that accepting paused for want of descriptors or memory."),
	TOTAL(W, worker.inspected, "verdicts", "action=\"inspect\"", "Verdicts as they were carried out."),
	TOTAL(W, worker.bypassed, "verdicts", "action=\"bypass\"", ""),
	TOTAL(W, worker.blocked, "verdicts", "action=\"block\"", ""),
	TOTAL(W, worker.failed, "connections_failed", "",
		"Connections that failed before a verdict could be carried out."),
	TOTAL(W, worker.handshakes[1], "handshakes", "leg=\"1\"", "TLS handshakes finished, by leg."),
	TOTAL(W, worker.handshakes[2], "handshakes", "leg=\"2\"", ""),
	TOTAL(W, worker.resumed[1], "resumptions", "leg=\"1\"", "Handshakes that resumed a session, by leg."),
	TOTAL(W, worker.resumed[2], "resumptions", "leg=\"2\"", ""),
	TOTAL(W, worker.plain_octets, "plaintext_octets", "", "Plaintext relayed."),
	TOTAL(W, worker.replays, "starttls_replays", "",
		"Fresh connections to servers brought to STARTTLS once more, to step aside."),
	TOTAL(W, worker.replays_failed, "starttls_replays_failed", "why=\"server\"",
		"Connections that could not be stepped aside from after STARTTLS."),
	TOTAL(W, worker.replays_refused, "starttls_replays_failed", "why=\"not-repeatable\"", ""),
	TOTAL(W, worker.replays_capped, "starttls_replays_failed", "why=\"too-long\"", ""),
	TOTAL(W, worker.accord, "accord_connections", "", "Connections inspected by Accord."),
	TOTAL(W, worker.accord_unmatched, "accord_ended", "why=\"client-does-not-speak\"",
		"Connections that a rule of accord ended or let go."),
	TOTAL(W, worker.accord_role, "accord_ended", "why=\"client-accepts-none\"", ""),
	TOTAL(W, worker.accord_refused, "accord_ended", "why=\"server-refused\"", ""),
	TOTAL(W, worker.accord_too_long, "accord_ended", "why=\"proof-too-long\"", ""),
	TOTAL(W, worker.accord_not_tls13, "accord_ended", "why=\"server-without-tls13\"", ""),
	TOTAL(W, worker.accord_malformed, "accord_ended", "why=\"malformed\"", ""),
	TOTAL(W, worker.accord_client_refused, "accord_ended", "why=\"client-refused\"", ""),
	TOTAL(W, worker.accord_limited, "accord_ended", "why=\"client-over-rate\"", ""),
	TOTAL(W, worker.accord_served, "accord_served", "verdict=\"accepted\"",
		"Proxies that introduced themselves to a reverse listener."),
	TOTAL(W, worker.accord_served_refused, "accord_served", "verdict=\"refused\"", ""),
	TOTAL(W, worker.accord_served_unmet, "accord_served", "verdict=\"unmet\"", ""),
	GAUGE(W, draining, "draining", "", "1 while the worker takes no new connections."),
	TOTAL(W, keeper.asked, "leaf_requests", "", "Leaves asked for at the keeper."),
	TOTAL(W, keeper.shared, "leaf_requests_shared", "", "Waits that joined a request in flight for the same leaf."),
	TOTAL(W, keeper.refused, "leaf_requests_failed", "why=\"refused\"", "Leaf requests without a leaf."),
	TOTAL(W, keeper.timeouts, "leaf_requests_failed", "why=\"timeout\"", ""),
	TOTAL(W, keeper.full, "leaf_requests_failed", "why=\"full\"", ""),
	GAUGE(W, keeper.pending, "leaf_requests_pending", "", "Leaf requests waiting now."),
	GAUGE(W, keeper.pending_cap, "leaf_requests_pending_cap", "", "Leaf requests that may wait."),
	TOTAL(W, keeper.cache_hits, "leaf_cache_hits", "", "Leaves found in the worker's cache."),
	TOTAL(W, keeper.cache_misses, "leaf_cache_misses", "", "Leaves not found in the worker's cache."),
	TOTAL(W, keeper.cache_evicted, "leaf_cache_evicted", "", "Leaves that left the cache because of its cap."),
	GAUGE(W, keeper.cached, "leaf_cache_entries", "", "Leaves in the cache."),
	GAUGE(W, keeper.cache_cap, "leaf_cache_cap", "", "Leaves that the cache may hold."),
	TOTAL(W, keeper.audited, "audit_entries_sent", "", "Audit entries handed to the keeper."),
	TOTAL(W, keeper.audit_refused, "audit_entries_refused", "",
		"Audit entries that found the log closed or the queue full; nothing was inspected on their account."),
	TOTAL(W, keeper.refusals_sent, "refusals_sent", "", "Refusals of clients told to the keeper."),
	TOTAL(W, keeper.refusals_dropped, "refusals_dropped", "", "Refusals not told because the queue was full."),
	GAUGE(W, keeper.queued, "keeper_queue_octets", "", "Octets on their way to the keeper."),
	GAUGE(W, keeper.queue_cap, "keeper_queue_cap_octets", "", "Octets that may be on their way to the keeper."),
	TOTAL(W, resolver.asked, "dns_requests", "", "Names asked for at the resolver."),
	TOTAL(W, resolver.shared, "dns_requests_shared", "",
		"Waits that joined a request in flight for the same name."),
	TOTAL(W, resolver.timeouts, "dns_requests_failed", "why=\"timeout\"",
		"Requests that the resolver did not answer."),
	TOTAL(W, resolver.refused, "dns_requests_failed", "why=\"full\"", ""),
	GAUGE(W, resolver.pending, "dns_requests_pending", "", "Names being looked up now."),
	GAUGE(W, resolver.pending_cap, "dns_requests_pending_cap", "", "Names that may be looked up at a time."),
	TOTAL(W, resolver.cache_hits, "dns_cache_hits", "", "Names found in the worker's cache."),
	TOTAL(W, resolver.cache_misses, "dns_cache_misses", "", "Names not found in the worker's cache."),
	TOTAL(W, resolver.cache_evicted, "dns_cache_evicted", "", "Names that left the cache because of its cap."),
	GAUGE(W, resolver.cached, "dns_cache_entries", "", "Names in the cache."),
	GAUGE(W, resolver.cache_cap, "dns_cache_cap", "", "Names that the cache may hold."),
	TOTAL(W, aia.fetched, "issuers_fetched", "", "Issuers fetched that servers did not send."),
	TOTAL(W, aia.failed, "issuer_fetches_failed", "why=\"failed\"", "Fetches of issuers that gave none."),
	TOTAL(W, aia.refused, "issuer_fetches_failed", "why=\"full\"", ""),
	TOTAL(W, aia.evicted, "issuer_cache_evicted", "",
		"Addresses of issuers that left the cache because of its cap."),
	GAUGE(W, aia.held, "issuer_cache_entries", "", "Addresses of issuers in the cache."),
	GAUGE(W, aia.cap, "issuer_cache_cap", "", "Addresses of issuers that the cache may hold."),
	GAUGE(W, aia.pending, "issuer_fetches_pending", "", "Issuers being fetched now."),
	GAUGE(W, aia.pending_cap, "issuer_fetches_pending_cap", "", "Issuers that may be fetched at a time."),
	TOTAL(W, upstream.kept, "sessions_kept", "", "Upstream sessions kept for resumption."),
	TOTAL(W, upstream.offered, "sessions_offered", "", "Upstream sessions offered to servers."),
	TOTAL(W, upstream.evicted, "sessions_evicted", "", "Sessions that left the cache because of its cap."),
	GAUGE(W, upstream.held, "session_cache_entries", "", "Servers with sessions in the cache."),
	GAUGE(W, upstream.cap, "session_cache_cap", "", "Servers that the session cache may hold."),
	TOTAL(W, verifier.verified, "verifications", "by=\"work\"", "Chains verified, worked out or remembered."),
	TOTAL(W, verifier.remembered, "verifications", "by=\"memo\"", ""),
	TOTAL(W, verifier.refused, "verifications_failed", "", "Chains that did not verify."),
	TOTAL(W, verifier.chain_too_big, "chains_too_big", "", "Chains over the cap, not looked at."),
	TOTAL(W, verifier.memo_evicted, "verdict_memo_evicted", "",
		"Remembered verdicts that left because of the cap."),
	GAUGE(W, verifier.memo_held, "verdict_memo_entries", "", "Verdicts remembered."),
	GAUGE(W, verifier.memo_cap, "verdict_memo_cap", "", "Verdicts that may be remembered."),
	TOTAL(W, publish.events, "events", "", "Events published to the scribe."),
	TOTAL(W, publish.lost_events, "events_lost", "", "Events that found no room in the ring."),
	TOTAL(W, publish.lost_octets, "plaintext_octets_unpublished", "why=\"lost\"",
		"Plaintext relayed but not published: without room, not wanted, beyond `until`."),
	TOTAL(W, publish.skipped_octets, "plaintext_octets_unpublished", "why=\"skipped\"", ""),
	TOTAL(W, publish.until_octets, "plaintext_octets_unpublished", "why=\"until\"", ""),
	TOTAL(W, log_lost, "log_lines_lost", "", LOG_LOST),
};
#undef W

#define K struct keeper_sample
static const struct counts_row keeper_rows[] = {
	TOTAL(K, keeper.minted, "leaves_minted", "", "Leaves made."),
	TOTAL(K, keeper.found, "leaves_found", "", "Leaves found in the store."),
	TOTAL(K, keeper.failed, "leaves_failed", "", "Leaves that could not be made."),
	TOTAL(K, keeper.names_over_cap, "leaf_names_left_out", "", "Names left out of leaves because of the cap."),
	TOTAL(K, keeper.rate_refused, "leaf_rate_refused", "", "Leaf requests over a worker's rate."),
	TOTAL(K, keeper.malformed, "keeper_messages_malformed", "",
		"Messages that broke the form; their worker was cut off."),
	TOTAL(K, keeper.audit_invalid, "audit_entries_invalid", "", "Audit entries that a worker may not write."),
	TOTAL(K, keeper.audit_waits, "audit_waits", "", "Times a worker was told to write no audit entries for now."),
	TOTAL(K, keeper.audit_over_rate, "audit_entries_over_rate", "",
		"Audit entries of workers that went on all the same."),
	TOTAL(K, keeper.answers_refused, "keeper_answers_refused", "",
		"Answers for which a worker's queue had no room."),
	GAUGE(K, keeper.workers, "keeper_workers", "", "Workers served."),
	GAUGE(K, keeper.rows, "leaf_store_entries", "", "Leaves in the store."),
	GAUGE(K, keeper.rows_cap, "leaf_store_cap", "", "Leaves that the store may hold."),
	TOTAL(K, keeper.rows_pruned, "leaf_store_pruned", "", "Leaves that left the store because of its cap."),
	TOTAL(K, keeper.rows_lost, "leaf_store_lost", "", "Leaves that could not be stored."),
	GAUGE(K, audit_open, "audit_open", "",
		"1 while the audit log can be written; without it nothing is inspected."),
	TOTAL(K, keeper.audit.appended, "audit_entries", "", "Audit entries taken."),
	TOTAL(K, keeper.audit.refused, "audit_queue_refused", "", "Audit entries that found the keeper's queue full."),
	TOTAL(K, keeper.audit.syncs, "audit_syncs", "", "Times that the audit log was synced to the disk."),
	TOTAL(K, keeper.audit.closings, "audit_closings", "", "Times that the audit log could no longer be written."),
	TOTAL(K, keeper.audit.expired, "audit_openings_destroyed", "",
		"Files of openings destroyed at the end of retention."),
	GAUGE(K, keeper.audit.queued, "audit_queue_octets", "", "Audit entries not yet on the disk."),
	GAUGE(K, keeper.audit.queue_cap, "audit_queue_cap_octets", "", "Audit entries that may wait for the disk."),
	TOTAL(K, keeper.refusals_over_rate, "refusals_over_rate", "", "Refusals over a worker's rate, not noted."),
	TOTAL(K, keeper.refusals.added, "refusals", "", "Refusals of clients noted."),
	TOTAL(K, keeper.refusals.expired, "refusals_expired", "", "Pairs of client and name whose lifetime was over."),
	TOTAL(K, keeper.refusals.evicted, "refusals_evicted", "", "Pairs that left because of the cap."),
	TOTAL(K, keeper.refusals.lost, "refusals_lost", "", "Refusals that could not be noted."),
	GAUGE(K, keeper.refusals.held, "refusal_entries", "", "Pairs remembered."),
	GAUGE(K, keeper.refusals.cap, "refusal_cap", "", "Pairs that may be remembered."),
	TOTAL(K, log_lost, "log_lines_lost", "", LOG_LOST),
};
#undef K

#define S struct scribe_sample
static const struct counts_row scribe_rows[] = {
	TOTAL(S, scribe.events, "scribe_events", "", "Events read from the rings."),
	TOTAL(S, scribe.feed.flows, "flows", "", "Flows seen."),
	GAUGE(S, scribe.feed.open, "flows_open", "", "Flows followed now."),
	TOTAL(S, scribe.feed.exchanges, "exchanges", "", "Requests with their responses seen."),
	TOTAL(S, scribe.bad_events, "scribe_events_bad", "", "Events that could not be decoded."),
	TOTAL(S, scribe.broken_rings, "rings_broken", "", "Rings let go because their worker broke the rules."),
	TOTAL(S, scribe.feed.evicted_flows, "flows_evicted", "", "Flows let go because of the cap."),
	TOTAL(S, scribe.feed.orphan_events, "scribe_events_orphaned", "", "Events of flows that were already over."),
	TOTAL(S, scribe.feed.lost_octets, "scribe_octets_lost", "",
		"Plaintext that workers could not publish, as the scribe learnt it."),
	TOTAL(S, scribe.feed.undecoded, "flows_undecoded", "", "Flows without a decoder for want of memory."),
	TOTAL(S, scribe.skips_refused, "skips_refused", "", "Skips of bodies that found their table full."),
	TOTAL(S, scribe.feed.sink_lost, "sink_records_lost", "", "Records that outputs could not write."),
	TOTAL(S, log_lost, "log_lines_lost", "", LOG_LOST),
};
#undef S

#define R struct resolver_sample
static const struct counts_row resolver_rows[] = {
	GAUGE(R, workers, "resolver_workers", "", "Workers served."),
	TOTAL(R, log_lost, "log_lines_lost", "", LOG_LOST),
};
#undef R

#define V struct supervisor_sample
static const struct counts_row supervisor_rows[] = {
	GAUGE(V, supervisor.ready, "ready", "", "1 once every process has taken up its work."),
	TOTAL(V, supervisor.restarts[0], "restarts", "child=\"keeper\"", "Processes started again after they died."),
	TOTAL(V, supervisor.restarts[1], "restarts", "child=\"resolver\"", ""),
	TOTAL(V, supervisor.restarts[2], "restarts", "child=\"scribe\"", ""),
	TOTAL(V, supervisor.restarts[3], "restarts", "child=\"worker\"", ""),
	TOTAL(V, supervisor.reloads, "reloads", "result=\"done\"",
		"Reloads, and reloads refused for a fault in a file."),
	TOTAL(V, supervisor.reloads_refused, "reloads", "result=\"refused\"", ""),
	TOTAL(V, supervisor.upgrades_refused, "upgrades_refused", "",
		"Upgrades after which the running program went on."),
	TOTAL(V, supervisor.messages_refused, "family_messages_refused", "",
		"Messages to a process whose queue was full."),
	GAUGE(V, supervisor.files_limit, "open_files_cap", "", "Open files allowed to each process."),
	TOTAL(V, supervisor.scrapes_refused, "scrapes_refused", "", "Connections for counters over their cap."),
	TOTAL(V, log_lost, "log_lines_lost", "", LOG_LOST),
};
#undef V

#define ROWS(table) sizeof(table) / sizeof((table)[0])

const struct counts_row *counts_rows(enum counts_of of, size_t *count)
{
	static const struct {
		const struct counts_row *rows;
		size_t count;
	} tables[COUNTS_KINDS] = {
		[COUNTS_SUPERVISOR] = {supervisor_rows, ROWS(supervisor_rows)},
		[COUNTS_KEEPER] = {keeper_rows, ROWS(keeper_rows)},
		[COUNTS_RESOLVER] = {resolver_rows, ROWS(resolver_rows)},
		[COUNTS_SCRIBE] = {scribe_rows, ROWS(scribe_rows)},
		[COUNTS_WORKER] = {worker_rows, ROWS(worker_rows)},
	};
	_Static_assert(ROWS(worker_rows) <= COUNTS_MAX && ROWS(keeper_rows) <= COUNTS_MAX, "COUNTS_MAX is too small");
	*count = tables[of].count;
	return tables[of].rows;
}

const char *counts_process(enum counts_of of)
{
	static const char *const names[COUNTS_KINDS] = {"supervisor", "keeper", "resolver", "scribe", "worker"};
	return names[of];
}

/* Values out of a sample. Members are size_t or uint64_t. */
static void put(enum counts_of of, const void *sample, struct writer *w)
{
	size_t count;
	const struct counts_row *rows = counts_rows(of, &count);
	for (size_t i = 0; i < count; i++) {
		const uint8_t *from = (const uint8_t *)sample + rows[i].at;
		uint64_t value = 0;
		uint32_t narrow = 0;
		if (rows[i].size == sizeof(value))
			memcpy(&value, from, sizeof(value));
		else
			memcpy(&narrow, from, sizeof(narrow));
		writer_u64(w, rows[i].size == sizeof(value) ? value : narrow);
	}
}

void counts_supervisor(const struct supervisor_counts *counts, struct writer *w)
{
	struct supervisor_sample sample = {.supervisor = *counts, .log_lost = log_lost()};
	put(COUNTS_SUPERVISOR, &sample, w);
}

void counts_keeper(const struct keeper *keeper, struct writer *w)
{
	struct keeper_sample sample = {
		.keeper = keeper_count(keeper), .audit_open = !keeper_audit_closed(keeper), .log_lost = log_lost()};
	put(COUNTS_KEEPER, &sample, w);
}

void counts_scribe(const struct scribe *scribe, struct writer *w)
{
	struct scribe_sample sample = {.scribe = scribe_count(scribe), .log_lost = log_lost()};
	put(COUNTS_SCRIBE, &sample, w);
}

void counts_resolver(size_t workers, struct writer *w)
{
	struct resolver_sample sample = {.workers = workers, .log_lost = log_lost()};
	put(COUNTS_RESOLVER, &sample, w);
}

void counts_worker(const struct worker *worker, struct writer *w)
{
	struct worker_sample sample = {
		.worker = worker->counts,
		.keeper = keeper_client_count(worker->keeper),
		.resolver = resolver_client_count(worker->resolver),
		.aia = aia_count(worker->aia),
		.upstream = upstream_count(worker->upstream),
		.verifier = verifier_count(worker->verifier),
		.publish = worker->publisher.counts,
		.clients = cache_count(worker->per_client),
		.connections_cap = worker->config->connections,
		.draining = worker->draining,
		.log_lost = log_lost(),
	};
	put(COUNTS_WORKER, &sample, w);
}

bool counts_read(enum counts_of of, struct bytes body, uint64_t *values)
{
	size_t count;
	(void)!counts_rows(of, &count);
	if (body.len != count * 8)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!bytes_u64(&body, &values[i]))
			return false;
	}
	return true;
}
