#include "decode/http2.h"

#include "decode/http2_block.h"
#include "decode/http2_frame.h"

#include <stdio.h>
#include <stdlib.h>

/* One direction. */
struct way {
	struct http2_reader reader;
	struct http2_block block;
	uint64_t block_ns;     /* when the block in hand began */
	uint32_t block_stream; /* whose it is; 0: none in hand */
	uint32_t promised;     /* of a PUSH_PROMISE, else 0 */
	uint32_t highest;      /* stream opened from here (by a promise, downwards) */
	bool block_ends_stream;
	bool begun; /* the SETTINGS that must come first did */
	bool stopped;
};

struct http2 {
	struct decoder base;
	struct exchanges open;
	struct way ways[2];
	uint64_t not_followed; /* streams over the limit */
	bool complained;       /* the notice on a malformed message was given */
};

static struct http2 *of(struct decoder *decoder)
{
	return (struct http2 *)(void *)decoder;
}

static const char *side(enum flow_direction direction)
{
	return direction == FLOW_UP ? "client" : "server";
}

static void stop(struct way *way)
{
	way->stopped = true;
	http2_block_free(&way->block);
}

static void stop_both(struct http2 *h, enum message_ending why, uint64_t time_ns)
{
	stop(&h->ways[FLOW_UP]);
	stop(&h->ways[FLOW_DOWN]);
	tell_end_all(&h->base, &h->open, why, time_ns);
}

/* Frames and compression make sense only from the first octet to the last, so a fault ends it all. */
static void broken(struct http2 *h, enum flow_direction direction, const char *why, uint64_t time_ns)
{
	char text[200];
	(void)snprintf(text, sizeof(text), "what the %s sent is not HTTP/2: %s; the rest is not decoded",
		side(direction), why);
	tell_notice(&h->base, SEVERITY_WARN, "http2-malformed", text);
	stop_both(h, MESSAGE_BROKEN, time_ns);
}

/* One message is against the rules; the connection goes on. */
static void spoilt(struct http2 *h, struct exchange *exchange, enum flow_direction direction, const char *why)
{
	if (exchange->ending == MESSAGE_DONE)
		exchange->ending = MESSAGE_BROKEN;
	if (h->complained)
		return;
	h->complained = true;
	char text[200];
	(void)snprintf(text, sizeof(text), "the %s sent a message against the rules on stream %llu: %s",
		side(direction), (unsigned long long)exchange->stream, why);
	tell_notice(&h->base, SEVERITY_WARN, "http2-malformed", text);
}

static void stream_ends(struct http2 *h, struct exchange *exchange, enum flow_direction direction, uint64_t time_ns)
{
	/* A tunnel's octets were counted as its bodies. */
	if (exchange->upgrade && exchange->done[!direction] && exchange->ending == MESSAGE_DONE)
		exchange->ending = MESSAGE_UPGRADED;
	(void)tell_done(&h->base, &h->open, exchange, direction, time_ns);
}

/* Header blocks. */

static const char *request_fault(const struct http2_fields *fields)
{
	if (fields->bad)
		return fields->bad;
	if (fields->cut)
		return NULL;
	if (fields->status.data)
		return "a request with a status";
	if (!fields->method.data)
		return "a request without a method";
	bool tunnel = bytes_equal(fields->method, bytes_str("CONNECT")) && !fields->protocol.data;
	if (tunnel)
		return fields->path.data || fields->scheme.data ? "a CONNECT with a path" : NULL;
	return fields->path.len == 0 || fields->scheme.len == 0 ? "a request without path or scheme" : NULL;
}

static void tell_request(const struct http2 *h, const struct exchange *exchange, const struct http2_fields *fields)
{
	struct message_request request = {
		.flow = h->base.flow,
		.stream = exchange->stream,
		.time_ns = exchange->start_ns,
		.version = MESSAGE_HTTP_2,
		.method = fields->method,
		.scheme = fields->scheme,
		.authority = fields->authority,
		.path = fields->path,
		.headers = fields->headers,
		.header_count = fields->header_count,
		.headers_cut = fields->cut,
	};
	struct bytes host;
	if (!fields->authority.data && message_header_find(fields->headers, fields->header_count, "host", &host))
		request.authority = host;
	if (h->base.out->request)
		h->base.out->request(h->base.ctx, &request);
}

/* A new stream. NULL: not followed. */
static struct exchange *opens(struct http2 *h, uint32_t stream, const struct http2_fields *fields, uint64_t time_ns)
{
	struct exchange *exchange = exchange_add(&h->open, stream, time_ns, h->base.limits.exchange_max);
	if (!exchange) {
		if (h->not_followed++ == 0)
			tell_notice(&h->base, SEVERITY_WARN, "exchanges-capped",
				"more streams are open than are followed; those over the limit are left out");
		return NULL;
	}
	exchange->begun[FLOW_UP] = true;
	exchange->head = bytes_equal(fields->method, bytes_str("HEAD"));
	exchange->connect = bytes_equal(fields->method, bytes_str("CONNECT"));
	tell_request(h, exchange, fields);
	const char *fault = request_fault(fields);
	if (fault)
		spoilt(h, exchange, FLOW_UP, fault);
	return exchange;
}

/* What comes after a message's head are trailers. */
static void keep_trailers(struct exchange *exchange, enum flow_direction direction, const struct http2_fields *fields)
{
	exchange_set_trailers(exchange, direction, trailers_copy(fields->headers, fields->header_count, fields->cut));
}

static void request_block(struct http2 *h, const struct http2_fields *fields, uint64_t time_ns)
{
	struct way *way = &h->ways[FLOW_UP];
	struct exchange *exchange = exchange_find(&h->open, way->block_stream);
	/* What is neither new nor followed is of a stream that was reset, or is over the limit. */
	if (!exchange && (way->block_stream & 1) && way->block_stream > way->highest) {
		way->highest = way->block_stream;
		exchange = opens(h, way->block_stream, fields, way->block_ns);
	} else if (exchange && !exchange->done[FLOW_UP])
		keep_trailers(exchange, FLOW_UP, fields);
	if (exchange && way->block_ends_stream && !exchange->done[FLOW_UP])
		stream_ends(h, exchange, FLOW_UP, time_ns);
}

static void promise_block(struct http2 *h, const struct http2_fields *fields, uint64_t time_ns)
{
	struct way *way = &h->ways[FLOW_DOWN];
	if (way->promised & 1 || way->promised <= way->highest) {
		broken(h, FLOW_DOWN, "a promise of a stream that it may not open", time_ns);
		return;
	}
	way->highest = way->promised;
	struct exchange *exchange = opens(h, way->promised, fields, way->block_ns);
	if (exchange)
		exchange->done[FLOW_UP] = true;
}

static unsigned status_of(struct bytes in)
{
	unsigned status = 0;
	for (size_t i = 0; i < in.len && in.len == 3; i++) {
		if (in.data[i] < '0' || in.data[i] > '9')
			return 0;
		status = status * 10 + (unsigned)(in.data[i] - '0');
	}
	return status;
}

static void tell_response(struct http2 *h, struct exchange *exchange, const struct http2_fields *fields)
{
	struct message_response response = {
		.flow = h->base.flow,
		.stream = exchange->stream,
		.time_ns = h->ways[FLOW_DOWN].block_ns,
		.version = MESSAGE_HTTP_2,
		.status = status_of(fields->status),
		.headers = fields->headers,
		.header_count = fields->header_count,
		.headers_cut = fields->cut,
	};
	if (response.status < 100) {
		exchange->begun[FLOW_DOWN] = true;
		spoilt(h, exchange, FLOW_DOWN, "a response without a status");
		return;
	}
	response.interim = response.status < 200;
	exchange->begun[FLOW_DOWN] = !response.interim;
	if (exchange->connect && response.status >= 200 && response.status < 300)
		exchange->upgrade = true;
	if (h->base.out->response)
		h->base.out->response(h->base.ctx, &response);
	if (fields->bad)
		spoilt(h, exchange, FLOW_DOWN, fields->bad);
	else if (response.interim && h->ways[FLOW_DOWN].block_ends_stream)
		spoilt(h, exchange, FLOW_DOWN, "the stream ends with an interim response");
}

static void response_block(struct http2 *h, const struct http2_fields *fields, uint64_t time_ns)
{
	struct way *way = &h->ways[FLOW_DOWN];
	struct exchange *exchange = exchange_find(&h->open, way->block_stream);
	if (!exchange || exchange->done[FLOW_DOWN])
		return;
	if (!exchange->begun[FLOW_DOWN])
		tell_response(h, exchange, fields);
	else
		keep_trailers(exchange, FLOW_DOWN, fields);
	if (way->block_ends_stream)
		stream_ends(h, exchange, FLOW_DOWN, time_ns);
}

static void block_part(struct http2 *h, enum flow_direction direction, struct bytes part, bool last, uint64_t time_ns)
{
	switch (http2_block_add(&h->ways[direction].block, part, last)) {
	case HTTP2_BLOCK_OK:
		break;
	case HTTP2_BLOCK_BAD:
		broken(h, direction, "a header block that cannot be decompressed", time_ns);
		break;
	case HTTP2_BLOCK_NO_MEMORY:
		tell_notice(
			&h->base, SEVERITY_ERROR, "no-memory", "no memory to decode headers; the rest is not decoded");
		stop_both(h, MESSAGE_MISSED, time_ns);
		break;
	}
}

static void block_ends(struct http2 *h, enum flow_direction direction, uint64_t time_ns)
{
	struct way *way = &h->ways[direction];
	block_part(h, direction, BYTES_NONE, true, time_ns);
	if (way->stopped)
		return;
	struct http2_fields fields;
	http2_block_fields(&way->block, h->base.limits.header_count, &fields);
	if (way->promised > 0)
		promise_block(h, &fields, time_ns);
	else if (direction == FLOW_UP)
		request_block(h, &fields, time_ns);
	else
		response_block(h, &fields, time_ns);
	http2_block_clear(&way->block);
	way->block_stream = 0;
	way->promised = 0;
}

/* Frames. */

static const char *order_fault(const struct way *way, enum flow_direction direction)
{
	const struct http2_frame *frame = &way->reader.frame;
	if (!way->begun && (frame->type != HTTP2_SETTINGS || (frame->flags & HTTP2_ACK)))
		return "it does not begin with SETTINGS";
	if (way->block_stream > 0 && (frame->type != HTTP2_CONTINUATION || frame->stream != way->block_stream))
		return "a header block is interrupted";
	if (way->block_stream == 0 && frame->type == HTTP2_CONTINUATION)
		return "CONTINUATION of nothing";
	if (direction == FLOW_UP && frame->type == HTTP2_PUSH_PROMISE)
		return "a promise by a client";
	return NULL;
}

static void frame_begins(struct http2 *h, enum flow_direction direction, uint64_t time_ns)
{
	struct way *way = &h->ways[direction];
	const struct http2_frame *frame = &way->reader.frame;
	const char *fault = order_fault(way, direction);
	if (fault) {
		broken(h, direction, fault, time_ns);
		return;
	}
	way->begun = true;
	if (frame->type != HTTP2_HEADERS && frame->type != HTTP2_PUSH_PROMISE)
		return;
	way->block_ns = time_ns;
	way->block_stream = frame->stream;
	way->block_ends_stream = frame->type == HTTP2_HEADERS && (frame->flags & HTTP2_END_STREAM);
	way->promised = frame->other;
	if (frame->type == HTTP2_PUSH_PROMISE && frame->other == 0)
		broken(h, direction, "a promise of no stream", time_ns);
}

static void frame_part(struct http2 *h, enum flow_direction direction, struct bytes part, uint64_t time_ns)
{
	const struct http2_frame *frame = &h->ways[direction].reader.frame;
	if (frame->type != HTTP2_DATA) {
		block_part(h, direction, part, false, time_ns);
		return;
	}
	struct exchange *exchange = exchange_find(&h->open, frame->stream);
	if (exchange && !exchange->done[direction])
		tell_body(&h->base, exchange, direction, part, 0, time_ns);
}

static void reset(struct http2 *h, enum flow_direction direction, uint64_t time_ns)
{
	const struct http2_frame *frame = &h->ways[direction].reader.frame;
	struct exchange *exchange = exchange_find(&h->open, frame->stream);
	if (!exchange)
		return;
	/* A server that has answered may so refuse the rest of the request (RFC 9113, 8.1). */
	if (direction == FLOW_DOWN && frame->code == 0 && exchange->done[FLOW_DOWN]) {
		stream_ends(h, exchange, FLOW_UP, time_ns);
		return;
	}
	if (exchange->ending == MESSAGE_DONE)
		exchange->ending = MESSAGE_RESET;
	tell_end(&h->base, &h->open, exchange, time_ns);
}

/* Streams that the other side opened above the last one named will get no answer. */
static void go_away(struct http2 *h, enum flow_direction direction, uint64_t time_ns)
{
	const struct http2_frame *frame = &h->ways[direction].reader.frame;
	if (frame->code != 0) {
		char text[120];
		(void)snprintf(text, sizeof(text), "the %s gave the connection up: %s", side(direction),
			nghttp2_http2_strerror(frame->code));
		tell_notice(&h->base, SEVERITY_INFO, "http2-goaway", text);
	}
	for (size_t i = h->open.count; i-- > 0;) {
		struct exchange *exchange = exchange_at(&h->open, i);
		bool opened_there = (exchange->stream & 1) == (direction == FLOW_DOWN);
		if (exchange->stream <= frame->other || !opened_there)
			continue;
		if (exchange->ending == MESSAGE_DONE)
			exchange->ending = MESSAGE_RESET;
		tell_end(&h->base, &h->open, exchange, time_ns);
	}
}

static void frame_ends(struct http2 *h, enum flow_direction direction, uint64_t time_ns)
{
	const struct http2_frame *frame = &h->ways[direction].reader.frame;
	struct exchange *exchange;
	switch (frame->type) {
	case HTTP2_DATA:
		exchange = frame->flags & HTTP2_END_STREAM ? exchange_find(&h->open, frame->stream) : NULL;
		if (exchange && !exchange->done[direction])
			stream_ends(h, exchange, direction, time_ns);
		break;
	case HTTP2_HEADERS:
	case HTTP2_PUSH_PROMISE:
	case HTTP2_CONTINUATION:
		if (frame->flags & HTTP2_END_HEADERS)
			block_ends(h, direction, time_ns);
		break;
	case HTTP2_RST_STREAM:
		reset(h, direction, time_ns);
		break;
	case HTTP2_GOAWAY:
		go_away(h, direction, time_ns);
		break;
	default:
		break;
	}
}

void http2_feed(struct decoder *decoder, enum flow_direction direction, struct bytes bytes, uint64_t time_ns)
{
	struct http2 *h = of(decoder);
	struct way *way = &h->ways[direction];
	while (!way->stopped) {
		struct bytes part;
		switch (http2_read(&way->reader, &bytes, &part)) {
		case HTTP2_MORE:
			return;
		case HTTP2_BEGIN:
			frame_begins(h, direction, time_ns);
			break;
		case HTTP2_PART:
			frame_part(h, direction, part, time_ns);
			break;
		case HTTP2_END:
			frame_ends(h, direction, time_ns);
			break;
		case HTTP2_BAD:
			broken(h, direction, way->reader.bad, time_ns);
			break;
		}
	}
}

/*
 * Frames and compression have no place to begin anew. Of lost requests the streams are not known; those that are open can
 * still be followed to the end of their responses.
 */
static void lost(struct http2 *h, enum flow_direction direction, uint64_t time_ns)
{
	tell_notice(&h->base, SEVERITY_WARN, "http2-lost-place",
		direction == FLOW_UP ? "octets of the client were lost; its further requests are not decoded"
				     : "octets of the server were lost; the rest of the connection is not decoded");
	if (direction == FLOW_DOWN) {
		stop_both(h, MESSAGE_MISSED, time_ns);
		return;
	}
	stop(&h->ways[FLOW_UP]);
	for (size_t i = h->open.count; i-- > 0;) {
		struct exchange *exchange = exchange_at(&h->open, i);
		if (exchange->done[FLOW_UP])
			continue;
		exchange->ending = MESSAGE_MISSED;
		(void)tell_done(&h->base, &h->open, exchange, FLOW_UP, time_ns);
	}
}

void http2_gap(struct decoder *decoder, enum flow_direction direction, uint64_t octets, uint64_t time_ns)
{
	struct http2 *h = of(decoder);
	struct way *way = &h->ways[direction];
	if (way->stopped)
		return;
	uint32_t data;
	uint32_t ahead = http2_ahead(&way->reader, &data);
	uint32_t passed = octets < ahead ? (uint32_t)octets : ahead;
	struct exchange *exchange = data > 0 ? exchange_find(&h->open, way->reader.frame.stream) : NULL;
	if (exchange && !exchange->done[direction])
		tell_body(&h->base, exchange, direction, BYTES_NONE, passed < data ? passed : data, time_ns);
	http2_pass(&way->reader, passed);
	http2_feed(decoder, direction, BYTES_NONE, time_ns);
	if (octets > passed && !way->stopped)
		lost(h, direction, time_ns);
}

uint64_t http2_skip(const struct decoder *decoder, enum flow_direction direction)
{
	const struct http2 *h = (const struct http2 *)(const void *)decoder;
	const struct way *way = &h->ways[direction];
	uint32_t data;
	if (way->stopped)
		return UINT64_MAX;
	uint32_t ahead = http2_ahead(&way->reader, &data);
	return data > 0 && decoder->out->body ? 0 : ahead;
}

void http2_close(struct decoder *decoder, uint64_t time_ns)
{
	struct http2 *h = of(decoder);
	if (h->not_followed > 1) {
		char text[80];
		(void)snprintf(text, sizeof(text), "%llu streams in all were over the limit and are left out",
			(unsigned long long)h->not_followed);
		tell_notice(&h->base, SEVERITY_WARN, "exchanges-capped", text);
		h->not_followed = 0;
	}
	stop_both(h, MESSAGE_RESET, time_ns);
}

struct decoder *http2_new(const struct decoder *base)
{
	struct http2 *h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->base = *base;
	http2_reader_client(&h->ways[FLOW_UP].reader);
	h->ways[FLOW_UP].block.list.cap = base->limits.head_octets;
	h->ways[FLOW_DOWN].block.list.cap = base->limits.head_octets;
	return &h->base;
}

void http2_free(struct decoder *decoder)
{
	struct http2 *h = of(decoder);
	http2_block_free(&h->ways[FLOW_UP].block);
	http2_block_free(&h->ways[FLOW_DOWN].block);
	exchanges_clear(&h->open);
	free(h);
}
