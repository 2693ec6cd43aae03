#include "flow/flow.h"

#include <stdio.h>
#include <stdlib.h>

/* An own copy in place of what stood there. */
static void keep(struct bytes *slot, struct bytes text)
{
	uint8_t *copy = NULL;
	if (text.len > 0) {
		copy = malloc(text.len);
		if (!copy)
			return;
		memcpy(copy, text.data, text.len);
	}
	free((void *)(uintptr_t)slot->data);
	*slot = bytes_of(copy, text.len);
}

struct flow *flow_new(uint32_t source, const struct event *event)
{
	struct flow *flow = calloc(1, sizeof(*flow));
	if (!flow)
		return NULL;
	flow->id = event->flow;
	flow->source = source;
	flow->opened_ns = event->time_ns;
	return flow;
}

void flow_free(struct flow *flow)
{
	if (!flow)
		return;
	struct bytes *const texts[] = {
		&flow->host, &flow->sni, &flow->alpn, &flow->rule, &flow->reason, &flow->verification};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free((void *)(uintptr_t)texts[i]->data);
	free(flow);
}

static void apply_open(struct flow *flow, const struct event_open *open)
{
	flow->client = open->client;
	flow->server = open->server;
	flow->intake = open->intake;
	flow->port = open->port;
	keep(&flow->host, open->host);
}

static void apply_tls(struct flow *flow, const struct event_tls *tls)
{
	flow->tls[tls->leg - 1] = true;
	if (tls->leg == 2 || !flow->tls[1])
		keep(&flow->alpn, tls->alpn);
	if (tls->leg == 2)
		keep(&flow->verification, tls->certificate.verification);
}

void flow_apply(struct flow *flow, const struct event *event)
{
	switch (event->kind) {
	case EVENT_OPEN:
		apply_open(flow, &event->open);
		break;
	case EVENT_UPSTREAM:
		flow->server = event->upstream.server;
		break;
	case EVENT_HELLO:
		keep(&flow->sni, event->hello.sni);
		break;
	case EVENT_TLS:
		apply_tls(flow, &event->tls);
		break;
	case EVENT_VERDICT:
		flow->decided = true;
		flow->action = event->verdict.action;
		flow->unmasked = event->verdict.unmasked;
		keep(&flow->rule, event->verdict.rule);
		keep(&flow->reason, event->verdict.reason);
		break;
	case EVENT_DATA:
		flow->octets[event->data.direction] += event->data.bytes.len;
		break;
	case EVENT_GAP:
		if (event->gap.why != GAP_SKIPPED)
			flow->missing[event->gap.direction] += event->gap.octets;
		flow->stopped |= event->gap.why == GAP_UNTIL;
		break;
	case EVENT_CLOSE:
		flow->closed = true;
		break;
	case EVENT_HALF:
	case EVENT_NOTICE:
	case EVENT_KEYLOG:
		break;
	}
}

struct bytes flow_label(const struct flow *flow, char buffer[static FLOW_ADDRESS_TEXT])
{
	if (flow->host.len > 0)
		return flow->host;
	if (flow->sni.len > 0)
		return flow->sni;
	return bytes_of(buffer, flow_address_text(&flow->server, buffer, FLOW_ADDRESS_TEXT));
}

size_t flow_name(const struct flow *flow, char *out, size_t cap)
{
	int n = snprintf(out, cap, "%u.%llu", flow->source, (unsigned long long)flow->id);
	return n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;
}
