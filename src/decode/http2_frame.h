/*
 * decode/http2_frame.h — the frames of HTTP/2 (RFC 9113, 4 and 6), piece by piece: what is in front of the payload is
 * read, padding is taken off, payload nobody needs is passed over. No I/O, no allocation.
 */
#ifndef DECODE_HTTP2_FRAME_H
#define DECODE_HTTP2_FRAME_H

#include "base/bytes.h"

enum http2_type {
	HTTP2_DATA = 0,
	HTTP2_HEADERS = 1,
	HTTP2_PRIORITY = 2,
	HTTP2_RST_STREAM = 3,
	HTTP2_SETTINGS = 4,
	HTTP2_PUSH_PROMISE = 5,
	HTTP2_PING = 6,
	HTTP2_GOAWAY = 7,
	HTTP2_WINDOW_UPDATE = 8,
	HTTP2_CONTINUATION = 9,
};

#define HTTP2_END_STREAM  0x01 /* DATA, HEADERS */
#define HTTP2_ACK         0x01 /* SETTINGS, PING */
#define HTTP2_END_HEADERS 0x04

#define HTTP2_PREFACE_LEN 24

/* A frame without its payload. */
struct http2_frame {
	uint32_t length; /* of all behind the nine octets of the header */
	uint8_t type;    /* any: those without a name above are to be ignored */
	uint8_t flags;
	uint32_t stream;
	uint32_t other; /* PUSH_PROMISE: the promised stream; GOAWAY: the last stream */
	uint32_t code;  /* RST_STREAM, GOAWAY */
};

/* Zeroed is the beginning of a direction without preface. */
struct http2_reader {
	struct http2_frame frame;
	uint32_t left; /* of the payload, without padding */
	uint8_t padding;
	uint8_t state;
	uint8_t have; /* octets in `small` */
	uint8_t need; /* octets that stand in front of the payload */
	uint8_t small[HTTP2_PREFACE_LEN];
	const char *bad; /* after HTTP2_BAD: why, a text for people */
};

enum http2_event {
	HTTP2_MORE,  /* not a fault: the octets are used up */
	HTTP2_BEGIN, /* reader->frame is there */
	HTTP2_PART,  /* *part is of its payload: DATA, or a header block */
	HTTP2_END,   /* of that frame */
	HTTP2_BAD,   /* no HTTP/2. Call no more */
};

/* The client's direction, which begins with the preface. */
void http2_reader_client(struct http2_reader *reader);

/* The next event, from the front of `in`. To be called until HTTP2_MORE, with nothing left in `in` too. */
must_check enum http2_event http2_read(struct http2_reader *reader, struct bytes *in, struct bytes *part);

/* How many octets from here on are DATA or padding (`*data` says how many of DATA), or payload nobody needs. */
must_check uint32_t http2_ahead(const struct http2_reader *reader, uint32_t *data);
/* Passes over that many octets unseen: at most http2_ahead. */
void http2_pass(struct http2_reader *reader, uint32_t octets);

#endif
