#include "watch/datagram.h"

#include "watch/hello_event.h"

#include <stdio.h>
#include <stdlib.h>

/* What hangs on a UDP flow of the table. */
struct spoken {
	struct quic_flow flow;
	uint64_t number;    /* of the flow in events; 0: not told yet */
	uint64_t octets[2]; /* payload, by side */
	bool named;
};

struct datagrams {
	struct datagram_setup setup;
	struct quic_room *room;
	struct datagram_counts counts;
};

struct datagrams *datagrams_new(const struct datagram_setup *setup)
{
	struct datagrams *d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->setup = *setup;
	d->room = quic_room_new();
	if (d->room)
		return d;
	free(d);
	return NULL;
}

void datagrams_free(struct datagrams *d)
{
	if (!d)
		return;
	quic_room_free(d->room);
	free(d);
}

struct datagram_counts datagrams_count(const struct datagrams *d)
{
	struct datagram_counts counts = d->counts;
	counts.hellos = quic_room_count(d->room);
	return counts;
}

bool datagrams_opens(const struct packet *packet)
{
	return quic_opens(packet->payload);
}

/* "QUIC version 1", "QUIC version 0x1a2a3a4a". */
static void name_of(const struct spoken *s, char *out, size_t cap)
{
	const char *name = s->flow.version ? quic_version_name(s->flow.version) : "QUIC";
	if (name)
		(void)snprintf(out, cap, "%s", name);
	else
		(void)snprintf(out, cap, "QUIC version 0x%08x", s->flow.version);
}

static void tell_open(struct datagrams *d, const struct connection *c, struct spoken *s, uint64_t time_ns)
{
	s->number = ++*d->setup.flows;
	struct event open = {
		.kind = EVENT_OPEN,
		.flow = s->number,
		.time_ns = c->opened_ns ? c->opened_ns : time_ns,
		.open = {.client = *connection_client(c),
			.server = *connection_server(c),
			.port = connection_server(c)->port,
			.intake = INTAKE_CAPTURE,
			.worker = d->setup.worker},
	};
	feed_event(d->setup.source, &open);
}

static void tell_notice(struct datagrams *d, const struct spoken *s, uint64_t time_ns)
{
	char name[32], text[160];
	name_of(s, name, sizeof(name));
	(void)snprintf(text, sizeof(text), "%s: not decrypted.", name);
	struct event notice = {
		.kind = EVENT_NOTICE,
		.flow = s->number,
		.time_ns = time_ns,
		.notice = {.severity = SEVERITY_INFO, .name = bytes_str("quic-not-decrypted"), .text = bytes_str(text)},
	};
	feed_event(d->setup.source, &notice);
}

static void tell_hello(struct datagrams *d, struct spoken *s, const struct client_hello *hello, uint64_t time_ns)
{
	struct hello_event said;
	hello_event_of(NULL, hello, JA4_QUIC, &said);
	said.event.flow = s->number;
	said.event.time_ns = time_ns;
	s->named = true;
	feed_event(d->setup.source, &said.event);
}

static struct spoken *begin(struct datagrams *d, struct connection *c)
{
	struct spoken *s = calloc(1, sizeof(*s));
	if (!s) {
		d->counts.no_memory++;
		return NULL;
	}
	c->user = s;
	return s;
}

void datagrams_packet(
	struct datagrams *d, struct connection *c, enum flow_direction direction, const struct packet *packet)
{
	struct spoken *s = c->user ? c->user : begin(d, c);
	unsigned side = direction == FLOW_UP ? c->client : !c->client;
	struct client_hello hello;
	if (!s)
		return;
	s->octets[side] += packet->payload.len + packet->cut;
	if (s->flow.over)
		return;
	if (!quic_flow_datagram(d->room, &s->flow, side, packet->payload, &hello))
		return;
	if (direction == FLOW_DOWN)
		connection_swap(c);
	tell_open(d, c, s, packet->time_ns);
	tell_hello(d, s, &hello, packet->time_ns);
	tell_notice(d, s, packet->time_ns);
}

static void count(struct datagrams *d, const struct spoken *s)
{
	struct datagram_counts *counts = &d->counts;
	counts->quic++;
	counts->quic_named += s->named;
	counts->octets += s->octets[0] + s->octets[1];
}

void datagrams_closed(struct datagrams *d, struct connection *c, enum flow_ending ending, uint64_t time_ns)
{
	struct spoken *s = c->user;
	char name[32], text[160];
	if (!s)
		return;
	quic_flow_end(d->room, &s->flow);
	if (s->number == 0) {
		tell_open(d, c, s, time_ns);
		tell_notice(d, s, time_ns);
	}
	name_of(s, name, sizeof(name));
	(void)snprintf(text, sizeof(text), "%s: not decrypted", name);
	struct event close = {
		.kind = EVENT_CLOSE,
		.flow = s->number,
		.time_ns = time_ns,
		.close = {.ending = ending,
			.name = bytes_str("quic"),
			.text = bytes_str(text),
			.wire_octets = {s->octets[c->client], s->octets[!c->client]},
			.duration_ns = time_ns > c->opened_ns ? time_ns - c->opened_ns : 0},
	};
	feed_event(d->setup.source, &close);
	count(d, s);
	free(s);
	c->user = NULL;
}
