/*
 * flow/flow.h — what is known of one connection so far, put together from its events. Kept by the scribe, read by
 * sinks. No I/O.
 */
#ifndef FLOW_FLOW_H
#define FLOW_FLOW_H

#include "flow/event.h"

#define FLOW_SLOTS 8

struct flow {
	uint64_t id;     /* as in its events: unique within its source */
	uint32_t source; /* the ring it came through: unique in the scribe's life */
	uint64_t opened_ns;
	struct flow_address client, server;
	enum flow_intake intake;
	uint16_t port;     /* of the target */
	struct bytes host; /* the flow's own copies from here on; empty: not known */
	struct bytes sni;
	struct bytes alpn; /* of leg 2, else of leg 1 */
	bool tls[2];       /* by leg - 1: a handshake was completed */
	bool decided;      /* a verdict came */
	enum flow_action action;
	bool unmasked; /* sinks show its credentials as they are (struct event_verdict) */
	struct bytes rule, reason;
	struct bytes verification; /* of leg 2 */
	uint64_t octets[2];        /* plaintext seen by the scribe, by direction */
	uint64_t missing[2];       /* plaintext not seen, but for what was skipped */
	uint64_t exchanges;        /* counted by the scribe at each end */
	bool stopped;              /* a rule's `until` was reached: what followed was not read */
	bool closed;
	void *slot[FLOW_SLOTS]; /* by struct sink's `slot`: its own state, freed by it at EVENT_CLOSE */
};

/* From the OPEN of a flow, or from any event of a flow whose OPEN was lost. NULL without memory. */
must_check struct flow *flow_new(uint32_t source, const struct event *event);
/* NULL is allowed. */
void flow_free(struct flow *flow);

/* Takes in an event of this flow. Without memory for a text, the text stays what it was. */
void flow_apply(struct flow *flow, const struct event *event);

/* The best name there is: target host, else SNI, else the server's address as text in `buffer`. */
must_check struct bytes flow_label(const struct flow *flow, char buffer[static FLOW_ADDRESS_TEXT]);

/* "3.42": source and id, the flow's name in files and logs. `cap` of FLOW_NAME_TEXT suffices. Returns the length. */
#define FLOW_NAME_TEXT 36
size_t flow_name(const struct flow *flow, char *out, size_t cap);

#endif
