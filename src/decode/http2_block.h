/*
 * decode/http2_block.h — header blocks of one direction of HTTP/2 (RFC 9113, 8.2 and 8.3; RFC 7541 by libnghttp2). Memory
 * is bounded: of a list too long the rest is decompressed, as it must be, but not kept.
 */
#ifndef DECODE_HTTP2_BLOCK_H
#define DECODE_HTTP2_BLOCK_H

#include "base/buffer.h"
#include "flow/message.h"

#include <nghttp2/nghttp2.h>

#define HTTP2_HEADERS_MAX 256   /* headers given out, whatever the limit says */
#define HTTP2_TABLE_MAX   65536 /* octets of a dynamic table that are kept, whatever the peers agreed on */

/* Zeroed, with list.cap set, is the beginning of a direction. */
struct http2_block {
	nghttp2_hd_inflater *inflater; /* from the first block on */
	struct buffer list;            /* the fields of the block in hand */
	bool cut;                      /* the rest did not fit */
};

enum http2_block_result {
	HTTP2_BLOCK_OK,
	HTTP2_BLOCK_BAD, /* the decompressor has lost its place for good */
	HTTP2_BLOCK_NO_MEMORY,
};

/* A piece of a block; `last` with the last one, which may be empty. */
must_check enum http2_block_result http2_block_add(struct http2_block *block, struct bytes part, bool last);
/* Forgets the fields, for the next block. */
void http2_block_clear(struct http2_block *block);
void http2_block_free(struct http2_block *block);

/* The fields of a block. Views are of the block's list. */
struct http2_fields {
	struct bytes method, scheme, authority, path, protocol, status; /* pseudo-headers; data NULL: not there */
	const char *bad; /* NULL, or what RFC 9113, 8 forbids in it: a text for people */
	size_t header_count;
	bool cut;
	struct message_header headers[HTTP2_HEADERS_MAX];
};

/* After the last piece. At most `max` headers; the rest is cut. */
void http2_block_fields(const struct http2_block *block, size_t max, struct http2_fields *out);

#endif
