#include "proxy/single.h"

#include "base/log.h"
#include "pki/accord_ca.h"
#include "pki/authority.h"
#include "proxy/ca_open.h"
#include "proxy/keeper.h"
#include "proxy/listening.h"
#include "proxy/log_place.h"
#include "proxy/metrics.h"
#include "proxy/record.h"
#include "proxy/resolver.h"
#include "proxy/scribe.h"
#include "proxy/snapshot.h"
#include "proxy/worker.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define RESOLVER_THREADS 4

struct single {
	struct loop *loop;
	struct single_options options;
	struct accord_ca *accord; /* NULL: none */
	struct keeper *keeper;
	struct resolver *resolver;
	struct scribe *scribe;
	struct ring_fds ring, scribe_ring;
	struct worker *worker;
	uint64_t generation;     /* snapshots activated so far */
	struct metrics *metrics; /* NULL: nobody may ask */
	struct supervisor_counts counts;
	void (*drained)(void *ctx);
	void *drained_ctx;
};

static bool start_keeper(struct single *s, int *client_fd, struct error *err)
{
	struct keeper_options options = {
		.state = s->options.state,
		.authority = *s->options.authority,
		.ca_made = s->options.ca_made,
		.policy_url = s->options.config->disclosure_url,
		.audit = s->options.audit,
		.retention_ns = s->options.config->retention_ns,
		.refusals = {.lifetime_s = s->options.config->refusal_lifetime_ns / 1000000000,
			.cap = s->options.config->refusal_cache},
	};
	int fds[2];
	if (!ca_open_accord(s->options.config, &s->accord, err))
		return false;
	options.accord = s->accord;
	s->keeper = keeper_new(s->loop, &options, err);
	if (!s->keeper || !ipc_pair(fds, err))
		return false;
	*client_fd = fds[1];
	if (keeper_serve(s->keeper, fds[0], "worker 0", err))
		return true;
	close(fds[1]);
	return false;
}

static bool start_resolver(struct single *s, int *client_fd, struct error *err)
{
	int fds[2];
	if (!ipc_pair(fds, err))
		return false;
	*client_fd = fds[1];
	s->resolver = resolver_serve(fds[0], RESOLVER_THREADS, err);
	if (s->resolver)
		return true;
	close(fds[1]);
	return false;
}

static bool dup_ring(const struct ring_fds *from, struct ring_fds *to, struct error *err)
{
	*to = (struct ring_fds){dup(from->data), dup(from->control), dup(from->wake), dup(from->space)};
	if (to->data >= 0 && to->control >= 0 && to->wake >= 0 && to->space >= 0)
		return true;
	ring_fds_close(to);
	return error_set_errno(err, "the ring's descriptors cannot be duplicated");
}

static bool start_scribe(struct single *s, struct error *err)
{
	const struct config *config = s->options.config;
	struct scribe_options options = {
		.outputs.terminal_fd = s->options.terminal_fd,
		.outputs.jsonl = config->jsonl,
		.outputs.pcapng = config->pcapng,
		.outputs.keylog = config->keylog,
		.outputs.unmasked = config->show_secrets,
	};
	s->scribe = scribe_new(s->loop, &options, err);
	return s->scribe && ring_create(&s->ring, config->ring_octets, err) &&
	       dup_ring(&s->ring, &s->scribe_ring, err) && scribe_attach(s->scribe, 0, &s->scribe_ring, err);
}

static bool read_snapshot(struct single *s, struct snapshot *snapshot, struct error *err)
{
	int fd = snapshot_write(
		s->options.config, s->options.rules, authority_pem(*s->options.authority), s->generation + 1, err);
	if (fd < 0)
		return false;
	bool ok = snapshot_open(snapshot, fd, s->options.config, err);
	close(fd);
	s->generation += ok;
	return ok;
}

static void recorded(bool ok, void *ctx)
{
	(void)ctx;
	if (!ok)
		log_error(
			"not audited", LOG_S("do", "see why the audit log is closed; nothing is inspected meanwhile"));
}

static void write_record(struct single *s, const struct record *record)
{
	if (keeper_audit(s->keeper, &record->entry, recorded, NULL) != AUDIT_QUEUED)
		recorded(false, NULL);
}

static void record_all(struct single *s)
{
	struct record record;
	record_start(&record, s->options.config);
	if (s->generation == 1)
		write_record(s, &record);
	record_snapshot(&record, s->options.config, s->worker->snapshot.policy, s->generation);
	write_record(s, &record);
	if (s->generation == 1 && record_keylog(&record, s->options.config))
		write_record(s, &record);
}

static bool start_worker(struct single *s, int keeper_fd, int resolver_fd, struct snapshot *snapshot, struct error *err)
{
	struct worker_options options = {
		.config = s->options.config,
		.snapshot = snapshot,
		.listen_fds = s->options.listen_fds,
		.keeper_fd = keeper_fd,
		.resolver_fd = resolver_fd,
		.ring = &s->ring,
		.local = s->options.local,
	};
	s->worker = worker_new(s->loop, &options, err);
	return s->worker != NULL;
}

static bool start(struct single *s, struct error *err)
{
	int keeper_fd, resolver_fd;
	struct snapshot snapshot;
	if (!start_scribe(s, err) || !start_keeper(s, &keeper_fd, err))
		return false;
	if (!start_resolver(s, &resolver_fd, err)) {
		close(keeper_fd);
		return false;
	}
	if (!read_snapshot(s, &snapshot, err)) {
		close(keeper_fd);
		close(resolver_fd);
		return false;
	}
	if (!start_worker(s, keeper_fd, resolver_fd, &snapshot, err))
		return false;
	record_all(s);
	return true;
}

static void ask_counts(void *ctx)
{
	struct single *s = ctx;
	uint8_t body[COUNTS_KINDS][COUNTS_BODY_MAX];
	struct writer w[COUNTS_KINDS];
	for (int i = 0; i < COUNTS_KINDS; i++)
		w[i] = writer_over(body[i], sizeof(body[i]));
	struct rlimit limit = {0};
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	s->counts.files_limit = limit.rlim_cur;
	s->counts.ready = 1;
	s->counts.scrapes_refused = metrics_refused(s->metrics);
	counts_supervisor(&s->counts, &w[COUNTS_SUPERVISOR]);
	counts_keeper(s->keeper, &w[COUNTS_KEEPER]);
	counts_resolver(1, &w[COUNTS_RESOLVER]);
	counts_scribe(s->scribe, &w[COUNTS_SCRIBE]);
	counts_worker(s->worker, &w[COUNTS_WORKER]);
	for (int i = 0; i < COUNTS_KINDS; i++)
		metrics_take(s->metrics, (enum counts_of)i, 0, bytes_of(body[i], w[i].len));
}

static bool serve_counts(struct single *s, struct error *err)
{
	struct metrics_options options = {
		.at = s->options.config->metrics_at, .workers = 1, .ask = ask_counts, .ctx = s};
	if (!s->options.config->metrics)
		return true;
	s->metrics = metrics_new(s->loop, &options, err);
	return s->metrics != NULL;
}

struct single *single_new(struct loop *loop, const struct single_options *options, struct error *err)
{
	struct single *s = calloc(1, sizeof(*s));
	if (!s) {
		error_set(err, "no memory for the proxy");
		return NULL;
	}
	s->loop = loop;
	s->options = *options;
	s->ring = s->scribe_ring = (struct ring_fds){-1, -1, -1, -1};
	if (start(s, err) && serve_counts(s, err))
		return s;
	single_free(s);
	return NULL;
}

bool single_reload(struct single *s, struct error *err)
{
	struct snapshot fresh;
	struct error files;
	if (!log_place_open(s->options.config, &files))
		log_error("log not reopened", LOG_S("why", files.text), LOG_S("do", "lines go on into the old file"));
	if (!scribe_reopen(s->scribe, &files))
		log_warn("output not reopened", LOG_S("why", files.text));
	bool changed;
	if (s->options.state && !keeper_reopen(s->keeper, s->options.config, s->options.authority, &changed, &files))
		log_error("ca not opened again", LOG_S("why", files.text), LOG_S("in-force", "the one opened before"));
	if (!keeper_accord_reopen(s->keeper, s->options.config, &s->accord, &files))
		log_error("accord anchor not opened again", LOG_S("why", files.text),
			LOG_S("in-force", "the one opened before"));
	if (!read_snapshot(s, &fresh, err)) {
		s->counts.reloads_refused++;
		return false;
	}
	s->counts.reloads++;
	worker_set_snapshot(s->worker, &fresh);
	record_all(s);
	return true;
}

static void worker_drained(struct worker *worker, void *ctx)
{
	struct single *s = ctx;
	(void)worker;
	if (s->drained)
		s->drained(s->drained_ctx);
}

void single_drain(struct single *s, void (*drained)(void *ctx), void *ctx)
{
	s->drained = drained;
	s->drained_ctx = ctx;
	listening_end(s->options.config, s->options.listen_fds);
	worker_drain(s->worker, worker_drained, s);
}

void single_free(struct single *s)
{
	if (!s)
		return;
	metrics_free(s->metrics);
	worker_free(s->worker);
	resolver_free(s->resolver);
	scribe_close(s->scribe);
	keeper_free(s->keeper);
	accord_ca_free(s->accord);
	ring_fds_close(&s->ring);
	ring_fds_close(&s->scribe_ring);
	free(s);
}
