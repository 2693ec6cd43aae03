#include "watch/engine.h"

#include "watch/spare.h"

#include <stdlib.h>

struct engine {
	struct engine_options options;
	struct fragments *fragments;
	struct table *table;
	struct session_room *room;
	struct datagrams *datagrams;
	struct spare watched; /* struct watched */
	struct feed_source source;
	struct engine_counts counts; /* those that are not the parts' own */
	uint64_t flows;              /* numbers given out */
	uint64_t now_ns;             /* of the latest packet */
};

/* Of `user_kind`: what `user` is. */
enum { USER_OTHER, USER_WATCHED };

/* What hangs on a connection of the table. */
struct watched {
	struct engine *engine;
	struct connection *connection;
	struct session *session;
	uint64_t flow;
	uint64_t octets[2]; /* of UDP: payload, by the table's direction */
	bool told;          /* its OPEN has gone to the feed */
	bool read;          /* plaintext of it was seen */
};

/* What sessions say. */

static void tell_open(struct watched *w, uint64_t time_ns)
{
	const struct connection *c = w->connection;
	bool swapped = session_swapped(w->session);
	struct event open = {
		.kind = EVENT_OPEN,
		.flow = w->flow,
		.time_ns = c->opened_ns ? c->opened_ns : time_ns,
		.open = {.client = swapped ? *connection_server(c) : *connection_client(c),
			.server = swapped ? *connection_client(c) : *connection_server(c),
			.intake = INTAKE_CAPTURE,
			.worker = (uint16_t)w->engine->options.number},
	};
	open.open.port = open.open.server.port;
	w->told = true;
	feed_event(&w->engine->source, &open);
}

static void tell_random(const struct watched *w)
{
	const struct engine_options *options = &w->engine->options;
	if (!options->random)
		return;
	struct session_outcome so_far = session_outcome(w->session);
	if (so_far.has_random)
		options->random(options->random_arg, so_far.client_random);
	if (so_far.has_inner)
		options->random(options->random_arg, so_far.inner_random);
}

static void tell_data(struct engine *engine, const struct event *event)
{
	struct feed_flow *flow = feed_find(&engine->source, event->flow);
	struct feed_piece piece = {.direction = event->data.direction,
		.offset = event->data.offset,
		.bytes = event->data.bytes,
		.time_ns = event->time_ns};
	if (flow)
		(void)!feed_data(flow, &piece);
}

static void session_said(void *arg, void *user, const struct event *event)
{
	struct engine *engine = arg;
	struct watched *w = user;
	if (!w->told || (event->kind == EVENT_DATA && !w->read))
		tell_random(w);
	if (!w->told)
		tell_open(w, event->time_ns);
	w->read |= event->kind == EVENT_DATA;
	if (event->kind == EVENT_DATA)
		tell_data(engine, event);
	else
		feed_event(&engine->source, event);
}

static struct hostport end_of(const struct flow_address *address)
{
	struct hostport end = {.ip = {[10] = 0xff, [11] = 0xff}, .port = address->port};
	if (address->family == 4)
		memcpy(end.ip + 12, address->ip, 4);
	else
		memcpy(end.ip, address->ip, sizeof(end.ip));
	return end;
}

static bool session_asked(void *arg, void *user, struct keyring_ends *ends)
{
	const struct watched *w = user;
	(void)arg;
	for (int i = 0; i < 2; i++)
		ends->end[i] = end_of(&w->connection->address[i]);
	return true;
}

/* What the table says. */

/* NULL, and counted, without memory. */
static struct watched *watch_begin(struct engine *engine, struct connection *c)
{
	struct watched *w = spare_take(&engine->watched);
	if (w) {
		*w = (struct watched){.engine = engine, .connection = c, .flow = ++engine->flows};
		w->session = session_new(engine->room, &(struct session_start){.flow = w->flow,
							       .user = w,
							       .from_start = c->from_start,
							       .datagrams = c->protocol == PACKET_UDP});
	}
	if (w && w->session) {
		c->user = w;
		c->user_kind = USER_WATCHED;
		return w;
	}
	spare_give(&engine->watched, w);
	engine->counts.no_memory++;
	return NULL;
}

static void opened(void *arg, struct connection *c, uint64_t time_ns)
{
	struct engine *engine = arg;
	(void)time_ns;
	if (c->protocol == PACKET_TCP && !watch_begin(engine, c))
		table_ignore(engine->table, c);
}

static void let_go_of_plaintext(struct engine *engine, struct connection *c, const struct watched *w)
{
	if (!session_wants_data(w->session))
		table_ignore(engine->table, c);
}

static void data(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, struct bytes octets,
	uint64_t time_ns)
{
	struct watched *w = c->user;
	(void)offset;
	if (!w)
		return;
	session_data(w->session, direction, octets, time_ns);
	let_go_of_plaintext(arg, c, w);
}

static void gap(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, uint64_t octets,
	enum stream_cause cause, uint64_t time_ns)
{
	struct watched *w = c->user;
	(void)offset;
	(void)cause;
	if (!w)
		return;
	session_gap(w->session, direction, octets, time_ns);
	let_go_of_plaintext(arg, c, w);
}

static enum flow_ending ending_of(enum table_reason reason)
{
	switch (reason) {
	case TABLE_FIN:
		return ENDING_DONE;
	case TABLE_RESET:
		return ENDING_RESET;
	case TABLE_IDLE:
		return ENDING_TIMEOUT;
	case TABLE_FINISHED:
		return ENDING_STOPPED;
	case TABLE_EVICTED:
	case TABLE_REPLACED:
	case TABLE_REASON_COUNT:
		break;
	}
	return ENDING_LOST;
}

static const char *const reason_texts[TABLE_REASON_COUNT] = {
	[TABLE_FIN] = "",
	[TABLE_RESET] = "",
	[TABLE_IDLE] = "no packet came for a long time",
	[TABLE_EVICTED] = "left out: too many connections at a time",
	[TABLE_REPLACED] = "another connection with the same addresses and ports began",
	[TABLE_FINISHED] = "the capture ends here",
};

static const char *const cause_texts[SESSION_CAUSES] = {
	[SESSION_NO_KEY] = "not decrypted: no key for it is at hand",
	[SESSION_WRONG_KEY] = "not decrypted: the keys at hand do not open it",
	[SESSION_GAP] = "octets are missing in the capture",
	[SESSION_START_MISSING] = "not decrypted: its beginning was not captured, and no key at hand fits",
	[SESSION_START_12] = "not decrypted: its beginning was not captured (TLS 1.2 needs both randoms)",
	[SESSION_PARK_FULL] = "not decrypted: there was no room to wait for its key",
	[SESSION_SUITE] = "not decrypted: its cipher suite is not supported",
	[SESSION_VERSION] = "not decrypted: only TLS 1.2, TLS 1.3 and DTLS 1.2 are supported",
	[SESSION_CONNECTION_ID] = "not decrypted: connection IDs of DTLS are not supported",
	[SESSION_NOT_TLS] = "what follows is no TLS",
	[SESSION_MALFORMED] = "broken records",
	[SESSION_NO_MEMORY] = "not decrypted: no memory",
};

static const char *reason_text(enum table_reason reason)
{
	return reason < TABLE_REASON_COUNT ? reason_texts[reason] : "";
}

static uint64_t wire_octets(const struct watched *w, enum flow_direction direction)
{
	return w->octets[direction] + connection_octets(w->connection, direction);
}

static void tell_close(
	struct watched *w, const struct session_outcome *outcome, enum table_reason reason, uint64_t time_ns)
{
	struct connection *c = w->connection;
	bool swapped = session_swapped(w->session);
	bool lacking = outcome->verdict == SESSION_PARTLY || outcome->verdict == SESSION_NOT;
	struct event close = {
		.kind = EVENT_CLOSE,
		.flow = w->flow,
		.time_ns = time_ns,
		.close = {.ending = ending_of(reason),
			.name = bytes_str(lacking               ? session_cause_name(outcome->cause)
					  : reason == TABLE_FIN ? ""
								: table_reason_name(reason)),
			.text = bytes_str(lacking ? cause_texts[outcome->cause] : reason_text(reason)),
			.wire_octets = {wire_octets(w, swapped ? FLOW_DOWN : FLOW_UP),
				wire_octets(w, swapped ? FLOW_UP : FLOW_DOWN)},
			.plain_octets = {outcome->plain[0] + outcome->missing[0],
				outcome->plain[1] + outcome->missing[1]},
			.duration_ns = time_ns > c->opened_ns ? time_ns - c->opened_ns : 0},
	};
	feed_event(&w->engine->source, &close);
}

static void count_outcome(struct engine *engine, const struct session_outcome *outcome)
{
	struct engine_counts *counts = &engine->counts;
	counts->verdicts[outcome->verdict]++;
	counts->ech[outcome->ech]++;
	if (outcome->verdict == SESSION_PARTLY || outcome->verdict == SESSION_NOT)
		counts->causes[outcome->cause]++;
	for (unsigned i = 0; i < SESSION_CAUSES; i++)
		counts->cause_octets[i] += outcome->octets[i];
	counts->plain += outcome->plain[0] + outcome->plain[1];
	counts->missing += outcome->missing[0] + outcome->missing[1];
}

static void finish(struct engine *engine, struct connection *c, enum table_reason reason, uint64_t time_ns)
{
	struct watched *w = c->user;
	session_close(w->session, time_ns);
	struct session_outcome outcome = session_outcome(w->session);
	if (w->told) {
		count_outcome(engine, &outcome);
		tell_close(w, &outcome, reason, time_ns);
		engine->counts.dtls += c->protocol == PACKET_UDP;
	} else if (connection_octets(c, FLOW_UP) + connection_octets(c, FLOW_DOWN) > 0) {
		engine->counts.not_tls++;
	}
	session_free(w->session);
	spare_give(&engine->watched, w);
	c->user = NULL;
	c->user_kind = USER_OTHER;
}

static void half_closed(void *arg, struct connection *c, enum flow_direction direction, uint64_t time_ns)
{
	struct engine *engine = arg;
	struct watched *w = c->user;
	if (!w)
		return;
	session_half(w->session, direction, time_ns);
	/*
	 * Nothing can come any more, and nothing waits for a key: the table keeps its entry for what is sent again, but a
	 * session is ten times as large.
	 */
	if (c->stream[0].ended && c->stream[1].ended && session_room_count(engine->room).waiting == 0)
		finish(engine, c, TABLE_FIN, time_ns);
}

static void closed(void *arg, struct connection *c, enum table_reason reason, uint64_t time_ns)
{
	struct engine *engine = arg;
	if (c->user_kind == USER_WATCHED)
		finish(engine, c, reason, time_ns);
	else if (c->protocol == PACKET_UDP)
		datagrams_closed(engine->datagrams, c, ending_of(reason), time_ns);
}

static bool datagram_opens(void *arg, const struct packet *packet)
{
	(void)arg;
	return datagrams_opens(packet) || session_datagram_opens(packet->payload);
}

static void take_datagram(struct watched *w, enum flow_direction direction, const struct packet *packet)
{
	struct engine *engine = w->engine;
	struct connection *c = w->connection;
	if (!session_datagram(w->session, direction, packet->payload, packet->cut, packet->time_ns)) {
		finish(engine, c, TABLE_REPLACED, packet->time_ns);
		c->opened_ns = packet->time_ns;
		w = watch_begin(engine, c);
		/* A session of which nothing is known takes whatever comes. */
		if (!w || !session_datagram(w->session, direction, packet->payload, packet->cut, packet->time_ns))
			return;
	}
	w->octets[direction] += packet->payload.len + packet->cut;
}

static void datagram(void *arg, struct connection *c, enum flow_direction direction, const struct packet *packet)
{
	struct engine *engine = arg;
	if (!c->user && session_datagram_opens(packet->payload))
		(void)!watch_begin(engine, c);
	if (c->user && c->user_kind == USER_WATCHED)
		take_datagram(c->user, direction, packet);
	else
		datagrams_packet(engine->datagrams, c, direction, packet);
}

/* The engine. */

struct engine *engine_new(const struct engine_options *options, struct error *err)
{
	struct engine *engine = calloc(1, sizeof(*engine));
	struct table_events events = {.opened = opened,
		.data = data,
		.gap = gap,
		.half_closed = half_closed,
		.closed = closed,
		.datagram = datagram,
		.datagram_opens = datagram_opens};
	if (!engine) {
		error_set(err, "no memory to follow connections");
		return NULL;
	}
	struct session_setup setup = {.limits = options->session,
		.ring = options->ring,
		.keys_final = options->keys_final,
		.own_thread = true,
		.wake_fd = -1,
		.emit = session_said,
		.ends = session_asked,
		.arg = engine};
	engine->options = *options;
	engine->watched.size = sizeof(struct watched);
	engine->fragments = fragments_new(FRAGMENT_LIMITS);
	engine->table = table_new(&options->table, &events, engine);
	engine->room = session_room_new(&setup);
	feed_source_begin(&engine->source, options->feed, options->number);
	engine->datagrams =
		datagrams_new(&(struct datagram_setup){&engine->source, &engine->flows, (uint16_t)options->number});
	if (engine->fragments && engine->table && engine->room && engine->datagrams)
		return engine;
	error_set(err, "no memory to follow connections");
	engine_free(engine);
	return NULL;
}

void engine_free(struct engine *engine)
{
	if (!engine)
		return;
	table_free(engine->table);
	session_room_free(engine->room);
	datagrams_free(engine->datagrams);
	fragments_free(engine->fragments);
	spare_free(&engine->watched);
	feed_source_end(&engine->source);
	free(engine);
}

void engine_frame(struct engine *engine, const struct frame *frame)
{
	struct packet packet;
	enum link_result result = link_decode(frame, engine->fragments, &packet);
	link_count(&engine->counts.link, result, frame);
	if (result != LINK_PACKET)
		return;
	packet.number = frame->number;
	engine_packet(engine, &packet, table_hash(&packet));
}

void engine_packet(struct engine *engine, const struct packet *packet, uint64_t hash)
{
	engine->now_ns = packet->time_ns > engine->now_ns ? packet->time_ns : engine->now_ns;
	table_packet(engine->table, packet, hash);
}

void engine_keys(struct engine *engine)
{
	session_room_keys(engine->room, engine->now_ns);
}

void engine_tick(struct engine *engine, uint64_t now_ns)
{
	if (now_ns < engine->now_ns)
		return;
	engine->now_ns = now_ns;
	table_tick(engine->table, now_ns);
	session_room_tick(engine->room, now_ns);
}

void engine_finish(struct engine *engine)
{
	table_finish(engine->table);
}

void engine_add_link(struct link_counts *total, const struct link_counts *part)
{
	for (unsigned i = 0; i < LINK_RESULTS; i++) {
		total->frames[i] += part->frames[i];
		total->octets[i] += part->octets[i];
	}
}

static void add_table(struct table_counts *total, const struct table_counts *part)
{
	total->packets += part->packets;
	total->tcp += part->tcp;
	total->udp += part->udp;
	total->opened += part->opened;
	total->closed[TABLE_EVICTED] += part->closed[TABLE_EVICTED];
	total->no_memory += part->no_memory;
	for (unsigned i = 0; i < STREAM_CAUSE_COUNT; i++) {
		total->stream.gaps[i] += part->stream.gaps[i];
		total->stream.gap_octets[i] += part->stream.gap_octets[i];
	}
	total->stream.conflicts += part->stream.conflicts;
}

static void add_session(struct session_counts *total, const struct session_counts *part)
{
	total->sessions += part->sessions;
	total->records_opened += part->records_opened;
	total->records_lost += part->records_lost;
	total->wire_octets += part->wire_octets;
	total->plain_octets += part->plain_octets;
	total->recovered += part->recovered;
	total->waited += part->waited;
	total->gave_up_time += part->gave_up_time;
	total->gave_up_full += part->gave_up_full;
	total->repeated += part->repeated;
	total->missing += part->missing;
	total->fragments_refused += part->fragments_refused;
	total->certificates_packed += part->certificates_packed;
	total->trials += part->trials;
	total->trials_exhausted += part->trials_exhausted;
	total->learned += part->learned;
	total->held_refused += part->held_refused;
	total->no_memory += part->no_memory;
}

static void add_datagrams(struct datagram_counts *total, const struct datagram_counts *part)
{
	total->quic += part->quic;
	total->quic_named += part->quic_named;
	total->octets += part->octets;
	total->no_memory += part->no_memory;
	total->hellos.evicted += part->hellos.evicted;
	total->hellos.no_memory += part->hellos.no_memory;
}

void engine_count(const struct engine *engine, struct engine_counts *total)
{
	const struct engine_counts *counts = &engine->counts;
	struct table_counts table = table_count(engine->table);
	struct session_counts session = session_room_count(engine->room);
	engine_add_link(&total->link, &counts->link);
	add_table(&total->table, &table);
	add_session(&total->session, &session);
	struct datagram_counts datagrams = datagrams_count(engine->datagrams);
	add_datagrams(&total->datagrams, &datagrams);
	for (unsigned i = 0; i <= SESSION_NOT; i++)
		total->verdicts[i] += counts->verdicts[i];
	for (unsigned i = 0; i < SESSION_CAUSES; i++) {
		total->causes[i] += counts->causes[i];
		total->cause_octets[i] += counts->cause_octets[i];
	}
	for (unsigned i = 0; i < SESSION_ECHES; i++)
		total->ech[i] += counts->ech[i];
	total->plain += counts->plain;
	total->missing += counts->missing;
	total->dtls += counts->dtls;
	total->not_tls += counts->not_tls;
	total->no_memory += counts->no_memory;
	total->fragments_lost += fragments_lost(engine->fragments);
}
