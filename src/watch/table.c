#include "watch/table.h"

#include "base/clock.h"
#include "base/hash.h"
#include "watch/slab.h"

#include <stdlib.h>

/* A time stamp that is further ahead than this must be confirmed by the next. */
#define CLOCK_LEAP_NS (600 * NS_PER_S)
#define SLOTS_FIRST   ((size_t)1024)
#define WINDOW_MAX    ((uint64_t)1 << 30)

/* Lists of connections, each ordered by its last packet. When room is needed, the lower goes first. */
enum place { PLACE_CLOSING, PLACE_OPENING, PLACE_OPEN, PLACE_COUNT };

struct table {
	struct table_limits limits;
	struct table_events events;
	void *arg;
	struct connection **slots;
	unsigned slot_bits;
	struct {
		struct connection *oldest, *newest;
	} list[PLACE_COUNT];
	struct slab entries;
	struct stream_pool pool;
	uint64_t now, leap_ns; /* leap_ns: what an unconfirmed time stamp said; 0: none */
	struct table_counts counts;
};

struct table_limits table_limits_default(void)
{
	return (struct table_limits){
		.connections = 262144,
		.idle_ns = 600 * NS_PER_S,
		.opening_ns = 30 * NS_PER_S,
		.linger_ns = 2 * NS_PER_S,
		.linger_packets = 65536,
		.stream = stream_limits_default,
	};
}

const char *table_reason_name(enum table_reason reason)
{
	static const char *const names[TABLE_REASON_COUNT] = {
		"fin", "reset", "idle", "evicted", "replaced", "end-of-input"};
	return reason < TABLE_REASON_COUNT ? names[reason] : "unknown";
}

struct table *table_new(const struct table_limits *limits, const struct table_events *events, void *arg)
{
	struct table *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->slots = calloc(SLOTS_FIRST, sizeof(struct connection *));
	if (!t->slots) {
		free(t);
		return NULL;
	}
	while ((SLOTS_FIRST >> t->slot_bits) > 1)
		t->slot_bits++;
	t->limits = *limits;
	t->events = *events;
	t->arg = arg;
	t->entries = slab_of(sizeof(struct connection));
	t->pool.limits = limits->stream;
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < PLACE_COUNT; i++) {
		for (struct connection *c = t->list[i].oldest; c; c = c->newer) {
			stream_skip(&t->pool, &c->stream[0]);
			stream_skip(&t->pool, &c->stream[1]);
		}
	}
	slab_free(&t->entries);
	free(t->slots);
	free(t);
}

struct table_counts table_count(const struct table *t)
{
	struct table_counts counts = t->counts;
	counts.stream = t->pool.counts;
	counts.memory = t->entries.memory + (sizeof(struct connection *) << t->slot_bits);
	return counts;
}

uint64_t connection_octets(const struct connection *c, enum flow_direction direction)
{
	const struct stream *s = &c->stream[direction ^ c->client];
	return s->settling ? 0 : s->next - s->origin;
}

void connection_swap(struct connection *c)
{
	c->client = !c->client;
}

static enum flow_direction direction_of(const struct connection *c, unsigned side)
{
	return side == c->client ? FLOW_UP : FLOW_DOWN;
}

/* Names and hashes. Side 0 is that with the lower address, or the lower port where both are at one address. */

static unsigned side_of(const struct packet *p)
{
	int order = memcmp(p->source.ip, p->destination.ip, sizeof(p->source.ip));
	if (order == 0)
		order = (p->source.port > p->destination.port) - (p->source.port < p->destination.port);
	return order > 0;
}

uint64_t table_hash(const struct packet *p)
{
	const struct flow_address *low = side_of(p) ? &p->destination : &p->source;
	const struct flow_address *high = low == &p->source ? &p->destination : &p->source;
	uint8_t name[2 * sizeof(low->ip) + 8];
	size_t len = p->source.family == 6 ? sizeof(low->ip) : 4;
	memcpy(name, low->ip, len);
	memcpy(name + len, high->ip, len);
	uint16_t rest[3] = {low->port, high->port, p->protocol};
	memcpy(name + 2 * len, rest, sizeof(rest));
	return hash_bytes(bytes_of(name, 2 * len + sizeof(rest)));
}

static bool same_address(const struct flow_address *a, const struct flow_address *b)
{
	return a->port == b->port && a->family == b->family && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

/* Workers are chosen by the low bits (hash % workers): slots go by the high ones. */
static struct connection **slot_of(const struct table *t, uint32_t hash)
{
	return &t->slots[hash >> (32 - t->slot_bits)];
}

static struct connection *find(const struct table *t, const struct packet *p, uint32_t hash, unsigned side)
{
	for (struct connection *c = *slot_of(t, hash); c; c = c->chain) {
		if (c->hash == hash && c->protocol == p->protocol && same_address(&c->address[side], &p->source) &&
			same_address(&c->address[!side], &p->destination))
			return c;
	}
	return NULL;
}

static void slots_grow(struct table *t)
{
	size_t old_count = (size_t)1 << t->slot_bits;
	if (t->counts.open < old_count || t->slot_bits >= 28)
		return;
	struct connection **old = t->slots, **slots = calloc(old_count * 2, sizeof(struct connection *));
	if (!slots)
		return; /* slower, not wrong */
	t->slots = slots;
	t->slot_bits++;
	for (size_t i = 0; i < old_count; i++) {
		for (struct connection *c = old[i], *next; c; c = next) {
			next = c->chain;
			struct connection **slot = slot_of(t, c->hash);
			c->chain = *slot;
			*slot = c;
		}
	}
	free(old);
}

static void list_leave(struct table *t, struct connection *c)
{
	*(c->older ? &c->older->newer : &t->list[c->place].oldest) = c->newer;
	*(c->newer ? &c->newer->older : &t->list[c->place].newest) = c->older;
}

static void list_join(struct table *t, struct connection *c, enum place place)
{
	c->place = place;
	c->older = t->list[place].newest;
	c->newer = NULL;
	*(c->older ? &c->older->newer : &t->list[place].oldest) = c;
	t->list[place].newest = c;
}

static void list_move(struct table *t, struct connection *c, enum place place)
{
	if (c->place == place && !c->newer)
		return;
	list_leave(t, c);
	list_join(t, c, place);
}

/* Events. */

static void report_opened(struct table *t, struct connection *c)
{
	if (c->reported)
		return;
	c->reported = true;
	if (t->events.opened)
		t->events.opened(t->arg, c, c->opened_ns);
}

static void report_item(struct table *t, struct connection *c, unsigned side, const struct stream_item *item)
{
	const struct table_events *e = &t->events;
	report_opened(t, c);
	enum flow_direction direction = direction_of(c, side);
	if (item->kind == STREAM_DATA && e->data && !c->ignored)
		e->data(t->arg, c, direction, item->offset, item->bytes, item->time_ns);
	else if (item->kind == STREAM_GAP && e->gap && !c->ignored)
		e->gap(t->arg, c, direction, item->offset, item->octets, item->cause, item->time_ns);
	else if (item->kind == STREAM_END && e->half_closed)
		e->half_closed(t->arg, c, direction, item->time_ns);
}

/* `before`: stream_counts.conflicts, as was last looked at. */
static void report_disputed(struct table *t, struct connection *c, uint64_t *before)
{
	bool disputed = *before != t->pool.counts.conflicts;
	*before = t->pool.counts.conflicts;
	if (!disputed || !t->events.disputed || c->ignored)
		return;
	report_opened(t, c);
	t->events.disputed(t->arg, c);
}

/* Whether anything came of it. */
static bool run_turn(struct table *t, struct connection *c, unsigned side, struct stream_turn *turn)
{
	struct stream_item item;
	bool any = false;
	uint64_t conflicts = t->pool.counts.conflicts;
	while (stream_next(&t->pool, &c->stream[side], turn, &item)) {
		report_disputed(t, c, &conflicts);
		report_item(t, c, side, &item);
		any = true;
	}
	report_disputed(t, c, &conflicts);
	return any;
}

/* Before the packet is taken: what of it was given out already. */
static void report_again(struct table *t, struct connection *c, unsigned side, const struct packet *p)
{
	const struct stream *s = &c->stream[side];
	struct bytes octets = p->payload;
	uint64_t position = stream_position(s, p->seq + ((p->flags & PACKET_SYN) != 0));
	if (c->ignored || s->settling || position == 0 || position >= s->next)
		return;
	/* A keep-alive's may be any (RFC 9293, 3.8.4). */
	if (octets.len == 1 && position + 1 == s->next)
		return;
	if (position < s->origin) {
		if (!bytes_skip(&octets, s->origin - position))
			return;
		position = s->origin;
	}
	if (octets.len > s->next - position)
		octets.len = s->next - position;
	if (octets.len > 0)
		t->events.again(t->arg, c, direction_of(c, side), position - s->origin, octets);
}

static void resume(struct table *t, struct connection *c, unsigned side)
{
	struct stream_turn turn;
	stream_resume(&t->pool, &c->stream[side], t->now, &turn);
	(void)run_turn(t, c, side, &turn);
}

void table_ignore(struct table *t, struct connection *c)
{
	c->ignored = true;
	stream_skip(&t->pool, &c->stream[0]);
	stream_skip(&t->pool, &c->stream[1]);
}

/* Ends of connections. */

static void close_connection(struct table *t, struct connection *c, enum table_reason why)
{
	if (c->protocol == PACKET_TCP) {
		/* The client's half first: that is how most conversations go. An event may swap the sides. */
		unsigned first = c->client;
		for (unsigned i = 0; i < 2; i++) {
			unsigned side = i ^ first;
			struct stream_turn turn;
			stream_finish(&t->pool, &c->stream[side], t->now, &turn);
			(void)run_turn(t, c, side, &turn);
		}
		if (c->stream[0].ended && c->stream[1].ended)
			why = TABLE_FIN;
		else if (c->reset)
			why = TABLE_RESET;
	}
	report_opened(t, c);
	if (t->events.closed)
		t->events.closed(t->arg, c, why, t->now);
	t->counts.closed[why]++;
	t->counts.open--;
	list_leave(t, c);
	struct connection **slot = slot_of(t, c->hash);
	while (*slot != c)
		slot = &(*slot)->chain;
	*slot = c->chain;
	slab_give(&t->entries, c);
}

static bool is_over(const struct table *t, const struct connection *c)
{
	uint64_t quiet = t->now > c->seen_ns ? t->now - c->seen_ns : 0;
	if (c->place == PLACE_CLOSING)
		return quiet >= t->limits.linger_ns ||
		       (uint32_t)t->counts.packets - c->closing_packet >= t->limits.linger_packets;
	return quiet >= (c->place == PLACE_OPENING ? t->limits.opening_ns : t->limits.idle_ns);
}

/* Whose time has come. Each list is in the order of its deadlines. */
static void sweep(struct table *t)
{
	for (size_t i = 0; i < PLACE_COUNT; i++) {
		while (t->list[i].oldest && is_over(t, t->list[i].oldest))
			close_connection(t, t->list[i].oldest, TABLE_IDLE);
	}
	struct stream *due;
	while ((due = stream_due(&t->pool, t->now))) {
		struct stream *first = due - due->tag;
		resume(t, (struct connection *)((char *)first - offsetof(struct connection, stream)), due->tag);
	}
}

static bool evict(struct table *t)
{
	for (size_t i = 0; i < PLACE_COUNT; i++) {
		if (t->list[i].oldest) {
			close_connection(t, t->list[i].oldest, TABLE_EVICTED);
			return true;
		}
	}
	return false;
}

void table_finish(struct table *t)
{
	for (size_t i = 0; i < PLACE_COUNT; i++) {
		while (t->list[i].oldest)
			close_connection(t, t->list[i].oldest, TABLE_FINISHED);
	}
}

static void clock_set(struct table *t, uint64_t time_ns)
{
	/* The very first time stamp may be the broken one. */
	if (t->counts.packets == 2 && t->now > time_ns && t->now - time_ns > CLOCK_LEAP_NS)
		t->now = time_ns;
	if (t->now != 0 && time_ns > t->now && time_ns - t->now > CLOCK_LEAP_NS) {
		uint64_t before = t->leap_ns;
		t->leap_ns = time_ns;
		if (before == 0)
			return;
		if (before < time_ns)
			time_ns = before;
	}
	t->leap_ns = 0;
	if (time_ns > t->now)
		t->now = time_ns;
}

void table_tick(struct table *t, uint64_t time_ns)
{
	clock_set(t, time_ns);
	sweep(t);
}

/* Beginnings. */

/* Type handshake, any version, and the message's type behind the record's length (RFC 8446, 5.1 and 4). */
static bool is_hello(struct bytes payload, uint8_t message)
{
	uint8_t type, kind;
	uint16_t version, len;
	return bytes_u8(&payload, &type) && bytes_u16(&payload, &version) && bytes_u16(&payload, &len) &&
	       bytes_u8(&payload, &kind) && type == 22 && version >> 8 == 3 && kind == message;
}

static bool source_is_client(const struct packet *p)
{
	if (p->protocol == PACKET_TCP) {
		if (p->flags & PACKET_SYN)
			return !(p->flags & PACKET_ACK);
		if (is_hello(p->payload, 1))
			return true;
		if (is_hello(p->payload, 2))
			return false;
		return p->source.port >= p->destination.port;
	}
	/* Ephemeral ports begin higher; between two of them, who speaks first asks. */
	return !(p->source.port < 1024 && p->destination.port >= 1024);
}

static struct connection *open_connection(struct table *t, const struct packet *p, uint32_t hash, unsigned side)
{
	if (t->counts.open >= t->limits.connections && !evict(t))
		return NULL;
	struct connection *c = slab_take(&t->entries);
	if (!c && evict(t))
		c = slab_take(&t->entries);
	if (!c) {
		t->counts.no_memory++;
		return NULL;
	}
	*c = (struct connection){
		.opened_ns = p->time_ns, .number = ++t->counts.opened, .protocol = p->protocol, .hash = hash};
	c->address[side] = p->source;
	c->address[!side] = p->destination;
	c->client = source_is_client(p) ? side : !side;
	c->stream[1].tag = 1;
	if (++t->counts.open > t->counts.open_peak)
		t->counts.open_peak = t->counts.open;
	slots_grow(t);
	struct connection **slot = slot_of(t, hash);
	c->chain = *slot;
	*slot = c;
	list_join(t, c, PLACE_OPENING);
	return c;
}

/* What keeps a connection open, or lets it go. `fresh`: it brought something that was not there before. */
static void touch(struct table *t, struct connection *c, unsigned side, bool fresh)
{
	c->packets++;
	c->heard[side] = true;
	bool closing = c->reset || (c->stream[0].end && c->stream[1].end);
	if (closing && c->place == PLACE_CLOSING && !fresh)
		return;
	c->seen_ns = t->now;
	c->closing_packet = (uint32_t)t->counts.packets;
	/* A late retransmission of what is over already looks like the middle of a connection, but not for long. */
	bool both = c->heard[0] && c->heard[1];
	bool stands = c->payload && (both || (c->protocol == PACKET_TCP && (c->from_start || c->packets >= 8)));
	enum place place = stands ? PLACE_OPEN : PLACE_OPENING;
	list_move(t, c, closing ? PLACE_CLOSING : place);
}

/* An answer to a SYN may be sent again with another number, by a server that kept no state (RFC 4987, 3.6). */
static bool is_other_answer(const struct connection *c, const struct packet *p, unsigned side)
{
	const struct stream *mine = &c->stream[side], *other = &c->stream[!side];
	return (p->flags & PACKET_ACK) && c->syn[!side] && (uint32_t)other->origin == p->ack && !mine->backlog &&
	       mine->next == mine->origin && !mine->ended;
}

/* The entry of a packet that belongs to none. Data opens one even without SYN; what has none is not worth an entry. */
static struct connection *tcp_entry(struct table *t, const struct packet *p, uint32_t hash, unsigned side)
{
	struct connection *c = find(t, p, hash, side);
	bool contested = false;
	if (c && (p->flags & PACKET_SYN) && !stream_may_begin_at(&t->pool, &c->stream[side], p->seq)) {
		if (is_other_answer(c, p, side)) {
			c->stream[side] = (struct stream){.tag = c->stream[side].tag, .skip = c->ignored};
			return c;
		}
		contested = !c->ignored;
		close_connection(t, c, TABLE_REPLACED);
		c = NULL;
	}
	if (c)
		return c;
	bool begins = (p->flags & PACKET_SYN) && !(p->flags & PACKET_RST);
	if (begins || (p->payload.len + p->cut > 1 && !(p->flags & PACKET_RST))) {
		c = open_connection(t, p, hash, side);
		if (c)
			c->contested = contested;
		return c;
	}
	t->counts.stray++;
	return NULL;
}

/* RFC 9293, 3.10.7.4: a reset counts where the stream is, or, before it is anywhere, when it answers the other side. */
static bool take_reset(struct table *t, struct connection *c, const struct packet *p, unsigned side)
{
	const struct stream *s = &c->stream[side];
	uint64_t position = stream_position(s, p->seq);
	if (position && !s->settling && (position < s->next || position > s->next + WINDOW_MAX) &&
		position != s->acked) {
		t->counts.astray_resets++;
		return false;
	}
	c->reset = true;
	return true;
}

static void know_client(struct connection *c, const struct packet *p, unsigned side)
{
	if (!(p->flags & PACKET_SYN))
		return;
	if (!c->from_start && !c->reported)
		c->client = source_is_client(p) ? side : !side;
	c->from_start = true;
	c->syn[side] = true;
}

static void tcp_packet(struct table *t, const struct packet *p, uint32_t hash)
{
	unsigned side = side_of(p);
	struct connection *c = tcp_entry(t, p, hash, side);
	if (!c)
		return;
	if (p->flags & PACKET_RST) {
		touch(t, c, side, take_reset(t, c, p, side) && c->place != PLACE_CLOSING);
		return;
	}
	know_client(c, p, side);
	if (p->flags & PACKET_ACK) {
		bool opens = c->syn[side] && c->stream[side].next == c->stream[side].origin;
		if (stream_ack(&t->pool, &c->stream[!side], p->ack, opens, t->now))
			resume(t, c, !side);
	}
	struct stream_segment segment = {
		p->seq, (p->flags & PACKET_SYN) != 0, (p->flags & PACKET_FIN) != 0, p->payload, p->cut, p->time_ns};
	struct stream_turn turn;
	if (t->events.again)
		report_again(t, c, side, p);
	stream_take(&t->pool, &c->stream[side], &segment, t->now, &turn);
	bool fresh = run_turn(t, c, side, &turn);
	c->payload |= p->payload.len + p->cut > 0;
	touch(t, c, side, fresh);
}

static void udp_packet(struct table *t, const struct packet *p, uint32_t hash)
{
	if (!t->events.datagram)
		return;
	unsigned side = side_of(p);
	struct connection *c = find(t, p, hash, side);
	if (!c && t->events.datagram_opens && !t->events.datagram_opens(t->arg, p))
		return;
	if (!c)
		c = open_connection(t, p, hash, side);
	if (!c)
		return;
	c->payload = true;
	touch(t, c, side, true);
	report_opened(t, c);
	t->events.datagram(t->arg, c, direction_of(c, side), p);
}

void table_packet(struct table *t, const struct packet *p, uint64_t hash)
{
	t->counts.packets++;
	clock_set(t, p->time_ns);
	sweep(t);
	if (p->protocol == PACKET_TCP) {
		t->counts.tcp++;
		tcp_packet(t, p, (uint32_t)(hash >> 32));
	} else if (p->protocol == PACKET_UDP) {
		t->counts.udp++;
		udp_packet(t, p, (uint32_t)(hash >> 32));
	}
}
