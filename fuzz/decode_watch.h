/*
 * fuzz/decode_watch.h — plays an input to a decoder and aborts where what it says cannot be. The input is a row of
 * commands: an octet, and behind it what it asks for.
 *   0xxxxxxd  the next x octets (two of them: length) are plaintext of direction d
 *   10xxxxxd  a gap of 2^x octets less one in direction d
 *   110xxxxd  the octets that decoder_skip allows are lost in direction d
 *   111xxxxd  direction d ended
 */
#ifndef FUZZ_DECODE_WATCH_H
#define FUZZ_DECODE_WATCH_H

#include "decode/decoder.h"

#include <stdlib.h>

#define WATCH_STREAMS 64

struct watch {
	uint64_t open[WATCH_STREAMS]; /* stream + 1; 0: free */
	uint64_t octets[WATCH_STREAMS][2];
	size_t count;
	bool closed, bodies;
	size_t sum; /* of all octets in views, so that each is read */
};

static void watch_touch(struct watch *w, struct bytes in)
{
	for (size_t i = 0; i < in.len; i++)
		w->sum += in.data[i];
}

static size_t watch_find(const struct watch *w, uint64_t stream)
{
	size_t at = 0;
	while (at < WATCH_STREAMS && w->open[at] != stream + 1)
		at++;
	return at;
}

static void watch_open(struct watch *w, uint64_t stream)
{
	size_t at = 0;
	while (at < WATCH_STREAMS && w->open[at] != 0)
		at++;
	if (w->closed || at == WATCH_STREAMS || watch_find(w, stream) < WATCH_STREAMS)
		abort();
	w->open[at] = stream + 1;
	w->octets[at][0] = w->octets[at][1] = 0;
	w->count++;
}

static void watch_headers(struct watch *w, const struct message_header *headers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		watch_touch(w, headers[i].name);
		watch_touch(w, headers[i].value);
	}
}

static void watch_request(void *ctx, const struct message_request *q)
{
	struct watch *w = ctx;
	watch_open(w, q->stream);
	watch_touch(w, q->method);
	watch_touch(w, q->scheme);
	watch_touch(w, q->authority);
	watch_touch(w, q->path);
	watch_headers(w, q->headers, q->header_count);
	if (q->header_count > 16)
		abort();
}

static void watch_response(void *ctx, const struct message_response *s)
{
	struct watch *w = ctx;
	if (s->stream == 0 && watch_find(w, 0) == WATCH_STREAMS)
		watch_open(w, 0);
	if (w->closed || watch_find(w, s->stream) == WATCH_STREAMS || s->status < 100 || s->status > 999)
		abort();
	watch_touch(w, s->reason);
	watch_headers(w, s->headers, s->header_count);
	if (s->header_count > 16)
		abort();
}

static void watch_body(void *ctx, const struct message_body *b)
{
	struct watch *w = ctx;
	size_t at = watch_find(w, b->stream);
	if (w->closed || at == WATCH_STREAMS || w->octets[at][b->response] != b->offset)
		abort();
	if ((b->bytes.len == 0) == (b->lost == 0))
		abort();
	uint64_t more = b->bytes.len + b->lost;
	w->octets[at][b->response] = b->offset > UINT64_MAX - more ? UINT64_MAX : b->offset + more;
	watch_touch(w, b->bytes);
}

static void watch_end(void *ctx, const struct message_end *e)
{
	struct watch *w = ctx;
	size_t at = watch_find(w, e->stream);
	if (w->closed || at == WATCH_STREAMS || e->ending >= MESSAGE_ENDING_COUNT)
		abort();
	if (w->bodies && (w->octets[at][0] != e->request_octets || w->octets[at][1] != e->response_octets))
		abort();
	w->open[at] = 0;
	w->count--;
}

static void watch_notice(void *ctx, enum flow_severity severity, const char *name, struct bytes text)
{
	(void)severity;
	struct watch *w = ctx;
	if (w->closed || !name)
		abort();
	watch_touch(w, text);
}

static void watch_command(struct decoder *decoder, uint8_t command, struct bytes *in)
{
	enum flow_direction direction = command & 1 ? FLOW_DOWN : FLOW_UP;
	uint8_t more = 0;
	struct bytes part;
	if (!(command & 0x80)) {
		if (!bytes_u8(in, &more))
			return;
		size_t len = (size_t)(command >> 1) << 4 | (more & 15);
		if (!bytes_take(in, len < in->len ? len : in->len, &part))
			abort();
		uint8_t *copy = malloc(part.len + 1);
		if (!copy)
			abort();
		if (part.len > 0)
			memcpy(copy, part.data, part.len);
		decoder_feed(decoder, direction, bytes_of(copy, part.len), more);
		free(copy);
	} else if (!(command & 0x40)) {
		decoder_gap(decoder, direction, (UINT64_C(1) << (command >> 1 & 31) << (command >> 1 & 31)) - 1, 1);
	} else if (!(command & 0x20)) {
		decoder_gap(decoder, direction, decoder_skip(decoder, direction), 1);
	} else {
		decoder_half(decoder, direction, 1);
	}
}

static void watch_run(enum decoder_kind kind, struct bytes in)
{
	struct watch w = {0};
	uint8_t command;
	struct decoder_output out = {watch_request, watch_response, watch_body, watch_end, watch_notice};
	struct decoder_limits limits = {.head_octets = 512, .header_count = 16, .exchange_max = 30};
	/* Whether bodies are wanted decides what may be skipped. */
	w.bodies = bytes_u8(&in, &command) && (command & 1);
	if (!w.bodies)
		out.body = NULL;
	struct decoder *decoder = decoder_new(kind, 1, &limits, &out, &w);
	if (!decoder)
		return;
	while (bytes_u8(&in, &command)) {
		watch_command(decoder, command, &in);
		if (w.count > limits.exchange_max + 1)
			abort();
	}
	decoder_close(decoder, 2);
	if (w.count > 0)
		abort();
	w.closed = true;
	decoder_close(decoder, 3);
	decoder_free(decoder);
}

#endif
