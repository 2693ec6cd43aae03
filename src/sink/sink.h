/*
 * sink/sink.h — what takes in flows: a table of functions. A sink is called from one thread, in the order of each
 * flow's events: flow_apply has been done before, so that `flow` already knows what `event` says. Every flow that a
 * sink heard of ends with one EVENT_CLOSE, made up where need be.
 */
#ifndef SINK_SINK_H
#define SINK_SINK_H

#include "base/error.h"
#include "flow/flow.h"
#include "flow/message.h"

/* Bits of `wants`: what somebody has to produce for this sink. */
enum sink_wants {
	SINK_WANTS_MESSAGES = 1, /* decoded heads and ends */
	SINK_WANTS_BODIES = 2,   /* decoded bodies */
	SINK_WANTS_DATA = 4,     /* EVENT_DATA in full: nothing is skipped */
	SINK_WANTS_SECRETS = 8,  /* EVENT_KEYLOG; the only sinks that get it */
};

struct sink_counts {
	uint64_t records;      /* lines or blocks written */
	uint64_t lost_records; /* that could not be written */
	uint64_t capped;       /* states not kept because a table was full */
};

struct sink;

/* Any but flush and close may be NULL. */
struct sink_ops {
	void (*event)(struct sink *sink, struct flow *flow, const struct event *event);
	void (*request)(struct sink *sink, struct flow *flow, const struct message_request *request);
	void (*response)(struct sink *sink, struct flow *flow, const struct message_response *response);
	void (*body)(struct sink *sink, struct flow *flow, const struct message_body *body);
	void (*end)(struct sink *sink, struct flow *flow, const struct message_end *end);
	/* The end of a batch: write out what is buffered. */
	void (*flush)(struct sink *sink);
	/* The file may have been moved away: open it by name again. On false the old one goes on. */
	bool (*reopen)(struct sink *sink, struct error *err);
	/* Writes out and frees. Flows are gone by then. */
	void (*close)(struct sink *sink);
};

/* Embedded first in each sink. */
struct sink {
	const struct sink_ops *ops;
	const char *name; /* "terminal", "jsonl", … */
	unsigned wants;
	unsigned slot; /* index into flow->slot, below FLOW_SLOTS, set by who holds the sinks */
	struct sink_counts counts;
};

#endif
