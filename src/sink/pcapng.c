#include "sink/pcapng.h"

#include "base/hash.h"
#include "base/text.h"
#include "sink/output.h"
#include "sink/packet.h"
#include "sink/pcapng_block.h"

#include <stdio.h>
#include <stdlib.h>

#define LINKTYPE_RAW 101 /* the packet begins with its IP header */
#define COMMENT_MAX  3072

struct pcapng {
	struct sink sink;
	struct output out;
	bool begun; /* the section and the interface stand in the file */
};

/* A flow that has had plaintext. */
struct stream {
	struct flow_address end[2]; /* by the direction it sends: client, server as presented */
	uint32_t first_seq[2];
	uint64_t next[2]; /* octets of plaintext behind the last segment */
	bool finished[2];
};

static struct pcapng *of(struct sink *sink)
{
	return (struct pcapng *)(void *)sink;
}

static void put_beginning(struct pcapng *p)
{
	pcapng_put_section(&p->out);
	pcapng_put_interface(&p->out, LINKTYPE_RAW, "overt",
		"plaintext of inspected TLS connections, as TCP streams made for reading");
	output_flush(&p->out);
	p->begun = !p->out.failing;
}

static void put_packet(struct pcapng *p, uint64_t time_ns, const struct packet *packet, struct bytes comment)
{
	if (!p->begun) /* the disk was full when it was tried */
		put_beginning(p);
	uint8_t head[PACKET_HEAD_MAX];
	size_t head_len = packet_head(packet, head);
	struct pcapng_packet block = {
		.time_ns = time_ns,
		.original = (uint32_t)(head_len + packet->payload.len),
		.head = bytes_of(head, head_len),
		.bytes = packet->payload,
		.comment = comment,
	};
	pcapng_put_packet(&p->out, &block);
}

/* The port at which dissectors look for the protocol without its TLS. */
static uint16_t presented_port(const struct flow *flow, uint16_t port)
{
	static const uint16_t pairs[][2] = {{443, 80}, {8443, 80}, {993, 143}, {995, 110}, {465, 25}, {636, 389},
		{853, 53}, {990, 21}, {6697, 6667}, {5061, 5060}, {8883, 1883}};
	bool http = bytes_equal(flow->alpn, bytes_str("h2")) || bytes_starts(flow->alpn, bytes_str("http/1."));
	if (http)
		return 80; /* HTTP/2 is recognised nowhere else without a setting */
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		if (pairs[i][0] == port)
			return pairs[i][1];
	}
	return port;
}

static void say(struct writer *w, const char *what, struct bytes value)
{
	char clean[1024];
	if (value.len == 0)
		return;
	size_t n = text_clean(clean, sizeof(clean), value);
	writer_bytes(w, bytes_str(what));
	writer_bytes(w, bytes_of(clean, n));
}

static size_t write_comment(const struct flow *flow, char *out, size_t cap)
{
	char name[FLOW_NAME_TEXT];
	char server[FLOW_ADDRESS_TEXT];
	struct writer w = writer_over(out, cap);
	say(&w, "flow ", bytes_of(name, flow_name(flow, name, sizeof(name))));
	say(&w, "; server ", bytes_of(server, flow_address_text(&flow->server, server, sizeof(server))));
	say(&w, "; host ", flow->host);
	say(&w, "; SNI ", flow->sni);
	say(&w, "; ALPN ", flow->alpn);
	if (flow->decided) {
		say(&w, "; verdict ", bytes_str(flow_action_name(flow->action)));
		say(&w, ", rule ", flow->rule);
	}
	say(&w, "; upstream verification ", flow->verification);
	return w.len;
}

static void segment(struct pcapng *p, const struct stream *s, enum flow_direction direction, uint64_t offset,
	uint8_t flags, struct bytes payload, uint64_t time_ns, struct bytes comment)
{
	unsigned other = direction == FLOW_UP ? FLOW_DOWN : FLOW_UP;
	struct packet packet = {
		.from = s->end[direction],
		.to = s->end[other],
		.seq = s->first_seq[direction] + 1 + (uint32_t)offset,
		.flags = flags,
		.payload = payload,
	};
	if (flags & PACKET_ACK)
		packet.ack = s->first_seq[other] + 1 + (uint32_t)s->next[other] + s->finished[other];
	if (flags & PACKET_SYN)
		packet.seq = s->first_seq[direction];
	put_packet(p, time_ns, &packet, comment);
}

/* The handshake, at the time of the first plaintext. */
static void put_handshake(struct pcapng *p, const struct flow *flow, struct stream *s, uint64_t time_ns)
{
	char comment[COMMENT_MAX];
	size_t n = write_comment(flow, comment, sizeof(comment));
	struct packet packet = {.from = s->end[0], .to = s->end[1], .seq = s->first_seq[0], .flags = PACKET_SYN};
	put_packet(p, time_ns, &packet, bytes_of(comment, n));
	segment(p, s, FLOW_DOWN, 0, PACKET_SYN | PACKET_ACK, BYTES_NONE, time_ns, BYTES_NONE);
	segment(p, s, FLOW_UP, 0, PACKET_ACK, BYTES_NONE, time_ns, BYTES_NONE);
}

static struct stream *stream_of(struct pcapng *p, struct flow *flow, uint64_t time_ns)
{
	struct stream *s = flow->slot[p->sink.slot];
	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s) {
		p->sink.counts.capped++;
		return NULL;
	}
	flow->slot[p->sink.slot] = s;
	s->end[0] = flow->client;
	s->end[1] = flow->server;
	if (s->end[1].family == 0)
		s->end[1].port = flow->port;
	s->end[1].port = presented_port(flow, s->end[1].port);
	/* A client's port that comes again must not look like a repetition of the earlier connection. */
	const uint64_t seed[2] = {flow->source, flow->id};
	uint64_t hash = hash_bytes(bytes_of(seed, sizeof(seed)));
	s->first_seq[0] = (uint32_t)hash;
	s->first_seq[1] = (uint32_t)(hash >> 32);
	put_handshake(p, flow, s, time_ns);
	return s;
}

static void on_data(struct pcapng *p, struct flow *flow, const struct event *event)
{
	struct stream *s = stream_of(p, flow, event->time_ns);
	enum flow_direction direction = event->data.direction;
	if (!s || s->finished[direction])
		return;
	struct bytes rest = event->data.bytes;
	uint64_t offset = event->data.offset;
	while (rest.len > 0) {
		struct bytes part;
		if (!bytes_take(&rest, rest.len < PACKET_PAYLOAD_MAX ? rest.len : PACKET_PAYLOAD_MAX, &part))
			return;
		segment(p, s, direction, offset, PACKET_PSH | PACKET_ACK, part, event->time_ns, BYTES_NONE);
		offset += part.len;
	}
	s->next[direction] = offset;
}

static void finish(struct pcapng *p, struct stream *s, enum flow_direction direction, uint8_t flag, uint64_t time_ns)
{
	if (s->finished[direction])
		return;
	segment(p, s, direction, s->next[direction], flag | PACKET_ACK, BYTES_NONE, time_ns, BYTES_NONE);
	s->finished[direction] = true;
}

static void on_flow_over(struct pcapng *p, struct flow *flow, const struct event *event)
{
	struct stream *s = flow->slot[p->sink.slot];
	if (!s)
		return;
	bool clean = event->close.ending == ENDING_DONE;
	finish(p, s, FLOW_DOWN, clean ? PACKET_FIN : PACKET_RST, event->time_ns);
	finish(p, s, FLOW_UP, clean ? PACKET_FIN : PACKET_RST, event->time_ns);
	flow->slot[p->sink.slot] = NULL;
	free(s);
}

static void on_event(struct sink *sink, struct flow *flow, const struct event *event)
{
	struct pcapng *p = of(sink);
	struct stream *s = flow->slot[sink->slot];
	switch (event->kind) {
	case EVENT_DATA:
		on_data(p, flow, event);
		break;
	case EVENT_GAP:
		/* The next segment's own offset shows it; at the end of a direction the FIN does. */
		if (s && event->gap.offset + event->gap.octets > s->next[event->gap.direction])
			s->next[event->gap.direction] = event->gap.offset + event->gap.octets;
		break;
	case EVENT_HALF:
		if (s)
			finish(p, s, event->half.direction, PACKET_FIN, event->time_ns);
		break;
	case EVENT_CLOSE:
		on_flow_over(p, flow, event);
		break;
	default:
		break;
	}
}

static void on_flush(struct sink *sink)
{
	output_flush(&of(sink)->out);
}

static bool on_reopen(struct sink *sink, struct error *err)
{
	bool fresh;
	if (!output_reopen(&of(sink)->out, OUTPUT_REPLACE, &fresh, err))
		return false;
	if (fresh)
		put_beginning(of(sink)); /* flows that go on appear without their handshake */
	return true;
}

static void on_close(struct sink *sink)
{
	output_close(&of(sink)->out);
	free(sink);
}

static const struct sink_ops ops = {
	.event = on_event,
	.flush = on_flush,
	.reopen = on_reopen,
	.close = on_close,
};

struct sink *pcapng_new(const char *path, struct error *err)
{
	struct pcapng *p = calloc(1, sizeof(*p));
	if (!p) {
		error_set(err, "no memory for pcapng");
		return NULL;
	}
	p->sink = (struct sink){.ops = &ops, .name = "pcapng", .wants = SINK_WANTS_DATA};
	if (!output_open(&p->out, &p->sink, path, OUTPUT_REPLACE, err)) {
		error_prefix(err, "--pcapng");
		free(p);
		return NULL;
	}
	put_beginning(p);
	return &p->sink;
}
