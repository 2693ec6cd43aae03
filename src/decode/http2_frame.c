#include "decode/http2_frame.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

#define HEADER_LEN  9
#define STREAM_MASK 0x7fffffffU
#define PADDED      0x08
#define PRIORITY    0x20

enum state {
	STATE_HEADER,
	STATE_FRONT, /* of the payload: pad length, priority, stream, code */
	STATE_PAYLOAD,
	STATE_PREFACE,
};

void http2_reader_client(struct http2_reader *reader)
{
	reader->state = STATE_PREFACE;
}

static enum http2_event bad(struct http2_reader *reader, const char *why)
{
	reader->bad = why;
	return HTTP2_BAD;
}

/* Moves octets into `small` until there are `n`. */
static bool collect(struct http2_reader *reader, struct bytes *in, size_t n)
{
	struct bytes part;
	size_t want = n - reader->have;
	if (!bytes_take(in, want < in->len ? want : in->len, &part))
		return false;
	if (part.len > 0)
		memcpy(reader->small + reader->have, part.data, part.len);
	reader->have += (uint8_t)part.len;
	return reader->have == n;
}

/* What must hold for the length and the stream of a frame (RFC 9113, 6): without it this is not HTTP/2. */
static const char *check(const struct http2_frame *f)
{
	switch (f->type) {
	case HTTP2_DATA:
	case HTTP2_HEADERS:
	case HTTP2_PUSH_PROMISE:
	case HTTP2_CONTINUATION:
		return f->stream == 0 ? "a frame of a stream without a stream" : NULL;
	case HTTP2_PRIORITY:
		return f->stream == 0 || f->length != 5 ? "a PRIORITY frame that cannot be" : NULL;
	case HTTP2_RST_STREAM:
		return f->stream == 0 || f->length != 4 ? "a RST_STREAM frame that cannot be" : NULL;
	case HTTP2_SETTINGS:
		return f->stream != 0 || f->length % 6 != 0 || ((f->flags & HTTP2_ACK) && f->length > 0)
		               ? "a SETTINGS frame that cannot be"
		               : NULL;
	case HTTP2_PING:
		return f->stream != 0 || f->length != 8 ? "a PING frame that cannot be" : NULL;
	case HTTP2_GOAWAY:
		return f->stream != 0 ? "a GOAWAY frame that cannot be" : NULL;
	case HTTP2_WINDOW_UPDATE:
		return f->length != 4 ? "a WINDOW_UPDATE frame that cannot be" : NULL;
	default:
		return NULL;
	}
}

/* Octets in front of the payload proper. */
static uint8_t front_of(const struct http2_frame *f)
{
	uint8_t padded = f->flags & PADDED ? 1 : 0;
	switch (f->type) {
	case HTTP2_DATA:
		return padded;
	case HTTP2_HEADERS:
		return (uint8_t)(padded + (f->flags & PRIORITY ? 5 : 0));
	case HTTP2_PUSH_PROMISE:
		return (uint8_t)(padded + 4);
	case HTTP2_RST_STREAM:
		return 4;
	case HTTP2_GOAWAY:
		return 8;
	default:
		return 0;
	}
}

static const char *header(struct http2_reader *reader)
{
	struct http2_frame *f = &reader->frame;
	struct bytes in = bytes_of(reader->small, reader->have);
	*f = (struct http2_frame){0};
	bool whole = bytes_u24(&in, &f->length) && bytes_u8(&in, &f->type) && bytes_u8(&in, &f->flags) &&
	             bytes_u32(&in, &f->stream);
	f->stream &= STREAM_MASK;
	reader->have = 0;
	reader->padding = 0;
	reader->need = front_of(f);
	reader->state = STATE_FRONT;
	if (!whole || reader->need > f->length)
		return "a frame shorter than what it must hold";
	reader->left = f->length - reader->need;
	return check(f);
}

static const char *front(struct http2_reader *reader)
{
	struct http2_frame *f = &reader->frame;
	struct bytes in = bytes_of(reader->small, reader->have);
	bool can_pad = f->type == HTTP2_DATA || f->type == HTTP2_HEADERS || f->type == HTTP2_PUSH_PROMISE;
	bool whole = true;
	if (can_pad && (f->flags & PADDED))
		whole = bytes_u8(&in, &reader->padding);
	if (f->type == HTTP2_PUSH_PROMISE || f->type == HTTP2_GOAWAY)
		whole = whole && bytes_u32(&in, &f->other);
	if (f->type == HTTP2_RST_STREAM || f->type == HTTP2_GOAWAY)
		whole = whole && bytes_u32(&in, &f->code);
	f->other &= STREAM_MASK;
	reader->have = 0;
	if (!whole || reader->padding > reader->left)
		return "a frame with more padding than payload";
	reader->left -= reader->padding;
	return NULL;
}

static bool is_block(const struct http2_frame *f)
{
	return f->type == HTTP2_HEADERS || f->type == HTTP2_PUSH_PROMISE || f->type == HTTP2_CONTINUATION;
}

/* A stretch of payload or padding. True: it is of use. */
static bool payload(struct http2_reader *reader, struct bytes *in, struct bytes *part)
{
	uint32_t *left = reader->left > 0 ? &reader->left : NULL;
	size_t n = left ? *left : reader->padding;
	if (!bytes_take(in, n < in->len ? n : in->len, part))
		return false;
	if (!left) {
		reader->padding -= (uint8_t)part->len;
		return false;
	}
	*left -= (uint32_t)part->len;
	return reader->frame.type == HTTP2_DATA || is_block(&reader->frame);
}

/* Through the fixed octets to the payload. */
static enum http2_event fixed(struct http2_reader *reader, struct bytes *in)
{
	const char *why = NULL;
	if (reader->state == STATE_PREFACE) {
		if (!collect(reader, in, HTTP2_PREFACE_LEN))
			return HTTP2_MORE;
		if (!bytes_equal(bytes_of(reader->small, HTTP2_PREFACE_LEN), bytes_str(PREFACE)))
			return bad(reader, "no connection preface");
		reader->have = 0;
		reader->state = STATE_HEADER;
	}
	if (reader->state == STATE_HEADER) {
		if (!collect(reader, in, HEADER_LEN))
			return HTTP2_MORE;
		why = header(reader);
	}
	if (!why && !collect(reader, in, reader->need))
		return HTTP2_MORE;
	if (!why)
		why = front(reader);
	reader->state = STATE_PAYLOAD;
	return why ? bad(reader, why) : HTTP2_BEGIN;
}

enum http2_event http2_read(struct http2_reader *reader, struct bytes *in, struct bytes *part)
{
	if (reader->state != STATE_PAYLOAD)
		return fixed(reader, in);
	while (reader->left > 0 || reader->padding > 0) {
		if (in->len == 0)
			return HTTP2_MORE;
		if (payload(reader, in, part))
			return HTTP2_PART;
	}
	reader->state = STATE_HEADER;
	return HTTP2_END;
}

uint32_t http2_ahead(const struct http2_reader *reader, uint32_t *data)
{
	*data = 0;
	if (reader->state != STATE_PAYLOAD || (is_block(&reader->frame) && reader->left > 0))
		return 0;
	if (reader->frame.type == HTTP2_DATA)
		*data = reader->left;
	return reader->left + reader->padding;
}

void http2_pass(struct http2_reader *reader, uint32_t octets)
{
	uint32_t part = octets < reader->left ? octets : reader->left;
	reader->left -= part;
	reader->padding -= (uint8_t)(octets - part);
}
