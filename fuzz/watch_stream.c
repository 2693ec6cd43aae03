/*
 * Segments of any kind on a few connections, under small limits. An octet's value is a function of its sequence number,
 * so that whatever comes out in the wrong place is seen.
 */
#include "watch/table.h"

#include <stdlib.h>

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			abort();                                                                                       \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bed {
	struct table *table;
};

struct seen {
	uint64_t offset[2];
	bool half[2];
};

static uint8_t octet_of(uint32_t seq)
{
	return (uint8_t)(seq * 2654435761u >> 24);
}

static void on_opened(void *arg, struct connection *c, uint64_t time_ns)
{
	(void)arg;
	(void)time_ns;
	c->user = calloc(1, sizeof(struct seen));
	MUST(c->user);
}

static void advance(struct connection *c, enum flow_direction direction, uint64_t offset, uint64_t octets)
{
	struct seen *seen = c->user;
	MUST(octets > 0 && offset == seen->offset[direction] && !seen->half[direction]);
	seen->offset[direction] += octets;
	MUST(connection_octets(c, direction) == seen->offset[direction]);
}

static void on_data(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset,
	struct bytes octets, uint64_t time_ns)
{
	(void)time_ns;
	const struct stream *stream = &c->stream[direction ^ c->client];
	advance(c, direction, offset, octets.len);
	uint32_t seq = (uint32_t)(stream->origin + offset);
	for (size_t i = 0; i < octets.len; i++)
		MUST(octets.data[i] == octet_of(seq + (uint32_t)i));
	if (octets.len == 77)
		table_ignore(((struct bed *)arg)->table, c);
}

static void on_gap(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, uint64_t octets,
	enum stream_cause cause, uint64_t time_ns)
{
	(void)arg;
	(void)cause;
	(void)time_ns;
	advance(c, direction, offset, octets);
}

static void on_half(void *arg, struct connection *c, enum flow_direction direction, uint64_t time_ns)
{
	(void)arg;
	(void)time_ns;
	struct seen *seen = c->user;
	MUST(!seen->half[direction]);
	seen->half[direction] = true;
}

static void on_closed(void *arg, struct connection *c, enum table_reason reason, uint64_t time_ns)
{
	(void)arg;
	(void)reason;
	(void)time_ns;
	const struct seen *seen = c->user;
	for (unsigned i = 0; i < 2; i++) {
		MUST(!c->stream[i].backlog);
		MUST(c->ignored || connection_octets(c, i) == seen->offset[i]);
	}
	free(c->user);
}

/* Two octets choose connection, side and flags; then sequence number, acknowledgment, length, cut, time. */
static bool read_packet(struct bytes *in, struct packet *p, uint8_t room[static 1024])
{
	uint8_t who, flags, cut, wait;
	uint16_t seq, ack, len;
	if (!bytes_u8(in, &who) || !bytes_u8(in, &flags) || !bytes_u16(in, &seq) || !bytes_u16(in, &ack) ||
		!bytes_u16(in, &len) || !bytes_u8(in, &cut) || !bytes_u8(in, &wait))
		return false;
	struct flow_address a = {.family = 4, .ip = {10, 0, 0, 1}, .port = 1000 + (who >> 1) % 4};
	struct flow_address b = {.family = 4, .ip = {10, 0, 0, 2}, .port = 443};
	p->source = who & 1 ? b : a;
	p->destination = who & 1 ? a : b;
	p->protocol = PACKET_TCP;
	p->flags = flags;
	/* Near the wrap, near each other; now and then far off. */
	uint32_t far = (who & 0xf0) == 0xf0 ? (uint32_t)seq << 17 : 0;
	p->seq = 0xffffff00 + seq % 4096 + far;
	p->ack = 0xffffff00 + ack % 4096;
	size_t n = len % 1024;
	for (size_t i = 0; i < n; i++)
		room[i] = octet_of(p->seq + ((flags & PACKET_SYN) != 0) + (uint32_t)i);
	p->payload = bytes_of(room, n);
	p->cut = cut > 200 ? cut : 0;
	p->time_ns += (uint64_t)wait * wait * 1000000;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	uint16_t direction, total;
	uint8_t patience;
	if (!bytes_u16(&in, &direction) || !bytes_u16(&in, &total) || !bytes_u8(&in, &patience))
		return 0;
	struct table_limits limits = table_limits_default();
	limits.connections = 1 + direction % 4;
	limits.linger_packets = 1 + patience % 16;
	limits.stream.direction = direction % 16384;
	limits.stream.total = total;
	limits.stream.lost.packets = patience;
	limits.stream.acknowledged.packets = patience / 16;
	limits.stream.settle.packets = patience / 32;
	struct table_events events = {
		.opened = on_opened, .data = on_data, .gap = on_gap, .half_closed = on_half, .closed = on_closed};
	struct bed bed = {0};
	bed.table = table_new(&limits, &events, &bed);
	MUST(bed.table);
	struct packet p = {.time_ns = 1};
	uint8_t room[1024];
	while (read_packet(&in, &p, room)) {
		table_packet(bed.table, &p, table_hash(&p));
		struct table_counts counts = table_count(bed.table);
		MUST(counts.stream.held <= limits.stream.total && counts.open <= limits.connections);
	}
	table_finish(bed.table);
	struct table_counts counts = table_count(bed.table);
	MUST(counts.open == 0 && counts.stream.held == 0 && counts.stream.waiting == 0);
	table_free(bed.table);
	return 0;
}
