#include "watch/greeting.h"

#include "tls/handshake.h"
#include "tls/hello.h"
#include "tls/record.h"
#include "watch/link.h"
#include "watch/table.h"

#include <stdlib.h>

#define ROOM_FIRST ((size_t)2048)

/* What one side has said so far. */
struct side {
	uint8_t *octets;
	size_t len, room;
	size_t at; /* before it there is no hello */
};

/* A connection whose hellos were not both seen; NULL in its entry once they were, or will not be. */
struct meeting {
	struct side side[2];
	bool greeted; /* these are set: */
	enum flow_direction from;
	uint8_t client_random[HELLO_RANDOM];
	size_t name_len;
	uint8_t name[HELLO_MAX_SERVER_NAME];
};

struct greetings {
	void (*tell)(void *arg, const struct greeting *greeting);
	void *arg;
	struct table *table;
	struct greetings_counts counts;
	uint8_t scratch[GREETING_SIDE_MAX]; /* a message that spans records */
};

static void forget(struct greetings *g, struct connection *c)
{
	struct meeting *m = c->user;
	c->user = NULL;
	if (!m)
		return;
	for (size_t i = 0; i < 2; i++) {
		g->counts.octets -= m->side[i].room;
		free(m->side[i].octets);
	}
	free(m);
}

/* Nothing of it is wanted any more. */
static void leave(struct greetings *g, struct connection *c)
{
	forget(g, c);
	table_ignore(g->table, c);
}

static bool keep(struct greetings *g, struct side *side, struct bytes data)
{
	size_t wanted = side->len + data.len, room = side->room ? side->room : ROOM_FIRST;
	if (wanted > GREETING_SIDE_MAX)
		return false;
	while (room < wanted)
		room *= 2;
	if (room > side->room) {
		size_t more = room - side->room;
		uint8_t *octets = g->counts.octets + more <= GREETING_ALL_MAX ? realloc(side->octets, room) : NULL;
		if (!octets) {
			g->counts.crowded++;
			return false;
		}
		g->counts.octets += more;
		side->octets = octets;
		side->room = room;
	}
	struct writer to = writer_over(side->octets, side->room);
	to.len = side->len;
	writer_bytes(&to, data);
	side->len = to.len;
	return true;
}

enum found { FOUND, FOUND_NOTHING, FOUND_PART };

/* A hello whose records begin at the front of `in`, which moves past them. */
static enum found read_hello(struct greetings *g, struct bytes *in, struct handshake *hello)
{
	struct writer to = writer_over(g->scratch, sizeof(g->scratch));
	while (true) {
		struct record record;
		uint8_t type;
		enum record_result result = record_read(in, &record);
		struct bytes part = *in;
		/* The type of the message shows early that it is none, and nobody waits for the rest. */
		if (result == RECORD_NEED_MORE && to.len == 0 && bytes_skip(&part, RECORD_HEADER) &&
			bytes_u8(&part, &type) && type != HANDSHAKE_CLIENT_HELLO && type != HANDSHAKE_SERVER_HELLO)
			return FOUND_NOTHING;
		if (result != RECORD_OK)
			return result == RECORD_NEED_MORE ? FOUND_PART : FOUND_NOTHING;
		writer_bytes(&to, record.fragment);
		if (record.type != RECORD_HANDSHAKE || record.fragment.len == 0 || to.full)
			return FOUND_NOTHING;
		struct bytes said = bytes_of(to.data, to.len);
		enum handshake_result read = handshake_read(&said, sizeof(g->scratch), hello);
		bool good = *to.data == HANDSHAKE_CLIENT_HELLO || *to.data == HANDSHAKE_SERVER_HELLO;
		if (!good || read == HANDSHAKE_TOO_LONG)
			return FOUND_NOTHING;
		if (read == HANDSHAKE_OK)
			return FOUND;
	}
}

/* The next hello of this side, wherever it begins. */
static enum found find_hello(struct greetings *g, struct side *side, struct handshake *hello)
{
	struct bytes all = bytes_of(side->octets, side->len);
	while (side->at < side->len) {
		struct bytes in = all;
		side->at = bytes_find(all, RECORD_HANDSHAKE, side->at);
		if (!bytes_skip(&in, side->at) || in.len == 0)
			break;
		enum found found = read_hello(g, &in, hello);
		if (found == FOUND)
			side->at = side->len - in.len;
		if (found != FOUND_NOTHING)
			return found;
		side->at++;
	}
	return FOUND_NOTHING;
}

static bool greet(struct meeting *m, struct bytes body, enum flow_direction direction)
{
	struct client_hello hello;
	if (m->greeted || client_hello_parse(body, &hello) != HELLO_OK)
		return false;
	m->greeted = true;
	m->from = direction;
	memcpy(m->client_random, hello.random.data, HELLO_RANDOM);
	if (hello.sni == SNI_OK && hello.server_name.len <= sizeof(m->name)) {
		m->name_len = hello.server_name.len;
		memcpy(m->name, hello.server_name.data, hello.server_name.len);
	}
	return true;
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

/* False when another hello has to come. */
static bool answer(struct greetings *g, const struct connection *c, struct bytes body)
{
	const struct meeting *m = c->user;
	struct server_hello hello;
	if (server_hello_parse(body, &hello) != HELLO_OK)
		return true;
	if (hello.retry)
		return false;
	bool up = m->from == FLOW_UP;
	const struct flow_address *client = up ? connection_client(c) : connection_server(c);
	const struct flow_address *server = up ? connection_server(c) : connection_client(c);
	struct greeting greeting = {.client_random = bytes_of(m->client_random, HELLO_RANDOM),
		.server_random = hello.random,
		.version = hello.version,
		.suite = hello.suite,
		.name = bytes_of(m->name, m->name_len),
		.client = end_of(client),
		.server = end_of(server)};
	g->counts.told++;
	g->tell(g->arg, &greeting);
	return true;
}

/* One side's; false when nothing more of the connection is wanted. */
static bool look_at(struct greetings *g, const struct connection *c, enum flow_direction direction)
{
	struct meeting *m = c->user;
	struct side *side = &m->side[direction];
	struct handshake hello;
	size_t before = side->at;
	while (find_hello(g, side, &hello) == FOUND) {
		if (hello.type == HANDSHAKE_CLIENT_HELLO)
			return greet(m, hello.body, direction);
		/* Packets may have been captured in another order than they were sent in. */
		if (!m->greeted) {
			side->at = before;
			return true;
		}
		if (answer(g, c, hello.body))
			return false;
		before = side->at;
	}
	return side->at <= GREETING_PREAMBLE;
}

static bool look(struct greetings *g, const struct connection *c, enum flow_direction direction)
{
	const struct meeting *m = c->user;
	bool before = m->greeted;
	return look_at(g, c, direction) &&
	       (before == m->greeted || look_at(g, c, direction == FLOW_UP ? FLOW_DOWN : FLOW_UP));
}

/* What the table says. */

/* Who sent what the host has taken is not known. */
static void doubt(struct greetings *g, struct connection *c)
{
	g->counts.disputed++;
	leave(g, c);
}

static void disputed(void *arg, struct connection *c)
{
	if (c->user)
		doubt(arg, c);
}

static void opened(void *arg, struct connection *c, uint64_t time_ns)
{
	struct greetings *g = arg;
	(void)time_ns;
	/* Another SYN before the hellos: either may be the one that the host has dropped. */
	if (c->contested) {
		doubt(g, c);
		return;
	}
	c->user = calloc(1, sizeof(struct meeting));
	if (c->user)
		return;
	g->counts.crowded++;
	table_ignore(g->table, c);
}

static void data(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, struct bytes octets,
	uint64_t time_ns)
{
	struct greetings *g = arg;
	struct meeting *m = c->user;
	(void)offset, (void)time_ns;
	/* 0-RTT data, or a hello after a retry, which has the same random. */
	if (m && m->greeted && m->from == direction)
		return;
	if (m && (!keep(g, &m->side[direction], octets) || !look(g, c, direction)))
		leave(g, c);
}

static void again(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, struct bytes octets)
{
	const struct meeting *m = c->user;
	if (!m)
		return;
	const struct side *side = &m->side[direction];
	struct bytes said = bytes_of(side->octets, side->len);
	if (offset >= side->len || !bytes_skip(&said, offset))
		return;
	said.len = octets.len = said.len < octets.len ? said.len : octets.len;
	if (!bytes_equal(said, octets))
		doubt(arg, c);
}

static void gap(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, uint64_t octets,
	enum stream_cause cause, uint64_t time_ns)
{
	struct greetings *g = arg;
	(void)direction, (void)offset, (void)octets, (void)cause, (void)time_ns;
	if (!c->user)
		return;
	g->counts.lost++;
	leave(g, c);
}

static void closed(void *arg, struct connection *c, enum table_reason reason, uint64_t time_ns)
{
	(void)reason, (void)time_ns;
	forget(arg, c);
}

struct greetings *greetings_new(void (*tell)(void *arg, const struct greeting *greeting), void *arg)
{
	static const struct table_events events = {
		.opened = opened, .data = data, .again = again, .disputed = disputed, .gap = gap, .closed = closed};
	struct table_limits limits = table_limits_default();
	struct greetings *g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	limits.connections = GREETING_CONNECTIONS;
	g->tell = tell;
	g->arg = arg;
	g->table = table_new(&limits, &events, g);
	if (g->table)
		return g;
	free(g);
	return NULL;
}

void greetings_free(struct greetings *greetings)
{
	if (!greetings)
		return;
	table_finish(greetings->table);
	table_free(greetings->table);
	free(greetings);
}

void greetings_frame(struct greetings *greetings, const struct frame *frame)
{
	struct packet packet;
	if (link_decode(frame, NULL, &packet) == LINK_PACKET && packet.protocol == PACKET_TCP)
		table_packet(greetings->table, &packet, table_hash(&packet));
}

void greetings_tick(struct greetings *greetings, uint64_t now_ns)
{
	table_tick(greetings->table, now_ns);
}

struct greetings_counts greetings_count(const struct greetings *greetings)
{
	return greetings->counts;
}
