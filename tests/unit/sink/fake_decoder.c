#include "fake_decoder.h"

#include <stdlib.h>

struct decoder {
	const struct decoder_output *out;
	void *ctx;
	uint64_t flow, streams;
};

uint64_t fake_skippable;
uint64_t fake_fed[2], fake_gaps[2];

enum decoder_guess decoder_guess(struct bytes alpn, struct bytes first, enum decoder_kind *kind)
{
	if (alpn.len == 0 && first.len < 3)
		return DECODER_GUESS_MORE;
	*kind = alpn.len > 0 || bytes_starts(first, bytes_str("GET")) ? DECODER_HTTP1 : DECODER_NONE;
	return DECODER_GUESSED;
}

struct decoder *decoder_new(enum decoder_kind kind, uint64_t flow, const struct decoder_limits *limits,
	const struct decoder_output *out, void *ctx)
{
	struct decoder *decoder = calloc(1, sizeof(*decoder));
	if (!decoder || kind != DECODER_HTTP1 || limits->head_octets == 0)
		abort();
	*decoder = (struct decoder){.out = out, .ctx = ctx, .flow = flow};
	return decoder;
}

void decoder_free(struct decoder *decoder)
{
	free(decoder);
}

void decoder_feed(struct decoder *decoder, enum flow_direction direction, struct bytes bytes, uint64_t time_ns)
{
	fake_fed[direction] += bytes.len;
	if (direction == FLOW_UP) {
		struct message_request request = {.flow = decoder->flow,
			.stream = ++decoder->streams,
			.time_ns = time_ns,
			.method = bytes_str("GET"),
			.authority = bytes_str("h"),
			.path = bytes_str("/")};
		decoder->out->request(decoder->ctx, &request);
		return;
	}
	struct message_response response = {
		.flow = decoder->flow, .stream = decoder->streams, .time_ns = time_ns, .status = 200};
	decoder->out->response(decoder->ctx, &response);
	struct message_end end = {.flow = decoder->flow, .stream = decoder->streams, .time_ns = time_ns};
	decoder->out->end(decoder->ctx, &end);
}

void decoder_gap(struct decoder *decoder, enum flow_direction direction, uint64_t octets, uint64_t time_ns)
{
	(void)decoder;
	(void)time_ns;
	fake_gaps[direction] += octets;
	if (direction == FLOW_DOWN)
		fake_skippable -= octets < fake_skippable ? octets : fake_skippable;
}

uint64_t decoder_skip(const struct decoder *decoder, enum flow_direction direction)
{
	(void)decoder;
	return direction == FLOW_DOWN ? fake_skippable : 0;
}

void decoder_half(struct decoder *decoder, enum flow_direction direction, uint64_t time_ns)
{
	(void)decoder;
	(void)direction;
	(void)time_ns;
}

void decoder_close(struct decoder *decoder, uint64_t time_ns)
{
	decoder->out->notice(decoder->ctx, SEVERITY_INFO, "decoder-closed", BYTES_NONE);
	(void)time_ns;
}

bool decoder_left(const struct decoder *decoder)
{
	(void)decoder;
	return false;
}
