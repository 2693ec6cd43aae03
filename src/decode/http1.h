/*
 * decode/http1.h — HTTP/1.0 and HTTP/1.1 on one connection (RFC 9112): both directions, responses matched to requests
 * in order. The calls are those of decode/decoder.h. Sans-I/O.
 */
#ifndef DECODE_HTTP1_H
#define DECODE_HTTP1_H

#include "decode/exchange.h"

/* NULL without memory. `base` is what the decoder begins with. */
must_check struct decoder *http1_new(const struct decoder *base);
void http1_free(struct decoder *decoder);
void http1_feed(struct decoder *decoder, enum flow_direction direction, struct bytes bytes, uint64_t time_ns);
void http1_gap(struct decoder *decoder, enum flow_direction direction, uint64_t octets, uint64_t time_ns);
must_check uint64_t http1_skip(const struct decoder *decoder, enum flow_direction direction);
void http1_half(struct decoder *decoder, enum flow_direction direction, uint64_t time_ns);
void http1_close(struct decoder *decoder, uint64_t time_ns);

#endif
