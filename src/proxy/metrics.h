/*
 * proxy/metrics.h — the counters of the whole family as Prometheus text (exposition format 0.0.4) at /metrics, and
 * /health, over HTTP/1 on a loopback port. Figures are asked for when somebody asks for them, never in between.
 */
#ifndef PROXY_METRICS_H
#define PROXY_METRICS_H

#include "base/error.h"
#include "base/loop.h"
#include "policy/listen.h"
#include "proxy/counts.h"

struct metrics;

struct metrics_options {
	struct listen_at at;
	size_t workers;
	/* Has every process's figures brought to metrics_take, at once or soon. Who takes over a second counts as down. */
	void (*ask)(void *ctx);
	void *ctx;
};

/* Listens, and logs where. NULL with one line in `err`. */
must_check struct metrics *metrics_new(struct loop *loop, const struct metrics_options *options, struct error *err);
/* NULL is allowed. */
void metrics_free(struct metrics *metrics);

/* Figures of a process, as counts_… wrote them. What does not fit the table is dropped. NULL is allowed. */
void metrics_take(struct metrics *metrics, enum counts_of of, size_t number, struct bytes body);
/* Connections refused because METRICS_CLIENTS were there. NULL is allowed. */
must_check uint64_t metrics_refused(const struct metrics *metrics);

#define METRICS_CLIENTS 16

#endif
