#include "decode/http1.h"

#include "base/buffer.h"
#include "decode/chunked.h"
#include "decode/http1_head.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

enum way_state {
	WAY_HEAD,   /* a head comes next, or has come in part */
	WAY_LENGTH, /* `left` octets of body */
	WAY_CHUNKED,
	WAY_CLOSE, /* body until the connection closes */
	WAY_HOLD,  /* the client asked for another protocol: what it sends waits for the answer */
	WAY_SEEK,  /* octets were lost: the next feed that begins as a head does is taken for one */
	WAY_STOPPED,
};

/* One direction. */
struct way {
	uint8_t state;
	uint64_t left;
	uint64_t head_ns; /* when the head in hand began */
	struct chunked chunked;
	struct buffer pending; /* a head that has come in part, or what is held */
};

struct http1 {
	struct decoder base;
	struct exchanges open; /* stream 0: a response without a request */
	struct way ways[2];
	uint64_t requests;
	bool unsure;    /* octets were lost: what answers what is by order of arrival, not by count */
	bool surprised; /* the notice on a response without a request was given */
};

static struct http1 *of(struct decoder *decoder)
{
	return (struct http1 *)(void *)decoder;
}

static void forget(struct buffer *pending)
{
	if (pending->data)
		OPENSSL_cleanse(pending->data, pending->len);
	buffer_clear(pending);
}

static void stop(struct way *way)
{
	way->state = WAY_STOPPED;
	forget(&way->pending);
}

/* The exchange whose message in that direction is going on or, downwards, comes next. */
static struct exchange *current(struct http1 *h, enum flow_direction direction)
{
	struct exchange *exchange = exchange_at(&h->open, direction == FLOW_UP ? h->open.count - 1 : 0);
	return exchange && !exchange->done[direction] ? exchange : NULL;
}

/* Nothing that could be followed is lost or going on: from here on responses are matched by count again. */
static void settle(struct http1 *h)
{
	if (h->open.count == 0 && h->ways[FLOW_UP].state == WAY_HEAD && h->ways[FLOW_DOWN].state == WAY_HEAD)
		h->unsure = false;
}

/* The message is spoilt and will not become complete. */
static void spoil(struct http1 *h, struct exchange *exchange, enum flow_direction direction, enum message_ending why,
	uint64_t time_ns)
{
	if (exchange->ending == MESSAGE_DONE)
		exchange->ending = why;
	(void)tell_done(&h->base, &h->open, exchange, direction, time_ns);
}

/* A direction is no HTTP/1. Without requests responses can still be followed, without responses nothing makes sense. */
static void broken(struct http1 *h, enum flow_direction direction, const char *why, uint64_t time_ns)
{
	char text[200];
	(void)snprintf(text, sizeof(text), "what the %s sent is not HTTP/1: %s; the rest is not decoded",
		direction == FLOW_UP ? "client" : "server", why);
	tell_notice(&h->base, SEVERITY_WARN, "http1-malformed", text);
	stop(&h->ways[direction]);
	struct exchange *exchange = current(h, direction);
	if (direction == FLOW_UP && exchange)
		spoil(h, exchange, FLOW_UP, MESSAGE_BROKEN, time_ns);
	if (direction == FLOW_UP)
		return;
	stop(&h->ways[FLOW_UP]);
	tell_end_all(&h->base, &h->open, MESSAGE_BROKEN, time_ns);
}

static void stop_both(struct http1 *h, enum message_ending why, uint64_t time_ns)
{
	stop(&h->ways[FLOW_UP]);
	stop(&h->ways[FLOW_DOWN]);
	tell_end_all(&h->base, &h->open, why, time_ns);
}

/* The message in that direction is complete. */
static void body_over(struct http1 *h, enum flow_direction direction, uint64_t time_ns)
{
	struct way *way = &h->ways[direction];
	struct exchange *exchange = current(h, direction);
	way->state = WAY_HEAD;
	if (!exchange)
		return;
	if (direction == FLOW_UP && (exchange->upgrade || exchange->connect) && !exchange->begun[FLOW_DOWN])
		way->state = WAY_HOLD;
	if (tell_done(&h->base, &h->open, exchange, direction, time_ns))
		settle(h);
}

static void body_begins(struct http1 *h, enum flow_direction direction, const struct http1_head *head, uint64_t time_ns)
{
	struct way *way = &h->ways[direction];
	way->left = head->length;
	switch (head->framing) {
	case HTTP1_LENGTH:
		way->state = WAY_LENGTH;
		break;
	case HTTP1_CHUNKED:
		way->state = WAY_CHUNKED;
		way->chunked = (struct chunked){0};
		return;
	case HTTP1_CLOSE:
		way->state = WAY_CLOSE;
		return;
	}
	if (way->left == 0)
		body_over(h, direction, time_ns);
}

/* Heads. */

static void tell_request(const struct http1 *h, const struct exchange *exchange, const struct http1_head *head)
{
	struct http1_target target = http1_target_of(head);
	struct message_request request = {
		.flow = h->base.flow,
		.stream = exchange->stream,
		.time_ns = exchange->start_ns,
		.version = head->version,
		.method = head->method,
		.scheme = target.scheme,
		.authority = target.authority,
		.path = target.path,
		.headers = head->headers,
		.header_count = head->header_count,
		.headers_cut = head->headers_cut,
	};
	if (h->base.out->request)
		h->base.out->request(h->base.ctx, &request);
}

static void tell_response(
	const struct http1 *h, const struct exchange *exchange, const struct http1_head *head, bool interim)
{
	struct message_response response = {
		.flow = h->base.flow,
		.stream = exchange->stream,
		.time_ns = h->ways[FLOW_DOWN].head_ns,
		.version = head->version,
		.status = head->status,
		.interim = interim,
		.reason = head->reason,
		.headers = head->headers,
		.header_count = head->header_count,
		.headers_cut = head->headers_cut,
	};
	if (h->base.out->response)
		h->base.out->response(h->base.ctx, &response);
}

/*
 * After a loss: a client that does not pipeline (there is hardly any other) sends a request when the response before it
 * is complete. So what is still unanswered then has had its answer among the lost octets.
 */
static void give_up_unanswered(struct http1 *h, uint64_t time_ns)
{
	for (size_t i = h->open.count; i-- > 0;) {
		struct exchange *exchange = exchange_at(&h->open, i);
		if (exchange->begun[FLOW_DOWN])
			continue;
		exchange->ending = MESSAGE_MISSED;
		tell_end(&h->base, &h->open, exchange, time_ns);
	}
}

static void request(struct http1 *h, struct bytes octets, uint64_t time_ns)
{
	struct http1_head head;
	const char *bad = http1_head_request(octets, h->base.limits.header_count, &head);
	bool connect = !bad && bytes_equal(head.method, bytes_str("CONNECT"));
	if (connect && (head.framing != HTTP1_LENGTH || head.length > 0))
		bad = "a CONNECT with a body";
	if (bad) {
		broken(h, FLOW_UP, bad, time_ns);
		return;
	}
	if (h->unsure)
		give_up_unanswered(h, time_ns);
	struct exchange *exchange =
		exchange_add(&h->open, ++h->requests, h->ways[FLOW_UP].head_ns, h->base.limits.exchange_max);
	if (!exchange) {
		tell_notice(&h->base, SEVERITY_WARN, "exchanges-capped",
			"more requests without an answer than are followed; the rest of the connection is not decoded");
		stop_both(h, MESSAGE_MISSED, time_ns);
		return;
	}
	exchange->begun[FLOW_UP] = true;
	exchange->head = bytes_equal(head.method, bytes_str("HEAD"));
	exchange->connect = connect;
	exchange->upgrade = head.upgrade;
	tell_request(h, exchange, &head);
	body_begins(h, FLOW_UP, &head, time_ns);
}

/* The exchange that the response in hand answers. NULL: none, and decoding is over. */
static struct exchange *answered(struct http1 *h, uint64_t time_ns)
{
	struct exchange *exchange = current(h, FLOW_DOWN);
	if (exchange)
		return exchange;
	if (h->open.count > 0) {
		broken(h, FLOW_DOWN, "a second response to one request", time_ns);
		return NULL;
	}
	exchange = exchange_add(&h->open, 0, h->ways[FLOW_DOWN].head_ns, SIZE_MAX);
	if (!exchange) {
		stop_both(h, MESSAGE_MISSED, time_ns);
		return NULL;
	}
	exchange->done[FLOW_UP] = true;
	/* Some say so before they close an idle connection; elsewhere it tells of two readings of one request. */
	if (!h->unsure && !h->surprised && h->ways[FLOW_UP].state != WAY_STOPPED) {
		h->surprised = true;
		tell_notice(
			&h->base, SEVERITY_INFO, "response-unasked", "the server sent a response without a request");
	}
	return exchange;
}

/* What follows in both directions is another protocol. */
static void leave(struct http1 *h, struct exchange *exchange, uint64_t time_ns)
{
	exchange->ending = MESSAGE_UPGRADED;
	tell_end(&h->base, &h->open, exchange, time_ns);
	h->base.left = true;
	stop_both(h, MESSAGE_RESET, time_ns);
}

/* The client's other protocol was refused: what it sent since is HTTP after all. */
static void release(struct http1 *h, uint64_t time_ns)
{
	struct way *way = &h->ways[FLOW_UP];
	struct buffer held = way->pending;
	way->pending = (struct buffer){.cap = held.cap};
	way->state = WAY_HEAD;
	http1_feed(&h->base, FLOW_UP, buffer_bytes(&held), time_ns);
	forget(&held);
}

static bool leaves(const struct exchange *exchange, unsigned status)
{
	return status == 101 || (exchange->connect && status >= 200 && status < 300);
}

static void response(struct http1 *h, struct bytes octets, uint64_t time_ns)
{
	struct http1_head head;
	const char *bad = http1_head_response(octets, h->base.limits.header_count, &head);
	if (bad) {
		broken(h, FLOW_DOWN, bad, time_ns);
		return;
	}
	struct exchange *exchange = answered(h, time_ns);
	if (!exchange)
		return;
	if (head.status == 101 && !exchange->upgrade && exchange->stream != 0) {
		broken(h, FLOW_DOWN, "it changes to another protocol, for which nobody asked", time_ns);
		return;
	}
	bool interim = head.status < 200 && head.status != 101;
	exchange->begun[FLOW_DOWN] = !interim;
	tell_response(h, exchange, &head, interim);
	if (interim)
		return;
	if (leaves(exchange, head.status)) {
		leave(h, exchange, time_ns);
		return;
	}
	if (exchange->head || head.status == 204 || head.status == 304) {
		head.framing = HTTP1_LENGTH;
		head.length = 0;
	}
	bool refused = exchange->upgrade || exchange->connect;
	body_begins(h, FLOW_DOWN, &head, time_ns);
	if (refused && h->ways[FLOW_UP].state == WAY_HOLD)
		release(h, time_ns);
}

static void head_complete(struct http1 *h, enum flow_direction direction, struct bytes octets, uint64_t time_ns)
{
	if (direction == FLOW_UP)
		request(h, octets, time_ns);
	else
		response(h, octets, time_ns);
}

static void head_too_long(struct http1 *h, enum flow_direction direction, uint64_t time_ns)
{
	tell_notice(&h->base, SEVERITY_WARN, "head-too-long", "a head is longer than what is read of one");
	broken(h, direction, "a head without an end", time_ns);
}

/* A head that came in part before. The octets behind its end stay in `in`. */
static void head_goes_on(struct http1 *h, enum flow_direction direction, struct bytes *in, uint64_t time_ns)
{
	struct buffer *pending = &h->ways[direction].pending;
	size_t before = pending->len;
	struct bytes part = *in;
	if (part.len > pending->cap - before)
		part.len = pending->cap - before;
	bool added = buffer_add(pending, part);
	/* The empty line may have begun in the two octets before. */
	size_t end = added ? http1_head_end(buffer_bytes(pending), before > 2 ? before - 2 : 0) : 0;
	if (!bytes_skip(in, end > 0 ? end - before : in->len) || end == 0) {
		if (!added || pending->len == pending->cap)
			head_too_long(h, direction, time_ns);
		return;
	}
	struct buffer whole = *pending;
	*pending = (struct buffer){.cap = whole.cap};
	head_complete(h, direction, bytes_of(whole.data, end), time_ns);
	forget(&whole);
}

static bool line_break(struct bytes in)
{
	return in.len > 0 && (in.data[0] == '\r' || in.data[0] == '\n');
}

static void take_head(struct http1 *h, enum flow_direction direction, struct bytes *in, uint64_t time_ns)
{
	struct way *way = &h->ways[direction];
	if (way->pending.len > 0) {
		head_goes_on(h, direction, in, time_ns);
		return;
	}
	/* Empty lines before a request are to be passed over (RFC 9112, 2.2). */
	while (direction == FLOW_UP && line_break(*in) && bytes_skip(in, 1))
		;
	if (in->len == 0)
		return;
	way->head_ns = time_ns;
	struct bytes head;
	size_t end = http1_head_end(*in, 0);
	if (end == 0 && in->len < way->pending.cap && buffer_add(&way->pending, *in)) {
		*in = BYTES_NONE;
		return;
	}
	if (end > 0 && end <= way->pending.cap && bytes_take(in, end, &head))
		head_complete(h, direction, head, time_ns);
	else
		head_too_long(h, direction, time_ns);
}

/* Bodies. */

static void body(struct http1 *h, enum flow_direction direction, struct bytes part, uint64_t missing, uint64_t time_ns)
{
	struct exchange *exchange = current(h, direction);
	if (exchange)
		tell_body(&h->base, exchange, direction, part, missing, time_ns);
}

static void take_length(struct http1 *h, enum flow_direction direction, struct bytes *in, uint64_t time_ns)
{
	struct way *way = &h->ways[direction];
	struct bytes part;
	if (!bytes_take(in, way->left < in->len ? (size_t)way->left : in->len, &part))
		return;
	way->left -= part.len;
	body(h, direction, part, 0, time_ns);
	if (way->left == 0)
		body_over(h, direction, time_ns);
}

/* The last `octets` of what was read belong to the trailer section. An empty one, as nearly all are, costs nothing. */
static void keep_trailer(struct way *way, struct bytes read, size_t octets, bool over)
{
	bool empty = over && way->chunked.trailer == strlen("\r\n") && octets == way->chunked.trailer;
	/* Without memory they are not shown. The coding's own cap is that of the buffer. */
	if (octets > 0 && !empty && bytes_skip(&read, read.len - octets))
		(void)!buffer_add(&way->pending, read);
}

static void tell_trailers(struct http1 *h, enum flow_direction direction)
{
	struct way *way = &h->ways[direction];
	struct exchange *exchange = current(h, direction);
	if (exchange && way->pending.len > 0)
		exchange_set_trailers(exchange, direction, trailers_read(buffer_bytes(&way->pending)));
	forget(&way->pending);
}

static void take_chunked(struct http1 *h, enum flow_direction direction, struct bytes *in, uint64_t time_ns)
{
	struct way *way = &h->ways[direction];
	struct bytes part, before = *in;
	uint32_t seen = way->chunked.trailer;
	enum chunked_result result = chunked_read(&way->chunked, in, h->base.limits.head_octets, &part);
	before.len -= in->len;
	keep_trailer(way, before, way->chunked.trailer - seen, result == CHUNKED_END);
	switch (result) {
	case CHUNKED_MORE:
		break;
	case CHUNKED_DATA:
		body(h, direction, part, 0, time_ns);
		break;
	case CHUNKED_END:
		tell_trailers(h, direction);
		body_over(h, direction, time_ns);
		break;
	case CHUNKED_BAD:
		broken(h, direction, "a chunked body that is none", time_ns);
		break;
	}
}

static void lost(struct http1 *h, enum flow_direction direction, uint64_t time_ns);

/* The server owes an answer, and what the client sends until then is not known to be HTTP. */
static void take_held(struct http1 *h, struct bytes *in, uint64_t time_ns)
{
	if (!buffer_add(&h->ways[FLOW_UP].pending, *in))
		lost(h, FLOW_UP, time_ns);
	*in = BYTES_NONE;
}

static bool plausible(enum flow_direction direction, struct bytes in)
{
	return direction == FLOW_UP ? http1_begins_request(in) : http1_begins_response(in);
}

void http1_feed(struct decoder *decoder, enum flow_direction direction, struct bytes bytes, uint64_t time_ns)
{
	struct http1 *h = of(decoder);
	struct way *way = &h->ways[direction];
	if (way->state == WAY_SEEK && plausible(direction, bytes))
		way->state = WAY_HEAD;
	while (bytes.len > 0) {
		switch ((enum way_state)way->state) {
		case WAY_HEAD:
			take_head(h, direction, &bytes, time_ns);
			break;
		case WAY_LENGTH:
			take_length(h, direction, &bytes, time_ns);
			break;
		case WAY_CHUNKED:
			take_chunked(h, direction, &bytes, time_ns);
			break;
		case WAY_CLOSE:
			body(h, direction, bytes, 0, time_ns);
			return;
		case WAY_HOLD:
			take_held(h, &bytes, time_ns);
			break;
		case WAY_SEEK:
		case WAY_STOPPED:
			return;
		}
	}
}

/* Losses. */

/* Octets that are not body are missing in that direction. */
static void lost(struct http1 *h, enum flow_direction direction, uint64_t time_ns)
{
	struct way *way = &h->ways[direction];
	struct exchange *exchange = current(h, direction);
	bool torn = way->pending.len > 0 || (exchange && exchange->begun[direction]);
	h->unsure = true;
	way->state = WAY_SEEK;
	forget(&way->pending);
	if (exchange && torn)
		spoil(h, exchange, direction, MESSAGE_MISSED, time_ns);
	/* Which of several the next response answers cannot be told: the last is what a client without pipelining awaits. */
	while (direction == FLOW_DOWN && h->open.count > 1) {
		exchange = exchange_at(&h->open, 0);
		exchange->ending = MESSAGE_MISSED;
		tell_end(&h->base, &h->open, exchange, time_ns);
	}
	/* The answer that a client's other protocol waited for will not be seen. */
	if (h->ways[FLOW_UP].state == WAY_HOLD && h->open.count == 0) {
		h->ways[FLOW_UP].state = WAY_SEEK;
		forget(&h->ways[FLOW_UP].pending);
	}
}

/* How many octets from here on are body for sure. */
static uint64_t body_ahead(const struct way *way)
{
	switch ((enum way_state)way->state) {
	case WAY_LENGTH:
		return way->left;
	case WAY_CHUNKED:
		return chunked_ahead(&way->chunked);
	case WAY_CLOSE:
		return UINT64_MAX;
	default:
		return 0;
	}
}

void http1_gap(struct decoder *decoder, enum flow_direction direction, uint64_t octets, uint64_t time_ns)
{
	struct http1 *h = of(decoder);
	struct way *way = &h->ways[direction];
	if (way->state == WAY_STOPPED)
		return;
	uint64_t ahead = body_ahead(way);
	uint64_t missing = octets < ahead ? octets : ahead;
	body(h, direction, BYTES_NONE, missing, time_ns);
	if (way->state == WAY_CHUNKED && missing > 0)
		chunked_pass(&way->chunked, missing);
	if (way->state == WAY_LENGTH) {
		way->left -= missing;
		if (way->left == 0)
			body_over(h, direction, time_ns);
	}
	if (octets > missing)
		lost(h, direction, time_ns);
}

uint64_t http1_skip(const struct decoder *decoder, enum flow_direction direction)
{
	const struct http1 *h = (const struct http1 *)(const void *)decoder;
	const struct way *way = &h->ways[direction];
	if (way->state == WAY_STOPPED)
		return UINT64_MAX;
	return decoder->out->body ? 0 : body_ahead(way);
}

/* Ends. */

void http1_half(struct decoder *decoder, enum flow_direction direction, uint64_t time_ns)
{
	struct http1 *h = of(decoder);
	struct way *way = &h->ways[direction];
	if (way->state == WAY_CLOSE)
		body_over(h, direction, time_ns);
	if (way->state == WAY_HOLD || way->state == WAY_STOPPED)
		return;
	stop(way);
	struct exchange *exchange;
	while ((exchange = current(h, direction)))
		spoil(h, exchange, direction, MESSAGE_RESET, time_ns);
}

void http1_close(struct decoder *decoder, uint64_t time_ns)
{
	stop_both(of(decoder), MESSAGE_RESET, time_ns);
}

struct decoder *http1_new(const struct decoder *base)
{
	struct http1 *h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->base = *base;
	h->ways[FLOW_UP].pending.cap = base->limits.head_octets;
	h->ways[FLOW_DOWN].pending.cap = base->limits.head_octets;
	return &h->base;
}

void http1_free(struct decoder *decoder)
{
	struct http1 *h = of(decoder);
	forget(&h->ways[FLOW_UP].pending);
	forget(&h->ways[FLOW_DOWN].pending);
	exchanges_clear(&h->open);
	free(h);
}
