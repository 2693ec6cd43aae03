/*
 * decode/http2.h — HTTP/2 on one connection (RFC 9113), seen by a third party: both directions, two HPACK decoders, one
 * table of streams. Flow control and priorities are nobody's business here. The calls are those of decode/decoder.h.
 * Sans-I/O.
 */
#ifndef DECODE_HTTP2_H
#define DECODE_HTTP2_H

#include "decode/exchange.h"

/* NULL without memory. `base` is what the decoder begins with. */
must_check struct decoder *http2_new(const struct decoder *base);
void http2_free(struct decoder *decoder);
void http2_feed(struct decoder *decoder, enum flow_direction direction, struct bytes bytes, uint64_t time_ns);
void http2_gap(struct decoder *decoder, enum flow_direction direction, uint64_t octets, uint64_t time_ns);
must_check uint64_t http2_skip(const struct decoder *decoder, enum flow_direction direction);
void http2_close(struct decoder *decoder, uint64_t time_ns);

#endif
